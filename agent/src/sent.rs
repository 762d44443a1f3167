//! What left this machine in a session: kept while it leaves, and shown to the person afterwards (`assent-share sent`).

mod copy;
mod list;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Serialize;
use wire::time::WallTime;

pub use self::copy::NotKept;
pub(crate) use self::copy::{Sent, SentCopy};
use self::list::{Item, List, Reader, What};

/// End of the names of the files.
pub(crate) const SENT: &str = "sent";

/// Which session, and in which form.
#[derive(Debug, Clone, clap::Args)]
pub struct SentArguments {
    /// What was kept of a session. Default: the newest one in assent/sessions in the state folder
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Show this one in full; numbers are in the list
    #[arg(long, value_name = "NUMBER", conflicts_with = "json")]
    pub show: Option<usize>,

    /// Print everything in full as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Why what was sent could not be shown.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SentError {
    /// There is no session.
    #[error("no session is kept in {folder}")]
    #[diagnostic(help("name a file: assent-share sent FILE"))]
    None {
        /// Where was looked.
        folder: PathBuf,
    },
    /// The file cannot be read.
    #[error("{path} could not be read")]
    #[diagnostic(help("nothing was changed; check the name and the permissions"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such number.
    #[error("nothing in {path} has the number {number}; there are {count}")]
    #[diagnostic(help("see the numbers: assent-share sent FILE"))]
    NoSuchNumber {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// Nobody reads what is printed.
    #[error("what was sent could not be printed")]
    #[diagnostic(help("nothing was changed; check where the output goes to"))]
    Print(#[source] io::Error),
}

/// Shows what was sent in a session. Changes nothing.
///
/// # Errors
///
/// If it cannot be read or told.
pub fn run(arguments: &SentArguments, sessions: &Path) -> Result<(), SentError> {
    let path = match &arguments.file {
        Some(path) => path.clone(),
        None => newest(sessions).ok_or_else(|| SentError::None { folder: sessions.to_owned() })?,
    };
    let unreadable = |source| SentError::Unreadable { path: path.clone(), source };
    let mut out = io::stdout().lock();
    let (mut list, mut reader, mut printed) = (List::default(), Reader::default(), Ok(()));
    let torn = copy::read(&path, |at, sent, bytes| match reader.read(sent) {
        Some(what) if arguments.json && printed.is_ok() => printed = print_json(&mut out, at, bytes, &what),
        Some(what) if !arguments.json => list.take(at, what, bytes),
        Some(_) | None => {}
    });
    let torn = torn.map_err(unreadable)?;
    printed.map_err(SentError::Print)?;
    let text = match arguments.show {
        _ if arguments.json => String::new(),
        None => list.text(&path),
        Some(number) => {
            let item = number.checked_sub(1).and_then(|index| list.items().get(index));
            let count = list.items().len();
            item.map(Item::in_full).ok_or(SentError::NoSuchNumber { path: path.clone(), number, count })?
        }
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(SentError::Print)?;
    if torn > 0 {
        let _ =
            writeln!(io::stderr(), "the last {torn} bytes of the file are not whole: the program was stopped there");
    }
    Ok(())
}

/// One thing that was sent.
#[derive(Serialize)]
struct Printed<'p> {
    at: WallTime,
    bytes: usize,
    what: &'p What,
}

fn print_json(out: &mut impl io::Write, at: WallTime, bytes: usize, what: &What) -> io::Result<()> {
    let json = serde_json::to_string(&Printed { at, bytes, what })?;
    writeln!(out, "{}", report::export::harmless(&json))
}

/// The names begin with the time.
fn newest(sessions: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(sessions).ok()?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| path.extension().is_some_and(|extension| extension == SENT)).max()
}
