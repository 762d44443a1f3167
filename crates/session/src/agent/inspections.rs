//! Inspections: wanted by the technician, each read and sent only under a live grant. Some ask the person first, each time.

use std::collections::BTreeMap;

use consent::Act;
use rand_core::CryptoRngCore;
use wire::{
    diagnostics::inspect::{About, ApprovedInspection, ExactInspection, Inspect},
    evidence::Event,
    ids::{GrantId, InspectionId},
    limits,
    session::{Ability, DenyReason, Subject, ToTechnician},
    time::Moment,
};

use super::{AgentSession, Effect};

#[derive(Debug, Default)]
pub(super) struct Inspections {
    /// Highest number used so far.
    last: Option<InspectionId>,
    /// Those that are not over.
    open: BTreeMap<InspectionId, Open>,
}

/// An inspection that is not over.
#[derive(Debug)]
enum Open {
    /// The shell finds out what the person would be asked about.
    Described(Inspect),
    /// The person is asked, or will be. Meanwhile this has to stay granted.
    Asked(Ability),
    /// It is being read or sent.
    Going(Going),
}

#[derive(Debug, Clone, Copy)]
struct Going {
    /// What has to stay granted.
    ability: Ability,
    cover: Cover,
    handed_over: bool,
}

/// What covers an inspection.
#[derive(Debug, Clone, Copy)]
enum Cover {
    /// A grant of its ability.
    Standing(GrantId),
    /// The person's yes to exactly this act, beside whatever grants its ability.
    Once { grant: GrantId, act: Act, begun: bool },
}

impl Inspections {
    pub(super) fn handed_over(&mut self, inspection: InspectionId) {
        if let Some(Open::Going(going)) = self.open.get_mut(&inspection) {
            going.handed_over = true;
        }
    }

    /// Forgets one that nobody allowed.
    pub(super) fn forget(&mut self, inspection: InspectionId) {
        self.open.remove(&inspection);
    }

    /// Forgets all of them, without a word.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    fn going(&self, inspection: InspectionId) -> Option<&Going> {
        match self.open.get(&inspection)? {
            Open::Going(going) => Some(going),
            Open::Described(_) | Open::Asked(_) => None,
        }
    }
}

impl AgentSession {
    /// Whether `ability` is granted at `now`. What an inspection may show beside its own subject goes by this.
    pub fn allows(&self, ability: Ability, now: Moment) -> bool {
        self.end.is_none() && self.consent.covering(&Act::Inspect(ability), now).is_some()
    }

    /// Answer to [`Effect::Describe`]: what the person would be asked about, or why they cannot be.
    ///
    /// An inspection that was withdrawn meanwhile is forgotten.
    pub fn handle_described(
        &mut self,
        inspection: InspectionId,
        described: Result<About, DenyReason>,
        now: Moment,
        rng: &mut dyn CryptoRngCore,
    ) {
        self.consent.handle_timeout(now);
        if let Some(Open::Described(what)) = self.inspections.open.get(&inspection) {
            let (subject, what) = (Subject::Inspection(inspection), what.clone());
            match described {
                Ok(about) => {
                    self.inspections.open.insert(inspection, Open::Asked(what.ability()));
                    let exact = ExactInspection { inspection, what, about };
                    if let Err(reason) = self.consent.ask_inspection(exact, now, rng) {
                        self.denied(subject, reason, now);
                    }
                }
                Err(reason) => self.consent.refuse(subject, reason, now),
            }
        }
        self.settle(now);
    }

    /// Whether an inspection that was handed out may be read at `now`. The shell asks right before it reads. A yes to one inspection is
    /// used up by this.
    pub fn begin_inspection(&mut self, inspection: InspectionId, now: Moment) -> bool {
        if !self.may_inspect(inspection, now) {
            return false;
        }
        match self.inspections.open.get_mut(&inspection) {
            Some(Open::Going(Going { cover: Cover::Once { grant, act, begun }, .. })) => {
                let begins = self.consent.begin(*grant, act, now);
                *begun |= begins;
                begins
            }
            Some(Open::Going(Going { cover: Cover::Standing(_), .. })) => true,
            Some(Open::Described(_) | Open::Asked(_)) | None => false,
        }
    }

