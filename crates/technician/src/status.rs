//! How a session stands, at one moment, as the screen, `assent status` and scripts see it.
//!
//! Every text in it that came from the agent has been made safe to show. Times are counted from the moment at which the status was made.

use serde::{Deserialize, Serialize};
use wire::{
    ids::{GrantId, SessionId},
    session::{Ability, Absence, EndReason, Subject},
};

/// How a session stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The session's id; none before the code was proved.
    pub(crate) session: Option<SessionId>,
    /// Process that owns the session.
    pub(crate) process: u32,
    /// Where things stand.
    pub(crate) phase: Phase,
    /// Name of the machine, as it says itself; none before the first diagnostics.
    pub(crate) host: Option<String>,
    /// Who the technician is to the end user.
    pub(crate) technician: TechnicianStatus,
    /// How the two machines are connected.
    pub(crate) path: PathStatus,
    /// Since the technician attached, in seconds.
    pub(crate) age_secs: u64,
    /// Questions that the end user has not answered yet.
    pub(crate) asking: Vec<Question>,
    /// What is allowed now.
    pub(crate) grants: Vec<GrantStatus>,
    /// Runs, oldest first: those that are not over, and the newest of those that are.
    pub(crate) runs: Vec<RunStatus>,
    /// What happened, oldest first.
    pub(crate) activity: Vec<ActivityLine>,
    /// Lines of the log above that were dropped because there were too many.
    pub(crate) activity_dropped: u64,
    /// The technician's copy of the audit log.
    pub(crate) receipt: ReceiptStatus,
}

/// Where things stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(crate) enum Phase {
    /// On the way to the end user; `detail` says how far.
    Connecting {
        /// Such as "reaching the relay".
        detail: String,
    },
    /// The end user reads the first question.
    WaitingForAnswer {
        /// Until silence counts as no; none before the agent has said it.
        answer_within_secs: Option<u64>,
    },
    /// The session is on.
    Live,
    /// The end user is away.
    Paused {
        /// Why.
        reason: Absence,
        /// Until the session ends if nobody comes back.
        ends_in_secs: u64,
    },
    /// The relay was lost and is being reached again.
    Reconnecting {
        /// Since when, in seconds.
        for_secs: u64,
        /// Until the session is given up.
        gives_up_in_secs: u64,
        /// How that goes.
        detail: String,
    },
    /// The session is over.
    Ended {
        /// Why.
        reason: EndReason,
        /// What happened, in words.
        text: String,
    },
}

/// Who the technician is to the end user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TechnicianStatus {
    /// Name that the end user is shown.
    pub(crate) name: String,
    /// How far it is proved.
    pub(crate) standing: Standing,
    /// The two words to read out to the end user; none before the code was proved.
    pub(crate) words: Option<String>,
}

/// How far a technician's name is proved to the end user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// The agent has not said it yet.
    Unknown,
    /// An organisation that the agent trusts vouches for it.
    Verified {
        /// Which.
        organisation: String,
    },
    /// Nobody vouches; the end user is asked for the two words.
    Unverified,
    /// Nobody vouches; the end user confirmed the two words.
    WordsConfirmed,
}

/// How the two machines are connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PathStatus {
    /// Kind of path, `relayed`, `relayed over TCP` or `direct`; none while there is none.
    pub(crate) kind: Option<String>,
    /// Why it is this one, in words.
    pub(crate) why: Option<String>,
    /// Host and port of the relay.
    pub(crate) relay: String,
    /// Round-trip time to the agent in microseconds, smoothed.
    pub(crate) rtt_us: Option<u64>,
    /// Packets sent from here that were lost, in thousandths of all since the session began.
    pub(crate) lost_permille: Option<u16>,
    /// Bits a second that arrived here, over the last seconds; none before it was measured twice.
    pub(crate) received_bits_per_sec: Option<u64>,
    /// Bits a second that were sent from here, over the last seconds.
    pub(crate) sent_bits_per_sec: Option<u64>,
    /// How often the path was lost and found again.
    pub(crate) reconnects: u32,
}

/// A question that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// About what.
    pub(crate) subject: Subject,
    /// In words: abilities or a command.
    pub(crate) what: String,
    /// Until silence counts as no; none before the agent has said that the person sees it.
    pub(crate) answer_within_secs: Option<u64>,
}

/// A live grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GrantStatus {
    /// Which.
    pub(crate) grant: GrantId,
    /// What was answered.
    pub(crate) subject: Subject,
    /// What it covers.
    pub(crate) abilities: Vec<Ability>,
    /// Until it lapses.
    pub(crate) remaining_secs: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunStatus {
    /// Its number.
    pub(crate) run: u32,
    /// Program and arguments as they would be typed.
    pub(crate) command: String,
    /// How far it is.
    pub(crate) state: RunState,
    /// Bytes of output that arrived.
    pub(crate) received_bytes: u64,
    /// The last lines of its output, standard output and standard error as they came.
    pub(crate) last_lines: Vec<String>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(crate) enum RunState {
    /// Not answered yet.
    Asking,
    /// Not allowed.
    Denied {
        /// Why, in words.
        reason: String,
    },
    /// Going on.
    Running {
        /// For how long.
        for_secs: u64,
    },
    /// Being cancelled.
    Cancelling,
    /// Over.
    Finished {
        /// How, in words.
        outcome: String,
        /// As `assent run` would have ended.
        exit: u8,
        /// Bytes of output that were cut.
        cut_bytes: u64,
    },
}

impl RunState {
    /// Whether nothing more will happen to it.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Denied { .. } | Self::Finished { .. } => true,
            Self::Asking | Self::Running { .. } | Self::Cancelling => false,
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActivityLine {
    /// Seconds before the status was made.
    pub(crate) ago_secs: u64,
    /// What, in words.
    pub(crate) text: String,
}

/// The technician's copy of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(crate) enum ReceiptStatus {
    /// Nothing was written yet.
    None,
    /// Every entry so far follows from the one before.
    Sound {
        /// The file.
        file: String,
        /// Entries in it.
        entries: u64,
    },
    /// The copy is not sound, or could not be written.
    Broken {
        /// The file, if there is one.
        file: Option<String>,
        /// What is wrong.
        problem: String,
    },
}
