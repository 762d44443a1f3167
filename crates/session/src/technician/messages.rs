//! What the agent's messages change, and which are refused.

use std::time::Duration;

use wire::{
    ids::{GrantId, InspectionId, RunId},
    path::{CANDIDATES, DirectOffer},
    run::{OutputCount, RunOutcome},
    session::{Ability, DenyReason, EndReason, GrantNotice, Subject, ToTechnician},
    time::Moment,
};

use super::{FINISHED_RUNS, Held, RunState, TechnicianEvent, TechnicianSession};

/// Longest that an agent may take to answer, or to wait for an absent person. No ceiling allows more.
const LONGEST_WAIT_SECS: u32 = 3600;

/// How much longer than its run a grant for it may last: the time to begin and the margin to end.
const RUN_GRANT_MARGIN_SECS: u32 = 60;

/// Longest that a grant for one inspection may last: the time to begin, to read and to send.
const INSPECTION_GRANT_SECS: u32 = 120;

/// What an agent did that no honest one does. The session is over on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TechnicianProtocolError {
    /// It answered a question that is not open.
    #[error("the agent answered a question that is not open: {subject:?}")]
    NotAsked {
        /// What it answered.
        subject: Subject,
    },
    /// It granted something else or longer than was asked, or nothing.
    #[error("the agent granted {grant} beyond what was asked")]
    BeyondRequest {
        /// The grant.
        grant: GrantId,
    },
    /// It used the number of a grant again.
    #[error("the agent used {grant} twice")]
    GrantTwice {
        /// The grant.
        grant: GrantId,
    },
    /// It named a grant that it never gave or that is over.
    #[error("the agent named {grant}, which is not live")]
    UnknownGrant {
        /// The grant.
        grant: GrantId,
    },
    /// It narrowed a grant to something that is no part of it.
    #[error("the agent narrowed {grant} to something else")]
    NotNarrower {
        /// The grant.
        grant: GrantId,
    },
    /// It named a run that was never proposed or is over.
    #[error("the agent named {run}, which is not open")]
    UnknownRun {
        /// The run.
        run: RunId,
    },
    /// It named an inspection that was never asked for.
    #[error("the agent named {inspection}, which was never asked for")]
    UnknownInspection {
        /// The inspection.
        inspection: InspectionId,
    },
    /// It sent load for an inspection that asked for none, or for more than was asked for.
    #[error("the agent sent load for {inspection}, which asked for none")]
    UnknownLoad {
        /// The inspection.
        inspection: InspectionId,
    },
    /// It answered an inspection twice.
    #[error("the agent answered {inspection} twice")]
    InspectionTwice {
        /// The inspection.
        inspection: InspectionId,
    },
    /// It started, finished or sent output of a run that was not approved.
    #[error("the agent went on with {run}, which was not approved")]
    NotApproved {
        /// The run.
        run: RunId,
    },
    /// It opened the same output twice.
    #[error("the agent opened an output of {run} twice")]
    OutputTwice {
        /// The run.
        run: RunId,
    },
    /// It counted more output as sent than was written or allowed.
    #[error("the agent miscounted the output of {run}")]
    Miscounted {
        /// The run.
        run: RunId,
    },
    /// It named a time that no agent may take.
    #[error("the agent named an impossible time of {secs} s")]
    ImpossibleTime {
        /// Seconds.
        secs: u32,
    },
    /// It resumed a session that was not paused.
    #[error("the agent resumed a session that was not paused")]
    NotPaused,
    /// It named addresses, of which nobody had asked it. Nobody does before something was granted.
    #[error("the agent named network addresses without being asked")]
    AddressesNotAsked,
    /// It named more addresses than a machine is reached by.
    #[error("the agent named {count} network addresses")]
    TooManyAddresses {
        /// How many.
        count: usize,
    },
    /// It went on after the end.
    #[error("the agent went on after the end of the session")]
    AfterEnd,
    /// This version does not know the message.
    #[error("the agent sent a message that this version does not know")]
    UnknownMessage,
}

impl TechnicianSession {
    /// Takes a message of the agent.
    ///
    /// # Errors
    ///
    /// The agent broke the protocol. The session is over on this side ([`EndReason::Protocol`]) and nothing of the message counts.
    pub fn handle_message(&mut self, message: ToTechnician, now: Moment) -> Result<(), TechnicianProtocolError> {
        if self.end.is_some() {
            return Err(TechnicianProtocolError::AfterEnd);
        }
        self.take(message, now).inspect_err(|_| self.close(EndReason::Protocol))
    }

