//! Memory from `/proc/meminfo` and `/proc/vmstat` (proc_meminfo(5), proc_vmstat(5)), and the limit of the agent's own
//! control group.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{diagnostics::Memory, time::Moment};

use crate::{
    gaps::Gaps,
    groups::own::{MemoryLimit, OwnPlaces},
    rates::per_second_u32,
    text::{KernelFile, values},
};

/// How old the limit of the control group may be: it can be changed while its processes run, but seldom is.
const LIMIT_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct MemoryFiles {
    meminfo: KernelFile,
    vmstat: KernelFile,
    page_kib: u64,
    /// Pages swapped in and out, and major faults, when last read.
    before: Option<[u64; 3]>,
    limit: Option<MemoryLimit>,
    limit_read: Option<Moment>,
    proc: PathBuf,
    groups: PathBuf,
}

impl MemoryFiles {
    pub(crate) fn new(proc: &Path, sys: &Path, page_kib: u64) -> Self {
        Self {
            meminfo: KernelFile::new(proc.join("meminfo")),
            vmstat: KernelFile::new(proc.join("vmstat")),
            page_kib,
            before: None,
            limit: None,
            limit_read: None,
            proc: proc.to_owned(),
            groups: sys.join("fs/cgroup"),
        }
    }

    pub(crate) fn read(&mut self, interval: Duration, now: Moment, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Memory {
        let mut memory = Memory::default();
        match self.meminfo.read(buffer) {
            Ok(text) => read_totals(text, &mut memory),
            Err(error) => gaps.note_error("memory", &error),
        }
        match self.vmstat.read(buffer) {
            Ok(text) => {
                let events = values(text, ["pswpin", "pswpout", "pgmajfault", "oom_kill"]);
                self.read_events(events, interval, &mut memory, gaps);
            }
            Err(error) => gaps.note_error("swap rates", &error),
        }
        if self.limit_read.is_none_or(|read| now - read >= LIMIT_EVERY) {
            self.limit_read = Some(now);
            self.limit = OwnPlaces::read(&self.proc).memory(&self.groups);
        }
        if let Some(limit) = self.limit.as_ref().filter(|limit| limit.max_kib < memory.total_kib) {
            memory.limit_kib = limit.max_kib;
            match limit.used_kib(buffer) {
                Some(used) => memory.limit_used_kib = used,
                None => gaps.note("control group", "what is in use of its limit cannot be read"),
            }
        }
        memory
    }

    fn read_events(&mut self, events: [Option<u64>; 4], interval: Duration, memory: &mut Memory, gaps: &mut Gaps) {
        let [swapped_in, swapped_out, faults, kills] = events;
        let now = [swapped_in, swapped_out, faults].map(|count| count.unwrap_or(0));
        let before = self.before.replace(now).unwrap_or(now);
        let [swapped_in, swapped_out, faults] = std::array::from_fn(|place| now[place].saturating_sub(before[place]));
        let kib = |pages: u64| per_second_u32(pages.saturating_mul(self.page_kib), interval);
        memory.swap_in_kib_s = kib(swapped_in);
        memory.swap_out_kib_s = kib(swapped_out);
        memory.major_faults_s = per_second_u32(faults, interval);
        match kills {
            Some(kills) => memory.oom_kills = kills,
            None => gaps.note("memory kills", "this kernel does not count them"),
        }
    }
}

fn read_totals(text: &[u8], memory: &mut Memory) {
    let keys = [
        "MemTotal",
        "MemAvailable",
        "MemFree",
        "Buffers",
        "Cached",
        "Dirty",
        "SwapTotal",
        "SwapFree",
        "HardwareCorrupted",
    ];
    let [total, available, free, buffers, cached, dirty, swap_total, swap_free, corrupted] = values(text, keys);
    // Kernels before 3.14 and some containers do not say what is available.
    let estimate = || [free, buffers, cached].into_iter().flatten().fold(0, u64::saturating_add);
    memory.total_kib = total.unwrap_or(0);
    memory.available_kib = available.unwrap_or_else(estimate).min(memory.total_kib);
    memory.dirty_kib = dirty.unwrap_or(0);
    memory.corrupted_kib = corrupted.unwrap_or(0);
    memory.swap_total_kib = swap_total.unwrap_or(0);
    memory.swap_used_kib = memory.swap_total_kib.saturating_sub(swap_free.unwrap_or(memory.swap_total_kib));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;

    fn totals(text: &[u8]) -> Memory {
        let mut memory = Memory::default();
        read_totals(text, &mut memory);
        memory
    }

    #[test]
    fn memory_that_old_kernels_do_not_call_available_is_estimated() {
        let memory = totals(b"MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 200 kB\n");
        assert_eq!((memory.total_kib, memory.available_kib), (1000, 350));
    }

    #[test]
    fn files_that_were_read_once_do_not_use_up_a_limit() {
        let machine = TestMachine::new(&[
            ("proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 3000000 kB\n"),
            ("proc/self/cgroup", "0::/service\n"),
            ("sys/fs/cgroup/service/memory.max", "134217728\n"),
            ("sys/fs/cgroup/service/memory.current", "134135808\n"),
            ("sys/fs/cgroup/service/memory.stat", "anon 1495040\nfile 131760128\nshmem 0\nslab_reclaimable 756336\n"),
        ]);
        let read = || {
            let mut files = MemoryFiles::new(&machine.path("proc"), &machine.path("sys"), 4);
            let memory = files.read(Duration::ZERO, Moment::default(), &mut Vec::new(), &mut Gaps::default());
            (memory.limit_kib, memory.limit_used_kib)
        };
        assert_eq!(read(), (131_072, 1582));
        // Shared memory is counted among the files, and cannot be taken back.
        machine.write("sys/fs/cgroup/service/memory.stat", "file 131760128\nshmem 131760128\nslab_reclaimable 0\n");
        assert_eq!(read(), (131_072, 130_992));
        machine.write("sys/fs/cgroup/service/memory.stat", "");
        assert_eq!(read(), (131_072, 130_992), "where nothing tells, all of it counts");
    }

    #[test]
    fn available_is_never_more_than_there_is() {
        assert_eq!(totals(b"MemTotal: 1000 kB\nMemAvailable: 4000 kB\n").available_kib, 1000);
        assert_eq!(totals(b"SwapTotal: 10 kB\nSwapFree: 40 kB\n").swap_used_kib, 0);
    }
}
