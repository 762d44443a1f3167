//! What the controller thinks of the path, and the window that follows from it.
//!
//! ```text
//!            delivery no longer grows,          the queue stays long though
//!            or the queue begins to fill        this flow keeps it short
//!    Start ────────────────────────────> Cruise ────────────────────────────> Compete
//!                                        ^    │ every 10 s                     │  ^
//!                                        │    v                     every 5 s  v  │ still long
//!                                        └── Drain <───────────────────────────┴──┘
//! ```

use std::time::{Duration, Instant};

use super::{cubic::Cubic, rate::RateSampler};

/// A standing queue of a quarter round trip, within these bounds, is what a flow that is alone keeps. It makes up for bursts
/// and finds out about more room: if the path becomes faster, the queue turns into speed.
const QUEUE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(20));

/// The shortest round trip seen counts for so long; then the queue is drained to look again.
const SHORTEST_FOR: Duration = Duration::from_secs(10);

/// As long as somebody else keeps the queue full, the path cannot be seen empty, and what was seen before counts for longer.
const SHORTEST_FOR_SHARED: Duration = Duration::from_secs(60);

/// How long a look at the empty path lasts at least.
const DRAIN: Duration = Duration::from_millis(200);

/// How often, next to a flow that fills the queue, it is tried whether that flow is gone.
const COMPETE_FOR: Duration = Duration::from_secs(5);

/// Round trips over which the fastest delivery counts.
const ROUNDS: usize = 10;

/// Round trips with a long queue, first before only the newest delivery counts, then before the queue is somebody else's.
const STALE_AFTER: u32 = 2;
const FOREIGN_AFTER: u32 = 4;

/// A start ends after this many round trips in which delivery grew by less than a quarter.
const STEADY_AFTER: u32 = 3;

/// A start also ends when the queue begins to fill (HyStart++, RFC 9406 section 4.2, has the same least).
const START_QUEUE: Duration = Duration::from_millis(4);

/// Acknowledgements of a round before its round trips mean something (as there).
const START_ACKS: u32 = 8;

/// Of a thousand packets, those lost in a round beyond which the start ends.
const START_LOSS_PERMILLE: u64 = 100;

/// The window never has fewer packets.
const MIN_PACKETS: u64 = 4;

/// A slow path holds few packets, and some of them wait for an acknowledgement of two at once.
const SPARE_PACKETS: u64 = 2;

/// Round trips differ by this much on an empty path.
const EMPTY: Duration = Duration::from_millis(2);

#[derive(Debug, Clone)]
enum Phase {
    /// Doubles each round trip.
    Start { full: u64, steady: u32 },
    /// Keeps a short queue of its own.
    Cruise,
    /// Somebody else keeps the queue full: takes a share as CUBIC does.
    Compete { cubic: Cubic, until: Instant },
    /// Looks at the path with an empty queue, then goes on.
    Drain { until: Instant, measured: Option<Duration>, rounds: u32, cubic: Option<Cubic> },
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    /// What was sent before went by another path, of which quinn goes on to tell.
    since: Instant,
    mtu: u64,
    initial_window: u64,
    window: u64,
    in_flight: u64,
    rate: RateSampler,
    phase: Phase,
    /// Fastest delivery of each of the last rounds, bytes a second, newest last.
    fastest: [u64; ROUNDS],
    /// Shortest round trip, and when it was last seen.
    shortest: Option<(Duration, Instant)>,
    round: Round,
    /// Round trips in a row in which the queue was long.
    long_queue: u32,
    smoothed: Duration,
    headroom: Headroom,
}

/// The round trip under way.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    shortest: Option<Duration>,
    acks: u32,
    fastest: u64,
    delivered: u64,
    lost: u64,
    /// Of `delivered`, what was acknowledged while the application had nothing more to send.
    app_limited: u64,
}

/// How much of the queue that a flow may keep does not cost packets. A path with a short queue loses what is kept in it; a path that
/// loses packets at random loses as many whatever is sent. So now and then a round goes without, and the two are compared.
#[derive(Debug, Clone, Copy)]
struct Headroom {
    /// Thousandths of the queue's length.
    permille: u64,
    /// Rounds since the last comparison.
    rounds: u32,
    /// Packets lost of a million with and without, smoothed.
    with_ppm: u64,
    without_ppm: u64,
}

impl Model {
    pub(super) fn new(now: Instant, initial_window: u64, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        Self {
            since: now,
            mtu,
            initial_window,
            window: initial_window.max(MIN_PACKETS * mtu),
            in_flight: 0,
            rate: RateSampler::new(now),
            phase: Phase::Start { full: 0, steady: 0 },
            fastest: [0; ROUNDS],
            shortest: None,
            round: Round::default(),
            long_queue: 0,
            smoothed: Duration::ZERO,
            headroom: Headroom { permille: 1000, rounds: 0, with_ppm: 0, without_ppm: 0 },
        }
    }

    pub(super) fn window(&self) -> u64 {
        self.window
    }

