//! Everything that anybody can do, in any order, against a model that recomputes every right from the history.
//!
//! The model knows no timers and no tidying up: it remembers what was answered, when, and what was taken back, and asks each time anew
//! whether device, organisation, technician, person and time all let something be.

mod ops;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use consent::{
    Act, Answer, Ceiling, Consent, ConsentEvent, ConsentSetup, Once, Policy, Prompt, PromptId, PromptKind, Proof, Rule,
    Stay, Verdict, view_only,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use wire::{
    ids::{Digest, GrantId, InspectionId, RequestId, RunId},
    session::{Ability, Absence, AccessRequest, DenyReason, EndReason, GrantEnd, Subject, TechnicianIdentity},
    text::Sentence,
    time::Moment,
};

use self::ops::{Op, Reply, Spoken, ceiling, op, policy};
use crate::scene::{Dice, NEVER_THE_WORD, SESSION, START, exact_inspection, exact_run, unverified, verified, words};

/// What a yes gave, with all that can have been taken back since.
#[derive(Debug)]
struct Given {
    id: GrantId,
    abilities: BTreeSet<Ability>,
    once: Option<Digest>,
    at: Moment,
    until: Moment,
    begun: bool,
    taken_back: bool,
}

impl Given {
    /// The one act that it is for.
    fn act(&self) -> Option<Act> {
        let act = |digest| match self.abilities.contains(&Ability::DiagArguments) {
            true => Act::InspectOnce(Ability::DiagArguments, digest),
            false => Act::Run(digest),
        };
        self.once.map(act)
    }
}

struct Model {
    identity: TechnicianIdentity,
    ceiling: Ceiling,
    policy: Policy,
    ends_at: Moment,
    confirmed: bool,
    away_since: Option<Moment>,
    given: Vec<Given>,
    /// The question that the person sees.
    shown: Option<Subject>,
    /// How often the person was asked in vain since the last long pause, and until when nothing and what cannot be asked for.
    in_vain: u32,
    quiet_until: Moment,
    not_again_until: BTreeMap<Ability, Moment>,
}

impl Model {
    /// The person said no, let the time pass, or was shown a question that was then taken back.
    fn asked_in_vain(&mut self, abilities: impl IntoIterator<Item = Ability>, now: Moment) {
        for ability in abilities {
            self.not_again_until.insert(ability, now + Duration::from_secs(30));
        }
        self.in_vain += 1;
        if self.in_vain == 3 {
            self.in_vain = 0;
            self.quiet_until = now + Duration::from_secs(300);
        }
    }

    fn is_too_soon(&self, abilities: impl IntoIterator<Item = Ability>, now: Moment) -> bool {
        let again = |ability| self.not_again_until.get(&ability).is_some_and(|until| now < *until);
        now < self.quiet_until || abilities.into_iter().any(again)
    }

    /// Whether device and organisation let anybody be asked for it.
    fn can_be_asked_for(&self, ability: Ability) -> bool {
        self.ceiling.allows(ability) && self.policy.of(ability) == Rule::Ask
    }

    fn is_over(&self, now: Moment) -> bool {
        now >= self.ends_at || self.away_since.is_some_and(|since| now >= since + Duration::from_secs(60))
    }

    fn permits(&self, ability: Ability) -> bool {
        let trusted = self.confirmed || matches!(self.identity, TechnicianIdentity::Verified { .. });
        self.can_be_asked_for(ability) && (trusted || view_only(ability))
    }

    fn is_live(&self, given: &Given, now: Moment) -> bool {
        let begins_in_time = given.once.is_none() || given.begun || now < given.at + Duration::from_secs(30);
        !given.taken_back && now < given.until && begins_in_time && !self.is_over(now)
    }

    fn covers(&self, act: &Act, now: Moment) -> bool {
        self.away_since.is_none()
            && self.permits(act.ability())
            && self.given.iter().any(|given| {
                let fits = match act {
                    Act::Diagnostics => given.once.is_none() && given.abilities.contains(&Ability::DiagBasic),
                    Act::Inspect(ability) => given.once.is_none() && given.abilities.contains(ability),
                    Act::Run(digest) | Act::InspectOnce(_, digest) => {
                        given.once == Some(*digest) && !given.begun && given.abilities.contains(&act.ability())
                    }
                };
                fits && self.is_live(given, now)
            })
    }

