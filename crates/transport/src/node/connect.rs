//! One attempt to reach the relay.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use quinn::{ClientConfig, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use tokio::{
    net::lookup_host,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use wire::{link::RelayLink, text::Label};

use super::{CarrierChoice, NodeOptions, Proxies, TcpFailure};
use crate::{
    address::{Place, canonical},
    knobs,
    pipe::{
        dial::{CertificateCheck, Dialer},
        port::PipeHandle,
    },
    socket::NodeSocket,
    tls::{self, KeyError, Pin, SERVER_NAME},
};

/// A later attempt is over after this long: a handshake takes two round trips and survives the loss of a few packets.
const ATTEMPT: Duration = Duration::from_secs(3);

/// As long as that may take over TCP, and through a proxy: seven round trips.
const LONG_ATTEMPT: Duration = Duration::from_secs(8);

/// The next address joins in when the one before has not answered for so long (RFC 8305 section 5).
pub(super) const STAGGER: Duration = Duration::from_millis(250);

/// So much longer than its head start UDP may take, although there is a way over TCP already: a first packet that was lost is sent again
/// after 300 ms.
pub(super) const UDP_PATIENCE: Duration = Duration::from_millis(500);

/// Addresses of one name that are tried in one attempt.
const ADDRESSES: usize = 8;

/// TLS alerts (RFC 8446 section 6) as QUIC carries them (RFC 9001 section 4.8): no common protocol version.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// QUIC's `CONNECTION_REFUSED` (RFC 9000 section 20.1).
const CONNECTION_REFUSED: u64 = 2;

/// Why the relay could not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No socket could be had.
    #[error(
        "no network socket could be opened, so nothing was sent: {reason}; check the network settings of this machine"
    )]
    Socket {
        /// What the operating system said.
        reason: String,
    },
    /// The name has no address.
    #[error(
        "the relay's name {host:?} was not found, so nothing was sent: {reason}; check the relay link and whether this machine is online"
    )]
    NotResolved {
        /// The name in the link.
        host: String,
        /// What the operating system said.
        reason: String,
    },
    /// Nothing answers at the address by UDP, and nothing else was tried.
    #[error(
        "nothing answers at {host} on UDP port {port}, and TCP was not tried, as was asked; no session was started; check that the \
         relay is running and that no firewall blocks UDP"
    )]
    NoAnswer {
        /// The host in the link.
        host: String,
        /// The port in the link.
        port: u16,
    },
    /// There is no way over TCP, and nothing else was tried.
    #[error(
        "{host} is not reached over TCP: {tcp}; UDP was not tried, as was asked; no session was started; {}",
        tcp.advice()
    )]
    NoTcp {
        /// The host in the link.
        host: String,
        /// Why.
        tcp: TcpFailure,
    },
    /// Neither UDP nor TCP leads to the relay.
    #[error(
        "nothing answers at {host} on UDP port {port}, and TCP does not help: {tcp}; no session was started; {}",
        tcp.advice()
    )]
    NoWay {
        /// The host in the link.
        host: String,
        /// The port in the link.
        port: u16,
        /// Why there is no way over TCP.
        tcp: TcpFailure,
    },
    /// Somebody answers who does not have the relay's key.
    #[error(
        "this is not the relay that the link names: it has another key, so nothing was sent to it; ask whoever runs the relay \
         for its present link"
    )]
    WrongKey,
    /// The relay does not speak this version.
    #[error(
        "the relay speaks another version of the protocol, so nothing was sent; install the same version here and there"
    )]
    Version,
    /// The relay takes no more connections at the moment.
    #[error("the relay is full or about to stop and took no connection; try again in a minute")]
    Refused,
    /// The handshake failed in another way.
    #[error(
        "the relay broke the handshake off, so nothing was sent: {reason}; install the same version here and there"
    )]
    Broken {
        /// What went wrong, made safe to show.
        reason: Label,
    },
}

impl ConnectError {
    /// Whether the same attempt could succeed a little later without anybody doing anything.
    pub fn worth_trying_again(&self) -> bool {
        match self {
            Self::NotResolved { .. }
            | Self::NoAnswer { .. }
            | Self::NoTcp { .. }
            | Self::NoWay { .. }
            | Self::Refused => true,
            Self::Socket { .. } | Self::WrongKey | Self::Version | Self::Broken { .. } => false,
        }
    }

