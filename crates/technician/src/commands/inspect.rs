//! Asks the session for one thing to be read of the machine, and waits for it and, if the end user is asked first, for their answer.

use std::time::Duration;

use wire::{
    diagnostics::{
        inspect::{Inspect, Inspected},
        report::{Report, SectionReport, Series},
        sections::process::Arguments,
    },
    session::{Ability, DenyReason},
};

use crate::{
    exit::Exit,
    local::{
        client::{ClientError, Conversation},
        protocol::{Ask, Reply},
    },
    output,
    place::Places,
    problem::Problem,
    signals::Signals,
};

const NOT_DONE: &str = "nothing was read";

/// Longer than the agent takes for the slowest section.
const PATIENCE: Duration = Duration::from_secs(45);

/// A whole report.
pub(super) async fn report(session: Option<&str>, places: &Places) -> Result<Report, Problem> {
    match inspect(session, Inspect::Report, places).await? {
        Inspected::Report(report) => Ok(*report),
        Inspected::Section(_) | Inspected::History(_) | Inspected::Arguments(_) | _ => Err(unexpected()),
    }
}

/// One section.
pub(super) async fn section(session: Option<&str>, what: Inspect, places: &Places) -> Result<SectionReport, Problem> {
    match inspect(session, what, places).await? {
        Inspected::Section(section) => Ok(*section),
        Inspected::Report(_) | Inspected::History(_) | Inspected::Arguments(_) | _ => Err(unexpected()),
    }
}

/// What was measured before.
pub(super) async fn history(session: Option<&str>, what: Inspect, places: &Places) -> Result<Vec<Series>, Problem> {
    match inspect(session, what, places).await? {
        Inspected::History(series) => Ok(series),
        Inspected::Report(_) | Inspected::Section(_) | Inspected::Arguments(_) | _ => Err(unexpected()),
    }
}

/// The arguments of one process, if the end user says yes.
pub(super) async fn arguments(session: Option<&str>, what: Inspect, places: &Places) -> Result<Arguments, Problem> {
    match inspect(session, what, places).await? {
        Inspected::Arguments(arguments) => Ok(*arguments),
        Inspected::Report(_) | Inspected::Section(_) | Inspected::History(_) | _ => Err(unexpected()),
    }
}

async fn inspect(session: Option<&str>, what: Inspect, places: &Places) -> Result<Inspected, Problem> {
    let problem = |error| super::client_problem(&error, NOT_DONE);
    let ability = what.ability();
    let name = what.name();
    // A question may wait behind others for as long as the end user takes.
    let mut patience = what.asks_for().is_none().then_some(PATIENCE);
    let mut signals = Signals::new().map_err(|error| super::output_problem(&error))?;
    let mut conversation = Conversation::begin(&places.runtime, session, Ask::Inspect(what)).await.map_err(problem)?;
    let reply = loop {
        let too_late = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        let reply = tokio::select! {
            reply = conversation.next() => reply.map_err(problem)?,
            stop = signals.next() => {
                return Err(Problem::new(Exit::Signal(stop.number()), "you stopped waiting", NOT_DONE, "Ask again."));
            }
            () = too_late => {
                let next = "See how the session stands: assent status.";
                return Err(Problem::new(Exit::TimedOut, "the machine did not answer in time", NOT_DONE, next));
            }
        };
        if let Reply::Asking { answer_within_secs } = reply {
            let text = format!("assent: asking the end user for the {name}… ({answer_within_secs} s to answer)\n");
            output::to_stderr(&text);
            patience = Some(Duration::from_secs(answer_within_secs.into()) + PATIENCE);
        } else if matches!(reply, Reply::Granted { .. }) {
            patience = Some(PATIENCE);
        } else {
            break reply;
        }
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
    match reply {
        Reply::Inspected(inspected) => Ok(*inspected),
        Reply::Denied { reason } => Err(denied(reason, ability, NOT_DONE)),
        Reply::Ended { reason } => {
            let next = "Ask the end user for a new code and attach again.";
            Err(Problem::new(Exit::of_end(reason), reason.to_string(), NOT_DONE, next))
        }
        _ => Err(unexpected()),
    }
}

/// What a person is told where something is not read.
pub(super) fn denied(reason: DenyReason, ability: Ability, not_done: &str) -> Problem {
    if reason == DenyReason::NotGranted {
        let happened = format!("the end user has not allowed {}", crate::words::ability(ability));
        let next = format!("Ask them: assent request {ability} --reason 'what for'.");
        return Problem::new(Exit::Denied, happened, not_done, next);
    }
    Problem::new(Exit::of_denial(reason), reason.to_string(), not_done, what_next(reason))
}

fn what_next(reason: DenyReason) -> &'static str {
    if matches!(reason, DenyReason::ByUser | DenyReason::NoAnswer | DenyReason::TooSoon) {
        "Talk to the end user before you ask again."
    } else if matches!(reason, DenyReason::ProcessEnded | DenyReason::ProcessChanged) {
        "See what runs now: assent diag."
    } else if reason == DenyReason::ProcessNotReadable {
        "Ask the end user to start assent-share as the user whose process it is."
    } else {
        "Try again in a moment."
    }
}

/// The answer is none to this question.
pub(super) fn unexpected() -> Problem {
    super::client_problem(&ClientError::Unexpected, NOT_DONE)
}
