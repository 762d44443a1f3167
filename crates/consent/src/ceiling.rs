//! What the device and the organisation ever allow: the two layers above a person's answer.

use std::{collections::BTreeMap, time::Duration};

use wire::session::{Ability, DenyReason};

/// How long one yes lasts at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// To the end of the session.
    Session,
    /// This long, and then the person is asked again.
    AtMost(Duration),
    /// One use: one run, one transfer. Every use is its own question, so such an ability is never part of a request.
    OneUse,
}

/// How long a yes to `ability` lasts unless the device says otherwise.
pub fn usual_stay(ability: Ability) -> Stay {
    const HALF_HOUR: Duration = Duration::from_secs(30 * 60);
    const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
    match ability {
        Ability::DiagBasic | Ability::RunR0 => Stay::Session,
        Ability::DiagLogs
        | Ability::DiagNetwork
        | Ability::DiagProcess
        | Ability::DiagNames
        | Ability::DiagIdentifiers
        | Ability::ScreenView
        | Ability::TermView => Stay::AtMost(HALF_HOUR),
        Ability::ScreenControl
        | Ability::TermControl
        | Ability::Tunnel
        | Ability::RebootReconnect
        // And for one use in that time, see `Consent::use_up`.
        | Ability::DiagLoad => Stay::AtMost(QUARTER_HOUR),
        Ability::FileRead
        | Ability::FileWrite
        | Ability::RunR1
        | Ability::RunR2
        | Ability::RunR3
        | Ability::AdhocArgv
        | Ability::DiagArguments
        | Ability::Elevate => Stay::OneUse,
        // Newer than this table: the narrowest there is.
        _ => Stay::OneUse,
    }
}

/// Whether every use of `ability` is asked for by itself, so that no request may name it.
pub fn asked_with_each_use(ability: Ability) -> bool {
    usual_stay(ability) == Stay::OneUse
}

/// Whether `ability` only looks: all that an unverified technician gets before the person confirmed the two words.
pub fn view_only(ability: Ability) -> bool {
    match ability {
        Ability::DiagBasic
        | Ability::DiagLogs
        | Ability::DiagNetwork
        | Ability::DiagProcess
        | Ability::DiagNames
        | Ability::DiagIdentifiers
        | Ability::DiagLoad
        | Ability::ScreenView
        | Ability::TermView
        | Ability::RunR0 => true,
        Ability::ScreenControl
        | Ability::TermControl
        | Ability::FileRead
        | Ability::FileWrite
        | Ability::Tunnel
        | Ability::RunR1
        | Ability::RunR2
        | Ability::RunR3
        | Ability::AdhocArgv
        | Ability::Elevate
        | Ability::RebootReconnect
        // Passwords stand there.
        | Ability::DiagArguments => false,
        _ => false,
    }
}

/// What can ever be granted on this device, and the times that bound every question and every session.
///
/// The owner of the device sets it; nothing that arrives over the network changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    stays: BTreeMap<Ability, Stay>,
    longest_session: Duration,
    run_unlock_delay: Duration,
    unlock_delay: Duration,
    first_answer_within: Duration,
    answer_within: Duration,
    absence_grace: Duration,
}

/// A time that no ceiling may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {given:?}; it must be {min:?} to {max:?}")]
pub struct CeilingError {
    /// Which setting.
    pub what: &'static str,
    /// What was asked for.
    pub given: Duration,
    /// Least.
    pub min: Duration,
    /// Most.
    pub max: Duration,
}

impl Ceiling {
    /// Allows nothing. Times have their defaults: sessions of 4 h, 10 s before a run can be allowed, 1 s before anything else can, 120 s to
    /// answer, 60 s of absence.
    pub fn closed() -> Self {
        Self {
            stays: BTreeMap::new(),
            longest_session: Duration::from_secs(4 * 3600),
            run_unlock_delay: Duration::from_secs(10),
            unlock_delay: Duration::from_secs(1),
            first_answer_within: Duration::from_secs(120),
            answer_within: Duration::from_secs(120),
            absence_grace: Duration::from_secs(60),
        }
    }

    /// What attended help can do: live diagnostics for the session, on request logs, the network, single processes, names and serial
    /// numbers for half an hour, the speed of the connection once, and single commands and the arguments of single processes, each approved
    /// by itself.
    ///
    /// A command counts as a run of class r3. Its first safeguard, a delay before it can be allowed, is here; the second, a second
    /// technician's approval, needs two technicians in one session and comes with the hand-over of sessions.
    pub fn attended() -> Self {
        [
            Ability::DiagBasic,
            Ability::DiagLogs,
            Ability::DiagNetwork,
            Ability::DiagProcess,
            Ability::DiagNames,
            Ability::DiagIdentifiers,
            Ability::DiagLoad,
            Ability::DiagArguments,
            Ability::AdhocArgv,
        ]
        .into_iter()
        .fold(Self::closed(), Self::allow)
    }

