//! From a person's answer to a grant or a denial.

use wire::{
    evidence::AnsweredBy,
    ids::GrantId,
    session::{Ability, DenyReason, Subject},
    time::Moment,
};

use super::{Consent, ConsentEvent, Opened, asking::ESTABLISH_WITHIN};
use crate::{
    answer::{Answer, AnswerRefused, Proof, Verdict},
    ceiling::view_only,
    fatigue::After,
    grant::{Grant, SingleUse},
    prompt::{Prompt, PromptId, PromptKind},
};

/// Wrong words, of either kind, after which a question counts as answered with no.
const WRONG_WORDS: u32 = 3;

impl Consent {
    /// Takes a person's answer.
    ///
    /// A no is always taken: early, for a question that still waits, while paused. A yes is taken only for the question that is shown,
    /// with its digest, between its unlock moment and its deadline, by a person who is there and proved it, for a part of what was asked.
    /// Anything else leaves the question open and unanswered, but the third wrong word (of those shown, or of the two spoken ones) counts
    /// as a no.
    ///
    /// # Errors
    ///
    /// Why a yes was not taken; nothing was allowed.
    pub fn answer(&mut self, answer: &Answer, now: Moment) -> Result<(), AnswerRefused> {
        let now = self.advance(now);
        let (abilities, proof, spoken_words) = match &answer.verdict {
            Verdict::Deny => return self.take_no(answer.prompt, now),
            Verdict::Allow { abilities, proof, spoken_words } => (abilities, proof, spoken_words.as_deref()),
        };
        let prompt = self.answerable(answer, now)?;
        let granted = chosen(prompt, abilities)?;
        if let Proof::TypedWord(typed) = proof
            && !typed.trim().eq_ignore_ascii_case(prompt.word)
        {
            return Err(self.wrong_word(now));
        }
        let confirms = self.check_spoken_words(&granted, spoken_words, now)?;
        if confirms {
            self.words_confirmed = true;
            self.events.push_back(ConsentEvent::WordsConfirmed);
        }
        self.grant(granted, proof.into(), now);
        self.show_next(now);
        Ok(())
    }

    /// The shown question, if `answer` can be a yes to it now.
    fn answerable(&self, answer: &Answer, now: Moment) -> Result<&Prompt, AnswerRefused> {
        if self.waiting.iter().any(|waiting| waiting.id == answer.prompt) {
            return Err(AnswerRefused::NotShown);
        }
        let prompt = self.prompt().filter(|prompt| prompt.id == answer.prompt).ok_or(AnswerRefused::NotOpen)?;
        if prompt.digest != answer.digest {
            return Err(AnswerRefused::OtherText);
        }
        if let Some(pause) = self.paused {
            return Err(AnswerRefused::Paused { reason: pause.reason });
        }
        if now < prompt.unlocks_at {
            return Err(AnswerRefused::TooEarly { unlocks_at: prompt.unlocks_at });
        }
        Ok(prompt)
    }

    /// Whether the spoken words were given and are right; an error if they are needed and were not, or are wrong.
    fn check_spoken_words(
        &mut self,
        granted: &[Ability],
        spoken: Option<&str>,
        now: Moment,
    ) -> Result<bool, AnswerRefused> {
        if self.trusts_technician() {
            return Ok(false);
        }
        match spoken.filter(|spoken| !spoken.trim().is_empty()) {
            Some(spoken) if self.setup.words.matches(spoken) => Ok(true),
            Some(_) => Err(self.wrong_spoken_words(now)),
            None if granted.iter().all(|ability| view_only(*ability)) => Ok(false),
            None => Err(AnswerRefused::SpokenWordsNeeded),
        }
    }

    fn wrong_word(&mut self, now: Moment) -> AnswerRefused {
        let tries = self.shown.as_mut().map_or(WRONG_WORDS, |shown| {
            shown.wrong_words += 1;
            shown.wrong_words
        });
        self.give_up_after(tries, DenyReason::ByUser, now);
        AnswerRefused::WrongWord { tries_left: WRONG_WORDS.saturating_sub(tries) }
    }

