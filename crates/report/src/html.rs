//! A report as one page that needs nothing else: no script, no network, no other file.
//!
//! Its policy lets a browser do nothing but apply the style that is part of it, so that even a text that slipped through as markup
//! could neither load nor run nor hide anything. It reads in light and dark, on paper, and without seeing it.

use wire::diagnostics::{findings::Severity, report::Report};

use self::markup::Markup;
use crate::{
    outline::{self, Block, Section, Table},
    runbooks::Runbook,
    told::{self, AllTold, Told},
};

mod chart;
mod markup;

/// The style of the page.
const STYLE: &str = include_str!("html/page.css");

/// Everything up to the title. The policy names the digest of [`STYLE`], so that no other style applies.
const HEAD: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; ",
    "style-src 'sha256-b2OQAhiEOlv1QA8w7OrUTQIQIrCojKHUHkVbVONzJ4g='\">\n",
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
    "<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>"
);

/// The report as a page.
pub fn html(report: &Report) -> String {
    let told = AllTold::of(&report.findings);
    let sections = report.sections.iter().map(outline::section).collect::<Vec<_>>();
    let (heading, taken) = told::heading(report);
    let mut page = Markup::default();
    page.raw(HEAD).text(&heading).raw("</title>\n<style>").raw(STYLE).raw("</style>\n</head>\n<body>\n");
    page.raw("<a class=\"skip\" href=\"#findings\">Skip to the findings</a>\n<header>\n");
    page.element("<h1>", &heading, "</h1>\n").element("<p>", &taken, "</p>\n");
    page.raw("<div class=\"card\">");
    facts(&outline::card(report), &mut page);
    page.raw("</div>\n<nav aria-label=\"Contents\"><ul>");
    for (anchor, name) in [
        ("findings", "Findings"),
        ("now", "Right now"),
        ("lately", "The last minutes"),
        ("tables", "Tables"),
        ("sections", "Sections"),
        ("receipt", "What was held back"),
    ] {
        page.raw("<li><a href=\"#").raw(anchor).raw("\">").text(name).raw("</a></li>");
    }
    page.raw("</ul></nav>\n</header>\n<main>\n");
    findings(&told, &mut page);
    now(report, &mut page);
    page.raw("<section id=\"lately\" aria-labelledby=\"h-lately\">\n<h2 id=\"h-lately\">The last minutes</h2>\n");
    if report.recent.is_empty() {
        page.raw("<p>Nothing was remembered of the time before.</p>");
    } else {
        chart::draw(&report.recent, &mut page);
    }
    page.raw("</section>\n<section id=\"tables\" aria-labelledby=\"h-tables\">\n<h2 id=\"h-tables\">Tables</h2>\n");
    let tables = told::live_tables(&report.sample, &report.largest, &report.disk_processes);
    for one in &tables {
        table(one, &mut page);
    }
    if tables.is_empty() {
        page.raw("<p>No table was measured.</p>");
    }
    page.raw(
        "</section>\n<section id=\"sections\" aria-labelledby=\"h-sections\">\n<h2 id=\"h-sections\">Sections</h2>\n",
    );
    if sections.is_empty() {
        page.raw("<p>This report has no sections.</p>");
    }
    let (full, bare) = sections.iter().partition::<Vec<_>, _>(|one| one.has_something());
    for one in full {
        section(one, &mut page);
    }
    if !bare.is_empty() {
        page.raw("<section class=\"card\" aria-labelledby=\"h-bare\">\n<h3 id=\"h-bare\">Sections with nothing in them</h3>\n");
        facts(&bare.iter().map(|one| (one.title.clone(), one.outcome.clone())).collect::<Vec<_>>(), &mut page);
        page.raw("</section>\n");
    }
    page.raw("</section>\n<section id=\"receipt\" aria-labelledby=\"h-receipt\">\n<h2 id=\"h-receipt\">What was held back</h2>\n");
    page.raw("<p>Names and addresses that the end user did not allow to leave were replaced on the machine itself. This is the count.</p>");
    facts(&outline::receipt(report), &mut page);
    page.raw("</section>\n</main>\n<footer><p>Characters that would act instead of being read are written as \\u{…}.</p></footer>\n</body>\n</html>\n");
    page.into_string()
}

