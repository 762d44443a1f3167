//! One attempt to reach the relay.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use quinn::{ClientConfig, ConnectionError, Endpoint, crypto::rustls::QuicClientConfig};
use tokio::{
    net::lookup_host,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use wire::{link::RelayLink, text::Label};

use crate::{
    address::{Place, canonical},
    knobs,
    socket::NodeSocket,
    tls::{self, Pin, SERVER_NAME},
};

/// A later attempt is over after this long: a handshake takes two round trips and survives the loss of a few packets.
pub(super) const ATTEMPT: Duration = Duration::from_secs(3);

/// The next address joins in when the one before has not answered for so long (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

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
    /// Nothing answers at the address.
    #[error(
        "nothing answers at {host} on UDP port {port}, so no session was started; check that the relay is running and that \
         no firewall blocks UDP"
    )]
    NoAnswer {
        /// The host in the link.
        host: String,
        /// The port in the link.
        port: u16,
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
            Self::NotResolved { .. } | Self::NoAnswer { .. } | Self::Refused => true,
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
            Self::Socket { .. } => 2,
            Self::Broken { .. } => 3,
            Self::Refused => 4,
            Self::Version => 5,
            Self::WrongKey => 6,
        }
    }
}

/// Connects to one relay, again and again.
pub(super) struct Connector {
    link: RelayLink,
    pub(super) endpoint: Endpoint,
    pub(super) socket: Arc<NodeSocket>,
    pin: Arc<Pin>,
    tls: Arc<QuicClientConfig>,
    /// Where the name led last time, for when it cannot be resolved.
    addresses: Vec<SocketAddr>,
    /// Kept, so that an address that the relay has validated once need not be validated again.
    tokens: Arc<quinn::TokenMemoryCache>,
}

impl Connector {
    pub(super) fn new(link: RelayLink, endpoint: Endpoint, socket: Arc<NodeSocket>) -> Result<Self, ConnectError> {
        let pin = Arc::new(Pin::new(link.pin()));
        let tls = tls::control_client(Arc::clone(&pin))
            .map_err(|error| ConnectError::Broken { reason: Label::cut(&error.to_string()) })?;
        let tokens = Arc::new(quinn::TokenMemoryCache::default());
        Ok(Self { link, endpoint, socket, pin, tls: Arc::new(tls), addresses: Vec::new(), tokens })
    }

    /// Resolves the name, tries its addresses, and makes the first that answers the one that data goes by.
    pub(super) async fn connect(&mut self, within: Duration) -> Result<quinn::Connection, ConnectError> {
        let deadline = Instant::now() + within;
        self.resolve(deadline).await?;
        let mut addresses = self.addresses.iter().copied().collect::<VecDeque<_>>();
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
                    Ok((place, Ok(connection))) => {
                        let mut table = self.socket.table();
                        table.set_live(Some(place));
                        table.set_relay_rtt(connection.rtt());
                        return Ok(connection);
                    }
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

    async fn resolve(&mut self, deadline: Instant) -> Result<(), ConnectError> {
        let (host, port) = (self.link.host(), self.link.port());
        let resolved = match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            Err(_) => match timeout_at(deadline, lookup_host((host, port))).await {
                Ok(Ok(found)) => Ok(found.collect()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("the name service does not answer".to_owned()),
            },
        };
        match resolved {
            Ok(found) if !found.is_empty() => {
                self.addresses = interleave(&found);
                Ok(())
            }
            Ok(_) | Err(_) if !self.addresses.is_empty() => Ok(()),
            Ok(_) => Err(ConnectError::NotResolved { host: host.to_owned(), reason: "it has no address".to_owned() }),
            Err(reason) => Err(ConnectError::NotResolved { host: host.to_owned(), reason }),
        }
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
    use trust::keys::SigningKey;
    use wire::{channel::DataHeader, time::Moment};

    use super::*;
    use crate::{
        listener::{Forward, Listener, ListenerConfig, Route},
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
        let mut connector = Connector::new(link, endpoint, Arc::clone(&socket)).unwrap();
        // As if the name had led there earlier and the name service were down now.
        connector.addresses = vec![silent.local_addr().unwrap(), closed, relay.local_addr()];
        connector.connect(Duration::from_secs(8)).await.unwrap();
        assert!(socket.table().is_live_relay(relay.local_addr()));
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
