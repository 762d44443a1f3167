//! The agent's end of a session: what a technician's messages and a person's answers lead to.
//!
//! # Order of effects
//!
//! [`AgentSession::poll_effect`] hands out effects in the order in which the shell has to carry them out. **Nothing starts without its
//! record**: an [`Effect::Record`] is durable before the shell takes the next effect, so a run, a stream or a message that follows from
//! something was recorded first. **Stopping never waits for a record**: [`Effect::KillRun`], [`Effect::StopDiagnostics`], [`Effect::StopInspection`] and [`Effect::CloseDirect`] come out before
//! everything else that is queued, and what was queued to start and is now forbidden never comes out. Their records follow. While a record is
//! being written the shell goes on taking inputs, and takes stops with [`AgentSession::poll_stop`].
//!
//! When a record cannot be written the shell calls [`AgentSession::end`] with [`EndReason::AuditFailed`]; then only kills, the last message
//! and [`Effect::Ended`] come out.
//!
//! # End
//!
//! [`AgentSession::end`] and its like stop everything at once. Running programs take a moment to die: the session stays in [`Phase::Ending`]
//! until each was reported with [`AgentSession::handle_run_finished`], at most [`END_GRACE`], so that the log says how they ended. Then come
//! the records and messages of the end and, as the very last effect, [`Effect::Ended`].

mod direct;
mod effects;
mod inspections;
mod messages;
mod runs;
mod settle;
mod stream;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use consent::{Act, Answer, AnswerRefused, Ceiling, Consent, ConsentSetup, Grant, Policy, Prompt};
use rand_core::CryptoRngCore;
use trust::words::Words;
use wire::{
    diagnostics::{
        View,
        inspect::{About, Inspect},
    },
    evidence::Event,
    ids::{Digest, GrantId, InspectionId, RunId, SessionId},
    run::{ApprovedRun, RunOutcome, RunProposal},
    session::{Ability, Absence, AccessRequest, EndReason, GrantEnd, Subject, TechnicianIdentity, ToTechnician},
    time::Moment,
};

use crate::budget::Budget;

use self::{direct::Direct, effects::Effects, inspections::Inspections, runs::Run, stream::Stream};

pub use self::{
    direct::DirectWish,
    stream::{LONGEST_PERIOD_MS, SHORTEST_PERIOD_MS},
};

/// How long an end waits for killed programs to be reported. Then they are recorded as lost.
pub const END_GRACE: Duration = Duration::from_secs(2);

/// What a session starts with: what pairing proved, and what the device allows.
#[derive(Debug, Clone)]
pub struct AgentSetup {
    /// Drawn when the technician attached.
    pub session: SessionId,
    /// Who the technician is, as far as it could be proved.
    pub identity: TechnicianIdentity,
    /// The two words that both people compare.
    pub words: Words,
    /// SHA-256 of the agent's public key.
    pub agent_key: Digest,
    /// SHA-256 of the technician's public key.
    pub technician_key: Digest,
    /// Version of the agent's program.
    pub agent_version: String,
    /// What this device ever allows.
    pub ceiling: Ceiling,
    /// What the organisation says.
    pub policy: Policy,
    /// What the technician asked for while pairing.
    pub first: AccessRequest,
    /// Whether the person wants direct paths.
    pub direct: DirectWish,
}

/// What the shell has to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Write this to the audit log, durably, before taking the next effect. The first effect of all is the record of
    /// [`Event::Paired`].
    Record(Event),
    /// Send this to the technician.
    Send(ToTechnician),
    /// Find out what exactly would be run, and come back with [`AgentSession::handle_resolved`].
    Resolve(RunProposal),
    /// Start exactly this, if [`AgentSession::may_start_run`] still says so.
    StartRun {
        /// What the person approved.
        approved: ApprovedRun,
        /// The grant that covers it.
        grant: GrantId,
    },
    /// Kill the whole process tree of a run that was handed out with [`Effect::StartRun`], whether or not it started yet, and come back with
    /// [`AgentSession::handle_run_finished`]. One that was reported as finished just before needs nothing more.
    KillRun {
        /// Which.
        run: RunId,
        /// What to report unless it ended by itself just before.
        why: RunOutcome,
    },
    /// Start the diagnostics stream. Each sample needs [`AgentSession::may_send_sample`].
    StartDiagnostics {
        /// Time between samples.
        period: Duration,
        /// What is looked at.
        view: View,
    },
    /// Something else of the stream is looked at.
    Look {
        /// What.
        view: View,
    },
    /// Stop the diagnostics stream and throw away what was not sent.
    StopDiagnostics,
    /// Find out what the person would be asked about, without reading any of it, and come back with
    /// [`AgentSession::handle_described`].
    Describe {
        /// Which inspection.
        inspection: InspectionId,
        /// What would be read.
        what: Inspect,
    },
    /// Read this once, and come back with [`AgentSession::handle_inspected`] when the answer was sent or with
    /// [`AgentSession::handle_not_inspected`]. Reading needs [`AgentSession::begin_inspection`], and sending
    /// [`AgentSession::may_inspect`].
    Inspect {
        /// Which.
        inspection: InspectionId,
        /// What.
        what: Inspect,
        /// What the person was asked about, if they were: nothing else may be read.
        about: Option<About>,
    },
    /// Throw the answer of an inspection away, or break off sending it.
    StopInspection {
        /// Which.
        inspection: InspectionId,
    },
    /// Allow direct paths, try these addresses of the technician's, and come back with [`AgentSession::offer_direct`]. Comes again
    /// whenever the technician has new addresses.
    OpenDirect {
        /// At most [`wire::path::CANDIDATES`].
        addresses: Vec<SocketAddr>,
    },
    /// Forget the technician's addresses, answer none of them, and go by the relay.
    CloseDirect,
    /// Something that a person sees changed.
    PromptsChanged,
    /// The session is over. No effect follows.
    Ended(EndReason),
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first question is open.
    Asking,
    /// The person allowed the session.
    Live,
    /// The person is away.
    Paused {
        /// When the session ends if nobody comes back.
        until: Moment,
    },
    /// Everything was stopped; killed programs are being waited for.
    Ending(EndReason),
    /// The session is over.
    Ended(EndReason),
}

