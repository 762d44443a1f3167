//! All control connections of one shard, without a socket, a clock, a task or a queue of their own: packets, time and orders in,
//! packets and events out.
//!
//! quinn's own driver costs a task, a channel, a timer and buffers for each connection: 34 to 43 KiB where quinn-proto alone takes
//! 17, and twice the processor time for a keep-alive. A relay has a hundred thousand connections that say next to nothing.

mod client;
mod handshakes;

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{
    ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint, EndpointConfig, EndpointEvent, Incoming, ServerConfig,
    Transmit,
};
use wire::{control::FromRelay, text::Label};

use self::{
    client::{Client, PassedOn},
    handshakes::Handshakes,
};
use super::{
    Forward, ListenerConfig,
    peer::{Farewell, PeerEnd, PeerEvent, PeerId},
    pipes::Registry,
};
use crate::{
    address::{PipeKey, canonical},
    counters::Count,
};

/// A handshake that takes longer is given up: it is two round trips.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Events that may wait to be taken before nothing more is read from clients. Comings, goings and moves are not held up by it; of each
/// there is at most one for a connection.
const EVENTS_HELD: usize = 256;

/// Most packets that leave as one train. A server's first flight is two.
const SEGMENTS: usize = 4;

/// Takes packets that are to be sent; the bytes beside each are its contents.
pub(super) type Send<'a> = &'a mut dyn FnMut(&Transmit, &[u8]);

/// What became of connections since the listener was bound.
#[derive(Debug, Default)]
pub(super) struct HandshakeCounts {
    pub(super) accepted: Count,
    pub(super) failed: Count,
    pub(super) retried: Count,
    pub(super) refused: Count,
    pub(super) ignored: Count,
    pub(super) panicked: Count,
}

/// What all shards of a listener have together.
#[derive(Debug, Default)]
pub(super) struct Together {
    /// Clients that were ever named.
    pub(super) named: AtomicU64,
    pub(super) connections: AtomicUsize,
    pub(super) handshakes: Handshakes,
    pub(super) counts: HandshakeCounts,
}

/// The control connections of a shard. See the module's introduction.
///
/// After packets, orders or [`ControlEndpoint::handle_timeout`] comes [`ControlEndpoint::go_on`], which does what follows from them.
pub(super) struct ControlEndpoint {
    endpoint: Endpoint,
    /// By quinn's handle. Boxed: a client takes 7 KiB and the table grows.
    clients: Vec<Option<Box<Client>>>,
    /// Of this shard alone.
    connections: usize,
    /// When clients want to be looked at. A time that moved back is found out when it has come.
    timers: BTreeSet<(Instant, usize)>,
    /// Whoever knocked since the last look. Held until all that came with it is read: a first flight is two packets.
    knocking: Vec<Incoming>,
    /// Places of clients that something happened to.
    stirred: Vec<usize>,
    /// Places of clients that may have more to say than was read.
    unread: VecDeque<usize>,
    events: VecDeque<PeerEvent>,
    /// Packets are made here.
    scratch: Vec<u8>,
    shard: u8,
    config: ListenerConfig,
    forward: Arc<dyn Forward>,
    draining: bool,
    together: Arc<Together>,
    pipes: Arc<Registry>,
    /// Clients that came by pipes, by the pipe and their place.
    by_pipe: BTreeSet<(PipeKey, usize)>,
}

impl ControlEndpoint {
    pub(super) fn new(
        endpoint: EndpointConfig,
        server: Arc<ServerConfig>,
        config: ListenerConfig,
        forward: Arc<dyn Forward>,
        shard: u8,
        (together, pipes): (Arc<Together>, Arc<Registry>),
    ) -> Self {
        Self {
            endpoint: Endpoint::new(Arc::new(endpoint), Some(server), false, None),
            clients: Vec::new(),
            connections: 0,
            timers: BTreeSet::new(),
            knocking: Vec::new(),
            stirred: Vec::new(),
            unread: VecDeque::new(),
            events: VecDeque::new(),
            scratch: Vec::new(),
            shard,
            config,
            forward,
            draining: false,
            together,
            pipes,
            by_pipe: BTreeSet::new(),
        }
    }

