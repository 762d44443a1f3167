//! Diagnostics: what watching a machine takes of it, what leaves it, how soon a technician sees something, and how far predictions
//! are to be trusted.
//!
//! The agents are real; their technician does only what the bench says and counts what comes.

mod history;
mod live;
mod peers;
mod scan;

use diagnostics::forecast::backtest::{self, Total};
use tokio::task::spawn_blocking;

use super::figures::Figure;

/// Made series of each kind that the predictors are tried on, and how many steps of five minutes they look apart.
const CASES: u32 = 40;
const STEPS: usize = 2;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Box::pin(live::measure()).await?;
    figures.extend(spawn_blocking(scan::measure).await??);
    figures.extend(spawn_blocking(history::measure).await??);
    figures.extend(spawn_blocking(forecasts).await??);
    Ok(figures)
}

/// How good the predictors are on series whose truth is known: the same on every machine.
fn forecasts() -> anyhow::Result<Vec<Figure>> {
    let scores = backtest::run(CASES, STEPS);
    let mut figures = Vec::new();
    let predictors =
        [("disk full", "lead time"), ("memory leak", "lead time"), ("level shift", "delay until it is found")];
    for (predictor, time) in predictors {
        let of_it = || scores.iter().filter(|score| score.predictor == predictor);
        let total = Total::of(of_it());
        let percent = |permille: u32| f64::from(permille) / 10.0;
        let precision = Figure::median(format!("{predictor}: precision"), "%", &[percent(total.precision_permille)])?;
        let recall = Figure::median(format!("{predictor}: recall"), "%", &[percent(total.recall_permille)])?;
        figures.extend([precision, recall]);
        let minutes = of_it().flat_map(|score| &score.lead_secs).map(|secs| *secs as f64 / 60.0).collect::<Vec<_>>();
        if !minutes.is_empty() {
            figures.push(Figure::median(format!("{predictor}: {time}"), "min", &minutes)?);
        }
    }
    Ok(figures)
}
