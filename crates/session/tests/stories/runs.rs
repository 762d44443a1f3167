//! Runs: looked up, asked for, started, killed, over.

use consent::Ceiling;
use session::agent::Effect;
use wire::{
    evidence::Event,
    ids::{GrantId, RunId},
    limits,
    run::{ExactRun, OutputCount, ProposalError, RunOutcome, Variable},
    session::{Ability, Absence, DenyReason, GrantEnd, Subject, ToAgent, ToTechnician},
};

use crate::{
    desk::{Desk, proposal, records, sent, setup},
    scene::{exact_run, request, secs, verified},
};

const RUN: RunId = RunId(1);

fn denied(desk: &mut Desk) -> Option<DenyReason> {
    let effects = desk.drain();
    let find =
        |message: &&ToTechnician| if let ToTechnician::Denied { reason, .. } = message { Some(*reason) } else { None };
    sent(&effects).iter().find_map(find)
}

fn killed(run: u32, why: RunOutcome) -> Effect {
    Effect::KillRun { run: RunId(run), why }
}

#[test]
fn a_run_from_its_proposal_to_its_end() {
    let mut desk = Desk::live();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    assert_eq!(desk.drain(), [Effect::Resolve(proposal(1))]);

    desk.resolve(exact_run(1));
    let effects = desk.drain();
    let digest = trust::run_digest(&exact_run(1)).unwrap();
    let [Event::AskedForRun { program, arguments, user, environment, digest: asked, .. }] = records(&effects)[..]
    else {
        panic!("{effects:?}");
    };
    assert_eq!((&program[..], &arguments[..], &user[..]), ("/usr/bin/df", &["-h".to_owned()][..], "ana"));
    assert_eq!((&environment[..], *asked), (&["LANG=C".to_owned()][..], digest));
    assert_eq!(sent(&effects), [&ToTechnician::Asking { subject: Subject::Run(RUN), answer_within_secs: 120 }]);

    let approved = desk.allow().run().cloned().unwrap();
    assert_eq!((&approved.exact, approved.digest), (&exact_run(1), digest));
    let effects = desk.drain();
    let start = Effect::StartRun { approved, grant: GrantId(2) };
    assert!(matches!(records(&effects)[..], [Event::Granted { .. }, Event::RunStarting { .. }]));
    assert_eq!(effects.last(), Some(&start));
    assert!(desk.session.may_start_run(RUN, desk.now));

    desk.session.handle_run_started(RUN, desk.now);
    assert_eq!(desk.drain(), [Effect::Send(ToTechnician::RunStarted { run: RUN, digest })]);
    assert!(!desk.session.may_start_run(RUN, desk.now), "it is for one use");
    let run = desk.session.runs().next().unwrap();
    assert_eq!((run.started_at, run.stopping), (Some(desk.now), false));

    desk.finish(1, RunOutcome::Exited { code: 0 });
    let effects = desk.drain();
    let ended = Event::GrantEnded { grant: GrantId(2), reason: GrantEnd::Used };
    assert!(matches!(records(&effects)[..], [Event::RunFinished { .. }, used] if *used == ended));
    assert!(desk.session.runs().next().is_none());
}

#[test]
fn a_program_that_is_not_there_is_denied_without_asking_anybody() {
    let mut desk = Desk::live();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    desk.drain();
    desk.session.handle_resolved(RUN, Err(DenyReason::ProgramNotFound), desk.now, &mut desk.dice);
    assert!(desk.session.prompt().is_none());
    assert_eq!(denied(&mut desk), Some(DenyReason::ProgramNotFound));
}

#[test]
fn nothing_is_looked_up_on_the_machine_while_nobody_could_be_asked() {
    let mut desk = Desk::new();
    desk.drain();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    assert_eq!(desk.done(), ["record Denied", "send Denied"], "the session is not allowed yet");

    let ceiling = Ceiling::closed().allow(Ability::DiagBasic);
    let mut desk = Desk::with(setup(verified(), ceiling, request(1, &[Ability::DiagBasic], 60)));
    desk.allow();
    desk.drain();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    assert_eq!(denied(&mut desk), Some(DenyReason::Ceiling));

    let mut desk = Desk::live();
    desk.propose(1);
    desk.deny();
    desk.drain();
    desk.tell(ToAgent::ProposeRun(proposal(2)));
    assert_eq!(denied(&mut desk), Some(DenyReason::TooSoon));

    let mut desk = Desk::live();
    desk.session.absent(Absence::PageClosed, desk.now);
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    assert_eq!(denied(&mut desk), Some(DenyReason::Away));
}

