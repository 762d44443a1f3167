//! A view whose times go on running after it was made.
//!
//! A view says "4 minutes left" and may be shown long afterwards: to a page that was reloaded, or because nothing else changed.
//! It may also be published again with nothing new in it but one line of what happened. So each time is tied to the moment
//! at which its value was first seen, and [`Aged::at`] gives the view as it has to read now.

use std::time::Duration;

use wire::{
    ids::{GrantId, RunId},
    time::Moment,
};

use crate::view::{Phase, View};

/// What a time belongs to. A time with another owner is another time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner {
    Code(String),
    Pause,
    Grant(GrantId),
    Unlock(u32),
    Answer(u32),
    Run(RunId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    Down,
    Up,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Aged {
    view: View,
    /// Each time of the view: whose it is, its value in milliseconds, and since when it has had that value.
    seen: Vec<(Owner, u64, Moment)>,
}

impl Aged {
    pub(crate) fn new(view: View, now: Moment) -> Self {
        let mut aged = Self { view, seen: Vec::new() };
        aged.tie(now);
        aged
    }

    /// Takes the next view. A time that it repeats unchanged is the old one, which has been running meanwhile.
    pub(crate) fn update(&mut self, view: View, now: Moment) {
        self.view = view;
        self.tie(now);
    }

    /// The view as it was made.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// The view with every time as it is at `now`.
    pub(crate) fn at(&self, now: Moment) -> View {
        let mut view = self.view.clone();
        for_each_time(&mut view, |owner, runs, value| {
            let since = self.seen.iter().find(|(seen, ..)| *seen == owner).map_or(now, |(.., since)| *since);
            let passed = milliseconds(now - since);
            *value = match runs {
                Runs::Down => value.saturating_sub(passed),
                Runs::Up => value.saturating_add(passed),
            };
        });
        view
    }

    /// Whether `view`, made at `now`, reads as this one does by then. Times that only went on running are no news.
    pub(crate) fn reads_as(&self, view: &View, now: Moment) -> bool {
        let (mut mine, mut theirs) = (self.at(now), view.clone());
        let (my_times, their_times) = (take_times(&mut mine), take_times(&mut theirs));
        let same = |((my_owner, mine), (their_owner, theirs)): (&(Owner, u64), &(Owner, u64))| {
            my_owner == their_owner && mine.abs_diff(*theirs) <= ROUNDING_MS
        };
        mine == theirs && my_times.len() == their_times.len() && my_times.iter().zip(&their_times).all(same)
    }

    fn tie(&mut self, now: Moment) {
        let before = std::mem::take(&mut self.seen);
        let seen = &mut self.seen;
        for_each_time(&mut self.view, |owner, _, value| {
            let same = before.iter().find(|(seen, old, _)| *seen == owner && old == value);
            let since = same.map_or(now, |(.., since)| *since);
            seen.push((owner, *value, since));
        });
    }
}

/// Whole milliseconds of two moments and of the time between them differ by so much at most.
const ROUNDING_MS: u64 = 2;

/// The times of a view, which has none afterwards.
fn take_times(view: &mut View) -> Vec<(Owner, u64)> {
    let mut times = Vec::new();
    for_each_time(view, |owner, _, value| times.push((owner, std::mem::take(value))));
    times
}

fn for_each_time(view: &mut View, mut each: impl FnMut(Owner, Runs, &mut u64)) {
    match &mut view.phase {
        Phase::Waiting { code, expires_in_ms } => each(Owner::Code(code.clone()), Runs::Down, expires_in_ms),
        Phase::Paused { ends_in_ms } => each(Owner::Pause, Runs::Down, ends_in_ms),
        Phase::Connecting { .. } | Phase::CodeVoid { .. } | Phase::Asking | Phase::Live | Phase::Ended { .. } => {}
    }
    for grant in &mut view.grants {
        each(Owner::Grant(grant.grant), Runs::Down, &mut grant.remaining_ms);
    }
    if let Some(prompt) = &mut view.prompt {
        each(Owner::Unlock(prompt.prompt), Runs::Down, &mut prompt.unlocks_in_ms);
        each(Owner::Answer(prompt.prompt), Runs::Down, &mut prompt.answer_within_ms);
    }
    for run in &mut view.runs {
        each(Owner::Run(run.run), Runs::Up, &mut run.running_ms);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::samples;

    fn at(secs: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(secs))
    }

    #[test]
    fn times_go_on_running_in_a_view_that_is_shown_late() {
        let aged = Aged::new(samples::live_with_run_prompt(), at(100));
        let view = aged.at(at(104));
        let prompt = view.prompt.unwrap();
        assert_eq!((prompt.unlocks_in_ms, prompt.answer_within_ms), (6_000, 56_000));
        assert_eq!(view.grants[0].remaining_ms, samples::GRANT_MS - 4_000);
        assert_eq!(view.runs[0].running_ms, samples::RUNNING_MS + 4_000);
    }

    #[test]
    fn a_view_that_repeats_a_time_does_not_wind_it_back() {
        let mut aged = Aged::new(samples::waiting(), at(100));
        let mut again = samples::waiting();
        again.notice = Some("Somebody typed a wrong code.".into());
        aged.update(again, at(130));
        let Phase::Waiting { expires_in_ms, .. } = aged.at(at(130)).phase else { panic!("still waiting") };
        assert_eq!(expires_in_ms, samples::CODE_MS - 30_000);
    }

    #[test]
    fn a_time_that_was_told_anew_counts_from_then() {
        let mut aged = Aged::new(samples::live_with_run_prompt(), at(100));
        let mut next = samples::live_with_run_prompt();
        next.prompt.as_mut().unwrap().answer_within_ms = 30_000;
        aged.update(next, at(130));
        assert_eq!(aged.at(at(131)).prompt.unwrap().answer_within_ms, 29_000);
    }

    #[test]
    fn times_that_went_on_running_are_no_news_and_everything_else_is() {
        let aged = Aged::new(samples::live_with_run_prompt(), at(100));
        let later = aged.at(at(103));
        assert!(aged.reads_as(&later, at(103)));
        assert!(!aged.reads_as(&later, at(104)), "its times stood still for a second");
        let mut other = later.clone();
        other.prompts_waiting += 1;
        assert!(!aged.reads_as(&other, at(103)));
        let mut longer = later.clone();
        longer.grants[0].remaining_ms += 1000;
        assert!(!aged.reads_as(&longer, at(103)));
        let mut fewer = later;
        fewer.runs.pop();
        assert!(!aged.reads_as(&fewer, at(103)));
    }

    #[test]
    fn another_question_has_times_of_its_own() {
        let mut aged = Aged::new(samples::live_with_run_prompt(), at(100));
        let mut next = samples::live_with_run_prompt();
        next.prompt.as_mut().unwrap().prompt += 1;
        aged.update(next, at(130));
        assert_eq!(aged.at(at(130)).prompt.unwrap().unlocks_in_ms, 10_000);
    }

    #[test]
    fn no_time_falls_below_zero() {
        let aged = Aged::new(samples::live_with_run_prompt(), at(0));
        let view = aged.at(at(1_000_000));
        assert_eq!(view.grants[0].remaining_ms, 0);
        assert_eq!(view.prompt.unwrap().answer_within_ms, 0);
    }
}
