//! Watches a machine: measures now and then, remembers, and concludes, so that everything is there when a technician comes.
//!
//! A [`Monitor`] has no clock and starts no thread. Its shell calls [`Monitor::tick`] when [`Monitor::due_at`] says so, reads the
//! sections that [`Monitor::wants`] names (on other threads: they may take long), and hands them back with [`Monitor::surveyed`].
//! While somebody follows the machine live, [`Monitor::sample`] measures instead, and the same samples feed memory and checks.

mod beside;
mod busiest;
mod growing;
mod marks;
mod shifts;
mod trends;

use std::{collections::BTreeMap, path::Path, time::Duration};

use wire::{
    codec::Message,
    diagnostics::{
        DiskProcess, IdentityCard, LargeProcess, MAX_UNREADABLE, Panels, Snapshot, Unreadable, View,
        findings::{Check, Finding, Severity, Verdict},
        inspect::HistoryQuery,
        report::{OPENING_BYTES, Outcome, Report, SectionId, SectionReport, Series},
        schema::Named,
    },
    text::{Label, Sentence},
    time::{Moment, WallTime},
};

use crate::{
    collector::{Collector, Wanted},
    findings::{Engine, Facts, RoundTrip},
    history::{Figure, Fold, Pattern, Places, Query, Reader, Ring, Store, StoreError, StoreStatus, figures_of},
    privacy::Cleared,
    roots::Roots,
};

use busiest::Busiest;
use marks::Marks;
use trends::Outlook;

/// Time from one measurement to the next while nobody looks, unless [`Monitor::keep_in`] is told another. Checks and trends look at
/// a sample no more often than this.
pub const IDLE_PERIOD: Duration = Duration::from_secs(5);

/// How often all processes are looked at while nobody looks, and while more is recorded than that.
const IDLE_PROCESSES_EVERY: Duration = Duration::from_secs(15);
const RECORDED_PROCESSES_EVERY: Duration = Duration::from_secs(5);

/// How often a section is read anew, for the checks that look at it and for the report that opens a session.
const SECTIONS_EVERY: [(SectionId, Duration); 14] = [
    (SectionId::Services, Duration::from_mins(1)),
    (SectionId::Groups, Duration::from_mins(1)),
    (SectionId::Power, Duration::from_mins(1)),
    (SectionId::Network, Duration::from_mins(1)),
    (LADDER, Duration::from_mins(1)),
    (SectionId::Clock, Duration::from_mins(5)),
    (SectionId::Errors, Duration::from_mins(10)),
    (SectionId::Crashes, Duration::from_mins(10)),
    (SectionId::Hardware, Duration::from_mins(10)),
    (SectionId::Changes, Duration::from_hours(1)),
    (SectionId::Storage, Duration::from_hours(1)),
    (SectionId::Updates, Duration::from_hours(1)),
    (SectionId::Certificates, Duration::from_hours(6)),
    (SectionId::System, Duration::from_hours(24)),
];

/// Talks to the network, so it is read at the start and then only while somebody is there to help: a machine that waits is silent.
const LADDER: SectionId = SectionId::Ladder;

/// The package manager works for seconds: not while the program and perhaps a session are starting.
const UPDATES_AFTER: Duration = Duration::from_mins(1);

/// How often it counts as news that a finding rests on other figures than before.
const EVIDENCE_EVERY: Duration = Duration::from_mins(1);

/// The sections that open a session.
pub const OPENING_SECTIONS: [SectionId; 3] = [SectionId::Changes, SectionId::Ladder, SectionId::Errors];

/// The figures whose last quarter of an hour opens a session, the most telling first.
const OPENING_FIGURES: [Figure; 10] = [
    Figure::CpuBusy,
    Figure::MemoryAvailable,
    Figure::PressureIoSome,
    Figure::PressureMemoryFull,
    Figure::CpuIowait,
    Figure::SwapUsed,
    Figure::DiskBusy,
    Figure::NetworkReceived,
    Figure::NetworkSent,
    Figure::Temperature,
];

/// Seconds from one value to the next in the report that opens a session: sixty values in a quarter of an hour.
const OPENING_STEP_SECS: u32 = 15;

/// How far back that report goes.
const OPENING_WINDOW: Duration = Duration::from_mins(15);

