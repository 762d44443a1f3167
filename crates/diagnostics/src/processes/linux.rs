//! The process table from `/proc/<pid>/stat`: one small file for each process, opened relative to `/proc`, read into a buffer
//! that is used again. Nothing is allocated for a process that is not listed, and arguments and environment are never opened.

use std::{
    ffi::CStr,
    io,
    io::Write as _,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir, openat},
    io::{Errno, read},
};
use wire::{
    diagnostics::{Process, TOP_PROCESSES},
    text::Label,
};

use super::{
    ranking::{Activity, Standing, choose},
    stat::{Name, Stat},
};
use crate::{
    gaps::Gaps,
    text::{fields, lines, number},
};

/// Most processes that are looked at: 32,768 take about a fifth of a second.
const MAX_SCANNED: u32 = 32_768;

/// A listed process's owner is looked up when it comes into the list, and again after this many samples.
const OWNER_EVERY: u32 = 60;

/// Owner of a process that is gone before it could be looked up: the kernel's own number for "nobody in particular".
const OVERFLOW_USER: u32 = 65_534;

#[derive(Debug)]
pub(crate) struct Processes {
    proc: PathBuf,
    units: Units,
    listing: Vec<u8>,
    line: Vec<u8>,
    before: Vec<Known>,
    now: Vec<Known>,
    order: Vec<usize>,
}

/// In what the kernel counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    pub(crate) ticks_per_second: u64,
    pub(crate) page_kib: u64,
}

/// What one scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) total: u32,
    pub(crate) readable: u32,
    pub(crate) listed: Vec<Process>,
}

/// What is remembered of a process from one scan to the next.
#[derive(Debug, Clone, Copy)]
struct Known {
    pid: u32,
    stat: Stat,
    cpu_permille: u32,
    activity: Activity,
    /// The owner, while the process is listed, and for how many samples that has been so.
    owner: Option<(u32, u32)>,
}

/// The time that a scan covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    /// Since the scan before; zero if there was none.
    pub(crate) interval: Duration,
    /// Hundredths of a second since the machine started, if that is known.
    pub(crate) uptime_centis: Option<u64>,
    /// Logical processors, which bound what a process can use.
    pub(crate) cores: usize,
}

/// Why a process's line was not had.
enum Missed {
    /// It ended since it was listed, which is nobody's fault.
    Gone,
    Unreadable(io::Error),
}

impl Processes {
    pub(crate) fn new(proc: &Path, units: Units) -> Self {
        Self {
            proc: proc.to_owned(),
            units,
            listing: Vec::with_capacity(32 * 1024),
            line: Vec::with_capacity(2048),
            before: Vec::new(),
            now: Vec::new(),
            order: Vec::new(),
        }
    }

    /// Looks at every process.
    pub(crate) fn scan(&mut self, period: Period, gaps: &mut Gaps) -> Scan {
        let mut scan = Scan::default();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match openat(CWD, &self.proc, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(error) => {
                gaps.note_error("processes", &error.into());
                return scan;
            }
        };
        self.now.clear();
        if let Err(error) = self.scan_all(&folder, period, &mut scan, gaps) {
            gaps.note_error("processes", &error);
        }
        // The kernel lists processes by number, so this is one pass.
        self.now.sort_unstable_by_key(|known| known.pid);
        self.order.clear();
        self.order.extend(0..self.now.len());
        let now = &self.now;
        choose(&mut self.order, TOP_PROCESSES, |index| now[index].standing());
        for (place, index) in self.order.iter().enumerate() {
            if place < TOP_PROCESSES {
                let row = self.now[*index].listed(folder.as_fd(), &mut self.line, self.units);
                scan.listed.push(row);
            } else {
                self.now[*index].owner = None;
            }
        }
        std::mem::swap(&mut self.before, &mut self.now);
        scan
    }

    /// Whether the last scan saw process 1, as everybody does where nothing is hidden.
    pub(crate) fn sees_the_first(&self) -> bool {
        self.before.first().is_some_and(|known| known.pid == 1)
    }

    fn scan_all(&mut self, folder: &OwnedFd, period: Period, scan: &mut Scan, gaps: &mut Gaps) -> io::Result<()> {
        let mut entries = RawDir::new(folder, self.listing.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Some(pid) = number(entry.file_name().to_bytes()).and_then(|pid| u32::try_from(pid).ok()) else {
                continue;
            };
            if scan.total >= MAX_SCANNED {
                gaps.note("processes", &format!("there are more than the {MAX_SCANNED} that are looked at"));
                break;
            }
            match read_in(folder.as_fd(), pid, "stat", &mut self.line)
                .and_then(|line| Stat::parse(line).ok_or_else(|| Missed::Unreadable(io::ErrorKind::InvalidData.into())))
            {
                Ok(stat) => {
                    scan.total += 1;
                    scan.readable += 1;
                    let before = self.before.binary_search_by_key(&pid, |known| known.pid);
                    let before = before.ok().map(|place| self.before[place]);
                    self.now.push(Known::next(pid, stat, before, period, self.units));
                }
                Err(Missed::Gone) => {}
                Err(Missed::Unreadable(error)) => {
                    scan.total += 1;
                    gaps.note_error("some processes", &error);
                }
            }
        }
        Ok(())
    }
}

