//! How good the predictors are: run over made series whose truth is known, the same every time.

use std::time::Duration;

use wire::{diagnostics::findings::Forecast, time::Moment};

use super::{
    level::LevelShift,
    predict::{Growth, disk_full, memory_leak},
    trend::{Point, f64_of, seconds},
};

const STEP_SECS: u64 = 300;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// An alarm is a forecast of less than this.
const ALARM_SECS: u64 = DAY;
/// An alarm that comes earlier than this before the event was a wrong one.
const PREMATURE_SECS: u64 = 3 * DAY;
/// One that comes later than this was of no use.
const USEFUL_SECS: u64 = HOUR;

/// How one predictor did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// Which.
    pub predictor: &'static str,
    /// The kind of series.
    pub series: &'static str,
    /// How many there were.
    pub cases: u32,
    /// Cases in which something happened and was foretold in time.
    pub foretold: u32,
    /// Cases in which something happened and was not foretold.
    pub missed: u32,
    /// Cases with an alarm about nothing, or much too early.
    pub false_alarms: u32,
    /// Alarms whose range held what came.
    pub in_range: u32,
    /// Seconds from each right alarm to the event; from a shift to its finding.
    pub lead_secs: Vec<u64>,
}

/// All cases of a predictor together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// Right alarms of all alarms, in thousandths; all of them if there was none.
    pub precision_permille: u32,
    /// Events foretold of all events, in thousandths; all of them if there was none.
    pub recall_permille: u32,
    /// See [`Score::lead_secs`]; none without a right alarm.
    pub median_lead_secs: Option<u64>,
}

impl Total {
    /// Adds up what belongs together.
    pub fn of<'a>(scores: impl Iterator<Item = &'a Score>) -> Self {
        let (mut foretold, mut missed, mut wrong, mut leads) = (0, 0, 0, Vec::new());
        for score in scores {
            foretold += score.foretold;
            missed += score.missed;
            wrong += score.false_alarms;
            leads.extend_from_slice(&score.lead_secs);
        }
        leads.sort_unstable();
        let share = |part: u32, other: u32| (part * 1000).checked_div(part + other).unwrap_or(1000);
        Self {
            precision_permille: share(foretold, wrong),
            recall_permille: share(foretold, missed),
            median_lead_secs: leads.get(leads.len() / 2).copied(),
        }
    }
}

/// Runs every predictor over `cases` series of each kind, and looks `every` so many steps of five minutes (a shift is looked for at
/// every second).
pub fn run(cases: u32, every: usize) -> Vec<Score> {
    let every = every.max(1);
    let disks = DISKS.iter().map(|(name, make)| {
        score("disk full", name, cases, |random| {
            let series = make(random);
            let full = series.iter().position(|value| *value <= 0);
            let upto = full.unwrap_or(series.len());
            let ask = |now: usize| disk_full(&points(&series, now, 7 * DAY), DISK_KIB).ok();
            watch(upto, full, every, ask)
        })
    });
    let leaks = LEAKS.iter().map(|(name, make)| {
        score("memory leak", name, cases, |random| {
            let series = make(random);
            let others = MEMORY_KIB * 3 / 10;
            let available = |now: usize| MEMORY_KIB - others - series.get(now).copied().unwrap_or(0);
            let gone = (0..series.len()).find(|now| available(*now) <= 0);
            let ask =
                |now: usize| memory_leak(&points(&series, now, 6 * HOUR), Growth::Own, available(now), MEMORY_KIB).ok();
            watch(gone.unwrap_or(series.len()), gone, every, ask)
        })
    });
    let shifts = SHIFTS
        .iter()
        .map(|(name, shifts, make)| score("level shift", name, cases, |random| shift_case(*shifts, &make(random))));
    disks.chain(leaks).chain(shifts).collect()
}

/// What became of one series.
enum Case {
    Foretold { lead_secs: u64, in_range: bool },
    Missed,
    FalseAlarm,
    Quiet,
}

fn score(predictor: &'static str, series: &'static str, cases: u32, run: impl Fn(&mut Random) -> Case) -> Score {
    let mut score =
        Score { predictor, series, cases, foretold: 0, missed: 0, false_alarms: 0, in_range: 0, lead_secs: Vec::new() };
    for case in 0..cases {
        match run(&mut Random(u64::from(case) + 1)) {
            Case::Foretold { lead_secs, in_range } => {
                score.foretold += 1;
                score.in_range += u32::from(in_range);
                score.lead_secs.push(lead_secs);
            }
            Case::Missed => score.missed += 1,
            Case::FalseAlarm => score.false_alarms += 1,
            Case::Quiet => {}
        }
    }
    score
}

