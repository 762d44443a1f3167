//! Inspections as the technician follows them: asked, answered by a stream, or refused by a message.

use std::collections::BTreeMap;

use wire::{
    diagnostics::{inspect::Inspect, sections::probes::ProbeRequest},
    ids::InspectionId,
    limits,
    session::{Ability, DenyReason, EndReason, ToAgent},
    time::Moment,
};

use crate::budget::Budget;

use super::{CommandError, TechnicianEvent, TechnicianProtocolError, TechnicianSession};

/// Inspections that were asked for and are not over.
#[derive(Debug)]
pub(super) struct Inspections {
    last: u32,
    open: BTreeMap<InspectionId, Open>,
    budget: Budget,
}

impl Default for Inspections {
    fn default() -> Self {
        Self { last: 0, open: BTreeMap::new(), budget: Budget::of_questions(Moment::default()) }
    }
}

/// One that is not over.
#[derive(Debug)]
struct Open {
    /// Whether the stream of its answer was opened.
    answered: bool,
    /// Whether it measures the session under load, and no load came yet.
    load_to_come: bool,
    /// The question that the person is asked, if it asks first.
    question: Option<Question>,
}

#[derive(Debug)]
struct Question {
    asks_for: Ability,
    state: Answer,
}

/// How far a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Perhaps behind other questions.
    Waiting,
    /// The person is being asked.
    Asking { answer_by: Moment },
    /// They said yes.
    Allowed,
    /// What they said is known by the answer, whose stream overtook the messages.
    Known,
}

impl Question {
    fn is_open(&self) -> bool {
        matches!(self.state, Answer::Waiting | Answer::Asking { .. })
    }

    /// Whether the agent may still say of it what an agent says of an open question.
    fn may_be_told_of(&self) -> bool {
        self.is_open() || self.state == Answer::Known
    }
}

impl Inspections {
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// The agent says that the person is being asked. Returns whether that can be.
    pub(super) fn asking(&mut self, inspection: InspectionId, answer_by: Moment) -> bool {
        let Some(question) = self.question(inspection).filter(|question| question.may_be_told_of()) else {
            return false;
        };
        let is_new = !matches!(question.state, Answer::Asking { .. });
        if question.state == Answer::Waiting {
            question.state = Answer::Asking { answer_by };
        }
        is_new
    }

    /// What a yes can be to, if the agent may say that there was one.
    pub(super) fn asks_for(&mut self, inspection: InspectionId) -> Option<Ability> {
        self.question(inspection).filter(|question| question.may_be_told_of()).map(|question| question.asks_for)
    }

    /// The person said yes.
    pub(super) fn allowed(&mut self, inspection: InspectionId) {
        match self.question(inspection) {
            Some(Question { state: Answer::Known, .. }) => drop(self.open.remove(&inspection)),
            Some(question) => question.state = Answer::Allowed,
            None => {}
        }
    }

    /// Questions that are not answered, and when silence counts as a no.
    pub(super) fn pending(&self) -> impl Iterator<Item = (InspectionId, Option<Moment>)> {
        self.open.iter().filter_map(|(inspection, open)| match open.question.as_ref()?.state {
            Answer::Waiting => Some((*inspection, None)),
            Answer::Asking { answer_by } => Some((*inspection, Some(answer_by))),
            Answer::Allowed | Answer::Known => None,
        })
    }

    fn question(&mut self, inspection: InspectionId) -> Option<&mut Question> {
        self.open.get_mut(&inspection)?.question.as_mut()
    }
}

impl TechnicianSession {
    /// Asks at `now` for something to be read once.
    ///
    /// # Errors
    ///
    /// [`CommandError::Over`], [`CommandError::Malformed`], [`CommandError::TooMany`] or [`CommandError::TooFast`].
    pub fn inspect(&mut self, what: Inspect, now: Moment) -> Result<InspectionId, CommandError> {
        self.check_open()?;
        if !what.is_sound() {
            return Err(CommandError::Malformed);
        }
        if self.inspections.open.len() >= limits::INSPECTIONS_AT_ONCE {
            return Err(CommandError::TooMany);
        }
        if !self.inspections.budget.spend(1, now) {
            return Err(CommandError::TooFast);
        }
        self.inspections.last += 1;
        let inspection = InspectionId(self.inspections.last);
        let load_to_come = what == Inspect::Probe(ProbeRequest::Load);
        let question = what.asks_for().map(|asks_for| Question { asks_for, state: Answer::Waiting });
        self.inspections.open.insert(inspection, Open { answered: false, load_to_come, question });
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
        match self.inspections.question(inspection).filter(|question| question.is_open()) {
            // Streams are not ordered with messages: the one that it was allowed is still to come.
            Some(question) => question.state = Answer::Known,
            None => drop(self.inspections.open.remove(&inspection)),
        }
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
