//! From a technician's request to a question before the person.

use std::time::Duration;

use rand_core::CryptoRngCore;
use trust::words::challenge_word;
use wire::{
    diagnostics::inspect::{ApprovedInspection, ExactInspection, Inspect},
    ids::{InspectionId, RunId},
    limits,
    run::{ApprovedRun, ExactRun, ProposalError, Variable},
    session::{Ability, AccessRequest, DenyReason, Subject},
    text::Sentence,
    time::Moment,
};

use super::{Consent, ConsentEvent, Opened, Shown};
use crate::{
    ceiling::{Stay, asked_with_each_use, layers, view_only},
    grant::Act,
    prompt::{Once, PromptId, PromptKind, Question, Showing, Waiting},
};

/// How long an approved run may take to begin. Afterwards its grant covers nothing, so an approval cannot be saved for later.
pub(crate) const ESTABLISH_WITHIN: Duration = Duration::from_secs(30);

/// Time that a run's grant outlasts the run's own limit, so that a run which takes too long ends as timed out and not as revoked.
pub(crate) const RUN_MARGIN: Duration = Duration::from_secs(10);

/// Least time between the moment at which a run can be allowed and its deadline.
const TIME_TO_ANSWER: Duration = Duration::from_secs(20);

/// How long a question that comes with a warning is on the screen before it can be allowed, such as the first one of a technician whom
/// nobody vouches for: long enough to read it.
const WARNING_UNLOCK_DELAY: Duration = Duration::from_secs(3);

/// How long reading once and sending the answer may take after it began.
const INSPECT_WITHIN: Duration = Duration::from_secs(60);

