//! Pipes and the UDP socket of a program as one [`Port`]: what is sent to a pipe's address goes by the pipe, and what comes by it comes
//! from that address.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use quinn::udp::{RecvMeta, Transmit};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Train, carry::carry, dial::ClientSocket, egress::Egress};
use crate::{
    address::{PipeKey, PipeKeys, is_synthetic},
    clock,
    counters::Count,
    socket::lock,
    udp::{Inbox, Port, Sent},
};

/// How long pipes may take to say goodbye when the program ends.
const CLOSING: Duration = Duration::from_millis(300);

/// The pipes of a program: one, and for a moment two while the program changes to another.
#[derive(Debug, Default)]
pub(crate) struct NodePipes {
    keys: PipeKeys,
    open: Mutex<Vec<OpenPipe>>,
    arrived: Mutex<Arrived>,
    /// Packets that pipes dropped that are closed.
    dropped: Count,
}

#[derive(Debug)]
struct OpenPipe {
    key: PipeKey,
    egress: Arc<Egress>,
    stop: CancellationToken,
    /// Ends with this.
    task: JoinSet<()>,
}

/// What came by pipes and was not taken yet. Each pipe has only so much in here.
#[derive(Debug, Default)]
struct Arrived {
    trains: VecDeque<Train>,
    waker: Option<Waker>,
}

/// A pipe that stands. Dropping it does nothing: [`NodePipes::close`] does.
#[derive(Debug)]
pub(crate) struct PipeHandle {
    key: PipeKey,
    over: watch::Receiver<()>,
}

impl PipeHandle {
    /// The address that stands for the pipe's other end.
    pub(crate) fn address(&self) -> SocketAddr {
        self.key.address()
    }

    /// Returns when the pipe is over.
    ///
    /// Cancel-safe.
    pub(crate) async fn over(&mut self) {
        // Nothing is ever sent: an error is the end.
        while self.over.changed().await.is_ok() {}
    }
}

impl NodePipes {
    /// Starts to carry packets by a connection that was made.
    pub(crate) fn open(self: &Arc<Self>, socket: ClientSocket) -> PipeHandle {
        let (key, egress, stop) = (self.keys.next(), Arc::new(Egress::default()), CancellationToken::new());
        let (runs, over) = watch::channel(());
        let mut task = JoinSet::new();
        let (ways, out, stopped) = (Arc::downgrade(self), Arc::clone(&egress), stop.clone());
        task.spawn(async move {
            let deliver = |train| {
                if let Some(pipes) = ways.upgrade() {
                    pipes.take(train);
                }
            };
            carry(socket, &out, key.address(), deliver, &stopped).await;
            drop(runs);
        });
        lock(&self.open).push(OpenPipe { key, egress, stop, task });
        PipeHandle { key, over }
    }

    /// Ends a pipe. What waits in it is lost.
    pub(crate) fn close(&self, handle: &PipeHandle) {
        lock(&self.open).retain(|pipe| {
            let stays = pipe.key != handle.key;
            if !stays {
                self.dropped.add(usize::try_from(pipe.egress.dropped()).unwrap_or(usize::MAX));
            }
            stays
        });
    }

    /// Ends all pipes, and tells the other ends.
    pub(crate) async fn close_all(&self) {
        let mut open = std::mem::take(&mut *lock(&self.open));
        let all_ended = async {
            for pipe in &mut open {
                pipe.stop.cancel();
                while pipe.task.join_next().await.is_some() {}
            }
        };
        // Whoever does not hear it finds out by the end of the connection.
        let _ = timeout(CLOSING, all_ended).await;
    }

    fn take(&self, train: Train) {
        let mut arrived = lock(&self.arrived);
        arrived.trains.push_back(train);
        let waker = arrived.waker.take();
        drop(arrived);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sends a packet or train to a pipe's address. It never waits: what does not fit is dropped and counted there.
    fn send(&self, transmit: &Transmit<'_>) -> Sent {
        let key = PipeKey::of(transmit.destination);
        let egress = lock(&self.open).iter().find(|pipe| Some(pipe.key) == key).map(|pipe| Arc::clone(&pipe.egress));
        match egress {
            Some(egress) => {
                egress.push(transmit.ecn, transmit.contents, transmit.segment_size, clock::quic_now());
                Sent::Done
            }
            None => Sent::Lost,
        }
    }

    fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        let mut arrived = lock(&self.arrived);
        if arrived.trains.is_empty() {
            arrived.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let filled = inbox.fill(|slots, metas| {
            let mut count = 0;
            for (slot, meta) in slots.iter_mut().zip(metas) {
                let Some(train) = arrived.trains.front_mut() else { break };
                // Whole packets, as many as there is room for. Every slot takes the largest.
                let fit = if train.bytes.len() <= slot.len() {
                    train.bytes.len()
                } else {
                    slot.len() / train.stride * train.stride
                };
                slot[..fit].copy_from_slice(&train.bytes[..fit]);
                *meta = RecvMeta {
                    addr: train.from,
                    len: fit,
                    stride: train.stride.min(fit),
                    ecn: train.ecn,
                    dst_ip: None,
                };
                train.bytes.drain(..fit);
                if train.bytes.is_empty() || fit == 0 {
                    arrived.trains.pop_front();
                }
                count += 1;
            }
            Ok(count)
        });
        // Nothing in there fails.
        filled.map_or(Poll::Pending, Poll::Ready)
    }

    /// Packets that were dropped before they left.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.read() + lock(&self.open).iter().map(|pipe| pipe.egress.dropped()).sum::<u64>()
    }
}

