//! From counters to rates. A counter that went back (it wrapped, or its device was replaced) did not grow.

use std::time::Duration;

/// What `part` in `interval` is in a second; 0 if no time passed.
pub(crate) fn per_second(part: u64, interval: Duration) -> u64 {
    let Some(rate) = (u128::from(part) * 1_000_000_000).checked_div(interval.as_nanos()) else { return 0 };
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// As [`per_second`], for a rate that four billion are enough for.
pub(crate) fn per_second_u32(part: u64, interval: Duration) -> u32 {
    u32::try_from(per_second(part, interval)).unwrap_or(u32::MAX)
}

/// `part` in thousandths of `whole`, at most all of it; 0 of nothing.
#[cfg(any(target_os = "linux", test))]
pub(crate) fn permille(part: u64, whole: u64) -> u16 {
    let share = (u128::from(part) * 1000).checked_div(u128::from(whole)).unwrap_or(0).min(1000);
    u16::try_from(share).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_in_no_time() {
        assert_eq!(per_second(5, Duration::ZERO), 0);
        assert_eq!(permille(5, 0), 0);
    }

    #[test]
    fn rates_neither_overflow_nor_exceed_the_whole() {
        assert_eq!(per_second(u64::MAX, Duration::from_nanos(1)), u64::MAX);
        assert_eq!(per_second_u32(u64::MAX, Duration::from_secs(1)), u32::MAX);
        assert_eq!(per_second(300, Duration::from_millis(1500)), 200);
        assert_eq!(permille(u64::MAX, 1), 1000);
        assert_eq!(permille(1, 3), 333);
    }
}
