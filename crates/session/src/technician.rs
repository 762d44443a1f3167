//! The technician's end of a session: what was asked, and what the agent said to it.
//!
//! It decides nothing: rights live at the agent. What it keeps is what the agent told, checked against what was asked, so that a technician's
//! screen never shows a right that nobody gave. The agent is not trusted either: a message that answers no question, gives more than was
//! asked, or uses a number twice is refused with a [`TechnicianProtocolError`], and the session is over. Memory is bounded by what this
//! side itself asked, and finished runs are forgotten after [`FINISHED_RUNS`].

mod grants;
mod inspections;
mod messages;
mod runs;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use wire::{
    diagnostics::View,
    ids::{Digest, GrantId, InspectionId, RequestId, RunId},
    limits,
    path::DirectOffer,
    run::{OutputCount, ProposalError, RunLimits, RunOutcome, RunProposal, Variable},
    session::{
        Ability, Absence, AccessRequest, DenyReason, EndReason, GrantEnd, GrantNotice, Output, Subject, ToAgent,
    },
    text::Sentence,
    time::Moment,
};

pub use self::{grants::GrantStatus, messages::TechnicianProtocolError, runs::RunState};
use self::{grants::Held, inspections::Inspections, runs::Run};

/// Finished runs that are remembered, for output that comes late and for showing.
pub const FINISHED_RUNS: usize = 64;

/// Why a command was not carried out. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The session is over or was left.
    #[error("the session is over")]
    Over,
    /// As many questions are open as an agent takes.
    #[error("too many questions are waiting for an answer")]
    TooMany,
    /// Inspections were asked for faster than an agent takes for what a person does.
    #[error("too much was asked for in too short a time")]
    TooFast,
    /// The request names nothing, something twice, no time, or something that is asked for with each use.
    #[error("the request is malformed: runs and transfers are asked for one by one, everything else at most once")]
    Malformed,
    /// The run cannot be put before a person.
    #[error("the command was refused: {0}")]
    Proposal(#[from] ProposalError),
    /// There is no such run, or it is over.
    #[error("there is no such run, or it is over")]
    NoSuchRun,
    /// The end user has not allowed anything yet.
    #[error("the end user has not allowed anything yet")]
    NothingGranted,
}

/// A run as a technician describes it; the session gives it its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDraft {
    /// Why.
    pub reason: Sentence,
    /// A name to be looked up by the agent, or an absolute path.
    pub program: Vec<u8>,
    /// Arguments without the program's own name.
    pub arguments: Vec<Vec<u8>>,
    /// Absolute directory; the user's home if absent.
    pub directory: Option<Vec<u8>>,
    /// Additions to the environment.
    pub environment: Vec<Variable>,
    /// Limits that are asked for.
    pub limits: RunLimits,
}

/// What the agent told, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TechnicianEvent {
    /// The person is being asked.
    Asking {
        /// About what.
        subject: Subject,
        /// When silence counts as a no.
        answer_by: Moment,
    },
    /// The person said yes, perhaps to less.
    Granted(GrantNotice),
    /// No.
    Denied {
        /// To what.
        subject: Subject,
        /// Why.
        reason: DenyReason,
    },
    /// A grant covers less.
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
    /// The person is away.
    Paused {
        /// Why.
        reason: Absence,
        /// When the session ends if nobody comes back.
        ends_at: Moment,
    },
    /// The person is back.
    Resumed,
    /// A program was started.
    RunStarted {
        /// Which run.
        run: RunId,
        /// Digest of what the person approved.
        digest: Digest,
    },
    /// A run is over.
    RunFinished {
        /// Which.
        run: RunId,
        /// How.
        outcome: RunOutcome,
        /// Standard output.
        stdout: OutputCount,
        /// Standard error.
        stderr: OutputCount,
    },
    /// How the agent's end can be reached directly, or that its person does not want that.
    Direct(DirectOffer),
    /// An inspection has no answer, or its answer was broken off.
    NotInspected {
        /// Which.
        inspection: InspectionId,
        /// Why.
        reason: DenyReason,
    },
    /// One line of the agent's audit log. The `audit` crate checks it.
    AuditLine(Vec<u8>),
    /// The session is over; nothing follows.
    Ended(EndReason),
}

/// A question that is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// What was asked.
    pub subject: Subject,
    /// When silence counts as a no; `None` while it is not before the person yet.
    pub answer_by: Option<Moment>,
}

