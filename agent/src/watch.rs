//! Watches the machine for as long as the program runs, whether or not anybody asks.
//!
//! ```text
//! sessions, doctor ──requests──> thread "watch": Monitor (measures, remembers, concludes)
//!                                   │ sections that are due        ▲ sections that were read
//!                                   └──> threads of the survey ────┘
//! ```
//!
//! Nothing leaves here that did not pass [`Privacy`].

use std::{
    io,
    net::TcpStream,
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use diagnostics::findings::RoundTrip;
use diagnostics::{
    CertificateFacts, Cleared, Handshake, Monitor, OPENING_SECTIONS, Privacy, Reach, ReadCertificates, Roots,
    SECTION_DEADLINE, Scopes, ShakeHands, Sources, Survey, Wanted,
};
use tokio::sync::{mpsc, oneshot};
use transport::{
    clock,
    greeting::{Greeting, greet},
};
use trust::described::{Described, describe};
use wire::{
    diagnostics::{
        Snapshot,
        findings::Finding,
        inspect::HistoryQuery,
        report::{Report, SectionReport, Series},
    },
    link::RelayLink,
    time::Moment,
};

use crate::{executor::tools::Tools, options, resident::Program};

/// Requests that may wait for the thread: more than a session has under way.
const REQUESTS: usize = 16;

/// Sections that were read and not taken yet; the threads that read more wait.
const SURVEYED: usize = 32;

/// How long the sections of an opening that were never read yet are waited for.
const OPENING_PATIENCE: Duration = Duration::from_millis(250);

/// How long a program that ends waits for the disk that its history is on.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// What a session's technician may be told, and by which names. Shared by everything that a session sends.
pub(crate) type Gate = Arc<Mutex<Privacy>>;

/// A gate for one session.
pub(crate) fn gate() -> Gate {
    Arc::new(Mutex::new(Privacy::new(&Roots::default())))
}

/// Reaches the thread that watches. It ends when the last of these is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    requests: SyncSender<Request>,
    survey: Survey,
}

/// A sample that may leave, and under which consent.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) sample: Cleared<Snapshot>,
    /// The answers of all checks, if they are others than those that were seen.
    pub(crate) findings: Option<(u64, Cleared<Vec<Finding>>)>,
    pub(crate) scopes: Scopes,
}

/// What is to be measured for a session.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) wanted: Wanted,
    /// Version of the findings that the technician has.
    pub(crate) seen: u64,
    pub(crate) gate: Gate,
    pub(crate) scopes: Scopes,
}

#[derive(Debug)]
enum Request {
    Sample { order: Order, taken: mpsc::Sender<Taken> },
    Opening { gate: Gate, scopes: Scopes, made: oneshot::Sender<(u64, Cleared<Report>)> },
    Report { sections: Vec<SectionReport>, made: oneshot::Sender<Report> },
    History { query: HistoryQuery, made: oneshot::Sender<Vec<Series>> },
    Measured(RoundTrip),
    Attend,
    End { ended: oneshot::Sender<()> },
}

impl Request {
    /// Whether whoever asked is gone.
    fn is_for_nobody(&self) -> bool {
        match self {
            Self::Sample { taken, .. } => taken.is_closed(),
            Self::Opening { made, .. } => made.is_closed(),
            Self::Report { made, .. } => made.is_closed(),
            Self::History { made, .. } => made.is_closed(),
            Self::Measured(_) | Self::Attend | Self::End { .. } => false,
        }
    }
}

/// This machine's and this person's own, with the programs that may be asked.
pub(crate) fn sources() -> Sources {
    let roots = Roots { person: options::person(), ..Roots::default() };
    Sources { roots, tools: Arc::new(Tools), certificates: Arc::new(Certificates), ..Sources::default() }
}

impl Watch {
    /// Starts watching. `relay` and `reach` are what may be asked over the network; with `history` what is measured is kept in that folder,
    /// so often.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started, or the folder cannot be used.
    pub(crate) fn start(relay: RelayLink, reach: Reach, history: Option<(PathBuf, Duration)>) -> io::Result<Self> {
        let reach = Reach { relay: Some((relay.host().to_owned(), relay.port())), ..reach };
        let survey = Survey::new(Sources { reach, handshakes: Arc::new(Greeter { relay }), ..sources() });
        let (requests, inbox) = sync_channel(REQUESTS);
        let (surveyed, read) = sync_channel(SURVEYED);
        let mut monitor = Monitor::new(Roots::default(), clock::now());
        if let Some((folder, every)) = history {
            monitor.keep_in(&folder, every).map_err(io::Error::other)?;
        }
        let program = Program::this().unwrap_or_else(|error| {
            tracing::debug!(%error, "the program's code stays in memory");
            Program::default()
        });
        let mut thread = Thread { monitor, survey: survey.clone(), surveyed, read, program };
        thread::Builder::new().name("watch".to_owned()).spawn(move || thread.run(&inbox))?;
        Ok(Self { requests, survey })
    }

