//! The process table from `/proc/<pid>/stat`: one small file for each process, opened relative to `/proc`, read into a buffer
//! that is used again. Nothing is allocated for a process that is not listed, and arguments and environment are never opened.
//!
//! To look at a process costs about 15 µs on a processor that has done something else for a second, which is more than all other
//! figures of a sample together. So the processes that are listed are looked at with every sample, by files that stay open, and all
//! of them only as often as their number allows. Of those, the ones at rest have their turn once in about [`REST_TURN`].

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use wire::{
    diagnostics::{DiskProcess, LargeProcess, MAX_STUCK, Process, ProcessOrder, Stuck, TOP_PROCESSES},
    text::Label,
};

use super::{
    files::{Io, Missed, OpenFiles, owner, read_io, read_stat},
    owners::Owners,
    ranking::{Activity, Standing, choose},
    stat::{Name, Stat},
};
use crate::{gaps::Gaps, rates::per_second_u32, text::number};

/// Most processes that are looked at: 32,768 take about a fifth of a second.
pub(super) const MAX_SCANNED: u32 = 32_768;

/// A listed process's owner is looked up when it comes into the list, and again after this many samples.
const OWNER_EVERY: u32 = 60;

/// The kernel's state letters of a process that waits for a device and cannot be interrupted, and of one that runs.
pub(super) const STUCK: u8 = b'D';
const RUNNING: u8 = b'R';

/// A process is at rest after so many looks at which everything was as before.
const REST_AFTER: u8 = 3;

/// In about this time every process at rest is looked at once: by the first look at all processes after it.
const REST_TURN: Duration = Duration::from_secs(5);

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
    /// Files of those that are listed, by number.
    open: Vec<OpenFiles>,
    owners: Owners,
    by: ProcessOrder,
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

impl Units {
    pub(crate) fn of_this_machine() -> Self {
        Self {
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            page_kib: u64::try_from(rustix::param::page_size() / 1024).unwrap_or(4),
        }
    }
}

/// What one scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) total: u32,
    pub(crate) readable: u32,
    pub(crate) stuck_total: u32,
    pub(crate) listed: Vec<Process>,
    /// Those that were stuck in the last two whole scans.
    pub(crate) stuck: Vec<Stuck>,
}

/// Which processes are listed, and how often all are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) by: ProcessOrder,
    pub(crate) every: Duration,
}

/// What is remembered of a process from one scan to the next.
#[derive(Debug, Clone, Copy)]
struct Known {
    pid: u32,
    stat: Stat,
    /// When it was looked at, in time sampled.
    read_at: Duration,
    /// At how many looks in a row everything was as before; at most [`REST_AFTER`].
    unchanged: u8,
    cpu_permille: u32,
    activity: Activity,
    /// What it read and wrote, as it was last read, and per second.
    io: Option<Io>,
    io_s: Option<(u32, u32)>,
    /// Kibibytes read and written in a second, smoothed.
    io_activity: Activity,
    /// Whether it was stuck in the whole scan before, too.
    still_stuck: bool,
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
    /// Since processes were last looked at; zero if they never were.
    pub(crate) interval: Duration,
    /// Time sampled so far.
    pub(crate) sampled: Duration,
    /// Hundredths of a second since the machine started, if that is known.
    pub(crate) uptime_centis: Option<u64>,
    /// Logical processors, which bound what a process can use.
    pub(crate) cores: usize,
}

impl Processes {
    pub(crate) fn new(proc: &Path, etc: &Path, units: Units) -> Self {
        Self {
            proc: proc.to_owned(),
            units,
            listing: Vec::with_capacity(32 * 1024),
            line: Vec::with_capacity(2048),
            known: Vec::new(),
            next: Vec::new(),
            order: Vec::new(),
            open: Vec::new(),
            owners: Owners::new(etc),
            by: ProcessOrder::default(),
            now: Duration::ZERO,
            whole_at: Duration::ZERO,
            gaps: Gaps::default(),
            total: 0,
            readable: 0,
        }
    }

