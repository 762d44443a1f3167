//! Checking and comparing files.

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use wire::session::AUDIT_LINE_BYTES;

use crate::{
    chain::{BadEntry, Chain, Fault},
    line::Entry,
    summary::Summary,
};

/// Why a file is no intact log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file could not be read. Nothing is known about the log.
    #[error("{} could not be read, so nothing is known about it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// There is not one whole entry in it.
    #[error("there is no complete entry in it: the agent stopped before it wrote one, or it is no audit log")]
    NoEntry,
    /// The log was tampered with, or was never one.
    #[error(transparent)]
    Bad(BadEntry),
}

impl VerifyError {
    /// Whether the file was read and is not what an agent wrote.
    pub fn is_tampering(&self) -> bool {
        match self {
            Self::Bad(BadEntry { fault: Fault::UnknownEvent { .. }, .. }) => false,
            Self::Bad(_) => true,
            Self::Read { .. } | Self::NoEntry => false,
        }
    }
}

/// Checks a whole log or a technician's copy of one.
///
/// Reads line by line and never holds more than [`AUDIT_LINE_BYTES`] and a buffer in memory, whatever the file.
///
/// # Errors
///
/// The first entry that is bad. A log without its closing line is not an error: [`Summary::state`] says so.
pub fn verify_file(path: &Path) -> Result<Summary, VerifyError> {
    read_file(path, |_| {})
}

/// As [`verify_file`], and shows every entry that was found good, in order.
///
/// # Errors
///
/// As [`verify_file`]; the entries before the bad one were shown.
pub fn read_file(path: &Path, each: impl FnMut(&Entry)) -> Result<Summary, VerifyError> {
    let unreadable = |source| VerifyError::Read { path: path.to_owned(), source };
    let lines = Lines::open(path).map_err(unreadable)?;
    verify(lines, each).map_err(|error| match error {
        NotIntact::Read(source) => unreadable(source),
        NotIntact::NoEntry => VerifyError::NoEntry,
        NotIntact::Bad(bad) => VerifyError::Bad(bad),
    })
}

enum NotIntact {
    Read(io::Error),
    NoEntry,
    Bad(BadEntry),
}

fn verify<R: BufRead>(mut lines: Lines<R>, mut each: impl FnMut(&Entry)) -> Result<Summary, NotIntact> {
    let mut chain = Chain::new();
    let mut torn_bytes = 0;
    while let Some(line) = lines.next().map_err(NotIntact::Read)? {
        match line {
            RawLine::Whole(line) => each(&chain.push(line).map_err(NotIntact::Bad)?),
            RawLine::TooLong => return Err(NotIntact::Bad(chain.refuse(Fault::TooLong))),
            RawLine::Torn(line) if is_cut_off(line) && chain.could_go_on_with(line) => torn_bytes = line.len() as u64,
            // Only the line feed is missing, or the rest never was the beginning of an entry.
            RawLine::Torn(line) => each(&chain.push(line).map_err(NotIntact::Bad)?),
        }
    }
    chain.into_summary(torn_bytes).ok_or(NotIntact::NoEntry)
}

/// Whether `line` is the beginning of some JSON text: what a crash in the middle of writing leaves behind.
fn is_cut_off(line: &[u8]) -> bool {
    matches!(serde_json::from_slice::<serde::de::IgnoredAny>(line), Err(error) if error.is_eof())
}

/// Which of two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// The one that the agent wrote.
    Agents,
    /// The one that the technician's client wrote.
    Technicians,
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agents => "the agent's copy",
            Self::Technicians => "the technician's copy",
        })
    }
}

/// How two copies of one log relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same, byte by byte.
    Same,
    /// One is the beginning of the other: its connection or program stopped earlier, or its end was cut off.
    Shorter {
        /// Which.
        copy: Copy,
        /// The first entry that it does not have.
        from: u64,
    },
    /// They differ: one of them was changed.
    Differ {
        /// The first entry at which they do.
        entry: u64,
    },
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("both copies are the same"),
            Self::Shorter { copy, from } => write!(f, "{copy} ends before entry {from}; up to there both are the same"),
            Self::Differ { entry } => write!(f, "the copies differ from entry {entry} on: one of them was changed"),
        }
    }
}

/// Compares the agent's copy of a log with the technician's, byte by byte. Neither is verified: [`verify_file`] does that.
///
/// # Errors
///
/// [`VerifyError::Read`] for the file that could not be read.
pub fn compare(agents: &Path, technicians: &Path) -> Result<Comparison, VerifyError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| VerifyError::Read { path, source }
    };
    let mut left = Lines::open(agents).map_err(unreadable(agents))?;
    let mut right = Lines::open(technicians).map_err(unreadable(technicians))?;
    let mut entry = 1;
    loop {
        let (one, other) = (left.next().map_err(unreadable(agents))?, right.next().map_err(unreadable(technicians))?);
        let shorter = |copy| Ok(Comparison::Shorter { copy, from: entry });
        match (one, other) {
            (None, None) => return Ok(Comparison::Same),
            (Some(RawLine::Whole(one)), Some(RawLine::Whole(other))) if one == other => entry += 1,
            (Some(RawLine::Torn(one)), Some(RawLine::Torn(other))) if one == other => entry += 1,
            (None, Some(_)) => return shorter(Copy::Agents),
            (Some(_), None) => return shorter(Copy::Technicians),
            (Some(RawLine::Torn(one)), Some(RawLine::Whole(other) | RawLine::Torn(other)))
                if other.starts_with(one) =>
            {
                return shorter(Copy::Agents);
            }
            (Some(RawLine::Whole(one) | RawLine::Torn(one)), Some(RawLine::Torn(other))) if one.starts_with(other) => {
                return shorter(Copy::Technicians);
            }
            (Some(_), Some(_)) => return Ok(Comparison::Differ { entry }),
        }
    }
}

/// A line as it stands in a file.
enum RawLine<'a> {
    /// Without its line feed.
    Whole(&'a [u8]),
    /// The file ends before the line does.
    Torn(&'a [u8]),
    /// Longer than any entry; the rest of it is left unread.
    TooLong,
}

/// Reads lines of bounded length.
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
}

impl Lines<BufReader<File>> {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { reader: BufReader::new(File::open(path)?), line: Vec::new() })
    }
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<RawLine<'_>>> {
        self.line.clear();
        let longest = AUDIT_LINE_BYTES as u64 + 1;
        let read = self.reader.by_ref().take(longest).read_until(b'\n', &mut self.line)?;
        Ok(match self.line.split_last() {
            None => None,
            Some((b'\n', line)) => Some(RawLine::Whole(line)),
            Some(_) if read > AUDIT_LINE_BYTES => Some(RawLine::TooLong),
            Some(_) => Some(RawLine::Torn(&self.line)),
        })
    }
}

#[cfg(test)]
mod tests;
