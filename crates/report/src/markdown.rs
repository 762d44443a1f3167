//! A report as Markdown, for a ticket.
//!
//! What a machine names is escaped, so that it reads as it was written and can neither link nor hide anything.

use std::fmt::Write as _;

use wire::diagnostics::report::{Report, SectionReport};

use crate::{
    naming::capital,
    outline::{self, Block, Section, Table},
    told::{self, AllTold, Told},
};

/// The report as a document in GitHub Flavored Markdown.
pub fn markdown(report: &Report) -> String {
    let told = AllTold::of(&report.findings);
    let (heading, taken) = told::heading(report);
    let mut page = Document::default();
    page.line(&format!("# {}", escape(&heading)));
    page.line(&escape(&taken));
    page.facts(&outline::card(report));
    page.line("## Findings");
    page.line(&format!("**{}**", escape(&told.summary())));
    for one in &told.failed {
        page.failed(one);
    }
    page.named("### Could not be checked", &told.unknown, |one| {
        let reason = escape(one.reason.as_deref().unwrap_or("no reason given"));
        format!("{}: {reason}", titled(one))
    });
    page.named("### Checked and fine", &told.passed, |one| {
        let about = if one.subject.is_empty() { String::new() } else { format!(" ({})", escape(&one.subject)) };
        format!("{}{about} {}", escape(&one.ruled_out.join(" ")), escape(&one.technical))
    });
    page.named("### Does not apply", &told.not_applicable, titled);
    page.line("## Right now");
    let figures = told::key_figures(&report.sample).into_iter().map(|figure| {
        let detail = if figure.detail.is_empty() { String::new() } else { format!(" ({})", figure.detail) };
        (figure.name.to_owned(), format!("{}{detail}", figure.value))
    });
    page.facts(&figures.collect::<Vec<_>>());
    let gaps = outline::gaps(report);
    page.list(gaps.iter().map(|gap| escape(gap)));
    for table in told::live_tables(&report.sample, &report.largest, &report.disk_processes) {
        page.table(&table);
    }
    page.line("## Sections");
    let sections = report.sections.iter().map(outline::section).collect::<Vec<_>>();
    let (full, bare) = sections.iter().partition::<Vec<_>, _>(|section| section.has_something());
    for section in full {
        page.section(section);
    }
    if !bare.is_empty() {
        page.line("### Sections with nothing in them");
        page.facts(&bare.iter().map(|one| (one.title.clone(), one.outcome.clone())).collect::<Vec<_>>());
    }
    page.line("## What was held back");
    page.facts(&outline::receipt(report));
    page.0
}

/// One section, as it stands in [`markdown`].
pub fn section(report: &SectionReport) -> String {
    let mut page = Document::default();
    page.section(&outline::section(report));
    page.0
}

/// The text such that it reads the same in Markdown, wherever it stands within a line.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    for (place, character) in text.char_indices() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '|' | '~' | '!' | '$' => out.extend(['\\', character]),
            // What would become a link of itself.
            ':' if text.get(place..).is_some_and(|rest| rest.starts_with("://")) => out.push_str("\\:"),
            '.' if ends_in_www(text, place) => out.push_str("\\."),
            // What would start a list or a heading.
            '-' | '+' | '=' if place == 0 => out.extend(['\\', character]),
            '.' | ')' if digits > 0 && place == digits && ends_word(text, place) => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out.trim().to_owned()
}

