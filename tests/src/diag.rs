//! What a technician makes of diagnostics: forms for people and for programs, two reports compared, and one screen that is followed.

use std::{fs::File, io::Write as _, path::PathBuf};

use pty::{Key, Size, Terminal};
use rustix::process::Signal;
use serde_json::Value;
use testkit::{PATIENCE, programs::Host};
use tokio::process::Command;

use crate::world::World;

/// What a command of the technician prints that has to succeed.
async fn told(world: &World, arguments: &[&str]) -> anyhow::Result<String> {
    let done = world.technician.run(arguments.iter().copied()).await?;
    anyhow::ensure!(done.code() == 0, "{arguments:?} ended with {}: {}", done.code(), done.stderr);
    anyhow::ensure!(done.stderr.is_empty(), "{arguments:?} says: {}", done.stderr);
    let acts = |character: char| character.is_control() && character != '\n';
    // Lines of CSV end so.
    let text = done.stdout.replace("\r\n", "\n");
    anyhow::ensure!(!text.contains(acts), "{arguments:?} acts on a screen: {text:?}");
    Ok(text)
}

fn keep(world: &World, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = world.technician.home().path().join(name);
    File::create(&path)?.write_all(text.as_bytes())?;
    Ok(path)
}

#[tokio::test]
async fn diagnostics_come_in_the_forms_that_people_and_programs_read() -> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;

    let text = told(&world, &["diag", "report"]).await?;
    assert!(text.contains("checked and fine") && text.lines().count() > 20, "{text}");
    let markdown = told(&world, &["diag", "report", "--md"]).await?;
    assert!(markdown.starts_with("# ") && markdown.contains("\n## "), "{markdown}");
    let page = world.technician.home().path().join("report.html");
    let written = told(&world, &["diag", "report", "--html", page.to_str().expect("a plain path")]).await?;
    assert_eq!(written, format!("{}\n", page.display()));
    assert!(std::fs::read_to_string(&page)?.to_ascii_lowercase().starts_with("<!doctype html>"));

    let before = told(&world, &["diag", "report", "--json"]).await?;
    let mut other = serde_json::from_str::<Value>(&before)?;
    let findings = other["findings"].as_array_mut().expect("a report has findings");
    let space = findings.iter_mut().find(|finding| finding["check"] == "process-table").expect("it is always asked");
    space["verdict"] = "fail".into();
    space["severity"] = "critical".into();
    let (before, after) = (keep(&world, "a.json", &before)?, keep(&world, "b.json", &other.to_string())?);
    let [before, after] = [&before, &after].map(|path| path.to_str().expect("a plain path"));
    let difference = told(&world, &["diag", "diff", before, after]).await?;
    assert!(difference.contains("Table of processes fills up"), "{difference}");
    assert!(told(&world, &["diag", "diff", before, after, "--md"]).await?.contains("Table of processes fills up"));
    let json = told(&world, &["diag", "diff", before, after, "--json"]).await?;
    assert!(serde_json::from_str::<Value>(&json)?.to_string().contains("process-table"), "{json}");
    let same = told(&world, &["diag", "diff", before, before]).await?;
    assert!(!same.contains("Table of processes"), "{same}");
    let page = page.to_str().expect("a plain path");
    let refused = world.technician.run(["diag", "diff", before, page]).await?;
    assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("is no report"), "{}", refused.stderr);

    let figures = told(&world, &["diag", "export", "prometheus"]).await?;
    for line in figures.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(name.starts_with("assent_") && value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(figures.lines().count() > 20, "{figures}");
    let line = told(&world, &["diag", "export", "jsonl"]).await?;
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(serde_json::from_str::<Value>(&line)?.is_object());
    // The programs of these tests are those that are shipped: none has what only its own tests are built with.
    let refused = world.technician.run(["diag", "export", "otlp"]).await?;
    assert_eq!((refused.code(), refused.stdout.as_str()), (2, ""), "{}", refused.stderr);

    let asked = ["diag", "history", "--series", "cpu.*", "--step", "5s"];
    let table = told(&world, &[&asked[..], &["--csv"]].concat()).await?;
    let mut rows = table.lines().map(|line| line.split(',').count());
    let columns = rows.next().expect("a table has a head");
    assert!(columns > 1 && rows.all(|row| row == columns), "{table}");
    assert!(table.lines().count() > 1 && table.contains("cpu.busy"), "{table}");
    let series = serde_json::from_str::<Value>(&told(&world, &[&asked[..], &["--json"]].concat()).await?)?;
    assert!(series.as_array().is_some_and(|series| series.iter().any(|one| one["figure"] == "cpu.busy")), "{series}");
    assert!(told(&world, &asked).await?.starts_with("cpu."), "one series a line");
    Ok(())
}