/// Watches one machine.
#[derive(Debug)]
pub struct Monitor {
    started: Moment,
    collector: Collector,
    card: IdentityCard,
    newest: Option<Snapshot>,
    /// The processes with most memory, when everything was measured last.
    largest: Vec<LargeProcess>,
    /// How often everything is measured, and kept.
    period: Duration,
    /// Those that use disks most, then.
    disk_processes: Vec<DiskProcess>,
    /// When everything was measured last, not only what somebody looks at.
    whole_at: Option<Moment>,
    /// When checks and trends last looked at such a sample.
    thought_at: Option<Moment>,
    due_at: Moment,
    ring: Ring,
    files: Option<Files>,
    places: Places,
    engine: Engine,
    findings: Vec<Finding>,
    findings_left_out: u32,
    findings_version: u64,
    /// When that was counted up last.
    findings_told_at: Moment,
    outlook: Outlook,
    marks: Marks,
    busiest: Busiest,
    /// The busiest programs of the sample that is being taken.
    busy: Vec<(Label, u32)>,
    /// With when it was measured.
    round_trip: Option<(RoundTrip, Moment)>,
    sections: BTreeMap<SectionId, SectionReport>,
    /// When each section was last asked for.
    asked: BTreeMap<SectionId, Moment>,
    /// Whether somebody is there to help.
    attended: bool,
}

impl Monitor {
    /// Takes the first reading of every counter at `now`.
    pub fn new(roots: Roots, now: Moment) -> Self {
        let collector = Collector::new(roots, now);
        Self {
            started: now,
            card: collector.identity(),
            collector,
            places: Places::default(),
            newest: None,
            largest: Vec::new(),
            period: IDLE_PERIOD,
            disk_processes: Vec::new(),
            whole_at: None,
            thought_at: None,
            due_at: now + crate::MIN_INTERVAL,
            ring: Ring::new(Duration::from_secs(1)),
            files: None,
            engine: Engine::new(),
            findings: Vec::new(),
            findings_left_out: 0,
            findings_version: 0,
            findings_told_at: now,
            outlook: Outlook::default(),
            marks: Marks::default(),
            busiest: Busiest::default(),
            busy: Vec::new(),
            round_trip: None,
            sections: BTreeMap::new(),
            asked: BTreeMap::new(),
            attended: false,
        }
    }

    /// Somebody is there to help, from now on.
    pub fn attend(&mut self) {
        self.attended = true;
    }

