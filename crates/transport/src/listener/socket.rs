//! The relay's socket, as quinn sees it: an ordinary one. Channel packets never reach quinn.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use wire::channel::{ChannelId, DataHeader};

use super::{Forward, ListenerCounters};
use crate::{
    address::canonical,
    counters::Count,
    demux::Class,
    socket::{WritePoller, lock},
    udp::{Inbox, Offloading, Received, Sent, UdpIo},
};

/// Trains taken from the kernel at once: 1 MiB of memory.
const TRAINS: usize = 16;

/// Batches handled in one go before other tasks get their turn.
const ROUNDS: usize = 8;

/// The one socket of a [`Listener`](super::Listener).
pub(super) struct RelaySocket {
    udp: UdpIo,
    forward: Arc<dyn Forward>,
    inbox: Mutex<Inbox>,
    control_packets: Count,
    forwarded_packets: Count,
    forwarded_bytes: Count,
    no_route: Count,
    full: Count,
    send_failed: Count,
    unknown_kind: Count,
    too_large: Count,
}

impl RelaySocket {
    pub(super) fn bind(address: SocketAddr, offloading: Offloading, forward: Arc<dyn Forward>) -> io::Result<Self> {
        let udp = UdpIo::bind(address, offloading)?;
        let inbox = udp.inbox(TRAINS);
        Ok(Self {
            udp,
            forward,
            inbox: Mutex::new(inbox),
            control_packets: Count::default(),
            forwarded_packets: Count::default(),
            forwarded_bytes: Count::default(),
            no_route: Count::default(),
            full: Count::default(),
            send_failed: Count::default(),
            unknown_kind: Count::default(),
            too_large: Count::default(),
        })
    }

    pub(super) fn set_buffers(&self, receive_bytes: usize, send_bytes: usize) {
        self.udp.set_buffers(receive_bytes, send_bytes);
    }

    pub(super) fn bound_to(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// The part of the counters that is about packets.
    pub(super) fn packets(&self) -> ListenerCounters {
        let (_, receive_errors) = self.udp.errors();
        ListenerCounters {
            control_packets: self.control_packets.read(),
            forwarded_packets: self.forwarded_packets.read(),
            forwarded_bytes: self.forwarded_bytes.read(),
            no_route: self.no_route.read(),
            full: self.full.read(),
            send_failed: self.send_failed.read(),
            unknown_kind: self.unknown_kind.read(),
            too_large: self.too_large.read(),
            receive_errors,
            ..ListenerCounters::default()
        }
    }

    /// Sends a run on, unchanged, as the train that it came in.
    fn pass_on(&self, received: &Received<'_>, channel: ChannelId) {
        let Received { run, from, meta } = received;
        let segments = run.segments();
        let Some(to) = self.forward.route(*from, DataHeader { channel }, run.bytes.len(), segments) else {
            self.no_route.add(segments);
            return;
        };
        let sent = self.udp.try_send(&Transmit {
            destination: to,
            ecn: meta.ecn,
            contents: run.bytes,
            segment_size: run.segment_size(),
            src_ip: meta.dst_ip.filter(|own| is_ipv4(*own) == to.is_ipv4()),
        });
        match sent {
            Sent::Done => {
                self.forwarded_packets.add(segments);
                self.forwarded_bytes.add(run.bytes.len());
            }
            Sent::Full => self.full.add(segments),
            Sent::Lost => self.send_failed.add(segments),
        }
    }

    /// Forwards what is in the inbox, and hands control packets to quinn as far as there is room.
    fn take_received(&self, inbox: &mut Inbox, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> usize {
        // quinn makes room for one packet in each buffer; the kernel sends up to so many at once.
        let most = self.udp.max_segments().max(1);
        let limit = |class| match class {
            Class::Quic | Class::Foreign => 1,
            Class::Data(_) => most,
        };
        let mut count = 0;
        while let (Some(buf), Some(meta)) = (bufs.get_mut(count), metas.get_mut(count)) {
            let Some(received) = inbox.next(limit) else { break };
            match received.run.class {
                Class::Data(channel) => self.pass_on(&received, channel),
                Class::Foreign => self.unknown_kind.add(1),
                Class::Quic => match received.run.copy_to(0, buf) {
                    Some(len) => {
                        self.control_packets.add(1);
                        *meta = RecvMeta { addr: received.from, len, stride: len, ..received.meta };
                        count += 1;
                    }
                    None => self.too_large.add(1),
                },
            }
        }
        count
    }
}

impl AsyncUdpSocket for RelaySocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        WritePoller::new(self, |socket| async move { socket.udp.writable().await })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let destination = canonical(transmit.destination);
        match self.udp.try_send(&Transmit { destination, ..transmit.clone() }) {
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
        let mut inbox = lock(&self.inbox);
        for _ in 0..ROUNDS {
            let count = self.take_received(&mut inbox, bufs, metas);
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            ready!(self.udp.poll_fill(cx, &mut inbox));
        }
        // Only packets to forward: let the control connections run before going on.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.udp.max_segments()
    }

    fn may_fragment(&self) -> bool {
        self.udp.may_fragment()
    }
}

impl fmt::Debug for RelaySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySocket").field("udp", &self.udp).finish_non_exhaustive()
    }
}

fn is_ipv4(ip: IpAddr) -> bool {
    ip.to_canonical().is_ipv4()
}
