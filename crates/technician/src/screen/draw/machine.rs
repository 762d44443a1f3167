//! The upper part: how the machine is doing, worst things first.

use std::{cmp::Reverse, time::Duration};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::Paragraph,
};
use wire::diagnostics::{Core, Disk, Filesystem, FilesystemState, Network, Pace, PaceReason, Snapshot};

use super::{Look, Model, WIDE, bar, eighth, fit, frame_of};
use crate::units;

/// Rows that the upper part takes of `area`: enough for the processors, and never more than half.
pub(super) fn wanted_height(area: Rect, sample: &Snapshot) -> u16 {
    let rows = if area.width < WIDE { 10 } else { 9 };
    let for_cores = u16::try_from(sample.cores.len().div_ceil(2)).unwrap_or(u16::MAX).saturating_add(6);
    for_cores.clamp(rows, (area.height / 2).max(rows)).min(area.height)
}

/// Draws processors, memory, pressure, storage, networks and temperatures.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, sample: &Snapshot, look: Look) {
    if area.width < WIDE {
        let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
        processors(frame, left, model, sample, look);
        rest(frame, right, sample, look, Rest::All);
        return;
    }
    let [left, middle, right] =
        Layout::horizontal([Constraint::Fill(5), Constraint::Fill(4), Constraint::Fill(5)]).areas(area);
    processors(frame, left, model, sample, look);
    rest(frame, middle, sample, look, Rest::Memory);
    rest(frame, right, sample, look, Rest::Devices);
}

fn processors(frame: &mut Frame<'_>, area: Rect, model: &Model, sample: &Snapshot, look: Look) {
    let [one, five, fifteen] = sample.load_centi.map(units::centi);
    let busy = model.busy_history.back().copied().unwrap_or_default();
    let title = Line::from(vec![
        Span::styled(" Processor ", look.strong()),
        Span::styled(format!("{} ", units::percent(busy.into())), look.level(busy)),
        Span::styled(format!("· load {one} {five} {fifteen} "), look.dim()),
    ]);
    let mut block = frame_of(title, false, look);
    let left_out = [(sample.skipped, "readings missed"), (sample.withheld, "changes left out")];
    for (count, what) in left_out.into_iter().filter(|(count, _)| *count > 0) {
        block = block.title_bottom(Span::styled(format!(" {count} {what} "), look.warn()));
    }
    if let Some(pace) = pace_words(sample.pace) {
        // That a large machine is looked at in turns is as it should be.
        let style = if sample.pace.reason == PaceReason::ManyProcesses { look.dim() } else { look.warn() };
        block = block.title_bottom(Span::styled(format!(" {pace} "), style));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [cores, history, last] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)]).areas(inner);
    frame.render_widget(Paragraph::new(core_lines(&sample.cores, cores, look)), cores);
    frame.render_widget(Paragraph::new(history_line(model, usize::from(history.width), look)), history);
    let up = units::duration(Duration::from_secs(sample.uptime_secs));
    let temperature = sample.temperatures.iter().map(|sensor| sensor.deci_celsius).max();
    let hottest = temperature.map(|deci| format!(" · hottest {} °C", deci / 10)).unwrap_or_default();
    frame.render_widget(Paragraph::new(Span::styled(format!("up {up}{hottest}"), look.dim())), last);
}

/// How often the machine measures itself, where that is less often than it was asked to, and why.
fn pace_words(pace: Pace) -> Option<String> {
    let every = |ms: u32| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let (sample, processes) = (every(pace.sample_ms), every(pace.processes_ms));
    match pace.reason {
        PaceReason::AsAsked => None,
        PaceReason::ManyProcesses => Some(format!("listed processes every {sample}, all every {processes}")),
        PaceReason::Load => Some(format!("processes every {processes}: the machine is busy")),
        PaceReason::CpuPressure => Some(format!("every {sample}: programs wait for processors")),
        PaceReason::OwnCpu => Some(format!("every {sample}: measuring takes too much")),
    }
}

