//! From the typed code to a paired session.
//!
//! Round trips after the relay is reached: one, end to end, in which the first packets of the sealed handshake go along with the question
//! for a channel and the agent's offer comes back with its part of the handshake; and one for the proof. The person is asked half way
//! through the second. What follows pairing is sent without waiting.

use std::time::Duration;

use rand_core::OsRng;
use tokio::{task::spawn_blocking, time::timeout};
use transport::{
    clock,
    node::{ConnectError, Control, ControlEvent, Loss, Node, NodeOptions, SealError},
    sealed::{CloseCode, Sealed, SealedEnd, Unpaired},
    streams::{FrameReceiver, FrameSender, StreamError},
};
use trust::pairing::{
    ChannelBinding, EXPORTER_LABEL, Paired, PairingError, SUITE, TechnicianPairing, exporter_context,
};
use wire::{
    channel::ChannelId,
    control::{FromRelay, Refusal, ToRelay},
    ids::Digest,
    pairing::{Introduction, PairingRefusal},
    session::{Ability, AccessRequest},
};

use super::{Command, Ports, Setup, board::Board};
use crate::{
    attempts::{Attempt, AttemptError, Attempts},
    exit::Exit,
    local::socket::{self, SocketError},
    problem::Problem,
};

/// How long the relay may take to answer. It is one round trip away and does no work for it.
const RELAY_DEADLINE: Duration = Duration::from_secs(5);

/// What is asked for when attaching.
const FIRST_ABILITIES: [Ability; 1] = [Ability::DiagBasic];

/// How long that is asked for; the end user and the device may give less.
const FIRST_STAY: Duration = Duration::from_secs(4 * 3600);

