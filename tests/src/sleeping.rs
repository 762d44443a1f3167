//! Agents that sleep behind translators: whoever asks for one has it, whatever happened to the network and the relay meanwhile.
//!
//! `assent-share` waits with its person and never sleeps. Who sleeps here is the transport that a managed agent is built on, on a machine of the
//! lab, with the real relay. As in the lab's other stories, without root each says loudly that it was skipped.

use std::{fs, sync::Arc, time::Duration};

use anyhow::Context as _;
use rand_core::OsRng;
use testkit::{
    PATIENCE,
    delay_link::{Conditions, DelayLink},
    hostile::{agent::AgentPeer, session::introduction, technician::TechnicianPeer},
    lab::{Access, Lab, Nat, Posted, Side},
    programs::Program,
    relay::{Place, RelayProcess},
};
use tokio::time::{interval, timeout};
use transport::node::{CarrierChoice, NodeOptions};
use trust::{code::SessionCode, keys::SigningKey};
use wire::{
    link::RelayLink,
    session::{Ability, ToAgent, ToTechnician},
};

/// With nothing to do for so long it sleeps.
const IDLE: Duration = Duration::from_millis(500);

/// An agent beats every 25 s, give or take a tenth, and may have to say it again.
const BEAT: Duration = Duration::from_secs(60);

/// A relay keeps who sleeps once a minute.
const KEPT: Duration = Duration::from_secs(90);

/// Bytes of the table's head and of each agent in it.
const TABLE_BYTES: [usize; 2] = [16, 23];

/// Agents of one machine that sleep while the relay is killed.
const FLEET: usize = 6;

const MOVED: &str = "beats_outcome_total{outcome=\"moved\"}";
const WANTED: &str = "sleepers_awake_total{cause=\"wanted\"}";
const ITSELF: &str = "sleepers_awake_total{cause=\"itself\"}";

/// A relay, and a network in front of it that agents sleep behind.
struct Town {
    relay: RelayProcess,
    lab: Lab,
}

impl Town {
    /// `None` where there can be no lab.
    async fn start(agents: Nat) -> anyhow::Result<Option<Self>> {
        let access = Access { v4: Some(agents), ..Access::HOME };
        let Some(lab) = Lab::start(access, Access::HOME)? else { return Ok(None) };
        let place = Place { host: lab.relay(), ip: Lab::RELAY_V4.into(), port: 0 };
        let relay = RelayProcess::start_at(place, Program::Relay.path()?, "").await?;
        Ok(Some(Self { relay, lab }))
    }

    /// An agent that sleeps when it has nothing to do.
    fn agent(&self) -> anyhow::Result<Posted<AgentPeer>> {
        let link = self.relay.link().clone();
        self.lab.post_at(Side::Agent, async move || AgentPeer::connect_with(&link, sleepy()).await)
    }

    /// An agent that has a code and sleeps, and whose first beat was heard.
    async fn asleep(&self) -> anyhow::Result<(Posted<AgentPeer>, SessionCode)> {
        let heard = self.relay.metric("beats_outcome_total{outcome=\"heard\"}").await?;
        let mut agent = self.agent()?;
        let code = agent.code().await?;
        agent.falls_asleep().await?;
        self.relay.metric_becomes("beats_outcome_total{outcome=\"heard\"}", heard + 1, PATIENCE).await?;
        Ok((agent, code))
    }

    /// A technician asks for a sleeping agent, both prove the code to each other, and each hears the other.
    async fn wakes(&self, agent: &mut AgentPeer, code: &SessionCode) -> anyhow::Result<()> {
        let woken = self.relay.metric(WANTED).await?;
        let link: RelayLink = self.relay.link().clone();
        let mut technician = self.lab.post_at(Side::Technician, async move || TechnicianPeer::connect(&link).await)?;
        let hello = introduction("Ana", &[Ability::DiagBasic], "to see that it is there");
        let (at_agent, at_technician) = tokio::join!(agent.pair(code), technician.pair(code, &hello));
        let ((mut at_agent, _), mut at_technician) = (at_agent??, at_technician?.expect_paired());
        at_technician.sender.send(&ToAgent::Unsubscribe).await?;
        let asked = timeout(PATIENCE, at_agent.receiver.recv::<ToAgent>()).await??;
        assert!(matches!(asked, Some(ToAgent::Unsubscribe)), "{asked:?}");
        at_agent.sender.send(&ToTechnician::Resumed).await?;
        let answer = timeout(PATIENCE, at_technician.receiver.recv::<ToTechnician>()).await??;
        assert!(matches!(answer, Some(ToTechnician::Resumed)), "{answer:?}");
        assert_eq!(self.relay.metric(WANTED).await?, woken + 1, "it slept until it was asked for");
        Ok(())
    }
}

