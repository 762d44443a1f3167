//! The relay: one UDP port on which control connections end and sealed packets are forwarded unread.
//!
//! Forwarding happens where packets are received, without a task, an allocation or a log line for each: the relay's own code
//! ([`Forward`]) only looks up where a train goes. What cannot be sent at once is dropped and counted, never queued.

mod peer;
mod socket;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quinn::{Endpoint, Incoming, TokioRuntime, VarInt};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use trust::keys::SigningKey;
use wire::channel::DataHeader;

pub use self::peer::{ControlPeer, PeerClosed, PeerError};
use self::socket::RelaySocket;
use crate::{
    address::canonical,
    counters::Count,
    knobs,
    restart::RestartKeys,
    socket::lock,
    tls::{self, KeyError},
    udp::Offloading,
};

/// A handshake that takes longer is given up: it is two round trips.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Finished handshakes that may wait for [`Listener::accept`]. Behind it they count as half-open.
const ACCEPT_QUEUE: usize = 64;

/// Handshakes whose first packet was read and that nobody has looked at yet.
const INCOMING: usize = 4096;

/// A first flight is two packets (`ClientHello` with a post-quantum share); this is room for repeats.
const INCOMING_BYTES: u64 = 8 * 1024;

/// How long [`Listener::shutdown`] waits for its last packets to leave.
const CLOSING: Duration = Duration::from_secs(1);

/// Application code of a control connection that ends because the relay stops.
pub(crate) const DRAINING_CODE: u32 = 1;

/// Where the relay's own code decides about packets. Called for every train: it must not wait, allocate or log.
pub trait Forward: Send + Sync + 'static {
    /// Where to forward a train of `segments` packets, `bytes` in all, headers included, that came from `from` for a channel.
    /// `None`: drop it.
    ///
    /// Addresses are in one form throughout this module: IPv4 is never written as IPv6. They equal
    /// [`ControlPeer::remote_address`] of the peer that uses the same socket.
    fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize) -> Option<SocketAddr>;

    /// Whether a new connection from this address may begin its handshake. Its address may be forged. Default: yes.
    fn admit(&self, from: SocketAddr) -> bool {
        let _ = from;
        true
    }
}

/// Bounds of a [`Listener`].
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Connections at once, half-open ones included; further ones are refused. Default 100,000.
    pub max_connections: usize,
    /// Handshakes under way at once; the first packets of further ones are ignored, and their senders repeat them. Default 1024.
    pub max_handshakes: usize,
    /// With more handshakes under way than this, a client has to show first that its address is its own, which costs it a round
    /// trip (QUIC Retry). Default 64.
    pub retry_above: usize,
    /// Asked of the kernel for packets that wait to be read, in bytes; it may give less. Default 16 MiB.
    pub receive_buffer_bytes: usize,
    /// Asked of the kernel for packets that wait to be sent, in bytes; it may give less. Default 4 MiB.
    pub send_buffer_bytes: usize,
    /// Send and receive packet by packet, as is done where the kernel offers nothing better. Default: no.
    pub plain_socket: bool,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
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
    /// The address cannot be had.
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
    /// First packets ignored because too many handshakes were under way or [`Forward::admit`] said no.
    pub ignored: u64,
    /// Control packets received.
    pub control_packets: u64,
    /// Sealed packets forwarded.
    pub forwarded_packets: u64,
    /// Their bytes, channel headers included.
    pub forwarded_bytes: u64,
    /// Sealed packets dropped because [`Forward::route`] knew no way.
    pub no_route: u64,
    /// Sealed packets dropped because the socket was full.
    pub full: u64,
    /// Sealed packets that the kernel refused to send.
    pub send_failed: u64,
    /// Packets that are neither QUIC nor DATA of this version.
    pub unknown_kind: u64,
    /// Control packets larger than anything that is spoken here.
    pub too_large: u64,
    /// Errors of the kernel in receiving.
    pub receive_errors: u64,
}

#[derive(Debug, Default)]
struct Handshakes {
    accepted: Count,
    failed: Count,
    retried: Count,
    refused: Count,
    ignored: Count,
}

/// A bound relay. Dropping it closes every connection without a word of warning; [`Listener::shutdown`] does it politely.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    socket: Arc<RelaySocket>,
    handshakes: Arc<Handshakes>,
    accepted: tokio::sync::Mutex<mpsc::Receiver<ControlPeer>>,
    /// New connections are refused from now on.
    draining: CancellationToken,
    /// Aborted with the listener.
    tasks: Mutex<JoinSet<()>>,
}

