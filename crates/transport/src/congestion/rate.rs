//! How fast a path delivers: a sample for each acknowledgement, counted in round trips.
//!
//! The estimator of draft-ietf-ccwg-bbr-03 section 4.5.2 (first draft-cheng-iccrg-delivery-rate-estimation): what was delivered between
//! the sending of a packet and its acknowledgement, divided by the longer of the time that the sending and that the
//! acknowledging of it took. Neither a burst of acknowledgements nor a burst of packets looks like a fast path.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Bursts in flight that are remembered. More than that many are counted with the oldest one that is known.
const BURSTS: usize = 8192;

/// What was true when a burst was sent.
#[derive(Debug, Clone, Copy)]
struct Burst {
    sent: Instant,
    delivered: u64,
    delivered_at: Instant,
    /// When the first packet of the flight was sent that this one belongs to.
    first_sent: Instant,
}

/// One acknowledgement's sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Bytes a second; `None` where the time was too short to tell.
    pub(super) rate: Option<u64>,
    /// Whether it is the first of a new round trip.
    pub(super) round_starts: bool,
}

#[derive(Debug, Clone)]
pub(super) struct RateSampler {
    bursts: VecDeque<Burst>,
    delivered: u64,
    delivered_at: Instant,
    first_sent: Instant,
    /// A round trip ends when something that was sent after this much had been delivered is acknowledged.
    round_ends_at: u64,
}

impl RateSampler {
    pub(super) fn new(now: Instant) -> Self {
        Self { bursts: VecDeque::new(), delivered: 0, delivered_at: now, first_sent: now, round_ends_at: 0 }
    }

    pub(super) fn on_sent(&mut self, now: Instant, nothing_in_flight: bool) {
        if nothing_in_flight {
            // A pause is no time in which anything could have been delivered.
            self.first_sent = now;
            self.delivered_at = now;
        }
        if self.bursts.back().is_some_and(|last| last.sent == now) {
            return;
        }
        if self.bursts.len() == BURSTS {
            self.bursts.pop_front();
        }
        self.bursts.push_back(Burst {
            sent: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent: self.first_sent,
        });
    }

    /// `shortest`: below this time nothing can be told, as acknowledgements come in bursts themselves.
    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, shortest: Duration) -> Sample {
        self.delivered += bytes;
        self.delivered_at = now;
        let place = self.bursts.partition_point(|burst| burst.sent <= sent).saturating_sub(1);
        let Some(burst) = self.bursts.get(place).copied() else { return Sample { rate: None, round_starts: false } };
        // The flight is measured from its last packet that is known to have arrived.
        self.first_sent = self.first_sent.max(burst.sent);
        let round_starts = burst.delivered >= self.round_ends_at;
        if round_starts {
            self.round_ends_at = self.delivered;
        }
        let took =
            (sent.saturating_duration_since(burst.first_sent)).max(now.saturating_duration_since(burst.delivered_at));
        let rate = (took >= shortest && !took.is_zero()).then(|| per_second(self.delivered - burst.delivered, took));
        Sample { rate, round_starts }
    }

    /// Forgets bursts that were sent before `oldest`: none of them is in flight any more.
    pub(super) fn forget(&mut self, oldest: Instant) {
        while self.bursts.len() > 1 && self.bursts.get(1).is_some_and(|next| next.sent <= oldest) {
            self.bursts.pop_front();
        }
    }
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
