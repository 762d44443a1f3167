//! A relay, and an agent that says exactly what a test wants it to say.

use std::{path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use audit::AuditLog;
use rand_core::{OsRng, RngCore as _};
use relay::{
    config::{Overrides, RelayConfig},
    relay::Relay,
};
use transport::{
    clock,
    node::{Control, ControlEvent, Node, NodeOptions},
    sealed::{Sealed, Unpaired},
    streams::{ByteSender, FrameReceiver, FrameSender, Priority},
};
use trust::{
    code::SessionCode,
    keys::SigningKey,
    pairing::{AgentPairing, ChannelBinding, EXPORTER_LABEL, Paired, SUITE, exporter_context},
};
use wire::{
    channel::ChannelId,
    codec::Message,
    control::{ChannelOrigin, FromRelay, Side, ToRelay},
    evidence::Event,
    ids::{GrantId, Locator, RequestId, RunId, SessionId},
    link::RelayLink,
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction},
    run::{OutputCount, RunOutcome, RunProposal},
    session::{Ability, GrantNotice, Output, StreamHeader, Subject, ToAgent, ToTechnician},
    text::{Label, Sentence},
};

use super::{AttachError, Handle, Outcome, Setup, prepare};
use crate::{identity::Identity, place::Places, status::Status};

/// How long a step of a test may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// One relay, one technician's home, and a place for logs.
pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    relay: Option<Relay>,
    pub(super) link: RelayLink,
}

impl World {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let relay = start_relay(directory.path().join("relay"), 0).await;
        let link = relay.link().clone();
        Self { directory, relay: Some(relay), link }
    }

    /// Kills the relay and starts it again at the same address with the same key.
    pub(super) async fn restart_relay(&mut self) {
        let relay = self.relay.take().unwrap();
        relay.stop_now();
        relay.ended().await.unwrap();
        drop(relay);
        self.relay = Some(start_relay(self.directory.path().join("relay"), self.link.port()).await);
    }

    pub(super) fn places(&self) -> Places {
        let at = |name: &str| self.directory.path().join(name);
        Places { config_file: at("config.toml"), state: at("state"), runtime: at("run") }
    }

    pub(super) fn setup(&self, code: &str) -> Setup {
        let places = self.places();
        Setup {
            relay: self.link.clone(),
            code: code.parse().unwrap(),
            identity: Identity::load(&places.state).unwrap(),
            name: Label::cut("Ana Ruiz"),
            reason: Sentence::cut("the printer"),
            places,
        }
    }

    pub(super) async fn agent(&self) -> Agent {
        Agent::start(&self.link).await
    }

    /// A technician that pairs with a new agent; `story` plays both the agent and whoever uses the session.
    pub(super) fn play<'a>(
        &'a self,
        story: impl AsyncFnOnce(Handle, AgentEnd) + 'a,
    ) -> Pin<Box<dyn Future<Output = Result<Outcome, AttachError>> + 'a>> {
        Box::pin(async {
            let mut agent = self.agent().await;
            let (handle, session) = prepare(self.setup(&agent.code.to_string()));
            let story = async {
                let end = agent.pair().await;
                story(handle, end).await;
            };
            both(session, story).await
        })
    }
}

/// Runs a session and the story around it to their ends.
pub(super) fn both<'a, T: 'a>(
    session: impl Future<Output = T> + 'a,
    story: impl Future<Output = ()> + 'a,
) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    let both = async { tokio::join!(session, story).0 };
    Box::pin(async { patiently(Box::pin(both)).await })
}

async fn start_relay(state: PathBuf, port: u16) -> Relay {
    let overrides = Overrides {
        listen: Some(format!("127.0.0.1:{port}")),
        state_dir: Some(state),
        http: Some("off".to_owned()),
        ..Overrides::default()
    };
    Relay::start(&RelayConfig::parse("", &overrides).unwrap()).await.unwrap()
}

/// Fails a test that hangs.
pub(super) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the step takes too long")
}