impl Listener {
    /// Binds to `address` with the relay's own key. An unspecified IPv6 address takes IPv4 as well.
    ///
    /// What keys connections and tokens are named by is derived from `key`, so that clients of an earlier run are told at once that
    /// it is over. Needs a tokio runtime with time and I/O.
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
    ) -> Result<Self, BindError> {
        let offloading = if config.plain_socket { Offloading::Never } else { Offloading::WhereAvailable };
        let bind = |source| BindError::Socket { address, source };
        let socket = RelaySocket::bind(address, offloading, Arc::clone(&forward)).map_err(bind)?;
        socket.set_buffers(config.receive_buffer_bytes, config.send_buffer_bytes);
        let socket = Arc::new(socket);

        let restart = RestartKeys::of(key);
        let mut server = quinn::ServerConfig::new(Arc::new(tls::control_server(key)?), restart.token_key());
        server
            .transport_config(knobs::control_server())
            .max_incoming(INCOMING)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES * INCOMING as u64);
        let abstract_socket: Arc<RelaySocket> = Arc::clone(&socket);
        let endpoint = Endpoint::new_with_abstract_socket(
            restart.endpoint_config(),
            Some(server),
            abstract_socket,
            Arc::new(TokioRuntime),
        )
        .map_err(bind)?;

        let draining = CancellationToken::new();
        let handshakes = Arc::new(Handshakes::default());
        let (done, accepted) = mpsc::channel(ACCEPT_QUEUE);
        let porter = Porter {
            endpoint: endpoint.clone(),
            forward,
            config,
            counts: Arc::clone(&handshakes),
            done,
            draining: draining.clone(),
            under_way: JoinSet::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(porter.run());
        Ok(Self {
            endpoint,
            socket,
            handshakes,
            accepted: tokio::sync::Mutex::new(accepted),
            draining,
            tasks: Mutex::new(tasks),
        })
    }

    /// Waits for the next client whose handshake is done. `None`: the listener was shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no client.
    pub async fn accept(&self) -> Option<ControlPeer> {
        self.accepted.lock().await.recv().await
    }

    /// What happened so far.
    pub fn counters(&self) -> ListenerCounters {
        let packets = self.socket.packets();
        ListenerCounters {
            connections: self.endpoint.open_connections() as u64,
            accepted: self.handshakes.accepted.read(),
            failed: self.handshakes.failed.read(),
            retried: self.handshakes.retried.read(),
            refused: self.handshakes.refused.read(),
            ignored: self.handshakes.ignored.read(),
            ..packets
        }
    }

    /// The address that the listener is bound to.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.bound_to()
    }

    /// Refuses new connections from now on; those that stand are not touched.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Refuses new connections, waits up to `grace` for clients to leave by themselves, and closes those that have not.
    ///
    /// Forwarding goes on meanwhile. Clients leave when they were told to, by [`FromRelay::Draining`](wire::control::FromRelay).
    pub async fn shutdown(&self, grace: Duration) {
        self.drain();
        // Whoever is still there after the grace is told by the close.
        let _ = timeout(grace, self.endpoint.wait_idle()).await;
        self.endpoint.close(VarInt::from_u32(DRAINING_CODE), b"the relay stops");
        // Whoever does not hear of it finds out by silence.
        let _ = timeout(CLOSING, self.endpoint.wait_idle()).await;
        lock(&self.tasks).abort_all();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(DRAINING_CODE), b"the relay stops");
    }
}

/// Looks at everybody who knocks, and sees the handshakes through.
struct Porter {
    endpoint: Endpoint,
    forward: Arc<dyn Forward>,
    config: ListenerConfig,
    counts: Arc<Handshakes>,
    done: mpsc::Sender<ControlPeer>,
    draining: CancellationToken,
    under_way: JoinSet<()>,
}

impl Porter {
    async fn run(mut self) {
        loop {
            tokio::select! {
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.receive(incoming),
                    None => return,
                },
                Some(_) = self.under_way.join_next() => {}
            }
        }
    }

    fn receive(&mut self, incoming: Incoming) {
        let under_way = self.under_way.len();
        if self.draining.is_cancelled() || self.endpoint.open_connections() >= self.config.max_connections {
            self.counts.refused.add(1);
            incoming.refuse();
        } else if under_way >= self.config.max_handshakes || !self.forward.admit(canonical(incoming.remote_address())) {
            self.counts.ignored.add(1);
            incoming.ignore();
        } else if under_way >= self.config.retry_above && !incoming.remote_address_validated() {
            self.counts.retried.add(1);
            // Allowed whenever the address is not validated yet.
            let _ = incoming.retry();
        } else {
            self.under_way.spawn(welcome(incoming, self.done.clone(), Arc::clone(&self.counts)));
        }
    }
}

async fn welcome(incoming: Incoming, done: mpsc::Sender<ControlPeer>, counts: Arc<Handshakes>) {
    let handshake = async { incoming.accept()?.await };
    match timeout(HANDSHAKE, handshake).await {
        Ok(Ok(connection)) => {
            counts.accepted.add(1);
            // Fails only when the listener is gone, and the connection with it.
            let _ = done.send(ControlPeer::new(connection)).await;
        }
        Ok(Err(_)) | Err(_) => counts.failed.add(1),
    }
}
