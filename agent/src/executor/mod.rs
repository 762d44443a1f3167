//! The one place that starts processes.
//!
//! ```text
//! agent ──socket pair──> runner (this program again, one a run) ──fork, exec──> the approved program ──> its children
//!       <──── pipes ──── standard output and standard error of the program, through untouched
//! ```
//!
//! A run never starts from the agent itself. The runner is a fresh process in a session of its own (no terminal to type into),
//! with no way to gain rights (`no_new_privs`), and is the reaper of everything the program leaves behind, so that a program
//! which forks and detaches is still found and killed. It executes exactly the [`ExactRun`](wire::run::ExactRun) whose digest the
//! person approved; there is no shell between approval and exec.
//!
//! | module | what |
//! |---|---|
//! | [`resolve`] | proposal → the exact run that a person is asked about |
//! | [`Executor::start`] here | approved run → runner process |
//! | [`runner`] | what the runner does: check, limit, exec, watch, kill |
//! | [`tree`] | finding and killing a process tree |
//! | [`tools`] | the programs that diagnostics are read from |
//! | `warden` | killing what a runner does not, because the program stopped or killed it |
//! | [`open`] | opening the consent page in the person's browser |

pub mod open;
mod protocol;
pub mod resolve;
pub mod runner;
pub mod tools;
pub mod tree;
mod warden;

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rustix::process::Pid;
use tokio::{
    process::{Child, ChildStderr, ChildStdout, Command},
    sync::watch,
};
use transport::clock;
use wire::run::{ApprovedRun, RunOutcome, StartFailure};
use wire::text::Sentence;

use protocol::{Order, Report, STOP_GENTLY, STOP_NOW};
use warden::{Due, Warden};

/// Keeps other programs of the same user, approved ones above all, from looking into this process: from reading its memory, changing
/// it, or taking its sockets (`PR_SET_DUMPABLE`, ptrace(2)). Also keeps its secrets out of core dumps.
///
/// # Errors
///
/// None on a Linux that runs this program.
pub fn shield() -> io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

/// First argument by which this program knows that it is a runner. Not a command for people.
pub const RUNNER_ARGUMENT: &str = "__runner";

/// Knows how to start runners.
#[derive(Debug, Clone)]
pub struct Executor {
    runner: PathBuf,
}

/// A run whose runner has been started.
///
/// Dropping it closes the runner's socket, at which the runner kills the whole tree.
#[derive(Debug)]
pub struct Running {
    /// The program's standard output.
    pub stdout: ChildStdout,
    /// The program's standard error.
    pub stderr: ChildStderr,
    /// The other end of the runner.
    pub handle: RunHandle,
}

/// Waits for the end of a run.
#[derive(Debug)]
pub struct RunHandle {
    runner: Child,
    warden: Warden,
    stopper: RunStopper,
}

/// Stops a run, from anywhere and without waiting.
#[derive(Debug, Clone)]
pub struct RunStopper {
    socket: Arc<UnixStream>,
    /// From when on the agent does not rely on the runner. Only ever brought forward.
    due: Arc<watch::Sender<Due>>,
}

/// How a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The whole tree is killed at once: the grant is gone.
    Now,
    /// The tree is asked to end and killed [`runner::GRACE`] later: the technician cancelled.
    Gently,
}

impl Executor {
    /// An executor whose runners are this very program, even if its file has been replaced since it was started.
    pub fn this_program() -> Self {
        Self::with_runner(PathBuf::from("/proc/self/exe"))
    }

    /// An executor whose runners are `program`, which must call [`runner::main`] when its first argument is
    /// [`RUNNER_ARGUMENT`].
    pub fn with_runner(program: PathBuf) -> Self {
        Self { runner: program }
    }

    /// Starts the runner for an approved run and hands it the order.
    ///
    /// # Errors
    ///
    /// The outcome to report if not even the runner could be started.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(&self, approved: &ApprovedRun) -> Result<Running, RunOutcome> {
        self.spawn(approved).map_err(|error| not_started(&error))
    }

    fn spawn(&self, approved: &ApprovedRun) -> io::Result<Running> {
        let (socket, theirs) = UnixStream::pair()?;
        let mut runner = self
            .command()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env_clear()
            .current_dir("/")
            .spawn()?;
        let stdout = runner.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = runner.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let warden = runner.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).map(Warden::over);
        let warden = warden.ok_or(io::ErrorKind::NotFound)??;
        let order = Order { exact: approved.exact.clone(), digest: approved.digest };
        // The order is smaller than the socket's buffer, so this never blocks the runtime.
        (&socket).write_all(&order.to_bytes()?)?;
        socket.set_nonblocking(true)?;
        let limit = Duration::from_secs(approved.exact.limits.time_secs.into());
        let (due, _) = watch::channel(Due::after(limit, clock::now()));
        let stopper = RunStopper { socket: Arc::new(socket), due: Arc::new(due) };
        Ok(Running { stdout, stderr, handle: RunHandle { runner, warden, stopper } })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the executor: the one place that starts processes")]
    fn command(&self) -> Command {
        let mut command = Command::new(&self.runner);
        command.arg0("assent-runner").arg(RUNNER_ARGUMENT);
        command
    }
}

impl RunStopper {
    /// Asks the runner to stop the run. The outcome arrives through [`RunHandle::finished`].
    ///
    /// Never waits: the order is one byte on a socket whose buffer is empty.
    pub fn stop(&self, stop: Stop) {
        let byte = match stop {
            Stop::Now => STOP_NOW,
            Stop::Gently => STOP_GENTLY,
        };
        // A runner that cannot be written to has ended; what it may have left is cleared by `RunHandle::finished`.
        let _ = (&*self.socket).write(&[byte]);
        self.due.send_modify(|due| due.bring_forward(stop, clock::now()));
    }
}

impl RunHandle {
    /// What stops this run.
    pub fn stopper(&self) -> RunStopper {
        self.stopper.clone()
    }

    /// Waits until the program and everything that it started is gone.
    ///
    /// A run that was stopped, or whose time is over, is killed from here if its runner does not end it: the program may have stopped
    /// or killed the runner.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost if the future is dropped, a later call goes on.
    pub async fn finished(&mut self) -> RunOutcome {
        let status = tokio::select! {
            biased;
            status = self.runner.wait() => status,
            outcome = warden::overdue(self.stopper.due.subscribe()) => {
                let gone = self.warden.kill().await.unwrap_or(false);
                let _ = self.runner.wait().await;
                let nobody_left = self.warden.clear_orphans().await.unwrap_or(false);
                return if gone && nobody_left { outcome } else { RunOutcome::Lost };
            }
        };
        let mut bytes = [0; Report::MAX_BYTES];
        let report = match (&*self.stopper.socket).read(&mut bytes) {
            Ok(count) => bytes.get(..count).and_then(Report::from_bytes),
            Err(_) => None,
        };
        match (report, status) {
            (Some(report), Ok(status)) if status.signal().is_none() => report.outcome,
            (Some(_) | None, Ok(_) | Err(_)) => {
                // The runner died before its time. What it left that cannot be killed either is no worse for being told late.
                let _ = self.warden.clear_orphans().await;
                RunOutcome::Lost
            }
        }
    }
}

fn not_started(error: &io::Error) -> RunOutcome {
    let detail = Sentence::cut(&format!("the runner could not be started: {error}"));
    RunOutcome::NotStarted { reason: StartFailure::System { detail } }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_shielded_process_cannot_be_looked_into() {
        super::shield().unwrap();
        let behaviour = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(behaviour, rustix::process::DumpableBehavior::NotDumpable);
    }
}
