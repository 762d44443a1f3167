//! What figures are of, by names that the kernel, a vendor or a standard gave.
//!
//! Nothing that a person chose gets into a file, but the names of programs: a mount is named by its place in the file-system hierarchy or by its device's
//! number, and an interface that somebody named is remembered in memory alone.

use std::collections::BTreeMap;

use wire::{
    closed,
    diagnostics::{Filesystem, schema::Named},
    text::Label,
};

/// What a figure is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A file system at a place that the standard names.
    Place(Place),
    /// Any other file system, by the number of its device.
    Device {
        /// The driver's number.
        major: u32,
        /// The device's number at its driver.
        minor: u32,
    },
    /// A block device by its kernel name, such as `nvme0n1`.
    Disk(Label),
    /// A network interface by its kernel name, such as `wlan0`.
    Network(Label),
    /// A temperature sensor by what it measures.
    Sensor(Label),
    /// A battery by its kernel name, such as `BAT0`.
    Battery(Label),
    /// A program by the name that its processes go by.
    Program(Label),
}

closed! {
    /// A folder that the Filesystem Hierarchy Standard 3.0 names, or that systems have by long custom. A closed list; new ones
    /// are added at the end, because files know them by their place in it.
    #[non_exhaustive]
    pub enum Place {
        /// The root.
        Root = "/",
        /// Files of the boot loader.
        Boot = "/boot",
        /// The firmware's partition, by custom.
        BootEfi = "/boot/efi",
        /// The firmware's partition, by the Boot Loader Specification.
        Efi = "/efi",
        /// Homes, all together.
        Home = "/home",
        /// Add-on software.
        Opt = "/opt",
        /// The administrator's home.
        RootHome = "/root",
        /// Data of services.
        Srv = "/srv",
        /// Temporary files.
        Tmp = "/tmp",
        /// Programs.
        Usr = "/usr",
        /// Locally installed software.
        UsrLocal = "/usr/local",
        /// Variable data.
        Var = "/var",
        /// Caches.
        VarCache = "/var/cache",
        /// State of programs.
        VarLib = "/var/lib",
        /// Containers.
        VarLibDocker = "/var/lib/docker",
        /// Containers.
        VarLibContainers = "/var/lib/containers",
        /// Virtual machines.
        VarLibLibvirt = "/var/lib/libvirt",
        /// Databases.
        VarLibMysql = "/var/lib/mysql",
        /// Databases.
        VarLibPostgresql = "/var/lib/postgresql",
        /// Log files.
        VarLog = "/var/log",
        /// Audit trail.
        VarLogAudit = "/var/log/audit",
        /// Spools.
        VarSpool = "/var/spool",
        /// Temporary files that outlive a restart.
        VarTmp = "/var/tmp",
        /// State since the start.
        Run = "/run",
        /// Shared memory.
        DevShm = "/dev/shm",
        /// Data, by custom.
        Data = "/data",
        /// A place for anything, mounted as a whole.
        Mnt = "/mnt",
        /// A place for removable media, mounted as a whole.
        Media = "/media",
        /// Persistent state of an image-based system.
        Nix = "/nix",
        /// The system of an image-based machine.
        Sysroot = "/sysroot",
    }
}

impl Subject {
    /// Its name, for series and findings.
    pub fn named(&self) -> Named {
        match self {
            Self::Place(place) => Named::Technical(Label::cut(place.name())),
            Self::Device { major, minor } => Named::Technical(Label::cut(&format!("{major}:{minor}"))),
            Self::Network(name) => Named::Network(name.clone()),
            Self::Disk(name) | Self::Sensor(name) | Self::Battery(name) | Self::Program(name) => {
                Named::Technical(name.clone())
            }
        }
    }

    /// Whether its name has a form that only the kernel or a vendor gives, so that it may get into a file.
    ///
    /// Anybody may rename an interface or an array. `enx` interfaces are left out too: their names are hardware addresses.
    pub fn may_be_kept(&self) -> bool {
        match self {
            Self::Place(_) | Self::Device { .. } => true,
            Self::Program(name) => !name.raw().is_empty(),
            Self::Disk(name) => is_kernel_disk(name.raw()),
            Self::Network(name) => is_kernel_interface(name.raw()),
            Self::Battery(name) => numbered(name.raw(), &["BAT", "CMB", "BATC", "BATT"]),
            Self::Sensor(name) => {
                let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
                !name.raw().is_empty() && name.raw().bytes().all(plain)
            }
        }
    }
}

