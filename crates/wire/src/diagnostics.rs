//! What an agent measures: an identity card and one sample a period.
//!
//! Figures are integers in the unit that their name ends in; a rate covers the time since the sample before. Everything is
//! quantised before it is sent ([`Snapshot::quantised`]), so that an unchanged figure costs nothing in a delta.
//!
//! On the wire a stream is a sequence of [`StreamFrame`]s: the identity card, then keyframes and the deltas between them,
//! made by a [`DeltaEncoder`] and read by a [`DeltaDecoder`].

use serde::{Deserialize, Serialize};

use crate::text::{Label, Sentence};

mod delta;
mod figures;
mod quantise;

pub use delta::{Delta, DeltaDecoder, DeltaEncoder, KEYFRAME_EVERY, StreamError, StreamFrame, Update};

/// What the machine is. Sent once, before the first sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityCard {
    /// The machine's own name.
    pub host: Label,
    /// Operating system and version, such as `Debian GNU/Linux 12 (bookworm)`.
    pub system: Label,
    /// Kernel release.
    pub kernel: Label,
    /// Processor architecture, such as `x86_64`.
    pub architecture: Label,
    /// Vendor and model of the machine; blank if unknown.
    pub model: Label,
    /// Kind of virtual machine or container, if it is one.
    pub virtualisation: Option<Label>,
    /// Processor model.
    pub processor: Label,
    /// Logical processors.
    pub cores: u16,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// Version of the agent.
    pub agent_version: Label,
    /// User that the agent runs as; bounds what it can read.
    pub user: Label,
    /// Whether that user is the administrator.
    pub administrator: bool,
}

/// Everything that is measured at one point in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Snapshot {
    /// Counts the samples of one stream from 1.
    pub tick: u64,
    /// Samples of this stream that were due and never sent because the machine or the connection was slower.
    pub skipped: u64,
    /// Milliseconds that the rates cover. 0 in a sample with none before it: its rates are 0 and say nothing yet.
    pub interval_ms: u32,
    /// Seconds since the machine started.
    pub uptime_secs: u64,
    /// Load averages over 1, 5 and 15 minutes, in hundredths.
    pub load_centi: [u32; 3],
    /// Each logical processor that is online, in the kernel's order; at most [`MAX_CORES`].
    pub cores: Vec<Core>,
    /// Memory and swap.
    pub memory: Memory,
    /// Pressure stall information; absent where the kernel has none.
    pub pressure: Option<Pressure>,
    /// Mounted file systems that hold files of their own, one for each device; at most [`MAX_ROWS`].
    pub filesystems: Vec<Filesystem>,
    /// Block devices in use; at most [`MAX_ROWS`].
    pub disks: Vec<Disk>,
    /// Network interfaces, loopback left out; at most [`MAX_ROWS`].
    pub networks: Vec<Network>,
    /// Temperature sensors; at most [`MAX_ROWS`].
    pub temperatures: Vec<Temperature>,
    /// Number of processes.
    pub processes_total: u32,
    /// Processes whose figures could be read.
    pub processes_readable: u32,
    /// The busiest processes, by processor time and then by memory; at most [`TOP_PROCESSES`]. A process that was busy a
    /// moment ago keeps its place for a while, so that the list can be read.
    pub processes: Vec<Process>,
    /// Sources that could not be read, or not in full, each with why; at most [`MAX_UNREADABLE`].
    pub unreadable: Vec<Unreadable>,
}

/// Most processes in a sample.
pub const TOP_PROCESSES: usize = 20;

/// Most logical processors in a sample: as many as a Linux kernel is built for.
pub const MAX_CORES: usize = 4096;

/// Most file systems, disks, networks or temperatures in a sample: more than a person reads.
pub const MAX_ROWS: usize = 64;

/// Most sources named as unreadable.
pub const MAX_UNREADABLE: usize = 32;

