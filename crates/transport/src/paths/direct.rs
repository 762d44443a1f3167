//! Direct paths: which addresses are tried, whose packets are believed, and when a direct path is taken.
//!
//! Nothing here is there before [`Paths::open_direct`], which is called once something was granted: until then no direct probe is sent
//! or answered. Then both ends try the addresses that the other one has told them, at the same time, so that each opens its own firewall for
//! the other. Every probe carries a tag that only the two ends can make and a number that is taken once; what has neither
//! gets no answer.
//!
//! ```text
//! technician                                       agent
//!     │ ◄──── PING pair 128.. (opens the way) ──────── │  to each address of the technician
//!     │ ───── PING pair k ───────────────────────────► │  to each address of the agent
//!     │ ◄──── PONG pair k, sequence m ──────────────── │  as long as its PING
//!     │ ───── PING pair k, heard m, 1200 bytes ──────► │  now the agent believes the technician's address
//!     │ ◄──── PONG pair k ──────────────────────────── │  now the technician may flip (rule 3)
//! ```
//!
//! Data is taken from the one address that such an exchange has shown for the path. A relay that lies about addresses, or a
//! hostile end that names others', makes at most [`TRIES`] small packets go to each of [`CANDIDATES`] addresses in [`ROUND_LEAST`].

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rand_core::{OsRng, RngCore as _};
use trust::probe::ProbeKeys;
use wire::{
    channel::{ChannelId, HEADER_BYTES},
    path::{CANDIDATES, DIRECT_PROBE_BYTES, DirectProbe, Probe},
};

use super::{ASK_SPARE, Act, Observed, PathId, Paths, earliest, path::Path, technician::Wanted};
use crate::{
    address::is_synthetic,
    sealed::{Carrier, DirectState},
    table::{End, Uptime},
};

/// When an address is tried, in milliseconds from the start of a round.
const TRIES: [u64; 9] = [0, 100, 200, 400, 800, 1200, 1800, 2600, 3600];

/// Rounds are at least so far apart, whoever asks for them.
const ROUND_LEAST: Duration = Duration::from_secs(5);

/// How often a session that goes by the relay tries again.
const ROUND_EVERY: Duration = Duration::from_secs(60);

/// A try that the other end's packet brings forward comes at least so long after the one before.
const TRY_APART: Duration = Duration::from_millis(20);

/// From here on pairs are numbered by the agent: they only open the way for the technician's.
const AGENTS_PAIRS: u8 = 128;

/// A direct path may be taken within this time after an answer.
pub(super) const TRUSTED_FOR: Duration = Duration::from_millis(6500);

/// How often the direct path that is in use is asked.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(3);

/// How often the relay is asked meanwhile, and how old its answer may be for an escape: one of two may be lost.
pub(super) const WARM_EVERY: Duration = Duration::from_secs(15);
pub(super) const WARM_FOR: Duration = Duration::from_secs(32);

/// A direct path has to answer packets of full size within this, or it is of no use.
const PROVES_WITHIN: Duration = Duration::from_secs(3);

/// One direct path takes the place of another if it is faster by this.
const FASTER_BY: Duration = Duration::from_millis(5);

/// IPv6 counts as so much faster: no address translation that may forget the path.
const IPV6_BONUS: Duration = Duration::from_millis(3);

/// First wait after a direct path has died before one is taken again, doubled up to [`BACKOFF_MOST`].
const BACKOFF_FIRST: Duration = Duration::from_secs(5);

/// Longest such wait.
const BACKOFF_MOST: Duration = Duration::from_secs(300);

/// A direct path that was in use for so long was a good one: the next wait is short again.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Answers to a technician's address whose receipt would show that the address is right.
const TOLD: usize = 4;

