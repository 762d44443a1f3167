//! The slot table: where each sealed packet goes. Shared by the control side, which opens and closes slots, and the data path,
//! which looks them up.
//!
//! A table is allocated once. Per train of packets the data path takes one slot by its index, compares the generation, compares the
//! sender with the two bound addresses, charges the sender's rate and returns the other address: no lock, no allocation, no search. Packets
//! that do not fit are dropped and counted by reason.
//!
//! Addresses are bound to those that the control connections have proved (RFC 9000 section 9.3), so nobody has to prove anything on
//! the data path. When a program's address changes, its packets do not match, and the other side's go to the old address, until the
//! program's control connection has come from the new one and proved it. A program that only sends is told so, once a second at most.

mod bound;
mod rate;

use std::{
    net::SocketAddr,
    num::NonZeroU64,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use broker::{LastSeen, Traffic};
use transport::listener::{Forward, Route};
use wire::{
    channel::{ChannelId, DataHeader},
    time::Moment,
};

use self::{
    bound::{Bound, BoundCell, PackedAddress},
    rate::{Bucket, Rate},
};

/// At most so often somebody is told that an open channel is not bound to their address. Whoever is told may have forged the address of
/// somebody else, who then gets eight bytes for more than that.
const UNBOUND_INTERVAL: Duration = Duration::from_secs(1);

/// What the IP and UDP headers of a packet take on the wire; also what keeps a flood of tiny packets within the rate.
const PACKET_OVERHEAD_BYTES: u64 = 48;

/// Why packets were dropped instead of being forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// No such slot, or it is closed.
    NoSlot,
    /// The slot serves another channel now.
    OldChannel,
    /// The sender is neither side of the channel.
    UnboundSource,
    /// The sender is over its rate.
    RateLimited,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::NoSlot, Self::OldChannel, Self::UnboundSource, Self::RateLimited];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSlot => "no_slot",
            Self::OldChannel => "old_channel",
            Self::UnboundSource => "unbound_source",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// What passed in one direction of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegCounts {
    /// Packets that this side sent and that were forwarded.
    pub packets: u64,
    /// Their bytes, channel headers included.
    pub bytes: u64,
    /// Packets that were over this side's rate.
    pub rate_limited: u64,
}

/// What passed on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelCounts {
    /// Sent by the agent.
    pub agent: LegCounts,
    /// Sent by the technician.
    pub technician: LegCounts,
}

/// All slots. See the module's introduction.
#[derive(Debug)]
pub struct SlotTable {
    slots: Box<[Slot]>,
    rate: Rate,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

/// One slot on its own cache lines, so that sessions do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot {
    bound: BoundCell,
    agent: Leg,
    technician: Leg,
    /// When somebody was told last that the slot is not bound to their address. Nanoseconds since the clock's origin.
    told_unbound_nanos: AtomicU64,
}

/// One direction of a slot.
#[derive(Debug, Default)]
struct Leg {
    bucket: Bucket,
    /// Nanoseconds since the clock's origin; zero if never.
    seen_nanos: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    rate_limited: AtomicU64,
}

impl SlotTable {
    /// Allocates a table of `slots` slots, each side of which may send `leg_bytes_per_sec`.
    pub fn new(slots: u32, leg_bytes_per_sec: NonZeroU64) -> Self {
        Self {
            slots: (0..slots).map(|_| Slot::default()).collect(),
            rate: Rate::new(leg_bytes_per_sec),
            dropped: Default::default(),
        }
    }

    /// Starts forwarding between two addresses. Control side only, one caller at a time.
    pub fn open(&self, channel: ChannelId, agent: SocketAddr, technician: SocketAddr) {
        if let Some(slot) = self.slot(channel) {
            slot.bound.set(Bound::closed());
            slot.agent.reset();
            slot.technician.reset();
            slot.told_unbound_nanos.store(0, Relaxed);
            slot.bound.set(Bound::open(channel.generation(), agent, technician));
        }
    }

    /// Binds an open channel to its sides' present addresses. Control side only, one caller at a time.
    pub fn rebind(&self, channel: ChannelId, agent: SocketAddr, technician: SocketAddr) {
        let bound = Bound::open(channel.generation(), agent, technician);
        let before = self.slot(channel).map(|slot| (slot, slot.bound.get()));
        if let Some((slot, Some(before))) = before
            && before.generation() == bound.generation()
            && before != bound
        {
            slot.bound.set(bound);
        }
    }

