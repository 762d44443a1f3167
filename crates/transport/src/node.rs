//! Agent and technician: one socket, one control connection that is kept alive, sealed sessions beside it.
//!
//! [`Node::start`] connects to the relay that a link names and returns the [`Node`], which carries sessions, and the
//! [`Control`], which speaks with the relay. When the control connection is lost, the node reconnects by itself for as long as
//! it lives; sessions survive that if both sides meet again before one of them has lost its [patience](crate::silence) and
//! [`Node::move_session`] is told.

pub(crate) mod candidates;
mod connect;
mod control;
mod driver;
mod mapping;
pub mod netcheck;
mod network;
mod supervisor;
mod watch;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use trust::keys::SigningKey;
use wire::{
    channel::ChannelId, control::FirstFlight, limits::PAIRING_DEADLINE, link::RelayLink, text::Label as ShownText,
};

pub use self::{
    connect::ConnectError,
    control::{Control, ControlEvent, Loss, NotConnected},
    mapping::MappedPort,
    network::NetworkChanges,
};
use self::{
    connect::{Connector, Within},
    supervisor::Supervisor,
};
pub use crate::pipe::{dial::TcpFailure, proxy::Proxies};
use crate::{
    address::{Label, Place, SessionKey},
    counters::Counters,
    knobs,
    sealed::{ControlStream, PairingMessage, SealedEnd, SessionRef, Unpaired},
    socket::{NodeSocket, lock},
    streams::StreamError,
    table::{End, EnterError},
    tls::{self, KeyError, SERVER_NAME},
    udp::Offloading,
};

/// Handshakes that may wait for the agent on one channel. A technician sends one; whatever else comes is the relay's doing.
const DOOR: usize = 4;

/// Handshakes that an agent answers on one channel, each with a share of pairing that takes a millisecond or two to make.
const GREETINGS: usize = 4;

/// How long [`Node::close`] waits for its last packets to leave.
const CLOSING: Duration = Duration::from_millis(500);

/// By what packets may travel to the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CarrierChoice {
    /// UDP where it passes, TCP where it does not.
    #[default]
    Auto,
    /// UDP alone.
    Udp,
    /// TCP alone.
    Tcp,
}

/// A word that names no [`CarrierChoice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of auto, udp, tcp")]
pub struct UnknownCarrier;

impl CarrierChoice {
    /// The words for them, in options and settings.
    pub const WORDS: [&str; 3] = ["auto", "udp", "tcp"];
}

impl FromStr for CarrierChoice {
    type Err = UnknownCarrier;

    fn from_str(word: &str) -> Result<Self, UnknownCarrier> {
        match word {
            "auto" => Ok(Self::Auto),
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            _ => Err(UnknownCarrier),
        }
    }
}

impl fmt::Display for CarrierChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// How a node is started.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Local address to bind to. Default: any port, IPv6 and IPv4.
    pub bind: Option<SocketAddr>,
    /// Send and receive packet by packet, as is done where the kernel offers nothing better. Default: no.
    pub plain_socket: bool,
    /// How long [`Node::start`] waits for the relay to answer. Default: 8 s, for slow networks. Later attempts take 3 s each, over TCP 8 s.
    pub first_attempt: Duration,
    /// By what packets may travel to the relay. Default: UDP, or TCP once UDP has not answered for a quarter of a second.
    pub carrier: CarrierChoice,
    /// Proxies on the way over TCP. Default: as the environment says.
    pub proxies: Option<Proxies>,
    /// The key by which the relay knows this agent, and nobody else does: of the connections that show one key it serves the newest. An agent
    /// that sleeps needs one. Default: none; the relay then learns nothing of who this is.
    pub identity: Option<Arc<SigningKey>>,
    /// After how long without anything said to or by the relay, and without a session, the control connection is closed and replaced by a
    /// small packet every 25 s. Only with an [identity](Self::identity), and not while packets travel over TCP. Default: never.
    pub sleep_after: Option<Duration>,
    /// How long a node whose packets travel over TCP waits before it tries UDP again, in a session. Default: 5 min.
    pub udp_again: Duration,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            bind: None,
            plain_socket: false,
            first_attempt: Duration::from_secs(8),
            carrier: CarrierChoice::Auto,
            proxies: None,
            identity: None,
            sleep_after: None,
            udp_again: Duration::from_secs(300),
        }
    }
}

