//! What a fleet that sleeps costs a relay: memory for a million agents, processor time for their beats, what sessions on the same shard notice of
//! them, and how soon one of them is there.
//!
//! The beats come from a handful of sockets on loopback, one packet at a time at random moments, as a fleet's do; each agent beats once,
//! and every fourth beat asks for an answer. Loopback charges the sender for what a network card's interrupts would cost the relay.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    num::{NonZeroU8, NonZeroU64},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rand_core::{OsRng, RngCore as _};
use relay::{sleepers::Sleepers, slots::SlotTable};
use testkit::tree::Usage;
use tokio::time::Instant;
use transport::{
    clock,
    listener::{BeatFrom, Forward, Listener, ListenerConfig, Route},
    node::{CarrierChoice, Control, ControlEvent, Node, NodeOptions},
};
use trust::{beat::seal, keys::SigningKey};
use wire::{
    beat::{BEAT_BYTES, Beat, BeatKind, KeyEpoch, SleepSlot},
    channel::DataHeader,
    control::{Bed, FirstFlight, FromRelay, ToRelay},
    ids::{AgentId, Locator},
    time::Moment,
};

use super::{
    figures::Figure,
    relay::{BETWEEN_PINGS, PING_CHANNEL, Pinger, channel, shard_time},
    scene::{self, millis},
};

const AGENTS: u32 = 1_000_000;

/// A million agents, each of which beats every 25 s.
const BEATS_PER_SECOND: f64 = 40_000.0;

const WINDOW: Duration = Duration::from_secs(4);

/// The first of these warms up and is not counted.
const ROUNDS: usize = 6;

/// Addresses that the beats come from.
const SENDERS: usize = 16;

/// One in so many beats asks for an answer.
const ASK_EACH: u64 = 4;

/// Between two round trips of a session in which nothing goes on.
const PAUSE: Duration = Duration::from_millis(100);

/// Agents that are woken, one after the other; the first few warm up.
const WAKES: usize = 320;
const WARM: usize = 20;

/// After so long with nothing to do they sleep again.
const IDLE: Duration = Duration::from_millis(20);

pub(super) async fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = tokio::task::spawn_blocking(fleet).await??;
    figures.extend(wakes().await?);
    Ok(figures)
}

/// What a shard does with packets here: it listens to beats, and forwards the packets of sessions.
struct Relaying {
    sleepers: Arc<Sleepers>,
    sessions: SlotTable,
}

impl Forward for Relaying {
    fn route(&self, from: SocketAddr, header: DataHeader, bytes: usize, segments: usize, now: Moment) -> Route {
        self.sessions.route(from, header, bytes, segments, now)
    }

    fn beats(&self, beats: &[BeatFrom], now: Moment, answer: &mut dyn FnMut(&BeatFrom, [u8; BEAT_BYTES])) {
        self.sleepers.beats(beats, now, answer);
    }
}

/// Agents whose beats come from a few sockets.
struct Fleet {
    senders: Vec<UdpSocket>,
    beds: Vec<Bed>,
    /// Whose turn it is.
    place: u32,
    /// Beats so far.
    sent: u64,
}

impl Fleet {
    /// Beats at the rate of all of them, for one window. Returns how long that took.
    fn beat(&mut self, to: SocketAddr) -> anyhow::Result<f64> {
        let start = Instant::now();
        let mut due = 0.0;
        while start.elapsed() < WINDOW {
            if start.elapsed().as_secs_f64() < due {
                // A sleep would bunch the beats together.
                thread::yield_now();
                continue;
            }
            // A stride that has no factor with the number of agents visits each once, in no order that memory likes.
            self.place = (self.place + 618_033) % AGENTS;
            let ask = self.sent.is_multiple_of(ASK_EACH);
            self.sent += 1;
            let packet = beat(&self.beds[self.place as usize], self.sent, ask);
            self.senders[self.place as usize % SENDERS].send_to(&packet, to)?;
            // Exponential gaps: a fleet's beats know nothing of each other.
            let uniform = (f64::from(OsRng.next_u32()) + 1.0) / (f64::from(u32::MAX) + 2.0);
            due -= uniform.ln() / BEATS_PER_SECOND;
        }
        Ok(start.elapsed().as_secs_f64())
    }
}

