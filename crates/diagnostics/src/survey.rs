//! Reads sections of the catalogue, each in its time.
//!
//! A section is read on a thread of its own. One that takes longer than it may is reported as timed out, and its thread is left to
//! itself: the kernel gives no way to take such a question back. It is not started again while it hangs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use wire::{
    diagnostics::report::{Content, Outcome, SectionId, SectionReport},
    time::WallTime,
};

use crate::{manifest::Manifest, sources::Sources, stopwatch::Stopwatch};

/// Longest that a section is waited for.
pub const SECTION_DEADLINE: Duration = Duration::from_secs(30);

/// A section's thread runs parsers, a message bus and a few kilobytes of buffers.
const STACK_BYTES: usize = 1 << 20;

/// Reads sections. Clones share what is being read: a section that two ask for at once is read once.
#[derive(Debug, Clone)]
pub struct Survey {
    sources: Sources,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Who waits for each section that is being read. A section that nobody waits for any more stays until it is read.
    under_way: BTreeMap<SectionId, Vec<u64>>,
    /// What came, by who waits for it.
    answers: BTreeMap<(u64, SectionId), SectionReport>,
    last_waiter: u64,
}

impl Survey {
    /// Reads from `sources`.
    pub fn new(sources: Sources) -> Self {
        Self { sources, shared: Arc::default() }
    }

    /// What sections are read from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Reads `sections` side by side and waits for the slowest of them, `deadline` at most. Blocks. `wall` is the time now.
    ///
    /// A section that does not come in time is reported as timed out. One that hangs since an earlier time is waited for again,
    /// not asked again.
    pub fn read(&self, sections: &[SectionId], deadline: Duration, wall: WallTime) -> Vec<SectionReport> {
        let mut state = self.shared.lock();
        state.last_waiter += 1;
        let waiter = state.last_waiter;
        for section in sections {
            match state.under_way.get_mut(section) {
                Some(waiters) => waiters.push(waiter),
                None => {
                    // A thread that cannot be started is a section that does not come.
                    if self.start(*section, wall).is_ok() {
                        state.under_way.insert(*section, vec![waiter]);
                    }
                }
            }
        }
        let waited = self.shared.arrived.wait_timeout_while(state, deadline, |state| {
            state.under_way.values().any(|waiters| waiters.contains(&waiter))
        });
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for waiters in state.under_way.values_mut() {
            waiters.retain(|other| *other != waiter);
        }
        let report = |section: &SectionId| {
            let answer = state.answers.remove(&(waiter, *section));
            answer.unwrap_or_else(|| timed_out(*section, deadline, wall))
        };
        sections.iter().map(report).collect()
    }

    fn start(&self, section: SectionId, wall: WallTime) -> std::io::Result<()> {
        let (sources, shared) = (self.sources.clone(), Arc::clone(&self.shared));
        let read = move || {
            let began = Stopwatch::start();
            let mut manifest = Manifest::default();
            let content = read(section, &sources, &mut manifest);
            let report = SectionReport {
                section,
                taken_at: wall,
                took_ms: began.elapsed_ms(),
                outcome: manifest.outcome(content.is_some()),
                sources: manifest.into_sources(),
                content,
            };
            let mut state = shared.lock();
            for waiter in state.under_way.remove(&section).unwrap_or_default() {
                state.answers.insert((waiter, section), report.clone());
            }
            shared.arrived.notify_all();
        };
        thread::Builder::new().name("survey".to_owned()).stack_size(STACK_BYTES).spawn(read).map(drop)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timed_out(section: SectionId, deadline: Duration, taken_at: WallTime) -> SectionReport {
    SectionReport {
        section,
        taken_at,
        took_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
        outcome: Outcome::TimedOut,
        sources: Vec::new(),
        content: None,
    }
}

/// Reads one section. Blocks for as long as its sources do.
fn read(section: SectionId, sources: &Sources, manifest: &mut Manifest) -> Option<Content> {
    macro_rules! dispatch {
        ($($variant:ident => $module:ident,)*) => {
            match section {
                $(SectionId::$variant => crate::$module::linux::read(sources, manifest).map(|c| Content::$variant(Box::new(c))),)*
                _ => None,
            }
        };
    }
    dispatch! {
        System => system,
        Hardware => hardware,
        Storage => storage,
        Network => network,
        Groups => groups,
        Power => power,
        Services => services,
        Clock => clock,
        Logs => logs,
        Updates => updates,
        Crashes => crashes,
        Users => users,
        Security => security,
        Printers => printers,
        Displays => displays,
        Certificates => certificates,
        Changes => changes,
        Ladder => ladder,
        Errors => errors,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Bus, NoTools, RunTools};

    fn sources(tools: Arc<dyn RunTools>) -> Sources {
        Sources { bus: Bus::at(Path::new("/nonexistent/bus")), tools, ..Sources::default() }
    }

    #[test]
    fn every_section_that_is_asked_for_is_reported_in_order_and_with_its_sources() {
        let survey = Survey::new(sources(Arc::new(NoTools)));
        let asked = [SectionId::Storage, SectionId::Groups, SectionId::Process];
        let reports = survey.read(&asked, SECTION_DEADLINE, WallTime(7));
        assert_eq!(reports.iter().map(|report| report.section).collect::<Vec<_>>(), asked);
        assert!(reports.iter().all(|report| report.taken_at == WallTime(7) && report.outcome != Outcome::TimedOut));
        assert_eq!(reports[2].outcome, Outcome::Unavailable, "a process is not read without its number");
    }
}
