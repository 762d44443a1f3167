//! The shell around the broker: one task that tells the broker what happened and does what the broker says.
//!
//! It never waits for a peer, a reader of events or the data path, nor do they wait for it. Everything that it owns ends with it.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use broker::{Broker, Command, ConnectionId, Event, Goodbye};
use rand_core::OsRng;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transport::{
    clock,
    listener::{
        Farewell, Listener, PeerEnd, PeerEvent, PeerEvents, PeerId,
        pipes::{BindPipesError, PipeCertificate, Pipes, is_of_pipe},
    },
};
use wire::{
    channel::ChannelId,
    control::{FromRelay, Refusal},
    ids::AgentId,
    time::Moment,
};

use crate::{
    config::RelayConfig,
    error::RelayError,
    metrics::{Snapshot, Tally},
    names, os,
    report::{Line, Report},
    sleepers::Sleepers,
    slots::{ChannelCounts, SlotTable},
};

/// Questions that may wait; more than one scraper is unusual.
const QUESTIONS: usize = 16;

/// Connections that are told why they are turned away, once they have asked for something. Further ones are told by the close.
const TURNED_AWAY: usize = 256;

/// How long somebody who is turned away may take to say something, so that it can be answered.
const FIRST_WORDS: Duration = Duration::from_secs(5);

/// How long a peer may take to read the last message before the connection is closed under it.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How often some sleeping agents are looked at, and how many: a million within half a minute.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// See [`SWEEP_EVERY`].
const SWEPT_AT_ONCE: usize = 32 * 1024;

/// How often it is kept who sleeps. After a crash, who fell asleep since has to connect.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// A period of sleeping agents' keys.
const ROTATE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether the relay takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Serving,
    Draining,
}

/// Asks the actor.
#[derive(Debug, Clone)]
pub(crate) struct RelayHandle {
    questions: mpsc::Sender<Question>,
}

#[derive(Debug)]
enum Question {
    Metrics(oneshot::Sender<String>),
    Health(oneshot::Sender<Health>),
    Renew(PipeCertificate, oneshot::Sender<Result<(), BindPipesError>>),
}

impl RelayHandle {
    /// Everything that can be counted, as Prometheus reads it. `None` once the relay has stopped.
    pub(crate) async fn metrics(&self) -> Option<String> {
        self.ask(Question::Metrics).await
    }

    /// Whether it takes new work. `None` once the relay has stopped.
    pub(crate) async fn health(&self) -> Option<Health> {
        self.ask(Question::Health).await
    }

