//! Which path a session takes, and when it takes another.
//!
//! The technician chooses, the agent follows. A change is a *flip*: the technician counts one up, sends by the new path from then on, and
//! every header carries the count's last bits. The agent takes the path on which the newest count came for the session's, and shows
//! quinn a new label, so that quinn validates the path and starts congestion control, round-trip time and packet size afresh.
//! The technician's label never changes; its congestion control is told by a number (`congestion`).
//!
//! Five rules make that safe (`docs/decisions/0006-a-session-changes-its-path-by-epochs.md`):
//!
//! 1. No label changes before the handshake is done: until then quinn drops what comes under another one.
//! 2. A label stands for a flip, not for a path: late packets of the old path are shown under the new label as well, and the same
//!    path can start afresh.
//! 3. No flip before a probe went there and back on the new path, since the technician began to want it.
//! 4. Both ends find out by themselves that their path is dead. QUIC does not leave a validated path that dies.
//! 5. A flip is announced by a full packet, again and again until the agent has followed. It is also the truth about the count:
//!    headers are signed by nobody.
//!
//! Plain data without a clock; `node::driver` keeps its time. A session with a single path costs nothing here.

mod agent;
mod direct;
mod doubt;
mod path;
mod technician;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::sync::Notify;
use wire::{
    channel::{ChannelId, Epoch, PathFlags},
    path::{Flip, PROBE_BYTES, Probe},
};

use self::{
    agent::Deaf,
    direct::{Direct, Window},
    doubt::Doubt,
    path::Path,
    technician::{Announcement, Stale, Wanted},
};
use crate::{
    address::Label,
    sealed::Carrier,
    table::{End, Uptime},
};

/// Paths of one session: the relay's present channel and its next one, and four that answered lately.
const PATHS: usize = 6;

/// First wait for the answer of a path that is wanted, doubled up to [`ASK_MOST`].
const ASK_FIRST: Duration = Duration::from_millis(50);

/// Longest such wait. The other end may still be on its way to the new channel.
const ASK_MOST: Duration = Duration::from_millis(500);

/// How often a path that is not in use is asked whether it still works.
const ASK_SPARE: Duration = Duration::from_secs(5);

/// A path that nobody wants and that has not answered for so long is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);

/// After so long a silence QUIC's waits, which double, are too long to be waited for: an end *hails* the other by a probe now and then, which needs no
/// leave of congestion control, and what is heard then begins everything afresh. A quiet session is silent for half of this.
const LONG_SILENCE: Duration = Duration::from_secs(10);

/// Names a path inside its session. Never used twice there, as long as nobody moves a session 65536 times.
pub(crate) type PathId = u16;

/// What the driver has to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Probe {
        probe: Probe,
        bytes: usize,
        by: Outward,
    },
    Announce(Flip),
    /// A whole packet to a real address.
    Letter(SocketAddr, Vec<u8>),
}

/// Where a packet goes, and what its header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outward {
    pub(crate) carrier: Carrier,
    pub(crate) channel: ChannelId,
    pub(crate) flags: PathFlags,
    /// The real address, for a direct path.
    pub(crate) to: Option<SocketAddr>,
}

/// What the driver knows from quinn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Observed {
    pub(crate) rtt: Duration,
    /// `PATH_RESPONSE` frames that were sent: the agent is validating.
    pub(crate) path_responses: u64,
}

/// The paths of one session.
#[derive(Debug)]
pub(crate) struct Paths {
    end: End,
    paths: Vec<Path>,
    next_id: PathId,
    current: PathId,
    /// Flips since the session began: the technician's own count, or the one that the agent has followed.
    count: u32,
    /// What quinn is shown.
    label: Label,
    handshaking: bool,
    doubt: Option<Doubt>,
    /// Woken when something here has become due earlier than [`Paths::tick`] said.
    stir: Arc<Notify>,
    /// Told whenever packets go by another path.
    moved: Arc<Notify>,
    /// The driver sleeps until something is sent.
    watched: bool,
    /// When the other end is to be hailed, by the present path.
    hail_at: Option<Uptime>,
    /// When anything came, by whatever path.
    heard_at: Uptime,

    /// Agent: since when, if it hears nothing.
    deaf: Option<Deaf>,
    followed_at: Option<Uptime>,
    /// Agent: the newest count that the technician has said inside the sealed session.
    confirmed: Option<u32>,

