//! TCP in place of UDP: packets in the messages of a WebSocket over TLS, as a dumb pipe.
//!
//! Where UDP does not pass, the control connection and all sessions of a program travel by one such pipe to the relay. Each end
//! gives its pipe an [`address`](crate::address) and hands packets to whatever would have had them from the socket, so that nothing
//! above it knows the difference. TLS here is for proxies and firewalls, not for secrecy: what is inside is QUIC, which proves the
//! relay's key and the session's keys by itself.
//!
//! TCP repeats what was lost and hides it, so queues are what hurts. A pipe has a short one ([`egress`]), drops what is stale, and
//! never makes anybody wait.
//!
//! | module | what it does |
//! |---|---|
//! | [`carry`] | packets to messages and back, until either end is gone |
//! | [`egress`] | what waits to be written |
//! | [`dial`] | from a program to its relay: TCP, proxies, TLS, the request |
//! | [`proxy`] | which proxy, by the environment |
//! | [`tls`] | which certificates |
//! | [`port`] | pipes and the UDP socket of a program as one |

pub(crate) mod carry;
pub(crate) mod dial;
pub(crate) mod egress;
pub(crate) mod port;
pub(crate) mod proxy;
pub(crate) mod tls;

use std::net::SocketAddr;

use quinn::udp::EcnCodepoint;
use tokio::{net::TcpStream, sync::OwnedSemaphorePermit};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use wire::pipe::{PIPE_MESSAGE_BYTES, PipePacket};

/// What the kernel keeps of a connection that it has not sent yet: more would be a queue that nothing can be dropped from.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 32 * 1024;

/// What a WebSocket reads at once, and keeps room for although nothing comes. A relay has many; a larger message gets its room while it comes.
const READ_BYTES: usize = 2 * 1024;

/// Packets of one size that came by a pipe one after the other, as the kernel gives those of a socket.
#[derive(Debug)]
pub(crate) struct Train {
    /// The pipe's address.
    pub(crate) from: SocketAddr,
    pub(crate) ecn: Option<EcnCodepoint>,
    /// Size of every packet but perhaps the last.
    pub(crate) stride: usize,
    pub(crate) bytes: Vec<u8>,
    /// The train's share of what may wait; given back with it.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// Puts a message's packets together to trains: those of one size, with perhaps a shorter one behind them.
fn trains<'a>(packets: impl Iterator<Item = PipePacket<'a>>) -> impl Iterator<Item = (u8, usize, Vec<u8>)> {
    let mut packets = packets.peekable();
    std::iter::from_fn(move || {
        let PipePacket { ecn, bytes } = packets.next()?;
        let (stride, mut train) = (bytes.len(), bytes.to_vec());
        let mut last = stride;
        while let Some(next) = packets.next_if(|next| next.ecn == ecn && last == stride && next.bytes.len() <= stride) {
            train.extend_from_slice(next.bytes);
            last = next.bytes.len();
        }
        Some((ecn, stride, train))
    })
}

/// How both ends speak WebSocket: no message larger than ours are, and nothing kept back.
pub(crate) fn websocket() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * PIPE_MESSAGE_BYTES)
        .max_message_size(Some(PIPE_MESSAGE_BYTES))
        .max_frame_size(Some(PIPE_MESSAGE_BYTES))
}

/// Makes a connection send at once and queue little. Without it packets only come later.
pub(crate) fn tune(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_size_travel_together_and_keep_their_order() {
        let sizes = [(5, 0), (5, 0), (3, 0), (3, 0), (5, 0), (5, 1), (7, 1)];
        let filled = (0..).zip(sizes).map(|(filler, (size, ecn))| (ecn, vec![filler; size])).collect::<Vec<_>>();
        let packets = filled.iter().map(|(ecn, bytes)| PipePacket { ecn: *ecn, bytes });
        let found = trains(packets).collect::<Vec<_>>();
        let shape = found.iter().map(|(ecn, stride, bytes)| (*ecn, *stride, bytes.len())).collect::<Vec<_>>();
        assert_eq!(shape, [(0, 5, 13), (0, 3, 3), (0, 5, 5), (1, 5, 5), (1, 7, 7)]);
        let bytes = found.into_iter().flat_map(|(_, _, bytes)| bytes).collect::<Vec<_>>();
        assert_eq!(bytes, filled.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>());
    }
}
