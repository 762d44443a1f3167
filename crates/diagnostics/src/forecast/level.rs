//! What is watched value by value: smoothed means, jumps to another level, spikes. Each update takes nanoseconds.

use std::{collections::VecDeque, time::Duration};

use wire::time::Moment;

use super::trend::Spread;

/// Exponentially weighted mean and variance.
#[derive(Debug, Clone, Copy)]
pub struct Ewma {
    weight: f64,
    mean: f64,
    variance: f64,
    seen: u32,
}

impl Ewma {
    /// One that forgets: a value counts half after `half_life` more of them, at least one.
    pub fn new(half_life: u32) -> Self {
        let weight = 1.0 - 0.5_f64.powf(1.0 / f64::from(half_life.max(1)));
        Self { weight, mean: 0.0, variance: 0.0, seen: 0 }
    }

    /// Takes a value.
    pub fn push(&mut self, value: f64) {
        let step = value - self.mean;
        // A plain mean at first, or the first value would weigh for long.
        let weight = self.weight.max(1.0 / f64::from(self.seen.saturating_add(1)));
        self.mean += weight * step;
        self.variance = (1.0 - weight) * (self.variance + weight * step * step);
        self.seen = self.seen.saturating_add(1);
    }

    /// The mean; 0 before the first value.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The variance; 0 before the second value.
    pub fn variance(&self) -> f64 {
        self.variance
    }

    /// How many standard deviations `value` is away from the mean; none while there is no spread.
    pub fn z(&self, value: f64) -> Option<f64> {
        (self.variance > 0.0).then(|| (value - self.mean) / self.variance.sqrt())
    }

    /// How many values it has taken.
    pub fn seen(&self) -> u32 {
        self.seen
    }
}

/// Two-sided cumulative sum of standardised values (Page 1954).
#[derive(Debug, Clone, Copy, Default)]
pub struct Cusum {
    above: f64,
    below: f64,
}

/// To which side of its level a figure went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It is higher now.
    Up,
    /// It is lower now.
    Down,
}

impl Cusum {
    /// Half of the shift that is looked for, in standard deviations.
    const SLACK: f64 = 0.5;
    /// How much has to add up.
    const LIMIT: f64 = 5.0;
    /// One value, however far away, is an outlier and not yet a level.
    const LARGEST: f64 = 2.0;

    /// Takes a standardised value; says to which side the sum went over its limit.
    pub fn push(&mut self, z: f64) -> Option<Side> {
        let z = z.clamp(-Self::LARGEST, Self::LARGEST);
        self.above = (self.above + z - Self::SLACK).max(0.0);
        self.below = (self.below - z - Self::SLACK).max(0.0);
        if self.above > Self::LIMIT {
            Some(Side::Up)
        } else if self.below > Self::LIMIT {
            Some(Side::Down)
        } else {
            None
        }
    }

    /// Whether nothing has added up on `side`.
    fn is_quiet(&self, side: Side) -> bool {
        match side {
            Side::Up => self.above <= 0.0,
            Side::Down => self.below <= 0.0,
        }
    }
}

/// A figure went to another level and stayed there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// When it went.
    pub since: Moment,
    /// To which side.
    pub side: Side,
    /// Its median before.
    pub before: f64,
    /// Its median since.
    pub after: f64,
}

/// Finds shifts of level: one for each, once it has held for [`LevelShift::HOLD`].
///
/// It learns what is usual from the first values and again after each shift, so that a new level becomes the usual one.
#[derive(Debug, Clone)]
pub struct LevelShift {
    least: f64,
    usual: Option<Spread>,
    /// The newest values, at most [`Self::LEARN`].
    recent: VecDeque<(Moment, f64)>,
    /// Values since the usual was last looked at.
    unlearned: usize,
    cusum: Cusum,
    /// Since when the sum of a side has not been zero.
    leaving: [Option<Moment>; 2],
    candidate: Option<(Moment, Side)>,
}

impl LevelShift {
    /// How long a new level has to hold.
    pub const HOLD: Duration = Duration::from_secs(60);
    /// How many values tell what is usual.
    pub const LEARN: usize = 180;
    /// Smallest shift that is told, in robust standard deviations.
    const SMALLEST: f64 = 3.0;

    /// Looks for shifts of at least `least`, in the figure's own unit: what is smaller concerns nobody.
    pub fn new(least: f64) -> Self {
        Self {
            least: least.abs(),
            usual: None,
            recent: VecDeque::with_capacity(Self::LEARN),
            unlearned: 0,
            cusum: Cusum::default(),
            leaving: [None; 2],
            candidate: None,
        }
    }

