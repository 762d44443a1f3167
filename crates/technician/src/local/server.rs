//! The side of the session's process: answers the other `assent` commands of the same user.

use std::{io, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt as _,
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use transport::clock;
use wire::{
    diagnostics::{
        View,
        inspect::{Inspect, Inspected},
        report::{Content, SectionReport},
        sections::logs::{LogQuery, MAX_LINES},
    },
    ids::RunId,
    session::{Ability, DenyReason, EndReason},
};

use super::{
    lines::LineReader,
    protocol::{
        Ask, Flow, Hello, More, NotReady, REPLY_LINE_BYTES, REQUEST_LINE_BYTES, RefusedReason, Reply, RequestAsk,
        RunAsk, VERSION,
    },
    socket::SessionSocket,
};
use crate::{
    owner::{Command, Handle},
    status::{Phase, Status},
};

/// Commands that may use a session at once. A person has a few terminals; a script that opens more waits for the others.
pub(crate) const CLIENTS: usize = 32;

/// How long a new connection may take to say what it wants.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// How long commands that do not read are waited for, and new log lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// A command that reads nothing for so long is cut off.
    pub(crate) slow_after: Duration,
    /// How long it may then take to read why.
    pub(crate) why: Duration,
    /// Time until lines are asked for again after some came.
    pub(crate) next_lines: Duration,
    /// It doubles up to this while none come.
    pub(crate) no_lines: Duration,
}

impl Patience {
    /// Long enough for a person with a pager, and for a machine that starts a program and writes a record for each question.
    pub(crate) const USUAL: Self = Self {
        slow_after: Duration::from_secs(300),
        why: Duration::from_secs(600),
        next_lines: Duration::from_secs(2),
        no_lines: Duration::from_secs(8),
    };
}

/// Replies that wait for one command: half a mebibyte of output at most, which keeps a fast run going while a command writes.
const REPLIES: usize = 16;

/// How long to wait when the operating system has no room for a connection.
const NO_ROOM: Duration = Duration::from_millis(200);

