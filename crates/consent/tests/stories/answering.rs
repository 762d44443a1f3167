//! From a person's answer to a grant or a denial.

use consent::{Act, Answer, AnswerRefused, ConsentEvent, PromptId, Proof, Verdict};
use wire::{
    evidence::AnsweredBy,
    ids::{Digest, GrantId, RequestId, RunId},
    session::{Ability, Absence, DenyReason, Subject},
};

use crate::scene::{START, Scene, no, secs, verified, yes, yes_to};

fn typed(prompt: &consent::Prompt, word: &str) -> Answer {
    let verdict = Verdict::Allow {
        abilities: prompt.abilities.clone(),
        proof: Proof::TypedWord(word.to_owned()),
        spoken_words: None,
    };
    Answer { prompt: prompt.id, digest: prompt.digest, verdict }
}

#[test]
fn a_typed_word_allows_what_was_asked() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    let shouted = format!("  {}\n", prompt.word.to_uppercase());
    assert_eq!(scene.consent.answer(&typed(&prompt, &shouted), scene.now), Ok(()));

    let events = scene.events();
    let Some(ConsentEvent::Granted { grant, once: None, prompt: digest, answered_by }) = events.last() else {
        panic!("no grant in {events:?}");
    };
    assert_eq!((grant.id, grant.subject), (GrantId(1), Subject::Request(RequestId(1))));
    assert_eq!((&grant.abilities[..], *digest), (&[Ability::DiagBasic][..], prompt.digest));
    assert_eq!(*answered_by, AnsweredBy::TypedWord);
    assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), Some(GrantId(1)));
}

#[test]
fn an_answer_on_the_page_is_recorded_as_such() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    let verdict = Verdict::Allow { abilities: prompt.abilities.clone(), proof: Proof::Page, spoken_words: None };
    scene.consent.answer(&Answer { prompt: prompt.id, digest: prompt.digest, verdict }, scene.now).unwrap();
    let page = |event: &ConsentEvent| matches!(event, ConsentEvent::Granted { answered_by: AnsweredBy::Page, .. });
    assert!(scene.events().iter().any(page));
}

#[test]
fn enter_alone_never_allows() {
    for line in ["", "\n", "  ", "y", "yes"] {
        let mut scene = Scene::usual();
        scene.ask(&[Ability::DiagBasic]);
        let prompt = scene.unlock();
        let refused = scene.consent.answer(&typed(&prompt, line), scene.now);
        assert_eq!(refused, Err(AnswerRefused::WrongWord { tries_left: 2 }), "{line:?}");
        assert_eq!(scene.consent.covering(&Act::Diagnostics, scene.now), None);
    }
}

#[test]
fn a_mistyped_word_leaves_the_question_open_and_the_third_is_a_no() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    for tries_left in [2, 1, 0] {
        let refused = scene.consent.answer(&typed(&prompt, "mistyped"), scene.now).unwrap_err();
        assert_eq!(refused, AnswerRefused::WrongWord { tries_left });
        assert_eq!(refused.can_answer_again(), tries_left > 0);
    }
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::NotOpen));
    let denied = ConsentEvent::Denied { subject: prompt.subject, reason: DenyReason::ByUser };
    assert_eq!(scene.events().last(), Some(&denied));
}

#[test]
fn a_yes_before_the_unlock_moment_is_refused_and_one_at_it_is_taken() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let prompt = scene.prompt();
    let just_before = scene.now + secs(9);
    let early = scene.consent.answer(&yes(&prompt), just_before);
    assert_eq!(early, Err(AnswerRefused::TooEarly { unlocks_at: scene.now + secs(10) }));
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now + secs(10)), Ok(()));
}

#[test]
fn a_yes_from_the_deadline_on_is_refused() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.prompt();
    assert_eq!(scene.consent.answer(&yes(&prompt), prompt.deadline), Err(AnswerRefused::NotOpen));
    assert_eq!(scene.consent.covering(&Act::Diagnostics, prompt.deadline), None);
}

