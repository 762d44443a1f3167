//! The sealed session between technician and agent, which the relay forwards without reading it.
//!
//! A session begins as [`Unpaired`]: both sides have proved a key to each other, but not yet who they are, and nothing but pairing
//! messages can be sent. [`Unpaired::into_paired`] takes the proof of pairing and gives the [`Sealed`] session with its
//! streams. Both types close the connection when they and all their streams are dropped.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quinn::{ConnectionError, VarInt};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use trust::{
    keys::PublicKey,
    pairing::Paired,
    probe::{EXPORTER_LABEL, ProbeKeys},
};
use wire::{
    codec::Message,
    control::Side,
    pairing::{FromUnpairedAgent, FromUnpairedTechnician},
    text::Label,
};

use crate::{
    address::SessionKey,
    clock,
    paths::Paths,
    silence::{Listening, Silence},
    socket::{NodeSocket, lock},
    streams::{ByteReceiver, ByteSender, FrameReceiver, FrameSender, Lanes, Priority, StreamError},
    table::End,
};

/// A way that sealed packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Carrier {
    /// By the relay.
    Relayed,
    /// UDP from one end to the other.
    Direct,
}

/// Why one side closed a session's connection. What it means for the people, the messages before it say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// Everything was said.
    Done,
    /// Pairing did not succeed.
    NotPaired,
    /// The other side broke the protocol.
    Protocol,
    /// The program stops.
    Shutdown,
}

impl CloseCode {
    const ALL: [Self; 4] = [Self::Done, Self::NotPaired, Self::Protocol, Self::Shutdown];

    fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::NotPaired => 1,
            Self::Protocol => 2,
            Self::Shutdown => 3,
        }
    }
}

/// How a session's connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedEnd {
    /// The peer closed it.
    #[error("the other side closed the connection: {reason}")]
    ByPeer {
        /// `None` for a number that this version does not know.
        code: Option<CloseCode>,
        /// The peer's words.
        reason: Label,
    },
    /// It was closed or dropped here.
    #[error("the connection was closed here")]
    Here,
    /// Nothing came from the peer for longer than any program waits ([`PATIENCE_MOST`](crate::silence::PATIENCE_MOST)).
    #[error("the other side has not been heard for too long")]
    TimedOut,
    /// The peer knows nothing of this connection: its program was restarted.
    #[error("the other side does not know this connection any more")]
    Forgotten,
    /// One side broke QUIC or TLS.
    #[error("the connection broke: {reason}")]
    Broken {
        /// What went wrong, made safe to show.
        reason: Label,
    },
}

impl SealedEnd {
    /// Whether the peer, or whoever is between, did something that no honest peer does.
    pub fn peer_broke_the_rules(&self) -> bool {
        match self {
            Self::Broken { .. } => true,
            Self::ByPeer { .. } | Self::Here | Self::TimedOut | Self::Forgotten => false,
        }
    }
}

impl From<ConnectionError> for SealedEnd {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::ByPeer {
                code: CloseCode::ALL.into_iter().find(|code| u64::from(code.number()) == close.error_code.into_inner()),
                reason: Label::cut(&String::from_utf8_lossy(&close.reason)),
            },
            ConnectionError::LocallyClosed => Self::Here,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::Forgotten,
            error @ (ConnectionError::ConnectionClosed(_)
            | ConnectionError::TransportError(_)
            | ConnectionError::VersionMismatch
            | ConnectionError::CidsExhausted) => Self::Broken { reason: Label::cut(&error.to_string()) },
        }
    }
}

/// How it stands with direct paths of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirectState {
    /// They are not allowed, or not yet.
    Closed,
    /// Addresses are being tried.
    Trying,
    /// No address of the other end answered. It is tried again now and then.
    NoAnswer,
    /// The session goes directly.
    Used {
        /// Technician: by how many microseconds the direct path answered sooner than the relay when it was taken; negative for later.
        sooner_us: i64,
    },
    /// A direct path died, or did not carry what it should. It is tried again after a while.
    FellBack,
}

/// How a session's path is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathStats {
    /// Smoothed round-trip time to the other end.
    pub rtt: Duration,
    /// Packets sent from here, since the session or, at an agent, its present path began.
    pub sent: u64,
    /// Those of them that were lost.
    pub lost: u64,
    /// UDP payload sent, since the session began.
    pub sent_bytes: u64,
    /// UDP payload received, since the session began.
    pub received_bytes: u64,
    /// By which way packets travel.
    pub carrier: Carrier,
    /// Whether this end reaches the relay over TCP. How the other end does is not known here.
    pub relay_over_tcp: bool,
    /// How it stands with direct paths.
    pub direct: DirectState,
    /// How long the other end has not been heard. Whether this machine slept meanwhile is found out by looking every second or two.
    pub silence: Silence,
}

