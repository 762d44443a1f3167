//! Watches the relay while there are sessions.

use std::{sync::Arc, time::Duration};

use quinn::{AsyncUdpSocket, Endpoint};
use tokio::time::sleep;
use wire::time::Moment;

use super::connect::Connector;
use crate::{clock, socket::NodeSocket};

/// How often a node with a session looks whether packets still come.
const LOOK: Duration = Duration::from_millis(250);

/// A relay that has not answered a direct question for so long is gone. Lost packets are sent again several times meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often the relay is asked at most. Silence may also mean that the other side is gone, about which the relay can do nothing.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// A relay of which nobody has heard for so long is asked, while there is a session: one that goes directly would not notice that the relay is
/// gone, and could not go back to it.
const QUIET: Duration = Duration::from_secs(10);

/// When two looks are so far apart, the machine or this program stood still between them, and everything may have changed.
const SLEPT: Duration = Duration::from_secs(2);

/// An idle control connection finds out by its keep-alive, in up to 75 s. A session cannot wait that long: what [`Suspicion`] finds odd is
/// asked about directly.
pub(super) struct Watch<'a> {
    endpoint: &'a Endpoint,
    socket: &'a Arc<NodeSocket>,
    suspicion: Suspicion,
}

impl<'a> Watch<'a> {
    pub(super) fn new(connector: &'a Connector) -> Self {
        Self { endpoint: &connector.endpoint, socket: &connector.socket, suspicion: Suspicion::default() }
    }

    /// Returns once the relay has not answered a question for too long.
    ///
    /// Cancel-safe: what was asked is kept.
    pub(super) async fn relay_is_gone(&mut self) {
        loop {
            if !self.socket.table().any_session() {
                self.suspicion.rest();
                self.socket.any_session().await;
            }
            let unbound = tokio::select! {
                () = self.socket.told_unbound() => true,
                () = sleep(LOOK) => false,
            };
            let now = self.socket.uptime();
            let (silent, heard) = {
                let table = self.socket.table();
                (table.any_silent(now), table.control_heard())
            };
            match self.suspicion.look(Seen { heard, silent, unbound }, clock::now()) {
                Next::Wait => {}
                // The question comes from the new address, and so shows it to the relay. It goes out on the sessions as well, whose paths
                // are looked into when it is not answered there.
                Next::Ask => nudge(self.endpoint, self.socket),
                Next::Woke => wake(self.endpoint, self.socket),
                Next::Gone => return,
            }
        }
    }
}

/// Asks the other end of every connection of this endpoint for a sign of life, and the network for a new look at the path.
///
/// quinn has no ping of its own; a change of local address, even to the same one, sends one and takes a fresh connection id.
fn nudge(endpoint: &Endpoint, socket: &Arc<NodeSocket>) {
    let socket: Arc<dyn AsyncUdpSocket> = Arc::clone(socket) as _;
    // Fails only if the socket has no address; silence is then noticed by other means.
    let _ = endpoint.rebind_abstract(socket);
}

/// As [`nudge`], when this machine stood still: whoever waited for it hears of it at once.
pub(super) fn wake(endpoint: &Endpoint, socket: &Arc<NodeSocket>) {
    socket.table().woke(socket.uptime());
    nudge(endpoint, socket);
}

/// What there is to see of a relay.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Packets of its control connection so far.
    heard: u64,
    /// A session sends and hears nothing.
    silent: bool,
    /// It has said that it does not know a session's address.
    unbound: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Wait,
    Ask,
    /// This machine stood still: what was asked before counts for nothing.
    Woke,
    /// It was asked and does not answer.
    Gone,
}

/// Decides when a relay has to be asked for a sign of life, and when it is given up. Time counts while the machine sleeps.
#[derive(Debug, Default)]
struct Suspicion {
    asked: Option<Question>,
    last: Option<Look>,
}

#[derive(Debug, Clone, Copy)]
struct Question {
    at: Moment,
    /// Packets of the relay that had come before.
    heard_before: u64,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Moment,
    heard: u64,
    /// When that was new.
    heard_at: Moment,
}

impl Suspicion {
    /// Nobody looks for a while.
    fn rest(&mut self) {
        *self = Self::default();
    }