/// Answers until the session is over, and then until the last answers were read.
pub(crate) async fn serve(socket: SessionSocket, handle: Handle, patience: Patience) {
    let mut clients = JoinSet::new();
    let places = Arc::new(Semaphore::new(CLIENTS));
    let mut over = pin!(ended(handle.clone()));
    loop {
        tokio::select! {
            _ = &mut over => break,
            accepted = socket.accept() => match accepted {
                Ok(stream) => {
                    let (handle, places) = (handle.clone(), Arc::clone(&places));
                    clients.spawn(async move {
                        let (read, write) = stream.into_split();
                        let requests = LineReader::new(read, REQUEST_LINE_BYTES);
                        let mut client = Client { requests, write, unsent: Vec::new(), handle, patience };
                        let outcome = match places.try_acquire() {
                            Ok(_place) => client.serve().await,
                            Err(_) => client.refuse(RefusedReason::TooMany).await,
                        };
                        if outcome == Err(Gone::TooSlow) {
                            client.tell_why().await;
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a command could not connect");
                    tokio::time::sleep(NO_ROOM).await;
                }
            },
            Some(_) = clients.join_next() => {}
        }
    }
    drop(socket);
    while clients.join_next().await.is_some() {}
}

/// Returns when the session is over.
async fn ended(mut handle: Handle) -> EndReason {
    loop {
        if let Some(reason) = end_of(&handle.status.borrow_and_update()) {
            return reason;
        }
        if handle.status.changed().await.is_err() {
            return EndReason::Shutdown;
        }
    }
}

fn end_of(status: &Status) -> Option<EndReason> {
    match status.phase {
        Phase::Ended { reason, .. } => Some(reason),
        Phase::Connecting { .. }
        | Phase::WaitingForAnswer { .. }
        | Phase::Live
        | Phase::Paused { .. }
        | Phase::Reconnecting { .. } => None,
    }
}

fn flow(status: &Status) -> Flow {
    let allowed = status.grants.iter().any(|grant| grant.abilities.contains(&Ability::DiagBasic));
    match status.phase {
        Phase::Connecting { .. } | Phase::WaitingForAnswer { .. } => Flow::NotAnswered,
        Phase::Paused { .. } => Flow::Paused,
        Phase::Reconnecting { .. } => Flow::Reconnecting,
        Phase::Live | Phase::Ended { .. } if allowed => Flow::Flowing,
        Phase::Live | Phase::Ended { .. } => Flow::NotAllowed,
    }
}

/// Why a command is served no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// It went away.
    Left,
    /// It does not read.
    TooSlow,
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

struct Client {
    requests: LineReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// The rest of the line that is being written.
    unsent: Vec<u8>,
    handle: Handle,
    patience: Patience,
}

impl Client {
    async fn serve(&mut self) -> Result<(), Gone> {
        let hello = match timeout(HELLO_DEADLINE, self.requests.next::<Hello>()).await {
            Ok(Ok(Some(hello))) => hello,
            Ok(Ok(None)) => return Err(Gone::Left),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a command said something else");
                return self.refuse(RefusedReason::Malformed).await;
            }
            Err(_elapsed) => return self.refuse(RefusedReason::Malformed).await,
        };
        if hello.version != VERSION {
            return self.refuse(RefusedReason::Version { theirs: VERSION }).await;
        }
        match hello.ask {
            Ask::Status => {
                let status = self.handle.status.borrow().as_ref().clone();
                self.tell(&Reply::Status(Box::new(status))).await
            }
            Ask::Diagnostics(view) => self.diagnostics(view).await,
            Ask::Run(ask) => self.run(ask).await,
            Ask::Request(ask) => self.request(ask).await,
            Ask::Inspect(what) => self.inspect(what).await,
            Ask::Follow(query) => self.follow(query).await,
            Ask::End => self.end().await,
        }
    }

    /// The card and every reading from the newest one on. A command that reads slowly gets the newest and misses some, which shows
    /// in their numbers.
    async fn diagnostics(&mut self, view: View) -> Result<(), Gone> {
        let _viewer = self.handle.viewers.open(view);
        let Handle { mut status, mut readings, .. } = self.handle.clone();
        let (mut flow_told, mut card_told, mut findings_told, mut tick_told) = (None, None, None, None);
        loop {
            let (flow, ended) = {
                let status = status.borrow_and_update();
                (flow(&status), end_of(&status))
            };
            let (card, findings, sample, at) = {
                let newest = readings.borrow_and_update();
                (newest.card.clone(), Arc::clone(&newest.findings), newest.sample.clone(), newest.at)
            };
            if flow_told != Some(flow) {
                self.tell(&Reply::Flow(flow)).await?;
                flow_told = Some(flow);
            }
            if let Some(card) = card.filter(|card| card_told.as_ref() != Some(card)) {
                self.tell(&Reply::Card(Box::new(card.as_ref().clone()))).await?;
                card_told = Some(card);
            }
            if findings_told.as_ref() != Some(&findings) && !findings.is_empty() {
                self.tell(&Reply::Findings(findings.as_ref().clone())).await?;
                findings_told = Some(findings);
            }
            let sample = sample.filter(|sample| sample.view.panels.covers(view.panels));
            if let Some(sample) = sample.filter(|sample| tick_told != Some((sample.tick, at))) {
                tick_told = Some((sample.tick, at));
                let age_ms = u64::try_from((clock::now() - at).as_millis()).unwrap_or(u64::MAX);
                self.tell(&Reply::Sample { age_ms, sample: Box::new(sample.as_ref().clone()) }).await?;
            }
            if let Some(reason) = ended {
                return self.tell(&Reply::Ended { reason }).await;
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return Ok(()) },
                changed = readings.changed() => if changed.is_err() { return Ok(()) },
                more = self.requests.next::<More>() => return match more {
                    Err(_) => self.refuse(RefusedReason::Malformed).await,
                    Ok(_) => Err(Gone::Left),
                },
            }
        }
    }

    async fn run(&mut self, ask: RunAsk) -> Result<(), Gone> {
        let (replies, mut told) = mpsc::channel(REPLIES);
        let (accepted, answer) = oneshot::channel();
        let run = match self.command(Command::Run { ask, replies, accepted }, answer).await {
            Ok(run) => run,
            Err(reason) => return self.refuse(reason).await,
        };
        let outcome = self.follow_run(run, &mut told).await;
        if outcome.is_err() {
            // Nobody reads its output any more. A run that is over is left alone.
            let _ = self.handle.commands.send(Command::CancelRun { run }).await;
        }
        outcome
    }

    async fn follow_run(&mut self, run: RunId, told: &mut mpsc::Receiver<Reply>) -> Result<(), Gone> {
        loop {
            tokio::select! {
                reply = told.recv() => match reply {
                    Some(reply) => {
                        let last = matches!(reply, Reply::Finished { .. } | Reply::Denied { .. } | Reply::Ended { .. });
                        self.tell(&reply).await?;
                        if last {
                            return Ok(());
                        }
                    }
                    None => return Ok(()),
                },
                more = self.requests.next::<More>() => match more {
                    Ok(Some(More::Cancel)) => {
                        // The session is over: the end is told by the other branch.
                        let _ = self.handle.commands.send(Command::CancelRun { run }).await;
                    }
                    Ok(None) | Err(_) => return Err(Gone::Left),
                },
            }
        }
    }

    async fn request(&mut self, ask: RequestAsk) -> Result<(), Gone> {
        let (replies, mut told) = mpsc::channel(REPLIES);
        let (accepted, answer) = oneshot::channel();
        if let Err(reason) = self.command(Command::Request { ask, replies, accepted }, answer).await {
            return self.refuse(reason).await;
        }
        while let Some(reply) = told.recv().await {
            self.tell(&reply).await?;
        }
        Ok(())
    }

    async fn inspect(&mut self, what: Inspect) -> Result<(), Gone> {
        let (replies, mut told) = mpsc::channel(REPLIES);
        let (accepted, answer) = oneshot::channel();
        let inspection = match self.command(Command::Inspect { what, replies, accepted }, answer).await {
            Ok(inspection) => inspection,
            Err(reason) => return self.refuse(reason).await,
        };
        let outcome = self.follow_inspection(&mut told).await;
        if outcome.is_err() {
            // Nobody waits for the answer any more. One that is over is left alone.
            let _ = self.handle.commands.send(Command::CancelInspection { inspection }).await;
        }
        outcome
    }

    async fn follow_inspection(&mut self, told: &mut mpsc::Receiver<Reply>) -> Result<(), Gone> {
        loop {
            tokio::select! {
                reply = told.recv() => {
                    let Some(reply) = reply else { return Ok(()) };
                    let more_follows = matches!(reply, Reply::Asking { .. } | Reply::Granted { .. });
                    self.tell(&reply).await?;
                    if !more_follows {
                        return Ok(());
                    }
                }
                _ = self.requests.next::<More>() => return Err(Gone::Left),
            }
        }
    }

    /// The lines that `query` asks for, and page by page those that come.
    async fn follow(&mut self, mut query: LogQuery) -> Result<(), Gone> {
        let (mut flow_told, mut wait) = (None, self.patience.next_lines);
        loop {
            match self.page(&query).await? {
                Page::Read(section) => {
                    wait = if go_on_behind(&mut query, &section) {
                        self.patience.next_lines
                    } else {
                        (wait * 2).min(self.patience.no_lines)
                    };
                    flow_told = None;
                    self.tell(&Reply::Inspected(Box::new(Inspected::Section(section)))).await?;
                }
                Page::NotNow(flow) => {
                    if let Some(flow) = flow.filter(|flow| flow_told != Some(*flow)) {
                        self.tell(&Reply::Flow(flow)).await?;
                        flow_told = Some(flow);
                    }
                }
                Page::Last(reply) => return self.tell(&reply).await,
            }
            let over = ended(self.handle.clone());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                reason = over => return self.tell(&Reply::Ended { reason }).await,
                _ = self.requests.next::<More>() => return Err(Gone::Left),
            }
        }
    }

    /// Asks once.
    async fn page(&mut self, query: &LogQuery) -> Result<Page, Gone> {
        let (replies, mut told) = mpsc::channel(REPLIES);
        let (accepted, answer) = oneshot::channel();
        let what = Inspect::Logs(query.clone());
        let inspection = match self.command(Command::Inspect { what, replies, accepted }, answer).await {
            Ok(inspection) => inspection,
            Err(RefusedReason::NotReady(NotReady::Paused)) => return Ok(Page::NotNow(Some(Flow::Paused))),
            Err(RefusedReason::NotReady(NotReady::Reconnecting)) => return Ok(Page::NotNow(Some(Flow::Reconnecting))),
            // Other commands have as much read as there may be at once.
            Err(RefusedReason::TooManyQuestions | RefusedReason::TooFast) => return Ok(Page::NotNow(None)),
            Err(RefusedReason::NotReady(NotReady::Over)) => return Ok(self.over().await),
            Err(reason) => return Ok(Page::Last(Reply::Refused { reason })),
        };
        let reply = tokio::select! {
            reply = told.recv() => reply,
            _ = self.requests.next::<More>() => {
                let _ = self.handle.commands.send(Command::CancelInspection { inspection }).await;
                return Err(Gone::Left);
            }
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply is told as it is, and ends it")]
        Ok(match reply {
            Some(Reply::Inspected(inspected)) => match *inspected {
                Inspected::Section(section) => Page::Read(section),
                other => Page::Last(Reply::Inspected(Box::new(other))),
            },
            Some(Reply::Denied { reason: DenyReason::Away }) => Page::NotNow(Some(Flow::Paused)),
            Some(Reply::Denied { reason: DenyReason::TooMany }) => Page::NotNow(None),
            Some(reply) => Page::Last(reply),
            None => self.over().await,
        })
    }

    /// The session is over; its end is told in a moment.
    async fn over(&self) -> Page {
        Page::Last(Reply::Ended { reason: ended(self.handle.clone()).await })
    }

    async fn end(&mut self) -> Result<(), Gone> {
        // If the session is over already, that is what was wanted.
        let _ = self.handle.commands.send(Command::End).await;
        let reason = ended(self.handle.clone()).await;
        self.tell(&Reply::Ended { reason }).await
    }

    /// Asks the actor for something that it takes or refuses at once.
    async fn command<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<T, RefusedReason>>,
    ) -> Result<T, RefusedReason> {
        let over = || RefusedReason::NotReady(NotReady::Over);
        self.handle.commands.send(command).await.map_err(|_| over())?;
        answer.await.map_err(|_| over())?
    }

    async fn refuse(&mut self, reason: RefusedReason) -> Result<(), Gone> {
        self.tell(&Reply::Refused { reason }).await
    }

    /// Writes a reply.
    ///
    /// # Errors
    ///
    /// [`Gone::TooSlow`] if nothing of it was read for [`Patience::slow_after`]; the rest of the line is kept.
    async fn tell(&mut self, reply: &Reply) -> Result<(), Gone> {
        self.unsent = line(reply);
        self.flush(self.patience.slow_after).await
    }

    async fn flush(&mut self, patience: Duration) -> Result<(), Gone> {
        while !self.unsent.is_empty() {
            match timeout(patience, self.write.write(&self.unsent)).await {
                Ok(written) => drop(self.unsent.drain(..written?)),
                Err(_elapsed) => return Err(Gone::TooSlow),
            }
        }
        Ok(())
    }

    /// Tells a command that was cut off, if it ever reads again.
    async fn tell_why(&mut self) {
        self.unsent.extend(line(&Reply::Refused { reason: RefusedReason::TooSlow }));
        let over = ended(self.handle.clone());
        tokio::select! {
            _ = self.flush(self.patience.why) => {}
            _ = over => {}
        }
    }
}

