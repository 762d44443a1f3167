//! Nobody is worn down with questions.

use consent::{COOL_DOWN, SAME_QUESTION_PAUSE};
use wire::{
    ids::RunId,
    session::{Ability, DenyReason},
};

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
    let (by_user, too_soon) = (DenyReason::ByUser, DenyReason::TooSoon);
    assert_eq!(scene.denials(), [by_user, by_user, by_user, too_soon, too_soon]);

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
fn a_question_that_was_shown_and_withdrawn_counts_as_a_no() {
    let mut scene = Scene::everything(verified()).live();
    for _ in 0..2 {
        scene.ask_run();
        scene.withdraw_run(scene.last_run());
        assert_eq!(scene.try_ask_run(), Err(DenyReason::TooSoon));
        scene.pass(SAME_QUESTION_PAUSE);
    }
    scene.ask_run();
    scene.ask(&[Ability::DiagLogs]);
    scene.events();
    scene.withdraw_run(scene.last_run());
    assert_eq!(scene.denials(), [DenyReason::Withdrawn, DenyReason::TooSoon], "what is open is taken back too");
    assert_eq!(scene.try_ask(&[Ability::DiagBasic], 60), Err(DenyReason::TooSoon));
    scene.pass(COOL_DOWN);
    assert!(scene.try_ask(&[Ability::DiagBasic], 60).is_ok());
}

#[test]
fn withdrawing_and_denying_count_together() {
    let mut scene = Scene::usual().live();
    for deny in [true, false, true] {
        scene.ask_run();
        if deny {
            scene.deny()
        } else {
            scene.withdraw_run(scene.last_run())
        }
        scene.pass(SAME_QUESTION_PAUSE);
    }
    assert_eq!(scene.try_ask_run(), Err(DenyReason::TooSoon), "longer than after a single no");
}

#[test]
fn a_question_that_was_withdrawn_before_anybody_saw_it_is_no_denial() {
    let mut scene = Scene::everything(verified()).live();
    scene.ask_run();
    for _ in 0..4 {
        scene.ask_run();
        scene.withdraw_run(scene.last_run());
    }
    let announced = RunId(scene.last_run().0 + 1);
    scene.consent.announce_run(announced, scene.now).unwrap();
    scene.withdraw_run(announced);
    assert!(scene.consent.prompt().is_some());
    assert!(scene.try_ask(&[Ability::DiagLogs], 60).is_ok());
}
