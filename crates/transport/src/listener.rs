//! The relay: one UDP port on which control connections end and sealed packets are forwarded unread.
//!
//! A shard is a thread with a socket; all shards have one address, and the kernel gives all packets of a sender to the same one. It
//! forwards packets where it receives them: the relay's own code ([`Forward`]) only looks up
//! where a train goes. What cannot be sent at once is dropped and counted, never queued. Between trains it runs the control
//! connections that came to it, on quinn-proto directly; what happens there comes as [`PeerEvent`]s to whoever decides, and what
//! that one says goes back as orders. Neither waits for the other.
//!
//! | module | what it does |
//! |---|---|
//! | `shard` | the thread's loop |
//! | `calm` | when beats of sleeping agents are let come together |
//! | `socket` | trains from and to the kernel |
//! | [`reflector`] | a second port, for programs that find out what their network allows |
//! | [`pipes`] | TCP in place of the socket, for clients that UDP does not reach |
//! | `control` | all control connections of a shard, without a socket or a clock |
//! | `frames` | messages from the bytes of a stream |
//! | `peer` | events and how to say goodbye |

mod calm;
mod control;
mod coupler;
mod frames;
mod peer;
pub mod pipes;
pub mod reflector;
mod shard;
pub(crate) mod socket;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    num::NonZeroU8,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use trust::keys::SigningKey;
use wire::{beat::BEAT_BYTES, channel::DataHeader, control::FromRelay, time::Moment};

pub use self::peer::{Farewell, PeerEnd, PeerEvent, PeerId};
use self::{
    control::{ControlEndpoint, Together},
    pipes::Registry,
    shard::{Desk, Order, Shard},
    socket::ShardSocket,
};
use crate::{
    knobs,
    restart::RestartKeys,
    socket::lock,
    tls::{self, KeyError},
    udp::Offloading,
};

/// Events of all peers that may wait to be taken. Behind it clients are not read, and are held up by QUIC's flow control.
const EVENTS: usize = 1024;

/// Orders that may wait for each connection there can be: to come back, that its channels are closed, and the end.
const ORDERS_PER_CONNECTION: usize = 4;

/// Orders that may wait besides.
const ORDERS: usize = 1024;

/// Handshakes that nobody has looked at yet: at most one for each packet of a batch.
const INCOMING: usize = 4096;

/// A first flight is two packets (`ClientHello` with a post-quantum share); this is room for repeats.
const INCOMING_BYTES: u64 = 8 * 1024;

/// Application code of a control connection that ends because the relay stops.
pub(crate) const DRAINING_CODE: u32 = 1;

/// Of one that ends because the same agent has come by another.
pub(crate) const SUPERSEDED_CODE: u32 = 2;

/// Of one that ends because its agent sleeps from now on.
pub(crate) const ASLEEP_CODE: u32 = 3;

/// Where the relay's own code decides about packets. Called for every train: it must not wait, allocate or log.
pub trait Forward: Send + Sync + 'static {
    /// What to do with a train of `segments` packets, `bytes` in all, headers included, that came from `from` for a channel at `now`.
    ///
    /// Addresses are in one form throughout this module: IPv4 is never written as IPv6. They equal
    /// those of [`PeerEvent`]s of the peer that uses the same socket.
    fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize, now: Moment) -> Route;

    /// Takes packets of sleeping agents, some at once, and hands to `answer` what each of them is answered with, if anything. Called when
    /// all trains that came with them are on their way; what it waits for, they do not.
    ///
    /// The senders' addresses may be forged. Default: nobody sleeps.
    fn beats(&self, beats: &[BeatFrom], now: Moment, answer: &mut dyn FnMut(&BeatFrom, [u8; BEAT_BYTES])) {
        let _ = (beats, now, answer);
    }

    /// Whether a new connection from this address may begin its handshake. Its address may be forged, unless it came by a pipe; it is asked
    /// for TCP and for QUIC in it, both with the client's own address. Default: yes.
    fn admit(&self, from: SocketAddr) -> bool {
        let _ = from;
        true
    }
}

