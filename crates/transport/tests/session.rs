//! Sealed sessions between an agent and a technician, through a relay that reads none of it.

mod common;

use std::time::Duration;

use common::{Pair, Transfer, V4, V6, channel, greeting, node, seen_at, until};
use rand_core::OsRng;
use transport::{
    listener::ListenerConfig,
    node::{ControlEvent, Loss, MoveError, NodeOptions},
    sealed::{Carrier, CloseCode, SealedEnd},
    streams::{ByteSender, Priority, StreamError},
};
use trust::keys::SigningKey;
use wire::{
    control::{Side, ToRelay},
    ids::RunId,
    link::RelayLink,
    session::{EndReason, Output, StreamHeader, ToAgent, ToTechnician},
};

/// Long enough to be cut anywhere, short enough for a debug build.
const BULK_BYTES: usize = 4 << 20;

#[tokio::test]
async fn both_ends_share_a_secret_and_speak_both_ways() {
    let mut pair = Pair::start().await;
    let secret = pair.at_agent.sealed.exporter(b"label", b"context");
    assert_eq!(secret, pair.at_technician.sealed.exporter(b"label", b"context"));
    assert_ne!(secret, pair.at_technician.sealed.exporter(b"label", b"other"));
    assert_eq!(pair.at_agent.paired.words.to_string(), pair.at_technician.paired.words.to_string());

    pair.at_technician.sender.send(&ToAgent::Subscribe { period_ms: 1000 }).await.unwrap();
    let received = pair.at_agent.receiver.recv::<ToAgent>().await.unwrap();
    assert_eq!(received, Some(ToAgent::Subscribe { period_ms: 1000 }));
    pair.at_agent.sender.send(&ToTechnician::Resumed).await.unwrap();
    assert_eq!(pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap(), Some(ToTechnician::Resumed));

    let stats = pair.at_technician.sealed.stats();
    assert_eq!(stats.carrier, Carrier::Relayed);
    assert!(stats.sent_bytes > 0 && stats.received_bytes > 0 && stats.rtt > Duration::ZERO);
    let counters = pair.relay.counters();
    assert!(counters.forwarded_packets > 0 && counters.forwarded_bytes > 0);
    assert_eq!((counters.unknown_kind, counters.control_unsent, counters.receive_errors), (0, 0, 0));
}

#[tokio::test]
async fn bulk_arrives_whole_and_says_where_it_ends() {
    for (ip, plain_socket) in [(V4, false), (V6, false), (V4, true), (V6, true)] {
        let pair = Pair::start_on(ip, NodeOptions { plain_socket, ..NodeOptions::default() }).await;
        pair.carries(BULK_BYTES).await;
    }
}

#[tokio::test]
async fn a_session_goes_on_when_it_is_moved_in_the_middle_of_bulk() {
    let mut pair = Pair::start().await;
    let mut transfer = Transfer::start(&pair, BULK_BYTES).await;
    let mut next_move = BULK_BYTES / 8;
    let mut slot = 1;
    while let Some(received) = transfer.more().await {
        if received >= next_move && slot < 4 {
            pair.relay.routes.cut(channel(slot));
            slot += 1;
            next_move += BULK_BYTES / 4;
            pair.move_to(channel(slot));
        }
    }
    assert_eq!(slot, 4, "the session was moved three times");
    transfer.arrives_whole().await;

    pair.at_technician.sender.send(&ToAgent::End).await.unwrap();
    assert_eq!(pair.at_agent.receiver.recv::<ToAgent>().await.unwrap(), Some(ToAgent::End));
}

#[tokio::test]
async fn a_session_escapes_to_another_channel_when_its_own_goes_dead() {
    let mut pair = Pair::start().await;
    pair.relay.routes.join(channel(2), seen_at(&pair.agent, V4), seen_at(&pair.technician, V4));
    pair.agent.add_channel(pair.at_agent.sealed.session_ref(), channel(2)).unwrap();
    pair.technician.add_channel(pair.at_technician.sealed.session_ref(), channel(2)).unwrap();
    let mut transfer = Transfer::start(&pair, BULK_BYTES).await;
    while transfer.more().await.unwrap() < BULK_BYTES / 2 {}
    pair.relay.routes.cut(channel(1));
    transfer.arrives_whole().await;
    pair.at_technician.sender.send(&ToAgent::End).await.unwrap();
    assert_eq!(pair.at_agent.receiver.recv::<ToAgent>().await.unwrap(), Some(ToAgent::End));
}

#[tokio::test]
async fn a_session_outlives_the_relay_that_it_ran_over() {
    let mut pair = Pair::start().await;
    let mut transfer = Transfer::start(&pair, BULK_BYTES).await;
    transfer.more().await.unwrap();

    pair.peers.clear();
    let (address, key) = pair.relay.kill().await;
    pair.relay = common::Relay::start_with(address, key, Default::default());
    for control in [&mut pair.agent_control, &mut pair.technician_control] {
        // Nobody was told: a session that hears nothing makes its node ask.
        let Some(ControlEvent::Down { why, .. }) = control.recv().await else { panic!("the relay was killed") };
        assert!(matches!(why, Loss::Restarted | Loss::Silent), "{why}");
        while !matches!(control.recv().await.unwrap(), ControlEvent::Up) {}
    }
    pair.move_to(channel(9));

    transfer.arrives_whole().await;
}

