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
    diagnostics::{
        report::{Content, Outcome, SectionId, SectionReport},
        sections::logs::LogQuery,
    },
    time::WallTime,
};

use crate::{manifest::Manifest, sources::Sources, stopwatch::Stopwatch};

/// Longest that a section is waited for.
pub const SECTION_DEADLINE: Duration = Duration::from_secs(30);

/// A section's thread runs parsers, a message bus and a few kilobytes of buffers.
pub(crate) const STACK_BYTES: usize = 1 << 20;

/// What a section is read for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// All that it has.
    Section(SectionId),
    /// One process, if the one with this number is still the one that started then. Without its arguments.
    Process {
        /// Its number.
        pid: u32,
        /// In clock ticks since the machine started; absent for whichever has the number now.
        start_ticks: Option<u64>,
    },
    /// Some lines of the log.
    Logs(LogQuery),
}

impl Question {
    /// Which section answers it.
    pub fn section(&self) -> SectionId {
        match self {
            Self::Section(section) => *section,
            Self::Process { .. } => SectionId::Process,
            Self::Logs(_) => SectionId::Logs,
        }
    }
}

/// Most questions about one thing, a process or some lines of the log, that may be under way. Each that hangs keeps a thread, and a peer
/// can think of any number of them. Sections are few, and so each of them has its place whatever else is asked: what the checks of this
/// machine rest on must not be had to fail by asking much.
const MAX_SINGLE: usize = 2 * wire::limits::INSPECTIONS_AT_ONCE;

/// From how many milliseconds on a section is costly to read.
const COSTLY_MS: u32 = 100;

/// Longest that a costly answer is given again.
const LONGEST_GOOD: Duration = Duration::from_secs(30);

/// How long an answer is given again instead of being read anew: three times as long as reading took. Whoever asks without a pause keeps
/// programs such as the package manager busy for a quarter of the time, not for all of it.
fn good_for(took_ms: u32) -> Duration {
    if took_ms < COSTLY_MS {
        return Duration::ZERO;
    }
    Duration::from_millis(u64::from(took_ms) * 3).min(LONGEST_GOOD)
}

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
    /// Who waits for the answer of each question. One that nobody waits for any more stays until it is answered.
    under_way: BTreeMap<Question, Vec<u64>>,
    /// What came, by who waits for it.
    answers: BTreeMap<(u64, Question), SectionReport>,
    last_waiter: u64,
    /// Answers of sections that are costly to read, each with its age.
    costly: BTreeMap<SectionId, (Stopwatch, SectionReport)>,
}

impl State {
    fn has_room_for(&self, question: &Question) -> bool {
        let is_single = |question: &&Question| !matches!(question, Question::Section(_));
        !is_single(&question) || self.under_way.keys().filter(is_single).count() < MAX_SINGLE
    }

