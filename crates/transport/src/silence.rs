//! How long the other end of a session has not been heard, and whether that is because this machine slept.
//!
//! QUIC's own timers stand still while a machine is suspended, and those of the other machine do not. What people are told, and when a session is
//! given up, goes by a clock that counts suspended time, so that both ends come to the same answer. Only what was sealed for this session
//! counts as heard. A relay that held such packets back can let them go one by one and have an end that is gone look alive for some minutes;
//! it cannot make any.

use std::time::Duration;

use wire::time::Moment;

/// A silence of this length is told to people. A quiet session says something every 5 s, and one such word, or the answer, may be lost.
pub const ODD_SILENCE: Duration = Duration::from_secs(10);

/// How long a session waits for its other end by default.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// The shortest patience that a program may be told to have.
pub const PATIENCE_LEAST: Duration = Duration::from_secs(30);

/// The longest one. QUIC gives up a little later, should nobody look.
pub const PATIENCE_MOST: Duration = Duration::from_secs(1800);

/// Programs look once in a second or two. When two looks are so far apart, this machine or this program stood still.
const STOOD_STILL: Duration = Duration::from_secs(8);

/// How long nothing was heard of the other end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Silence {
    /// Since the last packet that only the other end can have made. Counts while this machine is suspended.
    pub lasts: Duration,
    /// This machine was suspended, or this program stopped, since then.
    pub slept_here: bool,
}

impl Silence {
    /// Whether people are to be told.
    pub fn is_odd(&self) -> bool {
        self.lasts >= ODD_SILENCE
    }
}

/// Listens for signs of life.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Frames of the other end so far.
    heard: u64,
    heard_at: Moment,
    looked_at: Moment,
    slept_here: bool,
}

impl Listening {
    pub(crate) fn new(now: Moment) -> Self {
        Self { heard: 0, heard_at: now, looked_at: now, slept_here: false }
    }

    /// Takes how many frames of the other end there were so far.
    pub(crate) fn look(&mut self, heard: u64, now: Moment) -> Silence {
        let before = self.heard_at;
        let stood_still = now - self.looked_at >= STOOD_STILL;
        self.looked_at = now;
        if heard == self.heard {
            self.slept_here |= stood_still;
        } else {
            (self.heard, self.heard_at, self.slept_here) = (heard, now, false);
        }
        if stood_still {
            // Whoever was heard since waking up may have said it long ago, and the sleep was as long as it was.
            return Silence { lasts: now - before, slept_here: true };
        }
        Silence { lasts: now - self.heard_at, slept_here: self.slept_here }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_origin(Duration::from_secs(1000));

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_is_odd_after_ten_seconds_and_over_with_the_next_word() {
        let mut listening = Listening::new(START);
        let mut look = |heard, at| listening.look(heard, START + secs(at));
        assert_eq!(look(1, 0), Silence::default());
        for at in 1..10 {
            assert!(!look(1, at).is_odd(), "{at}");
        }
        assert!(look(1, 10).is_odd());
        assert_eq!(look(1, 300), Silence { lasts: secs(300), slept_here: true });
        assert_eq!(look(2, 301), Silence::default());
    }

    #[test]
    fn a_night_counts_in_full_and_is_known_as_one() {
        let mut listening = Listening::new(START);
        listening.look(1, START + secs(1));
        let night = secs(8 * 3600);
        let woken = listening.look(1, START + secs(2) + night);
        assert_eq!(woken, Silence { lasts: secs(1) + night, slept_here: true });
        assert!(woken.lasts > PATIENCE_MOST, "no patience is as long");
        let later = listening.look(1, START + secs(3) + night);
        assert!(later.slept_here, "until something is heard");
        assert!(!listening.look(2, START + secs(4) + night).slept_here);
    }

    #[test]
    fn a_night_is_not_forgotten_because_something_is_heard_before_anybody_looks() {
        let mut listening = Listening::new(START);
        listening.look(1, START + secs(1));
        let night = secs(8 * 3600);
        let woken = listening.look(2, START + secs(2) + night);
        assert_eq!(woken, Silence { lasts: secs(1) + night, slept_here: true });
        assert_eq!(listening.look(2, START + secs(3) + night), Silence { lasts: secs(1), slept_here: false });
    }

    #[test]
    fn the_other_ends_silence_is_not_this_ones_sleep() {
        let mut listening = Listening::new(START);
        let looks = (1..=100).map(|at| listening.look(0, START + secs(at)));
        assert_eq!(looks.last(), Some(Silence { lasts: secs(100), slept_here: false }));
    }
}
