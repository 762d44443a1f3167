//! Everything over TCP: control connections and sessions by pipes, alone, beside UDP, through a proxy, and back to UDP.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use std::time::Duration;

use common::{Pair, Peer, Relay, Seen, Transfer, V4, V6, channel, message};
use testkit::{
    connect_proxy::{Asked, ConnectProxy},
    delay_link::{Conditions, DelayLink, Direction},
};
use tokio::time::timeout;
use transport::{
    listener::pipes::PipesConfig,
    node::{CarrierChoice, ConnectError, Control, ControlEvent, Loss, Node, NodeOptions, Proxies, TcpFailure},
    sealed::Carrier,
};
use wire::{
    control::{FromRelay, ToRelay},
    ids::Locator,
    link::RelayLink,
    session::{ToAgent, ToTechnician},
};

/// Long enough to fill every queue on the way many times.
const BULK_BYTES: usize = 4 << 20;

fn by(carrier: CarrierChoice) -> NodeOptions {
    NodeOptions { carrier, proxies: Some(Proxies::none()), ..NodeOptions::default() }
}

/// A place that a relay's clients know, where UDP leads through a link that can be cut, and TCP to the relay.
async fn with_link_for_udp(relay: &mut Relay) -> (DelayLink, RelayLink) {
    loop {
        let link = DelayLink::start(relay.address, Conditions::default()).await.unwrap();
        // Another program may have the port of TCP.
        if relay.take_pipes_at(link.address(), PipesConfig::default()).is_ok() {
            let place = link.address();
            let known_as = RelayLink::new(&place.ip().to_string(), place.port(), relay.key.public().digest().0);
            return (link, known_as.unwrap());
        }
    }
}

/// Tells which of two clients of a relay is the agent, by what it says.
async fn agent_first(agent: &Control, one: Peer, other: Peer) -> (Seen, Seen) {
    agent.send(ToRelay::AllocateLocator).await.unwrap();
    let (mut one, mut other) = (one, other);
    tokio::select! {
        said = one.recv() => assert_eq!(said.unwrap(), ToRelay::AllocateLocator),
        said = other.recv() => {
            assert_eq!(said.unwrap(), ToRelay::AllocateLocator);
            return (other.seen(), one.seen());
        }
    }
    (one.seen(), other.seen())
}

async fn up(control: &mut Control) {
    while !matches!(control.recv().await.unwrap(), ControlEvent::Up) {}
}

#[tokio::test]
async fn bulk_arrives_whole_by_every_mixture_of_carriers() {
    for (agent, technician) in [
        (CarrierChoice::Tcp, CarrierChoice::Tcp),
        (CarrierChoice::Tcp, CarrierChoice::Udp),
        (CarrierChoice::Udp, CarrierChoice::Tcp),
    ] {
        let relay = Relay::start_with_pipes(PipesConfig::default());
        let pair = Pair::start_at(relay, V4, by(agent), by(technician)).await;
        pair.carries(BULK_BYTES).await;
        for (end, choice, seen) in
            [(&pair.at_agent, agent, &pair.agent_at), (&pair.at_technician, technician, &pair.technician_at)]
        {
            let shown = if choice == CarrierChoice::Tcp { "relayed over TCP" } else { "relayed" };
            assert_eq!(end.sealed.stats().way(), shown);
            assert_eq!(seen.client.ip(), V4, "the relay knows where the client really is");
            assert_eq!(seen.address == seen.client, choice == CarrierChoice::Udp);
        }
        assert_eq!(pair.relay.counters().unknown_kind, 0);
    }
}

#[tokio::test]
async fn a_network_that_drops_udp_costs_less_than_a_second() {
    let mut relay = Relay::start(V4);
    let (udp, link) = with_link_for_udp(&mut relay).await;
    udp.cut();
    // A quarter of a second's head start for UDP; the rest is room for a busy machine.
    let started = timeout(Duration::from_secs(3), Node::start(link, by(CarrierChoice::Auto))).await;
    let (_node, _control) = started.expect("UDP is not waited for").unwrap();
    let peer = relay.peer().await;
    assert_ne!(peer.address, peer.client);
}

