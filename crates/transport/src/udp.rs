//! One real UDP socket, with kernel offload where there is any.
//!
//! Nothing here returns an error to the caller's caller: an error that reached quinn would end a connection's driver without
//! closing the connection, or the whole endpoint. Whatever goes wrong with a packet is counted, and the packet counts as
//! lost on the way.

use std::{
    fmt,
    future::Future,
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use quinn::udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::{
    address::{canonical, is_synthetic, mapped},
    demux::{Class, Run, first_run},
};

/// The largest train that a kernel joins, and more than the largest UDP packet. A cache line more than a power of two: the beginnings of
/// trains that lie side by side would otherwise all have to share a few places of the processor's caches.
const TRAIN_BYTES: usize = 64 * 1024 + 64;

/// Room for one packet where the kernel joins none. Above every packet size that is spoken here.
const PACKET_BYTES: usize = 2 * 1024;

/// Receive errors in a row after which the socket waits for the next packet instead of asking again at once.
const ERRORS_IN_A_ROW: usize = 8;

/// Most trains that one call takes from the kernel.
pub(crate) const BATCH: usize = quinn::udp::BATCH_SIZE;

/// Whether to use what the kernel offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offloading {
    /// Use it where it can be initialised.
    WhereAvailable,
    /// One packet a call, as where it cannot be initialised.
    Never,
}

/// Where a node's datagrams leave and arrive.
///
/// One real socket in every program; in tests also a network in memory. Sealed packets of every carrier that is made of datagrams
/// pass here, so what is said of errors at the top of this file holds for each.
pub(crate) trait Port: fmt::Debug + Send + Sync {
    /// The address that it is bound to.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits until sending is likely to work.
    fn writable(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + '_>>;

    /// Sends a packet or train to a real address. `transmit.destination` is in canonical form.
    fn try_send(&self, transmit: &Transmit<'_>) -> Sent;

    /// Fills an empty inbox, or registers to be woken when that may succeed.
    fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()>;

    /// An inbox that fits, for `trains` trains.
    fn inbox(&self, trains: usize) -> Inbox;

    /// Most segments that may be sent at once at present.
    fn max_segments(&self) -> usize;

    /// Whether the network may cut packets to pieces, so that sizes say nothing about the path.
    fn may_fragment(&self) -> bool;

    /// Packets and trains that were lost in sending, and errors in receiving.
    fn errors(&self) -> (u64, u64);
}

impl Port for UdpIo {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn writable(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + '_>> {
        Box::pin(Self::writable(self))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> Sent {
        Self::try_send(self, transmit)
    }

    fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        Self::poll_fill(self, cx, inbox)
    }

    fn inbox(&self, trains: usize) -> Inbox {
        Self::inbox(self, trains)
    }

    fn max_segments(&self) -> usize {
        Self::max_segments(self)
    }

    fn may_fragment(&self) -> bool {
        Self::may_fragment(self)
    }

    fn errors(&self) -> (u64, u64) {
        Self::errors(self)
    }
}

/// A bound socket.
pub(crate) struct UdpIo {
    io: UdpSocket,
    /// `None`: plain calls, one packet each.
    offload: Option<UdpSocketState>,
    ipv6: bool,
    send_errors: AtomicU64,
    receive_errors: AtomicU64,
}

/// What became of a packet or train that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has it.
    Done,
    /// The socket's buffer is full; the caller may wait or drop.
    Full,
    /// It is lost, and counted.
    Lost,
}

impl UdpIo {
    /// Binds to `address`; an unspecified IPv6 address takes IPv4 as well.
    pub(crate) fn bind(address: SocketAddr, offloading: Offloading) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Self::new(socket.into(), offloading)
    }

