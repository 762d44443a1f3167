//! Where the two sides of a session find each other again.

use std::collections::BTreeMap;

use wire::{
    control::{Rendezvous, Side},
    time::Moment,
};

use crate::ConnectionId;

/// One side of a session, waiting for the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiter {
    pub(crate) connection: ConnectionId,
    pub(crate) side: Side,
    pub(crate) until: Moment,
}

/// Everyone who waits. A rendezvous is in here while exactly one side has shown it.
#[derive(Debug, Default)]
pub(crate) struct Meetings {
    waiting: BTreeMap<Rendezvous, Waiter>,
}

impl Meetings {
    pub(crate) fn waiter(&self, rendezvous: Rendezvous) -> Option<Waiter> {
        self.waiting.get(&rendezvous).copied()
    }

    pub(crate) fn wait(&mut self, rendezvous: Rendezvous, waiter: Waiter) {
        self.waiting.insert(rendezvous, waiter);
    }

    pub(crate) fn leave(&mut self, rendezvous: Rendezvous) -> Option<Waiter> {
        self.waiting.remove(&rendezvous)
    }

    /// Everyone, in the order of what they show.
    pub(crate) fn all(&self) -> Vec<Rendezvous> {
        self.waiting.keys().copied().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
