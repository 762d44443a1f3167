//! A pseudo-terminal with a program in it.

use std::{
    fmt, io,
    num::NonZeroU16,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process, kill_process_group},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tokio::{
    io::unix::AsyncFd,
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::screen::Screen;

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

impl Size {
    /// Large enough for every screen of this tree.
    pub const ROOMY: Self = Self { rows: 40, columns: 120 };
    /// What the smallest supported terminal has.
    pub const CLASSIC: Self = Self { rows: 24, columns: 80 };

    fn cells(self) -> (NonZeroU16, NonZeroU16) {
        let at_least_one = |cells| NonZeroU16::new(cells).unwrap_or(NonZeroU16::MIN);
        (at_least_one(self.rows), at_least_one(self.columns))
    }
}

/// A key that is no printable character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The return key.
    Enter,
    /// Escape.
    Escape,
    /// Tabulator.
    Tab,
    /// Deletes backwards.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Control with a letter, such as `Key::Control('c')`.
    Control(char),
}

impl Key {
    fn bytes(self) -> Vec<u8> {
        match self {
            Self::Enter => b"\r".to_vec(),
            Self::Escape => b"\x1b".to_vec(),
            Self::Tab => b"\t".to_vec(),
            Self::Backspace => b"\x7f".to_vec(),
            Self::Up => b"\x1b[A".to_vec(),
            Self::Down => b"\x1b[B".to_vec(),
            Self::Right => b"\x1b[C".to_vec(),
            Self::Left => b"\x1b[D".to_vec(),
            // The low five bits, as a keyboard does it.
            Self::Control(letter) => vec![u8::try_from(letter).unwrap_or(b'@') & 0x1f],
        }
    }
}

/// Why waiting for a terminal did not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TerminalError {
    /// It did not come in time.
    #[error("waited {waited:?} for {what}; the screen shows:\n{screen}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The visible rows.
        screen: String,
    },
    /// The program ended first.
    #[error("the program ended before {what}; the screen shows:\n{screen}")]
    Ended {
        /// What was waited for.
        what: String,
        /// The visible rows.
        screen: String,
    },
    /// The terminal was hung up before.
    #[error("the terminal was hung up")]
    HungUp,
    /// The system refused.
    #[error("the terminal does not work")]
    System(#[from] io::Error),
}

/// A program in its own session, with this terminal as its standard input, output and error.
///
/// Output is read by a task of the current tokio runtime. Dropping kills the program's process group.
pub struct Terminal {
    child: Child,
    pid: Pid,
    master: Option<Arc<AsyncFd<OwnedFd>>>,
    screen: Arc<Mutex<Screen>>,
    changed: watch::Receiver<Progress>,
    reader: JoinSet<()>,
}

/// What the reader tells whoever waits.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    reads: u64,
    closed: bool,
}

