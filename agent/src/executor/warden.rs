//! What the agent does itself about a run whose runner does not do it.
//!
//! A program runs as the same user as its runner and so can stop it or kill it. A runner that was told to stop at once and is still
//! there after [`HASTE`] has its tree killed from outside; what a killed runner leaves behind comes to the agent, the next
//! subreaper above it (`prctl(2)`), and is told from everything else below the agent by `no_new_privs`, which no process can take off.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions};
use transport::clock;

use super::tree;

/// How long a runner may take to end once it was told to stop at once.
pub(super) const HASTE: Duration = Duration::from_millis(60);

/// How long processes that cannot be killed are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks for processes that are still dying.
const LOOK: Duration = Duration::from_millis(5);

/// Runners of this process that are not over: the trees below them are theirs.
static RUNNERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Watches over one runner, from before it has its order until it is over.
#[derive(Debug)]
pub(super) struct Warden {
    runner: Pid,
}

impl Warden {
    /// Has this process adopt whatever runners leave behind.
    pub(super) fn over(runner: Pid) -> io::Result<Self> {
        let mut runners = runners();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        runners.push(runner);
        Ok(Self { runner })
    }

    /// Kills the tree below the runner and then the runner. Returns whether the tree was gone when the runner was killed.
    pub(super) async fn kill(&self) -> io::Result<bool> {
        let runner = self.runner;
        let gone = until_gone(move || kill_below(runner)).await?;
        // It may have ended meanwhile; it keeps its number until it is waited for.
        let _ = rustix::process::kill_process(runner, Signal::KILL);
        Ok(gone)
    }

    /// Kills what the runner, which is over, left behind. Returns whether all of it is gone.
    pub(super) async fn clear_orphans(&self) -> io::Result<bool> {
        runners().retain(|runner| *runner != self.runner);
        until_gone(kill_orphans).await
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        let mut runners = runners();
        runners.retain(|runner| *runner != self.runner);
        if runners.is_empty() {
            // What other children of the agent leave behind, such as the browser's opener, is not the agent's to keep.
            let _ = rustix::process::set_child_subreaper(None);
        }
    }
}

/// Repeats `kill` until it finds nobody, on a thread that may wait for the system.
async fn until_gone(kill: impl Fn() -> io::Result<bool> + Clone + Send + 'static) -> io::Result<bool> {
    let until = clock::now() + PATIENCE;
    loop {
        let kill = kill.clone();
        if tokio::task::spawn_blocking(kill).await.map_err(io::Error::other)?? {
            return Ok(true);
        }
        if clock::now() >= until {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn kill_below(runner: Pid) -> io::Result<bool> {
    let gone = tree::is_gone(runner)?;
    if !gone {
        tree::kill(runner)?;
    }
    Ok(gone)
}

/// Kills every tree that came to this process from a runner that is over.
fn kill_orphans() -> io::Result<bool> {
    let mut nobody = true;
    for child in tree::children(rustix::process::getpid())? {
        // Asked for each child: a runner is known here before it is told to confine itself.
        if runners().contains(&child) || !tree::is_confined(child) {
            continue;
        }
        nobody = false;
        tree::kill(child)?;
        let _ = rustix::process::kill_process(child, Signal::KILL);
        // It is nobody else's to wait for. One that is not dead yet is looked at again.
        let _ = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
    }
    Ok(nobody)
}

fn runners() -> MutexGuard<'static, Vec<Pid>> {
    // Every change is a single call: a panic in between leaves nothing half done.
    RUNNERS.lock().unwrap_or_else(PoisonError::into_inner)
}
