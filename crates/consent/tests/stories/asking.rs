//! From a request to a question before the person.

use consent::{Ceiling, ConsentEvent, Policy, PromptKind};
use wire::{
    ids::{RequestId, RunId},
    limits,
    run::{ExactRun, Variable},
    session::{Ability, AccessRequest, DenyReason, Subject},
    text::{Label, Sentence},
};

use crate::scene::{Dice, START, Scene, exact_run, request, secs, unverified, verified};

#[test]
fn the_first_request_asks_whether_the_session_may_begin() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);

    let prompt = scene.prompt();
    assert_eq!(prompt.kind, PromptKind::Session);
    assert_eq!(prompt.subject, Subject::Request(RequestId(1)));
    assert_eq!(prompt.abilities, [Ability::DiagBasic]);
    assert_eq!(prompt.unlocks_at, START + secs(1));
    assert_eq!(prompt.deadline, START + secs(120));
    assert_eq!(scene.events(), [ConsentEvent::Asked(Box::new(prompt))]);
}

#[test]
fn nothing_else_is_asked_before_the_session_was_allowed() {
    let mut scene = Scene::usual();
    assert_eq!(scene.try_ask_run(), Err(DenyReason::NotYet));
    scene.ask(&[Ability::DiagBasic]);
    assert_eq!(scene.try_ask(&[Ability::DiagBasic], 60), Err(DenyReason::NotYet));
    assert_eq!(scene.try_ask_run(), Err(DenyReason::NotYet));
    assert_eq!(scene.consent.prompts_waiting(), 0);
}

#[test]
fn a_request_that_contradicts_itself_is_malformed() {
    let malformed = [
        request(2, &[], 60),
        request(2, &[Ability::DiagBasic, Ability::DiagBasic], 60),
        request(2, &[Ability::DiagBasic], 0),
        request(2, &[Ability::AdhocArgv], 60),
        request(2, &[Ability::DiagBasic, Ability::RunR2], 60),
    ];
    for request in malformed {
        let mut scene = Scene::everything(verified()).live();
        let answer = scene.consent.request(&request, scene.now, &mut scene.dice);
        assert_eq!(answer, Err(DenyReason::Malformed), "{request:?}");
        assert!(scene.consent.prompt().is_none());
    }
}

#[test]
fn a_number_is_never_taken_twice() {
    let mut scene = Scene::usual().live();
    let again = request(1, &[Ability::DiagBasic], 60);
    assert_eq!(scene.consent.request(&again, scene.now, &mut scene.dice), Err(DenyReason::Malformed));

    let skipping = request(9, &[Ability::DiagBasic], 60);
    assert!(scene.consent.request(&skipping, scene.now, &mut scene.dice).is_ok());
    let lower = request(5, &[Ability::DiagBasic], 60);
    assert_eq!(scene.consent.request(&lower, scene.now, &mut scene.dice), Err(DenyReason::Malformed));

    assert_eq!(scene.consent.announce_run(RunId(3), scene.now), Ok(()));
    assert_eq!(scene.consent.announce_run(RunId(3), scene.now), Err(DenyReason::Malformed));
    assert_eq!(scene.consent.announce_run(RunId(2), scene.now), Err(DenyReason::Malformed));
}

#[test]
fn a_run_is_asked_for_once_and_only_after_it_was_announced() {
    let mut scene = Scene::usual().live();
    let ask = |scene: &mut Scene| {
        let reason = Sentence::cut("");
        scene.consent.ask_run(exact_run(1), Vec::new(), reason, scene.now, &mut scene.dice)
    };
    assert_eq!(ask(&mut scene), Err(DenyReason::Malformed));
    scene.consent.announce_run(RunId(1), scene.now).unwrap();
    assert!(ask(&mut scene).is_ok());
    assert_eq!(ask(&mut scene), Err(DenyReason::Malformed));
    scene.allow();
    assert_eq!(ask(&mut scene), Err(DenyReason::Malformed));
}

#[test]
fn questions_come_one_at_a_time_and_their_time_counts_from_when_they_are_shown() {
    let mut scene = Scene::everything(verified()).live();
    scene.ask(&[Ability::DiagLogs]);
    scene.ask_run();
    assert_eq!(scene.consent.prompts_waiting(), 1);
    assert_eq!(scene.happened(), ["asked"]);

    scene.pass(secs(100));
    scene.allow();
    let run = scene.prompt();
    assert_eq!(run.kind, PromptKind::Run);
    assert_eq!(run.abilities, [Ability::AdhocArgv]);
    assert_eq!((run.shown_at, run.unlocks_at), (scene.now, scene.now + secs(10)));
    assert_eq!(run.deadline, scene.now + secs(120));
    assert_eq!(scene.happened(), ["granted", "asked"]);
}

#[test]
fn a_run_can_always_be_answered_after_its_unlock_delay() {
    let ceiling = Ceiling::attended().with_run_unlock_delay(secs(60)).unwrap().with_answer_time(secs(10), secs(10));
    let mut scene = Scene::with(verified(), ceiling.unwrap(), Policy::ask()).live();
    scene.ask_run();
    let prompt = scene.prompt();
    assert_eq!(prompt.deadline - prompt.unlocks_at, secs(20));
}

#[test]
fn no_more_requests_wait_than_a_person_can_stand() {
    let mut scene = Scene::usual().live();
    for _ in 0..limits::REQUESTS_AT_ONCE {
        scene.ask(&[Ability::DiagBasic]);
    }
    assert_eq!(scene.try_ask(&[Ability::DiagBasic], 60), Err(DenyReason::TooMany));
    scene.allow();
    assert!(scene.try_ask(&[Ability::DiagBasic], 60).is_ok());
}

