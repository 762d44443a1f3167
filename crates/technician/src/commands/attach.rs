//! `assent attach`, and the process that it leaves in the background.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use transport::{node::CarrierChoice, silence::PATIENCE};
use trust::code::SessionCode;
use wire::{
    link::RelayLink,
    session::EndReason,
    text::{Label, Sentence},
};

use super::shown_path;
use crate::{
    cli::AttachArgs,
    config::{ConfigError, TechnicianConfig},
    detach::{Background, DetachError, Report, Reporter, Start},
    exit::Exit,
    identity::{Identity, IdentityError},
    output,
    owner::{self, AttachError, Command, Handle, Outcome, Setup},
    place::Places,
    plain::{self, Form, Teller, Told},
    problem::Problem,
    screen::terminal,
    signals::Signals,
    status::{Phase, Status},
};

const NOTHING_SENT: &str = "nothing was sent and nobody was asked";

/// More than anybody writes a code with.
const CODE_LINE_BYTES: usize = 256;

/// Attaches, and owns the session until it is over.
pub(super) fn attach(args: AttachArgs, places: &Places) -> Result<Exit, Problem> {
    let typed = match args.code.as_slice() {
        [] => ask_for_code()?,
        [dash] if dash == "-" => first_line()?,
        words => words.join(" "),
    };
    let code = parse_code(&typed)?;
    let config = TechnicianConfig::load(&places.config_file).map_err(|error| bad_config(places, &error))?;
    let relay = args.relay.or(config.relay).ok_or_else(|| no_relay(places, "Give --relay LINK"))?;
    let carrier = args.carrier.or(config.carrier).unwrap_or_default();
    let name = args.name.or(config.name).unwrap_or_else(account_name);
    let reason = args.reason.unwrap_or_default();
    let direct = !args.no_direct && config.direct.unwrap_or(true);
    let patience = config.reconnect_within.unwrap_or(PATIENCE);
    if args.detach {
        let (relay, carrier, reconnect_within_secs) = (relay.to_string(), carrier.to_string(), patience.as_secs());
        let start = Start { code: typed, relay, carrier, name, reason, direct, reconnect_within_secs };
        return super::wait_for(detached(start, args.json));
    }
    let setup = setup(code, (relay, carrier), (&name, &reason), direct, patience, places)?;
    let form = if args.json { Form::Json } else { Form::Text };
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    super::wait_for(async move {
        let (handle, session) = owner::prepare(setup);
        if terminal && !args.no_screen && !args.json {
            on_screen(handle, session).await
        } else {
            in_lines(handle, session, form).await
        }
    })
}

fn setup(
    code: SessionCode,
    (relay, carrier): (RelayLink, CarrierChoice),
    (name, reason): (&str, &str),
    direct: bool,
    patience: Duration,
    places: &Places,
) -> Result<Setup, Problem> {
    let identity = Identity::load(&places.state).map_err(|error| bad_identity(&error))?;
    let (name, reason) = (Label::cut(name), Sentence::cut(reason));
    Ok(Setup { relay, carrier, code, identity, name, reason, direct, patience, places: places.clone() })
}

async fn on_screen(
    handle: Handle,
    session: impl Future<Output = Result<Outcome, AttachError>>,
) -> Result<Exit, Problem> {
    let shown = Box::pin(terminal::run(handle, session)).await.map_err(|error| {
        Problem::new(Exit::Other, error.to_string(), "the session was ended", "Use --no-screen, or another terminal.")
            .because_of(&error)
    })?;
    let outcome = shown.map_err(|error| error.problem())?;
    let concluded = conclude(&outcome);
    // A problem says by itself why it ended.
    let words = if concluded.is_ok() { last_words(&outcome) } else { receipt_words(&outcome) };
    output::to_stderr(&format!("assent: {words}\n"));
    concluded
}

async fn in_lines(
    handle: Handle,
    session: impl Future<Output = Result<Outcome, AttachError>>,
    form: Form,
) -> Result<Exit, Problem> {
    let told = Box::pin(plain::run(handle, session, form)).await.map_err(|error| no_signals(&error))?;
    match told {
        Told::Ended(result) => {
            let outcome = result.map_err(|error| error.problem())?;
            if form == Form::Text {
                // The end itself was told already.
                let _ = output::to_stdout(&format!("{}\n", receipt_words(&outcome)));
            }
            conclude(&outcome)
        }
        Told::LeftAtOnce(exit) => Ok(exit),
    }
}

fn last_words(outcome: &Outcome) -> String {
    let why = outcome.detail.clone().unwrap_or_else(|| outcome.reason.to_string());
    format!("{why}; {}", receipt_words(outcome))
}

