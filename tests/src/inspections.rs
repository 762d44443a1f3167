//! What is read once: reports, sections, the history; and what is not allowed.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use testkit::PATIENCE;

use crate::world::World;

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

    assert_eq!(world.technician.run(["end"]).await?.code(), 0);
    assert_eq!(attached.wait_exit(PATIENCE).await?.code(), 0);
    world.share_exit().await?;
    let log = std::fs::read_to_string(&world.share.logs()?[0])?;
    let read = log.lines().filter(|line| line.contains("\"event\":\"inspecting\"")).count();
    assert_eq!(read, 4, "{log}");
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
