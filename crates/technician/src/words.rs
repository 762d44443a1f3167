//! What things are called in front of a technician.

use wire::{
    run::{RunOutcome, StartFailure},
    session::{Ability, GrantEnd},
};

/// What an ability is good for.
pub(crate) fn ability(ability: Ability) -> &'static str {
    match ability {
        Ability::DiagBasic => "live figures of the machine",
        Ability::DiagLogs => "log lines",
        Ability::DiagNetwork => "addresses, routes, probes",
        Ability::DiagProcess => "every process, single ones in full",
        Ability::DiagNames => "names of people, folders and machines as they are",
        Ability::DiagArguments => "arguments of one process",
        Ability::DiagIdentifiers => "serial numbers and hardware addresses as they are",
        Ability::DiagLoad => "how fast the connection is, with up to 25 MB of data, once",
        Ability::ScreenView => "see the screen",
        Ability::ScreenControl => "pointer and keyboard",
        Ability::TermView => "see a terminal",
        Ability::TermControl => "type in a terminal",
        Ability::FileRead => "copy files from the machine",
        Ability::FileWrite => "copy files to the machine",
        Ability::Tunnel => "reach a port behind the machine",
        Ability::RunR0 => "runbooks that only read",
        Ability::RunR1 => "runbooks that can be undone",
        Ability::RunR2 => "runbooks that change the system",
        Ability::RunR3 => "runbooks that cannot be undone",
        Ability::AdhocArgv => "one command",
        Ability::Elevate => "administrator rights",
        Ability::RebootReconnect => "come back after a restart",
        _ => "unknown to this version",
    }
}

/// How a run ended.
pub(crate) fn outcome(outcome: &RunOutcome) -> String {
    match outcome {
        RunOutcome::Exited { code } => format!("exit {code}"),
        RunOutcome::Signalled { signal } => format!("ended by signal {signal}"),
        RunOutcome::TimedOut => "killed: its time was over".to_owned(),
        RunOutcome::Cancelled => "killed: you cancelled it".to_owned(),
        RunOutcome::Revoked => "killed: the end user withdrew the permission".to_owned(),
        RunOutcome::OverMemory => "killed: it used more memory than allowed".to_owned(),
        RunOutcome::NotStarted { reason } => format!("not started: {}", failure(reason)),
        RunOutcome::OverProcesses => "killed: it started more processes than allowed".to_owned(),
        RunOutcome::Lost => "lost: the agent's runner died; what was left was killed".to_owned(),
        _ => "ended in a way that this version does not know".to_owned(),
    }
}

fn failure(reason: &StartFailure) -> String {
    // `detail` is a peer's text and makes itself safe when it is shown.
    reason.to_string()
}

/// Why a grant is over.
pub(crate) fn grant_end(reason: GrantEnd) -> &'static str {
    match reason {
        GrantEnd::Lapsed => "its time is over",
        GrantEnd::Revoked => "the end user withdrew it",
        GrantEnd::Used => "it was for one use",
        GrantEnd::SessionEnded => "the session is over",
        _ => "it ended",
    }
}

/// Most characters of a command that are shown. The audit log has all of them.
const COMMAND_CHARS: usize = 400;

/// Program and arguments on one line, as a POSIX shell would need them, safe to show. A long one is cut.
pub(crate) fn command<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = parts.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(COMMAND_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn quoted(part: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(byte);
    let text = crate::escape::on_one_line(part);
    if !part.is_empty() && part.iter().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_it_would_be_typed() {
        assert_eq!(command([&b"ls"[..], b"-l", b"two words"]), "ls -l 'two words'");
        assert_eq!(command([&b"printf"[..], b"a\\n", b"it's", b""]), "printf 'a\\n' 'it'\\''s' ''");
        assert_eq!(command([&b"printf"[..], b"\x1b[2J\n\xff"]), "printf '\\u{1b}[2J\\u{a}\\xff'");
    }

    #[test]
    fn a_command_that_nobody_would_read_is_cut() {
        let long = "é".repeat(30_000);
        let shown = command([&b"echo"[..], long.as_bytes()]);
        assert_eq!(shown.chars().count(), COMMAND_CHARS + 1);
        assert!(shown.starts_with("echo 'é") && shown.ends_with('…'));
    }

    #[test]
    fn every_ability_has_words() {
        for ability in Ability::ALL {
            assert_ne!(super::ability(*ability), "unknown to this version", "{ability}");
        }
    }
}
