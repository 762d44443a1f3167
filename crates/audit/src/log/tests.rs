use std::{error::Error, fs, iter, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::{
    testing::{SESSION, START, agent, complete, ended, events, file, middle, paired},
    verify_file,
};

/// A device that takes no byte and says that it has no space left.
fn full_device() -> File {
    File::options().append(true).open("/dev/full").unwrap()
}

fn started(dir: &Path) -> AuditLog {
    AuditLog::create(dir, SESSION, &paired(&agent()), START).unwrap().0
}

#[test]
fn a_session_is_written_entry_by_entry_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, first) = AuditLog::create(dir.path(), SESSION, &paired(&agent()), START).unwrap();
    let path = log.path().to_owned();
    let mut at = START;
    let mut written = vec![first];
    for event in middle() {
        at = WallTime(at.0 + 1000);
        written.push(log.append(&event, at).unwrap());
        let bytes = written.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect::<Vec<_>>();
        assert_eq!(fs::read(&path).unwrap(), bytes, "an entry is in the file when the call returns");
    }
    at = WallTime(at.0 + 1000);
    written.extend(log.close(&ended(), &agent(), at).unwrap());

    let last_but_one = written.len() - 1;
    let expected = complete();
    let lines = written.into_iter().map(Line::into_bytes).collect::<Vec<_>>();
    assert_eq!(lines[..last_but_one], expected[..last_but_one]);
    let summary = verify_file(&path).unwrap();
    assert_eq!(summary.entries, events(&agent()).len() as u64);
    assert_eq!(summary.state, crate::State::Closed);
}

#[test]
fn a_log_is_private_and_named_by_date_and_session() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("state").join("audit");
    let log = started(&below);
    assert_eq!(log.path().file_name().unwrap(), "20261122-063504-5e5e5e5e5e5e5e5e.audit.jsonl");
    assert_eq!(fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_log_is_never_written_over_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = started(dir.path()).path().to_owned();
    let before = fs::read(&path).unwrap();
    let again = AuditLog::create(dir.path(), SESSION, &paired(&agent()), START);
    assert!(matches!(again, Err(AuditError::Create(_))), "{again:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_log_that_has_no_place_says_why_once() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("taken");
    File::create(&taken).unwrap();
    let error = AuditLog::create(&taken.join("logs"), SESSION, &paired(&agent()), START).unwrap_err();
    let causes =
        iter::successors(Some(&error as &(dyn Error + 'static)), |error| (*error).source()).map(ToString::to_string);
    let causes = causes.collect::<Vec<_>>();
    assert_eq!(causes.len(), 3, "{causes:?}");
    assert_eq!(causes[0], "the audit log cannot be created, so no session can begin");
    assert!(causes[1].ends_with("taken/logs") && !causes[1].contains(&causes[2]), "{causes:?}");
}

#[test]
fn no_session_begins_on_a_full_disk() {
    let error = AuditLog::on_file(full_device(), "/dev/full".into(), &paired(&agent()), START).unwrap_err();
    assert!(matches!(error, AuditError::Write { obstacle: Obstacle::DiskFull, .. }), "{error:?}");
}

#[test]
fn a_disk_that_fills_up_ends_the_log_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = started(dir.path());
    log.append(&Event::Resumed, START).unwrap();
    let good = std::mem::replace(&mut log.file, full_device());

    let error = log.append(&Event::Resumed, START).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the disk is full"), "what happened: {text}");
    assert!(text.contains("what it was to record was not done"), "what was not done: {text}");
    assert!(text.contains("free some space and start a new session"), "what to do: {text}");
    assert!(text.contains(&log.path().display().to_string()), "where: {text}");

    // Space may be back: an entry is missing all the same, so nothing can follow.
    log.file = good;
    assert!(matches!(log.append(&Event::Resumed, START), Err(AuditError::Broken { .. })));
    let path = log.path().to_owned();
    assert!(matches!(log.close(&ended(), &agent(), START), Err(AuditError::Broken { .. })));
    assert_eq!(verify_file(&path).unwrap().entries, 2, "what was written before is intact");
}

#[test]
fn a_half_written_entry_reads_as_cut_off_and_not_as_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = started(dir.path());
    log.append(&Event::Resumed, START).unwrap();
    let path = log.path().to_owned();
    let whole = fs::read(&path).unwrap();
    let (_dir, half) = file(&whole[..whole.len() - 40]);
    let summary = verify_file(&half).unwrap();
    assert_eq!(summary.entries, 1);
    assert!(matches!(summary.state, crate::State::NotClosed { torn_bytes } if torn_bytes > 0));
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_the_reason() {
    let (_dir, path) = file(b"");
    let read_only = File::open(&path).unwrap();
    let error = AuditLog::on_file(read_only, path, &paired(&agent()), START).unwrap_err();
    assert!(matches!(error, AuditError::Write { .. }), "{error:?}");
}

#[test]
fn every_obstacle_has_its_own_words_and_advice() {
    // Linux error numbers: ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EIO, EINVAL.
    let obstacles = [28, 122, 27, 30, 13, 5, 22].map(|number| Obstacle::of(&io::Error::from_raw_os_error(number)));
    assert_eq!(
        obstacles,
        [
            Obstacle::DiskFull,
            Obstacle::Quota,
            Obstacle::FileTooLarge,
            Obstacle::ReadOnly,
            Obstacle::NotPermitted,
            Obstacle::Device,
            Obstacle::Other
        ]
    );
    assert!(obstacles.iter().all(|obstacle| !obstacle.advice().is_empty()));
}

#[test]
fn an_entry_that_no_reader_would_take_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = started(dir.path());
    let before = fs::read(log.path()).unwrap();
    let error = log.append(&Event::Violation { what: "x".repeat(AUDIT_LINE_BYTES) }, START).unwrap_err();
    assert!(matches!(error, AuditError::TooLong { bytes } if bytes > AUDIT_LINE_BYTES), "{error:?}");
    assert_eq!(fs::read(log.path()).unwrap(), before);
    assert!(matches!(log.append(&Event::Resumed, START), Err(AuditError::Broken { .. })));
}

#[test]
fn an_event_out_of_place_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let created = AuditLog::create(dir.path(), SESSION, &Event::Resumed, START);
    assert!(matches!(created, Err(AuditError::OutOfPlace)), "a log begins with the pairing");
    for event in [paired(&agent()), ended()] {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(started(dir.path()).append(&event, START), Err(AuditError::OutOfPlace)));
    }
    let dir = tempfile::tempdir().unwrap();
    let closed = started(dir.path()).close(&Event::Resumed, &agent(), START);
    assert!(matches!(closed, Err(AuditError::OutOfPlace)), "a log is closed with the end");
}
