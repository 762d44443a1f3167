//! Sleeping agents: one fixed record each instead of a connection.
//!
//! The table is cut into 64 parts, stripes, with a lock each. A slot's number carries its stripe, and an agent is laid down in the stripe of
//! the shard that has its connection: the system gives that shard its beats as well, so each shard takes its own lock once for a batch and
//! nobody else wants it. Beats of agents whose address has changed come to other shards, which take the lock of the right stripe; nothing
//! is handed over. Sessions' packets never wait for any of it: beats are looked at when all else of a batch is on its way.
//!
//! | module | what it does |
//! |---|---|
//! | `stripe` | what a packet does to a record |
//! | `store` | what outlives the relay |

mod store;
mod stripe;

use std::{
    collections::{BTreeSet, HashMap},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use rand_core::CryptoRngCore;
use transport::listener::BeatFrom;
use trust::beat::BeatRoot;
use wire::{
    beat::{BEAT_BYTES, Beat},
    control::Bed,
    ids::AgentId,
    time::Moment,
};

use self::{
    store::{Kept, Origin, Roots, TableText},
    stripe::{Context, Entry, Outcome, Stripe, Swept},
};

/// Parts of the table: as many as there can be shards.
const STRIPES: usize = 64;

/// Bits of a slot's number that name its record within a stripe.
const INDEX_BITS: u32 = 26;

/// Records that a stripe can have.
const STRIPE_RECORDS: u32 = 1 << INDEX_BITS;

/// Records that are looked at with one lock held: some tens of microseconds.
const SLICE: usize = 1024;

/// All sleeping agents. Shared by the data path, which hears their beats, and the actor, which lays them down and wakes them.
#[derive(Debug)]
pub struct Sleepers {
    stripes: Box<[Mutex<Stripe>]>,
    /// Slots by their agents. Not looked at for beats.
    index: Mutex<HashMap<AgentId, u32>>,
    context: RwLock<Context>,
    roots: Mutex<Roots>,
    most: usize,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    recovered: AtomicU64,
    lost: AtomicUsize,
    /// There is something that is not kept yet.
    changed: AtomicBool,
    /// Where it is kept.
    dir: Option<PathBuf>,
    sweep: Mutex<Sweep>,
}

/// Where a look over all records has come to.
#[derive(Debug, Default)]
struct Sweep {
    stripe: usize,
    index: usize,
    lost: usize,
}

/// How many there are and what became of their packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SleeperCounts {
    /// Agents that sleep.
    pub asleep: usize,
    /// Those of them that were not heard for 90 s, when they were looked at last.
    pub lost: usize,
    /// Those that slept before the relay was started and were taken in again from its table.
    pub recovered: u64,
    /// Packets by what became of them.
    pub packets: Vec<(&'static str, u64)>,
}

impl Sleepers {
    /// An empty table with keys of its own, of which nothing is kept.
    pub fn new(most: usize, rng: &mut dyn CryptoRngCore) -> Self {
        Self::with(Roots::draw(rng), None, most, rng)
    }

    /// The table of a state directory, with who slept when the relay was stopped.
    ///
    /// # Errors
    ///
    /// The directory cannot be read or written.
    pub fn open(dir: &Path, most: usize, now: Moment, rng: &mut dyn CryptoRngCore) -> io::Result<Self> {
        let (roots, origin) = Roots::open(dir, rng)?;
        let sleepers = Self::with(roots, Some(dir.to_owned()), most, rng);
        if origin == Origin::Kept {
            sleepers.recover(&store::read_table(dir, most)?, now);
        }
        Ok(sleepers)
    }

    fn with(roots: Roots, dir: Option<PathBuf>, most: usize, rng: &mut dyn CryptoRngCore) -> Self {
        let context = Context { nonces: BeatRoot::draw(rng), epoch: roots.epoch, run: roots.run };
        let stripes = (0u32..).take(STRIPES).map(|number| Mutex::new(Stripe::new(number << INDEX_BITS)));
        Self {
            stripes: stripes.collect(),
            index: Mutex::default(),
            context: RwLock::new(context),
            roots: Mutex::new(roots),
            most,
            outcomes: Default::default(),
            recovered: AtomicU64::new(0),
            lost: AtomicUsize::new(0),
            changed: AtomicBool::new(false),
            dir,
            sweep: Mutex::default(),
        }
    }

    fn recover(&self, kept: &[Kept], now: Moment) {
        let (roots, mut index) = (lock(&self.roots), lock(&self.index));
        for Kept { slot, generation, epoch, agent } in kept.iter().copied() {
            let Some((root, stripe)) = roots.of(epoch).zip(self.stripe(slot)) else { continue };
            let entry = Entry { index: index_of(slot), generation, epoch, agent };
            // No more records were ever needed at once.
            if (entry.index as usize) < self.most
                && !index.contains_key(&agent)
                && lock(stripe).recover(entry, root, now)
            {
                index.insert(agent, slot);
                self.recovered.fetch_add(1, Relaxed);
            }
        }
    }

    /// Gives an agent whose connection the shard has a record, in place of any that it had; `None` if there are too many.
    pub fn lay_down(&self, agent: AgentId, from: SocketAddr, shard: u8, now: Moment) -> Option<Bed> {
        self.get_up(agent);
        let mut index = lock(&self.index);
        if index.len() >= self.most {
            return None;
        }
        let stripe = self.stripes.get(usize::from(shard) % STRIPES)?;
        let roots = lock(&self.roots);
        let context = self.context();
        let (slot, key) = lock(stripe).lay_down(agent, from, roots.present(), &context, now)?;
        index.insert(agent, slot.slot);
        self.changed.store(true, Relaxed);
        Some(Bed { slot: slot.slot, generation: slot.generation, epoch: context.epoch, key, counter: context.base() })
    }

    /// Forgets an agent that is back, or will not come back.
    pub fn get_up(&self, agent: AgentId) {
        let slot = lock(&self.index).remove(&agent);
        if let Some((slot, stripe)) = slot.and_then(|slot| Some((slot, self.stripe(slot)?))) {
            lock(stripe).get_up(index_of(slot), agent);
            self.changed.store(true, Relaxed);
        }
    }

    /// The packet that wakes an agent, where to, and the shard that is best placed to send it. `None` if it does not sleep, or nobody knows
    /// where.
    pub fn wake(&self, agent: AgentId, now: Moment) -> Option<(u8, SocketAddr, [u8; BEAT_BYTES])> {
        let slot = lock(&self.index).get(&agent).copied()?;
        let context = self.context();
        let (to, packet) = lock(self.stripe(slot)?).wake(index_of(slot), agent, &context, now)?;
        Some((u8::try_from(slot >> INDEX_BITS).unwrap_or_default(), to, packet))
    }

    /// Takes packets that came together, and answers those that deserve it.
    pub fn beats(&self, beats: &[BeatFrom], now: Moment, answer: &mut dyn FnMut(&BeatFrom, [u8; BEAT_BYTES])) {
        let context = self.context();
        self.each(beats, |stripe, _, packet, _| stripe.fetch(index_of(packet.slot.slot)));
        let mut counts = [0; Outcome::ALL.len()];
        let mut known = 0;
        self.each(beats, |stripe, beat, packet, tag| {
            known += 1;
            let (outcome, reply) = stripe.handle(index_of(packet.slot.slot), packet, tag, beat.from, &context, now);
            if let Some(count) = counts.get_mut(outcome as usize) {
                *count += 1;
            }
            if let Some(reply) = reply {
                answer(beat, reply);
            }
        });
        if let Some(count) = counts.get_mut(Outcome::Unknown as usize) {
            *count += (beats.len() - known) as u64;
        }
        for (total, count) in self.outcomes.iter().zip(counts).filter(|(_, count)| *count > 0) {
            total.fetch_add(count, Relaxed);
        }
    }

    /// Does something with each packet that has the form of an agent's and names a stripe, with that stripe locked.
    fn each(&self, beats: &[BeatFrom], mut work: impl FnMut(&mut Stripe, &BeatFrom, &Beat, &[u8; 16])) {
        let mut held: Option<(u32, MutexGuard<'_, Stripe>)> = None;
        for beat in beats {
            let Some((packet, tag)) = Beat::parse(&beat.packet) else { continue };
            let number = packet.slot.slot >> INDEX_BITS;
            if held.as_ref().is_none_or(|(of, _)| *of != number) {
                // One at a time: two that wait for each other never happen.
                drop(held.take());
                held = self.stripe(packet.slot.slot).map(|stripe| (number, lock(stripe)));
            }
            if let Some((_, stripe)) = &mut held {
                work(stripe, beat, &packet, &tag);
            }
        }
    }

    /// Looks at the next `records`, a few at a time.
    pub fn sweep(&self, records: usize, now: Moment) {
        let mut sweep = lock(&self.sweep);
        let mut forgotten = Vec::new();
        let mut left = records;
        while left > 0 {
            let Some(stripe) = self.stripes.get(sweep.stripe) else {
                self.lost.store(sweep.lost, Relaxed);
                *sweep = Sweep::default();
                break;
            };
            let count = left.min(SLICE);
            let Swept { looked, lost } = lock(stripe).sweep(sweep.index, count, now, &mut forgotten);
            (sweep.index, sweep.lost) = (sweep.index + looked, sweep.lost + lost);
            left -= looked;
            if looked < count {
                (sweep.stripe, sweep.index) = (sweep.stripe + 1, 0);
            }
        }
        if !forgotten.is_empty() {
            let mut index = lock(&self.index);
            for agent in forgotten {
                index.remove(&agent);
            }
            self.changed.store(true, Relaxed);
        }
    }

    /// Starts a new period of keys. Agents with keys of the third period before are told to connect.
    ///
    /// # Errors
    ///
    /// The new root cannot be kept; the period goes on.
    pub fn rotate(&self, rng: &mut dyn CryptoRngCore) -> io::Result<()> {
        let mut roots = lock(&self.roots);
        let mut next = roots.clone();
        next.rotate(rng);
        if let Some(dir) = &self.dir {
            next.keep(dir)?;
        }
        *roots = next;
        self.context.write().unwrap_or_else(PoisonError::into_inner).epoch = roots.epoch;
        Ok(())
    }

    /// Keeps who sleeps, if that has changed, but for `without`: agents of which the relay forgets something when it stops, and who have to
    /// find out. Writes a file: not for a task that others wait for.
    ///
    /// # Errors
    ///
    /// It cannot be written; what was kept before is left.
    pub fn keep(&self, without: &BTreeSet<AgentId>) -> io::Result<()> {
        let Some(dir) = &self.dir else { return Ok(()) };
        if !self.changed.swap(false, Relaxed) {
            return Ok(());
        }
        let mut text = TableText::new();
        for (number, stripe) in (0u32..).zip(&self.stripes) {
            let mut from = 0;
            loop {
                let stripe = lock(stripe);
                for Entry { index, generation, epoch, agent } in stripe.entries(from, SLICE) {
                    if !without.contains(&agent) {
                        text.push(Kept { slot: number << INDEX_BITS | index, generation, epoch, agent });
                    }
                }
                from += SLICE;
                if from >= stripe.len() {
                    break;
                }
            }
        }
        let kept = text.keep(dir);
        if kept.is_err() {
            self.changed.store(true, Relaxed);
        }
        kept
    }

    /// How many there are, and what happened.
    pub fn counts(&self) -> SleeperCounts {
        let packets = Outcome::ALL.iter().zip(&self.outcomes).map(|((_, name), count)| (*name, count.load(Relaxed)));
        SleeperCounts {
            asleep: lock(&self.index).len(),
            lost: self.lost.load(Relaxed),
            recovered: self.recovered.load(Relaxed),
            packets: packets.collect(),
        }
    }

    /// Bytes that the table has taken of the machine: records, free places and the index.
    pub fn bytes(&self) -> usize {
        // A map of the standard library keeps one byte beside each entry, and is at most seven eighths full.
        let entries = lock(&self.index).capacity().saturating_mul(8) / 7;
        let index = entries * (size_of::<(AgentId, u32)>() + 1);
        index + self.stripes.iter().map(|stripe| lock(stripe).bytes()).sum::<usize>()
    }

    fn stripe(&self, slot: u32) -> Option<&Mutex<Stripe>> {
        self.stripes.get((slot >> INDEX_BITS) as usize)
    }

    fn context(&self) -> Context {
        self.context.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn index_of(slot: u32) -> u32 {
    slot & (STRIPE_RECORDS - 1)
}

/// Locks; who panicked while holding the lock left plain data behind that is still in order.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
