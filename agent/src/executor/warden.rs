//! What the agent does itself about a run whose runner does not do it.
//!
//! A program runs as the same user as its runner and so can stop it or kill it. A runner that was told to stop at once and is still
//! there after [`HASTE`] has its tree killed from outside, and so has one that does not cancel its run or end it in time. What a killed
//! runner leaves behind comes to the agent, the next subreaper above it (`prctl(2)`), and is told from everything else below the
//! agent by `no_new_privs`, which no process can take off.

use std::{
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::sync::watch;
use transport::clock;
use wire::run::RunOutcome;
use wire::time::Moment;

use super::{Stop, runner::GRACE, tree};

/// How long a runner may take to end once it was told to stop at once.
const HASTE: Duration = Duration::from_millis(60);

/// How much longer than [`GRACE`] a runner may take that ends its run gently; a busy machine is no reason to doubt it.
const MARGIN: Duration = Duration::from_secs(1);

/// How long processes that cannot be killed are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks for processes that are still dying.
const LOOK: Duration = Duration::from_millis(5);

/// Runners of this process that are not over: the trees below them are theirs.
static RUNNERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// When a run is over at the latest, and how it has ended if the agent has to see to it.
#[derive(Debug, Clone)]
pub(super) struct Due {
    at: Moment,
    outcome: RunOutcome,
}

impl Due {
    /// A run that starts now and may take `limit`.
    pub(super) fn after(limit: Duration, now: Moment) -> Self {
        Self { at: now + limit + GRACE + MARGIN, outcome: RunOutcome::TimedOut }
    }

    /// The runner was told to stop.
    pub(super) fn bring_forward(&mut self, stop: Stop, now: Moment) {
        let (at, outcome) = match stop {
            Stop::Now => (now + HASTE, RunOutcome::Revoked),
            Stop::Gently => (now + GRACE + MARGIN, RunOutcome::Cancelled),
        };
        if at < self.at {
            *self = Self { at, outcome };
        }
    }
}

/// Waits until a run is due and returns how it has ended then.
///
/// # Cancel safety
///
/// Cancel safe: being due does not depend on who waits.
pub(super) async fn overdue(mut due: watch::Receiver<Due>) -> RunOutcome {
    loop {
        let Due { at, outcome } = due.borrow_and_update().clone();
        tokio::select! {
            () = clock::sleep_until(at) => return outcome,
            // A due without anybody left to bring it forward is still a due.
            Ok(()) = due.changed() => {}
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_origin(Duration::from_secs(100));

    #[test]
    fn a_run_is_due_when_its_time_and_its_grace_are_over() {
        let due = Due::after(Duration::from_secs(60), START);
        assert!(due.at > START + Duration::from_secs(60) + GRACE);
        assert_eq!(due.outcome, RunOutcome::TimedOut);
    }

    #[test]
    fn a_stop_brings_a_run_forward_and_nothing_puts_it_off() {
        let mut due = Due::after(Duration::from_secs(60), START);
        due.bring_forward(Stop::Gently, START);
        let cancelled = due.at;
        assert!(cancelled > START + GRACE && cancelled < START + Duration::from_secs(60));
        due.bring_forward(Stop::Gently, START + GRACE);
        assert_eq!((due.at, &due.outcome), (cancelled, &RunOutcome::Cancelled));
        due.bring_forward(Stop::Now, START + GRACE);
        assert_eq!((due.at, due.outcome), (START + GRACE + HASTE, RunOutcome::Revoked));
    }
}