impl Consent {
    /// Asks the person for abilities. The first request of a session asks whether the session may begin.
    ///
    /// What the device or the organisation never allow is left out of the question. The question waits until those before it are dealt
    /// with; [`ConsentEvent::Asked`] tells when it is shown.
    ///
    /// # Errors
    ///
    /// Why nobody is asked. [`DenyReason::Malformed`] for a number that is not higher than every earlier one, no abilities, one twice,
    /// one that is asked for with each use, or no time.
    pub fn request(
        &mut self,
        request: &AccessRequest,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<PromptId, DenyReason> {
        let now = self.advance(now);
        if self.knows(Subject::Request(request.request)) {
            return Err(DenyReason::Malformed);
        }
        self.last.request = Some(request.request);
        let kind = match self.opened {
            Opened::NotAsked => PromptKind::Session,
            Opened::Asking => return Err(DenyReason::NotYet),
            Opened::Allowed => PromptKind::Abilities,
        };
        let asked = sorted(&request.abilities).ok_or(DenyReason::Malformed)?;
        if request.stay_secs == 0 || asked.iter().any(|ability| asked_with_each_use(*ability)) {
            return Err(DenyReason::Malformed);
        }
        let abilities = self.within_layers(asked)?;
        self.check_can_ask(&abilities, now)?;
        if self.open_questions(|subject| matches!(subject, Subject::Request(_))) >= limits::REQUESTS_AT_ONCE {
            return Err(DenyReason::TooMany);
        }
        let stay = self.longest_stay(&abilities, now).min(Duration::from_secs(request.stay_secs.into()));
        if kind == PromptKind::Session {
            self.opened = Opened::Asking;
        }
        let question = Question {
            kind,
            subject: Subject::Request(request.request),
            abilities,
            once: None,
            environment_additions: Vec::new(),
            reason: request.reason.clone(),
            stay,
        };
        Ok(self.enqueue(question, now, rng))
    }

    /// Says whether the person could be asked for a run now, before anything about it is looked up on the device. A run that was
    /// announced goes on with [`Consent::ask_run`], [`Consent::refuse`] or [`Consent::withdraw`].
    ///
    /// # Errors
    ///
    /// Why nobody would be asked. [`DenyReason::Malformed`] for a number that is not higher than every earlier one.
    pub fn announce_run(&mut self, run: RunId, now: Moment) -> Result<(), DenyReason> {
        let now = self.advance(now);
        if self.knows(Subject::Run(run)) {
            return Err(DenyReason::Malformed);
        }
        self.last.run = Some(run);
        self.check_once(Ability::AdhocArgv, now)?;
        self.announce(Subject::Run(run), |subject| matches!(subject, Subject::Run(_)), limits::RUNS_AT_ONCE)
    }

    /// The same for an inspection that [asks first](Inspect::asks_for). It goes on with [`Consent::ask_inspection`],
    /// [`Consent::refuse`] or [`Consent::withdraw`].
    ///
    /// # Errors
    ///
    /// Why nobody would be asked. [`DenyReason::Malformed`] for a number that is not higher than every earlier one, or something that
    /// does not ask; [`DenyReason::NotGranted`] without what has to be granted beside it.
    pub fn announce_inspection(
        &mut self,
        inspection: InspectionId,
        what: &Inspect,
        now: Moment,
    ) -> Result<(), DenyReason> {
        let now = self.advance(now);
        let subject = Subject::Inspection(inspection);
        if self.knows(subject) {
            return Err(DenyReason::Malformed);
        }
        self.last.inspection = Some(inspection);
        self.check_inspection(what, now)?;
        self.announce(subject, |subject| matches!(subject, Subject::Inspection(_)), limits::INSPECTIONS_AT_ONCE)
    }

    fn announce(&mut self, subject: Subject, alike: impl Fn(Subject) -> bool, most: usize) -> Result<(), DenyReason> {
        let announced = self.announced.iter().filter(|subject| alike(**subject)).count();
        let granted = self.grants.values().filter(|grant| grant.single.is_some() && alike(grant.subject)).count();
        if announced + self.open_questions(alike) + granted >= most {
            return Err(DenyReason::TooMany);
        }
        self.announced.insert(subject);
        Ok(())
    }

    /// Asks the person for one run that was announced. `additions` is the part of its environment that the technician added.
    ///
    /// # Errors
    ///
    /// Why nobody is asked. [`DenyReason::Malformed`] for a run that was not announced or was asked for already.
    pub fn ask_run(
        &mut self,
        exact: ExactRun,
        additions: Vec<Variable>,
        reason: Sentence,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<PromptId, DenyReason> {
        let now = self.advance(now);
        if !self.announced.remove(&Subject::Run(exact.run)) {
            return Err(DenyReason::Malformed);
        }
        self.check_once(Ability::AdhocArgv, now)?;
        let digest = trust::run_digest(&exact).map_err(|_| DenyReason::Proposal(ProposalError::TooLong))?;
        let stay = ESTABLISH_WITHIN + Duration::from_secs(exact.limits.time_secs.into()) + RUN_MARGIN;
        let question = Question {
            kind: PromptKind::Run,
            subject: Subject::Run(exact.run),
            abilities: vec![Ability::AdhocArgv],
            once: Some(Once::Run(ApprovedRun { exact, digest })),
            environment_additions: additions,
            reason,
            stay: stay.min(self.session_left(now)),
        };
        Ok(self.enqueue(question, now, rng))
    }

    /// Asks the person for one inspection that was announced.
    ///
    /// # Errors
    ///
    /// Why nobody is asked. [`DenyReason::Malformed`] for one that was not announced or was asked for already, or that contradicts
    /// itself.
    pub fn ask_inspection(
        &mut self,
        exact: ExactInspection,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<PromptId, DenyReason> {
        let now = self.advance(now);
        let subject = Subject::Inspection(exact.inspection);
        if !self.announced.remove(&subject) || !exact.is_consistent() {
            return Err(DenyReason::Malformed);
        }
        let ability = self.check_inspection(&exact.what, now)?;
        let digest = trust::inspection_digest(&exact).map_err(|_| DenyReason::Malformed)?;
        let question = Question {
            kind: PromptKind::Inspection,
            subject,
            abilities: vec![ability],
            once: Some(Once::Inspection(ApprovedInspection { exact, digest })),
            environment_additions: Vec::new(),
            reason: Sentence::default(),
            stay: (ESTABLISH_WITHIN + INSPECT_WITHIN).min(self.session_left(now)),
        };
        Ok(self.enqueue(question, now, rng))
    }

    /// An announced run or inspection cannot be put before the person. Does nothing for any other.
    pub fn refuse(&mut self, subject: Subject, reason: DenyReason, now: Moment) {
        self.advance(now);
        if self.announced.remove(&subject) {
            self.events.push_back(ConsentEvent::Denied { subject, reason });
        }
    }

    /// Takes back a question, or what was announced, because the technician no longer wants it. Returns whether it was open.
    ///
    /// One that the person was shown counts as a no: showing and taking back wears them down as much as asking again does.
    pub fn withdraw(&mut self, subject: Subject, now: Moment) -> bool {
        self.take_back(subject, DenyReason::Withdrawn, now)
    }

    /// As [`Consent::withdraw`], for another reason: a yes would be in vain.
    pub fn take_back(&mut self, subject: Subject, reason: DenyReason, now: Moment) -> bool {
        let now = self.advance(now);
        let open = self.announced.remove(&subject) || self.open_questions(|open| open == subject) > 0;
        if self.prompt().is_some_and(|shown| shown.subject == subject) {
            self.deny_shown(reason, now);
        } else if open {
            self.drop_question(subject, reason);
        }
        self.show_next(now);
        open
    }

    /// Whether this number was used already. Numbers only grow, so every lower one counts as used.
    pub fn knows(&self, subject: Subject) -> bool {
        match subject {
            Subject::Request(request) => self.last.request.is_some_and(|last| request <= last),
            Subject::Run(run) => self.last.run.is_some_and(|last| run <= last),
            Subject::Inspection(inspection) => self.last.inspection.is_some_and(|last| inspection <= last),
        }
    }

    /// Puts the next question before the person if none is there.
    pub(super) fn show_next(&mut self, now: Moment) {
        if self.over || self.paused.is_some() || self.shown.is_some() {
            return;
        }
        let Some(next) = self.waiting.pop_front() else { return };
        let ceiling = &self.setup.ceiling;
        let (unlock_delay, answer_within) = match next.question.kind {
            PromptKind::Session if !self.trusts_technician() => {
                (ceiling.unlock_delay().max(WARNING_UNLOCK_DELAY), ceiling.first_answer_within())
            }
            PromptKind::Session => (ceiling.unlock_delay(), ceiling.first_answer_within()),
            PromptKind::Abilities => (ceiling.unlock_delay(), ceiling.answer_within()),
            PromptKind::Inspection => (ceiling.unlock_delay().max(WARNING_UNLOCK_DELAY), ceiling.answer_within()),
            PromptKind::Run => {
                let delay = ceiling.run_unlock_delay();
                (delay, ceiling.answer_within().max(delay + TIME_TO_ANSWER))
            }
        };
        let looks_only = next.question.abilities.iter().all(|ability| view_only(*ability));
        let prompt = next.show(&Showing {
            session: self.setup.session,
            technician: &self.setup.identity,
            needs_spoken_words: !looks_only && !self.trusts_technician(),
            now,
            unlock_delay,
            answer_within,
        });
        self.events.push_back(ConsentEvent::Asked(Box::new(prompt.clone())));
        self.shown = Some(Shown { prompt, wrong_words: 0, wrong_spoken_words: 0 });
    }

    /// Removes an open question and says why.
    pub(super) fn drop_question(&mut self, subject: Subject, reason: DenyReason) {
        if self.shown.as_ref().is_some_and(|shown| shown.prompt.subject == subject) {
            self.shown = None;
        }
        self.waiting.retain(|waiting| waiting.question.subject != subject);
        self.events.push_back(ConsentEvent::Denied { subject, reason });
    }

    fn open_questions(&self, which: impl Fn(Subject) -> bool) -> usize {
        let shown = self.shown.iter().map(|shown| shown.prompt.subject);
        let waiting = self.waiting.iter().map(|waiting| waiting.question.subject);
        shown.chain(waiting).filter(|subject| which(*subject)).count()
    }

    /// Whether the person could be asked now for one use of `ability`.
    fn check_once(&self, ability: Ability, now: Moment) -> Result<(), DenyReason> {
        if self.opened != Opened::Allowed {
            return Err(DenyReason::NotYet);
        }
        layers(&self.setup.ceiling, &self.setup.policy, ability)?;
        self.check_can_ask(&[ability], now)
    }

    /// The same for an inspection. Returns what the person is asked for.
    fn check_inspection(&self, what: &Inspect, now: Moment) -> Result<Ability, DenyReason> {
        let asks_for = what.asks_for().ok_or(DenyReason::Malformed)?;
        self.check_once(asks_for, now)?;
        self.covering(&Act::Inspect(what.ability()), now).map(|_| asks_for).ok_or(DenyReason::NotGranted)
    }

    fn check_can_ask(&self, abilities: &[Ability], now: Moment) -> Result<(), DenyReason> {
        if self.over || now >= self.session_ends_at {
            return Err(DenyReason::NoPrompt);
        }
        if self.paused.is_some() {
            return Err(DenyReason::Away);
        }
        if self.fatigue.refuses(abilities, now) { Err(DenyReason::TooSoon) } else { Ok(()) }
    }

    /// Leaves out what a layer never allows. If nothing is left, says which layer took the last of it.
    fn within_layers(&self, asked: Vec<Ability>) -> Result<Vec<Ability>, DenyReason> {
        let mut refusal = DenyReason::Ceiling;
        let mut kept = Vec::with_capacity(asked.len());
        for ability in asked {
            match layers(&self.setup.ceiling, &self.setup.policy, ability) {
                Ok(()) => kept.push(ability),
                Err(DenyReason::Policy) => refusal = DenyReason::Policy,
                Err(_) => {}
            }
        }
        if kept.is_empty() { Err(refusal) } else { Ok(kept) }
    }

    /// The shortest of the longest stays of `abilities`.
    fn longest_stay(&self, abilities: &[Ability], now: Moment) -> Duration {
        let stays = abilities.iter().filter_map(|ability| match self.setup.ceiling.longest_stay(*ability)? {
            Stay::AtMost(most) => Some(most),
            Stay::Session | Stay::OneUse => None,
        });
        stays.fold(self.session_left(now), Duration::min)
    }

    fn enqueue(&mut self, question: Question, now: Moment, rng: &mut dyn CryptoRngCore) -> PromptId {
        let id = self.next_prompt_id();
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        self.waiting.push_back(Waiting { id, question, word: challenge_word(rng), nonce });
        self.show_next(now);
        id
    }
}

/// The abilities in order, or `None` if there are none or one comes twice.
fn sorted(abilities: &[Ability]) -> Option<Vec<Ability>> {
    let mut sorted = abilities.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    (!sorted.is_empty() && sorted.len() == abilities.len()).then_some(sorted)
}
