//! A controller that starts afresh when the technician changes its path.
//!
//! On the agent's side a new path is a new address, and quinn starts everything afresh by itself. The technician, as QUIC client, may
//! not show quinn another address. It counts its changes of path in a number that this controller watches.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, ControllerMetrics},
};

/// Makes the controller of one session, which has a new one of `each` for each path; `changes` counts that session's changes of path.
#[derive(Debug)]
pub(crate) struct AfreshOnChange<F> {
    pub(crate) changes: Arc<AtomicU64>,
    pub(crate) each: Arc<F>,
}

impl<F: ControllerFactory + Send + Sync + 'static> ControllerFactory for AfreshOnChange<F> {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let seen = self.changes.load(Ordering::Relaxed);
        let inner = Arc::clone(&self.each).build(now, current_mtu);
        let path = Afresh { seen, since: now, inner, in_flight: 0, elsewhere: 0, mtu: current_mtu };
        Box::new(EpochController { changes: Arc::clone(&self.changes), each: Arc::clone(&self.each), path })
    }
}

struct EpochController<F> {
    changes: Arc<AtomicU64>,
    each: Arc<F>,
    path: Afresh,
}

/// What is known since the last change.
struct Afresh {
    seen: u64,
    since: Instant,
    inner: Box<dyn Controller>,
    in_flight: u64,
    /// Part of what is in flight that was sent by an earlier path.
    ///
    /// quinn compares all of it with the window, so without this credit the new path would stand still until the old one has
    /// answered, which it may never do.
    elsewhere: u64,
    mtu: u16,
}

impl<F: ControllerFactory> EpochController<F> {
    fn keep_up(&mut self, now: Instant) {
        let changes = self.changes.load(Ordering::Relaxed);
        let path = &mut self.path;
        if changes != path.seen {
            path.seen = changes;
            path.since = now;
            path.elsewhere = path.in_flight;
            path.inner = Arc::clone(&self.each).build(now, path.mtu);
        }
    }

    fn landed(&mut self, sent: Instant, bytes: u64) -> Option<&mut dyn Controller> {
        let path = &mut self.path;
        path.in_flight = path.in_flight.saturating_sub(bytes);
        if sent < path.since {
            path.elsewhere = path.elsewhere.saturating_sub(bytes);
            return None;
        }
        Some(path.inner.as_mut())
    }
}

impl<F: ControllerFactory + Send + Sync + 'static> Controller for EpochController<F> {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.keep_up(now);
        self.path.in_flight += bytes;
        self.path.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, rtt: &RttEstimator) {
        self.keep_up(now);
        // What the old path delivered says nothing about the new one.
        if let Some(inner) = self.landed(sent, bytes) {
            inner.on_ack(now, sent, bytes, app_limited, rtt);
        }
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.keep_up(now);
        // quinn knows better: what it gave up by other ways than loss is told nobody.
        self.path.in_flight = in_flight;
        self.path.elsewhere = self.path.elsewhere.min(in_flight);
        self.path.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost_bytes: u64) {
        self.keep_up(now);
        if let Some(inner) = self.landed(sent, lost_bytes) {
            inner.on_congestion_event(now, sent, persistent, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.path.mtu = new_mtu;
        self.path.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        let path = &self.path;
        if self.changes.load(Ordering::Relaxed) != path.seen {
            // quinn asks before it tells of anything: answer as if the change were known.
            return path.inner.initial_window() + path.in_flight;
        }
        path.inner.window() + path.elsewhere
    }

    fn metrics(&self) -> ControllerMetrics {
        self.path.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let path = &self.path;
        let inner = path.inner.clone_box();
        let (changes, each) = (Arc::clone(&self.changes), Arc::clone(&self.each));
        Box::new(Self { changes, each, path: Afresh { inner, ..*path } })
    }

    fn initial_window(&self) -> u64 {
        self.path.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quinn_proto::congestion::CubicConfig;

    use super::*;

    const INITIAL_WINDOW_BYTES: u64 = 24_000;

    const MS: Duration = Duration::from_millis(1);

    struct Sender {
        changes: Arc<AtomicU64>,
        controller: Box<dyn Controller>,
        start: Instant,
    }

    impl Sender {
        #[expect(clippy::disallowed_methods, reason = "an origin to count from; time moves by arithmetic")]
        fn new() -> Self {
            let changes = Arc::new(AtomicU64::new(0));
            let start = Instant::now();
            // One that a single loss moves.
            let mut each = CubicConfig::default();
            each.initial_window(INITIAL_WINDOW_BYTES);
            let factory = Arc::new(AfreshOnChange { changes: Arc::clone(&changes), each: Arc::new(each) });
            Self { changes, controller: factory.build(start, 1200), start }
        }

        fn change(&self) {
            self.changes.fetch_add(1, Ordering::Relaxed);
        }

        fn lose(&mut self, sent: Duration, now: Duration, bytes: u64) {
            self.controller.on_congestion_event(self.start + now, self.start + sent, false, bytes);
        }
    }

    #[test]
    fn a_new_path_starts_with_a_fresh_window_and_a_credit_for_what_is_under_way() {
        let mut sender = Sender::new();
        sender.controller.on_sent(sender.start, 20_000, 1);
        sender.lose(Duration::ZERO, 50 * MS, 1_000);
        assert!(sender.controller.window() < INITIAL_WINDOW_BYTES);

        sender.change();
        assert_eq!(sender.controller.window(), INITIAL_WINDOW_BYTES + 19_000);
        sender.controller.on_sent(sender.start + 60 * MS, 1_200, 2);
        assert_eq!(sender.controller.window(), INITIAL_WINDOW_BYTES + 19_000);
    }

    #[test]
    fn what_the_old_path_loses_costs_the_new_one_nothing_but_the_credit() {
        let mut sender = Sender::new();
        sender.controller.on_sent(sender.start, 20_000, 1);
        sender.change();
        sender.controller.on_sent(sender.start + 10 * MS, 5_000, 2);
        sender.lose(Duration::ZERO, 100 * MS, 20_000);
        assert_eq!(sender.controller.window(), INITIAL_WINDOW_BYTES);
        sender.lose(10 * MS, 110 * MS, 1_200);
        assert!(sender.controller.window() < INITIAL_WINDOW_BYTES, "its own loss counts");
    }

    #[test]
    fn the_credit_is_never_more_than_what_is_in_flight() {
        let mut sender = Sender::new();
        sender.controller.on_sent(sender.start, 20_000, 1);
        sender.change();
        sender.controller.on_end_acks(sender.start + 20 * MS, 3_000, false, None);
        assert_eq!(sender.controller.window(), INITIAL_WINDOW_BYTES + 3_000);
    }

    #[test]
    fn a_copy_goes_on_from_the_same_state() {
        let mut sender = Sender::new();
        sender.controller.on_sent(sender.start, 20_000, 1);
        sender.change();
        let copy = sender.controller.clone_box();
        assert_eq!(copy.window(), sender.controller.window());
    }
}