    /// Shows another certificate to those who come over TCP. `None` once the relay has stopped, or if it takes nobody over TCP.
    pub(crate) async fn renew(&self, certificate: PipeCertificate) -> Option<Result<(), BindPipesError>> {
        self.ask(|reply| Question::Renew(certificate, reply)).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(question(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// Ways to make the relay stop. They wait behind nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Let sessions end for a while, then stop.
    pub(crate) drain: CancellationToken,
    /// Stop now.
    pub(crate) now: CancellationToken,
}

/// Runs a relay from its first connection to its last.
pub(crate) struct RelayActor {
    broker: Broker,
    table: Arc<SlotTable>,
    sleepers: Arc<Sleepers>,
    /// Looks over sleeping agents, keeps who sleeps, and changes their keys.
    chores: Chores,
    listener: Listener,
    /// If connections are taken over TCP.
    pipes: Option<Pipes>,
    /// UDP port of the reflector, if there is one.
    reflector: Option<NonZeroU16>,
    report: Report,
    tally: Tally,
    events: PeerEvents,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Peers that were refused and have not said anything yet.
    turned_away: BTreeMap<ConnectionId, Refusal>,
    /// When they are closed all the same. The first to be closed is in front.
    turned_away_until: VecDeque<(Moment, PeerId)>,
    /// Open slots by their index.
    slots: BTreeMap<u32, OpenSlot>,
    /// What passed on channels that were closed and are not reported yet.
    closed: BTreeMap<ChannelId, ChannelCounts>,
    questions: mpsc::Receiver<Question>,
    stop: Stop,
    drain: Duration,
    /// When a drain is given up.
    drain_until: Option<Moment>,
    started: Moment,
}

/// A connection that the broker knows.
#[derive(Debug, Clone, Copy)]
struct Peer {
    id: PeerId,
    /// Where its control connection has proved to come from, and so its packets. Over TCP an address that stands for its pipe and is nobody's outside.
    address: SocketAddr,
}

#[derive(Debug, Clone, Copy)]
struct OpenSlot {
    channel: ChannelId,
    agent: ConnectionId,
    technician: ConnectionId,
}

impl RelayActor {
    pub(crate) fn new(
        config: &RelayConfig,
        (listener, events, pipes): (Listener, PeerEvents, Option<Pipes>),
        (table, sleepers): (Arc<SlotTable>, Arc<Sleepers>),
        reflector: Option<NonZeroU16>,
        report: Report,
        stop: Stop,
    ) -> (Self, RelayHandle) {
        let (question_sender, questions) = mpsc::channel(QUESTIONS);
        let actor = Self {
            broker: Broker::new(config.broker.clone()),
            table,
            sleepers,
            chores: Chores::new(clock::now()),
            listener,
            pipes,
            reflector,
            report,
            tally: Tally::default(),
            events,
            peers: BTreeMap::new(),
            turned_away: BTreeMap::new(),
            turned_away_until: VecDeque::new(),
            slots: BTreeMap::new(),
            closed: BTreeMap::new(),
            questions,
            stop,
            drain: config.drain,
            drain_until: None,
            started: clock::now(),
        };
        (actor, RelayHandle { questions: question_sender })
    }

    /// Runs until it is told to stop and everything has ended, or time for that is up.
    pub(crate) async fn run(mut self) -> Result<(), RelayError> {
        while !self.is_drained() && !self.stop.now.is_cancelled() {
            if let Some(error) = self.step().await {
                return Err(error);
            }
            self.carry_out();
        }
        self.finish().await;
        Ok(())
    }

    /// Waits for one thing to happen and tells the broker. Every branch is cancel-safe.
    async fn step(&mut self) -> Option<RelayError> {
        let Stop { drain, now } = self.stop.clone();
        let (timeout, drain_until) = (self.broker.poll_timeout(), self.drain_until);
        let turned_away_until = self.turned_away_until.front().map(|(until, _)| *until);
        let chores_at = self.chores.next();
        tokio::select! {
            biased;
            () = now.cancelled() => {}
            () = drain.cancelled(), if drain_until.is_none() => self.start_drain(),
            () = until(drain_until) => {}
            () = until(timeout) => self.broker.handle_timeout(clock::now(), &*self.table),
            () = until(turned_away_until) => self.close_turned_away(),
            () = until(Some(chores_at)) => self.do_chores(),
            Some(done) = self.chores.keeping.join_next() => note_kept(done),
            Some(question) = self.questions.recv() => self.answer(question),
            event = self.events.recv() => match event {
                Some(event) => self.hear(event),
                None => return Some(RelayError::ListenerGone),
            },
        }
        None
    }

    fn hear(&mut self, event: PeerEvent) {
        let id = ConnectionId(event.peer().number());
        match event {
            PeerEvent::Connected { peer, address, client, agent } => self.welcome(peer, address, client, agent),
            PeerEvent::Message { peer, message } => match self.turned_away.remove(&id) {
                Some(reason) => {
                    self.listener.tell(peer, FromRelay::Refused { reason });
                    self.listener.close(peer, Farewell::because(&reason.to_string()).after(LAST_WORDS));
                }
                None => self.broker.handle_message(id, message, clock::now(), &mut OsRng),
            },
            PeerEvent::Moved { address, .. } => {
                debug!(connection = id.0, "moved to another address");
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.address = address;
                }
                self.rebind_all_of(id);
            }
            PeerEvent::Ended { why, .. } => self.forget(id, &why),
        }
    }

    /// Limits are for where the client is; packets go to `address`, which may stand for a pipe.
    fn welcome(&mut self, peer: PeerId, address: SocketAddr, client: SocketAddr, agent: Option<AgentId>) {
        let (id, now) = (ConnectionId(peer.number()), clock::now());
        match self.broker.connected(id, client.ip(), agent, now) {
            Ok(()) => {
                self.peers.insert(id, Peer { id: peer, address });
            }
            Err(reason) if self.turned_away.len() < TURNED_AWAY => {
                self.turned_away.insert(id, reason);
                self.turned_away_until.push_back((now + FIRST_WORDS, peer));
            }
            Err(reason) => self.listener.close(peer, Farewell::because(&reason.to_string())),
        }
    }

    /// Closes those who were turned away and have said nothing.
    fn close_turned_away(&mut self) {
        let now = clock::now();
        while let Some((_, peer)) = self.turned_away_until.pop_front_if(|(until, _)| *until <= now) {
            if let Some(reason) = self.turned_away.remove(&ConnectionId(peer.number())) {
                self.listener.close(peer, Farewell::because(&reason.to_string()));
            }
        }
    }

    fn forget(&mut self, id: ConnectionId, why: &PeerEnd) {
        debug!(connection = id.0, %why, rule_broken = why.peer_broke_the_rules(), "control connection is over");
        self.turned_away.remove(&id);
        if self.peers.remove(&id).is_some() && *why == PeerEnd::TooSlow {
            self.tally.too_slow += 1;
            self.report.line(&Line::CutOff { connection: id.0, why: "too_slow" });
        }
        self.broker.disconnected(id, clock::now());
    }

    fn answer(&mut self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Metrics(reply) => {
                let snapshot = Snapshot {
                    tally: &self.tally,
                    counts: self.broker.counts(),
                    listener: self.listener.counters(),
                    sleepers: self.sleepers.counts(),
                    pipes: self.pipes.as_ref().map(Pipes::counters).unwrap_or_default(),
                    dropped: self.table.dropped(),
                    shards: self.listener.shards() as u64,
                    unread: os::udp_drops(self.listener.local_addr().port()),
                    draining: self.drain_until.is_some(),
                    uptime_secs: (clock::now() - self.started).as_secs(),
                };
                let _ = reply.send(snapshot.text());
            }
            Question::Renew(certificate, reply) => {
                if let Some(pipes) = &self.pipes {
                    let _ = reply.send(pipes.renew(&certificate));
                }
            }
            Question::Health(reply) => {
                let draining = self.drain_until.is_some();
                let _ = reply.send(if draining { Health::Draining } else { Health::Serving });
            }
        }
    }

    /// Does everything that the broker asks for.
    fn carry_out(&mut self) {
        while let Some(command) = self.broker.poll_command() {
            self.obey(command);
        }
        while let Some(event) = self.broker.poll_event() {
            self.note(&event);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(id, message) => {
                if let Some(peer) = self.peers.get(&id) {
                    self.listener.tell(peer.id, message);
                }
            }
            Command::TellAddress(id) => {
                if let Some(peer) = self.peers.get(&id).filter(|peer| !is_of_pipe(&peer.address)) {
                    self.listener.tell(peer.id, FromRelay::Observed { address: peer.address });
                }
            }
            Command::TellReflector(id) => {
                if let Some(peer) = self.peers.get(&id) {
                    self.listener.tell(peer.id, FromRelay::Reflector { port: self.reflector });
                }
            }
            Command::OpenSlot { channel, agent, technician } => {
                let slot = OpenSlot { channel, agent, technician };
                if let Some((agent, technician)) = self.addresses(slot) {
                    self.slots.insert(channel.slot(), slot);
                    self.table.open(channel, agent, technician);
                }
            }
            Command::CloseSlot { channel } => {
                self.slots.remove(&channel.slot());
                self.closed.insert(channel, self.table.close(channel));
            }
            Command::LayDown(id, agent) => self.lay_down(id, agent),
            Command::Wake(agent) => {
                if let Some((shard, to, packet)) = self.sleepers.wake(agent, clock::now()) {
                    self.listener.send_beat(shard, to, packet);
                }
            }
            Command::GetUp(agent) => self.sleepers.get_up(agent),
            Command::Disconnect(id, why) => {
                if let Some(peer) = self.peers.remove(&id) {
                    self.listener.close(peer.id, farewell(why));
                }
                if why != Goodbye::Draining {
                    self.report.line(&Line::CutOff { connection: id.0, why: names::goodbye(why) });
                }
            }
        }
    }

    fn lay_down(&mut self, id: ConnectionId, agent: AgentId) {
        let now = clock::now();
        let result = match self.peers.get(&id) {
            // Where UDP does not pass, beats do not either.
            Some(peer) if !is_of_pipe(&peer.address) => {
                let bed = self.sleepers.lay_down(agent, peer.address, peer.id.shard(), now);
                bed.map(|bed| (peer.id, bed)).ok_or(Refusal::Full)
            }
            Some(_) | None => Err(Refusal::Unexpected),
        };
        let result = result.map(|(peer, bed)| {
            self.peers.remove(&id);
            self.listener.tell(peer, FromRelay::Asleep(bed));
            self.listener.close(peer, Farewell::asleep().after(LAST_WORDS));
        });
        self.broker.laid_down(id, result, now);
    }

    fn do_chores(&mut self) {
        let now = clock::now();
        let due = self.chores.due(now);
        if due.rotate
            && let Err(error) = self.sleepers.rotate(&mut OsRng)
        {
            warn!(%error, "a new root of sleeping agents' keys cannot be kept; the old one is used on");
        }
        self.sleepers.sweep(SWEPT_AT_ONCE, now);
        if due.keep && self.chores.keeping.is_empty() {
            let (sleepers, without) = (Arc::clone(&self.sleepers), self.broker.sleepers());
            self.chores.keeping.spawn_blocking(move || sleepers.keep(&without));
        }
    }

    fn addresses(&self, slot: OpenSlot) -> Option<(SocketAddr, SocketAddr)> {
        let address = |id| self.peers.get(&id).map(|peer| peer.address);
        Some((address(slot.agent)?, address(slot.technician)?))
    }

    /// Costs as much as the connection has channels, however many slots are open: whoever moves on and on takes no time of others'.
    fn rebind_all_of(&self, id: ConnectionId) {
        for slot in self.broker.channels_of(id).filter_map(|channel| self.slots.get(&channel.slot())) {
            if let Some((agent, technician)) = self.addresses(*slot) {
                self.table.rebind(slot.channel, agent, technician);
            }
        }
    }

    fn start_drain(&mut self) {
        self.drain_until = Some(clock::now() + self.drain);
        self.listener.drain();
        self.broker.drain(self.drain);
    }

    /// Whether a drain has nothing left to wait for.
    fn is_drained(&self) -> bool {
        self.drain_until.is_some_and(|until| self.slots.is_empty() || until <= clock::now())
    }

    /// Closes what is left, and gives peers a moment to read why.
    async fn finish(mut self) {
        let channels_cut = self.slots.len();
        let (sleepers, without) = (Arc::clone(&self.sleepers), self.broker.sleepers());
        while let Some(done) = self.chores.keeping.join_next().await {
            note_kept(done);
        }
        self.chores.keeping.spawn_blocking(move || sleepers.keep(&without));
        self.broker.finish(clock::now());
        self.carry_out();
        let shutdown = async {
            // Takes the events that nobody needs any more, so that the listener is not held up.
            let last_events = async { while self.events.recv().await.is_some() {} };
            tokio::join!(self.listener.shutdown(LAST_WORDS), last_events);
            // Behind what is said on the connections in them.
            if let Some(pipes) = &self.pipes {
                pipes.close().await;
            }
        };
        tokio::select! {
            biased;
            () = self.stop.now.cancelled() => {}
            () = shutdown => {}
        }
        while let Some(done) = self.chores.keeping.join_next().await {
            note_kept(done);
        }
        info!(channels_cut, "stopped");
        self.report.line(&Line::Stopped { channels_cut });
    }

    /// Counts, logs and reports an event.
    fn note(&mut self, event: &Event) {
        self.tally.count(event);
        let connections = self.peers.len();
        let line = match *event {
            Event::Connected { connection } => Line::Connected { connection: connection.0, connections },
            Event::Disconnected { connection } => Line::Disconnected { connection: connection.0, connections },
            Event::TurnedAway { reason } => Line::TurnedAway { reason: names::refusal(reason) },
            Event::LocatorAllocated { connection, digits } => {
                Line::LocatorAllocated { connection: connection.0, digits }
            }
            Event::LocatorEnded { connection, why } => {
                Line::LocatorEnded { connection: connection.map(|id| id.0), why: names::locator_end(why) }
            }
            Event::ChannelOpened { channel, origin, agent, technician } => {
                info!(%channel, origin = names::origin(origin), "channel opened");
                Line::ChannelOpened {
                    channel: channel.to_string(),
                    origin: names::origin(origin),
                    agent: agent.0,
                    technician: technician.0,
                }
            }
            Event::ChannelClosed { channel, reason } => {
                let ChannelCounts { agent, technician } = self.closed.remove(&channel).unwrap_or_default();
                info!(%channel, reason = names::channel_end(reason), agent_bytes = agent.bytes, technician_bytes = technician.bytes, "channel closed");
                Line::ChannelClosed {
                    channel: channel.to_string(),
                    reason: names::channel_end(reason),
                    agent_bytes: agent.bytes,
                    agent_packets: agent.packets,
                    technician_bytes: technician.bytes,
                    technician_packets: technician.packets,
                    rate_limited_packets: agent.rate_limited + technician.rate_limited,
                }
            }
            Event::Refused { connection, request, reason } => Line::Refused {
                connection: connection.0,
                request: names::request(request),
                reason: names::refusal(reason),
            },
            Event::RejoinWaiting { connection } => Line::RejoinWaiting { connection: connection.0 },
            Event::FellAsleep { connection } => Line::FellAsleep { connection: connection.0 },
            Event::Awake { connection, wanted } => Line::Awake { connection: connection.0, wanted },
            Event::Waking { connection } => Line::Waking { connection: connection.0 },
            Event::Draining { channels } => {
                warn!(channels, "draining: nothing new is taken");
                Line::Draining { channels }
            }
            // Reported with the command that follows, or unknown to this build.
            Event::Flooded { .. } | Event::Superseded { .. } | _ => return,
        };
        debug!(?line);
        self.report.line(&line);
    }
}

fn farewell(why: Goodbye) -> Farewell {
    match why {
        Goodbye::Draining => Farewell::draining().after(LAST_WORDS),
        Goodbye::Superseded => Farewell::superseded(),
        Goodbye::Flooding => Farewell::because("too many messages"),
        _ => Farewell::because("closed by the relay"),
    }
}

/// What is done for sleeping agents now and then.
#[derive(Debug)]
struct Chores {
    sweep_at: Moment,
    keep_at: Moment,
    rotate_at: Moment,
    /// A file is being written, by one thread at most.
    keeping: JoinSet<io::Result<()>>,
}

/// Besides looking over some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    keep: bool,
    rotate: bool,
}

impl Chores {
    fn new(now: Moment) -> Self {
        let (sweep_at, keep_at, rotate_at) = (now + SWEEP_EVERY, now + KEEP_EVERY, now + ROTATE_EVERY);
        Self { sweep_at, keep_at, rotate_at, keeping: JoinSet::new() }
    }

    fn next(&self) -> Moment {
        self.sweep_at
    }

    fn due(&mut self, now: Moment) -> Due {
        let take = |at: &mut Moment, every| {
            let due = *at <= now;
            if due {
                *at = now + every;
            }
            due
        };
        take(&mut self.sweep_at, SWEEP_EVERY);
        Due { keep: take(&mut self.keep_at, KEEP_EVERY), rotate: take(&mut self.rotate_at, ROTATE_EVERY) }
    }
}

fn note_kept(done: Result<io::Result<()>, JoinError>) {
    if let Ok(Err(error)) = done {
        warn!(%error, "who sleeps cannot be kept; after a restart these agents have to connect");
    }
}

/// Waits for a deadline, for ever without one.
async fn until(deadline: Option<Moment>) {
    match deadline {
        Some(deadline) => clock::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
