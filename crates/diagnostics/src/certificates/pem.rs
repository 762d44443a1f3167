//! Certificates in the text form of RFC 7468, read so that nothing behind the first one is.

use std::{
    io::{self, Read},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::{CWD, Mode, OFlags, openat};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// Largest certificate that is read, as text.
const MAX_BYTES: usize = 64 * 1024;

/// Bytes that are read at once: fewer than the line in front of a private key has (27 and more), so that of a key which stands
/// behind the certificate not one byte is read.
const STEP: usize = 16;

/// The certificate that the file at `path` begins with, in DER; `None` if it begins with something else.
///
/// # Errors
///
/// What opening and reading fail with; [`io::ErrorKind::InvalidData`] if the certificate does not end or is no base64.
pub(super) fn first(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let mut file = std::fs::File::from(openat(CWD, path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    first_in(&mut file)
}

fn first_in(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut text = Vec::new();
    loop {
        let begun = text.trim_ascii_start();
        let compared = begun.len().min(BEGIN.len());
        if begun.get(..compared) != BEGIN.get(..compared) {
            return Ok(None);
        }
        if let Some(end) = begun.windows(END.len()).position(|part| part == END) {
            let base64 = begun.get(BEGIN.len()..end).unwrap_or_default();
            let base64 = base64.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
            return STANDARD.decode(base64).map(Some).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        if text.len() > MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut step = [0; STEP];
        match file.read(&mut step)? {
            0 if begun.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::InvalidData.into()),
            count => text.extend_from_slice(step.get(..count).unwrap_or_default()),
        }
    }
}

/// How many certificates `text` has.
pub(super) fn count(text: &[u8]) -> u32 {
    let lines = text.split(|byte| *byte == b'\n');
    u32::try_from(lines.filter(|line| line.trim_ascii_end() == BEGIN).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_and_of_the_key_behind_it_nothing() {
        let certificate = "\n-----BEGIN CERTIFICATE-----\nMTIz\r\nNDU2\n-----END CERTIFICATE-----\n";
        for padding in 0..STEP {
            let padded = format!("{}{certificate}-----BEGIN PRIVATE KEY-----\nCANARY\n", "\n".repeat(padding));
            let mut file = io::Cursor::new(padded.as_bytes());
            assert_eq!(first_in(&mut file).unwrap().unwrap(), b"123456");
            let read = usize::try_from(file.position()).unwrap();
            assert!(read < padded.len() - "CANARY\n".len() - 10, "{read} of {}", padded.len());
        }
    }

    #[test]
    fn a_file_that_begins_with_something_else_is_left_at_its_beginning() {
        for other in
            ["-----BEGIN PRIVATE KEY-----\nCANARY CANARY CANARY", "Certificate:\n  Data:\n", "\0\u{1}", "", "  \n"]
        {
            let mut file = io::Cursor::new(other.as_bytes());
            assert_eq!(first_in(&mut file).unwrap(), None);
            assert!(file.position() <= 2 * STEP as u64);
        }
    }

    #[test]
    fn a_certificate_that_does_not_end_or_is_none_is_refused() {
        let endless = [BEGIN, b"\n", &b"MTIz\n".repeat(50_000)].concat();
        for broken in [&BEGIN[..20], BEGIN, &endless, b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            let error = first_in(&mut io::Cursor::new(broken)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn certificates_are_counted_by_their_first_lines() {
        assert_eq!(count(b"# a\n-----BEGIN CERTIFICATE-----\r\nx\n-----BEGIN CERTIFICATE-----"), 2);
        assert_eq!(count(b"x-----BEGIN CERTIFICATE-----\n-----BEGIN TRUSTED CERTIFICATE-----\n"), 0);
    }
}
