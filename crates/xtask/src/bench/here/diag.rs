//! Diagnostics: what watching a machine takes of it, what leaves it, how soon a technician sees something, and how far predictions
//! are to be trusted.
//!
//! The agents are real; their technician does only what the bench says and counts what comes.

mod history;
mod live;
mod peers;
mod scan;

use diagnostics::forecast::backtest::{self, Set, Total};
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

/// What one look at all processes costs.
pub(super) fn scan() -> anyhow::Result<Vec<Figure>> {
    scan::measure()
}

/// How good the predictors are on series whose truth is known and that they were not changed for: the same on every machine.
fn forecasts() -> anyhow::Result<Vec<Figure>> {
    let scores = backtest::run(Set::HeldOut, CASES, STEPS);
    let mut figures = Vec::new();
    for predictor in backtest::predictors(&scores) {
        let of_it = || scores.iter().filter(|score| score.predictor == predictor);
        let total = Total::of(of_it());
        let mut percent = |name: &str, permille: u32| -> anyhow::Result<()> {
            let percent = f64::from(permille) / 10.0;
            figures.push(Figure::median(format!("{predictor}: {name}"), "%", &[percent])?);
            Ok(())
        };
        percent("precision", total.precision_permille)?;
        percent("recall", total.recall_permille)?;
        // Of a shift it is told when it was.
        let is_shift = predictor == "level shift";
        if let Some(coverage) = total.coverage_permille {
            percent(if is_shift { "began when it is told to have" } else { "truths inside their range" }, coverage)?;
        }
        if !is_shift && total.coverage_permille.is_some() {
            percent("ranges without a latest date", total.open_permille)?;
        }
        if let Some(width) = total.width_permille.filter(|_| !is_shift) {
            let times = width as f64 / 1000.0;
            figures.push(Figure::median(format!("{predictor}: latest date by the earliest"), "", &[times])?);
        }
        let minutes = of_it().flat_map(|score| &score.lead_secs).map(|secs| *secs as f64 / 60.0).collect::<Vec<_>>();
        if !minutes.is_empty() {
            let time = if is_shift { "delay until it is found" } else { "lead time" };
            figures.push(Figure::median(format!("{predictor}: {time}"), "min", &minutes)?);
        }
    }
    Ok(figures)
}
