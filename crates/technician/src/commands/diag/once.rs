//! The commands below `assent diag`: a report, a section, a process, log lines, the history, and what is made of them.

use std::path::Path;

use report::{export::Measured, spark::sparkline, text::Line};
use transport::clock;
use wire::{
    diagnostics::{
        View,
        findings::Amount,
        inspect::{HistoryQuery, Inspect},
        report::{Content, REPORT_BYTES, Report, SectionReport, Series},
        sections::process::Arguments,
    },
    text::Label,
    time::WallTime,
};

use super::{Next, Readings};
use crate::{
    cli::{DiagCommand, DiagDiffArgs, DiagExportArgs, DiagHistoryArgs, DiagProcessArgs, DiagReportArgs, ExportForm},
    commands::inspect,
    exit::Exit,
    output,
    place::Places,
    problem::Problem,
};

/// Columns of what is printed.
const WIDTH: usize = 80;

/// Largest report that is read from a file: numbers take more room as text than on the wire.
const SAVED_BYTES: u64 = 24 * REPORT_BYTES as u64;

/// Carries one out.
pub(super) async fn read(what: DiagCommand, places: &Places) -> Result<Exit, Problem> {
    match what {
        DiagCommand::Report(args) => report(&args, places).await,
        DiagCommand::Section(args) => {
            let what = Inspect::Section(args.section);
            let section = inspect::section(super::super::wanted(&args.session), what, places).await?;
            show_section(&section, args.json)
        }
        DiagCommand::Process(args) => {
            let what = Inspect::Process { pid: args.pid, start_ticks: None };
            let section = inspect::section(super::super::wanted(&args.session), what, places).await?;
            if args.arguments { arguments(&args, &section, places).await } else { show_section(&section, args.json) }
        }
        DiagCommand::Logs(args) => super::logs::logs(&args, places).await,
        DiagCommand::History(args) => {
            let what = Inspect::History(span(&args)?);
            let series = inspect::history(super::super::wanted(&args.session), what, places).await?;
            match (args.csv, args.json) {
                (true, _) => print(&report::export::csv(&series)),
                (false, true) => print(&output::json_line(&series)),
                (false, false) => print(&lines_of(&series)),
            }
        }
        DiagCommand::Diff(args) => diff(&args),
        DiagCommand::Export(args) => export(&args, places).await,
        DiagCommand::Watch(args) => super::watch::watch(&args, places).await,
        DiagCommand::Probe(args) => super::probe::probe(&args, places).await,
    }
}

async fn export(args: &DiagExportArgs, places: &Places) -> Result<Exit, Problem> {
    let mut readings = Readings::begin(&args.session, View::default(), places).await?;
    let reading = match readings.first().await? {
        Next::Reading(reading) => reading,
        Next::Stopped(stop) => return Ok(Exit::Signal(stop.number())),
    };
    let at = WallTime(clock::wall_time().0.saturating_sub(reading.age_ms));
    let measured = Measured { card: reading.card, at, sample: &reading.sample, findings: reading.findings };
    print(&match args.form {
        ExportForm::Prometheus => report::export::prometheus(&measured),
        ExportForm::Jsonl => report::export::json_line(&measured),
        #[cfg(feature = "otlp")]
        ExportForm::Otlp => report::export::otlp(&measured) + "\n",
    })
}

async fn report(args: &DiagReportArgs, places: &Places) -> Result<Exit, Problem> {
    let found = inspect::report(super::super::wanted(&args.session), places).await?;
    match &args.html {
        Some(path) => {
            let page = report::html::html(&found);
            // It tells much about a machine.
            audit::files::write_atomic(path, page.as_bytes(), 0o600).map_err(|error| {
                let happened = format!("{} was not written", super::super::shown_path(path));
                Problem::new(Exit::Other, happened, "the report is not kept", "Choose another place.").because(&error)
            })?;
            output::to_stdout(&format!("{}\n", super::super::shown_path(path)))
                .map_err(|error| super::super::output_problem(&error))?;
            Ok(Exit::Ok)
        }
        None if args.json => print(&output::json_line(&found)),
        None if args.md => print(&report::markdown::markdown(&found)),
        None => print(&plain(report::text::text(&found, WIDTH))),
    }
}

