//! Real agents: idle, in a session with everything in view, and at its start.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use testkit::{
    hostile::{
        session::{PeerSession, introduction},
        technician::{Pairing, TechnicianPeer},
    },
    relay::RelayProcess,
    share::ShareProcess,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use transport::{
    sealed::Sealed,
    streams::{ByteReceiver, FrameReceiver, FrameSender},
};
use trust::code::SessionCode;
use wire::{
    codec,
    diagnostics::StreamFrame,
    session::{Ability, StreamHeader, ToAgent, ToTechnician},
};

use super::{super::load, peers};
use crate::bench::here::{
    figures::Figure,
    scene::{self, millis},
};

/// Processes on the machine.
const FEW: usize = 200;
const MANY: usize = 1000;

/// Agents that wait. Each is measured while it does, and then opened once.
const WAITING: usize = 5;

/// After this an agent has read every section once and those that it reads every minute twice.
const IDLE_SETTLE: Duration = Duration::from_secs(75);

/// Holds two rounds of the sections that are read every minute.
const IDLE_WINDOW: Duration = Duration::from_secs(120);

const COLD_STARTS: usize = 10;

const SETTLE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);
const WINDOWS: usize = 3;

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let relay = scene::relay().await?;
    let mut crowd = load::sleepers_up_to(FEW)?;

    let waiting = (0..WAITING).map(|_| ShareProcess::start(relay.link())).collect::<anyhow::Result<Vec<_>>>()?;
    for share in &waiting {
        share.code().await?;
    }
    sleep(IDLE_SETTLE).await;
    let roots = waiting.iter().map(ShareProcess::pid).collect::<Vec<_>>();
    let programs = roots.iter().map(|root| load::taken_by_programs(*root)).collect::<anyhow::Result<Vec<_>>>()?;
    let idle = load::taken(&roots, IDLE_WINDOW).await?;

    let (mut warm, mut last) = (Vec::new(), None);
    for share in waiting {
        // The session before is over: one at a time.
        drop(last.take());
        let (visit, opened) = Visit::open(share, &relay).await?;
        warm.push(millis(opened));
        last = Some(visit);
    }
    let visit = last.context("no agent waited")?;

    let few = visit.watch().await?;
    let beside_others = peers::measure(visit.share.pid()).await?;
    crowd.extend(load::sleepers_up_to(MANY)?);
    let many = visit.watch().await?;
    let churn = load::churn()?;
    let churned = visit.watch().await?;
    let highest = load::highest_resident(visit.share.pid())? / 1e6;
    drop((churn, crowd, visit));

    let mut cold = Vec::new();
    let mut ages = Vec::new();
    for _ in 0..COLD_STARTS {
        let started = Instant::now();
        let (_visit, opened) = Visit::open(ShareProcess::start(relay.link())?, &relay).await?;
        cold.push(millis(opened));
        ages.push(millis(started.elapsed().saturating_sub(opened)));
    }

    let idle = idle.iter().map(|taken| taken.processor_percent).collect::<Vec<_>>();
    let programs = programs.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
    let mut figures = vec![
        Figure::median("agent that waits, 200 processes: processor, of one core", "%", &idle)?.with_bar("≤ 0.1"),
        Figure::median("not in it, hourly: processor of programs that it asks (apt-get …)", "s", &programs)?,
        Figure::median("in session, 200 processes: processor", "%", &few.processor_percent)?.with_bar("≤ 0.3"),
        Figure::median("in session, 1,000 processes: processor", "%", &many.processor_percent)?.with_bar("≤ 1"),
        Figure::median("the same, 150 a second come and go: processor", "%", &churned.processor_percent)?,
        Figure::median("in session, 200 processes: resident memory", "MB", &few.resident_megabytes)?.with_bar("≤ 15"),
        Figure::median("in session, 1,000 processes: resident memory", "MB", &many.resident_megabytes)?
            .with_bar("≤ 15"),
        Figure::median("the most at any time since the agent's start", "MB", &[highest])?,
        Figure::median("on the wire from the agent, sealed, 200 processes", "B/s", &few.packets_per_second)?
            .with_bar("≤ 400"),
        Figure::median("of that, diagnostics, 200 processes", "B/s", &few.bytes_per_second)?,
        Figure::median("on the wire from the agent, 1,000 processes", "B/s", &many.packets_per_second)?,
        Figure::median("the same, 150 a second come and go", "B/s", &churned.packets_per_second)?.with_bar("≤ 1024"),
        Figure::median("of that, diagnostics, 1,000 processes that come and go", "B/s", &churned.bytes_per_second)?,
        Figure::median("grant to opening report, at the technician, agent up for minutes", "ms", &warm)?
            .with_bar("≤ 20"),
        Figure::median("the same, attached as soon as the agent shows a code", "ms", &cold)?.with_bar("≤ 300"),
        Figure::median("age of the agent at that grant", "ms", &ages)?,
    ];
    figures.extend(beside_others);
    Ok(figures)
}