impl PathStats {
    /// By which way packets travel, in the words that people and scripts read: `direct`, `relayed` or `relayed over TCP`.
    pub fn way(&self) -> &'static str {
        match self.carrier {
            Carrier::Direct => "direct",
            Carrier::Relayed if self.relay_over_tcp => "relayed over TCP",
            Carrier::Relayed => "relayed",
        }
    }
}

/// Names a session towards the [`Node`](crate::node::Node) that it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionRef(pub(crate) SessionKey);

/// What both types share: the connection, and its place in the socket's table.
struct Link {
    connection: quinn::Connection,
    peer: PublicKey,
    socket: Arc<NodeSocket>,
    key: SessionKey,
    listening: Mutex<Listening>,
    /// Keeps the time of the session's paths; ends with this.
    _driver: JoinSet<()>,
}

impl Link {
    fn stats(&self) -> PathStats {
        let stats = self.connection.stats();
        // Counted after they were opened with the session's keys: nobody between can make one.
        let heard = stats.frame_rx;
        let heard =
            heard.acks + heard.ping + heard.stream + heard.datagram + heard.path_challenge + heard.path_response;
        let silence = lock(&self.listening).look(heard, clock::now());
        let now = self.socket.uptime();
        let about = |paths: &mut Paths| (paths.carrier(), paths.direct_state(now), paths.direct_rtt());
        let (relay_over_tcp, (carrier, direct, rtt)) = {
            let mut table = self.socket.table();
            let about = table.paths(self.key).map(about).unwrap_or((Carrier::Relayed, DirectState::Closed, None));
            (table.is_live_by_pipe(), about)
        };
        PathStats {
            rtt: rtt.unwrap_or(stats.path.rtt),
            sent: stats.path.sent_packets,
            lost: stats.path.lost_packets,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            carrier,
            relay_over_tcp,
            direct,
            silence,
        }
    }

    fn open_direct(&self) {
        let exporter = self.exporter(EXPORTER_LABEL, b"");
        let side = |end| match end {
            End::Agent => Side::Agent,
            End::Technician => Side::Technician,
        };
        let now = self.socket.uptime();
        if let Some(paths) = self.socket.table().paths(self.key) {
            paths.open_direct(|end| ProbeKeys::new(&exporter, side(end)), now);
        }
    }

    fn punch(&self, addresses: &[SocketAddr]) {
        let now = self.socket.uptime();
        let mut table = self.socket.table();
        let relay = table.live_relay();
        if let Some(paths) = table.paths(self.key) {
            paths.punch(addresses, relay, now);
        }
    }

    fn close_direct(&self) {
        if let Some(paths) = self.socket.table().paths(self.key) {
            paths.close_direct();
        }
    }

    fn end_direct(&self) {
        if let Some(paths) = self.socket.table().paths(self.key) {
            paths.end_direct();
        }
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(VarInt::from_u32(code.number()), Label::cut(reason).raw().as_bytes());
    }

    fn exporter(&self, label: &[u8], context: &[u8]) -> [u8; 32] {
        let mut secret = [0; 32];
        self.connection
            .export_keying_material(&mut secret, label, context)
            .expect("the handshake is done and 32 bytes are few");
        secret
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.socket.table().over(self.key);
    }
}

/// Messages that may be sent before pairing.
pub trait PairingMessage: Message + sealing::Sealed {}
impl PairingMessage for FromUnpairedTechnician {}
impl PairingMessage for FromUnpairedAgent {}

mod sealing {
    #[expect(unnameable_types, reason = "so that nobody else can make a message pass for a pairing message")]
    pub trait Sealed {}
    impl Sealed for wire::pairing::FromUnpairedTechnician {}
    impl Sealed for wire::pairing::FromUnpairedAgent {}
}

/// A session in which both sides have proved a key and nothing else.
///
/// All of pairing has to be done within [`PAIRING_DEADLINE`](wire::limits::PAIRING_DEADLINE) of the session's start.
pub struct Unpaired {
    link: Arc<Link>,
    deadline: Instant,
    control: ControlStream,
}

/// The one two-way stream of a session. The agent opens it, with its first message.
pub(crate) struct ControlStream {
    lanes: Arc<Lanes>,
    /// `None`: the technician has not seen it yet.
    ends: Option<(FrameSender, FrameReceiver)>,
}

impl ControlStream {
    /// Agent: opens the stream and says the first thing on it. The technician need not have finished its handshake.
    pub(crate) async fn open<M: PairingMessage>(
        connection: &quinn::Connection,
        greeting: &M,
    ) -> Result<Self, StreamError> {
        let lanes = Arc::new(Lanes::new(connection.clone()));
        let (send, receive) = connection.open_bi().await.map_err(SealedEnd::from)?;
        let mut sender = FrameSender::new(send, Some(Arc::clone(&lanes)));
        sender.send(greeting).await?;
        Ok(Self { lanes, ends: Some((sender, FrameReceiver::new(receive))) })
    }

