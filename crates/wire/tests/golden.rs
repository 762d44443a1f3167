//! The bytes of every message, pinned. A change here is a change of the protocol: it needs a new ALPN, not a new test.
//!
//! One value of each variant in order of its index, so that a variant that is added in the middle, removed or moved is noticed; the
//! index behind the last one must still be refused, so that a new variant needs a line here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fmt::{Debug, Write as _},
    num::NonZeroU16,
};

use wire::{
    beat::SlotKey,
    channel::ChannelId,
    codec::{self, Message},
    control::{Bed, ChannelEnd, ChannelOrigin, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    diagnostics::{
        Panels,
        inspect::{About, ExactInspection, HistoryQuery, Inspect, Inspected},
        report::{Content, Outcome, SectionId, SectionReport},
        sections::{
            logs::LogQuery,
            probes::{ProbeRequest, Target},
            process::{Arguments, CommandLine},
            processes::{ProcessRow, Processes},
        },
        sent::{SentHeader, SentKind},
    },
    ids::{Digest, GrantId, InspectionId, Locator, RequestId, RunId, SessionId},
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction, PairingRefusal, PakeSuite},
    path::DirectOffer,
    run::{
        ExactRun, FileIdentity, OutputCount, ProposalError, RunLimits, RunOutcome, RunProposal, StartFailure, Variable,
    },
    session::{
        Ability, Absence, AccessRequest, DenyReason, EndReason, GrantEnd, GrantNotice, Output, StreamHeader, Subject,
        ToAgent, ToTechnician,
    },
    text::{Label, Sentence},
    time::WallTime,
};

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// Checks the bytes of one value of each variant, and that there is no further variant.
fn pin<M: Message + Debug + PartialEq>(values: &[(M, &str)]) {
    for (index, (value, golden)) in values.iter().enumerate() {
        let bytes = codec::encode(value).unwrap();
        assert_eq!(hex(&bytes), *golden, "{value:?}");
        assert_eq!(usize::from(bytes[0]), index, "{value:?} is out of order");
        assert_eq!(codec::decode::<M>(&bytes).as_ref(), Ok(value));
    }
    let mut next = vec![0; 16.min(M::MAX_BYTES)];
    next[0] = values.len().try_into().unwrap();
    nothing_is::<M>(&next);
}

/// Checks how one value is written.
fn pin_one<M: Message + Debug + PartialEq>(value: &M, golden: &str) {
    let bytes = codec::encode(value).unwrap();
    assert_eq!(hex(&bytes), golden, "{value:?}");
    assert_eq!(codec::decode::<M>(&bytes).as_ref(), Ok(value));
}

/// Checks that `bytes` end in the number of a variant that does not exist.
fn nothing_is<M: Message + Debug>(bytes: &[u8]) {
    let error = codec::decode::<M>(bytes).map_err(|error| error.to_string());
    assert!(error.as_ref().is_err_and(|error| error.contains("variant")), "not pinned: {error:?}");
}

/// Checks that the reasons have the indices 0, 1, 2 … as the last bytes of the message that carries them.
fn pin_indices<R: Copy + Debug, M: Message + Debug>(reasons: &[R], message: impl Fn(R) -> M) {
    for (index, reason) in reasons.iter().enumerate() {
        let bytes = codec::encode(&message(*reason)).unwrap();
        assert_eq!(usize::from(*bytes.last().unwrap()), index, "{reason:?} is out of order");
    }
    let mut next = codec::encode(&message(reasons[0])).unwrap();
    *next.last_mut().unwrap() = reasons.len().try_into().unwrap();
    nothing_is::<M>(&next);
}

fn locator() -> Locator {
    Locator::new(482, 4).unwrap()
}

fn channel() -> ChannelId {
    ChannelId::new(7, 0x12_3456).unwrap()
}

fn access_request() -> AccessRequest {
    AccessRequest {
        request: RequestId(1),
        abilities: vec![Ability::DiagBasic, Ability::AdhocArgv],
        reason: Sentence::cut("why"),
        stay_secs: 1800,
    }
}

