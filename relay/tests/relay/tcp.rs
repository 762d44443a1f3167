//! Agents and technicians over TCP, and troublemakers there.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use transport::node::{CarrierChoice, ControlEvent, Loss};
use wire::control::{ChannelEnd, FromRelay, Refusal, ToRelay};

use crate::world::{PATIENCE, World, exchange, seal};

#[tokio::test]
async fn an_agent_over_tcp_and_a_technician_over_udp_talk_through_the_relay() {
    let world = World::start("").await;
    let (mut agent, mut technician) = (world.connect_by(CarrierChoice::Tcp).await, world.connect().await);
    let locator = agent.allocate().await;
    let channel = technician.attach(locator).await;
    assert_eq!(agent.opened().await, channel);
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;
    assert_eq!(world.metric("tcp_connections").await, 1);
    assert_eq!(world.metric("connections").await, 2);

    // The relay hears at once that a program is gone, and tells the other side.
    drop((at_agent, agent));
    assert_eq!(technician.message().await, FromRelay::ChannelClosed { channel, reason: ChannelEnd::PeerGone });
    world.metric_becomes("tcp_connections", 0).await;
    world.metric_becomes("connections", 1).await;
}

#[tokio::test]
async fn limits_of_an_address_hold_for_the_programs_behind_pipes() {
    // Every pipe has an address of its own, made up by the relay. It is the real one that counts.
    let world = World::start("max_connections_per_address = 2").await;
    let (_one, _two) = (world.connect_by(CarrierChoice::Tcp).await, world.connect().await);
    let mut third = world.connect_by(CarrierChoice::Tcp).await;
    assert_eq!(third.ask(ToRelay::AllocateLocator).await, FromRelay::Refused { reason: Refusal::TooManyAttempts });
    assert_eq!(world.metric("addresses").await, 1);
}

#[tokio::test]
async fn connections_over_tcp_are_bounded_for_each_address() {
    let world = World::start("max_tcp_per_address = 1").await;
    let one = world.connect_by(CarrierChoice::Tcp).await;
    let mut other = TcpStream::connect(world.relay.tcp_address().unwrap()).await.unwrap();
    let closed = timeout(PATIENCE, other.read(&mut [0; 16])).await.unwrap();
    assert!(closed.is_err() || closed.is_ok_and(|length| length == 0));
    world.metric_becomes("tcp_connections_refused_total{reason=\"full_for_address\"}", 1).await;
    drop(one);
    world.metric_becomes("tcp_connections", 0).await;
    world.connect_by(CarrierChoice::Tcp).await;
}

#[tokio::test]
async fn who_speaks_no_tls_is_let_go_and_counted() {
    let world = World::start("").await;
    let mut stranger = TcpStream::connect(world.relay.tcp_address().unwrap()).await.unwrap();
    stranger.write_all(b"GET /pipe HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    world.metric_becomes("tcp_connections_refused_total{reason=\"unfinished\"}", 1).await;
}

#[tokio::test]
async fn a_relay_that_stops_says_so_over_tcp() {
    let world = World::start("drain_secs = 0").await;
    let mut agent = world.connect_by(CarrierChoice::Tcp).await;
    agent.allocate().await;
    world.relay.drain();
    loop {
        match agent.event().await {
            ControlEvent::Message(FromRelay::Draining { .. }) => {}
            ControlEvent::Down { why, .. } => {
                assert!(matches!(why, Loss::Draining), "{why}");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    world.relay.ended().await.unwrap();
}

#[tokio::test]
async fn without_tcp_nobody_listens_there() {
    let world = World::start("tcp = false").await;
    assert_eq!(world.relay.tcp_address(), None);
    assert!(TcpStream::connect(world.relay.udp_address()).await.is_err());
}
