//! The consent page in a real browser: a scripted session on one side, a person with a keyboard on the other.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::PathBuf;

use agent::{
    front::browser::BrowserFrontEnd,
    view::{
        AbilityView, ActivityLine, FactView, GrantView, InspectionPromptView, Phase, PromptKind, PromptView,
        RunPromptView, RunView, TechnicianView, UserAct, View,
    },
};
use consent::{Answer, PromptId, Proof, Verdict};
use fantoccini::key::Key;
use testkit::{PATIENCE, browser::Browser};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use wire::{
    ids::{Digest, GrantId, RunId},
    session::{Ability, Absence},
};

const DIGEST: Digest = Digest([0x5a; 32]);

/// Names that try to be more than text.
const HOSTILE: &str = "<img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}&lt;b&gt;'\"`";

/// A page, what it shows and what it sent.
struct Stage {
    view: watch::Sender<View>,
    acts: mpsc::Receiver<UserAct>,
    front: BrowserFrontEnd,
    browser: Browser,
}

impl Stage {
    async fn open(view: View) -> Self {
        Self::open_with(view, &[]).await
    }

    async fn open_with(view: View, switches: &[&str]) -> Self {
        let (view, shown) = watch::channel(view);
        let (sender, acts) = mpsc::channel(16);
        let front = BrowserFrontEnd::start(shown, sender).await.unwrap();
        let browser = Browser::start_with(switches).await.unwrap();
        browser.open(&front.url().expose()).await.unwrap();
        let mut stage = Self { view, acts, front, browser };
        timeout(PATIENCE, stage.front.first_page()).await.unwrap();
        assert_eq!(stage.act().await, UserAct::Present);
        stage
    }

    /// What the person did next.
    async fn act(&mut self) -> UserAct {
        timeout(PATIENCE, self.acts.recv()).await.expect("the page sends something").unwrap()
    }

    /// Presses keys at whatever has the focus, one after the other.
    async fn press(&self, keys: &[Key]) {
        for key in keys {
            self.browser.type_keys(&String::from(char::from(*key))).await.unwrap();
        }
    }

    async fn script(&self, script: &str) -> serde_json::Value {
        self.browser.client().execute(script, vec![]).await.unwrap()
    }

    /// Presses Tab until the element with this id has the focus.
    async fn tab_to(&self, id: &str) {
        for _ in 0..40 {
            if self.focus().await == id {
                return;
            }
            self.press(&[Key::Tab]).await;
        }
        panic!("Tab does not reach #{id}; the focus is on #{}", self.focus().await);
    }

    async fn focus(&self) -> String {
        self.script("return document.activeElement.id").await.as_str().unwrap().to_owned()
    }

    /// Waits until Allow can be pressed.
    async fn unlocked(&self) {
        self.browser.find("#allow:not([disabled])").await.unwrap();
    }

    async fn picture(&self, name: &str) {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("consent-page");
        tokio::fs::create_dir_all(&dir).await.unwrap();
        let png = self.browser.screenshot().await.unwrap();
        tokio::fs::write(dir.join(format!("{name}.png")), png).await.unwrap();
    }

    /// Ends the test: the page broke none of its own rules and logged nothing.
    async fn finish(self) {
        assert_eq!(self.browser.console().await.unwrap(), []);
        self.front.shutdown().await;
    }
}

