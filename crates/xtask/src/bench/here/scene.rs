//! A session with both people in it, as the benches need it.

use std::time::Duration;

use testkit::{
    attach::Technician,
    delay_link::{Conditions, DelayLink},
    hostile::{
        agent::AgentPeer,
        session::{PeerSession, introduction},
        technician::TechnicianPeer,
    },
    relay::RelayProcess,
    running::Running,
    share::{ShareOptions, ShareProcess},
};
use transport::{
    node::{CarrierChoice, NodeOptions},
    sealed::Sealed,
    streams::Priority,
};
use wire::{link::RelayLink, session::Ability};

/// The limits that an address has on an ordinary relay would slow a bench down: all its people come from one.
const OPEN_RELAY: &str = "\
    allocate_every_millis = 0\nattach_every_millis = 0\nfailed_attach_every_millis = 0\nmessage_every_millis = 0\n\
    max_connections = 100000\nmax_connections_per_address = 100000\nmax_channel_ends_per_address = 10000\n\
    max_tcp_per_address = 10000\nleg_megabits_per_sec = 100000\nmax_locators = 100000\nlocator_rest_secs = 0";

/// A relay without limits for its only address.
pub(super) async fn relay() -> anyhow::Result<RelayProcess> {
    RelayProcess::start_with(OPEN_RELAY).await
}

/// Both ends of a live session.
pub(super) struct Scene {
    pub(super) share: ShareProcess,
    pub(super) technician: Technician,
    pub(super) attached: Running,
}

impl Scene {
    /// Starts both and waits until diagnostics arrive. The person says yes as soon as they can.
    pub(super) async fn start(agents_relay: &RelayLink, technicians_relay: &RelayLink) -> anyhow::Result<Self> {
        // What is measured is a session by the relay, behind the delay that a bench puts there.
        let share = ShareProcess::start_with(agents_relay, &ShareOptions::behind_the_relay())?;
        let code = share.code().await?;
        let technician = Technician::new(technicians_relay)?;
        let attached = technician.attach(&code)?;
        share.allow().await?;
        technician.wait_live(&attached).await?;
        Ok(Self { share, technician, attached })
    }
}

/// A sealed session between two peers that do only what a bench says, with the relay under it.
pub(super) struct Bare {
    pub(super) agent: AgentPeer,
    pub(super) technician: TechnicianPeer,
    pub(super) at_agent: PeerSession,
    pub(super) at_technician: PeerSession,
    pub(super) relay: RelayProcess,
}

impl Bare {
    /// Connects and pairs them.
    pub(super) async fn start() -> anyhow::Result<Self> {
        Self::start_by([CarrierChoice::default(); 2]).await
    }

    /// As [`Bare::start`], the agent by the first of these and the technician by the second.
    pub(super) async fn start_by(carriers: [CarrierChoice; 2]) -> anyhow::Result<Self> {
        let relay = relay().await?;
        let [for_agent, for_technician] = carriers.map(|carrier| NodeOptions { carrier, ..NodeOptions::default() });
        let mut agent = AgentPeer::connect_with(relay.link(), for_agent).await?;
        let code = agent.code().await?;
        let mut technician = TechnicianPeer::connect_with(relay.link(), for_technician).await?;
        let hello = introduction("Ana", &[Ability::DiagBasic], "to measure");
        let (at_agent, at_technician) = tokio::join!(agent.pair(&code), technician.pair(&code, &hello));
        let ((at_agent, _), at_technician) = (at_agent??, at_technician?.expect_paired());
        Ok(Self { agent, technician, at_agent, at_technician, relay })
    }
}

/// Brings `content` from the agent's end of a session to the technician's, on one stream.
pub(super) async fn transfer([agent, technician]: [&Sealed; 2], content: &[u8]) -> anyhow::Result<()> {
    let send = async {
        let mut stream = agent.open_uni(Priority::Bulk).await?;
        stream.write_all(content).await?;
        stream.finish().await?;
        anyhow::Ok(())
    };
    let receive = async {
        let mut stream = technician.accept_uni().await?;
        let mut received = 0;
        while let Some(bytes) = stream.read(64 * 1024).await? {
            received += bytes.len();
        }
        anyhow::Ok(received)
    };
    let ((), received) = tokio::try_join!(send, receive)?;
    anyhow::ensure!(received == content.len(), "{received} bytes of {} arrived", content.len());
    Ok(())
}

/// A link in front of `relay`, and the relay's link by way of it.
pub(super) async fn behind(relay: &RelayProcess, one_way: Duration) -> anyhow::Result<(DelayLink, RelayLink)> {
    let wire = DelayLink::start(relay.address(), Conditions::delay(one_way)).await?;
    let link = relay.link_by_way_of(wire.address())?;
    Ok((wire, link))
}

/// In milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
