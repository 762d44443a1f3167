//! From the state of things to what the person sees.

use std::{collections::VecDeque, time::Duration};

use consent::{Grant, Once, Prompt, PromptKind};
use session::agent::{AgentSession, DirectWish, Phase as SessionPhase};
use tokio::sync::watch;
use transport::clock;
use wire::diagnostics::inspect::{About, ExactInspection, Inspect};
use wire::evidence::Event;
use wire::run::ExactRun;
use wire::session::{Ability, GrantEnd, Subject, TechnicianIdentity};
use wire::text::{shown, shown_bytes};
use wire::time::Moment;

use super::wording;
use crate::front::aged::Aged;
use crate::view::{
    ACTIVITY_LINES, AbilityView, ActivityLine, FactView, GrantView, InspectionPromptView, Phase,
    PromptKind as PromptKindView, PromptView, RunPromptView, RunView, TechnicianView, View,
};

/// Keeps the view that the front ends show. Every change is published at once, and so is every notice; nothing else, as each time wakes
/// a terminal or a page.
#[derive(Debug)]
pub(super) struct Stage {
    view: watch::Sender<View>,
    /// What was published last of the session that is on, without the rest of the view.
    session: Option<Aged>,
    activity: VecDeque<ActivityLine>,
}

impl Stage {
    pub(super) fn new(relay: String) -> (Self, watch::Receiver<View>) {
        let view = View { relay, ..blank(Phase::Connecting { detail: "Reaching the relay".to_owned() }) };
        let (view, receiver) = watch::channel(view);
        (Self { view, session: None, activity: VecDeque::new() }, receiver)
    }

    /// Shows a phase in which no session is on.
    pub(super) fn phase(&mut self, phase: Phase) {
        self.session = None;
        self.view.send_modify(|view| {
            view.phase = phase;
            view.technician = None;
            view.grants.clear();
            view.prompt = None;
            view.prompts_waiting = 0;
            view.runs.clear();
            view.connection.clear();
        });
    }

    /// Shows something that the person should know now; `None` takes it away. The same one again is news: an answer that is not taken is
    /// open again once the front end has seen a view after it.
    pub(super) fn notice(&mut self, notice: Option<String>) {
        self.view.send_if_modified(|view| {
            let news = notice.is_some() || view.notice.is_some();
            view.notice = notice;
            news
        });
    }

    /// Shows how the two machines are connected.
    pub(super) fn connection(&mut self, connection: String) {
        self.view.send_if_modified(|view| {
            let changed = view.connection != connection;
            view.connection = connection;
            changed
        });
    }

    /// Adds one line to what happened.
    pub(super) fn happened(&mut self, text: String) {
        if self.activity.len() == ACTIVITY_LINES {
            self.activity.pop_front();
        }
        self.activity.push_back(ActivityLine { time: time_of_day(), text });
        let activity = self.activity.iter().cloned().collect();
        self.view.send_modify(|view| view.activity = activity);
    }

    /// Adds one line to what happened, unless the newest says the same: what is done again and again would leave no room for the rest.
    pub(super) fn goes_on(&mut self, text: String) {
        if self.activity.back().is_none_or(|newest| newest.text != text) {
            self.happened(text);
        }
    }

    /// Shows a session as it stands.
    pub(super) fn session(&mut self, core: &AgentSession, now: Moment) {
        let phase = match core.phase() {
            SessionPhase::Asking => Phase::Asking,
            SessionPhase::Live => Phase::Live,
            SessionPhase::Paused { until } => Phase::Paused { ends_in_ms: milliseconds(until - now) },
            // The end is shown once its record is written.
            SessionPhase::Ending(_) | SessionPhase::Ended(_) => return,
        };
        let runs = core.runs().filter_map(|run| {
            let running_ms = milliseconds(now - run.started_at?);
            Some(RunView { run: run.approved.exact.run, command: command_line(&run.approved.exact), running_ms })
        });
        let session = View {
            technician: Some(technician(core.identity(), core.words_confirmed())),
            grants: core.grants(now).map(|held| grant(held, now)).collect(),
            prompt: core.prompt().map(|open| prompt(open, core.direct_wish(), now)),
            prompts_waiting: core.prompts_waiting(),
            runs: runs.collect(),
            ..blank(phase)
        };
        if self.session.as_ref().is_some_and(|told| told.reads_as(&session, now)) {
            return;
        }
        self.session = Some(Aged::new(session.clone(), now));
        self.view.send_modify(|view| {
            let View { phase, technician, grants, prompt, prompts_waiting, runs, .. } = session;
            (view.phase, view.technician, view.grants) = (phase, technician, grants);
            (view.prompt, view.prompts_waiting, view.runs) = (prompt, prompts_waiting, runs);
        });
    }
}

