//! The technician's end: what it shows, and which agents it refuses.

use std::iter;

use session::technician::{
    CommandError, FINISHED_RUNS, RunDraft, RunState, TechnicianEvent, TechnicianProtocolError, TechnicianSession,
};
use wire::{
    ids::{Digest, GrantId, RequestId, RunId},
    limits,
    run::{OutputCount, ProposalError, RunLimits, RunOutcome},
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd, GrantNotice, Output, Subject, ToAgent, ToTechnician},
    text::Sentence,
};

use crate::scene::{START, secs};

const FIRST: Subject = Subject::Request(RequestId(1));
const RUN: RunId = RunId(1);

fn draft() -> RunDraft {
    RunDraft {
        reason: Sentence::cut("how full is the disk"),
        program: b"df".to_vec(),
        arguments: vec![b"-h".to_vec()],
        directory: None,
        environment: Vec::new(),
        limits: RunLimits::DEFAULT,
    }
}

pub(crate) fn waiting() -> TechnicianSession {
    let first = TechnicianSession::first_request(&[Ability::DiagBasic], Sentence::cut("why"), secs(600));
    TechnicianSession::new(&first.expect("a good request"))
}

fn notice(grant: u32, subject: Subject, abilities: &[Ability], stay_secs: u32) -> ToTechnician {
    ToTechnician::Granted(GrantNotice { grant: GrantId(grant), subject, abilities: abilities.to_vec(), stay_secs })
}

pub(crate) fn live() -> TechnicianSession {
    let mut session = waiting();
    session.handle_message(notice(1, FIRST, &[Ability::DiagBasic], 600), START).expect("an honest agent");
    while session.poll_event().is_some() {}
    session
}

fn approved() -> TechnicianSession {
    let mut session = live();
    session.propose_run(draft()).expect("a good draft");
    session.handle_message(notice(2, Subject::Run(RUN), &[Ability::AdhocArgv], 100), START).expect("an honest agent");
    session
}

fn finished(run: RunId, sent_bytes: u64, written_bytes: u64) -> ToTechnician {
    let stdout = OutputCount { sent_bytes, written_bytes };
    ToTechnician::RunFinished { run, outcome: RunOutcome::Exited { code: 0 }, stdout, stderr: OutputCount::default() }
}

fn sent(session: &mut TechnicianSession) -> Vec<ToAgent> {
    iter::from_fn(|| session.poll_transmit()).collect()
}

fn granted_at(session: &TechnicianSession, after: u64) -> Vec<Ability> {
    session.grants(START + secs(after)).flat_map(|grant| grant.abilities.iter().copied()).collect()
}

#[track_caller]
pub(crate) fn refused(session: &mut TechnicianSession, message: ToTechnician, error: TechnicianProtocolError) {
    assert_eq!(session.handle_message(message, START), Err(error));
    assert_eq!(session.end_reason(), Some(EndReason::Protocol));
    assert_eq!(granted_at(session, 0), []);
    assert_eq!(session.handle_message(ToTechnician::Resumed, START), Err(TechnicianProtocolError::AfterEnd));
}

#[test]
fn what_was_granted_is_shown_until_it_lapses() {
    let mut session = waiting();
    assert_eq!(granted_at(&session, 0), []);
    let asking = ToTechnician::Asking { subject: FIRST, answer_within_secs: 120 };
    session.handle_message(asking, START).unwrap();
    let pending = session.pending().collect::<Vec<_>>();
    assert_eq!((pending[0].subject, pending[0].answer_by), (FIRST, Some(START + secs(120))));

    session.handle_message(notice(1, FIRST, &[Ability::DiagBasic], 600), START).unwrap();
    assert_eq!(session.pending().count(), 0);
    assert_eq!(granted_at(&session, 599), [Ability::DiagBasic]);
    assert_eq!(granted_at(&session, 600), []);
    assert_eq!(session.grants(START).next().unwrap().remaining, secs(600));
}