/// What to do with a train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Send it there.
    To(SocketAddr),
    /// Drop it.
    Nowhere,
    /// Drop it, and tell its sender that the channel's control connections have other addresses ([`Unbound`](wire::channel::Unbound)).
    ///
    /// The sender's address may be forged: say this rarely.
    Unbound,
}

/// A packet that came from a sleeping agent, or from somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeatFrom {
    /// As [`Forward::route`] sees addresses. Never one that stands for a pipe.
    pub from: SocketAddr,
    /// Our own address that it came to, if the system says.
    pub to: Option<IpAddr>,
    /// The whole packet.
    pub packet: [u8; BEAT_BYTES],
}

/// Bounds of a [`Listener`].
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Threads, each with a socket of its own. Other systems than Linux cannot share packets among several. Default 1.
    pub shards: NonZeroU8,
    /// Connections at once, half-open ones included; further ones are refused. Default 100,000.
    pub max_connections: usize,
    /// Handshakes under way at once; the first packets of further ones are ignored, and their senders repeat them. One address (IPv4) or /64
    /// network (IPv6) gets an eighth of those that are free. Default 1024.
    pub max_handshakes: usize,
    /// With more handshakes under way than this, a client has to show first that its address is its own, which costs it a round
    /// trip (QUIC Retry). Default 64.
    pub retry_above: usize,
    /// Asked of the kernel for packets that wait to be read by each shard, in bytes; it may give less. Default 16 MiB.
    pub receive_buffer_bytes: usize,
    /// Asked of the kernel for packets of each shard that wait to be sent, in bytes; it may give less. Default 4 MiB.
    pub send_buffer_bytes: usize,
    /// Send and receive packet by packet, as is done where the kernel offers nothing better. Default: no.
    pub plain_socket: bool,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            shards: NonZeroU8::MIN,
            max_connections: 100_000,
            max_handshakes: 1024,
            retry_above: 64,
            receive_buffer_bytes: 16 << 20,
            send_buffer_bytes: 4 << 20,
            plain_socket: false,
        }
    }
}

/// Why a relay could not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be had, or no thread.
    #[error("cannot listen on UDP {address}")]
    Socket {
        /// What was asked for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The relay's key is damaged.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What a [`Listener`] has done since it was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListenerCounters {
    /// Control connections that stand now, half-open ones included.
    pub connections: u64,
    /// Handshakes that were finished.
    pub accepted: u64,
    /// Handshakes that were begun and not finished.
    pub failed: u64,
    /// Clients that had to show that their address is their own.
    pub retried: u64,
    /// Connections refused because there were too many, or because the relay stops.
    pub refused: u64,
    /// Connections given up because of a bug in this program or in QUIC. Should be zero.
    pub panicked: u64,
    /// First packets ignored because too many handshakes were under way, in all or of one network, or [`Forward::admit`] said no.
    pub ignored: u64,
    /// Control packets received.
    pub control_packets: u64,
    /// Sealed packets forwarded.
    pub forwarded_packets: u64,
    /// Their bytes, channel headers included.
    pub forwarded_bytes: u64,
    /// Sealed packets dropped because [`Forward::route`] knew no way.
    pub no_route: u64,
    /// Orders that were lost because too many waited.
    pub lost_orders: u64,
    /// Senders of sealed packets that were told [`Route::Unbound`].
    pub told_unbound: u64,
    /// Sealed packets dropped because the socket was full.
    pub full: u64,
    /// Sealed packets that the kernel refused to send.
    pub send_failed: u64,
    /// Packets received that have the form of a sleeping agent's.
    pub beats: u64,
    /// Packets sent to sleeping agents.
    pub beats_sent: u64,
    /// Those that the kernel did not take.
    pub beats_unsent: u64,
    /// Packets that are neither QUIC nor DATA of this version.
    pub unknown_kind: u64,
    /// Control packets that another shard got than the one that has the connection, and that were handed over.
    pub strays: u64,
    /// Such packets that were dropped because too many waited.
    pub strays_lost: u64,
    /// Control packets that the kernel did not take for sending. QUIC sends what was in them again.
    pub control_unsent: u64,
    /// Errors of the kernel in receiving.
    pub receive_errors: u64,
}

