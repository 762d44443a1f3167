//! Inspections as the technician follows them: asked, answered by a stream, or refused by a message.

use std::collections::BTreeMap;

use wire::{
    diagnostics::{inspect::Inspect, sections::probes::ProbeRequest},
    ids::InspectionId,
    limits,
    session::{DenyReason, EndReason, ToAgent},
};

use super::{CommandError, TechnicianEvent, TechnicianProtocolError, TechnicianSession};

/// Inspections that were asked for and are not over.
#[derive(Debug, Default)]
pub(super) struct Inspections {
    last: u32,
    open: BTreeMap<InspectionId, Open>,
}

/// One that is not over.
#[derive(Debug, Default)]
struct Open {
    /// Whether the stream of its answer was opened.
    answered: bool,
    /// Whether it measures the session under load, and no load came yet.
    load_to_come: bool,
}

impl Inspections {
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }
}

impl TechnicianSession {
    /// Asks for something to be read once.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`], [`CommandError::TooMany`] or [`CommandError::Malformed`].
    pub fn inspect(&mut self, what: Inspect) -> Result<InspectionId, CommandError> {
        self.check_open()?;
        if !what.is_sound() {
            return Err(CommandError::Malformed);
        }
        if self.inspections.open.len() >= limits::INSPECTIONS_AT_ONCE {
            return Err(CommandError::TooMany);
        }
        self.inspections.last += 1;
        let inspection = InspectionId(self.inspections.last);
        let load_to_come = what == Inspect::Probe(ProbeRequest::Load);
        self.inspections.open.insert(inspection, Open { answered: false, load_to_come });
        self.transmits.push_back(ToAgent::Inspect { inspection, what });
        Ok(inspection)
    }

    /// Says that the answer of an inspection is no longer wanted. Nothing happens if it is over.
    pub fn cancel_inspection(&mut self, inspection: InspectionId) {
        if self.inspections.open.contains_key(&inspection) && self.check_open().is_ok() {
            self.transmits.push_back(ToAgent::CancelInspection { inspection });
        }
    }

    /// Takes the stream of an inspection's answer, which the agent opened.
    ///
    /// # Errors
    ///
    /// It was never asked for, is over, or was answered already.
    pub fn open_inspection(&mut self, inspection: InspectionId) -> Result<(), TechnicianProtocolError> {
        let error = match self.inspections.open.get_mut(&inspection) {
            Some(open) if open.answered => TechnicianProtocolError::InspectionTwice { inspection },
            Some(open) => {
                open.answered = true;
                return Ok(());
            }
            // The refusal may have overtaken the stream that it broke off.
            None if (1..=self.inspections.last).contains(&inspection.0) => return Ok(()),
            None => TechnicianProtocolError::UnknownInspection { inspection },
        };
        self.close(EndReason::Protocol);
        Err(error)
    }

    /// Takes the stream of an inspection's load, which the agent opened. Returns whether it is still wanted.
    ///
    /// # Errors
    ///
    /// It was never asked for, or came already.
    pub fn open_load(&mut self, inspection: InspectionId) -> Result<bool, TechnicianProtocolError> {
        match self.inspections.open.get_mut(&inspection) {
            Some(open) if open.load_to_come => {
                open.load_to_come = false;
                return Ok(true);
            }
            // The refusal may have overtaken the stream that it broke off.
            None if (1..=self.inspections.last).contains(&inspection.0) => return Ok(false),
            Some(_) | None => {}
        }
        self.close(EndReason::Protocol);
        Err(TechnicianProtocolError::UnknownLoad { inspection })
    }

    /// The answer of an inspection came, or its stream broke off.
    pub fn finish_inspection(&mut self, inspection: InspectionId) {
        self.inspections.open.remove(&inspection);
    }

    pub(super) fn not_inspected(
        &mut self,
        inspection: InspectionId,
        reason: DenyReason,
    ) -> Result<(), TechnicianProtocolError> {
        if !(1..=self.inspections.last).contains(&inspection.0) {
            return Err(TechnicianProtocolError::UnknownInspection { inspection });
        }
        // One whose answer came just before is over already.
        if self.inspections.open.remove(&inspection).is_some() {
            self.events.push_back(TechnicianEvent::NotInspected { inspection, reason });
        }
        Ok(())
    }
}
