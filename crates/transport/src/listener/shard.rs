//! One thread with one socket: receives a batch, forwards trains, runs its control connections.
//!
//! Nothing in here waits but for packets, orders and timers. For a train there is one look-up, at most one send and a few counters; a short
//! one is copied, to be sent with others. There is no allocation, no lock, no log line and no other system call.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Relaxed, SeqCst},
        },
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token, Waker};
use quinn::udp::{RecvMeta, Transmit};
use quinn_proto::EcnCodepoint;
use tokio::sync::mpsc::{self, error::TrySendError};
use wire::{
    beat::BEAT_BYTES,
    channel::{ChannelId, DataHeader, Unbound},
    control::FromRelay,
    time::Moment,
};

use super::{
    BeatFrom, Forward, ListenerCounters, Route,
    calm::{Calm, TOGETHER},
    control::ControlEndpoint,
    coupler::Coupler,
    peer::{Farewell, PeerEvent, PeerId},
    pipes::Registry,
    socket::{Sent, ShardSocket},
};
use crate::{
    address::{PipeKey, is_synthetic},
    clock,
    counters::Count,
    demux::{Class, first_run},
    pipe::Train,
    restart::ShardMask,
    socket::lock,
    udp::{Inbox, Received},
};

/// Trains taken from the kernel at once: 2 MiB of memory.
const TRAINS: usize = 32;

/// Trains of pipes that are handled before the socket has its turn again.
const PIPE_TRAINS: usize = 64;

/// Receive errors in a row after which the shard waits for the next packet instead of asking again at once.
const ERRORS_IN_A_ROW: usize = 8;

/// Packets of a shard's connections that came to others and may wait. Clients that moved send few; what is more was forged.
const STRAYS: usize = 256;

/// How long a shard that stops looks after connections that were closed, for those whose last packet was lost.
const CLOSING: Duration = Duration::from_secs(1);

/// The longest packet of a session that is forwarded: what an Ethernet frame takes with UDP over IPv4. None is made that is as long.
const DATA_BYTES: usize = 1472;

/// Beats that are handed on at once.
const BEATS: usize = 128;

const SOCKET: Token = Token(0);
const ORDERS: Token = Token(1);

/// What a shard is told.
#[derive(Debug)]
pub(super) enum Order {
    Tell(PeerId, FromRelay),
    /// For a sleeping agent.
    Beat(SocketAddr, [u8; BEAT_BYTES]),
    Close(PeerId, Farewell),
    /// Nothing comes by this pipe any more, nor goes.
    PipeGone(PipeKey),
    /// Take nobody new.
    Drain,
    /// Take nobody new, wait so long for everybody to leave, close those who have not, and end.
    Shutdown(Duration),
}

/// What others see and use of a shard.
#[derive(Debug)]
pub(super) struct Desk {
    orders: Mutex<Vec<Order>>,
    /// There are orders. Keeps the shard from locking for nothing.
    ordered: AtomicBool,
    /// Most orders that wait.
    room: usize,
    /// The shard holds events because the queue was full.
    pub(super) stalled: AtomicBool,
    /// The shard shall end at once.
    stopped: AtomicBool,
    waker: Waker,
    /// The shard's own, once it runs. It may let beats come together, and does not hold up orders for that.
    thread: OnceLock<Thread>,
    /// Packets of this shard's connections that other shards got.
    strays: Mutex<Vec<Stray>>,
    /// What came by this shard's pipes. Each has only so much in here.
    trains: Mutex<VecDeque<Train>>,
    counts: PacketCounts,
}

/// A control packet that the kernel gave to another shard: its client has another address than when it came.
#[derive(Debug)]
struct Stray {
    packet: Vec<u8>,
    from: SocketAddr,
    meta: RecvMeta,
}

/// What happened to packets.
#[derive(Debug, Default)]
struct PacketCounts {
    control_packets: Count,
    control_unsent: Count,
    strays: Count,
    strays_lost: Count,
    forwarded_packets: Count,
    forwarded_bytes: Count,
    no_route: Count,
    told_unbound: Count,
    full: Count,
    send_failed: Count,
    beats: Count,
    beats_sent: Count,
    beats_unsent: Count,
    unknown_kind: Count,
    receive_errors: Count,
}

impl Desk {
    /// Gives an order. `false`: there is no room, and the order is lost.
    pub(super) fn order(&self, order: Order) -> bool {
        if lock(&self.orders).len() >= self.room {
            return false;
        }
        self.order_in_any_case(order);
        true
    }

