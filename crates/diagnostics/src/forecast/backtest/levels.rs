//! Shares in thousandths over forty minutes, a value every second, and what happened to them.

use std::time::Duration;

use wire::time::Moment;

use super::{
    super::{
        level::{LevelShift, Spikes},
        trend::f64_of,
    },
    Score,
    random::Random,
    steps,
};

/// A kind of series: its name, when its level shifts, and how one is made.
pub(super) type Kind = (&'static str, Option<usize>, fn(&mut Random) -> Vec<Option<f64>>);

const SECONDS: u32 = 2400;
const SHIFT: usize = 1200;
/// A finding that comes later than this after its shift is about something else.
const FOUND_WITHIN: usize = 300;
/// When it began is told to so many seconds.
const SINCE_WITHIN: u64 = 15;

/// What the detector may be changed for.
pub(super) const TUNING: &[Kind] = &[
    ("step", Some(SHIFT), |random| {
        let (noise, step) = (random.between(5.0, 40.0), random.between(200.0, 500.0));
        levels(random, (noise, 0.5), move |second, _| if second < 1200 { 200.0 } else { 200.0 + step })
    }),
    ("small step in noise", Some(SHIFT), |random| {
        let noise = random.between(12.0, 25.0);
        levels(random, (noise, 0.5), move |second, _| if second < 1200 { 300.0 } else { 300.0 - 5.0 * noise })
    }),
    ("noisy flat", None, |random| {
        let noise = random.between(1.0, 60.0);
        levels(random, (noise, 0.5), |_, _| 300.0)
    }),
    ("spikes", None, |random| levels(random, (10.0, 0.5), |_, random| if random.chance(0.02) { 900.0 } else { 100.0 })),
    ("bursts of work", None, |random| {
        let (height, often, mut left) = (random.between(150.0, 600.0), random.between(60.0, 300.0), 0.0);
        levels(random, (20.0, 0.5), move |_, random| {
            left = if left <= 0.0 && random.chance(1.0 / often) { random.between(10.0, 40.0) } else { left - 1.0 };
            if left > 0.0 { 200.0 + height } else { 200.0 }
        })
    }),
    ("told in steps", None, |random| {
        let (noise, level) = (random.between(10.0, 30.0), random.between(200.0, 300.0));
        let exact = levels(random, (noise, 0.4), move |_, _| level);
        exact.into_iter().map(|value| value.map(|value| (value / 70.0).round() * 70.0)).collect()
    }),
    ("slow drift", None, |random| levels(random, (20.0, 0.5), |second, _| 200.0 + f64_of(second.into()) / 40.0)),
];

/// What it is judged by.
pub(super) const HELD_OUT: &[Kind] = &[
    ("step in heavy noise, samples missing", Some(SHIFT), |random| {
        let (noise, step) = (random.between(4.0, 30.0), random.between(160.0, 450.0));
        let missing = random.between(0.02, 0.2);
        let exact = levels(random, (0.0, 0.0), move |second, random| {
            (if second < 1200 { 150.0 } else { 150.0 + step }) + noise * random.heavy()
        });
        exact.into_iter().map(|value| value.filter(|_| !random.chance(missing))).collect()
    }),
    ("step down under a sawtooth", Some(SHIFT), |random| {
        let (size, every, step) = (random.between(20.0, 80.0), random.between(8.0, 40.0), random.between(200.0, 500.0));
        levels(random, (8.0, 0.3), move |second, _| {
            (if second < 1200 { 800.0 } else { 800.0 - step }) + size * (f64_of(second.into()) / every).fract()
        })
    }),
    ("step over half a minute", Some(SHIFT), |random| {
        let (noise, step) = (random.between(5.0, 25.0), random.between(200.0, 450.0));
        levels(random, (noise, 0.7), move |second, _| {
            250.0 + step * ((f64_of(second.into()) - 1200.0) / 30.0).clamp(0.0, 1.0)
        })
    }),
    ("step of a quantised figure", Some(SHIFT), |random| {
        let step = random.between(2.0, 6.0).floor() * 100.0;
        let exact = levels(random, (20.0, 0.5), move |second, _| if second < 1200 { 120.0 } else { 120.0 + step });
        exact.into_iter().map(|value| value.map(|value| (value / 50.0).round() * 50.0)).collect()
    }),
    ("noise that lingers", None, |random| {
        let noise = random.between(2.0, 35.0);
        levels(random, (noise, 0.9), |_, _| 400.0)
    }),
    ("jobs of seconds", None, |random| {
        let (mut left, height) = (0.0, random.between(200.0, 700.0));
        levels(random, (12.0, 0.4), move |_, random| {
            if left <= 0.0 && random.chance(1.0 / 150.0) {
                left = random.between(3.0, 35.0);
            }
            left -= 1.0;
            if left > 0.0 { 120.0 + height } else { 120.0 }
        })
    }),
    ("a job each minute", None, |random| {
        let (busy, height) = (random.between(3.0, 15.0), random.between(200.0, 600.0));
        levels(
            random,
            (15.0, 0.5),
            move |second, _| {
                if f64_of((second % 60).into()) < busy { 150.0 + height } else { 150.0 }
            },
        )
    }),
    ("a figure of whole steps", None, |random| {
        let noise = random.between(5.0, 40.0);
        let exact = levels(random, (noise, 0.5), |_, _| 260.0);
        exact.into_iter().map(|value| value.map(|value| (value / 50.0).round() * 50.0)).collect()
    }),
];

/// Where a shift is, a finding within five minutes of it is right and any other is wrong.
pub(super) fn shift_case(score: &mut Score, event: Option<usize>, series: &[Option<f64>]) {
    let mut detector = LevelShift::new(50.0);
    let at = |second: usize| Moment::from_origin(Duration::from_secs(1_000_000 + steps(second)));
    let mut found = false;
    for (second, value) in series.iter().enumerate() {
        let Some(shift) = value.and_then(|value| detector.push(value, at(second))) else { continue };
        match event.filter(|event| !found && (*event..event + FOUND_WITHIN).contains(&second)) {
            None => score.false_alarms += 1,
            Some(event) => {
                found = true;
                score.right_alarms += 1;
                score.foretold += 1;
                score.lead_secs.push(steps(second - event));
                let began = at(event);
                let off = (shift.since - began).max(began - shift.since);
                score.ranges.told += 1;
                score.ranges.held += u32::from(off <= Duration::from_secs(SINCE_WITHIN));
            }
        }
    }
    score.missed += u32::from(event.is_some() && !found);
}

/// A kind of series with spikes: its name, how noisy it is and how much it resembles what came before, and how its level moves.
pub(super) type SpikeKind = (&'static str, fn(&mut Random) -> (Vec<Option<f64>>, Vec<usize>));

/// What the marking of spikes may be changed for.
pub(super) const SPIKES_TUNING: &[SpikeKind] = &[
    ("spikes in noise", |random| {
        let noise = random.between(5.0, 20.0);
        spikes(random, (noise, 0.5), 100, |_, _| 200.0)
    }),
    ("noise alone", |random| {
        let noise = random.between(5.0, 60.0);
        spikes(random, (noise, 0.5), 0, |_, _| 300.0)
    }),
];

/// What it is judged by.
pub(super) const SPIKES_HELD_OUT: &[SpikeKind] = &[
    ("rare spikes on a drifting level", |random| {
        let noise = random.between(4.0, 25.0);
        spikes(random, (noise, 0.7), 250, |second, _| 150.0 + f64_of(second.into()) / 12.0)
    }),
    ("spikes in heavy noise", |random| {
        let noise = random.between(4.0, 20.0);
        spikes(random, (2.0, 0.3), 120, move |_, random| 250.0 + noise * random.heavy())
    }),
    ("heavy noise alone", |random| {
        let noise = random.between(4.0, 40.0);
        spikes(random, (2.0, 0.3), 0, move |_, random| 250.0 + noise * random.heavy())
    }),
    ("a sawtooth alone", |random| {
        let (size, every) = (random.between(30.0, 250.0), random.between(5.0, 60.0));
        spikes(random, (10.0, 0.5), 0, move |second, _| 200.0 + size * (f64_of(second.into()) / every).fract())
    }),
];

/// Each second that is marked is right if it is a spike.
pub(super) fn spike_case(score: &mut Score, series: &[Option<f64>], spikes: &[usize]) {
    let mut marker = Spikes::new(50.0);
    for (second, value) in series.iter().enumerate() {
        let marked = value.is_some_and(|value| marker.push(value));
        match (marked, spikes.contains(&second)) {
            (true, true) => {
                score.foretold += 1;
                score.right_alarms += 1;
            }
            (true, false) => score.false_alarms += 1,
            (false, true) => score.missed += 1,
            (false, false) => {}
        }
    }
}

/// A level with noise, of which each second resembles the one before as much as `like` says.
fn levels(
    random: &mut Random,
    (noise, like): (f64, f64),
    level: impl FnMut(u32, &mut Random) -> f64,
) -> Vec<Option<f64>> {
    let (mut level, mut held) = (level, 0.0);
    let new = f64::sqrt(1.0 - like * like);
    let value = |second: u32| {
        held = like * held + new * noise * random.normal();
        Some((level(second, random) + held).clamp(0.0, 1000.0))
    };
    (0..SECONDS).map(value).collect()
}

/// As [`levels`], with single seconds far above them, one in `every`, and which those are.
fn spikes(
    random: &mut Random,
    noise: (f64, f64),
    every: u32,
    level: impl FnMut(u32, &mut Random) -> f64,
) -> (Vec<Option<f64>>, Vec<usize>) {
    let mut series = levels(random, noise, level);
    let mut spikes = Vec::new();
    for (second, value) in series.iter_mut().enumerate().skip(60) {
        if every > 0 && random.chance(1.0 / f64::from(every)) {
            *value = value.map(|value| (value + random.between(250.0, 600.0)).min(1000.0));
            spikes.push(second);
        }
    }
    (series, spikes)
}
