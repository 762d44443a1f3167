//! A running relay.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    num::{NonZeroU8, NonZeroU16},
    path::{Path, PathBuf},
    sync::Arc,
};

use rand_core::OsRng;
use tokio::{sync::Mutex, task::JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};
use transport::{
    clock,
    listener::{
        BeatFrom, BindError, Forward, Listener, ListenerConfig, PeerEvents, Route,
        pipes::{BindPipesError, PipeCertificate, Pipes, PipesConfig},
        reflector::Reflector,
    },
};
use trust::keys::SigningKey;
use wire::{beat::BEAT_BYTES, channel::DataHeader, link::RelayLink, time::Moment};

use crate::{
    actor::{RelayActor, RelayHandle, Stop},
    config::{Http, Listen, RelayConfig},
    error::RelayError,
    http,
    key::{self, KeyOrigin},
    link,
    report::{Line, Report},
    sleepers::Sleepers,
    slots::SlotTable,
};

/// Ports that are tried when any will do: one that is free for UDP may be taken for TCP.
const PORT_TRIES: u32 = 16;

/// As many as may be set.
#[cfg(target_os = "linux")]
const MOST_SHARDS: usize = 64;

/// What the shards ask about packets.
#[derive(Debug)]
struct Packets {
    slots: Arc<SlotTable>,
    sleepers: Arc<Sleepers>,
}

impl Forward for Packets {
    fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize, now: Moment) -> Route {
        self.slots.route(from, header, bytes, segments, now)
    }

    fn beats(&self, beats: &[BeatFrom], now: Moment, answer: &mut dyn FnMut(&BeatFrom, [u8; BEAT_BYTES])) {
        self.sleepers.beats(beats, now, answer);
    }
}

/// A relay with its tasks. Dropping it ends it at once.
#[derive(Debug)]
pub struct Relay {
    link: RelayLink,
    udp: SocketAddr,
    tcp: Option<SocketAddr>,
    http: Option<SocketAddr>,
    stop: Stop,
    handle: RelayHandle,
    /// Where its certificate for TCP is, if it was given one.
    certificate: Option<(PathBuf, PathBuf)>,
    /// The actor, which says how it went.
    actor: Mutex<JoinSet<Result<(), RelayError>>>,
    /// The HTTP server.
    _http_tasks: JoinSet<io::Result<()>>,
    /// The reflector.
    _reflector: JoinSet<()>,
    _stop_http: DropGuard,
}

impl Relay {
    /// Starts a relay: reads or makes its key, binds its addresses, and takes connections.
    ///
    /// # Errors
    ///
    /// Why it could not; nothing is left running.
    pub async fn start(config: &RelayConfig) -> Result<Self, RelayError> {
        Self::start_reporting(config, Report::off()).await
    }

