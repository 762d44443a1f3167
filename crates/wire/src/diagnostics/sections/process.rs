//! One process in full, without its arguments, and its arguments apart. Its environment is never read.

use crate::{
    closed,
    codec::Message,
    schema,
    text::{Label, Sentence},
    time::WallTime,
};

/// Most processes above one that are named: deeper trees are a fault of their own.
pub const MAX_PARENTS: usize = 32;

/// Most children that are named.
pub const MAX_CHILDREN: usize = 64;

/// Most threads that are named.
pub const MAX_THREADS: usize = 64;

/// Most open files that are told apart by kind; the rest are only counted where the kernel counts them.
pub const MAX_FILES: usize = 65_536;

/// Most arguments that are shown.
pub const MAX_ARGUMENTS: usize = 64;

/// Most bytes of arguments that are read.
pub const MAX_ARGUMENT_BYTES: usize = 4096;

schema! {
    /// One process in full, without its arguments.
    #[derive(Default)]
    pub struct Process {
        /// Process id.
        technical pid: u32,
        /// Start in clock ticks since the machine started.
        technical start_ticks: u64,
        /// Start by the machine's clock, if that can be told.
        technical started_at: Option<WallTime>,
        /// The program's name; never its arguments.
        technical name: Label,
        /// The user whose rights it has.
        personal owner: Label,
        /// The kernel's state letter, such as `R`, `S`, `D` or `Z`.
        technical state: char,
        /// What in the kernel it waits in; blank if it does not wait or the agent may not know.
        technical waits_in: Label,
        /// Processor time since it started, in milliseconds.
        technical cpu_ms: u64,
        /// Its niceness, from -20 (first) to 19 (last).
        technical nice: i32,
        /// The processes above it, its parent first; at most [`MAX_PARENTS`].
        nested parents: Vec<Relative>,
        /// The processes that it is the parent of; at most [`MAX_CHILDREN`].
        nested children: Vec<Relative>,
        /// Number of threads.
        technical threads_total: u32,
        /// Its threads; at most [`MAX_THREADS`]: those that are stuck, and those that used the processor most.
        nested threads: Vec<Thread>,
        /// The program's file; absent if the agent may not know.
        path executable: Option<Label>,
        /// Its working directory; absent if the agent may not know.
        path folder: Option<Label>,
        /// Its control group (cgroup v2), such as `/system.slice/ssh.service`; blank if it is in none.
        unit group: Label,
        /// What it holds of memory.
        nested memory: ProcessMemory,
        /// What it has open; absent if the agent may not know.
        nested files: Option<OpenFiles>,
        /// How much it may use.
        nested limits: Vec<Limit>,
        /// What it read and wrote since it started; absent if the agent may not know.
        nested io: Option<ProcessIo>,
        /// How likely it is killed when memory runs out, from 0 to 2000.
        technical oom_score: Option<u32>,
        /// What was added to that by its owner, from -1000 (never) to 1000.
        technical oom_adjustment: Option<i32>,
    }

    /// A process above or below.
    pub struct Relative {
        /// Process id.
        technical pid: u32,
        /// The program's name.
        technical name: Label,
    }

    /// One thread.
    pub struct Thread {
        /// Thread id.
        technical tid: u32,
        /// Name that the program gave it.
        technical name: Label,
        /// The kernel's state letter.
        technical state: char,
        /// Processor time since it started, in milliseconds.
        technical cpu_ms: u64,
    }

    /// Memory of a process.
    #[derive(Copy, Default)]
    pub struct ProcessMemory {
        /// Resident, shared pages in full.
        technical resident_kib: u64,
        /// Resident, each shared page divided by those who share it (PSS); absent if the agent may not know.
        technical proportional_kib: Option<u64>,
        /// In swap.
        technical swapped_kib: Option<u64>,
        /// Address space.
        technical virtual_kib: u64,
    }

    /// How many files of each kind a process has open. What they are is not looked at.
    #[derive(Copy, Default)]
    pub struct OpenFiles {
        /// All of them; at least [`MAX_FILES`] if that is what it says.
        technical total: u32,
        /// Files, folders and devices.
        technical files: u32,
        /// Files that were deleted since.
        technical deleted: u32,
        /// Sockets.
        technical sockets: u32,
        /// Pipes.
        technical pipes: u32,
        /// The kernel's own: events, timers, polls and the like.
        technical kernel: u32,
    }

    /// One bound of a process.
    #[derive(Copy)]
    pub struct Limit {
        /// Of what.
        technical resource: Resource,
        /// What holds now; absent if there is no bound.
        technical soft: Option<u64>,
        /// What it can raise that to; absent if there is no bound.
        technical hard: Option<u64>,
    }

    /// What a process read and wrote since it started.
    #[derive(Copy, Default)]
    pub struct ProcessIo {
        /// Read from disks for it.
        technical read_kib: u64,
        /// Written to disks for it, sooner or later.
        technical written_kib: u64,
        /// Of that, what was deleted before it got there.
        technical cancelled_kib: u64,
        /// Read by any means.
        technical received_kib: u64,
        /// Written by any means.
        technical sent_kib: u64,
    }

    /// The arguments of one process. Anything may stand in them, passwords too: they are shown and not stored.
    #[derive(Default)]
    pub struct Arguments {
        /// Process id.
        technical pid: u32,
        /// Start in clock ticks since the machine started.
        technical start_ticks: u64,
        /// The name that it was called by, and its arguments; at most [`MAX_ARGUMENTS`].
        text arguments: Vec<Sentence>,
        /// Whether there are more, or longer ones.
        technical cut: bool,
    }
}

impl Message for Arguments {
    const MAX_BYTES: usize = 8 * 1024;
}

closed! {
    /// What a process may use only so much of (getrlimit(2)).
    pub enum Resource {
        /// Processor time in seconds.
        CpuSeconds = "cpu_seconds",
        /// Size of a file in bytes.
        FileBytes = "file_bytes",
        /// Size of its stack in bytes.
        StackBytes = "stack_bytes",
        /// Size of a core image in bytes.
        CoreBytes = "core_bytes",
        /// Processes and threads of its owner.
        Processes = "processes",
        /// Open files.
        OpenFiles = "open_files",
        /// Memory that cannot be swapped, in bytes.
        LockedBytes = "locked_bytes",
        /// Address space in bytes.
        AddressBytes = "address_bytes",
    }
}
