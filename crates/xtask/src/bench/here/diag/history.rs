//! What the history takes on disk, header and names included: a recording of this machine, once a second, and a made day of a hundred
//! series. The history does not write to a disk that is nearly full: `TMPDIR` names another one.

use std::{thread::sleep, time::Duration};

use diagnostics::{
    Collector, Roots, Wanted,
    history::{Figure as Series, Fold, Pattern, Place, Places, Query, Reader, SeriesKey, Store, Subject, figures_of},
};
use tempfile::TempDir;
use tokio::time::Instant;
use transport::clock;
use wire::{
    text::Label,
    time::{Moment, WallTime},
};

use crate::bench::here::figures::Figure;

const SECOND: Duration = Duration::from_secs(1);

/// How long this machine is recorded.
const RECORDING_SECS: u32 = 120;

const DAY_SECS: u32 = 86_400;

/// A whole day of files, as it begins and ends at an hour.
const DAY_BEGINS: u64 = 1_795_305_600;

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let (recorded, figures) = (this_machine()?, made_day()?);
    Ok([recorded].into_iter().chain(figures).collect())
}

fn this_machine() -> anyhow::Result<Figure> {
    let folder = tempfile::tempdir()?;
    let mut store = Store::open(&folder.path().join("history"), SECOND)?;
    let places = Places::read(&Roots::default());
    let mut collector = Collector::new(Roots::default(), clock::now());
    let begun = Instant::now();
    let mut values = 0;
    for tick in 1..=RECORDING_SECS {
        sleep((SECOND * tick).saturating_sub(begun.elapsed()));
        let figures = figures_of(&collector.sample(clock::now(), Wanted::default()), &places);
        values += figures.iter().filter(|(key, _)| key.subject.as_ref().is_none_or(Subject::may_be_kept)).count();
        store.push(&figures, clock::wall_time(), clock::now());
    }
    store.flush(clock::now());
    let name = format!("history, {RECORDING_SECS} s of this machine: bytes a value");
    Figure::median(name, "B", &[kept_bytes(&store)? / values as f64])
}

fn made_day() -> anyhow::Result<Vec<Figure>> {
    let folder = TempDir::new()?;
    let path = folder.path().join("history");
    let mut store = Store::open(&path, SECOND)?;
    let mut machine = Machine::new();
    let mut values = 0;
    for second in 0..DAY_SECS {
        let figures = machine.tick(second);
        values += figures.len();
        let at = WallTime((DAY_BEGINS + u64::from(second)) * 1000);
        store.push(&figures, at, Moment::from_origin(SECOND * (second + 1)));
    }
    store.flush(Moment::from_origin(SECOND * (DAY_SECS + 1)));
    let bytes = kept_bytes(&store)?;

    let begun = Instant::now();
    let query = Query {
        from: WallTime(DAY_BEGINS * 1000),
        to: WallTime((DAY_BEGINS + u64::from(DAY_SECS)) * 1000),
        step_secs: 300,
        fold: Fold::Min,
        series: vec![Pattern::Any(Series::SpaceAvailable)],
    };
    let answer = query.run(None, Some(&Reader::open(&path)?));
    anyhow::ensure!(answer.series.iter().any(|series| series.values.iter().any(Option::is_some)), "nothing was kept");
    let asked = begun.elapsed().as_secs_f64() * 1e3;
    let day = format!("history, made day of {} series at 1 Hz", machine.series.len());
    Ok(vec![
        Figure::median(format!("{day}: bytes a value"), "B", &[bytes / values as f64])?.with_bar("≤ 0.7"),
        Figure::median(format!("{day}: on disk"), "MB", &[bytes / 1e6])?.with_bar("≤ 6"),
        Figure::median("the lows of one figure in it, by five minutes", "ms", &[asked])?,
    ])
}

/// With every sample, and with the minutes that are kept for longer.
fn kept_bytes(store: &Store) -> anyhow::Result<f64> {
    let status = store.status();
    anyhow::ensure!(status.blocks_lost == 0, "{} blocks were not written: {:?}", status.blocks_lost, status.state);
    Ok(status.bytes as f64)
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
        for figure in Series::ALL {
            let of =
                |subjects: &[Subject]| subjects.iter().map(|subject| SeriesKey::of(*figure, subject.clone())).collect();
            let figures: Vec<SeriesKey> = match figure.name().split_once('.').map_or(figure.name(), |(kind, _)| kind) {
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
