//! A program with its output, ended with its test.

use std::{
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

/// Most bytes that are kept of each output; what comes later is only counted.
const KEPT_BYTES: usize = 16 << 20;

/// A program without a terminal, in its own process group. Dropping kills the group.
#[derive(Debug)]
pub struct Running {
    child: Child,
    pid: Pid,
    stdin: Option<ChildStdin>,
    stdout: Captured,
    stderr: Captured,
    _readers: JoinSet<()>,
}

/// Everything that a program that has ended left behind.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// The exit code, or -1 when a signal ended the program.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }
}

impl Running {
    /// Starts `command` with captured outputs and an open standard input.
    ///
    /// # Errors
    ///
    /// When the program cannot be started.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{:?} does not start", command.as_std()))?;
        let raw_pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = raw_pid.and_then(Pid::from_raw).context("the program has no process id")?;
        let mut readers = JoinSet::new();
        let stdout = Captured::read(child.stdout.take().context("standard output is piped")?, &mut readers);
        let stderr = Captured::read(child.stderr.take().context("standard error is piped")?, &mut readers);
        let stdin = child.stdin.take();
        Ok(Self { child, pid, stdin, stdout, stderr, _readers: readers })
    }

    /// Starts `command` and waits for its end.
    ///
    /// # Errors
    ///
    /// When the program cannot be started or takes longer than `patience`; it is killed then.
    pub async fn to_end(command: Command, patience: Duration) -> anyhow::Result<Finished> {
        let mut running = Self::start(command)?;
        running.close_stdin();
        running.wait_exit(patience).await
    }

    /// Process id and process group.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Standard output up to now.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error up to now.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Bytes written to standard output up to now, kept or not.
    pub fn stdout_bytes(&self) -> u64 {
        self.stdout.changed.borrow().bytes
    }

    /// Waits until so many bytes were written to standard output, kept or not.
    ///
    /// # Errors
    ///
    /// When the output ends before or `patience` runs out.
    pub async fn wait_for_bytes(&self, bytes: u64, patience: Duration) -> anyhow::Result<()> {
        let mut changed = self.stdout.changed.clone();
        let enough = changed.wait_for(|progress| progress.bytes >= bytes || progress.ended);
        match timeout(patience, enough).await {
            Ok(Ok(progress)) if progress.bytes >= bytes => Ok(()),
            Ok(_) => bail!("the output ended before byte {bytes}\nstderr:\n{}", self.stderr()),
            Err(_) => bail!("no {bytes} bytes within {patience:?}\nstderr:\n{}", self.stderr()),
        }
    }

    /// When the last byte of standard output arrived up to now.
    pub fn last_byte_at(&self) -> Option<Instant> {
        self.stdout.changed.borrow().last_at
    }

    /// Writes to standard input.
    ///
    /// # Errors
    ///
    /// When it is closed.
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stdin = self.stdin.as_mut().context("standard input was closed")?;
        stdin.write_all(bytes).await?;
        Ok(stdin.flush().await?)
    }

    /// Ends standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for a complete line of standard output for which `found` returns something, looking at all lines from the first.
    ///
    /// # Errors
    ///
    /// When the output ends or `patience` runs out; both errors show what was written.
    pub async fn wait_for_line<T>(
        &self,
        what: &str,
        patience: Duration,
        found: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let waited = self.stdout.wait_for_line(patience, found).await;
        waited.with_context(|| format!("waiting for {what}\nstdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr()))
    }

    /// As [`Running::wait_for_line`], of standard error.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn wait_for_error_line<T>(
        &self,
        what: &str,
        patience: Duration,
        found: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let waited = self.stderr.wait_for_line(patience, found).await;
        waited.with_context(|| format!("waiting for {what}\nstdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr()))
    }

    /// Sends a signal to the program alone.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            bail!("the program has ended\nstderr:\n{}", self.stderr());
        }
        Ok(kill_process(self.pid, signal)?)
    }

    /// Whether the program has not ended yet.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn is_alive(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Kills the program and everything in its process group, and waits for its end.
    ///
    /// # Errors
    ///
    /// When the system does not let it be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.kill_group();
        self.child.wait().await?;
        Ok(())
    }

    /// Waits for the end of the program and of its output.
    ///
    /// # Errors
    ///
    /// When `patience` runs out, with what was written.
    pub async fn wait_exit(&mut self, patience: Duration) -> anyhow::Result<Finished> {
        let ended = timeout(patience, async {
            let status = self.child.wait().await?;
            self.stdout.wait_for_end().await;
            self.stderr.wait_for_end().await;
            io::Result::Ok(status)
        })
        .await;
        match ended {
            Ok(status) => Ok(Finished { status: status?, stdout: self.stdout(), stderr: self.stderr() }),
            Err(_) => bail!("still running after {patience:?}\nstdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr()),
        }
    }

    fn kill_group(&mut self) {
        // A program that was waited for has no id any more, and its group number may belong to somebody else.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_group();
    }
}

/// One output of a program.
#[derive(Debug)]
struct Captured {
    kept: Arc<Mutex<Vec<u8>>>,
    changed: watch::Receiver<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    bytes: u64,
    last_at: Option<Instant>,
    ended: bool,
}

impl Captured {
    fn read(mut output: impl AsyncRead + Unpin + Send + 'static, readers: &mut JoinSet<()>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (progress, changed) = watch::channel(Progress::default());
        let keep = Arc::clone(&kept);
        readers.spawn(async move {
            let mut buffer = vec![0; 32 * 1024];
            while let Ok(count @ 1..) = output.read(&mut buffer).await {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT_BYTES.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(&buffer[..room]);
                drop(kept);
                progress.send_modify(|progress| {
                    progress.bytes += count as u64;
                    progress.last_at = Some(Instant::now());
                });
            }
            progress.send_modify(|progress| progress.ended = true);
        });
        Self { kept, changed }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    async fn wait_for_line<T>(
        &self,
        patience: Duration,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut changed = self.changed.clone();
        let mut seen = 0;
        let look = async {
            loop {
                let ended = changed.borrow_and_update().ended;
                let text = self.text();
                let fresh = text.get(seen..).unwrap_or_default();
                let complete = if ended { fresh } else { &fresh[..fresh.rfind('\n').map_or(0, |at| at + 1)] };
                if let Some(found) = complete.lines().find_map(&mut found) {
                    return Ok(found);
                }
                seen += complete.len();
                if ended || changed.changed().await.is_err() {
                    bail!("the output ended");
                }
            }
        };
        timeout(patience, look).await.unwrap_or_else(|_| bail!("nothing within {patience:?}"))
    }

    async fn wait_for_end(&self) {
        let mut changed = self.changed.clone();
        // An error means that the reader is gone, which is an end as well.
        let _ = changed.wait_for(|progress| progress.ended).await;
    }
}
