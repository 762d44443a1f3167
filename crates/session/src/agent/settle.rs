//! After every input: stop what is no longer covered, tell what happened, start what is covered now, and end.

use consent::{ConsentEvent, Grant, Once, Prompt};
use wire::{
    diagnostics::inspect::ApprovedInspection,
    evidence::{AnsweredBy, Event},
    ids::Digest,
    run::{ApprovedRun, OutputCount, RunOutcome, Variable},
    session::{DenyReason, EndReason, GrantNotice, Subject, ToTechnician},
    time::Moment,
};

use super::{AgentSession, END_GRACE, Effect, End};

impl AgentSession {
    /// Stops, tells, starts, and ends, in this order.
    pub(super) fn settle(&mut self, now: Moment) {
        if self.end_reason().is_some() {
            return;
        }
        // What is told may end the session, which stops more.
        loop {
            let records = self.stop_uncovered(now);
            let told = self.tell(now);
            let stopped = !records.is_empty();
            for record in records {
                self.effects.record(record);
            }
            if !told && !stopped {
                break;
            }
            self.effects.changed();
        }
        self.start_stream_if_covered(now);
        if let Some(End { reason, waits_until: Some(until) }) = self.end {
            self.finish_end_when_quiet(reason, until, now);
        }
    }

    /// Decides that the session ends. What that means is carried out by [`AgentSession::settle`].
    pub(super) fn begin_end(&mut self, reason: EndReason, now: Moment) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(End { reason, waits_until: Some(now + END_GRACE) });
        self.consent.end(Self::grant_end(reason), now);
        self.effects.forget_lookups();
        self.forget_unapproved();
        self.effects.changed();
    }

    fn finish_end_when_quiet(&mut self, reason: EndReason, until: Moment, now: Moment) {
        if self.waits_for_runs() && now < until {
            return;
        }
        for run in self.going_runs() {
            self.finish_run(run, RunOutcome::Lost, OutputCount::default(), OutputCount::default(), now);
        }
        self.end = Some(End { reason, waits_until: None });
        self.effects.record(Event::Ended { reason });
        self.effects.send(ToTechnician::Ended { reason });
        self.effects.push(Effect::Ended(reason));
    }

    /// The log cannot be written: kills come out, and nothing else but the end.
    pub(super) fn end_without_records(&mut self, now: Moment) {
        if self.told_end {
            return;
        }
        let reason = EndReason::AuditFailed;
        self.end = Some(End { reason, waits_until: None });
        self.consent.end(Self::grant_end(reason), now);
        self.stop_uncovered(now);
        while self.consent.poll_event().is_some() {}
        self.runs.clear();
        self.inspections.clear();
        self.effects.keep_only_stops();
        self.effects.send(ToTechnician::Ended { reason });
        self.effects.push(Effect::Ended(reason));
    }

    /// Queues every stop that is due, and returns the records of them.
    fn stop_uncovered(&mut self, now: Moment) -> Vec<Event> {
        let mut records = self.kill_uncovered(now);
        records.extend(self.stop_stream_unless_covered(now));
        records.extend(self.stop_inspections_unless_covered(now));
        self.close_direct_unless_covered(now);
        records
    }

    /// Records and sends what happened to questions and grants. Returns whether anything did.
    fn tell(&mut self, now: Moment) -> bool {
        let mut told = false;
        while let Some(event) = self.consent.poll_event() {
            told = true;
            self.tell_event(event, now);
        }
        told
    }

    fn tell_event(&mut self, event: ConsentEvent, now: Moment) {
        match event {
            ConsentEvent::Asked(prompt) => self.asked(&prompt),
            ConsentEvent::WordsConfirmed => self.effects.record(Event::WordsConfirmed),
            ConsentEvent::Granted { grant, once, prompt, answered_by } => {
                self.granted(&grant, once.map(|once| *once), prompt, answered_by);
            }
            ConsentEvent::Denied { subject, reason } => self.denied(subject, reason, now),
            ConsentEvent::Narrowed { grant, abilities } => {
                self.effects.record(Event::Narrowed { grant, abilities: abilities.clone() });
                self.effects.send(ToTechnician::Narrowed { grant, abilities });
            }
            ConsentEvent::GrantEnded { grant, reason } => {
                self.effects.record(Event::GrantEnded { grant, reason });
                self.effects.send(ToTechnician::GrantEnded { grant, reason });
            }
            ConsentEvent::Paused { reason, ends_at } => {
                self.effects.record(Event::Paused { reason });
                self.effects.send(ToTechnician::Paused { reason, ends_in_secs: whole_secs(ends_at, now) });
            }
            ConsentEvent::Resumed => {
                self.effects.record(Event::Resumed);
                self.effects.send(ToTechnician::Resumed);
            }
            ConsentEvent::Over(reason) => self.begin_end(reason, now),
            // An event of a newer consent core that this machine does not know how to record: nothing may follow from it.
            _ => self.begin_end(EndReason::Shutdown, now),
        }
    }

    fn asked(&mut self, prompt: &Prompt) {
        let record = match &prompt.once {
            None => Event::AskedForAbilities {
                subject: prompt.subject,
                abilities: prompt.abilities.clone(),
                reason: prompt.reason.raw().to_owned(),
                prompt: prompt.digest,
            },
            Some(Once::Inspection(ApprovedInspection { exact, digest })) => Event::AskedForInspection {
                inspection: exact.inspection,
                what: exact.what.name(),
                about: exact.about.name().raw().to_owned(),
                digest: *digest,
                prompt: prompt.digest,
            },
            Some(Once::Run(ApprovedRun { exact, digest })) => Event::AskedForRun {
                run: exact.run,
                reason: prompt.reason.raw().to_owned(),
                program: recorded(&exact.program),
                arguments: exact.arguments.iter().map(|argument| recorded(argument)).collect(),
                directory: recorded(&exact.directory),
                user: recorded(&exact.user_name),
                environment: exact.environment.iter().map(recorded_variable).collect(),
                limits: exact.limits,
                digest: *digest,
                prompt: prompt.digest,
            },
        };
        self.effects.record(record);
        let answer_within_secs = whole_secs(prompt.deadline, prompt.shown_at);
        self.effects.send(ToTechnician::Asking { subject: prompt.subject, answer_within_secs });
    }

    fn granted(&mut self, grant: &Grant, once: Option<Once>, prompt: Digest, answered_by: AnsweredBy) {
        let (id, subject, abilities) = (grant.id, grant.subject, grant.abilities.clone());
        let stay_secs = whole_secs(grant.stay_until, grant.given_at);
        let notice = GrantNotice { grant: id, subject, abilities: abilities.clone(), stay_secs };
        self.effects.record(Event::Granted { grant: id, subject, abilities, stay_secs, prompt, answered_by });
        self.effects.send(ToTechnician::Granted(notice));
        self.allowed |= subject == self.first;
        match once {
            Some(Once::Run(approved)) => self.start_run(approved.exact.run, approved, id),
            Some(Once::Inspection(approved)) => self.start_inspection(approved, id),
            None => {}
        }
    }

    pub(super) fn denied(&mut self, subject: Subject, reason: DenyReason, now: Moment) {
        self.effects.deny(subject, reason);
        self.effects.changed();
        match subject {
            Subject::Run(run) => drop(self.runs.remove(&run)),
            Subject::Inspection(inspection) => self.inspections.forget(inspection),
            Subject::Request(_) => {}
        }
        if subject == self.first && !self.allowed {
            self.begin_end(end_after_first_denial(reason), now);
        }
    }
}