    /// An answer from a moment ago, if reading it again would cost too much.
    fn still_good(&mut self, question: &Question) -> Option<SectionReport> {
        self.costly.retain(|_, (age, report)| age.left_of(good_for(report.took_ms)).is_some());
        let Question::Section(section) = question else { return None };
        self.costly.get(section).map(|(_, report)| report.clone())
    }
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
        let mut came = BTreeMap::new();
        self.read_each(sections, deadline, wall, |report| drop(came.insert(report.section, report)));
        sections.iter().filter_map(|section| came.remove(section)).collect()
    }

    /// As [`Survey::read`], with each report handed to `take` as soon as it comes.
    pub fn read_each(
        &self,
        sections: &[SectionId],
        deadline: Duration,
        wall: WallTime,
        take: impl FnMut(SectionReport),
    ) {
        let questions = sections.iter().map(|section| Question::Section(*section)).collect();
        self.ask_all(questions, deadline, wall, take);
    }

    /// As [`Survey::read`], for one question.
    pub fn ask(&self, question: Question, deadline: Duration, wall: WallTime) -> SectionReport {
        let section = question.section();
        let mut answer = None;
        self.ask_all(vec![question], deadline, wall, |report| answer = Some(report));
        answer.unwrap_or_else(|| timed_out(section, deadline, wall))
    }

    fn ask_all(
        &self,
        mut missing: Vec<Question>,
        deadline: Duration,
        wall: WallTime,
        mut take: impl FnMut(SectionReport),
    ) {
        let began = Stopwatch::start();
        let mut state = self.shared.lock();
        state.last_waiter += 1;
        let waiter = state.last_waiter;
        for question in &missing {
            if let Some(report) = state.still_good(question) {
                state.answers.insert((waiter, question.clone()), report);
                continue;
            }
            if let Some(waiters) = state.under_way.get_mut(question) {
                waiters.push(waiter);
                continue;
            }
            // A thread that cannot be started is an answer that does not come.
            if state.has_room_for(question) && self.start(question.clone(), wall).is_ok() {
                state.under_way.insert(question.clone(), vec![waiter]);
            }
        }
        loop {
            let answers = &mut state.answers;
            let mut came = Vec::new();
            missing.retain(|question| match answers.remove(&(waiter, question.clone())) {
                Some(report) => {
                    came.push(report);
                    false
                }
                None => true,
            });
            if !came.is_empty() {
                drop(state);
                came.into_iter().for_each(&mut take);
                state = self.shared.lock();
                continue;
            }
            let waits = state.under_way.values().any(|waiters| waiters.contains(&waiter));
            let Some(left) = began.left_of(deadline).filter(|_| waits) else { break };
            let waited = self.shared.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        for waiters in state.under_way.values_mut() {
            waiters.retain(|other| *other != waiter);
        }
        drop(state);
        missing.into_iter().map(|question| timed_out(question.section(), deadline, wall)).for_each(take);
    }

    fn start(&self, question: Question, wall: WallTime) -> std::io::Result<()> {
        let (sources, shared) = (self.sources.clone(), Arc::clone(&self.shared));
        let read = move || {
            let began = Stopwatch::start();
            let mut manifest = Manifest::default();
            let content = answer(&question, &sources, &mut manifest);
            let report = SectionReport {
                section: question.section(),
                taken_at: wall,
                took_ms: began.elapsed_ms(),
                outcome: manifest.outcome(content.is_some()),
                sources: manifest.into_sources(),
                content,
            };
            let mut state = shared.lock();
            if matches!(question, Question::Section(_)) && report.took_ms >= COSTLY_MS {
                state.costly.insert(report.section, (Stopwatch::start(), report.clone()));
            }
            for waiter in state.under_way.remove(&question).unwrap_or_default() {
                state.answers.insert((waiter, question.clone()), report.clone());
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

/// Answers one question. Blocks for as long as its sources do.
fn answer(question: &Question, sources: &Sources, manifest: &mut Manifest) -> Option<Content> {
    match question {
        Question::Section(section) => read(*section, sources, manifest),
        Question::Process { pid, start_ticks } => {
            let process = crate::processes::detail::read(&sources.roots, *pid, *start_ticks, manifest);
            process.map(|process| Content::Process(Box::new(process)))
        }
        Question::Logs(query) => {
            let logs = crate::logs::linux::read_query(sources, query, manifest);
            logs.map(|logs| Content::Logs(Box::new(logs)))
        }
    }
}

/// Reads one section. Blocks for as long as its sources do.
fn read(section: SectionId, sources: &Sources, manifest: &mut Manifest) -> Option<Content> {
    macro_rules! dispatch {
        ($($variant:ident => $module:ident,)*) => {
            match section {
                $(SectionId::$variant => crate::$module::linux::read(sources, manifest).map(|c| Content::$variant(Box::new(c))),)*
                SectionId::Processes => {
                    crate::processes::all::read(sources, manifest).map(|all| Content::Processes(Box::new(all)))
                }
                _ => {
                    manifest.missing(section.name(), "it is read only for a question that says of what");
                    None
                }
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
    use std::{io, io::Read, path::Path};

    use super::*;
    use crate::{Bus, NoTools, RunTools, Tool, testing::TestMachine};

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
        assert!(!reports[2].sources[0].reason.is_blank());
    }

    /// Tools that answer when they are let.
    #[derive(Debug, Default)]
    struct Stuck {
        go: Mutex<bool>,
        gone: Condvar,
    }

    impl RunTools for Stuck {
        fn start(&self, _: &Tool, _: Duration) -> io::Result<Box<dyn Read + Send>> {
            let go = self.go.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.gone.wait_while(go, |go| !*go));
            Ok(Box::new(io::empty()))
        }
    }

    #[test]
    fn a_section_that_hangs_is_given_up_and_not_started_twice() {
        let machine = TestMachine::new(&[("var/log/journal/5b2a/system.journal", "")]);
        let stuck = Arc::new(Stuck::default());
        let tools = Arc::clone(&stuck) as Arc<dyn RunTools>;
        let survey = Survey::new(Sources { roots: machine.sources().roots, ..sources(tools) });
        let reports = survey.read(&[SectionId::Logs], Duration::from_millis(10), WallTime(1));
        assert_eq!(reports[0].outcome, Outcome::TimedOut);
        let again = survey.clone();
        let waits = thread::spawn(move || again.read(&[SectionId::Logs], SECTION_DEADLINE, WallTime(2)));
        while survey.shared.lock().under_way.get(&Question::Section(SectionId::Logs)).is_none_or(Vec::is_empty) {
            thread::yield_now();
        }
        *stuck.go.lock().unwrap() = true;
        stuck.gone.notify_all();
        let reports = waits.join().unwrap();
        assert_eq!(reports[0].taken_at, WallTime(1), "it is the first one's answer");
        assert!(survey.shared.lock().answers.is_empty() && survey.shared.lock().under_way.is_empty());
    }

    #[test]
    fn an_answer_is_good_for_thrice_what_it_cost_and_not_for_ever() {
        let ms = Duration::from_millis;
        assert_eq!([0, 99, 100, 2000].map(good_for), [ms(0), ms(0), ms(300), ms(6000)]);
        assert_eq!(good_for(u32::MAX), LONGEST_GOOD);
    }

    #[test]
    fn a_costly_section_that_is_asked_for_again_at_once_is_not_read_again() {
        let survey = Survey::new(sources(Arc::new(NoTools)));
        let costly = SectionReport { took_ms: 9000, ..timed_out(SectionId::Updates, SECTION_DEADLINE, WallTime(1)) };
        survey.shared.lock().costly.insert(SectionId::Updates, (Stopwatch::start(), costly.clone()));
        let reports = survey.read(&[SectionId::Groups, SectionId::Updates], SECTION_DEADLINE, WallTime(2));
        assert_eq!((reports[0].taken_at, &reports[1]), (WallTime(2), &costly));
        assert!(survey.shared.lock().answers.is_empty());
    }

    #[test]
    fn questions_that_nobody_waits_for_any_more_take_no_place_from_sections() {
        let machine = TestMachine::new(&[("var/log/journal/5b2a/system.journal", "")]);
        let stuck = Arc::new(Stuck::default());
        let tools = Arc::clone(&stuck) as Arc<dyn RunTools>;
        let survey = Survey::new(Sources { roots: machine.sources().roots, ..sources(tools) });
        for limit in 1..=100 {
            let logs = Question::Logs(LogQuery { limit, ..LogQuery::default() });
            assert_eq!(survey.ask(logs, Duration::ZERO, WallTime(1)).outcome, Outcome::TimedOut);
        }
        assert_eq!(survey.shared.lock().under_way.len(), MAX_SINGLE, "each of these has a thread and a program");
        let reports = survey.read(&[SectionId::Groups], SECTION_DEADLINE, WallTime(2));
        assert_ne!(reports[0].outcome, Outcome::TimedOut);
        *stuck.go.lock().unwrap() = true;
        stuck.gone.notify_all();
    }
}
