//! Every process as a tree: below each the processes that it started.

use std::collections::HashMap;

use unicode_width::UnicodeWidthStr as _;
use wire::diagnostics::{
    findings::Unit,
    report::{Content, Coverage, SectionReport},
    sections::processes::{ProcessRow, Processes},
};

use crate::{outline, text::fit, told::amount, units};

/// Cells that the name of an owner may take.
const OWNER: usize = 16;

/// No row stands further in than so many steps: deeper trees are a fault of their own, and must not fill the screen.
const MAX_STEPS: usize = 24;

/// The section as lines for a terminal, each process behind the one that started it; `None` if it is another section or has nothing.
pub fn tree(report: &SectionReport) -> Option<String> {
    let Some(Content::Processes(processes)) = &report.content else { return None };
    let Processes { seen, left_out, processes: rows } = &**processes;
    let kernel = rows.iter().filter(|row| row.kernel_thread).count();
    let mut text = format!("{seen} processes, {kernel} of the {} below are the kernel's own. ", rows.len());
    text.push_str(&outline::how_it_came(report));
    text.push('\n');
    let owner = rows.iter().map(|row| fit(&row.owner.shown(), OWNER).width()).max().unwrap_or(0).max(5);
    text.push_str(&format!(
        "\n{:>7} {:<owner$} S {:>7} {:>9} {:>9} {:>12}  NAME\n",
        "PID", "OWNER", "THREADS", "MEMORY", "CPU", "AGE"
    ));
    for (depth, row) in in_order(rows) {
        let name = fit(&row.owner.shown(), OWNER);
        let state = wire::text::shown(&row.state.to_string());
        // What is said to be the kernel's has no memory, and any program can have a worker's name.
        let memory = if row.kernel_thread { "kernel".to_owned() } else { amount(row.resident_kib, Unit::Kib) };
        let age = row.age_secs.map_or_else(|| "-".to_owned(), units::seconds);
        text.push_str(&format!(
            "{:>7} {name}{:pad$} {state} {:>7} {memory:>9} {:>9} {age:>12}  {:indent$}{}\n",
            row.pid,
            "",
            row.threads,
            amount(row.cpu_ms, Unit::Millis),
            "",
            row.name.shown(),
            pad = owner.saturating_sub(name.width()),
            indent = depth.min(MAX_STEPS) * 2,
        ));
    }
    if *left_out > 0 {
        text.push_str(&format!("{left_out} more are not listed\n"));
    }
    for source in report.sources.iter().filter(|source| source.coverage != Coverage::Read) {
        text.push_str(&format!("{}: {}\n", source.name, source.reason));
    }
    Some(text)
}

