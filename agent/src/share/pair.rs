//! A technician came by the code: the proof, and who it is.

use std::{cell::Cell, collections::VecDeque};

use rand_core::{OsRng, RngCore as _};
use transport::clock;
use transport::node::ControlEvent;
use transport::sealed::{CloseCode, Sealed, Unpaired};
use transport::streams::{FrameReceiver, FrameSender};
use trust::certificate::TrustedOrganisation;
use trust::keys::{PublicKey, SigningKey};
use trust::pairing::{
    AgentOffered, AgentPairing, ChannelBinding, EXPORTER_LABEL, Paired, PairingError, SUITE, exporter_context,
};
use trust::tries::CodeVoid;
use wire::channel::ChannelId;
use wire::control::{FromRelay, ToRelay};
use wire::ids::SessionId;
use wire::limits::PAIRING_DEADLINE;
use wire::pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction, PairingRefusal};
use wire::session::TechnicianIdentity;

use super::{Share, Shown};
use crate::view::UserAct;

/// Messages of the relay that are kept while a technician is looked at. An honest one has a handful.
const UNREAD: usize = 32;

/// A technician that proved the code.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) channel: ChannelId,
    pub(super) sealed: Sealed,
    pub(super) sender: FrameSender,
    pub(super) receiver: FrameReceiver,
    pub(super) paired: Paired,
    pub(super) introduction: Introduction,
    pub(super) identity: TechnicianIdentity,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    Attached(Box<Attached>),
    /// Nobody was let in; the person was told if it matters to them.
    Failed,
    StoppedByUser,
}