    /// Adds `ability` with its [`usual_stay`].
    #[must_use]
    pub fn allow(self, ability: Ability) -> Self {
        self.allow_for(ability, usual_stay(ability))
    }

    /// Adds `ability`. One that is asked for with each use stays so, whatever `stay` says.
    #[must_use]
    pub fn allow_for(mut self, ability: Ability, stay: Stay) -> Self {
        let stay = if asked_with_each_use(ability) { Stay::OneUse } else { stay };
        self.stays.insert(ability, stay);
        self
    }

    /// Sets how long a session lasts at most, one minute to one day. Default 4 h.
    ///
    /// # Errors
    ///
    /// Out of range.
    pub fn with_longest_session(mut self, longest: Duration) -> Result<Self, CeilingError> {
        self.longest_session = within("the longest session", longest, 60, 86_400)?;
        Ok(self)
    }

    /// Sets how long a run is on the screen before it can be allowed, 1 s to 60 s. Default 10 s.
    ///
    /// # Errors
    ///
    /// Out of range.
    pub fn with_run_unlock_delay(mut self, delay: Duration) -> Result<Self, CeilingError> {
        self.run_unlock_delay = within("the unlock delay of runs", delay, 1, 60)?;
        Ok(self)
    }

    /// Sets how long the first question of a session and each later one wait for an answer, 10 s to 10 min each. Default 120 s.
    /// Silence is a no.
    ///
    /// # Errors
    ///
    /// Out of range.
    pub fn with_answer_time(mut self, first: Duration, later: Duration) -> Result<Self, CeilingError> {
        self.first_answer_within = within("the time for the first answer", first, 10, 600)?;
        self.answer_within = within("the time for an answer", later, 10, 600)?;
        Ok(self)
    }

    /// Whether this device ever allows `ability`.
    pub fn allows(&self, ability: Ability) -> bool {
        self.stays.contains_key(&ability)
    }

    /// How long one yes to `ability` lasts at most; `None` if there is never one.
    pub fn longest_stay(&self, ability: Ability) -> Option<Stay> {
        self.stays.get(&ability).copied()
    }

    /// How long a session lasts at most.
    pub fn longest_session(&self) -> Duration {
        self.longest_session
    }

    /// How long a run is on the screen before it can be allowed.
    pub fn run_unlock_delay(&self) -> Duration {
        self.run_unlock_delay
    }

    /// How long any other question is on the screen before it can be allowed: typing or a click that was meant for something else
    /// must not answer it.
    pub fn unlock_delay(&self) -> Duration {
        self.unlock_delay
    }

    /// How long the first question of a session waits for an answer.
    pub fn first_answer_within(&self) -> Duration {
        self.first_answer_within
    }

    /// How long every other question waits for an answer, counted from the moment at which it is shown. A run waits at least
    /// 20 s longer than its unlock delay.
    pub fn answer_within(&self) -> Duration {
        self.answer_within
    }

    /// How long the person may be away before the session ends.
    pub fn absence_grace(&self) -> Duration {
        self.absence_grace
    }
}

fn within(what: &'static str, given: Duration, min_secs: u64, max_secs: u64) -> Result<Duration, CeilingError> {
    let (min, max) = (Duration::from_secs(min_secs), Duration::from_secs(max_secs));
    if (min..=max).contains(&given) { Ok(given) } else { Err(CeilingError { what, given, min, max }) }
}

/// What an organisation says about one ability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rule {
    /// The person is asked.
    #[default]
    Ask,
    /// It is never granted.
    Never,
}

/// What the end user's organisation says about its devices. It can only take away from the [`Ceiling`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    rules: BTreeMap<Ability, Rule>,
}

impl Policy {
    /// The policy of a device without an organisation: ask about everything.
    pub fn ask() -> Self {
        Self::default()
    }

    /// Sets the rule for `ability`. A [`Rule::Never`] that stands already is not lifted: deny wins.
    #[must_use]
    pub fn rule(mut self, ability: Ability, rule: Rule) -> Self {
        let merged = match (self.of(ability), rule) {
            (Rule::Never, Rule::Ask | Rule::Never) | (Rule::Ask, Rule::Never) => Rule::Never,
            (Rule::Ask, Rule::Ask) => Rule::Ask,
        };
        self.rules.insert(ability, merged);
        self
    }

    /// The rule for `ability`.
    pub fn of(&self, ability: Ability) -> Rule {
        self.rules.get(&ability).copied().unwrap_or_default()
    }
}

/// Whether device and organisation let the person be asked for `ability` at all.
pub(crate) fn layers(ceiling: &Ceiling, policy: &Policy, ability: Ability) -> Result<(), DenyReason> {
    if !ceiling.allows(ability) {
        return Err(DenyReason::Ceiling);
    }
    match policy.of(ability) {
        Rule::Ask => Ok(()),
        Rule::Never => Err(DenyReason::Policy),
    }
}
