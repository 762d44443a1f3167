//! What is shown of a session, beside what its core knows.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use session::technician::{RunState as CoreRunState, TechnicianSession};
use transport::sealed::PathStats;
use wire::{
    ids::{InspectionId, RequestId, RunId, SessionId},
    link::RelayLink,
    run::OutputCount,
    session::{Ability, Absence, EndReason, Subject},
    text::Label,
    time::Moment,
};

use super::{
    courier::{Tail, locked},
    meter::Meter,
};
use crate::{
    exit::Exit,
    status::{
        ActivityLine, GrantStatus, PathStatus, Phase, Question, ReceiptStatus, RunState, RunStatus, Standing, Status,
        TechnicianStatus,
    },
    words,
};

/// Lines of [`Status::activity`]: more than a person scrolls back.
const ACTIVITY: usize = 200;

/// Runs that are shown, those that are not over included.
const RUNS: usize = 48;

/// Everything that is shown and that the core does not keep.
#[derive(Debug)]
pub(super) struct Board {
    relay: String,
    connecting: String,
    since: Option<Moment>,
    pub(super) session: Option<SessionId>,
    pub(super) host: Option<String>,
    pub(super) technician: TechnicianStatus,
    path: Option<PathStats>,
    meter: Meter,
    /// Why the session goes by this path, in words.
    pub(super) path_why: Option<String>,
    reconnects: u32,
    /// How long a session outlives its path.
    patience: Duration,
    lost: Option<(Moment, String)>,
    pub(super) absence: Option<Absence>,
    /// Whether the first question was answered.
    pub(super) answered: bool,
    pub(super) end_detail: Option<String>,
    asked: BTreeMap<RequestId, Vec<Ability>>,
    /// Inspections of which the end user is asked first, in words.
    inspections: BTreeMap<InspectionId, String>,
    runs: BTreeMap<RunId, RunRecord>,
    activity: VecDeque<(Moment, String)>,
    activity_dropped: u64,
    pub(super) receipt: ReceiptStatus,
}

#[derive(Debug)]
struct RunRecord {
    command: String,
    tail: Arc<Mutex<Tail>>,
    cancelling: bool,
}

impl Board {
    pub(super) fn new(name: &Label, relay: &RelayLink, patience: Duration) -> Self {
        let host = if relay.host().contains(':') { format!("[{}]", relay.host()) } else { relay.host().to_owned() };
        Self {
            relay: format!("{host}:{}", relay.port()),
            connecting: "starting".to_owned(),
            since: None,
            session: None,
            host: None,
            technician: TechnicianStatus { name: name.shown(), standing: Standing::Unknown, words: None },
            path: None,
            meter: Meter::default(),
            path_why: None,
            reconnects: 0,
            patience,
            lost: None,
            absence: None,
            answered: false,
            end_detail: None,
            asked: BTreeMap::new(),
            inspections: BTreeMap::new(),
            runs: BTreeMap::new(),
            activity: VecDeque::new(),
            activity_dropped: 0,
            receipt: ReceiptStatus::None,
        }
    }

    /// A step on the way to the end user.
    pub(super) fn connecting(&mut self, detail: &str) {
        detail.clone_into(&mut self.connecting);
    }

    /// The code was proved.
    pub(super) fn paired(&mut self, session: SessionId, words: String, now: Moment) {
        self.session = Some(session);
        self.technician.words = Some(words);
        self.since = Some(now);
    }

    /// Something that a person may want to read later.
    pub(super) fn note(&mut self, text: String, now: Moment) {
        self.activity.push_back((now, text));
        if self.activity.len() > ACTIVITY {
            self.activity.pop_front();
            self.activity_dropped += 1;
        }
    }

    /// A request was sent.
    pub(super) fn requested(&mut self, request: RequestId, abilities: Vec<Ability>) {
        self.asked.insert(request, abilities);
    }

    /// An inspection was asked for that asks the end user first.
    pub(super) fn inspecting(&mut self, inspection: InspectionId, what: String) {
        self.inspections.insert(inspection, what);
    }

    /// One of them is over. Returns what it was.
    pub(super) fn inspection_over(&mut self, inspection: InspectionId) -> Option<String> {
        self.inspections.remove(&inspection)
    }