/// What came of asking for log lines.
enum Page {
    /// Lines, or that there are none.
    Read(Box<SectionReport>),
    /// Nothing for a while, and why if that is worth a word.
    NotNow(Option<Flow>),
    /// This is told, and nothing after it.
    Last(Reply),
}

/// Makes `query` ask for what stands behind the lines of `section`. Returns whether there are any.
fn go_on_behind(query: &mut LogQuery, section: &SectionReport) -> bool {
    let cursor = match &section.content {
        Some(Content::Logs(logs)) => logs.cursor.clone(),
        Some(_) | None => None,
    };
    let came = cursor.is_some();
    if came {
        // The journal goes by a place or by a time, not by both.
        (query.after, query.since) = (cursor, None);
    } else if query.after.is_none() && section.content.is_some() {
        // There was no line when the reading began.
        query.since = Some(section.taken_at);
    }
    query.limit = MAX_LINES;
    came
}

fn line(reply: &Reply) -> Vec<u8> {
    let mut line = match serde_json::to_vec(reply) {
        Ok(line) if line.len() < REPLY_LINE_BYTES => line,
        // Every reply is within its bounds; a command would rather know than wait.
        Ok(_) | Err(_) => br#"{"refused":{"reason":"malformed"}}"#.to_vec(),
    };
    line.push(b'\n');
    line
}
