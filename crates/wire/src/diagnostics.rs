//! What an agent measures: an identity card, one sample a period, findings, and reports of everything else.
//!
//! Figures are integers in the unit that their name ends in; a rate covers the time since the sample before. Everything is
//! quantised before it is sent ([`Snapshot::quantised`]), so that an unchanged figure costs nothing in a delta.
//!
//! On the wire a stream is a sequence of [`StreamFrame`]s: the identity card, then keyframes and the deltas between them,
//! made by a [`DeltaEncoder`] and read by a [`DeltaDecoder`].

use crate::{
    closed, schema,
    text::{Label, Sentence},
};

mod delta;
mod figures;
pub mod findings;
pub mod inspect;
mod quantise;
pub mod report;
pub mod schema;
pub mod sections;

pub use delta::{Delta, DeltaDecoder, DeltaEncoder, KEYFRAME_EVERY, StreamError, StreamFrame, Update};

schema! {
    /// What the machine is. Sent once, before the first sample.
    pub struct IdentityCard {
        /// The machine's own name.
        personal host: Label,
        /// Operating system and version, such as `Debian GNU/Linux 12 (bookworm)`.
        technical system: Label,
        /// Kernel release.
        technical kernel: Label,
        /// Processor architecture, such as `x86_64`.
        technical architecture: Label,
        /// Vendor and model of the machine; blank if unknown.
        technical model: Label,
        /// Kind of virtual machine or container, if it is one.
        technical virtualisation: Option<Label>,
        /// Processor model.
        technical processor: Label,
        /// Logical processors.
        technical cores: u16,
        /// Memory in KiB.
        technical memory_kib: u64,
        /// Version of the agent.
        technical agent_version: Label,
        /// User that the agent runs as; bounds what it can read.
        personal user: Label,
        /// Whether that user is the administrator.
        technical administrator: bool,
    }
}

schema! {
    /// Everything that is measured at one point in time.
    #[derive(Default)]
    pub struct Snapshot {
        /// Counts the samples of one stream from 1.
        technical tick: u64,
        /// Samples of this stream that were due and never sent because the machine or the connection was slower.
        technical skipped: u64,
        /// Milliseconds that the rates cover. 0 in a sample with none before it: its rates are 0 and say nothing yet.
        technical interval_ms: u32,
        /// Seconds since the machine started.
        technical uptime_secs: u64,
        /// Load averages over 1, 5 and 15 minutes, in hundredths.
        technical load_centi: [u32; 3],
        /// Each logical processor that is online, in the kernel's order; at most [`MAX_CORES`].
        nested cores: Vec<Core>,
        /// Memory and swap.
        nested memory: Memory,
        /// Pressure stall information; absent where the kernel has none.
        nested pressure: Option<Pressure>,
        /// Mounted file systems that hold files of their own, one for each device; at most [`MAX_ROWS`].
        nested filesystems: Vec<Filesystem>,
        /// Block devices in use; at most [`MAX_ROWS`].
        nested disks: Vec<Disk>,
        /// Network interfaces, loopback left out; at most [`MAX_ROWS`].
        nested networks: Vec<Network>,
        /// Temperature sensors; at most [`MAX_ROWS`].
        nested temperatures: Vec<Temperature>,
        /// Number of processes.
        technical processes_total: u32,
        /// Processes whose figures could be read.
        technical processes_readable: u32,
        /// The busiest processes, by processor time and then by memory; at most [`TOP_PROCESSES`]. A process that was busy a
        /// moment ago keeps its place for a while, so that the list can be read.
        nested processes: Vec<Process>,
        /// Sources that could not be read, or not in full, each with why; at most [`MAX_UNREADABLE`].
        nested unreadable: Vec<Unreadable>,
    }
}

/// Most processes in a sample.
pub const TOP_PROCESSES: usize = 20;

/// Most logical processors in a sample: as many as a Linux kernel is built for.
pub const MAX_CORES: usize = 4096;

/// Most file systems, disks, networks or temperatures in a sample: more than a person reads.
pub const MAX_ROWS: usize = 64;

/// Most sources named as unreadable.
pub const MAX_UNREADABLE: usize = 32;

schema! {
    /// One logical processor, in thousandths of the period. No part contains another.
    #[derive(Copy, Default)]
    pub struct Core {
        /// Working.
        technical busy_permille: u16,
        /// Idle with a disk request outstanding.
        technical iowait_permille: u16,
        /// Taken by the hypervisor for other guests.
        technical steal_permille: u16,
    }
}

