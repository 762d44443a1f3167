//! The packets of a sleeping agent: 32 bytes by which it stays reachable without a connection.
//!
//! ```text
//! 0: type   0x20 BEAT 0x21 ACK 0x22 WAKE 0x23 CHALLENGE 0x24 RESPONSE 0x25 REVOKED
//! 1: version (high 4 bits) | key epoch (2 bits) | zero | ACK_REQ (lowest bit, in a BEAT alone)
//! 2..6: slot     6..8: generation     8..16: counter, in a CHALLENGE a nonce     16..32: tag; all numbers little endian
//! ```
//!
//! The tag covers the first 16 bytes, in a RESPONSE also the nonce that it answers; `trust::beat` makes and checks it. As the type is
//! tagged, one key serves both directions, each with a counter of its own.
//!
//! The first byte has both top bits clear and is above those of [`crate::channel`], so these packets share a port with QUIC (RFC 9000
//! section 17) and with sessions. All types have one length: nobody is ever answered with more than they sent.

use std::fmt;

/// Bytes of every packet.
pub const BEAT_BYTES: usize = 32;

/// Bytes before the tag.
pub const HEAD_BYTES: usize = 16;

/// Bytes of a tag.
pub const BEAT_TAG_BYTES: usize = 16;

/// Version in every packet that this build sends.
pub const BEAT_VERSION: u8 = 0;

const TYPE_FIRST: u8 = 0x20;
const TYPE_LAST: u8 = 0x25;
const ACK_REQUESTED: u8 = 0x01;
const SPARE: u8 = 0x02;

/// Whether a datagram with this first byte is one of these packets.
pub fn is_beat_type(first: u8) -> bool {
    (TYPE_FIRST..=TYPE_LAST).contains(&first)
}

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatKind {
    /// Agent: I am here.
    Beat {
        /// The relay shall answer with [`BeatKind::Ack`].
        ack_requested: bool,
    },
    /// Relay: I have heard the beat, or response, with this counter.
    Ack,
    /// Relay: connect.
    Wake,
    /// Relay: show that you receive what is sent to the address that your packet came from.
    Challenge,
    /// Agent: answers a challenge.
    Response,
    /// Relay: I know you no more after this; connect when it suits you.
    Revoked,
}

/// Which root the key of a slot was derived from: the last two bits of the relay's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct KeyEpoch(u8);

impl KeyEpoch {
    /// How many there are.
    pub const COUNT: u8 = 4;

    /// What a packet says of a full count.
    pub fn of(count: u32) -> Self {
        Self(count.to_le_bytes()[0] % Self::COUNT)
    }

    /// 0..=3.
    pub fn bits(self) -> u8 {
        self.0
    }
}

/// A place in the relay's table, and which of its uses is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SleepSlot {
    /// Index in the relay's table.
    pub slot: u32,
    /// Grows with each use of the place.
    pub generation: u16,
}

impl fmt::Debug for SleepSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:04x}", self.slot, self.generation)
    }
}

/// A packet without its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// What for.
    pub kind: BeatKind,
    /// Which root the key comes from.
    pub epoch: KeyEpoch,
    /// Whose.
    pub slot: SleepSlot,
    /// The sender's count of packets; of a [`BeatKind::Ack`], that of the packet that it answers; of a [`BeatKind::Challenge`], a nonce.
    pub counter: u64,
}

impl Beat {
    /// The bytes that are tagged.
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        let (kind, flags) = match self.kind {
            BeatKind::Beat { ack_requested } => (0x20, if ack_requested { ACK_REQUESTED } else { 0 }),
            BeatKind::Ack => (0x21, 0),
            BeatKind::Wake => (0x22, 0),
            BeatKind::Challenge => (0x23, 0),
            BeatKind::Response => (0x24, 0),
            BeatKind::Revoked => (0x25, 0),
        };
        let [s0, s1, s2, s3] = self.slot.slot.to_le_bytes();
        let [g0, g1] = self.slot.generation.to_le_bytes();
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.counter.to_le_bytes();
        let second = BEAT_VERSION << 4 | self.epoch.0 << 2 | flags;
        [kind, second, s0, s1, s2, s3, g0, g1, c0, c1, c2, c3, c4, c5, c6, c7]
    }

    /// The whole packet.
    pub fn to_bytes(&self, tag: [u8; BEAT_TAG_BYTES]) -> [u8; BEAT_BYTES] {
        let mut bytes = [0; BEAT_BYTES];
        let (head, rest) = bytes.split_at_mut(HEAD_BYTES);
        head.copy_from_slice(&self.head());
        rest.copy_from_slice(&tag);
        bytes
    }

    /// Reads a packet and its tag, of which nothing is believed before the tag was checked. `None` for anything of another type, version
    /// or length, and for bits that this build does not know.
    pub fn parse(packet: &[u8]) -> Option<(Self, [u8; BEAT_TAG_BYTES])> {
        let (head, tag) = packet.split_first_chunk::<HEAD_BYTES>()?;
        let tag = <[u8; BEAT_TAG_BYTES]>::try_from(tag).ok()?;
        let &[kind, second, s0, s1, s2, s3, g0, g1, c0, c1, c2, c3, c4, c5, c6, c7] = head;
        let ack_requested = second & ACK_REQUESTED != 0;
        let kind = match kind {
            0x20 => BeatKind::Beat { ack_requested },
            0x21 => BeatKind::Ack,
            0x22 => BeatKind::Wake,
            0x23 => BeatKind::Challenge,
            0x24 => BeatKind::Response,
            0x25 => BeatKind::Revoked,
            _ => return None,
        };
        let may_request = matches!(kind, BeatKind::Beat { .. });
        if second >> 4 != BEAT_VERSION || second & SPARE != 0 || (ack_requested && !may_request) {
            return None;
        }
        let slot = SleepSlot { slot: u32::from_le_bytes([s0, s1, s2, s3]), generation: u16::from_le_bytes([g0, g1]) };
        let counter = u64::from_le_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        Some((Self { kind, epoch: KeyEpoch(second >> 2 & 0x03), slot, counter }, tag))
    }
}

