//! How many messages a technician may send.

use std::time::Duration;

use wire::time::Moment;

/// Messages that may come at once. Every message can cost a record, so a technician must not be able to fill the disk.
const BURST: u32 = 128;

/// Time after which one more may come: far more than people cause, even by scripts, as each question waits for a person.
const REFILL: Duration = Duration::from_millis(125);

/// A bucket of [`BURST`] messages that one flows into every [`REFILL`].
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    counted_at: Moment,
}

impl Budget {
    pub(super) fn new(now: Moment) -> Self {
        Self { left: BURST, counted_at: now }
    }

    /// Takes one message out. Returns whether there was one.
    pub(super) fn spend(&mut self, now: Moment) -> bool {
        let refills = (now - self.counted_at).as_nanos() / REFILL.as_nanos();
        match u32::try_from(refills) {
            Ok(refills) if refills < BURST => {
                self.left = BURST.min(self.left + refills);
                self.counted_at = self.counted_at + REFILL * refills;
            }
            Ok(_) | Err(_) => *self = Self::new(now),
        }
        let spent = self.left > 0;
        self.left = self.left.saturating_sub(1);
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_message_each_eighth_of_a_second() {
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut budget = Budget::new(start);
        assert!((0..BURST).all(|_| budget.spend(start)));
        assert!(!budget.spend(start));
        assert!(!budget.spend(start + REFILL / 2));
        assert!(budget.spend(start + REFILL));
        assert!(!budget.spend(start + REFILL));
    }

    #[test]
    fn a_long_silence_fills_the_budget_and_no_more() {
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut budget = Budget::new(start);
        let later = start + Duration::from_secs(1 << 40);
        assert!((0..BURST).all(|_| budget.spend(later)));
        assert!(!budget.spend(later));
    }
}
