//! The files of one process in `/proc` (proc(5)), opened relative to that folder and read into a buffer that is used again.

use std::{
    ffi::CStr,
    io,
    io::Write as _,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, pread},
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
    parse_stat(read_in(folder, pid, "stat", line)?)
}

/// `None` for the processes of others, unless the agent may trace them, and on kernels that do not count it.
pub(super) fn read_io(folder: BorrowedFd<'_>, pid: u32, line: &mut Vec<u8>) -> Option<Io> {
    parse_io(read_in(folder, pid, "io", line).ok()?)
}

/// What is read of a process again and again. Open files cost half as much to read, and never become those of another process.
#[derive(Debug)]
pub(super) struct OpenFiles {
    pid: u32,
    start_ticks: u64,
    stat: OwnedFd,
    /// `None` where it may not be read.
    io: Option<OwnedFd>,
}

impl OpenFiles {
    /// Of the process with this number, which started then.
    pub(super) fn open(folder: BorrowedFd<'_>, pid: u32, start_ticks: u64) -> Result<Self, Missed> {
        Ok(Self { pid, start_ticks, stat: open_in(folder, pid, "stat")?, io: open_in(folder, pid, "io").ok() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn is_of(&self, pid: u32, start_ticks: u64) -> bool {
        (self.pid, self.start_ticks) == (pid, start_ticks)
    }

    pub(super) fn read_stat(&self, line: &mut Vec<u8>) -> Result<Stat, Missed> {
        parse_stat(read_start(self.stat.as_fd(), line)?)
    }

    pub(super) fn read_io(&self, line: &mut Vec<u8>) -> Option<Io> {
        parse_io(read_start(self.io.as_ref()?.as_fd(), line).ok()?)
    }
}

fn parse_stat(line: &[u8]) -> Result<Stat, Missed> {
    if line.is_empty() {
        return Err(Missed::Gone);
    }
    Stat::parse(line).ok_or_else(|| Missed::Unreadable(io::ErrorKind::InvalidData.into()))
}

fn parse_io(text: &[u8]) -> Option<Io> {
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
    let file = open_in(folder, pid, file)?;
    read_start(file.as_fd(), line)
}

fn open_in(folder: BorrowedFd<'_>, pid: u32, file: &str) -> Result<OwnedFd, Missed> {
    let mut path = [0_u8; 32];
    let mut rest = &mut path[..];
    write!(rest, "{pid}/{file}\0").map_err(Missed::Unreadable)?;
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Missed::Unreadable(io::ErrorKind::InvalidInput.into()))?;
    openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(missed)
}

fn read_start<'l>(file: BorrowedFd<'_>, line: &'l mut Vec<u8>) -> Result<&'l [u8], Missed> {
    line.clear();
    line.reserve(2048);
    loop {
        match pread(file, rustix::buffer::spare_capacity(line), 0) {
            Ok(_) => return Ok(line),
            Err(Errno::INTR) => {}
            Err(error) => return Err(missed(error)),
        }
    }
}

fn missed(error: Errno) -> Missed {
    match error {
        Errno::NOENT | Errno::SRCH => Missed::Gone,
        other => Missed::Unreadable(other.into()),
    }
}
