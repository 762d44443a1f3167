//! What waits to be carried out.

use std::collections::VecDeque;

use wire::{
    evidence::Event,
    ids::{InspectionId, RunId},
    path::DirectOffer,
    session::{DenyReason, Subject, ToTechnician},
};

use super::Effect;

/// Two queues: what stops something overtakes everything else.
#[derive(Debug, Default)]
pub(super) struct Effects {
    stops: VecDeque<Effect>,
    queue: VecDeque<Effect>,
}

impl Effects {
    pub(super) fn pop(&mut self) -> Option<Effect> {
        self.pop_stop().or_else(|| self.queue.pop_front())
    }

    pub(super) fn pop_stop(&mut self) -> Option<Effect> {
        self.stops.pop_front()
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.queue.push_back(effect);
    }

    pub(super) fn record(&mut self, event: Event) {
        self.push(Effect::Record(event));
    }

    pub(super) fn send(&mut self, message: ToTechnician) {
        self.push(Effect::Send(message));
    }

    pub(super) fn deny(&mut self, subject: Subject, reason: DenyReason) {
        self.record(Event::Denied { subject, reason });
        self.send(match subject {
            Subject::Inspection(inspection) => ToTechnician::NotInspected { inspection, reason },
            Subject::Request(_) | Subject::Run(_) => ToTechnician::Denied { subject, reason },
        });
    }

    /// Puts `effect`, which stops something, before everything that starts something.
    pub(super) fn stop(&mut self, effect: Effect) {
        self.stops.push_back(effect);
    }

    /// Says once that what a person sees changed.
    pub(super) fn changed(&mut self) {
        self.queue.retain(|effect| *effect != Effect::PromptsChanged);
        self.push(Effect::PromptsChanged);
    }

    /// Takes back the start of a run that was not handed out yet.
    pub(super) fn forget_start_of(&mut self, run: RunId) {
        self.queue.retain(|effect| !matches!(effect, Effect::StartRun { approved, .. } if approved.exact.run == run));
    }

    /// Takes back a start of the stream, and what is looked at in it, that was not handed out yet.
    pub(super) fn forget_start_of_stream(&mut self) {
        self.queue.retain(|effect| !matches!(effect, Effect::StartDiagnostics { .. } | Effect::Look { .. }));
    }

    /// Takes back the start of an inspection that was not handed out yet.
    pub(super) fn forget_start_of_inspection(&mut self, inspection: InspectionId) {
        self.queue
            .retain(|effect| !matches!(effect, Effect::Inspect { inspection: queued, .. } if *queued == inspection));
    }

    /// Takes back what would open a direct path or tell an address, and was not handed out yet.
    pub(super) fn forget_direct(&mut self) {
        self.queue.retain(|effect| {
            let tells = matches!(effect, Effect::Send(ToTechnician::Direct(DirectOffer::Candidates(_))));
            !tells && !matches!(effect, Effect::OpenDirect { .. })
        });
    }

    /// Takes back lookups: nobody will be asked any more.
    pub(super) fn forget_lookups(&mut self) {
        self.queue.retain(|effect| !matches!(effect, Effect::Resolve(_) | Effect::Describe { .. }));
    }

    /// Takes everything back but what stops something.
    pub(super) fn keep_only_stops(&mut self) {
        self.queue.clear();
    }
}