#[tokio::test]
async fn ipv6_works_as_well_and_limits_count_networks() {
    let one_each = PipesConfig { max_pipes_per_address: 1, ..PipesConfig::default() };
    let mut relay = Relay::start_with_pipes_on(V6, one_each);
    let (_node, _control) = Node::start(relay.link(), by(CarrierChoice::Tcp)).await.unwrap();
    assert_eq!(relay.peer().await.client.ip(), V6);
    let error = Node::start(relay.link(), by(CarrierChoice::Tcp)).await.unwrap_err();
    assert!(matches!(&error, ConnectError::NoTcp { .. }), "{error}");
    assert_eq!(relay.pipes.as_ref().unwrap().counters().full_for_address, 1);
}

#[tokio::test]
async fn where_both_pass_udp_is_taken() {
    let mut relay = Relay::start_with_pipes(PipesConfig::default());
    let (_node, _control) = Node::start(relay.link(), by(CarrierChoice::Auto)).await.unwrap();
    let peer = relay.peer().await;
    assert_eq!(peer.address, peer.client);
}

#[tokio::test]
async fn a_first_packet_that_is_lost_does_not_make_udp_lose() {
    let mut relay = Relay::start(V4);
    let (udp, link) = with_link_for_udp(&mut relay).await;
    udp.cut();
    let mut starting = std::pin::pin!(Node::start(link, by(CarrierChoice::Auto)));
    let lost = || udp.traffic(Direction::ToTarget).lost;
    let (_node, _control) = tokio::select! {
        started = &mut starting => started.unwrap(),
        () = common::until(|| lost() > 0) => {
            udp.heal();
            starting.await.unwrap()
        }
    };
    // Over TCP it may have come first, and is given up then.
    let pipes = relay.pipes.as_ref().unwrap();
    common::until(|| pipes.counters().open == 0).await;
    loop {
        let peer = relay.peer().await;
        if peer.address == peer.client {
            break;
        }
    }
}

#[tokio::test]
async fn somebody_else_who_answers_by_udp_does_not_hide_the_relay_over_tcp() {
    let stranger = Relay::start(V4);
    let mut relay = Relay::start(V4);
    loop {
        let link = DelayLink::start(stranger.address, Conditions::default()).await.unwrap();
        if relay.take_pipes_at(link.address(), PipesConfig::default()).is_err() {
            continue;
        }
        let known_as = RelayLink::new("127.0.0.1", link.address().port(), relay.key.public().digest().0).unwrap();
        Node::start(known_as.clone(), by(CarrierChoice::Auto)).await.unwrap();
        let error = Node::start(known_as, by(CarrierChoice::Udp)).await.unwrap_err();
        assert_eq!(error, ConnectError::WrongKey);
        return;
    }
}

#[tokio::test]
async fn what_was_tried_is_told_when_neither_leads_anywhere() {
    let silent = tokio::net::UdpSocket::bind((V4, 0)).await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let link = RelayLink::new("127.0.0.1", port, [7; 32]).unwrap();
    let hasty = |carrier| NodeOptions { first_attempt: Duration::from_millis(600), ..by(carrier) };
    let error = Node::start(link.clone(), hasty(CarrierChoice::Auto)).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoWay { tcp: TcpFailure::Refused { .. }, .. }), "{error}");
    let said = error.to_string();
    for part in ["UDP port", "nobody listens at TCP port", "no session was started", "check that the relay"] {
        assert!(said.contains(part), "{said}");
    }
    let error = Node::start(link.clone(), hasty(CarrierChoice::Tcp)).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoTcp { .. }) && error.to_string().contains("UDP was not tried"), "{error}");
    let error = Node::start(link, hasty(CarrierChoice::Udp)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::NoAnswer { .. }) && error.to_string().contains("TCP was not tried"),
        "{error}"
    );
}

