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
pub mod sent;
mod view;

pub use delta::{
    BURST_BYTES, BYTES_A_SECOND, Delta, DeltaDecoder, DeltaEncoder, KEYFRAME_EVERY, ROW_BYTES_A_SECOND, StreamError,
    StreamFrame, Update,
};
pub use view::{Pace, PaceReason, Panel, Panels, ProcessOrder, View};

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
    ///
    /// A table whose [`Panel`] is not in the view is empty and says nothing.
    #[derive(Default)]
    pub struct Snapshot {
        /// Counts the samples of one stream from 1.
        technical tick: u64,
        /// Samples of this stream that were due and never sent because the machine or the connection was slower.
        technical skipped: u64,
        /// Changes of tables and processes that this stream left out or put off to keep within its bytes.
        technical withheld: u64,
        /// Milliseconds that the rates cover. 0 in a sample with none before it: its rates are 0 and say nothing yet.
        technical interval_ms: u32,
        /// What was looked at.
        nested view: View,
        /// How often.
        nested pace: Pace,
        /// Seconds since the machine started.
        technical uptime_secs: u64,
        /// Load averages over 1, 5 and 15 minutes, in hundredths.
        technical load_centi: [u32; 3],
        /// All logical processors together.
        nested processor: Processor,
        /// Memory and swap.
        nested memory: Memory,
        /// Pressure stall information; absent where the kernel has none.
        nested pressure: Option<Pressure>,
        /// What all connections together do.
        nested traffic: Traffic,
        /// What the kernel has only so much of.
        nested limits: Limits,
        /// What the agent itself takes.
        nested agent: Agent,
        /// Each logical processor that is online, in the kernel's order; at most [`MAX_CORES`].
        nested cores: Vec<Core>,
        /// Mounted file systems that hold files of their own, one for each device; at most [`MAX_ROWS`].
        nested filesystems: Vec<Filesystem>,
        /// Block devices in use; at most [`MAX_ROWS`].
        nested disks: Vec<Disk>,
        /// Network interfaces, loopback left out; at most [`MAX_ROWS`].
        nested networks: Vec<Network>,
        /// Temperature sensors; at most [`MAX_ROWS`].
        nested temperatures: Vec<Temperature>,
        /// Fans; at most [`MAX_ROWS`]. Part of the temperatures' panel.
        nested fans: Vec<Fan>,
        /// What parts of the machine draw; at most [`MAX_ROWS`]. Part of the temperatures' panel.
        nested power: Vec<PowerDraw>,
        /// Number of processes.
        technical processes_total: u32,
        /// Processes whose figures could be read.
        technical processes_readable: u32,
        /// Processes that wait for a disk or another device and cannot be interrupted (state `D`), when all were last looked at.
        technical processes_stuck: u32,
        /// The first processes in the order of the view; at most [`TOP_PROCESSES`]. A process that was busy a moment ago keeps
        /// its place for a while, so that the list can be read.
        nested processes: Vec<Process>,
        /// Processes that were found in state `D` two times running; at most [`MAX_STUCK`].
        nested stuck: Vec<Stuck>,
        /// Sources that could not be read, or not in full, each with why; at most [`MAX_UNREADABLE`].
        nested unreadable: Vec<Unreadable>,
    }
}

/// Most processes in a sample.
pub const TOP_PROCESSES: usize = 20;

/// Most logical processors in a sample: as many as a Linux kernel is built for.
pub const MAX_CORES: usize = 4096;

/// Most file systems, disks, networks, temperatures, fans or power draws in a sample: more than a person reads.
pub const MAX_ROWS: usize = 64;

/// Most processes named as stuck: the first ones tell which device it is.
pub const MAX_STUCK: usize = 8;

/// Most sources named as unreadable.
pub const MAX_UNREADABLE: usize = 32;

schema! {
    /// All logical processors together. Shares are in thousandths of all of them.
    #[derive(Copy, Default)]
    pub struct Processor {
        /// Logical processors that are online.
        technical cores: u32,
        /// Working.
        technical busy_permille: u16,
        /// Idle with a disk request outstanding.
        technical iowait_permille: u16,
        /// Taken by the hypervisor for other guests.
        technical steal_permille: u16,
        /// Changes from one task to another in a second.
        technical switches_s: u32,
        /// Tasks that run or want to.
        technical runnable: u32,
        /// Tasks that wait for a disk or another device and cannot be interrupted.
        technical blocked: u32,
        /// Times that a core or its package was slowed down because it was too hot, since the machine started.
        technical throttles: u64,
    }
}

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
        /// What that control group uses, without what the kernel can take back; 0 if nothing limits it.
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
        /// Times in a second that a program waited for a page that had to be read from a disk.
        technical major_faults_s: u32,
        /// Taken out of use because the hardware corrupted it.
        technical corrupted_kib: u64,
    }
}

schema! {
    /// Share of the last ten seconds, and of the last minute, in which some (or all) tasks waited, in hundredths of a percent.
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
        /// As [`Pressure::cpu_some_centi`], over the last minute.
        technical cpu_some_minute_centi: u16,
        /// As [`Pressure::memory_some_centi`], over the last minute.
        technical memory_some_minute_centi: u16,
        /// As [`Pressure::memory_full_centi`], over the last minute.
        technical memory_full_minute_centi: u16,
        /// As [`Pressure::io_some_centi`], over the last minute.
        technical io_some_minute_centi: u16,
        /// As [`Pressure::io_full_centi`], over the last minute.
        technical io_full_minute_centi: u16,
    }
}

