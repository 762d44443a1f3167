//! The report that opens a session, however much there is to say.

use super::*;

fn longest() -> Label {
    Label::cut(&"x".repeat(128))
}

/// As much as one finding can have.
fn finding(number: usize) -> Finding {
    let name = || Some(Named::Path(Label::cut(&format!("/{number}/{}", "x".repeat(120)))));
    Finding {
        check: Check::ALL[number % Check::ALL.len()],
        version: 1,
        verdict: if number < 40 { Verdict::Fail } else { Verdict::Unknown },
        severity: (number < 40).then_some(Severity::Critical),
        confidence: wire::diagnostics::findings::Confidence::High,
        subject: name(),
        since: None,
        reason: Some(Sentence::cut(&"y".repeat(512))),
        evidence: vec![
            Evidence { what: wire::diagnostics::findings::What::About, amount: None, name: name() };
            MAX_EVIDENCE
        ],
        forecast: None,
        exonerates: Vec::new(),
        runbook: longest(),
    }
}

#[test]
fn it_keeps_within_its_bytes_whatever_there_is_to_say_and_counts_what_it_leaves_out() {
    let mut story = Story::begin();
    story.machine.processes = (0..64).map(|pid| Process { name: longest(), ..process(pid, 1, "", GIB) }).collect();
    story.machine.filesystems =
        (0..64).map(|number| filesystem(&format!("/{number}/{}", "m".repeat(120)), 100 * GIB, GIB)).collect();
    story.goes_on(15 * MINUTE, 5, |_, _| {});
    story.monitor.findings = (0..MAX_FINDINGS).map(finding).collect();
    let report = story.monitor.opening(story.wall());
    let bytes = wire::codec::encode(&report).unwrap();
    assert!(bytes.len() <= OPENING_BYTES, "{} bytes", bytes.len());
    assert!(report.findings.len() < MAX_FINDINGS);
    let left_out = MAX_FINDINGS - report.findings.len();
    assert!(usize::try_from(report.receipt.rows_left_out).unwrap() >= left_out, "{:?}", report.receipt);
    assert!(!report.findings.is_empty(), "the worst stay");
    assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Fail));
}

#[test]
fn it_leaves_nothing_out_of_an_ordinary_machine() {
    let mut story = Story::begin();
    story.goes_on(15 * MINUTE, 5, |_, _| {});
    let report = story.monitor.opening(story.wall());
    assert_eq!(report.receipt.rows_left_out, 0);
    assert_eq!(report.findings.len(), story.monitor.findings().len());
    let busy = report.recent.iter().find(|series| series.figure.raw() == "cpu.busy").unwrap();
    assert!(busy.values.iter().flatten().count() >= 58, "{busy:?}");
}
