//! Memory of the relay for each agent that is connected, shows a code and waits: fresh, and after it has said something forty times, as
//! keep-alives do in a quarter of an hour.

use std::time::Duration;

use anyhow::Context as _;
use testkit::{hostile::agent::AgentPeer, tree::Usage};
use tokio::time::sleep;
use transport::node::ControlEvent;
use wire::control::{FromRelay, ToRelay};

use super::{crowd, figures::Figure, scene};

const AGENTS: usize = 5000;

/// Messages of each agent, each of which is answered.
const WORDS: usize = 40;

const SETTLE: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    crowd::many_sockets()?;
    let (mut fresh, mut aged, mut before) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let relay = scene::relay().await?;
        sleep(SETTLE).await;
        let idle = resident_kib(relay.pid())?;
        let mut agents = crowd::connect(relay.link(), AGENTS).await?;
        sleep(SETTLE).await;
        fresh.push((resident_kib(relay.pid())? - idle) / agents.len() as f64);
        for _ in 0..WORDS {
            for agent in &mut agents {
                agent.control.send(ToRelay::AllocateLocator).await?;
            }
            for agent in &mut agents {
                answered(agent).await?;
            }
        }
        sleep(SETTLE).await;
        aged.push((resident_kib(relay.pid())? - idle) / agents.len() as f64);
        before.push(idle);
    }
    Ok(vec![
        Figure::median(format!("resident memory for each of {AGENTS} agents, fresh"), "KiB", &fresh)?,
        Figure::median(format!("the same after {WORDS} messages of each"), "KiB", &aged)?.with_bar("≤ 20"),
        Figure::median("resident memory before the first", "KiB", &before)?,
    ])
}

async fn answered(agent: &mut AgentPeer) -> anyhow::Result<()> {
    loop {
        let event = agent.control.recv().await.context("the node was closed")?;
        if matches!(event, ControlEvent::Message(FromRelay::LocatorAllocated { .. })) {
            return Ok(());
        }
        anyhow::ensure!(!matches!(event, ControlEvent::Down { .. }), "the relay was lost: {event:?}");
    }
}

pub(super) fn resident_kib(pid: u32) -> anyhow::Result<f64> {
    Ok(Usage::of(pid).context("the relay ended")?.resident_bytes as f64 / 1024.0)
}
