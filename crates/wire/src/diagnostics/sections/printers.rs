//! Printers and their queues.

use crate::{closed, schema, text::Label};

/// Most printers.
pub const MAX_PRINTERS: usize = 32;

/// Most reasons for the state of one printer or job.
pub const MAX_REASONS: usize = 16;

schema! {
    /// Printers and their queues. Titles and owners of jobs are never asked for.
    #[derive(Default)]
    pub struct Printers {
        /// Queues of the machine, in the order of their names; at most [`MAX_PRINTERS`].
        nested printers: Vec<Printer>,
    }

    /// One queue.
    pub struct Printer {
        /// Its name.
        personal name: Label,
        /// Maker and model as its driver has it; blank if unknown.
        technical model: Label,
        /// What it does.
        technical state: PrinterState,
        /// Keywords for why, such as `media-empty-error`; at most [`MAX_REASONS`].
        technical reasons: Vec<Label>,
        /// Whether it takes new jobs; absent if it does not say.
        technical accepting: Option<bool>,
        /// Jobs that wait or are being printed.
        technical queued_jobs: u32,
        /// Jobs that are held back or were stopped.
        technical stuck_jobs: u32,
        /// How the newest job that ended came out; absent if none is on record.
        nested last_job: Option<LastJob>,
    }

    /// How a job came out.
    pub struct LastJob {
        /// Its state.
        technical state: JobState,
        /// Keywords for why, such as `job-completed-with-errors`; at most [`MAX_REASONS`].
        technical reasons: Vec<Label>,
    }
}

closed! {
    /// `printer-state` of RFC 8011 section 5.4.11.
    pub enum PrinterState {
        /// It waits for jobs.
        Idle = "idle",
        /// It prints.
        Processing = "processing",
        /// It does not print until somebody does something.
        Stopped = "stopped",
        /// Something that this version does not know.
        Other = "other",
    }

    /// `job-state` of RFC 8011 section 5.3.7.
    pub enum JobState {
        /// It waits.
        Pending = "pending",
        /// It is held back.
        Held = "held",
        /// It is being printed.
        Processing = "processing",
        /// Its printing was stopped.
        Stopped = "stopped",
        /// Somebody cancelled it.
        Cancelled = "cancelled",
        /// It failed.
        Aborted = "aborted",
        /// It was printed.
        Completed = "completed",
        /// Something that this version does not know.
        Other = "other",
    }
}