    /// Keeps what is measured in files from now on, and answers from what they have. Everything is measured `every` so often; at most
    /// [`IDLE_PERIOD`] and at least a second.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn keep_in(&mut self, folder: &Path, every: Duration) -> Result<(), StoreError> {
        self.period = every.clamp(Duration::from_secs(1), IDLE_PERIOD);
        self.files = Some(Files::Written(Box::new(Store::open(folder, self.period)?)));
        Ok(())
    }

    /// Answers from the files that another program keeps in `folder`, and changes nothing there: not even a lock is taken, so that the
    /// other may write meanwhile. What is measured here is in memory alone.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn look_back_in(&mut self, folder: &Path) -> Result<(), StoreError> {
        self.files = Some(Files::Read(Reader::open(folder)?));
        Ok(())
    }

    /// Brings to the disk what was measured up to now, before the program ends. A block is written when it is full only, and one of
    /// minutes is after an hour.
    pub fn flush(&mut self, now: Moment) {
        if let Some(Files::Written(store)) = &mut self.files {
            store.flush(now);
        }
    }

    /// What became of the files, if any are kept.
    pub fn kept(&self) -> Option<StoreStatus> {
        match &self.files {
            Some(Files::Written(store)) => Some(store.status()),
            Some(Files::Read(_)) | None => None,
        }
    }

    /// What the machine is.
    pub fn card(&self) -> &IdentityCard {
        &self.card
    }

    /// When to call [`Monitor::tick`] next.
    pub fn due_at(&self) -> Moment {
        self.due_at
    }

    /// Measures everything at `now`, which the wall clock calls `wall`, if that is due.
    pub fn tick(&mut self, now: Moment, wall: WallTime) {
        if now >= self.due_at {
            let recorded = self.period < IDLE_PERIOD;
            let processes_every = if recorded { RECORDED_PROCESSES_EVERY } else { IDLE_PROCESSES_EVERY };
            self.measure(Wanted { view: View::default(), processes_every }, now, wall);
        }
    }

    /// Measures what somebody looks at. Now and then everything is measured along with it; that does not show in the sample.
    pub fn sample(&mut self, wanted: Wanted, now: Moment, wall: WallTime) -> Snapshot {
        let whole = self.whole_at.is_none_or(|at| now - at >= self.period);
        let view = if whole { View { panels: Panels::ALL, ..wanted.view } } else { wanted.view };
        let mut sample = self.measure(Wanted { view, ..wanted }, now, wall);
        sample.view = wanted.view;
        sample
    }

    fn measure(&mut self, wanted: Wanted, now: Moment, wall: WallTime) -> Snapshot {
        self.due_at = now + self.period;
        let mut sample = self.collector.sample(now, wanted);
        self.tell_what_is_not_kept(&mut sample);
        let whole = wanted.view.panels == Panels::ALL;
        if whole {
            self.places = self.collector.places();
            self.largest = self.collector.largest();
            self.busy = self.collector.busiest();
            self.disk_processes = self.collector.disk_processes();
        }
        self.take(&sample, whole, now, wall);
        sample
    }

    /// Whoever looks at a machine should know that there will be no history of it.
    fn tell_what_is_not_kept(&self, sample: &mut Snapshot) {
        let why = self.kept().and_then(|kept| kept.state.why_not());
        if let Some(why) = why.filter(|_| sample.unreadable.len() < MAX_UNREADABLE) {
            let reason = Sentence::cut(&format!("it is not kept: {why}"));
            sample.unreadable.push(Unreadable { source: Label::cut("history"), reason });
        }
    }

    /// Remembers a sample, and now and then thinks about one that has everything.
    fn take(&mut self, sample: &Snapshot, whole: bool, now: Moment, wall: WallTime) {
        let mut figures = figures_of(sample, &self.places);
        if !whole {
            self.ring.push(&figures, wall, now);
            return;
        }
        self.whole_at = Some(now);
        figures.extend(self.outlook.today(&self.sections, wall));
        figures.extend(self.busiest.note(std::mem::take(&mut self.busy), (now, wall)));
        self.ring.push(&figures, wall, now);
        if let Some(Files::Written(store)) = &mut self.files {
            store.push(&figures, wall, now);
        }
        self.newest = Some(sample.clone());
        // What learns from samples learns from as many of them however often somebody looks.
        if self.thought_at.is_some_and(|at| now - at < IDLE_PERIOD) {
            return;
        }
        self.thought_at = Some(now);
        let (ring, files) = (&self.ring, self.files.as_ref());
        let history = |asked: &Query| query(ring, files, asked);
        self.outlook.note((sample, &self.largest), &figures, &self.places, (now, wall), history);
        self.marks.note(sample, &figures, now, wall);
        self.judge(now, wall);
    }

    /// The sections to be read now. Each is named once, until its time has come again.
    pub fn wants(&mut self, now: Moment) -> Vec<SectionId> {
        let due = SECTIONS_EVERY.iter().filter(|(section, every)| match self.asked.get(section) {
            Some(_) if *section == LADDER && !self.attended => false,
            Some(asked) => now - *asked >= *every,
            None => *section != SectionId::Updates || now - self.started >= UPDATES_AFTER,
        });
        let due = due.map(|(section, _)| *section).collect::<Vec<_>>();
        self.asked.extend(due.iter().map(|section| (*section, now)));
        due
    }

    /// Takes sections that were read.
    pub fn surveyed(&mut self, reports: Vec<SectionReport>, now: Moment, wall: WallTime) {
        for report in reports {
            self.outlook.told(&report, now);
            // What was known before says more than that it did not come this time; its age shows.
            let worth_keeping = report.outcome != Outcome::TimedOut || !self.sections.contains_key(&report.section);
            if worth_keeping {
                self.sections.insert(report.section, report);
            }
        }
        self.judge(now, wall);
    }

    /// Takes how long a round trip to the internet takes at `now`, with and without load. It stands in place of the one before.
    pub fn measured_round_trip(&mut self, round_trip: RoundTrip, now: Moment) {
        self.round_trip = Some((round_trip, now));
    }

    /// Whether a section was read, or given up, at least once.
    pub fn knows(&self, section: SectionId) -> bool {
        self.sections.contains_key(&section)
    }

    /// Counts up when the answers become others than they were, and once a minute when only what they rest on does.
    pub fn findings_version(&self) -> u64 {
        self.findings_version
    }

    /// The answers of all checks, the worst first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn judge(&mut self, now: Moment, wall: WallTime) {
        let judgement = self.engine.judge(&Facts {
            now,
            wall,
            card: &self.card,
            sample: self.newest.as_ref(),
            largest: &self.largest,
            history: self.ring.history(),
            trends: self.outlook.trends(),
            round_trip: self.round_trip,
            sections: &self.sections,
        });
        let news = !self.findings.iter().map(standing).eq(judgement.findings.iter().map(standing));
        let moved = || self.findings != judgement.findings && now - self.findings_told_at >= EVIDENCE_EVERY;
        if news || moved() {
            self.findings_version += 1;
            self.findings_told_at = now;
        }
        self.findings = judgement.findings;
        self.findings_left_out = u32::try_from(judgement.left_out).unwrap_or(u32::MAX);
    }

    /// What was measured before. Figures that there are not are not in the answer.
    pub fn history(&self, asked: &HistoryQuery) -> Vec<Series> {
        let wanted = |figure: &Figure| {
            asked.figures.is_empty() || asked.figures.iter().any(|pattern| fits(figure.name(), pattern.raw()))
        };
        let series = Figure::ALL.iter().copied().filter(wanted).map(Pattern::Any).collect();
        let asked =
            Query { from: asked.from, to: asked.to, step_secs: asked.step_secs.max(1), fold: Fold::Mean, series };
        let mut series = query(&self.ring, self.files.as_ref(), &asked);
        self.marks.put_on(&mut series);
        series
    }

    /// The report that opens a session, as `clear` lets it out: everything that is known already, within [`OPENING_BYTES`].
    pub fn opening(&self, wall: WallTime, mut clear: impl FnMut(Report) -> Cleared<Report>) -> Cleared<Report> {
        let sections = OPENING_SECTIONS.iter().filter_map(|section| self.sections.get(section).cloned()).collect();
        let whole = self.report(sections, wall);
        let mut most_bytes = OPENING_BYTES;
        loop {
            let mut report = whole.clone();
            fit(&mut report, most_bytes);
            let cleared = clear(report);
            // Aliases may be longer than what they stand for.
            let over = bytes_of(&cleared).saturating_sub(OPENING_BYTES);
            if over == 0 || most_bytes == 0 {
                return cleared;
            }
            most_bytes = most_bytes.saturating_sub(over.max(OPENING_BYTES / 32));
        }
    }

    /// A report with these sections, within [`Report::MAX_BYTES`].
    pub fn report(&self, sections: Vec<SectionReport>, wall: WallTime) -> Report {
        let mut report = Report::new(self.card.clone(), wall);
        report.findings.clone_from(&self.findings);
        report.sample = self.newest.clone().unwrap_or_default().quantised();
        report.largest.clone_from(&self.largest);
        report.disk_processes.clone_from(&self.disk_processes);
        let from = wall.0.saturating_sub(u64::try_from(OPENING_WINDOW.as_millis()).unwrap_or(0));
        report.recent = OPENING_FIGURES
            .iter()
            .flat_map(|figure| {
                let asked = Query {
                    from: WallTime(from),
                    to: WallTime(wall.0.saturating_add(1)),
                    step_secs: OPENING_STEP_SECS,
                    fold: Fold::Mean,
                    series: vec![Pattern::Any(*figure)],
                };
                query(&self.ring, self.files.as_ref(), &asked)
            })
            .collect();
        self.marks.put_on(&mut report.recent);
        let incomplete = sections.iter().filter(|section| section.outcome != Outcome::Complete);
        report.receipt.incomplete = incomplete.map(|section| section.section).collect();
        report.receipt.rows_left_out = self.findings_left_out;
        report.sections = sections;
        // Aliases may be longer than what they stand for.
        fit(&mut report, Report::MAX_BYTES - Report::MAX_BYTES / 8);
        report
    }
}

