//! Memory: too little, swapped out, killed for, broken, leaking.

use std::{cmp::Reverse, time::Duration};

use wire::diagnostics::{
    findings::{Confidence, Evidence, Severity, Unit, What},
    report::SectionId,
    schema::Named,
    sections::groups::{ControlGroup, Groups, MemoryEvents},
};

use super::{
    answer::{Answer, Answers, Missing, Reading, amount, machine, named, permille},
    facts::View,
    level::{Band, Level, critical, warning},
    processor::NAMED,
};
use crate::history::{Figure, SeriesKey};

/// Hundredths of a percent of the last ten seconds in which all tasks waited. The warning is ours; `oomd.conf(5)` acts by default from
/// 60 % (`DefaultMemoryPressureLimit`) for 30 s on.
const PRESSURE: [Band; 2] = [warning(1000, 500), critical(6000, 4000)];
/// `DefaultMemoryPressureDurationSec` of `oomd.conf(5)`.
pub(super) const PRESSURE_HOLD: Duration = Duration::from_secs(30);

/// Thousandths of memory: netdata `ram_available`, 10 (15) %.
const AVAILABLE_WARNING: [Band; 1] = [warning(100, 150)];
/// Ours: so little is critical where memory is being swapped in again, or cannot be swapped at all.
const AVAILABLE_CRITICAL: [Band; 1] = [critical(50, 100)];
/// A moment without memory is none: ours.
pub(super) const AVAILABLE_HOLD: Duration = Duration::from_secs(30);

/// Netdata `oom_kill` takes 30 minutes; the ring holds 15.
const KILLS_WINDOW: Duration = Duration::from_mins(14);

/// Thousandths of swap: netdata `used_swap`, 90 (80) and 98 (90) %.
const SWAP: [Band; 2] = [warning(900, 800), critical(980, 900)];
/// `SwapUsedLimit` of `oomd.conf(5)`: 90 % of swap while memory is short too.
const SWAP_TIGHT: [Band; 1] = [critical(900, 800)];
const SWAP_MEMORY_TIGHT: [Band; 1] = [critical(100, 150)];
/// Thousandths of memory written to swap in the window: netdata `30min_ram_swapped_out`, 30 (20) %; the ring holds 15 minutes.
const SWAPPED_OUT: [Band; 1] = [warning(300, 200)];
const SWAPPED_OUT_WINDOW: Duration = Duration::from_mins(14);

/// Seconds until memory is gone: 24 h, 4 h, both ours.
const LEAK: [Band; 2] = [warning(24 * 3600, 30 * 3600), critical(4 * 3600, 6 * 3600)];

/// Thousandths of a group's limit, ours. Caches count as well, so it has to wait for memory too.
const GROUP_FULL: [Band; 2] = [warning(950, 900), critical(950, 900)];
/// Hundredths of a percent in which some task of the group waited for memory, ours.
const GROUP_WAITS: [Band; 2] = [warning(1000, 500), critical(6000, 4000)];
const GROUP_WINDOW: Duration = Duration::from_mins(10);

pub(super) fn pressure(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let Some(pressure) = sample.pressure else { return Err(without_pressure(facts)) };
    let full = i64::from(pressure.memory_full_centi);
    let reading = Reading::new(Level::above(full, &PRESSURE)).figure(What::AllWaited, full, Unit::CentiPercent).figure(
        What::SomeWaited,
        i64::from(pressure.memory_some_centi),
        Unit::CentiPercent,
    );
    let groups = facts.groups().map(largest_groups).unwrap_or_default();
    machine(reading.blame(groups).blame(largest(facts)))
}