    pub(crate) async fn start_reporting(config: &RelayConfig, mut report: Report) -> Result<Self, RelayError> {
        let (key, origin) = key::load_or_create(&config.state_dir, &mut OsRng)?;
        match origin {
            KeyOrigin::Created => info!(state_dir = %config.state_dir.display(), "made a new key"),
            KeyOrigin::Kept => info!(state_dir = %config.state_dir.display(), "found the key"),
        }
        let sleepers = Sleepers::open(&config.state_dir, config.max_sleepers, clock::now(), &mut OsRng);
        let sleepers =
            Arc::new(sleepers.map_err(|source| RelayError::SleepState { path: config.state_dir.clone(), source })?);
        let table = Arc::new(SlotTable::new(config.broker.max_slots, config.leg_bytes_per_sec));
        let packets = Arc::new(Packets { slots: Arc::clone(&table), sleepers: Arc::clone(&sleepers) });
        let http_listener = bind_http(config.http).await?;
        let (listener, events, pipes) = bind_both(config, &key, &packets)?;
        let udp = listener.local_addr();
        let reflector = bind_reflector(config, udp)?;
        let tcp = pipes.as_ref().map(Pipes::local_addr);
        let link = link::of(config, &key, udp)?;
        let http_address = http_listener.as_ref().map(|(_, address)| *address);
        let reflector_port = reflector.as_ref().map(|(_, port)| *port);
        info!(%udp, ?tcp, reflector = ?reflector_port, shards = listener.shards(), http = ?http_address, "listening");
        if link::is_local_only(config, udp) {
            warn!(
                "the relay link leads to this machine only; for others, start with --public-host NAME, or set public_host"
            );
        }
        report.line(&Line::Listening {
            link: link.to_string(),
            udp: udp.to_string(),
            tcp: tcp.map(|address| address.to_string()),
            reflector_port,
            http: http_address.map(|address| address.to_string()),
            version: env!("CARGO_PKG_VERSION"),
        });

        let stop = Stop::default();
        let (actor, handle) =
            RelayActor::new(config, (listener, events, pipes), (table, sleepers), reflector_port, report, stop.clone());
        let mut actors = JoinSet::new();
        actors.spawn(actor.run());
        let mut reflectors = JoinSet::new();
        if let Some((reflector, _)) = reflector {
            reflectors.spawn(reflector.run());
        }
        let stop_http = CancellationToken::new();
        let mut http_tasks = JoinSet::new();
        if let Some((listener, _)) = http_listener {
            http_tasks.spawn(http::serve(listener, handle.clone(), stop_http.clone()));
        }
        Ok(Self {
            link,
            udp,
            tcp,
            http: http_address,
            stop,
            handle,
            certificate: config.tcp.as_ref().and_then(|tcp| tcp.certificate.clone()),
            actor: Mutex::new(actors),
            _http_tasks: http_tasks,
            _reflector: reflectors,
            _stop_http: stop_http.drop_guard(),
        })
    }

    /// What agents and technicians need to know.
    pub fn link(&self) -> &RelayLink {
        &self.link
    }

    /// The UDP address that it listens on.
    pub fn udp_address(&self) -> SocketAddr {
        self.udp
    }

