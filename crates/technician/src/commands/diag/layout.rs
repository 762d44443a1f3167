//! One reading, laid out for a person.

use std::time::Duration;

use report::wording::{technical, words_of};
use wire::diagnostics::{
    Filesystem, FilesystemState, IdentityCard, Snapshot,
    findings::{Finding, Severity, Verdict},
};

use crate::units;

/// A table whose columns are as wide as they need to be; the first is left-aligned, as is the last.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|text| (*text).to_owned()).collect()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, indented; nothing if there is only a heading.
    fn lines(&self) -> String {
        use unicode_width::UnicodeWidthStr as _;
        if self.rows.len() < 2 {
            return String::new();
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(width(column).unwrap_or(0).saturating_sub(cell.width()));
                line.push(' ');
                if column == 0 || column + 1 == columns {
                    line.push_str(cell);
                    line.push_str(&padding);
                } else {
                    line.push_str(&padding);
                    line.push_str(cell);
                }
                line.push(' ');
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// The whole reading. Peers' texts are made safe by their types.
pub(super) fn lay_out(card: Option<&IdentityCard>, findings: &[Finding], age_ms: u64, sample: &Snapshot) -> String {
    let mut out = String::new();
    if let Some(card) = card {
        out.push_str(&about(card));
    }
    let up = units::duration(Duration::from_secs(sample.uptime_secs));
    let [one, five, fifteen] = sample.load_centi.map(units::centi);
    let age = if age_ms >= 3000 {
        format!(", read {} ago", units::duration(Duration::from_millis(age_ms)))
    } else {
        String::new()
    };
    out.push_str(&format!("Up {up}, load {one} {five} {fifteen}{age}\n"));
    if sample.interval_ms == 0 {
        out.push_str("Rates are not known yet: this is the first sample.\n");
    }
    if sample.skipped > 0 {
        out.push_str(&format!(
            "{} samples were missed because the machine or the connection was slower\n",
            sample.skipped
        ));
    }
    section(&mut out, "Findings", &found(findings));
    section(&mut out, "Processors", &processors(sample));
    section(&mut out, "Memory", &memory(sample));
    section(&mut out, "File systems", &filesystems(sample));
    section(&mut out, "Disks", &disks(sample));
    section(&mut out, "Networks", &networks(sample));
    section(&mut out, "Temperatures", &temperatures(sample));
    let unreadable = sample.processes_total.saturating_sub(sample.processes_readable);
    let note = if unreadable > 0 { format!(", {unreadable} not readable") } else { String::new() };
    section(&mut out, &format!("Processes: {}{note}", sample.processes_total), &processes(sample));
    let missing = sample.unreadable.iter().map(|source| format!("  {}: {}\n", source.source, source.reason));
    section(&mut out, "Could not be read", &missing.collect::<String>());
    out
}

/// What fails, the worst first, and how much else was looked at.
fn found(findings: &[Finding]) -> String {
    let mut lines = String::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Fail) {
        let severity = finding.severity.map_or("info", Severity::name);
        lines.push_str(&format!("  {severity:<8}  {}\n            {}\n", words_of(finding).title, technical(finding)));
    }
    let of = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    if !findings.is_empty() {
        lines.push_str(&format!(
            "  {} checked and fine, {} could not be checked\n",
            of(Verdict::Pass),
            of(Verdict::Unknown)
        ));
    }
    lines
}

fn section(out: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        out.push_str(&format!("\n{title}\n{body}"));
    }
}

fn about(card: &IdentityCard) -> String {
    let memory = units::bytes(card.memory_kib.saturating_mul(1024));
    let kind = card.virtualisation.iter().map(|kind| format!(", {kind}")).collect::<String>();
    let model = if card.model.is_blank() { String::new() } else { format!(", {}", card.model) };
    let rights = if card.administrator { " (administrator)" } else { "" };
    format!(
        "{}: {}, kernel {}, {}{model}{kind}\n{}, {} cores, {memory}\nagent {} as {}{rights}\n",
        card.host,
        card.system,
        card.kernel,
        card.architecture,
        card.processor,
        card.cores,
        card.agent_version,
        card.user
    )
}

fn processors(sample: &Snapshot) -> String {
    let mut table = Table::new(&["core", "busy", "waits for disk", "stolen"]);
    for (index, core) in sample.cores.iter().enumerate() {
        let share = |permille: u16| units::percent(permille.into());
        table.row([
            index.to_string(),
            share(core.busy_permille),
            share(core.iowait_permille),
            share(core.steal_permille),
        ]);
    }
    table.lines()
}

