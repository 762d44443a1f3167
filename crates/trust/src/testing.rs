//! Random numbers that a test can repeat.

use rand_core::{CryptoRng, RngCore};

/// SHA-256 in counter mode: the same seed draws the same numbers on every machine.
pub(crate) struct TestRng {
    seed: String,
    counter: u64,
}

impl TestRng {
    pub(crate) fn new(seed: &str) -> Self {
        Self { seed: seed.to_owned(), counter: 0 }
    }
}

impl RngCore for TestRng {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = crate::Hasher::new().with(self.seed.as_bytes()).with(&self.counter.to_be_bytes()).finish();
            chunk.copy_from_slice(&block.0[..chunk.len()]);
            self.counter += 1;
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for TestRng {}
