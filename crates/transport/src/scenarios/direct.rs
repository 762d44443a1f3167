//! Direct paths: found after consent, taken without a stall, left when they die.

use std::{net::SocketAddr, sync::atomic::Ordering};

use testkit::virtual_link::Shape;
use tokio::time::Instant;

use super::world::{
    AGENT_ADDRESS, DIRECT_BITS, MS, Nodes, TECHNICIAN_ADDRESS, World, direct_shape, relay_channel, relay_shape,
};
use crate::sealed::{Carrier, DirectState};

const DIRECT: (Carrier, Carrier) = (Carrier::Direct, Carrier::Direct);
const RELAYED: (Carrier, Carrier) = (Carrier::Relayed, Carrier::Relayed);

#[tokio::test(start_paused = true)]
async fn a_session_goes_directly_as_soon_as_both_ends_know_where_the_other_is() {
    let mut world = World::start().await;
    world.introduce();
    let took = world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
    assert!(took <= 100 * MS, "{took:?}");
    let stats = world.at_technician.stats();
    assert!(matches!(stats.direct, DirectState::Used { sooner_us: 60_000.. }));
    assert!(stats.rtt < 15 * MS, "the new path's own: {:?}", stats.rtt);
    let word = world.a_word().await;
    assert!(word <= 15 * MS, "{word:?}");

    let before = world.relay.to_agent.traffic();
    world.pass(60_000 * MS).await;
    assert_eq!(world.carriers(), DIRECT);
    let warm = world.relay.to_agent.traffic().datagrams - before.datagrams;
    assert!((3..=6).contains(&warm), "the relay is only kept warm: {warm} packets a minute");
}