/// One run as a person sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunStatus<'a> {
    /// What was approved.
    pub approved: &'a ApprovedRun,
    /// The grant that covers it.
    pub grant: GrantId,
    /// When the program started; `None` until then.
    pub started_at: Option<Moment>,
    /// Whether it is being killed.
    pub stopping: bool,
}

/// One session, from the proof of the code to its end.
#[derive(Debug)]
pub struct AgentSession {
    consent: Consent,
    first: Subject,
    allowed: bool,
    runs: BTreeMap<RunId, Run>,
    stream: Stream,
    inspections: Inspections,
    direct: Direct,
    budget: Budget,
    probes: Budget,
    effects: Effects,
    end: Option<End>,
    /// Whether [`Effect::Ended`] was handed out.
    told_end: bool,
}

#[derive(Debug, Clone, Copy)]
struct End {
    reason: EndReason,
    /// Killed programs are waited for until then; `None` once [`Effect::Ended`] is queued.
    waits_until: Option<Moment>,
}

impl AgentSession {
    /// Starts with the record of the pairing and with the technician's first request put before the person.
    ///
    /// If that request cannot be put before anybody the session ends at once.
    pub fn new(setup: AgentSetup, now: Moment, rng: &mut dyn CryptoRngCore) -> Self {
        let AgentSetup {
            session,
            identity,
            words,
            agent_key,
            technician_key,
            agent_version,
            ceiling,
            policy,
            first,
            direct,
        } = setup;
        let (technician, organisation) = match &identity {
            TechnicianIdentity::Verified { name, organisation } => (name, Some(organisation.raw().to_owned())),
            TechnicianIdentity::Unverified { claimed_name } => (claimed_name, None),
        };
        let technician = technician.raw().to_owned();
        let mut effects = Effects::default();
        effects.record(Event::Paired { session, agent_version, agent_key, technician_key, technician, organisation });
        let mut agent = Self {
            consent: Consent::new(ConsentSetup { session, identity, words, ceiling, policy }, now),
            first: Subject::Request(first.request),
            allowed: false,
            runs: BTreeMap::new(),
            stream: Stream::default(),
            inspections: Inspections::default(),
            direct: Direct::new(direct),
            budget: Budget::new(now),
            probes: Budget::of_probes(now),
            effects,
            end: None,
            told_end: false,
        };
        agent.ask(&first, now, rng);
        agent.settle(now);
        agent
    }

    /// Takes a person's answer.
    ///
    /// # Errors
    ///
    /// Why a yes was not taken; nothing was allowed. See [`Consent::answer`].
    pub fn handle_answer(&mut self, answer: &Answer, now: Moment) -> Result<(), AnswerRefused> {
        if self.end.is_some() {
            return Err(AnswerRefused::NotOpen);
        }
        let taken = self.consent.answer(answer, now);
        self.settle(now);
        taken
    }

    /// The person pressed Stop: every grant is revoked, everything is stopped, and the session ends.
    pub fn stop_by_user(&mut self, now: Moment) {
        self.end(EndReason::ByUser, now);
    }

    /// The person takes a grant back.
    pub fn revoke(&mut self, grant: GrantId, now: Moment) {
        self.consent.revoke(grant, now);
        self.settle(now);
    }

    /// The person takes part of a grant back: only `keep` stays of it.
    pub fn narrow(&mut self, grant: GrantId, keep: &[Ability], now: Moment) {
        self.consent.narrow(grant, keep, now);
        self.settle(now);
    }

    /// The person's front end is no longer there, or sees nobody: everything stops, and the session ends after the grace.
    pub fn absent(&mut self, reason: Absence, now: Moment) {
        self.consent.absent(reason, now);
        self.settle(now);
    }

    /// The person is back.
    pub fn present(&mut self, now: Moment) {
        self.consent.present(now);
        self.settle(now);
    }

