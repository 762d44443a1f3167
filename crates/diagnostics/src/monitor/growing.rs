//! Remembers how much memory the largest processes had, to find those that only ever grow.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use wire::{
    diagnostics::{LargeProcess, Snapshot, TOP_PROCESSES},
    text::Label,
    time::Moment,
};

use crate::{
    findings::Trends,
    forecast::{Growth, Point},
};

/// Most processes that are remembered: some are among the largest only now and then.
const MAX_REMEMBERED: usize = 2 * TOP_PROCESSES;

/// The lowest value of so many seconds is kept.
const PERIOD_SECS: u64 = 300;

/// Lows that are kept of a process: six hours, and the one that is open. All of them take less than 50 KiB.
const MAX_LOWS: usize = 73;

/// A process that was not among the largest for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// Before that no growth can be told from a program that starts.
const LEAST_WATCHED: Duration = Duration::from_hours(2);

/// So long it is remembered how much a program held before it ended: what happens once a week is seen twice.
const REMEMBERED: Duration = Duration::from_hours(8 * 24);

/// The largest processes over the last hours. A process that was started again is another one.
#[derive(Debug, Default)]
pub(super) struct Growing {
    processes: BTreeMap<(u32, u64), Watched>,
    /// By program, the most that processes of it held that are watched no longer, and when that was seen; at most [`MAX_REMEMBERED`].
    ended: BTreeMap<Label, (u64, Moment)>,
    began: Option<Moment>,
}

#[derive(Debug)]
struct Watched {
    name: Label,
    lows: VecDeque<Point>,
    resident_kib: u64,
    most_kib: u64,
    seen: Moment,
}

impl Growing {
    /// Takes the processes with most memory, measured at `now`.
    pub(super) fn note(&mut self, largest: &[LargeProcess], now: Moment) {
        if largest.is_empty() {
            return;
        }
        self.began.get_or_insert(now);
        for process in largest {
            let new =
                || Watched { name: Label::default(), lows: VecDeque::new(), resident_kib: 0, most_kib: 0, seen: now };
            self.processes.entry((process.pid, process.start_ticks)).or_insert_with(new).take(process, now);
        }
        let gone = self.processes.extract_if(.., |_, watched| now - watched.seen > FORGOTTEN);
        for (_, watched) in gone {
            let (most_kib, seen) = self.ended.entry(watched.name).or_default();
            (*most_kib, *seen) = (watched.most_kib.max(*most_kib), watched.seen.max(*seen));
        }
        self.ended.retain(|_, (_, seen)| now - *seen <= REMEMBERED);
        while self.ended.len() > MAX_REMEMBERED {
            let least = self.ended.iter().min_by_key(|(_, (most_kib, _))| *most_kib).map(|(name, _)| name.clone());
            let Some(least) = least else { break };
            self.ended.remove(&least);
        }
        while self.processes.len() > MAX_REMEMBERED {
            let oldest = self.processes.iter().min_by_key(|(_, watched)| (watched.seen, watched.resident_kib));
            let Some(oldest) = oldest.map(|(key, _)| *key) else { break };
            self.processes.remove(&oldest);
        }
    }

    /// Works out which of the processes that `sample`, measured at `now`, still has grow for hours.
    pub(super) fn look(&self, sample: &Snapshot, now: Moment, trends: &mut Trends) {
        let memory = &sample.memory;
        trends.leaks = None;
        if memory.total_kib == 0 || self.began.is_none_or(|began| now - began < LEAST_WATCHED) {
            return;
        }
        let here = self.processes.values().filter(|watched| watched.seen == now);
        let large = here.filter(|watched| watched.resident_kib > memory.total_kib / 100);
        let rows = large
            .map(|watched| (watched.name.clone(), self.growth(watched, now), watched.lows.iter().copied().collect()));
        let rows = rows.collect::<Vec<_>>();
        if rows.is_empty() {
            trends.leaks = Some(Vec::new());
        } else {
            trends.look_at_processes(&rows, memory.available_kib, memory.total_kib);
        }
    }

    /// How `watched` grows: whether the same program ended before, and what it held then.
    fn growth(&self, watched: &Watched, now: Moment) -> Growth {
        let ended = self.processes.values().filter(|other| other.name == watched.name && other.seen < now);
        let ended = ended.map(|other| other.most_kib);
        let before = ended.chain(self.ended.get(&watched.name).map(|(most_kib, _)| *most_kib)).max();
        before.map_or(Growth::Own, |most_kib| Growth::Again(i64::try_from(most_kib).unwrap_or(i64::MAX)))
    }

    /// How many processes are remembered, and the lows of the one with most.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.processes.len(), self.processes.values().map(|watched| watched.lows.len()).max().unwrap_or(0))
    }
}

impl Watched {
    fn take(&mut self, process: &LargeProcess, now: Moment) {
        if self.name != process.name {
            self.name = process.name.clone();
        }
        self.seen = now;
        self.resident_kib = process.resident_kib;
        self.most_kib = self.most_kib.max(process.resident_kib);
        let point = Point {
            at_secs: now.since_origin().as_secs(),
            value: i64::try_from(process.resident_kib).unwrap_or(i64::MAX),
        };
        match self.lows.back_mut() {
            Some(low) if low.at_secs / PERIOD_SECS == point.at_secs / PERIOD_SECS => {
                if point.value < low.value {
                    *low = point;
                }
            }
            Some(_) | None => self.lows.push_back(point),
        }
        if self.lows.len() > MAX_LOWS {
            self.lows.pop_front();
        }
    }
}
