//! The addresses that quinn is shown instead of real ones.
//!
//! ```text
//! fd41:7373:6e74:0001:<relay address>::          one per real address of the relay, constant
//! fd41:7373:6e74:0002:<session>:<epoch>:<path>     the other end of a session
//! fd41:7373:6e74:0003:<pipe>                       the other end of a pipe, in place of a real address
//! ```
//!
//! The last kind is used below quinn as well, by agent, technician and relay: whatever comes by a pipe comes from its address, and
//! what is sent there goes by the pipe. No packet of a real socket may have such a sender, and none is sent to such an address.
//!
//! The agent labels what it receives with the epoch of the session's present path: quinn, as QUIC server, then
//! takes a new label for a migrated client, validates the path and starts congestion control, round-trip time and packet
//! size afresh. The technician's label of the agent never changes, because a QUIC client drops packets from elsewhere.
//! They have to be IPv6: for a new port on the same IPv4 address quinn keeps the old path's state.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
};

use rand_core::{OsRng, RngCore};

const PREFIX: [u16; 3] = [0xfd41, 0x7373, 0x6e74];
const RELAY: u16 = 1;
const SESSION: u16 = 2;
const PIPE: u16 = 3;

/// quinn refuses to connect to port 0; nothing else depends on this number.
const PORT: u16 = 1;

/// Names a session inside this process. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey(pub(crate) u32);

/// What quinn is shown of a session's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    /// Counts the changes of path.
    pub(crate) epoch: u16,
    /// The path that packets under this label leave by.
    pub(crate) path: u16,
}

impl Label {
    /// Every session's first path.
    pub(crate) const FIRST: Self = Self { epoch: 0, path: 0 };
}

/// Whom an address stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The relay, at one of its real addresses.
    Relay(u16),
    /// The other end of a session.
    Session(SessionKey, Label),
}

impl Place {
    /// The address that quinn knows this place by.
    pub(crate) fn address(self) -> SocketAddr {
        let [a, b, c] = PREFIX;
        let ip = match self {
            Self::Relay(index) => Ipv6Addr::new(a, b, c, RELAY, index, 0, 0, 0),
            Self::Session(SessionKey(key), label) => {
                let [high, mid_high, mid_low, low] = key.to_be_bytes();
                let high = u16::from_be_bytes([high, mid_high]);
                let low = u16::from_be_bytes([mid_low, low]);
                Ipv6Addr::new(a, b, c, SESSION, high, low, label.epoch, label.path)
            }
        };
        SocketAddr::new(IpAddr::V6(ip), PORT)
    }

    /// Reads an address that quinn sends to. `None` if it is none of ours.
    pub(crate) fn of(address: SocketAddr) -> Option<Self> {
        let SocketAddr::V6(address) = address else { return None };
        let [a, b, c, kind, d, e, f, g] = address.ip().segments();
        if [a, b, c] != PREFIX {
            return None;
        }
        match kind {
            RELAY => Some(Self::Relay(d)),
            SESSION => {
                let key = SessionKey(u32::from(d) << 16 | u32::from(e));
                Some(Self::Session(key, Label { epoch: f, path: g }))
            }
            _ => None,
        }
    }
}

/// Names a pipe inside this process. Never used twice: whatever was bound to a pipe that is gone is bound to nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PipeKey(u64);

impl PipeKey {
    /// The address that stands for the pipe.
    pub(crate) fn address(self) -> SocketAddr {
        let [a, b, c] = PREFIX;
        let bits = Ipv6Addr::new(a, b, c, PIPE, 0, 0, 0, 0).to_bits() | u128::from(self.0);
        SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(bits)), PORT)
    }

    /// Which of `count` the pipe falls to, all alike.
    pub(crate) fn share(self, count: usize) -> usize {
        usize::try_from(self.0 % (count as u64).max(1)).unwrap_or(0)
    }

    /// The pipe that an address stands for.
    pub(crate) fn of(address: SocketAddr) -> Option<Self> {
        let SocketAddr::V6(address) = address else { return None };
        let [a, b, c, kind, d, e, f, g] = address.ip().segments();
        let key = [d, e, f, g].into_iter().fold(0, |key, part| key << 16 | u64::from(part));
        ([a, b, c, kind] == [PREFIX[0], PREFIX[1], PREFIX[2], PIPE]).then_some(Self(key))
    }
}

/// Gives out names of pipes, one after the other from a random one on, so that those of one run are not those of the next.
#[derive(Debug)]
pub(crate) struct PipeKeys(AtomicU64);

impl Default for PipeKeys {
    fn default() -> Self {
        Self(AtomicU64::new(OsRng.next_u64()))
    }
}

impl PipeKeys {
    pub(crate) fn next(&self) -> PipeKey {
        PipeKey(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Whether an address is made up here. No real packet comes from one or goes to one.
pub(crate) fn is_synthetic(address: &SocketAddr) -> bool {
    match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => {
            let [a, b, c, ..] = v6.ip().segments();
            [a, b, c] == PREFIX
        }
    }
}

/// One form for every address: IPv4 as IPv4, without flow label, so that equal places compare equal.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(mut v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::new(IpAddr::V4(v4), v6.port()),
            None => {
                v6.set_flowinfo(0);
                SocketAddr::V6(v6)
            }
        },
    }
}

/// The form that an IPv6 socket sends to: IPv4 as `::ffff:a.b.c.d`.
pub(crate) fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(IpAddr::V6(v4.ip().to_ipv6_mapped()), v4.port()),
        SocketAddr::V6(_) => address,
    }
}

/// What counts as one address: a /64 network of IPv6 is one customer.
pub(crate) fn network(address: SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_its_place() {
        for place in [
            Place::Relay(0),
            Place::Relay(7),
            Place::Session(SessionKey(0x1234_5678), Label { epoch: 0xfffe, path: 3 }),
        ] {
            assert_eq!(Place::of(place.address()), Some(place));
        }
    }

    #[test]
    fn addresses_of_others_have_no_place() {
        for address in ["127.0.0.1:1", "[::1]:1", "[fd41:7373:6e74:3::]:1"] {
            assert_eq!(Place::of(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn a_pipe_has_an_address_of_its_own_that_is_no_place_of_quinns() {
        let keys = PipeKeys(AtomicU64::new(u64::MAX));
        let (last, first) = (keys.next(), keys.next());
        assert_eq!(last.address(), "[fd41:7373:6e74:3:ffff:ffff:ffff:ffff]:1".parse().unwrap());
        assert_eq!(first.address(), "[fd41:7373:6e74:3::]:1".parse().unwrap());
        for key in [last, first] {
            assert_eq!(PipeKey::of(key.address()), Some(key));
            assert_eq!(Place::of(key.address()), None);
            assert!(is_synthetic(&key.address()));
        }
        assert_eq!(PipeKey::of(Place::Relay(3).address()), None);
        assert!(is_synthetic(&Place::Relay(3).address()));
        for real in ["192.0.2.1:1", "[fd41:7373:6e75::1]:1", "[::ffff:192.0.2.1]:1"] {
            assert!(!is_synthetic(&real.parse().unwrap()), "{real}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_plain_one() {
        let plain = "192.0.2.7:4433".parse().unwrap();
        assert_eq!(canonical(mapped(plain)), plain);
        assert_eq!(mapped(plain), "[::ffff:192.0.2.7]:4433".parse().unwrap());
        let v6 = "[2001:db8::1]:4433".parse().unwrap();
        assert_eq!(canonical(v6), v6);
        assert_eq!(mapped(v6), v6);
    }
}
