//! The broker itself: what each input does.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use rand_core::CryptoRngCore;
use wire::{
    channel::ChannelId,
    control::{ChannelEnd, ChannelOrigin, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::{AgentId, Locator},
    time::Moment,
};

use crate::{
    address::{AddressKey, Addresses, Bucket},
    command::{Command, Counts, Event, Goodbye, LocatorEnd, Request, Traffic},
    config::BrokerConfig,
    locators::{Holder, Locators},
    meeting::{Meetings, Waiter},
    sleep::Sleepers,
    slots::Slots,
    timers::{Timer, Timers},
};

/// Time between two programs' reconnections after a drain, so that they do not come all at once.
const RECONNECT_SPACING: Duration = Duration::from_millis(2);

/// The most that [`RECONNECT_SPACING`] adds up to.
const RECONNECT_SPREAD: Duration = Duration::from_secs(30);

/// From the end of a drain to the first reconnection.
const RECONNECT_MARGIN: Duration = Duration::from_millis(500);

/// One control connection, named by the shell and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection-{}", self.0)
    }
}

/// The relay's brain. See the [crate] for the rules.
#[derive(Debug)]
pub struct Broker {
    pub(crate) config: BrokerConfig,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// Connections whose agent has shown a key.
    pub(crate) agents: BTreeMap<AgentId, ConnectionId>,
    pub(crate) addresses: Addresses,
    pub(crate) locators: Locators,
    pub(crate) sleepers: Sleepers,
    pub(crate) slots: Slots,
    meetings: Meetings,
    pub(crate) timers: Timers,
    pub(crate) draining: bool,
    pub(crate) commands: VecDeque<Command>,
    pub(crate) events: VecDeque<Event>,
}

/// What is known of one connection. Most connections wait and hold next to nothing.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: AddressKey,
    /// Who it is, if it has shown a key.
    pub(crate) agent: Option<AgentId>,
    /// Which end of sessions it is, once it has shown that.
    pub(crate) side: Option<Side>,
    pub(crate) locator: Option<Locator>,
    pub(crate) channels: BTreeSet<ChannelId>,
    pub(crate) meetings: BTreeSet<Rendezvous>,
    /// The sleeping agent that it waits for.
    pub(crate) waits_for: Option<AgentId>,
    messages: Bucket,
}

/// Why a channel is opened.
struct Cause {
    origin: ChannelOrigin,
    locator: Option<Locator>,
    /// For the agent.
    first: FirstFlight,
}

