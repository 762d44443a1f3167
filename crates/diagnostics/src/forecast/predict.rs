//! Predictors: each with the guards that keep it silent where a line means nothing.

use wire::diagnostics::findings::Forecast;

use super::{
    past::{Method, Past},
    trend::{Point, Trend, f64_of, lows, seconds},
};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Why there is no forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoForecast {
    /// Too few points, or over too short a time.
    TooFew,
    /// So much is left that a forecast concerns nobody, or what grows is small.
    Plenty,
    /// It does not go that way.
    Steady,
    /// It goes up and down: no line describes it.
    Irregular,
    /// It went this way before and was freed every time, as logs are that are rotated.
    Recurring,
    /// It never went this way before, and has taken too little yet to tell that it goes on.
    Unproven,
    /// It slows down.
    Levelling,
    /// Not within the time that can be foreseen from so little past.
    Far,
}

/// When something will have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreseen {
    /// Seconds from now until it most likely has: for whether that is soon. It is not told: a date alone would say too much.
    pub likely_secs: u64,
    /// What is told: four of five lie in it.
    pub range: Forecast,
}

/// When a file system will be full. `points` are the space available, in order of time, at best the lowest of every five minutes
/// over the last seven days, in the same unit as `total`.
///
/// The line through the last six hours says when, and the range around it comes from how right such lines were over the days before:
/// four dates of five lie in it. A line through all of it, once there are eighteen hours, has to fall as well; if it does not, the
/// short one counts only where space is lower than ever before. Where the past says nothing of how right a line is, the latest date
/// is left open.
///
/// # Errors
///
/// Why there is none.
pub fn disk_full(points: &[Point], total: i64) -> Result<Foreseen, NoForecast> {
    let points = lows(points, 300);
    let last = points.last().ok_or(NoForecast::TooFew)?;
    let short = since(&points, last.at_secs, 6 * HOUR);
    // As node-mixin: what is mostly empty concerns nobody.
    if is_measured(short) && last.value.saturating_mul(5) > total.saturating_mul(2) {
        return Err(NoForecast::Plenty);
    }
    let near = falling(short)?;
    let latest = short.get(short.len() / 2..).unwrap_or_default();
    if Trend::of(latest).is_some_and(|latest| latest.slope > 0.4 * near.slope) {
        return Err(NoForecast::Levelling);
    }
    let long = since(&points, last.at_secs, 7 * DAY);
    let spans = last.at_secs.saturating_sub(long.first().map_or(last.at_secs, |first| first.at_secs));
    let ahead = f64_of(i128::from(last.value.max(0))) / -near.slope;
    let past = Past::of(long, seconds(ahead), SPACE_METHOD, |window, line| {
        line.slope <= 0.1 * near.slope && falling_line(window, *line).is_ok()
    });
    if past.wrong_permille(5.0) > 500 {
        return Err(NoForecast::Recurring);
    }
    let band = until_nothing(last.value, near.slope_low, near.slope_high);
    let foreseen = Foreseen::of(band, ahead, &past, near.fit_permille);
    // What never went this way before may end as it began: it is believed once it took much of what was there.
    let highest = long.iter().map(|point| point.value).max().unwrap_or(0);
    let took = highest.saturating_sub(last.value);
    let open = if took.saturating_mul(3) < last.value.saturating_mul(2) {
        Err(NoForecast::Unproven)
    } else {
        Ok(Foreseen { range: Forecast { latest_secs: None, ..foreseen.range }, ..foreseen })
    };
    let foreseen = if spans < 18 * HOUR {
        // The past is too short to know whether this happens every day.
        open.and_then(|open| if open.likely_secs > spans { Err(NoForecast::Far) } else { Ok(open) })?
    } else {
        let thin = lows(long, spans.div_ceil(super::MAX_POINTS as u64 - 1).max(300));
        match falling(&thin) {
            Ok(_) => foreseen,
            // Room was made, but it mostly went as foretold.
            Err(NoForecast::Irregular) if past.is_known() && past.wrong_permille(3.0) <= 300 => foreseen,
            Err(_) if lower_than_ever(long, short) => open?,
            Err(why) => return Err(if why == NoForecast::Irregular { NoForecast::Recurring } else { why }),
        }
    };
    // A line says little about more than a few times its own length.
    if foreseen.likely_secs > 2 * spans { Err(NoForecast::Far) } else { Ok(foreseen) }
}

