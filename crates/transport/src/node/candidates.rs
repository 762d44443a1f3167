//! Addresses at which this node can perhaps be reached directly.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Mutex,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use wire::path::CANDIDATES;

use super::Node;
use crate::{
    address::canonical,
    socket::{NodeSocket, lock},
};

/// How long the relay may take to say from where this node's packets come. It is one round trip away, and not knowing costs only one
/// candidate.
const OBSERVED_WITHIN: Duration = Duration::from_millis(500);

/// Addresses of this machine's own that are told, for each family: machines with more have them for other purposes.
const OF_FAMILY: usize = 3;

/// What the relay says about where packets come from.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    asked: Notify,
    said: watch::Sender<Option<SocketAddr>>,
    /// What a router forwards to this node.
    mapped: Mutex<Option<SocketAddr>>,
    mapping: Notify,
}

impl Observation {
    /// Waits until somebody wants to know. For one task alone, cancel-safe.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// The relay has answered.
    pub(crate) fn say(&self, address: SocketAddr) {
        self.said.send_replace(Some(canonical(address)));
    }

    /// A router forwards this address, or none any more.
    #[cfg(feature = "port-mapping")]
    pub(super) fn set_mapped(&self, address: Option<SocketAddr>) {
        if std::mem::replace(&mut *lock(&self.mapped), address) != address {
            self.mapping.notify_one();
        }
    }

    pub(super) fn mapped(&self) -> Option<SocketAddr> {
        *lock(&self.mapped)
    }

    /// Waits for a change of [`Observation::mapped`]. For one task alone, cancel-safe.
    pub(super) async fn mapping_changed(&self) {
        self.mapping.notified().await;
    }

    /// Asks, and takes what was said before if there is no answer in time.
    async fn ask(&self) -> Option<SocketAddr> {
        let mut said = self.said.subscribe();
        said.mark_unchanged();
        self.asked.notify_one();
        // Whatever comes of it: the newest that is known.
        let _ = timeout(OBSERVED_WITHIN, said.changed()).await;
        *said.borrow()
    }
}

impl Node {
    /// Addresses at which the other end of a session can try to reach this node, the best first: those of this machine, IPv6 before IPv4, the
    /// one that the relay sees, and the one that a router forwards. At most [`CANDIDATES`].
    ///
    /// Takes up to half a second, for the relay's answer. Loopback addresses are among them only if the relay is on this machine.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn candidates(&self) -> Vec<SocketAddr> {
        // Over TCP a relay does not see where UDP would come from.
        let over_tcp = self.shared.socket.table().is_live_by_pipe();
        let observed = if over_tcp { None } else { self.shared.socket.observation().ask().await };
        let mut found = of_this_machine(&self.shared.socket);
        for address in observed.into_iter().chain(self.shared.socket.observation().mapped()) {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found.truncate(CANDIDATES);
        found
    }
}

/// The addresses of this machine that a node can be reached at. When they change, so do its candidates.
pub(super) fn of_this_machine(socket: &NodeSocket) -> Vec<SocketAddr> {
    let Ok(bound) = socket.bound_to() else { return Vec::new() };
    let relay_is_here = socket.table().live_relay().is_some_and(|relay| canonical(relay).ip().is_loopback());
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let up = interfaces.into_iter().filter(if_addrs::Interface::is_oper_up);
    own_addresses(bound, relay_is_here, up.map(|interface| interface.ip()))
}

pub(super) fn own_addresses(
    bound: SocketAddr,
    relay_is_here: bool,
    of_machine: impl Iterator<Item = IpAddr>,
) -> Vec<SocketAddr> {
    let bound = canonical(bound);
    let reachable = |ip: &IpAddr| {
        let same = bound.ip().is_unspecified() || bound.ip() == *ip;
        let family = bound.is_ipv6() || ip.is_ipv4();
        let local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        same && family && !local && !ip.is_unspecified() && !ip.is_multicast() && (relay_is_here || !ip.is_loopback())
    };
    let (mut v6, mut v4): (Vec<_>, Vec<_>) = of_machine.filter(reachable).partition(IpAddr::is_ipv6);
    for of_family in [&mut v6, &mut v4] {
        // In the order of the system, which keeps an interface's addresses together, but the same one only once.
        let mut seen = Vec::new();
        of_family.retain(|ip| {
            let fresh = !seen.contains(ip);
            seen.push(*ip);
            fresh
        });
        of_family.truncate(OF_FAMILY);
    }
    v6.into_iter().chain(v4).map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bound: &str, relay_is_here: bool) -> Vec<String> {
        let machine = [
            "127.0.0.1",
            "::1",
            "fe80::1",
            "169.254.3.4",
            "192.0.2.7",
            "2001:db8::7",
            "192.0.2.7",
            "10.0.0.1",
            "10.0.0.2",
            "10.0.0.3",
            "2001:db8::8",
        ];
        let machine = machine.into_iter().map(|ip| ip.parse().unwrap());
        own_addresses(bound.parse().unwrap(), relay_is_here, machine).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_machines_addresses_are_told_ipv6_first_and_none_that_leads_nowhere() {
        let told = ["[2001:db8::7]:9", "[2001:db8::8]:9", "192.0.2.7:9", "10.0.0.1:9", "10.0.0.2:9"];
        assert_eq!(of("[::]:9", false), told);
        assert_eq!(of("0.0.0.0:9", false), told[2..]);
    }

    #[test]
    fn loopback_is_told_beside_a_relay_on_this_machine_alone() {
        assert!(of("[::]:9", true).contains(&"127.0.0.1:9".to_owned()));
        assert_eq!(of("127.0.0.1:9", true), ["127.0.0.1:9"]);
        assert!(of("127.0.0.1:9", false).is_empty());
    }
}