/// The arguments of the process that was just read: of that one and of none that takes its number meanwhile.
async fn arguments(args: &DiagProcessArgs, process: &SectionReport, places: &Places) -> Result<Exit, Problem> {
    let Some(Content::Process(process)) = &process.content else {
        let happened = format!("there is no process {} that can be read", args.pid);
        return Err(Problem::new(Exit::Runner, happened, "nobody was asked", "See what runs now: assent diag."));
    };
    let what = Inspect::Arguments { pid: process.pid, start_ticks: process.start_ticks };
    let found = inspect::arguments(super::super::wanted(&args.session), what, places).await?;
    print(&if args.json { output::json_line(&found) } else { lines_of_arguments(&found) })
}

/// One argument a line, and what is not shown of them.
fn lines_of_arguments(found: &Arguments) -> String {
    let mut text = format!("{} ({}) was started with\n", found.name, found.pid);
    for argument in &found.arguments.0 {
        text.push_str(&format!("  {argument}\n"));
    }
    if found.arguments.0.is_empty() {
        text.push_str("  nothing: it is a part of the system's kernel, or took its arguments away\n");
    }
    let more = if found.uncounted { " at least" } else { "" };
    if found.left_out > 0 {
        text.push_str(&format!("not shown:{more} {} more\n", found.left_out));
    }
    if found.shortened > 0 {
        text.push_str(&format!("shown without their end: {}\n", found.shortened));
    }
    text.push_str("What looked like a secret was taken out. Others may be left: treat it as one.\n");
    text
}

fn span(args: &DiagHistoryArgs) -> Result<HistoryQuery, Problem> {
    let now = clock::wall_time();
    let (from, to) = (args.from.seen_from(now), args.to.seen_from(now));
    if from > to {
        let happened = format!("--from ({from}) is later than --to ({to})");
        return Err(Problem::new(Exit::Usage, happened, "nothing was asked for", "Give the earlier time to --from."));
    }
    Ok(HistoryQuery {
        from,
        to,
        step_secs: u32::try_from(args.step.as_secs()).unwrap_or(u32::MAX).max(1),
        figures: args.series.iter().map(|figure| Label::cut(figure)).collect(),
    })
}

/// One series a line: its last minutes as blocks, and the least, greatest and newest value.
fn lines_of(series: &[Series]) -> String {
    let mut text = String::new();
    for one in series {
        let known = || one.values.iter().flatten().copied();
        let amount = |value: Option<i64>| {
            value.map_or_else(|| "-".to_owned(), |value| report::units::amount(Amount { value, unit: one.unit }))
        };
        let subject = one.subject.as_ref().map(|subject| format!(" {}", subject.label())).unwrap_or_default();
        text.push_str(&format!(
            "{:<28} {} {} to {}, now {}\n",
            format!("{}{subject}", one.figure),
            sparkline(&one.values, 30, None),
            amount(known().min()),
            amount(known().max()),
            amount(one.values.iter().rev().find_map(|value| *value)),
        ));
    }
    if text.is_empty() {
        text.push_str("nothing was measured in that time\n");
    }
    text
}

fn diff(args: &DiagDiffArgs) -> Result<Exit, Problem> {
    let difference = report::diff::diff(&saved(&args.a)?, &saved(&args.b)?);
    print(&match (args.json, args.md) {
        (true, _) => difference.json() + "\n",
        (false, true) => difference.markdown(),
        (false, false) => plain(difference.text(WIDTH)),
    })
}

/// A report that was saved. Files are believed no more than peers.
fn saved(path: &Path) -> Result<Report, Problem> {
    let problem = |why: String| {
        let happened = format!("{} is no report", super::super::shown_path(path));
        Problem::new(Exit::Usage, happened, "nothing was compared", "Save one: assent diag report --json > FILE.")
            .because_of(&std::io::Error::other(why))
    };
    let size = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?.len();
    if size > SAVED_BYTES {
        return Err(problem(format!("it has more than {SAVED_BYTES} bytes")));
    }
    let text = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
    let report = serde_json::from_slice::<Report>(&text).map_err(|error| problem(error.to_string()))?;
    report.check().map_err(|error| problem(error.to_string()))?;
    Ok(report)
}

fn show_section(found: &SectionReport, json: bool) -> Result<Exit, Problem> {
    print(&match report::processes::tree(found) {
        _ if json => output::json_line(found),
        Some(tree) => tree,
        None => report::markdown::section(found),
    })
}

fn plain(lines: Vec<Line>) -> String {
    lines.into_iter().map(|line| line.text + "\n").collect()
}

pub(super) fn print(text: &str) -> Result<Exit, Problem> {
    output::to_stdout(text).map_err(|error| super::super::output_problem(&error))?;
    Ok(Exit::Ok)
}
