//! Somebody looks at a code, nobody has called, and something happens to the network or the machine.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use testkit::{
    attach::Technician,
    lab::{Access, Lab, Side},
    programs::Program,
    relay::{Place, RelayProcess},
    share::{ShareOptions, ShareProcess},
};
use tokio::time::{Instant, sleep};

use crate::world::World;

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id")?;
    Ok(kill_process(pid, signal)?)
}

#[tokio::test]
async fn a_code_of_a_relay_that_died_without_a_word_is_known_not_to_work_any_more() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.share.code().await?;
    // It is there and says nothing, not even that nobody listens.
    signal(world.relay.pid(), Signal::STOP)?;
    let start = Instant::now();
    world.share.sees("does not work any more").await?;
    let took = start.elapsed();
    assert!(took <= Duration::from_secs(45), "its keep-alive would find out in up to 75 s, and it took {took:?}");
    signal(world.relay.pid(), Signal::CONT)?;
    world.share.code().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_wakes_up_asks_whether_its_code_still_works() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let before = world.share.code().await?;
    signal(world.share.pid(), Signal::STOP)?;
    world.relay.kill().await?;
    world.relay.restart().await?;
    // time itself is tested: who stands still for less has not slept
    sleep(Duration::from_secs(5)).await;
    signal(world.share.pid(), Signal::CONT)?;
    let woken = Instant::now();
    world.share.code_after(&before).await?;
    let took = woken.elapsed();
    assert!(took <= Duration::from_secs(15), "its keep-alive alone would find out in up to 28 s, and it took {took:?}");
    Ok(())
}

#[tokio::test]
async fn a_code_leads_to_a_machine_that_has_just_got_another_address() -> anyhow::Result<()> {
    let Some(lab) = Lab::start(Access::HOME, Access::HOME)? else { return Ok(()) };
    let place = Place { host: lab.relay(), ip: Lab::RELAY_V4.into(), port: 0 };
    let relay = RelayProcess::start_at(place, Program::Relay.path()?, "").await?;
    let share = ShareProcess::start_with(
        relay.link(),
        &ShareOptions { host: lab.host(Side::Agent), ..ShareOptions::behind_the_relay() },
    )?;
    let technician = Technician::new(relay.link())?.at(lab.host(Side::Technician));
    let world = World { relay, share, technician };
    let code = world.share.code().await?;

    lab.change_host_address(Side::Agent)?;
    let start = Instant::now();
    let attached = world.technician.attach(&code)?;
    world.share.asked().await?;
    let took = start.elapsed();
    assert!(
        took <= Duration::from_secs(15),
        "its keep-alive would say in up to 28 s where it is now, and it took {took:?}"
    );
    world.share.allow().await?;
    world.technician.wait_live(&attached).await?;

    lab.change_host_address(Side::Technician)?;
    let told = |status: &serde_json::Value| status["activity"].to_string().contains("network has changed");
    world.technician.wait_status(&attached, "that the network has changed", told).await?;
    Ok(())
}
