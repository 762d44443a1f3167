//! A session that never was, and its log.

use std::path::PathBuf;

use tempfile::TempDir;
use trust::keys::SigningKey;
use wire::{
    evidence::{AnsweredBy, Event},
    ids::{Digest, GrantId, RequestId, RunId, SessionId},
    run::{OutputCount, RunLimits, RunOutcome, StartFailure},
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd, Subject},
    text::Sentence,
    time::WallTime,
};

use crate::line;

pub(crate) const SESSION: SessionId = SessionId([0x5e; 8]);
pub(crate) const START: WallTime = WallTime(1_795_329_304_250);

/// A key that is the same on every machine.
pub(crate) fn key(seed: u8) -> SigningKey {
    // PKCS #8 of an Ed25519 key (RFC 8410 section 7) up to the seed.
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend([seed; 32]);
    SigningKey::from_pkcs8(&der).unwrap()
}

pub(crate) fn agent() -> SigningKey {
    key(1)
}

pub(crate) fn paired(agent: &SigningKey) -> Event {
    Event::Paired {
        session: SESSION,
        agent_version: "0.1.0".to_owned(),
        agent_key: agent.public().digest(),
        technician_key: key(2).public().digest(),
        technician: "Ana Ruiz".to_owned(),
        organisation: Some("Example Help".to_owned()),
    }
}

pub(crate) fn ended() -> Event {
    Event::Ended { reason: EndReason::ByUser }
}

/// One of every event that can stand between the first and the last.
pub(crate) fn middle() -> Vec<Event> {
    let (request, run, grant) = (Subject::Request(RequestId(1)), RunId(1), GrantId(1));
    let counted = OutputCount { sent_bytes: 10, written_bytes: 30 };
    vec![
        Event::AskedForAbilities {
            subject: request,
            abilities: vec![Ability::DiagBasic, Ability::DiagLogs],
            reason: "the printer \"hangs\"\u{1b}[2J".to_owned(),
            prompt: Digest([3; 32]),
        },
        Event::WordsConfirmed,
        Event::Granted {
            grant,
            subject: request,
            abilities: vec![Ability::DiagBasic],
            stay_secs: 1800,
            prompt: Digest([3; 32]),
            answered_by: AnsweredBy::Page,
        },
        Event::DiagnosticsStarted { grant, period_ms: 1000 },
        Event::AskedForRun {
            run,
            reason: "look at the queue".to_owned(),
            program: "/usr/bin/lpstat".to_owned(),
            arguments: vec!["-o".to_owned(), "exe\u{202e}gpj".to_owned()],
            directory: "/home/ana".to_owned(),
            user: "ana".to_owned(),
            environment: vec!["LANG=C".to_owned()],
            limits: RunLimits::DEFAULT,
            digest: Digest([4; 32]),
            prompt: Digest([5; 32]),
        },
        Event::Granted {
            grant: GrantId(2),
            subject: Subject::Run(run),
            abilities: vec![Ability::AdhocArgv],
            stay_secs: 60,
            prompt: Digest([5; 32]),
            answered_by: AnsweredBy::TypedWord,
        },
        Event::RunStarting { run, grant: GrantId(2), digest: Digest([4; 32]) },
        Event::RunFinished {
            run,
            outcome: RunOutcome::Exited { code: 0 },
            stdout: counted,
            stderr: OutputCount::default(),
        },
        Event::GrantEnded { grant: GrantId(2), reason: GrantEnd::Used },
        Event::Denied { subject: Subject::Request(RequestId(2)), reason: DenyReason::ByUser },
        Event::Paused { reason: Absence::PageClosed },
        Event::Resumed,
        Event::Narrowed { grant, abilities: vec![] },
        Event::RunStopping { run: RunId(2) },
        Event::RunFinished {
            run: RunId(2),
            outcome: RunOutcome::NotStarted { reason: StartFailure::System { detail: Sentence::cut("no\nmemory") } },
            stdout: OutputCount::default(),
            stderr: OutputCount::default(),
        },
        Event::DiagnosticsStopped,
        Event::Violation { what: "a stream that nobody opened".to_owned() },
        Event::GrantEnded { grant, reason: GrantEnd::Revoked },
    ]
}

/// The lines of a log of these events, a second apart, and its closing line if there is a key to sign it.
pub(crate) fn lines(events: &[Event], closed_by: Option<&SigningKey>) -> Vec<Vec<u8>> {
    let mut head = line::genesis();
    let mut lines = Vec::new();
    let mut at = START;
    for (n, event) in (1..).zip(events) {
        let (line, next) = line::entry(n, at, event, head).unwrap();
        lines.push(line.into_bytes());
        head = next;
        at = WallTime(at.0 + 1000);
    }
    if let Some(key) = closed_by {
        let n = u64::try_from(lines.len()).unwrap() + 1;
        lines.push(line::closing(n, at, head, key).unwrap().into_bytes());
    }
    lines
}

/// Every event of a session.
pub(crate) fn events(agent: &SigningKey) -> Vec<Event> {
    [vec![paired(agent)], middle(), vec![ended()]].concat()
}

/// A complete log with one of every event.
pub(crate) fn complete() -> Vec<Vec<u8>> {
    lines(&events(&agent()), Some(&agent()))
}

/// A short complete log, for attacks that are tried at every position.
pub(crate) fn short() -> Vec<Vec<u8>> {
    let events = [vec![paired(&agent())], middle()[..3].to_vec(), vec![ended()]].concat();
    lines(&events, Some(&agent()))
}

/// The bytes of a file of these lines.
pub(crate) fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

/// A file in its own directory that is gone when the first of the two is dropped.
pub(crate) fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log");
    crate::files::write_atomic(&path, bytes, 0o600).unwrap();
    (dir, path)
}
