//! Reading the kernel's text files: whole, bounded, into a buffer that is used again, and without trusting their shape.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    buffer::spare_capacity,
    fs::{CWD, Mode, OFlags, fstatfs, openat},
    io::{Errno, pread, read},
};

/// Largest file that is read. `/proc/stat` of 4,096 cores has half a MiB.
const LIMIT_BYTES: usize = 2 << 20;

/// Replaces the content of `buffer` by the file's.
pub(crate) fn read_file<'b>(path: &Path, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK, Mode::empty())?;
    buffer.clear();
    loop {
        buffer.reserve(4096);
        match read(&file, spare_capacity(buffer)) {
            Ok(0) => return Ok(buffer),
            Ok(_) if buffer.len() > LIMIT_BYTES => {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than expected"));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A small file's first line, trimmed; `None` if it cannot be read or is blank.
pub(crate) fn first_line(path: &Path) -> Option<String> {
    let mut buffer = Vec::new();
    let text = read_file(path, &mut buffer).ok()?;
    let line = lines(text).next()?.trim_ascii();
    // Device trees end their strings with a NUL.
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    (!line.is_empty()).then(|| String::from_utf8_lossy(line).into_owned())
}

/// A file of the kernel that is read with every sample: it stays open, which saves more than half of the cost.
#[derive(Debug)]
pub(crate) struct KernelFile {
    path: PathBuf,
    open: Option<OwnedFd>,
}

impl KernelFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    /// As [`read_file`].
    pub(crate) fn read<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        if let Some(file) = &self.open {
            match read_again(file, buffer) {
                Ok(()) => return Ok(buffer),
                // What it belongs to may be gone and there again, under the same name.
                Err(_) => self.open = None,
            }
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = openat(CWD, &self.path, flags, Mode::empty())?;
        read_again(&file, buffer)?;
        // Elsewhere another file can take this one's place.
        if fstatfs(&file).is_ok_and(|system| system.f_type == PROC_SUPER_MAGIC) {
            self.open = Some(file);
        }
        Ok(buffer)
    }
}

/// `f_type` of procfs (statfs(2)).
const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;

/// Reads `file` from its start.
fn read_again(file: &OwnedFd, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    loop {
        buffer.reserve(4096);
        let offset = buffer.len() as u64;
        match pread(file, spare_capacity(buffer), offset) {
            Ok(0) => return Ok(()),
            Ok(_) if buffer.len() > LIMIT_BYTES => {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than expected"));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// A decimal number; `None` if it is anything else, such as the negative counts that some kernels print.
pub(crate) fn number(field: &[u8]) -> Option<u64> {
    if field.is_empty() {
        return None;
    }
    field.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// As [`number`], with an optional sign.
pub(crate) fn signed(field: &[u8]) -> Option<i64> {
    match field.strip_prefix(b"-") {
        Some(digits) => i64::try_from(number(digits)?).ok().map(|value| -value),
        None => i64::try_from(number(field)?).ok(),
    }
}

/// A number with a decimal fraction, in hundredths. Further digits are cut off.
pub(crate) fn hundredths(field: &[u8]) -> Option<u64> {
    let mut parts = field.splitn(2, |byte| *byte == b'.');
    let whole = number(parts.next()?)?;
    let fraction = match parts.next() {
        None => 0,
        Some(digits) => match number(digits.get(..2).unwrap_or(digits))? {
            tenths if digits.len() == 1 => tenths * 10,
            hundredths => hundredths,
        },
    };
    whole.checked_mul(100)?.checked_add(fraction)
}

/// The numbers of `KEY VALUE` or `KEY: VALUE kB` lines for the keys asked for; `None` where a key is missing.
pub(crate) fn values<const N: usize>(text: &[u8], keys: [&str; N]) -> [Option<u64>; N] {
    let mut found = [None; N];
    for line in lines(text) {
        let mut line = fields(line);
        let Some(key) = line.next() else { continue };
        let key = key.strip_suffix(b":").unwrap_or(key);
        if let Some(place) = keys.iter().position(|wanted| wanted.as_bytes() == key) {
            found[place] = line.next().and_then(number);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_everything_else_is_not() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"18446744073709551616"), None);
        assert_eq!(number(b"-1"), None);
        assert_eq!(number(b""), None);
        assert_eq!(signed(b"-27800"), Some(-27_800));
        assert_eq!(hundredths(b"12.3"), Some(1230));
        assert_eq!(hundredths(b"0.07"), Some(7));
        assert_eq!(hundredths(b"4"), Some(400));
        assert_eq!(hundredths(b"1.2.3"), None);
        assert_eq!(hundredths(b".5"), None);
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        let text = b"MemTotal:   24684092 kB\nSwapCached: 1 kB\nSwap\n\npswpin 7\n";
        assert_eq!(values(text, ["MemTotal", "Swap", "pswpin", "gone"]), [Some(24_684_092), None, Some(7), None]);
    }

    #[test]
    fn a_file_that_grows_without_end_is_given_up() {
        let mut buffer = Vec::new();
        let error = read_file(Path::new("/dev/zero"), &mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