/// How past forecasts of space are made: as the present one, from fewer points.
const SPACE_METHOD: Method =
    Method { window_secs: 6 * HOUR, least: 60, most: 24, origins: 30, least_room_secs: 24 * HOUR };

/// How past forecasts of memory are made.
const MEMORY_METHOD: Method =
    Method { window_secs: 3 * HOUR / 2, least: 14, most: 18, origins: 12, least_room_secs: 6 * HOUR };

impl Foreseen {
    /// From a `band` around `ahead`, which a line tells, and how right such lines were; without a latest date if that is not known.
    fn of(band: (f64, f64), ahead: f64, past: &Past, fit_permille: u16) -> Self {
        let (earliest, latest) = match past.spread(ahead) {
            Some((early, late)) => (band.0.min(ahead * early), band.1.max(ahead * late)),
            None => (band.0.min(ahead * UNPROVEN), f64::INFINITY),
        };
        Self::within((earliest, latest), ahead * past.likely(ahead), fit_permille)
    }

    /// The most likely date is one of those of the range.
    fn within((earliest, latest): (f64, f64), likely: f64, fit_permille: u16) -> Self {
        let likely_secs = seconds(likely.min(latest).max(earliest));
        Self { likely_secs, range: range((earliest, latest), fit_permille) }
    }
}

/// How much sooner than a line of which nothing is known says it may happen.
const UNPROVEN: f64 = 0.7;

/// Whether there are six hours, and enough of their seventy-two values.
fn is_measured(points: &[Point]) -> bool {
    let spans = points.first().zip(points.last()).map_or(0, |(first, last)| last.at_secs.saturating_sub(first.at_secs));
    points.len() >= 60 && spans >= 6 * HOUR - 300
}

/// A line that falls for certain, steadily, and without a recovery of any size.
fn falling(points: &[Point]) -> Result<Trend, NoForecast> {
    let line = Trend::of(points).ok_or(NoForecast::TooFew)?;
    if is_measured(points) { falling_line(points, line) } else { Err(NoForecast::TooFew) }
}

/// As [`falling`], of a line through `points` that is drawn already.
fn falling_line(points: &[Point], line: Trend) -> Result<Trend, NoForecast> {
    let values = points.iter().map(|point| point.value);
    let moved = values.clone().max().unwrap_or(0).saturating_sub(values.min().unwrap_or(0));
    let pairs = points.iter().zip(points.iter().skip(1));
    let recovered = pairs.map(|(before, after)| after.value.saturating_sub(before.value)).max().unwrap_or(0);
    if moved > 0 && recovered.saturating_mul(10) > moved.saturating_mul(3) {
        return Err(NoForecast::Irregular);
    }
    if line.slope >= 0.0 || line.slope_high >= 0.0 {
        return Err(NoForecast::Steady);
    }
    let scattered = line.residual.sigma() > 0.15 * line.movement().abs();
    if line.monotone_permille < 600 || scattered {
        return Err(NoForecast::Irregular);
    }
    Ok(line)
}

/// Whether the newest low lies clearly below everything before the short window.
fn lower_than_ever(long: &[Point], short: &[Point]) -> bool {
    let before = long.get(..long.len().saturating_sub(short.len())).unwrap_or_default();
    let lowest = before.iter().map(|point| point.value).min();
    let highest = before.iter().map(|point| point.value).max();
    let (Some(lowest), Some(highest), Some(last)) = (lowest, highest, short.last()) else { return false };
    let margin = highest.saturating_sub(lowest) / 4;
    lowest.saturating_sub(last.value) > margin
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Memory of a process, or of a group without what the kernel takes back when it is needed.
    Own,
    /// Memory of a program that held so much before it was started again. Until it holds more it may be started again as well.
    Again(i64),
}

