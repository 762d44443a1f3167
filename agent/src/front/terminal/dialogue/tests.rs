use consent::Verdict;
use wire::ids::{Digest, GrantId, RunId};

use super::*;
use crate::front::samples;

const WIDTH: usize = 79;
const HEIGHT: usize = 23;

fn at(ms: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(100) + Duration::from_millis(ms))
}

/// A dialogue whose first view is on the terminal.
fn open(view: View) -> Dialogue {
    let mut dialogue = Dialogue::new(view, WIDTH, at(0));
    outputs(&mut dialogue);
    dialogue
}

/// Everything that the dialogue wants done, which is done: whatever was to be written is on the terminal.
fn outputs(dialogue: &mut Dialogue) -> Vec<Output> {
    let outputs = std::iter::from_fn(|| dialogue.poll_output()).collect();
    dialogue.all_written();
    outputs
}

fn acts(dialogue: &mut Dialogue) -> Vec<UserAct> {
    let act = |output| if let Output::Act(act) = output { Some(act) } else { None };
    outputs(dialogue).into_iter().filter_map(act).collect()
}

fn written(dialogue: &mut Dialogue) -> String {
    let lines = |output| if let Output::Write(lines) = output { lines } else { vec![] };
    let lines = outputs(dialogue).into_iter().flat_map(lines).map(|line| line.text());
    lines.collect::<Vec<_>>().join("\n")
}

fn live(dialogue: &Dialogue, ms: u64) -> String {
    dialogue.live_lines(HEIGHT, at(ms)).iter().map(Line::text).collect::<Vec<_>>().join("\n")
}

/// Presses keys one by one, as a person does.
fn type_keys(dialogue: &mut Dialogue, keys: &str, ms: u64) {
    for key in keys.bytes() {
        dialogue.handle_input(&[key], at(ms));
    }
}

fn yes(abilities: &[Ability], word: &str, spoken_words: Option<&str>) -> UserAct {
    let proof = Proof::TypedWord(word.to_owned());
    let spoken_words = spoken_words.map(str::to_owned);
    let verdict = Verdict::Allow { abilities: abilities.to_vec(), proof, spoken_words };
    UserAct::Answer(Answer { prompt: PromptId(3), digest: samples::DIGEST, verdict })
}

fn no() -> UserAct {
    UserAct::Answer(Answer { prompt: PromptId(3), digest: samples::DIGEST, verdict: Verdict::Deny })
}

#[test]
fn the_word_allows_what_is_ticked() {
    let mut dialogue = open(samples::asking(samples::ana()));
    assert!(live(&dialogue, 0).contains("type the word «river» and press Enter"));
    type_keys(&mut dialogue, "river\r", 0);
    assert_eq!(acts(&mut dialogue), [yes(&[Ability::DiagBasic, Ability::RunR0], "river", None)]);
    assert!(live(&dialogue, 0).contains("Sent."));
}

#[test]
fn numbers_tick_and_untick() {
    let mut dialogue = open(samples::asking(samples::ana()));
    type_keys(&mut dialogue, "1 3\r", 0);
    let list = written(&mut dialogue);
    assert!(list.contains("1 [ ] See how") && list.contains("2 [x] Run checks") && list.contains("3 [x] Read log"));
    type_keys(&mut dialogue, "river\r", 0);
    assert_eq!(acts(&mut dialogue), [yes(&[Ability::RunR0, Ability::DiagLogs], "river", None)]);

    type_keys(&mut dialogue, "4\r", 0);
    assert_eq!(acts(&mut dialogue), []);
    assert!(live(&dialogue, 0).contains("There is no such number"));
}

#[test]
fn a_yes_to_nothing_is_not_sent() {
    let mut dialogue = open(samples::asking(samples::ana()));
    type_keys(&mut dialogue, "1,2\rriver\r", 0);
    assert_eq!(acts(&mut dialogue), []);
    assert!(live(&dialogue, 0).contains("Nothing is ticked"));
}

#[test]
fn enter_alone_never_allows() {
    let mut dialogue = open(samples::asking(samples::ana()));
    type_keys(&mut dialogue, "\r\r\n   \r", 0);
    assert_eq!(acts(&mut dialogue), []);
    assert!(live(&dialogue, 0).contains("Enter alone does nothing"));
}

