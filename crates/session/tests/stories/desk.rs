//! The end user's desk: an agent's end of a session, with a shell that carries out every effect at once.

use std::{iter, time::Duration};

use consent::{Ceiling, Policy, Prompt};
use session::agent::{AgentSession, AgentSetup, DirectWish, Effect};
use wire::{
    evidence::Event,
    ids::{Digest, GrantId, RunId},
    run::{ApprovedRun, ExactRun, OutputCount, RunLimits, RunOutcome, RunProposal},
    session::{Ability, AccessRequest, TechnicianIdentity, ToAgent, ToTechnician},
    text::Sentence,
    time::Moment,
};

use crate::scene::{Dice, SESSION, START, exact_run, no, request, verified, words, yes};

pub(crate) struct Desk {
    pub(crate) session: AgentSession,
    pub(crate) now: Moment,
    pub(crate) dice: Dice,
}

pub(crate) fn setup(identity: TechnicianIdentity, ceiling: Ceiling, first: AccessRequest) -> AgentSetup {
    AgentSetup {
        session: SESSION,
        identity,
        words: words(),
        agent_key: Digest([1; 32]),
        technician_key: Digest([2; 32]),
        agent_version: "0.1.0".to_owned(),
        ceiling,
        policy: Policy::ask(),
        first,
        direct: DirectWish::Wanted,
    }
}

pub(crate) fn proposal(number: u32) -> RunProposal {
    RunProposal {
        run: RunId(number),
        reason: Sentence::cut("how full is the disk"),
        program: b"df".to_vec(),
        arguments: vec![b"-h".to_vec()],
        directory: None,
        environment: Vec::new(),
        limits: RunLimits::DEFAULT,
    }
}

impl Desk {
    /// A verified technician who asked for diagnostics for an hour.
    pub(crate) fn new() -> Self {
        Self::with(setup(verified(), Ceiling::attended(), request(1, &[Ability::DiagBasic], 3600)))
    }

    pub(crate) fn with(setup: AgentSetup) -> Self {
        let mut dice = Dice(1);
        Self { session: AgentSession::new(setup, START, &mut dice), now: START, dice }
    }

    /// The same after the person allowed it, everything carried out.
    pub(crate) fn live() -> Self {
        let mut desk = Self::new();
        desk.allow();
        desk.drain();
        desk
    }

    /// The same with a run that is going on.
    pub(crate) fn running() -> (Self, ApprovedRun) {
        let mut desk = Self::live();
        let approved = desk.start(1);
        desk.drain();
        (desk, approved)
    }

    pub(crate) fn pass(&mut self, step: Duration) {
        self.now = self.now + step;
    }

    pub(crate) fn tell(&mut self, message: ToAgent) {
        self.session.handle_message(message, self.now, &mut self.dice);
    }

    pub(crate) fn drain(&mut self) -> Vec<Effect> {
        iter::from_fn(|| self.session.poll_effect()).filter(|effect| *effect != Effect::PromptsChanged).collect()
    }

    /// Everything to be done now, each as one word, for stories about order.
    pub(crate) fn done(&mut self) -> Vec<String> {
        self.drain().iter().map(word).collect()
    }

    pub(crate) fn unlock(&mut self) -> Prompt {
        let prompt = self.session.prompt().expect("a question is open").clone();
        self.now = self.now.max(prompt.unlocks_at);
        prompt
    }

    pub(crate) fn allow(&mut self) -> Prompt {
        let prompt = self.unlock();
        self.session.handle_answer(&yes(&prompt), self.now).expect("a right answer in time");
        prompt
    }

    pub(crate) fn deny(&mut self) {
        let prompt = self.session.prompt().expect("a question is open").clone();
        self.session.handle_answer(&no(prompt.id, prompt.digest), self.now).expect("a no is always taken");
    }

    pub(crate) fn ask(&mut self, number: u32) {
        self.tell(ToAgent::Request(request(number, &[Ability::DiagBasic], 600)));
    }

    pub(crate) fn resolve(&mut self, exact: ExactRun) {
        self.session.handle_resolved(exact.run, Ok(exact.clone()), self.now, &mut self.dice);
    }

    /// Lets a run be proposed, looked up and asked for.
    pub(crate) fn propose(&mut self, number: u32) {
        self.tell(ToAgent::ProposeRun(proposal(number)));
        self.resolve(exact_run(number));
    }

    /// Lets a run be proposed and approved; its start is queued and nothing is carried out.
    pub(crate) fn approve(&mut self, number: u32) -> ApprovedRun {
        self.propose(number);
        self.allow().run().cloned().expect("the question is about a run")
    }

    /// Lets a run be approved and started.
    pub(crate) fn start(&mut self, number: u32) -> ApprovedRun {
        let approved = self.approve(number);
        self.drain();
        self.session.handle_run_started(RunId(number), self.now);
        approved
    }

    pub(crate) fn finish(&mut self, number: u32, outcome: RunOutcome) {
        let count = OutputCount { sent_bytes: 3, written_bytes: 3 };
        self.session.handle_run_finished(RunId(number), outcome, count, OutputCount::default(), self.now);
    }

    pub(crate) fn grant_ids(&self) -> Vec<GrantId> {
        self.session.grants(self.now).map(|grant| grant.id).collect()
    }
}

pub(crate) fn records(effects: &[Effect]) -> Vec<&Event> {
    let mut records = Vec::new();
    for effect in effects {
        if let Effect::Record(event) = effect {
            records.push(event);
        }
    }
    records
}

pub(crate) fn sent(effects: &[Effect]) -> Vec<&ToTechnician> {
    let mut messages = Vec::new();
    for effect in effects {
        if let Effect::Send(message) = effect {
            messages.push(message);
        }
    }
    messages
}

pub(crate) fn word(effect: &Effect) -> String {
    let first_word = |text: String| text.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
    match effect {
        Effect::Record(event) => format!("record {}", first_word(format!("{event:?}"))),
        Effect::Send(message) => format!("send {}", first_word(format!("{message:?}"))),
        Effect::Resolve(_)
        | Effect::StartRun { .. }
        | Effect::KillRun { .. }
        | Effect::StartDiagnostics { .. }
        | Effect::StopDiagnostics
        | Effect::OpenDirect { .. }
        | Effect::CloseDirect
        | Effect::PromptsChanged
        | Effect::Ended(_)
        | _ => first_word(format!("{effect:?}")),
    }
}