pub(super) fn available(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let memory = &sample.memory;
    let share = permille(memory.available_kib, memory.total_kib);
    let Some(mut share) = share else { return Err(facts.unreadable("memory").unwrap_or_else(unmeasured)) };
    let (mut left, mut total) = (memory.available_kib, memory.total_kib);
    // A container runs out at its own limit, however much its host has.
    let own_left = memory.limit_kib.saturating_sub(memory.limit_used_kib);
    if let Some(own) = permille(own_left, memory.limit_kib).filter(|own| *own < share) {
        (share, left, total) = (own, own_left, memory.limit_kib);
    }
    let has_no_way_out = memory.swap_in_kib_s > 0 || memory.swap_total_kib == 0;
    let dire = Level::below(share, &AVAILABLE_CRITICAL).and(Level::if_so(has_no_way_out, Severity::Critical));
    let reading = Reading::new(Level::below(share, &AVAILABLE_WARNING).or(dire))
        .figure(What::Available, left, Unit::Kib)
        .figure(What::Total, total, Unit::Kib)
        .figure(What::AvailableShare, share, Unit::Permille)
        .figure(What::SwapIn, memory.swap_in_kib_s, Unit::KibPerSecond);
    machine(reading.blame(largest(facts)))
}

/// A group tells how many were killed since it was made, however long ago that was: only one that counts more than it did at an earlier
/// look is named.
pub(super) fn oom_kills(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let groups = facts.groups().map(|groups| groups.groups.as_slice()).unwrap_or_default().iter();
    // Between two looks that are far from each other kills may be from any time.
    let groups = groups.filter(|group| facts.is_recent(SectionId::Groups) && (is_service(group) || is_limited(group)));
    let groups = groups.filter_map(|group| Some((group, group.memory_events?))).collect::<Vec<_>>();
    let seen = kills_lately(facts, sample.memory.oom_kills).map(|(kills, window)| {
        let grown = |group: &ControlGroup, what, count| match window < KILLS_WINDOW {
            // What a group of a machine that just started counts is as new as the machine, whoever looked before.
            true => amount(count),
            false => {
                let growth = facts.growth_of_part(&Named::Unit(group.name.clone()), what, amount(count), window);
                growth.map_or(0, |growth| growth.by)
            }
        };
        let killed = groups
            .iter()
            .filter(|(group, events)| is_service(group) && grown(group, What::Kills, events.oom_kills) > 0);
        let killed = killed.map(|(group, _)| Named::Unit(group.name.clone())).collect::<Vec<_>>();
        let severity = if killed.is_empty() { Severity::Warning } else { Severity::Critical };
        let reading = Reading::new(Level::if_so(kills > 0, severity)).figure(What::Kills, kills, Unit::Count);
        let reading = reading.figure(What::Window, window.as_secs(), Unit::Seconds);
        let names = killed.into_iter().take(NAMED);
        let names = names.map(|name| Evidence { what: What::Killed, amount: None, name: Some(name) });
        let reading = reading.blame(names);
        // Those that ran out of what they may use, which says nothing about the machine. A group counts what happens in those inside it as
        // well, so the innermost ones did.
        let stopped =
            groups.iter().filter(|(group, events)| is_limited(group) && grown(group, What::LimitHits, events.oom) > 0);
        let stopped = stopped.collect::<Vec<_>>();
        let innermost = stopped.iter().filter(|(group, _)| !stopped.iter().any(|(other, _)| contains(group, other)));
        let in_them = innermost.clone().map(|(group, events)| grown(group, What::Kills, events.oom_kills));
        if kills > 0 && in_them.fold(0, i64::saturating_add) >= amount(kills) {
            return reading.blame(innermost.take(NAMED).filter_map(|(group, _)| {
                Some(named(What::Limit, Named::Unit(group.name.clone()), amount(group.memory_max_kib?), Unit::Kib))
            }));
        }
        reading.blame(largest(facts))
    });
    let counting = |answer: Answer, (group, events): (&ControlGroup, MemoryEvents)| {
        let name = Named::Unit(group.name.clone());
        let answer = answer.counting_part(name.clone(), What::Kills, amount(events.oom_kills));
        answer.counting_part(name, What::LimitHits, amount(events.oom))
    };
    Ok(vec![groups.into_iter().fold(Answer::of_machine(seen), counting)])
}

/// Kills in the window, and how long that is.
fn kills_lately(facts: &View<'_>, since_start: u64) -> Result<(u64, Duration), Missing> {
    let uptime = facts.uptime()?;
    match facts.increase(&SeriesKey::machine(Figure::OomKills), KILLS_WINDOW) {
        // There was none at all, or the machine has not run for longer than that.
        _ if since_start == 0 => Ok((0, KILLS_WINDOW)),
        _ if uptime < KILLS_WINDOW => Ok((since_start, uptime)),
        kills => kills.map(|kills| (kills, KILLS_WINDOW)),
    }
}

