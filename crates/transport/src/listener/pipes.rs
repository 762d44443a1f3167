//! Pipes at the relay: HTTPS on TCP, each request for a WebSocket a pipe, whose packets go to a shard as if a socket had received them.
//!
//! Everything about TCP, TLS and HTTP runs on tokio, apart from the shards. A pipe belongs to one shard, which gets its packets through
//! a queue with a bound for each pipe; what any shard sends to the pipe's address waits in the pipe's own short queue. Nobody waits
//! for a client that does not read.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use quinn::udp::Transmit;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};
use tokio_util::sync::CancellationToken;
use trust::keys::SigningKey;
use wire::pipe::{PIPE_PATH, PIPE_PROTOCOL};

use super::{
    Forward, Listener,
    shard::{Desk, Order},
    socket::Sent,
};
use crate::{
    address::{PipeKey, PipeKeys, canonical, is_synthetic, network},
    clock,
    counters::Count,
    pipe::{
        carry::{PipeEnd, carry},
        egress::Egress,
        tls::{self, Identity},
        tune, websocket,
    },
    socket::lock,
    tls::KeyError,
};

/// How long a client may take from the first byte to the end of its request: four round trips, and nobody types it.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Head of a request. Ours has some 300 bytes; proxies add to it.
const HEAD_BYTES: usize = 8 * 1024;

/// After an error of the system in accepting, such as too many open files, it is not asked again at once.
const REST: Duration = Duration::from_millis(100);

/// How long clients may take to hear that the relay ends.
const CLOSING: Duration = Duration::from_millis(500);

/// How a relay takes pipes.
#[derive(Clone)]
pub struct PipesConfig {
    /// Connections over TCP at once, those included that have not asked for anything yet; further ones are closed at once.
    /// Default 10,000.
    pub max_pipes: usize,
    /// The same of one address (IPv4) or /64 network (IPv6). Default 100.
    pub max_pipes_per_address: usize,
    /// The certificate that clients see, for those that do not know the relay's key: what inspects TLS on its way. Default: one with
    /// the relay's own key.
    pub certificate: Option<PipeCertificate>,
}

impl Default for PipesConfig {
    fn default() -> Self {
        Self { max_pipes: 10_000, max_pipes_per_address: 100, certificate: None }
    }
}

impl fmt::Debug for PipesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipesConfig")
            .field("max_pipes", &self.max_pipes)
            .field("max_pipes_per_address", &self.max_pipes_per_address)
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}

/// A certificate as an authority issues it.
#[derive(Clone)]
pub struct PipeCertificate {
    /// The certificate and those that vouch for it, in PEM.
    pub chain: Vec<u8>,
    /// Its private key, in PEM.
    pub key: Vec<u8>,
}

impl fmt::Debug for PipeCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PipeCertificate(..)")
    }
}

/// Why a relay cannot take pipes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindPipesError {
    /// The address cannot be had.
    #[error("cannot listen on TCP {address}")]
    Socket {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Certificate and key cannot be used, or do not fit each other.
    #[error("the certificate for TCP cannot be used")]
    Certificate(#[source] KeyError),
}

/// What has happened with pipes since the relay was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PipesCounters {
    /// Pipes that stand now.
    pub open: u64,
    /// Pipes that were made.
    pub opened: u64,
    /// Connections closed because there were too many.
    pub full: u64,
    /// Connections closed because there were too many of one address.
    pub full_for_address: u64,
    /// Connections closed because [`Forward::admit`] said no.
    pub not_admitted: u64,
    /// Connections that did not get as far as a request within 5 s, or not at all.
    pub unfinished: u64,
    /// Requests for something else, in another version, or while the relay stops.
    pub not_a_pipe: u64,
    /// Pipes that ended because the client sent what is no message of a pipe.
    pub malformed: u64,
    /// Pipes that ended because the client did not read.
    pub stuck: u64,
    /// Packets that were dropped because they had waited for too long, or too many had, or none so large is carried.
    pub dropped_packets: u64,
    /// Packets for pipes that were gone.
    pub late_packets: u64,
}