#[tokio::test]
async fn a_proxy_is_told_the_relays_name_and_nobody_else_needs_to_know_it() {
    let mut relay = Relay::start_with_pipes(PipesConfig::default());
    let place = ("relay.invalid:4433".to_owned(), relay.address);
    // "ana" and "p@ss word".
    let proxy = ConnectProxy::start([place.clone()], Some("Basic YW5hOnBAc3Mgd29yZA==")).unwrap();
    let link = RelayLink::new("relay.invalid", 4433, relay.key.public().digest().0).unwrap();
    let through = |userinfo: &str| {
        let proxies = Proxies::new(&format!("http://{userinfo}{}", proxy.address()), "");
        NodeOptions { proxies: Some(proxies), ..NodeOptions::default() }
    };

    let (_node, _control) = Node::start(link.clone(), through("ana:p%40ss%20word@")).await.unwrap();
    relay.peer().await;

    let error = Node::start(link.clone(), through("ana:wrong@")).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(&error, ConnectError::NoTcp { tcp: TcpFailure::ProxyPassword { .. }, .. }), "{said}");
    assert!(said.contains("407") && !said.contains("wrong"), "{said}");

    let elsewhere = RelayLink::new("other.invalid", 4433, link.pin()).unwrap();
    let error = Node::start(elsewhere, through("ana:p%40ss%20word@")).await.unwrap_err();
    assert!(matches!(&error, ConnectError::NoTcp { tcp: TcpFailure::ProxyRefused { status: 403, .. }, .. }), "{error}");
    let asked = |place: &str, status| Asked { place: place.to_owned(), status };
    assert_eq!(proxy.asked(), [asked(&place.0, 200), asked(&place.0, 407), asked("other.invalid:4433", 403)]);
}

#[tokio::test]
async fn another_relay_is_no_good_over_tcp_either() {
    let relay = Relay::start_with_pipes(PipesConfig::default());
    let link = RelayLink::new("127.0.0.1", relay.address.port(), [9; 32]).unwrap();
    let error = Node::start(link, by(CarrierChoice::Tcp)).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::NoTcp { tcp: TcpFailure::Certificate { .. }, .. }),
        "neither the pin nor this machine knows its certificate: {error}"
    );
}

#[tokio::test]
async fn a_relay_that_takes_no_more_says_so_in_the_pipe() {
    let relay = Relay::start_with_pipes(PipesConfig::default());
    relay.listener.drain();
    let error = Node::start(relay.link(), by(CarrierChoice::Tcp)).await.unwrap_err();
    assert!(matches!(&error, ConnectError::NoTcp { tcp: TcpFailure::Full, .. }), "{error}");
}

#[tokio::test]
async fn a_session_over_tcp_outlives_the_relay_that_it_ran_over() {
    let relay = Relay::start_with_pipes(PipesConfig::default());
    let mut pair = Pair::start_at(relay, V4, by(CarrierChoice::Tcp), by(CarrierChoice::Tcp)).await;
    let mut transfer = Transfer::start(&pair, BULK_BYTES).await;
    transfer.more().await.unwrap();

    pair.peers.clear();
    let (address, key) = pair.relay.kill().await;
    for control in [&mut pair.agent_control, &mut pair.technician_control] {
        let Some(ControlEvent::Down { why, .. }) = control.recv().await else { panic!("the relay was killed") };
        assert!(matches!(why, Loss::Cut), "over TCP it is known at once: {why}");
    }
    pair.relay = Relay::start_with(address, key, Default::default());
    pair.relay.take_pipes_at(address, PipesConfig::default()).unwrap();
    up(&mut pair.agent_control).await;
    up(&mut pair.technician_control).await;
    let (one, other) = (pair.relay.peer().await, pair.relay.peer().await);
    (pair.agent_at, pair.technician_at) = agent_first(&pair.agent_control, one, other).await;
    pair.move_to(channel(9));

    transfer.arrives_whole().await;
}

#[tokio::test]
async fn a_session_goes_back_to_udp_once_that_passes_again() {
    let mut relay = Relay::start(V4);
    let (udp, link) = with_link_for_udp(&mut relay).await;
    udp.cut();
    let options = NodeOptions { udp_again: Duration::from_millis(50), ..by(CarrierChoice::Auto) };
    let mut pair = Pair::start_by(relay, link, V4, options, by(CarrierChoice::Tcp)).await;
    assert_eq!(pair.at_agent.sealed.stats().way(), "relayed over TCP");
    let mut transfer = Transfer::start(&pair, BULK_BYTES).await;
    transfer.more().await.unwrap();

    udp.heal();
    let Some(ControlEvent::Down { why, .. }) = pair.agent_control.recv().await else { panic!("it goes to UDP") };
    assert!(matches!(why, Loss::Better), "{why}");
    up(&mut pair.agent_control).await;
    pair.agent_at = pair.relay.peer().await.seen();
    assert_eq!(pair.agent_at.address, pair.agent_at.client);
    pair.move_to(channel(2));

    transfer.arrives_whole().await;
    assert_eq!(pair.at_agent.sealed.stats().carrier, Carrier::Relayed);
}

