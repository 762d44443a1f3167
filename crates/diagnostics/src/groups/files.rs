//! The files of one control group: version 2 (the kernel's `Documentation/admin-guide/cgroup-v2.rst`) and version 1
//! (`Documentation/admin-guide/cgroup-v1`).

use std::path::Path;

use wire::diagnostics::{
    Pressure,
    sections::groups::{ControlGroup, GroupCpu, MemoryEvents},
};

use crate::{
    pressure::linux::{Stalls, pressure},
    text::{fields, first_line, number, read_file, values},
};

/// What `memory.stat` calls cache, the shared memory in it, and slabs that can be taken back.
pub(super) const RECLAIMABLE_V2: [&str; 3] = ["file", "shmem", "slab_reclaimable"];
/// As [`RECLAIMABLE_V2`].
pub(super) const RECLAIMABLE_V1: [&str; 3] = ["total_cache", "total_shmem", "total_slab_reclaimable"];

/// What version 1 says where there is no limit: the largest number of bytes that is a multiple of the page size, or near it.
const NO_LIMIT_V1: u64 = 1 << 62;

/// Memory in use, in bytes; `None` where the group does not count it.
pub(super) fn memory_v2(group: &Path) -> Option<u64> {
    file_number(&group.join("memory.current"))
}

/// As [`memory_v2`].
pub(super) fn memory_v1(group: &Path) -> Option<u64> {
    file_number(&group.join("memory.usage_in_bytes"))
}

/// All figures of the group in a folder of version 2, without its name.
pub(super) fn group_v2(group: &Path) -> ControlGroup {
    let mut buffer = Vec::new();
    let kib = |file: &str| file_number(&group.join(file)).map(|bytes| bytes / 1024);
    let memory_events = read_file(&group.join("memory.events"), &mut buffer).ok().map(|text| {
        let [high, max, oom, oom_kills] =
            values(text, ["high", "max", "oom", "oom_kill"]).map(Option::unwrap_or_default);
        MemoryEvents { high, max, oom, oom_kills }
    });
    let cpu = read_file(&group.join("cpu.stat"), &mut buffer).ok().map(|text| {
        let names = ["usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec"];
        let [usage, user, system, periods, throttled_periods, throttled] = values(text, names);
        let ms = |micros: Option<u64>| micros.map(|micros| micros / 1000);
        GroupCpu {
            usage_ms: ms(usage).unwrap_or(0),
            user_ms: ms(user),
            system_ms: ms(system),
            max_permille: cpu_max_v2(group),
            periods: periods.unwrap_or(0),
            throttled_periods: throttled_periods.unwrap_or(0),
            throttled_ms: ms(throttled).unwrap_or(0),
        }
    });
    ControlGroup {
        memory_kib: kib("memory.current").unwrap_or(0),
        reclaimable_kib: reclaimable(&group.join("memory.stat"), RECLAIMABLE_V2, &mut buffer),
        swap_kib: kib("memory.swap.current"),
        memory_high_kib: kib("memory.high"),
        memory_max_kib: kib("memory.max"),
        memory_events,
        cpu,
        pressure: pressure_v2(group),
        tasks: file_number(&group.join("pids.current")),
        tasks_max: file_number(&group.join("pids.max")),
        ..ControlGroup::default()
    }
}

/// What the kernel can take back, in KiB, by the group's `memory.stat`.
pub(super) fn reclaimable(stat: &Path, names: [&str; 3], buffer: &mut Vec<u8>) -> Option<u64> {
    let text = read_file(stat, buffer).ok()?;
    let [cache, shared, slabs] = values(text, names);
    Some(cache?.saturating_sub(shared.unwrap_or(0)).saturating_add(slabs.unwrap_or(0)) / 1024)
}

/// `cpu.max` is a share and a period in microseconds, or `max` and a period.
pub(super) fn cpu_max_v2(group: &Path) -> Option<u32> {
    let line = first_line(&group.join("cpu.max"))?;
    let mut figures = fields(line.as_bytes()).map(number);
    share(figures.next()??, figures.next()??)
}

fn share(quota: u64, period: u64) -> Option<u32> {
    u32::try_from(quota.saturating_mul(1000).checked_div(period)?).ok()
}

