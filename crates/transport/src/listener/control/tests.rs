//! Clients, packets and time in memory: every state within milliseconds of real time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
};

use quinn_proto::{ClientConfig, Connection, Dir, Event, StreamId, VarInt, WriteError};
use rand_core::OsRng;
use trust::keys::SigningKey;
use wire::{
    channel::DataHeader,
    codec,
    control::{Refusal, ToRelay},
    time::Moment,
};

use super::{
    super::{Route, peer::PeerEnd},
    *,
};
use crate::{clock, knobs, restart::RestartKeys, tls};

const RELAY: &str = "192.0.2.1:4433";
const HOME: &str = "198.51.100.7:1000";
const ELSEWHERE: &str = "203.0.113.9:2000";

/// How long a packet travels.
const TRAVEL: Duration = Duration::from_millis(10);

const REFUSED: FromRelay = FromRelay::Refused { reason: Refusal::Full };

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Nothing;

impl Forward for Nothing {
    fn route(&self, _: SocketAddr, _: DataHeader, _: usize, _: usize, _: Moment) -> Route {
        Route::Nowhere
    }
}

/// A packet on its way.
#[derive(Debug, Clone)]
struct Packet {
    arrives: Instant,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// One client, quinn-proto without any manners of ours but the right protocol.
struct Visitor {
    endpoint: Endpoint,
    handle: ConnectionHandle,
    connection: Connection,
    /// What is written on its packets as their sender.
    says_to_be: SocketAddr,
    /// Where it is reached.
    is_at: Vec<SocketAddr>,
    /// Nobody is at home.
    frozen: bool,
    stream: Option<StreamId>,
    connected: bool,
    lost: Option<String>,
}

impl Visitor {
    fn new(relay_key: &SigningKey, home: SocketAddr, now: Instant) -> Self {
        let pin = Arc::new(tls::Pin::new(relay_key.public().digest().0));
        let mut config = ClientConfig::new(Arc::new(tls::control_client(pin, None).unwrap()));
        config.transport_config(knobs::control_client());
        let mut endpoint_config = EndpointConfig::default();
        endpoint_config.grease_quic_bit(false);
        let mut endpoint = Endpoint::new(Arc::new(endpoint_config), None, false, None);
        let (handle, connection) = endpoint.connect(now, config, at(RELAY), tls::SERVER_NAME).unwrap();
        Self {
            endpoint,
            handle,
            connection,
            says_to_be: home,
            is_at: vec![home],
            frozen: false,
            stream: None,
            connected: false,
            lost: None,
        }
    }

    fn say(&mut self, bytes: &[u8]) -> usize {
        let stream = *self.stream.get_or_insert_with(|| self.connection.streams().open(Dir::Bi).unwrap());
        match self.connection.send_stream(stream).write(bytes) {
            Ok(written) => written,
            Err(WriteError::Blocked) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    fn ask(&mut self) {
        let frame = codec::frame(&ToRelay::AllocateLocator).unwrap();
        assert_eq!(self.say(&frame), frame.len());
    }

    /// Everything that it was told and has not read.
    fn read(&mut self) -> usize {
        let Some(stream) = self.stream else { return 0 };
        let mut received = self.connection.recv_stream(stream);
        let Ok(mut chunks) = received.read(true) else { return 0 };
        let mut total = 0;
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            total += chunk.bytes.len();
        }
        let _ = chunks.finalize();
        total
    }

    fn work(&mut self, now: Instant, post: &mut VecDeque<Packet>) {
        if self.connection.poll_timeout().is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
        }
        while let Some(event) = self.connection.poll_endpoint_events() {
            if let Some(answer) = self.endpoint.handle_event(self.handle, event) {
                self.connection.handle_event(answer);
            }
        }
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::ConnectionLost { reason } => self.lost = Some(reason.to_string()),
                Event::HandshakeDataReady | Event::Stream(_) | Event::DatagramReceived | Event::DatagramsUnblocked => {}
            }
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.connection.poll_transmit(now, 1, &mut bytes) {
            let from = self.says_to_be;
            post.push_back(Packet { arrives: now + TRAVEL, from, to: transmit.destination, bytes: bytes.clone() });
            bytes.clear();
        }
    }
}

