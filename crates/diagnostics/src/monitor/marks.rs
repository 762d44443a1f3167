//! Remembers where single values of the key figures stood out, for graphs. Nothing is concluded from them.

use std::collections::{BTreeMap, VecDeque};

use wire::{
    diagnostics::{Snapshot, report::Series},
    time::{Moment, WallTime},
};

use super::shifts::{float, least};
use crate::{
    forecast::Spikes,
    history::{RING_TIME, SeriesKey, Subject},
};

/// Most series that are watched.
const MAX_WATCHED: usize = 64;

/// Values of one series that are remembered.
const MAX_MARKS: usize = 64;

/// What stood out lately.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<SeriesKey, Watched>);

#[derive(Debug)]
struct Watched {
    detector: Spikes,
    seen: Moment,
    marks: VecDeque<WallTime>,
}

impl Marks {
    /// Takes the figures of `sample`, measured at `now`, which the wall clock calls `wall`.
    pub(super) fn note(&mut self, sample: &Snapshot, figures: &[(SeriesKey, i64)], now: Moment, wall: WallTime) {
        self.0.retain(|_, watched| now - watched.seen <= RING_TIME);
        for (key, value) in figures {
            let Some(least) = least(key.figure, sample) else { continue };
            if !self.0.contains_key(key) && self.0.len() >= MAX_WATCHED {
                continue;
            }
            let new = || Watched { detector: Spikes::new(least), seen: now, marks: VecDeque::new() };
            let watched = self.0.entry(key.clone()).or_insert_with(new);
            watched.seen = now;
            if watched.detector.push(float(*value)) {
                watched.marks.push_back(wall);
                if watched.marks.len() > MAX_MARKS {
                    watched.marks.pop_front();
                }
            }
        }
    }

    /// Marks the steps of `series` in which a value stood out, whether or not it shows in the mean of its step.
    pub(super) fn put_on(&self, series: &mut [Series]) {
        for (key, watched) in self.0.iter().filter(|(_, watched)| !watched.marks.is_empty()) {
            let subject = key.subject.as_ref().map(Subject::named);
            let of_key = |one: &&mut Series| one.figure.raw() == key.figure.name() && one.subject == subject;
            let Some(one) = series.iter_mut().find(of_key) else { continue };
            let step_ms = u64::from(one.step_secs.max(1)) * 1000;
            let steps =
                watched.marks.iter().filter_map(|at| at.0.checked_sub(one.start.0)).map(|since| since / step_ms);
            let mut steps = steps.filter_map(|step| u32::try_from(step).ok()).collect::<Vec<_>>();
            steps.retain(|step| usize::try_from(*step).is_ok_and(|step| step < one.values.len()));
            // The wall clock may have been set meanwhile.
            steps.sort_unstable();
            steps.dedup();
            one.stood_out = steps;
        }
    }
}
