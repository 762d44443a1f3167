//! What the agent itself takes: the clock of its processor time (clock_gettime(2)) and `/proc/self/statm` (proc_pid_statm(5)).

use std::{path::Path, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use wire::diagnostics::Agent;

use crate::{
    gaps::Gaps,
    rates::per_second_u32,
    text::{KernelFile, fields, number},
};

#[derive(Debug)]
pub(crate) struct OwnFiles {
    statm: KernelFile,
    page_kib: u64,
    used_before: Option<Duration>,
}

impl OwnFiles {
    pub(crate) fn new(proc: &Path, page_kib: u64) -> Self {
        Self { statm: KernelFile::new(proc.join("self/statm")), page_kib, used_before: None }
    }

    pub(crate) fn read(&mut self, interval: Duration, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Agent {
        let used = used();
        let grown = used.saturating_sub(self.used_before.replace(used).unwrap_or(used));
        let resident = match self.statm.read(buffer) {
            Ok(text) => fields(text).nth(1).and_then(number),
            Err(error) => {
                gaps.note_error("own memory", &error);
                None
            }
        };
        Agent {
            // Microseconds in a second are millionths.
            cpu_permille: per_second_u32(u64::try_from(grown.as_micros()).unwrap_or(u64::MAX), interval) / 1000,
            resident_kib: resident.unwrap_or(0).saturating_mul(self.page_kib),
            ..Agent::default()
        }
    }
}

/// Processor time of all threads so far.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
