//! `assent-share doctor`: the checks that a technician would see, for the person at the machine. No relay, no technician.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    error::Error,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use diagnostics::{Monitor, Privacy, Roots, Scopes, Survey, Wanted};
use report::wording::{plain, technical, words_of};
use transport::clock;
use unicode_width::UnicodeWidthStr as _;
use wire::diagnostics::findings::{Evidence, Finding, Severity, Verdict, What};
use wire::diagnostics::report::{Report, SectionId, SectionReport};
use wire::session::Ability;
use wire::text::shown;
use wire::time::{Moment, WallTime};

use crate::{
    options::{self, ConfigError},
    watch,
};

/// Time between the first two looks: rates need one.
const LOOK: Duration = Duration::from_secs(1);

/// How long the slowest section is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Columns of what is told.
const COLUMNS: usize = 80;

/// Most things that are named of those of which one check tells nothing.
const NAMED: usize = 3;

/// Some checks fail only after what they see has stayed for a while, an hour at most. Whoever looks once asks them again as if so much
/// time had gone by, in steps that are short enough for them to believe that nobody looked away.
const HOLD_STEP: Duration = Duration::from_mins(4);
const HOLD_STEPS: u32 = 20;

/// What to do with what was found.
#[derive(Debug, Clone, clap::Args)]
pub struct DoctorArguments {
    /// Show it as a technician would see it who was allowed no more than the basics: names, addresses and serial numbers are replaced
    #[arg(long)]
    pub as_sent: bool,

    /// Write a page that needs nothing else, to read or print
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub html: Option<PathBuf>,

    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,

    /// Configuration file; its history_dir is looked at, and not changed. Default: assent/share.toml in the configuration folder, if it is
    /// there
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Why `doctor` could not do it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DoctorError {
    /// The page could not be written.
    #[error("{path} was not written")]
    #[diagnostic(help("nothing was changed; choose another place"))]
    Page {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: audit::files::FileError,
    },
    /// The configuration file that was named cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// What is printed cannot be written.
    #[error("what was found could not be printed")]
    #[diagnostic(help("nothing was changed; check where the output goes to"))]
    Print(#[source] io::Error),
}

impl DoctorError {
    /// Exit code of the program: 2 for wrong usage, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Page { .. } | Self::Print(_) => 1,
        }
    }
}

/// Looks at this machine once, and tells what was found. Changes nothing.
///
/// # Errors
///
/// If what was found cannot be told.
pub fn run(arguments: &DoctorArguments) -> Result<(), DoctorError> {
    let history = match options::history_dir(arguments.config.as_deref()) {
        Err(error) if arguments.config.is_some() => return Err(error.into()),
        Err(error) => {
            note(&error);
            None
        }
        Ok(history) => history,
    };
    let report = look(history.as_deref());
    let report = match arguments.as_sent {
        true => as_sent(report),
        false => report,
    };
    let text = match &arguments.html {
        Some(path) => write_page(path, &report)?,
        None if arguments.json => report::export::harmless(&serde_json::to_string(&report).unwrap_or_default()) + "\n",
        None => tell(&report),
    };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(DoctorError::Print),
    }
}

/// Says that what was measured before is not looked at, and why.
fn note(error: &dyn Error) {
    let mut why = shown(&error.to_string());
    let mut cause = error.source();
    while let Some(error) = cause {
        why.push_str(&format!(": {}", shown(&error.to_string())));
        cause = error.source();
    }
    let _ = writeln!(io::stderr(), "what was measured before is not looked at: {why}");
}

/// What a technician gets who was allowed the basics and nothing else.
fn as_sent(mut report: Report) -> Report {
    report.sections.retain(|section| section.section.ability() == Ability::DiagBasic);
    report.receipt.incomplete.retain(|section| section.ability() == Ability::DiagBasic);
    Privacy::new(&Roots::default()).clear_report(report, Scopes::default()).into_inner()
}

