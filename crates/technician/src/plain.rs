//! A session told in lines, for those who read no screen: scripts, logs, screen readers.

use std::{io, pin::pin};

use crate::{
    exit::Exit,
    output,
    owner::{AttachError, Command, Handle, Outcome},
    signals::Signals,
    status::{ActivityLine, Phase, Standing, Status},
};

/// In which form the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Words.
    Text,
    /// A JSON object each.
    Json,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Told {
    /// The session came to its end, or did not come to stand.
    Ended(Result<Outcome, AttachError>),
    /// The person did not wait for the end.
    LeftAtOnce(Exit),
}

/// Tells a session until it is over. A first signal ends it, a second one leaves at once.
///
/// # Errors
///
/// If signals cannot be taken.
pub(crate) async fn run(
    mut handle: Handle,
    session: impl Future<Output = Result<Outcome, AttachError>>,
    form: Form,
) -> io::Result<Told> {
    let mut session = pin!(session);
    let mut signals = Signals::new()?;
    let mut teller = Teller::default();
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            result = &mut session => {
                let status = std::sync::Arc::clone(&handle.status.borrow());
                show(&mut teller, &status, form);
                return Ok(Told::Ended(result));
            }
            stop = signals.next() => {
                if std::mem::replace(&mut ending, true) {
                    return Ok(Told::LeftAtOnce(Exit::Signal(stop.number())));
                }
                // A session that takes no commands is ending already.
                let _ = handle.commands.try_send(Command::End);
            }
            Ok(()) = handle.status.changed() => {
                let status = std::sync::Arc::clone(&handle.status.borrow_and_update());
                show(&mut teller, &status, form);
            }
        }
    }
}

fn show(teller: &mut Teller, status: &Status, form: Form) {
    let lines = match form {
        Form::Text => teller.lines(status),
        Form::Json => teller.json(status),
    };
    for line in lines {
        // Who reads the lines does not own the session: it goes on when nobody does.
        let _ = output::to_stdout(&line);
    }
}

/// Finds out what is new in each status.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    phase: Option<String>,
    told_words: bool,
    activity_seen: u64,
    json: Option<Status>,
}

impl Teller {
    /// What is new, in words, a line each.
    pub(crate) fn lines(&mut self, status: &Status) -> Vec<String> {
        let mut lines = Vec::new();
        let phase = phase_words(status);
        if self.phase.as_ref() != Some(&phase) {
            lines.push(format!("{phase}\n"));
            self.phase = Some(phase);
        }
        let unproved = matches!(status.technician.standing, Standing::Unknown | Standing::Unverified);
        if let (Some(words), true, false) = (&status.technician.words, unproved, self.told_words) {
            lines.push(format!("if the end user asks for two words, read out: {words}\n"));
            self.told_words = true;
        }
        let total = status.activity_dropped + status.activity.len() as u64;
        let new = usize::try_from(total.saturating_sub(self.activity_seen)).unwrap_or(usize::MAX);
        let skip = status.activity.len().saturating_sub(new);
        lines.extend(status.activity.iter().skip(skip).map(|ActivityLine { text, .. }| format!("{text}\n")));
        self.activity_seen = total;
        lines
    }

    /// The status as a line, if more than the time has changed.
    fn json(&mut self, status: &Status) -> Vec<String> {
        let same = self.json.as_ref().is_some_and(|told| without_times(told) == without_times(status));
        if same {
            return Vec::new();
        }
        self.json = Some(status.clone());
        vec![output::json_line(status)]
    }
}

/// The status with everything that changes by itself taken out.
fn without_times(status: &Status) -> Status {
    let mut status = status.clone();
    status.age_secs = 0;
    status.path.rtt_us = None;
    status.path.lost_permille = None;
    match &mut status.phase {
        Phase::WaitingForAnswer { answer_within_secs } => *answer_within_secs = answer_within_secs.map(|_| 0),
        Phase::Paused { ends_in_secs, .. } => *ends_in_secs = 0,
        Phase::Reconnecting { for_secs, gives_up_in_secs, .. } => (*for_secs, *gives_up_in_secs) = (0, 0),
        Phase::Connecting { .. } | Phase::Live | Phase::Ended { .. } => {}
    }
    for question in &mut status.asking {
        question.answer_within_secs = question.answer_within_secs.map(|_| 0);
    }
    for grant in &mut status.grants {
        grant.remaining_secs = 0;
    }
    for run in &mut status.runs {
        if let crate::status::RunState::Running { for_secs } = &mut run.state {
            *for_secs = 0;
        }
    }
    for line in &mut status.activity {
        line.ago_secs = 0;
    }
    status
}

fn phase_words(status: &Status) -> String {
    match &status.phase {
        Phase::Connecting { detail } => detail.clone(),
        Phase::WaitingForAnswer { .. } => "asking the end user; nothing is shown before they agree".to_owned(),
        Phase::Live => match status.session {
            Some(session) => format!("live: session {session}"),
            None => "live".to_owned(),
        },
        Phase::Paused { .. } => "paused: the end user is away".to_owned(),
        Phase::Reconnecting { detail, .. } => format!("reconnecting: {detail}"),
        Phase::Ended { text, .. } => format!("ended: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::draw::testing;

    #[test]
    fn only_what_is_new_is_told() {
        let mut teller = Teller::default();
        let mut status = testing::status();
        let first = teller.lines(&status);
        assert_eq!(
            first,
            [
                "live: session a5a5a5a5a5a5a5a5\n",
                "if the end user asks for two words, read out: apple river\n",
                "the end user allowed diag.basic for 1 h\n",
                "run 1: exit 0\n",
            ]
        );
        status.age_secs += 1;
        assert_eq!(teller.lines(&status), [""; 0]);
        status.activity.push(ActivityLine { ago_secs: 0, text: "run 2: exit 1".to_owned() });
        status.activity.remove(0);
        status.activity_dropped += 1;
        assert_eq!(teller.lines(&status), ["run 2: exit 1\n"]);
    }

    #[test]
    fn time_alone_makes_no_json_line() {
        let mut teller = Teller::default();
        let mut status = testing::status();
        assert_eq!(teller.json(&status).len(), 1);
        status.age_secs += 1;
        status.grants[0].remaining_secs -= 1;
        status.path.rtt_us = Some(99);
        assert_eq!(teller.json(&status).len(), 0);
        status.grants.clear();
        assert_eq!(teller.json(&status).len(), 1);
    }
}
