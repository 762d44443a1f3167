//! What could not be read: listed in every sample, so that nothing is missing silently.

use std::io;

use wire::{
    diagnostics::{MAX_UNREADABLE, Unreadable},
    text::{Label, Sentence},
};

/// The sources of one sample that could not be read, or not in full.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Vec<Unreadable>);

impl Gaps {
    /// Notes that `source` is missing. The first reason for a source stands. A reason must not count anything that moves from
    /// sample to sample: the whole list is sent again whenever it changes.
    pub(crate) fn note(&mut self, source: &str, reason: &str) {
        let source = Label::cut(source);
        if self.0.len() < MAX_UNREADABLE && self.0.iter().all(|gap| gap.source != source) {
            self.0.push(Unreadable { source, reason: Sentence::cut(reason) });
        }
    }

    /// Notes that reading `source` went wrong.
    pub(crate) fn note_error(&mut self, source: &str, error: &io::Error) {
        self.note(source, &why(error));
    }

    /// Cuts `rows` to the bound of a sample, and says so.
    pub(crate) fn bound<T>(&mut self, source: &str, rows: &mut Vec<T>, limit: usize) {
        if rows.len() > limit {
            rows.truncate(limit);
            self.note(source, &format!("there are more than the {limit} that are listed"));
        }
    }

    /// Notes everything that `others` notes.
    #[cfg(target_os = "linux")]
    pub(crate) fn add(&mut self, others: &Self) {
        for gap in &others.0 {
            self.note(gap.source.raw(), gap.reason.raw());
        }
    }

    pub(crate) fn into_rows(self) -> Vec<Unreadable> {
        self.0
    }
}

/// An error in words, without the path or anything else that only a developer can read.
pub(crate) fn why(error: &io::Error) -> String {
    let words = [
        (io::ErrorKind::NotFound, "this system does not have it"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::InvalidData, "its content makes no sense"),
    ];
    let known = words.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| words.to_owned())
}
