//! The lower part: lists that can be scrolled.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};
use report::wording::{technical, words_of};
use wire::diagnostics::{
    Panel as Sampled, ProcessOrder, Snapshot,
    findings::{Finding, Severity, Verdict},
};

use super::{Look, Model, Panel, cut, fit, frame_of, machine};
use crate::{
    status::{RunState, RunStatus},
    units,
};

/// Draws one panel.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, panel: Panel, look: Look) {
    let focused = panel == model.panel;
    let block = frame_of(title(model, panel, look), focused, look);
    let inner = block.inner(area);
    let lines = match panel {
        Panel::Findings => finding_lines(&model.findings, usize::from(inner.width), look),
        Panel::Processes => process_lines(model.sample.as_deref(), usize::from(inner.width), look),
        Panel::Runs => run_lines(model, usize::from(inner.width), look),
        Panel::Devices => device_lines(model.sample.as_deref(), usize::from(inner.width), look),
        Panel::Activity => activity_lines(model, look),
    };
    let rows = usize::from(inner.height);
    // The heading of the processes stays where it is; the activity and the runs begin at their end, where the news is.
    let heading = usize::from(panel == Panel::Processes);
    let most = lines.len().saturating_sub(rows);
    let scroll = model.scroll_of(panel).min(most);
    let first = match panel {
        Panel::Activity | Panel::Runs => most - scroll,
        Panel::Findings | Panel::Processes | Panel::Devices => scroll,
    };
    let hidden = lines.len().saturating_sub(rows + first);
    let shown = lines.iter().take(heading).chain(lines.iter().skip(heading + first)).take(rows).cloned();
    let mut block = block;
    if hidden > 0 || first > 0 {
        let more = format!(" {first} above, {hidden} below ");
        block = block.title_bottom(Span::styled(more, look.dim()));
    }
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()), inner);
}

fn title(model: &Model, panel: Panel, look: Look) -> Line<'static> {
    let mut line = Line::from(Span::styled(format!(" {} ", panel.title()), look.strong()));
    let more = match panel {
        Panel::Findings => Some(format!("{} ", counts(&model.findings))),
        Panel::Processes => model.sample.as_deref().map(|sample| {
            let unreadable = sample.processes_total.saturating_sub(sample.processes_readable);
            let note = if unreadable > 0 { format!(", {unreadable} not readable") } else { String::new() };
            format!("{}{note}, by {} ", sample.processes_total, order_words(model.processes_by))
        }),
        Panel::Runs => Some(format!("{} ", model.status.runs.len())),
        Panel::Devices => None,
        Panel::Activity => match model.status.activity_dropped {
            0 => None,
            dropped => Some(format!("{dropped} older lines dropped ")),
        },
    };
    if let Some(more) = more {
        line.push_span(Span::styled(more, look.dim()));
    }
    line
}

fn order_words(order: ProcessOrder) -> &'static str {
    match order {
        ProcessOrder::Cpu => "processor",
        ProcessOrder::Memory => "memory",
        ProcessOrder::Io => "reads and writes",
    }
}

/// How many of each kind, in words.
fn counts(findings: &[Finding]) -> String {
    let of = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match findings.len() {
        0 => "not known yet".to_owned(),
        _ => format!("{}, {} fine, {} unknown", of(Verdict::Fail), of(Verdict::Pass), of(Verdict::Unknown)),
    }
}

/// What fails, with what the technician needs to know of it; then what could not be looked at, and what is fine.
fn finding_lines(findings: &[Finding], width: usize, look: Look) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Fail) {
        let (mark, style) = match finding.severity {
            Some(Severity::Critical) => ("!!", look.bad()),
            Some(Severity::Warning) => (" !", look.warn()),
            Some(Severity::Info) | None => (" i", look.accent()),
        };
        let title = format!("{mark} {}", words_of(finding).title);
        lines.push(Line::from(Span::styled(cut(&title, width), style)));
        lines.push(Line::from(Span::raw(format!("   {}", cut(&technical(finding), width.saturating_sub(3))))));
    }
    for (verdict, mark) in [(Verdict::Unknown, " ?"), (Verdict::Pass, " ✓")] {
        let those = findings.iter().filter(|finding| finding.verdict == verdict);
        lines.extend(those.map(|finding| {
            let line = format!("{mark} {}", told(finding));
            Line::from(Span::styled(cut(&line, width), look.dim()))
        }));
    }
    lines
}

/// What does not fail, on a line: about what, and why nobody knows.
fn told(finding: &Finding) -> String {
    let title = words_of(finding).title;
    let subject = finding.subject.as_ref().map(|subject| format!(" ({})", subject.label())).unwrap_or_default();
    let reason = finding.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match finding.verdict {
        Verdict::Pass => format!("not so: {title}{subject}"),
        Verdict::Fail | Verdict::Unknown | Verdict::NotApplicable => format!("{title}{subject}{reason}"),
    }
}

