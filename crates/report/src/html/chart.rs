//! Series as line charts that are part of the page.

use wire::{
    diagnostics::{
        findings::{Amount, Unit},
        report::Series,
    },
    text::shown,
    time::WallTime,
};

use super::markup::Markup;
use crate::{
    naming::{title, when},
    units,
};

/// Most lines in one chart: as many as there are patterns to tell them apart.
const LINES: usize = 6;

/// Most charts.
const CHARTS: usize = 24;

/// The drawing in tenths of its own unit: its size, and where the plot is in it.
const WIDTH: i128 = 4400;
const HEIGHT: i128 = 1700;
const LEFT: i128 = 700;
const RIGHT: i128 = 4300;
const TOP: i128 = 100;
const BOTTOM: i128 = 1400;

/// Values beyond these are drawn as the least and the most of each column.
const COLUMNS: usize = 240;

/// The first word of a figure's name, and the chart it is part of, in the order in which charts are read.
const FAMILIES: &[(&str, &str)] = &[
    ("cpu", "Processor"),
    ("load", "Load"),
    ("memory", "Memory"),
    ("swap", "Memory"),
    ("pressure", "Pressure: time spent waiting"),
    ("disk", "Disks"),
    ("space", "File systems"),
    ("inodes", "File systems"),
    ("network", "Network"),
    ("tcp", "Network"),
    ("wifi", "Network"),
    ("temperature", "Temperature"),
];

/// Lines in one drawing. All count the same.
struct Chart<'s> {
    title: &'static str,
    unit: Unit,
    lines: Vec<&'s Series>,
}

