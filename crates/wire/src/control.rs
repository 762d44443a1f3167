//! Agent and technician with the relay, over the control connection.
//!
//! The client opens one bidirectional stream and both sides send [`frame`](crate::codec::frame)s on it. Nothing here carries
//! a name, a key or anything of a session but its locator, its channel and sealed packets.

use std::{net::SocketAddr, num::NonZeroU16};

use serde::{Deserialize, Serialize};

use crate::{beat::SlotKey, channel::ChannelId, codec::Message, ids::Locator};

/// What an agent or a technician says to the relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ToRelay {
    /// Agent: give me a locator. One at a time; a second request releases the first.
    AllocateLocator,
    /// Agent: the code is used, void or withdrawn; let nobody attach by it any more.
    ReleaseLocator {
        /// The locator that this connection was given.
        locator: Locator,
    },
    /// Technician: bring me to the agent behind this locator.
    Attach {
        /// What the technician typed.
        locator: Locator,
        /// For the agent, so that it can answer at once.
        first: FirstFlight,
    },
    /// Either side of a paired session whose relay connection was lost: bring me back to the other side.
    ///
    /// Both sides derive the same rendezvous from the session's secret; the relay pairs an agent and a technician that show
    /// the same one and learns nothing from it.
    Rejoin {
        /// Derived by `trust` from the paired session, the same for each rejoin of it.
        rendezvous: Rendezvous,
        /// Which end this is.
        side: Side,
    },
    /// Either side: this channel is over.
    CloseChannel {
        /// A channel of this connection.
        channel: ChannelId,
    },
    /// Either side: from which address do my packets come?
    Observe,
    /// Either side: at which port can I find out what my network does to packets ([`crate::reflect`])? Relays from before this was there
    /// end the connection.
    FindReflector,
    /// Agent whose key the relay knows: I have nothing to do; let me go to sleep. The relay answers [`FromRelay::Asleep`] and closes the
    /// connection, or refuses.
    Sleep,
    /// The same agent, first thing on its next connection: I am back. The relay answers [`FromRelay::Resumed`].
    Awake,
}

/// The first packets of a technician's sealed handshake, sent along with the question for the agent: both travel together, and a
/// round trip is saved. The relay hands them on as they are; to the agent they are packets that came by the channel.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<u8>>")]
pub struct FirstFlight(Vec<Vec<u8>>);

impl FirstFlight {
    /// Most packets: a `ClientHello` with a post-quantum share is two.
    pub const PACKETS: usize = 3;

    /// Most bytes of all packets.
    pub const BYTES: usize = 3072;

    /// Takes the first of `packets` that fit within the bounds; the rest have to go by the channel, when it is there.
    pub fn of(packets: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut room = Self::BYTES;
        let fits = |packet: &Vec<u8>| {
            let left = room.checked_sub(packet.len()).filter(|_| !packet.is_empty());
            room = left.unwrap_or_default();
            left.is_some()
        };
        Self(packets.into_iter().take(Self::PACKETS).take_while(fits).collect())
    }

    /// The packets, in order, without channel headers.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(Vec::as_slice)
    }
}

/// A peer's flight is over its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a first flight has at most 3 packets, none of them empty, and 3072 bytes")]
pub struct FlightTooLong;

impl TryFrom<Vec<Vec<u8>>> for FirstFlight {
    type Error = FlightTooLong;

    fn try_from(packets: Vec<Vec<u8>>) -> Result<Self, Self::Error> {
        let count = packets.len();
        let flight = Self::of(packets);
        if flight.0.len() == count { Ok(flight) } else { Err(FlightTooLong) }
    }
}

impl std::fmt::Debug for FirstFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(Vec::len)).finish()
    }
}

/// A meeting point that only the two ends of one session can name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rendezvous(pub [u8; 16]);

impl std::fmt::Debug for Rendezvous {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rendezvous(..)")
    }
}

/// Which end of a session a program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The end user's machine.
    Agent,
    /// The technician's machine.
    Technician,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Agent => Self::Technician,
            Self::Technician => Self::Agent,
        }
    }
}