pub(super) fn swap(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let memory = &sample.memory;
    if memory.total_kib == 0 {
        return Err(facts.unreadable("memory").unwrap_or_else(unmeasured));
    }
    let Some(used) = permille(memory.swap_used_kib, memory.swap_total_kib) else {
        return Err(Missing::not_applicable("this machine has no swap"));
    };
    let available = permille(memory.available_kib, memory.total_kib).unwrap_or(0);
    let tight = Level::above(used, &SWAP_TIGHT).and(Level::below(available, &SWAP_MEMORY_TIGHT));
    let written = facts.mean(&SeriesKey::machine(Figure::SwapOut), SWAPPED_OUT_WINDOW).ok();
    let written = written.map(|kib_s| kib_s.max(0).unsigned_abs().saturating_mul(SWAPPED_OUT_WINDOW.as_secs()));
    let written = written.and_then(|kib| permille(kib, memory.total_kib));
    let level = Level::above(used, &SWAP).or(tight).or(Level::above(written.unwrap_or(0), &SWAPPED_OUT));
    let reading = Reading::new(level)
        .figure(What::Used, memory.swap_used_kib, Unit::Kib)
        .figure(What::Total, memory.swap_total_kib, Unit::Kib)
        .figure(What::UsedShare, used, Unit::Permille)
        .figure_if(What::SwappedOutShare, written, Unit::Permille)
        .figure(What::Window, SWAPPED_OUT_WINDOW.as_secs(), Unit::Seconds)
        .figure(What::AvailableShare, available, Unit::Permille);
    machine(reading.blame(largest(facts)))
}

/// Any corrected error is a warning and any other is critical: netdata `ecc_memory_*`, `1hour_memory_hw_corrupted`.
pub(super) fn errors(facts: &View<'_>) -> Answers {
    let hardware = facts.hardware()?;
    let seen_now = facts.sample().map_or(0, |sample| sample.memory.corrupted_kib);
    let defective = hardware.corrupted_kib.map(|kib| kib.max(seen_now));
    if hardware.memory_errors.is_empty() && defective.is_none_or(|kib| kib == 0) {
        return Err(match facts.gap(SectionId::Hardware, "memory error counters") {
            Some(missing) => missing,
            None => Missing::not_applicable("this machine does not count errors of memory"),
        });
    }
    let corrected = hardware.memory_errors.iter().fold(0_u64, |sum, one| sum.saturating_add(one.corrected));
    let uncorrected = hardware.memory_errors.iter().fold(0_u64, |sum, one| sum.saturating_add(one.uncorrected));
    let broken = uncorrected > 0 || defective.is_some_and(|kib| kib > 0);
    let level = Level::if_so(broken, Severity::Critical).or(Level::if_so(corrected > 0, Severity::Warning));
    let mut parts = hardware.memory_errors.iter().filter(|one| one.corrected + one.uncorrected > 0).collect::<Vec<_>>();
    parts.sort_by_key(|one| Reverse((one.uncorrected, one.corrected)));
    let parts = parts.into_iter().take(NAMED).map(|one| {
        let errors = one.corrected.saturating_add(one.uncorrected);
        named(What::Part, Named::Technical(one.label.clone()), amount(errors), Unit::Count)
    });
    let reading = Reading::new(level)
        .figure(What::Corrected, corrected, Unit::Count)
        .figure(What::Uncorrectable, uncorrected, Unit::Count)
        .figure_if(What::Failed, defective.filter(|kib| *kib > 0), Unit::Kib);
    machine(reading.blame(parts))
}

pub(super) fn leak(facts: &View<'_>) -> Answers {
    let Some(leaks) = &facts.trends().leaks else {
        return Err(Missing::unknown("processes were not watched for long enough"));
    };
    if leaks.is_empty() {
        return machine(Reading::new(Level::FINE));
    }
    let left = facts.sample()?.memory.available_kib;
    let answer = |leak: &super::trends::LeakTrend| {
        let level = Level::below(amount(leak.likely_secs), &LEAK);
        let reading = Reading::new(level)
            .sure(Confidence::Medium)
            .figure(What::Used, leak.resident_kib, Unit::Kib)
            .figure(What::GrowthPerHour, leak.grows_kib_per_hour, Unit::Kib)
            .figure(What::Available, left, Unit::Kib)
            .forecast(Some(leak.exhausted));
        let subject = if leak.group { Named::Unit } else { Named::Technical };
        Answer::about(subject(leak.name.clone()), Ok(reading))
    };
    Ok(leaks.iter().map(answer).collect())
}