    /// Stops forwarding and says what has passed. Control side only, one caller at a time.
    pub fn close(&self, channel: ChannelId) -> ChannelCounts {
        let Some(slot) = self.slot(channel) else { return ChannelCounts::default() };
        if slot.bound.get().is_none_or(|bound| bound.generation() != Some(channel.generation())) {
            return ChannelCounts::default();
        }
        slot.bound.set(Bound::closed());
        ChannelCounts { agent: slot.agent.counts(), technician: slot.technician.counts() }
    }

    /// Where `segments` packets with this header, `bytes` in all, go when they come from `from` at `now`.
    pub fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize, now: Moment) -> Route {
        let (bytes, packets) = (bytes as u64, segments as u64);
        match self.find(from, header.channel, bytes, packets, now) {
            Ok(to) => Route::To(to),
            Err(reason) => {
                if let Some(counter) = self.dropped.get(reason as usize) {
                    counter.fetch_add(packets, Relaxed);
                }
                match reason {
                    DropReason::UnboundSource if self.may_tell_unbound(header.channel, now) => Route::Unbound,
                    DropReason::UnboundSource
                    | DropReason::NoSlot
                    | DropReason::OldChannel
                    | DropReason::RateLimited => Route::Nowhere,
                }
            }
        }
    }

    fn may_tell_unbound(&self, channel: ChannelId, now: Moment) -> bool {
        let Some(slot) = self.slot(channel) else { return false };
        let now = nanos(now);
        let told = slot.told_unbound_nanos.fetch_update(Relaxed, Relaxed, |before| {
            let rested = before == 0 || now.saturating_sub(before) >= duration_nanos(UNBOUND_INTERVAL);
            rested.then_some(now.max(1))
        });
        told.is_ok()
    }

    fn find(
        &self,
        from: SocketAddr,
        channel: ChannelId,
        bytes: u64,
        packets: u64,
        now: Moment,
    ) -> Result<SocketAddr, DropReason> {
        let slot = self.slot(channel).ok_or(DropReason::NoSlot)?;
        let bound = slot.bound.get().ok_or(DropReason::NoSlot)?;
        let generation = bound.generation().ok_or(DropReason::NoSlot)?;
        if generation != channel.generation() {
            return Err(DropReason::OldChannel);
        }
        let now = nanos(now);
        let from = PackedAddress::from(from);
        let (leg, to) = if from == bound.agent {
            (&slot.agent, bound.technician)
        } else if from == bound.technician {
            (&slot.technician, bound.agent)
        } else {
            return Err(DropReason::UnboundSource);
        };
        if !leg.bucket.charge(self.rate, bytes + packets * PACKET_OVERHEAD_BYTES, now) {
            leg.rate_limited.fetch_add(packets, Relaxed);
            return Err(DropReason::RateLimited);
        }
        leg.seen_nanos.store(now.max(1), Relaxed);
        leg.packets.fetch_add(packets, Relaxed);
        leg.bytes.fetch_add(bytes, Relaxed);
        Ok(to.unpack())
    }

    /// Packets dropped so far, in the order of [`DropReason::ALL`].
    pub fn dropped(&self) -> [u64; DropReason::ALL.len()] {
        self.dropped.each_ref().map(|count| count.load(Relaxed))
    }

    fn slot(&self, channel: ChannelId) -> Option<&Slot> {
        self.slots.get(channel.slot() as usize)
    }
}

impl Forward for SlotTable {
    fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize, now: Moment) -> Route {
        SlotTable::route(self, from, header, bytes, segments, now)
    }
}

impl Traffic for SlotTable {
    fn last_seen(&self, channel: ChannelId) -> LastSeen {
        let slot = self
            .slot(channel)
            .filter(|slot| slot.bound.get().is_some_and(|bound| bound.generation() == Some(channel.generation())));
        slot.map_or_else(LastSeen::default, |slot| LastSeen {
            agent: slot.agent.last_seen(),
            technician: slot.technician.last_seen(),
        })
    }
}

impl Leg {
    fn reset(&self) {
        self.bucket.reset();
        for counter in [&self.seen_nanos, &self.packets, &self.bytes, &self.rate_limited] {
            counter.store(0, Relaxed);
        }
    }

    fn counts(&self) -> LegCounts {
        LegCounts {
            packets: self.packets.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            rate_limited: self.rate_limited.load(Relaxed),
        }
    }

    fn last_seen(&self) -> Option<Moment> {
        let nanos = self.seen_nanos.load(Relaxed);
        (nanos > 0).then(|| Moment::from_origin(Duration::from_nanos(nanos)))
    }
}

fn nanos(moment: Moment) -> u64 {
    duration_nanos(moment.since_origin())
}

/// 584 years fit.
fn duration_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
