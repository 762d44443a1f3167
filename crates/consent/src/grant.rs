//! What a yes allows, and until when.

use std::time::Duration;

use wire::{
    ids::{Digest, GrantId},
    session::{Ability, Subject},
    time::Moment,
};

/// Something that needs a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Taking and sending a diagnostic sample.
    Diagnostics,
    /// Reading something once that needs this ability.
    Inspect(Ability),
    /// Starting the run of this digest.
    Run(Digest),
    /// Reading once what this digest says, which asks first for this ability.
    InspectOnce(Ability, Digest),
}

impl Act {
    /// The ability that it needs.
    pub fn ability(&self) -> Ability {
        match self {
            Self::Diagnostics => Ability::DiagBasic,
            Self::Inspect(ability) | Self::InspectOnce(ability, _) => *ability,
            Self::Run(_) => Ability::AdhocArgv,
        }
    }
}

/// One yes of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// What was answered.
    pub subject: Subject,
    /// What it covers. Sorted, each once, never empty.
    pub abilities: Vec<Ability>,
    /// When it was given.
    pub given_at: Moment,
    /// It covers nothing from this moment on.
    pub stay_until: Moment,
    pub(crate) single: Option<SingleUse>,
}

/// The one use that a grant covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SingleUse {
    pub(crate) digest: Digest,
    /// It must have begun before this moment.
    pub(crate) establish_until: Moment,
    pub(crate) begun: bool,
}

impl Grant {
    /// The one use that it covers, if it is for one.
    pub fn once(&self) -> Option<Digest> {
        self.single.as_ref().map(|single| single.digest)
    }

    /// Time until it lapses.
    pub fn remaining(&self, now: Moment) -> Duration {
        self.stay_until - now
    }

    /// Whether it covers the beginning of `act` at `now`, as far as the grant alone can say.
    pub(crate) fn covers(&self, act: &Act, now: Moment) -> bool {
        let fits = match (act, &self.single) {
            (Act::Diagnostics | Act::Inspect(_), None) => true,
            (Act::Run(digest) | Act::InspectOnce(_, digest), Some(single)) => single.digest == *digest && !single.begun,
            (Act::Diagnostics | Act::Inspect(_), Some(_)) | (Act::Run(_) | Act::InspectOnce(..), None) => false,
        };
        fits && self.abilities.contains(&act.ability()) && self.is_live(now)
    }

    /// Whether its time is not over.
    pub(crate) fn is_live(&self, now: Moment) -> bool {
        now < self.lapses_at()
    }

    /// When it is over if nothing else happens.
    pub(crate) fn lapses_at(&self) -> Moment {
        match &self.single {
            Some(single) if !single.begun => single.establish_until.min(self.stay_until),
            Some(_) | None => self.stay_until,
        }
    }
}