#[tokio::test]
async fn nobody_leaves_tcp_while_a_code_hangs_on_the_control_connection() {
    let mut relay = Relay::start(V4);
    let (udp, link) = with_link_for_udp(&mut relay).await;
    udp.cut();
    let options = NodeOptions { udp_again: Duration::from_millis(1), ..by(CarrierChoice::Auto) };
    let (_node, mut control) = Node::start(link, options).await.unwrap();
    up(&mut control).await;
    let mut peer = relay.peer().await;
    let tried = udp.traffic(Direction::ToTarget).datagrams;
    udp.heal();
    // Round trips through the pipe, each longer than the time after which UDP could be tried.
    let locator = Locator::new(4821, 4).unwrap();
    for _ in 0..50 {
        control.send(ToRelay::AllocateLocator).await.unwrap();
        assert_eq!(peer.recv().await.unwrap(), ToRelay::AllocateLocator);
        peer.send(FromRelay::LocatorLapsed { locator });
        assert_eq!(message(&mut control).await, FromRelay::LocatorLapsed { locator });
    }
    let later = udp.traffic(Direction::ToTarget).datagrams;
    // What the first attempt sends until it is given up may still come; a new one would be a connection more at the relay.
    assert!(later - tried < 4 && relay.counters().accepted == 1, "{tried} {later}");
}

#[tokio::test]
async fn bulk_over_a_slow_line_leaves_room_for_what_is_said() {
    let relay = Relay::start_with_pipes(PipesConfig::default());
    // 2 Mbit/s each way.
    let rate = 250_000;
    let place = ("relay.invalid:4433".to_owned(), relay.address);
    let proxy = ConnectProxy::start_at_rate([place], None, Some(rate)).unwrap();
    let link = RelayLink::new("relay.invalid", 4433, relay.key.public().digest().0).unwrap();
    let slow = NodeOptions {
        carrier: CarrierChoice::Tcp,
        proxies: Some(Proxies::new(&proxy.address().to_string(), "")),
        ..NodeOptions::default()
    };
    let mut pair = Pair::start_by(relay, link, V4, slow.clone(), slow).await;
    let mut transfer = Transfer::start(&pair, 1 << 20).await;
    let begun = tokio::time::Instant::now();
    let mut slowest = Duration::ZERO;
    let mut next = 1 << 17;
    while let Some(received) = transfer.more().await {
        if received >= next {
            next += 1 << 17;
            let asked = tokio::time::Instant::now();
            pair.at_technician.sender.send(&ToAgent::Subscribe { period_ms: 1000 }).await.unwrap();
            pair.at_agent.receiver.recv::<ToAgent>().await.unwrap();
            pair.at_agent.sender.send(&ToTechnician::Resumed).await.unwrap();
            pair.at_technician.receiver.recv::<ToTechnician>().await.unwrap();
            slowest = slowest.max(asked.elapsed());
        }
    }
    // A second at most was seen, and 4.2 s would be the line's share; the rest is room for a busy machine.
    assert!(slowest < Duration::from_secs(3), "{slowest:?} for the slowest answer");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?} in all", begun.elapsed());
    transfer.arrives_whole().await;
}

#[tokio::test]
async fn a_program_that_ends_says_so_through_its_pipe() {
    let relay = Relay::start_with_pipes(PipesConfig::default());
    let pair = Pair::start_at(relay, V4, by(CarrierChoice::Tcp), by(CarrierChoice::Udp)).await;
    let Pair { agent, at_agent, at_technician, relay, .. } = pair;
    drop(at_agent);
    agent.close().await;
    // Not by silence, which would take many minutes.
    let ended = timeout(Duration::from_secs(10), at_technician.sealed.closed()).await;
    assert!(ended.is_ok(), "the technician hears it");
    let pipes = relay.pipes.as_ref().unwrap();
    common::until(|| pipes.counters().open == 0).await;
}
