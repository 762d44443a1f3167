//! One machine falls asleep and the other does not: the session goes on when it wakes up, and ends when it sleeps for too long.
//!
//! A program that is stopped by a signal stands for a machine that is suspended. Its timers, sockets and threads stand still alike; what differs is
//! that its kernel keeps packets for it, and that the clocks of the machine go on.

use std::{fs, io::Write as _, os::unix::fs::DirBuilderExt as _, time::Duration};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::{attach::Technician, running::Running, share::ShareOptions};
use tokio::time::{sleep, timeout};

use crate::world::{LONG, World};

/// What a session once survived, and a little more.
const LONG_SLEEP: Duration = Duration::from_secs(32);

/// Settings with the shortest patience that there is.
const IMPATIENT: &str = "reconnect_within_secs = 30";

impl World {
    fn signal_share(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.share.pid())?).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    async fn is(&self, attached: &Running, phase: &str) -> anyhow::Result<Value> {
        let fits = |status: &Value| status["phase"]["name"] == phase;
        self.technician.wait_status(attached, &format!("a session that is {phase}"), fits).await
    }

    /// Waits until the session goes on, and uses it.
    async fn goes_on(&self, attached: &Running) -> anyhow::Result<()> {
        let back = |status: &Value| status["phase"]["name"] == "live" && status["path"]["reconnects"] == 1;
        self.technician.wait_status(attached, "that the session goes on", back).await?;
        self.works().await
    }

    /// Waits until the technician's program knows that the session goes on.
    async fn is_live(&self) -> anyhow::Result<()> {
        let asking = async {
            while self.json(&["status", "--json"]).await?["phase"]["name"] != "live" {}
            anyhow::Ok(())
        };
        timeout(LONG, asking).await.context("the technician's side does not go on")?
    }

    async fn works(&self) -> anyhow::Result<()> {
        let done = self.run_to_end(&["--reason", "to see it", "--", "echo", "still here"]).await?;
        assert_eq!((done.code(), done.stdout.trim()), (0, "still here"), "{}", done.stderr);
        Ok(())
    }
}

/// A technician whose program has these settings.
pub(crate) fn with_settings(technician: Technician, settings: &str) -> anyhow::Result<Technician> {
    let folder = technician.home().config().join("assent");
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
    fs::File::create(folder.join("config.toml"))?.write_all(settings.as_bytes())?;
    Ok(technician)
}

#[tokio::test]
async fn an_agent_that_stands_still_for_half_a_minute_goes_on_by_the_relay() -> anyhow::Result<()> {
    an_agent_that_stands_still_goes_on(&ShareOptions::behind_the_relay()).await
}

#[tokio::test]
async fn an_agent_that_stands_still_for_half_a_minute_goes_on_directly() -> anyhow::Result<()> {
    an_agent_that_stands_still_goes_on(&ShareOptions::default()).await
}

async fn an_agent_that_stands_still_goes_on(options: &ShareOptions) -> anyhow::Result<()> {
    let world = World::start_with(options).await?;
    let attached = world.attach().await?;
    world.signal_share(Signal::STOP)?;
    let away = world.is(&attached, "reconnecting").await?;
    assert!(away["phase"]["detail"].as_str().is_some_and(|why| why.contains("does not answer")), "{away}");

    let refused = world.technician.run(["run", "--", "/bin/echo", "late"]).await?;
    assert_eq!(refused.code(), 5, "{}{}", refused.stdout, refused.stderr);
    // time itself is tested: a session once survived less
    sleep(LONG_SLEEP).await;

    world.signal_share(Signal::CONT)?;
    world.goes_on(&attached).await
}

#[tokio::test]
async fn a_technician_that_stands_still_for_half_a_minute_goes_on_where_it_was() -> anyhow::Result<()> {
    let patient =
        ShareOptions { settings: "reconnect_within_secs = 120".to_owned(), ..ShareOptions::behind_the_relay() };
    let world = World::start_with(&patient).await?;
    let mut attached = world.attach().await?;
    attached.signal(Signal::STOP)?;
    world.share.sees("the technician's computer does not answer").await?;
    // Of two minutes, so after half of one.
    world.share.sees("the session ends within 8").await?;

    attached.signal(Signal::CONT)?;
    world.share.sees("Connected").await?;
    // What its kernel has kept for it may end the silence before anybody looks, so it need not have noticed any.
    world.is_live().await?;
    world.works().await
}

#[tokio::test]
async fn who_sleeps_for_too_long_has_no_session_any_more_and_both_are_told_why() -> anyhow::Result<()> {
    let options = ShareOptions { settings: IMPATIENT.to_owned(), ..ShareOptions::behind_the_relay() };
    let mut world = World::start_with(&options).await?;
    world.technician = with_settings(world.technician, IMPATIENT)?;
    let mut attached = world.attach().await?;
    world.signal_share(Signal::STOP)?;
    let end = attached.wait_exit(LONG).await?;
    let told = format!("{}{}", end.stdout, end.stderr);
    assert!(end.code() == 5 && told.contains("has not answered for 30 s"), "{told}");

    // It finds out by itself that it slept for longer than it waits, whatever its kernel has kept for it.
    world.signal_share(Signal::CONT)?;
    assert_eq!(world.share_exit().await?, Some(0));
    world.share.sees("did not come back. Nothing of the session is running any more").await?;
    Ok(())
}