/// A bound relay. Dropping it ends it without a word to anybody; [`Listener::shutdown`] does it politely.
pub struct Listener {
    local_addr: SocketAddr,
    /// By the shard's number.
    desks: Vec<Arc<Desk>>,
    together: Arc<Together>,
    pipes: Arc<Registry>,
    forward: Arc<dyn Forward>,
    lost_orders: AtomicU64,
    /// Closed by the end of the last shard.
    running: watch::Receiver<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What happens on the control connections of a [`Listener`].
#[derive(Debug)]
pub struct PeerEvents {
    queue: mpsc::Receiver<PeerEvent>,
    desks: Vec<Arc<Desk>>,
}

impl PeerEvents {
    /// Waits for the next event. `None`: the listener has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn recv(&mut self) -> Option<PeerEvent> {
        let event = self.queue.recv().await;
        for desk in &self.desks {
            if desk.stalled.load(Ordering::SeqCst) && desk.stalled.swap(false, Ordering::SeqCst) {
                desk.wake();
            }
        }
        event
    }
}

impl Listener {
    /// Binds to `address` with the relay's own key. An unspecified IPv6 address takes IPv4 as well.
    ///
    /// What keys connections and tokens are named by is derived from `key`, so that clients of an earlier run are told at once that
    /// it is over. Needs no runtime: it brings its own threads.
    ///
    /// A host with several addresses answers from the one that was asked, and forwards from the one that it received on; both
    /// sides of a session should therefore reach it by the same address.
    ///
    /// # Errors
    ///
    /// See [`BindError`].
    pub fn bind(
        address: SocketAddr,
        key: &SigningKey,
        forward: Arc<dyn Forward>,
        config: ListenerConfig,
    ) -> Result<(Self, PeerEvents), BindError> {
        let offloading = if config.plain_socket { Offloading::Never } else { Offloading::WhereAvailable };
        let bind = |source| BindError::Socket { address, source };
        let sockets = ShardSocket::bind_all(address, config.shards, offloading).map_err(bind)?;
        let local_addr = match sockets.first() {
            Some(socket) => socket.local_addr().map_err(bind)?,
            None => address,
        };

        let restart = RestartKeys::of(key);
        let mut server = quinn_proto::ServerConfig::new(Arc::new(tls::control_server(key)?), restart.token_key());
        server
            .transport_config(knobs::control_server())
            .max_incoming(INCOMING)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES * INCOMING as u64);
        let server = Arc::new(server);
        let together = Arc::new(Together::default());
        let pipes = Arc::new(Registry::default());
        let room = config.max_connections.saturating_mul(ORDERS_PER_CONNECTION).saturating_add(ORDERS);
        let (sender, queue) = mpsc::channel(EVENTS);
        let mut shards = Vec::with_capacity(sockets.len());
        for (number, socket) in (0..).zip(sockets) {
            socket.set_buffers(config.receive_buffer_bytes, config.send_buffer_bytes);
            let control = ControlEndpoint::new(
                restart.endpoint_config(number),
                Arc::clone(&server),
                config.clone(),
                Arc::clone(&forward),
                number,
                (Arc::clone(&together), Arc::clone(&pipes)),
            );
            let name = (number, restart.shard_mask());
            let ways = (Arc::clone(&forward), Arc::clone(&pipes));
            let shard = Shard::new(socket, ways, control, sender.clone(), room, name).map_err(bind)?;
            shards.push(shard);
        }
        let desks = shards.iter().map(|shard| Arc::clone(shard.desk())).collect::<Vec<_>>();
        let (runs, running) = watch::channel(());
        let runs = Arc::new(runs);
        let listener = Self {
            local_addr,
            desks: desks.clone(),
            together,
            pipes,
            forward,
            lost_orders: AtomicU64::new(0),
            running,
            threads: Mutex::default(),
        };
        for (number, shard) in shards.into_iter().enumerate() {
            let (runs, desks) = (Arc::clone(&runs), desks.clone());
            let work = move || {
                let end = TogetherToTheEnd { desks: desks.clone(), _runs: runs };
                shard.run(desks);
                drop(end);
            };
            // If it fails, those that run already end with the listener.
            let thread = std::thread::Builder::new().name(format!("shard-{number}")).spawn(work).map_err(bind)?;
            lock(&listener.threads).push(thread);
        }
        Ok((listener, PeerEvents { queue, desks }))
    }

    /// Tells a client something. Never waits; a client that has said nothing yet, or does not read, misses it. The latter is
    /// then closed as [`PeerEnd::TooSlow`].
    pub fn tell(&self, peer: PeerId, message: FromRelay) {
        self.order(peer.shard, Order::Tell(peer, message));
    }

    /// Sends a packet to a sleeping agent, once, by the given shard or another.
    pub fn send_beat(&self, shard: u8, to: SocketAddr, packet: [u8; BEAT_BYTES]) {
        let shards = self.desks.len().max(1);
        let shard = u8::try_from(usize::from(shard) % shards).unwrap_or_default();
        self.order(shard, Order::Beat(to, packet));
    }

    /// Closes a connection. [`PeerEvent::Ended`] follows.
    pub fn close(&self, peer: PeerId, farewell: Farewell) {
        self.order(peer.shard, Order::Close(peer, farewell));
    }

    /// What happened so far.
    pub fn counters(&self) -> ListenerCounters {
        let counts = &self.together.counts;
        let mut sum = ListenerCounters {
            connections: self.together.connections.load(Ordering::Relaxed) as u64,
            accepted: counts.accepted.read(),
            failed: counts.failed.read(),
            retried: counts.retried.read(),
            refused: counts.refused.read(),
            ignored: counts.ignored.read(),
            panicked: counts.panicked.read(),
            lost_orders: self.lost_orders.load(Ordering::Relaxed),
            ..ListenerCounters::default()
        };
        for desk in &self.desks {
            desk.add_to(&mut sum);
        }
        sum
    }

    /// The address that the listener is bound to.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.desks.len()
    }

    /// Refuses new connections from now on; those that stand are not touched.
    pub fn drain(&self) {
        self.pipes.drain();
        self.order_all(|| Order::Drain);
    }

    /// Refuses new connections, waits up to `grace` for clients to leave by themselves, and closes those that have not.
    ///
    /// Forwarding goes on meanwhile. Clients leave when they were told to, by [`FromRelay::Draining`].
    pub async fn shutdown(&self, grace: Duration) {
        self.pipes.drain();
        self.order_all(|| Order::Shutdown(grace));
        // An error is the end.
        let _ = self.running.clone().changed().await;
    }

    fn order(&self, shard: u8, order: Order) {
        if !self.desks.get(usize::from(shard)).is_some_and(|desk| desk.order(order)) {
            self.lost_orders.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        for desk in &self.desks {
            // These few always find room: they come after what they end.
            desk.order_in_any_case(order());
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local_addr", &self.local_addr).field("shards", &self.desks.len()).finish()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.desks.iter().for_each(|desk| desk.stop());
        for thread in lock(&self.threads).drain(..) {
            // It ends within one batch, and with it the socket: the address is free when this returns.
            let _ = thread.join();
        }
    }
}

/// Held by each shard's thread. One that panics takes the others with it: a relay that lost a part of its connections and does not
/// know would be worse than one that is started again.
struct TogetherToTheEnd {
    desks: Vec<Arc<Desk>>,
    _runs: Arc<watch::Sender<()>>,
}

impl Drop for TogetherToTheEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.desks.iter().for_each(|desk| desk.stop());
        }
    }
}
