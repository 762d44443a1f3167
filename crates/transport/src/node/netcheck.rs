//! What this machine's network allows: which ways lead to a relay, and what happens to packets on them.
//!
//! [`observe`] asks, with all questions side by side and each within its own time; what follows from the answers is computed
//! by pure functions ([`Observations`]). Nobody is called but the relay, the router of this network and its name service, and no session comes of it.

mod judge;
mod sizes;
mod tap;

use std::{
    future::{Future, ready},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout};
use wire::{
    control::{FromRelay, ToRelay},
    link::RelayLink,
};

pub use self::judge::{Direct, Likelihood, Nat, Unclear, Way};
use self::tap::Tap;
pub use super::mapping::{FoundMapping, MappingProtocol};
use super::{
    NodeOptions, Proxies,
    candidates::own_addresses,
    connect::{ConnectError, Connector, resolve},
    endpoint_over, mapping,
};
pub use crate::pipe::dial::CertificateCheck;
use crate::{
    address::canonical,
    socket::NodeSocket,
    streams::{FrameReceiver, FrameSender},
    udp::Offloading,
};

/// How long the name service may take.
const NAMES: Duration = Duration::from_secs(5);

/// How long a handshake over UDP may take: it sends again after 0.3, 0.9 and 2.1 s.
const UDP: Duration = Duration::from_secs(5);

/// How long the way over TCP may take, through a proxy and TLS.
const TCP: Duration = Duration::from_secs(8);

/// How long the relay may take to answer a question on a connection that stands.
const ANSWER: Duration = Duration::from_secs(2);

/// How long the last packets of a connection may take to leave.
const LEAVING: Duration = Duration::from_millis(100);

/// A version of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    fn has(self, address: &SocketAddr) -> bool {
        (self == Self::V4) == address.is_ipv4()
    }

    /// Any port of all addresses of this machine.
    fn anywhere(self) -> SocketAddr {
        match self {
            Self::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Self::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        }
    }
}

/// One of the questions that are asked side by side, for telling how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Where the relay's name leads.
    Names,
    /// Whether UDP reaches the relay, and what becomes of it on its way.
    Udp(Family),
    /// Whether TCP reaches the relay.
    Tcp(Family),
    /// Whether TCP reaches the relay through a proxy.
    Proxy,
    /// Whether the router forwards ports.
    Mapping,
}

/// What became of all questions.
#[derive(Debug, Clone)]
pub struct Observations {
    /// Where the relay's name leads, and how long it took to find out.
    pub names: (Result<Vec<SocketAddr>, ConnectError>, Duration),
    /// What was found out over IPv4.
    pub v4: FamilyObservations,
    /// What was found out over IPv6.
    pub v6: FamilyObservations,
    /// The proxy that this environment names for the relay, and whether TCP reaches the relay through it. TCP goes no other way then.
    pub proxy: Option<(String, Result<TcpAnswer, ConnectError>)>,
    /// Port mappings that the router of this network made, for a moment. `None`: it was not asked, because the relay is on this machine.
    pub mappings: Option<Vec<FoundMapping>>,
}

/// What was found out over one version of the Internet Protocol.
#[derive(Debug, Clone, Default)]
pub struct FamilyObservations {
    /// Addresses of this machine by which others could reach it: no loopback (unless the relay is here), none of the link alone.
    pub own: Vec<IpAddr>,
    /// Addresses of the relay.
    pub relay: Vec<SocketAddr>,
    /// Whether UDP reaches the relay. `None`: it has no address of this family.
    pub udp: Option<Result<UdpAnswer, ConnectError>>,
    /// Whether TCP reaches the relay. `None`: it has no address of this family, or TCP goes through a proxy.
    pub tcp: Option<Result<TcpAnswer, ConnectError>>,
}

/// A relay that was reached by UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpAnswer {
    /// Until the connection stood, from the first packet on.
    pub handshake: Duration,
    /// Round-trip time.
    pub round_trip: Duration,
    /// From where the packets come, as the relay sees it; `None` if it did not say.
    pub seen_as: Option<SocketAddr>,
    /// What the relay's second port said.
    pub reflector: ReflectorAnswer,
}