fn history_line(model: &Model, width: usize, look: Look) -> Line<'static> {
    let room = width.saturating_sub(5);
    let newest = model.busy_history.iter().rev().take(room).copied().collect::<Vec<_>>();
    let blocks = newest.into_iter().rev().map(eighth).collect::<String>();
    Line::from(vec![Span::styled("busy ", look.dim()), Span::styled(blocks, look.accent())])
}

/// A line for each processor, or two or more in a line, or one character each when there are very many.
fn core_lines(cores: &[Core], area: Rect, look: Look) -> Vec<Line<'static>> {
    let rows = usize::from(area.height).max(1);
    let width = usize::from(area.width);
    let columns = cores.len().div_ceil(rows).max(1);
    let cell = width / columns;
    if cell < 12 {
        return dense_cores(cores, width.max(1), look);
    }
    let digits = cores.len().saturating_sub(1).to_string().len();
    let per_column = cores.len().div_ceil(columns);
    let line = |row: usize| {
        let in_row = (0..columns).filter_map(|column| {
            let index = column * per_column + row;
            let in_column = row < per_column;
            cores.get(index).filter(|_| in_column).map(|core| core_spans(index, *core, cell, digits, look))
        });
        Line::from_iter(in_row.flatten())
    };
    (0..per_column).map(line).collect()
}

fn core_spans(index: usize, core: Core, cell: usize, digits: usize, look: Look) -> Vec<Span<'static>> {
    let used = core.busy_permille.saturating_add(core.steal_permille).min(1000);
    let width = cell.saturating_sub(digits + 7);
    let parts = [(core.busy_permille, '█'), (core.steal_permille, '▓'), (core.iowait_permille, '░')];
    vec![
        Span::styled(format!("{index:>digits$} "), look.dim()),
        Span::styled(bar(&parts, width), look.accent()),
        Span::styled(format!("{:>5} ", units::percent(used.into())), look.level(used)),
    ]
}

fn dense_cores(cores: &[Core], width: usize, look: Look) -> Vec<Line<'static>> {
    let line = |chunk: &[Core]| {
        let blocks = chunk.iter().map(|core| eighth(core.busy_permille)).collect::<String>();
        Line::from(Span::styled(blocks, look.accent()))
    };
    cores.chunks(width).map(line).collect()
}

/// Which of the other figures go into a box.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    All,
    Memory,
    Devices,
}

fn rest(frame: &mut Frame<'_>, area: Rect, sample: &Snapshot, look: Look, which: Rest) {
    let title = match which {
        Rest::All => " Memory, storage, network ",
        Rest::Memory => " Memory, pressure, heat ",
        Rest::Devices => " Storage, network ",
    };
    let block = frame_of(Line::from(Span::styled(title, look.strong())), false, look);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let width = usize::from(inner.width);
    let mut lines = Vec::new();
    if which != Rest::Devices {
        lines.extend(memory_lines(sample, width, look));
    }
    if which == Rest::Memory {
        lines.extend(temperature_lines(sample, width, look));
    }
    if which != Rest::Memory {
        lines.extend(device_lines(sample, width, usize::from(inner.height).saturating_sub(lines.len()), look));
    }
    frame.render_widget(Paragraph::new(lines), inner);
}

fn memory_lines(sample: &Snapshot, width: usize, look: Look) -> Vec<Line<'static>> {
    let memory = &sample.memory;
    let used = memory.total_kib.saturating_sub(memory.available_kib);
    let mut lines = vec![gauge("mem", used, memory.total_kib, width, look)];
    if memory.limit_kib > 0 {
        lines.push(gauge("limit", memory.limit_used_kib, memory.limit_kib, width, look));
    }
    lines.push(gauge("swap", memory.swap_used_kib, memory.swap_total_kib, width, look));
    let swapping = memory.swap_in_kib_s.saturating_add(memory.swap_out_kib_s) > 0;
    if swapping || memory.oom_kills > 0 {
        let rate = |kib: u32| units::short_bytes(u64::from(kib) * 1024);
        let killed = if memory.oom_kills > 0 { format!(" oom {}", memory.oom_kills) } else { String::new() };
        let text = format!("      in {}/s out {}/s{killed}", rate(memory.swap_in_kib_s), rate(memory.swap_out_kib_s));
        lines.push(Line::from(Span::styled(text, look.warn())));
    }
    lines.push(pressure_line(sample, look));
    lines
}

