//! How often to measure, so that measuring is never what makes a machine slow.
//!
//! A pure function of what was measured before and of the time. Two things slow it down. Looking at every process costs in
//! proportion to their number, so it is done less often where there are many, or where more wants to run than can. And when the
//! agent takes more than it should, or programs wait for processors much of the time, everything is measured half as often,
//! and half as often again if that does not help. It recovers step by step, later than it slowed down, and at lower figures.

use std::time::Duration;

use wire::{
    diagnostics::{Pace, PaceReason, Snapshot},
    time::Moment,
};

/// Thousandths of a processor that the agent may take, and below which it has room again.
const OWN_CPU_PERMILLE: Bounds = Bounds { above: 20, below: 10 };

/// Hundredths of a percent of the last ten seconds in which programs waited for processors.
const PRESSURE_CENTI: Bounds = Bounds { above: 4000, below: 2000 };

/// Hundredths of runnable tasks for each processor.
const LOAD_CENTI: Bounds = Bounds { above: 100, below: 80 };

/// How long the agent may take too much before it slows down, and how long a step is given to show what it did.
const STEP_AFTER: Duration = Duration::from_secs(10);

/// How long all must be well before it goes a step faster.
const RECOVER_AFTER: Duration = Duration::from_secs(30);

/// Steps down; each doubles the intervals.
const MAX_STEPS: u32 = 3;

/// How often all processes are looked at, by their number: as often as asked up to the first.
const PROCESSES_EVERY: [(u32, Duration); 3] =
    [(128, Duration::ZERO), (1024, Duration::from_secs(2)), (u32::MAX, Duration::from_secs(5))];

/// How often all processes are looked at while more wants to run than there are processors.
const LOADED_EVERY: Duration = Duration::from_secs(5);

/// No interval grows over this, unless it was asked for.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// A figure that is too high above one bound and well again below the other.
struct Bounds {
    above: u32,
    below: u32,
}

/// The time from one measurement to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Of the machine as a whole.
    pub sample: Duration,
    /// Of every process; at least the former.
    pub processes: Duration,
}

/// What the pace depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Thousandths of one processor that the agent took.
    pub own_cpu_permille: u32,
    /// Hundredths of a percent of the last ten seconds in which some task waited for a processor, if the kernel says that.
    pub cpu_some_centi: Option<u16>,
    /// Number of processes.
    pub processes: u32,
    /// Load average over a minute in hundredths.
    pub load_centi: u32,
    /// Logical processors.
    pub cores: u32,
}

impl From<&Snapshot> for Observed {
    fn from(sample: &Snapshot) -> Self {
        Self {
            own_cpu_permille: sample.agent.cpu_permille,
            cpu_some_centi: sample.pressure.map(|pressure| pressure.cpu_some_centi),
            processes: sample.processes_total,
            load_centi: sample.load_centi[0],
            cores: sample.processor.cores,
        }
    }
}

/// Decides the intervals.
#[derive(Debug)]
pub struct Governor {
    asked: Intervals,
    steps: u32,
    /// Why it slowed down last.
    slowed_by: PaceReason,
    /// Since when the agent takes too much.
    hot_since: Option<Moment>,
    /// Since when all is well.
    calm_since: Option<Moment>,
    stepped_at: Option<Moment>,
    /// Place in [`PROCESSES_EVERY`].
    crowd: usize,
    loaded: bool,
}

impl Governor {
    /// Starts with what is asked.
    pub fn new(asked: Intervals) -> Self {
        Self {
            asked,
            steps: 0,
            slowed_by: PaceReason::AsAsked,
            hot_since: None,
            calm_since: None,
            stepped_at: None,
            crowd: 0,
            loaded: false,
        }
    }

    /// Changes what is asked. How much slower it is than that stays.
    pub fn ask(&mut self, asked: Intervals) {
        self.asked = asked;
    }

    /// Takes what was measured at `now` into account.
    pub fn observe(&mut self, observed: Observed, now: Moment) {
        self.see_processes(observed);
        let waiting = u32::from(observed.cpu_some_centi.unwrap_or(0));
        let own = observed.own_cpu_permille;
        self.hot_since = (own > OWN_CPU_PERMILLE.above).then(|| self.hot_since.unwrap_or(now));
        let calm = own < OWN_CPU_PERMILLE.below && waiting < PRESSURE_CENTI.below;
        self.calm_since = calm.then(|| self.calm_since.unwrap_or(now));

        let hot = self.hot_since.is_some_and(|since| now - since >= STEP_AFTER);
        let reason = if hot {
            Some(PaceReason::OwnCpu)
        } else if waiting > PRESSURE_CENTI.above {
            Some(PaceReason::CpuPressure)
        } else {
            None
        };
        let settled = self.stepped_at.is_none_or(|at| now - at >= STEP_AFTER);
        match reason {
            Some(reason) if settled => {
                self.slowed_by = reason;
                if self.steps < MAX_STEPS {
                    self.steps += 1;
                    self.stepped_at = Some(now);
                }
            }
            Some(_) => {}
            None => {
                if self.steps > 0 && self.calm_since.is_some_and(|since| now - since >= RECOVER_AFTER) {
                    self.steps -= 1;
                    self.stepped_at = Some(now);
                    self.calm_since = Some(now);
                }
            }
        }
    }

    fn see_processes(&mut self, observed: Observed) {
        while PROCESSES_EVERY.get(self.crowd).is_some_and(|(most, _)| observed.processes > *most) {
            self.crowd += 1;
        }
        // An eighth below the bound, so that one process more or less does not change the pace.
        let roomy = |most: u32| observed.processes <= most - most / 8;
        while self.crowd > 0 && PROCESSES_EVERY.get(self.crowd - 1).is_some_and(|(most, _)| roomy(*most)) {
            self.crowd -= 1;
        }
        let each = u64::from(observed.load_centi) / u64::from(observed.cores.max(1));
        let bound = if self.loaded { LOAD_CENTI.below } else { LOAD_CENTI.above };
        self.loaded = each > u64::from(bound);
    }

    /// How often to measure now.
    pub fn intervals(&self) -> Intervals {
        let slower = |interval: Duration| interval.saturating_mul(1 << self.steps).min(MAX_INTERVAL).max(interval);
        let sample = slower(self.asked.sample);
        let processes = slower(self.asked.processes.max(self.crowd_every()).max(self.loaded_every()));
        Intervals { sample, processes: processes.max(sample) }
    }

    /// The same for whoever looks, with the reason.
    pub fn pace(&self) -> Pace {
        let Intervals { sample, processes } = self.intervals();
        let asked = self.asked.processes.max(self.asked.sample);
        let reason = if (sample, processes) == (self.asked.sample, asked) {
            PaceReason::AsAsked
        } else if self.steps > 0 {
            self.slowed_by
        } else if self.loaded_every() > asked.max(self.crowd_every()) {
            PaceReason::Load
        } else {
            PaceReason::ManyProcesses
        };
        let millis = |interval: Duration| u32::try_from(interval.as_millis()).unwrap_or(u32::MAX);
        Pace { sample_ms: millis(sample), processes_ms: millis(processes), reason }
    }

    fn crowd_every(&self) -> Duration {
        PROCESSES_EVERY.get(self.crowd).map_or(Duration::ZERO, |(_, every)| *every)
    }

    /// Few processes are looked at faster than it takes to notice, whatever the load.
    fn loaded_every(&self) -> Duration {
        if self.loaded && self.crowd > 0 { LOADED_EVERY } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests;
