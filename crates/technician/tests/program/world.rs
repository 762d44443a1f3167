//! One technician's home, a relay, and the program.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use pty::{Size, Terminal};
use relay::{
    config::{Overrides, RelayConfig},
    relay::Relay,
};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::agent::{Agent, patiently};

/// A home with nothing in it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `assent` with this home and nothing else of the environment.
    #[expect(clippy::disallowed_methods, reason = "these tests are about the program")]
    pub(crate) fn assent(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assent"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("XDG_RUNTIME_DIR", self.directory.path())
            .env("USER", "ana")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(patiently(self.assent(arguments).output()).await.unwrap())
    }

    /// Runs it to its end with something on its standard input.
    pub(crate) async fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.assent(arguments).stdin(Stdio::piped()).spawn().unwrap();
        // It may have read enough and be gone.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
        Ran::new(patiently(child.wait_with_output()).await.unwrap())
    }

    pub(crate) fn terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::start(self.assent(arguments), Size::CLASSIC).unwrap()
    }
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A relay with an agent that waits at it, and a technician's home.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) agent: Agent,
    pub(crate) link: String,
    _relay: Relay,
}

impl World {
    pub(crate) async fn start() -> Self {
        let home = Home::new();
        let overrides = Overrides {
            listen: Some("127.0.0.1:0".to_owned()),
            state_dir: Some(home.path("relay")),
            http: Some("off".to_owned()),
            ..Overrides::default()
        };
        let relay = Relay::start(&RelayConfig::parse("", &overrides).unwrap()).await.unwrap();
        let agent = Agent::start(relay.link()).await;
        Self { home, agent, link: relay.link().to_string(), _relay: relay }
    }

    /// `assent attach` with the agent's code in several words.
    pub(crate) fn attach(&self, more: &[&str]) -> Vec<String> {
        let code = self.agent.code.to_string();
        let words = code.split(' ').chain(["--relay", &self.link]).chain(more.iter().copied());
        ["attach"].into_iter().chain(words).map(str::to_owned).collect()
    }
}
