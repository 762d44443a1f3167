//! `assent diag watch`: the machine on one screen, drawn anew with every reading.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _},
};

use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use report::{
    text::{Line, Tone},
    watch::Watch,
};
use wire::{
    diagnostics::{
        Panel, Panels, Snapshot, View,
        findings::{Severity, Unit},
        report::Series,
    },
    text::Label,
    time::WallTime,
};

use super::{News, Next, Readings};
use crate::{
    cli::DiagWatchArgs, commands::output_problem, exit::Exit, output, place::Places, problem::Problem,
    screen::terminal::Guard,
};

/// Readings that are remembered: a minute.
const REMEMBERED: usize = 60;

/// Where there is no terminal to ask.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// What stands on the last row.
const HOW_TO_LEAVE: &str = "q or Esc: leave (the session goes on)";

/// Follows until the person has seen enough or the session ends.
pub(super) async fn watch(args: &DiagWatchArgs, places: &Places) -> Result<Exit, Problem> {
    // Each processor by itself is not shown.
    let view = View::from(Panels::ALL.without(Panel::Cores));
    let readings = Readings::begin(&args.session, view, places).await?;
    let terminal = if io::stdout().is_terminal() { Guard::enter().ok() } else { None };
    match terminal {
        Some(terminal) => on_screen(readings, terminal).await,
        None => in_lines(readings).await,
    }
}

/// One picture below the other, until Ctrl-C.
async fn in_lines(mut readings: Readings) -> Result<Exit, Problem> {
    let mut past = Past::default();
    while let Next::Reading(reading) = readings.next().await? {
        past.remember(&reading.sample);
        let series = past.series();
        let watch = Watch { card: reading.card, findings: reading.findings, sample: &reading.sample, series: &series };
        let (columns, rows) = USUAL_SIZE;
        let lines = watch.lines(columns.into(), usize::from(rows) - 1).into_iter();
        let text = lines.map(|line| line.text + "\n").collect::<String>() + "\n";
        output::to_stdout(&text).map_err(|error| output_problem(&error))?;
    }
    Ok(Exit::Ok)
}

/// One picture in place of the other, until a key leaves. The terminal is as before when this returns.
async fn on_screen(mut readings: Readings, _terminal: Guard) -> Result<Exit, Problem> {
    let mut events = EventStream::new();
    let mut past = Past::default();
    let mut newest = None;
    let mut waits = Some("waiting for the first reading");
    loop {
        draw(&readings, newest.as_deref(), &past, waits).map_err(|error| output_problem(&error))?;
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) if leaves(&event) => return Ok(Exit::Ok),
                // Perhaps the terminal has another size now.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(output_problem(&error)),
                None => return Ok(Exit::Ok),
            },
            news = readings.news() => match news? {
                News::Stopped(_) => return Ok(Exit::Ok),
                News::Flow(flow) => waits = super::flow(flow, readings.not_done())?,
                News::Sample { sample, .. } => {
                    past.remember(&sample);
                    newest = Some(sample);
                    waits = None;
                }
            },
        }
    }
}

/// Whether a person wants to leave. Ctrl-C is a key like others where keys are read one by one.
fn leaves(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let interrupts = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
    let quits = matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc);
    key.kind == KeyEventKind::Press && (interrupts || quits)
}

fn draw(readings: &Readings, newest: Option<&Snapshot>, past: &Past, waits: Option<&str>) -> io::Result<()> {
    let (columns, rows) = crossterm::terminal::size().unwrap_or(USUAL_SIZE);
    let above = usize::from(rows.saturating_sub(1));
    let series = past.series();
    let card = readings.card.as_ref();
    let lines = newest.map(|sample| Watch { card, findings: &readings.findings, sample, series: &series });
    let lines = lines.map(|watch| watch.lines(columns.into(), above)).unwrap_or_default();
    // Home, each line cleared to its end, and what is below: nothing flickers.
    let mut text = "\x1b[H".to_owned();
    let blank = Line { tone: Tone::Plain, text: String::new() };
    for line in lines.iter().chain(std::iter::repeat(&blank)).take(above) {
        text.push_str(&painted(line, output::colour()));
        text.push_str("\x1b[K\r\n");
    }
    let last = waits.map(|waits| format!("{waits} - {HOW_TO_LEAVE}")).unwrap_or_else(|| HOW_TO_LEAVE.to_owned());
    let last = Line { tone: Tone::Soft, text: last.chars().take(columns.into()).collect() };
    text.push_str(&painted(&last, output::colour()));
    text.push_str("\x1b[K\x1b[J");
    output::to_stdout(&text)
}