fn pressure_line(sample: &Snapshot, look: Look) -> Line<'static> {
    let Some(pressure) = sample.pressure else {
        return Line::from(Span::styled("wait% this kernel does not say", look.dim()));
    };
    let whole = |centi: u16| format!("{}.{}", centi / 100, centi % 100 / 10);
    let worst = [pressure.cpu_some_centi, pressure.memory_some_centi, pressure.io_some_centi].into_iter().max();
    let text = format!(
        "cpu {} mem {}/{} io {}/{}",
        whole(pressure.cpu_some_centi),
        whole(pressure.memory_some_centi),
        whole(pressure.memory_full_centi),
        whole(pressure.io_some_centi),
        whole(pressure.io_full_centi)
    );
    let style = if worst.unwrap_or_default() > 2000 { look.warn() } else { look.plain() };
    Line::from(vec![Span::styled("wait% ", look.dim()), Span::styled(text, style)])
}

fn gauge(name: &str, used_kib: u64, total_kib: u64, width: usize, look: Look) -> Line<'static> {
    let share = units::permille(used_kib, total_kib);
    let short = |kib: u64| units::short_bytes(kib.saturating_mul(1024));
    let figures = if total_kib == 0 {
        "none".to_owned()
    } else {
        format!("{}/{} {:>4}", short(used_kib), short(total_kib), units::percent(share.into()))
    };
    let room = width.saturating_sub(6 + figures.len() + 1);
    Line::from(vec![
        Span::styled(fit(name, 6), look.dim()),
        Span::styled(bar(&[(share, '█')], room), look.accent()),
        Span::styled(format!(" {figures}"), look.level(share)),
    ])
}

fn temperature_lines(sample: &Snapshot, width: usize, look: Look) -> Vec<Line<'static>> {
    let mut sensors = sample.temperatures.iter().collect::<Vec<_>>();
    sensors.sort_by_key(|sensor| Reverse(sensor.deci_celsius));
    let line = |sensor: &&wire::diagnostics::Temperature| {
        let text =
            format!("{} {:>3} °C", fit(&sensor.label.shown(), width.saturating_sub(8)), sensor.deci_celsius / 10);
        Line::from(Span::styled(text, if sensor.deci_celsius >= 900 { look.bad() } else { look.plain() }))
    };
    sensors.iter().map(line).collect()
}

/// File systems (in trouble and fullest first), disks and networks (busiest first), sharing `rows`.
fn device_lines(sample: &Snapshot, width: usize, rows: usize, look: Look) -> Vec<Line<'static>> {
    let mut filesystems = sample.filesystems.iter().collect::<Vec<_>>();
    filesystems.sort_by_key(|filesystem| Reverse(trouble(filesystem)));
    let mut disks = sample.disks.iter().collect::<Vec<_>>();
    disks.sort_by_key(|disk| Reverse((disk.busy_permille, disk.requests_s)));
    let mut networks = sample.networks.iter().collect::<Vec<_>>();
    networks.sort_by_key(|network| Reverse((network.up, network.rx_bytes_s.saturating_add(network.tx_bytes_s))));

    let mut room = [filesystems.len(), disks.len(), networks.len()];
    while room.iter().sum::<usize>() > rows {
        // The longest list gives way; ties go against the later one.
        let Some(longest) = room.iter_mut().rev().max_by_key(|count| **count) else { break };
        *longest -= 1;
    }
    let [shown_filesystems, shown_disks, shown_networks] = room;
    let name = (width / 4).clamp(6, 16);
    let of_filesystems =
        filesystems.into_iter().take(shown_filesystems).map(|it| filesystem_line(it, name, width, look));
    let of_disks = disks.into_iter().take(shown_disks).map(|it| disk_line(it, name, look));
    let of_networks = networks.into_iter().take(shown_networks).map(|it| network_line(it, name, look));
    of_filesystems.chain(of_disks).chain(of_networks).collect()
}