    /// The longest that a yes to this question may last.
    fn longest(&self, prompt: &Prompt, asked_secs: u32) -> Duration {
        let stay = |ability| match self.ceiling.longest_stay(ability) {
            Some(Stay::AtMost(most)) => most,
            Some(Stay::Session | Stay::OneUse) => Duration::MAX,
            None => Duration::ZERO,
        };
        let asked = match &prompt.once {
            Some(Once::Run(run)) => Duration::from_secs(u64::from(run.exact.limits.time_secs) + 40),
            Some(Once::Inspection(_)) => Duration::from_secs(90),
            None => Duration::from_secs(asked_secs.into()),
        };
        prompt.abilities.iter().map(|ability| stay(*ability)).fold(asked, Duration::min)
    }
}

struct World {
    consent: Consent,
    model: Model,
    now: Moment,
    dice: Dice,
    requests: Vec<AccessRequest>,
    runs: u32,
    inspections: u32,
    prompts_seen: BTreeSet<PromptId>,
    digests_seen: BTreeSet<Digest>,
    last_prompt: Option<Prompt>,
    over: bool,
}

impl World {
    fn new(ceiling: Ceiling, policy: Policy, identity: TechnicianIdentity, seed: u64) -> Self {
        let setup = ConsentSetup {
            session: SESSION,
            identity: identity.clone(),
            words: words(),
            ceiling: ceiling.clone(),
            policy: policy.clone(),
        };
        let ends_at = START + ceiling.longest_session();
        let model = Model {
            identity,
            ceiling,
            policy,
            ends_at,
            confirmed: false,
            away_since: None,
            given: Vec::new(),
            shown: None,
            in_vain: 0,
            quiet_until: START,
            not_again_until: BTreeMap::new(),
        };
        Self {
            consent: Consent::new(setup, START),
            model,
            now: START,
            dice: Dice(seed),
            requests: Vec::new(),
            runs: 0,
            inspections: 0,
            prompts_seen: BTreeSet::new(),
            digests_seen: BTreeSet::new(),
            last_prompt: None,
            over: false,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Request { abilities, stay_secs } => self.request(abilities, stay_secs),
            Op::Run { time_secs } => self.run(time_secs),
            Op::Inspect => self.inspect(),
            Op::Answer(reply) => self.answer(&reply),
            Op::Withdraw(index) => {
                if let Some(request) = self.pick_request(index) {
                    self.consent.withdraw(Subject::Request(request), self.now);
                    self.consent.withdraw(Subject::Run(RunId(request.0)), self.now);
                    self.consent.withdraw(Subject::Inspection(InspectionId(request.0)), self.now);
                }
            }
            Op::Revoke(index) => {
                if let Some(grant) = self.pick(index) {
                    self.consent.revoke(self.model.given[grant].id, self.now);
                    self.model.given[grant].taken_back = true;
                }
            }
            Op::RevokeAll => {
                self.consent.revoke_all(self.now);
                self.model.given.iter_mut().for_each(|given| given.taken_back = true);
            }
            Op::Narrow(index, keep) => self.narrow(index, &keep),
            Op::Begin(index) => self.begin(index),
            Op::Finish(index) => {
                if let Some(grant) = self.pick(index) {
                    self.consent.finish(self.model.given[grant].id, self.now);
                    self.model.given[grant].taken_back |= self.model.given[grant].once.is_some();
                }
            }
            Op::Away => {
                self.consent.absent(Absence::PageClosed, self.now);
                let over = self.model.is_over(self.now);
                self.model.away_since = self.model.away_since.or(Some(self.now).filter(|_| !over));
            }
            Op::Back => {
                self.consent.present(self.now);
                if !self.model.is_over(self.now) {
                    self.model.away_since = None;
                }
            }
            Op::Pass { millis, tell } => {
                self.now = self.now + Duration::from_millis(millis);
                if tell {
                    self.consent.handle_timeout(self.now);
                }
            }
        }
    }

    fn request(&mut self, abilities: BTreeSet<Ability>, stay_secs: u32) {
        let number = u32::try_from(self.requests.len()).expect("few") + 1;
        let abilities = abilities.into_iter().collect();
        let reason = Sentence::cut("why");
        let request = AccessRequest { request: RequestId(number), abilities, reason, stay_secs };
        let asked = self.consent.request(&request, self.now, &mut self.dice);
        assert!(asked.is_err() || !self.model.is_over(self.now), "asked after the end");
        assert!(asked.is_err() || self.model.away_since.is_none(), "asked while away");
        self.requests.push(request);
        let abilities = self.abilities_of(Subject::Request(RequestId(number)));
        self.check_pestering(asked.err(), abilities);
    }

