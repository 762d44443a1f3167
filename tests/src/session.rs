//! Attaching, looking, ending: what an ordinary visit is made of.

use testkit::PATIENCE;

use crate::world::World;

#[tokio::test]
async fn a_technician_attaches_looks_and_leaves_and_both_keep_the_same_record() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;

    let status = world.json(&["status", "--json"]).await?;
    assert!(status.to_string().contains("diag.basic"), "{status}");
    let reading = world.json(&["diag", "--json"]).await?;
    assert!(reading["sample"]["processes_total"].as_u64() > Some(3), "{reading}");
    assert!(reading["card"]["memory_kib"].as_u64() > Some(100_000), "{reading}");

    let ended = world.technician.run(["end"]).await?;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    assert_eq!(world.share_exit().await?, Some(0));

    let (logs, receipts) = (world.share.logs()?, world.technician.receipts()?);
    assert_eq!((logs.len(), receipts.len()), (1, 1));
    let (log, receipt) = (logs[0].to_str().unwrap(), receipts[0].to_str().unwrap());
    let verified = world.technician.run(["verify", log, "--against", receipt]).await?;
    assert_eq!(verified.code(), 0, "{}{}", verified.stdout, verified.stderr);
    Ok(())
}

#[tokio::test]
async fn a_changed_record_is_found_and_the_entry_named() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let _attached = world.attach().await?;
    world.technician.run(["end"]).await?;
    world.share_exit().await?;
    let log = world.share.logs()?.remove(0);
    let text = std::fs::read_to_string(&log)?;
    let forged = text.replacen("diag.basic", "diag.logs_", 1);
    assert_ne!(text, forged);
    let copy = world.technician.home().path().join("forged.jsonl");
    std::io::Write::write_all(&mut std::fs::File::create(&copy)?, forged.as_bytes())?;
    let verified = world.technician.run(["verify", copy.to_str().unwrap()]).await?;
    assert_eq!(verified.code(), 1);
    assert!(
        format!("{}{}", verified.stdout, verified.stderr).contains("entry 2"),
        "{}{}",
        verified.stdout,
        verified.stderr
    );
    Ok(())
}

#[tokio::test]
async fn a_person_who_says_no_ends_the_session_before_it_began() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attaching = world.technician.attach(&world.share.code().await?)?;
    world.share.deny().await?;
    assert_eq!(attaching.wait_exit(PATIENCE).await?.code(), 3);
    assert_eq!(world.share_exit().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn an_empty_line_allows_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    let attaching = world.technician.attach(&world.share.code().await?)?;
    world.share.word().await?;
    world.share.answer("").await?;
    world.share.answer("yes").await?;
    assert!(!attaching.stdout().contains("\"granted\""));
    world.share.allow().await?;
    world.technician.wait_live(&attaching).await
}

#[tokio::test]
async fn stop_ends_everything_and_the_technician_is_told_why() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    world.share.stop().await?;
    let end = attached.wait_exit(PATIENCE).await?;
    assert!(
        format!("{}{}", end.stdout, end.stderr).contains("the end user ended the session"),
        "{}{}",
        end.stdout,
        end.stderr
    );
    assert_eq!(world.share_exit().await?, Some(0));
    let refused = world.technician.run(["diag"]).await?;
    assert_ne!(refused.code(), 0);
    Ok(())
}

#[tokio::test]
async fn an_ability_that_this_device_never_gives_is_refused_without_asking() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let refused = world.technician.run(["request", "screen.view", "--reason", "to see it"]).await?;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("this device never allows it"), "{}", refused.stderr);
    Ok(())
}

#[tokio::test]
async fn a_detached_session_goes_on_in_the_background_until_it_is_ended() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let code = world.share.code().await?;
    let mut attaching = world.technician.start(["attach", "--detach", "--json", &code])?;
    world.share.allow().await?;
    assert_eq!(attaching.wait_exit(PATIENCE).await?.code(), 0);
    let followed = world.technician.run(["diag", "--json", "--follow", "2"]).await?;
    assert_eq!((followed.code(), followed.stdout.lines().count()), (0, 2), "{}", followed.stderr);
    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(world.share_exit().await?, Some(0));
    Ok(())
}
