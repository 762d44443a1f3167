//! What the actor decides without waiting for anybody: commands, the agent's news, and who is told what.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use audit::Expected;
use session::technician::{CommandError, RunDraft, TechnicianEvent, TechnicianProtocolError, TechnicianSession};
use tokio::sync::mpsc;
use transport::{sealed::PathStats, streams::ByteReceiver};
use trust::pairing::Paired;
use wire::{
    diagnostics::inspect::{Inspect, Inspected},
    ids::{InspectionId, RequestId, RunId},
    path::DirectOffer,
    run::{RunLimits, Variable},
    session::{Ability, AccessRequest, EndReason, Output, Subject},
    time::Moment,
};

use crate::{
    local::protocol::{Bytes, NotReady, RefusedReason, Reply, RequestAsk, RunAsk},
    owner::{
        Command, Outcome,
        audit_copy::AuditCopy,
        board::{Board, ability_names},
        courier::{Courier, NEWS, News},
    },
    status::{Phase, ReceiptStatus, Standing, Status},
    units, words,
};

/// The session's core, what is shown of it, and everybody who waits for an answer.
pub(super) struct Desk {
    pub(super) core: TechnicianSession,
    pub(super) board: Board,
    copy: Option<AuditCopy>,
    first: RequestId,
    couriers: BTreeMap<RunId, mpsc::Sender<News>>,
    waiting: BTreeMap<RequestId, mpsc::Sender<Reply>>,
    /// Who waits for the answer of an inspection.
    inspecting: BTreeMap<InspectionId, mpsc::Sender<Reply>>,
    /// What the agent said of its addresses, until the actor has taken it.
    pub(super) direct_offer: Option<DirectOffer>,
}

impl Desk {
    pub(super) fn new(
        mut board: Board,
        first: &AccessRequest,
        paired: &Paired,
        receipts: PathBuf,
        expected: Expected,
        now: Moment,
    ) -> Self {
        board.paired(paired.session, paired.words.to_string(), now);
        board.requested(first.request, first.abilities.clone());
        Self {
            core: TechnicianSession::new(first),
            board,
            copy: Some(AuditCopy::new(receipts, expected)),
            first: first.request,
            couriers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            inspecting: BTreeMap::new(),
            direct_offer: None,
        }
    }

    pub(super) fn status(&self, now: Moment) -> Status {
        self.board.status(Some(&self.core), now)
    }

    /// Whether a grant covers live diagnostics, as far as the agent told.
    pub(super) fn shows_diagnostics(&self, now: Moment) -> bool {
        self.core.grants(now).any(|grant| grant.abilities.contains(&Ability::DiagBasic))
    }

    /// Takes a command. Returns the courier of a run that was proposed.
    pub(super) fn take_command(&mut self, command: Option<Command>, now: Moment) -> Option<Courier> {
        match command {
            Some(Command::Run { ask, replies, accepted }) => {
                let proposed = self.propose(ask, now);
                let answer = proposed.map(|run| {
                    let (courier, news) = self.courier(run, replies);
                    self.couriers.insert(run, news);
                    (run, courier)
                });
                let (answer, courier) = match answer {
                    Ok((run, courier)) => (Ok(run), Some(courier)),
                    Err(refused) => (Err(refused), None),
                };
                // Whoever asked is gone: the run is cancelled when its socket is seen to be closed.
                let _ = accepted.send(answer);
                courier
            }
            Some(Command::CancelRun { run }) => {
                let open = self.core.run(run).is_some() && self.board.cancelling(run);
                if open && self.core.cancel_run(run).is_ok() {
                    self.board.note(format!("{run}: cancelled by you"), now);
                }
                None
            }
            Some(Command::Request { ask, replies, accepted }) => {
                let answer = self.request(ask, replies, now);
                let _ = accepted.send(answer);
                None
            }
            Some(Command::Inspect { what, replies, accepted }) => {
                let answer = self.inspect(what, replies, now);
                let _ = accepted.send(answer);
                None
            }
            Some(Command::CancelInspection { inspection }) => {
                self.inspecting.remove(&inspection);
                self.core.cancel_inspection(inspection);
                None
            }
            // Nobody is left who could want anything: this program stops.
            Some(Command::End) | None => {
                self.core.end();
                None
            }
        }
    }

