//! An agent that sends what it wants: the technician's end neither panics nor grows nor shows what was not asked for.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use session::technician::{FINISHED_RUNS, RunDraft, TechnicianSession};
use wire::{
    diagnostics::inspect::Inspect,
    ids::{Digest, GrantId, InspectionId, RequestId, RunId},
    limits,
    run::{OutputCount, RunLimits, RunOutcome},
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd, GrantNotice, Output, Subject, ToTechnician},
    text::Sentence,
};

use crate::scene::START;

#[derive(Debug, Clone)]
enum Op {
    Message(ToTechnician),
    Output(RunId, Output),
    /// The stream of an inspection's answer, to its end.
    Inspected(InspectionId),
    Ask,
    Inspect,
    Propose,
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        (0..4u32).prop_map(|number| Subject::Request(RequestId(number))),
        (0..4u32).prop_map(|number| Subject::Run(RunId(number))),
        (0..4u32).prop_map(|number| Subject::Inspection(InspectionId(number))),
    ]
}

fn abilities() -> impl Strategy<Value = Vec<Ability>> {
    let likely = [Ability::DiagBasic, Ability::AdhocArgv, Ability::DiagArguments].map(|ability| vec![ability]);
    let likely = proptest::sample::select(likely.to_vec());
    prop_oneof![3 => likely, 1 => vec(proptest::sample::select(Ability::ALL), 0..4)]
}

fn message() -> impl Strategy<Value = ToTechnician> {
    let time = || prop_oneof![0..200u32, any::<u32>()];
    let grant = || (0..5u32).prop_map(GrantId);
    let run = || (0..4u32).prop_map(RunId);
    let count = || (0..9u64, 0..9u64).prop_map(|(sent_bytes, written_bytes)| OutputCount { sent_bytes, written_bytes });
    prop_oneof![
        (subject(), time()).prop_map(|(subject, secs)| ToTechnician::Asking { subject, answer_within_secs: secs }),
        (grant(), subject(), abilities(), time()).prop_map(|(grant, subject, abilities, stay_secs)| {
            ToTechnician::Granted(GrantNotice { grant, subject, abilities, stay_secs })
        }),
        subject().prop_map(|subject| ToTechnician::Denied { subject, reason: DenyReason::ByUser }),
        (0..4u32).prop_map(|number| {
            ToTechnician::NotInspected { inspection: InspectionId(number), reason: DenyReason::ByUser }
        }),
        (grant(), abilities()).prop_map(|(grant, abilities)| ToTechnician::Narrowed { grant, abilities }),
        grant().prop_map(|grant| ToTechnician::GrantEnded { grant, reason: GrantEnd::Lapsed }),
        time().prop_map(|ends_in_secs| ToTechnician::Paused { reason: Absence::PageClosed, ends_in_secs }),
        Just(ToTechnician::Resumed),
        run().prop_map(|run| ToTechnician::RunStarted { run, digest: Digest([1; 32]) }),
        (run(), count(), count()).prop_map(|(run, stdout, stderr)| {
            ToTechnician::RunFinished { run, outcome: RunOutcome::Lost, stdout, stderr }
        }),
        vec(any::<u8>(), 0..9).prop_map(|line| ToTechnician::Audit { line }),
        Just(ToTechnician::Ended { reason: EndReason::ByUser }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => message().prop_map(Op::Message),
        1 => (0..4u32, any::<bool>()).prop_map(|(run, out)| {
            Op::Output(RunId(run), if out { Output::Stdout } else { Output::Stderr })
        }),
        1 => (0..4u32).prop_map(|number| Op::Inspected(InspectionId(number))),
        2 => Just(Op::Ask),
        2 => Just(Op::Inspect),
        3 => Just(Op::Propose),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_technician_survives_and_shows_only_what_was_asked_for(ops in vec(op(), 1..40)) {
        let why = || Sentence::cut("why");
        let stay = Duration::from_secs(150);
        let first = TechnicianSession::first_request(&[Ability::DiagBasic], why(), stay).expect("a good request");
        let mut session = TechnicianSession::new(&first);
        for op in ops {
            let over = session.end_reason().is_some();
            match op {
                Op::Message(message) => {
                    let taken = session.handle_message(message, START);
                    prop_assert!(!over || taken.is_err());
                    prop_assert!(taken.is_ok() || session.end_reason().is_some());
                }
                Op::Output(run, output) => {
                    let _ = session.open_output(run, output);
                }
                Op::Inspected(inspection) => {
                    if session.open_inspection(inspection).is_ok() {
                        session.finish_inspection(inspection);
                    }
                }
                Op::Inspect => {
                    let _ = session.inspect(Inspect::Arguments { pid: 1, start_ticks: 1 }, START);
                }
                Op::Ask => {
                    prop_assert!(!over || session.request(&[Ability::DiagBasic], why(), stay).is_err());
                }
                Op::Propose => {
                    let draft = RunDraft {
                        reason: why(),
                        program: b"df".to_vec(),
                        arguments: Vec::new(),
                        directory: None,
                        environment: Vec::new(),
                        limits: RunLimits::DEFAULT,
                    };
                    let _ = session.propose_run(draft);
                }
            }
            while session.poll_event().is_some() {}
            while session.poll_transmit().is_some() {}
            for grant in session.grants(START) {
                let (most, longest) = match grant.subject {
                    Subject::Request(_) => (Ability::DiagBasic, stay),
                    Subject::Run(_) => (Ability::AdhocArgv, Duration::from_secs(60 + 60)),
                    Subject::Inspection(_) => (Ability::DiagArguments, Duration::from_secs(120)),
                };
                prop_assert_eq!(grant.abilities, [most]);
                prop_assert!(grant.remaining <= longest);
            }
            let most = limits::REQUESTS_AT_ONCE + limits::RUNS_AT_ONCE + limits::INSPECTIONS_AT_ONCE;
            prop_assert!(session.pending().count() <= most);
            prop_assert!(session.runs().count() <= FINISHED_RUNS + limits::RUNS_AT_ONCE);
        }
    }
}
