//! Prints how good the predictors are on made series whose truth is known.
//!
//! `cargo run --release -p diagnostics --example backtest [cases]`

#![expect(clippy::print_stdout, reason = "it is a program that prints a table")]

use diagnostics::forecast::backtest::{Total, run};

fn main() {
    let cases = std::env::args().nth(1).and_then(|cases| cases.parse().ok()).unwrap_or(40);
    let scores = run(cases, 2);
    println!(
        "| predictor | series | cases | foretold | missed | false alarms | in range | median lead or delay, min |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for score in &scores {
        let mut leads = score.lead_secs.clone();
        leads.sort_unstable();
        let lead =
            leads.get(leads.len() / 2).map_or_else(|| "-".to_owned(), |lead| format!("{:.1}", *lead as f64 / 60.0));
        let (kind, series) = (score.predictor, score.series);
        let (foretold, missed, wrong) = (score.foretold, score.missed, score.false_alarms);
        println!(
            "| {kind} | {series} | {} | {foretold} | {missed} | {wrong} | {} | {lead} |",
            score.cases, score.in_range
        );
    }
    println!();
    for predictor in ["disk full", "memory leak", "level shift"] {
        let total = Total::of(scores.iter().filter(|score| score.predictor == predictor));
        println!(
            "{predictor}: precision {} permille, recall {} permille, median lead or delay {} s",
            total.precision_permille,
            total.recall_permille,
            total.median_lead_secs.unwrap_or(0)
        );
    }
}
