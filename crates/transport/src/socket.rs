//! The socket of an agent or a technician, as quinn sees it.
//!
//! Control connection and sessions share one real socket, so that the relay knows where to send a session's packets from where
//! control came from. Towards quinn it is an IPv6 socket on which every peer has the address that [`address`](crate::address)
//! gave it.

use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use wire::{
    beat::BEAT_BYTES,
    channel::{ChannelId, DataHeader, HEADER_BYTES, PathFlags},
    control::FirstFlight,
    path::{FULL_PROBE_BYTES, Probe, is_quic},
};

use crate::{
    address::{Label, Place, SessionKey},
    counters::{Count, Counters},
    demux::{Class, prefix},
    node::candidates::Observation,
    paths::Outward,
    pipe::port::{NodePipes, PipedPort},
    sealed::Carrier,
    table::{Arrival, End, EnterError, Table, Uptime},
    udp::{Inbox, Offloading, Port, Received, Sent, UdpIo},
};

/// Trains taken from the kernel at once: 4 x 64 KiB of memory, enough for 10 ms at 200 Mbit/s.
const TRAINS: usize = 4;

/// Packets that quinn makes room for behind one address; with its 32 slots that is 188 KB an endpoint.
const SEGMENTS: usize = 4;

/// Asked of the kernel for packets that wait to be read: 20 ms at 1.6 Gbit/s. It may give less.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Asked of the kernel for packets that wait to be sent.
pub(crate) const SEND_BUFFER_BYTES: usize = 1 << 20;

/// Packets for a sleeping agent that may wait. An honest relay sends one; what is more is sent again or was forged.
const BEATS: usize = 16;

/// Batches handled in one go before other tasks get their turn.
const ROUNDS: usize = 16;

/// The one socket of a [`Node`](crate::node::Node).
pub(crate) struct NodeSocket {
    port: PipedPort,
    pipes: Arc<NodePipes>,
    origin: Instant,
    table: Mutex<Table>,
    inbox: Mutex<Inbox>,
    /// Where packets get their header. Kept, so that sending allocates nothing.
    scratch: Mutex<Vec<u8>>,
    waker: Mutex<Option<Waker>>,
    opened: Notify,
    unbound: Notify,
    /// A session without a channel has sent something.
    held: Notify,
    observation: Observation,
    /// Counts changes of this machine's network.
    network: watch::Sender<u64>,
    /// Who takes packets for a sleeping agent, while this one sleeps.
    beats: Mutex<Option<mpsc::Sender<[u8; BEAT_BYTES]>>>,
    stranger: Count,
    bad_probe: Count,
    unknown_kind: Count,
    unknown_channel: Count,
    too_large: Count,
    no_route: Count,
}

impl NodeSocket {
    pub(crate) fn bind(address: Option<SocketAddr>, offloading: Offloading) -> io::Result<Self> {
        let udp = match address {
            Some(address) => UdpIo::bind(address, offloading)?,
            None => UdpIo::bind_any(offloading)?,
        };
        udp.set_buffers(RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES);
        Ok(Self::over(Box::new(udp)))
    }

    pub(crate) fn over(port: Box<dyn Port>) -> Self {
        let pipes = Arc::new(NodePipes::default());
        let port = PipedPort::new(port, Arc::clone(&pipes));
        let inbox = port.inbox(TRAINS);
        Self {
            port,
            pipes,
            origin: Instant::now(),
            table: Mutex::default(),
            inbox: Mutex::new(inbox),
            scratch: Mutex::default(),
            waker: Mutex::default(),
            opened: Notify::new(),
            unbound: Notify::new(),
            held: Notify::new(),
            observation: Observation::default(),
            network: watch::Sender::new(0),
            beats: Mutex::default(),
            stranger: Count::default(),
            bad_probe: Count::default(),
            unknown_kind: Count::default(),
            unknown_channel: Count::default(),
            too_large: Count::default(),
            no_route: Count::default(),
        }
    }

    /// The table, for short questions. Never held across anything that waits, nor across a call to quinn, which takes the table with its own
    /// locks held.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// What the relay says about where this socket's packets come from.
    pub(crate) fn observation(&self) -> &Observation {
        &self.observation
    }

    /// Counts changes of this machine's network.
    pub(crate) fn network(&self) -> &watch::Sender<u64> {
        &self.network
    }

    pub(crate) fn uptime(&self) -> Uptime {
        self.origin.elapsed()
    }

    /// What carries packets over TCP in place of the real socket.
    pub(crate) fn pipes(&self) -> &Arc<NodePipes> {
        &self.pipes
    }

    /// The real address that the socket is bound to.
    pub(crate) fn bound_to(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }

    /// Enters a session; packets that came before are delivered now.
    pub(crate) fn open(&self, end: End, channel: ChannelId) -> Result<SessionKey, EnterError> {
        let key = self.table().open(end, channel, self.uptime())?;
        self.opened.notify_one();
        self.wake_receiver();
        Ok(key)
    }

    /// Waits while there is no session. For one task alone.
    pub(crate) async fn any_session(&self) {
        while !self.table().any_session() {
            self.opened.notified().await;
        }
    }

    /// Returns when the relay has said that it knows this address of a session no more.
    ///
    /// Cancel-safe: it is said at most once for what was not waited for.
    pub(crate) async fn told_unbound(&self) {
        self.unbound.notified().await;
    }

    /// Takes packets that came along with the news of their channel, as if they had come by it.
    pub(crate) fn arrived_with(&self, channel: ChannelId, first: &FirstFlight) {
        let (header, now) = (DataHeader { channel }.to_bytes(), self.uptime());
        let mut table = self.table();
        for packet in first.packets().filter(|packet| is_quic(packet)) {
            table.park(channel, None, [&header[..], packet].concat(), now);
        }
    }

    /// Moves a session to another channel; packets that came before are delivered now.
    pub(crate) fn move_to(&self, key: SessionKey, channel: ChannelId) -> Result<(), EnterError> {
        self.table().move_to(key, channel, self.uptime())?;
        self.wake_receiver();
        Ok(())
    }

    /// Gives a session a further channel; packets that came before are delivered now.
    pub(crate) fn add(&self, key: SessionKey, channel: ChannelId) -> Result<(), EnterError> {
        self.table().add(key, channel, self.uptime())?;
        self.wake_receiver();
        Ok(())
    }

    pub(crate) fn counters(&self) -> Counters {
        let (send_errors, receive_errors) = self.port.errors();
        Counters {
            stranger: self.stranger.read() + self.port.forged(),
            bad_probe: self.bad_probe.read(),
            unknown_kind: self.unknown_kind.read(),
            unknown_channel: self.unknown_channel.read(),
            too_large: self.too_large.read(),
            no_route: self.no_route.read(),
            send_errors,
            pipe_dropped: self.pipes.dropped(),
            receive_errors,
        }
    }

    fn wake_receiver(&self) {
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }

    /// Sends what quinn has for the other end of a session.
    fn send_sealed(&self, key: SessionKey, label: Label, transmit: &Transmit<'_>) -> Sent {
        let (route, relay) = {
            let mut table = self.table();
            (table.session_route(key, label, self.uptime()), table.live_relay())
        };
        match route {
            Some(by) => self.send_by(by, relay, transmit.ecn, transmit.contents, transmit.segment_size),
            None => self.hold(key, transmit),
        }
    }