/// How a session ends whose first request was denied.
fn end_after_first_denial(reason: DenyReason) -> EndReason {
    match reason {
        DenyReason::ByUser | DenyReason::NotVerified => EndReason::DeniedByUser,
        DenyReason::NoAnswer => EndReason::NoAnswer,
        DenyReason::Withdrawn => EndReason::ByTechnician,
        DenyReason::Malformed => EndReason::Protocol,
        DenyReason::NoPrompt | DenyReason::Away => EndReason::UserAway,
        DenyReason::Ceiling
        | DenyReason::Policy
        | DenyReason::TooMany
        | DenyReason::TooSoon
        | DenyReason::NotYet
        | DenyReason::Proposal(_)
        | DenyReason::ProgramNotFound
        | DenyReason::ProgramNotExecutable
        | DenyReason::NoDirectory => EndReason::NotAllowed,
        DenyReason::LookupFailed | _ => EndReason::NotAllowed,
    }
}

/// Seconds from `from` to `to`, rounded down: nobody is told of more time than there is.
fn whole_secs(to: Moment, from: Moment) -> u32 {
    u32::try_from((to - from).as_secs()).unwrap_or(u32::MAX)
}

/// Bytes as they stand in the log: text as it is, every byte that is no UTF-8 as `\xNN`. The digest beside it tells what was meant.
fn recorded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

fn recorded_variable(variable: &Variable) -> String {
    format!("{}={}", recorded(&variable.name), recorded(&variable.value))
}
