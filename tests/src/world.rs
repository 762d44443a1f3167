//! One relay, one person at a machine, one technician.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testkit::{
    PATIENCE,
    attach::Technician,
    relay::RelayProcess,
    running::{Finished, Running},
    share::{ShareOptions, ShareProcess},
};
use tokio::process::Command;

/// Everybody who takes part in a story.
pub(crate) struct World {
    pub(crate) relay: RelayProcess,
    pub(crate) share: ShareProcess,
    pub(crate) technician: Technician,
}

impl World {
    /// A relay that runs, a person who looks at a code, a technician who has not attached.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        Self::start_with(&ShareOptions::default()).await
    }

    /// As [`World::start`], for stories about the relay: nothing goes directly.
    pub(crate) async fn start_relayed() -> anyhow::Result<Self> {
        Self::start_with(&ShareOptions::behind_the_relay()).await
    }

    /// As [`World::start`], with options for the agent.
    pub(crate) async fn start_with(options: &ShareOptions) -> anyhow::Result<Self> {
        let relay = RelayProcess::start().await?;
        let share = ShareProcess::start_with(relay.link(), options)?;
        let technician = Technician::new(relay.link())?;
        Ok(Self { relay, share, technician })
    }

    /// The technician attaches by the code on the screen, and the person says yes to the first question.
    pub(crate) async fn attach(&self) -> anyhow::Result<Running> {
        let attached = self.technician.attach(&self.share.code().await?)?;
        self.share.allow().await?;
        self.technician.wait_live(&attached).await?;
        Ok(attached)
    }

    /// The two words that the technician reads out.
    pub(crate) async fn words(&self) -> anyhow::Result<String> {
        let status = self.json(&["status", "--json"]).await?;
        Ok(status["technician"]["words"].as_str().context("the status has no words")?.to_owned())
    }

    /// Starts `assent run` with these arguments, and the person says yes with the technician's words.
    pub(crate) async fn run_allowed(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        self.run_command_allowed(self.technician.command([&["run"], arguments].concat())).await
    }

    /// As [`World::run_allowed`], with what the command prints in a file.
    pub(crate) async fn run_allowed_into(&self, file: &Path, arguments: &[&str]) -> anyhow::Result<Running> {
        self.run_command_allowed(self.technician.command_into(file, [&["run"], arguments].concat())).await
    }

    async fn run_command_allowed(&self, command: Command) -> anyhow::Result<Running> {
        let words = self.words().await?;
        let running = Running::start(command)?;
        let allowed = self.share.allow_with_words(&words).await;
        allowed.with_context(|| format!("`assent run` says: {}{}", running.stdout(), running.stderr()))?;
        Ok(running)
    }

    /// As [`World::run_allowed`], to the end of the command.
    pub(crate) async fn run_to_end(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        self.run_allowed(arguments).await?.wait_exit(LONG).await
    }

    /// Runs an `assent` command that prints one JSON object.
    pub(crate) async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let done = self.technician.run(arguments).await?;
        ensure!(done.code() == 0, "{arguments:?} ended with {}: {}", done.code(), done.stderr);
        Ok(serde_json::from_str(&done.stdout)?)
    }

    /// Waits until the agent's program has ended, and returns its exit code.
    pub(crate) async fn share_exit(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.share.terminal_mut().wait_exit(PATIENCE).await?.code())
    }
}

/// What an audit log, or a copy of one, says happened.
#[derive(Debug)]
pub(crate) struct Log {
    events: Vec<Value>,
}

impl Log {
    /// Reads every entry. Whether they can be believed, [`verified`] tells.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let event = |line: &str| anyhow::Ok(serde_json::from_str::<Value>(line)?["event"].clone());
        Ok(Self { events: text.lines().map(event).collect::<anyhow::Result<_>>()? })
    }

    /// The events of this name, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.events.iter().filter(move |event| event["event"] == name)
    }

    /// Whether nothing was run.
    pub(crate) fn nothing_ran(&self) -> bool {
        self.all("run_starting").next().is_none()
    }

    /// Why the session ended.
    pub(crate) fn end(&self) -> Option<&str> {
        self.all("ended").last()?["reason"].as_str()
    }

    /// What a technician's program did that no honest one does.
    pub(crate) fn violation(&self) -> Option<&str> {
        self.all("violation").last()?["what"].as_str()
    }
}

/// What `assent verify --json` makes of a file. Fails unless every entry is sound.
pub(crate) async fn verified(technician: &Technician, file: &Path) -> anyhow::Result<Value> {
    let file = file.to_str().context("a temporary path is UTF-8")?;
    let done = technician.run(["verify", "--json", file]).await?;
    ensure!(done.code() == 0, "{file} is not sound: {}{}", done.stdout, done.stderr);
    Ok(serde_json::from_str::<Value>(&done.stdout)?["summary"].clone())
}

/// For what takes seconds by itself.
pub(crate) const LONG: Duration = Duration::from_secs(60);
