//! The control connection: who answers, who is believed, and coming back.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::{net::SocketAddr, num::NonZeroU8, sync::Arc, time::Duration};

use common::{Relay, V4, V6, message, node, until};
use rand_core::OsRng;
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use transport::{
    listener::{BindError, Listener, ListenerConfig, PeerEnd},
    node::{ConnectError, ControlEvent, Loss, Node, NodeOptions, NotConnected, TcpFailure},
};
use trust::keys::SigningKey;
use wire::{
    control::{FromRelay, Refusal, ToRelay},
    ids::Locator,
    link::RelayLink,
};

const ALLOCATED: FromRelay = FromRelay::Refused { reason: Refusal::Full };

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_nodes_connect_at_once_on_several_threads() {
    let relay = Relay::start(V4);
    let link = relay.link();
    let mut nodes = JoinSet::new();
    for _ in 0..200 {
        nodes.spawn(Node::start(link.clone(), NodeOptions::default()));
    }
    while let Some(started) = nodes.join_next().await {
        started.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_machine_without_ipv6_connects_as_any_other() {
    let mut relay = Relay::start(V4);
    let options = NodeOptions { bind: Some((V4, 0).into()), ..NodeOptions::default() };
    let (node, _control) = Node::start(relay.link(), options).await.unwrap();
    assert_eq!(relay.peer().await.address, node.local_addr().unwrap());
}

/// Starts a node that is not patient.
async fn start_hasty(link: &RelayLink) -> Result<Node, ConnectError> {
    let options = NodeOptions { first_attempt: Duration::from_millis(700), ..NodeOptions::default() };
    Node::start(link.clone(), options).await.map(|(node, _)| node)
}

async fn start(link: &RelayLink) -> Result<Node, ConnectError> {
    Node::start(link.clone(), NodeOptions::default()).await.map(|(node, _)| node)
}

#[tokio::test]
async fn a_request_and_its_answer_pass_over_ipv4_and_ipv6() {
    for ip in [V4, V6] {
        let mut relay = Relay::start(ip);
        let (node, mut control) = node(&relay.link()).await;
        control.send(ToRelay::AllocateLocator).await.unwrap();
        let mut peer = relay.peer().await;
        assert_eq!(peer.address, common::seen_at(&node, ip));
        assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
        peer.send(ALLOCATED);
        assert_eq!(message(&mut control).await, ALLOCATED);
        until(|| relay.counters().accepted == 1).await;
    }
}

#[tokio::test]
async fn a_relay_on_both_families_knows_ipv4_clients_by_their_ipv4_address() {
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    let mut relay = Relay::start_with(any, SigningKey::generate(&mut OsRng), ListenerConfig::default());
    let pin = relay.key.public().digest().0;
    for (host, ip) in [("127.0.0.1", V4), ("::1", V6)] {
        let link = RelayLink::new(host, relay.address.port(), pin).unwrap();
        let (node, _control) = node(&link).await;
        assert_eq!(relay.peer().await.address, common::seen_at(&node, ip));
    }
}

#[tokio::test]
async fn a_relay_with_another_key_is_not_the_relay_of_the_link() {
    let relay = Relay::start(V4);
    let wrong = SigningKey::generate(&mut OsRng).public().digest().0;
    let link = RelayLink::new("127.0.0.1", relay.address.port(), wrong).unwrap();
    let error = start(&link).await.unwrap_err();
    assert_eq!(error, ConnectError::WrongKey);
    assert!(error.to_string().contains("this is not the relay that the link names"));
    assert!(!error.worth_trying_again());
}

#[tokio::test]
async fn an_address_on_which_nothing_answers_is_said_to_be_silent() {
    let silent = UdpSocket::bind((V4, 0)).await.unwrap();
    let link = RelayLink::new("127.0.0.1", silent.local_addr().unwrap().port(), [0; 32]).unwrap();
    let error = start_hasty(&link).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoWay { tcp: TcpFailure::Refused { .. }, .. }), "{error}");
    assert!(error.worth_trying_again());
}

#[tokio::test]
async fn a_name_without_an_address_is_said_to_be_unknown() {
    let link = RelayLink::new("no-such-relay.invalid", 4433, [0; 32]).unwrap();
    let error = start(&link).await.unwrap_err();
    assert!(matches!(&error, ConnectError::NotResolved { host, .. } if host == "no-such-relay.invalid"), "{error}");
}