fn fleet() -> anyhow::Result<Vec<Figure>> {
    let senders = (0..SENDERS).map(|_| sender()).collect::<Result<Vec<_>, _>>()?;
    let mut beds = Vec::with_capacity(AGENTS as usize);
    let before = resident_bytes()?;
    let sleepers = Arc::new(Sleepers::new(AGENTS as usize, &mut OsRng));
    for number in 0..AGENTS {
        let mut agent = AgentId([0; 16]);
        OsRng.fill_bytes(&mut agent.0);
        let from = senders[number as usize % SENDERS].local_addr()?;
        beds.push(sleepers.lay_down(agent, from, 0, clock::now()).context("the table is full")?);
    }
    // What the bench itself keeps of each agent was touched meanwhile.
    let own = (beds.len() * size_of::<Bed>()) as f64;
    let resident = (resident_bytes()? - before - own) / f64::from(AGENTS);
    let counted = sleepers.bytes() as f64 / f64::from(AGENTS);

    let config = ListenerConfig { shards: NonZeroU8::MIN, ..ListenerConfig::default() };
    let pinger = Pinger::bind()?;
    let sessions = SlotTable::new(PING_CHANNEL + 1, NonZeroU64::MAX);
    let (near, far) = pinger.ends()?;
    sessions.open(channel(PING_CHANNEL)?, near, far);
    let forward: Arc<dyn Forward> = Arc::new(Relaying { sleepers: Arc::clone(&sleepers), sessions });
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (listener, _events) = Listener::bind(loopback, &SigningKey::generate(&mut OsRng), forward, config)?;
    // A thread has its name once it runs.
    while shard_time().is_err() {
        thread::yield_now();
    }
    let mut fleet = Fleet { senders, beds, place: 0, sent: 0 };
    let (mut cores, mut heard) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (counts_before, processor_before) = (heard_by(&sleepers), shard_time()?);
        let took = fleet.beat(listener.local_addr())?;
        thread::sleep(Duration::from_millis(50));
        let processor = (shard_time()? - processor_before).as_secs_f64();
        if round > 0 {
            cores.push(processor / took);
            heard.push((heard_by(&sleepers) - counts_before) as f64 / took);
        }
    }
    let mut figures = vec![
        Figure::median(format!("memory for each of {AGENTS} sleeping agents, resident"), "B", &[resident])?
            .with_bar("≤ 160"),
        Figure::median("the same as the table counts it", "B", &[counted])?,
        Figure::median("beats heard", "1/s", &heard)?,
        Figure::median("processor of the shard for them, every fourth answered", "core", &cores)?.with_bar("≤ 0.1"),
    ];
    figures.extend(beside_beats(&mut fleet, &pinger, listener.local_addr())?);
    Ok(figures)
}

/// Round trips of a session on the shard that hears the beats, beside those while the same beats go to somebody who does not listen.
fn beside_beats(fleet: &mut Fleet, pinger: &Pinger, relay: SocketAddr) -> anyhow::Result<Vec<Figure>> {
    let deaf = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut figures = Vec::new();
    // A shard lets beats come together once nobody else has said anything for a while.
    for (told, pause) in [("that is busy", BETWEEN_PINGS), ("after a pause", PAUSE)] {
        let (mut beside, mut alone, mut cores) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            for (times, to) in [(&mut alone, deaf.local_addr()?), (&mut beside, relay)] {
                let before = shard_time()?;
                let pings = pinger.while_busy(relay, pause, || fleet.beat(to))?;
                if round > 0 {
                    times.extend(pings.times);
                    if to == relay {
                        cores.push((shard_time()? - before).as_secs_f64() / WINDOW.as_secs_f64());
                    }
                }
            }
        }
        figures.push(Figure::median(format!("processor of the shard beside a session {told}"), "core", &cores)?);
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let without = format!("round trip of a session {told}, without beats, {name}");
            let without = Figure::share(without, "ms", &alone, share)?;
            let with = Figure::share(
                format!("the same beside {BEATS_PER_SECOND} beats a second, {name}"),
                "ms",
                &beside,
                share,
            )?;
            let ratio = Figure::median(format!("with beats to without, {name}"), "x", &[with.value / without.value])?;
            figures.extend([without, with, ratio.with_bar("≤ 1.5")]);
        }
    }
    Ok(figures)
}