/// Why a session did not come to stand on a channel.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The other side did not come, or not far enough, within [`PAIRING_DEADLINE`].
    #[error("the other side did not answer in time, so nothing was sent to it; try again with a new code")]
    TimedOut,
    /// The other side, or whoever is between, could not or would not finish the handshake.
    #[error(
        "no sealed connection could be made, so nothing was sent: {0}; if this repeats, the programs may be of different versions"
    )]
    Handshake(SealedEnd),
    /// The channel carries a session already.
    #[error("the relay gave the same channel out twice; nothing was sent on it")]
    ChannelInUse,
    /// More sessions than a program ever has.
    #[error("too many sessions are open in this program; end one first")]
    TooMany,
    /// The own key is damaged.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The node was closed.
    #[error("the program is stopping")]
    Closed,
}

impl SealError {
    /// Whether the other side, or the relay, did something that no honest one does.
    pub fn peer_broke_the_rules(&self) -> bool {
        match self {
            Self::Handshake(end) => end.peer_broke_the_rules(),
            Self::ChannelInUse => true,
            Self::TimedOut | Self::TooMany | Self::Key(_) | Self::Closed => false,
        }
    }
}

impl From<EnterError> for SealError {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::Full => Self::TooMany,
            EnterError::ChannelInUse => Self::ChannelInUse,
            EnterError::UnknownSession => Self::Closed,
        }
    }
}

/// Why a session was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The session is over, or another node's.
    #[error("there is no such session any more")]
    UnknownSession,
    /// The channel carries another session.
    #[error("the relay gave the same channel out twice")]
    ChannelInUse,
}

impl From<EnterError> for MoveError {
    fn from(error: EnterError) -> Self {
        match error {
            EnterError::ChannelInUse => Self::ChannelInUse,
            EnterError::Full | EnterError::UnknownSession => Self::UnknownSession,
        }
    }
}

/// Handshakes on their way to whoever serves the session.
type Doors = Arc<Mutex<BTreeMap<SessionKey, mpsc::Sender<quinn::Incoming>>>>;

/// The socket, the control connection and the sessions of one agent or technician. Clones are handles to the same node.
///
/// The control connection is closed when the last clone is dropped; sessions that were started go on until they are dropped.
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    socket: Arc<NodeSocket>,
    doors: Doors,
    stop: CancellationToken,
    /// Aborted with the last handle.
    tasks: Mutex<JoinSet<()>>,
}

impl Node {
    /// Finds the relay, binds a socket and connects, by UDP or by TCP as [`NodeOptions::carrier`] says.
    ///
    /// The first [`ControlEvent`] is always [`ControlEvent::Up`]. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// The first attempt failed; nothing is tried again and nothing goes on in the background.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future undoes everything.
    pub async fn start(link: RelayLink, options: NodeOptions) -> Result<(Self, Control), ConnectError> {
        let offloading = if options.plain_socket { Offloading::Never } else { Offloading::WhereAvailable };
        let socket = NodeSocket::bind(options.bind, offloading).map_err(|error| ConnectError::socket(&error))?;
        let socket = Arc::new(socket);
        let endpoint = endpoint_over(&socket).map_err(|error| ConnectError::socket(&error))?;

        let mut connector = Connector::new(link, endpoint.clone(), Arc::clone(&socket), &options)?;
        let first = connector.connect(Within::both(options.first_attempt)).await?;
        connector.go_by(&first);

        let node = Self::over(endpoint, socket);
        let sleep_after = options.sleep_after.filter(|_| options.identity.is_some());
        let (supervisor, control) = Supervisor::new(connector, sleep_after, node.shared.stop.clone());
        let network = network::watch(Arc::clone(&node.shared.socket), node.shared.stop.clone());
        let mut tasks = lock(&node.shared.tasks);
        tasks.spawn(supervisor.run(first));
        tasks.spawn(network);
        drop(tasks);
        Ok((node, control))
    }

    /// The part of a node that carries sessions.
    fn over(endpoint: Endpoint, socket: Arc<NodeSocket>) -> Self {
        let stop = CancellationToken::new();
        let doors = Doors::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(open_doors(endpoint.clone(), Arc::clone(&doors), stop.clone()));
        Self { shared: Arc::new(Shared { endpoint, socket, doors, stop, tasks: Mutex::new(tasks) }) }
    }

