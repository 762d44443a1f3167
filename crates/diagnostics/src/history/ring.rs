//! The last minutes in memory: what checks look back at, and what a technician sees first.

use std::{collections::BTreeMap, time::Duration};

use wire::time::{Moment, WallTime};

use super::figures::{Figure, Kind, SeriesKey};
use super::subject::Subject;

/// Time that a [`Ring`] covers at its period.
pub const RING_TIME: Duration = Duration::from_secs(15 * 60);

/// Most series in a [`Ring`]: at one sample a second they take 256 x 900 x 4 bytes, less than a MiB.
pub const MAX_RING_SERIES: usize = 256;

/// Shortest period of a [`Ring`]; faster samples are thinned out.
const SHORTEST: Duration = Duration::from_secs(1);

/// Marks a value that is not there. No code is ever this.
pub(super) const ABSENT: i32 = i32::MIN;

/// The samples of the last [`RING_TIME`], each value in four bytes.
#[derive(Debug)]
pub struct Ring {
    period: Duration,
    /// When each slot was measured, by both clocks.
    times: Box<[(Moment, WallTime)]>,
    series: BTreeMap<SeriesKey, Row>,
    /// Samples ever taken; the newest is in the slot before this, modulo their number.
    taken: u64,
    left_out: u64,
}

#[derive(Debug)]
struct Row {
    codes: Box<[i32]>,
    /// [`Ring::taken`] after its newest value.
    newest: u64,
}

/// What became of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was taken.
    Taken,
    /// It came less than half a period after the one before, and was not taken.
    TooSoon,
}

impl Ring {
    /// An empty ring for one sample a `period`, at least a second and at most a minute.
    pub fn new(period: Duration) -> Self {
        let period = period.clamp(SHORTEST, crate::MAX_PERIOD);
        let slots = RING_TIME.as_millis().div_ceil(period.as_millis());
        let slots = usize::try_from(slots).unwrap_or(1);
        Self {
            period,
            times: vec![(Moment::default(), WallTime::default()); slots].into(),
            series: BTreeMap::new(),
            taken: 0,
            left_out: 0,
        }
    }

    /// Takes the figures measured at `now`, which the wall clock called `at`.
    pub fn push(&mut self, figures: &[(SeriesKey, i64)], at: WallTime, now: Moment) -> Pushed {
        if self.newest().is_some_and(|(last, _)| now - last < self.period / 2) {
            return Pushed::TooSoon;
        }
        let slots = self.slots();
        let slot = self.slot(self.taken);
        self.taken += 1;
        let taken = self.taken;
        // A thing that has been gone for the whole of the ring leaves it.
        self.series.retain(|_, row| taken - row.newest < slots);
        if let Some(time) = self.times.get_mut(slot) {
            *time = (now, at);
        }
        for row in self.series.values_mut() {
            row.set(slot, ABSENT);
        }
        for (key, value) in figures {
            let code = key.figure.code(*value);
            if let Some(row) = self.series.get_mut(key) {
                row.set(slot, code);
                row.newest = taken;
            } else if self.series.len() < MAX_RING_SERIES {
                let mut row = Row { codes: vec![ABSENT; self.times.len()].into(), newest: taken };
                row.set(slot, code);
                self.series.insert(key.clone(), row);
            } else {
                self.left_out += 1;
            }
        }
        Pushed::Taken
    }

    /// What checks look back at.
    pub fn history(&self) -> History<'_> {
        History { ring: self }
    }

    /// Values that found no room because there are more than [`MAX_RING_SERIES`] series.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Each series, oldest value first.
    pub(super) fn series(&self) -> impl Iterator<Item = (&SeriesKey, impl Iterator<Item = (WallTime, i64)>)> {
        self.series.iter().map(move |(key, row)| {
            let values = self.oldest()..self.taken;
            (
                key,
                values.filter_map(move |sample| self.value(key.figure, row, sample).map(|(_, at, value)| (at, value))),
            )
        })
    }

    /// From when to when the wall clock went forward without being set back, up to the newest sample; none without a sample.
    pub(super) fn in_order(&self) -> Option<(WallTime, WallTime)> {
        let (_, last) = self.newest()?;
        let mut first = last;
        for sample in (self.oldest()..self.taken).rev() {
            let at = self.times.get(self.slot(sample)).map(|(_, at)| *at)?;
            if at > first {
                break;
            }
            first = at;
        }
        Some((first, last))
    }

    fn newest(&self) -> Option<(Moment, WallTime)> {
        let last = self.taken.checked_sub(1)?;
        self.times.get(self.slot(last)).copied()
    }

    fn oldest(&self) -> u64 {
        self.taken.saturating_sub(self.slots())
    }

    fn slots(&self) -> u64 {
        u64::try_from(self.times.len()).unwrap_or(u64::MAX)
    }

    fn slot(&self, sample: u64) -> usize {
        usize::try_from(sample % self.slots()).unwrap_or(0)
    }

    fn value(&self, figure: Figure, row: &Row, sample: u64) -> Option<(Moment, WallTime, i64)> {
        let slot = self.slot(sample);
        let (moment, at) = self.times.get(slot).copied()?;
        let code = row.codes.get(slot).copied().filter(|code| *code != ABSENT)?;
        Some((moment, at, figure.value(code)))
    }
}

