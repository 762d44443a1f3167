//! Packets to messages and messages to packets, on one WebSocket, until either end is gone.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use quinn::udp::EcnCodepoint;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error, Message, error::ProtocolError},
};
use tokio_util::sync::CancellationToken;
use wire::pipe::{PipeMessageError, packets};

use super::{Train, egress::Egress, trains};
use crate::clock;

/// Bytes of packets that came by one pipe and were not looked at yet. Behind it nothing is read, and TCP holds the sender up.
const INGRESS_BYTES: usize = 64 * 1024;

/// What a train takes of that besides its bytes: a queue of many tiny ones would take much more memory and time than their bytes say.
const TRAIN_BYTES: usize = 256;

/// An end that does not take a message for so long is gone, or has no use for this carrier.
const WRITE_WITHIN: Duration = Duration::from_secs(3);

/// Without a packet for so long the other end is asked for a sign of life, so that what is between does not forget the connection.
/// A control connection says something every 28 s by itself.
const PING_AFTER: Duration = Duration::from_secs(30);

/// Without a packet for so long, a pipe is of no use. The control connection in it is given up after 75 s.
const IDLE: Duration = Duration::from_secs(90);

/// How long the other end may take to hear that the pipe ends here.
const GOODBYE: Duration = Duration::from_millis(250);

/// How a pipe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PipeEnd {
    /// It was closed here.
    Here,
    /// The other end closed it, or the network broke it.
    There,
    /// The other end does not read.
    Stuck,
    /// No packets came.
    Idle,
    /// The other end said something that is no message of a pipe.
    Malformed,
}

/// Carries packets until the pipe is over. What came is handed to `deliver` under the address `from`.
pub(crate) async fn carry<S>(
    socket: WebSocketStream<S>,
    egress: &Egress,
    from: SocketAddr,
    deliver: impl Fn(Train),
    stop: &CancellationToken,
) -> PipeEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut out, mut incoming) = socket.split();
    let ping = Notify::new();
    let end = tokio::select! {
        biased;
        () = stop.cancelled() => PipeEnd::Here,
        // Both are polled whenever something happens: an end that cannot write still reads, or two full ends would wait for each other.
        end = read(&mut incoming, from, deliver, &ping) => end,
        end = write(&mut out, egress, &ping) => end,
    };
    match end {
        PipeEnd::Here | PipeEnd::Idle | PipeEnd::Malformed => drop(timeout(GOODBYE, out.close()).await),
        PipeEnd::There | PipeEnd::Stuck => {}
    }
    end
}

async fn write(out: &mut (impl Sink<Message, Error = Error> + Unpin), egress: &Egress, ping: &Notify) -> PipeEnd {
    loop {
        let message = tokio::select! {
            () = egress.filled() => match egress.take(clock::quic_now()) {
                Some(message) => Message::Binary(message.into()),
                None => continue,
            },
            () = ping.notified() => Message::Ping(Bytes::new()),
        };
        match timeout(WRITE_WITHIN, out.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return PipeEnd::There,
            Err(_) => return PipeEnd::Stuck,
        }
    }
}

async fn read(
    incoming: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    from: SocketAddr,
    deliver: impl Fn(Train),
    ping: &Notify,
) -> PipeEnd {
    let room = Arc::new(Semaphore::new(INGRESS_BYTES));
    let mut last_packets = Instant::now();
    loop {
        let idle_at = last_packets + IDLE;
        let message = match timeout_at(idle_at.min(Instant::now() + PING_AFTER), incoming.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(error))) => return broken(&error),
            Ok(None) => return PipeEnd::There,
            Err(_) if Instant::now() >= idle_at => return PipeEnd::Idle,
            Err(_) => {
                ping.notify_one();
                continue;
            }
        };
        match message {
            Message::Binary(bytes) => {
                last_packets = Instant::now();
                if hand_over(&bytes, from, &deliver, &room).await.is_err() {
                    return PipeEnd::Malformed;
                }
            }
            // Whoever only says these is idle; the library answers the first.
            Message::Ping(_) | Message::Pong(_) if Instant::now() < idle_at => {}
            Message::Ping(_) | Message::Pong(_) => return PipeEnd::Idle,
            Message::Text(_) | Message::Frame(_) => return PipeEnd::Malformed,
            Message::Close(_) => return PipeEnd::There,
        }
    }
}

async fn hand_over(
    message: &[u8],
    from: SocketAddr,
    deliver: &impl Fn(Train),
    room: &Arc<Semaphore>,
) -> Result<(), PipeMessageError> {
    for (ecn, stride, bytes) in trains(packets(message)?) {
        // At most a message, which is far less than there is room.
        let share = u32::try_from(bytes.len() + TRAIN_BYTES).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(room).acquire_many_owned(share).await else { return Ok(()) };
        deliver(Train { from, ecn: EcnCodepoint::from_bits(ecn), stride, bytes, _room: room });
    }
    Ok(())
}

