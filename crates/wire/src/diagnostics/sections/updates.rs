//! Updates that wait.

use crate::{closed, schema, text::Label, time::WallTime};

/// Most packages that are named, of those that wait and of those that are held back.
pub const MAX_PACKAGES: usize = 64;

schema! {
    /// Updates that wait.
    #[derive(Default)]
    pub struct Updates {
        /// What the machine's packages are managed by; absent if it is none that is known here.
        technical manager: Option<PackageManager>,
        /// Who counted the updates; absent if nobody could.
        technical counted_by: Option<UpdateSource>,
        /// Packages with an update that can be installed, as far as the lists on the machine tell.
        technical pending: Option<u32>,
        /// Those of them that close security holes.
        technical security: Option<u32>,
        /// Names of packages with an update, security first; at most [`MAX_PACKAGES`].
        personal pending_names: Vec<Label>,
        /// Packages that somebody wants to stay as they are.
        technical held: Option<u32>,
        /// Their names; at most [`MAX_PACKAGES`].
        personal held_names: Vec<Label>,
        /// Whether a restart is needed for what is installed to be in use.
        technical reboot_needed: Option<bool>,
        /// Why.
        technical reboot_reasons: Vec<RebootReason>,
        /// The kernel that runs.
        technical running_kernel: Label,
        /// The newest kernel that is installed; blank if unknown.
        technical newest_kernel: Label,
        /// When that was installed.
        technical newest_kernel_since: Option<WallTime>,
        /// When the lists of what there is were last brought up to date.
        technical lists_refreshed: Option<WallTime>,
        /// When packages were last installed or updated.
        technical last_success: Option<WallTime>,
        /// Whether updates install themselves.
        technical automatic: Option<bool>,
        /// Whether an installation was broken off and waits to be completed.
        technical interrupted: Option<bool>,
    }
}

closed! {
    /// What manages packages.
    pub enum PackageManager {
        /// dpkg and APT.
        Apt = "apt",
        /// RPM and DNF.
        Dnf = "dnf",
        /// RPM and Zypper.
        Zypper = "zypper",
    }

    /// Who counted the updates.
    pub enum UpdateSource {
        /// The PackageKit service.
        PackageKit = "packagekit",
        /// `apt-get`, in a simulation.
        Apt = "apt-get",
        /// `dnf`, from its cache.
        Dnf = "dnf",
        /// `zypper`, without refreshing.
        Zypper = "zypper",
    }

    /// Why a restart is needed.
    pub enum RebootReason {
        /// A package asked for it.
        Asked = "asked",
        /// A newer kernel is installed than the one that runs.
        Kernel = "kernel",
        /// The kernel that runs is not installed any more, so no module of it can be loaded.
        KernelRemoved = "kernel_removed",
    }
}