    fn ready(&self, now: Moment) -> Result<(), RefusedReason> {
        Err(RefusedReason::NotReady(match self.board.phase(Some(&self.core), now) {
            Phase::Live => return Ok(()),
            Phase::Connecting { .. } | Phase::WaitingForAnswer { .. } => NotReady::NotAnswered,
            Phase::Paused { .. } => NotReady::Paused,
            Phase::Reconnecting { .. } => NotReady::Reconnecting,
            Phase::Ended { .. } => NotReady::Over,
        }))
    }

    fn propose(&mut self, ask: RunAsk, now: Moment) -> Result<RunId, RefusedReason> {
        self.ready(now)?;
        let command = words::command(ask.command.iter().map(|Bytes(part)| part.as_slice()));
        let draft = draft(ask)?;
        let run = self.core.propose_run(draft).map_err(refused)?;
        self.board.proposed(run, command.clone(), Arc::default());
        self.board.note(format!("{run}: you asked for {command}"), now);
        Ok(run)
    }

    fn courier(&mut self, run: RunId, replies: mpsc::Sender<Reply>) -> (Courier, mpsc::Sender<News>) {
        let (news, inbox) = mpsc::channel(NEWS);
        let tail = self.board.tail(run);
        (Courier { run, news: inbox, replies: Some(replies), tail }, news)
    }

    fn request(&mut self, ask: RequestAsk, replies: mpsc::Sender<Reply>, now: Moment) -> Result<(), RefusedReason> {
        self.ready(now)?;
        let stay = std::time::Duration::from_secs(ask.stay_secs.into());
        let request = self.core.request(&ask.abilities, ask.reason, stay).map_err(refused)?;
        self.board.note(format!("you asked for {}", ability_names(&ask.abilities)), now);
        self.board.requested(request, ask.abilities);
        self.waiting.insert(request, replies);
        Ok(())
    }

    fn inspect(
        &mut self,
        what: Inspect,
        replies: mpsc::Sender<Reply>,
        now: Moment,
    ) -> Result<InspectionId, RefusedReason> {
        self.ready(now)?;
        let question = what.asks_for().map(|_| what.name());
        let inspection = self.core.inspect(what, now).map_err(refused)?;
        if let Some(question) = question {
            self.board.note(format!("you asked for the {question}"), now);
            self.board.inspecting(inspection, format!("the {question}"));
        }
        self.inspecting.insert(inspection, replies);
        Ok(inspection)
    }

    /// The answer of an inspection came, or was broken off; then the agent says why.
    pub(super) fn inspected(&mut self, inspection: InspectionId, inspected: Option<Inspected>) {
        let Some(inspected) = inspected else { return };
        self.core.finish_inspection(inspection);
        self.board.inspection_over(inspection);
        if let Some(replies) = self.inspecting.remove(&inspection) {
            let _ = replies.try_send(Reply::Inspected(Box::new(inspected)));
        }
    }

    /// Hands an output of a run to its courier.
    pub(super) fn take_output(
        &mut self,
        run: RunId,
        output: Output,
        receiver: ByteReceiver,
    ) -> Result<(), TechnicianProtocolError> {
        let limit = self.core.open_output(run, output)?;
        // A courier that is gone has told its end already; the output is not wanted any more.
        self.tell_courier(run, News::Stream { output, receiver, limit });
        Ok(())
    }

    /// A courier has told everything.
    pub(super) fn courier_done(&mut self, run: RunId) {
        self.couriers.remove(&run);
    }

    fn tell_courier(&self, run: RunId, news: News) {
        if let Some(courier) = self.couriers.get(&run) {
            // There are fewer news of a run than places, so only a courier that is gone takes none.
            let _ = courier.try_send(news);
        }
    }

    fn tell_waiting(&self, request: RequestId, reply: Reply) {
        if let Some(replies) = self.waiting.get(&request) {
            // A command that left does not want to know.
            let _ = replies.try_send(reply);
        }
    }

