//! A port that the router of this network forwards to the node, for as long as somebody wants it.
//!
//! It takes seconds where nobody answers, so it is never waited for: what comes of it is one more candidate. Programs that never want one, as the
//! relay, are built without what speaks with routers (feature `port-mapping`); a node without it asks none.

#[cfg(feature = "port-mapping")]
mod routers;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio_util::sync::DropGuard;

use super::Node;
use crate::socket::NodeSocket;

/// Keeps a port of the router forwarded until it is dropped.
#[derive(Debug)]
pub struct MappedPort {
    socket: Arc<NodeSocket>,
    _wanted: DropGuard,
}

impl MappedPort {
    /// Returns when [`Node::candidates`] has one more address, or another one, by this. For one task alone.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: a change that nobody waited for is told the next one.
    pub async fn changed(&self) {
        self.socket.observation().mapping_changed().await;
    }
}

impl Node {
    /// Asks the router of this network to forward a port to this node. Returns at once; does nothing beside a relay on this machine, or without the
    /// feature `port-mapping`.
    pub fn map_port(&self) -> MappedPort {
        let wanted = self.shared.stop.child_token();
        let socket = Arc::clone(&self.shared.socket);
        #[cfg(feature = "port-mapping")]
        if let Some(kept) = routers::keep_for(&socket, &wanted) {
            crate::socket::lock(&self.shared.tasks).spawn(kept);
        }
        MappedPort { socket, _wanted: wanted.drop_guard() }
    }
}

/// By what a router was asked to forward a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MappingProtocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device.
    Upnp,
}

/// A mapping that a router made, and that was removed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundMapping {
    /// By what it was asked for.
    pub protocol: MappingProtocol,
    /// Outside of the router.
    pub external: SocketAddr,
}

impl FoundMapping {
    /// Whether others can reach it: a router behind another one forwards from nowhere.
    pub fn leads_in(&self) -> bool {
        is_of_the_internet(self.external.ip())
    }
}

/// Which protocols the router of this network speaks: a mapping is made by each, for a port that nobody uses, and removed again.
pub(super) async fn found() -> Vec<FoundMapping> {
    #[cfg(feature = "port-mapping")]
    let found = routers::found().await;
    #[cfg(not(feature = "port-mapping"))]
    let found = std::future::ready(Vec::new()).await;
    found
}

/// A router behind another one forwards from nowhere.
fn is_of_the_internet(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}
