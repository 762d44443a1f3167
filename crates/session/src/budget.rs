//! How many messages a technician may send, how many probes it may have made, and how many questions it lets its commands ask.

use std::time::Duration;

use wire::time::Moment;

/// Messages that may come at once. Every message can cost a record, so a technician must not be able to fill the disk. A long one counts
/// as several: see [`cost`].
const BURST: u32 = 128;

/// Time after which one more may come: far more than people cause, even by scripts, as each question waits for a person.
const REFILL: Duration = Duration::from_millis(125);

/// Bytes of a record that count as one message.
const RECORD_BYTES: usize = 1024;

/// What a message counts for whose record holds `recorded_bytes` of the technician's own texts.
pub(crate) fn cost(recorded_bytes: usize) -> u32 {
    u32::try_from(recorded_bytes / RECORD_BYTES).unwrap_or(u32::MAX).saturating_add(1).min(BURST)
}

/// Probes of the network that may come at once: each of every kind of target, and no more than a section holds.
const PROBES: u32 = 16;

/// Time after which one more may come: the machine knocks at no door more often.
const PROBES_REFILL: Duration = Duration::from_secs(10);

/// Inspections that a technician's commands may ask for at once, and the time after which there may be one more: half of what an agent
/// takes, so that the other messages and what piles up on the way find room.
const QUESTIONS: u32 = BURST / 2;
const QUESTIONS_REFILL: Duration = REFILL.saturating_mul(2);

/// A bucket that one more flows into now and then.
#[derive(Debug)]
pub(crate) struct Budget {
    burst: u32,
    refill: Duration,
    left: u32,
    counted_at: Moment,
}

impl Budget {
    /// Of [`BURST`] messages and one more every [`REFILL`].
    pub(crate) fn new(now: Moment) -> Self {
        Self { burst: BURST, refill: REFILL, left: BURST, counted_at: now }
    }

    /// Of [`PROBES`] probes and one more every [`PROBES_REFILL`].
    pub(crate) fn of_probes(now: Moment) -> Self {
        Self { burst: PROBES, refill: PROBES_REFILL, left: PROBES, counted_at: now }
    }

    /// Of [`QUESTIONS`] inspections and one more every [`QUESTIONS_REFILL`].
    pub(crate) fn of_questions(now: Moment) -> Self {
        Self { burst: QUESTIONS, refill: QUESTIONS_REFILL, left: QUESTIONS, counted_at: now }
    }

    /// Takes as many messages out as one of this [`cost`] counts for. Returns whether they were there.
    pub(crate) fn spend(&mut self, cost: u32, now: Moment) -> bool {
        let refills = (now - self.counted_at).as_nanos() / self.refill.as_nanos();
        match u32::try_from(refills) {
            Ok(refills) if refills < self.burst => {
                self.left = self.burst.min(self.left + refills);
                self.counted_at = self.counted_at + self.refill * refills;
            }
            Ok(_) | Err(_) => (self.left, self.counted_at) = (self.burst, now),
        }
        let spent = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
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
        assert!((0..BURST).all(|_| budget.spend(1, start)));
        assert!(!budget.spend(1, start));
        assert!(!budget.spend(1, start + REFILL / 2));
        assert!(budget.spend(1, start + REFILL));
        assert!(!budget.spend(1, start + REFILL));
    }

    #[test]
    fn probes_come_a_few_at_once_and_then_slowly() {
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut budget = Budget::of_probes(start);
        assert!((0..PROBES).all(|_| budget.spend(1, start)));
        assert!(!budget.spend(1, start + PROBES_REFILL / 2));
        assert!(budget.spend(1, start + PROBES_REFILL));
        assert!(!budget.spend(1, start + PROBES_REFILL));
    }

    #[test]
    fn a_long_silence_fills_the_budget_and_no_more() {
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut budget = Budget::new(start);
        let later = start + Duration::from_secs(1 << 40);
        assert!((0..BURST).all(|_| budget.spend(1, later)));
        assert!(!budget.spend(1, later));
    }

    #[test]
    fn long_records_use_the_budget_up_sooner() {
        let start = Moment::from_origin(Duration::from_secs(1000));
        let mut budget = Budget::new(start);
        assert_eq!((cost(0), cost(RECORD_BYTES - 1), cost(96 * 1024)), (1, 1, 97));
        assert!(budget.spend(cost(96 * 1024), start));
        assert!(!budget.spend(cost(96 * 1024), start + REFILL * 60));
        let mut idle = Budget::new(start);
        assert!(idle.spend(cost(usize::MAX), start), "no single message is out of reach");
    }
}
