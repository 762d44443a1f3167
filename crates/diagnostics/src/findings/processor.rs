//! Processors: busy, waiting, taken away, too few.

use std::time::Duration;

use wire::diagnostics::{
    Snapshot,
    findings::{Evidence, Severity, Unit, What},
    schema::Named,
};

use crate::history::{Figure, SeriesKey};

use super::{
    answer::{Answer, Answers, Missing, Reading, amount, machine, named, permille},
    facts::View,
    level::{Band, Level, critical, warning},
};

/// Window of busy and iowait: netdata `10min_cpu_usage`, `10min_cpu_iowait`.
const WINDOW: Duration = Duration::from_mins(10);

/// Thousandths of all processors: netdata `10min_cpu_usage`, 85 (75) and 95 (85) %.
const BUSY: [Band; 2] = [warning(850, 750), critical(950, 850)];

/// Thousandths: netdata `10min_cpu_iowait`, 40 (20) %.
const IOWAIT_WARNING: [Band; 1] = [warning(400, 200)];
/// Ours: the same is critical if all tasks waited for a disk for a fifth of the time.
const IOWAIT_CRITICAL: [Band; 1] = [critical(400, 200)];
const IOWAIT_PRESSURE: [Band; 1] = [critical(2000, 1000)];

/// Netdata `20min_steal_cpu` takes 20 minutes; the ring holds 15.
const STEAL_WINDOW: Duration = Duration::from_mins(14);
/// Thousandths: netdata `20min_steal_cpu`, 10 (5) %; critical is ours.
const STEAL: [Band; 2] = [warning(100, 50), critical(300, 200)];

/// Hundredths of a task for each processor: netdata `load_average_15`, 2 (1.75).
const LOAD_WARNING: [Band; 1] = [warning(200, 175)];
/// Ours: four for each processor is critical if tasks wait for a processor two fifths of the time.
const LOAD_CRITICAL: [Band; 1] = [critical(400, 350)];
const LOAD_PRESSURE: [Band; 1] = [critical(4000, 3000)];

/// Thousandths: netdata `active_processes`, 90 (85) and 95 (90) %.
const PROCESS_TABLE: [Band; 2] = [warning(900, 850), critical(950, 900)];

/// Most processes that are named for one finding.
pub(super) const NAMED: usize = 5;

pub(super) fn busy(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let busy = facts.mean(&SeriesKey::machine(Figure::CpuBusy), WINDOW)?;
    let reading = Reading::new(Level::above(busy, &BUSY)).figure(What::Busy, busy, Unit::Permille);
    machine(reading.figure(What::Window, WINDOW.as_secs(), Unit::Seconds).blame(busiest(sample)))
}

pub(super) fn iowait(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let iowait = facts.mean(&SeriesKey::machine(Figure::CpuIowait), WINDOW)?;
    let full = sample.pressure.map(|pressure| i64::from(pressure.io_full_minute_centi));
    let stalled = Level::above(full.unwrap_or(0), &IOWAIT_PRESSURE);
    let level = Level::above(iowait, &IOWAIT_WARNING).or(Level::above(iowait, &IOWAIT_CRITICAL).and(stalled));
    let reading = Reading::new(level).figure(What::Iowait, iowait, Unit::Permille);
    let reading = reading.figure(What::Window, WINDOW.as_secs(), Unit::Seconds);
    let reading = reading.figure_if(What::AllWaited, full, Unit::CentiPercent);
    machine(reading.blame(busiest_disk(sample)).blame(waiting(sample)))
}

pub(super) fn steal(facts: &View<'_>) -> Answers {
    let Some(virtualisation) = &facts.card().virtualisation else {
        return Err(Missing::not_applicable("this machine is not a guest of another"));
    };
    let steal = facts.mean(&SeriesKey::machine(Figure::CpuSteal), STEAL_WINDOW)?;
    let reading = Reading::new(Level::above(steal, &STEAL)).figure(What::Steal, steal, Unit::Permille);
    machine(
        reading.figure(What::Window, STEAL_WINDOW.as_secs(), Unit::Seconds).word(What::Virtualisation, virtualisation),
    )
}

