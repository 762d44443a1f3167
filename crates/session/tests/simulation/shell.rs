//! The agent's shell: carries out effects in order, over a disk that can be slow or broken.

use std::collections::{BTreeMap, BTreeSet};

use session::agent::{AgentSession, Effect};
use wire::{
    diagnostics::inspect::{ExactInspection, Inspect},
    evidence::Event,
    ids::{Digest, GrantId, InspectionId, RunId},
    path::{CANDIDATES, DirectOffer},
    run::{ApprovedRun, RunProposal},
    session::{EndReason, ToTechnician},
    time::Moment,
};

/// A run that was handed to the shell.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) approved: ApprovedRun,
    pub(crate) grant: GrantId,
    pub(crate) started: bool,
    pub(crate) killed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    Good,
    /// The next record is not durable until somebody says so.
    Slow,
    Broken,
}

/// What the shell holds, and what became durable.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) log: Vec<Event>,
    pub(crate) disk: Disk,
    in_flight: Option<Event>,
    pub(crate) lookups: BTreeMap<RunId, RunProposal>,
    pub(crate) programs: BTreeMap<RunId, Program>,
    handed_out: BTreeSet<RunId>,
    pub(crate) streaming: bool,
    /// Inspections that wait to be described.
    pub(crate) descriptions: BTreeMap<InspectionId, Inspect>,
    /// Those that were handed out, with what the person has to have said yes to, if they were asked.
    pub(crate) inspections: BTreeMap<InspectionId, Option<Digest>>,
    pub(crate) direct: bool,
    pub(crate) ended: Option<EndReason>,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self {
            log: Vec::new(),
            disk: Disk::Good,
            in_flight: None,
            lookups: BTreeMap::new(),
            programs: BTreeMap::new(),
            handed_out: BTreeSet::new(),
            streaming: false,
            descriptions: BTreeMap::new(),
            inspections: BTreeMap::new(),
            direct: false,
            ended: None,
        }
    }

    pub(crate) fn disk_done(&mut self) {
        if self.disk == Disk::Slow {
            self.disk = Disk::Good;
        }
        self.log.extend(self.in_flight.take());
    }

    /// Whether everything that the agent wants done is done.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// Carries out what it can. Returns what to send.
    pub(crate) fn drain(&mut self, agent: &mut AgentSession, now: Moment) -> Vec<ToTechnician> {
        let mut messages = Vec::new();
        if self.disk == Disk::Broken && self.in_flight.take().is_some() {
            agent.end(EndReason::AuditFailed, now);
        }
        loop {
            let effect = if self.in_flight.is_some() { agent.poll_stop() } else { agent.poll_effect() };
            let Some(effect) = effect else { return messages };
            assert_eq!(self.ended, None, "{effect:?} after the end");
            match effect {
                Effect::Record(_) if self.disk == Disk::Broken => agent.end(EndReason::AuditFailed, now),
                Effect::Record(event) if self.disk == Disk::Slow => self.in_flight = Some(event),
                Effect::Record(event) => self.log.push(event),
                Effect::Send(message) => {
                    self.assert_recorded(&message);
                    messages.push(message);
                }
                Effect::Resolve(proposal) => {
                    self.lookups.insert(proposal.run, proposal);
                }
                Effect::StartRun { approved, grant } => self.take_over(approved, grant),
                Effect::KillRun { run, .. } => {
                    let program = self.programs.get_mut(&run).expect("only what was handed out is killed");
                    assert!(!program.killed, "{run} is killed twice");
                    program.killed = true;
                }
                Effect::StartDiagnostics { .. } => {
                    assert!(!self.streaming, "the stream is started twice");
                    let last =
                        self.log.iter().rev().find(|event| {
                            matches!(event, Event::DiagnosticsStarted { .. } | Event::DiagnosticsStopped)
                        });
                    assert!(matches!(last, Some(Event::DiagnosticsStarted { .. })), "the stream has no record");
                    self.streaming = true;
                }
                Effect::StopDiagnostics => {
                    assert!(self.streaming, "a stream is stopped that was never started");
                    self.streaming = false;
                }
                Effect::Look { .. } => assert!(self.streaming, "a look at what is not streamed"),
                Effect::Describe { inspection, what } => drop(self.descriptions.insert(inspection, what)),
                Effect::Inspect { inspection, what, about } => {
                    let recorded = |event: &Event| matches!(event, Event::Inspecting { inspection: recorded, .. } if *recorded == inspection);
                    assert!(self.log.iter().any(recorded), "{inspection} has no record");
                    assert_eq!(about.is_some(), what.asks_for().is_some(), "asked and not asked");
                    let exact = about.map(|about| ExactInspection { inspection, what, about });
                    let digest = exact.map(|exact| trust::inspection_digest(&exact).expect("a short one"));
                    assert_eq!(self.inspections.insert(inspection, digest), None, "{inspection} is handed out twice");
                }
                Effect::StopInspection { inspection } => {
                    assert!(
                        self.inspections.remove(&inspection).is_some(),
                        "{inspection} is stopped that is not under way"
                    );
                }
                Effect::OpenDirect { addresses } => {
                    assert!(addresses.len() <= CANDIDATES);
                    self.direct = true;
                    agent.offer_direct(vec![([192, 0, 2, 1], 1).into(); 3], now);
                }
                Effect::CloseDirect => assert!(std::mem::replace(&mut self.direct, false), "closed twice"),
                Effect::PromptsChanged => {}
                Effect::Ended(reason) => {
                    assert!(self.programs.values().all(|program| program.killed), "a program outlives the session");
                    assert!(!self.streaming, "the stream outlives the session");
                    assert!(self.inspections.is_empty(), "an inspection outlives the session");
                    self.ended = Some(reason);
                }
                _ => panic!("an effect that the shell does not know"),
            }
        }
    }

    fn take_over(&mut self, approved: ApprovedRun, grant: GrantId) {
        let (run, digest) = (approved.exact.run, approved.digest);
        let starting = Event::RunStarting { run, grant, digest };
        assert!(self.log.contains(&starting), "{run} has no record");
        assert_eq!(trust::run_digest(&approved.exact), Ok(digest), "what starts is not what the digest says");
        assert!(self.handed_out.insert(run), "{run} is handed out twice");
        self.programs.insert(run, Program { approved, grant, started: false, killed: false });
    }

    /// What the technician learns was recorded before.
    fn assert_recorded(&self, message: &ToTechnician) {
        let recorded = self.log.iter().any(|event| match (message, event) {
            (ToTechnician::Asking { subject, .. }, Event::AskedForAbilities { subject: asked, .. }) => subject == asked,
            (ToTechnician::Asking { subject, .. }, Event::AskedForRun { run, .. }) => {
                *subject == wire::session::Subject::Run(*run)
            }
            (ToTechnician::Asking { subject, .. }, Event::AskedForInspection { inspection, .. }) => {
                *subject == wire::session::Subject::Inspection(*inspection)
            }
            (ToTechnician::Granted(notice), Event::Granted { grant, abilities, stay_secs, .. }) => {
                notice.grant == *grant && notice.abilities == *abilities && notice.stay_secs == *stay_secs
            }
            (ToTechnician::Denied { subject, reason }, Event::Denied { subject: denied, reason: why }) => {
                subject == denied && reason == why
            }
            (ToTechnician::Narrowed { grant, abilities }, Event::Narrowed { grant: narrowed, abilities: left }) => {
                grant == narrowed && abilities == left
            }
            (ToTechnician::GrantEnded { grant, reason }, Event::GrantEnded { grant: ended, reason: why }) => {
                grant == ended && reason == why
            }
            (ToTechnician::Paused { .. }, Event::Paused { .. }) | (ToTechnician::Resumed, Event::Resumed) => true,
            (ToTechnician::RunStarted { run, digest }, Event::RunStarting { run: starting, digest: what, .. }) => {
                run == starting && digest == what
            }
            (ToTechnician::RunFinished { run, .. }, Event::RunFinished { run: finished, .. }) => run == finished,
            (ToTechnician::Direct(DirectOffer::Candidates(_)), Event::DirectAllowed) => true,
            (ToTechnician::Ended { reason }, Event::Ended { reason: why }) => reason == why,
            _ => false,
        });
        let without_log = [
            ToTechnician::Ended { reason: EndReason::AuditFailed },
            // It says what does not happen.
            ToTechnician::Direct(DirectOffer::NotWanted),
        ];
        // It says what does not happen, too.
        let nothing_read = matches!(message, ToTechnician::NotInspected { .. });
        assert!(recorded || nothing_read || without_log.contains(message), "{message:?} was not recorded");
    }
}
