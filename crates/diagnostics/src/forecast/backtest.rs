//! How good the predictors are: run over made series whose truth is known, the same every time.
//!
//! There are two sets, with other seeds and other kinds of series. Predictors may be changed until they do well on [`Set::Tuning`];
//! what is told of them comes from [`Set::HeldOut`] alone, which nobody may look at while changing them.

mod disks;
mod levels;
mod memory;
mod random;
mod series;
mod wear;

use std::collections::BTreeSet;

use wire::diagnostics::findings::Forecast;

use super::{
    predict::{Foreseen, Growth, battery_health, disk_full, disk_wear, is_restart, memory_leak},
    trend::Point,
};

use random::Random;
use series::Kind;

const STEP_SECS: u64 = 300;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Which series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Those that predictors may be changed for.
    Tuning,
    /// Those that they are judged by.
    HeldOut,
}

impl Set {
    /// Neither set has a seed of the other.
    fn seed(self, case: u32) -> u64 {
        let from = match self {
            Self::Tuning => 0,
            Self::HeldOut => 1 << 41,
        };
        from + u64::from(case) + 1
    }
}

/// How one predictor did with one kind of series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// Which.
    pub predictor: &'static str,
    /// The kind of series.
    pub series: &'static str,
    /// How many there were.
    pub cases: u32,
    /// Alarms that were followed by what they foretell.
    pub right_alarms: u32,
    /// Alarms about nothing, or much too early. One that clears and comes again counts again.
    pub false_alarms: u32,
    /// Events that were foretold in time.
    pub foretold: u32,
    /// Events that were not.
    pub missed: u32,
    /// What became of the ranges that were told.
    pub ranges: Ranges,
    /// Seconds from each right alarm to the event; from a shift to its finding.
    pub lead_secs: Vec<u64>,
}

/// What became of the ranges that were told while an alarm stood.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ranges {
    /// With two ends, and the truth is known.
    pub told: u32,
    /// Those of them that held it.
    pub held: u32,
    /// Without a latest date.
    pub open: u32,
    /// Those of them that began before the truth, or the series ended before it came.
    pub open_held: u32,
    /// How much later than the earliest date the latest one was, in thousandths, by sum over those with two ends.
    pub width_permille: u64,
}

/// All cases of a predictor together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// Right alarms of all alarms, in thousandths; all of them if there was none.
    pub precision_permille: u32,
    /// Events foretold of all events, in thousandths; all of them if there was none.
    pub recall_permille: u32,
    /// See [`Score::lead_secs`]; none without a right alarm.
    pub median_lead_secs: Option<u64>,
    /// Truths inside their range of all that were told with two ends, in thousandths; none if no range was told.
    pub coverage_permille: Option<u32>,
    /// Ranges without a latest date of all ranges, in thousandths.
    pub open_permille: u32,
    /// How much later than the earliest date the latest one was on average, in thousandths of it; none if no range was told.
    pub width_permille: Option<u64>,
}

impl Total {
    /// Adds up what belongs together.
    pub fn of<'a>(scores: impl Iterator<Item = &'a Score>) -> Self {
        let (mut foretold, mut missed, mut right, mut wrong) = (0, 0, 0, 0);
        let (mut ranges, mut leads) = (Ranges::default(), Vec::new());
        for score in scores {
            foretold += score.foretold;
            missed += score.missed;
            right += score.right_alarms;
            wrong += score.false_alarms;
            ranges.told += score.ranges.told;
            ranges.held += score.ranges.held;
            ranges.open += score.ranges.open;
            ranges.width_permille += score.ranges.width_permille;
            leads.extend_from_slice(&score.lead_secs);
        }
        leads.sort_unstable();
        let share = |part: u32, whole: u32| (part * 1000).checked_div(whole);
        Self {
            precision_permille: share(right, right + wrong).unwrap_or(1000),
            recall_permille: share(foretold, foretold + missed).unwrap_or(1000),
            median_lead_secs: leads.get(leads.len() / 2).copied(),
            coverage_permille: share(ranges.held, ranges.told),
            open_permille: share(ranges.open, ranges.told + ranges.open).unwrap_or(0),
            width_permille: ranges.width_permille.checked_div(ranges.told.into()),
        }
    }
}

