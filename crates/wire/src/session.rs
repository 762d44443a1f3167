//! Technician and agent once paired, on the session's first bidirectional stream, and the headers of the streams beside it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    codec::Message,
    diagnostics::{View, inspect::Inspect},
    ids::{Digest, GrantId, InspectionId, RequestId, RunId},
    path::DirectOffer,
    run::{OutputCount, ProposalError, RunOutcome, RunProposal},
    text::{Label, Sentence},
};

macro_rules! abilities {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One thing that a technician can be allowed to do. A closed list; new ones are added at the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Ability {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Ability {
            /// Every ability there is, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in commands, configuration, logs and documents.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

abilities! {
    /// System figures, disks, network counters, temperatures, names of the busiest programs.
    DiagBasic = "diag.basic",
    /// Log lines.
    DiagLogs = "diag.logs",
    /// Addresses, routes, probes of allowed targets.
    DiagNetwork = "diag.network",
    /// Every process, and everything about single ones, but their arguments.
    DiagProcess = "diag.process",
    /// Seeing the screen.
    ScreenView = "screen.view",
    /// Moving the pointer and typing.
    ScreenControl = "screen.control",
    /// Seeing a terminal.
    TermView = "term.view",
    /// Typing in a terminal.
    TermControl = "term.control",
    /// Copying files from the machine.
    FileRead = "file.read",
    /// Copying files to the machine.
    FileWrite = "file.write",
    /// Reaching a port of the machine or behind it.
    Tunnel = "tunnel",
    /// Runbooks that only read.
    RunR0 = "run.r0",
    /// Runbooks whose effect can be undone.
    RunR1 = "run.r1",
    /// Runbooks that change the system.
    RunR2 = "run.r2",
    /// Runbooks that destroy something or cannot be undone.
    RunR3 = "run.r3",
    /// One command, argument by argument as shown.
    AdhocArgv = "adhoc.argv",
    /// Administrator rights for a run.
    Elevate = "elevate",
    /// Coming back after a restart of the machine.
    RebootReconnect = "reboot_reconnect",
    /// Names that people have and gave: users, folders, printers, machines.
    DiagNames = "diag.names",
    /// Serial numbers and hardware addresses.
    DiagIdentifiers = "diag.identifiers",
    /// Filling the session's own connection for some seconds to measure it.
    DiagLoad = "diag.load",
    /// The arguments of one process, once.
    DiagArguments = "diag.arguments",
}

impl fmt::Display for Ability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no ability of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no ability named {0:?}")]
pub struct UnknownAbility(pub String);

impl FromStr for Ability {
    type Err = UnknownAbility;

    fn from_str(name: &str) -> Result<Self, UnknownAbility> {
        Self::ALL.iter().copied().find(|ability| ability.name() == name).ok_or_else(|| UnknownAbility(name.to_owned()))
    }
}

/// What a technician asks the end user for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Never used before in this session.
    pub request: RequestId,
    /// What for, at most [`Ability::ALL`] many and each once. Runs are not asked for here but each with [`ToAgent::ProposeRun`].
    pub abilities: Vec<Ability>,
    /// Why, in the technician's words.
    pub reason: Sentence,
    /// Seconds that the technician would like to have; the person and the device may give less.
    pub stay_secs: u32,
}

/// What a paired technician sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ToAgent {
    /// Ask for more abilities.
    Request(AccessRequest),
    /// Ask to run exactly this, once.
    ProposeRun(RunProposal),
    /// Withdraw a proposal or stop a run.
    CancelRun {
        /// Which.
        run: RunId,
    },
    /// Start or change the live diagnostics.
    Subscribe {
        /// Milliseconds between samples, clamped by the agent to 250..=60,000.
        period_ms: u32,
    },
    /// Stop the live diagnostics.
    Unsubscribe,
    /// The technician leaves.
    End,
    /// How the technician's end can be reached directly. Only once something was granted.
    Direct(DirectOffer),
    /// Read something once. The answer is a stream of its own ([`StreamHeader::Inspection`]) or [`ToTechnician::NotInspected`]. If it
    /// asks first, [`ToTechnician::Asking`] and [`ToTechnician::Granted`] come before the stream.
    Inspect {
        /// Never used before in this session.
        inspection: InspectionId,
        /// What.
        what: Inspect,
    },
    /// Say what of the live diagnostics is looked at; before that it is everything. The rest is neither read nor sent.
    Look {
        /// What.
        view: View,
    },
    /// Stop an inspection whose answer is no longer wanted.
    CancelInspection {
        /// Which.
        inspection: InspectionId,
    },
}

/// What an agent sends to a paired technician.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ToTechnician {
    /// The person is being asked.
    Asking {
        /// About what.
        subject: Subject,
        /// Seconds until silence counts as a denial.
        answer_within_secs: u32,
    },
    /// The answer was yes, perhaps to less than was asked.
    Granted(GrantNotice),
    /// The answer was no, or nobody could be asked. For an inspection that is [`ToTechnician::NotInspected`].
    Denied {
        /// What was asked.
        subject: Subject,
        /// Why not.
        reason: DenyReason,
    },
    /// A grant covers less than before.
    Narrowed {
        /// Which.
        grant: GrantId,
        /// What is left.
        abilities: Vec<Ability>,
    },
    /// A grant is over.
    GrantEnded {
        /// Which.
        grant: GrantId,
        /// Why.
        reason: GrantEnd,
    },
    /// The person is away: nothing happens until they are back or the session ends.
    Paused {
        /// Why.
        reason: Absence,
        /// Seconds until the session ends if nobody comes back.
        ends_in_secs: u32,
    },
    /// The person is back.
    Resumed,
    /// A proposal was approved and the program was started.
    RunStarted {
        /// Which.
        run: RunId,
        /// Digest of the exact run that was approved.
        digest: Digest,
    },
    /// A run is over, or never began after its approval.
    RunFinished {
        /// Which.
        run: RunId,
        /// How it ended.
        outcome: RunOutcome,
        /// Standard output.
        stdout: OutputCount,
        /// Standard error.
        stderr: OutputCount,
    },
    /// One entry of the agent's audit log, for the technician's copy.
    Audit {
        /// The entry exactly as it stands in the log, without the line end.
        line: Vec<u8>,
    },
    /// The session is over; nothing follows.
    Ended {
        /// Why.
        reason: EndReason,
    },
    /// Answer to [`ToAgent::Direct`]: how the agent's end can be reached directly.
    Direct(DirectOffer),
    /// An inspection is over without an answer, or its answer was broken off.
    NotInspected {
        /// Which.
        inspection: InspectionId,
        /// Why.
        reason: DenyReason,
    },
}

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A request for abilities.
    Request(RequestId),
    /// A proposed run.
    Run(RunId),
    /// An inspection that asks first.
    Inspection(InspectionId),
}