impl Broker {
    /// Makes a broker that knows nobody.
    pub fn new(config: BrokerConfig) -> Self {
        Self {
            config,
            connections: BTreeMap::new(),
            agents: BTreeMap::new(),
            addresses: Addresses::default(),
            locators: Locators::default(),
            sleepers: Sleepers::default(),
            slots: Slots::default(),
            meetings: Meetings::default(),
            timers: Timers::default(),
            draining: false,
            commands: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes a connection that has proved its address, and whose key it has if it has shown one. An earlier connection of the same agent is
    /// closed.
    ///
    /// # Errors
    ///
    /// The refusal to send before the shell closes the connection; nothing is known of it then. Also if the id is in use.
    pub fn connected(
        &mut self,
        id: ConnectionId,
        address: IpAddr,
        agent: Option<AgentId>,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.addresses.tidy(now);
        let result = self.admit(id, AddressKey::from(address), agent);
        self.events.push_back(match result {
            Ok(()) => Event::Connected { connection: id },
            Err(reason) => Event::TurnedAway { reason },
        });
        if let (Ok(()), Some(agent)) = (result, agent) {
            self.supersede(agent, id, now);
        }
        result
    }

    /// Two programs with one key, as after a disk was copied, or one that lost its network: the newest is believed to be the one that is there.
    fn supersede(&mut self, agent: AgentId, by: ConnectionId, now: Moment) {
        if let Some(earlier) = self.agents.insert(agent, by) {
            self.disconnected(earlier, now);
            self.commands.push_back(Command::Disconnect(earlier, Goodbye::Superseded));
            self.events.push_back(Event::Superseded { connection: earlier });
        }
        self.commands.push_back(Command::GetUp(agent));
    }

    fn admit(&mut self, id: ConnectionId, address: AddressKey, agent: Option<AgentId>) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if self.connections.contains_key(&id) {
            return Err(Refusal::Unexpected);
        }
        if self.connections.len() >= self.config.max_connections {
            return Err(Refusal::Full);
        }
        if !self.addresses.connect(address, &self.config) {
            return Err(Refusal::TooManyAttempts);
        }
        let connection = Connection {
            address,
            agent,
            side: None,
            locator: None,
            channels: BTreeSet::new(),
            meetings: BTreeSet::new(),
            waits_for: None,
            messages: Bucket::default(),
        };
        self.connections.insert(id, connection);
        Ok(())
    }

    /// Forgets a connection and all that it held. Does nothing for one that is not known (any more).
    pub fn disconnected(&mut self, id: ConnectionId, now: Moment) {
        if let Some(connection) = self.connections.remove(&id) {
            if let Some(locator) = connection.locator {
                self.end_locator(locator, LocatorEnd::AgentGone, now);
            }
            for rendezvous in connection.meetings {
                self.leave_meeting(rendezvous);
            }
            if let Some(agent) = connection.agent
                && self.agents.get(&agent) == Some(&id)
            {
                self.agents.remove(&agent);
                self.end_sleep(agent, now);
            }
            if let Some(agent) = connection.waits_for {
                self.stop_waking(agent);
            }
            if let Some(address) = self.addresses.connected(connection.address) {
                address.channels = address.channels.saturating_sub(connection.channels.len());
            }
            for channel in connection.channels {
                self.close_channel(channel, ChannelEnd::PeerGone, now);
            }
            self.addresses.disconnect(connection.address, &self.config, now);
            self.events.push_back(Event::Disconnected { connection: id });
        }
    }

    /// Does what a message asks for, or refuses it. Ignores connections that are not known.
    pub fn handle_message(&mut self, id: ConnectionId, message: ToRelay, now: Moment, rng: &mut dyn CryptoRngCore) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.messages.take(self.config.message_rate, now) {
            self.events.push_back(Event::Flooded { connection: id });
            self.disconnected(id, now);
            self.commands.push_back(Command::Disconnect(id, Goodbye::Flooding));
            return;
        }
        if message != ToRelay::Awake
            && let Some(agent) = connection.agent
        {
            // A program that was started anew and knows nothing of what an earlier one had.
            self.end_sleep(agent, now);
        }
        let (request, result) = match message {
            ToRelay::AllocateLocator => (Request::AllocateLocator, self.allocate(id, now, rng)),
            ToRelay::ReleaseLocator { locator } => (Request::ReleaseLocator, self.release(id, locator, now)),
            ToRelay::Attach { locator, first } => (Request::Attach, self.attach(id, locator, first, now, rng)),
            ToRelay::Rejoin { rendezvous, side } => (Request::Rejoin, self.rejoin(id, rendezvous, side, now, rng)),
            ToRelay::CloseChannel { channel } => (Request::CloseChannel, self.close_by(id, channel, now)),
            ToRelay::Observe => {
                self.commands.push_back(Command::TellAddress(id));
                (Request::Observe, Ok(()))
            }
            ToRelay::FindReflector => {
                self.commands.push_back(Command::TellReflector(id));
                (Request::FindReflector, Ok(()))
            }
            ToRelay::Sleep => (Request::Sleep, self.wants_to_sleep(id)),
            ToRelay::Awake => (Request::Awake, self.awake(id, now, rng)),
            // A message that `wire` has learnt and this crate has not.
            _ => (Request::Unknown, Err(Refusal::Unexpected)),
        };
        if let Err(reason) = result {
            self.commands.push_back(Command::Send(id, FromRelay::Refused { reason }));
            self.events.push_back(Event::Refused { connection: id, request, reason });
        }
    }

