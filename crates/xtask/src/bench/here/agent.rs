//! What the agent uses while a session is on, at one sample a second and with at least 200 processes on the machine.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    figures::Figure,
    load,
    scene::{self, Scene},
};

const PROCESSES: usize = 200;
const SETTLE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);
const WINDOWS: usize = 5;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let _crowd = load::sleepers(PROCESSES)?;
    let relay = scene::relay().await?;
    let scene = Scene::start(relay.link(), relay.link()).await?;
    sleep(SETTLE).await;

    let (mut shares, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        for taken in load::taken(&[scene.share.pid()], WINDOW).await? {
            shares.push(taken.processor_percent);
            sizes.push(taken.resident_bytes / f64::from(1 << 20));
        }
    }
    Ok(vec![
        Figure::median("processor, of one core", "%", &shares)?.with_bar("< 0.5"),
        Figure::median("resident memory", "MiB", &sizes)?.with_bar("< 20"),
    ])
}
