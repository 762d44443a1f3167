//! `assent diag watch`: the machine on one screen, drawn anew with every reading.

use std::{collections::VecDeque, io::IsTerminal as _};

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

use super::{Next, Reading, Readings};
use crate::{cli::DiagWatchArgs, exit::Exit, output, place::Places, problem::Problem};

/// Readings that are remembered: a minute.
const REMEMBERED: usize = 60;

/// Where there is no terminal to ask.
const USUAL_SIZE: (u16, u16) = (80, 24);

/// Follows until Ctrl-C or the end of the session.
pub(super) async fn watch(args: &DiagWatchArgs, places: &Places) -> Result<Exit, Problem> {
    // Each processor by itself is not shown.
    let view = View::from(Panels::ALL.without(Panel::Cores));
    let mut readings = Readings::begin(&args.session, view, places).await?;
    let mut screen = Screen::default();
    while let Next::Reading(reading) = readings.next().await? {
        screen.remember(&reading.sample);
        screen.draw(&reading).map_err(|error| super::super::output_problem(&error))?;
    }
    Ok(Exit::Ok)
}

#[derive(Default)]
struct Screen {
    /// The figures beside which a line of blocks stands, oldest first.
    figures: Vec<(&'static str, Unit, VecDeque<Option<i64>>)>,
}

impl Screen {
    fn remember(&mut self, sample: &Snapshot) {
        for (place, (figure, unit, value)) in figures(sample).into_iter().enumerate() {
            if self.figures.len() == place {
                self.figures.push((figure, unit, VecDeque::new()));
            }
            if let Some((_, _, values)) = self.figures.get_mut(place) {
                values.push_back(value);
                while values.len() > REMEMBERED {
                    values.pop_front();
                }
            }
        }
    }

    fn draw(&self, reading: &Reading<'_>) -> std::io::Result<()> {
        let series = self.figures.iter().map(|(figure, unit, values)| Series {
            figure: Label::cut(figure),
            subject: None,
            unit: *unit,
            start: WallTime(0),
            step_secs: 1,
            values: values.iter().copied().collect(),
            stood_out: Vec::new(),
        });
        let series = series.collect::<Vec<_>>();
        let watch = Watch { card: reading.card, findings: reading.findings, sample: &reading.sample, series: &series };
        let terminal = std::io::stdout().is_terminal();
        let size = if terminal { crossterm::terminal::size().ok() } else { None };
        let (columns, rows) = size.unwrap_or(USUAL_SIZE);
        let lines = watch.lines(usize::from(columns), usize::from(rows.saturating_sub(1)));
        // Home, each line cleared to its end, and what is below: nothing flickers.
        let mut text = if terminal { "\x1b[H".to_owned() } else { String::new() };
        for line in lines {
            text.push_str(&painted(&line, terminal && output::colour()));
            text.push_str(if terminal { "\x1b[K\n" } else { "\n" });
        }
        text.push_str(if terminal { "\x1b[J" } else { "\n" });
        output::to_stdout(&text)
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
