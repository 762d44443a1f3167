//! What one shard forwards on loopback: packets each second, and processor time for each gigabyte that arrives.
//!
//! A sender offers as much as it can, which is more than is forwarded; a receiver counts what arrives. The relay takes turns with a
//! forwarder that has the same socket and no idea what it forwards, so that both see the same machine. Loopback cuts no trains, so
//! these are bounds from above for a network; the two beside each other are what counts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    num::{NonZeroU8, NonZeroU64},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use rand_core::OsRng;
use relay::slots::SlotTable;
use tokio::time::Instant;
use transport::{
    bench::{BareForwarder, TrainSocket},
    listener::{Listener, ListenerConfig, PeerEvents},
};
use trust::keys::SigningKey;
use wire::channel::{ChannelId, DataHeader};

use super::{fair, figures::Figure, scene::millis};

pub(super) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const WINDOW: Duration = Duration::from_secs(2);

/// The first of these warms up and is not counted.
pub(super) const ROUNDS: usize = 7;

/// The thread that is measured, by the name that both forwarders have.
const THREAD: &str = "shard-0";

/// What is sent.
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) packet_bytes: usize,
    /// Packets of a train; fewer if the kernel takes fewer.
    pub(super) train: usize,
}

pub(super) const LOADS: [Load; 3] = [
    Load { name: "trains of 1400 B", packet_bytes: 1400, train: 40 },
    Load { name: "single packets of 1400 B", packet_bytes: 1400, train: 1 },
    Load { name: "single packets of 120 B", packet_bytes: 120, train: 1 },
];

/// `leg_megabits_per_sec` of a relay's configuration, if nothing is said there: 128.
const LEG_BYTES_PER_SEC: NonZeroU64 = NonZeroU64::new(16_000_000).unwrap();

/// Offered of what a relay forwards when as much as possible is offered, in search of the most that it delivers.
const OFFERS: [f64; 4] = [0.7, 0.85, 1.0, 1.2];

/// A load whose packets have to be looked at one by one but cost their sender little: a train in which two channels take turns.
pub(super) const COSTLY: Load = Load { name: "two channels in turn, 400 B", packet_bytes: 400, train: 40 };

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for load in &LOADS {
        let (mut by_relay, mut bare) = (Runs::default(), Runs::default());
        for round in 0..ROUNDS {
            let runs = [(&mut by_relay, through_relay(load)?), (&mut bare, through_nothing(load)?)];
            for (runs, passed) in runs.into_iter().filter(|_| round > 0) {
                runs.note(&passed);
            }
        }
        figures.extend(by_relay.figures(&format!("relay, {}", load.name))?);
        figures.extend(bare.figures(&format!("bare, {}", load.name))?);
        let ratio = |of: fn(&Runs) -> &Vec<f64>| {
            of(&by_relay).iter().zip(of(&bare)).map(|(relay, bare)| relay / bare).collect::<Vec<_>>()
        };
        let packets = Figure::median(
            format!("relay to bare, {}: packets", load.name),
            "x",
            &ratio(|runs| &runs.packets_per_second),
        )?;
        let processor = Figure::median(
            format!("relay to bare, {}: processor", load.name),
            "x",
            &ratio(|runs| &runs.seconds_per_gigabyte),
        )?;
        figures.extend([packets.with_bar("≥ 0.85"), processor.with_bar("≤ 1.15")]);
    }
    figures.extend(overload()?);
    figures.extend(fair::measure()?);
    figures.extend(latency()?);
    figures.extend(beside_a_flood()?);
    Ok(figures)
}

/// What is left of the most that is delivered when twice as much is offered.
fn overload() -> anyhow::Result<Vec<Figure>> {
    let (mut peaks, mut shares) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let rate = |passed: &Passed| passed.packets as f64 / passed.time.as_secs_f64();
        let flood = rate(&costly(None)?);
        let mut peak = flood;
        for offer in OFFERS {
            peak = peak.max(rate(&costly(Some(offer * flood))?));
        }
        let twice = rate(&costly(Some(2.0 * peak))?);
        if round > 0 {
            peaks.push(peak);
            shares.push(twice / peak);
        }
    }
    Ok(vec![
        Figure::median(format!("{}: the most that is delivered", COSTLY.name), "1/s", &peaks)?,
        Figure::median("delivered when twice that is offered, of the most", "x", &shares)?.with_bar("≥ 0.9"),
    ])
}

