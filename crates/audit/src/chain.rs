//! Checking a log line by line.

use wire::{
    evidence::Event,
    ids::{Digest, SessionId},
    session::AUDIT_LINE_BYTES,
};

use crate::{
    line::{self, Content, Entry, Kind, Parsed},
    summary::{State, Summary},
};

/// The first line of a log that cannot stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {n} is bad: {fault}")]
pub struct BadEntry {
    /// Which entry should have been there, which is also the number of its line.
    pub n: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Longer than [`AUDIT_LINE_BYTES`].
    #[error("it is longer than any entry can be")]
    TooLong,
    /// Not of the form that the crate documents.
    #[error("it is not an entry of an audit log")]
    Malformed,
    /// Something was removed, added or moved.
    #[error("entry {found} stands in its place, so entries were removed, added or moved")]
    Number {
        /// The number that the line has.
        found: u64,
    },
    /// The readable time is not the one in milliseconds.
    #[error("its two times do not agree")]
    Time,
    /// The line, or something before it, is not what was written.
    #[error("its hash does not fit, so it or an entry before it was changed")]
    Hash,
    /// The chain is whole, but the event is not one that this version knows.
    #[error("this version cannot read its event: {reason}")]
    UnknownEvent {
        /// Where the reader stopped.
        reason: String,
    },
    /// A log begins with the pairing.
    #[error("a log begins with the pairing, and this does not")]
    NotPaired,
    /// There is one pairing in a log.
    #[error("a second pairing in one log")]
    PairedAgain,
    /// Nothing but the closing line follows the end.
    #[error("it comes after the end of the session")]
    AfterEnd,
    /// Nothing follows the closing line.
    #[error("it comes after the log was closed")]
    AfterClose,
    /// A log is closed after the end of the session.
    #[error("the log is closed before the end of the session")]
    ClosedEarly,
    /// The closing line is about other entries.
    #[error("the closing signature is for other entries")]
    OtherHead,
    /// The closing line is not by the agent that paired.
    #[error("the log is signed by another key than the agent's")]
    OtherKey,
    /// The closing signature does not verify.
    #[error("the closing signature is wrong")]
    Signature,
    /// The log is of another session than expected.
    #[error("the log is of another session")]
    OtherSession,
    /// The log names other keys than the ones with which the session was paired.
    #[error("the log names other keys than those of the session")]
    OtherPeers,
}

/// What somebody who took part in the session knows about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The session.
    pub session: SessionId,
    /// SHA-256 of the agent's public key.
    pub agent_key: Digest,
    /// SHA-256 of the technician's public key.
    pub technician_key: Digest,
}

/// Takes the lines of a log one after the other and names the first that is bad.
#[derive(Debug)]
pub struct Chain {
    head: Digest,
    next: u64,
    expected: Option<Expected>,
    summary: Option<Summary>,
    bad: Option<BadEntry>,
}

impl Chain {
    /// Starts before the first line of a log of which nothing is known.
    pub fn new() -> Self {
        Self { head: line::genesis(), next: 1, expected: None, summary: None, bad: None }
    }

    /// Starts before the first line of the log of a session that is known.
    pub fn expecting(expected: Expected) -> Self {
        Self { expected: Some(expected), ..Self::new() }
    }

    /// Takes the next line, without its line feed.
    ///
    /// # Errors
    ///
    /// Why the line is bad. From then on every line is refused with the same error, because nothing behind a bad entry means
    /// anything.
    pub fn push(&mut self, line: &[u8]) -> Result<Entry, BadEntry> {
        if let Some(bad) = &self.bad {
            return Err(bad.clone());
        }
        self.take(line).map_err(|fault| self.refuse(fault))
    }

    /// Marks the next line as bad without having seen it whole.
    pub(crate) fn refuse(&mut self, fault: Fault) -> BadEntry {
        let bad = BadEntry { n: self.next, fault };
        self.bad = Some(bad.clone());
        bad
    }

    /// What the good lines say so far; none before the first.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// As [`Chain::summary`], after the last line: `torn_bytes` of an unfinished line stood behind it.
    pub(crate) fn into_summary(self, torn_bytes: u64) -> Option<Summary> {
        let mut summary = self.summary?;
        match &mut summary.state {
            State::NotClosed { torn_bytes: torn } => *torn = torn_bytes,
            State::Closed => {}
        }
        Some(summary)
    }

    /// Whether `beginning` can be the beginning of the next line.
    pub(crate) fn could_go_on_with(&self, beginning: &[u8]) -> bool {
        let opening = line::opening(self.next);
        let length = beginning.len().min(opening.len());
        !self.is_closed() && beginning.get(..length) == opening.as_bytes().get(..length)
    }

    /// Whether the closing line was taken.
    pub fn is_closed(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.state == State::Closed)
    }

    fn take(&mut self, line: &[u8]) -> Result<Entry, Fault> {
        if line.len() > AUDIT_LINE_BYTES {
            return Err(Fault::TooLong);
        }
        if self.is_closed() {
            return Err(Fault::AfterClose);
        }
        let Parsed { at, kind } = line::parse(line, self.next, self.head)?;
        let content = match kind {
            Kind::Entry { claimed, computed, .. } if claimed != computed => return Err(Fault::Hash),
            Kind::Entry { computed, event, .. } => {
                let event = line::event(&event)?;
                self.check_place(&event)?;
                self.head = computed;
                Content::Event(event)
            }
            Kind::Closed { head, key } => {
                let summary = self.summary.as_ref().ok_or(Fault::NotPaired)?;
                if summary.end.is_none() {
                    return Err(Fault::ClosedEarly);
                }
                if key.digest() != summary.agent_key {
                    return Err(Fault::OtherKey);
                }
                if head != self.head {
                    return Err(Fault::OtherHead);
                }
                Content::Closed { head, key }
            }
        };
        let entry = Entry { n: self.next, at, content };
        self.note(&entry);
        self.next += 1;
        Ok(entry)
    }

    /// Whether `event` may stand at this place.
    fn check_place(&self, event: &Event) -> Result<(), Fault> {
        match (&self.summary, event) {
            (None, Event::Paired { session, agent_key, technician_key, .. }) => match self.expected {
                Some(expected) if expected.session != *session => Err(Fault::OtherSession),
                Some(expected) if (expected.agent_key, expected.technician_key) != (*agent_key, *technician_key) => {
                    Err(Fault::OtherPeers)
                }
                Some(_) | None => Ok(()),
            },
            (None, _) => Err(Fault::NotPaired),
            (Some(_), Event::Paired { .. }) => Err(Fault::PairedAgain),
            (Some(summary), _) if summary.end.is_some() => Err(Fault::AfterEnd),
            (Some(_), _) => Ok(()),
        }
    }

    fn note(&mut self, entry: &Entry) {
        match &mut self.summary {
            Some(summary) => summary.note(entry, self.head),
            None => self.summary = Summary::begin(entry, self.head),
        }
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}