    pub(super) fn socket(error: &io::Error) -> Self {
        Self::Socket { reason: error.to_string() }
    }

    /// How much this says about what is wrong; of several addresses' failures the most telling one is shown.
    fn weight(&self) -> u8 {
        match self {
            Self::NotResolved { .. } => 0,
            Self::NoAnswer { .. } => 1,
            Self::NoTcp { .. } => 2,
            Self::NoWay { .. } => 3,
            Self::Socket { .. } => 4,
            Self::Broken { .. } => 5,
            Self::Refused => 6,
            Self::Version => 7,
            Self::WrongKey => 8,
        }
    }

    /// Whether it was the relay that said this, so that another way to it changes nothing.
    fn is_final(&self) -> bool {
        match self {
            Self::Refused => true,
            // Whoever answers by UDP may be somebody else.
            Self::Version
            | Self::WrongKey
            | Self::Socket { .. }
            | Self::NotResolved { .. }
            | Self::NoAnswer { .. }
            | Self::NoTcp { .. }
            | Self::NoWay { .. }
            | Self::Broken { .. } => false,
        }
    }

    /// What is told when neither way led anywhere.
    fn neither(by_udp: Self, by_tcp: Self) -> Self {
        match (by_udp, by_tcp) {
            (Self::NoAnswer { host, port }, Self::NoTcp { tcp, .. }) => Self::NoWay { host, port, tcp },
            (by_udp, by_tcp) if by_udp.weight() > by_tcp.weight() => by_udp,
            (_, by_tcp) => by_tcp,
        }
    }
}

/// A control connection that stands, and what it stands on.
pub(super) struct Link {
    pub(super) connection: quinn::Connection,
    /// The relay, as quinn knows it.
    place: Place,
    /// `None`: UDP.
    pub(super) pipe: Option<PipeHandle>,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Within {
    pub(super) udp: Duration,
    pub(super) tcp: Duration,
}

impl Within {
    /// By either way.
    pub(super) fn both(time: Duration) -> Self {
        Self { udp: time, tcp: time }
    }
}

/// Connects to one relay, again and again.
pub(super) struct Connector {
    link: RelayLink,
    pub(super) endpoint: Endpoint,
    pub(super) socket: Arc<NodeSocket>,
    pin: Arc<Pin>,
    tls: Arc<QuicClientConfig>,
    dialer: Dialer,
    choice: CarrierChoice,
    udp_again: Duration,
    /// The last connection stood on a pipe.
    by_pipe: bool,
    /// Where the name led last time, for when it cannot be resolved.
    addresses: Vec<SocketAddr>,
    /// Kept, so that an address that the relay has validated once need not be validated again.
    tokens: Arc<quinn::TokenMemoryCache>,
}

impl Connector {
    pub(super) fn new(
        link: RelayLink,
        endpoint: Endpoint,
        socket: Arc<NodeSocket>,
        options: &NodeOptions,
    ) -> Result<Self, ConnectError> {
        let broken = |error: KeyError| ConnectError::Broken { reason: Label::cut(&error.to_string()) };
        let pin = Arc::new(Pin::new(link.pin()));
        let tls = tls::control_client(Arc::clone(&pin), options.identity.as_deref()).map_err(broken)?;
        let proxies = options.proxies.clone().unwrap_or_else(Proxies::from_environment);
        let dialer = Dialer::new(&link, &proxies).map_err(broken)?;
        let tokens = Arc::new(quinn::TokenMemoryCache::default());
        let (choice, udp_again) = (options.carrier, options.udp_again);
        Ok(Self {
            link,
            endpoint,
            socket,
            pin,
            tls: Arc::new(tls),
            dialer,
            choice,
            udp_again,
            by_pipe: false,
            addresses: Vec::new(),
            tokens,
        })
    }