fn memory(sample: &Snapshot) -> String {
    let memory = &sample.memory;
    let size = |kib: u64| units::bytes(kib.saturating_mul(1024));
    let of = |used: u64, total: u64| {
        format!("{} of {} used ({})", size(used), size(total), units::percent(units::permille(used, total).into()))
    };
    let mut out = format!(
        "  memory  {}, {} available, {} waiting to be written\n",
        of(memory.total_kib.saturating_sub(memory.available_kib), memory.total_kib),
        size(memory.available_kib),
        size(memory.dirty_kib)
    );
    if memory.limit_kib > 0 {
        out.push_str(&format!("  limit   {}\n", of(memory.limit_used_kib, memory.limit_kib)));
    }
    if memory.swap_total_kib == 0 {
        out.push_str("  swap    none\n");
    } else {
        let rate = |kib: u32| size(kib.into());
        out.push_str(&format!(
            "  swap    {}, in {}/s, out {}/s\n",
            of(memory.swap_used_kib, memory.swap_total_kib),
            rate(memory.swap_in_kib_s),
            rate(memory.swap_out_kib_s)
        ));
    }
    if memory.oom_kills > 0 {
        out.push_str(&format!("  killed  {} processes for want of memory since the start\n", memory.oom_kills));
    }
    match sample.pressure {
        Some(pressure) => {
            let share = |centi: u16| units::centi(centi.into());
            out.push_str(&format!(
                "  waited  in the last 10 s, some/all tasks: processor {} %, memory {}/{} %, disk {}/{} %\n",
                share(pressure.cpu_some_centi),
                share(pressure.memory_some_centi),
                share(pressure.memory_full_centi),
                share(pressure.io_some_centi),
                share(pressure.io_full_centi)
            ));
        }
        None => out.push_str("  waited  this kernel does not say\n"),
    }
    out
}

fn filesystems(sample: &Snapshot) -> String {
    let mut table = Table::new(&["mount", "kind", "used", "size", "free", "inodes", "state"]);
    for filesystem in &sample.filesystems {
        let Filesystem { mount, kind, total_kib, available_kib, inodes_total, inodes_free, state } = filesystem;
        let size = |kib: u64| units::bytes(kib.saturating_mul(1024));
        let inodes = match inodes_total {
            0 => "no limit".to_owned(),
            total => units::percent(units::permille(total.saturating_sub(*inodes_free), *total).into()),
        };
        let state = match state {
            FilesystemState::ReadWrite => "",
            FilesystemState::ReadOnly => "read-only",
            FilesystemState::Unresponsive => "does not answer",
            FilesystemState::Stopped => "read-only after errors",
            FilesystemState::Damaged => "has errors",
        };
        table.row([
            mount.shown(),
            kind.shown(),
            units::percent(units::permille(total_kib.saturating_sub(*available_kib), *total_kib).into()),
            size(*total_kib),
            size(*available_kib),
            inodes,
            state.to_owned(),
        ]);
    }
    table.lines()
}

fn disks(sample: &Snapshot) -> String {
    let mut table = Table::new(&["disk", "busy", "read/s", "written/s", "requests/s", "time of one"]);
    for disk in &sample.disks {
        let rate = |kib: u32| units::bytes(u64::from(kib) * 1024);
        table.row([
            disk.name.shown(),
            units::percent(disk.busy_permille.into()),
            rate(disk.read_kib_s),
            rate(disk.write_kib_s),
            disk.requests_s.to_string(),
            units::milliseconds(disk.await_us.into()),
        ]);
    }
    table.lines()
}

fn networks(sample: &Snapshot) -> String {
    let mut table = Table::new(&["network", "received/s", "sent/s", "errors", "drops", "state"]);
    for network in &sample.networks {
        table.row([
            network.name.shown(),
            units::bytes(network.rx_bytes_s),
            units::bytes(network.tx_bytes_s),
            network.errors.to_string(),
            network.drops.to_string(),
            if network.up { "" } else { "down" }.to_owned(),
        ]);
    }
    table.lines()
}

fn temperatures(sample: &Snapshot) -> String {
    let line = |sensor: &wire::diagnostics::Temperature| {
        format!("  {:>6} °C  {}\n", units::tenths(sensor.deci_celsius), sensor.label)
    };
    sample.temperatures.iter().map(line).collect()
}

fn processes(sample: &Snapshot) -> String {
    let mut table = Table::new(&["name", "process", "user", "processor", "memory", "threads", "state"]);
    for process in &sample.processes {
        // The letter comes from the peer as a character of its own.
        let state = if process.state.is_ascii_graphic() { process.state } else { '?' };
        table.row([
            process.name.shown(),
            process.pid.to_string(),
            process.owner.shown(),
            format!("{}.{}%", process.cpu_permille / 10, process.cpu_permille % 10),
            units::bytes(process.resident_kib.saturating_mul(1024)),
            process.threads.to_string(),
            state.to_string(),
        ]);
    }
    table.lines()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::draw::testing;

    #[test]
    fn a_reading_is_laid_out_in_columns() {
        insta::assert_snapshot!(lay_out(Some(&testing::card()), &testing::findings(), 0, &testing::sample()));
    }

    #[test]
    fn a_hostile_reading_acts_on_no_screen() {
        let model = testing::hostile();
        let text = lay_out(model.card.as_deref(), &model.findings, u64::MAX, model.sample.as_deref().unwrap());
        assert!(text.chars().all(|character| character == '\n' || !crate::escape::acts_on_screen(character)));
    }

    #[test]
    fn an_empty_reading_says_so_little() {
        let text = lay_out(None, &[], 0, &Snapshot::default());
        assert!(text.contains("first sample"), "{text}");
        assert!(!text.contains("Disks"), "{text}");
    }
}
