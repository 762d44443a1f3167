//! One shard's UDP socket: whole trains in and out, with kernel offload where there is any.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    num::NonZeroU8,
};

use quinn::udp::{RecvMeta, Transmit};
use quinn_udp::{EcnCodepoint, UdpSockRef, UdpSocketState};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::{
    address::mapped,
    udp::{BATCH, Inbox, Offloading},
};

/// A bound socket that never waits.
pub(crate) struct ShardSocket {
    io: mio::net::UdpSocket,
    /// `None`: plain calls, one packet each.
    offload: Option<RefCell<UdpSocketState>>,
    /// Packets of this size and above are not sent in trains: the kernel has refused to cut them.
    uncut_from: Cell<usize>,
    ipv6: bool,
}

impl ShardSocket {
    /// Binds `count` sockets to `address`, among which the kernel shares what comes by the sender's address. An unspecified IPv6
    /// address takes IPv4 as well.
    pub(crate) fn bind_all(address: SocketAddr, count: NonZeroU8, offloading: Offloading) -> io::Result<Vec<Self>> {
        let first = Self::bind(address, offloading, false)?;
        if count.get() == 1 {
            return Ok(vec![first]);
        }
        // The first had to have the address to itself, or two relays on one port would share each other's packets.
        share_port(&first.io)?;
        let address = first.local_addr()?;
        let mut all = vec![first];
        for _ in 1..count.get() {
            all.push(Self::bind(address, offloading, true)?);
        }
        Ok(all)
    }

    fn bind(address: SocketAddr, offloading: Offloading, shared: bool) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        if shared {
            share_port(&socket)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let io = mio::net::UdpSocket::from_std(socket.into());
        let offload = match offloading {
            // Some hosts refuse the socket options: plain calls work there.
            Offloading::WhereAvailable => UdpSocketState::new(UdpSockRef::from(&io)).ok().map(RefCell::new),
            Offloading::Never => None,
        };
        Ok(Self { ipv6: io.local_addr()?.is_ipv6(), io, offload, uncut_from: Cell::new(usize::MAX) })
    }

    /// Asks the kernel for larger buffers; it may give less.
    pub(crate) fn set_buffers(&self, receive_bytes: usize, send_bytes: usize) {
        let socket = SockRef::from(&self.io);
        // Without them bursts are lost sooner. There is nothing to do about it here.
        let _ = socket.set_recv_buffer_size(receive_bytes);
        let _ = socket.set_send_buffer_size(send_bytes);
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    pub(crate) fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.io
    }

    /// Most segments that may be sent at once at present; falls to 1 when the network card turns out not to cut trains.
    pub(crate) fn max_segments(&self) -> usize {
        self.offload.as_ref().map_or(1, |state| state.borrow().max_gso_segments())
    }

    /// An inbox that fits this socket, for `trains` trains.
    pub(crate) fn inbox(&self, trains: usize) -> Inbox {
        Inbox::new(trains, self.offload.as_ref().is_some_and(|state| state.borrow().gro_segments() > 1))
    }

    /// Takes what has come, with one call to the kernel where it can.
    pub(crate) fn receive(&self, inbox: &mut Inbox) -> io::Result<()> {
        inbox.fill(|slots, metas| match &self.offload {
            Some(state) => {
                let mut received = [quinn_udp::RecvMeta::default(); BATCH];
                let count = state.borrow().recv(UdpSockRef::from(&self.io), slots, &mut received[..metas.len()])?;
                for (meta, from) in metas.iter_mut().zip(&received[..count]) {
                    let ecn = from.ecn.and_then(|ecn| quinn::udp::EcnCodepoint::from_bits(ecn as u8));
                    *meta = RecvMeta { addr: from.addr, len: from.len, stride: from.stride, ecn, dst_ip: from.dst_ip };
                }
                Ok(count)
            }
            None => self.receive_plain(slots, metas),
        })
    }

    fn receive_plain(&self, slots: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) -> io::Result<usize> {
        let mut count = 0;
        for (slot, meta) in slots.iter_mut().zip(metas) {
            match self.io.recv_from(slot) {
                Ok((len, addr)) => *meta = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None },
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
            count += 1;
        }
        Ok(count)
    }

    /// Sends a packet or train. `transmit.destination` is in canonical form.
    pub(crate) fn send(&self, transmit: &Transmit<'_>) -> Sent {
        let mut sent = Sent::default();
        let may_go_whole = !is_train(transmit) || size_of(transmit) < self.uncut_from.get();
        let whole = if may_go_whole { self.send_once(transmit) } else { Err(io::ErrorKind::Unsupported.into()) };
        let mut refused = is_refusal(&whole);
        match whole {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && is_train(transmit) => {
                for contents in transmit.contents.chunks(size_of(transmit)) {
                    let packet = Transmit { contents, segment_size: None, ..transmit.clone() };
                    let alone = self.send_once(&packet);
                    sent.note(&packet, &alone);
                    refused |= is_refusal(&alone);
                }
                if refused && sent.done > 0 {
                    self.uncut_from.set(size_of(transmit).min(self.uncut_from.get()));
                }
            }
            result => sent.note(transmit, &result),
        }
        if refused {
            self.start_anew();
        }
        sent
    }

