//! A disk that is full: the record cannot be written, so nothing is done.
//!
//! The agent gets a state folder on a small disk of its own, in a mount namespace that nobody else sees. Where the system does not let a
//! test mount anything this is said and nothing is tested here; the size limit in `faults` stands in for it.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use testkit::{PATIENCE, programs::Program, share::ShareOptions};

use crate::{
    apart::{Apart, SetApart},
    world::{World, verified},
};

/// Enough for a log of a few entries.
const DISK_BYTES: u32 = 64 * 1024;

/// A world in which the agent's state is on a small disk. `None`, and a word about it, where nothing can be mounted.
async fn world() -> anyhow::Result<Option<(World, SetApart)>> {
    let small = format!("mount -t tmpfs -o size={DISK_BYTES},mode=0700 small \"$XDG_STATE_HOME\"");
    let Some(disk) = Apart::mounts(small).start(&Program::Share.path()?).await? else { return Ok(None) };
    let options = ShareOptions { program: Some(disk.command.clone()), ..ShareOptions::default() };
    Ok(Some((World::start_with(&options).await?, disk)))
}

/// The agent's state folder as the agent sees it.
fn state_of(world: &World) -> anyhow::Result<PathBuf> {
    let inside = world.share.home().state();
    let state = Path::new(&format!("/proc/{}/root", world.share.pid())).join(inside.strip_prefix("/")?);
    anyhow::ensure!(rustix::fs::statvfs(&state)?.f_blocks * 4096 <= u64::from(DISK_BYTES), "the disk is not small");
    Ok(state)
}

/// Takes the last byte that the disk has.
fn fill(state: &Path) -> anyhow::Result<()> {
    let mut filler = File::create(state.join("filler"))?;
    loop {
        match filler.write(&[0; 4096]) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => return Err(error.into()),
        }
    }
    anyhow::ensure!(rustix::fs::statvfs(state)?.f_bavail == 0, "there is room left");
    Ok(())
}

/// What stands on the person's terminal, wherever its width broke the lines.
fn told(world: &World) -> String {
    world.share.terminal().text().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_disk_that_fills_up_in_a_session_ends_it_and_leaves_a_sound_record() -> anyhow::Result<()> {
    let Some((mut world, _disk)) = world().await? else { return Ok(()) };
    let mut attached = world.attach().await?;
    let state = state_of(&world)?;
    let files = std::fs::read_dir(state.join("assent/sessions"))?.map(|entry| Ok(entry?.path()));
    let files = files.collect::<anyhow::Result<Vec<_>>>()?;
    let is_log = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    let log = files.iter().find(is_log).context("there is a log")?;
    // The disk goes with the agent; what is open stays readable.
    let mut log = File::open(log)?;
    fill(&state)?;

    // Longer than what is left of the log's last block.
    let long = "x".repeat(6000);
    let mut running = world.technician.start(["run", "--", "touch", "made", &long])?;
    let run = running.wait_exit(PATIENCE).await?;
    assert_eq!(run.code(), 125, "{}", run.stderr);
    let end = attached.wait_exit(PATIENCE).await?;
    assert_eq!(end.code(), 125, "{}", end.stderr);
    assert!(end.stderr.contains("the audit log could not be written"), "{}", end.stderr);
    assert!(end.stderr.contains("Ask the end user to free space on their disk"), "{}", end.stderr);
    assert_eq!(world.share_exit().await?, Some(1));
    let told = told(&world);
    assert!(told.contains("The record of this session could not be written, so it was stopped."), "{told}");
    assert!(told.contains("Make room on the disk"), "{told}");
    assert!(told.contains("the disk is full") && !told.contains("nobody was let in"), "{told}");

    let mut text = String::new();
    log.read_to_string(&mut text)?;
    assert!(text.contains("\"granted\"") && !text.contains("run_starting"), "{text}");
    assert!(!world.share.home().path().join("made").exists());
    let left = world.technician.home().path().join("left.jsonl");
    File::create(&left)?.write_all(text.as_bytes())?;
    let summary = verified(&world.technician, &left).await?;
    assert_eq!(summary["state"]["state"], "not_closed", "{summary}");
    assert_eq!(summary["runs_started"], 0, "{summary}");
    Ok(())
}

#[tokio::test]
async fn no_session_begins_on_a_disk_that_is_full() -> anyhow::Result<()> {
    let Some((mut world, _disk)) = world().await? else { return Ok(()) };
    let code = world.share.code().await?;
    fill(&state_of(&world)?)?;
    let mut attached = world.technician.attach(&code)?;
    let end = attached.wait_exit(PATIENCE).await?;
    assert_eq!(end.code(), 125, "{}", end.stderr);
    assert!(end.stderr.contains("the audit log could not be written"), "{}", end.stderr);
    assert_eq!(world.share_exit().await?, Some(1));
    let told = told(&world);
    assert!(told.contains("Make room on the disk") && told.contains("nobody was let in"), "{told}");
    assert!(!told.contains("wants to connect"), "nobody was asked: {told}");
    Ok(())
}
