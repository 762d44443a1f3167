//! A relay without a brain, nodes on loopback, and pairing.

#![allow(dead_code, reason = "every test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rand_core::OsRng;
use tokio::{sync::mpsc, task::JoinSet};
use transport::{
    listener::{
        Farewell, Forward, Listener, ListenerConfig, ListenerCounters, PeerEnd, PeerEvent, PeerId, Route,
        pipes::{BindPipesError, Pipes, PipesConfig},
    },
    node::{Control, ControlEvent, Node, NodeOptions},
    sealed::{Sealed, Unpaired},
    streams::{ByteReceiver, FrameReceiver, FrameSender, Priority},
};
use trust::{
    code::SessionCode,
    digest,
    keys::SigningKey,
    pairing::{AgentPairing, ChannelBinding, EXPORTER_LABEL, Paired, SUITE, TechnicianPairing, exporter_context},
};
use wire::{
    channel::{ChannelId, DataHeader},
    control::{FromRelay, ToRelay},
    ids::{Digest, Locator, RequestId, RunId, SessionId},
    link::RelayLink,
    pairing::{FromUnpairedAgent, Introduction, PairingRefusal},
    session::{AccessRequest, Output, StreamHeader},
    text::{Label, Sentence},
    time::Moment,
};

pub(crate) const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub(crate) const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

/// The whole of a relay's brain that forwarding needs.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    legs: Mutex<HashMap<ChannelId, [SocketAddr; 2]>>,
    packets_from: Mutex<HashMap<SocketAddr, u64>>,
    last_from: Mutex<HashMap<ChannelId, SocketAddr>>,
    turned_away: AtomicU64,
    closed: std::sync::atomic::AtomicBool,
}

impl Routes {
    pub(crate) fn join(&self, channel: ChannelId, one: SocketAddr, other: SocketAddr) {
        self.legs.lock().unwrap().insert(channel, [one, other]);
    }

    pub(crate) fn cut(&self, channel: ChannelId) {
        self.legs.lock().unwrap().remove(&channel);
    }

    pub(crate) fn packets_from(&self, address: SocketAddr) -> u64 {
        self.packets_from.lock().unwrap().get(&address).copied().unwrap_or_default()
    }

    /// Where the last packet of a channel came from.
    pub(crate) fn last_from(&self, channel: ChannelId) -> Option<SocketAddr> {
        self.last_from.lock().unwrap().get(&channel).copied()
    }

    pub(crate) fn admit_nobody(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

impl Forward for Routes {
    fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize, _now: Moment) -> Route {
        assert!(segments > 0 && bytes >= segments * 8);
        *self.packets_from.lock().unwrap().entry(from).or_default() += segments as u64;
        self.last_from.lock().unwrap().insert(header.channel, from);
        match self.legs.lock().unwrap().get(&header.channel) {
            Some([one, other]) if *one == from => Route::To(*other),
            Some([one, other]) if *other == from => Route::To(*one),
            Some(_) | None => Route::Nowhere,
        }
    }

    fn admit(&self, _from: SocketAddr) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }
}

/// A relay whose peers are handed to the test one by one.
pub(crate) struct Relay {
    pub(crate) routes: Arc<Routes>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) address: SocketAddr,
    pub(crate) key: SigningKey,
    /// If it takes any.
    pub(crate) pipes: Option<Pipes>,
    peers: mpsc::Receiver<Peer>,
    sorting: JoinSet<()>,
}

impl Relay {
    pub(crate) fn start(ip: IpAddr) -> Self {
        Self::start_with(SocketAddr::new(ip, 0), SigningKey::generate(&mut OsRng), ListenerConfig::default())
    }

    pub(crate) fn start_with(address: SocketAddr, key: SigningKey, config: ListenerConfig) -> Self {
        let routes = Arc::new(Routes::default());
        let (listener, mut events) = Listener::bind(address, &key, Arc::clone(&routes) as _, config).unwrap();
        let listener = Arc::new(listener);
        let (sender, peers) = mpsc::channel(64);
        let accepting = Arc::clone(&listener);
        let mut sorting = JoinSet::new();
        sorting.spawn(async move {
            let mut known = HashMap::new();
            while let Some(event) = events.recv().await {
                if let PeerEvent::Connected { peer: id, address, client, .. } = event {
                    let (events, receiver) = mpsc::channel(1024);
                    known.insert(id, events);
                    let peer = Peer { id, address, client, listener: Arc::clone(&accepting), events: receiver };
                    let _ = sender.send(peer).await;
                } else if let Some(events) = known.get(&event.peer()) {
                    let _ = events.send(event).await;
                }
            }
        });
        let address = listener.local_addr();
        Self { routes, listener, address, key, pipes: None, peers, sorting }
    }

