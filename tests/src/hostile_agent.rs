//! A machine that is not what it says: nothing that it sends acts on the technician's terminal, and what breaks the rules ends the session.

use std::sync::Arc;

use anyhow::Context as _;
use pty::{Size, Terminal};
use serde_json::Value;
use testkit::{
    PATIENCE,
    attach::Technician,
    hostile::{agent::AgentPeer, frames::RawFrame, session::PeerSession},
    relay::RelayProcess,
    running::{Finished, Running},
};
use tokio::time::timeout;
use transport::{
    sealed::Sealed,
    streams::{ByteSender, FrameReceiver, FrameSender, Priority},
};
use wire::{
    codec::Message,
    diagnostics::{
        Filesystem, FilesystemState, IdentityCard, Process, Snapshot, StreamFrame, Temperature, Unreadable,
        report::Report,
    },
    ids::{Digest, GrantId, RequestId, RunId},
    run::{OutputCount, RunOutcome, RunProposal, StartFailure},
    session::{
        Ability, Absence, EndReason, GrantEnd, GrantNotice, Output, StreamHeader, Subject, ToAgent, ToTechnician,
    },
    text::{Label, Sentence},
    time::WallTime,
};

/// Clears the screen, sets the title, rings, writes backwards, ends a C string, moves to the left edge.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{202e}\0\u{9b}31m\r";

/// The least that is seen of it wherever it is shown.
const SHOWN: &str = "\\u{1b}[2J";

/// A machine that does what the test says, and the technician's real program attached to it.
struct Trap {
    _relay: RelayProcess,
    technician: Technician,
    /// Its socket.
    _peer: AgentPeer,
    sealed: Arc<Sealed>,
    sender: FrameSender,
    receiver: FrameReceiver,
    /// What the technician asked for first.
    first: RequestId,
}

impl Trap {
    /// Starts the technician with `attach`, which is given the code, and pairs with it.
    async fn set<T>(attach: impl FnOnce(&Technician, &str) -> anyhow::Result<T>) -> anyhow::Result<(Self, T)> {
        let relay = RelayProcess::start().await?;
        let technician = Technician::new(relay.link())?;
        let mut peer = AgentPeer::connect(relay.link()).await?;
        let code = peer.code().await?;
        let attached = attach(&technician, &code.to_string())?;
        let (session, introduction) = peer.pair(&code).await??;
        let PeerSession { sealed, sender, receiver, .. } = session;
        let (sealed, first) = (Arc::new(sealed), introduction.request.request);
        Ok((Self { _relay: relay, technician, _peer: peer, sealed, sender, receiver, first }, attached))
    }

    async fn in_lines() -> anyhow::Result<(Self, Running)> {
        Self::set(|technician, code| technician.attach(code)).await
    }

    async fn send(&mut self, message: &ToTechnician) -> anyhow::Result<()> {
        Ok(self.sender.send(message).await?)
    }

    /// Says yes to the technician's first request, as a person would have.
    async fn grant(&mut self) -> anyhow::Result<()> {
        let notice = self.notice(1);
        self.send(&ToTechnician::Granted(notice)).await
    }

    fn notice(&self, grant: u32) -> GrantNotice {
        let subject = Subject::Request(self.first);
        GrantNotice { grant: GrantId(grant), subject, abilities: vec![Ability::DiagBasic], stay_secs: 60 }
    }

    /// Waits for a proposed run, and starts it as if a person had said yes.
    async fn start_run(&mut self) -> anyhow::Result<RunProposal> {
        let receiver = &mut self.receiver;
        let proposed = async {
            loop {
                let message = receiver.recv::<ToAgent>().await?.context("the technician says nothing more")?;
                if let ToAgent::ProposeRun(proposal) = message {
                    return anyhow::Ok(proposal);
                }
            }
        };
        let proposal = timeout(PATIENCE, proposed).await.context("waiting for a proposal")??;
        let (run, subject) = (proposal.run, Subject::Run(proposal.run));
        let abilities = vec![Ability::AdhocArgv];
        self.send(&ToTechnician::Granted(GrantNotice { grant: GrantId(2), subject, abilities, stay_secs: 60 })).await?;
        self.send(&ToTechnician::RunStarted { run, digest: Digest([7; 32]) }).await?;
        Ok(proposal)
    }

