//! What is read once for a technician: found, cleared, and sent on a stream of its own.
//!
//! Finding may take long, so it happens off the actor; whether the answer may leave is asked again before it does.

use std::{collections::BTreeMap, sync::Arc};

use diagnostics::findings::RoundTrip;
use diagnostics::{Cleared, Question, RunningProbe, SECTION_DEADLINE, Scopes, section_of};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};
use transport::clock;
use transport::sealed::Sealed;
use transport::streams::Priority;
use wire::diagnostics::inspect::{Inspect, Inspected};
use wire::diagnostics::report::{Outcome, Report, SectionId, SectionReport};
use wire::diagnostics::sections::probes::{self, LoadWay, ProbeOutcome, ProbeRequest};
use wire::ids::InspectionId;
use wire::session::{Ability, StreamHeader};

use super::load;
use crate::sent::{NotKept, Sent, SentCopy};
use crate::watch::{self, Gate, Watch};

/// What the technician may see at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Sections that need nothing that is not granted.
    pub(super) sections: Vec<SectionId>,
    /// What leaves as it is.
    pub(super) scopes: Scopes,
}

impl Allowed {
    /// By what `allows` says of each ability.
    pub(super) fn by(allows: impl Fn(Ability) -> bool) -> Self {
        let sections = SectionId::ALL.iter().copied().filter(|section| allows(section.ability()));
        Self {
            sections: sections.collect(),
            scopes: Scopes {
                names: allows(Ability::DiagNames),
                identifiers: allows(Ability::DiagIdentifiers),
                network: allows(Ability::DiagNetwork),
                logs: allows(Ability::DiagLogs),
            },
        }
    }
}

/// What happened to an inspection.
#[derive(Debug)]
pub(super) enum Step {
    /// Its answer was found under that consent; nothing if it cannot be found.
    Found(InspectionId, Allowed, Option<Box<Found>>),
    /// Its answer is on its way, or the connection does not take it.
    Sent(InspectionId),
    /// Its answer could not be kept and was not sent.
    NotKept(InspectionId, NotKept),
}

/// An answer that may leave.
#[derive(Debug)]
pub(super) enum Found {
    Report(Box<Cleared<Report>>),
    Other(Cleared<Inspected>),
}

impl Found {
    fn into_inspected(self) -> Inspected {
        match self {
            Self::Report(report) => Inspected::Report(Box::new(report.into_inner())),
            Self::Other(other) => other.into_inner(),
        }
    }
}

/// The inspections of one session.
#[derive(Debug)]
pub(super) struct Inspections {
    session: Arc<Sealed>,
    watch: Watch,
    gate: Gate,
    steps: JoinSet<Step>,
    under_way: BTreeMap<InspectionId, AbortHandle>,
}

impl Inspections {
    pub(super) fn new(session: Arc<Sealed>, watch: Watch, gate: Gate) -> Self {
        Self { session, watch, gate, steps: JoinSet::new(), under_way: BTreeMap::new() }
    }

    /// Begins to read.
    pub(super) fn start(&mut self, inspection: InspectionId, what: Inspect, allowed: Allowed) {
        let (watch, gate, session) = (self.watch.clone(), Arc::clone(&self.gate), Arc::clone(&self.session));
        let task = self.steps.spawn(async move {
            let found = find(&watch, &gate, &session, inspection, what, &allowed).await;
            Step::Found(inspection, allowed, found.map(Box::new))
        });
        self.under_way.insert(inspection, task);
    }

    /// Sends what was found, after it is kept in `copy`.
    pub(super) fn send(&mut self, inspection: InspectionId, found: Found, copy: SentCopy) {
        let session = Arc::clone(&self.session);
        let task = self.steps.spawn(async move {
            let answer = Sent::Inspected(inspection, found.into_inspected());
            match copy.keep(answer, clock::wall_time()).await {
                Ok(kept) => {
                    // If the connection does not take it, the session is over or the technician has stopped the stream.
                    let _ = send(&session, kept).await;
                    Step::Sent(inspection)
                }
                Err(error) => Step::NotKept(inspection, error),
            }
        });
        self.under_way.insert(inspection, task);
    }

    /// Throws an answer away, or breaks off sending it. A section that is being read is read to its end, for nobody.
    pub(super) fn stop(&mut self, inspection: InspectionId) {
        if let Some(task) = self.under_way.remove(&inspection) {
            task.abort();
        }
    }