#[derive(Debug, Default)]
struct Counts {
    opened: Count,
    full: Count,
    full_for_address: Count,
    not_admitted: Count,
    unfinished: Count,
    not_a_pipe: Count,
    malformed: Count,
    stuck: Count,
    /// Of pipes that are over.
    dropped_packets: Count,
    late_packets: Count,
}

/// The pipes that stand, for shards.
#[derive(Debug, Default)]
pub(super) struct Registry {
    keys: PipeKeys,
    open: RwLock<BTreeMap<PipeKey, Entry>>,
    draining: AtomicBool,
    counts: Counts,
}

#[derive(Debug)]
struct Entry {
    egress: Arc<Egress>,
    /// The client, or the last proxy before us.
    client: SocketAddr,
}

impl Registry {
    /// Sends a packet or train to a pipe's address. What does not fit into the pipe's queue is counted there.
    pub(super) fn send(&self, transmit: &Transmit<'_>) -> Sent {
        let Transmit { destination, ecn, contents, segment_size, .. } = transmit;
        let packets = contents.len().div_ceil(segment_size.unwrap_or(contents.len()).max(1));
        let egress = self.with(*destination, |entry| Arc::clone(&entry.egress));
        let Some(egress) = egress else {
            self.counts.late_packets.add(packets);
            return Sent { refused: packets, ..Sent::default() };
        };
        let done = egress.push(*ecn, contents, *segment_size, clock::quic_now());
        Sent { done, bytes: contents.len(), full: 0, refused: packets - done }
    }

    /// Where a pipe's client really is. `None`: there is no such pipe.
    pub(super) fn client(&self, pipe: SocketAddr) -> Option<SocketAddr> {
        self.with(pipe, |entry| entry.client)
    }

    /// Takes no new pipes from now on.
    pub(super) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    fn with<T>(&self, address: SocketAddr, what: impl FnOnce(&Entry) -> T) -> Option<T> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&PipeKey::of(address)?).map(what)
    }

    fn enter(&self, egress: Arc<Egress>, client: SocketAddr) -> PipeKey {
        let key = self.keys.next();
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(key, Entry { egress, client });
        self.counts.opened.add(1);
        key
    }

    fn leave(&self, key: PipeKey, end: PipeEnd) {
        let entry = self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        if let Some(entry) = entry {
            self.counts.dropped_packets.add(usize::try_from(entry.egress.dropped()).unwrap_or(usize::MAX));
        }
        match end {
            PipeEnd::Malformed => self.counts.malformed.add(1),
            PipeEnd::Stuck => self.counts.stuck.add(1),
            PipeEnd::Here | PipeEnd::There | PipeEnd::Idle => {}
        }
    }

    fn counters(&self) -> PipesCounters {
        let counts = &self.counts;
        let (open, dropping) = {
            let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
            (open.len() as u64, open.values().map(|entry| entry.egress.dropped()).sum::<u64>())
        };
        PipesCounters {
            open,
            opened: counts.opened.read(),
            full: counts.full.read(),
            full_for_address: counts.full_for_address.read(),
            not_admitted: counts.not_admitted.read(),
            unfinished: counts.unfinished.read(),
            not_a_pipe: counts.not_a_pipe.read(),
            malformed: counts.malformed.read(),
            stuck: counts.stuck.read(),
            dropped_packets: counts.dropped_packets.read() + dropping,
            late_packets: counts.late_packets.read(),
        }
    }
}

/// Takes pipes for a [`Listener`]. Dropping it ends them without a word; [`Pipes::close`] does it politely.
#[derive(Debug)]
pub struct Pipes {
    registry: Arc<Registry>,
    local_addr: SocketAddr,
    tls: Arc<RwLock<Arc<ServerConfig>>>,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Pipes {
    /// Binds to a TCP address, which has the port of the listener's UDP address if clients are to find it. An unspecified IPv6 address
    /// takes IPv4 as well. Needs a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// See [`BindPipesError`].
    pub fn bind(
        address: SocketAddr,
        key: &SigningKey,
        listener: &Listener,
        config: PipesConfig,
    ) -> Result<Self, BindPipesError> {
        let tls = match &config.certificate {
            Some(certificate) => shown(certificate),
            None => Identity::of(key).and_then(tls::server),
        };
        let tls = Arc::new(RwLock::new(tls.map_err(BindPipesError::Certificate)?));
        let failed = |source| BindPipesError::Socket { address, source };
        let tcp = listen(address).map_err(failed)?;
        let local_addr = tcp.local_addr().map_err(failed)?;
        let registry = Arc::clone(&listener.pipes);
        let door = Door {
            registry: Arc::clone(&registry),
            desks: listener.desks.clone(),
            forward: Arc::clone(&listener.forward),
            tls: Arc::clone(&tls),
            config,
            seats: Arc::default(),
            stop: CancellationToken::new(),
        };
        let stop = door.stop.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(tcp, Arc::new(door)));
        Ok(Self { registry, local_addr, tls, stop, tasks: Mutex::new(tasks) })
    }

