//! What one network address may do.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use wire::time::Moment;

use crate::config::{BrokerConfig, Rate};

/// An address as far as one subscriber has it: all of IPv4, the /64 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AddressKey {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self::V6(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }
}

/// How much of a [`Rate`] has been used: the moment at which all of it is back.
///
/// This is the generic cell rate algorithm (ITU-T I.371): one moment instead of a count and a timer, and nothing that a jump of the
/// clock could confuse.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    full_at: Moment,
}

impl Bucket {
    /// Whether one more is allowed.
    pub(crate) fn allows(self, rate: Rate, now: Moment) -> bool {
        let used = self.full_at.saturating_since(now);
        used.saturating_add(rate.every) <= rate.every.saturating_mul(rate.burst) && rate.burst > 0
    }

    /// Uses one, if one more is allowed.
    pub(crate) fn take(&mut self, rate: Rate, now: Moment) -> bool {
        let allowed = self.allows(rate, now);
        if allowed {
            self.full_at = self.full_at.max(now) + rate.every;
        }
        allowed
    }
}

/// What is known of one address.
#[derive(Debug, Default)]
pub(crate) struct Address {
    connections: usize,
    /// Channel ends.
    pub(crate) channels: usize,
    pub(crate) allocate: Bucket,
    pub(crate) attach: Bucket,
    pub(crate) failed_attach: Bucket,
    pub(crate) rejoin: Bucket,
}

impl Address {
    fn full_at(&self) -> Moment {
        self.allocate.full_at.max(self.attach.full_at).max(self.failed_attach.full_at).max(self.rejoin.full_at)
    }
}

/// All addresses that are connected, and those whose rates are not full again.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    known: BTreeMap<AddressKey, Address>,
    /// Addresses without a connection, by the moment at which their rates are full and they can be forgotten.
    leaving: BTreeSet<(Moment, AddressKey)>,
}

impl Addresses {
    /// Counts a connection, unless the address has as many as it may.
    pub(crate) fn connect(&mut self, key: AddressKey, config: &BrokerConfig) -> bool {
        if config.max_connections_per_address == 0 {
            return false;
        }
        let address = self.known.entry(key).or_default();
        if address.connections >= config.max_connections_per_address {
            return false;
        }
        if address.connections == 0 {
            self.leaving.remove(&(address.full_at(), key));
        }
        address.connections += 1;
        true
    }

    /// Takes a connection off, and remembers the address until its rates are full.
    pub(crate) fn disconnect(&mut self, key: AddressKey, config: &BrokerConfig, now: Moment) {
        let Some(address) = self.known.get_mut(&key) else { return };
        address.connections = address.connections.saturating_sub(1);
        if address.connections > 0 {
            return;
        }
        let full_at = address.full_at();
        if full_at <= now {
            self.known.remove(&key);
            return;
        }
        self.leaving.insert((full_at, key));
        while self.leaving.len() > config.max_remembered_addresses {
            self.forget_first();
        }
    }

    /// The address of a connection.
    pub(crate) fn connected(&mut self, key: AddressKey) -> Option<&mut Address> {
        self.known.get_mut(&key).filter(|address| address.connections > 0)
    }

    pub(crate) fn next_forgotten(&self) -> Option<Moment> {
        self.leaving.first().map(|(at, _)| *at)
    }

    /// Forgets the addresses whose rates are full.
    pub(crate) fn tidy(&mut self, now: Moment) {
        while self.next_forgotten().is_some_and(|at| at <= now) {
            self.forget_first();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Channel ends of all addresses.
    pub(crate) fn channel_ends(&self) -> usize {
        self.known.values().map(|address| address.channels).sum()
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.leaving.pop_first() {
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate::new(3, Duration::from_secs(10));

    fn at(secs: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(secs))
    }

    #[test]
    fn a_rate_allows_its_burst_and_then_one_each_interval() {
        let mut bucket = Bucket::default();
        let taken = (0..5).filter(|_| bucket.take(RATE, at(100))).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(RATE, at(109)));
        assert!(bucket.take(RATE, at(110)));
        assert!(!bucket.take(RATE, at(110)));
    }

    #[test]
    fn after_a_long_suspend_no_more_than_the_burst_is_allowed() {
        let mut bucket = Bucket::default();
        assert!(bucket.take(RATE, at(1)));
        let taken = (0..10).filter(|_| bucket.take(RATE, at(1_000_000))).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let mut bucket = Bucket::default();
        while bucket.take(RATE, at(1000)) {}
        assert!(!bucket.take(RATE, at(10)));
    }

    #[test]
    fn a_rate_of_zero_never_allows_and_one_without_interval_always_does() {
        assert!(!Bucket::default().allows(Rate::new(0, Duration::ZERO), at(5)));
        assert!(!Bucket::default().allows(Rate::new(0, Duration::from_secs(1)), at(5)));
        let mut bucket = Bucket::default();
        assert!((0..1000).all(|_| bucket.take(Rate::new(1, Duration::ZERO), at(5))));
    }

    #[test]
    fn one_subscriber_is_one_address() {
        let same = [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::ffff:0:0:9")];
        for (one, other) in same {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        for (one, other) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn an_address_is_remembered_until_its_rates_are_full() {
        let config = BrokerConfig::default();
        let mut addresses = Addresses::default();
        assert!(addresses.connect(key("192.0.2.1"), &config));
        assert!(addresses.connected(key("192.0.2.1")).unwrap().attach.take(RATE, at(5)));
        addresses.disconnect(key("192.0.2.1"), &config, at(6));
        assert_eq!((addresses.len(), addresses.next_forgotten()), (1, Some(at(15))));

        addresses.tidy(at(14));
        assert_eq!(addresses.len(), 1);
        addresses.tidy(at(15));
        assert_eq!(addresses.len(), 0);
    }

    #[test]
    fn a_crowd_of_addresses_that_left_takes_bounded_room() {
        let config = BrokerConfig { max_remembered_addresses: 3, ..BrokerConfig::default() };
        let mut addresses = Addresses::default();
        for number in 0..100u32 {
            let key = AddressKey::V4(number);
            assert!(addresses.connect(key, &config));
            addresses.connected(key).unwrap().attach.take(RATE, at(u64::from(number)));
            addresses.disconnect(key, &config, at(1));
        }
        assert_eq!(addresses.len(), 3);
    }

    fn key(text: &str) -> AddressKey {
        text.parse::<IpAddr>().unwrap().into()
    }
}