#[tokio::test]
async fn a_node_comes_back_after_the_relay_was_killed_and_started_again() {
    let relay = Relay::start(V4);
    let link = relay.link();
    let (_node, mut control) = node(&link).await;
    let (address, key) = relay.kill().await;
    let mut relay = Relay::start_with(address, key, ListenerConfig::default());

    // Whatever is said next, the new relay answers that it knows nothing of the old connection.
    control.send(ToRelay::AllocateLocator).await.unwrap();
    let Some(ControlEvent::Down { why, retry_in }) = control.recv().await else { panic!("the relay was killed") };
    assert!(matches!(why, Loss::Restarted), "{why}");
    assert!(retry_in <= Duration::from_millis(100));
    assert_eq!(control.send(ToRelay::AllocateLocator).await, Err(NotConnected));
    assert!(matches!(control.recv().await, Some(ControlEvent::Up)));

    control.send(ToRelay::AllocateLocator).await.unwrap();
    let mut peer = relay.peer().await;
    assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator, "only what was said after it came back");
    peer.send(ALLOCATED);
    assert_eq!(message(&mut control).await, ALLOCATED);
}

#[tokio::test]
async fn a_relay_that_stops_says_when_to_come_back() {
    let mut relay = Relay::start(V4);
    let (_node, mut control) = node(&relay.link()).await;
    control.send(ToRelay::AllocateLocator).await.unwrap();
    let mut peer = relay.peer().await;
    peer.recv().await.unwrap();
    peer.send(FromRelay::Draining { reconnect_in_ms: 50_000 });
    assert!(matches!(message(&mut control).await, FromRelay::Draining { .. }));

    let listener = Arc::clone(&relay.listener);
    let (peer_end, (), down) = tokio::join!(peer.closed(), listener.shutdown(Duration::ZERO), control.recv());
    assert_eq!(peer_end, PeerEnd::Here);
    let Some(ControlEvent::Down { why: Loss::Draining, retry_in }) = down else { panic!("{down:?}") };
    assert!(retry_in > Duration::from_secs(20), "{retry_in:?}");
}

#[tokio::test]
async fn a_relay_that_stops_takes_nobody_new() {
    let relay = Relay::start(V4);
    relay.listener.drain();
    assert_eq!(start(&relay.link()).await.unwrap_err(), ConnectError::Refused);
    assert_eq!(relay.counters().refused, 1);
}

#[tokio::test]
async fn a_full_relay_refuses_and_goes_on() {
    let config = ListenerConfig { max_connections: 2, ..ListenerConfig::default() };
    let mut relay = Relay::start_with((V4, 0).into(), SigningKey::generate(&mut OsRng), config);
    let (first, _) = node(&relay.link()).await;
    let (_second, mut control) = node(&relay.link()).await;
    assert_eq!(start(&relay.link()).await.unwrap_err(), ConnectError::Refused);

    first.close().await;
    assert_eq!(relay.peer().await.closed().await, PeerEnd::ByPeer);
    until(|| relay.counters().connections < 2).await;
    start(&relay.link()).await.unwrap();

    let mut peer = relay.peer().await;
    control.send(ToRelay::AllocateLocator).await.unwrap();
    assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
    peer.send(ALLOCATED);
    assert_eq!(message(&mut control).await, ALLOCATED);
}

#[tokio::test]
async fn a_busy_relay_has_clients_show_their_address_first() {
    let config = ListenerConfig { retry_above: 0, ..ListenerConfig::default() };
    let relay = Relay::start_with((V4, 0).into(), SigningKey::generate(&mut OsRng), config);
    start(&relay.link()).await.unwrap();
    until(|| relay.counters().accepted == 1).await;
    assert_eq!(relay.counters().retried, 1);
}

#[tokio::test]
async fn whom_the_relay_does_not_admit_hears_nothing() {
    let relay = Relay::start(V4);
    relay.routes.admit_nobody();
    let error = start_hasty(&relay.link()).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoWay { tcp: TcpFailure::Refused { .. }, .. }), "{error}");
    assert!(relay.counters().ignored > 0);
    assert_eq!(relay.counters().accepted, 0);
}

#[tokio::test]
async fn a_relay_cannot_speak_before_it_is_spoken_to() {
    let mut relay = Relay::start(V4);
    let (_node, control) = node(&relay.link()).await;
    let mut peer = relay.peer().await;
    peer.send(FromRelay::Draining { reconnect_in_ms: 1 });
    let release = ToRelay::ReleaseLocator { locator: Locator::new(4821, 4).unwrap() };
    control.send(release.clone()).await.unwrap();
    assert_eq!(peer.recv().await.unwrap(), release);
    peer.send(ALLOCATED);
}

#[tokio::test]
async fn a_node_that_is_dropped_leaves_the_relay() {
    let mut relay = Relay::start(V4);
    let (node, control) = node(&relay.link()).await;
    let peer = relay.peer().await;
    drop(control);
    drop(node);
    assert_eq!(peer.closed().await, PeerEnd::ByPeer);
}

