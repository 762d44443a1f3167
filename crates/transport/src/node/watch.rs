//! Watches the relay: often while there are sessions, now and then otherwise.

use std::{sync::Arc, time::Duration};

use quinn::{AsyncUdpSocket, Endpoint};
use tokio::time::{Instant, sleep_until};
use wire::time::Moment;

use super::{connect::Connector, control::Loss, network::NetworkChanges};
use crate::{clock, socket::NodeSocket};

/// How often a node looks whether packets still come, if something is odd.
const LOOK: Duration = Duration::from_millis(250);

/// The same while it has a session, or somebody is expected to call by a code. A session that hears nothing is looked at when that has
/// become odd.
const LOOK_NEEDED: Duration = Duration::from_secs(1);

/// The same while nothing is going on. Looking sends nothing.
const LOOK_IDLE: Duration = Duration::from_secs(5);

/// A relay that has not answered a direct question for so long is gone. Lost packets are sent again several times meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often the relay is asked at most. Silence may also mean that the other side is gone, about which the relay can do nothing.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// A relay of which nobody has heard for so long is asked, while there is a session: one that goes directly would not notice that the relay is
/// gone, and could not go back to it.
const QUIET: Duration = Duration::from_secs(10);

/// The same while somebody reads out a code: it works only as long as the relay is there, which is to be known within 20 s.
const QUIET_EXPECTING: Duration = Duration::from_secs(15);

/// An acknowledgement takes no longer than this on any path that is worth having.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);

/// When a look comes so much late, the machine or this program stood still, and everything may have changed.
const SLEPT: Duration = Duration::from_secs(2);

/// What is lost so soon after that was lost by it.
const BY_SLEEP: Duration = Duration::from_secs(20);

/// Finds out that the relay is gone before QUIC does, which takes 75 s. What [`Suspicion`] finds odd is asked about directly.
pub(super) struct Watch {
    endpoint: Endpoint,
    socket: Arc<NodeSocket>,
    connection: quinn::Connection,
    network: NetworkChanges,
    /// Somebody may call by a code that this relay gave.
    expecting: bool,
    suspicion: Suspicion,
    /// When to look next.
    due: Option<Instant>,
    woke_at: Option<Moment>,
}

impl Watch {
    pub(super) fn new(connector: &Connector, connection: &quinn::Connection) -> Self {
        Self {
            endpoint: connector.endpoint.clone(),
            socket: Arc::clone(&connector.socket),
            connection: connection.clone(),
            network: NetworkChanges::of(&connector.socket),
            expecting: false,
            suspicion: Suspicion::default(),
            due: None,
            woke_at: None,
        }
    }

    /// Says whether somebody may call by a code.
    pub(super) fn expect(&mut self, expecting: bool) {
        self.expecting = expecting;
    }

    /// Returns once the relay has not answered a question for too long.
    ///
    /// Cancel-safe: what was asked is kept.
    pub(super) async fn relay_is_gone(&mut self) {
        loop {
            let duty = self.duty();
            let look = if self.suspicion.is_alert() { LOOK } else { duty.look() };
            let until_silent = self.socket.table().silent_at().map(|at| at.saturating_sub(self.socket.uptime()));
            // Whoever polls this may begin anew before it is time, again and again.
            let look_in = clock::until_beat(look);
            let due =
                Instant::now() + until_silent.filter(|left| !left.is_zero()).map_or(look_in, |left| left.min(look_in));
            let due = *self.due.insert(self.due.map_or(due, |before| before.min(due)));
            let (mut unbound, mut moved) = (false, false);
            tokio::select! {
                () = self.socket.told_unbound() => unbound = true,
                () = self.network.next() => moved = true,
                () = self.socket.any_session(), if duty != Duty::Session => {}
                () = sleep_until(due) => {}
            }
            self.due = None;
            let (now, frames) = (self.socket.uptime(), self.connection.stats());
            let (silent, heard) = {
                let table = self.socket.table();
                (table.silent_at().is_some_and(|at| at <= now), table.control_heard())
            };
            // What has to be acknowledged, of what a client of the relay sends.
            let asked = frames.frame_tx.ping + frames.frame_tx.stream + frames.frame_tx.path_challenge;
            let seen = Seen { heard, silent, unbound, moved, asked, answered: frames.frame_rx.acks };
            match self.suspicion.look(seen, duty, look, clock::now()) {
                Next::Wait => {}
                // The question comes from the new address, and so shows it to the relay. It goes out on the sessions as well, whose paths
                // are looked into when it is not answered there.
                Next::Ask => nudge(&self.endpoint, &self.socket),
                Next::Woke => {
                    self.woke_at = Some(clock::now());
                    wake(&self.endpoint, &self.socket);
                }
                Next::Gone => return,
            }
        }
    }

