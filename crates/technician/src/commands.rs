//! What each command does.

mod ask;
mod attach;
mod diag;
mod end;
mod identity;
mod inspect;
mod netcheck;
mod org;
mod paper;
mod run;
mod status;
mod verify;

use std::{path::Path, process::ExitCode};

use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Cli, Command},
    exit::Exit,
    local::{
        client::ClientError,
        protocol::{NotReady, RefusedReason},
    },
    place::{PlaceError, Places},
    problem::Problem,
};

/// Carries a command line out.
pub(crate) fn carry_out(cli: Cli) -> ExitCode {
    let json = wants_json(&cli.command);
    let outcome = Places::from_environment().map_err(|error| no_place(&error)).and_then(|places| {
        start_log(&places);
        dispatch(cli.command, &places)
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(problem) => {
            problem.print(json);
            ExitCode::from(problem.exit())
        }
    }
}

fn wants_json(command: &Command) -> bool {
    match command {
        Command::Attach(args) => args.json,
        Command::Status(args) => args.json,
        Command::Netcheck(args) => args.json,
        Command::Diag(args) => diag::wants_json(args),
        Command::Run(args) => args.json,
        Command::Request(args) => args.json,
        Command::Verify(args) => args.json,
        Command::Identity(args) => args.json,
        Command::End(_) | Command::Org(_) | Command::Completions(_) | Command::Man(_) | Command::SessionProcess => {
            false
        }
    }
}

fn dispatch(command: Command, places: &Places) -> Result<Exit, Problem> {
    match command {
        Command::Attach(args) => attach::attach(args, places),
        Command::SessionProcess => attach::session_process(places),
        Command::Status(args) => wait_for(status::status(&args, places)),
        Command::Netcheck(args) => wait_for(netcheck::netcheck(args, places)),
        Command::Diag(args) => wait_for(diag::diag(args, places)),
        Command::Run(args) => wait_for(run::run(args, places)),
        Command::Request(args) => wait_for(ask::request(args, places)),
        Command::End(args) => wait_for(end::end(&args, places)),
        Command::Verify(args) => verify::verify(&args),
        Command::Identity(args) => identity::identity(&args, places),
        Command::Org(args) => org::org(args.command, places),
        Command::Completions(args) => paper::completions(&args),
        Command::Man(args) => paper::man(&args),
    }
}

/// Runs a command that waits for others.
fn wait_for(command: impl Future<Output = Result<Exit, Problem>>) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Problem::new(Exit::Other, "the program cannot wait for anything", "nothing", "Free memory or file handles.")
            .because(&error)
    })?;
    let outcome = runtime.block_on(command);
    // A write to a reader that has stopped reading must not keep the program.
    runtime.shutdown_background();
    outcome
}

/// Starts the developers' log, if `ASSENT_LOG` asks for it. It goes to a file, because the screen is taken.
fn start_log(places: &Places) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(wanted) = std::env::var("ASSENT_LOG").ok().filter(|wanted| !wanted.is_empty()) else { return };
    let opened = audit::files::private_dir(&places.state).map_err(|error| error.to_string()).and_then(|()| {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        options.open(places.state.join("assent.log")).map_err(|error| error.to_string())
    });
    match opened {
        Ok(file) => {
            let started = tracing_subscriber::fmt()
                .with_env_filter(EnvFilter::new(wanted))
                .with_ansi(false)
                .with_writer(std::sync::Mutex::new(file))
                .try_init();
            if let Err(error) = started {
                crate::output::to_stderr(&format!("assent: no log is written: {error}\n"));
            }
        }
        Err(error) => crate::output::to_stderr(&format!("assent: no log is written: {error}\n")),
    }
}

fn no_place(error: &PlaceError) -> Problem {
    Problem::new(Exit::Other, error.to_string(), "nothing", "Set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME.")
        .because_of(error)
}

/// What a person is told when a session's process did not serve a command.
fn client_problem(error: &ClientError, not_done: &str) -> Problem {
    let (exit, next) = match error {
        ClientError::NoSession { wanted: None } => {
            (Exit::Other, "Attach first: assent attach CODE. The end user reads the code out.")
        }
        ClientError::NoSession { wanted: Some(_) } => (Exit::Other, "See the live sessions: assent status --all."),
        ClientError::Ambiguous { .. } => (Exit::Usage, "Give more of the id."),
        ClientError::Socket(_) => (Exit::Other, "Repair what is named above, then try again."),
        ClientError::Line(_) | ClientError::Closed | ClientError::Unexpected => {
            (Exit::Other, "See whether the session is still there: assent status.")
        }
        ClientError::Refused(reason) => refused(reason),
    };
    Problem::new(exit, error.to_string(), not_done, next).because_of(error)
}

fn refused(reason: &RefusedReason) -> (Exit, &'static str) {
    match reason {
        RefusedReason::Version { .. } => {
            (Exit::Other, "Use the program that attached, or end the session and attach again.")
        }
        RefusedReason::Malformed => (Exit::Other, "Try again; if it repeats, attach again."),
        RefusedReason::TooMany => (Exit::Other, "Wait until one of the other commands is done."),
        RefusedReason::TooManyQuestions => (Exit::Denied, "Wait until the end user has answered the open questions."),
        RefusedReason::TooFast => (Exit::Other, "Wait a moment and try again."),
        RefusedReason::TooSlow => (Exit::Other, "Read the output faster, or write it to a file."),
        RefusedReason::NotReady(NotReady::NotAnswered | NotReady::Paused) => {
            (Exit::Denied, "Wait for the end user; assent status says how it stands.")
        }
        RefusedReason::NotReady(NotReady::Reconnecting) => {
            (Exit::Network, "Wait a moment; assent status says how it stands.")
        }
        RefusedReason::NotReady(NotReady::Over) => (Exit::Other, "Ask the end user for a new code and attach again."),
        RefusedReason::Invalid { .. } => (Exit::Usage, "Correct the command and try again."),
    }
}

/// What a person is told when standard output cannot be written.
fn output_problem(error: &std::io::Error) -> Problem {
    Problem::new(
        Exit::Other,
        "standard output cannot be written",
        "the rest was not printed",
        "Check where it goes to.",
    )
    .because(error)
}

/// The session that a command names.
fn wanted(session: &crate::cli::SessionArg) -> Option<&str> {
    session.session.as_deref()
}

/// The file of settings, for messages.
fn shown_path(path: &Path) -> String {
    wire::text::shown(&path.display().to_string())
}

/// Writes a file that anybody may read.
fn write_public(path: &Path, bytes: &[u8]) -> Result<(), Problem> {
    audit::files::write_atomic(path, bytes, 0o644).map_err(|error| {
        Problem::new(
            Exit::Other,
            format!("{} was not written", shown_path(path)),
            "the file is as it was",
            "Choose another place.",
        )
        .because(&error)
    })
}