#[test]
fn a_proposal_that_no_person_could_read_is_refused() {
    let mut long = proposal(1);
    long.arguments = vec![vec![b'a'; limits::RUN_SPEC_BYTES]];
    // Within the limit on bytes, but each stands as six characters in the log.
    let mut unreadable = proposal(1);
    unreadable.arguments = vec![vec![1; 20_000]];
    for proposal in [long, unreadable] {
        let mut desk = Desk::live();
        desk.tell(ToAgent::ProposeRun(proposal));
        assert_eq!(denied(&mut desk), Some(DenyReason::Proposal(ProposalError::TooLong)));
    }
    let mut nothing = proposal(1);
    nothing.program.clear();
    let mut desk = Desk::live();
    desk.tell(ToAgent::ProposeRun(nothing));
    assert_eq!(denied(&mut desk), Some(DenyReason::Proposal(ProposalError::NoProgram)));
}

#[test]
fn what_is_looked_up_must_be_what_was_proposed() {
    let changes: [fn(&mut ExactRun); 5] = [
        |run| run.arguments.push(b"/".to_vec()),
        |run| run.program = b"df".to_vec(),
        |run| run.directory = b"here".to_vec(),
        |run| run.limits.time_secs += 1,
        |run| run.limits.output_bytes = u64::MAX,
    ];
    for change in changes {
        let mut desk = Desk::live();
        desk.tell(ToAgent::ProposeRun(proposal(1)));
        let mut exact = exact_run(1);
        change(&mut exact);
        desk.resolve(exact);
        assert!(desk.session.prompt().is_none());
        assert_eq!(denied(&mut desk), Some(DenyReason::Malformed));
    }
}

#[test]
fn the_person_sees_which_part_of_the_environment_the_technician_added() {
    let lang = Variable { name: b"LANG".to_vec(), value: b"C".to_vec() };
    let path = Variable { name: b"PATH".to_vec(), value: b"/tmp".to_vec() };
    let mut desk = Desk::live();
    let mut asked = proposal(1);
    asked.environment = vec![path, lang.clone()];
    desk.tell(ToAgent::ProposeRun(asked));
    desk.resolve(exact_run(1));
    assert_eq!(desk.session.prompt().unwrap().environment_additions, [lang], "the device did not take over PATH");
}

#[test]
fn more_runs_than_allowed_at_once_are_denied() {
    let mut desk = Desk::live();
    let most = u32::try_from(limits::RUNS_AT_ONCE).unwrap();
    for number in 1..=most {
        desk.tell(ToAgent::ProposeRun(proposal(number)));
    }
    desk.drain();
    desk.tell(ToAgent::ProposeRun(proposal(most + 1)));
    assert_eq!(denied(&mut desk), Some(DenyReason::TooMany));
}

#[test]
fn a_proposal_withdrawn_while_it_is_looked_up_or_asked_is_denied_as_such() {
    let mut desk = Desk::live();
    desk.tell(ToAgent::ProposeRun(proposal(1)));
    desk.tell(ToAgent::CancelRun { run: RUN });
    assert_eq!(denied(&mut desk), Some(DenyReason::Withdrawn));
    desk.resolve(exact_run(1));
    assert!(desk.session.prompt().is_none());
    assert_eq!(desk.done(), Vec::<String>::new());

    desk.propose(2);
    desk.drain();
    desk.tell(ToAgent::CancelRun { run: RunId(2) });
    assert!(desk.session.prompt().is_none());
    assert_eq!(denied(&mut desk), Some(DenyReason::Withdrawn));
    desk.tell(ToAgent::CancelRun { run: RunId(2) });
    assert_eq!(desk.done(), Vec::<String>::new(), "the messages crossed");
}

#[test]
fn a_run_that_was_approved_but_not_handed_out_never_starts_after_a_cancel() {
    let mut desk = Desk::live();
    desk.approve(1);
    desk.tell(ToAgent::CancelRun { run: RUN });
    let effects = desk.drain();
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::StartRun { .. } | Effect::KillRun { .. })));
    let (stdout, stderr) = (OutputCount::default(), OutputCount::default());
    let finished = ToTechnician::RunFinished { run: RUN, outcome: RunOutcome::Cancelled, stdout, stderr };
    assert!(sent(&effects).contains(&&finished));
    assert!(!desk.session.may_start_run(RUN, desk.now));
}

#[test]
fn a_cancelled_run_is_killed_once() {
    let (mut desk, _) = Desk::running();
    desk.tell(ToAgent::CancelRun { run: RUN });
    desk.tell(ToAgent::CancelRun { run: RUN });
    let stopping = Effect::Record(Event::RunStopping { run: RUN });
    assert_eq!(desk.drain(), [killed(1, RunOutcome::Cancelled), stopping]);
    assert!(desk.session.runs().next().unwrap().stopping);
    desk.finish(1, RunOutcome::Cancelled);
    assert!(desk.session.runs().next().is_none());
}

#[test]
fn a_cancelled_run_that_was_handed_out_may_not_start() {
    let mut desk = Desk::live();
    desk.approve(1);
    desk.drain();
    desk.tell(ToAgent::CancelRun { run: RUN });
    assert_eq!(desk.drain().first(), Some(&killed(1, RunOutcome::Cancelled)));
    assert!(!desk.session.may_start_run(RUN, desk.now));
}