/// The files of the history.
#[derive(Debug)]
enum Files {
    /// They are this monitor's.
    Written(Box<Store>),
    /// Another program writes them, or none any more.
    Read(Reader),
}

/// What was measured before, in memory and in files.
fn query(ring: &Ring, files: Option<&Files>, asked: &Query) -> Vec<Series> {
    let opened = match files {
        Some(Files::Written(store)) => store.reader().ok(),
        Some(Files::Read(_)) | None => None,
    };
    let reader = match files {
        Some(Files::Read(reader)) => Some(reader),
        Some(Files::Written(_)) | None => opened.as_ref(),
    };
    asked.run(Some(ring), reader).series
}

/// What a finding says, without what it rests on.
fn standing(finding: &Finding) -> (Check, Option<&Named>, Verdict, Option<Severity>) {
    (finding.check, finding.subject.as_ref(), finding.verdict, finding.severity)
}

/// Whether `name` is what `pattern` says, in which a `*` at the end stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn bytes_of(report: &Report) -> usize {
    wire::codec::encode(report).map_or(usize::MAX, |bytes| bytes.len())
}

/// Leaves out what matters least until the report has no more than `most_bytes`, and counts it.
fn fit(report: &mut Report, most_bytes: usize) {
    if bytes_of(report) <= most_bytes {
        return;
    }
    let mut left_out = 0_usize;
    for finding in report.findings.iter_mut().filter(|finding| finding.verdict != Verdict::Fail) {
        left_out += finding.evidence.len();
        finding.evidence.clear();
    }
    while bytes_of(report) > most_bytes {
        left_out += match (report.recent.pop(), report.sections.pop(), report.findings.pop()) {
            (Some(series), section, finding) => {
                report.sections.extend(section);
                report.findings.extend(finding);
                series.values.len()
            }
            (None, Some(section), finding) => {
                report.findings.extend(finding);
                report.receipt.incomplete.retain(|known| *known != section.section);
                report.receipt.incomplete.push(section.section);
                1
            }
            (None, None, Some(_)) => 1,
            (None, None, None) => break,
        };
    }
    let left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
    report.receipt.rows_left_out = report.receipt.rows_left_out.saturating_add(left_out);
}

#[cfg(test)]
mod tests;