/// A relay's control connections, clients, and the network between them.
struct World {
    now: Instant,
    key: SigningKey,
    control: ControlEndpoint,
    together: Arc<Together>,
    visitors: Vec<Visitor>,
    post: VecDeque<Packet>,
    /// Bytes that came to addresses where nobody is.
    undeliverable: BTreeMap<SocketAddr, usize>,
    /// Bytes that the relay heard from each address.
    heard_from: BTreeMap<SocketAddr, usize>,
    /// Nobody takes events.
    busy: bool,
    events: Vec<PeerEvent>,
}

impl World {
    fn new() -> Self {
        Self::with(ListenerConfig::default())
    }

    fn with(config: ListenerConfig) -> Self {
        let key = SigningKey::generate(&mut OsRng);
        let restart = RestartKeys::of(&key);
        let mut server = ServerConfig::new(Arc::new(tls::control_server(&key).unwrap()), restart.token_key());
        server.transport_config(knobs::control_server());
        let together = Arc::new(Together::default());
        let control = ControlEndpoint::new(
            restart.endpoint_config(3),
            Arc::new(server),
            config,
            Arc::new(Nothing),
            3,
            (Arc::clone(&together), Arc::default()),
        );
        Self {
            // An epoch; time moves by arithmetic from here on.
            now: clock::quic_now(),
            key,
            control,
            together,
            visitors: Vec::new(),
            post: VecDeque::new(),
            undeliverable: BTreeMap::new(),
            heard_from: BTreeMap::new(),
            busy: false,
            events: Vec::new(),
        }
    }

    fn visitor(&mut self, home: &str) -> usize {
        self.visitors.push(Visitor::new(&self.key, at(home), self.now));
        self.visitors.len() - 1
    }

    /// A client that is connected and has asked for something, and who it is.
    fn guest(&mut self, home: &str) -> (usize, PeerId) {
        let visitor = self.visitor(home);
        self.pass(Duration::from_secs(1));
        assert!(self.visitors[visitor].connected);
        self.visitors[visitor].ask();
        self.pass(Duration::from_secs(1));
        let peer = match self.take_events().as_slice() {
            [PeerEvent::Connected { peer, address, client, agent: None }, PeerEvent::Message { peer: same, .. }]
                if peer == same =>
            {
                assert_eq!((*address, *client), (at(home), at(home)));
                *peer
            }
            other => panic!("{other:?}"),
        };
        (visitor, peer)
    }

    fn take_events(&mut self) -> Vec<PeerEvent> {
        std::mem::take(&mut self.events)
    }

    fn work(&mut self) {
        let Self { control, post, now, .. } = self;
        let sent = |transmit: &Transmit, bytes: &[u8]| {
            let size = transmit.segment_size.unwrap_or(transmit.size).max(1);
            for bytes in bytes[..transmit.size].chunks(size) {
                let (from, to) = (at(RELAY), transmit.destination);
                post.push_back(Packet { arrives: *now + TRAVEL, from, to, bytes: bytes.to_vec() });
            }
        };
        let mut sent = sent;
        control.handle_timeout(*now);
        control.go_on(*now, 8, &mut sent);
        while !self.busy
            && let Some(event) = control.poll_event()
        {
            self.events.push(event);
        }
        for visitor in self.visitors.iter_mut().filter(|visitor| !visitor.frozen) {
            visitor.work(self.now, &mut self.post);
        }
    }

    fn deliver(&mut self, packet: &Packet) {
        let Packet { from, to, bytes, .. } = packet;
        if *to == at(RELAY) {
            *self.heard_from.entry(*from).or_default() += bytes.len();
            let Self { control, post, now, .. } = self;
            let mut sent = |transmit: &Transmit, bytes: &[u8]| {
                let (from, to) = (at(RELAY), transmit.destination);
                post.push_back(Packet { arrives: *now + TRAVEL, from, to, bytes: bytes[..transmit.size].to_vec() });
            };
            control.handle_packet(bytes, *from, None, None, *now, &mut sent);
            return;
        }
        let Some(visitor) = self.visitors.iter_mut().find(|visitor| visitor.is_at.contains(to)) else {
            *self.undeliverable.entry(*to).or_default() += bytes.len();
            return;
        };
        if visitor.frozen {
            return;
        }
        let mut reply = Vec::new();
        if let Some(DatagramEvent::ConnectionEvent(_, event)) =
            visitor.endpoint.handle(self.now, *from, None, None, BytesMut::from(bytes.as_slice()), &mut reply)
        {
            visitor.connection.handle_event(event);
        }
    }

