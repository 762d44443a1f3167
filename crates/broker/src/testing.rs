//! Sources of randomness for unit tests: repeatable, narrow, or broken.

use rand_core::{CryptoRng, Error, RngCore};

/// SplitMix64 (Steele, Lea, Flood 2014), masked. Not for secrets.
pub(crate) struct TestRng {
    state: u64,
    mask: u32,
}

impl TestRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, mask: u32::MAX }
    }

    /// Draws only numbers below 2^`bits`.
    pub(crate) fn narrow(seed: u64, bits: u32) -> Self {
        Self { state: seed, mask: (1 << bits) - 1 }
    }
}

impl RngCore for TestRng {
    fn next_u32(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((word ^ (word >> 31)) >> 32).expect("32 bits are left") & self.mask
    }

    fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next_u32().to_le_bytes()[0]);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for TestRng {}

/// Always the same number.
pub(crate) struct StuckRng;

impl RngCore for StuckRng {
    fn next_u32(&mut self) -> u32 {
        7
    }

    fn next_u64(&mut self) -> u64 {
        7
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(7);
        Ok(())
    }
}

impl CryptoRng for StuckRng {}