    fn wrong_spoken_words(&mut self, now: Moment) -> AnswerRefused {
        let tries = self.shown.as_mut().map_or(WRONG_WORDS, |shown| {
            shown.wrong_spoken_words += 1;
            shown.wrong_spoken_words
        });
        self.give_up_after(tries, DenyReason::NotVerified, now);
        AnswerRefused::WrongSpokenWords { tries_left: WRONG_WORDS.saturating_sub(tries) }
    }

    fn give_up_after(&mut self, tries: u32, reason: DenyReason, now: Moment) {
        if tries >= WRONG_WORDS {
            self.deny_shown(reason, now);
            self.show_next(now);
        }
    }

    fn take_no(&mut self, prompt: PromptId, now: Moment) -> Result<(), AnswerRefused> {
        if self.prompt().is_some_and(|shown| shown.id == prompt) {
            self.deny_shown(DenyReason::ByUser, now);
        } else {
            let waiting = self.waiting.iter().find(|waiting| waiting.id == prompt).ok_or(AnswerRefused::NotOpen)?;
            let (subject, abilities) = (waiting.question.subject, waiting.question.abilities.clone());
            self.deny(subject, &abilities, DenyReason::ByUser, now);
        }
        self.show_next(now);
        Ok(())
    }

    /// Ends the shown question without a yes.
    pub(super) fn deny_shown(&mut self, reason: DenyReason, now: Moment) {
        if let Some(prompt) = self.prompt() {
            let (subject, abilities) = (prompt.subject, prompt.abilities.clone());
            self.deny(subject, &abilities, reason, now);
        }
    }

    fn deny(&mut self, subject: Subject, abilities: &[Ability], reason: DenyReason, now: Moment) {
        self.drop_question(subject, reason);
        match self.fatigue.denied(abilities, now) {
            After::GoOn => {}
            After::CoolDown => {
                let shown = self.shown.iter().map(|shown| shown.prompt.subject);
                let open = shown.chain(self.waiting.iter().map(|waiting| waiting.question.subject)).collect::<Vec<_>>();
                for subject in open {
                    self.drop_question(subject, DenyReason::TooSoon);
                }
            }
        }
    }

    /// Turns the shown question into a grant of `abilities`.
    fn grant(&mut self, abilities: Vec<Ability>, answered_by: AnsweredBy, now: Moment) {
        let Some(shown) = self.shown.take() else { return };
        let prompt = shown.prompt;
        if prompt.kind == PromptKind::Session {
            self.opened = Opened::Allowed;
        }
        self.last.grant += 1;
        let id = GrantId(self.last.grant);
        let stay_until = (now + prompt.stay).min(self.session_ends_at);
        let single = prompt.once.as_ref().map(|once| SingleUse {
            digest: once.digest(),
            establish_until: (now + ESTABLISH_WITHIN).min(stay_until),
            begun: false,
        });
        let grant = Grant { id, subject: prompt.subject, abilities, given_at: now, stay_until, single };
        self.grants.insert(id, grant.clone());
        self.events.push_back(ConsentEvent::Granted {
            grant: Box::new(grant),
            once: prompt.once.map(Box::new),
            prompt: prompt.digest,
            answered_by,
        });
    }
}

/// What of `prompt` the person allowed.
fn chosen(prompt: &Prompt, abilities: &[Ability]) -> Result<Vec<Ability>, AnswerRefused> {
    if abilities.iter().any(|ability| !prompt.abilities.contains(ability)) {
        return Err(AnswerRefused::NotAsked);
    }
    match prompt.kind {
        PromptKind::Run | PromptKind::Inspection => Ok(prompt.abilities.clone()),
        PromptKind::Session | PromptKind::Abilities => {
            let chosen = prompt.abilities.iter().copied().filter(|ability| abilities.contains(ability));
            let chosen = chosen.collect::<Vec<_>>();
            if chosen.is_empty() { Err(AnswerRefused::NothingChosen) } else { Ok(chosen) }
        }
    }
}
