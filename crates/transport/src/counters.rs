//! What happened to packets that nobody heard of otherwise.

use std::sync::atomic::{AtomicU64, Ordering};

/// Packets of a [`Node`](crate::node::Node)'s socket that went nowhere, since it was bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Came from an address that is neither the relay's nor shown to be the other end's.
    pub stranger: u64,
    /// Probes of direct paths that the other end did not make, that came twice, or before direct paths were allowed.
    pub bad_probe: u64,
    /// Neither QUIC nor a DATA packet of this version.
    pub unknown_kind: u64,
    /// Of a channel that nothing here has to do with. A few around the start and end of a session are usual.
    pub unknown_channel: u64,
    /// Larger than anything that is spoken here.
    pub too_large: u64,
    /// Were to be sent to a session or relay that is no more.
    pub no_route: u64,
    /// Were refused by the kernel: larger than the path takes (probes of the packet size are), or the network is down.
    pub send_errors: u64,
    /// Were dropped before they left over TCP, because they had waited for too long or too many had.
    pub pipe_dropped: u64,
    /// Errors of the kernel in receiving.
    pub receive_errors: u64,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
