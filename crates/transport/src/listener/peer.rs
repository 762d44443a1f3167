//! What the listener tells of agents and technicians, and what it is told.

use std::{net::SocketAddr, time::Duration};

use quinn_proto::ConnectionError;
use wire::{codec::CodecError, control::ToRelay, ids::AgentId, text::Label};

/// One client's control connection, never named so again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId {
    number: u64,
    /// Where its shard keeps it.
    pub(super) place: u32,
    pub(super) shard: u8,
}

impl PeerId {
    pub(super) fn new(number: u64, place: u32, shard: u8) -> Self {
        Self { number, place, shard }
    }

    /// The shard that has its connection.
    pub fn shard(self) -> u8 {
        self.shard
    }

    /// Its number since the listener was bound, from 1 on.
    pub fn number(self) -> u64 {
        self.number
    }
}

/// What happened on control connections. For one peer: `Connected` first, `Ended` last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerEvent {
    /// A handshake is done.
    Connected {
        /// Who came.
        peer: PeerId,
        /// Where its packets come from and go to, as [`Forward`](super::Forward) sees them. IPv4 is never written as IPv6. Of a client that
        /// came by a [pipe](super::pipes), this stands for the pipe.
        address: SocketAddr,
        /// Where the client itself is, or the last proxy before us.
        client: SocketAddr,
        /// Whose key it has proved to have, if it showed one.
        agent: Option<AgentId>,
    },
    /// A client said something.
    Message {
        /// Who.
        peer: PeerId,
        /// What.
        message: ToRelay,
    },
    /// A client is now somewhere else and has proved it (RFC 9000 section 9.3): packets to the new address reach it.
    Moved {
        /// Who.
        peer: PeerId,
        /// Where it is.
        address: SocketAddr,
    },
    /// A connection is over.
    Ended {
        /// Whose.
        peer: PeerId,
        /// Why.
        why: PeerEnd,
    },
}

impl PeerEvent {
    /// Whom it is about.
    pub fn peer(&self) -> PeerId {
        match self {
            Self::Connected { peer, .. }
            | Self::Message { peer, .. }
            | Self::Moved { peer, .. }
            | Self::Ended { peer, .. } => *peer,
        }
    }
}

/// How a control connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerEnd {
    /// The client closed it, or says nothing more.
    #[error("the client left")]
    ByPeer,
    /// It was closed here.
    #[error("closed by the relay")]
    Here,
    /// Nothing came for 75 s, or the client has forgotten the connection.
    #[error("the client is gone")]
    Gone,
    /// QUIC or TLS was broken.
    #[error("the connection broke: {reason}")]
    Broken {
        /// What went wrong, made safe to show.
        reason: Label,
    },
    /// A message was too long, refused before any of it was kept, or malformed.
    #[error("a message was refused: {0}")]
    Message(#[from] CodecError),
    /// The stream ended inside a message.
    #[error("the stream ended inside a message")]
    Truncated,
    /// The client does not read what it is told.
    #[error("the client does not read")]
    TooSlow,
}

impl PeerEnd {
    /// Whether the client sent something that no honest one sends.
    pub fn peer_broke_the_rules(&self) -> bool {
        match self {
            Self::Message(_) | Self::Truncated => true,
            Self::ByPeer | Self::Here | Self::Gone | Self::Broken { .. } | Self::TooSlow => false,
        }
    }
}

impl From<ConnectionError> for PeerEnd {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(_) => Self::ByPeer,
            ConnectionError::LocallyClosed => Self::Here,
            ConnectionError::TimedOut | ConnectionError::Reset => Self::Gone,
            error @ (ConnectionError::ConnectionClosed(_)
            | ConnectionError::TransportError(_)
            | ConnectionError::VersionMismatch
            | ConnectionError::CidsExhausted) => Self::Broken { reason: Label::cut(&error.to_string()) },
        }
    }
}

/// How to close a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Farewell {
    pub(super) code: u32,
    pub(super) reason: Label,
    pub(super) linger: Duration,
}

impl Farewell {
    /// With a reason for the client.
    pub fn because(reason: &str) -> Self {
        Self { code: 0, reason: Label::cut(reason), linger: Duration::ZERO }
    }

    /// Because the relay stops; the client then knows that it may come back.
    pub fn draining() -> Self {
        Self { code: super::DRAINING_CODE, reason: Label::cut("the relay stops"), linger: Duration::ZERO }
    }

    /// Because the same agent has come by another connection.
    pub fn superseded() -> Self {
        let reason = Label::cut("another program has connected with the same key");
        Self { code: super::SUPERSEDED_CODE, reason, linger: Duration::ZERO }
    }

    /// Because the agent goes to sleep, as it asked for.
    pub fn asleep() -> Self {
        Self { code: super::ASLEEP_CODE, reason: Label::cut("asleep"), linger: Duration::ZERO }
    }

    /// Leaves the client so long to read what it was told and to close the connection itself.
    #[must_use]
    pub fn after(self, linger: Duration) -> Self {
        Self { linger, ..self }
    }
}
