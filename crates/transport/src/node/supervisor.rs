//! Keeps the control connection up, and finds out when the relay is gone without a word.

use std::{future::pending, sync::Arc, time::Duration};

use quinn::{ConnectionError, VarInt};
use rand_core::{OsRng, RngCore};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use wire::{
    control::{Bed, FromRelay, ToRelay},
    text::Label,
};

use super::{
    connect::{Connector, Link},
    control::{Control, ControlEvent, EVENTS, Generation, Loss, REQUESTS, Request},
    network::NetworkChanges,
    watch::Watch,
};
use crate::{
    clock,
    listener::{DRAINING_CODE, SUPERSEDED_CODE},
    sleeper::{self, Cause, Sleeper},
    streams::{FrameReceiver, FrameSender, StreamError},
};

/// First wait of a program whose place another one has taken with the same key, doubled each time; up to twice as long, at random.
const SUPERSEDED_FIRST: Duration = Duration::from_secs(60);

/// The most that this doubles to.
const SUPERSEDED_MOST: Duration = Duration::from_secs(3600);

/// Agents that wake because the relay is silent come back within this.
const SILENT_SPREAD: Duration = Duration::from_secs(30);

/// The runtime's timers stand still during suspend: a sleeping agent notices its end this much later at most.
const LOOK_AFTER_SUSPEND: Duration = Duration::from_secs(5);

/// First wait before connecting again, doubled with each failure.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// Longest such wait.
const BACKOFF_MOST: Duration = Duration::from_secs(5);

/// Longest wait that a draining relay may ask for; more would only be a way to get rid of us.
const DRAIN_MOST: Duration = Duration::from_secs(60);

/// How long what a relay said before it closed a pipe may take to be read.
const GRACE: Duration = Duration::from_millis(50);

/// Messages are small and the relay reads them at once: if one cannot be sent for so long, the connection is of no use.
const SEND_WITHIN: Duration = Duration::from_secs(5);

/// Owns the control connection.
pub(super) struct Supervisor {
    connector: Connector,
    events: mpsc::Sender<(Generation, ControlEvent)>,
    requests: mpsc::Receiver<Request>,
    connected: watch::Sender<Option<Generation>>,
    generation: Generation,
    stop: CancellationToken,
    /// The relay asked not to be called before this.
    not_before: Option<Instant>,
    sleep_after: Option<Duration>,
    displaced: Displaced,
}

/// Why the supervisor does something else now.
enum Turn {
    /// The node is closed, or nobody listens to events any more.
    Stop,
    Lost(Loss),
    /// The relay lets us sleep.
    Asleep(Bed),
    /// There is a better connection.
    Better(Link),
}

impl Supervisor {
    pub(super) fn new(connector: Connector, sleep_after: Option<Duration>, stop: CancellationToken) -> (Self, Control) {
        let (events_in, events) = mpsc::channel(EVENTS);
        let (requests, requests_out) = mpsc::channel(REQUESTS);
        let (connected_in, connected) = watch::channel(None);
        let control = Control { events, requests, connected, known: 0 };
        let supervisor = Self {
            connector,
            events: events_in,
            requests: requests_out,
            connected: connected_in,
            generation: 0,
            stop,
            not_before: None,
            sleep_after,
            displaced: Displaced::default(),
        };
        (supervisor, control)
    }

    pub(super) async fn run(mut self, first: Link) {
        let stop = self.stop.clone();
        let mut link = first;
        let mut backoff = Backoff::default();
        // The relay has kept something for us since we fell asleep.
        let mut slept = false;
        loop {
            let up_since = Instant::now();
            let ended = tokio::select! {
                () = stop.cancelled() => Turn::Stop,
                ended = self.attend(&mut link, &mut slept) => ended,
            };
            self.connected.send_replace(None);
            link.connection.close(VarInt::from_u32(0), b"");
            let ended = match ended {
                // A pipe stays until the sessions on it have said goodbye.
                Turn::Stop => return,
                Turn::Lost(why) => Ended::Lost(why),
                Turn::Asleep(bed) => {
                    let cause = tokio::select! {
                        () = stop.cancelled() => return,
                        cause = self.doze(bed) => cause,
                    };
                    slept = true;
                    Ended::Woke(cause)
                }
                Turn::Better(better) => {
                    self.connector.go_by(&better);
                    self.connector.leave(&link);
                    link = better;
                    self.report(ControlEvent::Down { why: Loss::Better, retry_in: Duration::ZERO }).await;
                    continue;
                }
            };
            self.connector.leave(&link);
            if up_since.elapsed() > BACKOFF_MOST {
                backoff = Backoff::default();
            }
            self.displaced.stood(up_since.elapsed());
            if matches!(ended, Ended::Lost(Loss::Superseded)) {
                self.not_before = Some(Instant::now() + self.displaced.next());
            }
            link = tokio::select! {
                () = stop.cancelled() => return,
                link = self.connect_again(ended, &mut backoff) => link,
            };
            self.connector.go_by(&link);
        }
    }