    /// Connects by the first way that leads to the relay. Where both are tried, UDP has a head start and wins ties; what lost is
    /// undone.
    pub(super) async fn connect(&mut self, within: Within) -> Result<Link, ConnectError> {
        let (udp_until, tcp_until) = (Instant::now() + within.udp, Instant::now() + within.tcp);
        let resolved = self.resolve(udp_until.max(tcp_until)).boxed().shared();
        let connected = match self.choice {
            CarrierChoice::Udp => self.by_udp(resolved.clone(), udp_until).await,
            CarrierChoice::Tcp => self.by_tcp(resolved.clone(), tcp_until).await,
            CarrierChoice::Auto => self.race(resolved.clone(), udp_until, tcp_until).await,
        };
        if let Some(Ok(found)) = resolved.peek() {
            self.addresses.clone_from(found);
        }
        connected
    }

    async fn race(&self, resolved: Resolved, udp_until: Instant, tcp_until: Instant) -> Result<Link, ConnectError> {
        let by_udp = self.by_udp(resolved.clone(), udp_until);
        let by_tcp = self.by_tcp(resolved.clone(), tcp_until);
        let head_start = async {
            if self.dialer.is_direct() {
                let _ = resolved.await;
            }
            sleep(STAGGER).await;
        };
        tokio::pin!(by_udp, by_tcp, head_start);
        let udp_error = tokio::select! {
            biased;
            done = &mut by_udp => match done {
                Ok(link) => return Ok(link),
                Err(error) => Some(error),
            },
            () = &mut head_start => None,
        };
        if let Some(udp_error) = udp_error {
            if udp_error.is_final() {
                return Err(udp_error);
            }
            return by_tcp.await.map_err(|tcp_error| ConnectError::neither(udp_error, tcp_error));
        }
        let patience = Instant::now() + UDP_PATIENCE;
        tokio::select! {
            biased;
            done = &mut by_udp => match done {
                Ok(link) => Ok(link),
                Err(udp_error) if udp_error.is_final() => Err(udp_error),
                Err(udp_error) => by_tcp.await.map_err(|tcp_error| ConnectError::neither(udp_error, tcp_error)),
            },
            done = &mut by_tcp => match done {
                Ok(by_tcp) => {
                    if let Ok(Ok(by_udp)) = timeout_at(patience, by_udp).await {
                        self.leave(&by_tcp);
                        return Ok(by_udp);
                    }
                    Ok(by_tcp)
                }
                Err(tcp_error) => by_udp.await.map_err(|udp_error| ConnectError::neither(udp_error, tcp_error)),
            },
        }
    }

    /// Sends everything by this connection's way from here on.
    pub(super) fn go_by(&mut self, link: &Link) {
        self.by_pipe = link.pipe.is_some();
        // Before the table is locked: quinn sends with its own lock held, and takes the table's then.
        let rtt = link.connection.rtt();
        let mut table = self.socket.table();
        table.set_live(Some(link.place));
        table.set_relay_rtt(rtt);
    }

    /// How long the next attempt may take after so many failures. UDP does best with short ones, of which each asks anew; the way over TCP may
    /// need a long one.
    pub(super) fn patience(&self, failures: u32) -> Within {
        let by_tcp = match self.choice {
            CarrierChoice::Udp => false,
            CarrierChoice::Tcp => true,
            CarrierChoice::Auto => self.by_pipe || failures.is_multiple_of(3),
        };
        Within { udp: ATTEMPT, tcp: if by_tcp { LONG_ATTEMPT } else { ATTEMPT } }
    }

    /// Gives up what a connection stood on.
    pub(super) fn leave(&self, link: &Link) {
        if let Some(pipe) = &link.pipe {
            self.abandon(pipe);
        }
    }

    fn abandon(&self, pipe: &PipeHandle) {
        self.socket.pipes().close(pipe);
        self.socket.table().forget_relay(pipe.address());
    }

    /// While everything goes over TCP without anybody having asked for that, tries UDP again now and then. Only while there are sessions
    /// that survive the change and nothing else that hangs on the control connection, such as a code that somebody reads out.
    pub(super) async fn by_udp_again(&self, stands_on_pipe: bool) -> Link {
        if !stands_on_pipe || self.choice != CarrierChoice::Auto {
            return pending().await;
        }
        loop {
            sleep(self.udp_again).await;
            if !self.socket.table().all_paired() {
                continue;
            }
            let deadline = Instant::now() + ATTEMPT;
            let resolved = self.resolve(deadline).boxed().shared();
            if let Ok(link) = self.by_udp(resolved, deadline).await
                && self.socket.table().all_paired()
            {
                return link;
            }
        }
    }