/// When something that takes ever more memory will have taken all that is available. `points` are what it holds, in order of time, for
/// the last six hours at most; `available` and `total` are the machine's, all in one unit.
///
/// A drop to less than half is a restart: only what came after counts, and nothing is foreseen until it has more than before. The
/// latest date is open as long as it would lie further ahead than the growth was seen.
///
/// # Errors
///
/// Why there is none.
pub fn memory_leak(points: &[Point], growth: Growth, available: i64, total: i64) -> Result<Foreseen, NoForecast> {
    let points = lows(points, 300);
    let last = points.last().ok_or(NoForecast::TooFew)?;
    let (before, points) = at_restart(since(&points, last.at_secs, 6 * HOUR));
    let held_before = match growth {
        Growth::Own => most(before),
        Growth::Again(most_before) => Some(most(before).map_or(most_before, |most| most.max(most_before))),
    };
    if last.value <= total / 100 {
        return Err(NoForecast::Plenty);
    }
    let line = Trend::of(points).filter(|line| line.points >= 24 && line.spans_secs >= 2 * HOUR - 300);
    let line = line.ok_or(NoForecast::TooFew)?;
    let rose = line.movement();
    if line.slope_low <= 0.0 || rose < f64_of(i128::from((total / 200).max(last.value / 20))) {
        return Err(NoForecast::Steady);
    }
    if line.monotone_permille < 600 || line.residual.sigma() > 0.25 * rose {
        return Err(NoForecast::Irregular);
    }
    let latest = Trend::of(points.get(points.len() * 2 / 3..).unwrap_or_default()).unwrap_or(line);
    if latest.slope < 0.8 * line.slope {
        return Err(NoForecast::Levelling);
    }
    if held_before.is_some_and(|most| last.value < most.saturating_add(most / 10)) {
        return Err(NoForecast::Recurring);
    }
    if last.value.saturating_mul(2) < available {
        return Err(NoForecast::Unproven);
    }
    let ahead = f64_of(i128::from(available.max(0))) / latest.slope;
    let past = Past::of(points, seconds(ahead), MEMORY_METHOD, |_, line| line.slope > 0.0);
    let band = until_nothing(available, -line.slope_high, -line.slope_low);
    let mut foreseen = Foreseen::of(band, ahead, &past, line.fit_permille);
    foreseen.range.latest_secs =
        foreseen.range.latest_secs.filter(|latest| held_before.is_none() && *latest <= line.spans_secs);
    // A line says little about more than a few times its own length.
    if foreseen.likely_secs > 4 * line.spans_secs { Err(NoForecast::Far) } else { Ok(foreseen) }
}

/// When a solid-state disk will have used up its endurance. `points` are the share used in thousandths, over at least thirty days.
///
/// # Errors
///
/// Why there is none.
pub fn disk_wear(points: &[Point]) -> Result<Foreseen, NoForecast> {
    let (_, line) = slow_line(points)?;
    let last = points.last().ok_or(NoForecast::TooFew)?;
    // Wear is told in whole percents and never goes back: a line through steps is never certain, so its sign is enough.
    if line.slope <= 0.0 {
        return Err(NoForecast::Steady);
    }
    // What was told first and last may each be almost a percent more.
    let first = points.first().ok_or(NoForecast::TooFew)?;
    let rose = f64_of(i128::from(last.value) - i128::from(first.value));
    let passed = f64_of(i128::from(last.at_secs) - i128::from(first.at_secs)).max(1.0);
    let (slow, fast) = ((rose - WEAR_STEP) / passed, (rose + WEAR_STEP) / passed);
    let left = f64_of(1000 - i128::from(last.value)).max(0.0);
    let earliest = (left - WEAR_STEP).max(0.0) / (fast * WEAR_DOUBT);
    let latest = if slow > 0.0 { left * WEAR_DOUBT / slow } else { f64::INFINITY };
    Ok(Foreseen::within((earliest, latest), left / line.slope, line.fit_permille))
}

