//! How a shard that is offered twice what it can forward divides what it delivers: ten greedy senders, of whom the greediest offers ten times what the
//! least does, and a modest one.

use std::{
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU64},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rand_core::OsRng;
use relay::slots::SlotTable;
use tokio::time::Instant;
use transport::{
    bench::TrainSocket,
    listener::{Listener, ListenerConfig},
};
use trust::keys::SigningKey;

use super::{
    figures::Figure,
    relay::{COSTLY, LOOPBACK, Load, PACE, channel},
};

const GREEDY: u32 = 10;

/// What the modest one sends: far below an equal share of anything.
const MODEST: Load = Load { name: "modest", packet_bytes: 120, train: 1 };
const MODEST_PAUSE: Duration = Duration::from_millis(2);

const WINDOW: Duration = Duration::from_secs(2);

/// What waits in the socket when nothing more is sent.
const LEFT_OVER: Duration = Duration::from_millis(100);

/// The first of these warms up and is not counted.
const ROUNDS: usize = 7;

pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let (mut modest, mut greedy, mut index) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let most = crowd(None)?.greedy.iter().map(|one| one.delivered).sum::<f64>() / WINDOW.as_secs_f64();
        let crowd = crowd(Some(2.0 * most))?;
        if round > 0 {
            let sum = |of: fn(&Passed) -> f64| crowd.greedy.iter().map(of).sum::<f64>();
            modest.push(100.0 * crowd.modest.delivered / crowd.modest.sent);
            greedy.push(100.0 * sum(|one| one.delivered) / sum(|one| one.sent));
            let squares = sum(|one| one.delivered * one.delivered);
            index.push(sum(|one| one.delivered).powi(2) / (f64::from(GREEDY) * squares));
        }
    }
    Ok(vec![
        Figure::median("delivered of what greedy senders offer at twice the most", "%", &greedy)?,
        Figure::median("delivered of what a modest one offers beside them", "%", &modest)?,
        Figure::median("evenness of the greedy ones' shares (Jain); 0.79 as offered, 1 if equal", "", &index)?,
    ])
}

/// Packets of one sender.
struct Passed {
    sent: f64,
    delivered: f64,
}

struct Crowd {
    modest: Passed,
    greedy: Vec<Passed>,
}

/// All of them at once, the greedy ones at so many packets a second together or as many as can be sent.
fn crowd(packets_per_second: Option<f64>) -> anyhow::Result<Crowd> {
    // Nobody reads it: what counts is what the shard passes on.
    let receiver = TrainSocket::bind(LOOPBACK)?;
    let to = receiver.local_addr()?;
    let table = Arc::new(SlotTable::new(2 * GREEDY + 1, NonZeroU64::MAX));
    let open = |slot: u32, from: SocketAddr| {
        table.open(channel(slot)?, from, to);
        anyhow::Ok(())
    };
    let modest = TrainSocket::bind(LOOPBACK)?;
    open(2 * GREEDY, modest.local_addr()?)?;
    let modest_offer = MODEST.offer(&modest, &[2 * GREEDY], None)?;
    let mut greedy = Vec::new();
    for number in 0..GREEDY {
        let (socket, slots) = (TrainSocket::bind(LOOPBACK)?, [2 * number, 2 * number + 1]);
        for slot in slots {
            open(slot, socket.local_addr()?)?;
        }
        let offer = COSTLY.offer(&socket, &slots, None)?;
        greedy.push((socket, offer.train, 0));
    }
    let config = ListenerConfig { shards: NonZeroU8::MIN, ..ListenerConfig::default() };
    let forward: Arc<SlotTable> = Arc::clone(&table);
    let (relay, _events) = Listener::bind(LOOPBACK, &SigningKey::generate(&mut OsRng), forward, config)?;
    let at = relay.local_addr();

    let stop = &AtomicBool::new(false);
    let (modest_sent, greedy_sent) = thread::scope(|scope| {
        let modestly = scope.spawn(move || {
            let mut sent = 0;
            while !stop.load(Relaxed) {
                sent += modest.send(&modest_offer.train, MODEST.packet_bytes, at);
                thread::sleep(MODEST_PAUSE);
            }
            sent
        });
        let greedily = scope.spawn(|| {
            let (start, mut all) = (Instant::now(), 0);
            for turn in (0..GREEDY).cycle() {
                while packets_per_second.is_some_and(|pace| all as f64 > pace * start.elapsed().as_secs_f64()) {
                    thread::sleep(PACE);
                }
                if stop.load(Relaxed) {
                    break;
                }
                for (_, (socket, train, sent)) in (0..GREEDY).zip(&mut greedy).filter(|(number, _)| *number >= turn) {
                    let taken = socket.send(train, COSTLY.packet_bytes, at);
                    *sent += taken;
                    all += taken;
                }
            }
            greedy.iter().map(|(_, _, sent)| *sent).collect::<Vec<_>>()
        });
        thread::sleep(WINDOW);
        stop.store(true, Relaxed);
        (modestly.join(), greedily.join())
    });
    thread::sleep(LEFT_OVER);
    let failed = |_| anyhow::anyhow!("a sender failed");
    let delivered = |slot: u32| anyhow::Ok(table.close(channel(slot)?).agent.packets as f64);
    let modest = Passed { sent: modest_sent.map_err(failed)? as f64, delivered: delivered(2 * GREEDY)? };
    let passed = |(number, sent): (u32, usize)| {
        let delivered = delivered(2 * number)? + delivered(2 * number + 1)?;
        anyhow::Ok(Passed { sent: sent as f64, delivered })
    };
    let greedy = (0..GREEDY).zip(greedy_sent.map_err(failed)?).map(passed).collect::<Result<Vec<_>, _>>()?;
    Ok(Crowd { modest, greedy })
}