fn view(phase: Phase) -> View {
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

fn waiting() -> View {
    view(Phase::Waiting { code: "4821 936 0427".into(), expires_in_ms: 572_000 })
}

fn ana() -> TechnicianView {
    let organisation = Some("ACME Support".into());
    TechnicianView { name: "Ana Ruiz".into(), organisation, verified: true, words_confirmed: false }
}

fn stranger() -> TechnicianView {
    let name = "Windows Security Department".into();
    TechnicianView { name, organisation: None, verified: false, words_confirmed: false }
}

fn ability(ability: Ability, words: &str, ticked: bool) -> AbilityView {
    AbilityView { ability: ability.name().into(), words: words.into(), ticked }
}

fn health() -> AbilityView {
    let words = "See how this computer is doing: its name and model, processor, memory, disks, network traffic, \
                 temperatures and the names of the busiest programs";
    ability(Ability::DiagBasic, words, true)
}

fn prompt(kind: PromptKind) -> PromptView {
    PromptView {
        prompt: 3,
        digest: DIGEST,
        kind,
        reason: Some("You said that everything is slow since this morning.".into()),
        abilities: vec![
            health(),
            ability(Ability::RunR0, "Run checks that only read", true),
            ability(Ability::DiagLogs, "Read log lines of this computer", false),
        ],
        run: None,
        inspection: None,
        lasts: "for at most 2 hours, or until you stop".into(),
        addresses: "Everything goes through the relay; your network address is not shown to the technician.".into(),
        answer_within_ms: 117_000,
        unlocks_in_ms: 0,
        word: "river".into(),
        needs_spoken_words: false,
    }
}

fn run_prompt() -> PromptView {
    PromptView {
        reason: Some("The print queue hangs on one job.".into()),
        abilities: vec![ability(Ability::AdhocArgv, "Run one command, exactly as shown", true)],
        run: Some(RunPromptView {
            program: "/usr/bin/find".into(),
            target: Some("/opt/tools/find.sh".into()),
            interpreter: Some("/bin/sh -e".into()),
            arguments: ["/var/spool/cups", "-name", "", "*.tmp  ", "-delete"].map(String::from).to_vec(),
            directory: "/home/mia".into(),
            user: "mia".into(),
            environment: vec!["LC_ALL=C".into(), "EMPTY=".into()],
            limits: "at most 60 seconds, 512 MiB of memory, 1024 KiB of each output".into(),
        }),
        lasts: "for this one command, once".into(),
        addresses: String::new(),
        ..prompt(PromptKind::Run)
    }
}

fn reading_prompt() -> PromptView {
    let fact = |name: &str, text: &str| FactView { name: name.into(), text: text.into() };
    PromptView {
        reason: None,
        abilities: vec![],
        inspection: Some(InspectionPromptView {
            asks: "to see what one program was started with".into(),
            facts: vec![fact("Program", "mysqld"), fact("Number", "4711")],
            notes: vec!["It can hold passwords.".into(), "It is shown once.".into()],
        }),
        lasts: "for this one program, once".into(),
        addresses: String::new(),
        ..prompt(PromptKind::Inspection)
    }
}

fn asking(technician: TechnicianView) -> View {
    let connection = "Through the relay, end to end encrypted".into();
    let prompt = Some(prompt(PromptKind::Session));
    View { technician: Some(technician), prompt, connection, ..view(Phase::Asking) }
}

fn live() -> View {
    let line = |time: &str, text: &str| ActivityLine { time: time.into(), text: text.into() };
    let logs = ability(Ability::DiagLogs, "Read log lines of this computer", false);
    let checks = ability(Ability::RunR0, "Run checks that only read", false);
    View {
        technician: Some(ana()),
        grants: vec![
            GrantView { grant: GrantId(1), abilities: vec![health(), checks], remaining_ms: 6_480_000 },
            GrantView { grant: GrantId(2), abilities: vec![logs], remaining_ms: 1_471_000 },
        ],
        runs: vec![RunView {
            run: RunId(4),
            command: "/usr/bin/journalctl -u cups --since today".into(),
            running_ms: 8_000,
        }],
        activity: vec![
            line("14:02:11", "Ana Ruiz used your code"),
            line("14:02:40", "You allowed: see how this computer is doing; run checks that only read"),
            line("14:03:05", "You allowed: read log lines of this computer, for 30 minutes"),
            line("14:05:12", "/usr/bin/journalctl -u cups --since today started"),
        ],
        connection: "Through the relay, end to end encrypted".into(),
        ..view(Phase::Live)
    }
}

fn ended() -> View {
    let receipt = Some("/home/mia/.local/state/assent/sessions/2026-11-22T14-02-11Z-5be10c77.jsonl".into());
    View { activity: live().activity, ..view(Phase::Ended { reason: "You ended the session.".into(), receipt }) }
}

/// A yes to the question that [`prompt`] and [`run_prompt`] make.
fn yes(abilities: &[Ability], spoken_words: Option<&str>) -> UserAct {
    let spoken_words = spoken_words.map(str::to_owned);
    let verdict = Verdict::Allow { abilities: abilities.to_vec(), proof: Proof::Page, spoken_words };
    UserAct::Answer(Answer { prompt: PromptId(3), digest: DIGEST, verdict })
}

fn no() -> UserAct {
    UserAct::Answer(Answer { prompt: PromptId(3), digest: DIGEST, verdict: Verdict::Deny })
}

#[tokio::test]
async fn a_question_is_allowed_in_part_with_the_keyboard_alone() {
    let mut stage = Stage::open(waiting()).await;
    stage.view.send_replace(asking(ana()));
    stage.browser.sees("May Ana Ruiz connect to this computer?").await.unwrap();
    assert_eq!(stage.focus().await, "question-title", "the heading has the focus, not Allow");
    stage.unlocked().await;

    let mut boxes = Vec::new();
    for _ in 0..3 {
        stage.press(&[Key::Tab]).await;
        boxes.push(stage.script("return document.activeElement.value").await);
    }
    assert_eq!(boxes, ["diag.basic", "run.r0", "diag.logs"]);
    stage.press(&[Key::Space]).await;
    stage.press(&[Key::Tab]).await;
    assert_eq!(stage.focus().await, "deny", "no comes before yes");
    stage.press(&[Key::Tab]).await;
    assert_eq!(stage.focus().await, "allow");
    stage.press(&[Key::Space]).await;
    assert_eq!(stage.act().await, yes(&[Ability::DiagBasic, Ability::RunR0, Ability::DiagLogs], None));
    stage.finish().await;
}

#[tokio::test]
async fn the_enter_key_never_allows() {
    let mut stage = Stage::open(asking(ana())).await;
    stage.unlocked().await;
    for _ in 0..3 {
        stage.press(&[Key::Enter, Key::Tab]).await;
    }
    stage.press(&[Key::Enter]).await;
    stage.tab_to("allow").await;
    stage.press(&[Key::Enter, Key::Return, Key::Enter]).await;
    // Acts arrive in order: had Enter allowed, the yes would come first.
    stage.press(&[Key::Escape]).await;
    assert_eq!(stage.act().await, no());
    stage.finish().await;
}

#[tokio::test]
async fn the_person_denies_with_the_keyboard_alone() {
    let mut stage = Stage::open(waiting()).await;
    stage.view.send_replace(asking(stranger()));
    stage.browser.sees("We could not check who this is").await.unwrap();
    stage.tab_to("deny").await;
    stage.press(&[Key::Enter]).await;
    assert_eq!(stage.act().await, no(), "a no needs no waiting");
    stage.view.send_replace(view(Phase::CodeVoid { reason: "You said no.".into() }));
    stage.browser.sees("The code is no longer valid").await.unwrap();
    stage.tab_to("new-code").await;
    stage.press(&[Key::Enter]).await;
    assert_eq!(stage.act().await, UserAct::NewCode);
    stage.finish().await;
}

#[tokio::test]
async fn assistive_technology_is_told_what_is_asked() {
    let stage = Stage::open(asking(ana())).await;
    let browser = &stage.browser;
    let question = browser.find("#question").await.unwrap();
    assert_eq!(browser.role(&question).await.unwrap(), "alertdialog");
    assert_eq!(browser.label(&question).await.unwrap(), "May Ana Ruiz connect to this computer?");
    let about = browser.find("#question-about").await.unwrap().text().await.unwrap();
    assert!(about.contains("ACME Support vouches that this is Ana Ruiz."), "{about}");
    assert!(about.contains("You said that everything is slow"), "{about}");
    let addresses = browser.find("#addresses").await.unwrap();
    assert!(addresses.is_displayed().await.unwrap());
    assert!(addresses.text().await.unwrap().contains("your network address is not shown to the technician"));
    let described = question.attr("aria-describedby").await.unwrap().unwrap_or_default();
    assert!(described.split(' ').any(|id| id == "addresses"), "{described}");
    for (id, role, label) in [
        ("#stop", "button", "Stop"),
        ("#deny", "button", "Deny"),
        ("#allow", "button", "Allow"),
        ("#abilities", "group", "If you allow it, they may"),
        ("#abilities input[value='diag.logs']", "checkbox", "Read log lines of this computer"),
        ("#announce", "status", ""),
        ("#bar-chips", "list", "Allowed now"),
    ] {
        if id == "#bar-chips" {
            stage.view.send_replace(live());
            browser.find("#bar-chips li").await.unwrap();
        }
        let element = browser.find(id).await.unwrap();
        assert_eq!(browser.role(&element).await.unwrap(), role, "{id}");
        assert_eq!(browser.label(&element).await.unwrap(), label, "{id}");
    }
    let label = browser.label(&browser.find("#grants-list li:last-child button").await.unwrap()).await.unwrap();
    assert_eq!(label, "Take back: Read log lines of this computer");
    stage.finish().await;
}

#[tokio::test]
async fn stop_is_the_first_thing_that_tab_reaches() {
    let mut stage = Stage::open(live()).await;
    stage.browser.sees("Running now").await.unwrap();
    stage.press(&[Key::Tab]).await;
    assert_eq!(stage.focus().await, "stop");
    stage.press(&[Key::Enter]).await;
    assert_eq!(stage.act().await, UserAct::Stop);
    stage.browser.find("#stop").await.unwrap().click().await.unwrap();
    assert_eq!(stage.act().await, UserAct::Stop);
    stage.press(&[Key::Tab]).await;
    let chord = format!("{}s{}", char::from(Key::Alt), char::from(Key::Null));
    stage.browser.type_keys(&chord).await.unwrap();
    assert_eq!(stage.act().await, UserAct::Stop, "Alt+S does it from everywhere");
    stage.finish().await;
}

#[tokio::test]
async fn nothing_can_be_allowed_before_the_question_unlocks() {
    let locked = View { prompt: Some(PromptView { unlocks_in_ms: 600_000, ..run_prompt() }), ..live() };
    let mut stage = Stage::open(locked.clone()).await;
    stage.browser.sees("Take your time to read. You can allow in ").await.unwrap();
    let allow = stage.browser.find("#allow").await.unwrap();
    assert!(!allow.is_enabled().await.unwrap());
    // Neither a click that a script makes nor any key.
    stage.script("document.getElementById('allow').click()").await;
    stage.press(&[Key::Space, Key::Enter]).await;

    let unlocked = View { prompt: Some(run_prompt()), ..locked };
    stage.view.send_replace(unlocked);
    stage.unlocked().await;
    // Not even now is a click of a script the person's.
    stage.script("document.getElementById('allow').click()").await;
    allow.click().await.unwrap();
    assert_eq!(stage.act().await, yes(&[Ability::AdhocArgv], None), "nothing came before");
    stage.finish().await;
}

#[tokio::test]
async fn a_new_question_has_to_be_looked_at_anew() {
    let mut stage = Stage::open(asking(ana())).await;
    stage.unlocked().await;
    stage.tab_to("allow").await;
    // Another question takes the place of this one at the moment in which the person presses the key.
    let other = PromptView { prompt: 4, digest: Digest([7; 32]), reason: Some("Another one.".into()), ..run_prompt() };
    stage.view.send_replace(View { prompt: Some(other), ..live() });
    stage.browser.sees("Another one.").await.unwrap();
    assert_eq!(stage.focus().await, "question-title");
    assert!(!stage.browser.find("#allow").await.unwrap().is_enabled().await.unwrap());
    stage.press(&[Key::Space, Key::Escape]).await;
    let verdict = Verdict::Deny;
    assert_eq!(stage.act().await, UserAct::Answer(Answer { prompt: PromptId(4), digest: Digest([7; 32]), verdict }));
    stage.finish().await;
}

#[tokio::test]
async fn the_two_words_go_with_the_answer() {
    let mut unknown = asking(stranger());
    unknown.prompt.as_mut().unwrap().needs_spoken_words = true;
    let mut stage = Stage::open(unknown).await;
    stage.browser.sees("Type the two words first.").await.unwrap();
    assert!(!stage.browser.find("#allow").await.unwrap().is_enabled().await.unwrap());
    stage.tab_to("words-input").await;
    stage.browser.type_keys("apple river").await.unwrap();
    stage.press(&[Key::Enter]).await;
    stage.unlocked().await;
    stage.tab_to("allow").await;
    stage.press(&[Key::Space]).await;
    assert_eq!(stage.act().await, yes(&[Ability::DiagBasic, Ability::RunR0], Some("apple river")));
    stage.finish().await;
}

#[tokio::test]
async fn a_refused_answer_can_be_given_again() {
    let mut stage = Stage::open(asking(ana())).await;
    stage.unlocked().await;
    let allow = stage.browser.find("#allow").await.unwrap();
    allow.click().await.unwrap();
    assert_eq!(stage.act().await, yes(&[Ability::DiagBasic, Ability::RunR0], None));
    stage.browser.sees("Sent. Waiting for the program").await.unwrap();
    assert!(!allow.is_enabled().await.unwrap(), "one press is one answer");
    stage.view.send_replace(View { notice: Some("That was not taken.".into()), ..asking(ana()) });
    stage.browser.sees("That was not taken.").await.unwrap();
    stage.unlocked().await;
    stage.script("document.querySelector('#abilities input').click()").await;
    allow.click().await.unwrap();
    assert_eq!(stage.act().await, yes(&[Ability::RunR0], None));
    stage.finish().await;
}

#[tokio::test]
async fn a_command_is_shown_part_by_part() {
    let stage = Stage::open(View { prompt: Some(run_prompt()), ..live() }).await;
    stage.browser.sees("This runs exactly as shown, once").await.unwrap();
    let lines = "return [...document.querySelectorAll('#run-command li')].map((line) =>
        [line.firstChild.textContent, line.lastChild.textContent, line.lastChild.className].join('|'))";
    assert_eq!(
        stage.script(lines).await,
        serde_json::json!([
            "Program|/usr/bin/find|part",
            "Leads to|/opt/tools/find.sh|part",
            "A script for|/bin/sh -e|part",
            "Argument 1|/var/spool/cups|part",
            "Argument 2|-name|part",
            "Argument 3|“” (an empty argument)|empty",
            "Argument 4|*.tmp  |part",
            "Argument 5|-delete|part",
        ])
    );
    let facts = stage.browser.find("#run-facts").await.unwrap().text().await.unwrap();
    for fact in ["/home/mia", "mia", "LC_ALL=C", "EMPTY=", "at most 60 seconds"] {
        assert!(facts.contains(fact), "{facts}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_reading_is_shown_with_what_the_computer_found_and_allowed_as_it_is() {
    let mut stage = Stage::open(View { prompt: Some(reading_prompt()), ..live() }).await;
    stage.browser.sees("to see what one program was started with").await.unwrap();
    let facts = stage.browser.find("#reading-facts").await.unwrap().text().await.unwrap();
    assert!(facts.contains("mysqld") && facts.contains("4711"), "{facts}");
    let notes = stage.browser.find("#reading-notes").await.unwrap().text().await.unwrap();
    assert!(notes.contains("It can hold passwords.") && notes.contains("It is shown once."), "{notes}");
    stage.browser.sees("If you allow it, that counts for this one program, once.").await.unwrap();
    let hidden = "return ['reason', 'no-reason', 'abilities', 'run'].map((id) => document.getElementById(id).hidden)";
    assert_eq!(stage.script(hidden).await, serde_json::json!([true, true, true, true]));
    stage.unlocked().await;
    stage.tab_to("allow").await;
    stage.press(&[Key::Space]).await;
    assert_eq!(stage.act().await, yes(&[], None));

    let hostile = "<img src=x onerror=alert(1)>";
    let mut prompt = PromptView { prompt: 4, ..reading_prompt() };
    prompt.inspection.as_mut().unwrap().facts[0].text = hostile.into();
    stage.view.send_replace(View { prompt: Some(prompt), ..live() });
    stage.browser.sees(hostile).await.unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn letters_that_run_the_other_way_do_not_reorder_a_command() {
    let there = || "a \u{5d0}\u{5d1} - 1 > \u{627}\u{628} b".to_owned();
    let run = RunPromptView {
        target: None,
        interpreter: None,
        program: there(),
        arguments: vec![there()],
        directory: there(),
        user: there(),
        environment: vec![there()],
        limits: "at most 60 seconds".to_owned(),
    };
    let asking = View { prompt: Some(PromptView { run: Some(run), ..run_prompt() }), ..live() };
    let mut running = live();
    running.runs = vec![RunView { run: RunId(1), command: there(), running_ms: 0 }];
    let stage = Stage::open(asking).await;
    // Whether each character stands to the right of the one before it.
    let in_order = |parts: &str| {
        format!(
            "return [...document.querySelectorAll('{parts}')].filter((part) => part.textContent.startsWith('a ')).map((part) => {{
                const range = document.createRange();
                const lefts = [...part.textContent].map((_, index) => {{
                    range.setStart(part.firstChild, index);
                    range.setEnd(part.firstChild, index + 1);
                    return range.getBoundingClientRect().left;
                }});
                return lefts.every((left, index) => index === 0 || left > lefts[index - 1]);
            }})"
        )
    };
    stage.browser.sees("This runs exactly as shown, once").await.unwrap();
    let parts = in_order("#run-command .part, #run-facts .part");
    assert_eq!(stage.script(&parts).await, serde_json::json!([true, true, true, true, true]));
    stage.view.send_replace(running);
    stage.browser.sees(&there()).await.unwrap();
    assert_eq!(stage.script(&in_order("#runs-list code")).await, serde_json::json!([true]));
    stage.finish().await;
}

