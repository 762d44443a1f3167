//! What the two ends of a session tell each other about the paths between them.
//!
//! A [`Probe`] stands behind a channel header in place of a QUIC packet, from which bit 0x40 of its first byte tells it. Nobody has
//! signed it, and it says nothing but "this path works both ways":
//!
//! ```text
//! 0: 0x0C PING 0x0D PONG     1..9: number, little endian     then zeros; a PONG is as long as its PING
//! ```
//!
//! A [`DirectProbe`] stands on a direct path, between two addresses of which nothing is believed before it. Both ends tag theirs with
//! keys that only they have (`trust::probe`); the tag covers everything before it:
//!
//! ```text
//! 0: channel header with type PING or PONG     8: sequence     16: number     24: heard     32: length of the whole packet
//! 34: tag, 32 bytes     then zeros; all numbers little endian; a PONG is as long as its PING
//! ```
//!
//! A [`Flip`] travels inside the sealed session, as a QUIC datagram (RFC 9221), and is the truth about which path is meant:
//!
//! ```text
//! 0: 0x01 FLIP     1..5: count of changes, little endian     5..11: channel as in a channel header     then zeros
//! ```

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::channel::{ChannelId, HEADER_BYTES, PathFlags, TYPE_PING, TYPE_PONG, channel_of, header};

/// Bytes that a probe has at least.
pub const PROBE_BYTES: usize = 9;

/// Size of a probe that shows that a path takes packets as large as a session starts with (RFC 9000 section 14).
pub const FULL_PROBE_BYTES: usize = 1200;

/// Size of a [`Flip`]. A packet of more than 400 bytes lets the agent answer three times as much and so finish looking at its new path
/// although one of its packets gets lost; this one fills a packet.
pub const FLIP_BYTES: usize = 1150;

const PING: u8 = 0x0c;
const PONG: u8 = 0x0d;
const FLIP: u8 = 0x01;
const FIXED_BIT: u8 = 0x40;

/// Whether what stands behind a channel header is a QUIC packet. Everything else is a [`Probe`] or nothing.
pub fn is_quic(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first & FIXED_BIT != 0)
}

/// A question to the other end of a path, or its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Asks for a [`Probe::Pong`] with the same number by the same path.
    Ping(u64),
    /// Answers.
    Pong(u64),
}

impl Probe {
    /// The probe's first bytes; zeros follow.
    pub fn to_bytes(self) -> [u8; PROBE_BYTES] {
        let (kind, number) = match self {
            Self::Ping(number) => (PING, number),
            Self::Pong(number) => (PONG, number),
        };
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        [kind, a, b, c, d, e, f, g, h]
    }

    /// Reads what stands behind a channel header. `None` for anything but a probe.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let &[kind, a, b, c, d, e, f, g, h] = payload.first_chunk::<PROBE_BYTES>()?;
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        match kind {
            PING => Some(Self::Ping(number)),
            PONG => Some(Self::Pong(number)),
            _ => None,
        }
    }
}

/// Addresses that one end may name. More would be tried for longer than anybody waits, and are a way to have others flooded.
pub const CANDIDATES: usize = 8;

/// What one end of a session says about reaching it directly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DirectOffer {
    /// The person there does not want the other side to see an address.
    NotWanted,
    /// Where it can perhaps be reached, the best first, at most [`CANDIDATES`]. Takes the place of what was said before.
    Candidates(Vec<SocketAddr>),
}

/// Bytes of a tag.
pub const TAG_BYTES: usize = 32;

/// Bytes of a [`DirectProbe`] before its tag.
pub const TAGGED_BYTES: usize = HEADER_BYTES + 26;

/// Bytes that a direct probe has at least.
pub const DIRECT_PROBE_BYTES: usize = TAGGED_BYTES + TAG_BYTES;

/// A probe of a direct path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectProbe {
    /// The path.
    pub channel: ChannelId,
    /// As in the header of every packet of the session.
    pub flags: PathFlags,
    /// Question or answer.
    pub probe: Probe,
    /// Counts the direct probes of this end in this session, so that none is taken twice.
    pub sequence: u64,
    /// In an agent's answer: a number that nobody can foresee. In a technician's question: that of the last answer that came by this path, zero for
    /// none, which shows the agent that its packets arrive at the address that the question comes from.
    pub heard: u64,
    /// Bytes of the whole packet. A path is judged by them, so they may not be changed on the way.
    pub bytes: u16,
}

impl DirectProbe {
    /// The bytes that are tagged; the tag and zeros follow.
    pub fn to_bytes(self) -> [u8; TAGGED_BYTES] {
        let (kind, number) = match self.probe {
            Probe::Ping(number) => (TYPE_PING, number),
            Probe::Pong(number) => (TYPE_PONG, number),
        };
        let header = header(kind, self.flags.to_bits(), self.channel);
        let numbers = [self.sequence, number, self.heard].map(u64::to_le_bytes);
        let parts = header.into_iter().chain(numbers.into_iter().flatten()).chain(self.bytes.to_le_bytes());
        let mut bytes = [0; TAGGED_BYTES];
        for (byte, value) in bytes.iter_mut().zip(parts) {
            *byte = value;
        }
        bytes
    }