    /// Lets time go by, from one thing that happens to the next.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            self.work();
            let timers = self.visitors.iter_mut().filter(|visitor| !visitor.frozen);
            let timers = timers.filter_map(|visitor| visitor.connection.poll_timeout());
            let next = timers.chain(self.control.poll_timeout()).chain(self.post.iter().map(|packet| packet.arrives));
            let next = if self.control.has_more() { Some(self.now) } else { next.min() };
            match next.filter(|next| *next <= until) {
                Some(next) => self.now = self.now.max(next),
                None => break,
            }
            let (due, later): (VecDeque<_>, _) =
                std::mem::take(&mut self.post).into_iter().partition(|packet: &Packet| packet.arrives <= self.now);
            self.post = later;
            due.iter().for_each(|packet| self.deliver(packet));
        }
        self.now = until;
    }
}

#[test]
fn an_address_is_told_once_it_has_answered_and_not_before() {
    let mut world = World::new();
    let (visitor, peer) = world.guest(HOME);

    // A router gives it another port; answers come to that one.
    (world.visitors[visitor].says_to_be, world.visitors[visitor].is_at) = (at(ELSEWHERE), vec![at(ELSEWHERE)]);
    world.visitors[visitor].ask();
    world.pass(TRAVEL);
    let first = world.take_events();
    assert!(matches!(first.as_slice(), [PeerEvent::Message { .. }]), "{first:?}");
    world.pass(TRAVEL);
    assert_eq!(world.take_events(), [], "the challenge has only now arrived");
    world.pass(TRAVEL);
    assert_eq!(
        world.take_events(),
        [PeerEvent::Moved { peer, address: at(ELSEWHERE) }],
        "one round trip is all it takes"
    );

    // And back again.
    (world.visitors[visitor].says_to_be, world.visitors[visitor].is_at) = (at(HOME), vec![at(HOME)]);
    world.visitors[visitor].ask();
    world.pass(Duration::from_secs(1));
    let events = world.take_events();
    assert_eq!(events.last(), Some(&PeerEvent::Moved { peer, address: at(HOME) }), "{events:?}");
    assert_eq!(events.len(), 2, "{events:?}");
}

#[test]
fn of_a_client_that_moves_on_and_on_one_event_waits_and_tells_where_it_is() {
    let mut world = World::new();
    let (visitor, peer) = world.guest(HOME);
    world.busy = true;
    for place in [ELSEWHERE, HOME, ELSEWHERE, HOME, ELSEWHERE] {
        (world.visitors[visitor].says_to_be, world.visitors[visitor].is_at) = (at(place), vec![at(place)]);
        world.visitors[visitor].connection.ping();
        world.pass(Duration::from_secs(1));
    }
    let moved = world.control.poll_event().unwrap();
    assert_eq!(moved, PeerEvent::Moved { peer, address: at(ELSEWHERE) });
    assert_eq!(world.control.poll_event(), None);

    // There was no room for it yet, and the client moves on meanwhile.
    world.control.take_back(moved);
    (world.visitors[visitor].says_to_be, world.visitors[visitor].is_at) = (at(HOME), vec![at(HOME)]);
    world.visitors[visitor].connection.ping();
    world.pass(Duration::from_secs(1));
    world.busy = false;
    world.work();
    assert_eq!(world.take_events(), [PeerEvent::Moved { peer, address: at(HOME) }]);

    // The next move is told again.
    (world.visitors[visitor].says_to_be, world.visitors[visitor].is_at) = (at(ELSEWHERE), vec![at(ELSEWHERE)]);
    world.visitors[visitor].connection.ping();
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_events(), [PeerEvent::Moved { peer, address: at(ELSEWHERE) }]);
}

#[test]
fn a_client_that_changes_its_keys_is_understood_and_understands() {
    let mut world = World::new();
    let (visitor, peer) = world.guest(HOME);
    for _ in 0..3 {
        world.visitors[visitor].connection.force_key_update();
        world.visitors[visitor].ask();
        world.pass(Duration::from_secs(1));
        let events = world.take_events();
        assert!(matches!(events.as_slice(), [PeerEvent::Message { .. }]), "{events:?}");
        world.control.tell(peer, &REFUSED, world.now);
        world.pass(Duration::from_secs(1));
        assert!(world.visitors[visitor].read() > 0);
    }
}

