//! What passes by itself. Nothing here gives a right; it only takes away what time already took.

use wire::{
    session::{DenyReason, EndReason, GrantEnd},
    time::Moment,
};

use super::{Consent, ConsentEvent};

impl Consent {
    /// When something passes next; `None` once everything is over.
    pub fn poll_timeout(&self) -> Option<Moment> {
        if self.over {
            return None;
        }
        let prompt = self.shown.iter().map(|shown| shown.prompt.deadline);
        let grants = self.grants.values().map(super::Grant::lapses_at);
        let pause = self.paused.iter().map(|pause| pause.ends_at);
        prompt.chain(grants).chain(pause).chain([self.session_ends_at]).min()
    }

    /// Tidies up what is over at `now` and tells about it.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.advance(now);
    }

    /// Moves time on and applies everything that passed. Returns the moment to go by, never earlier than one that was named before.
    pub(super) fn advance(&mut self, now: Moment) -> Moment {
        let now = now.max(self.latest);
        self.latest = now;
        if self.over {
            return now;
        }
        let lapsed = self.grants.values().filter(|grant| !grant.is_live(now)).map(|grant| grant.id).collect::<Vec<_>>();
        for grant in lapsed {
            self.end_grant(grant, GrantEnd::Lapsed);
        }
        let away_too_long = self.paused.map(|pause| pause.ends_at).filter(|ends_at| now >= *ends_at);
        let time_over = Some(self.session_ends_at).filter(|ends_at| now >= *ends_at);
        match (away_too_long, time_over) {
            (Some(away), Some(time)) if time < away => self.pass(EndReason::TimeOver),
            (Some(_), _) => self.pass(EndReason::UserAway),
            (None, Some(_)) => self.pass(EndReason::TimeOver),
            (None, None) => {}
        }
        if self.shown.as_ref().is_some_and(|shown| now >= shown.prompt.deadline) {
            self.deny_shown(DenyReason::NoAnswer, now);
        }
        self.show_next(now);
        now
    }

    fn pass(&mut self, reason: EndReason) {
        self.close(GrantEnd::SessionEnded);
        self.events.push_back(ConsentEvent::Over(reason));
    }
}
