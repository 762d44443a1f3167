//! Predictors: each with the guards that keep it silent where a line means nothing.

use wire::diagnostics::findings::Forecast;

use super::{
    level::Holt,
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
    /// It slows down.
    Levelling,
    /// It is a cache, which gives back what others need.
    Cache,
    /// Not within the time that can be foreseen from so little past.
    Far,
}

/// When a file system will be full. `points` are the space available, in order of time, at best the lowest of every five minutes
/// over the last seven days, in the same unit as `total`.
///
/// Two lines are drawn: through the last six hours and, once there are eighteen, through all of it. If both fall, the range covers
/// both. If the long one does not, the short one counts only where space is lower than ever before in the long one: then the
/// latest date is left open.
///
/// # Errors
///
/// Why there is none.
pub fn disk_full(points: &[Point], total: i64) -> Result<Forecast, NoForecast> {
    let points = lows(points, 300);
    let last = points.last().ok_or(NoForecast::TooFew)?;
    let short = since(&points, last.at_secs, 6 * HOUR);
    if short.len() < 72 {
        return Err(NoForecast::TooFew);
    }
    // As node-mixin: what is mostly empty concerns nobody.
    if last.value.saturating_mul(5) > total.saturating_mul(2) {
        return Err(NoForecast::Plenty);
    }
    let near = falling(short)?;
    let long = since(&points, last.at_secs, 7 * DAY);
    let spans = last.at_secs.saturating_sub(long.first().map_or(last.at_secs, |first| first.at_secs));
    let near_range = until_nothing(last.value, near.slope_low, near.slope_high);
    let forecast = if spans < 18 * HOUR {
        // The past is too short to know whether this happens every day.
        Forecast { latest_secs: None, ..range(near_range, near.fit_permille) }
    } else {
        let thin = lows(long, spans.div_ceil(super::MAX_POINTS as u64 - 1).max(300));
        match falling(&thin) {
            Ok(far) => agree(near_range, near, until_nothing(last.value, far.slope_low, far.slope_high), far, &points),
            Err(_) if lower_than_ever(long, short) => {
                Forecast { latest_secs: None, ..range(near_range, near.fit_permille) }
            }
            Err(why) => return Err(if why == NoForecast::Irregular { NoForecast::Recurring } else { why }),
        }
    };
    // A line says little about more than a few times its own length.
    if forecast.earliest_secs > 2 * spans { Err(NoForecast::Far) } else { Ok(forecast) }
}

/// The later of two dates, unless they agree. Where they do not, Holt's smoothing breaks the tie: if the change of late is that of
/// the short line, the earliest date is the short line's.
fn agree(near: (f64, f64), near_line: Trend, far: (f64, f64), far_line: Trend, points: &[Point]) -> Forecast {
    let overlap = near.0 <= far.1 && far.0 <= near.1;
    let fit = near_line.fit_permille.min(far_line.fit_permille);
    if overlap {
        return range((near.0.min(far.0), near.1.max(far.1)), fit);
    }
    let later = if near.0 > far.0 { near } else { far };
    let mut holt = Holt::new(0.3, 0.1);
    points.iter().for_each(|point| holt.push(f64_of(i128::from(point.value))));
    let of_late = holt.change().unwrap_or(0.0) / 300.0;
    let like_near = (of_late - near_line.slope).abs() < (of_late - far_line.slope).abs();
    let earliest = if like_near { near.0.min(later.0) } else { later.0 };
    range((earliest, later.1), fit)
}

/// A line that falls for certain, steadily, and without a recovery of any size.
fn falling(points: &[Point]) -> Result<Trend, NoForecast> {
    let line = Trend::of(points).ok_or(NoForecast::TooFew)?;
    if points.len() < 72 {
        return Err(NoForecast::TooFew);
    }
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
    /// Memory of a process or a group of its own.
    Own,
    /// Mostly page cache, which the kernel takes back when it is needed.
    Cache,
}

/// When something that takes ever more memory will have taken all that is available. `points` are what it holds, in order of time, for
/// the last six hours at most; `available` and `total` are the machine's, all in one unit.
///
/// A drop to less than half is a restart: only what came after counts.
///
/// # Errors
///
/// Why there is none.
pub fn memory_leak(points: &[Point], growth: Growth, available: i64, total: i64) -> Result<Forecast, NoForecast> {
    if growth == Growth::Cache {
        return Err(NoForecast::Cache);
    }
    let points = lows(points, 300);
    let last = points.last().ok_or(NoForecast::TooFew)?;
    if last.value <= total / 100 {
        return Err(NoForecast::Plenty);
    }
    let points = since_restart(since(&points, last.at_secs, 6 * HOUR));
    let line = Trend::of(points).filter(|line| line.points >= 24 && line.spans_secs >= 2 * HOUR - 300);
    let line = line.ok_or(NoForecast::TooFew)?;
    let rose = line.movement();
    if line.slope_low <= 0.0 || rose < f64_of(i128::from((total / 200).max(last.value / 20))) {
        return Err(NoForecast::Steady);
    }
    if line.monotone_permille < 600 || line.residual.sigma() > 0.25 * rose {
        return Err(NoForecast::Irregular);
    }
    let latest = points.get(points.len() * 2 / 3..).unwrap_or_default();
    if Trend::of(latest).is_some_and(|latest| latest.slope < 0.8 * line.slope) {
        return Err(NoForecast::Levelling);
    }
    let forecast = range(until_nothing(available, -line.slope_high, -line.slope_low), line.fit_permille);
    if forecast.earliest_secs > 14 * DAY { Err(NoForecast::Far) } else { Ok(forecast) }
}

/// When a solid-state disk will have used up its endurance. `points` are the share used in thousandths, over at least thirty days.
///
/// # Errors
///
/// Why there is none.
pub fn disk_wear(points: &[Point]) -> Result<Forecast, NoForecast> {
    let line = slow_line(points)?;
    let last = points.last().ok_or(NoForecast::TooFew)?;
    // Wear is told in whole percents and never goes back: a line through steps is never certain, so its sign is enough.
    if line.slope <= 0.0 {
        return Err(NoForecast::Steady);
    }
    let left = 1000_i64.saturating_sub(last.value);
    Ok(range(until_nothing(left, -line.slope_high.max(line.slope), -line.slope_low), line.fit_permille))
}

/// When a battery will hold no more than `limit` thousandths of what it held when new. `points` are what it holds when full, in
/// thousandths of that, over at least thirty days.
///
/// # Errors
///
/// Why there is none.
pub fn battery_health(points: &[Point], limit: i64) -> Result<Forecast, NoForecast> {
    let line = slow_line(points)?;
    let last = points.last().ok_or(NoForecast::TooFew)?;
    if line.slope >= 0.0 || line.slope_high > 0.0 {
        return Err(NoForecast::Steady);
    }
    let left = last.value.saturating_sub(limit);
    Ok(range(until_nothing(left, line.slope_low, line.slope_high), line.fit_permille))
}

/// The line through one point a day of at least thirty days.
fn slow_line(points: &[Point]) -> Result<Trend, NoForecast> {
    let daily = lows(points, DAY);
    let line = Trend::of(&daily).filter(|line| line.points >= 20 && line.spans_secs >= 29 * DAY);
    line.ok_or(NoForecast::TooFew)
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

fn since_restart(points: &[Point]) -> &[Point] {
    let restart = points.windows(2).rposition(|pair| match pair {
        [before, after] => after.value < before.value / 2,
        _ => false,
    });
    let from = restart.map_or(0, |index| index + 1);
    points.get(from..).unwrap_or_default()
}