/// What is known of direct paths while they are allowed.
#[derive(Debug)]
pub(super) struct Direct {
    keys: ProbeKeys,
    /// Of the last probe that was sent.
    sequence: u64,
    seen: Window,
    targets: Vec<Target>,
    next_pair: u8,
    round_at: Option<Uptime>,
    /// The session is about to end: the direct path that is in use stays for its last words, and nothing else is begun.
    ending: bool,
    /// This machine itself may be tried: the relay is on it.
    loopback: bool,
    /// Agent: where probes of the technician come from.
    guests: VecDeque<Guest>,
    barred_until: Uptime,
    backoff: Duration,
    used_since: Option<Uptime>,
    /// By how many microseconds the direct path answered sooner than the relay when it was taken.
    sooner_us: i64,
}

/// An address that is tried.
#[derive(Debug)]
struct Target {
    to: SocketAddr,
    channel: ChannelId,
    tries: usize,
    start: Uptime,
    /// When it is tried next; `None` once it was tried often enough.
    at: Option<Uptime>,
    /// Numbers of the questions, each with its time.
    asked: Vec<(u64, Uptime)>,
}

/// Agent: an address from which a pair's probes come, which the technician has not shown to receive at yet.
#[derive(Debug)]
struct Guest {
    channel: ChannelId,
    from: SocketAddr,
    /// What was to be repeated of the last answers that went there.
    told: VecDeque<u64>,
}

/// A packet to send to a real address.
pub(crate) type Letter = (SocketAddr, Vec<u8>);

impl Direct {
    fn channel(&self, pair: u8) -> ChannelId {
        ChannelId::direct(pair, self.keys.channel())
    }

    /// Writes and tags a probe.
    fn letter(&mut self, mut probe: DirectProbe) -> Vec<u8> {
        self.sequence += 1;
        probe.sequence = self.sequence;
        let tagged = probe.to_bytes();
        let mut packet = Vec::with_capacity(usize::from(probe.bytes).max(DIRECT_PROBE_BYTES));
        packet.extend_from_slice(&tagged);
        packet.extend_from_slice(&self.keys.tag(&tagged));
        packet.resize(usize::from(probe.bytes), 0);
        packet
    }

    /// Reads a packet that claims to be a probe of this session: `None` unless the other end made it, and it comes for the first time.
    fn read(&mut self, packet: &[u8]) -> Option<DirectProbe> {
        let (probe, tagged, tag) = DirectProbe::parse(packet)?;
        let of_session = probe.channel.generation() == self.channel(0).generation();
        (of_session && self.keys.is_theirs(tagged, tag) && self.seen.take(probe.sequence)).then_some(probe)
    }

    fn target(&mut self, to: SocketAddr, channel: ChannelId, start: Uptime) {
        self.targets.push(Target { to, channel, tries: 0, start, at: Some(start), asked: Vec::new() });
    }

    /// The next number of a pair that is not among `used`.
    fn fresh_pair(&mut self, used: impl Fn(ChannelId) -> bool) -> Option<ChannelId> {
        for _ in 0..AGENTS_PAIRS {
            let channel = self.channel(self.next_pair);
            self.next_pair = (self.next_pair + 1) % AGENTS_PAIRS;
            if !used(channel) {
                return Some(channel);
            }
        }
        None
    }
}

impl Paths {
    /// From here on addresses are tried and probes answered.
    pub(crate) fn open_direct(&mut self, keys: impl FnOnce(End) -> ProbeKeys, now: Uptime) {
        if self.direct.is_some() {
            return;
        }
        self.direct = Some(Box::new(Direct {
            keys: keys(self.end),
            sequence: self.direct_sequence,
            seen: self.direct_seen,
            targets: Vec::new(),
            next_pair: 0,
            round_at: None,
            ending: false,
            loopback: false,
            guests: VecDeque::new(),
            barred_until: now,
            backoff: BACKOFF_FIRST,
            used_since: None,
            sooner_us: 0,
        }));
        self.stir.notify_one();
    }

