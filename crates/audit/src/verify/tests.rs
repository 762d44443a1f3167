use std::cell::Cell;

use proptest::prelude::*;
use wire::{
    evidence::Event,
    ids::{Digest, RunId},
    run::ProposalError,
    session::{DenyReason, EndReason, Subject},
    time::WallTime,
};

use super::*;
use crate::{
    Content, Expected, Receipt, ReceiptError, State,
    line::{self, CLOSING_CONTEXT},
    testing::{SESSION, START, agent, complete, ended, events, file, joined, key, lines, middle, paired, short},
};

fn check(bytes: &[u8]) -> Result<Summary, VerifyError> {
    let (_dir, path) = file(bytes);
    verify_file(&path)
}

/// Without a file, for attacks that are tried thousands of times.
fn check_in_memory(bytes: &[u8]) -> Result<Summary, Option<BadEntry>> {
    verify(Lines { reader: bytes, line: Vec::new() }, |_| {}).map_err(|error| match error {
        NotIntact::Bad(bad) => Some(bad),
        NotIntact::NoEntry => None,
        NotIntact::Read(error) => panic!("memory is always readable: {error}"),
    })
}

fn bad(bytes: &[u8]) -> (u64, Fault) {
    match check_in_memory(bytes) {
        Err(Some(BadEntry { n, fault })) => (n, fault),
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn a_complete_log_verifies() {
    let summary = check(&joined(&complete())).unwrap();
    assert_eq!((summary.session, summary.state, summary.end), (SESSION, State::Closed, Some(EndReason::ByUser)));
    assert_eq!(summary.entries, events(&agent()).len() as u64);
    assert_eq!(summary.first_at, START);
    assert_eq!(summary.granted.iter().map(|ability| ability.name()).collect::<Vec<_>>(), ["diag.basic", "adhoc.argv"]);
    assert_eq!((summary.denied, summary.violations), (1, 1));
    assert_eq!((summary.runs_started, summary.runs_failed), (1, 1));
    assert_eq!(summary.clock_went_back, None);
}

#[test]
fn the_bytes_of_a_log_never_change() {
    let lines = complete();
    let text = lines.iter().map(|line| str::from_utf8(line).unwrap()).collect::<Vec<_>>();
    assert_eq!(text, include_str!("golden.jsonl").lines().collect::<Vec<_>>());
}

#[test]
fn reasons_keep_their_names() {
    let name = |event: Event| serde_json::to_value(&event).unwrap();
    let ends = [
        (EndReason::ByUser, "by_user"),
        (EndReason::DeniedByUser, "denied_by_user"),
        (EndReason::NoAnswer, "no_answer"),
        (EndReason::ByTechnician, "by_technician"),
        (EndReason::UserAway, "user_away"),
        (EndReason::TerminalClosed, "terminal_closed"),
        (EndReason::TimeOver, "time_over"),
        (EndReason::AuditFailed, "audit_failed"),
        (EndReason::Protocol, "protocol"),
        (EndReason::Shutdown, "shutdown"),
        (EndReason::ConnectionLost, "connection_lost"),
        (EndReason::NotAllowed, "not_allowed"),
    ];
    for (reason, golden) in ends {
        assert_eq!(name(Event::Ended { reason })["reason"], golden);
    }
    let denials = [
        (DenyReason::ByUser, "by_user"),
        (DenyReason::NoAnswer, "no_answer"),
        (DenyReason::NoPrompt, "no_prompt"),
        (DenyReason::Ceiling, "ceiling"),
        (DenyReason::Policy, "policy"),
        (DenyReason::NotVerified, "not_verified"),
        (DenyReason::TooMany, "too_many"),
        (DenyReason::Away, "away"),
        (DenyReason::Malformed, "malformed"),
        (DenyReason::ProgramNotFound, "program_not_found"),
        (DenyReason::ProgramNotExecutable, "program_not_executable"),
        (DenyReason::NoDirectory, "no_directory"),
        (DenyReason::Withdrawn, "withdrawn"),
        (DenyReason::TooSoon, "too_soon"),
        (DenyReason::NotYet, "not_yet"),
    ];
    let subject = Subject::Run(RunId(1));
    for (reason, golden) in denials {
        assert_eq!(name(Event::Denied { subject, reason })["reason"], golden);
    }
    let proposal = DenyReason::Proposal(ProposalError::RelativeDirectory);
    assert_eq!(name(Event::Denied { subject, reason: proposal })["reason"]["proposal"], "relative_directory");
}

proptest! {
    #[test]
    fn every_text_of_a_peer_is_recorded_as_it_was(text in "\\PC{0,8}[\u{0}-\u{a0}\u{2000}-\u{2070}\u{e0000}-\u{e0080}]{0,8}", arguments in any::<Vec<String>>()) {
        let mut asked = middle()[4].clone();
        if let Event::AskedForRun { reason, arguments: given, .. } = &mut asked {
            (*reason, *given) = (text.clone(), arguments);
        }
        let claimed = Event::Violation { what: text };
        let log = lines(&[paired(&agent()), asked.clone(), claimed.clone()], None);
        let bytes = joined(&log);
        let acts = |character: char| character != '\n' && character != '\\' && wire::text::shown(&character.to_string()) != character.to_string();
        prop_assert!(!str::from_utf8(&bytes).unwrap().contains(acts), "nothing in the file acts on a screen");
        let mut read = Vec::new();
        let result = verify(Lines { reader: bytes.as_slice(), line: Vec::new() }, |entry| read.push(entry.content.clone()));
        prop_assert!(result.is_ok());
        prop_assert_eq!(&read[1..], &[Content::Event(asked), Content::Event(claimed)]);
    }
}

#[test]
fn anybody_can_recompute_a_log_from_the_documentation() {
    // On purpose without anything of this crate but the documented constants.
    let lines = complete();
    let (closing, entries) = lines.split_last().unwrap();
    let mut head = trust::digest(b"assent-audit-v1");
    for entry in entries {
        let text = str::from_utf8(entry).unwrap();
        let (body, hash) = text.rsplit_once(",\"hash\":\"").unwrap();
        let length = (body.len() as u64).to_be_bytes();
        head = trust::digest(&[&[1], head.0.as_slice(), &length, body.as_bytes()].concat());
        assert_eq!(hash, format!("{head}\"}}"));
    }
    let text = str::from_utf8(closing).unwrap();
    let (signed, signature) = text.rsplit_once(",\"signature\":\"").unwrap();
    assert!(signed.contains(&format!("\"closed\":{{\"head\":\"{head}\"")));
    let signature = signature.strip_suffix("\"}").unwrap();
    let signature = (0..64).map(|at| u8::from_str_radix(&signature[2 * at..2 * at + 2], 16).unwrap());
    let signature = signature.collect::<Vec<_>>();
    assert!(agent().public().verify(CLOSING_CONTEXT, signed.as_bytes(), &signature).is_ok());
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let lines = short();
    let whole = joined(&lines);
    let mut position = 0;
    for (n, line) in (1..).zip(&lines) {
        for _ in 0..=line.len() {
            let mut changed = whole.clone();
            changed[position] ^= 1;
            assert_eq!(bad(&changed).0, n, "byte {position}");
            position += 1;
        }
    }
    assert_eq!(position, whole.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_changed_byte_is_found(position in any::<prop::sample::Index>(), change in 1u8..) {
        let lines = complete();
        let mut bytes = joined(&lines);
        let position = position.index(bytes.len());
        let n = bytes[..position].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        bytes[position] ^= change;
        prop_assert_eq!(bad(&bytes).0, n);
    }

    #[test]
    fn no_file_makes_the_verifier_panic(bytes in any::<Vec<u8>>(), position in any::<prop::sample::Index>()) {
        let _ = check_in_memory(&bytes);
        let mut spliced = joined(&short());
        let position = position.index(spliced.len());
        spliced.splice(position..position, bytes);
        let _ = check_in_memory(&spliced);
    }
}

#[test]
fn a_removed_entry_is_missed_at_its_place() {
    let lines = complete();
    for removed in 0..lines.len() - 1 {
        let mut left = lines.clone();
        left.remove(removed);
        let n = removed as u64 + 1;
        assert_eq!(bad(&joined(&left)), (n, Fault::Number { found: n + 1 }));
    }
}

#[test]
fn swapped_entries_are_found_at_the_first_of_them() {
    let lines = short();
    for one in 0..lines.len() {
        for other in one + 1..lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(one, other);
            assert_eq!(bad(&joined(&swapped)).0, one as u64 + 1);
        }
    }
}

#[test]
fn a_repeated_entry_is_found_where_it_repeats() {
    let lines = complete();
    for repeated in 0..lines.len() - 1 {
        let mut more = lines.clone();
        more.insert(repeated + 1, lines[repeated].clone());
        let n = repeated as u64 + 1;
        assert_eq!(bad(&joined(&more)), (n + 1, Fault::Number { found: n }));
    }
}

#[test]
fn an_inserted_entry_is_found_at_its_place_even_if_everything_after_is_renumbered() {
    let lines = short();
    let forged = line::entry(3, START, &Event::WordsConfirmed, Digest([9; 32])).unwrap().0.into_bytes();
    let mut inserted = lines.clone();
    inserted.insert(2, forged);
    assert_eq!(bad(&joined(&inserted)), (3, Fault::Hash));

    // Chained properly onto what stands before it: then the original entry after it does not fit.
    let mut events = events(&agent());
    events.insert(2, Event::WordsConfirmed);
    let rewritten = self::lines(&events, None);
    let mut spliced = complete();
    spliced.insert(2, rewritten[2].clone());
    assert_eq!(bad(&joined(&spliced)).0, 4);
}

#[test]
fn a_log_that_is_cut_off_anywhere_is_not_closed_and_not_tampered_with() {
    let lines = short();
    let whole = joined(&lines);
    for length in 0..whole.len() - 1 {
        let entries = whole[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        let line_start = whole[..length].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let torn_bytes = (length - line_start) as u64;
        match check_in_memory(&whole[..length]) {
            Ok(summary) if summary.entries == entries => assert_eq!(summary.state, State::NotClosed { torn_bytes }),
            // Only the line feed is missing.
            Ok(summary) => assert_eq!((summary.entries, whole[length]), (entries + 1, b'\n')),
            Err(no_entry) => assert_eq!((no_entry, entries), (None, 0), "cut at {length}"),
        }
    }
    assert_eq!(check_in_memory(&whole[..whole.len() - 1]).unwrap().state, State::Closed, "all but the last line feed");
}

#[test]
fn a_log_without_one_whole_entry_says_so() {
    let first = short()[0].clone();
    for beginning in [&b""[..], &first[..1], &first[..first.len() / 2]] {
        let error = check(beginning).unwrap_err();
        assert!(matches!(error, VerifyError::NoEntry) && !error.is_tampering(), "{error:?}");
    }
    assert_eq!(bad(b"# notes\n"), (1, Fault::Malformed));
    assert_eq!(bad(b"notes"), (1, Fault::Malformed));
    assert_eq!(bad(b"\n"), (1, Fault::Malformed));
}

#[test]
fn rubbish_at_the_end_is_no_unfinished_entry() {
    let open = lines(&[paired(&agent()), Event::Resumed], None);
    for rubbish in [&b"rubbish"[..], b"{\"n\":4,", b"{\"n\":3,\"at\":\"x\"}trailing", b"[", b" "] {
        assert_eq!(bad(&[joined(&open), rubbish.to_vec()].concat()).0, 3, "{rubbish:?}");
    }
}

#[test]
fn two_histories_cannot_be_spliced() {
    let mut other_events = events(&agent());
    other_events[3] = Event::Violation { what: "never happened".to_owned() };
    let (one, other) = (complete(), lines(&other_events, Some(&agent())));
    assert_eq!(one[..3], other[..3]);
    for splice in 4..one.len() {
        let spliced = [&one[..splice], &other[splice..]].concat();
        let fault = bad(&joined(&spliced));
        assert_eq!(fault.0, splice as u64 + 1, "{fault:?}");
    }
}

#[test]
fn nothing_follows_the_closing_line() {
    let complete = complete();
    let n = complete.len() as u64 + 1;
    let head = match check_in_memory(&joined(&complete)) {
        Ok(summary) => summary.head,
        Err(error) => panic!("{error:?}"),
    };
    let appended = line::entry(n, START, &Event::Resumed, head).unwrap().0.into_bytes();
    for more in [appended.as_slice(), b"", complete.last().unwrap(), b"x"] {
        let bytes = joined(&[complete.clone(), vec![more.to_vec()]].concat());
        assert_eq!(bad(&bytes), (n, Fault::AfterClose));
    }
    assert_eq!(bad(&[joined(&complete), b"{\"n\":".to_vec()].concat()), (n, Fault::AfterClose), "not even a beginning");
}

#[test]
fn a_log_signed_by_another_key_is_refused() {
    let events = events(&agent());
    assert_eq!(bad(&joined(&lines(&events, Some(&key(9))))), (events.len() as u64 + 1, Fault::OtherKey));
}

#[test]
fn a_signature_for_another_log_is_refused() {
    let mut other_events = events(&agent());
    other_events[5] = Event::Resumed;
    let other = lines(&other_events, Some(&agent()));
    let mut log = complete();
    let n = log.len() as u64;
    *log.last_mut().unwrap() = other.last().unwrap().clone();
    assert_eq!(bad(&joined(&log)), (n, Fault::OtherHead));
}

#[test]
fn a_log_rewritten_from_the_start_is_given_away_by_who_was_there() {
    // The forger has no agent's key, so the whole log names another one. By itself it is consistent.
    let forger = key(9);
    let forged = lines(&events(&forger), Some(&forger));
    assert_eq!(check(&joined(&forged)).unwrap().state, State::Closed);

    let expected =
        Expected { session: SESSION, agent_key: agent().public().digest(), technician_key: key(2).public().digest() };
    assert_eq!(Chain::expecting(expected).push(&forged[0]).unwrap_err().fault, Fault::OtherPeers);
    let (_dir, agents) = file(&joined(&forged));
    let (_other_dir, technicians) = file(&joined(&complete()));
    assert_eq!(compare(&agents, &technicians).unwrap(), Comparison::Differ { entry: 1 });
}

#[test]
fn events_out_of_place_are_refused_even_with_a_right_hash() {
    let agent = agent();
    let twice = lines(&[paired(&agent), paired(&agent)], None);
    assert_eq!(bad(&joined(&twice)), (2, Fault::PairedAgain));
    let headless = lines(&[Event::Resumed], None);
    assert_eq!(bad(&joined(&headless)), (1, Fault::NotPaired));
    let restless = lines(&[paired(&agent), ended(), Event::Resumed], None);
    assert_eq!(bad(&joined(&restless)), (3, Fault::AfterEnd));
    let hasty = lines(&[paired(&agent)], Some(&agent));
    assert_eq!(bad(&joined(&hasty)), (2, Fault::ClosedEarly));
    let empty = lines(&[], Some(&agent));
    assert_eq!(bad(&joined(&empty)), (1, Fault::NotPaired));
}

/// A log whose second entry has the right hash and an event of that name.
fn log_with_event_named(name: &str) -> Vec<u8> {
    let first = lines(&[paired(&agent())], None);
    let head = check_in_memory(&joined(&first)).unwrap().head;
    let second = line::entry(2, START, &Event::WordsConfirmed, head).unwrap().0.into_bytes();
    let other = str::from_utf8(&second).unwrap().replace("words_confirmed", name);
    let (body, _) = other.rsplit_once(",\"hash\"").unwrap();
    let length = (body.len() as u64).to_be_bytes();
    let hash = trust::digest(&[&[1], head.0.as_slice(), &length, body.as_bytes()].concat());
    joined(&[first[0].clone(), format!("{body},\"hash\":\"{hash}\"}}").into_bytes()])
}

#[test]
fn an_event_of_a_later_version_is_no_tampering() {
    let error = check(&log_with_event_named("screen_shared")).unwrap_err();
    assert!(matches!(&error, VerifyError::Bad(BadEntry { n: 2, fault: Fault::UnknownEvent { .. } })), "{error:?}");
    assert!(!error.is_tampering());
}

#[test]
fn the_name_of_an_unknown_event_does_not_act_on_the_readers_screen() {
    for (name, readable) in
        [("\u{202e}derahs", "\\u{202e}derahs"), ("\u{9b}2J", "\\u{9b}2J"), ("\\u001b[2J", "\\u{1b}[2J")]
    {
        let error = check(&log_with_event_named(name)).unwrap_err();
        let text =
            format!("{error} {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
        assert!(text.contains(readable), "{text:?}");
        assert_eq!(text.chars().find(|character| character.is_control() || *character == '\u{202e}'), None, "{text:?}");
    }
}

#[test]
fn the_two_times_of_an_entry_have_to_agree() {
    let mut log = short();
    let changed = str::from_utf8(&log[1]).unwrap().replace("06:35:05Z", "06:35:06Z");
    log[1] = changed.into_bytes();
    assert_eq!(bad(&joined(&log)), (2, Fault::Time));
}

#[test]
fn a_clock_that_goes_back_is_reported_and_allowed() {
    let mut head = line::genesis();
    let mut log = Vec::new();
    let times = [START.0, START.0 + 10, START.0 - 5000, START.0 - 4000, 0];
    let events = [paired(&agent()), Event::Resumed, Event::Resumed, Event::Resumed, ended()];
    for ((n, event), at) in (1..).zip(&events).zip(times) {
        let (line, next) = line::entry(n, WallTime(at), event, head).unwrap();
        log.push(line.into_bytes());
        head = next;
    }
    let summary = check(&joined(&log)).unwrap();
    let back = summary.clock_went_back.unwrap();
    assert_eq!((back.times, back.first_entry), (2, 3));
    assert!(summary.to_string().contains("went back 2 times, first at entry 3"), "{summary}");
}

/// Counts what is read of it and never ends.
struct Endless<'a> {
    beginning: &'a [u8],
    read: &'a Cell<u64>,
}

impl io::Read for Endless<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = if self.beginning.is_empty() {
            out.fill(b'x');
            out.len()
        } else {
            self.beginning.read(out)?
        };
        self.read.set(self.read.get() + bytes as u64);
        Ok(bytes)
    }
}

#[test]
fn a_line_of_any_length_is_refused_without_being_read() {
    let open = joined(&lines(&[paired(&agent()), Event::Resumed], None));
    let read = Cell::new(0);
    let reader = BufReader::new(Endless { beginning: &open, read: &read });
    let result = verify(Lines { reader, line: Vec::new() }, |_| {});
    assert!(matches!(result, Err(NotIntact::Bad(BadEntry { n: 3, fault: Fault::TooLong }))));
    assert!(read.get() < 2 * AUDIT_LINE_BYTES as u64, "{} bytes were read", read.get());
}

#[test]
fn a_hundred_megabytes_without_a_line_end_are_refused() {
    let (_dir, path) = file(&joined(&lines(&[paired(&agent())], None)));
    // Sparse: takes no room on the disk.
    File::options().write(true).open(&path).unwrap().set_len(100 << 20).unwrap();
    let error = verify_file(&path).unwrap_err();
    assert!(matches!(error, VerifyError::Bad(BadEntry { n: 2, fault: Fault::TooLong })), "{error:?}");
}

#[test]
fn the_longest_entry_that_an_agent_writes_is_read() {
    let room = AUDIT_LINE_BYTES - 200;
    let log = lines(&[paired(&agent()), Event::Violation { what: "x".repeat(room) }], None);
    assert!(log[1].len() > AUDIT_LINE_BYTES - 100 && log[1].len() <= AUDIT_LINE_BYTES);
    assert_eq!(check(&joined(&log)).unwrap().entries, 2);
}

#[test]
fn a_file_that_is_not_there_is_no_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let error = verify_file(&dir.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, VerifyError::Read { .. }) && !error.is_tampering());
    assert!(matches!(verify_file(dir.path()), Err(VerifyError::Read { .. })), "a directory");
}

