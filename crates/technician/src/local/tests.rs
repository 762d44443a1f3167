//! Commands and a session's process on one socket, with the session played by the test.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::{mpsc, watch},
    task::JoinSet,
};
use transport::clock;
use wire::{
    diagnostics::{
        Panel, Panels, View,
        inspect::{Inspect, Inspected},
    },
    ids::{InspectionId, RunId, SessionId},
    run::{OutputCount, RunOutcome},
    session::{Ability, DenyReason, EndReason, Output},
    text::Sentence,
};

use super::{
    client::{self, ClientError, Conversation},
    protocol::{Ask, Bytes, Flow, RefusedReason, Reply, RequestAsk, RunAsk, VERSION},
    server::{self, Patience},
    socket::{self, SessionSocket},
};
use crate::{
    owner::{Command, Handle, Readings, Viewers},
    screen::draw::testing,
    status::{Phase, Status},
};

const SESSION: SessionId = SessionId([0xa5; 8]);

/// A session that does nothing by itself.
struct Played {
    directory: tempfile::TempDir,
    status: watch::Sender<Arc<Status>>,
    readings: watch::Sender<Readings>,
    commands: mpsc::Receiver<Command>,
    viewers: Viewers,
    server: JoinSet<()>,
}

impl Played {
    fn start() -> Self {
        Self::with(Patience::USUAL)
    }

    fn with(patience: Patience) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (status, status_out) = watch::channel(Arc::new(testing::status()));
        let (readings, readings_out) = watch::channel(Readings::default());
        let (commands, inbox) = mpsc::channel(8);
        let viewers = Viewers::new();
        let handle = Handle { status: status_out, readings: readings_out, commands, viewers: viewers.clone() };
        let socket = SessionSocket::bind(&place(directory.path()), SESSION).unwrap();
        let mut server = JoinSet::new();
        server.spawn(server::serve(socket, handle, patience));
        Self { directory, status, readings, commands: inbox, viewers, server }
    }

    fn runtime(&self) -> std::path::PathBuf {
        place(self.directory.path())
    }

    async fn ask(&self, ask: Ask) -> Conversation {
        Conversation::begin(&self.runtime(), None, ask).await.unwrap()
    }

    async fn raw(&self) -> UnixStream {
        UnixStream::connect(self.runtime().join(format!("{SESSION}.sock"))).await.unwrap()
    }

    fn end(&self, reason: EndReason) {
        self.status.send_modify(|status| {
            let mut ended = status.as_ref().clone();
            ended.phase = Phase::Ended { reason, text: reason.to_string() };
            *status = Arc::new(ended);
        });
    }

    fn reading(&self, tick: u64) {
        self.reading_of(tick, Panels::ALL);
    }

    fn reading_of(&self, tick: u64, panels: Panels) {
        self.readings.send_modify(|readings| {
            let mut sample = testing::sample();
            sample.tick = tick;
            sample.view.panels = panels;
            readings.card = Some(Arc::new(testing::card()));
            readings.sample = Some(Arc::new(sample));
            readings.at = clock::now();
        });
    }
}

fn place(directory: &Path) -> std::path::PathBuf {
    directory.join("assent")
}

fn run_ask() -> Ask {
    Ask::Run(RunAsk {
        reason: Sentence::cut("why"),
        command: vec![Bytes(b"ls".to_vec())],
        directory: None,
        environment: Vec::new(),
        time_secs: 60,
        output_bytes: 1 << 20,
        memory_mib: 512,
    })
}

fn finished() -> Reply {
    let none = OutputCount::default();
    Reply::Finished { outcome: RunOutcome::Exited { code: 0 }, stdout: none, stderr: none, lost_bytes: 0 }
}

async fn accept_run(played: &mut Played) -> mpsc::Sender<Reply> {
    let Some(Command::Run { replies, accepted, .. }) = played.commands.recv().await else { panic!() };
    accepted.send(Ok(RunId(1))).unwrap();
    replies
}

