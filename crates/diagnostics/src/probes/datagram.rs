//! UDP packets to a permitted target, and what routers say of them.
//!
//! The kernel keeps what ICMP says of a socket's packets for the socket itself (`IP_RECVERR`, ip(7)): no privilege is needed to read it.
//! A packet is a long header of QUIC in a version that nobody has (RFC 9000, 6.3 and 15). A server of QUIC has to answer it by naming
//! its versions, without keeping anything; anything else either says that the port is closed or nothing at all.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt::{
        Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ip_ttl, set_ipv6_mtu_discover,
        set_ipv6_unicast_hops,
    },
};

use super::{
    limit::{LOOK, Limit},
    names::any,
};
use crate::stopwatch::Stopwatch;

/// What a QUIC server does not answer if it is shorter (RFC 9000, 14.1).
pub(super) const LEAST_PAYLOAD: usize = 1200;

/// Packets that a relay is asked with, and how long each is waited for.
const TRIES: u8 = 3;
const TRY: Duration = Duration::from_millis(700);

/// Room for one of the kernel's messages about a packet: `struct sock_extended_err` with an address, and headers.
const CONTROL_BYTES: usize = 256;

/// A socket to one target.
#[derive(Debug)]
pub(super) struct Datagram {
    socket: UdpSocket,
    peer: SocketAddr,
}

/// What was heard of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// The target answered, or said that nothing listens on the port.
    Arrived { from: IpAddr, closed: bool },
    /// Its life ended at a router on the way.
    Expired { at: IpAddr },
    /// It was too large for the next link; the router names what fits.
    TooLarge { fits: u32 },
    /// Somebody on the way said that it does not go there.
    Unreachable { at: IpAddr },
}

