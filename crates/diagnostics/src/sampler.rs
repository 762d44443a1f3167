//! When the next sample is due, and what becomes of the ones that nobody had time to send.

use std::time::Duration;

use wire::{
    diagnostics::{DeltaEncoder, Snapshot, StreamFrame},
    time::Moment,
};

/// Shortest time between samples.
pub const MIN_PERIOD: Duration = Duration::from_millis(250);
/// Longest time between samples.
pub const MAX_PERIOD: Duration = Duration::from_secs(60);

/// Paces one diagnostics stream: collect, send, wait, and again.
///
/// It does nothing itself. Its shell sleeps until [`Sampler::due_at`], then calls [`Sampler::start`]; where that says
/// [`Due::Collect`] it runs the collector on a thread that may block, hands the sample to [`Sampler::collected`], sends the
/// frame, and reports [`Sampler::sent`]. A sample that falls due before that is skipped and counted, so that a slow
/// connection gets fewer samples and never older ones.
#[derive(Debug)]
pub struct Sampler {
    encoder: DeltaEncoder,
    period: Duration,
    due_at: Moment,
    stage: Stage,
    tick: u64,
    skipped: u64,
}

/// What to do when a sample is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Not yet: sleep until [`Sampler::due_at`].
    NotYet,
    /// Collect one now.
    Collect,
    /// The sample before is still being collected or sent. This one was skipped and counted.
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Collecting,
    Sending,
}

impl Sampler {
    /// A stream whose first sample is due at `now`. `period` is clamped to [`MIN_PERIOD`]..=[`MAX_PERIOD`].
    pub fn new(period: Duration, now: Moment) -> Self {
        Self {
            encoder: DeltaEncoder::new(),
            period: period.clamp(MIN_PERIOD, MAX_PERIOD),
            due_at: now,
            stage: Stage::Waiting,
            tick: 0,
            skipped: 0,
        }
    }

    /// Changes the time between samples from the next one on; clamped as in [`Sampler::new`].
    pub fn change_period(&mut self, period: Duration, now: Moment) {
        self.period = period.clamp(MIN_PERIOD, MAX_PERIOD);
        self.due_at = self.due_at.min(now + self.period);
    }

    /// When to call [`Sampler::start`] next.
    pub fn due_at(&self) -> Moment {
        self.due_at
    }

    /// Starts the sample that is due at `now`, if one is.
    ///
    /// Samples that fell due while nobody called, as when the machine was asleep, are not made up for.
    pub fn start(&mut self, now: Moment) -> Due {
        if now < self.due_at {
            return Due::NotYet;
        }
        // On the beat, but never so soon after a late start that there is nothing to measure.
        self.due_at = (self.due_at + self.period).max(now + self.period / 2);
        match self.stage {
            Stage::Waiting => {
                self.stage = Stage::Collecting;
                Due::Collect
            }
            Stage::Collecting | Stage::Sending => {
                self.skipped += 1;
                Due::Skip
            }
        }
    }

    /// Numbers the sample that was collected and makes it the frame to send.
    pub fn collected(&mut self, mut sample: Snapshot) -> StreamFrame {
        self.stage = Stage::Sending;
        self.tick += 1;
        sample.tick = self.tick;
        sample.skipped = self.skipped;
        self.encoder.encode(&sample)
    }

    /// Says that the frame is on its way: the connection took all of it.
    pub fn sent(&mut self) {
        self.stage = Stage::Waiting;
    }

    /// Says that the sample could not be collected or its frame was dropped: it counts as skipped, and the next one is sent in
    /// full.
    pub fn lost(&mut self) {
        self.stage = Stage::Waiting;
        self.skipped += 1;
        self.encoder.restart();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    #[test]
    fn a_stream_starts_at_once_and_goes_on_once_a_period() {
        let mut sampler = Sampler::new(second(), at(5_000));
        assert_eq!(sampler.start(at(5_000)), Due::Collect);
        assert!(matches!(sampler.collected(Snapshot::default()), StreamFrame::Key(_)));
        sampler.sent();
        assert_eq!(sampler.start(at(5_999)), Due::NotYet);
        assert_eq!(sampler.start(at(6_003)), Due::Collect);
        assert!(matches!(sampler.collected(Snapshot::default()), StreamFrame::Delta(_)));
        assert_eq!(sampler.due_at(), at(7_000), "a late wake does not shift the beat");
    }

    #[test]
    fn a_sample_that_falls_due_before_the_last_one_is_sent_is_skipped_and_counted() {
        let mut sampler = Sampler::new(second(), at(0));
        assert_eq!(sampler.start(at(0)), Due::Collect);
        assert_eq!(sampler.start(at(1_000)), Due::Skip, "still collecting");
        sampler.collected(Snapshot::default());
        assert_eq!(sampler.start(at(2_000)), Due::Skip, "still sending");
        sampler.sent();
        assert_eq!(sampler.start(at(3_000)), Due::Collect);

        let mut decoder = wire::diagnostics::DeltaDecoder::new();
        let mut other = Sampler::new(second(), at(0));
        other.skipped = sampler.skipped;
        decoder.apply(other.collected(Snapshot::default())).unwrap();
        assert_eq!(decoder.sample().unwrap().skipped, 2);
    }

    #[test]
    fn after_a_lost_frame_the_next_sample_is_sent_in_full() {
        let mut sampler = Sampler::new(second(), at(0));
        for (when, delta) in [(0, false), (1_000, true)] {
            assert_eq!(sampler.start(at(when)), Due::Collect);
            assert_eq!(matches!(sampler.collected(Snapshot::default()), StreamFrame::Delta(_)), delta);
            sampler.sent();
        }
        sampler.start(at(2_000));
        sampler.lost();
        assert_eq!(sampler.start(at(3_000)), Due::Collect);
        let frame = sampler.collected(Snapshot::default());
        let StreamFrame::Key(sample) = frame else { panic!("{frame:?} is not a keyframe") };
        assert_eq!((sample.tick, sample.skipped), (3, 1));
    }

    #[test]
    fn what_fell_due_while_the_machine_slept_is_not_made_up_for() {
        let mut sampler = Sampler::new(second(), at(0));
        assert_eq!(sampler.start(at(3_600_000)), Due::Collect);
        sampler.collected(Snapshot::default());
        sampler.sent();
        assert_eq!(sampler.start(at(3_600_001)), Due::NotYet);
        assert_eq!(sampler.due_at(), at(3_600_500));
    }

    #[test]
    fn after_a_late_start_the_next_sample_still_has_a_time_to_cover() {
        let mut sampler = Sampler::new(MIN_PERIOD, at(0));
        sampler.start(at(249));
        assert!(sampler.due_at() - at(249) >= crate::MIN_INTERVAL);
    }

    #[test]
    fn no_peer_can_ask_for_more_than_four_samples_a_second() {
        let mut sampler = Sampler::new(Duration::ZERO, at(0));
        assert_eq!(sampler.start(at(0)), Due::Collect);
        assert_eq!(sampler.due_at(), at(250));
        sampler.change_period(Duration::MAX, at(0));
        assert_eq!(sampler.due_at(), at(250), "a longer period begins after the sample that is due");
        sampler.change_period(Duration::ZERO, at(100));
        assert_eq!(sampler.due_at(), at(250));
    }
}
