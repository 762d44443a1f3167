//! CUBIC (RFC 9438), for the time in which a path is shared with somebody who fills its queue.

use std::time::{Duration, Instant};

/// RFC 9438 section 4.6.
const BETA: f64 = 0.7;
/// RFC 9438 section 5.1, in packets per second cubed.
const C: f64 = 0.4;

/// A window that starts in congestion avoidance: slow start is not this one's business.
#[derive(Debug, Clone)]
pub(super) struct Cubic {
    mtu: f64,
    /// In bytes, with the fractions that a single acknowledgement adds.
    window: f64,
    w_max: f64,
    k: f64,
    epoch: Instant,
    /// Window of a Reno flow since then (section 4.3).
    w_est: f64,
    /// Loss of what was sent before this is part of the same event.
    recovery: Instant,
}

impl Cubic {
    pub(super) fn new(now: Instant, window: u64, mtu: u64) -> Self {
        let window = window as f64;
        Self { mtu: mtu as f64, window, w_max: window, k: 0.0, epoch: now, w_est: window, recovery: now }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive, and a fraction of a byte is none"
    )]
    pub(super) fn window(&self) -> u64 {
        self.window as u64
    }

    pub(super) fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, rtt: Duration) {
        if sent < self.recovery {
            return;
        }
        let acked = bytes as f64;
        let t = (now.saturating_duration_since(self.epoch) + rtt).as_secs_f64();
        let cubic = (C * (t - self.k).powi(3)) * self.mtu + self.w_max;
        let alpha = if self.window < self.w_max { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        self.w_est += alpha * acked * self.mtu / self.window;
        let target = cubic.clamp(self.window, self.window * 1.5);
        let grown = self.window + (target - self.window) * acked / self.window;
        self.window = grown.max(self.w_est);
    }

    pub(super) fn on_loss(&mut self, now: Instant, sent: Instant) {
        if sent < self.recovery {
            return;
        }
        self.recovery = now;
        // Fast convergence (section 4.7).
        self.w_max = if self.window < self.w_max { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(2.0 * self.mtu);
        self.k = ((self.w_max - self.window) / self.mtu / C).max(0.0).cbrt();
        self.epoch = now;
        self.w_est = self.window;
    }
}