    /// One that takes pipes at the same port.
    pub(crate) fn start_with_pipes(config: PipesConfig) -> Self {
        Self::start_with_pipes_on(V4, config)
    }

    pub(crate) fn start_with_pipes_on(ip: IpAddr, config: PipesConfig) -> Self {
        loop {
            let mut relay = Self::start(ip);
            match relay.take_pipes_at(relay.address, config.clone()) {
                Ok(()) => return relay,
                // Another program has this port of TCP.
                Err(BindPipesError::Socket { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn take_pipes_at(&mut self, address: SocketAddr, config: PipesConfig) -> Result<(), BindPipesError> {
        self.pipes = Some(Pipes::bind(address, &self.key, &self.listener, config)?);
        Ok(())
    }

    pub(crate) fn link(&self) -> RelayLink {
        RelayLink::new(&self.address.ip().to_string(), self.address.port(), self.key.public().digest().0).unwrap()
    }

    pub(crate) async fn peer(&mut self) -> Peer {
        self.peers.recv().await.expect("the relay runs")
    }

    pub(crate) fn counters(&self) -> ListenerCounters {
        self.listener.counters()
    }

    /// Ends it as SIGKILL would: nobody is told. Returns what the next one needs.
    pub(crate) async fn kill(mut self) -> (SocketAddr, SigningKey) {
        self.sorting.shutdown().await;
        drop(self.pipes.take());
        self.peers.close();
        while self.peers.recv().await.is_some() {}
        drop(Arc::into_inner(self.listener).expect("the test let go of all peers"));
        (self.address, self.key)
    }
}

/// One client of a [`Relay`]. Dropping it does nothing.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    /// Where packets go.
    pub(crate) address: SocketAddr,
    /// Where it really is.
    pub(crate) client: SocketAddr,
    listener: Arc<Listener>,
    events: mpsc::Receiver<PeerEvent>,
}

/// Where the relay sees a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) address: SocketAddr,
    pub(crate) client: SocketAddr,
}

impl Peer {
    pub(crate) fn seen(&self) -> Seen {
        Seen { address: self.address, client: self.client }
    }

    /// The client's next message, or how the connection ended.
    pub(crate) async fn recv(&mut self) -> Result<ToRelay, PeerEnd> {
        match self.events.recv().await.expect("the relay runs") {
            PeerEvent::Message { message, .. } => Ok(message),
            PeerEvent::Ended { why, .. } => Err(why),
            event @ (PeerEvent::Connected { .. } | PeerEvent::Moved { .. }) => panic!("{event:?}"),
        }
    }

    /// Where the client is after its next move.
    pub(crate) async fn moved(&mut self) -> SocketAddr {
        match self.events.recv().await.expect("the relay runs") {
            PeerEvent::Moved { address, .. } => address,
            event @ (PeerEvent::Connected { .. } | PeerEvent::Message { .. } | PeerEvent::Ended { .. }) => {
                panic!("{event:?}")
            }
        }
    }

    /// Whether nothing has happened that was not asked for.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.events.try_recv().is_err()
    }

    pub(crate) fn send(&self, message: FromRelay) {
        self.listener.tell(self.id, message);
    }

    pub(crate) fn close(&self, reason: &str) {
        self.listener.close(self.id, Farewell::because(reason));
    }

    pub(crate) async fn closed(mut self) -> PeerEnd {
        loop {
            if let Err(why) = self.recv().await {
                return why;
            }
        }
    }
}

pub(crate) async fn node(link: &RelayLink) -> (Node, Control) {
    let (node, mut control) = Node::start(link.clone(), NodeOptions::default()).await.unwrap();
    assert!(matches!(control.recv().await, Some(ControlEvent::Up)));
    (node, control)
}

/// Where the relay sees a node.
pub(crate) fn seen_at(node: &Node, ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, node.local_addr().unwrap().port())
}

pub(crate) async fn message(control: &mut Control) -> FromRelay {
    loop {
        match control.recv().await.expect("the node runs") {
            ControlEvent::Message(message) => return message,
            ControlEvent::Up => {}
            event @ (ControlEvent::Down { .. } | _) => panic!("{event:?}"),
        }
    }
}

pub(crate) fn channel(slot: u32) -> ChannelId {
    ChannelId::new(slot, 0x00ab_cd00 + slot).unwrap()
}

/// Waits until something is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    while !so() {
        looks.tick().await;
    }
}