schema! {
    /// What all connections together do.
    #[derive(Copy, Default)]
    pub struct Traffic {
        /// TCP connections that are open.
        technical tcp_established: u32,
        /// TCP segments sent in a second, without those sent again (RFC 4022, `tcpOutSegs`).
        technical tcp_sent_s: u32,
        /// TCP segments sent again in a second.
        technical tcp_resent_s: u32,
        /// Connections in a second that a program did not take in time and that were dropped.
        technical tcp_refused_s: u32,
        /// UDP datagrams over IPv4 in a second that arrived and could not be delivered, or could not be sent, for want of room or
        /// a right checksum.
        technical udp_errors_s: u32,
    }
}

schema! {
    /// What the kernel has only so much of. A most of 0 is unknown or has no bound.
    #[derive(Copy, Default)]
    pub struct Limits {
        /// Open files.
        technical files: u64,
        /// Most open files.
        technical files_most: u64,
        /// Connections that the firewall follows.
        technical tracked: u32,
        /// Most connections that the firewall follows.
        technical tracked_most: u32,
        /// Processes and their threads.
        technical tasks: u32,
        /// Most processes and threads.
        technical tasks_most: u32,
    }
}

schema! {
    /// What the agent itself takes.
    #[derive(Copy, Default)]
    pub struct Agent {
        /// Processor time since the sample before, in thousandths of one processor.
        technical cpu_permille: u32,
        /// Resident memory.
        technical resident_kib: u64,
        /// Messages that wait to be sent.
        technical queued: u32,
        /// Milliseconds from when the sample was due to when it was there.
        technical lag_ms: u32,
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
        /// Reading only, since it found errors in itself.
        Stopped = "stopped",
        /// Reading and writing, although it found errors in itself that nobody has repaired.
        Damaged = "damaged",
    }
}

schema! {
    /// One block device.
    #[derive(Default)]
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
        /// Mean time of a completed read in microseconds.
        technical read_await_us: u32,
        /// Mean time of a completed write in microseconds.
        technical write_await_us: u32,
        /// Requests outstanding now.
        technical in_flight: u32,
        /// Milliseconds that all requests together waited in a second: a thousand times the mean length of the queue.
        technical backlog_ms_s: u32,
        /// Flushes of the device's own cache in a second.
        technical flushes_s: u32,
        /// Mean time of a flush in microseconds.
        technical flush_await_us: u32,
    }
}

schema! {
    /// One network interface.
    #[derive(Default)]
    pub struct Network {
        /// Its name: `wlan0`, but also one that an administrator gave, or one made of its hardware address.
        network name: Label,
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
        /// Packets received in a second.
        technical rx_packets_s: u32,
        /// Packets sent in a second.
        technical tx_packets_s: u32,
        /// Errors in a second.
        technical errors_s: u32,
        /// Drops in a second.
        technical drops_s: u32,
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
    /// One fan.
    pub struct Fan {
        /// Which.
        technical label: Label,
        /// Revolutions in a minute; 0 if it stands.
        technical rpm: u32,
    }
}

schema! {
    /// What a part of the machine draws.
    pub struct PowerDraw {
        /// Which part.
        technical label: Label,
        /// Thousandths of a watt.
        technical milliwatts: u32,
    }
}

schema! {
    /// One process. `(pid, start_ticks)` names it for as long as the machine runs.
    #[derive(Default)]
    pub struct Process {
        /// Process id.
        technical pid: u32,
        /// Start in clock ticks since the machine started.
        technical start_ticks: u64,
        /// The program's name; never its arguments.
        technical name: Label,
        /// The user whose rights it has: a name, or `user 1234` where the machine has none for the number.
        personal owner: Label,
        /// Processor time in thousandths of one processor.
        technical cpu_permille: u32,
        /// Resident memory, shared pages included.
        technical resident_kib: u64,
        /// Threads.
        technical threads: u32,
        /// The kernel's state letter, such as `R`, `S`, `D` or `Z`.
        technical state: char,
        /// Read from disks for it in a second; absent if the agent may not know.
        technical read_kib_s: Option<u32>,
        /// Written to disks for it in a second, sooner or later; absent if the agent may not know.
        technical write_kib_s: Option<u32>,
    }
}

schema! {
    /// One of the processes with most memory.
    #[derive(Default)]
    pub struct LargeProcess {
        /// Process id.
        technical pid: u32,
        /// Start in clock ticks since the machine started.
        technical start_ticks: u64,
        /// The program's name; never its arguments.
        technical name: Label,
        /// Resident memory, shared pages included.
        technical resident_kib: u64,
    }
}

schema! {
    /// One of the processes that read from disks or write to them.
    #[derive(Default)]
    pub struct DiskProcess {
        /// Process id.
        technical pid: u32,
        /// Start in clock ticks since the machine started.
        technical start_ticks: u64,
        /// The program's name; never its arguments.
        technical name: Label,
        /// Read from disks for it in a second.
        technical read_kib_s: u32,
        /// Written to disks for it in a second, sooner or later.
        technical write_kib_s: u32,
    }
}

schema! {
    /// A process that waits for a device and cannot be interrupted.
    pub struct Stuck {
        /// Process id.
        technical pid: u32,
        /// The program's name.
        technical name: Label,
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
