//! The technician's copy of the audit log, and what it tells about the technician's own standing.

use std::{
    error::Error,
    iter,
    path::{Path, PathBuf},
};

use audit::{Content, Expected, Receipt, ReceiptError};
use transport::clock;
use wire::evidence::Event;

use crate::status::{ReceiptStatus, Standing};

/// Takes the agent's log line by line.
#[derive(Debug)]
pub(super) struct AuditCopy {
    directory: PathBuf,
    expected: Expected,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No line came yet.
    None,
    Sound(Box<Receipt>, u64),
    Broken {
        file: Option<PathBuf>,
        problem: String,
    },
}

impl AuditCopy {
    pub(super) fn new(directory: PathBuf, expected: Expected) -> Self {
        Self { directory, expected, state: State::None }
    }

    /// Takes one line and returns what it says about the technician's standing, if anything.
    ///
    /// A line that does not fit is kept out of the copy and shown; the session goes on, because the end user is not to lose their
    /// help over it.
    pub(super) fn push(&mut self, line: &[u8]) -> Option<Standing> {
        if matches!(self.state, State::None) {
            self.state = match Receipt::create(&self.directory, self.expected, clock::wall_time()) {
                Ok(receipt) => State::Sound(Box::new(receipt), 0),
                Err(error) => broken(None, &error),
            };
        }
        let State::Sound(receipt, entries) = &mut self.state else { return None };
        match receipt.push(line) {
            Ok(entry) => {
                *entries += 1;
                standing(&entry.content)
            }
            Err(error) => {
                self.state = broken(Some(receipt.path()), &error);
                None
            }
        }
    }

    pub(super) fn status(&self) -> ReceiptStatus {
        match &self.state {
            State::None => ReceiptStatus::None,
            State::Sound(receipt, entries) => {
                ReceiptStatus::Sound { file: receipt.path().display().to_string(), entries: *entries }
            }
            State::Broken { file, problem } => ReceiptStatus::Broken {
                file: file.as_deref().map(|file| file.display().to_string()),
                problem: problem.clone(),
            },
        }
    }

    /// Brings the copy to the disk. Returns where it lies and what is wrong with it.
    pub(super) fn finish(self) -> (Option<PathBuf>, Option<String>) {
        match self.state {
            State::None => (None, None),
            State::Sound(receipt, _) => match receipt.finish() {
                Ok(path) => (Some(path), None),
                Err(error) => (None, Some(in_one_line(&error))),
            },
            State::Broken { file, problem } => (file, Some(problem)),
        }
    }
}

fn broken(file: Option<&Path>, error: &ReceiptError) -> State {
    tracing::warn!(%error, "the copy of the audit log is not sound");
    State::Broken { file: file.map(Path::to_owned), problem: in_one_line(error) }
}

/// What happened, and why.
fn in_one_line(error: &ReceiptError) -> String {
    let causes = iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn standing(content: &Content) -> Option<Standing> {
    let event = match content {
        Content::Event(event) => event,
        Content::Closed { .. } => return None,
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "only two of the events speak of the technician's standing")]
    match event {
        Event::Paired { organisation: Some(organisation), .. } => {
            Some(Standing::Verified { organisation: wire::text::shown(organisation) })
        }
        Event::Paired { organisation: None, .. } => Some(Standing::Unverified),
        Event::WordsConfirmed => Some(Standing::WordsConfirmed),
        _ => None,
    }
}