#[test]
fn no_is_taken_in_several_spellings_and_at_any_time() {
    for spelling in ["n", "N", "no", "deny"] {
        let mut dialogue = open(samples::live_with_run_prompt());
        type_keys(&mut dialogue, &format!("{spelling}\r"), 0);
        assert_eq!(acts(&mut dialogue), [no()]);
    }
    let mut dialogue = open(samples::live_with_run_prompt());
    dialogue.handle_input(b"no\r", at(0));
    assert_eq!(acts(&mut dialogue), [no()], "a no may come in one piece");
}

#[test]
fn before_it_unlocks_the_word_is_neither_shown_nor_taken() {
    let mut dialogue = open(samples::live_with_run_prompt());
    assert!(!live(&dialogue, 9_000).contains("river"));
    assert!(live(&dialogue, 1_000).contains("You can allow it in 9 s"));
    type_keys(&mut dialogue, "river\r", 9_999);
    assert_eq!(acts(&mut dialogue), []);
    assert!(live(&dialogue, 9_999).contains("Not yet"));
    assert!(live(&dialogue, 10_000).contains("«river»"));
    type_keys(&mut dialogue, "river\r", 10_000);
    assert_eq!(acts(&mut dialogue), [yes(&[], "river", None)]);
}

#[test]
fn what_comes_in_one_piece_before_it_unlocks_is_thrown_away() {
    let mut dialogue = open(samples::live_with_run_prompt());
    dialogue.handle_input(b"river", at(9_999));
    dialogue.handle_input(b"\r", at(10_000));
    assert_eq!(acts(&mut dialogue), []);
    // Over a slow connection keys may come together later on.
    dialogue.handle_input(b"river\r", at(10_000));
    assert_eq!(acts(&mut dialogue), [yes(&[], "river", None)]);
}

#[test]
fn pasted_text_answers_nothing() {
    let mut dialogue = open(samples::asking(samples::ana()));
    dialogue.handle_input(b"\x1b[200~river\r\x1b[201~\r", at(0));
    assert_eq!(acts(&mut dialogue), []);
    dialogue.handle_input(b"\x1b[200~river\x1b[201~", at(0));
    assert!(live(&dialogue, 0).contains("Pasted text is thrown away"));
}

#[test]
fn nothing_is_allowed_before_the_whole_question_is_on_the_terminal() {
    let mut dialogue = Dialogue::new(samples::asking(samples::ana()), WIDTH, at(0));
    while dialogue.poll_output().is_some() {}
    // The terminal has not taken it yet.
    type_keys(&mut dialogue, "river\r", 0);
    assert_eq!(dialogue.poll_output(), None);
    dialogue.all_written();
    type_keys(&mut dialogue, "river\r", 0);
    assert_eq!(acts(&mut dialogue).len(), 1);
}

#[test]
fn a_question_throws_away_what_was_typed_before_it_came() {
    let mut dialogue = open(samples::waiting());
    dialogue.handle_view(samples::asking(samples::ana()), at(0));
    let outputs = outputs(&mut dialogue);
    assert!(matches!(outputs.as_slice(), [.., Output::Write(_), Output::DiscardInput]), "{outputs:?}");

    // And what was typed at another question.
    type_keys(&mut dialogue, "ri", 0);
    let mut other = samples::asking(samples::ana());
    other.prompt.as_mut().unwrap().digest = Digest([1; 32]);
    dialogue.handle_view(other, at(0));
    acts(&mut dialogue);
    type_keys(&mut dialogue, "ver\r", 0);
    let acts = acts(&mut dialogue);
    assert!(
        matches!(acts.as_slice(), [UserAct::Answer(Answer { verdict: Verdict::Allow { proof: Proof::TypedWord(word), .. }, .. })] if word == "ver"),
        "{acts:?}"
    );
}

