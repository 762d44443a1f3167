//! Readings that ask first: one yes, one reading, of exactly what was shown.

use consent::{Act, AnswerRefused, Ceiling, ConsentEvent, Policy, PromptKind, Rule};
use wire::{
    diagnostics::inspect::{About, ExactInspection, Inspect},
    ids::{Digest, GrantId, InspectionId},
    session::{Ability, DenyReason, GrantEnd, Subject},
    text::Label,
};

use crate::scene::{Scene, exact_inspection, secs, unverified, verified, yes, yes_to, yes_with};

/// A session in which single processes may be seen.
fn scene() -> Scene {
    with(Scene::usual())
}

fn with(scene: Scene) -> Scene {
    let mut scene = scene.live();
    scene.ask(&[Ability::DiagProcess]);
    scene.allow();
    scene.events();
    scene
}

fn act(exact: &ExactInspection) -> Act {
    Act::InspectOnce(Ability::DiagArguments, trust::inspection_digest(exact).expect("a short one"))
}

#[test]
fn a_yes_is_for_one_reading_of_exactly_what_was_shown() {
    let mut scene = scene();
    scene.try_ask_inspection().unwrap();
    let prompt = scene.unlock();
    assert_eq!((prompt.kind, prompt.abilities.as_slice()), (PromptKind::Inspection, &[Ability::DiagArguments][..]));
    assert!(prompt.reason.is_blank(), "the technician has no word in it");
    let grant = scene.allow();
    let exact = exact_inspection(1);
    let others = [
        ExactInspection { inspection: InspectionId(2), ..exact.clone() },
        ExactInspection { what: Inspect::Arguments { pid: 4712, start_ticks: 7 }, ..exact.clone() },
        ExactInspection { what: Inspect::Arguments { pid: 4711, start_ticks: 8 }, ..exact.clone() },
        ExactInspection { about: About::Process { name: Label::cut("sh") }, ..exact.clone() },
    ];
    for other in others {
        assert_eq!(scene.consent.covering(&act(&other), scene.now), None, "{other:?}");
        assert!(!scene.consent.begin(grant, &act(&other), scene.now));
    }
    assert_eq!(scene.consent.covering(&Act::Inspect(Ability::DiagArguments), scene.now), None, "no standing right");
    assert!(scene.consent.begin(grant, &act(&exact), scene.now));
    assert!(!scene.consent.begin(grant, &act(&exact), scene.now), "once");
    assert!(scene.consent.is_live(grant, scene.now), "what began may be finished");
    scene.consent.finish(grant, scene.now);
    assert!(scene.events().contains(&ConsentEvent::GrantEnded { grant, reason: GrantEnd::Used }));
    assert_eq!(scene.consent.grants(scene.now).count(), 2, "what was granted before is left alone");
}

#[test]
fn a_yes_that_is_not_used_at_once_is_void() {
    let mut scene = scene();
    scene.try_ask_inspection().unwrap();
    let grant = scene.allow();
    scene.pass(secs(30));
    assert!(!scene.consent.begin(grant, &act(&exact_inspection(1)), scene.now));
    assert!(scene.events().contains(&ConsentEvent::GrantEnded { grant, reason: GrantEnd::Lapsed }));
}

#[test]
fn a_reading_that_began_has_its_time_and_no_more() {
    let mut scene = scene();
    scene.try_ask_inspection().unwrap();
    let grant = scene.allow();
    assert!(scene.consent.begin(grant, &act(&exact_inspection(1)), scene.now));
    scene.pass(secs(89));
    assert!(scene.consent.is_live(grant, scene.now));
    scene.pass(secs(1));
    assert!(!scene.consent.is_live(grant, scene.now));
}

#[test]
fn nobody_is_asked_without_what_has_to_be_granted_beside_it() {
    let mut scene = Scene::usual();
    assert_eq!(scene.try_ask_inspection(), Err(DenyReason::NotYet));
    let mut scene = Scene::usual().live();
    assert_eq!(scene.try_ask_inspection(), Err(DenyReason::NotGranted));
    assert!(scene.consent.prompt().is_none());

    let mut scene = self::scene();
    let exact = exact_inspection(9);
    scene.consent.announce_inspection(exact.inspection, &exact.what, scene.now).unwrap();
    scene.consent.revoke(GrantId(2), scene.now);
    let asked = scene.consent.ask_inspection(exact, scene.now, &mut scene.dice);
    assert_eq!(asked, Err(DenyReason::NotGranted), "it was taken back while the machine was looked at");
}

