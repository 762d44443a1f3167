//! What a technician's messages lead to.

use rand_core::CryptoRngCore;
use wire::{
    ids::RunId,
    limits,
    run::{ProposalError, RunOutcome, RunProposal},
    session::{AccessRequest, DenyReason, EndReason, Subject, ToAgent},
    time::Moment,
};

use crate::budget::cost;

use super::{
    AgentSession, Effect,
    runs::{Run, is_recordable, recorded_size},
};

impl AgentSession {
    /// Takes a message of the technician.
    ///
    /// What can be innocent is denied; what cannot be is recorded as a violation and ends the session. Nothing is done any more once the
    /// session is ending.
    pub fn handle_message(&mut self, message: ToAgent, now: Moment, rng: &mut dyn CryptoRngCore) {
        if self.end.is_some() {
            return;
        }
        self.consent.handle_timeout(now);
        self.settle(now);
        if self.end.is_some() {
            return;
        }
        let recorded = if let ToAgent::ProposeRun(proposal) = &message { recorded_size(proposal) } else { 0 };
        if !self.budget.spend(cost(recorded), now) {
            return self.violation("sent messages faster than any person could cause them", now);
        }
        match message {
            ToAgent::Request(request) => self.handle_request(&request, now, rng),
            ToAgent::ProposeRun(proposal) => self.handle_proposal(proposal, now),
            ToAgent::CancelRun { run } => self.handle_cancel(run, now),
            ToAgent::Subscribe { period_ms } => self.stream.want(Some(period_ms)),
            ToAgent::Unsubscribe => self.stream.want(None),
            ToAgent::Look { view } => self.handle_look(view),
            ToAgent::Inspect { inspection, what } => self.handle_inspect(inspection, what, now),
            ToAgent::CancelInspection { inspection } => self.handle_cancel_inspection(inspection, now),
            ToAgent::Direct(offer) => self.handle_direct(offer, now),
            ToAgent::End => return self.end(EndReason::ByTechnician, now),
            _ => return self.violation("sent a message that this version does not know", now),
        }
        self.settle(now);
    }

    /// Puts a request before the person, or says why not.
    pub(super) fn ask(&mut self, request: &AccessRequest, now: Moment, rng: &mut dyn CryptoRngCore) {
        if let Err(reason) = self.consent.request(request, now, rng) {
            self.denied(Subject::Request(request.request), reason, now);
        }
    }

    fn handle_request(&mut self, request: &AccessRequest, now: Moment, rng: &mut dyn CryptoRngCore) {
        if self.consent.knows(Subject::Request(request.request)) {
            return self.violation("used the number of a request again", now);
        }
        self.ask(request, now, rng);
    }

    fn handle_proposal(&mut self, proposal: RunProposal, now: Moment) {
        let (run, subject) = (proposal.run, Subject::Run(proposal.run));
        if self.consent.knows(subject) {
            return self.violation("used the number of a run again", now);
        }
        if let Err(reason) = self.consent.announce_run(run, now) {
            return self.denied(subject, reason, now);
        }
        let refusal = if let Err(error) = proposal.check() {
            Some(DenyReason::Proposal(error))
        } else if !is_recordable(&proposal) {
            Some(DenyReason::Proposal(ProposalError::TooLong))
        } else if self.runs.len() >= limits::RUNS_AT_ONCE {
            Some(DenyReason::TooMany)
        } else {
            None
        };
        if let Some(reason) = refusal {
            return self.consent.refuse(subject, reason, now);
        }
        self.runs.insert(run, Run::LookedUp(proposal.clone()));
        self.effects.push(Effect::Resolve(proposal));
    }

    fn handle_cancel(&mut self, run: RunId, now: Moment) {
        match self.runs.get(&run) {
            Some(Run::LookedUp(_) | Run::Asked) => {
                self.consent.withdraw(Subject::Run(run), now);
            }
            Some(Run::Going(_)) => self.kill(run, RunOutcome::Cancelled, now),
            // Over already: the messages crossed.
            None if self.consent.knows(Subject::Run(run)) => {}
            None => self.violation("cancelled a run that it never proposed", now),
        }
    }
}
