//! Users, file modes, locks and signals as POSIX has them.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether the program runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether nobody but its owner can read or change a file, and the owner is who runs this program.
pub(crate) fn is_private(metadata: &Metadata) -> bool {
    metadata.mode() & 0o077 == 0 && metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Keeps other relays out until the file is closed.
pub(crate) fn lock(directory: &File) -> io::Result<()> {
    Ok(rustix::fs::flock(directory, rustix::fs::FlockOperation::LockExclusive)?)
}

/// Lets this process have `wanted` files and connections open, as far as the system allows, and says how many it may have.
pub(crate) fn allow_open_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let (now, most) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let new = wanted.min(most);
    if new > now && setrlimit(Resource::Nofile, Rlimit { current: Some(new), ..limit }).is_ok() { new } else { now }
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From here on these signals no longer end the program by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// SIGHUP, by which a service is told that its files have changed.
#[derive(Debug)]
pub(crate) struct ReloadSignals(Option<Signal>);

impl ReloadSignals {
    /// From here on SIGHUP no longer ends the program, if there is something to read again. A relay in a terminal without such files ends with
    /// its terminal, as any program does.
    pub(crate) fn listen_if(something: bool) -> io::Result<Self> {
        Ok(Self(something.then(|| signal(SignalKind::hangup())).transpose()?))
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost.
    pub(crate) async fn next(&mut self) {
        match &mut self.0 {
            Some(hangup) => {
                hangup.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_open_files_is_never_lowered() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!(allow_open_files(1), before);
        let after = allow_open_files(before.saturating_add(1));
        assert!(after == before || after == before + 1);
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), after);
    }
}
