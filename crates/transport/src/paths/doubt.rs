//! Finding out that the present path is dead.
//!
//! Silence means something only after a packet that somebody has to answer, and a socket does not see which packets those are. So an
//! end that hears nothing for a while asks, and draws its conclusion only when that is not answered either. It asks only if there is
//! another path that the conclusion could lead to.

use std::time::Duration;

use wire::path::PROBE_BYTES;

use super::{Act, Observed, Paths, earliest};
use crate::{
    sealed::Carrier,
    table::{End, Uptime},
};

/// Silence after which the present path is asked, on top of a part of the round trip: as long as an acknowledgement may be delayed.
const SUSPICIOUS_AFTER: Duration = Duration::from_millis(25);

/// The shortest such silence.
const SUSPICIOUS_LEAST: Duration = Duration::from_millis(30);

/// A question about the present path is repeated so often, because it may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(15);

/// A technician waits at least so long for the answer: a detour that was not needed costs it several round trips.
const TECHNICIAN_WAITS: Duration = Duration::from_millis(90);

/// An agent only tells that it hears nothing, and does so earlier.
const AGENT_WAITS: Duration = Duration::from_millis(30);

/// A direct path that answers questions carries the session's packets too, within this.
const DATA_WITHIN: Duration = Duration::from_millis(6500);

/// A question about the present path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    since: Uptime,
    again_at: Uptime,
}

impl Paths {
    /// Asks the present path when it is silent, and draws the conclusion when it does not answer.
    pub(super) fn doubt_current(
        &mut self,
        now: Uptime,
        observed: Observed,
        acts: &mut Vec<Act>,
        next: &mut Option<Uptime>,
    ) {
        self.watched = false;
        if self.deaf.is_some() || self.lost_since.is_some() || !self.has_spare() {
            return;
        }
        let Some(path) = self.path(self.current) else { return };
        if path.channel.is_none() {
            self.conclude(now);
            return;
        }
        // Some networks let small packets pass and drop what looks like a flow. An idle session says something every 5 s, and that is answered.
        if let Some(data) = path.no_data_since.filter(|_| path.carrier == Carrier::Direct) {
            if now >= data + DATA_WITHIN {
                self.conclude(now);
                return;
            }
            earliest(next, data + DATA_WITHIN);
        }
        let Some(since) = path.unanswered_since else {
            self.watched = true;
            return;
        };
        let rtt = path.rtt.max(observed.rtt);
        let suspicious_at = since + (rtt / 4 + SUSPICIOUS_AFTER).max(SUSPICIOUS_LEAST);
        if now < suspicious_at {
            earliest(next, suspicious_at);
            return;
        }
        let doubt = self.doubt.unwrap_or(Doubt { since: now, again_at: now });
        let least = match self.end {
            End::Agent => AGENT_WAITS,
            End::Technician => TECHNICIAN_WAITS,
        };
        let verdict_at = doubt.since + (rtt + rtt / 4 + SUSPICIOUS_AFTER).max(least);
        if now >= verdict_at {
            self.conclude(now);
            return;
        }
        let mut again_at = doubt.again_at;
        if now >= again_at {
            again_at = now + ASK_AGAIN.max(rtt / 4);
            self.ask(self.current, PROBE_BYTES, now, acts);
        }
        self.doubt = Some(Doubt { again_at, ..doubt });
        earliest(next, again_at.min(verdict_at));
    }

    /// The present path is dead.
    fn conclude(&mut self, now: Uptime) {
        self.doubt = None;
        match self.end {
            End::Agent => self.go_deaf(now),
            End::Technician => self.look_elsewhere(now),
        }
    }
}