/// A grant as the technician learns of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantNotice {
    /// The grant's name.
    pub grant: GrantId,
    /// What was answered.
    pub subject: Subject,
    /// What it covers.
    pub abilities: Vec<Ability>,
    /// Seconds until it lapses.
    pub stay_secs: u32,
}

/// Why something was not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DenyReason {
    /// The person said no.
    #[error("the end user said no")]
    ByUser,
    /// The person did not answer in time.
    #[error("the end user did not answer in time")]
    NoAnswer,
    /// There is nobody to ask: no consent page or terminal is open, or it was closed.
    #[error("there was no way to ask the end user")]
    NoPrompt,
    /// This device never allows it.
    #[error("this device never allows it")]
    Ceiling,
    /// The organisation's policy forbids it.
    #[error("the organisation's policy forbids it")]
    Policy,
    /// The technician is not verified and the person has not confirmed the words yet.
    #[error("the technician is not verified: the end user has to confirm the two words first")]
    NotVerified,
    /// Too many questions are open.
    #[error("too many questions are waiting for an answer")]
    TooMany,
    /// The person is away.
    #[error("the end user is away")]
    Away,
    /// The request contradicts itself or repeats a number.
    #[error("the request is malformed")]
    Malformed,
    /// The proposed run cannot be put before a person.
    #[error("the command was refused: {0}")]
    Proposal(ProposalError),
    /// No such program on the machine, or it cannot be executed.
    #[error("the program was not found on the machine")]
    ProgramNotFound,
    /// The file is there but cannot be executed.
    #[error("the program cannot be executed")]
    ProgramNotExecutable,
    /// The working directory is not there.
    #[error("the working directory does not exist on the machine")]
    NoDirectory,
    /// The technician withdrew it.
    #[error("the technician withdrew the question")]
    Withdrawn,
    /// The person said no, did not answer, or was shown a question that was taken back, a moment ago; asking again at once would wear
    /// them down.
    #[error("the end user was asked a moment ago: wait before asking again")]
    TooSoon,
    /// The session's first question is not answered yet.
    #[error("the end user has not allowed the session yet")]
    NotYet,
    /// Looking up the program took too long or failed.
    #[error("the machine could not look the program up")]
    LookupFailed,
    /// Nothing that was granted covers it, or no longer.
    #[error("the end user does not allow it at the moment")]
    NotGranted,
    /// Reading it failed.
    #[error("the machine could not read it")]
    InspectionFailed,
    /// More probes of the network than anybody needs.
    #[error("too many probes in a short time: wait a little")]
    TooOften,
    /// The process is not there any more, whatever has its number now.
    #[error("the process has ended")]
    ProcessEnded,
    /// The agent has not the right to read that process, such as one of another user where `/proc` is mounted with `hidepid`.
    #[error("the agent may not read that process")]
    ProcessNotReadable,
    /// The process is another program than the one that the person was asked about.
    #[error("the process has become another program meanwhile")]
    ProcessChanged,
}