/// Wear is told in steps of so many thousandths.
const WEAR_STEP: f64 = 10.0;
/// So much more or less than last month may be written in the months to come.
const WEAR_DOUBT: f64 = 1.2;

/// When a battery will hold no more than `limit` thousandths of what it held when new. `points` are what it holds when full, in
/// thousandths of that, over at least thirty days.
///
/// # Errors
///
/// Why there is none.
pub fn battery_health(points: &[Point], limit: i64) -> Result<Foreseen, NoForecast> {
    let (daily, line) = slow_line(points)?;
    let last = daily.last().ok_or(NoForecast::TooFew)?;
    let fell = -line.movement();
    if line.slope >= 0.0 || line.slope_high > 0.0 || fell < (3.0 * line.residual.sigma()).max(BATTERY_FELL) {
        return Err(NoForecast::Steady);
    }
    // A gauge that was set anew says nothing of the battery.
    let values = daily.iter().zip(daily.iter().skip(1));
    let step = values.map(|(before, after)| before.value.saturating_sub(after.value)).max().unwrap_or(0);
    if f64_of(step.into()) > 0.6 * fell {
        return Err(NoForecast::Irregular);
    }
    let left = last.value.saturating_sub(limit);
    let (earliest, latest) = until_nothing(left, line.slope_low, line.slope_high);
    let likely = f64_of(left.max(0).into()) / -line.slope;
    Ok(Foreseen::within((earliest / BATTERY_DOUBT, latest * BATTERY_DOUBT), likely, line.fit_permille))
}

/// A battery that lost fewer thousandths in a month does not fade to speak of.
const BATTERY_FELL: f64 = 8.0;
/// So much faster or slower than last month it may fade in the months to come.
const BATTERY_DOUBT: f64 = 1.1;

/// The line through one point a day of at least thirty days.
fn slow_line(points: &[Point]) -> Result<(Vec<Point>, Trend), NoForecast> {
    let daily = lows(points, DAY);
    let line = Trend::of(&daily).filter(|line| line.points >= 20 && line.spans_secs >= 29 * DAY);
    line.map(|line| (daily, line)).ok_or(NoForecast::TooFew)
}

/// No line describes a machine better than this, however well it describes the past.
const DOUBT: f64 = 0.05;

/// From when to when `left` will be used up by a change between `fast` and `slow` a second, both negative; never if `slow` is not.
fn until_nothing(left: i64, fast: f64, slow: f64) -> (f64, f64) {
    let left = f64_of(i128::from(left.max(0)));
    let until = |change: f64| if change < 0.0 { left / -change } else { f64::INFINITY };
    (until(fast * (1.0 + DOUBT)), until(slow * (1.0 - DOUBT)))
}

fn range((earliest, latest): (f64, f64), fit_permille: u16) -> Forecast {
    Forecast {
        earliest_secs: seconds(earliest),
        latest_secs: latest.is_finite().then(|| seconds(latest.max(earliest))),
        fit_permille,
    }
}

/// The points of the last `window`, the newest at `now`.
fn since(points: &[Point], now: u64, window: u64) -> &[Point] {
    let from = points.partition_point(|point| point.at_secs.saturating_add(window) < now);
    points.get(from..).unwrap_or_default()
}

/// What was before the last drop to less than half, and what came after it.
fn at_restart(points: &[Point]) -> (&[Point], &[Point]) {
    let restart = points.windows(2).rposition(|pair| match pair {
        [before, after] => is_restart(before.value, after.value),
        _ => false,
    });
    points.split_at(restart.map_or(0, |index| index + 1))
}

/// Whether what held `before` and holds `after` now was started again.
pub(crate) fn is_restart(before: i64, after: i64) -> bool {
    after < before / 2
}

fn most(points: &[Point]) -> Option<i64> {
    points.iter().map(|point| point.value).max()
}