    /// Technician: waits for the agent's first word when it is asked for.
    pub(crate) fn expected(connection: &quinn::Connection) -> Self {
        Self { lanes: Arc::new(Lanes::new(connection.clone())), ends: None }
    }

    async fn ends(&mut self, connection: &quinn::Connection) -> Result<&mut (FrameSender, FrameReceiver), StreamError> {
        if self.ends.is_none() {
            let (send, receive) = connection.accept_bi().await.map_err(SealedEnd::from)?;
            // The agent has its one stream. Even after ending it, it gets no other.
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(0));
            let sender = FrameSender::new(send, Some(Arc::clone(&self.lanes)));
            self.ends = Some((sender, FrameReceiver::new(receive)));
        }
        self.ends.as_mut().ok_or(StreamError::Ended)
    }
}

impl Unpaired {
    pub(crate) fn new(
        connection: quinn::Connection,
        peer: PublicKey,
        socket: Arc<NodeSocket>,
        key: SessionKey,
        deadline: Instant,
        driver: JoinSet<()>,
        control: ControlStream,
    ) -> Self {
        let listening = Mutex::new(Listening::new(clock::now()));
        let link = Link { connection, peer, socket, key, listening, _driver: driver };
        Self { link: Arc::new(link), deadline, control }
    }

    /// A secret that only the two ends of this TLS session can derive (RFC 8446 section 7.5).
    pub fn exporter(&self, label: &[u8], context: &[u8]) -> [u8; 32] {
        self.link.exporter(label, context)
    }

    /// As [`Sealed::open_direct`] and [`Sealed::punch`]; in programs there is no direct path before pairing.
    #[cfg(test)]
    pub(crate) fn punch(&self, addresses: &[SocketAddr]) {
        self.link.open_direct();
        self.link.punch(addresses);
    }

    #[cfg(test)]
    pub(crate) fn close_direct(&self) {
        self.link.close_direct();
    }

    /// The connection as quinn has it, to measure it.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &quinn::Connection {
        &self.link.connection
    }

    /// The key that the other side proved to have. Whose it is, pairing and certificates decide.
    pub fn peer_key(&self) -> &PublicKey {
        &self.link.peer
    }

    /// Names this session towards its node.
    pub fn session_ref(&self) -> SessionRef {
        SessionRef(self.link.key)
    }

    /// How the path is doing.
    pub fn stats(&self) -> PathStats {
        self.link.stats()
    }

    /// Sends a pairing message. A technician that has not heard the agent's first one waits for it.
    ///
    /// # Errors
    ///
    /// As [`FrameSender::send`], and [`StreamError::PairingTooSlow`].
    ///
    /// # Cancel safety
    ///
    /// As [`FrameSender::send`].
    pub async fn send<M: PairingMessage>(&mut self, message: &M) -> Result<(), StreamError> {
        let deadline = self.deadline;
        let send = async { self.control.ends(&self.link.connection).await?.0.send(message).await };
        timeout_at(deadline, send).await.map_err(|_| StreamError::PairingTooSlow)?
    }

    /// Receives a pairing message. `None`: the peer says nothing more.
    ///
    /// # Errors
    ///
    /// As [`FrameReceiver::recv`], and [`StreamError::PairingTooSlow`].
    ///
    /// # Cancel safety
    ///
    /// As [`FrameReceiver::recv`].
    pub async fn recv<M: PairingMessage>(&mut self) -> Result<Option<M>, StreamError> {
        let deadline = self.deadline;
        let recv = async { self.control.ends(&self.link.connection).await?.1.recv().await };
        timeout_at(deadline, recv).await.map_err(|_| StreamError::PairingTooSlow)?
    }

    /// Goes on as a paired session: with the control stream, which is the one that pairing ran on, and further streams.
    ///
    /// `proof` is what `trust::pairing` returns once the other side has proved the code on this very channel.
    ///
    /// # Errors
    ///
    /// [`StreamError::NotPaired`] if not a single message was exchanged here.
    pub fn into_paired(self, _proof: &Paired) -> Result<(Sealed, FrameSender, FrameReceiver), StreamError> {
        let ControlStream { lanes, ends } = self.control;
        let (sender, receiver) = ends.ok_or(StreamError::NotPaired)?;
        self.link.socket.table().paired(self.link.key);
        Ok((Sealed { link: self.link, lanes }, sender, receiver))
    }

    /// Closes the connection with a reason for the other side, at most 128 bytes of it.
    ///
    /// Messages on their way may be lost: [`Self::finish`] first where they matter.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.link.close(code, reason);
    }

    /// Ends the stream, waits until the other side has every message, and closes the connection.
    ///
    /// # Errors
    ///
    /// As [`FrameSender::finish`], and [`StreamError::PairingTooSlow`]; the connection is closed all the same.
    pub async fn finish(mut self, code: CloseCode, reason: &str) -> Result<(), StreamError> {
        let finished = match self.control.ends.take() {
            Some((sender, _receiver)) => {
                timeout_at(self.deadline, sender.finish()).await.map_err(|_| StreamError::PairingTooSlow).flatten()
            }
            None => Ok(()),
        };
        self.link.close(code, reason);
        finished
    }

    /// Waits for the end of the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) -> SealedEnd {
        self.link.connection.closed().await.into()
    }
}

