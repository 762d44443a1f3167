//! The terminal itself, on Unix: found, made raw, read, and given back as it was.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    termios::{InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios},
};
use tokio::io::unix::AsyncFd;

use crate::front::FrontError;

/// Asks for pasted text to be marked (xterm's bracketed paste).
const ENTER: &[u8] = b"\x1b[?2004h";

/// Takes it back, with any colour that was left on, and starts a new line.
const LEAVE: &[u8] = b"\x1b[?2004l\x1b[0m\r\n";

/// A terminal in raw mode. Dropping it, by a panic as well, gives it back as it was.
#[derive(Debug)]
pub(super) struct Tty {
    fd: AsyncFd<OwnedFd>,
    before: Termios,
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Tty {
    /// Opens the terminal that the person sits at: the one that standard input and output are, or else the one that the
    /// process's session belongs to.
    pub(super) fn open() -> Result<Self, FrontError> {
        if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
            return Err(FrontError::DumbTerminal);
        }
        let fd = open_terminal().ok_or(FrontError::NoTerminal)?;
        // Not this session's terminal: then it has no foreground to be in.
        let foreground = rustix::termios::tcgetpgrp(&fd).ok();
        if foreground.is_some_and(|group| group != rustix::process::getpgrp()) {
            return Err(FrontError::Background);
        }
        Self::on(fd).map_err(FrontError::Terminal)
    }

    /// Makes `fd`, which must not block, raw.
    pub(super) fn on(fd: OwnedFd) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(&fd)?;
        let mut raw = before.clone();
        // Keys come one by one, unseen, and none of them is a signal. Output is left as it is, so that a message of a
        // panic still starts at the left edge.
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.input_modes -= InputModes::IXON | InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR;
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        let tty = Self { fd: watch_readiness(fd)?, before };
        // Flushing throws away what was typed before anything was asked.
        rustix::termios::tcsetattr(tty.fd.get_ref(), OptionalActions::Flush, &raw)?;
        let _ = tty.try_write(ENTER);
        Ok(tty)
    }

    /// Its size, or the usual one if it does not know.
    pub(super) fn size(&self) -> Size {
        let size = rustix::termios::tcgetwinsize(self.fd.get_ref()).ok();
        let known = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
        known.map_or(Size { columns: 80, rows: 24 }, |size| Size {
            columns: usize::from(size.ws_col),
            rows: usize::from(size.ws_row),
        })
    }

    /// Waits for input; zero bytes are its end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: bytes are taken only when the future completes.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            if let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *buffer)?)) {
                return read;
            }
        }
    }

    /// Waits until some of `bytes` can be written, and says how many were.
    ///
    /// # Cancel safety
    ///
    /// Bytes are written only when the future completes.
    pub(super) async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.writable().await?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                return written;
            }
        }
    }

    /// Throws away what was typed and not read.
    pub(super) fn discard_input(&self) {
        // A terminal that cannot is gone, which the next read finds out.
        let _ = rustix::termios::tcflush(self.fd.get_ref(), QueueSelector::IFlush);
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(self.fd.get_ref(), bytes)?)
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // A terminal that hung up takes neither, and needs neither.
        let _ = self.try_write(LEAVE);
        let fd = self.fd.get_ref();
        // Flushing keeps a half-typed answer from becoming a command of the shell.
        while rustix::termios::tcsetattr(fd, OptionalActions::Flush, &self.before) == Err(Errno::INTR) {}
    }
}

/// Opens the terminal anew, so that making it non-blocking changes nothing for whoever else holds it.
fn open_terminal() -> Option<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = |path: &std::ffi::CStr| rustix::fs::open(path, flags, Mode::empty()).ok();
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let standard = if rustix::termios::isatty(stdin) && rustix::termios::isatty(stdout) {
        rustix::termios::ttyname(stdin.as_fd(), Vec::new()).ok().and_then(|name| open(&name))
    } else {
        None
    };
    standard.or_else(|| open(c"/dev/tty"))
}

#[expect(unsafe_code, reason = "tokio leaves it to the caller that a descriptor stays what it is")]
fn watch_readiness(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is the only owner of its descriptor and keeps it open, under the same number, until it is dropped.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
