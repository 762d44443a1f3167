//! A sample as a row of numbers: everything in it that moves without changing what there is.
//!
//! The order is part of the protocol. A new figure goes to the end of its row, with a new protocol version.

use super::{
    Agent, FilesystemState, Limits, Memory, Pace, PaceReason, Panels, ProcessOrder, Processor, Snapshot, StreamError,
    Traffic, View,
};

/// One number of a sample, whatever its type.
pub(super) trait Figure {
    /// Its value. Signed ones are sign-extended.
    fn load(&self) -> u64;

    /// Replaces it; `false` if its type has no such value.
    fn store(&mut self, value: u64) -> bool;
}

/// Calls `see` with every figure of `sample` in order, until it refuses one.
pub(super) fn each_figure(sample: &mut Snapshot, see: &mut See<'_>) -> Result<(), StreamError> {
    see(&mut sample.tick)?;
    see(&mut sample.skipped)?;
    see(&mut sample.interval_ms)?;
    see(&mut sample.uptime_secs)?;
    for load in &mut sample.load_centi {
        see(load)?;
    }
    each_of_memory(&mut sample.memory, see)?;
    see(&mut sample.processes_total)?;
    see(&mut sample.processes_readable)?;
    each_of_system(sample, see)?;
    if let Some(pressure) = &mut sample.pressure {
        for share in pressure.shares_mut() {
            see(share)?;
        }
    }
    for process in &mut sample.processes {
        see(&mut process.cpu_permille)?;
        see(&mut process.resident_kib)?;
        see(&mut process.threads)?;
        see(&mut process.state)?;
        see(&mut process.read_kib_s)?;
        see(&mut process.write_kib_s)?;
    }
    each_of_tables(sample, see)
}

type See<'s> = dyn FnMut(&mut dyn Figure) -> Result<(), StreamError> + 's;

fn each_of_memory(memory: &mut Memory, see: &mut See<'_>) -> Result<(), StreamError> {
    see(&mut memory.total_kib)?;
    see(&mut memory.available_kib)?;
    see(&mut memory.limit_kib)?;
    see(&mut memory.limit_used_kib)?;
    see(&mut memory.dirty_kib)?;
    see(&mut memory.swap_total_kib)?;
    see(&mut memory.swap_used_kib)?;
    see(&mut memory.swap_in_kib_s)?;
    see(&mut memory.swap_out_kib_s)?;
    see(&mut memory.oom_kills)?;
    see(&mut memory.major_faults_s)?;
    see(&mut memory.corrupted_kib)
}

/// What there is one of.
fn each_of_system(sample: &mut Snapshot, see: &mut See<'_>) -> Result<(), StreamError> {
    let Processor { cores, busy_permille, iowait_permille, steal_permille, switches_s, runnable, blocked, throttles } =
        &mut sample.processor;
    see(busy_permille)?;
    see(iowait_permille)?;
    see(steal_permille)?;
    see(switches_s)?;
    see(runnable)?;
    see(blocked)?;
    see(throttles)?;
    see(cores)?;
    let Traffic { tcp_established, tcp_sent_s, tcp_resent_s, tcp_refused_s, udp_errors_s } = &mut sample.traffic;
    see(tcp_established)?;
    see(tcp_sent_s)?;
    see(tcp_resent_s)?;
    see(tcp_refused_s)?;
    see(udp_errors_s)?;
    let Limits { files, files_most, tracked, tracked_most, tasks, tasks_most } = &mut sample.limits;
    see(files)?;
    see(files_most)?;
    see(tracked)?;
    see(tracked_most)?;
    see(tasks)?;
    see(tasks_most)?;
    let Agent { cpu_permille, resident_kib, queued, lag_ms } = &mut sample.agent;
    see(cpu_permille)?;
    see(resident_kib)?;
    see(queued)?;
    see(lag_ms)?;
    let View { panels, processes_by } = &mut sample.view;
    see(panels)?;
    see(processes_by)?;
    let Pace { sample_ms, processes_ms, reason } = &mut sample.pace;
    see(sample_ms)?;
    see(processes_ms)?;
    see(reason)?;
    see(&mut sample.processes_stuck)?;
    see(&mut sample.withheld)
}