/// Looks until the first alarm.
fn watch(upto: usize, event: Option<usize>, every: usize, ask: impl Fn(usize) -> Option<Forecast>) -> Case {
    let alarms = (0..upto).step_by(every).filter_map(|now| ask(now).map(|forecast| (now, forecast)));
    let alarm = alarms.into_iter().find(|(_, forecast)| forecast.earliest_secs < ALARM_SECS);
    match (event, alarm) {
        (None, None) => Case::Quiet,
        (None, Some(_)) => Case::FalseAlarm,
        (Some(_), None) => Case::Missed,
        (Some(event), Some((now, forecast))) => {
            let lead_secs = steps(event.saturating_sub(now)) * STEP_SECS;
            let latest = forecast.latest_secs.unwrap_or(u64::MAX);
            match lead_secs {
                ..USEFUL_SECS => Case::Missed,
                PREMATURE_SECS.. => Case::FalseAlarm,
                _ => Case::Foretold { lead_secs, in_range: (forecast.earliest_secs..=latest).contains(&lead_secs) },
            }
        }
    }
}

/// Where a shift is, the first finding within five minutes of it is right and any other is wrong.
fn shift_case(event: Option<usize>, series: &[f64]) -> Case {
    let mut detector = LevelShift::new(50.0);
    let at = |second: usize| Moment::from_origin(Duration::from_secs(1_000_000 + steps(second)));
    let found = series
        .iter()
        .enumerate()
        .filter_map(|(second, value)| detector.push(*value, at(second)).map(|shift| (second, shift)));
    match (event, found.collect::<Vec<_>>().as_slice()) {
        (None, []) => Case::Quiet,
        (Some(_), []) => Case::Missed,
        (Some(event), [(second, shift)]) if (event..event + 300).contains(second) => Case::Foretold {
            lead_secs: steps(second - event),
            in_range: shift.since + Duration::from_secs(15) >= at(event) && at(event + 15) >= shift.since,
        },
        _ => Case::FalseAlarm,
    }
}

fn points(series: &[i64], now: usize, window_secs: u64) -> Vec<Point> {
    let from = now.saturating_sub(usize::try_from(window_secs / STEP_SECS).unwrap_or(usize::MAX));
    let values = (from..).zip(series.get(from..=now).unwrap_or_default());
    values.map(|(step, value)| Point { at_secs: 1_000_000 + steps(step) * STEP_SECS, value: *value }).collect()
}

fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from the same seed on every machine.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// In `from..to`.
    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * f64_of(i128::from(self.next() >> 11)) / f64_of(1 << 53)
    }

    /// About normal, with a standard deviation of 1: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(0.0, 1.0)).sum::<f64>() - 6.0
    }
}

const DISK_KIB: i64 = 500 << 20;
const MEMORY_KIB: i64 = 16 << 20;
const GIB: f64 = 1048576.0;

type Make = fn(&mut Random) -> Vec<i64>;

/// Space available over nine days, a value every five minutes.
const DISKS: [(&str, Make); 8] = [
    ("linear fill", |random| {
        let days = random.between(1.5, 6.0);
        space(random, 150.0, move |day, _| 150.0 * (day / days))
    }),
    ("accelerating fill", |random| {
        let days = random.between(3.0, 6.0);
        space(random, 150.0, move |day, _| 150.0 * (day / days).powi(2))
    }),
    ("flat, then a fill", |random| {
        let (start, hours) = (random.between(3.0, 6.0), random.between(14.0, 40.0));
        space(random, 120.0, move |day, _| 120.0 * ((day - start) * 24.0 / hours).max(0.0))
    }),
    ("logs rotated daily", |random| {
        let (size, phase) = (random.between(5.0, 30.0), random.between(0.0, 1.0));
        space(random, 60.0, move |day, _| size * (day + phase).fract())
    }),
    ("logs rotated every few hours", |random| {
        let (size, a_day) = (random.between(2.0, 20.0), random.between(3.0, 24.0));
        space(random, 60.0, move |day, _| size * (day * a_day).fract())
    }),
    ("noisy flat", |random| {
        let noise = random.between(0.01, 3.0);
        space(random, 40.0, move |_, random| noise * random.normal())
    }),
    ("one large download", |random| {
        let (start, size) = (random.between(2.0, 6.0), random.between(5.0, 30.0));
        space(random, 80.0, move |day, _| size * ((day - start) * 24.0).clamp(0.0, 1.0))
    }),
    ("day and night", |random| {
        let (size, phase) = (random.between(2.0, 15.0), random.between(0.0, 6.0));
        space(random, 60.0, move |day, _| size * (std::f64::consts::TAU * day + phase).sin())
    }),
];