    /// A run was proposed.
    pub(super) fn proposed(&mut self, run: RunId, command: String, tail: Arc<Mutex<Tail>>) {
        self.runs.insert(run, RunRecord { command, tail, cancelling: false });
    }

    /// A run is being cancelled. `false` if it was already.
    pub(super) fn cancelling(&mut self, run: RunId) -> bool {
        self.runs.get_mut(&run).is_some_and(|record| !std::mem::replace(&mut record.cancelling, true))
    }

    /// What a question is about, in words.
    pub(super) fn subject(&self, subject: Subject) -> String {
        match subject {
            Subject::Request(request) => match self.asked.get(&request) {
                Some(abilities) => ability_names(abilities),
                None => request.to_string(),
            },
            Subject::Run(run) => match self.runs.get(&run) {
                Some(record) => record.command.clone(),
                None => run.to_string(),
            },
            Subject::Inspection(inspection) => match self.inspections.get(&inspection) {
                Some(what) => what.clone(),
                None => inspection.to_string(),
            },
        }
    }

    /// The path was measured, or there is none.
    pub(super) fn measured(&mut self, path: Option<PathStats>, now: Moment) {
        if let Some(path) = &path {
            self.meter.take(path.sent_bytes, path.received_bytes, now);
        }
        self.path = path;
    }

    /// The path is gone. `false` if that was known; the reason may be new.
    pub(super) fn path_lost(&mut self, why: String, now: Moment) -> bool {
        let known = self.lost.as_ref().map(|(since, _)| *since);
        self.lost = Some((known.unwrap_or(now), why));
        self.path = None;
        known.is_none()
    }

    /// Whether the path is gone.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// There is a path again. `false` if there was one.
    pub(super) fn path_found(&mut self) -> bool {
        let was_lost = self.lost.take().is_some();
        self.reconnects += u32::from(was_lost);
        was_lost
    }

    /// What is shown of a run's output.
    pub(super) fn tail(&self, run: RunId) -> Arc<Mutex<Tail>> {
        self.runs.get(&run).map(|record| Arc::clone(&record.tail)).unwrap_or_default()
    }

    /// How the session stands at `now`; before the code was proved there is no core.
    pub(super) fn status(&self, core: Option<&TechnicianSession>, now: Moment) -> Status {
        let rates = self.path.and_then(|_| self.meter.rates(now));
        Status {
            session: self.session,
            process: std::process::id(),
            phase: self.phase(core, now),
            host: self.host.clone(),
            technician: self.technician.clone(),
            path: PathStatus {
                kind: self.path.map(|path| path.way().to_owned()),
                why: self.path_why.clone().filter(|_| self.path.is_some()),
                relay: self.relay.clone(),
                rtt_us: self.path.map(|path| u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX)),
                lost_permille: self.path.map(lost_permille),
                received_bits_per_sec: rates.map(|rates| rates.received),
                sent_bits_per_sec: rates.map(|rates| rates.sent),
                reconnects: self.reconnects,
            },
            age_secs: self.since.map_or(0, |since| (now - since).as_secs()),
            asking: core.map_or_else(Vec::new, |core| self.questions(core, now)),
            grants: core.map_or_else(Vec::new, |core| grants(core, now)),
            runs: core.map_or_else(Vec::new, |core| self.runs(core, now)),
            activity: self
                .activity
                .iter()
                .map(|(at, text)| ActivityLine { ago_secs: (now - *at).as_secs(), text: text.clone() })
                .collect(),
            activity_dropped: self.activity_dropped,
            receipt: self.receipt.clone(),
        }
    }

    /// Where things stand at `now`.
    pub(super) fn phase(&self, core: Option<&TechnicianSession>, now: Moment) -> Phase {
        let Some(core) = core else {
            return Phase::Connecting { detail: self.connecting.clone() };
        };
        if let Some(reason) = core.end_reason() {
            return Phase::Ended { reason, text: self.end_detail.clone().unwrap_or_else(|| reason.to_string()) };
        }
        if let Some((since, detail)) = &self.lost {
            let gone = now - *since;
            return Phase::Reconnecting {
                for_secs: gone.as_secs(),
                gives_up_in_secs: self.patience.saturating_sub(gone).as_secs(),
                detail: detail.clone(),
            };
        }
        if let (Some(until), Some(reason)) = (core.paused_until(), self.absence) {
            return Phase::Paused { reason, ends_in_secs: (until - now).as_secs() };
        }
        if !self.answered {
            let first = core.pending().next().and_then(|pending| pending.answer_by);
            return Phase::WaitingForAnswer { answer_within_secs: first.map(|by| (by - now).as_secs()) };
        }
        Phase::Live
    }

    fn questions(&self, core: &TechnicianSession, now: Moment) -> Vec<Question> {
        if core.end_reason().is_some() {
            return Vec::new();
        }
        let question = |pending: session::technician::Pending| Question {
            subject: pending.subject,
            what: self.subject(pending.subject),
            answer_within_secs: pending.answer_by.map(|by| (by - now).as_secs()),
        };
        core.pending().map(question).collect()
    }

    fn runs(&self, core: &TechnicianSession, now: Moment) -> Vec<RunStatus> {
        let skipped = self.runs.len().saturating_sub(RUNS);
        let shown = self.runs.iter().enumerate().filter_map(|(index, (run, record))| {
            let state = run_state(core.run(*run)?, record.cancelling, now);
            if index < skipped && state.is_over() {
                return None;
            }
            let tail = locked(&record.tail);
            Some(RunStatus {
                run: run.0,
                command: record.command.clone(),
                state,
                received_bytes: tail.received_bytes(),
                last_lines: tail.lines(),
            })
        });
        shown.collect()
    }

    /// Forgets runs and requests that the core has forgotten.
    pub(super) fn tidy(&mut self, core: &TechnicianSession) {
        self.runs.retain(|run, _| core.run(*run).is_some());
        let open = core.pending().map(|pending| pending.subject).collect::<Vec<_>>();
        self.asked.retain(|request, _| open.contains(&Subject::Request(*request)));
    }
}

