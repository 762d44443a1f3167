use std::collections::BTreeMap;

use proptest::prelude::*;
use wire::{
    diagnostics::{IdentityCard, Snapshot, findings::What},
    text::Label,
};

use super::*;
use crate::{
    findings::{
        Trends,
        level::{Band, critical, warning},
    },
    history::Ring,
};

const BANDS: [Band; 2] = [warning(85, 75), critical(95, 85)];
const HOLD: Hold = Hold { warning: Duration::from_secs(60), critical: Duration::from_secs(30) };
const CHECK: Check = Check::CpuBusy;

fn rule_with(hold: Hold) -> Rule {
    Rule { hold, exonerates: &[Check::LoadPerCore], ..rule(CHECK) }
}

fn subject(name: &str) -> Named {
    Named::Technical(Label::cut(name))
}

fn reads(name: &str, value: i64) -> Answer {
    Answer::about(subject(name), Ok(Reading::new(Level::above(value, &BANDS))))
}

fn at(secs: u64) -> (Moment, WallTime) {
    (Moment::from_origin(Duration::from_secs(secs)), WallTime(secs * 1000))
}

/// An engine that is told answers instead of facts.
struct Told {
    engine: Engine,
    rule: Rule,
    secs: u64,
}

impl Told {
    fn new(hold: Hold) -> Self {
        Self { engine: Engine::new(), rule: rule_with(hold), secs: 1000 }
    }

    /// One that has seen "a" for long enough by the second 1000.
    fn watching(hold: Hold) -> Self {
        let mut told = Self { secs: 900, ..Self::new(hold) };
        (0..10).for_each(|_| drop(told.value(10)));
        told
    }

    fn tell(&mut self, answers: Answers) -> Judgement {
        let (now, wall) = at(self.secs);
        let mut judgement = Judgement { findings: Vec::new(), left_out: 0 };
        self.engine.settle(&self.rule, answers, now, wall, &mut judgement);
        self.secs += 10;
        judgement
    }

    fn value(&mut self, value: i64) -> Finding {
        self.tell(Ok(vec![reads("a", value)])).findings.remove(0)
    }
}

#[test]
fn a_figure_has_to_be_over_its_threshold_for_the_hold_time() {
    let mut told = Told::watching(HOLD);
    for _ in 0..6 {
        assert_eq!(told.value(90).verdict, Verdict::Pass);
    }
    let failed = told.value(90);
    assert_eq!((failed.verdict, failed.severity), (Verdict::Fail, Some(Severity::Warning)));
    assert_eq!(failed.since, Some(WallTime(1_000_000)), "since it went over, not since it was held");
}

#[test]
fn what_is_over_its_threshold_and_was_not_watched_for_the_hold_time_is_not_said_to_be_fine() {
    let mut told = Told::new(HOLD);
    assert_eq!(told.value(80).verdict, Verdict::Pass);
    for _ in 0..5 {
        let pending = told.value(90);
        assert_eq!((pending.verdict, pending.severity, pending.since), (Verdict::Unknown, None, None));
        assert_eq!(pending.reason.as_ref().map(Sentence::raw), Some(NOT_HELD_YET));
    }
    assert_eq!(told.value(90).verdict, Verdict::Pass, "by now it could have been over it for long enough, and was not");
    assert_eq!(told.value(90).verdict, Verdict::Fail);
    assert_eq!(Told::new(HOLD).value(80).verdict, Verdict::Pass);
    assert_eq!(Told::new(Hold::NONE).value(90).verdict, Verdict::Fail);
}

#[test]
fn one_good_sample_begins_the_hold_time_again() {
    let mut told = Told::watching(HOLD);
    for value in [90, 90, 90, 90, 90, 80, 90, 90, 90, 90, 90, 90] {
        assert_eq!(told.value(value).verdict, Verdict::Pass);
    }
    assert_eq!(told.value(90).verdict, Verdict::Fail);
}

#[test]
fn what_fails_passes_again_only_below_the_clear_threshold() {
    let mut told = Told::new(Hold::NONE);
    let told = [86, 76, 84, 75, 84].map(|value| told.value(value).verdict);
    assert_eq!(told, [Verdict::Fail, Verdict::Fail, Verdict::Fail, Verdict::Pass, Verdict::Pass]);
}

