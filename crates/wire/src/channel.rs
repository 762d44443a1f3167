//! The 8-byte header in front of every sealed packet: the only part of a session that a relay reads.
//!
//! ```text
//! 0: type   0x08 DATA 0x09 BIND 0x0A CHALLENGE 0x0B ANSWER 0x0C PING 0x0D PONG 0x0E UNBOUND 0x0F CLOSE
//! 1: version (high 4 bits) | flags (low 4 bits): epoch (0x07), NOHEAR (0x08)
//! 2..5: slot index, little endian     5..8: generation, little endian
//! ```
//!
//! The flags are between the two endpoints ([`PathFlags`]); a relay forwards them as they are.
//!
//! Slots from [`ChannelId::DIRECT_FROM`] on are no relay's: they name the pairs of addresses between which the two ends of a session
//! try to reach each other directly. PING and PONG are sent on those alone ([`crate::path::DirectProbe`]).
//!
//! The first byte tells these packets from QUIC on the same port: RFC 9000 section 17 sets bit 0x40 in every QUIC packet as
//! long as nobody greases it (RFC 9287), and RFC 9443 leaves 4..=15 unassigned. Today only DATA, PING, PONG and UNBOUND are sent; a
//! receiver drops and counts the other types. Behind the header of DATA follows a QUIC packet or a probe of the path ([`crate::path`]),
//! told apart by the same bit.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::beat::is_beat_type;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 8;

/// Version in the header of every packet that this build sends.
pub const HEADER_VERSION: u8 = 0;

const TYPE_DATA: u8 = 0x08;
const TYPE_UNBOUND: u8 = 0x0e;

/// First byte of a [`crate::path::DirectProbe`] that asks.
pub(crate) const TYPE_PING: u8 = 0x0c;

/// First byte of a [`crate::path::DirectProbe`] that answers.
pub(crate) const TYPE_PONG: u8 = 0x0d;

/// Where a relay forwards: a slot and the generation that tells its present session from earlier ones.
///
/// Both legs use the same id, so the relay rewrites nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelId {
    slot: u32,
    generation: u32,
}

impl ChannelId {
    /// One more than the largest slot index and generation.
    pub const LIMIT: u32 = 1 << 24;

    /// The first slot that names a direct path instead of a relay's channel.
    pub const DIRECT_FROM: u32 = Self::LIMIT - 256;

    /// The direct path number `pair` of the session that both ends know by `session`, of which 24 bits are used.
    pub fn direct(pair: u8, session: u32) -> Self {
        Self { slot: Self::DIRECT_FROM + u32::from(pair), generation: session % Self::LIMIT }
    }

    /// The number of the direct path that this names; `None` if it is a relay's channel.
    pub fn pair(self) -> Option<u8> {
        self.slot.checked_sub(Self::DIRECT_FROM).and_then(|pair| u8::try_from(pair).ok())
    }

    /// Makes an id, or `None` if either part does not fit in 24 bits.
    pub fn new(slot: u32, generation: u32) -> Option<Self> {
        (slot < Self::LIMIT && generation < Self::LIMIT).then_some(Self { slot, generation })
    }

    /// Index in the relay's slot table.
    pub fn slot(self) -> u32 {
        self.slot
    }

    /// Random number drawn when the slot was given out.
    pub fn generation(self) -> u32 {
        self.generation
    }

    /// Whether this could have been made by [`ChannelId::new`]; a decoded one may not.
    pub fn is_valid(self) -> bool {
        Self::new(self.slot, self.generation).is_some()
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06x}-{:06x}", self.slot, self.generation)
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose packet a datagram is, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A QUIC packet of a control connection.
    Quic,
    /// A packet with a channel header.
    Channel,
    /// A packet of a sleeping agent, or for one ([`crate::beat`]).
    Beat,
    /// Nothing that is spoken here: dropped and counted.
    Unknown,
}

