//! What a session makes of its paths: changes and losses in virtual time, and how much goes directly beside a plain QUIC connection.

use std::{fs, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep, timeout};
use transport::{
    bench::PlainPair,
    sealed::{Carrier, Sealed},
};

use super::{
    figures::Figure,
    scene::{self, Bare},
};
use crate::process::{cargo, run};

/// The scenario that writes its figures to the file that the variable names.
const SCENARIO: &str = "scenarios::figures::changes_of_path_and_lossy_paths_stay_within_their_bounds";
const FIGURES_FILE: &str = "ASSENT_FIGURES_FILE";

/// A direct path on one machine takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of one transfer, and how many are measured of each.
const BYTES: usize = 64 << 20;
const TRANSFERS: usize = 9;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = tokio::task::spawn_blocking(virtual_paths).await??;
    figures.extend(beside_plain_quic().await?);
    Ok(figures)
}

/// Lets the scenario run, in release, and reads what it wrote.
fn virtual_paths() -> anyhow::Result<Vec<Figure>> {
    let file = std::env::temp_dir().join(format!("assent-figures-{}", std::process::id()));
    let mut scenario = cargo("test --release --locked --package transport --lib -- --exact");
    scenario.arg(SCENARIO).env(FIGURES_FILE, &file);
    let ran = run(scenario);
    let written = fs::read_to_string(&file);
    let _ = fs::remove_file(&file);
    ran?;
    written.context("the scenario wrote no figures")?.lines().map(figure).collect()
}

fn figure(line: &str) -> anyhow::Result<Figure> {
    let mut fields = line.split('\t');
    let mut field = || fields.next().context("a figure has a name, a unit, a bar and a value");
    let (name, unit, bar, value) = (field()?, field()?, field()?, field()?.parse::<f64>()?);
    let runs = fields.map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    let figure = Figure::median(name, unit, &runs)?.with_bar(bar);
    Ok(Figure { value, ..figure })
}

/// Transfers by turns, so that both meet the same machine.
async fn beside_plain_quic() -> anyhow::Result<Vec<Figure>> {
    let content = vec![0x5a; BYTES];
    let plain = PlainPair::connect().await?;
    let Bare { agent, technician, at_agent, at_technician, .. } = &Bare::start().await?;
    let ours = [&at_agent.sealed, &at_technician.sealed];

    // By the relay first, then the way that a grant opens.
    let (mut relayed, mut direct, mut plainly, mut ratios) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TRANSFERS {
        relayed.push(transfer(ours, &content).await?);
    }
    let (agents_at, technicians_at) = tokio::join!(agent.node.candidates(), technician.node.candidates());
    ours.iter().for_each(|end| end.open_direct());
    at_agent.sealed.punch(&technicians_at);
    at_technician.sealed.punch(&agents_at);
    let gone = async {
        while !ours.iter().all(|end| end.stats().carrier == Carrier::Direct) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, gone).await.context("no direct path was found")?;
    transfer(ours, &content).await?;
    plain.transfer(&content).await?;
    for _ in 0..TRANSFERS {
        let own = transfer(ours, &content).await?;
        let started = Instant::now();
        plain.transfer(&content).await?;
        let plain = mbit_s(started);
        direct.push(own);
        plainly.push(plain);
        ratios.push(own / plain);
    }
    ensure!(ours.iter().all(|end| end.stats().carrier == Carrier::Direct), "the session left its direct path");
    Ok(vec![
        Figure::median("bulk directly, on loopback", "Mbit/s", &direct)?,
        Figure::median("bulk by plain QUIC with the same settings", "Mbit/s", &plainly)?,
        Figure::median("directly against plain QUIC", "x", &ratios)?.with_bar("≥ 0.9"),
        Figure::median("bulk by the relay, on loopback", "Mbit/s", &relayed)?,
    ])
}

/// From the agent to the technician: Mbit/s.
async fn transfer(ends: [&Sealed; 2], content: &[u8]) -> anyhow::Result<f64> {
    let started = Instant::now();
    scene::transfer(ends, content).await?;
    Ok(mbit_s(started))
}

fn mbit_s(since: Instant) -> f64 {
    8.0 * BYTES as f64 / 1e6 / since.elapsed().as_secs_f64()
}
