//! From the key that stops everything to the last byte that the technician gets and to the death of the process tree.
//!
//! The run writes without end, has children in the background and ignores SIGTERM, so that there is something to stop.

use std::time::Duration;

use anyhow::Context as _;
use testkit::{PATIENCE, tree::Tree};
use tokio::time::Instant;

use super::{
    figures::Figure,
    scene::{self, Scene, millis},
};

const WARM_UP: usize = 2;
const RUNS: usize = 100;

const SCRIPT: &str = "trap '' TERM; (sleep 4242 & sleep 4242 & wait) & while :; do echo 0123456789; done";

/// So much output shows that the run is going on.
const GOING_ON: u64 = 1 << 16;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let relay = scene::relay().await?;
    let (mut dead, mut last) = (Vec::new(), Vec::new());
    for run in 0..WARM_UP + RUNS {
        let (until_dead, until_last) = once(Scene::start(relay.link(), relay.link()).await?).await?;
        if run >= WARM_UP {
            dead.push(millis(until_dead));
            last.push(millis(until_last));
        }
    }
    Ok(vec![
        Figure::share("stop to the tree's death, p99", "ms", &dead, 0.99)?.with_bar("< 200"),
        Figure::share("stop to the last byte, p99", "ms", &last, 0.99)?.with_bar("< 200"),
        Figure::median("stop to the tree's death", "ms", &dead)?,
        Figure::median("stop to the last byte", "ms", &last)?,
    ])
}

async fn once(scene: Scene) -> anyhow::Result<(Duration, Duration)> {
    let Scene { share, technician, attached, .. } = scene;
    let arguments = ["run", "--output-limit", "64MiB", "--timeout", "10m", "--", "/bin/sh", "-c", SCRIPT];
    let words = technician.words(&attached).await?;
    let mut run = technician.start(arguments)?;
    share.allow_with_words(&words).await.context("the run is asked for")?;
    run.wait_for_bytes(GOING_ON, PATIENCE).await?;
    let tree = Tree::below(share.pid())?;
    anyhow::ensure!(tree.pids().len() >= 3, "the run has no children: {:?}", tree.pids());

    let stopped = Instant::now();
    share.stop().await?;
    tree.wait_dead(PATIENCE).await?;
    let dead = stopped.elapsed();
    run.wait_exit(PATIENCE).await?;
    let last = run.last_byte_at().map_or(Duration::ZERO, |at| at.saturating_duration_since(stopped));
    drop(attached);
    Ok((dead, last))
}