fn exact_run() -> ExactRun {
    ExactRun {
        run: RunId(2),
        program: b"/bin/ls".to_vec(),
        target: Some(b"/b".to_vec()),
        interpreter: None,
        file: FileIdentity { device: 1, inode: 300, size_bytes: 70_000, modified_ns: -1, changed_ns: 1 << 60 },
        arguments: vec![b"-l".to_vec(), vec![0xff]],
        directory: b"/".to_vec(),
        user_id: 1000,
        user_name: b"ana".to_vec(),
        environment: vec![Variable { name: b"A".to_vec(), value: vec![] }],
        limits: RunLimits { time_secs: 60, output_bytes: 1 << 20, memory_mib: 512 },
    }
}

#[test]
fn what_is_said_to_a_relay() {
    pin(&[
        (ToRelay::AllocateLocator, "00"),
        (ToRelay::ReleaseLocator { locator: locator() }, "01fbe20104"),
        (
            ToRelay::Attach { locator: Locator::new(999_999, 6).unwrap(), first: FirstFlight::default() },
            "02fc3f420f000600",
        ),
        (
            ToRelay::Rejoin { rendezvous: Rendezvous([0xab; 16]), side: Side::Technician },
            "03abababababababababababababababab01",
        ),
        (ToRelay::CloseChannel { channel: channel() }, "0407fc56341200"),
        (ToRelay::Observe, "05"),
        (ToRelay::FindReflector, "06"),
        (ToRelay::Sleep, "07"),
        (ToRelay::Awake, "08"),
    ]);
}

#[test]
fn what_is_sent_along_with_an_attach() {
    let attach = ToRelay::Attach { locator: locator(), first: FirstFlight::of([vec![0xc1, 2, 3], vec![0xc4]]) };
    let bytes = codec::encode(&attach).unwrap();
    assert_eq!(hex(&bytes), "02fbe201040203c1020301c4");
    assert_eq!(codec::decode::<ToRelay>(&bytes), Ok(attach));
}

#[test]
fn what_a_relay_says() {
    pin(&[
        (FromRelay::LocatorAllocated { locator: locator(), lifetime_secs: 600 }, "00fbe20104fb5802"),
        (FromRelay::Refused { reason: Refusal::Busy }, "0101"),
        (
            FromRelay::ChannelOpen {
                channel: channel(),
                origin: ChannelOrigin::Rejoin,
                first: FirstFlight::of([vec![0xc1, 2]]),
            },
            "0207fc563412000102c10201",
        ),
        (FromRelay::ChannelClosed { channel: channel(), reason: ChannelEnd::PeerGone }, "0307fc5634120001"),
        (FromRelay::LocatorLapsed { locator: locator() }, "04fbe20104"),
        (FromRelay::Draining { reconnect_in_ms: 70_000 }, "05fc70110100"),
        (FromRelay::Observed { address: "192.0.2.7:4433".parse().unwrap() }, "0600c0000207fb5111"),
        (FromRelay::Reflector { port: NonZeroU16::new(4434) }, "0701fb5211"),
        (
            FromRelay::Asleep(Bed { slot: 300, generation: 2, epoch: 1, key: SlotKey([0xab; 32]), counter: 1 << 32 }),
            "08fb2c010201ababababababababababababababababababababababababababababababababfd0000000001000000",
        ),
        (FromRelay::Resumed { locator: Some(locator()) }, "0901fbe20104"),
    ]);
}

#[test]
fn a_relay_without_a_reflector_says_so() {
    let none = FromRelay::Reflector { port: None };
    assert_eq!(hex(&codec::encode(&none).unwrap()), "0700");
    assert_eq!(codec::decode::<FromRelay>(&[7, 0]), Ok(none));
}

#[test]
fn what_an_unpaired_technician_says() {
    pin(&[(
        FromUnpairedTechnician::Prove {
            pake: vec![0x41, 2, 3],
            proof: [1; 32],
            nonce: [2; 16],
            introduction: vec![3, 4],
        },
        "0003410203010101010101010101010101010101010101010101010101010101010101010102020202020202020202020202020202020304",
    )]);
}

#[test]
fn what_an_unpaired_agent_says() {
    pin(&[
        (
            FromUnpairedAgent::Offer { suite: PakeSuite::Spake2Ed25519, pake: vec![0x42, 2, 3], commitment: [4; 32] },
            "0000034202030404040404040404040404040404040404040404040404040404040404040404",
        ),
        (
            FromUnpairedAgent::Accept { proof: [5; 32], nonce: [6; 16], session: SessionId([7; 8]) },
            "010505050505050505050505050505050505050505050505050505050505050505060606060606060606060606060606060707070707070707",
        ),
        (FromUnpairedAgent::Refuse { reason: PairingRefusal::CodeVoid }, "0201"),
    ]);
}

