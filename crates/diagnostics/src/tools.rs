//! The programs that sections are read from: a closed list, each with the arguments that it is given.
//!
//! None of them changes anything. Nothing that arrives over the network becomes a part of an argument.

use std::ffi::OsString;

/// A program and what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tool {
    /// The system's journal, as `journalctl -o json` prints it.
    Journal {
        /// What to print: arguments that the collectors made, such as `--boot` and `--priority=err`.
        selection: Vec<OsString>,
    },
    /// What chrony knows of its server, as `chronyc -c tracking` prints it. Addresses are not looked up.
    Chrony,
}

impl Tool {
    /// Name of the program, looked for in the system's own folders.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Journal { .. } => "journalctl",
            Self::Chrony => "chronyc",
        }
    }

    /// Its arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        match self {
            Self::Journal { selection } => {
                let fixed = ["--no-pager", "--quiet", "--output=json"].map(OsString::from);
                fixed.into_iter().chain(selection.iter().cloned()).collect()
            }
            Self::Chrony => ["-n", "-c", "tracking"].map(OsString::from).into(),
        }
    }
}