fn sender() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // Answers that nobody reads fill its buffer and are dropped.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn beat(bed: &Bed, count: u64, ack_requested: bool) -> [u8; BEAT_BYTES] {
    let slot = SleepSlot { slot: bed.slot, generation: bed.generation };
    let (kind, epoch) = (BeatKind::Beat { ack_requested }, KeyEpoch::of(bed.epoch));
    seal(&bed.key, &Beat { kind, epoch, slot, counter: bed.counter + count }, None)
}

fn heard_by(sleepers: &Sleepers) -> u64 {
    sleepers.counts().packets.iter().filter(|(name, _)| *name == "heard").map(|(_, count)| count).sum()
}

fn resident_bytes() -> anyhow::Result<f64> {
    Ok(Usage::of(std::process::id()).context("this process has gone")?.resident_bytes as f64)
}

/// From a technician's question for a sleeping agent to the answer that both are joined: wake, handshake, channel.
async fn wakes() -> anyhow::Result<Vec<Figure>> {
    let relay = scene::relay().await?;
    let options = NodeOptions {
        bind: Some((Ipv4Addr::LOCALHOST, 0).into()),
        // On a busy machine TCP may be there first, and over it nobody sleeps.
        carrier: CarrierChoice::Udp,
        identity: Some(Arc::new(SigningKey::generate(&mut OsRng))),
        sleep_after: Some(IDLE),
        ..NodeOptions::default()
    };
    let (_agent_node, mut agent) = Node::start(relay.link().clone(), options).await?;
    let (_technician_node, mut technician) = Node::start(relay.link().clone(), NodeOptions::default()).await?;
    anyhow::ensure!(matches!(agent.recv().await, Some(ControlEvent::Up)), "the agent is not up");
    anyhow::ensure!(matches!(technician.recv().await, Some(ControlEvent::Up)), "the technician is not up");
    let mut times = Vec::new();
    for round in 0..WARM + WAKES {
        agent.send(ToRelay::AllocateLocator).await?;
        let locator = allocated(&mut agent).await?;
        until(&mut agent, |event| matches!(event, ControlEvent::Asleep)).await?;
        let start = Instant::now();
        technician.send(ToRelay::Attach { locator, first: FirstFlight::default() }).await?;
        let joined =
            until(&mut technician, |event| matches!(event, ControlEvent::Message(FromRelay::ChannelOpen { .. })));
        let ControlEvent::Message(FromRelay::ChannelOpen { channel, .. }) = joined.await? else { continue };
        if round >= WARM {
            times.push(millis(start.elapsed()));
        }
        technician.send(ToRelay::CloseChannel { channel }).await?;
        let closed = |event: &ControlEvent| matches!(event, ControlEvent::Message(FromRelay::ChannelClosed { .. }));
        until(&mut technician, closed).await?;
        until(&mut agent, closed).await?;
    }
    Ok(vec![
        Figure::share("from asking for a sleeping agent to being joined with it, p50", "ms", &times, 0.5)?,
        Figure::share("the same, p99", "ms", &times, 0.99)?.with_bar("≤ 3"),
    ])
}

async fn allocated(agent: &mut Control) -> anyhow::Result<Locator> {
    let given = |event: &ControlEvent| matches!(event, ControlEvent::Message(FromRelay::LocatorAllocated { .. }));
    let event = until(agent, given).await?;
    let ControlEvent::Message(FromRelay::LocatorAllocated { locator, .. }) = event else {
        anyhow::bail!("no locator but {event:?}")
    };
    Ok(locator)
}

async fn until(control: &mut Control, wanted: impl Fn(&ControlEvent) -> bool) -> anyhow::Result<ControlEvent> {
    loop {
        let event = control.recv().await.context("the node was closed")?;
        anyhow::ensure!(!matches!(event, ControlEvent::Down { .. }), "the relay was lost: {event:?}");
        anyhow::ensure!(
            !matches!(event, ControlEvent::Message(FromRelay::Refused { .. })),
            "the relay refused: {event:?}"
        );
        if wanted(&event) {
            return Ok(event);
        }
    }
}