    /// Forgets every address of the other end. A session that goes directly goes by the relay from here on.
    pub(crate) fn close_direct(&mut self) {
        let Some(direct) = self.direct.take() else { return };
        // The keys stay the same for the whole session, so the numbers must go on.
        (self.direct_sequence, self.direct_seen) = (direct.sequence, direct.seen);
        let is_direct = |path: &Path| path.carrier == Carrier::Direct;
        if self.wanted.is_some_and(|wanted| self.path(wanted.id).is_some_and(is_direct)) {
            self.wanted = None;
        }
        if self.goes_directly() {
            match (self.end, self.lifeline()) {
                // The technician flips as soon as it hears of it; until then what it sends directly is not taken.
                (End::Agent, Some(relayed)) => {
                    self.current = relayed;
                    (self.doubt, self.deaf) = (None, None);
                }
                // Known to be of no use, so that the next tick escapes from it.
                (End::Technician, _) | (End::Agent, None) => {
                    if let Some(path) = self.path_mut(self.current) {
                        (path.channel, path.peer) = (None, None);
                    }
                }
            }
        }
        let current = self.current;
        self.paths.retain(|path| path.id == current || !is_direct(path));
        self.stir.notify_one();
        self.moved.notify_one();
    }

    /// Begins nothing more: of direct paths only the one that is in use stays, so that the last words arrive.
    pub(crate) fn end_direct(&mut self) {
        if !self.goes_directly() {
            return self.close_direct();
        }
        let current = self.current;
        self.paths.retain(|path| path.id == current || path.carrier != Carrier::Direct);
        if let Some(direct) = self.direct.as_deref_mut() {
            direct.ending = true;
            direct.targets.clear();
            direct.guests.clear();
        }
    }

    /// Tries these addresses of the other end, in place of those of an earlier round. `relay` is where the relay is: it is not tried, and
    /// this machine itself only if the relay is on it.
    pub(crate) fn punch(&mut self, addresses: &[SocketAddr], relay: Option<SocketAddr>, now: Uptime) {
        let Self { direct, paths, end, .. } = self;
        let Some(direct) = direct.as_deref_mut() else { return };
        let start = direct.round_at.map_or(now, |round| (round + ROUND_LEAST).max(now));
        let addresses =
            addresses.iter().take(CANDIDATES).map(|address| crate::address::canonical(*address)).collect::<Vec<_>>();
        // What comes early is more about the same round: what is being tried of it goes on.
        let goes_on = |target: &Target| start > now && target.at.is_some() && addresses.contains(&target.to);
        direct.targets.retain(goes_on);
        let loopback = relay.is_some_and(|relay| relay.ip().is_loopback());
        direct.loopback = loopback;
        let mut known = paths.iter().filter_map(|path| path.peer).collect::<Vec<_>>();
        known.extend(direct.targets.iter().map(|target| target.to));
        if direct.targets.is_empty() {
            direct.round_at = Some(start);
        }
        for address in addresses {
            if !may_be_tried(address, loopback) || Some(address) == relay || known.contains(&address) {
                continue;
            }
            let channel = match end {
                End::Agent => Some(direct.channel(AGENTS_PAIRS + direct.next_pair % AGENTS_PAIRS)),
                End::Technician => direct.fresh_pair(|channel| paths.iter().any(|path| path.channel == Some(channel))),
            };
            if let Some(channel) = channel.filter(|_| direct.targets.len() < CANDIDATES) {
                if *end == End::Agent {
                    direct.next_pair = (direct.next_pair + 1) % AGENTS_PAIRS;
                }
                known.push(address);
                direct.round_at = Some(start);
                direct.target(address, channel, start);
            }
        }
        if self.end == End::Technician && !self.goes_directly() {
            // So that people can be told which of the two is faster.
            self.measure_relay = true;
        }
        self.stir.notify_one();
    }

    /// Technician: whether it is time for another round.
    pub(crate) fn wants_round(&self, now: Uptime) -> bool {
        self.direct.as_ref().is_some_and(|direct| {
            let rested = direct.round_at.is_none_or(|at| now.saturating_sub(at) >= ROUND_EVERY);
            self.end == End::Technician && !self.goes_directly() && rested && now >= direct.barred_until
        })
    }