    async fn connect_again(&mut self, ended: Ended, backoff: &mut Backoff) -> Link {
        let mut why = match ended {
            Ended::Lost(why) => why,
            Ended::Woke(cause) => {
                if cause == Cause::Silence {
                    // A relay that was restarted is silent to a whole fleet.
                    sleep(share_of(SILENT_SPREAD)).await;
                }
                let patience = self.connector.patience(0);
                match self.connector.connect(patience).await {
                    Ok(link) => return link,
                    Err(error) => Loss::Attempt(error),
                }
            }
        };
        let mut network = NetworkChanges::of(&self.connector.socket);
        loop {
            let was_asked_to_wait = self.not_before.is_some();
            let retry_in = self.pause(backoff);
            let retry_at = Instant::now() + retry_in;
            let patience = self.connector.patience(backoff.failures);
            self.report(ControlEvent::Down { why, retry_in }).await;
            tokio::select! {
                () = sleep_until(retry_at) => {}
                // What failed there may work here.
                () = network.next(), if !was_asked_to_wait => {}
            }
            match self.connector.connect(patience).await {
                Ok(link) => return link,
                Err(error) => why = Loss::Attempt(error),
            }
        }
    }

    /// Sleeps until there is a reason to connect.
    async fn doze(&mut self, bed: Bed) -> Cause {
        let socket = Arc::clone(&self.connector.socket);
        let mut beats = socket.listen_for_beats();
        let mut sleeper = Sleeper::new(bed, clock::now());
        let (events, generation) = (self.events.clone(), self.generation);
        // A program that does not read its events does not keep the beats from going out.
        let told = async move { events.send((generation, ControlEvent::Asleep)).await };
        tokio::pin!(told);
        let mut is_told = false;
        loop {
            let left = sleeper.poll_timeout().saturating_since(clock::now());
            let turn = tokio::select! {
                Some(packet) = beats.recv() => sleeper.handle_packet(&packet, clock::now(), &mut OsRng),
                () = sleep(left.min(LOOK_AFTER_SUSPEND)) => sleeper.handle_timeout(clock::now(), &mut OsRng),
                Some(request) = self.requests.recv() => match request {
                    Request::Wake => return Cause::Called,
                    // For a connection that is gone.
                    Request::Say(..) => sleeper::Turn::Rest,
                },
                _ = &mut told, if !is_told => {
                    is_told = true;
                    sleeper::Turn::Rest
                }
            };
            match turn {
                sleeper::Turn::Rest => {}
                sleeper::Turn::Send(packet) => {
                    let relay = socket.table().live_relay();
                    if let Some(relay) = relay {
                        socket.send_letter(relay, &packet);
                    }
                }
                sleeper::Turn::Wake(cause) => return cause,
            }
        }
    }

    /// Speaks on one connection until it is lost.
    async fn attend(&mut self, link: &mut Link, slept: &mut bool) -> Turn {
        let mut watch = Watch::new(&self.connector, &link.connection);
        match self.converse(link, slept, &mut watch).await {
            Turn::Lost(why) => Turn::Lost(watch.explain(why)),
            turn @ (Turn::Stop | Turn::Asleep(_) | Turn::Better(_)) => turn,
        }
    }

