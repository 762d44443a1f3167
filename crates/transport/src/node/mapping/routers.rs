//! Routers that forward ports: asked by PCP (RFC 6887), by NAT-PMP (RFC 6886) if the router knows only that, else by UPnP.
//!
//! A mapping is removed when it is not wanted any more; a router forgets it by itself after [`LIFETIME`], should this program be killed.

mod gateway;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use crab_nat::{
    InternetProtocol, PortMapping as NatMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp,
};
use igd_next::{PortMappingProtocol, SearchOptions, aio};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{FoundMapping, MappingProtocol, is_of_the_internet};
use crate::{
    node::{candidates::Observation, network::NetworkChanges},
    socket::NodeSocket,
};

/// How long a router keeps a mapping that is not renewed. It is renewed at half of it.
const LIFETIME: Duration = Duration::from_secs(600);

/// A router that refused or does not answer is asked again after so long: somebody may have come home meanwhile.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// PCP and NAT-PMP: the router is on this network, so it answers at once or not at all.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(250),
    max_retries: 3,
    max_retry_timeout: Some(Duration::from_secs(1)),
};

/// How long a router is looked for by UPnP.
const SEARCH: Duration = Duration::from_secs(3);

/// How long a router may take for one request by UPnP.
const REQUEST: Duration = Duration::from_secs(5);

/// How long the removal of a mapping may hold up the end of the program.
const REMOVAL: Duration = Duration::from_millis(400);

/// How long all of that may take where nothing comes of it but knowing.
const FINDING: Duration = Duration::from_secs(6);

/// Where routers are asked.
#[derive(Debug, Clone, Copy)]
struct Ways {
    /// PCP and NAT-PMP.
    gateway: Option<Ipv4Addr>,
    /// UPnP: where the search is sent.
    search: SocketAddr,
}

impl Ways {
    fn of_this_network() -> Self {
        Self { gateway: gateway::of_default_route(), search: SocketAddr::from(([239, 255, 255, 250], 1900)) }
    }

    /// The address of this machine that the router would forward to.
    fn own_address(&self) -> Option<Ipv4Addr> {
        let towards = self.gateway.map_or(self.search, |gateway| SocketAddr::from((gateway, crab_nat::GATEWAY_PORT)));
        // Nothing is sent: the system only chooses the interface.
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
        socket.connect(towards).ok()?;
        match socket.local_addr().ok()?.ip() {
            IpAddr::V4(own) => Some(own),
            IpAddr::V6(_) => None,
        }
    }
}

/// Keeps a port forwarded to the node with this socket, until it is not wanted any more. `None`: the relay is on this machine.
pub(super) fn keep_for(
    socket: &Arc<NodeSocket>,
    wanted: &CancellationToken,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let relay_is_here = socket.table().live_relay().is_some_and(|relay| relay.ip().is_loopback());
    let port = socket.bound_to().ok().and_then(|bound| NonZeroU16::new(bound.port()));
    let port = port.filter(|_| !relay_is_here)?;
    let (socket, wanted) = (Arc::clone(socket), wanted.clone());
    Some(async move {
        let mut network = NetworkChanges::of(&socket);
        keep(socket.observation(), port, Ways::of_this_network, &mut network, &wanted).await;
    })
}

/// Which protocols the router of this network speaks: a mapping is made by each, for a port that nobody uses, and removed again.
pub(super) async fn found() -> Vec<FoundMapping> {
    found_by(Ways::of_this_network()).await
}

async fn found_by(ways: Ways) -> Vec<FoundMapping> {
    let Some(own) = ways.own_address() else { return Vec::new() };
    let socket = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok();
    // Kept for as long as it takes, so that what comes by a mapping comes to nobody.
    let sockets = [socket(), socket()];
    let [for_nat, for_upnp] = sockets.each_ref().map(|socket| {
        let bound = socket.as_ref().and_then(|socket| socket.local_addr().ok());
        bound.and_then(|bound| NonZeroU16::new(bound.port()))
    });
    let by_nat = async { Mapping::by_nat(for_nat?, own, ways.gateway).await };
    let by_upnp = async { Mapping::by_upnp(for_upnp?, own, ways.search).await };
    let (by_nat, by_upnp) = tokio::join!(timeout(FINDING, by_nat), timeout(FINDING, by_upnp));
    let mut found = Vec::new();
    for mapping in [by_nat, by_upnp].into_iter().filter_map(|found| found.ok().flatten()) {
        let protocol = match &mapping.by {
            By::Nat(mapping) => match mapping.mapping_type() {
                PortMappingType::Pcp { .. } => MappingProtocol::Pcp,
                PortMappingType::NatPmp => MappingProtocol::NatPmp,
            },
            By::Upnp(_) => MappingProtocol::Upnp,
        };
        found.push(FoundMapping { protocol, external: mapping.external });
        // A router that does not answer any more forgets it in time.
        let _ = timeout(REMOVAL, mapping.remove()).await;
    }
    found
}