impl Row {
    fn set(&mut self, slot: usize, code: i32) {
        if let Some(value) = self.codes.get_mut(slot) {
            *value = code;
        }
    }
}

/// The last minutes of every series, to read. A window ends at the newest sample.
///
/// Every answer costs one pass over the window and no allocation.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    ring: &'a Ring,
}

/// A window of one series in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many values there are.
    pub count: u32,
    /// From the first of them to the last.
    pub spans: Duration,
    /// Smallest.
    pub min: i64,
    /// Largest.
    pub max: i64,
    /// Mean, rounded down.
    pub mean: i64,
    /// Oldest.
    pub first: i64,
    /// Newest.
    pub last: i64,
}

impl<'a> History<'a> {
    /// When the newest sample was measured; none if there is no sample.
    pub fn now(&self) -> Option<(Moment, WallTime)> {
        self.ring.newest()
    }

    /// The values of the last `window` with their moments, newest first.
    pub fn values(&self, key: &SeriesKey, window: Duration) -> impl Iterator<Item = (Moment, i64)> + use<'a> {
        let ring = self.ring;
        let figure = key.figure;
        let newest = ring.newest().map(|(moment, _)| moment);
        let row = ring.series.get(key);
        row.into_iter().flat_map(move |row| {
            let samples = (ring.oldest()..ring.taken).rev();
            let within = move |sample: &u64| {
                let measured = ring.times.get(ring.slot(*sample)).map(|(moment, _)| *moment);
                measured.zip(newest).is_some_and(|(measured, newest)| newest - measured <= window)
            };
            samples
                .take_while(within)
                .filter_map(move |sample| ring.value(figure, row, sample).map(|(moment, _, value)| (moment, value)))
        })
    }

    /// The value in the newest sample; none if that sample lacks it.
    pub fn latest(&self, key: &SeriesKey) -> Option<i64> {
        let row = self.ring.series.get(key)?;
        self.ring.value(key.figure, row, self.ring.taken.checked_sub(1)?).map(|(_, _, value)| value)
    }

    /// The mean of the last `window`, rounded down; none if there is no value in it.
    pub fn mean(&self, key: &SeriesKey, window: Duration) -> Option<i64> {
        self.summary(key, window).map(|summary| summary.mean)
    }

    /// The last `window` in a few numbers; none if there is no value in it.
    pub fn summary(&self, key: &SeriesKey, window: Duration) -> Option<Summary> {
        let mut values = self.values(key, window);
        let (newest, last) = values.next()?;
        let (mut count, mut sum) = (1_u32, i128::from(last));
        let (mut min, mut max, mut first, mut oldest) = (last, last, last, newest);
        for (moment, value) in values {
            count += 1;
            sum += i128::from(value);
            min = min.min(value);
            max = max.max(value);
            (first, oldest) = (value, moment);
        }
        let mean = i64::try_from(sum.div_euclid(i128::from(count))).unwrap_or(last);
        Some(Summary { count, spans: newest - oldest, min, max, mean, first, last })
    }

    /// By how much a counter grew in the last `window`; none with fewer than two values. Where it went back (its device was
    /// replaced, or it ran over) it did not grow. Of a gauge, the sum of what it rose.
    pub fn increase(&self, key: &SeriesKey, window: Duration) -> Option<u64> {
        let mut after = None;
        let mut grown = None;
        for (_, value) in self.values(key, window) {
            if let Some(after) = after {
                let step = i64::saturating_sub(after, value).max(0).unsigned_abs();
                grown = Some(grown.unwrap_or(0_u64).saturating_add(step));
            }
            after = Some(value);
        }
        grown
    }

    /// For how long, up to the newest sample, every value has been as `holds` says; none if the newest is not or is missing.
    pub fn held(&self, key: &SeriesKey, holds: impl Fn(i64) -> bool) -> Option<Duration> {
        self.latest(key)?;
        let mut values = self.values(key, Duration::MAX).take_while(|(_, value)| holds(*value)).map(|(at, _)| at);
        let newest = values.next()?;
        Some(newest - values.last().unwrap_or(newest))
    }

    /// What there are values of `figure` for. Nothing, not even the whole machine, if there are none.
    pub fn subjects(&self, figure: Figure) -> impl Iterator<Item = Option<&'a Subject>> + use<'a> {
        let keys = self.ring.series.keys();
        keys.filter(move |key| key.figure == figure).map(|key| key.subject.as_ref())
    }

    /// Whether only the growth of this figure means anything.
    pub fn is_counter(&self, figure: Figure) -> bool {
        figure.kind() == Kind::Counter
    }
}

#[cfg(test)]
mod tests;