#[tokio::test]
async fn a_command_finds_the_newest_session_and_asks_how_it_stands() {
    let played = Played::start();
    let mut conversation = played.ask(Ask::Status).await;
    assert_eq!(conversation.next().await.unwrap(), Reply::Status(Box::new(testing::status())));
    assert!(matches!(conversation.next().await, Err(ClientError::Closed)));
    assert_eq!(client::live_sessions(&played.runtime()).await.unwrap(), [SESSION]);
}

#[tokio::test]
async fn a_session_is_named_by_the_beginning_of_its_id() {
    let played = Played::start();
    let other = SessionSocket::bind(&played.runtime(), SessionId([0xa6; 8])).unwrap();
    let runtime = played.runtime();
    assert!(Conversation::begin(&runtime, Some("a5"), Ask::Status).await.is_ok());
    let error = Conversation::begin(&runtime, Some("a"), Ask::Status).await.unwrap_err();
    assert!(matches!(error, ClientError::Ambiguous { .. }), "{error}");
    let error = Conversation::begin(&runtime, Some("b"), Ask::Status).await.unwrap_err();
    assert!(matches!(error, ClientError::NoSession { .. }), "{error}");
    drop(other);
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_recognised_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = place(directory.path());
    let error = Conversation::begin(&runtime, None, Ask::Status).await.unwrap_err();
    assert!(matches!(error, ClientError::NoSession { wanted: None }), "there is no directory yet: {error}");

    let socket = SessionSocket::bind(&runtime, SESSION).unwrap();
    let stale = runtime.join(format!("{SESSION}.sock"));
    // What a process leaves behind that is killed: the file without the listener.
    let kept = runtime.join("kept");
    std::fs::hard_link(&stale, &kept).unwrap();
    drop(socket);
    std::fs::rename(&kept, &stale).unwrap();
    assert_eq!(socket::candidates(&runtime).unwrap().len(), 1);

    let error = Conversation::begin(&runtime, None, Ask::Status).await.unwrap_err();
    assert!(matches!(error, ClientError::NoSession { .. }), "{error}");
    assert!(!stale.exists());
}