    /// Takes a packet.
    pub(super) fn handle_packet(
        &mut self,
        packet: &[u8],
        from: SocketAddr,
        to: Option<IpAddr>,
        ecn: Option<EcnCodepoint>,
        now: Instant,
        send: Send<'_>,
    ) {
        self.scratch.clear();
        match self.endpoint.handle(now, from, to, ecn, BytesMut::from(packet), &mut self.scratch) {
            Some(DatagramEvent::ConnectionEvent(ConnectionHandle(place), event)) => {
                if let Some(client) = self.clients.get_mut(place).and_then(Option::as_deref_mut) {
                    match guarded(|| client.handle_event(event, packet.len(), now)) {
                        Some(()) => self.stir(place),
                        None => self.abandon(place),
                    }
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.knocking.push(incoming),
            Some(DatagramEvent::Response(transmit)) => send(&transmit, &self.scratch),
            None => {}
        }
    }

    fn receive(&mut self, incoming: Incoming, now: Instant, send: Send<'_>) {
        self.scratch.clear();
        let Together { connections, handshakes, counts, .. } = &*self.together;
        let from = canonical(incoming.remote_address());
        let pipe = PipeKey::of(from);
        // None: the pipe is gone already.
        let client = if pipe.is_some() { self.pipes.client(from) } else { Some(from) };
        if self.draining || connections.load(Relaxed) >= self.config.max_connections {
            counts.refused.add(1);
            let transmit = self.endpoint.refuse(incoming, &mut self.scratch);
            send(&transmit, &self.scratch);
            return;
        }
        let most = self.config.max_handshakes;
        let admitted = client.filter(|client| handshakes.may_begin(*client, most) && self.forward.admit(*client));
        let Some(client) = admitted else {
            counts.ignored.add(1);
            return self.endpoint.ignore(incoming);
        };
        // Whoever has made a pipe has shown where it is.
        if handshakes.count() >= self.config.retry_above && !incoming.remote_address_validated() && pipe.is_none() {
            counts.retried.add(1);
            // Allowed whenever the address is not validated yet.
            if let Ok(transmit) = self.endpoint.retry(incoming, &mut self.scratch) {
                send(&transmit, &self.scratch);
            }
        } else {
            self.accept(incoming, client, now, send);
        }
    }

    fn accept(&mut self, incoming: Incoming, from: SocketAddr, now: Instant, send: Send<'_>) {
        let pipe = PipeKey::of(incoming.remote_address());
        match self.endpoint.accept(incoming, now, &mut self.scratch, None) {
            Ok((ConnectionHandle(place), connection)) => {
                let number = self.together.named.fetch_add(1, Relaxed) + 1;
                // More than 2^32 clients have no room in any machine.
                let id = PeerId::new(number, u32::try_from(place).unwrap_or(u32::MAX), self.shard);
                if self.clients.len() <= place {
                    self.clients.resize_with(place + 1, || None);
                }
                if let Some(free) = self.clients.get_mut(place) {
                    *free = Some(Box::new(Client::new(id, connection, from, now + HANDSHAKE)));
                    self.by_pipe.extend(pipe.map(|pipe| (pipe, place)));
                    self.connections += 1;
                    self.together.connections.fetch_add(1, Relaxed);
                    self.together.handshakes.begin(from);
                    self.stir(place);
                }
            }
            Err(error) => {
                self.together.counts.failed.add(1);
                if let Some(transmit) = error.response {
                    send(&transmit, &self.scratch);
                }
            }
        }
    }

    /// Tells a client something. It is sent as far as the client takes it; one that leaves too much unread is closed. A client that has
    /// not said anything has no stream to be told on and misses it.
    pub(super) fn tell(&mut self, peer: PeerId, message: &FromRelay, now: Instant) {
        if let Some(client) = self.client(peer) {
            client.tell(message, now);
            self.stir(peer.place as usize);
        }
    }

    /// Closes a connection. What was told before is sent first, once.
    pub(super) fn close(&mut self, peer: PeerId, farewell: Farewell, now: Instant) {
        if let Some(client) = self.client(peer) {
            client.leave(farewell, now);
            self.stir(peer.place as usize);
        }
    }

    /// Those who came by this pipe cannot be reached any more. They come back by another, as others.
    pub(super) fn pipe_gone(&mut self, pipe: PipeKey, now: Instant) {
        while let Some((_, place)) = self.by_pipe.range((pipe, 0)..=(pipe, usize::MAX)).next().copied() {
            self.by_pipe.remove(&(pipe, place));
            let Self { clients, events, .. } = self;
            if let Some(client) = clients.get_mut(place).and_then(Option::as_deref_mut) {
                match guarded(|| client.lose(pipe.address(), now, &mut |event| events.push_back(event))) {
                    Some(()) => self.stir(place),
                    None => self.abandon(place),
                }
            }
        }
    }

    /// Refuses new connections from now on.
    pub(super) fn drain(&mut self) {
        self.draining = true;
    }

    /// Closes every connection.
    pub(super) fn close_all(&mut self, farewell: &Farewell, now: Instant) {
        for place in 0..self.clients.len() {
            if let Some(client) = self.clients.get_mut(place).and_then(Option::as_deref_mut) {
                client.leave(farewell.clone(), now);
                self.stir(place);
            }
        }
    }

    /// When [`ControlEndpoint::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether [`ControlEndpoint::go_on`] has something to do at once.
    pub(super) fn has_more(&self) -> bool {
        !self.knocking.is_empty()
            || !self.stirred.is_empty()
            || (!self.unread.is_empty() && self.events.len() < EVENTS_HELD)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, place)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(client) = self.clients.get_mut(place).and_then(Option::as_deref_mut) {
                client.wakes_at = None;
                match guarded(|| client.handle_timeout(now)) {
                    Some(()) => self.stir(place),
                    None => self.abandon(place),
                }
            }
        }
    }

