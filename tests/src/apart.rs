//! Programs that have file systems or a network of their own, in namespaces that nobody else sees.
//!
//! Where the system does not let a test make them this is said, and the test tests nothing.

use std::{
    fs::{File, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tempfile::TempDir;
use testkit::{
    PATIENCE,
    programs::{Home, Host},
    running::Running,
};

/// What to set apart, and how.
#[derive(Debug, Clone)]
pub(crate) struct Apart {
    /// Options of unshare(1): which namespaces are new.
    pub(crate) namespaces: &'static str,
    /// A line for the shell that prepares them.
    pub(crate) prepare: String,
}

/// A program that starts in namespaces of its own.
#[derive(Debug)]
pub(crate) struct SetApart {
    _folder: TempDir,
    pub(crate) command: PathBuf,
}

impl Apart {
    /// File systems of its own: `prepare` mounts them.
    pub(crate) fn mounts(prepare: String) -> Self {
        Self { namespaces: "--mount --propagation private", prepare }
    }

    /// `program` set apart; `None`, and a word about it, where the system does not permit it.
    pub(crate) async fn start(&self, program: &Path) -> anyhow::Result<Option<SetApart>> {
        let probe = self.of(Path::new("true"))?;
        let home = Home::new()?;
        let mut command = Host::default().command(&probe.command);
        home.apply(&mut command);
        match Running::to_end(command, PATIENCE).await {
            Ok(done) if done.code() == 0 => Ok(Some(self.of(program)?)),
            Ok(done) => {
                eprintln!("SKIPPED: this system does not let a test set a program apart: {}", done.stderr.trim());
                Ok(None)
            }
            Err(error) => {
                eprintln!("SKIPPED: this system has no unshare: {error:#}");
                Ok(None)
            }
        }
    }

    fn of(&self, program: &Path) -> anyhow::Result<SetApart> {
        let folder = tempfile::tempdir()?;
        let command = folder.path().join("set-apart");
        let program = program.to_str().context("a path is UTF-8")?;
        let Self { namespaces, prepare } = self;
        // Every step replaces the one before, so the process that was started is the program in the end.
        let script = format!(
            "#!/bin/sh\n\
             [ \"$(id -u)\" = 0 ] && root= || root=--map-root-user\n\
             exec unshare $root {namespaces} sh -c '{prepare} && exec \"$0\" \"$@\"' '{program}' \"$@\"\n"
        );
        let mut file = File::create(&command)?;
        file.write_all(script.as_bytes())?;
        file.set_permissions(Permissions::from_mode(0o700))?;
        Ok(SetApart { _folder: folder, command })
    }
}