    /// Has a sample taken. It comes through `taken`; if that is full or nobody measures any more, it does not come.
    pub(crate) fn sample(&self, order: Order, taken: mpsc::Sender<Taken>) -> bool {
        self.requests.try_send(Request::Sample { order, taken }).is_ok()
    }

    /// The report that opens a session, and the version of its findings.
    pub(crate) async fn opening(&self, gate: Gate, scopes: Scopes) -> Option<(u64, Cleared<Report>)> {
        let (made, report) = oneshot::channel();
        self.requests.try_send(Request::Opening { gate, scopes, made }).ok()?;
        report.await.ok()
    }

    /// A report with these sections, not cleared.
    pub(crate) async fn report(&self, sections: Vec<SectionReport>) -> Option<Report> {
        let (made, report) = oneshot::channel();
        self.requests.try_send(Request::Report { sections, made }).ok()?;
        report.await.ok()
    }

    /// What was measured before. Nothing in it names anybody.
    pub(crate) async fn history(&self, query: HistoryQuery) -> Option<Vec<Series>> {
        let (made, series) = oneshot::channel();
        self.requests.try_send(Request::History { query, made }).ok()?;
        series.await.ok()
    }

    /// What a round trip takes with and without load. The checks look at it from now on.
    pub(crate) fn measured(&self, round_trip: RoundTrip) {
        // A thread that is busy misses it; it can be measured again.
        let _ = self.requests.try_send(Request::Measured(round_trip));
    }

    /// A technician is there: what talks to the network is looked at as well, from now on.
    pub(crate) fn attend(&self) {
        // Nobody else asks for anything before somebody is let in, so there is room.
        let _ = self.requests.try_send(Request::Attend);
    }

    /// Ends the watch. What was measured is on the disk then, unless the disk takes longer than [`END_PATIENCE`].
    pub(crate) async fn end(self) {
        let (ended, end) = oneshot::channel();
        if self.requests.try_send(Request::End { ended }).is_err() {
            tracing::warn!("the last minutes of the history are not kept: the thread that watches has too much to do");
        } else if tokio::time::timeout(END_PATIENCE, end).await.is_err() {
            tracing::warn!("the last minutes of the history are perhaps not kept: the disk does not answer");
        }
    }

    /// Reads sections.
    pub(crate) fn survey(&self) -> &Survey {
        &self.survey
    }
}

/// What the thread owns.
struct Thread {
    monitor: Monitor,
    survey: Survey,
    surveyed: SyncSender<Surveyed>,
    read: Receiver<Surveyed>,
    program: Program,
}

/// What a thread of the survey comes to.
enum Surveyed {
    Section(SectionReport),
    /// It read all that it was to read.
    All,
}

