//! The findings in words and in order, and the figures that matter first.

use wire::{
    diagnostics::{
        DiskProcess, Filesystem, FilesystemState, LargeProcess, Snapshot,
        findings::{Amount, Finding, Severity, Unit, Verdict},
        report::Report,
    },
    text::shown,
};

use crate::{
    naming::{self, when},
    outline::{Column, Table},
    runbooks::{self, Runbook},
    tree::Tree,
    units, wording,
};

/// One finding in words. Every text is safe on a terminal.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// What it is about.
    pub(crate) title: &'static str,
    /// Of which thing; blank where it is the whole machine.
    pub(crate) subject: String,
    /// How bad it is.
    pub(crate) severity: Option<Severity>,
    /// For the person at the machine.
    pub(crate) plain: String,
    /// For the technician.
    pub(crate) technical: String,
    /// What it rests on.
    pub(crate) evidence: Vec<(&'static str, String)>,
    /// Since when.
    pub(crate) since: Option<String>,
    /// How sure it is.
    pub(crate) confidence: &'static str,
    /// When it will get worse, as a range.
    pub(crate) forecast: Option<String>,
    /// Why there is no answer.
    pub(crate) reason: Option<String>,
    /// What is known not to be the cause.
    pub(crate) ruled_out: Vec<&'static str>,
    /// What to look at next.
    pub(crate) runbook: Option<&'static Runbook>,
}

/// All findings of a report, by what they answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllTold {
    /// What is wrong, the worst first.
    pub(crate) failed: Vec<Told>,
    /// What could not be checked.
    pub(crate) unknown: Vec<Told>,
    /// What is fine.
    pub(crate) passed: Vec<Told>,
    /// What the machine does not have.
    pub(crate) not_applicable: Vec<Told>,
}

impl AllTold {
    /// Sorts and words `findings`.
    pub(crate) fn of(findings: &[Finding]) -> Self {
        let mut all = Self::default();
        let mut sorted = findings.iter().collect::<Vec<_>>();
        sorted.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.confidence)));
        for finding in sorted {
            let list = match finding.verdict {
                Verdict::Fail => &mut all.failed,
                Verdict::Unknown => &mut all.unknown,
                Verdict::Pass => &mut all.passed,
                Verdict::NotApplicable => &mut all.not_applicable,
            };
            list.push(told(finding, findings));
        }
        all
    }

    /// How many findings there are of each kind, in a sentence.
    pub(crate) fn summary(&self) -> String {
        let count = |severity| self.failed.iter().filter(|told| told.severity == Some(severity)).count();
        let wrong = if self.failed.is_empty() {
            "Nothing wrong was found".to_owned()
        } else {
            let parts =
                [(Severity::Critical, "critical"), (Severity::Warning, "warnings"), (Severity::Info, "worth knowing")];
            let parts =
                parts.into_iter().map(|(severity, word)| (count(severity), word)).filter(|(count, _)| *count > 0);
            let parts = parts.map(|(count, word)| match (count, word) {
                (1, "warnings") => "1 warning".to_owned(),
                (count, word) => format!("{count} {word}"),
            });
            parts.collect::<Vec<_>>().join(", ")
        };
        format!("{wrong}; {} checked and fine, {} could not be checked.", self.passed.len(), self.unknown.len())
    }
}

/// The severity as a word.
pub(crate) fn severity_word(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::Critical) => "Critical",
        Some(Severity::Warning) => "Warning",
        Some(Severity::Info) | None => "Worth knowing",
    }
}

fn told(finding: &Finding, all: &[Finding]) -> Told {
    let words = wording::words_of(finding);
    let exonerating =
        all.iter().filter(|other| other.verdict == Verdict::Pass && other.exonerates.contains(&finding.check));
    let mut ruled_out = match finding.verdict {
        Verdict::Fail => exonerating.map(|other| wording::words(other.check).rules_out).collect::<Vec<_>>(),
        Verdict::Pass => vec![words.rules_out],
        Verdict::Unknown | Verdict::NotApplicable => Vec::new(),
    };
    ruled_out.dedup();
    Told {
        title: words.title,
        subject: finding.subject.as_ref().map(|subject| shown(subject.label().raw())).unwrap_or_default(),
        severity: finding.severity,
        plain: wording::plain(finding),
        technical: wording::technical(finding),
        evidence: wording::evidence(finding),
        since: finding.since.map(when),
        confidence: finding.confidence.name(),
        forecast: finding.forecast.map(|forecast| {
            let fit = units::amount(Amount { value: forecast.fit_permille.into(), unit: Unit::Permille });
            let earliest = units::seconds(forecast.earliest_secs);
            match forecast.latest_secs {
                Some(latest) => format!("in {earliest} to {} (the trend explains {fit})", units::seconds(latest)),
                None => format!("in {earliest} at the earliest, perhaps never (the trend explains {fit})"),
            }
        }),
        reason: finding.reason.as_ref().map(|reason| reason.shown()),
        ruled_out,
        runbook: runbooks::runbook(finding.runbook.raw()),
    }
}

