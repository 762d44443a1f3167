use wire::{
    diagnostics::{
        findings::{Amount, Confidence, Evidence, Forecast, Unit},
        schema::Named,
    },
    text::{Label, Sentence},
    time::WallTime,
};

use super::*;

/// Words that a person at the machine need not know.
const JARGON: &[&str] = &[
    "swap",
    "kernel",
    "daemon",
    "inode",
    "iowait",
    "steal",
    "hypervisor",
    "raid",
    "nvme",
    "ata",
    "smart",
    "sector",
    "cgroup",
    "tcp",
    "dns",
    "packet",
    "segment",
    "retransmit",
    "conntrack",
    "pid",
    "thread",
    "mount",
    "unit",
    "systemd",
    "psi",
    "pressure",
    "throttl",
    "latency",
    "dbm",
    "roam",
    "handle",
    "leak",
    "oom",
    "cpu",
    "ram",
    "boot",
    "core",
    "process ",
    "processes",
    "root",
    "file system",
    "filesystem",
    "array",
    "read-only",
    "certificate",
    "firmware",
    "interface",
    "server",
    "bandwidth",
    "gateway",
];

fn finding(check: Check, verdict: Verdict) -> Finding {
    Finding {
        check,
        version: 1,
        verdict,
        severity: (verdict == Verdict::Fail).then_some(Severity::Warning),
        confidence: Confidence::High,
        subject: None,
        since: None,
        reason: None,
        evidence: Vec::new(),
        forecast: None,
        exonerates: Vec::new(),
        runbook: Label::default(),
    }
}

fn figure(what: What, value: i64, unit: Unit) -> Evidence {
    Evidence { what, amount: Some(Amount { value, unit }), name: None }
}

/// All words there are: those of each check, and those for findings that rest on something else.
fn all_words() -> impl Iterator<Item = (Check, Words)> {
    let others = [(Check::FilesystemReadOnly, disks::DAMAGED), (Check::OomKills, memory::OOM_KILLS_OF_GROUP)];
    Check::ALL.iter().map(|check| (*check, words(*check))).chain(others)
}

#[test]
fn every_check_has_words_of_its_own() {
    let mut titles = Vec::new();
    for (check, words) in all_words() {
        let Words { title, question, plain, technical, rules_out } = words;
        assert!(!title.ends_with('.') && title.len() <= 40, "{check}: {title}");
        assert!(question.ends_with('?'), "{check}: {question}");
        assert!(plain.len() > 60 && plain.ends_with(['.', ']']), "{check}: {plain}");
        assert!(rules_out.ends_with('.'), "{check}: {rules_out}");
        assert!(!technical.is_empty(), "{check}");
        titles.push(title);
    }
    titles.sort_unstable();
    titles.dedup();
    assert_eq!(titles.len(), all_words().count());
}

#[test]
fn every_place_in_a_text_is_for_a_kind_of_evidence_and_brackets_close() {
    for (check, words) in all_words() {
        for text in [words.plain, words.technical] {
            for place in template::places(text) {
                let known = place == "subject" || What::ALL.iter().any(|what| what.name() == place);
                assert!(known, "{check}: {{{place}}}");
            }
            for pair in ["[]", "{}"] {
                let count = |end: usize| text.matches(&pair[end..=end]).count();
                assert_eq!(count(0), count(1), "{check}: {text}");
            }
        }
    }
}

#[test]
fn the_person_at_the_machine_is_told_without_jargon() {
    for (check, words) in all_words() {
        // Places are filled with what the person has anyway: names of programs and folders.
        let said = words.plain.split(['{', '}']).step_by(2).collect::<String>();
        for text in [said.as_str(), words.question] {
            let text = format!("{} ", text.to_lowercase());
            let spoken = text.split(|c: char| !c.is_alphabetic() && c != '-' && c != ' ').collect::<Vec<_>>().join(" ");
            for jargon in JARGON {
                let found = spoken.split(' ').any(|word| word == jargon.trim())
                    || jargon.contains(' ') && spoken.contains(jargon);
                // The end of a certificate is told as what it is.
                let meant = check == Check::CertificateExpiry && *jargon == "certificate";
                assert!(!found || meant, "{check} says {jargon}: {text}");
            }
        }
    }
}