/// Waits until the session stands as wanted.
pub(super) async fn until(handle: &Handle, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut status = handle.status.clone();
    let found = patiently(status.wait_for(|status| wanted(status))).await;
    found.expect("the session is still there").as_ref().clone()
}

/// An agent that waits for a technician.
pub(super) struct Agent {
    node: Node,
    control: Control,
    key: Arc<SigningKey>,
    pub(super) code: SessionCode,
}

impl Agent {
    async fn start(link: &RelayLink) -> Self {
        let (node, mut control) = Node::start(link.clone(), NodeOptions::default()).await.unwrap();
        assert!(matches!(control.recv().await, Some(ControlEvent::Up)));
        control.send(ToRelay::AllocateLocator).await.unwrap();
        let locator = loop {
            if let Some(ControlEvent::Message(FromRelay::LocatorAllocated { locator, .. })) = control.recv().await {
                break locator;
            }
        };
        Self {
            node,
            control,
            key: Arc::new(SigningKey::generate(&mut OsRng)),
            code: SessionCode::draw(locator, &mut OsRng),
        }
    }

    pub(super) fn locator(&self) -> Locator {
        self.code.locator()
    }

    /// Waits for a technician's channel and seals it.
    pub(super) async fn sealed(&mut self) -> (ChannelId, Unpaired) {
        let channel = self.channel(ChannelOrigin::Attach).await;
        (channel, self.node.serve_session(channel, &self.key).await.unwrap())
    }

    async fn channel(&mut self, wanted: ChannelOrigin) -> ChannelId {
        loop {
            let event = self.control.recv().await.unwrap();
            if let ControlEvent::Message(FromRelay::ChannelOpen { channel, origin }) = event
                && origin == wanted
            {
                return channel;
            }
        }
    }

    /// The honest side of pairing, up to `Accept` or a wrong proof.
    pub(super) async fn answer(&self, unpaired: &mut Unpaired) -> Option<(Paired, Introduction)> {
        let binding = ChannelBinding {
            exporter: unpaired.exporter(EXPORTER_LABEL, &exporter_context(SUITE, self.locator())),
            agent_key: *self.key.public(),
            technician_key: *unpaired.peer_key(),
        };
        let open = unpaired.recv::<FromUnpairedTechnician>().await.unwrap()?;
        let (answered, answer) = AgentPairing::new(&self.code, binding).answer(open, &mut OsRng).unwrap();
        unpaired.send(&answer).await.unwrap();
        let proof = unpaired.recv::<FromUnpairedTechnician>().await.unwrap()?;
        let mut session = SessionId([0; 8]);
        OsRng.fill_bytes(&mut session.0);
        match answered.accept(proof, session) {
            Ok((paired, introduction, accept)) => {
                unpaired.send(&accept).await.unwrap();
                Some((paired, introduction))
            }
            Err(error) => {
                unpaired.send(&FromUnpairedAgent::Refuse { reason: error.refusal().unwrap() }).await.unwrap();
                None
            }
        }
    }

    /// Pairs with the next technician, who knows the code.
    pub(super) async fn pair(&mut self) -> AgentEnd {
        let (_, mut unpaired) = self.sealed().await;
        let (paired, introduction) = self.answer(&mut unpaired).await.expect("the technician knows the code");
        let technician_key = unpaired.peer_key().digest();
        let (sealed, sender, receiver) = unpaired.into_paired(&paired).unwrap();
        AgentEnd { sealed, sender, receiver, paired, introduction, technician_key, key: Arc::clone(&self.key) }
    }

    /// Comes back to the technician after the relay was lost.
    pub(super) async fn rejoin(&mut self, end: &AgentEnd, number: u32) {
        loop {
            if let ControlEvent::Up = self.control.recv().await.unwrap() {
                break;
            }
        }
        let rendezvous = end.paired.next_rendezvous(number);
        self.control.send(ToRelay::Rejoin { rendezvous, side: Side::Agent }).await.unwrap();
        let channel = self.channel(ChannelOrigin::Rejoin).await;
        self.node.move_session(end.sealed.session_ref(), channel).unwrap();
    }
}

