//! A log as a person reads it.

use std::{
    fmt,
    io::{self, Write},
    path::Path,
};

use wire::{
    evidence::{AnsweredBy, Event},
    run::{OutputCount, RunLimits, RunOutcome},
    session::{Ability, Absence, GrantEnd, Subject},
    text::shown,
};

use crate::{
    line::{Content, Entry},
    summary::Summary,
    verify::{VerifyError, read_file},
};

/// How far the lines of an entry are indented after its first.
const INDENT: &str = "                              ";

/// Why a log was not shown to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The log is not intact. Everything before the bad entry was shown.
    #[error(transparent)]
    Verify(VerifyError),
    /// Nobody takes the text.
    #[error("the text could not be written")]
    Output(#[source] io::Error),
}

/// Writes a whole log as plain text while checking it, and returns what it comes to.
///
/// # Errors
///
/// [`RenderError::Verify`] as from [`crate::verify_file`]: what was written up to there is good.
pub fn file(path: &Path, out: &mut impl Write) -> Result<Summary, RenderError> {
    let mut written = Ok(());
    let summary = read_file(path, |entry| {
        if written.is_ok() {
            written = writeln!(out, "{}", Rendered(entry));
        }
    });
    written.map_err(RenderError::Output)?;
    summary.map_err(RenderError::Verify)
}

/// One entry as plain text, without a line end after it. Texts of a peer are made safe to show.
pub fn entry(entry: &Entry) -> String {
    Rendered(entry).to_string()
}

struct Rendered<'a>(&'a Entry);

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { n, at, content } = self.0;
        write!(f, "{n:>6}  {at}  ")?;
        match content {
            Content::Event(event) => write_event(f, event),
            Content::Closed { head, .. } => write!(f, "Log closed and signed by the agent over {head}"),
        }
    }
}

fn write_event(f: &mut fmt::Formatter<'_>, event: &Event) -> fmt::Result {
    match event {
        Event::Paired { session, agent_version, agent_key, technician_key, technician, organisation } => {
            write!(f, "Paired with {}", who(technician, organisation.as_deref()))?;
            write!(f, "\n{INDENT}session {session}, agent version {}", shown(agent_version))?;
            write!(f, "\n{INDENT}agent key {agent_key}\n{INDENT}technician key {technician_key}")
        }
        Event::AskedForAbilities { subject, abilities, reason, prompt: _ } => {
            write!(f, "Asking the end user, {}: {}", about(*subject), names(abilities))?;
            write!(f, "\n{INDENT}reason given: {}", quoted(reason))
        }
        Event::AskedForRun {
            run,
            reason,
            program,
            arguments,
            directory,
            user,
            environment,
            limits,
            digest,
            prompt: _,
        } => {
            write!(f, "Asking the end user to allow {run}\n{INDENT}reason given: {}", quoted(reason))?;
            write!(f, "\n{INDENT}program   {}", quoted(program))?;
            for argument in arguments {
                write!(f, "\n{INDENT}argument  {}", quoted(argument))?;
            }
            write!(f, "\n{INDENT}directory {}\n{INDENT}user      {}", quoted(directory), quoted(user))?;
            for variable in environment {
                write!(f, "\n{INDENT}variable  {}", quoted(variable))?;
            }
            let RunLimits { time_secs, output_bytes, memory_mib } = limits;
            write!(f, "\n{INDENT}limits    {time_secs} s, {output_bytes} bytes of output, {memory_mib} MiB of memory")?;
            write!(f, "\n{INDENT}digest    {digest}")
        }
        Event::AskedForInspection { inspection, what, about, digest, prompt: _ } => {
            write!(f, "Asking the end user to allow {inspection}")?;
            write!(f, "\n{INDENT}reads     {}, called {}", quoted(what), quoted(about))?;
            write!(f, "\n{INDENT}digest    {digest}")
        }
        Event::WordsConfirmed => write!(f, "The end user confirmed the two words"),
        Event::Granted { grant, subject, abilities, stay_secs, prompt: _, answered_by } => {
            write!(f, "Allowed by the end user {}, {}: {}", place(*answered_by), about(*subject), names(abilities))?;
            write!(f, "\n{INDENT}{grant}, for {stay_secs} s")
        }
        Event::Denied { subject, reason } => write!(f, "Denied, {}: {reason}", about(*subject)),
        Event::Narrowed { grant, abilities } => {
            write!(f, "Narrowed {grant}; still allowed: {}", names(abilities))
        }
        Event::GrantEnded { grant, reason } => write!(f, "End of {grant}: {}", grant_end(*reason)),
        Event::DiagnosticsStarted { grant, period_ms } => {
            write!(f, "Live diagnostics start under {grant}, a sample every {period_ms} ms")
        }
        Event::DiagnosticsStopped => write!(f, "Live diagnostics stopped"),
        Event::Inspecting { inspection, grant, what } => write!(f, "{inspection} reads {} under {grant}", quoted(what)),
        Event::InspectionStopped { inspection } => write!(f, "{inspection} was stopped before its answer was sent"),
        Event::RunStarting { run, grant, digest } => {
            write!(f, "Starting {run} under {grant}\n{INDENT}digest    {digest}")
        }
        Event::RunStopping { run } => write!(f, "Stopping {run}"),
        Event::RunFinished { run, outcome, stdout, stderr } => {
            write!(f, "End of {run}: {}", outcome_in_words(outcome))?;
            write!(f, "\n{INDENT}output {}\n{INDENT}errors {}", count(*stdout), count(*stderr))
        }
        Event::Paused { reason } => write!(f, "Paused: {}", absence(*reason)),
        Event::Resumed => write!(f, "The end user is back"),
        Event::Violation { what } => write!(f, "The technician's program broke the protocol: {}", quoted(what)),
        Event::DirectAllowed => write!(f, "The machines tell each other their addresses, to connect directly"),
        Event::DirectUsed => write!(f, "The machines are connected directly"),
        Event::Ended { reason } => write!(f, "End of the session: {reason}"),
        _ => write!(f, "Something that this version has no words for"),
    }
}