#[test]
fn device_and_organisation_can_forbid_it() {
    let abilities = [Ability::DiagBasic, Ability::DiagProcess];
    let closed = abilities.into_iter().fold(Ceiling::closed(), Ceiling::allow);
    let mut scene = with(Scene::with(verified(), closed, Policy::ask()));
    assert_eq!(scene.try_ask_inspection(), Err(DenyReason::Ceiling));
    let policy = Policy::ask().rule(Ability::DiagArguments, Rule::Never);
    let mut scene = with(Scene::with(verified(), Ceiling::attended(), policy));
    assert_eq!(scene.try_ask_inspection(), Err(DenyReason::Policy));
}

#[test]
fn what_asks_nobody_or_contradicts_itself_is_malformed() {
    let mut scene = scene();
    let number = InspectionId(1);
    let process = Inspect::Process { pid: 1, start_ticks: None };
    assert_eq!(scene.consent.announce_inspection(number, &process, scene.now), Err(DenyReason::Malformed));
    let arguments = exact_inspection(1).what;
    assert_eq!(scene.consent.announce_inspection(number, &arguments, scene.now), Err(DenyReason::Malformed), "used");
    let asked = scene.consent.ask_inspection(exact_inspection(1), scene.now, &mut scene.dice);
    assert_eq!(asked, Err(DenyReason::Malformed), "never announced");

    let exact = exact_inspection(2);
    scene.consent.announce_inspection(exact.inspection, &exact.what, scene.now).unwrap();
    let other = ExactInspection { what: Inspect::Report, ..exact };
    let asked = scene.consent.ask_inspection(other, scene.now, &mut scene.dice);
    assert_eq!(asked, Err(DenyReason::Malformed));
}

#[test]
fn a_no_and_a_question_taken_back_both_keep_it_from_being_asked_again_at_once() {
    let mut scene = scene();
    scene.try_ask_inspection().unwrap();
    scene.deny();
    assert_eq!(scene.try_ask_inspection(), Err(DenyReason::TooSoon));
    assert!(scene.try_ask(&[Ability::DiagLogs], 60).is_ok(), "something else may be asked");
    scene.deny();
    scene.pass(secs(31));
    scene.events();
    scene.try_ask_inspection().unwrap();
    let subject = scene.prompt().subject;
    assert!(scene.consent.take_back(subject, DenyReason::NotGranted, scene.now));
    assert_eq!(scene.denials(), [DenyReason::NotGranted]);
    assert_eq!(scene.try_ask_run(), Err(DenyReason::TooSoon), "three in vain are enough for everything");
}

#[test]
fn the_question_can_be_allowed_once_its_warning_was_readable_and_silence_is_a_no() {
    let mut scene = scene();
    scene.try_ask_inspection().unwrap();
    let prompt = scene.prompt();
    assert_eq!((prompt.unlocks_at - prompt.shown_at, prompt.deadline - prompt.shown_at), (secs(3), secs(120)));
    let early = scene.consent.answer(&yes(&prompt), scene.now);
    assert_eq!(early, Err(AnswerRefused::TooEarly { unlocks_at: prompt.unlocks_at }));
    let other = yes_to(&prompt, &[Ability::DiagProcess]);
    scene.unlock();
    assert_eq!(scene.consent.answer(&other, scene.now), Err(AnswerRefused::NotAsked));
    scene.now = prompt.deadline;
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::NotOpen));
    let silence = ConsentEvent::Denied { subject: Subject::Inspection(InspectionId(1)), reason: DenyReason::NoAnswer };
    assert!(scene.events().contains(&silence));
}

#[test]
fn a_stranger_needs_the_two_words_for_it() {
    let mut scene = with(Scene::with(unverified(), Ceiling::attended(), Policy::ask()));
    scene.try_ask_inspection().unwrap();
    let prompt = scene.unlock();
    assert!(prompt.needs_spoken_words);
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::SpokenWordsNeeded));
    let words = scene.consent.words().to_string();
    assert_eq!(scene.consent.answer(&yes_with(&prompt, &words), scene.now), Ok(()));
}

#[test]
fn everything_that_the_question_shows_changes_its_digest() {
    let digest_of = |exact: ExactInspection| {
        let mut scene = scene();
        scene.consent.announce_inspection(exact.inspection, &exact.what, scene.now).unwrap();
        scene.consent.ask_inspection(exact, scene.now, &mut scene.dice).unwrap();
        scene.prompt().digest
    };
    let exact = exact_inspection(1);
    let mut digests: Vec<Digest> = vec![
        digest_of(exact.clone()),
        digest_of(ExactInspection { inspection: InspectionId(2), ..exact.clone() }),
        digest_of(ExactInspection { what: Inspect::Arguments { pid: 1, start_ticks: 7 }, ..exact.clone() }),
        digest_of(ExactInspection { what: Inspect::Arguments { pid: 4711, start_ticks: 1 }, ..exact.clone() }),
        digest_of(ExactInspection { about: About::Process { name: Label::cut("sh") }, ..exact.clone() }),
    ];
    assert_eq!(digest_of(exact), digests[0]);
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), 5);
}
