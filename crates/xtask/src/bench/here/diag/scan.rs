//! What one look at all processes costs, by our own reading and by sysinfo for the same fields, in turn and in processor time of this
//! process: times on a clock would say little on a machine that does other things as well.

use std::{thread, time::Duration};

use diagnostics::{Collector, Roots};
use rustix::time::{ClockId, clock_gettime};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use transport::clock;
use wire::diagnostics::{Panel, Panels};

use super::super::load;
use crate::bench::here::figures::Figure;

const PROCESSES: [usize; 2] = [200, 1000];
const ROUNDS: usize = 5;
const LOOKS: u32 = 20;

/// Caches go cold and counters move, as between two samples.
const BETWEEN: Duration = Duration::from_millis(110);

/// What the collector is told that passed between two looks: after so long it leaves no process out because it is at rest, as sysinfo
/// leaves none out.
const TOLD: Duration = Duration::from_secs(10);

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for processes in PROCESSES {
        let _crowd = load::sleepers_up_to(processes)?;
        let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (own, other) = compare()?;
            ours.push(own.as_secs_f64() * 1e3);
            theirs.push(other.as_secs_f64() * 1e3);
            ratios.push(own.as_secs_f64() / other.as_secs_f64());
        }
        let name = |what: &str| format!("scan of {processes} processes: {what}");
        figures.extend([
            Figure::median(name("processor, beside sysinfo"), "x", &ratios)?.with_bar("≤ 0.4"),
            Figure::median(name("processor"), "ms", &ours)?,
            Figure::median(name("sysinfo's processor"), "ms", &theirs)?,
        ]);
    }
    Ok(figures)
}

/// Processor time of one look at all processes, without what is measured beside them, and of one by sysinfo.
fn compare() -> anyhow::Result<(Duration, Duration)> {
    let begun = clock::now();
    let mut collector = Collector::new(Roots::default(), begun);
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().with_user(UpdateKind::OnlyIfNotSet);
    let kind = kind.without_tasks();
    let mut system = System::new()?;
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let [mut overview, mut both, mut sysinfo] = [Duration::ZERO; 3];
    for look in 1..=LOOKS {
        let now = begun + TOLD * 2 * look;
        overview += used_by(|| drop(collector.sample(now, Panels::OVERVIEW)));
        both += used_by(|| drop(collector.sample(now + TOLD, Panels::OVERVIEW.with(Panel::Processes))));
        sysinfo += used_by(|| {
            system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        });
    }
    Ok((both.saturating_sub(overview) / LOOKS, sysinfo / LOOKS))
}

/// Processor time of this process for `look`, some time after the last one.
fn used_by(look: impl FnOnce()) -> Duration {
    thread::sleep(BETWEEN);
    let before = used();
    look();
    used().saturating_sub(before)
}

fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
