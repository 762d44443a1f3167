//! Remembers, minute by minute, which programs took most processor time, so that it can be told afterwards who was busy then.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

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
    /// Takes the busiest programs, each with the thousandths of one processor that it takes, measured at `now`; the next sample comes
    /// `every` later. Returns what is told of the minute if it ends with this sample.
    pub(super) fn note(
        &mut self,
        programs: Vec<(Label, u32)>,
        (now, wall): (Moment, WallTime),
        every: Duration,
    ) -> Vec<(SeriesKey, i64)> {
        let minute = wall.0 / MINUTE_MS;
        if minute != self.minute {
            // Nobody measured when the one before ended.
            (self.samples, self.minute) = (0, minute);
            self.sums.clear();
        }
        self.samples += 1;
        for (name, permille) in programs {
            *self.sums.entry(name).or_default() += u64::from(permille);
        }
        let every = u64::try_from(every.as_millis()).unwrap_or(MINUTE_MS);
        if wall.0.saturating_add(every) / MINUTE_MS == minute {
            return Vec::new();
        }
        let samples = u64::from(self.samples.max(1));
        let means = std::mem::take(&mut self.sums).into_iter().map(|(name, sum)| (name, sum / samples));
        let mut busy = means.filter(|(_, mean)| *mean >= u64::from(LEAST_PERMILLE)).collect::<Vec<_>>();
        busy.sort_by_key(|(_, mean)| Reverse(*mean));
        self.samples = 0;
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
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    /// What is told of the minute that begins at `minute`, in which `programs` says at each sample who is busy.
    fn told(busiest: &mut Busiest, minute: u64, programs: impl Fn(u64) -> Vec<(String, u32)>) -> Vec<(String, i64)> {
        let samples = (0..12).flat_map(|sample| {
            let rows = programs(sample).into_iter().map(|(name, permille)| (Label::cut(&name), permille)).collect();
            let secs = minute * 60 + sample * 5;
            let at = (Moment::from_origin(Duration::from_secs(secs)), WallTime(secs * 1000));
            let told = busiest.note(rows, at, EVERY);
            assert!(told.is_empty() || sample == 11, "a minute is told when it ends");
            told
        });
        let named = |key: SeriesKey| key.subject.unwrap().named().label().raw().to_owned();
        samples.map(|(key, permille)| (named(key), permille)).collect()
    }

    #[test]
    fn a_minute_is_told_by_the_mean_of_each_program_and_without_those_at_rest() {
        let mut busiest = Busiest::default();
        let of = |rows: &[(&str, u32)]| rows.iter().map(|(name, permille)| ((*name).to_owned(), *permille)).collect();
        let minute = told(&mut busiest, 7, |sample| {
            if sample < 6 { of(&[("backup", 800), ("editor", 20)]) } else { of(&[("editor", 20), ("shell", 1)]) }
        });
        assert_eq!(minute, [("backup".to_owned(), 400), ("editor".to_owned(), 20)]);
        assert_eq!(told(&mut busiest, 9, |_| of(&[("editor", 30)])), [("editor".to_owned(), 30)]);
        assert!(told(&mut busiest, 10, |_| Vec::new()).is_empty());
    }

    #[test]
    fn a_program_that_changes_its_name_does_not_crowd_out_the_others_for_good() {
        let mut busiest = Busiest::default();
        let mut names = std::collections::BTreeSet::new();
        for minute in 0..14 {
            let rows = told(&mut busiest, minute, |sample| vec![(format!("x{minute}-{sample}"), 1000)]);
            names.extend(rows.into_iter().map(|(name, _)| name));
        }
        assert_eq!(names.len(), MAX_NAMES);
        let later = told(&mut busiest, 60, |_| vec![("editor".to_owned(), 500)]);
        assert_eq!(later, [("editor".to_owned(), 500)]);
    }
}
