//! A technician who got in and breaks the rules: nothing runs that was not allowed, and the record says what they tried.

use std::{ffi::OsStr, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use testkit::{
    PATIENCE,
    attach::Technician,
    hostile::{
        frames::RawFrame,
        session::{PeerSession, forged_proof, introduction},
        technician::{Pairing, TechnicianPeer},
    },
    relay::RelayProcess,
    share::ShareProcess,
    tree::Tree,
};
use tokio::{task::JoinSet, time::timeout};
use transport::{
    node::ControlEvent,
    sealed::Sealed,
    streams::{FrameReceiver, FrameSender, Priority},
};
use trust::{code::SessionCode, pairing::Paired};
use wire::{
    channel::ChannelId,
    control::{FirstFlight, FromRelay, Refusal, ToRelay},
    diagnostics::StreamFrame,
    ids::{RequestId, RunId},
    limits::RUNS_AT_ONCE,
    pairing::{FromUnpairedAgent, Introduction},
    run::{RunLimits, RunOutcome, RunProposal},
    session::{
        Ability, AccessRequest, DenyReason, EndReason, GrantEnd, GrantNotice, StreamHeader, Subject, ToAgent,
        ToTechnician,
    },
    text::Sentence,
};

use crate::world::{Log, World, verified};

/// A real agent with a person in front of it, and a technician that does what the test says.
struct Visit {
    relay: RelayProcess,
    share: ShareProcess,
    /// Only for looking at records.
    reader: Technician,
    code: SessionCode,
    /// Its socket.
    _peer: TechnicianPeer,
    sealed: Arc<Sealed>,
    sender: FrameSender,
    receiver: FrameReceiver,
    paired: Paired,
}

impl Visit {
    /// The technician has proved the code; the person is being asked.
    async fn asking(introduction: &Introduction) -> anyhow::Result<Self> {
        let relay = RelayProcess::start().await?;
        let reader = Technician::new(relay.link())?;
        let share = ShareProcess::start(relay.link())?;
        let code = share.code().await?.parse::<SessionCode>()?;
        let mut peer = TechnicianPeer::connect(relay.link()).await?;
        let PeerSession { sealed, sender, receiver, paired } = peer.pair(&code, introduction).await?.expect_paired();
        Ok(Self { relay, share, reader, code, _peer: peer, sealed: Arc::new(sealed), sender, receiver, paired })
    }

    /// The person has said yes to vital signs.
    async fn let_in() -> anyhow::Result<Self> {
        let mut visit = Self::asking(&introduction("Ana Ruiz", &[Ability::DiagBasic], "to look")).await?;
        visit.share.allow().await?;
        visit.granted().await?;
        Ok(visit)
    }

    async fn send(&mut self, message: &ToAgent) -> anyhow::Result<()> {
        Ok(self.sender.send(message).await?)
    }

    /// Sends as fast as it goes, until the agent takes no more.
    async fn send_until_closed(&mut self) {
        while self.sender.send(&ToAgent::Unsubscribe).await.is_ok() {}
    }

    /// Reads what the agent says until `found` has what it wants.
    async fn hear<T>(&mut self, what: &str, mut found: impl FnMut(ToTechnician) -> Option<T>) -> anyhow::Result<T> {
        let mut heard = Vec::new();
        let receiver = &mut self.receiver;
        let hear = async {
            loop {
                let message = receiver.recv().await?.context("the agent says nothing more")?;
                if !matches!(message, ToTechnician::Audit { .. }) {
                    heard.push(format!("{message:?}"));
                }
                if let Some(found) = found(message) {
                    return anyhow::Ok(found);
                }
            }
        };
        let waited = timeout(PATIENCE, hear).await;
        waited.map_err(anyhow::Error::from).flatten().with_context(|| format!("waiting for {what}; heard {heard:#?}"))
    }

    async fn granted(&mut self) -> anyhow::Result<GrantNotice> {
        self.hear("a grant", |said| if let ToTechnician::Granted(notice) = said { Some(notice) } else { None }).await
    }

    async fn denied(&mut self, wanted: Subject) -> anyhow::Result<DenyReason> {
        let denied = |said| {
            if let ToTechnician::Denied { subject, reason } = said {
                (subject == wanted).then_some(reason)
            } else {
                None
            }
        };
        self.hear("a no", denied).await
    }

    async fn denied_any(&mut self) -> anyhow::Result<DenyReason> {
        self.hear("a no", |said| if let ToTechnician::Denied { reason, .. } = said { Some(reason) } else { None }).await
    }

    /// Asks for a run that the person allows, and waits until its program is there.
    async fn running(&mut self, run: u32, script: &str) -> anyhow::Result<()> {
        self.send(&ToAgent::ProposeRun(proposal(run, &["-c", script]))).await?;
        let words = self.paired.words.to_string();
        self.share.allow_with_words(&words).await?;
        self.hear("a start", |said| matches!(said, ToTechnician::RunStarted { .. }).then_some(())).await
    }

    /// The agent ends the session and itself; the record it leaves is sound and closed.
    async fn over(&mut self, expected: EndReason) -> anyhow::Result<Log> {
        let told =
            self.hear("the end", |said| if let ToTechnician::Ended { reason } = said { Some(reason) } else { None });
        assert_eq!(told.await?, expected);
        self.share.terminal_mut().wait_exit(PATIENCE).await?;
        self.record().await
    }

    async fn record(&self) -> anyhow::Result<Log> {
        let log = self.share.logs()?.pop().context("there is a log")?;
        let summary = verified(&self.reader, &log).await?;
        assert_eq!(summary["state"]["state"], "closed", "{summary}");
        Log::read(&log)
    }
}

fn proposal(run: u32, arguments: &[&str]) -> RunProposal {
    RunProposal {
        run: RunId(run),
        reason: Sentence::cut("to test"),
        program: b"sh".to_vec(),
        arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        directory: None,
        environment: Vec::new(),
        limits: RunLimits::DEFAULT,
    }
}

fn request(number: u32, abilities: &[Ability]) -> AccessRequest {
    let reason = Sentence::cut("to have more");
    AccessRequest { request: RequestId(number), abilities: abilities.to_vec(), reason, stay_secs: 600 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_technician_who_asks_for_more_is_given_no_more() -> anyhow::Result<()> {
    let greedy = [Ability::DiagBasic, Ability::ScreenControl, Ability::TermControl];
    let mut visit = Visit::asking(&introduction("Ana Ruiz", &greedy, "to have it all")).await?;
    // Before the person has said anything.
    visit.send(&ToAgent::Subscribe { period_ms: 250 }).await?;
    visit.send(&ToAgent::ProposeRun(proposal(1, &["-c", "touch early"]))).await?;
    assert_eq!(visit.denied(Subject::Run(RunId(1))).await?, DenyReason::NotYet);
    visit.share.allow().await?;
    assert_eq!(visit.granted().await?.abilities, [Ability::DiagBasic], "only what this device ever allows");

    // With a grant that covers none of it.
    visit.send(&ToAgent::Request(request(2, &[Ability::ScreenControl, Ability::FileRead]))).await?;
    assert_eq!(
        visit.denied(Subject::Request(RequestId(2))).await?,
        DenyReason::Malformed,
        "one is asked with each use"
    );
    visit.send(&ToAgent::Request(request(3, &[Ability::ScreenControl, Ability::Tunnel]))).await?;
    assert_eq!(visit.denied(Subject::Request(RequestId(3))).await?, DenyReason::Ceiling);
    visit.send(&ToAgent::ProposeRun(proposal(2, &["-c", "touch late"]))).await?;
    visit.share.deny().await?;
    assert_eq!(visit.denied(Subject::Run(RunId(2))).await?, DenyReason::ByUser);
    visit.send(&ToAgent::ProposeRun(proposal(3, &["-c", "touch again"]))).await?;
    assert_eq!(visit.denied(Subject::Run(RunId(3))).await?, DenyReason::TooSoon, "a no is not asked again at once");

    let home = visit.share.home().path().to_owned();
    visit.send(&ToAgent::End).await?;
    let log = visit.over(EndReason::ByTechnician).await?;
    assert!(log.nothing_ran());
    assert_eq!(log.all("granted").count(), 1);
    assert!(["early", "late", "again"].iter().all(|file| !home.join(file).exists()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_no_message_end_the_session_by_name() -> anyhow::Result<()> {
    let (garbage, oversized, truncated, extended) = tokio::join!(
        ends_by_name(RawFrame(vec![0xff; 100]), "malformed message"),
        ends_by_name(RawFrame(vec![0; 65 * 1024]), "message of 66560 bytes is over its limit of 65536 bytes"),
        ends_by_name(RawFrame::truncated(&ToAgent::ProposeRun(proposal(1, &["-c", "true"])), 3), "malformed message"),
        ends_by_name(RawFrame::extended(&ToAgent::Unsubscribe, b"more"), "4 bytes follow the message"),
    );
    garbage.and(oversized).and(truncated).and(extended)
}

async fn ends_by_name(frame: RawFrame, named: &str) -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    visit.sender.send(&frame).await?;
    visit.share.sees("The technician's program broke the rules, so the session was ended.").await?;
    let log = visit.over(EndReason::Protocol).await?;
    assert!(log.violation().is_some_and(|what| what.contains(named)), "{log:?}");
    assert!(log.nothing_ran());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_in_place_of_a_proof_lets_nobody_in_and_uses_up_nothing() -> anyhow::Result<()> {
    let relay = RelayProcess::start().await?;
    let share = ShareProcess::start(relay.link())?;
    let code = share.code().await?.parse::<SessionCode>()?;
    for rubbish in [RawFrame(vec![0xff; 9000]), RawFrame(Vec::new()), RawFrame(vec![1; 100])] {
        let mut peer = TechnicianPeer::connect(relay.link()).await?;
        let channel = peer.attach(code.locator()).await?.context("the relay brings the two together")?;
        let mut unpaired = peer.node.dial_session(channel, &peer.key).await?;
        let offer = unpaired.recv::<FromUnpairedAgent>().await?;
        assert!(matches!(offer, Some(FromUnpairedAgent::Offer { .. })), "{offer:?}");
        let mut posing = PeerSession::pose(unpaired, forged_proof())?;
        posing.sender.send(&rubbish).await?;
        closed(&mut peer, channel).await?;
    }
    assert!(share.logs()?.is_empty());
    // A proof was never tried, so the person's code is as good as before.
    let mut honest = TechnicianPeer::connect(relay.link()).await?;
    let paired = honest.pair(&code, &introduction("Ana Ruiz", &[Ability::DiagBasic], "to look")).await?;
    assert!(matches!(paired, Pairing::Paired(_)), "{paired:?}");
    share.allow().await
}

/// Waits until the relay says that the channel is no more.
async fn closed(peer: &mut TechnicianPeer, expected: ChannelId) -> anyhow::Result<()> {
    let close = async {
        while let Some(event) = peer.control.recv().await {
            if let ControlEvent::Message(FromRelay::ChannelClosed { channel, .. }) = event {
                assert_eq!(channel, expected);
                return Ok(());
            }
        }
        bail!("the relay is gone")
    };
    timeout(PATIENCE, close).await.context("the agent closes the channel")?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_used_again_ends_the_session_and_kills_what_runs() -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    visit.running(7, "trap '' TERM; sleep 600").await?;
    let tree = Tree::below(visit.share.pid())?;
    assert!(!tree.is_empty());
    visit.send(&ToAgent::ProposeRun(proposal(7, &["-c", "touch twice"]))).await?;
    tree.wait_dead(PATIENCE).await?;
    let home = visit.share.home().path().to_owned();
    let log = visit.over(EndReason::Protocol).await?;
    assert_eq!(log.violation(), Some("used the number of a run again"));
    assert_eq!(log.all("run_starting").count(), 1);
    assert!(!home.join("twice").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_runs_at_once_are_asked_one_by_one_or_not_at_all() -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    for run in 1..=100 {
        visit.send(&ToAgent::ProposeRun(proposal(run, &["-c", "touch hundred"]))).await?;
    }
    let most = u32::try_from(RUNS_AT_ONCE)?;
    for run in most + 1..=100 {
        assert_eq!(visit.denied(Subject::Run(RunId(run))).await?, DenyReason::TooMany);
    }
    // Three times no, and everything that waits is gone: a person is not worn down.
    let mut reasons = Vec::new();
    for answered in 1..=3 {
        visit.share.sees(&format!("Questions behind this one: {}", most - answered)).await?;
        visit.share.deny().await?;
        reasons.push(visit.denied_any().await?);
    }
    for _ in 3..most {
        reasons.push(visit.denied_any().await?);
    }
    assert_eq!(reasons[..3], [DenyReason::ByUser; 3]);
    assert!(reasons[3..].iter().all(|reason| *reason == DenyReason::TooSoon), "{reasons:?}");

    let home = visit.share.home().path().to_owned();
    visit.send(&ToAgent::End).await?;
    let log = visit.over(EndReason::ByTechnician).await?;
    assert!(log.nothing_ran());
    assert!(!home.join("hundred").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_technician_who_sends_without_end_and_reads_nothing_is_shown_out() -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    timeout(PATIENCE, visit.send_until_closed()).await?;
    let log = visit.over(EndReason::Protocol).await?;
    assert_eq!(log.violation(), Some("sent messages faster than any person could cause them"));
    assert!(log.nothing_ran());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_channels_are_not_to_be_had() -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    // Inside the session: a technician opens none.
    let mut streams = JoinSet::new();
    for _ in 0..100 {
        let sealed = Arc::clone(&visit.sealed);
        streams.spawn(async move { sealed.open_uni(Priority::Bulk).await });
    }
    // At the relay: the code is used.
    let mut stranger = TechnicianPeer::connect(visit.relay.link()).await?;
    let locator = visit.code.locator();
    assert_eq!(stranger.attach(locator).await?, Err(Refusal::NobodyWaiting));
    for _ in 1..100 {
        if stranger.control.send(ToRelay::Attach { locator, first: FirstFlight::default() }).await.is_err() {
            break;
        }
        match timeout(PATIENCE, stranger.control.recv()).await? {
            Some(ControlEvent::Message(FromRelay::Refused { .. })) => {}
            Some(ControlEvent::Down { .. }) => break,
            other => bail!("the relay said {other:?}"),
        }
    }
    // Nobody else was disturbed, and all hundred streams wait for ever.
    visit.send(&ToAgent::Request(request(2, &[Ability::ScreenView]))).await?;
    assert_eq!(visit.denied(Subject::Request(RequestId(2))).await?, DenyReason::Ceiling);
    assert!(streams.try_join_next().is_none());

    visit.send(&ToAgent::End).await?;
    assert!(visit.over(EndReason::ByTechnician).await?.nothing_ran());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_after_a_revoke_or_a_stop_does_nothing() -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    visit.send(&ToAgent::Subscribe { period_ms: 250 }).await?;
    let mut samples = timeout(PATIENCE, visit.sealed.accept_uni()).await??;
    assert_eq!(samples.recv::<StreamHeader>().await?, Some(StreamHeader::Diagnostics));
    // By then the question has been off the screen for long enough that a key means what it says.
    for _ in 0..10 {
        timeout(PATIENCE, samples.recv::<StreamFrame>()).await??;
    }

    visit.share.terminal().type_text("1").await?;
    let revoked = |said| if let ToTechnician::GrantEnded { reason, .. } = said { Some(reason) } else { None };
    assert_eq!(visit.hear("the end of the grant", revoked).await?, GrantEnd::Revoked);
    let rest = async { while let Ok(Some(_)) = samples.recv::<StreamFrame>().await {} };
    timeout(PATIENCE, rest).await.context("the stream ends")?;
    for period_ms in [250, 500, 1000] {
        visit.send(&ToAgent::Subscribe { period_ms }).await?;
    }
    visit.send(&ToAgent::Request(request(2, &[Ability::DiagBasic]))).await?;
    visit.share.deny().await?;
    assert_eq!(visit.denied(Subject::Request(RequestId(2))).await?, DenyReason::ByUser);
    assert!(timeout(Duration::ZERO, visit.sealed.accept_uni()).await.is_err(), "no stream began");

    visit.share.stop().await?;
    visit.share.sees("You stopped the session.").await?;
    timeout(PATIENCE, visit.send_until_closed()).await?;
    let log = visit.over(EndReason::ByUser).await?;
    assert!(log.nothing_ran());
    assert_eq!(log.end(), Some("by_user"));
    assert_eq!((log.all("granted").count(), log.all("diagnostics_started").count()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_never_read_holds_up_neither_stop_nor_the_record() -> anyhow::Result<()> {
    let mut visit = Visit::let_in().await?;
    visit.running(1, "yes").await?;
    let tree = Tree::below(visit.share.pid())?;
    assert!(!tree.is_empty());
    visit.share.stop().await?;
    tree.wait_dead(PATIENCE).await?;
    let log = visit.over(EndReason::ByUser).await?;
    let outcome = log.all("run_finished").next().context("the run is recorded to its end")?["outcome"].clone();
    assert_eq!(outcome, serde_json::to_value(RunOutcome::Revoked)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_acts_on_a_screen_is_shown_and_acts_on_none() -> anyhow::Result<()> {
    const NAME: &str = "\u{1b}]0;x\u{7}\u{202e}\0A";
    let mut visit = Visit::asking(&introduction(NAME, &[Ability::DiagBasic], "\u{1b}[2J\u{9b}31mgone\r")).await?;
    visit.share.sees("\\u{1b}]0;x\\u{7}\\u{202e}\\u{0}A").await?;
    visit.share.sees("\\u{1b}[2J\\u{9b}31mgone\\u{d}").await?;
    visit.share.allow().await?;
    visit.granted().await?;
    {
        let screen = visit.share.terminal().screen();
        assert_eq!(screen.forgotten_bytes(), 0);
        assert_acts_nowhere(screen.raw());
    }
    visit.send(&ToAgent::End).await?;
    let log = visit.share.logs()?.pop().context("there is a log")?;
    let told = Technician::new(visit.relay.link())?;
    visit.over(EndReason::ByTechnician).await?;
    let verified = told.run([OsStr::new("verify"), log.as_os_str()]).await?;
    assert!(verified.stdout.contains("\\u{1b}]0;x"), "{}", verified.stdout);
    assert_acts_nowhere(verified.stdout.as_bytes());
    Ok(())
}

/// None of what the name above would do to a terminal is in `bytes`.
#[track_caller]
fn assert_acts_nowhere(bytes: &[u8]) {
    for part in ["\u{1b}]", "\u{7}", "\u{202e}", "\0", "\u{9b}", "gone\r"] {
        assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()), "{part:?} came through");
    }
}

/// Without knowing more of a code than its first four digits.
#[tokio::test]
async fn whoever_attaches_and_leaves_at_once_holds_up_nobody() -> anyhow::Result<()> {
    let world = World::start().await?;
    let code = world.share.code().await?;
    let locator = code.parse::<SessionCode>()?.locator();
    let mut visitors = Vec::new();
    for _ in 0..2 {
        let mut visitor = TechnicianPeer::connect(world.relay.link()).await?;
        let channel = visitor.attach(locator).await?.map_err(anyhow::Error::from)?;
        visitor.control.send(ToRelay::CloseChannel { channel }).await?;
        visitors.push(visitor);
    }
    // An agent that went on waiting for the visitor would be gone for longer than a technician waits.
    let attaching = world.technician.attach(&code)?;
    world.share.allow().await?;
    world.technician.wait_live(&attaching).await
}
