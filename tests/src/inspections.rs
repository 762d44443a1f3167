//! What is read once: reports, sections, the history; and what is not allowed.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use testkit::{PATIENCE, programs::Host, running::Running};

use crate::world::{Log, World};

fn outcome<'r>(report: &'r Value, section: &str) -> &'r Value {
    let sections = report["sections"].as_array().expect("a report has sections");
    let found = sections.iter().find(|report| report["section"] == section);
    &found.unwrap_or_else(|| panic!("{section} is missing"))["outcome"]
}

#[tokio::test]
async fn a_technician_reads_a_report_that_names_nobody_and_both_have_a_record_of_it() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;

    let report = world.json(&["diag", "report", "--json"]).await?;
    let findings = report["findings"].as_array().expect("a report has findings");
    assert!(
        findings.iter().any(|finding| finding["check"] == "memory-available" && finding["verdict"] == "pass"),
        "{report}"
    );
    assert_ne!(outcome(&report, "storage"), "not_allowed");
    for not_asked in ["logs", "network", "process", "probes"] {
        assert_eq!(outcome(&report, not_asked), "not_allowed");
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    assert!(report["card"]["host"].as_str().is_some_and(|shown| shown.starts_with("host-") && shown != host.trim()));

    let page = world.technician.home().path().join("report.html");
    let written = world.technician.run(["diag", "report", "--html", page.to_str().expect("a plain path")]).await?;
    assert_eq!(written.code(), 0, "{}", written.stderr);
    assert!(std::fs::read_to_string(&page)?.to_ascii_lowercase().starts_with("<!doctype html>"));

    let section = world.json(&["diag", "section", "system", "--json"]).await?;
    assert_eq!(section["section"], "system");
    let history = world.json(&["diag", "history", "--series", "cpu.*", "--json"]).await?;
    let figures = history.as_array().expect("a list of series").iter().map(|series| series["figure"].clone());
    assert!(figures.clone().all(|figure| figure.as_str().is_some_and(|name| name.starts_with("cpu."))), "{history}");

    let told =
        world.technician.run(["diag", "history", "--from", "2020-01-01T10:00Z", "--to", "2020-01-01 12:00"]).await?;
    assert_eq!((told.code(), told.stdout.as_str()), (0, "nothing was measured in that time\n"), "{}", told.stderr);
    for (wrong, says) in
        [(["--from", "2999-01-01"], "is later than --to"), (["--to", "noon"], "2026-11-23T10:00+01:00")]
    {
        let refused = world.technician.run(["diag", "history"].into_iter().chain(wrong)).await?;
        assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{}", refused.stderr);
        assert!(refused.stderr.replace('\n', " ").contains(says), "{}", refused.stderr);
    }

    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    world.share_exit().await?;
    let log = std::fs::read_to_string(&world.share.logs()?[0])?;
    let read = log.lines().filter(|line| line.contains("\"event\":\"inspecting\"")).count();
    assert_eq!(read, 5, "{log}");
    Ok(())
}

#[tokio::test]
async fn the_person_finds_everything_that_was_sent() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    let shown = world.json(&["diag", "--json"]).await?;
    let section = world.json(&["diag", "section", "system", "--json"]).await?;
    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    world.share_exit().await?;

    let copy = world.share.logs()?[0].to_string_lossy().replace(".audit.jsonl", ".sent");
    assert_eq!(std::fs::metadata(&copy)?.permissions().mode() & 0o777, 0o600);
    let told = world.share.told(&["sent", &copy, "--json"]).await?;
    let lines = told.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let sent = |kind: &str| lines.iter().filter_map(|line| line["what"].get(kind).cloned()).collect::<Vec<_>>();
    assert!(sent("reading").contains(&shown["sample"]), "what the technician saw is what was kept: {told}");
    assert_eq!(sent("section"), [serde_json::json!([1, section])]);
    assert_eq!(sent("opening").len(), 1);
    let listed = world.share.told(&["sent", &copy]).await?;
    assert!(listed.contains("inspection-1: system"), "{listed}");
    Ok(())
}

