//! Agent, technician, wire, person and shell together.

use std::{
    collections::{BTreeSet, VecDeque},
    iter,
    time::Duration,
};

use consent::{Answer, Ceiling, Policy, Proof, Verdict};
use proptest::sample::Index;
use rand_core::RngCore;
use session::{
    agent::{AgentSession, AgentSetup, DirectWish, Phase},
    technician::{RunDraft, TechnicianSession},
};
use wire::{
    diagnostics::{
        inspect::{About, Inspect},
        report::SectionId,
    },
    evidence::Event,
    ids::{Digest, GrantId, RunId},
    path::DirectOffer,
    run::{OutputCount, RunLimits, RunOutcome, RunProposal},
    session::{Ability, Absence, DenyReason, EndReason, Output, Subject, TechnicianIdentity, ToAgent, ToTechnician},
    text::{Label, Sentence},
    time::Moment,
};

use crate::{
    ledger::Ledger,
    ops::{Op, Peer},
    scene::{Dice, NEVER_THE_WORD, SESSION, START, exact_run, no, words},
    shell::{Disk, Shell},
};

/// Longest that a message travels.
const LONGEST_DELAY_MS: u32 = 800;

/// Messages of one direction: late, and in order.
#[derive(Debug)]
struct Wire<M> {
    queue: VecDeque<(Moment, M)>,
}

impl<M> Wire<M> {
    fn send(&mut self, message: M, at: Moment) {
        let after = self.queue.back().map_or(at, |(arrives, _)| at.max(*arrives));
        self.queue.push_back((after, message));
    }

    fn arrives(&self) -> Option<Moment> {
        self.queue.front().map(|(arrives, _)| *arrives)
    }

    fn receive(&mut self, now: Moment) -> Option<M> {
        self.arrives().filter(|arrives| *arrives <= now)?;
        self.queue.pop_front().map(|(_, message)| message)
    }
}

pub(crate) struct World {
    agent: AgentSession,
    technician: TechnicianSession,
    shell: Shell,
    ledger: Ledger,
    peer: Peer,
    now: Moment,
    dice: Dice,
    to_agent: Wire<ToAgent>,
    to_technician: Wire<ToTechnician>,
    outputs: Vec<(Moment, RunId, Output)>,
    connected: bool,
    approved: BTreeSet<Digest>,
}

pub(crate) fn proposal(number: u32, time_secs: u32) -> RunProposal {
    RunProposal {
        run: RunId(number),
        reason: Sentence::cut("why"),
        program: b"df".to_vec(),
        arguments: vec![b"-h".to_vec()],
        directory: None,
        environment: Vec::new(),
        limits: RunLimits { time_secs, ..RunLimits::DEFAULT },
    }
}