fn trouble(filesystem: &Filesystem) -> (bool, u16) {
    let fullest = space_permille(filesystem).max(inode_permille(filesystem));
    (filesystem.state == FilesystemState::Unresponsive, fullest)
}

fn space_permille(filesystem: &Filesystem) -> u16 {
    units::permille(filesystem.total_kib.saturating_sub(filesystem.available_kib), filesystem.total_kib)
}

fn inode_permille(filesystem: &Filesystem) -> u16 {
    units::permille(filesystem.inodes_total.saturating_sub(filesystem.inodes_free), filesystem.inodes_total)
}

/// One file system: how full, what is free, inodes, and whether it can be written.
pub(super) fn filesystem_line(filesystem: &Filesystem, name: usize, width: usize, look: Look) -> Line<'static> {
    let share = space_permille(filesystem);
    let inodes = inode_permille(filesystem);
    let state = match filesystem.state {
        FilesystemState::ReadWrite => "",
        FilesystemState::ReadOnly => " ro",
        FilesystemState::Unresponsive => " no answer,",
        FilesystemState::Stopped => " ro, errors,",
        FilesystemState::Damaged => " errors,",
    };
    let free = units::short_bytes(filesystem.available_kib.saturating_mul(1024));
    let inode_words =
        if filesystem.inodes_total == 0 { String::new() } else { format!(" i {}", units::percent(inodes.into())) };
    let figures = format!("{state} {:>4} {free} free{inode_words}", units::percent(share.into()));
    let room = width.saturating_sub(name + 1 + figures.len()).min(20);
    let style = match filesystem.state {
        FilesystemState::Unresponsive | FilesystemState::Stopped => look.bad(),
        FilesystemState::Damaged => look.warn(),
        FilesystemState::ReadOnly | FilesystemState::ReadWrite => look.level(share.max(inodes)),
    };
    Line::from(vec![
        Span::styled(format!("{} ", fit(&filesystem.mount.shown(), name)), look.dim()),
        Span::styled(bar(&[(share, '█')], room), look.accent()),
        Span::styled(figures, style),
    ])
}

/// One disk: busy share, time of a request, rates.
pub(super) fn disk_line(disk: &Disk, name: usize, look: Look) -> Line<'static> {
    let rate = |kib: u32| units::short_bytes(u64::from(kib) * 1024);
    let text = format!(
        "{:>3} {} r {} w {}",
        units::percent(disk.busy_permille.into()),
        units::milliseconds(disk.await_us.into()),
        rate(disk.read_kib_s),
        rate(disk.write_kib_s)
    );
    Line::from(vec![
        Span::styled(format!("{} ", fit(&disk.name.shown(), name)), look.dim()),
        Span::styled(text, look.level(disk.busy_permille)),
    ])
}

/// One network interface: rates, errors, drops.
pub(super) fn network_line(network: &Network, name: usize, look: Look) -> Line<'static> {
    let label = Span::styled(format!("{} ", fit(&network.name.shown(), name)), look.dim());
    let trouble = match (network.errors, network.drops) {
        (0, 0) => String::new(),
        (errors, drops) => format!(" e {errors} d {drops}"),
    };
    let text = if network.up {
        format!("↓ {} ↑ {}", units::short_bytes(network.rx_bytes_s), units::short_bytes(network.tx_bytes_s))
    } else {
        "down".to_owned()
    };
    let style = if network.up { look.plain() } else { look.dim() };
    Line::from(vec![label, Span::styled(text, style), Span::styled(trouble, look.warn())])
}