    async fn stream(&self, header: &StreamHeader) -> anyhow::Result<ByteSender> {
        let mut stream = self.sealed.open_uni(Priority::Bulk).await?;
        stream.send(header).await?;
        Ok(stream)
    }

    /// Sends diagnostics in which every text is hostile.
    async fn show_machine(&self) -> anyhow::Result<ByteSender> {
        let mut stream = self.stream(&StreamHeader::Diagnostics).await?;
        stream.send(&StreamFrame::Opening(Box::new(Report::new(card(), WallTime(0))))).await?;
        stream.send(&StreamFrame::Key(Box::new(snapshot()))).await?;
        Ok(stream)
    }
}

fn card() -> IdentityCard {
    let label = || Label::cut(HOSTILE);
    IdentityCard {
        host: label(),
        system: label(),
        kernel: label(),
        architecture: label(),
        model: label(),
        virtualisation: Some(label()),
        processor: label(),
        cores: 4,
        memory_kib: 1 << 20,
        agent_version: label(),
        user: label(),
        administrator: false,
    }
}

fn snapshot() -> Snapshot {
    let label = || Label::cut(HOSTILE);
    let process = Process {
        pid: 7,
        start_ticks: 1,
        name: label(),
        owner: label(),
        cpu_permille: 900,
        resident_kib: 1000,
        threads: 1,
        state: '\u{1b}',
        read_kib_s: None,
        write_kib_s: None,
    };
    let filesystem = Filesystem {
        mount: label(),
        kind: label(),
        total_kib: 1000,
        available_kib: 10,
        inodes_total: 0,
        inodes_free: 0,
        state: FilesystemState::ReadOnly,
    };
    Snapshot {
        tick: 1,
        interval_ms: 1000,
        filesystems: vec![filesystem],
        temperatures: vec![Temperature { label: label(), deci_celsius: 400 }],
        processes_total: 1,
        processes_readable: 1,
        processes: vec![process],
        unreadable: vec![Unreadable { source: label(), reason: Sentence::cut(HOSTILE) }],
        ..Snapshot::default()
    }
}

/// Nothing of [`HOSTILE`] is in what a terminal was given.
#[track_caller]
fn assert_acts_nowhere(bytes: &[u8]) {
    for part in ["\u{1b}]0;x", "\u{7}", "\u{202e}", "\0", "\u{9b}", "31m\r"] {
        let found = bytes.windows(part.len()).position(|window| window == part.as_bytes());
        assert!(found.is_none(), "{part:?} came through: {}", wire::text::shown_bytes(bytes));
    }
}