/// Every row exactly once, with the number of rows above it: each behind its parent, those with the same parent by number. Whoever has
/// no parent in the list stands at the top. So does one of those that go in a circle, which a number that was used again can make.
fn in_order(rows: &[ProcessRow]) -> Vec<(usize, &ProcessRow)> {
    let mut rows = rows.iter().collect::<Vec<_>>();
    rows.sort_by_key(|row| row.pid);
    let mut place_of = HashMap::new();
    for (place, row) in rows.iter().enumerate() {
        place_of.entry(row.pid).or_insert(place);
    }
    let parent_of = |place: usize| {
        let row = rows[place];
        place_of.get(&row.parent).copied().filter(|_| row.parent != row.pid)
    };
    let mut children = vec![Vec::new(); rows.len()];
    for place in 0..rows.len() {
        if let Some(parent) = parent_of(place) {
            children[parent].push(place);
        }
    }
    let mut told = vec![false; rows.len()];
    let mut out = Vec::with_capacity(rows.len());
    let mut tell = |top: usize, told: &mut Vec<bool>| {
        let mut waiting = vec![(0, top)];
        while let Some((depth, place)) = waiting.pop() {
            if std::mem::replace(&mut told[place], true) {
                continue;
            }
            out.push((depth, rows[place]));
            waiting.extend(children[place].iter().rev().map(|child| (depth + 1, *child)));
        }
    };
    for top in (0..rows.len()).filter(|place| parent_of(*place).is_none()) {
        tell(top, &mut told);
    }
    // Whoever is left is in a circle or below one: the way up ends where it has been before.
    let mut walked = vec![false; rows.len()];
    for start in 0..rows.len() {
        let mut top = start;
        while !told[start] && !std::mem::replace(&mut walked[top], true) {
            top = parent_of(top).unwrap_or(top);
        }
        tell(top, &mut told);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wire::{
        diagnostics::report::{Outcome, SectionId, Source},
        text::{Label, Sentence},
        time::WallTime,
    };

    use super::*;
    use crate::testing::{HOSTILE, filler::Filler};

    fn row(pid: u32, parent: u32, name: &str) -> ProcessRow {
        ProcessRow {
            pid,
            parent,
            name: Label::cut(name),
            owner: Label::cut("root"),
            state: 'S',
            threads: 1,
            ..ProcessRow::default()
        }
    }

    fn section(rows: Vec<ProcessRow>) -> SectionReport {
        let processes = Processes { seen: u32::try_from(rows.len()).unwrap(), left_out: 0, processes: rows };
        SectionReport {
            section: SectionId::Processes,
            taken_at: WallTime(1_763_793_304_000),
            took_ms: 12,
            outcome: Outcome::Complete,
            sources: Vec::new(),
            content: Some(Content::Processes(Box::new(processes))),
        }
    }

    #[test]
    fn a_machine_as_a_tree() {
        let mut report = section(vec![
            ProcessRow { resident_kib: 12_800, cpu_ms: 5400, age_secs: Some(180_000), ..row(1, 0, "systemd") },
            ProcessRow { kernel_thread: true, age_secs: Some(180_000), ..row(2, 0, "kthreadd") },
            ProcessRow { kernel_thread: true, cpu_ms: 70, state: 'I', ..row(31, 2, "kworker/0:1-events") },
            ProcessRow {
                resident_kib: 900,
                owner: Label::cut("user-1"),
                threads: 12,
                ..row(900, 610, "[kworker/0:9]")
            },
            ProcessRow { resident_kib: 4000, ..row(610, 1, "sshd") },
            row(905, 900, "vi\n\u{1b}[2J 1 root"),
            row(611, 1, "cron"),
            row(50, 49, "its parent is not listed"),
            row(60, 60, "its own parent"),
            row(71, 70, "second in a circle"),
            row(9, 71, "below a circle"),
            row(70, 71, "first in a circle"),
        ]);
        report.outcome = Outcome::Partial;
        let reason = Sentence::cut("the machine hides them (hidepid)");
        report.sources =
            vec![Source { name: Label::cut("processes of other users"), coverage: Coverage::Partial, reason }];
        if let Some(Content::Processes(processes)) = &mut report.content {
            (processes.seen, processes.left_out) = (14, 3);
        }
        insta::assert_snapshot!(tree(&report).unwrap());
    }

    #[test]
    fn another_section_is_no_tree() {
        assert_eq!(tree(&SectionReport { content: None, ..section(Vec::new()) }), None);
    }

    #[test]
    fn nothing_that_a_machine_sends_acts_on_the_terminal() {
        for content in Filler::full(HOSTILE, 1).contents() {
            let report = SectionReport { content: Some(content), ..section(Vec::new()) };
            if let Some(text) = tree(&report) {
                assert!(text.lines().count() > 3);
                assert!(
                    !text.contains(|c: char| c.is_control() && c != '\n') && !text.contains('\u{202e}'),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn a_chain_of_thousands_is_told_on_lines_of_bounded_length() {
        let text = tree(&section((1..=4096).map(|pid| row(pid, pid - 1, "sh")).collect())).unwrap();
        assert_eq!(text.lines().filter(|line| line.ends_with("sh")).count(), 4096);
        assert!(text.lines().all(|line| line.width() < 120));
    }

    proptest! {
        #[test]
        fn whatever_the_parents_are_every_process_is_told_once(
            parents in proptest::collection::vec((0..60_u32, 0..60_u32), 0..80),
        ) {
            let rows = parents.iter().enumerate().map(|(place, (pid, parent))| {
                ProcessRow { start_ticks: place as u64, ..row(*pid, *parent, "sh") }
            });
            let rows = rows.collect::<Vec<_>>();
            let told = in_order(&rows);
            let mut places = told.iter().map(|(_, row)| row.start_ticks).collect::<Vec<_>>();
            places.sort_unstable();
            prop_assert_eq!(places, (0..rows.len() as u64).collect::<Vec<_>>());
            // The parent of whatever stands further in is the nearest row above that stands one step less far in.
            for (place, (depth, row)) in told.iter().enumerate().filter(|(_, (depth, _))| *depth > 0) {
                let above = told[..place].iter().rev().find(|(other, _)| other < depth).unwrap();
                prop_assert_eq!((above.0 + 1, above.1.pid), (*depth, row.parent));
            }
            let text = tree(&section(rows.clone())).unwrap();
            prop_assert_eq!(text.lines().count(), told.len() + 3);
        }
    }
}