/// A figure that matters: what it is, how much, and what else belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFigure {
    /// What it is.
    pub(crate) name: &'static str,
    /// How much.
    pub(crate) value: String,
    /// What else belongs to it; may be blank.
    pub(crate) detail: String,
}

pub(crate) fn amount(value: impl Into<i128>, unit: Unit) -> String {
    let value = i64::try_from(value.into()).unwrap_or(i64::MAX);
    units::amount(Amount { value, unit })
}

/// `part` of `whole` in thousandths; 0 of nothing.
fn share(part: u64, whole: u64) -> i128 {
    i128::from(part) * 1000 / i128::from(whole.max(1))
}

/// The figures that matter, in the order in which to look at them.
pub(crate) fn key_figures(sample: &Snapshot) -> Vec<KeyFigure> {
    let Snapshot { processor, memory, .. } = sample;
    let permille = |value: u16| amount(value, Unit::Permille);
    let kib = |value: u64| amount(value, Unit::Kib);
    let mut out = vec![KeyFigure {
        name: "Processor",
        value: format!("{} busy", permille(processor.busy_permille)),
        detail: format!(
            "{} waiting for disks, {} taken by the host",
            permille(processor.iowait_permille),
            permille(processor.steal_permille)
        ),
    }];
    let [one, five, fifteen] = sample.load_centi.map(|load| amount(load, Unit::Centi));
    out.push(KeyFigure {
        name: "Load",
        value: one,
        detail: format!("{five} over 5 min, {fifteen} over 15 min; {} processors", processor.cores),
    });
    let free = amount(share(memory.available_kib, memory.total_kib), Unit::Permille);
    out.push(KeyFigure {
        name: "Memory",
        value: format!("{free} available"),
        detail: format!("{} of {}", kib(memory.available_kib), kib(memory.total_kib)),
    });
    if memory.swap_total_kib > 0 {
        let moved = u64::from(memory.swap_in_kib_s) + u64::from(memory.swap_out_kib_s);
        out.push(KeyFigure {
            name: "Swap",
            value: format!("{} used", amount(share(memory.swap_used_kib, memory.swap_total_kib), Unit::Permille)),
            detail: format!("of {}; {} in and out", kib(memory.swap_total_kib), amount(moved, Unit::KibPerSecond)),
        });
    }
    if let Some(pressure) = sample.pressure {
        let centi = |value: u16| amount(value, Unit::CentiPercent);
        out.push(KeyFigure {
            name: "Pressure",
            value: format!("disks {}", centi(pressure.io_some_centi)),
            detail: format!(
                "memory {}, processor {}",
                centi(pressure.memory_some_centi),
                centi(pressure.cpu_some_centi)
            ),
        });
    }
    out.extend(of_devices(sample));
    out.push(KeyFigure {
        name: "Processes",
        value: amount(sample.processes_total, Unit::Count),
        detail: format!("{} stuck on a device", sample.processes_stuck),
    });
    out.push(KeyFigure { name: "Running for", value: units::seconds(sample.uptime_secs), detail: String::new() });
    out
}

/// The busiest disk, the network, the hottest sensor.
fn of_devices(sample: &Snapshot) -> Vec<KeyFigure> {
    let mut out = Vec::new();
    if let Some(disk) = sample.disks.iter().max_by_key(|disk| disk.busy_permille) {
        out.push(KeyFigure {
            name: "Busiest disk",
            value: format!("{} busy", amount(disk.busy_permille, Unit::Permille)),
            detail: format!("{}, {} a request", disk.name, amount(disk.await_us, Unit::Micros)),
        });
    }
    if !sample.networks.is_empty() {
        let sum = |of: fn(&wire::diagnostics::Network) -> u64| {
            amount(sample.networks.iter().map(|network| i128::from(of(network))).sum::<i128>(), Unit::BytesPerSecond)
        };
        out.push(KeyFigure {
            name: "Network",
            value: format!("{} in", sum(|network| network.rx_bytes_s)),
            detail: format!("{} out", sum(|network| network.tx_bytes_s)),
        });
    }
    if let Some(hottest) = sample.temperatures.iter().max_by_key(|sensor| sensor.deci_celsius) {
        out.push(KeyFigure {
            name: "Hottest",
            value: amount(hottest.deci_celsius, Unit::DeciCelsius),
            detail: hottest.label.shown(),
        });
    }
    out
}

