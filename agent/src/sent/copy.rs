//! The file: headers and what they stand before, each written before it is handed to the connection.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use audit::{Obstacle, files::FileError};
use wire::{
    codec::{self, CodecError, FRAME_PREFIX_BYTES, Message},
    diagnostics::{
        StreamFrame,
        inspect::Inspected,
        sent::{SentHeader, SentKind},
    },
    ids::{InspectionId, SessionId},
    time::WallTime,
};

/// Largest copy of one session. Twelve hours of live diagnostics have some 20 MiB, a report has some tens of KiB.
const COPY_BYTES: u64 = 256 << 20;

/// One thing that is handed to the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A stream of live diagnostics begins.
    StreamBegan,
    /// Its next frame.
    Frame(StreamFrame),
    /// The answer of an inspection.
    Inspected(InspectionId, Inspected),
}

/// Why something could not be kept. It must not be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotKept {
    /// The system refused.
    #[error("the copy of what is sent could not be written: {}", Obstacle::of(.0))]
    Io(#[from] io::Error),
    /// There is more than a session needs.
    #[error("the copy of what is sent has {} MiB, and that is the most", COPY_BYTES >> 20)]
    Full,
    /// It has no form on the wire.
    #[error("what is to be sent could not be encoded")]
    Encode(#[from] CodecError),
    /// Something before it could not be kept.
    #[error("the copy of what is sent is not being written any more")]
    Gone,
}

/// Keeps what leaves in one session. Clones write the same file.
#[derive(Debug, Clone)]
pub(crate) struct SentCopy(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    file: File,
    bytes: u64,
    most: u64,
    /// Something is missing: nothing may follow it.
    broken: bool,
}

impl SentCopy {
    /// A new file beside the audit log. Waits for the disk.
    ///
    /// # Errors
    ///
    /// If it cannot be created.
    pub(crate) fn create(sessions: &Path, session: SessionId, wall: WallTime) -> Result<Self, FileError> {
        let (file, _) = audit::files::create_record(sessions, session, wall, super::SENT)?;
        Ok(Self::on(file, COPY_BYTES))
    }

    fn on(file: File, most: u64) -> Self {
        Self(Arc::new(Mutex::new(Kept { file, bytes: 0, most, broken: false })))
    }

    /// Keeps `sent`, and gives it back to be sent. The system has it then; it is not brought to the disk at once, because what counts is
    /// what the person finds after the session.
    ///
    /// # Errors
    ///
    /// It must not be sent, and nothing after it.
    ///
    /// # Cancel safety
    ///
    /// Dropped in the middle, it may be kept although it is never sent.
    pub(crate) async fn keep(&self, sent: Sent, at: WallTime) -> Result<Sent, NotKept> {
        let kept = Arc::clone(&self.0);
        let keep = move || {
            let written = kept.lock().unwrap_or_else(PoisonError::into_inner).write(&sent, at);
            written.map(|()| sent)
        };
        tokio::task::spawn_blocking(keep).await.map_err(|_| NotKept::Gone)?
    }
}

impl Kept {
    fn write(&mut self, sent: &Sent, at: WallTime) -> Result<(), NotKept> {
        if std::mem::replace(&mut self.broken, true) {
            return Err(NotKept::Gone);
        }
        let (what, contents) = match sent {
            Sent::StreamBegan => (SentKind::StreamBegan, Vec::new()),
            Sent::Frame(frame) => (SentKind::Frame, codec::frame(frame)?),
            Sent::Inspected(inspection, answer) => (SentKind::Inspected(*inspection), codec::frame(answer)?),
        };
        let mut bytes = codec::frame(&SentHeader { at, what })?;
        bytes.extend_from_slice(&contents);
        let total = self.bytes + bytes.len() as u64;
        if total > self.most {
            return Err(NotKept::Full);
        }
        self.file.write_all(&bytes)?;
        (self.bytes, self.broken) = (total, false);
        Ok(())
    }
}

/// Reads a copy from its beginning; `each` gets the time, what was sent, and its bytes on the wire. Returns how many bytes at the end are
/// nothing whole: those of a program that was killed.
///
/// # Errors
///
/// If the file cannot be read, or its beginning is nothing that was ever sent.
pub(super) fn read(path: &Path, mut each: impl FnMut(WallTime, Sent, usize)) -> io::Result<u64> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut file = BufReader::new(file);
    let mut whole = 0;
    while let Some((header, header_bytes)) = next::<SentHeader>(&mut file)? {
        let (sent, bytes) = match header.what {
            SentKind::StreamBegan => (Sent::StreamBegan, 0),
            SentKind::Frame => match next(&mut file)? {
                Some((frame, bytes)) => (Sent::Frame(frame), bytes),
                None => break,
            },
            SentKind::Inspected(inspection) => match next(&mut file)? {
                Some((answer, bytes)) => (Sent::Inspected(inspection, answer), bytes),
                None => break,
            },
            // A newer program's.
            _ => break,
        };
        whole += (header_bytes + bytes) as u64;
        each(header.at, sent, bytes);
    }
    if whole == 0 && size > 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no copy of what was sent"));
    }
    Ok(size.saturating_sub(whole))
}

