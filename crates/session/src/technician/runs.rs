//! A run as the technician follows it.

use wire::{
    ids::{Digest, RunId},
    run::{OutputCount, RunLimits, RunOutcome, RunProposal},
    session::{DenyReason, Output},
    time::Moment,
};

use super::TechnicianProtocolError;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Proposed; perhaps behind other questions.
    Proposed,
    /// The person is being asked.
    Asking {
        /// When silence counts as a no.
        answer_by: Moment,
    },
    /// The person said yes; the program was not reported as started yet.
    Approved,
    /// The program runs.
    Running {
        /// Digest of what the person approved.
        digest: Digest,
        /// When that was told.
        since: Moment,
    },
    /// The answer was no.
    Denied(DenyReason),
    /// It is over.
    Finished {
        /// How.
        outcome: RunOutcome,
        /// Standard output.
        stdout: OutputCount,
        /// Standard error.
        stderr: OutputCount,
    },
    /// The session ended before the agent said what became of it. The agent kills what runs when a session ends.
    SessionOver,
}

#[derive(Debug)]
pub(super) struct Run {
    state: RunState,
    limits: RunLimits,
    stdout_opened: bool,
    stderr_opened: bool,
}

impl Run {
    pub(super) fn proposed(proposal: &RunProposal) -> Self {
        let limits = proposal.limits.clamped();
        Self { state: RunState::Proposed, limits, stdout_opened: false, stderr_opened: false }
    }

    pub(super) fn state(&self) -> &RunState {
        &self.state
    }

    pub(super) fn limits(&self) -> RunLimits {
        self.limits
    }

    pub(super) fn set(&mut self, state: RunState) {
        self.state = state;
    }

    /// Whether nothing more comes of it but late output.
    pub(super) fn is_over(&self) -> bool {
        match &self.state {
            RunState::Proposed | RunState::Asking { .. } | RunState::Approved | RunState::Running { .. } => false,
            RunState::Denied(_) | RunState::Finished { .. } | RunState::SessionOver => true,
        }
    }

    /// When silence counts as a no, if the question is open and before the person.
    pub(super) fn pending(&self) -> Option<Option<Moment>> {
        match &self.state {
            RunState::Proposed => Some(None),
            RunState::Asking { answer_by } => Some(Some(*answer_by)),
            RunState::Approved
            | RunState::Running { .. }
            | RunState::Denied(_)
            | RunState::Finished { .. }
            | RunState::SessionOver => None,
        }
    }

    pub(super) fn session_over(&mut self) {
        if !self.is_over() {
            self.state = RunState::SessionOver;
        }
    }

    pub(super) fn open_output(&mut self, run: RunId, output: Output) -> Result<u64, TechnicianProtocolError> {
        if matches!(self.state, RunState::Denied(_)) {
            return Err(TechnicianProtocolError::NotApproved { run });
        }
        let opened = match output {
            Output::Stdout => &mut self.stdout_opened,
            Output::Stderr => &mut self.stderr_opened,
        };
        if std::mem::replace(opened, true) {
            return Err(TechnicianProtocolError::OutputTwice { run });
        }
        Ok(self.limits.output_bytes)
    }
}
