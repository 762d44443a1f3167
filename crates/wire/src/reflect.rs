//! A probe of the network, and what a relay's reflector answers: a program learns what its network does to its packets.
//!
//! The reflector is a second UDP port of the relay ([`crate::control::FromRelay::Reflector`]), so a program that sends to both ports from
//! one socket sees whether a translator gives it one address for everybody or one for each. The answer is as long as the
//! probe, so what comes back has passed both ways at that size, and nobody gets more out of the relay than they sent.
//!
//! ```text
//!  0: 0x10   1: version   2: 1 asks, 2 answers   3..8: zero
//!  8..24: nonce, drawn by whoever asks
//! 24: 4 or 6   25: zero   26..28: port, big endian   28..44: address, IPv4 in the first four     (an answer only)
//!  ..: zero up to the length of the datagram
//! ```
//!
//! Address and port are combined with the nonce by exclusive or, as STUN does (RFC 8489 section 14.2): some translators
//! rewrite every copy of an address that they find in a packet. The first byte belongs to neither family of packets that relays and
//! sessions exchange ([`crate::channel::family`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Shortest probe, in bytes.
pub const REFLECT_LEAST: usize = 64;

/// Longest probe, in bytes: what fits an Ethernet frame with IPv4 and UDP.
pub const REFLECT_MOST: usize = 1472;

const KIND: u8 = 0x10;
const VERSION: u8 = 0;
const ASKS: u8 = 1;
const ANSWERS: u8 = 2;
const HEAD_BYTES: usize = 24;
const PLACE_BYTES: usize = 20;

/// Drawn at random for each probe, so that nobody else can answer it.
pub type ReflectNonce = [u8; 16];

/// The datagram that asks, padded to `length`, which is clamped to [`REFLECT_LEAST`] ..= [`REFLECT_MOST`].
pub fn reflect_probe(nonce: ReflectNonce, length: usize) -> Vec<u8> {
    let mut bytes = head(ASKS, nonce).to_vec();
    bytes.resize(length.clamp(REFLECT_LEAST, REFLECT_MOST), 0);
    bytes
}

/// Reads a datagram that asks. `None` for anything else, whatever its length.
pub fn parse_probe(datagram: &[u8]) -> Option<ReflectNonce> {
    let nonce = parse_head(datagram, ASKS)?;
    let length_fits = (REFLECT_LEAST..=REFLECT_MOST).contains(&datagram.len());
    let padding = datagram.get(HEAD_BYTES..)?;
    (length_fits && padding.iter().all(|byte| *byte == 0)).then_some(nonce)
}

/// Turns a probe that came from `seen_as` into its answer, in place and of the same length. Leaves anything else as it is and says no.
pub fn reflect(datagram: &mut [u8], seen_as: SocketAddr) -> bool {
    let Some(nonce) = parse_probe(datagram) else { return false };
    let place = place(nonce, seen_as);
    for (byte, value) in datagram.iter_mut().zip(head(ANSWERS, nonce).into_iter().chain(place)) {
        *byte = value;
    }
    true
}

/// What a reflector answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reflection {
    /// Of the probe.
    pub nonce: ReflectNonce,
    /// Where the probe came from, as the reflector saw it.
    pub seen_as: SocketAddr,
    /// Length of the datagram, and of the probe, in bytes.
    pub length: usize,
}

impl Reflection {
    /// Reads a datagram that answers. `None` for anything else.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let nonce = parse_head(datagram, ANSWERS)?;
        let length = datagram.len();
        let place = datagram.get(HEAD_BYTES..)?.first_chunk::<PLACE_BYTES>()?;
        let &[family, zero, p0, p1, ref ip @ ..] = place;
        let [n0, n1, ..] = nonce;
        let port = u16::from_be_bytes([p0 ^ n0, p1 ^ n1]);
        let ip = u128::from_be_bytes(*ip) ^ u128::from_be_bytes(nonce);
        let ip = match family {
            4 => {
                let [a, b, c, d, rest @ ..] = ip.to_be_bytes();
                (rest == [0; 12]).then_some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))?
            }
            6 => IpAddr::V6(Ipv6Addr::from_bits(ip)),
            _ => return None,
        };
        let seen_as = SocketAddr::new(ip, port);
        ((REFLECT_LEAST..=REFLECT_MOST).contains(&length) && zero == 0).then_some(Self { nonce, seen_as, length })
    }
}

