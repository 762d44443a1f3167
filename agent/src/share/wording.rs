//! What the person reads. Plain words, whole sentences, no jargon; kept in one place.

use std::time::Duration;

use session::agent::DirectWish;
use transport::silence::Silence;
use wire::control::Refusal;
use wire::diagnostics::inspect::About;
use wire::run::{RunLimits, RunOutcome, StartFailure};
use wire::session::{Ability, DenyReason, EndReason};

/// What an ability means to somebody who is asked for it.
pub(super) fn ability(ability: Ability) -> &'static str {
    match ability {
        Ability::DiagBasic => {
            "See how this computer is doing: its model, processor, memory, disks, network traffic, temperatures, services, \
             updates, what failed lately, and the names of the busiest programs. Names of people and folders are replaced \
             (to see it first: assent-share doctor --as-sent)"
        }
        Ability::DiagLogs => {
            "Read log lines of this computer: passwords and keys are taken out as far as they can be recognised, which is not always"
        }
        Ability::DiagNetwork => {
            "See network addresses and names, and test connections: to the relay, the router, the name servers, and what you have listed in \
             the settings"
        }
        Ability::DiagProcess => {
            "See every running program and whose it is, and single ones in full: their files, limits and memory"
        }
        Ability::DiagArguments => "See what one program was started with, once",
        Ability::DiagNames => "See names as they are: of users, folders, printers and this computer",
        Ability::DiagIdentifiers => "See serial numbers and hardware addresses as they are",
        Ability::DiagLoad => {
            "Measure how fast this connection is, once: that takes some ten seconds and sends up to 25 MB of meaningless data"
        }
        Ability::ScreenView => "See your screen",
        Ability::ScreenControl => "Move the pointer and type",
        Ability::TermView => "See a terminal",
        Ability::TermControl => "Type in a terminal",
        Ability::FileRead => "Copy files from this computer",
        Ability::FileWrite => "Copy files to this computer",
        Ability::Tunnel => "Reach network services through this computer",
        Ability::RunR0 => "Run checks that only read",
        Ability::RunR1 => "Run changes that can be undone",
        Ability::RunR2 => "Run changes to the system",
        Ability::RunR3 => "Run changes that cannot be undone",
        Ability::AdhocArgv => "Run one command, exactly as shown",
        Ability::Elevate => "Use administrator rights",
        Ability::RebootReconnect => "Come back after a restart",
        _ => "Something that this version does not know",
    }
}

/// The same for a list: what stands before the colon, with a small letter.
pub(super) fn in_short(of: Ability) -> String {
    let long = ability(of);
    let short = long.split(':').next().unwrap_or(long);
    let mut letters = short.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// What the person is asked to let be read once, behind the name of who asks.
pub(super) fn asks_to_read(about: &About) -> &'static str {
    match about {
        About::Process { .. } => "to see what one program was started with",
        _ => "for something that this version does not know",
    }
}

/// What the person should know before they let it be read.
pub(super) fn before_reading(about: &About) -> Vec<&'static str> {
    match about {
        About::Process { .. } => vec![
            "What a program was started with (its arguments) can hold passwords, names and addresses.",
            "What looks like a password is taken out first. Not every one can be recognised.",
            "The technician is shown it once. It is stored neither on this computer nor in the record of this session.",
        ],
        _ => vec![],
    }
}

/// How far a yes to one reading goes.
pub(super) fn reading_lasts(about: &About) -> &'static str {
    match about {
        About::Process { .. } => "for this one program, once",
        _ => "once",
    }
}

/// A length of time, roundly.
pub(super) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let plural = |count: u64, unit: &str| if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") };
    match seconds {
        0..=90 => plural(seconds, "second"),
        91..=5400 => plural(seconds.div_ceil(60), "minute"),
        _ => plural(seconds.div_ceil(3600), "hour"),
    }
}

/// The bounds of a run.
pub(super) fn limits(limits: RunLimits) -> String {
    format!(
        "at most {}, {} MiB of memory, {} KiB of each output",
        duration(Duration::from_secs(limits.time_secs.into())),
        limits.memory_mib,
        limits.output_bytes / 1024
    )
}

/// How a run ended.
pub(super) fn outcome(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Exited { code: 0 } => "finished".to_owned(),
        RunOutcome::Exited { code } => format!("finished with code {code}"),
        RunOutcome::Signalled { signal } => format!("was ended by signal {signal}"),
        RunOutcome::TimedOut => "took too long and was stopped".to_owned(),
        RunOutcome::Cancelled => "was cancelled by the technician".to_owned(),
        RunOutcome::Revoked => "was stopped because it is no longer allowed".to_owned(),
        RunOutcome::OverMemory => "took too much memory and was stopped".to_owned(),
        RunOutcome::OverProcesses => "started too many programs and was stopped".to_owned(),
        RunOutcome::NotStarted { reason } => format!("did not start: {}", start_failure(reason)),
        RunOutcome::Lost | _ => "was lost sight of; what was left of it was stopped".to_owned(),
    }
}

