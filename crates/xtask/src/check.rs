//! `cargo xtask test`: every check that a change has to pass, in order, stopping at the first that fails.
//!
//! Works with plain cargo. Where `cargo-nextest` is installed it runs the tests, where `cargo-deny` is installed it checks
//! licences and sources; without them a loud line says what was left out.

mod needs;
mod totals;

use std::{process::Command, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;

use self::totals::Totals;
use crate::{
    process::{self, cargo, run_watched, succeeds, target_dir, timed, typed},
    tidy,
};

/// Whole workspace, with the features that only the bench has, so that no code goes unchecked.
const EVERYTHING: &str = "--workspace --all-features --locked";

/// The programs, with their own features.
const SHIPPED: &str = "--locked --bins --package relay --package agent --package technician";

/// What `cargo xtask test` takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only this step; can be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
}

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Step {
    /// Programs that the other steps use; installed when missing and possible
    Needs,
    /// Formatting
    Fmt,
    /// The rules of the house
    Tidy,
    /// Clippy, with every warning an error
    Clippy,
    /// Unit, property, simulation, hostile-peer, end-to-end and browser tests
    Test,
    /// Examples in the documentation
    Doctest,
    /// The documentation itself, with broken links denied
    Doc,
    /// Licences, sources, bans and advisories of dependencies
    Deny,
}

/// How a step went that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    /// Something is not installed; the step says so itself.
    Skipped,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, totals: &Totals) -> anyhow::Result<Outcome> {
        match self {
            Self::Needs => needs::ensure(),
            Self::Fmt => shown(cargo("fmt --all --check")),
            Self::Tidy => tidy::run().map(|()| Outcome::Passed),
            Self::Clippy => shown(cargo(&format!("clippy {EVERYTHING} --all-targets -- -D warnings"))),
            Self::Test => test(totals),
            Self::Doctest => counted(cargo(&format!("test --doc {EVERYTHING}")), totals),
            Self::Doc => doc(),
            Self::Deny => deny(),
        }
    }
}

/// Runs the chosen steps, or all of them.
///
/// # Errors
///
/// The first step that failed.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut steps = if arguments.only.is_empty() { Step::value_variants().to_vec() } else { arguments.only.clone() };
    if steps.contains(&Step::Test) && !steps.contains(&Step::Needs) {
        steps.push(Step::Needs);
    }
    steps.sort();
    steps.dedup();

    let totals = Totals::default();
    let mut report = Vec::new();
    let (done, whole) = timed(|| {
        steps.iter().try_for_each(|step| {
            let name = step.name();
            println!("\n=== {name}");
            let (outcome, took) = timed(|| step.run(&totals));
            let word = match &outcome {
                Ok(Outcome::Passed) => "passed",
                Ok(Outcome::Skipped) => "SKIPPED",
                Err(_) => "FAILED",
            };
            println!("=== {name} {word} after {}", seconds(took));
            report.push(format!("{word:>8}  {name:<8} {:>8}", seconds(took)));
            outcome
                .map(|_| ())
                .with_context(|| format!("step {name} failed; repeat it with: cargo xtask test --only {name}"))
        })
    });
    println!("\n=== summary");
    report.iter().for_each(|line| println!("{line}"));
    println!("          whole    {:>8}", seconds(whole));
    if let Some(line) = totals.line() {
        println!("{line}");
    }
    done
}

/// Builds first, then runs.
///
/// The programs that end-to-end tests start are built by themselves, where the test kit looks for them (`testkit::programs`): with the
/// features that they are shipped with, and not with those that tests and benches ask for.
fn test(totals: &Totals) -> anyhow::Result<Outcome> {
    let mut programs = cargo(&format!("build {SHIPPED}"));
    programs.arg("--target-dir").arg(target_dir()?.join("shipped"));
    shown(programs)?;
    shown(cargo(&format!("build {EVERYTHING} --lib --bins --tests --examples")))?;
    if succeeds(cargo("nextest --version")) {
        return counted(cargo(&format!("nextest run {EVERYTHING} --no-fail-fast")), totals);
    }
    println!("cargo-nextest is not installed; plain cargo runs the tests (cargo install --locked cargo-nextest)");
    counted(cargo(&format!("test {EVERYTHING} --no-fail-fast --lib --bins --tests --examples")), totals)
}

/// With private items: these are programs, and whoever reads their documentation reads the sources too.
fn doc() -> anyhow::Result<Outcome> {
    let mut command = cargo(&format!("doc {EVERYTHING} --no-deps --document-private-items"));
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    shown(command)
}

fn deny() -> anyhow::Result<Outcome> {
    if !succeeds(cargo("deny --version")) {
        println!("SKIPPED: cargo-deny is not installed, so licences, bans, sources and advisories were NOT checked");
        println!("         install it with: cargo install --locked cargo-deny");
        return Ok(Outcome::Skipped);
    }
    shown(cargo("deny --locked check bans licenses sources"))?;
    advisories()
}

/// The database of advisories lies on the network. Without it there is nothing to check against.
fn advisories() -> anyhow::Result<Outcome> {
    let unreachable = std::sync::atomic::AtomicBool::new(false);
    let see = |line: &str| {
        if line.contains("failed to fetch advisory database") {
            unreachable.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    };
    match run_watched(cargo("deny --locked check advisories"), &see) {
        Err(_) if unreachable.into_inner() => {
            println!("SKIPPED: the database of advisories cannot be reached, so advisories were NOT checked");
            Ok(Outcome::Skipped)
        }
        done => done.map(|()| Outcome::Passed),
    }
}

fn shown(command: Command) -> anyhow::Result<Outcome> {
    println!("$ {}", typed(&command));
    process::run(command).map(|()| Outcome::Passed)
}

fn counted(command: Command, totals: &Totals) -> anyhow::Result<Outcome> {
    println!("$ {}", typed(&command));
    run_watched(command, &|line| totals.see(line)).map(|()| Outcome::Passed)
}

fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    if whole < 60 { format!("{:.1} s", time.as_secs_f64()) } else { format!("{}:{:02} min", whole / 60, whole % 60) }
}
