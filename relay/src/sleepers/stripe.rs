//! One part of the table of sleeping agents: fixed records, without a lock, a socket or a clock.
//!
//! Nothing is changed by a packet before its tag was checked, nothing is answered that has no genuine tag, and no answer is longer than
//! what it answers. An address is believed only once somebody with the key has shown to receive there ([`BeatKind::Challenge`]): a packet
//! that is genuine may have been sent on from somewhere else.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use trust::beat::{BeatRoot, is_genuine, seal};
use wire::{
    beat::{BEAT_BYTES, Beat, BeatKind, KeyEpoch, ReplayWindow, SleepSlot, SlotKey},
    ids::AgentId,
    time::Moment,
};

/// After so much silence an agent is lost: three beats and what may delay them. It is not woken any more.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(90);

/// After so much silence its record is given up; should it still be there, it connects. Shorter than a period of keys, so that no record
/// is left when the number of its epoch comes up again.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(23 * 60 * 60);

/// How long a challenge may be answered: this at least, and at most twice as long.
const CHALLENGE_PERIOD_SECS: u64 = 8;

/// An agent as it sleeps, or a place where none does. Read and written for each beat, so it is as small as can be.
#[derive(Debug)]
struct Record {
    key: SlotKey,
    agent: AgentId,
    /// IPv4 as mapped into IPv6.
    ip: Ipv6Addr,
    window: ReplayWindow,
    /// Second of the clock at which it was heard last.
    seen: u32,
    /// Packets that were sent unasked.
    said: u32,
    /// Zero: no address has been shown since the relay started.
    port: u16,
    /// Of the present use, or the last one.
    generation: u16,
    epoch: KeyEpoch,
    taken: bool,
}

const _: () = assert!(size_of::<Record>() <= 96, "a million of them take 96 MB");

/// What there is besides records, the same for all parts.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// Draws nonces, and is forgotten with this run of the relay.
    pub(super) nonces: BeatRoot,
    /// Count of roots.
    pub(super) epoch: u32,
    /// How often the relay was started. Counters of one start are above those of all earlier ones.
    pub(super) run: u32,
}

impl Context {
    /// Counters of this run are above this.
    pub(super) fn base(&self) -> u64 {
        u64::from(self.run) << 32
    }

    fn is_too_old(&self, epoch: KeyEpoch) -> bool {
        let kept = [0, 1, 2].map(|back| KeyEpoch::of(self.epoch.wrapping_sub(back)));
        !kept.contains(&epoch)
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Heard from where the agent is known to be.
    Heard,
    /// Heard, and asked whether it is there.
    Challenged,
    /// The agent has shown where it is.
    Moved,
    /// No such agent sleeps here.
    Unknown,
    /// Whoever sent it has not got the key.
    Forged,
    /// It was heard before.
    Replayed,
    /// It is none that agents send.
    Reflected,
}

impl Outcome {
    /// All of them, with their names in metrics.
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::Heard, "heard"),
        (Self::Challenged, "challenged"),
        (Self::Moved, "moved"),
        (Self::Unknown, "unknown"),
        (Self::Forged, "forged"),
        (Self::Replayed, "replayed"),
        (Self::Reflected, "reflected"),
    ];
}

/// An entry that outlives the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) index: u32,
    pub(super) generation: u16,
    pub(super) epoch: KeyEpoch,
    pub(super) agent: AgentId,
}

/// What a look over some records has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Swept {
    /// Records looked at; none once the end was reached.
    pub(super) looked: usize,
    /// Agents that are not heard any more.
    pub(super) lost: usize,
}

/// See the module's introduction.
#[derive(Debug)]
pub(super) struct Stripe {
    /// Stands in the upper bits of a slot's number.
    base: u32,
    records: Vec<Record>,
    /// The longest free first would cost twice as much; generations tell uses apart.
    free: Vec<u32>,
}

impl Stripe {
    pub(super) fn new(base: u32) -> Self {
        Self { base, records: Vec::new(), free: Vec::new() }
    }