/// Why a pairing failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("nobody came through the channel")]
    Channel,
    #[error("the technician took too long")]
    TooSlow,
    #[error("the technician, or the relay, has gone")]
    Gone,
    #[error(transparent)]
    Pairing(#[from] PairingError),
    #[error(transparent)]
    Void(#[from] CodeVoid),
}

impl Failure {
    /// What the technician is told.
    fn refusal(&self) -> Option<PairingRefusal> {
        match self {
            Self::Pairing(error) => error.refusal(),
            Self::Void(_) => Some(PairingRefusal::CodeVoid),
            Self::Channel | Self::TooSlow | Self::Gone => None,
        }
    }
}

impl Share {
    /// Pairs with whoever is on the other end of `channel`, for as long as that channel stands and at most for [`PAIRING_DEADLINE`]. Stop works
    /// meanwhile.
    pub(super) async fn pair(&mut self, channel: ChannelId, shown: &mut Shown) -> Outcome {
        // Known before the technician is told, which may go away and take this attempt with it.
        let wrong_code = Cell::new(false);
        let failed = {
            let Self { node, key, acts, signals, control, unread, organisations, present, .. } = self;
            let proof = tokio::time::timeout(PAIRING_DEADLINE, async {
                let mut offered = None;
                let serving = node.serve_session(channel, key, || {
                    let (own, offer) = AgentPairing::offer(&shown.code, &mut OsRng);
                    offered = Some(own);
                    offer
                });
                let unpaired = serving.await.map_err(|_| Failure::Channel)?;
                // Without an offer there was no handshake.
                let offered = offered.ok_or(Failure::Channel)?;
                prove(channel, unpaired, offered, shown, key, organisations, &wrong_code).await
            });
            tokio::pin!(proof);
            loop {
                tokio::select! {
                    biased;
                    act = acts.recv() => match act.unwrap_or(UserAct::FrontEndGone) {
                        UserAct::Stop | UserAct::FrontEndGone => break None,
                        UserAct::Present => *present = true,
                        UserAct::Away(_) => *present = false,
                        UserAct::Answer(_) | UserAct::NewCode | UserAct::Revoke(_) | UserAct::Narrow(..)
                        | UserAct::StopRun(_) => {}
                    },
                    () = signals.received() => break None,
                    event = control.recv() => match event {
                        None => break None,
                        Some(event) => {
                            if note(event, channel, unread) {
                                break Some(Failure::Gone);
                            }
                        }
                    },
                    proof = &mut proof => match proof {
                        Ok(Ok(attached)) => return Outcome::Attached(Box::new(attached)),
                        Ok(Err(failure)) => break Some(failure),
                        Err(_) => break Some(Failure::TooSlow),
                    },
                }
            }
        };
        self.tell(ToRelay::CloseChannel { channel });
        self.node.forget(channel);
        let Some(failure) = failed else { return Outcome::StoppedByUser };
        tracing::debug!(%failure, "pairing failed");
        if wrong_code.get() {
            let text = "Somebody tried to attach with a wrong code. Nobody was let in.".to_owned();
            self.stage.happened(text.clone());
            self.stage.notice(Some(text));
        }
        Outcome::Failed
    }
}

/// Takes what the relay says while a technician on `channel` is looked at. `true`: there is nobody on it any more.
fn note(event: ControlEvent, channel: ChannelId, unread: &mut VecDeque<ControlEvent>) -> bool {
    let opened = |event: &ControlEvent, gone: ChannelId| matches!(event, ControlEvent::Message(FromRelay::ChannelOpen { channel, .. }) if *channel == gone);
    let over = match &event {
        ControlEvent::Message(FromRelay::ChannelClosed { channel: gone, .. }) => {
            // Somebody else who came and went meanwhile is not looked at.
            unread.retain(|event| !opened(event, *gone));
            return *gone == channel;
        }
        ControlEvent::Down { .. } => true,
        ControlEvent::Up | ControlEvent::Message(_) | _ => false,
    };
    if unread.len() < UNREAD {
        unread.push_back(event);
    }
    over
}

async fn prove(
    channel: ChannelId,
    mut unpaired: Unpaired,
    offered: AgentOffered,
    shown: &mut Shown,
    key: &SigningKey,
    organisations: &[TrustedOrganisation],
    wrong_code: &Cell<bool>,
) -> Result<Attached, Failure> {
    let step = exchange(&mut unpaired, offered, shown, key).await;
    let (paired, introduction) = match step {
        Ok(done) => done,
        Err(failure) => {
            wrong_code.set(matches!(&failure, Failure::Pairing(error) if error.counts_as_try()));
            if let Some(reason) = failure.refusal()
                && unpaired.send(&FromUnpairedAgent::Refuse { reason }).await.is_ok()
            {
                // Whoever is at the other end has failed already; being told is a courtesy.
                let _ = unpaired.finish(CloseCode::NotPaired, "").await;
            }
            return Err(failure);
        }
    };
    let identity = identify(&introduction, unpaired.peer_key(), organisations);
    let (sealed, sender, receiver) = unpaired.into_paired(&paired).map_err(|_| Failure::Channel)?;
    Ok(Attached { channel, sealed, sender, receiver, paired, introduction, identity })
}

/// What follows the offer, up to `Accept`.
async fn exchange(
    unpaired: &mut Unpaired,
    offered: AgentOffered,
    shown: &mut Shown,
    key: &SigningKey,
) -> Result<(Paired, Introduction), Failure> {
    let binding = ChannelBinding {
        exporter: unpaired.exporter(EXPORTER_LABEL, &exporter_context(SUITE, shown.code.locator())),
        agent_key: *key.public(),
        technician_key: *unpaired.peer_key(),
    };
    let proof = unpaired.recv::<FromUnpairedTechnician>().await.ok().flatten().ok_or(Failure::Channel)?;
    shown.tries.charge(clock::now())?;
    let mut session = SessionId([0; 8]);
    OsRng.fill_bytes(&mut session.0);
    let (paired, introduction, accept) = offered.accept(&binding, proof, session)?;
    shown.tries.succeeded();
    unpaired.send(&accept).await.map_err(|_| Failure::Channel)?;
    Ok((paired, introduction))
}

/// A certificate that does not verify is as good as none: the name is then only a claim.
fn identify(introduction: &Introduction, key: &PublicKey, organisations: &[TrustedOrganisation]) -> TechnicianIdentity {
    let claim = || TechnicianIdentity::Unverified { claimed_name: introduction.claimed_name.clone() };
    let Some(certificate) = &introduction.certificate else { return claim() };
    trust::certificate::verify(certificate, key, organisations, clock::wall_time()).unwrap_or_else(|error| {
        tracing::debug!(%error, "certificate not accepted");
        claim()
    })
}
