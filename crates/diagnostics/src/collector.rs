//! The collector: reads the machine when told to, and remembers what it needs for rates.

use std::time::Duration;

use wire::{
    diagnostics::{IdentityCard, Snapshot},
    time::Moment,
};

use crate::{Machine, roots::Roots};

/// Shortest time that has rates. The kernel counts processor time in hundredths of a second, so that over a shorter one a
/// single tick would look like a tenth of a processor and more.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Measures this machine.
///
/// Reading is synchronous and takes a few milliseconds at most: call it on a thread that may block. Nothing that hangs (a
/// dead network file system, a stuck sensor) holds it up. It never reads the arguments or the environment of a process.
#[derive(Debug)]
pub struct Collector {
    machine: Machine,
    last: Moment,
}

impl Collector {
    /// Takes the first reading of every counter at `now`, so that the first sample has rates.
    pub fn new(roots: Roots, now: Moment) -> Self {
        Self { machine: Machine::new(roots, now), last: now }
    }

    /// What the machine is.
    pub fn identity(&self) -> IdentityCard {
        self.machine.identity()
    }

    /// Measures everything at `now`. Rates cover the time since the sample before, or since [`Collector::new`]; if that is
    /// shorter than [`MIN_INTERVAL`] they are 0, and so is [`Snapshot::interval_ms`].
    ///
    /// [`Snapshot::tick`] and [`Snapshot::skipped`] are left to the stream that sends the sample.
    pub fn sample(&mut self, now: Moment) -> Snapshot {
        let interval = now - self.last;
        self.last = now;
        let measurable = interval >= MIN_INTERVAL;
        self.machine.sample(if measurable { interval } else { Duration::ZERO }, now)
    }
}
