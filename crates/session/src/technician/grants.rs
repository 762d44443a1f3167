//! What the agent said is granted.

use std::time::Duration;

use wire::{
    ids::GrantId,
    session::{Ability, Subject},
    time::Moment,
};

/// A grant that was told and is not over.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) subject: Subject,
    pub(super) abilities: Vec<Ability>,
    pub(super) stay_until: Moment,
}

/// A grant as a technician sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantStatus<'a> {
    /// Its name.
    pub grant: GrantId,
    /// What was answered.
    pub subject: Subject,
    /// What it covers.
    pub abilities: &'a [Ability],
    /// Time until it lapses, counted from when the message arrived: the agent's own clock may be ahead by the time that it travelled.
    pub remaining: Duration,
}

impl Held {
    pub(super) fn status(&self, grant: GrantId, now: Moment) -> Option<GrantStatus<'_>> {
        let remaining = self.stay_until - now;
        let Self { subject, abilities, .. } = self;
        (remaining > Duration::ZERO).then_some(GrantStatus { grant, subject: *subject, abilities, remaining })
    }
}
