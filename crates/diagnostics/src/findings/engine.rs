//! How answers become findings: hold times, hysteresis, and since when.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use wire::{
    diagnostics::{
        findings::{Check, Confidence, Finding, MAX_EVIDENCE, MAX_FINDINGS, Severity, Verdict},
        schema::Named,
    },
    text::{Label, Sentence},
    time::{Moment, WallTime},
};

use super::{
    answer::{Answer, Answers, Missing, Reading},
    facts::{Facts, View},
    level::Level,
    memory::Memory,
    rules::{Hold, Rule, rule},
};

/// Most subjects of one check. The worst stay; what is left out is counted.
pub const MAX_SUBJECTS: usize = 128;

/// After a longer time without an answer nobody knows what was in between, so that a hold time begins again.
const LONGEST_GAP: Duration = Duration::from_mins(5);

/// Asks all checks and remembers how they stand.
///
/// It has no clock: the facts say what time it is. Call it with each sample, or as often as there are new facts; hold times are measured
/// between calls. It remembers at most [`MAX_SUBJECTS`] for each check, and forgets a subject that is no longer there.
#[derive(Debug, Default)]
pub struct Engine {
    standings: BTreeMap<(Check, Option<Named>), Standing>,
    memory: Memory,
}

/// What all checks answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The answers, the worst first; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Answers beyond the bounds: never worse than those that are there.
    pub left_out: usize,
}

/// How one check stands with one subject.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// How bad it is, and since when.
    fails: Option<(Severity, WallTime)>,
    /// Since when it is at least that bad without a break, by severity.
    over: [Option<(Moment, WallTime)>; Severity::ALL.len()],
    /// When it was first and last seen.
    watched: Moment,
    seen: Moment,
}

/// Why something that is over its threshold does not fail, where nobody watched it for as long as it has to be.
const NOT_HELD_YET: &str =
    "it is over its threshold, and has not been watched for long enough to tell whether that lasts";

impl Engine {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every check about `facts`.
    pub fn judge(&mut self, facts: &Facts<'_>) -> Judgement {
        let mut judgement = Judgement { findings: Vec::new(), left_out: 0 };
        for check in Check::ALL {
            let rule = rule(*check);
            let answers = (rule.ask)(&View::new(facts, &self.memory, *check));
            self.settle(&rule, answers, facts.now, facts.wall, &mut judgement);
        }
        judgement.findings.sort_by_key(|finding| Reverse(weight(finding)));
        judgement.left_out += judgement.findings.len().saturating_sub(MAX_FINDINGS);
        judgement.findings.truncate(MAX_FINDINGS);
        judgement
    }

    /// Makes findings of one check's answers.
    fn settle(&mut self, rule: &Rule, answers: Answers, now: Moment, wall: WallTime, judgement: &mut Judgement) {
        let answers = match answers {
            Ok(answers) if answers.is_empty() => Err(Missing::not_applicable("this machine has none")),
            answers => answers,
        };
        let mut answers = match answers {
            Ok(answers) => answers,
            Err(missing) => {
                // What cannot be seen is not gone: how it stood counts when it is seen again.
                if matches!(missing, Missing::NotApplicable(_)) {
                    self.standings.retain(|(check, _), _| *check != rule.check);
                    self.memory.keep(rule.check, &BTreeSet::new());
                }
                judgement.findings.push(blind(rule, None, missing));
                return;
            }
        };
        answers.sort_by_key(|answer| Reverse(urgency(answer)));
        let mut subjects = BTreeSet::new();
        answers.retain(|answer| subjects.insert(answer.subject.clone()));
        judgement.left_out += answers.len().saturating_sub(MAX_SUBJECTS);
        answers.truncate(MAX_SUBJECTS);
        let rules_out = answers.iter().all(|answer| matches!(&answer.seen, Ok(seen) if seen.level.raised().is_none()));
        let counted = answers.iter().flat_map(|answer| {
            let parts = answer.counters.iter().filter(|(_, part, _)| part.is_some());
            parts.map(|(what, part, _)| (rule.check, answer.subject.clone(), *what, part.clone()))
        });
        self.memory.keep_parts(rule.check, &counted.collect());
        let mut rows = answers.into_iter().map(|answer| self.stand(rule, answer, now, wall)).collect::<Vec<_>>();
        let seen = rows.iter().map(|row| row.subject.clone()).collect::<BTreeSet<_>>();
        self.standings.retain(|(check, subject), _| *check != rule.check || seen.contains(subject));
        self.memory.keep(rule.check, &seen);
        if rules_out && rows.iter().all(|row| row.verdict == Verdict::Pass) {
            rows.iter_mut().for_each(|row| row.exonerates = rule.exonerates.to_vec());
        }
        judgement.findings.append(&mut rows);
    }