/// Whether nothing but white space follows the character of one byte at `place`.
fn ends_word(text: &str, place: usize) -> bool {
    text.get(place + 1..).is_none_or(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Whether `www` stands in front of the character at `place`, in any case.
fn ends_in_www(text: &str, place: usize) -> bool {
    let start = place.checked_sub(3);
    start.and_then(|start| text.get(start..place)).is_some_and(|word| word.eq_ignore_ascii_case("www"))
}

fn titled(told: &Told) -> String {
    let about = if told.subject.is_empty() { String::new() } else { format!(" ({})", escape(&told.subject)) };
    format!("{}{about}", escape(told.title))
}

/// What is written so far.
#[derive(Default)]
struct Document(String);

impl Document {
    /// Adds a block of one line.
    fn line(&mut self, markup: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.0.push_str(markup);
        self.0.push('\n');
    }

    fn list(&mut self, items: impl Iterator<Item = String>) {
        let list = items.map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n");
        if !list.is_empty() {
            self.line(&list);
        }
    }

    fn named(&mut self, heading: &str, told: &[Told], item: impl Fn(&Told) -> String) {
        if !told.is_empty() {
            self.line(heading);
            self.list(told.iter().map(item));
        }
    }

    fn facts(&mut self, facts: &[(String, String)]) {
        let item = |(name, value): &(String, String)| {
            if name.is_empty() { escape(value) } else { format!("**{}:** {}", escape(name), escape(value)) }
        };
        self.list(facts.iter().map(item));
    }

    fn failed(&mut self, told: &Told) {
        self.line(&format!("### {}: {}", told::severity_word(told.severity), titled(told)));
        self.line(&escape(&told.plain));
        let mut facts = vec![("Measured".to_owned(), told.technical.clone())];
        facts.extend(told.forecast.iter().map(|forecast| ("Expected".to_owned(), forecast.clone())));
        facts.push(("Confidence".to_owned(), told.confidence.to_owned()));
        facts.extend(told.evidence.iter().map(|(name, value)| (capital(name), value.clone())));
        if !told.ruled_out.is_empty() {
            facts.push(("Not the cause".to_owned(), told.ruled_out.join(" ")));
        }
        self.facts(&facts);
        if let Some(runbook) = told.runbook {
            self.line(&format!("Next: {}", escape(runbook.advice)));
            let step = |step: &crate::runbooks::Step| format!("{}: `{}`", escape(step.shows), step.command.join(" "));
            self.list(runbook.steps.iter().map(step));
        }
    }

    fn section(&mut self, section: &Section) {
        self.line(&format!("### {}", escape(&section.title)));
        self.line(&escape(&section.outcome));
        self.blocks(&section.blocks, 4);
        if !section.sources.rows.is_empty() {
            self.table(&section.sources);
        }
    }

    /// Writes blocks, whose parts have headings of `level`.
    fn blocks(&mut self, blocks: &[Block], level: usize) {
        for block in blocks {
            match block {
                Block::Facts(facts) => self.facts(facts),
                Block::Table(table) => self.table(table),
                Block::Unknown(names) => self.line(&format!("Not known: {}.", escape(&names.join(", ")))),
                Block::Part { title, blocks } => {
                    self.line(&format!("{} {}", "#".repeat(level.min(6)), escape(title)));
                    self.blocks(blocks, level + 1);
                }
            }
        }
    }

    fn table(&mut self, table: &Table) {
        self.line(&format!("**{}**", escape(&table.caption)));
        let mut out = String::from("|");
        for column in &table.columns {
            write!(out, " {} |", escape(&column.title)).expect("a String takes everything");
        }
        out.push_str("\n|");
        for column in &table.columns {
            out.push_str(if column.figures { " ---: |" } else { " --- |" });
        }
        for row in &table.rows {
            out.push_str("\n|");
            for cell in row {
                write!(out, " {} |", escape(cell)).expect("a String takes everything");
            }
        }
        self.line(&out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, HOSTILE, filler::Filler};

    #[test]
    fn a_machine_in_trouble_for_a_ticket() {
        insta::assert_snapshot!(markdown(&testing::report()));
    }

    #[test]
    fn text_reads_as_it_was_written() {
        let expected = [
            ("a|b `c` *d* _e_", "a\\|b \\`c\\` \\*d\\* \\_e\\_"),
            ("<img src=x> [a](b)", "&lt;img src=x&gt; \\[a\\](b)"),
            ("1. first", "1\\. first"),
            ("91.2 %", "91.2 %"),
            ("- item", "\\- item"),
            ("https://example.org", "https\\://example.org"),
            ("see www.example.org, WWW.x", "see www\\.example.org, WWW\\.x"),
            ("#17", "\\#17"),
            ("sda-1.2", "sda-1.2"),
        ];
        for (text, escaped) in expected {
            assert_eq!(escape(text), escaped);
        }
    }

    /// What does not come from the document itself is behind a backslash or an entity, wherever a machine can name something.
    #[test]
    fn nothing_that_a_machine_names_is_markup() {
        let markdown = markdown(&Filler::full(HOSTILE, 3).report());
        assert!(markdown.len() > 10_000);
        for (place, _) in markdown.match_indices("script&gt;") {
            let before = &markdown[..place];
            assert!(before.ends_with("&lt;") || before.ends_with("&lt;/"), "{}", &before[place.saturating_sub(40)..]);
        }
        assert!(!markdown.contains(['<', '\u{1b}', '\u{202e}', '\r']));
        // Every row has as many bars as the row below its heading.
        let unescaped = |line: &str| line.replace("\\\\", "").replace("\\|", "").matches('|').count();
        let lines = markdown.lines().collect::<Vec<_>>();
        let mut rows = 0;
        for pair in lines.windows(2).filter(|pair| pair.iter().all(|line| line.starts_with('|'))) {
            assert_eq!(unescaped(pair[0]), unescaped(pair[1]), "{pair:?}");
            rows += 1;
        }
        assert!(rows > 100, "{rows}");
    }
}
