//! Lines of an audit log, as a technician's copy receives them.

use audit::{Chain, Content, Fault, render};
use trust::Hasher;
use wire::{evidence::Event, ids::Digest, time::WallTime};

use super::{
    Verdict,
    readable::{assert_readable, assert_readable_lines},
};

/// Lines as they are: hardly any mutant keeps its hash.
pub(super) fn audit_lines(bytes: &[u8]) -> Verdict {
    let mut chain = Chain::new();
    let mut accepted = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        accepted |= push(&mut chain, line).is_ok();
    }
    Verdict::accepted_if(accepted)
}

/// Events alone, one a line: numbers, times and hashes are made right for them, as a hostile agent would.
pub(super) fn audit_events(bytes: &[u8]) -> Verdict {
    let mut chain = Chain::new();
    let mut head = trust::digest(b"assent-audit-v1");
    let mut accepted = false;
    for (n, event) in (1_u64..).zip(bytes.split(|byte| *byte == b'\n')) {
        let (line, hash) = chained(n, event, head);
        match push(&mut chain, &line) {
            Ok(()) => accepted = true,
            Err(Fault::Number { .. } | Fault::Time | Fault::Hash) => panic!("a line that was made right is not"),
            Err(_) => break,
        }
        head = hash;
    }
    Verdict::accepted_if(accepted)
}

/// Line `n` after `head`, as the documentation of `audit` describes it, and its hash.
fn chained(n: u64, event: &[u8], head: Digest) -> (Vec<u8>, Digest) {
    let at = WallTime(1_700_000_000_000 + n);
    let mut line = format!("{{\"n\":{n},\"at\":\"{at}\",\"ms\":{},\"event\":", at.0).into_bytes();
    line.extend_from_slice(event);
    let hash = Hasher::new().with(&[1]).with(&head.0).field(&line).finish();
    line.extend_from_slice(format!(",\"hash\":\"{hash}\"}}").as_bytes());
    (line, hash)
}

/// What holds for every line, good or bad.
fn push(chain: &mut Chain, line: &[u8]) -> Result<(), Fault> {
    let before = chain.summary().cloned();
    match chain.push(line) {
        Ok(entry) => {
            assert_readable_lines(&render::entry(&entry));
            if let Content::Event(event) = &entry.content {
                let again = serde_json::to_string(event).and_then(|written| serde_json::from_str::<Event>(&written));
                assert_eq!(again.ok().as_ref(), Some(event));
            }
            assert!(chain.summary().is_some());
            Ok(())
        }
        Err(bad) => {
            assert_readable(&bad.to_string());
            assert_eq!(chain.push(b"{}"), Err(bad.clone()), "a chain went on behind a bad entry");
            assert_eq!(chain.summary().cloned(), before, "a bad entry left something behind");
            Err(bad.fault)
        }
    }
}