#[test]
fn a_warning_becomes_critical_and_a_warning_again_without_beginning_anew() {
    let mut told = Told::new(Hold::NONE);
    let seen = [86, 96, 90, 85, 80].map(|value| {
        let finding = told.value(value);
        (finding.severity, finding.since)
    });
    let began = Some(WallTime(1_000_000));
    let (warning, critical) = (Some(Severity::Warning), Some(Severity::Critical));
    assert_eq!(seen, [(warning, began), (critical, began), (critical, began), (warning, began), (warning, began)]);
}

#[test]
fn what_cannot_be_seen_is_unknown_and_stands_as_before_when_it_is_seen_again() {
    let mut told = Told::new(HOLD);
    (0..7).for_each(|_| drop(told.value(90)));
    let blind = told.tell(Ok(vec![Answer::about(subject("a"), Err(Missing::unknown("timed out")))])).findings.remove(0);
    assert_eq!((blind.verdict, blind.severity, blind.since), (Verdict::Unknown, None, None));
    assert_eq!(blind.reason.as_ref().map(|reason| reason.raw()), Some("timed out"));
    let all_blind = told.tell(Err(Missing::unknown("no section"))).findings.remove(0);
    assert_eq!((all_blind.verdict, all_blind.subject), (Verdict::Unknown, None));
    let again = told.value(80);
    assert_eq!((again.verdict, again.since), (Verdict::Fail, Some(WallTime(1_000_000))));
}

#[test]
fn a_hold_time_does_not_run_while_nothing_is_seen() {
    let mut told = Told::watching(HOLD);
    told.value(90);
    told.secs += 3600;
    assert_eq!(told.value(90).verdict, Verdict::Pass, "the machine slept for an hour");
}

#[test]
fn a_subject_that_is_gone_is_forgotten() {
    let mut told = Told::new(Hold::NONE);
    told.value(90);
    told.tell(Ok(vec![reads("b", 10)]));
    assert_eq!(told.engine.standings.len(), 1);
    assert_eq!(told.value(80).verdict, Verdict::Pass, "it is another disk that came back under the name");
    told.tell(Err(Missing::not_applicable("none")));
    assert!(told.engine.standings.is_empty());
}

#[test]
fn only_a_check_that_passes_for_all_its_subjects_rules_something_out() {
    let mut told = Told::new(HOLD);
    let out = |judgement: Judgement| judgement.findings.iter().map(|row| row.exonerates.len()).collect::<Vec<_>>();
    assert_eq!(out(told.tell(Ok(vec![reads("a", 10), reads("b", 10)]))), [1, 1]);
    assert_eq!(out(told.tell(Ok(vec![reads("a", 10), reads("b", 90)]))), [0, 0], "b may be about to fail");
    let blind = Answer::about(subject("b"), Err(Missing::unknown("gone")));
    assert_eq!(out(told.tell(Ok(vec![reads("a", 10), blind]))), [0, 0]);
}

#[test]
fn of_too_many_subjects_the_worst_stay_and_the_rest_is_counted() {
    let mut told = Told::new(Hold::NONE);
    let mut many = (0..1000).map(|number| reads(&format!("fine {number}"), 10)).collect::<Vec<_>>();
    many.push(reads("bad", 99));
    let judgement = told.tell(Ok(many));
    assert_eq!((judgement.findings.len(), judgement.left_out), (MAX_SUBJECTS, 1001 - MAX_SUBJECTS));
    assert_eq!(judgement.findings[0].subject, Some(subject("bad")));
    assert_eq!(told.engine.standings.len(), MAX_SUBJECTS);
}

#[test]
fn a_subject_that_is_told_twice_counts_once_as_the_worse() {
    let mut told = Told::new(Hold::NONE);
    let judgement = told.tell(Ok(vec![reads("a", 10), reads("a", 99)]));
    assert_eq!(judgement.findings.len(), 1);
    assert_eq!(judgement.findings[0].severity, Some(Severity::Critical));
}

fn nobody() -> IdentityCard {
    let blank = Label::default();
    IdentityCard {
        host: blank.clone(),
        system: blank.clone(),
        kernel: blank.clone(),
        architecture: blank.clone(),
        model: blank.clone(),
        virtualisation: Some(Label::cut("kvm")),
        processor: blank.clone(),
        cores: 0,
        memory_kib: 0,
        agent_version: blank.clone(),
        user: blank,
        administrator: false,
    }
}

