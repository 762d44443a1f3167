//! One process in full (proc(5)): where it stands, what it holds and what it may use. Its environment is never opened, and its
//! arguments only by [`super::arguments`].

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use wire::{
    diagnostics::sections::process::{
        Limit, MAX_CHILDREN, MAX_FILES, MAX_PARENTS, MAX_THREADS, OpenFiles, Process, ProcessIo, ProcessMemory,
        Relative, Resource, Thread,
    },
    text::Label,
    time::WallTime,
};

use super::{
    hidden::{HIDDEN, are_hidden},
    owners::Owners,
    stat::Stat,
};
use crate::{
    manifest::Manifest,
    roots::Roots,
    text::{fields, first_line, lines, number, read_file, signed, values},
};

/// Processes that are looked at for children.
const MAX_LOOKED_AT: usize = 32_768;

/// Threads that are looked at: each costs some ten microseconds.
const MAX_THREADS_LOOKED_AT: u32 = 8192;

/// Reads the process `pid`, if it is the one that started at `wanted_ticks`; without that, whichever has the number now. `None` if it
/// has ended.
pub(crate) fn read(roots: &Roots, pid: u32, wanted_ticks: Option<u64>, manifest: &mut Manifest) -> Option<Process> {
    let clock = rustix::param::clock_ticks_per_second().max(1);
    let one = One { proc: &roots.proc, folder: roots.proc.join(pid.to_string()), clock };
    let stat = match one.stat(&one.folder) {
        Err(_) if pid != std::process::id() && are_hidden(&roots.proc) => {
            manifest.missing("stat", &format!("it has ended, or is another user's: {HIDDEN}"));
            return None;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            manifest.missing("stat", "the process has ended");
            return None;
        }
        stat => manifest.keep("stat", stat)?,
    };
    let start_ticks = stat.start_ticks;
    if wanted_ticks.is_some_and(|wanted| wanted != start_ticks) {
        manifest.missing("stat", "the process has ended, and its number is used by another");
        return None;
    }
    let mut buffer = Vec::new();
    let status = manifest.keep("status", read_file(&one.folder.join("status"), &mut buffer)).unwrap_or_default();
    let [resident_kib, swapped_kib, virtual_kib] = values(status, ["VmRSS", "VmSwap", "VmSize"]);
    let user = lines(status).find_map(|line| fields(line.strip_prefix(b"Uid:")?).nth(1).and_then(number));
    let owner = user.and_then(|user| u32::try_from(user).ok()).map(|user| Owners::new(&roots.etc).name(user));
    let (threads_total, threads) = one.threads(manifest);
    let mut process = Process {
        pid,
        start_ticks,
        started_at: one.started_at(start_ticks),
        name: stat.name.label(),
        owner: owner.unwrap_or_default(),
        state: char::from(stat.state),
        waits_in: one.line("wchan").filter(|place| place.raw() != "0").unwrap_or_default(),
        cpu_ms: one.millis(stat.ticks),
        nice: stat.nice,
        parents: one.parents(&stat),
        children: one.children(pid, manifest),
        threads_total,
        threads,
        executable: one.target("exe", manifest),
        folder: one.target("cwd", manifest),
        group: one.group(),
        memory: ProcessMemory {
            resident_kib: resident_kib.unwrap_or(0),
            proportional_kib: one.proportional_kib(manifest),
            swapped_kib,
            virtual_kib: virtual_kib.unwrap_or(0),
        },
        files: one.files(manifest),
        limits: one.limits(manifest),
        io: one.io(manifest),
        oom_score: one.figure("oom_score").and_then(|score| u32::try_from(score).ok()),
        oom_adjustment: one.figure("oom_score_adj").and_then(|score| i32::try_from(score).ok()),
    };
    // All that was read by its number may be of another by now.
    match one.stat(&one.folder) {
        Ok(stat) if stat.start_ticks == start_ticks => Some(process),
        Ok(_) => None,
        Err(_) => {
            manifest.partial("stat", "the process ended meanwhile");
            process.state = 'X';
            Some(process)
        }
    }
}