/// Writes until nothing more is taken at once, and returns how much was.
async fn fill(stream: &mut ByteSender) -> usize {
    let block = vec![0; 16 * 1024];
    let mut taken = 0;
    loop {
        tokio::select! {
            biased;
            written = stream.write(&block) => taken += written.expect("the stream is open"),
            () = std::future::ready(()) => return taken,
        }
    }
}

#[tokio::test]
async fn an_urgent_message_is_taken_though_bulk_fills_every_buffer() {
    let mut pair = Pair::start().await;
    pair.relay.routes.cut(channel(1));
    let mut bulk = pair.at_agent.sealed.open_uni(Priority::Bulk).await.unwrap();
    // With the path dead, bulk is taken until the buffers are full.
    let taken = fill(&mut bulk).await;
    assert!((900_000..1_100_000).contains(&taken), "{taken}");

    let ended = ToTechnician::Ended { reason: EndReason::ByUser };
    pair.at_agent.sender.send(&ended).await.unwrap();

    pair.move_to(channel(2));
    assert_eq!(pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap(), Some(ended));
}

#[tokio::test]
async fn a_peer_that_reads_no_bulk_still_hears_what_is_said() {
    let mut pair = Pair::start().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = pair.at_agent.sealed.open_uni(Priority::Bulk).await.unwrap();
        // As much as a technician keeps of a stream that it does not read, and then as much as the agent keeps.
        stream.write_all(&vec![0; 1 << 20]).await.unwrap();
        fill(&mut stream).await;
        streams.push(stream);
    }
    pair.at_agent.sender.send(&ToTechnician::Resumed).await.unwrap();
    assert_eq!(pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap(), Some(ToTechnician::Resumed));
}

#[tokio::test]
async fn until_it_is_asked_to_an_agent_answers_nothing_on_a_channel() {
    let relay = common::Relay::start(V4);
    let (agent, _agent_control) = node(&relay.link()).await;
    let (technician, _technician_control) = node(&relay.link()).await;
    relay.routes.join(channel(1), seen_at(&agent, V4), seen_at(&technician, V4));
    let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));

    let dial = technician.dial_session(channel(1), &technician_key);
    let serve = async {
        // The first flight and one repeat of it.
        until(|| agent.counters().unknown_channel >= 4).await;
        assert_eq!(relay.routes.packets_from(seen_at(&agent, V4)), 0);
        agent.serve_session(channel(1), &agent_key, greeting).await
    };
    let (dialled, served) = tokio::join!(dial, serve);
    assert_eq!(dialled.unwrap().peer_key(), agent_key.public());
    assert_eq!(served.unwrap().peer_key(), technician_key.public());
}

#[tokio::test]
async fn an_agent_on_ipv4_and_a_technician_on_ipv6_meet_at_a_relay_on_both() {
    for plain_socket in [false, true] {
        let both = (std::net::Ipv6Addr::UNSPECIFIED, 0).into();
        let config = ListenerConfig { plain_socket, ..ListenerConfig::default() };
        let relay = common::Relay::start_with(both, SigningKey::generate(&mut OsRng), config);
        let link = |host| RelayLink::new(host, relay.address.port(), relay.key.public().digest().0).unwrap();
        let (agent, _agent_control) = node(&link("127.0.0.1")).await;
        let (technician, _technician_control) = node(&link("::1")).await;
        relay.routes.join(channel(1), seen_at(&agent, V4), seen_at(&technician, V6));
        let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let (at_agent, at_technician) = tokio::join!(
            agent.serve_session(channel(1), &agent_key, greeting),
            technician.dial_session(channel(1), &technician_key)
        );
        assert_eq!(at_agent.unwrap().peer_key(), technician_key.public());
        assert_eq!(at_technician.unwrap().peer_key(), agent_key.public());
        assert_eq!(relay.counters().no_route, 0);
    }
}

#[tokio::test]
async fn one_node_serves_several_sessions_each_with_its_own_key() {
    let relay = common::Relay::start(V4);
    let (agent, _agent_control) = node(&relay.link()).await;
    let (technician, _technician_control) = node(&relay.link()).await;
    let keys = [(); 3].map(|()| SigningKey::generate(&mut OsRng));
    let technician_key = SigningKey::generate(&mut OsRng);
    for slot in 0..3 {
        relay.routes.join(channel(slot), seen_at(&agent, V4), seen_at(&technician, V4));
    }
    let served = async {
        tokio::join!(
            agent.serve_session(channel(0), &keys[0], greeting),
            agent.serve_session(channel(1), &keys[1], greeting),
            agent.serve_session(channel(2), &keys[2], greeting)
        )
    };
    let dialled = async {
        tokio::join!(
            technician.dial_session(channel(0), &technician_key),
            technician.dial_session(channel(1), &technician_key),
            technician.dial_session(channel(2), &technician_key)
        )
    };
    let ((a, b, c), (x, y, z)) = tokio::join!(served, dialled);
    for (key, (at_agent, at_technician)) in keys.iter().zip([(a, x), (b, y), (c, z)]) {
        let (at_agent, at_technician) = (at_agent.unwrap(), at_technician.unwrap());
        assert_eq!(at_technician.peer_key(), key.public());
        assert_eq!(at_agent.exporter(b"l", b"c"), at_technician.exporter(b"l", b"c"));
    }
}