pub(super) fn load(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let processor = &sample.processor;
    if let Some(missing) = facts.unreadable("load").or_else(|| facts.unreadable("processors")) {
        return Err(missing);
    }
    let processors = i64::from(processor.cores);
    if processors == 0 {
        return Err(Missing::unknown("nobody knows how many processors there are"));
    }
    let [_, _, load] = sample.load_centi.map(i64::from);
    let each = load / processors;
    let waits = sample.pressure.map_or(0, |pressure| i64::from(pressure.cpu_some_centi));
    let crowded = Level::above(waits, &LOAD_PRESSURE);
    let level = Level::above(each, &LOAD_WARNING).or(Level::above(each, &LOAD_CRITICAL).and(crowded));
    let reading = Reading::new(level)
        .figure(What::Load, load, Unit::Centi)
        .figure(What::LoadPerProcessor, each, Unit::Centi)
        .figure(What::Processors, processors, Unit::Count)
        .figure(What::Runnable, processor.runnable, Unit::Count)
        .figure(What::Blocked, processor.blocked, Unit::Count);
    machine(reading.blame(waiting(sample)).blame(busiest(sample)))
}

pub(super) fn process_table(facts: &View<'_>) -> Answers {
    let limits = &facts.sample()?.limits;
    table(facts, "processes", (limits.tasks.into(), limits.tasks_most.into()), &PROCESS_TABLE)
}

/// Any event counts: ours.
pub(super) fn throttling(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    // A sample counts nothing where the processors do not count; only the section tells the two apart.
    if sample.processor.throttles == 0 && facts.power()?.throttling.is_none() {
        return Err(Missing::unknown("these processors do not count it"));
    }
    let throttles = amount(sample.processor.throttles);
    let growth = facts.growth(None, What::Throttles, throttles, WINDOW);
    if growth.is_none() && throttles > 0 {
        let first = Missing::unknown("how much of what was counted is recent is not known yet");
        return Ok(vec![Answer::of_machine(Err(first)).counting(What::Throttles, throttles)]);
    }
    let by = growth.map_or(0, |growth| growth.by);
    let reading = Reading::new(Level::if_so(by > 0, Severity::Warning)).figure(What::Throttles, by, Unit::Count);
    let reading = reading.figure(What::Window, growth.map_or(0, |growth| growth.over.as_secs()), Unit::Seconds);
    let hottest = sample.temperatures.iter().max_by_key(|sensor| sensor.deci_celsius).map(|sensor| {
        let name = Named::Technical(sensor.label.clone());
        named(What::Temperature, name, i64::from(sensor.deci_celsius), Unit::DeciCelsius)
    });
    Ok(vec![Answer::of_machine(Ok(reading.blame(hottest))).counting(What::Throttles, throttles)])
}

/// How full a table of the kernel is.
pub(super) fn table(facts: &View<'_>, source: &str, (used, most): (u64, u64), bands: &[Band]) -> Answers {
    let Some(share) = permille(used, most) else {
        let unbounded = || Missing::not_applicable("this machine has no such table, or none with a bound");
        return Err(facts.unreadable(source).unwrap_or_else(unbounded));
    };
    let reading = Reading::new(Level::above(share, bands))
        .figure(What::Used, used, Unit::Count)
        .figure(What::Limit, most, Unit::Count)
        .figure(What::UsedShare, share, Unit::Permille);
    machine(reading)
}

/// Processes by processor time.
pub(super) fn busiest(sample: &Snapshot) -> impl Iterator<Item = Evidence> {
    let mut busy = sample.processes.iter().filter(|process| process.cpu_permille > 0).collect::<Vec<_>>();
    busy.sort_by_key(|process| std::cmp::Reverse(process.cpu_permille));
    busy.into_iter().take(NAMED).map(|process| {
        let name = Named::Technical(process.name.clone());
        named(What::BusyProcess, name, i64::from(process.cpu_permille), Unit::Permille)
    })
}

/// Processes that wait for a device.
pub(super) fn waiting(sample: &Snapshot) -> impl Iterator<Item = Evidence> {
    sample.stuck.iter().take(NAMED).map(|process| Evidence {
        what: What::WaitingProcess,
        amount: None,
        name: Some(Named::Technical(process.name.clone())),
    })
}

/// The disk with the most to do.
pub(super) fn busiest_disk(sample: &Snapshot) -> Option<Evidence> {
    let disk = sample.disks.iter().max_by_key(|disk| disk.busy_permille)?;
    let name = Named::Technical(disk.name.clone());
    Some(named(What::BusiestDisk, name, i64::from(disk.busy_permille), Unit::Permille))
}