    /// Looks at the processes that are listed, or at every process if it is time for that.
    pub(crate) fn scan(&mut self, period: Period, order: Order, gaps: &mut Gaps) -> Scan {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match openat(CWD, &self.proc, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(error) => {
                gaps.note_error("processes", &error.into());
                return Scan::default();
            }
        };
        self.now = period.sampled;
        let by = std::mem::replace(&mut self.by, order.by);
        if by != order.by || self.whole_is_due(period.interval, order.every) {
            self.look_at_all(&folder, period, by == order.by);
            self.list();
            self.open_listed(folder.as_fd(), period);
        } else {
            self.look_at_listed(folder.as_fd(), period);
        }
        gaps.add(&self.gaps);
        let mut scan = Scan { total: self.total, readable: self.readable, ..Scan::default() };
        for known in &mut self.known {
            if known.listed.is_some() {
                scan.listed.push(known.row(folder.as_fd(), &mut self.line, &mut self.owners, self.units));
            }
            if known.stat.state == STUCK {
                scan.stuck_total += 1;
                if known.still_stuck && scan.stuck.len() < MAX_STUCK {
                    scan.stuck.push(Stuck { pid: known.pid, name: known.stat.name.label() });
                }
            }
        }
        scan
    }

    /// The processes with most memory as of the last scan, the largest first.
    pub(crate) fn largest(&mut self) -> Vec<LargeProcess> {
        self.order.clear();
        self.order.extend(0..self.known.len());
        let rank = |index: &usize| {
            let known = &self.known[*index];
            (Reverse(known.stat.resident_pages), known.pid)
        };
        if self.order.len() > TOP_PROCESSES {
            self.order.select_nth_unstable_by_key(TOP_PROCESSES, rank);
            self.order.truncate(TOP_PROCESSES);
        }
        self.order.sort_unstable_by_key(rank);
        let row = |index: &usize| {
            let Known { pid, stat, .. } = &self.known[*index];
            LargeProcess {
                pid: *pid,
                start_ticks: stat.start_ticks,
                name: stat.name.label(),
                resident_kib: stat.resident_pages.saturating_mul(self.units.page_kib),
            }
        };
        self.order.iter().map(row).collect()
    }

    /// The programs that take most processor time as of the last scan, the busiest first, with the thousandths of one processor that all
    /// processes of that name take together.
    pub(crate) fn busiest(&self) -> Vec<(Label, u32)> {
        let mut programs = BTreeMap::<Name, u32>::new();
        for known in self.known.iter().filter(|known| known.cpu_permille > 0) {
            let sum = programs.entry(known.stat.name.program()).or_default();
            *sum = sum.saturating_add(known.cpu_permille);
        }
        let mut programs = programs.into_iter().collect::<Vec<_>>();
        programs.sort_by_key(|(_, permille)| Reverse(*permille));
        programs.iter().take(TOP_PROCESSES).map(|(name, permille)| (name.label(), *permille)).collect()
    }

    /// The processes that read most from disks as of the last scan and those that write most, by both together.
    pub(crate) fn disk_processes(&self) -> Vec<DiskProcess> {
        let mut rows = self.known.iter().filter_map(Known::disk_row).collect::<Vec<_>>();
        // Half of the places for each: one that writes much must not hide one that reads.
        let mut chosen = Vec::new();
        for rate in [|row: &DiskProcess| row.read_kib_s, |row: &DiskProcess| row.write_kib_s] {
            rows.sort_by_key(|row| Reverse(rate(row)));
            let most = rows.iter().take_while(|row| rate(row) > 0).count().min(TOP_PROCESSES / 2);
            chosen.extend(rows.drain(..most));
        }
        chosen.sort_by_key(|row| (Reverse(u64::from(row.read_kib_s) + u64::from(row.write_kib_s)), row.pid));
        chosen
    }

    /// Whether the last scan saw process 1, as everybody does where nothing is hidden.
    pub(crate) fn sees_the_first(&self) -> bool {
        self.known.first().is_some_and(|known| known.pid == 1)
    }