/// The folder of one process.
struct One<'r> {
    proc: &'r Path,
    folder: PathBuf,
    /// Clock ticks in a second.
    clock: u64,
}

impl One<'_> {
    fn stat(&self, folder: &Path) -> io::Result<Stat> {
        let mut buffer = Vec::new();
        Stat::parse(read_file(&folder.join("stat"), &mut buffer)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    fn millis(&self, ticks: u64) -> u64 {
        ticks.saturating_mul(1000) / self.clock
    }

    fn line(&self, file: &str) -> Option<Label> {
        first_line(&self.folder.join(file)).map(|line| Label::cut(&line))
    }

    fn figure(&self, file: &str) -> Option<i64> {
        signed(first_line(&self.folder.join(file))?.as_bytes())
    }

    /// The time of the machine's start by its own clock, and the ticks since.
    fn started_at(&self, start_ticks: u64) -> Option<WallTime> {
        let mut buffer = Vec::new();
        let [booted] = values(read_file(&self.proc.join("stat"), &mut buffer).ok()?, ["btime"]);
        Some(WallTime(booted?.saturating_mul(1000).saturating_add(self.millis(start_ticks))))
    }

    /// A process cannot be above itself, but between two readings a number can be used again.
    fn parents(&self, stat: &Stat) -> Vec<Relative> {
        let mut parents = Vec::<Relative>::new();
        let mut next = stat.parent;
        while next > 0 && parents.len() < MAX_PARENTS && parents.iter().all(|above| above.pid != next) {
            let Ok(above) = self.stat(&self.proc.join(next.to_string())) else { break };
            parents.push(Relative { pid: next, name: above.name.label() });
            next = above.parent;
        }
        parents
    }

    fn children(&self, pid: u32, manifest: &mut Manifest) -> Vec<Relative> {
        let Some(entries) = manifest.keep("processes", fs::read_dir(self.proc)) else { return Vec::new() };
        let mut children = BTreeMap::new();
        for (looked_at, entry) in entries.filter_map(io::Result::ok).enumerate() {
            if looked_at >= MAX_LOOKED_AT {
                manifest.partial("processes", &format!("there are more than the {MAX_LOOKED_AT} that are looked at"));
                break;
            }
            let Some(child) = number_of(&entry) else { continue };
            if let Ok(stat) = self.stat(&entry.path())
                && stat.parent == pid
            {
                children.insert(child, stat.name.label());
            }
        }
        let mut children = children.into_iter().map(|(pid, name)| Relative { pid, name }).collect::<Vec<_>>();
        manifest.bound("children", &mut children, MAX_CHILDREN);
        children
    }

    /// How many there are, and those to look at: that are stuck, and that used the processor most.
    fn threads(&self, manifest: &mut Manifest) -> (u32, Vec<Thread>) {
        let tasks = manifest.keep("threads", fs::read_dir(self.folder.join("task")));
        let mut total = 0;
        let mut threads = Vec::new();
        for entry in tasks.into_iter().flatten().filter_map(io::Result::ok) {
            total += 1;
            if total > MAX_THREADS_LOOKED_AT {
                continue;
            }
            let Some((tid, stat)) = number_of(&entry).zip(self.stat(&entry.path()).ok()) else { continue };
            let state = char::from(stat.state);
            threads.push(Thread { tid, name: stat.name.label(), state, cpu_ms: self.millis(stat.ticks) });
        }
        if total > MAX_THREADS_LOOKED_AT {
            manifest.partial("threads", &format!("only {MAX_THREADS_LOOKED_AT} of {total} were looked at"));
        }
        threads.sort_by_key(|thread| (thread.state != 'D', Reverse(thread.cpu_ms), thread.tid));
        manifest.bound("threads", &mut threads, MAX_THREADS);
        threads.sort_by_key(|thread| thread.tid);
        (total, threads)
    }

    /// Where a link of the process leads to.
    fn target(&self, link: &str, manifest: &mut Manifest) -> Option<Label> {
        let target = fs::read_link(self.folder.join(link));
        let target = match target {
            // A worker of the kernel has no program.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            target => manifest.keep(link, target)?,
        };
        Some(Label::cut(&target.to_string_lossy()))
    }

    fn group(&self) -> Label {
        let mut buffer = Vec::new();
        let groups = read_file(&self.folder.join("cgroup"), &mut buffer).unwrap_or_default();
        let group = lines(groups).find_map(|line| line.strip_prefix(b"0::")).unwrap_or_default();
        Label::cut(&String::from_utf8_lossy(group))
    }

    fn proportional_kib(&self, manifest: &mut Manifest) -> Option<u64> {
        let mut buffer = Vec::new();
        let rollup = match read_file(&self.folder.join("smaps_rollup"), &mut buffer) {
            // A worker of the kernel has no memory of its own.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return None,
            rollup => manifest.keep("smaps_rollup", rollup)?,
        };
        let [proportional] = values(rollup, ["Pss"]);
        proportional
    }

    /// Only what kind each file is of: what they are called may tell what somebody works on. The files themselves are not touched,
    /// for they may lie where nobody answers any more; the kernel says of a link whether its file was deleted.
    fn files(&self, manifest: &mut Manifest) -> Option<OpenFiles> {
        let entries = manifest.keep("fd", fs::read_dir(self.folder.join("fd")))?;
        let mut files = OpenFiles::default();
        for entry in entries.filter_map(io::Result::ok).take(MAX_FILES) {
            files.total += 1;
            let Ok(target) = fs::read_link(entry.path()) else { continue };
            let target = target.as_os_str().as_encoded_bytes();
            let kind = if target.starts_with(b"socket:") {
                &mut files.sockets
            } else if target.starts_with(b"pipe:") {
                &mut files.pipes
            } else if target.starts_with(b"anon_inode:") {
                &mut files.kernel
            } else if target.ends_with(b" (deleted)") {
                &mut files.deleted
            } else {
                &mut files.files
            };
            *kind += 1;
        }
        Some(files)
    }

    fn limits(&self, manifest: &mut Manifest) -> Vec<Limit> {
        let mut buffer = Vec::new();
        let text = manifest.keep("limits", read_file(&self.folder.join("limits"), &mut buffer)).unwrap_or_default();
        lines(text).filter_map(limit).collect()
    }

    fn io(&self, manifest: &mut Manifest) -> Option<ProcessIo> {
        let mut buffer = Vec::new();
        let text = manifest.keep("io", read_file(&self.folder.join("io"), &mut buffer))?;
        let keys = ["read_bytes", "write_bytes", "cancelled_write_bytes", "rchar", "wchar"];
        let [read_kib, written_kib, cancelled_kib, received_kib, sent_kib] =
            values(text, keys).map(|bytes| bytes.unwrap_or(0) / 1024);
        Some(ProcessIo { read_kib, written_kib, cancelled_kib, received_kib, sent_kib })
    }
}

fn number_of(entry: &fs::DirEntry) -> Option<u32> {
    u32::try_from(number(entry.file_name().as_encoded_bytes())?).ok()
}

/// One line of `/proc/<pid>/limits`: `Max open files            1024                 524288               files`.
fn limit(line: &[u8]) -> Option<Limit> {
    let resources = [
        ("Max cpu time", Resource::CpuSeconds),
        ("Max file size", Resource::FileBytes),
        ("Max stack size", Resource::StackBytes),
        ("Max core file size", Resource::CoreBytes),
        ("Max processes", Resource::Processes),
        ("Max open files", Resource::OpenFiles),
        ("Max locked memory", Resource::LockedBytes),
        ("Max address space", Resource::AddressBytes),
    ];
    let (name, resource) = resources.into_iter().find(|(name, _)| line.starts_with(name.as_bytes()))?;
    let mut figures = fields(line.get(name.len()..)?);
    let mut bound = || match figures.next()? {
        b"unlimited" => Some(None),
        figure => Some(Some(number(figure)?)),
    };
    Some(Limit { resource, soft: bound()?, hard: bound()? })
}

#[cfg(test)]
mod tests;
