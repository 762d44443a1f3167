//! One run: looked up, asked for, started, killed, over.

use rand_core::CryptoRngCore;
use wire::{
    evidence::Event,
    ids::{GrantId, RunId},
    run::{ApprovedRun, ExactRun, OutputCount, RunOutcome, RunProposal},
    session::{AUDIT_LINE_BYTES, DenyReason, Subject, ToTechnician},
    time::Moment,
};

use super::{AgentSession, Effect, RunStatus};

/// A run that is not over.
#[derive(Debug)]
pub(super) enum Run {
    /// The shell finds out what exactly would be run.
    LookedUp(RunProposal),
    /// The person is asked, or will be.
    Asked,
    /// The person said yes.
    Going(Going),
}

#[derive(Debug)]
pub(super) struct Going {
    approved: ApprovedRun,
    grant: GrantId,
    /// Whether [`Effect::StartRun`] left the queue.
    handed_over: bool,
    started_at: Option<Moment>,
    stopping: bool,
}

impl Run {
    pub(super) fn status(&self) -> Option<RunStatus<'_>> {
        let going = self.going()?;
        Some(RunStatus {
            approved: &going.approved,
            grant: going.grant,
            started_at: going.started_at,
            stopping: going.stopping,
        })
    }

    fn going(&self) -> Option<&Going> {
        match self {
            Self::Going(going) => Some(going),
            Self::LookedUp(_) | Self::Asked => None,
        }
    }

    fn going_mut(&mut self) -> Option<&mut Going> {
        match self {
            Self::Going(going) => Some(going),
            Self::LookedUp(_) | Self::Asked => None,
        }
    }
}

impl AgentSession {
    /// Answer to [`Effect::Resolve`]: what exactly would be run, or why it cannot be put before the person.
    ///
    /// A run that was withdrawn meanwhile is forgotten. A resolved run that is not what was proposed (other arguments, a program that is not
    /// an absolute path, wider limits) is refused.
    pub fn handle_resolved(
        &mut self,
        run: RunId,
        resolved: Result<ExactRun, DenyReason>,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) {
        self.consent.handle_timeout(now);
        if let Some(Run::LookedUp(proposal)) = self.runs.get(&run) {
            let resolved = resolved.and_then(|exact| {
                if is_what_was_proposed(&exact, proposal) { Ok(exact) } else { Err(DenyReason::Malformed) }
            });
            match resolved {
                Ok(exact) => {
                    let mut additions = proposal.environment.clone();
                    additions.retain(|variable| exact.environment.contains(variable));
                    let reason = proposal.reason.clone();
                    self.runs.insert(run, Run::Asked);
                    if let Err(reason) = self.consent.ask_run(exact, additions, reason, now, rng) {
                        self.denied(Subject::Run(run), reason, now);
                    }
                }
                Err(reason) => self.consent.refuse(Subject::Run(run), reason, now),
            }
        }
        self.settle(now);
    }

    /// Returns whether an approved run that was handed out may start at `now`. The shell asks right before it starts the program:
    /// writing the record may have taken long, or the machine may have slept.
    pub fn may_start_run(&self, run: RunId, now: Moment) -> bool {
        self.end.is_none()
            && self.runs.get(&run).and_then(Run::going).is_some_and(|going| {
                let act = consent::Act::Run(going.approved.digest);
                !going.stopping && going.started_at.is_none() && self.consent.covers(going.grant, &act, now)
            })
    }

    /// The program of a run that was handed out has started.
    pub fn handle_run_started(&mut self, run: RunId, now: Moment) {
        let Some(going) = self.runs.get_mut(&run).and_then(Run::going_mut) else { return };
        if !going.handed_over || going.started_at.is_some() {
            return;
        }
        going.started_at = Some(now);
        let (grant, digest, stopping) = (going.grant, going.approved.digest, going.stopping);
        self.effects.send(ToTechnician::RunStarted { run, digest });
        self.effects.changed();
        if !stopping && !self.consent.begin(grant, &consent::Act::Run(digest), now) {
            self.kill(run, RunOutcome::Revoked, now);
        }
        self.settle(now);
    }

    /// A run that was handed out is over, or did not start. No output of it is sent any more.
    pub fn handle_run_finished(
        &mut self,
        run: RunId,
        outcome: RunOutcome,
        stdout: OutputCount,
        stderr: OutputCount,
        now: Moment,
    ) {
        if self.runs.get(&run).and_then(Run::going).is_some_and(|going| going.handed_over) {
            self.finish_run(run, outcome, stdout, stderr, now);
        }
        self.settle(now);
    }

    /// The person stops one run and takes its grant back.
    pub fn stop_run(&mut self, run: RunId, now: Moment) {
        if let Some(grant) = self.runs.get(&run).and_then(Run::going).map(|going| going.grant) {
            self.consent.revoke(grant, now);
        }
        self.settle(now);
    }