/// Tells the family of a datagram. An empty one is [`Family::Unknown`].
pub fn family(datagram: &[u8]) -> Family {
    match datagram.first() {
        Some(0x40..) => Family::Quic,
        Some(0x08..=0x0f) => Family::Channel,
        Some(&first) if is_beat_type(first) => Family::Beat,
        Some(_) | None => Family::Unknown,
    }
}

/// A DATA header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHeader {
    /// The slot that the packet belongs to.
    pub channel: ChannelId,
}

impl DataHeader {
    /// The header's bytes, with flags of zero.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        self.with_flags(PathFlags::default())
    }

    /// The header's bytes.
    pub fn with_flags(self, flags: PathFlags) -> [u8; HEADER_BYTES] {
        header(TYPE_DATA, flags.to_bits(), self.channel)
    }

    /// Reads the header of a DATA packet. The flags are not for whoever forwards it: [`PathFlags::of`] reads them.
    ///
    /// Returns `None` for a packet that is too short, of another type or of another version.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        Some(Self { channel: channel_of(packet, TYPE_DATA)? })
    }
}

/// What a relay answers to a packet of an open channel that comes from an address that neither side has: the sender's address has
/// changed, and its control connection should show where it is now.
///
/// It is a hint and nothing more: anybody could send it, and whoever gets it only asks the relay for a sign of life. It is never
/// longer than what it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unbound {
    /// The channel of the packet that was dropped.
    pub channel: ChannelId,
}

impl Unbound {
    /// The whole packet.
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        header(TYPE_UNBOUND, 0, self.channel)
    }

    /// Reads the packet. `None` if it is of another type, version or length.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let channel = channel_of(packet, TYPE_UNBOUND)?;
        (packet.len() == HEADER_BYTES).then_some(Self { channel })
    }
}

pub(crate) fn header(kind: u8, flags: u8, channel: ChannelId) -> [u8; HEADER_BYTES] {
    let [s0, s1, s2, _] = channel.slot.to_le_bytes();
    let [g0, g1, g2, _] = channel.generation.to_le_bytes();
    [kind, HEADER_VERSION << 4 | flags, s0, s1, s2, g0, g1, g2]
}

pub(crate) fn channel_of(packet: &[u8], kind: u8) -> Option<ChannelId> {
    let &[is, version_and_flags, s0, s1, s2, g0, g1, g2] = packet.first_chunk::<HEADER_BYTES>()?;
    if is != kind || version_and_flags >> 4 != HEADER_VERSION {
        return None;
    }
    let slot = u32::from_le_bytes([s0, s1, s2, 0]);
    let generation = u32::from_le_bytes([g0, g1, g2, 0]);
    Some(ChannelId { slot, generation })
}

/// A session's count of its changes of path, as far as a header has room for it: the last three bits.
///
/// Compared as serial numbers (RFC 1982), so up to three changes ahead count as newer. That is also the largest jump that a
/// forged header can make anybody believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch(u8);

impl Epoch {
    /// Most changes of path that one header can be ahead of another.
    pub const MOST_AHEAD: u8 = 3;

    const BITS: u8 = 0x07;

    /// What a header says of a full count.
    pub fn of(count: u32) -> Self {
        Self(count.to_le_bytes()[0] & Self::BITS)
    }

    /// By how many changes this is ahead of a full count: 1..=3, or `None` if it is the same or an earlier one.
    pub fn ahead_of(self, count: u32) -> Option<u8> {
        let ahead = self.0.wrapping_sub(Self::of(count).0) & Self::BITS;
        (1..=Self::MOST_AHEAD).contains(&ahead).then_some(ahead)
    }
}

/// What the ends of a session tell each other in every header. Nobody has signed it: a relay can forge it, so all that may follow
/// from it is the choice between paths on which the packets inside still have to prove themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathFlags {
    /// The newest path that the sender knows of. The technician counts, the agent follows.
    pub epoch: Epoch,
    /// The sender asked on its present path and heard nothing at all.
    pub hears_nothing: bool,
}

impl PathFlags {
    const HEARS_NOTHING: u8 = 0x08;