fn findings(told: &AllTold, page: &mut Markup) {
    page.raw("<section id=\"findings\" aria-labelledby=\"h-findings\">\n<h2 id=\"h-findings\">Findings</h2>\n");
    page.element("<p><strong>", &told.summary(), "</strong></p>\n");
    for one in &told.failed {
        finding(one, page);
    }
    if !told.unknown.is_empty() {
        page.raw("<h3>Could not be checked</h3>\n<p class=\"soft\">Nobody knows whether these are fine.</p>\n");
        page.raw("<ul class=\"plainlist\">");
        for one in &told.unknown {
            page.raw("<li><strong>").text(one.title).raw("</strong>");
            about(one, page);
            page.raw(": ").text(one.reason.as_deref().unwrap_or("no reason given")).raw("</li>");
        }
        page.raw("</ul>\n");
    }
    if !told.passed.is_empty() {
        page.raw("<details><summary>Checked and fine: ")
            .number(count(&told.passed))
            .raw("</summary>\n<ul class=\"plainlist\">");
        for one in &told.passed {
            page.raw("<li><span class=\"fine\" aria-hidden=\"true\">✓</span> ").text(&one.ruled_out.join(" "));
            about(one, page);
            page.element(" <span class=\"technical\">", &one.technical, "</span></li>");
        }
        page.raw("</ul></details>\n");
    }
    if !told.not_applicable.is_empty() {
        page.raw("<details><summary>Does not apply to this machine: ").number(count(&told.not_applicable));
        page.raw("</summary>\n<ul class=\"plainlist\">");
        for one in &told.not_applicable {
            page.raw("<li>").text(one.title);
            about(one, page);
            if let Some(reason) = &one.reason {
                page.raw(": ").text(reason);
            }
            page.raw("</li>");
        }
        page.raw("</ul></details>\n");
    }
    page.raw("</section>\n");
}

fn count<T>(list: &[T]) -> i128 {
    i128::try_from(list.len()).unwrap_or(i128::MAX)
}

fn about(told: &Told, page: &mut Markup) {
    if !told.subject.is_empty() {
        page.raw(" (").text(&told.subject).raw(")");
    }
}

fn finding(told: &Told, page: &mut Markup) {
    page.raw(match told.severity {
        Some(Severity::Critical) => "<article class=\"card finding critical\">",
        Some(Severity::Warning) => "<article class=\"card finding warning\">",
        Some(Severity::Info) | None => "<article class=\"card finding\">",
    });
    page.raw("<h3><span class=\"badge\">").text(told::severity_word(told.severity)).raw("</span>").text(told.title);
    about(told, page);
    page.raw("</h3>\n").element("<p class=\"plain\">", &told.plain, "</p>\n");
    page.element("<p class=\"technical\">", &told.technical, "</p>\n");
    let mut about = Vec::new();
    about.extend(told.since.iter().map(|since| ("Since".to_owned(), since.clone())));
    about.extend(told.forecast.iter().map(|forecast| ("Expected".to_owned(), forecast.clone())));
    about.push(("Confidence".to_owned(), told.confidence.to_owned()));
    about.extend(told.evidence.iter().map(|(name, value)| (crate::naming::capital(name), value.clone())));
    facts(&about, page);
    if !told.ruled_out.is_empty() {
        page.element("<p><strong>Not the cause:</strong> ", &told.ruled_out.join(" "), "</p>\n");
    }
    if let Some(runbook) = told.runbook {
        next_steps(runbook, page);
    }
    page.raw("</article>\n");
}

fn next_steps(runbook: &Runbook, page: &mut Markup) {
    page.element("<p><strong>What to look at next:</strong> ", runbook.advice, "</p>\n<ol class=\"steps\">");
    for step in runbook.steps {
        page.element("<li>", step.shows, ": ").element("<code>", &step.command.join(" "), "</code></li>");
    }
    page.raw("</ol>\n");
}

