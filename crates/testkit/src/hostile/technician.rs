//! A technician that does only what a test says.

use anyhow::{Context as _, bail};
use rand_core::OsRng;
use transport::{
    node::{Control, ControlEvent, Node, NodeOptions},
    sealed::Unpaired,
};
use trust::{code::SessionCode, keys::SigningKey, pairing::TechnicianPairing};
use wire::{
    channel::ChannelId,
    control::{FirstFlight, FromRelay, Refusal, Side, ToRelay},
    ids::Locator,
    pairing::{FromUnpairedAgent, Introduction, PairingRefusal},
};

use super::session::{PeerSession, binding};
use crate::within_patience;

/// A technician's socket and control connection.
#[derive(Debug)]
pub struct TechnicianPeer {
    /// The transport.
    pub node: Node,
    /// The relay.
    pub control: Control,
    /// The key that it proves.
    pub key: SigningKey,
}

/// What an agent made of a pairing.
#[derive(Debug)]
pub enum Pairing {
    /// The code was right.
    Paired(Box<PeerSession>),
    /// The agent refused.
    Refused(PairingRefusal),
    /// The agent, or somebody between, closed the session without a word.
    Closed,
}

impl TechnicianPeer {
    /// Connects to a relay.
    ///
    /// # Errors
    ///
    /// When the relay cannot be reached.
    pub async fn connect(link: &wire::link::RelayLink) -> anyhow::Result<Self> {
        Self::connect_with(link, NodeOptions::default()).await
    }

    /// As [`TechnicianPeer::connect`], with options.
    ///
    /// # Errors
    ///
    /// When the relay cannot be reached.
    pub async fn connect_with(link: &wire::link::RelayLink, options: NodeOptions) -> anyhow::Result<Self> {
        let (node, control) = Node::start(link.clone(), options).await?;
        Ok(Self { node, control, key: SigningKey::generate(&mut OsRng) })
    }

    /// Asks the relay for the agent behind a locator, and sends nothing along.
    ///
    /// # Errors
    ///
    /// When the relay goes away or says nothing. Its refusal is the inner result.
    pub async fn attach(&mut self, locator: Locator) -> anyhow::Result<Result<ChannelId, Refusal>> {
        self.attach_with(locator, FirstFlight::default()).await
    }

    /// Asks the relay for the agent behind a locator, and sends packets along.
    ///
    /// # Errors
    ///
    /// As [`TechnicianPeer::attach`].
    pub async fn attach_with(
        &mut self,
        locator: Locator,
        first: FirstFlight,
    ) -> anyhow::Result<Result<ChannelId, Refusal>> {
        within_patience("the relay's answer", async {
            loop {
                match self.control.recv().await {
                    Some(ControlEvent::Up) => {
                        self.control.send(ToRelay::Attach { locator, first: first.clone() }).await?;
                    }
                    Some(ControlEvent::Message(FromRelay::ChannelOpen { channel, .. })) => return Ok(Ok(channel)),
                    Some(ControlEvent::Message(FromRelay::Refused { reason })) => return Ok(Err(reason)),
                    Some(_) => {}
                    None => bail!("the node was closed"),
                }
            }
        })
        .await
    }

    /// Attaches, shakes hands and pairs with `code`, as an honest technician does.
    ///
    /// # Errors
    ///
    /// When nobody waits under the code, or the handshake fails.
    pub async fn pair(&mut self, code: &SessionCode, introduction: &Introduction) -> anyhow::Result<Pairing> {
        let mut dialing = self.node.begin_session(&self.key).await?;
        let channel = self.attach_with(code.locator(), dialing.first_flight()).await?.context("the relay refused")?;
        let unpaired = dialing.on(channel).await?;
        self.pair_on(unpaired, code, introduction).await
    }

    /// Pairs on a session that stands.
    ///
    /// # Errors
    ///
    /// When a message cannot be sent.
    pub async fn pair_on(
        &self,
        mut unpaired: Unpaired,
        code: &SessionCode,
        introduction: &Introduction,
    ) -> anyhow::Result<Pairing> {
        let binding = binding(&unpaired, Side::Technician, self.key.public(), code.locator());
        let offer = match unpaired.recv::<FromUnpairedAgent>().await {
            Ok(Some(FromUnpairedAgent::Refuse { reason })) => return Ok(Pairing::Refused(reason)),
            Ok(Some(offer)) => offer,
            Ok(None) | Err(_) => return Ok(Pairing::Closed),
        };
        let (proving, prove) = TechnicianPairing::prove(code, &binding, offer, introduction, &mut OsRng)?;
        unpaired.send(&prove).await?;
        match unpaired.recv::<FromUnpairedAgent>().await {
            Ok(Some(FromUnpairedAgent::Refuse { reason })) => Ok(Pairing::Refused(reason)),
            Ok(Some(acceptance)) => {
                let paired = proving.finish(acceptance)?;
                Ok(Pairing::Paired(Box::new(PeerSession::pose(unpaired, paired)?)))
            }
            Ok(None) | Err(_) => Ok(Pairing::Closed),
        }
    }
}

impl Pairing {
    /// The session.
    ///
    /// # Panics
    ///
    /// When the agent did not let the technician in.
    #[track_caller]
    pub fn expect_paired(self) -> PeerSession {
        match self {
            Self::Paired(session) => *session,
            Self::Refused(reason) => panic!("the agent refused: {reason}"),
            Self::Closed => panic!("the session was closed while pairing"),
        }
    }
}