#[test]
fn a_wrong_word_goes_to_the_session_which_counts_it() {
    let mut dialogue = open(samples::asking(samples::ana()));
    type_keys(&mut dialogue, "rivet\r", 0);
    assert_eq!(acts(&mut dialogue), [yes(&[Ability::DiagBasic, Ability::RunR0], "rivet", None)]);
    let notice = Some("That is not the word.".to_owned());
    dialogue.handle_view(View { notice, ..samples::asking(samples::ana()) }, at(0));
    assert!(live(&dialogue, 0).contains("That is not the word."));
    type_keys(&mut dialogue, "river\r", 0);
    assert_eq!(acts(&mut dialogue).len(), 1, "it can be answered again");
}

#[test]
fn the_two_words_are_asked_for_after_the_word_or_given_with_it() {
    let mut view = samples::asking(samples::stranger());
    view.prompt.as_mut().unwrap().needs_spoken_words = true;
    let expected = [yes(&[Ability::DiagBasic, Ability::RunR0], "river", Some("apple oak"))];

    let mut dialogue = open(view.clone());
    type_keys(&mut dialogue, "river\r", 0);
    assert_eq!(acts(&mut dialogue), []);
    assert!(live(&dialogue, 0).contains("Type the two words that the person on the phone reads to you"));
    type_keys(&mut dialogue, "\r", 0);
    assert_eq!(acts(&mut dialogue), []);
    type_keys(&mut dialogue, "apple oak\r", 0);
    assert_eq!(acts(&mut dialogue), expected);

    let mut dialogue = open(view.clone());
    type_keys(&mut dialogue, "river  apple oak\r", 0);
    assert_eq!(acts(&mut dialogue), expected);

    let mut dialogue = open(view);
    type_keys(&mut dialogue, "river\rn\r", 0);
    assert_eq!(acts(&mut dialogue), [no()]);
}

#[test]
fn one_key_stops_everything() {
    for view in [samples::waiting(), samples::live(), samples::view(Phase::Asking)] {
        let mut dialogue = open(view);
        type_keys(&mut dialogue, "s", 0);
        assert_eq!(acts(&mut dialogue), [UserAct::Stop]);
    }
    // While a question is open, s is a letter, and Ctrl-C stops at any time and in any company.
    let mut dialogue = open(samples::live_with_run_prompt());
    type_keys(&mut dialogue, "s", 0);
    assert_eq!(acts(&mut dialogue), []);
    dialogue.handle_input(b"\x03", at(0));
    dialogue.handle_input(b"river\x03", at(0));
    dialogue.handle_input(b"\x1b[200~\x03", at(0));
    assert_eq!(acts(&mut dialogue), [UserAct::Stop, UserAct::Stop, UserAct::Stop]);
}

#[test]
fn keys_meant_for_a_question_that_just_went_do_nothing() {
    let mut dialogue = open(samples::live_with_run_prompt());
    dialogue.handle_view(samples::live(), at(1_000));
    type_keys(&mut dialogue, "s1", 1_100);
    assert_eq!(acts(&mut dialogue), []);
    dialogue.handle_input(b"\x03", at(1_100));
    assert_eq!(acts(&mut dialogue), [UserAct::Stop]);
    type_keys(&mut dialogue, "s", 2_500);
    assert_eq!(acts(&mut dialogue), [UserAct::Stop]);
}

#[test]
fn a_number_takes_its_row_back() {
    let mut dialogue = open(samples::live());
    assert!(live(&dialogue, 0).contains(" 3  running: /usr/bin/journalctl -u cups"));
    type_keys(&mut dialogue, "1349", 0);
    assert_eq!(
        acts(&mut dialogue),
        [UserAct::Narrow(GrantId(1), vec![Ability::RunR0]), UserAct::StopRun(RunId(4))],
        "there is no fourth and no ninth row"
    );
    let mut one = samples::live();
    one.grants[0].abilities.pop();
    dialogue.handle_view(one, at(0));
    type_keys(&mut dialogue, "1", 0);
    assert_eq!(acts(&mut dialogue), [UserAct::Revoke(GrantId(1))]);
}

