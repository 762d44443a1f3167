//! A session at the end user's machine: one actor around [`AgentSession`].
//!
//! ```text
//! person ──acts──────────┐ first                       ┌─> record (audit thread)
//! signals ───────────────┤                             ├─> outbox ─> control stream
//! runs ──events──────────┼─> core ──effects, in order──┼─> runs ─> runners
//! technician ──messages──┤                             ├─> samples ─> diagnostics stream
//! relay, time, samples ──┘ last                        └─> stage ─> front end
//! ```
//!
//! The core says what to do and in which order; this carries it out. While it waits for the disk it goes on listening to the person:
//! Stop never waits.

use std::{net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use consent::{AnswerRefused, Ceiling, Policy};
use rand_core::OsRng;
use session::agent::{AgentSession, AgentSetup, Effect, Phase as SessionPhase};
use tokio::{sync::mpsc, task::JoinSet};
use transport::clock;
use transport::node::{ControlEvent, MappedPort, NetworkChanges};
use transport::sealed::{Carrier, CloseCode, Sealed};
use transport::streams::{FrameReceiver, FrameSender, StreamError};
use trust::pairing::Paired;
use wire::channel::ChannelId;
use wire::control::{ChannelOrigin, FromRelay, Refusal, Side, ToRelay};
use wire::evidence::Event;
use wire::ids::RunId;
use wire::path::DirectOffer;
use wire::run::{ExactRun, OutputCount, RunOutcome, RunProposal};
use wire::session::{DenyReason, EndReason, ToAgent, ToTechnician};
use wire::time::Moment;

use super::inspections::{Allowed, Inspections, Step};
use super::pair::Attached;
use super::present;
use super::record::{RecordError, Recorder};
use super::runs::{RUN_EVENTS, RunEvent, Runs};
use super::samples::{Progress, Samples};
use super::{Share, ShareError, Signals, wording};
use crate::executor::{Stop, resolve};
use crate::options::sessions_in;
use crate::sent::{NotKept, SentCopy};
use crate::view::{Phase, UserAct};
use crate::watch;

/// Messages waiting for the technician. A technician that does not read this many, some with a whole command in them, is gone or hostile.
const OUTBOX: usize = 128;

/// How long the last message may take to arrive before the connection is closed.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long looking up a program may take. A local disk needs microseconds.
const LOOKUP: Duration = Duration::from_secs(5);

/// Each time the relay is asked what it sees, and it takes only so many questions.
const GATHER_APART: Duration = Duration::from_secs(5);

/// How often the person is shown how the connection is doing.
const PATH_LOOK: Duration = Duration::from_secs(2);

/// Serves the session of a technician that proved the code, to its end.
pub(super) async fn serve(share: &mut Share, attached: Attached) -> Result<(), ShareError> {
    let now = clock::now();
    let ceiling = Ceiling::attended()
        .with_run_unlock_delay(share.config.unlock_delay)
        .and_then(|ceiling| ceiling.with_longest_session(share.config.longest_session));
    let setup = AgentSetup {
        session: attached.paired.session,
        identity: attached.identity,
        words: attached.paired.words,
        agent_key: share.key.public().digest(),
        technician_key: attached.sealed.peer_key().digest(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        // The settings were checked against the same ranges when they were read.
        ceiling: ceiling.unwrap_or_else(|_| Ceiling::attended()),
        policy: Policy::default(),
        first: attached.introduction.request,
        direct: share.config.direct,
    };
    let mut core = AgentSession::new(setup, now, &mut OsRng);
    if !share.present {
        core.absent(wire::session::Absence::PageClosed, now);
    }
    let sealed = Arc::new(attached.sealed);
    let (outbox, letters) = mpsc::channel(OUTBOX);
    let mut sender = JoinSet::new();
    sender.spawn(post(attached.sender, letters));
    let (run_events, run_inbox) = mpsc::channel(RUN_EVENTS);
    // Learns the names of this machine before anything is told of it.
    let gate = watch::gate();
    let samples = Samples::new(Arc::clone(&sealed), share.watch.clone(), Arc::clone(&gate));
    let inspections = Inspections::new(Arc::clone(&sealed), share.watch.clone(), gate);
    let mut live = Live {
        runs: Runs::new(share.executor.clone(), Arc::clone(&sealed), run_events),
        core,
        sealed,
        outbox: Some(outbox),
        sender,
        receiver: attached.receiver,
        run_inbox,
        lookups: JoinSet::new(),
        gathering: JoinSet::new(),
        gathered_at: None,
        network: share.node.network_changes(),
        mapping: None,
        samples,
        inspections,
        front_end_there: true,
        technician_there: true,
        log: Log::None,
        log_path: None,
        paired: attached.paired,
        path_look_at: clock::now(),
        channel: Some(attached.channel),
        over: None,
        record_failed: None,
        share,
    };
    live.run().await
}

async fn post(mut sender: FrameSender, mut letters: mpsc::Receiver<ToTechnician>) {
    while let Some(letter) = letters.recv().await {
        if sender.send(&letter).await.is_err() {
            return; // the session's end is noticed where messages are received
        }
    }
    // The end arrives, or the connection is gone.
    let _ = sender.finish().await;
}

type LookedUp = (RunId, Result<ExactRun, DenyReason>);

/// Looks up what exactly would be run, off the actor: a file system that does not answer must not keep Stop waiting.
async fn look_up(proposal: RunProposal) -> LookedUp {
    let run = proposal.run;
    let lookup = tokio::task::spawn_blocking(move || resolve::resolve(&proposal, &resolve::Account::current()));
    let exact = match tokio::time::timeout(LOOKUP, lookup).await {
        Ok(Ok(exact)) => exact,
        Ok(Err(_)) | Err(_) => Err(DenyReason::LookupFailed),
    };
    (run, exact)
}

/// Where records go.
#[derive(Debug)]
enum Log {
    /// Before the first.
    None,
    Open(Recorder),
    /// After an error or the last.
    Closed,
}

#[derive(Debug)]
struct Live<'a> {
    share: &'a mut Share,
    core: AgentSession,
    sealed: Arc<Sealed>,
    /// `None` once the last message is in.
    outbox: Option<mpsc::Sender<ToTechnician>>,
    sender: JoinSet<()>,
    receiver: FrameReceiver,
    runs: Runs,
    run_inbox: mpsc::Receiver<RunEvent>,
    /// Lookups of proposed programs; the core bounds how many there are.
    lookups: JoinSet<LookedUp>,
    /// Finds out the addresses of this machine; one at a time.
    gathering: JoinSet<Vec<SocketAddr>>,
    gathered_at: Option<Moment>,
    network: NetworkChanges,
    /// What the router of this network forwards, while direct paths are open.
    mapping: Option<MappedPort>,
    samples: Samples,
    inspections: Inspections,
    /// Whether the front end can still say something.
    front_end_there: bool,
    /// Whether the technician can still say something.
    technician_there: bool,
    log: Log,
    /// Where the log lies, for the person.
    log_path: Option<String>,
    paired: Paired,
    /// When the path is looked at next, should nothing be heard.
    path_look_at: Moment,
    /// The channel at the relay; `None` while it has to be found again.
    channel: Option<ChannelId>,
    over: Option<EndReason>,
    /// Why there is no whole record.
    record_failed: Option<RecordError>,
}

impl Live<'_> {
    async fn run(&mut self) -> Result<(), ShareError> {
        loop {
            if let Err(error) = self.carry_out().await {
                self.log = Log::Closed;
                self.record_failed = Some(error);
                self.core.end(EndReason::AuditFailed, clock::now());
                continue;
            }
            self.share.stage.session(&self.core, clock::now());
            if let Some(reason) = self.over {
                self.say_farewell(reason).await;
                return match self.record_failed.take() {
                    None => Ok(()),
                    Some(error) if self.log_path.is_some() => Err(ShareError::RecordStopped(error)),
                    Some(error) => Err(ShareError::Record(error)),
                };
            }
            self.next().await;
        }
    }

    /// Waits for one thing to happen and hands it to the core. What a person does comes first, bulk last.
    async fn next(&mut self) {
        let deadlines = [self.core.poll_timeout(), self.samples.due()].into_iter().flatten();
        let timeout = clock::sleep_until(deadlines.fold(self.path_look_at, Moment::min));
        // Each branch is cancel safe: channel receives, a buffered frame receive, waits without state.
        tokio::select! {
            biased;
            act = self.share.acts.recv(), if self.front_end_there => self.handle_act(act),
            () = self.share.signals.received() => self.core.end(EndReason::Shutdown, clock::now()),
            Some(event) = self.run_inbox.recv() => self.handle_run(event),
            () = timeout => self.handle_timeout(),
            Some(looked_up) = self.lookups.join_next() => self.handle_lookup(looked_up),
            message = self.receiver.recv::<ToAgent>(), if self.technician_there => self.handle_message(message),
            Some(event) = self.share.control.recv() => self.handle_relay(event),
            Some(gathered) = self.gathering.join_next() => {
                // Nothing comes of one that was called off.
                if let Ok(addresses) = gathered {
                    self.core.offer_direct(addresses, clock::now());
                }
            }
            Some(progress) = self.samples.progress() => self.handle_samples(progress),
            Some(step) = self.inspections.next() => self.handle_inspection(step),
            () = mapping_changed(self.mapping.as_ref()) => self.gather(),
            () = self.network.next() => self.handle_new_network(),
            () = self.sealed.path_changed() => self.look_at_path(),
        }
    }

    /// Takes what the person did; `None` if the front end is gone.
    fn handle_act(&mut self, act: Option<UserAct>) {
        let now = clock::now();
        self.front_end_there = act.is_some();
        let notice = match act.unwrap_or(UserAct::FrontEndGone) {
            UserAct::Answer(answer) => match self.core.handle_answer(&answer, now) {
                Ok(()) => None,
                Err(refused) => Some(explain(&refused)),
            },
            UserAct::Stop => {
                self.core.stop_by_user(now);
                None
            }
            UserAct::Revoke(grant) => {
                self.core.revoke(grant, now);
                None
            }
            UserAct::Narrow(grant, keep) => {
                self.core.narrow(grant, &keep, now);
                None
            }
            UserAct::StopRun(run) => {
                self.core.stop_run(run, now);
                None
            }
            UserAct::Present => {
                self.core.present(now);
                None
            }
            UserAct::Away(absence) => {
                self.core.absent(absence, now);
                None
            }
            UserAct::FrontEndGone => {
                self.core.end(EndReason::TerminalClosed, now);
                None
            }
            UserAct::NewCode => None,
        };
        self.share.stage.notice(notice);
    }

    fn handle_run(&mut self, event: RunEvent) {
        let now = clock::now();
        match event {
            RunEvent::Started(run) => self.core.handle_run_started(run, now),
            RunEvent::Finished { run, outcome, stdout, stderr } => {
                self.runs.finished(run);
                self.core.handle_run_finished(run, outcome, stdout, stderr, now);
            }
        }
    }

    fn handle_timeout(&mut self) {
        let now = clock::now();
        if self.path_look_at <= now {
            self.look_at_path();
        }
        self.core.handle_timeout(now);
        if self.samples.due().is_some_and(|due| due <= now) {
            if self.core.may_send_sample(now) {
                self.samples.take(self.allowed().scopes, now);
            } else {
                self.samples.stop(); // the core says so too; rights are checked at use
            }
        }
    }

    fn handle_message(&mut self, message: Result<Option<ToAgent>, StreamError>) {
        // Whatever comes first after a night does not make it shorter.
        self.look_at_path();
        let now = clock::now();
        self.technician_there = matches!(message, Ok(Some(_)));
        match message {
            Ok(Some(message)) => self.core.handle_message(message, now, &mut OsRng),
            Ok(None) => self.core.end(EndReason::ByTechnician, now),
            Err(error) if error.peer_broke_the_rules() => self.core.violation(&error.to_string(), now),
            Err(_) => self.core.end(EndReason::ConnectionLost, now),
        }
    }

    fn handle_lookup(&mut self, looked_up: Result<LookedUp, tokio::task::JoinError>) {
        // A lookup that panicked leaves its question unasked; the technician can withdraw it.
        if let Ok((run, exact)) = looked_up {
            self.core.handle_resolved(run, exact, clock::now(), &mut OsRng);
        }
    }

    fn handle_samples(&mut self, progress: Progress) {
        let now = clock::now();
        if let Progress::NotKept(error) = progress {
            return self.not_kept(error);
        }
        let may_send = self.core.may_send_sample(now).then(|| self.allowed().scopes);
        self.samples.handle(progress, may_send, now);
    }

    /// The person could not see later what was sent, so nothing more is.
    fn not_kept(&mut self, error: NotKept) {
        self.samples.stop();
        self.record_failed.get_or_insert(error.into());
        self.core.end(EndReason::AuditFailed, clock::now());
    }

    /// What the technician may see now.
    fn allowed(&self) -> Allowed {
        let now = clock::now();
        Allowed::by(|ability| self.core.allows(ability, now))
    }

    fn handle_inspection(&mut self, step: Step) {
        let now = clock::now();
        match step {
            // What was taken back while it was being read may not leave.
            Step::Described(inspection, about) => self.core.handle_described(inspection, about, now, &mut OsRng),
            Step::Found(inspection, allowed, Ok(found))
                if self.core.may_inspect(inspection, now) && allowed == self.allowed() =>
            {
                match self.sent_copy() {
                    Some(copy) => self.inspections.send(inspection, *found, copy),
                    None => self.core.handle_not_inspected(inspection, DenyReason::InspectionFailed, now),
                }
            }
            Step::Found(inspection, _, found) => {
                self.inspections.finished(inspection);
                let reason = found.err().unwrap_or(DenyReason::InspectionFailed);
                self.core.handle_not_inspected(inspection, reason, now);
            }
            Step::NotKept(inspection, error) => {
                self.inspections.finished(inspection);
                self.not_kept(error);
            }
            Step::Sent(inspection) => {
                self.inspections.finished(inspection);
                self.core.handle_inspected(inspection, now);
            }
        }
    }

    fn handle_relay(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Up => self.rejoin(),
            ControlEvent::Down { why, .. } => {
                self.channel = None;
                self.show_lost(format!("Reconnecting: {why}"));
            }
            ControlEvent::Message(FromRelay::ChannelOpen { channel, origin: ChannelOrigin::Rejoin, .. }) => {
                if self.share.node.move_session(self.sealed.session_ref(), channel).is_ok() {
                    self.channel = Some(channel);
                    self.look_at_path();
                }
            }
            ControlEvent::Message(FromRelay::ChannelOpen { channel, origin: ChannelOrigin::Attach, .. }) => {
                // The code is used; whoever this is has to wait for a new one.
                self.share.tell(ToRelay::CloseChannel { channel });
            }
            ControlEvent::Message(FromRelay::ChannelClosed { channel, .. }) if self.channel == Some(channel) => {
                self.rejoin();
            }
            // The relay waited long enough for the technician; this side has not.
            ControlEvent::Message(FromRelay::Refused { reason: Refusal::NobodyWaiting }) if self.channel.is_none() => {
                self.rejoin();
            }
            ControlEvent::Message(_) | _ => {}
        }
    }

    /// Asks the relay to find the technician again. How long that may take, the silence of the session decides.
    fn rejoin(&mut self) {
        self.channel = None;
        let rendezvous = self.paired.rendezvous;
        // If the relay is away, this is said again when it is back.
        self.share.tell(ToRelay::Rejoin { rendezvous, side: Side::Agent });
        self.show_lost("Reconnecting: looking for the technician again".to_owned());
    }

    /// The relay is lost, and the technician with it unless the session goes directly.
    fn show_lost(&mut self, words: String) {
        if self.sealed.stats().carrier != Carrier::Direct {
            self.share.stage.connection(words);
        }
    }

    /// Shows how the connection is doing, and ends a session that nobody comes back to.
    fn look_at_path(&mut self) {
        self.path_look_at = (clock::now() + PATH_LOOK).nearest_beat();
        let (stats, patience) = (self.sealed.stats(), self.share.config.reconnect_within);
        if stats.carrier == Carrier::Direct {
            self.core.direct_is_used();
        }
        if stats.silence.lasts >= patience {
            self.core.end(EndReason::ConnectionLost, clock::now());
        } else if stats.silence.is_odd() {
            self.share.stage.connection(wording::silence(stats.silence, patience));
        } else if self.channel.is_some() || stats.carrier == Carrier::Direct {
            let way = if stats.carrier == Carrier::Direct { "directly" } else { stats.way() };
            self.share.stage.connection(format!("Connected {way}, {} ms", stats.rtt.as_millis()));
        }
    }

    /// Carries out what the core wants done, in its order.
    ///
    /// # Errors
    ///
    /// If a record could not be made durable; nothing after it was done.
    async fn carry_out(&mut self) -> Result<(), RecordError> {
        while let Some(effect) = self.core.poll_effect() {
            let stops = matches!(
                effect,
                Effect::KillRun { .. } | Effect::StopDiagnostics | Effect::StopInspection { .. } | Effect::CloseDirect
            );
            if stops {
                self.stop(&effect);
                continue;
            }
            match effect {
                Effect::Record(event) => self.record(event).await?,
                Effect::Send(message) => self.send(message),
                Effect::Resolve(proposal) => {
                    self.lookups.spawn(look_up(proposal));
                }
                Effect::StartRun { approved, .. } => {
                    let run = approved.exact.run;
                    if self.core.may_start_run(run, clock::now()) {
                        self.runs.start(approved);
                    } else {
                        let (none, now) = (OutputCount::default(), clock::now());
                        self.core.handle_run_finished(run, RunOutcome::Revoked, none, none, now);
                    }
                }
                Effect::StartDiagnostics { period, view } => {
                    if let Some(copy) = self.sent_copy() {
                        self.samples.start(period, view, self.allowed().scopes, copy, clock::now());
                    }
                }
                Effect::Look { view } => self.samples.look(view),
                Effect::Describe { inspection, what } => self.inspections.describe(inspection, what),
                Effect::Inspect { inspection, what, about } => {
                    if self.core.begin_inspection(inspection, clock::now()) {
                        self.inspections.start(inspection, what, about, self.allowed());
                    } else {
                        self.core.handle_not_inspected(inspection, DenyReason::NotGranted, clock::now());
                    }
                }
                Effect::PromptsChanged => self.share.stage.session(&self.core, clock::now()),
                Effect::Ended(reason) => self.over = Some(reason),
                // Stops were carried out above; what a newer core may add is not guessed at.
                Effect::OpenDirect { addresses } => self.open_direct(&addresses),
                Effect::KillRun { .. }
                | Effect::StopDiagnostics
                | Effect::StopInspection { .. }
                | Effect::CloseDirect
                | _ => {}
            }
        }
        Ok(())
    }

    /// Where what is sent is kept. There is one as soon as anything is recorded, which comes first.
    fn sent_copy(&self) -> Option<SentCopy> {
        match &self.log {
            Log::Open(recorder) => Some(recorder.sent_copy().clone()),
            Log::None | Log::Closed => None,
        }
    }

    fn stop(&mut self, effect: &Effect) {
        match effect {
            Effect::KillRun { run, why: RunOutcome::Cancelled } => self.runs.stop(*run, Stop::Gently),
            Effect::KillRun { run, .. } => self.runs.stop(*run, Stop::Now),
            Effect::StopDiagnostics => self.samples.stop(),
            Effect::StopInspection { inspection } => self.inspections.stop(*inspection),
            Effect::CloseDirect => {
                self.gathering.abort_all();
                (self.mapping, self.gathered_at) = (None, None);
                // The end itself is told by the way that there is, and then that way is closed.
                if matches!(self.core.phase(), SessionPhase::Ending(_) | SessionPhase::Ended(_)) {
                    self.sealed.end_direct();
                } else {
                    self.sealed.close_direct();
                }
            }
            Effect::Record(_)
            | Effect::Send(_)
            | Effect::Resolve(_)
            | Effect::Describe { .. }
            | Effect::StartRun { .. }
            | Effect::StartDiagnostics { .. }
            | Effect::Look { .. }
            | Effect::Inspect { .. }
            | Effect::OpenDirect { .. }
            | Effect::PromptsChanged
            | Effect::Ended(_)
            | _ => tracing::error!(?effect, "not something that stops"),
        }
    }

    /// Lets the two machines connect directly: tries the technician's addresses, and finds out its own to tell.
    fn open_direct(&mut self, addresses: &[SocketAddr]) {
        // A grant may have lapsed while a record was written.
        if !self.core.may_go_directly(clock::now()) {
            return;
        }
        self.sealed.open_direct();
        self.sealed.punch(addresses);
        if self.mapping.is_none() {
            self.mapping = Some(self.share.node.map_port());
        }
        let now = clock::now();
        if self.gathered_at.is_none_or(|at| now - at >= GATHER_APART) {
            self.gather();
        }
    }

    /// The technician is told the addresses of the new network, if it was told those of the one before.
    fn handle_new_network(&mut self) {
        self.share.stage.happened("The network of this computer has changed".to_owned());
        if self.mapping.is_some() {
            self.gather();
        }
    }

    /// Finds out the addresses of this machine, for the technician: now, or when the relay may be asked again.
    fn gather(&mut self) {
        self.gathering.abort_all();
        let now = clock::now();
        let at = self.gathered_at.map_or(now, |last| (last + GATHER_APART).max(now));
        self.gathered_at = Some(at);
        let node = self.share.node.clone();
        self.gathering.spawn(async move {
            clock::sleep_until(at).await;
            node.candidates().await
        });
    }

    /// Makes one record durable. The person and signals are listened to meanwhile, and what they stop is stopped at once.
    async fn record(&mut self, event: Event) -> Result<(), RecordError> {
        match present::line_for(&event) {
            Some(line) if matches!(event, Event::Inspecting { .. }) => self.share.stage.goes_on(line),
            Some(line) => self.share.stage.happened(line),
            None => {}
        }
        let last = matches!(event, Event::Ended { .. });
        let lines = match std::mem::replace(&mut self.log, Log::Closed) {
            Log::None => {
                let folder = sessions_in(&self.share.config.state_dir);
                let created = Recorder::create(folder, self.paired.session, event);
                let (recorder, lines) = self.wait_for(created).await?;
                self.share.events.session(self.paired.session, recorder.path());
                self.log_path = Some(recorder.path().display().to_string());
                self.log = Log::Open(recorder);
                lines
            }
            // Everything was stopped by now.
            Log::Open(recorder) if last => recorder.close(event, Arc::clone(&self.share.key)).await?,
            Log::Open(recorder) => {
                let written = recorder.append(event);
                self.log = Log::Open(recorder);
                self.wait_for(written).await?
            }
            Log::Closed => return Ok(()),
        };
        for line in lines {
            self.send(ToTechnician::Audit { line: line.into_bytes() });
        }
        Ok(())
    }

    async fn wait_for<T>(&mut self, written: impl Future<Output = T>) -> T {
        tokio::pin!(written);
        loop {
            let Share { acts, signals, .. } = &mut *self.share;
            match hear(acts, self.front_end_there, signals, written.as_mut()).await {
                Heard::Act(act) => self.handle_act(act),
                Heard::Signal => self.core.end(EndReason::Shutdown, clock::now()),
                Heard::Written(done) => return done,
            }
            while let Some(stop) = self.core.poll_stop() {
                self.stop(&stop);
            }
        }
    }

    fn send(&mut self, message: ToTechnician) {
        let Some(outbox) = &self.outbox else { return };
        let tells = matches!(message, ToTechnician::Direct(DirectOffer::Candidates(_)));
        if tells && !self.core.may_go_directly(clock::now()) {
            return;
        }
        if outbox.try_send(message).is_err() {
            // It does not read, or the connection is gone: either way nothing reaches it any more.
            self.outbox = None;
            self.core.end(EndReason::ConnectionLost, clock::now());
        }
    }

    /// Lets the last message arrive, shows the end, and closes.
    async fn say_farewell(&mut self, reason: EndReason) {
        let text = wording::ended(reason);
        self.share.events.ended(&text);
        let receipt = self.log_path.clone();
        self.share.stage.phase(Phase::Ended { reason: text, receipt });
        self.samples.stop();
        self.outbox = None;
        // A connection that is closed here takes with it what the technician has received and not read yet. So it is the technician who
        // closes it, on reading why the session is over; one that does not is not waited for long.
        let heard = async {
            while self.sender.join_next().await.is_some() {}
            self.sealed.closed().await;
        };
        let _ = tokio::time::timeout(FAREWELL, heard).await;
        let code = if reason == EndReason::Protocol { CloseCode::Protocol } else { CloseCode::Done };
        self.sealed.close(code, "");
        self.sealed.close_direct();
        let _ = tokio::time::timeout(FAREWELL, self.runs.all_gone()).await;
        if let Some(channel) = self.channel {
            self.share.tell(ToRelay::CloseChannel { channel });
        }
    }
}