    /// Keeps the first packets of a session that has no channel yet.
    fn hold(&self, key: SessionKey, transmit: &Transmit<'_>) -> Sent {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        if !self.table().hold(key, transmit.contents.chunks(size)) {
            return self.no_route();
        }
        self.held.notify_one();
        Sent::Done
    }

    /// Enters a session that has no channel yet.
    pub(crate) fn enter(&self, end: End) -> Result<SessionKey, EnterError> {
        let key = self.table().enter(end)?;
        self.opened.notify_one();
        Ok(key)
    }

    /// Takes what such a session has sent, and waits for it. For one session at a time.
    pub(crate) async fn first_packets(&self, key: SessionKey) -> Vec<Vec<u8>> {
        loop {
            let packets = self.table().take_held(key);
            if !packets.is_empty() {
                return packets;
            }
            self.held.notified().await;
        }
    }

    /// Gives a session its first channel. What waited for it goes out, and what came before is delivered.
    pub(crate) fn start_on(
        &self,
        key: SessionKey,
        channel: ChannelId,
        waiting: Vec<Vec<u8>>,
    ) -> Result<(), EnterError> {
        let (by, held, relay) = {
            let mut table = self.table();
            table.start_on(key, channel, self.uptime())?;
            let by = table.session_route(key, Label::FIRST, self.uptime());
            (by, table.take_held(key), table.live_relay())
        };
        for packet in waiting.into_iter().chain(held) {
            if let Some(by) = by {
                // What does not leave is sent again by QUIC.
                self.send_by(by, relay, None, &packet, None);
            }
        }
        self.wake_receiver();
        Ok(())
    }

    /// Sends behind a channel header by a carrier. The place where further carriers join in.
    fn send_by(
        &self,
        by: Outward,
        relay: Option<SocketAddr>,
        ecn: Option<EcnCodepoint>,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> Sent {
        let destination = match by.carrier {
            Carrier::Relayed => relay,
            Carrier::Direct => by.to,
        };
        let Some(destination) = destination else { return self.no_route() };
        let header = DataHeader { channel: by.channel }.with_flags(by.flags);
        let mut scratch = lock(&self.scratch);
        let segment_size = prefix(contents, segment_size, header, &mut scratch);
        self.port.try_send(&Transmit { destination, ecn, contents: &scratch, segment_size, src_ip: None })
    }

    fn no_route(&self) -> Sent {
        self.no_route.add(1);
        Sent::Lost
    }

    /// Sends a probe, `bytes` long, unless the socket is full: the next one will do.
    pub(crate) fn send_probe(&self, probe: Probe, bytes: usize, by: Outward, relay: Option<SocketAddr>) {
        let mut contents = [0; FULL_PROBE_BYTES];
        let head = probe.to_bytes();
        contents[..head.len()].copy_from_slice(&head);
        let contents = &contents[..bytes.clamp(head.len(), FULL_PROBE_BYTES)];
        self.send_by(by, relay, None, contents, None);
    }

    /// Sends a whole packet to a real address, unless the socket is full: the next one will do.
    pub(crate) fn send_letter(&self, destination: SocketAddr, packet: &[u8]) {
        self.port.try_send(&Transmit { destination, ecn: None, contents: packet, segment_size: None, src_ip: None });
    }

    fn send_control(&self, index: u16, transmit: &Transmit<'_>) -> Sent {
        let Some(destination) = self.table().relay_address(index) else { return self.no_route() };
        self.port.try_send(&Transmit { destination, src_ip: None, ..transmit.clone() })
    }

    /// Hands packets on that came before their channel was known.
    fn take_parked(&self, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        let now = self.uptime();
        let mut table = self.table();
        let mut count = 0;
        while let (Some(buf), Some(meta)) = (bufs.get_mut(count), metas.get_mut(count)) {
            let Some(parked) = table.next_parked() else { break };
            let Some(arrival) = table.arrival(parked.channel) else { continue };
            if !self.look_at(&mut table, arrival, &parked.packet, now) {
                continue;
            }
            let Some(addr) = table.session_address(arrival.key) else { continue };
            let packet = parked.packet.get(HEADER_BYTES..).unwrap_or_default();
            let len = packet.len().min(buf.len());
            buf[..len].copy_from_slice(&packet[..len]);
            *meta = RecvMeta { addr, len, stride: len, ecn: parked.ecn, dst_ip: None };
            count += 1;
        }
        count
    }

    /// Takes from a packet of a session what is not for quinn. True if the rest is for quinn.
    fn look_at(&self, table: &mut Table, arrival: Arrival, packet: &[u8], now: Uptime) -> bool {
        let payload = packet.get(HEADER_BYTES..).unwrap_or_default();
        let quic = is_quic(payload);
        let Some(paths) = table.paths(arrival.key) else { return false };
        let flags = PathFlags::of(packet);
        paths.heard(arrival.path, flags, quic, now);
        if quic {
            return paths.takes(flags, now);
        }
        match Probe::parse(payload) {
            // Direct paths have probes of their own, which are tagged.
            Some(_) if paths.is_direct(arrival.path) => self.bad_probe.add(1),
            Some(Probe::Ping(number)) => {
                if let Some(by) = paths.outward(arrival.path) {
                    self.send_probe(Probe::Pong(number), payload.len(), by, table.live_relay());
                }
            }
            Some(Probe::Pong(number)) => paths.answered(arrival.path, number, now),
            None => self.unknown_kind.add(1),
        }
        false
    }

    /// Takes probes of direct paths, from whatever address. What is not the other end's gets no answer.
    fn take_probes(&self, table: &mut Table, received: &Received<'_>, channel: ChannelId, now: Uptime) {
        for packet in received.run.bytes.chunks(received.run.stride) {
            match table.direct_paths(channel).and_then(|paths| paths.direct_probe(received.from, packet, now)) {
                Some(Some((to, letter))) => self.send_letter(to, &letter),
                Some(None) => {}
                None => self.bad_probe.add(1),
            }
        }
    }

    /// What the relay sends to a sleeping agent, from now on until the receiver is dropped.
    pub(crate) fn listen_for_beats(&self) -> mpsc::Receiver<[u8; BEAT_BYTES]> {
        let (sender, receiver) = mpsc::channel(BEATS);
        *lock(&self.beats) = Some(sender);
        receiver
    }

    fn take_beats(&self, table: &Table, received: &Received<'_>) {
        if !table.is_live_relay(received.from) {
            return self.stranger.add(received.run.segments());
        }
        let beats = lock(&self.beats);
        for packet in received.run.bytes.chunks(received.run.stride) {
            let taken = beats.as_ref().zip(packet.try_into().ok()).map(|(beats, packet)| beats.try_send(packet));
            if !matches!(taken, Some(Ok(()))) {
                self.unknown_kind.add(1);
            }
        }
    }

    /// Hands on what is in the inbox, as far as there is room.
    fn take_received(&self, inbox: &mut Inbox, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        let now = self.uptime();
        let mut table = self.table();
        let mut count = 0;
        while let (Some(buf), Some(meta)) = (bufs.get_mut(count), metas.get_mut(count)) {
            let Some(received) = inbox.next(|_| SEGMENTS) else { break };
            let (run, ecn) = (received.run, received.meta.ecn);
            let (addr, skip) = match run.class {
                Class::Quic => match table.relay_label(received.from) {
                    Some(addr) => (addr, 0),
                    None => {
                        self.stranger.add(run.segments());
                        continue;
                    }
                },
                Class::Probe(channel) => {
                    self.take_probes(&mut table, &received, channel, now);
                    continue;
                }
                Class::Data(channel) | Class::Unbound(channel) if !table.may_send(received.from, channel) => {
                    self.stranger.add(run.segments());
                    continue;
                }
                Class::Data(channel) => match table.arrival(channel) {
                    Some(arrival) => {
                        let mut any = false;
                        for packet in run.bytes.chunks(run.stride) {
                            any |= self.look_at(&mut table, arrival, packet, now);
                        }
                        match table.session_address(arrival.key) {
                            Some(addr) if any => (addr, HEADER_BYTES),
                            Some(_) | None => continue,
                        }
                    }
                    None => {
                        self.unknown_channel.add(run.segments());
                        for packet in run.bytes.chunks(run.stride).filter(|packet| packet.len() <= buf.len()) {
                            table.park(channel, ecn, packet.to_vec(), now);
                        }
                        continue;
                    }
                },
                Class::Unbound(channel) => {
                    if table.has_session_on(channel) {
                        self.unbound.notify_one();
                    } else {
                        self.unknown_channel.add(run.segments());
                    }
                    continue;
                }
                Class::Beat => {
                    self.take_beats(&table, &received);
                    continue;
                }
                Class::Foreign => {
                    self.unknown_kind.add(run.segments());
                    continue;
                }
            };
            let Some(len) = run.copy_to(skip, buf, |packet| skip == 0 || is_quic(&packet[skip..])) else {
                self.too_large.add(run.segments());
                continue;
            };
            *meta = RecvMeta { addr, len, stride: run.stride - skip, ecn, dst_ip: None };
            count += 1;
        }
        count
    }
}

