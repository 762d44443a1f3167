//! Bytes of the diagnostics stream once it is steady, counted on the wire: payload of UDP, headers of QUIC and channel included.

use std::time::Duration;

use testkit::delay_link::Direction;
use tokio::time::{Instant, sleep};

use super::{
    figures::Figure,
    scene::{self, Scene},
};

const SETTLE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(10);
const WINDOWS: usize = 6;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let relay = scene::relay().await?;
    let (wire, link) = scene::behind(&relay, Duration::ZERO).await?;
    let _scene = Scene::start(&link, relay.link()).await?;
    sleep(SETTLE).await;

    let (mut from_agent, mut to_agent) = (Vec::new(), Vec::new());
    for _ in 0..WINDOWS {
        let bytes = |way| wire.traffic(way).bytes;
        let before = (bytes(Direction::ToTarget), bytes(Direction::ToClient));
        let start = Instant::now();
        sleep(WINDOW).await;
        from_agent.push(per_second(bytes(Direction::ToTarget) - before.0, start.elapsed()));
        to_agent.push(per_second(bytes(Direction::ToClient) - before.1, start.elapsed()));
    }
    Ok(vec![
        Figure::median("agent to technician", "B/s", &from_agent)?.with_bar("≤ 1024"),
        Figure::median("technician to agent", "B/s", &to_agent)?,
    ])
}

fn per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64()
}