    /// The technician broke the protocol in a way that cannot be innocent, such as a frame that is no message. Ends the session; `what` goes
    /// into the log and carries none of the peer's bytes.
    pub fn violation(&mut self, what: &str, now: Moment) {
        if self.end.is_none() {
            self.effects.record(Event::Violation { what: what.to_owned() });
            self.end(EndReason::Protocol, now);
        }
    }

    /// Stops everything and ends the session. The first reason counts, but [`EndReason::AuditFailed`] overtakes every other until
    /// [`Effect::Ended`] was handed out: nothing more is recorded, and no message whose record may be missing is sent.
    pub fn end(&mut self, reason: EndReason, now: Moment) {
        if reason == EndReason::AuditFailed {
            self.end_without_records(now);
        } else {
            self.begin_end(reason, now);
            self.settle(now);
        }
    }

    /// When [`AgentSession::handle_timeout`] has something to do; `None` once the session is over.
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.end {
            None => self.consent.poll_timeout(),
            Some(end) => end.waits_until,
        }
    }

    /// Stops and tells what is over at `now`.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.consent.handle_timeout(now);
        self.settle(now);
    }

    /// Returns whether a diagnostic sample may be taken and sent at `now`. The shell asks before each.
    pub fn may_send_sample(&self, now: Moment) -> bool {
        self.end.is_none()
            && self.stream.started_under().is_some_and(|grant| self.consent.covers(grant, &Act::Diagnostics, now))
    }

    /// Everything that is granted at `now`, whether or not the person is away.
    pub fn grants(&self, now: Moment) -> impl Iterator<Item = &Grant> {
        self.consent.grants(now)
    }

    /// The question that is before the person.
    pub fn prompt(&self) -> Option<&Prompt> {
        self.consent.prompt()
    }

    /// How many questions wait behind it.
    pub fn prompts_waiting(&self) -> usize {
        self.consent.prompts_waiting()
    }

    /// Runs that were approved and are not over.
    pub fn runs(&self) -> impl Iterator<Item = RunStatus<'_>> {
        self.runs.values().filter_map(Run::status)
    }

    /// Whether the diagnostics stream was started and not stopped.
    pub fn is_streaming(&self) -> bool {
        self.stream.started_under().is_some()
    }

    /// Who the technician is.
    pub fn identity(&self) -> &TechnicianIdentity {
        self.consent.identity()
    }

    /// Whether the person confirmed the two words of an unverified technician.
    pub fn words_confirmed(&self) -> bool {
        self.consent.words_confirmed()
    }

    /// When the session's longest time is over.
    pub fn session_ends_at(&self) -> Moment {
        self.consent.session_ends_at()
    }

    /// When the session ends if nobody comes back; `None` while the person is there.
    pub fn paused_until(&self) -> Option<Moment> {
        self.consent.paused_until()
    }

    /// Where the session stands.
    pub fn phase(&self) -> Phase {
        match (self.end, self.consent.paused_until()) {
            (Some(End { reason, waits_until: Some(_) }), _) => Phase::Ending(reason),
            (Some(End { reason, waits_until: None }), _) => Phase::Ended(reason),
            (None, Some(until)) => Phase::Paused { until },
            (None, None) if self.allowed => Phase::Live,
            (None, None) => Phase::Asking,
        }
    }

    /// Why the session is over. `None` also while killed programs are being waited for ([`Phase::Ending`]); once it is `Some`,
    /// [`Effect::Ended`] is queued or was handed out.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end.filter(|end| end.waits_until.is_none()).map(|end| end.reason)
    }

    /// What to do next. See the module's text for the order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        let effect = self.effects.pop()?;
        match &effect {
            Effect::StartRun { approved, .. } => self.handed_over(approved.exact.run),
            Effect::StartDiagnostics { .. } => self.stream.handed_over(),
            Effect::Inspect { inspection, .. } => self.inspections.handed_over(*inspection),
            Effect::OpenDirect { .. } => self.direct.handed_over(),
            Effect::Ended(_) => self.told_end = true,
            Effect::Record(_)
            | Effect::Send(_)
            | Effect::Resolve(_)
            | Effect::Describe { .. }
            | Effect::KillRun { .. }
            | Effect::StopDiagnostics
            | Effect::StopInspection { .. }
            | Effect::Look { .. }
            | Effect::CloseDirect
            | Effect::PromptsChanged => {}
        }
        Some(effect)
    }

    /// What has to be stopped, ahead of everything else that waits: [`Effect::KillRun`], [`Effect::StopDiagnostics`],
    /// [`Effect::StopInspection`] and [`Effect::CloseDirect`] only.
    ///
    /// For a shell that hears of a person's Stop while it is still waiting for an earlier record.
    pub fn poll_stop(&mut self) -> Option<Effect> {
        self.effects.pop_stop()
    }

    fn grant_end(reason: EndReason) -> GrantEnd {
        if reason == EndReason::ByUser { GrantEnd::Revoked } else { GrantEnd::SessionEnded }
    }
}
