//! Figures, and how they are told.

use serde::Serialize;

use super::machine::Machine;

/// What one bench found on one machine.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) bench: String,
    pub(super) figures: Vec<Figure>,
    pub(super) machine: Machine,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) unit: String,
    /// Least, median and most of the runs behind it.
    pub(super) runs: [f64; 3],
    /// What the value should be, in words; not a check.
    #[serde(skip)]
    pub(super) bar: String,
}

impl Figure {
    /// The median of `runs`.
    pub(super) fn median(name: impl Into<String>, unit: impl Into<String>, runs: &[f64]) -> anyhow::Result<Self> {
        Self::share(name, unit, runs, 0.5)
    }

    /// The value below which `share` of the runs lie (nearest rank).
    pub(super) fn share(
        name: impl Into<String>,
        unit: impl Into<String>,
        runs: &[f64],
        share: f64,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(!runs.is_empty(), "a figure needs a run");
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let runs = [0.0, 0.5, 1.0].map(|share| nearest_rank(&sorted, share));
        Ok(Self { name: name.into(), value: nearest_rank(&sorted, share), unit: unit.into(), runs, bar: String::new() })
    }

    /// With the bar that the table shows.
    pub(super) fn with_bar(mut self, bar: impl Into<String>) -> Self {
        self.bar = bar.into();
        self
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a rank lies between zero and the number of runs, which is small")]
fn nearest_rank(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// A table for people.
pub(super) fn print_table(figures: &[Figure]) {
    let width = figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0);
    for Figure { name, value, unit, runs: [least, median, most], bar } in figures {
        let [value, least, median, most] = [*value, *least, *median, *most].map(number);
        let bar = if bar.is_empty() { String::new() } else { format!("   bar: {bar}") };
        println!("  {name:<width$}  {value:>8} {unit:<5} ({least} … {median} … {most}){bar}");
    }
}

/// Three significant places, without an exponent.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_its_rank_and_its_range() {
        let runs = (1..=100).rev().map(f64::from).collect::<Vec<_>>();
        let figure = Figure::share("x", "ms", &runs, 0.99).unwrap();
        assert_eq!((figure.value, figure.runs), (99.0, [1.0, 50.0, 100.0]));
        assert_eq!(Figure::median("x", "ms", &[3.0, 1.0, 2.0]).unwrap().value, 2.0);
        assert_eq!(Figure::median("x", "ms", &[7.0]).unwrap().runs, [7.0; 3]);
        assert!(Figure::median("x", "ms", &[]).is_err());
    }

    #[test]
    fn a_number_has_three_significant_places() {
        assert_eq!([1234.5, 56.78, 5.678, 0.5678].map(number), ["1234", "56.8", "5.68", "0.568"]);
    }

    #[test]
    fn a_report_is_one_json_object() {
        let figures = vec![Figure::median("a to b", "ms", &[1.25]).unwrap().with_bar("< 2")];
        let report = Report { bench: "attach".to_owned(), figures, machine: Machine::default() };
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["bench"], "attach");
        let figure = serde_json::json!({"name": "a to b", "value": 1.25, "unit": "ms", "runs": [1.25, 1.25, 1.25]});
        assert_eq!(json["figures"][0], figure);
        assert!(json["machine"].is_object());
    }
}