    async fn converse(&mut self, link: &mut Link, slept: &mut bool, watch: &mut Watch) -> Turn {
        self.generation += 1;
        let Link { connection, pipe, .. } = link;
        let connection = &*connection;
        let stands_on_pipe = pipe.is_some();
        let cut = async {
            match pipe {
                Some(pipe) => pipe.over().await,
                None => pending().await,
            }
        };
        tokio::pin!(cut);
        let stream = tokio::select! {
            stream = connection.open_bi() => stream,
            () = sleep(SEND_WITHIN) => return Turn::Lost(Loss::Silent),
        };
        let (send, receive) = match stream {
            Ok(stream) => stream,
            Err(error) => return Turn::Lost(lost(error)),
        };
        let mut sender = FrameSender::new(send, None);
        let mut receiver = FrameReceiver::new(receive);
        if *slept {
            // What was kept is given to whoever asks for it first of all.
            if let Err(turn) = self.say(connection, &mut sender, &ToRelay::Awake).await {
                return turn;
            }
            *slept = false;
        }
        self.connected.send_replace(Some(self.generation));
        self.report(ControlEvent::Up).await;

        let better = self.connector.by_udp_again(stands_on_pipe);
        tokio::pin!(better);
        let socket = Arc::clone(&self.connector.socket);
        let mut idle = Idle::new(self.sleep_after.filter(|_| !stands_on_pipe));
        loop {
            let events = self.events.clone();
            tokio::select! {
                // Room first: what cannot be handed on is left in the stream. Both halves are cancel-safe.
                received = async { (events.reserve().await, receiver.recv::<FromRelay>().await) } => match received {
                    (Ok(_), Ok(Some(FromRelay::Observed { address }))) => socket.observation().say(address),
                    (Ok(_), Ok(Some(FromRelay::Asleep(bed)))) => {
                        return match idle {
                            Idle::Asked => Turn::Asleep(bed),
                            Idle::Never | Idle::Until(..) => {
                                Turn::Lost(Loss::Protocol { reason: Label::cut("it sent to sleep who had not asked") })
                            }
                        };
                    }
                    // The relay would rather have us stay.
                    (Ok(_), Ok(Some(FromRelay::Refused { .. }))) if idle == Idle::Asked => idle.stir(self.sleep_after),
                    (Ok(room), Ok(Some(message))) => {
                        // What it says before its answer crossed our question, which stands.
                        if idle != Idle::Asked {
                            idle.stir(self.sleep_after);
                        }
                        let given = matches!(message, FromRelay::LocatorAllocated { .. });
                        if given || matches!(message, FromRelay::LocatorLapsed { .. }) {
                            watch.expect(given);
                        }
                        if let FromRelay::Draining { reconnect_in_ms } = message {
                            let wait = Duration::from_millis(u64::from(reconnect_in_ms)).min(DRAIN_MOST);
                            self.not_before = Some(Instant::now() + wait);
                        }
                        if let FromRelay::ChannelOpen { channel, first, .. } = &message {
                            self.connector.socket.arrived_with(*channel, first);
                        }
                        room.send((self.generation, ControlEvent::Message(message)));
                    }
                    (Ok(_), Ok(None)) => return Turn::Lost(self.closed(connection).await),
                    (Ok(_), Err(error)) => return Turn::Lost(self.broken(connection, error).await),
                    (Err(_), _) => self.nobody_listens(connection).await,
                },
                Some(request) = self.requests.recv() => {
                    idle.stir(self.sleep_after);
                    if matches!(request, Request::Say(_, ToRelay::ReleaseLocator { .. })) {
                        watch.expect(false);
                    }
                    if let Request::Say(generation, message) = request
                        && generation == self.generation
                        && let Err(turn) = self.say(connection, &mut sender, &message).await
                    {
                        return turn;
                    }
                }
                () = socket.observation().asked() => {
                    if let Err(turn) = self.say(connection, &mut sender, &ToRelay::Observe).await {
                        return turn;
                    }
                }
                () = idle.over() => {
                    if socket.table().any_session() {
                        idle.stir(self.sleep_after);
                    } else {
                        idle = Idle::Asked;
                        if let Err(turn) = self.say(connection, &mut sender, &ToRelay::Sleep).await {
                            return turn;
                        }
                    }
                }
                error = connection.closed() => return Turn::Lost(self.loss(error)),
                () = watch.relay_is_gone() => return Turn::Lost(Loss::Silent),
                () = &mut cut => {
                    // What the relay said last has come by then.
                    let why = match timeout(GRACE, connection.closed()).await {
                        Ok(error) => self.loss(error),
                        Err(_) => Loss::Cut,
                    };
                    return Turn::Lost(why);
                }
                link = &mut better => return Turn::Better(link),
            }
        }
    }