    /// Reads a packet: the probe, what its tag covers, and the tag. `None` for anything but a direct probe of the length that it names.
    pub fn parse(packet: &[u8]) -> Option<(Self, &[u8; TAGGED_BYTES], &[u8; TAG_BYTES])> {
        let (tagged, rest) = packet.split_first_chunk::<TAGGED_BYTES>()?;
        let tag = rest.first_chunk::<TAG_BYTES>()?;
        let (_, numbers) = tagged.split_first_chunk::<HEADER_BYTES>()?;
        let (sequence, numbers) = take_u64(numbers)?;
        let (number, numbers) = take_u64(numbers)?;
        let (heard, length) = take_u64(numbers)?;
        let bytes = u16::from_le_bytes(*length.first_chunk()?);
        let (channel, probe) = match channel_of(packet, TYPE_PING) {
            Some(channel) => (channel, Probe::Ping(number)),
            None => (channel_of(packet, TYPE_PONG)?, Probe::Pong(number)),
        };
        channel.pair()?;
        let probe = Self { channel, flags: PathFlags::of(packet), probe, sequence, heard, bytes };
        (usize::from(bytes) == packet.len()).then_some((probe, tagged, tag))
    }
}

fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

/// The technician says which path it sends by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flip {
    /// How often the path was changed since the session began.
    pub count: u32,
    /// The channel of the path.
    pub channel: ChannelId,
}

impl Flip {
    /// The datagram, padded to [`FLIP_BYTES`].
    pub fn to_bytes(self) -> [u8; FLIP_BYTES] {
        let [c0, c1, c2, c3] = self.count.to_le_bytes();
        let [s0, s1, s2, _] = self.channel.slot().to_le_bytes();
        let [g0, g1, g2, _] = self.channel.generation().to_le_bytes();
        let mut bytes = [0; FLIP_BYTES];
        for (byte, value) in bytes.iter_mut().zip([FLIP, c0, c1, c2, c3, s0, s1, s2, g0, g1, g2]) {
            *byte = value;
        }
        bytes
    }

    /// Reads a datagram. `None` for anything else; what follows the eleven bytes is for later versions.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let &[kind, c0, c1, c2, c3, s0, s1, s2, g0, g1, g2] = datagram.first_chunk::<11>()?;
        let channel = ChannelId::new(u32::from_le_bytes([s0, s1, s2, 0]), u32::from_le_bytes([g0, g1, g2, 0]))?;
        (kind == FLIP).then_some(Self { count: u32::from_le_bytes([c0, c1, c2, c3]), channel })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_keeps_its_bytes_and_is_no_quic_packet() {
        let golden = [0x0c, 8, 7, 6, 5, 4, 3, 2, 1];
        assert_eq!(Probe::Ping(0x0102_0304_0506_0708).to_bytes(), golden);
        assert_eq!(Probe::Pong(1).to_bytes(), [0x0d, 1, 0, 0, 0, 0, 0, 0, 0]);
        for probe in [Probe::Ping(u64::MAX), Probe::Pong(0)] {
            assert_eq!(Probe::parse(&probe.to_bytes()), Some(probe));
            assert!(!is_quic(&probe.to_bytes()));
        }
        let mut padded = golden.to_vec();
        padded.resize(FULL_PROBE_BYTES, 0);
        assert_eq!(Probe::parse(&padded), Some(Probe::Ping(0x0102_0304_0506_0708)));
    }

    #[test]
    fn a_direct_probe_keeps_its_bytes_and_is_no_other_packet() {
        let probe = DirectProbe {
            channel: ChannelId::direct(3, 0x0012_3456),
            flags: PathFlags::default(),
            probe: Probe::Ping(0x0102_0304_0506_0708),
            sequence: 9,
            heard: 0x0a0b,
            bytes: 70,
        };
        let head = probe.to_bytes();
        let golden = [
            0x0c, 0, 3, 0xff, 0xff, 0x56, 0x34, 0x12, 9, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0x0b, 0x0a, 0, 0,
            0, 0, 0, 0, 70, 0,
        ];
        assert_eq!(head, golden);
        let mut packet = [&head[..], &[0xee; TAG_BYTES]].concat();
        packet.resize(70, 0);
        assert_eq!(DirectProbe::parse(&packet), Some((probe, &head, &[0xee; TAG_BYTES])));
        assert_eq!(DirectProbe::parse(packet.get(..69).unwrap()), None, "shorter than it says");
        let answer = DirectProbe { probe: Probe::Pong(1), ..probe }.to_bytes();
        assert_eq!(answer.first(), Some(&0x0d));
        let relayed = DirectProbe { channel: ChannelId::new(3, 1).unwrap(), ..probe }.to_bytes();
        let mut packet = [&relayed[..], &[0; TAG_BYTES]].concat();
        packet.resize(70, 0);
        assert_eq!(DirectProbe::parse(&packet), None, "a relay's channel");
    }

    #[test]
    fn a_flip_keeps_its_bytes_and_fills_a_packet() {
        let flip = Flip { count: 0x0102_0304, channel: ChannelId::new(0x00ab_cdef, 0x0012_3456).unwrap() };
        let bytes = flip.to_bytes();
        let (head, padding) = bytes.split_at(11);
        assert_eq!(head, [1, 4, 3, 2, 1, 0xef, 0xcd, 0xab, 0x56, 0x34, 0x12]);
        assert!(padding.iter().all(|byte| *byte == 0) && bytes.len() == FLIP_BYTES);
        assert_eq!(Flip::parse(&bytes), Some(flip));
    }

    #[test]
    fn short_and_foreign_bytes_are_nothing() {
        assert_eq!(Probe::parse(&[0x0c; 8]), None);
        assert_eq!(Probe::parse(&[0x0e; 9]), None);
        assert_eq!(Flip::parse(&[1; 10]), None);
        assert_eq!(Flip::parse(&[2; 11]), None);
        assert!(!is_quic(&[]) && !is_quic(&[0x3f]) && is_quic(&[0x40]) && is_quic(&[0xc0]));
    }
}