    /// One subject's finding.
    fn stand(&mut self, rule: &Rule, answer: Answer, now: Moment, wall: WallTime) -> Finding {
        for (what, part, value) in answer.counters {
            self.memory.note((rule.check, answer.subject.clone(), what, part), now, value);
        }
        let standing = self.standings.entry((rule.check, answer.subject.clone())).or_insert(Standing::new(now));
        match answer.seen {
            Ok(reading) => {
                let fails = standing.step(reading.level, rule.hold, now, wall);
                let pending = standing.may_fail_soon(reading.level, rule.hold, now);
                let finding = judged(rule, answer.subject, reading, fails);
                match pending {
                    true => Finding { verdict: Verdict::Unknown, reason: Some(Sentence::cut(NOT_HELD_YET)), ..finding },
                    false => finding,
                }
            }
            Err(missing) => {
                standing.interrupt();
                blind(rule, answer.subject, missing)
            }
        }
    }
}

impl Standing {
    fn new(now: Moment) -> Self {
        Self { fails: None, over: [None; Severity::ALL.len()], watched: now, seen: now }
    }

    /// Nobody saw it: whether it is still over a threshold is not known.
    fn interrupt(&mut self) {
        self.over = [None; Severity::ALL.len()];
    }

    /// Whether it is over a threshold and does not fail for no other reason than that it was not watched for the whole hold time. One that
    /// was watched for longer passes until the time is over, lest each short rise is news.
    fn may_fail_soon(&self, level: Level, hold: Hold, now: Moment) -> bool {
        let held = |severity| hold.of_severity(severity) <= now - self.watched;
        self.fails.is_none()
            && level
                .raised()
                .is_some_and(|raised| Severity::ALL.iter().any(|severity| *severity <= raised && !held(*severity)))
    }

    /// Takes the next reading, and says how bad it is now and since when.
    fn step(&mut self, level: Level, hold: Hold, now: Moment, wall: WallTime) -> Option<(Severity, WallTime)> {
        if now - self.seen > LONGEST_GAP {
            self.interrupt();
        }
        self.seen = now;
        let mut ripe = None;
        for (severity, over) in Severity::ALL.iter().zip(&mut self.over) {
            if level.raised() < Some(*severity) {
                *over = None;
                continue;
            }
            let (began, since) = *over.get_or_insert((now, wall));
            if now - began >= hold.of_severity(*severity) {
                // What went from bad to worse began when it was bad.
                ripe = Some((*severity, ripe.map_or(since, |(_, since)| since)));
            }
        }
        let kept = self.fails.and_then(|(severity, since)| Some((level.kept()?.min(severity), since)));
        self.fails = match (ripe, kept) {
            (Some((severity, _)), Some((kept, since))) => Some((severity.max(kept), since)),
            (ripe, kept) => ripe.or(kept),
        };
        self.fails
    }
}

fn judged(rule: &Rule, subject: Option<Named>, reading: Reading, fails: Option<(Severity, WallTime)>) -> Finding {
    let Reading { confidence, mut evidence, forecast, .. } = reading;
    evidence.truncate(MAX_EVIDENCE);
    Finding {
        check: rule.check,
        version: rule.version,
        verdict: if fails.is_some() { Verdict::Fail } else { Verdict::Pass },
        severity: fails.map(|(severity, _)| severity),
        confidence,
        subject,
        since: fails.map(|(_, since)| since),
        reason: None,
        evidence,
        forecast: forecast.filter(|_| fails.is_some()),
        exonerates: Vec::new(),
        runbook: Label::cut(rule.runbook),
    }
}

fn blind(rule: &Rule, subject: Option<Named>, missing: Missing) -> Finding {
    let (verdict, reason): (_, Sentence) = match missing {
        Missing::Unknown(reason) => (Verdict::Unknown, reason),
        Missing::NotApplicable(reason) => (Verdict::NotApplicable, reason),
    };
    Finding {
        check: rule.check,
        version: rule.version,
        verdict,
        severity: None,
        confidence: Confidence::High,
        subject,
        since: None,
        reason: Some(reason),
        evidence: Vec::new(),
        forecast: None,
        exonerates: Vec::new(),
        runbook: Label::cut(rule.runbook),
    }
}

/// What has to stay when there are too many.
fn urgency(answer: &Answer) -> (u8, Option<Severity>, Option<Severity>) {
    match &answer.seen {
        Ok(reading) if reading.level.kept().is_some() => (3, reading.level.raised(), reading.level.kept()),
        Err(Missing::Unknown(_)) => (2, None, None),
        Ok(_) => (1, None, None),
        Err(Missing::NotApplicable(_)) => (0, None, None),
    }
}

/// How far up a finding stands.
fn weight(finding: &Finding) -> (u8, Option<Severity>, Confidence, Reverse<Check>, Reverse<Option<Named>>) {
    let rank = match finding.verdict {
        Verdict::Fail => 3,
        Verdict::Unknown => 2,
        Verdict::Pass => 1,
        Verdict::NotApplicable => 0,
    };
    (rank, finding.severity, finding.confidence, Reverse(finding.check), Reverse(finding.subject.clone()))
}

#[cfg(test)]
mod tests;
