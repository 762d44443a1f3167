//! What a report says, laid out as facts and tables, before it is known where it will be shown.
//!
//! Every text in it is safe on a terminal; whoever writes a page or a document escapes it for that.

use wire::{
    diagnostics::report::{Content, Coverage, Outcome, Report, SectionReport},
    text::shown,
};

use crate::{
    naming::{self, capital, small, when},
    tree::Tree,
};

/// A piece of what is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// What something is called, and what it is.
    Facts(Vec<(String, String)>),
    /// Rows of a kind.
    Table(Table),
    /// What belongs together, under its own heading.
    Part {
        /// The heading.
        title: String,
        /// What it is about.
        blocks: Vec<Self>,
    },
    /// Names of what nobody knows.
    Unknown(Vec<String>),
}

/// Rows of a kind. A cell that says nothing is blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// What it shows.
    pub(crate) caption: String,
    /// What the cells of a column are.
    pub(crate) columns: Vec<Column>,
    /// As many cells as there are columns.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) title: String,
    /// Whether it has figures, which stand on the right.
    pub(crate) figures: bool,
}

/// More columns than these are not read as a table while there are few rows.
const WIDE: usize = 9;

/// As many rows are still read one below the other.
const FEW: usize = 8;

/// Fields that tell rows apart, the most telling first.
const KEYS: &[&str] = &[
    "name", "label", "mount", "device", "address", "program", "unit", "rung", "figure", "server", "file", "kind",
    "target", "locator", "resource", "number", "pid",
];

/// The field that tells `row` from the others of its list, with its value in words.
pub(crate) fn key_of(row: &Tree) -> Option<String> {
    KEYS.iter().find_map(|key| naming::value(key, row.field(key)?))
}

