//! The data path against packets that no honest program sends.

use std::net::SocketAddr;

use tokio::{net::UdpSocket, sync::mpsc, task::JoinSet};
use wire::{
    channel::{ChannelId, DataHeader},
    control::{ChannelEnd, FirstFlight, FromRelay, Refusal, ToRelay},
    ids::Locator,
    link::RelayLink,
};

use crate::world::{World, connect, exchange, proof, seal};

/// Sends raw packets to the relay.
struct Stranger {
    socket: UdpSocket,
}

impl Stranger {
    async fn new(world: &World) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(world.relay.udp_address()).await.unwrap();
        Self { socket }
    }

    async fn send(&self, channel: ChannelId) {
        let mut packet = DataHeader { channel }.to_bytes().to_vec();
        packet.extend([0x40; 100]);
        self.socket.send(&packet).await.unwrap();
    }

    /// Whether a packet came back that is all header. Call when the relay has counted what was sent.
    fn hears_eight_bytes(&self) -> bool {
        self.socket.try_recv(&mut [0; 2048]).is_ok_and(|length| length == 8)
    }

    /// Whether anything else came back. Call when the relay has counted what was sent.
    fn heard(&self) -> bool {
        self.socket.try_recv(&mut [0; 2048]).is_ok()
    }
}

#[tokio::test]
async fn packets_of_a_stranger_are_dropped_and_counted_and_the_session_notices_nothing() {
    let world = World::start("").await;
    let (agent, technician, channel) = world.attached().await;
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    let (before_agent, before_technician) = (agent.node.counters(), technician.node.counters());

    let stranger = Stranger::new(&world).await;
    for _ in 0..50 {
        stranger.send(channel).await;
    }
    world.metric_becomes("dropped_packets_total{reason=\"unbound_source\"}", 50).await;

    exchange(&mut at_agent, &mut at_technician).await;
    // Who knows a channel could be one of its sides at another address. Eight bytes are all it hears, for thousands.
    assert!(stranger.hears_eight_bytes(), "it is told that it is not bound");
    world.metric_becomes("unbound_told_total", 1).await;
    assert!(!stranger.heard());
    assert_eq!((agent.node.counters(), technician.node.counters()), (before_agent, before_technician));
}

#[tokio::test]
async fn unknown_slots_old_generations_and_foreign_packets_are_dropped_and_counted() {
    let world = World::start("max_channels = 4").await;
    let (_agent, _technician, channel) = world.attached().await;
    let stranger = Stranger::new(&world).await;

    stranger.send(ChannelId::new(channel.slot(), channel.generation() ^ 1).unwrap()).await;
    world.metric_becomes("dropped_packets_total{reason=\"old_channel\"}", 1).await;
    for slot in [channel.slot() + 1, 4, 0x00ff_ffff] {
        stranger.send(ChannelId::new(slot, channel.generation()).unwrap()).await;
    }
    world.metric_becomes("dropped_packets_total{reason=\"no_slot\"}", 3).await;
    // Neither QUIC nor DATA of this version: other types, another version, cut short, STUN.
    for foreign in [&[0x09u8, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0x08, 0x10, 0, 0, 0, 0, 0, 0, 1], &[0x08, 0, 1], &[0]] {
        stranger.socket.send(foreign).await.unwrap();
    }
    world.metric_becomes("dropped_packets_total{reason=\"unknown_kind\"}", 4).await;
    assert!(!stranger.heard());
}

#[tokio::test]
async fn what_no_network_takes_whole_is_not_forwarded() {
    let world = World::start("").await;
    let (_agent, _technician, channel) = world.attached().await;
    let stranger = Stranger::new(&world).await;
    let mut packet = DataHeader { channel }.to_bytes().to_vec();

    // The longest that an Ethernet frame takes is looked at as any other.
    packet.resize(1472, 0x40);
    stranger.socket.send(&packet).await.unwrap();
    world.metric_becomes("dropped_packets_total{reason=\"unbound_source\"}", 1).await;

    packet.push(0x40);
    stranger.socket.send(&packet).await.unwrap();
    world.metric_becomes("dropped_packets_total{reason=\"unknown_kind\"}", 1).await;
    assert_eq!(world.metric("dropped_packets_total{reason=\"unbound_source\"}").await, 1);
}

