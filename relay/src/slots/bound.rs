//! What a slot is bound to, read by the data path without a lock while the control side may change it.

use std::{
    hint,
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

/// Tries of a reader before it gives the packet up. A write takes a few nanoseconds; only a writer that lost its processor in the
/// middle takes longer.
const READS: u32 = 256;

/// Generation and addresses of an open slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound {
    /// Generation plus one; zero if the slot is closed.
    generation: u64,
    pub(super) agent: PackedAddress,
    pub(super) technician: PackedAddress,
}

impl Bound {
    pub(super) fn open(generation: u32, agent: SocketAddr, technician: SocketAddr) -> Self {
        Self { generation: u64::from(generation) + 1, agent: agent.into(), technician: technician.into() }
    }

    pub(super) fn closed() -> Self {
        Self { generation: 0, agent: PackedAddress([0; 3]), technician: PackedAddress([0; 3]) }
    }

    pub(super) fn generation(&self) -> Option<u32> {
        self.generation.checked_sub(1).and_then(|generation| u32::try_from(generation).ok())
    }
}

/// A socket address in three words. IPv4 in its IPv6 form, so that both forms of one address are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PackedAddress([u64; 3]);

impl From<SocketAddr> for PackedAddress {
    fn from(address: SocketAddr) -> Self {
        let (ip, scope) = match address {
            SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), 0),
            SocketAddr::V6(v6) => (*v6.ip(), v6.scope_id()),
        };
        let [a, b, c, d, e, f, g, h, rest @ ..] = ip.octets();
        let rest = u64::from_be_bytes(rest);
        Self([u64::from_be_bytes([a, b, c, d, e, f, g, h]), rest, u64::from(scope) << 16 | u64::from(address.port())])
    }
}

impl PackedAddress {
    pub(super) fn unpack(self) -> SocketAddr {
        let [high, low, rest] = self.0;
        let ip = Ipv6Addr::from_bits(u128::from(high) << 64 | u128::from(low));
        let [p0, p1, s0, s1, s2, s3, ..] = rest.to_le_bytes();
        let (port, scope) = (u16::from_le_bytes([p0, p1]), u32::from_le_bytes([s0, s1, s2, s3]));
        match ip.to_canonical() {
            IpAddr::V4(v4) => (v4, port).into(),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, scope).into(),
        }
    }
}

/// A [`Bound`] behind a sequence lock: one writer at a time, any number of readers that never wait for each other.
///
/// H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012, figure 6; all fields are atomics, so a
/// torn read is possible, noticed and harmless.
#[derive(Debug, Default)]
pub(super) struct BoundCell {
    /// Odd while a write goes on.
    sequence: AtomicU64,
    words: [AtomicU64; 7],
}

impl BoundCell {
    /// Writes. The caller makes sure that nobody else does at the same time.
    pub(super) fn set(&self, bound: Bound) {
        let Bound { generation, agent: PackedAddress([a0, a1, a2]), technician: PackedAddress([t0, t1, t2]) } = bound;
        let sequence = self.sequence.load(Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Relaxed);
        fence(Release);
        for (word, value) in self.words.iter().zip([generation, a0, a1, a2, t0, t1, t2]) {
            word.store(value, Relaxed);
        }
        self.sequence.store(sequence.wrapping_add(2), Release);
    }

    /// Reads. `None` if a writer was in the way all the time.
    pub(super) fn get(&self) -> Option<Bound> {
        for _ in 0..READS {
            let before = self.sequence.load(Acquire);
            let [generation, a0, a1, a2, t0, t1, t2] = self.words.each_ref().map(|word| word.load(Relaxed));
            fence(Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Relaxed) == before {
                let (agent, technician) = (PackedAddress([a0, a1, a2]), PackedAddress([t0, t1, t2]));
                return Some(Bound { generation, agent, technician });
            }
            hint::spin_loop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicBool, thread};

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_comes_back_in_its_shortest_form() {
        for text in ["192.0.2.7:65535", "[2001:db8::1]:1", "[fe80::1%7]:4433"] {
            assert_eq!(PackedAddress::from(address(text)).unpack(), address(text));
        }
        let mapped = PackedAddress::from(address("[::ffff:192.0.2.7]:5"));
        assert_eq!(mapped, address("192.0.2.7:5").into());
        assert_eq!(mapped.unpack(), address("192.0.2.7:5"));
    }

    #[test]
    fn addresses_that_differ_in_anything_differ() {
        let all = ["192.0.2.7:1", "192.0.2.7:2", "192.0.2.8:1", "[2001:db8::1]:1", "[fe80::1%1]:1", "[fe80::1%2]:1"];
        for (place, one) in all.iter().enumerate() {
            for other in &all[place + 1..] {
                assert_ne!(PackedAddress::from(address(one)), address(other).into());
            }
        }
    }

    #[test]
    fn a_reader_never_sees_half_of_a_change() {
        let (cell, stop) = (BoundCell::default(), AtomicBool::new(false));
        let bound = |turn: u32| {
            let port = u16::try_from(turn % 60_000).unwrap();
            let ip = Ipv6Addr::from_bits(u128::from(turn) << 64 | u128::from(turn));
            Bound::open(turn, (ip, port).into(), (ip, port).into())
        };
        cell.set(bound(0));
        thread::scope(|scope| {
            let readers = (0..2).map(|_| {
                scope.spawn(|| {
                    let mut reads = 0u64;
                    while !stop.load(Relaxed) {
                        if let Some(seen) = cell.get() {
                            assert_eq!(seen, bound(seen.generation().unwrap()));
                            reads += 1;
                        }
                    }
                    reads
                })
            });
            let readers = readers.collect::<Vec<_>>();
            for turn in 0..300_000 {
                cell.set(bound(turn));
            }
            stop.store(true, Relaxed);
            for reader in readers {
                assert!(reader.join().unwrap() > 0);
            }
        });
    }
}
