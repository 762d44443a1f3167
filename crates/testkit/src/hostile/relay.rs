//! A relay that plots against both sides.
//!
//! It speaks the real control protocol over the real transport and holds the key that its link names: everything that a relay
//! can do in the worst case. It must never come to more than a wrong code.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use rand_core::OsRng;
use tokio::{sync::mpsc, task::JoinSet};
use transport::{
    listener::{Forward, Listener, ListenerConfig, PeerEvent, PeerEvents, PeerId, Route},
    sealed::Unpaired,
    streams::StreamError,
};
use trust::{code::SessionCode, keys::SigningKey, pairing::AgentPairing};
use wire::{
    channel::{ChannelId, DataHeader},
    control::{ChannelOrigin, FirstFlight, FromRelay, Refusal, Rendezvous, Side, ToRelay},
    ids::{Locator, SessionId},
    link::RelayLink,
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, PairingRefusal},
    session::Ability,
    time::Moment,
};

use super::{
    agent::AgentPeer,
    session::{binding, introduction},
    technician::{Pairing, TechnicianPeer},
};
use crate::within_patience;

/// What a test never has more of at once.
const QUEUE: usize = 64;

/// First locator that is given out.
const FIRST_LOCATOR: u32 = 1000;

/// What the relay does with a technician who attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plot {
    /// What it should.
    Honest,
    /// Ends the technician's sealed session at itself, opens one of its own to the agent, and passes the pairing on.
    SwapKeys,
    /// Poses as the agent and as the technician, and guesses the secret on both sides.
    GuessSecret,
    /// Brings the technician to an agent that waits under another locator.
    SwapLocators,
    /// Says that a channel is open and forwards nothing on it.
    BlackHole,
}

/// What a plot came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The agent's last word, if it said any.
    pub agent: Option<AgentsWord>,
    /// How far the technician went.
    pub technician: TechniciansStep,
}

/// An agent's last word in a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentsWord {
    /// Spoke first, which says nothing about the code.
    Offered,
    /// Let the relay in. Never.
    Accepted,
    /// Refused.
    Refused(PairingRefusal),
}

/// How far a technician went in a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TechniciansStep {
    /// Said nothing.
    #[default]
    Silent,
    /// Proved the code to the relay's own session.
    Proved,
    /// Went on with the relay as if it were the agent. Never.
    Accepted,
}

/// The relay. Dropping it ends it.
#[derive(Debug)]
pub struct EvilRelay {
    link: RelayLink,
    outcomes: mpsc::Receiver<Outcome>,
    _tasks: JoinSet<()>,
}

impl EvilRelay {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub async fn start(plot: Plot) -> anyhow::Result<Self> {
        let key = SigningKey::generate(&mut OsRng);
        let ring = Arc::new(Ring::default());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let forward: Arc<dyn Forward> = Arc::<Ring>::clone(&ring);
        let (listener, events) = Listener::bind(address, &key, forward, ListenerConfig::default())?;
        let link = RelayLink::new("127.0.0.1", listener.local_addr().port(), key.public().digest().0)?;
        let (tell, outcomes) = mpsc::channel(QUEUE);
        let (scheme, schemes) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        let clients = Clients { ring: Arc::clone(&ring), plot, scheme, listener: Arc::new(listener) };
        tasks.spawn(clients.serve(events));
        // Both connect to the relay itself, so the listener has to be at work.
        let (agent, technician) = (AgentPeer::connect(&link).await?, TechnicianPeer::connect(&link).await?);
        let middle = Middle { ring, plot, agent, technician };
        tasks.spawn(middle.conspire(schemes, tell));
        Ok(Self { link, outcomes, _tasks: tasks })
    }

    /// What agents and technicians are given.
    pub fn link(&self) -> &RelayLink {
        &self.link
    }

    /// Waits for the end of the next [`Plot::SwapKeys`] or [`Plot::GuessSecret`].
    ///
    /// # Errors
    ///
    /// When nobody attaches.
    pub async fn outcome(&mut self) -> anyhow::Result<Outcome> {
        within_patience("the plot's outcome", async { self.outcomes.recv().await.context("the relay is gone") }).await
    }
}

/// What the relay knows.
#[derive(Debug, Default)]
struct Ring {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<Locator, Client>,
    rejoining: BTreeMap<Rendezvous, Client>,
    routes: BTreeMap<ChannelId, [SocketAddr; 2]>,
    locators: u32,
    channels: u32,
}

/// A program with a control connection.
#[derive(Debug, Clone)]
struct Client {
    address: SocketAddr,
    peer: PeerId,
    listener: Arc<Listener>,
}

impl Client {
    fn tell(&self, message: FromRelay) {
        self.listener.tell(self.peer, message);
    }
}

impl Ring {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn locator_for(&self, client: &Client) -> FromRelay {
        let mut state = self.state();
        state.locators += 1;
        match Locator::new(FIRST_LOCATOR + state.locators, 4) {
            Some(locator) => {
                state.waiting.insert(locator, client.clone());
                FromRelay::LocatorAllocated { locator, lifetime_secs: 600 }
            }
            None => FromRelay::Refused { reason: Refusal::Full },
        }
    }

