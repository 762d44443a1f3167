//! What a section was made from: each source, how far it was read, and why not further.

use std::io;

use wire::{
    diagnostics::report::{Coverage, Outcome, Source},
    text::{Label, Sentence},
};

use crate::gaps::why;

/// Most sources that a section names.
const MAX_SOURCES: usize = 32;

/// Collects the sources of one section while it is read.
#[derive(Debug, Default)]
pub(crate) struct Manifest(Vec<Source>);

impl Manifest {
    /// `source` was read in full.
    pub(crate) fn read(&mut self, source: &str) {
        self.note(source, Coverage::Read, "");
    }

    /// `source` was read in part.
    pub(crate) fn partial(&mut self, source: &str, reason: &str) {
        self.note(source, Coverage::Partial, reason);
    }

    /// `source` was not read.
    pub(crate) fn missing(&mut self, source: &str, reason: &str) {
        self.note(source, Coverage::Missing, reason);
    }

    /// `source` was not read because of `error`.
    pub(crate) fn failed(&mut self, source: &str, error: &io::Error) {
        self.missing(source, &why(error));
    }

    /// Keeps the content of a source that was read, and notes whether it was.
    pub(crate) fn keep<T>(&mut self, source: &str, read: io::Result<T>) -> Option<T> {
        match read {
            Ok(content) => {
                self.read(source);
                Some(content)
            }
            Err(error) => {
                self.failed(source, &error);
                None
            }
        }
    }

    /// Cuts `rows` to `limit`, and says so.
    pub(crate) fn bound<T>(&mut self, source: &str, rows: &mut Vec<T>, limit: usize) {
        if rows.len() > limit {
            let more = rows.len() - limit;
            rows.truncate(limit);
            self.partial(source, &format!("{more} more than the {limit} that are listed"));
        }
    }

    /// What that makes of a section that found something, or nothing.
    pub(crate) fn outcome(&self, found: bool) -> Outcome {
        match (found, self.0.iter().all(|source| source.coverage == Coverage::Read)) {
            (false, _) => Outcome::Unavailable,
            (true, true) => Outcome::Complete,
            (true, false) => Outcome::Partial,
        }
    }

    pub(crate) fn into_sources(self) -> Vec<Source> {
        self.0
    }

    /// A source is listed once, with the worst that is known of it.
    fn note(&mut self, source: &str, coverage: Coverage, reason: &str) {
        let name = Label::cut(source);
        let reason = Sentence::cut(reason);
        let new = Source { name, coverage, reason };
        match self.0.iter_mut().find(|known| known.name == new.name) {
            Some(known) if known.coverage < coverage => *known = new,
            Some(_) => {}
            None => self.0.push(new),
        }
        self.0.truncate(MAX_SOURCES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_stands_once_with_the_worst_that_is_known_of_it() {
        let mut manifest = Manifest::default();
        manifest.read("a");
        manifest.partial("a", "cut");
        manifest.read("a");
        manifest.failed("b", &io::ErrorKind::PermissionDenied.into());
        assert_eq!(manifest.outcome(true), Outcome::Partial);
        let sources = manifest.into_sources();
        let told = sources.iter().map(|s| (s.name.raw(), s.coverage, s.reason.raw())).collect::<Vec<_>>();
        assert_eq!(told, [("a", Coverage::Partial, "cut"), ("b", Coverage::Missing, "permission denied")]);
    }

    #[test]
    fn rows_over_the_bound_are_counted() {
        let mut manifest = Manifest::default();
        let mut rows = vec![1, 2, 3];
        manifest.bound("rows", &mut rows, 2);
        assert_eq!(rows, [1, 2]);
        assert_eq!(manifest.into_sources()[0].reason.raw(), "1 more than the 2 that are listed");
    }
}
