//! Compares what is said about a machine, field by field.

use std::collections::{BTreeMap, BTreeSet};

use wire::diagnostics::{
    Snapshot,
    report::{SectionId, SectionReport},
};

use super::FactChange;
use crate::{naming, outline, text::fit, tree::Tree};

/// Fields that are different each time and tell nothing.
const RESTLESS: &[&str] = &[
    "hardware_clock",
    "compared_at",
    "took_ms",
    "last",
    "next",
    "start_ticks",
    "cpu_ms",
    "frequency_ppb",
    "slowest_mhz",
    "fastest_mhz",
];

/// Tables and totals of a sample whose figures are compared. What names come and go in, such as processes, is not.
const FIGURES: &[&str] =
    &["processor", "memory", "pressure", "limits", "filesystems", "disks", "networks", "temperatures", "fans"];

/// Times that differ by less are the same: a start of the machine is told by a clock that is set now and then.
const SAME_TIME_MS: u64 = 60_000;

/// Longer values are cut.
const MAX_VALUE: usize = 256;

/// What differs between two trees of one type.
pub(super) fn compare(a: &Tree, b: &Tree) -> Vec<FactChange> {
    let mut comparison = Comparison::default();
    comparison.values("", a, b);
    comparison.changes
}

/// What differs between the sections of two reports, and which are there only once.
pub(super) fn compare_sections(a: &[SectionReport], b: &[SectionReport]) -> Vec<FactChange> {
    let mut comparison = Comparison::default();
    let of = |sections: &[SectionReport], id: SectionId| sections.iter().find(|section| section.section == id).cloned();
    for id in SectionId::ALL {
        let (before, after) = (of(a, *id), of(b, *id));
        comparison.path.push(naming::capital(id.name()));
        let outcome =
            |section: &Option<SectionReport>| section.as_ref().map(|section| section.outcome.name().replace('_', " "));
        if outcome(&before) != outcome(&after) {
            comparison.tell(outcome(&before), outcome(&after));
        }
        let content = |section: Option<SectionReport>| section.and_then(|section| section.content);
        // Processes come and go: what differs is too much to tell of a change.
        if *id == SectionId::Processes {
            comparison.path.pop();
            continue;
        }
        // A section that could not be read this time lost nothing.
        if let (Some(before), Some(after)) = (content(before), content(after)) {
            comparison.values("", &Tree::of(&before), &Tree::of(&after));
        }
        comparison.path.pop();
    }
    comparison.changes
}

/// What differs between the figures of two samples.
pub(super) fn compare_samples(a: &Snapshot, b: &Snapshot) -> Vec<FactChange> {
    let mut comparison = Comparison::default();
    let (a, b) = (Tree::of(a), Tree::of(b));
    for field in FIGURES {
        if let (Some(before), Some(after)) = (a.field(field), b.field(field)) {
            comparison.inside(naming::title(field), field, before, after);
        }
    }
    comparison.changes
}

#[derive(Default)]
struct Comparison {
    path: Vec<String>,
    changes: Vec<FactChange>,
}

impl Comparison {
    fn tell(&mut self, before: Option<String>, after: Option<String>) {
        let cut = |value: Option<String>| value.map(|value| fit(&value, MAX_VALUE));
        self.changes.push(FactChange { path: self.path.clone(), before: cut(before), after: cut(after) });
    }

    /// Compares two values that stand one level further in.
    fn inside(&mut self, title: String, field: &str, a: &Tree, b: &Tree) {
        self.path.push(title);
        self.values(field, a, b);
        self.path.pop();
    }

    fn values(&mut self, field: &str, a: &Tree, b: &Tree) {
        if a == b || RESTLESS.contains(&field) {
            return;
        }
        match (a, b) {
            (Tree::Record(a), Tree::Record(_)) => {
                for (field, before) in a {
                    if let Some(after) = b.field(field) {
                        self.inside(naming::title(field), field, before, after);
                    }
                }
            }
            (Tree::List(a), Tree::List(b)) if a.iter().chain(b).any(|row| matches!(row, Tree::Record(_))) => {
                self.rows(a, b);
            }
            (Tree::List(a), Tree::List(b)) => self.items(field, a, b),
            (Tree::Number(before), Tree::Number(after)) if naming::is_amount(field, a) => {
                if naming::differs(field, *before, *after) {
                    self.tell(naming::value(field, a), naming::value(field, b));
                }
            }
            (Tree::Time(before), Tree::Time(after)) if before.0.abs_diff(after.0) < SAME_TIME_MS => {}
            (a, b) => {
                let (before, after) = (summary(field, a), summary(field, b));
                if before != after {
                    self.tell(before, after);
                }
            }
        }
    }

    /// Compares lists of records, row by row. What names a row may be there several times; the second is then the second one.
    fn rows(&mut self, a: &[Tree], b: &[Tree]) {
        let (before, after) = (keyed(a), keyed(b));
        for (key, row) in &before {
            match after.get(key) {
                Some(other) => self.inside(written(key), "", row, other),
                None => self.row(key, Some(row), None),
            }
        }
        for (key, row) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
            self.row(key, None, Some(row));
        }
    }

    /// Tells of a row that is there only once.
    fn row(&mut self, key: &(String, usize), before: Option<&Tree>, after: Option<&Tree>) {
        self.path.push(written(key));
        let there = |row: Option<&Tree>| row.map(|row| summary("", row).unwrap_or_else(|| "there".to_owned()));
        self.tell(there(before), there(after));
        self.path.pop();
    }

    /// Compares lists of single values: what left and what came.
    fn items(&mut self, field: &str, a: &[Tree], b: &[Tree]) {
        let all = |items: &[Tree]| items.iter().filter_map(|item| naming::value(field, item)).collect::<BTreeSet<_>>();
        let (before, after) = (all(a), all(b));
        let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            let only = one.difference(other).cloned().collect::<Vec<_>>();
            (!only.is_empty()).then(|| only.join(", "))
        };
        if before != after {
            self.tell(only(&before, &after), only(&after, &before));
        }
    }
}

/// Rows by what names them and how often that was there before.
fn keyed(rows: &[Tree]) -> BTreeMap<(String, usize), &Tree> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut out = BTreeMap::new();
    for row in rows {
        let key = outline::key_of(row).unwrap_or_default();
        let times = seen.entry(key.clone()).or_default();
        *times += 1;
        out.insert((key, *times), row);
    }
    out
}

fn written((key, times): &(String, usize)) -> String {
    match (key.as_str(), times) {
        ("", times) => format!("number {times}"),
        (key, 1) => key.to_owned(),
        (key, times) => format!("{key} ({times})"),
    }
}

/// A value on one line; `None` if it says nothing. Of a record, its first words.
fn summary(field: &str, tree: &Tree) -> Option<String> {
    match tree {
        Tree::Record(fields) => {
            let told = fields.iter().filter_map(|(field, value)| {
                Some(format!("{} {}", naming::small(&naming::title(field)), naming::value(field, value)?))
            });
            let told = told.take(6).collect::<Vec<_>>().join(", ");
            (!told.is_empty()).then_some(told)
        }
        Tree::List(items) => Some(format!("{} of them", items.len())),
        Tree::Absent | Tree::Truth(_) | Tree::Number(_) | Tree::Text(_) | Tree::Word(_) | Tree::Time(_) => {
            naming::value(field, tree)
        }
    }
}