/// Each kind of pressure that the kernel counts for the group; `None` if it is none.
fn pressure_v2(group: &Path) -> Option<Pressure> {
    let mut buffer = Vec::new();
    let mut stalls = |file: &str| read_file(&group.join(file), &mut buffer).ok().map(Stalls::parse);
    let kinds = [stalls("cpu.pressure"), stalls("memory.pressure"), stalls("io.pressure")];
    if kinds.iter().all(Option::is_none) {
        return None;
    }
    let [cpu, memory, io] = kinds.map(Option::unwrap_or_default);
    Some(pressure(&cpu, &memory, &io))
}

/// All figures of the group at the same place under each controller of version 1, without its name. Pressure, and a limit that
/// slows down, it does not have.
pub(super) fn group_v1(controllers: &Path, place: &Path) -> ControlGroup {
    let mut buffer = Vec::new();
    let of = |controller: &str| controllers.join(controller).join(place);
    let memory = of("memory");
    let kills = read_file(&memory.join("memory.oom_control"), &mut buffer).ok();
    let [oom_kills] = kills.map_or([None], |text| values(text, ["oom_kill"]));
    let max = file_number(&memory.join("memory.failcnt"));
    let bytes = file_number(&memory.join("memory.usage_in_bytes")).unwrap_or(0);
    let with_swap = file_number(&memory.join("memory.memsw.usage_in_bytes"));
    ControlGroup {
        memory_kib: bytes / 1024,
        reclaimable_kib: reclaimable(&memory.join("memory.stat"), RECLAIMABLE_V1, &mut buffer),
        swap_kib: with_swap.map(|all| all.saturating_sub(bytes) / 1024),
        memory_max_kib: memory_max_v1(&memory),
        memory_events: (oom_kills.is_some() || max.is_some()).then(|| MemoryEvents {
            max: max.unwrap_or(0),
            oom_kills: oom_kills.unwrap_or(0),
            ..MemoryEvents::default()
        }),
        cpu: cpu_v1(&of("cpu"), &of("cpuacct"), &mut buffer),
        tasks: file_number(&of("pids").join("pids.current")),
        tasks_max: file_number(&of("pids").join("pids.max")),
        ..ControlGroup::default()
    }
}

/// The limit of a group of version 1 in KiB.
pub(super) fn memory_max_v1(group: &Path) -> Option<u64> {
    let bytes = file_number(&group.join("memory.limit_in_bytes"))?;
    (bytes < NO_LIMIT_V1).then_some(bytes / 1024)
}

/// `cpu.cfs_quota_us` is -1 where there is no limit.
pub(super) fn cpu_max_v1(cpu: &Path) -> Option<u32> {
    share(file_number(&cpu.join("cpu.cfs_quota_us"))?, file_number(&cpu.join("cpu.cfs_period_us"))?)
}

fn cpu_v1(cpu: &Path, accounting: &Path, buffer: &mut Vec<u8>) -> Option<GroupCpu> {
    let usage = file_number(&accounting.join("cpuacct.usage"))?;
    let throttling = read_file(&cpu.join("cpu.stat"), buffer).ok();
    let names = ["nr_periods", "nr_throttled", "throttled_time"];
    let [periods, throttled_periods, throttled] = throttling.map_or([None; 3], |text| values(text, names));
    Some(GroupCpu {
        usage_ms: usage / 1_000_000,
        user_ms: None,
        system_ms: None,
        max_permille: cpu_max_v1(cpu),
        periods: periods.unwrap_or(0),
        throttled_periods: throttled_periods.unwrap_or(0),
        throttled_ms: throttled.unwrap_or(0) / 1_000_000,
    })
}

