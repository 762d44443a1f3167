//! Processes that a bench puts on the machine, and what a tree of processes takes of it.

use std::{fs, time::Duration};

use anyhow::Context as _;
use testkit::tree::Usage;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::process::command;

/// Starts processes that do nothing but be there, until they are dropped.
pub(super) fn sleepers(count: usize) -> anyhow::Result<Vec<Child>> {
    (0..count).map(|_| background(["sleep", "3600"])).collect()
}

/// As many as are missing until the machine has `total` processes.
pub(super) fn sleepers_up_to(total: usize) -> anyhow::Result<Vec<Child>> {
    let entries = fs::read_dir("/proc").context("/proc cannot be read")?.filter_map(Result::ok);
    let present = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()));
    sleepers(total.saturating_sub(present.count()))
}

/// Starts processes one after the other, some 150 a second, of which half live for less than half a second and the others for ten
/// milliseconds, until it is dropped.
pub(super) fn churn() -> anyhow::Result<Child> {
    background(["sh", "-c", "while :; do sleep 0.4 & sleep 0.01; done"])
}

fn background<'a>(words: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Child> {
    let mut words = words.into_iter();
    let program = words.next().context("a command has a word")?;
    let mut child = Command::from(command(program));
    child.args(words).kill_on_drop(true);
    child.spawn().with_context(|| format!("{program} does not start"))
}

/// What a tree of processes took of one processor over some time, in percent, and its memory at the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) processor_percent: f64,
    pub(super) resident_bytes: f64,
}

/// Measures several trees over the same time, by the process that each begins with.
pub(super) async fn taken(roots: &[u32], window: Duration) -> anyhow::Result<Vec<Taken>> {
    let all = || roots.iter().map(|root| usage(*root)).collect::<anyhow::Result<Vec<_>>>();
    let (before, start) = (all()?, Instant::now());
    sleep(window).await;
    let (after, seconds) = (all()?, start.elapsed().as_secs_f64());
    let both = before.iter().zip(&after);
    Ok(both
        .map(|(before, after)| {
            let used = processor(after).saturating_sub(processor(before));
            Taken {
                processor_percent: 100.0 * used.as_secs_f64() / seconds,
                resident_bytes: after.resident_bytes as f64,
            }
        })
        .collect())
}

/// Processor time of the programs that a tree has run to their end.
pub(super) fn taken_by_programs(root: u32) -> anyhow::Result<Duration> {
    Ok(usage(root)?.ended_children)
}

/// The most memory that a process has had at once, in bytes (`VmHWM`, `proc_pid_status(5)`).
pub(super) fn highest_resident(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel tells no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0)
}

fn usage(root: u32) -> anyhow::Result<Usage> {
    Usage::of_tree(root)?.context("a process that is measured ended")
}

/// With that of the programs that it ran meanwhile.
fn processor(usage: &Usage) -> Duration {
    usage.processor + usage.ended_children
}