    /// What happens next; `None` if nothing is under way. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Step> {
        loop {
            match self.steps.join_next().await? {
                Ok(step) => return Some(step),
                // Stopped, or it panicked: the technician can cancel it.
                Err(error) if error.is_cancelled() => {}
                Err(error) => tracing::error!(%error, "an inspection failed"),
            }
        }
    }

    /// It is over.
    pub(super) fn finished(&mut self, inspection: InspectionId) {
        self.under_way.remove(&inspection);
    }
}

async fn find(
    watch: &Watch,
    gate: &Gate,
    session: &Sealed,
    inspection: InspectionId,
    what: Inspect,
    allowed: &Allowed,
) -> Option<Found> {
    let scopes = allowed.scopes;
    let found = match what {
        Inspect::Report => {
            let read =
                read(watch, allowed.sections.iter().copied().filter(|section| is_in_reports(*section)).collect());
            let not_allowed = SectionId::ALL.iter().copied().filter(|section| !allowed.sections.contains(section));
            let mut sections = read.await?;
            sections.extend(not_allowed.map(not_allowed_section));
            let report = watch.report(sections).await?;
            let cleared = watch::cleared(gate, move |privacy| privacy.clear_report(report, scopes)).await?;
            return Some(Found::Report(Box::new(cleared)));
        }
        Inspect::Section(section) => ask(watch, Question::Section(section)).await?,
        Inspect::Process { pid, start_ticks } => ask(watch, Question::Process { pid, start_ticks }).await?,
        Inspect::Logs(query) => ask(watch, Question::Logs(query)).await?,
        Inspect::Probe(ProbeRequest::Load) => under_load(watch, session, inspection).await,
        Inspect::Probe(request) => probe(watch, request).await?,
        Inspect::History(query) => Inspected::History(watch.history(query).await?),
        // A newer technician's.
        _ => return None,
    };
    watch::cleared(gate, move |privacy| privacy.clear(found, scopes)).await.map(Found::Other)
}

/// Those that are read for one thing that somebody chose are not.
fn is_in_reports(section: SectionId) -> bool {
    !matches!(section, SectionId::Process | SectionId::Probes)
}

/// Reads sections, on a thread that may wait.
async fn read(watch: &Watch, sections: Vec<SectionId>) -> Option<Vec<SectionReport>> {
    let survey = watch.survey().clone();
    let read = move || survey.read(&sections, SECTION_DEADLINE, clock::wall_time());
    tokio::task::spawn_blocking(read).await.ok()
}

async fn ask(watch: &Watch, question: Question) -> Option<Inspected> {
    let survey = watch.survey().clone();
    let ask = move || survey.ask(question, SECTION_DEADLINE, clock::wall_time());
    let section = tokio::task::spawn_blocking(ask).await.ok()?;
    Some(Inspected::Section(Box::new(section)))
}

/// Measures the session under load, and lets the checks know what is certain about it.
async fn under_load(watch: &Watch, session: &Sealed, inspection: InspectionId) -> Inspected {
    let result = load::measure(session, inspection).await;
    if let (ProbeOutcome::Fail, Some(probes::Found::Load(found))) = (result.outcome, &result.found)
        && found.way != LoadWay::Direct
    {
        watch.measured(RoundTrip { idle_us: found.idle_us.into(), loaded_us: found.loaded_us.into() });
    }
    Inspected::Section(Box::new(section_of(result, clock::wall_time())))
}

/// Makes a probe on a thread of its own. When this is given up, so is the probe.
async fn probe(watch: &Watch, request: ProbeRequest) -> Option<Inspected> {
    let (done, result) = oneshot::channel();
    let wall = clock::wall_time();
    // Whoever waits may be gone.
    let done = move |result| drop(done.send(result));
    let probe = RunningProbe::start(request, watch.survey().sources(), wall, done).ok()?;
    let result = result.await.ok()?;
    drop(probe);
    Some(Inspected::Section(Box::new(section_of(result, wall))))
}

fn not_allowed_section(section: SectionId) -> SectionReport {
    SectionReport {
        section,
        taken_at: clock::wall_time(),
        took_ms: 0,
        outcome: Outcome::NotAllowed,
        sources: Vec::new(),
        content: None,
    }
}

async fn send(session: &Sealed, kept: Sent) -> Result<(), transport::streams::StreamError> {
    let Sent::Inspected(inspection, answer) = kept else { return Ok(()) };
    let mut stream = session.open_uni(Priority::Live).await?;
    stream.send(&StreamHeader::Inspection { inspection }).await?;
    stream.send(&answer).await?;
    stream.finish().await
}
