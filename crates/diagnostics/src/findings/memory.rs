//! What checks counted before: counters that no history keeps, such as the restarts of a service.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use wire::{
    diagnostics::{
        findings::{Check, What},
        schema::Named,
    },
    time::Moment,
};

/// A counter: of which check, about which subject, and what it counts, perhaps of a part of the subject alone.
pub(crate) type Key = (Check, Option<Named>, What, Option<Named>);

/// Most values of one counter: with [`SPACING`], half an hour.
const MAX_VALUES: usize = 60;

/// Values that come sooner than this after another replace it.
const SPACING: Duration = Duration::from_secs(30);

/// Counters as they were. It is bounded by the engine's subjects and by what was counted of their parts, which it forgets together with
/// them.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<Key, Counter>);

#[derive(Debug, Clone)]
struct Counter {
    /// The value at first sight.
    first: i64,
    /// Later ones, oldest first: each the first of its [`SPACING`].
    values: VecDeque<(Moment, i64)>,
    /// The newest.
    last: i64,
}

/// How much a counter went up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Growth {
    /// By how much.
    pub(crate) by: i64,
    /// In which time.
    pub(crate) over: Duration,
}

impl Memory {
    /// Remembers `value`.
    pub(crate) fn note(&mut self, key: Key, now: Moment, value: i64) {
        let new = Counter { first: value, values: VecDeque::new(), last: value };
        let counter = self.0.entry(key).or_insert(new);
        // A counter that was set back starts again.
        if value < counter.last {
            *counter = Counter { first: value, values: VecDeque::new(), last: value };
        }
        counter.last = value;
        if counter.values.back().is_none_or(|(moment, _)| now - *moment >= SPACING) {
            counter.values.push_back((now, value));
        }
        if counter.values.len() > MAX_VALUES {
            counter.values.pop_front();
        }
    }

    /// How much a counter that is `value` now went up over the last `window`, as far as it is known; none at first sight.
    pub(crate) fn growth(&self, key: &Key, value: i64, now: Moment, window: Duration) -> Option<Growth> {
        let counter = self.0.get(key)?;
        if value < counter.last {
            return Some(Growth { by: value.max(0), over: Duration::ZERO });
        }
        let (moment, before) = counter.values.iter().find(|(moment, _)| now - *moment <= window)?;
        Some(Growth { by: value.saturating_sub(*before), over: now - *moment })
    }

    /// The value of a counter when it was first seen.
    pub(crate) fn first(&self, key: &Key) -> Option<i64> {
        self.0.get(key).map(|counter| counter.first)
    }

    /// The last value of a counter.
    pub(crate) fn last(&self, key: &Key) -> Option<i64> {
        self.0.get(key).map(|counter| counter.last)
    }

    /// Forgets the subjects of `check` that are not among `subjects`.
    pub(crate) fn keep(&mut self, check: Check, subjects: &BTreeSet<Option<Named>>) {
        self.0.retain(|(of, subject, ..), _| *of != check || subjects.contains(subject));
    }

    /// Forgets the parts of subjects of `check` that are not among `counted`.
    pub(crate) fn keep_parts(&mut self, check: Check, counted: &BTreeSet<Key>) {
        self.0.retain(|key, _| key.0 != check || key.3.is_none() || counted.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use wire::text::Label;

    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(secs))
    }

    const KEY: Key = (Check::RestartLoop, None, What::Restarts, None);

    fn growth(memory: &Memory, value: i64, now: u64) -> Option<(i64, u64)> {
        let growth = memory.growth(&KEY, value, at(now), Duration::from_secs(600));
        growth.map(|growth| (growth.by, growth.over.as_secs()))
    }

    #[test]
    fn a_counter_grows_within_its_window() {
        let mut memory = Memory::default();
        assert_eq!(growth(&memory, 7, 0), None);
        memory.note(KEY, at(0), 7);
        assert_eq!(growth(&memory, 9, 60), Some((2, 60)));
        for minute in 1..=20 {
            memory.note(KEY, at(minute * 60), 7 + i64::try_from(minute).unwrap());
        }
        assert_eq!(growth(&memory, 27, 1200), Some((10, 600)));
        assert_eq!(memory.first(&KEY), Some(7));
    }

    #[test]
    fn a_counter_that_was_set_back_counts_from_nothing() {
        let mut memory = Memory::default();
        memory.note(KEY, at(0), 100);
        assert_eq!(growth(&memory, 3, 60), Some((3, 0)));
        memory.note(KEY, at(60), 3);
        assert_eq!(growth(&memory, 5, 120), Some((2, 60)));
    }

    #[test]
    fn memory_is_bounded_however_often_it_is_asked() {
        let mut memory = Memory::default();
        for second in 0..100_000 {
            memory.note(KEY, at(second), 1);
        }
        assert_eq!(memory.0[&KEY].values.len(), MAX_VALUES);
        memory.keep(Check::RestartLoop, &BTreeSet::new());
        assert!(memory.0.is_empty());
    }

    #[test]
    fn a_part_that_is_not_counted_any_more_is_forgotten_and_its_subject_is_not() {
        let part = (KEY.0, None, KEY.2, Some(Named::Unit(Label::cut("web.service"))));
        let mut memory = Memory::default();
        memory.note(KEY, at(0), 1);
        memory.note(part.clone(), at(0), 1);
        memory.keep_parts(Check::Crashes, &BTreeSet::new());
        assert_eq!((memory.last(&KEY), memory.last(&part)), (Some(1), Some(1)), "it is of another check");
        memory.keep_parts(Check::RestartLoop, &BTreeSet::new());
        assert_eq!((memory.last(&KEY), memory.last(&part)), (Some(1), None));
    }
}