/// A number in a file; `None` for `max`, -1 and anything else.
pub(super) fn file_number(path: &Path) -> Option<u64> {
    number(first_line(path)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn a_service_that_was_throttled_and_lost_a_process_says_so() {
        let tree = Tree::new();
        for (file, content) in [
            ("memory.current", "104857600\n"),
            ("memory.swap.current", "4096\n"),
            ("memory.stat", "anon 52428800\nfile 41943040\nshmem 8388608\nslab_reclaimable 2097152\nslab 3145728\n"),
            ("memory.high", "max\n"),
            ("memory.max", "209715200\n"),
            ("memory.events", "low 0\nhigh 3\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n"),
            (
                "cpu.stat",
                "usage_usec 5000999\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 40\nnr_throttled 9\nthrottled_usec 1500000\n",
            ),
            ("cpu.max", "150000 100000\n"),
            ("memory.pressure", "some avg10=1.50 avg60=0 avg300=0 total=9\nfull avg10=0.25 avg60=0 avg300=0 total=1\n"),
            ("io.pressure", "some avg10=99.99 avg60=0 avg300=0 total=9\nfull avg10=80.00 avg60=0 avg300=0 total=1\n"),
            ("pids.current", "7\n"),
            ("pids.max", "max\n"),
        ] {
            tree.write(file, content);
        }
        let group = group_v2(tree.path());
        assert_eq!((group.memory_kib, group.swap_kib), (102_400, Some(4)));
        assert_eq!(group.reclaimable_kib, Some((40 - 8 + 2) * 1024));
        assert_eq!((group.memory_high_kib, group.memory_max_kib), (None, Some(204_800)));
        assert_eq!(group.memory_events, Some(MemoryEvents { high: 3, max: 17, oom: 2, oom_kills: 1 }));
        let cpu = group.cpu.unwrap();
        assert_eq!((cpu.usage_ms, cpu.user_ms, cpu.max_permille), (5000, Some(3000), Some(1500)));
        assert_eq!((cpu.periods, cpu.throttled_periods, cpu.throttled_ms), (40, 9, 1500));
        let pressure = group.pressure.unwrap();
        assert_eq!((pressure.memory_some_centi, pressure.memory_full_centi), (150, 25));
        assert_eq!((pressure.io_some_centi, pressure.io_full_centi, pressure.cpu_some_centi), (9999, 8000, 0));
        assert_eq!((group.tasks, group.tasks_max), (Some(7), None));
    }

    #[test]
    fn the_older_version_has_limits_in_other_words() {
        let tree = Tree::new();
        for (file, content) in [
            ("memory/x/memory.usage_in_bytes", "1048576\n"),
            ("memory/x/memory.limit_in_bytes", "2097152\n"),
            ("memory/x/memory.stat", "cache 1\nrss 2\ntotal_cache 524288\ntotal_rss 524288\ntotal_shmem 262144\n"),
            ("memory/x/memory.memsw.usage_in_bytes", "1050624\n"),
            ("memory/x/memory.failcnt", "5\n"),
            ("memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("cpuacct/x/cpuacct.usage", "7000000000\n"),
            ("cpu/x/cpu.cfs_quota_us", "-1\n"),
            ("cpu/x/cpu.cfs_period_us", "100000\n"),
            ("cpu/x/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 2000000\n"),
        ] {
            tree.write(file, content);
        }
        let group = group_v1(tree.path(), Path::new("x"));
        assert_eq!((group.memory_kib, group.memory_max_kib, group.swap_kib), (1024, Some(2048), Some(2)));
        assert_eq!(group.reclaimable_kib, Some(256));
        assert_eq!(group.memory_events, Some(MemoryEvents { max: 5, oom_kills: 2, ..MemoryEvents::default() }));
        let cpu = group.cpu.unwrap();
        assert_eq!((cpu.usage_ms, cpu.max_permille, cpu.throttled_ms), (7000, None, 2));
        tree.write("memory/x/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(group_v1(tree.path(), Path::new("x")).memory_max_kib, None);
    }

    #[test]
    fn files_full_of_nonsense_give_no_figures() {
        let tree = Tree::new();
        let files = [
            "memory.current",
            "memory.max",
            "memory.stat",
            "memory.events",
            "cpu.stat",
            "cpu.max",
            "io.pressure",
            "pids.max",
        ];
        for content in ["", "\n", "\0\u{ff}", "max 0\n", "100000 0\n", "-5 -5\n", "99999999999999999999999\n"] {
            files.iter().for_each(|file| tree.write(file, content));
            let group = group_v2(tree.path());
            assert_eq!((group.memory_max_kib, group.tasks_max), (None, None), "{content:?}");
            assert_eq!(group.cpu.unwrap().max_permille, None, "{content:?}");
        }
        tree.write("cpu.max", "18446744073709551615 1\n");
        assert_eq!(cpu_max_v2(tree.path()), None);
    }
}
