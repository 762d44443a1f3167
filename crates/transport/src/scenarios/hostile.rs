//! A relay that forges what nobody has signed, and peers that say what they should not.

use bytes::Bytes;
use tokio::time::Instant;
use wire::{
    channel::{ChannelId, DataHeader, Epoch, PathFlags},
    path::{Flip, Probe},
};

use super::world::{MS, World, direct_channel, relay_channel};

fn packet(channel: ChannelId, flags: PathFlags, payload: &[u8]) -> Vec<u8> {
    [&DataHeader { channel }.with_flags(flags)[..], payload].concat()
}

/// On the relay, with a spare that answers.
async fn with_spare() -> World {
    let mut world = World::start().await;
    world.add(direct_channel());
    world.pass(1000 * MS).await;
    assert_eq!(world.counts(), (0, 0));
    world
}

/// Everything is as the technician says, and bulk flows by the relay or faster.
async fn is_well(world: &mut World, meter: &std::sync::Mutex<super::world::Meter>) {
    world.pass(4000 * MS).await;
    let now = Instant::now();
    let ((agent, technician), channels) = (world.counts(), world.channels());
    assert_eq!((agent, channels.0), (technician, channels.1), "the agent is where the technician is");
    let rate = meter.lock().unwrap().rate(now - 1000 * MS, now);
    assert!(rate >= 15_000_000.0, "{rate}");
}

#[tokio::test(start_paused = true)]
async fn forged_epochs_slow_a_session_down_and_the_truth_repairs_it() {
    let mut world = with_spare().await;
    let meter = world.bulk_down().await;
    world.pass(1000 * MS).await;
    for turn in 0..200u32 {
        let flags = PathFlags { epoch: Epoch::of(turn), hears_nothing: false };
        world.relay.to_agent.send(&packet(relay_channel(), flags, &[0x40; 40]));
        world.direct.to_agent.send(&packet(direct_channel(), flags, &[0x40; 40]));
        world.pass(10 * MS).await;
    }
    assert!(world.labels() <= 10, "{} labels in 2 s", world.labels());
    assert_eq!(world.counts().1, 0, "the technician believes nobody about its own count");
    is_well(&mut world, &meter).await;
}

#[tokio::test(start_paused = true)]
async fn a_forged_cry_for_help_moves_a_session_once_a_second_at_most() {
    let mut world = with_spare().await;
    let meter = world.bulk_down().await;
    world.pass(1000 * MS).await;
    for turn in 0..300u32 {
        for epoch in 0..8 {
            let flags = PathFlags { epoch: Epoch::of(epoch), hears_nothing: true };
            let (line, channel) = if turn % 2 == 0 {
                (&world.relay.to_technician, relay_channel())
            } else {
                (&world.direct.to_technician, direct_channel())
            };
            line.send(&packet(channel, flags, &Probe::Pong(u64::from(turn)).to_bytes()));
        }
        world.pass(10 * MS).await;
    }
    assert!(world.counts().1 <= 5, "{} flips in 3 s", world.counts().1);
    is_well(&mut world, &meter).await;
}

#[tokio::test(start_paused = true)]
async fn garbage_behind_a_header_is_counted_and_does_nothing() {
    let mut world = with_spare().await;
    let (agent, technician) = (world.agent.counters(), world.technician.counters());
    let flags = PathFlags::default();
    let garbage = [&[0x0b; 20][..], &[0x0e; 1200], &[0x0c; 8], &[0x0d], &[0x00; 9]];
    for payload in garbage {
        world.relay.to_agent.send(&packet(relay_channel(), flags, payload));
        world.relay.to_technician.send(&packet(direct_channel(), flags, payload));
    }
    for number in [0, 1, u64::MAX] {
        world.direct.to_technician.send(&packet(direct_channel(), flags, &Probe::Pong(number).to_bytes()));
    }
    world.pass(1000 * MS).await;
    assert_eq!(world.agent.counters().unknown_kind, agent.unknown_kind + 5);
    assert_eq!(world.technician.counters().unknown_kind, technician.unknown_kind + 5);
    assert_eq!((world.counts(), world.labels()), ((0, 0), 0));
    world.a_word().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_never_larger_than_the_question() {
    let mut world = with_spare().await;
    world.pass(100 * MS).await;
    for bytes in [9, 100, 1200, 1400] {
        let before = world.direct.to_technician.traffic();
        let mut question = Probe::Ping(7).to_bytes().to_vec();
        question.resize(bytes, 0xff);
        world.direct.to_agent.send(&packet(direct_channel(), PathFlags::default(), &question));
        world.pass(20 * MS).await;
        let after = world.direct.to_technician.traffic();
        assert_eq!(after.datagrams, before.datagrams + 1);
        assert!(after.bytes - before.bytes <= 8 + bytes as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn datagrams_that_say_nothing_or_too_much_change_nothing_for_long() {
    let mut world = with_spare().await;
    let meter = world.bulk_down().await;
    let technician = world.at_technician.connection().clone();
    for turn in 0..100u32 {
        let flip = |count, channel| Bytes::copy_from_slice(&Flip { count, channel }.to_bytes());
        technician.send_datagram(Bytes::from_static(b"nothing")).unwrap();
        technician.send_datagram(flip(turn * 1000, ChannelId::new(9, 9).unwrap())).unwrap();
        technician.send_datagram(flip(0, if turn % 2 == 0 { relay_channel() } else { direct_channel() })).unwrap();
        world.pass(20 * MS).await;
    }
    assert!(world.labels() <= 10, "{} labels in 2 s", world.labels());
    // The last that was said may be the wrong channel; what a technician sends next says the right one.
    world.move_to(relay_channel());
    is_well(&mut world, &meter).await;
}
