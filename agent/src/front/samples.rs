//! Views for the tests of the front ends.

use wire::{
    ids::{Digest, GrantId, RunId},
    session::Ability,
};

use crate::view::{
    AbilityView, ActivityLine, FactView, GrantView, InspectionPromptView, Phase, PromptKind, PromptView, RunPromptView,
    RunView, TechnicianView, View,
};

pub(crate) const CODE_MS: u64 = 572_000;
pub(crate) const GRANT_MS: u64 = 6_480_000;
pub(crate) const RUNNING_MS: u64 = 8_000;
pub(crate) const DIGEST: Digest = Digest([0x5a; 32]);

pub(crate) fn view(phase: Phase) -> View {
    View {
        phase,
        relay: "relay.example:4433".into(),
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

pub(crate) fn waiting() -> View {
    view(Phase::Waiting { code: "4821 936 0427".into(), expires_in_ms: CODE_MS })
}

pub(crate) fn ana() -> TechnicianView {
    let organisation = Some("ACME Support".into());
    TechnicianView { name: "Ana Ruiz".into(), organisation, verified: true, words_confirmed: false }
}

pub(crate) fn stranger() -> TechnicianView {
    let name = "Windows Security Department".into();
    TechnicianView { name, organisation: None, verified: false, words_confirmed: false }
}

pub(crate) fn ability(ability: Ability, words: &str, ticked: bool) -> AbilityView {
    AbilityView { ability: ability.name().into(), words: words.into(), ticked }
}

/// Open at once, two minutes to answer, three abilities of which the last is not ticked.
pub(crate) fn prompt() -> PromptView {
    PromptView {
        prompt: 3,
        digest: DIGEST,
        kind: PromptKind::Session,
        reason: Some("You said that everything is slow since this morning.".into()),
        abilities: vec![
            ability(Ability::DiagBasic, "See how this computer is doing", true),
            ability(Ability::RunR0, "Run checks that only read", true),
            ability(Ability::DiagLogs, "Read log lines of this computer", false),
        ],
        run: None,
        inspection: None,
        lasts: "for at most 2 hours, or until you stop".into(),
        addresses: "Everything goes through the relay.".into(),
        answer_within_ms: 120_000,
        unlocks_in_ms: 0,
        word: "river".into(),
        needs_spoken_words: false,
    }
}

pub(crate) fn asking(technician: TechnicianView) -> View {
    View { technician: Some(technician), prompt: Some(prompt()), ..view(Phase::Asking) }
}

/// Locked for ten seconds, one minute to answer.
pub(crate) fn run_prompt() -> PromptView {
    PromptView {
        kind: PromptKind::Run,
        reason: Some("The print queue hangs on one job.".into()),
        abilities: vec![],
        run: Some(RunPromptView {
            program: "/usr/bin/find".into(),
            target: Some("/opt/tools/find.sh".into()),
            interpreter: Some("/bin/sh -e".into()),
            arguments: ["/var/spool/cups", "-name", "", "*.tmp  ", "say \"hi\"", "-delete"].map(String::from).to_vec(),
            directory: "/home/mia".into(),
            user: "mia".into(),
            environment: vec!["LC_ALL=C".into()],
            limits: "at most 60 seconds, 512 MiB of memory, 1024 KiB of each output".into(),
        }),
        lasts: "for this one command, once".into(),
        addresses: String::new(),
        answer_within_ms: 60_000,
        unlocks_in_ms: 10_000,
        ..prompt()
    }
}

/// Locked for three seconds.
pub(crate) fn reading_prompt() -> PromptView {
    let fact = |name: &str, text: &str| FactView { name: name.into(), text: text.into() };
    PromptView {
        kind: PromptKind::Inspection,
        reason: None,
        abilities: vec![],
        inspection: Some(InspectionPromptView {
            asks: "to see what one program was started with".into(),
            facts: vec![fact("Program", "mysqld"), fact("Number", "4711")],
            notes: vec!["It can hold passwords.".into(), "It is shown once.".into()],
        }),
        lasts: "for this one program, once".into(),
        addresses: String::new(),
        unlocks_in_ms: 3_000,
        ..prompt()
    }
}

pub(crate) fn live() -> View {
    let health = ability(Ability::DiagBasic, "See how this computer is doing", true);
    let checks = ability(Ability::RunR0, "Run checks that only read", true);
    View {
        technician: Some(ana()),
        grants: vec![GrantView { grant: GrantId(1), abilities: vec![health, checks], remaining_ms: GRANT_MS }],
        runs: vec![RunView { run: RunId(4), command: "/usr/bin/journalctl -u cups".into(), running_ms: RUNNING_MS }],
        activity: vec![
            ActivityLine { time: "14:02:11".into(), text: "Ana Ruiz of ACME Support attached".into() },
            ActivityLine { time: "14:02:40".into(), text: "You allowed: diag.basic, run.r0".into() },
        ],
        connection: "Through the relay, end to end encrypted".into(),
        ..view(Phase::Live)
    }
}

pub(crate) fn live_with_run_prompt() -> View {
    View { prompt: Some(run_prompt()), ..live() }
}

pub(crate) fn live_with_reading_prompt() -> View {
    View { prompt: Some(reading_prompt()), ..live() }
}

pub(crate) fn ended() -> View {
    let receipt = Some("/home/mia/.local/state/assent/sessions/5be10c77.jsonl".into());
    view(Phase::Ended { reason: "You ended the session.".into(), receipt })
}