/// What the relay's second port said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReflectorAnswer {
    /// The relay has none.
    NotOffered,
    /// Nothing came back from it.
    Silent {
        /// Its UDP port.
        port: u16,
    },
    /// It answers.
    Answers {
        /// From where the packets of the same socket come, as it sees it.
        seen_as: SocketAddr,
        /// Largest UDP payload that it sent back, in bytes, of at most [`wire::reflect::REFLECT_MOST`].
        largest: u16,
    },
}

/// A relay that was reached over TCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpAnswer {
    /// Until the connection stood, from the first packet on: TCP, TLS, WebSocket, and the relay's own handshake in it.
    pub handshake: Duration,
    /// Why the certificate of TLS was good enough.
    pub certificate: CertificateCheck,
}

/// Asks all questions about the way to a relay and calls `progress` with each that is begun (`false`) and done (`true`).
///
/// Takes as long as the slowest answer, at most about 20 s. Needs a tokio runtime with time and I/O.
///
/// # Cancel safety
///
/// Dropping the future undoes everything; a router's mapping that was just being made lapses by itself.
pub async fn observe(link: &RelayLink, proxies: &Proxies, progress: impl Fn(Question, bool)) -> Observations {
    let began = Instant::now();
    progress(Question::Names, false);
    let found = resolve(link.host().to_owned(), link.port(), Vec::new(), began + NAMES).await;
    progress(Question::Names, true);
    let took = began.elapsed();

    let addresses = found.clone().unwrap_or_default();
    let of = |family: Family| addresses.iter().copied().filter(|address| family.has(address)).collect::<Vec<_>>();
    let relay_is_here = addresses.iter().any(|address| address.ip().is_loopback());
    let proxy = proxies.to(link.host(), link.port()).map(|proxy| proxy.shown());
    let options = NodeOptions { proxies: Some(proxies.clone()), ..NodeOptions::default() };
    let asking = Asking { link, options, proxied: proxy.is_some(), relay_is_here, progress };
    let (v4, v6, by_proxy, mappings) = tokio::join!(
        asking.family(Family::V4, of(Family::V4)),
        asking.family(Family::V6, of(Family::V6)),
        asking.proxy(),
        asking.mappings(),
    );
    Observations { names: (found, took), v4, v6, proxy: proxy.zip(by_proxy), mappings }
}

/// What all questions have in common.
struct Asking<'a, P> {
    link: &'a RelayLink,
    options: NodeOptions,
    /// TCP goes through a proxy.
    proxied: bool,
    relay_is_here: bool,
    progress: P,
}