/// Runs every predictor over `cases` series of each kind of `set`, and looks `every` so many values (a shift and a spike are looked
/// for at every one).
pub fn run(set: Set, cases: u32, every: usize) -> Vec<Score> {
    let of = |tuning, held_out| if set == Set::Tuning { tuning } else { held_out };
    let run = Run { set, cases, every: every.max(1) };
    let full = |points: &[Point]| disk_full(last(points, 7 * DAY), disks::DISK_KIB).ok();
    let gone = |points: &[Point]| {
        let left = memory::MEMORY_KIB - memory::OTHERS_KIB - points.last().map_or(0, |point| point.value);
        memory_leak(last(points, 6 * HOUR), growth(points), left, memory::MEMORY_KIB).ok()
    };
    let worn = |points: &[Point]| disk_wear(last(points, 31 * DAY)).ok();
    let faded = |points: &[Point]| battery_health(last(points, 31 * DAY), wear::WORN_OUT).ok();
    let mut scores = run.watch("disk full", of(disks::TUNING, disks::HELD_OUT), &Terms::SPACE, full);
    scores.extend(run.watch("memory leak", of(memory::TUNING, memory::HELD_OUT), &Terms::MEMORY, gone));
    scores.extend(run.watch("disk wear", of(wear::DISKS_TUNING, wear::DISKS_HELD_OUT), &Terms::WEAR, worn));
    scores.extend(run.watch("battery", of(wear::BATTERIES_TUNING, wear::BATTERIES_HELD_OUT), &Terms::WEAR, faded));
    let shifts = if set == Set::Tuning { levels::TUNING } else { levels::HELD_OUT };
    scores.extend(shifts.iter().map(|(name, event, make)| {
        run.score("level shift", name, |score, random| levels::shift_case(score, *event, &make(random)))
    }));
    let spikes = if set == Set::Tuning { levels::SPIKES_TUNING } else { levels::SPIKES_HELD_OUT };
    scores.extend(spikes.iter().map(|(name, make)| {
        run.score("spike", name, |score, random| {
            let (series, spikes) = make(random);
            levels::spike_case(score, &series, &spikes);
        })
    }));
    scores
}

/// A made series up to what happens at its end, if anything does.
struct Made {
    points: Vec<Point>,
    event_secs: Option<u64>,
    ends_secs: u64,
}

/// When a forecast is an alarm, and when that was right.
struct Terms {
    /// It says that it may happen within this.
    alarm_secs: u64,
    /// It says no longer that it may happen within this, and the alarm ends.
    clear_secs: u64,
    /// It has to say so for this long before anybody is told.
    hold_secs: u64,
    /// An alarm that comes earlier than this before the event was a wrong one.
    premature_secs: u64,
    /// One that comes later than this was of no use.
    useful_secs: u64,
}

impl Terms {
    /// As the check of space judges it.
    const SPACE: Self =
        Self { alarm_secs: DAY, clear_secs: 30 * HOUR, hold_secs: HOUR, premature_secs: 3 * DAY, useful_secs: HOUR };
    /// As the check of leaks does.
    const MEMORY: Self = Self { hold_secs: 0, ..Self::SPACE };
    /// Wear is told with whatever range it has; within three months is what we call soon.
    const WEAR: Self = Self {
        alarm_secs: 90 * DAY,
        clear_secs: 110 * DAY,
        hold_secs: 0,
        premature_secs: 270 * DAY,
        useful_secs: 7 * DAY,
    };
}

#[derive(Clone, Copy)]
struct Run {
    set: Set,
    cases: u32,
    every: usize,
}