/// What some windows of a session found.
#[derive(Debug, Default)]
struct Watched {
    processor_percent: Vec<f64>,
    resident_megabytes: Vec<f64>,
    /// Of the diagnostics stream.
    bytes_per_second: Vec<f64>,
    /// Of all packets of the session that came from the agent, without the headers of IP, UDP and the relay.
    packets_per_second: Vec<f64>,
}

/// A session in which everything is in view, once a second.
struct Visit {
    share: ShareProcess,
    /// Bytes of the diagnostics stream, with the length before each frame.
    bytes: Arc<AtomicU64>,
    /// Take what the agent says.
    _listening: JoinSet<()>,
    _sender: FrameSender,
    sealed: Sealed,
    _technician: TechnicianPeer,
}

impl Visit {
    /// Attaches and is let in. The time is from the grant's arrival to that of the opening report, with the question for it.
    async fn open(share: ShareProcess, relay: &RelayProcess) -> anyhow::Result<(Self, Duration)> {
        let code = share.code().await?.parse::<SessionCode>()?;
        let mut technician = TechnicianPeer::connect(relay.link()).await?;
        let hello = introduction("Ana", &[Ability::DiagBasic], "to measure");
        let Pairing::Paired(session) = technician.pair(&code, &hello).await? else { bail!("the agent did not pair") };
        let PeerSession { sealed, mut sender, mut receiver, .. } = *session;
        let opening = async {
            while !matches!(hear(&mut receiver).await?, ToTechnician::Granted(_)) {}
            let granted = Instant::now();
            sender.send(&ToAgent::Subscribe { period_ms: 1000 }).await?;
            let mut stream = sealed.accept_uni().await?;
            anyhow::ensure!(stream.recv().await? == Some(StreamHeader::Diagnostics), "another stream came first");
            let first = stream.recv().await?;
            anyhow::ensure!(matches!(first, Some(StreamFrame::Opening(_))), "the stream began with {first:?}");
            Ok((stream, granted.elapsed()))
        };
        let ((stream, opened), ()) = tokio::try_join!(opening, share.allow())?;
        let bytes = Arc::<AtomicU64>::default();
        let mut listening = JoinSet::new();
        listening.spawn(count(stream, Arc::clone(&bytes)));
        listening.spawn(async move { while hear(&mut receiver).await.is_ok() {} });
        let visit = Self { share, bytes, _listening: listening, _sender: sender, sealed, _technician: technician };
        Ok((visit, opened))
    }

    async fn watch(&self) -> anyhow::Result<Watched> {
        sleep(SETTLE).await;
        let mut watched = Watched::default();
        let counts = || (self.bytes.load(Ordering::Relaxed), self.sealed.stats().received_bytes);
        let (before, start) = (counts(), Instant::now());
        for _ in 0..WINDOWS {
            for taken in load::taken(&[self.share.pid()], WINDOW).await? {
                watched.processor_percent.push(taken.processor_percent);
                watched.resident_megabytes.push(taken.resident_bytes / 1e6);
            }
        }
        // Over the whole time: findings come about once a minute, and a median of shorter windows would hide them.
        let (after, took) = (counts(), start.elapsed().as_secs_f64());
        anyhow::ensure!(after.0 > before.0, "the diagnostics stream stopped");
        watched.bytes_per_second.push((after.0 - before.0) as f64 / took);
        watched.packets_per_second.push((after.1 - before.1) as f64 / took);
        Ok(watched)
    }
}

async fn hear(receiver: &mut FrameReceiver) -> anyhow::Result<ToTechnician> {
    receiver.recv().await?.context("the agent says nothing more")
}

/// Counts what comes. A frame has one encoding, so that writing it again tells what it was.
async fn count(mut stream: ByteReceiver, bytes: Arc<AtomicU64>) {
    while let Ok(Some(frame)) = stream.recv::<StreamFrame>().await {
        let length = codec::frame(&frame).map_or(0, |frame| frame.len());
        bytes.fetch_add(length as u64, Ordering::Relaxed);
    }
}
