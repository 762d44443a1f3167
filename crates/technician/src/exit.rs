//! The exit codes, and what leads to which.

use std::process::ExitCode;

use wire::{
    control::Refusal,
    run::{RunOutcome, StartFailure},
    session::{DenyReason, EndReason},
};

/// How a command ended, as its caller's shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// Something that has no code of its own.
    Other,
    /// The command line, the configuration or the session code is wrong.
    Usage,
    /// Somebody or something said no.
    Denied,
    /// A time limit was reached.
    TimedOut,
    /// Somebody could not be reached.
    Network,
    /// The agent could not do what it was allowed to do.
    Runner,
    /// The program cannot be executed.
    NotExecutable,
    /// The program was not found.
    NotFound,
    /// The remote program ended by itself.
    Program(u8),
    /// A signal ended the remote program.
    Signal(u8),
}

/// SIGINT, by which a cancelled run ends for its caller as a local one would.
const INTERRUPT: u8 = 2;

/// SIGKILL, by which a run ends that used too much memory or started too many processes.
const KILL: u8 = 9;

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::Denied => 3,
            Self::TimedOut => 4,
            Self::Network => 5,
            Self::Runner => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Program(code) => code,
            Self::Signal(signal) => 128u8.saturating_add(signal),
        }
    }

    /// After a run ended so.
    pub(crate) fn of_outcome(outcome: &RunOutcome) -> Self {
        match outcome {
            RunOutcome::Exited { code } => Self::Program(*code),
            RunOutcome::Signalled { signal } => Self::Signal(*signal),
            RunOutcome::TimedOut => Self::TimedOut,
            RunOutcome::Cancelled => Self::Signal(INTERRUPT),
            RunOutcome::Revoked => Self::Denied,
            RunOutcome::OverMemory | RunOutcome::OverProcesses => Self::Signal(KILL),
            RunOutcome::NotStarted { reason } => match reason {
                StartFailure::NotFound => Self::NotFound,
                StartFailure::NotExecutable => Self::NotExecutable,
                StartFailure::Directory
                | StartFailure::FileChanged
                | StartFailure::NotAsApproved
                | StartFailure::System { .. }
                | _ => Self::Runner,
            },
            RunOutcome::Lost | _ => Self::Runner,
        }
    }

    /// After a request or a run was not allowed.
    pub(crate) fn of_denial(reason: DenyReason) -> Self {
        match reason {
            DenyReason::NoAnswer => Self::TimedOut,
            DenyReason::Malformed | DenyReason::Proposal(_) => Self::Usage,
            DenyReason::ProgramNotFound => Self::NotFound,
            DenyReason::ProgramNotExecutable => Self::NotExecutable,
            DenyReason::NoDirectory
            | DenyReason::ProcessEnded
            | DenyReason::ProcessNotReadable
            | DenyReason::ProcessChanged => Self::Runner,
            DenyReason::Withdrawn => Self::Signal(INTERRUPT),
            DenyReason::ByUser
            | DenyReason::NoPrompt
            | DenyReason::Ceiling
            | DenyReason::Policy
            | DenyReason::NotVerified
            | DenyReason::TooMany
            | DenyReason::Away
            | DenyReason::TooSoon
            | DenyReason::NotYet
            | _ => Self::Denied,
        }
    }

    /// When a session ended while something was going on in it.
    pub(crate) fn of_end(reason: EndReason) -> Self {
        match reason {
            EndReason::NoAnswer => Self::TimedOut,
            EndReason::ConnectionLost | EndReason::Protocol => Self::Network,
            EndReason::AuditFailed | EndReason::Shutdown => Self::Runner,
            EndReason::ByUser
            | EndReason::DeniedByUser
            | EndReason::ByTechnician
            | EndReason::UserAway
            | EndReason::TerminalClosed
            | EndReason::TimeOver
            | _ => Self::Denied,
        }
    }

    /// When an attached session came to its end, as `assent attach` tells it: an end that somebody chose is no failure.
    pub(crate) fn of_attached_end(reason: EndReason) -> Self {
        match reason {
            EndReason::ByTechnician | EndReason::ByUser | EndReason::TimeOver => Self::Ok,
            EndReason::NoAnswer
            | EndReason::ConnectionLost
            | EndReason::Protocol
            | EndReason::AuditFailed
            | EndReason::Shutdown
            | EndReason::DeniedByUser
            | EndReason::UserAway
            | EndReason::TerminalClosed
            | _ => Self::of_end(reason),
        }
    }

    /// When the relay refused.
    pub(crate) fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NobodyWaiting | Refusal::TooManyAttempts => Self::Denied,
            Refusal::Busy | Refusal::Full | Refusal::Draining | Refusal::Unexpected | _ => Self::Network,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_as_docker_run_would() {
        let of = |outcome| Exit::of_outcome(&outcome).code();
        assert_eq!(of(RunOutcome::Exited { code: 0 }), 0);
        assert_eq!(of(RunOutcome::Exited { code: 42 }), 42);
        assert_eq!(of(RunOutcome::Signalled { signal: 15 }), 143);
        assert_eq!(of(RunOutcome::Signalled { signal: 200 }), 255);
        assert_eq!(of(RunOutcome::OverMemory), 137);
        assert_eq!(of(RunOutcome::NotStarted { reason: StartFailure::NotExecutable }), 126);
        assert_eq!(of(RunOutcome::NotStarted { reason: StartFailure::NotFound }), 127);
        assert_eq!(of(RunOutcome::NotStarted { reason: StartFailure::FileChanged }), 125);
        assert_eq!(of(RunOutcome::Lost), 125);
    }

    #[test]
    fn a_no_a_silence_and_a_lost_network_are_told_apart() {
        assert_eq!(Exit::of_denial(DenyReason::ByUser).code(), 3);
        assert_eq!(Exit::of_outcome(&RunOutcome::Revoked).code(), 3);
        assert_eq!(Exit::of_denial(DenyReason::NoAnswer).code(), 4);
        assert_eq!(Exit::of_outcome(&RunOutcome::TimedOut).code(), 4);
        assert_eq!(Exit::of_end(EndReason::ConnectionLost).code(), 5);
        assert_eq!(Exit::of_denial(DenyReason::ProgramNotFound).code(), 127);
        assert_eq!(Exit::of_attached_end(EndReason::ByTechnician).code(), 0);
        assert_eq!(Exit::of_attached_end(EndReason::DeniedByUser).code(), 3);
    }
}
