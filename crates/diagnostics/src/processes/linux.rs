//! The process table from `/proc/<pid>/stat`: one small file for each process, opened relative to `/proc`, read into a buffer
//! that is used again. Nothing is allocated for a process that is not listed, and arguments and environment are never opened.
//!
//! To look at a process costs about 15 µs on a processor that has done something else for a second, which is more than all other
//! figures of a sample together. So the processes that are listed are looked at with every sample, and all of them only as
//! often as their number allows.

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

/// How often all are looked at, by their number: with every sample up to the first, seconds up to the others.
const WHOLE_EVERY: [(usize, Duration); 3] =
    [(128, Duration::ZERO), (1024, Duration::from_secs(2)), (usize::MAX, Duration::from_secs(5))];

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
    /// Every process, by number.
    known: Vec<Known>,
    /// Room for the next whole scan.
    next: Vec<Known>,
    order: Vec<usize>,
    /// How much time was sampled so far, and how much at the last whole scan.
    now: Duration,
    whole_at: Duration,
    /// What the last whole scan could not read.
    gaps: Gaps,
    total: u32,
    readable: u32,
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
    /// When it was looked at, in time sampled.
    read_at: Duration,
    cpu_permille: u32,
    activity: Activity,
    listed: Option<Listed>,
}

/// What is known of a process while it is listed.
#[derive(Debug, Clone, Copy, Default)]
struct Listed {
    /// The user whose rights it has, and how many samples ago that was looked up.
    owner: Option<u32>,
    samples: u32,
}

/// The time that a scan covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    /// Since the sample before; zero if there was none.
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
            known: Vec::new(),
            next: Vec::new(),
            order: Vec::new(),
            now: Duration::ZERO,
            whole_at: Duration::ZERO,
            gaps: Gaps::default(),
            total: 0,
            readable: 0,
        }
    }

    /// Looks at the processes that are listed, or at every process if it is time for that.
    pub(crate) fn scan(&mut self, period: Period, gaps: &mut Gaps) -> Scan {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match openat(CWD, &self.proc, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(error) => {
                gaps.note_error("processes", &error.into());
                return Scan::default();
            }
        };
        self.now += period.interval;
        if self.whole_is_due(period.interval) {
            self.look_at_all(&folder, period);
            self.list();
        } else {
            self.look_at_listed(&folder, period);
        }
        gaps.add(&self.gaps);
        let (line, units) = (&mut self.line, self.units);
        let listed = self.known.iter_mut().filter(|known| known.listed.is_some());
        let listed = listed.map(|known| known.row(folder.as_fd(), line, units)).collect();
        Scan { total: self.total, readable: self.readable, listed }
    }

    /// Whether the last scan saw process 1, as everybody does where nothing is hidden.
    pub(crate) fn sees_the_first(&self) -> bool {
        self.known.first().is_some_and(|known| known.pid == 1)
    }

    /// Samples are a little early or late, so the one that is nearest counts.
    fn whole_is_due(&self, interval: Duration) -> bool {
        let every =
            WHOLE_EVERY.iter().find(|(most, _)| self.known.len() <= *most).map_or(Duration::ZERO, |(_, every)| *every);
        self.known.is_empty() || self.now - self.whole_at + interval / 2 >= every
    }

    fn look_at_listed(&mut self, folder: &OwnedFd, period: Period) {
        let before = self.known.len();
        self.known.retain_mut(|known| {
            if known.listed.is_none() {
                return true;
            }
            match read_stat(folder.as_fd(), known.pid, &mut self.line) {
                // The number of one that has ended can be used again; the next whole scan finds who uses it.
                Ok(stat) if stat.start_ticks != known.stat.start_ticks => false,
                Ok(stat) => {
                    *known = known.later(stat, self.now, period, self.units);
                    true
                }
                Err(Missed::Gone) => false,
                Err(Missed::Unreadable(_)) => true,
            }
        });
        let gone = u32::try_from(before - self.known.len()).unwrap_or(0);
        self.total = self.total.saturating_sub(gone);
        self.readable = self.readable.saturating_sub(gone);
    }

    fn look_at_all(&mut self, folder: &OwnedFd, period: Period) {
        (self.total, self.readable) = (0, 0);
        self.gaps = Gaps::default();
        self.next.clear();
        if let Err(error) = self.read_all(folder, period) {
            self.gaps.note_error("processes", &error);
        }
        // The kernel lists processes by number, so this is one pass.
        self.next.sort_unstable_by_key(|known| known.pid);
        std::mem::swap(&mut self.known, &mut self.next);
        self.whole_at = self.now;
    }

    fn read_all(&mut self, folder: &OwnedFd, period: Period) -> io::Result<()> {
        let unseen = Period { interval: self.now - self.whole_at, ..period };
        let mut entries = RawDir::new(folder, self.listing.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Some(pid) = number(entry.file_name().to_bytes()).and_then(|pid| u32::try_from(pid).ok()) else {
                continue;
            };
            if self.total >= MAX_SCANNED {
                self.gaps.note("processes", &format!("there are more than the {MAX_SCANNED} that are looked at"));
                break;
            }
            match read_stat(folder.as_fd(), pid, &mut self.line) {
                Ok(stat) => {
                    self.total += 1;
                    self.readable += 1;
                    let before = self.known.binary_search_by_key(&pid, |known| known.pid).ok();
                    // A number can be used again; a number and a start cannot.
                    let before = before.map(|place| self.known[place]);
                    self.next.push(match before.filter(|before| before.stat.start_ticks == stat.start_ticks) {
                        Some(before) => before.later(stat, self.now, period, self.units),
                        None => Known::first(pid, stat, self.now, unseen, self.units),
                    });
                }
                Err(Missed::Gone) => {}
                Err(Missed::Unreadable(error)) => {
                    self.total += 1;
                    self.gaps.note_error("some processes", &error);
                }
            }
        }
        Ok(())
    }

    /// Chooses which processes are listed.
    fn list(&mut self) {
        self.order.clear();
        self.order.extend(0..self.known.len());
        let known = &self.known;
        choose(&mut self.order, TOP_PROCESSES, |index| known[index].standing());
        for (place, index) in self.order.iter().enumerate() {
            let known = &mut self.known[*index];
            known.listed = if place < TOP_PROCESSES { known.listed.or(Some(Listed::default())) } else { None };
        }
    }
}

