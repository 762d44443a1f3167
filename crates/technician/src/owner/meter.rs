//! How fast a session sends and receives, over the last seconds.

use std::{collections::VecDeque, time::Duration};

use wire::time::Moment;

/// Over how long rates are taken: long enough that samples of diagnostics, one a second, make a steady number.
pub(crate) const SPAN: Duration = Duration::from_secs(5);

/// Readings are at least so far apart, so that there are few.
const APART: Duration = Duration::from_millis(500);

/// What was sent and received since the session began, at some moments of the last [`SPAN`].
#[derive(Debug, Default)]
pub(super) struct Meter {
    readings: VecDeque<(Moment, Bytes)>,
    newest: Option<(Moment, Bytes)>,
}

#[derive(Debug, Clone, Copy)]
struct Bytes {
    sent: u64,
    received: u64,
}

/// Bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rates {
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Meter {
    /// Takes in how much has been sent and received so far, in bytes.
    pub(super) fn take(&mut self, sent: u64, received: u64, now: Moment) {
        let bytes = Bytes { sent, received };
        self.newest = Some((now, bytes));
        if self.readings.back().is_none_or(|(at, _)| now - *at >= APART) {
            self.readings.push_back((now, bytes));
        }
        // One from before the span is kept: rates are taken from there.
        while self.readings.get(1).is_some_and(|(at, _)| now - *at >= SPAN) {
            self.readings.pop_front();
        }
    }

    /// The rates at `now`; `None` until there is something to compare with, or when nobody has looked for longer than [`SPAN`].
    pub(super) fn rates(&self, now: Moment) -> Option<Rates> {
        let ((since, first), (until, last)) = (self.readings.front()?, self.newest?);
        let span = until - *since;
        if span < APART || now - until > SPAN {
            return None;
        }
        let rate = |from: u64, to: u64| {
            let bits = u128::from(to.saturating_sub(from)) * 8 * 1_000_000 / span.as_micros().max(1);
            u64::try_from(bits).unwrap_or(u64::MAX)
        };
        Some(Rates { sent: rate(first.sent, last.sent), received: rate(first.received, last.received) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(1000)) + Duration::from_millis(ms)
    }

    #[test]
    fn a_steady_stream_has_its_rate_and_a_first_reading_has_none() {
        let mut meter = Meter::default();
        assert_eq!(meter.rates(at(0)), None);
        meter.take(7, 9, at(0));
        assert_eq!(meter.rates(at(0)), None);
        for quarter in 1..=400 {
            meter.take(7 + quarter * 250, 9 + quarter * 1_000_000, at(quarter * 250));
            assert!(meter.readings.len() <= 12, "{}", meter.readings.len());
        }
        assert_eq!(meter.rates(at(100_000)), Some(Rates { sent: 8_000, received: 32_000_000 }));
    }

    #[test]
    fn what_is_over_is_forgotten_after_the_span() {
        let mut meter = Meter::default();
        meter.take(0, 0, at(0));
        meter.take(0, 5_000_000, at(1000));
        assert_eq!(meter.rates(at(1000)).map(|rates| rates.received), Some(40_000_000));
        for second in 2..=8 {
            meter.take(0, 5_000_000, at(second * 1000));
        }
        assert_eq!(meter.rates(at(8000)), Some(Rates { sent: 0, received: 0 }));
    }

    #[test]
    fn nobody_reads_an_old_rate_and_a_count_that_begins_anew_is_no_rate() {
        let mut meter = Meter::default();
        meter.take(0, 1_000_000, at(0));
        meter.take(0, 0, at(1000));
        assert_eq!(meter.rates(at(1000)), Some(Rates { sent: 0, received: 0 }));
        assert_eq!(meter.rates(at(6001)), None);
    }
}