    fn look(&mut self, seen: Seen, now: Moment) -> Next {
        let heard = seen.heard;
        let last = self.last.unwrap_or(Look { at: now, heard, heard_at: now });
        let heard_at = if last.heard == heard { last.heard_at } else { now };
        self.last = Some(Look { at: now, heard, heard_at });

        let slept = now - last.at >= SLEPT;
        if slept {
            // Whatever answered may have come while nobody was awake to take it.
            self.asked = None;
        }
        if let Some(asked) = self.asked {
            let (answered, since) = (heard != asked.heard_before, now - asked.at);
            if !answered && since >= ANSWER_WITHIN {
                return Next::Gone;
            }
            if answered && since >= ASK_EVERY {
                self.asked = None;
            }
        }
        let odd = seen.silent || seen.unbound || slept || now - heard_at >= QUIET;
        if !odd || self.asked.is_some() {
            return Next::Wait;
        }
        self.asked = Some(Question { at: now, heard_before: heard });
        if slept { Next::Woke } else { Next::Ask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_origin(Duration::from_secs(1000));
    const FINE: Seen = Seen { heard: 7, silent: false, unbound: false };

    /// Looks as often as a node does, from `from` on, until there is something to do; at most a minute.
    fn next(suspicion: &mut Suspicion, seen: impl Fn(Duration) -> Seen, from: Duration) -> (Next, Duration) {
        let mut at = from;
        while at < from + Duration::from_secs(60) {
            match suspicion.look(seen(at), START + at) {
                Next::Wait => at += LOOK,
                next @ (Next::Ask | Next::Woke | Next::Gone) => return (next, at),
            }
        }
        (Next::Wait, at)
    }

    #[test]
    fn a_relay_that_died_without_a_word_is_given_up_after_thirteen_seconds_although_no_session_needs_it() {
        let mut suspicion = Suspicion::default();
        let (asked, at) = next(&mut suspicion, |_| FINE, Duration::ZERO);
        assert_eq!((asked, at), (Next::Ask, QUIET));
        assert_eq!(next(&mut suspicion, |_| FINE, at + LOOK), (Next::Gone, QUIET + ANSWER_WITHIN));
    }

    #[test]
    fn a_relay_that_answers_is_asked_again_only_after_it_was_quiet_for_as_long() {
        let mut suspicion = Suspicion::default();
        let answers = |at: Duration| Seen { heard: 7 + at.as_secs() / 11, ..FINE };
        let (asked, first) = next(&mut suspicion, answers, Duration::ZERO);
        assert_eq!((asked, first), (Next::Ask, QUIET));
        let (asked, second) = next(&mut suspicion, answers, first + LOOK);
        assert_eq!(asked, Next::Ask);
        assert_eq!(second, Duration::from_secs(11) + QUIET);
    }

    #[test]
    fn a_relay_that_is_heard_of_is_asked_nothing() {
        let mut suspicion = Suspicion::default();
        let busy = |at: Duration| Seen { heard: at.as_secs(), ..FINE };
        assert_eq!(next(&mut suspicion, busy, Duration::ZERO).0, Next::Wait);
    }

    #[test]
    fn a_silent_session_and_an_unknown_address_are_asked_about_at_once() {
        for seen in [Seen { silent: true, ..FINE }, Seen { unbound: true, ..FINE }] {
            let mut suspicion = Suspicion::default();
            assert_eq!(suspicion.look(FINE, START), Next::Wait);
            assert_eq!(suspicion.look(seen, START + LOOK), Next::Ask);
            assert_eq!(suspicion.look(seen, START + LOOK * 2), Next::Wait, "one question at a time");
        }
    }

    #[test]
    fn who_wakes_up_asks_at_once_and_gives_the_relay_its_time_to_answer() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.look(FINE, START), Next::Wait);
        assert_eq!(suspicion.look(Seen { silent: true, ..FINE }, START + LOOK), Next::Ask);
        // The machine sleeps before the answer comes.
        let night = Duration::from_secs(8 * 3600);
        assert_eq!(suspicion.look(FINE, START + night), Next::Woke, "not gone: it had no chance to answer");
        assert_eq!(next(&mut suspicion, |_| FINE, night + LOOK), (Next::Gone, night + ANSWER_WITHIN));
    }

    #[test]
    fn time_without_sessions_is_no_sleep() {
        let mut suspicion = Suspicion::default();
        assert_eq!(suspicion.look(FINE, START), Next::Wait);
        suspicion.rest();
        assert_eq!(suspicion.look(FINE, START + Duration::from_secs(3600)), Next::Wait);
    }
}