#[test]
fn a_run_that_started_goes_on_past_the_time_that_it_had_to_begin() {
    let (mut desk, _) = Desk::running();
    desk.pass(secs(45));
    desk.session.handle_timeout(desk.now);
    assert_eq!(desk.done(), Vec::<String>::new());
    desk.finish(1, RunOutcome::Exited { code: 0 });
    assert!(desk.session.runs().next().is_none());
}

#[test]
fn runs_that_are_still_dying_count_as_running() {
    let mut desk = Desk::live();
    let most = u32::try_from(limits::RUNS_AT_ONCE).unwrap();
    for number in 1..=most {
        desk.start(number);
        desk.session.stop_run(RunId(number), desk.now);
    }
    desk.drain();
    desk.tell(ToAgent::ProposeRun(proposal(most + 1)));
    assert_eq!(denied(&mut desk), Some(DenyReason::TooMany));
    desk.finish(1, RunOutcome::Revoked);
    desk.drain();
    desk.tell(ToAgent::ProposeRun(proposal(most + 2)));
    assert_eq!(denied(&mut desk), None);
}

#[test]
fn a_run_handed_out_and_not_started_yet_is_killed_too() {
    let mut desk = Desk::live();
    desk.approve(1);
    desk.drain();
    desk.session.revoke(GrantId(2), desk.now);
    assert_eq!(desk.drain().first(), Some(&killed(1, RunOutcome::Revoked)));
    assert!(!desk.session.may_start_run(RUN, desk.now));
}

#[test]
fn a_revoke_kills_before_anything_else_is_done() {
    let (mut desk, _) = Desk::running();
    desk.ask(2);
    desk.session.revoke(GrantId(2), desk.now);
    let expected = [
        "KillRun",
        "record AskedForAbilities",
        "send Asking",
        "record GrantEnded",
        "send GrantEnded",
        "record RunStopping",
    ];
    assert_eq!(desk.done(), expected);
    desk.finish(1, RunOutcome::Revoked);
    assert_eq!(desk.done(), ["record RunFinished", "send RunFinished"]);
}

#[test]
fn a_person_can_stop_one_run_and_keep_the_session() {
    let (mut desk, _) = Desk::running();
    desk.session.stop_run(RUN, desk.now);
    assert_eq!(desk.drain().first(), Some(&killed(1, RunOutcome::Revoked)));
    assert_eq!(desk.grant_ids(), [GrantId(1)]);
    assert_eq!(desk.session.end_reason(), None);
}

#[test]
fn a_run_dies_when_the_person_goes_away() {
    let (mut desk, _) = Desk::running();
    desk.session.absent(Absence::ScreenLocked, desk.now);
    assert_eq!(desk.drain().first(), Some(&killed(1, RunOutcome::Revoked)));
}

#[test]
fn a_run_dies_when_its_grant_lapses() {
    let (mut desk, approved) = Desk::running();
    desk.pass(secs(u64::from(approved.exact.limits.time_secs) + 40));
    desk.session.handle_timeout(desk.now);
    assert_eq!(desk.drain().first(), Some(&killed(1, RunOutcome::Revoked)));
}

#[test]
fn an_approved_run_may_not_start_late_and_is_killed_if_it_does() {
    let mut desk = Desk::live();
    desk.approve(1);
    desk.drain();
    desk.pass(secs(30));
    assert!(!desk.session.may_start_run(RUN, desk.now), "the machine slept between the approval and the start");
    desk.session.handle_run_started(RUN, desk.now);
    assert_eq!(desk.drain().first(), Some(&killed(1, RunOutcome::Revoked)));
}

#[test]
fn a_run_that_ends_by_itself_while_it_is_killed_is_reported_as_it_ended() {
    let (mut desk, _) = Desk::running();
    desk.tell(ToAgent::CancelRun { run: RUN });
    desk.finish(1, RunOutcome::Exited { code: 0 });
    let effects = desk.drain();
    let exited = |message: &&ToTechnician| {
        matches!(message, ToTechnician::RunFinished { outcome: RunOutcome::Exited { code: 0 }, .. })
    };
    assert!(sent(&effects).iter().any(exited));
    assert_eq!(effects.first(), Some(&killed(1, RunOutcome::Cancelled)));
}

#[test]
fn reports_about_runs_that_are_not_there_change_nothing() {
    let mut desk = Desk::live();
    desk.session.handle_run_started(RunId(9), desk.now);
    desk.finish(9, RunOutcome::Lost);
    desk.resolve(exact_run(9));
    desk.session.stop_run(RunId(9), desk.now);
    desk.approve(1);
    desk.finish(1, RunOutcome::Lost);
    let effects = desk.drain();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::StartRun { .. })), "it was not even handed out");
}
