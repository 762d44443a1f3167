//! A sample as a row of numbers: everything in it that moves without changing what there is.
//!
//! The order is part of the protocol. A new figure goes to the end of its row, with a new protocol version.

use super::{FilesystemState, Snapshot, StreamError};

/// One number of a sample, whatever its type.
pub(super) trait Figure {
    /// Its value. Signed ones are sign-extended.
    fn load(&self) -> u64;

    /// Replaces it; `false` if its type has no such value.
    fn store(&mut self, value: u64) -> bool;
}

/// Calls `see` with every figure of `sample` in order, until it refuses one.
pub(super) fn each_figure(
    sample: &mut Snapshot,
    see: &mut dyn FnMut(&mut dyn Figure) -> Result<(), StreamError>,
) -> Result<(), StreamError> {
    see(&mut sample.tick)?;
    see(&mut sample.skipped)?;
    see(&mut sample.interval_ms)?;
    see(&mut sample.uptime_secs)?;
    for load in &mut sample.load_centi {
        see(load)?;
    }
    let memory = &mut sample.memory;
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
    see(&mut sample.processes_total)?;
    see(&mut sample.processes_readable)?;
    if let Some(pressure) = &mut sample.pressure {
        see(&mut pressure.cpu_some_centi)?;
        see(&mut pressure.memory_some_centi)?;
        see(&mut pressure.memory_full_centi)?;
        see(&mut pressure.io_some_centi)?;
        see(&mut pressure.io_full_centi)?;
    }
    for process in &mut sample.processes {
        see(&mut process.cpu_permille)?;
        see(&mut process.resident_kib)?;
        see(&mut process.threads)?;
        see(&mut process.state)?;
        see(&mut process.user_id)?;
    }
    for disk in &mut sample.disks {
        see(&mut disk.read_kib_s)?;
        see(&mut disk.write_kib_s)?;
        see(&mut disk.requests_s)?;
        see(&mut disk.await_us)?;
        see(&mut disk.busy_permille)?;
    }
    for network in &mut sample.networks {
        see(&mut network.rx_bytes_s)?;
        see(&mut network.tx_bytes_s)?;
        see(&mut network.up)?;
        see(&mut network.errors)?;
        see(&mut network.drops)?;
    }
    for temperature in &mut sample.temperatures {
        see(&mut temperature.deci_celsius)?;
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

impl Figure for FilesystemState {
    fn load(&self) -> u64 {
        match self {
            Self::ReadWrite => 0,
            Self::ReadOnly => 1,
            Self::Unresponsive => 2,
        }
    }

    fn store(&mut self, value: u64) -> bool {
        let state = match value {
            0 => Self::ReadWrite,
            1 => Self::ReadOnly,
            2 => Self::Unresponsive,
            _ => return false,
        };
        *self = state;
        true
    }
}
