//! Control groups: slices, services, containers.

use crate::{closed, diagnostics::Pressure, schema, text::Label};

/// Most groups that are listed: the biggest by memory. What is deeper or smaller is in the figures of those around it.
pub const MAX_GROUPS: usize = 40;

schema! {
    /// Control groups: slices, services, containers.
    pub struct Groups {
        /// Which kind of control groups the machine has.
        technical version: GroupsVersion,
        /// What limits the agent itself: the tightest of the groups around it.
        nested own: OwnLimits,
        /// Groups that were looked at.
        technical seen: u32,
        /// The biggest by memory; at most [`MAX_GROUPS`]. A group contains the figures of the groups inside it.
        nested groups: Vec<ControlGroup>,
    }

    /// What limits the agent's own group and those around it, such as its container. Absent where nothing does.
    #[derive(Copy, Default)]
    pub struct OwnLimits {
        /// Memory.
        technical memory_max_kib: Option<u64>,
        /// Memory in use in the group that has that limit, without what the kernel can take back.
        technical memory_used_kib: Option<u64>,
        /// Processor time in thousandths of one processor.
        technical cpu_max_permille: Option<u32>,
        /// Processes and threads.
        technical tasks_max: Option<u64>,
    }

    /// One control group.
    #[derive(Default)]
    pub struct ControlGroup {
        /// Its place below the root, such as `system.slice/ssh.service`; the end of it where it is too long.
        unit name: Label,
        /// Memory in use, caches included.
        technical memory_kib: u64,
        /// How much of it the kernel takes back when others need it: page cache that is no shared memory, and what it keeps for itself
        /// and can drop.
        technical reclaimable_kib: Option<u64>,
        /// Swap in use.
        technical swap_kib: Option<u64>,
        /// Memory over which it is slowed down; absent if there is no such limit.
        technical memory_high_kib: Option<u64>,
        /// Memory that it cannot exceed; absent if there is no such limit.
        technical memory_max_kib: Option<u64>,
        /// What happened because of memory since the group was made.
        nested memory_events: Option<MemoryEvents>,
        /// Processor time and throttling since the group was made.
        nested cpu: Option<GroupCpu>,
        /// Share of the last ten seconds in which its tasks waited; absent where the kernel does not say.
        nested pressure: Option<Pressure>,
        /// Processes and threads.
        technical tasks: Option<u64>,
        /// Most processes and threads; absent if there is no such limit.
        technical tasks_max: Option<u64>,
    }

    /// What happened in a group because of memory; see `memory.events` in the kernel's `cgroup-v2.rst`.
    #[derive(Copy, Default)]
    pub struct MemoryEvents {
        /// Times that it was slowed down because it was over `high`.
        technical high: u64,
        /// Times that it was about to go over `max`.
        technical max: u64,
        /// Times that it ran out of memory and an allocation was about to fail.
        technical oom: u64,
        /// Processes killed for want of memory.
        technical oom_kills: u64,
    }

    /// Processor time of a group.
    #[derive(Copy, Default)]
    pub struct GroupCpu {
        /// Used.
        technical usage_ms: u64,
        /// Used outside of the kernel.
        technical user_ms: Option<u64>,
        /// Used in the kernel.
        technical system_ms: Option<u64>,
        /// Processor time that it may have in thousandths of one processor; absent if there is no such limit.
        technical max_permille: Option<u32>,
        /// Periods that a limit was enforced in.
        technical periods: u64,
        /// Periods in which it was stopped because its share was used up.
        technical throttled_periods: u64,
        /// Time for which it was stopped.
        technical throttled_ms: u64,
    }
}

closed! {
    /// Which kind of control groups a machine has.
    pub enum GroupsVersion {
        /// One hierarchy (cgroup v2).
        Unified = "v2",
        /// One hierarchy for each controller (cgroup v1).
        Legacy = "v1",
        /// Version 2 without controllers, beside version 1 which has them.
        Hybrid = "hybrid",
    }
}