impl fmt::Debug for Unpaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpaired").field("key", &self.link.key).finish_non_exhaustive()
    }
}

/// A paired session.
///
/// There is one two-way stream, the control stream; the agent may have up to 64 one-way streams open towards the technician. Further
/// streams that a peer tries to open wait for ever and disturb nothing.
pub struct Sealed {
    link: Arc<Link>,
    lanes: Arc<Lanes>,
}

impl Sealed {
    /// A secret that only the two ends of this TLS session can derive (RFC 8446 section 7.5).
    pub fn exporter(&self, label: &[u8], context: &[u8]) -> [u8; 32] {
        self.link.exporter(label, context)
    }

    /// The key that the other side proved to have.
    pub fn peer_key(&self) -> &PublicKey {
        &self.link.peer
    }

    /// Names this session towards its node.
    pub fn session_ref(&self) -> SessionRef {
        SessionRef(self.link.key)
    }

    /// How the path is doing.
    pub fn stats(&self) -> PathStats {
        self.link.stats()
    }

    /// Allows direct paths from here on: addresses are tried when [`Sealed::punch`] names them, and the other end's probes are answered.
    /// Before this, nothing is sent to or taken from any address but the relay's.
    pub fn open_direct(&self) {
        self.link.open_direct();
    }

    /// Tries these addresses of the other end, at most [`wire::path::CANDIDATES`] and nine small packets each; does nothing unless direct
    /// paths are allowed. The session goes by the first that answers as it should.
    pub fn punch(&self, addresses: &[SocketAddr]) {
        self.link.punch(addresses);
    }

    /// Forgets the other end's addresses and goes by the relay from here on.
    pub fn close_direct(&self) {
        self.link.close_direct();
    }

    /// As [`Sealed::close_direct`], but a session that goes directly goes on doing so, for its last words. Nothing else is tried or answered.
    pub fn end_direct(&self) {
        self.link.end_direct();
    }

    /// Technician: whether it is time to tell the other end this one's addresses, for the first time or again.
    pub fn wants_direct_round(&self) -> bool {
        let now = self.link.socket.uptime();
        self.link.socket.table().paths(self.link.key).is_some_and(|paths| paths.wants_round(now))
    }

    /// Returns when packets have begun to go by another path; [`Sealed::stats`] tells by which. For one task alone.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: a change that nobody waited for is told the next one.
    pub async fn path_changed(&self) {
        let moved = self.link.socket.table().paths(self.link.key).map(|paths| paths.moved());
        match moved {
            Some(moved) => moved.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Opens a one-way stream. Waits while the peer has given no leave: an agent has 64, a technician none.
    ///
    /// The peer learns of the stream from its first byte.
    ///
    /// # Errors
    ///
    /// The connection is over.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no stream was opened.
    pub async fn open_uni(&self, priority: Priority) -> Result<ByteSender, StreamError> {
        let stream = self.link.connection.open_uni().await.map_err(SealedEnd::from)?;
        Ok(ByteSender::new(stream, Arc::clone(&self.lanes), priority))
    }

    /// Waits for the next one-way stream that the peer opens.
    ///
    /// # Errors
    ///
    /// The connection is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no stream.
    pub async fn accept_uni(&self) -> Result<ByteReceiver, StreamError> {
        let stream = self.link.connection.accept_uni().await.map_err(SealedEnd::from)?;
        Ok(ByteReceiver::new(stream))
    }

    /// Closes the connection with a reason for the other side, at most 128 bytes of it.
    ///
    /// Whatever has not arrived yet is lost: [`FrameSender::finish`] first where it matters.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.link.close(code, reason);
    }

    /// Waits for the end of the connection.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn closed(&self) -> SealedEnd {
        self.link.connection.closed().await.into()
    }

    /// How the connection ended, if it has.
    pub fn end(&self) -> Option<SealedEnd> {
        self.link.connection.close_reason().map(SealedEnd::from)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key", &self.link.key).finish_non_exhaustive()
    }
}