#[tokio::test]
async fn after_a_channel_is_closed_its_packets_go_nowhere() {
    let world = World::start("").await;
    let (mut agent, technician, channel) = world.attached().await;
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;

    technician.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    assert_eq!(agent.message().await, FromRelay::ChannelClosed { channel, reason: ChannelEnd::Closed });
    let forwarded = world.metric("forwarded_packets_total").await;
    // Once more, and from the other side as well: nothing happens.
    technician.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    agent.control.send(ToRelay::CloseChannel { channel }).await.unwrap();

    let question = proof(1);
    at_technician.send(&question).await.unwrap();
    let dropped = world.metric_rises("dropped_packets_total{reason=\"no_slot\"}");
    dropped.await;
    assert_eq!(world.metric("forwarded_packets_total").await, forwarded);
    drop(at_agent);
}

#[tokio::test]
async fn a_third_connection_cannot_speak_on_a_channel_it_is_not_part_of() {
    let world = World::start("").await;
    let (agent, technician, channel) = world.attached().await;
    let eve = world.connect().await;
    // Eve knows the channel and speaks properly, from an address that the relay knows, but not for this channel.
    let key = trust::keys::SigningKey::generate(&mut rand_core::OsRng);
    let dialing = eve.node.dial_session(channel, &key);
    let dropped = world.metric_rises("dropped_packets_total{reason=\"unbound_source\"}");
    tokio::select! {
        result = dialing => panic!("{result:?}"),
        () = dropped => {}
    }
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;

    eve.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    exchange(&mut at_agent, &mut at_technician).await;
    assert_eq!(world.metric("channels").await, 1);
}

#[tokio::test]
async fn a_sender_over_its_rate_is_cut_to_it_and_the_session_goes_on() {
    // One megabit: what may be sent at once is 256 KiB.
    let world = World::start("leg_megabits_per_sec = 1").await;
    let (agent, technician, channel) = world.attached().await;
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    let message = proof(7);

    let sending = async {
        loop {
            at_technician.send(&message).await.unwrap();
        }
    };
    let reading = async {
        loop {
            assert_eq!(at_agent.recv().await.unwrap(), Some(message.clone()));
        }
    };
    let cut = world.metric_rises("dropped_packets_total{reason=\"rate_limited\"}");
    tokio::select! {
        () = sending => {}
        () = reading => {}
        () = cut => {}
    }
    assert_eq!(world.metric("channels").await, 1);
}

#[tokio::test]
async fn a_session_survives_when_a_router_gives_one_side_another_port() {
    let world = World::start("").await;
    let router = Router::start(world.relay.udp_address()).await;
    let mut agent = world.connect().await;
    let link = world.relay.link();
    let by_router = RelayLink::new("127.0.0.1", router.address.port(), link.pin()).unwrap();
    let mut technician = connect(by_router).await;
    let locator = agent.allocate().await;
    let channel = technician.attach(locator).await;
    assert_eq!(agent.opened().await, channel);
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;

    router.change_port().await;

    exchange(&mut at_agent, &mut at_technician).await;
    assert!(world.metric("dropped_packets_total{reason=\"unbound_source\"}").await > 0, "it was noticed by a miss");
    assert!(world.metric("unbound_told_total").await > 0, "and the program was told");
    assert_eq!(world.metric("channels").await, 1);
}

