//! Reads sections of the catalogue, each in its time.
//!
//! A section is read on a thread of its own. One that takes longer than it may is reported as timed out, and its thread is left to
//! itself: the kernel gives no way to take such a question back. It is not started again while it hangs.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use wire::{
    diagnostics::{
        report::{Content, Outcome, SectionId, SectionReport},
        sections::logs::LogQuery,
    },
    time::{Moment, WallTime},
};

use crate::{manifest::Manifest, patience::Patience, sources::Sources};

/// Longest that a section is waited for.
pub const SECTION_DEADLINE: Duration = Duration::from_secs(30);

/// Reads sections.
#[derive(Debug)]
pub struct Survey {
    sources: Sources,
    patience: Patience<SectionId, Answer>,
}

/// When a section is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The time now, for the deadline.
    pub now: Moment,
    /// The time now, for the report.
    pub wall: WallTime,
}

impl Survey {
    /// Reads from `sources`.
    pub fn new(sources: Sources) -> Self {
        Self { sources, patience: Patience::new() }
    }

    /// Reads `sections` side by side and waits for the slowest of them, `deadline` at most. Blocks.
    ///
    /// A section that is still being read from an earlier time, and one that does not come in time, are reported as timed out.
    pub fn read(&mut self, sections: &[SectionId], deadline: Duration, asked: Asked) -> Vec<SectionReport> {
        for section in sections {
            let section = *section;
            self.start(section, asked.now, move |sources, manifest| read(section, sources, manifest));
        }
        self.finish(sections, deadline, asked.wall)
    }

    fn finish(&mut self, sections: &[SectionId], deadline: Duration, taken_at: WallTime) -> Vec<SectionReport> {
        let mut answers = self.patience.all_answers(deadline).into_iter().collect::<BTreeMap<_, _>>();
        let report = |section: &SectionId| match answers.remove(section) {
            Some(answer) => answer.into_report(*section, taken_at),
            None => SectionReport {
                section: *section,
                taken_at,
                took_ms: u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX),
                outcome: Outcome::TimedOut,
                sources: Vec::new(),
                content: None,
            },
        };
        sections.iter().map(report).collect()
    }

    /// As [`Survey::read`], of the log, with a question of its own.
    pub fn read_logs(&mut self, query: LogQuery, deadline: Duration, asked: Asked) -> SectionReport {
        self.start(SectionId::Logs, asked.now, move |sources, manifest| {
            let logs = crate::logs::linux::read_query(sources, &query, manifest)?;
            Some(Content::Logs(Box::new(logs)))
        });
        self.finish(&[SectionId::Logs], deadline, asked.wall).remove(0)
    }

    fn start(
        &mut self,
        section: SectionId,
        now: Moment,
        read: impl FnOnce(&Sources, &mut Manifest) -> Option<Content> + Send + 'static,
    ) {
        let sources = self.sources.clone();
        let question = move || {
            let began = Instant::now();
            let mut manifest = Manifest::default();
            let content = read(&sources, &mut manifest);
            Answer { content, manifest, took: began.elapsed() }
        };
        // A thread that cannot be started is a section that does not come.
        let _ = self.patience.ask(&section, now, question);
    }
}

/// What a section's thread brings.
#[derive(Debug)]
struct Answer {
    content: Option<Content>,
    manifest: Manifest,
    took: Duration,
}

impl Answer {
    fn into_report(self, section: SectionId, taken_at: WallTime) -> SectionReport {
        SectionReport {
            section,
            taken_at,
            took_ms: u32::try_from(self.took.as_millis()).unwrap_or(u32::MAX),
            outcome: self.manifest.outcome(self.content.is_some()),
            sources: self.manifest.into_sources(),
            content: self.content,
        }
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