    /// Looks at whoever knocked, looks after every client that something happened to, and reads on where reading had stopped.
    pub(super) fn go_on(&mut self, now: Instant, max_segments: usize, send: Send<'_>) {
        for incoming in std::mem::take(&mut self.knocking) {
            self.receive(incoming, now, send);
        }
        if self.events.len() < EVENTS_HELD {
            for place in self.unread.drain(..) {
                if let Some(client) = self.clients.get_mut(place).and_then(Option::as_deref_mut) {
                    client.listed_unread = false;
                    if !client.stirred {
                        client.stirred = true;
                        self.stirred.push(place);
                    }
                }
            }
        }
        let stirred = std::mem::take(&mut self.stirred);
        for place in &stirred {
            self.look_after(*place, now, max_segments, send);
        }
        // Keeps its room; nothing was stirred meanwhile.
        self.stirred = stirred;
        self.stirred.clear();
    }

    fn look_after(&mut self, place: usize, now: Instant, max_segments: usize, send: Send<'_>) {
        let Self { endpoint, clients, events, scratch, .. } = self;
        let Some(client) = clients.get_mut(place).and_then(Option::as_deref_mut) else { return };
        client.stirred = false;
        let was_handshaking = client.is_handshaking();
        let mut attend = || loop {
            let may_read = events.len() < EVENTS_HELD;
            client.go_on(may_read, now, &mut |event| events.push_back(event));
            loop {
                scratch.clear();
                match client.poll_transmit(now, max_segments.clamp(1, SEGMENTS), scratch) {
                    Some(transmit) => send(&transmit, scratch),
                    None => break,
                }
            }
            client.look_at_path(&mut |event| events.push_back(event));
            let parted = client.part(now, &mut |event| events.push_back(event));
            match client.pass_on(ConnectionHandle(place), endpoint) {
                PassedOn::Nothing if !parted => break false,
                PassedOn::Nothing | PassedOn::Answered => {}
                PassedOn::Drained => break true,
            }
        };
        let Some(is_drained) = guarded(&mut attend) else {
            if was_handshaking && !client.is_handshaking() {
                self.together.handshakes.end(client.came_from);
            }
            return self.abandon(place);
        };
        if was_handshaking && !client.is_handshaking() {
            let Together { handshakes, counts, .. } = &*self.together;
            handshakes.end(client.came_from);
            if client.was_welcomed() { counts.accepted.add(1) } else { counts.failed.add(1) }
        }
        if is_drained {
            self.forget(place);
            return;
        }
        if client.may_have_unread && !client.listed_unread {
            client.listed_unread = true;
            self.unread.push_back(place);
        }
        // A time that moved back is left where it is: most do with every packet.
        if let Some(at) = client.poll_timeout()
            && client.wakes_at.is_none_or(|earlier| at < earlier)
        {
            if let Some(earlier) = client.wakes_at.replace(at) {
                self.timers.remove(&(earlier, place));
            }
            self.timers.insert((at, place));
        }
    }