    /// The open channels of which a connection is one end; none if it is not known. At most
    /// [`BrokerConfig::max_channels_per_connection`].
    pub fn channels_of(&self, id: ConnectionId) -> impl Iterator<Item = ChannelId> + '_ {
        self.connections.get(&id).into_iter().flat_map(|connection| connection.channels.iter().copied())
    }

    /// When [`Broker::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let tidying =
            [self.locators.next_rested(), self.slots.next_rested(), self.addresses.next_forgotten()].into_iter();
        tidying.chain([self.timers.next()]).flatten().min()
    }

    /// Ends what has lapsed at `now`. Calling it early or late does no harm.
    pub fn handle_timeout(&mut self, now: Moment, traffic: &dyn Traffic) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Locator(locator) => self.lapse_locator(locator, now),
                Timer::Rejoin(rendezvous) => self.give_up_meeting(rendezvous),
                Timer::Wake(agent) => self.wake_again(agent, now),
                Timer::Channel(channel) => self.check_channel(channel, now, traffic),
            }
        }
        self.locators.tidy(now);
        self.slots.tidy(now);
        self.addresses.tidy(now);
    }

    /// Takes nothing new from here on and tells everyone to come back; channels stand until [`Broker::finish`].
    ///
    /// `grace` is how long the shell will wait for channels to end. Programs are told to come back a little after that, one after the
    /// other.
    pub fn drain(&mut self, grace: Duration) {
        if self.draining {
            return;
        }
        self.draining = true;
        let channels = self.slots.open_len();
        self.events.push_back(Event::Draining { channels });
        for rendezvous in self.meetings.all() {
            if let Some(waiter) = self.leave_meeting(rendezvous) {
                self.send(waiter.connection, FromRelay::Refused { reason: Refusal::Draining });
            }
        }
        for agent in self.sleepers.being_woken() {
            self.give_up_waking(agent, Refusal::Draining);
        }
        let wait = RECONNECT_MARGIN + if channels == 0 { Duration::ZERO } else { grace };
        for (place, id) in (0u32..).zip(self.connections.keys()) {
            let spread = RECONNECT_SPACING.saturating_mul(place).min(RECONNECT_SPREAD);
            let reconnect_in_ms = u32::try_from((wait + spread).as_millis()).unwrap_or(u32::MAX);
            self.commands.push_back(Command::Send(*id, FromRelay::Draining { reconnect_in_ms }));
        }
    }

    /// Closes every channel and connection: the end of a drain, or of a drain that took too long.
    pub fn finish(&mut self, now: Moment) {
        self.draining = true;
        for channel in self.slots.channels().collect::<Vec<_>>() {
            self.close_channel(channel, ChannelEnd::Draining, now);
        }
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.disconnected(id, now);
            self.commands.push_back(Command::Disconnect(id, Goodbye::Draining));
        }
    }

    /// The next thing to do. The shell empties this after each input.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The next thing to report. The shell empties this after each input.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How much there is right now. Takes time proportional to the number of addresses.
    pub fn counts(&self) -> Counts {
        Counts {
            connections: self.connections.len(),
            locators: self.locators.live_len(),
            resting_locators: self.locators.resting_len(),
            channels: self.slots.open_len(),
            channel_ends: self.addresses.channel_ends(),
            resting_channels: self.slots.resting_len(),
            rejoins: self.meetings.len(),
            sleepers: self.sleepers.len(),
            waking: self.sleepers.waking_len(),
            addresses: self.addresses.len(),
            timers: self.timers.len(),
        }
    }
}

