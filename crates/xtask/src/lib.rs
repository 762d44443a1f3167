//! The house's own commands, one module each.
//!
//! | command | module |
//! |---|---|
//! | `cargo xtask test` | [`check`]: every check that a change has to pass, in order |
//! | `cargo xtask bench` | [`mod@bench`]: how fast, how small, how soon |
//! | `cargo xtask demo` | [`demo`]: relay, agent and technician on this machine |
//! | `cargo xtask tidy` | [`tidy`]: the rules of the house that no compiler knows, each with its why |

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to the person who started it"
)]

pub mod bench;
pub mod check;
pub mod demo;
pub mod process;
pub mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tests, house rules, benches and the demo of Assent.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run every check that a change has to pass
    Test(check::Arguments),
    /// Check the rules of the house
    Tidy,
    /// Measure in release
    Bench(bench::Arguments),
    /// Run the benches that this xtask was built with
    #[cfg(feature = "bench")]
    #[command(hide = true)]
    BenchHere(bench::Arguments),
    /// Show a session on this machine: relay, agent and technician
    Demo(demo::Arguments),
}

/// Runs the chosen command; errors are printed with their causes.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Test(arguments) => check::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        #[cfg(feature = "bench")]
        Command::BenchHere(arguments) => bench::here::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