    pub(super) fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.into();
        self.window = self.window.max(self.least());
    }

    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64) {
        self.rate.on_sent(now, self.in_flight == 0);
        self.in_flight += bytes;
    }

    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        if sent < self.since {
            return;
        }
        let rtt = now.saturating_duration_since(sent);
        self.smoothed = if self.smoothed.is_zero() { rtt } else { (self.smoothed * 7 + rtt) / 8 };
        if self.shortest.is_none_or(|(shortest, _)| rtt <= shortest) {
            self.shortest = Some((rtt, now));
        }
        let shortest = self.shortest_rtt();
        let sample = self.rate.on_ack(now, sent, bytes, shortest);
        self.rate.forget(sent);
        if sample.round_starts {
            self.end_round(now);
        }
        // What the application held back says nothing about the path, unless it was more than was known.
        let rate = sample.rate.filter(|rate| !app_limited || *rate > self.bandwidth());
        let round = &mut self.round;
        round.shortest = Some(round.shortest.map_or(rtt, |known| known.min(rtt)));
        round.delivered += bytes;
        round.app_limited += if app_limited { bytes } else { 0 };
        round.fastest = round.fastest.max(rate.unwrap_or(0));
        self.round.acks += 1;
        if let Phase::Start { .. } = self.phase
            && self.round.acks >= START_ACKS
            && self.queued(self.round.shortest) > (self.queue() / 2).max(START_QUEUE)
        {
            self.cruise();
        }
        self.grow(now, sent, bytes, app_limited);
    }

    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant, bytes: u64, persistent: bool) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
        if sent < self.since {
            return;
        }
        self.round.lost += bytes;
        if persistent {
            // RFC 9002 section 7.6.2: nothing that was known holds any more.
            let mtu = u16::try_from(self.mtu).unwrap_or(u16::MAX);
            *self = Self { in_flight: self.in_flight, ..Self::new(now, self.least(), mtu) };
            return;
        }
        if let Phase::Compete { cubic, .. } = &mut self.phase {
            cubic.on_loss(now, sent);
            self.window = cubic.window().max(self.least());
        }
    }

    /// A router marked a packet instead of dropping it (ECN): its queue is longer than it should be.
    pub(super) fn on_mark(&mut self, now: Instant, sent: Instant) {
        if sent < self.since {
            return;
        }
        self.headroom.shrink();
        if let Phase::Start { .. } = self.phase {
            self.cruise();
        }
        self.on_loss(now, sent, 0, false);
    }

    /// What quinn counts; packets that were dropped otherwise are no longer there.
    pub(super) fn set_in_flight(&mut self, bytes: u64) {
        self.in_flight = bytes;
    }

    fn least(&self) -> u64 {
        MIN_PACKETS * self.mtu
    }

    fn shortest_rtt(&self) -> Duration {
        self.shortest.map_or(Duration::ZERO, |(shortest, _)| shortest)
    }

    /// Bytes a second that the path delivers.
    fn bandwidth(&self) -> u64 {
        let rounds = if self.long_queue >= STALE_AFTER { 2 } else { ROUNDS };
        let newest = self.fastest.iter().rev().take(rounds).max().copied().unwrap_or(0);
        newest.max(self.round.fastest)
    }

    fn queue(&self) -> Duration {
        (self.shortest_rtt() / 4).clamp(QUEUE.0, QUEUE.1)
    }

    fn bytes_in(&self, time: Duration) -> u64 {
        bytes(self.bandwidth(), time)
    }

    /// What fills the path and a short queue.
    fn target(&self) -> u64 {
        if self.bandwidth() == 0 {
            return self.initial_window.max(self.least());
        }
        let queue = self.queue() * u32::try_from(self.headroom.permille).unwrap_or(1000) / 1000;
        let queue = if self.headroom.goes_without() { Duration::ZERO } else { queue };
        (self.bytes_in(self.shortest_rtt() + queue) + SPARE_PACKETS * self.mtu).max(self.least())
    }

    fn grow(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool) {
        let least = self.least();
        let target = self.target();
        match &mut self.phase {
            Phase::Start { .. } => {
                if !app_limited {
                    self.window += bytes;
                }
            }
            Phase::Cruise => {
                self.window = if self.window < target { (self.window + bytes).min(target) } else { target }
            }
            Phase::Compete { cubic, .. } => {
                if !app_limited {
                    cubic.on_ack(now, sent, bytes, self.smoothed);
                }
                self.window = cubic.window().max(least);
            }
            Phase::Drain { .. } => {}
        }
    }

    fn end_round(&mut self, now: Instant) {
        let round = std::mem::take(&mut self.round);
        if round.fastest > 0 || !round.is_app_limited() {
            self.fastest.rotate_left(1);
            self.fastest[ROUNDS - 1] = round.fastest;
        }
        let queued = self.queued(round.shortest);
        let long = queued > self.queue() * 3 / 2;
        self.long_queue = if long { self.long_queue + 1 } else { 0 };
        let bandwidth = self.bandwidth();
        match &mut self.phase {
            Phase::Start { full, steady } => {
                if bandwidth >= *full + *full / 4 {
                    (*full, *steady) = (bandwidth, 0);
                } else if !round.is_app_limited() {
                    *steady += 1;
                }
                let lossy = round.lost * 1000 > (round.lost + round.delivered) * START_LOSS_PERMILLE;
                if *steady >= STEADY_AFTER || lossy {
                    self.cruise();
                }
            }
            Phase::Cruise => {
                self.headroom.end_round(round);
                if self.long_queue >= FOREIGN_AFTER {
                    // What was had before the other one came, with the queue as it is now.
                    let had = self.fastest.iter().max().copied().unwrap_or(0);
                    let window = bytes(had, self.smoothed).max(self.window);
                    let cubic = Cubic::new(now, window, self.mtu);
                    self.phase = Phase::Compete { cubic, until: now + COMPETE_FOR };
                } else if self.shortest.is_some_and(|(_, seen)| now.saturating_duration_since(seen) > SHORTEST_FOR) {
                    self.drain(now, None);
                }
            }
            Phase::Compete { cubic, until } => {
                if now >= *until {
                    let cubic = cubic.clone();
                    self.drain(now, Some(cubic));
                }
            }
            Phase::Drain { until, measured, rounds, .. } => {
                *rounds += 1;
                // The first round still has what was sent before.
                if *rounds >= 2 {
                    let seen = round.shortest.unwrap_or(Duration::MAX);
                    *measured = Some(measured.map_or(seen, |known| known.min(seen)));
                }
                if now >= *until && *rounds >= 3 {
                    self.end_drain(now);
                }
            }
        }
    }

    fn cruise(&mut self) {
        self.phase = Phase::Cruise;
        self.long_queue = 0;
    }

    /// How long packets stood in the queue in a round with this shortest round trip.
    fn queued(&self, shortest: Option<Duration>) -> Duration {
        shortest.map_or(Duration::ZERO, |rtt| rtt.saturating_sub(self.shortest_rtt()))
    }

    fn drain(&mut self, now: Instant, cubic: Option<Cubic>) {
        self.phase = Phase::Drain { until: now + DRAIN, measured: None, rounds: 0, cubic };
        self.window = (self.bytes_in(self.shortest_rtt()) / 2).max(self.least());
    }

    fn end_drain(&mut self, now: Instant) {
        let Phase::Drain { measured, cubic, .. } = &mut self.phase else { return };
        let (measured, cubic) = (*measured, cubic.take());
        let known = self.shortest_rtt();
        let counts_for = if cubic.is_some() { SHORTEST_FOR_SHARED } else { SHORTEST_FOR };
        let expired = self.shortest.is_none_or(|(_, seen)| now.saturating_duration_since(seen) > counts_for);
        let empty = measured.is_some_and(|rtt| rtt <= known + (self.queue() / 4).max(EMPTY));
        if let Some(rtt) = measured
            && (expired || rtt <= known)
        {
            self.shortest = Some((rtt, now));
        }
        self.long_queue = 0;
        self.phase = match cubic {
            Some(cubic) if !empty => {
                self.window = cubic.window();
                Phase::Compete { cubic, until: now + COMPETE_FOR }
            }
            Some(_) | None => {
                self.window = self.target();
                Phase::Cruise
            }
        };
    }
}

