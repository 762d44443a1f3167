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
    /// The person who started the program. Default nobody.
    pub person: Person,
}

/// A person's own places and desktop, as far as they are known. The environment tells them, which is read only where the program starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// Where settings are: `$XDG_CONFIG_HOME`, which is `~/.config` where it is not set (XDG Base Directory Specification).
    pub config: Option<PathBuf>,
    /// Where sockets are: `$XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// Names of the desktop, the most exact first: `$XDG_CURRENT_DESKTOP`. None if there is no desktop, or it is not known.
    pub desktops: Vec<String>,
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
            person: Person::default(),
        }
    }
}