/// Why no session came to stand. Nobody was asked anything.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AttachError {
    /// The relay was not reached.
    #[error("the relay could not be reached")]
    Relay(#[source] ConnectError),
    /// The relay was lost before the session stood.
    #[error("the connection to the relay was lost")]
    RelayLost(#[source] Loss),
    /// The relay did not answer.
    #[error("the relay did not answer in time")]
    RelaySilent,
    /// The relay said no.
    #[error("the relay refused: {0}")]
    Refused(Refusal),
    /// No sealed connection to the agent.
    #[error("no sealed connection to the end user's machine came to stand")]
    Seal(#[source] SealError),
    /// The agent was lost while pairing.
    #[error("the connection to the end user's machine was lost while the code was being proved")]
    Lost(#[source] StreamError),
    /// The agent went away while pairing.
    #[error("the end user's machine went away while the code was being proved")]
    AgentGone,
    /// The code was not proved, or the other side is not the agent.
    #[error("the code was not accepted")]
    Pairing(#[source] PairingError),
    /// This side does not prove the code any more.
    #[error("the code was not tried")]
    Attempts(#[source] AttemptError),
    /// Other commands could not reach the session.
    #[error("other commands could not use the session")]
    Socket(#[source] SocketError),
    /// The person left before the session stood.
    #[error("you left before the session stood")]
    Left,
    /// A bug: a task died.
    #[error("a part of this program failed")]
    Internal,
}

impl AttachError {
    /// What the person is told.
    pub(crate) fn problem(&self) -> Problem {
        const NOBODY: &str = "nobody was asked and nothing was shown";
        let (exit, next) = match self {
            Self::Relay(error) => (Exit::Network, relay_advice(error)),
            Self::RelayLost(_) | Self::RelaySilent => {
                (Exit::Network, "Check this machine's network, then attach again.")
            }
            Self::Refused(refusal) => (Exit::of_refusal(*refusal), refused_advice(*refusal)),
            Self::Seal(_) | Self::Lost(_) | Self::AgentGone => {
                (Exit::Network, "Ask the end user whether their program still shows the code, then attach again.")
            }
            Self::Pairing(error) => (pairing_exit(error), pairing_advice(error)),
            Self::Attempts(AttemptError::UsedUp { .. }) => {
                (Exit::Denied, "Ask the end user for a new code and compare it digit by digit.")
            }
            Self::Attempts(_) => (Exit::Other, "Make the state directory writable, then attach again."),
            Self::Socket(_) => (Exit::Other, "Make that directory usable, then attach again."),
            Self::Left => (Exit::Signal(2), "Attach again when you are ready; the code may still be good."),
            Self::Internal => (Exit::Other, "Attach again; if it repeats, run with ASSENT_LOG=debug and report it."),
        };
        Problem::new(exit, self.to_string(), NOBODY, next).because_of(self)
    }
}

fn relay_advice(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::WrongKey => "Ask whoever runs the relay for its present link.",
        ConnectError::Version | ConnectError::Broken { .. } => "Install the same version here and at the relay.",
        ConnectError::Refused => "Wait a minute and attach again.",
        ConnectError::Socket { .. } | ConnectError::NotResolved { .. } | ConnectError::NoAnswer { .. } | _ => {
            "Check the relay link and this machine's network, then attach again."
        }
    }
}

fn refused_advice(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NobodyWaiting => {
            "The code may have lapsed, been used or been misheard. Ask the end user for the code that their program shows now."
        }
        Refusal::Busy => "Wait a moment and attach again.",
        Refusal::TooManyAttempts => "Wait a few minutes before you attach again.",
        Refusal::Full | Refusal::Draining => "Wait a minute and attach again.",
        Refusal::Unexpected | _ => "Install the same version here and at the relay.",
    }
}

fn pairing_exit(error: &PairingError) -> Exit {
    match error {
        PairingError::Refused(PairingRefusal::WrongCode | PairingRefusal::CodeVoid)
        | PairingError::NotTheAgent
        | PairingError::WrongCode
        | PairingError::ChangedNonce => Exit::Denied,
        PairingError::IntroductionTooLarge => Exit::Usage,
        PairingError::Refused(_)
        | PairingError::UnknownSuite
        | PairingError::OutOfOrder
        | PairingError::Malformed { .. }
        | _ => Exit::Network,
    }
}

fn pairing_advice(error: &PairingError) -> &'static str {
    match error {
        PairingError::Refused(PairingRefusal::WrongCode) => {
            "Ask the end user to read the code again and compare it digit by digit. Two failures make a code void."
        }
        PairingError::Refused(PairingRefusal::CodeVoid) => "Ask the end user for a new code.",
        PairingError::NotTheAgent | PairingError::ChangedNonce | PairingError::WrongCode => {
            "Somebody between you and the end user may be guessing codes. Ask the end user for a new code; if it happens again, use another relay."
        }
        PairingError::IntroductionTooLarge => "Give a shorter --reason or --name.",
        PairingError::Refused(_)
        | PairingError::UnknownSuite
        | PairingError::OutOfOrder
        | PairingError::Malformed { .. }
        | _ => "Install the same version here and at the end user's machine.",
    }
}

/// A paired session that nobody has allowed yet.
pub(super) struct Attached {
    pub(super) node: Node,
    pub(super) control: Control,
    pub(super) channel: ChannelId,
    pub(super) sealed: Sealed,
    pub(super) sender: FrameSender,
    pub(super) receiver: FrameReceiver,
    pub(super) paired: Paired,
    pub(super) request: AccessRequest,
    pub(super) agent_key: Digest,
}

/// What the steps behind the relay come to.
struct Met {
    channel: ChannelId,
    sealed: Sealed,
    sender: FrameSender,
    receiver: FrameReceiver,
    paired: Paired,
    request: AccessRequest,
    agent_key: Digest,
}

/// Takes every step up to the paired session. The person can leave meanwhile.
pub(super) async fn attach(setup: &Setup, board: &mut Board, ports: &mut Ports) -> Result<Attached, AttachError> {
    let status = ports.status.clone();
    let mut show = |detail: &str| {
        board.connecting(detail);
        status.send_replace(board.status(None, clock::now()).into());
    };
    let mut reached = None;
    let met = {
        let steps = steps(setup, &mut show, &mut reached);
        tokio::pin!(steps);
        loop {
            tokio::select! {
                biased;
                command = ports.inbox.recv() => match command {
                    Some(Command::End) | None => break Err(AttachError::Left),
                    // Dropping the reply says that it was not taken; there is no socket yet by which others could ask.
                    Some(
                        Command::Run { .. }
                        | Command::CancelRun { .. }
                        | Command::Request { .. }
                        | Command::Inspect { .. }
                        | Command::CancelInspection { .. },
                    ) => {}
                },
                met = &mut steps => break met,
            }
        }
    };
    match (met, reached) {
        (Ok(met), Some((node, control))) => {
            let Met { channel, sealed, sender, receiver, paired, request, agent_key } = met;
            Ok(Attached { node, control, channel, sealed, sender, receiver, paired, request, agent_key })
        }
        (Err(error), Some((node, _control))) => {
            // Whoever does not hear that this is over waits for it: the agent until pairing takes too long, and meanwhile nobody else
            // can attach to it; the relay until the connection has been silent for too long.
            node.close().await;
            Err(error)
        }
        (Err(error), None) => Err(error),
        (Ok(_), None) => Err(AttachError::Internal),
    }
}

async fn steps(
    setup: &Setup,
    show: &mut dyn FnMut(&str),
    reached: &mut Option<(Node, Control)>,
) -> Result<Met, AttachError> {
    // A code is good for one session, so what can fail without it fails first.
    socket::check(&setup.places.runtime).map_err(AttachError::Socket)?;
    let attempts = Attempts::new(&setup.places.state);
    attempts.check(setup.code.locator(), clock::wall_time()).map_err(AttachError::Attempts)?;
    let request =
        session::technician::TechnicianSession::first_request(&FIRST_ABILITIES, setup.reason.clone(), FIRST_STAY);
    // Only diagnostics are asked for, once, for a time above zero.
    let request = request.map_err(|_| AttachError::Internal)?;

    show("reaching the relay");
    let options = NodeOptions { carrier: setup.carrier, ..NodeOptions::default() };
    let started = Node::start(setup.relay.clone(), options).await.map_err(AttachError::Relay)?;
    let (node, control) = reached.insert(started);
    show("looking for the end user's machine");
    let mut dialing = node.begin_session(&setup.identity.key).await.map_err(AttachError::Seal)?;
    let attach = ToRelay::Attach { locator: setup.code.locator(), first: dialing.first_flight() };
    // While others answer, the proof is written down: it must be on the disk before it is sent.
    let charge = {
        let (attempts, locator) = (attempts.clone(), setup.code.locator());
        spawn_blocking(move || attempts.begin(locator, clock::wall_time(), &mut OsRng))
    };
    let channel = match timeout(RELAY_DEADLINE, ask_relay(control, attach)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(AttachError::RelaySilent),
    };
    let attempt = charge.await.map_err(|_| AttachError::Internal)?.map_err(AttachError::Attempts)?;
    let channel = channel?;
    show("sealing the connection");
    let pairing = async {
        let mut unpaired = dialing.on(channel).await.map_err(AttachError::Seal)?;
        show("proving the code");
        match pair(&mut unpaired, setup, attempt, &request).await {
            Ok(paired) => Ok((unpaired, paired)),
            Err(error) => {
                unpaired.close(CloseCode::NotPaired, "");
                Err(error)
            }
        }
    };
    // The transport bounds all of this by the deadline of pairing.
    let (unpaired, paired) = tokio::select! {
        // An agent that says no goes right after that; what it said comes first.
        biased;
        done = pairing => done?,
        error = agent_gone(control, channel) => return Err(error),
    };
    let agent_key = unpaired.peer_key().digest();
    let (sealed, sender, receiver) = unpaired.into_paired(&paired).map_err(AttachError::Lost)?;
    Ok(Met { channel, sealed, sender, receiver, paired, request, agent_key })
}

/// How often, and how far apart, a relay is asked again that says another technician is attaching by the same code.
const BUSY_TRIES: u32 = 8;
const BUSY_PAUSE: Duration = Duration::from_millis(250);

async fn ask_relay(control: &mut Control, attach: ToRelay) -> Result<ChannelId, AttachError> {
    let mut asked = false;
    let mut busy = 0;
    loop {
        match control.recv().await {
            Some(ControlEvent::Message(FromRelay::Refused { reason: Refusal::Busy })) if busy < BUSY_TRIES => {
                // An attempt that has just failed may still be on its way out.
                busy += 1;
                tokio::time::sleep(BUSY_PAUSE).await;
                asked = control.send(attach.clone()).await.is_ok();
            }
            Some(ControlEvent::Up) if !asked => {
                asked = control.send(attach.clone()).await.is_ok();
            }
            Some(ControlEvent::Message(FromRelay::ChannelOpen { channel, .. })) => return Ok(channel),
            Some(ControlEvent::Message(FromRelay::Refused { reason })) => return Err(AttachError::Refused(reason)),
            Some(ControlEvent::Message(_) | ControlEvent::Up) => {}
            Some(ControlEvent::Down { why, .. }) => return Err(AttachError::RelayLost(why)),
            Some(_) => {}
            None => return Err(AttachError::RelaySilent),
        }
    }
}

/// Returns when the agent or the relay is gone: pairing would only run into its deadline.
async fn agent_gone(control: &mut Control, of: ChannelId) -> AttachError {
    loop {
        match control.recv().await {
            Some(ControlEvent::Message(FromRelay::ChannelClosed { channel, .. })) if channel == of => {
                return AttachError::AgentGone;
            }
            Some(ControlEvent::Down { why, .. }) => return AttachError::RelayLost(why),
            Some(_) => {}
            None => return AttachError::RelaySilent,
        }
    }
}

async fn pair(
    unpaired: &mut Unpaired,
    setup: &Setup,
    attempt: Attempt,
    request: &AccessRequest,
) -> Result<Paired, AttachError> {
    let locator = setup.code.locator();
    let binding = ChannelBinding {
        exporter: unpaired.exporter(EXPORTER_LABEL, &exporter_context(SUITE, locator)),
        agent_key: *unpaired.peer_key(),
        technician_key: *setup.identity.key.public(),
    };
    let introduction = Introduction {
        claimed_name: setup.name.clone(),
        certificate: setup.identity.certificate.clone(),
        request: request.clone(),
    };
    let offer = receive(unpaired).await?;
    let (proving, prove) = TechnicianPairing::prove(&setup.code, &binding, offer, &introduction, &mut OsRng)
        .map_err(AttachError::Pairing)?;
    let attempt = attempt.sent();
    unpaired.send(&prove).await.map_err(AttachError::Lost)?;
    let acceptance = receive(unpaired).await?;
    let paired = proving.finish(acceptance).map_err(AttachError::Pairing)?;
    // The session does not wait for the disk.
    drop(spawn_blocking(move || {
        if let Err(error) = attempt.forget() {
            tracing::warn!(%error, "an attempt goes on counting");
        }
    }));
    Ok(paired)
}

async fn receive(unpaired: &mut Unpaired) -> Result<wire::pairing::FromUnpairedAgent, AttachError> {
    let closed = || AttachError::Lost(StreamError::Closed(SealedEnd::Here));
    unpaired.recv().await.map_err(AttachError::Lost)?.ok_or_else(closed)
}