    /// Samples are a little early or late, so the one that is nearest counts.
    fn whole_is_due(&self, interval: Duration, every: Duration) -> bool {
        self.known.is_empty() || self.now - self.whole_at + interval / 2 >= every
    }

    /// Looks at the listed that were not looked at yet.
    fn look_at_listed(&mut self, folder: BorrowedFd<'_>, period: Period) {
        let before = self.known.len();
        self.known.retain_mut(|known| {
            if known.listed.is_none() || known.read_at == self.now {
                return true;
            }
            let open = self.open.binary_search_by_key(&known.pid, OpenFiles::pid).ok().map(|place| &self.open[place]);
            let stat = match open {
                Some(files) => files.read_stat(&mut self.line),
                // More files could not be opened.
                None => read_stat(folder, known.pid, &mut self.line),
            };
            match stat {
                // The number of one that has ended can be used again; the next whole scan finds who uses it.
                Ok(stat) if stat.start_ticks != known.stat.start_ticks => false,
                Ok(stat) => {
                    let io = open.and_then(|files| files.read_io(&mut self.line));
                    *known =
                        Known { still_stuck: known.still_stuck, ..known.later(stat, io, self.now, period, self.units) };
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

    /// Opens the files of those that came into the list, and closes those of all others.
    fn open_listed(&mut self, folder: BorrowedFd<'_>, period: Period) {
        let mut before = std::mem::take(&mut self.open).into_iter().peekable();
        for known in self.known.iter().filter(|known| known.listed.is_some()) {
            while before.next_if(|files| files.pid() < known.pid).is_some() {}
            let open = before.next_if(|files| files.is_of(known.pid, known.stat.start_ticks));
            self.open.extend(open.or_else(|| OpenFiles::open(folder, known.pid, known.stat.start_ticks).ok()));
        }
        // Who was at rest comes into the list for what it was some time ago.
        self.look_at_listed(folder, period);
    }

    /// `rest`: those at rest are left alone until it is their turn.
    fn look_at_all(&mut self, folder: &OwnedFd, period: Period, rest: bool) {
        (self.total, self.readable) = (0, 0);
        self.gaps = Gaps::default();
        self.next.clear();
        if let Err(error) = self.read_all(folder, period, rest) {
            self.gaps.note_error("processes", &error);
        }
        // The kernel lists processes by number, so this is one pass.
        self.next.sort_unstable_by_key(|known| known.pid);
        std::mem::swap(&mut self.known, &mut self.next);
        self.whole_at = self.now;
    }

    fn read_all(&mut self, folder: &OwnedFd, period: Period, rest: bool) -> io::Result<()> {
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
            let before = self.known.binary_search_by_key(&pid, |known| known.pid).ok().map(|place| self.known[place]);
            if let Some(known) = before.filter(|known| rest && known.may_rest(self.now)) {
                self.total += 1;
                self.readable += 1;
                self.next.push(known);
                continue;
            }
            let open = self.open.binary_search_by_key(&pid, OpenFiles::pid).ok().map(|place| &self.open[place]);
            // Those of one that has ended have nothing to read, and the number may be another's.
            let by_open = open.and_then(|files| files.read_stat(&mut self.line).ok());
            match by_open.map_or_else(|| read_stat(folder.as_fd(), pid, &mut self.line), Ok) {
                Ok(stat) => {
                    self.total += 1;
                    self.readable += 1;
                    // A number can be used again; a number and a start cannot.
                    let before = before.filter(|before| before.stat.start_ticks == stat.start_ticks);
                    let io = match open.filter(|_| by_open.is_some()) {
                        Some(files) => files.read_io(&mut self.line),
                        // To read it of all would cost as much again. Whoever uses disks uses a processor, too.
                        None if self.by == ProcessOrder::Io || before.is_some_and(|before| before.works(&stat)) => {
                            read_io(folder.as_fd(), pid, &mut self.line)
                        }
                        None => None,
                    };
                    self.next.push(match before {
                        Some(before) => before.later(stat, io, self.now, period, self.units),
                        None => Known { io, ..Known::first(pid, stat, self.now, unseen, self.units) },
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
        let by = self.by;
        choose(&mut self.order, TOP_PROCESSES, |index| known[index].standing(by));
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
        Self {
            pid,
            stat,
            read_at: now,
            unchanged: 0,
            cpu_permille,
            activity,
            io: None,
            io_s: None,
            io_activity: Activity::default(),
            still_stuck: false,
            listed: None,
        }
    }

    fn later(&self, stat: Stat, io: Option<Io>, now: Duration, period: Period, units: Units) -> Self {
        let period = Period { interval: now - self.read_at, ..period };
        let cpu_permille = used_permille(stat.ticks.saturating_sub(self.stat.ticks), period, units);
        let activity = self.activity.after(cpu_permille, period.interval);
        let io_s = io.zip(self.io).map(|(now, before)| {
            let rate = |now: u64, before: u64| per_second_u32(now.saturating_sub(before) / 1024, period.interval);
            (rate(now.read_bytes, before.read_bytes), rate(now.written_bytes, before.written_bytes))
        });
        let both = io_s.map_or(0, |(read, written)| read.saturating_add(written));
        let io_activity = self.io_activity.after(both, period.interval);
        let still_stuck = stat.state == STUCK && self.stat.state == STUCK;
        let unchanged = if stat == self.stat { self.unchanged.saturating_add(1).min(REST_AFTER) } else { 0 };
        Self { stat, read_at: now, unchanged, cpu_permille, activity, io, io_s, io_activity, still_stuck, ..*self }
    }

    /// Whether it used a processor since it was looked at, or is stuck on a device, as it is now in `stat`.
    fn works(&self, stat: &Stat) -> bool {
        stat.ticks != self.stat.ticks || stat.state == STUCK
    }

    /// Its row among those that use disks, if it was seen to.
    fn disk_row(&self) -> Option<DiskProcess> {
        let (read_kib_s, write_kib_s) = self.io_s.filter(|rates| *rates != (0, 0))?;
        let (pid, start_ticks, name) = (self.pid, self.stat.start_ticks, self.stat.name.label());
        Some(DiskProcess { pid, start_ticks, name, read_kib_s, write_kib_s })
    }

    /// Whether it is at rest and its turn to be looked at nevertheless is not now. Numbers that follow each other have their turns a
    /// second apart.
    fn may_rest(&self, now: Duration) -> bool {
        let at_rest = self.unchanged >= REST_AFTER && !matches!(self.stat.state, STUCK | RUNNING);
        let turn = |at: Duration| (at.as_secs() + u64::from(self.pid)) / REST_TURN.as_secs();
        at_rest && self.listed.is_none() && turn(now) == turn(self.read_at)
    }

    fn standing(&self, by: ProcessOrder) -> Standing {
        Standing {
            by,
            activity: self.activity,
            io: self.io_activity,
            resident: self.stat.resident_pages,
            pid: self.pid,
            listed: self.listed.is_some(),
        }
    }

    /// Its row in the list.
    fn row(&mut self, folder: BorrowedFd<'_>, line: &mut Vec<u8>, owners: &mut Owners, units: Units) -> Process {
        let listed = match self.listed {
            Some(Listed { owner: Some(owner), samples }) if samples < OWNER_EVERY => {
                Listed { owner: Some(owner), samples: samples + 1 }
            }
            Some(_) | None => Listed { owner: owner(folder, self.pid, line), samples: 0 },
        };
        self.listed = Some(listed);
        // One that has just come into the list is compared with itself the next time.
        self.io = self.io.or_else(|| read_io(folder, self.pid, line));
        Process {
            pid: self.pid,
            start_ticks: self.stat.start_ticks,
            name: self.stat.name.label(),
            owner: listed.owner.map(|owner| owners.name(owner)).unwrap_or_default(),
            cpu_permille: self.cpu_permille,
            resident_kib: self.stat.resident_pages.saturating_mul(units.page_kib),
            threads: u32::try_from(self.stat.threads).unwrap_or(u32::MAX),
            state: char::from(self.stat.state),
            read_kib_s: self.io_s.map(|(read, _)| read),
            write_kib_s: self.io_s.map(|(_, written)| written),
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