#[tokio::test(start_paused = true)]
async fn both_ends_open_their_firewalls_for_each_other() {
    for delay in [0, 1000] {
        let mut world = Nodes::behind_firewalls(relay_shape(), direct_shape(), 3).connect().await;
        world.at_technician.punch(&[AGENT_ADDRESS]);
        world.pass(delay * MS).await;
        world.at_agent.punch(&[TECHNICIAN_ADDRESS]);
        let took = world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
        assert!(took <= 200 * MS, "{delay}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_only_the_packets_tell_is_tried_as_well() {
    let mut world = World::start().await;
    // What the agent says of itself is wrong; its packets arrive all the same.
    world.at_technician.punch(&["203.0.113.9:9".parse().unwrap()]);
    world.at_agent.punch(&[TECHNICIAN_ADDRESS]);
    world.within(500 * MS, |world| world.carriers() == DIRECT).await;
}

#[tokio::test(start_paused = true)]
async fn bulk_goes_over_without_a_stall_and_fills_the_direct_path() {
    for (up, seed) in [(false, 1), (true, 2), (false, 3), (true, 4)] {
        let relay = Shape { loss: if seed > 2 { 10 } else { 0 }, ..relay_shape() };
        let mut world = Nodes::over(relay, direct_shape(), seed).connect().await;
        let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
        world.pass(2000 * MS).await;
        let start = Instant::now();
        world.introduce();
        world.pass(1000 * MS).await;
        let (now, meter) = (Instant::now(), meter.lock().unwrap());
        assert_eq!(world.carriers(), DIRECT);
        assert!(meter.gap(start, now) <= 120 * MS, "up {up}: {:?}", meter.gap(start, now));
        let full = meter.reaches(0.8 * DIRECT_BITS as f64, start, now).expect("the path is filled");
        assert!(full <= 400 * MS, "up {up}: {full:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_direct_path_that_dies_in_the_middle_of_a_transfer_costs_half_a_second_and_no_byte() {
    for (up, dead) in [(false, 0), (false, 1), (false, 2), (true, 0), (true, 1), (true, 2)] {
        let mut world = World::start().await;
        world.introduce();
        world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
        let meter = if up { world.bulk_up().await } else { world.bulk_down().await };
        world.pass(1500 * MS).await;
        let start = Instant::now();
        match dead {
            0 => world.straight.cut(),
            1 => world.straight.to_agent.cut(),
            _ => world.straight.to_technician.cut(),
        }
        // A byte that is lost or in the wrong place ends the transfer, and that the test.
        world.pass(2000 * MS).await;
        let (now, meter) = (Instant::now(), meter.lock().unwrap());
        assert_eq!(world.carriers(), RELAYED, "{up} {dead}");
        assert!(meter.gap(start, now) <= 500 * MS, "up {up} {dead}: {:?}", meter.gap(start, now));
        assert_eq!(world.at_technician.stats().direct, DirectState::FellBack);
    }
}

#[tokio::test(start_paused = true)]
async fn a_direct_path_that_comes_and_goes_is_left_alone_for_longer_each_time() {
    let mut world = World::start().await;
    world.introduce();
    world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
    let start = Instant::now();
    let mut returns = Vec::new();
    while start.elapsed() < 300_000 * MS {
        world.straight.cut();
        while world.carriers() != RELAYED {
            world.a_word().await;
        }
        world.straight.heal();
        let fell = Instant::now();
        while world.carriers() != DIRECT && fell.elapsed() < 400_000 * MS {
            if world.technician_wants_round() {
                world.introduce();
            }
            world.pass(500 * MS).await;
        }
        returns.push(fell.elapsed().as_secs());
        world.pass(1500 * MS).await;
    }
    assert!(returns.len() <= 7, "{returns:?}");
    assert!(returns.first() < returns.last(), "{returns:?}");
    world.a_word().await;
}

#[tokio::test(start_paused = true)]
async fn a_direct_path_that_is_slower_than_the_relay_is_taken_all_the_same() {
    let slow = Shape { largest: 1452, ..Shape::shaped(70 * MS, DIRECT_BITS, 500_000) };
    let mut world = Nodes::over(relay_shape(), slow, 9).connect().await;
    world.introduce();
    world.within(1500 * MS, |world| world.carriers() == DIRECT).await;
    assert!(matches!(world.at_technician.stats().direct, DirectState::Used { sooner_us: ..-50_000 }));
}

#[tokio::test(start_paused = true)]
async fn a_direct_path_that_takes_no_full_packets_is_not_taken() {
    let narrow = Shape { largest: 1000, ..direct_shape() };
    let mut world = Nodes::over(relay_shape(), narrow, 9).connect().await;
    let meter = world.bulk_down().await;
    world.introduce();
    world.pass(20_000 * MS).await;
    assert_eq!((world.carriers(), world.counts()), (RELAYED, (0, 0)));
    assert!(meter.lock().unwrap().bytes() > 20_000_000);
    assert_eq!(world.at_technician.stats().direct, DirectState::NoAnswer);
}

#[tokio::test(start_paused = true)]
async fn a_direct_path_that_answers_probes_and_drops_everything_else_is_left() {
    for bulk in [false, true] {
        let mut world = World::start().await;
        world.introduce();
        world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
        // A quiet session is no reason to leave.
        world.pass(60_000 * MS).await;
        assert_eq!(world.carriers(), DIRECT);
        let meter = if bulk { Some(world.bulk_down().await) } else { None };
        world.pass(1000 * MS).await;
        let start = Instant::now();
        world.probes_only.store(true, Ordering::Relaxed);
        world.within(13_000 * MS, |world| world.carriers() == RELAYED).await;
        world.a_word().await;
        if let Some(meter) = meter {
            let (now, meter) = (Instant::now(), meter.lock().unwrap());
            assert!(meter.gap(start, now) <= 8000 * MS, "{:?}", meter.gap(start, now));
        }
        assert_eq!(world.at_technician.stats().direct, DirectState::FellBack);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_or_taken_from_an_address_before_consent() {
    let mut world = World::start().await;
    // A technician that does not wait.
    world.at_technician.punch(&[AGENT_ADDRESS]);
    world.pass(5000 * MS).await;
    assert!(world.straight.to_agent.traffic().datagrams >= 9);
    assert_eq!(world.straight.to_technician.traffic().datagrams, 0, "the agent is silent");
    assert_eq!(world.agent.counters().bad_probe, world.straight.to_agent.traffic().datagrams);
    assert_eq!(world.carriers(), RELAYED);
}

#[tokio::test(start_paused = true)]
async fn closing_forgets_the_addresses_and_the_session_goes_on_by_the_relay() {
    for (agent_closes, bulk) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut world = World::start().await;
        world.introduce();
        world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
        let meter = if bulk { Some(world.bulk_down().await) } else { None };
        world.pass(3000 * MS).await;
        let start = Instant::now();
        if agent_closes {
            world.at_agent.close_direct();
            // What the agent says by the relay, as that a grant is over, makes the technician close as well.
            world.pass(60 * MS).await;
            world.at_technician.close_direct();
        } else {
            world.at_technician.close_direct();
            world.pass(60 * MS).await;
            world.at_agent.close_direct();
        }
        world.within(1500 * MS, |world| world.carriers() == RELAYED).await;
        let direct = world.straight.to_technician.traffic().datagrams + world.straight.to_agent.traffic().datagrams;
        let word = world.a_word().await;
        assert!(word <= 600 * MS, "{word:?}");
        world.pass(3000 * MS).await;
        let after = world.straight.to_technician.traffic().datagrams + world.straight.to_agent.traffic().datagrams;
        assert_eq!(direct, after, "nothing goes directly any more");
        if let Some(meter) = meter {
            let (now, meter) = (Instant::now(), meter.lock().unwrap());
            assert!(meter.gap(start, now) <= 800 * MS, "{agent_closes}: {:?}", meter.gap(start, now));
        }
        // And again, when something is granted anew.
        world.introduce();
        world.within(7000 * MS, |world| world.carriers() == DIRECT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn replayed_and_changed_probes_get_no_answer_and_move_nothing() {
    let mut world = World::start().await;
    let taken = world.tap_probes_to_agent();
    world.introduce();
    world.within(1000 * MS, |world| world.carriers() == DIRECT).await;
    // Until the packet size is found out.
    world.pass(2000 * MS).await;
    let recorded = taken(&world);
    assert!(recorded.len() >= 2, "{}", recorded.len());
    let (answers, bad) = (world.straight.to_technician.traffic().datagrams, world.agent.counters().bad_probe);
    for packet in &recorded {
        world.straight.to_agent.send(packet);
        for at in [0, 1, 2, 8, 16, 24, 32, 40, packet.len() - 1] {
            let mut changed = packet.clone();
            changed[at] ^= 0x01;
            world.straight.to_agent.send(&changed);
        }
    }
    world.pass(100 * MS).await;
    let more = world.straight.to_technician.traffic().datagrams - answers;
    assert!(more <= 1, "{more} packets, of which one may be the heartbeat's answer");
    let refused = world.agent.counters();
    assert!(refused.bad_probe + refused.unknown_kind + refused.stranger >= bad + 5 * recorded.len() as u64);
    assert_eq!(world.carriers(), DIRECT);
}

#[tokio::test(start_paused = true)]
async fn data_from_an_address_that_nobody_has_shown_is_dropped() {
    let mut world = World::start().await;
    let header = wire::channel::DataHeader { channel: wire::channel::ChannelId::direct(0, 7) }.to_bytes();
    for _ in 0..5 {
        world.straight.to_agent.send(&[&header[..], &[0x40; 1200]].concat());
        // A relay's channel, but not from the relay.
        let relayed = wire::channel::DataHeader { channel: relay_channel() }.to_bytes();
        world.straight.to_agent.send(&[&relayed[..], &[0x40; 1200]].concat());
    }
    world.pass(100 * MS).await;
    assert_eq!(world.agent.counters().stranger, 10);
    assert_eq!(world.straight.to_technician.traffic().datagrams, 0);
    world.a_word().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_addresses_makes_few_small_packets() {
    let mut world = World::start().await;
    let flood = (0..200u8).map(|last| SocketAddr::from(([203, 0, 113, last], 53))).collect::<Vec<_>>();
    for _ in 0..100 {
        world.at_agent.punch(&flood);
        world.pass(100 * MS).await;
    }
    world.pass(10_000 * MS).await;
    let sent = world.astray.lock().unwrap().len();
    assert!(sent <= 8 * 9 * 5, "{sent} packets of 66 bytes in 20 s");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_tried_whom_everybody_or_nobody_has() {
    let mut world = World::start().await;
    let nobodys = [
        "0.0.0.0:1",
        "255.255.255.255:1",
        "224.0.0.1:1",
        "127.0.0.1:1",
        "169.254.0.1:1",
        "192.0.2.1:4433",
        "203.0.113.1:0",
        "[ff02::1]:1",
    ];
    world.at_agent.punch(&nobodys.map(|address| address.parse().unwrap()));
    world.pass(5000 * MS).await;
    for more in ["[fe80::1]:1", "[::]:1", "[::1]:1", "[::ffff:224.0.0.1]:1", "[::ffff:127.0.0.1]:1", "240.0.0.1:1"] {
        world.at_agent.punch(&[more.parse().unwrap()]);
        world.pass(6000 * MS).await;
    }
    assert_eq!(*world.astray.lock().unwrap(), []);
}
