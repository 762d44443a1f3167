//! What the tests share: a relay in this process, nodes that speak with it, and a look at its metrics.

use std::{net::SocketAddr, time::Duration};

use rand_core::OsRng;
use relay::{
    config::{Overrides, RelayConfig},
    relay::Relay,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};
use transport::{
    node::{CarrierChoice, Control, ControlEvent, Node, NodeOptions},
    sealed::Unpaired,
};
use trust::keys::SigningKey;
use wire::{
    channel::ChannelId,
    control::{FirstFlight, FromRelay, ToRelay},
    ids::Locator,
    link::RelayLink,
    pairing::{FromUnpairedAgent, FromUnpairedTechnician, PairingRefusal},
};

/// Everything that is waited for happens within this, or the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A relay with a state directory of its own.
pub(crate) struct World {
    pub(crate) relay: Relay,
    config: RelayConfig,
    _home: TempDir,
}

impl World {
    /// Starts a relay on loopback with further settings in TOML.
    pub(crate) async fn start(settings: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let overrides = Overrides {
            listen: Some("127.0.0.1:0".into()),
            http: Some("127.0.0.1:0".into()),
            state_dir: Some(home.path().join("state")),
            ..Overrides::default()
        };
        let config = RelayConfig::parse(settings, &overrides).unwrap();
        let relay = Relay::start(&config).await.unwrap();
        Self { relay, config, _home: home }
    }

    /// Stops the relay and starts it again with what it has kept, at another address.
    pub(crate) async fn restart(&mut self) {
        self.relay.stop_now();
        self.relay.ended().await.unwrap();
        self.relay = Relay::start(&self.config).await.unwrap();
    }

    /// An agent or a technician that has connected.
    pub(crate) async fn connect(&self) -> Peer {
        connect(self.relay.link().clone()).await
    }

    /// An agent or a technician that has connected by this carrier.
    pub(crate) async fn connect_by(&self, carrier: CarrierChoice) -> Peer {
        connect_by(self.relay.link().clone(), carrier).await
    }

    /// An agent with a technician attached, and what it took.
    pub(crate) async fn attached(&self) -> (Peer, Peer, ChannelId) {
        let (mut agent, mut technician) = (self.connect().await, self.connect().await);
        let locator = agent.allocate().await;
        let channel = technician.attach(locator).await;
        assert_eq!(agent.opened().await, channel);
        (agent, technician, channel)
    }

    /// The value of a metric, zero if it is not there.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let (_, body) = get(self.relay.http_address().unwrap(), "/metrics").await;
        let line =
            body.lines().find_map(|line| line.strip_prefix("assent_relay_")?.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_becomes(&self, series: &str, value: u64) {
        if timeout(PATIENCE, self.metric_is(series, |is| is == value)).await.is_err() {
            panic!("{series} is {} instead of {value}", self.metric(series).await);
        }
    }

    /// Waits until a metric is more than zero.
    pub(crate) async fn metric_rises(&self, series: &str) {
        let risen = timeout(PATIENCE, self.metric_is(series, |is| is > 0)).await;
        assert!(risen.is_ok(), "{series} stays at zero");
    }

    async fn metric_is(&self, series: &str, wanted: impl Fn(u64) -> bool) {
        // Each look takes a connection; the pause keeps a slow machine from running out of ports.
        let mut looks = interval(Duration::from_millis(5));
        while !wanted(self.metric(series).await) {
            looks.tick().await;
        }
    }
}

/// An agent or a technician that has connected by this link.
pub(crate) async fn connect(link: RelayLink) -> Peer {
    connect_by(link, CarrierChoice::Auto).await
}

/// An agent or a technician that has connected by this link and carrier.
pub(crate) async fn connect_by(link: RelayLink, carrier: CarrierChoice) -> Peer {
    let options = NodeOptions { bind: Some("127.0.0.1:0".parse().unwrap()), carrier, ..NodeOptions::default() };
    let (node, control) = Node::start(link, options).await.unwrap();
    let mut peer = Peer { node, control };
    assert!(matches!(peer.event().await, ControlEvent::Up));
    peer
}

/// One program's network half.
pub(crate) struct Peer {
    pub(crate) node: Node,
    pub(crate) control: Control,
}

impl Peer {
    pub(crate) async fn event(&mut self) -> ControlEvent {
        timeout(PATIENCE, self.control.recv()).await.expect("the relay says something").expect("the node runs")
    }

    pub(crate) async fn message(&mut self) -> FromRelay {
        match self.event().await {
            ControlEvent::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn ask(&mut self, message: ToRelay) -> FromRelay {
        self.control.send(message).await.unwrap();
        self.message().await
    }

    pub(crate) async fn allocate(&mut self) -> Locator {
        match self.ask(ToRelay::AllocateLocator).await {
            FromRelay::LocatorAllocated { locator, .. } => locator,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn attach(&mut self, locator: Locator) -> ChannelId {
        self.control.send(ToRelay::Attach { locator, first: FirstFlight::default() }).await.unwrap();
        self.opened().await
    }

    pub(crate) async fn opened(&mut self) -> ChannelId {
        match self.message().await {
            FromRelay::ChannelOpen { channel, .. } => channel,
            other => panic!("{other:?}"),
        }
    }
}

/// Makes the sealed connection of a session on a channel, in both programs.
pub(crate) async fn seal(agent: &Peer, technician: &Peer, channel: ChannelId) -> (Unpaired, Unpaired) {
    let (agent_key, technician_key) = (SigningKey::generate(&mut OsRng), SigningKey::generate(&mut OsRng));
    let (agent, technician) = tokio::join!(
        agent.node.serve_session(channel, &agent_key, greeting),
        technician.node.dial_session(channel, &technician_key)
    );
    let (agent, mut technician) = (agent.unwrap(), technician.unwrap());
    let heard = timeout(PATIENCE, technician.recv::<FromUnpairedAgent>()).await.expect("the greeting comes").unwrap();
    assert_eq!(heard, Some(greeting()));
    (agent, technician)
}

fn greeting() -> FromUnpairedAgent {
    FromUnpairedAgent::Refuse { reason: PairingRefusal::CodeVoid }
}

/// What a technician may say at this stage; nobody pairs here.
pub(crate) fn proof(filler: u8) -> FromUnpairedTechnician {
    FromUnpairedTechnician::Prove {
        pake: vec![filler; 33],
        proof: [filler; 32],
        nonce: [filler; 16],
        introduction: Vec::new(),
    }
}

/// One message each way through the sealed connection.
pub(crate) async fn exchange(agent: &mut Unpaired, technician: &mut Unpaired) {
    let question = proof(7);
    let answer = FromUnpairedAgent::Refuse { reason: PairingRefusal::WrongCode };
    technician.send(&question).await.unwrap();
    let heard = timeout(PATIENCE, agent.recv::<FromUnpairedTechnician>()).await.expect("the question comes").unwrap();
    assert_eq!(heard, Some(question));
    agent.send(&answer).await.unwrap();
    let heard = timeout(PATIENCE, technician.recv::<FromUnpairedAgent>()).await.expect("the answer comes").unwrap();
    assert_eq!(heard, Some(answer));
}

/// GET over HTTP/1.1: status and body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the relay answers").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