/// An agent that sleeps when it has nothing to do.
fn sleepy() -> NodeOptions {
    NodeOptions {
        // Who came by TCP because the machine was busy would not sleep.
        carrier: CarrierChoice::Udp,
        identity: Some(Arc::new(SigningKey::generate(&mut OsRng))),
        sleep_after: Some(IDLE),
        ..NodeOptions::default()
    }
}

/// An agent sleeps behind such a translator, something happens, and a technician asks for it.
async fn woken_although(nat: Nat, what: impl AsyncFnOnce(&Town) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Some(town) = Town::start(nat).await? else { return Ok(()) };
    let (mut agent, code) = town.asleep().await?;
    assert_eq!(town.relay.metric("connections").await?, 0);
    what(&town).await?;
    town.wakes(&mut agent, &code).await?;
    assert_eq!(town.relay.metric(ITSELF).await?, 0, "it did not have to connect for that");
    Ok(())
}

/// The relay learns by itself where the agent is after what happens to the network.
async fn found_again_although(nat: Nat, what: impl FnOnce(&Lab) -> anyhow::Result<()>) -> anyhow::Result<()> {
    woken_although(nat, async |town| {
        what(&town.lab)?;
        assert_eq!(town.relay.metric(MOVED).await?, 0);
        town.relay.metric_becomes(MOVED, 1, BEAT).await
    })
    .await
}

#[tokio::test]
async fn what_the_relay_says_while_it_is_asked_for_a_bed_keeps_nobody_awake() -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    // There and back takes longer than the agent waits for something to do: the locator comes when it has asked to sleep already.
    let line = DelayLink::start(relay.address(), Conditions::delay(IDLE)).await?;
    let mut agent = AgentPeer::connect_with(&relay.link_by_way_of(line.address())?, sleepy()).await?;
    agent.allocate().await?;
    agent.falls_asleep().await
}

#[tokio::test]
async fn behind_a_symmetric_translator_it_is_woken() -> anyhow::Result<()> {
    woken_although(Nat::Symmetric, async |_| Ok(())).await
}

#[tokio::test]
async fn behind_a_restricted_translator_it_is_woken() -> anyhow::Result<()> {
    woken_although(Nat::Restricted, async |_| Ok(())).await
}

#[tokio::test]
async fn although_its_router_has_given_it_another_port() -> anyhow::Result<()> {
    found_again_although(Nat::Symmetric, |lab| lab.forget_translations(Side::Agent)).await
}

#[tokio::test]
async fn although_its_provider_has_given_it_another_address() -> anyhow::Result<()> {
    found_again_although(Nat::Restricted, |lab| lab.change_wan_address(Side::Agent)).await
}

#[tokio::test]
async fn although_its_machine_has_another_address() -> anyhow::Result<()> {
    found_again_although(Nat::Symmetric, |lab| lab.change_host_address(Side::Agent)).await
}

#[tokio::test]
async fn a_fleet_sleeps_on_although_the_relay_is_killed() -> anyhow::Result<()> {
    let Some(mut town) = Town::start(Nat::Symmetric).await? else { return Ok(()) };
    let mut fleet = (0..FLEET).map(|_| town.agent()).collect::<Result<Vec<_>, _>>()?;
    for agent in &mut fleet {
        agent.falls_asleep().await?;
    }
    let table = town.relay.state_dir().join("sleep-table");
    let kept = async {
        let mut looks = interval(Duration::from_millis(100));
        let whole = TABLE_BYTES[0] + FLEET * TABLE_BYTES[1];
        while fs::read(&table).map_or(0, |bytes| bytes.len()) < whole {
            looks.tick().await;
        }
    };
    timeout(KEPT, kept).await.context("the relay does not keep who sleeps")?;

    town.relay.kill().await?;
    town.relay.restart().await?;
    let all = u64::try_from(FLEET)?;
    assert_eq!(town.relay.metric("sleepers_recovered_total").await?, all);
    // Each beats, is asked whether it is there, and says so.
    town.relay.metric_becomes(MOVED, all, BEAT).await?;
    assert_eq!(town.relay.metric("connections_opened_total").await?, 0, "nobody had to connect");

    // One of them wants a code, sleeps again, and is woken like any other.
    let mut agent = fleet.pop().context("there is a fleet")?;
    agent.control.wake().await;
    let code = agent.code().await?;
    agent.falls_asleep().await?;
    town.wakes(&mut agent, &code).await?;
    assert_eq!(town.relay.metric("sleepers").await?, all - 1, "the others sleep on");
    Ok(())
}
