//! Space available on file systems of made machines: a value every five minutes, over nine days.

use super::{
    Made,
    random::Random,
    series::{Kind, Seen, every_five_minutes, work},
};

const DISK_GIB: f64 = 500.0;
pub(super) const DISK_KIB: i64 = 500 << 20;
const DAYS: usize = 9;

/// What the predictor may be changed for.
pub(super) const TUNING: &[Kind] = &[
    ("linear fill", |random| {
        let days = random.between(1.5, 6.0);
        space(random, 150.0, &Seen::EXACTLY, move |day, _| 150.0 * (day / days))
    }),
    ("accelerating fill", |random| {
        let days = random.between(3.0, 6.0);
        space(random, 150.0, &Seen::EXACTLY, move |day, _| 150.0 * (day / days).powi(2))
    }),
    ("flat, then a fill", |random| {
        let (start, hours) = (random.between(3.0, 6.0), random.between(14.0, 40.0));
        space(random, 120.0, &Seen::EXACTLY, move |day, _| 120.0 * ((day - start) * 24.0 / hours).max(0.0))
    }),
    ("fill under rotated logs", |random| {
        let (days, size, phase) = (random.between(2.0, 7.0), random.between(2.0, 12.0), random.between(0.0, 1.0));
        space(random, 100.0, &Seen::EXACTLY, move |day, _| 100.0 * day / days + size * (day + phase).fract())
    }),
    ("fill in lumps", |random| {
        let (days, mut used) = (random.between(2.0, 6.0), 0.0);
        let lump = 100.0 / (days * 288.0) * 4.0;
        space(random, 100.0, &Seen::EXACTLY, move |_, random| {
            used += if random.chance(0.25) { lump * random.between(0.2, 1.8) } else { 0.0 };
            used
        })
    }),
    ("fill after a clean-up", |random| {
        let (days, freed, on) = (random.between(2.0, 5.0), random.between(15.0, 40.0), random.between(0.4, 3.0));
        space(random, 100.0, &Seen::EXACTLY, move |day, _| {
            (100.0 * day / days - if day > on { freed } else { 0.0 }).max(0.0)
        })
    }),
    ("logs rotated daily", |random| {
        let (size, phase) = (random.between(5.0, 30.0), random.between(0.0, 1.0));
        space(random, 60.0, &Seen::EXACTLY, move |day, _| size * (day + phase).fract())
    }),
    ("logs rotated every few hours", |random| {
        let (size, a_day) = (random.between(2.0, 20.0), random.between(3.0, 24.0));
        space(random, 60.0, &Seen::EXACTLY, move |day, _| size * (day * a_day).fract())
    }),
    ("noisy flat", |random| {
        let noise = random.between(0.01, 3.0);
        space(random, 40.0, &Seen::EXACTLY, move |_, random| noise * random.normal())
    }),
    ("one large download", |random| {
        let (start, size) = (random.between(0.1, 6.0), random.between(5.0, 30.0));
        let hours = random.between(1.0, 8.0);
        space(random, 80.0, &Seen::EXACTLY, move |day, _| size * ((day - start) * 24.0 / hours).clamp(0.0, 1.0))
    }),
    ("day and night", |random| {
        let (size, phase) = (random.between(2.0, 15.0), random.between(0.0, 6.0));
        space(random, 60.0, &Seen::EXACTLY, move |day, _| size * (std::f64::consts::TAU * day + phase).sin())
    }),
    ("office hours, tidied on Sunday", |random| {
        let (a_day, start) = (random.between(2.0, 8.0), random.between(0.0, 7.0).floor());
        space(random, 60.0, &Seen::EXACTLY, move |day, _| a_day * work((day + start) % 7.0))
    }),
];

