//! `assent diag probe`: the machine tries its network.

use std::io::IsTerminal as _;

use wire::diagnostics::{
    inspect::Inspect,
    report::{Content, SectionReport},
    sections::probes::{ProbeOutcome, ProbeRequest, ProbeResult},
};

use crate::{cli::DiagProbeArgs, commands::inspect, exit::Exit, output, place::Places, problem::Problem};

/// Has it tried, and shows what came of it.
pub(super) async fn probe(args: &DiagProbeArgs, places: &Places) -> Result<Exit, Problem> {
    let request = args.request().map_err(|why| {
        Problem::new(Exit::Usage, why, "nothing was tried", "Leave it out: assent diag probe --help has examples.")
    })?;
    let waiting = Waiting::for_(&request);
    let found = inspect::section(super::super::wanted(&args.session), Inspect::Probe(request.clone()), places).await;
    drop(waiting);
    let found = found?;
    let result = result_of(&found).ok_or_else(inspect::unexpected)?;
    if result.outcome == ProbeOutcome::Refused {
        return Err(refused(&request, result));
    }
    let text = if args.json { output::json_line(&found) } else { report::markdown::section(&found) };
    output::to_stdout(&text).map_err(|error| super::super::output_problem(&error))?;
    Ok(if result.outcome == ProbeOutcome::Pass { Exit::Ok } else { Exit::Other })
}

/// The one result of one probe.
fn result_of(found: &SectionReport) -> Option<&ProbeResult> {
    match &found.content {
        Some(Content::Probes(probes)) => probes.results.first(),
        _ => None,
    }
}

fn refused(request: &ProbeRequest, result: &ProbeResult) -> Problem {
    let target = request.target().map(ToString::to_string).unwrap_or_default();
    Problem::new(
        Exit::Denied,
        format!("the machine does not probe {target}: {}", result.reason),
        "nothing was sent",
        "Its owner can list a host as probe_hosts in assent/share.toml there.",
    )
}

/// What is being waited for, on a terminal alone.
struct Waiting {
    shown: bool,
}

impl Waiting {
    fn for_(request: &ProbeRequest) -> Self {
        let shown = std::io::stderr().is_terminal();
        if shown {
            output::to_stderr(&format!("the machine tries: {} ", request.name()));
        }
        Self { shown }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.shown {
            output::to_stderr("\r\u{1b}[K");
        }
    }
}