    pub(super) fn order_in_any_case(&self, order: Order) {
        lock(&self.orders).push(order);
        self.call();
    }

    /// Hands over a packet of this shard's.
    fn stray(&self, packet: &[u8], from: SocketAddr, meta: RecvMeta) {
        {
            let mut strays = lock(&self.strays);
            if strays.len() >= STRAYS {
                self.counts.strays_lost.add(1);
                return;
            }
            strays.push(Stray { packet: packet.to_vec(), from, meta });
        }
        self.counts.strays.add(1);
        self.call();
    }

    /// Hands over what came by a pipe of this shard's.
    pub(super) fn take(&self, train: Train) {
        lock(&self.trains).push_back(train);
        self.call();
    }

    fn call(&self) {
        if !self.ordered.swap(true, SeqCst) {
            self.wake();
        }
    }

    /// Ends the shard at once.
    pub(super) fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.wake();
    }

    pub(super) fn wake(&self) {
        // Fails when the shard has ended, or when it is to be woken already.
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn add_to(&self, sum: &mut ListenerCounters) {
        let counts = &self.counts;
        sum.control_packets += counts.control_packets.read();
        sum.control_unsent += counts.control_unsent.read();
        sum.strays += counts.strays.read();
        sum.strays_lost += counts.strays_lost.read();
        sum.forwarded_packets += counts.forwarded_packets.read();
        sum.forwarded_bytes += counts.forwarded_bytes.read();
        sum.no_route += counts.no_route.read();
        sum.told_unbound += counts.told_unbound.read();
        sum.full += counts.full.read();
        sum.send_failed += counts.send_failed.read();
        sum.beats += counts.beats.read();
        sum.beats_sent += counts.beats_sent.read();
        sum.beats_unsent += counts.beats_unsent.read();
        sum.unknown_kind += counts.unknown_kind.read();
        sum.receive_errors += counts.receive_errors.read();
    }
}

/// The thread's own.
pub(super) struct Shard {
    poll: Poll,
    wire: Wire,
    inbox: Inbox,
    coupler: Coupler,
    control: ControlEndpoint,
    desk: Arc<Desk>,
    events: mpsc::Sender<PeerEvent>,
    /// Empty but while they are worked on; kept so that their memory is used again.
    taken: Vec<Order>,
    taken_strays: Vec<Stray>,
    taken_trains: Vec<Train>,
    beats: Vec<BeatFrom>,
    answers: Vec<(BeatFrom, [u8; BEAT_BYTES])>,
    calm: Calm,
    number: u8,
    mask: ShardMask,
    /// All shards, this one included.
    desks: Vec<Arc<Desk>>,
    stopping: Option<Stopping>,
}

/// What a packet needs on its way out.
struct Wire {
    socket: ShardSocket,
    forward: Arc<dyn Forward>,
    pipes: Arc<Registry>,
    desk: Arc<Desk>,
}

#[derive(Debug, Clone, Copy)]
struct Stopping {
    /// Clients may leave by themselves until then.
    grace_until: Instant,
    closed: bool,
}

impl Shard {
    /// A shard with its own socket. `room` bounds the orders that wait.
    pub(super) fn new(
        mut socket: ShardSocket,
        (forward, pipes): (Arc<dyn Forward>, Arc<Registry>),
        control: ControlEndpoint,
        events: mpsc::Sender<PeerEvent>,
        room: usize,
        (number, mask): (u8, ShardMask),
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry().register(socket.source(), SOCKET, Interest::READABLE)?;
        let desk = Arc::new(Desk {
            orders: Mutex::default(),
            ordered: AtomicBool::new(false),
            room,
            stalled: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            waker: Waker::new(poll.registry(), ORDERS)?,
            thread: OnceLock::new(),
            strays: Mutex::default(),
            trains: Mutex::default(),
            counts: PacketCounts::default(),
        });
        let inbox = socket.inbox(TRAINS);
        let wire = Wire { socket, forward, pipes, desk: Arc::clone(&desk) };
        Ok(Self {
            poll,
            wire,
            inbox,
            coupler: Coupler::new(),
            control,
            desk,
            events,
            taken: Vec::new(),
            taken_strays: Vec::new(),
            taken_trains: Vec::new(),
            beats: Vec::with_capacity(BEATS),
            answers: Vec::with_capacity(BEATS),
            calm: Calm::default(),
            number,
            mask,
            desks: Vec::new(),
            stopping: None,
        })
    }

