//! Agents that sleep: real nodes, a real relay, real sockets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand_core::OsRng;
use tokio::{net::UdpSocket, task::JoinSet, time::timeout};
use transport::{
    node::{CarrierChoice, ControlEvent, Loss, Node, NodeOptions},
    sealed::Unpaired,
};
use trust::keys::SigningKey;
use wire::{
    beat::{BEAT_BYTES, Beat, BeatKind, KeyEpoch, SleepSlot},
    channel::ChannelId,
    control::{ChannelEnd, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::Locator,
    link::RelayLink,
};

use crate::world::{PATIENCE, Peer, World, exchange, seal};

/// A hurried agent: it has nothing to do for so long and goes to sleep.
const IDLE: Duration = Duration::from_millis(50);

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generate(&mut OsRng))
}

impl World {
    /// An agent that sleeps when it has nothing to do, with this key.
    async fn sleepy(&self, identity: &Arc<SigningKey>) -> Peer {
        self.identified(identity, Some(IDLE)).await
    }

    async fn identified(&self, identity: &Arc<SigningKey>, sleep_after: Option<Duration>) -> Peer {
        let options = NodeOptions {
            bind: Some("127.0.0.1:0".parse().unwrap()),
            // On a busy machine TCP may be there first, and over it nobody sleeps.
            carrier: CarrierChoice::Udp,
            identity: Some(Arc::clone(identity)),
            sleep_after,
            ..NodeOptions::default()
        };
        let (node, control) = Node::start(self.relay.link().clone(), options).await.unwrap();
        let mut peer = Peer { node, control };
        assert!(matches!(peer.event().await, ControlEvent::Up));
        peer
    }

    /// An agent that sleeps, and the locator that leads to it.
    async fn asleep(&self, identity: &Arc<SigningKey>) -> (Peer, Locator) {
        let mut agent = self.sleepy(identity).await;
        let locator = agent.allocate().await;
        agent.falls_asleep().await;
        (agent, locator)
    }

    /// An agent that would sleep if it had nothing to do, a technician, and both ends of their session.
    async fn sleepy_in_session(&self) -> (Peer, Peer, ChannelId, (Unpaired, Unpaired)) {
        let (mut agent, mut technician) = (self.sleepy(&key()).await, self.connect().await);
        let locator = agent.allocate().await;
        let channel = technician.attach(locator).await;
        assert_eq!(agent.opened().await, channel);
        let ends = seal(&agent, &technician, channel).await;
        (agent, technician, channel, ends)
    }
}

impl Peer {
    async fn falls_asleep(&mut self) {
        assert!(matches!(self.event().await, ControlEvent::Asleep));
    }