#[test]
fn what_a_paired_technician_says() {
    let proposal = RunProposal {
        run: RunId(2),
        reason: Sentence::cut("look"),
        program: b"ls".to_vec(),
        arguments: vec![b"-l".to_vec(), vec![]],
        directory: Some(b"/tmp".to_vec()),
        environment: vec![Variable { name: b"A".to_vec(), value: b"b".to_vec() }],
        limits: RunLimits::DEFAULT,
    };
    pin(&[
        (ToAgent::Request(access_request()), "000102000f03776879fb0807"),
        (ToAgent::ProposeRun(proposal), "0102046c6f6f6b026c7302022d6c0001042f746d7001014101623cfc00001000fb0002"),
        (ToAgent::CancelRun { run: RunId(300) }, "02fb2c01"),
        (ToAgent::Subscribe { period_ms: 1000 }, "03fbe803"),
        (ToAgent::Unsubscribe, "04"),
        (ToAgent::End, "05"),
        (
            ToAgent::Direct(DirectOffer::Candidates(vec!["[2001:db8::1]:80".parse().unwrap()])),
            "0601010120010db800000000000000000000000150",
        ),
        (
            ToAgent::Inspect { inspection: InspectionId(1), what: Inspect::Process { pid: 300, start_ticks: Some(7) } },
            "070102fb2c010107",
        ),
        (ToAgent::Look { view: Panels::OVERVIEW.into() }, "080100"),
        (ToAgent::CancelInspection { inspection: InspectionId(1) }, "0901"),
    ]);
}

#[test]
fn what_an_agent_says_to_a_paired_technician() {
    let (request, run) = (Subject::Request(RequestId(1)), Subject::Run(RunId(2)));
    let notice =
        GrantNotice { grant: GrantId(1), subject: request, abilities: vec![Ability::DiagBasic], stay_secs: 1800 };
    let stdout = OutputCount { sent_bytes: 10, written_bytes: 300 };
    pin(&[
        (ToTechnician::Asking { subject: request, answer_within_secs: 60 }, "0000013c"),
        (ToTechnician::Granted(notice), "010100010100fb0807"),
        (ToTechnician::Denied { subject: run, reason: DenyReason::ByUser }, "02010200"),
        (ToTechnician::Narrowed { grant: GrantId(1), abilities: vec![] }, "030100"),
        (ToTechnician::GrantEnded { grant: GrantId(1), reason: GrantEnd::Revoked }, "040101"),
        (ToTechnician::Paused { reason: Absence::PageClosed, ends_in_secs: 60 }, "05003c"),
        (ToTechnician::Resumed, "06"),
        (
            ToTechnician::RunStarted { run: RunId(2), digest: Digest([9; 32]) },
            "07020909090909090909090909090909090909090909090909090909090909090909",
        ),
        (
            ToTechnician::RunFinished {
                run: RunId(2),
                outcome: RunOutcome::Exited { code: 3 },
                stdout,
                stderr: OutputCount::default(),
            },
            "080200030afb2c010000",
        ),
        (ToTechnician::Audit { line: b"{}".to_vec() }, "09027b7d"),
        (ToTechnician::Ended { reason: EndReason::ByTechnician }, "0a03"),
        (ToTechnician::Direct(DirectOffer::NotWanted), "0b00"),
        (ToTechnician::NotInspected { inspection: InspectionId(1), reason: DenyReason::NotGranted }, "0c0111"),
    ]);
}

#[test]
fn what_stands_before_everything_that_was_sent() {
    let header = |what| SentHeader { at: WallTime(300), what };
    let kinds = [SentKind::StreamBegan, SentKind::Frame, SentKind::Inspected(InspectionId(2))];
    for (what, golden) in kinds.into_iter().zip(["fb2c0100", "fb2c0101", "fb2c010202"]) {
        let bytes = codec::encode(&header(what)).unwrap();
        assert_eq!(hex(&bytes), golden, "{what:?}");
        assert_eq!(codec::decode::<SentHeader>(&bytes), Ok(header(what)));
    }
    nothing_is::<SentHeader>(&[0, 3]);
}

