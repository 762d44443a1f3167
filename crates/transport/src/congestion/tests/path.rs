//! One bottleneck with a queue, and flows through it. Packets are numbers, time is an argument, the same seed gives the same run.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use super::super::{cubic::Cubic, model::Model};

const PACKET: u64 = 1400;
const INITIAL_WINDOW: u64 = 24_000;

/// A receiver acknowledges every second packet at once and a single one after this long (RFC 9000 section 13.2.1).
const ACK_DELAY: Duration = Duration::from_millis(25);

/// A packet is lost when one that was sent so many later has arrived (RFC 9002 section 6.1.1).
const REORDERED: u64 = 3;

/// After so long without news everything in flight counts as lost.
const TIMEOUT: Duration = Duration::from_millis(700);

#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) bits_s: f64,
    pub(super) rtt: Duration,
    pub(super) queue_bytes: u64,
    /// Chance that a packet is lost behind the queue.
    pub(super) loss: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Ours,
    /// With slow start.
    Cubic,
}

/// Who sends, from when to when, as fast as it may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    kind: Kind,
    from: Duration,
    to: Duration,
}

impl Flow {
    pub(super) fn new(kind: Kind, from_secs: u64, to_secs: u64) -> Self {
        Self { kind, from: Duration::from_secs(from_secs), to: Duration::from_secs(to_secs) }
    }

    pub(super) fn whole(kind: Kind, secs: u64) -> Self {
        Self::new(kind, 0, secs)
    }
}

#[derive(Debug)]
pub(super) struct Outcome {
    /// Delivered while it sent.
    pub(super) bits_s: f64,
    /// Of what was delivered while all flows sent.
    pub(super) share_while_all: f64,
    /// How long its packets stood in the queue.
    pub(super) queued_p50: Duration,
    pub(super) queued_p95: Duration,
    /// Part of its packets that was lost.
    pub(super) lost: f64,
}

enum Window {
    Ours(Box<Model>),
    SlowStart(u64),
    Cubic(Cubic),
}

struct Sender {
    flow: Flow,
    window: Window,
    sent: u64,
    in_flight: BTreeMap<u64, Instant>,
    smoothed: Duration,
    /// Pacing, as quinn does it: a window and a quarter in a round trip.
    next: Instant,
    wakes_at: Option<Instant>,
    unacknowledged: Vec<u64>,
    acknowledged_at: Instant,
    delivered: u64,
    delivered_while_all: u64,
    lost: u64,
    queued: Vec<Duration>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { flow: usize, packet: u64, queued: Duration },
    AckDue { flow: usize },
    Acked { flow: usize, packets: Vec<u64> },
    Wakes { flow: usize },
    TimesOut { flow: usize, packet: u64 },
    Speed { kbit_s: u64 },
}

struct World {
    path: Path,
    now: Instant,
    start: Instant,
    /// When the link has sent all that is queued.
    free_at: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    count: u64,
    seed: u64,
    senders: Vec<Sender>,
}

impl Path {
    pub(super) fn run(self, flows: &[Flow], secs: u64) -> Vec<Outcome> {
        self.run_with(flows, secs, &[])
    }

    #[expect(clippy::disallowed_methods, reason = "any start will do: only differences count")]
    /// `speeds`: at which second the path changes to how many kbit/s.
    pub(super) fn run_with(self, flows: &[Flow], secs: u64, speeds: &[(u64, u64)]) -> Vec<Outcome> {
        let start = Instant::now();
        let mut world = World {
            path: self,
            now: start,
            start,
            free_at: start,
            events: BinaryHeap::new(),
            count: 0,
            seed: 0x9e37_79b9_7f4a_7c15,
            senders: flows.iter().map(|flow| Sender::new(*flow, start)).collect(),
        };
        for (number, flow) in flows.iter().enumerate() {
            world.at(start + flow.from, Event::Wakes { flow: number });
        }
        for (second, kbit_s) in speeds {
            world.at(start + Duration::from_secs(*second), Event::Speed { kbit_s: *kbit_s });
        }
        let end = start + Duration::from_secs(secs);
        while let Some(Reverse((now, _, event))) = world.events.pop().filter(|Reverse((now, ..))| *now <= end) {
            world.now = now;
            world.handle(event);
        }
        world.outcomes()
    }
}