#[test]
fn a_run_from_the_proposal_to_its_end() {
    let mut session = live();
    assert_eq!(session.propose_run(draft()), Ok(RUN));
    assert!(matches!(sent(&mut session)[..], [ToAgent::ProposeRun(_)]));
    let subject = Subject::Run(RUN);
    session.handle_message(ToTechnician::Asking { subject, answer_within_secs: 120 }, START).unwrap();
    assert_eq!(session.run(RUN), Some(&RunState::Asking { answer_by: START + secs(120) }));
    session.handle_message(notice(2, subject, &[Ability::AdhocArgv], 100), START).unwrap();
    assert_eq!(session.run(RUN), Some(&RunState::Approved));
    let digest = Digest([3; 32]);
    session.handle_message(ToTechnician::RunStarted { run: RUN, digest }, START).unwrap();
    assert_eq!(session.run(RUN), Some(&RunState::Running { digest, since: START }));
    session.handle_message(finished(RUN, 3, 3), START).unwrap();
    assert!(matches!(session.run(RUN), Some(RunState::Finished { .. })));
    assert_eq!(session.cancel_run(RUN), Err(CommandError::NoSuchRun));
    let used = ToTechnician::GrantEnded { grant: GrantId(2), reason: GrantEnd::Used };
    session.handle_message(used, START).unwrap();
    assert_eq!(granted_at(&session, 0), [Ability::DiagBasic]);
}

#[test]
fn a_run_can_end_before_it_started() {
    let mut session = approved();
    assert_eq!(session.handle_message(finished(RUN, 0, 0), START), Ok(()));
}

#[test]
fn commands_are_checked_before_anything_is_sent() {
    let mut session = live();
    let why = || Sentence::cut("why");
    assert_eq!(session.request(&[], why(), secs(60)), Err(CommandError::Malformed));
    assert_eq!(session.request(&[Ability::AdhocArgv], why(), secs(60)), Err(CommandError::Malformed));
    assert_eq!(session.request(&[Ability::DiagLogs], why(), secs(0)), Err(CommandError::Malformed));
    let unnamed = RunDraft { program: Vec::new(), ..draft() };
    assert_eq!(session.propose_run(unnamed), Err(CommandError::Proposal(ProposalError::NoProgram)));
    assert_eq!(session.cancel_run(RUN), Err(CommandError::NoSuchRun));
    assert_eq!(sent(&mut session), []);
    assert_eq!(session.request(&[Ability::DiagLogs], why(), secs(60)), Ok(RequestId(2)), "no number was wasted");
    assert_eq!(session.propose_run(draft()), Ok(RUN));
}

#[test]
fn no_more_is_asked_than_an_agent_takes() {
    let mut session = live();
    for _ in 0..limits::REQUESTS_AT_ONCE {
        session.request(&[Ability::DiagLogs], Sentence::cut("why"), secs(60)).unwrap();
    }
    let more = session.request(&[Ability::DiagLogs], Sentence::cut("why"), secs(60));
    assert_eq!(more, Err(CommandError::TooMany));
    for _ in 0..limits::RUNS_AT_ONCE {
        session.propose_run(draft()).unwrap();
    }
    assert_eq!(session.propose_run(draft()), Err(CommandError::TooMany));
    let denied = ToTechnician::Denied { subject: Subject::Run(RUN), reason: DenyReason::ByUser };
    session.handle_message(denied, START).unwrap();
    assert!(session.propose_run(draft()).is_ok());
}

#[test]
fn nothing_is_shown_as_granted_while_the_person_is_away() {
    let mut session = live();
    let paused = ToTechnician::Paused { reason: Absence::PageClosed, ends_in_secs: 60 };
    session.handle_message(paused, START).unwrap();
    assert_eq!(granted_at(&session, 0), []);
    assert_eq!(session.paused_until(), Some(START + secs(60)));
    session.handle_message(ToTechnician::Resumed, START).unwrap();
    assert_eq!(granted_at(&session, 0), [Ability::DiagBasic]);
}