    pub(super) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Runs until it is told to end. `desks` are those of all shards, in their order.
    pub(super) fn run(mut self, desks: Vec<Arc<Desk>>) {
        self.desks = desks;
        // Nobody else sets it.
        let _ = self.desk.thread.set(thread::current());
        let mut ready = Events::with_capacity(2);
        let mut readable = true;
        while !self.desk.stopped.load(Acquire) {
            if readable {
                readable = self.receive();
            }
            let now = clock::quic_now();
            self.take_orders(now);
            self.control.handle_timeout(now);
            let Self { control, wire, .. } = &mut self;
            control.go_on(now, wire.socket.max_segments(), &mut |transmit, bytes| wire.send(transmit, bytes));
            self.hand_over();
            if self.has_ended(now) {
                return;
            }
            if readable || self.control.has_more() {
                continue;
            }
            let deadline = self.control.poll_timeout().into_iter().chain(self.wants_to_stop_at()).min();
            let timeout = deadline.map(|at| at.saturating_duration_since(now));
            if self.calm.waits(now) && timeout.is_none_or(|timeout| timeout > TOGETHER) {
                // What comes meanwhile waits in the socket, which is looked at next without asking. An order ends it; so does nothing at times,
                // which does no harm.
                thread::park_timeout(TOGETHER);
                readable = true;
                continue;
            }
            // Interrupted by a signal, it has nothing to say.
            let _ = self.poll.poll(&mut ready, timeout);
            readable = ready.iter().any(|event| event.token() == SOCKET);
            ready.clear();
        }
    }

    /// Handles one batch. Returns whether there may be more.
    fn receive(&mut self) -> bool {
        let mut errors = 0;
        loop {
            match self.wire.socket.receive(&mut self.inbox) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.desk.counts.receive_errors.add(1);
                    errors += 1;
                    if errors == ERRORS_IN_A_ROW {
                        // The next packet wakes us; a lasting error does not spin.
                        return false;
                    }
                }
            }
        }
        // Nobody out there has an address that is made up here.
        let forged = self.inbox.refuse_forged();
        if forged > 0 {
            self.desk.counts.unknown_kind.add(forged);
        }
        let now = clock::quic_now();
        let (inbox, mut sorting) = self.sorting(now);
        while let Some(received) = inbox.next(|class| sorting.most(class)) {
            sorting.sort(received);
        }
        sorting.end_batch();
        let (beats, others) = (sorting.beats_heard, sorting.others_heard);
        self.calm.heard(beats, others, self.desk.counts.forwarded_packets.read(), now);
        true
    }

    /// What is needed to bring packets where they belong.
    fn sorting(&mut self, quic_now: Instant) -> (&mut Inbox, Sorting<'_>) {
        let Self { inbox, coupler, control, wire, desks, mask, number, beats, answers, .. } = self;
        let most = wire.socket.max_segments().max(1);
        let (number, now) = (*number, clock::now());
        let (beats_heard, others_heard) = (0, 0);
        let sorting = Sorting {
            control,
            wire,
            coupler,
            desks,
            mask,
            number,
            most,
            now,
            quic_now,
            beats,
            answers,
            beats_heard,
            others_heard,
        };
        (inbox, sorting)
    }

    /// Handles what came by pipes.
    fn take_trains(&mut self, now: Instant) {
        let mut trains = std::mem::take(&mut self.taken_trains);
        let more = {
            let mut waiting = lock(&self.desk.trains);
            let count = waiting.len().min(PIPE_TRAINS);
            trains.extend(waiting.drain(..count));
            !waiting.is_empty()
        };
        if !trains.is_empty() {
            let (_, mut sorting) = self.sorting(now);
            for train in trains.drain(..) {
                sorting.sort_train(&train);
            }
            sorting.end_batch();
        }
        self.taken_trains = trains;
        if more {
            self.desk.call();
        }
    }

    fn take_orders(&mut self, now: Instant) {
        if !self.desk.ordered.load(Relaxed) || !self.desk.ordered.swap(false, SeqCst) {
            return;
        }
        std::mem::swap(&mut *lock(&self.desk.strays), &mut self.taken_strays);
        for Stray { packet, from, meta } in self.taken_strays.drain(..) {
            let Self { control, wire, .. } = self;
            let ecn = meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8));
            control.handle_packet(&packet, from, meta.dst_ip, ecn, now, &mut |transmit, bytes| {
                wire.send(transmit, bytes);
            });
        }
        self.take_trains(now);
        std::mem::swap(&mut *lock(&self.desk.orders), &mut self.taken);
        for order in self.taken.drain(..) {
            match order {
                Order::Beat(to, packet) => self.wire.send_beat(to, None, &packet),
                Order::Tell(peer, message) => self.control.tell(peer, &message, now),
                Order::Close(peer, farewell) => self.control.close(peer, farewell, now),
                Order::PipeGone(pipe) => self.control.pipe_gone(pipe, now),
                Order::Drain => self.control.drain(),
                Order::Shutdown(grace) => {
                    self.control.drain();
                    self.stopping = Some(Stopping { grace_until: now + grace, closed: false });
                }
            }
        }
    }

    /// Hands events over as far as there is room.
    fn hand_over(&mut self) {
        while let Some(event) = self.control.poll_event() {
            let Err(TrySendError::Full(event)) = self.events.try_send(event) else { continue };
            // Whoever takes an event from now on wakes us. Something may have been taken before that was said.
            self.desk.stalled.store(true, SeqCst);
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.control.take_back(event);
                return;
            }
        }
    }

    fn wants_to_stop_at(&self) -> Option<Instant> {
        self.stopping.map(|Stopping { grace_until, closed }| if closed { grace_until + CLOSING } else { grace_until })
    }

    /// Goes on with a shutdown, and says whether it is done.
    fn has_ended(&mut self, now: Instant) -> bool {
        let Some(stopping) = &mut self.stopping else { return false };
        if self.control.connections() == 0 {
            return true;
        }
        if stopping.closed {
            return stopping.grace_until + CLOSING <= now;
        }
        if stopping.grace_until <= now {
            *stopping = Stopping { grace_until: now, closed: true };
            self.control.close_all(&Farewell::draining(), now);
        }
        false
    }
}