/// The agent's end of a paired session.
pub(super) struct AgentEnd {
    pub(super) sealed: Sealed,
    pub(super) sender: FrameSender,
    pub(super) receiver: FrameReceiver,
    pub(super) paired: Paired,
    pub(super) introduction: Introduction,
    technician_key: wire::ids::Digest,
    pub(super) key: Arc<SigningKey>,
}

impl AgentEnd {
    pub(super) async fn send(&mut self, message: ToTechnician) {
        self.sender.send(&message).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> ToAgent {
        patiently(self.receiver.recv::<ToAgent>()).await.unwrap().expect("the technician is still there")
    }

    /// Says yes to the first question.
    pub(super) async fn grant(&mut self) {
        assert_eq!(self.next().await, ToAgent::Subscribe { period_ms: 1000 });
        let notice = GrantNotice {
            grant: GrantId(1),
            subject: Subject::Request(RequestId(1)),
            abilities: vec![Ability::DiagBasic],
            stay_secs: 600,
        };
        self.send(ToTechnician::Asking { subject: notice.subject, answer_within_secs: 60 }).await;
        self.send(ToTechnician::Granted(notice)).await;
    }

    /// Waits for the next run and approves it.
    pub(super) async fn approve_run(&mut self, grant: u32) -> RunProposal {
        let ToAgent::ProposeRun(proposal) = self.next().await else { panic!("no run was proposed") };
        let run = proposal.run;
        self.send(ToTechnician::Asking { subject: Subject::Run(run), answer_within_secs: 60 }).await;
        let notice = GrantNotice {
            grant: GrantId(grant),
            subject: Subject::Run(run),
            abilities: vec![Ability::AdhocArgv],
            stay_secs: 60,
        };
        self.send(ToTechnician::Granted(notice)).await;
        self.send(ToTechnician::RunStarted { run, digest: trust::digest(b"approved") }).await;
        proposal
    }

    pub(super) async fn stream<M: Message>(&self, header: StreamHeader, frames: &[M]) -> ByteSender {
        let mut stream = self.sealed.open_uni(Priority::Live).await.unwrap();
        stream.send(&header).await.unwrap();
        for frame in frames {
            stream.send(frame).await.unwrap();
        }
        stream
    }

    pub(super) async fn output(&self, run: RunId, output: Output) -> ByteSender {
        let mut stream = self.sealed.open_uni(Priority::Bulk).await.unwrap();
        stream.send(&StreamHeader::Output { run, output }).await.unwrap();
        stream
    }

    pub(super) async fn finish_run(&mut self, run: RunId, outcome: RunOutcome, stdout: u64, stderr: u64) {
        let count = |bytes| OutputCount { sent_bytes: bytes, written_bytes: bytes };
        self.send(ToTechnician::RunFinished { run, outcome, stdout: count(stdout), stderr: count(stderr) }).await;
    }

    /// Begins an audit log in `directory` and sends its first line.
    pub(super) async fn begin_log(&mut self, directory: PathBuf, organisation: Option<&str>) -> AuditLog {
        let first = Event::Paired {
            session: self.paired.session,
            agent_version: "test".to_owned(),
            agent_key: self.key.public().digest(),
            technician_key: self.technician_key,
            technician: "Ana Ruiz".to_owned(),
            organisation: organisation.map(str::to_owned),
        };
        let (log, line) = AuditLog::create(&directory, self.paired.session, &first, clock::wall_time()).unwrap();
        self.send(ToTechnician::Audit { line: line.into_bytes() }).await;
        log
    }

    /// Waits until the technician has closed the connection, as it does when everything is over.
    pub(super) async fn closed(mut self) {
        while let Ok(Some(_)) = self.receiver.recv::<ToAgent>().await {}
        patiently(self.sealed.closed()).await;
    }
}
