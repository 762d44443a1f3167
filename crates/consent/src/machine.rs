//! The state machine: which questions are open, which grants are live, and whether the person is there.

mod answering;
mod asking;
mod time;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use trust::words::Words;
use wire::{
    evidence::AnsweredBy,
    ids::{Digest, GrantId, InspectionId, RequestId, RunId, SessionId},
    session::{Ability, Absence, DenyReason, EndReason, GrantEnd, Subject, TechnicianIdentity},
    time::Moment,
};

use crate::{
    ceiling::{Ceiling, Policy, layers, view_only},
    fatigue::Fatigue,
    grant::{Act, Grant},
    prompt::{Once, Prompt, PromptId, Waiting},
};

/// What a [`Consent`] starts with.
#[derive(Debug, Clone)]
pub struct ConsentSetup {
    /// The session; every prompt digest covers it.
    pub session: SessionId,
    /// Who asks, as far as it could be proved.
    pub identity: TechnicianIdentity,
    /// The two words that both people compare.
    pub words: Words,
    /// What this device ever allows.
    pub ceiling: Ceiling,
    /// What the organisation says.
    pub policy: Policy,
}

/// What happened, in order. Whoever drives a [`Consent`] records each before acting on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsentEvent {
    /// A question is now before the person.
    Asked(Box<Prompt>),
    /// The person confirmed the two words of an unverified technician.
    WordsConfirmed,
    /// The person said yes.
    Granted {
        /// To what.
        grant: Box<Grant>,
        /// What it covers, if it is for one use.
        once: Option<Box<Once>>,
        /// Digest of the question.
        prompt: Digest,
        /// How.
        answered_by: AnsweredBy,
    },
    /// A question was answered with no, or can no longer be answered with yes.
    Denied {
        /// What was asked.
        subject: Subject,
        /// Why not.
        reason: DenyReason,
    },
    /// A grant covers less than before.
    Narrowed {
        /// Which.
        grant: GrantId,
        /// What is left.
        abilities: Vec<Ability>,
    },
    /// A grant is over.
    GrantEnded {
        /// Which.
        grant: GrantId,
        /// Why.
        reason: GrantEnd,
    },
    /// The person is away: nothing is covered until they are back.
    Paused {
        /// Why.
        reason: Absence,
        /// When the session ends if nobody comes back.
        ends_at: Moment,
    },
    /// The person is back.
    Resumed,
    /// Nothing can be granted or covered any more: the person was away too long, or the session's time is over.
    Over(EndReason),
}

/// What one end user currently allows in one session.
///
/// ```text
/// request / propose ──> waiting ──> shown (one at a time) ──> grant ──> lapsed, revoked, used
///                          │            │
///                          └────────────┴──> denied (person, silence, withdrawn, too many wrong words)
/// ```
#[derive(Debug)]
pub struct Consent {
    setup: ConsentSetup,
    /// The latest moment that anybody named: should a clock ever step back, nothing comes to life again.
    latest: Moment,
    session_ends_at: Moment,
    opened: Opened,
    words_confirmed: bool,
    paused: Option<Pause>,
    shown: Option<Shown>,
    waiting: VecDeque<Waiting>,
    /// Runs and inspections that are being looked up on the device.
    announced: BTreeSet<Subject>,
    grants: BTreeMap<GrantId, Grant>,
    fatigue: Fatigue,
    last: Last,
    over: bool,
    events: VecDeque<ConsentEvent>,
}

/// How far the first question got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    NotAsked,
    Asking,
    Allowed,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    reason: Absence,
    ends_at: Moment,
}

#[derive(Debug)]
struct Shown {
    prompt: Prompt,
    wrong_words: u32,
    wrong_spoken_words: u32,
}

/// Highest number used so far, of each kind. Numbers only grow, so none comes twice and none has to be remembered.
#[derive(Debug, Default)]
struct Last {
    prompt: u32,
    grant: u32,
    request: Option<RequestId>,
    run: Option<RunId>,
    inspection: Option<InspectionId>,
}

