//! Notices that this machine's network has changed: an address came or went, or packets to the relay leave by another one.
//!
//! The kernel says that something has changed, and then what matters is compared with what was before: most of what it says, such as renewed
//! lifetimes of IPv6 addresses, changes nothing here. Where it says nothing, everything is looked at now and then.

#[cfg(target_os = "linux")]
#[path = "network/linux.rs"]
mod events;
#[cfg(not(target_os = "linux"))]
#[path = "network/other.rs"]
mod events;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use self::events::Events;
use super::{Node, candidates};
use crate::{
    address::{canonical, is_synthetic},
    socket::NodeSocket,
};

/// What belongs together comes within this: an address goes, another one comes, then its routes.
const SETTLES: Duration = Duration::from_millis(150);

/// A change is looked for so often where the kernel does not tell.
const LOOK: Duration = Duration::from_secs(5);

/// Somewhere else, for which the system is asked how packets would get there (RFC 5737, RFC 3849). None is sent.
const ELSEWHERE: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9),
];

/// Tells of changes of this machine's network, from when it was made.
#[derive(Debug)]
pub struct NetworkChanges {
    changes: watch::Receiver<u64>,
}

impl NetworkChanges {
    pub(super) fn of(socket: &NodeSocket) -> Self {
        Self { changes: socket.network().subscribe() }
    }

    /// Returns once the network has changed: addresses of this machine, or the one that packets to the relay leave by. Several changes in
    /// a short time may be told as one.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: a change that nobody waited for is told the next time.
    pub async fn next(&mut self) {
        if self.changes.changed().await.is_err() {
            // The node is gone.
            std::future::pending::<()>().await;
        }
    }
}

impl Node {
    /// Tells of changes of this machine's network from now on.
    pub fn network_changes(&self) -> NetworkChanges {
        NetworkChanges::of(&self.shared.socket)
    }
}

/// Tells `socket` of changes until `stop`.
pub(super) async fn watch(socket: Arc<NodeSocket>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        never = watch_with(&socket, Events::open().ok(), LOOK) => match never {},
    }
}

async fn watch_with(socket: &NodeSocket, mut events: Option<Events>, look: Duration) -> std::convert::Infallible {
    let mut before = Seen::by(socket);
    loop {
        match &events {
            Some(told) => {
                if told.next().await.is_err() {
                    // From here on by looking.
                    events = None;
                    continue;
                }
                sleep(SETTLES).await;
            }
            None => sleep(look).await,
        }
        let seen = Seen::by(socket);
        let news = seen.is_news_after(&before);
        before = seen;
        if news {
            socket.network().send_modify(|changes| *changes += 1);
        }
    }
}

/// What of a network matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// Addresses that others can try.
    own: Vec<SocketAddr>,
    /// The addresses that packets leave by: to the relay, or to elsewhere.
    leaves_by: Vec<IpAddr>,
}

impl Seen {
    fn by(socket: &NodeSocket) -> Self {
        let relay = socket.table().live_relay().map(canonical).filter(|relay| !is_synthetic(relay));
        let towards = relay.as_ref().map_or(&ELSEWHERE[..], std::slice::from_ref);
        Self {
            own: candidates::of_this_machine(socket),
            leaves_by: towards.iter().filter_map(|to| leaves_by(*to)).collect(),
        }
    }

    /// Whether there is something to do about it: without any way out there is not.
    fn is_news_after(&self, before: &Self) -> bool {
        !self.leaves_by.is_empty() && self != before
    }
}

/// The address of this machine that packets to `to` have. Nothing is sent: the system only chooses.
fn leaves_by(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests;
