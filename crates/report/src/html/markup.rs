//! A page being written. Markup is part of the program, and whatever is not is escaped: the two have different types.

use std::fmt::Write as _;

/// What is written so far.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Adds markup that stands in the program.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text, which reads the same between tags and within a quoted attribute.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds a whole number.
    pub(super) fn number(&mut self, number: impl Into<i128>) -> &mut Self {
        write!(self.0, "{}", number.into()).expect("a String takes everything");
        self
    }

    /// Adds a number of tenths, with its point.
    pub(super) fn tenths(&mut self, tenths: i128) -> &mut Self {
        let sign = if tenths < 0 { "-" } else { "" };
        let (whole, part) = (tenths.abs() / 10, tenths.abs() % 10);
        let written = if part == 0 { write!(self.0, "{sign}{whole}") } else { write!(self.0, "{sign}{whole}.{part}") };
        written.expect("a String takes everything");
        self
    }

    /// Adds `text` between two pieces of markup.
    pub(super) fn element(&mut self, open: &'static str, text: &str, close: &'static str) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// The page.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}