#[tokio::test]
async fn hostile_text_stays_text_everywhere() {
    let hostile = || HOSTILE.to_owned();
    let name =
        TechnicianView { name: hostile(), organisation: Some(hostile()), verified: true, words_confirmed: false };
    let words = AbilityView { ability: hostile(), words: hostile(), ticked: true };
    let run = RunPromptView {
        program: hostile(),
        target: Some(hostile()),
        interpreter: Some(hostile()),
        arguments: vec![hostile(), hostile()],
        directory: hostile(),
        user: hostile(),
        environment: vec![hostile()],
        limits: hostile(),
    };
    let question = |technician: TechnicianView, prompt: PromptView| View {
        technician: Some(technician),
        grants: vec![GrantView { grant: GrantId(1), abilities: vec![words.clone()], remaining_ms: 60_000 }],
        prompt: Some(PromptView {
            reason: Some(hostile()),
            lasts: hostile(),
            addresses: hostile(),
            word: hostile(),
            ..prompt
        }),
        runs: vec![RunView { run: RunId(1), command: hostile(), running_ms: 0 }],
        activity: vec![ActivityLine { time: hostile(), text: hostile() }],
        connection: hostile(),
        notice: Some(hostile()),
        ..view(Phase::Live)
    };
    let abilities = vec![words.clone()];
    let views = [
        view(Phase::Connecting { detail: hostile() }),
        view(Phase::Waiting { code: hostile(), expires_in_ms: 1000 }),
        view(Phase::CodeVoid { reason: hostile() }),
        question(name.clone(), PromptView { run: Some(run), ..run_prompt() }),
        question(
            TechnicianView { verified: false, ..name },
            PromptView { prompt: 4, abilities, ..prompt(PromptKind::Session) },
        ),
        view(Phase::Ended { reason: hostile(), receipt: Some(hostile()) }),
    ];
    let stage = Stage::open(waiting()).await;
    for hostile_view in views {
        stage.view.send_replace(hostile_view);
        stage.browser.sees(HOSTILE).await.unwrap();
        let foreign =
            "return document.querySelectorAll('img, script:not([src=\"/page.js\"]), [onerror], [style]').length";
        assert_eq!(stage.script(foreign).await, 0);
        stage.press(&[]).await;
    }
    stage.finish().await;
}