    /// Shows another certificate to whoever comes from now on. Pipes that stand stay as they are.
    ///
    /// # Errors
    ///
    /// It cannot be used; the one before stays.
    pub fn renew(&self, certificate: &PipeCertificate) -> Result<(), BindPipesError> {
        let renewed = shown(certificate).map_err(BindPipesError::Certificate)?;
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What happened so far.
    pub fn counters(&self) -> PipesCounters {
        self.registry.counters()
    }

    /// Ends all pipes, tells their clients, and waits at most half a second for that.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        // Whoever does not hear it finds out by the end of the connection.
        let _ = timeout(CLOSING, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Whether a client's address stands for the pipe that it comes by. It leads nowhere outside of the relay.
pub fn is_of_pipe(client: &SocketAddr) -> bool {
    is_synthetic(client)
}

/// TLS that shows a certificate.
fn shown(certificate: &PipeCertificate) -> Result<Arc<ServerConfig>, KeyError> {
    tls::server(Identity::from_pem(&certificate.chain, &certificate.key)?)
}

/// Binds as the UDP socket is bound, and as servers do: a port that an earlier run had is free at once.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

/// TLS, in a box: whoever hands it on would keep room for it otherwise.
type Stream = Box<TlsStream<TcpStream>>;

/// What every connection needs.
struct Door {
    registry: Arc<Registry>,
    desks: Vec<Arc<Desk>>,
    forward: Arc<dyn Forward>,
    tls: Arc<RwLock<Arc<ServerConfig>>>,
    config: PipesConfig,
    seats: Arc<Mutex<Seats>>,
    stop: CancellationToken,
}

/// Connections at present, with or without a pipe.
#[derive(Debug, Default)]
struct Seats {
    all: usize,
    by_network: BTreeMap<IpAddr, usize>,
}

/// A connection's place among all; given back when it is dropped.
struct Seat {
    seats: Arc<Mutex<Seats>>,
    network: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = lock(&self.seats);
        seats.all = seats.all.saturating_sub(1);
        if let Some(count) = seats.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                seats.by_network.remove(&self.network);
            }
        }
    }
}

/// A pipe that stands, however it comes to its end.
struct Entered<'a> {
    door: &'a Door,
    key: PipeKey,
    end: PipeEnd,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.door.registry.leave(self.key, self.end);
        if let Some(desk) = self.door.desk_of(self.key) {
            // The shard takes it after what came by the pipe.
            desk.order_in_any_case(Order::PipeGone(self.key));
        }
    }
}

impl Door {
    /// Gives a connection its place, or counts why there is none.
    fn admit(&self, from: SocketAddr) -> Option<Seat> {
        let (network, counts) = (network(from), &self.registry.counts);
        let mut seats = lock(&self.seats);
        let of_network = seats.by_network.get(&network).copied().unwrap_or_default();
        if seats.all >= self.config.max_pipes {
            counts.full.add(1);
            return None;
        }
        if of_network >= self.config.max_pipes_per_address {
            counts.full_for_address.add(1);
            return None;
        }
        if !self.forward.admit(from) {
            counts.not_admitted.add(1);
            return None;
        }
        seats.all += 1;
        seats.by_network.insert(network, of_network + 1);
        Some(Seat { seats: Arc::clone(&self.seats), network })
    }

