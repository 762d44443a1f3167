//! A real technician client, with its own home.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use pty::{Size, Terminal};
use serde_json::Value;
use tokio::process::Command;
use wire::link::RelayLink;

use crate::{
    PATIENCE,
    programs::{Home, Host, Program},
    running::{Finished, Running},
    share::files_in,
};

/// Longest that a command of the technician may take, attaching and waiting for the person included.
const COMMAND: Duration = Duration::from_secs(120);

/// One technician at one machine: every command shares the home, and so the live sessions.
#[derive(Debug)]
pub struct Technician {
    host: Host,
    home: Home,
    program: PathBuf,
    relay: RelayLink,
    environment: BTreeMap<String, String>,
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
        Ok(Self {
            host: Host::default(),
            home: Home::new()?,
            program,
            relay: relay.clone(),
            environment: BTreeMap::new(),
        })
    }

    /// The same technician at another machine.
    #[must_use]
    pub fn at(self, host: Host) -> Self {
        Self { host, ..self }
    }

    /// Sets a variable in the environment of commands from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    /// The technician's home.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// An `assent` command, not started.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.host.command(&self.program);
        self.home.apply(&mut command);
        command.env("ASSENT_RELAY", self.relay.to_string()).envs(&self.environment).args(arguments);
        command
    }

    /// As [`Technician::command`], with standard output written to a file.
    pub fn command_into(&self, file: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let mut command = self.host.command("/bin/sh");
        self.home.apply(&mut command);
        command.env("ASSENT_RELAY", self.relay.to_string()).envs(&self.environment);
        command.args(["-c", "exec \"$@\" > \"$0\""]).arg(file).arg(&self.program).args(arguments);
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

    /// Waits until `attached` has shown something of the machine: a grant stands and diagnostics arrive.
    ///
    /// # Errors
    ///
    /// When `attached` ends or nothing comes in time.
    pub async fn wait_live(&self, attached: &Running) -> anyhow::Result<()> {
        self.wait_status(attached, "the first diagnostics", |status| status["host"].is_string()).await?;
        Ok(())
    }

    /// Waits for a line of `assent attach --json` that fits, and returns it.
    ///
    /// # Errors
    ///
    /// When `attached` ends or nothing comes in time.
    pub async fn wait_status(
        &self,
        attached: &Running,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        attached.wait_for_line(what, PATIENCE, |line| serde_json::from_str(line).ok().filter(&fits)).await
    }

    /// The two words that an unverified technician reads out, once they are known.
    ///
    /// # Errors
    ///
    /// When `attached` ends or nothing comes in time.
    pub async fn words(&self, attached: &Running) -> anyhow::Result<String> {
        let words = |status: &Value| status["technician"]["words"].as_str().map(str::to_owned);
        let found = self.wait_status(attached, "the two words", |status| words(status).is_some()).await?;
        words(&found).context("the words were there")
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