#[test]
fn a_full_disk_is_told_to_both() {
    let mut full = finding(Check::SpaceUsed, Verdict::Fail);
    full.severity = Some(Severity::Critical);
    full.subject = Some(Named::Path(Label::cut("/home")));
    full.since = Some(WallTime(1_795_329_304_000));
    full.evidence = vec![
        figure(What::UsedShare, 985, Unit::Permille),
        figure(What::Available, 3_355_443, Unit::Kib),
        figure(What::Total, 500_000_000, Unit::Kib),
    ];
    assert_eq!(technical(&full), "/home: 98.5 % used, 3.2 GiB of 477 GiB free; since 2026-11-22T06:35:04Z");
    let plain = plain(&full);
    assert!(plain.starts_with(
        "Please do not wait with this. There is hardly any room left for files in /home: 3.2 GiB are free."
    ));
    assert_eq!(evidence(&full)[1], ("available", "3.2 GiB".to_owned()));
}

#[test]
fn a_disk_that_has_errors_and_can_be_written_is_not_said_to_be_protected() {
    let mut damaged = finding(Check::FilesystemReadOnly, Verdict::Fail);
    damaged.subject = Some(Named::Path(Label::cut("/home")));
    let word = |what, word| Evidence { what, amount: None, name: Some(Named::Technical(Label::cut(word))) };
    damaged.evidence = vec![word(What::Errors, "not repaired")];
    assert_eq!(words_of(&damaged).title, "A disk has errors");
    assert!(plain(&damaged).starts_with("Errors were found in /home that nobody has repaired."), "{}", plain(&damaged));
    damaged.evidence = vec![word(What::State, "it stopped")];
    assert_eq!(
        (words_of(&damaged), technical(&damaged).as_str()),
        (words(damaged.check), "/home: read-only, it stopped")
    );
}

#[test]
fn who_was_ended_at_a_limit_of_its_own_is_not_told_that_the_computer_lacks_memory() {
    let mut killed = finding(Check::OomKills, Verdict::Fail);
    killed.evidence = vec![figure(What::Kills, 1, Unit::Count), figure(What::Window, 840, Unit::Seconds)];
    assert!(plain(&killed).starts_with("There was no memory left for a program"), "{}", plain(&killed));
    killed.evidence.push(Evidence {
        name: Some(Named::Unit(Label::cut("web.service"))),
        ..figure(What::Limit, 262_144, Unit::Kib)
    });
    assert!(plain(&killed).starts_with("A part of the system may use only so much memory"), "{}", plain(&killed));
    assert!(technical(&killed).contains("at the limit of web.service 256 MiB"), "{}", technical(&killed));
}

#[test]
fn what_is_to_come_is_a_range() {
    let mut filling = finding(Check::SpaceForecast, Verdict::Fail);
    filling.evidence = vec![
        figure(What::Available, 1024, Unit::Kib),
        figure(What::AvailableShare, 50, Unit::Permille),
        figure(What::GrowthPerHour, 512, Unit::Kib),
    ];
    filling.forecast = Some(Forecast { earliest_secs: 7200, latest_secs: Some(14_400), fit_permille: 900 });
    assert!(technical(&filling).ends_with("; in 2 h to 4 h"), "{}", technical(&filling));
    filling.forecast = Some(Forecast { earliest_secs: 7200, latest_secs: None, fit_permille: 900 });
    assert!(technical(&filling).ends_with("; in 2 h at the earliest, perhaps never"));
}

#[test]
fn what_was_not_looked_at_is_never_called_fine() {
    let mut blind = finding(Check::NvmeWarning, Verdict::Unknown);
    blind.reason = Some(Sentence::cut("smartctl: permission denied"));
    assert_eq!(technical(&blind), "unknown: smartctl: permission denied");
    assert!(plain(&blind).contains("could not be checked") && !plain(&blind).contains("fine"));
    assert!(plain(&finding(Check::NvmeWarning, Verdict::Pass)).contains("fine"));
    assert!(!plain(&finding(Check::BatteryHealth, Verdict::NotApplicable)).contains("fine"));
}

#[test]
fn what_passes_is_told_by_its_figures_and_not_as_if_it_had_failed() {
    let mut fine = finding(Check::FilesystemReadOnly, Verdict::Pass);
    assert_eq!(technical(&fine), "fine");
    fine.subject = Some(Named::Path(Label::cut("/home")));
    fine.evidence = vec![figure(What::UsedShare, 120, Unit::Permille)];
    assert_eq!(technical(&fine), "/home: fine: used share 12 %");
}
