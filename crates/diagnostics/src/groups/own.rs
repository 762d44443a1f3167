//! What limits the agent itself: the control groups around it, such as its container's.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Component, Path, PathBuf},
};

use wire::diagnostics::sections::groups::OwnLimits;

use super::files;
use crate::text::{lines, number, read_file};

/// Where the agent itself is, by the controllers of each hierarchy; version 2 has no controllers in the list (cgroups(7)).
#[derive(Debug, Default)]
pub(crate) struct OwnPlaces(Vec<(Vec<u8>, PathBuf)>);

/// The tightest limit of memory around the agent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MemoryLimit {
    pub(crate) max_kib: u64,
    /// The file that has what is in use of it, in bytes.
    usage: PathBuf,
    /// The file that has of what that is, and what in it can be taken back.
    stat: PathBuf,
    reclaimable: [&'static str; 3],
}

impl OwnPlaces {
    pub(crate) fn read(proc: &Path) -> Self {
        let mut buffer = Vec::new();
        let text = read_file(&proc.join("self/cgroup"), &mut buffer).unwrap_or_default();
        let place = |line: &[u8]| {
            let mut parts = line.splitn(3, |byte| *byte == b':');
            let (_hierarchy, controllers, place) = (parts.next()?, parts.next()?, parts.next()?);
            let place = Path::new(OsStr::from_bytes(place.strip_prefix(b"/")?)).to_path_buf();
            // A group outside of what the container sees begins with `..`.
            let inside = place.components().all(|part| matches!(part, Component::Normal(_)));
            Some((controllers.to_vec(), if inside { place } else { PathBuf::new() }))
        };
        Self(lines(text).filter_map(place).collect())
    }

    /// The limit of memory, by whichever version counts it; `root` is where control groups are mounted.
    pub(crate) fn memory(&self, root: &Path) -> Option<MemoryLimit> {
        match self.of(b"memory").is_some() {
            true => self.memory_v1(root),
            false => self.memory_v2(root),
        }
    }

    pub(super) fn unified(&self, root: &Path) -> OwnLimits {
        let groups = self.around(b"", root.to_owned()).collect::<Vec<_>>();
        let memory = self.memory_v2(root);
        OwnLimits {
            memory_used_kib: memory.as_ref().and_then(|memory| memory.used_kib(&mut Vec::new())),
            memory_max_kib: memory.map(|memory| memory.max_kib),
            cpu_max_permille: groups.iter().filter_map(|group| files::cpu_max_v2(group)).min(),
            tasks_max: groups.iter().filter_map(|group| files::file_number(&group.join("pids.max"))).min(),
        }
    }

    pub(super) fn legacy(&self, root: &Path) -> OwnLimits {
        let groups = |controller: &'static str| self.around(controller.as_bytes(), root.join(controller));
        let memory = self.memory_v1(root);
        OwnLimits {
            memory_used_kib: memory.as_ref().and_then(|memory| memory.used_kib(&mut Vec::new())),
            memory_max_kib: memory.map(|memory| memory.max_kib),
            cpu_max_permille: groups("cpu").filter_map(|group| files::cpu_max_v1(&group)).min(),
            tasks_max: groups("pids").filter_map(|group| files::file_number(&group.join("pids.max"))).min(),
        }
    }

    fn memory_v2(&self, root: &Path) -> Option<MemoryLimit> {
        let limit = |group: PathBuf| {
            let max_kib = files::file_number(&group.join("memory.max"))? / 1024;
            let (usage, stat) = (group.join("memory.current"), group.join("memory.stat"));
            Some(MemoryLimit { max_kib, usage, stat, reclaimable: files::RECLAIMABLE_V2 })
        };
        self.around(b"", root.to_owned()).filter_map(limit).min_by_key(|limit| limit.max_kib)
    }

    fn memory_v1(&self, root: &Path) -> Option<MemoryLimit> {
        let limit = |group: PathBuf| {
            let max_kib = files::memory_max_v1(&group)?;
            let (usage, stat) = (group.join("memory.usage_in_bytes"), group.join("memory.stat"));
            Some(MemoryLimit { max_kib, usage, stat, reclaimable: files::RECLAIMABLE_V1 })
        };
        self.around(b"memory", root.join("memory")).filter_map(limit).min_by_key(|limit| limit.max_kib)
    }

    /// The agent's group of a controller and all around it, the root included.
    fn around(&self, controller: &[u8], root: PathBuf) -> impl Iterator<Item = PathBuf> + use<'_> {
        self.of(controller).into_iter().flat_map(Path::ancestors).map(move |place| root.join(place))
    }

    /// The agent's group of a controller.
    fn of(&self, controller: &[u8]) -> Option<&Path> {
        let has = |controllers: &[u8]| controllers.split(|byte| *byte == b',').any(|one| one == controller);
        self.0.iter().find(|(controllers, _)| has(controllers)).map(|(_, place)| place.as_path())
    }
}

impl MemoryLimit {
    /// What is in use of it, without what the kernel can take back, as it does before it ends a program: files that were read once fill
    /// up any limit. `None` if that cannot be read.
    pub(crate) fn used_kib(&self, buffer: &mut Vec<u8>) -> Option<u64> {
        let used = number(read_file(&self.usage, buffer).ok()?.trim_ascii())? / 1024;
        Some(used.saturating_sub(files::reclaimable(&self.stat, self.reclaimable, buffer).unwrap_or(0)))
    }
}
