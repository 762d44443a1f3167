//! One agent or technician at the relay.

use std::{net::SocketAddr, time::Duration};

use quinn::{ConnectionError, VarInt};
use tokio::time::timeout;
use wire::{
    control::{FromRelay, ToRelay},
    text::Label,
};

use super::DRAINING_CODE;
use crate::{
    address::canonical,
    streams::{FrameReceiver, FrameSender, StreamError},
};

/// A client that does not take a few bytes for so long is of no use.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// How a control connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerClosed {
    /// The client closed it.
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
}

impl From<ConnectionError> for PeerClosed {
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

/// Why a message was not received or sent. The connection is of no use afterwards, but for [`PeerError::NotReady`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The connection or its stream is over.
    #[error("the control stream is over: {0}")]
    Stream(StreamError),
    /// The client does not read what it is told.
    #[error("the client does not read")]
    TooSlow,
    /// The client has not said anything yet, so there is no stream to answer on.
    #[error("the client has not said anything yet")]
    NotReady,
}

impl PeerError {
    /// Whether the client sent something that no honest one sends.
    pub fn peer_broke_the_rules(&self) -> bool {
        match self {
            Self::Stream(error) => error.peer_broke_the_rules(),
            Self::TooSlow | Self::NotReady => false,
        }
    }
}

/// One client's control connection. The connection is closed when this is dropped.
#[derive(Debug)]
pub struct ControlPeer {
    connection: quinn::Connection,
    /// The client opens it with its first message.
    stream: Option<(FrameSender, FrameReceiver)>,
}

impl ControlPeer {
    pub(super) fn new(connection: quinn::Connection) -> Self {
        Self { connection, stream: None }
    }

    /// Where the client is now; it may move. IPv4 is never written as IPv6.
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    /// Waits for the client's next message. `None`: it says nothing more.
    ///
    /// # Errors
    ///
    /// [`PeerError::Stream`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<Option<ToRelay>, PeerError> {
        if self.stream.is_none() {
            let stream = self.connection.accept_bi().await;
            let (send, receive) = stream.map_err(|error| PeerError::Stream(StreamError::Closed(error.into())))?;
            self.stream = Some((FrameSender::new(send, None), FrameReceiver::new(receive)));
        }
        match &mut self.stream {
            Some((_, receiver)) => receiver.recv().await.map_err(PeerError::Stream),
            None => Ok(None),
        }
    }

    /// Tells the client something. Waits at most 5 s for a client that does not read.
    ///
    /// # Errors
    ///
    /// See [`PeerError`].
    ///
    /// # Cancel safety
    ///
    /// The message is sent whole, with the next one at the latest, or not at all.
    pub async fn send(&mut self, message: &FromRelay) -> Result<(), PeerError> {
        let (sender, _) = self.stream.as_mut().ok_or(PeerError::NotReady)?;
        match timeout(SEND_WITHIN, sender.send(message)).await {
            Ok(sent) => sent.map_err(PeerError::Stream),
            Err(_) => Err(PeerError::TooSlow),
        }
    }

    /// Closes the connection with a reason for the client, at most 128 bytes of it.
    pub fn close(&self, reason: &str) {
        self.connection.close(VarInt::from_u32(0), Label::cut(reason).raw().as_bytes());
    }

    /// Closes the connection because the relay stops; the client then knows that it may come back.
    pub fn close_draining(&self) {
        self.connection.close(VarInt::from_u32(DRAINING_CODE), b"the relay stops");
    }

    /// Waits for the end of the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) -> PeerClosed {
        self.connection.closed().await.into()
    }
}
