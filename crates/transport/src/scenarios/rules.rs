//! The rules that make changes safe, each where it would hurt to break it.

use std::time::Duration;

use rand_core::OsRng;
use testkit::virtual_link::Shape;
use tokio::time::{Instant, sleep};
use trust::keys::SigningKey;
use wire::{control::FirstFlight, pairing::FromUnpairedTechnician};

use super::world::{MS, Nodes, World, direct_channel, direct_shape, greeting, relay_channel, relay_shape};
use crate::{
    node::Node,
    paths::{Act, Observed},
};

/// A technician that waits for nothing: from `after` on it probes and flips while its handshake is going on.
async fn flip_early(technician: &Node, agent: &Node, after: Duration) {
    // time itself is tested: virtual time, which passes at once
    sleep(after).await;
    let keys = [agent, technician].map(|node| node.socket().table().arrival(relay_channel()).unwrap().key);
    agent.socket().move_to(keys[0], direct_channel()).unwrap();
    technician.socket().move_to(keys[1], direct_channel()).unwrap();
    let socket = technician.socket();
    for _ in 0..50 {
        let mut acts = Vec::new();
        let relay = socket.table().live_relay();
        socket.table().paths(keys[1]).unwrap().tick(socket.uptime(), Observed::default(), &mut acts);
        for act in acts {
            if let Act::Probe { probe, bytes, by } = act {
                socket.send_probe(probe, bytes, by, relay);
            }
        }
        // time itself is tested: virtual time
        sleep(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flip_during_the_handshake_breaks_nothing() {
    let mut early = 0;
    for after in (1..180).step_by(7) {
        let nodes = Nodes::over(relay_shape(), direct_shape(), after);
        let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let push = flip_early(&nodes.technician, &nodes.agent, Duration::from_millis(after));
        let connect = async {
            let both = tokio::join!(
                nodes.agent.serve_session(relay_channel(), &agent_key, greeting),
                nodes.technician.dial_session(relay_channel(), &technician_key),
            );
            let key = nodes.agent.socket().table().arrival(relay_channel()).unwrap().key;
            let flipped = nodes.agent.socket().table().paths(key).unwrap().count();
            (both, flipped)
        };
        let (((at_agent, at_technician), flipped), ()) = tokio::join!(connect, push);
        early += flipped;
        let mut world = nodes.joined(at_agent.unwrap(), at_technician.unwrap());
        world.pass(1000 * MS).await;
        assert_eq!(world.channels(), (direct_channel(), direct_channel()), "after {after} ms");
        assert!(world.a_word().await <= 20 * MS);
    }
    assert!(early >= 10, "only {early} flips reached an agent during the handshake");
}

#[tokio::test(start_paused = true)]
async fn an_attach_takes_one_round_trip_to_the_agents_first_word_and_half_of_another_to_the_proof() {
    let nodes = Nodes::over(relay_shape(), direct_shape(), 3);
    let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let start = Instant::now();
    let mut dialing = nodes.technician.begin_session(&technician_key).await.unwrap();
    let flight = dialing.first_flight();
    assert_eq!(flight.packets().count(), 2, "a ClientHello with a post-quantum share");
    assert_eq!(dialing.first_flight().packets().count(), 0);

    let agent = async {
        // time itself is tested: the relay passes the question on, and the packets with it
        sleep(40 * MS).await;
        nodes.agent.socket().arrived_with(relay_channel(), &flight);
        let mut unpaired = nodes.agent.serve_session(relay_channel(), &agent_key, greeting).await.unwrap();
        let proof = unpaired.recv::<FromUnpairedTechnician>().await.unwrap();
        assert!(proof.is_some());
        (unpaired, start.elapsed())
    };
    let technician = async {
        // The relay is half way.
        sleep(40 * MS).await;
        let mut unpaired = dialing.on(relay_channel()).await.unwrap();
        assert_eq!(unpaired.recv().await.unwrap(), Some(greeting()));
        let greeted = start.elapsed();
        let proof = FromUnpairedTechnician::Prove {
            pake: vec![0x41; 33],
            proof: [1; 32],
            nonce: [2; 16],
            introduction: vec![3; 300],
        };
        unpaired.send(&proof).await.unwrap();
        (unpaired, greeted)
    };
    let ((_agent, proved), (_technician, greeted)) = tokio::join!(agent, technician);
    // 80 ms there and back, and what the packets take at 20 Mbit/s.
    assert!((80 * MS..=84 * MS).contains(&greeted), "{greeted:?}");
    assert!((120 * MS..=126 * MS).contains(&proved), "{proved:?}");
}

#[tokio::test(start_paused = true)]
async fn packets_that_come_along_and_are_no_handshake_disturb_nothing() {
    let nodes = Nodes::over(relay_shape(), direct_shape(), 4);
    let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let rubbish = FirstFlight::of([vec![0xc0; 1200], vec![0x08; 40], vec![0x40; 9]]);
    nodes.agent.socket().arrived_with(relay_channel(), &rubbish);
    let (at_agent, at_technician) = tokio::join!(
        nodes.agent.serve_session(relay_channel(), &agent_key, greeting),
        nodes.technician.dial_session(relay_channel(), &technician_key),
    );
    let mut world = nodes.joined(at_agent.unwrap(), at_technician.unwrap());
    assert!(world.a_word().await <= 200 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_works_one_way_is_never_taken() {
    for to_agent in [true, false] {
        let mut world = World::start().await;
        let line = if to_agent { &world.direct.to_agent } else { &world.direct.to_technician };
        line.cut();
        let meter = world.bulk_down().await;
        world.pass(1000 * MS).await;
        world.move_to(direct_channel());
        world.pass(4000 * MS).await;
        let now = Instant::now();
        assert_eq!(world.counts(), (0, 0));
        let rate = meter.lock().unwrap().rate(now - 4000 * MS, now);
        assert!(rate >= 17_000_000.0, "bulk does not notice: {rate}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_says_little_stays_where_it_is() {
    let mut world = World::start().await;
    world.move_to(direct_channel());
    world.pass(2000 * MS).await;
    let before = world.direct.to_agent.traffic().datagrams + world.direct.to_technician.traffic().datagrams;
    for _ in 0..20 {
        world.a_word().await;
        world.pass(1000 * MS).await;
    }
    assert_eq!(world.counts(), (1, 1));
    let after = world.direct.to_agent.traffic().datagrams + world.direct.to_technician.traffic().datagrams;
    // A word and its answer take five packets or six; the doubt of either end two each.
    assert!(after - before <= 20 * 12, "{} packets for 20 words", after - before);
}

#[tokio::test(start_paused = true)]
async fn a_session_under_load_on_a_lossy_path_stays_where_it_is() {
    for seed in 0..4 {
        let direct = Shape { loss: 20, reorder: 20, ..direct_shape() };
        let mut world = Nodes::over(relay_shape(), direct, seed).connect().await;
        world.move_to(direct_channel());
        world.pass(2000 * MS).await;
        let _meters = (world.bulk_down().await, world.bulk_up().await);
        world.pass(3000 * MS).await;
        assert_eq!(world.counts(), (1, 1), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flip_survives_the_loss_of_its_packets() {
    for (loss, seed) in (0..80).map(|seed| (if seed % 2 == 0 { 30 } else { 100 }, seed)) {
        let direct = Shape { loss, ..direct_shape() };
        let mut world = Nodes::over(relay_shape(), direct, seed).connect().await;
        world.pass(300 * MS).await;
        world.move_to(direct_channel());
        world.within(500 * MS, |world| world.counts() == (1, 1)).await;

        // What the agent says now has to wait for its validation, which takes part of three packets each way. Where that is stuck,
        // it goes back to the relay after a second.
        let start = Instant::now();
        let meter = world.bulk_down().await;
        let enough = |_: &World| meter.lock().unwrap().bytes() >= 20_000;
        world.within(500 * MS, enough).await;
        assert!(start.elapsed() <= 500 * MS, "loss {loss} seed {seed}: {:?}", start.elapsed());
        assert_eq!((world.counts(), world.labels()), ((1, 1), 1), "loss {loss} seed {seed}");
    }
}