#[test]
fn copies_are_compared_entry_by_entry() {
    let log = complete();
    let n = log.len();
    let mut changed = log.clone();
    changed[4] = log[5].clone();
    let cut = [joined(&log[..6]), log[6][..20].to_vec()].concat();
    let cases = [
        (joined(&log), joined(&log), Comparison::Same),
        (joined(&log), joined(&log[..n - 2]), Comparison::Shorter { copy: Copy::Technicians, from: n as u64 - 1 }),
        (joined(&log[..3]), joined(&log), Comparison::Shorter { copy: Copy::Agents, from: 4 }),
        (vec![], joined(&log), Comparison::Shorter { copy: Copy::Agents, from: 1 }),
        (joined(&log), cut.clone(), Comparison::Shorter { copy: Copy::Technicians, from: 7 }),
        (cut.clone(), joined(&log), Comparison::Shorter { copy: Copy::Agents, from: 7 }),
        (cut.clone(), cut.clone(), Comparison::Same),
        (cut.clone(), joined(&log[..6]), Comparison::Shorter { copy: Copy::Technicians, from: 7 }),
        (joined(&log), joined(&changed), Comparison::Differ { entry: 5 }),
        (joined(&changed), cut, Comparison::Differ { entry: 5 }),
        (joined(&log), b"rubbish".to_vec(), Comparison::Differ { entry: 1 }),
        (vec![b'x'; 300_000], joined(&log), Comparison::Differ { entry: 1 }),
    ];
    for (agents, technicians, expected) in cases {
        let (_one, agents) = file(&agents);
        let (_other, technicians) = file(&technicians);
        assert_eq!(compare(&agents, &technicians).unwrap(), expected);
    }
}