    /// How it stands with direct paths.
    pub(crate) fn direct_state(&self, now: Uptime) -> DirectState {
        let Some(direct) = &self.direct else { return DirectState::Closed };
        let trying = direct.targets.iter().any(|target| target.at.is_some());
        let answered = self.paths.iter().any(|path| path.carrier == Carrier::Direct);
        if self.goes_directly() {
            DirectState::Used { sooner_us: direct.sooner_us }
        } else if now < direct.barred_until {
            DirectState::FellBack
        } else if trying || answered || direct.round_at.is_none() {
            DirectState::Trying
        } else {
            DirectState::NoAnswer
        }
    }

    /// How long the direct path that is in use takes there and back, if this end has asked it. quinn's own figure of a technician takes a while to
    /// forget the relay, above all in a quiet session.
    pub(crate) fn direct_rtt(&self) -> Option<Duration> {
        let path =
            self.path(self.current).filter(|path| path.carrier == Carrier::Direct && path.proven_at.is_some())?;
        Some(path.smooth)
    }

    /// By what the session's direct paths are told from others'; `None` while they are not allowed.
    pub(crate) fn direct_generation(&self) -> Option<u32> {
        self.direct.as_ref().map(|direct| direct.channel(0).generation())
    }

    pub(crate) fn is_direct(&self, id: PathId) -> bool {
        self.path(id).is_some_and(|path| path.carrier == Carrier::Direct)
    }

    pub(crate) fn goes_directly(&self) -> bool {
        self.carrier() == Carrier::Direct
    }

    /// The path of a packet of data that came directly: only from the address that was shown to be the other end's.
    pub(crate) fn find_direct(&self, channel: ChannelId, from: SocketAddr) -> Option<PathId> {
        let path = self.paths.iter().find(|path| path.channel == Some(channel))?;
        (path.carrier == Carrier::Direct && path.peer == Some(from)).then_some(path.id)
    }

    /// Takes a direct probe. `None` if it is not the other end's, comes a second time, or direct paths are not allowed: then it gets no
    /// answer, and the caller counts it. Otherwise what there is to answer.
    pub(crate) fn direct_probe(&mut self, from: SocketAddr, packet: &[u8], now: Uptime) -> Option<Option<Letter>> {
        let direct = self.direct.as_mut()?;
        let (probe, ending) = (direct.read(packet)?, direct.ending);
        let known = self.find_direct(probe.channel, from);
        if ending && known.is_none() {
            return None;
        }
        match (self.end, probe.probe, known) {
            (End::Technician, Probe::Pong(number), None) => self.first_answer(from, probe, number, now),
            (_, Probe::Pong(number), Some(id)) => {
                if let Some(path) = self.path_mut(id) {
                    path.heard_token = probe.heard;
                }
                self.heard(id, probe.flags, false, now);
                self.answered(id, number, now);
            }
            (End::Agent, Probe::Pong(_), None) => {}
            (End::Technician, Probe::Ping(number), Some(id)) => {
                self.heard(id, probe.flags, false, now);
                return Some(self.answer(from, probe, number, 0));
            }
            (End::Technician, Probe::Ping(_), None) => self.knocked(from, probe, now),
            (End::Agent, Probe::Ping(number), _) => {
                self.visited(from, &probe, now);
                let token = unforeseeable();
                let guests = self.direct.as_deref_mut().map(|direct| &mut direct.guests)?;
                if let Some(guest) =
                    guests.iter_mut().find(|guest| (guest.channel, guest.from) == (probe.channel, from))
                {
                    guest.told.truncate(TOLD - 1);
                    guest.told.push_front(token);
                }
                return Some(self.answer(from, probe, number, token));
            }
        }
        Some(None)
    }

