//! Programs that crashed, as systemd-coredump recorded it. Only what is said about a crash: there is no code that reads the
//! memory of the program, its arguments or its environment.

use crate::{
    schema,
    text::{Label, PeerText},
    time::WallTime,
};

/// Most crashes that are listed: the newest.
pub const MAX_CRASHES: usize = 64;

/// Most programs that are listed.
pub const MAX_PROGRAMS: usize = 32;

/// Most frames of a stack that are kept: the innermost.
pub const MAX_FRAMES: usize = 8;

/// A frame of a stack, as `abort (libc.so.6 + 0x3b585)`: the function, the file that it is in, and where in it.
pub type Frame = PeerText<256>;

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
        /// File name of the program or library that the innermost frame is in; absent if the stack is not known.
        #[serde(default)]
        text module: Option<Label>,
        /// The innermost frames of the thread that crashed, at most [`MAX_FRAMES`], without values and without addresses; none if the
        /// stack is not known.
        #[serde(default)]
        text stack: Vec<Frame>,
    }

    /// How often a program crashed.
    pub struct CrashingProgram {
        /// Name of the executable, without its folder.
        technical program: Label,
        /// Crashes in the last 24 hours.
        technical last_day: u32,
    }
}