/// Key of one slot, as the relay hands it to its agent. Its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SlotKey(pub [u8; 32]);

impl fmt::Debug for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SlotKey(..)")
    }
}

/// Which numbers were seen, within a window of 64 below the largest: RFC 4303 section 3.4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayWindow {
    largest: u64,
    /// Bit n: `largest - n` was seen.
    seen: u64,
}

impl ReplayWindow {
    /// Numbers up to and with `largest` count as seen.
    pub fn above(largest: u64) -> Self {
        Self { largest, seen: u64::MAX }
    }

    /// Whether this number is new. Changes nothing.
    pub fn is_new(&self, number: u64) -> bool {
        match self.largest.checked_sub(number) {
            None => true,
            Some(behind @ 0..64) => self.seen >> behind & 1 == 0,
            Some(_) => false,
        }
    }

    /// Notes a number whose packet has proved to be genuine.
    pub fn note(&mut self, number: u64) {
        match self.largest.checked_sub(number) {
            None => {
                let ahead = number - self.largest;
                self.seen = if ahead < 64 { self.seen << ahead | 1 } else { 1 };
                self.largest = number;
            }
            Some(behind @ 0..64) => self.seen |= 1 << behind,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: SleepSlot = SleepSlot { slot: 0x0403_0201, generation: 0x0605 };

    #[test]
    fn the_bytes_of_every_type_never_change() {
        let kinds = [
            (BeatKind::Beat { ack_requested: false }, 0x20, 0x08),
            (BeatKind::Beat { ack_requested: true }, 0x20, 0x09),
            (BeatKind::Ack, 0x21, 0x08),
            (BeatKind::Wake, 0x22, 0x08),
            (BeatKind::Challenge, 0x23, 0x08),
            (BeatKind::Response, 0x24, 0x08),
            (BeatKind::Revoked, 0x25, 0x08),
        ];
        for (kind, first, second) in kinds {
            let beat = Beat { kind, epoch: KeyEpoch::of(6), slot: SLOT, counter: 0x0e0d_0c0b_0a09_0807 };
            let mut golden = [0xee; BEAT_BYTES];
            golden[..HEAD_BYTES].copy_from_slice(&[first, second, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
            assert_eq!(beat.to_bytes([0xee; BEAT_TAG_BYTES]), golden);
            assert_eq!(Beat::parse(&golden), Some((beat, [0xee; BEAT_TAG_BYTES])));
            assert!(is_beat_type(first));
        }
    }

    #[test]
    fn other_lengths_types_versions_and_unknown_bits_are_nothing() {
        let good = Beat { kind: BeatKind::Ack, epoch: KeyEpoch::default(), slot: SLOT, counter: 1 }
            .to_bytes([0; BEAT_TAG_BYTES]);
        assert_eq!(Beat::parse(&good[..31]), None);
        assert_eq!(Beat::parse(&[&good[..], &[0]].concat()), None);
        for (at, value) in [(0, 0x1f), (0, 0x26), (1, 0x10), (1, 0x02), (1, 0x01)] {
            let mut bytes = good;
            *bytes.get_mut(at).unwrap() = value;
            assert_eq!(Beat::parse(&bytes), None, "{at} {value:#x}");
        }
    }

    #[test]
    fn a_window_takes_each_number_once_and_nothing_far_behind() {
        let mut window = ReplayWindow::above(100);
        assert!(!window.is_new(100) && !window.is_new(37) && !window.is_new(0) && window.is_new(101));
        window.note(164);
        assert!(!window.is_new(164) && !window.is_new(100) && window.is_new(101) && window.is_new(163));
        window.note(101);
        assert!(!window.is_new(101));
        window.note(u64::MAX);
        assert!(!window.is_new(u64::MAX) && window.is_new(u64::MAX - 63) && !window.is_new(u64::MAX - 64));
    }
}
