//! The two machines connect directly, after a yes and only if both people want that.

use anyhow::Context as _;
use serde_json::Value;
use testkit::{PATIENCE, running::Running};

use crate::world::{Log, World};

fn kind(status: &Value) -> Option<&str> {
    status["path"]["kind"].as_str()
}

async fn until_direct(world: &World, attached: &Running) -> anyhow::Result<Value> {
    world.technician.wait_status(attached, "a direct path", |status| kind(status) == Some("direct")).await
}

/// Waits until the reason for the path has these words in it; the path is relayed then.
async fn until_relayed_because(world: &World, attached: &Running, why: &str) -> anyhow::Result<()> {
    let fits = |status: &Value| status["path"]["why"].as_str().is_some_and(|text| text.contains(why));
    let status = world.technician.wait_status(attached, why, fits).await?;
    assert_eq!(kind(&status), Some("relayed"), "{status}");
    Ok(())
}

fn log_of(world: &World) -> anyhow::Result<(Log, String)> {
    let path = world.share.logs()?.pop().context("there is a log")?;
    Ok((Log::read(&path)?, std::fs::read_to_string(path)?))
}

#[tokio::test]
async fn after_the_yes_a_session_goes_directly_and_the_relay_forwards_next_to_nothing() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let attached = world.technician.attach(&world.share.code().await?)?;
    world.share.asked().await?;
    world.share.sees("each sees the other's network address").await?;
    world.share.allow().await?;
    let status = until_direct(&world, &attached).await?;
    assert!(status["path"]["why"].as_str().is_some_and(|why| why.contains("the relay")), "{status}");
    world.technician.wait_live(&attached).await?;
    world.share.sees("Connected directly").await?;

    let before = world.relay.metric("forwarded_bytes_total").await?;
    let done = world.run_to_end(&["--reason", "to see it", "--", "head", "-c", "1000000", "/dev/zero"]).await?;
    assert_eq!((done.code(), done.stdout.len()), (0, 1_000_000), "{}", done.stderr);
    let forwarded = world.relay.metric("forwarded_bytes_total").await? - before;
    assert!(forwarded < 50_000, "the relay forwarded {forwarded} bytes of a session that goes directly");

    world.technician.run(["end"]).await?;
    world.share_exit().await?;
    let (log, text) = log_of(&world)?;
    assert_eq!((log.all("direct_allowed").count(), log.all("direct_used").count()), (1, 1));
    assert!(!text.contains("127.0.0.1") && !text.contains("::1"), "no address is in the log: {text}");
    Ok(())
}

#[tokio::test]
async fn an_end_user_who_does_not_want_it_stays_behind_the_relay() -> anyhow::Result<()> {
    let mut world = World::start_relayed().await?;
    let attached = world.technician.attach(&world.share.code().await?)?;
    world.share.asked().await?;
    world.share.sees("your network address is not shown to the technician").await?;
    world.share.allow().await?;
    world.technician.wait_live(&attached).await?;
    until_relayed_because(&world, &attached, "the end user turned direct connections off").await?;

    world.technician.run(["end"]).await?;
    world.share_exit().await?;
    assert_eq!(log_of(&world)?.0.all("direct_allowed").count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_technician_who_does_not_want_it_stays_behind_the_relay() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let attached = world.technician.start(["attach", "--json", "--no-direct", &world.share.code().await?])?;
    world.share.allow().await?;
    world.technician.wait_live(&attached).await?;
    until_relayed_because(&world, &attached, "you turned direct connections off").await?;
    let text = world.technician.run(["status"]).await?;
    assert!(text.stdout.contains("relayed") && text.stdout.contains("you turned direct"), "{}", text.stdout);

    world.technician.run(["end"]).await?;
    world.share_exit().await?;
    assert_eq!(log_of(&world)?.0.all("direct_allowed").count(), 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_goes_directly_does_not_need_the_relay() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    until_direct(&world, &attached).await?;
    world.relay.kill().await?;
    let readings = world.technician.run(["diag", "--json", "--follow", "3"]).await?;
    assert_eq!((readings.code(), readings.stdout.lines().count()), (0, 3), "{}", readings.stderr);
    let done = world.run_to_end(&["--reason", "to see it", "--", "echo", "still here"]).await?;
    assert_eq!((done.code(), done.stdout.trim()), (0, "still here"), "{}", done.stderr);

    // Not even to say goodbye: both keep the whole record.
    let ended = world.technician.run(["end"]).await?;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    assert_eq!(world.share_exit().await?, Some(0));
    let (log, receipt) = (world.share.logs()?.remove(0), world.technician.receipts()?.remove(0));
    let (log, receipt) = (log.to_str().context("UTF-8")?, receipt.to_str().context("UTF-8")?);
    let verified = world.technician.run(["verify", log, "--against", receipt]).await?;
    assert_eq!(verified.code(), 0, "{}{}", verified.stdout, verified.stderr);
    Ok(())
}

#[tokio::test]
async fn what_is_taken_back_is_taken_back_from_the_direct_path_too() -> anyhow::Result<()> {
    let world = World::start().await?;
    let attached = world.attach().await?;
    until_direct(&world, &attached).await?;
    // By then the question has been off the screen for long enough that a key means what it says.
    world.technician.run(["diag", "--json", "--follow", "4"]).await?;
    world.share.terminal().type_text("1").await?;
    let relayed = |status: &Value| kind(status) == Some("relayed");
    let status = world.technician.wait_status(&attached, "the relay again", relayed).await?;
    assert_eq!(status["path"]["why"], "nothing is allowed at the moment", "{status}");
    Ok(())
}
