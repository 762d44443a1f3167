//! What pipes over TCP cost a relay beside UDP: memory for each agent that waits, and what a session's bulk takes by one pipe and by two.

use std::time::Duration;

use anyhow::Context as _;
use testkit::tree::Usage;
use tokio::time::{Instant, sleep};
use transport::node::CarrierChoice;

use super::{
    crowd,
    figures::Figure,
    idle::resident_kib,
    scene::{self, Bare},
};

const AGENTS: usize = 1000;
const SETTLE: Duration = Duration::from_secs(5);

/// Bytes of one transfer: the processor's clock has ticks of 10 ms.
const BYTES: usize = 128 << 20;

/// The first of these warms up and is not counted.
const ROUNDS: usize = 6;

/// What the agent and the technician go by.
const WAYS: [(&str, [CarrierChoice; 2]); 3] = [
    ("UDP on both sides", [CarrierChoice::Udp, CarrierChoice::Udp]),
    ("a pipe at the agent", [CarrierChoice::Tcp, CarrierChoice::Udp]),
    ("pipes on both sides", [CarrierChoice::Tcp, CarrierChoice::Tcp]),
];

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Box::pin(memory()).await?;
    figures.extend(Box::pin(bulk()).await?);
    Ok(figures)
}

async fn memory() -> anyhow::Result<Vec<Figure>> {
    crowd::many_sockets()?;
    let mut figures = Vec::new();
    for (name, carrier) in [("UDP", CarrierChoice::Udp), ("TCP", CarrierChoice::Tcp)] {
        let mut each = Vec::new();
        for _ in 0..3 {
            let relay = scene::relay().await?;
            // What is needed once, for whoever comes first, is not theirs.
            let _first = crowd::connect_by(carrier, relay.link(), 10).await?;
            sleep(SETTLE).await;
            let before = resident_kib(relay.pid())?;
            let agents = crowd::connect_by(carrier, relay.link(), AGENTS).await?;
            sleep(SETTLE).await;
            each.push((resident_kib(relay.pid())? - before) / agents.len() as f64);
        }
        figures.push(Figure::median(format!("resident memory for each of {AGENTS} agents by {name}"), "KiB", &each)?);
    }
    Ok(figures)
}

/// By turns, so that all ways meet the same machine.
async fn bulk() -> anyhow::Result<Vec<Figure>> {
    let content = vec![0x5a; BYTES];
    let mut sessions = Vec::new();
    for (name, carriers) in WAYS {
        sessions.push((name, Bare::start_by(carriers).await?, Vec::new(), Vec::new()));
    }
    for round in 0..ROUNDS {
        for (_, bare, rates, costs) in &mut sessions {
            let used = || anyhow::Ok(Usage::of(bare.relay.pid()).context("the relay ended")?.processor);
            let (before, started) = (used()?, Instant::now());
            scene::transfer([&bare.at_agent.sealed, &bare.at_technician.sealed], &content).await?;
            if round > 0 {
                rates.push(8.0 * BYTES as f64 / 1e6 / started.elapsed().as_secs_f64());
                costs.push((used()? - before).as_secs_f64() / (BYTES as f64 / 1e9));
            }
        }
    }
    let mut figures = Vec::new();
    for (name, _, rates, costs) in &sessions {
        figures.push(Figure::median(format!("bulk by the relay, {name}"), "Mbit/s", rates)?);
        figures.push(Figure::median(format!("the relay's processor for it, {name}"), "s/GB", costs)?);
    }
    Ok(figures)
}
