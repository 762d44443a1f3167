//! An agent that does only what a test says.

use anyhow::{Context as _, bail};
use rand_core::{OsRng, RngCore as _};
use transport::{
    node::{Control, ControlEvent, Node, NodeOptions},
    sealed::Unpaired,
};
use trust::{
    code::SessionCode,
    keys::SigningKey,
    pairing::{AgentOffered, AgentPairing, PairingError},
};
use wire::{
    channel::ChannelId,
    control::{FromRelay, Side, ToRelay},
    ids::{Locator, SessionId},
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, Introduction},
};

use super::session::{PeerSession, binding};
use crate::within_patience;

/// An agent's socket and control connection.
#[derive(Debug)]
pub struct AgentPeer {
    /// The transport.
    pub node: Node,
    /// The relay.
    pub control: Control,
    /// The key that it proves.
    pub key: SigningKey,
}

impl AgentPeer {
    /// Connects to a relay.
    ///
    /// # Errors
    ///
    /// When the relay cannot be reached.
    pub async fn connect(link: &wire::link::RelayLink) -> anyhow::Result<Self> {
        Self::connect_with(link, NodeOptions::default()).await
    }

    /// As [`AgentPeer::connect`], with options.
    ///
    /// # Errors
    ///
    /// When the relay cannot be reached.
    pub async fn connect_with(link: &wire::link::RelayLink, options: NodeOptions) -> anyhow::Result<Self> {
        let (node, control) = Node::start(link.clone(), options).await?;
        Ok(Self { node, control, key: SigningKey::generate(&mut OsRng) })
    }

    /// Waits until it sleeps.
    ///
    /// # Errors
    ///
    /// When the relay goes away or does not let it.
    pub async fn falls_asleep(&mut self) -> anyhow::Result<()> {
        within_patience("sleep", async {
            loop {
                match self.control.recv().await {
                    Some(ControlEvent::Asleep) => return Ok(()),
                    Some(ControlEvent::Down { why, .. }) => bail!("the relay was lost: {why}"),
                    Some(_) => {}
                    None => bail!("the node was closed"),
                }
            }
        })
        .await
    }

    /// Asks for a locator.
    ///
    /// # Errors
    ///
    /// When the relay refuses, goes away or says nothing.
    pub async fn allocate(&mut self) -> anyhow::Result<Locator> {
        within_patience("a locator", async {
            loop {
                match self.control.recv().await {
                    Some(ControlEvent::Up) => self.control.send(ToRelay::AllocateLocator).await?,
                    Some(ControlEvent::Message(FromRelay::LocatorAllocated { locator, .. })) => return Ok(locator),
                    Some(ControlEvent::Message(FromRelay::Refused { reason })) => bail!("the relay refused: {reason}"),
                    Some(_) => {}
                    None => bail!("the node was closed"),
                }
            }
        })
        .await
    }

    /// Asks for a locator and draws a code.
    ///
    /// # Errors
    ///
    /// As [`AgentPeer::allocate`].
    pub async fn code(&mut self) -> anyhow::Result<SessionCode> {
        Ok(SessionCode::draw(self.allocate().await?, &mut OsRng))
    }

    /// Waits for a technician's channel.
    ///
    /// # Errors
    ///
    /// When the relay goes away or nobody comes.
    pub async fn channel(&mut self) -> anyhow::Result<ChannelId> {
        within_patience("a technician", async {
            loop {
                match self.control.recv().await {
                    Some(ControlEvent::Message(FromRelay::ChannelOpen { channel, .. })) => return Ok(channel),
                    Some(_) => {}
                    None => bail!("the node was closed"),
                }
            }
        })
        .await
    }

    /// Waits for a technician, shakes hands with it and makes it an offer.
    ///
    /// # Errors
    ///
    /// When nobody comes, or the handshake fails.
    pub async fn serve(&mut self, code: &SessionCode) -> anyhow::Result<(Unpaired, AgentOffered)> {
        let channel = self.channel().await?;
        let mut offered = None;
        let unpaired = self.node.serve_session(channel, &self.key, || {
            let (own, offer) = AgentPairing::offer(code, &mut OsRng);
            offered = Some(own);
            offer
        });
        Ok((unpaired.await?, offered.context("no offer was made")?))
    }

    /// Waits for a technician and pairs with it, as an honest agent does. A wrong code is the inner result.
    ///
    /// # Errors
    ///
    /// When nobody comes, or the session ends.
    pub async fn pair(
        &mut self,
        code: &SessionCode,
    ) -> anyhow::Result<Result<(PeerSession, Introduction), PairingError>> {
        let (mut unpaired, offered) = self.serve(code).await?;
        let binding = binding(&unpaired, Side::Agent, self.key.public(), code.locator());
        let prove =
            unpaired.recv::<FromUnpairedTechnician>().await?.context("the technician did not prove the code")?;
        let mut session = SessionId([0; 8]);
        OsRng.fill_bytes(&mut session.0);
        match offered.accept(&binding, prove, session) {
            Ok((paired, introduction, accept)) => {
                unpaired.send(&accept).await?;
                Ok(Ok((PeerSession::pose(unpaired, paired)?, introduction)))
            }
            Err(error) => refuse(unpaired, error).await,
        }
    }
}

async fn refuse<T>(mut unpaired: Unpaired, error: PairingError) -> anyhow::Result<Result<T, PairingError>> {
    if let Some(reason) = error.refusal() {
        unpaired.send(&FromUnpairedAgent::Refuse { reason }).await?;
        // The other side may be gone already, which is its right.
        let _ = unpaired.finish(transport::sealed::CloseCode::NotPaired, "refused").await;
    }
    Ok(Err(error))
}