    async fn say(
        &self,
        connection: &quinn::Connection,
        sender: &mut FrameSender,
        message: &ToRelay,
    ) -> Result<(), Turn> {
        match timeout(SEND_WITHIN, sender.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Turn::Lost(self.broken(connection, error).await)),
            Err(_) => Err(Turn::Lost(Loss::Silent)),
        }
    }

    /// The program has dropped its handle: keep the connection for the sessions' sake until it is lost.
    async fn nobody_listens(&self, connection: &quinn::Connection) {
        connection.closed().await;
    }

    async fn report(&self, event: ControlEvent) {
        // Nobody listens: the program has dropped its handle, and that is its right.
        let _ = self.events.send((self.generation, event)).await;
    }

    /// How long to wait before the next attempt.
    fn pause(&mut self, backoff: &mut Backoff) -> Duration {
        let pause = backoff.next();
        match self.not_before.take() {
            Some(not_before) => pause.max(not_before.saturating_duration_since(Instant::now())),
            None => pause,
        }
    }

    /// The relay ended the stream: the connection's end, which follows, says why.
    async fn closed(&self, connection: &quinn::Connection) -> Loss {
        match timeout(SEND_WITHIN, connection.closed()).await {
            Ok(error) => self.loss(error),
            Err(_) => Loss::Protocol { reason: Label::cut("it ended the control stream") },
        }
    }

    async fn broken(&self, connection: &quinn::Connection, error: StreamError) -> Loss {
        if error.peer_broke_the_rules() {
            return Loss::Protocol { reason: Label::cut(&error.to_string()) };
        }
        self.closed(connection).await
    }

    fn loss(&self, error: ConnectionError) -> Loss {
        let loss = lost(error);
        if matches!(loss, Loss::Closed { .. }) && self.not_before.is_some() { Loss::Draining } else { loss }
    }
}

/// How a connection ended that is to be followed by another.
enum Ended {
    Lost(Loss),
    Woke(Cause),
}

/// Whether nothing goes on, so that the agent may sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// This one does not sleep.
    Never,
    /// If nothing happens until then.
    Until(Instant),
    /// The relay was asked.
    Asked,
}

impl Idle {
    fn new(after: Option<Duration>) -> Self {
        after.map_or(Self::Never, |after| Self::Until(Instant::now() + after))
    }

    /// Something has happened.
    fn stir(&mut self, after: Option<Duration>) {
        match self {
            Self::Never => {}
            Self::Until(_) | Self::Asked => *self = Self::new(after),
        }
    }

    async fn over(&self) {
        match self {
            Self::Until(at) => sleep_until(*at).await,
            Self::Never | Self::Asked => pending().await,
        }
    }
}

/// A random part of a duration.
fn share_of(duration: Duration) -> Duration {
    duration.mul_f64(f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
}

fn lost(error: ConnectionError) -> Loss {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(SUPERSEDED_CODE) => {
            Loss::Superseded
        }
        ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(DRAINING_CODE) => {
            Loss::Draining
        }
        ConnectionError::ApplicationClosed(close) => {
            Loss::Closed { reason: Label::cut(&String::from_utf8_lossy(&close.reason)) }
        }
        ConnectionError::Reset => Loss::Restarted,
        ConnectionError::TimedOut => Loss::Silent,
        error @ (ConnectionError::ConnectionClosed(_)
        | ConnectionError::TransportError(_)
        | ConnectionError::VersionMismatch
        | ConnectionError::CidsExhausted
        | ConnectionError::LocallyClosed) => Loss::Closed { reason: Label::cut(&error.to_string()) },
    }
}

/// Doubling waits, each shortened by up to half at random so that a thousand agents do not come back together.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let full = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MOST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + f64::from(OsRng.next_u32()) / f64::from(u32::MAX) / 2.0)
    }
}

/// How long to stay away from a relay that serves another program with the same key, so that two do not take each other's place all the time.
#[derive(Debug, Default)]
struct Displaced {
    /// How often in a row.
    times: u32,
}

impl Displaced {
    fn next(&mut self) -> Duration {
        let least = SUPERSEDED_FIRST.saturating_mul(1 << self.times.min(10)).min(SUPERSEDED_MOST);
        self.times = self.times.saturating_add(1);
        least + share_of(least)
    }

    /// A connection has ended that stood for so long.
    fn stood(&mut self, stood: Duration) {
        if stood > SUPERSEDED_MOST {
            self.times = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_differ_from_node_to_node() {
        let mut backoff = Backoff::default();
        for full_ms in [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
            let wait = backoff.next().as_millis();
            assert!((full_ms / 2..=full_ms).contains(&wait), "{wait} of {full_ms}");
        }
        let first = |_| Backoff::default().next();
        assert!((0..20).map(first).any(|wait| wait != first(0)));
    }

    #[test]
    fn who_is_displaced_again_and_again_stays_away_longer_each_time() {
        let mut displaced = Displaced::default();
        for least in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            let wait = displaced.next().as_secs();
            assert!((least..=2 * least).contains(&wait), "{wait} of {least}");
            displaced.stood(Duration::from_secs(least));
        }
        displaced.stood(Duration::from_secs(3601));
        assert!(displaced.next().as_secs() <= 120, "it was alone for long enough");
    }
}
