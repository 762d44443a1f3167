//! What the agent uses while a session is on, at one sample a second and with at least 200 processes on the machine.

use std::time::Duration;

use anyhow::Context as _;
use testkit::tree::{Usage, descendants};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::{
    figures::Figure,
    scene::{self, Scene},
};
use crate::process::command;

const PROCESSES: usize = 200;
const SETTLE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);
const WINDOWS: usize = 5;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let _crowd = crowd()?;
    let relay = scene::relay().await?;
    let scene = Scene::start(relay.link(), relay.link()).await?;
    let pid = scene.share.pid();
    sleep(SETTLE).await;

    let (mut shares, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        let (before, start) = (usage(pid)?, Instant::now());
        sleep(WINDOW).await;
        let after = usage(pid)?;
        let used = after.processor.saturating_sub(before.processor);
        shares.push(100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64());
        sizes.push(mebibytes(after.resident_bytes));
    }
    Ok(vec![
        Figure::median("processor, of one core", "%", &shares)?.with_bar("< 0.5"),
        Figure::median("resident memory", "MiB", &sizes)?.with_bar("< 20"),
    ])
}

/// The agent and whatever it has started.
fn usage(pid: u32) -> anyhow::Result<Usage> {
    let mut whole = Usage::of(pid).context("the agent ended")?;
    for part in descendants(pid)?.into_iter().filter_map(Usage::of) {
        whole.processor += part.processor;
        whole.resident_bytes += part.resident_bytes;
    }
    Ok(whole)
}

/// Processes that do nothing but be there.
fn crowd() -> anyhow::Result<Vec<Child>> {
    let one = || {
        let mut sleeper = Command::from(command("sleep"));
        sleeper.arg("3600").kill_on_drop(true);
        sleeper.spawn().context("sleep does not start")
    };
    (0..PROCESSES).map(|_| one()).collect()
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
