//! Programs that crashed, as systemd-coredump recorded it. Only what is said about a crash: there is no code that reads the
//! memory of the program, its arguments or its environment.

use crate::{schema, text::Label, time::WallTime};

/// Most crashes that are listed: the newest.
pub const MAX_CRASHES: usize = 64;

/// Most programs that are listed.
pub const MAX_PROGRAMS: usize = 32;

schema! {
    /// Programs that crashed in the last seven days.
    #[derive(Default)]
    pub struct Crashes {
        /// The newest crashes, the newest first; at most [`MAX_CRASHES`].
        nested crashes: Vec<Crash>,
        /// Programs by how often they crashed in the last 24 hours, the most often first; at most [`MAX_PROGRAMS`].
        nested programs: Vec<CrashingProgram>,
        /// Crashes in the last 24 hours.
        technical last_day: u32,
        /// Crashes in the last seven days.
        technical last_week: u32,
    }

    /// One crash.
    pub struct Crash {
        /// When it was recorded.
        technical time: WallTime,
        /// Name of the executable, without its folder.
        technical program: Label,
        /// Number of the signal that ended it, such as 11; 0 if unknown.
        technical signal: u32,
        /// Unit that it ran in.
        unit unit: Option<Label>,
    }

    /// How often a program crashed.
    pub struct CrashingProgram {
        /// Name of the executable, without its folder.
        technical program: Label,
        /// Crashes in the last 24 hours.
        technical last_day: u32,
    }
}
