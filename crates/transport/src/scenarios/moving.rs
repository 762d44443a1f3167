//! Changes of path while both paths live.

use std::time::Duration;

use testkit::virtual_link::Shape;
use tokio::time::Instant;

use super::world::{DIRECT_BITS, MS, Nodes, World, direct_channel, direct_shape, relay_channel, relay_shape};

/// The relay without and with random loss, each with a seed.
const LOSSES: [(u16, u64); 3] = [(0, 1), (10, 2), (10, 3)];

#[tokio::test(start_paused = true)]
async fn bulk_down_goes_over_to_a_faster_path_and_fills_it_soon() {
    for (loss, seed) in LOSSES {
        let mut world = Nodes::over(Shape { loss, ..relay_shape() }, direct_shape(), seed).connect().await;
        let meter = world.bulk_down().await;
        world.pass(2000 * MS).await;
        let before = world.agent_stats().path;
        assert!(before.rtt >= 80 * MS && before.current_mtu < 1300, "{before:?}");

        let start = Instant::now();
        world.move_to(direct_channel());
        world.pass(150 * MS).await;
        let after = world.agent_stats().path;

        assert_eq!(after.current_mtu, 1444, "the new path's packet size is found out");
        assert!(after.rtt < 60 * MS && after.cwnd > 100_000, "{after:?}");

        world.pass(350 * MS).await;
        let (now, meter) = (Instant::now(), meter.lock().unwrap());
        let full = meter.reaches(0.85 * DIRECT_BITS as f64, start, now).expect("the path is filled");
        assert!(full <= 200 * MS, "loss {loss}: {full:?}");
        assert!(meter.gap(start, now) <= 120 * MS, "loss {loss}: {:?}", meter.gap(start, now));
        assert_eq!((world.counts(), world.labels()), ((1, 1), 1));
        assert_eq!(world.channels(), (direct_channel(), direct_channel()));
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_up_goes_over_to_a_faster_path_and_fills_it_soon() {
    for (loss, seed) in LOSSES {
        let mut world = Nodes::over(Shape { loss, ..relay_shape() }, direct_shape(), seed).connect().await;
        let meter = world.bulk_up().await;
        world.pass(2000 * MS).await;

        let start = Instant::now();
        world.move_to(direct_channel());
        world.pass(500 * MS).await;
        let (now, meter) = (Instant::now(), meter.lock().unwrap());
        let full = meter.reaches(0.8 * DIRECT_BITS as f64, start, now).expect("the path is filled");
        assert!(full <= 200 * MS, "loss {loss}: {full:?}");
        assert!(meter.gap(start, now) <= 120 * MS, "loss {loss}: {:?}", meter.gap(start, now));
        assert_eq!(world.technician_stats().path.current_mtu, 1200, "what every path takes");
        assert_eq!(world.counts(), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn bulk_goes_back_to_the_relay_as_planned() {
    for up in [false, true] {
        let mut world = World::start().await;
        world.move_to(direct_channel());
        world.pass(2000 * MS).await;
        let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
        world.pass(1000 * MS).await;

        let start = Instant::now();
        world.move_to(relay_channel());
        world.pass(2000 * MS).await;
        let now = Instant::now();
        let meter = meter.lock().unwrap();
        assert_eq!((world.counts(), world.channels()), ((2, 2), (relay_channel(), relay_channel())));
        // Larger packets than the relay takes were under way: without a fresh start this takes a second and more.
        assert!(meter.gap(start, now) <= 350 * MS, "up {up}: {:?}", meter.gap(start, now));
        let rate = meter.rate(start + 1000 * MS, now);
        assert!(rate >= 15_000_000.0, "up {up}: {rate}");
        if !up {
            assert_eq!(world.agent_stats().path.current_mtu, 1290, "found out again, less the header");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_moves_at_once() {
    let mut world = World::start().await;
    world.pass(20_000 * MS).await;
    world.move_to(direct_channel());
    // A question and its answer, and the announcement: three times 2.5 ms and the grain of timers.
    world.within(20 * MS, |world| (world.counts(), world.labels()) == ((1, 1), 1)).await;
    let word = world.a_word().await;
    assert!(word <= 15 * MS, "{word:?}");
    world.pass(10_000 * MS).await;
    assert_eq!((world.counts(), world.labels()), ((1, 1), 1));
}

#[tokio::test(start_paused = true)]
async fn the_same_channel_over_another_network_starts_afresh() {
    let mut world = World::start().await;
    let meter = world.bulk_down().await;
    world.pass(2000 * MS).await;
    world.relay.set(direct_shape());

    let start = Instant::now();
    world.move_to(relay_channel());
    world.pass(500 * MS).await;
    let (now, meter) = (Instant::now(), meter.lock().unwrap());
    let full = meter.reaches(0.85 * DIRECT_BITS as f64, start, now).expect("the path is filled");
    assert!(full <= 200 * MS, "{full:?}");
    assert_eq!(world.agent_stats().path.current_mtu, 1444);
    assert_eq!((world.counts(), world.labels()), ((1, 1), 1));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_pushed_to_and_fro_changes_its_path_once_a_second_and_no_oftener() {
    let direct = Shape { loss: 100, duplicate: 300, reorder: 100, ..direct_shape() };
    let relay = Shape { duplicate: 300, ..relay_shape() };
    let mut world = Nodes::over(relay, direct, 5).connect().await;
    let start = Instant::now();
    for turn in 0.. {
        if start.elapsed() >= Duration::from_secs(9) {
            break;
        }
        world.move_to(if turn % 2 == 0 { direct_channel() } else { relay_channel() });
        for _ in 0..3 {
            world.a_word().await;
            world.pass(97 * MS).await;
        }
    }
    world.pass(3000 * MS).await;
    let (agent, technician) = world.counts();
    assert_eq!(agent, technician);
    assert!((5..=12).contains(&technician), "{technician} flips in 9 s");
    assert_eq!(u32::from(world.labels()), technician, "late and doubled packets change no label");
    world.a_word().await;
}

#[tokio::test(start_paused = true)]
async fn the_two_ends_may_be_told_of_a_channel_seconds_apart() {
    for agent_first in [true, false] {
        let mut world = World::start().await;
        let tell_agent =
            |world: &World| world.agent.move_session(world.at_agent.session_ref(), direct_channel()).unwrap();
        let tell_technician = |world: &World| {
            world.technician.move_session(world.at_technician.session_ref(), direct_channel()).unwrap();
        };
        if agent_first {
            tell_agent(&world)
        } else {
            tell_technician(&world)
        }
        world.pass(7000 * MS).await;
        assert_eq!((world.counts(), world.labels()), ((0, 0), 0));
        world.a_word().await;
        if agent_first {
            tell_technician(&world)
        } else {
            tell_agent(&world)
        }
        // The one that was told first asks twice a second.
        world.within(600 * MS, |world| world.labels() == 1).await;
    }
}