    fn run(&mut self, time_secs: u32) {
        self.runs += 1;
        let mut exact = exact_run(self.runs);
        exact.limits.time_secs = time_secs;
        let announced = self.consent.announce_run(exact.run, self.now);
        self.check_pestering(announced.err(), vec![Ability::AdhocArgv]);
        if announced.is_ok() {
            let asked = self.consent.ask_run(exact, Vec::new(), Sentence::cut("why"), self.now, &mut self.dice);
            assert!(asked.is_ok(), "what was announced at this moment can be asked for at this moment");
        }
    }

    fn inspect(&mut self) {
        self.inspections += 1;
        let exact = exact_inspection(self.inspections);
        let announced = self.consent.announce_inspection(exact.inspection, &exact.what, self.now);
        self.check_pestering(announced.err(), vec![Ability::DiagArguments]);
        if announced.is_ok() {
            let may_see = self.model.covers(&Act::Inspect(Ability::DiagProcess), self.now);
            assert!(may_see, "asked without what has to be granted beside it");
            let asked = self.consent.ask_inspection(exact, self.now, &mut self.dice);
            assert!(asked.is_ok(), "what was announced at this moment can be asked for at this moment");
        }
    }

    /// Something was asked for now: it came too soon for the model if that is why it was refused, and not if it was not refused.
    fn check_pestering(&mut self, refused: Option<DenyReason>, abilities: Vec<Ability>) {
        // Time may have passed over a question that was not answered.
        self.check_events();
        match refused {
            None => assert!(!self.model.is_too_soon(abilities, self.now), "asked too soon"),
            Some(DenyReason::TooSoon) => assert!(self.model.is_too_soon(abilities, self.now), "not too soon"),
            Some(_) => {}
        }
    }

    /// What a question is about, as far as the person can be asked for it.
    fn abilities_of(&self, subject: Subject) -> Vec<Ability> {
        let asked = match subject {
            Subject::Run(_) => vec![Ability::AdhocArgv],
            Subject::Inspection(_) => vec![Ability::DiagArguments],
            Subject::Request(request) => {
                let request = self.requests.iter().find(|asked| asked.request == request).expect("it was asked");
                request.abilities.clone()
            }
        };
        asked.into_iter().filter(|ability| self.model.can_be_asked_for(*ability)).collect()
    }

    fn answer(&mut self, reply: &Reply) {
        self.consent.handle_timeout(self.now);
        self.check_events();
        let Some(prompt) = self.consent.prompt().cloned().or(self.last_prompt.clone()) else { return };
        if reply.patient && prompt.unlocks_at > self.now {
            self.now = prompt.unlocks_at;
        }
        let mut chosen = match &reply.chosen {
            None => prompt.abilities.clone(),
            Some(chosen) => chosen.iter().map(|index| *index.get(&prompt.abilities)).collect(),
        };
        chosen.extend(reply.beyond);
        let spoken_words = match reply.spoken {
            Spoken::Nothing => None,
            Spoken::Right => Some(words().to_string()),
            Spoken::Wrong => Some("wrong words".to_owned()),
        };
        let word = if reply.wrong_word { NEVER_THE_WORD } else { prompt.word };
        let proof = if reply.page { Proof::Page } else { Proof::TypedWord(word.to_owned()) };
        let verdict = if reply.deny {
            Verdict::Deny
        } else {
            Verdict::Allow { abilities: chosen.clone(), proof: proof.clone(), spoken_words }
        };
        let answer = Answer {
            prompt: PromptId(prompt.id.0 + u32::from(reply.other_prompt)),
            digest: if reply.other_text { Digest([7; 32]) } else { prompt.digest },
            verdict,
        };
        let open = self.consent.prompt().map(|prompt| prompt.id);
        let taken = self.consent.answer(&answer, self.now).is_ok();
        if taken && !reply.deny {
            assert_eq!(open, Some(prompt.id), "only the shown question can be allowed");
            self.allowed(&prompt, reply, chosen.into_iter().collect());
        }
    }

