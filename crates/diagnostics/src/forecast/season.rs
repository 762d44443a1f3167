//! What is usual at this hour of the week.

use std::collections::VecDeque;

use wire::time::WallTime;

use super::trend::{Spread, f64_of};

const HOURS: usize = 168;

/// How many weeks are remembered.
const WEEKS: usize = 8;

/// Usual values for each hour of the week: 168 hours of at most eight weeks, about 12 KiB.
#[derive(Debug, Clone)]
pub struct Seasonal {
    hours: Vec<VecDeque<i64>>,
}

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    /// Median of the weeks before, and the spread around it.
    pub spread: Spread,
    /// Of how many weeks.
    pub weeks: usize,
}

impl Default for Seasonal {
    fn default() -> Self {
        Self { hours: vec![VecDeque::new(); HOURS] }
    }
}

impl Seasonal {
    /// Takes the value of a whole hour that began at `at`.
    pub fn learn(&mut self, at: WallTime, value: i64) {
        if let Some(weeks) = self.hours.get_mut(hour_of_week(at)) {
            if weeks.len() == WEEKS {
                weeks.pop_front();
            }
            weeks.push_back(value);
        }
    }

    /// What is usual at `at`; none before the second week.
    pub fn usual(&self, at: WallTime) -> Option<Usual> {
        let weeks = self.hours.get(hour_of_week(at)).filter(|weeks| weeks.len() >= 2)?;
        let values = weeks.iter().map(|value| f64_of(i128::from(*value))).collect::<Vec<_>>();
        Some(Usual { spread: Spread::of(&values)?, weeks: weeks.len() })
    }
}

/// In UTC: which hour is called the first does not matter, as long as it is the same every week.
fn hour_of_week(at: WallTime) -> usize {
    usize::try_from(at.0 / 3_600_000 % 168).unwrap_or(0)
}
