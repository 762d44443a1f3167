//! Direct paths: only while the person allows the technician anything, and only if they want them at all.

use std::net::SocketAddr;

use wire::{
    evidence::Event,
    path::{CANDIDATES, DirectOffer},
    session::ToTechnician,
    time::Moment,
};

use super::{AgentSession, Effect};

/// Whether the person wants direct paths, on which each side sees the other's network address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectWish {
    /// They may be used once something was allowed.
    Wanted,
    /// Everything goes by the relay, and the technician is told so.
    NotWanted,
}

#[derive(Debug)]
pub(super) struct Direct {
    wish: DirectWish,
    state: State,
    used: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Recorded, and not handed out yet.
    Queued,
    Open,
}

impl Direct {
    pub(super) fn new(wish: DirectWish) -> Self {
        Self { wish, state: State::Closed, used: false }
    }

    pub(super) fn handed_over(&mut self) {
        self.state = State::Open;
    }
}

impl AgentSession {
    /// Whether direct paths are wanted by the person.
    pub fn direct_wish(&self) -> DirectWish {
        self.direct.wish
    }

    /// Sends the technician this end's addresses, which were gathered for [`Effect::OpenDirect`]. They go nowhere if direct paths are not
    /// allowed any more.
    pub fn offer_direct(&mut self, mut addresses: Vec<SocketAddr>, now: Moment) {
        if self.direct.state == State::Open && self.may_go_directly(now) {
            addresses.truncate(CANDIDATES);
            self.effects.send(ToTechnician::Direct(DirectOffer::Candidates(addresses)));
        }
    }

    /// The session goes by a direct path.
    pub fn direct_is_used(&mut self) {
        if self.direct.state == State::Open && !std::mem::replace(&mut self.direct.used, true) {
            self.effects.record(Event::DirectUsed);
        }
    }

    pub(super) fn handle_direct(&mut self, offer: DirectOffer, now: Moment) {
        if !self.allowed {
            return self.violation("spoke of network addresses before anything was allowed", now);
        }
        let DirectOffer::Candidates(addresses) = offer else { return };
        if addresses.len() > CANDIDATES {
            return self.violation("named more network addresses than a machine is reached by", now);
        }
        if self.direct.wish == DirectWish::NotWanted {
            return self.effects.send(ToTechnician::Direct(DirectOffer::NotWanted));
        }
        // The last grant may have ended while this was on its way.
        if !self.may_go_directly(now) {
            return;
        }
        if self.direct.state == State::Closed {
            self.effects.record(Event::DirectAllowed);
            self.direct.state = State::Queued;
        }
        self.effects.push(Effect::OpenDirect { addresses });
    }

    /// Closes direct paths if nothing is allowed any more, or the person is away.
    pub(super) fn close_direct_unless_covered(&mut self, now: Moment) {
        if self.direct.state == State::Closed || self.may_go_directly(now) {
            return;
        }
        self.effects.forget_direct();
        if self.direct.state == State::Open {
            self.effects.stop(Effect::CloseDirect);
        }
        (self.direct.state, self.direct.used) = (State::Closed, false);
    }

    /// Returns whether direct paths may be opened, and addresses told, at `now`. The shell asks before each.
    pub fn may_go_directly(&self, now: Moment) -> bool {
        self.end.is_none() && self.consent.paused_until().is_none() && self.consent.grants(now).next().is_some()
    }
}