/// What it is judged by.
pub(super) const HELD_OUT: &[Kind] = &[
    ("steady fill, samples missing", |random| {
        let days = random.between(1.2, 7.5);
        let noise = random.between(0.05, 0.6);
        let seen = Seen { missing: random.between(0.02, 0.2), ..Seen::EXACTLY };
        space(random, 130.0, &seen, move |day, random| 130.0 * day / days + noise * random.heavy())
    }),
    ("fill told in whole GiB", |random| {
        let days = random.between(1.5, 6.0);
        let seen = Seen { quantum: 1 << 20, ..Seen::EXACTLY };
        space(random, 140.0, &seen, move |day, _| 140.0 * day / days)
    }),
    ("fill that doubles", |random| {
        let (days, doubling) = (random.between(3.0, 8.0), random.between(0.6, 2.5));
        let grown = move |day: f64| (day / doubling).exp2() - 1.0;
        space(random, 160.0, &Seen::EXACTLY, move |day, random| 160.0 * grown(day) / grown(days) + 0.1 * random.heavy())
    }),
    ("fill that speeds up", |random| {
        let (days, power) = (random.between(2.5, 7.0), random.between(1.4, 3.0));
        let seen = Seen { missing: 0.03, ..Seen::EXACTLY };
        space(random, 120.0, &seen, move |day, _| 120.0 * (day / days).powf(power))
    }),
    ("fill in bursts", |random| {
        let (days, an_hour) = (random.between(1.5, 7.0), random.between(0.7, 6.0));
        let burst = 120.0 / (days * 24.0 * an_hour);
        let mut used = 0.0;
        space(random, 120.0, &Seen::EXACTLY, move |_, random| {
            used += if random.chance(an_hour / 12.0) { burst * random.waiting() } else { 0.0 };
            used
        })
    }),
    ("fill under irregularly rotated logs", |random| {
        let (days, most, an_hour) = (random.between(2.0, 7.0), random.between(1.0, 10.0), random.between(0.2, 1.5));
        let (mut logs, mut limit) = (0.0, most);
        space(random, 110.0, &Seen::EXACTLY, move |day, random| {
            logs += an_hour / 12.0 * random.between(0.0, 2.0);
            if logs > limit {
                logs *= random.between(0.05, 0.5);
                limit = most * random.between(0.6, 1.4);
            }
            110.0 * day / days + logs
        })
    }),
    ("fill with clean-ups", |random| {
        // Somebody makes room once or twice, and it goes on.
        let (days, first, second) = (random.between(2.0, 4.5), random.between(0.5, 2.0), random.between(2.2, 5.0));
        let freed = [random.between(8.0, 30.0), random.between(0.0, 20.0)];
        space(random, 100.0, &Seen::EXACTLY, move |day, _| {
            let freed = if day > first { freed[0] } else { 0.0 } + if day > second { freed[1] } else { 0.0 };
            (100.0 * day / days - freed).max(0.0)
        })
    }),
    ("fill by day, off at night", |random| {
        let (days, from) = (random.between(2.0, 7.0), random.between(6.0, 10.0));
        let seen = Seen { off_hours: Some((random.between(19.0, 23.5), from)), ..Seen::EXACTLY };
        let mut used = 0.0;
        let on = seen.on_share();
        space(random, 100.0, &seen.clone(), move |day, _| {
            used += if seen.is_off(day) { 0.0 } else { 100.0 / (days * 288.0 * on) };
            used
        })
    }),
    ("fill in office hours", |random| {
        let (days, start) = (random.between(2.0, 7.0), random.between(0.0, 7.0).floor());
        let share = 90.0 / days;
        space(random, 90.0, &Seen::EXACTLY, move |day, random| {
            share * (work(day + start) - work(start)) + 0.05 * random.heavy()
        })
    }),
    ("flat for days, then a runaway log", |random| {
        let (start, hours) = (random.between(1.5, 7.0), random.between(8.0, 30.0));
        let noise = random.between(0.02, 0.5);
        space(random, 70.0, &Seen::EXACTLY, move |day, random| {
            70.0 * ((day - start) * 24.0 / hours).max(0.0) + noise * random.normal()
        })
    }),
    ("weekly, tidied at the weekend", |random| {
        let (a_day, start) = (random.between(1.0, 9.0), random.between(0.0, 7.0));
        space(random, 70.0, &Seen::EXACTLY, move |day, random| {
            let weekday = (day + start) % 7.0;
            a_day * if weekday < 5.0 { work(weekday) } else { 5.0 * (1.0 - (weekday - 5.0) * 4.0).max(0.0) }
                + 0.2 * random.heavy()
        })
    }),
    ("logs rotated when they are large", |random| {
        let (most, an_hour) = (random.between(5.0, 40.0), random.between(0.3, 6.0));
        let (mut logs, mut limit) = (0.0, most);
        space(random, 60.0, &Seen::EXACTLY, move |_, random| {
            logs += an_hour / 12.0 * random.between(0.0, 2.0);
            if logs > limit {
                logs *= random.between(0.0, 0.4);
                limit = most * random.between(0.5, 1.2);
            }
            logs
        })
    }),
    ("backups staged at night", |random| {
        let (size, from, hours) = (random.between(5.0, 35.0), random.between(0.0, 1.0), random.between(1.0, 9.0));
        space(random, 55.0, &Seen::EXACTLY, move |day, random| {
            let hour = (day + from).fract() * 24.0;
            if hour < hours { size * hour / hours } else { 0.05 * random.heavy() }
        })
    }),
    ("builds, cleaned now and then", |random| {
        let (an_hour, mut used) = (random.between(0.3, 3.0), 0.0);
        let mut limit = random.between(10.0, 45.0);
        space(random, 65.0, &Seen::EXACTLY, move |day, random| {
            let hour = day.fract() * 24.0;
            used += if (9.0..19.0).contains(&hour) { an_hour / 12.0 * random.waiting() } else { 0.0 };
            if used > limit {
                used = random.between(0.0, 3.0);
                limit = random.between(10.0, 45.0);
            }
            used
        })
    }),
    ("wandering cache", |random| {
        let (mut held, step) = (0.0, random.between(0.05, 0.6));
        space(random, 50.0, &Seen { missing: 0.05, ..Seen::EXACTLY }, move |_, random| {
            held = 0.995 * held + step * random.heavy();
            held
        })
    }),
    ("work files, off at night", |random| {
        let size = random.between(2.0, 25.0);
        let seen = Seen { off_hours: Some((random.between(18.0, 22.0), random.between(6.0, 9.0))), ..Seen::EXACTLY };
        space(random, 50.0, &seen, move |day, random| {
            let hour = day.fract() * 24.0;
            size * ((hour - 8.0) / 10.0).clamp(0.0, 1.0) * f64::from(u8::from(hour > 8.0)) + 0.05 * random.normal()
        })
    }),
    ("installations and downloads", |random| {
        let mut used = 0.0;
        let hours = random.between(0.3, 5.0);
        let (mut left, size) = (0.0_f64, random.between(1.0, 9.0));
        space(random, 90.0, &Seen::EXACTLY, move |_, random| {
            if left <= 0.0 && used < 45.0 && random.chance(1.0 / 250.0) {
                left = size;
            }
            let now = left.min(size / hours / 12.0);
            left -= now;
            used += now;
            used
        })
    }),
];

fn space(random: &mut Random, free_gib: f64, seen: &Seen, used_gib: impl FnMut(f64, &mut Random) -> f64) -> Made {
    let mut used_gib = used_gib;
    let free_gib = free_gib.min(DISK_GIB);
    every_five_minutes(random, DAYS, seen, |day, random| {
        let left = free_gib - used_gib(day, random) - 0.02 * random.normal();
        (left, left <= 0.0)
    })
}