    fn take(&mut self, message: ToTechnician, now: Moment) -> Result<(), TechnicianProtocolError> {
        match message {
            ToTechnician::Asking { subject, answer_within_secs } => self.asking(subject, answer_within_secs, now),
            ToTechnician::Granted(notice) => self.granted(notice, now),
            ToTechnician::Denied { subject, reason } => self.denied(subject, reason),
            ToTechnician::Narrowed { grant, abilities } => self.narrowed(grant, abilities),
            ToTechnician::GrantEnded { grant, reason } => {
                self.grants.remove(&grant).ok_or(TechnicianProtocolError::UnknownGrant { grant })?;
                self.events.push_back(TechnicianEvent::GrantEnded { grant, reason });
                Ok(())
            }
            ToTechnician::Paused { reason, ends_in_secs } => {
                let ends_at = now + wait(ends_in_secs)?;
                self.paused_until = Some(ends_at);
                self.events.push_back(TechnicianEvent::Paused { reason, ends_at });
                Ok(())
            }
            ToTechnician::Resumed => {
                self.paused_until.take().ok_or(TechnicianProtocolError::NotPaused)?;
                self.events.push_back(TechnicianEvent::Resumed);
                Ok(())
            }
            ToTechnician::RunStarted { run, digest } => {
                let open = self.runs.get_mut(&run).ok_or(TechnicianProtocolError::UnknownRun { run })?;
                if *open.state() != RunState::Approved {
                    return Err(TechnicianProtocolError::NotApproved { run });
                }
                open.set(RunState::Running { digest, since: now });
                self.events.push_back(TechnicianEvent::RunStarted { run, digest });
                Ok(())
            }
            ToTechnician::RunFinished { run, outcome, stdout, stderr } => self.finished(run, outcome, stdout, stderr),
            ToTechnician::Direct(offer) => self.direct(offer),
            ToTechnician::NotInspected { inspection, reason } => self.not_inspected(inspection, reason),
            ToTechnician::Audit { line } => {
                self.events.push_back(TechnicianEvent::AuditLine(line));
                Ok(())
            }
            ToTechnician::Ended { reason } => {
                self.finish(reason);
                Ok(())
            }
            _ => Err(TechnicianProtocolError::UnknownMessage),
        }
    }

    fn direct(&mut self, offer: DirectOffer) -> Result<(), TechnicianProtocolError> {
        if !self.told_addresses {
            return Err(TechnicianProtocolError::AddressesNotAsked);
        }
        match &offer {
            DirectOffer::Candidates(addresses) if addresses.len() > CANDIDATES => {
                return Err(TechnicianProtocolError::TooManyAddresses { count: addresses.len() });
            }
            DirectOffer::Candidates(_) | DirectOffer::NotWanted => {}
            _ => return Err(TechnicianProtocolError::UnknownMessage),
        }
        self.events.push_back(TechnicianEvent::Direct(offer));
        Ok(())
    }

    fn asking(&mut self, subject: Subject, secs: u32, now: Moment) -> Result<(), TechnicianProtocolError> {
        let answer_by = now + wait(secs)?;
        let not_asked = TechnicianProtocolError::NotAsked { subject };
        match subject {
            Subject::Request(request) => {
                let asked = self.requests.get_mut(&request).filter(|asked| asked.answer_by.is_none());
                asked.ok_or(not_asked)?.answer_by = Some(answer_by);
            }
            Subject::Run(run) => {
                let open = self.runs.get_mut(&run).filter(|run| *run.state() == RunState::Proposed);
                open.ok_or(not_asked)?.set(RunState::Asking { answer_by });
            }
            Subject::Inspection(inspection) => {
                if !self.inspections.asking(inspection, answer_by) {
                    return Err(not_asked);
                }
            }
        }
        self.events.push_back(TechnicianEvent::Asking { subject, answer_by });
        Ok(())
    }