    /// The packet that asks by a direct path.
    pub(super) fn direct_question(&mut self, id: PathId, probe: Probe, bytes: usize) -> Option<Letter> {
        let flags = self.flags();
        let path = self.paths.iter().find(|path| path.id == id)?;
        let (channel, to, heard) = (path.channel?, path.peer?, path.heard_token);
        let bytes = u16::try_from(bytes.max(DIRECT_PROBE_BYTES - HEADER_BYTES) + HEADER_BYTES).ok()?;
        let packet = self.direct.as_mut()?.letter(DirectProbe { channel, flags, probe, sequence: 0, heard, bytes });
        Some((to, packet))
    }

    fn answer(&mut self, to: SocketAddr, asked: DirectProbe, number: u64, token: u64) -> Option<Letter> {
        let flags = self.flags();
        let answer = DirectProbe { flags, probe: Probe::Pong(number), heard: token, ..asked };
        Some((to, self.direct.as_mut()?.letter(answer)))
    }

    /// Technician: one of the addresses answers. It becomes a path, and is asked by a packet of full size at once.
    fn first_answer(&mut self, from: SocketAddr, probe: DirectProbe, number: u64, now: Uptime) {
        let Some(direct) = self.direct.as_deref_mut() else { return };
        let target = direct.targets.iter_mut().find(|target| target.channel == probe.channel && target.to == from);
        let asked_at = target.and_then(|target| {
            let at = target.asked.iter().find(|(asked, _)| *asked == number).map(|(_, at)| *at)?;
            target.at = None;
            Some(at)
        });
        let Some(asked_at) = asked_at else { return };
        let id = self.add(Carrier::Direct, probe.channel, now, unforeseeable());
        if let Some(path) = self.path_mut(id) {
            path.peer = Some(from);
            path.heard_token = probe.heard;
            path.measured(now.saturating_sub(asked_at));
            path.proven_at = Some(asked_at);
            path.ask_at_once(now);
        }
        self.stir.notify_one();
    }

    /// Technician: the agent's packets come from this address, so this end's may arrive there.
    fn knocked(&mut self, from: SocketAddr, probe: DirectProbe, now: Uptime) {
        let Self { direct, paths, .. } = self;
        let Some(direct) = direct.as_deref_mut() else { return };
        let Some(start) = direct.round_at else { return };
        if probe.channel.pair().is_none_or(|pair| pair < AGENTS_PAIRS)
            || paths.iter().any(|path| path.peer == Some(from))
            || !may_be_tried(from, direct.loopback)
        {
            return;
        }
        if let Some(target) = direct.targets.iter_mut().find(|target| target.to == from) {
            let last = target.asked.last().map(|(_, at)| *at);
            if target.at.is_some_and(|at| at > now) && last.is_none_or(|last| now.saturating_sub(last) >= TRY_APART) {
                target.at = Some(now);
            }
        } else if direct.targets.len() < CANDIDATES {
            // The agent's address as it is seen from here: a translation that nobody else could tell it of.
            let used = |channel| paths.iter().any(|path| path.channel == Some(channel));
            if let Some(channel) = direct.fresh_pair(used) {
                direct.target(from, channel, start.max(now));
            }
        }
        self.stir.notify_one();
    }

    /// Agent: the technician asks from this address. It is believed once the technician shows that it has heard an answer there.
    fn visited(&mut self, from: SocketAddr, probe: &DirectProbe, now: Uptime) {
        if probe.channel.pair().is_none_or(|pair| pair >= AGENTS_PAIRS) {
            return;
        }
        if let Some(id) = self.find_direct(probe.channel, from) {
            self.heard(id, probe.flags, false, now);
            return;
        }
        let Some(direct) = self.direct.as_deref_mut() else { return };
        let guest = match direct.guests.iter().position(|guest| guest.channel == probe.channel) {
            Some(index) => direct.guests.get_mut(index),
            None => {
                direct.guests.truncate(CANDIDATES - 1);
                direct.guests.push_front(Guest { channel: probe.channel, from, told: VecDeque::new() });
                direct.guests.front_mut()
            }
        };
        let Some(guest) = guest else { return };
        if guest.from != from {
            (guest.from, guest.told) = (from, VecDeque::new());
        }
        if !guest.told.contains(&probe.heard) {
            return;
        }
        let id = self.add(Carrier::Direct, probe.channel, now, unforeseeable());
        if let Some(path) = self.path_mut(id) {
            path.peer = Some(from);
        }
        self.heard(id, probe.flags, false, now);
    }

