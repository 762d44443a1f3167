//! A relay's shell in memory: carries out what the broker says and checks, after every step, what must always hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use broker::{Broker, BrokerConfig, Command, ConnectionId, Event, LastSeen, Traffic};
use rand_core::{CryptoRng, Error, RngCore};
use wire::{
    channel::ChannelId,
    control::{FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::{AgentId, Locator},
    time::Moment,
};

/// A connection as the shell has it.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    /// Everything that it was sent and a test has not taken.
    pub(crate) inbox: Vec<FromRelay>,
    /// Channels that it was told of and that it was not told the end of.
    pub(crate) channels: BTreeSet<ChannelId>,
}

/// A slot as the data path has it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) agent: ConnectionId,
    pub(crate) technician: ConnectionId,
    pub(crate) seen: LastSeen,
}

#[derive(Debug, Default)]
pub(crate) struct Slots(pub(crate) BTreeMap<ChannelId, Slot>);

impl Traffic for Slots {
    fn last_seen(&self, channel: ChannelId) -> LastSeen {
        self.0.get(&channel).map(|slot| slot.seen).unwrap_or_default()
    }
}

/// Broker, shell and clock.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) config: BrokerConfig,
    pub(crate) now: Moment,
    pub(crate) peers: BTreeMap<ConnectionId, Peer>,
    pub(crate) slots: Slots,
    pub(crate) events: Vec<Event>,
    /// Agents that have a record of a sleeping agent.
    pub(crate) asleep: BTreeSet<AgentId>,
    /// Packets that were to wake somebody, and when.
    pub(crate) woken: Vec<(AgentId, Moment)>,
    /// How many may sleep.
    pub(crate) beds: usize,
    rng: TestRng,
    next_connection: u64,
    /// When each channel id was closed.
    closed: BTreeMap<ChannelId, Moment>,
}

impl World {
    pub(crate) fn new(config: BrokerConfig) -> Self {
        Self {
            broker: Broker::new(config.clone()),
            config,
            // Somewhere in the middle of a clock that counts from boot.
            now: Moment::from_origin(Duration::from_secs(1_000_000)),
            peers: BTreeMap::new(),
            slots: Slots::default(),
            events: Vec::new(),
            asleep: BTreeSet::new(),
            woken: Vec::new(),
            beds: usize::MAX,
            rng: TestRng(0x5eed),
            next_connection: 1,
            closed: BTreeMap::new(),
        }
    }

    pub(crate) fn try_connect(&mut self, address: &str) -> Result<ConnectionId, Refusal> {
        self.try_connect_as(address, None)
    }

    /// Connects with a key, from an address of its own.
    pub(crate) fn connect_as(&mut self, agent: AgentId) -> ConnectionId {
        let number = self.next_connection;
        let address = format!("192.0.{}.{}", number / 256 % 256, number % 256);
        self.try_connect_as(&address, Some(agent)).expect("an own address is within its limits")
    }

    pub(crate) fn try_connect_as(&mut self, address: &str, agent: Option<AgentId>) -> Result<ConnectionId, Refusal> {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let address = address.parse().unwrap_or_else(|_| panic!("{address} is no address"));
        let result = self.broker.connected(id, address, agent, self.now);
        if result.is_ok() {
            self.peers.insert(id, Peer { address: Some(address), ..Peer::default() });
        }
        self.carry_out();
        result.map(|()| id)
    }

    /// Connects from an address of its own.
    pub(crate) fn connect(&mut self) -> ConnectionId {
        let number = self.next_connection;
        let address = format!("192.0.{}.{}", number / 256 % 256, number % 256);
        self.try_connect(&address).expect("an own address is within its limits")
    }

    pub(crate) fn disconnect(&mut self, id: ConnectionId) {
        self.peers.remove(&id);
        self.broker.disconnected(id, self.now);
        self.carry_out();
    }

    /// Sends a message and returns what came back to the same connection.
    pub(crate) fn send(&mut self, id: ConnectionId, message: ToRelay) -> Vec<FromRelay> {
        self.take_inbox(id);
        self.broker.handle_message(id, message, self.now, &mut self.rng);
        self.carry_out();
        self.take_inbox(id)
    }