impl Datagram {
    /// Opens a socket whose packets are never cut to pieces.
    pub(super) fn to(peer: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(any(peer))?;
        socket.set_nonblocking(true)?;
        match peer {
            SocketAddr::V4(_) => {
                setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
                set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE)?;
            }
            SocketAddr::V6(_) => {
                setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
                set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE)?;
            }
        }
        socket.connect(peer)?;
        Ok(Self { socket, peer })
    }

    /// Lets packets live for so many routers.
    pub(super) fn live_for(&self, routers: u8) -> io::Result<()> {
        match self.peer {
            SocketAddr::V4(_) => set_ip_ttl(&self.socket, routers.into())?,
            SocketAddr::V6(_) => set_ipv6_unicast_hops(&self.socket, Some(routers))?,
        }
        Ok(())
    }

    /// Sends a packet that is `bytes` long with the headers of IP and UDP.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if this machine's own link is too small for it, or what the kernel says.
    pub(super) fn send(&self, bytes: usize) -> io::Result<()> {
        let headers = if self.peer.is_ipv4() { 28 } else { 48 };
        let payload = strange_quic(bytes.saturating_sub(headers));
        loop {
            match nix::sys::socket::send(self.socket.as_raw_fd(), &payload, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EMSGSIZE) => return Err(io::ErrorKind::InvalidInput.into()),
                // What was said of an earlier packet comes up here as well, once.
                Err(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EINTR)
                    if self.next_error()?.is_some() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What was heard meanwhile, in order of arrival; `None` if nothing was.
    pub(super) fn heard(&self) -> io::Result<Option<Heard>> {
        if let Some(heard) = self.next_error()? {
            return Ok(Some(heard));
        }
        let mut answer = [0; 64];
        match self.socket.recv(&mut answer) {
            Ok(_) => Ok(Some(Heard::Arrived { from: self.peer.ip(), closed: false })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // An error that the queue has as well.
            Err(_) => self.next_error(),
        }
    }

    /// Takes errors from the queue until one says something about the way.
    fn next_error(&self) -> io::Result<Option<Heard>> {
        loop {
            let (mut payload, mut control) = ([0; 64], [0; CONTROL_BYTES]);
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let mut place = [IoSliceMut::new(&mut payload)];
            let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut place, Some(&mut control), flags);
            let message = match message {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for told in message.cmsgs()? {
                let (error, at) = if let ControlMessageOwned::Ipv4RecvErr(error, at) = told {
                    (error, at.map(|at| IpAddr::V4(Ipv4Addr::from(at.sin_addr.s_addr.to_ne_bytes()))))
                } else if let ControlMessageOwned::Ipv6RecvErr(error, at) = told {
                    (error, at.map(|at| IpAddr::V6(Ipv6Addr::from(at.sin6_addr.s6_addr))))
                } else {
                    continue;
                };
                let icmp =
                    Icmp { origin: error.ee_origin, kind: error.ee_type, code: error.ee_code, info: error.ee_info };
                if let Some(heard) = icmp.heard(at) {
                    return Ok(Some(heard));
                }
            }
        }
    }
}

/// A message of ICMP as `struct sock_extended_err` has it (ip(7)).
#[derive(Debug, Clone, Copy)]
struct Icmp {
    origin: u8,
    kind: u8,
    code: u8,
    info: u32,
}

impl Icmp {
    /// RFC 792 and RFC 1191 (origin 2), RFC 4443 (origin 3).
    fn heard(self, at: Option<IpAddr>) -> Option<Heard> {
        let at = at?;
        match (self.origin, self.kind, self.code) {
            (2, 11, 0) | (3, 3, 0) => Some(Heard::Expired { at }),
            (2, 3, 4) | (3, 2, _) => Some(Heard::TooLarge { fits: self.info }),
            (2, 3, 3) | (3, 1, 4) => Some(Heard::Arrived { from: at, closed: true }),
            (2, 3, _) | (3, 1, _) => Some(Heard::Unreachable { at }),
            _ => None,
        }
    }
}

/// Waits until one of `sockets` has heard something, at most so long.
pub(super) fn wait(sockets: &[&Datagram], most: Duration) -> io::Result<()> {
    let mut watched =
        sockets.iter().map(|it| PollFd::new(&it.socket, PollFlags::IN | PollFlags::ERR)).collect::<Vec<_>>();
    let most = Timespec::try_from(most).map_err(|_| io::ErrorKind::InvalidInput)?;
    match poll(&mut watched, Some(&most)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether anything comes back from the target itself: its answer, or that nothing listens there is a fault of its own.
pub(crate) fn answers(target: SocketAddr, limit: &Limit) -> io::Result<bool> {
    for _ in 0..TRIES {
        let datagram = Datagram::to(target)?;
        limit.check()?;
        datagram.send(LEAST_PAYLOAD + 48)?;
        let began = Stopwatch::start();
        while let Some(left) = began.left_of(TRY) {
            wait(&[&datagram], limit.at_most(left.min(LOOK))?)?;
            match datagram.heard()? {
                Some(Heard::Arrived { closed, .. }) => return Ok(!closed),
                Some(Heard::Unreachable { .. }) => return Ok(false),
                Some(Heard::Expired { .. } | Heard::TooLarge { .. }) | None => {}
            }
        }
    }
    Ok(false)
}

/// A long header, a version that is reserved for being answered, two ids of eight bytes, and nothing.
fn strange_quic(length: usize) -> Vec<u8> {
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    packet.extend(*b"assent-1");
    packet.push(8);
    packet.extend(*b"assent-2");
    packet.resize(length, 0);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_routers_say_is_told_apart() {
        let at = Some(IpAddr::from([10, 0, 0, 1]));
        let heard = |origin, kind, code| Icmp { origin, kind, code, info: 1400 }.heard(at);
        let router = [10, 0, 0, 1].into();
        assert_eq!(heard(2, 11, 0), Some(Heard::Expired { at: router }));
        assert_eq!(heard(3, 2, 0), Some(Heard::TooLarge { fits: 1400 }));
        assert_eq!(heard(2, 3, 3), Some(Heard::Arrived { from: router, closed: true }));
        assert_eq!(heard(2, 3, 13), Some(Heard::Unreachable { at: router }));
        assert_eq!(heard(1, 3, 3), None);
        assert_eq!(Icmp { origin: 2, kind: 11, code: 0, info: 0 }.heard(None), None);
    }

    #[test]
    fn a_closed_port_of_this_machine_is_an_arrival() {
        let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let datagram = Datagram::to(gone).unwrap();
        datagram.send(1280).unwrap();
        wait(&[&datagram], Duration::from_secs(60)).unwrap();
        assert_eq!(datagram.heard().unwrap(), Some(Heard::Arrived { from: gone.ip(), closed: true }));
        assert_eq!(datagram.heard().unwrap(), None);
    }
}