impl Sender {
    fn new(flow: Flow, start: Instant) -> Self {
        let from = start + flow.from;
        Self {
            flow,
            window: match flow.kind {
                Kind::Ours => Window::Ours(Box::new(Model::new(from, INITIAL_WINDOW, 1400))),
                Kind::Cubic => Window::SlowStart(INITIAL_WINDOW),
            },
            sent: 0,
            in_flight: BTreeMap::new(),
            smoothed: Duration::from_millis(100),
            next: from,
            wakes_at: None,
            unacknowledged: Vec::new(),
            acknowledged_at: from,
            delivered: 0,
            delivered_while_all: 0,
            lost: 0,
            queued: Vec::new(),
        }
    }

    fn window(&self) -> u64 {
        match &self.window {
            Window::Ours(model) => model.window(),
            Window::SlowStart(window) => *window,
            Window::Cubic(cubic) => cubic.window(),
        }
    }

    fn flying(&self) -> u64 {
        u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX) * PACKET
    }

    fn acked(&mut self, now: Instant, sent: Instant) {
        let rtt = now - sent;
        self.smoothed = (self.smoothed * 7 + rtt) / 8;
        match &mut self.window {
            Window::Ours(model) => model.on_ack(now, sent, PACKET, false),
            Window::SlowStart(window) => *window += PACKET,
            Window::Cubic(cubic) => cubic.on_ack(now, sent, PACKET, self.smoothed),
        }
    }

    /// Takes packets out of flight that were lost.
    fn lose(&mut self, now: Instant, packets: &[u64]) {
        let Some(last) = packets.iter().filter_map(|packet| self.in_flight.remove(packet)).max() else { return };
        let bytes = packets.iter().map(|_| PACKET).sum::<u64>();
        self.lost += bytes;
        match &mut self.window {
            Window::Ours(model) => model.on_loss(now, last, bytes, false),
            Window::SlowStart(window) => {
                let mut cubic = Cubic::new(last, *window, PACKET);
                cubic.on_loss(now, last);
                self.window = Window::Cubic(cubic);
            }
            Window::Cubic(cubic) => cubic.on_loss(now, last),
        }
    }
}

impl World {
    fn at(&mut self, when: Instant, event: Event) {
        self.count += 1;
        self.events.push(Reverse((when, self.count, event)));
    }