impl Consent {
    /// Starts with nothing allowed. The session's longest time counts from `now`.
    pub fn new(setup: ConsentSetup, now: Moment) -> Self {
        Self {
            session_ends_at: now + setup.ceiling.longest_session(),
            setup,
            latest: now,
            opened: Opened::NotAsked,
            words_confirmed: false,
            paused: None,
            shown: None,
            waiting: VecDeque::new(),
            announced: BTreeSet::new(),
            grants: BTreeMap::new(),
            fatigue: Fatigue::default(),
            last: Last::default(),
            over: false,
            events: VecDeque::new(),
        }
    }

    /// Returns a grant that covers the beginning of `act` at `now`, of several the one that lasts longest.
    ///
    /// This is the check at use: it needs no earlier call of [`Consent::handle_timeout`]. `None` whenever the session's time is over or
    /// the person is away, whatever was granted.
    pub fn covering(&self, act: &Act, now: Moment) -> Option<GrantId> {
        let covering = self.grants.values().filter(|grant| self.covers(grant.id, act, now));
        covering.max_by_key(|grant| grant.stay_until).map(|grant| grant.id)
    }

    /// Whether this grant covers the beginning of `act` at `now`.
    pub fn covers(&self, grant: GrantId, act: &Act, now: Moment) -> bool {
        let now = now.max(self.latest);
        self.is_active(now)
            && self.permits(act.ability())
            && self.grants.get(&grant).is_some_and(|grant| grant.covers(act, now))
    }

    /// Whether what began under `grant` may go on at `now`.
    pub fn is_live(&self, grant: GrantId, now: Moment) -> bool {
        let now = now.max(self.latest);
        self.is_active(now)
            && self
                .grants
                .get(&grant)
                .is_some_and(|grant| grant.is_live(now) && grant.abilities.iter().any(|ability| self.permits(*ability)))
    }

    /// Marks the one use of a grant as begun.
    ///
    /// Returns whether it may begin: the grant covers exactly this act, was not used, and its time to begin is not over.
    pub fn begin(&mut self, grant: GrantId, act: &Act, now: Moment) -> bool {
        let now = self.advance(now);
        let may = self.covers(grant, act, now);
        if may && let Some(single) = self.grants.get_mut(&grant).and_then(|grant| grant.single.as_mut()) {
            single.begun = true;
        }
        may
    }

    /// Ends the grant of a run or an inspection that is over. A grant that ended before, or is for more than one use, is left alone.
    pub fn finish(&mut self, grant: GrantId, now: Moment) {
        self.advance(now);
        if self.grants.get(&grant).is_some_and(|grant| grant.single.is_some()) {
            self.end_grant(grant, GrantEnd::Used);
        }
    }

    /// The person takes a grant back. Returns whether it was live.
    pub fn revoke(&mut self, grant: GrantId, now: Moment) -> bool {
        self.advance(now);
        self.end_grant(grant, GrantEnd::Revoked)
    }

    /// The person takes every grant back.
    pub fn revoke_all(&mut self, now: Moment) {
        self.advance(now);
        self.end_all(GrantEnd::Revoked);
    }

    /// The person takes part of a grant back: only what is both granted and in `keep` stays. Nothing left is a revoke.
    ///
    /// Returns whether anything changed. A grant never covers more afterwards than before.
    pub fn narrow(&mut self, grant: GrantId, keep: &[Ability], now: Moment) -> bool {
        self.advance(now);
        let Some(held) = self.grants.get_mut(&grant) else { return false };
        let before = held.abilities.len();
        held.abilities.retain(|ability| keep.contains(ability));
        if held.abilities.is_empty() {
            return self.end_grant(grant, GrantEnd::Revoked);
        }
        let narrowed = held.abilities.len() < before;
        if narrowed {
            let abilities = held.abilities.clone();
            self.events.push_back(ConsentEvent::Narrowed { grant, abilities });
        }
        narrowed
    }

    /// `ability` was granted for one use, and that is over: it is taken out of the grant. Returns whether anything changed.
    pub fn use_up(&mut self, grant: GrantId, ability: Ability, now: Moment) -> bool {
        self.advance(now);
        let Some(held) = self.grants.get(&grant) else { return false };
        if held.abilities == [ability] {
            return self.end_grant(grant, GrantEnd::Used);
        }
        let keep = held.abilities.iter().copied().filter(|held| *held != ability).collect::<Vec<_>>();
        self.narrow(grant, &keep, now)
    }