    /// A yes was taken: everything that has to hold for it holds, and the model learns what it gives.
    fn allowed(&mut self, prompt: &Prompt, reply: &Reply, chosen: BTreeSet<Ability>) {
        let (model, now) = (&mut self.model, self.now);
        assert!(!reply.other_prompt && !reply.other_text && (reply.page || !reply.wrong_word));
        assert!(prompt.unlocks_at <= now && now < prompt.deadline);
        assert!(model.away_since.is_none() && !model.is_over(now));
        let abilities = match prompt.kind {
            PromptKind::Run => [Ability::AdhocArgv].into(),
            PromptKind::Inspection => [Ability::DiagArguments].into(),
            PromptKind::Session | PromptKind::Abilities => chosen,
        };
        assert!(!abilities.is_empty());
        if reply.spoken == Spoken::Right {
            model.confirmed = true;
        }
        let asked = match prompt.subject {
            Subject::Request(request) => {
                let request = self.requests.iter().find(|asked| asked.request == request).expect("it was asked");
                assert!(abilities.iter().all(|ability| request.abilities.contains(ability)));
                request.stay_secs
            }
            Subject::Run(_) | Subject::Inspection(_) => 0,
        };
        for ability in &abilities {
            assert!(model.permits(*ability), "{ability} is forbidden by a layer");
        }
        let id = GrantId(u32::try_from(model.given.len()).expect("few") + 1);
        let until = (now + model.longest(prompt, asked)).min(model.ends_at);
        let once = prompt.once.as_ref().map(Once::digest);
        model.given.push(Given { id, abilities, once, at: now, until, begun: false, taken_back: false });
    }

    fn narrow(&mut self, index: Index, keep: &BTreeSet<Ability>) {
        let Some(grant) = self.pick(index) else { return };
        let given = &mut self.model.given[grant];
        let kept = keep.iter().copied().collect::<Vec<_>>();
        self.consent.narrow(given.id, &kept, self.now);
        given.abilities = given.abilities.intersection(keep).copied().collect();
        given.taken_back |= given.abilities.is_empty();
    }

    fn begin(&mut self, index: Index) {
        let Some(grant) = self.pick(index) else { return };
        let Some(act) = self.model.given[grant].act() else { return };
        let may = self.model.covers(&act, self.now);
        let begun = self.consent.begin(self.model.given[grant].id, &act, self.now);
        assert_eq!(begun, may);
        self.model.given[grant].begun |= begun;
    }

    fn pick(&self, index: Index) -> Option<usize> {
        (!self.model.given.is_empty()).then(|| index.index(self.model.given.len()))
    }

    fn pick_request(&self, index: Index) -> Option<RequestId> {
        (!self.requests.is_empty()).then(|| index.get(&self.requests).request)
    }

    fn check(&mut self) {
        self.check_events();
        if let Some(prompt) = self.consent.prompt() {
            self.last_prompt = Some(prompt.clone());
        }
        if self.now < self.model.quiet_until {
            assert!(self.consent.prompt().is_none() && self.consent.prompts_waiting() == 0, "asked in a long pause");
        }
        let once = self.model.given.iter().filter_map(Given::act);
        let other = Digest([1; 32]);
        let never = [Act::Run(other), Act::InspectOnce(Ability::DiagArguments, other)];
        let standing = [Act::Diagnostics, Act::Inspect(Ability::DiagProcess), Act::Inspect(Ability::DiagArguments)];
        let acts = once.chain(never).chain(standing).collect::<Vec<_>>();
        let deadlines = self.model.given.iter().map(|given| given.until).filter(|until| *until >= self.now);
        let soon = [0, 1, 999, 30_000, 60_000, 3_600_000].map(|millis| self.now + Duration::from_millis(millis));
        for moment in deadlines.chain(soon).collect::<Vec<_>>() {
            for act in &acts {
                let covered = self.consent.covering(act, moment);
                assert_eq!(covered.is_some(), self.model.covers(act, moment), "{act:?} at {moment:?}");
            }
            let live = self.consent.grants(moment).map(|grant| grant.id).collect::<Vec<_>>();
            let expected = self.model.given.iter().filter(|given| self.model.is_live(given, moment));
            // While away the grants are still shown, until the grace is over.
            let expected = expected.map(|given| given.id).collect::<Vec<_>>();
            if self.model.away_since.is_none() {
                assert_eq!(live, expected, "at {moment:?}");
            }
        }
        for grant in self.consent.grants(self.now) {
            let given = self.model.given.iter().find(|given| given.id == grant.id).expect("the model knows it");
            assert_eq!(grant.abilities.iter().copied().collect::<BTreeSet<_>>(), given.abilities);
            assert_eq!(grant.stay_until, given.until);
        }
        if let Some(timeout) = self.consent.poll_timeout() {
            assert!(timeout <= self.model.ends_at);
        }
    }