/// What `rate` bytes a second are in `time`.
fn bytes(rate: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(rate) * time.as_nanos() / 1_000_000_000).unwrap_or(u64::MAX)
}

impl Round {
    /// An application that feeds its stream piece by piece is without for a moment now and then; that is no pause.
    fn is_app_limited(self) -> bool {
        self.app_limited > self.delivered / 2
    }
}

impl Headroom {
    /// Rounds with the queue, then rounds without it.
    const COMPARE_EVERY: u32 = 12;
    const WITHOUT: u32 = 3;
    const LEAST_PERMILLE: u64 = 100;
    /// More than a quarter and than one packet of a hundred is more than chance.
    const CHANCE_PPM: u64 = 10_000;

    fn goes_without(self) -> bool {
        self.rounds >= Self::COMPARE_EVERY
    }

    fn end_round(&mut self, round: Round) {
        let sent = round.lost + round.delivered;
        if sent == 0 {
            return;
        }
        let ppm = round.lost * 1_000_000 / sent;
        self.rounds += 1;
        // What is lost in a round was sent in the one before.
        if self.rounds == Self::COMPARE_EVERY || self.rounds == 1 {
            return;
        }
        let smoothed = if self.rounds > Self::COMPARE_EVERY { &mut self.without_ppm } else { &mut self.with_ppm };
        *smoothed = (*smoothed * 7 + ppm) / 8;
        if self.rounds == Self::COMPARE_EVERY + Self::WITHOUT {
            self.rounds = 0;
            let costs = self.with_ppm > self.without_ppm + self.without_ppm / 4 + Self::CHANCE_PPM;
            if costs { self.shrink() } else { self.permille = (self.permille * 9 / 8 + 10).min(1000) }
        }
    }

    fn shrink(&mut self) {
        self.permille = (self.permille * 3 / 4).max(Self::LEAST_PERMILLE);
    }
}
