//! Numbers that are the same on every machine, and the kinds of noise that machines have.

use super::super::trend::f64_of;

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from the same seed on every machine.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// In `from..to`.
    pub(super) fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * f64_of(i128::from(self.next() >> 11)) / f64_of(1 << 53)
    }

    /// Whether something happens that does so in this share of cases.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.between(0.0, 1.0) < share
    }

    /// About normal, with a standard deviation of 1: the sum of twelve.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f64>() - 6.0
    }

    /// Exponential with a mean of 1: waiting times, sizes of bursts.
    pub(super) fn waiting(&mut self) -> f64 {
        -self.between(f64::MIN_POSITIVE, 1.0).ln()
    }

    /// Laplace's distribution with a standard deviation of 1: now and then a value is far away.
    pub(super) fn heavy(&mut self) -> f64 {
        (self.waiting() - self.waiting()) / std::f64::consts::SQRT_2
    }
}