fn broken(error: &Error) -> PipeEnd {
    let malformed = matches!(error, Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_));
    // A connection that ends without a word counts as a breach of the protocol there.
    let cut_off = matches!(error, Error::Protocol(ProtocolError::ResetWithoutClosingHandshake));
    if malformed && !cut_off { PipeEnd::Malformed } else { PipeEnd::There }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::{address::PipeKeys, pipe::websocket, socket::lock};

    /// Both ends of a WebSocket with so many bytes of room between them.
    async fn ends(room: usize) -> (WebSocketStream<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (one, other) = duplex(room);
        let client = WebSocketStream::from_raw_socket(one, Role::Client, Some(websocket())).await;
        (client, WebSocketStream::from_raw_socket(other, Role::Server, Some(websocket())).await)
    }

    /// A packet of then is fresh however busy the machine is.
    fn never_stale() -> std::time::Instant {
        clock::quic_now() + Duration::from_secs(600)
    }

    fn somewhere() -> SocketAddr {
        PipeKeys::default().next().address()
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_packets_is_asked_for_a_sign_of_life_and_then_let_go() {
        let (mut client, relay) = ends(1 << 16).await;
        let (egress, stop, start) = (Egress::default(), CancellationToken::new(), Instant::now());
        let relay = carry(relay, &egress, somewhere(), drop, &stop);
        let client = async {
            // Pings are answered by the library while it is read; answers are no packets.
            let mut pings = 0;
            while let Some(Ok(message)) = client.next().await {
                pings += u32::from(message.is_ping());
            }
            pings
        };
        let (end, pings) = tokio::join!(relay, client);
        assert_eq!(end, PipeEnd::Idle);
        assert!(pings >= 2, "{pings}");
        assert!((IDLE..IDLE + PING_AFTER).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_let_go() {
        let (_client, relay) = ends(1024).await;
        let (egress, stop, start) = (Egress::default(), CancellationToken::new(), Instant::now());
        egress.push(None, &[0x40; 1400], None, never_stale());
        assert_eq!(carry(relay, &egress, somewhere(), drop, &stop).await, PipeEnd::Stuck);
        assert!((WRITE_WITHIN..WRITE_WITHIN * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn two_ends_that_write_all_the_time_do_not_wait_for_each_other() {
        // Less room than one message takes: an end that stopped reading in order to write would never go on.
        let (client, relay) = ends(512).await;
        let egress = [Egress::default(), Egress::default()];
        let (stop, arrived) = (CancellationToken::new(), Mutex::new([0, 0]));
        for filler in 0..80 {
            for egress in &egress {
                assert_eq!(egress.push(None, &[0x40 | filler; 1400], None, never_stale()), 1);
            }
        }
        let note = |end: usize| {
            let (arrived, stop) = (&arrived, &stop);
            move |train: Train| {
                let mut arrived = lock(arrived);
                arrived[end] += train.bytes.len();
                if *arrived == [80 * 1400; 2] {
                    stop.cancel();
                }
            }
        };
        let ends = tokio::join!(
            carry(client, &egress[0], somewhere(), note(0), &stop),
            carry(relay, &egress[1], somewhere(), note(1), &stop)
        );
        assert!(matches!(ends, (PipeEnd::Here | PipeEnd::There, PipeEnd::Here | PipeEnd::There)), "{ends:?}");
        assert_eq!(*lock(&arrived), [80 * 1400; 2], "what was sent came, and nothing else did");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hands_packets_on_slowly_holds_the_sender_up() {
        let (mut client, relay) = ends(1 << 20).await;
        let (egress, stop, held) = (Egress::default(), CancellationToken::new(), Mutex::new(Vec::new()));
        let mut message = Vec::new();
        while (wire::pipe::PipePacket { ecn: 0, bytes: &[0x40; 1400] }).put(&mut message) {}
        let sending = async {
            for _ in 0..20 {
                client.send(Message::Binary(message.clone().into())).await.unwrap();
            }
            // Time moves on by itself once nobody has anything to do.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let waiting = lock(&held).iter().map(|train: &Train| train.bytes.len()).sum::<usize>();
            assert!(waiting <= INGRESS_BYTES && waiting > INGRESS_BYTES / 2, "{waiting}");
            stop.cancel();
        };
        tokio::join!(carry(relay, &egress, somewhere(), |train| lock(&held).push(train), &stop), sending);
    }
}
