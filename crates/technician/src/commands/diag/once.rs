//! What `assent diag` has read once: a report, a section, a process, log lines, the history.

use std::time::Duration;

use serde::Serialize;
use transport::clock;
use wire::{
    diagnostics::{
        inspect::{HistoryQuery, Inspect},
        sections::logs::LogQuery,
    },
    text::Label,
    time::WallTime,
};

use crate::{
    cli::{DiagCommand, DiagHistoryArgs, DiagLogsArgs, DiagReportArgs},
    commands::inspect,
    exit::Exit,
    output,
    place::Places,
    problem::Problem,
};

/// Has it read, and shows it.
pub(super) async fn read(what: DiagCommand, places: &Places) -> Result<Exit, Problem> {
    match what {
        DiagCommand::Report(args) => report(&args, places).await,
        DiagCommand::Section(args) => {
            let what = Inspect::Section(args.section);
            let section = inspect::section(super::super::wanted(&args.session), what, places).await?;
            show(&section, args.json)
        }
        DiagCommand::Process(args) => {
            let what = Inspect::Process { pid: args.pid, start_ticks: None };
            let section = inspect::section(super::super::wanted(&args.session), what, places).await?;
            show(&section, args.json)
        }
        DiagCommand::Logs(args) => {
            let section =
                inspect::section(super::super::wanted(&args.session), Inspect::Logs(query(&args)), places).await?;
            show(&section, args.json)
        }
        DiagCommand::History(args) => {
            let what = Inspect::History(span(&args));
            let series = inspect::history(super::super::wanted(&args.session), what, places).await?;
            show(&series, args.json)
        }
    }
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
        None => show(&found, args.json),
    }
}

fn query(args: &DiagLogsArgs) -> LogQuery {
    LogQuery {
        units: args.unit.iter().map(|unit| Label::cut(unit)).collect(),
        least: args.priority,
        since: args.since.map(ago),
        limit: args.lines,
        ..LogQuery::default()
    }
}

fn span(args: &DiagHistoryArgs) -> HistoryQuery {
    HistoryQuery {
        from: ago(args.from),
        to: ago(args.to.min(args.from)),
        step_secs: u32::try_from(args.step.as_secs()).unwrap_or(u32::MAX).max(1),
        figures: args.series.iter().map(|figure| Label::cut(figure)).collect(),
    }
}

fn ago(time: Duration) -> WallTime {
    WallTime(clock::wall_time().0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

fn show(found: &impl Serialize, json: bool) -> Result<Exit, Problem> {
    let _ = json;
    output::to_stdout(&output::json_line(found)).map_err(|error| super::super::output_problem(&error))?;
    Ok(Exit::Ok)
}