    /// Gives an agent a record.
    pub(super) fn lay_down(
        &mut self,
        agent: AgentId,
        from: SocketAddr,
        root: &BeatRoot,
        context: &Context,
        now: Moment,
    ) -> Option<(SleepSlot, SlotKey)> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => u32::try_from(self.records.len()).ok().filter(|index| *index < super::STRIPE_RECORDS)?,
        };
        let generation = self.records.get(index as usize).map_or(0, |record| record.generation.wrapping_add(1));
        let slot = SleepSlot { slot: self.base | index, generation };
        let key = root.slot_key(slot, agent);
        let (ip, port) = packed(from);
        self.put(
            index,
            Record {
                key,
                agent,
                ip,
                window: ReplayWindow::above(context.base()),
                seen: secs(now),
                said: 0,
                port,
                generation,
                epoch: KeyEpoch::of(context.epoch),
                taken: true,
            },
        );
        Some((slot, key))
    }

    /// Takes an agent in again that slept before the relay was started. Where it is has to be shown.
    pub(super) fn recover(&mut self, entry: Entry, root: &BeatRoot, now: Moment) -> bool {
        let Entry { index, generation, epoch, agent } = entry;
        let is_taken = self.records.get(index as usize).is_some_and(|record| record.taken);
        if is_taken || index >= super::STRIPE_RECORDS {
            return false;
        }
        let slot = SleepSlot { slot: self.base | index, generation };
        if (index as usize) < self.records.len() {
            self.free.retain(|free| *free != index);
        }
        self.put(
            index,
            Record {
                key: root.slot_key(slot, agent),
                agent,
                ip: Ipv6Addr::UNSPECIFIED,
                window: ReplayWindow::above(0),
                seen: secs(now),
                said: 0,
                port: 0,
                generation,
                epoch,
                taken: true,
            },
        );
        true
    }

    fn put(&mut self, index: u32, record: Record) {
        while self.records.len() <= index as usize {
            let next = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
            if next < index {
                self.free.push(next);
            }
            self.records.push(Record::empty());
        }
        if let Some(place) = self.records.get_mut(index as usize) {
            *place = record;
        }
    }

    /// Frees the record of an agent, if it is that agent's.
    pub(super) fn get_up(&mut self, index: u32, agent: AgentId) {
        if let Some(record) =
            self.records.get_mut(index as usize).filter(|record| record.taken && record.agent == agent)
        {
            *record = Record { generation: record.generation, ..Record::empty() };
            self.free.push(index);
        }
    }

    /// The packet that wakes an agent, and where to; `None` if nobody knows where it is.
    pub(super) fn wake(
        &mut self,
        index: u32,
        agent: AgentId,
        context: &Context,
        now: Moment,
    ) -> Option<(SocketAddr, [u8; BEAT_BYTES])> {
        let slot = self.base | index;
        let record = self.records.get_mut(index as usize).filter(|record| record.taken && record.agent == agent)?;
        let to = record.address().filter(|_| record.silent_for(now) <= LOST_AFTER)?;
        Some((to, record.say(BeatKind::Wake, slot, context)))
    }

    /// Has the processor fetch the record with this index. Done for all packets of a batch before the first of them is handled, so that it
    /// waits for memory once and not for each.
    pub(super) fn fetch(&self, index: u32) {
        if let Some(Record { key, ip, seen, generation, .. }) = self.records.get(index as usize) {
            black_box((key.0.first(), *ip, *seen, *generation));
        }
    }

    /// Takes a packet for the record with this index, and says what it is answered with.
    pub(super) fn handle(
        &mut self,
        index: u32,
        packet: &Beat,
        tag: &[u8; 16],
        from: SocketAddr,
        context: &Context,
        now: Moment,
    ) -> (Outcome, Option<[u8; BEAT_BYTES]>) {
        let record = self.records.get_mut(index as usize);
        let same = |record: &&mut Record| {
            record.taken && record.generation == packet.slot.generation && record.epoch == packet.epoch
        };
        let Some(record) = record.filter(same) else { return (Outcome::Unknown, None) };
        match packet.kind {
            BeatKind::Beat { ack_requested } => {
                if !is_genuine(&record.key, packet, tag, None) {
                    return (Outcome::Forged, None);
                }
                if !record.window.is_new(packet.counter) {
                    return (Outcome::Replayed, None);
                }
                record.window.note(packet.counter);
                if !record.is_at(from) {
                    let nonce = nonce(context, packet.slot, from, period(now));
                    let challenge = Beat { kind: BeatKind::Challenge, counter: nonce, ..*packet };
                    return (Outcome::Challenged, Some(seal(&record.key, &challenge, None)));
                }
                record.seen = secs(now);
                let answer = if context.is_too_old(record.epoch) {
                    Some(record.say(BeatKind::Revoked, packet.slot.slot, context))
                } else {
                    ack_requested.then(|| record.ack(packet))
                };
                (Outcome::Heard, answer)
            }
            BeatKind::Response => {
                let genuine = [period(now), period(now).wrapping_sub(1)].into_iter().any(|period| {
                    let nonce = nonce(context, packet.slot, from, period);
                    is_genuine(&record.key, packet, tag, Some(nonce))
                });
                if !genuine {
                    return (Outcome::Forged, None);
                }
                if !record.window.is_new(packet.counter) {
                    return (Outcome::Replayed, None);
                }
                record.window.note(packet.counter);
                (record.ip, record.port) = packed(from);
                record.seen = secs(now);
                (Outcome::Moved, Some(record.ack(packet)))
            }
            BeatKind::Ack | BeatKind::Wake | BeatKind::Challenge | BeatKind::Revoked => (Outcome::Reflected, None),
        }
    }

    /// Looks at `count` records from `from` on, and gives up those that were not heard for a day; their agents go to `forgotten`.
    pub(super) fn sweep(&mut self, from: usize, count: usize, now: Moment, forgotten: &mut Vec<AgentId>) -> Swept {
        let mut swept = Swept::default();
        for (index, record) in self.records.iter_mut().enumerate().skip(from).take(count) {
            swept.looked += 1;
            if !record.taken {
                continue;
            }
            let silent_for = record.silent_for(now);
            if silent_for > FORGOTTEN_AFTER {
                forgotten.push(record.agent);
                *record = Record { generation: record.generation, ..Record::empty() };
                self.free.push(u32::try_from(index).unwrap_or(u32::MAX));
            } else if silent_for > LOST_AFTER {
                swept.lost += 1;
            }
        }
        swept
    }

    /// What is to outlive the relay, from `from` on and of `count` records.
    pub(super) fn entries(&self, from: usize, count: usize) -> impl Iterator<Item = Entry> + '_ {
        self.records.iter().enumerate().skip(from).take(count).filter(|(_, record)| record.taken).map(
            |(index, record)| Entry {
                index: u32::try_from(index).unwrap_or(u32::MAX),
                generation: record.generation,
                epoch: record.epoch,
                agent: record.agent,
            },
        )
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes that it has taken of the machine.
    pub(super) fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.free.capacity() * size_of::<u32>()
    }
}

