//! From a key press to its echo: a message through a sealed session by way of the relay and its answer, beside a datagram that a bare
//! forwarder brings to somebody who sends it back.

use std::{net::Ipv4Addr, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use testkit::{
    hostile::{agent::AgentPeer, session::PeerSession, technician::TechnicianPeer},
    relay::RelayProcess,
};
use tokio::{net::UdpSocket, task::JoinSet, time::Instant};
use transport::bench::BareForwarder;
use wire::session::{ToAgent, ToTechnician};

use super::{
    figures::Figure,
    scene::{Bare, millis},
};

const WARM_UP: usize = 50;
const KEYS: usize = 1000;

/// Between two keys: nothing is under way when one is pressed.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let (mut session, mut bare) = (Session::start().await?, Datagrams::start().await?);
    let (mut through_session, mut through_nothing) = (Vec::new(), Vec::new());
    for key in 0..WARM_UP + KEYS {
        // By turns: both see the same machine.
        let (by_session, by_datagram) = (session.echo().await?, bare.echo().await?);
        if key >= WARM_UP {
            through_session.push(by_session);
            through_nothing.push(by_datagram);
        }
    }
    let p99 = Figure::share("key to echo through a session, p99", "ms", &through_session, 0.99)?;
    let bare_p99 = Figure::share("datagram to echo through a bare forwarder, p99", "ms", &through_nothing, 0.99)?;
    let ratio = Figure::median("p99 against the bare one", "x", &[p99.value / bare_p99.value])?.with_bar("≤ 1.5");
    Ok(vec![
        Figure::median("key to echo through a session", "ms", &through_session)?,
        p99,
        Figure::median("datagram to echo through a bare forwarder", "ms", &through_nothing)?,
        bare_p99,
        ratio,
    ])
}

/// A sealed session by way of a relay, whose agent answers.
struct Session {
    at_technician: PeerSession,
    _peers: (AgentPeer, TechnicianPeer, RelayProcess),
    _echo: JoinSet<anyhow::Result<()>>,
}

impl Session {
    async fn start() -> anyhow::Result<Self> {
        let Bare { agent, technician, mut at_agent, at_technician, relay } = Bare::start().await?;
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            while at_agent.receiver.recv::<ToAgent>().await?.is_some() {
                at_agent.sender.send(&ToTechnician::Resumed).await?;
            }
            anyhow::Ok(())
        });
        Ok(Self { at_technician, _peers: (agent, technician, relay), _echo: echo })
    }

    /// Milliseconds until a key is back.
    async fn echo(&mut self) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let pressed = Instant::now();
        self.at_technician.sender.send(&ToAgent::Unsubscribe).await?;
        self.at_technician.receiver.recv::<ToTechnician>().await?.context("the agent left")?;
        Ok(millis(pressed.elapsed()))
    }
}

/// Somebody who sends datagrams back, behind a bare forwarder.
struct Datagrams {
    near: UdpSocket,
    bare: BareForwarder,
    _echo: JoinSet<anyhow::Result<()>>,
}

impl Datagrams {
    async fn start() -> anyhow::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (near, far) = (UdpSocket::bind(loopback).await?, UdpSocket::bind(loopback).await?);
        let bare = BareForwarder::start("bare", &[(near.local_addr()?, far.local_addr()?)])?;
        let mut echo = JoinSet::new();
        let address = bare.address();
        echo.spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (bytes, _) = far.recv_from(&mut buffer).await?;
                far.send_to(&buffer[..bytes], address).await?;
            }
            #[expect(unreachable_code, reason = "tells the type")]
            anyhow::Ok(())
        });
        Ok(Self { near, bare, _echo: echo })
    }

    /// Milliseconds until a datagram is back.
    async fn echo(&mut self) -> anyhow::Result<f64> {
        tokio::time::sleep(PAUSE).await;
        let mut buffer = [0; 2048];
        let pressed = Instant::now();
        self.near.send_to(&[0x40; 60], self.bare.address()).await?;
        self.near.recv_from(&mut buffer).await?;
        Ok(millis(pressed.elapsed()))
    }
}
