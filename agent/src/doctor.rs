//! `assent-share doctor`: the checks that a technician would see, for the person at the machine. No relay, no technician.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::Duration,
};

use diagnostics::{Monitor, Privacy, Roots, Scopes, Survey, Wanted};
use report::wording::{plain, technical, words};
use transport::clock;
use unicode_width::UnicodeWidthStr as _;
use wire::diagnostics::findings::{Finding, Severity, Verdict};
use wire::diagnostics::report::{Report, SectionId};
use wire::session::Ability;

use crate::watch;

/// Time between the first two looks: rates need one.
const LOOK: Duration = Duration::from_secs(1);

/// How long the slowest section is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// Nobody reads what is printed.
    #[error("what was found could not be printed")]
    #[diagnostic(help("nothing was changed; check where the output goes to"))]
    Print(#[source] io::Error),
}

/// Looks at this machine once, and tells what was found. Changes nothing.
///
/// # Errors
///
/// If what was found cannot be told.
pub fn run(arguments: &DoctorArguments) -> Result<(), DoctorError> {
    let report = look();
    let report = match arguments.as_sent {
        true => as_sent(report),
        false => report,
    };
    if let Some(path) = &arguments.html {
        return write_page(path, &report);
    }
    let text = match arguments.json {
        true => report::export::harmless(&serde_json::to_string(&report).unwrap_or_default()) + "\n",
        false => tell(&report),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(DoctorError::Print)
}

/// What a technician gets who was allowed the basics and nothing else.
fn as_sent(mut report: Report) -> Report {
    report.sections.retain(|section| section.section.ability() == Ability::DiagBasic);
    report.receipt.incomplete.retain(|section| section.ability() == Ability::DiagBasic);
    Privacy::new(&Roots::default()).clear_report(report, Scopes::default()).into_inner()
}

/// Measures twice and reads every section, with a word on what is still being waited for.
fn look() -> Report {
    let mut monitor = Monitor::new(Roots::default(), clock::now());
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
    monitor.sample(Wanted::default(), clock::now(), clock::wall_time());
    reports.sort_by_key(|report| report.section);
    monitor.surveyed(reports.clone(), clock::now(), clock::wall_time());
    monitor.report(reports, clock::wall_time())
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
        text.push_str(&format!("{weight}  {}\n", words(finding.check).title));
        text.push_str(&paragraph(&plain(finding), "  "));
        text.push_str(&paragraph(&technical(finding), "  > "));
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("Nothing was found to be wrong.\n\n");
    }
    let title = |finding: &Finding| words(finding.check).title;
    let told = of(Verdict::Fail).map(title).collect::<BTreeSet<_>>();
    let titles = |verdict| {
        let titles = of(verdict).map(title).filter(|title| !told.contains(title)).collect::<BTreeSet<_>>();
        titles.into_iter().collect::<Vec<_>>().join(". ")
    };
    let headings = [("Looked for, and not the case", Verdict::Pass), ("Could not be told", Verdict::Unknown)];
    for (heading, verdict) in headings {
        let titles = titles(verdict);
        if !titles.is_empty() {
            text.push_str(&format!("{heading}:\n{}\n", paragraph(&titles, "  ")));
        }
    }
    text
}

/// `text` in lines of at most 80 columns, each behind `margin`.
fn paragraph(text: &str, margin: &str) -> String {
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() + margin.width() > 80 {
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

fn write_page(path: &Path, report: &Report) -> Result<(), DoctorError> {
    let page = report::html::html(report);
    // It tells much about this machine.
    audit::files::write_atomic(path, page.as_bytes(), 0o600)
        .map_err(|source| DoctorError::Page { path: path.to_owned(), source })
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
        diagnostics::report::{Outcome, SectionReport},
        time::WallTime,
    };

    use super::*;

    #[test]
    fn what_needs_a_consent_of_its_own_is_not_shown_as_sent() {
        let empty = |section| SectionReport {
            section,
            taken_at: WallTime(1),
            took_ms: 1,
            outcome: Outcome::Unavailable,
            sources: Vec::new(),
            content: None,
        };
        let mut report = Report::new(Monitor::new(Roots::default(), clock::now()).card().clone(), WallTime(1));
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