/// Returns when the router forwards another address. Cancel safe.
async fn mapping_changed(mapping: Option<&MappedPort>) {
    match mapping {
        Some(mapping) => mapping.changed().await,
        None => std::future::pending().await,
    }
}

/// What can happen while the disk is waited for.
#[derive(Debug)]
enum Heard<T> {
    Act(Option<UserAct>),
    Signal,
    Written(T),
}

/// Waits for the disk, unless somebody wants something first who does not wait for it.
///
/// # Cancel safety
///
/// Cancel safe, as far as `written` is.
async fn hear<T>(
    acts: &mut mpsc::Receiver<UserAct>,
    front_end_there: bool,
    signals: &mut Signals,
    written: Pin<&mut impl Future<Output = T>>,
) -> Heard<T> {
    tokio::select! {
        biased;
        act = acts.recv(), if front_end_there => Heard::Act(act),
        () = signals.received() => Heard::Signal,
        done = written => Heard::Written(done),
    }
}

/// What a person is told whose yes was not taken.
fn explain(refused: &AnswerRefused) -> String {
    match refused {
        AnswerRefused::TooEarly { .. } => "Take a moment to read it. Your yes is taken in a few seconds.".to_owned(),
        AnswerRefused::WrongWord { tries_left: 0 } => "That was not the word, so the answer is no.".to_owned(),
        AnswerRefused::WrongWord { .. } => "That is not the word that is shown. Nothing was allowed.".to_owned(),
        AnswerRefused::SpokenWordsNeeded => {
            "Type the two words that the caller reads out to you. Nothing was allowed.".to_owned()
        }
        AnswerRefused::WrongSpokenWords { tries_left: 0 } => {
            "Those were not the right words, so the answer is no. The person you talk to may not be the one who is connected.".to_owned()
        }
        AnswerRefused::WrongSpokenWords { .. } => {
            "Those are not the right words. Ask the caller to read them out again. If they cannot, press Deny.".to_owned()
        }
        AnswerRefused::NotOpen
        | AnswerRefused::NotShown
        | AnswerRefused::OtherText
        | AnswerRefused::Paused { .. }
        | AnswerRefused::NotAsked
        | AnswerRefused::NothingChosen
        | _ => format!("Your answer was not taken: {refused}. Nothing was allowed."),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, pin::pin};

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// What is heard while the disk does not answer.
    async fn hear_on_a_bad_disk(acts: &mut mpsc::Receiver<UserAct>, signals: &mut Signals) -> Heard<()> {
        let disk = pin!(pending());
        let heard = hear(acts, true, signals, disk);
        tokio::time::timeout(Duration::from_secs(20), heard).await.expect("somebody is heard")
    }

    #[tokio::test]
    async fn signals_and_the_person_are_heard_while_a_record_waits_for_the_disk() {
        let mut signals = Signals::install().unwrap();
        let (person, mut acts) = mpsc::channel(1);
        for signal in [Signal::TERM, Signal::INT] {
            kill_process(getpid(), signal).unwrap();
            let heard = hear_on_a_bad_disk(&mut acts, &mut signals).await;
            assert!(matches!(heard, Heard::Signal), "{heard:?}");
        }
        person.send(UserAct::Stop).await.unwrap();
        let heard = hear_on_a_bad_disk(&mut acts, &mut signals).await;
        assert!(matches!(heard, Heard::Act(Some(UserAct::Stop))), "{heard:?}");
        drop(person);
        let heard = hear_on_a_bad_disk(&mut acts, &mut signals).await;
        assert!(matches!(heard, Heard::Act(None)), "{heard:?}");
        let written = hear(&mut acts, false, &mut signals, pin!(async { 7 })).await;
        assert!(matches!(written, Heard::Written(7)), "a front end that is gone is heard once: {written:?}");
    }
}
