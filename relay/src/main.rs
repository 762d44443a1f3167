//! `assent-relay`: see the library.

use std::process::ExitCode;

use clap::Parser as _;
use relay::cli::Cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&miette::miette!("the relay could not start: {error}"), 1),
    };
    let result = runtime.block_on(relay::cli::run(cli));
    // Whoever does not read our output must not keep us from ending.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            fail(&miette::Report::new(error), code)
        }
    }
}

fn start_logging() {
    let filter = EnvFilter::try_from_env("ASSENT_LOG").unwrap_or_else(|_| "info".into());
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

#[expect(clippy::print_stderr, reason = "this is where a person reads why the relay does not run")]
fn fail(report: &miette::Report, code: u8) -> ExitCode {
    eprintln!("{report:?}");
    ExitCode::from(code)
}