/// What a forwarder adds to a round trip while it is half busy.
fn latency() -> anyhow::Result<Vec<Figure>> {
    let load = &LOADS[1];
    let (mut by_relay, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let half = through_nothing(load)?;
        let half = half.packets as f64 / half.time.as_secs_f64() / 2.0;
        let through_relay = relay_round_trips(load, Some(half), NonZeroU64::MAX)?;
        let through_nothing = bare_round_trips(load, half)?;
        if round > 0 {
            by_relay.extend(through_relay.times);
            bare.extend(through_nothing.times);
        }
    }
    let mut figures = Vec::new();
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let relay =
            Figure::share(format!("round trip through the relay at half load, {name}"), "ms", &by_relay, share)?;
        let bare = Figure::share(format!("the same through the bare forwarder, {name}"), "ms", &bare, share)?;
        let ratio = Figure::median(format!("relay to bare, round trip, {name}"), "x", &[relay.value / bare.value])?;
        figures.extend([relay, bare, ratio.with_bar("≤ 1.2")]);
    }
    Ok(figures)
}

/// What others get while one sender offers all that it can: with the rate that a relay allows each side unless told
/// otherwise, and without any.
fn beside_a_flood() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (told, rate) in [("held to its rate", LEG_BYTES_PER_SEC), ("without a rate", NonZeroU64::MAX)] {
        let mut answered = Vec::new();
        for _ in 0..ROUNDS {
            let pings = relay_round_trips(&LOADS[1], None, rate)?;
            answered.push(100.0 * pings.times.len() as f64 / pings.sent as f64);
        }
        figures.push(Figure::median(format!("pings answered beside a flood {told}"), "%", &answered)?);
    }
    Ok(figures)
}

/// What arrived in a window, and the time that the forwarding thread took for it.
pub(super) struct Passed {
    packets: u64,
    bytes: u64,
    processor: Duration,
    time: Duration,
}

#[derive(Default)]
pub(super) struct Runs {
    pub(super) packets_per_second: Vec<f64>,
    pub(super) seconds_per_gigabyte: Vec<f64>,
}

impl Runs {
    pub(super) fn note(&mut self, passed: &Passed) {
        self.packets_per_second.push(passed.packets as f64 / passed.time.as_secs_f64());
        self.seconds_per_gigabyte.push(passed.processor.as_secs_f64() / (passed.bytes as f64 / 1e9));
    }

    pub(super) fn figures(&self, name: &str) -> anyhow::Result<[Figure; 2]> {
        Ok([
            Figure::median(format!("{name}: packets"), "1/s", &self.packets_per_second)?,
            Figure::median(format!("{name}: processor"), "s/GB", &self.seconds_per_gigabyte)?,
        ])
    }
}

pub(super) fn through_relay(load: &Load) -> anyhow::Result<Passed> {
    let (sender, receiver) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?);
    let open = [(CHANNELS[0], sender.local_addr()?, receiver.local_addr()?)];
    let (relay, _events) = one_shard(&open, NonZeroU64::MAX)?;
    pass(&load.offer(&sender, &CHANNELS[..1], None)?, sender, receiver, relay.local_addr(), &shard_time)
}

fn through_nothing(load: &Load) -> anyhow::Result<Passed> {
    let (sender, receiver) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?);
    let bare = BareForwarder::start(THREAD, &[(sender.local_addr()?, receiver.local_addr()?)])?;
    pass(&load.offer(&sender, &CHANNELS[..1], None)?, sender, receiver, bare.address(), &shard_time)
}

/// The costly load through a relay, at so many packets a second or as many as can be sent.
fn costly(packets_per_second: Option<f64>) -> anyhow::Result<Passed> {
    let (sender, receiver) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?);
    let ends = (sender.local_addr()?, receiver.local_addr()?);
    let open = CHANNELS.iter().map(|slot| (*slot, ends.0, ends.1)).collect::<Vec<_>>();
    let (relay, _events) = one_shard(&open, NonZeroU64::MAX)?;
    let offer = COSTLY.offer(&sender, &CHANNELS, packets_per_second)?;
    pass(&offer, sender, receiver, relay.local_addr(), &shard_time)
}