/// See the module's introduction.
pub(crate) struct PipedPort {
    udp: Box<dyn Port>,
    pipes: Arc<NodePipes>,
    /// Who is asked first the next time.
    pipes_first: AtomicBool,
    forged: Count,
}

impl PipedPort {
    pub(crate) fn new(udp: Box<dyn Port>, pipes: Arc<NodePipes>) -> Self {
        Self { udp, pipes, pipes_first: AtomicBool::new(true), forged: Count::default() }
    }

    /// Trains of the socket that said they came from a pipe.
    pub(crate) fn forged(&self) -> u64 {
        self.forged.read()
    }
}

impl Port for PipedPort {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// That of the UDP socket: a pipe is always ready.
    fn writable(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + '_>> {
        self.udp.writable()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> Sent {
        if is_synthetic(&transmit.destination) { self.pipes.send(transmit) } else { self.udp.try_send(transmit) }
    }

    fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        if self.pipes_first.fetch_xor(true, Relaxed) && self.pipes.poll_fill(cx, inbox).is_ready() {
            return Poll::Ready(());
        }
        if self.udp.poll_fill(cx, inbox).is_ready() {
            self.forged.add(inbox.refuse_forged());
            return Poll::Ready(());
        }
        self.pipes.poll_fill(cx, inbox)
    }

    fn inbox(&self, trains: usize) -> Inbox {
        self.udp.inbox(trains)
    }

    fn max_segments(&self) -> usize {
        self.udp.max_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }

    fn errors(&self) -> (u64, u64) {
        self.udp.errors()
    }
}

impl fmt::Debug for PipedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipedPort").field("udp", &self.udp).field("pipes", &self.pipes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr, task::Waker};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::udp::{Offloading, UdpIo};

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn train(room: &Arc<Semaphore>, from: SocketAddr, stride: usize, bytes: Vec<u8>) -> Train {
        let share = u32::try_from(bytes.len()).unwrap();
        let _room = Arc::clone(room).try_acquire_many_owned(share).unwrap();
        Train { from, ecn: None, stride, bytes, _room }
    }

    fn port(offloading: Offloading) -> (PipedPort, Arc<NodePipes>) {
        let pipes = Arc::new(NodePipes::default());
        let udp = UdpIo::bind(LOOPBACK, offloading).unwrap();
        (PipedPort::new(Box::new(udp), Arc::clone(&pipes)), pipes)
    }

    #[tokio::test]
    async fn trains_come_out_whole_whatever_room_there_is_and_give_theirs_back() {
        for offloading in [Offloading::WhereAvailable, Offloading::Never] {
            let (port, pipes) = port(offloading);
            let (room, from) = (Arc::new(Semaphore::new(1 << 20)), pipes.keys.next().address());
            let sent =
                (0..24).map(|filler| vec![0x40 | filler; if filler == 23 { 7 } else { 1400 }]).collect::<Vec<_>>();
            pipes.take(train(&room, from, 1400, sent.concat()));
            pipes.take(train(&room, from, 9, vec![0x7f; 9]));
            let mut inbox = port.inbox(4);
            let mut received = Vec::new();
            while received.len() < 25 {
                poll_fn(|cx| port.poll_fill(cx, &mut inbox)).await;
                while let Some(run) = inbox.next(|_| 64) {
                    assert_eq!(run.from, from);
                    received.extend(run.run.bytes.chunks(run.run.stride).map(<[u8]>::to_vec));
                }
            }
            assert_eq!(received[..24], sent);
            assert_eq!((received[24].as_slice(), received.len()), (&[0x7f; 9][..], 25));
            assert_eq!(room.available_permits(), 1 << 20);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(port.poll_fill(&mut cx, &mut inbox).is_pending());
        }
    }

    #[tokio::test]
    async fn neither_pipes_nor_the_socket_keep_the_other_waiting() {
        let (port, pipes) = port(Offloading::WhereAvailable);
        let (room, from) = (Arc::new(Semaphore::new(1 << 20)), pipes.keys.next().address());
        let other = std::net::UdpSocket::bind(LOOPBACK).unwrap();
        let at = port.local_addr().unwrap();
        let mut inbox = port.inbox(1);
        let mut by_pipe = 0;
        // The pipe always has more.
        for _ in 0..4 {
            pipes.take(train(&room, from, 1, vec![0x41]));
        }
        other.send_to(&[0x42], at).unwrap();
        loop {
            pipes.take(train(&room, from, 1, vec![0x41]));
            poll_fn(|cx| port.poll_fill(cx, &mut inbox)).await;
            let came = inbox.next(|_| 1).map(|received| received.from).unwrap();
            if came == other.local_addr().unwrap() {
                break;
            }
            by_pipe += 1;
            assert!(by_pipe < 1000, "the socket has its turn");
            // Whether the datagram is there already is up to the system.
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_pipe_that_is_gone_takes_nothing() {
        let (port, pipes) = port(Offloading::WhereAvailable);
        let destination = pipes.keys.next().address();
        let packet = Transmit { destination, ecn: None, contents: &[0x40; 9], segment_size: None, src_ip: None };
        assert_eq!(port.try_send(&packet), Sent::Lost);
    }
}