fn is_kernel_disk(name: &str) -> bool {
    const LETTERED: [&str; 5] = ["sd", "hd", "vd", "xvd", "dasd"];
    const NUMBERED: [&str; 12] =
        ["dm-", "md", "sr", "zram", "nbd", "zd", "bcache", "mmcblk", "pmem", "drbd", "rbd", "loop"];
    let lettered = |rest: &str| (1..=4).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_lowercase());
    let nvme = name.strip_prefix("nvme").is_some_and(|rest| {
        let mut parts = rest.split(['c', 'n']);
        (2..=3).contains(&parts.clone().count()) && parts.all(is_number)
    });
    nvme || numbered(name, &NUMBERED) || LETTERED.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(lettered))
}

/// Whether the kernel or systemd gives such a name, and not by a hardware address.
pub(crate) fn is_kernel_interface(name: &str) -> bool {
    const NUMBERED: [&str; 15] = [
        "eth", "wlan", "wwan", "usb", "br", "bond", "team", "wg", "tun", "tap", "ppp", "docker", "virbr", "vmbr", "ib",
    ];
    numbered(name, &NUMBERED) || is_predictable(name)
}

/// The scheme of systemd.net-naming-scheme(7): a prefix for the kind, and then letters for a bus with a number each.
fn is_predictable(name: &str) -> bool {
    const KINDS: [&str; 5] = ["en", "ib", "sl", "wl", "ww"];
    let Some(rest) = KINDS.iter().find_map(|kind| name.strip_prefix(kind)) else { return false };
    // Only a port or a slot of a multi-function device may follow its letter at once.
    let rest = rest.replace("np", "n0p").replace("ns", "n0s");
    let mut bytes = rest.bytes().peekable();
    let mut parts = 0;
    while let Some(letter) = bytes.next() {
        if !b"ospPfdnvuibcr".contains(&letter) {
            return false;
        }
        let mut digits = 0;
        while bytes.next_if(u8::is_ascii_digit).is_some() {
            digits += 1;
        }
        if !(1..=8).contains(&digits) {
            return false;
        }
        parts += 1;
    }
    parts > 0
}

fn numbered(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_number))
}

fn is_number(text: &str) -> bool {
    (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which device is mounted where: names those file systems whose place no standard names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<Label, (u32, u32)>);

impl Places {
    /// Devices by the places that they are mounted at, as `Filesystem::mount` has them.
    pub fn new(devices: impl IntoIterator<Item = (Label, (u32, u32))>) -> Self {
        Self(devices.into_iter().collect())
    }

    /// Reads the kernel's list of mounts (proc_pid_mountinfo(5)). What cannot be read names nothing.
    #[cfg(target_os = "linux")]
    pub fn read(roots: &crate::Roots) -> Self {
        let mut buffer = Vec::new();
        let mountinfo = crate::text::read_file(&roots.proc.join("self/mountinfo"), &mut buffer);
        mountinfo.map(|text| Self::of(&crate::filesystems::mounts::worth_showing(text))).unwrap_or_default()
    }

    /// Those of `mounts`.
    #[cfg(target_os = "linux")]
    pub(crate) fn of(mounts: &[crate::filesystems::mounts::Mount]) -> Self {
        Self::new(mounts.iter().filter_map(|mount| {
            let (major, minor) = std::str::from_utf8(&mount.device).ok()?.split_once(':')?;
            let place = Label::cut(&mount.point.to_string_lossy());
            Some((place, (major.parse().ok()?, minor.parse().ok()?)))
        }))
    }

    /// What the figures of a file system are remembered under; none if its place is no technical name and its device is unknown.
    pub fn subject_of(&self, filesystem: &Filesystem) -> Option<Subject> {
        let mount = &filesystem.mount;
        let standard = Place::ALL.iter().find(|place| place.name() == mount.raw());
        let device = || self.0.get(mount).map(|(major, minor)| Subject::Device { major: *major, minor: *minor });
        standard.map(|place| Subject::Place(*place)).or_else(device)
    }
}

#[cfg(test)]
mod tests;