#[test]
fn silence_is_a_no() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    assert_eq!(scene.consent.poll_timeout(), Some(START + secs(120)));
    scene.events();
    scene.consent.handle_timeout(START + secs(120));
    let reason = DenyReason::NoAnswer;
    assert_eq!(scene.events(), [ConsentEvent::Denied { subject: Subject::Request(RequestId(1)), reason }]);
    assert!(scene.consent.prompt().is_none());
}

#[test]
fn an_answer_to_another_text_is_refused() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    let mut answer = yes(&prompt);
    answer.digest = Digest([0; 32]);
    assert_eq!(scene.consent.answer(&answer, scene.now), Err(AnswerRefused::OtherText));
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Ok(()));
}

#[test]
fn an_answer_counts_once() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.unlock();
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Ok(()));
    assert_eq!(scene.consent.answer(&yes(&prompt), scene.now), Err(AnswerRefused::NotOpen));
    assert_eq!(scene.consent.grants(scene.now).count(), 1);
}

#[test]
fn a_question_that_was_never_asked_cannot_be_answered() {
    let mut scene = Scene::usual();
    assert_eq!(scene.consent.answer(&no(PromptId(1), Digest([0; 32])), scene.now), Err(AnswerRefused::NotOpen));
}

#[test]
fn a_question_that_waits_can_be_denied_but_not_allowed() {
    let mut scene = Scene::usual().live();
    scene.ask(&[Ability::DiagBasic]);
    let waiting = scene.ask_run();
    let shown = scene.unlock();
    let mut answer = yes(&shown);
    answer.prompt = waiting;
    assert_eq!(scene.consent.answer(&answer, scene.now), Err(AnswerRefused::NotShown));
    assert_eq!(scene.consent.answer(&no(waiting, shown.digest), scene.now), Ok(()));
    assert_eq!(scene.consent.prompts_waiting(), 0);
    assert_eq!(scene.prompt().id, shown.id);
}

#[test]
fn a_no_is_taken_early_and_while_away() {
    let mut scene = Scene::usual();
    scene.ask(&[Ability::DiagBasic]);
    let prompt = scene.prompt();
    scene.consent.absent(Absence::PageClosed, scene.now);
    assert_eq!(scene.consent.answer(&no(prompt.id, prompt.digest), scene.now), Ok(()));
    let denied = ConsentEvent::Denied { subject: prompt.subject, reason: DenyReason::ByUser };
    assert_eq!(scene.events().last(), Some(&denied));
}

#[test]
fn a_part_of_what_was_asked_can_be_allowed_and_nothing_beyond_it() {
    let mut scene = Scene::everything(verified());
    scene.ask(&[Ability::DiagBasic, Ability::DiagLogs, Ability::TermView]);
    let prompt = scene.unlock();
    let beyond = yes_to(&prompt, &[Ability::DiagBasic, Ability::TermControl]);
    assert_eq!(scene.consent.answer(&beyond, scene.now), Err(AnswerRefused::NotAsked));
    assert_eq!(scene.consent.answer(&yes_to(&prompt, &[]), scene.now), Err(AnswerRefused::NothingChosen));
    let part = yes_to(&prompt, &[Ability::TermView, Ability::DiagBasic, Ability::TermView]);
    assert_eq!(scene.consent.answer(&part, scene.now), Ok(()));
    let grant = scene.consent.grants(scene.now).next().unwrap();
    assert_eq!(grant.abilities, [Ability::DiagBasic, Ability::TermView]);
}

#[test]
fn a_yes_to_a_run_needs_no_list_of_abilities() {
    let mut scene = Scene::usual().live();
    scene.ask_run();
    let prompt = scene.unlock();
    let other = yes_to(&prompt, &[Ability::DiagBasic]);
    assert_eq!(scene.consent.answer(&other, scene.now), Err(AnswerRefused::NotAsked));
    assert_eq!(scene.consent.answer(&yes_to(&prompt, &[]), scene.now), Ok(()));

    let digest = prompt.run().unwrap().digest;
    assert_eq!(scene.consent.covering(&Act::Run(digest), scene.now), Some(GrantId(2)));
    let events = scene.events();
    let run = events
        .iter()
        .find_map(|event| if let ConsentEvent::Granted { grant, .. } = event { Some(grant.subject) } else { None });
    assert_eq!(run, Some(Subject::Run(RunId(1))));
}
