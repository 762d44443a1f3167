//! What disks and batteries tell of their wear in thousandths, once a day over two years.

use super::{
    super::trend::{Point, f64_of, seconds},
    Made,
    random::Random,
    series::{BEGINS_SECS, Kind},
    steps,
};

const DAYS: usize = 730;
const DAY: u64 = 24 * 3600;
/// What a battery that is worn out holds, in thousandths of what it held when new.
pub(super) const WORN_OUT: i64 = 500;

/// What the forecast of a disk's wear may be changed for.
pub(super) const DISKS_TUNING: &[Kind] = &[
    ("even wear", |random| {
        let (from, a_day) = (random.between(100.0, 800.0), random.between(0.3, 6.0));
        disk(random, from, 0.0, move |_, _| a_day)
    }),
    ("a disk that is hardly written", |random| {
        let (from, a_day) = (random.between(10.0, 600.0), random.between(0.0, 0.1));
        disk(random, from, 0.0, move |_, _| a_day)
    }),
];

/// What it is judged by.
pub(super) const DISKS_HELD_OUT: &[Kind] = &[
    ("wear on workdays, days missing", |random| {
        let (from, a_day) = (random.between(200.0, 850.0), random.between(0.4, 5.0));
        let missing = random.between(0.05, 0.4);
        disk(
            random,
            from,
            missing,
            move |day, random| {
                if day % 7 < 5 { a_day * random.between(0.3, 1.7) } else { 0.1 * a_day }
            },
        )
    }),
    ("wear by bursts", |random| {
        let (from, burst) = (random.between(200.0, 850.0), random.between(4.0, 25.0));
        let every = random.between(4.0, 15.0);
        disk(random, from, 0.05, move |_, random| {
            0.1 + if random.chance(1.0 / every) { burst * random.waiting() } else { 0.0 }
        })
    }),
    ("wear that grows month by month", |random| {
        let (from, a_day, more) = (random.between(100.0, 700.0), random.between(0.3, 2.0), random.between(1.02, 1.2));
        disk(random, from, 0.0, move |day, _| a_day * more.powf(f64_of(i128::try_from(day).unwrap_or(0)) / 30.0))
    }),
    ("one large restore, then quiet", |random| {
        let (from, on, days) = (random.between(100.0, 600.0), random.between(30.0, 500.0), random.between(3.0, 20.0));
        let size = random.between(30.0, 120.0);
        disk(random, from, 0.0, move |day, _| {
            let since = f64_of(i128::try_from(day).unwrap_or(0)) - on;
            if (0.0..days).contains(&since) { size / days } else { 0.05 }
        })
    }),
];

/// What the forecast of a battery's health may be changed for.
pub(super) const BATTERIES_TUNING: &[Kind] = &[
    ("even fading", |random| {
        let (from, a_day) = (random.between(600.0, 980.0), random.between(0.3, 2.5));
        battery(random, from, (2.0, 0.0), move |_, _| a_day)
    }),
    ("a battery that does not fade", |random| {
        let from = random.between(520.0, 980.0);
        battery(random, from, (3.0, 0.0), |_, _| 0.02)
    }),
];

/// What it is judged by.
pub(super) const BATTERIES_HELD_OUT: &[Kind] = &[
    ("fading, days missing, a gauge that wanders", |random| {
        let (from, a_day) = (random.between(620.0, 950.0), random.between(0.3, 2.0));
        let missing = random.between(0.05, 0.4);
        battery(random, from, (5.0, missing), move |_, random| a_day * random.between(0.0, 2.0))
    }),
    ("fading that speeds up", |random| {
        let (from, a_day, more) = (random.between(650.0, 950.0), random.between(0.2, 0.8), random.between(1.03, 1.15));
        battery(random, from, (2.0, 0.1), move |day, _| {
            a_day * more.powf(f64_of(i128::try_from(day).unwrap_or(0)) / 30.0)
        })
    }),
    ("fading told in steps", |random| {
        // The gauge learns anew only when the battery was emptied.
        let (from, a_day, every) = (random.between(620.0, 950.0), random.between(0.4, 2.0), random.between(5.0, 25.0));
        let mut due = 0.0;
        battery(random, from, (0.5, 0.0), move |_, random| {
            due += a_day;
            if random.chance(1.0 / every) { std::mem::take(&mut due) } else { 0.0 }
        })
    }),
    ("a gauge that is set anew, no fading", |random| {
        let (from, on, step) = (random.between(600.0, 950.0), random.between(40.0, 500.0), random.between(10.0, 60.0));
        let mut set = false;
        battery(random, from, (3.0, 0.1), move |day, _| {
            let now = !set && f64_of(i128::try_from(day).unwrap_or(0)) > on;
            set |= now;
            if now { step } else { 0.02 }
        })
    }),
];

fn disk(random: &mut Random, from: f64, missing: f64, a_day: impl FnMut(usize, &mut Random) -> f64) -> Made {
    // Told in whole percents.
    daily(random, from, missing, a_day, |used, _| rounded_down(used / 10.0) * 10, |used| used >= 1000.0)
}

fn battery(
    random: &mut Random,
    from: f64,
    (noise, missing): (f64, f64),
    mut a_day: impl FnMut(usize, &mut Random) -> f64,
) -> Made {
    let (mut wander, worn_out) = (0.0, f64_of(WORN_OUT.into()));
    let told = move |health: f64, random: &mut Random| {
        wander = 0.8 * wander + 0.6 * noise * random.normal();
        rounded_down(health + wander)
    };
    daily(random, from, missing, move |day, random| -a_day(day, random), told, |health| health <= worn_out)
}

fn daily(
    random: &mut Random,
    from: f64,
    missing: f64,
    mut a_day: impl FnMut(usize, &mut Random) -> f64,
    mut told: impl FnMut(f64, &mut Random) -> i64,
    happened: impl Fn(f64) -> bool,
) -> Made {
    let mut made = Made { points: Vec::new(), event_secs: None, ends_secs: 0 };
    let mut value = from;
    for day in 0..DAYS {
        let at_secs = BEGINS_SECS + steps(day) * DAY;
        made.ends_secs = at_secs;
        value += a_day(day, random);
        if happened(value) {
            made.event_secs = Some(at_secs);
            break;
        }
        let told = told(value, random);
        if !random.chance(missing) {
            made.points.push(Point { at_secs, value: told });
        }
    }
    made
}

fn rounded_down(value: f64) -> i64 {
    i64::try_from(seconds(value)).unwrap_or(i64::MAX)
}
