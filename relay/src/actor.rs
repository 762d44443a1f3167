//! The shell around the broker: one task that tells the broker what happened and does what the broker says.
//!
//! It never waits for a peer, a reader of events or the data path. Everything that it owns ends with it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use broker::{Broker, Command, ConnectionId, Event, Goodbye};
use rand_core::OsRng;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use transport::{
    clock,
    listener::{ControlPeer, Listener},
};
use wire::{channel::ChannelId, time::Moment};

use crate::{
    config::RelayConfig,
    error::RelayError,
    metrics::{Snapshot, Tally},
    names,
    peer::{self, FromPeer, PeerTask, ToPeer},
    report::{Line, Report},
    slots::{ChannelCounts, SlotTable},
};

/// Messages from all peers that may wait for the actor. A peer whose message does not fit waits, and with it what that peer sends.
const INBOX: usize = 1024;

/// Messages to one peer that may wait. One that leaves more unread is cut off; an honest one is sent a handful.
const OUTGOING: usize = 64;

/// Questions that may wait; more than one scraper is unusual.
const QUESTIONS: usize = 16;

/// Connections that are told at once why they are turned away. Further ones are closed without a word.
const FAREWELLS: usize = 256;

/// How long peers may take to read the last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    listener: Listener,
    report: Report,
    tally: Tally,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Open slots by their index.
    slots: BTreeMap<u32, OpenSlot>,
    /// Whoever did not read what they were sent.
    too_slow: Vec<ConnectionId>,
    /// What passed on channels that were closed and are not reported yet.
    closed: BTreeMap<ChannelId, ChannelCounts>,
    next_connection: u64,
    inbox: mpsc::Receiver<FromPeer>,
    inbox_sender: mpsc::Sender<FromPeer>,
    questions: mpsc::Receiver<Question>,
    tasks: JoinSet<()>,
    farewells: JoinSet<()>,
    cut_all: CancellationToken,
    stop: Stop,
    drain: Duration,
    /// When a drain is given up.
    drain_until: Option<Moment>,
    started: Moment,
}