/// The tables of the sample: file systems, disks, networks, processes, temperatures. `largest`: the processes with most memory;
/// `on_disk`: those that use disks most.
pub(crate) fn live_tables(sample: &Snapshot, largest: &[LargeProcess], on_disk: &[DiskProcess]) -> Vec<Table> {
    let mut tables = vec![
        filesystems(&sample.filesystems),
        chosen(
            "Disks",
            &Tree::of(&sample.disks),
            &["name", "busy_permille", "read_kib_s", "write_kib_s", "requests_s", "await_us", "in_flight"],
        ),
        chosen(
            "Networks",
            &Tree::of(&sample.networks),
            &["name", "up", "rx_bytes_s", "tx_bytes_s", "errors", "drops", "errors_s", "drops_s"],
        ),
        chosen(
            "Top processes",
            &Tree::of(&sample.processes),
            &["name", "pid", "owner", "cpu_permille", "resident_kib", "threads", "state", "read_kib_s", "write_kib_s"],
        ),
        chosen("Processes with most memory", &Tree::of(&largest), &["name", "pid", "resident_kib"]),
        chosen("Processes that use disks most", &Tree::of(&on_disk), &["name", "pid", "read_kib_s", "write_kib_s"]),
        chosen("Processes that are stuck on a device", &Tree::of(&sample.stuck), &["name", "pid"]),
        chosen("Temperatures", &Tree::of(&sample.temperatures), &["label", "deci_celsius"]),
        chosen("Fans", &Tree::of(&sample.fans), &["label", "rpm"]),
        chosen("Power", &Tree::of(&sample.power), &["label", "milliwatts"]),
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn filesystems(filesystems: &[Filesystem]) -> Table {
    let columns = [
        ("Mount", false),
        ("Kind", false),
        ("Size", true),
        ("Free", true),
        ("Used", true),
        ("Inodes used", true),
        ("State", false),
    ];
    let row = |one: &Filesystem| {
        let used = one.total_kib.saturating_sub(one.available_kib);
        let inodes = one.inodes_total.saturating_sub(one.inodes_free);
        let state = match one.state {
            FilesystemState::ReadWrite => "read and write",
            FilesystemState::ReadOnly => "read only",
            FilesystemState::Unresponsive => "does not answer",
            FilesystemState::Stopped => "read only after errors",
            FilesystemState::Damaged => "read and write, has errors",
        };
        vec![
            one.mount.shown(),
            one.kind.shown(),
            if one.total_kib == 0 { String::new() } else { amount(one.total_kib, Unit::Kib) },
            if one.total_kib == 0 { String::new() } else { amount(one.available_kib, Unit::Kib) },
            if one.total_kib == 0 { String::new() } else { amount(share(used, one.total_kib), Unit::Permille) },
            if one.inodes_total == 0 { String::new() } else { amount(share(inodes, one.inodes_total), Unit::Permille) },
            state.to_owned(),
        ]
    };
    Table {
        caption: "File systems".to_owned(),
        columns: columns.map(|(title, figures)| Column { title: title.to_owned(), figures }).into(),
        rows: filesystems.iter().map(row).collect(),
    }
}

/// The table of the chosen fields of the records in `list`.
fn chosen(caption: &str, list: &Tree, fields: &[&str]) -> Table {
    let rows = if let Tree::List(rows) = list { rows.as_slice() } else { &[] };
    // What no row says anything about, as what only an administrator may read, needs no column.
    let known = |field: &&&str| {
        rows.iter().any(|row| row.field(field).is_some_and(|value| naming::value(field, value).is_some()))
    };
    let fields = fields.iter().filter(known).collect::<Vec<_>>();
    let column = |field: &&&str| Column {
        // Errors and errors a second have the same words: the unit tells them apart.
        title: match **field {
            "errors_s" | "drops_s" => format!("{} a second", naming::title(field)),
            field => naming::title(field),
        },
        figures: rows.iter().any(|row| row.field(field).is_some_and(|value| naming::is_amount(field, value))),
    };
    let cell =
        |row: &Tree, field: &str| row.field(field).and_then(|value| naming::value(field, value)).unwrap_or_default();
    Table {
        caption: caption.to_owned(),
        columns: fields.iter().map(column).collect(),
        rows: rows.iter().map(|row| fields.iter().map(|field| cell(row, field)).collect()).collect(),
    }
}

/// The heading of a report: what it is of, and the sentence below that says when and by whom.
pub(crate) fn heading(report: &Report) -> (String, String) {
    let host = if report.card.host.is_blank() { "a computer".to_owned() } else { report.card.host.shown() };
    let rights = if report.card.administrator { "as administrator" } else { "without administrator rights" };
    (
        format!("Report of {host}"),
        format!(
            "Taken {} by Assent agent {}, running as {} {rights}.",
            when(report.taken_at),
            report.card.agent_version,
            report.card.user
        ),
    )
}