#[test]
fn a_client_that_writes_another_sender_on_its_packets_is_not_believed() {
    let mut world = World::new();
    let (visitor, peer) = world.guest(HOME);
    let before = world.heard_from.clone();

    world.visitors[visitor].says_to_be = at(ELSEWHERE);
    for _ in 0..20 {
        world.visitors[visitor].ask();
        world.control.tell(peer, &REFUSED, world.now);
        world.pass(Duration::from_millis(300));
    }

    let events = world.take_events();
    assert!(events.iter().all(|event| matches!(event, PeerEvent::Message { .. })), "{events:?}");
    assert_eq!(events.len(), 20, "it is heard all the same");
    assert_eq!(before.get(&at(ELSEWHERE)), None);
    assert!(world.undeliverable[&at(ELSEWHERE)] > 0, "somebody was asked");
}

#[test]
fn a_client_that_lies_again_and_again_has_little_sent_to_its_victim() {
    let mut world = World::new();
    let (visitor, _) = world.guest(HOME);
    for _ in 0..2000 {
        // A tiny packet as if from elsewhere, then one from home.
        for place in [ELSEWHERE, HOME] {
            world.visitors[visitor].says_to_be = at(place);
            world.visitors[visitor].connection.ping();
            world.pass(Duration::from_millis(10));
        }
    }
    let (lies, victim) = (world.heard_from[&at(ELSEWHERE)], world.undeliverable[&at(ELSEWHERE)]);
    // RFC 9000 section 8.1, and a few packets for honest moves each minute.
    assert!(victim <= 3 * lies + 4 * 1200, "{victim} bytes to the victim for {lies}");
    assert_eq!(world.take_events(), []);
}

