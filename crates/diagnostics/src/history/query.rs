//! One answer from memory and files together.

use std::collections::BTreeMap;

use wire::{
    diagnostics::report::{MAX_SERIES, MAX_VALUES, Series},
    text::Label,
    time::WallTime,
};

#[cfg(target_os = "linux")]
use super::{
    block::{Block, Tier},
    ring::ABSENT,
    store::Reader,
};
use super::{
    figures::{Figure, SeriesKey},
    file::Damage,
    ring::Ring,
    subject::Subject,
};

/// Most values of all series of an answer together: they take 4 MiB while they are gathered.
pub const MAX_ANSWER_VALUES: usize = 1 << 18;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Query {
    /// Not before this.
    pub from: WallTime,
    /// Before this.
    pub to: WallTime,
    /// Time from value to value; more if there were more than [`MAX_VALUES`] of them otherwise. At least 1.
    pub step_secs: u32,
    /// What becomes of several samples in one step.
    pub fold: Fold,
    /// Which series: those that any of these asks for.
    pub series: Vec<Pattern>,
}

/// What becomes of several samples in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    /// Their mean, rounded down.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The latest.
    Last,
}

/// Which series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// A figure of everything that has it.
    Any(Figure),
    /// One series.
    One(SeriesKey),
    /// All figures of one thing.
    Of(Subject),
}

impl Pattern {
    fn holds(&self, key: &SeriesKey) -> bool {
        match self {
            Self::Any(figure) => key.figure == *figure,
            Self::One(one) => key == one,
            Self::Of(subject) => key.subject.as_ref() == Some(subject),
        }
    }
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Every series that was asked for and has a value, by figure and subject; at most [`MAX_SERIES`].
    pub series: Vec<Series>,
    /// Series that were left out because there were too many values.
    pub series_left_out: u32,
    /// What is wrong with the files that were read.
    pub damage: Damage,
}

impl Query {
    /// Gathers what `ring` and, where there are files, `files` know. Of a time that the ring knows, files add nothing; where
    /// steps are a minute or longer, minutes fill in what single samples no longer tell.
    #[cfg(target_os = "linux")]
    pub fn run(&self, ring: Option<&Ring>, files: Option<&Reader>) -> Answer {
        let mut cells = Cells::new(self);
        let known = ring.and_then(Ring::in_order);
        let mut damage = Damage::default();
        if let Some(files) = files {
            damage.add(files.blocks(Tier::Full, self.from, self.to, |block| cells.add_full(&block, known)));
        }
        if let Some(ring) = ring {
            cells.add_ring(ring, known.filter(|_| files.is_some()));
        }
        // The time of a minute's value is known to the minute.
        if let Some(files) = files.filter(|_| cells.step_ms >= 60_000) {
            cells.seal();
            damage.add(files.blocks(Tier::Minute, self.from, self.to, |block| cells.add_minutes(&block)));
        }
        cells.answer(damage)
    }

    /// Gathers what `ring` knows.
    #[cfg(not(target_os = "linux"))]
    pub fn run(&self, ring: Option<&Ring>) -> Answer {
        let mut cells = Cells::new(self);
        if let Some(ring) = ring {
            cells.add_ring(ring, None);
        }
        cells.answer(Damage::default())
    }
}

/// One step of one series.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Sum or what else the fold says.
    value: i64,
    count: u32,
    /// It is known in full; minutes add nothing.
    sealed: bool,
}

struct Cells<'a> {
    query: &'a Query,
    step_ms: u64,
    /// Steps of a series.
    steps: usize,
    series: BTreeMap<SeriesKey, Vec<Cell>>,
    left_out: std::collections::BTreeSet<SeriesKey>,
}

impl<'a> Cells<'a> {
    fn new(query: &'a Query) -> Self {
        let whole = query.to.0.saturating_sub(query.from.0);
        let most = u64::try_from(MAX_VALUES).unwrap_or(u64::MAX);
        // Whole seconds, because that is how a series tells its step.
        let least_secs = whole.div_ceil(most).div_ceil(1000);
        let step_secs = u64::from(query.step_secs).max(least_secs).clamp(1, u32::MAX.into());
        let step_ms = step_secs * 1000;
        let steps = usize::try_from(whole.div_ceil(step_ms)).unwrap_or(MAX_VALUES).min(MAX_VALUES);
        Self { query, step_ms, steps, series: BTreeMap::new(), left_out: std::collections::BTreeSet::new() }
    }

