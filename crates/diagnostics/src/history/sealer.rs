//! From samples to blocks: when one is full, when the clock was set, and what becomes of a minute.

use std::{collections::BTreeMap, time::Duration};

use wire::time::{Moment, WallTime};

use super::{
    block::{Block, MAX_SERIES, SAMPLES, Tier},
    figures::SeriesKey,
    ring::ABSENT,
    subject::Subject,
};

/// Most series that are kept for thirty days: each costs some 150 KiB.
pub(crate) const MAX_MINUTE_SERIES: usize = 32;

const MINUTE_MS: u64 = 60_000;

/// By how much the wall clock has to differ from what the other clock says before it counts as having been set.
const CLOCK_STEP_MS: i64 = 1500;

/// Turns samples into blocks of both tiers.
#[derive(Debug)]
pub(crate) struct Sealer {
    full: Open,
    minutes: Open,
    minute: Minute,
    last: Option<(WallTime, Moment)>,
    left_out: u64,
}

impl Sealer {
    /// For one sample every `period`.
    pub(crate) fn new(period: Duration) -> Self {
        let step_ms = u64::try_from(period.as_millis()).unwrap_or(MINUTE_MS).clamp(1, MINUTE_MS);
        Self {
            full: Open::new(Tier::Full, step_ms),
            minutes: Open::new(Tier::Minute, MINUTE_MS),
            minute: Minute::default(),
            last: None,
            left_out: 0,
        }
    }

    /// Takes the figures of one sample; returns the blocks that are full, or that a set clock ends.
    pub(crate) fn push(&mut self, figures: &[(SeriesKey, i64)], at: WallTime, now: Moment) -> Vec<Block> {
        let mut sealed = Vec::new();
        let clock_step = self.last.map_or(0, |(wall, moment)| step_of_clock(wall, moment, at, now));
        self.last = Some((at, now));
        if clock_step != 0 {
            sealed.extend(self.flush());
            self.full.clock_step_ms = clock_step;
            self.minutes.clock_step_ms = clock_step;
        }
        let kept = figures.iter().filter(|(key, _)| key.subject.as_ref().is_none_or(Subject::may_be_kept));
        let kept = kept.cloned().collect::<Vec<_>>();
        let minute = at.0 / MINUTE_MS;
        if self.minute.number != minute {
            sealed.extend(self.end_minute());
            self.minute.number = minute;
        }
        self.minute.push(&kept);
        let codes = kept.into_iter().map(|(key, value)| (key.figure.code(value), key));
        sealed.extend(self.full.push(codes.map(|(code, key)| (key, [code])), at, &mut self.left_out));
        sealed
    }

    /// Ends what is open: before the program does, or when the clock was set.
    pub(crate) fn flush(&mut self) -> Vec<Block> {
        let minutes = self.end_minute();
        let open = [self.full.seal(), self.minutes.seal()];
        minutes.into_iter().chain(open.into_iter().flatten()).collect()
    }

    /// Values that found no room because there are too many series.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    fn end_minute(&mut self) -> Option<Block> {
        let minute = std::mem::take(&mut self.minute);
        if minute.series.is_empty() {
            return None;
        }
        let start = WallTime(minute.number.saturating_mul(MINUTE_MS));
        self.minutes.push(minute.rows().into_iter(), start, &mut self.left_out)
    }
}

/// How far the wall clock moved beyond what the clock that nobody can set says; 0 if it is as good as nothing.
fn step_of_clock(wall: WallTime, moment: Moment, at: WallTime, now: Moment) -> i64 {
    let passed = i128::try_from((now - moment).as_millis()).unwrap_or(i128::MAX);
    let moved = i128::from(at.0) - i128::from(wall.0);
    let step = moved.saturating_sub(passed);
    let step = i64::try_from(step).unwrap_or(if step < 0 { i64::MIN } else { i64::MAX });
    if step.unsigned_abs() < CLOCK_STEP_MS.unsigned_abs() { 0 } else { step }
}

/// A block that is being filled.
#[derive(Debug)]
struct Open {
    tier: Tier,
    step_ms: u64,
    clock_step_ms: i64,
    start: WallTime,
    count: usize,
    series: BTreeMap<SeriesKey, Vec<Vec<i32>>>,
}

impl Open {
    fn new(tier: Tier, step_ms: u64) -> Self {
        Self { tier, step_ms, clock_step_ms: 0, start: WallTime(0), count: 0, series: BTreeMap::new() }
    }

    fn push<const N: usize>(
        &mut self,
        row: impl Iterator<Item = (SeriesKey, [i32; N])>,
        at: WallTime,
        left_out: &mut u64,
    ) -> Option<Block> {
        // To the nearest step: samples come a little early or late.
        let index = (at.0.saturating_sub(self.start.0).saturating_add(self.step_ms / 2)) / self.step_ms;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let sealed = if index >= SAMPLES || at < self.start { self.seal() } else { None };
        let index = if self.count == 0 {
            self.start = at;
            0
        } else {
            index
        };
        self.count = self.count.max(index + 1);
        for (key, codes) in row {
            if !self.series.contains_key(&key) && self.series.len() >= MAX_SERIES {
                *left_out += 1;
                continue;
            }
            let columns = self.series.entry(key).or_insert_with(|| vec![Vec::with_capacity(SAMPLES); N]);
            for (column, code) in columns.iter_mut().zip(codes) {
                column.resize(index, ABSENT);
                column.push(code);
            }
        }
        sealed
    }

    fn seal(&mut self) -> Option<Block> {
        let count = std::mem::take(&mut self.count);
        let mut series = std::mem::take(&mut self.series);
        if series.is_empty() {
            // That the clock was set is for the first block that there is.
            return None;
        }
        let clock_step_ms = std::mem::take(&mut self.clock_step_ms);
        series.values_mut().flatten().for_each(|column| column.resize(count, ABSENT));
        Some(Block { tier: self.tier, start: self.start, step_ms: self.step_ms, clock_step_ms, count, series })
    }
}

/// The minute that is being measured.
#[derive(Debug, Default)]
struct Minute {
    /// Minutes since 1970.
    number: u64,
    series: BTreeMap<(usize, SeriesKey), Range>,
}

#[derive(Debug)]
struct Range {
    min: i64,
    max: i64,
    sum: i128,
    count: u32,
    last: i64,
}

impl Minute {
    fn push(&mut self, figures: &[(SeriesKey, i64)]) {
        for (key, value) in figures {
            let Some(rank) = key.figure.key_rank() else { continue };
            let first = || Range { min: *value, max: *value, sum: 0, count: 0, last: *value };
            let range = self.series.entry((rank, key.clone())).or_insert_with(first);
            range.min = range.min.min(*value);
            range.max = range.max.max(*value);
            range.sum += i128::from(*value);
            range.count += 1;
            range.last = *value;
        }
        // The least important ones are given up. Whether one is does not change from minute to minute.
        while self.series.len() > MAX_MINUTE_SERIES {
            self.series.pop_last();
        }
    }

    /// Lowest, highest, mean and last.
    fn rows(self) -> Vec<(SeriesKey, [i32; 4])> {
        let rows = self.series.into_iter().map(|((_, key), range)| {
            let mean = i64::try_from(range.sum / i128::from(range.count.max(1))).unwrap_or(range.last);
            let codes = [range.min, range.max, mean, range.last].map(|value| key.figure.code(value));
            (key, codes)
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests;
