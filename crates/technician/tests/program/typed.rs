//! What can be typed without a session.

use std::{os::unix::fs::PermissionsExt as _, time::Duration};

use audit::{AuditLog, files};
use pty::Key;
use transport::clock;
use trust::keys::SigningKey;
use wire::{evidence::Event, ids::SessionId, session::EndReason};

use crate::world::Home;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_mistake_on_the_command_line_ends_with_2_and_sends_nothing() {
    let home = Home::new();
    files::private_dir(&home.path(".config/assent")).unwrap();
    for (arguments, says) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["attach"], "no session code is given, and there is no terminal"),
        (&["attach", "-"], "no session code is given"),
        (&["attach", "4821", "936", "0424"], "a digit of the session code is mistyped"),
        (&["attach", "4821"], "has 11 to 13 digits, and this has 4"),
        (&["attach", "4821 936 0423"], "no relay is named"),
        (&["attach", "4821 936 0423", "--relay", "https://example.org"], "a relay link starts with assent://"),
        (&["run", "--timeout", "2h", "--", "ls"], "is not between"),
        (&["run", "ls"], "unexpected argument"),
        (&["request", "adhoc.argv"], "asked for with each use"),
        (&["request", "everything"], "there is no ability named"),
    ] {
        let ran = home.run(arguments).await;
        assert_eq!(ran.code, Some(2), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }
    assert!(!home.path(".local/state/assent/attempts.json").exists());

    files::write_atomic(&home.path(".config/assent/config.toml"), b"relais = 1", 0o600).unwrap();
    let ran = home.run(&["attach", "4821 936 0423"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("config.toml: the file is malformed"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_code_from_standard_input_is_checked_before_anything_is_sent() {
    let home = Home::new();
    for (input, says) in [
        ("4821 936 0424\n", "a digit of the session code is mistyped"),
        ("\n4821 936 0423\n", "no session code is given"),
        ("4821 936 0423", "no relay is named"),
        ("48219360423\r\nmore", "no relay is named"),
        (&"4".repeat(10_000), "has 11 to 13 digits"),
        ("4821 936 042\u{1b}[2J\n", "session code"),
    ] {
        let ran = home.run_with(&["attach", "-"], input).await;
        assert_eq!(ran.code, Some(2), "{input:?}: {ran:?}");
        assert!(ran.stderr.contains(says) && !ran.stderr.contains('\u{1b}'), "{input:?}: {ran:?}");
    }
    let mut screen = home.terminal(&["attach"]);
    screen.wait_for("Session code", PATIENCE).await.unwrap();
    screen.type_text("4821 936 0424").await.unwrap();
    screen.press(Key::Enter).await.unwrap();
    assert_eq!(screen.wait_exit(PATIENCE).await.unwrap().code(), Some(2));
    assert!(screen.text().contains("a digit of the session code is mistyped"), "{}", screen.text());
    assert!(!home.path(".local/state/assent/attempts.json").exists());
}

#[tokio::test]
async fn without_a_session_every_command_says_what_to_do() {
    let home = Home::new();
    for arguments in [&["status"][..], &["diag"], &["run", "--", "ls"], &["request", "diag.basic"], &["end"]] {
        let ran = home.run(arguments).await;
        assert_eq!(ran.code, Some(1), "{arguments:?}");
        assert!(ran.stderr.contains("there is no live session"), "{ran:?}");
        assert!(ran.stderr.contains("next: Attach first"), "{ran:?}");
    }
    let ran = home.run(&["status", "--json"]).await;
    let problem = serde_json::from_str::<serde_json::Value>(&ran.stderr).unwrap();
    assert_eq!(problem["exit"], 1);
    assert_eq!(home.run(&["status", "--all", "--json"]).await.json(), serde_json::json!([]));
}

#[tokio::test]
async fn an_organisation_vouches_for_a_technician_from_the_command_line() {
    let home = Home::new();
    let first = home.run(&["identity", "--json"]).await.json();
    assert_eq!(home.run(&["identity", "--json"]).await.json()["key"], first["key"], "the key is made once");
    let key_file = home.path(".local/state/assent/technician.key");
    assert_eq!(std::fs::metadata(key_file).unwrap().permissions().mode() & 0o777, 0o600);

    let root = home.run(&["org", "create", "Example Ltd"]).await;
    assert_eq!(root.code, Some(0), "{root:?}");
    files::write_atomic(&home.path("root.pem"), root.stdout.as_bytes(), 0o600).unwrap();
    let key = first["key"].as_str().unwrap();
    let certificate = home.run(&["org", "issue", "--name", "Ana Ruiz", "--key", key]).await;
    assert_eq!(certificate.code, Some(0), "{certificate:?}");
    files::write_atomic(&home.path("ana.pem"), certificate.stdout.as_bytes(), 0o600).unwrap();
    let (ana, root) = (home.path("ana.pem"), home.path("root.pem"));
    let import = ["identity", "--json", "--import", ana.to_str().unwrap(), "--organisation", root.to_str().unwrap()];
    assert_eq!(home.run(&import).await.json()["certificate"], certificate.stdout.as_str());

    let other = Home::new();
    let refused = other.run(&import).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("belongs to another key"), "{refused:?}");
}

#[tokio::test]
async fn a_log_is_verified_and_the_first_bad_entry_is_named() {
    let home = Home::new();
    let (agent, technician) =
        (SigningKey::generate(&mut rand_core::OsRng), SigningKey::generate(&mut rand_core::OsRng));
    let session = SessionId([7; 8]);
    let paired = Event::Paired {
        session,
        agent_version: "test".to_owned(),
        agent_key: agent.public().digest(),
        technician_key: technician.public().digest(),
        technician: "Ana\u{1b}[2J".to_owned(),
        organisation: None,
    };
    let now = clock::wall_time();
    let (mut log, _) = AuditLog::create(&home.path("logs"), session, &paired, now).unwrap();
    log.append(&Event::WordsConfirmed, now).unwrap();
    let file = log.path().to_owned();
    log.close(&Event::Ended { reason: EndReason::ByUser }, &agent, now).unwrap();
    let good = file.to_str().unwrap();

    let ran = home.run(&["verify", good]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("every entry is sound") && !ran.stdout.contains('\u{1b}'), "{ran:?}");

    let text = std::fs::read_to_string(&file).unwrap();
    let bad = home.path("bad.receipt.jsonl");
    files::write_atomic(&bad, text.replace("words_confirmed", "words_confirmeD").as_bytes(), 0o600).unwrap();
    let bad = bad.to_str().unwrap();
    let ran = home.run(&["verify", bad]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("entry 2 is bad"), "{ran:?}");
    let ran = home.run(&["verify", bad, "--json"]).await;
    assert_eq!((ran.code, &ran.json()["bad_entry"], &ran.json()["sound"]), (Some(1), &2.into(), &false.into()));

    let copy = home.path("copy.receipt.jsonl");
    let shorter = text.split_inclusive('\n').take(2).collect::<String>();
    files::write_atomic(&copy, shorter.as_bytes(), 0o600).unwrap();
    let ran = home.run(&["verify", copy.to_str().unwrap(), "--against", good]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("the technician's copy ends before entry 3"), "{ran:?}");
    let ran = home.run(&["verify", good, "--against", bad, "--json"]).await;
    assert_eq!((ran.code, &ran.json()["same"]), (Some(1), &false.into()));
    assert_eq!(home.run(&["verify", "no-such-file"]).await.code, Some(1));
}

#[tokio::test]
async fn completions_and_manual_pages_come_from_the_command_line() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = home.run(&["completions", shell]).await;
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("output-limit"), "{shell}");
    }
    let pages = home.path("man");
    assert_eq!(home.run(&["man", pages.to_str().unwrap()]).await.code, Some(0));
    assert!(
        std::fs::read_to_string(pages.join("assent-run.1")).unwrap().contains("asks the end user")
            || pages.join("assent-run.1").exists()
    );
    let main = home.run(&["man"]).await;
    assert!(main.stdout.contains(".TH") && main.stdout.contains("128+n"), "{}", main.stdout);
}
