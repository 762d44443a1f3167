//! What the kernel has only so much of: files (`/proc/sys/fs/file-nr`), followed connections (`/proc/sys/net/netfilter`), and
//! tasks (`/proc/loadavg` against the smaller of `pid_max` and `threads-max`). See the kernel's
//! `Documentation/admin-guide/sysctl` and `Documentation/networking/nf_conntrack-sysctl.rst`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{diagnostics::Limits, time::Moment};

use crate::{
    gaps::Gaps,
    text::{KernelFile, fields, first_line, number},
};

/// How old the bounds may be: they are settings.
const BOUNDS_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct LimitFiles {
    files: KernelFile,
    tracked: KernelFile,
    tracked_most: PathBuf,
    kernel: PathBuf,
    bounds_read: Option<Moment>,
    tracked_bound: u32,
    tasks_bound: u32,
}

impl LimitFiles {
    pub(crate) fn new(proc: &Path) -> Self {
        let netfilter = proc.join("sys/net/netfilter");
        Self {
            files: KernelFile::new(proc.join("sys/fs/file-nr")),
            tracked: KernelFile::new(netfilter.join("nf_conntrack_count")),
            tracked_most: netfilter.join("nf_conntrack_max"),
            kernel: proc.join("sys/kernel"),
            bounds_read: None,
            tracked_bound: 0,
            tasks_bound: 0,
        }
    }

    /// `tasks`: how many there are, as the load's file says. A kernel that follows no connections is not at fault.
    pub(crate) fn read(&mut self, tasks: u32, now: Moment, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Limits {
        if self.bounds_read.is_none_or(|read| now - read >= BOUNDS_EVERY) {
            self.bounds_read = Some(now);
            self.read_bounds();
        }
        let mut limits = Limits { tasks, tasks_most: self.tasks_bound, ..Limits::default() };
        match self.files.read(buffer) {
            Ok(text) => {
                let mut figures = fields(text).map(number);
                let (allocated, free, most) = (figures.next(), figures.next(), figures.next());
                let figure = |figure: Option<Option<u64>>| figure.flatten().unwrap_or(0);
                limits.files = figure(allocated).saturating_sub(figure(free));
                // The kernel's way of saying that there is no bound.
                limits.files_most = Some(figure(most)).filter(|most| *most < i64::MAX as u64).unwrap_or(0);
            }
            Err(error) => gaps.note_error("open files", &error),
        }
        if self.tracked_bound > 0 {
            let count = self.tracked.read(buffer).ok().and_then(|text| fields(text).next().and_then(number));
            limits.tracked = u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX);
            limits.tracked_most = self.tracked_bound;
        }
        limits
    }

    fn read_bounds(&mut self) {
        let figure = |path: &Path| number(first_line(path)?.as_bytes()).and_then(|most| u32::try_from(most).ok());
        self.tracked_bound = figure(&self.tracked_most).unwrap_or(0);
        let tasks = ["pid_max", "threads-max"].into_iter().filter_map(|name| figure(&self.kernel.join(name)));
        self.tasks_bound = tasks.min().unwrap_or(0);
    }
}
