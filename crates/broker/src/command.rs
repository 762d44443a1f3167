//! What a broker says: commands to carry out, events to report, and what it asks of the data path.

use wire::{
    channel::ChannelId,
    control::{ChannelEnd, ChannelOrigin, FromRelay, Refusal},
    ids::AgentId,
    time::Moment,
};

use crate::ConnectionId;

/// What the shell does next. The order matters: a slot is open before its sides are told, and closed before they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send a message.
    Send(ConnectionId, FromRelay),
    /// Forward packets with this channel id between the two connections' addresses.
    OpenSlot {
        /// Its slot is below [`BrokerConfig::max_slots`](crate::BrokerConfig::max_slots) and not open.
        channel: ChannelId,
        /// One leg.
        agent: ConnectionId,
        /// The other leg; never the same connection.
        technician: ConnectionId,
    },
    /// Forward nothing more with this channel id.
    CloseSlot {
        /// Opened by an earlier command.
        channel: ChannelId,
    },
    /// Send [`FromRelay::Observed`] with the whole address that the connection has proved, of which the broker keeps only a part.
    /// Nothing is sent to one that came by another way than UDP.
    TellAddress(ConnectionId),
    /// Send [`FromRelay::Reflector`] with the port that the shell has for it, or none.
    TellReflector(ConnectionId),
    /// Take this connection's agent among those that sleep, and say with [`Broker::laid_down`](crate::Broker::laid_down) whether that could
    /// be done.
    LayDown(ConnectionId, AgentId),
    /// Send a sleeping agent the packet that wakes it.
    Wake(AgentId),
    /// Forget a sleeping agent: it has come back.
    GetUp(AgentId),
    /// Send what is queued and close the connection. The broker has forgotten it already.
    Disconnect(ConnectionId, Goodbye),
}

/// Why the relay closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Goodbye {
    /// It sent more messages than its rate allows.
    Flooding,
    /// The relay stops.
    Draining,
    /// The same agent has come by another connection.
    Superseded,
}

/// Something worth counting or reporting. None carries a locator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection was taken.
    Connected {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection was turned away.
    TurnedAway {
        /// Why.
        reason: Refusal,
    },
    /// A connection is gone.
    Disconnected {
        /// Which.
        connection: ConnectionId,
    },
    /// An agent was given a locator.
    LocatorAllocated {
        /// The agent's connection.
        connection: ConnectionId,
        /// How many digits it has.
        digits: u8,
    },
    /// A locator leads nowhere any more.
    LocatorEnded {
        /// The agent's connection; `None` if it slept.
        connection: Option<ConnectionId>,
        /// Why.
        why: LocatorEnd,
    },
    /// A channel stands.
    ChannelOpened {
        /// Which.
        channel: ChannelId,
        /// How it came about.
        origin: ChannelOrigin,
        /// One side.
        agent: ConnectionId,
        /// The other.
        technician: ConnectionId,
    },
    /// A channel is gone.
    ChannelClosed {
        /// Which.
        channel: ChannelId,
        /// Why.
        reason: ChannelEnd,
    },
    /// A request was refused.
    Refused {
        /// Who asked.
        connection: ConnectionId,
        /// For what.
        request: Request,
        /// Why not.
        reason: Refusal,
    },
    /// One side waits for the other to come back.
    RejoinWaiting {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection sent too much and is cut off.
    Flooded {
        /// Which.
        connection: ConnectionId,
    },
    /// An agent sleeps from now on, and its connection is gone.
    FellAsleep {
        /// Its connection until now.
        connection: ConnectionId,
    },
    /// An agent that had slept is back.
    Awake {
        /// Its connection from now on.
        connection: ConnectionId,
        /// It was woken for somebody who waits.
        wanted: bool,
    },
    /// A connection is closed because its agent has come by another.
    Superseded {
        /// The connection that is closed.
        connection: ConnectionId,
    },
    /// A technician waits for an agent that is being woken.
    Waking {
        /// The technician's connection.
        connection: ConnectionId,
    },
    /// The relay takes nothing new from here on.
    Draining {
        /// Channels that still stand.
        channels: usize,
    },
}

/// Why a locator leads nowhere any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocatorEnd {
    /// Its time was over.
    Lapsed,
    /// Its agent gave it back.
    Released,
    /// Its agent asked for another.
    Replaced,
    /// Too many attaches without a pairing.
    Exhausted,
    /// Its agent is gone.
    AgentGone,
}

/// What a connection asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Request {
    /// A locator.
    AllocateLocator,
    /// To give a locator back.
    ReleaseLocator,
    /// To be joined with the agent behind a locator.
    Attach,
    /// To be joined with the other side of an earlier session.
    Rejoin,
    /// To close a channel.
    CloseChannel,
    /// To be told its own address.
    Observe,
    /// To be told where the reflector is.
    FindReflector,
    /// To be let go to sleep.
    Sleep,
    /// What was kept while it slept.
    Awake,
    /// Something that this build does not know.
    Unknown,
}

/// How much there is right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connections.
    pub connections: usize,
    /// Locators that lead to an agent.
    pub locators: usize,
    /// Locators at rest.
    pub resting_locators: usize,
    /// Open channels.
    pub channels: usize,
    /// Channel ends as counted for the addresses: twice the channels.
    pub channel_ends: usize,
    /// Ids of closed channels that are not given out yet.
    pub resting_channels: usize,
    /// Sides of sessions that wait for the other.
    pub rejoins: usize,
    /// Sleeping agents that a locator leads to.
    pub sleepers: usize,
    /// Technicians that wait for an agent to wake.
    pub waking: usize,
    /// Addresses that are known, connected or remembered for their rates.
    pub addresses: usize,
    /// Timers that are set.
    pub timers: usize,
}

/// What the data path knows about an open channel.
///
/// Asking when a deadline is reached keeps the broker out of the way of packets.
pub trait Traffic {
    /// When each side last sent a packet that was forwarded.
    fn last_seen(&self, channel: ChannelId) -> LastSeen;
}

/// When each side of a channel last sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LastSeen {
    /// The agent's side; `None` if it never did.
    pub agent: Option<Moment>,
    /// The technician's side; `None` if it never did.
    pub technician: Option<Moment>,
}