#[test]
fn what_stands_before_a_stream() {
    pin(&[
        (StreamHeader::Diagnostics, "00"),
        (StreamHeader::Output { run: RunId(2), output: Output::Stderr }, "010201"),
        (StreamHeader::Inspection { inspection: InspectionId(300) }, "02fb2c01"),
        (StreamHeader::Load { inspection: InspectionId(300) }, "03fb2c01"),
    ]);
}

#[test]
fn what_can_be_inspected() {
    let message = |what| ToAgent::Inspect { inspection: InspectionId(1), what };
    let query = HistoryQuery {
        from: WallTime(1000),
        to: WallTime(70_000),
        step_secs: 60,
        figures: vec![Label::cut("memory.*")],
    };
    for (what, golden) in [
        (Inspect::Report, "00"),
        (Inspect::Section(SectionId::System), "0100"),
        (Inspect::Section(SectionId::Processes), "0115"),
        (Inspect::Process { pid: 300, start_ticks: Some(7) }, "02fb2c010107"),
        (Inspect::History(query), "03fbe803fc701101003c01086d656d6f72792e2a"),
        (Inspect::Logs(LogQuery::default()), "040006000000c8"),
        (Inspect::Probe(ProbeRequest::Names(Target::Relay)), "050000"),
        (Inspect::Probe(ProbeRequest::Handshake(Target::Host(Label::cut("a:1")))), "05010203613a31"),
        (Inspect::Probe(ProbeRequest::Portal), "0502"),
        (Inspect::Probe(ProbeRequest::PathMtu(Target::Gateway)), "050301"),
        (Inspect::Probe(ProbeRequest::Route(Target::Relay)), "050400"),
        (Inspect::Probe(ProbeRequest::Echo(Target::Resolver(1))), "05050301"),
        (Inspect::Probe(ProbeRequest::Load), "0506"),
        (Inspect::Arguments { pid: 300, start_ticks: 7 }, "06fb2c0107"),
    ] {
        assert_eq!(hex(&codec::encode(&message(what.clone())).unwrap()), format!("0701{golden}"), "{what:?}");
    }
    nothing_is::<ToAgent>(&[7, 1, 7]);
    nothing_is::<ToAgent>(&[7, 1, 5, 7]);
    nothing_is::<ToAgent>(&[7, 1, 5, 0, 4]);
    let names = SectionId::ALL.iter().map(|section| section.name()).collect::<Vec<_>>();
    let golden = "system hardware storage network groups power services clock logs updates crashes users security printers \
                  displays certificates changes ladder errors process probes processes";
    assert_eq!(names.join(" "), golden);
}

#[test]
fn what_a_person_is_asked_to_let_be_read() {
    let what = Inspect::Arguments { pid: 300, start_ticks: 7 };
    let exact = ExactInspection { inspection: InspectionId(1), what, about: About::Process { name: Label::cut("sh") } };
    pin_one(&exact, "0106fb2c010700027368");
    nothing_is::<ExactInspection>(&[1, 0, 1]);
    let asking = ToTechnician::Asking { subject: Subject::Inspection(InspectionId(3)), answer_within_secs: 60 };
    pin_one(&asking, "0002033c");
}

#[test]
fn the_answer_about_every_process() {
    let first = ProcessRow {
        pid: 1,
        start_ticks: 3,
        name: Label::cut("systemd"),
        owner: Label::cut("root"),
        state: 'S',
        threads: 1,
        resident_kib: 12_800,
        cpu_ms: 5,
        age_secs: Some(10),
        ..ProcessRow::default()
    };
    let second = ProcessRow {
        pid: 2,
        parent: 2,
        name: Label::cut("k\n\u{1b}"),
        state: 'I',
        kernel_thread: true,
        ..ProcessRow::default()
    };
    let found = Processes { seen: 3, left_out: 1, processes: vec![first, second] };
    let golden = "0301020100030773797374656d6404726f6f74530001fb003205010a020200036b0a1b00490100000000";
    pin_one(&found, golden);
    let section = SectionReport {
        section: SectionId::Processes,
        taken_at: WallTime(5),
        took_ms: 12,
        outcome: Outcome::Partial,
        sources: Vec::new(),
        content: Some(Content::Processes(Box::new(found))),
    };
    pin_one(&Inspected::Section(Box::new(section)), &format!("0115050c01000115{golden}"));
}