impl Known {
    /// `period`: since the whole scan before, in which it was not there.
    fn first(pid: u32, stat: Stat, now: Duration, period: Period, units: Units) -> Self {
        let cpu_permille = used_permille(unseen_ticks(stat, period, units), period, units);
        let activity = Activity::default().after(cpu_permille, period.interval);
        Self { pid, stat, read_at: now, cpu_permille, activity, listed: None }
    }

    fn later(&self, stat: Stat, now: Duration, period: Period, units: Units) -> Self {
        let period = Period { interval: now - self.read_at, ..period };
        let cpu_permille = used_permille(stat.ticks.saturating_sub(self.stat.ticks), period, units);
        let activity = self.activity.after(cpu_permille, period.interval);
        Self { stat, read_at: now, cpu_permille, activity, ..*self }
    }

    fn standing(&self) -> Standing {
        Standing {
            activity: self.activity,
            resident: self.stat.resident_pages,
            pid: self.pid,
            listed: self.listed.is_some(),
        }
    }

    /// Its row in the list.
    fn row(&mut self, folder: BorrowedFd<'_>, line: &mut Vec<u8>, units: Units) -> Process {
        let listed = match self.listed {
            Some(Listed { owner: Some(owner), samples }) if samples < OWNER_EVERY => {
                Listed { owner: Some(owner), samples: samples + 1 }
            }
            Some(_) | None => Listed { owner: owner(folder, self.pid, line), samples: 0 },
        };
        self.listed = Some(listed);
        Process {
            pid: self.pid,
            start_ticks: self.stat.start_ticks,
            name: label(&self.stat.name),
            user_id: listed.owner.unwrap_or(OVERFLOW_USER),
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

fn read_stat(folder: BorrowedFd<'_>, pid: u32, line: &mut Vec<u8>) -> Result<Stat, Missed> {
    let line = read_in(folder, pid, "stat", line)?;
    Stat::parse(line).ok_or_else(|| Missed::Unreadable(io::ErrorKind::InvalidData.into()))
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
