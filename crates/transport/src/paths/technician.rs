//! The technician's part: it asks, chooses, flips and announces.

use std::{sync::atomic::Ordering, time::Duration};

use wire::{
    channel::{Epoch, PathFlags},
    path::{FULL_PROBE_BYTES, Flip, PROBE_BYTES},
};

use super::{
    ASK_MOST, ASK_SPARE, Act, LONG_SILENCE, Observed, PathId, Paths, direct::WARM_EVERY, earliest, path::Path,
};
use crate::{sealed::Carrier, table::Uptime};

/// Changes of path are at least so far apart: each takes a connection id and several round trips.
const FLIP_EVERY: Duration = Duration::from_secs(1);

/// A path is good for an escape if it answered within this: two questions, of which one may be lost.
pub(super) const TRUSTED_FOR: Duration = Duration::from_secs(12);

/// First wait before a flip is announced again, doubled up to [`ANNOUNCE_MOST`].
const ANNOUNCE_FIRST: Duration = Duration::from_millis(30);

/// Longest such wait.
const ANNOUNCE_MOST: Duration = Duration::from_secs(1);

/// Announcements that nobody flipped for are at least so far apart: forged headers could ask for more.
const ANNOUNCE_APART: Duration = Duration::from_millis(200);

/// Announcements of a flip at least: the response that the agent validates by may be lost, and its packets may only be three times as
/// much as what it has received by the new path.
const ANNOUNCEMENTS_LEAST: u32 = 4;

/// Announcements after which the agent's validation is not waited for any more: it may have happened unseen.
const ANNOUNCEMENTS: u32 = 8;

/// After so long without an answer it is no longer asked several times a second. Whoever comes back says so.
const PATIENT_AFTER: Duration = Duration::from_secs(30);

/// Paths whose questions are due within this are asked together, so that both ends wake once for all of them.
const ASK_TOGETHER: Duration = Duration::from_secs(1);

/// So long at most what the agent sent before a flip is kept from quinn.
const STALE_FOR: Duration = Duration::from_secs(3);

/// A path that the technician wants to send by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) id: PathId,
    pub(super) since: Uptime,
    /// Not for longer than this; `None`: until it answers.
    pub(super) until: Option<Uptime>,
}

/// What comes from an agent that was not heard for long.
///
/// Its first packets acknowledge what was sent before the silence, which QUIC takes for a round trip of minutes (RFC 9002 section 5.1), and a
/// client of quinn cannot forget one. Those that answer the flip after it acknowledge what was sent now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stale {
    until: Uptime,
    /// Flips before.
    count: u32,
}

/// An announcement of the present path that goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Announcement {
    at: Uptime,
    wait: Duration,
    sent: u32,
    /// `PATH_RESPONSE` frames before the flip; `None` if only the count is out of step.
    responses_before: Option<u64>,
}

impl Paths {
    /// The present path is dead: asks all others, and flips to the first that is good.
    pub(super) fn look_elsewhere(&mut self, now: Uptime) {
        self.lost_since = Some(now);
        for path in &mut self.paths {
            path.ask_at_once(now);
        }
    }

    /// Technician: something comes by a path that was silent, or dead.
    pub(super) fn heard_again(&mut self, id: PathId, now: Uptime) {
        let lost = self.lost_since.is_some();
        let Some(path) = self.path_mut(id) else { return };
        let silent_for = path.unanswered_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if lost {
            path.ask_soon();
            self.stir.notify_one();
        }
        if id == self.current && silent_for >= LONG_SILENCE {
            self.begin_afresh(now);
        }
    }

    /// Technician: goes on by the present path as if it were a new one, once that has answered, so that both ends measure it anew and send at
    /// once what was lost.
    pub(super) fn begin_afresh(&mut self, now: Uptime) {
        if self.wanted.is_some() || self.handshaking {
            return;
        }
        let id = self.current;
        let Some(path) = self.path_mut(id).filter(|path| path.channel.is_some()) else { return };
        path.ask_at_once(now);
        self.wanted = Some(Wanted { id, since: now, until: None });
        self.stale = Some(Stale { until: now + STALE_FOR, count: self.count });
        self.stir.notify_one();
    }

    /// Whether a packet of QUIC with these flags is for quinn.
    pub(crate) fn takes(&mut self, flags: PathFlags, now: Uptime) -> bool {
        let Some(stale) = self.stale else { return true };
        let answers_flip = self.count != stale.count && flags.epoch == Epoch::of(self.count);
        if answers_flip || now >= stale.until {
            self.stale = None;
        }
        self.stale.is_none()
    }

    /// Technician: the longest wait between two questions to a path that is needed.
    fn ask_most(&self, wanted: bool, now: Uptime) -> Duration {
        let since = self.wanted.filter(|_| wanted).map(|wanted| wanted.since).or(self.lost_since);
        let long = since.is_some_and(|since| now.saturating_sub(since) >= PATIENT_AFTER);
        if long { ASK_SPARE } else { ASK_MOST }
    }

