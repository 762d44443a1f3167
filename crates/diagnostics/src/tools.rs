//! The programs that sections are read from: a closed list, each with the arguments that it is given.
//!
//! None of them changes anything. Nothing that arrives over the network becomes a part of an argument.

use std::{ffi::OsString, path::Path};

/// A program and what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tool {
    /// The system's journal, as `journalctl -o json` prints it.
    Journal {
        /// What to print: arguments that the collectors made, such as `--boot` and `--priority=err`.
        selection: Vec<OsString>,
    },
    /// All that a disk tells about itself, as `smartctl` prints it in JSON. A disk that sleeps is not woken.
    DiskHealth {
        /// Which disk.
        disk: DiskName,
    },
    /// What APT would upgrade, in a simulation: without the network, without a lock, and without writing its caches.
    AptUpgrades,
    /// What DNF would update, from its cache.
    DnfUpdates,
    /// The security advisories of what DNF would update, from its cache.
    DnfSecurity,
    /// What Zypper would update, from what it knows.
    ZypperUpdates,
    /// The security patches that Zypper would install, from what it knows.
    ZypperSecurity,
    /// What chrony knows of its server, as `chronyc -c tracking` prints it. Addresses are not looked up.
    Chrony,
}

impl Tool {
    /// Name of the program, looked for in the system's own folders.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Journal { .. } => "journalctl",
            Self::DiskHealth { .. } => "smartctl",
            Self::AptUpgrades => "apt-get",
            Self::DnfUpdates | Self::DnfSecurity => "dnf",
            Self::ZypperUpdates | Self::ZypperSecurity => "zypper",
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
            Self::DiskHealth { disk } => {
                let device = format!("/dev/{}", disk.0);
                words("--json=c --nocheck=standby --all").chain([device.into()]).collect()
            }
            // Without its caches on disk it makes them in memory.
            Self::AptUpgrades => words(
                "--simulate --quiet --option=Debug::NoLocking=1 --option=Dir::Cache::pkgcache= \
                 --option=Dir::Cache::srcpkgcache= --option=APT::Get::Show-User-Simulation-Note=0 --with-new-pkgs upgrade",
            )
            .collect(),
            Self::DnfUpdates => words("--quiet --cacheonly check-update").collect(),
            Self::DnfSecurity => words("--quiet --cacheonly updateinfo list --security").collect(),
            Self::ZypperUpdates => words("--non-interactive --no-refresh list-updates").collect(),
            Self::ZypperSecurity => {
                words("--non-interactive --no-refresh list-patches --category=security").collect()
            }
            Self::Chrony => words("-n -c tracking").collect(),
        }
    }
}

fn words(line: &'static str) -> impl Iterator<Item = OsString> {
    line.split_ascii_whitespace().map(OsString::from)
}

/// The kernel's name of a disk that this machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskName(String);

impl DiskName {
    /// `name`, if it is made of small letters and digits and stands in `block`, which is `/sys/block`.
    pub(crate) fn known(name: &str, block: &Path) -> Option<Self> {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        (plain && block.join(name).exists()).then(|| Self(name.to_owned()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn only_a_disk_of_this_machine_becomes_an_argument() {
        let tree = Tree::new();
        tree.write("sda/size", "1\n");
        tree.write("cciss!c0d0/size", "1\n");
        let known = |name| DiskName::known(name, tree.path());
        let tool = Tool::DiskHealth { disk: known("sda").unwrap() };
        assert_eq!(tool.arguments(), ["--json=c", "--nocheck=standby", "--all", "/dev/sda"]);
        for name in ["", ".", "..", "sdb", "../sda", "sda/size", "cciss!c0d0", "-a", "sda -s", "sda\n"] {
            assert_eq!(known(name), None, "{name:?}");
        }
    }
}