impl AsyncUdpSocket for NodeSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        WritePoller::new(self, |socket| async move { socket.port.writable().await })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = match Place::of(transmit.destination) {
            Some(Place::Relay(index)) => self.send_control(index, transmit),
            Some(Place::Session(key, label)) => self.send_sealed(key, label, transmit),
            None => self.no_route(),
        };
        match sent {
            Sent::Done | Sent::Lost => Ok(()),
            Sent::Full => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        *lock(&self.waker) = Some(cx.waker().clone());
        let mut inbox = lock(&self.inbox);
        for _ in 0..ROUNDS {
            let mut count = self.take_parked(bufs, metas);
            count += self.take_received(&mut inbox, &mut bufs[count..], &mut metas[count..]);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            ready!(self.port.poll_fill(cx, &mut inbox));
        }
        // Only packets for nobody: let others run before going on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let port = self.port.local_addr()?.port();
        Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }

    fn max_transmit_segments(&self) -> usize {
        self.port.max_segments()
    }

    fn max_receive_segments(&self) -> usize {
        SEGMENTS
    }

    fn may_fragment(&self) -> bool {
        self.port.may_fragment()
    }
}

impl fmt::Debug for NodeSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeSocket").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Locks; a thread that panicked while holding the lock left plain data behind that is still in order.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Writable = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// Lets one task wait until the socket takes packets again.
pub(crate) struct WritePoller {
    start: Box<dyn Fn() -> Writable + Send + Sync>,
    waiting: Option<Writable>,
}

impl WritePoller {
    pub(crate) fn new<S, F>(socket: Arc<S>, writable: impl Fn(Arc<S>) -> F + Send + Sync + 'static) -> Pin<Box<Self>>
    where
        S: Send + Sync + 'static,
        F: Future<Output = ()> + Send + Sync + 'static,
    {
        let start = move || -> Writable { Box::pin(writable(Arc::clone(&socket))) };
        Box::pin(Self { start: Box::new(start), waiting: None })
    }
}

impl UdpPoller for WritePoller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut waiting = self.waiting.take().unwrap_or_else(|| (self.start)());
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => {
                self.waiting = Some(waiting);
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for WritePoller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WritePoller").finish_non_exhaustive()
    }
}