    fn granted(&mut self, notice: GrantNotice, now: Moment) -> Result<(), TechnicianProtocolError> {
        let GrantNotice { grant, subject, ref abilities, stay_secs } = notice;
        if grant <= self.last_grant {
            return Err(TechnicianProtocolError::GrantTwice { grant });
        }
        let not_asked = TechnicianProtocolError::NotAsked { subject };
        let fits = match subject {
            Subject::Request(request) => {
                let asked = self.requests.get(&request).ok_or(not_asked)?;
                stay_secs <= asked.stay_secs && is_part(abilities, &asked.abilities)
            }
            Subject::Run(run) => {
                let open = self.runs.get(&run).filter(|run| run.pending().is_some()).ok_or(not_asked)?;
                stay_secs <= open.limits().time_secs + RUN_GRANT_MARGIN_SECS && *abilities == [Ability::AdhocArgv]
            }
            Subject::Inspection(inspection) => {
                let asks_for = self.inspections.asks_for(inspection).ok_or(not_asked)?;
                stay_secs <= INSPECTION_GRANT_SECS && *abilities == [asks_for]
            }
        };
        if !fits {
            return Err(TechnicianProtocolError::BeyondRequest { grant });
        }
        match subject {
            Subject::Request(request) => {
                self.requests.remove(&request);
            }
            Subject::Run(run) => {
                if let Some(open) = self.runs.get_mut(&run) {
                    open.set(RunState::Approved);
                }
            }
            Subject::Inspection(inspection) => self.inspections.allowed(inspection),
        }
        self.last_grant = grant;
        let stay_until = now + Duration::from_secs(stay_secs.into());
        self.grants.insert(grant, Held { subject, abilities: abilities.clone(), stay_until });
        self.events.push_back(TechnicianEvent::Granted(notice));
        Ok(())
    }

    fn denied(&mut self, subject: Subject, reason: DenyReason) -> Result<(), TechnicianProtocolError> {
        let not_asked = TechnicianProtocolError::NotAsked { subject };
        match subject {
            Subject::Request(request) => {
                self.requests.remove(&request).ok_or(not_asked)?;
            }
            Subject::Run(run) => {
                let open = self.runs.get_mut(&run).filter(|run| run.pending().is_some());
                open.ok_or(not_asked)?.set(RunState::Denied(reason));
                self.forget_old_runs();
            }
            // A no to an inspection is that it is not inspected.
            Subject::Inspection(_) => return Err(not_asked),
        }
        self.events.push_back(TechnicianEvent::Denied { subject, reason });
        Ok(())
    }

    fn narrowed(&mut self, grant: GrantId, abilities: Vec<Ability>) -> Result<(), TechnicianProtocolError> {
        let held = self.grants.get_mut(&grant).ok_or(TechnicianProtocolError::UnknownGrant { grant })?;
        if !is_part(&abilities, &held.abilities) || abilities.len() == held.abilities.len() {
            return Err(TechnicianProtocolError::NotNarrower { grant });
        }
        held.abilities.clone_from(&abilities);
        self.events.push_back(TechnicianEvent::Narrowed { grant, abilities });
        Ok(())
    }

    fn finished(
        &mut self,
        run: RunId,
        outcome: RunOutcome,
        stdout: OutputCount,
        stderr: OutputCount,
    ) -> Result<(), TechnicianProtocolError> {
        let open = self.runs.get_mut(&run).ok_or(TechnicianProtocolError::UnknownRun { run })?;
        match open.state() {
            RunState::Approved | RunState::Running { .. } => {}
            RunState::Proposed
            | RunState::Asking { .. }
            | RunState::Denied(_)
            | RunState::Finished { .. }
            | RunState::SessionOver => return Err(TechnicianProtocolError::NotApproved { run }),
        }
        let most = open.limits().output_bytes;
        if [stdout, stderr].iter().any(|count| count.sent_bytes > count.written_bytes.min(most)) {
            return Err(TechnicianProtocolError::Miscounted { run });
        }
        open.set(RunState::Finished { outcome: outcome.clone(), stdout, stderr });
        self.events.push_back(TechnicianEvent::RunFinished { run, outcome, stdout, stderr });
        self.forget_old_runs();
        Ok(())
    }

    /// Keeps the newest [`FINISHED_RUNS`] runs that are over.
    fn forget_old_runs(&mut self) {
        let over = self.runs.iter().filter(|(_, run)| run.is_over()).map(|(id, _)| *id).collect::<Vec<_>>();
        for run in over.iter().take(over.len().saturating_sub(FINISHED_RUNS)) {
            self.runs.remove(run);
        }
    }
}

fn wait(secs: u32) -> Result<Duration, TechnicianProtocolError> {
    if secs > LONGEST_WAIT_SECS {
        return Err(TechnicianProtocolError::ImpossibleTime { secs });
    }
    Ok(Duration::from_secs(secs.into()))
}

/// Whether `part` is some of `whole`, each once.
fn is_part(part: &[Ability], whole: &[Ability]) -> bool {
    let mut once = part.to_vec();
    once.sort_unstable();
    once.dedup();
    !part.is_empty() && once.len() == part.len() && part.iter().all(|ability| whole.contains(ability))
}