fn start_failure(reason: &StartFailure) -> String {
    match reason {
        StartFailure::FileChanged => "the program file changed after you said yes".to_owned(),
        StartFailure::NotFound
        | StartFailure::NotExecutable
        | StartFailure::Directory
        | StartFailure::NotAsApproved
        | StartFailure::System { .. }
        | _ => reason.to_string(),
    }
}

/// Why something was not allowed.
pub(super) fn denied(reason: DenyReason) -> String {
    match reason {
        DenyReason::ByUser => "you said no".to_owned(),
        DenyReason::NoAnswer => "you did not answer in time".to_owned(),
        DenyReason::Away => "you were away".to_owned(),
        DenyReason::NotVerified => "the two words have not been confirmed".to_owned(),
        DenyReason::NoPrompt
        | DenyReason::Ceiling
        | DenyReason::Policy
        | DenyReason::TooMany
        | DenyReason::TooSoon
        | DenyReason::NotYet
        | DenyReason::LookupFailed
        | DenyReason::Malformed
        | DenyReason::Proposal(_)
        | DenyReason::ProgramNotFound
        | DenyReason::ProgramNotExecutable
        | DenyReason::NoDirectory
        | DenyReason::Withdrawn
        | _ => reason.to_string(),
    }
}

/// Who sees whose network address after a yes.
pub(super) fn addresses(wish: DirectWish) -> &'static str {
    match wish {
        DirectWish::Wanted => {
            "If you allow this, your computer and the technician's may connect directly, so each sees the other's network address."
        }
        DirectWish::NotWanted => {
            "Everything goes through the relay; your network address is not shown to the technician."
        }
    }
}

/// What is told while nothing is heard of the technician.
pub(super) fn silence(silence: Silence, patience: Duration) -> String {
    let why = if silence.slept_here {
        "this computer was asleep"
    } else {
        "the technician's computer does not answer; it may be asleep"
    };
    let left = duration(patience.saturating_sub(silence.lasts));
    format!("Reconnecting: {why}. Without an answer the session ends within {left}")
}

/// Why a session is over, and what that means for the person.
pub(super) fn ended(reason: EndReason) -> String {
    match reason {
        EndReason::ByUser => "You stopped the session. Nothing of it is running any more.",
        EndReason::DeniedByUser => "You did not allow the session. Nothing was shown and nothing was done.",
        EndReason::NoAnswer => "The question was not answered in time, so the answer was no. Nothing was shown and nothing was done.",
        EndReason::ByTechnician => "The technician ended the session. Nothing of it is running any more.",
        EndReason::UserAway => "You were away too long, so the session was ended. Nothing of it is running any more.",
        EndReason::TerminalClosed => "The terminal was closed, so the session was ended.",
        EndReason::TimeOver => "The longest time for one session is over. Start again if you still need help.",
        EndReason::AuditFailed => {
            "The record of this session could not be written, so it was stopped. Nothing is done without a record. \
             Make room on the disk, then start again."
        }
        EndReason::Protocol => "The technician's program broke the rules, so the session was ended. Tell your support about it.",
        EndReason::Shutdown => "This program was asked to stop. Nothing of the session is running any more.",
        EndReason::ConnectionLost => {
            "The connection to the technician was lost and did not come back. Nothing of the session is running any more. \
             Start again for a new code."
        }
        EndReason::NotAllowed => {
            "The technician asked only for things that this computer never allows, so you were not asked. Nothing was done."
        }
        _ => "The session is over. Nothing of it is running any more.",
    }
    .to_owned()
}

/// Why the relay did not give a code.
pub(super) fn refused(reason: Refusal) -> String {
    match reason {
        Refusal::TooManyAttempts => {
            "The relay has had too many requests from your address. Wait a minute, then ask for a new code."
        }
        Refusal::Full => "The relay is full at the moment. Wait a little, then ask for a new code.",
        Refusal::Draining => "The relay is about to restart. Ask for a new code in a moment.",
        Refusal::NobodyWaiting | Refusal::Busy | Refusal::Unexpected => {
            "The relay did not give a code. Ask for a new one."
        }
        _ => "The relay did not give a code. Ask for a new one.",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_allowed_is_told_in_words_and_not_by_its_name() {
        assert_eq!(in_short(Ability::DiagBasic), "see how this computer is doing");
        for ability in Ability::ALL {
            assert!(!in_short(*ability).contains(ability.name()) && !in_short(*ability).contains("does not know"));
        }
    }

    #[test]
    fn a_silence_is_told_with_its_reason_and_what_follows() {
        let told = |slept_here| {
            let silence = Silence { lasts: Duration::from_secs(60), slept_here };
            super::silence(silence, Duration::from_secs(600))
        };
        assert!(told(false).contains("the technician's computer does not answer"), "{}", told(false));
        assert!(told(true).contains("this computer was asleep"), "{}", told(true));
        assert!(told(true).ends_with("the session ends within 9 minutes"), "{}", told(true));
    }

    #[test]
    fn times_are_told_roundly() {
        let told = [(1, "1 second"), (90, "90 seconds"), (91, "2 minutes"), (5400, "90 minutes"), (14_400, "4 hours")];
        for (seconds, words) in told {
            assert_eq!(duration(Duration::from_secs(seconds)), words);
        }
    }
}