#[test]
fn leaving_takes_no_more_commands_and_waits_for_the_agents_last_words() {
    let mut session = approved();
    sent(&mut session);
    session.end();
    session.end();
    assert_eq!(sent(&mut session), [ToAgent::End]);
    assert_eq!(session.propose_run(draft()), Err(CommandError::Over));
    assert_eq!(session.subscribe(secs(1)), Err(CommandError::Over));
    assert_eq!(session.end_reason(), None);
    session.handle_message(finished(RUN, 1, 1), START).unwrap();
    let reason = EndReason::ByTechnician;
    session.handle_message(ToTechnician::Ended { reason }, START).unwrap();
    assert_eq!(session.end_reason(), Some(reason));
    assert_eq!(iter::from_fn(|| session.poll_event()).last(), Some(TechnicianEvent::Ended(reason)));
}

#[test]
fn the_end_ends_every_question_and_every_run() {
    let mut session = approved();
    session.request(&[Ability::DiagLogs], Sentence::cut("why"), secs(60)).unwrap();
    session.close(EndReason::ConnectionLost);
    assert_eq!(session.run(RUN), Some(&RunState::SessionOver));
    assert_eq!(session.pending().count(), 0);
    assert_eq!(sent(&mut session), []);
    assert_eq!(session.request(&[Ability::DiagLogs], Sentence::cut("why"), secs(60)), Err(CommandError::Over));
}

#[test]
fn an_agent_that_answers_what_was_not_asked_is_refused() {
    let other = Subject::Request(RequestId(7));
    let run = Subject::Run(RUN);
    let error = |subject| TechnicianProtocolError::NotAsked { subject };
    refused(&mut live(), notice(2, FIRST, &[Ability::DiagBasic], 600), error(FIRST));
    refused(&mut live(), notice(2, run, &[Ability::AdhocArgv], 60), error(run));
    let denied = |subject| ToTechnician::Denied { subject, reason: DenyReason::ByUser };
    refused(&mut live(), denied(other), error(other));
    refused(&mut approved(), denied(run), error(run));
    let asking = |subject| ToTechnician::Asking { subject, answer_within_secs: 60 };
    refused(&mut live(), asking(other), error(other));
    let mut session = waiting();
    session.handle_message(asking(FIRST), START).unwrap();
    refused(&mut session, asking(FIRST), error(FIRST));
}

#[test]
fn an_agent_that_grants_more_or_longer_than_was_asked_is_refused() {
    let beyond = |grant| TechnicianProtocolError::BeyondRequest { grant: GrantId(grant) };
    let basic = Ability::DiagBasic;
    refused(&mut waiting(), notice(1, FIRST, &[basic, Ability::ScreenControl], 600), beyond(1));
    refused(&mut waiting(), notice(1, FIRST, &[basic, basic], 600), beyond(1));
    refused(&mut waiting(), notice(1, FIRST, &[], 600), beyond(1));
    refused(&mut waiting(), notice(1, FIRST, &[basic], 601), beyond(1));
    for (abilities, stay) in [(&[basic][..], 60), (&[Ability::AdhocArgv], 4000), (&[Ability::AdhocArgv, basic], 60)] {
        let mut session = live();
        session.propose_run(draft()).unwrap();
        refused(&mut session, notice(2, Subject::Run(RUN), abilities, stay), beyond(2));
    }
}

#[test]
fn an_agent_that_uses_a_grant_twice_or_names_one_that_is_not_there_is_refused() {
    let mut session = live();
    session.propose_run(draft()).unwrap();
    let again = notice(1, Subject::Run(RUN), &[Ability::AdhocArgv], 60);
    refused(&mut session, again, TechnicianProtocolError::GrantTwice { grant: GrantId(1) });

    let unknown = TechnicianProtocolError::UnknownGrant { grant: GrantId(9) };
    let ended = ToTechnician::GrantEnded { grant: GrantId(9), reason: GrantEnd::Lapsed };
    refused(&mut live(), ended, unknown);
    let abilities = vec![Ability::DiagBasic];
    refused(&mut live(), ToTechnician::Narrowed { grant: GrantId(9), abilities: abilities.clone() }, unknown);
    let not_narrower = TechnicianProtocolError::NotNarrower { grant: GrantId(1) };
    for abilities in [abilities, vec![], vec![Ability::ScreenControl]] {
        refused(&mut live(), ToTechnician::Narrowed { grant: GrantId(1), abilities }, not_narrower);
    }
}

