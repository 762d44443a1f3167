//! What an operator can set.

use std::time::Duration;

use wire::limits::CODE_LIFETIME;

/// Bounds of a [`Broker`](crate::Broker). Ranges are the caller's to check; every value is safe to run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Connections at once. Default 10,000.
    pub max_connections: usize,
    /// Connections at once from one address. Default 100.
    pub max_connections_per_address: usize,
    /// Channel ends at once of one address; a channel has two ends. Default 200.
    pub max_channels_per_address: usize,
    /// Channels at once of one connection: the present one, and what is left of earlier ones. Default 8.
    pub max_channels_per_connection: usize,
    /// Slots of the data path, so channels at once. At most 2^24. Default 5,000.
    pub max_slots: u32,
    /// Locators in use at once. Default 10,000.
    pub max_locators: usize,
    /// Sessions waiting for their other side to come back, at once. Default 5,000.
    pub max_rejoins: usize,
    /// The same of one connection. Default 4.
    pub max_rejoins_per_connection: usize,

    /// How long a locator leads to its agent. Default [`CODE_LIFETIME`], which the agents count as well.
    pub locator_lifetime: Duration,
    /// How long a locator rests after use. Default 24 h.
    pub locator_rest: Duration,
    /// Share of the locators of one length that may be in use or at rest, in percent, 1..=90, before longer ones are given out.
    /// Default 50.
    pub crowded_percent: u32,
    /// Attaches by one locator, failed pairings included, after which it is gone. Default 4.
    pub attaches_per_locator: u32,

    /// A channel is closed if either side has not sent anything this long after it opened. Default 30 s.
    pub channel_start: Duration,
    /// A channel is closed if either side has not sent anything for this long. Default 120 s.
    pub channel_idle: Duration,
    /// How long a closed channel's id is not given out again. Default 120 s.
    pub channel_rest: Duration,
    /// How long one side of a session waits for the other to come back. Default 60 s.
    pub rejoin_wait: Duration,

    /// Locators that one address may ask for. Default 10, then one each 6 s.
    pub allocate_rate: Rate,
    /// Attaches that one address may try. Default 10, then one each 6 s.
    pub attach_rate: Rate,
    /// Attaches of one address that may find nobody; beyond that all its attaches are refused. Default 5, then one each 60 s.
    pub failed_attach_rate: Rate,
    /// Rejoins that one address may ask for. Default 64, then one each second.
    pub rejoin_rate: Rate,
    /// Messages of one connection; one that sends more is cut off. Default 64, then four a second.
    pub message_rate: Rate,
    /// Addresses without a connection whose use of the rates is remembered. Default 20,000. Beyond that the one whose rates are nearest
    /// to being full again is forgotten.
    pub max_remembered_addresses: usize,
}

/// How often something may happen: `burst` times at once, and again each time `every` has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often at once. Zero means never.
    pub burst: u32,
    /// Time until one more is allowed. Zero means no limit.
    pub every: Duration,
}

impl Rate {
    /// Makes a rate.
    pub const fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 100,
            max_channels_per_address: 200,
            max_channels_per_connection: 8,
            max_slots: 5_000,
            max_locators: 10_000,
            max_rejoins: 5_000,
            max_rejoins_per_connection: 4,
            locator_lifetime: CODE_LIFETIME,
            locator_rest: Duration::from_secs(24 * 60 * 60),
            crowded_percent: 50,
            attaches_per_locator: 4,
            channel_start: Duration::from_secs(30),
            channel_idle: Duration::from_secs(120),
            channel_rest: Duration::from_secs(120),
            rejoin_wait: Duration::from_secs(60),
            allocate_rate: Rate::new(10, Duration::from_secs(6)),
            attach_rate: Rate::new(10, Duration::from_secs(6)),
            failed_attach_rate: Rate::new(5, Duration::from_secs(60)),
            rejoin_rate: Rate::new(64, Duration::from_secs(1)),
            message_rate: Rate::new(64, Duration::from_millis(250)),
            max_remembered_addresses: 20_000,
        }
    }
}