#[tokio::test]
async fn the_socket_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let played = Played::start();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&played.runtime()), 0o700);
    assert_eq!(mode(&played.runtime().join(format!("{SESSION}.sock"))), 0o600);

    std::fs::set_permissions(played.runtime(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = Conversation::begin(&played.runtime(), None, Ask::Status).await.unwrap_err();
    assert!(matches!(error, ClientError::Socket(_)), "{error}");
}

#[tokio::test]
async fn a_run_is_asked_for_and_its_output_comes_back() {
    let mut played = Played::start();
    let mut conversation = played.ask(run_ask()).await;
    let replies = accept_run(&mut played).await;
    let output = Reply::Output { output: Output::Stderr, bytes: Bytes(vec![0xff, 0, b'\n']) };
    for reply in [Reply::Asking { answer_within_secs: 9 }, output.clone(), finished()] {
        replies.send(reply).await.unwrap();
    }
    assert_eq!(conversation.next().await.unwrap(), Reply::Asking { answer_within_secs: 9 });
    assert_eq!(conversation.next().await.unwrap(), output);
    assert_eq!(conversation.next().await.unwrap(), finished());
}

#[tokio::test]
async fn a_run_is_cancelled_when_asked_and_when_nobody_waits_for_it_any_more() {
    let mut played = Played::start();
    let mut conversation = played.ask(run_ask()).await;
    let _replies = accept_run(&mut played).await;
    conversation.cancel().await.unwrap();
    assert!(matches!(played.commands.recv().await, Some(Command::CancelRun { run: RunId(1) })));
    drop(conversation);
    assert!(matches!(played.commands.recv().await, Some(Command::CancelRun { run: RunId(1) })));
}

async fn accept_inspection(played: &mut Played) -> mpsc::Sender<Reply> {
    let Some(Command::Inspect { accepted, replies, .. }) = played.commands.recv().await else { panic!() };
    accepted.send(Ok(InspectionId(3))).unwrap();
    replies
}

#[tokio::test]
async fn an_inspection_that_asks_first_is_told_of_until_its_answer() {
    let mut played = Played::start();
    let mut conversation = played.ask(Ask::Inspect(Inspect::Arguments { pid: 7, start_ticks: 1 })).await;
    let replies = accept_inspection(&mut played).await;
    let asking = Reply::Asking { answer_within_secs: 9 };
    let granted = Reply::Granted { abilities: vec![Ability::DiagArguments], stay_secs: 90 };
    let answer = Reply::Inspected(Box::new(Inspected::History(Vec::new())));
    for reply in [asking, granted, answer] {
        replies.send(reply.clone()).await.unwrap();
        assert_eq!(conversation.next().await.unwrap(), reply);
    }
}

#[tokio::test]
async fn the_question_of_an_inspection_is_taken_back_when_nobody_waits_for_it_any_more() {
    let mut played = Played::start();
    let mut conversation = played.ask(Ask::Inspect(Inspect::Arguments { pid: 7, start_ticks: 1 })).await;
    let replies = accept_inspection(&mut played).await;
    replies.send(Reply::Asking { answer_within_secs: 9 }).await.unwrap();
    assert!(matches!(conversation.next().await.unwrap(), Reply::Asking { .. }));
    drop(conversation);
    let cancelled = played.commands.recv().await;
    assert!(matches!(cancelled, Some(Command::CancelInspection { inspection: InspectionId(3) })));
}

#[tokio::test]
async fn a_refused_command_is_told_why() {
    let mut played = Played::start();
    let ask =
        Ask::Request(RequestAsk { abilities: vec![Ability::DiagBasic], reason: Sentence::default(), stay_secs: 60 });
    let mut conversation = played.ask(ask.clone()).await;
    let Some(Command::Request { accepted, .. }) = played.commands.recv().await else { panic!() };
    accepted.send(Err(RefusedReason::TooManyQuestions)).unwrap();
    let error = conversation.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(RefusedReason::TooManyQuestions)), "{error}");

    let mut conversation = played.ask(ask).await;
    let Some(Command::Request { accepted, replies, .. }) = played.commands.recv().await else { panic!() };
    accepted.send(Ok(())).unwrap();
    let denied = Reply::Denied { reason: DenyReason::ByUser };
    replies.send(denied.clone()).await.unwrap();
    assert_eq!(conversation.next().await.unwrap(), denied);
}