impl Thread {
    fn run(&mut self, inbox: &Receiver<Request>) {
        loop {
            // First, and whoever asks without a pause does not keep it from being done.
            self.monitor.tick(clock::now(), clock::wall_time());
            self.take_surveyed();
            self.have_surveyed();
            let goes_on = match inbox.recv_timeout(self.monitor.due_at() - clock::now()) {
                Ok(request) => self.serve(request),
                Err(RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
                Err(RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
            };
            if goes_on.is_break() {
                return;
            }
        }
    }

    fn serve(&mut self, request: Request) -> ControlFlow<()> {
        if request.is_for_nobody() {
            return ControlFlow::Continue(());
        }
        match request {
            Request::Sample { order, taken } => drop(taken.try_send(self.sample(order))),
            Request::Opening { gate, scopes, made } => {
                self.wait_for_opening();
                let clear = |report| locked(&gate, |privacy| privacy.clear_report(report, scopes));
                let report = self.monitor.opening(clock::wall_time(), clear);
                drop(made.send((self.monitor.findings_version(), report)));
            }
            Request::Report { sections, made } => {
                self.monitor.surveyed(sections.clone(), clock::now(), clock::wall_time());
                drop(made.send(self.monitor.report(sections, clock::wall_time())));
            }
            Request::Measured(round_trip) => self.monitor.measured_round_trip(round_trip, clock::now()),
            Request::Attend => self.monitor.attend(),
            Request::History { query, made } => drop(made.send(self.monitor.history(&query))),
            Request::End { ended } => {
                self.monitor.flush(clock::now());
                // Whoever asked may have lost patience.
                let _ = ended.send(());
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn sample(&mut self, order: Order) -> Taken {
        let Order { wanted, seen, gate, scopes } = order;
        let sample = self.monitor.sample(wanted, clock::now(), clock::wall_time());
        let version = self.monitor.findings_version();
        let findings = (version != seen).then(|| self.monitor.findings().to_vec());
        locked(&gate, |privacy| Taken {
            sample: privacy.clear(sample, scopes),
            findings: findings.map(|findings| (version, privacy.clear(findings, scopes))),
            scopes,
        })
    }

    /// Has those sections read that are due, on a thread that waits for them.
    fn have_surveyed(&mut self) {
        let due = self.monitor.wants(clock::now());
        if due.is_empty() {
            return;
        }
        let (survey, surveyed) = (self.survey.clone(), self.surveyed.clone());
        let read = move || {
            // The thread may have ended meanwhile.
            let send = |what| drop(surveyed.send(what));
            survey.read_each(&due, SECTION_DEADLINE, clock::wall_time(), |report| send(Surveyed::Section(report)));
            send(Surveyed::All);
        };
        if let Err(error) = thread::Builder::new().name("survey".to_owned()).spawn(read) {
            tracing::warn!(%error, "nothing is read of the machine but figures");
        }
    }

    fn take_surveyed(&mut self) {
        let (mut came, mut all) = (Vec::new(), false);
        for surveyed in self.read.try_iter() {
            match surveyed {
                Surveyed::Section(report) => came.push(report),
                Surveyed::All => all = true,
            }
        }
        if !came.is_empty() {
            self.monitor.surveyed(came, clock::now(), clock::wall_time());
        }
        if all {
            // What reads sections is not needed before the next are due, nor is what started the program or let somebody in.
            self.program.give_back();
        }
    }

    /// Right after the start an opening waits a moment for the sections that are being read.
    fn wait_for_opening(&mut self) {
        self.take_surveyed();
        let gives_up_at = clock::now() + OPENING_PATIENCE;
        let is_known = |thread: &Self| OPENING_SECTIONS.iter().all(|section| thread.monitor.knows(*section));
        while !is_known(self) && left(gives_up_at) > Duration::ZERO {
            match self.read.recv_timeout(left(gives_up_at)) {
                Ok(Surveyed::Section(report)) => self.monitor.surveyed(vec![report], clock::now(), clock::wall_time()),
                // What runs next is needed for the opening.
                Ok(Surveyed::All) => {}
                Err(_) => return,
            }
        }
    }
}

fn left(until: Moment) -> Duration {
    until - clock::now()
}

fn locked<T>(gate: &Gate, clear: impl FnOnce(&mut Privacy) -> T) -> T {
    clear(&mut gate.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Clears something of a session, outside of the thread that watches and of the one that listens to the person: much text takes long.
/// `None` if the program ends.
pub(crate) async fn cleared<T: Send + 'static>(
    gate: &Gate,
    clear: impl FnOnce(&mut Privacy) -> Cleared<T> + Send + 'static,
) -> Option<Cleared<T>> {
    let gate = Arc::clone(gate);
    tokio::task::spawn_blocking(move || locked(&gate, clear)).await.ok()
}

/// TLS is spoken by the crate that may.
#[derive(Debug)]
pub(crate) struct Greeter {
    /// The relay, whose key is known.
    relay: RelayLink,
}

impl ShakeHands for Greeter {
    fn shake_hands(&self, host: &str, stream: TcpStream, limit: Duration, wanted: &dyn Fn() -> bool) -> Handshake {
        let port = stream.peer_addr().map(|address| address.port());
        let is_relay = host == self.relay.host() && port.ok() == Some(self.relay.port());
        let pin = is_relay.then(|| self.relay.pin());
        let Greeting { took, chain, trust, alpn, version, alert, reason } = greet(host, stream, pin, limit, wanted);
        Handshake { tls: took, chain, trust, alpn, version: version.to_owned(), alert, reason }
    }
}

/// Certificates are read by the crate that may.
#[derive(Debug)]
struct Certificates;

impl ReadCertificates for Certificates {
    fn describe(&self, der: &[u8]) -> Option<CertificateFacts> {
        let Described { subject, issuer, not_before_secs, not_after_secs, self_signed, authority } = describe(der)?;
        Some(CertificateFacts { subject, issuer, not_before_secs, not_after_secs, self_signed, authority })
    }
}
