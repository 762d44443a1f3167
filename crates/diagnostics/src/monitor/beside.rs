//! What a change of level is looked at beside: what the history knows to be usual at this hour of the week, and which other figures
//! moved as they seldom do. Both need files of days and weeks; without them nothing is said.

use std::cmp::Reverse;

use wire::{diagnostics::report::Series, text::Label, time::WallTime};

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

/// The figures other than `key` that moved as odd as never in the last days, the oddest first. It ranks evidence and raises nothing.
pub(super) fn odd_then(key: &SeriesKey, wall: WallTime, history: impl Fn(&Query) -> Vec<Series>) -> Vec<OddFigure> {
    let asked = back(wall, MODEL_DAYS, MINUTE_SECS, Fold::Mean, &RANKED.into_iter().collect());
    let own = key.subject.as_ref().map(Subject::named);
    let all = history(&asked);
    let others = all.iter().filter(|series| series.figure.raw() != key.figure.name() || series.subject != own);
    let mut odd = others
        .filter_map(|series| {
            let oddness = oddness(series).filter(|oddness| *oddness >= LEAST_ODD)?;
            let name = match &series.subject {
                Some(subject) => format!("{} of {}", series.figure.raw(), subject.label().raw()),
                None => series.figure.raw().to_owned(),
            };
            Some((oddness, OddFigure { name: Label::cut(&name), permille: permille(oddness) }))
        })
        .collect::<Vec<_>>();
    odd.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    odd.truncate(MAX_ODD);
    odd.into_iter().map(|(_, odd)| odd).collect()
}

/// How much of the newest quarter of an hour of `series` no model of the time before knows.
fn oddness(series: &Series) -> Option<f64> {
    // Where nothing was measured nothing moved: a gap is left out, not filled.
    let values = series.values.iter().flatten().copied().collect::<Vec<_>>();
    let (before, judged) = values.split_at_checked(values.len().checked_sub(JUDGED_MINUTES)?)?;
    let mut vote = Vote::default();
    let mut ends = (0..=before.len()).rev().step_by(MODEL_EVERY).take(MAX_MODELS).collect::<Vec<_>>();
    ends.sort_by_key(|end| Reverse(*end));
    for end in ends {
        let window = end.checked_sub(MODEL_MINUTES).and_then(|start| before.get(start..end));
        window.and_then(Model::train).into_iter().for_each(|model| vote.add(model));
    }
    vote.oddness(judged)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share is between 0 and 1")]
fn permille(share: f64) -> u16 {
    (share * 1000.0) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wire::time::Moment;

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
        let odd = odd_then(&SeriesKey::machine(Figure::CpuBusy), NOW, &past);
        assert_eq!(odd.iter().map(|odd| odd.name.raw()).collect::<Vec<_>>(), ["disk.busy"]);
        assert!((300..=1000).contains(&odd[0].permille));
        assert!(odd_then(&SeriesKey::machine(Figure::CpuBusy), NOW, |_: &Query| Vec::new()).is_empty());
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
        assert!(oddness(&series(24)).is_some());
        assert_eq!((oddness(&series(1)), oddness(&series(0))), (None, None));
    }
}
