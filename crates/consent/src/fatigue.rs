//! Keeps a technician from wearing a person down with questions.

use std::{collections::BTreeMap, time::Duration};

use wire::{session::Ability, time::Moment};

/// After a no, after silence, or after a question that was shown and taken back, the same abilities cannot be asked for again for this
/// long. Runs count as the same ability.
pub const SAME_QUESTION_PAUSE: Duration = Duration::from_secs(30);

/// After this many of them nothing can be asked for [`COOL_DOWN`]; what is open is taken back. Then the count starts again.
pub const DENIALS_BEFORE_COOL_DOWN: u32 = 3;

/// How long nothing can be asked after [`DENIALS_BEFORE_COOL_DOWN`].
pub const COOL_DOWN: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Default)]
pub(crate) struct Fatigue {
    denied: BTreeMap<Ability, Moment>,
    count: u32,
    quiet_until: Moment,
}

/// Whether a no was one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    GoOn,
    CoolDown,
}

impl Fatigue {
    /// Whether a question for `abilities` would come too soon.
    pub(crate) fn refuses(&self, abilities: &[Ability], now: Moment) -> bool {
        let denied = |ability| self.denied.get(ability).is_some_and(|until| now < *until);
        now < self.quiet_until || abilities.iter().any(denied)
    }

    /// Takes note of a no to `abilities`, or of a question for them that the person saw in vain.
    pub(crate) fn denied(&mut self, abilities: &[Ability], now: Moment) -> After {
        for ability in abilities {
            self.denied.insert(*ability, now + SAME_QUESTION_PAUSE);
        }
        self.count += 1;
        if self.count < DENIALS_BEFORE_COOL_DOWN {
            return After::GoOn;
        }
        self.count = 0;
        self.quiet_until = now + COOL_DOWN;
        After::CoolDown
    }
}
