//! The conversation at a terminal: what is written, what a key means. No terminal is touched here and time is an argument.
//!
//! A question is written once, whole, above everything that changes. A yes to it is taken only when
//! all of it has been written ([`Dialogue::all_written`]), it has unlocked, and the person typed its word. What was typed before
//! the question came, what arrives in one piece before it unlocks, and what is pasted at any time is thrown away.

use std::{collections::VecDeque, time::Duration};

use consent::{Answer, PromptId, Proof, Verdict};
use trust::words::says_no;
use wire::{session::Ability, time::Moment};

use super::{
    keys::{Decoder, Key},
    render::{self, Row},
    text::{Line, Look, wrap},
};
use crate::{
    front::aged::Aged,
    view::{ActivityLine, Phase, PromptView, UserAct, View},
};

/// After a question is gone, single keys mean nothing for this long: they were meant for the question.
const QUIET: Duration = Duration::from_millis(1500);

/// Longest answer that is kept while it is typed; what the person means to type is a word or three.
const INPUT_CHARS: usize = 200;

/// Something for the terminal or for the session to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// Lines that stay, above the part that changes.
    Write(Vec<Line>),
    /// Throw away what was typed and not read yet.
    DiscardInput,
    /// What the person did.
    Act(UserAct),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Dialogue {
    aged: Aged,
    width: usize,
    decoder: Decoder,
    question: Option<Question>,
    quiet_until: Moment,
    activity: Vec<ActivityLine>,
    ended: bool,
    outputs: VecDeque<Output>,
}

/// The question that the person has in front of them.
#[derive(Debug)]
struct Question {
    prompt: PromptView,
    ticked: Vec<bool>,
    input: String,
    /// The word was typed; the two spoken words are still needed.
    word: Option<String>,
    /// What was wrong with the last input.
    message: Option<&'static str>,
    written: bool,
    sent: bool,
}

impl Dialogue {
    pub(super) fn new(view: View, width: usize, now: Moment) -> Self {
        let mut dialogue = Self {
            aged: Aged::new(view.clone(), now),
            width,
            decoder: Decoder::default(),
            question: None,
            quiet_until: now,
            activity: Vec::new(),
            ended: false,
            outputs: VecDeque::new(),
        };
        dialogue.show(&view, now);
        dialogue
    }

    /// Takes the next view.
    pub(super) fn handle_view(&mut self, view: View, now: Moment) {
        self.aged.update(view.clone(), now);
        self.show(&view, now);
    }

    /// The terminal got another width: what is in front of the person is written again.
    pub(super) fn handle_width(&mut self, width: usize) {
        if self.width == width {
            return;
        }
        self.width = width;
        if let Some(mut question) = self.question.take() {
            question.written = false;
            self.write_question(&question);
            self.question = Some(question);
        }
    }