fn now(report: &Report, page: &mut Markup) {
    page.raw("<section id=\"now\" aria-labelledby=\"h-now\">\n<h2 id=\"h-now\">Right now</h2>\n<dl class=\"tiles\">");
    for figure in told::key_figures(&report.sample) {
        page.element("<div><dt>", figure.name, "</dt>").element("<dd class=\"value\">", &figure.value, "</dd>");
        if !figure.detail.is_empty() {
            page.element("<dd>", &figure.detail, "</dd>");
        }
        page.raw("</div>");
    }
    page.raw("</dl>\n");
    let gaps = outline::gaps(report);
    if !gaps.is_empty() {
        page.raw("<ul class=\"plainlist soft\">");
        for gap in &gaps {
            page.element("<li>", gap, "</li>");
        }
        page.raw("</ul>\n");
    }
    page.raw("</section>\n");
}

fn section(section: &Section, page: &mut Markup) {
    page.raw("<section class=\"card\" id=\"s-")
        .text(section.anchor)
        .raw("\" aria-labelledby=\"h-")
        .text(section.anchor);
    page.raw("\">\n<h3 id=\"h-").text(section.anchor).raw("\">").text(&section.title).raw("</h3>\n");
    page.raw("<p class=\"soft\">");
    if !section.complete {
        page.raw("<span aria-hidden=\"true\">⚠ </span>");
    }
    page.text(&section.outcome).raw("</p>\n");
    blocks(&section.blocks, 4, page);
    if !section.sources.rows.is_empty() {
        page.raw("<details class=\"sources\"><summary>Sources: ")
            .number(count(&section.sources.rows))
            .raw("</summary>\n");
        table(&section.sources, page);
        page.raw("</details>\n");
    }
    page.raw("</section>\n");
}

/// A table with more rows is opened by whoever wants to read it.
const FOLDED: usize = 100;

/// Writes blocks, whose parts have headings of `level`.
fn blocks(blocks: &[Block], level: u8, page: &mut Markup) {
    for block in blocks {
        match block {
            Block::Facts(all) => facts(all, page),
            Block::Table(one) if one.rows.len() > FOLDED => {
                page.raw("<details><summary>")
                    .text(&one.caption)
                    .raw(": ")
                    .number(count(&one.rows))
                    .raw("</summary>\n");
                table(one, page);
                page.raw("</details>\n");
            }
            Block::Table(one) => table(one, page),
            Block::Unknown(names) => {
                page.element("<p class=\"soft\">Not known: ", &names.join(", "), ".</p>\n");
            }
            Block::Part { title, blocks: inner } => {
                let (open, close) = match level {
                    4 => ("<h4>", "</h4>\n"),
                    5 => ("<h5>", "</h5>\n"),
                    _ => ("<h6>", "</h6>\n"),
                };
                page.element(open, title, close);
                if inner.is_empty() {
                    page.raw("<p class=\"soft\">Nothing is known.</p>\n");
                }
                blocks_below(inner, level, page);
            }
        }
    }
}

fn blocks_below(inner: &[Block], level: u8, page: &mut Markup) {
    blocks(inner, level.saturating_add(1), page);
}

/// A text that is longer than this takes the whole width.
const LONG: usize = 60;

fn facts(facts: &[(String, String)], page: &mut Markup) {
    page.raw("<dl class=\"facts\">");
    for (name, value) in facts {
        page.raw(if value.chars().count() > LONG { "<div class=\"long\">" } else { "<div>" });
        page.element("<dt>", name, "</dt>").element("<dd>", value, "</dd></div>");
    }
    page.raw("</dl>\n");
}

fn table(table: &Table, page: &mut Markup) {
    // A table that is too wide scrolls, which has to work without a mouse.
    page.element("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"", &table.caption, "\"><table>");
    page.element("<caption>", &table.caption, "</caption><thead><tr>");
    for column in &table.columns {
        page.raw(if column.figures { "<th scope=\"col\" class=\"figures\">" } else { "<th scope=\"col\">" });
        page.text(&column.title).raw("</th>");
    }
    page.raw("</tr></thead><tbody>");
    for row in &table.rows {
        page.raw("<tr>");
        for (place, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
            let (open, close) = match (place, column.figures) {
                (0, false) => ("<th scope=\"row\">", "</th>"),
                (0, true) => ("<th scope=\"row\" class=\"figures\">", "</th>"),
                (_, false) => ("<td>", "</td>"),
                (_, true) => ("<td class=\"figures\">", "</td>"),
            };
            page.element(open, if cell.is_empty() { "–" } else { cell }, close);
        }
        page.raw("</tr>");
    }
    page.raw("</tbody></table></div>\n");
}

#[cfg(test)]
mod tests;