    /// What the relay had kept when this one woke.
    async fn wakes(&mut self) -> Option<Locator> {
        assert!(matches!(self.event().await, ControlEvent::Up));
        match self.message().await {
            FromRelay::Resumed { locator } => locator,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_technician_attaches_to_a_sleeping_agent_and_both_talk() {
    let world = World::start("").await;
    let (mut agent, locator) = world.asleep(&key()).await;
    world.metric_becomes("connections", 0).await;
    world.metric_becomes("beats_outcome_total{outcome=\"heard\"}", 1).await;
    assert_eq!((world.metric("sleepers").await, world.metric("locators").await), (1, 1));

    let mut technician = world.connect().await;
    technician.control.send(ToRelay::Attach { locator, first: FirstFlight::default() }).await.unwrap();
    assert_eq!(agent.wakes().await, Some(locator), "what led to it leads to it still");
    let channel = agent.opened().await;
    assert_eq!(technician.opened().await, channel);

    let (mut at_agent, mut at_technician) = seal(&agent, &technician, channel).await;
    exchange(&mut at_agent, &mut at_technician).await;
    assert_eq!(world.metric("sleepers").await, 0);
    assert_eq!(world.metric("sleepers_awake_total{cause=\"wanted\"}").await, 1);
}

#[tokio::test]
async fn an_agent_that_woke_sleeps_again_and_keeps_its_locator() {
    let world = World::start("").await;
    let (mut agent, locator) = world.asleep(&key()).await;
    for times in 1..=3 {
        agent.control.wake().await;
        assert_eq!(agent.wakes().await, Some(locator));
        agent.falls_asleep().await;
        world.metric_becomes("sleepers_awake_total{cause=\"itself\"}", times).await;
    }
    assert_eq!(world.metric("sleepers").await, 1, "one record each, however often");
    let mut technician = world.connect().await;
    technician.attach(locator).await;
}

#[tokio::test]
async fn an_agent_with_a_session_does_not_sleep() {
    let world = World::start("").await;
    let (mut agent, _technician, _, (mut at_agent, mut at_technician)) = world.sleepy_in_session().await;
    // Longer than it would take otherwise.
    assert!(timeout(4 * IDLE, agent.control.recv()).await.is_err(), "nothing happens");
    exchange(&mut at_agent, &mut at_technician).await;
    assert_eq!(world.metric("sleepers_laid_down_total").await, 0);
}

#[tokio::test]
async fn a_rejoin_finds_the_agent_awake_although_its_channel_is_long_gone() {
    let world = World::start("").await;
    let (mut agent, mut technician, channel, (mut at_agent, mut at_technician)) = world.sleepy_in_session().await;
    exchange(&mut at_agent, &mut at_technician).await;
    technician.control.send(ToRelay::CloseChannel { channel }).await.unwrap();
    for side in [&mut agent, &mut technician] {
        assert_eq!(side.message().await, FromRelay::ChannelClosed { channel, reason: ChannelEnd::Closed });
    }
    // Longer than it would take otherwise: what nobody carries at present is a session still.
    assert!(timeout(4 * IDLE, agent.control.recv()).await.is_err(), "nothing happens");

    let rendezvous = Rendezvous([9; 16]);
    technician.control.send(ToRelay::Rejoin { rendezvous, side: Side::Technician }).await.unwrap();
    world.metric_becomes("rejoins_waiting", 1).await;
    agent.control.send(ToRelay::Rejoin { rendezvous, side: Side::Agent }).await.unwrap();
    let (new, found) = (agent.opened().await, technician.opened().await);
    assert_eq!(new, found);
    agent.node.move_session(at_agent.session_ref(), new).unwrap();
    technician.node.move_session(at_technician.session_ref(), new).unwrap();
    exchange(&mut at_agent, &mut at_technician).await;
    assert_eq!(world.metric("sleepers_laid_down_total").await, 0);
}

#[tokio::test]
async fn over_tcp_nobody_sleeps() {
    let world = World::start("").await;
    let options = NodeOptions {
        carrier: CarrierChoice::Tcp,
        identity: Some(key()),
        sleep_after: Some(IDLE),
        ..NodeOptions::default()
    };
    let (node, control) = Node::start(world.relay.link().clone(), options).await.unwrap();
    let mut agent = Peer { node, control };
    assert!(matches!(agent.event().await, ControlEvent::Up));
    assert!(timeout(4 * IDLE, agent.control.recv()).await.is_err(), "nothing happens");
    // Nor does the relay let one that asks.
    assert_eq!(agent.ask(ToRelay::Sleep).await, FromRelay::Refused { reason: Refusal::Unexpected });
}

#[tokio::test]
async fn a_relay_without_room_for_sleepers_keeps_the_connection() {
    let world = World::start("max_sleepers = 0").await;
    let mut agent = world.sleepy(&key()).await;
    let locator = agent.allocate().await;
    world.metric_rises("requests_refused_total{request=\"sleep\",reason=\"full\"}").await;
    let mut technician = world.connect().await;
    technician.attach(locator).await;
    agent.opened().await;
}

#[tokio::test]
async fn of_two_programs_with_one_key_the_newest_is_served_and_the_other_stays_away() {
    let world = World::start("").await;
    let identity = key();
    let mut first = world.identified(&identity, None).await;
    let locator = first.allocate().await;
    let mut second = world.identified(&identity, None).await;

    let ControlEvent::Down { why, retry_in } = first.event().await else { panic!("it goes on") };
    assert!(matches!(why, Loss::Superseded), "{why}");
    assert!(why.to_string().contains("with the same key"), "{why}");
    assert!((60..=120).contains(&retry_in.as_secs()), "{retry_in:?}");
    let nobody = FromRelay::Refused { reason: Refusal::NobodyWaiting };
    let mut technician = world.connect().await;
    assert_eq!(technician.ask(ToRelay::Attach { locator, first: FirstFlight::default() }).await, nobody);
    let locator = second.allocate().await;
    technician.attach(locator).await;
    assert_eq!(world.metric("connections_superseded_total").await, 1);
    assert_eq!(world.metric("connections").await, 2);
}

#[tokio::test]
async fn a_copy_of_a_sleeping_agent_takes_its_place_and_inherits_nothing() {
    let world = World::start("").await;
    let identity = key();
    let (_asleep, locator) = world.asleep(&identity).await;
    let mut copy = world.identified(&identity, None).await;
    let own = copy.allocate().await;
    world.metric_becomes("sleepers", 0).await;
    let mut technician = world.connect().await;
    let nobody = FromRelay::Refused { reason: Refusal::NobodyWaiting };
    assert_eq!(technician.ask(ToRelay::Attach { locator, first: FirstFlight::default() }).await, nobody);
    technician.attach(own).await;
}

/// Something that goes on beside the test, and ends with it.
struct Beside<T>(JoinSet<T>);

impl<T: Send + 'static> Beside<T> {
    fn start(work: impl Future<Output = T> + Send + 'static) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        Self(tasks)
    }

    async fn done(mut self) -> T {
        self.0.join_next().await.expect("there is one").unwrap()
    }
}

/// Somebody in the way: sees every packet between one agent and the relay, and has what it needs to send others.
struct Eve {
    /// Where the agent believes the relay to be.
    front: UdpSocket,
    /// Where the relay believes the agent to be.
    back: UdpSocket,
    relay: SocketAddr,
    agent: Option<SocketAddr>,
}

/// Who sent a packet that came by.
#[derive(Debug, PartialEq, Eq)]
enum By {
    Agent,
    Relay,
}

impl Eve {
    async fn between(world: &World) -> (Self, RelayLink) {
        let [front, back] =
            [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
        let link = world.relay.link();
        let link = RelayLink::new("127.0.0.1", front.local_addr().unwrap().port(), link.pin()).unwrap();
        (Self { front, back, relay: world.relay.udp_address(), agent: None }, link)
    }

    /// The next packet, which is not passed on.
    async fn next(&mut self) -> (By, Vec<u8>) {
        let (mut from_agent, mut from_relay) = ([0; 2048], [0; 2048]);
        let either = async {
            tokio::select! {
                received = self.front.recv_from(&mut from_agent) => {
                    let (bytes, from) = received.unwrap();
                    self.agent = Some(from);
                    (By::Agent, from_agent[..bytes].to_vec())
                }
                received = self.back.recv_from(&mut from_relay) => {
                    (By::Relay, from_relay[..received.unwrap().0].to_vec())
                }
            }
        };
        timeout(PATIENCE, either).await.expect("somebody says something")
    }

    async fn pass_on(&self, by: &By, packet: &[u8]) {
        match by {
            By::Agent => self.to_relay(packet).await,
            By::Relay => self.to_agent(packet).await,
        }
    }

    async fn to_relay(&self, packet: &[u8]) {
        self.back.send_to(packet, self.relay).await.unwrap();
    }

    async fn to_agent(&self, packet: &[u8]) {
        self.front.send_to(packet, self.agent.expect("it has said something")).await.unwrap();
    }

    /// An agent that has just fallen asleep, and its first beat, which has not reached the relay.
    async fn hears_the_first_beat(world: &World) -> (Self, Peer, Vec<u8>) {
        let (mut eve, link) = Self::between(world).await;
        let options = NodeOptions {
            bind: Some("127.0.0.1:0".parse().unwrap()),
            carrier: CarrierChoice::Udp,
            identity: Some(key()),
            sleep_after: Some(IDLE),
            ..NodeOptions::default()
        };
        let started = Beside::start(Node::start(link, options));
        let beat = eve.pass_until(|by, packet| *by == By::Agent && kind(packet).is_some()).await;
        let (node, control) = started.done().await.unwrap();
        let mut agent = Peer { node, control };
        assert!(matches!(agent.event().await, ControlEvent::Up));
        agent.falls_asleep().await;
        (eve, agent, beat)
    }

    /// Passes everything on until `seen` says that it was enough; that packet is held back.
    async fn pass_until(&mut self, mut seen: impl FnMut(&By, &[u8]) -> bool) -> Vec<u8> {
        loop {
            let (by, packet) = self.next().await;
            if seen(&by, &packet) {
                return packet;
            }
            self.pass_on(&by, &packet).await;
        }
    }
}

fn kind(packet: &[u8]) -> Option<BeatKind> {
    Beat::parse(packet).map(|(beat, _)| beat.kind)
}

#[tokio::test]
async fn whoever_sees_every_packet_wakes_nobody_and_moves_no_address() {
    let world = World::start("").await;
    let (mut eve, _agent, beat) = Eve::hears_the_first_beat(&world).await;

    // The beat reaches the relay from somewhere else first: the relay asks there, and stays with the address that it knows.
    let foreign = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    foreign.send_to(&beat, eve.relay).await.unwrap();
    let mut challenge = [0; 2048];
    let (bytes, _) = timeout(PATIENCE, foreign.recv_from(&mut challenge)).await.expect("the relay asks").unwrap();
    assert_eq!((bytes, kind(&challenge[..bytes])), (BEAT_BYTES, Some(BeatKind::Challenge)));
    world.metric_becomes("beats_outcome_total{outcome=\"challenged\"}", 1).await;

    // Sent again from where the agent is, it was heard before.
    eve.to_relay(&beat).await;
    world.metric_becomes("beats_outcome_total{outcome=\"replayed\"}", 1).await;

    // What the relay said, sent back to it; what the agent said, sent back to it; and what nobody said.
    foreign.send_to(&challenge[..bytes], eve.relay).await.unwrap();
    world.metric_becomes("beats_outcome_total{outcome=\"reflected\"}", 1).await;
    eve.to_agent(&beat).await;
    let (heard, _) = Beat::parse(&beat).unwrap();
    for forged in [BeatKind::Wake, BeatKind::Revoked, BeatKind::Challenge, BeatKind::Ack] {
        let forged = Beat { kind: forged, counter: heard.counter + 9, ..heard };
        eve.to_agent(&forged.to_bytes([7; 16])).await;
    }
    let stale = SleepSlot { generation: heard.slot.generation.wrapping_sub(1), ..heard.slot };
    for (slot, epoch) in [(stale, heard.epoch), (heard.slot, KeyEpoch::of(u32::from(heard.epoch.bits()) + 1))] {
        let other = Beat { slot, epoch, counter: heard.counter + 1, ..heard };
        eve.to_relay(&other.to_bytes([7; 16])).await;
    }
    world.metric_becomes("beats_outcome_total{outcome=\"unknown\"}", 2).await;
    let bad = Beat { counter: heard.counter + 1, ..heard };
    for _ in 0..100 {
        eve.to_relay(&bad.to_bytes([7; 16])).await;
    }
    world.metric_becomes("beats_outcome_total{outcome=\"forged\"}", 100).await;

    // A challenge that the relay sent to another place leads to an answer that fits that place alone.
    eve.to_agent(&challenge[..bytes]).await;
    let response = eve.pass_until(|by, packet| *by == By::Agent && kind(packet) == Some(BeatKind::Response)).await;
    eve.to_relay(&response).await;
    world.metric_becomes("beats_outcome_total{outcome=\"forged\"}", 101).await;
    assert_eq!(world.metric("beats_outcome_total{outcome=\"moved\"}").await, 0);

    // Nothing of that has woken it or moved it: it sleeps, and its next beat is heard where it always was.
    let retry = eve.pass_until(|by, packet| *by == By::Agent && kind(packet).is_some()).await;
    eve.to_relay(&retry).await;
    world.metric_becomes("beats_outcome_total{outcome=\"heard\"}", 1).await;
    assert_eq!((world.metric("connections").await, world.metric("sleepers").await), (0, 1));
}

#[tokio::test]
async fn an_agent_whose_address_has_changed_is_found_again_and_woken_there() {
    let world = World::start("").await;
    let (mut eve, link) = Eve::between(&world).await;
    let identity = key();
    let options = NodeOptions {
        bind: Some("127.0.0.1:0".parse().unwrap()),
        carrier: CarrierChoice::Udp,
        identity: Some(identity),
        sleep_after: Some(IDLE),
        ..NodeOptions::default()
    };
    let started = Beside::start(async move {
        let (node, control) = Node::start(link, options).await.unwrap();
        let mut agent = Peer { node, control };
        assert!(matches!(agent.event().await, ControlEvent::Up));
        let locator = agent.allocate().await;
        agent.falls_asleep().await;
        (agent, locator)
    });
    let beat = eve.pass_until(|by, packet| *by == By::Agent && kind(packet).is_some()).await;
    // From here on the agent's packets come from another port, as after a translator forgot it.
    eve.back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    eve.to_relay(&beat).await;
    eve.pass_until(|by, packet| *by == By::Relay && kind(packet) == Some(BeatKind::Ack)).await;
    world.metric_becomes("beats_outcome_total{outcome=\"moved\"}", 1).await;

    let (mut agent, locator) = started.done().await;
    let mut technician = world.connect().await;
    let session = Beside::start(async move {
        technician.attach(locator).await;
        technician
    });
    let wake = eve.pass_until(|by, packet| *by == By::Relay && kind(packet) == Some(BeatKind::Wake)).await;
    eve.to_agent(&wake).await;
    let woken = async {
        assert_eq!(agent.wakes().await, Some(locator));
        agent.opened().await
    };
    tokio::select! {
        _ = woken => {}
        _ = eve.pass_until(|_, _| false) => unreachable!("it passes everything on"),
    }
    session.done().await;
}

#[tokio::test]
async fn a_relay_that_was_restarted_wakes_who_slept_before_without_a_handshake() {
    let mut world = World::start("").await;
    let (mut eve, _agent, beat) = Eve::hears_the_first_beat(&world).await;

    world.restart().await;
    eve.relay = world.relay.udp_address();
    assert_eq!(world.metric("sleepers_recovered_total").await, 1);
    eve.to_relay(&beat).await;
    // The relay asks, the agent answers, the relay is content.
    eve.pass_until(|by, packet| *by == By::Relay && kind(packet) == Some(BeatKind::Ack)).await;
    world.metric_becomes("beats_outcome_total{outcome=\"moved\"}", 1).await;
    assert_eq!(world.metric("connections_opened_total").await, 0, "nobody had to connect");
}