#[test]
fn the_answer_about_arguments() {
    let arguments = CommandLine(vec![Sentence::cut("sh"), Sentence::cut("")]);
    let found = Arguments {
        pid: 300,
        start_ticks: 7,
        name: Label::cut("sh"),
        arguments,
        shortened: 1,
        left_out: 2,
        uncounted: true,
    };
    pin_one(&Inspected::Arguments(Box::new(found)), "03fb2c01070273680202736800010201");
}

#[test]
fn messages_without_variants() {
    let introduction =
        Introduction { claimed_name: Label::cut("Zoë"), certificate: Some(vec![0x30, 0]), request: access_request() };
    assert_eq!(hex(&codec::encode(&introduction).unwrap()), "045a6fc3ab010230000102000f03776879fb0807");
    assert_eq!(
        hex(&codec::encode(&exact_run()).unwrap()),
        "02072f62696e2f6c7301022f620001fb2c01fc7011010001fd000000000000002002022d6c01ff012ffbe80303616e61010141003cfc00001000fb0002"
    );
}

#[test]
fn how_a_run_can_end() {
    let message = |outcome| ToTechnician::RunFinished {
        run: RunId(2),
        outcome,
        stdout: OutputCount::default(),
        stderr: OutputCount::default(),
    };
    let not_started = |reason| RunOutcome::NotStarted { reason };
    let outcomes = [
        (RunOutcome::Exited { code: 255 }, "00ff"),
        (RunOutcome::Signalled { signal: 9 }, "0109"),
        (RunOutcome::TimedOut, "02"),
        (RunOutcome::Cancelled, "03"),
        (RunOutcome::Revoked, "04"),
        (RunOutcome::OverMemory, "05"),
        (not_started(StartFailure::NotFound), "0600"),
        (not_started(StartFailure::NotExecutable), "0601"),
        (not_started(StartFailure::Directory), "0602"),
        (not_started(StartFailure::FileChanged), "0603"),
        (not_started(StartFailure::NotAsApproved), "0604"),
        (not_started(StartFailure::System { detail: Sentence::cut("no") }), "0605026e6f"),
        (RunOutcome::Lost, "07"),
        (RunOutcome::OverProcesses, "08"),
    ];
    for (outcome, golden) in outcomes {
        let bytes = codec::encode(&message(outcome.clone())).unwrap();
        assert_eq!(hex(&bytes), format!("0802{golden}00000000"), "{outcome:?}");
    }
    nothing_is::<ToTechnician>(&[8, 2, 9]);
    nothing_is::<ToTechnician>(&[8, 2, 6, 6]);
}

#[test]
fn reasons_and_abilities_keep_their_numbers() {
    pin_indices(
        &[
            Refusal::NobodyWaiting,
            Refusal::Busy,
            Refusal::TooManyAttempts,
            Refusal::Full,
            Refusal::Draining,
            Refusal::Unexpected,
        ],
        |reason| FromRelay::Refused { reason },
    );
    pin_indices(&[ChannelEnd::Closed, ChannelEnd::PeerGone, ChannelEnd::Idle, ChannelEnd::Draining], |reason| {
        FromRelay::ChannelClosed { channel: channel(), reason }
    });
    pin_indices(&[ChannelOrigin::Attach, ChannelOrigin::Rejoin], |origin| FromRelay::ChannelOpen {
        channel: channel(),
        origin,
        first: FirstFlight::default(),
    });
    pin_indices(&[Side::Agent, Side::Technician], |side| ToRelay::Rejoin { rendezvous: Rendezvous([0; 16]), side });
    pin_indices(&[PairingRefusal::WrongCode, PairingRefusal::CodeVoid, PairingRefusal::Malformed], |reason| {
        FromUnpairedAgent::Refuse { reason }
    });
    pin_indices(&[GrantEnd::Lapsed, GrantEnd::Revoked, GrantEnd::Used, GrantEnd::SessionEnded], |reason| {
        ToTechnician::GrantEnded { grant: GrantId(1), reason }
    });
    pin_indices(
        &[
            EndReason::ByUser,
            EndReason::DeniedByUser,
            EndReason::NoAnswer,
            EndReason::ByTechnician,
            EndReason::UserAway,
            EndReason::TerminalClosed,
            EndReason::TimeOver,
            EndReason::AuditFailed,
            EndReason::Protocol,
            EndReason::Shutdown,
            EndReason::ConnectionLost,
            EndReason::NotAllowed,
        ],
        |reason| ToTechnician::Ended { reason },
    );
    pin_indices(&[Output::Stdout, Output::Stderr], |output| StreamHeader::Output { run: RunId(1), output });
    pin_indices(Ability::ALL, |ability| ToTechnician::Narrowed { grant: GrantId(1), abilities: vec![ability] });
    let pause = |reason| ToTechnician::Paused { reason, ends_in_secs: 0 };
    assert_eq!(hex(&codec::encode(&pause(Absence::PageClosed)).unwrap()), "050000");
    assert_eq!(hex(&codec::encode(&pause(Absence::ScreenLocked)).unwrap()), "050100");
    nothing_is::<ToTechnician>(&[5, 2, 0]);
    nothing_is::<ToTechnician>(&[0, 3, 1, 60]);
    nothing_is::<FromUnpairedAgent>(&[0, 1, 0]);
}