#[test]
fn the_end_of_a_handshake_proves_no_address_but_its_own() {
    let mut world = World::new();
    let visitor = world.visitor(HOME);
    // Up to where the client has the last word of the handshake to say.
    while !world.visitors[visitor].connected {
        world.pass(Duration::from_millis(1));
    }
    // What is under way ends the handshake. Directly behind it, before the relay looks at what that means, comes a packet as if from elsewhere.
    world.visitors[visitor].says_to_be = at(ELSEWHERE);
    world.visitors[visitor].connection.ping();
    let World { visitors, post, now, .. } = &mut world;
    visitors[visitor].work(*now, post);
    let due = std::mem::take(&mut world.post);
    assert!([HOME, ELSEWHERE].iter().all(|place| due.iter().any(|packet| packet.from == at(place))));
    due.iter().for_each(|packet| world.deliver(packet));
    world.visitors[visitor].says_to_be = at(HOME);
    world.pass(Duration::from_secs(10));

    let events = world.take_events();
    let [PeerEvent::Connected { address, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(*address, at(HOME));
}

#[test]
fn after_an_address_that_does_not_answer_the_client_is_where_it_was() {
    let mut world = World::new();
    let (visitor, peer) = world.guest(HOME);
    for _ in 0..20 {
        world.visitors[visitor].says_to_be = at(ELSEWHERE);
        world.visitors[visitor].ask();
        world.control.tell(peer, &REFUSED, world.now);
        world.work();
        world.visitors[visitor].says_to_be = at(HOME);
        world.pass(Duration::from_secs(5));
        assert!(world.visitors[visitor].read() > 0);
        let events = world.take_events();
        assert!(matches!(events.as_slice(), [PeerEvent::Message { .. }]), "{events:?}");
    }
}

#[test]
fn packets_that_somebody_repeats_from_elsewhere_move_nobody() {
    let mut world = World::new();
    let (visitor, _) = world.guest(HOME);
    for _ in 0..10 {
        world.visitors[visitor].ask();
        world.work();
        // The copies overtake what they were made from.
        let copies = world.post.iter().filter(|packet| packet.to == at(RELAY)).cloned().collect::<Vec<_>>();
        assert!(!copies.is_empty());
        for copy in copies {
            world.deliver(&Packet { from: at(ELSEWHERE), ..copy });
        }
        world.pass(Duration::from_secs(2));
    }
    let events = world.take_events();
    assert!(events.iter().all(|event| matches!(event, PeerEvent::Message { .. })), "{events:?}");
    assert_eq!(events.len(), 10, "{events:?}");
}

#[test]
fn a_bug_that_one_client_has_found_ends_that_client_alone() {
    let mut world = World::new();
    let (_, unlucky) = world.guest(HOME);
    let (other, _) = world.guest("198.51.100.8:1000");
    world.control.tell(unlucky, &REFUSED, world.now);
    world.control.go_on(world.now, 8, &mut |_, _| panic!("as if quinn-proto had"));

    world.visitors[other].ask();
    world.pass(Duration::from_secs(1));
    let events = world.take_events();
    let [PeerEvent::Ended { peer, why: PeerEnd::Broken { .. } }, PeerEvent::Message { .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(*peer, unlucky);
    assert_eq!((world.control.connections(), world.together.counts.panicked.read()), (1, 1));
    world.guest(ELSEWHERE);
}

#[test]
fn a_handshake_that_stands_still_is_given_up() {
    let mut world = World::new();
    let visitor = world.visitor(HOME);
    world.work();
    world.visitors[visitor].frozen = true;
    world.pass(Duration::from_secs(1));
    assert_eq!((world.control.connections(), world.together.counts.failed.read()), (1, 0));

    world.pass(HANDSHAKE);
    assert_eq!(world.together.counts.failed.read(), 1);
    world.pass(HANDSHAKE);
    assert_eq!(world.control.connections(), 0);
    assert_eq!(world.take_events(), [], "nobody was ever there");
    assert!(world.control.timers.is_empty());
}

#[test]
fn whoever_begins_handshakes_and_ends_none_leaves_room_for_others() {
    let mut world = World::with(ListenerConfig { max_handshakes: 64, ..ListenerConfig::default() });
    for _ in 0..40 {
        let visitor = world.visitor(HOME);
        world.work();
        world.visitors[visitor].frozen = true;
    }
    world.pass(Duration::from_secs(1));
    assert_eq!((world.control.connections(), world.together.counts.ignored.read() > 0), (8, true));
    world.guest(ELSEWHERE);

    world.pass(2 * HANDSHAKE);
    assert_eq!((world.control.connections(), world.together.handshakes.count()), (1, 0));
    world.visitors.clear();
    world.guest(HOME);
}

#[test]
fn a_client_that_falls_silent_is_gone_after_75_seconds_and_forgotten() {
    let mut world = World::new();
    let (visitor, peer) = world.guest(HOME);
    world.pass(Duration::from_secs(600));
    assert_eq!(world.take_events(), [], "keep-alives hold it");
    world.visitors[visitor].frozen = true;
    world.pass(Duration::from_secs(40));
    assert_eq!(world.take_events(), []);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.take_events(), [PeerEvent::Ended { peer, why: PeerEnd::Gone }]);
    assert_eq!(world.control.connections(), 0);
    assert!(world.control.timers.is_empty() && world.control.clients.iter().all(Option::is_none));
}

#[test]
fn a_client_that_leaves_little_unread_has_five_seconds_and_one_that_leaves_much_has_none() {
    let mut world = World::new();
    let (slow, slow_peer) = world.guest(HOME);
    let (deaf, deaf_peer) = world.guest("198.51.100.8:1000");
    // A window of 8 KiB is full first.
    let fill = 8 * 1024 / codec::frame(&REFUSED).unwrap().len();
    for _ in 0..fill + 10 {
        world.control.tell(slow_peer, &REFUSED, world.now);
        world.control.tell(deaf_peer, &REFUSED, world.now);
    }
    world.pass(Duration::from_secs(4));
    assert_eq!(world.take_events(), []);
    assert!(world.visitors[slow].read() > 1000);
    for _ in 0..10_000 {
        world.control.tell(deaf_peer, &REFUSED, world.now);
    }
    world.pass(Duration::from_millis(500));
    assert_eq!(world.take_events(), [PeerEvent::Ended { peer: deaf_peer, why: PeerEnd::TooSlow }]);
    assert_eq!(world.visitors[deaf].lost.as_deref(), Some("closed by peer: the client does not read (code 0)"));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.take_events(), [], "whoever reads is left alone");

    for _ in 0..fill + 10 {
        world.control.tell(slow_peer, &REFUSED, world.now);
    }
    world.pass(Duration::from_secs(6));
    assert_eq!(world.take_events(), [PeerEvent::Ended { peer: slow_peer, why: PeerEnd::TooSlow }]);
}

#[test]
fn while_nobody_takes_events_nothing_more_is_read_and_nothing_is_lost() {
    let mut world = World::new();
    let (visitor, _) = world.guest(HOME);
    world.busy = true;
    let frame = codec::frame(&ToRelay::AllocateLocator).unwrap();
    let flood = frame.repeat(10_000);
    let mut said = 0;
    for _ in 0..50 {
        said += world.visitors[visitor].say(&flood[said..]);
        world.pass(Duration::from_millis(100));
    }
    assert!(said < EVENTS_HELD * frame.len() + 9000, "{said} bytes: what is held, and one window");
    assert!(world.control.events.len() < EVENTS_HELD + 20);

    world.busy = false;
    while said < flood.len() {
        said += world.visitors[visitor].say(&flood[said..]);
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.take_events().len(), 10_000);
}

#[test]
fn a_farewell_leaves_time_to_read_and_whoever_goes_first_has_gone_by_themselves() {
    let mut world = World::new();
    let (patient, patient_peer) = world.guest(HOME);
    let (leaving, leaving_peer) = world.guest("198.51.100.8:1000");
    let farewell = Farewell::draining().after(Duration::from_secs(1));
    for peer in [patient_peer, leaving_peer] {
        world.control.tell(peer, &REFUSED, world.now);
        world.control.close(peer, farewell.clone(), world.now);
    }
    world.pass(Duration::from_millis(100));
    assert!(world.visitors[leaving].read() > 0, "what was said before is heard");
    let now = world.now;
    world.visitors[leaving].connection.close(now, VarInt::from_u32(0), bytes::Bytes::new());
    world.pass(Duration::from_millis(100));
    assert_eq!(world.take_events(), [PeerEvent::Ended { peer: leaving_peer, why: PeerEnd::ByPeer }]);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_events(), [PeerEvent::Ended { peer: patient_peer, why: PeerEnd::Here }]);
    assert_eq!(world.visitors[patient].lost.as_deref(), Some("closed by peer: the relay stops (code 1)"));
}

#[test]
fn orders_for_somebody_who_has_left_reach_nobody_else() {
    let mut world = World::new();
    let (first, gone) = world.guest(HOME);
    world.visitors[first].frozen = true;
    world.pass(Duration::from_secs(100));
    assert_eq!(world.take_events(), [PeerEvent::Ended { peer: gone, why: PeerEnd::Gone }]);
    let (second, peer) = world.guest("198.51.100.8:1000");
    assert_eq!(gone.place, peer.place, "the place is used again");

    world.control.tell(gone, &REFUSED, world.now);
    world.control.close(gone, Farewell::because("not you"), world.now);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.take_events(), []);
    assert_eq!((world.visitors[second].read(), world.visitors[second].lost.as_ref()), (0, None));
}