    /// Takes the value measured at `now`; returns a shift once it has held.
    pub fn push(&mut self, value: f64, now: Moment) -> Option<Shift> {
        if self.recent.len() == Self::LEARN {
            self.recent.pop_front();
        }
        self.recent.push_back((now, value));
        self.unlearned += 1;
        let Some(usual) = self.usual else {
            if self.recent.len() == Self::LEARN {
                self.usual = self.median_since(Moment::default());
            }
            return None;
        };
        let sigma = self.sigma(usual);
        let over = self.cusum.push((value - usual.median) / sigma);
        for (side, leaving) in [Side::Up, Side::Down].into_iter().zip(&mut self.leaving) {
            if self.cusum.is_quiet(side) {
                *leaving = None;
            } else {
                leaving.get_or_insert(now);
            }
        }
        if let Some((since, side)) = self.candidate {
            return self.judge(since, side, usual, now);
        }
        if let Some(side) = over {
            let [up, down] = self.leaving;
            let since = if side == Side::Up { up } else { down };
            self.candidate = Some((since.unwrap_or(now), side));
        } else if self.unlearned >= Self::LEARN && self.leaving == [None; 2] {
            // Slow drift is no shift: what is usual goes along with it.
            self.usual = self.median_since(Moment::default());
            self.unlearned = 0;
        }
        None
    }

    fn judge(&mut self, since: Moment, side: Side, usual: Spread, now: Moment) -> Option<Shift> {
        if now - since < Self::HOLD {
            return None;
        }
        self.candidate = None;
        self.cusum = Cusum::default();
        self.leaving = [None; 2];
        let after = self.median_since(since)?;
        let since = self.turned(usual.median, after.median).unwrap_or(since);
        if !self.stays(since, f64::midpoint(usual.median, after.median), side) {
            return None;
        }
        let step = match side {
            Side::Up => after.median - usual.median,
            Side::Down => usual.median - after.median,
        };
        if step < self.least.max(Self::SMALLEST * usual.sigma()) {
            // It came back or was small: what is usual goes along, as with slow drift. Its spread stays, because a level that has
            // only just begun would widen it.
            self.usual = Some(Spread { median: after.median, mad: usual.mad });
            self.unlearned = 0;
            return None;
        }
        // Only what came after the shift tells what is usual now.
        self.recent.retain(|(at, _)| *at >= since);
        self.usual = None;
        Some(Shift { since, side, before: usual.median, after: after.median })
    }

    /// Whether four of five values since then are on the far side of `middle`: a job that ends within the minute is no level.
    fn stays(&self, since: Moment, middle: f64, side: Side) -> bool {
        let (mut all, mut there) = (0_usize, 0_usize);
        for (_, value) in self.recent.iter().filter(|(at, _)| *at >= since) {
            all += 1;
            there += usize::from((*value > middle) == (side == Side::Up));
        }
        there * 5 >= all * 4
    }

    /// When it went from one level to the other: where what came before is nearest to the first of them, and what came after to the
    /// second (the most likely change of mean, Hinkley 1970).
    fn turned(&self, before: f64, after: f64) -> Option<Moment> {
        let middle = f64::midpoint(before, after);
        let way = if after > before { 1.0 } else { -1.0 };
        let (mut sum, mut least, mut turned) = (0.0, f64::INFINITY, None);
        for (at, value) in self.recent.iter().rev() {
            // One value, however far away, does not weigh more than two.
            sum -= ((value - middle) * way).clamp(-(after - before).abs(), (after - before).abs());
            if sum < least {
                (least, turned) = (sum, Some(*at));
            }
        }
        turned
    }

    /// What a standard deviation is taken to be: never less than a third of the smallest shift that concerns anybody.
    fn sigma(&self, usual: Spread) -> f64 {
        usual.sigma().max(self.least / Self::SMALLEST).max(f64::MIN_POSITIVE)
    }

    fn median_since(&self, since: Moment) -> Option<Spread> {
        let values = self.recent.iter().filter(|(at, _)| *at >= since).map(|(_, value)| *value);
        Spread::of(&values.collect::<Vec<_>>())
    }
}

/// Marks single values that stand out, for a graph. Never a reason to raise anything.
#[derive(Debug, Clone, Copy)]
pub struct Spikes {
    ewma: Ewma,
    least: f64,
}

impl Spikes {
    /// How far a spike stands out, in standard deviations.
    const Z: f64 = 4.0;
    /// Values before it says anything.
    const WARM_UP: u32 = 30;

    /// Marks what is at least `least` above the mean, in the figure's own unit.
    pub fn new(least: f64) -> Self {
        Self { ewma: Ewma::new(60), least: least.abs() }
    }

    /// Takes a value; says whether it is a spike.
    pub fn push(&mut self, value: f64) -> bool {
        let high = value - self.ewma.mean() >= self.least.max(f64::MIN_POSITIVE);
        // With no spread at all, whatever is above the floor stands out.
        let far = self.ewma.z(value).is_none_or(|z| z > Self::Z);
        let spike = self.ewma.seen() >= Self::WARM_UP && high && far;
        self.ewma.push(value);
        spike
    }
}
