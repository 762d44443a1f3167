//! Things that go wrong underneath: the relay, the disk, the terminal.

use testkit::{PATIENCE, share::ShareOptions, tree::Tree};

use crate::world::{LONG, World};

#[tokio::test]
async fn a_session_survives_a_relay_that_is_killed_and_restarted() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let attached = world.attach().await?;
    world.relay.kill().await?;
    world.relay.restart().await?;
    let followed = world.technician.run(["diag", "--json", "--follow", "3"]).await?;
    assert_eq!(
        (followed.code(), followed.stdout.lines().count()),
        (0, 3),
        "{}\n{}",
        followed.stderr,
        attached.stderr()
    );
    let done = world.run_to_end(&["--", "echo", "still here"]).await?;
    assert_eq!((done.code(), done.stdout.as_str()), (0, "still here\n"), "{}", done.stderr);
    Ok(())
}

#[tokio::test]
async fn a_relay_that_does_not_come_back_ends_the_session_with_a_reason() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    world.relay.kill().await?;
    let end = attached.wait_exit(LONG * 2).await?;
    assert_eq!(end.code(), 5, "{}", end.stderr);
    world.share.terminal_mut().wait_exit(LONG).await?;
    Ok(())
}

#[tokio::test]
async fn a_closed_terminal_ends_the_session_and_what_it_ran() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    let running = world.run_allowed(&["--", "sh", "-c", "echo up; sleep 600"]).await?;
    running.wait_for_line("the command to be up", PATIENCE, |line| (line == "up").then_some(())).await?;
    let tree = Tree::below(world.share.pid())?;
    world.share.terminal_mut().hang_up().await;
    tree.wait_dead(PATIENCE).await?;
    let end = attached.wait_exit(PATIENCE).await?;
    assert!(format!("{}{}", end.stdout, end.stderr).contains("terminal was closed"), "{}{}", end.stdout, end.stderr);
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_killed_takes_its_runs_with_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let running = world
        .run_allowed(&[
            "--env",
            "ASSENT_E2E_MARK=agent-killed",
            "--",
            "sh",
            "-c",
            "trap '' TERM HUP; echo up; sleep 600",
        ])
        .await?;
    running.wait_for_line("the command to be up", PATIENCE, |line| (line == "up").then_some(())).await?;
    let tree = Tree::below(world.share.pid())?;
    let pid = rustix::process::Pid::from_raw(i32::try_from(world.share.pid())?).expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    tree.wait_dead(PATIENCE).await
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_the_session_with_a_clear_error() -> anyhow::Result<()> {
    let mut world = World::start_with(&ShareOptions::default()).await?;
    let mut attached = world.attach().await?;
    limit_file_size(world.share.pid(), &world.share.logs()?[0])?;
    let mut running = world.technician.start(["run", "--", "true"])?;
    assert_ne!(running.wait_exit(PATIENCE).await?.code(), 0);
    let end = attached.wait_exit(PATIENCE).await?;
    assert!(
        format!("{}{}", end.stdout, end.stderr).contains("audit log could not be written"),
        "{}{}",
        end.stdout,
        end.stderr
    );
    assert_eq!(world.share_exit().await?, Some(1));
    Ok(())
}

/// From here on no file of the process can grow beyond what its log has now, as on a disk that is full.
fn limit_file_size(pid: u32, log: &std::path::Path) -> anyhow::Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let bytes = log.metadata()?.len();
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(Pid::from_raw(i32::try_from(pid)?), Resource::Fsize, limit)?;
    Ok(())
}