impl World {
    pub(crate) fn new(seed: u64, identity: TechnicianIdentity, peer: Peer) -> Self {
        let mut dice = Dice(seed);
        let abilities = [Ability::DiagBasic, Ability::DiagLogs, Ability::DiagProcess];
        let stay = Duration::from_secs(if dice.next_u32().is_multiple_of(2) { 3600 } else { 90 });
        let first = TechnicianSession::first_request(&abilities, Sentence::cut("why"), stay).expect("a good request");
        let ceiling = Ceiling::attended().allow(Ability::DiagLogs).allow(Ability::TermControl);
        let setup = AgentSetup {
            session: SESSION,
            identity,
            words: words(),
            agent_key: Digest([1; 32]),
            technician_key: Digest([2; 32]),
            agent_version: "0.1.0".to_owned(),
            ceiling,
            policy: Policy::ask(),
            first: first.clone(),
            direct: if seed.is_multiple_of(5) { DirectWish::NotWanted } else { DirectWish::Wanted },
        };
        let agent = AgentSession::new(setup, START, &mut dice);
        let mut world = Self {
            agent,
            technician: TechnicianSession::new(&first),
            shell: Shell::new(),
            ledger: Ledger::default(),
            peer,
            now: START,
            dice,
            to_agent: Wire { queue: VecDeque::new() },
            to_technician: Wire { queue: VecDeque::new() },
            outputs: Vec::new(),
            connected: true,
            approved: BTreeSet::new(),
        };
        world.exchange();
        world
    }

    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Pass { millis, late } => self.pass(Duration::from_millis(millis), late),
            Op::Settle => self.settle(),
            Op::Request { abilities, stay_secs } => {
                let stay = Duration::from_secs(stay_secs.into());
                let _ = self.technician.request(&abilities, Sentence::cut("why"), stay);
            }
            Op::Propose { time_secs } => self.propose(time_secs),
            Op::Run { time_secs } => self.run(time_secs),
            Op::Cancel(which) => {
                let runs = self.technician.runs().map(|(run, _)| run).collect::<Vec<_>>();
                if let Some(run) = pick(&runs, which) {
                    let _ = self.technician.cancel_run(run);
                }
            }
            Op::Subscribe(period_ms) => {
                let _ = self.technician.subscribe(Duration::from_millis(period_ms.into()));
            }
            Op::Inspect { logs } => {
                let section = if logs { SectionId::Logs } else { SectionId::Storage };
                let _ = self.technician.inspect(Inspect::Section(section), self.now);
            }
            Op::InspectArguments { described, found } => {
                let _ = self.technician.inspect(Inspect::Arguments { pid: 1, start_ticks: 7 }, self.now);
                if described {
                    self.exchange();
                    self.pass(Duration::from_millis(LONGEST_DELAY_MS.into()), false);
                    self.describe(found);
                }
            }
            Op::Describe { found } => self.describe(found),
            Op::Arguments => {
                self.apply(Op::InspectArguments { described: true, found: true });
                self.allow(true, true, true, None);
                self.exchange();
                self.inspected();
            }
            Op::Inspected => self.inspected(),
            Op::Unsubscribe => {
                let _ = self.technician.unsubscribe();
            }
            Op::Direct => {
                let _ = self.technician.offer_direct(DirectOffer::Candidates(vec![([192, 0, 2, 2], 2).into()]));
            }
            Op::Leave => self.technician.end(),
            Op::Raw(message) => self.to_agent.send(message, self.now),
            Op::Allow { patient, right_word, spoken, part } => self.allow(patient, right_word, spoken, part),
            Op::Deny => self.deny(),
            Op::Revoke(which) => {
                if let Some(grant) = self.pick_grant(which) {
                    self.agent.revoke(grant, self.now);
                }
            }
            Op::Narrow(which, ability) => {
                if let Some(grant) = self.pick_grant(which) {
                    self.agent.narrow(grant, &[ability], self.now);
                }
            }
            Op::StopRun(which) => {
                if let Some(run) = self.pick_program(which) {
                    self.agent.stop_run(run, self.now);
                }
            }
            Op::Stop => self.agent.stop_by_user(self.now),
            Op::Away => self.agent.absent(Absence::ScreenLocked, self.now),
            Op::Back => self.agent.present(self.now),
            Op::Resolve { which, found } => self.resolve(which, found),
            Op::Spawn(which) => self.spawn(which),
            Op::Exit(which) => self.exit(which),
            Op::Sample => self.sample(),
            Op::DiskSlow if self.shell.disk == Disk::Good => self.shell.disk = Disk::Slow,
            Op::DiskSlow => {}
            Op::DiskDone => self.shell.disk_done(),
            Op::DiskBroken => self.shell.disk = Disk::Broken,
            Op::ConnectionLost => {
                self.connected = false;
                self.agent.end(EndReason::ConnectionLost, self.now);
                self.technician.close(EndReason::ConnectionLost);
            }
            Op::Shutdown => self.agent.end(EndReason::Shutdown, self.now),
        }
        // What stops something is carried out in the same turn, however slow the disk is.
        self.exchange();
        self.assert_stopped();
    }

    /// Carries out effects and puts messages on the wire.
    fn exchange(&mut self) {
        for message in self.shell.drain(&mut self.agent, self.now) {
            let arrives = self.now + self.delay();
            self.to_technician.send(message, arrives);
        }
        for message in iter::from_fn(|| self.technician.poll_transmit()).collect::<Vec<_>>() {
            let arrives = self.now + self.delay();
            self.to_agent.send(message, arrives);
        }
        while self.technician.poll_event().is_some() {}
        if !self.connected {
            self.to_agent.queue.clear();
            self.to_technician.queue.clear();
            self.outputs.clear();
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::from_millis(u64::from(self.dice.next_u32() % LONGEST_DELAY_MS))
    }

    /// Lets time pass, with everything that happens by itself meanwhile. Timers that are `late` fire only when somebody else speaks.
    fn pass(&mut self, step: Duration, late: bool) {
        let until = self.now + step;
        loop {
            let timer = self.agent.poll_timeout().filter(|_| !late);
            let output = self.outputs.iter().map(|(arrives, ..)| *arrives);
            let wire = [self.to_agent.arrives(), self.to_technician.arrives()];
            let next = output.chain(wire.into_iter().flatten()).chain(timer).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            self.arrive();
            if timer.is_some_and(|timer| timer <= self.now) {
                self.agent.handle_timeout(self.now);
                assert!(self.agent.poll_timeout().is_none_or(|timer| timer > self.now), "a timer fires for ever");
            }
            self.exchange();
        }
        self.now = until;
    }

    fn arrive(&mut self) {
        while let Some(message) = self.to_agent.receive(self.now) {
            self.agent.handle_message(message, self.now, &mut self.dice);
        }
        while let Some(message) = self.to_technician.receive(self.now) {
            let taken = self.technician.handle_message(message.clone(), self.now);
            // What a hostile technician sent besides gets answers that its own state machine does not expect.
            assert!(taken.is_ok() || self.peer == Peer::Hostile, "{message:?}: {taken:?}");
        }
        for index in (0..self.outputs.len()).rev() {
            if self.outputs[index].0 <= self.now {
                let (_, run, output) = self.outputs.swap_remove(index);
                let taken = self.technician.open_output(run, output);
                assert!(taken.is_ok() || self.peer == Peer::Hostile, "{run}: {taken:?}");
            }
        }
    }

    /// Lets everything arrive that is on its way, and compares what both sides say.
    fn settle(&mut self) {
        self.shell.disk_done();
        self.agent.handle_timeout(self.now);
        self.exchange();
        while let Some(arrives) = [self.to_agent.arrives(), self.to_technician.arrives()].into_iter().flatten().min() {
            self.pass(arrives - self.now, false);
        }
        if self.peer == Peer::Hostile || !self.shell.is_idle() {
            return;
        }
        if self.connected && self.shell.ended.is_some() {
            assert_eq!(self.technician.end_reason(), self.shell.ended);
        }
        for shown in self.technician.grants(self.now) {
            let granted = self.agent.grants(self.now).find(|grant| grant.id == shown.grant);
            let granted = granted.expect("the technician is shown a grant that is not there");
            assert_eq!(granted.abilities, shown.abilities);
        }
        // While the agent waits for killed programs, the technician has not heard of the end yet.
        if !matches!(self.agent.phase(), Phase::Ending(_)) {
            assert_eq!(self.technician.paused_until().is_some(), self.agent.paused_until().is_some());
        }
    }

    fn describe(&mut self, found: bool) {
        let Some((inspection, what)) = self.shell.descriptions.pop_first() else { return };
        assert!(what.asks_for().is_some(), "{what:?} asks nobody");
        let about = About::Process { name: Label::cut("mysqld") };
        let described = if found { Ok(about) } else { Err(DenyReason::ProcessEnded) };
        self.agent.handle_described(inspection, described, self.now, &mut self.dice);
    }

    /// The shell reads what was handed out last, and sends it.
    fn inspected(&mut self) {
        let Some((inspection, digest)) = self.shell.inspections.pop_last() else { return };
        if !self.agent.begin_inspection(inspection, self.now) {
            return self.agent.handle_not_inspected(inspection, DenyReason::NotGranted, self.now);
        }
        assert_eq!(self.agent.paused_until(), None, "{inspection} is read while the person is away");
        if let Some(digest) = digest {
            assert!(self.approved.contains(&digest), "{inspection} is read and nobody approved exactly that");
            let live = |grant: &consent::Grant| grant.once() == Some(digest);
            assert!(self.agent.grants(self.now).any(live), "{inspection} is read without a live yes to it");
            let held =
                |grant: &consent::Grant| grant.once().is_none() && grant.abilities.contains(&Ability::DiagProcess);
            assert!(self.agent.grants(self.now).any(held), "{inspection} is read without the ability beside it");
            assert!(!self.agent.begin_inspection(inspection, self.now), "{inspection} is read twice");
        }
        assert!(self.agent.may_inspect(inspection, self.now));
        self.agent.handle_inspected(inspection, self.now);
        let _ = self.technician.open_inspection(inspection);
        self.technician.finish_inspection(inspection);
    }

    fn propose(&mut self, time_secs: u32) {
        let RunProposal { reason, program, arguments, directory, environment, limits, .. } = proposal(0, time_secs);
        let _ = self.technician.propose_run(RunDraft { reason, program, arguments, directory, environment, limits });
    }

    fn run(&mut self, time_secs: u32) {
        self.propose(time_secs);
        self.exchange();
        self.pass(Duration::from_millis(LONGEST_DELAY_MS.into()), false);
        while let Some((_, proposal)) = self.shell.lookups.pop_first() {
            self.resolved(&proposal, true);
        }
        self.allow(true, true, true, None);
        self.exchange();
        if let Some(run) = self.not_started().pop() {
            self.start(run);
        }
    }

    fn allow(&mut self, patient: bool, right_word: bool, spoken: bool, part: Option<Index>) {
        let Some(prompt) = self.agent.prompt().cloned() else { return };
        if patient && prompt.unlocks_at > self.now {
            self.pass(prompt.unlocks_at - self.now, false);
        }
        let abilities = part.map_or(prompt.abilities.clone(), |part| vec![*part.get(&prompt.abilities)]);
        let word = if right_word { prompt.word } else { NEVER_THE_WORD };
        let spoken_words = spoken.then(|| words().to_string());
        let verdict = Verdict::Allow { abilities, proof: Proof::TypedWord(word.to_owned()), spoken_words };
        let answer = Answer { prompt: prompt.id, digest: prompt.digest, verdict };
        if self.agent.handle_answer(&answer, self.now).is_ok() {
            assert!(right_word && prompt.unlocks_at <= self.now && self.now < prompt.deadline);
            assert!(spoken || !prompt.needs_spoken_words || prompt.once.is_none());
            self.approved.extend(prompt.once.map(|once| once.digest()));
        }
    }

    fn deny(&mut self) {
        if let Some(prompt) = self.agent.prompt().cloned() {
            let taken = self.agent.handle_answer(&no(prompt.id, prompt.digest), self.now);
            assert!(taken.is_ok() || self.agent.prompt().is_none_or(|open| open.id != prompt.id));
        }
    }

    fn resolve(&mut self, which: Index, found: bool) {
        let runs = self.shell.lookups.keys().copied().collect::<Vec<_>>();
        let Some(proposal) = pick(&runs, which).and_then(|run| self.shell.lookups.remove(&run)) else { return };
        self.resolved(&proposal, found);
    }

    fn resolved(&mut self, proposal: &RunProposal, found: bool) {
        let mut exact = exact_run(proposal.run.0);
        exact.limits = proposal.limits;
        let resolved = if found { Ok(exact) } else { Err(DenyReason::ProgramNotFound) };
        self.agent.handle_resolved(proposal.run, resolved, self.now, &mut self.dice);
    }

    fn spawn(&mut self, which: Index) {
        if let Some(run) = pick(&self.not_started(), which) {
            self.start(run);
        }
    }

    fn not_started(&self) -> Vec<RunId> {
        let programs = self.shell.programs.iter().filter(|(_, program)| !program.started);
        programs.map(|(run, _)| *run).collect()
    }

    /// The shell's last check before a program starts.
    fn start(&mut self, run: RunId) {
        if !self.agent.may_start_run(run, self.now) {
            self.report(run, RunOutcome::Revoked);
            return;
        }
        let program = self.shell.programs.get_mut(&run).expect("it was picked from there");
        assert!(!program.killed, "{run} may start though it was killed");
        program.started = true;
        let (grant, digest) = (program.grant, program.approved.digest);
        assert!(self.approved.contains(&digest), "{run} starts and nobody approved exactly that");
        assert_eq!(self.agent.paused_until(), None, "{run} starts while the person is away");
        let live = self.agent.grants(self.now).any(|live| live.id == grant && live.once() == Some(digest));
        assert!(live, "{run} starts without a live covering grant");
        self.agent.handle_run_started(run, self.now);
        for output in [Output::Stdout, Output::Stderr] {
            let arrives = self.now + self.delay();
            self.outputs.push((arrives, run, output));
        }
    }

    fn exit(&mut self, which: Index) {
        let programs = self.shell.programs.iter().filter(|(_, program)| program.started || program.killed);
        let programs = programs.map(|(run, _)| *run).collect::<Vec<_>>();
        if let Some(run) = pick(&programs, which) {
            self.report(run, RunOutcome::Exited { code: 0 });
        }
    }

    fn report(&mut self, run: RunId, outcome: RunOutcome) {
        self.shell.programs.remove(&run);
        let count = OutputCount { sent_bytes: 2, written_bytes: 5 };
        self.agent.handle_run_finished(run, outcome, count, OutputCount::default(), self.now);
    }

    fn sample(&mut self) {
        if self.agent.may_send_sample(self.now) {
            assert!(self.shell.streaming);
            assert_eq!(self.agent.paused_until(), None);
            let covers =
                |grant: &consent::Grant| grant.abilities.contains(&Ability::DiagBasic) && grant.once().is_none();
            assert!(self.agent.grants(self.now).any(covers), "a sample without a live covering grant");
        }
    }

    fn pick_grant(&self, which: Index) -> Option<GrantId> {
        let grants = self.agent.grants(self.now).map(|grant| grant.id).collect::<Vec<_>>();
        pick(&grants, which)
    }

    fn pick_program(&self, which: Index) -> Option<RunId> {
        let runs = self.shell.programs.keys().copied().collect::<Vec<_>>();
        pick(&runs, which)
    }

    /// Whatever is not covered at this moment as far as the agent was told the time is dead or dying.
    fn assert_stopped(&self) {
        let paused = self.agent.paused_until().is_some();
        let over = self.agent.end_reason().is_some();
        for (run, program) in &self.shell.programs {
            let live = self.agent.runs().any(|status| status.approved.exact.run == *run && !status.stopping);
            assert!(program.killed || (live && !paused && !over), "{run} goes on");
        }
        assert!(!self.shell.streaming || !paused && !over, "the stream goes on");
        assert!(!self.shell.direct || !paused && !over, "the direct path stays open");
    }

    /// What holds after every step, once the agent was told the time.
    pub(crate) fn check(&mut self) {
        self.agent.handle_timeout(self.now);
        self.exchange();
        self.assert_stopped();
        let live = self.agent.grants(self.now).map(|grant| (grant.id, grant.clone())).collect::<Vec<_>>();
        for (run, program) in &self.shell.programs {
            let covered = live.iter().any(|(id, grant)| *id == program.grant && grant.once().is_some());
            assert!(program.killed || covered, "{run} goes on without a live covering grant");
        }
        if self.shell.streaming {
            let covered = live.iter().any(|(_, grant)| grant.abilities.contains(&Ability::DiagBasic));
            assert!(covered, "the stream goes on without a live covering grant");
        }
        assert!(!self.shell.direct || !live.is_empty(), "the direct path stays open with nothing allowed");
        if self.shell.ended.is_some() {
            assert!(live.is_empty() && self.agent.prompt().is_none() && self.agent.poll_timeout().is_none());
            assert_eq!(self.shell.ended, self.agent.end_reason());
        }
        let violation = self.shell.log.iter().any(|event| matches!(event, Event::Violation { .. }));
        assert!(!violation || self.peer == Peer::Hostile, "an honest technician is accused");
        self.ledger.read(&self.shell.log);
        let questions = self.technician.pending().map(|pending| pending.subject).collect::<BTreeSet<Subject>>();
        assert_eq!(questions.len(), self.technician.pending().count(), "a question is shown twice");
    }

    /// Brings the session to its end, if it is not over, and replays the whole log, which it returns.
    pub(crate) fn finish(mut self) -> Vec<Event> {
        self.apply(Op::DiskDone);
        self.apply(Op::Stop);
        self.apply(Op::Pass { millis: 3000, late: false });
        self.apply(Op::Settle);
        self.check();
        assert!(self.shell.ended.is_some(), "the session never ends");
        if self.shell.ended != Some(EndReason::AuditFailed) {
            self.ledger.assert_complete();
        }
        if self.connected && self.peer == Peer::Honest {
            assert_eq!(self.technician.end_reason(), self.shell.ended);
        }
        self.shell.log
    }
}

fn pick<T: Copy>(from: &[T], which: Index) -> Option<T> {
    (!from.is_empty()).then(|| *which.get(from))
}
