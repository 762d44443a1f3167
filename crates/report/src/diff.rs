//! What is different between two reports: of one machine at two times, or of two machines.
//!
//! Findings are matched by their check and subject, rows of lists by what names them. Amounts differ if they changed by more than a tenth
//! and by more than what a machine at rest does; everything else differs if it is not the same.

use serde::Serialize;
use wire::{
    diagnostics::{
        findings::{Finding, Severity, Verdict},
        report::Report,
    },
    text::shown,
    time::WallTime,
};

use crate::{naming::when, tree::Tree, wording};

mod facts;
mod render;

/// Most changes of one kind that are told; the rest is counted.
pub const MAX_CHANGES: usize = 200;

/// What is different. Every text in it is safe to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// When the first report was taken.
    pub from: String,
    /// When the second one was taken.
    pub to: String,
    /// Findings that came, went or changed, the worst first.
    pub findings: Vec<FindingChange>,
    /// What the machine is.
    pub card: Vec<FactChange>,
    /// What the sections say.
    pub facts: Vec<FactChange>,
    /// What the samples measured.
    pub figures: Vec<FactChange>,
    /// Changes that are not told, because there are more than [`MAX_CHANGES`] of a kind.
    pub left_out: usize,
}

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Appeared,
    /// It got worse.
    Worse,
    /// It got better and is still there.
    Better,
    /// Nobody knows any more: the check has no answer now, which is not the same as a good one.
    Unchecked,
    /// The check passes now, or has nothing to look at.
    Gone,
}

/// A finding that is not as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FindingChange {
    /// What became of it.
    pub change: Change,
    /// Name of the check.
    pub check: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is about; blank where it is the whole machine.
    pub subject: String,
    /// How bad it was.
    pub before: Option<&'static str>,
    /// How bad it is.
    pub after: Option<&'static str>,
    #[serde(skip)]
    severity: Severity,
}

/// A fact that is not as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactChange {
    /// Where it stands, from the outside in, in words.
    pub path: Vec<String>,
    /// What it was; absent if it was not there or not known.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

/// What is different in `b`, compared with `a`.
pub fn diff(a: &Report, b: &Report) -> Difference {
    let mut left_out = 0;
    let mut bounded = |mut changes: Vec<FactChange>| {
        left_out += changes.len().saturating_sub(MAX_CHANGES);
        changes.truncate(MAX_CHANGES);
        changes
    };
    let card = bounded(facts::compare(&Tree::of(&a.card), &Tree::of(&b.card)));
    let sections = bounded(facts::compare_sections(&a.sections, &b.sections));
    let figures = bounded(facts::compare_samples(&a.sample, &b.sample));
    let mut findings = compare_findings(&a.findings, &b.findings);
    left_out += findings.len().saturating_sub(MAX_CHANGES);
    findings.truncate(MAX_CHANGES);
    let time = |time: WallTime| when(time);
    Difference { from: time(a.taken_at), to: time(b.taken_at), findings, card, facts: sections, figures, left_out }
}

fn compare_findings(a: &[Finding], b: &[Finding]) -> Vec<FindingChange> {
    let failing = |findings: &[Finding], like: &Finding| {
        findings
            .iter()
            .find(|other| fails(other) && other.check == like.check && other.subject == like.subject)
            .cloned()
    };
    let change = |finding: &Finding, change, before: Option<&Finding>, after: Option<&Finding>| FindingChange {
        change,
        check: finding.check.name(),
        title: wording::words_of(finding).title,
        subject: finding.subject.as_ref().map(|subject| shown(subject.label().raw())).unwrap_or_default(),
        before: before.map(|before| severity(before).name()),
        after: after.map(|after| severity(after).name()),
        severity: severity(finding),
    };
    let mut out = Vec::new();
    for after in b.iter().filter(|finding| fails(finding)) {
        let before = failing(a, after);
        let became = match &before {
            None => Change::Appeared,
            Some(before) if severity(before) < severity(after) => Change::Worse,
            Some(before) if severity(before) > severity(after) => Change::Better,
            Some(_) => continue,
        };
        out.push(change(after, became, before.as_ref(), Some(after)));
    }
    for before in a.iter().filter(|finding| fails(finding) && failing(b, finding).is_none()) {
        let of_check = || b.iter().filter(|other| other.check == before.check);
        let unknown = |other: &Finding| {
            other.verdict == Verdict::Unknown && (other.subject.is_none() || other.subject == before.subject)
        };
        let became =
            if of_check().next().is_none() || of_check().any(unknown) { Change::Unchecked } else { Change::Gone };
        out.push(change(before, became, Some(before), None));
    }
    out.sort_by_key(|change| (change.change, std::cmp::Reverse(change.severity)));
    out
}

fn fails(finding: &Finding) -> bool {
    finding.verdict == Verdict::Fail
}

fn severity(finding: &Finding) -> Severity {
    finding.severity.unwrap_or(Severity::Info)
}

#[cfg(test)]
mod tests;
