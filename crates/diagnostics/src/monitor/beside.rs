//! What a change of level is looked at beside: what the history knows to be usual at this hour of the week, and which other figures
//! moved as they seldom do. Both need files of days and weeks; without them nothing is said.

use std::time::Duration;

use wire::{
    diagnostics::report::Series,
    time::{Moment, WallTime},
};

use super::trends::back;
use crate::{
    findings::OddFigure,
    forecast::{MAX_MODELS, Model, Seasonal, Shift, Side, Vote},
    history::{Figure, Fold, Pattern, Query, SeriesKey, Subject},
};

const MINUTE_SECS: u32 = 60;
const HOUR_MS: u64 = 3_600_000;
const WEEK_MS: u64 = 168 * HOUR_MS;

/// What is usual is taken from the whole weeks that are kept.
const WEEKS: u64 = 4;

/// A level lasts for so long at least.
const LEVEL_SECS: u32 = 300;

/// A level is as usual within so many standard deviations of the same hours of the weeks before.
const USUAL_SIGMAS: f64 = 3.0;

/// Each model learns from six hours, and begins three after the one before, as Netdata's do.
const MODEL_MINUTES: usize = 6 * 60;
const MODEL_EVERY: usize = 3 * 60;

/// What is asked whether it was odd: the quarter of an hour in which the shift was and was noticed.
const JUDGED_MINUTES: usize = 15;

/// So many of its minutes have to be known.
const LEAST_JUDGED: usize = 12;

/// A look takes days of history, so it stands for so long.
const LOOKED_EVERY: Duration = Duration::from_mins(5);

/// How far back models go: three days.
const MODEL_DAYS: u64 = 3;

/// So much of that time has to be odd.
const LEAST_ODD: f64 = 0.3;

/// Most figures that are named.
const MAX_ODD: usize = 3;

/// The figures of which it is told that they were odd at the same time.
const RANKED: [Figure; 15] = [
    Figure::CpuBusy,
    Figure::CpuIowait,
    Figure::CpuSteal,
    Figure::Load1,
    Figure::PressureCpuSome,
    Figure::PressureMemoryFull,
    Figure::PressureIoSome,
    Figure::MemoryAvailable,
    Figure::SwapUsed,
    Figure::DiskBusy,
    Figure::DiskAwait,
    Figure::Temperature,
    Figure::NetworkReceived,
    Figure::NetworkSent,
    Figure::Processes,
];

/// Whether `shift` of `key` is to what the figure is at this hour of every week, for some minutes of it. Not before the second week.
pub(super) fn is_usual(
    key: &SeriesKey,
    (shift, least): (&Shift, f64),
    wall: WallTime,
    history: impl Fn(&Query) -> Vec<Series>,
) -> bool {
    let hour = wall.0 / HOUR_MS * HOUR_MS;
    let subject = key.subject.as_ref().map(Subject::named);
    let mut seasonal = Seasonal::default();
    for from in (1..=WEEKS).rev().filter_map(|week| hour.checked_sub(week * WEEK_MS)) {
        let series = vec![Pattern::Any(key.figure)];
        let asked = Query {
            from: WallTime(from),
            to: WallTime(from + HOUR_MS),
            step_secs: LEVEL_SECS,
            fold: Fold::Mean,
            series,
        };
        let series = history(&asked).into_iter().find(|series| series.subject == subject);
        let levels = series.iter().flat_map(|series| series.values.iter().flatten().copied());
        // What lasts for a part of the hour is usual in it all the same.
        let farthest = if shift.side == Side::Up { levels.max() } else { levels.min() };
        farthest.into_iter().for_each(|level| seasonal.learn(WallTime(from), level));
    }
    seasonal
        .usual(wall)
        .is_some_and(|usual| (shift.after - usual.spread.median).abs() < least.max(USUAL_SIGMAS * usual.spread.sigma()))
}

/// Which figures moved lately as odd as never in the last days. It ranks evidence and raises nothing.
#[derive(Debug, Default)]
pub(super) struct Odd {
    /// When that was looked at, and what was found, the oddest first. One event moves many figures: they share one look at the files.
    looked: Option<(Moment, Vec<OddFigure>)>,
}

impl Odd {
    /// The oddest figures other than `key`.
    pub(super) fn beside(
        &mut self,
        key: &SeriesKey,
        (now, wall): (Moment, WallTime),
        history: impl Fn(&Query) -> Vec<Series>,
    ) -> Vec<OddFigure> {
        if self.looked.as_ref().is_none_or(|(at, _)| now - *at >= LOOKED_EVERY) {
            self.looked = Some((now, odd_then(wall, history)));
        }
        let own = key.subject.as_ref().map(Subject::named);
        let all = self.looked.iter().flat_map(|(_, odd)| odd);
        let others = all.filter(|odd| odd.figure.raw() != key.figure.name() || odd.subject != own);
        others.take(MAX_ODD).cloned().collect()
    }
}

fn odd_then(wall: WallTime, history: impl Fn(&Query) -> Vec<Series>) -> Vec<OddFigure> {
    let asked = back(wall, MODEL_DAYS, MINUTE_SECS, Fold::Mean, &RANKED.into_iter().collect());
    let all = history(&asked);
    let mut odd = all
        .iter()
        .filter_map(|series| {
            let oddness = oddness(series, wall).filter(|oddness| *oddness >= LEAST_ODD)?;
            let (figure, subject) = (series.figure.clone(), series.subject.clone());
            Some((oddness, OddFigure { figure, subject, permille: permille(oddness) }))
        })
        .collect::<Vec<_>>();
    odd.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    odd.into_iter().map(|(_, odd)| odd).collect()
}

