//! Paths that die without a word.

use testkit::virtual_link::Shape;
use tokio::time::Instant;

use super::world::{MS, Nodes, World, direct_channel, direct_shape, relay_channel, relay_shape};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dead {
    BothWays,
    ToAgent,
    ToTechnician,
}

/// On the direct path for a while, with the relay to escape to.
async fn direct() -> World {
    let mut world = World::start().await;
    world.move_to(direct_channel());
    world.pass(8000 * MS).await;
    assert_eq!((world.counts(), world.channels()), ((1, 1), (direct_channel(), direct_channel())));
    world
}

#[tokio::test(start_paused = true)]
async fn bulk_escapes_from_a_path_that_dies_in_either_direction_or_both() {
    for (up, dead) in [false, true]
        .into_iter()
        .flat_map(|up| [Dead::BothWays, Dead::ToAgent, Dead::ToTechnician].map(|dead| (up, dead)))
    {
        let mut world = direct().await;
        let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
        world.pass(1000 * MS).await;
        assert_eq!(world.counts(), (1, 1));

        let start = Instant::now();
        match dead {
            Dead::BothWays => world.direct.cut(),
            Dead::ToAgent => world.direct.to_agent.cut(),
            Dead::ToTechnician => world.direct.to_technician.cut(),
        }
        world.pass(1500 * MS).await;
        let (now, meter) = (Instant::now(), meter.lock().unwrap());
        assert_eq!((world.counts(), world.channels()), ((2, 2), (relay_channel(), relay_channel())), "{dead:?} {up}");
        // To find out, three legs of the relay, and up to as much again for what the dead path has lost.
        assert!(meter.gap(start, now) <= 450 * MS, "{dead:?} up {up}: {:?}", meter.gap(start, now));
        let rate = meter.rate(now - 500 * MS, now);
        assert!(rate >= 15_000_000.0, "{dead:?} up {up}: {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_escapes_when_it_next_speaks() {
    let mut world = direct().await;
    world.direct.cut();
    let word = world.a_word().await;
    assert!(word <= 600 * MS, "{word:?}");
    assert_eq!(world.channels(), (relay_channel(), relay_channel()));
}

#[tokio::test(start_paused = true)]
async fn a_path_that_comes_back_is_there_for_the_next_escape() {
    let mut world = direct().await;
    world.direct.cut();
    world.a_word().await;
    world.direct.heal();
    world.pass(15_000 * MS).await;
    assert_eq!(world.channels(), (relay_channel(), relay_channel()), "nobody wanted it back");
    world.relay.cut();
    let word = world.a_word().await;
    assert!(word <= 600 * MS, "{word:?}");
    assert_eq!(world.channels(), (direct_channel(), direct_channel()));
}

#[tokio::test(start_paused = true)]
async fn a_session_waits_where_it_is_while_all_its_paths_are_dead() {
    let mut world = direct().await;
    world.direct.cut();
    world.relay.cut();
    let meter = world.bulk_down();
    let blackout = tokio::time::timeout(10_000 * MS, meter).await;
    assert!(blackout.is_err(), "nothing arrives");
    world.direct.heal();
    world.relay.heal();
    world.pass(3000 * MS).await;
    let word = world.a_word().await;
    assert!(word <= 200 * MS, "{word:?}");
}

#[tokio::test(start_paused = true)]
async fn an_escape_to_a_lossy_relay_takes_no_more_than_a_few_round_trips() {
    for seed in 0..20 {
        let relay = Shape { loss: 10, ..relay_shape() };
        let mut world = Nodes::over(relay, direct_shape(), seed).connect().await;
        world.move_to(direct_channel());
        world.pass(8000 * MS).await;
        let meter = world.bulk_down().await;
        world.pass(300 * MS).await;

        let start = Instant::now();
        world.direct.cut();
        world.pass(2000 * MS).await;
        let (now, meter) = (Instant::now(), meter.lock().unwrap());
        assert_eq!(world.counts(), (2, 2), "seed {seed}");
        assert!(meter.gap(start, now) <= 450 * MS, "seed {seed}: {:?}", meter.gap(start, now));
        // What Cubic makes of one packet in a hundred lost, which is little.
        let rate = meter.rate(start + 1000 * MS, now);
        assert!(rate >= 500_000.0, "seed {seed}: {rate}");
    }
}