/// Lays out the fields of `tree`.
pub(crate) fn blocks(tree: &Tree) -> Vec<Block> {
    let Tree::Record(fields) = tree else {
        return naming::value("", tree).map(|value| Block::Facts(vec![(String::new(), value)])).into_iter().collect();
    };
    let (mut facts, mut unknown, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    for (field, value) in fields {
        match value {
            Tree::Record(_) => parts.push(Block::Part { title: naming::title(field), blocks: blocks(value) }),
            Tree::List(rows) if rows.iter().any(|row| matches!(row, Tree::Record(_))) => {
                parts.extend(table(&naming::title(field), rows));
            }
            Tree::Absent
            | Tree::Truth(_)
            | Tree::Number(_)
            | Tree::Text(_)
            | Tree::Word(_)
            | Tree::Time(_)
            | Tree::List(_) => match line(field, value) {
                Some(value) => facts.push((naming::title(field), value)),
                None => unknown.push(small(&naming::title(field))),
            },
        }
    }
    let mut out = Vec::new();
    if !facts.is_empty() {
        out.push(Block::Facts(facts));
    }
    if !unknown.is_empty() {
        out.push(Block::Unknown(unknown));
    }
    out.extend(parts);
    out
}

/// The value on one line; `None` if it says nothing.
fn line(field: &str, value: &Tree) -> Option<String> {
    match value {
        Tree::List(items) if items.is_empty() => Some("none".to_owned()),
        Tree::List(items) => {
            let all = items.iter().filter_map(|item| naming::value(field, item)).collect::<Vec<_>>();
            (!all.is_empty()).then(|| all.join(", "))
        }
        Tree::Absent
        | Tree::Truth(_)
        | Tree::Number(_)
        | Tree::Text(_)
        | Tree::Word(_)
        | Tree::Time(_)
        | Tree::Record(_) => naming::value(field, value),
    }
}

/// A cell of a row: what its column is called from the row's type down, and what it says.
struct Cell {
    path: String,
    title: String,
    value: Option<String>,
    figure: bool,
}

/// The cells of `row`: fields of records inside of it are columns of their own, lists of records are counted.
fn cells(row: &Tree, path: &str, above: &str, out: &mut Vec<Cell>) {
    let Tree::Record(fields) = row else {
        out.push(Cell { path: path.to_owned(), title: "Value".to_owned(), value: line("", row), figure: false });
        return;
    };
    for (field, value) in fields {
        let path = format!("{path}.{field}");
        let title = naming::title(field);
        let title = if above.is_empty() { title } else { format!("{above}: {}", small(&title)) };
        match value {
            Tree::Record(_) => cells(value, &path, &title, out),
            Tree::List(rows) if rows.iter().any(|row| matches!(row, Tree::Record(_))) => {
                out.push(Cell { path, title, value: Some(rows.len().to_string()), figure: true });
            }
            Tree::Absent
            | Tree::Truth(_)
            | Tree::Number(_)
            | Tree::Text(_)
            | Tree::Word(_)
            | Tree::Time(_)
            | Tree::List(_) => {
                out.push(Cell { path, title, value: line(field, value), figure: naming::is_amount(field, value) });
            }
        }
    }
}

/// Lays out a list of records.
fn table(caption: &str, rows: &[Tree]) -> Vec<Block> {
    let rows_of_cells = rows.iter().map(|row| {
        let mut out = Vec::new();
        cells(row, "", "", &mut out);
        out
    });
    let rows_of_cells = rows_of_cells.collect::<Vec<_>>();
    let (known, unknown) = columns(&rows_of_cells);
    if known.len() > WIDE && rows.len() <= FEW {
        let part = |(place, row): (usize, &Tree)| Block::Part {
            title: key_of(row).unwrap_or_else(|| format!("{caption} {}", place + 1)),
            blocks: blocks(row),
        };
        let parts = rows.iter().enumerate().map(part).collect();
        return vec![Block::Part { title: caption.to_owned(), blocks: parts }];
    }
    let in_order = |cells: &Vec<Cell>| {
        let value = |(path, _): &(String, Column)| {
            cells.iter().find(|cell| cell.path == *path).and_then(|cell| cell.value.clone()).unwrap_or_default()
        };
        known.iter().map(value).collect::<Vec<_>>()
    };
    let table = Table {
        caption: caption.to_owned(),
        rows: rows_of_cells.iter().map(in_order).collect(),
        columns: known.iter().map(|(_, column)| column.clone()).collect(),
    };
    let mut out = vec![Block::Table(table)];
    if !unknown.is_empty() {
        out.push(Block::Unknown(unknown));
    }
    out.extend(rows.iter().enumerate().flat_map(|(place, row)| inner_tables(row, place)));
    out
}

/// The columns that some row says something in, with their paths, and the names of the others.
fn columns(rows: &[Vec<Cell>]) -> (Vec<(String, Column)>, Vec<String>) {
    let mut all: Vec<(String, Column, bool)> = Vec::new();
    for row in rows {
        // A record that is absent in one row has columns in another: each goes behind the one that it follows in its row.
        let mut place = 0;
        for cell in row {
            let found = all.iter().position(|(path, ..)| *path == cell.path);
            let at = found.unwrap_or_else(|| {
                let column = Column { title: cell.title.clone(), figures: false };
                all.insert(place, (cell.path.clone(), column, false));
                place
            });
            place = at + 1;
            if let Some((_, column, known)) = all.get_mut(at) {
                column.figures |= cell.figure;
                *known |= cell.value.is_some();
            }
        }
    }
    let has_parts =
        |path: &str| all.iter().any(|(other, ..)| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')));
    let unknown = all.iter().filter(|(path, _, known)| !known && !has_parts(path));
    let unknown = unknown.map(|(_, column, _)| small(&column.title)).collect();
    let known = all.iter().filter(|(.., known)| *known).map(|(path, column, _)| (path.clone(), column.clone()));
    (known.collect(), unknown)
}

/// The lists of records within a row, each as a table that says whose it is.
fn inner_tables(row: &Tree, place: usize) -> Vec<Block> {
    let whose = key_of(row).unwrap_or_else(|| format!("row {}", place + 1));
    let mut out = Vec::new();
    let mut waiting = vec![row];
    while let Some(Tree::Record(fields)) = waiting.pop() {
        for (field, value) in fields {
            match value {
                Tree::Record(_) => waiting.push(value),
                Tree::List(rows) if rows.iter().any(|row| matches!(row, Tree::Record(_))) => {
                    out.extend(table(&format!("{} of {whose}", naming::title(field)), rows));
                }
                Tree::Absent
                | Tree::Truth(_)
                | Tree::Number(_)
                | Tree::Text(_)
                | Tree::Word(_)
                | Tree::Time(_)
                | Tree::List(_) => {}
            }
        }
    }
    out
}

/// One section: its name, how it came about, what was found, and what it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its name in words.
    pub(crate) title: String,
    /// A word that names it in links.
    pub(crate) anchor: &'static str,
    /// Whether everything was read.
    pub(crate) complete: bool,
    /// How it came about.
    pub(crate) outcome: String,
    /// What was found.
    pub(crate) blocks: Vec<Block>,
    /// What it was read from, and what was not read and why.
    pub(crate) sources: Table,
}

impl Section {
    /// Whether anything is told of it but how it came about.
    pub(crate) fn has_something(&self) -> bool {
        !self.blocks.is_empty() || !self.sources.rows.is_empty()
    }
}

/// Processes of which a row is laid out; [`crate::processes`] tells of all.
const MAX_PROCESSES: usize = 200;

/// What was found, as it is laid out.
fn content_blocks(content: &Content) -> Vec<Block> {
    let Content::Processes(all) = content else { return blocks(&Tree::of(content)) };
    let mut some = all.clone();
    some.processes.sort_by_key(|row| std::cmp::Reverse((row.resident_kib, row.cpu_ms)));
    some.processes.truncate(MAX_PROCESSES);
    some.processes.sort_by_key(|row| row.pid);
    let mut out = blocks(&Tree::of(&some));
    if some.processes.len() < all.processes.len() {
        let largest = format!("the {MAX_PROCESSES} with most memory, of {}", all.processes.len());
        out.insert(0, Block::Facts(vec![("Shown here".to_owned(), largest)]));
    }
    out
}

/// How a section came about, in a sentence or two.
pub(crate) fn how_it_came(report: &SectionReport) -> String {
    let took = naming::value("took_ms", &Tree::Number(report.took_ms.into())).unwrap_or_default();
    let what = match report.outcome {
        Outcome::Complete => "Complete".to_owned(),
        Outcome::Partial => "Not complete: some source was not read, or not in full".to_owned(),
        Outcome::TimedOut => "Given up: it did not come in time".to_owned(),
        Outcome::Unavailable => "This system has nothing of the kind".to_owned(),
        Outcome::NotAllowed => "Not allowed by the end user".to_owned(),
    };
    match report.outcome {
        Outcome::Complete | Outcome::Partial | Outcome::TimedOut => {
            format!("{what}. Read {} in {took}.", when(report.taken_at))
        }
        Outcome::Unavailable | Outcome::NotAllowed => format!("{what}."),
    }
}

/// Lays out one section.
pub(crate) fn section(report: &SectionReport) -> Section {
    let read = |coverage: Coverage| match coverage {
        Coverage::Read => "read",
        Coverage::Partial => "in part",
        Coverage::Missing => "not read",
    };
    let plain = |title: &str| Column { title: title.to_owned(), figures: false };
    let rows = report.sources.iter().map(|source| {
        let reason = if source.reason.is_blank() { String::new() } else { source.reason.shown() };
        vec![source.name.shown(), read(source.coverage).to_owned(), reason]
    });
    Section {
        title: capital(report.section.name()),
        anchor: report.section.name(),
        complete: matches!(report.outcome, Outcome::Complete | Outcome::Unavailable),
        outcome: how_it_came(report),
        blocks: report.content.as_ref().map(content_blocks).unwrap_or_default(),
        sources: Table {
            caption: "What it was read from".to_owned(),
            columns: ["Source", "Read", "Why not"].map(plain).into(),
            rows: rows.collect(),
        },
    }
}

/// What was held back from the report.
pub(crate) fn receipt(report: &Report) -> Vec<(String, String)> {
    let receipt = &report.receipt;
    let counts = |counts: &[wire::diagnostics::report::ClassCount]| {
        let all = counts.iter().map(|one| format!("{} {}", one.count, one.class.shown())).collect::<Vec<_>>();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let incomplete = receipt.incomplete.iter().map(|section| section.name()).collect::<Vec<_>>();
    vec![
        ("Texts that were replaced, by class".to_owned(), counts(&receipt.replaced)),
        ("Texts that left as they are, by class".to_owned(), counts(&receipt.sent)),
        (
            "Sections that could not be read in full".to_owned(),
            if incomplete.is_empty() { "none".to_owned() } else { incomplete.join(", ") },
        ),
        ("Rows left out to keep within the size".to_owned(), receipt.rows_left_out.to_string()),
    ]
}

/// The facts of the identity card.
pub(crate) fn card(report: &Report) -> Vec<(String, String)> {
    let Tree::Record(fields) = Tree::of(&report.card) else { return Vec::new() };
    let shown_first = |(field, value): &(&'static str, Tree)| Some((naming::title(field), line(field, value)?));
    fields.iter().filter_map(shown_first).collect()
}

/// Sentences about what the sample does not have: sources that were not read, and what was left out.
pub(crate) fn gaps(report: &Report) -> Vec<String> {
    let sample = &report.sample;
    let mut out = Vec::new();
    if sample.interval_ms == 0 {
        out.push("Rates are not known: there was no sample before this one.".to_owned());
    }
    if sample.processes_readable < sample.processes_total {
        let (read, total) = (sample.processes_readable, sample.processes_total);
        out.push(format!("{read} of {total} processes could be read."));
    }
    for (count, what) in [
        (sample.skipped, "samples were due and not taken or sent"),
        (sample.withheld, "changes were left out to keep within the bytes of the connection"),
    ] {
        if count > 0 {
            out.push(format!("{count} {what}."));
        }
    }
    out.extend(
        sample.unreadable.iter().map(|one| format!("{} was not read: {}.", shown(one.source.raw()), one.reason)),
    );
    out
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::sections::processes::{ProcessRow, Processes};

    use super::*;

    fn record(fields: &[(&'static str, Tree)]) -> Tree {
        Tree::Record(fields.to_vec())
    }

    fn text(text: &str) -> Tree {
        Tree::Text(text.to_owned())
    }

    fn facts(blocks: &[Block]) -> &[(String, String)] {
        match blocks.first() {
            Some(Block::Facts(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_many_processes_the_largest_are_laid_out() {
        let row = |pid| ProcessRow { pid, resident_kib: u64::from(pid % 1000), ..ProcessRow::default() };
        let shown = |count: u32| {
            let all = Processes { seen: count, left_out: 0, processes: (0..count).map(row).collect() };
            let blocks = content_blocks(&Content::Processes(Box::new(all)));
            let rows = blocks.iter().find_map(|block| match block {
                Block::Table(table) => Some(table.rows.len()),
                Block::Facts(_) | Block::Part { .. } | Block::Unknown(_) => None,
            });
            (rows, facts(&blocks)[0].1.clone())
        };
        assert_eq!(shown(150), (Some(150), "150".to_owned()), "how many were seen");
        assert_eq!(shown(950), (Some(MAX_PROCESSES), "the 200 with most memory, of 950".to_owned()));
    }

    #[test]
    fn what_is_not_known_is_named_and_what_is_empty_says_none() {
        let tree = record(&[("version", text("12")), ("build", text(" ")), ("taints", Tree::List(vec![]))]);
        let blocks = blocks(&tree);
        assert_eq!(facts(&blocks), [("Version".into(), "12".into()), ("Taints".into(), "none".into())]);
        assert_eq!(blocks[1], Block::Unknown(vec!["build".into()]));
    }

    #[test]
    fn records_become_parts_and_lists_of_them_tables() {
        let health = record(&[("passed", Tree::Truth(true)), ("power_on_hours", Tree::Number(48))]);
        let parts = Tree::List(vec![record(&[("name", text("sda1")), ("size_kib", Tree::Number(1024))])]);
        let rows = vec![
            record(&[("name", text("sdb")), ("health", Tree::Absent), ("partitions", Tree::List(vec![]))]),
            record(&[("name", text("sda")), ("health", health.clone()), ("partitions", parts)]),
        ];
        let tree = record(&[("devices", Tree::List(rows)), ("health", health)]);
        let [Block::Table(table), Block::Table(inner), Block::Part { title, .. }] = &blocks(&tree)[..] else {
            panic!("{:?}", blocks(&tree));
        };
        let titles = table.columns.iter().map(|column| column.title.as_str()).collect::<Vec<_>>();
        assert_eq!(titles, ["Name", "Health: passed", "Health: power on", "Partitions"]);
        assert_eq!(table.rows, [["sdb", "", "", "none"], ["sda", "yes", "2 days", "1"]]);
        assert_eq!((inner.caption.as_str(), inner.rows.len()), ("Partitions of sda", 1));
        assert_eq!(title, "Health");
    }

    #[test]
    fn a_column_in_which_no_row_says_anything_is_named_below() {
        let rows = vec![record(&[("name", text("a")), ("serial", text("")), ("health", Tree::Absent)])];
        let blocks = blocks(&record(&[("devices", Tree::List(rows))]));
        let [Block::Table(table), Block::Unknown(unknown)] = &blocks[..] else { panic!("{blocks:?}") };
        assert_eq!((table.columns.len(), &unknown[..]), (1, &["serial".to_owned(), "health".to_owned()][..]));
    }

    #[test]
    fn a_few_wide_rows_stand_one_below_the_other() {
        const FIELDS: [&str; 12] =
            ["name", "a_ms", "b_ms", "c_ms", "d_ms", "e_ms", "f_ms", "g_ms", "h_ms", "i_ms", "j_ms", "k_ms"];
        let fields = FIELDS.iter().map(|field| (*field, text("x"))).collect();
        let blocks = blocks(&record(&[("links", Tree::List(vec![Tree::Record(fields)]))]));
        let [Block::Part { title, blocks }] = &blocks[..] else { panic!("{blocks:?}") };
        assert_eq!(title, "Links");
        assert!(matches!(&blocks[..], [Block::Part { title, .. }] if title == "x"));
    }
}