    /// Opens a channel between two addresses.
    fn open(&self, ends: [SocketAddr; 2]) -> Option<ChannelId> {
        let mut state = self.state();
        state.channels += 1;
        let channel = ChannelId::new(state.channels, state.channels)?;
        state.routes.insert(channel, ends);
        Some(channel)
    }

    /// Opens a channel between two clients and tells both.
    fn join(&self, ends: [&Client; 2], origin: ChannelOrigin, for_the_second: FirstFlight) {
        if let Some(channel) = self.open(ends.map(|client| client.address)) {
            for (client, first) in ends.into_iter().zip([FirstFlight::default(), for_the_second]) {
                client.tell(FromRelay::ChannelOpen { channel, first, origin });
            }
        }
    }
}

impl Forward for Ring {
    fn route(&self, from: SocketAddr, header: DataHeader, _: usize, _: usize, _: Moment) -> Route {
        match self.state().routes.get(&header.channel) {
            Some([one, other]) if *one == from => Route::To(*other),
            Some([one, other]) if *other == from => Route::To(*one),
            Some(_) | None => Route::Nowhere,
        }
    }
}

/// A technician, the agent that it wants, and their locator, for the relay to step between.
type Scheme = (Client, Client, Locator);

struct Clients {
    ring: Arc<Ring>,
    plot: Plot,
    scheme: mpsc::Sender<Scheme>,
    listener: Arc<Listener>,
}

impl Clients {
    async fn serve(self, mut events: PeerEvents) {
        let mut addresses = BTreeMap::new();
        while let Some(event) = events.recv().await {
            match event {
                PeerEvent::Connected { peer, address, .. } | PeerEvent::Moved { peer, address } => {
                    addresses.insert(peer, address);
                }
                PeerEvent::Message { peer, message } => {
                    if let Some(address) = addresses.get(&peer).copied() {
                        let client = Client { address, peer, listener: Arc::clone(&self.listener) };
                        self.handle(&client, message).await;
                    }
                }
                PeerEvent::Ended { peer, .. } => {
                    addresses.remove(&peer);
                }
            }
        }
    }

    async fn handle(&self, client: &Client, message: ToRelay) {
        match message {
            ToRelay::AllocateLocator => client.tell(self.ring.locator_for(client)),
            ToRelay::ReleaseLocator { locator } => {
                self.ring.state().waiting.remove(&locator);
            }
            ToRelay::Attach { locator, first } => self.attach(client, locator, first).await,
            ToRelay::Rejoin { rendezvous, .. } => {
                let other = self.ring.state().rejoining.remove(&rendezvous);
                match other {
                    Some(other) => self.ring.join([client, &other], ChannelOrigin::Rejoin, FirstFlight::default()),
                    None => {
                        self.ring.state().rejoining.insert(rendezvous, client.clone());
                    }
                }
            }
            ToRelay::CloseChannel { channel } => {
                self.ring.state().routes.remove(&channel);
            }
            ToRelay::Observe | _ => client.tell(FromRelay::Refused { reason: Refusal::Unexpected }),
        }
    }

    async fn attach(&self, technician: &Client, locator: Locator, first: FirstFlight) {
        let wanted = |waiting: &Locator| match self.plot {
            Plot::SwapLocators => *waiting != locator,
            Plot::Honest | Plot::SwapKeys | Plot::GuessSecret | Plot::BlackHole => *waiting == locator,
        };
        let agent = {
            let state = self.ring.state();
            state.waiting.iter().find(|(waiting, _)| wanted(waiting)).map(|(_, agent)| agent.clone())
        };
        let Some(agent) = agent else {
            return technician.tell(FromRelay::Refused { reason: Refusal::NobodyWaiting });
        };
        match self.plot {
            Plot::Honest | Plot::SwapLocators => self.ring.join([technician, &agent], ChannelOrigin::Attach, first),
            Plot::BlackHole => {
                let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
                for client in [technician, &agent] {
                    if let Some(channel) = self.ring.open([nowhere, nowhere]) {
                        client.tell(just_open(channel));
                    }
                }
            }
            Plot::SwapKeys | Plot::GuessSecret => {
                // Nobody is there to plot any more only when the relay ends.
                let _ = self.scheme.send((technician.clone(), agent, locator)).await;
            }
        }
    }
}

/// The relay's own two ends, with which it steps between an agent and a technician.
struct Middle {
    ring: Arc<Ring>,
    plot: Plot,
    agent: AgentPeer,
    technician: TechnicianPeer,
}

impl Middle {
    async fn conspire(self, mut schemes: mpsc::Receiver<Scheme>, tell: mpsc::Sender<Outcome>) {
        while let Some((technician, agent, locator)) = schemes.recv().await {
            let outcome = self.step_between(&technician, &agent, locator).await.unwrap_or_default();
            if tell.send(outcome).await.is_err() {
                return;
            }
        }
    }

