//! A session in the background: `assent attach --detach`.
//!
//! The program starts itself again, as a process of its own session and without a terminal. What is needed to attach goes
//! through its standard input, because a command line can be read by everybody on the machine; what happens comes back through its
//! standard output until the end user has answered. If the starting process goes away before that, so does the session.

use std::{env, io, os::fd::AsFd as _, process::Stdio, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncWriteExt as _,
    net::unix::pipe,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};
use transport::node::CarrierChoice;
use wire::link::RelayLink;

use crate::{
    local::lines::{LineError, LineReader},
    problem::Problem,
    status::Status,
};

/// Argument by which this program knows that it is to own a session in the background.
const SESSION_PROCESS: &str = "session-process";

/// Longest line that is passed; a status with a long log of what happened is the longest.
const LINE_BYTES: usize = 4 * 1024 * 1024;

/// How long a new process may take to say its first word.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// What the process in the background needs to attach.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    /// What the end user read out, as it was typed.
    pub(crate) code: String,
    /// The relay link.
    pub(crate) relay: String,
    /// How to reach the relay.
    pub(crate) carrier: String,
    /// Name that the end user is shown.
    pub(crate) name: String,
    /// Why the technician attaches.
    pub(crate) reason: String,
    /// Whether to connect directly.
    pub(crate) direct: bool,
    /// How long the end user's machine may be silent.
    pub(crate) reconnect_within_secs: u64,
}

/// What the process in the background tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// Something changed.
    Status(Box<Status>),
    /// The end user agreed: the session goes on in the background. Nothing follows.
    Attached(Box<Status>),
    /// There is no session. Nothing follows.
    Failed(Problem),
}

/// Why there is no process in the background.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DetachError {
    /// It could not be started.
    #[error("the process for the session cannot be started")]
    Start(#[source] io::Error),
    /// What it said was not understood.
    #[error("the session's process cannot be understood")]
    Line(#[from] LineError),
    /// It ended without a word.
    #[error("the session's process ended before the end user had answered")]
    Gone,
}

/// A process in the background that has not reported the answer yet. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Background {
    /// Its end of file tells the process that nobody waits.
    _alive: ChildStdin,
    reports: LineReader<ChildStdout>,
    /// Not waited for: it lives longer than this process.
    _child: Child,
    spoke: bool,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// [`DetachError::Start`].
    pub(crate) async fn start(start: &Start) -> Result<Self, DetachError> {
        let mut child = spawn().map_err(DetachError::Start)?;
        let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or(DetachError::Gone)?;
        let mut alive = stdin;
        let mut line = serde_json::to_vec(start).map_err(|error| DetachError::Start(error.into()))?;
        line.push(b'\n');
        alive.write_all(&line).await.map_err(DetachError::Start)?;
        alive.flush().await.map_err(DetachError::Start)?;
        Ok(Self { _alive: alive, reports: LineReader::new(stdout, LINE_BYTES), _child: child, spoke: false })
    }

    /// The next thing that it tells.
    ///
    /// # Errors
    ///
    /// It is gone, or said something else.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Report, DetachError> {
        let report = if self.spoke {
            self.reports.next().await?
        } else {
            timeout(START_DEADLINE, self.reports.next()).await.map_err(|_| DetachError::Gone)??
        };
        self.spoke = true;
        report.ok_or(DetachError::Gone)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one process that this program starts is itself, with fixed arguments, to let a session go on in the background"
)]
fn spawn() -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .arg(SESSION_PROCESS)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .kill_on_drop(false)
        .spawn()
}

/// The other end, in the process in the background.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// Its end says that nobody waits any more.
    starter: LineReader<pipe::Receiver>,
    reports: Option<pipe::Sender>,
}

impl Reporter {
    /// Leaves the terminal and the process group of whoever started this, and reads what to do.
    ///
    /// # Errors
    ///
    /// If nobody says what to do.
    pub(crate) async fn begin() -> Result<(Self, Start), DetachError> {
        // Fails only for the leader of a group, and a process that was just started is none.
        if let Err(error) = rustix::process::setsid() {
            tracing::debug!(%error, "no session of its own");
        }
        let (starter, reports) = take_pipes().map_err(DetachError::Start)?;
        let mut starter = LineReader::new(starter, LINE_BYTES);
        let start = timeout(START_DEADLINE, starter.next::<Start>()).await.map_err(|_| DetachError::Gone)??;
        Ok((Self { starter, reports: Some(reports) }, start.ok_or(DetachError::Gone)?))
    }

    /// Returns when nobody waits for the answer any more; never once it was told.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn abandoned(&mut self) {
        if self.reports.is_none() {
            return std::future::pending().await;
        }
        // Nothing more is ever said; nonsense is as good as an end.
        let _ = self.starter.next::<Start>().await;
    }

    /// Tells whoever started this. After the answer nothing more is told.
    ///
    /// # Errors
    ///
    /// Nobody listens any more.
    pub(crate) async fn tell(&mut self, report: &Report) -> io::Result<()> {
        let Some(mut reports) = self.reports.take() else { return Ok(()) };
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        reports.write_all(&line).await?;
        match report {
            Report::Status(_) => self.reports = Some(reports),
            Report::Attached(_) | Report::Failed(_) => {}
        }
        Ok(())
    }
}

/// Takes standard input and output as pipes of our own, and leaves `/dev/null` in their places for everything else.
fn take_pipes() -> io::Result<(pipe::Receiver, pipe::Sender)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok((pipe::Receiver::from_owned_fd(input)?, pipe::Sender::from_owned_fd(output)?))
}

impl Start {
    /// The link, read back.
    ///
    /// # Errors
    ///
    /// Never for what this program passed to itself.
    pub(crate) fn relay(&self) -> Result<RelayLink, wire::link::LinkError> {
        self.relay.parse()
    }

    /// How to reach the relay, read back.
    pub(crate) fn carrier(&self) -> CarrierChoice {
        self.carrier.parse().unwrap_or_default()
    }
}
