//! The benches themselves, in the xtask that was built for them.

mod agent;
mod attach;
mod coturn;
mod crowd;
mod diag;
mod echo;
mod fair;
mod figures;
mod idle;
mod load;
mod machine;
mod path;
mod pipes;
mod relay;
mod revoke;
mod scene;
mod sleep;
mod storm;
mod stream;

use anyhow::Context as _;
use clap::ValueEnum as _;

use self::{
    figures::{Figure, Report},
    machine::Machine,
};
use super::{Arguments, Bench};
use crate::process::timed;

/// Runs the chosen benches, one after the other, and prints what they found.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Not everybody has a coturn, and the scan is measured along with diagnostics.
    let all = Bench::value_variants().iter().copied().filter(|bench| !matches!(bench, Bench::Coturn | Bench::Scan));
    let chosen = if arguments.names.is_empty() { all.collect() } else { arguments.names.clone() };
    let machine = Machine::this()?;
    println!("{machine}");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut reports = Vec::new();
    for bench in chosen {
        let name = bench.to_possible_value().context("every bench has a name")?.get_name().to_owned();
        println!("\n{name} …");
        let (figures, took) = timed(|| runtime.block_on(measure(bench)));
        let figures = figures.with_context(|| format!("bench {name}"))?;
        println!("{name}, measured in {:.0} s", took.as_secs_f64());
        figures::print_table(&figures);
        reports.push(Report { bench: name, figures, machine: machine.clone() });
    }
    if arguments.json {
        println!();
        for report in &reports {
            println!("{}", serde_json::to_string(report)?);
        }
    }
    Ok(())
}

/// Each on the heap: they are large, and none is ever moved.
async fn measure(bench: Bench) -> anyhow::Result<Vec<Figure>> {
    match bench {
        Bench::Attach => Box::pin(attach::measure()).await,
        Bench::Agent => Box::pin(agent::measure()).await,
        Bench::Diag => Box::pin(diag::measure()).await,
        Bench::Scan => tokio::task::spawn_blocking(diag::scan).await?,
        Bench::Stream => Box::pin(stream::measure()).await,
        Bench::Revoke => Box::pin(revoke::measure()).await,
        Bench::Path => Box::pin(path::measure()).await,
        Bench::Pipes => Box::pin(pipes::measure()).await,
        Bench::Relay => tokio::task::spawn_blocking(relay::measure).await?,
        Bench::Coturn => tokio::task::spawn_blocking(coturn::measure).await?,
        Bench::Idle => Box::pin(idle::measure()).await,
        Bench::Storm => Box::pin(storm::measure()).await,
        Bench::Sleep => Box::pin(sleep::measure()).await,
        Bench::Echo => Box::pin(echo::measure()).await,
    }
}