#[test]
fn a_new_code_is_asked_for_only_when_there_is_none() {
    let mut dialogue = open(samples::waiting());
    type_keys(&mut dialogue, "c", 0);
    assert_eq!(acts(&mut dialogue), []);
    dialogue.handle_view(samples::view(Phase::CodeVoid { reason: "Ten minutes are over.".into() }), at(0));
    assert!(live(&dialogue, 0).contains("c gets a new code"));
    type_keys(&mut dialogue, "c", 0);
    assert_eq!(acts(&mut dialogue), [UserAct::NewCode]);
}

#[test]
fn what_happened_is_written_once() {
    let mut dialogue = Dialogue::new(samples::live(), WIDTH, at(0));
    assert_eq!(
        written(&mut dialogue),
        "14:02:11  Ana Ruiz of ACME Support attached\n14:02:40  You allowed: diag.basic, run.r0"
    );
    let mut view = samples::live();
    view.activity.push(ActivityLine { time: "14:03:00".into(), text: "The command finished".into() });
    dialogue.handle_view(view.clone(), at(0));
    assert_eq!(written(&mut dialogue), "14:03:00  The command finished");
    // The oldest line makes room for the newest.
    view.activity.remove(0);
    view.activity.push(ActivityLine { time: "14:03:00".into(), text: "The command finished".into() });
    dialogue.handle_view(view.clone(), at(0));
    assert_eq!(written(&mut dialogue), "14:03:00  The command finished");
    dialogue.handle_view(view, at(0));
    assert_eq!(written(&mut dialogue), "");
}

#[test]
fn the_end_is_written_and_stays() {
    let mut dialogue = open(samples::live());
    dialogue.handle_view(samples::ended(), at(0));
    dialogue.handle_view(samples::ended(), at(0));
    let text = written(&mut dialogue);
    assert_eq!(text.matches("The session is over").count(), 1);
    assert!(text.contains("You ended the session.") && text.contains("5be10c77.jsonl"), "{text}");
    type_keys(&mut dialogue, "s1c", 10_000);
    assert_eq!(acts(&mut dialogue), []);
}

#[test]
fn the_typed_line_can_be_corrected_and_stays_bounded() {
    let mut dialogue = open(samples::asking(samples::ana()));
    type_keys(&mut dialogue, "rix\x7fver", 0);
    assert!(live(&dialogue, 0).ends_with("> river"));
    type_keys(&mut dialogue, "\x15", 0);
    assert!(live(&dialogue, 0).ends_with("> "));
    type_keys(&mut dialogue, &"x".repeat(10_000), 0);
    for line in dialogue.live_lines(HEIGHT, at(0)) {
        assert!(line.width() <= WIDTH);
    }
    type_keys(&mut dialogue, "\r", 0);
    let acts = acts(&mut dialogue);
    assert!(
        matches!(acts.as_slice(), [UserAct::Answer(Answer { verdict: Verdict::Allow { proof: Proof::TypedWord(word), .. }, .. })] if word.len() == INPUT_CHARS)
    );
}

#[test]
fn another_width_writes_the_question_again() {
    let mut dialogue = open(samples::live_with_run_prompt());
    dialogue.handle_width(39);
    let text = written(&mut dialogue);
    assert!(text.contains("asks to run a"), "{text}");
    assert!(dialogue.live_lines(HEIGHT, at(0)).iter().all(|line| line.width() <= 39));
    dialogue.handle_width(39);
    assert_eq!(written(&mut dialogue), "");
}

#[test]
fn a_reading_is_allowed_by_its_word_and_has_nothing_to_tick() {
    let mut dialogue = open(samples::live_with_reading_prompt());
    assert!(!live(&dialogue, 2_999).contains("river"), "it is read first");
    type_keys(&mut dialogue, "river\r", 2_999);
    assert_eq!(acts(&mut dialogue), []);
    assert!(live(&dialogue, 3_000).contains("To allow it, type the word «river»"));
    assert!(!live(&dialogue, 3_000).contains("ticks"));
    type_keys(&mut dialogue, "river\r", 3_000);
    assert_eq!(acts(&mut dialogue), [yes(&[], "river", None)]);
}

#[test]
fn a_reading_is_denied_at_any_time() {
    let mut dialogue = open(samples::live_with_reading_prompt());
    type_keys(&mut dialogue, "n\r", 0);
    assert_eq!(acts(&mut dialogue), [no()]);
}
