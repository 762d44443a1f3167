//! What changed lately.

use crate::{closed, schema, text::Label, time::WallTime};

/// Most names of packages that are listed: those changed last.
pub const MAX_PACKAGES: usize = 64;

/// Most starts of the machine that are listed.
pub const MAX_BOOTS: usize = 16;

/// Most failures of units that are listed.
pub const MAX_FAILURES: usize = 32;

closed! {
    /// Where the changes of packages are read from.
    pub enum PackageLog {
        /// `/var/log/dpkg.log` (Debian and its children).
        Dpkg = "dpkg",
        /// `/var/log/dnf.rpm.log` (Fedora and its siblings).
        Dnf = "dnf",
        /// `/var/log/zypp/history` (SUSE).
        Zypp = "zypp",
        /// `/var/log/pacman.log` (Arch).
        Pacman = "pacman",
    }
}

schema! {
    /// What changed in the last day and the last week.
    #[derive(Default)]
    pub struct Changes {
        /// Packages; absent where no log of them is known.
        nested packages: Option<PackageChanges>,
        /// Starts of the machine in the last seven days, the newest first; at most [`MAX_BOOTS`].
        technical boots: Vec<WallTime>,
        /// How many starts those are in all; absent if nothing records them.
        technical boots_last_week: Option<u32>,
        /// Failures of units in the last seven days, the newest first; at most [`MAX_FAILURES`].
        nested failures: Vec<UnitFailure>,
        /// Failures of units in the last 24 hours; absent if nothing records them.
        technical failures_last_day: Option<u32>,
        /// Crashes in the last 24 hours; absent if nothing records them.
        technical crashes_last_day: Option<u32>,
        /// Crashes in the last seven days; absent if nothing records them.
        technical crashes_last_week: Option<u32>,
    }

    /// What was done to packages.
    pub struct PackageChanges {
        /// Where that is recorded.
        technical log: PackageLog,
        /// In the last 24 hours.
        technical last_day: PackageCounts,
        /// In the last seven days.
        technical last_week: PackageCounts,
        /// When the newest change of all was.
        technical newest: Option<WallTime>,
        /// When a kernel was last installed, upgraded or removed, as far as the log goes back.
        technical kernel: Option<WallTime>,
        /// Names of those changed in the last seven days, the newest first; at most [`MAX_PACKAGES`].
        personal names: Vec<Label>,
    }

    /// How many packages were changed how.
    #[derive(Copy, Default)]
    pub struct PackageCounts {
        /// Installed that were not there.
        technical installed: u32,
        /// Replaced by another version.
        technical upgraded: u32,
        /// Removed.
        technical removed: u32,
    }

    /// A unit that failed.
    pub struct UnitFailure {
        /// Name.
        unit name: Label,
        /// When.
        technical time: WallTime,
    }
}

impl crate::diagnostics::schema::Technical for PackageCounts {}
