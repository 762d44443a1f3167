//! Time that moves only when a test says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use wire::time::{Moment, WallTime};

/// A clock for everything that takes `now` as an argument. Clones show the same time.
///
/// The monotonic and the wall time move apart only by [`ManualClock::set_wall`], as when a person sets the machine's clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    since_origin_micros: Arc<AtomicU64>,
    wall_at_origin_ms: Arc<AtomicU64>,
}

/// 2026-01-01T00:00:00Z, where every manual clock begins.
pub const START: WallTime = WallTime(1_767_225_600_000);

impl ManualClock {
    /// A clock that shows [`START`]. Its moment is an hour after its origin, so that earlier moments exist.
    pub fn new() -> Self {
        let since_origin = Duration::from_secs(3600);
        let clock = Self { since_origin_micros: Arc::default(), wall_at_origin_ms: Arc::default() };
        clock.advance(since_origin);
        clock.set_wall(START);
        clock
    }

    /// Now, for decisions.
    pub fn now(&self) -> Moment {
        Moment::from_origin(self.since_origin())
    }

    /// Now, for records.
    pub fn wall(&self) -> WallTime {
        let elapsed_ms = u64::try_from(self.since_origin().as_millis()).unwrap_or(u64::MAX);
        WallTime(self.wall_at_origin_ms.load(Ordering::SeqCst).wrapping_add(elapsed_ms))
    }

    /// Moves both times forward and returns the new moment.
    pub fn advance(&self, step: Duration) -> Moment {
        let micros = u64::try_from(step.as_micros()).unwrap_or(u64::MAX);
        self.since_origin_micros.fetch_add(micros, Ordering::SeqCst);
        self.now()
    }

    /// Moves forward to `moment`; does nothing if that has passed.
    pub fn advance_to(&self, moment: Moment) -> Moment {
        self.advance(moment.saturating_since(self.now()))
    }

    /// Sets the wall time, forwards or back. The monotonic time does not notice.
    pub fn set_wall(&self, wall: WallTime) {
        let elapsed_ms = u64::try_from(self.since_origin().as_millis()).unwrap_or(u64::MAX);
        self.wall_at_origin_ms.store(wall.0.wrapping_sub(elapsed_ms), Ordering::SeqCst);
    }

    fn since_origin(&self) -> Duration {
        Duration::from_micros(self.since_origin_micros.load(Ordering::SeqCst))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_times_move_together_until_somebody_sets_the_wall_clock() {
        let clock = ManualClock::new();
        let start = clock.now();
        assert_eq!(clock.wall(), START);
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now() - start, Duration::from_secs(5));
        assert_eq!(clock.wall().0, START.0 + 5000);

        clock.set_wall(WallTime(7));
        assert_eq!(clock.now() - start, Duration::from_secs(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.wall(), WallTime(1007));
    }

    #[test]
    fn time_never_goes_back() {
        let clock = ManualClock::new();
        let later = clock.now() + Duration::from_secs(9);
        assert_eq!(clock.advance_to(later), later);
        assert_eq!(clock.advance_to(Moment::default()), later);
    }
}