/// The next frame and its bytes; `None` at the end, or at what is none.
fn next<M: Message>(file: &mut impl Read) -> io::Result<Option<(M, usize)>> {
    let mut prefix = [0; FRAME_PREFIX_BYTES];
    if !fill(file, &mut prefix)? {
        return Ok(None);
    }
    let Ok(length) = codec::frame_length::<M>(prefix) else { return Ok(None) };
    let mut body = vec![0; length];
    if !fill(file, &mut body)? {
        return Ok(None);
    }
    Ok(codec::decode(&body).ok().map(|message| (message, FRAME_PREFIX_BYTES + length)))
}

/// `false` if there is less.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(number: u32) -> Sent {
        Sent::Inspected(InspectionId(number), Inspected::History(Vec::new()))
    }

    fn all(path: &Path) -> (Vec<Sent>, u64) {
        let mut found = Vec::new();
        let torn = read(path, |_, sent, _| found.push(sent)).unwrap();
        (found, torn)
    }

    #[tokio::test]
    async fn what_was_kept_is_read_again_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = folder.path().join("sessions");
        let copy = SentCopy::create(&sessions, SessionId([7; 8]), WallTime(0)).unwrap();
        let sent = [Sent::StreamBegan, Sent::Frame(StreamFrame::Findings(Vec::new())), answer(3)];
        for one in &sent {
            assert_eq!(&copy.keep(one.clone(), WallTime(5)).await.unwrap(), one);
        }
        let path = super::super::newest(&sessions).unwrap();
        assert_eq!(all(&path), (sent.to_vec(), 0));
    }

    #[tokio::test]
    async fn what_a_killed_program_left_is_read_up_to_the_last_whole_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sent");
        let copy = SentCopy::on(File::create(&path).unwrap(), COPY_BYTES);
        for number in 1..=3 {
            copy.keep(answer(number), WallTime(0)).await.unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        let one = bytes.len() / 3;
        for length in 0..bytes.len() {
            audit::files::write_atomic(&path, bytes.get(..length).unwrap(), 0o600).unwrap();
            match length / one {
                0 if length > 0 => assert!(read(&path, |_, _, _| ()).is_err(), "nothing in it was ever sent"),
                whole => {
                    let (found, torn) = all(&path);
                    assert_eq!((found.len(), torn), (whole, (length % one) as u64));
                }
            }
        }
    }

    #[tokio::test]
    async fn after_something_that_could_not_be_kept_nothing_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.sent");
        let copy = SentCopy::on(File::create(&path).unwrap(), COPY_BYTES);
        copy.keep(answer(1), WallTime(0)).await.unwrap();
        let one = std::fs::metadata(&path).unwrap().len();
        let copy = SentCopy::on(File::create(&path).unwrap(), 2 * one - 1);
        copy.keep(answer(1), WallTime(0)).await.unwrap();
        assert!(matches!(copy.keep(answer(2), WallTime(0)).await, Err(NotKept::Full)));
        assert!(matches!(copy.keep(Sent::StreamBegan, WallTime(0)).await, Err(NotKept::Gone)), "though it may fit");
        assert_eq!(all(&path).0, [answer(1)]);
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let copy = SentCopy::on(full, COPY_BYTES);
        let error = copy.keep(answer(1), WallTime(0)).await.unwrap_err();
        assert!(matches!(&error, NotKept::Io(error) if error.kind() == io::ErrorKind::StorageFull), "{error:?}");
    }
}
