//! Commands: asked one by one, run exactly, ended with everything that they started.

use testkit::{PATIENCE, tree::Tree};

use crate::world::{LONG, World};

#[tokio::test]
async fn an_approved_command_runs_with_its_outputs_apart_and_its_exit_code() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let done = world.run_to_end(&["--", "sh", "-c", "echo out; echo err >&2; exit 7"]).await?;
    assert_eq!((done.code(), done.stdout.as_str()), (7, "out\n"));
    assert!(done.stderr.contains("err\n"), "{}", done.stderr);
    Ok(())
}

#[tokio::test]
async fn the_person_sees_the_program_and_every_argument_before_anything_runs() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let mut running =
        world.technician.start(["run", "--reason", "to greet", "--", "echo", "two words", "\u{202e}evil", "$HOME"])?;
    for text in ["/echo", "two words", "\\u{202e}evil", "$HOME", "to greet"] {
        world.share.sees(text).await?;
    }
    world.share.deny().await?;
    let denied = running.wait_exit(PATIENCE).await?;
    assert_eq!((denied.code(), denied.stdout.as_str()), (3, ""));
    Ok(())
}

#[tokio::test]
async fn without_the_technicians_words_a_command_is_not_allowed() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let running = world.technician.start(["run", "--", "true"])?;
    let word = world.share.word().await?;
    world.share.answer(&word).await?;
    world.share.sees("two words").await?;
    world.share.answer("wrong guess").await?;
    world.share.sees("not the right words").await?;
    assert!(!running.stdout().contains("started"));
    let words = world.words().await?;
    world.share.allow_with_words(&words).await?;
    let mut running = running;
    assert_eq!(running.wait_exit(LONG).await?.code(), 0);
    Ok(())
}

#[tokio::test]
async fn programs_that_cannot_run_end_as_docker_run_ends() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    assert_eq!(world.technician.run(["run", "--", "no-such-program"]).await?.code(), 127);
    assert_eq!(world.technician.run(["run", "--", "/etc/passwd"]).await?.code(), 126);
    assert_eq!(world.technician.run(["run", "--cwd", "/no/such/place", "--", "true"]).await?.code(), 125);
    let signalled = world.run_to_end(&["--", "sh", "-c", "kill -USR1 $$"]).await?;
    assert_eq!(signalled.code(), 128 + 10);
    Ok(())
}

#[tokio::test]
async fn endless_output_is_cut_with_a_count_and_the_run_goes_on() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let done = world.run_to_end(&["--output-limit", "1000", "--", "sh", "-c", "yes | head -c 300000; exit 4"]).await?;
    assert_eq!((done.code(), done.stdout.len()), (4, 1000));
    assert!(done.stderr.contains("299000") || done.stderr.contains("299,000"), "{}", done.stderr);
    Ok(())
}

#[tokio::test]
async fn a_run_that_takes_too_long_times_out() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let done = world.run_to_end(&["--timeout", "1s", "--", "sleep", "600"]).await?;
    assert_eq!(done.code(), 4, "{}", done.stderr);
    Ok(())
}

#[tokio::test]
async fn stop_kills_a_tree_that_forked_away_and_ignores_signals() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let _attached = world.attach().await?;
    let script = "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; sleep 600' &); echo up; sleep 600";
    let mut running = world.run_allowed(&["--", "sh", "-c", script]).await?;
    running.wait_for_line("the command to be up", PATIENCE, |line| (line == "up").then_some(())).await?;
    let tree = Tree::below(world.share.pid())?;
    assert!(!tree.is_empty());
    world.share.stop().await?;
    tree.wait_dead(PATIENCE).await?;
    assert_eq!(running.wait_exit(PATIENCE).await?.code(), 3);
    assert_eq!(world.share_exit().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn the_technician_cancels_with_an_interrupt() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    let mut running = world.run_allowed(&["--", "sh", "-c", "echo up; sleep 600"]).await?;
    running.wait_for_line("the command to be up", PATIENCE, |line| (line == "up").then_some(())).await?;
    running.signal(rustix::process::Signal::INT)?;
    assert_eq!(running.wait_exit(PATIENCE).await?.code(), 130);
    Ok(())
}