    /// Sends the tries that are due.
    pub(super) fn try_addresses(&mut self, now: Uptime, acts: &mut Vec<Act>, next: &mut Option<Uptime>) {
        let flags = self.flags();
        // The way is open: more tries would only cost others the places in some router's table.
        let enough = self.goes_directly();
        let Some(direct) = self.direct.as_deref_mut() else { return };
        if enough {
            direct.targets.clear();
        }
        for index in 0..direct.targets.len() {
            let Some(target) = direct.targets.get(index) else { break };
            let Some(at) = target.at else { continue };
            if now < at {
                earliest(next, at);
                continue;
            }
            let (to, channel) = (target.to, target.channel);
            let number = unforeseeable();
            let bytes = u16::try_from(DIRECT_PROBE_BYTES).unwrap_or_default();
            let probe = DirectProbe { channel, flags, probe: Probe::Ping(number), sequence: 0, heard: 0, bytes };
            let packet = direct.letter(probe);
            if let Some(target) = direct.targets.get_mut(index) {
                target.asked.push((number, now));
                target.tries += 1;
                let after = TRIES.get(target.tries).map(|after| target.start + Duration::from_millis(*after));
                target.at = after.map(|at| at.max(now + TRY_APART));
                target.at.into_iter().for_each(|at| earliest(next, at));
            }
            acts.push(Act::Letter(to, packet));
        }
    }

    /// Technician: wants a direct path when there is one and no reason not to.
    pub(super) fn prefer_direct(&mut self, now: Uptime, next: &mut Option<Uptime>) {
        let Some(direct) = self.direct.as_deref() else { return };
        if let Some(until) = self.wanted.and_then(|wanted| wanted.until) {
            if now < until {
                earliest(next, until);
            } else {
                self.give_up_wanted();
            }
            return;
        }
        if self.wanted.is_some() || self.lost_since.is_some() || self.handshaking {
            return;
        }
        if now < direct.barred_until {
            earliest(next, direct.barred_until);
            return;
        }
        let Some(best) = self.best_direct(now) else { return };
        let better = match self.path(self.current) {
            Some(current) if current.carrier == Carrier::Direct => {
                best.id != current.id && current.is_fresh(now, TRUSTED_FOR) && score(best) + FASTER_BY <= score(current)
            }
            Some(_) | None => true,
        };
        if better {
            let id = best.id;
            let until = now + PROVES_WITHIN;
            self.wanted = Some(Wanted { id, since: now, until: Some(until) });
            if let Some(path) = self.path_mut(id) {
                path.ask_at_once(now);
            }
            earliest(next, until);
        }
    }

    fn best_direct(&self, now: Uptime) -> Option<&Path> {
        let usable = |path: &&Path| path.carrier == Carrier::Direct && path.is_fresh(now, TRUSTED_FOR);
        self.paths.iter().filter(usable).min_by_key(|path| score(path))
    }

    /// It answers small packets alone, or no more.
    fn give_up_wanted(&mut self) {
        let Some(wanted) = self.wanted.take() else { return };
        if wanted.id != self.current {
            self.paths.retain(|path| path.id != wanted.id);
        }
    }