    /// The person cannot be asked or seen any more. Nothing is covered until [`Consent::present`]; after the grace everything is over.
    ///
    /// Does nothing while the person is away already: another reason does not buy more time.
    pub fn absent(&mut self, reason: Absence, now: Moment) {
        let now = self.advance(now);
        if self.over || self.paused.is_some() {
            return;
        }
        let ends_at = now + self.setup.ceiling.absence_grace();
        self.paused = Some(Pause { reason, ends_at });
        self.events.push_back(ConsentEvent::Paused { reason, ends_at });
    }

    /// The person is back. The open question is new to them: its unlock delay starts again.
    pub fn present(&mut self, now: Moment) {
        let now = self.advance(now);
        if self.over || self.paused.take().is_none() {
            return;
        }
        self.events.push_back(ConsentEvent::Resumed);
        if let Some(shown) = &mut self.shown {
            let delay = shown.prompt.unlocks_at - shown.prompt.shown_at;
            shown.prompt.unlocks_at = shown.prompt.unlocks_at.max(now + delay);
        }
        self.show_next(now);
    }

    /// Ends every grant for `reason` and drops every question. Nothing can be granted afterwards.
    pub fn end(&mut self, reason: GrantEnd, now: Moment) {
        self.advance(now);
        self.close(reason);
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<ConsentEvent> {
        self.events.pop_front()
    }

    /// The question that is before the person.
    pub fn prompt(&self) -> Option<&Prompt> {
        self.shown.as_ref().map(|shown| &shown.prompt)
    }

    /// How many questions wait behind it.
    pub fn prompts_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Every grant that is live at `now`, whether or not the person is away.
    pub fn grants(&self, now: Moment) -> impl Iterator<Item = &Grant> {
        let now = now.max(self.latest);
        let over = self.over || now >= self.session_ends_at;
        self.grants.values().filter(move |grant| !over && grant.is_live(now))
    }

    /// When the session ends if nobody comes back; `None` while the person is there.
    pub fn paused_until(&self) -> Option<Moment> {
        self.paused.map(|pause| pause.ends_at)
    }

    /// When the session's time is over.
    pub fn session_ends_at(&self) -> Moment {
        self.session_ends_at
    }

    /// Who asks.
    pub fn identity(&self) -> &TechnicianIdentity {
        &self.setup.identity
    }

    /// The two words that both people compare.
    pub fn words(&self) -> Words {
        self.setup.words
    }

    /// Whether the person confirmed the two words.
    pub fn words_confirmed(&self) -> bool {
        self.words_confirmed
    }

    /// Whether anything can be covered at `now` at all.
    fn is_active(&self, now: Moment) -> bool {
        !self.over && self.paused.is_none() && now < self.session_ends_at
    }

    /// Whether device, organisation and what is known of the technician let `ability` be used.
    fn permits(&self, ability: Ability) -> bool {
        layers(&self.setup.ceiling, &self.setup.policy, ability).is_ok()
            && (self.trusts_technician() || view_only(ability))
    }

    fn trusts_technician(&self) -> bool {
        match self.setup.identity {
            TechnicianIdentity::Verified { .. } => true,
            TechnicianIdentity::Unverified { .. } => self.words_confirmed,
        }
    }

    fn session_left(&self, now: Moment) -> Duration {
        self.session_ends_at - now
    }

    fn end_grant(&mut self, grant: GrantId, reason: GrantEnd) -> bool {
        let held = self.grants.remove(&grant).is_some();
        if held {
            self.events.push_back(ConsentEvent::GrantEnded { grant, reason });
        }
        held
    }

    fn end_all(&mut self, reason: GrantEnd) {
        for grant in std::mem::take(&mut self.grants).into_keys() {
            self.events.push_back(ConsentEvent::GrantEnded { grant, reason });
        }
    }

    fn close(&mut self, reason: GrantEnd) {
        self.end_all(reason);
        self.shown = None;
        self.waiting.clear();
        self.announced.clear();
        self.paused = None;
        self.over = true;
    }

    fn next_prompt_id(&mut self) -> PromptId {
        self.last.prompt += 1;
        PromptId(self.last.prompt)
    }
}
