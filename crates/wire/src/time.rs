//! Time as an argument.
//!
//! Core crates never ask what time it is; they are told. [`Moment`] decides (grants, deadlines) and
//! must keep running while the machine is suspended; [`WallTime`] is only ever shown or recorded, because
//! anybody at the machine can set it.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// A point on a clock that never goes back and counts suspended time. Its origin means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

/// Moments so far apart are *beats*: at one of them whatever only looks at something now and then does so. A processor that sleeps is
/// woken once for all of it.
pub const BEAT: Duration = Duration::from_millis(250);

impl Moment {
    /// The moment `since_origin` after the clock's origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// Time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// The beat that is nearest, half a [`BEAT`] earlier or later at most.
    pub fn nearest_beat(self) -> Self {
        (self + BEAT / 2).beat_before()
    }

    /// The first beat that is not earlier.
    pub fn next_beat(self) -> Self {
        (self + (BEAT - Duration::from_nanos(1))).beat_before()
    }

    fn beat_before(self) -> Self {
        let into = self.0.as_nanos() % BEAT.as_nanos();
        Self(self.0.saturating_sub(Duration::from_nanos(u64::try_from(into).expect("less than a beat"))))
    }

    /// Time from `earlier` to this moment, zero if `earlier` is not earlier.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, step: Duration) -> Self {
        Self(self.0.saturating_add(step))
    }
}

impl Sub<Moment> for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// Milliseconds since the Unix epoch, as the machine's owner set the clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct WallTime(pub u64);

impl WallTime {
    /// The civil date and time in UTC: year, month, day, hour, minute, second.
    ///
    /// Howard Hinnant's `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>).
    pub fn civil(self) -> (i64, u32, u32, u32, u32, u32) {
        let seconds = self.0 / 1000;
        let days = i64::try_from(seconds / 86_400).expect("2^64 ms are fewer than 2^63 days") + 719_468;
        let of_day = u32::try_from(seconds % 86_400).expect("below 86,400");
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = u32::try_from(day_of_year - (153 * shifted_month + 2) / 5 + 1).expect("1..=31");
        let month =
            u32::try_from(if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 }).expect("1..=12");
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, month, day, of_day / 3600, of_day / 60 % 60, of_day % 60)
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC with seconds, such as `2026-11-22T06:35:04Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_reads_as_a_utc_date() {
        assert_eq!(WallTime(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(WallTime(951_782_400_000).to_string(), "2000-02-29T00:00:00Z");
        assert_eq!(WallTime(1_795_329_304_000).to_string(), "2026-11-22T06:35:04Z");
        assert!(WallTime(u64::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn beats_are_the_same_for_everybody() {
        let at = |millis: u64| Moment::from_origin(Duration::from_millis(millis));
        for (moment, nearest, next) in [(0, 0, 0), (1, 0, 250), (124, 0, 250), (125, 250, 250), (250, 250, 250)] {
            assert_eq!((at(moment).nearest_beat(), at(moment).next_beat()), (at(nearest), at(next)), "{moment}");
        }
        let end = Moment::from_origin(Duration::MAX);
        assert!(end.next_beat() <= end && end - end.nearest_beat() < BEAT);
    }

    #[test]
    fn a_moment_never_overflows() {
        let end = Moment::from_origin(Duration::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Moment::default() - end, Duration::ZERO);
    }
}