/// Brings packets of one batch to where they belong.
struct Sorting<'a> {
    control: &'a mut ControlEndpoint,
    wire: &'a Wire,
    /// What waits for the end of the batch. Empty before and after.
    coupler: &'a mut Coupler,
    desks: &'a [Arc<Desk>],
    mask: &'a ShardMask,
    number: u8,
    /// Segments that may be sent at once.
    most: usize,
    now: Moment,
    quic_now: Instant,
    /// Those that were not handed on yet. Empty before and after.
    beats: &'a mut Vec<BeatFrom>,
    /// To them. Empty before and after.
    answers: &'a mut Vec<(BeatFrom, [u8; BEAT_BYTES])>,
    beats_heard: usize,
    others_heard: usize,
}

impl Sorting<'_> {
    /// How many segments of a class may go together.
    fn most(&self, class: Class) -> usize {
        match class {
            Class::Quic | Class::Unbound(_) | Class::Probe(_) | Class::Beat | Class::Foreign => 1,
            Class::Data(_) => self.most,
        }
    }

    fn sort(&mut self, received: Received<'_>) {
        self.others_heard += usize::from(received.run.class != Class::Beat);
        match received.run.class {
            Class::Beat => self.keep_beat(&received),
            // In pieces anybody can send what no network takes whole.
            Class::Data(_) if received.run.stride > DATA_BYTES => {
                self.wire.desk.counts.unknown_kind.add(received.run.segments())
            }
            Class::Data(channel) => self.wire.pass_on(&received, channel, self.now, (self.coupler, self.most)),
            // Only relays say so, or the ends of a session to each other.
            Class::Unbound(_) | Class::Probe(_) | Class::Foreign => self.wire.desk.counts.unknown_kind.add(1),
            Class::Quic => {
                self.wire.desk.counts.control_packets.add(1);
                let Received { run, from, meta } = received;
                let owner = self.mask.shard_of(run.bytes).filter(|owner| *owner != self.number);
                match owner.and_then(|owner| self.desks.get(usize::from(owner))) {
                    Some(owner) => owner.stray(run.bytes, from, meta),
                    None => self.control.handle_packet(
                        run.bytes,
                        from,
                        meta.dst_ip,
                        meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                        self.quic_now,
                        &mut |transmit, bytes| self.wire.send(transmit, bytes),
                    ),
                }
            }
        }
    }

    fn keep_beat(&mut self, received: &Received<'_>) {
        let packet = <[u8; BEAT_BYTES]>::try_from(received.run.bytes);
        let Some(packet) = packet.ok().filter(|_| !is_synthetic(&received.from)) else {
            // Whoever sleeps does so by UDP.
            return self.wire.desk.counts.unknown_kind.add(1);
        };
        self.beats_heard += 1;
        if self.beats.len() == BEATS {
            self.hand_on_beats();
        }
        self.beats.push(BeatFrom { from: received.from, to: received.meta.dst_ip, packet });
    }

    /// Lets go what waits: sessions' packets first.
    fn end_batch(&mut self) {
        let wire = self.wire;
        self.coupler.clear(&mut |transmit| wire.hand_over(transmit));
        self.hand_on_beats();
    }

    fn hand_on_beats(&mut self) {
        if self.beats.is_empty() {
            return;
        }
        let wire = self.wire;
        wire.desk.counts.beats.add(self.beats.len());
        let answers = &mut *self.answers;
        wire.forward.beats(self.beats, self.now, &mut |beat, answer| answers.push((*beat, answer)));
        self.beats.clear();
        // One after the other: between two records, each send would drive the other's data out of the caches, and hold the records' lock.
        for (beat, answer) in self.answers.drain(..) {
            wire.send_beat(beat.from, beat.to, &answer);
        }
    }

    fn sort_train(&mut self, train: &Train) {
        let Train { from, ecn, stride, bytes, .. } = train;
        let mut rest = bytes.as_slice();
        while let Some(run) = first_run(rest, *stride, |class| self.most(class)) {
            rest = rest.get(run.bytes.len()..).unwrap_or_default();
            let meta = RecvMeta { addr: *from, len: run.bytes.len(), stride: run.stride, ecn: *ecn, dst_ip: None };
            self.sort(Received { run, from: *from, meta });
        }
    }
}

