//! Things that go wrong underneath: the relay, the disk, the terminal.

use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use testkit::{PATIENCE, share::ShareOptions, tree::Tree};
use tokio::time::timeout;

use crate::{
    asleep::with_settings,
    world::{LONG, World},
};

#[tokio::test]
async fn a_session_survives_a_relay_that_is_killed_and_restarted() -> anyhow::Result<()> {
    let mut world = World::start_relayed().await?;
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
async fn output_that_is_written_while_there_is_no_relay_arrives_whole() -> anyhow::Result<()> {
    let mut world = World::start_relayed().await?;
    let _attached = world.attach().await?;
    let gates = ["gate-1", "gate-2"].map(|name| world.share.home().path().join(name));
    for gate in &gates {
        mknodat(CWD, gate, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    }
    // The program goes on when somebody opens a gate: there is output before, without, and after the relay. One gate for both would
    // be open for the second time as long as the program has not left it.
    let script = "seq 1 100000; : < \"$0\"; seq 100001 200000; : < \"$1\"; seq 200001 300000; exit 9";
    let [first, second] = &gates;
    let arguments = ["--output-limit", "16777216", "--", "sh", "-c", script, path(first)?, path(second)?];
    let mut running = world.run_allowed(&arguments).await?;
    running.wait_for_bytes(300_000, PATIENCE).await?;
    world.relay.kill().await?;
    open_gate(first).await?;
    world.relay.restart().await?;
    open_gate(second).await?;
    let done = running.wait_exit(LONG).await?;
    let whole = (1..=300_000).map(|number| format!("{number}\n")).collect::<String>();
    assert!(
        done.code() == 9 && done.stdout == whole,
        "{} of {} bytes: {}",
        done.stdout.len(),
        whole.len(),
        done.stderr
    );
    Ok(())
}

fn path(gate: &Path) -> anyhow::Result<&str> {
    gate.to_str().context("a temporary path is UTF-8")
}

/// Returns once the program has come to the gate, and lets it through.
async fn open_gate(gate: &Path) -> anyhow::Result<()> {
    let gate = gate.to_owned();
    // Opening a FIFO waits for whoever reads it.
    let opened = tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(gate));
    timeout(PATIENCE, opened).await.context("the program does not come to the gate")???;
    Ok(())
}

#[tokio::test]
async fn a_relay_that_does_not_come_back_ends_the_session_with_a_reason() -> anyhow::Result<()> {
    const IMPATIENT: &str = "reconnect_within_secs = 30";
    let options = ShareOptions { settings: IMPATIENT.to_owned(), ..ShareOptions::behind_the_relay() };
    let mut world = World::start_with(&options).await?;
    world.technician = with_settings(world.technician, IMPATIENT)?;
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
fn limit_file_size(pid: u32, log: &Path) -> anyhow::Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let bytes = log.metadata()?.len();
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(Pid::from_raw(i32::try_from(pid)?), Resource::Fsize, limit)?;
    Ok(())
}

#[tokio::test]
async fn what_is_asked_for_while_the_relay_is_away_is_refused_and_not_done_later() -> anyhow::Result<()> {
    let mut world = World::start_relayed().await?;
    let attached = world.attach().await?;
    world.relay.kill().await?;
    let phase = |name: &'static str| move |status: &serde_json::Value| status["phase"]["name"] == name;
    let away = world.technician.wait_status(&attached, "that the relay is away", phase("reconnecting")).await?;
    assert!(away["phase"]["detail"].as_str().is_some_and(|why| why.contains("relay")), "{away}");

    let refused = world.technician.run(["run", "--", "/bin/echo", "late"]).await?;
    assert_eq!(refused.code(), 5, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("Wait a moment"), "{}", refused.stderr);

    world.relay.restart().await?;
    let found = |status: &serde_json::Value| phase("live")(status) && status["path"]["reconnects"] == 1;
    let back = world.technician.wait_status(&attached, "that the session goes on", found).await?;
    assert_eq!((&back["runs"], &back["asking"]), (&serde_json::json!([]), &serde_json::json!([])), "nothing was kept");
    Ok(())
}