#[tokio::test]
async fn a_client_that_claims_anothers_address_does_not_have_the_session_sent_there() {
    let world = World::start("").await;
    let router = Router::start(world.relay.udp_address()).await;
    let mut agent = world.connect().await;
    let by_router = RelayLink::new("127.0.0.1", router.address.port(), world.relay.link().pin()).unwrap();
    let mut technician = connect(by_router).await;
    let locator = agent.allocate().await;
    let channel = technician.attach(locator).await;
    assert_eq!(agent.opened().await, channel);
    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;

    let mut victim = router.lie().await;
    let unknown = Locator::new(1, 6).unwrap();
    technician.control.send(ToRelay::Attach { locator: unknown, first: FirstFlight::default() }).await.unwrap();
    // The relay has heard it from there and asks the victim whether it is the client.
    assert_eq!(victim.recv().await, Some(Kind::Control));
    for _ in 0..20 {
        exchange(&mut at_agent, &mut at_technician).await;
    }
    router.tell_the_truth().await;
    assert_eq!(technician.message().await, FromRelay::Refused { reason: Refusal::NobodyWaiting });
    exchange(&mut at_agent, &mut at_technician).await;

    while let Some(kind) = victim.recv().await {
        assert_eq!(kind, Kind::Control, "no packet of the session went to somebody who has nothing to do with it");
    }
}

/// What the victim of a lie hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Control,
    Data,
}

/// Forwards between one program and the relay, as a router with address translation does.
struct Router {
    address: SocketAddr,
    change: mpsc::Sender<()>,
    lie: mpsc::Sender<Option<mpsc::Sender<Kind>>>,
    _task: JoinSet<()>,
}

impl Router {
    async fn start(relay: SocketAddr) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = inside.local_addr().unwrap();
        let (change, mut changes) = mpsc::channel(1);
        let (lie, mut lies) = mpsc::channel::<Option<mpsc::Sender<Kind>>>(1);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut outside = outside(relay).await;
            let mut program = None;
            let mut victim: Option<(UdpSocket, mpsc::Sender<Kind>)> = None;
            let mut to_victim = [0; 2048];
            let (mut from_inside, mut from_outside) = ([0; 2048], [0; 2048]);
            loop {
                tokio::select! {
                    Some(()) = changes.recv() => outside = self::outside(relay).await,
                    Some(lie) = lies.recv() => victim = match lie {
                        Some(heard) => Some((self::outside(relay).await, heard)),
                        None => None,
                    },
                    Ok((length, from)) = inside.recv_from(&mut from_inside) => {
                        program = Some(from);
                        let by = match &victim {
                            Some((claimed, _)) if from_inside[0] >= 0x40 => claimed,
                            Some(_) | None => &outside,
                        };
                        by.send(&from_inside[..length]).await.unwrap();
                    }
                    kind = hears(victim.as_ref(), &mut to_victim) => {
                        if let Some((_, heard)) = &victim {
                            heard.send(kind).await.unwrap();
                        }
                    }
                    Ok(length) = outside.recv(&mut from_outside) => {
                        inside.send_to(&from_outside[..length], program.unwrap()).await.unwrap();
                    }
                }
            }
        });
        Self { address, change, lie, _task: task }
    }

    /// From now on control packets claim to come from another address, whose owner answers nothing. Returns what it hears.
    async fn lie(&self) -> mpsc::Receiver<Kind> {
        let (heard, hears) = mpsc::channel(1024);
        self.lie.send(Some(heard)).await.unwrap();
        hears
    }

    async fn tell_the_truth(&self) {
        self.lie.send(None).await.unwrap();
    }

    async fn change_port(&self) {
        self.change.send(()).await.unwrap();
    }
}

/// What the victim hears next.
async fn hears(victim: Option<&(UdpSocket, mpsc::Sender<Kind>)>, buffer: &mut [u8]) -> Kind {
    match victim {
        Some((socket, _)) => {
            socket.recv(buffer).await.unwrap();
            if buffer[0] >= 0x40 { Kind::Control } else { Kind::Data }
        }
        None => std::future::pending().await,
    }
}

async fn outside(relay: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(relay).await.unwrap();
    socket
}