    wanted: Option<Wanted>,
    /// Technician: the present path is dead, since when another one is looked for.
    lost_since: Option<Uptime>,
    flipped_at: Option<Uptime>,
    announcement: Option<Announcement>,
    announced_at: Option<Uptime>,
    /// Technician: what the agent sent before it heard of the next flip is not for quinn.
    stale: Option<Stale>,
    /// Technician: the agent's headers carry the present count.
    in_step: bool,
    /// Technician: read by its congestion control.
    changes: Arc<AtomicU64>,

    /// There while direct paths are allowed.
    direct: Option<Box<Direct>>,
    /// What outlives it, as its keys are those of the session.
    direct_sequence: u64,
    direct_seen: Window,
    /// Technician: the relay is to be asked once, to compare.
    measure_relay: bool,
}

impl Paths {
    /// A session without a path. The first that is added is the one that it starts on.
    pub(crate) fn new(end: End) -> Self {
        Self {
            end,
            paths: Vec::with_capacity(PATHS),
            next_id: 0,
            current: 0,
            count: 0,
            label: Label::FIRST,
            handshaking: true,
            doubt: None,
            stir: Arc::default(),
            moved: Arc::default(),
            watched: false,
            hail_at: None,
            heard_at: Uptime::ZERO,
            deaf: None,
            followed_at: None,
            confirmed: None,
            wanted: None,
            lost_since: None,
            flipped_at: None,
            announcement: None,
            announced_at: None,
            stale: None,
            in_step: true,
            changes: Arc::default(),
            direct: None,
            direct_sequence: 0,
            direct_seen: Window::default(),
            measure_relay: false,
        }
    }

    /// Wakes the driver.
    pub(crate) fn stir(&self) -> Arc<Notify> {
        Arc::clone(&self.stir)
    }

    /// Told whenever packets go by another path. For one task alone.
    pub(crate) fn moved(&self) -> Arc<Notify> {
        Arc::clone(&self.moved)
    }