schema! {
    /// Memory and swap.
    #[derive(Copy, Default)]
    pub struct Memory {
        /// Installed or assigned.
        technical total_kib: u64,
        /// Obtainable without swapping; at most the total.
        technical available_kib: u64,
        /// What the agent's own control group (its container, most often) may use; 0 if nothing limits it.
        technical limit_kib: u64,
        /// What that control group uses; 0 if nothing limits it.
        technical limit_used_kib: u64,
        /// Waiting to be written to disk.
        technical dirty_kib: u64,
        /// Swap space.
        technical swap_total_kib: u64,
        /// Swap in use.
        technical swap_used_kib: u64,
        /// Read back from swap in a second.
        technical swap_in_kib_s: u32,
        /// Written to swap in a second.
        technical swap_out_kib_s: u32,
        /// Processes killed for want of memory since the machine started.
        technical oom_kills: u64,
    }
}

schema! {
    /// Share of the last ten seconds in which some (or all) tasks waited, in hundredths of a percent.
    #[derive(Copy, Default)]
    pub struct Pressure {
        /// Some task waited for a processor.
        technical cpu_some_centi: u16,
        /// Some task waited for memory.
        technical memory_some_centi: u16,
        /// All tasks waited for memory.
        technical memory_full_centi: u16,
        /// Some task waited for a disk.
        technical io_some_centi: u16,
        /// All tasks waited for a disk.
        technical io_full_centi: u16,
    }
}

schema! {
    /// One mounted file system.
    pub struct Filesystem {
        /// Where it is mounted.
        path mount: Label,
        /// Kind, such as `ext4`.
        technical kind: Label,
        /// Size.
        technical total_kib: u64,
        /// Free for ordinary users; at most the total.
        technical available_kib: u64,
        /// Inodes in all; 0 where the file system has no such limit.
        technical inodes_total: u64,
        /// Inodes free; at most the total.
        technical inodes_free: u64,
        /// Whether it can be written, as the kernel says now.
        technical state: FilesystemState,
    }
}

closed! {
    /// Whether a file system can be used.
    pub enum FilesystemState {
        /// Reading and writing.
        ReadWrite = "read_write",
        /// Reading only.
        ReadOnly = "read_only",
        /// It did not answer in time; its figures are from the last time it did, or zero.
        Unresponsive = "unresponsive",
    }
}

schema! {
    /// One block device.
    pub struct Disk {
        /// Kernel name, such as `nvme0n1`.
        technical name: Label,
        /// Read in a second.
        technical read_kib_s: u32,
        /// Written in a second.
        technical write_kib_s: u32,
        /// Requests completed in a second.
        technical requests_s: u32,
        /// Mean time of a completed request in microseconds, queueing included.
        technical await_us: u32,
        /// Share of the period with a request outstanding.
        technical busy_permille: u16,
    }
}

schema! {
    /// One network interface.
    pub struct Network {
        /// Kernel name, such as `wlan0`.
        technical name: Label,
        /// Whether the link carries traffic.
        technical up: bool,
        /// Received in a second.
        technical rx_bytes_s: u64,
        /// Sent in a second.
        technical tx_bytes_s: u64,
        /// Receive and send errors since the interface came up.
        technical errors: u64,
        /// Packets dropped in either direction since the interface came up.
        technical drops: u64,
    }
}

schema! {
    /// One temperature sensor.
    pub struct Temperature {
        /// What it measures.
        technical label: Label,
        /// Tenths of a degree Celsius.
        technical deci_celsius: i32,
    }
}

schema! {
    /// One process. `(pid, start_ticks)` names it for as long as the machine runs.
    pub struct Process {
        /// Process id.
        technical pid: u32,
        /// Start in clock ticks since the machine started.
        technical start_ticks: u64,
        /// The program's name; never its arguments.
        technical name: Label,
        /// Numeric user id of the owner.
        technical user_id: u32,
        /// Processor time in thousandths of one processor.
        technical cpu_permille: u32,
        /// Resident memory, shared pages included.
        technical resident_kib: u64,
        /// Threads.
        technical threads: u32,
        /// The kernel's state letter, such as `R`, `S`, `D` or `Z`.
        technical state: char,
    }
}

schema! {
    /// A source that could not be read.
    pub struct Unreadable {
        /// Which, such as `pressure`.
        technical source: Label,
        /// Why.
        technical reason: Sentence,
    }
}
