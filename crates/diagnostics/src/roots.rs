//! Where the kernel and the system tell about themselves.

use std::path::{Path, PathBuf};

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
    /// Default `/usr`.
    pub usr: PathBuf,
    /// Default `/boot`.
    pub boot: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self::under(Path::new("/"))
    }
}

impl Roots {
    /// The directories of a machine whose root is `root`.
    pub fn under(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
            etc: root.join("etc"),
            run: root.join("run"),
            var: root.join("var"),
            usr: root.join("usr"),
            boot: root.join("boot"),
        }
    }
}