    async fn serve(&self, stream: TcpStream, from: SocketAddr) {
        // On the heap, and gone before the pipe stands: else each pipe would keep room for it.
        let handshake = Box::pin(async {
            tune(&stream);
            let tls = Arc::clone(&self.tls.read().unwrap_or_else(PoisonError::into_inner));
            let stream = TlsAcceptor::from(tls).accept(stream).await.ok()?;
            Some(self.upgrade(Box::new(stream)).await)
        });
        let counts = &self.registry.counts;
        let socket = tokio::select! {
            () = self.stop.cancelled() => return,
            done = timeout(HANDSHAKE, handshake) => match done {
                Ok(Some(Some(socket))) => socket,
                Ok(Some(None)) => return,
                Ok(None) | Err(_) => return counts.unfinished.add(1),
            },
        };
        let egress = Arc::new(Egress::default());
        let key = self.registry.enter(Arc::clone(&egress), from);
        let mut entered = Entered { door: self, key, end: PipeEnd::Here };
        if let Some(desk) = self.desk_of(key) {
            entered.end = carry(socket, &egress, key.address(), |train| desk.take(train), &self.stop).await;
        }
    }

    fn desk_of(&self, key: PipeKey) -> Option<&Arc<Desk>> {
        self.desks.get(key.share(self.desks.len()))
    }

    /// Reads one HTTP request and answers it. `None`: it was for no pipe.
    async fn upgrade(&self, stream: Stream) -> Option<WebSocketStream<Stream>> {
        let asked = Mutex::new(None);
        let service = service_fn(|mut request: Request<Incoming>| {
            let answer = self.answer(&request);
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                *lock(&asked) = Some(hyper::upgrade::on(&mut request));
            }
            std::future::ready(Ok::<_, Infallible>(answer))
        });
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
        let asked: Option<OnUpgrade> = lock(&asked).take();
        let (Ok(()), Some(asked)) = (connection, asked) else {
            self.registry.counts.not_a_pipe.add(1);
            return None;
        };
        let parts = asked.await.ok()?.downcast::<TokioIo<Stream>>().ok()?;
        let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
        Some(WebSocketStream::from_partially_read(stream, read, Role::Server, Some(websocket())).await)
    }

    /// The answer to a request: the beginning of a WebSocket (RFC 6455 section 4.2), or a few words.
    fn answer(&self, request: &Request<Incoming>) -> Response<String> {
        let headers = request.headers();
        if request.uri().path() != PIPE_PATH || request.method() != Method::GET {
            return plain(StatusCode::NOT_FOUND, "nothing is here\n");
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY);
        let wants = has_word(headers, header::UPGRADE, "websocket") && has_word(headers, header::CONNECTION, "upgrade");
        let Some(key) = key.filter(|_| wants && has_word(headers, header::SEC_WEBSOCKET_VERSION, "13")) else {
            let mut refusal = plain(StatusCode::UPGRADE_REQUIRED, "this is for programs that speak WebSocket\n");
            refusal.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return refusal;
        };
        if !has_word(headers, header::SEC_WEBSOCKET_PROTOCOL, PIPE_PROTOCOL) {
            return plain(StatusCode::BAD_REQUEST, "this relay speaks another version\n");
        }
        if self.registry.draining.load(Relaxed) {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the relay is about to stop\n");
        }
        let mut answer = plain(StatusCode::SWITCHING_PROTOCOLS, "");
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
        for (name, value) in [
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PIPE_PROTOCOL)),
            // Base64 is always a value.
            (header::SEC_WEBSOCKET_ACCEPT, accept.unwrap_or_else(|_| HeaderValue::from_static(""))),
        ] {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

fn plain(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    // One request for each connection; the beginning of a WebSocket says something else here.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// Whether a header that lists words has one of them, in capitals or not.
fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(word))
}

/// Takes connections until it is told to stop, and ends with the last of them.
async fn accept(tcp: TcpListener, door: Arc<Door>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = door.stop.cancelled() => break,
            Some(_ended) = connections.join_next() => {}
            accepted = tcp.accept() => match accepted {
                Ok((stream, from)) => {
                    let from = canonical(from);
                    if let Some(seat) = door.admit(from) {
                        let door = Arc::clone(&door);
                        connections.spawn(async move {
                            door.serve(stream, from).await;
                            drop(seat);
                        });
                    }
                }
                Err(_) => sleep(REST).await,
            },
        }
    }
    drop(tcp);
    while connections.join_next().await.is_some() {}
}
