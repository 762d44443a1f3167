//! What time it is: the one place that asks.
//!
//! [`now`] decides and keeps running while the machine is suspended; [`wall_time`] is only shown or recorded.

use std::time::{Duration, Instant, SystemTime};

use wire::time::{Moment, WallTime};

/// Longest sleep in one piece. Timers of the runtime stand still during suspend, so after waking up a deadline is noticed
/// at most this much late.
const SLICE: Duration = Duration::from_secs(30);

/// The present moment on a clock that never goes back and counts suspended time (`CLOCK_BOOTTIME`).
#[cfg(target_os = "linux")]
pub fn now() -> Moment {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).expect("the boot clock starts at zero");
    let nanoseconds = u32::try_from(time.tv_nsec).expect("the kernel gives 0..=999,999,999");
    Moment::from_origin(Duration::new(seconds, nanoseconds))
}

/// The present moment on a clock that never goes back.
///
/// This system's clock in the standard library may stand still while the machine is suspended, so a deadline may then be met
/// late by the time of the suspend.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "the one place that asks what time it is")]
pub fn now() -> Moment {
    use std::sync::OnceLock;

    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    Moment::from_origin(ORIGIN.get_or_init(Instant::now).elapsed())
}

/// The present moment on the clock that QUIC's timers run by. It may stand still while the machine is suspended; it is for
/// nothing else.
#[expect(clippy::disallowed_methods, reason = "the one place that asks what time it is")]
pub(crate) fn quic_now() -> Instant {
    Instant::now()
}

/// The time as the machine's owner set the clock; the epoch if it is set before 1970.
#[expect(clippy::disallowed_methods, reason = "the one place that asks what time it is")]
pub fn wall_time() -> WallTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// How long it is to the beat nearest to the end of `wait` ([`Moment::nearest_beat`]), for what happens again and again and need not
/// be exact. A `wait` of whole beats, taken at a beat, is kept.
pub fn until_beat(wait: Duration) -> Duration {
    let now = now();
    (now + wait).nearest_beat() - now
}

/// Returns once `deadline` has come.
///
/// Suspended time counts. Waking up from suspend, this returns within 30 s of a deadline that passed meanwhile; whoever
/// decides by the deadline compares it with [`now`] instead of relying on this.
///
/// # Cancel safety
///
/// Dropping the future has no effect.
pub async fn sleep_until(deadline: Moment) {
    loop {
        let left = deadline - now();
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(SLICE)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let mut last = now();
        for _ in 0..1000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn the_wall_clock_is_past_the_year_2020() {
        assert!(wall_time() > WallTime(1_577_836_800_000));
    }

    #[tokio::test]
    async fn a_deadline_that_has_come_is_not_waited_for() {
        sleep_until(Moment::default()).await;
        sleep_until(now()).await;
    }

    #[tokio::test]
    async fn nobody_is_woken_before_the_deadline() {
        let deadline = now() + Duration::from_millis(20);
        sleep_until(deadline).await;
        assert!(now() >= deadline);
    }
}