    /// Technician: the path has just been changed from `before` to the present one.
    pub(super) fn changed_carrier(&mut self, before: Option<PathId>, escaped: bool, now: Uptime, observed: Observed) {
        self.moved.notify_one();
        let relay_rtt = self.relay_rtt(now).unwrap_or(observed.rtt);
        let went_directly = before.and_then(|id| self.path(id)).is_some_and(|path| path.carrier == Carrier::Direct);
        let goes_directly = self.goes_directly();
        let direct_rtt = self.path(self.current).map_or(Duration::ZERO, |path| path.smooth);
        if goes_directly && !went_directly {
            // One more to go to when this one dies; the others would only be asked in vain.
            let current = self.current;
            let is_spare = |path: &&Path| path.carrier == Carrier::Direct && path.id != current;
            let spare = self.paths.iter().filter(is_spare).min_by_key(|path| score(path)).map(|path| path.id);
            let keeps = |path: &Path| path.carrier != Carrier::Direct || path.id == current || Some(path.id) == spare;
            self.paths.retain(keeps);
        }
        let Some(direct) = self.direct.as_deref_mut() else { return };
        if goes_directly && !went_directly {
            direct.used_since = Some(now);
            direct.sooner_us = micros(relay_rtt) - micros(direct_rtt);
        } else if went_directly && !goes_directly {
            let used_for = direct.used_since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
            if used_for >= GOOD_AFTER {
                direct.backoff = BACKOFF_FIRST;
            }
            if escaped {
                direct.barred_until = now + direct.backoff;
                direct.backoff = (direct.backoff * 2).min(BACKOFF_MOST);
            }
        }
    }

    fn relay_rtt(&self, now: Uptime) -> Option<Duration> {
        let relayed = |path: &&Path| path.carrier != Carrier::Direct && path.is_fresh(now, WARM_FOR);
        self.paths.iter().find(relayed).map(|path| path.smooth)
    }

    /// The path by the relay that is to be kept.
    pub(super) fn lifeline(&self) -> Option<PathId> {
        let relayed = |path: &&Path| path.carrier != Carrier::Direct && path.channel.is_some();
        self.paths.iter().filter(relayed).max_by_key(|path| path.id).map(|path| path.id)
    }

    /// How often a path that is not wanted is asked, and how old its answer may be for an escape.
    pub(super) fn patience(&self, path: &Path) -> (Duration, Duration) {
        match path.carrier {
            Carrier::Direct if path.id == self.current => (HEARTBEAT, TRUSTED_FOR),
            Carrier::Direct => (ASK_SPARE, TRUSTED_FOR),
            Carrier::Relayed if self.goes_directly() => (WARM_EVERY, WARM_FOR),
            Carrier::Relayed => (ASK_SPARE, super::technician::TRUSTED_FOR),
        }
    }
}

/// A number that the other end can only repeat if it was told: not even the end that knows the keys can claim to be where it is not. Never zero, which
/// stands for nothing.
fn unforeseeable() -> u64 {
    OsRng.next_u64().max(1)
}

fn score(path: &Path) -> Duration {
    let bonus = path.peer.filter(SocketAddr::is_ipv6).map_or(Duration::ZERO, |_| IPV6_BONUS);
    path.smooth.saturating_sub(bonus)
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Whether an address may be somebody's: never many machines' at once, and this machine's own only for tests beside a relay on it.
fn may_be_tried(address: SocketAddr, loopback: bool) -> bool {
    let ip = address.ip();
    // What quinn and pipes call somebody here is nobody's address outside.
    if is_synthetic(&address) {
        return false;
    }
    let one = match ip {
        IpAddr::V4(v4) => !v4.is_broadcast() && !v4.is_link_local() && v4.octets()[0] != 0 && v4.octets()[0] < 224,
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    };
    one && address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && (loopback || !ip.is_loopback())
}

/// Numbers that were taken: each once, and none that is far behind the newest (RFC 4303 section 3.4.3).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    newest: u64,
    /// Bit n: the number n before the newest was taken.
    taken: u64,
}

impl Window {
    /// Takes a number. `false` if it was taken before, or may have been.
    fn take(&mut self, number: u64) -> bool {
        if number > self.newest {
            let ahead = number - self.newest;
            self.taken = if ahead < 64 { self.taken << ahead | 1 } else { 1 };
            self.newest = number;
            return true;
        }
        let behind = self.newest - number;
        let fresh = number != 0 && behind < 64 && self.taken & 1 << behind == 0;
        if fresh {
            self.taken |= 1 << behind;
        }
        fresh
    }
}

#[cfg(test)]
mod tests;
