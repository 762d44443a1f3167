//! A difference in words.

use std::fmt::Write as _;

use wire::diagnostics::findings::Severity;

use super::{Change, Difference, FactChange, FindingChange};
use crate::{
    export::harmless,
    markdown::escape,
    text::{Line, Lines, Tone},
};

impl Change {
    /// What became of the finding, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Appeared => "new",
            Self::Worse => "worse",
            Self::Better => "better",
            Self::Unchecked => "not checked any more",
            Self::Gone => "gone",
        }
    }
}

impl Difference {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty() && self.card.is_empty() && self.facts.is_empty() && self.figures.is_empty()
    }

    /// Lines of at most `width` cells.
    pub fn text(&self, width: usize) -> Vec<Line> {
        let mut lines = Lines::new(width);
        lines.wrapped(Tone::Heading, "", &self.heading());
        if !self.findings.is_empty() {
            lines.wrapped(Tone::Heading, "", "Findings");
        }
        for change in &self.findings {
            let tone = match change.change {
                Change::Gone => Tone::Fine,
                Change::Unchecked => Tone::Unknown,
                Change::Appeared | Change::Worse | Change::Better => Tone::Severity(change.severity),
            };
            lines.hanging(tone, "  ", "    ", &change.words());
        }
        for (title, changes) in self.parts() {
            lines.wrapped(Tone::Heading, "", title);
            for change in changes {
                let text = format!("{}: {} → {}", change.path.join(" › "), side(&change.before), side(&change.after));
                lines.hanging(Tone::Plain, "  ", "    ", &text);
            }
        }
        if let Some(more) = self.more() {
            lines.wrapped(Tone::Soft, "", &more);
        }
        lines.done
    }

    /// A document in GitHub Flavored Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n", escape(&self.heading()));
        if !self.findings.is_empty() {
            out.push_str("\n## Findings\n\n");
        }
        for change in &self.findings {
            writeln!(out, "- {}", escape(&change.words())).expect("a String takes everything");
        }
        for (title, changes) in self.parts() {
            write!(out, "\n## {title}\n\n| What | Before | After |\n| --- | --- | --- |\n")
                .expect("a String takes everything");
            for change in changes {
                let (before, after) = (side(&change.before), side(&change.after));
                writeln!(out, "| {} | {} | {} |", escape(&change.path.join(" › ")), escape(before), escape(after))
                    .expect("a String takes everything");
            }
        }
        if let Some(more) = self.more() {
            write!(out, "\n{more}\n").expect("a String takes everything");
        }
        out
    }

    /// One object of JSON with the fields of this type.
    pub fn json(&self) -> String {
        harmless(&serde_json::to_string(self).expect("there are no maps and no floats in it"))
    }

    fn heading(&self) -> String {
        let same = if self.is_empty() { "Nothing is different" } else { "What is different" };
        format!("{same} between {} and {}", self.from, self.to)
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &[FactChange])> {
        let all = [("Machine", &self.card), ("Sections", &self.facts), ("Figures", &self.figures)];
        all.into_iter().filter(|(_, changes)| !changes.is_empty()).map(|(title, changes)| (title, changes.as_slice()))
    }

    fn more(&self) -> Option<String> {
        (self.left_out > 0).then(|| format!("{} more changes are not told.", self.left_out))
    }
}

impl FindingChange {
    fn words(&self) -> String {
        let subject = if self.subject.is_empty() { String::new() } else { format!(" ({})", self.subject) };
        let severity = match (self.before, self.after) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (before, after) => before.or(after).unwrap_or(Severity::Info.name()).to_owned(),
        };
        format!("{}: {}{subject}, {severity}", crate::naming::capital(self.change.words()), self.title)
    }
}

fn side(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("–")
}
