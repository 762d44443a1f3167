//! The person goes away and perhaps comes back.

use consent::{Act, AnswerRefused, ConsentEvent};
use wire::{
    ids::GrantId,
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd},
};

use crate::scene::{Scene, secs, yes};

#[test]
fn nothing_is_covered_while_the_person_is_away() {
    let mut scene = Scene::usual().live();
    scene.consent.absent(Absence::ScreenLocked, scene.now);
    let ends_at = scene.now + secs(60);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
    assert!(!scene.consent.is_live(GrantId(1), scene.now));
    assert_eq!(scene.consent.paused_until(), Some(ends_at));
    assert_eq!(scene.events(), [ConsentEvent::Paused { reason: Absence::ScreenLocked, ends_at }]);

    scene.pass(secs(59));
    scene.consent.present(scene.now);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), Some(GrantId(1)));
    assert_eq!(scene.events(), [ConsentEvent::Resumed]);
}

#[test]
fn nobody_back_within_the_grace_ends_everything() {
    let mut scene = Scene::usual().live();
    scene.consent.absent(Absence::PageClosed, scene.now);
    scene.events();
    assert_eq!(scene.consent.poll_timeout(), Some(scene.now + secs(60)));
    scene.pass(secs(60));
    scene.consent.present(scene.now);
    let ended = ConsentEvent::GrantEnded { grant: GrantId(1), reason: GrantEnd::SessionEnded };
    assert_eq!(scene.events(), [ended, ConsentEvent::Over(EndReason::UserAway)]);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
}

#[test]
fn another_reason_to_be_away_buys_no_more_time() {
    let mut scene = Scene::usual().live();
    scene.consent.absent(Absence::PageClosed, scene.now);
    let ends_at = scene.consent.paused_until();
    scene.pass(secs(30));
    scene.consent.absent(Absence::ScreenLocked, scene.now);
    assert_eq!(scene.consent.paused_until(), ends_at);
}

#[test]
fn a_yes_while_away_is_refused_and_the_question_stays() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    scene.consent.absent(Absence::PageClosed, scene.now);
    let refused = AnswerRefused::Paused { reason: Absence::PageClosed };
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(refused));
    assert_eq!(scene.prompt().id, prompt.id);
}

#[test]
fn who_comes_back_has_to_read_the_open_question_again() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    scene.unlock();
    scene.consent.absent(Absence::PageClosed, scene.now);
    scene.pass(secs(20));
    scene.consent.present(scene.now);
    let unlocks_at = scene.now + secs(10);
    let prompt = scene.prompt();
    assert_eq!(prompt.unlocks_at, unlocks_at);
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::TooEarly { unlocks_at }));
    assert_eq!(scene.consent.answer(&yes(&prompt), unlocks_at), Ok(()));
}

#[test]
fn the_deadline_of_a_question_goes_on_while_the_person_is_away() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let prompt = scene.prompt();
    scene.pass(secs(100));
    scene.consent.absent(Absence::PageClosed, scene.now);
    scene.pass(secs(30));
    scene.consent.present(scene.now);
    assert_eq!(scene.consent.prompt(), None);
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::NotOpen));
}

#[test]
fn nobody_is_asked_and_nothing_new_is_shown_while_away() {
    let mut scene = Scene::usual().live();
    scene.ask(&[Ability::DiagBasic]);
    scene.ask_run();
    scene.consent.absent(Absence::PageClosed, scene.now);
    assert_eq!(scene.try_ask(&[Ability::DiagBasic], 60), Err(DenyReason::Away));
    assert_eq!(scene.try_ask_run(), Err(DenyReason::Away));

    scene.deny();
    assert!(scene.consent.prompt().is_none(), "the run waits until somebody is there to read it");
    assert_eq!(scene.consent.prompts_waiting(), 1);
    scene.consent.present(scene.now);
    assert!(scene.prompt().run().is_some());
}

#[test]
fn a_grant_lapses_while_the_person_is_away() {
    let mut scene = Scene::usual();
    scene.try_ask(&[Ability::DiagBasic], 30).unwrap();
    scene.allow();
    scene.consent.absent(Absence::ScreenLocked, scene.now);
    scene.pass(secs(30));
    scene.consent.present(scene.now);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
}