/// Channels.
impl Broker {
    fn attach(
        &mut self,
        id: ConnectionId,
        locator: Locator,
        first: FirstFlight,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(), Refusal> {
        self.accept_as(id, Side::Technician)?;
        let connection = self.connections.get(&id).ok_or(Refusal::Unexpected)?;
        let address = self.addresses.connected(connection.address).ok_or(Refusal::Unexpected)?;
        // Asked before the locator is looked up, so that a guesser who is cut off learns nothing any more.
        if !address.failed_attach.allows(self.config.failed_attach_rate, now)
            || !address.attach.take(self.config.attach_rate, now)
        {
            return Err(Refusal::TooManyAttempts);
        }
        let waiting = self.locators.waiting(locator).filter(|waiting| now < waiting.lapses_at);
        let Some(waiting) = waiting else {
            address.failed_attach.take(self.config.failed_attach_rate, now);
            return Err(Refusal::NobodyWaiting);
        };
        if waiting.attached.is_some() {
            return Err(Refusal::Busy);
        }
        match waiting.agent {
            Holder::Connected(agent) => self.attach_to((agent, id), locator, first, now, rng),
            Holder::Asleep(agent) => self.attach_to_sleeper(id, agent, first, now),
        }
    }

    pub(crate) fn attach_to(
        &mut self,
        (agent, id): (ConnectionId, ConnectionId),
        locator: Locator,
        first: FirstFlight,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(), Refusal> {
        self.room_for_channel(id, Some(agent))?;
        self.room_for_channel(agent, Some(id)).map_err(|_| Refusal::Busy)?;
        let cause = Cause { origin: ChannelOrigin::Attach, locator: Some(locator), first };
        let channel = self.open_channel((agent, id), cause, now, rng)?;
        if let Some(waiting) = self.locators.waiting(locator) {
            waiting.attaches += 1;
            waiting.attached = Some(channel);
        }
        Ok(())
    }

    fn rejoin(
        &mut self,
        id: ConnectionId,
        rendezvous: Rendezvous,
        side: Side,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(), Refusal> {
        self.accept_as(id, side)?;
        let connection = self.connections.get(&id).ok_or(Refusal::Unexpected)?;
        let address = self.addresses.connected(connection.address).ok_or(Refusal::Unexpected)?;
        if !address.rejoin.take(self.config.rejoin_rate, now) {
            return Err(Refusal::TooManyAttempts);
        }
        let waiter = self.meetings.waiter(rendezvous).filter(|waiter| now < waiter.until);
        match waiter {
            Some(waiter) if waiter.side == side => {
                self.leave_meeting(rendezvous);
                if waiter.connection != id {
                    self.send(waiter.connection, FromRelay::Refused { reason: Refusal::NobodyWaiting });
                }
                self.wait_for_other_side(id, rendezvous, side, now)
            }
            Some(waiter) if self.room_for_channel(waiter.connection, None).is_err() => {
                self.leave_meeting(rendezvous);
                self.send(waiter.connection, FromRelay::Refused { reason: Refusal::TooManyAttempts });
                self.wait_for_other_side(id, rendezvous, side, now)
            }
            Some(waiter) => {
                self.room_for_channel(id, Some(waiter.connection))?;
                let sides = match side {
                    Side::Agent => (id, waiter.connection),
                    Side::Technician => (waiter.connection, id),
                };
                let cause = Cause { origin: ChannelOrigin::Rejoin, locator: None, first: FirstFlight::default() };
                self.open_channel(sides, cause, now, rng)?;
                self.leave_meeting(rendezvous);
                Ok(())
            }
            None => {
                self.give_up_meeting(rendezvous);
                self.wait_for_other_side(id, rendezvous, side, now)
            }
        }
    }

    fn wait_for_other_side(
        &mut self,
        id: ConnectionId,
        rendezvous: Rendezvous,
        side: Side,
        now: Moment,
    ) -> Result<(), Refusal> {
        if self.meetings.len() >= self.config.max_rejoins {
            return Err(Refusal::Full);
        }
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Unexpected)?;
        if connection.meetings.len() >= self.config.max_rejoins_per_connection {
            return Err(Refusal::TooManyAttempts);
        }
        connection.meetings.insert(rendezvous);
        let until = now + self.config.rejoin_wait;
        self.timers.set(until, Timer::Rejoin(rendezvous));
        self.meetings.wait(rendezvous, Waiter { connection: id, side, until });
        self.events.push_back(Event::RejoinWaiting { connection: id });
        Ok(())
    }

    fn leave_meeting(&mut self, rendezvous: Rendezvous) -> Option<Waiter> {
        let waiter = self.meetings.leave(rendezvous)?;
        self.timers.clear(waiter.until, Timer::Rejoin(rendezvous));
        if let Some(connection) = self.connections.get_mut(&waiter.connection) {
            connection.meetings.remove(&rendezvous);
        }
        Some(waiter)
    }

    fn give_up_meeting(&mut self, rendezvous: Rendezvous) {
        if let Some(waiter) = self.leave_meeting(rendezvous) {
            let reason = Refusal::NobodyWaiting;
            self.send(waiter.connection, FromRelay::Refused { reason });
            self.events.push_back(Event::Refused { connection: waiter.connection, request: Request::Rejoin, reason });
        }
    }

    fn open_channel(
        &mut self,
        (agent, technician): (ConnectionId, ConnectionId),
        Cause { origin, locator, first }: Cause,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<ChannelId, Refusal> {
        let slot = self.slots.open((agent, technician), locator, &self.config, now, rng).ok_or(Refusal::Full)?;
        let channel = slot.channel;
        self.timers.set(slot.check_at, Timer::Channel(channel));
        self.commands.push_back(Command::OpenSlot { channel, agent, technician });
        for (id, first) in [(agent, first), (technician, FirstFlight::default())] {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.channels.insert(channel);
                if let Some(address) = self.addresses.connected(connection.address) {
                    address.channels += 1;
                }
            }
            self.send(id, FromRelay::ChannelOpen { channel, origin, first });
        }
        self.events.push_back(Event::ChannelOpened { channel, origin, agent, technician });
        Ok(channel)
    }

    /// Closes a channel and tells every side that is still connected, the one that asked for it as well.
    fn close_channel(&mut self, channel: ChannelId, reason: ChannelEnd, now: Moment) {
        let Some(slot) = self.slots.close(channel, &self.config, now) else { return };
        self.timers.clear(slot.check_at, Timer::Channel(channel));
        self.commands.push_back(Command::CloseSlot { channel });
        for id in slot.sides() {
            self.take_channel_off(id, channel);
            self.send(id, FromRelay::ChannelClosed { channel, reason });
        }
        self.events.push_back(Event::ChannelClosed { channel, reason });
        if let Some(locator) = slot.locator {
            self.attach_is_over(locator, now);
        }
    }

    fn take_channel_off(&mut self, id: ConnectionId, channel: ChannelId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.channels.remove(&channel);
            if let Some(address) = self.addresses.connected(connection.address) {
                address.channels = address.channels.saturating_sub(1);
            }
        }
    }

    /// Lets the next technician attach by this locator, or ends it when enough have tried.
    fn attach_is_over(&mut self, locator: Locator, now: Moment) {
        let Some(waiting) = self.locators.waiting(locator) else { return };
        waiting.attached = None;
        if waiting.attaches >= self.config.attaches_per_locator
            && let Some(Holder::Connected(agent)) = self.end_locator(locator, LocatorEnd::Exhausted, now)
        {
            self.send(agent, FromRelay::LocatorLapsed { locator });
        }
    }

    /// A channel of somebody else, or one that is gone, is left alone without a word.
    fn close_by(&mut self, id: ConnectionId, channel: ChannelId, now: Moment) -> Result<(), Refusal> {
        let connection = self.connections.get(&id).ok_or(Refusal::Unexpected)?;
        if connection.channels.contains(&channel) {
            self.close_channel(channel, ChannelEnd::Closed, now);
        }
        Ok(())
    }

    /// Closes a channel that is not used, or looks again when it could be idle next.
    fn check_channel(&mut self, channel: ChannelId, now: Moment, traffic: &dyn Traffic) {
        let Some(slot) = self.slots.channel(channel) else { return };
        let seen = traffic.last_seen(channel);
        // A session that lives is heard from both sides; one side alone holds no slot.
        let idle_at = match (seen.agent, seen.technician) {
            (Some(agent), Some(technician)) => agent.min(technician).max(slot.opened_at) + self.config.channel_idle,
            (Some(_), None) | (None, Some(_)) | (None, None) => slot.opened_at + self.config.channel_start,
        };
        if idle_at <= now {
            self.close_channel(channel, ChannelEnd::Idle, now);
        } else {
            slot.check_at = idle_at;
            self.timers.set(idle_at, Timer::Channel(channel));
        }
    }
}

/// Small things.
impl Broker {
    /// Refuses what the other side of a session would ask for, and everything while draining.
    pub(crate) fn accept_as(&mut self, id: ConnectionId, side: Side) -> Result<(), Refusal> {
        let connection = self.connections.get_mut(&id).ok_or(Refusal::Unexpected)?;
        if *connection.side.get_or_insert(side) != side {
            return Err(Refusal::Unexpected);
        }
        if self.draining { Err(Refusal::Draining) } else { Ok(()) }
    }

    /// Whether a connection may hold one more channel, of which its address holds the other end as well if `with` has the same one.
    pub(crate) fn room_for_channel(&mut self, id: ConnectionId, with: Option<ConnectionId>) -> Result<(), Refusal> {
        let connection = self.connections.get(&id).ok_or(Refusal::Unexpected)?;
        let other = with.and_then(|other| self.connections.get(&other));
        let ends = 1 + usize::from(other.is_some_and(|other| other.address == connection.address));
        let address = self.addresses.connected(connection.address).ok_or(Refusal::Unexpected)?;
        let room = connection.channels.len() < self.config.max_channels_per_connection
            && address.channels + ends <= self.config.max_channels_per_address;
        if room { Ok(()) } else { Err(Refusal::TooManyAttempts) }
    }

    pub(crate) fn send(&mut self, id: ConnectionId, message: FromRelay) {
        if self.connections.contains_key(&id) {
            self.commands.push_back(Command::Send(id, message));
        }
    }
}
