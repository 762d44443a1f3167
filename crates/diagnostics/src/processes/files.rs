//! The files of one process in `/proc` (proc(5)), opened relative to that folder and read into a buffer that is used again.

use std::{
    ffi::CStr,
    io,
    io::Write as _,
    os::fd::{AsFd, BorrowedFd},
};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, read},
};

use super::stat::Stat;
use crate::text::{fields, lines, number, values};

/// Why a process's file was not had.
#[derive(Debug)]
pub(super) enum Missed {
    /// It ended since it was listed, which is nobody's fault.
    Gone,
    Unreadable(io::Error),
}

/// What a process read from and wrote to disks since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Io {
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
}

/// The user whose rights the process has.
pub(super) fn owner(folder: BorrowedFd<'_>, pid: u32, line: &mut Vec<u8>) -> Option<u32> {
    let status = read_in(folder, pid, "status", line).ok()?;
    let ids = lines(status).find_map(|line| line.strip_prefix(b"Uid:"))?;
    u32::try_from(fields(ids).nth(1).and_then(number)?).ok()
}

pub(super) fn read_stat(folder: BorrowedFd<'_>, pid: u32, line: &mut Vec<u8>) -> Result<Stat, Missed> {
    let line = read_in(folder, pid, "stat", line)?;
    Stat::parse(line).ok_or_else(|| Missed::Unreadable(io::ErrorKind::InvalidData.into()))
}

/// `None` for the processes of others, unless the agent may trace them, and on kernels that do not count it.
pub(super) fn read_io(folder: BorrowedFd<'_>, pid: u32, line: &mut Vec<u8>) -> Option<Io> {
    let text = read_in(folder, pid, "io", line).ok()?;
    let [read_bytes, written_bytes] = values(text, ["read_bytes", "write_bytes"]);
    Some(Io { read_bytes: read_bytes?, written_bytes: written_bytes? })
}

/// Reads the start of `folder`/`pid`/`file`; all of it if it has less than 2 KiB, as these files do.
pub(super) fn read_in<'l>(
    folder: BorrowedFd<'_>,
    pid: u32,
    file: &str,
    line: &'l mut Vec<u8>,
) -> Result<&'l [u8], Missed> {
    let mut path = [0_u8; 32];
    let mut rest = &mut path[..];
    write!(rest, "{pid}/{file}\0").map_err(Missed::Unreadable)?;
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Missed::Unreadable(io::ErrorKind::InvalidInput.into()))?;
    let missed = |error| match error {
        Errno::NOENT | Errno::SRCH => Missed::Gone,
        other => Missed::Unreadable(other.into()),
    };
    let file = openat(folder.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(missed)?;
    line.clear();
    line.reserve(2048);
    loop {
        match read(&file, rustix::buffer::spare_capacity(line)) {
            Ok(_) => return Ok(line),
            Err(Errno::INTR) => {}
            Err(error) => return Err(missed(error)),
        }
    }
}