fn space(random: &mut Random, free_gib: f64, used_gib: impl Fn(f64, &mut Random) -> f64) -> Vec<i64> {
    let value = |step: usize| {
        let used = used_gib(day_of(step), random) + 0.02 * random.normal();
        // The ring keeps whole MiB.
        whole_kib(free_gib - used) / 1024 * 1024
    };
    (0..9 * 288).map(value).collect()
}

/// What a process holds over two days, a value every five minutes.
const LEAKS: [(&str, Make); 6] = [
    ("leak", |random| {
        let hours = random.between(10.0, 40.0);
        memory(random, move |hour, _| 0.5 + 11.0 * hour / hours)
    }),
    ("leak with restarts", |random| {
        // Restarted by hand every now and then, and then no more.
        let (hours, every) = (random.between(10.0, 20.0), random.between(4.0, 7.0));
        memory(random, move |hour, _| {
            0.5 + 11.0 * if hour < 2.0 * every { hour % every } else { hour - 2.0 * every } / hours
        })
    }),
    ("cache that fills up", |random| {
        let (size, hours) = (random.between(2.0, 6.0), random.between(0.5, 2.0));
        memory(random, move |hour, _| 0.3 + size * (1.0 - (-hour / hours).exp()))
    }),
    ("collected garbage", |random| {
        let (size, every) = (random.between(0.5, 3.0), random.between(0.3, 1.5));
        memory(random, move |hour, _| 1.0 + size * (hour / every).fract())
    }),
    ("noisy flat", |random| {
        let noise = random.between(0.01, 0.4);
        memory(random, move |_, random| 2.0 + noise * random.normal())
    }),
    ("day and night", |random| {
        let size = random.between(0.2, 1.2);
        memory(random, move |hour, _| 2.0 + size * (std::f64::consts::TAU * hour / 24.0).sin())
    }),
];

fn memory(random: &mut Random, held_gib: impl Fn(f64, &mut Random) -> f64) -> Vec<i64> {
    let value = |step: usize| whole_kib(held_gib(day_of(step) * 24.0, random) + 0.01 * random.normal());
    (0..2 * 288).map(value).collect()
}

type MakeLevel = fn(&mut Random) -> Vec<f64>;

/// A share in thousandths over forty minutes, a value every second, and when its level shifts.
const SHIFTS: [(&str, Option<usize>, MakeLevel); 5] = [
    ("step", Some(1200), |random| {
        let (noise, step) = (random.between(5.0, 40.0), random.between(200.0, 500.0));
        levels(random, noise, move |second, _| if second < 1200 { 200.0 } else { 200.0 + step })
    }),
    ("small step in noise", Some(1200), |random| {
        let noise = random.between(12.0, 25.0);
        levels(random, noise, move |second, _| if second < 1200 { 300.0 } else { 300.0 - 5.0 * noise })
    }),
    ("noisy flat", None, |random| {
        let noise = random.between(1.0, 60.0);
        levels(random, noise, |_, _| 300.0)
    }),
    ("spikes", None, |random| {
        levels(random, 10.0, |_, random| if random.between(0.0, 1.0) < 0.02 { 900.0 } else { 100.0 })
    }),
    ("slow drift", None, |random| levels(random, 20.0, |second, _| 200.0 + f64_of(second.into()) / 40.0)),
];

/// Noise in which half of each value is that of the one before, as machines have it.
fn levels(random: &mut Random, noise: f64, level: impl Fn(u32, &mut Random) -> f64) -> Vec<f64> {
    let mut held = 0.0;
    let value = |second: u32| {
        held = 0.5 * held + 0.866 * noise * random.normal();
        (level(second, random) + held).clamp(0.0, 1000.0)
    };
    (0..2400).map(value).collect()
}

fn day_of(step: usize) -> f64 {
    f64_of(i128::try_from(step).unwrap_or(i128::MAX)) / 288.0
}

fn whole_kib(gib: f64) -> i64 {
    i64::try_from(seconds(gib.max(0.0) * GIB)).unwrap_or(i64::MAX)
}
