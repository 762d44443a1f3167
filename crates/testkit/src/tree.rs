//! Process trees: who is in one, how much it uses, when it is dead. Linux only: everything is read from `/proc`.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    io::{Errno, retry_on_intr},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// How often a process without arguments is looked at before it is taken for one that has none.
const LOOKS: usize = 1000;

/// Some processes at one moment, held so that their numbers cannot be mistaken for later ones.
#[derive(Debug)]
pub struct Tree {
    processes: BTreeMap<u32, OwnedFd>,
}

impl Tree {
    /// `root` and all its descendants.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn of(root: u32) -> anyhow::Result<Self> {
        let mut members = descendants(root)?;
        members.push(root);
        Self::hold(members)
    }

    /// The descendants of `root` without itself.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn below(root: u32) -> anyhow::Result<Self> {
        Self::hold(descendants(root)?)
    }

    /// Every process with an argument that contains `marker`, whoever its parent is: daemons that left their tree.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn marked(marker: &str) -> anyhow::Result<Self> {
        let carries =
            |pid: &u32| String::from_utf8_lossy(&arguments(*pid)).split('\0').any(|argument| argument.contains(marker));
        let own = std::process::id();
        Self::hold(pids()?.into_iter().filter(|pid| *pid != own).filter(carries).collect())
    }

    fn hold(pids: Vec<u32>) -> anyhow::Result<Self> {
        let mut processes = BTreeMap::new();
        for pid in pids.into_iter().filter(|pid| is_alive(*pid)) {
            let number = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process has a positive id")?;
            match pidfd_open(number, PidfdFlags::empty()) {
                Ok(held) => {
                    processes.insert(pid, held);
                }
                // It ended meanwhile.
                Err(Errno::SRCH) => {}
                Err(error) => return Err(error).context("a process cannot be held"),
            }
        }
        Ok(Self { processes })
    }

    /// Process ids, in order.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.keys().copied().collect()
    }

    /// Whether no process was found.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Kills every process of the tree that still lives.
    pub fn kill(&self) {
        for held in self.processes.values() {
            let _ = pidfd_send_signal(held, Signal::KILL);
        }
    }

    /// Waits until every process of the tree has ended; a zombie has.
    ///
    /// # Errors
    ///
    /// When some still live after `patience`, with their numbers and arguments.
    pub async fn wait_dead(self, patience: Duration) -> anyhow::Result<()> {
        tokio::task::spawn_blocking(move || self.wait_dead_blocking(patience)).await?
    }

    fn wait_dead_blocking(mut self, patience: Duration) -> anyhow::Result<()> {
        let patience_left = Timespec::try_from(patience).context("too patient")?;
        while let Some((pid, held)) = self.processes.first_key_value() {
            let pid = *pid;
            // Every child of this process that dies is a signal and interrupts a call that waits.
            let ready = retry_on_intr(|| poll(&mut [PollFd::new(held, PollFlags::IN)], Some(&patience_left)))?;
            if ready == 0 {
                bail!("still alive after {patience:?}: {}", self.describe());
            }
            self.processes.remove(&pid);
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let one = |pid: &u32| {
            let arguments = arguments(*pid);
            format!("{pid} ({})", String::from_utf8_lossy(&arguments).replace('\0', " ").trim_end())
        };
        self.processes.keys().filter(|pid| is_alive(**pid)).map(one).collect::<Vec<_>>().join(", ")
    }
}

/// The arguments of a process, each with a NUL behind it; empty for one that is gone.
///
/// In the middle of execve(2) a process has its new memory but no arguments in it yet, and a child that was just started would be
/// overlooked. So one that lives and has memory of its own, which threads of the kernel have not, is looked at again for a while.
fn arguments(pid: u32) -> Vec<u8> {
    for _ in 0..LOOKS {
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let starting = || Stat::read(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X') && stat.memory_bytes > 0);
        if !arguments.is_empty() || !starting() {
            return arguments;
        }
        std::thread::yield_now();
    }
    Vec::new()
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    Stat::read(pid).is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
}

/// All descendants of a process at this moment, zombies excluded.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn descendants(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut children = BTreeMap::<u32, Vec<u32>>::new();
    for pid in pids()? {
        if let Some(stat) = Stat::read(pid).filter(|stat| !matches!(stat.state, 'Z' | 'X')) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let (mut found, mut unseen) = (Vec::new(), vec![root]);
    while let Some(parent) = unseen.pop() {
        let below = children.remove(&parent).unwrap_or_default();
        unseen.extend(&below);
        found.extend(below);
    }
    Ok(found)
}

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time since its start, user and system.
    pub processor: Duration,
    /// Processor time of its children that have ended and were waited for, and of theirs.
    pub ended_children: Duration,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
}

impl Usage {
    /// Reads it; `None` when the process is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let time = |ticks: u64| Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second);
        let resident_bytes = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
        Some(Self { processor: time(stat.ticks), ended_children: time(stat.ended_children_ticks), resident_bytes })
    }

    /// Adds up the processes from `root` down, with all that have ended there. `None` when `root` is gone.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read.
    pub fn of_tree(root: u32) -> anyhow::Result<Option<Self>> {
        let Some(mut whole) = Self::of(root) else { return Ok(None) };
        for part in descendants(root)?.into_iter().filter_map(Self::of) {
            whole.processor += part.processor;
            whole.ended_children += part.ended_children;
            whole.resident_bytes += part.resident_bytes;
        }
        Ok(Some(whole))
    }
}

/// The few fields of `/proc/PID/stat` that are needed here (proc_pid_stat(5)).
struct Stat {
    state: char,
    parent: u32,
    ticks: u64,
    ended_children_ticks: u64,
    memory_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in the second field may contain blanks and parentheses, so fields count from the last `)`.
    fn parse(line: &str) -> Option<Self> {
        let fields = line.rsplit_once(')')?.1.split_whitespace().collect::<Vec<_>>();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            ticks: number(14)? + number(15)?,
            ended_children_ticks: number(16)? + number(17)?,
            memory_bytes: number(23)?,
            resident_pages: number(24)?,
        })
    }
}

fn pids() -> anyhow::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("/proc cannot be read")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PATIENCE, programs::command, running::Running};

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let line = "42 (a) R (b)) S 7 42 42 0 -1 4194560 1 0 0 0 11 22 3 4 20 0 1 0 5 1000 333 18446744073709551615";
        let stat = Stat::parse(line).unwrap();
        let Stat { state, parent, ticks, ended_children_ticks, memory_bytes, resident_pages } = stat;
        assert_eq!((state, parent, ticks, ended_children_ticks), ('S', 7, 33, 7));
        assert_eq!((memory_bytes, resident_pages), (1000, 333));
    }

    #[tokio::test]
    async fn a_tree_dies_with_all_its_branches() {
        let nap = format!("4711.{}", std::process::id());
        let mut shell = command("/bin/sh");
        shell.args(["-c", &format!("(sleep {nap} & sleep {nap} & echo ready; wait) & wait")]);
        let running = Running::start(shell).unwrap();
        running.wait_for_line("ready", PATIENCE, |line| (line == "ready").then_some(())).await.unwrap();

        let below = Tree::below(running.pid()).unwrap();
        assert_eq!(below.pids().len(), 3);
        assert_eq!(Tree::marked(&nap).unwrap().pids().len(), 4, "two sleeps and both shells that name them");
        assert!(Usage::of(running.pid()).unwrap().resident_bytes > 0);

        drop(running);
        below.wait_dead(PATIENCE).await.unwrap();
    }
}
