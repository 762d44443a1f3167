//! A program that runs beside the demo and tells what happens as JSON.

use std::{fs, path::Path, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How long a program may take to end when it is asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// In its own process group, so that Ctrl-C reaches the demo first. Dropping kills the group.
#[derive(Debug)]
pub(super) struct Background {
    name: &'static str,
    child: Child,
    group: Pid,
    events: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Background {
    /// Starts it with its errors in a file below `dir`.
    pub(super) fn start(name: &'static str, mut command: Command, dir: &Path) -> anyhow::Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let errors = fs::File::create(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("the {name} does not start"))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("no process id")?;
        let events = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        Ok(Self { name, child, group, events, log })
    }

    /// Waits for an event in which `pick` finds something.
    pub(super) async fn wait_for<T>(
        &mut self,
        patience: Duration,
        what: &str,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> anyhow::Result<T> {
        let looking = async {
            while let Some(line) = self.events.next_line().await? {
                if let Some(found) = serde_json::from_str(&line).ok().and_then(|event| pick(&event)) {
                    return Ok(found);
                }
            }
            bail!("the {} ended before {what}:\n{}", self.name, fs::read_to_string(&self.log).unwrap_or_default())
        };
        match timeout(patience, looking).await {
            Ok(found) => found,
            Err(_) => bail!("the {} did not tell {what} within {patience:?}", self.name),
        }
    }

    /// Asks it to end, waits, and ends it.
    pub(super) async fn leave(mut self) {
        // Whatever goes wrong here, dropping kills what is left.
        let _ = kill_process(self.group, Signal::TERM);
        let _ = timeout(FAREWELL, self.child.wait()).await;
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A program that was waited for has no id any more, and its group number may belong to somebody else.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}