#[tokio::test]
async fn diagnostics_begin_with_the_newest_reading_and_say_when_they_stand_still() {
    let played = Played::start();
    played.reading(7);
    let mut conversation = played.ask(Ask::Diagnostics(View::default())).await;
    assert_eq!(conversation.next().await.unwrap(), Reply::Flow(Flow::Flowing));
    assert!(matches!(conversation.next().await.unwrap(), Reply::Card(_)));
    let tick = |reply| {
        let Reply::Sample { sample, .. } = reply else { panic!("{reply:?}") };
        sample.tick
    };
    assert_eq!(tick(conversation.next().await.unwrap()), 7);
    played.reading(8);
    assert_eq!(tick(conversation.next().await.unwrap()), 8);

    played.status.send_modify(|status| {
        let mut lapsed = status.as_ref().clone();
        lapsed.grants.clear();
        *status = Arc::new(lapsed);
    });
    assert_eq!(conversation.next().await.unwrap(), Reply::Flow(Flow::NotAllowed));
    played.end(EndReason::ByUser);
    let mut last = conversation.next().await.unwrap();
    while last != (Reply::Ended { reason: EndReason::ByUser }) {
        last = conversation.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_command_waits_for_a_reading_with_what_it_looks_at() {
    let played = Played::start();
    played.reading_of(1, Panels::OVERVIEW.with(Panel::Cores));
    let mut conversation = played.ask(Ask::Diagnostics(Panels::OVERVIEW.with(Panel::Disks).into())).await;
    assert_eq!(conversation.next().await.unwrap(), Reply::Flow(Flow::Flowing));
    assert!(matches!(conversation.next().await.unwrap(), Reply::Card(_)));
    assert_eq!(played.viewers.view().panels, Panels::OVERVIEW.with(Panel::Disks), "and the machine is told");
    played.reading_of(2, Panels::ALL);
    let Reply::Sample { sample, .. } = conversation.next().await.unwrap() else { panic!() };
    assert_eq!(sample.tick, 2);
    let mut changes = played.viewers.changes();
    drop(conversation);
    changes.next().await;
    assert_eq!(played.viewers.view().panels, Panels::OVERVIEW, "nobody looks any more");
}

#[tokio::test]
async fn ending_the_session_answers_and_removes_the_socket() {
    let mut played = Played::start();
    let mut conversation = played.ask(Ask::End).await;
    assert!(matches!(played.commands.recv().await, Some(Command::End)));
    played.end(EndReason::ByTechnician);
    assert_eq!(conversation.next().await.unwrap(), Reply::Ended { reason: EndReason::ByTechnician });
    played.server.join_next().await.unwrap().unwrap();
    assert!(!played.runtime().join(format!("{SESSION}.sock")).exists());
}

#[tokio::test]
async fn hostile_lines_are_refused_and_disturb_nobody() {
    let played = Played::start();
    let long = vec![b'x'; 200 * 1024];
    let other_version = br#"{"version":999,"ask":"status"}"#.to_vec();
    let unknown = br#"{"version":1,"ask":"everything"}"#.to_vec();
    for (line, why) in
        [(long, "malformed"), (other_version, "version"), (unknown, "malformed"), (b"\xff".to_vec(), "malformed")]
    {
        let mut stream = played.raw().await;
        // A line that is cut off in the middle may not be taken whole.
        let _ = stream.write_all(&[line, b"\n".to_vec()].concat()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.contains(why) || answer.is_empty(), "{answer}");
    }
    assert!(played.ask(Ask::Status).await.next().await.is_ok());
}

#[tokio::test]
async fn more_commands_than_there_are_places_are_told_so() {
    let mut played = Played::start();
    let mut busy = Vec::new();
    for _ in 0..server::CLIENTS {
        busy.push(played.ask(run_ask()).await);
        let Some(Command::Run { accepted, replies, .. }) = played.commands.recv().await else { panic!() };
        accepted.send(Ok(RunId(1))).unwrap();
        // Kept, so that the command goes on waiting.
        std::mem::forget(replies);
    }
    let error = played.ask(Ask::Status).await.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(RefusedReason::TooMany)), "{error}");
    drop(busy.pop());
    assert!(matches!(played.commands.recv().await, Some(Command::CancelRun { .. })));
    assert!(played.ask(Ask::Status).await.next().await.is_ok(), "a place is free again");
}

#[tokio::test]
async fn a_command_that_reads_nothing_is_cut_off_and_told_so() {
    let patience = Patience { slow_after: Duration::from_millis(50), why: Duration::from_secs(60), ..Patience::USUAL };
    let mut played = Played::with(patience);
    let mut stream = played.raw().await;
    let hello = serde_json::json!({ "version": VERSION, "ask": serde_json::to_value(run_ask()).unwrap() });
    stream.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
    let replies = accept_run(&mut played).await;
    let piece = Reply::Output { output: Output::Stdout, bytes: Bytes(vec![b'x'; 32 * 1024]) };
    // More than the socket and the queue hold: the run is held up, then cancelled.
    while replies.send(piece.clone()).await.is_ok() {}
    assert!(matches!(played.commands.recv().await, Some(Command::CancelRun { run: RunId(1) })));
    let mut everything = String::new();
    stream.read_to_string(&mut everything).await.unwrap();
    assert_eq!(everything.lines().last(), Some(r#"{"refused":{"reason":"too_slow"}}"#));
}
