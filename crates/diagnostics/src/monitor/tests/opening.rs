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
    let report = story.opening();
    let bytes = wire::codec::encode(&report).unwrap();
    assert!(bytes.len() <= OPENING_BYTES, "{} bytes", bytes.len());
    assert!(report.findings.len() < MAX_FINDINGS);
    let left_out = MAX_FINDINGS - report.findings.len();
    assert!(usize::try_from(report.receipt.rows_left_out).unwrap() >= left_out, "{:?}", report.receipt);
    assert!(!report.findings.is_empty(), "the worst stay");
    assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Fail));
}

#[test]
fn it_keeps_within_its_bytes_where_aliases_are_longer_than_the_names() {
    let mut story = Story::begin();
    story.goes_on(MINUTE, 5, |_, _| {});
    let short = |number: usize| Named::Path(Label::cut(&format!("/u{number}")));
    let evidence =
        |number| Evidence { what: wire::diagnostics::findings::What::About, amount: None, name: Some(short(number)) };
    story.monitor.findings = (0..MAX_FINDINGS)
        .map(|number| Finding {
            subject: Some(short(number)),
            reason: None,
            runbook: Label::default(),
            evidence: (0..MAX_EVIDENCE).map(|nth| evidence(number * MAX_EVIDENCE + nth)).collect(),
            verdict: Verdict::Fail,
            ..finding(number)
        })
        .collect();
    // So much that it nearly fills the opening with the names.
    let nearly = (0..).find(|shown| {
        let report = Report {
            findings: story.monitor.findings[..*shown].to_vec(),
            ..story.monitor.report(Vec::new(), story.wall())
        };
        *shown == MAX_FINDINGS || bytes_of(&report) > OPENING_BYTES - 2048
    });
    story.monitor.findings.truncate(nearly.unwrap());
    let whole = bytes_of(&story.monitor.report(Vec::new(), story.wall()));
    let report = story.opening();
    let bytes = bytes_of(&report);
    assert!(bytes <= OPENING_BYTES, "{bytes} bytes of {whole}");
    assert!(bytes > OPENING_BYTES * 9 / 10 || report.receipt.rows_left_out == 0, "{bytes} bytes of {whole}");
}

#[test]
fn it_leaves_nothing_out_of_an_ordinary_machine() {
    let mut story = Story::begin();
    story.goes_on(15 * MINUTE, 5, |_, _| {});
    let report = story.opening();
    assert_eq!(report.receipt.rows_left_out, 0);
    assert_eq!(report.findings.len(), story.monitor.findings().len());
    let busy = report.recent.iter().find(|series| series.figure.raw() == "cpu.busy").unwrap();
    assert!(busy.values.iter().flatten().count() >= 58, "{busy:?}");
}
