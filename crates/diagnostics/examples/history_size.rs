//! Measures what the history takes on disk.
//!
//! `cargo run --release -p diagnostics --example history_size [seconds to record this machine]`: first a recording of this machine,
//! once a second, and then a made day of a hundred series. Prints bytes a value, header and names included. The history does not write
//! to a disk that is nearly full: `TMPDIR` names another one.

#![expect(clippy::print_stdout, reason = "it is a program that prints figures")]

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or(240);
    measure::this_machine(seconds)?;
    measure::made_day()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the history is kept on disk on Linux alone");
}

#[cfg(target_os = "linux")]
mod measure {
    use std::{
        error::Error,
        thread::sleep,
        time::{Duration, Instant, SystemTime},
    };

    use diagnostics::{
        Collector, Roots,
        history::{Figure, Fold, Pattern, Place, Places, Query, Reader, SeriesKey, Store, Subject, figures_of},
    };
    use wire::{
        text::Label,
        time::{Moment, WallTime},
    };

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "it measures the real machine at real times")]
    pub(super) fn this_machine(seconds: u32) -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let mut store = Store::open(&folder.path().join("history"), SECOND)?;
        let begun = Instant::now();
        let now = || Moment::from_origin(begun.elapsed() + SECOND);
        let places = Places::read(&Roots::default());
        let mut collector = Collector::new(Roots::default(), now());
        let (mut values, mut series) = (0, 0);
        for tick in 1..=seconds {
            sleep((SECOND * tick).saturating_sub(begun.elapsed()));
            let figures = figures_of(&collector.sample(now(), diagnostics::Wanted::default()), &places);
            let kept = figures.iter().filter(|(key, _)| key.subject.as_ref().is_none_or(Subject::may_be_kept)).count();
            values += kept;
            series = series.max(kept);
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
            store.push(&figures, WallTime(u64::try_from(wall.as_millis())?), now());
        }
        store.flush(now());
        println!("this machine: {seconds} s, {series} series");
        report(&store, values)
    }

    #[expect(clippy::disallowed_methods, reason = "it measures how long it takes")]
    pub(super) fn made_day() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("history");
        let mut store = Store::open(&path, SECOND)?;
        let mut machine = Machine::new();
        let mut values = 0;
        let begun = Instant::now();
        // A whole day of files, as it begins and ends at an hour.
        let start = 1_795_305_600;
        for second in 0..86_400 {
            let figures = machine.tick(second);
            values += figures.len();
            let at = WallTime((start + u64::from(second)) * 1000);
            store.push(&figures, at, Moment::from_origin(Duration::from_secs(u64::from(second) + 1)));
        }
        store.flush(Moment::from_origin(Duration::from_secs(86_401)));
        println!("made day: 86400 s, {} series, {:.1} s to store", machine.series.len(), begun.elapsed().as_secs_f64());
        report(&store, values)?;
        let begun = Instant::now();
        let query = Query {
            from: WallTime(start * 1000),
            to: WallTime((start + 86_400) * 1000),
            step_secs: 300,
            fold: Fold::Min,
            series: vec![Pattern::Any(Figure::SpaceAvailable)],
        };
        let answer = query.run(None, Some(&Reader::open(&path)?));
        let found = answer.series.iter().map(|series| series.values.iter().flatten().count()).sum::<usize>();
        println!("  query of the day: {found} values in {:.0} ms", begun.elapsed().as_secs_f64() * 1000.0);
        Ok(())
    }

    fn report(store: &Store, values: usize) -> Result<(), Box<dyn Error>> {
        let status = store.status();
        if status.blocks_lost > 0 {
            return Err(format!("{} blocks were not written: {:?}", status.blocks_lost, status.state).into());
        }
        println!(
            "  {values} values in {} bytes, both tiers: {:.3} bytes a value",
            status.bytes,
            status.bytes as f64 / values as f64
        );
        println!(
            "  of which every sample {} bytes, minutes {} bytes",
            status.full_bytes,
            status.bytes - status.full_bytes
        );
        Ok(())
    }

    /// A made machine: restful and busy hours, a fill, bursts on disks and networks.
    struct Machine {
        series: Vec<(SeriesKey, f64)>,
        random: u64,
        busy: bool,
    }

    impl Machine {
        fn new() -> Self {
            let name = Label::cut;
            let places = [Place::Root, Place::Home, Place::Var, Place::Boot, Place::Tmp];
            let disks = ["nvme0n1", "sda", "sdb", "sdc", "dm-0", "dm-1"].map(|disk| Subject::Disk(name(disk)));
            let networks = ["enp3s0", "wlan0", "wg0", "docker0", "br0"].map(|network| Subject::Network(name(network)));
            let sensors = ["Package id 0", "Core 0", "Core 1", "Core 2", "Core 3", "Composite", "iwlwifi_1", "acpitz"];
            let mut keys = Vec::new();
            for figure in Figure::ALL {
                let of = |subjects: &[Subject]| {
                    subjects.iter().map(|subject| SeriesKey::of(*figure, subject.clone())).collect()
                };
                let figures: Vec<SeriesKey> =
                    match figure.name().split_once('.').map_or(figure.name(), |(kind, _)| kind) {
                        "space" | "inodes" => of(&places.map(Subject::Place)),
                        "disk" => of(&disks),
                        "network" => of(&networks),
                        "temperature" => of(&sensors.map(|sensor| Subject::Sensor(name(sensor)))),
                        "battery" => of(&[Subject::Battery(name("BAT0"))]),
                        "wifi" => of(&networks[1..2]),
                        _ => vec![SeriesKey::machine(*figure)],
                    };
                keys.extend(figures);
            }
            keys.truncate(100);
            Self { series: keys.into_iter().map(|key| (key, 0.0)).collect(), random: 7, busy: false }
        }

        /// Evenly in 0..1.
        fn even(random: &mut u64) -> f64 {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(*random >> 33).unwrap_or(0)) / f64::from(1_u32 << 31)
        }

        fn tick(&mut self, second: u32) -> Vec<(SeriesKey, i64)> {
            let Self { series, random, busy } = self;
            if Self::even(random) < 0.005 {
                *busy = Self::even(random) < 0.3;
            }
            let load = if *busy { 0.6 } else { 0.03 };
            let next = |(key, held): &mut (SeriesKey, f64)| {
                let noise = Self::even(random);
                let burst = Self::even(random) < if *busy { 0.8 } else { 0.1 };
                *held = match key.figure.name() {
                    "cpu.busy" | "cpu.busiest" | "disk.busy" => 1000.0 * load * (0.5 + noise),
                    "cpu.iowait" | "tcp.retransmits" => {
                        if burst {
                            30.0 * noise * load
                        } else {
                            0.0
                        }
                    }
                    "load.1" | "load.5" | "load.15" if second.is_multiple_of(5) => {
                        *held * 0.92 + 40.0 * load * (0.5 + noise)
                    }
                    "pressure.cpu.some" | "pressure.io.some" if second.is_multiple_of(2) => {
                        *held * 0.82 + 1000.0 * load * noise
                    }
                    "memory.available" => 12_000_000.0 - 3_000_000.0 * load + 80_000.0 * noise,
                    "memory.dirty" => {
                        if burst {
                            40_000.0 * noise
                        } else {
                            *held * 0.7
                        }
                    }
                    "processes" => 320.0 + if burst { 6.0 * noise } else { 0.0 },
                    "space.available" => {
                        if second == 0 {
                            2e8
                        } else {
                            *held - if burst { 400.0 * noise } else { 0.0 }
                        }
                    }
                    "inodes.free" => {
                        if second == 0 {
                            3e7
                        } else {
                            *held - if burst { noise } else { 0.0 }
                        }
                    }
                    "disk.await" => {
                        if burst {
                            200.0 + 3000.0 * noise * load
                        } else {
                            0.0
                        }
                    }
                    "disk.read" => {
                        if burst && noise > 0.7 {
                            40_000.0 * noise * load
                        } else {
                            0.0
                        }
                    }
                    "disk.write" => {
                        if burst {
                            8_000.0 * noise
                        } else {
                            0.0
                        }
                    }
                    "disk.requests" => {
                        if burst {
                            200.0 * noise
                        } else {
                            0.0
                        }
                    }
                    "network.received" | "network.sent" => {
                        if burst {
                            200_000.0 * noise * noise
                        } else {
                            600.0 * noise
                        }
                    }
                    "network.up" => 1.0,
                    "temperature" if second.is_multiple_of(2) => {
                        *held * 0.97 + 0.03 * (400.0 + 350.0 * load + 60.0 * noise)
                    }
                    "wifi.signal" => -55.0 + (4.0 * noise).floor(),
                    "battery.health" => 900.0,
                    _ => *held,
                };
                #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
                let value = *held as i64;
                (key.clone(), value)
            };
            series.iter_mut().map(next).collect()
        }
    }
}