/// Keeps a mapping until it is not wanted any more.
async fn keep(
    observation: &Observation,
    port: NonZeroU16,
    ways: impl Fn() -> Ways,
    network: &mut NetworkChanges,
    wanted: &CancellationToken,
) {
    loop {
        let mapping = tokio::select! {
            // One that the router makes although nobody waits for it lapses by itself.
            () = wanted.cancelled() => return,
            mapping = Mapping::make(port, ways()) => mapping,
        };
        let wait = match &mapping {
            Some(mapping) => {
                observation.set_mapped(Some(mapping.external));
                LIFETIME / 2
            }
            None => {
                observation.set_mapped(None);
                TRY_AGAIN
            }
        };
        let stop = tokio::select! {
            () = wanted.cancelled() => true,
            () = sleep(wait) => false,
            // Another network may have another router; the one of before forgets its mapping in time.
            () = network.next() => false,
        };
        if stop {
            observation.set_mapped(None);
            if let Some(mapping) = mapping {
                // A router that does not answer any more forgets it in time.
                let _ = timeout(REMOVAL, mapping.remove()).await;
            }
            return;
        }
    }
}

/// A mapping that stands.
struct Mapping {
    external: SocketAddr,
    by: By,
}

enum By {
    Nat(Box<NatMapping>),
    Upnp(Box<aio::Gateway<aio::tokio::Tokio>>),
}

impl Mapping {
    /// Makes one, or the same one for longer.
    async fn make(port: NonZeroU16, ways: Ways) -> Option<Self> {
        let own = ways.own_address()?;
        let mapping = match Self::by_nat(port, own, ways.gateway).await {
            Some(mapping) => mapping,
            None => timeout(SEARCH + REQUEST * 2, Self::by_upnp(port, own, ways.search)).await.ok().flatten()?,
        };
        is_of_the_internet(mapping.external.ip()).then_some(mapping)
    }

    async fn by_nat(port: NonZeroU16, own: Ipv4Addr, gateway: Option<Ipv4Addr>) -> Option<Self> {
        let gateway = gateway?.into();
        let options = PortMappingOptions {
            external_port: Some(port),
            lifetime_seconds: u32::try_from(LIFETIME.as_secs()).ok(),
            timeout_config: Some(PATIENCE),
        };
        let mapping = NatMapping::new(gateway, own.into(), InternetProtocol::Udp, port, options).await.ok()?;
        let external = match mapping.mapping_type() {
            PortMappingType::Pcp { external_ip, .. } => external_ip.to_canonical(),
            PortMappingType::NatPmp => natpmp::external_address(gateway, Some(PATIENCE)).await.ok()?.into(),
        };
        let external = SocketAddr::new(external, mapping.external_port().get());
        Some(Self { external, by: By::Nat(Box::new(mapping)) })
    }

    async fn by_upnp(port: NonZeroU16, own: Ipv4Addr, search: SocketAddr) -> Option<Self> {
        let mut options = SearchOptions::default();
        options.bind_addr = SocketAddr::from((own, 0));
        options.broadcast_address = search;
        options.timeout = Some(SEARCH);
        options.single_search_timeout = Some(SEARCH);
        // One that answers a search of the whole network has to be where its answer comes from, and never on this machine.
        options.allowed_gateway_ips = [search.ip()].into_iter().filter(|ip| !ip.is_multicast()).collect();
        let gateway = aio::tokio::search_gateway(options).await.ok()?;
        let local = SocketAddr::from((own, port.get()));
        let lifetime = u32::try_from(LIFETIME.as_secs()).ok()?;
        // The same port outside if it is free: renewing then finds its own mapping.
        let same = gateway.add_port(PortMappingProtocol::UDP, port.get(), local, lifetime, "assent").await;
        let external_port = match same {
            Ok(()) => port.get(),
            Err(_) => gateway.add_any_port(PortMappingProtocol::UDP, local, lifetime, "assent").await.ok()?,
        };
        let external = SocketAddr::new(gateway.get_external_ip().await.ok()?, external_port);
        Some(Self { external, by: By::Upnp(Box::new(gateway)) })
    }

    async fn remove(self) {
        match self.by {
            By::Nat(mapping) => drop(mapping.try_drop().await),
            By::Upnp(gateway) => drop(gateway.remove_port(PortMappingProtocol::UDP, self.external.port()).await),
        }
    }
}

#[cfg(test)]
mod tests;