    /// Why the relay was lost, which may be because this machine slept: the relay gives up who is silent for long.
    pub(super) fn explain(&self, loss: Loss) -> Loss {
        let woke = self.woke_at.is_some_and(|at| clock::now() - at < BY_SLEEP);
        if woke && matches!(loss, Loss::Restarted | Loss::Silent) { Loss::Slept } else { loss }
    }

    fn duty(&self) -> Duty {
        if self.socket.table().any_session() {
            Duty::Session
        } else if self.expecting {
            Duty::Expecting
        } else {
            Duty::Idle
        }
    }
}

/// What the control connection is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// A session, or more.
    Session,
    /// Somebody may call by a code.
    Expecting,
    /// Nothing at present.
    Idle,
}

impl Duty {
    fn look(self) -> Duration {
        match self {
            Self::Session | Self::Expecting => LOOK_NEEDED,
            Self::Idle => LOOK_IDLE,
        }
    }

    /// After how long a relay that says nothing is asked. `None`: it is not.
    fn quiet(self) -> Option<Duration> {
        match self {
            Self::Session => Some(QUIET),
            Self::Expecting => Some(QUIET_EXPECTING),
            Self::Idle => None,
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
    /// The network of this machine has changed.
    moved: bool,
    /// What was sent to it so far that has to be acknowledged, and its acknowledgements.
    asked: u64,
    answered: u64,
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
    question: Option<Question>,
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
    asked: u64,
    answered: u64,
    /// When something was sent first that is not acknowledged.
    unanswered_since: Option<Moment>,
}

impl Suspicion {
    /// Whether the next look has to come soon.
    fn is_alert(&self) -> bool {
        self.question.is_some() || self.last.is_some_and(|last| last.unanswered_since.is_some())
    }

    /// `after` is how long nobody looked, on purpose.
    fn look(&mut self, seen: Seen, duty: Duty, after: Duration, now: Moment) -> Next {
        let Seen { heard, asked, answered, .. } = seen;
        let first = Look { at: now, heard, heard_at: now, asked, answered, unanswered_since: None };
        let last = self.last.unwrap_or(first);
        let heard_at = if last.heard == heard { last.heard_at } else { now };
        let unanswered_since = match last.unanswered_since {
            _ if last.answered != answered => None,
            None if last.asked != asked => Some(now),
            since => since,
        };
        self.last = Some(Look { at: now, heard, heard_at, asked, answered, unanswered_since });

        let slept = now - last.at >= after + SLEPT;
        if slept || seen.moved {
            // Whatever answered may have come while nobody was awake to take it, or to where this machine is no more.
            self.question = None;
        }
        if let Some(question) = self.question {
            let (answered, since) = (heard != question.heard_before, now - question.at);
            if !answered && since >= ANSWER_WITHIN {
                return Next::Gone;
            }
            if answered && since >= ASK_EVERY {
                self.question = None;
            }
        }
        let quiet = duty.quiet().is_some_and(|quiet| now - heard_at >= quiet);
        let unanswered = unanswered_since.is_some_and(|since| now - since >= ACKNOWLEDGED_WITHIN);
        let odd = seen.silent || seen.unbound || seen.moved || slept || quiet || unanswered;
        if !odd || self.question.is_some() {
            return Next::Wait;
        }
        self.question = Some(Question { at: now, heard_before: heard });
        if slept { Next::Woke } else { Next::Ask }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_origin(Duration::from_secs(1000));
    const FINE: Seen = Seen { heard: 7, silent: false, unbound: false, moved: false, asked: 3, answered: 3 };

    /// Looks as often as a node does, from `from` on, until there is something to do; at most a minute and a half.
    fn next_on(
        duty: Duty,
        suspicion: &mut Suspicion,
        seen: impl Fn(Duration) -> Seen,
        from: Duration,
    ) -> (Next, Duration) {
        let mut at = from;
        while at < from + Duration::from_secs(90) {
            let look = if suspicion.is_alert() { LOOK } else { duty.look() };
            match suspicion.look(seen(at), duty, look, START + at) {
                Next::Wait => at += if suspicion.is_alert() { LOOK } else { duty.look() },
                next @ (Next::Ask | Next::Woke | Next::Gone) => return (next, at),
            }
        }
        (Next::Wait, at)
    }

    fn next(suspicion: &mut Suspicion, seen: impl Fn(Duration) -> Seen, from: Duration) -> (Next, Duration) {
        next_on(Duty::Session, suspicion, seen, from)
    }

    fn look(suspicion: &mut Suspicion, seen: Seen, at: Duration) -> Next {
        suspicion.look(seen, Duty::Session, LOOK, START + at)
    }

    #[test]
    fn a_relay_that_died_without_a_word_is_given_up_after_thirteen_seconds_although_no_session_needs_it() {
        let mut suspicion = Suspicion::default();
        let (asked, at) = next(&mut suspicion, |_| FINE, Duration::ZERO);
        assert_eq!((asked, at), (Next::Ask, QUIET));
        assert_eq!(next(&mut suspicion, |_| FINE, at + LOOK), (Next::Gone, QUIET + ANSWER_WITHIN));
    }

    #[test]
    fn whoever_shows_a_code_knows_within_twenty_seconds_that_it_does_not_work() {
        let mut suspicion = Suspicion::default();
        let (asked, at) = next_on(Duty::Expecting, &mut suspicion, |_| FINE, Duration::ZERO);
        assert_eq!(asked, Next::Ask);
        let (gone, at) = next_on(Duty::Expecting, &mut suspicion, |_| FINE, at + LOOK);
        assert_eq!(gone, Next::Gone);
        assert!(at <= Duration::from_secs(20), "{at:?}");
    }

    #[test]
    fn an_idle_node_asks_nothing_of_its_own_and_misses_the_answer_to_its_keep_alive() {
        let mut suspicion = Suspicion::default();
        assert_eq!(next_on(Duty::Idle, &mut suspicion, |_| FINE, Duration::ZERO).0, Next::Wait);

        let mut suspicion = Suspicion::default();
        let sent = Duration::from_secs(28);
        let answered = |at: Duration| if at < sent { FINE } else { Seen { heard: 8, asked: 4, answered: 4, ..FINE } };
        assert_eq!(next_on(Duty::Idle, &mut suspicion, answered, Duration::ZERO).0, Next::Wait);

        let mut suspicion = Suspicion::default();
        let unanswered = |at: Duration| if at < sent { FINE } else { Seen { asked: 4, ..FINE } };
        let (asked, at) = next_on(Duty::Idle, &mut suspicion, unanswered, Duration::ZERO);
        assert_eq!(asked, Next::Ask);
        let (gone, at) = next_on(Duty::Idle, &mut suspicion, unanswered, at + LOOK);
        assert_eq!(gone, Next::Gone);
        assert!(at <= sent + Duration::from_secs(11), "{at:?}");
    }

    #[test]
    fn a_change_of_network_is_asked_about_at_once_whatever_was_asked_before() {
        for duty in [Duty::Session, Duty::Expecting, Duty::Idle] {
            let mut suspicion = Suspicion::default();
            let moved = Seen { moved: true, ..FINE };
            suspicion.look(FINE, duty, LOOK, START);
            assert_eq!(suspicion.look(moved, duty, LOOK, START + LOOK), Next::Ask);
            assert_eq!(suspicion.look(moved, duty, LOOK, START + LOOK * 2), Next::Ask, "from the newest address");
            let (gone, at) = next_on(duty, &mut suspicion, |_| FINE, LOOK * 3);
            assert_eq!((gone, at), (Next::Gone, LOOK * 2 + ANSWER_WITHIN));
        }
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
            assert_eq!(look(&mut suspicion, FINE, Duration::ZERO), Next::Wait);
            assert_eq!(look(&mut suspicion, seen, LOOK), Next::Ask);
            assert_eq!(look(&mut suspicion, seen, LOOK * 2), Next::Wait, "one question at a time");
        }
    }

    #[test]
    fn who_wakes_up_asks_at_once_and_gives_the_relay_its_time_to_answer() {
        for duty in [Duty::Session, Duty::Expecting, Duty::Idle] {
            let mut suspicion = Suspicion::default();
            assert_eq!(suspicion.look(FINE, duty, LOOK, START), Next::Wait);
            assert_eq!(suspicion.look(Seen { silent: true, ..FINE }, duty, LOOK, START + LOOK), Next::Ask);
            // The machine sleeps before the answer comes.
            let night = Duration::from_secs(8 * 3600);
            let woken = suspicion.look(FINE, duty, LOOK, START + night);
            assert_eq!(woken, Next::Woke, "not gone: it had no chance to answer");
            let gone = next_on(duty, &mut suspicion, |_| FINE, night + LOOK);
            assert_eq!(gone, (Next::Gone, night + ANSWER_WITHIN));
        }
    }

    #[test]
    fn looking_seldom_is_no_sleep() {
        let mut suspicion = Suspicion::default();
        for looks in 0..100 {
            let at = START + LOOK_IDLE * looks + LOOK * (looks % 3);
            assert_eq!(suspicion.look(FINE, Duty::Idle, LOOK_IDLE, at), Next::Wait);
        }
    }
}
