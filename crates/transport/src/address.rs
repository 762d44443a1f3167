//! The addresses that quinn is shown instead of real ones.
//!
//! ```text
//! fd41:7373:6e74:0001:<relay address>::          one per real address of the relay, constant
//! fd41:7373:6e74:0002:<session>:<epoch>:<path>     the other end of a session
//! ```
//!
//! The agent labels what it receives with the epoch of the session's present path: quinn, as QUIC server, then
//! takes a new label for a migrated client, validates the path and starts congestion control, round-trip time and packet
//! size afresh. The technician's label of the agent never changes, because a QUIC client drops packets from elsewhere.
//! They have to be IPv6: for a new port on the same IPv4 address quinn keeps the old path's state.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

const PREFIX: [u16; 3] = [0xfd41, 0x7373, 0x6e74];
const RELAY: u16 = 1;
const SESSION: u16 = 2;

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
    fn a_mapped_address_is_the_plain_one() {
        let plain = "192.0.2.7:4433".parse().unwrap();
        assert_eq!(canonical(mapped(plain)), plain);
        assert_eq!(mapped(plain), "[::ffff:192.0.2.7]:4433".parse().unwrap());
        let v6 = "[2001:db8::1]:4433".parse().unwrap();
        assert_eq!(canonical(v6), v6);
        assert_eq!(mapped(v6), v6);
    }
}