    async fn step_between(&self, technician: &Client, agent: &Client, locator: Locator) -> anyhow::Result<Outcome> {
        let to_technician = self.channel(technician, self.agent.node.local_addr()?)?;
        let to_agent = self.channel(agent, self.technician.node.local_addr()?)?;
        let dialing = self.technician.node.dial_session(to_agent, &self.technician.key);
        if self.plot == Plot::SwapKeys {
            let mut agent = dialing.await?;
            let offer = agent.recv::<FromUnpairedAgent>().await?.context("the agent offers nothing")?;
            let technician = self.agent.node.serve_session(to_technician, &self.agent.key, || offer.clone()).await?;
            return Ok(pass_on(technician, agent).await);
        }
        let guess = SessionCode::draw(locator, &mut OsRng);
        let (technician, agent) = tokio::join!(self.pose_as_agent(to_technician, &guess), async {
            self.pose_as_technician(dialing.await?, &guess).await
        });
        Ok(Outcome { agent: agent?, technician: technician? })
    }

    /// A channel between a client and one of the relay's own ends, which needs no message.
    fn channel(&self, client: &Client, own: SocketAddr) -> anyhow::Result<ChannelId> {
        let own = SocketAddr::from((Ipv4Addr::LOCALHOST, own.port()));
        let channel = self.ring.open([client.address, own]).context("no channel left")?;
        client.tell(just_open(channel));
        Ok(channel)
    }

    /// Pairs with the technician by a guess, and goes on with a forged acceptance when the guess was wrong.
    async fn pose_as_agent(&self, channel: ChannelId, guess: &SessionCode) -> anyhow::Result<TechniciansStep> {
        let mut offered = None;
        let serving = self.agent.node.serve_session(channel, &self.agent.key, || {
            let (own, offer) = AgentPairing::offer(guess, &mut OsRng);
            offered = Some(own);
            offer
        });
        let (mut unpaired, offered) = (serving.await?, offered.context("no offer was made")?);
        let binding = binding(&unpaired, Side::Agent, self.agent.key.public(), guess.locator());
        let Ok(Some(prove)) = unpaired.recv::<FromUnpairedTechnician>().await else {
            return Ok(TechniciansStep::Silent);
        };
        let session = SessionId([7; 8]);
        let accept = match offered.accept(&binding, prove, session) {
            Ok((_, _, accept)) => accept,
            Err(_) => FromUnpairedAgent::Accept { proof: [7; 32], nonce: [7; 16], session },
        };
        unpaired.send(&accept).await?;
        // A technician that believed it would go on with a message of another kind.
        match unpaired.recv::<FromUnpairedTechnician>().await {
            Ok(Some(_)) | Err(StreamError::Message(_)) => Ok(TechniciansStep::Accepted),
            Ok(None) | Err(_) => Ok(TechniciansStep::Proved),
        }
    }

    /// Pairs with the agent by a guess.
    async fn pose_as_technician(&self, unpaired: Unpaired, guess: &SessionCode) -> anyhow::Result<Option<AgentsWord>> {
        let introduction = introduction("the relay", &[Ability::DiagBasic], "none");
        Ok(match self.technician.pair_on(unpaired, guess, &introduction).await? {
            Pairing::Paired(_) => Some(AgentsWord::Accepted),
            Pairing::Refused(reason) => Some(AgentsWord::Refused(reason)),
            Pairing::Closed => None,
        })
    }
}

/// News of a channel, and nothing with it.
fn just_open(channel: ChannelId) -> FromRelay {
    FromRelay::ChannelOpen { channel, first: FirstFlight::default(), origin: ChannelOrigin::Attach }
}

/// Passes pairing messages on between two sessions that the relay is the middle of, until one of them ends.
async fn pass_on(mut technician: Unpaired, mut agent: Unpaired) -> Outcome {
    let mut outcome = Outcome { agent: Some(AgentsWord::Offered), ..Outcome::default() };
    loop {
        // The agent has spoken first, and both take turns.
        let Ok(Some(message)) = technician.recv::<FromUnpairedTechnician>().await else { break };
        outcome.technician = match message {
            FromUnpairedTechnician::Prove { .. } => TechniciansStep::Proved,
            _ => outcome.technician,
        };
        if agent.send(&message).await.is_err() {
            break;
        }
        let Ok(Some(message)) = agent.recv::<FromUnpairedAgent>().await else { break };
        outcome.agent = match message {
            FromUnpairedAgent::Offer { .. } => Some(AgentsWord::Offered),
            FromUnpairedAgent::Accept { .. } => Some(AgentsWord::Accepted),
            FromUnpairedAgent::Refuse { reason } => Some(AgentsWord::Refused(reason)),
            _ => outcome.agent,
        };
        if technician.send(&message).await.is_err() {
            break;
        }
    }
    outcome
}
