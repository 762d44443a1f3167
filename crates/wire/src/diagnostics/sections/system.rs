//! Operating system, kernel, modules, how it started.

use crate::{
    closed, schema,
    text::{Label, Sentence},
    time::WallTime,
};

/// Most parameters of the kernel that are listed.
pub const MAX_PARAMETERS: usize = 256;

/// Most modules that are listed because something is unusual about them.
pub const MAX_MODULES: usize = 64;

schema! {
    /// Operating system, kernel, modules, how it started.
    #[derive(Default)]
    pub struct System {
        /// Name and version as the system shows them, such as `Debian GNU/Linux 12 (bookworm)`.
        technical name: Label,
        /// Its short name, such as `debian`; blank if unknown.
        technical id: Label,
        /// Its version, such as `12`; blank where it has none.
        technical version: Label,
        /// Its edition, such as `Workstation Edition`; blank where it has none.
        technical variant: Label,
        /// The build or image that is installed; blank where it has none.
        technical build: Label,
        /// Day on which its maker stops supporting it, `YYYY-MM-DD`; blank if it does not say.
        technical support_ends: Label,
        /// Language and region of the system, such as `de_DE.UTF-8`; blank if unknown.
        technical locale: Label,
        /// Time zone, such as `Europe/Berlin`; blank if unknown.
        technical time_zone: Label,
        /// Program that runs as the first process, such as `systemd`.
        technical init: Label,
        /// Release of the kernel, such as `6.1.0-18-amd64`.
        technical kernel: Label,
        /// How and when the kernel was built.
        technical kernel_build: Label,
        /// Parameters that the kernel was started with, in order; at most [`MAX_PARAMETERS`]. Those behind `--` belong to the first
        /// process and are left out, and so are the values of those that set an environment or a credential.
        text parameters: Vec<Sentence>,
        /// Modules of the kernel; absent where it cannot load any.
        nested modules: Option<Modules>,
        /// Why the kernel's makers would not look at its reports; nothing if they would.
        technical taints: Vec<Taint>,
        /// How it started.
        nested boot: Boot,
    }

    /// Modules that the kernel loaded.
    #[derive(Default)]
    pub struct Modules {
        /// How many.
        technical loaded: u32,
        /// Memory that they take, in KiB.
        technical size_kib: u64,
        /// Those that taint the kernel; at most [`MAX_MODULES`].
        nested unusual: Vec<Module>,
    }

    /// A module that taints the kernel.
    pub struct Module {
        /// Its name.
        technical name: Label,
        /// What is unusual about it.
        technical taints: Vec<Taint>,
    }

    /// How the machine started. Times are milliseconds and absent where nothing measured them.
    #[derive(Default)]
    pub struct Boot {
        /// When it started, as the clock shows now.
        technical started_at: Option<WallTime>,
        /// In the firmware.
        technical firmware_ms: Option<u64>,
        /// In the boot loader.
        technical loader_ms: Option<u64>,
        /// In the kernel, until the first process.
        technical kernel_ms: Option<u64>,
        /// In the initial file system.
        technical initrd_ms: Option<u64>,
        /// From the first process of the system until everything was started; absent while it is starting.
        technical userspace_ms: Option<u64>,
        /// What it starts into, such as `graphical.target`; blank if unknown.
        unit default_target: Label,
        /// State of the whole system as systemd sees it, such as `running` or `degraded`; blank if unknown.
        technical state: Label,
        /// Version of systemd; blank if unknown.
        technical manager_version: Label,
    }
}

closed! {
    /// Why the kernel counts as tainted: the kernel's `Documentation/admin-guide/tainted-kernels.rst`, in its order.
    pub enum Taint {
        /// A module with a proprietary licence.
        Proprietary = "proprietary",
        /// A module was loaded by force.
        ForcedLoad = "forced_load",
        /// The processor is out of its specification.
        OutOfSpecification = "out_of_specification",
        /// A module was unloaded by force.
        ForcedUnload = "forced_unload",
        /// A machine check was reported.
        MachineCheck = "machine_check",
        /// A page of memory was found in a bad state.
        BadPage = "bad_page",
        /// A program asked for it.
        Requested = "requested",
        /// The kernel died of an oops or a bug once, and went on.
        Died = "died",
        /// A table of the firmware was replaced.
        AcpiOverridden = "acpi_overridden",
        /// The kernel warned of something that should not happen.
        Warned = "warned",
        /// A driver of the staging area.
        Staging = "staging",
        /// A fault of the firmware was worked around.
        FirmwareWorkaround = "firmware_workaround",
        /// A module from outside of the kernel's sources.
        OutOfTree = "out_of_tree",
        /// A module without a valid signature.
        Unsigned = "unsigned",
        /// A processor hung for a while.
        SoftLockup = "soft_lockup",
        /// The kernel was patched while it ran.
        LivePatched = "live_patched",
        /// What the distribution uses the flag for.
        Auxiliary = "auxiliary",
        /// Its structures were laid out at random.
        RandomLayout = "random_layout",
        /// A test of the kernel ran.
        TestRan = "test_ran",
        /// A program changed a device's firmware through the interface for debugging it.
        FwctlUsed = "fwctl_used",
        /// A flag that came after this list.
        Other = "other",
    }
}