/// One logical processor, in thousandths of the period. No part contains another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Core {
    /// Working.
    pub busy_permille: u16,
    /// Idle with a disk request outstanding.
    pub iowait_permille: u16,
    /// Taken by the hypervisor for other guests.
    pub steal_permille: u16,
}

/// Memory and swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Memory {
    /// Installed or assigned.
    pub total_kib: u64,
    /// Obtainable without swapping; at most the total.
    pub available_kib: u64,
    /// What the agent's own control group (its container, most often) may use; 0 if nothing limits it.
    pub limit_kib: u64,
    /// What that control group uses; 0 if nothing limits it.
    pub limit_used_kib: u64,
    /// Waiting to be written to disk.
    pub dirty_kib: u64,
    /// Swap space.
    pub swap_total_kib: u64,
    /// Swap in use.
    pub swap_used_kib: u64,
    /// Read back from swap in a second.
    pub swap_in_kib_s: u32,
    /// Written to swap in a second.
    pub swap_out_kib_s: u32,
    /// Processes killed for want of memory since the machine started.
    pub oom_kills: u64,
}

/// Share of the last ten seconds in which some (or all) tasks waited, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Pressure {
    /// Some task waited for a processor.
    pub cpu_some_centi: u16,
    /// Some task waited for memory.
    pub memory_some_centi: u16,
    /// All tasks waited for memory.
    pub memory_full_centi: u16,
    /// Some task waited for a disk.
    pub io_some_centi: u16,
    /// All tasks waited for a disk.
    pub io_full_centi: u16,
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Where it is mounted.
    pub mount: Label,
    /// Kind, such as `ext4`.
    pub kind: Label,
    /// Size.
    pub total_kib: u64,
    /// Free for ordinary users; at most the total.
    pub available_kib: u64,
    /// Inodes in all; 0 where the file system has no such limit.
    pub inodes_total: u64,
    /// Inodes free; at most the total.
    pub inodes_free: u64,
    /// Whether it can be written, as the kernel says now.
    pub state: FilesystemState,
}

/// Whether a file system can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesystemState {
    /// Reading and writing.
    ReadWrite,
    /// Reading only.
    ReadOnly,
    /// It did not answer in time; its figures are from the last time it did, or zero.
    Unresponsive,
}

/// One block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel name, such as `nvme0n1`.
    pub name: Label,
    /// Read in a second.
    pub read_kib_s: u32,
    /// Written in a second.
    pub write_kib_s: u32,
    /// Requests completed in a second.
    pub requests_s: u32,
    /// Mean time of a completed request in microseconds, queueing included.
    pub await_us: u32,
    /// Share of the period with a request outstanding.
    pub busy_permille: u16,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Kernel name, such as `wlan0`.
    pub name: Label,
    /// Whether the link carries traffic.
    pub up: bool,
    /// Received in a second.
    pub rx_bytes_s: u64,
    /// Sent in a second.
    pub tx_bytes_s: u64,
    /// Receive and send errors since the interface came up.
    pub errors: u64,
    /// Packets dropped in either direction since the interface came up.
    pub drops: u64,
}

/// One temperature sensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temperature {
    /// What it measures.
    pub label: Label,
    /// Tenths of a degree Celsius.
    pub deci_celsius: i32,
}

/// One process. `(pid, start_ticks)` names it for as long as the machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Start in clock ticks since the machine started.
    pub start_ticks: u64,
    /// The program's name; never its arguments.
    pub name: Label,
    /// Numeric user id of the owner.
    pub user_id: u32,
    /// Processor time in thousandths of one processor.
    pub cpu_permille: u32,
    /// Resident memory, shared pages included.
    pub resident_kib: u64,
    /// Threads.
    pub threads: u32,
    /// The kernel's state letter, such as `R`, `S`, `D` or `Z`.
    pub state: char,
}

/// A source that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Which, such as `pressure`.
    pub source: Label,
    /// Why.
    pub reason: Sentence,
}
