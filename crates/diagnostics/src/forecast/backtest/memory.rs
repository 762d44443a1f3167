//! What a process holds on made machines of 16 GiB: a value every five minutes, over four days.

use super::{
    Made,
    random::Random,
    series::{Kind, Seen, every_five_minutes},
};

pub(super) const MEMORY_KIB: i64 = 16 << 20;
/// What everything else holds.
pub(super) const OTHERS_KIB: i64 = MEMORY_KIB * 3 / 10;
const LEFT_GIB: f64 = 11.2;
const DAYS: usize = 4;

/// What the predictor may be changed for.
pub(super) const TUNING: &[Kind] = &[
    ("leak", |random| {
        let hours = random.between(10.0, 40.0);
        memory(random, &Seen::EXACTLY, move |hour, _| 0.5 + 11.0 * hour / hours)
    }),
    ("leak with restarts", |random| {
        // Restarted by hand every now and then, and then no more.
        let (hours, every) = (random.between(10.0, 20.0), random.between(4.0, 7.0));
        memory(random, &Seen::EXACTLY, move |hour, _| {
            0.5 + 11.0 * if hour < 2.0 * every { hour % every } else { hour - 2.0 * every } / hours
        })
    }),
    ("accelerating leak", |random| {
        let (start, hours) = (random.between(0.0, 10.0), random.between(12.0, 40.0));
        memory(random, &Seen::EXACTLY, move |hour, _| 0.5 + 11.0 * ((hour - start).max(0.0) / hours).powi(2))
    }),
    ("leak, restarted each night", |random| {
        let (a_day, at) = (random.between(2.0, 8.0), random.between(0.0, 24.0));
        memory(random, &Seen::EXACTLY, move |hour, _| 0.5 + a_day * ((hour + at) % 24.0) / 24.0)
    }),
    ("cache that fills up", |random| {
        let (size, hours) = (random.between(2.0, 6.0), random.between(0.5, 2.0));
        memory(random, &Seen::EXACTLY, move |hour, _| 0.3 + size * (1.0 - (-hour / hours).exp()))
    }),
    ("collected garbage", |random| {
        let (size, every) = (random.between(0.5, 3.0), random.between(0.3, 1.5));
        memory(random, &Seen::EXACTLY, move |hour, _| 1.0 + size * (hour / every).fract())
    }),
    ("noisy flat", |random| {
        let noise = random.between(0.01, 0.4);
        memory(random, &Seen::EXACTLY, move |_, random| 2.0 + noise * random.normal())
    }),
    ("day and night", |random| {
        let size = random.between(0.2, 1.2);
        memory(random, &Seen::EXACTLY, move |hour, _| 2.0 + size * (std::f64::consts::TAU * hour / 24.0).sin())
    }),
];

/// What it is judged by.
pub(super) const HELD_OUT: &[Kind] = &[
    ("leak, samples missing", |random| {
        let (hours, noise) = (random.between(8.0, 70.0), random.between(0.01, 0.1));
        let seen = Seen { missing: random.between(0.02, 0.2), quantum: 4, ..Seen::EXACTLY };
        memory(random, &seen, move |hour, random| 0.4 + 11.0 * hour / hours + noise * random.heavy())
    }),
    ("leak that speeds up", |random| {
        let (hours, power) = (random.between(12.0, 60.0), random.between(1.3, 2.6));
        memory(random, &Seen::EXACTLY, move |hour, random| {
            0.6 + 11.0 * (hour / hours).powf(power) + 0.03 * random.heavy()
        })
    }),
    ("leak under a collector", |random| {
        let (hours, size, every) = (random.between(10.0, 60.0), random.between(0.1, 1.0), random.between(0.2, 1.2));
        memory(random, &Seen::EXACTLY, move |hour, _| 0.5 + 11.0 * hour / hours + size * (hour / every).fract())
    }),
    ("leak in steps", |random| {
        let (hours, an_hour) = (random.between(10.0, 50.0), random.between(1.0, 6.0));
        let (mut held, step) = (0.5, 11.0 / (hours * an_hour));
        memory(random, &Seen::EXACTLY, move |_, random| {
            held += if random.chance(an_hour / 12.0) { step * random.waiting() } else { 0.0 };
            held
        })
    }),
    ("leak restarted at times, then no more", |random| {
        let (hours, times) = (random.between(8.0, 24.0), random.between(1.0, 4.9).floor());
        let (mut held, mut age, mut again) = (0.5, 0.0, times);
        let mut until = random.between(3.0, 9.0);
        memory(random, &Seen::EXACTLY, move |_, random| {
            age += 1.0 / 12.0;
            held += 11.0 / hours / 12.0 * random.between(0.6, 1.4);
            if again > 0.0 && age > until {
                (held, age, again) = (0.5, 0.0, again - 1.0);
                until = random.between(2.5, 8.0);
            }
            held
        })
    }),
    ("leak restarted before it matters", |random| {
        let (an_hour, most) = (random.between(0.1, 1.2), random.between(2.0, 8.0));
        let (mut held, mut limit) = (0.4, most);
        memory(random, &Seen::EXACTLY, move |_, random| {
            held += an_hour / 12.0 * random.between(0.5, 1.5);
            if held > limit {
                (held, limit) = (0.4, most * random.between(0.8, 1.1));
            }
            held
        })
    }),
    ("heap that warms up", |random| {
        let (size, hours) = (random.between(1.0, 7.0), random.between(1.0, 6.0));
        memory(random, &Seen { missing: 0.05, ..Seen::EXACTLY }, move |hour, random| {
            0.3 + size * (hour / (hour + hours)) + 0.02 * random.heavy()
        })
    }),
    ("collector with generations", |random| {
        let (young, old) = (random.between(0.1, 0.6), random.between(0.5, 3.0));
        let every = random.between(2.0, 9.0);
        memory(random, &Seen::EXACTLY, move |hour, _| 0.8 + young * (hour * 3.0).fract() + old * (hour / every).fract())
    }),
    ("documents opened by day", |random| {
        let (size, phase) = (random.between(0.5, 4.0), random.between(0.0, 24.0));
        memory(random, &Seen::EXACTLY, move |hour, random| {
            let of_day = (hour + phase) % 24.0;
            let open = if of_day < 17.5 { ((of_day - 9.0) / 8.0).clamp(0.0, 1.0) } else { 0.0 };
            0.7 + size * open + 0.02 * random.heavy()
        })
    }),
    ("wandering heap", |random| {
        let (mut held, step) = (0.0, random.between(0.01, 0.15));
        memory(random, &Seen { missing: 0.05, ..Seen::EXACTLY }, move |_, random| {
            held = 0.99 * held + step * random.heavy();
            (2.5 + held).max(0.2)
        })
    }),
    ("import that ends", |random| {
        let (start, hours, size) = (random.between(1.0, 40.0), random.between(2.0, 7.0), random.between(1.0, 6.0));
        memory(random, &Seen::EXACTLY, move |hour, _| 0.5 + size * ((hour - start) / hours).clamp(0.0, 1.0))
    }),
];

fn memory(random: &mut Random, seen: &Seen, held_gib: impl FnMut(f64, &mut Random) -> f64) -> Made {
    let mut held_gib = held_gib;
    let seen = Seen { quantum: seen.quantum.min(4), ..seen.clone() };
    every_five_minutes(random, DAYS, &seen, |day, random| {
        let held = held_gib(day * 24.0, random) + 0.01 * random.normal();
        (held, held >= LEFT_GIB)
    })
}