    /// Adds what the ring has. Of what is in files too, only what lies within `known`: what came before the clock was last set back is
    /// left to them.
    fn add_ring(&mut self, ring: &Ring, known: Option<(WallTime, WallTime)>) {
        for (key, values) in ring.series().filter(|(key, _)| self.query.series.iter().any(|one| one.holds(key))) {
            let known = known.filter(|_| key.subject.as_ref().is_none_or(Subject::may_be_kept));
            for (at, value) in values.filter(|(at, _)| known.is_none_or(|(from, to)| (from..=to).contains(at))) {
                self.add(key, at, value);
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn add_full(&mut self, block: &Block, known: Option<(WallTime, WallTime)>) {
        for (key, columns) in block.series.iter().filter(|(key, _)| self.query.series.iter().any(|one| one.holds(key)))
        {
            for (index, code) in columns.iter().flatten().enumerate().filter(|(_, code)| **code != ABSENT) {
                let at = block.time(index);
                if known.is_none_or(|(from, to)| !(from..=to).contains(&at)) {
                    self.add(key, at, key.figure.value(*code));
                }
            }
        }
    }

    /// From now on, what has a value keeps it.
    #[cfg(target_os = "linux")]
    fn seal(&mut self) {
        self.series.values_mut().flatten().for_each(|cell| cell.sealed = cell.count > 0);
    }

    #[cfg(target_os = "linux")]
    fn add_minutes(&mut self, block: &Block) {
        let column = match self.query.fold {
            Fold::Min => 0,
            Fold::Max => 1,
            Fold::Mean => 2,
            Fold::Last => 3,
        };
        for (key, columns) in block.series.iter().filter(|(key, _)| self.query.series.iter().any(|one| one.holds(key)))
        {
            let codes = columns.get(column).into_iter().flatten().enumerate();
            for (index, code) in codes.filter(|(_, code)| **code != ABSENT) {
                self.add(key, block.time(index), key.figure.value(*code));
            }
        }
    }

    fn add(&mut self, key: &SeriesKey, at: WallTime, value: i64) {
        if at < self.query.from || at >= self.query.to {
            return;
        }
        if !self.series.contains_key(key) {
            let room = (MAX_ANSWER_VALUES / self.steps.max(1)).clamp(1, MAX_SERIES);
            if self.series.len() >= room {
                if self.left_out.len() < MAX_SERIES {
                    self.left_out.insert(key.clone());
                }
                return;
            }
            self.series.insert(key.clone(), vec![Cell::default(); self.steps]);
        }
        let index = usize::try_from((at.0 - self.query.from.0) / self.step_ms).unwrap_or(usize::MAX);
        let cell = self.series.get_mut(key).and_then(|cells| cells.get_mut(index));
        let Some(cell) = cell.filter(|cell| !cell.sealed) else { return };
        cell.value = match self.query.fold {
            _ if cell.count == 0 => value,
            Fold::Mean => cell.value.saturating_add(value),
            Fold::Min => cell.value.min(value),
            Fold::Max => cell.value.max(value),
            Fold::Last => value,
        };
        cell.count = cell.count.saturating_add(1);
    }

    fn answer(self, damage: Damage) -> Answer {
        let (fold, start) = (self.query.fold, self.query.from);
        let step_secs = u32::try_from(self.step_ms / 1000).unwrap_or(u32::MAX);
        let value = |cell: Cell| match (cell.count, fold) {
            (0, _) => None,
            (count, Fold::Mean) => Some(cell.value.div_euclid(i64::from(count))),
            (_, Fold::Min | Fold::Max | Fold::Last) => Some(cell.value),
        };
        let series = self.series.into_iter().map(|(key, cells)| Series {
            stood_out: Vec::new(),
            figure: Label::cut(key.figure.name()),
            subject: key.subject.as_ref().map(Subject::named),
            unit: key.figure.unit(),
            start,
            step_secs,
            values: cells.into_iter().map(value).collect(),
        });
        Answer {
            series: series.collect(),
            series_left_out: u32::try_from(self.left_out.len()).unwrap_or(u32::MAX),
            damage,
        }
    }
}

#[cfg(test)]
mod tests;