impl<P: Fn(Question, bool)> Asking<'_, P> {
    async fn telling<T>(&self, question: Question, work: impl Future<Output = T>) -> T {
        (self.progress)(question, false);
        let done = work.await;
        (self.progress)(question, true);
        done
    }

    async fn family(&self, family: Family, relay: Vec<SocketAddr>) -> FamilyObservations {
        let own = self.own(family);
        if relay.is_empty() {
            return FamilyObservations { own, relay, udp: None, tcp: None };
        }
        let tcp = async {
            if self.proxied {
                return None;
            }
            Some(self.telling(Question::Tcp(family), Box::pin(self.tcp(&relay))).await)
        };
        let (udp, tcp) = tokio::join!(self.telling(Question::Udp(family), Box::pin(self.udp(family, &relay))), tcp);
        FamilyObservations { own, relay, udp: Some(udp), tcp }
    }

    fn own(&self, family: Family) -> Vec<IpAddr> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let up = interfaces.into_iter().filter(if_addrs::Interface::is_oper_up).map(|interface| interface.ip());
        let reachable = own_addresses(family.anywhere(), self.relay_is_here, up);
        reachable.iter().filter(|address| family.has(address)).map(SocketAddr::ip).collect()
    }

    fn connector(&self, socket: &Arc<NodeSocket>) -> Result<Connector, ConnectError> {
        let endpoint = endpoint_over(socket).map_err(|error| ConnectError::socket(&error))?;
        Connector::new(self.link.clone(), endpoint, Arc::clone(socket), &self.options)
    }

    async fn udp(&self, family: Family, relay: &[SocketAddr]) -> Result<UdpAnswer, ConnectError> {
        let (tap, mut reflected) = Tap::bind(family.anywhere()).map_err(|error| ConnectError::socket(&error))?;
        let socket = Arc::new(NodeSocket::over(tap.port()));
        let mut connector = self.connector(&socket)?;
        let began = Instant::now();
        let resolved = ready(Ok(relay.to_vec())).boxed().shared();
        let link = connector.by_udp(resolved, began + UDP).await?;
        let handshake = began.elapsed();
        connector.go_by(&link);
        let (seen_as, port) = about_us(&link.connection).await?;
        let relay = socket.table().live_relay();
        let round_trip = link.connection.rtt();
        let reflector = match port.zip(relay) {
            None => ReflectorAnswer::NotOffered,
            Some((port, relay)) => {
                let there = SocketAddr::new(relay.ip(), port.get());
                reflected.learn(&tap, there, round_trip).await
            }
        };
        let answer = UdpAnswer { handshake, round_trip, seen_as: seen_as.map(canonical), reflector };
        leave(&connector).await;
        Ok(answer)
    }

    async fn tcp(&self, relay: &[SocketAddr]) -> Result<TcpAnswer, ConnectError> {
        let socket =
            NodeSocket::bind(None, Offloading::WhereAvailable).map_err(|error| ConnectError::socket(&error))?;
        let connector = self.connector(&Arc::new(socket))?;
        let began = Instant::now();
        let (_link, certificate) = connector.over_tcp(relay, began + TCP).await?;
        let answer = TcpAnswer { handshake: began.elapsed(), certificate };
        leave(&connector).await;
        connector.socket.pipes().close_all().await;
        Ok(answer)
    }

    async fn proxy(&self) -> Option<Result<TcpAnswer, ConnectError>> {
        if !self.proxied {
            return None;
        }
        // The proxy is told the relay's name and finds its address.
        Some(self.telling(Question::Proxy, Box::pin(self.tcp(&[]))).await)
    }

    async fn mappings(&self) -> Option<Vec<FoundMapping>> {
        if self.relay_is_here {
            return None;
        }
        Some(self.telling(Question::Mapping, Box::pin(mapping::found())).await)
    }
}

/// From where our packets come, and where the reflector is, as the relay says.
async fn about_us(connection: &quinn::Connection) -> Result<(Option<SocketAddr>, Option<NonZeroU16>), ConnectError> {
    let Ok(Ok((send, receive))) = timeout(ANSWER, connection.open_bi()).await else { return Ok((None, None)) };
    let (mut sender, mut receiver) = (FrameSender::new(send, None), FrameReceiver::new(receive));
    let mut ask = async |question: ToRelay| {
        let asking = async {
            sender.send(&question).await.ok()?;
            receiver.recv::<FromRelay>().await.ok()?
        };
        timeout(ANSWER, asking).await.ok().flatten()
    };
    let seen_as = match ask(ToRelay::Observe).await {
        Some(FromRelay::Observed { address }) => Some(address),
        // That is how it turns somebody away.
        Some(FromRelay::Refused { .. }) => return Err(ConnectError::Refused),
        Some(_) | None => None,
    };
    // A relay that does not know this question ends the connection.
    match ask(ToRelay::FindReflector).await {
        Some(FromRelay::Reflector { port }) => Ok((seen_as, port)),
        Some(_) | None => Ok((seen_as, None)),
    }
}

/// Says goodbye, so that the relay need not wait for us.
async fn leave(connector: &Connector) {
    connector.endpoint.close(quinn::VarInt::from_u32(0), b"");
    // Whether or not it has left by then.
    let _ = timeout(LEAVING, connector.endpoint.wait_idle()).await;
}

#[cfg(test)]
mod tests;
