//! `cargo xtask tidy`: the rules of the house that no compiler knows. Each breach is told with its place and the rule's why.
//!
//! Also an ordinary test (`tests/tidy.rs`), so that nobody has to remember it.

mod code;
mod files;
mod graph;
mod manifests;
mod mask;
mod paths;
mod texts;

use std::{fmt, path::Path};

use anyhow::bail;

use crate::process::root;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// Relative to the root of the tree.
    path: String,
    /// From 1; 0 when it is about the whole file.
    line: usize,
    /// What is there.
    what: String,
    /// Why it must not be.
    why: &'static str,
}

impl Breach {
    fn new(path: &str, line: usize, what: impl Into<String>, why: &'static str) -> Self {
        Self { path: path.to_owned(), line, what: what.into(), why }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}\n    why: {}", self.path, self.what, self.why),
            line => write!(f, "{}:{line}: {}\n    why: {}", self.path, self.what, self.why),
        }
    }
}

/// Checks this tree and prints every breach.
///
/// # Errors
///
/// When there is a breach, or the tree cannot be read.
pub fn run() -> anyhow::Result<()> {
    let breaches = check(root())?;
    breaches.iter().for_each(|breach| println!("{breach}"));
    match breaches.len() {
        0 => {
            println!("tidy: every rule holds");
            Ok(())
        }
        1 => bail!("one rule of the house is broken"),
        count => bail!("rules of the house are broken in {count} places"),
    }
}

/// All breaches below `root`, in order of their places.
///
/// # Errors
///
/// When a file or cargo's metadata cannot be read.
pub fn check(root: &Path) -> anyhow::Result<Vec<Breach>> {
    let files = files::read(root)?;
    let mut breaches = graph::check(&graph::Graph::load(root)?);
    breaches.extend(manifests::check(&files));
    breaches.extend(texts::check(&files));
    breaches.extend(code::check(&files));
    breaches.sort();
    breaches.dedup();
    Ok(breaches)
}