    /// A node without control connection, over any network, whose relay is at `relay`.
    #[cfg(test)]
    pub(crate) fn detached(port: Box<dyn crate::udp::Port>, relay: SocketAddr) -> Self {
        let socket = Arc::new(NodeSocket::over(port));
        let place = socket.table().relay_place(relay);
        socket.table().set_live(Some(place));
        Self::over(endpoint_over(&socket).expect("the port has an address"), socket)
    }

    /// What a node with a control connection does when its machine wakes up.
    #[cfg(test)]
    pub(crate) fn wakes_up(&self) {
        watch::wake(&self.shared.endpoint, &self.shared.socket);
    }

    #[cfg(test)]
    pub(crate) fn socket(&self) -> &NodeSocket {
        &self.shared.socket
    }

    /// Agent: waits for the technician's handshake on a channel that the relay has opened, and says the first thing on it.
    ///
    /// `greeting` is asked for each handshake that is begun, and its message goes out with this end's part of it, before the technician
    /// has proved anything. Until this is called the agent answers nothing on the channel. The technician's key may be any: pairing
    /// decides.
    ///
    /// # Errors
    ///
    /// See [`SealError`]; the channel is left alone afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the channel alone.
    pub async fn serve_session<M: PairingMessage>(
        &self,
        channel: ChannelId,
        agent_key: &SigningKey,
        mut greeting: impl FnMut() -> M,
    ) -> Result<Unpaired, SealError> {
        let deadline = Instant::now() + PAIRING_DEADLINE;
        let config = session_server_config(agent_key, self.relay_rtt())?;
        // quinn reads no first packet without a configuration. Which one this is does not matter: each handshake gets its own.
        self.shared.endpoint.set_server_config(Some((*config).clone()));

        let (door, mut knocks) = mpsc::channel(DOOR);
        let mut entry = Entry::open(&self.shared, channel, door)?;
        let mut failure = None;
        let mut greetings = 0..GREETINGS;
        let (connection, control) = loop {
            let knock = tokio::select! {
                () = self.shared.stop.cancelled() => return Err(SealError::Closed),
                knock = timeout_at(deadline, knocks.recv()) => knock,
            };
            let Ok(Some(incoming)) = knock else { return Err(failure.unwrap_or(SealError::TimedOut)) };
            entry.begun = true;
            if greetings.next().is_none() {
                return Err(failure.unwrap_or(SealError::TimedOut));
            }
            match timeout_at(deadline, answer(incoming, Arc::clone(&config), greeting())).await {
                Ok(Ok(answered)) => break answered,
                // Whoever leaves after hearing the greeting was the technician.
                Ok(Err(error @ SealedEnd::ByPeer { .. })) => return Err(SealError::Handshake(error)),
                // Somebody between may have knocked; the technician may still come.
                Ok(Err(error)) => failure = Some(SealError::Handshake(error)),
                Err(_) => return Err(failure.unwrap_or(SealError::TimedOut)),
            }
        };
        entry.finish(connection, control, deadline)
    }

    /// Technician: starts the handshake before there is a channel, so that its first packets can go along with the question for one.
    ///
    /// The agent's key may be any: pairing decides. Everything up to the end of pairing has to be done within [`PAIRING_DEADLINE`]
    /// of this.
    ///
    /// # Errors
    ///
    /// See [`SealError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future undoes everything.
    pub async fn begin_session(&self, technician_key: &SigningKey) -> Result<Dialing, SealError> {
        let deadline = Instant::now() + PAIRING_DEADLINE;
        let mut config = quinn::ClientConfig::new(Arc::new(tls::session_client(technician_key)?));
        let entry = Entry::without_channel(&self.shared)?;
        let changes = self.shared.socket.table().paths(entry.key).map(|paths| paths.changes()).unwrap_or_default();
        config.transport_config(knobs::session_technician(self.relay_rtt(), changes));
        let connecting = self
            .shared
            .endpoint
            .connect_with(config, Place::Session(entry.key, Label::FIRST).address(), SERVER_NAME)
            .map_err(|error| SealError::Handshake(SealedEnd::Broken { reason: ShownText::cut(&error.to_string()) }))?;
        let packets = timeout_at(deadline, self.shared.socket.first_packets(entry.key)).await;
        Ok(Dialing { entry, connecting, deadline, packets: packets.map_err(|_| SealError::TimedOut)? })
    }

