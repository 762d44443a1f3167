//! Two nodes, the lines between them, and traffic to look at.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use quinn::udp::{RecvMeta, Transmit};
use rand_core::OsRng;
use testkit::virtual_link::{Line, Shape};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use trust::keys::SigningKey;
use wire::{
    channel::{ChannelId, DataHeader},
    pairing::{FromUnpairedAgent, PairingRefusal},
};

use crate::{
    node::Node,
    sealed::{Carrier, Unpaired},
    udp::{Inbox, Port, Sent},
};

pub(super) const MS: Duration = Duration::from_millis(1);

/// UDP payload that each network takes.
const RELAY_LARGEST: usize = 1300;
const DIRECT_LARGEST: usize = 1452;

pub(super) const RELAY_BITS: u64 = 20_000_000;
pub(super) const DIRECT_BITS: u64 = 100_000_000;

/// Where both nodes believe the relay to be; the network goes by channels.
const RELAY_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4433);

/// Where the nodes can be reached directly.
pub(super) const AGENT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 1);
pub(super) const TECHNICIAN_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2)), 1);

/// Trains that a port takes at once.
const TRAINS: usize = 4;

/// What is sent over and over; of a length that fits no packet, so that a piece in the wrong place is seen.
const PATTERN_BYTES: usize = 65_521;

pub(super) fn relay_channel() -> ChannelId {
    ChannelId::new(1, 0x00aa_0001).unwrap()
}

pub(super) fn direct_channel() -> ChannelId {
    ChannelId::new(2, 0x00aa_0002).unwrap()
}

/// 80 ms there and back, 20 Mbit/s, a queue of 100 ms.
pub(super) fn relay_shape() -> Shape {
    Shape { largest: RELAY_LARGEST, ..Shape::shaped(40 * MS, RELAY_BITS, 250_000) }
}

/// 5 ms there and back.
pub(super) fn direct_shape() -> Shape {
    Shape { largest: DIRECT_LARGEST, ..Shape::shaped(Duration::from_micros(2500), DIRECT_BITS, 500_000) }
}

/// Two lines.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) to_agent: Line,
    pub(super) to_technician: Line,
}

impl Lines {
    pub(super) fn new(shape: Shape, seed: u64) -> Self {
        Self { to_agent: Line::new(shape, seed), to_technician: Line::new(shape, seed ^ 0xa5a5) }
    }

    pub(super) fn set(&self, shape: Shape) {
        self.to_agent.set(shape);
        self.to_technician.set(shape);
    }

    pub(super) fn cut(&self) {
        self.to_agent.cut();
        self.to_technician.cut();
    }

    pub(super) fn heal(&self) {
        self.to_agent.heal();
        self.to_technician.heal();
    }
}

/// The relay's channels, and the way between the two addresses.
#[derive(Debug)]
struct Network {
    channels: BTreeMap<(u32, u32), Lines>,
    straight: Lines,
    /// Each end is behind a firewall that lets in only what answers.
    firewalls: bool,
    /// Whether each has sent to the other: agent, technician.
    opened: Mutex<(bool, bool)>,
    /// The direct way lets nothing pass but probes.
    probes_only: Arc<AtomicBool>,
    /// Probes to the agent on the direct way, for somebody who repeats them.
    tapped: Tapped,
}

type Tapped = Arc<Mutex<Option<Vec<Vec<u8>>>>>;

impl Network {
    /// Puts a packet on the direct way, unless the receiver's firewall is closed.
    fn straight(&self, from_agent: bool, packet: &[u8]) {
        if let Some(tapped) = &mut *self.tapped.lock().unwrap()
            && !from_agent
            && DataHeader::parse(packet).is_none()
        {
            tapped.push(packet.to_vec());
        }
        if self.probes_only.load(Ordering::Relaxed) && DataHeader::parse(packet).is_some() {
            return;
        }
        let mut opened = self.opened.lock().unwrap();
        let lets_in = if from_agent {
            opened.0 = true;
            opened.1
        } else {
            opened.1 = true;
            opened.0
        };
        match (lets_in || !self.firewalls, from_agent) {
            (false, _) => {}
            (true, true) => self.straight.to_technician.send(packet),
            (true, false) => self.straight.to_agent.send(packet),
        }
    }
}

/// One end of all lines, as a node's socket.
#[derive(Debug)]
struct MemoryPort {
    network: Arc<Network>,
    at_agent: bool,
    /// Packets to addresses where nobody is.
    astray: Arc<Mutex<Vec<SocketAddr>>>,
    /// Packets for channels that there is no line for.
    strays: Mutex<u64>,
}

