//! The agent's log of one session.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use trust::keys::SigningKey;
use wire::{
    evidence::Event,
    ids::{Digest, SessionId},
    session::AUDIT_LINE_BYTES,
    time::WallTime,
};

use crate::{
    files::{self, FileError},
    line::{self, Line},
};

/// Why an entry was not written. What the entry announces must not be done, and the session cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// There is no place for the log.
    #[error("the audit log cannot be created, so no session can begin")]
    Create(#[source] FileError),
    /// The file could not be written, or not be brought to the disk.
    #[error(
        "the audit log {} could not be written: {obstacle}; what it was to record was not done, and the session ends; {}",
        path.display(),
        obstacle.advice()
    )]
    Write {
        /// The log.
        path: PathBuf,
        /// What was in the way.
        obstacle: Obstacle,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// The entry is longer than what a reader accepts.
    #[error(
        "the audit log entry of {bytes} bytes is too long; what it was to record was not done, and the session ends"
    )]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// An entry could not be written before, so none can follow.
    #[error("the audit log {} could not be written before; nothing more can be done in this session", path.display())]
    Broken {
        /// The log.
        path: PathBuf,
    },
    /// The caller wanted an event where it cannot stand: a log begins with the pairing and is closed with the end.
    #[error("this event cannot stand here in an audit log; what it was to record was not done, and the session ends")]
    OutOfPlace,
    /// An event that JSON cannot express.
    #[error(
        "the audit log entry could not be put into words; what it was to record was not done, and the session ends"
    )]
    Encode(#[source] serde_json::Error),
}

/// What kept the file from being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Obstacle {
    /// No space left.
    #[error("the disk is full")]
    DiskFull,
    /// The user's quota is used up.
    #[error("this user's share of the disk is used up")]
    Quota,
    /// A limit on the size of files.
    #[error("the file would be larger than this system allows")]
    FileTooLarge,
    /// The file system went read-only, which disks with errors do.
    #[error("the disk can only be read")]
    ReadOnly,
    /// Taken away in the meantime.
    #[error("writing to it is not permitted")]
    NotPermitted,
    /// The device failed.
    #[error("the disk reported an error")]
    Device,
    /// Something else; the error's source says what.
    #[error("the system reported an error")]
    Other,
}

impl Obstacle {
    /// What an error of a file stands for.
    pub fn of(error: &io::Error) -> Self {
        const EIO: i32 = 5;
        #[expect(clippy::wildcard_enum_match_arm, reason = "everything that has no advice of its own, now and later")]
        match error.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull,
            io::ErrorKind::QuotaExceeded => Self::Quota,
            io::ErrorKind::FileTooLarge => Self::FileTooLarge,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ if error.raw_os_error() == Some(EIO) => Self::Device,
            _ => Self::Other,
        }
    }

    /// What to do next.
    fn advice(self) -> &'static str {
        match self {
            Self::DiskFull | Self::Quota => "free some space and start a new session",
            Self::FileTooLarge => "raise the limit on file sizes and start a new session",
            Self::ReadOnly | Self::Device => "have the disk checked, or keep the log on another one",
            Self::NotPermitted => "check who may write there and start a new session",
            Self::Other => "start a new session, with the log in another place if it happens again",
        }
    }
}

/// The agent's log of one session, open for writing.
///
/// Every entry is on the disk before the call that wrote it returns (`fdatasync`), so that what it announces can be done next. After
/// any error every further call fails: there is no session without a log. A log that is dropped without [`AuditLog::close`]
/// stays behind as it is and reads as not closed.
///
/// The calls block for as long as the disk takes, some milliseconds as a rule.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    path: PathBuf,
    head: Digest,
    next: u64,
    health: Health,
}

#[derive(Debug, PartialEq, Eq)]
enum Health {
    Good,
    Broken,
}

impl AuditLog {
    /// Creates the log of `session` in `dir`, which is created as well if need be, and writes its first entry: [`Event::Paired`].
    ///
    /// The file is new, readable and writable by its owner alone, and named `DATE-TIME-SESSION.audit.jsonl`.
    ///
    /// # Errors
    ///
    /// No session may begin. A file may be left behind.
    pub fn create(dir: &Path, session: SessionId, first: &Event, wall: WallTime) -> Result<(Self, Line), AuditError> {
        let (file, path) = files::create_record(dir, session, wall, "audit.jsonl").map_err(AuditError::Create)?;
        Self::on_file(file, path, first, wall)
    }

    /// As [`AuditLog::create`], on a file that is already open for appending.
    pub(crate) fn on_file(
        file: File,
        path: PathBuf,
        first: &Event,
        wall: WallTime,
    ) -> Result<(Self, Line), AuditError> {
        let mut log = Self { file, path, head: line::genesis(), next: 1, health: Health::Good };
        if !matches!(first, Event::Paired { .. }) {
            return Err(AuditError::OutOfPlace);
        }
        let line = log.write(first, wall)?;
        Ok((log, line))
    }

    /// Writes one entry. Returns its line for the technician's copy.
    ///
    /// [`Event::Ended`] goes to [`AuditLog::close`].
    ///
    /// # Errors
    ///
    /// What `event` announces must not be done, and no further entry can be written.
    pub fn append(&mut self, event: &Event, wall: WallTime) -> Result<Line, AuditError> {
        if matches!(event, Event::Paired { .. } | Event::Ended { .. }) {
            self.health = Health::Broken;
            return Err(AuditError::OutOfPlace);
        }
        self.write(event, wall)
    }

    /// Writes the last entry, which must be [`Event::Ended`], and the closing line, signed by the agent's session key: the one whose
    /// digest is in the first entry.
    ///
    /// Returns both lines for the technician's copy.
    ///
    /// # Errors
    ///
    /// The session is over all the same; its log stays behind without its end.
    pub fn close(mut self, last: &Event, key: &SigningKey, wall: WallTime) -> Result<[Line; 2], AuditError> {
        if !matches!(last, Event::Ended { .. }) {
            return Err(AuditError::OutOfPlace);
        }
        let ended = self.write(last, wall)?;
        let closing = line::closing(self.next, wall, self.head, key).map_err(AuditError::Encode)?;
        self.put(&closing)?;
        Ok([ended, closing])
    }

    /// Where the log lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&mut self, event: &Event, wall: WallTime) -> Result<Line, AuditError> {
        if self.health == Health::Broken {
            return Err(AuditError::Broken { path: self.path.clone() });
        }
        // Broken until the entry is on the disk, so that no way out of here leaves a log that looks good.
        self.health = Health::Broken;
        let (line, head) = line::entry(self.next, wall, event, self.head).map_err(AuditError::Encode)?;
        if line.as_bytes().len() > AUDIT_LINE_BYTES {
            return Err(AuditError::TooLong { bytes: line.as_bytes().len() });
        }
        self.put(&line)?;
        self.head = head;
        self.next += 1;
        self.health = Health::Good;
        Ok(line)
    }

    /// Brings one line to the disk.
    fn put(&mut self, line: &Line) -> Result<(), AuditError> {
        let with_end = [line.as_bytes(), b"\n"].concat();
        self.file.write_all(&with_end).and_then(|()| self.file.sync_data()).map_err(|source| AuditError::Write {
            path: self.path.clone(),
            obstacle: Obstacle::of(&source),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