    fn tell_inspecting(&self, inspection: InspectionId, reply: Reply) {
        if let Some(replies) = self.inspecting.get(&inspection) {
            // A command that left does not want to know.
            let _ = replies.try_send(reply);
        }
    }

    /// Takes everything that the agent told.
    pub(super) fn take_events(&mut self, now: Moment) {
        let mut settled = false;
        while let Some(event) = self.core.poll_event() {
            settled |= self.take_event(event, now);
        }
        if settled {
            self.board.tidy(&self.core);
        }
    }

    /// Returns whether a question or a run came to its end.
    fn take_event(&mut self, event: TechnicianEvent, now: Moment) -> bool {
        match event {
            TechnicianEvent::Asking { subject, answer_by } => {
                let secs = u32::try_from((answer_by - now).as_secs()).unwrap_or(u32::MAX);
                match subject {
                    Subject::Request(request) => self.tell_waiting(request, Reply::Asking { answer_within_secs: secs }),
                    Subject::Run(run) => self.tell_courier(run, News::Asking { answer_within_secs: secs }),
                    Subject::Inspection(inspection) => {
                        self.tell_inspecting(inspection, Reply::Asking { answer_within_secs: secs });
                    }
                }
                false
            }
            TechnicianEvent::Granted(notice) => {
                let abilities = ability_names(&notice.abilities);
                let stay = units::duration(std::time::Duration::from_secs(notice.stay_secs.into()));
                match notice.subject {
                    Subject::Request(request) => {
                        self.answered(request);
                        self.board.note(format!("the end user allowed {abilities} for {stay}"), now);
                        self.tell_waiting(
                            request,
                            Reply::Granted { abilities: notice.abilities, stay_secs: notice.stay_secs },
                        );
                        self.waiting.remove(&request);
                    }
                    Subject::Run(run) => self.board.note(format!("{run}: the end user allowed it"), now),
                    Subject::Inspection(inspection) => {
                        let what = self.board.subject(notice.subject);
                        self.board.note(format!("the end user allowed, once: {what}"), now);
                        let granted = Reply::Granted { abilities: notice.abilities, stay_secs: notice.stay_secs };
                        self.tell_inspecting(inspection, granted);
                    }
                }
                true
            }
            TechnicianEvent::Denied { subject, reason } => {
                let what = self.board.subject(subject);
                match subject {
                    Subject::Request(request) => {
                        self.answered(request);
                        self.board.note(format!("not allowed: {what}: {reason}"), now);
                        self.tell_waiting(request, Reply::Denied { reason });
                        self.waiting.remove(&request);
                    }
                    Subject::Run(run) => {
                        self.board.note(format!("{run}: not run: {reason}"), now);
                        self.tell_courier(run, News::Denied { reason });
                    }
                    // Told as not inspected.
                    Subject::Inspection(_) => {}
                }
                true
            }
            TechnicianEvent::Narrowed { abilities, .. } => {
                self.board.note(format!("the end user took part back; left: {}", ability_names(&abilities)), now);
                false
            }
            TechnicianEvent::GrantEnded { grant, reason } => {
                self.board.note(format!("{grant} is over: {}", words::grant_end(reason)), now);
                false
            }
            TechnicianEvent::Paused { reason, .. } => {
                self.board.absence = Some(reason);
                self.board.note("the end user is away: everything stands still".to_owned(), now);
                false
            }
            TechnicianEvent::Resumed => {
                self.board.absence = None;
                self.board.note("the end user is back".to_owned(), now);
                false
            }
            TechnicianEvent::RunStarted { run, digest } => {
                self.tell_courier(run, News::Started { digest });
                false
            }
            TechnicianEvent::RunFinished { run, outcome, stdout, stderr } => {
                self.board.note(format!("{run}: {}", words::outcome(&outcome)), now);
                // Its output may still be on the way, so the courier goes on.
                self.tell_courier(run, News::Finished { outcome, stdout, stderr });
                true
            }
            TechnicianEvent::Direct(offer) => {
                self.direct_offer = Some(offer);
                false
            }
            TechnicianEvent::NotInspected { inspection, reason } => {
                if let Some(what) = self.board.inspection_over(inspection) {
                    self.board.note(format!("not read: {what}: {reason}"), now);
                }
                if let Some(replies) = self.inspecting.remove(&inspection) {
                    let _ = replies.try_send(Reply::Denied { reason });
                }
                false
            }
            TechnicianEvent::AuditLine(line) => {
                self.take_audit_line(&line, now);
                false
            }
            TechnicianEvent::Ended(reason) => {
                self.board.note(format!("the session is over: {reason}"), now);
                true
            }
            _ => false,
        }
    }

