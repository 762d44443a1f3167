//! Crashes, from the entries that systemd-coredump(8) leaves in the journal. Any program may leave such an entry. Those that are known to
//! come from others do not count; whoever ends right after writing is not known, so the rest is a hint.
//!
//! The entries have the arguments, the environment and the open files of the program as well. Those fields are never asked for.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use wire::{
    diagnostics::sections::crashes::{Crash, Crashes, CrashingProgram, MAX_CRASHES, MAX_PROGRAMS},
    time::WallTime,
};

use super::stack::Stack;
use crate::{
    journal::{self, Field, JOURNAL, StackEntry, before, now},
    manifest::Manifest,
    sources::Sources,
    tools::{JournalFields, JournalSelection, MessageId},
};

/// Most crashes that are looked at: the newest.
const MAX_LOOKED_AT: u32 = 5000;

/// Most crashes whose stacks are looked at: the newest. A message may have a hundred KiB.
const MAX_STACKS: u32 = 64;

/// A crash, and where the journal has it.
type Found = (Crash, Field);

/// Reads the crashes of the last seven days, and the stacks of the newest.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Crashes> {
    let now = now();
    let mut found = find(sources, now, manifest)?;
    if !found.is_empty() {
        add_stacks(sources, now, &mut found, manifest);
    }
    Some(digest(found, now, manifest))
}

/// As [`read`], without stacks.
pub(crate) fn read_without_stacks(sources: &Sources, manifest: &mut Manifest) -> Option<Crashes> {
    let now = now();
    Some(digest(find(sources, now, manifest)?, now, manifest))
}

/// The newest `most` entries about crashes of the last seven days.
fn selection(fields: JournalFields, most: u32, now: WallTime) -> JournalSelection {
    JournalSelection {
        message: Some(MessageId::Crash),
        since: Some(before(now, Duration::from_hours(7 * 24))),
        ..JournalSelection::newest(fields, most)
    }
}

/// The crashes, the newest first.
fn find(sources: &Sources, now: WallTime, manifest: &mut Manifest) -> Option<Vec<Found>> {
    let (mut found, mut claimed) = (Vec::new(), 0_usize);
    let selection = selection(JournalFields::Crashes, MAX_LOOKED_AT, now);
    journal::read(sources, selection, manifest, |entry| {
        if !entry.is_by_the_crash_handler() {
            claimed += 1;
            return;
        }
        let crash = Crash {
            time: entry.time(),
            program: entry.crashed_program(),
            signal: entry.crash_signal(),
            unit: entry.crash_unit(),
            module: None,
            stack: Vec::new(),
        };
        found.push((crash, entry.cursor));
    })?;
    if found.len() + claimed >= usize::try_from(MAX_LOOKED_AT).unwrap_or(usize::MAX) {
        manifest.partial(JOURNAL, &format!("only the newest {MAX_LOOKED_AT} crashes are looked at"));
    }
    if claimed > 0 {
        let why = format!("{claimed} crashes do not count: programs claimed them that do not handle crashes");
        manifest.partial(JOURNAL, &why);
    }
    found.sort_by_key(|(crash, _)| Reverse(crash.time));
    Some(found)
}

/// Gives those of `found` that will be listed their stacks, as far as the newest entries have them.
fn add_stacks(sources: &Sources, now: WallTime, found: &mut [Found], manifest: &mut Manifest) {
    let listed = found.len().min(MAX_CRASHES);
    let selection = selection(JournalFields::Stacks, MAX_STACKS, now);
    journal::read_as("stacks of crashes", sources, selection, manifest, |entry: StackEntry| {
        let of = found[..listed].iter_mut().find(|(_, cursor)| *cursor == entry.cursor);
        if let (Some((crash, _)), true) = (of, entry.is_by_the_crash_handler()) {
            let Stack { module, frames } = Stack::parse(&entry.message.lossy());
            (crash.module, crash.stack) = (module, frames);
        }
    });
}

/// Counts `found`, which are in the order that they will be listed in.
fn digest(found: Vec<Found>, now: WallTime, manifest: &mut Manifest) -> Crashes {
    let mut crashes = found.into_iter().map(|(crash, _)| crash).collect::<Vec<_>>();
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

    fn crash(program: &str, hours_ago: u64) -> Found {
        let time = before(NOW, Duration::from_hours(hours_ago));
        let crash =
            Crash { time, program: Label::cut(program), signal: 11, unit: None, module: None, stack: Vec::new() };
        (crash, Field::default())
    }

    #[test]
    fn programs_are_counted_over_a_day_and_the_most_often_stands_first() {
        let crashes = vec![crash("b", 1), crash("a", 2), crash("b", 3), crash("c", 25), crash("a", 100)];
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