#[test]
fn two_hundred_idle_clients_have_one_timer_each() {
    let mut world = World::with(ListenerConfig { retry_above: 10_000, ..ListenerConfig::default() });
    for number in 0..200u16 {
        world.visitor(&format!("198.51.100.7:{}", 1000 + number));
    }
    for _ in 0..4 {
        world.pass(Duration::from_secs(50));
        assert_eq!(world.control.connections(), 200);
        assert_eq!(world.control.timers.len(), 200);
    }
    assert_eq!(world.together.counts.accepted.read(), 200);
}

#[test]
fn no_bytes_make_it_fail_or_move_a_client() {
    let mut world = World::new();
    let (visitor, _) = world.guest(HOME);
    let mut random = 0x9e37_79b9_u32;
    for length in 0..1500 {
        let mut bytes = (0..length)
            .map(|_| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                random.to_be_bytes()[0]
            })
            .collect::<Vec<_>>();
        if let Some(first) = bytes.first_mut() {
            *first |= 0x40;
        }
        // From a stranger, and as if from the client.
        for from in [ELSEWHERE, HOME] {
            world.deliver(&Packet { arrives: world.now, from: at(from), to: at(RELAY), bytes: bytes.clone() });
            world.work();
        }
    }
    world.visitors[visitor].ask();
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.take_events().as_slice(), [PeerEvent::Message { .. }]));
    assert_eq!(world.control.connections(), 1);
}
