//! Memory of the relay for each agent that is connected, shows a code and waits.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::{hostile::agent::AgentPeer, tree::Usage};
use tokio::{task::JoinSet, time::sleep};

use super::{figures::Figure, scene};

const AGENTS: usize = 2000;

/// Handshakes under way at once; with more the relay asks for further round trips.
const AT_ONCE: usize = 32;

const SETTLE: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    // Each agent has a socket of its own.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let (mut each, mut before) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let relay = scene::relay().await?;
        sleep(SETTLE).await;
        let idle = resident_kib(relay.pid())?;
        let agents = connect_all(relay.link()).await?;
        sleep(SETTLE).await;
        each.push((resident_kib(relay.pid())? - idle) / agents.len() as f64);
        before.push(idle);
    }
    Ok(vec![
        Figure::median(format!("resident memory for each of {AGENTS} agents"), "KiB", &each)?,
        Figure::median("resident memory before the first", "KiB", &before)?,
    ])
}

async fn connect_all(link: &wire::link::RelayLink) -> anyhow::Result<Vec<AgentPeer>> {
    let mut agents = Vec::with_capacity(AGENTS);
    let mut connecting = JoinSet::new();
    for started in 0..AGENTS {
        if started >= AT_ONCE {
            agents.push(connecting.join_next().await.context("some are connecting")???);
        }
        let link = link.clone();
        connecting.spawn(async move {
            let mut agent = AgentPeer::connect(&link).await?;
            agent.allocate().await?;
            anyhow::Ok(agent)
        });
    }
    while let Some(agent) = connecting.join_next().await {
        agents.push(agent??);
    }
    Ok(agents)
}

fn resident_kib(pid: u32) -> anyhow::Result<f64> {
    Ok(Usage::of(pid).context("the relay ended")?.resident_bytes as f64 / 1024.0)
}