/// A connection that the broker knows.
struct Peer {
    orders: mpsc::Sender<ToPeer>,
    /// Where its control connection comes from, and so its packets.
    address: SocketAddr,
    /// Asks its task for a look at the address.
    look: Arc<Notify>,
    /// Ends its task without a word.
    cut: CancellationToken,
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
        listener: Listener,
        table: Arc<SlotTable>,
        report: Report,
        stop: Stop,
    ) -> (Self, RelayHandle) {
        let (inbox_sender, inbox) = mpsc::channel(INBOX);
        let (question_sender, questions) = mpsc::channel(QUESTIONS);
        let actor = Self {
            broker: Broker::new(config.broker.clone()),
            table,
            listener,
            report,
            tally: Tally::default(),
            peers: BTreeMap::new(),
            slots: BTreeMap::new(),
            too_slow: Vec::new(),
            closed: BTreeMap::new(),
            next_connection: 1,
            inbox,
            inbox_sender,
            questions,
            tasks: JoinSet::new(),
            farewells: JoinSet::new(),
            cut_all: CancellationToken::new(),
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
        tokio::select! {
            biased;
            () = now.cancelled() => {}
            () = drain.cancelled(), if drain_until.is_none() => self.start_drain(),
            () = until(drain_until) => {}
            () = until(timeout) => self.broker.handle_timeout(clock::now(), &*self.table),
            slot = self.table.missed() => self.look_at(slot),
            Some(question) = self.questions.recv() => self.answer(question),
            Some(_) = self.tasks.join_next() => {}
            Some(_) = self.farewells.join_next() => {}
            Some(event) = self.inbox.recv() => self.hear(event),
            peer = self.listener.accept() => match peer {
                Some(peer) => self.welcome(peer),
                None => return Some(RelayError::ListenerGone),
            },
        }
        None
    }

    fn welcome(&mut self, control: ControlPeer) {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let address = control.remote_address();
        match self.broker.connected(id, address.ip(), clock::now()) {
            Ok(()) => {
                let (sender, orders) = mpsc::channel(OUTGOING);
                let (look, cut) = (Arc::new(Notify::new()), self.cut_all.child_token());
                let inbox = self.inbox_sender.clone();
                let task = PeerTask { control, id, orders, inbox, look: Arc::clone(&look), cut: cut.clone() };
                self.peers.insert(id, Peer { orders: sender, address, look, cut });
                self.tasks.spawn(task.run());
            }
            Err(reason) if self.farewells.len() < FAREWELLS => {
                self.farewells.spawn(peer::turn_away(control, reason));
            }
            Err(_) => {}
        }
    }

    fn hear(&mut self, event: FromPeer) {
        match event {
            FromPeer::Message(id, message) => {
                self.broker.handle_message(id, message, clock::now(), &mut OsRng);
            }
            FromPeer::Moved(id, address) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.address = address;
                }
                self.rebind_all_of(id);
            }
            FromPeer::Gone(id) => {
                self.peers.remove(&id);
                self.broker.disconnected(id, clock::now());
            }
        }
    }

    fn answer(&mut self, question: Question) {
        // Whoever asked may have gone.
        match question {
            Question::Metrics(reply) => {
                let snapshot = Snapshot {
                    tally: &self.tally,
                    counts: self.broker.counts(),
                    listener: self.listener.counters(),
                    dropped: self.table.dropped(),
                    draining: self.drain_until.is_some(),
                    uptime_secs: (clock::now() - self.started).as_secs(),
                };
                let _ = reply.send(snapshot.text());
            }
            Question::Health(reply) => {
                let draining = self.drain_until.is_some();
                let _ = reply.send(if draining { Health::Draining } else { Health::Serving });
            }
        }
    }

    /// Does everything that the broker asks for.
    fn carry_out(&mut self) {
        loop {
            while let Some(command) = self.broker.poll_command() {
                self.obey(command);
            }
            while let Some(event) = self.broker.poll_event() {
                self.note(&event);
            }
            // Whoever could not take a message is gone now, which others may have to be told.
            let Some(id) = self.too_slow.pop() else { return };
            if let Some(peer) = self.peers.remove(&id) {
                peer.cut.cancel();
                self.tally.too_slow += 1;
                self.report.line(&Line::CutOff { connection: id.0, why: "too_slow" });
                self.broker.disconnected(id, clock::now());
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Send(id, message) => {
                if let Some(peer) = self.peers.get(&id)
                    && let Err(mpsc::error::TrySendError::Full(_)) = peer.orders.try_send(ToPeer::Say(message))
                {
                    self.too_slow.push(id);
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
            Command::Disconnect(id, why) => {
                // Its task sends what is queued, and closes. If the queue is full, the task is not worth waiting for.
                if let Some(peer) = self.peers.remove(&id)
                    && peer.orders.try_send(ToPeer::Close(why)).is_err()
                {
                    peer.cut.cancel();
                }
                if why != Goodbye::Draining {
                    self.report.line(&Line::CutOff { connection: id.0, why: names::goodbye(why) });
                }
            }
        }
    }

    fn addresses(&self, slot: OpenSlot) -> Option<(SocketAddr, SocketAddr)> {
        let address = |id| self.peers.get(&id).map(|peer| peer.address);
        Some((address(slot.agent)?, address(slot.technician)?))
    }

    /// Packets of this slot came from somewhere else: perhaps one of its sides has moved.
    fn look_at(&self, slot: u32) {
        let Some(slot) = self.slots.get(&slot) else { return };
        for side in [slot.agent, slot.technician] {
            if let Some(peer) = self.peers.get(&side) {
                peer.look.notify_one();
            }
        }
    }

    fn rebind_all_of(&self, id: ConnectionId) {
        for slot in self.slots.values().filter(|slot| slot.agent == id || slot.technician == id) {
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
        self.broker.finish(clock::now());
        self.carry_out();
        let last_words = async {
            // Nobody listens to the peers any more; they must not wait for that.
            self.inbox.close();
            while self.tasks.join_next().await.is_some() {}
        };
        if !self.stop.now.is_cancelled() {
            tokio::select! {
                () = last_words => {}
                () = tokio::time::sleep(LAST_WORDS) => {}
                () = self.stop.now.cancelled() => {}
            }
        }
        self.cut_all.cancel();
        self.farewells.abort_all();
        self.listener.shutdown(Duration::ZERO).await;
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
                Line::LocatorEnded { connection: connection.0, why: names::locator_end(why) }
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
            Event::Draining { channels } => {
                warn!(channels, "draining: nothing new is taken");
                Line::Draining { channels }
            }
            // Reported with the command that follows, or unknown to this build.
            Event::Flooded { .. } | _ => return,
        };
        debug!(?line);
        self.report.line(&line);
    }
}

/// Waits for a deadline, for ever without one.
async fn until(deadline: Option<Moment>) {
    match deadline {
        Some(deadline) => clock::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