    pub(crate) fn allocate(&mut self, id: ConnectionId) -> Locator {
        match self.send(id, ToRelay::AllocateLocator).as_slice() {
            [FromRelay::LocatorAllocated { locator, .. }] => *locator,
            other => panic!("no locator but {other:?}"),
        }
    }

    pub(crate) fn attach(&mut self, id: ConnectionId, locator: Locator) -> Result<ChannelId, Refusal> {
        opened(&self.send(id, ToRelay::Attach { locator, first: FirstFlight::default() }))
    }

    /// `Ok(None)` if the other side is still to come.
    pub(crate) fn rejoin(&mut self, id: ConnectionId, meeting: u8, side: Side) -> Result<Option<ChannelId>, Refusal> {
        let answer = self.send(id, ToRelay::Rejoin { rendezvous: Rendezvous([meeting; 16]), side });
        if answer.is_empty() { Ok(None) } else { opened(&answer).map(Some) }
    }

    pub(crate) fn take_inbox(&mut self, id: ConnectionId) -> Vec<FromRelay> {
        self.peers.get_mut(&id).map(|peer| std::mem::take(&mut peer.inbox)).unwrap_or_default()
    }

    /// Lets time pass and runs the timers as they come due.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.broker.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.broker.handle_timeout(self.now, &self.slots);
            self.carry_out();
            assert!(
                self.broker.poll_timeout() > Some(at) || self.broker.poll_timeout().is_none(),
                "a timer stands still"
            );
        }
        self.now = end;
    }

    /// Lets time pass while nothing runs, as a suspended machine does, and then runs the timers.
    pub(crate) fn suspend(&mut self, time: Duration) {
        self.now = self.now + time;
        self.broker.handle_timeout(self.now, &self.slots);
        self.carry_out();
    }

    /// One packet each way.
    pub(crate) fn talk(&mut self, channel: ChannelId) {
        let seen = LastSeen { agent: Some(self.now), technician: Some(self.now) };
        self.slots.0.get_mut(&channel).expect("the channel is open").seen = seen;
    }

    pub(crate) fn drain(&mut self, grace: Duration) {
        self.broker.drain(grace);
        self.carry_out();
    }

    pub(crate) fn finish(&mut self) {
        self.broker.finish(self.now);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(command) = self.broker.poll_command() {
            match command {
                Command::Send(id, message) => self.deliver(id, message),
                Command::TellAddress(id) | Command::TellReflector(id) => {
                    assert!(self.peers.contains_key(&id), "{id} is gone")
                }
                Command::OpenSlot { channel, agent, technician } => self.open(channel, agent, technician),
                Command::CloseSlot { channel } => {
                    assert!(self.slots.0.remove(&channel).is_some(), "{channel} was not open");
                    self.closed.insert(channel, self.now);
                }
                Command::LayDown(id, agent) => {
                    assert!(self.peers.contains_key(&id), "{id} is gone and lies down");
                    let result = if self.beds > 0 { Ok(()) } else { Err(Refusal::Full) };
                    if result.is_ok() {
                        self.peers.remove(&id);
                        self.asleep.insert(agent);
                    }
                    self.broker.laid_down(id, result, self.now);
                }
                Command::Wake(agent) => self.woken.push((agent, self.now)),
                Command::GetUp(agent) => {
                    self.asleep.remove(&agent);
                }
                Command::Disconnect(id, _) => {
                    assert!(self.peers.remove(&id).is_some(), "{id} was cut off twice");
                }
            }
        }
        while let Some(event) = self.broker.poll_event() {
            self.events.push(event);
        }
        self.check();
    }

    fn deliver(&mut self, id: ConnectionId, message: FromRelay) {
        let peer = self.peers.get_mut(&id).unwrap_or_else(|| panic!("{id} is gone and was sent {message:?}"));
        match &message {
            FromRelay::ChannelOpen { channel, .. } => {
                assert!(self.slots.0.contains_key(channel), "{channel} was announced before its slot stood");
                assert!(peer.channels.insert(*channel), "{channel} was announced twice");
            }
            FromRelay::ChannelClosed { channel, .. } => {
                assert!(!self.slots.0.contains_key(channel), "{channel} still forwards");
                assert!(peer.channels.remove(channel), "{channel} is nothing of {id}");
            }
            _ => {}
        }
        peer.inbox.push(message);
    }

    fn open(&mut self, channel: ChannelId, agent: ConnectionId, technician: ConnectionId) {
        assert!(channel.is_valid() && channel.slot() < self.config.max_slots, "{channel} has no place");
        assert!(self.slots.0.keys().all(|open| open.slot() != channel.slot()), "{channel}: its slot is in use");
        assert_ne!(agent, technician, "{channel} joins a connection with itself");
        if let Some(before) = self.closed.get(&channel) {
            assert!(self.now - *before >= self.config.channel_rest, "{channel} came back too early");
        }
        self.slots.0.insert(channel, Slot { agent, technician, seen: LastSeen::default() });
    }

    /// What must hold after every step.
    fn check(&self) {
        let (counts, config) = (self.broker.counts(), &self.config);
        assert_eq!(counts.connections, self.peers.len());
        assert_eq!(counts.channels, self.slots.0.len());
        assert_eq!(counts.channel_ends, 2 * counts.channels);
        assert!(counts.connections <= config.max_connections);
        assert!(counts.channels <= config.max_slots as usize);
        assert!(counts.resting_channels <= 4 * config.max_slots as usize);
        assert!(counts.locators <= config.max_locators.min(counts.connections + counts.sleepers));
        assert!(counts.sleepers <= counts.locators && counts.waking <= counts.sleepers);
        assert!(counts.rejoins <= config.max_rejoins);
        assert!(counts.rejoins <= config.max_rejoins_per_connection * counts.connections);
        assert!(counts.addresses <= counts.connections + config.max_remembered_addresses);
        assert_eq!(
            counts.timers,
            counts.locators + counts.channels + counts.rejoins + counts.waking,
            "one deadline each"
        );

        let mut ends = BTreeMap::<IpAddr, usize>::new();
        for (channel, slot) in &self.slots.0 {
            for side in [slot.agent, slot.technician] {
                let peer = self.peers.get(&side).unwrap_or_else(|| panic!("{channel} outlived {side}"));
                assert!(peer.channels.contains(channel), "{side} does not know {channel}");
                *ends.entry(peer.address.expect("every peer has one")).or_default() += 1;
            }
        }
        for (address, ends) in ends {
            assert!(ends <= config.max_channels_per_address, "{address} holds {ends} ends");
        }
        let mut connections = BTreeMap::<IpAddr, usize>::new();
        for (id, peer) in &self.peers {
            *connections.entry(peer.address.expect("every peer has one")).or_default() += 1;
            assert!(peer.channels.len() <= config.max_channels_per_connection);
            assert!(self.broker.channels_of(*id).eq(peer.channels.iter().copied()), "{id}: not what it was told of");
            for channel in &peer.channels {
                let slot = self.slots.0.get(channel).unwrap_or_else(|| panic!("{id} believes in {channel}"));
                assert!([slot.agent, slot.technician].contains(id), "{channel} is nothing of {id}");
            }
        }
        assert!(connections.values().all(|count| *count <= config.max_connections_per_address));
    }
}

fn opened(answer: &[FromRelay]) -> Result<ChannelId, Refusal> {
    match answer {
        [FromRelay::ChannelOpen { channel, .. }] => Ok(*channel),
        [FromRelay::Refused { reason }] => Err(*reason),
        other => panic!("neither a channel nor a refusal but {other:?}"),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): repeatable, not for secrets.
struct TestRng(u64);

impl RngCore for TestRng {
    fn next_u32(&mut self) -> u32 {
        u32::try_from(self.next_u64() >> 32).expect("32 bits are left")
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next_u64().to_le_bytes()[0]);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for TestRng {}