#[track_caller]
fn assert_terminal_is_safe(terminal: &Terminal) {
    let screen = terminal.screen();
    assert_eq!(screen.forgotten_bytes(), 0);
    assert_acts_nowhere(screen.raw());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_act_on_a_terminal_are_shown_on_the_screen_and_act_on_none() -> anyhow::Result<()> {
    let at_screen = |technician: &Technician, code: &str| technician.attach_at_terminal(code, Size::ROOMY);
    let (mut trap, mut screen) = Trap::set(at_screen).await?;
    trap.grant().await?;
    let _stream = trap.show_machine().await?;
    screen.wait_for(SHOWN, PATIENCE).await?;
    for arguments in [&["status"][..], &["diag"]] {
        let mut other = Terminal::start(trap.technician.command(arguments), Size::ROOMY)?;
        other.wait_for(SHOWN, PATIENCE).await?;
        assert_eq!(other.wait_exit(PATIENCE).await?.code(), Some(0));
        assert_terminal_is_safe(&other);
    }
    // A script gets the text as it is, within JSON's own quotation.
    let read = trap.technician.run(["diag", "--json"]).await?;
    assert_eq!(serde_json::from_str::<Value>(&read.stdout)?["card"]["host"], HOSTILE);
    assert_acts_nowhere(read.stdout.as_bytes());

    trap.send(&ToTechnician::Ended { reason: EndReason::ByUser }).await?;
    screen.wait_for("Ended: the end user ended the session", PATIENCE).await?;
    screen.type_text("q").await?;
    assert_eq!(screen.wait_exit(PATIENCE).await?.code(), Some(0));
    assert_terminal_is_safe(&screen);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_acts_on_a_terminal_is_shown_and_acts_on_none() -> anyhow::Result<()> {
    let (mut trap, attached) = Trap::in_lines().await?;
    trap.grant().await?;
    trap.technician.wait_status(&attached, "the grant", |status| status["phase"]["name"] == "live").await?;
    let mut terminal = Terminal::start(trap.technician.command(["run", "--", "ls"]), Size::ROOMY)?;
    let run = trap.start_run().await?.run;
    let mut count = [OutputCount::default(); 2];
    for (output, count) in [Output::Stdout, Output::Stderr].into_iter().zip(&mut count) {
        let mut stream = trap.stream(&StreamHeader::Output { run, output }).await?;
        stream.write_all(HOSTILE.as_bytes()).await?;
        stream.finish().await?;
        let bytes = u64::try_from(HOSTILE.len())?;
        *count = OutputCount { sent_bytes: bytes, written_bytes: bytes };
    }
    let outcome =
        RunOutcome::NotStarted { reason: StartFailure::System { detail: Sentence::cut(&format!("why{HOSTILE}")) } };
    let [stdout, stderr] = count;
    trap.send(&ToTechnician::RunFinished { run, outcome, stdout, stderr }).await?;
    terminal.wait_for("why\\u{1b}[2J", PATIENCE).await?;
    assert_eq!(terminal.wait_exit(PATIENCE).await?.code(), Some(125));
    assert_eq!(terminal.text().matches(SHOWN).count(), 3, "{}", terminal.text());
    assert_terminal_is_safe(&terminal);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_asked_for_ends_the_session() -> anyhow::Result<()> {
    let nothing = OutputCount::default();
    let unknown = GrantNotice {
        grant: GrantId(1),
        subject: Subject::Request(RequestId(99)),
        abilities: vec![Ability::DiagBasic],
        stay_secs: 60,
    };
    let finished = |run| ToTechnician::RunFinished {
        run: RunId(run),
        outcome: RunOutcome::Exited { code: 0 },
        stdout: nothing,
        stderr: nothing,
    };
    let cases = [
        (ToTechnician::Granted(unknown), "answered a question that is not open"),
        (finished(99), "named run-99, which is not open"),
        (ToTechnician::RunStarted { run: RunId(98), digest: Digest([0; 32]) }, "named run-98, which is not open"),
        (ToTechnician::GrantEnded { grant: GrantId(5), reason: GrantEnd::Revoked }, "named grant-5, which is not live"),
        (ToTechnician::Resumed, "resumed a session that was not paused"),
        (ToTechnician::Paused { reason: Absence::ScreenLocked, ends_in_secs: u32::MAX }, "an impossible time"),
    ];
    for (message, named) in cases {
        let (mut trap, attached) = Trap::in_lines().await?;
        trap.send(&message).await?;
        assert_protocol_end(attached, named).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_wider_than_the_question_ends_the_session() -> anyhow::Result<()> {
    let (mut trap, attached) = Trap::in_lines().await?;
    let wider = GrantNotice { abilities: vec![Ability::DiagBasic, Ability::Elevate], ..trap.notice(1) };
    trap.send(&ToTechnician::Granted(wider)).await?;
    assert_protocol_end(attached, "granted grant-1 beyond what was asked").await
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_no_message_end_the_session() -> anyhow::Result<()> {
    let largest = <ToTechnician as Message>::MAX_BYTES;
    let cases = [
        (RawFrame(vec![0xff; 100]), "malformed message"),
        (RawFrame(vec![0; largest + 1]), "is over its limit of"),
        (RawFrame::truncated(&ToTechnician::Audit { line: vec![b'x'; 50] }, 10), "malformed message"),
        (RawFrame::extended(&ToTechnician::Resumed, b"more"), "4 bytes follow the message"),
    ];
    for (frame, named) in cases {
        let (mut trap, attached) = Trap::in_lines().await?;
        trap.sender.send(&frame).await?;
        assert_protocol_end(attached, named).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_a_mebibyte_ends_the_session_and_takes_no_memory() -> anyhow::Result<()> {
    // The first text of an identity card, announced and sent in full; then one that fits the frame but not a name.
    let named = |bytes: usize| {
        let length = u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
        RawFrame([&[0, 252][..], &length, &vec![b'x'; bytes]].concat())
    };
    for (frame, named) in [(named((1 << 20) - 6), "is over its limit of"), (named(100_000), "malformed message")] {
        let (mut trap, attached) = Trap::in_lines().await?;
        trap.grant().await?;
        let mut stream = trap.stream(&StreamHeader::Diagnostics).await?;
        // The technician may leave before all of it has been taken.
        let _ = timeout(PATIENCE, stream.send(&frame)).await?;
        assert_protocol_end(attached, named).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_nobody_asked_for_end_the_session() -> anyhow::Result<()> {
    let (trap, attached) = Trap::in_lines().await?;
    let _stream = trap.stream(&StreamHeader::Output { run: RunId(99), output: Output::Stdout }).await?;
    assert_protocol_end(attached, "named run-99, which is not open").await?;

    let (trap, attached) = Trap::in_lines().await?;
    let mut stream = trap.sealed.open_uni(Priority::Live).await?;
    stream.send(&RawFrame(vec![0xff; 20])).await?;
    assert_protocol_end(attached, "a stream of no known kind").await
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_ends_the_session_at_its_limit() -> anyhow::Result<()> {
    let (mut trap, attached) = Trap::in_lines().await?;
    trap.grant().await?;
    trap.technician.wait_status(&attached, "the grant", |status| status["phase"]["name"] == "live").await?;
    let mut running = trap.technician.start(["run", "--output-limit", "100000", "--", "yes"])?;
    let run = trap.start_run().await?.run;
    let mut stream = trap.stream(&StreamHeader::Output { run, output: Output::Stdout }).await?;
    let endless = async { while stream.write_all(&[b'y'; 16 * 1024]).await.is_ok() {} };
    timeout(PATIENCE, endless).await.context("the technician takes it for ever")?;
    let ended = running.wait_exit(PATIENCE).await?;
    assert_eq!(ended.code(), 5, "{}", ended.stderr);
    assert!(ended.stdout.len() <= 100_000, "{} bytes", ended.stdout.len());
    assert_protocol_end(attached, "sent more output of run-1 than it may").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_log_that_does_not_fit_is_told_and_the_help_goes_on() -> anyhow::Result<()> {
    let (mut trap, mut attached) =
        Trap::set(|technician, code| technician.start(["attach", "--no-screen", code])).await?;
    trap.send(&ToTechnician::Audit { line: HOSTILE.as_bytes().to_vec() }).await?;
    trap.grant().await?;
    attached.wait_for_line("the grant", PATIENCE, |line| line.starts_with("live").then_some(())).await?;
    let status = trap.technician.run(["status", "--json"]).await?;
    let receipt = &serde_json::from_str::<Value>(&status.stdout)?["receipt"];
    assert_eq!(receipt["name"], "broken", "{receipt}");
    let problem = receipt["problem"].as_str().context("the problem is told")?.to_owned();
    assert!(problem.contains("does not fit together"), "{problem}");

    trap.send(&ToTechnician::Ended { reason: EndReason::ByUser }).await?;
    let end = attached.wait_exit(PATIENCE).await?;
    assert_eq!(end.code(), 0, "{}", end.stderr);
    assert!(end.stdout.contains("cannot be relied on"), "{}", end.stdout);
    assert_acts_nowhere(end.stdout.as_bytes());
    assert_acts_nowhere(end.stderr.as_bytes());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_answers_nothing_keeps_nobody() -> anyhow::Result<()> {
    let (trap, mut attached) = Trap::in_lines().await?;
    let technician = &trap.technician;
    technician.wait_status(&attached, "the question", |status| status["phase"]["name"] == "waiting_for_answer").await?;
    let ended = technician.run(["end"]).await?;
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    Ok(())
}

/// The technician's program says what the machine did, what is not done and what to do, and ends as documented.
async fn assert_protocol_end(mut attached: Running, named: &str) -> anyhow::Result<()> {
    let Finished { status, stdout, stderr } = attached.wait_exit(PATIENCE).await?;
    assert_eq!(status.code(), Some(5), "{stdout}{stderr}");
    assert!(stderr.contains(named), "{named:?} is not told: {stderr}");
    assert!(stderr.contains("whatever was still going on was stopped"), "{stderr}");
    assert!(stderr.contains("do not trust that machine"), "{stderr}");
    Ok(())
}