impl Run {
    fn score(self, predictor: &'static str, series: &'static str, case: impl Fn(&mut Score, &mut Random)) -> Score {
        let mut score = Score {
            predictor,
            series,
            cases: self.cases,
            right_alarms: 0,
            false_alarms: 0,
            foretold: 0,
            missed: 0,
            ranges: Ranges::default(),
            lead_secs: Vec::new(),
        };
        (0..self.cases).for_each(|number| case(&mut score, &mut Random::new(self.set.seed(number))));
        score
    }

    fn watch(
        self,
        predictor: &'static str,
        kinds: &[Kind],
        terms: &Terms,
        ask: impl Fn(&[Point]) -> Option<Foreseen>,
    ) -> Vec<Score> {
        let one = |(series, make): &Kind| {
            self.score(predictor, series, |score, random| watch(score, &make(random), self.every, terms, &ask))
        };
        kinds.iter().map(one).collect()
    }
}

/// Looks at a series as it comes, raises and clears as a check does, and holds what was told against what came.
fn watch(score: &mut Score, made: &Made, every: usize, terms: &Terms, ask: impl Fn(&[Point]) -> Option<Foreseen>) {
    let (mut over_since, mut stands) = (None, false);
    let mut foretold = None;
    for upto in (1..=made.points.len()).step_by(every) {
        let seen = made.points.get(..upto).unwrap_or_default();
        let Some(now) = seen.last().map(|point| point.at_secs) else { continue };
        let forecast = ask(seen);
        let within = |limit: u64| forecast.filter(|forecast| forecast.likely_secs < limit);
        over_since = within(terms.alarm_secs).and(over_since.or(Some(now)));
        let raised = !stands && over_since.is_some_and(|since| now - since >= terms.hold_secs);
        stands = raised || stands && within(terms.clear_secs).is_some();
        let lead = made.event_secs.map(|event| event.saturating_sub(now));
        if raised {
            let right = lead.is_some_and(|lead| lead < terms.premature_secs);
            score.right_alarms += u32::from(right);
            score.false_alarms += u32::from(!right);
            let in_time = lead.filter(|lead| right && *lead >= terms.useful_secs);
            foretold = foretold.or(in_time);
        }
        if let Some(forecast) = forecast.filter(|_| stands) {
            score.ranges.take(forecast.range, lead, made.ends_secs.saturating_sub(now));
        }
    }
    if made.event_secs.is_some() {
        score.foretold += u32::from(foretold.is_some());
        score.missed += u32::from(foretold.is_none());
        score.lead_secs.extend(foretold);
    }
}

impl Ranges {
    /// Of what is not known to happen it is known that it does not for `known_secs`.
    fn take(&mut self, forecast: Forecast, lead_secs: Option<u64>, known_secs: u64) {
        let begun = lead_secs.is_none_or(|lead| forecast.earliest_secs <= lead);
        match (forecast.latest_secs, lead_secs) {
            (None, _) => {
                self.open += 1;
                self.open_held += u32::from(begun);
            }
            (Some(latest), Some(lead)) => {
                self.told += 1;
                self.width_permille += (latest * 1000 / forecast.earliest_secs.max(300)).min(100_000);
                self.held += u32::from(begun && lead <= latest);
            }
            // By then it should have happened, and did not.
            (Some(latest), None) => self.told += u32::from(latest < known_secs),
        }
    }
}

/// What was held before the last restart, as the monitor remembers it.
fn growth(points: &[Point]) -> Growth {
    let pairs = points.iter().zip(points.iter().skip(1));
    let ends = pairs.filter(|(before, after)| is_restart(before.value, after.value));
    ends.map(|(before, _)| before.value).max().map_or(Growth::Own, Growth::Again)
}

/// The names of predictors, in the order of `scores`.
pub fn predictors(scores: &[Score]) -> Vec<&'static str> {
    let mut seen = BTreeSet::new();
    scores.iter().map(|score| score.predictor).filter(|name| seen.insert(*name)).collect()
}

fn last(points: &[Point], window_secs: u64) -> &[Point] {
    let newest = points.last().map_or(0, |point| point.at_secs);
    let from = points.partition_point(|point| point.at_secs.saturating_add(window_secs) < newest);
    points.get(from..).unwrap_or_default()
}

fn steps(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
