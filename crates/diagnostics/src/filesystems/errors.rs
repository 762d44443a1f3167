//! What ext4 says of errors that it found in itself: `/sys/fs/ext4/<disk>` (the kernel's `Documentation/ABI/testing/sysfs-fs-ext4`).
//!
//! The mount list does not tell it everywhere: since Linux 6.12, and in stable kernels from before, an ext4 that stopped writing because
//! of an error is listed as it was mounted; 6.15 says `emergency_ro` instead.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::mounts::{Mount, OnError};
use crate::{
    sysfs::{link_name, whole},
    text::{lines, read_file, values},
};

/// Kinds that are driven by ext4.
const KINDS: [&str; 3] = ["ext2", "ext3", "ext4"];

/// What a file system made of errors that it found in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// It has found none, or does not count them.
    None,
    /// It found some, which nobody has repaired, and goes on.
    Found,
    /// It found some while it was mounted and stopped writing.
    Stopped,
}

/// The errors that the mounted file systems count. A look costs one small file each, and no disk is asked.
#[derive(Debug)]
pub(super) struct Errors {
    proc: PathBuf,
    sys: PathBuf,
    /// By the number of the device.
    watched: BTreeMap<Vec<u8>, Watched>,
}

#[derive(Debug)]
struct Watched {
    /// What the kernel calls the disk.
    name: String,
    /// Errors since it was made or repaired.
    count: u64,
    stopped: bool,
}

impl Errors {
    pub(super) fn new(proc: &Path, sys: &Path) -> Self {
        Self { proc: proc.to_owned(), sys: sys.to_owned(), watched: BTreeMap::new() }
    }

    /// Looks at all that are mounted, and forgets those that are not any more.
    pub(super) fn refresh(&mut self, mounts: &[Mount], buffer: &mut Vec<u8>) {
        let mut before = std::mem::take(&mut self.watched);
        for mount in mounts.iter().filter(|mount| KINDS.contains(&mount.kind.as_str())) {
            let known = before.remove(&mount.device);
            if let Some(watched) = self.look(mount, known, buffer) {
                self.watched.insert(mount.device.clone(), watched);
            }
        }
    }

    pub(super) fn of(&self, mount: &Mount) -> Damage {
        match self.watched.get(&mount.device) {
            Some(watched) if watched.stopped => Damage::Stopped,
            Some(watched) if watched.count > 0 => Damage::Found,
            Some(_) | None => Damage::None,
        }
    }

    fn look(&self, mount: &Mount, known: Option<Watched>, buffer: &mut Vec<u8>) -> Option<Watched> {
        let (name, before) = match known {
            Some(Watched { name, count, stopped }) => (name, Some((count, stopped))),
            None => (self.name(&mount.device)?, None),
        };
        let count = whole(&self.file(&name, "errors_count"))?;
        let stopped = match before {
            // Somebody has repaired it.
            _ if count == 0 => false,
            // What was counted before is in the number; what comes on top came just now.
            Some((before, stopped)) => stopped || count > before && self.stops(mount, &name, buffer),
            None => self.stops(mount, &name, buffer) && self.found_since_the_start(&name, buffer),
        };
        Some(Watched { name, count, stopped })
    }

    /// What the kernel calls the disk with this number, such as `sda1`.
    fn name(&self, device: &[u8]) -> Option<String> {
        link_name(&self.sys.join("dev/block").join(str::from_utf8(device).ok()?))
    }

    fn file(&self, name: &str, file: &str) -> PathBuf {
        self.sys.join("fs/ext4").join(name).join(file)
    }

    /// Whether an error makes it stop. The mount list says so only where that is not what the disk itself asks for.
    fn stops(&self, mount: &Mount, name: &str, buffer: &mut Vec<u8>) -> bool {
        let of_disk = || {
            let options = read_file(&self.proc.join("fs/ext4").join(name).join("options"), buffer).ok()?;
            lines(options).find_map(OnError::parse)
        };
        mount.on_error.or_else(of_disk).is_some_and(|on_error| on_error == OnError::Stop)
    }

    /// Whether the last error came after the machine was started: what came before does not keep anybody from writing now. Nothing tells
    /// when a disk was mounted, so one that was mounted anew since then and not repaired is taken for one that stopped.
    fn found_since_the_start(&self, name: &str, buffer: &mut Vec<u8>) -> bool {
        let last = whole(&self.file(name, "last_error_time"));
        let started = read_file(&self.proc.join("stat"), buffer).ok().and_then(|text| {
            let [started] = values(text, ["btime"]);
            started
        });
        last.zip(started).is_some_and(|(last, started)| last >= started)
    }
}