impl Terminal {
    /// Starts `command` in a new terminal of `size`. `TERM` is set to `xterm-256color`.
    ///
    /// Must be called within a tokio runtime with I/O enabled.
    ///
    /// # Errors
    ///
    /// When the system has no terminal left or the program cannot be started.
    pub fn start(mut command: Command, size: Size) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        unlockpt(&master)?;
        let (rows, columns) = size.cells();
        tcsetwinsize(&master, winsize(rows, columns))?;
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&master, true)?;

        command.stdin(Stdio::from(slave.try_clone()?)).stdout(Stdio::from(slave.try_clone()?)).stderr(slave);
        command.env("TERM", "xterm-256color").kill_on_drop(true);
        make_controlling_terminal(&mut command);
        let child = command.spawn()?;
        // The command still holds this side of the terminal; the end of output is seen only when nobody does.
        drop(command);
        let raw_pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = raw_pid.and_then(Pid::from_raw).ok_or_else(|| io::Error::other("the program has no process id"))?;

        let master = Arc::new(watch_readiness(master)?);
        let screen = Arc::new(Mutex::new(Screen::new(rows, columns)));
        let (progress, changed) = watch::channel(Progress::default());
        let mut reader = JoinSet::new();
        reader.spawn(read_output(Arc::clone(&master), Arc::clone(&screen), progress));
        Ok(Self { child, pid, master: Some(master), screen, changed, reader })
    }

    /// Process id of the program, which is also its process group and session.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// The screen, locked while the guard lives: nothing is read meanwhile.
    pub fn screen(&self) -> MutexGuard<'_, Screen> {
        lock(&self.screen)
    }

    /// The visible rows as plain text.
    pub fn text(&self) -> String {
        self.screen().text()
    }

    /// Waits until `found` returns something for the visible text, looking again whenever the program wrote. What is half drawn
    /// is not looked at, if the program says so ([`Screen::is_updating`]).
    ///
    /// `what` completes "waited for …" in the error.
    ///
    /// # Errors
    ///
    /// [`TerminalError::TimedOut`] after `patience`; [`TerminalError::Ended`] as soon as the program can write no more.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: the screen stays as it is.
    pub async fn wait_until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, TerminalError> {
        let mut changed = self.changed.clone();
        let look = async {
            loop {
                let progress = *changed.borrow_and_update();
                let text = Some(self.screen()).filter(|screen| !screen.is_updating()).map(|screen| screen.text());
                if let Some(found) = text.as_deref().and_then(&mut found) {
                    return Ok(found);
                }
                if progress.closed || changed.changed().await.is_err() {
                    return Err(TerminalError::Ended { what: what.to_owned(), screen: self.text() });
                }
            }
        };
        match timeout(patience, look).await {
            Ok(found) => found,
            Err(_) => Err(TerminalError::TimedOut { what: what.to_owned(), waited: patience, screen: self.text() }),
        }
    }

    /// Waits until the visible text contains `text`.
    ///
    /// # Errors
    ///
    /// As [`Terminal::wait_until`].
    pub async fn wait_for(&self, text: &str, patience: Duration) -> Result<(), TerminalError> {
        self.wait_until(&format!("{text:?}"), patience, |screen| screen.contains(text).then_some(())).await
    }

    /// Resolves when the program wrote something since the last call on this handle, or can write no more.
    ///
    /// # Cancel safety
    ///
    /// A change that was not reported is reported by the next call.
    pub async fn changed(&mut self) -> Changed {
        if self.changed.borrow_and_update().closed {
            return Changed::Closed;
        }
        match self.changed.changed().await {
            Ok(()) => Changed::Written,
            Err(_) => Changed::Closed,
        }
    }

    /// Types `text` as it is.
    ///
    /// # Errors
    ///
    /// When the terminal is hung up or gone.
    pub async fn type_text(&self, text: &str) -> Result<(), TerminalError> {
        self.send(text.as_bytes()).await
    }

    /// Presses one key.
    ///
    /// # Errors
    ///
    /// When the terminal is hung up or gone.
    pub async fn press(&self, key: Key) -> Result<(), TerminalError> {
        self.send(&key.bytes()).await
    }

    /// Sends bytes as a keyboard would.
    ///
    /// # Errors
    ///
    /// When the terminal is hung up or gone.
    pub async fn send(&self, bytes: &[u8]) -> Result<(), TerminalError> {
        let master = self.master.as_ref().ok_or(TerminalError::HungUp)?;
        Ok(write_all(master, bytes).await?)
    }

    /// Changes the size; the program is told by the system.
    ///
    /// # Errors
    ///
    /// When the terminal is hung up or gone.
    pub fn resize(&self, size: Size) -> Result<(), TerminalError> {
        let master = self.master.as_ref().ok_or(TerminalError::HungUp)?;
        let (rows, columns) = size.cells();
        self.screen().resize(rows, columns);
        tcsetwinsize(master.get_ref(), winsize(rows, columns)).map_err(io::Error::from)?;
        Ok(())
    }

    /// Closes the terminal as when its window is closed: the program gets SIGHUP, and reading or writing fails from here on.
    pub async fn hang_up(&mut self) {
        self.reader.shutdown().await;
        self.master = None;
    }

    /// Sends a signal to the program alone.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Err(io::Error::other("the program has ended"));
        }
        Ok(kill_process(self.pid, signal)?)
    }

    /// Waits for the end of the program, then for the last of its output.
    ///
    /// # Errors
    ///
    /// [`TerminalError::TimedOut`] after `patience`.
    ///
    /// # Cancel safety
    ///
    /// May be called again.
    pub async fn wait_exit(&mut self, patience: Duration) -> Result<ExitStatus, TerminalError> {
        match timeout(patience, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                self.drain().await;
                Ok(status)
            }
            Err(_) => {
                let what = "the end of the program".to_owned();
                Err(TerminalError::TimedOut { what, waited: patience, screen: self.text() })
            }
        }
    }

    /// Lets the reader take what the program left behind. Something that outlived the program may hold the terminal open, so
    /// this waits for no longer than the kernel could need.
    async fn drain(&mut self) {
        let mut changed = self.changed.clone();
        let closed = changed.wait_for(|progress| progress.closed);
        // Either outcome is fine: closed, or held open by a process that is not ours to wait for.
        let _ = timeout(Duration::from_millis(500), closed).await;
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A program that was waited for has no id any more, and its group number may belong to somebody else.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("pid", &self.pid).field("screen", &self.text()).finish_non_exhaustive()
    }
}

/// What [`Terminal::changed`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// There is new output.
    Written,
    /// There will be none any more.
    Closed,
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    // A panic while drawing leaves at worst a half-drawn screen.
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn winsize(rows: NonZeroU16, columns: NonZeroU16) -> Winsize {
    Winsize { ws_row: rows.get(), ws_col: columns.get(), ws_xpixel: 0, ws_ypixel: 0 }
}

#[expect(unsafe_code, reason = "std has no safe way to give a program a controlling terminal")]
fn make_controlling_terminal(command: &mut Command) {
    // SAFETY: between fork and exec only these two system calls are made; both are async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
            Ok(())
        });
    }
}

#[expect(unsafe_code, reason = "tokio leaves it to the caller that a descriptor stays what it is")]
pub(crate) fn watch_readiness(terminal: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is the only owner of its descriptor and keeps it open, under the same number, until it is dropped.
    Ok(unsafe { AsyncFd::register(terminal) }?)
}

/// Reads until the other side is closed (which Linux reports as EIO) and keeps the screen up to date.
async fn read_output(master: Arc<AsyncFd<OwnedFd>>, screen: Arc<Mutex<Screen>>, progress: watch::Sender<Progress>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(mut ready) = master.readable().await else { break };
        let count = match ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut buffer[..])?)) {
            Err(_would_block) => continue,
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(count)) => count,
        };
        let replies = lock(&screen).process(&buffer[..count]);
        progress.send_modify(|progress| progress.reads += 1);
        if !replies.is_empty() && write_all(&master, &replies).await.is_err() {
            break;
        }
    }
    progress.send_modify(|progress| progress.closed = true);
}

pub(crate) async fn write_all(master: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut ready = master.writable().await?;
        match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
            Err(_would_block) => {}
            Ok(written) => bytes = bytes.get(written?..).unwrap_or_default(),
        }
    }
    Ok(())
}
