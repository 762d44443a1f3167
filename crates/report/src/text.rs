//! A report as lines of a terminal: what is wrong and the figures that matter, not the whole catalogue.
//!
//! No line has colours or other control characters in it. Each has a [`Tone`], which whoever prints it may turn into a colour: the words
//! say the same without.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use wire::diagnostics::{
    Snapshot,
    findings::{Finding, Severity},
    report::Report,
};

use crate::{
    naming::capital,
    outline,
    told::{self, AllTold, Told},
};

/// What a line is, for whoever wants to colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tone {
    /// What follows.
    Heading,
    /// A finding of this severity.
    Severity(Severity),
    /// Something that is fine.
    Fine,
    /// Something that nobody knows.
    Unknown,
    /// Text.
    Plain,
    /// Text that matters less.
    Soft,
}

/// A line that is at most as wide as was asked for, and safe to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub tone: Tone,
    /// What it says.
    pub text: String,
}

/// Narrower than this nothing can be read, and no line is wrapped any further.
pub const LEAST_WIDTH: usize = 20;

/// What is wrong, what is not known, what is fine and the figures that matter, in lines of at most `width` cells (at least
/// [`LEAST_WIDTH`]).
pub fn text(report: &Report, width: usize) -> Vec<Line> {
    let mut lines = Lines::new(width);
    let (heading, taken) = told::heading(report);
    lines.wrapped(Tone::Heading, "", &heading);
    lines.wrapped(Tone::Soft, "", &taken);
    let card = &report.card;
    lines.wrapped(Tone::Soft, "", &format!("{}, kernel {}, {}", card.system, card.kernel, card.model));
    lines.blank();
    lines.findings(&AllTold::of(&report.findings));
    lines.blank();
    lines.figures(&report.sample);
    for gap in outline::gaps(report) {
        lines.wrapped(Tone::Soft, "  ", &gap);
    }
    lines.done
}

/// The findings alone, as [`text`] has them.
pub fn findings(findings: &[Finding], width: usize) -> Vec<Line> {
    let mut lines = Lines::new(width);
    lines.findings(&AllTold::of(findings));
    lines.done
}

/// The figures that matter alone, as [`text`] has them.
pub fn figures(sample: &Snapshot, width: usize) -> Vec<Line> {
    let mut lines = Lines::new(width);
    lines.figures(sample);
    lines.done
}

/// Lines being written.
pub(crate) struct Lines {
    width: usize,
    pub(crate) done: Vec<Line>,
}

impl Lines {
    pub(crate) fn new(width: usize) -> Self {
        Self { width: width.max(LEAST_WIDTH), done: Vec::new() }
    }

    pub(crate) fn blank(&mut self) {
        self.done.push(Line { tone: Tone::Plain, text: String::new() });
    }

    /// Adds `text`, each line of it behind `indent`.
    pub(crate) fn wrapped(&mut self, tone: Tone, indent: &str, text: &str) {
        self.hanging(tone, indent, indent, text);
    }

    /// Adds `text`, its first line behind `first` and the others behind `rest`.
    pub(crate) fn hanging(&mut self, tone: Tone, first: &str, rest: &str, text: &str) {
        let room = self.width.saturating_sub(first.width().max(rest.width())).max(1);
        for (place, line) in wrap(text, room).iter().enumerate() {
            let indent = if place == 0 { first } else { rest };
            self.done.push(Line { tone, text: fit(format!("{indent}{line}").trim_end(), self.width) });
        }
    }

    fn findings(&mut self, told: &AllTold) {
        self.wrapped(Tone::Heading, "", &told.summary());
        for one in &told.failed {
            self.blank();
            self.failed(one);
        }
        if !told.unknown.is_empty() {
            self.blank();
            self.wrapped(Tone::Heading, "", "Could not be checked");
            for one in &told.unknown {
                let reason = one.reason.as_deref().unwrap_or("no reason given");
                self.hanging(Tone::Unknown, "  ? ", "    ", &format!("{}: {reason}", title(one)));
            }
        }
        if !told.passed.is_empty() {
            self.blank();
            self.wrapped(Tone::Heading, "", "Checked and fine");
            for one in &told.passed {
                let subject = if one.subject.is_empty() { String::new() } else { format!(" ({})", one.subject) };
                self.hanging(Tone::Fine, "  ✓ ", "    ", &format!("{}{subject}", one.ruled_out.join(" ")));
            }
        }
    }