    /// Technician: flips if there is a reason to and a path to flip to.
    pub(super) fn choose(&mut self, now: Uptime, observed: Observed, next: &mut Option<Uptime>) {
        let wanted =
            self.wanted.filter(|wanted| self.path(wanted.id).is_some_and(|path| path.proven_since(wanted.since)));
        let target = wanted.map(|wanted| wanted.id).or_else(|| {
            self.lost_since?;
            let good = |path: &&Path| path.id != self.current && path.is_fresh(now, self.patience(path).1);
            let best = |path: &&Path| (path.carrier != Carrier::Direct, path.proven_at);
            self.paths.iter().filter(good).max_by_key(best).map(|path| path.id)
        });
        let Some(target) = target else { return };
        match self.flipped_at.map(|at| at + FLIP_EVERY) {
            Some(may_at) if now < may_at => earliest(next, may_at),
            Some(_) | None => self.flip(target, now, observed),
        }
    }

    fn flip(&mut self, id: PathId, now: Uptime, observed: Observed) {
        let (before, escaped) = (self.current, self.lost_since.is_some());
        self.count = self.count.wrapping_add(1);
        self.current = id;
        self.flipped_at = Some(now);
        self.wanted = self.wanted.filter(|wanted| wanted.id != id);
        self.lost_since = None;
        self.doubt = None;
        self.in_step = false;
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.announce(now, Some(observed.path_responses));
        if let Some(path) = self.path_mut(id) {
            (path.unanswered_since, path.no_data_since) = (None, None);
        }
        self.changed_carrier(Some(before), escaped, now, observed);
    }

    fn announce(&mut self, at: Uptime, responses_before: Option<u64>) {
        self.announcement = Some(Announcement { at, wait: ANNOUNCE_FIRST, sent: 0, responses_before });
    }

    /// The agent seems to be elsewhere: a late packet, an announcement that was lost, or a forged header. Says the truth again, but
    /// not for every such packet.
    pub(super) fn announce_again(&mut self, now: Uptime) {
        self.in_step = false;
        if self.announcement.is_none() {
            let at = self.announced_at.map_or(now, |last| (last + ANNOUNCE_APART).max(now));
            self.announce(at, None);
            self.stir.notify_one();
        }
    }

    /// Technician: says which path it sends by, as long as the agent is not known to have followed.
    pub(super) fn announce_due(
        &mut self,
        now: Uptime,
        observed: Observed,
        acts: &mut Vec<Act>,
        next: &mut Option<Uptime>,
    ) {
        let Some(mut announcement) = self.announcement else { return };
        let validating = announcement.responses_before.is_none_or(|before| observed.path_responses > before);
        let least = if announcement.responses_before.is_some() { ANNOUNCEMENTS_LEAST } else { 1 };
        let patient = announcement.sent >= ANNOUNCEMENTS;
        if announcement.sent >= least && self.in_step && (validating || patient) {
            self.announcement = None;
            return;
        }
        if now >= announcement.at {
            if let Some(channel) = self.path(self.current).and_then(|path| path.channel) {
                acts.push(Act::Announce(Flip { count: self.count, channel }));
            }
            announcement.at = now + announcement.wait;
            announcement.wait = (announcement.wait * 2).min(ANNOUNCE_MOST);
            announcement.sent += 1;
            self.announced_at = Some(now);
            self.announcement = Some(announcement);
        }
        earliest(next, announcement.at);
    }

    fn is_wanted(&self, id: PathId) -> bool {
        self.wanted.is_some_and(|wanted| wanted.id == id)
    }

    /// Whether a path is asked now and then: all but the relay's while that is in use.
    fn is_asked(&self, path: &Path) -> bool {
        let heartbeat = path.id == self.current && !self.is_wanted(path.id);
        path.channel.is_some() && (!heartbeat || path.carrier == Carrier::Direct)
    }

    /// Technician: asks the paths that are not in use, often if one of them is needed, now and then otherwise; and the present one if it
    /// is direct, which may be forgotten by a router on the way.
    pub(super) fn ask_others(&mut self, now: Uptime, acts: &mut Vec<Act>, next: &mut Option<Uptime>) {
        if std::mem::take(&mut self.measure_relay) {
            self.ask(self.current, PROBE_BYTES, now, acts);
        }
        let any_due = self.paths.iter().any(|path| self.is_asked(path) && now >= path.ask_at);
        for index in 0..self.paths.len() {
            let Some(path) = self.paths.get(index).filter(|path| self.is_asked(path)) else { continue };
            let wanted = self.is_wanted(path.id);
            let needed = wanted || self.lost_since.is_some();
            let (id, mut ask_at, ask_wait) = (path.id, path.ask_at, path.ask_wait);
            let (every, _) = self.patience(path);
            let heartbeat = id == self.current && !wanted;
            // Only a path that may be flipped to has to show that it takes full packets.
            let small = heartbeat || (every == WARM_EVERY && !needed);
            if now >= ask_at || (any_due && !needed && now + ASK_TOGETHER >= ask_at) {
                self.ask(id, if small { PROBE_BYTES } else { FULL_PROBE_BYTES }, now, acts);
                ask_at = now + if needed && !heartbeat { ask_wait } else { every };
                let most = self.ask_most(wanted, now);
                if let Some(path) = self.path_mut(id) {
                    (path.ask_at, path.ask_wait) = (ask_at, (ask_wait * 2).min(most));
                }
            }
            earliest(next, ask_at);
        }
    }
}