#[tokio::test]
async fn a_reason_for_closing_reaches_the_other_side() {
    let mut relay = Relay::start(V4);
    let (_node, mut control) = node(&relay.link()).await;
    relay.peer().await.close("too many requests");
    let Some(ControlEvent::Down { why, .. }) = control.recv().await else { panic!("the relay closed") };
    assert_eq!(why.to_string(), "the relay closed the connection: too many requests");
}

/// A relay with so many shards that clients are all but sure to meet several.
fn sharded() -> Relay {
    let config = ListenerConfig { shards: NonZeroU8::new(4).unwrap(), ..ListenerConfig::default() };
    Relay::start_with((V4, 0).into(), SigningKey::generate(&mut OsRng), config)
}

#[tokio::test]
async fn clients_of_all_shards_are_heard_and_answered() {
    let mut relay = sharded();
    let mut nodes = Vec::new();
    for number in 1..=24 {
        let (node, mut control) = node(&relay.link()).await;
        let mut peer = relay.peer().await;
        assert_eq!((peer.id.number(), peer.address), (number, common::seen_at(&node, V4)));
        control.send(ToRelay::AllocateLocator).await.unwrap();
        assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
        peer.send(ALLOCATED);
        assert_eq!(message(&mut control).await, ALLOCATED);
        nodes.push((node, control, peer));
    }
    assert_eq!(relay.counters().connections, 24);
    for (node, _, peer) in nodes {
        node.close().await;
        assert_eq!(peer.closed().await, PeerEnd::ByPeer);
    }
}

#[tokio::test]
async fn a_client_that_moves_to_another_shards_packets_keeps_its_connection() {
    let mut relay = sharded();
    let mut road = Road::to(relay.address).await;
    let link = RelayLink::new("127.0.0.1", road.address.port(), relay.key.public().digest().0).unwrap();
    let (_node, mut control) = node(&link).await;
    let mut peer = relay.peer().await;
    // Three of four new ports are another shard's.
    while relay.counters().strays == 0 {
        let from = road.change().await;
        control.send(ToRelay::AllocateLocator).await.unwrap();
        assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
        assert_eq!(peer.moved().await, from);
        peer.send(ALLOCATED);
        assert_eq!(message(&mut control).await, ALLOCATED);
    }
    assert_eq!((relay.counters().accepted, relay.counters().connections), (1, 1));
    assert!(peer.is_silent());
}

#[tokio::test]
async fn two_relays_cannot_share_a_port() {
    let relay = sharded();
    let config = ListenerConfig { shards: NonZeroU8::new(2).unwrap(), ..ListenerConfig::default() };
    let second = Listener::bind(relay.address, &relay.key, Arc::clone(&relay.routes) as _, config);
    let error = second.expect_err("the address is taken");
    assert!(
        matches!(&error, BindError::Socket { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_killed_relay_that_comes_back_with_fewer_shards_still_tells_its_clients() {
    let relay = sharded();
    let mut controls = Vec::new();
    for _ in 0..8 {
        controls.push(node(&relay.link()).await);
    }
    let (address, key) = relay.kill().await;
    let _relay = Relay::start_with(address, key, ListenerConfig::default());
    for (_node, control) in &mut controls {
        // A late acknowledgement may have shown it before.
        let _ = control.send(ToRelay::AllocateLocator).await;
        let Some(ControlEvent::Down { why, .. }) = control.recv().await else { panic!("the relay was killed") };
        assert!(matches!(why, Loss::Restarted), "{why}");
    }
}

/// What lies between a client and the relay, and gives the client another port when told to.
struct Road {
    address: SocketAddr,
    change: mpsc::Sender<oneshot::Sender<SocketAddr>>,
    _task: JoinSet<()>,
}

impl Road {
    async fn to(relay: SocketAddr) -> Self {
        let inside = UdpSocket::bind((V4, 0)).await.unwrap();
        let address = inside.local_addr().unwrap();
        let (change, mut changes) = mpsc::channel::<oneshot::Sender<SocketAddr>>(1);
        let mut outside = UdpSocket::bind((V4, 0)).await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut client = None;
            let (mut out, mut back) = ([0; 2048], [0; 2048]);
            loop {
                tokio::select! {
                    Some(changed) = changes.recv() => {
                        outside = UdpSocket::bind((V4, 0)).await.unwrap();
                        changed.send(outside.local_addr().unwrap()).unwrap();
                    }
                    Ok((length, from)) = inside.recv_from(&mut out) => {
                        client = Some(from);
                        outside.send_to(&out[..length], relay).await.unwrap();
                    }
                    Ok((length, _)) = outside.recv_from(&mut back) => {
                        inside.send_to(&back[..length], client.unwrap()).await.unwrap();
                    }
                }
            }
        });
        Self { address, change, _task: task }
    }

    async fn change(&mut self) -> SocketAddr {
        let (changed, to) = oneshot::channel();
        self.change.send(changed).await.unwrap();
        to.await.unwrap()
    }
}
