//! Watches key figures for changes of level.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use wire::{
    diagnostics::{Snapshot, findings::Confidence, report::Series},
    text::Label,
    time::{Moment, WallTime},
};

use super::beside::{Odd, is_usual};
use crate::{
    findings::LevelShift,
    forecast,
    history::{Figure, Query, RING_TIME, SeriesKey, Subject},
};

/// Most series that are watched: each takes at most 5 KiB.
const MAX_WATCHED: usize = 64;

/// How long a shift is told. By then it is usual.
const STANDS: Duration = Duration::from_hours(1);

/// Watches the key figures of every sample.
#[derive(Debug, Default)]
pub(super) struct Shifts {
    watched: BTreeMap<SeriesKey, Watched>,
    standing: BTreeMap<SeriesKey, Standing>,
    samples: usize,
    odd: Odd,
}

#[derive(Debug)]
struct Watched {
    detector: forecast::LevelShift,
    seen: Moment,
}

#[derive(Debug)]
struct Standing {
    since: Moment,
    told: LevelShift,
}

impl Shifts {
    /// Takes the figures of `sample`, measured at `now`; returns the shifts that stand, the newest first. Nothing is known as long as
    /// nobody could have seen any. Of each new shift `history` is asked whether it is usual, and what else was odd.
    pub(super) fn note(
        &mut self,
        sample: &Snapshot,
        figures: &[(SeriesKey, i64)],
        (now, wall): (Moment, WallTime),
        history: impl Fn(&Query) -> Vec<Series>,
    ) -> Option<Vec<LevelShift>> {
        self.samples = self.samples.saturating_add(1);
        self.watched.retain(|_, watched| now - watched.seen <= RING_TIME);
        for (key, value) in figures {
            let Some(least) = least(key.figure, sample) else { continue };
            if !self.watched.contains_key(key) && self.watched.len() >= MAX_WATCHED {
                continue;
            }
            let new = || Watched { detector: forecast::LevelShift::new(least), seen: now };
            let watched = self.watched.entry(key.clone()).or_insert_with(new);
            watched.seen = now;
            if let Some(shift) = watched.detector.push(float(*value), now) {
                self.take(key, (shift, least), (now, wall), &history);
            }
        }
        self.standing.retain(|_, standing| now - standing.since <= STANDS);
        (self.samples >= forecast::LevelShift::LEARN).then(|| {
            let mut standing = self.standing.values().collect::<Vec<_>>();
            standing.sort_by_key(|standing| Reverse(standing.since));
            standing.into_iter().map(|standing| standing.told.clone()).collect()
        })
    }

    fn take(
        &mut self,
        key: &SeriesKey,
        (shift, least): (forecast::Shift, f64),
        (now, wall): (Moment, WallTime),
        history: impl Fn(&Query) -> Vec<Series>,
    ) {
        let before = self.standing.remove(key);
        // What is back where it came from is as it was.
        if before.is_some_and(|before| (shift.after - float(before.told.before)).abs() < least) {
            return;
        }
        if is_usual(key, (&shift, least), wall, &history) {
            return;
        }
        let ago = u64::try_from((now - shift.since).as_millis()).unwrap_or(u64::MAX);
        let told = LevelShift {
            figure: Label::cut(key.figure.name()),
            subject: key.subject.as_ref().map(Subject::named),
            unit: key.figure.unit(),
            before: whole(shift.before),
            after: whole(shift.after),
            since: WallTime(wall.0.saturating_sub(ago)),
            confidence: Confidence::Medium,
            odd: self.odd.beside(key, (now, wall), history),
        };
        self.standing.insert(key.clone(), Standing { since: shift.since, told });
    }
}

/// The smallest change of level that concerns anybody, ours; none of figures that are not watched.
pub(super) fn least(figure: Figure, sample: &Snapshot) -> Option<f64> {
    let least = [
        (Figure::CpuBusy, 150.0),
        (Figure::MemoryAvailable, float(i64::try_from(sample.memory.total_kib / 20).unwrap_or(i64::MAX))),
        // Half a task more for each processor.
        (Figure::Load1, 50.0 * f64::from(sample.processor.cores.max(1))),
        (Figure::DiskAwait, 10_000.0),
        (Figure::NetworkReceived, 1_048_576.0),
        (Figure::NetworkSent, 1_048_576.0),
        (Figure::Temperature, 100.0),
    ];
    least.into_iter().find_map(|(watched, least)| (watched == figure).then_some(least))
}

#[expect(clippy::cast_precision_loss, reason = "sixteen digits are more than any figure has")]
pub(super) fn float(value: i64) -> f64 {
    value as f64
}

#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and not a number is 0")]
fn whole(value: f64) -> i64 {
    value as i64
}