    fn forget(&mut self, place: usize) {
        let Some(client) = self.clients.get_mut(place).and_then(Option::take) else { return };
        if let Some(at) = client.wakes_at {
            self.timers.remove(&(at, place));
        }
        if let Some(pipe) = client.came_by {
            self.by_pipe.remove(&(pipe, place));
        }
        self.connections -= 1;
        self.together.connections.fetch_sub(1, Relaxed);
    }

    /// Forgets a client whose connection has panicked.
    fn abandon(&mut self, place: usize) {
        let Some(client) = self.clients.get(place).and_then(Option::as_deref) else { return };
        if client.is_handshaking() {
            self.together.handshakes.end(client.came_from);
            self.together.counts.failed.add(1);
        } else if !client.is_over() {
            let why = PeerEnd::Broken { reason: Label::cut("an error of the relay's own") };
            self.events.push_back(PeerEvent::Ended { peer: client.id, why });
        }
        self.together.counts.panicked.add(1);
        self.forget(place);
        // What the connection would have said last.
        let _ = self.endpoint.handle_event(ConnectionHandle(place), EndpointEvent::drained());
    }

    /// The next thing that happened. Of several moves of one client only the newest is told.
    pub(super) fn poll_event(&mut self) -> Option<PeerEvent> {
        let mut event = self.events.pop_front()?;
        if let PeerEvent::Moved { peer, address } = &mut event
            && let Some(client) = self.client(*peer)
        {
            *address = client.tell_move();
        }
        Some(event)
    }

    /// Takes back an event that could not be handed on.
    pub(super) fn take_back(&mut self, event: PeerEvent) {
        if let PeerEvent::Moved { peer, .. } = event
            && let Some(client) = self.client(peer)
        {
            client.keep_move();
        }
        self.events.push_front(event);
    }

    /// Connections of this shard that stand, half-open ones included.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    fn client(&mut self, peer: PeerId) -> Option<&mut Client> {
        let client = self.clients.get_mut(peer.place as usize)?.as_deref_mut()?;
        (client.id == peer).then_some(client)
    }

    fn stir(&mut self, place: usize) {
        if let Some(client) = self.clients.get_mut(place).and_then(Option::as_deref_mut)
            && !client.stirred
        {
            client.stirred = true;
            self.stirred.push(place);
        }
    }
}

/// Runs what a bug may make panic, such as one in QUIC that a client has found: it then ends this client's connection and not
/// the shard with everybody's. `None`: it has panicked.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests;