/// Measures twice and reads every section, with a word on what is still being waited for.
fn look(history: Option<&Path>) -> Report {
    let mut monitor = Monitor::new(Roots::default(), clock::now());
    if let Some(Err(error)) = history.map(|folder| monitor.look_back_in(folder)) {
        note(&error);
    }
    let survey = Survey::new(watch::sources());
    let sections = SectionId::ALL.iter().copied();
    let sections =
        sections.filter(|section| !matches!(section, SectionId::Process | SectionId::Probes | SectionId::Logs));
    let sections = Arc::new(sections.collect::<Vec<_>>());
    let (read, came) = sync_channel(sections.len());
    let asked = Arc::clone(&sections);
    let reading = thread::spawn(move || {
        survey.read_each(&asked, PATIENCE, clock::wall_time(), |report| drop(read.send(report)));
    });
    let begun = clock::now();
    let mut reports = Vec::new();
    let progress = Progress::new();
    while let Ok(report) = came.recv() {
        reports.push(report);
        progress.show(reports.len(), sections.len());
    }
    drop(reading.join());
    // Rates cover at least so long.
    thread::sleep(LOOK.saturating_sub(clock::now() - begun));
    progress.clear();
    reports.sort_by_key(|report| report.section);
    conclude(&mut monitor, reports, clock::now(), clock::wall_time())
}

/// Judges what was read and measured. The sections come first: a sample with all that is known is what trends are worked out with.
fn conclude(monitor: &mut Monitor, sections: Vec<SectionReport>, now: Moment, wall: WallTime) -> Report {
    monitor.surveyed(sections.clone(), now, wall);
    let at_first = monitor.findings().to_vec();
    monitor.sample(Wanted::default(), now, wall);
    let mut report = monitor.report(sections, wall);
    for step in 1..=HOLD_STEPS {
        monitor.surveyed(Vec::new(), now + HOLD_STEP * step, wall);
    }
    for finding in report.findings.iter_mut().filter(|finding| finding.verdict != Verdict::Fail) {
        let other = |all: &[Finding], verdict| {
            let same = |other: &&Finding| other.check == finding.check && other.subject == finding.subject;
            all.iter().filter(same).find(|other| other.verdict == verdict).cloned()
        };
        let in_no_time = |one: &Evidence| one.what == What::Window && one.amount.is_some_and(|over| over.value == 0);
        // That a counter did not go up from one question to the next says nothing.
        let passes_unseen = finding.verdict == Verdict::Pass && finding.evidence.iter().any(in_no_time);
        let unseen = other(&at_first, Verdict::Unknown).filter(|_| passes_unseen);
        // Nothing but time has gone by, so nothing but what needs it may have come of it.
        if let Some(other) = unseen.or_else(|| other(monitor.findings(), Verdict::Fail)) {
            *finding = other;
        }
    }
    report.findings.sort_by_key(|finding| Reverse((finding.verdict == Verdict::Fail, finding.severity)));
    report
}

/// What was found, in plain words.
fn tell(report: &Report) -> String {
    let of = |verdict| report.findings.iter().filter(move |finding| finding.verdict == verdict);
    let mut text = String::new();
    for finding in of(Verdict::Fail) {
        let weight = match finding.severity {
            Some(Severity::Critical) => "URGENT",
            Some(Severity::Warning) => "LOOK AT",
            Some(Severity::Info) | None => "NOTE",
        };
        text.push_str(&format!("{weight}  {}\n", words_of(finding).title));
        text.push_str(&paragraph(&plain(finding), "  "));
        text.push_str(&paragraph(&technical(finding), "  > "));
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("Nothing was found to be wrong.\n\n");
    }
    let title = |finding: &Finding| words_of(finding).title;
    let told = of(Verdict::Fail).map(title).collect::<BTreeSet<_>>();
    let passed = of(Verdict::Pass).map(title).filter(|title| !told.contains(title)).collect::<BTreeSet<_>>();
    if !passed.is_empty() {
        let passed = passed.into_iter().collect::<Vec<_>>().join(". ");
        text.push_str(&format!("Looked for, and not the case:\n{}\n", paragraph(&passed, "  ")));
    }
    text + &untold(of(Verdict::Unknown))
}