/// The figures beside which a line of blocks stands, and their last values, oldest first.
#[derive(Default)]
struct Past(Vec<(&'static str, Unit, VecDeque<Option<i64>>)>);

impl Past {
    fn remember(&mut self, sample: &Snapshot) {
        for (place, (figure, unit, value)) in figures(sample).into_iter().enumerate() {
            if self.0.len() == place {
                self.0.push((figure, unit, VecDeque::new()));
            }
            if let Some((_, _, values)) = self.0.get_mut(place) {
                values.push_back(value);
                while values.len() > REMEMBERED {
                    values.pop_front();
                }
            }
        }
    }

    fn series(&self) -> Vec<Series> {
        let series = self.0.iter().map(|(figure, unit, values)| Series {
            figure: Label::cut(figure),
            subject: None,
            unit: *unit,
            start: WallTime(0),
            step_secs: 1,
            values: values.iter().copied().collect(),
            stood_out: Vec::new(),
        });
        series.collect()
    }
}

/// The figures that the screen draws over time, in their order.
fn figures(sample: &Snapshot) -> [(&'static str, Unit, Option<i64>); 8] {
    let amount = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let memory = &sample.memory;
    let busiest = sample.disks.iter().map(|disk| i64::from(disk.busy_permille)).max();
    let received = sample.networks.iter().map(|network| amount(network.rx_bytes_s)).reduce(i64::saturating_add);
    let hottest = sample.temperatures.iter().map(|sensor| i64::from(sensor.deci_celsius)).max();
    let waiting = sample.pressure.as_ref().map(|pressure| i64::from(pressure.io_some_centi));
    [
        ("cpu.busy", Unit::Permille, Some(i64::from(sample.processor.busy_permille))),
        ("load.1", Unit::Centi, Some(i64::from(sample.load_centi[0]))),
        ("memory.available", Unit::Kib, Some(amount(memory.available_kib))),
        ("swap.used", Unit::Kib, (memory.swap_total_kib > 0).then(|| amount(memory.swap_used_kib))),
        ("pressure.io.some", Unit::CentiPercent, waiting),
        ("disk.busy", Unit::Permille, busiest),
        ("network.received", Unit::BytesPerSecond, received),
        ("temperature", Unit::DeciCelsius, hottest),
    ]
}

fn painted(line: &Line, colour: bool) -> String {
    let code = match line.tone {
        _ if !colour => return line.text.clone(),
        Tone::Heading => "1",
        Tone::Severity(Severity::Critical) => "31",
        Tone::Severity(Severity::Warning) => "33",
        Tone::Severity(Severity::Info) => "36",
        Tone::Fine => "32",
        Tone::Unknown | Tone::Soft => "2",
        Tone::Plain => return line.text.clone(),
    };
    format!("\x1b[{code}m{}\x1b[0m", line.text)
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn the_keys_that_leave_are_those_that_the_screen_names_and_what_interrupts() {
        let plain = KeyModifiers::NONE;
        let pressed = |code, modifiers| leaves(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(pressed(KeyCode::Char('q'), plain) && pressed(KeyCode::Esc, plain));
        assert!(pressed(KeyCode::Char('Q'), KeyModifiers::SHIFT));
        assert!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!pressed(KeyCode::Char('c'), plain) && !pressed(KeyCode::Enter, plain));
        assert!(!leaves(&Event::Resize(80, 24)) && !leaves(&Event::Paste("q".to_owned())));
    }
}