#[tokio::test]
async fn the_other_side_learns_why_a_session_was_closed() {
    let pair = Pair::start().await;
    pair.at_agent.sealed.close(CloseCode::Shutdown, "the machine is going down\u{1b}[2J");
    let end = pair.at_technician.sealed.closed().await;
    let SealedEnd::ByPeer { code, reason } = end else { panic!("{end}") };
    assert_eq!(code, Some(CloseCode::Shutdown));
    assert_eq!(reason.to_string(), "the machine is going down\\u{1b}[2J");
    assert_eq!(pair.at_agent.sealed.end(), Some(SealedEnd::Here));
}

#[tokio::test]
async fn what_was_said_before_the_end_arrives() {
    let mut pair = Pair::start().await;
    let ended = ToTechnician::Ended { reason: EndReason::ByUser };
    let finish = async {
        let mut sender = pair.at_agent.sender;
        sender.send(&ended).await.unwrap();
        sender.finish().await.unwrap();
        pair.at_agent.sealed.close(CloseCode::Done, "");
    };
    let receive = async {
        let last = pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap();
        assert_eq!(last, Some(ended.clone()));
        assert_eq!(pair.at_technician.receiver.recv::<ToTechnician>().await, Ok(None));
        pair.at_technician.sealed.closed().await
    };
    let ((), end) = tokio::join!(finish, receive);
    assert!(matches!(end, SealedEnd::ByPeer { code: Some(CloseCode::Done), .. }));
}

#[tokio::test]
async fn a_stream_that_is_dropped_never_passes_for_a_whole_one() {
    let mut pair = Pair::start().await;
    let mut stream = pair.at_agent.sealed.open_uni(Priority::Live).await.unwrap();
    stream.write_all(b"the first half").await.unwrap();
    let mut received = pair.at_technician.sealed.accept_uni().await.unwrap();
    assert_eq!(received.read(100).await.unwrap().unwrap().as_ref(), b"the first half");
    drop(stream);
    assert!(matches!(received.read(100).await, Err(StreamError::Reset { .. })));

    drop(pair.at_agent.sender);
    let error = pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap_err();
    assert!(matches!(error, StreamError::Reset { .. }), "{error}");
}

#[tokio::test]
async fn a_reader_that_leaves_is_noticed_by_the_writer() {
    let pair = Pair::start().await;
    let mut stream = pair.at_agent.sealed.open_uni(Priority::Bulk).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    pair.at_technician.sealed.accept_uni().await.unwrap().stop(7);
    let error = loop {
        if let Err(error) = stream.write(b"x").await {
            break error;
        }
    };
    assert_eq!(error, StreamError::Stopped { code: 7 });
    assert!(error.session_goes_on());
}

#[tokio::test]
async fn receiving_can_be_broken_off_at_any_byte() {
    let pair = Pair::start().await;
    let headers = (0..20).map(|run| StreamHeader::Output { run: RunId(run * 1000), output: Output::Stderr });
    let headers = headers.collect::<Vec<_>>();
    let mut sender = pair.at_agent.sealed.open_uni(Priority::Live).await.unwrap();
    let bytes = headers.iter().flat_map(|header| wire::codec::frame(header).unwrap()).collect::<Vec<_>>();
    let send = async {
        for byte in &bytes {
            sender.write_all(std::slice::from_ref(byte)).await.unwrap();
            tokio::task::yield_now().await;
        }
        sender.finish().await.unwrap();
    };
    let receive = async {
        let mut stream = pair.at_technician.sealed.accept_uni().await.unwrap();
        let mut received = Vec::new();
        loop {
            tokio::select! {
                biased;
                next = stream.recv::<StreamHeader>() => match next.unwrap() {
                    Some(header) => received.push(header),
                    None => return received,
                },
                () = tokio::task::yield_now() => {}
            }
        }
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, headers);
}

#[tokio::test]
async fn sessions_that_are_over_cannot_be_moved() {
    let pair = Pair::start().await;
    let session = pair.at_agent.sealed.session_ref();
    drop(pair.at_agent);
    assert_eq!(pair.agent.move_session(session, channel(2)), Err(MoveError::UnknownSession));
}

#[tokio::test]
async fn a_node_that_is_closed_ends_its_sessions() {
    let pair = Pair::start().await;
    pair.agent.close().await;
    let end = pair.at_technician.sealed.closed().await;
    assert!(matches!(end, SealedEnd::ByPeer { .. }), "{end}");
    let mut control = pair.agent_control;
    assert!(control.recv().await.is_none());
    let rejoin = ToRelay::Rejoin { rendezvous: pair.at_agent.paired.rendezvous, side: Side::Agent };
    assert!(control.send(rejoin).await.is_err());
}
