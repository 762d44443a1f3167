//! `assent-share`: attended help on this computer. See `agent::share`.

use std::process::ExitCode;

use agent::{
    doctor, executor,
    options::{self, Arguments, ShareCommand},
    sent, share,
};
use clap::Parser as _;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == executor::RUNNER_ARGUMENT) {
        return executor::runner::main();
    }
    let arguments = Arguments::parse();
    start_logging();
    let done = match &arguments.command {
        Some(ShareCommand::Doctor(arguments)) => Some(doctor::run(arguments).map_err(|error| {
            let code = error.exit_code();
            (miette::Report::new(error), code)
        })),
        Some(ShareCommand::Sent(arguments)) => {
            Some(sent::run(arguments, &options::default_sessions()).map_err(|error| (miette::Report::new(error), 1)))
        }
        None => None,
    };
    if let Some(done) = done {
        return done.map_or_else(|(report, code)| fail(&report, code), |()| ExitCode::SUCCESS);
    }
    // One thread: a session waits almost all the time, and each hand-over between threads costs more than what is handed over.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&miette::miette!("the program could not start: {error}"), 1),
    };
    let outcome = runtime.block_on(share::run(&arguments));
    // A lookup on a file system that does not answer must not keep the program from ending.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            fail(&miette::Report::new(error), code)
        }
    }
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ASSENT_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[expect(clippy::print_stderr, reason = "this is where a person reads why nothing happened")]
fn fail(report: &miette::Report, code: u8) -> ExitCode {
    eprintln!("{report:?}");
    ExitCode::from(code)
}