    /// Technician: starts the handshake on a channel that the relay has opened.
    ///
    /// # Errors
    ///
    /// See [`SealError`]; the channel is left alone afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the channel alone.
    pub async fn dial_session(&self, channel: ChannelId, technician_key: &SigningKey) -> Result<Unpaired, SealError> {
        self.begin_session(technician_key).await?.on(channel).await
    }

    fn relay_rtt(&self) -> Duration {
        self.shared.socket.table().relay_rtt()
    }

    /// Moves a session to another channel, as after a rejoin: the same connection goes on, nothing is lost.
    ///
    /// Both ends have to be told, in any order. The technician's packets go by the channel once it has asked there and got an answer, and
    /// the agent's follow; until then the session stays where it is. The session's present channel may be named as well: it then
    /// starts afresh there, as is right when the channel leads by other networks than before. What the session has of other
    /// channels it keeps, to escape to while they answer.
    ///
    /// # Errors
    ///
    /// See [`MoveError`]; the session stays where it was.
    pub fn move_session(&self, session: SessionRef, channel: ChannelId) -> Result<(), MoveError> {
        Ok(self.shared.socket.move_to(session.0, channel)?)
    }

    /// Gives a session a channel beside the one that it uses, for when that one dies. Both ends have to be told.
    ///
    /// # Errors
    ///
    /// See [`MoveError`]; nothing has changed.
    pub fn add_channel(&self, session: SessionRef, channel: ChannelId) -> Result<(), MoveError> {
        Ok(self.shared.socket.add(session.0, channel)?)
    }

    /// The channel is gone: its packets are for nobody from here on. A session on it can still be moved to another.
    pub fn forget(&self, channel: ChannelId) {
        self.shared.socket.table().forget(channel);
    }

    /// Packets that went nowhere.
    pub fn counters(&self) -> Counters {
        self.shared.socket.counters()
    }

    /// The local address that the socket is bound to.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.shared.socket.bound_to()
    }

    /// Closes the control connection and every session, and waits at most half a second for the last packets to leave.
    pub async fn close(self) {
        self.shared.stop.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.shared.tasks));
        let ended = async {
            while tasks.join_next().await.is_some() {}
            self.shared.endpoint.close(quinn::VarInt::from_u32(0), b"");
            self.shared.endpoint.wait_idle().await;
        };
        // Whoever does not hear of it finds out by silence.
        let _ = timeout(CLOSING, ended).await;
        self.shared.socket.pipes().close_all().await;
    }
}

fn endpoint_over(socket: &Arc<NodeSocket>) -> std::io::Result<Endpoint> {
    let mut config = EndpointConfig::default();
    // The first byte tells QUIC from channel packets only while nobody sets that bit at random (RFC 9287).
    config.grease_quic_bit(false);
    let socket: Arc<NodeSocket> = Arc::clone(socket);
    Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime))
}

/// A handshake of a technician that waits for its channel.
#[derive(Debug)]
pub struct Dialing {
    entry: Entry,
    connecting: quinn::Connecting,
    deadline: Instant,
    /// Not sent yet.
    packets: Vec<Vec<u8>>,
}

impl Dialing {
    /// What to send along with [`ToRelay::Attach`](wire::control::ToRelay::Attach). What is taken here is not sent again soon: it
    /// has to be on its way before [`Dialing::on`] is called.
    pub fn first_flight(&mut self) -> FirstFlight {
        FirstFlight::of(std::mem::take(&mut self.packets))
    }

    /// Goes on, on the channel that the relay has opened.
    ///
    /// # Errors
    ///
    /// See [`SealError`]; the channel is left alone afterwards.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the channel alone.
    pub async fn on(self, channel: ChannelId) -> Result<Unpaired, SealError> {
        let Self { mut entry, connecting, deadline, packets } = self;
        let shared = Arc::clone(&entry.shared);
        entry.begun = true;
        shared.socket.start_on(entry.key, channel, packets)?;
        let connection = tokio::select! {
            () = shared.stop.cancelled() => return Err(SealError::Closed),
            connected = timeout_at(deadline, connecting) => match connected {
                Ok(Ok(connection)) => connection,
                Ok(Err(quinn::ConnectionError::TimedOut)) | Err(_) => return Err(SealError::TimedOut),
                Ok(Err(error)) => return Err(SealError::Handshake(error.into())),
            },
        };
        let control = ControlStream::expected(&connection);
        entry.finish(connection, control, deadline)
    }
}