fn receipt_words(outcome: &Outcome) -> String {
    match (&outcome.receipt, &outcome.receipt_problem) {
        (Some(file), None) => format!("receipt: {}", shown_path(file)),
        (Some(file), Some(problem)) => {
            format!("the receipt {} cannot be relied on: {}", shown_path(file), wire::text::shown(problem))
        }
        (None, Some(problem)) => format!("there is no receipt: {}", wire::text::shown(problem)),
        (None, None) => "there is no receipt".to_owned(),
    }
}

/// An end that nobody chose is a problem; the rest is not.
fn conclude(outcome: &Outcome) -> Result<Exit, Problem> {
    let exit = Exit::of_attached_end(outcome.reason);
    let next = match outcome.reason {
        EndReason::ConnectionLost => "Ask the end user for a new code and attach again.",
        EndReason::Protocol => "Install the same version at both ends; if it repeats, do not trust that machine.",
        EndReason::AuditFailed => "Ask the end user to free space on their disk, then attach again.",
        EndReason::NoAnswer => "Ask the end user whether they saw the question, then attach with a new code.",
        EndReason::NotAllowed => "Their organisation does not allow this on that device.",
        EndReason::ByUser
        | EndReason::DeniedByUser
        | EndReason::ByTechnician
        | EndReason::UserAway
        | EndReason::TerminalClosed
        | EndReason::TimeOver
        | EndReason::Shutdown
        | _ => return Ok(exit),
    };
    let happened = outcome.detail.clone().unwrap_or_else(|| outcome.reason.to_string());
    Err(Problem::new(exit, happened, "whatever was still going on was stopped", next))
}

/// Asks for the code at the terminal. It is good for one session and no secret from who sits here, so it is seen as it is typed.
fn ask_for_code() -> Result<String, Problem> {
    if !std::io::stdin().is_terminal() {
        return Err(no_code("no session code is given, and there is no terminal to ask for it"));
    }
    output::to_stderr("Session code, as the end user reads it out: ");
    first_line()
}