/// A view of nothing but `phase`.
fn blank(phase: Phase) -> View {
    View {
        phase,
        relay: String::new(),
        technician: None,
        grants: vec![],
        prompt: None,
        prompts_waiting: 0,
        runs: vec![],
        activity: vec![],
        connection: String::new(),
        notice: None,
    }
}

fn technician(identity: &TechnicianIdentity, words_confirmed: bool) -> TechnicianView {
    match identity {
        TechnicianIdentity::Verified { name, organisation } => TechnicianView {
            name: name.shown(),
            organisation: Some(organisation.shown()),
            verified: true,
            words_confirmed,
        },
        TechnicianIdentity::Unverified { claimed_name } => {
            TechnicianView { name: claimed_name.shown(), organisation: None, verified: false, words_confirmed }
        }
    }
}

fn grant(held: &Grant, now: Moment) -> GrantView {
    GrantView {
        grant: held.id,
        abilities: held.abilities.iter().map(|ability| in_words(*ability, true)).collect(),
        remaining_ms: milliseconds(held.stay_until - now),
    }
}

fn in_words(ability: Ability, ticked: bool) -> AbilityView {
    AbilityView { ability: ability.name().to_owned(), words: wording::ability(ability).to_owned(), ticked }
}

/// Only what shows nothing but figures is ticked when a question opens; everything else the person ticks.
fn ticked_at_first(ability: Ability) -> bool {
    matches!(ability, Ability::DiagBasic | Ability::RunR0)
}

fn prompt(open: &Prompt, direct: DirectWish, now: Moment) -> PromptView {
    let ticks = open.abilities.iter().filter(|_| open.once.is_none());
    PromptView {
        prompt: open.id.0,
        digest: open.digest,
        kind: match open.kind {
            PromptKind::Session => PromptKindView::Session,
            PromptKind::Abilities => PromptKindView::Abilities,
            PromptKind::Run => PromptKindView::Run,
            PromptKind::Inspection => PromptKindView::Inspection,
        },
        reason: (open.kind != PromptKind::Inspection).then(|| open.reason.shown()),
        abilities: ticks.map(|ability| in_words(*ability, ticked_at_first(*ability))).collect(),
        run: open.run().map(|approved| run(&approved.exact, open)),
        inspection: match &open.once {
            Some(Once::Inspection(approved)) => Some(inspection(&approved.exact)),
            Some(Once::Run(_)) | None => None,
        },
        lasts: match &open.once {
            Some(Once::Run(_)) => "for this one command, once".to_owned(),
            Some(Once::Inspection(approved)) => wording::reading_lasts(&approved.exact.about).to_owned(),
            None => format!("for at most {}, or until you stop", wording::duration(open.stay)),
        },
        addresses: if open.once.is_some() { String::new() } else { wording::addresses(direct).to_owned() },
        answer_within_ms: milliseconds(open.remaining(now)),
        unlocks_in_ms: milliseconds_up(open.locked_for(now)),
        word: open.word.to_owned(),
        needs_spoken_words: open.needs_spoken_words,
    }
}

fn run(exact: &ExactRun, prompt: &Prompt) -> RunPromptView {
    let variable =
        |variable: &wire::run::Variable| format!("{}={}", shown_bytes(&variable.name), shown_bytes(&variable.value));
    RunPromptView {
        program: shown_bytes(&exact.program),
        target: exact.target.as_deref().map(shown_bytes),
        interpreter: exact.interpreter.as_deref().map(shown_bytes),
        arguments: exact.arguments.iter().map(|argument| shown_bytes(argument)).collect(),
        directory: shown_bytes(&exact.directory),
        user: shown_bytes(&exact.user_name),
        environment: prompt.environment_additions.iter().map(variable).collect(),
        limits: wording::limits(exact.limits),
    }
}

fn inspection(exact: &ExactInspection) -> InspectionPromptView {
    let ExactInspection { what, about, .. } = exact;
    let fact = |name: &str, text: String| FactView { name: name.to_owned(), text };
    let facts = match (what, about) {
        (Inspect::Arguments { pid, .. }, About::Process { name }) => {
            vec![fact("Program", name.shown()), fact("Number", pid.to_string())]
        }
        // Not known to this version, which therefore describes nothing of the kind.
        _ => vec![],
    };
    InspectionPromptView {
        asks: wording::asks_to_read(about).to_owned(),
        facts,
        notes: wording::before_reading(about).into_iter().map(str::to_owned).collect(),
    }
}

