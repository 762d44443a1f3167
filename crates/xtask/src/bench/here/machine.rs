//! Where figures were measured; without this they mean nothing.

use std::{fmt, fs, thread};

use serde::Serialize;

use crate::process::{command, output_of};

/// A machine at a date.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Machine {
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    rustc: String,
    date: String,
}

impl Machine {
    /// This one, now.
    pub(super) fn this() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        let mut rustc = command("rustc");
        rustc.arg("--version");
        Ok(Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: thread::available_parallelism()?.get(),
            memory_mib: memory_kib / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: output_of(rustc)?.trim().to_owned(),
            date: transport::clock::wall_time().to_string(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_mib, kernel, rustc, date } = self;
        write!(f, "{processor}, {cores} cores, {memory_mib} MiB, Linux {kernel}, {rustc}, {date}")
    }
}