    /// Binds to any port for both IPv6 and IPv4, or for IPv4 alone where there is no IPv6.
    pub(crate) fn bind_any(offloading: Offloading) -> io::Result<Self> {
        Self::bind(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0), offloading)
            .or_else(|_| Self::bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), offloading))
    }

    fn new(socket: std::net::UdpSocket, offloading: Offloading) -> io::Result<Self> {
        let offload = match offloading {
            // Some hosts refuse the socket options (as WSAEOPNOTSUPP on Windows): plain calls work there.
            Offloading::WhereAvailable => UdpSocketState::new(UdpSockRef::from(&socket)).ok(),
            Offloading::Never => None,
        };
        let io = UdpSocket::from_std(socket)?;
        Ok(Self {
            ipv6: io.local_addr()?.is_ipv6(),
            io,
            offload,
            send_errors: AtomicU64::new(0),
            receive_errors: AtomicU64::new(0),
        })
    }

    /// Asks the kernel for larger buffers; it may give less.
    pub(crate) fn set_buffers(&self, receive_bytes: usize, send_bytes: usize) {
        let socket = socket2::SockRef::from(&self.io);
        // Without them bursts are lost sooner. There is nothing to do about it here.
        let _ = socket.set_recv_buffer_size(receive_bytes);
        let _ = socket.set_send_buffer_size(send_bytes);
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Most segments that may be sent at once at present; falls to 1 when the network card turns out not to cut trains.
    pub(crate) fn max_segments(&self) -> usize {
        self.offload.as_ref().map_or(1, UdpSocketState::max_gso_segments)
    }

    /// Whether the network may cut packets to pieces, so that sizes say nothing about the path.
    pub(crate) fn may_fragment(&self) -> bool {
        self.offload.as_ref().is_none_or(UdpSocketState::may_fragment)
    }

    /// Packets and trains that were lost in sending, and errors in receiving.
    pub(crate) fn errors(&self) -> (u64, u64) {
        (self.send_errors.load(Ordering::Relaxed), self.receive_errors.load(Ordering::Relaxed))
    }

    /// Waits until sending is likely to work.
    pub(crate) async fn writable(&self) {
        if self.io.writable().await.is_err() {
            // The runtime is shutting down; whoever waits here is about to be dropped.
            std::future::pending::<()>().await;
        }
    }

    /// Sends a packet or train to a real address. `transmit.destination` is in canonical form.
    pub(crate) fn try_send(&self, transmit: &Transmit<'_>) -> Sent {
        if is_synthetic(&transmit.destination) {
            return Sent::Lost;
        }
        let destination = if self.ipv6 { mapped(transmit.destination) } else { transmit.destination };
        let transmit = Transmit { destination, ..transmit.clone() };
        match self.send_once(&transmit) {
            Ok(()) => Sent::Done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Sent::Full,
            Err(_) if transmit.segment_size.is_some_and(|size| size < transmit.contents.len()) => {
                self.send_apart(&transmit)
            }
            Err(_) => {
                self.send_errors.fetch_add(1, Ordering::Relaxed);
                Sent::Lost
            }
        }
    }

    fn send_once(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match &self.offload {
            Some(state) => {
                self.io.try_io(Interest::WRITABLE, || state.try_send(UdpSockRef::from(&self.io), transmit))?;
            }
            None if transmit.segment_size.is_some_and(|size| size < transmit.contents.len()) => {
                return Err(io::ErrorKind::Unsupported.into());
            }
            None => {
                self.io.try_send_to(transmit.contents, transmit.destination)?;
            }
        }
        Ok(())
    }

    /// Sends a train packet by packet: some network cards refuse trains only when they see one.
    fn send_apart(&self, train: &Transmit<'_>) -> Sent {
        let size = train.segment_size.unwrap_or(train.contents.len()).max(1);
        let mut any = false;
        for contents in train.contents.chunks(size) {
            let packet = Transmit { contents, segment_size: None, ..train.clone() };
            match self.send_once(&packet) {
                Ok(()) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !any => return Sent::Full,
                // A part of the train has left already: the caller must not send that again.
                Err(_) => {
                    self.send_errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if any { Sent::Done } else { Sent::Lost }
    }

    /// Fills an empty inbox, or registers to be woken when that may succeed.
    pub(crate) fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        for _ in 0..ERRORS_IN_A_ROW {
            if ready!(self.io.poll_recv_ready(cx)).is_err() {
                // The runtime is shutting down; the task that polls is about to be dropped.
                return Poll::Pending;
            }
            let received = self.io.try_io(Interest::READABLE, || match &self.offload {
                Some(state) => inbox.fill(|slots, metas| state.recv(UdpSockRef::from(&self.io), slots, metas)),
                None => inbox.fill(|slots, metas| receive_plain(&self.io, slots, metas)),
            });
            match received {
                Ok(()) => return Poll::Ready(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.receive_errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        // Pretend that nothing is there: the next packet wakes us, and a lasting error does not spin.
        let _: io::Result<()> = self.io.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
        match self.io.poll_recv_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// An inbox that fits this socket, for `trains` trains.
    pub(crate) fn inbox(&self, trains: usize) -> Inbox {
        let joined = self.offload.as_ref().is_some_and(|state| state.gro_segments() > 1);
        Inbox::new(trains, joined)
    }
}

impl fmt::Debug for UdpIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpIo").field("io", &self.io).field("offload", &self.offload.is_some()).finish_non_exhaustive()
    }
}

fn receive_plain(io: &UdpSocket, slots: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
    let mut count = 0;
    for (slot, meta) in slots.iter_mut().zip(metas) {
        match io.try_recv_from(slot) {
            Ok((len, addr)) => *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None },
            Err(_) if count > 0 => break,
            Err(error) => return Err(error),
        }
        count += 1;
    }
    Ok(count)
}

/// Trains that were received and not handed on yet.
///
/// The kernel's trains are longer than what quinn makes room for (that would be 3 MB an endpoint), so they land here and are
/// handed on piece by piece.
pub(crate) struct Inbox {
    buffer: Vec<u8>,
    slot_bytes: usize,
    metas: [RecvMeta; BATCH],
    filled: usize,
    /// The train to go on with, and how far it was handed on.
    train: usize,
    offset: usize,
}

/// A run and how it came.
pub(crate) struct Received<'a> {
    pub(crate) run: Run<'a>,
    /// Sender, canonical.
    pub(crate) from: SocketAddr,
    pub(crate) meta: RecvMeta,
}

impl Inbox {
    /// Room for so many trains, which the kernel has `joined` from packets, or not.
    pub(crate) fn new(trains: usize, joined: bool) -> Self {
        let (trains, slot_bytes) = (trains.clamp(1, BATCH), if joined { TRAIN_BYTES } else { PACKET_BYTES });
        Self {
            buffer: vec![0; trains * slot_bytes],
            slot_bytes,
            metas: [RecvMeta::default(); BATCH],
            filled: 0,
            train: 0,
            offset: 0,
        }
    }

    /// Replaces what it holds by what `receive` puts into its slots.
    pub(crate) fn fill(
        &mut self,
        receive: impl FnOnce(&mut [IoSliceMut<'_>], &mut [RecvMeta]) -> io::Result<usize>,
    ) -> io::Result<()> {
        (self.filled, self.train, self.offset) = (0, 0, 0);
        let slots = self.buffer.len() / self.slot_bytes;
        let mut rest = self.buffer.chunks_exact_mut(self.slot_bytes);
        let mut slices: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
        self.filled = receive(&mut slices[..slots], &mut self.metas[..slots])?;
        Ok(())
    }

    /// Empties the trains whose sender is an address that nobody can have, and returns how many there were: somebody forges them. That is an
    /// address that is made up here, and one without a port, to which a kernel refuses to send.
    pub(crate) fn refuse_forged(&mut self) -> usize {
        let mut refused = 0;
        let forged = |address: &SocketAddr| is_synthetic(address) || address.port() == 0;
        for meta in self.metas[..self.filled].iter_mut().filter(|meta| forged(&meta.addr)) {
            meta.len = 0;
            refused += 1;
        }
        refused
    }

    /// Empties the trains whose packets `takes` takes. Whether it does, it says of a train's first one; it is given the others of such a train as
    /// well.
    pub(crate) fn take_out(&mut self, mut takes: impl FnMut(&[u8]) -> bool) {
        let slots = self.buffer.chunks_exact(self.slot_bytes);
        for (slot, meta) in slots.zip(&mut self.metas[..self.filled]) {
            let train = &slot[..meta.len.min(self.slot_bytes)];
            let mut packets = train.chunks(meta.stride.max(1));
            if packets.next().is_some_and(&mut takes) {
                for packet in packets {
                    takes(packet);
                }
                meta.len = 0;
            }
        }
    }

    /// Takes the next run, of at most `limit(class)` segments. `None` once everything is handed on.
    pub(crate) fn next(&mut self, limit: impl Fn(Class) -> usize) -> Option<Received<'_>> {
        while self.train < self.filled {
            let meta = self.metas[self.train];
            let slot = &self.buffer[self.train * self.slot_bytes..][..meta.len.min(self.slot_bytes)];
            match first_run(&slot[self.offset..], meta.stride, &limit) {
                Some(run) => {
                    self.offset += run.bytes.len();
                    return Some(Received { run, from: canonical(meta.addr), meta });
                }
                None => (self.train, self.offset) = (self.train + 1, 0),
            }
        }
        None
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("filled", &self.filled).field("train", &self.train).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use wire::channel::{ChannelId, DataHeader};

    use super::*;
    use crate::address::PipeKeys;

    const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// A socket that may be sent to at once: a fresh one first has to hear from the runtime that it is writable.
    async fn bound(address: SocketAddr, offloading: Offloading) -> UdpIo {
        let io = UdpIo::bind(address, offloading).unwrap();
        io.writable().await;
        io
    }

    fn train(contents: &[u8], segment_size: Option<usize>, destination: SocketAddr) -> Transmit<'_> {
        Transmit { destination, ecn: None, contents, segment_size, src_ip: None }
    }

    /// Receives until `count` packets are there.
    async fn packets(io: &UdpIo, count: usize) -> Vec<(Class, Vec<u8>)> {
        let mut inbox = io.inbox(4);
        let mut packets = Vec::new();
        while packets.len() < count {
            poll_fn(|cx| io.poll_fill(cx, &mut inbox)).await;
            while let Some(received) = inbox.next(|_| 3) {
                assert!(received.run.segments() <= 3);
                let segments = received.run.bytes.chunks(received.run.stride);
                packets.extend(segments.map(|segment| (received.run.class, segment.to_vec())));
            }
        }
        packets
    }

    #[tokio::test]
    async fn a_train_arrives_as_the_packets_that_it_was_made_of() {
        let quic = [vec![0x40; 100], vec![0x41; 100]];
        let channel = ChannelId::new(1, 2).unwrap();
        let data = [&DataHeader { channel }.to_bytes()[..], &[7; 92]].concat();
        let last = [&DataHeader { channel }.to_bytes()[..], &[7; 10]].concat();
        let sent = [&quic[0], &quic[1], &data, &data, &data, &data, &quic[0], &last].map(|packet| packet.to_vec());

        for (sending, receiving) in [
            (Offloading::WhereAvailable, Offloading::WhereAvailable),
            (Offloading::Never, Offloading::WhereAvailable),
            (Offloading::WhereAvailable, Offloading::Never),
        ] {
            let from = bound(LOOPBACK, sending).await;
            let to = bound(LOOPBACK, receiving).await;
            let whole = sent.concat();
            assert_eq!(from.try_send(&train(&whole, Some(100), to.local_addr().unwrap())), Sent::Done);
            let received = packets(&to, sent.len()).await;
            assert_eq!(received.iter().map(|(_, packet)| packet.clone()).collect::<Vec<_>>(), sent);
            assert_eq!(received[2].0, Class::Data(channel));
            assert_eq!(from.errors(), (0, 0));
        }
    }

    #[tokio::test]
    async fn what_the_kernel_refuses_is_lost_and_counted_and_no_error() {
        for offloading in [Offloading::WhereAvailable, Offloading::Never] {
            let io = bound(LOOPBACK, offloading).await;
            let too_large = vec![0x40; 70_000];
            let destination = io.local_addr().unwrap();
            assert_eq!(io.try_send(&train(&too_large, None, destination)), Sent::Lost);
            let wrong_family = "[::1]:9".parse().unwrap();
            assert_eq!(io.try_send(&train(&[0x40], None, wrong_family)), Sent::Lost);
            assert_eq!(io.errors(), (2, 0));
            assert_eq!(io.try_send(&train(&[0x40], None, destination)), Sent::Done);
        }
    }

    #[tokio::test]
    async fn an_ipv6_socket_speaks_with_ipv4_and_names_it_so() {
        let both = bound(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), Offloading::WhereAvailable).await;
        let four = bound(LOOPBACK, Offloading::WhereAvailable).await;
        assert_eq!(both.try_send(&train(&[0x40], None, four.local_addr().unwrap())), Sent::Done);
        let mut inbox = four.inbox(1);
        poll_fn(|cx| four.poll_fill(cx, &mut inbox)).await;
        let from = inbox.next(|_| 1).unwrap().from;
        assert_eq!(from, SocketAddr::new(LOOPBACK.ip(), both.local_addr().unwrap().port()));

        assert_eq!(four.try_send(&train(&[0x41], None, from)), Sent::Done);
        let mut inbox = both.inbox(1);
        poll_fn(|cx| both.poll_fill(cx, &mut inbox)).await;
        assert_eq!(inbox.next(|_| 1).unwrap().from, four.local_addr().unwrap());
    }

    #[tokio::test]
    async fn nothing_is_sent_to_or_taken_from_an_address_that_is_made_up_here() {
        let io = bound(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)), Offloading::WhereAvailable).await;
        let pipe = PipeKeys::default().next().address();
        assert_eq!(io.try_send(&train(&[0x40], None, pipe)), Sent::Lost);
        assert_eq!(io.errors(), (0, 0), "the kernel was not asked");

        let mut inbox = Inbox::new(4, false);
        let real = SocketAddr::from(([192, 0, 2, 1], 9));
        let nowhere = SocketAddr::from(([192, 0, 2, 1], 0));
        inbox
            .fill(|slots, metas| {
                for (slot, (meta, addr)) in slots.iter_mut().zip(metas.iter_mut().zip([pipe, real, nowhere, pipe])) {
                    slot[0] = 0x40;
                    *meta = RecvMeta { addr, len: 1, stride: 1, ecn: None, dst_ip: None };
                }
                Ok(4)
            })
            .unwrap();
        assert_eq!(inbox.refuse_forged(), 3);
        assert_eq!(inbox.next(|_| 1).map(|received| received.from), Some(real));
        assert!(inbox.next(|_| 1).is_none());
    }

    #[tokio::test]
    async fn a_plain_socket_admits_that_packets_may_be_cut_up() {
        let plain = bound(LOOPBACK, Offloading::Never).await;
        assert!(plain.may_fragment());
        assert_eq!(plain.max_segments(), 1);
    }
}
