//! Where the kernel and the system tell about themselves.

use std::path::PathBuf;

/// The directories that collectors read. Others than the real ones are for tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Default `/proc`.
    pub proc: PathBuf,
    /// Default `/sys`.
    pub sys: PathBuf,
    /// Default `/etc`.
    pub etc: PathBuf,
    /// Default `/run`.
    pub run: PathBuf,
    /// Default `/var`.
    pub var: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), etc: "/etc".into(), run: "/run".into(), var: "/var".into() }
    }
}