impl Record {
    fn empty() -> Self {
        Self {
            key: SlotKey([0; 32]),
            agent: AgentId([0; 16]),
            ip: Ipv6Addr::UNSPECIFIED,
            window: ReplayWindow::above(0),
            seen: 0,
            said: 0,
            port: 0,
            // The first use is number zero.
            generation: u16::MAX,
            epoch: KeyEpoch::default(),
            taken: false,
        }
    }

    fn is_at(&self, from: SocketAddr) -> bool {
        self.port != 0 && (self.ip, self.port) == packed(from)
    }

    fn address(&self) -> Option<SocketAddr> {
        (self.port != 0).then(|| SocketAddr::new(IpAddr::V6(self.ip).to_canonical(), self.port))
    }

    fn silent_for(&self, now: Moment) -> Duration {
        Duration::from_secs(u64::from(secs(now).saturating_sub(self.seen)))
    }

    fn ack(&self, packet: &Beat) -> [u8; BEAT_BYTES] {
        seal(&self.key, &Beat { kind: BeatKind::Ack, ..*packet }, None)
    }

    /// Something that answers nothing, and is taken by the agent once.
    fn say(&mut self, kind: BeatKind, slot: u32, context: &Context) -> [u8; BEAT_BYTES] {
        self.said = self.said.saturating_add(1);
        let slot = SleepSlot { slot, generation: self.generation };
        let counter = context.base() + u64::from(self.said);
        seal(&self.key, &Beat { kind, epoch: self.epoch, slot, counter }, None)
    }
}

fn packed(address: SocketAddr) -> (Ipv6Addr, u16) {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    (ip, address.port())
}

fn secs(now: Moment) -> u32 {
    u32::try_from(now.since_origin().as_secs()).unwrap_or(u32::MAX)
}

fn period(now: Moment) -> u64 {
    now.since_origin().as_secs() / CHALLENGE_PERIOD_SECS
}

/// What is asked of somebody at an address. Nothing is kept for it: it can be told again when the answer comes.
fn nonce(context: &Context, slot: SleepSlot, from: SocketAddr, period: u64) -> u64 {
    let (ip, port) = packed(from);
    let mut about = [0; 32];
    let parts = slot.slot.to_le_bytes().into_iter().chain(slot.generation.to_le_bytes());
    let parts = parts.chain(ip.octets()).chain(port.to_le_bytes()).chain(period.to_le_bytes());
    for (byte, value) in about.iter_mut().zip(parts) {
        *byte = value;
    }
    context.nonces.nonce(&about)
}
