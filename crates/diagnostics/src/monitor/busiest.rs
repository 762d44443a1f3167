//! Remembers, minute by minute, which programs took most processor time, so that it can be told afterwards who was busy then.

use std::{cmp::Reverse, collections::BTreeMap};

use wire::{
    text::Label,
    time::{Moment, WallTime},
};

use crate::history::{Figure, RING_TIME, SeriesKey, Subject};

/// Programs that are told of a minute.
const TOLD: usize = 10;

/// What takes less of a processor than so many thousandths is not told.
const LEAST_PERMILLE: u32 = 10;

/// Most names within [`RING_TIME`]: a program that goes by another name each second does not crowd out everything else.
const MAX_NAMES: usize = 32;

const MINUTE_MS: u64 = 60_000;

/// The minute that goes on, and the names that were told lately.
#[derive(Debug, Default)]
pub(super) struct Busiest {
    /// Minutes since 1970.
    minute: u64,
    samples: u32,
    /// Sums over the samples of the minute.
    sums: BTreeMap<Label, u64>,
    named: BTreeMap<Label, Moment>,
}

impl Busiest {
    /// Takes the busiest programs, each with the thousandths of one processor that it takes, measured at `now`. Returns what is told of the
    /// minute before if this is the first sample after it.
    pub(super) fn note(
        &mut self,
        programs: Vec<(Label, u32)>,
        (now, wall): (Moment, WallTime),
    ) -> Vec<(SeriesKey, i64)> {
        let minute = wall.0 / MINUTE_MS;
        // Of one that ended longer ago it would be told at the wrong time.
        let told = if self.minute.checked_add(1) == Some(minute) { self.end(now) } else { Vec::new() };
        if minute != self.minute {
            (self.samples, self.minute) = (0, minute);
            self.sums.clear();
        }
        self.samples += 1;
        for (name, permille) in programs {
            *self.sums.entry(name).or_default() += u64::from(permille);
        }
        told
    }

    fn end(&mut self, now: Moment) -> Vec<(SeriesKey, i64)> {
        let samples = u64::from(self.samples.max(1));
        let means = std::mem::take(&mut self.sums).into_iter().map(|(name, sum)| (name, sum / samples));
        let mut busy = means.filter(|(_, mean)| *mean >= u64::from(LEAST_PERMILLE)).collect::<Vec<_>>();
        busy.sort_by_key(|(_, mean)| Reverse(*mean));
        self.named.retain(|_, told| now - *told < RING_TIME);
        let named = &mut self.named;
        let told = busy.into_iter().take(TOLD).filter(|(name, _)| {
            let room = named.contains_key(name) || named.len() < MAX_NAMES;
            room.then(|| named.insert(name.clone(), now));
            room
        });
        let rows = told.map(|(name, mean)| {
            (SeriesKey::of(Figure::ProcessCpu, Subject::Program(name)), i64::try_from(mean).unwrap_or(i64::MAX))
        });
        rows.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// What is told of the minute that begins at `minute`, in which `programs` says at each sample who is busy; one follows after it.
    fn told(busiest: &mut Busiest, minute: u64, programs: impl Fn(u64) -> Vec<(String, u32)>) -> Vec<(String, i64)> {
        let mut note = |rows: Vec<(String, u32)>, secs: u64| {
            let rows = rows.into_iter().map(|(name, permille)| (Label::cut(&name), permille)).collect();
            busiest.note(rows, (Moment::from_origin(Duration::from_secs(secs)), WallTime(secs * 1000)))
        };
        for sample in 0..12 {
            let told = note(programs(sample), minute * 60 + sample * 5);
            assert!(told.is_empty() || sample == 0, "a minute is told when it is over");
        }
        let named = |key: SeriesKey| key.subject.unwrap().named().label().raw().to_owned();
        note(Vec::new(), minute * 60 + 60).into_iter().map(|(key, permille)| (named(key), permille)).collect()
    }

    #[test]
    fn a_minute_is_told_by_the_mean_of_each_program_and_without_those_at_rest() {
        let mut busiest = Busiest::default();
        let of = |rows: &[(&str, u32)]| rows.iter().map(|(name, permille)| ((*name).to_owned(), *permille)).collect();
        let minute = told(&mut busiest, 7, |sample| {
            if sample < 6 { of(&[("backup", 800), ("editor", 20)]) } else { of(&[("editor", 20), ("shell", 1)]) }
        });
        assert_eq!(minute, [("backup".to_owned(), 400), ("editor".to_owned(), 20)]);
        assert_eq!(told(&mut busiest, 10, |_| of(&[("editor", 30)])), [("editor".to_owned(), 30)]);
        assert!(told(&mut busiest, 20, |_| Vec::new()).is_empty());
    }

    #[test]
    fn a_program_that_changes_its_name_does_not_crowd_out_the_others_for_good() {
        let mut busiest = Busiest::default();
        let mut names = std::collections::BTreeSet::new();
        for minute in 0..7 {
            let rows = told(&mut busiest, minute * 2, |sample| vec![(format!("x{minute}-{sample}"), 1000)]);
            names.extend(rows.into_iter().map(|(name, _)| name));
        }
        assert_eq!(names.len(), MAX_NAMES);
        let later = told(&mut busiest, 60, |_| vec![("editor".to_owned(), 500)]);
        assert_eq!(later, [("editor".to_owned(), 500)]);
    }
}