    /// The TCP address for agents and technicians whose network lets no UDP through, if there is one.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp
    }

    /// The TCP address of metrics and health, if they are served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Reads the files of its certificate for TCP again and shows what they hold to whoever comes from now on. Without such files, nothing
    /// happens.
    ///
    /// # Errors
    ///
    /// They cannot be read or used; the certificate before stays.
    pub async fn renew_certificate(&self) -> Result<(), RelayError> {
        let Some((chain, key)) = &self.certificate else { return Ok(()) };
        match self.handle.renew(read_certificate(chain, key)?).await {
            Some(Err(error)) => Err(RelayError::Certificate(error)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Takes nothing new from here on, and stops once all channels are closed or [`RelayConfig::drain`] is over.
    pub fn drain(&self) {
        self.stop.drain.cancel();
    }

    /// Stops without waiting for anything.
    pub fn stop_now(&self) {
        self.stop.now.cancel();
    }

    /// Waits until it has stopped.
    ///
    /// # Errors
    ///
    /// Why it stopped, if nobody asked for it. Once; later calls return at once.
    ///
    /// # Cancel safety
    ///
    /// The relay runs on; the call can be repeated.
    pub async fn ended(&self) -> Result<(), RelayError> {
        match self.actor.lock().await.join_next().await {
            Some(Ok(result)) => result,
            None => Ok(()),
            Some(Err(error)) => Err(RelayError::System(io::Error::other(error))),
        }
    }
}

async fn bind_http(http: Http) -> Result<Option<(tokio::net::TcpListener, SocketAddr)>, RelayError> {
    match http {
        Http::Off => Ok(None),
        Http::At(address) => Ok(Some(http::bind(address).await.map_err(|error| RelayError::http(address, error))?)),
        Http::IfFree(address) => match http::bind(address).await {
            Ok(bound) => Ok(Some(bound)),
            Err(error) => {
                warn!(%address, %error, "running without /metrics and /healthz; set another address with --http");
                Ok(None)
            }
        },
    }
}

/// Binds the reflector, if there is to be one, beside the UDP port.
fn bind_reflector(config: &RelayConfig, udp: SocketAddr) -> Result<Option<(Reflector, NonZeroU16)>, RelayError> {
    let Some(port) = config.reflector else { return Ok(None) };
    let address = SocketAddr::new(udp.ip(), port);
    let bound = Reflector::bind(address).and_then(|reflector| {
        let port = reflector.port()?;
        Ok((reflector, port))
    });
    match bound {
        Ok(bound) => Ok(Some(bound)),
        Err(error) if port != 0 => Err(RelayError::reflector(address, error)),
        Err(error) => {
            warn!(%error, "running without a reflector; `assent netcheck` will say less");
            Ok(None)
        }
    }
}

/// Binds UDP and TCP to one port.
fn bind_both(
    config: &RelayConfig,
    key: &SigningKey,
    packets: &Arc<Packets>,
) -> Result<(Listener, PeerEvents, Option<Pipes>), RelayError> {
    let Some(tcp) = &config.tcp else {
        let (listener, events) = bind(config, key, packets)?;
        return Ok((listener, events, None));
    };
    let certificate = tcp.certificate.as_ref().map(|(chain, key)| read_certificate(chain, key));
    let limits = PipesConfig {
        max_pipes: tcp.max,
        max_pipes_per_address: tcp.max_per_address,
        certificate: certificate.transpose()?,
    };
    let any_port = config.listen.address().port() == 0;
    let mut tries = if any_port { PORT_TRIES } else { 1 };
    loop {
        let (listener, events) = bind(config, key, packets)?;
        tries -= 1;
        match Pipes::bind(listener.local_addr(), key, &listener, limits.clone()) {
            Ok(pipes) => return Ok((listener, events, Some(pipes))),
            Err(BindPipesError::Socket { source, .. }) if tries > 0 && source.kind() == io::ErrorKind::AddrInUse => {}
            Err(BindPipesError::Socket { address, source }) => return Err(RelayError::listen_tcp(address, source)),
            Err(error) => return Err(RelayError::Certificate(error)),
        }
    }
}

fn read_certificate(chain: &Path, key: &Path) -> Result<PipeCertificate, RelayError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| RelayError::CertificateFile { path: path.to_owned(), source })
    };
    Ok(PipeCertificate { chain: read(chain)?, key: read(key)? })
}

fn bind(config: &RelayConfig, key: &SigningKey, packets: &Arc<Packets>) -> Result<(Listener, PeerEvents), RelayError> {
    // Room for those who are told by the broker that the relay is full.
    let defaults = ListenerConfig::default();
    let max_connections = config.broker.max_connections + defaults.max_handshakes;
    let shards = config.shards.unwrap_or_else(one_for_each_processor);
    let limits = ListenerConfig { shards, max_connections, ..defaults };
    let bind = |address| Listener::bind(address, key, Arc::<Packets>::clone(packets), limits.clone());
    let result = match config.listen {
        Listen::At(address) => bind(address),
        Listen::Everywhere(port) => match bind(config.listen.address()) {
            // A machine without IPv6.
            Err(BindError::Socket { source, .. }) if no_ipv6(&source) => bind((Ipv4Addr::UNSPECIFIED, port).into()),
            other => other,
        },
    };
    result.map_err(|error| match error {
        BindError::Socket { address, source } => RelayError::listen(address, source),
        other @ (BindError::Key(_) | _) => RelayError::System(io::Error::other(other)),
    })
}

#[cfg(target_os = "linux")]
fn one_for_each_processor() -> NonZeroU8 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    u8::try_from(processors.min(MOST_SHARDS)).ok().and_then(NonZeroU8::new).unwrap_or(NonZeroU8::MIN)
}

/// Other systems cannot share one port's packets among sockets.
#[cfg(not(target_os = "linux"))]
fn one_for_each_processor() -> NonZeroU8 {
    NonZeroU8::MIN
}

fn no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
        || code == Some(rustix::io::Errno::ADDRNOTAVAIL.raw_os_error())
}