impl Port for MemoryPort {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)))
    }

    fn writable(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> Sent {
        let peer = if self.at_agent { TECHNICIAN_ADDRESS } else { AGENT_ADDRESS };
        for packet in transmit.contents.chunks(transmit.segment_size.unwrap_or(transmit.contents.len()).max(1)) {
            if transmit.destination == peer {
                self.network.straight(self.at_agent, packet);
                continue;
            }
            if transmit.destination != RELAY_ADDRESS {
                self.astray.lock().unwrap().push(transmit.destination);
                continue;
            }
            let channel = DataHeader::parse(packet).expect("sealed packets alone").channel;
            match self.network.channels.get(&(channel.slot(), channel.generation())) {
                Some(lines) if self.at_agent => lines.to_technician.send(packet),
                Some(lines) => lines.to_agent.send(packet),
                None => *self.strays.lock().unwrap() += 1,
            }
        }
        Sent::Done
    }

    fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        let mut arrived = Vec::new();
        let peer = if self.at_agent { TECHNICIAN_ADDRESS } else { AGENT_ADDRESS };
        let relayed = self.network.channels.values().map(|lines| (lines, RELAY_ADDRESS));
        for (lines, from) in relayed.chain([(&self.network.straight, peer)]) {
            let line = if self.at_agent { &lines.to_agent } else { &lines.to_technician };
            while arrived.len() < TRAINS
                && let Poll::Ready(packet) = line.poll_recv(cx)
            {
                arrived.push((from, packet));
            }
        }
        if arrived.is_empty() {
            return Poll::Pending;
        }
        let filled = inbox.fill(|slots, metas| {
            for ((slot, meta), (addr, packet)) in slots.iter_mut().zip(metas).zip(&arrived) {
                slot[..packet.len()].copy_from_slice(packet);
                let len = packet.len();
                *meta = RecvMeta { addr: *addr, len, stride: len, ecn: None, dst_ip: None };
            }
            Ok(arrived.len())
        });
        assert!(filled.is_ok());
        Poll::Ready(())
    }

    fn inbox(&self, _: usize) -> Inbox {
        Inbox::new(TRAINS, false)
    }

    fn max_segments(&self) -> usize {
        10
    }

    fn may_fragment(&self) -> bool {
        false
    }

    fn errors(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// Both nodes and the session between them.
pub(super) struct World {
    pub(super) agent: Node,
    pub(super) technician: Node,
    pub(super) at_agent: Unpaired,
    pub(super) at_technician: Unpaired,
    pub(super) relay: Lines,
    pub(super) direct: Lines,
    /// Between the nodes' own addresses.
    pub(super) straight: Lines,
    /// Where packets went that nobody got.
    pub(super) astray: Arc<Mutex<Vec<SocketAddr>>>,
    tapped: Tapped,
    pub(super) probes_only: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

/// The nodes before there is a session.
pub(super) struct Nodes {
    pub(super) agent: Node,
    pub(super) technician: Node,
    pub(super) relay: Lines,
    pub(super) direct: Lines,
    pub(super) straight: Lines,
    pub(super) astray: Arc<Mutex<Vec<SocketAddr>>>,
    tapped: Tapped,
    probes_only: Arc<AtomicBool>,
}

impl Nodes {
    pub(super) fn over(relay: Shape, direct: Shape, seed: u64) -> Self {
        Self::over_network(relay, direct, seed, false)
    }

    /// With a firewall at each end.
    pub(super) fn behind_firewalls(relay: Shape, direct: Shape, seed: u64) -> Self {
        Self::over_network(relay, direct, seed, true)
    }

    fn over_network(relay: Shape, direct: Shape, seed: u64, firewalls: bool) -> Self {
        let straight = Lines::new(direct, seed + 2);
        let (relay, direct) = (Lines::new(relay, seed), Lines::new(direct, seed + 1));
        let key = |channel: ChannelId| (channel.slot(), channel.generation());
        let channels = BTreeMap::from([(key(relay_channel()), relay.clone()), (key(direct_channel()), direct.clone())]);
        let (opened, tapped) = (Mutex::new((false, false)), Tapped::default());
        let probes_only = Arc::<AtomicBool>::default();
        let network = Arc::new(Network {
            channels,
            straight: straight.clone(),
            firewalls,
            opened,
            probes_only: Arc::clone(&probes_only),
            tapped: Arc::clone(&tapped),
        });
        let astray = Arc::default();
        let node = |at_agent| {
            let network = Arc::clone(&network);
            let port = MemoryPort { network, at_agent, strays: Mutex::new(0), astray: Arc::clone(&astray) };
            Node::detached(Box::new(port), RELAY_ADDRESS)
        };
        Self {
            agent: node(true),
            technician: node(false),
            relay,
            direct,
            straight,
            astray: Arc::clone(&astray),
            tapped,
            probes_only,
        }
    }

    /// Connects by the relay.
    pub(super) async fn connect(self) -> World {
        let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let (at_agent, at_technician) = tokio::join!(
            self.agent.serve_session(relay_channel(), &agent_key, greeting),
            self.technician.dial_session(relay_channel(), &technician_key)
        );
        self.joined(at_agent.unwrap(), at_technician.unwrap())
    }

    pub(super) fn joined(self, at_agent: Unpaired, at_technician: Unpaired) -> World {
        let Self { agent, technician, relay, direct, straight, astray, tapped, probes_only } = self;
        // For words and transfers from the technician, which has no stream of its own otherwise.
        at_agent.connection().set_max_concurrent_bi_streams(quinn::VarInt::from_u32(2));
        World {
            agent,
            technician,
            at_agent,
            at_technician,
            relay,
            direct,
            straight,
            astray,
            tapped,
            probes_only,
            tasks: JoinSet::new(),
        }
    }
}

/// Nobody pairs here.
pub(super) fn greeting() -> FromUnpairedAgent {
    FromUnpairedAgent::Refuse { reason: PairingRefusal::CodeVoid }
}

/// What arrived of a transfer, and when.
#[derive(Debug, Default)]
pub(super) struct Meter {
    arrivals: Vec<(Instant, usize)>,
}

impl Meter {
    pub(super) fn bytes(&self) -> usize {
        self.arrivals.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Bits a second between two moments.
    pub(super) fn rate(&self, from: Instant, to: Instant) -> f64 {
        let within = self.arrivals.iter().filter(|(at, _)| (from..to).contains(at));
        8.0 * within.map(|(_, bytes)| *bytes as f64).sum::<f64>() / (to - from).as_secs_f64()
    }

    /// Longest time without an arrival from `from` on, until `to`.
    pub(super) fn gap(&self, from: Instant, to: Instant) -> Duration {
        let mut last = from;
        let mut longest = Duration::ZERO;
        for at in self.arrivals.iter().map(|(at, _)| *at).filter(|at| (from..to).contains(at)).chain([to]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }

    /// When the rate first reaches `bits` over 20 ms.
    pub(super) fn reaches(&self, bits: f64, from: Instant, until: Instant) -> Option<Duration> {
        let mut at = from;
        while at < until {
            if self.rate(at, at + 20 * MS) >= bits {
                return Some(at - from + 20 * MS);
            }
            at += 5 * MS;
        }
        None
    }
}

type SharedMeter = Arc<Mutex<Meter>>;

fn pattern() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..PATTERN_BYTES).map(|_| next()).collect()
}

async fn send_for_ever(mut stream: quinn::SendStream) {
    let pattern = pattern();
    while stream.write_all(&pattern).await.is_ok() {}
}

/// Reads for ever, and fails the test with the first byte that is not the one that was sent there.
async fn receive(mut stream: quinn::RecvStream, meter: SharedMeter) {
    let pattern = [pattern(), pattern()].concat();
    let mut at = 0;
    while let Ok(Some(chunk)) = stream.read_chunk(PATTERN_BYTES, true).await {
        let bytes = &chunk.bytes;
        assert_eq!(&pattern[at..at + bytes.len()], bytes.as_ref());
        at = (at + bytes.len()) % PATTERN_BYTES;
        meter.lock().unwrap().arrivals.push((Instant::now(), bytes.len()));
    }
}

impl World {
    pub(super) async fn start() -> Self {
        Nodes::over(relay_shape(), direct_shape(), 1).connect().await
    }

    /// Starts bulk from agent to technician.
    pub(super) async fn bulk_down(&mut self) -> SharedMeter {
        let meter = SharedMeter::default();
        let sending = self.at_agent.connection().open_uni().await.unwrap();
        self.tasks.spawn(send_for_ever(sending));
        let receiving = self.at_technician.connection().accept_uni().await.unwrap();
        self.tasks.spawn(receive(receiving, Arc::clone(&meter)));
        meter
    }

    /// Starts bulk from technician to agent.
    pub(super) async fn bulk_up(&mut self) -> SharedMeter {
        let meter = SharedMeter::default();
        let (sending, _) = self.at_technician.connection().open_bi().await.unwrap();
        self.tasks.spawn(send_for_ever(sending));
        let (_, receiving) = self.at_agent.connection().accept_bi().await.unwrap();
        self.tasks.spawn(receive(receiving, Arc::clone(&meter)));
        meter
    }

    /// A word from the technician and the agent's answer; how long that took.
    pub(super) async fn a_word(&mut self) -> Duration {
        let start = Instant::now();
        let (mut asking, mut hearing) = self.at_technician.connection().open_bi().await.unwrap();
        asking.write_all(b"a word now and then").await.unwrap();
        asking.finish().unwrap();
        let (mut answering, mut asked) = self.at_agent.connection().accept_bi().await.unwrap();
        answering.write_all(&asked.read_to_end(100).await.unwrap()).await.unwrap();
        answering.finish().unwrap();
        assert_eq!(hearing.read_to_end(100).await.unwrap(), b"a word now and then");
        start.elapsed()
    }

    /// Lets time pass; fails if a transfer has failed meanwhile.
    pub(super) async fn pass(&mut self, time: Duration) {
        tokio::select! {
            // time itself is tested: virtual time, which passes at once
            () = sleep(time) => {}
            Some(ended) = self.tasks.join_next() => panic!("a transfer ended: {ended:?}"),
        }
    }

    /// Waits until something is so, and returns how long that took; fails if it takes longer than `most`.
    pub(super) async fn within(&mut self, most: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !so(self) {
            assert!(start.elapsed() < most, "it is not so after {most:?}: {:?}", self.counts());
            self.pass(MS).await;
        }
        start.elapsed()
    }

    /// Both ends are told of a channel to escape to.
    pub(super) fn add(&self, channel: ChannelId) {
        self.agent.add_channel(self.at_agent.session_ref(), channel).unwrap();
        self.technician.add_channel(self.at_technician.session_ref(), channel).unwrap();
    }

    /// Both ends are told each other's address, as after consent.
    pub(super) fn introduce(&self) {
        self.at_agent.punch(&[TECHNICIAN_ADDRESS]);
        self.at_technician.punch(&[AGENT_ADDRESS]);
    }

    pub(super) fn technician_wants_round(&self) -> bool {
        let now = self.technician.socket().uptime();
        let key = self.at_technician.session_ref().0;
        self.technician.socket().table().paths(key).unwrap().wants_round(now)
    }

    /// Keeps what enters the direct way to the agent from now on; the returned function tells.
    pub(super) fn tap_probes_to_agent(&self) -> impl Fn(&Self) -> Vec<Vec<u8>> + use<> {
        self.tapped.lock().unwrap().get_or_insert_default();
        |world| world.tapped.lock().unwrap().clone().unwrap_or_default()
    }

    /// By which way each end sends.
    pub(super) fn carriers(&self) -> (Carrier, Carrier) {
        (self.at_agent.stats().carrier, self.at_technician.stats().carrier)
    }

    /// Both ends are told of a channel to go to.
    pub(super) fn move_to(&self, channel: ChannelId) {
        self.agent.move_session(self.at_agent.session_ref(), channel).unwrap();
        self.technician.move_session(self.at_technician.session_ref(), channel).unwrap();
    }

    /// The channel that each end sends by.
    pub(super) fn channels(&self) -> (ChannelId, ChannelId) {
        let of =
            |node: &Node, end: &Unpaired| node.socket().table().paths(end.session_ref().0).unwrap().channel().unwrap();
        (of(&self.agent, &self.at_agent), of(&self.technician, &self.at_technician))
    }

    /// How often each end has changed its path.
    pub(super) fn counts(&self) -> (u32, u32) {
        let of = |node: &Node, end: &Unpaired| node.socket().table().paths(end.session_ref().0).unwrap().count();
        (of(&self.agent, &self.at_agent), of(&self.technician, &self.at_technician))
    }

    /// How often quinn was shown a new path at the agent.
    pub(super) fn labels(&self) -> u16 {
        self.agent.socket().table().paths(self.at_agent.session_ref().0).unwrap().label().epoch
    }

    pub(super) fn agent_stats(&self) -> quinn::ConnectionStats {
        self.at_agent.connection().stats()
    }

    pub(super) fn technician_stats(&self) -> quinn::ConnectionStats {
        self.at_technician.connection().stats()
    }
}
