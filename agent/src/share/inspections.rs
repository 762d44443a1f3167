//! What is read once for a technician: found, cleared, and sent on a stream of its own.
//!
//! Finding may take long, so it happens off the actor; whether the answer may leave is asked again before it does. What the person is
//! asked about first is described here as well, without being read.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use diagnostics::findings::RoundTrip;
use diagnostics::{
    ArgumentsError, Cleared, Question, Roots, RunningProbe, SECTION_DEADLINE, Scopes, arguments, process_name,
    section_of,
};
use tokio::{
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};
use transport::clock;
use transport::sealed::Sealed;
use transport::streams::Priority;
use wire::diagnostics::inspect::{About, Inspect, Inspected};
use wire::diagnostics::report::{Outcome, Report, SectionId, SectionReport};
use wire::diagnostics::sections::probes::{self, LoadWay, ProbeRequest};
use wire::ids::InspectionId;
use wire::session::{Ability, DenyReason, StreamHeader};

use super::load;
use crate::sent::{NotKept, Sent, SentCopy};
use crate::watch::{self, Gate, Watch};

/// How long reading of one process may take. It takes microseconds, unless the process is stuck in the kernel.
const PROCESS_DEADLINE: Duration = Duration::from_secs(5);

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
    /// What the person would be asked about was found, or why they cannot be.
    Described(InspectionId, Result<About, DenyReason>),
    /// Its answer was found under that consent, or why it cannot be.
    Found(InspectionId, Allowed, Result<Box<Found>, DenyReason>),
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

    /// Finds out what the person would be asked about.
    pub(super) fn describe(&mut self, inspection: InspectionId, what: Inspect) {
        self.steps.spawn(async move { Step::Described(inspection, describe(what).await) });
    }

    /// Begins to read; of what the person was asked about nothing but `about`.
    pub(super) fn start(&mut self, inspection: InspectionId, what: Inspect, about: Option<About>, allowed: Allowed) {
        let source =
            Source { watch: self.watch.clone(), gate: Arc::clone(&self.gate), session: Arc::clone(&self.session) };
        let task = self.steps.spawn(async move {
            let found = source.find(inspection, what, about, &allowed).await;
            Step::Found(inspection, allowed, found.map(Box::new))
        });
        self.under_way.insert(inspection, task);
    }

    /// Sends what was found, after it is kept in `copy`.
    pub(super) fn send(&mut self, inspection: InspectionId, found: Found, copy: SentCopy) {
        let session = Arc::clone(&self.session);
        let task = self.steps.spawn(async move {
            // Arguments are shown and not stored: what is kept is that they were sent.
            let (kept, shown_once) = match found.into_inspected() {
                Inspected::Arguments(arguments) => {
                    (Inspected::Arguments(Box::new(arguments.without_text())), Some(Inspected::Arguments(arguments)))
                }
                other @ (Inspected::Report(_) | Inspected::Section(_) | Inspected::History(_) | _) => (other, None),
            };
            match copy.keep(Sent::Inspected(inspection, kept), clock::wall_time()).await {
                Ok(kept) => {
                    // If the connection does not take it, the session is over or the technician has stopped the stream.
                    let _ = send(&session, inspection, kept, shown_once).await;
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

async fn describe(what: Inspect) -> Result<About, DenyReason> {
    match what {
        Inspect::Arguments { pid, start_ticks } => {
            let name = of_process(move |roots| process_name(roots, pid, start_ticks)).await?;
            Ok(About::Process { name })
        }
        // Nobody is asked about these.
        Inspect::Report
        | Inspect::Section(_)
        | Inspect::Process { .. }
        | Inspect::History(_)
        | Inspect::Logs(_)
        | _ => Err(DenyReason::InspectionFailed),
    }
}

/// Where the answers of one session come from.
struct Source {
    watch: Watch,
    gate: Gate,
    session: Arc<Sealed>,
}

impl Source {
    async fn find(
        &self,
        inspection: InspectionId,
        what: Inspect,
        about: Option<About>,
        allowed: &Allowed,
    ) -> Result<Found, DenyReason> {
        if let (Inspect::Arguments { pid, start_ticks }, Some(About::Process { name })) = (&what, about) {
            let (pid, start_ticks) = (*pid, *start_ticks);
            let found = of_process(move |roots| arguments(roots, pid, start_ticks, &name)).await?;
            // The yes to this one reading is the consent to its free text.
            let scopes = Scopes { logs: true, ..allowed.scopes };
            let found = Inspected::Arguments(Box::new(found));
            let cleared = watch::cleared(&self.gate, move |privacy| privacy.clear(found, scopes)).await;
            return cleared.map(Found::Other).ok_or(DenyReason::InspectionFailed);
        }
        self.find_freely(inspection, what, allowed).await.ok_or(DenyReason::InspectionFailed)
    }

    /// What no question was asked about.
    async fn find_freely(&self, inspection: InspectionId, what: Inspect, allowed: &Allowed) -> Option<Found> {
        let scopes = allowed.scopes;
        let found = match what {
            Inspect::Report => {
                let read = read(
                    &self.watch,
                    allowed.sections.iter().copied().filter(|section| is_in_reports(*section)).collect(),
                );
                let not_allowed = SectionId::ALL.iter().copied().filter(|section| !allowed.sections.contains(section));
                let mut sections = read.await?;
                sections.extend(not_allowed.map(not_allowed_section));
                let report = self.watch.report(sections).await?;
                let cleared = watch::cleared(&self.gate, move |privacy| privacy.clear_report(report, scopes)).await?;
                return Some(Found::Report(Box::new(cleared)));
            }
            Inspect::Section(section) => ask(&self.watch, Question::Section(section)).await?,
            Inspect::Process { pid, start_ticks } => ask(&self.watch, Question::Process { pid, start_ticks }).await?,
            Inspect::Logs(query) => ask(&self.watch, Question::Logs(query)).await?,
            Inspect::Probe(ProbeRequest::Load) => under_load(&self.watch, &self.session, inspection).await,
            Inspect::Probe(request) => probe(&self.watch, request).await?,
            Inspect::History(query) => Inspected::History(self.watch.history(query).await?),
            // Without a yes to what it is about, or a newer technician's.
            Inspect::Arguments { .. } | _ => return None,
        };
        watch::cleared(&self.gate, move |privacy| privacy.clear(found, scopes)).await.map(Found::Other)
    }
}

/// Reads something of a process, on a thread that is left to itself if it hangs: the kernel gives no way to take such a question back.
async fn of_process<T: Send + 'static>(
    read: impl FnOnce(&Roots) -> Result<T, ArgumentsError> + Send + 'static,
) -> Result<T, DenyReason> {
    let (found, answer) = oneshot::channel();
    // Whoever waited may be gone.
    let read = move || drop(found.send(read(&Roots::default())));
    thread::Builder::new().name("process".to_owned()).spawn(read).map_err(|_| DenyReason::InspectionFailed)?;
    match tokio::time::timeout(PROCESS_DEADLINE, answer).await {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(error))) => Err(match error {
            ArgumentsError::Ended => DenyReason::ProcessEnded,
            ArgumentsError::Changed => DenyReason::ProcessChanged,
            ArgumentsError::NotReadable(_) => DenyReason::ProcessNotReadable,
            ArgumentsError::Failed(_) | _ => DenyReason::InspectionFailed,
        }),
        Ok(Err(_)) | Err(_) => Err(DenyReason::InspectionFailed),
    }
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

/// Measures the session under load, and lets the checks know, good or bad: what is better by now must not stay a finding. A way that
/// does not go through the internet tells nothing about it.
async fn under_load(watch: &Watch, session: &Sealed, inspection: InspectionId) -> Inspected {
    let result = load::measure(session, inspection).await;
    if let Some(probes::Found::Load(found)) = &result.found
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

/// Sends what was kept, or what is shown in its place and kept nowhere.
async fn send(
    session: &Sealed,
    inspection: InspectionId,
    kept: Sent,
    shown_once: Option<Inspected>,
) -> Result<(), transport::streams::StreamError> {
    let Sent::Inspected(_, kept) = kept else { return Ok(()) };
    let answer = shown_once.unwrap_or(kept);
    let mut stream = session.open_uni(Priority::Live).await?;
    stream.send(&StreamHeader::Inspection { inspection }).await?;
    stream.send(&answer).await?;
    stream.finish().await
}