/// Both ends of a session, paired.
pub(crate) struct Pair {
    pub(crate) relay: Relay,
    pub(crate) agent: Node,
    pub(crate) agent_control: Control,
    pub(crate) technician: Node,
    pub(crate) technician_control: Control,
    pub(crate) at_agent: End,
    pub(crate) at_technician: End,
    pub(crate) agent_at: Seen,
    pub(crate) technician_at: Seen,
    /// As the relay knows them, the agent first. To be let go of before it is killed.
    pub(crate) peers: Vec<Peer>,
    pub(crate) ip: IpAddr,
}

pub(crate) struct End {
    pub(crate) sealed: Sealed,
    pub(crate) sender: FrameSender,
    pub(crate) receiver: FrameReceiver,
    pub(crate) paired: Paired,
}

impl Pair {
    /// So much arrives at the technician as the agent sent it.
    pub(crate) async fn carries(&self, bytes: usize) {
        Transfer::start(self, bytes).await.arrives_whole().await;
    }

    pub(crate) async fn start() -> Self {
        Self::start_on(V4, NodeOptions::default()).await
    }

    pub(crate) async fn start_on(ip: IpAddr, options: NodeOptions) -> Self {
        Self::start_at(Relay::start(ip), ip, options.clone(), options).await
    }

    /// An agent and a technician, each with its own way to the relay.
    pub(crate) async fn start_at(
        relay: Relay,
        ip: IpAddr,
        agent_options: NodeOptions,
        technician_options: NodeOptions,
    ) -> Self {
        let link = relay.link();
        Self::start_by(relay, link, ip, agent_options, technician_options).await
    }

    /// As [`Pair::start_at`], where both know the relay by another link.
    pub(crate) async fn start_by(
        mut relay: Relay,
        link: RelayLink,
        ip: IpAddr,
        agent_options: NodeOptions,
        technician_options: NodeOptions,
    ) -> Self {
        let (agent, mut agent_control) = Node::start(link.clone(), agent_options).await.unwrap();
        let agent_peer = relay.peer().await;
        let (technician, mut technician_control) = Node::start(link, technician_options).await.unwrap();
        let technician_peer = relay.peer().await;
        let (agent_at, technician_at) = (agent_peer.seen(), technician_peer.seen());
        for control in [&mut agent_control, &mut technician_control] {
            assert!(matches!(control.recv().await, Some(ControlEvent::Up)));
        }
        relay.routes.join(channel(1), agent_at.address, technician_at.address);

        let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
        let (at_agent, at_technician) = tokio::join!(
            agent.serve_session(channel(1), &agent_key, greeting),
            technician.dial_session(channel(1), &technician_key)
        );
        let (at_agent, at_technician) = (at_agent.unwrap(), at_technician.unwrap());
        assert_eq!(at_agent.peer_key(), technician_key.public());
        assert_eq!(at_technician.peer_key(), agent_key.public());
        let (at_agent, at_technician) = pair(at_agent, at_technician, &agent_key, &technician_key).await;
        Self {
            relay,
            agent,
            agent_control,
            technician,
            technician_control,
            at_agent,
            at_technician,
            agent_at,
            technician_at,
            peers: vec![agent_peer, technician_peer],
            ip,
        }
    }

    /// Puts both ends on another channel, as after a rejoin.
    pub(crate) fn move_to(&self, to: ChannelId) {
        self.relay.routes.join(to, self.agent_at.address, self.technician_at.address);
        self.agent.move_session(self.at_agent.sealed.session_ref(), to).unwrap();
        self.technician.move_session(self.at_technician.sealed.session_ref(), to).unwrap();
    }
}