#[test]
fn denials_keep_their_numbers() {
    let message = |reason| ToTechnician::Denied { subject: Subject::Run(RunId(2)), reason };
    let denials = [
        (DenyReason::ByUser, "00"),
        (DenyReason::NoAnswer, "01"),
        (DenyReason::NoPrompt, "02"),
        (DenyReason::Ceiling, "03"),
        (DenyReason::Policy, "04"),
        (DenyReason::NotVerified, "05"),
        (DenyReason::TooMany, "06"),
        (DenyReason::Away, "07"),
        (DenyReason::Malformed, "08"),
        (DenyReason::Proposal(ProposalError::NoProgram), "0900"),
        (DenyReason::Proposal(ProposalError::Nul), "0901"),
        (DenyReason::Proposal(ProposalError::TooManyArguments), "0902"),
        (DenyReason::Proposal(ProposalError::Environment), "0903"),
        (DenyReason::Proposal(ProposalError::TooLong), "0904"),
        (DenyReason::Proposal(ProposalError::RelativeDirectory), "0905"),
        (DenyReason::ProgramNotFound, "0a"),
        (DenyReason::ProgramNotExecutable, "0b"),
        (DenyReason::NoDirectory, "0c"),
        (DenyReason::Withdrawn, "0d"),
        (DenyReason::TooSoon, "0e"),
        (DenyReason::NotYet, "0f"),
        (DenyReason::LookupFailed, "10"),
        (DenyReason::NotGranted, "11"),
        (DenyReason::InspectionFailed, "12"),
        (DenyReason::TooOften, "13"),
        (DenyReason::ProcessEnded, "14"),
        (DenyReason::ProcessNotReadable, "15"),
        (DenyReason::ProcessChanged, "16"),
    ];
    for (reason, golden) in denials {
        assert_eq!(hex(&codec::encode(&message(reason)).unwrap()), format!("020102{golden}"), "{reason:?}");
    }
    nothing_is::<ToTechnician>(&[2, 1, 2, 23]);
    nothing_is::<ToTechnician>(&[2, 1, 2, 9, 6]);
}

#[test]
fn abilities_keep_their_names() {
    let names = Ability::ALL.iter().map(|ability| ability.name()).collect::<Vec<_>>();
    let golden = "diag.basic diag.logs diag.network diag.process screen.view screen.control term.view term.control file.read \
                  file.write tunnel run.r0 run.r1 run.r2 run.r3 adhoc.argv elevate reboot_reconnect diag.names diag.identifiers diag.load \
                  diag.arguments";
    assert_eq!(names.join(" "), golden);
    assert!(Ability::ALL.iter().all(|ability| ability.name().parse() == Ok(*ability)));
}

#[test]
fn a_frame_is_a_length_and_a_message() {
    let frame = codec::frame(&ToRelay::Attach { locator: locator(), first: FirstFlight::default() }).unwrap();
    assert_eq!(hex(&frame), "0600000002fbe2010400");
    assert_eq!(codec::frame_length::<ToRelay>([5, 0, 0, 0]), Ok(5));
    assert!(codec::frame_length::<ToRelay>([0xff; 4]).is_err());
}
