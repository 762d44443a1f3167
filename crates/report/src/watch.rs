//! A machine on one screen: what is wrong, the figures that matter with their last minutes, and who is busy.

use unicode_width::UnicodeWidthStr as _;
use wire::diagnostics::{
    IdentityCard, Snapshot,
    findings::{Finding, Severity},
    report::Series,
};

use crate::{
    outline::Table,
    spark::sparkline,
    text::{LEAST_WIDTH, Line, Tone, fit},
    told::{self, AllTold, KeyFigure},
};

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'w> {
    /// The machine, once it is known.
    pub card: Option<&'w IdentityCard>,
    /// Answers of all checks.
    pub findings: &'w [Finding],
    /// The newest sample.
    pub sample: &'w Snapshot,
    /// The minutes before, under the names of the agent's history.
    pub series: &'w [Series],
}

/// The figure whose last minutes stand beside a key figure, and the value that fills a cell.
const BESIDE: &[(&str, &str, Option<i64>)] = &[
    ("Processor", "cpu.busy", Some(1000)),
    ("Load", "load.1", None),
    ("Memory", "memory.available", None),
    ("Swap", "swap.used", None),
    ("Pressure", "pressure.io.some", Some(10_000)),
    ("Busiest disk", "disk.busy", Some(1000)),
    ("Network", "network.received", None),
    ("Hottest", "temperature", None),
];

/// Cells of a key figure's name, and of its value.
const NAME: usize = 13;
const VALUE: usize = 18;

impl Watch<'_> {
    /// At most `height` lines of at most `width` cells each (at least [`LEAST_WIDTH`]). What matters most comes first: of a small
    /// screen the processes are missing, never the findings.
    pub fn lines(&self, width: usize, height: usize) -> Vec<Line> {
        let width = width.max(LEAST_WIDTH);
        let told = AllTold::of(self.findings);
        let mut lines = vec![line(Tone::Heading, &self.heading(), width)];
        if !self.findings.is_empty() {
            let tone = told
                .failed
                .first()
                .map_or(Tone::Fine, |worst| Tone::Severity(worst.severity.unwrap_or(Severity::Info)));
            lines.push(line(tone, &told.summary(), width));
        }
        // A third of the screen is for findings; what does not fit is counted, and the summary has said how bad it is.
        let room = (height / 3).max(1);
        for one in told.failed.iter().take(room) {
            let subject = if one.subject.is_empty() { String::new() } else { format!(" ({})", one.subject) };
            let text = format!("  {}: {}{subject}", told::severity_word(one.severity), one.title);
            lines.push(line(Tone::Severity(one.severity.unwrap_or(Severity::Info)), &text, width));
        }
        if let Some(more) = told.failed.len().checked_sub(room).filter(|more| *more > 0) {
            lines.push(line(Tone::Soft, &format!("  and {more} more"), width));
        }
        lines.extend(told::key_figures(self.sample).iter().map(|figure| self.figure(figure, width)));
        for table in told::live_tables(self.sample, &[], &[]).iter().filter(|table| table.caption == "Top processes") {
            lines.extend(rows(table, width));
        }
        lines.truncate(height);
        lines
    }

    fn heading(&self) -> String {
        match self.card {
            Some(card) => format!("{} · {} · {} processors", card.host, card.system, card.cores),
            None => "A computer".to_owned(),
        }
    }

    /// A key figure, its last minutes, and what else there is room for.
    fn figure(&self, figure: &KeyFigure, width: usize) -> Line {
        let mut text = format!("{} {}", padded(figure.name, NAME), padded(&figure.value, VALUE));
        if let Some((_, name, most)) = BESIDE.iter().find(|(key, ..)| *key == figure.name) {
            let columns = width.saturating_sub(NAME + VALUE + 3) / 2;
            let most = most
                .or_else(|| (*name == "memory.available").then(|| i64::try_from(self.sample.memory.total_kib).ok())?);
            if let Some(series) = self.series_of(name) {
                text.push(' ');
                text.push_str(&sparkline(&series.values, columns, most.filter(|most| *most > 0)));
            } else {
                text.push_str(&" ".repeat(columns + 1));
            }
        }
        if !figure.detail.is_empty() {
            text.push(' ');
            text.push_str(&figure.detail);
        }
        line(Tone::Plain, &text, width)
    }

    /// The series of a figure; of several, the one of the largest value, which is the one that the key figure is about.
    fn series_of(&self, name: &str) -> Option<&Series> {
        let last = |series: &&Series| series.values.iter().rev().flatten().next().copied();
        self.series.iter().filter(|series| series.figure.raw() == name).max_by_key(last)
    }
}

fn line(tone: Tone, text: &str, width: usize) -> Line {
    Line { tone, text: fit(text.trim_end(), width) }
}

/// `text` in exactly `width` cells.
fn padded(text: &str, width: usize) -> String {
    let text = fit(text, width);
    let blank = width.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(blank))
}

/// The rows of a table below its heading, each column as wide as it needs, a name not wider than a third of the screen.
fn rows(table: &Table, width: usize) -> Vec<Line> {
    let heads = table.columns.iter().map(|column| column.title.clone()).collect::<Vec<_>>();
    let all = std::iter::once(&heads).chain(&table.rows);
    let widest =
        |place: usize| all.clone().filter_map(|row| row.get(place)).map(|cell| cell.width()).max().unwrap_or(0);
    let widths = (0..heads.len()).map(|place| widest(place).min(width / 3)).collect::<Vec<_>>();
    let written = all.clone().enumerate().map(|(number, row)| {
        let mut text = String::new();
        for ((cell, room), column) in row.iter().zip(&widths).zip(&table.columns) {
            let cell = fit(cell, *room);
            let blank = " ".repeat(room.saturating_sub(cell.width()));
            let cell = if column.figures { format!("{blank}{cell}") } else { format!("{cell}{blank}") };
            text.push_str(&cell);
            text.push_str("  ");
        }
        line(if number == 0 { Tone::Soft } else { Tone::Plain }, &text, width)
    });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, HOSTILE, filler::Filler};

    fn watch(report: &wire::diagnostics::report::Report) -> Watch<'_> {
        Watch { card: Some(&report.card), findings: &report.findings, sample: &report.sample, series: &report.recent }
    }

    fn written(lines: &[Line]) -> String {
        lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    #[test]
    fn a_machine_in_trouble_on_one_screen() {
        let report = testing::report();
        insta::assert_snapshot!(written(&watch(&report).lines(100, 30)));
    }

    #[test]
    fn a_small_screen_has_the_findings() {
        let report = testing::report();
        let lines = watch(&report).lines(40, 6);
        assert_eq!(lines.len(), 6);
        assert!(lines[2].text.contains("A disk is nearly full (/srv)"), "{lines:?}");
        assert_eq!(lines[4].text, "  and 1 more");
    }

    #[test]
    fn no_line_is_wider_and_no_screen_higher_than_asked_for() {
        let reports = [testing::report(), Filler::full(HOSTILE, 1).report(), Filler::empty().report()];
        for report in &reports {
            for (width, height) in
                (20..=200).step_by(9).flat_map(|width| [0, 1, 5, 24, 80].map(|height| (width, height)))
            {
                let lines = watch(report).lines(width, height);
                assert!(lines.len() <= height);
                for line in lines {
                    assert!(line.text.width() <= width, "{width}: {:?}", line.text);
                    assert!(!line.text.contains(char::is_control) && !line.text.contains('\u{202e}'));
                }
            }
        }
    }
}