/// What could not be told, below why not.
fn untold<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    let mut reasons = BTreeMap::<String, BTreeMap<&str, BTreeSet<String>>>::new();
    for finding in findings {
        let reason = finding.reason.as_ref().map_or_else(String::new, |reason| shown(reason.raw()));
        let things = reasons.entry(why_not(&reason)).or_default().entry(words_of(finding).title).or_default();
        things.extend(finding.subject.as_ref().map(|subject| shown(subject.label().raw())));
    }
    if reasons.is_empty() {
        return String::new();
    }
    let mut text = "Could not be told:\n".to_owned();
    for (reason, titles) in reasons {
        let titles = titles.into_iter().map(|(title, things)| match things.len() {
            0 => title.to_owned(),
            count => {
                let named = things.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
                let more = count.checked_sub(NAMED).filter(|more| *more > 0);
                let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
                format!("{title} ({named}{more})")
            }
        });
        text.push_str(&paragraph(&format!("{reason}:"), "  "));
        text.push_str(&paragraph(&titles.collect::<Vec<_>>().join(". "), "    "));
    }
    text + "\n"
}

/// Why something could not be told, for the person at the machine: the reasons of checks are written for who watches for hours.
fn why_not(reason: &str) -> String {
    let takes_time = reason.starts_with("the last ") && reason.ends_with(" are not known yet")
        || reason.contains("not watched for long enough")
        || reason.ends_with("is recent is not known yet")
        || reason.ends_with("are recent is not known yet");
    if takes_time {
        return "It shows only after a while, and this was one look".to_owned();
    }
    if reason == "nobody has measured it" {
        return "It is measured only while a technician helps".to_owned();
    }
    let mut characters = reason.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => "Nobody knows why".to_owned(),
    }
}

