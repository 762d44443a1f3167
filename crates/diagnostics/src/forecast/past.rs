//! What a series' own past says of forecasts about it: they are made again as they would have been made then, and held against what
//! came. (Rolling origin: Tashman 2000; ranges from errors of the past: split conformal prediction, Vovk et al. 2005.)

use super::trend::{Point, Trend, f64_of, thinned_to, whole};

/// How much later or earlier than a line says things happened in this series.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Past {
    /// Time that it took as a share of the time that was foretold, in order; infinite where it did not come at all.
    ratios: Vec<f64>,
    /// Over how long that was looked at.
    horizon_secs: u64,
}

/// How past forecasts are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Method {
    /// The line goes through this time.
    pub(super) window_secs: u64,
    /// Points that it needs, and that it is drawn through at most.
    pub(super) least: usize,
    pub(super) most: usize,
    /// At most so many forecasts are made.
    pub(super) origins: u64,
    /// Over at least this time, if it is known.
    pub(super) least_room_secs: u64,
}

/// What came within less than this says nothing.
const LEAST_HORIZON_SECS: u64 = 3600;

/// A range holds four truths of five: a tenth of all is earlier, and a tenth later.
const TAIL: f64 = 0.1;

/// Fewer past forecasts than this say nothing.
const LEAST: usize = 4;

/// So far beyond the extremes of the past the future may be where the past is too short to have shown a tenth.
const UNSEEN: f64 = 1.25;

impl Past {
    /// Forecasts that were made at even times of `points`, wherever `likely` holds of the line and the newest value then, and what came
    /// within `horizon_secs`; in half of what there is, if that is less.
    pub(super) fn of(
        points: &[Point],
        horizon_secs: u64,
        method: Method,
        likely: impl Fn(&[Point], &Trend) -> bool,
    ) -> Self {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Self::default() };
        let spans = last.at_secs.saturating_sub(first.at_secs).saturating_sub(method.window_secs);
        let horizon_secs = horizon_secs.min(spans / 2);
        if horizon_secs < LEAST_HORIZON_SECS {
            return Self::default();
        }
        // What was longer ago says less of how it goes now.
        let room = (spans - horizon_secs).min(horizon_secs.saturating_mul(2).max(method.least_room_secs));
        let newest_origin = last.at_secs - horizon_secs;
        let mut ratios = Vec::new();
        for number in 0..method.origins {
            let origin = newest_origin - room * number / method.origins.saturating_sub(1).max(1);
            let (known, came) = points.split_at(points.partition_point(|point| point.at_secs <= origin));
            let from = known.partition_point(|point| point.at_secs.saturating_add(method.window_secs) < origin);
            let window = known.get(from..).unwrap_or_default();
            let Some(newest) = window.last().filter(|_| window.len() >= method.least) else { continue };
            let Some(line) = Trend::of(&thinned_to(window, method.most)) else { continue };
            if !likely(window, &line) {
                continue;
            }
            let until = newest.at_secs.saturating_add(horizon_secs);
            let upto = came.partition_point(|point| point.at_secs <= until);
            let Some(then) = upto.checked_sub(1).and_then(|index| came.get(index)) else { continue };
            // Across a gap nobody knows.
            let passed = f64_of(i128::from(then.at_secs) - i128::from(newest.at_secs));
            if passed < 0.5 * f64_of(horizon_secs.into()) {
                continue;
            }
            let moved = f64_of(i128::from(then.value) - i128::from(newest.value)) / passed;
            ratios.push(if moved * line.slope > 0.0 { line.slope / moved } else { f64::INFINITY });
        }
        ratios.sort_unstable_by(f64::total_cmp);
        Self { ratios, horizon_secs }
    }

    /// Whether there were enough forecasts to say anything.
    pub(super) fn is_known(&self) -> bool {
        self.ratios.len() >= LEAST
    }

    /// How many in a thousand did not come within `times` the time that they told.
    pub(super) fn wrong_permille(&self, times: f64) -> usize {
        let wrong = self.ratios.iter().filter(|ratio| **ratio > times).count();
        (wrong * 1000).checked_div(self.ratios.len()).unwrap_or(0)
    }

    /// What share of what a line says things take most likely that are `ahead_secs` ahead; 1 if too little is known.
    pub(super) fn likely(&self, ahead_secs: f64) -> f64 {
        let middle = self.ratios.get(self.ratios.len() / 2).filter(|ratio| self.is_known() && ratio.is_finite());
        middle.map_or(1.0, |ratio| ratio.powf(self.further(ahead_secs)).clamp(0.25, 4.0))
    }

    /// Errors grow with time as those of a walk do.
    fn further(&self, ahead_secs: f64) -> f64 {
        (ahead_secs / f64_of(self.horizon_secs.max(1).into())).clamp(1.0, 9.0).sqrt()
    }

    /// Between which shares of what a line says four of five things happen `ahead_secs` ahead; none if too little is known. The later
    /// is infinite where too many did not come at all.
    pub(super) fn spread(&self, ahead_secs: f64) -> Option<(f64, f64)> {
        if !self.is_known() {
            return None;
        }
        let count = self.ratios.len();
        let rank = f64_of(i128::try_from(count + 1).unwrap_or(i128::MAX)) * TAIL;
        let (early, late) = match whole(rank).checked_sub(1) {
            Some(index) => (self.ratios.get(index)?, self.ratios.get(count - 1 - index)?),
            None => (self.ratios.first()?, self.ratios.last()?),
        };
        let beyond = if rank < 1.0 { UNSEEN } else { 1.0 };
        let further = self.further(ahead_secs);
        Some(((early / beyond).min(1.0).powf(further), (late * beyond).max(1.0).powf(further)))
    }
}