/// Why a grant ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantEnd {
    /// Its time was over.
    Lapsed,
    /// The person withdrew it.
    Revoked,
    /// It was for one run or one reading, which is over.
    Used,
    /// The session is over.
    SessionEnded,
}

/// Why the person cannot be asked at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Absence {
    /// The consent page was closed or stopped answering.
    PageClosed,
    /// The screen is locked.
    ScreenLocked,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// The end user pressed Stop.
    #[error("the end user ended the session")]
    ByUser,
    /// The end user said no to the first question.
    #[error("the end user did not allow the session")]
    DeniedByUser,
    /// Nobody answered the first question.
    #[error("nobody answered the first question")]
    NoAnswer,
    /// The technician left.
    #[error("the technician ended the session")]
    ByTechnician,
    /// The end user was away too long, or their terminal was closed.
    #[error("the end user was away too long")]
    UserAway,
    /// The terminal in which the end user was asked is gone.
    #[error("the end user's terminal was closed")]
    TerminalClosed,
    /// The longest time that the device allows is over.
    #[error("the session's time is over")]
    TimeOver,
    /// The audit log cannot be written, so nothing may be done.
    #[error("the audit log could not be written")]
    AuditFailed,
    /// A peer broke the rules of the protocol.
    #[error("the other side broke the protocol")]
    Protocol,
    /// The program was asked to stop.
    #[error("the program was stopped")]
    Shutdown,
    /// The other side could not be reached any more.
    #[error("the connection was lost")]
    ConnectionLost,
    /// Nothing of what the technician asked for first can be allowed on this device, so nobody was asked.
    #[error("this device allows nothing of what the technician asked for")]
    NotAllowed,
}

/// First frame of every one-way stream that an agent opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StreamHeader {
    /// Frames of [`crate::diagnostics`] follow.
    Diagnostics,
    /// The raw bytes of one output of a run follow.
    Output {
        /// Which run.
        run: RunId,
        /// Which of its outputs.
        output: Output,
    },
    /// One frame of [`crate::diagnostics::inspect::Inspected`] follows.
    Inspection {
        /// Which.
        inspection: InspectionId,
    },
    /// Bytes without a meaning follow, at most [`LOAD_BYTES`](crate::diagnostics::sections::probes::LOAD_BYTES): the load of
    /// [`ProbeRequest::Load`](crate::diagnostics::sections::probes::ProbeRequest::Load).
    Load {
        /// Which inspection measures.
        inspection: InspectionId,
    },
}

/// One of the two outputs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Who a technician is, as far as the agent could prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TechnicianIdentity {
    /// A trusted organisation vouches for the name by a certificate for the session's own key.
    Verified {
        /// The person.
        name: Label,
        /// The organisation.
        organisation: Label,
    },
    /// Nobody vouches. The name is a claim.
    Unverified {
        /// What the technician calls itself.
        claimed_name: Label,
    },
}

/// Largest audit line that travels.
pub const AUDIT_LINE_BYTES: usize = 128 * 1024;

impl Message for ToAgent {
    const MAX_BYTES: usize = 64 * 1024;
}

impl Message for ToTechnician {
    const MAX_BYTES: usize = AUDIT_LINE_BYTES + 64;
}

impl Message for StreamHeader {
    const MAX_BYTES: usize = 32;
}