#[test]
fn a_technicians_copy_is_the_agents_log_byte_by_byte() {
    let dir = tempfile::tempdir().unwrap();
    let expected =
        Expected { session: SESSION, agent_key: agent().public().digest(), technician_key: key(2).public().digest() };
    let mut receipt = Receipt::create(dir.path(), expected, START).unwrap();
    assert!(receipt.path().to_str().unwrap().ends_with("20261122-063504-5e5e5e5e5e5e5e5e.receipt.jsonl"));
    for line in complete() {
        receipt.push(&line).unwrap();
    }
    assert_eq!(receipt.summary().unwrap().state, State::Closed);
    let path = receipt.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), joined(&complete()));
}

#[test]
fn a_technicians_copy_takes_no_bad_line_and_nothing_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let expected =
        Expected { session: SESSION, agent_key: agent().public().digest(), technician_key: key(2).public().digest() };
    let mut receipt = Receipt::create(dir.path(), expected, START).unwrap();
    let log = complete();
    receipt.push(&log[0]).unwrap();
    receipt.push(&log[1]).unwrap();
    let first_bad = receipt.push(&log[3]).unwrap_err();
    assert!(matches!(&first_bad, ReceiptError::Bad(BadEntry { n: 3, .. })), "{first_bad:?}");
    let then = receipt.push(&log[2]).unwrap_err();
    assert_eq!(then.to_string(), first_bad.to_string(), "the agent has lost its word");
    assert_eq!(std::fs::read(receipt.path()).unwrap(), joined(&log[..2]));
}

