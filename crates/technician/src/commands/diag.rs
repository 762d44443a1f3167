//! `assent diag`.

use std::time::Duration;

use serde::Serialize;
use wire::diagnostics::{IdentityCard, Snapshot, findings::Finding};

use self::layout::lay_out;
use crate::{
    cli::{DiagArgs, DiagCommand},
    exit::Exit,
    local::{
        client::{ClientError, Conversation},
        protocol::{Ask, Flow, Reply},
    },
    output,
    place::Places,
    problem::Problem,
    signals::Signals,
};

mod layout;
mod once;
mod watch;

const NOT_DONE: &str = "no reading was shown";

/// How long the first reading may take where readings are allowed; they come once a second.
const FIRST_READING: Duration = Duration::from_secs(10);

/// One reading, for scripts.
#[derive(Serialize)]
struct Reading<'a> {
    /// The identity card; only with the first reading, and when it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<&'a IdentityCard>,
    /// What all checks answered; only with the first reading, and when it has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<&'a [Finding]>,
    /// How old the reading is.
    age_ms: u64,
    sample: &'a Snapshot,
}

/// Whether errors are told in JSON as well.
pub(super) fn wants_json(args: &DiagArgs) -> bool {
    match &args.what {
        None => args.json,
        Some(DiagCommand::Report(args)) => args.json,
        Some(DiagCommand::Section(args)) => args.json,
        Some(DiagCommand::Process(args)) => args.json,
        Some(DiagCommand::Logs(args)) => args.json,
        Some(DiagCommand::History(args)) => args.json,
        Some(DiagCommand::Diff(args)) => args.json,
        Some(DiagCommand::Watch(_) | DiagCommand::Export(_)) => false,
    }
}

/// Shows one reading, goes on, or has something read once.
pub(super) async fn diag(args: DiagArgs, places: &Places) -> Result<Exit, Problem> {
    match args.what {
        None => live(&args, places).await,
        Some(DiagCommand::Watch(args)) => watch::watch(&args, places).await,
        Some(what) => once::read(what, places).await,
    }
}

async fn live(args: &DiagArgs, places: &Places) -> Result<Exit, Problem> {
    let problem = |error| super::client_problem(&error, NOT_DONE);
    let mut signals = Signals::new().map_err(|error| super::output_problem(&error))?;
    let begun = Conversation::begin(&places.runtime, super::wanted(&args.session), Ask::Diagnostics).await;
    let mut conversation = begun.map_err(problem)?;
    let mut left = match args.follow {
        None => Some(1),
        Some(0) => None,
        Some(number) => Some(number),
    };
    let mut printer = Printer {
        json: args.json,
        card: None,
        card_told: false,
        printed: 0,
        findings: Vec::new(),
        findings_told: true,
    };
    while left != Some(0) {
        let reply = tokio::select! {
            reply = conversation.next() => reply.map_err(problem)?,
            // Following goes on until Ctrl-C, so that is no failure.
            stop = signals.next() => {
                return Ok(if printer.printed > 0 && args.follow.is_some() { Exit::Ok } else { Exit::Signal(stop.number()) });
            }
            () = tokio::time::sleep(FIRST_READING), if printer.printed == 0 => return Err(too_slow()),
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
        match reply {
            Reply::Flow(flow) => self::flow(flow, printer.printed > 0)?,
            Reply::Card(card) => {
                printer.card = Some(*card);
                printer.card_told = false;
            }
            Reply::Findings(findings) => {
                printer.findings = findings;
                printer.findings_told = false;
            }
            Reply::Sample { age_ms, sample } => {
                printer.print(age_ms, &sample).map_err(|error| super::output_problem(&error))?;
                left = left.map(|left| left - 1);
            }
            Reply::Ended { reason } => {
                let next = "Ask the end user for a new code and attach again.";
                return Err(Problem::new(
                    Exit::of_end(reason),
                    reason.to_string(),
                    "no further reading was shown",
                    next,
                ));
            }
            _ => return Err(problem(ClientError::Unexpected)),
        }
    }
    Ok(Exit::Ok)
}

fn too_slow() -> Problem {
    let next = "See how the session stands: assent status.";
    Problem::new(Exit::TimedOut, "no reading came in time", NOT_DONE, next)
}

struct Printer {
    json: bool,
    card: Option<IdentityCard>,
    card_told: bool,
    printed: u64,
    findings: Vec<Finding>,
    findings_told: bool,
}

impl Printer {
    fn print(&mut self, age_ms: u64, sample: &Snapshot) -> std::io::Result<()> {
        let text = if self.json {
            let card = self.card.as_ref().filter(|_| !self.card_told);
            let findings = (!self.findings_told).then_some(self.findings.as_slice());
            output::json_line(&Reading { card, findings, age_ms, sample })
        } else {
            let gap = if self.printed > 0 { "\n" } else { "" };
            format!("{gap}{}", lay_out(self.card.as_ref(), &self.findings, age_ms, sample))
        };
        self.card_told = true;
        self.findings_told = true;
        self.printed += 1;
        output::to_stdout(&text)
    }
}

/// Says why nothing comes, or ends if nothing will.
fn flow(flow: Flow, told_before: bool) -> Result<(), Problem> {
    let say = |text: &str| output::to_stderr(&format!("assent: {text}\n"));
    match flow {
        Flow::Flowing => Ok(()),
        Flow::Paused => {
            say("the end user is away; readings go on when they are back");
            Ok(())
        }
        Flow::Reconnecting => {
            say("the connection is being restored");
            Ok(())
        }
        Flow::NotAnswered => Err(Problem::new(
            Exit::Denied,
            "the end user has not answered the first question yet",
            NOT_DONE,
            "Wait for the answer: assent status says when it is there.",
        )),
        Flow::NotAllowed => Err(Problem::new(
            Exit::Denied,
            "the end user does not allow diagnostics at the moment",
            if told_before { "no further reading was shown" } else { NOT_DONE },
            "Ask them: assent request diag.basic.",
        )),
    }
}
