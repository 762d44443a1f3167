//! Crashes, from the entries that systemd-coredump(8) leaves in the journal. Any program may leave such an entry. Those that are known to
//! come from others do not count; whoever ends right after writing is not known, so the rest is a hint.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use wire::{
    diagnostics::sections::crashes::{Crash, Crashes, CrashingProgram, MAX_CRASHES, MAX_PROGRAMS},
    time::WallTime,
};

use crate::{
    journal::{self, JOURNAL, before, now},
    manifest::Manifest,
    sources::Sources,
    tools::{JournalFields, JournalSelection, MessageId},
};

/// Most crashes that are looked at: the newest.
const MAX_LOOKED_AT: u32 = 5000;

/// Reads the crashes of the last seven days.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Crashes> {
    let now = now();
    let (mut crashes, mut claimed) = (Vec::new(), 0_usize);
    let selection = JournalSelection {
        message: Some(MessageId::Crash),
        since: Some(before(now, Duration::from_hours(7 * 24))),
        ..JournalSelection::newest(JournalFields::Crashes, MAX_LOOKED_AT)
    };
    journal::read(sources, selection, manifest, |entry| {
        if !entry.is_by_the_crash_handler() {
            claimed += 1;
            return;
        }
        crashes.push(Crash {
            time: entry.time(),
            program: entry.crashed_program(),
            signal: entry.crash_signal(),
            unit: entry.crash_unit(),
        });
    })?;
    if crashes.len() + claimed >= usize::try_from(MAX_LOOKED_AT).unwrap_or(usize::MAX) {
        manifest.partial(JOURNAL, &format!("only the newest {MAX_LOOKED_AT} crashes are looked at"));
    }
    if claimed > 0 {
        let why = format!("{claimed} crashes do not count: programs claimed them that do not handle crashes");
        manifest.partial(JOURNAL, &why);
    }
    Some(digest(crashes, now, manifest))
}

fn digest(mut crashes: Vec<Crash>, now: WallTime, manifest: &mut Manifest) -> Crashes {
    crashes.sort_by_key(|crash| Reverse(crash.time));
    let last_week = u32::try_from(crashes.len()).unwrap_or(u32::MAX);
    let day = before(now, Duration::from_hours(24));
    let mut counts = BTreeMap::new();
    for crash in crashes.iter().filter(|crash| crash.time >= day) {
        *counts.entry(crash.program.clone()).or_insert(0_u32) += 1;
    }
    let last_day = counts.values().sum();
    let mut programs =
        counts.into_iter().map(|(program, last_day)| CrashingProgram { program, last_day }).collect::<Vec<_>>();
    programs.sort_by_key(|program| Reverse(program.last_day));
    manifest.bound("crashing programs", &mut programs, MAX_PROGRAMS);
    manifest.bound("crashes", &mut crashes, MAX_CRASHES);
    Crashes { crashes, programs, last_day, last_week }
}

#[cfg(test)]
mod tests {
    use wire::text::Label;

    use super::*;

    const NOW: WallTime = WallTime(1_795_329_304_000);

    fn crash(program: &str, hours_ago: u64) -> Crash {
        let time = before(NOW, Duration::from_hours(hours_ago));
        Crash { time, program: Label::cut(program), signal: 11, unit: None }
    }

    #[test]
    fn programs_are_counted_over_a_day_and_the_most_often_stands_first() {
        let crashes = vec![crash("a", 100), crash("b", 3), crash("a", 2), crash("b", 1), crash("c", 25)];
        let digest = digest(crashes, NOW, &mut Manifest::default());
        assert_eq!((digest.last_day, digest.last_week), (3, 5));
        let programs = digest.programs.iter().map(|row| (row.program.raw(), row.last_day)).collect::<Vec<_>>();
        assert_eq!(programs, [("b", 2), ("a", 1)]);
        assert_eq!(digest.crashes.iter().map(|crash| crash.program.raw()).collect::<String>(), "babca");
    }

    #[test]
    fn a_program_that_never_stops_crashing_is_counted_in_full_and_listed_in_part() {
        let crashes = vec![crash("a", 1); MAX_CRASHES + 1];
        let mut manifest = Manifest::default();
        let digest = digest(crashes, NOW, &mut manifest);
        assert_eq!((digest.crashes.len(), digest.last_day), (MAX_CRASHES, 65));
        assert_eq!(manifest.into_sources().len(), 1);
    }
}
