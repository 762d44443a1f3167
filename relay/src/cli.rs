//! The command line of `assent-relay`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    config::{self, Overrides, RelayConfig},
    error::RelayError,
    key, link, serve,
};

const EXIT_CODES: &str = "\
Exit codes: 0 stopped as asked, 1 the relay could not run, 2 wrong usage or settings";

const AFTER_HELP: &str = "\
Examples:
  assent-relay serve --public-host relay.example.org   run a relay on port 4433, UDP and TCP
  assent-relay link                                    print its link again
  assent-relay config > relay.toml                     every setting, to edit

Environment:
  ASSENT_LOG   what to write to standard error, such as `debug` or `relay=debug,warn`; default `info`
  NO_COLOR     if set and not empty, no colours

Exit codes: 0 stopped as asked, 1 the relay could not run, 2 wrong usage or settings";

const EVENTS: &str = "\
Events with --json, each with `event` and `time`:
  listening {link, udp, tcp, http, version} stopped {channels_cut}     draining {channels}
  connected, disconnected {connection, connections}                    turned_away {reason}
  locator_allocated {connection, digits}    locator_ended {connection, why}
  channel_opened {channel, origin, agent, technician}
  channel_closed {channel, reason, agent_bytes, agent_packets, technician_bytes, technician_packets,
                  rate_limited_packets}
  refused {connection, request, reason}     rejoin_waiting {connection}
  cut_off {connection, why}                 skipped {lines}: the reader was too slow for so many
No event names a locator, a code, an address of a peer or anything that passes through a session.";

/// Brings people who ask for help and technicians together, and forwards what they seal without being able to read it.
#[derive(Debug, Parser)]
#[command(
    name = "assent-relay",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = EXIT_CODES,
    after_long_help = AFTER_HELP
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay until SIGTERM or SIGINT.
    ///
    /// Prints the relay link, which is all that agents and technicians need. The first signal lets sessions end for a few seconds
    /// (`drain_secs`); the second ends everything at once.
    #[command(after_long_help = EVENTS)]
    Serve {
        #[command(flatten)]
        overrides: Overrides,
        /// Print what happens as JSON, one object a line, on standard output
        #[arg(long)]
        json: bool,
    },
    /// Print the relay link, without starting anything.
    Link {
        #[command(flatten)]
        overrides: Overrides,
    },
    /// Print every setting with its meaning, default and range.
    Config,
    /// Print a completion script for a shell.
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands.
    Man {
        /// Directory to write one page a command to; without it the main page is printed
        #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
        directory: Option<PathBuf>,
    },
}

/// Does what the command line asks for.
///
/// # Errors
///
/// What a person should read; [`RelayError::exit_code`] says how the program ends.
pub async fn run(cli: Cli) -> Result<(), RelayError> {
    match cli.command {
        Command::Serve { overrides, json } => serve::serve(RelayConfig::load(&overrides)?, json).await,
        Command::Link { overrides } => {
            let config = RelayConfig::load(&overrides)?;
            let key = key::load(&config.state_dir)?;
            let link = link::of(&config, &key, config.listen.address())?;
            print(format!("{link}\n").as_bytes())
        }
        Command::Config => print(config::sample().as_bytes()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "assent-relay", &mut script);
            print(&script)
        }
        Command::Man { directory: None } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(RelayError::Output)?;
            print(&page)
        }
        Command::Man { directory: Some(directory) } => {
            clap_mangen::generate_to(Cli::command(), directory).map_err(RelayError::Output)
        }
    }
}

pub(crate) fn print(text: &[u8]) -> Result<(), RelayError> {
    let mut output = io::stdout().lock();
    output.write_all(text).and_then(|()| output.flush()).map_err(RelayError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
