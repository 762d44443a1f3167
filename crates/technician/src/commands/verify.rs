//! `assent verify`.

use std::path::Path;

use audit::{Comparison, Summary, VerifyError};
use serde::Serialize;

use super::shown_path;
use crate::{cli::VerifyArgs, exit::Exit, output, problem::Problem};

/// The result, for scripts.
#[derive(Serialize)]
struct Verdict<'a> {
    file: String,
    /// Whether every entry is as it was written.
    sound: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a Summary>,
    /// Number of the first bad entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    bad_entry: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct Both<'a> {
    files: Vec<Verdict<'a>>,
    /// Whether the files tell the same story as far as both go.
    same: bool,
    comparison: String,
}

/// Checks one file, or two against each other.
pub(super) fn verify(args: &VerifyArgs) -> Result<Exit, Problem> {
    match &args.against {
        None => one(&args.file, args.json),
        Some(other) => both(&args.file, other, args.json),
    }
}

fn one(file: &Path, json: bool) -> Result<Exit, Problem> {
    let checked = check(file)?;
    if json {
        print(&output::json_line(&verdict(file, &checked)))?;
        return Ok(if checked.is_ok() { Exit::Ok } else { Exit::Other });
    }
    match checked {
        Ok(summary) => {
            print(&format!("{}: every entry is sound\n{summary}\n", shown_path(file)))?;
            Ok(Exit::Ok)
        }
        Err(error) => Err(bad(file, &error)),
    }
}

fn both(file: &Path, other: &Path, json: bool) -> Result<Exit, Problem> {
    let (first, second) = (check(file)?, check(other)?);
    let (agents, technicians) = if is_receipt(file) { (other, file) } else { (file, other) };
    let comparison = audit::compare(agents, technicians).map_err(|error| unreadable(&error))?;
    let same = match comparison {
        Comparison::Same | Comparison::Shorter { .. } => true,
        Comparison::Differ { .. } => false,
    };
    let sound = first.is_ok() && second.is_ok();
    if json {
        let files = vec![verdict(file, &first), verdict(other, &second)];
        print(&output::json_line(&Both { files, same, comparison: comparison.to_string() }))?;
        return Ok(if sound && same { Exit::Ok } else { Exit::Other });
    }
    match (first, second) {
        (Err(error), _) => Err(bad(file, &error)),
        (_, Err(error)) => Err(bad(other, &error)),
        (Ok(_), Ok(_)) if !same => Err(Problem::new(
            Exit::Other,
            comparison.to_string(),
            "neither copy can be relied on from there on",
            "Find out who could write to which file; each copy is sound by itself.",
        )),
        (Ok(summary), Ok(_)) => {
            print(&format!("Both copies are sound, and {comparison}.\n{summary}\n"))?;
            Ok(Exit::Ok)
        }
    }
}

/// A technician's copy has it in its name; without that, the first file is taken for the agent's.
fn is_receipt(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains(".receipt."))
}

fn check(file: &Path) -> Result<Result<Summary, VerifyError>, Problem> {
    match audit::verify_file(file) {
        Err(error @ VerifyError::Read { .. }) => Err(unreadable(&error)),
        checked => Ok(checked),
    }
}

fn unreadable(error: &VerifyError) -> Problem {
    let happened = wire::text::shown(&error.to_string());
    Problem::new(Exit::Other, happened, "nothing was checked", "Check the path and the file's permissions.")
        .because_of(error)
}

fn bad(file: &Path, error: &VerifyError) -> Problem {
    let next = if error.is_tampering() {
        "Do not rely on this copy from that entry on; ask the other side for theirs and use --against."
    } else {
        "If the file comes from a newer version, verify it with that version."
    };
    let happened = format!("{}: {}", shown_path(file), wire::text::shown(&error.to_string()));
    Problem::new(Exit::Other, happened, "what follows in the file was not checked", next)
}

fn verdict<'a>(file: &Path, checked: &'a Result<Summary, VerifyError>) -> Verdict<'a> {
    let bad_entry = match checked {
        Err(VerifyError::Bad(bad)) => Some(bad.n),
        Err(VerifyError::Read { .. } | VerifyError::NoEntry | _) | Ok(_) => None,
    };
    Verdict {
        file: file.display().to_string(),
        sound: checked.is_ok(),
        summary: checked.as_ref().ok(),
        bad_entry,
        problem: checked.as_ref().err().map(VerifyError::to_string),
    }
}

fn print(text: &str) -> Result<(), Problem> {
    output::to_stdout(text).map_err(|error| super::output_problem(&error))
}
