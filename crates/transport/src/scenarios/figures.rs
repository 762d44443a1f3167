//! What changes of path cost, as figures: `cargo xtask bench path` tells them. In virtual time they are figures of the protocol and not
//! of the machine; keys and numbers drawn at random move them a little.

use std::{env, fmt::Write as _, fs::File, io::Write as _, time::Duration};

use testkit::virtual_link::Shape;
use tokio::time::Instant;

use super::world::{DIRECT_BITS, MS, Nodes, RELAY_BITS, direct_shape, relay_shape};
use crate::{congestion::tests::shares_beside_cubic, sealed::Carrier};

/// Names the file that the figures go to; without it fewer runs are only held against their bounds.
const FIGURES_FILE: &str = "ASSENT_FIGURES_FILE";

/// Packets lost of a thousand by the relay's path, and the seeds of each.
const LOSSES: [u16; 2] = [0, 10];
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// Between two looks at the round trip.
const LOOK: Duration = Duration::from_millis(50);

const DIRECT: (Carrier, Carrier) = (Carrier::Direct, Carrier::Direct);

/// One figure of many runs, the worst of which counts.
struct Figure {
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
    bar: Bar,
}

enum Bar {
    AtMost(f64),
    AtLeast(f64),
    Within(f64, f64),
}

impl Figure {
    fn new(name: impl Into<String>, unit: &'static str, bar: Bar, runs: Vec<f64>) -> Self {
        Self { name: name.into(), unit, runs, bar }
    }

    fn check(&self) {
        let holds = |run: &f64| match self.bar {
            Bar::AtMost(most) => *run <= most,
            Bar::AtLeast(least) => *run >= least,
            Bar::Within(least, most) => (least..=most).contains(run),
        };
        assert!(self.runs.iter().all(holds), "{}: {:?}", self.name, self.runs);
    }

    /// `name<TAB>unit<TAB>bar<TAB>value<TAB>run<TAB>run…`
    fn line(&self) -> String {
        let worst = |further: fn(f64, f64) -> f64| self.runs.iter().copied().reduce(further).unwrap_or(f64::NAN);
        let (value, bar) = match self.bar {
            Bar::AtMost(most) => (worst(f64::max), format!("≤ {most}")),
            Bar::AtLeast(least) => (worst(f64::min), format!("≥ {least}")),
            Bar::Within(least, most) => {
                let middle = f64::midpoint(least, most);
                let further =
                    self.runs.iter().copied().max_by(|a, b| (a - middle).abs().total_cmp(&(b - middle).abs()));
                (further.unwrap_or(f64::NAN), format!("{least} to {most}"))
            }
        };
        let mut line = format!("{}\t{}\t{bar}\t{value}", self.name, self.unit);
        for run in &self.runs {
            let _ = write!(line, "\t{run}");
        }
        line
    }
}

/// A session in the middle of bulk by the relay is allowed to go directly: milliseconds until both ends do, and from then until nine tenths of the
/// direct path are used.
async fn relay_to_direct(up: bool, loss: u16, seed: u64) -> (f64, f64) {
    let mut world = Nodes::over(Shape { loss, ..relay_shape() }, direct_shape(), seed).connect().await;
    let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
    world.pass(2000 * MS).await;
    world.introduce();
    let switch = world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
    let switched = Instant::now();
    world.pass(1500 * MS).await;
    let now = Instant::now();
    let full = meter.lock().unwrap().reaches(0.9 * content(up) * DIRECT_BITS as f64, switched, now);
    (millis(switch), full.map_or(f64::INFINITY, millis))
}

/// The part of a path that is content and not headers, when packets have the size that this direction uses.
fn content(up: bool) -> f64 {
    if up { 0.93 } else { 0.95 }
}

/// The direct path goes dead in the middle of bulk: milliseconds without a byte. A byte that is lost or in the wrong place fails the scenario.
async fn direct_to_relay(up: bool, seed: u64) -> f64 {
    let mut world = Nodes::over(relay_shape(), direct_shape(), seed).connect().await;
    world.introduce();
    world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
    let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
    world.pass(1500 * MS).await;
    let start = Instant::now();
    world.straight.cut();
    world.pass(2000 * MS).await;
    let gap = meter.lock().unwrap().gap(start, Instant::now());
    millis(gap)
}

/// Twelve seconds of bulk by the relay's path after three to settle: the percentage of the path that arrives as content, and the milliseconds that its
/// queue adds to nineteen of twenty looks at the round trip.
async fn lossy(loss: u16, seed: u64) -> (f64, f64) {
    let mut world = Nodes::over(Shape { loss, ..relay_shape() }, direct_shape(), seed).connect().await;
    let meter = world.bulk_down().await;
    world.pass(3000 * MS).await;
    let start = Instant::now();
    let mut queued = Vec::new();
    while start.elapsed() < 12_000 * MS {
        world.pass(LOOK).await;
        queued.push(millis(world.agent_stats().path.rtt.saturating_sub(80 * MS)));
    }
    let rate = meter.lock().unwrap().rate(start, Instant::now());
    queued.sort_by(f64::total_cmp);
    (100.0 * rate / RELAY_BITS as f64, queued[queued.len() * 95 / 100])
}

fn millis(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn changes_of_path_and_lossy_paths_stay_within_their_bounds() {
    let file = env::var_os(FIGURES_FILE);
    let seeds = if file.is_some() { &SEEDS[..] } else { &SEEDS[..1] };
    let (mut switches, mut fills, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    for (up, seed) in [false, true].into_iter().flat_map(|up| seeds.iter().map(move |seed| (up, *seed))) {
        for loss in LOSSES {
            let (switch, full) = relay_to_direct(up, loss, seed).await;
            switches.push(switch);
            fills.push(full);
        }
        gaps.push(direct_to_relay(up, seed).await);
    }
    let mut figures = vec![
        Figure::new("consent to direct at both ends, in bulk", "ms", Bar::AtMost(1000.0), switches),
        Figure::new("from there to 90 % of the direct path", "ms", Bar::AtMost(200.0), fills),
        Figure::new("direct path dead to bytes by the relay", "ms", Bar::AtMost(500.0), gaps),
    ];
    for (loss, told, least) in [(0, "no", 95.0), (1, "0.1 %", 90.0), (10, "1 %", 85.0), (50, "5 %", 60.0)] {
        let (mut goodputs, mut delays) = (Vec::new(), Vec::new());
        for seed in seeds {
            let (goodput, delay) = lossy(loss, *seed).await;
            goodputs.push(goodput);
            delays.push(delay);
        }
        let path = format!("20 Mbit/s, 80 ms, {told} loss");
        figures.push(Figure::new(format!("{path}: goodput"), "%", Bar::AtLeast(least), goodputs));
        figures.push(Figure::new(format!("{path}: queue delay, p95"), "ms", Bar::AtMost(60.0), delays));
    }
    let shares = shares_beside_cubic().map(|share| 100.0 * share).to_vec();
    figures.push(Figure::new("share beside one flow of CUBIC", "%", Bar::Within(30.0, 70.0), shares));
    if let Some(file) = file {
        let lines = figures.iter().map(|figure| figure.line() + "\n").collect::<String>();
        // The bench reads it when this has ended.
        File::create(file).unwrap().write_all(lines.as_bytes()).unwrap();
    }
    figures.iter().for_each(Figure::check);
}
