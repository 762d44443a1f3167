//! Robust statistics: medians, and the line that half of the points could be wrong about.

/// A value at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Seconds since any start.
    pub at_secs: u64,
    /// In any unit.
    pub value: i64,
}

/// Most points that a line is drawn through: more are thinned. 288 have 41,328 slopes, which take 323 KiB.
pub const MAX_POINTS: usize = 288;

/// The median of some values, and the median distance from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Half of the values are below.
    pub median: f64,
    /// Median absolute deviation.
    pub mad: f64,
}

/// From a median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

impl Spread {
    /// Of `values`; none of nothing.
    pub fn of(values: &[f64]) -> Option<Self> {
        let median = median(&mut values.to_vec())?;
        let mad = median_of(values.iter().map(|value| (value - median).abs()))?;
        Some(Self { median, mad })
    }

    /// An estimate of the standard deviation that outliers do not move.
    pub fn sigma(self) -> f64 {
        self.mad * MAD_TO_SIGMA
    }
}

/// The Theil-Sen line through some points: the median of the slopes between all pairs, with a band around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// Change in a second.
    pub slope: f64,
    /// Lower end of the 95 % band of the slope (Sen 1968), widened for values that depend on the ones before.
    pub slope_low: f64,
    /// Upper end of it.
    pub slope_high: f64,
    /// Where the line is at the last point.
    pub level: f64,
    /// Spread of the points around the line.
    pub residual: Spread,
    /// How much of the movement the line explains, in thousandths.
    pub fit_permille: u16,
    /// How many of the steps that changed anything went the way of the line, in thousandths.
    pub monotone_permille: u16,
    /// From the first point to the last.
    pub spans_secs: u64,
    /// How many points there were.
    pub points: usize,
}

impl Trend {
    /// The line through `points`, which are in order of time; more than [`MAX_POINTS`] are thinned evenly. None if there are
    /// fewer than three at different times.
    pub fn of(points: &[Point]) -> Option<Self> {
        let points = &*thinned(points);
        let (first, last) = (points.first()?, points.last()?);
        let seconds = |point: &Point| f64_of(i128::from(point.at_secs) - i128::from(first.at_secs));
        let xy = points.iter().map(|point| (seconds(point), f64_of(i128::from(point.value)))).collect::<Vec<_>>();
        let mut slopes = Vec::with_capacity(xy.len() * xy.len().saturating_sub(1) / 2);
        for (index, (x, y)) in xy.iter().enumerate() {
            let later = xy.get(index + 1..).unwrap_or_default();
            slopes.extend(later.iter().filter(|(other, _)| other > x).map(|(other, value)| (value - y) / (other - x)));
        }
        if slopes.len() < 3 {
            return None;
        }
        let slope = median(&mut slopes)?;
        let intercept = median_of(xy.iter().map(|(x, y)| y - slope * x))?;
        let residuals = xy.iter().map(|(x, y)| y - slope * x - intercept).collect::<Vec<_>>();
        let residual = Spread::of(&residuals)?;
        let (slope_low, slope_high) = band(&mut slopes, xy.len(), inflation(&residuals));
        let moved = Spread::of(&xy.iter().map(|(_, y)| *y).collect::<Vec<_>>())?;
        let spans_secs = last.at_secs.saturating_sub(first.at_secs);
        Some(Self {
            slope,
            slope_low,
            slope_high,
            level: intercept + slope * seconds(last),
            residual,
            fit_permille: if moved.mad > 0.0 { permille(1.0 - residual.mad / moved.mad) } else { 0 },
            monotone_permille: monotone(points, slope),
            spans_secs,
            points: points.len(),
        })
    }

    /// What the line moved by from the first point to the last.
    pub fn movement(&self) -> f64 {
        self.slope * f64_of(i128::from(self.spans_secs))
    }
}

/// At most [`MAX_POINTS`] of `points`, evenly chosen, with the newest among them.
pub fn thinned(points: &[Point]) -> Vec<Point> {
    thinned_to(points, MAX_POINTS)
}

/// As [`thinned`], to at most `most`.
pub(super) fn thinned_to(points: &[Point], most: usize) -> Vec<Point> {
    let every = points.len().div_ceil(most.max(1)).max(1);
    let mut chosen = points.iter().rev().step_by(every).copied().collect::<Vec<_>>();
    chosen.reverse();
    chosen
}

/// The lowest value of each `period_secs`, at the time it was measured. `points` are in order of time.
pub fn lows(points: &[Point], period_secs: u64) -> Vec<Point> {
    let mut lows = Vec::<Point>::new();
    for point in points {
        let period = |point: &Point| point.at_secs / period_secs.max(1);
        match lows.last_mut() {
            Some(low) if period(low) == period(point) => {
                if point.value < low.value {
                    *low = *point;
                }
            }
            Some(_) | None => lows.push(*point),
        }
    }
    lows
}

/// The ends of the 95 % band among the sorted `slopes` of `points` points: Sen's, from the variance of Kendall's S.
fn band(slopes: &mut [f64], points: usize, inflation: f64) -> (f64, f64) {
    let n = f64_of(i128::try_from(points).unwrap_or(i128::MAX));
    let count = f64_of(i128::try_from(slopes.len()).unwrap_or(i128::MAX));
    let half = 1.96 * (n * (n - 1.0) * (2.0 * n + 5.0) / 18.0).sqrt() * inflation;
    let last = slopes.len().saturating_sub(1);
    let low = whole((count - half) / 2.0).min(last);
    let high = whole((count + half) / 2.0).min(last);
    (nth(slopes, low), nth(slopes, high))
}

/// How much wider a band becomes because neighbouring residuals resemble each other: the square root of the ratio between the number
/// of points and the number of independent ones, for a first-order autoregression.
fn inflation(residuals: &[f64]) -> f64 {
    let square = residuals.iter().map(|residual| residual * residual).sum::<f64>();
    let neighbours = residuals.iter().zip(residuals.iter().skip(1)).map(|(a, b)| a * b).sum::<f64>();
    if square <= 0.0 {
        return 1.0;
    }
    let correlation = (neighbours / square).clamp(0.0, 0.9);
    ((1.0 + correlation) / (1.0 - correlation)).sqrt()
}

fn monotone(points: &[Point], slope: f64) -> u16 {
    let steps = points.iter().zip(points.iter().skip(1)).map(|(before, after)| after.value.cmp(&before.value));
    let way = if slope < 0.0 { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
    let (mut along, mut changed) = (0_i128, 0_i128);
    for step in steps.filter(|step| step.is_ne()) {
        changed += 1;
        along += i128::from(step == way);
    }
    if changed == 0 { 0 } else { permille(f64_of(along) / f64_of(changed)) }
}

/// The middle of `values`; the lower one of two. None of nothing.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(nth(values, middle))
}

pub(super) fn median_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    median(&mut values.collect::<Vec<_>>())
}

fn nth(values: &mut [f64], index: usize) -> f64 {
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

pub(super) fn permille(share: f64) -> u16 {
    u16::try_from(whole((share * 1000.0).round())).unwrap_or(1000).min(1000)
}

/// A whole number that is not negative; the largest there is for anything beyond.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, and NaN is 0"
)]
pub(super) fn whole(value: f64) -> usize {
    value as usize
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, and NaN is 0"
)]
pub(super) fn seconds(value: f64) -> u64 {
    value as u64
}

#[expect(clippy::cast_precision_loss, reason = "sixteen digits are more than any estimate has")]
pub(super) fn f64_of(value: i128) -> f64 {
    value as f64
}