/// What the relay says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FromRelay {
    /// Answer to [`ToRelay::AllocateLocator`].
    LocatorAllocated {
        /// First part of the session code.
        locator: Locator,
        /// Seconds until the relay forgets it.
        lifetime_secs: u32,
    },
    /// The last request was not done.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// A channel between this program and the other side stands. Sent to both.
    ChannelOpen {
        /// Goes into the header of every sealed packet.
        channel: ChannelId,
        /// To the agent of an [`ToRelay::Attach`]: what the technician sent along. Empty for everybody else.
        first: FirstFlight,
        /// Whether the channel came from [`ToRelay::Attach`] or from [`ToRelay::Rejoin`].
        origin: ChannelOrigin,
    },
    /// A channel is gone; its packets go nowhere from here on.
    ChannelClosed {
        /// Which.
        channel: ChannelId,
        /// Why.
        reason: ChannelEnd,
    },
    /// A locator is gone without having been released by the agent.
    LocatorLapsed {
        /// Which.
        locator: Locator,
    },
    /// The relay is about to stop. Existing channels end with it.
    Draining {
        /// Milliseconds to wait before connecting again.
        reconnect_in_ms: u32,
    },
    /// Answer to [`ToRelay::Observe`]. Whoever reads it believes it no further than to try it: a relay can say what it likes.
    Observed {
        /// The address that the connection has proved.
        address: SocketAddr,
    },
    /// Answer to [`ToRelay::FindReflector`].
    Reflector {
        /// UDP port, at the address at which the relay itself was reached; `None`: it offers none.
        port: Option<NonZeroU16>,
    },
    /// Answer to [`ToRelay::Sleep`]: what the agent sends its beats with ([`crate::beat`]). The connection ends with this.
    Asleep(Bed),
    /// Answer to [`ToRelay::Awake`]: what the relay has kept of the agent's.
    Resumed {
        /// The locator that still leads to it, if one does.
        locator: Option<Locator>,
    },
}

/// What a sleeping agent stays reachable by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bed {
    /// Its place in the relay's table.
    pub slot: u32,
    /// Which use of that place.
    pub generation: u16,
    /// The relay's count of roots.
    pub epoch: u32,
    /// Key of all tags.
    pub key: SlotKey,
    /// Every counter is above this, in both directions.
    pub counter: u64,
}

/// Where a channel came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChannelOrigin {
    /// A technician attached by a locator.
    Attach,
    /// Both sides of an earlier session met again.
    Rejoin,
}

/// Why the relay did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No agent waits under this locator: mistyped, lapsed or used. The relay does not say which.
    #[error("nobody is waiting under this code")]
    NobodyWaiting,
    /// Another technician is attaching to the same agent right now.
    #[error("another technician is attaching with this code")]
    Busy,
    /// This address or connection has asked too often.
    #[error("too many attempts from this address")]
    TooManyAttempts,
    /// The relay has no slot or locator left.
    #[error("the relay is full")]
    Full,
    /// The relay is about to stop.
    #[error("the relay is about to restart")]
    Draining,
    /// The message makes no sense from this connection.
    #[error("the relay did not expect this request")]
    Unexpected,
}

impl Refusal {
    /// Whether the same request could succeed a little later without anybody doing anything.
    pub fn worth_trying_again(self) -> bool {
        match self {
            Self::Busy | Self::Full | Self::Draining => true,
            Self::NobodyWaiting | Self::TooManyAttempts | Self::Unexpected => false,
        }
    }
}

/// Why a channel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChannelEnd {
    /// One side closed it.
    Closed,
    /// The other side's control connection is gone.
    PeerGone,
    /// Nothing was sent on it for too long.
    Idle,
    /// The relay is about to stop.
    Draining,
}

impl Message for ToRelay {
    const MAX_BYTES: usize = 64 + FirstFlight::BYTES;
}

impl Message for FromRelay {
    const MAX_BYTES: usize = 64 + FirstFlight::BYTES;
}
