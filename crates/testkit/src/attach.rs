//! A real technician client, with its own home.

use std::{ffi::OsStr, path::PathBuf, time::Duration};

use anyhow::Context as _;
use pty::{Size, Terminal};
use tokio::process::Command;
use wire::link::RelayLink;

use crate::{
    PATIENCE,
    programs::{Home, Program, command},
    running::{Finished, Running},
    share::files_in,
};

/// Longest that a command of the technician may take, attaching and waiting for the person included.
const COMMAND: Duration = Duration::from_secs(120);

/// One technician at one machine: every command shares the home, and so the live sessions.
#[derive(Debug)]
pub struct Technician {
    home: Home,
    program: PathBuf,
    relay: RelayLink,
}

impl Technician {
    /// A technician who uses `relay`.
    ///
    /// # Errors
    ///
    /// When the program does not build.
    pub fn new(relay: &RelayLink) -> anyhow::Result<Self> {
        Self::with_program(relay, Program::Technician.path()?)
    }

    /// As [`Technician::new`], with a program built elsewhere.
    ///
    /// # Errors
    ///
    /// When there is no room for a home.
    pub fn with_program(relay: &RelayLink, program: PathBuf) -> anyhow::Result<Self> {
        Ok(Self { home: Home::new()?, program, relay: relay.clone() })
    }

    /// The technician's home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// An `assent` command, not started.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = command(&self.program);
        self.home.apply(&mut command);
        command.env("ASSENT_RELAY", self.relay.to_string()).args(arguments);
        command
    }

    /// Starts an `assent` command with captured outputs.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn start(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Running> {
        Running::start(self.command(arguments))
    }

    /// Runs an `assent` command to its end, two minutes at most.
    ///
    /// # Errors
    ///
    /// When it does not start or end.
    pub async fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Finished> {
        Running::to_end(self.command(arguments), COMMAND).await
    }

    /// Starts `assent attach CODE` in a terminal, where it shows its screen.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn attach_at_terminal(&self, code: &str, size: Size) -> anyhow::Result<Terminal> {
        Terminal::start(self.command(["attach", code]), size).context("assent does not start")
    }

    /// Starts `assent attach CODE --json` with captured outputs. The process owns the session: keep it.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn attach(&self, code: &str) -> anyhow::Result<Running> {
        self.start(["attach", "--json", code])
    }

    /// Waits until another command of this technician can use the session.
    ///
    /// # Errors
    ///
    /// When `attached` ends or nothing comes in time.
    pub async fn wait_live(&self, attached: &Running) -> anyhow::Result<()> {
        attached.wait_for_line("a grant", PATIENCE, |line| line.contains("granted").then_some(())).await
    }

    /// The technician's copies of audit logs, oldest first.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    pub fn receipts(&self) -> anyhow::Result<Vec<PathBuf>> {
        files_in(&self.home.state().join("assent/receipts"))
    }
}