#[test]
fn runs_count_while_they_are_looked_up_asked_for_and_granted() {
    let mut scene = Scene::usual().live();
    for _ in 0..limits::RUNS_AT_ONCE - 1 {
        scene.ask_run();
    }
    scene.allow();
    scene.consent.announce_run(RunId(100), scene.now).unwrap();
    assert_eq!(scene.consent.announce_run(RunId(101), scene.now), Err(DenyReason::TooMany));

    scene.consent.refuse(Subject::Run(RunId(100)), DenyReason::ProgramNotFound, scene.now);
    assert_eq!(scene.consent.announce_run(RunId(102), scene.now), Ok(()));
    let denied = ConsentEvent::Denied { subject: Subject::Run(RunId(100)), reason: DenyReason::ProgramNotFound };
    assert!(scene.events().contains(&denied));
}

#[test]
fn a_withdrawn_question_makes_room_for_the_next() {
    let mut scene = Scene::usual().live();
    let first = scene.ask(&[Ability::DiagBasic]);
    let second = scene.ask(&[Ability::DiagBasic]);
    scene.events();

    assert!(scene.consent.withdraw(Subject::Request(RequestId(2)), scene.now));
    let reason = DenyReason::Withdrawn;
    let events = scene.events();
    assert_eq!(events.first(), Some(&ConsentEvent::Denied { subject: Subject::Request(RequestId(2)), reason }));
    assert_ne!(first, second);
    assert_eq!(scene.prompt().id, second);
    assert!(!scene.consent.withdraw(Subject::Request(RequestId(2)), scene.now));

    scene.consent.announce_run(RunId(1), scene.now).unwrap();
    assert!(scene.consent.withdraw(Subject::Run(RunId(1)), scene.now));
    assert_eq!(scene.events(), [ConsentEvent::Denied { subject: Subject::Run(RunId(1)), reason }]);
}

#[test]
fn two_questions_never_have_the_same_digest() {
    let mut scene = Scene::usual().live();
    scene.ask(&[Ability::DiagBasic]);
    let one = scene.prompt();
    scene.allow();
    scene.ask(&[Ability::DiagBasic]);
    assert_ne!(scene.prompt().digest, one.digest);
}

/// A question drawn with the same dice each time, so that only what is changed can change the digest.
fn digest_of(change: impl FnOnce(&mut Draft)) -> wire::ids::Digest {
    let mut draft = Draft {
        identity: verified(),
        ceiling: Ceiling::attended(),
        run: exact_run(1),
        additions: vec![Variable { name: b"LANG".to_vec(), value: b"C".to_vec() }],
        reason: "why".to_owned(),
        dice: 5,
    };
    change(&mut draft);
    let mut scene = Scene::with(draft.identity, draft.ceiling, Policy::ask()).live();
    scene.dice = Dice(draft.dice);
    scene.consent.announce_run(draft.run.run, scene.now).expect("a new number");
    let reason = Sentence::cut(&draft.reason);
    let asked = scene.consent.ask_run(draft.run, draft.additions, reason, scene.now, &mut scene.dice);
    asked.expect("nothing stands against asking");
    scene.prompt().digest
}

struct Draft {
    identity: wire::session::TechnicianIdentity,
    ceiling: Ceiling,
    run: ExactRun,
    additions: Vec<Variable>,
    reason: String,
    dice: u64,
}

#[test]
fn everything_that_a_person_sees_changes_the_digest() {
    let unchanged = digest_of(|_| {});
    assert_eq!(digest_of(|_| {}), unchanged, "the dice are the same");
    let changed = [
        digest_of(|draft| draft.identity = unverified()),
        digest_of(|draft| {
            let (name, organisation) = (Label::cut("Ana Ruiz"), Label::cut("Example Held"));
            draft.identity = wire::session::TechnicianIdentity::Verified { name, organisation };
        }),
        digest_of(|draft| draft.run.run = RunId(2)),
        digest_of(|draft| draft.run.arguments.push(b"/".to_vec())),
        digest_of(|draft| draft.additions.clear()),
        digest_of(|draft| draft.additions[0].value.push(b'!')),
        digest_of(|draft| draft.reason.push('!')),
        digest_of(|draft| draft.run.limits.time_secs += 1),
        digest_of(|draft| draft.ceiling = draft.ceiling.clone().with_run_unlock_delay(secs(11)).unwrap()),
        digest_of(|draft| draft.ceiling = draft.ceiling.clone().with_answer_time(secs(90), secs(90)).unwrap()),
        digest_of(|draft| draft.dice += 1),
    ];
    let mut all = changed.to_vec();
    all.push(unchanged);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), changed.len() + 1);
}

#[test]
fn the_abilities_and_the_time_asked_for_change_the_digest() {
    let digest = |request: AccessRequest| {
        let mut scene = Scene::everything(verified()).live();
        scene.dice = Dice(5);
        scene.consent.request(&request, scene.now, &mut scene.dice).unwrap();
        scene.prompt().digest
    };
    let one = digest(request(2, &[Ability::DiagLogs], 60));
    assert_eq!(digest(request(2, &[Ability::DiagLogs], 60)), one);
    assert_ne!(digest(request(2, &[Ability::DiagNetwork], 60)), one);
    assert_ne!(digest(request(2, &[Ability::DiagLogs, Ability::DiagNetwork], 60)), one);
    assert_ne!(digest(request(2, &[Ability::DiagLogs], 61)), one);
    assert_ne!(digest(request(3, &[Ability::DiagLogs], 60)), one);
}
