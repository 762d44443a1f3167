//! The agent's part: it follows the technician, and says when it hears nothing.

use std::time::Duration;

use wire::path::{Flip, PROBE_BYTES};

use super::{ASK_MOST, ASK_SPARE, Act, PathId, Paths, earliest};
use crate::{
    address::Label,
    table::{End, Uptime},
};

/// An agent follows at most so often, whoever forges headers. Less than the time between two flips, which may come closer
/// together than they were sent.
pub(super) const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// First wait before an agent that hears nothing says so again, doubled up to [`ASK_MOST`].
const TELL_FIRST: Duration = Duration::from_millis(30);

/// After so long it says so less often: the technician is not there, and says so when it comes back.
const PATIENT_AFTER: Duration = Duration::from_secs(30);

/// An agent that hears nothing, telling so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deaf {
    since: Uptime,
    again_at: Uptime,
    wait: Duration,
}

impl Paths {
    /// The technician says by an authenticated way which path it sends by.
    pub(crate) fn confirm(&mut self, flip: Flip, now: Uptime) {
        let older = |confirmed: u32| flip.count.wrapping_sub(confirmed) > u32::MAX / 2;
        let Some(id) = self.find(flip.channel) else { return };
        if self.end != End::Agent || self.confirmed.is_some_and(older) {
            return;
        }
        if (flip.count, id) == (self.count, self.current) || self.follow(flip.count, id, now) {
            self.confirmed = Some(flip.count);
        }
    }

    /// Agent: goes over to the technician's path, unless it did so a moment ago.
    pub(super) fn follow(&mut self, count: u32, id: PathId, now: Uptime) -> bool {
        if self.followed_at.is_some_and(|at| now.saturating_sub(at) < FOLLOW_EVERY) {
            return false;
        }
        self.followed_at = Some(now);
        self.count = count;
        self.current = id;
        self.doubt = None;
        self.deaf = None;
        if let Some(path) = self.path_mut(id) {
            (path.unanswered_since, path.no_data_since) = (None, None);
        }
        if !self.handshaking {
            self.relabel();
        }
        self.stir.notify_one();
        self.moved.notify_one();
        true
    }

    pub(super) fn relabel(&mut self) {
        self.label = Label { epoch: self.label.epoch.wrapping_add(1), path: self.current };
    }

    pub(super) fn go_deaf(&mut self, now: Uptime) {
        self.deaf = Some(Deaf { since: now, again_at: now, wait: TELL_FIRST });
    }

    /// Agent: says on all other paths that nothing comes by the present one. The header of any packet says it.
    pub(super) fn tell_deaf(&mut self, now: Uptime, acts: &mut Vec<Act>, next: &mut Option<Uptime>) {
        if !self.has_spare() {
            self.deaf = None;
        }
        let Some(mut deaf) = self.deaf else { return };
        if now >= deaf.again_at {
            for index in 0..self.paths.len() {
                if let Some(id) = self.paths.get(index).map(|path| path.id) {
                    self.ask(id, PROBE_BYTES, now, acts);
                }
            }
            let most = if now.saturating_sub(deaf.since) >= PATIENT_AFTER { ASK_SPARE } else { ASK_MOST };
            deaf = Deaf { again_at: now + deaf.wait, wait: (deaf.wait * 2).min(most), ..deaf };
            self.deaf = Some(deaf);
        }
        earliest(next, deaf.again_at);
    }
}