/// `assent diag watch` in a terminal, and then what the terminal is set to.
fn watch(world: &World) -> anyhow::Result<Terminal> {
    let watching = world.technician.command(["diag", "watch"]);
    let watching = watching.as_std();
    let mut command: Command = Host::default().command("/bin/sh");
    world.technician.home().apply(&mut command);
    command.args(["-c", "\"$@\"; echo \"ended with $?\"; stty -a", "sh"]).arg(watching.get_program());
    command.args(watching.get_args());
    Ok(Terminal::start(command, Size::CLASSIC)?)
}

/// Sentences as they are, wherever the terminal's width broke them.
fn on_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The terminal is as it was: its first screen, and keys come as lines and with an echo.
async fn is_given_back(mut terminal: Terminal, ended: &str) -> anyhow::Result<()> {
    terminal.wait_exit(PATIENCE).await?;
    let (text, raw) = (on_one_line(&terminal.text()), String::from_utf8_lossy(terminal.screen().raw()).into_owned());
    assert!(text.contains(ended), "{text}");
    let set = |word: &str| text.split_whitespace().any(|one| one == word);
    assert!(set("icanon") && set("echo") && set("isig") && set("opost"), "{text}");
    assert!(raw.rfind("\u{1b}[?1049l") > raw.rfind("\u{1b}[?1049h"), "the other screen was left: {raw:?}");
    Ok(())
}

#[tokio::test]
async fn a_machine_is_followed_on_one_screen_until_a_key_or_the_end_and_the_terminal_is_given_back()
-> anyhow::Result<()> {
    let world = World::start().await?;
    let _attached = world.attach().await?;

    for key in [None, Some(Key::Escape), Some(Key::Control('c'))] {
        let watching = watch(&world)?;
        watching.wait_for("Processor", PATIENCE).await?;
        watching.wait_for("q or Esc: leave (the session goes on)", PATIENCE).await?;
        watching.type_text("x").await?;
        let first = watching.text();
        watching.wait_until("another reading", PATIENCE, |text| (text != first).then_some(())).await?;
        match key {
            None => watching.type_text("q").await?,
            Some(key) => watching.press(key).await?,
        }
        is_given_back(watching, "ended with 0").await?;
    }
    let status = world.json(&["status", "--json"]).await?;
    assert!(status.to_string().contains("diag.basic"), "the session goes on: {status}");

    let mut piped = world.technician.start(["diag", "watch"])?;
    piped.wait_for_line("a picture", PATIENCE, |line| line.starts_with("Processor").then_some(())).await?;
    piped.signal(Signal::INT)?;
    let piped = piped.wait_exit(PATIENCE).await?;
    assert_eq!((piped.code(), piped.stderr.as_str()), (0, ""), "{}", piped.stdout);
    assert!(!piped.stdout.contains('\u{1b}'), "{:?}", piped.stdout);

    let watching = watch(&world)?;
    watching.wait_for("Processor", PATIENCE).await?;
    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    is_given_back(watching, "the technician ended the session").await
}