pub(super) fn group_limit(facts: &View<'_>) -> Answers {
    let groups = facts.groups()?;
    if !facts.is_recent(SectionId::Groups) {
        return Err(Missing::unknown("the figures are old"));
    }
    let limited = groups.groups.iter().filter_map(|group| Some((group, group.memory_max_kib?)));
    let answers = limited.map(|(group, limit)| {
        let subject = Named::Unit(group.name.clone());
        let used = permille(group.memory_kib, limit).unwrap_or(1000);
        let full = Level::above(used, &GROUP_FULL);
        let Some(pressure) = group.pressure else {
            let unknown = Missing::unknown("the kernel does not tell whether the group waits for memory");
            let room = Reading::new(Level::FINE).figure(What::UsedShare, used, Unit::Permille);
            return Answer::about(subject, if full == Level::FINE { Ok(room) } else { Err(unknown) });
        };
        let events = group.memory_events.unwrap_or_default();
        let hits = amount(events.max);
        let growth = facts.growth(Some(&subject), What::LimitHits, hits, GROUP_WINDOW);
        let waits = Level::above(i64::from(pressure.memory_some_centi), &GROUP_WAITS);
        let reading = Reading::new(full.and(waits))
            .figure(What::Used, group.memory_kib, Unit::Kib)
            .figure(What::Limit, limit, Unit::Kib)
            .figure(What::UsedShare, used, Unit::Permille)
            .figure_if(What::LimitHits, growth.map(|growth| growth.by), Unit::Count)
            .figure_if(What::Window, growth.map(|growth| growth.over.as_secs()), Unit::Seconds)
            .figure_if(What::Kills, Some(events.oom_kills).filter(|kills| *kills > 0), Unit::Count);
        Answer::about(subject, Ok(reading)).counting(What::LimitHits, hits)
    });
    let answers = answers.collect::<Vec<_>>();
    if answers.is_empty() {
        return Err(Missing::not_applicable("no control group has a limit of its memory"));
    }
    Ok(answers)
}

/// Processes by resident memory.
fn largest(facts: &View<'_>) -> impl Iterator<Item = Evidence> {
    facts.largest().iter().take(NAMED).map(|process| {
        named(What::LargeProcess, Named::Technical(process.name.clone()), amount(process.resident_kib), Unit::Kib)
    })
}

/// Services and scopes by memory: the slices around them, and the container around all, say nothing more.
fn largest_groups(groups: &Groups) -> Vec<Evidence> {
    let single = groups
        .groups
        .iter()
        .filter(|group| !group.name.raw().ends_with(".slice") && group.name.raw() != "/")
        .take(NAMED);
    let evidence = single
        .map(|group| named(What::LargeGroup, Named::Unit(group.name.clone()), amount(group.memory_kib), Unit::Kib));
    evidence.collect()
}

fn is_service(group: &ControlGroup) -> bool {
    let name = group.name.raw();
    let unit = name.rsplit('/').next().unwrap_or(name);
    // The one that manages a person's session counts what happens to all that they run.
    unit.ends_with(".service") && !unit.starts_with("user@")
}

fn is_limited(group: &ControlGroup) -> bool {
    group.memory_max_kib.is_some()
}

/// Whether `inner` is somewhere in `outer`.
fn contains(outer: &ControlGroup, inner: &ControlGroup) -> bool {
    let (outer, inner) = (outer.name.raw(), inner.name.raw());
    let below = inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    below || outer == "/" && inner != "/"
}

/// Why there is no pressure stall information.
pub(super) fn without_pressure(facts: &View<'_>) -> Missing {
    facts.unreadable("pressure").unwrap_or_else(|| Missing::unknown("the kernel does not measure pressure"))
}

fn unmeasured() -> Missing {
    Missing::unknown("it was not measured")
}