fn relay_round_trips(
    load: &Load,
    packets_per_second: Option<f64>,
    leg_bytes_per_sec: NonZeroU64,
) -> anyhow::Result<Pings> {
    let (sender, receiver, pinger) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?, Pinger::bind()?);
    let (near, far) = pinger.ends()?;
    let channels = [(CHANNELS[0], sender.local_addr()?, receiver.local_addr()?), (PING_CHANNEL, near, far)];
    let (relay, _events) = one_shard(&channels, leg_bytes_per_sec)?;
    let offer = load.offer(&sender, &CHANNELS[..1], packets_per_second)?;
    let flow = || pass(&offer, sender, receiver, relay.local_addr(), &shard_time);
    pinger.while_busy(relay.local_addr(), BETWEEN_PINGS, flow)
}

fn bare_round_trips(load: &Load, packets_per_second: f64) -> anyhow::Result<Pings> {
    let (sender, receiver, pinger) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?, Pinger::bind()?);
    let bare = BareForwarder::start(THREAD, &[(sender.local_addr()?, receiver.local_addr()?), pinger.ends()?])?;
    let offer = load.offer(&sender, &CHANNELS[..1], Some(packets_per_second))?;
    let flow = || pass(&offer, sender, receiver, bare.address(), &shard_time);
    pinger.while_busy(bare.address(), BETWEEN_PINGS, flow)
}

/// Slots of the channels of all loads.
const CHANNELS: [u32; 2] = [7, 8];

/// More than there are channels.
const SLOTS: u32 = 32;

/// The slot of the pings.
pub(super) const PING_CHANNEL: u32 = 9;

pub(super) fn channel(slot: u32) -> anyhow::Result<ChannelId> {
    ChannelId::new(slot, 0x00ab_cdef).context("both parts fit")
}

/// A relay with one thread and these slots open, each side of which may send so much.
fn one_shard(
    open: &[(u32, SocketAddr, SocketAddr)],
    leg_bytes_per_sec: NonZeroU64,
) -> anyhow::Result<(Listener, PeerEvents)> {
    let table = Arc::new(SlotTable::new(SLOTS, leg_bytes_per_sec));
    for (slot, one, other) in open {
        table.open(channel(*slot)?, *one, *other);
    }
    let config = ListenerConfig { shards: NonZeroU8::MIN, ..ListenerConfig::default() };
    Ok(Listener::bind(LOOPBACK, &SigningKey::generate(&mut OsRng), table, config)?)
}

impl Load {
    /// Packets that belong to these channels in turn, at so many a second or as many as can be sent.
    pub(super) fn offer(
        &self,
        sender: &TrainSocket,
        slots: &[u32],
        packets_per_second: Option<f64>,
    ) -> anyhow::Result<Offer> {
        let headers = slots.iter().map(|slot| Ok(DataHeader { channel: channel(*slot)? }.to_bytes().to_vec()));
        let headers = headers.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(self.behind(sender, &headers, packets_per_second))
    }

    /// Packets behind these headers in turn.
    pub(super) fn behind(&self, sender: &TrainSocket, headers: &[Vec<u8>], packets_per_second: Option<f64>) -> Offer {
        let mut train = Vec::new();
        for header in headers.iter().cycle().take(self.train.min(sender.max_segments())) {
            let mut packet = header.clone();
            packet.resize(self.packet_bytes, 0x40);
            train.extend(packet);
        }
        Offer { train, packet_bytes: self.packet_bytes, packets_per_second }
    }
}

/// What a sender offers.
pub(super) struct Offer {
    pub(super) train: Vec<u8>,
    packet_bytes: usize,
    /// `None`: as many as the kernel takes.
    packets_per_second: Option<f64>,
}

/// Pings that were sent, and the round trips in milliseconds of those that came back in time.
#[derive(Default)]
pub(super) struct Pings {
    pub(super) sent: usize,
    pub(super) times: Vec<f64>,
}

/// Somebody who asks, and somebody who answers, both by way of a forwarder.
pub(super) struct Pinger {
    near: UdpSocket,
    far: UdpSocket,
}