impl Known {
    fn next(pid: u32, stat: Stat, before: Option<Self>, period: Period, units: Units) -> Self {
        // A number can be used again; a number and a start cannot.
        let before = before.filter(|before| before.stat.start_ticks == stat.start_ticks);
        let ticks = match before {
            Some(before) => stat.ticks.saturating_sub(before.stat.ticks),
            None => unseen_ticks(stat, period, units),
        };
        let cpu_permille = used_permille(ticks, period, units);
        let activity = before.map_or(Activity::default(), |before| before.activity);
        Self {
            pid,
            stat,
            cpu_permille,
            activity: activity.after(cpu_permille, period.interval),
            owner: before.and_then(|before| before.owner),
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            activity: self.activity,
            resident: self.stat.resident_pages,
            pid: self.pid,
            listed: self.owner.is_some(),
        }
    }

    /// Takes its place in the list.
    fn listed(&mut self, folder: BorrowedFd<'_>, line: &mut Vec<u8>, units: Units) -> Process {
        let (user_id, samples) = match self.owner {
            Some((user_id, samples)) if samples < OWNER_EVERY => (user_id, samples + 1),
            Some(_) | None => (owner(folder, self.pid, line).unwrap_or(OVERFLOW_USER), 0),
        };
        self.owner = Some((user_id, samples));
        Process {
            pid: self.pid,
            start_ticks: self.stat.start_ticks,
            name: label(&self.stat.name),
            user_id,
            cpu_permille: self.cpu_permille,
            resident_kib: self.stat.resident_pages.saturating_mul(units.page_kib),
            threads: u32::try_from(self.stat.threads).unwrap_or(u32::MAX),
            state: char::from(self.stat.state),
        }
    }
}

/// Ticks of a process that is seen for the first time: all of them if it started since the scan before, else the part that
/// falls to this period if it always worked the same.
fn unseen_ticks(stat: Stat, period: Period, units: Units) -> u64 {
    let Some(uptime_centis) = period.uptime_centis else { return 0 };
    let age_centis = uptime_centis.saturating_sub(stat.start_ticks.saturating_mul(100) / units.ticks_per_second);
    let period_centis = u64::try_from(period.interval.as_millis() / 10).unwrap_or(u64::MAX);
    if age_centis <= period_centis {
        return stat.ticks;
    }
    let share = u128::from(stat.ticks) * u128::from(period_centis) / u128::from(age_centis);
    u64::try_from(share).unwrap_or(0)
}

/// Thousandths of a processor that `ticks` in the period are; at most all processors.
fn used_permille(ticks: u64, period: Period, units: Units) -> u32 {
    let whole = period.interval.as_nanos() * u128::from(units.ticks_per_second);
    let permille = (u128::from(ticks) * 1000 * 1_000_000_000).checked_div(whole).unwrap_or(0);
    let most = u128::try_from(period.cores.max(1)).unwrap_or(u128::MAX).saturating_mul(1000);
    u32::try_from(permille.min(most)).unwrap_or(u32::MAX)
}

/// The user whose rights the process has.
fn owner(folder: BorrowedFd<'_>, pid: u32, line: &mut Vec<u8>) -> Option<u32> {
    let status = read_in(folder, pid, "status", line).ok()?;
    let ids = lines(status).find_map(|line| line.strip_prefix(b"Uid:"))?;
    u32::try_from(fields(ids).nth(1).and_then(number)?).ok()
}

fn label(name: &Name) -> Label {
    Label::cut(&String::from_utf8_lossy(name.bytes()))
}

/// Reads the start of `folder`/`pid`/`file`; all of it if it has less than 2 KiB, as these files do.
fn read_in<'l>(folder: BorrowedFd<'_>, pid: u32, file: &str, line: &'l mut Vec<u8>) -> Result<&'l [u8], Missed> {
    let mut path = [0_u8; 32];
    let mut rest = &mut path[..];
    write!(rest, "{pid}/{file}\0").map_err(Missed::Unreadable)?;
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| Missed::Unreadable(io::ErrorKind::InvalidInput.into()))?;
    let missed = |error| match error {
        Errno::NOENT | Errno::SRCH => Missed::Gone,
        other => Missed::Unreadable(other.into()),
    };
    let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(missed)?;
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
