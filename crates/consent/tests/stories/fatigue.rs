//! Nobody is worn down with questions.

use consent::{COOL_DOWN, ConsentEvent, SAME_QUESTION_PAUSE};
use wire::session::{Ability, DenyReason};

use crate::scene::{Scene, verified};

#[test]
fn after_a_no_the_same_cannot_be_asked_again_at_once_but_something_else_can() {
    let mut scene = Scene::everything(verified()).live();
    scene.ask(&[Ability::DiagLogs]);
    scene.deny();
    let both = [Ability::DiagLogs, Ability::TermView];
    assert_eq!(scene.try_ask(&both, 60), Err(DenyReason::TooSoon));
    assert!(scene.try_ask(&[Ability::TermView], 60).is_ok());
    scene.pass(SAME_QUESTION_PAUSE);
    assert!(scene.try_ask(&both, 60).is_ok());
}

#[test]
fn after_a_no_to_a_run_the_next_one_waits() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    scene.deny();
    assert_eq!(scene.try_ask_run(), Err(DenyReason::TooSoon));
    scene.pass(SAME_QUESTION_PAUSE);
    assert!(scene.try_ask_run().is_ok());
}

#[test]
fn silence_counts_as_a_no() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    scene.now = scene.prompt().deadline;
    assert_eq!(scene.try_ask_run(), Err(DenyReason::TooSoon));
}

#[test]
fn after_three_times_no_nothing_is_asked_for_five_minutes_and_open_questions_go() {
    let mut scene = Scene::usual().live();
    for _ in 0..5 {
        scene.ask_run();
    }
    scene.events();
    scene.deny();
    scene.deny();
    assert_eq!(scene.consent.prompts_waiting(), 2);
    scene.deny();
    assert!(scene.consent.prompt().is_none());
    assert_eq!(scene.consent.prompts_waiting(), 0);
    let reasons = scene
        .events()
        .into_iter()
        .filter_map(|event| if let ConsentEvent::Denied { reason, .. } = event { Some(reason) } else { None });
    let (by_user, too_soon) = (DenyReason::ByUser, DenyReason::TooSoon);
    assert_eq!(reasons.collect::<Vec<_>>(), [by_user, by_user, by_user, too_soon, too_soon]);

    assert_eq!(scene.try_ask(&[Ability::DiagBasic], 60), Err(DenyReason::TooSoon));
    scene.pass(COOL_DOWN);
    assert!(scene.try_ask(&[Ability::DiagBasic], 60).is_ok());
}

#[test]
fn after_the_cool_down_the_count_starts_again() {
    let mut scene = Scene::usual().live();
    for _ in 0..3 {
        scene.ask_run();
        scene.deny();
        scene.pass(SAME_QUESTION_PAUSE);
    }
    scene.pass(COOL_DOWN);
    scene.ask_run();
    scene.deny();
    assert!(scene.try_ask(&[Ability::DiagBasic], 60).is_ok());
}

#[test]
fn a_withdrawn_question_is_no_denial() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let run = wire::session::Subject::Run(scene.last_run());
    scene.consent.withdraw(run, scene.now);
    assert!(scene.try_ask_run().is_ok());
}