impl Pinger {
    pub(super) fn bind() -> anyhow::Result<Self> {
        let [near, far] = [UdpSocket::bind(LOOPBACK)?, UdpSocket::bind(LOOPBACK)?];
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(PING_LOST))?;
        }
        Ok(Self { near, far })
    }

    pub(super) fn ends(&self) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        Ok((self.near.local_addr()?, self.far.local_addr()?))
    }

    /// What comes back on the pings' channel while `work` is done, with such pauses between two pings.
    pub(super) fn while_busy<T>(
        &self,
        forwarder: SocketAddr,
        pause: Duration,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Pings> {
        let mut ping = DataHeader { channel: channel(PING_CHANNEL)? }.to_bytes().to_vec();
        ping.resize(64, 0x40);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((bytes, _)) = self.far.recv_from(&mut buffer) {
                        // Lost on the way back like any other.
                        let _ = self.far.send_to(&buffer[..bytes], forwarder);
                    }
                }
            });
            let pings = scope.spawn(|| {
                let (mut pings, mut buffer) = (Pings::default(), [0; 2048]);
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(pause);
                    let start = Instant::now();
                    pings.sent += 1;
                    if self.near.send_to(&ping, forwarder).is_ok() && self.near.recv_from(&mut buffer).is_ok() {
                        pings.times.push(millis(start.elapsed()));
                    }
                }
                pings
            });
            let worked = work();
            stop.store(true, Ordering::Relaxed);
            let pings = pings.join().map_err(|_| anyhow::anyhow!("the pings failed"))?;
            worked.map(|_| pings)
        })
    }
}

/// Between two pings of a session in which something goes on.
pub(super) const BETWEEN_PINGS: Duration = Duration::from_millis(2);
const PING_LOST: Duration = Duration::from_millis(200);

/// How often a sender with a pace looks how much is due.
pub(super) const PACE: Duration = Duration::from_micros(200);

/// Sends what is offered and counts what arrives in a window, and what the forwarder uses meanwhile.
pub(super) fn pass(
    offer: &Offer,
    sender: TrainSocket,
    mut receiver: TrainSocket,
    forwarder: SocketAddr,
    processor_time: &dyn Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Passed> {
    let Offer { train, packet_bytes, packets_per_second } = offer;
    let stop = AtomicBool::new(false);
    let packets_of_train = (train.len() / packet_bytes) as f64;
    let stop = &stop;
    thread::scope(|scope| {
        scope.spawn(move || {
            let (start, mut sent) = (Instant::now(), 0.0);
            while !stop.load(Ordering::Relaxed) {
                if packets_per_second.is_some_and(|pace| sent > pace * start.elapsed().as_secs_f64()) {
                    thread::sleep(PACE);
                    continue;
                }
                sender.send(train, *packet_bytes, forwarder);
                sent += packets_of_train;
            }
        });
        let counted = (|| {
            // Once something has arrived the forwarder runs, and has its name.
            while receiver.receive().0 == 0 {}
            let start = Instant::now();
            let before = processor_time()?;
            let (mut packets, mut bytes) = (0, 0);
            while start.elapsed() < WINDOW {
                let received = receiver.receive();
                (packets, bytes) = (packets + received.0, bytes + received.1);
            }
            anyhow::Ok(Passed { packets, bytes, processor: processor_time()? - before, time: start.elapsed() })
        })();
        stop.store(true, Ordering::Relaxed);
        counted
    })
}

/// What the forwarding thread of this process has used so far.
pub(super) fn shard_time() -> anyhow::Result<Duration> {
    processor_time("self", |name| name == THREAD)
}

/// What a process's threads of such names have used so far: proc(5), `/proc/PID/task/TID/schedstat`, nanoseconds.
pub(super) fn processor_time(process: &str, of: impl Fn(&str) -> bool) -> anyhow::Result<Duration> {
    let mut sum = None;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm")).is_ok_and(|name| of(name.trim_end())) {
            let times = fs::read_to_string(task.join("schedstat"))?;
            let nanos = times.split(' ').next().context("schedstat is empty")?.parse()?;
            sum = Some(sum.unwrap_or_default() + Duration::from_nanos(nanos));
        }
    }
    sum.context("the threads that are measured have ended")
}
