//! The terminal that this process sits in.

use std::io;

use rustix::{
    fs::{Mode, OFlags},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use tokio::io::unix::AsyncFd;

use crate::terminal::{Size, watch_readiness, write_all};

/// Shows the other screen of the terminal, as full-screen programs do, and comes back with what was there before.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[2J";
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";

/// The controlling terminal, in raw mode: keys arrive as they are pressed, Ctrl-C included. Dropping gives it back as it was.
#[derive(Debug)]
pub struct Console {
    tty: AsyncFd<std::os::fd::OwnedFd>,
    before: Termios,
}

impl Console {
    /// Takes over the terminal.
    ///
    /// # Errors
    ///
    /// When this process has none.
    pub fn take_over() -> io::Result<Self> {
        // Opened anew, so that its being non-blocking stays between this process and its terminal.
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let tty = rustix::fs::open("/dev/tty", flags, Mode::empty())?;
        let before = tcgetattr(&tty)?;
        let mut raw = before.clone();
        raw.make_raw();
        let console = Self { tty: watch_readiness(tty)?, before };
        tcsetattr(console.tty.get_ref(), OptionalActions::Drain, &raw)?;
        rustix::io::write(console.tty.get_ref(), ENTER)?;
        Ok(console)
    }

    /// Its size. Changes are told by SIGWINCH.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub fn size(&self) -> io::Result<Size> {
        let size = tcgetwinsize(self.tty.get_ref())?;
        Ok(Size { rows: size.ws_row, columns: size.ws_col })
    }

    /// Waits for keys. Nothing but an empty answer means that the terminal is gone.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    ///
    /// # Cancel safety
    ///
    /// No key is lost.
    pub async fn read(&self) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        loop {
            let mut ready = self.tty.readable().await?;
            if let Ok(count) = ready.try_io(|tty| Ok(rustix::io::read(tty.get_ref(), &mut buffer[..])?)) {
                return Ok(buffer.get(..count?).unwrap_or_default().to_vec());
            }
        }
    }

    /// Writes to the screen.
    ///
    /// # Errors
    ///
    /// When the terminal is gone.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        write_all(&self.tty, bytes).await
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = rustix::io::write(self.tty.get_ref(), LEAVE);
        let _ = tcsetattr(self.tty.get_ref(), OptionalActions::Drain, &self.before);
    }
}
