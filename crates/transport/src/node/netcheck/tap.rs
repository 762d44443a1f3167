//! The socket of a control connection, by which a reflector is asked as well: a translator sees one sender.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use quinn::udp::Transmit;
use rand_core::{OsRng, RngCore as _};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use wire::reflect::{REFLECT_LEAST, ReflectNonce, Reflection, reflect_probe};

use super::{ReflectorAnswer, sizes::Search};
use crate::udp::{Inbox, Offloading, Port, Sent, UdpIo};

/// Answers that may wait to be read; as many as there are probes under way.
const ANSWERS: usize = 64;

/// How often a probe is sent before its size counts as one that does not pass. Of a network that loses every fifth packet each way, one
/// in sixty probes fails so often.
const TRIES: usize = 4;

/// How long an answer may take at least, and at most, beyond which a lost one is not worth waiting for.
const WAIT_LEAST: Duration = Duration::from_millis(150);
const WAIT_MOST: Duration = Duration::from_millis(1000);

/// A socket from whose packets those of reflectors are taken out.
pub(super) struct Tap {
    io: UdpIo,
    answers: mpsc::Sender<Reflection>,
}

/// What reflectors answered.
pub(super) struct Reflected {
    answers: mpsc::Receiver<Reflection>,
}

impl Tap {
    pub(super) fn bind(address: SocketAddr) -> io::Result<(Arc<Self>, Reflected)> {
        let (sender, answers) = mpsc::channel(ANSWERS);
        let io = UdpIo::bind(address, Offloading::WhereAvailable)?;
        Ok((Arc::new(Self { io, answers: sender }), Reflected { answers }))
    }

    /// The same socket, for everything else.
    pub(super) fn port(self: &Arc<Self>) -> Box<dyn Port> {
        Box::new(Tapped(Arc::clone(self)))
    }

    fn ask(&self, to: SocketAddr, nonce: ReflectNonce, length: usize) {
        let contents = &reflect_probe(nonce, length);
        // One that does not leave, because it is too large for the own network or for another reason, does not pass.
        self.io.try_send(&Transmit { destination: to, ecn: None, contents, segment_size: None, src_ip: None });
    }
}

impl Reflected {
    /// Finds out what a reflector sees of us, and the largest packet that passes to it and back.
    pub(super) async fn learn(&mut self, tap: &Tap, there: SocketAddr, round_trip: Duration) -> ReflectorAnswer {
        let wait = (round_trip * 2).clamp(WAIT_LEAST, WAIT_MOST);
        let Some(first) = self.round(tap, there, &[REFLECT_LEAST], wait).await.pop() else {
            return ReflectorAnswer::Silent { port: there.port() };
        };
        let mut search = Search::new();
        loop {
            let sizes = search.next();
            if sizes.is_empty() {
                return ReflectorAnswer::Answers { seen_as: first.seen_as, largest: search.largest() };
            }
            let answers = self.round(tap, there, &sizes, wait).await;
            search.learn(&sizes, |size| answers.iter().any(|answer| answer.length == size));
        }
    }

    /// Sends a probe of each size until it is answered, or has been sent often enough.
    async fn round(&mut self, tap: &Tap, there: SocketAddr, sizes: &[usize], wait: Duration) -> Vec<Reflection> {
        let mut nonce = ReflectNonce::default();
        OsRng.fill_bytes(&mut nonce);
        let mut answers = Vec::<Reflection>::new();
        for _ in 0..TRIES {
            let missing = |answers: &[Reflection], size: usize| answers.iter().all(|answer| answer.length != size);
            sizes.iter().filter(|size| missing(&answers, **size)).for_each(|size| tap.ask(there, nonce, *size));
            let until = Instant::now() + wait;
            while answers.len() < sizes.len()
                && let Ok(Some(answer)) = timeout_at(until, self.answers.recv()).await
            {
                // Late ones of an earlier round, and those that somebody makes up, are for nobody.
                if answer.nonce == nonce && sizes.contains(&answer.length) && missing(&answers, answer.length) {
                    answers.push(answer);
                }
            }
            if answers.len() == sizes.len() {
                break;
            }
        }
        answers
    }
}

/// A [`Tap`] as the port of a node.
#[derive(Debug)]
struct Tapped(Arc<Tap>);

impl Port for Tapped {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.io.local_addr()
    }

    fn writable(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync + '_>> {
        Box::pin(self.0.io.writable())
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> Sent {
        self.0.io.try_send(transmit)
    }

    fn poll_fill(&self, cx: &mut Context<'_>, inbox: &mut Inbox) -> Poll<()> {
        ready!(self.0.io.poll_fill(cx, inbox));
        inbox.take_out(|packet| {
            let Some(answer) = Reflection::parse(packet) else { return false };
            // More than was asked for is nobody's.
            let _ = self.0.answers.try_send(answer);
            true
        });
        Poll::Ready(())
    }

    fn inbox(&self, trains: usize) -> Inbox {
        self.0.io.inbox(trains)
    }

    fn max_segments(&self) -> usize {
        self.0.io.max_segments()
    }

    fn may_fragment(&self) -> bool {
        self.0.io.may_fragment()
    }

    fn errors(&self) -> (u64, u64) {
        self.0.io.errors()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("io", &self.io).finish_non_exhaustive()
    }
}
