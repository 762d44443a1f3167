//! Deadlines in order.

use std::collections::BTreeSet;

use wire::{
    channel::ChannelId,
    control::Rendezvous,
    ids::{AgentId, Locator},
    time::Moment,
};

/// What a deadline belongs to. Its owner remembers the moment, so that it can be cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A locator lapses.
    Locator(Locator),
    /// A channel is looked at.
    Channel(ChannelId),
    /// One side of a session has waited long enough.
    Rejoin(Rendezvous),
    /// A sleeping agent is to be woken once more, or given up.
    Wake(AgentId),
}

/// Set of deadlines, each with its own entry.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Moment, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Moment, timer: Timer) {
        self.set.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Moment, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Takes the first deadline that has been reached at `now`.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<Timer> {
        let (at, timer) = *self.set.first()?;
        if at > now {
            return None;
        }
        self.set.remove(&(at, timer));
        Some(timer)
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }
}