#[test]
fn an_agent_that_goes_on_with_a_run_that_was_not_approved_is_refused() {
    let started = ToTechnician::RunStarted { run: RUN, digest: Digest([3; 32]) };
    let unknown = TechnicianProtocolError::UnknownRun { run: RUN };
    let not_approved = TechnicianProtocolError::NotApproved { run: RUN };
    refused(&mut live(), started.clone(), unknown);
    refused(&mut live(), finished(RUN, 0, 0), unknown);
    for message in [started.clone(), finished(RUN, 0, 0)] {
        let mut session = live();
        session.propose_run(draft()).unwrap();
        refused(&mut session, message, not_approved);
    }
    let mut session = approved();
    session.handle_message(finished(RUN, 0, 0), START).unwrap();
    refused(&mut session, finished(RUN, 0, 0), not_approved);
    let mut session = approved();
    session.handle_message(started.clone(), START).unwrap();
    refused(&mut session, started, not_approved);
}

#[test]
fn an_agent_that_miscounts_or_names_impossible_times_is_refused() {
    let miscounted = TechnicianProtocolError::Miscounted { run: RUN };
    refused(&mut approved(), finished(RUN, 4, 3), miscounted);
    let most = RunLimits::DEFAULT.output_bytes;
    refused(&mut approved(), finished(RUN, most + 1, most + 1), miscounted);
    let impossible = TechnicianProtocolError::ImpossibleTime { secs: u32::MAX };
    refused(&mut waiting(), ToTechnician::Asking { subject: FIRST, answer_within_secs: u32::MAX }, impossible);
    let paused = ToTechnician::Paused { reason: Absence::PageClosed, ends_in_secs: u32::MAX };
    refused(&mut live(), paused, impossible);
    refused(&mut live(), ToTechnician::Resumed, TechnicianProtocolError::NotPaused);
}

#[test]
fn output_is_taken_once_each_and_only_of_runs_that_were_proposed() {
    let unknown = TechnicianProtocolError::UnknownRun { run: RUN };
    assert_eq!(live().open_output(RUN, Output::Stdout), Err(unknown));

    let mut session = live();
    session.propose_run(draft()).unwrap();
    let most = RunLimits::DEFAULT.output_bytes;
    assert_eq!(session.open_output(RUN, Output::Stdout), Ok(most), "the stream overtook the message of the grant");
    assert_eq!(session.open_output(RUN, Output::Stderr), Ok(most));
    let twice = TechnicianProtocolError::OutputTwice { run: RUN };
    assert_eq!(session.open_output(RUN, Output::Stdout), Err(twice));
    assert_eq!(session.end_reason(), Some(EndReason::Protocol));

    let mut session = live();
    session.propose_run(draft()).unwrap();
    let denied = ToTechnician::Denied { subject: Subject::Run(RUN), reason: DenyReason::ByUser };
    session.handle_message(denied, START).unwrap();
    let not_approved = TechnicianProtocolError::NotApproved { run: RUN };
    assert_eq!(session.open_output(RUN, Output::Stdout), Err(not_approved));
}

#[test]
fn old_runs_are_forgotten_and_memory_stays_bounded() {
    let mut session = live();
    for _ in 0..3 * FINISHED_RUNS {
        let run = session.propose_run(draft()).unwrap();
        let denied = ToTechnician::Denied { subject: Subject::Run(run), reason: DenyReason::TooSoon };
        session.handle_message(denied, START).unwrap();
    }
    assert_eq!(session.runs().count(), FINISHED_RUNS);
    let newest = RunId(u32::try_from(3 * FINISHED_RUNS).unwrap());
    assert!(session.run(newest).is_some());
    assert_eq!(session.run(RUN), None);
}

#[test]
fn lines_of_the_log_are_handed_on() {
    let mut session = live();
    session.handle_message(ToTechnician::Audit { line: b"{}".to_vec() }, START).unwrap();
    assert_eq!(session.poll_event(), Some(TechnicianEvent::AuditLine(b"{}".to_vec())));
}
