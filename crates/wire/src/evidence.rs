//! What an audit log says happened. One [`Event`] an entry; the `audit` crate chains and verifies them.
//!
//! Written as JSON objects tagged by `event`, because people and their tools read them. Texts of a peer stand as the peer wrote
//! them (JSON escapes control characters); whoever shows them passes them through [`crate::text::shown`].

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Digest, GrantId, InspectionId, RunId, SessionId},
    run::{OutputCount, RunLimits, RunOutcome},
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd, Subject},
};

/// One thing that happened in a session, in the order in which the agent let it happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Event {
    /// A technician proved the code. Always the first entry.
    Paired {
        /// The session.
        session: SessionId,
        /// Version of the agent.
        agent_version: String,
        /// SHA-256 of the agent's public key.
        agent_key: Digest,
        /// SHA-256 of the technician's public key.
        technician_key: Digest,
        /// Name that was proved or claimed.
        technician: String,
        /// Organisation that vouches for the name; none if it is only a claim.
        organisation: Option<String>,
    },
    /// The person is being asked for abilities.
    AskedForAbilities {
        /// What was asked.
        subject: Subject,
        /// Which.
        abilities: Vec<Ability>,
        /// The technician's reason.
        reason: String,
        /// Digest of everything that the prompt shows.
        prompt: Digest,
    },
    /// The person is being asked for a run.
    AskedForRun {
        /// Which.
        run: RunId,
        /// The technician's reason.
        reason: String,
        /// Absolute program; bytes that are no UTF-8 are escaped as `\xNN`.
        program: String,
        /// Its arguments, escaped in the same way.
        arguments: Vec<String>,
        /// Working directory.
        directory: String,
        /// User that it would run as.
        user: String,
        /// Whole environment, `NAME=value`.
        environment: Vec<String>,
        /// Bounds.
        limits: RunLimits,
        /// Digest of the exact run.
        digest: Digest,
        /// Digest of everything that the prompt shows.
        prompt: Digest,
    },
    /// The person is being asked for one reading.
    AskedForInspection {
        /// Which.
        inspection: InspectionId,
        /// What would be read, such as `arguments of process 4711`.
        what: String,
        /// What the machine calls what it would be read of, such as the name of the program.
        about: String,
        /// Digest of exactly what would be read.
        digest: Digest,
        /// Digest of everything that the prompt shows.
        prompt: Digest,
    },
    /// The person confirmed the two words of an unverified technician.
    WordsConfirmed,
    /// A grant was given.
    Granted {
        /// Its name.
        grant: GrantId,
        /// What was answered.
        subject: Subject,
        /// What it covers.
        abilities: Vec<Ability>,
        /// Seconds until it lapses.
        stay_secs: u32,
        /// Digest of the prompt that the person answered.
        prompt: Digest,
        /// How the person answered.
        answered_by: AnsweredBy,
    },
    /// Something was not allowed.
    Denied {
        /// What.
        subject: Subject,
        /// Why.
        reason: DenyReason,
    },
    /// The person took part of a grant back.
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
    /// The diagnostics stream is about to start.
    DiagnosticsStarted {
        /// Grant that covers it.
        grant: GrantId,
        /// Milliseconds between samples.
        period_ms: u32,
    },
    /// The diagnostics stream was stopped.
    DiagnosticsStopped,
    /// Something is about to be read of the machine.
    Inspecting {
        /// Which inspection.
        inspection: InspectionId,
        /// Grant that covers it.
        grant: GrantId,
        /// What.
        what: String,
    },
    /// An inspection was stopped before its answer was sent.
    InspectionStopped {
        /// Which.
        inspection: InspectionId,
    },
    /// A run is about to start.
    RunStarting {
        /// Which.
        run: RunId,
        /// Grant that covers it.
        grant: GrantId,
        /// Digest of the exact run.
        digest: Digest,
    },
    /// A run is about to be killed.
    RunStopping {
        /// Which.
        run: RunId,
    },
    /// A run is over.
    RunFinished {
        /// Which.
        run: RunId,
        /// How.
        outcome: RunOutcome,
        /// Standard output.
        stdout: OutputCount,
        /// Standard error.
        stderr: OutputCount,
    },
    /// The person is away.
    Paused {
        /// Why.
        reason: Absence,
    },
    /// The person is back.
    Resumed,
    /// The technician's program broke the protocol.
    Violation {
        /// What it did.
        what: String,
    },
    /// The two machines are about to tell each other their network addresses, so that they can connect directly. Which, the log does not
    /// say: it is shown to others than the two.
    DirectAllowed,
    /// The session goes by a direct path, for the first time since the addresses were told.
    DirectUsed,
    /// The session is over. Always the last entry.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// Where a person gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnsweredBy {
    /// On the consent page, with the page's one-time token.
    Page,
    /// In the terminal, by typing the shown word.
    TypedWord,
}