fn head(kind: u8, nonce: ReflectNonce) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    for (byte, value) in bytes.iter_mut().zip([KIND, VERSION, kind, 0, 0, 0, 0, 0].into_iter().chain(nonce)) {
        *byte = value;
    }
    bytes
}

fn parse_head(datagram: &[u8], kind: u8) -> Option<ReflectNonce> {
    let (head, rest) = datagram.split_first_chunk::<8>()?;
    let nonce = rest.first_chunk::<16>()?;
    (*head == [KIND, VERSION, kind, 0, 0, 0, 0, 0]).then_some(*nonce)
}

fn place(nonce: ReflectNonce, address: SocketAddr) -> [u8; PLACE_BYTES] {
    let (family, ip) = match address.ip() {
        IpAddr::V4(v4) => (4, u128::from(v4.to_bits()) << 96),
        IpAddr::V6(v6) => (6, v6.to_bits()),
    };
    let [n0, n1, ..] = nonce;
    let [p0, p1] = address.port().to_be_bytes();
    let ip = (ip ^ u128::from_be_bytes(nonce)).to_be_bytes();
    let mut bytes = [0; PLACE_BYTES];
    for (byte, value) in bytes.iter_mut().zip([family, 0, p0 ^ n0, p1 ^ n1].into_iter().chain(ip)) {
        *byte = value;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Family, family};

    const NONCE: ReflectNonce = [0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn a_probe_and_its_answer_keep_their_bytes() {
        let mut datagram = reflect_probe(NONCE, 0);
        assert_eq!(datagram.len(), REFLECT_LEAST);
        let golden = [0x10, 0, 1, 0, 0, 0, 0, 0, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(datagram.get(..24), Some(&golden[..]));
        assert_eq!(family(&datagram), Family::Unknown);

        assert!(reflect(&mut datagram, "192.0.2.7:4433".parse().unwrap()));
        let golden = [
            0x10, 0, 2, 0, 0, 0, 0, 0, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 4, 0, 0xe1, 0x50, 0x30,
            0x01, 0x00, 0x04, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0,
        ];
        assert_eq!(datagram.get(..46), Some(&golden[..]));
    }

    #[test]
    fn who_asked_reads_its_own_address_at_every_length() {
        for place in ["192.0.2.7:4433", "[2001:db8::7]:65535", "0.0.0.0:1"] {
            let seen_as = place.parse().unwrap();
            for length in [REFLECT_LEAST, 1200, REFLECT_MOST] {
                let mut datagram = reflect_probe(NONCE, length);
                assert_eq!((datagram.len(), parse_probe(&datagram)), (length, Some(NONCE)));
                assert_eq!(Reflection::parse(&datagram), None, "it is no answer yet");
                assert!(reflect(&mut datagram, seen_as));
                assert_eq!(Reflection::parse(&datagram), Some(Reflection { nonce: NONCE, seen_as, length }));
            }
        }
    }

    #[test]
    fn an_answer_is_reflected_no_more_and_nothing_else_at_all() {
        let somewhere = "192.0.2.7:4433".parse().unwrap();
        let mut answer = reflect_probe(NONCE, 100);
        assert!(reflect(&mut answer, somewhere));
        let mut too_long = reflect_probe(NONCE, 100);
        too_long.resize(REFLECT_MOST + 1, 0);
        let mut padded = reflect_probe(NONCE, 100);
        *padded.last_mut().unwrap() = 1;
        let mut other_version = reflect_probe(NONCE, 100);
        *other_version.get_mut(1).unwrap() = 1;
        let too_short = reflect_probe(NONCE, 100).get(..REFLECT_LEAST - 1).unwrap().to_vec();
        for datagram in [answer, too_long, padded, other_version, too_short, Vec::new()] {
            let mut left = datagram.clone();
            assert!(!reflect(&mut left, somewhere), "{datagram:x?}");
            assert_eq!(left, datagram);
        }
    }
}
