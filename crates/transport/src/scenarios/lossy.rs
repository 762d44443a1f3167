//! One path, and how well a session uses it: the controller under quinn as it is, with its pacing and its acknowledgements.

use testkit::virtual_link::Shape;
use tokio::time::Instant;

use super::world::{MS, Nodes, RELAY_BITS, direct_shape, relay_shape};

/// Packets lost of a thousand, and the least part of the path that arrives as content.
const LOSSES: [(u16, f64); 4] = [(0, 0.95), (1, 0.90), (10, 0.85), (50, 0.60)];

/// Downwards: what a technician may send at once is bounded by what an agent buffers for messages.
#[tokio::test(start_paused = true)]
async fn a_lossy_path_is_used_and_its_queue_stays_short() {
    for (loss, least) in LOSSES {
        let mut world = Nodes::over(Shape { loss, ..relay_shape() }, direct_shape(), 7).connect().await;
        let meter = world.bulk_down().await;
        world.pass(3000 * MS).await;
        let start = Instant::now();
        world.pass(12_000 * MS).await;
        let used = meter.lock().unwrap().rate(start, Instant::now()) / RELAY_BITS as f64;
        let path = world.agent_stats().path;
        assert!(used > least, "loss {loss}: {used}, {path:?}");
        assert!(path.rtt < (80 + 60) * MS, "loss {loss}: {path:?}");
    }
}
