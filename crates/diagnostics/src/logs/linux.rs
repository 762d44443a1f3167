//! Log lines from the journal.

use std::collections::VecDeque;

use wire::diagnostics::sections::logs::{
    Cursor, LogLine, LogQuery, LogText, Logs, MAX_LINES, MAX_TEXT_BYTES, MAX_UNITS, MessageForm,
};

use crate::{
    journal::{self, Entry, JOURNAL},
    manifest::Manifest,
    sources::Sources,
    tools::{JournalCursor, JournalFields, JournalSelection, UnitName},
};

/// Reads what a report has of the log.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Logs> {
    read_query(sources, &LogQuery::default(), manifest)
}

/// Reads what `query` asks for, within the bounds of an answer. What cannot be asked, such as a name that no unit can have, is
/// noted among the sources.
pub(crate) fn read_query(sources: &Sources, query: &LogQuery, manifest: &mut Manifest) -> Option<Logs> {
    let keep = if query.after.is_some() { Keep::First } else { Keep::Last };
    let mut lines = Lines { keep, rows: VecDeque::new(), text_bytes: 0, left_out: 0 };
    if let Some(selection) = selection(query, manifest) {
        journal::read(sources, selection, manifest, |entry| lines.add(&entry))?;
    }
    if lines.left_out > 0 {
        let most = MAX_TEXT_BYTES / 1024;
        manifest.partial(JOURNAL, &format!("{} lines are over the {most} KiB of one answer", lines.left_out));
    }
    Some(lines.into_logs())
}

/// `None` if nothing can match.
fn selection(query: &LogQuery, manifest: &mut Manifest) -> Option<JournalSelection> {
    // What names no kind is a service, as journalctl has it.
    let named = |name: &str| UnitName::new(name).or_else(|| UnitName::new(&format!("{name}.service")));
    let units = query.units.iter().take(MAX_UNITS).filter_map(|unit| named(unit.raw())).collect::<Vec<_>>();
    if units.len() < query.units.len() {
        let odd = query.units.len() - units.len();
        manifest.partial(JOURNAL, &format!("{odd} of the units asked for are too many or no units"));
        if units.is_empty() {
            return None;
        }
    }
    let after = match &query.after {
        None => None,
        Some(place) => {
            let cursor = JournalCursor::new(place.raw());
            if cursor.is_none() {
                manifest.partial(JOURNAL, "the place to go on from is not one");
                return None;
            }
            cursor
        }
    };
    Some(JournalSelection {
        least: Some(query.least),
        units,
        since: query.since,
        until: query.until,
        after,
        ..JournalSelection::newest(JournalFields::Lines, query.limit.clamp(1, MAX_LINES))
    })
}

/// Lines with as much text as one answer may have.
struct Lines {
    keep: Keep,
    rows: VecDeque<(LogLine, Option<Cursor>)>,
    text_bytes: usize,
    left_out: usize,
}

/// Which lines stay where there are too many.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// The first: who asks goes on behind them.
    First,
    /// The last: who asks wants the newest.
    Last,
}

impl Lines {
    fn add(&mut self, entry: &Entry) {
        let line = line(entry);
        let bytes = line.message.raw().len();
        if self.keep == Keep::First && (self.left_out > 0 || self.text_bytes + bytes > MAX_TEXT_BYTES) {
            self.left_out += 1;
            return;
        }
        self.text_bytes += bytes;
        self.rows.push_back((line, entry.cursor.peer_text()));
        while self.text_bytes > MAX_TEXT_BYTES
            && let Some((oldest, _)) = self.rows.pop_front()
        {
            self.text_bytes -= oldest.message.raw().len();
            self.left_out += 1;
        }
    }

    fn into_logs(self) -> Logs {
        let cursor = self.rows.iter().rev().find_map(|(_, cursor)| cursor.clone());
        Logs { lines: self.rows.into_iter().map(|(line, _)| line).collect(), cursor }
    }
}

fn line(entry: &Entry) -> LogLine {
    let message = &entry.message;
    let (text, form) = match message.text() {
        _ if message.is_empty() => ("", MessageForm::Absent),
        None => ("", MessageForm::Binary),
        Some(text) if message.is_cut() => (text, MessageForm::Cut),
        Some(text) => (text, MessageForm::Whole),
    };
    LogLine {
        time: entry.time(),
        unit: entry.unit(),
        priority: entry.priority(),
        identifier: entry.identifier(),
        message: LogText::cut(text),
        form,
    }
}