    /// Counts this session's changes of path.
    pub(crate) fn changes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.changes)
    }

    /// How often this end has changed its path.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The channel of the path that this end takes at present.
    #[cfg(test)]
    pub(crate) fn channel(&self) -> Option<ChannelId> {
        self.path(self.current)?.channel
    }

    pub(crate) fn carrier(&self) -> Carrier {
        // A direct path that was closed is only waiting for its successor.
        let path = self.path(self.current).filter(|path| path.channel.is_some());
        path.map_or(Carrier::Relayed, |path| path.carrier)
    }

    /// The handshake is done: labels may change from here on.
    pub(crate) fn established(&mut self) {
        self.handshaking = false;
        if self.end == End::Agent && self.count != 0 {
            self.relabel();
        }
    }

    pub(crate) fn uses(&self, channel: ChannelId) -> bool {
        self.find(channel).is_some()
    }

    /// The path of this channel.
    pub(crate) fn find(&self, channel: ChannelId) -> Option<PathId> {
        self.paths.iter().find(|path| path.channel == Some(channel)).map(|path| path.id)
    }

    /// Whether it never had a path.
    pub(crate) fn is_new(&self) -> bool {
        self.next_id == 0
    }

    /// Whether no channel is left.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.paths.iter().all(|path| path.channel.is_none())
    }

    /// Adds a path, and takes it as soon as it has shown that it works; the same channel again starts afresh on it.
    pub(crate) fn move_to(&mut self, carrier: Carrier, channel: ChannelId, now: Uptime, draw: u64) {
        let id = self.add(carrier, channel, now, draw);
        // A session that goes directly needs the new channel only to escape to.
        if self.end == End::Technician && (!self.goes_directly() || self.lost_since.is_some()) {
            self.wanted = Some(Wanted { id, since: now, until: None });
            if let Some(path) = self.path_mut(id) {
                path.ask_at_once(now);
            }
        }
        self.stir.notify_one();
    }

    /// Adds a path to escape to.
    pub(crate) fn add(&mut self, carrier: Carrier, channel: ChannelId, now: Uptime, draw: u64) -> PathId {
        if let Some(known) = self.find(channel) {
            return known;
        }
        if self.paths.len() >= PATHS {
            let lifeline = self.lifeline();
            let spare = self.paths.iter().filter(|path| path.id != self.current && Some(path.id) != lifeline);
            let stalest = spare.min_by_key(|path| (path.channel.is_some(), path.sign_at));
            let stalest = stalest.map(|path| path.id);
            self.paths.retain(|path| Some(path.id) != stalest);
        }
        if self.is_new() {
            self.heard_at = now;
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.paths.push(Path::new(id, carrier, channel, now, draw));
        self.stir.notify_one();
        id
    }

    /// The channel is gone.
    pub(crate) fn forget(&mut self, channel: ChannelId) {
        for path in self.paths.iter_mut().filter(|path| path.channel == Some(channel)) {
            path.channel = None;
        }
        self.stir.notify_one();
    }

    /// A packet or probe came by this path.
    pub(crate) fn heard(&mut self, id: PathId, flags: PathFlags, is_quic: bool, now: Uptime) {
        let end = self.end;
        // Time in which nobody was heard makes no path older.
        let silence = now.saturating_sub(self.heard_at);
        if silence >= LONG_SILENCE {
            for path in &mut self.paths {
                path.sign_at += silence;
            }
        }
        self.heard_at = now;
        if end == End::Technician {
            self.heard_again(id, now);
        }
        if let Some(path) = self.path_mut(id) {
            path.unanswered_since = None;
            if is_quic {
                path.no_data_since = None;
            }
            if end == End::Agent {
                path.sign_at = now;
            }
        }
        if id == self.current {
            self.doubt = None;
            self.deaf = None;
            self.hail_at = None;
            if !flags.hears_nothing {
                self.lost_since = None;
            }
        }
        match self.end {
            // Probes go by every path and say nothing about which one is meant.
            End::Agent if is_quic => {
                if let Some(ahead) = flags.epoch.ahead_of(self.count) {
                    self.follow(self.count.wrapping_add(u32::from(ahead)), id, now);
                }
            }
            End::Agent => {}
            End::Technician => {
                let same = flags.epoch == Epoch::of(self.count);
                if flags.hears_nothing && same && self.lost_since.is_none() {
                    self.look_elsewhere(now);
                    self.stir.notify_one();
                }
                if same {
                    self.in_step = true;
                } else if id == self.current || flags.epoch.ahead_of(self.count).is_some() {
                    self.announce_again(now);
                }
            }
        }
    }

    /// A question was answered by this path.
    pub(crate) fn answered(&mut self, id: PathId, number: u64, now: Uptime) {
        let wanted_since = self.wanted.filter(|wanted| wanted.id == id).map(|wanted| wanted.since);
        let Some(path) = self.path_mut(id) else { return };
        let Some(asked_at) = path.was_asked(number) else { return };
        path.measured(now.saturating_sub(asked_at));
        // The time of asking: an answer shows that the path worked then.
        path.proven_at = path.proven_at.max(Some(asked_at));
        path.sign_at = now;
        // An answer to a question of before does not stop the asking.
        if wanted_since.is_none_or(|since| asked_at >= since) {
            path.ask_wait = ASK_FIRST;
            let every = self.path(id).map_or(ASK_SPARE, |path| self.patience(path).0);
            if let Some(path) = self.path_mut(id) {
                path.ask_at = now + every;
            }
        }
        self.stir.notify_one();
    }

    /// What quinn is told about where packets come from.
    pub(crate) fn label(&self) -> Label {
        self.label
    }

    /// Where a packet goes that quinn sends under `label`.
    pub(crate) fn route(&mut self, label: Label, now: Uptime) -> Option<Outward> {
        let current = self.current;
        // A challenge to the previous path goes by that path. While labels stand still they say nothing.
        let meant = if self.handshaking { current } else { label.path };
        let index = |id| self.paths.iter().position(|path| path.id == id && path.channel.is_some());
        let index = match self.end {
            // The last is for when a direct path has been closed here and the technician does not know yet.
            End::Agent => index(meant).or_else(|| index(current)).or_else(|| self.lifeline().and_then(index)),
            End::Technician => index(current),
        };
        let path = self.paths.get_mut(index?)?;
        let (carrier, channel, to) = (path.carrier, path.channel?, path.peer);
        path.no_data_since.get_or_insert(now);
        if path.unanswered_since.is_none() {
            path.unanswered_since = Some(now);
            if self.watched && path.id == current {
                self.watched = false;
                self.stir.notify_one();
            }
        }
        Some(Outward { carrier, channel, flags: self.flags(), to })
    }

    /// Where a probe goes that is sent by this path.
    pub(crate) fn outward(&self, id: PathId) -> Option<Outward> {
        let path = self.path(id)?;
        Some(Outward { carrier: path.carrier, channel: path.channel?, flags: self.flags(), to: path.peer })
    }

    /// Does what is due, and returns when to come again. `None`: when stirred.
    pub(crate) fn tick(&mut self, now: Uptime, observed: Observed, acts: &mut Vec<Act>) -> Option<Uptime> {
        let mut next = None;
        self.give_up(now);
        self.doubt_current(now, observed, acts, &mut next);
        match self.end {
            End::Agent => self.tell_deaf(now, acts, &mut next),
            End::Technician => {
                self.prefer_direct(now, &mut next);
                self.choose(now, observed, &mut next);
                self.ask_others(now, acts, &mut next);
                self.announce_due(now, observed, acts, &mut next);
            }
        }
        self.try_addresses(now, acts, &mut next);
        self.hail(now, acts, &mut next);
        next
    }

    /// Calls an end that was silent for long. Whichever of both is heard first, it is the technician that begins afresh.
    fn hail(&mut self, now: Uptime, acts: &mut Vec<Act>, next: &mut Option<Uptime>) {
        let since = self.path(self.current).and_then(|path| path.unanswered_since);
        let Some(at) = self.hail_at.or(since.map(|since| since + LONG_SILENCE)) else {
            self.watched = true;
            return;
        };
        if now < at {
            earliest(next, at);
            return;
        }
        self.ask(self.current, PROBE_BYTES, now, acts);
        self.hail_at = Some(now + ASK_SPARE);
        earliest(next, now + ASK_SPARE);
    }

    fn flags(&self) -> PathFlags {
        PathFlags { epoch: Epoch::of(self.count), hears_nothing: self.deaf.is_some() }
    }

    fn path(&self, id: PathId) -> Option<&Path> {
        self.paths.iter().find(|path| path.id == id)
    }

    fn path_mut(&mut self, id: PathId) -> Option<&mut Path> {
        self.paths.iter_mut().find(|path| path.id == id)
    }

    /// This machine stood still: the other end may have sent into nothing for long.
    pub(crate) fn woke(&mut self, now: Uptime) {
        match self.end {
            End::Agent => self.hail_at = Some(now),
            End::Technician => self.begin_afresh(now),
        }
        self.stir.notify_one();
    }

    fn has_spare(&self) -> bool {
        self.paths.iter().any(|path| path.id != self.current && path.channel.is_some())
    }

    /// Drops paths that lead nowhere. The technician asks every path now and then, so the agent hears by each that it may use.
    fn give_up(&mut self, now: Uptime) {
        // Whoever goes directly has to be able to come back, however seldom the relay is asked.
        let lifeline = if self.goes_directly() { self.lifeline() } else { None };
        // While nothing comes by any path, none is worse than another, and the two ends might give up different ones.
        let heard = now.saturating_sub(self.heard_at) < LONG_SILENCE;
        let Self { paths, current, wanted, .. } = self;
        let old = |path: &Path| heard && now.saturating_sub(path.sign_at) >= GIVEN_UP_AFTER;
        let stale = |path: &Path| path.channel.is_none() || old(path);
        let needed = |id| id == *current || Some(id) == lifeline || wanted.is_some_and(|wanted| wanted.id == id);
        paths.retain(|path| needed(path.id) || !stale(path));
    }

    fn ask(&mut self, id: PathId, bytes: usize, now: Uptime, acts: &mut Vec<Act>) {
        let Some(by) = self.outward(id) else { return };
        let Some(path) = self.path_mut(id) else { return };
        let probe = path.question(now);
        match by.carrier {
            Carrier::Direct => {
                acts.extend(self.direct_question(id, probe, bytes).map(|(to, packet)| Act::Letter(to, packet)));
            }
            Carrier::Relayed => acts.push(Act::Probe { probe, bytes, by }),
        }
    }
}

fn earliest(next: &mut Option<Uptime>, at: Uptime) {
    *next = Some(next.map_or(at, |next| next.min(at)));
}

#[cfg(test)]
mod tests;
