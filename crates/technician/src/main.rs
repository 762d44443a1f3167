//! `assent`: the technician's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    technician::run(std::env::args_os())
}
