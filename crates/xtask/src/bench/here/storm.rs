//! What a handshake costs the relay, and how soon thousands of agents are back after it was killed and came back.

use std::time::Duration;

use anyhow::Context as _;
use testkit::{hostile::agent::AgentPeer, tree::Usage};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use transport::node::ControlEvent;
use wire::control::{FromRelay, ToRelay};

use super::{crowd, figures::Figure, scene};

const HANDSHAKES: usize = 2000;
const AGENTS: usize = 5000;
const ROUNDS: usize = 3;

/// Whoever is not back by then is lost.
const LOST_AFTER: Duration = Duration::from_secs(120);

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    crowd::many_sockets()?;
    let mut each_second = Vec::new();
    for _ in 0..ROUNDS {
        each_second.push(handshakes_a_core_second().await?);
    }
    let (mut all_back, mut lost) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (last, missing) = come_back().await?;
        all_back.push(last.as_secs_f64());
        lost.push(missing as f64);
    }
    Ok(vec![
        Figure::median("handshakes with a first message, for a second of one core", "1/s", &each_second)?,
        Figure::median(format!("kill of the relay to the last of {AGENTS} agents with a locator"), "s", &all_back)?
            .with_bar("≤ 30"),
        Figure::share("agents lost", "", &lost, 1.0)?.with_bar("0"),
    ])
}

async fn handshakes_a_core_second() -> anyhow::Result<f64> {
    let relay = scene::relay().await?;
    let used = || anyhow::Ok(Usage::of(relay.pid()).context("the relay ended")?.processor);
    let before = used()?;
    let agents = crowd::connect(relay.link(), HANDSHAKES).await?;
    let spent = used()? - before;
    Ok(agents.len() as f64 / spent.as_secs_f64())
}

/// How long it took until the last one was back, and how many were not.
async fn come_back() -> anyhow::Result<(Duration, usize)> {
    let mut relay = scene::relay().await?;
    let agents = crowd::connect(relay.link(), AGENTS).await?;
    let killed = Instant::now();
    relay.kill().await?;
    relay.restart().await?;
    let mut waiting = JoinSet::new();
    for agent in agents {
        waiting.spawn(async move { timeout(LOST_AFTER, back(agent)).await });
    }
    // They go on until the last one is back.
    let (mut last, mut missing, mut present) = (Duration::ZERO, 0, Vec::new());
    while let Some(back) = waiting.join_next().await {
        match back? {
            Ok(agent) => {
                present.push(agent?);
                last = killed.elapsed();
            }
            Err(_elapsed) => missing += 1,
        }
    }
    Ok((last, missing))
}

async fn back(mut agent: AgentPeer) -> anyhow::Result<AgentPeer> {
    loop {
        let event = agent.control.recv().await.context("the node was closed")?;
        if matches!(event, ControlEvent::Up) {
            // Lost again at once: the next `Up` asks again.
            let _ = agent.control.send(ToRelay::AllocateLocator).await;
        } else if matches!(event, ControlEvent::Message(FromRelay::LocatorAllocated { .. })) {
            return Ok(agent);
        }
    }
}