/// Reads the first line of standard input and leaves the rest of it for whoever reads on.
fn first_line() -> Result<String, Problem> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < CODE_LINE_BYTES {
        match rustix::io::read(rustix::stdio::stdin(), &mut byte) {
            Ok(1) if byte != *b"\n" => line.extend(byte),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(no_code("the session code cannot be read").because(&std::io::Error::from(error))),
        }
    }
    if line.trim_ascii().is_empty() {
        return Err(no_code("no session code is given"));
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn no_code(happened: &str) -> Problem {
    Problem::new(Exit::Usage, happened, NOTHING_SENT, "Type the code at the question, or give it: assent attach CODE.")
}

fn parse_code(typed: &str) -> Result<SessionCode, Problem> {
    typed.parse::<SessionCode>().map_err(|error| {
        let happened = wire::text::shown(&error.to_string());
        let not_done = "nothing was sent, and no attempt was used up";
        Problem::new(Exit::Usage, happened, not_done, "Ask the end user to read the code again, digit by digit.")
    })
}

pub(super) fn bad_config(places: &Places, error: &ConfigError) -> Problem {
    let file = shown_path(&places.config_file);
    Problem::new(Exit::Usage, format!("{file}: {error}"), NOTHING_SENT, "Correct the file; see assent attach --help.")
        .because_of(error)
}

pub(super) fn no_relay(places: &Places, give: &str) -> Problem {
    let next = format!(
        "{give}, set ASSENT_RELAY, or write relay = \"LINK\" to {}. The link is what assent-relay prints.",
        shown_path(&places.config_file)
    );
    Problem::new(Exit::Usage, "no relay is named", NOTHING_SENT, next)
}

fn bad_identity(error: &IdentityError) -> Problem {
    let next = match error {
        IdentityError::Exposed { .. } => {
            "If nobody can have copied it, run chmod 600 on it; else delete it, and a new key is made."
        }
        IdentityError::Key { .. } => "Restore the file, or delete it, and a new key is made.",
        IdentityError::NoCertificate { .. } | IdentityError::Certificate(_) => {
            "Import the certificate again: assent identity --import FILE."
        }
        IdentityError::Read { .. } | IdentityError::Write(_) => "Make the state directory usable, then attach again.",
    };
    Problem::new(Exit::Other, error.to_string(), NOTHING_SENT, next).because_of(error)
}

fn no_signals(error: &std::io::Error) -> Problem {
    Problem::new(Exit::Other, "signals cannot be taken", NOTHING_SENT, "Try again.").because(error)
}

/// The name of the account: what a colleague would call the person.
fn account_name() -> String {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    named.map(|name| name.trim().to_owned()).find(|name| !name.is_empty()).unwrap_or_else(|| "a technician".to_owned())
}

/// Starts the process in the background and waits for the end user's answer.
async fn detached(start: Start, json: bool) -> Result<Exit, Problem> {
    let gone = |error: &DetachError| {
        Problem::new(
            Exit::Other,
            error.to_string(),
            "no session was left in the background",
            "Attach without --detach to see more.",
        )
        .because_of(error)
    };
    let mut signals = Signals::new().map_err(|error| no_signals(&error))?;
    let mut background = Background::start(&start).await.map_err(|error| gone(&error))?;
    let mut teller = Teller::default();
    loop {
        let report = tokio::select! {
            report = background.next() => report.map_err(|error| gone(&error))?,
            // Dropping it ends the session.
            stop = signals.next() => return Ok(Exit::Signal(stop.number())),
        };
        match report {
            Report::Status(status) => {
                if !json {
                    teller.lines(&status).iter().for_each(|line| output::to_stderr(&format!("assent: {line}")));
                }
            }
            Report::Attached(status) => {
                let line = if json {
                    output::json_line(&*status)
                } else {
                    status.session.map(|session| format!("{session}\n")).unwrap_or_default()
                };
                output::to_stdout(&line).map_err(|error| super::output_problem(&error))?;
                return Ok(Exit::Ok);
            }
            Report::Failed(problem) => return Err(problem),
        }
    }
}

/// Owns a session in the background.
pub(super) fn session_process(places: &Places) -> Result<Exit, Problem> {
    super::wait_for(async {
        let (mut reporter, start) = Reporter::begin().await.map_err(|error| {
            let next = "Use assent attach --detach; this command is not for people.";
            Problem::new(Exit::Usage, error.to_string(), NOTHING_SENT, next).because_of(&error)
        })?;
        match background(&mut reporter, start, places).await {
            Ok(exit) => Ok(exit),
            Err(problem) => {
                // Nobody may listen any more; the exit code says it as well.
                let _ = reporter.tell(&Report::Failed(problem.clone())).await;
                Err(problem)
            }
        }
    })
}

async fn background(reporter: &mut Reporter, start: Start, places: &Places) -> Result<Exit, Problem> {
    let code = parse_code(&start.code)?;
    let relay = start
        .relay()
        .map_err(|error| Problem::new(Exit::Usage, error.to_string(), NOTHING_SENT, "Copy the relay link again."))?;
    let patience = Duration::from_secs(start.reconnect_within_secs);
    let setup = setup(code, (relay, start.carrier()), (&start.name, &start.reason), start.direct, patience, places)?;
    drop(start);
    let mut signals = Signals::new().map_err(|error| no_signals(&error))?;
    let (mut handle, session) = owner::prepare(setup);
    let mut session = Box::pin(session);
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            result = &mut session => {
                let outcome = result.map_err(|error| error.problem())?;
                // An end before the answer is told as a problem; later nobody listens.
                let _chosen = conclude(&outcome)?;
                return Err(not_allowed(&outcome));
            }
            stop = signals.next() => {
                if std::mem::replace(&mut ending, true) {
                    return Ok(Exit::Signal(stop.number()));
                }
                let _ = handle.commands.try_send(Command::End);
            }
            () = reporter.abandoned(), if !ending => {
                ending = true;
                let _ = handle.commands.try_send(Command::End);
            }
            Ok(()) = handle.status.changed() => {
                let status = Arc::clone(&handle.status.borrow_and_update());
                let report = report(&status);
                if let Err(error) = reporter.tell(&report).await {
                    tracing::debug!(%error, "nobody listens");
                }
            }
        }
    }
}

fn report(status: &Status) -> Report {
    let status_box = Box::new(status.clone());
    match status.phase {
        Phase::Live => Report::Attached(status_box),
        Phase::Connecting { .. }
        | Phase::WaitingForAnswer { .. }
        | Phase::Paused { .. }
        | Phase::Reconnecting { .. }
        | Phase::Ended { .. } => Report::Status(status_box),
    }
}

fn not_allowed(outcome: &Outcome) -> Problem {
    let happened = outcome.detail.clone().unwrap_or_else(|| outcome.reason.to_string());
    let next = "Talk to the end user, then attach with a new code.";
    Problem::new(Exit::of_end(outcome.reason), happened, "nothing was shown and nothing was run", next)
}
