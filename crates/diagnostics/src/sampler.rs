//! When the next sample is due, and what becomes of the ones that nobody had time to send.

use std::time::Duration;

use wire::{
    diagnostics::{DeltaEncoder, Snapshot, StreamFrame, View},
    time::{BEAT, Moment},
};

use crate::{
    collector::Wanted,
    governor::{Governor, Intervals, Observed},
    privacy::Cleared,
};

/// Shortest time between samples.
pub const MIN_PERIOD: Duration = Duration::from_millis(250);
/// Longest time between samples.
pub const MAX_PERIOD: Duration = Duration::from_secs(60);

/// Paces one diagnostics stream: collect, send, wait, and again.
///
/// It does nothing itself. Its shell sleeps until [`Sampler::due_at`], then calls [`Sampler::start`]; where that says
/// [`Due::Collect`] it has the collector measure what [`Sampler::wanted`] says on a thread that may block, hands the sample to
/// [`Sampler::collected`], sends the frame, and reports [`Sampler::sent`]. Its pace is what was asked, or slower where a
/// [`Governor`] finds that measuring costs too much; each sample says which, and why. A sample that falls due before that is skipped and counted, so that a slow
/// connection gets fewer samples and never older ones.
#[derive(Debug)]
pub struct Sampler {
    encoder: DeltaEncoder,
    governor: Governor,
    view: View,
    due_at: Moment,
    /// When the sample that is being collected was due.
    was_due_at: Moment,
    queued: u32,
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
            governor: Governor::new(both(period)),
            view: View::default(),
            due_at: now,
            was_due_at: now,
            queued: 0,
            stage: Stage::Waiting,
            tick: 0,
            skipped: 0,
        }
    }

    /// Changes the time between samples from the next one on; clamped as in [`Sampler::new`].
    pub fn change_period(&mut self, period: Duration, now: Moment) {
        self.governor.ask(both(period));
        self.due_at = self.due_at.min(now + self.governor.intervals().sample);
    }

    /// Changes what is looked at from the next sample on. It begins with everything.
    pub fn change_view(&mut self, view: View) {
        self.view = view;
    }

    /// Says how many messages wait to be sent, for [`wire::diagnostics::Agent::queued`].
    pub fn queued(&mut self, messages: u32) {
        self.queued = messages;
    }

    /// What to collect.
    pub fn wanted(&self) -> Wanted {
        Wanted { view: self.view, processes_every: self.governor.intervals().processes }
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
        let (due_at, period) = (self.due_at, self.governor.intervals().sample);
        // Its own beat is a common one where it can be; never so soon after a late start that there is nothing to measure.
        let whole_beats = period.as_nanos().is_multiple_of(BEAT.as_nanos());
        let beat = |at: Moment, to: fn(Moment) -> Moment| if whole_beats { to(at) } else { at };
        let (next, soonest) = (beat(due_at + period, Moment::nearest_beat), now + period / 2);
        self.due_at = if next >= soonest { next } else { beat(soonest, Moment::next_beat) };
        match self.stage {
            Stage::Waiting => {
                self.was_due_at = due_at;
                self.stage = Stage::Collecting;
                Due::Collect
            }
            Stage::Collecting | Stage::Sending => {
                self.skipped += 1;
                Due::Skip
            }
        }
    }

    /// Numbers the sample that was there at `now` and makes it the frame to send.
    pub fn collected(&mut self, sample: Cleared<Snapshot>, now: Moment) -> StreamFrame {
        let mut sample = sample.into_inner();
        self.stage = Stage::Sending;
        self.tick += 1;
        sample.tick = self.tick;
        sample.skipped = self.skipped;
        sample.agent.queued = self.queued;
        sample.agent.lag_ms = u32::try_from((now - self.was_due_at).as_millis()).unwrap_or(u32::MAX);
        self.governor.observe(Observed::from(&sample), now);
        sample.pace = self.governor.pace();
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

/// The intervals of a stream of `period`: of everything the same.
fn both(period: Duration) -> Intervals {
    let period = period.clamp(MIN_PERIOD, MAX_PERIOD);
    Intervals { sample: period, processes: period }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wire::diagnostics::{PaceReason, Panels, Pressure};

    use super::*;
    use crate::{Privacy, Roots, Scopes};

    fn at(millis: u64) -> Moment {
        Moment::from_origin(Duration::from_millis(millis))
    }

    /// A sample of which nothing has to be cleared.
    fn nothing() -> Cleared<Snapshot> {
        cleared(Snapshot::default())
    }

    fn cleared(sample: Snapshot) -> Cleared<Snapshot> {
        Privacy::new(&Roots::under(Path::new("/nonexistent"))).clear(sample, Scopes::default())
    }

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    #[test]
    fn a_stream_starts_at_once_and_goes_on_once_a_period() {
        let mut sampler = Sampler::new(second(), at(5_000));
        assert_eq!(sampler.start(at(5_000)), Due::Collect);
        assert!(matches!(sampler.collected(nothing(), at(0)), StreamFrame::Key(_)));
        sampler.sent();
        assert_eq!(sampler.start(at(5_999)), Due::NotYet);
        assert_eq!(sampler.start(at(6_003)), Due::Collect);
        assert!(matches!(sampler.collected(nothing(), at(0)), StreamFrame::Delta(_)));
        assert_eq!(sampler.due_at(), at(7_000), "a late wake does not shift the beat");
    }

    #[test]
    fn samples_of_every_stream_fall_due_at_common_beats() {
        let mut sampler = Sampler::new(second(), at(5_630));
        assert_eq!(sampler.start(at(5_630)), Due::Collect);
        assert_eq!(sampler.due_at(), at(6_750), "the beat nearest to a second later");
        sampler.start(at(6_752));
        assert_eq!(sampler.due_at(), at(7_750));
        sampler.start(at(9_480));
        assert_eq!(sampler.due_at(), at(10_000), "half a second is over by the next beat");
        let mut odd = Sampler::new(Duration::from_millis(1100), at(5_630));
        odd.start(at(5_630));
        assert_eq!(odd.due_at(), at(6_730), "a period that is not made of beats is kept as it is");
    }

    #[test]
    fn a_sample_that_falls_due_before_the_last_one_is_sent_is_skipped_and_counted() {
        let mut sampler = Sampler::new(second(), at(0));
        assert_eq!(sampler.start(at(0)), Due::Collect);
        assert_eq!(sampler.start(at(1_000)), Due::Skip, "still collecting");
        sampler.collected(nothing(), at(0));
        assert_eq!(sampler.start(at(2_000)), Due::Skip, "still sending");
        sampler.sent();
        assert_eq!(sampler.start(at(3_000)), Due::Collect);

        let mut decoder = wire::diagnostics::DeltaDecoder::new();
        let mut other = Sampler::new(second(), at(0));
        other.skipped = sampler.skipped;
        decoder.apply(other.collected(nothing(), at(0))).unwrap();
        assert_eq!(decoder.sample().unwrap().skipped, 2);
    }

    #[test]
    fn after_a_lost_frame_the_next_sample_is_sent_in_full() {
        let mut sampler = Sampler::new(second(), at(0));
        for (when, delta) in [(0, false), (1_000, true)] {
            assert_eq!(sampler.start(at(when)), Due::Collect);
            assert_eq!(matches!(sampler.collected(nothing(), at(0)), StreamFrame::Delta(_)), delta);
            sampler.sent();
        }
        sampler.start(at(2_000));
        sampler.lost();
        assert_eq!(sampler.start(at(3_000)), Due::Collect);
        let frame = sampler.collected(nothing(), at(0));
        let StreamFrame::Key(sample) = frame else { panic!("{frame:?} is not a keyframe") };
        assert_eq!((sample.tick, sample.skipped), (3, 1));
    }

    #[test]
    fn what_fell_due_while_the_machine_slept_is_not_made_up_for() {
        let mut sampler = Sampler::new(second(), at(0));
        assert_eq!(sampler.start(at(3_600_000)), Due::Collect);
        sampler.collected(nothing(), at(0));
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
    fn a_busy_machine_is_asked_less_often_and_the_sample_says_why() {
        let mut sampler = Sampler::new(second(), at(0));
        assert_eq!(sampler.start(at(0)), Due::Collect);
        let pressure = Some(Pressure { cpu_some_centi: 5000, ..Pressure::default() });
        let frame = sampler.collected(cleared(Snapshot { pressure, ..Snapshot::default() }), at(30));
        let StreamFrame::Key(sample) = frame else { panic!("{frame:?} is not a keyframe") };
        assert_eq!((sample.pace.sample_ms, sample.pace.reason), (2000, PaceReason::CpuPressure));
        assert_eq!(sampler.wanted().processes_every, 2 * second());
        sampler.sent();
        assert_eq!((sampler.start(at(1_000)), sampler.due_at()), (Due::Collect, at(3_000)));
    }

    #[test]
    fn a_sample_says_how_late_it_was_and_what_waited() {
        let mut sampler = Sampler::new(second(), at(0));
        sampler.start(at(0));
        sampler.collected(nothing(), at(0));
        sampler.sent();
        sampler.queued(3);
        sampler.change_view(Panels::OVERVIEW.into());
        assert_eq!(sampler.wanted().view.panels, Panels::OVERVIEW);
        assert_eq!(sampler.start(at(1_064)), Due::Collect);
        sampler.collected(nothing(), at(1_128));
        let agent = sampler.encoder.sent().unwrap().agent;
        assert_eq!((agent.queued, agent.lag_ms), (3, 128));
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
