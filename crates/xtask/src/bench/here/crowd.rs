//! Thousands of agents in this process, each with a socket of its own.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testkit::hostile::agent::AgentPeer;
use tokio::task::JoinSet;
use transport::node::{CarrierChoice, NodeOptions};
use wire::link::RelayLink;

/// Handshakes under way at once; with more the relay asks for further round trips.
const AT_ONCE: usize = 32;

/// Lets this process have as many sockets as the system allows.
pub(super) fn many_sockets() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// Agents that are connected, have a locator and wait.
pub(super) async fn connect(link: &RelayLink, count: usize) -> anyhow::Result<Vec<AgentPeer>> {
    connect_by(CarrierChoice::default(), link, count).await
}

/// As [`connect`], all by one carrier.
pub(super) async fn connect_by(
    carrier: CarrierChoice,
    link: &RelayLink,
    count: usize,
) -> anyhow::Result<Vec<AgentPeer>> {
    let mut agents = Vec::with_capacity(count);
    let mut connecting = JoinSet::new();
    for started in 0..count {
        if started >= AT_ONCE {
            agents.push(connecting.join_next().await.context("some are connecting")???);
        }
        let link = link.clone();
        connecting.spawn(async move {
            let options = NodeOptions { carrier, ..NodeOptions::default() };
            let mut agent = AgentPeer::connect_with(&link, options).await?;
            agent.allocate().await?;
            anyhow::Ok(agent)
        });
    }
    while let Some(agent) = connecting.join_next().await {
        agents.push(agent??);
    }
    Ok(agents)
}