/// How much of the quarter of an hour before `wall` no model of the time before knows, in `series`.
fn oddness(series: &Series, wall: WallTime) -> Option<f64> {
    let step_ms = u64::from(series.step_secs.max(1)) * 1000;
    let steps = usize::try_from(wall.0.saturating_sub(series.start.0).div_ceil(step_ms)).ok()?;
    let (before, judged) = series.values.split_at_checked(steps.checked_sub(JUDGED_MINUTES)?)?;
    // Where nothing was measured nothing moved: a gap is left out, not filled.
    let judged = judged.iter().flatten().copied().collect::<Vec<_>>();
    if judged.len() < LEAST_JUDGED {
        return None;
    }
    let before = before.iter().flatten().copied().collect::<Vec<_>>();
    let mut vote = Vote::default();
    for end in (0..=before.len()).rev().step_by(MODEL_EVERY).take(MAX_MODELS) {
        let window = end.checked_sub(MODEL_MINUTES).and_then(|start| before.get(start..end));
        window.and_then(Model::train).into_iter().for_each(|model| vote.add(model));
    }
    vote.oddness(&judged)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
fn permille(share: f64) -> u16 {
    (share * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wire::text::Label;

    use super::*;

    const NOW: WallTime = WallTime(1_795_327_200_000 + HOUR_MS / 2);

    /// What the history has of `figures`, by what it was at each time.
    fn history<'a>(figures: &'a [(Figure, &'a dyn Fn(u64) -> i64)]) -> impl Fn(&Query) -> Vec<Series> + 'a {
        move |query: &Query| {
            let step_ms = u64::from(query.step_secs) * 1000;
            let times = (query.from.0..query.to.0).step_by(usize::try_from(step_ms).unwrap());
            let one = |(figure, value): &(Figure, &dyn Fn(u64) -> i64)| Series {
                figure: Label::cut(figure.name()),
                subject: None,
                unit: figure.unit(),
                start: query.from,
                step_secs: query.step_secs,
                values: times.clone().map(|at| Some(value(at))).collect(),
                stood_out: Vec::new(),
            };
            figures.iter().map(one).collect()
        }
    }

    #[test]
    fn what_happens_at_this_hour_of_every_week_is_usual_and_what_happens_for_the_first_time_is_not() {
        let usual = |after: f64, past: &dyn Fn(u64) -> i64| {
            let shift = Shift { since: Moment::default(), side: Side::Up, before: 50.0, after };
            let figures = [(Figure::CpuBusy, past)];
            is_usual(&SeriesKey::machine(Figure::CpuBusy), (&shift, 150.0), NOW, history(&figures))
        };
        // A backup of twenty minutes, each week at this hour, which runs now.
        let weekly = |at: u64| if (NOW.0 + 10 * 60_000 - at) % WEEK_MS < 20 * 60_000 { 600 } else { 50 };
        assert!(usual(620.0, &weekly));
        assert!(!usual(950.0, &weekly), "this is more than it takes");
        assert!(!usual(620.0, &|at| if NOW.0 - at < 2 * HOUR_MS { 600 } else { 50 }), "for the first time");
        assert!(
            !usual(620.0, &|at| if NOW.0 - at < WEEK_MS + 2 * HOUR_MS { weekly(at) } else { 50 }),
            "once is not usual"
        );
        assert!(!usual(620.0, &|_| 50));
    }

    #[test]
    fn what_moved_as_never_before_is_named_and_what_goes_on_as_ever_is_not() {
        // A pattern without a period, always the same.
        let noise = |at: u64| i64::try_from((at / 60_000).wrapping_mul(2_654_435_761) % 97).unwrap();
        let calm = |at: u64| 300 + noise(at);
        let wild = |at: u64| if NOW.0 - at < HOUR_MS / 5 { 300 + 40 * noise(at) } else { 300 + noise(at) };
        let figures: [(_, &dyn Fn(u64) -> i64); 3] =
            [(Figure::DiskBusy, &wild), (Figure::NetworkSent, &calm), (Figure::CpuBusy, &wild)];
        let past = history(&figures);
        let key = SeriesKey::machine(Figure::CpuBusy);
        let odd = Odd::default().beside(&key, (Moment::default(), NOW), &past);
        assert_eq!(odd.iter().map(|odd| odd.figure.raw()).collect::<Vec<_>>(), ["disk.busy"]);
        assert!((300..=1000).contains(&odd[0].permille));
        let nothing = |_: &Query| Vec::new();
        assert!(Odd::default().beside(&key, (Moment::default(), NOW), nothing).is_empty());
        // What was odd an hour ago explains nothing now.
        let gone = |query: &Query| {
            let mut series = past(query);
            series.iter_mut().for_each(|one| {
                let there = one.values.len() - 60;
                one.values[there..].fill(None);
            });
            series
        };
        assert!(Odd::default().beside(&key, (Moment::default(), NOW), gone).is_empty());
    }

    #[test]
    fn a_day_says_something_and_an_hour_nothing() {
        let wild = |at: u64| i64::try_from(at / 60_000 % 97).unwrap() * if NOW.0 - at < HOUR_MS / 5 { 50 } else { 1 };
        let series = |hours: u64| {
            let key = BTreeSet::from([Figure::DiskBusy]);
            let mut asked = back(NOW, MODEL_DAYS, MINUTE_SECS, Fold::Mean, &key);
            asked.from = WallTime(NOW.0 - hours * HOUR_MS);
            history(&[(Figure::DiskBusy, &wild)])(&asked).remove(0)
        };
        assert!(oddness(&series(24), NOW).is_some());
        assert_eq!((oddness(&series(1), NOW), oddness(&series(0), NOW)), (None, None));
    }
}