    /// Whether the answer of an inspection may be sent at `now`. The shell asks before it sends.
    pub fn may_inspect(&self, inspection: InspectionId, now: Moment) -> bool {
        let going = self.inspections.going(inspection).filter(|_| self.end.is_none());
        going.is_some_and(|going| match going.cover {
            Cover::Standing(grant) => self.consent.covers(grant, &Act::Inspect(going.ability), now),
            Cover::Once { grant, act, begun } => {
                let covered =
                    if begun { self.consent.is_live(grant, now) } else { self.consent.covers(grant, &act, now) };
                covered && self.allows(going.ability, now)
            }
        })
    }

    /// The answer of an inspection was sent.
    pub fn handle_inspected(&mut self, inspection: InspectionId, now: Moment) {
        if let Some(going) = self.take_going(inspection) {
            self.use_up(going, now);
        }
        self.settle(now);
    }

    /// An inspection could not be read, or its answer may not be sent.
    pub fn handle_not_inspected(&mut self, inspection: InspectionId, reason: DenyReason, now: Moment) {
        if let Some(going) = self.take_going(inspection) {
            self.not_inspected(inspection, reason);
            self.use_up(going, now);
        }
        self.settle(now);
    }

    pub(super) fn handle_inspect(&mut self, inspection: InspectionId, what: Inspect, now: Moment) {
        if self.inspections.last.is_some_and(|last| inspection <= last) {
            return self.violation("used the number of an inspection again", now);
        }
        self.inspections.last = Some(inspection);
        if !what.is_sound() {
            return self.not_inspected(inspection, DenyReason::Malformed);
        }
        if self.inspections.open.len() >= limits::INSPECTIONS_AT_ONCE {
            return self.not_inspected(inspection, DenyReason::TooMany);
        }
        if what.asks_for().is_some() {
            return self.describe(inspection, what, now);
        }
        let ability = what.ability();
        // A yes to load is for one use, and two at once would measure each other.
        if ability == Ability::DiagLoad && self.inspections.open.values().any(|open| open.ability() == ability) {
            return self.not_inspected(inspection, DenyReason::TooMany);
        }
        let Some(grant) = self.consent.covering(&Act::Inspect(ability), now) else {
            let reason = match (self.allowed, self.consent.paused_until()) {
                (false, _) => DenyReason::NotYet,
                (true, Some(_)) => DenyReason::Away,
                (true, None) => DenyReason::NotGranted,
            };
            return self.not_inspected(inspection, reason);
        };
        if matches!(what, Inspect::Probe(_)) && !self.probes.spend(1, now) {
            return self.not_inspected(inspection, DenyReason::TooOften);
        }
        self.read(inspection, (what, None), Cover::Standing(grant), grant);
    }

    /// The person is to be asked first; but about what?
    fn describe(&mut self, inspection: InspectionId, what: Inspect, now: Moment) {
        if let Err(reason) = self.consent.announce_inspection(inspection, &what, now) {
            return self.denied(Subject::Inspection(inspection), reason, now);
        }
        self.inspections.open.insert(inspection, Open::Described(what.clone()));
        self.effects.push(Effect::Describe { inspection, what });
    }

    /// The person said yes to exactly this.
    pub(super) fn start_inspection(&mut self, approved: ApprovedInspection, grant: GrantId) {
        let ApprovedInspection { exact: ExactInspection { inspection, what, about }, digest } = approved;
        if let Some(asks_for) = what.asks_for() {
            let cover = Cover::Once { grant, act: Act::InspectOnce(asks_for, digest), begun: false };
            self.read(inspection, (what, Some(about)), cover, grant);
        }
    }

