//! The technician's copy of a log.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use wire::time::WallTime;

use crate::{
    chain::{BadEntry, Chain, Expected},
    files::{self, FileError},
    line::Entry,
    summary::Summary,
};

/// Why a line was not added to the technician's copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// There is no place for the copy.
    #[error("the copy of the audit log cannot be created")]
    Create(#[source] FileError),
    /// The agent sent something that does not fit what it sent before. The copy holds everything up to there.
    #[error("the end user's machine sent an audit log that does not fit together: {0}")]
    Bad(BadEntry),
    /// The agent sends more than any session causes. The copy holds everything up to there.
    #[error("the end user's machine sent more of an audit log than any session causes; the copy ends before it")]
    TooLong,
    /// The copy could not be written.
    #[error("the copy of the audit log {} could not be written; it ends before this entry", path.display())]
    Write {
        /// The copy.
        path: PathBuf,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
}

/// Largest copy in bytes. A session of twelve hours that does nothing but ask stays below it; only an agent that wants to fill the
/// technician's disk comes here.
const COPY_BYTES: u64 = 1 << 30;

/// The technician's copy of a log: every line is checked before it is written.
///
/// Lines are handed to the operating system at once and brought to the disk when the log is closed and in [`Receipt::finish`].
#[derive(Debug)]
pub struct Receipt {
    chain: Chain,
    file: File,
    path: PathBuf,
    /// Bytes that may still come.
    room: u64,
}

impl Receipt {
    /// Creates the copy in `dir`, which is created as well if need be. The file is new, readable and writable by its owner
    /// alone, and named `DATE-TIME-SESSION.receipt.jsonl`.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::Create`].
    pub fn create(dir: &Path, expected: Expected, wall: WallTime) -> Result<Self, ReceiptError> {
        let (file, path) =
            files::create_record(dir, expected.session, wall, "receipt.jsonl").map_err(ReceiptError::Create)?;
        Ok(Self { chain: Chain::expecting(expected), file, path, room: COPY_BYTES })
    }

    /// Checks the next line as it came from the agent and writes it.
    ///
    /// # Errors
    ///
    /// Nothing was written if the line is bad. The agent is then not to be trusted with the rest either.
    pub fn push(&mut self, line: &[u8]) -> Result<Entry, ReceiptError> {
        let room = u64::try_from(line.len() + 1).ok().and_then(|bytes| self.room.checked_sub(bytes));
        self.room = room.ok_or(ReceiptError::TooLong)?;
        let entry = self.chain.push(line).map_err(ReceiptError::Bad)?;
        let written = self.file.write_all(&[line, b"\n"].concat());
        let written = if self.chain.is_closed() { written.and_then(|()| self.file.sync_data()) } else { written };
        written.map_err(|source| ReceiptError::Write { path: self.path.clone(), source })?;
        Ok(entry)
    }

    /// What the copy says so far; none before the first line.
    pub fn summary(&self) -> Option<&Summary> {
        self.chain.summary()
    }

    /// Where the copy lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Brings everything to the disk, whether or not the log was closed.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::Write`].
    pub fn finish(self) -> Result<PathBuf, ReceiptError> {
        match self.file.sync_all() {
            Ok(()) => Ok(self.path),
            Err(source) => Err(ReceiptError::Write { path: self.path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::AuditLog, testing};

    #[test]
    fn an_agent_cannot_fill_the_technicians_disk() {
        let dir = tempfile::tempdir().unwrap();
        let agent = testing::agent();
        let expected = Expected {
            session: testing::SESSION,
            agent_key: agent.public().digest(),
            technician_key: testing::key(2).public().digest(),
        };
        let paired = testing::paired(&agent);
        let (mut log, first) = AuditLog::create(dir.path(), testing::SESSION, &paired, testing::START).unwrap();
        let mut copy = Receipt::create(dir.path(), expected, testing::START).unwrap();
        copy.room = 1000;
        copy.push(first.as_bytes()).unwrap();
        let mut more = || copy.push(log.append(&testing::middle()[0], testing::START).unwrap().as_bytes()).map(|_| ());
        let refused = std::iter::from_fn(|| Some(more())).find_map(Result::err).unwrap();
        assert!(matches!(refused, ReceiptError::TooLong), "{refused}");
        assert!(std::fs::metadata(copy.path()).unwrap().len() <= 1000);
    }
}
