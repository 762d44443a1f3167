//! Attaching, rejoining, leaving and draining over real control connections.

use std::time::Duration;

use tokio::time::timeout;
use transport::node::{ControlEvent, Loss};
use wire::{
    control::{ChannelEnd, ChannelOrigin, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::Locator,
};

use crate::world::{PATIENCE, World, exchange, get, seal};

const NOBODY: FromRelay = FromRelay::Refused { reason: Refusal::NobodyWaiting };

#[tokio::test]
async fn a_technician_attaches_by_locator_and_both_talk_through_the_relay() {
    let world = World::start("").await;
    let (agent, technician, channel) = world.attached().await;

    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;

    assert_eq!(world.metric("channels").await, 1);
    assert!(world.metric("forwarded_packets_total").await > 4);
    // A handshake with a post-quantum share and a reply.
    assert!(world.metric("forwarded_bytes_total").await > 4_000);
    assert_eq!(world.metric("dropped_packets_total{reason=\"unbound_source\"}").await, 0);
}

#[tokio::test]
async fn unknown_used_and_lapsed_locators_are_refused_alike() {
    let world = World::start("locator_lifetime_secs = 30").await;
    let (mut agent, mut technician) = (world.connect().await, world.connect().await);
    let used = agent.allocate().await;
    agent.control.send(ToRelay::ReleaseLocator { locator: used }).await.unwrap();
    world.metric_becomes("locators", 0).await;
    let replaced = agent.allocate().await;
    let live = agent.allocate().await;

    let unknown = Locator::new(123_456, 6).unwrap();
    for locator in [used, replaced, unknown] {
        assert_eq!(technician.ask(ToRelay::Attach { locator, first: FirstFlight::default() }).await, NOBODY);
    }
    technician.attach(live).await;
}

#[tokio::test]
async fn a_second_technician_is_told_to_wait() {
    let world = World::start("").await;
    let (mut agent, mut ana, mut eve) = (world.connect().await, world.connect().await, world.connect().await);
    let locator = agent.allocate().await;
    let channel = ana.attach(locator).await;
    assert_eq!(
        eve.ask(ToRelay::Attach { locator, first: FirstFlight::default() }).await,
        FromRelay::Refused { reason: Refusal::Busy }
    );

    ana.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    assert_eq!(agent.opened().await, channel);
    assert_eq!(agent.message().await, FromRelay::ChannelClosed { channel, reason: ChannelEnd::Closed });
    eve.attach(locator).await;
}

#[tokio::test]
async fn a_guesser_is_cut_off_for_the_whole_address() {
    let world = World::start("failed_attach_burst = 3").await;
    let (mut agent, mut guesser, mut other) = (world.connect().await, world.connect().await, world.connect().await);
    let locator = agent.allocate().await;
    let unknown = Locator::new(1, 6).unwrap();
    for _ in 0..3 {
        assert_eq!(guesser.ask(ToRelay::Attach { locator: unknown, first: FirstFlight::default() }).await, NOBODY);
    }
    let refused = FromRelay::Refused { reason: Refusal::TooManyAttempts };
    assert_eq!(guesser.ask(ToRelay::Attach { locator, first: FirstFlight::default() }).await, refused);
    assert_eq!(other.ask(ToRelay::Attach { locator, first: FirstFlight::default() }).await, refused);
    assert_eq!(world.metric("requests_refused_total{request=\"attach\",reason=\"too_many_attempts\"}").await, 2);
}

#[tokio::test]
async fn when_the_technician_leaves_the_agent_is_told_and_the_slot_is_free() {
    let world = World::start("max_channels = 1").await;
    let (mut agent, technician, channel) = world.attached().await;

    technician.node.close().await;

    let told = agent.message().await;
    assert_eq!(told, FromRelay::ChannelClosed { channel, reason: ChannelEnd::PeerGone });
    world.metric_becomes("channels", 0).await;
    world.metric_becomes("connections", 1).await;
    assert_eq!(world.metric("channels_closed_total{reason=\"peer_gone\"}").await, 1);
}

#[tokio::test]
async fn a_session_goes_on_over_a_new_channel_after_a_rejoin() {
    let world = World::start("").await;
    let (mut agent, mut technician, channel) = world.attached().await;
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;
    technician.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    for side in [&mut agent, &mut technician] {
        assert_eq!(side.message().await, FromRelay::ChannelClosed { channel, reason: ChannelEnd::Closed });
    }

    let rendezvous = Rendezvous([9; 16]);
    agent.control.send(ToRelay::Rejoin { rendezvous, side: Side::Agent }).await.unwrap();
    world.metric_becomes("rejoins_waiting", 1).await;
    let answer = technician.ask(ToRelay::Rejoin { rendezvous, side: Side::Technician }).await;
    let FromRelay::ChannelOpen { channel: new, origin: ChannelOrigin::Rejoin, .. } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(agent.opened().await, new);
    assert_ne!(new, channel);

    // The agent did not hear that the two met, and the technician loses it. They meet in the same place again.
    technician.control.send(ToRelay::CloseChannel { channel: new }).await.unwrap();
    for side in [&mut agent, &mut technician] {
        assert_eq!(side.message().await, FromRelay::ChannelClosed { channel: new, reason: ChannelEnd::Closed });
    }
    technician.control.send(ToRelay::Rejoin { rendezvous, side: Side::Technician }).await.unwrap();
    world.metric_becomes("rejoins_waiting", 1).await;
    let answer = agent.ask(ToRelay::Rejoin { rendezvous, side: Side::Agent }).await;
    let FromRelay::ChannelOpen { channel: last, origin: ChannelOrigin::Rejoin, .. } = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(technician.opened().await, last);

    agent.node.move_session(at_agent.session_ref(), last).unwrap();
    technician.node.move_session(at_technician.session_ref(), last).unwrap();
    exchange(&mut at_agent, &mut at_technician).await;
}

#[tokio::test]
async fn somebody_who_floods_the_relay_is_disconnected() {
    let world = World::start("message_burst = 8\nmessage_every_millis = 60000").await;
    let mut flooder = world.connect().await;
    let locator = Locator::new(1, 4).unwrap();
    for _ in 0..20 {
        if flooder.control.send(ToRelay::ReleaseLocator { locator }).await.is_err() {
            break;
        }
    }
    match flooder.event().await {
        ControlEvent::Down { why: Loss::Closed { reason }, .. } => assert_eq!(reason.raw(), "too many messages"),
        other => panic!("{other:?}"),
    }
    world.metric_becomes("connections_flooded_total", 1).await;
}

#[tokio::test]
async fn a_full_relay_tells_newcomers_so() {
    let world = World::start("max_connections = 1").await;
    let mut first = world.connect().await;
    // A client is done with its handshake before the relay is, and another shard may be quicker.
    world.metric_becomes("connections", 1).await;
    let mut second = world.connect().await;
    assert_eq!(second.ask(ToRelay::AllocateLocator).await, FromRelay::Refused { reason: Refusal::Full });
    assert!(matches!(second.event().await, ControlEvent::Down { .. }));
    first.allocate().await;
}

#[tokio::test]
async fn a_drain_waits_for_the_session_and_then_ends() {
    let world = World::start("drain_secs = 600").await;
    let (mut agent, mut technician, channel) = world.attached().await;
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;

    world.relay.drain();

    for peer in [&mut agent, &mut technician] {
        assert!(matches!(peer.message().await, FromRelay::Draining { reconnect_in_ms: 600_000.. }));
    }
    let http = world.relay.http_address().unwrap();
    assert_eq!(get(http, "/healthz").await, (503, "draining\n".to_owned()));
    exchange(&mut at_agent, &mut at_technician).await;
    let still_running = timeout(Duration::ZERO, world.relay.ended()).await;
    assert!(still_running.is_err(), "the session goes on");

    agent.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    timeout(PATIENCE, world.relay.ended()).await.expect("nothing is left to wait for").unwrap();
}

#[tokio::test]
async fn a_drain_that_takes_too_long_cuts_the_session_and_says_so() {
    let world = World::start("drain_secs = 0").await;
    let (mut agent, _technician, channel) = world.attached().await;

    world.relay.drain();
    timeout(PATIENCE, world.relay.ended()).await.expect("the time is up").unwrap();

    let mut said = Vec::new();
    loop {
        match agent.event().await {
            ControlEvent::Message(message) => said.push(message),
            ControlEvent::Down { why, .. } => {
                assert!(matches!(why, Loss::Draining), "{why}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(said.first(), Some(FromRelay::Draining { .. })), "{said:?}");
    assert!(said.contains(&FromRelay::ChannelClosed { channel, reason: ChannelEnd::Draining }), "{said:?}");
}

#[tokio::test]
async fn a_relay_that_is_told_to_stop_at_once_does() {
    let world = World::start("drain_secs = 600").await;
    let (_agent, _technician, _channel) = world.attached().await;
    world.relay.drain();
    world.relay.stop_now();
    timeout(PATIENCE, world.relay.ended()).await.expect("no waiting").unwrap();
}
