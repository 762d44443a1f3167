//! Finding and killing a process tree (Linux).
//!
//! The tree of a process is everything that descends from it now. Under a child subreaper (`prctl(2)`) that includes processes
//! that detached from their parents, so nothing escapes by forking twice or by starting a session of its own.

use std::{collections::BTreeSet, fs, io, path::Path};

use rustix::process::{Pid, Signal};

/// One process as far as trees are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    pid: i32,
    parent: i32,
    resident_pages: u64,
    state: u8,
}

/// Every process below `root`, without `root` itself; zombies left out.
///
/// # Errors
///
/// If `/proc` cannot be read at all.
pub fn descendants(root: Pid) -> io::Result<Vec<Pid>> {
    let entries = below(root)?;
    Ok(entries.iter().filter(|entry| entry.state != b'Z').filter_map(|entry| Pid::from_raw(entry.pid)).collect())
}

/// Whether nobody is left below `root`; zombies do not count.
///
/// A look at `/proc` is not a moment: a process that was read before its parent ended is linked to nobody, if its parent's number
/// comes after its own. By a second look it has its new parent.
///
/// # Errors
///
/// As [`descendants`].
pub fn is_gone(root: Pid) -> io::Result<bool> {
    Ok(descendants(root)?.is_empty() && descendants(root)?.is_empty())
}

/// The children of `parent` alone; zombies included, since they are somebody's to wait for.
///
/// # Errors
///
/// As [`descendants`].
pub fn children(parent: Pid) -> io::Result<Vec<Pid>> {
    let all = entries(Path::new("/proc"))?;
    let own = all.iter().filter(|entry| entry.parent == parent.as_raw_nonzero().get());
    Ok(own.filter_map(|entry| Pid::from_raw(entry.pid)).collect())
}

/// Whether a process can never gain rights (`PR_SET_NO_NEW_PRIVS`, `proc_pid_status(5)`), as everything below a runner.
pub fn is_confined(process: Pid) -> bool {
    let status = fs::read(format!("/proc/{}/status", process.as_raw_nonzero())).unwrap_or_default();
    status.split(|byte| *byte == b'\n').any(|line| line == b"NoNewPrivs:\t1")
}

/// How large a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Processes, zombies left out.
    pub processes: usize,
    /// Resident memory in bytes. Shared pages count once for each process.
    pub resident_bytes: u64,
}

/// How large the tree below `root` is, without `root` itself.
///
/// # Errors
///
/// As [`descendants`].
pub fn size(root: Pid) -> io::Result<Size> {
    let entries = below(root)?;
    let pages = entries.iter().map(|entry| entry.resident_pages).sum::<u64>();
    let page_bytes = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let processes = entries.iter().filter(|entry| entry.state != b'Z').count();
    Ok(Size { processes, resident_bytes: pages.saturating_mul(page_bytes) })
}

/// Sends `signal` to every process below `root` once. Processes that may not be signalled are passed over.
///
/// # Errors
///
/// As [`descendants`].
pub fn signal(root: Pid, signal: Signal) -> io::Result<()> {
    for pid in descendants(root)? {
        // It may be gone by now; the caller looks again.
        let _ = rustix::process::kill_process(pid, signal);
    }
    Ok(())
}

/// Kills everything below `root`: first everything is stopped until a look finds nobody new, so that nobody can fork away, then
/// everything is killed.
///
/// Zombies are the caller's to reap.
///
/// # Errors
///
/// As [`descendants`].
pub fn kill(root: Pid) -> io::Result<()> {
    /// A tree that grows faster than it can be stopped is killed all the same, and the caller looks again.
    const LOOKS: usize = 16;
    let mut stopped = BTreeSet::new();
    for _ in 0..LOOKS {
        let mut anybody_new = false;
        for pid in descendants(root)? {
            if stopped.insert(pid.as_raw_nonzero()) {
                anybody_new = true;
                let _ = rustix::process::kill_process(pid, Signal::STOP);
            }
        }
        if !anybody_new {
            break;
        }
    }
    signal(root, Signal::KILL)
}

fn below(root: Pid) -> io::Result<Vec<Entry>> {
    let all = entries(Path::new("/proc"))?;
    let mut known = BTreeSet::from([root.as_raw_nonzero().get()]);
    let mut found = Vec::new();
    // A child's number may be lower than its parent's, so look until nothing is added.
    loop {
        let before = found.len();
        for entry in &all {
            if known.contains(&entry.parent) && known.insert(entry.pid) {
                found.push(*entry);
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

fn entries(proc: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for folder in fs::read_dir(proc)? {
        let folder = folder?;
        if !folder.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            continue;
        }
        // A process may end between the listing and the reading.
        if let Ok(stat) = fs::read(folder.path().join("stat")) {
            entries.extend(parse(&stat));
        }
    }
    Ok(entries)
}

/// Reads `/proc/<pid>/stat` (proc_pid_stat(5)): the name is between the first `(` and the last `)` and may contain either.
fn parse(stat: &[u8]) -> Option<Entry> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(stat.get(..open)?).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let fields = rest.split_ascii_whitespace().collect::<Vec<_>>();
    // Field 3 of the manual page is the first one here.
    Some(Entry {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        resident_pages: fields.get(21)?.parse().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse_the_parser() {
        let line = b"42 (a) b) (c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99 1000 33 18446744073709551615";
        assert_eq!(parse(line), Some(Entry { pid: 42, parent: 7, resident_pages: 33, state: b'S' }));
        assert_eq!(parse(b"42 (cut"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let parent = rustix::process::getppid().unwrap();
        assert!(descendants(parent).unwrap().contains(&rustix::process::getpid()));
        let size = size(parent).unwrap();
        assert!(size.processes >= 1 && size.resident_bytes > 100_000, "{size:?}");
    }
}