    fn failed(&mut self, told: &Told) {
        let tone = Tone::Severity(told.severity.unwrap_or(Severity::Info));
        let severity = told::severity_word(told.severity).to_uppercase();
        self.hanging(tone, "", "  ", &format!("{severity}: {}", title(told)));
        self.wrapped(Tone::Plain, "  ", &told.plain);
        self.wrapped(Tone::Soft, "  ", &told.technical);
        if let Some(forecast) = &told.forecast {
            self.wrapped(Tone::Plain, "  ", &format!("Expected {forecast}."));
        }
        if !told.ruled_out.is_empty() {
            self.wrapped(Tone::Plain, "  ", &format!("Not the cause: {}", told.ruled_out.join(" ")));
        }
        if let Some(runbook) = told.runbook {
            self.wrapped(Tone::Plain, "  ", &format!("Next: {}", runbook.advice));
            for step in runbook.steps {
                self.hanging(Tone::Soft, "    - ", "      ", &format!("{}: {}", step.shows, step.command.join(" ")));
            }
        }
    }

    fn figures(&mut self, sample: &Snapshot) {
        self.wrapped(Tone::Heading, "", "Right now");
        for figure in told::key_figures(sample) {
            let name = format!("  {:<13} ", figure.name);
            let detail = if figure.detail.is_empty() { String::new() } else { format!(" ({})", figure.detail) };
            let value = format!("{}{detail}", capital(&figure.value));
            self.hanging(Tone::Plain, &name, "                ", &value);
        }
    }
}

fn title(told: &Told) -> String {
    if told.subject.is_empty() { told.title.to_owned() } else { format!("{} ({})", told.title, told.subject) }
}

/// As much of `text` as fits into `width` cells; what is cut off is marked.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used >= width {
            break;
        }
        out.push(character);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// `text` in lines of at most `width` cells, broken between words where there are any; one blank line if there is nothing.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let size = word.width();
        if used > 0 && used + 1 + size > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        for character in word.chars() {
            let size = character.width().unwrap_or(0);
            if used + size > width && used > 0 {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(character);
            used += size;
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{self, HOSTILE, filler::Filler};

    fn written(lines: &[Line]) -> String {
        lines
            .iter()
            .map(|line| format!("{:<18} {}", format!("{:?}", line.tone), line.text).trim_end().to_owned() + "\n")
            .collect()
    }

    #[test]
    fn a_machine_in_trouble_on_eighty_columns() {
        insta::assert_snapshot!(written(&text(&testing::report(), 80)));
    }

    #[test]
    fn no_line_is_wider_than_asked_for_or_acts() {
        let reports = [testing::report(), Filler::full(HOSTILE, 1).report(), Filler::empty().report()];
        for (report, width) in reports.iter().flat_map(|report| (20..200).step_by(7).map(move |width| (report, width)))
        {
            for line in text(report, width) {
                assert!(line.text.width() <= width, "{width}: {:?}", line.text);
                assert!(!line.text.contains(char::is_control) && !line.text.contains('\u{202e}'), "{:?}", line.text);
            }
        }
    }

    #[test]
    fn the_parts_say_what_the_whole_says() {
        let report = testing::report();
        let whole = text(&report, 72);
        for part in [findings(&report.findings, 72), figures(&report.sample, 72)] {
            assert!(part.len() > 5 && whole.windows(part.len()).any(|lines| lines == part));
        }
    }

    proptest! {
        #[test]
        fn wrapping_loses_no_word_and_keeps_the_width(text in ".{0,200}", width in 2_usize..60) {
            let text = wire::text::shown(&text);
            let lines = wrap(&text, width);
            let without = |text: &str| text.chars().filter(|character| *character != ' ').collect::<String>();
            prop_assert_eq!(without(&lines.concat()), without(&text));
            for line in lines {
                prop_assert!(line.width() <= width, "{:?}", line);
            }
            prop_assert!(fit(&text, width).width() <= width);
        }
    }
}