/// Program and arguments on one line, for lists; a question shows them one by one instead.
fn command_line(exact: &ExactRun) -> String {
    let mut line = shown_bytes(&exact.program);
    for argument in &exact.arguments {
        line.push(' ');
        let text = shown_bytes(argument);
        if text.is_empty() || text.contains(' ') {
            line.push_str(&format!("\"{text}\""));
        } else {
            line.push_str(&text);
        }
    }
    line
}

/// One line of the person's list for an entry of the log; `None` for what needs no line.
pub(super) fn line_for(event: &Event) -> Option<String> {
    match event {
        Event::Paired { technician, organisation: Some(organisation), .. } => {
            Some(format!("{} of {} attached", shown(technician), shown(organisation)))
        }
        Event::Paired { technician, .. } => Some(format!("Somebody who says to be \"{}\" attached", shown(technician))),
        Event::AskedForAbilities { .. } => Some("The technician asked for access".to_owned()),
        Event::AskedForRun { program, .. } => Some(format!("The technician asked to run {}", shown(program))),
        Event::AskedForInspection { what, about, .. } => {
            Some(format!("The technician asked to read: {what} ({})", shown(about)))
        }
        Event::WordsConfirmed => Some("You confirmed the two words".to_owned()),
        Event::Granted { subject: Subject::Run(_), .. } => Some("You allowed the command".to_owned()),
        Event::Granted { subject: Subject::Inspection(_), .. } => Some("You allowed it, once".to_owned()),
        Event::Granted { abilities, .. } => {
            let what = abilities.iter().map(|ability| wording::in_short(*ability)).collect::<Vec<_>>().join("; ");
            Some(format!("You allowed: {what}"))
        }
        Event::Denied { reason, .. } => Some(format!("Not allowed: {}", wording::denied(*reason))),
        Event::Narrowed { .. } => Some("You took part of an access back".to_owned()),
        Event::GrantEnded { reason, .. } => match reason {
            GrantEnd::Lapsed => Some("The time of an access is over".to_owned()),
            GrantEnd::Revoked => Some("You took an access back".to_owned()),
            GrantEnd::Used | GrantEnd::SessionEnded | _ => None,
        },
        Event::DiagnosticsStarted { .. } => Some("The technician sees how this computer is doing".to_owned()),
        Event::DiagnosticsStopped => Some("The technician no longer sees how this computer is doing".to_owned()),
        Event::Inspecting { what, .. } => Some(format!("The technician reads: {what}")),
        Event::InspectionStopped { .. } => Some("The technician's reading was stopped".to_owned()),
        Event::RunStarting { .. } => Some("The command is starting".to_owned()),
        Event::RunStopping { .. } => Some("The command is being stopped".to_owned()),
        Event::RunFinished { outcome, .. } => Some(format!("The command {}", wording::outcome(outcome))),
        Event::Paused { .. } => Some("Paused, because you were away".to_owned()),
        Event::Resumed => Some("Going on, because you are back".to_owned()),
        Event::Violation { .. } => Some("The technician's program broke the rules".to_owned()),
        Event::DirectAllowed => {
            Some("Your computer and the technician's tell each other their network addresses".to_owned())
        }
        Event::DirectUsed => Some("Your computer and the technician's are connected directly".to_owned()),
        Event::Ended { .. } | _ => None,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Rounded up: a front end that shows a question as open while it is locked for a last part of a millisecond loses a yes.
fn milliseconds_up(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Time of day on this machine's wall, in its time zone.
fn time_of_day() -> String {
    let unix_ms = i64::try_from(clock::wall_time().0).unwrap_or(0);
    let timestamp = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    timestamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_refused_for_the_same_reason_again_is_told_again() {
        let (mut stage, mut views) = Stage::new("the relay".to_owned());
        for _ in 0..2 {
            stage.notice(Some("That is not the word".to_owned()));
            assert!(views.has_changed().unwrap());
            assert_eq!(views.borrow_and_update().notice.as_deref(), Some("That is not the word"));
        }
        stage.notice(None);
        assert!(views.has_changed().unwrap() && views.borrow_and_update().notice.is_none());
        stage.notice(None);
        assert!(!views.has_changed().unwrap(), "there was none before");
    }

    #[test]
    fn a_question_is_locked_until_all_of_its_time_is_over() {
        assert_eq!(milliseconds_up(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds_up(Duration::from_millis(3)), 3);
        assert_eq!(milliseconds_up(Duration::ZERO), 0);
    }
}
