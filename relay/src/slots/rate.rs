//! How much one side of a channel may send.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::duration_nanos;

/// How far ahead of its rate a sender may get: what a congestion controller sends in a burst.
const BURST: Duration = Duration::from_millis(100);

/// Fits several of the largest trains, however low the rate.
const LEAST_BURST_BYTES: u64 = 256 * 1024;

/// Bytes per second, and how many at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    bytes_per_sec: NonZeroU64,
    burst_nanos: u64,
}

impl Rate {
    pub(super) fn new(bytes_per_sec: NonZeroU64) -> Self {
        let mut rate = Self { bytes_per_sec, burst_nanos: 0 };
        rate.burst_nanos = duration_nanos(BURST).max(rate.nanos(LEAST_BURST_BYTES));
        rate
    }

    /// Time that sending so much takes.
    fn nanos(self, bytes: u64) -> u64 {
        bytes.saturating_mul(1_000_000_000) / self.bytes_per_sec
    }
}

/// How much of a rate is used: the moment at which all of it is back (generic cell rate algorithm, ITU-T I.371).
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at_nanos: AtomicU64,
}

impl Bucket {
    pub(super) fn reset(&self) {
        self.full_at_nanos.store(0, Relaxed);
    }

    /// Uses `bytes`, if there are so many left.
    pub(super) fn charge(&self, rate: Rate, bytes: u64, now_nanos: u64) -> bool {
        let limit = now_nanos.saturating_add(rate.burst_nanos);
        let charged = self.full_at_nanos.fetch_update(Relaxed, Relaxed, |full_at| {
            let full_at = full_at.max(now_nanos).saturating_add(rate.nanos(bytes));
            (full_at <= limit).then_some(full_at)
        });
        charged.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bytes_per_sec: u64) -> Rate {
        Rate::new(NonZeroU64::new(bytes_per_sec).unwrap())
    }

    #[test]
    fn a_sender_gets_its_rate_and_no_more() {
        let (rate, bucket) = (rate(16_000_000), Bucket::default());
        // Offers twice the rate for ten seconds, a train of ten packets at a time.
        let mut passed = 0u64;
        for train in 0..(2 * 16_000_000 * 10 / 12_000) {
            let now = 5_000_000_000 + train * 375_000;
            if bucket.charge(rate, 12_000, now) {
                passed += 12_000;
            }
        }
        let burst = 1_600_000;
        assert!((160_000_000..=160_000_000 + burst + 12_000).contains(&passed), "{passed}");
    }

    #[test]
    fn the_slowest_rate_lets_a_whole_train_pass() {
        let (rate, bucket) = (rate(125_000), Bucket::default());
        assert!(bucket.charge(rate, 65_536 + 64 * 48, 1));
    }

    #[test]
    fn silence_saves_up_no_more_than_the_burst() {
        let (rate, bucket) = (rate(10_000_000), Bucket::default());
        let day = 86_400 * 1_000_000_000;
        assert!(bucket.charge(rate, 1000, day));
        let passed = (0..10_000).filter(|_| bucket.charge(rate, 1000, 2 * day)).count();
        assert_eq!(passed, 1000, "100 ms of 10 MB/s");
    }
}