    fn answered(&mut self, request: RequestId) {
        self.board.answered |= request == self.first;
    }

    fn take_audit_line(&mut self, line: &[u8], now: Moment) {
        let Some(copy) = &mut self.copy else { return };
        if let Some(standing) = copy.push(line) {
            if standing == Standing::WordsConfirmed {
                self.board.note("the end user confirmed the two words".to_owned(), now);
            }
            self.board.technician.standing = standing;
        }
        self.board.receipt = copy.status();
    }

    /// Tells everybody who waits that nothing more comes.
    pub(super) fn session_over(&mut self, reason: EndReason) {
        for courier in std::mem::take(&mut self.couriers).into_values() {
            // One that is gone needs no news.
            let _ = courier.try_send(News::SessionOver { reason });
        }
        let inspecting = std::mem::take(&mut self.inspecting).into_values();
        for replies in std::mem::take(&mut self.waiting).into_values().chain(inspecting) {
            let _ = replies.try_send(Reply::Ended { reason });
        }
    }

    /// Closes the copy of the audit log and says what became of the session.
    pub(super) fn outcome(&mut self, reason: EndReason) -> Outcome {
        let (receipt, receipt_problem) = self.copy.take().map_or((None, None), AuditCopy::finish);
        if let (file, Some(problem)) = (&receipt, &receipt_problem) {
            let file = file.as_deref().map(|file| file.display().to_string());
            self.board.receipt = ReceiptStatus::Broken { file, problem: problem.clone() };
        }
        Outcome { reason, detail: self.board.end_detail.clone(), receipt, receipt_problem }
    }

    /// Measures the path, if there is one.
    pub(super) fn measured(&mut self, stats: Option<PathStats>, now: Moment) {
        self.board.measured(stats, now);
    }

    pub(super) fn path_lost(&mut self, why: &str, now: Moment) {
        if self.board.path_lost(why.to_owned(), now) {
            self.board.note(format!("reconnecting: {why}"), now);
        }
    }

    /// As [`Desk::path_lost`], for want of a better reason.
    pub(super) fn path_still_lost(&mut self, why: &str, now: Moment) {
        if !self.board.is_lost() {
            self.path_lost(why, now);
        }
    }

    pub(super) fn path_found(&mut self, now: Moment) {
        if self.board.path_found() {
            self.board.note("connected again".to_owned(), now);
        }
    }
}

fn draft(ask: RunAsk) -> Result<RunDraft, RefusedReason> {
    let invalid = |detail: &str| RefusedReason::Invalid { detail: detail.to_owned() };
    let mut parts = ask.command.into_iter().map(|Bytes(part)| part);
    Ok(RunDraft {
        reason: ask.reason,
        program: parts.next().ok_or_else(|| invalid("no program is named"))?,
        arguments: parts.collect(),
        directory: ask.directory.map(|Bytes(directory)| directory),
        environment: ask.environment.into_iter().map(|(Bytes(name), Bytes(value))| Variable { name, value }).collect(),
        limits: RunLimits { time_secs: ask.time_secs, output_bytes: ask.output_bytes, memory_mib: ask.memory_mib },
    })
}

fn refused(error: CommandError) -> RefusedReason {
    match error {
        CommandError::Over => RefusedReason::NotReady(NotReady::Over),
        CommandError::TooMany => RefusedReason::TooManyQuestions,
        CommandError::TooFast => RefusedReason::TooFast,
        CommandError::Malformed | CommandError::Proposal(_) | CommandError::NoSuchRun | _ => {
            RefusedReason::Invalid { detail: error.to_string() }
        }
    }
}