    /// Reads the flags of a packet that [`DataHeader::parse`] took for one.
    pub fn of(packet: &[u8]) -> Self {
        let bits = packet.get(1).copied().unwrap_or_default();
        Self { epoch: Epoch(bits & Epoch::BITS), hears_nothing: bits & Self::HEARS_NOTHING != 0 }
    }

    pub(crate) fn to_bits(self) -> u8 {
        self.epoch.0 | if self.hears_nothing { Self::HEARS_NOTHING } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_keep_their_bits_and_change_nothing_for_whoever_forwards() {
        let header = DataHeader { channel: ChannelId::new(1, 2).unwrap() };
        for (count, hears_nothing, golden) in
            [(0, false, 0x00), (5, false, 0x05), (7, true, 0x0f), (8, true, 0x08), (u32::MAX, false, 0x07)]
        {
            let flags = PathFlags { epoch: Epoch::of(count), hears_nothing };
            let bytes = header.with_flags(flags);
            assert_eq!(bytes, [0x08, golden, 1, 0, 0, 2, 0, 0]);
            assert_eq!(PathFlags::of(&bytes), flags);
            assert_eq!(DataHeader::parse(&bytes), Some(header));
        }
    }

    #[test]
    fn an_epoch_is_ahead_by_one_to_three_and_wraps() {
        for count in [0, 6, 7, 8, u32::MAX] {
            let ahead = |by: u32| Epoch::of(count.wrapping_add(by)).ahead_of(count);
            assert_eq!([0, 1, 2, 3, 4, 5, 6, 7].map(ahead), [None, Some(1), Some(2), Some(3), None, None, None, None]);
        }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let channel = ChannelId::new(0x00ab_cdef, 0x0012_3456).unwrap();
        let header = DataHeader { channel };
        assert_eq!(header.to_bytes(), [0x08, 0x00, 0xef, 0xcd, 0xab, 0x56, 0x34, 0x12]);
        assert_eq!(DataHeader::parse(&header.to_bytes()), Some(header));
    }

    #[test]
    fn short_foreign_and_future_packets_have_no_header() {
        let good = DataHeader { channel: ChannelId::new(1, 2).unwrap() }.to_bytes();
        assert_eq!(DataHeader::parse(good.get(..7).unwrap()), None);
        for (at, value) in [(0, 0x09), (0, 0x40), (1, 0x10)] {
            let mut bytes = good;
            *bytes.get_mut(at).unwrap() = value;
            assert_eq!(DataHeader::parse(&bytes), None);
        }
    }

    #[test]
    fn an_unbound_is_eight_bytes_and_no_data() {
        let unbound = Unbound { channel: ChannelId::new(0x00ab_cdef, 0x0012_3456).unwrap() };
        let bytes = unbound.to_bytes();
        assert_eq!(bytes, [0x0e, 0x00, 0xef, 0xcd, 0xab, 0x56, 0x34, 0x12]);
        assert_eq!(Unbound::parse(&bytes), Some(unbound));
        assert_eq!(DataHeader::parse(&bytes), None);
        assert_eq!(Unbound::parse(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Unbound::parse(&DataHeader { channel: unbound.channel }.to_bytes()), None);
    }

    #[test]
    fn a_direct_path_has_a_slot_of_its_own() {
        for pair in [0, 1, u8::MAX] {
            let id = ChannelId::direct(pair, 0xffab_cdef);
            assert!(id.is_valid());
            assert_eq!((id.pair(), id.generation()), (Some(pair), 0x00ab_cdef));
        }
        assert_eq!(ChannelId::new(ChannelId::DIRECT_FROM - 1, 0).unwrap().pair(), None);
    }

    #[test]
    fn the_first_byte_tells_the_family() {
        assert_eq!(family(&[]), Family::Unknown);
        for byte in 0..=255u8 {
            let expected = match byte {
                0x40.. => Family::Quic,
                0x08..=0x0f => Family::Channel,
                0x20..=0x25 => Family::Beat,
                _ => Family::Unknown,
            };
            assert_eq!(family(&[byte]), expected);
        }
    }
}
