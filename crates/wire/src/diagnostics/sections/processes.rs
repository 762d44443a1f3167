//! Every process and which one started it, without arguments. What there is of one alone is in [`super::process`].

use crate::{codec::Message, schema, text::Label};

/// Most processes that are listed.
pub const MAX_PROCESSES: usize = 4096;

/// Most bytes of the list as it is read, so that it has room in a report beside everything else. Names that are replaced before it leaves
/// may make it a little longer.
pub const PROCESSES_BYTES: usize = 256 * 1024;

schema! {
    /// Every process, without arguments.
    #[derive(Default)]
    pub struct Processes {
        /// Processes that were seen, with those that could not be read.
        technical seen: u32,
        /// Processes that were read and are not listed, for want of room: the kernel's own that are idle and programs with little
        /// memory.
        technical left_out: u32,
        /// By number; at most [`MAX_PROCESSES`], and together at most [`PROCESSES_BYTES`].
        nested processes: Vec<ProcessRow>,
    }

    /// One process.
    #[derive(Default)]
    pub struct ProcessRow {
        /// Process id.
        technical pid: u32,
        /// Process id of its parent, which may be missing from the list; 0 if it has none that the agent can see.
        technical parent: u32,
        /// Start in clock ticks since the machine started: another process may have the number later.
        technical start_ticks: u64,
        /// The program's name; never its arguments.
        technical name: Label,
        /// The user whose rights it has; blank if it ended meanwhile.
        personal owner: Label,
        /// The kernel's state letter, such as `R`, `S`, `D` or `Z`.
        technical state: char,
        /// Whether it is a part of the kernel, which no program can pretend to be.
        technical kernel_thread: bool,
        /// Number of threads.
        technical threads: u32,
        /// Resident, shared pages in full.
        technical resident_kib: u64,
        /// Processor time since it started, in milliseconds.
        technical cpu_ms: u64,
        /// Time since it started; absent if the machine does not say for how long it runs.
        technical age_secs: Option<u64>,
    }
}

impl Message for Processes {
    const MAX_BYTES: usize = PROCESSES_BYTES;
}