    /// Tries the relay's addresses one after the other until one answers.
    pub(super) async fn by_udp(&self, resolved: Resolved, deadline: Instant) -> Result<Link, ConnectError> {
        let mut addresses = resolved.await?.into_iter().collect::<VecDeque<_>>();
        let mut attempts = JoinSet::new();
        let mut worst = self.no_answer();
        let mut start_next = true;
        loop {
            if start_next && let Some(address) = addresses.pop_front() {
                attempts.spawn(self.attempt(address, deadline)?);
            }
            start_next = tokio::select! {
                biased;
                Some(done) = attempts.join_next() => match done {
                    Ok((place, Ok(connection))) => return Ok(Link { connection, place, pipe: None }),
                    Ok((_, Err(error))) => {
                        let error = self.explain(&error);
                        if error.weight() > worst.weight() {
                            worst = error;
                        }
                        if attempts.is_empty() && addresses.is_empty() {
                            return Err(worst);
                        }
                        true
                    }
                    // The task neither panics nor is aborted while this set lives.
                    Err(_) => true,
                },
                () = sleep(STAGGER), if !addresses.is_empty() => true,
                else => return Err(worst),
            };
        }
    }

    /// Makes a pipe and connects through it.
    async fn by_tcp(&self, resolved: Resolved, deadline: Instant) -> Result<Link, ConnectError> {
        // A proxy is told the name.
        let addresses = if self.dialer.is_direct() { resolved.await? } else { Vec::new() };
        self.over_tcp(&addresses, deadline).await.map(|(link, _)| link)
    }

    /// The same by some of the relay's addresses, which do not matter where there is a proxy.
    pub(super) async fn over_tcp(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(Link, CertificateCheck), ConnectError> {
        let no_tcp = |tcp| ConnectError::NoTcp { host: self.link.host().to_owned(), tcp };
        let (socket, certificate) = self.dialer.dial(addresses, deadline).await.map_err(no_tcp)?;
        let mut pipe = Guarded { pipe: Some(self.socket.pipes().open(socket)), connector: self };
        let Some(handle) = &mut pipe.pipe else { return Err(no_tcp(TcpFailure::Silent)) };
        let attempt = self.attempt(handle.address(), deadline)?;
        let (place, connected) = tokio::select! {
            biased;
            done = attempt => done,
            () = handle.over() => {
                let reason = Label::cut("the other end closed it");
                return Err(no_tcp(TcpFailure::Broken { reason }));
            }
        };
        match connected {
            Ok(connection) => Ok((Link { connection, place, pipe: pipe.pipe.take() }, certificate)),
            Err(error) => {
                let error = self.explain(&error);
                let silent = matches!(error, ConnectError::NoAnswer { .. });
                Err(if silent { no_tcp(TcpFailure::Silent) } else { error })
            }
        }
    }

    fn resolve(&self, deadline: Instant) -> impl Future<Output = Result<Vec<SocketAddr>, ConnectError>> + Send + use<> {
        resolve(self.link.host().to_owned(), self.link.port(), self.addresses.clone(), deadline)
    }

    fn attempt(
        &self,
        address: SocketAddr,
        deadline: Instant,
    ) -> Result<impl Future<Output = (Place, Result<quinn::Connection, ConnectionError>)> + use<>, ConnectError> {
        let mut config = ClientConfig::new(Arc::clone(&self.tls) as _);
        config.transport_config(knobs::control_client()).token_store(Arc::clone(&self.tokens) as _);
        let place = self.socket.table().relay_place(address);
        let connecting = self
            .endpoint
            .connect_with(config, place.address(), SERVER_NAME)
            .map_err(|error| ConnectError::Broken { reason: Label::cut(&error.to_string()) })?;
        Ok(async move {
            let connected = timeout_at(deadline, connecting).await.unwrap_or(Err(ConnectionError::TimedOut));
            (place, connected)
        })
    }

    fn explain(&self, error: &ConnectionError) -> ConnectError {
        if self.pin.take_mismatch() {
            return ConnectError::WrongKey;
        }
        match error {
            ConnectionError::TimedOut | ConnectionError::Reset | ConnectionError::LocallyClosed => self.no_answer(),
            ConnectionError::VersionMismatch => ConnectError::Version,
            ConnectionError::ConnectionClosed(close) => match u64::from(close.error_code) {
                NO_APPLICATION_PROTOCOL => ConnectError::Version,
                CONNECTION_REFUSED => ConnectError::Refused,
                _ => ConnectError::Broken { reason: Label::cut(&error.to_string()) },
            },
            ConnectionError::ApplicationClosed(_) => ConnectError::Refused,
            ConnectionError::TransportError(_) | ConnectionError::CidsExhausted => {
                ConnectError::Broken { reason: Label::cut(&error.to_string()) }
            }
        }
    }

    fn no_answer(&self) -> ConnectError {
        ConnectError::NoAnswer { host: self.link.host().to_owned(), port: self.link.port() }
    }
}

/// Where a name leads, for all who ask.
pub(super) type Resolved = Shared<BoxFuture<'static, Result<Vec<SocketAddr>, ConnectError>>>;

/// Where a host's name leads: at most [`ADDRESSES`] addresses, in the order in which they are tried. `known` is what is taken where the name
/// service does not answer.
pub(super) async fn resolve(
    host: String,
    port: u16,
    known: Vec<SocketAddr>,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, ConnectError> {
    let resolved = match host.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => match timeout_at(deadline, lookup_host((host.as_str(), port))).await {
            Ok(Ok(found)) => Ok(found.collect()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the name service does not answer".to_owned()),
        },
    };
    match resolved {
        Ok(found) if !found.is_empty() => Ok(interleave(&found)),
        Ok(_) | Err(_) if !known.is_empty() => Ok(known),
        Ok(_) => Err(ConnectError::NotResolved { host, reason: "it has no address".to_owned() }),
        Err(reason) => Err(ConnectError::NotResolved { host, reason }),
    }
}

/// A pipe that is given up unless a connection comes to stand on it.
struct Guarded<'a> {
    pipe: Option<PipeHandle>,
    connector: &'a Connector,
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            self.connector.abandon(pipe);
        }
    }
}