/// `text` in lines of at most [`COLUMNS`], each behind `margin`.
fn paragraph(text: &str, margin: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() + margin.width() > COLUMNS {
            lines.push_str(&format!("{margin}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + margin + &line + "\n"
}

/// Writes the page; what to tell of it.
fn write_page(path: &Path, report: &Report) -> Result<String, DoctorError> {
    let page = report::html::html(report);
    // It tells much about this machine.
    audit::files::write_atomic(path, page.as_bytes(), 0o600)
        .map_err(|source| DoctorError::Page { path: path.to_owned(), source })?;
    let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let place = shown(&place.display().to_string());
    Ok(format!("The page is in {place}\nIt was sent to nobody and stays on this computer. It says much about it.\n"))
}

/// How far the reading is, on a terminal alone.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    fn show(&self, done: usize, of: usize) {
        if self.shown {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\rlooking at this computer: {done} of {of}").and_then(|()| err.flush());
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = io::stderr().lock().write_all(b"\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::{
        diagnostics::{
            findings::{Check, Confidence},
            report::{Content, Outcome},
            schema::Named,
            sections::services::{AutostartLeftOut, Manager, RestartedService, Services, Systemd},
        },
        text::{Label, Sentence},
    };

    use super::*;

    const NOW: WallTime = WallTime(1_795_327_200_000);

    /// What is concluded of a machine without files that has these sections.
    fn concluded(contents: Vec<Content>) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let now = clock::now();
        let sections = contents.into_iter().map(section).collect();
        conclude(&mut Monitor::new(Roots::under(folder.path()), now), sections, now, NOW)
    }

    fn section(content: Content) -> SectionReport {
        let (section, outcome) = (content.section(), Outcome::Complete);
        SectionReport { section, taken_at: NOW, took_ms: 1, outcome, sources: Vec::new(), content: Some(content) }
    }

    fn verdicts(report: &Report, check: Check) -> Vec<Verdict> {
        let of_check = report.findings.iter().filter(|finding| finding.check == check);
        of_check.map(|finding| finding.verdict).collect()
    }

    #[test]
    fn one_look_suffices_for_what_otherwise_has_to_stay_for_a_while() {
        // A machine without an address.
        let network = || Content::Network(Box::default());
        let report = concluded(vec![network()]);
        assert_eq!(report.findings[0].check, Check::NetworkLadder, "the worst first");
        assert_eq!(verdicts(&report, Check::NetworkLadder), [Verdict::Fail]);
        // Who watches is not alarmed at once, nor told that it is fine.
        let folder = tempfile::tempdir().unwrap();
        let mut watching = Monitor::new(Roots::under(folder.path()), clock::now());
        watching.surveyed(vec![section(network())], clock::now(), NOW);
        let told = watching.findings().iter().find(|finding| finding.check == Check::NetworkLadder).unwrap();
        assert_eq!(told.verdict, Verdict::Unknown);
    }

    #[test]
    fn a_counter_that_was_seen_once_is_not_one_that_stands_still() {
        let (name, state) = (Label::cut("spooler.service"), Label::cut("activating"));
        let service = RestartedService { name, restarts: 4711, state };
        let systemd = Systemd { restarted: vec![service], ..Systemd::default() };
        let services = Services {
            manager: Manager::Systemd,
            systemd: Some(systemd),
            own_systemd: None,
            autostart_entries: 0,
            own_autostart_entries: None,
            autostart_left_out: AutostartLeftOut::default(),
            autostart: Vec::new(),
            cron_entries: 0,
            cron: Vec::new(),
            user_crontabs: None,
        };
        let report = concluded(vec![Content::Services(Box::new(services))]);
        assert_eq!(verdicts(&report, Check::RestartLoop), [Verdict::Unknown]);
        assert!(untold(report.findings.iter()).contains("this was one look"), "{}", untold(report.findings.iter()));
    }

    #[test]
    fn what_could_not_be_told_stands_below_its_reason_in_narrow_lines() {
        let finding = |check, subject: Option<&str>, reason: &str| Finding {
            check,
            version: 1,
            verdict: Verdict::Unknown,
            severity: None,
            confidence: Confidence::High,
            subject: subject.map(|name| Named::Technical(Label::cut(name))),
            since: None,
            reason: Some(Sentence::cut(reason)),
            evidence: Vec::new(),
            forecast: None,
            exonerates: Vec::new(),
            runbook: Label::cut(""),
        };
        let findings = [
            finding(Check::CpuBusy, None, "the last 10 minutes are not known yet"),
            finding(Check::CpuIowait, None, "the last 15 minutes are not known yet"),
            finding(Check::SpaceForecast, None, "file systems were not watched for long enough"),
            finding(Check::NvmeWear, Some("nvme3n1"), "only root may ask it\u{1b}[2J"),
            finding(Check::NvmeWear, Some("nvme0n1"), "only root may ask it\u{1b}[2J"),
            finding(Check::NvmeWear, Some("nvme1n1"), "only root may ask it\u{1b}[2J"),
            finding(Check::NvmeWear, Some("nvme2n1"), "only root may ask it\u{1b}[2J"),
            finding(Check::LatencyUnderLoad, None, "nobody has measured it"),
        ];
        let text = untold(findings.iter());
        assert_eq!(text.matches("It shows only after a while").count(), 1, "{text}");
        assert!(text.contains("  Only root may ask it\\u{1b}[2J:\n"), "{text}");
        assert!(text.contains("(nvme0n1, nvme1n1, nvme2n1 and 1 more)"), "{text}");
        assert!(text.contains("  It is measured only while a technician helps:\n"), "{text}");
        assert!(text.lines().all(|line| line.width() <= COLUMNS), "{text}");
        assert_eq!(untold([].iter()), "");
    }

    #[test]
    fn what_needs_a_consent_of_its_own_is_not_shown_as_sent() {
        let empty = |section| SectionReport {
            section,
            taken_at: NOW,
            took_ms: 1,
            outcome: Outcome::Unavailable,
            sources: Vec::new(),
            content: None,
        };
        let mut report = Report::new(Monitor::new(Roots::default(), clock::now()).card().clone(), NOW);
        report.sections = SectionId::ALL.iter().copied().map(empty).collect();
        report.receipt.incomplete = SectionId::ALL.to_vec();
        let sent = as_sent(report);
        let shown = sent.sections.iter().map(|section| section.section).collect::<Vec<_>>();
        assert!(shown.contains(&SectionId::Storage));
        for withheld in [SectionId::Network, SectionId::Probes, SectionId::Logs, SectionId::Process] {
            assert!(!shown.contains(&withheld) && !sent.receipt.incomplete.contains(&withheld), "{withheld:?}");
        }
    }
}
