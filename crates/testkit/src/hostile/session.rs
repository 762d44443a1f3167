//! The sealed session of a peer, with every seal open.

use anyhow::Context as _;
use rand_core::OsRng;
use transport::{
    sealed::{Sealed, Unpaired},
    streams::{FrameReceiver, FrameSender},
};
use trust::{
    code::SessionCode,
    keys::{PublicKey, SigningKey},
    pairing::{AgentPairing, ChannelBinding, EXPORTER_LABEL, Paired, SUITE, TechnicianPairing, exporter_context},
};
use wire::{
    control::Side,
    ids::{Locator, RequestId, SessionId},
    pairing::Introduction,
    session::{Ability, AccessRequest},
    text::{Label, Sentence},
};

/// A paired session, or one that poses as such.
#[derive(Debug)]
pub struct PeerSession {
    /// The connection: further streams, its end.
    pub sealed: Sealed,
    /// Sends on the control stream, [`RawFrame`](super::frames::RawFrame)s too.
    pub sender: FrameSender,
    /// Receives from it.
    pub receiver: FrameReceiver,
    /// What both ends share.
    pub paired: Paired,
}

impl PeerSession {
    /// Goes on with `unpaired` as if it were paired by `paired`, which nobody checks here.
    ///
    /// # Errors
    ///
    /// When not a single pairing message was sent or received yet.
    pub fn pose(unpaired: Unpaired, paired: Paired) -> anyhow::Result<Self> {
        let (sealed, sender, receiver) = unpaired.into_paired(&paired).context("no pairing message was exchanged")?;
        Ok(Self { sealed, sender, receiver, paired })
    }
}

/// What binds a pairing to the channel of `unpaired`, seen from `side`.
pub fn binding(unpaired: &Unpaired, side: Side, own: &PublicKey, locator: Locator) -> ChannelBinding {
    let exporter = unpaired.exporter(EXPORTER_LABEL, &exporter_context(SUITE, locator));
    let (peer, own) = (*unpaired.peer_key(), *own);
    match side {
        Side::Agent => ChannelBinding { exporter, agent_key: own, technician_key: peer },
        Side::Technician => ChannelBinding { exporter, agent_key: peer, technician_key: own },
    }
}

/// What a technician of this name introduces itself with.
pub fn introduction(name: &str, abilities: &[Ability], reason: &str) -> Introduction {
    let request = AccessRequest {
        request: RequestId(1),
        abilities: abilities.to_vec(),
        reason: Sentence::cut(reason),
        stay_secs: 1800,
    };
    Introduction { claimed_name: Label::cut(name), certificate: None, request }
}

/// The outcome of a pairing that a peer held with itself: it opens every seal of the transport's types and proves nothing.
///
/// # Panics
///
/// Never, unless pairing is broken.
pub fn forged_proof() -> Paired {
    let agent = SigningKey::generate(&mut OsRng);
    let technician = SigningKey::generate(&mut OsRng);
    let binding =
        ChannelBinding { exporter: [0; 32], agent_key: *agent.public(), technician_key: *technician.public() };
    let code = SessionCode::draw(Locator::new(1, 4).expect("four digits"), &mut OsRng);
    let introduction = introduction("nobody", &[], "");
    let (offered, offer) = AgentPairing::offer(&code, &mut OsRng);
    let (proving, prove) =
        TechnicianPairing::prove(&code, &binding, offer, &introduction, &mut OsRng).expect("an honest message");
    let (_, _, accept) = offered.accept(&binding, prove, SessionId([0; 8])).expect("the same code");
    proving.finish(accept).expect("the same code")
}
