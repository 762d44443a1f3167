//! Handshakes under way, of all shards together.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{address::network, socket::lock};

/// A network may have this part of the handshakes that are still free.
///
/// What is left shrinks with every network that takes its part, and is never taken by a few: a dynamic threshold (Choudhury and Hahne, IEEE/ACM
/// Transactions on Networking 6(2), 1998). Of 1024, one network gets 114; forty that take all they can leave some for the next.
const PART_OF_FREE: usize = 8;

/// How many handshakes are under way, and whose they are. Locked twice a handshake, never for a packet of a session.
#[derive(Debug, Default)]
pub(in super::super) struct Handshakes {
    all: AtomicUsize,
    by_network: Mutex<BTreeMap<IpAddr, usize>>,
}

impl Handshakes {
    pub(super) fn count(&self) -> usize {
        self.all.load(Relaxed)
    }

    /// Whether somebody at `from` may begin another one, when there are `most` at once.
    pub(super) fn may_begin(&self, from: SocketAddr, most: usize) -> bool {
        let free = most.saturating_sub(self.count());
        let of_network = lock(&self.by_network).get(&network(from)).copied().unwrap_or_default();
        of_network * PART_OF_FREE < free
    }

    pub(super) fn begin(&self, from: SocketAddr) {
        self.all.fetch_add(1, Relaxed);
        *lock(&self.by_network).entry(network(from)).or_default() += 1;
    }

    /// One that began from there is over, however it went.
    pub(super) fn end(&self, from: SocketAddr) {
        self.all.fetch_sub(1, Relaxed);
        let mut by_network = lock(&self.by_network);
        if let Some(count) = by_network.get_mut(&network(from)) {
            *count -= 1;
            if *count == 0 {
                by_network.remove(&network(from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1024;

    fn fill(handshakes: &Handshakes, from: &str) -> usize {
        let from = from.parse().unwrap();
        let begun = (0..).take_while(|_| handshakes.may_begin(from, MOST).then(|| handshakes.begin(from)).is_some());
        begun.count()
    }

    #[test]
    fn a_network_that_takes_all_it_can_leaves_most_to_others() {
        let handshakes = Handshakes::default();
        assert_eq!(fill(&handshakes, "192.0.2.1:1"), 114);
        assert_eq!(fill(&handshakes, "192.0.2.1:2"), 0, "another port is no other network");
        assert_eq!(fill(&handshakes, "[2001:db8::1]:1"), 102);
        assert_eq!(fill(&handshakes, "[2001:db8::2]:1"), 0, "a /64 is one network");
        for last in 2..40 {
            fill(&handshakes, &format!("192.0.2.{last}:1"));
        }
        assert!(fill(&handshakes, "198.51.100.1:1") > 0, "{} are under way", handshakes.count());
    }

    #[test]
    fn what_is_over_is_free_again_and_nothing_is_kept_of_it() {
        let handshakes = Handshakes::default();
        let from = "192.0.2.1:1".parse().unwrap();
        let begun = fill(&handshakes, "192.0.2.1:1");
        (0..begun).for_each(|_| handshakes.end(from));
        assert_eq!((handshakes.count(), lock(&handshakes.by_network).len()), (0, 0));
        assert_eq!(fill(&handshakes, "192.0.2.1:1"), begun);
    }
}
