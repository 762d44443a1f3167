//! Remembers how much memory the largest processes and control groups had, to find those that only ever grow.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use wire::{
    diagnostics::{LargeProcess, Memory, TOP_PROCESSES, sections::groups::Groups},
    text::Label,
    time::Moment,
};

use crate::{
    findings,
    forecast::{Growth, Point},
};

/// Most processes, and most groups, that are remembered: some are among the largest only now and then.
const MAX_REMEMBERED: usize = 2 * TOP_PROCESSES;

/// The lowest value of so many seconds is kept.
const PERIOD_SECS: u64 = 300;

/// Lows that are kept of each: six hours, and the one that is open. All of them take less than 50 KiB.
const MAX_LOWS: usize = 73;

/// What was not among the largest for so long is forgotten.
const FORGOTTEN: Duration = Duration::from_mins(15);

/// Before that no growth can be told from a program that starts.
const LEAST_WATCHED: Duration = Duration::from_hours(2);

/// So long it is remembered how much a program held before it ended: what happens once a week is seen twice.
const REMEMBERED: Duration = Duration::from_hours(8 * 24);

/// The largest of something over the last hours, by what tells one from another: of processes the number and the start, so that one that
/// was started again is another one, and of groups the place.
#[derive(Debug)]
pub(super) struct Growing<Key> {
    watched: BTreeMap<Key, Watched>,
    /// By name, the most that those held that are watched no longer, and when that was seen; at most [`MAX_REMEMBERED`].
    ended: BTreeMap<Label, (u64, Moment)>,
    began: Option<Moment>,
    /// When the largest were told last.
    newest: Option<Moment>,
}

/// Processes, by number and start.
pub(super) type GrowingProcesses = Growing<(u32, u64)>;

/// Control groups, by place.
pub(super) type GrowingGroups = Growing<Label>;

impl<Key> Default for Growing<Key> {
    fn default() -> Self {
        Self { watched: BTreeMap::new(), ended: BTreeMap::new(), began: None, newest: None }
    }
}

#[derive(Debug)]
struct Watched {
    name: Label,
    lows: VecDeque<Point>,
    held_kib: u64,
    most_kib: u64,
    seen: Moment,
}

impl GrowingProcesses {
    /// Takes the processes with most memory, measured at `now`.
    pub(super) fn note_processes(&mut self, largest: &[LargeProcess], now: Moment) {
        let rows = largest.iter();
        self.take(rows.map(|one| ((one.pid, one.start_ticks), &one.name, one.resident_kib)), now);
    }
}

impl GrowingGroups {
    /// Takes control groups that were read at `now`: those that have no others in them, by what the kernel cannot take back.
    pub(super) fn note_groups(&mut self, groups: &Groups, now: Moment) {
        let names = groups.groups.iter().map(|group| group.name.raw()).collect::<Vec<_>>();
        let holds = |name: &str| {
            if name == "/" {
                return names.len() > 1;
            }
            let inside = |other: &&str| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
            names.iter().any(inside)
        };
        let single = groups.groups.iter().filter(|group| !holds(group.name.raw()));
        let rows = single.filter_map(|group| {
            let held_kib = group.memory_kib.saturating_sub(group.reclaimable_kib?);
            Some((group.name.clone(), &group.name, held_kib))
        });
        self.take(rows.take(TOP_PROCESSES), now);
    }
}

impl<Key: Ord + Clone> Growing<Key> {
    fn take<'a>(&mut self, rows: impl Iterator<Item = (Key, &'a Label, u64)>, now: Moment) {
        for (key, name, held_kib) in rows {
            self.began.get_or_insert(now);
            self.newest = Some(now);
            let new = || Watched { name: Label::default(), lows: VecDeque::new(), held_kib: 0, most_kib: 0, seen: now };
            self.watched.entry(key).or_insert_with(new).take(name, held_kib, now);
        }
        let gone = self.watched.extract_if(.., |_, watched| now - watched.seen > FORGOTTEN);
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
        while self.watched.len() > MAX_REMEMBERED {
            let oldest = self.watched.iter().min_by_key(|(_, watched)| (watched.seen, watched.held_kib));
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.watched.remove(&oldest);
        }
    }

    /// Those that are still there and hold more than a hundredth of `memory`, and how they came to it; `None` before they were watched
    /// for long enough, and if nothing was told of them lately.
    pub(super) fn large(&self, memory: &Memory, now: Moment) -> Option<Vec<findings::Growing>> {
        let newest = self.newest.filter(|newest| now - *newest <= FORGOTTEN)?;
        if memory.total_kib == 0 || now - self.began? < LEAST_WATCHED {
            return None;
        }
        let here = self.watched.values().filter(|watched| watched.seen == newest);
        let large = here.filter(|watched| watched.held_kib > memory.total_kib / 100);
        let rows =
            large.map(|watched| (watched.name.clone(), self.growth(watched), watched.lows.iter().copied().collect()));
        Some(rows.collect())
    }

    /// How `watched` grows: whether one of the same name ended before, and what it held then.
    fn growth(&self, watched: &Watched) -> Growth {
        let ended = self.watched.values().filter(|other| other.name == watched.name && other.seen < watched.seen);
        let ended = ended.map(|other| other.most_kib);
        let before = ended.chain(self.ended.get(&watched.name).map(|(most_kib, _)| *most_kib)).max();
        before.map_or(Growth::Own, |most_kib| Growth::Again(i64::try_from(most_kib).unwrap_or(i64::MAX)))
    }

    /// How many are remembered, and the lows of the one with most.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.watched.len(), self.watched.values().map(|watched| watched.lows.len()).max().unwrap_or(0))
    }
}

impl Watched {
    fn take(&mut self, name: &Label, held_kib: u64, now: Moment) {
        if self.name != *name {
            self.name = name.clone();
        }
        self.seen = now;
        self.held_kib = held_kib;
        self.most_kib = self.most_kib.max(held_kib);
        let point = Point { at_secs: now.since_origin().as_secs(), value: i64::try_from(held_kib).unwrap_or(i64::MAX) };
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
