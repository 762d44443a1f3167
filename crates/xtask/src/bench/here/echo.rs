//! From a key press to its echo: a message through a sealed session by way of the relay and its answer, beside a datagram that a bare
//! forwarder brings to somebody who sends it back.

use std::{net::Ipv4Addr, net::SocketAddr, time::Duration};

use anyhow::Context as _;
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
    let (session, bare) = (through_session().await?, through_nothing().await?);
    let p99 = Figure::share("key to echo through a session, p99", "ms", &session, 0.99)?;
    let bare_p99 = Figure::share("datagram to echo through a bare forwarder, p99", "ms", &bare, 0.99)?;
    let ratio = Figure::median("p99 against the bare one", "x", &[p99.value / bare_p99.value])?.with_bar("≤ 1.5");
    Ok(vec![
        Figure::median("key to echo through a session", "ms", &session)?,
        p99,
        Figure::median("datagram to echo through a bare forwarder", "ms", &bare)?,
        bare_p99,
        ratio,
    ])
}

async fn through_session() -> anyhow::Result<Vec<f64>> {
    let Bare { agent: _agent, technician: _technician, mut at_agent, mut at_technician, relay: _relay } =
        Bare::start().await?;
    let mut echo = JoinSet::new();
    echo.spawn(async move {
        while at_agent.receiver.recv::<ToAgent>().await?.is_some() {
            at_agent.sender.send(&ToTechnician::Resumed).await?;
        }
        anyhow::Ok(())
    });
    let mut times = Vec::new();
    for key in 0..WARM_UP + KEYS {
        tokio::time::sleep(PAUSE).await;
        let pressed = Instant::now();
        at_technician.sender.send(&ToAgent::Unsubscribe).await?;
        at_technician.receiver.recv::<ToTechnician>().await?.context("the agent left")?;
        if key >= WARM_UP {
            times.push(millis(pressed.elapsed()));
        }
    }
    Ok(times)
}

async fn through_nothing() -> anyhow::Result<Vec<f64>> {
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
    let mut buffer = [0; 2048];
    let mut times = Vec::new();
    for key in 0..WARM_UP + KEYS {
        tokio::time::sleep(PAUSE).await;
        let pressed = Instant::now();
        near.send_to(&[0x40; 60], address).await?;
        near.recv_from(&mut buffer).await?;
        if key >= WARM_UP {
            times.push(millis(pressed.elapsed()));
        }
    }
    Ok(times)
}