/// Alternates between IPv6 and IPv4, starting with the family that the system put first (RFC 8305 section 4).
fn interleave(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let found = found.iter().map(|address| canonical(*address)).collect::<Vec<_>>();
    let v6_first = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| address.is_ipv6() == v6_first);
    let mut second = second.into_iter();
    let mut mixed = first.into_iter().flat_map(|address| [Some(address), second.next()]).flatten().collect::<Vec<_>>();
    mixed.extend(second);
    mixed.truncate(ADDRESSES);
    mixed
}

#[cfg(test)]
mod tests {
    use quinn::{EndpointConfig, TokioRuntime};
    use rand_core::OsRng;
    use testkit::connect_proxy::ConnectProxy;
    use trust::{keys::SigningKey, tls_certificate::self_signed};
    use wire::{channel::DataHeader, time::Moment};

    use super::*;
    use crate::{
        listener::{
            Forward, Listener, ListenerConfig, Route,
            pipes::{Pipes, PipesConfig},
        },
        pipe::{self, tls::Identity},
        udp::Offloading,
    };

    struct Nowhere;

    impl Forward for Nowhere {
        fn route(&self, _: SocketAddr, _: DataHeader, _: usize, _: usize, _: Moment) -> Route {
            Route::Nowhere
        }
    }

    #[tokio::test]
    async fn of_several_addresses_the_one_that_answers_is_taken() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let key = SigningKey::generate(&mut OsRng);
        let (relay, _events) = Listener::bind(loopback, &key, Arc::new(Nowhere), ListenerConfig::default()).unwrap();
        let silent = std::net::UdpSocket::bind(loopback).unwrap();
        let closed = std::net::UdpSocket::bind(loopback).unwrap().local_addr().unwrap();

