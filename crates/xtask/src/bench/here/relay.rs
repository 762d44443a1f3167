//! What one shard forwards on loopback: packets each second, and processor time for each gigabyte that arrives.
//!
//! A sender offers as much as it can, which is more than is forwarded; a receiver counts what arrives. The relay takes turns with a
//! forwarder that has the same socket and no idea what it forwards, so that both see the same machine. Loopback cuts no trains, so
//! these are bounds from above for a network; the two beside each other are what counts.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
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
    listener::{Listener, ListenerConfig},
};
use trust::keys::SigningKey;
use wire::channel::{ChannelId, DataHeader};

use super::figures::Figure;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const WINDOW: Duration = Duration::from_secs(2);

/// The first of these warms up and is not counted.
const ROUNDS: usize = 7;

/// The thread that is measured, by the name that both forwarders have.
const THREAD: &str = "shard-0";

/// What is sent.
struct Load {
    name: &'static str,
    packet_bytes: usize,
    /// Packets of a train; fewer if the kernel takes fewer.
    train: usize,
}

const LOADS: [Load; 3] = [
    Load { name: "trains of 1400 B", packet_bytes: 1400, train: 40 },
    Load { name: "single packets of 1400 B", packet_bytes: 1400, train: 1 },
    Load { name: "single packets of 120 B", packet_bytes: 120, train: 1 },
];

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for load in &LOADS {
        let (mut by_relay, mut bare) = (Runs::default(), Runs::default());
        for round in 0..ROUNDS {
            let runs = [(&mut by_relay, through_relay(load)?), (&mut bare, through_nothing(load)?)];
            for (runs, passed) in runs.into_iter().filter(|_| round > 0) {
                runs.note(passed);
            }
        }
        figures.extend(by_relay.figures(&format!("relay, {}", load.name))?);
        figures.extend(bare.figures(&format!("bare, {}", load.name))?);
    }
    Ok(figures)
}

/// What arrived in a window, and the time that the forwarding thread took for it.
struct Passed {
    packets: u64,
    bytes: u64,
    processor: Duration,
    time: Duration,
}

#[derive(Default)]
struct Runs {
    packets_per_second: Vec<f64>,
    seconds_per_gigabyte: Vec<f64>,
}

impl Runs {
    fn note(&mut self, passed: Passed) {
        self.packets_per_second.push(passed.packets as f64 / passed.time.as_secs_f64());
        self.seconds_per_gigabyte.push(passed.processor.as_secs_f64() / (passed.bytes as f64 / 1e9));
    }

    fn figures(&self, name: &str) -> anyhow::Result<[Figure; 2]> {
        Ok([
            Figure::median(format!("{name}: packets"), "1/s", &self.packets_per_second)?,
            Figure::median(format!("{name}: processor"), "s/GB", &self.seconds_per_gigabyte)?,
        ])
    }
}

fn through_relay(load: &Load) -> anyhow::Result<Passed> {
    let (sender, receiver) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?);
    let table = Arc::new(SlotTable::new(16, NonZeroU64::MAX));
    let channel = ChannelId::new(7, 0x00ab_cdef).context("both parts fit")?;
    table.open(channel, sender.local_addr()?, receiver.local_addr()?);
    let config = ListenerConfig { shards: NonZeroU8::MIN, ..ListenerConfig::default() };
    let (listener, _events) = Listener::bind(LOOPBACK, &SigningKey::generate(&mut OsRng), table, config)?;
    pass(load, channel, sender, receiver, listener.local_addr())
}

fn through_nothing(load: &Load) -> anyhow::Result<Passed> {
    let (sender, receiver) = (TrainSocket::bind(LOOPBACK)?, TrainSocket::bind(LOOPBACK)?);
    let channel = ChannelId::new(7, 0x00ab_cdef).context("both parts fit")?;
    let bare = BareForwarder::start(THREAD, sender.local_addr()?, receiver.local_addr()?)?;
    pass(load, channel, sender, receiver, bare.address())
}

fn pass(
    load: &Load,
    channel: ChannelId,
    sender: TrainSocket,
    mut receiver: TrainSocket,
    forwarder: SocketAddr,
) -> anyhow::Result<Passed> {
    let mut packet = DataHeader { channel }.to_bytes().to_vec();
    packet.resize(load.packet_bytes, 0x40);
    let train = packet.repeat(load.train.min(sender.max_segments()));
    let (stop, segment) = (AtomicBool::new(false), load.packet_bytes);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                sender.send(&train, segment, forwarder);
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

/// What the forwarding thread has used so far: proc(5), `/proc/PID/schedstat`, nanoseconds.
fn processor_time() -> anyhow::Result<Duration> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim_end() == THREAD) {
            let times = fs::read_to_string(task.join("schedstat"))?;
            let nanos = times.split(' ').next().context("schedstat is empty")?.parse()?;
            return Ok(Duration::from_nanos(nanos));
        }
    }
    anyhow::bail!("the thread {THREAD} has ended")
}
