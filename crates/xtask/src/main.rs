//! `cargo xtask`: everything that a developer, CI or a curious person runs in this tree.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    xtask::run(xtask::Cli::parse())
}