/// What an agent says first where pairing is not what is tested.
pub(crate) fn greeting() -> FromUnpairedAgent {
    FromUnpairedAgent::Refuse { reason: PairingRefusal::CodeVoid }
}

/// Pairs the two ends of a sealed channel, between which nothing but [`greeting`] was said, with a code that both know.
pub(crate) async fn pair(
    mut agent: Unpaired,
    mut technician: Unpaired,
    agent_key: &SigningKey,
    technician_key: &SigningKey,
) -> (End, End) {
    let code = SessionCode::draw(Locator::new(4821, 4).unwrap(), &mut OsRng);
    let context = exporter_context(SUITE, code.locator());
    let binding = |exporter| ChannelBinding {
        exporter,
        agent_key: *agent_key.public(),
        technician_key: *technician_key.public(),
    };
    let at_agent = binding(agent.exporter(EXPORTER_LABEL, &context));
    let at_technician = binding(technician.exporter(EXPORTER_LABEL, &context));
    let introduction = Introduction {
        claimed_name: Label::cut("Ana"),
        certificate: None,
        request: AccessRequest {
            request: RequestId(1),
            abilities: Vec::new(),
            reason: Sentence::cut("a test"),
            stay_secs: 60,
        },
    };

    let technician_side = async {
        assert_eq!(technician.recv().await.unwrap(), Some(greeting()));
        let offer = technician.recv().await.unwrap().unwrap();
        let (proving, prove) =
            TechnicianPairing::prove(&code, &at_technician, offer, &introduction, &mut OsRng).unwrap();
        technician.send(&prove).await.unwrap();
        let paired = proving.finish(technician.recv().await.unwrap().unwrap()).unwrap();
        let (sealed, sender, receiver) = technician.into_paired(&paired).unwrap();
        End { sealed, sender, receiver, paired }
    };
    let agent_side = async {
        let (offered, offer) = AgentPairing::offer(&code, &mut OsRng);
        agent.send(&offer).await.unwrap();
        let prove = agent.recv().await.unwrap().unwrap();
        let (paired, _, accept) = offered.accept(&at_agent, prove, SessionId([7; 8])).unwrap();
        agent.send(&accept).await.unwrap();
        let (sealed, sender, receiver) = agent.into_paired(&paired).unwrap();
        End { sealed, sender, receiver, paired }
    };
    tokio::join!(agent_side, technician_side)
}

/// Runs beside a test and ends with it.
pub(crate) fn beside(tasks: &mut JoinSet<()>, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(work);
}

/// The output of a run on its way from agent to technician, sent beside the test.
pub(crate) struct Transfer {
    expected: Digest,
    received: Vec<u8>,
    stream: ByteReceiver,
    sending: JoinSet<()>,
}

impl Transfer {
    pub(crate) async fn start(pair: &Pair, bytes: usize) -> Self {
        let header = StreamHeader::Output { run: RunId(3), output: Output::Stdout };
        let (sent, mut sending) = (pattern(bytes), JoinSet::new());
        let expected = digest(&sent);
        let mut stream = pair.at_agent.sealed.open_uni(Priority::Bulk).await.unwrap();
        stream.send(&header).await.unwrap();
        sending.spawn(async move {
            stream.write_all(&sent).await.unwrap();
            stream.finish().await.unwrap();
        });
        let mut stream = pair.at_technician.sealed.accept_uni().await.unwrap();
        assert_eq!(stream.recv().await.unwrap(), Some(header));
        Self { expected, received: Vec::new(), stream, sending }
    }

    /// Waits for more, and says how many bytes have come so far; `None` after the last.
    pub(crate) async fn more(&mut self) -> Option<usize> {
        let bytes = self.stream.read(64 * 1024).await.unwrap()?;
        self.received.extend_from_slice(&bytes);
        Some(self.received.len())
    }

    pub(crate) async fn arrives_whole(mut self) {
        while self.more().await.is_some() {}
        assert_eq!(digest(&self.received), self.expected);
        self.sending.join_next().await.unwrap().unwrap();
    }
}

/// Bytes that no accident produces.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect()
}
