//! What went wrong, for a person: what happened, what was not done, what to do next.

use std::{error::Error, fmt, io::IsTerminal as _};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use serde::{Deserialize, Serialize};

use crate::{exit::Exit, output};

/// An error that ends a command. Libraries below have errors of their own; a command turns them into this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "error")]
    happened: String,
    because: Option<Box<Cause>>,
    not_done: String,
    next: String,
    exit: u8,
}

/// What lies beneath, made safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    text: String,
    because: Option<Box<Cause>>,
}

impl Problem {
    /// `happened` and `not_done` are lower-case clauses without a full stop; `next` is a sentence.
    pub(crate) fn new(
        exit: Exit,
        happened: impl Into<String>,
        not_done: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            happened: happened.into(),
            because: None,
            not_done: not_done.into(),
            next: next.into(),
            exit: exit.code(),
        }
    }

    /// Adds what lies beneath.
    pub(crate) fn because(mut self, source: &(dyn Error + 'static)) -> Self {
        self.because = Some(Box::new(Cause::of(source)));
        self
    }

    /// Adds what lies beneath an error whose own words are told already.
    pub(crate) fn because_of(mut self, told: &(dyn Error + 'static)) -> Self {
        self.because = told.source().map(|source| Box::new(Cause::of(source)));
        self
    }

    /// The exit code that goes with it.
    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    /// Prints the problem to standard error: one JSON object, a drawing on a terminal, or plain lines.
    pub(crate) fn print(&self, json: bool) {
        let mut text = if json {
            output::json_line(self)
        } else if std::io::stderr().is_terminal() {
            self.drawn()
        } else {
            self.plain()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        output::to_stderr(&text);
    }

    fn plain(&self) -> String {
        let mut text = format!("assent: {}\n", self.happened);
        let mut cause = self.because.as_deref();
        while let Some(Cause { text: because, because: next }) = cause {
            text.push_str(&format!("  because: {because}\n"));
            cause = next.as_deref();
        }
        text.push_str(&format!("  not done: {}\n  next: {}\n", self.not_done, self.next));
        text
    }

    fn drawn(&self) -> String {
        let theme = if output::colour() { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        match GraphicalReportHandler::new_themed(theme).render_report(&mut text, self) {
            Ok(()) => text,
            Err(fmt::Error) => self.plain(),
        }
    }
}

impl Cause {
    fn of(error: &(dyn Error + 'static)) -> Self {
        // A cause may quote a peer.
        let text = wire::text::shown(&error.to_string());
        Self { text, because: error.source().map(|source| Box::new(Self::of(source))) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.happened)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.because.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.because.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(format!("not done: {}\n{}", self.not_done, self.next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        let source = std::io::Error::other("no route to \u{1b}[2Jhost");
        Problem::new(Exit::Network, "the relay does not answer", "nobody was asked", "Check the link.").because(&source)
    }

    #[test]
    fn a_problem_says_what_happened_what_was_not_done_and_what_next() {
        let text = problem().plain();
        assert_eq!(
            text,
            "assent: the relay does not answer\n  because: no route to \\u{1b}[2Jhost\n  not done: nobody was asked\n  next: Check the link.\n"
        );
    }

    #[test]
    fn the_drawn_form_says_the_same() {
        let text = problem().drawn();
        for part in ["the relay does not answer", "nobody was asked", "Check the link."] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn scripts_get_one_object_that_reads_back() {
        let line = output::json_line(&problem());
        let value = serde_json::from_str::<serde_json::Value>(&line).unwrap();
        assert_eq!(value["exit"], 5);
        assert_eq!(value["not_done"], "nobody was asked");
        assert_eq!(serde_json::from_str::<Problem>(&line).unwrap(), problem());
    }
}