#[tokio::test]
async fn what_was_not_allowed_is_not_read_and_the_refusal_says_what_to_ask_for() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;
    for (asked, ability) in [
        (&["diag", "logs"][..], "diag.logs"),
        (&["diag", "section", "network"], "diag.network"),
        (&["diag", "process", "1"], "diag.process"),
    ] {
        let refused = world.technician.run(asked.iter().copied()).await?;
        assert_eq!(refused.code(), 3, "{}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(&format!("assent request {ability}")), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    Ok(())
}

const HARMLESS: &str = "--harmless-canary=shown";
const SECRET: &str = "hunter2-canary";

/// A program of the end user's that waits, with a secret among its arguments in each of the ways in which they are given.
fn with_secrets() -> anyhow::Result<Running> {
    let mut command = Host::default().command("/bin/sh");
    command.args(["-c", "read line", "waiting", HARMLESS]);
    command.args([&format!("--password={SECRET}-1 and more of it {SECRET}-2"), "--token", &format!("{SECRET}-3")]);
    Running::start(command)
}

/// Lets the technician see single processes, which is asked for once and ticked by the person.
async fn allow_processes(world: &World) -> anyhow::Result<()> {
    let mut asking = world.technician.start(["request", "diag.process", "--for", "15m"])?;
    world.share.asked().await?;
    world.share.answer("1").await?;
    world.share.allow().await?;
    let done = asking.wait_exit(PATIENCE).await?;
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    Ok(())
}

/// Every file below `folder` in which `text` stands.
fn files_with(text: &str, folder: &Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let (path, kind) = entry.map(|entry| (entry.path(), entry.file_type()))?;
            let kind = kind?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && std::fs::read(&path)?.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Nothing of the arguments was written down, by neither side.
fn assert_not_stored(world: &World) -> anyhow::Result<()> {
    for home in [world.share.home(), world.technician.home()] {
        for text in [SECRET, "harmless-canary"] {
            assert_eq!(files_with(text, home.path())?, Vec::<std::path::PathBuf>::new(), "{text} was stored");
        }
    }
    Ok(())
}

#[tokio::test]
async fn arguments_are_shown_after_a_yes_to_that_process_without_what_looks_like_a_secret_and_not_stored()
-> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    allow_processes(&world).await?;
    let program = with_secrets()?;
    let pid = program.pid().to_string();

    let tree = world.technician.run(["diag", "section", "processes"]).await?;
    assert_eq!(tree.code(), 0, "{}", tree.stderr);
    let row = tree.stdout.lines().find(|line| line.trim_start().starts_with(&format!("{pid} ")));
    assert!(row.is_some_and(|row| row.ends_with(" sh")) && !tree.stdout.contains(SECRET), "{}", tree.stdout);

    let mut asking = world.technician.start(["diag", "process", &pid, "--arguments"])?;
    world.share.asked().await?;
    world.share.sees("to see what one program was started with").await?;
    world.share.sees(&format!("number       \"{pid}\"")).await?;
    let told = |line: &str| line.contains("asking the end user for the arguments").then_some(());
    asking.wait_for_error_line("a word that they are asked", PATIENCE, told).await?;
    assert_eq!(asking.stdout(), "", "nothing is shown before the yes");
    world.share.allow_with_words(&world.words().await?).await?;
    let done = asking.wait_exit(PATIENCE).await?;
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains(HARMLESS) && done.stdout.contains("--password=[secret]"), "{}", done.stdout);
    assert!(!done.stdout.contains(SECRET) && !done.stderr.contains(SECRET), "{}{}", done.stdout, done.stderr);

    // The yes was for one reading: the same one is asked about again.
    let mut again = world.technician.start(["diag", "process", &pid, "--arguments", "--json"])?;
    world.share.allow().await?;
    let shown = serde_json::from_str::<Value>(&again.wait_exit(PATIENCE).await?.stdout)?;
    assert_eq!((shown["pid"].to_string(), &shown["name"]), (pid, &Value::from("sh")), "{shown}");
    let arguments = shown["arguments"].as_array().expect("a list of arguments");
    assert_eq!(arguments[4..], [HARMLESS, "--password=[secret]", "--token", "[secret]"], "{shown}");

    // What was read is there a moment before the machine knows that it has arrived.
    let used_up = |status: &Value| !status["grants"].to_string().contains("diag.arguments");
    world.technician.wait_status(&attached, "no yes to arguments is left", used_up).await?;
    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    world.share_exit().await?;
    let log = Log::read(&world.share.logs()?[0])?;
    let asked = log.all("asked_for_inspection").collect::<Vec<_>>();
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked["about"] == "sh"), "{log:?}");
    let used = log.all("grant_ended").filter(|ended| ended["reason"] == "used");
    assert_eq!(used.count(), 2, "{log:?}");
    assert_not_stored(&world)
}

#[tokio::test]
async fn after_a_no_nothing_of_the_arguments_is_sent_and_asking_at_once_again_is_refused() -> anyhow::Result<()> {
    let mut world = World::start().await?;
    let mut attached = world.attach().await?;
    let program = with_secrets()?;
    let pid = program.pid().to_string();
    let arguments = ["diag", "process", &pid, "--arguments"];
    let refused = world.technician.run(arguments).await?;
    assert_eq!(refused.code(), 3, "{}", refused.stderr);
    assert!(refused.stderr.contains("assent request diag.process"), "{}", refused.stderr);

    allow_processes(&world).await?;
    let mut asking = world.technician.start(arguments)?;
    world.share.deny().await?;
    let denied = asking.wait_exit(PATIENCE).await?;
    assert_eq!((denied.code(), denied.stdout.as_str()), (3, ""), "{}", denied.stderr);
    assert!(denied.stderr.contains("the end user said no"), "{}", denied.stderr);

    let again = world.technician.run(arguments).await?;
    assert_eq!((again.code(), again.stdout.as_str()), (3, ""), "{}", again.stderr);
    assert!(again.stderr.contains("wait before asking again"), "{}", again.stderr);

    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    world.share_exit().await?;
    let log = Log::read(&world.share.logs()?[0])?;
    assert!(log.all("inspecting").all(|read| !read["what"].to_string().contains("arguments")), "{log:?}");
    assert_not_stored(&world)
}