    fn check_events(&mut self) {
        while let Some(event) = self.consent.poll_event() {
            assert!(!self.over, "{event:?} after everything was over");
            match event {
                ConsentEvent::Asked(prompt) => {
                    assert!(self.prompts_seen.insert(prompt.id), "{} twice", prompt.id);
                    assert!(self.digests_seen.insert(prompt.digest), "a digest twice");
                    let layers = |ability: &Ability| self.model.can_be_asked_for(*ability);
                    assert!(!prompt.abilities.is_empty() && prompt.abilities.iter().all(layers));
                    assert_eq!(self.model.shown.replace(prompt.subject), None, "two questions at once");
                    self.last_prompt = Some(*prompt);
                }
                ConsentEvent::Over(reason) => {
                    self.over = true;
                    assert!(matches!(reason, EndReason::TimeOver | EndReason::UserAway));
                    assert!(self.model.is_over(self.now));
                }
                ConsentEvent::GrantEnded { grant, reason: GrantEnd::Lapsed } => {
                    let given = self.model.given.iter().find(|given| given.id == grant).expect("it was given");
                    assert!(!self.model.is_live(given, self.now));
                }
                ConsentEvent::Granted { grant, .. } => {
                    assert_eq!(self.model.shown.take(), Some(grant.subject), "a yes to what was not shown");
                }
                ConsentEvent::Denied { subject, reason } => {
                    let shown = self.model.shown == Some(subject);
                    if shown {
                        self.model.shown = None;
                    }
                    let said_no = [DenyReason::ByUser, DenyReason::NoAnswer, DenyReason::NotVerified].contains(&reason);
                    let in_vain = said_no || shown && reason == DenyReason::Withdrawn;
                    if in_vain {
                        let abilities = self.abilities_of(subject);
                        self.model.asked_in_vain(abilities, self.now);
                    }
                }
                ConsentEvent::GrantEnded { .. }
                | ConsentEvent::WordsConfirmed
                | ConsentEvent::Narrowed { .. }
                | ConsentEvent::Paused { .. }
                | ConsentEvent::Resumed => {}
                _ => panic!("an event that the model does not know"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_permitted_that_any_layer_denies(
        ceiling in ceiling(),
        policy in policy(),
        identity in prop_oneof![Just(verified()), Just(unverified())],
        seed in any::<u64>(),
        ops in vec(op(), 1..60),
    ) {
        let mut world = World::new(ceiling, policy, identity, seed);
        // Most histories are about a session that was allowed.
        world.apply(Op::Request { abilities: [Ability::DiagBasic].into(), stay_secs: 3600 });
        for op in ops {
            world.apply(op);
            world.check();
        }
    }
}

/// Whatever device and organisation say about one ability, alone and asked for alone.
#[test]
fn every_ability_under_every_ceiling_and_policy_and_identity() {
    for ability in Ability::ALL {
        for (allowed, rule) in [(false, Rule::Ask), (false, Rule::Never), (true, Rule::Never), (true, Rule::Ask)] {
            for identity in [verified(), unverified()] {
                let ceiling = if allowed { Ceiling::closed().allow(*ability) } else { Ceiling::closed() };
                let mut world = World::new(ceiling, Policy::ask().rule(*ability, rule), identity.clone(), 3);
                world.apply(Op::Request { abilities: [*ability].into(), stay_secs: 60 });
                world.check();
                world.apply(Op::Answer(Reply {
                    deny: false,
                    patient: true,
                    other_prompt: false,
                    other_text: false,
                    wrong_word: false,
                    page: true,
                    spoken: Spoken::Nothing,
                    chosen: None,
                    beyond: None,
                }));
                world.check();
                let verified = matches!(identity, TechnicianIdentity::Verified { .. });
                let by_request = !consent::asked_with_each_use(*ability);
                let expected = allowed && rule == Rule::Ask && by_request && (verified || view_only(*ability));
                assert_eq!(world.model.given.len() == 1, expected, "{ability} {allowed} {rule:?} {verified}");
                assert_eq!(world.consent.grants(world.now).count(), usize::from(expected));
            }
        }
    }
}