    /// Records and reads it.
    fn read(
        &mut self,
        inspection: InspectionId,
        (what, about): (Inspect, Option<About>),
        cover: Cover,
        grant: GrantId,
    ) {
        let going = Going { ability: what.ability(), cover, handed_over: false };
        self.inspections.open.insert(inspection, Open::Going(going));
        self.effects.record(Event::Inspecting { inspection, grant, what: what.name() });
        self.effects.push(Effect::Inspect { inspection, what, about });
    }

    pub(super) fn handle_cancel_inspection(&mut self, inspection: InspectionId, now: Moment) {
        if self.inspections.last.is_none_or(|last| inspection > last) {
            return self.violation("cancelled an inspection that it never asked for", now);
        }
        if let Some(going) = self.take_going(inspection) {
            let record = self.stop_inspection(inspection, going, now);
            self.effects.record(record);
            self.not_inspected(inspection, DenyReason::Withdrawn);
        } else {
            // One that is over was sent while the message came: then nothing is open.
            self.consent.withdraw(Subject::Inspection(inspection), now);
        }
    }

    /// Stops every inspection that may not go on, and takes back questions to which a yes would be in vain. Returns the records of what
    /// was stopped, which follow later.
    pub(super) fn stop_inspections_unless_covered(&mut self, now: Moment) -> Vec<Event> {
        let mut records = Vec::new();
        for inspection in self.inspections.open.keys().copied().collect::<Vec<_>>() {
            match self.inspections.open.get(&inspection) {
                Some(Open::Going(going)) if !self.may_inspect(inspection, now) => {
                    let going = *going;
                    self.inspections.forget(inspection);
                    records.push(self.stop_inspection(inspection, going, now));
                    if self.end.is_none() {
                        self.not_inspected(inspection, DenyReason::NotGranted);
                    }
                }
                Some(Open::Described(_) | Open::Asked(_)) if self.end.is_some() => self.inspections.forget(inspection),
                Some(open @ (Open::Described(_) | Open::Asked(_))) if !self.is_held(open.ability(), now) => {
                    self.inspections.forget(inspection);
                    self.consent.take_back(Subject::Inspection(inspection), DenyReason::NotGranted, now);
                }
                Some(_) | None => {}
            }
        }
        records
    }

    /// Whether something grants `ability`, whether or not the person is away: they may come back and answer.
    fn is_held(&self, ability: Ability, now: Moment) -> bool {
        self.consent.grants(now).any(|grant| grant.once().is_none() && grant.abilities.contains(&ability))
    }

    fn take_going(&mut self, inspection: InspectionId) -> Option<Going> {
        let going = *self.inspections.going(inspection)?;
        self.inspections.forget(inspection);
        Some(going)
    }

    fn stop_inspection(&mut self, inspection: InspectionId, going: Going, now: Moment) -> Event {
        self.effects.forget_start_of_inspection(inspection);
        if going.handed_over {
            self.effects.stop(Effect::StopInspection { inspection });
        }
        self.use_up(going, now);
        Event::InspectionStopped { inspection }
    }

    /// A yes to one inspection is over with it, and so is what was allowed for one use.
    fn use_up(&mut self, going: Going, now: Moment) {
        match going.cover {
            Cover::Once { grant, .. } => self.consent.finish(grant, now),
            Cover::Standing(grant) if going.ability == Ability::DiagLoad => {
                self.consent.use_up(grant, going.ability, now);
            }
            Cover::Standing(_) => {}
        }
    }

    fn not_inspected(&mut self, inspection: InspectionId, reason: DenyReason) {
        self.effects.send(ToTechnician::NotInspected { inspection, reason });
    }
}

impl Open {
    /// What has to be granted for it.
    fn ability(&self) -> Ability {
        match self {
            Self::Described(what) => what.ability(),
            Self::Asked(ability) => *ability,
            Self::Going(going) => going.ability,
        }
    }
}