fn each_of_tables(sample: &mut Snapshot, see: &mut See<'_>) -> Result<(), StreamError> {
    for disk in &mut sample.disks {
        see(&mut disk.read_kib_s)?;
        see(&mut disk.write_kib_s)?;
        see(&mut disk.requests_s)?;
        see(&mut disk.await_us)?;
        see(&mut disk.busy_permille)?;
        see(&mut disk.read_await_us)?;
        see(&mut disk.write_await_us)?;
        see(&mut disk.in_flight)?;
        see(&mut disk.backlog_ms_s)?;
        see(&mut disk.flushes_s)?;
        see(&mut disk.flush_await_us)?;
    }
    for network in &mut sample.networks {
        see(&mut network.rx_bytes_s)?;
        see(&mut network.tx_bytes_s)?;
        see(&mut network.up)?;
        see(&mut network.errors)?;
        see(&mut network.drops)?;
        see(&mut network.rx_packets_s)?;
        see(&mut network.tx_packets_s)?;
        see(&mut network.errors_s)?;
        see(&mut network.drops_s)?;
    }
    for temperature in &mut sample.temperatures {
        see(&mut temperature.deci_celsius)?;
    }
    for fan in &mut sample.fans {
        see(&mut fan.rpm)?;
    }
    for power in &mut sample.power {
        see(&mut power.milliwatts)?;
    }
    for filesystem in &mut sample.filesystems {
        see(&mut filesystem.available_kib)?;
        see(&mut filesystem.inodes_free)?;
        see(&mut filesystem.total_kib)?;
        see(&mut filesystem.inodes_total)?;
        see(&mut filesystem.state)?;
    }
    for core in &mut sample.cores {
        see(&mut core.busy_permille)?;
        see(&mut core.iowait_permille)?;
        see(&mut core.steal_permille)?;
    }
    Ok(())
}

/// Every figure of `sample` in order.
pub(super) fn all_figures(sample: &mut Snapshot) -> Vec<u64> {
    let mut figures = Vec::new();
    each_figure(sample, &mut |figure| {
        figures.push(figure.load());
        Ok(())
    })
    .expect("nothing is refused");
    figures
}

macro_rules! unsigned {
    ($($number:ty),*) => {$(
        impl Figure for $number {
            fn load(&self) -> u64 {
                u64::from(*self)
            }

            fn store(&mut self, value: u64) -> bool {
                Self::try_from(value).map(|value| *self = value).is_ok()
            }
        }
    )*};
}

unsigned!(u16, u32, u64);

impl Figure for i32 {
    fn load(&self) -> u64 {
        i64::from(*self).cast_unsigned()
    }

    fn store(&mut self, value: u64) -> bool {
        Self::try_from(value.cast_signed()).map(|value| *self = value).is_ok()
    }
}

impl Figure for bool {
    fn load(&self) -> u64 {
        u64::from(*self)
    }

    fn store(&mut self, value: u64) -> bool {
        *self = value == 1;
        value <= 1
    }
}

impl Figure for char {
    fn load(&self) -> u64 {
        u64::from(u32::from(*self))
    }

    fn store(&mut self, value: u64) -> bool {
        let character = u32::try_from(value).ok().and_then(Self::from_u32);
        character.map(|character| *self = character).is_some()
    }
}

/// 0 if there is none, else one more than it.
impl Figure for Option<u32> {
    fn load(&self) -> u64 {
        self.map_or(0, |value| u64::from(value) + 1)
    }

    fn store(&mut self, value: u64) -> bool {
        match value.checked_sub(1).map(u32::try_from) {
            None => *self = None,
            Some(Ok(value)) => *self = Some(value),
            Some(Err(_)) => return false,
        }
        true
    }
}

impl Figure for Panels {
    fn load(&self) -> u64 {
        u64::from(self.bits())
    }

    fn store(&mut self, value: u64) -> bool {
        let panels = u8::try_from(value).ok().and_then(Self::from_bits);
        panels.map(|panels| *self = panels).is_some()
    }
}

/// Members of a closed list count from 0 in its order.
macro_rules! members {
    ($($list:ty),*) => {$(
        impl Figure for $list {
            fn load(&self) -> u64 {
                *self as u64
            }

            fn store(&mut self, value: u64) -> bool {
                let member = usize::try_from(value).ok().and_then(|place| Self::ALL.get(place));
                member.map(|member| *self = *member).is_some()
            }
        }
    )*};
}

members!(FilesystemState, ProcessOrder, PaceReason);
