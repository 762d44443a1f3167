//! Errors since the machine started, from the journal, grouped by unit and template.

use std::collections::BTreeMap;

use wire::{
    diagnostics::sections::{
        errors::{ErrorGroup, Errors, MAX_GROUPS},
        logs::Priority,
    },
    text::{Label, Sentence},
};

use super::template::template;
use crate::{
    journal::{self, Entry, JOURNAL},
    manifest::Manifest,
    sources::Sources,
    tools::{JournalFields, JournalSelection},
};

/// Most lines that are looked at: the newest.
const MAX_LINES: u32 = 20_000;

/// Most groups that are told apart. A writer that makes every message unlike the others gets no more.
const MAX_TOLD_APART: usize = 2048;

/// Reads the errors since the machine started.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Errors> {
    let selection = JournalSelection {
        least: Some(Priority::Error),
        this_boot: true,
        ..JournalSelection::newest(JournalFields::Lines, MAX_LINES)
    };
    let mut digest = Digest::default();
    journal::read(sources, selection, manifest, |entry| digest.add(&entry))?;
    if digest.lines >= u64::from(MAX_LINES) {
        manifest.partial(JOURNAL, &format!("only the newest {MAX_LINES} errors are looked at"));
    }
    if digest.not_told_apart > 0 {
        manifest.partial(JOURNAL, &format!("{} lines are in no group: there are too many", digest.not_told_apart));
    }
    Some(digest.into_errors(manifest))
}

#[derive(Debug, Default)]
struct Digest {
    groups: BTreeMap<Key, ErrorGroup>,
    lines: u64,
    not_told_apart: u64,
}

/// Unit, identifier, template.
type Key = (Option<Label>, Label, Sentence);

impl Digest {
    fn add(&mut self, entry: &Entry) {
        self.lines += 1;
        let message = entry.message.text().map_or_else(|| "<binary>".to_owned(), template);
        let key = (entry.unit(), entry.identifier(), Sentence::cut(&message));
        let (time, priority) = (entry.time(), entry.priority().unwrap_or(Priority::Error));
        if let Some(group) = self.groups.get_mut(&key) {
            group.count += 1;
            group.first = group.first.min(time);
            group.last = group.last.max(time);
            group.gravest = group.gravest.min(priority);
        } else if self.groups.len() < MAX_TOLD_APART {
            let (unit, identifier, template) = key.clone();
            let group = ErrorGroup { unit, identifier, template, gravest: priority, count: 1, first: time, last: time };
            self.groups.insert(key, group);
        } else {
            self.not_told_apart += 1;
        }
    }

    fn into_errors(self, manifest: &mut Manifest) -> Errors {
        let mut groups = self.groups.into_values().collect::<Vec<_>>();
        groups.sort_by_key(|group| std::cmp::Reverse((group.count, group.last)));
        manifest.bound("error groups", &mut groups, MAX_GROUPS);
        Errors { groups, lines: self.lines }
    }
}
