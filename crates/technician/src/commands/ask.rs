//! `assent request`.

use serde::Serialize;
use wire::{session::Ability, text::Sentence};

use crate::{
    cli::RequestArgs,
    exit::Exit,
    local::{
        client::{ClientError, Conversation},
        protocol::{Ask, Reply, RequestAsk},
    },
    output,
    place::Places,
    problem::Problem,
    signals::Signals,
    units,
};

/// The answer, for scripts.
#[derive(Debug, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    Granted { abilities: Vec<Ability>, not_granted: Vec<Ability>, stay_secs: u32 },
    Denied { reason: wire::session::DenyReason, text: String },
    SessionEnded { reason: wire::session::EndReason, text: String },
}

/// Asks the end user and waits for the answer.
pub(super) async fn request(args: RequestArgs, places: &Places) -> Result<Exit, Problem> {
    if let Some(each) = args.abilities.iter().find(|ability| consent::asked_with_each_use(**ability)) {
        let happened = format!("{each} is asked for with each use");
        let next = "Use assent run for a command, and assent diag process --arguments for arguments: the end user is asked about exactly that.";
        return Err(Problem::new(Exit::Usage, happened, "nobody was asked", next));
    }
    let asked = args.abilities.clone();
    let ask = Ask::Request(RequestAsk {
        abilities: args.abilities,
        reason: Sentence::cut(&args.reason.unwrap_or_default()),
        stay_secs: u32::try_from(args.stay.as_secs()).unwrap_or(u32::MAX),
    });
    let problem = |error| super::client_problem(&error, "nothing more is allowed than before");
    let mut signals = Signals::new().map_err(|error| super::output_problem(&error))?;
    let mut conversation =
        Conversation::begin(&places.runtime, super::wanted(&args.session), ask).await.map_err(problem)?;
    loop {
        let reply = tokio::select! {
            reply = conversation.next() => reply.map_err(problem)?,
            stop = signals.next() => {
                output::to_stderr("assent: the question stays open; its answer shows in assent status\n");
                return Ok(Exit::Signal(stop.number()));
            }
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
        let (answer, exit) = match reply {
            Reply::Asking { answer_within_secs } => {
                output::to_stderr(&format!("assent: asking the end user… ({answer_within_secs} s to answer)\n"));
                continue;
            }
            Reply::Granted { abilities, stay_secs } => {
                let not_granted = asked.iter().copied().filter(|ability| !abilities.contains(ability)).collect();
                (Answer::Granted { abilities, not_granted, stay_secs }, Exit::Ok)
            }
            Reply::Denied { reason } => (Answer::Denied { reason, text: reason.to_string() }, Exit::of_denial(reason)),
            Reply::Ended { reason } => {
                (Answer::SessionEnded { reason, text: reason.to_string() }, Exit::of_end(reason))
            }
            _ => return Err(problem(ClientError::Unexpected)),
        };
        return tell(&answer, exit, args.json);
    }
}

fn tell(answer: &Answer, exit: Exit, json: bool) -> Result<Exit, Problem> {
    if json {
        output::to_stdout(&output::json_line(answer)).map_err(|error| super::output_problem(&error))?;
        return Ok(exit);
    }
    let (happened, next) = match answer {
        Answer::Granted { abilities, not_granted, stay_secs } => {
            let names = |list: &[Ability]| list.iter().map(|ability| ability.name()).collect::<Vec<_>>().join(", ");
            let stay = units::duration(std::time::Duration::from_secs((*stay_secs).into()));
            let mut text = format!("allowed: {} for {stay}\n", names(abilities));
            if !not_granted.is_empty() {
                text.push_str(&format!("not allowed: {}\n", names(not_granted)));
            }
            output::to_stdout(&text).map_err(|error| super::output_problem(&error))?;
            return Ok(exit);
        }
        Answer::Denied { text, .. } => (text, "Talk to the end user before you ask again."),
        Answer::SessionEnded { text, .. } => (text, "Ask the end user for a new code and attach again."),
    };
    Err(Problem::new(exit, happened.clone(), "nothing more is allowed than before", next))
}