fn judge(sample: Option<&Snapshot>) -> Judgement {
    let (now, wall) = at(5000);
    let (ring, card, trends) = (Ring::new(Duration::from_secs(5)), nobody(), Trends::default());
    let facts = Facts {
        now,
        wall,
        card: &card,
        sample,
        largest: &[],
        history: ring.history(),
        trends: &trends,
        round_trip: None,
        sections: &BTreeMap::new(),
    };
    Engine::new().judge(&facts)
}

#[test]
fn a_machine_of_which_nothing_is_known_passes_no_check() {
    let judgement = judge(None);
    assert_eq!(judgement.findings.len(), Check::ALL.len());
    for finding in judgement.findings {
        assert_eq!(finding.verdict, Verdict::Unknown, "{}", finding.check);
        assert!(finding.reason.is_some_and(|reason| !reason.is_blank()), "{}", finding.check);
    }
}

#[test]
fn a_sample_without_figures_passes_no_check_that_rests_on_them() {
    let empty = Snapshot::default();
    let verdicts =
        judge(Some(&empty)).findings.into_iter().map(|row| (row.check, row.verdict)).collect::<BTreeMap<_, _>>();
    for check in [
        Check::CpuBusy,
        Check::CpuIowait,
        Check::CpuSteal,
        Check::MemoryPressure,
        Check::IoPressure,
        Check::MemoryAvailable,
        Check::SwapUse,
        Check::SpaceUsed,
        Check::InodesUsed,
        Check::FilesystemReadOnly,
        Check::MountUnresponsive,
        Check::TcpRetransmits,
        Check::LoadPerCore,
        Check::ThermalThrottling,
        Check::FileHandles,
    ] {
        assert_ne!(verdicts[&check], Verdict::Pass, "{check}");
    }
}

#[test]
fn every_rule_has_a_runbook_and_rules_out_other_checks() {
    for check in Check::ALL {
        let rule = rule(*check);
        assert_eq!(rule.check, *check);
        assert!(report::runbooks::runbook(rule.runbook).is_some(), "{check}: {}", rule.runbook);
        assert!(!rule.exonerates.contains(check), "{check}");
    }
}

proptest! {
    /// Whatever a figure does between the two thresholds, its finding stays as it is.
    #[test]
    fn a_finding_never_flaps_inside_the_band(first in 0_i64..120, wavers in proptest::collection::vec(76_i64..=85, 1..60)) {
        let mut told = Told::new(Hold::NONE);
        told.value(first);
        let mut before = told.value(80).verdict;
        for value in wavers {
            let verdict = told.value(value).verdict;
            prop_assert_eq!(verdict, before);
            before = verdict;
        }
    }

    /// Of two machines, the one that is never better off never has the milder finding.
    #[test]
    fn severity_is_monotone(steps in proptest::collection::vec((0_i64..120, 0_i64..40), 1..80)) {
        let (mut better, mut worse) = (Told::new(HOLD), Told::new(HOLD));
        for (value, more) in steps {
            prop_assert!(better.value(value).severity <= worse.value(value + more).severity);
        }
    }

    /// A check that did not see its subject never says that it is fine, whatever was before.
    #[test]
    fn unknown_is_never_a_pass(steps in proptest::collection::vec(proptest::option::of(0_i64..120), 1..80)) {
        let mut told = Told::watching(HOLD);
        for step in steps {
            let answer = match step {
                Some(value) => reads("a", value),
                None => Answer::about(subject("a"), Err(Missing::unknown("not seen"))),
            };
            let finding = told.tell(Ok(vec![answer])).findings.remove(0);
            prop_assert_eq!(finding.verdict == Verdict::Unknown, step.is_none());
            prop_assert_eq!(finding.reason.is_some(), step.is_none());
            prop_assert_eq!(finding.severity.is_some(), finding.verdict == Verdict::Fail);
            prop_assert_eq!(finding.since.is_some(), finding.verdict == Verdict::Fail);
        }
    }

    /// However long it runs and whatever it is told, it remembers no more than it may.
    #[test]
    fn the_engine_is_bounded(counts in proptest::collection::vec(0_usize..400, 1..10)) {
        let mut told = Told::new(HOLD);
        for count in counts {
            let answers = (0..count).map(|number| reads(&number.to_string(), 90).counting(What::Restarts, 1)).collect();
            let judgement = told.tell(Ok(answers));
            prop_assert!(judgement.findings.len() <= MAX_SUBJECTS.max(1) && told.engine.standings.len() <= MAX_SUBJECTS);
        }
    }
}
