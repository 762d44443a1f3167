//! Who is there, what they ask and how they answer.

use std::{iter, sync::LazyLock, time::Duration};

use consent::{
    Answer, Ceiling, Consent, ConsentEvent, ConsentSetup, Policy, Prompt, PromptId, Proof, Verdict, asked_with_each_use,
};
use rand_core::{CryptoRng, RngCore};
use trust::{
    code::SessionCode,
    keys::SigningKey,
    pairing::{AgentPairing, ChannelBinding, TechnicianPairing},
    words::Words,
};
use wire::{
    diagnostics::inspect::{About, ExactInspection, Inspect},
    ids::{GrantId, InspectionId, Locator, RequestId, RunId, SessionId},
    pairing::Introduction,
    run::{ExactRun, FileIdentity, RunLimits, Variable},
    session::{Ability, AccessRequest, DenyReason, Subject, TechnicianIdentity},
    text::{Label, Sentence},
    time::Moment,
};

/// Random numbers that a test can repeat (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl RngCore for Dice {
    fn next_u32(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next_u64().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.iter_mut().zip(bytes).for_each(|(out, byte)| *out = byte);
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Dice {}

/// The two words of one real pairing.
pub(crate) fn words() -> Words {
    static WORDS: LazyLock<Words> = LazyLock::new(|| {
        let dice = &mut Dice(7);
        let code = SessionCode::draw(Locator::new(4821, 4).expect("four digits"), dice);
        let binding = ChannelBinding {
            exporter: [9; 32],
            agent_key: *SigningKey::generate(dice).public(),
            technician_key: *SigningKey::generate(dice).public(),
        };
        let introduction = Introduction {
            claimed_name: Label::cut("Ana"),
            certificate: None,
            request: request(1, &[Ability::DiagBasic], 60),
        };
        let (agent, offer) = AgentPairing::offer(&code, dice);
        let (_, prove) =
            TechnicianPairing::prove(&code, &binding, offer, &introduction, dice).expect("an honest offer");
        agent.accept(&binding, prove, SESSION).expect("the right code").0.words
    });
    *WORDS
}

pub(crate) const SESSION: SessionId = SessionId(*b"a visit!");

/// When every story begins.
pub(crate) const START: Moment = Moment::from_origin(Duration::from_secs(1_000_000));

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn verified() -> TechnicianIdentity {
    TechnicianIdentity::Verified { name: Label::cut("Ana Ruiz"), organisation: Label::cut("Example Help") }
}

pub(crate) fn unverified() -> TechnicianIdentity {
    TechnicianIdentity::Unverified { claimed_name: Label::cut("Ana Ruiz") }
}

pub(crate) fn request(number: u32, abilities: &[Ability], stay_secs: u32) -> AccessRequest {
    let reason = Sentence::cut("the fan is loud");
    AccessRequest { request: RequestId(number), abilities: abilities.to_vec(), reason, stay_secs }
}

pub(crate) fn exact_run(number: u32) -> ExactRun {
    ExactRun {
        run: RunId(number),
        program: b"/usr/bin/df".to_vec(),
        target: None,
        interpreter: None,
        file: FileIdentity { device: 1, inode: 2, size_bytes: 3, modified_ns: 4, changed_ns: 5 },
        arguments: vec![b"-h".to_vec()],
        directory: b"/home/ana".to_vec(),
        user_id: 1000,
        user_name: b"ana".to_vec(),
        environment: vec![Variable { name: b"LANG".to_vec(), value: b"C".to_vec() }],
        limits: RunLimits::DEFAULT,
    }
}

/// The arguments of a process, as the person is asked about them.
pub(crate) fn exact_inspection(number: u32) -> ExactInspection {
    ExactInspection {
        inspection: InspectionId(number),
        what: Inspect::Arguments { pid: 4711, start_ticks: 7 },
        about: About::Process { name: Label::cut("mysqld") },
    }
}

/// What nobody is ever asked to type: words of the list are drawn by chance, and any single one of them would be right now and then.
pub(crate) const NEVER_THE_WORD: &str = "not a word of the list";

/// A yes to everything, given at a terminal.
pub(crate) fn yes(prompt: &Prompt) -> Answer {
    yes_to(prompt, &prompt.abilities)
}

/// A yes to some of it, given at a terminal.
pub(crate) fn yes_to(prompt: &Prompt, abilities: &[Ability]) -> Answer {
    let proof = Proof::TypedWord(prompt.word.to_owned());
    let verdict = Verdict::Allow { abilities: abilities.to_vec(), proof, spoken_words: None };
    Answer { prompt: prompt.id, digest: prompt.digest, verdict }
}

/// A yes to everything, with what the person typed for the two spoken words.
pub(crate) fn yes_with(prompt: &Prompt, spoken: &str) -> Answer {
    let abilities = prompt.abilities.clone();
    let verdict = Verdict::Allow { abilities, proof: Proof::Page, spoken_words: Some(spoken.to_owned()) };
    Answer { prompt: prompt.id, digest: prompt.digest, verdict }
}

pub(crate) fn no(prompt: PromptId, digest: wire::ids::Digest) -> Answer {
    Answer { prompt, digest, verdict: Verdict::Deny }
}

/// A consent core with the dice and the clock that its stories need.
pub(crate) struct Scene {
    pub(crate) consent: Consent,
    pub(crate) now: Moment,
    pub(crate) dice: Dice,
    requests: u32,
    runs: u32,
    inspections: u32,
}

impl Scene {
    /// A verified technician at a device with the usual ceiling.
    pub(crate) fn usual() -> Self {
        Self::with(verified(), Ceiling::attended(), Policy::ask())
    }

    /// A device that can grant everything there is, so that later versions' abilities can be tried.
    pub(crate) fn everything(identity: TechnicianIdentity) -> Self {
        let ceiling = Ability::ALL.iter().fold(Ceiling::closed(), |ceiling, ability| ceiling.allow(*ability));
        Self::with(identity, ceiling, Policy::ask())
    }

    pub(crate) fn with(identity: TechnicianIdentity, ceiling: Ceiling, policy: Policy) -> Self {
        let setup = ConsentSetup { session: SESSION, identity, words: words(), ceiling, policy };
        Self { consent: Consent::new(setup, START), now: START, dice: Dice(1), requests: 0, runs: 0, inspections: 0 }
    }

    /// The same, with the session allowed for diagnostics and the events of that taken.
    pub(crate) fn live(mut self) -> Self {
        self.ask(&[Ability::DiagBasic]);
        self.allow();
        self.events();
        self
    }

    pub(crate) fn pass(&mut self, step: Duration) {
        self.now = self.now + step;
    }

    /// Asks for abilities for an hour.
    pub(crate) fn ask(&mut self, abilities: &[Ability]) -> PromptId {
        self.try_ask(abilities, 3600).expect("nothing stands against asking")
    }

    pub(crate) fn try_ask(&mut self, abilities: &[Ability], stay_secs: u32) -> Result<PromptId, DenyReason> {
        self.requests += 1;
        let request = request(self.requests, abilities, stay_secs);
        self.consent.request(&request, self.now, &mut self.dice)
    }

    /// Asks for the next run.
    pub(crate) fn ask_run(&mut self) -> PromptId {
        self.try_ask_run().expect("nothing stands against asking")
    }

    pub(crate) fn try_ask_run(&mut self) -> Result<PromptId, DenyReason> {
        self.runs += 1;
        let run = exact_run(self.runs);
        self.consent.announce_run(run.run, self.now)?;
        let reason = Sentence::cut("how full is the disk");
        self.consent.ask_run(run, Vec::new(), reason, self.now, &mut self.dice)
    }

    /// Asks for the arguments of a process.
    pub(crate) fn try_ask_inspection(&mut self) -> Result<PromptId, DenyReason> {
        self.inspections += 1;
        let exact = exact_inspection(self.inspections);
        self.consent.announce_inspection(exact.inspection, &exact.what, self.now)?;
        self.consent.ask_inspection(exact, self.now, &mut self.dice)
    }

    pub(crate) fn last_run(&self) -> RunId {
        RunId(self.runs)
    }

    /// Takes a run's question back, which has to be open.
    pub(crate) fn withdraw_run(&mut self, run: RunId) {
        assert!(self.consent.withdraw(Subject::Run(run), self.now), "the question was open");
    }

    /// Why questions ended without a yes since the last look at the events.
    pub(crate) fn denials(&mut self) -> Vec<DenyReason> {
        let denied = |event| if let ConsentEvent::Denied { reason, .. } = event { Some(reason) } else { None };
        self.events().into_iter().filter_map(denied).collect()
    }

    /// The question before the person.
    pub(crate) fn prompt(&self) -> Prompt {
        self.consent.prompt().expect("a question is open").clone()
    }

    /// Waits until the open question can be allowed.
    pub(crate) fn unlock(&mut self) -> Prompt {
        let prompt = self.prompt();
        self.now = self.now.max(prompt.unlocks_at);
        prompt
    }

    /// Allows everything that the open question asks, as soon as that is possible.
    pub(crate) fn allow(&mut self) -> GrantId {
        let prompt = self.unlock();
        self.consent.answer(&yes(&prompt), self.now).expect("a right answer in time");
        self.consent.grants(self.now).map(|grant| grant.id).max().expect("the answer gave a grant")
    }

    pub(crate) fn deny(&mut self) {
        let prompt = self.prompt();
        self.consent.answer(&no(prompt.id, prompt.digest), self.now).expect("a no is always taken");
    }

    pub(crate) fn events(&mut self) -> Vec<ConsentEvent> {
        iter::from_fn(|| self.consent.poll_event()).collect()
    }

    /// The names of the events since the last time, for stories about order.
    pub(crate) fn happened(&mut self) -> Vec<&'static str> {
        self.events().iter().map(name).collect()
    }
}

fn name(event: &ConsentEvent) -> &'static str {
    match event {
        ConsentEvent::Asked(_) => "asked",
        ConsentEvent::WordsConfirmed => "words confirmed",
        ConsentEvent::Granted { .. } => "granted",
        ConsentEvent::Denied { .. } => "denied",
        ConsentEvent::Narrowed { .. } => "narrowed",
        ConsentEvent::GrantEnded { .. } => "grant ended",
        ConsentEvent::Paused { .. } => "paused",
        ConsentEvent::Resumed => "resumed",
        ConsentEvent::Over(_) => "over",
        _ => "something new",
    }
}

/// Every ability that a request may name.
pub(crate) fn requestable() -> Vec<Ability> {
    Ability::ALL.iter().copied().filter(|ability| !asked_with_each_use(*ability)).collect()
}