    /// Goes on after the kernel has refused something as such.
    ///
    /// It refuses packets that are longer than the network takes which they go to, and to answer from or to addresses that it does not send from
    /// or to; anybody may cause that. quinn-udp, which cannot tell it from a network card that cuts no trains or a kernel that takes no marks, would
    /// do without both from then on, for everybody. A refused train whose packets leave one by one is remembered instead: trains of such long packets
    /// are not tried again.
    fn start_anew(&self) {
        if let Some(state) = &self.offload
            && let Ok(anew) = UdpSocketState::new(UdpSockRef::from(&self.io))
        {
            state.replace(anew);
        }
    }

    fn send_once(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let destination = if self.ipv6 { mapped(transmit.destination) } else { transmit.destination };
        match &self.offload {
            Some(state) => {
                let transmit = quinn_udp::Transmit {
                    destination,
                    ecn: transmit.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    contents: transmit.contents,
                    segment_size: transmit.segment_size,
                    src_ip: transmit.src_ip,
                };
                state.borrow().try_send(UdpSockRef::from(&self.io), &transmit)
            }
            None if is_train(transmit) => Err(io::ErrorKind::Unsupported.into()),
            None => self.io.send_to(transmit.contents, destination).map(drop),
        }
    }
}

/// Lets other sockets of this user bind to the same address.
#[cfg(target_os = "linux")]
fn share_port(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_reuseport(socket, true)?)
}

/// Other systems give all packets to one of the sockets, or do not know this at all.
#[cfg(not(target_os = "linux"))]
fn share_port<T>(_socket: &T) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What became of packets that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    /// Packets that the kernel has.
    pub(crate) done: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// Packets for which the socket's buffer had no room.
    pub(crate) full: usize,
    /// Packets that the kernel refused.
    pub(crate) refused: usize,
}

impl Sent {
    fn note(&mut self, transmit: &Transmit<'_>, result: &io::Result<()>) {
        let packets = packets_of(transmit);
        match result {
            Ok(()) => {
                self.done += packets;
                self.bytes += transmit.contents.len();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.full += packets,
            Err(_) => self.refused += packets,
        }
    }
}

fn is_train(transmit: &Transmit<'_>) -> bool {
    size_of(transmit) < transmit.contents.len()
}

/// Whether quinn-udp does without something after this.
fn is_refusal(result: &io::Result<()>) -> bool {
    let number = result.as_ref().err().and_then(io::Error::raw_os_error);
    [Errno::INVAL, Errno::IO].into_iter().any(|errno| number == Some(errno.raw_os_error()))
}

/// Packets of a train, or one.
pub(super) fn packets_of(transmit: &Transmit<'_>) -> usize {
    transmit.contents.len().div_ceil(size_of(transmit))
}

/// Size of each packet but perhaps the last.
pub(super) fn size_of(transmit: &Transmit<'_>) -> usize {
    transmit.segment_size.unwrap_or(transmit.contents.len()).max(1)
}

impl fmt::Debug for ShardSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardSocket").field("io", &self.io).field("offload", &self.offload.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn bound() -> ShardSocket {
        let mut sockets = ShardSocket::bind_all(LOOPBACK, NonZeroU8::MIN, Offloading::WhereAvailable).unwrap();
        sockets.remove(0)
    }

    fn send(from: &ShardSocket, packets: usize, size: usize, destination: SocketAddr) -> Sent {
        let contents = &vec![0x40; packets * size];
        from.send(&Transmit { destination, ecn: None, contents, segment_size: Some(size), src_ip: None })
    }

    #[test]
    fn whoever_sends_what_the_kernel_does_not_cut_takes_no_trains_from_others() {
        let (from, to) = (bound(), bound());
        let able = from.max_segments();
        // More packets than any kernel cuts: it refuses them as it does packets that are too long for a network card.
        let to = to.local_addr().unwrap();
        let sent = send(&from, 400, 100, to);
        assert_eq!((sent.done, sent.bytes), (400, 40_000), "one by one");
        assert_eq!(from.max_segments(), able, "others' trains are still cut");
        assert_eq!(from.uncut_from.get(), 100, "such packets are not tried in trains again");
        for size in [99, 100, 101] {
            let sent = send(&from, 3, size, to);
            assert_eq!((sent.done, sent.bytes), (3, 3 * size));
        }
        assert_eq!(from.max_segments(), able);
    }

    #[test]
    fn a_single_packet_that_the_kernel_refuses_takes_no_trains_from_others() {
        let (from, to) = (bound(), bound());
        let able = from.max_segments();
        assert!(able > 1, "this kernel cuts trains");
        let nowhere = SocketAddr::new(LOOPBACK.ip(), 0);
        assert_eq!(send(&from, 1, 100, nowhere).refused, 1);
        assert_eq!((from.max_segments(), from.uncut_from.get()), (able, usize::MAX));
        assert_eq!(send(&from, 3, 100, to.local_addr().unwrap()).done, 3);
    }

    #[test]
    fn an_address_that_cannot_be_sent_to_takes_no_trains_from_others() {
        let from = bound();
        let able = from.max_segments();
        let wrong_family = "[::1]:9".parse().unwrap();
        assert_eq!(send(&from, 3, 100, wrong_family).refused, 3);
        assert_eq!((from.max_segments(), from.uncut_from.get()), (able, usize::MAX));
    }
}