/// The agent's part of a handshake, with `greeting` behind it, and then the technician's.
async fn answer<M: PairingMessage>(
    incoming: quinn::Incoming,
    config: Arc<quinn::ServerConfig>,
    greeting: M,
) -> Result<(quinn::Connection, ControlStream), SealedEnd> {
    let mut connecting = incoming.accept_with(config)?;
    // What the technician allows, streams above all, is known from here on.
    connecting.handshake_data().await?;
    // A server may send before its client has finished, and needs no earlier session for it: RFC 8446 section 2.3 calls that 0.5-RTT.
    let Ok((connection, finished)) = connecting.into_0rtt() else {
        return Err(SealedEnd::Broken { reason: ShownText::cut("the handshake has no keys to greet with") });
    };
    let control = ControlStream::open(&connection, &greeting).await.map_err(over)?;
    finished.await;
    match connection.close_reason() {
        Some(reason) => Err(reason.into()),
        None => Ok((connection, control)),
    }
}

fn over(error: StreamError) -> SealedEnd {
    if let StreamError::Closed(end) = error {
        return end;
    }
    SealedEnd::Broken { reason: ShownText::cut(&error.to_string()) }
}

fn session_server_config(agent_key: &SigningKey, relay_rtt: Duration) -> Result<Arc<quinn::ServerConfig>, KeyError> {
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls::session_server(agent_key)?));
    let mut no_tokens = quinn::ValidationTokenConfig::default();
    no_tokens.sent(0);
    config
        .transport_config(knobs::session_agent(relay_rtt))
        .validation_token_config(no_tokens)
        .max_incoming(DOOR)
        .incoming_buffer_size(16 * 1024)
        .incoming_buffer_size_total(64 * 1024);
    Ok(Arc::new(config))
}

/// Brings every handshake to whoever serves its session. One for nobody is answered by nothing.
async fn open_doors(endpoint: Endpoint, doors: Doors, stop: CancellationToken) {
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let door = match Place::of(incoming.remote_address()) {
            Some(Place::Session(key, _)) => lock(&doors).get(&key).cloned(),
            Some(Place::Relay(_)) | None => None,
        };
        match door {
            Some(door) => {
                if let Err(error) = door.try_send(incoming) {
                    error.into_inner().ignore();
                }
            }
            None => incoming.ignore(),
        }
    }
}

/// A session's place in the socket's table and at the door, given back when the session does not come to stand.
#[derive(Debug)]
struct Entry {
    shared: Arc<Shared>,
    key: SessionKey,
    /// A handshake was begun: its last packets still have to go out.
    begun: bool,
    stands: bool,
}

impl Entry {
    /// For a technician that knocks on this channel.
    fn open(shared: &Arc<Shared>, channel: ChannelId, door: mpsc::Sender<quinn::Incoming>) -> Result<Self, EnterError> {
        let mut doors = lock(&shared.doors);
        // With the doors locked, a packet that was parked cannot knock before its door is there.
        let key = shared.socket.open(End::Agent, channel)?;
        doors.insert(key, door);
        Ok(Self { shared: Arc::clone(shared), key, begun: false, stands: false })
    }

    /// For a technician that has no channel yet.
    fn without_channel(shared: &Arc<Shared>) -> Result<Self, EnterError> {
        let key = shared.socket.enter(End::Technician)?;
        Ok(Self { shared: Arc::clone(shared), key, begun: false, stands: false })
    }

    fn finish(
        mut self,
        connection: quinn::Connection,
        control: ControlStream,
        deadline: Instant,
    ) -> Result<Unpaired, SealError> {
        let peer = tls::peer_key(&connection).ok_or_else(|| {
            SealError::Handshake(SealedEnd::Broken { reason: ShownText::cut("the peer proved no key") })
        })?;
        if let Some(paths) = self.shared.socket.table().paths(self.key) {
            paths.established();
        }
        self.stands = true;
        let driver = driver::start(connection.clone(), Arc::clone(&self.shared.socket), self.key);
        let socket = Arc::clone(&self.shared.socket);
        Ok(Unpaired::new(connection, peer, socket, self.key, deadline, driver, control))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // With the sender gone, `open_doors` ignores later handshakes of this session.
        lock(&self.shared.doors).remove(&self.key);
        match (self.stands, self.begun) {
            (true, _) => {}
            (false, true) => self.shared.socket.table().over(self.key),
            (false, false) => self.shared.socket.table().remove(self.key),
        }
    }
}
