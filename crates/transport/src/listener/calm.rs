//! When a shard lets beats come together.

use std::time::{Duration, Instant};

/// How long a shard that hears nothing but beats lets some come together. Each time that it wakes costs more than ten of them.
pub(super) const TOGETHER: Duration = Duration::from_millis(1);

/// It does so only if nobody else has said anything for so long: whoever begins to is held up once, by [`TOGETHER`] at most.
const CALM: Duration = Duration::from_millis(50);

/// And only if no packet of a session was forwarded for so long: somebody who types pauses for longer than [`CALM`] all the time. Above the
/// interval at which a session says something in any case.
const SESSION: Duration = Duration::from_secs(10);

/// Whether a shard hears nothing but beats, one after the other.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// When somebody else said something last.
    others_at: Option<Instant>,
    /// When a session's packet was forwarded last, and how many were by then.
    session_at: Option<Instant>,
    forwarded: u64,
    /// When the last batch came that was nothing but beats.
    beats_at: Option<Instant>,
    /// It came soon after the one before.
    crowded: bool,
}

impl Calm {
    /// A batch has come, with so many beats in it and so many other packets. `forwarded` packets of sessions were forwarded so far.
    pub(super) fn heard(&mut self, beats: usize, others: usize, forwarded: u64, now: Instant) {
        if forwarded != self.forwarded {
            (self.forwarded, self.session_at) = (forwarded, Some(now));
        }
        if others > 0 {
            self.others_at = Some(now);
        }
        if beats > 0 {
            self.crowded = self.beats_at.is_some_and(|before| now.duration_since(before) <= 2 * TOGETHER);
            self.beats_at = Some(now);
        }
    }

    /// Whether it is worth it, and harmless, to let beats come together now.
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.crowded
            && self.beats_at.is_some_and(|at| now.duration_since(at) <= TOGETHER)
            && self.others_at.is_none_or(|at| now.duration_since(at) > CALM)
            && self.session_at.is_none_or(|at| now.duration_since(at) > SESSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const MS: Duration = Duration::from_millis(1);

    /// A shard that has heard beats in two batches, one after the other.
    fn crowded() -> (Calm, Instant) {
        let (mut calm, start) = (Calm::default(), clock::quic_now());
        calm.heard(1, 0, 0, start);
        assert!(!calm.waits(start), "one batch is no crowd");
        calm.heard(1, 0, 0, start + MS);
        (calm, start + MS)
    }

    #[test]
    fn it_waits_while_beats_come_close_together_and_nothing_else() {
        let (mut calm, now) = crowded();
        assert!(calm.waits(now));
        assert!(!calm.waits(now + 2 * MS), "they have stopped");
        calm.heard(1, 0, 0, now + 5 * MS);
        assert!(!calm.waits(now + 5 * MS), "they are few");
    }

    #[test]
    fn it_does_not_wait_while_anybody_else_speaks() {
        let (mut calm, mut now) = crowded();
        calm.heard(3, 1, 0, now);
        assert!(!calm.waits(now));
        for _ in 0..50 {
            now += MS;
            calm.heard(1, 0, 0, now);
            assert!(!calm.waits(now));
        }
        now += MS;
        calm.heard(1, 0, 0, now);
        assert!(calm.waits(now), "nobody has said anything for a while");
    }

    #[test]
    fn it_does_not_wait_while_there_is_a_session() {
        let (mut calm, start) = crowded();
        calm.heard(1, 1, 7, start);
        for seconds in [1, 5, 10] {
            let now = start + Duration::from_secs(seconds);
            calm.heard(1, 0, 7, now - MS);
            calm.heard(1, 0, 7, now);
            assert!(!calm.waits(now), "somebody reads or thinks, and will go on");
        }
        let now = start + SESSION + 2 * MS;
        calm.heard(1, 0, 7, now - MS);
        calm.heard(1, 0, 7, now);
        assert!(calm.waits(now), "it has ended, or goes another way");
    }
}
