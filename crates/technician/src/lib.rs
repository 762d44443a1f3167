//! The technician's program, `assent`: command line, terminal screen, and the process that owns a session.
//!
//! One process owns a session (`owner`) and listens on a private socket (`local`); every other command asks that process. The
//! screen and the plain lines are front ends over the same handle that the socket uses. Rights live at the agent: nothing here
//! decides what is allowed.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`], `commands` | what can be typed, and what each command does |
//! | `owner` | attaching and the live session |
//! | `local` | commands in other terminals |
//! | `screen`, `plain` | showing a session |
//! | `detach` | leaving a session in the background |
//! | `identity`, `attempts`, `config`, `place` | what is kept on disk |

mod attempts;
pub mod cli;
mod commands;
mod config;
mod detach;
mod escape;
mod exit;
mod identity;
mod local;
mod output;
mod owner;
mod place;
mod plain;
mod problem;
mod screen;
mod signals;
mod status;
mod units;
mod words;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;

/// Carries out one command line, the program's name first, and returns what the process ends with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => commands::carry_out(cli),
        Err(error) => {
            // Help and version come this way too. Nobody can be told if this cannot be printed.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
    }
}