/// One session from the technician's side.
#[derive(Debug)]
pub struct TechnicianSession {
    requests: BTreeMap<RequestId, Asked>,
    runs: BTreeMap<RunId, Run>,
    grants: BTreeMap<GrantId, Held>,
    inspections: Inspections,
    last_request: RequestId,
    last_run: RunId,
    last_grant: GrantId,
    paused_until: Option<Moment>,
    /// The agent was told this end's addresses, so it may tell its own.
    told_addresses: bool,
    left: bool,
    end: Option<EndReason>,
    transmits: VecDeque<ToAgent>,
    events: VecDeque<TechnicianEvent>,
}

#[derive(Debug)]
struct Asked {
    abilities: Vec<Ability>,
    stay_secs: u32,
    answer_by: Option<Moment>,
}

impl TechnicianSession {
    /// Builds the request that goes along with pairing.
    ///
    /// # Errors
    ///
    /// [`CommandError::Malformed`].
    pub fn first_request(
        abilities: &[Ability],
        reason: Sentence,
        stay: Duration,
    ) -> Result<AccessRequest, CommandError> {
        access_request(RequestId(1), abilities, reason, stay)
    }

    /// Starts with `first` asked while pairing.
    pub fn new(first: &AccessRequest) -> Self {
        let asked = Asked { abilities: first.abilities.clone(), stay_secs: first.stay_secs, answer_by: None };
        Self {
            requests: BTreeMap::from([(first.request, asked)]),
            runs: BTreeMap::new(),
            grants: BTreeMap::new(),
            inspections: Inspections::default(),
            last_request: first.request,
            last_run: RunId(0),
            last_grant: GrantId(0),
            paused_until: None,
            told_addresses: false,
            left: false,
            end: None,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Asks for more abilities.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`], [`CommandError::TooMany`] or [`CommandError::Malformed`].
    pub fn request(
        &mut self,
        abilities: &[Ability],
        reason: Sentence,
        stay: Duration,
    ) -> Result<RequestId, CommandError> {
        self.check_open()?;
        if self.requests.len() >= limits::REQUESTS_AT_ONCE {
            return Err(CommandError::TooMany);
        }
        let id = RequestId(self.last_request.0 + 1);
        let request = access_request(id, abilities, reason, stay)?;
        self.last_request = id;
        let asked = Asked { abilities: request.abilities.clone(), stay_secs: request.stay_secs, answer_by: None };
        self.requests.insert(id, asked);
        self.transmits.push_back(ToAgent::Request(request));
        Ok(id)
    }

    /// Proposes a run.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`], [`CommandError::TooMany`] or [`CommandError::Proposal`].
    pub fn propose_run(&mut self, draft: RunDraft) -> Result<RunId, CommandError> {
        self.check_open()?;
        if self.runs.values().filter(|run| !run.is_over()).count() >= limits::RUNS_AT_ONCE {
            return Err(CommandError::TooMany);
        }
        let run = RunId(self.last_run.0 + 1);
        let RunDraft { reason, program, arguments, directory, environment, limits } = draft;
        let proposal = RunProposal { run, reason, program, arguments, directory, environment, limits };
        proposal.check()?;
        self.last_run = run;
        self.runs.insert(run, Run::proposed(&proposal));
        self.transmits.push_back(ToAgent::ProposeRun(proposal));
        Ok(run)
    }

    /// Withdraws a proposal or stops a run. What became of it comes as an event.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`] or [`CommandError::NoSuchRun`].
    pub fn cancel_run(&mut self, run: RunId) -> Result<(), CommandError> {
        self.check_open()?;
        self.runs.get(&run).filter(|run| !run.is_over()).ok_or(CommandError::NoSuchRun)?;
        self.transmits.push_back(ToAgent::CancelRun { run });
        Ok(())
    }

    /// Starts the live diagnostics or changes their period. It is remembered by the agent while nothing covers it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`].
    pub fn subscribe(&mut self, period: Duration) -> Result<(), CommandError> {
        self.check_open()?;
        let period_ms = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
        self.transmits.push_back(ToAgent::Subscribe { period_ms });
        Ok(())
    }

    /// Says what of the live diagnostics is looked at. It is remembered by the agent while nothing covers it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`].
    pub fn look(&mut self, view: View) -> Result<(), CommandError> {
        self.check_open()?;
        self.transmits.push_back(ToAgent::Look { view });
        Ok(())
    }

    /// Stops the live diagnostics.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`].
    pub fn unsubscribe(&mut self) -> Result<(), CommandError> {
        self.check_open()?;
        self.transmits.push_back(ToAgent::Unsubscribe);
        Ok(())
    }

    /// Tells the agent how this end can be reached directly. The agent answers with its own addresses, or that its person does not want that.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`], or [`CommandError::NothingGranted`]: neither side names an address before the person has said yes to something.
    pub fn offer_direct(&mut self, offer: DirectOffer) -> Result<(), CommandError> {
        self.check_open()?;
        if self.last_grant == GrantId(0) {
            return Err(CommandError::NothingGranted);
        }
        self.told_addresses |= matches!(offer, DirectOffer::Candidates(_));
        self.transmits.push_back(ToAgent::Direct(offer));
        Ok(())
    }

    /// Leaves. The agent's last messages are still taken; the session is over when it says so or the connection is closed.
    pub fn end(&mut self) {
        if self.check_open().is_ok() {
            self.left = true;
            self.transmits.push_back(ToAgent::End);
        }
    }

    /// The connection is gone for good, or this program stops: everything is over here.
    pub fn close(&mut self, reason: EndReason) {
        if self.end.is_none() {
            self.finish(reason);
        }
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<ToAgent> {
        self.transmits.pop_front()
    }

    /// What the agent told next.
    pub fn poll_event(&mut self) -> Option<TechnicianEvent> {
        self.events.pop_front()
    }

    /// Takes an output stream that the agent opened, and says how many bytes it may carry.
    ///
    /// Streams are not ordered with messages: one may come before the message that its run was granted, and end after the one that it is over.
    ///
    /// # Errors
    ///
    /// The run was never proposed, was denied or is long forgotten, or this output was opened already.
    pub fn open_output(&mut self, run: RunId, output: Output) -> Result<u64, TechnicianProtocolError> {
        let known = self.runs.get_mut(&run).ok_or(TechnicianProtocolError::UnknownRun { run });
        let opened = known.and_then(|known| known.open_output(run, output));
        opened.inspect_err(|_| self.close(EndReason::Protocol))
    }

    /// Everything that is granted at `now`, as far as the agent told. Nothing while the person is away or after the end.
    pub fn grants(&self, now: Moment) -> impl Iterator<Item = GrantStatus<'_>> {
        let stands = self.end.is_none() && self.paused_until.is_none();
        self.grants.iter().filter_map(move |(grant, held)| held.status(*grant, now).filter(|_| stands))
    }

    /// Questions that are not answered.
    pub fn pending(&self) -> impl Iterator<Item = Pending> {
        let requests = self.requests.iter();
        let requests =
            requests.map(|(id, asked)| Pending { subject: Subject::Request(*id), answer_by: asked.answer_by });
        let runs = self
            .runs
            .iter()
            .filter_map(|(id, run)| run.pending().map(|answer_by| Pending { subject: Subject::Run(*id), answer_by }));
        let inspections = self.inspections.pending();
        let inspections = inspections.map(|(id, answer_by)| Pending { subject: Subject::Inspection(id), answer_by });
        requests.chain(runs).chain(inspections)
    }

    /// Every run that is remembered, with where it stands.
    pub fn runs(&self) -> impl Iterator<Item = (RunId, &RunState)> {
        self.runs.iter().map(|(id, run)| (*id, run.state()))
    }

    /// Where a run stands; `None` if it was never proposed or is forgotten.
    pub fn run(&self, run: RunId) -> Option<&RunState> {
        self.runs.get(&run).map(Run::state)
    }

    /// When the session ends if the person does not come back; `None` while they are there.
    pub fn paused_until(&self) -> Option<Moment> {
        self.paused_until
    }

    /// Why the session is over, if it is.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end
    }

    fn check_open(&self) -> Result<(), CommandError> {
        if self.left || self.end.is_some() { Err(CommandError::Over) } else { Ok(()) }
    }

    fn finish(&mut self, reason: EndReason) {
        self.end = Some(reason);
        self.requests.clear();
        self.grants.clear();
        self.inspections.clear();
        self.paused_until = None;
        self.transmits.clear();
        for run in self.runs.values_mut() {
            run.session_over();
        }
        self.events.push_back(TechnicianEvent::Ended(reason));
    }
}

fn access_request(
    request: RequestId,
    abilities: &[Ability],
    reason: Sentence,
    stay: Duration,
) -> Result<AccessRequest, CommandError> {
    let mut abilities = abilities.to_vec();
    abilities.sort_unstable();
    abilities.dedup();
    let stay_secs = u32::try_from(stay.as_secs()).unwrap_or(u32::MAX);
    let asked_each = abilities.iter().any(|ability| consent::asked_with_each_use(*ability));
    if abilities.is_empty() || stay_secs == 0 || asked_each {
        return Err(CommandError::Malformed);
    }
    Ok(AccessRequest { request, abilities, reason, stay_secs })
}