        let socket = Arc::new(NodeSocket::bind(None, Offloading::WhereAvailable).unwrap());
        let abstract_socket: Arc<NodeSocket> = Arc::clone(&socket);
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            None,
            abstract_socket,
            Arc::new(TokioRuntime),
        )
        .unwrap();
        let link = RelayLink::new("no-such-relay.invalid", 4433, key.public().digest().0).unwrap();
        let mut connector = Connector::new(link, endpoint, Arc::clone(&socket), &NodeOptions::default()).unwrap();
        // As if the name had led there earlier and the name service were down now.
        connector.addresses = vec![silent.local_addr().unwrap(), closed, relay.local_addr()];
        assert_eq!([1, 2, 3].map(|failures| connector.patience(failures).tcp), [ATTEMPT, ATTEMPT, LONG_ATTEMPT]);
        let link = connector.connect(Within::both(Duration::from_secs(8))).await.unwrap();
        connector.go_by(&link);
        assert!(socket.table().is_live_relay(relay.local_addr()));
    }

    /// Somebody who looks into TLS on its way to the relay, as some organisations do, and answers with a certificate of its own.
    async fn inspector(key: &SigningKey, relay: SocketAddr, relay_pin: [u8; 32]) -> (SocketAddr, JoinSet<()>) {
        let own = tokio_rustls::TlsAcceptor::from(pipe::tls::server(Identity::of(key).unwrap()).unwrap());
        let onwards = tokio_rustls::TlsConnector::from(pipe::tls::client(relay_pin).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                // Whoever does not trust it leaves.
                let Ok(mut client) = own.accept(client).await else { continue };
                let server = tokio::net::TcpStream::connect(relay).await.unwrap();
                let name = rustls::pki_types::ServerName::try_from("assent-relay").unwrap();
                let mut server = onwards.connect(name, server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        });
        (address, tasks)
    }

    #[tokio::test]
    async fn who_inspects_tls_is_passed_if_this_machine_trusts_it() {
        let key = SigningKey::generate(&mut OsRng);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let (relay, _events, _pipes) = loop {
            let (relay, events) = Listener::bind(loopback, &key, Arc::new(Nowhere), ListenerConfig::default()).unwrap();
            // Another program may have the port of TCP.
            if let Ok(pipes) = Pipes::bind(relay.local_addr(), &key, &relay, PipesConfig::default()) {
                break (relay, events, pipes);
            }
        };
        let pin = key.public().digest().0;
        let inspecting = SigningKey::generate(&mut OsRng);
        let (inspector, _inspecting) = inspector(&inspecting, relay.local_addr(), pin).await;
        let proxy = ConnectProxy::start([("assent-relay:4433".to_owned(), inspector)], None).unwrap();

        let socket = Arc::new(NodeSocket::bind(None, Offloading::WhereAvailable).unwrap());
        let endpoint = super::super::endpoint_over(&socket).unwrap();
        let link = RelayLink::new("assent-relay", 4433, pin).unwrap();
        let proxies = Some(Proxies::new(&proxy.address().to_string(), ""));
        let options = NodeOptions { carrier: CarrierChoice::Tcp, proxies, ..NodeOptions::default() };
        let mut connector = Connector::new(link, endpoint, socket, &options).unwrap();
        let patience = Within::both(Duration::from_secs(8));

        let error = connector.connect(patience).await.map(drop).unwrap_err();
        assert!(matches!(&error, ConnectError::NoTcp { tcp: TcpFailure::Certificate { .. }, .. }), "{error}");
        assert!(error.to_string().contains("has to be installed on this machine"), "{error}");

        // Later attempts have time for such a way.
        assert_eq!(connector.patience(1).tcp, LONG_ATTEMPT);
        connector.dialer.trust(pin, self_signed(&inspecting).unwrap().into());
        connector.connect(patience).await.unwrap();
    }

    #[test]
    fn families_take_turns_and_none_is_lost() {
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = interleave(&of(&["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1"]));
        assert_eq!(mixed, of(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1"]));
        let mixed = interleave(&of(&["192.0.2.1:1", "[2001:db8::1]:1", "[2001:db8::2]:1"]));
        assert_eq!(mixed, of(&["192.0.2.1:1", "[2001:db8::1]:1", "[2001:db8::2]:1"]));
    }
}
