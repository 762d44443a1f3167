use unicode_width::UnicodeWidthStr as _;
use wire::{
    diagnostics::{findings::Check, report::Content, schema::Named},
    text::Label,
};

use super::*;
use crate::testing::{self, HOSTILE, answer, failing, filler::Filler};

fn disk(name: &str) -> Option<Named> {
    Some(Named::Technical(Label::cut(name)))
}

/// The machine a day later: updated, restarted, with room on its disk and another fault.
fn later() -> Report {
    let mut report = testing::report();
    report.taken_at.0 += 86_400_000;
    report.card.kernel = Label::cut("6.1.0-25-amd64");
    report.findings.retain(|finding| finding.check != Check::SpaceUsed && finding.check != Check::CpuBusy);
    report.findings.push(answer(Check::SpaceUsed, Verdict::Pass, None));
    report.findings.push(failing(Check::DiskSaturated, Severity::Warning, disk("sda"), Vec::new()));
    report.findings.iter_mut().filter(|finding| finding.check == Check::SpaceForecast).for_each(|finding| {
        finding.severity = Some(Severity::Critical);
    });
    report.sample.filesystems[1].available_kib += 52_428_800;
    report.sample.memory.available_kib += 1024;
    report.sample.networks[0].name = Label::cut("eth0");
    for section in &mut report.sections {
        if let Some(Content::Updates(updates)) = &mut section.content {
            updates.pending = Some(2);
            updates.pending_names = vec![Label::cut("openssl"), Label::cut("vim")];
            updates.reboot_needed = Some(false);
            updates.running_kernel = Label::cut("6.1.0-25-amd64");
        }
        if let Some(Content::Ladder(ladder)) = &mut section.content {
            ladder.rungs.pop();
            ladder.first_failing = None;
        }
    }
    report
}

#[test]
fn a_day_later() {
    let difference = diff(&testing::report(), &later());
    let text = difference.text(80).iter().map(|line| format!("{}\n", line.text)).collect::<String>();
    insta::assert_snapshot!(text);
    insta::assert_snapshot!(difference.markdown());
    insta::assert_snapshot!(difference.json());
}

#[test]
fn a_report_is_not_different_from_itself() {
    for report in [testing::report(), Filler::full(HOSTILE, 3).report(), Filler::empty().report()] {
        let difference = diff(&report, &report);
        assert!(difference.is_empty() && difference.left_out == 0, "{difference:?}");
    }
}

/// A check that cannot look any more must not read like a fault that is mended.
#[test]
fn a_finding_that_nobody_can_check_any_more_is_not_gone() {
    let before = [failing(Check::DiskSaturated, Severity::Critical, disk("sda"), Vec::new())];
    let became = |after: &[Finding]| compare_findings(&before, after).first().map(|change| change.change);
    assert_eq!(became(&[]), Some(Change::Unchecked));
    assert_eq!(became(&[answer(Check::DiskSaturated, Verdict::Unknown, None)]), Some(Change::Unchecked));
    assert_eq!(became(&[answer(Check::DiskSaturated, Verdict::Unknown, disk("sda"))]), Some(Change::Unchecked));
    assert_eq!(became(&[answer(Check::DiskSaturated, Verdict::Pass, None)]), Some(Change::Gone));
    assert_eq!(became(&before), None);
}

#[test]
fn rows_are_found_again_in_another_order_and_under_the_same_name() {
    let record = |name: &str, size: i128| {
        Tree::Record(vec![("name", Tree::Text(name.into())), ("size_kib", Tree::Number(size))])
    };
    let list = |rows: &[(&str, i128)]| Tree::List(rows.iter().map(|(name, size)| record(name, *size)).collect());
    let before = list(&[("a", 1), ("b", 2), ("a", 3)]);
    assert_eq!(facts::compare(&before, &list(&[("b", 2), ("a", 1), ("a", 3)])), []);
    let changes = facts::compare(&before, &list(&[("b", 2), ("a", 1), ("a", 9_000_000)]));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path, ["a (2)", "Size"]);
}

#[test]
fn small_movements_of_a_figure_are_not_told() {
    let told = |field, before, after| crate::naming::differs(field, before, after);
    assert!(!told("available_kib", 1_000_000, 1_050_000), "less than a tenth");
    assert!(!told("dirty_kib", 100, 5000), "less than a machine at rest does");
    assert!(told("available_kib", 1_000_000, 800_000));
    assert!(told("failed", 0, 1), "a count of one is worth telling");
    assert!(!told("busy_permille", 4, 15) && told("busy_permille", 4, 60));
    assert!(told("offset_us", -900_000, 900_000));
}

#[test]
fn a_difference_is_bounded_and_harmless_whatever_the_machines_say() {
    let many = |prefix: &str| {
        let mut report = Filler::full(HOSTILE, 3).report();
        let sensor = report.sample.temperatures[0].clone();
        report.sample.temperatures = (0..500)
            .map(|number| wire::diagnostics::Temperature {
                label: Label::cut(&format!("{prefix}{number}")),
                ..sensor.clone()
            })
            .collect();
        report
    };
    let difference = diff(&many("\u{1b}<a>|"), &many("\u{202e}<b>"));
    assert_eq!(difference.figures.len(), MAX_CHANGES);
    assert_eq!(difference.left_out, 1000 - MAX_CHANGES);
    for width in [20, 80, 200] {
        assert!(difference.text(width).iter().all(|line| line.text.width() <= width));
    }
    for text in [difference.markdown(), difference.json()] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    }
    assert!(!difference.markdown().contains('<'));
}