impl Wire {
    /// Hands packets to the kernel, or to the pipe whose address they go to.
    fn transmit(&self, transmit: &Transmit<'_>) -> Sent {
        if is_synthetic(&transmit.destination) { self.pipes.send(transmit) } else { self.socket.send(transmit) }
    }

    /// Sends a run on, unchanged, as the train that it came in or coupled to others for the same address.
    fn pass_on(
        &self,
        received: &Received<'_>,
        channel: ChannelId,
        now: Moment,
        (coupler, most): (&mut Coupler, usize),
    ) {
        let Received { run, from, meta } = received;
        let counts = &self.desk.counts;
        let segments = run.segments();
        let to = match self.forward.route(*from, DataHeader { channel }, run.bytes.len(), segments, now) {
            Route::To(to) => to,
            Route::Nowhere => return counts.no_route.add(segments),
            Route::Unbound => {
                counts.no_route.add(segments);
                counts.told_unbound.add(1);
                // Shorter than what it answers. If it does not leave, the sender finds out by silence.
                let _ = self.transmit(&Transmit {
                    destination: *from,
                    ecn: None,
                    contents: &Unbound { channel }.to_bytes(),
                    segment_size: None,
                    src_ip: meta.dst_ip.filter(|own| is_ipv4(*own) == from.is_ipv4()),
                });
                return;
            }
        };
        let transmit = Transmit {
            destination: to,
            ecn: meta.ecn,
            contents: run.bytes,
            segment_size: run.segment_size(),
            src_ip: meta.dst_ip.filter(|own| is_ipv4(*own) == to.is_ipv4()),
        };
        coupler.take(&transmit, most, &mut |transmit| self.hand_over(transmit));
    }

    /// Sends packets of sessions.
    fn hand_over(&self, transmit: &Transmit<'_>) {
        let Sent { done, bytes, full, refused } = self.transmit(transmit);
        let counts = &self.desk.counts;
        counts.forwarded_packets.add(done);
        counts.forwarded_bytes.add(bytes);
        if full + refused > 0 {
            counts.full.add(full);
            counts.send_failed.add(refused);
        }
    }

    /// Sends a packet to a sleeping agent. What does not leave is as if lost on the way.
    fn send_beat(&self, destination: SocketAddr, from: Option<IpAddr>, packet: &[u8; BEAT_BYTES]) {
        let sent = self.socket.send(&Transmit {
            destination,
            ecn: None,
            contents: packet,
            segment_size: None,
            src_ip: from.filter(|own| is_ipv4(*own) == destination.is_ipv4()),
        });
        self.desk.counts.beats_sent.add(sent.done);
        self.desk.counts.beats_unsent.add(sent.full + sent.refused);
    }

    /// Sends a control packet. What the kernel does not take counts as lost on the way; QUIC sends it again.
    fn send(&self, transmit: &quinn_proto::Transmit, bytes: &[u8]) {
        let sent = self.transmit(&Transmit {
            destination: crate::address::canonical(transmit.destination),
            ecn: transmit.ecn.and_then(|ecn| quinn::udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: bytes.get(..transmit.size).unwrap_or(bytes),
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        });
        self.desk.counts.control_unsent.add(sent.full + sent.refused);
    }
}

fn is_ipv4(ip: IpAddr) -> bool {
    ip.to_canonical().is_ipv4()
}