    /// Below 1 (xorshift64).
    fn chance(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        f64::from(u32::try_from(self.seed >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Speed { kbit_s } => self.path.bits_s = kbit_s as f64 * 1e3,
            Event::Arrives { flow, packet, queued } => self.arrives(flow, packet, queued),
            Event::AckDue { flow } => self.acknowledge(flow),
            Event::Acked { flow, packets } => self.acked(flow, &packets),
            Event::TimesOut { flow, packet } => {
                let sender = &mut self.senders[flow];
                if sender.in_flight.contains_key(&packet) && now >= sender.acknowledged_at + TIMEOUT {
                    let all = sender.in_flight.keys().copied().collect::<Vec<_>>();
                    sender.lose(now, &all);
                }
                self.send(flow);
            }
            Event::Wakes { flow } => {
                self.senders[flow].wakes_at = None;
                self.send(flow);
            }
        }
    }

    fn arrives(&mut self, flow: usize, packet: u64, queued: Duration) {
        let at = self.now - self.start;
        let all_send = self.senders.iter().all(|sender| (sender.flow.from..sender.flow.to).contains(&at));
        let sender = &mut self.senders[flow];
        sender.queued.push(queued);
        sender.delivered += PACKET;
        sender.delivered_while_all += if all_send { PACKET } else { 0 };
        sender.unacknowledged.push(packet);
        if sender.unacknowledged.len() > 1 {
            self.acknowledge(flow);
        } else {
            self.at(self.now + ACK_DELAY, Event::AckDue { flow });
        }
    }

    fn acknowledge(&mut self, flow: usize) {
        let jitter = Duration::from_millis(1).mul_f64(self.chance());
        let sender = &mut self.senders[flow];
        if sender.unacknowledged.is_empty() {
            return;
        }
        let packets = std::mem::take(&mut sender.unacknowledged);
        // In order, however late.
        let arrives = (self.now + self.path.rtt / 2 + jitter).max(sender.acknowledged_at);
        sender.acknowledged_at = arrives;
        self.at(arrives, Event::Acked { flow, packets });
    }

    fn acked(&mut self, flow: usize, packets: &[u64]) {
        let sender = &mut self.senders[flow];
        let mut newest = 0;
        for packet in packets {
            if let Some(sent) = sender.in_flight.remove(packet) {
                newest = newest.max(*packet);
                sender.acked(self.now, sent);
            }
        }
        let before = newest.saturating_sub(REORDERED - 1);
        let lost = sender.in_flight.range(..before).map(|(packet, _)| *packet).collect::<Vec<_>>();
        sender.lose(self.now, &lost);
        let flying = sender.flying();
        if let Window::Ours(model) = &mut sender.window {
            model.set_in_flight(flying);
        }
        self.send(flow);
    }

    fn send(&mut self, flow: usize) {
        let now = self.now;
        while now < self.start + self.senders[flow].flow.to {
            let sender = &mut self.senders[flow];
            let window = sender.window();
            if sender.flying() + PACKET > window {
                return;
            }
            if sender.next > now {
                let next = sender.next;
                if sender.wakes_at.replace(next) != Some(next) {
                    self.at(next, Event::Wakes { flow });
                }
                return;
            }
            let gap = sender.smoothed.mul_f64(PACKET as f64 / (window as f64 * 1.25));
            let burst = (gap * 10).min(Duration::from_millis(2));
            sender.next = now.checked_sub(burst).map_or(sender.next, |since| sender.next.max(since)) + gap;
            if let Window::Ours(model) = &mut sender.window {
                model.on_sent(now, PACKET);
            }
            sender.sent += 1;
            let packet = sender.sent;
            sender.in_flight.insert(packet, now);
            self.carry(flow, packet);
        }
    }

    /// Over the bottleneck: into the queue, if there is room, and out at its end.
    fn carry(&mut self, flow: usize, packet: u64) {
        let now = self.now;
        let queued = self.free_at.saturating_duration_since(now);
        self.at(now + queued + self.path.rtt + TIMEOUT, Event::TimesOut { flow, packet });
        if queued.as_secs_f64() * self.path.bits_s / 8.0 + PACKET as f64 > self.path.queue_bytes as f64 {
            return;
        }
        self.free_at = self.free_at.max(now) + Duration::from_secs_f64(PACKET as f64 * 8.0 / self.path.bits_s);
        if self.chance() >= self.path.loss {
            self.at(self.free_at + self.path.rtt / 2, Event::Arrives { flow, packet, queued });
        }
    }

    fn outcomes(mut self) -> Vec<Outcome> {
        let together = self.senders.iter().map(|sender| sender.delivered_while_all).sum::<u64>().max(1) as f64;
        let outcome = |sender: &mut Sender| {
            sender.queued.sort_unstable();
            let quantile =
                |percent: usize| sender.queued.get(sender.queued.len() * percent / 100).copied().unwrap_or_default();
            Outcome {
                bits_s: sender.delivered as f64 * 8.0 / (sender.flow.to - sender.flow.from).as_secs_f64(),
                share_while_all: sender.delivered_while_all as f64 / together,
                queued_p50: quantile(50),
                queued_p95: quantile(95),
                lost: sender.lost as f64 / (sender.sent.max(1) * PACKET) as f64,
            }
        };
        self.senders.iter_mut().map(outcome).collect()
    }
}
