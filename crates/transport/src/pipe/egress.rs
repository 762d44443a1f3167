//! What waits to be written to a pipe: little, and nothing that is old.
//!
//! When there is too much, the packets in front go, not those that come: QUIC at the other end then sees the gap a queue's length
//! earlier, and what does arrive is as fresh as it can be. Whoever sends never waits.

use std::{
    collections::VecDeque,
    sync::Mutex,
    time::{Duration, Instant},
};

use quinn::udp::EcnCodepoint;
use tokio::sync::Notify;
use wire::pipe::{PIPE_MESSAGE_BYTES, PipePacket};

use crate::{counters::Count, socket::lock};

/// Most bytes that wait, their headers included: 100 ms at 10 Mbit/s.
pub(crate) const EGRESS_BYTES: usize = 128 * 1024;

/// A packet that has waited for longer is not sent any more: what it says has been said again, or is not true any more.
pub(crate) const SOJOURN: Duration = Duration::from_millis(100);

/// Packets for one pipe.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Packets that were dropped because others came behind them.
    full: Count,
    /// Packets that were dropped because they had waited for too long.
    stale: Count,
    /// Packets that no pipe carries.
    unfit: Count,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    ecn: u8,
    packet: Box<[u8]>,
}

impl Waiting {
    fn packet(&self) -> PipePacket<'_> {
        PipePacket { ecn: self.ecn, bytes: &self.packet }
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.bytes -= waiting.packet().encoded_bytes();
        Some(waiting)
    }
}

impl Egress {
    /// Adds a packet or train. Returns how many packets were taken; each may still be dropped.
    pub(crate) fn push(
        &self,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
        segment_size: Option<usize>,
        now: Instant,
    ) -> usize {
        let ecn = ecn.map_or(0, |ecn| ecn as u8);
        let (mut taken, mut full) = (0, 0);
        let mut queue = lock(&self.queue);
        for bytes in contents.chunks(segment_size.unwrap_or(contents.len()).max(1)) {
            let packet = PipePacket { ecn, bytes };
            if !packet.is_valid() {
                self.unfit.add(1);
                continue;
            }
            while queue.bytes + packet.encoded_bytes() > EGRESS_BYTES && queue.pop().is_some() {
                full += 1;
            }
            queue.bytes += packet.encoded_bytes();
            queue.waiting.push_back(Waiting { since: now, ecn, packet: bytes.into() });
            taken += 1;
        }
        drop(queue);
        self.full.add(full);
        if taken > 0 {
            self.filled.notify_one();
        }
        taken
    }

    /// Returns when there are packets. For one task alone.
    ///
    /// Cancel-safe.
    pub(crate) async fn filled(&self) {
        while lock(&self.queue).waiting.is_empty() {
            self.filled.notified().await;
        }
    }

    /// Takes a message of fresh packets. `None`: there are none.
    pub(crate) fn take(&self, now: Instant) -> Option<Vec<u8>> {
        let mut queue = lock(&self.queue);
        let mut stale = 0;
        let mut message = Vec::with_capacity(queue.bytes.min(PIPE_MESSAGE_BYTES));
        while let Some(first) = queue.waiting.front() {
            if now.saturating_duration_since(first.since) > SOJOURN {
                stale += 1;
            } else if !first.packet().put(&mut message) {
                break;
            }
            queue.pop();
        }
        drop(queue);
        self.stale.add(stale);
        (!message.is_empty()).then_some(message)
    }

    /// Packets that were dropped here.
    pub(crate) fn dropped(&self) -> u64 {
        self.full.read() + self.stale.read() + self.unfit.read()
    }
}

#[cfg(test)]
mod tests {
    use wire::pipe::packets;

    use super::*;

    const SIZE: usize = 1000;

    fn fillers(message: &[u8]) -> Vec<u8> {
        packets(message).unwrap().map(|packet| packet.bytes[0]).collect()
    }

    fn all(egress: &Egress, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| egress.take(now)).flat_map(|message| fillers(&message)).collect()
    }

    #[test]
    fn a_train_leaves_in_order_in_messages_that_are_as_full_as_they_may_be() {
        let (egress, now) = (Egress::default(), clock());
        let train = (0..20).flat_map(|filler| [filler; SIZE]).collect::<Vec<_>>();
        assert_eq!(egress.push(EcnCodepoint::from_bits(2), &train, Some(SIZE), now), 20);
        let first = egress.take(now).unwrap();
        assert!(first.len() <= PIPE_MESSAGE_BYTES && first.len() + SIZE + 3 > PIPE_MESSAGE_BYTES);
        assert!(packets(&first).unwrap().all(|packet| packet.ecn == 2));
        assert_eq!([fillers(&first), all(&egress, now)].concat(), (0..20).collect::<Vec<_>>());
        assert_eq!(egress.dropped(), 0);
    }

    #[test]
    fn of_too_much_the_oldest_goes() {
        let (egress, now) = (Egress::default(), clock());
        let fit = u8::try_from(EGRESS_BYTES / (SIZE + 3)).unwrap();
        for filler in 0..fit + 5 {
            assert_eq!(egress.push(None, &[filler; SIZE], None, now), 1);
        }
        assert_eq!(all(&egress, now), (5..fit + 5).collect::<Vec<_>>());
        assert_eq!(egress.dropped(), 5);
    }

    #[test]
    fn what_has_waited_for_too_long_is_not_sent() {
        let (egress, start) = (Egress::default(), clock());
        egress.push(None, &[1; SIZE], None, start);
        egress.push(None, &[2; SIZE], None, start + SOJOURN / 2);
        let later = start + SOJOURN + Duration::from_millis(1);
        assert_eq!(all(&egress, later), [2]);
        assert_eq!((egress.dropped(), egress.take(later)), (1, None));
    }

    #[test]
    fn what_no_pipe_carries_is_counted_and_stops_nothing() {
        let (egress, now) = (Egress::default(), clock());
        assert_eq!(egress.push(None, &[1; 1501], None, now), 0);
        assert_eq!(egress.push(None, &[], None, now), 0);
        assert_eq!(egress.push(None, &[2; SIZE], None, now), 1);
        assert_eq!((all(&egress, now), egress.dropped()), (vec![2], 1));
    }

    fn clock() -> Instant {
        crate::clock::quic_now()
    }
}