fn lost_permille(path: PathStats) -> u16 {
    let permille = path.lost.saturating_mul(1000).checked_div(path.sent).unwrap_or(0);
    u16::try_from(permille.min(1000)).unwrap_or(1000)
}

/// Abilities on one line.
pub(super) fn ability_names(abilities: &[Ability]) -> String {
    abilities.iter().map(|ability| ability.name()).collect::<Vec<_>>().join(", ")
}

fn grants(core: &TechnicianSession, now: Moment) -> Vec<GrantStatus> {
    let grant = |held: session::technician::GrantStatus<'_>| GrantStatus {
        grant: held.grant,
        subject: held.subject,
        abilities: held.abilities.to_vec(),
        remaining_secs: held.remaining.as_secs(),
    };
    core.grants(now).map(grant).collect()
}

fn run_state(state: &CoreRunState, cancelling: bool, now: Moment) -> RunState {
    match state {
        CoreRunState::Proposed | CoreRunState::Asking { .. } if !cancelling => RunState::Asking,
        CoreRunState::Approved if !cancelling => RunState::Running { for_secs: 0 },
        CoreRunState::Running { since, .. } if !cancelling => RunState::Running { for_secs: (now - *since).as_secs() },
        CoreRunState::Proposed
        | CoreRunState::Asking { .. }
        | CoreRunState::Approved
        | CoreRunState::Running { .. } => RunState::Cancelling,
        CoreRunState::Denied(reason) => RunState::Denied { reason: reason.to_string() },
        CoreRunState::Finished { outcome, stdout, stderr } => RunState::Finished {
            outcome: words::outcome(outcome),
            exit: Exit::of_outcome(outcome).code(),
            cut_bytes: [stdout, stderr].into_iter().copied().map(OutputCount::cut_bytes).fold(0, u64::saturating_add),
        },
        CoreRunState::SessionOver => RunState::Finished {
            outcome: "killed: the session ended".to_owned(),
            exit: Exit::Denied.code(),
            cut_bytes: 0,
        },
    }
}

/// What a person reads when the session is over.
pub(super) fn end_words(reason: EndReason, detail: Option<&str>) -> String {
    match detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_string(),
    }
}
