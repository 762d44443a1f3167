//! Agent and technician with the relay, over the control connection.
//!
//! The client opens one bidirectional stream and both sides send [`frame`](crate::codec::frame)s on it. Nothing here carries
//! a name, a key or anything of a session but its locator and channel.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{channel::ChannelId, codec::Message, ids::Locator};

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
    const MAX_BYTES: usize = 64;
}

impl Message for FromRelay {
    const MAX_BYTES: usize = 64;
}
