//! For benches: trains, who sends and who counts them, and what our own is measured against.
//!
//! Here because this crate alone names quinn and quinn-udp.

mod plain;

use std::{
    io,
    net::SocketAddr,
    num::NonZeroU8,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use mio::{Events, Interest, Poll, Token};
use quinn::udp::Transmit;

use crate::{
    listener::socket::ShardSocket,
    udp::{BATCH, Inbox, Offloading},
};

pub use self::plain::PlainPair;

/// How often whoever waits looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Asked of the kernel for what waits to be read or sent, as the relay does.
const BUFFER_BYTES: usize = 16 << 20;

/// A socket that sends and receives trains with what the kernel offers.
#[derive(Debug)]
pub struct TrainSocket {
    socket: ShardSocket,
    inbox: Inbox,
    poll: Poll,
    events: Events,
}

impl TrainSocket {
    /// Binds to an address.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = ShardSocket::bind_all(address, NonZeroU8::MIN, Offloading::WhereAvailable)?.pop();
        let mut socket = socket.ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.set_buffers(BUFFER_BYTES, BUFFER_BYTES);
        let poll = Poll::new()?;
        poll.registry().register(socket.source(), Token(0), Interest::READABLE)?;
        Ok(Self { inbox: socket.inbox(BATCH), socket, poll, events: Events::with_capacity(1) })
    }

    /// Where it is.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Most packets of one train.
    pub fn max_segments(&self) -> usize {
        self.socket.max_segments()
    }

    /// Sends a train of packets of `segment` bytes, the last perhaps shorter. Returns the packets that the kernel took.
    pub fn send(&self, train: &[u8], segment: usize, to: SocketAddr) -> usize {
        let segment_size = (segment < train.len()).then_some(segment);
        let transmit = Transmit { destination: to, ecn: None, contents: train, segment_size, src_ip: None };
        self.socket.send(&transmit).done
    }

    /// Receives for a moment and returns how many packets and bytes came. Zero: none for a while.
    pub fn receive(&mut self) -> (u64, u64) {
        let mut sum = (0, 0);
        self.receive_trains(|_, _, bytes, stride| {
            sum = (sum.0 + bytes.len().div_ceil(stride) as u64, sum.1 + bytes.len() as u64);
        });
        sum
    }

    fn receive_trains(&mut self, mut each: impl FnMut(&ShardSocket, SocketAddr, &[u8], usize)) {
        if self.socket.receive(&mut self.inbox).is_err() {
            // A signal or nothing: both mean to look again.
            let _ = self.poll.poll(&mut self.events, Some(LOOK));
            return;
        }
        while let Some(received) = self.inbox.next(|_| usize::MAX) {
            each(&self.socket, received.from, received.run.bytes, received.run.stride);
        }
    }
}

/// A thread that passes everything from one address of a pair on to the other and knows nothing: what forwarding costs at the least.
#[derive(Debug)]
pub struct BareForwarder {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BareForwarder {
    /// Starts it on a free port of loopback, in a thread of this name, for these pairs of addresses.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub fn start(name: &str, pairs: &[(SocketAddr, SocketAddr)]) -> io::Result<Self> {
        let mut socket = TrainSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let routes = pairs.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]).collect::<Vec<_>>();
        let forward = move || {
            while !stopped.load(Ordering::Relaxed) {
                socket.receive_trains(|socket, from, bytes, stride| {
                    let Some((_, destination)) = routes.iter().copied().find(|(known, _)| *known == from) else {
                        return;
                    };
                    let segment_size = (stride < bytes.len()).then_some(stride);
                    socket.send(&Transmit { destination, ecn: None, contents: bytes, segment_size, src_ip: None });
                });
            }
        };
        let thread = Some(thread::Builder::new().name(name.to_owned()).spawn(forward)?);
        Ok(Self { address, stop, thread })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for BareForwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