    /// The person approved: records and starts it.
    pub(super) fn start_run(&mut self, run: RunId, approved: ApprovedRun, grant: GrantId) {
        let digest = approved.digest;
        self.effects.record(Event::RunStarting { run, grant, digest });
        self.effects.push(Effect::StartRun { approved: approved.clone(), grant });
        let going = Going { approved, grant, handed_over: false, started_at: None, stopping: false };
        self.runs.insert(run, Run::Going(going));
    }

    pub(super) fn handed_over(&mut self, run: RunId) {
        if let Some(going) = self.runs.get_mut(&run).and_then(Run::going_mut) {
            going.handed_over = true;
        }
    }

    /// Kills every run whose grant no longer lets it go on.
    pub(super) fn kill_uncovered(&mut self, now: Moment) -> Vec<Event> {
        let uncovered = |going: &&Going| self.end.is_some() || !self.consent.is_live(going.grant, now);
        let going = self.runs.iter().filter_map(|(run, state)| Some((*run, state.going()?)));
        let doomed = going.filter(|(_, going)| uncovered(going)).map(|(run, _)| run).collect::<Vec<_>>();
        doomed.into_iter().filter_map(|run| self.kill_without_record(run, &RunOutcome::Revoked, now)).collect()
    }

    pub(super) fn kill(&mut self, run: RunId, why: RunOutcome, now: Moment) {
        if let Some(record) = self.kill_without_record(run, &why, now) {
            self.effects.record(record);
        }
    }

    /// Kills a run at once and returns the record of it, which follows later. A run that was not handed out yet just never starts.
    fn kill_without_record(&mut self, run: RunId, why: &RunOutcome, now: Moment) -> Option<Event> {
        let going = self.runs.get_mut(&run).and_then(Run::going_mut)?;
        if going.stopping {
            return None;
        }
        going.stopping = true;
        if going.handed_over {
            self.effects.stop(Effect::KillRun { run, why: why.clone() });
            return Some(Event::RunStopping { run });
        }
        self.effects.forget_start_of(run);
        self.finish_run(run, why.clone(), OutputCount::default(), OutputCount::default(), now);
        None
    }

    pub(super) fn finish_run(
        &mut self,
        run: RunId,
        outcome: RunOutcome,
        stdout: OutputCount,
        stderr: OutputCount,
        now: Moment,
    ) {
        let Some(Run::Going(going)) = self.runs.remove(&run) else { return };
        self.effects.record(Event::RunFinished { run, outcome: outcome.clone(), stdout, stderr });
        self.effects.send(ToTechnician::RunFinished { run, outcome, stdout, stderr });
        self.effects.changed();
        self.consent.finish(going.grant, now);
    }

    /// Forgets runs that nobody approved.
    pub(super) fn forget_unapproved(&mut self) {
        self.runs.retain(|_, run| run.going().is_some());
    }

    /// Whether an approved run was not reported as over yet.
    pub(super) fn waits_for_runs(&self) -> bool {
        self.runs.values().any(|run| run.going().is_some())
    }

    /// Runs that were approved and not reported as over.
    pub(super) fn going_runs(&self) -> Vec<RunId> {
        self.runs.iter().filter(|(_, run)| run.going().is_some()).map(|(run, _)| *run).collect()
    }
}

fn is_what_was_proposed(exact: &ExactRun, proposal: &RunProposal) -> bool {
    let most = proposal.limits.clamped();
    exact.run == proposal.run
        && exact.program.starts_with(b"/")
        && exact.directory.starts_with(b"/")
        && exact.arguments == proposal.arguments
        && exact.limits == exact.limits.clamped()
        && exact.limits.time_secs <= most.time_secs
        && exact.limits.output_bytes <= most.output_bytes
        && exact.limits.memory_mib <= most.memory_mib
}

/// Bytes of an audit line that are left for everything but the technician's own texts.
const AUDIT_LINE_RESERVE: usize = 32 * 1024;

/// Whether the record of the question fits a line of the log. Control characters take six bytes each there, so a proposal within its own
/// limits may not fit; no person could read such a command either.
pub(super) fn is_recordable(proposal: &RunProposal) -> bool {
    recorded_size(proposal) <= AUDIT_LINE_BYTES - AUDIT_LINE_RESERVE
}

/// Bytes that the technician's own texts take in the record of the question, without its reason.
pub(super) fn recorded_size(proposal: &RunProposal) -> usize {
    let variables = proposal.environment.iter().flat_map(|variable| [&variable.name, &variable.value]);
    let parts = [&proposal.program].into_iter().chain(&proposal.arguments).chain(&proposal.directory).chain(variables);
    parts.map(|part| recorded_bytes(part) + 4).sum()
}

fn recorded_bytes(part: &[u8]) -> usize {
    let in_json = |byte: &u8| {
        if byte.is_ascii_control() {
            6
        } else if matches!(byte, b'"' | b'\\') {
            2
        } else {
            1
        }
    };
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        // An invalid byte stands as `\xNN`, and its backslash is escaped once more.
        chunk.valid().as_bytes().iter().map(in_json).sum::<usize>() + chunk.invalid().len() * 5
    };
    part.utf8_chunks().map(chunk).sum()
}
