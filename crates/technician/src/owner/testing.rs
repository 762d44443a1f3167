//! A relay, a technician's home, and an agent.

use std::{path::PathBuf, pin::Pin};

use relay::{
    config::{Overrides, RelayConfig},
    relay::Relay,
};
use wire::{
    link::RelayLink,
    text::{Label, Sentence},
};

pub(super) use self::agent::{Agent, AgentEnd, patiently};
use super::{AttachError, Handle, Outcome, Setup, prepare};
use crate::{identity::Identity, place::Places, status::Status};

mod agent;

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
            carrier: transport::node::CarrierChoice::Auto,
            code: code.parse().unwrap(),
            identity: Identity::load(&places.state).unwrap(),
            name: Label::cut("Ana Ruiz"),
            reason: Sentence::cut("the printer"),
            direct: true,
            patience: transport::silence::PATIENCE,
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

/// Waits until the session stands as wanted.
pub(super) async fn until(handle: &Handle, wanted: impl Fn(&Status) -> bool) -> Status {
    let mut status = handle.status.clone();
    let found = patiently(status.wait_for(|status| wanted(status))).await;
    found.expect("the session is still there").as_ref().clone()
}