#[tokio::test]
async fn rights_are_taken_back_one_by_one() {
    let mut stage = Stage::open(live()).await;
    let press = async |row: &str| stage.browser.find(row).await.unwrap().click().await.unwrap();
    press("#grants-list li:nth-child(1) button").await;
    assert_eq!(
        timeout(PATIENCE, stage.acts.recv()).await.unwrap(),
        Some(UserAct::Narrow(GrantId(1), vec![Ability::RunR0])),
        "the rest of the grant stays"
    );
    press("#grants-list li:nth-child(3) button").await;
    assert_eq!(timeout(PATIENCE, stage.acts.recv()).await.unwrap(), Some(UserAct::Revoke(GrantId(2))));
    press("#runs-list li button").await;
    assert_eq!(timeout(PATIENCE, stage.acts.recv()).await.unwrap(), Some(UserAct::StopRun(RunId(4))));

    // The list follows the view, and a row that stays keeps the focus.
    stage.tab_to("stop").await;
    stage.press(&[Key::Tab]).await;
    let kept = stage.script("return document.activeElement.getAttribute('aria-label')").await;
    let mut fewer = live();
    fewer.grants.pop();
    stage.view.send_replace(fewer);
    stage.browser.find("#grants-list li:nth-child(2):last-child").await.unwrap();
    assert_eq!(stage.script("return document.activeElement.getAttribute('aria-label')").await, kept);
    stage.view.send_replace(View { grants: vec![], runs: vec![], ..live() });
    stage.browser.sees("Nothing. They can only ask.").await.unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn a_second_tab_is_told_and_can_take_over_once_the_first_is_gone() {
    let mut stage = Stage::open(asking(ana())).await;
    let client = stage.browser.client().clone();
    let first = client.window().await.unwrap();
    let second = client.new_window(true).await.unwrap().handle;
    client.switch_to_window(second.clone()).await.unwrap();
    stage.browser.open(&stage.front.url().expose()).await.unwrap();
    stage.browser.sees("Assent is open in another tab").await.unwrap();
    stage.browser.find("#retry").await.unwrap().click().await.unwrap();
    stage.browser.sees("Assent is open in another tab").await.unwrap();
    // Stop works from wherever the person happens to be.
    stage.browser.find("#stop").await.unwrap().click().await.unwrap();
    assert_eq!(stage.act().await, UserAct::Stop);

    client.switch_to_window(first).await.unwrap();
    client.close_window().await.unwrap();
    client.switch_to_window(second).await.unwrap();
    assert_eq!(stage.act().await, UserAct::Away(Absence::PageClosed));
    stage.browser.find("#retry").await.unwrap().click().await.unwrap();
    assert_eq!(stage.act().await, UserAct::Present);
    stage.unlocked().await;
    stage.browser.find("#allow").await.unwrap().click().await.unwrap();
    assert_eq!(stage.act().await, yes(&[Ability::DiagBasic, Ability::RunR0], None));
    // The refusal of the second tab is the only line in the console.
    let console = stage.browser.console().await.unwrap();
    assert!(console.iter().all(|line| line.message.contains("409")), "{console:?}");
    stage.front.shutdown().await;
}

#[tokio::test]
async fn a_page_that_is_left_means_that_the_person_is_away() {
    let mut stage = Stage::open(live()).await;
    stage.browser.sees("Running now").await.unwrap();
    stage.browser.open("about:blank").await.unwrap();
    assert_eq!(stage.act().await, UserAct::Away(Absence::PageClosed));
    stage.browser.client().back().await.unwrap();
    assert_eq!(stage.act().await, UserAct::Present);
    stage.browser.sees("Running now").await.unwrap();
    stage.finish().await;
}

#[tokio::test]
async fn a_reloaded_page_goes_on_where_it_was() {
    let mut stage = Stage::open(asking(ana())).await;
    stage.unlocked().await;
    stage.browser.client().refresh().await.unwrap();
    stage.unlocked().await;
    stage.browser.find("#allow").await.unwrap().click().await.unwrap();
    // On a machine that is busy enough the person counts as away for a moment; the answer comes from somebody who is there.
    let mut presence = UserAct::Present;
    let mut answer = stage.act().await;
    while matches!(answer, UserAct::Present | UserAct::Away(_)) {
        presence = std::mem::replace(&mut answer, stage.act().await);
    }
    assert_eq!(presence, UserAct::Present);
    assert_eq!(answer, yes(&[Ability::DiagBasic, Ability::RunR0], None));
    stage.finish().await;
}

#[tokio::test]
async fn the_address_opens_the_page_once() {
    let stage = Stage::open(waiting()).await;
    let url = stage.front.url();
    let address = stage.script("return location.href").await;
    assert!(!address.as_str().unwrap().contains('#'), "the ticket is gone from the address: {address}");
    let client = stage.browser.client().clone();
    for expected in ["Assent is open in another tab", "This address does not work any more"] {
        let tab = client.new_window(true).await.unwrap().handle;
        client.switch_to_window(tab).await.unwrap();
        stage.browser.open(&url.expose()).await.unwrap();
        stage.browser.sees(expected).await.unwrap();
    }
    assert!(!stage.browser.text().await.unwrap().contains("4821"), "no code for a stranger");
    // A fresh address works in the same tab.
    stage.browser.open(&stage.front.url().expose()).await.unwrap();
    stage.browser.sees("Assent is open in another tab").await.unwrap();
    stage.front.shutdown().await;
}

#[tokio::test]
async fn the_page_says_so_when_the_program_is_gone() {
    let stage = Stage::open(asking(ana())).await;
    stage.unlocked().await;
    let Stage { front, browser, .. } = stage;
    front.shutdown().await;
    browser.sees("Assent has stopped on this computer").await.unwrap();
    browser.sees("Nothing can be done on this computer any more").await.unwrap();
    assert!(!browser.find("#question").await.unwrap().is_displayed().await.unwrap());
    assert!(!browser.find("#stop").await.unwrap().is_displayed().await.unwrap());
}

#[tokio::test]
async fn the_end_of_the_session_stays_on_the_page() {
    let stage = Stage::open(live()).await;
    stage.view.send_replace(ended());
    stage.browser.sees("You ended the session.").await.unwrap();
    stage.browser.sees("5be10c77.jsonl").await.unwrap();
    let Stage { view, front, browser, .. } = stage;
    drop(view);
    front.shutdown().await;
    browser.find("#ended:not([hidden])").await.unwrap();
    assert!(!browser.text().await.unwrap().contains("Assent has stopped"));
    assert_eq!(browser.console().await.unwrap(), []);
}

#[tokio::test]
async fn the_code_can_be_read_aloud() {
    let stage = Stage::open(waiting()).await;
    stage.browser.sees("4821 936 0427").await.unwrap();
    let spoken = stage.script("return document.getElementById('code-spoken').textContent").await;
    assert_eq!(spoken, "4 8 2 1, 9 3 6, 0 4 2 7");
    stage.browser.sees("Valid for 9:").await.unwrap();
    stage.finish().await;
}

/// Every state in both themes and in a narrow window: nothing sticks out, and there are pictures to look at in the target
/// folder (`tmp/consent-page`).
#[tokio::test]
async fn every_state_fits_its_window() {
    let mut unknown = asking(stranger());
    unknown.prompt.as_mut().unwrap().needs_spoken_words = true;
    let mut long = run_prompt();
    long.run.as_mut().unwrap().arguments.push("x".repeat(600));
    let unchecked = View { technician: Some(stranger()), ..live() };
    let mut worded = View { technician: Some(TechnicianView { words_confirmed: true, ..stranger() }), ..live() };
    worded.prompt = Some(PromptView { reason: Some(String::new()), ..run_prompt() });
    let paused = View { phase: Phase::Paused { ends_in_ms: 42_000 }, runs: vec![], ..live() };
    let states = [
        (
            "connecting",
            view(Phase::Connecting { detail: "The relay does not answer; trying again in 4 s".into() }),
            "trying again",
        ),
        ("waiting", waiting(), "4821 936 0427"),
        ("void", view(Phase::CodeVoid { reason: "It was typed wrongly twice.".into() }), "typed wrongly"),
        ("asked", View { prompt: None, ..asking(ana()) }, "You will be asked in a moment"),
        ("asking", asking(ana()), "vouches"),
        ("asking-live", View { prompt: Some(prompt(PromptKind::Abilities)), ..live() }, "asks for more"),
        ("unverified", unknown, "We could not check"),
        ("run", View { prompt: Some(long), ..live() }, "Argument 6"),
        ("live", live(), "Running now"),
        ("worded", worded, "You confirmed the two words"),
        ("live-unverified", unchecked, "Not checked"),
        ("paused", paused, "Everything is paused"),
        ("ended", ended(), "The session is over"),
    ];
    for (theme, switches) in [("light", &[][..]), ("dark", &["--force-dark-mode"][..])] {
        let stage = Stage::open_with(waiting(), switches).await;
        for (name, shown, text) in &states {
            // Each as if it were the first, so that no question is taken for the one before.
            stage.view.send_replace(view(Phase::Connecting { detail: String::new() }));
            stage.browser.sees("Getting ready").await.unwrap();
            stage.view.send_replace(shown.clone());
            stage.browser.sees(text).await.unwrap();
            // 640 pixels are what a zoom of 200 % leaves of 1280.
            for (width, height) in [(1280, 1000), (640, 500), (320, 640)] {
                stage.browser.client().set_window_size(width, height).await.unwrap();
                let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(stage.script(overflow).await, 0, "{name} sticks out at {width}");
                stage.picture(&format!("{name}-{theme}-{width}")).await;
            }
        }
        stage.finish().await;
    }
}
