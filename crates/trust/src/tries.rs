//! How often and how long a session code may be tried.

use wire::{
    limits::{CODE_LIFETIME, CODE_TRIES},
    time::Moment,
};

/// Counts the proofs of one session code: void after [`CODE_TRIES`] failures, [`CODE_LIFETIME`] after it was drawn, and once used.
///
/// A try is charged *before* a proof is sent (technician) or checked (agent) and counts unless [`CodeTries::succeeded`] follows.
/// Charging afterwards would let somebody in the middle take the technician's proof, compare it with a guess and drop the
/// connection, as often as they like. The technician's side counts from the moment at which the code was typed.
///
/// ```
/// # use trust::tries::{CodeTries, CodeVoid};
/// # use wire::time::Moment;
/// # let now = Moment::default();
/// let mut tries = CodeTries::new(now);
/// assert_eq!(tries.charge(now), Ok(())); // a wrong proof
/// assert_eq!(tries.charge(now), Ok(())); // another
/// assert_eq!(tries.charge(now), Err(CodeVoid::TriesUsedUp));
/// ```
#[derive(Debug, Clone)]
pub struct CodeTries {
    lapses_at: Moment,
    charged: u32,
    used: bool,
}

/// Why a session code is no longer good for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeVoid {
    /// [`CODE_LIFETIME`] is over.
    #[error("the code has lapsed; a new one is needed")]
    Lapsed,
    /// [`CODE_TRIES`] proofs failed.
    #[error("the code was entered wrongly too often; a new one is needed")]
    TriesUsedUp,
    /// A technician attached by it.
    #[error("the code has been used; each code is for one session")]
    Used,
}

impl CodeTries {
    /// Starts counting for a code that was drawn or typed at `now`.
    pub fn new(now: Moment) -> Self {
        Self { lapses_at: now + CODE_LIFETIME, charged: 0, used: false }
    }

    /// When the code lapses.
    pub fn lapses_at(&self) -> Moment {
        self.lapses_at
    }

    /// Failed proofs so far, a charged one included that has not succeeded.
    pub fn failures(&self) -> u32 {
        if self.used { self.charged.saturating_sub(1) } else { self.charged }
    }

    /// Whether the code is still good at `now`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, now: Moment) -> Result<(), CodeVoid> {
        if self.used {
            Err(CodeVoid::Used)
        } else if self.charged >= CODE_TRIES {
            Err(CodeVoid::TriesUsedUp)
        } else if now >= self.lapses_at {
            Err(CodeVoid::Lapsed)
        } else {
            Ok(())
        }
    }

    /// Counts one try, right before a proof is sent or checked.
    ///
    /// # Errors
    ///
    /// As [`CodeTries::check`]: the proof must be neither sent nor checked, and nothing was counted.
    pub fn charge(&mut self, now: Moment) -> Result<(), CodeVoid> {
        self.check(now)?;
        self.charged += 1;
        Ok(())
    }

    /// The charged proof was right: the code is used and never good again.
    pub fn succeeded(&mut self) {
        self.used = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_wrong_proofs_void_a_code() {
        let now = Moment::default();
        let mut tries = CodeTries::new(now);
        for failures in 0..CODE_TRIES {
            assert_eq!((tries.check(now), tries.failures()), (Ok(()), failures));
            tries.charge(now).unwrap();
        }
        assert_eq!(tries.charge(now), Err(CodeVoid::TriesUsedUp));
        assert_eq!(tries.failures(), CODE_TRIES);
    }

    #[test]
    fn a_code_lapses_ten_minutes_after_it_was_drawn() {
        let drawn = Moment::from_origin(Duration::from_secs(1000));
        let mut tries = CodeTries::new(drawn);
        assert_eq!(tries.lapses_at(), drawn + Duration::from_secs(600));
        assert_eq!(tries.check(drawn + Duration::from_millis(599_999)), Ok(()));
        assert_eq!(tries.charge(drawn + Duration::from_secs(600)), Err(CodeVoid::Lapsed));
        assert_eq!(tries.failures(), 0);
    }

    #[test]
    fn a_code_is_used_once() {
        let now = Moment::default();
        let mut tries = CodeTries::new(now);
        tries.charge(now).unwrap();
        tries.charge(now).unwrap();
        tries.succeeded();
        assert_eq!(tries.charge(now), Err(CodeVoid::Used));
        assert_eq!(tries.failures(), 1);
    }

    #[test]
    fn tries_at_the_same_time_are_counted_one_by_one() {
        let now = Moment::default();
        let mut tries = CodeTries::new(now);
        let begun = (0..10).filter(|_| tries.charge(now).is_ok()).count();
        assert_eq!(begun, 2);
    }
}