fn process_lines(sample: Option<&Snapshot>, width: usize, look: Look) -> Vec<Line<'static>> {
    let Some(sample) = sample else { return Vec::new() };
    if !sample.view.panels.contains(Sampled::Processes) {
        return vec![Line::from(Span::styled("They come with the next reading.", look.dim()))];
    }
    let name = width.saturating_sub(41).max(6);
    let heading = format!("{:>8} {:<6} {:>6} {:>7} {:>5} S {}", "PID", "USER", "CPU", "MEM", "THR", fit("NAME", name));
    let heading = std::iter::once(Line::from(Span::styled(heading, look.dim())));
    let rows = sample.processes.iter().map(|process| {
        // The state letter comes from the peer as a character of its own.
        let state = if process.state.is_ascii_graphic() { process.state } else { '?' };
        let cpu = format!("{}.{}", process.cpu_permille / 10, process.cpu_permille % 10);
        let memory = units::short_bytes(process.resident_kib.saturating_mul(1024));
        let name = cut(&process.name.shown(), name);
        let owner = fit(&process.owner.shown(), 6);
        let figures = format!("{:>8} {owner} {cpu:>6} {memory:>7} {:>5} {state} ", process.pid, process.threads);
        Line::from(vec![Span::raw(figures), Span::styled(name, look.strong())])
    });
    heading.chain(rows).collect()
}

fn device_lines(sample: Option<&Snapshot>, width: usize, look: Look) -> Vec<Line<'static>> {
    let Some(sample) = sample else { return Vec::new() };
    let name = (width / 3).clamp(6, 32);
    let mut lines = Vec::new();
    for filesystem in &sample.filesystems {
        let mut line = machine::filesystem_line(filesystem, name, width.saturating_sub(12), look);
        line.push_span(Span::styled(format!(" {}", filesystem.kind), look.dim()));
        lines.push(line);
    }
    lines.extend(sample.disks.iter().map(|disk| machine::disk_line(disk, name, look)));
    lines.extend(sample.networks.iter().map(|network| machine::network_line(network, name, look)));
    lines.extend(sample.temperatures.iter().map(|sensor| {
        let degrees = format!("{} °C", units::tenths(sensor.deci_celsius));
        Line::from(vec![Span::styled(format!("{} ", fit(&sensor.label.shown(), name)), look.dim()), Span::raw(degrees)])
    }));
    lines.extend(sample.unreadable.iter().map(|source| {
        let text = format!("{} could not be read: {}", source.source, source.reason);
        Line::from(Span::styled(text, look.warn()))
    }));
    lines
}

fn run_lines(model: &Model, width: usize, look: Look) -> Vec<Line<'static>> {
    if model.status.runs.is_empty() {
        return vec![Line::from(Span::styled("Nothing was run. Press r to ask for a command.", look.dim()))];
    }
    let mut lines = Vec::new();
    for run in &model.status.runs {
        lines.push(run_heading(run, width, look));
        lines.extend(run.last_lines.iter().map(|text| Line::from(Span::styled(format!("  {text}"), look.dim()))));
    }
    lines
}

fn run_heading(run: &RunStatus, width: usize, look: Look) -> Line<'static> {
    let (state, style) = match &run.state {
        RunState::Asking => ("asking".to_owned(), look.warn()),
        RunState::Denied { reason } => (format!("not run: {reason}"), look.bad()),
        RunState::Running { for_secs } => (format!("running {for_secs} s"), look.accent()),
        RunState::Cancelling => ("cancelling".to_owned(), look.warn()),
        RunState::Finished { outcome, exit, cut_bytes } => {
            let cut = if *cut_bytes > 0 { format!(", {} cut", units::bytes(*cut_bytes)) } else { String::new() };
            (format!("{outcome}{cut}"), if *exit == 0 { look.good() } else { look.bad() })
        }
    };
    let received =
        if run.received_bytes > 0 { format!(" {}", units::short_bytes(run.received_bytes)) } else { String::new() };
    let room = width.saturating_sub(state.len() + received.len() + 6).max(10);
    Line::from(vec![
        Span::styled(format!("{:>3} ", run.run), look.dim()),
        Span::styled(cut(&run.command, room), look.strong()),
        Span::styled(format!("  {state}"), style),
        Span::styled(received, look.dim()),
    ])
}

fn activity_lines(model: &Model, look: Look) -> Vec<Line<'static>> {
    let line = |entry: &crate::status::ActivityLine| {
        let ago = units::short_duration(std::time::Duration::from_secs(entry.ago_secs));
        Line::from(vec![Span::styled(format!("{ago:>4} ago  "), look.dim()), Span::raw(entry.text.clone())])
    };
    model.status.activity.iter().map(line).collect()
}
