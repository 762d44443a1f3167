//! Inspections: wanted by the technician, each read and sent only under a live grant.

use std::collections::BTreeMap;

use consent::Act;
use wire::{
    diagnostics::inspect::Inspect,
    evidence::Event,
    ids::{GrantId, InspectionId},
    limits,
    session::{Ability, DenyReason, ToTechnician},
    time::Moment,
};

use super::{AgentSession, Effect};

#[derive(Debug, Default)]
pub(super) struct Inspections {
    /// Highest number used so far.
    last: Option<InspectionId>,
    /// Those that are under way.
    open: BTreeMap<InspectionId, Open>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    grant: GrantId,
    ability: Ability,
    handed_over: bool,
}

impl Inspections {
    pub(super) fn handed_over(&mut self, inspection: InspectionId) {
        if let Some(open) = self.open.get_mut(&inspection) {
            open.handed_over = true;
        }
    }

    /// Forgets all of them, without a word.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

impl AgentSession {
    /// Whether `ability` is granted at `now`. What an inspection may show beside its own subject goes by this.
    pub fn allows(&self, ability: Ability, now: Moment) -> bool {
        self.end.is_none() && self.consent.covering(&Act::Inspect(ability), now).is_some()
    }

    /// Whether the answer of an inspection may be sent at `now`. The shell asks before it reads, and again before it sends.
    pub fn may_inspect(&self, inspection: InspectionId, now: Moment) -> bool {
        let open = self.inspections.open.get(&inspection).filter(|_| self.end.is_none());
        open.is_some_and(|open| self.consent.covers(open.grant, &Act::Inspect(open.ability), now))
    }

    /// The answer of an inspection was sent.
    pub fn handle_inspected(&mut self, inspection: InspectionId, now: Moment) {
        self.close_inspection(inspection, now);
        self.settle(now);
    }

    /// An inspection could not be read.
    pub fn handle_not_inspected(&mut self, inspection: InspectionId, now: Moment) {
        if self.close_inspection(inspection, now).is_some() {
            self.not_inspected(inspection, DenyReason::InspectionFailed);
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
        let ability = what.ability();
        // A yes to load is for one use, and two at once would measure each other.
        if ability == Ability::DiagLoad && self.inspections.open.values().any(|open| open.ability == ability) {
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
        self.inspections.open.insert(inspection, Open { grant, ability, handed_over: false });
        self.effects.record(Event::Inspecting { inspection, grant, what: what.name() });
        self.effects.push(Effect::Inspect { inspection, what });
    }

    pub(super) fn handle_cancel_inspection(&mut self, inspection: InspectionId, now: Moment) {
        if self.inspections.last.is_none_or(|last| inspection > last) {
            return self.violation("cancelled an inspection that it never asked for", now);
        }
        // One that is over was sent while the message came.
        if let Some(open) = self.close_inspection(inspection, now) {
            let record = self.stop_inspection(inspection, open);
            self.effects.record(record);
            self.not_inspected(inspection, DenyReason::Withdrawn);
        }
    }

    /// Stops every inspection that may not go on. Returns the records of that, which follow later.
    pub(super) fn stop_inspections_unless_covered(&mut self, now: Moment) -> Vec<Event> {
        let uncovered = self.inspections.open.keys().copied().filter(|inspection| !self.may_inspect(*inspection, now));
        let uncovered = uncovered.collect::<Vec<_>>();
        let mut records = Vec::new();
        for inspection in uncovered {
            if let Some(open) = self.close_inspection(inspection, now) {
                records.push(self.stop_inspection(inspection, open));
                if self.end.is_none() {
                    self.not_inspected(inspection, DenyReason::NotGranted);
                }
            }
        }
        records
    }

    /// An inspection is over. What it was allowed for one use is used up.
    fn close_inspection(&mut self, inspection: InspectionId, now: Moment) -> Option<Open> {
        let open = self.inspections.open.remove(&inspection)?;
        if open.ability == Ability::DiagLoad {
            self.consent.use_up(open.grant, open.ability, now);
        }
        Some(open)
    }

    fn stop_inspection(&mut self, inspection: InspectionId, open: Open) -> Event {
        self.effects.forget_start_of_inspection(inspection);
        if open.handed_over {
            self.effects.stop(Effect::StopInspection { inspection });
        }
        Event::InspectionStopped { inspection }
    }

    fn not_inspected(&mut self, inspection: InspectionId, reason: DenyReason) {
        self.effects.send(ToTechnician::NotInspected { inspection, reason });
    }
}
