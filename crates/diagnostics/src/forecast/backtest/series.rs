//! How made series are measured: what is missing, rounded, or not there because the machine was off.

use super::{
    super::trend::{Point, f64_of, seconds},
    Made, STEP_SECS,
    random::Random,
    steps,
};

/// A kind of series by name, and how one is made.
pub(super) type Kind = (&'static str, fn(&mut Random) -> Made);

/// How a series is looked at.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// Share of samples that are missing.
    pub(super) missing: f64,
    /// What is measured is a multiple of this; whole MiB is what the history keeps.
    pub(super) quantum: i64,
    /// From which hour of the day to which the machine is off.
    pub(super) off_hours: Option<(f64, f64)>,
}

impl Seen {
    pub(super) const EXACTLY: Self = Self { missing: 0.0, quantum: 1024, off_hours: None };

    pub(super) fn is_off(&self, day: f64) -> bool {
        let hour = day.fract() * 24.0;
        self.off_hours.is_some_and(|(from, to)| hour >= from || hour < to)
    }

    /// Share of a day that the machine is on.
    pub(super) fn on_share(&self) -> f64 {
        self.off_hours.map_or(1.0, |(from, to)| (from - to) / 24.0)
    }
}

const GIB: f64 = 1_048_576.0;

/// Values in GiB for so many days; what happens ends the series.
pub(super) fn every_five_minutes(
    random: &mut Random,
    days: usize,
    seen: &Seen,
    mut gib: impl FnMut(f64, &mut Random) -> (f64, bool),
) -> Made {
    let mut made = Made { points: Vec::new(), event_secs: None, ends_secs: 0 };
    for step in 0..days * 288 {
        let day = f64_of(i128::try_from(step).unwrap_or(i128::MAX)) / 288.0;
        let at_secs = BEGINS_SECS + steps(step) * STEP_SECS;
        made.ends_secs = at_secs;
        let (value, happened) = gib(day, random);
        if happened {
            made.event_secs = Some(at_secs);
            break;
        }
        if !seen.is_off(day) && !random.chance(seen.missing) {
            let kib = i64::try_from(seconds(value.max(0.0) * GIB)).unwrap_or(i64::MAX);
            made.points.push(Point { at_secs, value: kib / seen.quantum.max(1) * seen.quantum });
        }
    }
    made
}

/// When every series begins.
pub(super) const BEGINS_SECS: u64 = 1_000_000;

/// How many days of work were done by `day`: they go from nine to seventeen, five times a week.
pub(super) fn work(day: f64) -> f64 {
    let (week, weekday) = ((day / 7.0).floor(), day.rem_euclid(7.0));
    let today = ((weekday.fract() * 24.0 - 9.0) / 8.0).clamp(0.0, 1.0);
    week * 5.0 + if weekday < 5.0 { weekday.floor() + today } else { 5.0 }
}