/// Draws all of `series`, related ones together.
pub(super) fn draw(series: &[Series], page: &mut Markup) {
    let mut charts: Vec<(usize, Chart<'_>)> = Vec::new();
    for one in series.iter().filter(|one| !one.values.is_empty()) {
        let family = one.figure.raw().split('.').next().unwrap_or_default();
        let place = FAMILIES.iter().position(|(name, _)| *name == family).unwrap_or(FAMILIES.len());
        let title = FAMILIES.get(place).map_or("Other figures", |(_, title)| *title);
        let fits = |chart: &Chart<'_>| chart.title == title && chart.unit == one.unit && chart.lines.len() < LINES;
        match charts.iter_mut().find(|(_, chart)| fits(chart)) {
            Some((_, chart)) => chart.lines.push(one),
            None => charts.push((place, Chart { title, unit: one.unit, lines: vec![one] })),
        }
    }
    charts.sort_by_key(|(place, _)| *place);
    page.raw("<div class=\"charts\">");
    for (number, (_, chart)) in charts.iter().take(CHARTS).enumerate() {
        figure(chart, number, page);
    }
    page.raw("</div>");
    if let Some(more) = charts.len().checked_sub(CHARTS).filter(|more| *more > 0) {
        page.raw("<p>Charts that are not drawn: ").number(i128::try_from(more).unwrap_or_default()).raw(".</p>");
    }
}

/// What a line is called.
fn name(series: &Series) -> String {
    let figure = title(&shown(series.figure.raw()).replace('.', "_"));
    match &series.subject {
        Some(subject) => format!("{figure}, {}", shown(subject.label().raw())),
        None => figure,
    }
}

fn amount(value: i128, unit: Unit) -> String {
    units::amount(Amount { value: i64::try_from(value).unwrap_or(i64::MAX), unit })
}

/// When the value at `place` was measured, in milliseconds.
fn time_of(series: &Series, place: usize) -> i128 {
    i128::from(series.start.0) + i128::try_from(place).unwrap_or_default() * i128::from(series.step_secs) * 1000
}

fn wall(millis: i128) -> WallTime {
    WallTime(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// What the axes of a chart show.
struct Axes {
    from: i128,
    to: i128,
    low: i128,
    high: i128,
}

impl Axes {
    fn of(chart: &Chart<'_>) -> Self {
        let ends = chart.lines.iter().map(|line| time_of(line, line.values.len().saturating_sub(1)));
        let values = || chart.lines.iter().flat_map(|line| line.values.iter().flatten()).copied().map(i128::from);
        let (least, most) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
        let bytes = matches!(chart.unit, Unit::Kib | Unit::KibPerSecond | Unit::BytesPerSecond);
        let low = if least < 0 { -ceiling(-least, false) } else { 0 };
        let high = if chart.unit == Unit::Permille && (0..=1000).contains(&most) {
            1000
        } else if most <= 0 && low < 0 {
            0
        } else {
            ceiling(most, bytes)
        };
        Self {
            from: chart.lines.iter().map(|line| time_of(line, 0)).min().unwrap_or(0),
            to: ends.max().unwrap_or(0),
            low,
            high: high.max(low + 1),
        }
    }

    fn x(&self, time: i128) -> i128 {
        LEFT + (time - self.from) * (RIGHT - LEFT) / (self.to - self.from).max(1)
    }

    fn y(&self, value: i128) -> i128 {
        BOTTOM - (value - self.low) * (BOTTOM - TOP) / (self.high - self.low)
    }
}

/// The least round number that is at least `value`: 1, 2 or 5 and zeros, or of bytes a power of two.
fn ceiling(value: i128, bytes: bool) -> i128 {
    let mut scale = 1;
    loop {
        let steps: &[i128] = if bytes { &[1, 2, 4, 8] } else { &[1, 2, 5] };
        if let Some(step) = steps.iter().find(|step| *step * scale >= value) {
            return step * scale;
        }
        scale *= if bytes { 16 } else { 10 };
    }
}

fn figure(chart: &Chart<'_>, number: usize, page: &mut Markup) {
    let number = i128::try_from(number).unwrap_or_default();
    let axes = Axes::of(chart);
    page.raw("<figure><figcaption>").text(chart.title).raw("</figcaption>");
    page.raw("<svg role=\"img\" viewBox=\"0 0 ").tenths(WIDTH).raw(" ").tenths(HEIGHT);
    page.raw("\" aria-labelledby=\"t").number(number).raw(" d").number(number);
    page.raw("\"><title id=\"t")
        .number(number)
        .raw("\">")
        .text(chart.title)
        .raw("</title><desc id=\"d")
        .number(number)
        .raw("\">");
    let names = chart.lines.iter().map(|line| name(line)).collect::<Vec<_>>().join("; ");
    page.text(&format!(
        "From {} to {}: {names}. The table below has the figures.",
        when(wall(axes.from)),
        when(wall(axes.to))
    ));
    page.raw("</desc>");
    grid(&axes, chart.unit, page);
    for (place, line) in chart.lines.iter().enumerate() {
        page.raw("<path class=\"line ").raw(pattern(place)).raw("\" d=\"");
        path(line, &axes, page);
        page.raw("\"/>");
    }
    for (place, line) in chart.lines.iter().enumerate() {
        marks(line, pattern(place), &axes, page);
    }
    page.raw("</svg>");
    legend(chart, page);
    page.raw("</figure>");
}

/// The class of a line: its colour and, so that nobody has to see colours, its pattern.
fn pattern(place: usize) -> &'static str {
    ["s0", "s1", "s2", "s3", "s4", "s5"].get(place % LINES).copied().unwrap_or("s0")
}

fn grid(axes: &Axes, unit: Unit, page: &mut Markup) {
    for quarter in [0, 1, 2, 3, 4] {
        let y = BOTTOM - (BOTTOM - TOP) * quarter / 4;
        page.raw("<path class=\"grid\" d=\"M").tenths(LEFT).raw(" ").tenths(y).raw("H").tenths(RIGHT).raw("\"/>");
        // Quarters of a small whole number would not be round.
        let span = (axes.high - axes.low) * quarter;
        if quarter % 2 == 0 && span % 4 == 0 || quarter == 4 {
            page.raw("<text class=\"tick end\" x=\"").tenths(LEFT - 80).raw("\" y=\"").tenths(y + 40).raw("\">");
            page.text(&amount(axes.low + span / 4, unit)).raw("</text>");
        }
    }
    let middle = i128::midpoint(axes.from, axes.to);
    for (time, x, anchor) in
        [(axes.from, LEFT, "start"), (middle, i128::midpoint(LEFT, RIGHT), "middle"), (axes.to, RIGHT, "end")]
    {
        page.raw("<path class=\"grid\" d=\"M").tenths(x).raw(" ").tenths(BOTTOM).raw("v4\"/>");
        page.raw("<text class=\"tick ")
            .raw(anchor)
            .raw("\" x=\"")
            .tenths(x)
            .raw("\" y=\"")
            .tenths(BOTTOM + 180)
            .raw("\">");
        page.text(&clock(axes, time)).raw("</text>");
    }
}

/// The time of day, or the day as well if the chart is longer than one.
fn clock(axes: &Axes, time: i128) -> String {
    const DAY: i128 = 86_400_000;
    let text = wall(time).to_string();
    let (day, clock) = text.split_once('T').unwrap_or((&text, ""));
    let clock = clock.trim_end_matches('Z');
    if axes.to - axes.from >= DAY {
        format!("{day} {}", clock.get(..5).unwrap_or(clock))
    } else {
        format!("{clock} UTC")
    }
}

/// The path of a line; where nothing was measured, it breaks.
fn path(series: &Series, axes: &Axes, page: &mut Markup) {
    let chunk = series.values.len().div_ceil(COLUMNS).max(1);
    let mut drawing = false;
    for (column, values) in series.values.chunks(chunk).enumerate() {
        let x = axes.x(time_of(series, column * chunk));
        let measured = || values.iter().flatten().copied();
        let (Some(least), Some(most)) = (measured().min(), measured().max()) else {
            drawing = false;
            continue;
        };
        page.raw(if drawing { "L" } else { "M" }).tenths(x).raw(" ").tenths(axes.y(least.into()));
        if least != most {
            page.raw("V").tenths(axes.y(most.into()));
        } else if !drawing {
            // A value between two gaps would not be seen without a length.
            page.raw("h.1");
        }
        drawing = true;
    }
}

/// Where single measurements stood out: a triangle above the line that points at it.
fn marks(series: &Series, pattern: &'static str, axes: &Axes, page: &mut Markup) {
    for place in stood_out(series).take(COLUMNS) {
        let Some(value) = series.values.get(place).copied().flatten() else { continue };
        let tip = (axes.y(value.into()) - 30).max(60);
        page.raw("<path class=\"mark ").raw(pattern).raw("\" d=\"M").tenths(axes.x(time_of(series, place)));
        page.raw(" ").tenths(tip).raw("l-3-5h6z\"/>");
    }
}

fn stood_out(series: &Series) -> impl Iterator<Item = usize> {
    let places = series.stood_out.iter().filter_map(|place| usize::try_from(*place).ok());
    places.filter(|place| *place < series.values.len())
}

fn legend(chart: &Chart<'_>, page: &mut Markup) {
    page.raw("<table class=\"legend\"><caption class=\"hidden\">Figures of the chart: ").text(chart.title);
    page.raw("</caption><thead><tr><th scope=\"col\">Line</th>");
    for head in ["Least", "Most", "Last", "Gaps", "Stood out"] {
        page.element("<th scope=\"col\" class=\"figures\">", head, "</th>");
    }
    page.raw("</tr></thead><tbody>");
    for (place, line) in chart.lines.iter().enumerate() {
        page.raw(
            "<tr><th scope=\"row\"><svg class=\"key\" aria-hidden=\"true\" viewBox=\"0 0 32 8\"><path class=\"line ",
        );
        page.raw(pattern(place)).raw("\" d=\"M1 4H31\"/></svg> ").text(&name(line)).raw("</th>");
        let measured = || line.values.iter().flatten().copied();
        let last = line.values.last().copied().flatten();
        for value in [measured().min(), measured().max(), last] {
            let text = value.map_or_else(|| "not measured".to_owned(), |value| amount(value.into(), chart.unit));
            page.element("<td class=\"figures\">", &text, "</td>");
        }
        let gaps = line.values.iter().filter(|value| value.is_none()).count();
        let gaps = if gaps == 0 { "none".to_owned() } else { format!("{gaps} of {}", line.values.len()) };
        page.element("<td class=\"figures\">", &gaps, "</td>");
        let marked = match stood_out(line).last() {
            Some(last) => {
                let at = wall(time_of(line, last));
                format!("{} (▼), last {}", stood_out(line).count(), when(at))
            }
            None => "never".to_owned(),
        };
        page.element("<td class=\"figures\">", &marked, "</td>").raw("</tr>");
    }
    page.raw("</tbody></table>");
}

#[cfg(test)]
mod tests {
    use wire::text::Label;

    use super::*;

    fn series(unit: Unit, values: Vec<Option<i64>>) -> Series {
        Series {
            figure: Label::cut("cpu.busy"),
            subject: None,
            unit,
            start: WallTime(0),
            step_secs: 1,
            values,
            stood_out: Vec::new(),
        }
    }

    fn path_of(series: &Series) -> String {
        let mut page = Markup::default();
        path(series, &Axes::of(&Chart { title: "", unit: series.unit, lines: vec![series] }), &mut page);
        page.into_string()
    }

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        let line = series(Unit::Permille, vec![Some(0), Some(1000), None, Some(500), None]);
        assert_eq!(path_of(&line), "M70 140h.1L160 10M340 75h.1");
    }

    #[test]
    fn a_long_line_is_drawn_as_the_least_and_the_most_of_each_column() {
        let values = (0..86_400).map(|place| (place % 7 != 0).then_some(i64::from(place % 2) * 1000)).collect();
        let path = path_of(&series(Unit::Permille, values));
        assert!(path.len() < 30 * COLUMNS && path.contains(" 140V10"), "{}", path.len());
    }

    #[test]
    fn an_axis_ends_at_a_round_number_that_nothing_exceeds() {
        assert_eq!([0, 1, 3, 6, 11, 2001].map(|value| ceiling(value, false)), [1, 1, 5, 10, 20, 5000]);
        assert_eq!([3, 9, 1000, 1025].map(|value| ceiling(value, true)), [4, 16, 1024, 2048]);
        for extreme in [i64::MIN, -1, 0, 1, i64::MAX] {
            for unit in Unit::ALL {
                let line = series(*unit, vec![Some(extreme), None, Some(extreme / 3)]);
                let axes = Axes::of(&Chart { title: "", unit: *unit, lines: vec![&line] });
                let y = axes.y(extreme.into());
                assert!((TOP..=BOTTOM).contains(&y), "{extreme} {unit}: {y}");
            }
        }
    }
}
