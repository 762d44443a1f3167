//! A technician that nobody vouches for.

use consent::{Act, AnswerRefused, ConsentEvent};
use wire::session::{Ability, DenyReason};

use crate::scene::{Scene, unverified, verified, words, yes, yes_to, yes_with};

#[test]
fn looking_needs_no_words() {
    let mut scene = Scene::with(unverified(), consent::Ceiling::attended(), consent::Policy::ask());
    scene.ask(&[Ability::DiagBasic]);
    assert!(!scene.prompt().needs_spoken_words);
    scene.allow();
    assert!(scene.consent.covering(&Act::Diagnostics, scene.now).is_some());
    assert!(!scene.consent.words_confirmed());
}

#[test]
fn a_command_needs_the_two_words_that_the_technician_reads_out() {
    let mut scene = Scene::everything(unverified()).live();
    scene.ask_run();
    let prompt = scene.unlock();
    assert!(prompt.needs_spoken_words);
    let digest = prompt.run().unwrap().digest;

    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::SpokenWordsNeeded));
    assert_eq!(scene.consent.answer(&yes_with(&prompt, "  "), scene.now), Err(AnswerRefused::SpokenWordsNeeded));
    let wrong = AnswerRefused::WrongSpokenWords { tries_left: 2 };
    assert_eq!(scene.consent.answer(&yes_with(&prompt, "wrong words"), scene.now), Err(wrong));
    assert_eq!(scene.consent.covering(&Act::Run(digest), scene.now), None);

    scene.events();
    let spoken = words().to_string().to_uppercase();
    assert_eq!(scene.consent.answer(&yes_with(&prompt, &spoken), scene.now), Ok(()));
    assert!(scene.consent.covering(&Act::Run(digest), scene.now).is_some());
    assert_eq!(scene.happened(), ["words confirmed", "granted"]);
}

#[test]
fn the_words_are_confirmed_once_a_session() {
    let mut scene = Scene::everything(unverified()).live();
    scene.ask_run();
    scene.ask_run();
    let prompt = scene.unlock();
    scene.consent.answer(&yes_with(&prompt, &words().to_string()), scene.now).unwrap();
    assert!(scene.consent.words_confirmed());
    assert!(!scene.prompt().needs_spoken_words);
    scene.events();
    scene.allow();
    assert_eq!(scene.happened(), ["granted"]);
}

#[test]
fn the_words_can_be_confirmed_before_they_are_needed_and_wrong_ones_still_refuse() {
    let mut scene = Scene::everything(unverified());
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    let wrong = AnswerRefused::WrongSpokenWords { tries_left: 2 };
    assert_eq!(scene.consent.answer(&yes_with(&prompt, "wrong words"), scene.now), Err(wrong));
    assert_eq!(scene.consent.answer(&yes_with(&prompt, &words().to_string()), scene.now), Ok(()));
    assert!(scene.consent.words_confirmed());
}

#[test]
fn the_third_wrong_pair_of_words_is_a_no() {
    let mut scene = Scene::everything(unverified()).live();
    scene.ask_run();
    let prompt = scene.unlock();
    for tries_left in [2, 1, 0] {
        let refused = scene.consent.answer(&yes_with(&prompt, "wrong words"), scene.now);
        assert_eq!(refused, Err(AnswerRefused::WrongSpokenWords { tries_left }));
    }
    let denied = ConsentEvent::Denied { subject: prompt.subject, reason: DenyReason::NotVerified };
    assert_eq!(scene.events().last(), Some(&denied));
    let right = yes_with(&prompt, &words().to_string());
    assert_eq!(scene.consent.answer(&right, scene.now), Err(AnswerRefused::NotOpen));
}

#[test]
fn of_a_mixed_question_looking_can_be_allowed_without_the_words() {
    let mut scene = Scene::everything(unverified()).live();
    scene.ask(&[Ability::TermView, Ability::TermControl]);
    let prompt = scene.unlock();
    assert!(prompt.needs_spoken_words);
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::SpokenWordsNeeded));
    assert_eq!(scene.consent.answer(&yes_to(&prompt, &[Ability::TermView]), scene.now), Ok(()));
}

#[test]
fn a_verified_technician_is_never_asked_for_words() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    assert!(!scene.prompt().needs_spoken_words);
    scene.allow();

    let mut scene = Scene::everything(verified());
    scene.ask(&[Ability::TermControl]);
    assert!(!scene.prompt().needs_spoken_words);
}

#[test]
fn a_strangers_first_question_stays_locked_long_enough_to_read_the_warning() {
    let mut scene = Scene::with(unverified(), consent::Ceiling::attended(), consent::Policy::ask());
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.prompt();
    assert_eq!(prompt.unlocks_at, prompt.shown_at + crate::scene::secs(3));
}
