//! What the kernel tells of addresses and routes (rtnetlink(7)).
//!
//! A socket of its own for four groups of messages, none of which is read: that one came is all there is to know, so nothing is parsed. Every
//! process may have such a socket unless a filter on system calls forbids it.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink, recv, socket_with},
};
use tokio::io::{Interest, unix::AsyncFd};

/// `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV4_ROUTE`, `RTMGRP_IPV6_IFADDR` and `RTMGRP_IPV6_ROUTE` of `linux/rtnetlink.h`.
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// Messages are thrown away, so they may be cut.
const MESSAGE_BYTES: usize = 256;

/// Messages that are thrown away at once, before others get their turn: a machine may have thousands of routes.
const AT_ONCE: usize = 256;

/// Hears that addresses or routes change.
#[derive(Debug)]
pub(super) struct Events {
    socket: AsyncFd<OwnedFd>,
}

impl Events {
    pub(super) fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // `NETLINK_ROUTE` is the family's first protocol, number zero.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { socket: watch_readiness(socket)? })
    }

    /// Returns when something has changed since the last time.
    ///
    /// # Errors
    ///
    /// The socket is of no use any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: messages are thrown away only when this returns.
    pub(super) async fn next(&self) -> io::Result<()> {
        let mut ready = self.socket.readable().await?;
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..AT_ONCE {
            match recv(self.socket.get_ref(), &mut message[..], RecvFlags::empty()) {
                // Messages that the kernel had no room for were news as well.
                Ok(_) | Err(Errno::NOBUFS | Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    ready.clear_ready();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[expect(unsafe_code, reason = "tokio leaves it to the caller that a descriptor stays what it is")]
fn watch_readiness(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is open, and an `OwnedFd` that is only borrowed stays the same and open until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}
