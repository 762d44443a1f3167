//! The collector: reads the machine when told to, and remembers what it needs for rates.

use std::time::Duration;

use wire::{
    diagnostics::{IdentityCard, Panels, Snapshot, View},
    time::Moment,
};

use crate::{Machine, roots::Roots};

/// Shortest time that has rates. The kernel counts processor time in hundredths of a second, so that over a shorter one a
/// single tick would look like a tenth of a processor and more.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The tables that somebody looks at. The others are neither read nor in the sample.
    pub view: View,
    /// How often all processes are looked at; in between only those that are listed. Zero: with every sample.
    pub processes_every: Duration,
}

impl From<View> for Wanted {
    fn from(view: View) -> Self {
        Self { view, ..Self::default() }
    }
}

impl From<Panels> for Wanted {
    fn from(panels: Panels) -> Self {
        View::from(panels).into()
    }
}

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

    /// Which device is mounted where, as of the last sample that had file systems.
    #[cfg(target_os = "linux")]
    pub(crate) fn places(&self) -> crate::history::Places {
        self.machine.places()
    }

    /// The processes with most memory, the largest first, as of the last sample that had processes.
    #[cfg(target_os = "linux")]
    pub(crate) fn largest(&mut self) -> Vec<wire::diagnostics::LargeProcess> {
        self.machine.largest()
    }

    /// The programs that take most processor time, the busiest first, with the thousandths of one processor that all their processes
    /// take together, as of the last sample that had processes.
    #[cfg(target_os = "linux")]
    pub(crate) fn busiest(&self) -> Vec<(wire::text::Label, u32)> {
        self.machine.busiest()
    }

    /// The processes that use disks most, as of the last sample that had processes.
    #[cfg(target_os = "linux")]
    pub(crate) fn disk_processes(&self) -> Vec<wire::diagnostics::DiskProcess> {
        self.machine.disk_processes()
    }

    /// Measures what is `wanted` at `now`: [`Panels`], a [`View`] or a [`Wanted`].
    ///
    /// Rates cover the time since the sample before, or since [`Collector::new`]; if that is shorter than [`MIN_INTERVAL`] they
    /// are 0, and so is [`Snapshot::interval_ms`]. A table that was not wanted in the sample before covers the time since it was.
    ///
    /// [`Snapshot::tick`], [`Snapshot::skipped`], [`Snapshot::pace`] and what the agent queues are left to the stream that sends
    /// the sample.
    pub fn sample(&mut self, now: Moment, wanted: impl Into<Wanted>) -> Snapshot {
        let interval = now - self.last;
        self.last = now;
        let measurable = interval >= MIN_INTERVAL;
        self.machine.sample(if measurable { interval } else { Duration::ZERO }, now, wanted.into())
    }
}