#[test]
fn a_technician_refuses_the_log_of_another_session() {
    let known = |session, agent_key, technician_key| Expected { session, agent_key, technician_key };
    let (agent_key, technician_key) = (agent().public().digest(), key(2).public().digest());
    let first = &complete()[0];
    let push = |expected| Chain::expecting(expected).push(first).map_err(|bad| bad.fault);
    assert!(push(known(SESSION, agent_key, technician_key)).is_ok());
    let other_session = known(wire::ids::SessionId([0; 8]), agent_key, technician_key);
    assert_eq!(push(other_session).unwrap_err(), Fault::OtherSession);
    assert_eq!(push(known(SESSION, technician_key, technician_key)).unwrap_err(), Fault::OtherPeers);
    assert_eq!(push(known(SESSION, agent_key, agent_key)).unwrap_err(), Fault::OtherPeers);
}

#[test]
fn every_good_entry_is_shown_before_the_bad_one_is_named() {
    let mut log = complete();
    log[7][60] ^= 1;
    let (_dir, path) = file(&joined(&log));
    let mut shown = Vec::new();
    let error = read_file(&path, |entry| shown.push(entry.clone())).unwrap_err();
    assert_eq!(error.to_string().split(':').next(), Some("entry 8 is bad"));
    let expected = [vec![paired(&agent())], middle()].concat();
    assert_eq!(shown.len(), 7);
    for (entry, event) in shown.iter().zip(&expected) {
        assert_eq!(entry.content, Content::Event(event.clone()));
    }
}
