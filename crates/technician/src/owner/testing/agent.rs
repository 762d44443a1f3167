//! An agent that says exactly what a test wants it to say. Names nothing of this crate, so that the tests of the program share it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use audit::AuditLog;
use rand_core::{OsRng, RngCore as _};
use transport::{
    clock,
    node::{Control, ControlEvent, Node, NodeOptions, SealError},
    sealed::{Sealed, Unpaired},
    streams::{ByteSender, FrameReceiver, FrameSender, Priority},
};
use trust::{
    code::SessionCode,
    keys::SigningKey,
    pairing::{AgentOffered, AgentPairing, ChannelBinding, EXPORTER_LABEL, Paired, SUITE, exporter_context},
};
use wire::{
    channel::ChannelId,
    codec::Message,
    control::{ChannelOrigin, FromRelay, Side, ToRelay},
    evidence::Event,
    ids::{Digest, GrantId, Locator, RequestId, RunId, SessionId},
    link::RelayLink,
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction},
    path::DirectOffer,
    run::{OutputCount, RunOutcome, RunProposal},
    session::{Ability, GrantNotice, Output, StreamHeader, Subject, ToAgent, ToTechnician},
};

/// How long a step of a test may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Fails a test that hangs.
pub(crate) async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("the step takes too long")
}

/// An agent that waits for a technician.
pub(crate) struct Agent {
    node: Node,
    control: Control,
    key: Arc<SigningKey>,
    pub(crate) code: SessionCode,
}

impl Agent {
    pub(crate) async fn start(link: &RelayLink) -> Self {
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

    pub(crate) fn locator(&self) -> Locator {
        self.code.locator()
    }

    /// Waits for a technician's channel and seals it, with `greeting` as the first word.
    pub(crate) async fn greeted(&mut self, greeting: &FromUnpairedAgent) -> Result<Unpaired, SealError> {
        let channel = self.channel(ChannelOrigin::Attach).await;
        self.node.serve_session(channel, &self.key, || greeting.clone()).await
    }

    /// Waits for a technician's channel and seals it, with an honest offer.
    pub(crate) async fn sealed(&mut self) -> (Unpaired, AgentOffered) {
        let (offered, offer) = AgentPairing::offer(&self.code, &mut OsRng);
        (self.greeted(&offer).await.unwrap(), offered)
    }

    async fn channel(&mut self, wanted: ChannelOrigin) -> ChannelId {
        loop {
            let event = self.control.recv().await.unwrap();
            if let ControlEvent::Message(FromRelay::ChannelOpen { channel, origin, .. }) = event
                && origin == wanted
            {
                return channel;
            }
        }
    }

    /// The rest of the honest side of pairing, up to `Accept` or a wrong proof.
    pub(crate) async fn answer(
        &self,
        unpaired: &mut Unpaired,
        offered: AgentOffered,
    ) -> Option<(Paired, Introduction)> {
        let binding = ChannelBinding {
            exporter: unpaired.exporter(EXPORTER_LABEL, &exporter_context(SUITE, self.locator())),
            agent_key: *self.key.public(),
            technician_key: *unpaired.peer_key(),
        };
        let proof = unpaired.recv::<FromUnpairedTechnician>().await.unwrap()?;
        let mut session = SessionId([0; 8]);
        OsRng.fill_bytes(&mut session.0);
        match offered.accept(&binding, proof, session) {
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
    pub(crate) async fn pair(&mut self) -> AgentEnd {
        let (mut unpaired, offered) = self.sealed().await;
        let (paired, introduction) = self.answer(&mut unpaired, offered).await.expect("the technician knows the code");
        let technician_key = unpaired.peer_key().digest();
        let (sealed, sender, receiver) = unpaired.into_paired(&paired).unwrap();
        AgentEnd { sealed, sender, receiver, paired, introduction, technician_key, key: Arc::clone(&self.key) }
    }

    /// Comes back to the technician after the relay was lost.
    pub(crate) async fn rejoin(&mut self, end: &AgentEnd) {
        loop {
            if let ControlEvent::Up = self.control.recv().await.unwrap() {
                break;
            }
        }
        let rendezvous = end.paired.rendezvous;
        self.control.send(ToRelay::Rejoin { rendezvous, side: Side::Agent }).await.unwrap();
        let channel = self.channel(ChannelOrigin::Rejoin).await;
        self.node.move_session(end.sealed.session_ref(), channel).unwrap();
    }
}

/// The agent's end of a paired session.
pub(crate) struct AgentEnd {
    pub(crate) sealed: Sealed,
    pub(crate) sender: FrameSender,
    pub(crate) receiver: FrameReceiver,
    pub(crate) paired: Paired,
    pub(crate) introduction: Introduction,
    technician_key: Digest,
    pub(crate) key: Arc<SigningKey>,
}

impl AgentEnd {
    pub(crate) async fn send(&mut self, message: ToTechnician) {
        self.sender.send(&message).await.unwrap();
    }

    /// The next message that is not about network addresses: its person wants no direct connection, and says so.
    pub(crate) async fn next(&mut self) -> ToAgent {
        loop {
            let message = patiently(self.receiver.recv::<ToAgent>()).await.unwrap();
            let message = message.expect("the technician is still there");
            if !matches!(message, ToAgent::Direct(_)) {
                return message;
            }
            self.send(ToTechnician::Direct(DirectOffer::NotWanted)).await;
        }
    }

    /// Takes what is said right behind the proof.
    pub(crate) async fn subscribed(&mut self) {
        assert!(matches!(self.next().await, ToAgent::Look { .. }), "nothing is collected that nobody looks at");
        assert_eq!(self.next().await, ToAgent::Subscribe { period_ms: 1000 });
    }

    /// Says yes to the first question.
    pub(crate) async fn grant(&mut self) {
        self.subscribed().await;
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
    pub(crate) async fn approve_run(&mut self, grant: u32) -> RunProposal {
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

    pub(crate) async fn stream<M: Message>(&self, header: StreamHeader, frames: &[M]) -> ByteSender {
        let mut stream = self.sealed.open_uni(Priority::Live).await.unwrap();
        stream.send(&header).await.unwrap();
        for frame in frames {
            stream.send(frame).await.unwrap();
        }
        stream
    }

    pub(crate) async fn output(&self, run: RunId, output: Output) -> ByteSender {
        let mut stream = self.sealed.open_uni(Priority::Bulk).await.unwrap();
        stream.send(&StreamHeader::Output { run, output }).await.unwrap();
        stream
    }

    pub(crate) async fn finish_run(&mut self, run: RunId, outcome: RunOutcome, stdout: u64, stderr: u64) {
        let count = |bytes| OutputCount { sent_bytes: bytes, written_bytes: bytes };
        self.send(ToTechnician::RunFinished { run, outcome, stdout: count(stdout), stderr: count(stderr) }).await;
    }

    /// Begins an audit log in `directory` and sends its first line.
    pub(crate) async fn begin_log(&mut self, directory: PathBuf, organisation: Option<&str>) -> AuditLog {
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
    pub(crate) async fn closed(mut self) {
        while let Ok(Some(_)) = self.receiver.recv::<ToAgent>().await {}
        patiently(self.sealed.closed()).await;
    }
}
