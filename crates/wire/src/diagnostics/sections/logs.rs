//! Log lines, and what may be asked of the log.

use serde::{Deserialize, Serialize};

use crate::{
    closed, schema,
    text::{Label, PeerText},
    time::WallTime,
};

/// Most bytes of a line's message.
pub const MAX_MESSAGE_BYTES: usize = 8 * 1024;

/// Most lines of one answer.
pub const MAX_LINES: u32 = 500;

/// Most bytes that the messages of one answer have together, so that it fits into a report beside everything else.
pub const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Most units that one question names.
pub const MAX_UNITS: usize = 16;

/// Message of a line, cut to its bound.
pub type LogText = PeerText<MAX_MESSAGE_BYTES>;

/// A place in the journal, as the journal itself writes it; see `systemd.journal-fields(7)`, `__CURSOR`.
pub type Cursor = PeerText<256>;

closed! {
    /// How important a line is: the levels of syslog, the gravest first (RFC 5424, section 6.2.1).
    pub enum Priority {
        /// The system is unusable.
        Emergency = "emergency",
        /// Something must be done at once.
        Alert = "alert",
        /// Critical.
        Critical = "critical",
        /// An error.
        Error = "error",
        /// A warning.
        Warning = "warning",
        /// Normal and worth a look.
        Notice = "notice",
        /// Information.
        Info = "info",
        /// For developers.
        Debug = "debug",
    }

    /// What became of a line's message.
    pub enum MessageForm {
        /// It stands as it was written.
        Whole = "whole",
        /// It was longer than [`MAX_MESSAGE_BYTES`] and is cut.
        Cut = "cut",
        /// It is not text, and left out.
        Binary = "binary",
        /// The line has none.
        Absent = "absent",
    }
}

impl Priority {
    /// Its number, 0 the gravest.
    pub fn level(self) -> u8 {
        self as u8
    }

    /// The level with this number; `None` for numbers above 7.
    pub fn from_level(level: u64) -> Option<Self> {
        usize::try_from(level).ok().and_then(|level| Self::ALL.get(level).copied())
    }
}

/// What is asked of the log. Comes from a peer: whoever answers bounds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogQuery {
    /// Only of these units; of all if there are none. Names that no unit can have match nothing. At most [`MAX_UNITS`] count.
    pub units: Vec<Label>,
    /// Nothing less grave than this.
    pub least: Priority,
    /// Nothing older.
    pub since: Option<WallTime>,
    /// Nothing newer.
    pub until: Option<WallTime>,
    /// Only what stands behind this place, as [`Logs::cursor`] of an earlier answer.
    pub after: Option<Cursor>,
    /// This many of the newest lines, or of those behind the cursor; at most [`MAX_LINES`].
    pub limit: u32,
}

impl Default for LogQuery {
    /// The newest 200 lines of every unit, without those for developers.
    fn default() -> Self {
        Self { units: Vec::new(), least: Priority::Info, since: None, until: None, after: None, limit: 200 }
    }
}

schema! {
    /// Log lines, the oldest first.
    #[derive(Default)]
    pub struct Logs {
        /// At most [`MAX_LINES`], with at most [`MAX_TEXT_BYTES`] of messages.
        nested lines: Vec<LogLine>,
        /// Where the last line stands, to go on from; absent if there is no line.
        technical cursor: Option<Cursor>,
    }

    /// One line.
    pub struct LogLine {
        /// When it was written.
        technical time: WallTime,
        /// Unit that wrote it or that it is about.
        unit unit: Option<Label>,
        /// How important it is; absent if nobody said.
        technical priority: Option<Priority>,
        /// What the writer calls itself: anything.
        text identifier: Label,
        /// What it says.
        text message: LogText,
        /// Whether that is all of it.
        technical form: MessageForm,
    }
}