    /// Everything that was to be written has reached the terminal.
    pub(super) fn all_written(&mut self) {
        if let Some(question) = &mut self.question
            && self.outputs.is_empty()
        {
            question.written = true;
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether an escape sequence waits for its rest, see [`Dialogue::give_up_waiting`].
    pub(super) fn is_waiting(&self) -> bool {
        self.decoder.is_waiting()
    }

    /// Nothing came for a while after an ESC.
    pub(super) fn give_up_waiting(&mut self) {
        self.decoder.give_up_waiting();
    }

    /// Takes what one read gave.
    pub(super) fn handle_input(&mut self, bytes: &[u8], now: Moment) {
        let keys = self.decoder.decode(bytes);
        if self.came_too_fast(&keys, now) {
            if keys.contains(&Key::Interrupt) {
                self.act(UserAct::Stop);
            }
            self.say("That came all at once, before the question was open, so it was thrown away.");
            return;
        }
        for key in keys {
            self.handle_key(key, now);
        }
    }

    /// Nobody types two letters at the same time. After the question unlocked it may be a slow connection; before that it is
    /// thrown away, unless it says no.
    fn came_too_fast(&self, keys: &[Key], now: Moment) -> bool {
        let letters = keys.iter().filter_map(|key| if let Key::Char(letter) = key { Some(*letter) } else { None });
        let text = letters.collect::<String>();
        self.question.is_some() && self.locked_ms(now) > 0 && text.chars().count() > 1 && !says_no(&text)
    }

    fn handle_key(&mut self, key: Key, now: Moment) {
        if key == Key::Interrupt {
            return self.act(UserAct::Stop);
        }
        let Some(question) = &mut self.question else { return self.handle_single_key(key, now) };
        match key {
            Key::Char(character) => {
                question.message = None;
                if question.input.chars().count() < INPUT_CHARS {
                    question.input.push(character);
                }
            }
            Key::Backspace => {
                question.input.pop();
            }
            Key::ClearLine => question.input.clear(),
            Key::Enter => {
                let line = std::mem::take(&mut question.input);
                self.handle_line(line.trim(), now);
            }
            Key::Paste => self.say("Pasted text is thrown away. Type it."),
            Key::Other | Key::Interrupt => {}
        }
    }

    /// A key while no question is open.
    fn handle_single_key(&mut self, key: Key, now: Moment) {
        if now < self.quiet_until || self.ended {
            return;
        }
        let view = self.aged.at(now);
        match key {
            Key::Char('s' | 'S') => self.act(UserAct::Stop),
            Key::Char('c' | 'C') if matches!(view.phase, Phase::CodeVoid { .. }) => self.act(UserAct::NewCode),
            Key::Char(digit @ '1'..='9') => {
                let index = digit.to_digit(10).map_or(0, |number| number.saturating_sub(1));
                let row = usize::try_from(index).ok().and_then(|index| render::rows(&view).into_iter().nth(index));
                if let Some(row) = row {
                    self.take_back(&view, row);
                }
            }
            Key::Char(_) | Key::Enter | Key::Backspace | Key::ClearLine | Key::Paste | Key::Other | Key::Interrupt => {}
        }
    }

    fn take_back(&mut self, view: &View, row: Row) {
        match row {
            Row::Run(run) => self.act(UserAct::StopRun(run)),
            Row::Ability { grant, ability } => {
                let held = view.grants.iter().filter(|held| held.grant == grant).flat_map(|held| &held.abilities);
                let rest = held
                    .filter(|held| held.ability != ability)
                    .filter_map(|held| held.ability.parse::<Ability>().ok())
                    .collect::<Vec<_>>();
                let act = if rest.is_empty() { UserAct::Revoke(grant) } else { UserAct::Narrow(grant, rest) };
                self.act(act);
            }
        }
    }

    /// A line that was ended with Enter while a question is open.
    fn handle_line(&mut self, line: &str, now: Moment) {
        let locked = self.locked_ms(now) > 0;
        let Some(question) = &mut self.question else { return };
        question.message = None;
        if says_no(line) {
            question.sent = true;
            let prompt = PromptId(question.prompt.prompt);
            let answer = Answer { prompt, digest: question.prompt.digest, verdict: Verdict::Deny };
            return self.act(UserAct::Answer(answer));
        }
        if line.is_empty() {
            return self.say("Enter alone does nothing.");
        }
        if let Some(numbers) = numbers(line)
            && !question.prompt.is_once()
        {
            return self.toggle(&numbers);
        }
        if locked || !question.written {
            return self.say("Not yet: read it first. Nothing was allowed.");
        }
        self.allow(line);
    }

    fn toggle(&mut self, numbers: &[usize]) {
        let Some(question) = &mut self.question else { return };
        if numbers.iter().any(|number| *number == 0 || *number > question.ticked.len()) {
            return self.say("There is no such number. Nothing was changed.");
        }
        for number in numbers {
            if let Some(tick) = question.ticked.get_mut(number - 1) {
                *tick = !*tick;
            }
        }
        let lines = render::abilities(&question.prompt.abilities, &question.ticked, self.width);
        self.outputs.push_back(Output::Write(lines));
    }

    fn allow(&mut self, line: &str) {
        let Some(question) = &mut self.question else { return };
        let prompt = &question.prompt;
        if !prompt.is_once() && !question.ticked.contains(&true) {
            return self.say("Nothing is ticked. Type the number of what you want to allow, or n.");
        }
        let (word, spoken) = match question.word.take() {
            Some(word) => (word, Some(line.to_owned())),
            None if prompt.needs_spoken_words => match line.split_once(char::is_whitespace) {
                Some((word, spoken)) => (word.to_owned(), Some(spoken.trim().to_owned())),
                None if line.eq_ignore_ascii_case(&prompt.word) => {
                    question.word = Some(line.to_owned());
                    return;
                }
                // A wrong word goes to the session, which counts them.
                None => (line.to_owned(), None),
            },
            None => (line.to_owned(), None),
        };
        let ticked = prompt.abilities.iter().zip(&question.ticked).filter(|(_, ticked)| **ticked);
        let abilities = ticked.filter_map(|(ability, _)| ability.ability.parse().ok()).collect();
        let verdict = Verdict::Allow { abilities, proof: Proof::TypedWord(word), spoken_words: spoken };
        let answer = Answer { prompt: PromptId(prompt.prompt), digest: prompt.digest, verdict };
        question.sent = true;
        self.act(UserAct::Answer(answer));
    }

    fn say(&mut self, message: &'static str) {
        if let Some(question) = &mut self.question {
            question.message = Some(message);
        }
    }

    fn act(&mut self, act: UserAct) {
        self.outputs.push_back(Output::Act(act));
    }

    fn locked_ms(&self, now: Moment) -> u64 {
        self.aged.at(now).prompt.map_or(0, |prompt| prompt.unlocks_in_ms)
    }

    /// Writes what is new in a view.
    fn show(&mut self, view: &View, now: Moment) {
        self.write_activity(&view.activity);
        self.show_question(view, now);
        if let Phase::Ended { reason, receipt } = &view.phase
            && !self.ended
        {
            self.ended = true;
            let lines = render::ended(reason, receipt.as_deref(), self.width);
            self.outputs.push_back(Output::Write(lines));
        }
    }

    fn write_activity(&mut self, activity: &[ActivityLine]) {
        let new = new_lines(&self.activity, activity);
        let lines = new.iter().flat_map(|line| {
            let first = format!("{}  ", line.time);
            wrap(Look::Plain, &line.text, &first, "          ", self.width)
        });
        let lines = lines.collect::<Vec<_>>();
        self.activity = activity.to_vec();
        if !lines.is_empty() {
            self.outputs.push_back(Output::Write(lines));
        }
    }

    fn show_question(&mut self, view: &View, now: Moment) {
        let same = |question: &Question, prompt: &PromptView| {
            question.prompt.prompt == prompt.prompt && question.prompt.digest == prompt.digest
        };
        match (&mut self.question, &view.prompt) {
            (Some(question), Some(prompt)) if same(question, prompt) => {
                // The session has seen the answer and the question is still open: it was not taken.
                question.sent = false;
            }
            (_, Some(prompt)) => {
                let question = Question {
                    prompt: prompt.clone(),
                    ticked: prompt.abilities.iter().map(|ability| ability.ticked).collect(),
                    input: String::new(),
                    word: None,
                    message: None,
                    written: false,
                    sent: false,
                };
                self.write_question(&question);
                self.question = Some(question);
            }
            (Some(_), None) => {
                self.question = None;
                self.quiet_until = now + QUIET;
            }
            (None, None) => {}
        }
    }

    fn write_question(&mut self, question: &Question) {
        let mut prompt = question.prompt.clone();
        for (ability, ticked) in prompt.abilities.iter_mut().zip(&question.ticked) {
            ability.ticked = *ticked;
        }
        let lines = render::question(&prompt, self.aged.view().technician.as_ref(), self.width);
        self.outputs.push_back(Output::Write(lines));
        self.outputs.push_back(Output::DiscardInput);
    }

    /// The part of the screen that changes: at most `height` lines, the last one is where the cursor stands.
    pub(super) fn live_lines(&self, height: usize, now: Moment) -> Vec<Line> {
        let view = self.aged.at(now);
        match (&self.question, &view.prompt) {
            (Some(question), Some(prompt)) => self.answer_lines(question, prompt, &view, height),
            _ if self.ended => vec![Line::default()],
            _ => render::status(&view, self.width, height),
        }
    }

    fn answer_lines(&self, question: &Question, prompt: &PromptView, view: &View, height: usize) -> Vec<Line> {
        let width = self.width;
        let mut lines = vec![Line::default()];
        lines.extend(render::summary(view, width));
        if view.prompts_waiting > 0 {
            lines.push(Line::new(Look::Dim, format!("Questions behind this one: {}", view.prompts_waiting)));
        }
        if let Some(notice) = &view.notice {
            lines.extend(wrap(Look::Caution, notice, "! ", "  ", width));
        }
        let locked = prompt.unlocks_in_ms;
        if question.sent {
            lines.push(Line::new(Look::Plain, "Sent. Waiting for the program."));
        } else if locked > 0 {
            let text = format!("Take your time to read. You can allow it in {}.", render::clock(locked));
            lines.extend(wrap(Look::Bold, &text, "", "", width));
        } else if question.word.is_some() {
            let text = "Type the two words that the person on the phone reads to you, and press Enter.";
            lines.extend(wrap(Look::Bold, text, "", "", width));
            lines.extend(wrap(
                Look::Plain,
                "If they cannot, type n: somebody else may be listening in.",
                "",
                "",
                width,
            ));
        } else {
            let what = if prompt.is_once() { "it" } else { "what is ticked" };
            let text = format!("To allow {what}, type the word «{}» and press Enter.", prompt.word);
            lines.extend(wrap(Look::Bold, &text, "", "", width));
        }
        let numbers = if prompt.is_once() { "" } else { " A number ticks or unticks." };
        lines.extend(wrap(Look::Bold, &format!("To deny, type n and press Enter.{numbers}"), "", "", width));
        let text = format!(
            "No answer within {} counts as no. Ctrl-C stops everything at once.",
            render::clock(prompt.answer_within_ms)
        );
        lines.extend(wrap(Look::Dim, &text, "", "", width));
        if let Some(message) = question.message {
            lines.extend(wrap(Look::Caution, message, "! ", "  ", width));
        }
        let first = lines.len().saturating_sub(height.saturating_sub(1));
        lines.drain(..first);
        lines.push(Line::new(Look::Bold, "> ").and(Look::Plain, tail(&question.input, width.saturating_sub(3))));
        lines
    }
}

/// The last characters of `input` that fit into `width` cells.
fn tail(input: &str, width: usize) -> String {
    let mut start = input.len();
    let mut used = 0;
    for (at, character) in input.char_indices().rev() {
        used += super::text::width_of(character.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        start = at;
    }
    input.get(start..).unwrap_or_default().to_owned()
}

/// What `new` has that `old` had not. The oldest lines of `old` may have been dropped from it.
fn new_lines<'a>(old: &[ActivityLine], new: &'a [ActivityLine]) -> &'a [ActivityLine] {
    let kept = (0..=old.len()).find_map(|dropped| {
        let rest = old.get(dropped..)?;
        new.starts_with(rest).then_some(rest.len())
    });
    new.get(kept.unwrap_or(0)..).unwrap_or_default()
}

/// The numbers in a line that has nothing else in it.
fn numbers(line: &str) -> Option<Vec<usize>> {
    line.split([' ', ',']).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