/// The technician in words. What was found out comes before what a peer wrote, so that no name can talk its way around it.
pub(crate) fn who(technician: &str, organisation: Option<&str>) -> String {
    match organisation {
        Some(organisation) => {
            format!("technician {} of {}, verified by certificate", quoted(technician), quoted(organisation))
        }
        None => format!("an unverified technician who uses the name {}", quoted(technician)),
    }
}

/// Text of a peer between quotation marks, with every mark inside escaped: it cannot end the quotation itself.
fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text).replace('"', "\\\""))
}

fn names(abilities: &[Ability]) -> String {
    if abilities.is_empty() {
        return "nothing".to_owned();
    }
    abilities.iter().map(|ability| ability.name()).collect::<Vec<_>>().join(", ")
}

fn about(subject: Subject) -> String {
    match subject {
        Subject::Request(request) => request.to_string(),
        Subject::Run(run) => run.to_string(),
        Subject::Inspection(inspection) => inspection.to_string(),
    }
}

fn place(answered_by: AnsweredBy) -> &'static str {
    match answered_by {
        AnsweredBy::Page => "on the consent page",
        AnsweredBy::TypedWord => "in the terminal, by typing the shown word",
        _ => "in a way that this version does not know",
    }
}

fn grant_end(reason: GrantEnd) -> &'static str {
    match reason {
        GrantEnd::Lapsed => "its time was over",
        GrantEnd::Revoked => "the end user took it back",
        GrantEnd::Used => "it was for one use",
        GrantEnd::SessionEnded => "the session is over",
        _ => "for a reason that this version does not know",
    }
}

fn absence(reason: Absence) -> &'static str {
    match reason {
        Absence::PageClosed => "the consent page was closed or stopped answering",
        Absence::ScreenLocked => "the screen was locked",
        _ => "for a reason that this version does not know",
    }
}

fn outcome_in_words(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Exited { code } => format!("exit code {code}"),
        RunOutcome::Signalled { signal } => format!("ended by signal {signal}"),
        RunOutcome::TimedOut => "stopped because its time was over".to_owned(),
        RunOutcome::Cancelled => "stopped by the technician".to_owned(),
        RunOutcome::Revoked => "stopped because it was no longer allowed".to_owned(),
        RunOutcome::OverMemory => "stopped because it used too much memory".to_owned(),
        RunOutcome::NotStarted { reason } => format!("not started: {reason}"),
        RunOutcome::OverProcesses => "stopped because it started too many processes".to_owned(),
        RunOutcome::Lost => "lost: its runner died, and what was left was stopped".to_owned(),
        _ => "in a way that this version does not know".to_owned(),
    }
}

fn count(count: OutputCount) -> String {
    match count.cut_bytes() {
        0 => format!("{} bytes", count.written_bytes),
        cut => format!("{} bytes, of which {cut} were cut off and not sent", count.written_bytes),
    }
}

#[cfg(test)]
mod tests;
