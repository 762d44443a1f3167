//! Replays a story.

use std::{cmp::Reverse, collections::BTreeMap, fs, path::Path, time::Duration};

use diagnostics::{
    findings::{Engine, Facts, RoundTrip, Trends},
    history::{Places, Ring, figures_of},
};
use serde::Deserialize;
use serde_json::Value;
use wire::{
    diagnostics::{
        IdentityCard, LargeProcess, Snapshot,
        findings::{Check, Finding, Severity, Verdict},
        report::SectionReport,
    },
    time::{Moment, WallTime},
};

/// Where the stories are.
pub(super) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/findings");

/// When every story begins: 2026-11-22T06:00:00Z.
const BEGINS: WallTime = WallTime(1_795_327_200_000);

/// What was seen of a machine over some time, and what should be found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Story {
    /// What it is about.
    #[allow(dead_code, reason = "for whoever reads the file")]
    story: String,
    stretches: Vec<Stretch>,
}

/// A time in which the same is seen again and again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    lasts_secs: u64,
    every_secs: u64,
    /// What changes of the facts before, as a merge patch (RFC 7396).
    #[serde(default)]
    changes: Value,
    /// By how much a number changes with each sample, by its JSON pointer (RFC 6901).
    #[serde(default)]
    climbs: BTreeMap<String, i64>,
    /// What is found at the end of it.
    expect: Option<Expected>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Everything that fails, the worst first, such as `critical space-used /home`.
    fails: Vec<String>,
    /// The verdict of other checks, by `check` or `check subject`.
    #[serde(default)]
    verdicts: BTreeMap<String, Verdict>,
    /// What the technician reads of one that fails.
    #[serde(default)]
    reads: BTreeMap<String, String>,
}

/// All that checks see, but for history and time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    card: IdentityCard,
    sample: Snapshot,
    trends: Trends,
    round_trip: Option<RoundTrip>,
    /// How long ago that was measured.
    round_trip_age_secs: u64,
    /// By name, so that a patch can change one of them. Read with every sample, unless the time that they were taken at says otherwise.
    sections: BTreeMap<String, SectionReport>,
}

impl Story {
    /// Reads the story of that name.
    pub(super) fn named(name: &str) -> Self {
        serde_json::from_value(json(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What is expected to fail, and how badly.
    pub(super) fn failures(self) -> impl Iterator<Item = (Check, Severity)> {
        let fails = self.stretches.into_iter().filter_map(|stretch| stretch.expect).flat_map(|expected| expected.fails);
        fails.map(|line| {
            let mut words = line.split(' ');
            let (severity, check) = (words.next(), words.next());
            let severity = Severity::ALL.iter().find(|one| Some(one.name()) == severity);
            let check = Check::ALL.iter().find(|one| Some(one.name()) == check);
            check.copied().zip(severity.copied()).unwrap_or_else(|| panic!("{line}: no such severity or check"))
        })
    }

    /// Asks the engine with each sample, and compares what it found at the end of each stretch.
    pub(super) fn replay(self) {
        let mut facts = json("desktop");
        let mut engine = Engine::new();
        let mut ring = Ring::new(Duration::from_secs(5));
        let mut elapsed = 0;
        for (number, stretch) in self.stretches.into_iter().enumerate() {
            merge(&mut facts, &stretch.changes);
            let mut findings = Vec::new();
            for _ in 0..stretch.lasts_secs / stretch.every_secs {
                elapsed += stretch.every_secs;
                climb(&mut facts, &stretch.climbs);
                climb(
                    &mut facts,
                    &BTreeMap::from([("/sample/uptime_secs".to_owned(), stretch.every_secs.cast_signed())]),
                );
                let seen = serde_json::from_value::<Seen>(facts.clone());
                let seen = seen.unwrap_or_else(|error| panic!("stretch {number}: {error}"));
                findings = judge(&mut engine, &mut ring, seen, elapsed);
            }
            if let Some(expected) = stretch.expect {
                expected.compare(number, &findings);
            }
        }
    }
}

fn judge(engine: &mut Engine, ring: &mut Ring, seen: Seen, elapsed: u64) -> Vec<Finding> {
    let now = Moment::from_origin(Duration::from_secs(1_000_000 + elapsed));
    let measured =
        Moment::from_origin(now.since_origin().saturating_sub(Duration::from_secs(seen.round_trip_age_secs)));
    let wall = WallTime(BEGINS.0 + elapsed * 1000);
    let sections = seen.sections.into_values().map(|section| (section.section, section));
    let mut sections = sections.collect::<BTreeMap<_, _>>();
    for section in sections.values_mut().filter(|section| section.taken_at == WallTime(0)) {
        section.taken_at = wall;
    }
    ring.push(&figures_of(&seen.sample, &Places::default()), wall, now);
    // A story tells of no others.
    let held = seen.sample.processes.iter().map(|process| LargeProcess {
        pid: process.pid,
        start_ticks: process.start_ticks,
        name: process.name.clone(),
        resident_kib: process.resident_kib,
    });
    let mut largest = held.collect::<Vec<_>>();
    largest.sort_by_key(|process| Reverse(process.resident_kib));
    let facts = Facts {
        largest: &largest,
        now,
        wall,
        card: &seen.card,
        sample: Some(&seen.sample),
        history: ring.history(),
        trends: &seen.trends,
        round_trip: seen.round_trip.map(|round_trip| (round_trip, measured)),
        sections: &sections,
    };
    let judgement = engine.judge(&facts);
    assert_eq!(judgement.left_out, 0);
    judgement.findings
}

impl Expected {
    fn compare(&self, stretch: usize, findings: &[Finding]) {
        let fails = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
        let fails = fails.map(|finding| {
            let severity = finding.severity.map_or("", Severity::name);
            format!("{severity} {}", name(finding))
        });
        assert_eq!(fails.collect::<Vec<_>>(), self.fails, "what fails at the end of stretch {stretch}");
        for (wanted, verdict) in &self.verdicts {
            let found = findings.iter().find(|finding| name(finding) == *wanted);
            let found = found.unwrap_or_else(|| panic!("stretch {stretch}: nothing about {wanted}"));
            assert_eq!(found.verdict, *verdict, "stretch {stretch}: {wanted}: {:?}", found.reason);
        }
        for (wanted, text) in &self.reads {
            let found = findings.iter().find(|finding| name(finding) == *wanted);
            let found = found.unwrap_or_else(|| panic!("stretch {stretch}: nothing about {wanted}"));
            assert_eq!(report::wording::technical(found), *text, "stretch {stretch}: {wanted}");
        }
        for finding in findings {
            let (plain, technical) = (report::wording::plain(finding), report::wording::technical(finding));
            let gaps = [&plain, &technical].into_iter().find(|text| text.contains("(not measured)"));
            assert_eq!(gaps, None, "stretch {stretch}: {finding:?}");
            assert_eq!(finding.reason.is_some(), matches!(finding.verdict, Verdict::Unknown | Verdict::NotApplicable));
        }
    }
}

fn name(finding: &Finding) -> String {
    match &finding.subject {
        Some(subject) => format!("{} {}", finding.check, subject.label().raw()),
        None => finding.check.to_string(),
    }
}

fn json(name: &str) -> Value {
    let file = Path::new(FOLDER).join(format!("{name}.json"));
    let text = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Changes `target` as `patch` says (RFC 7396).
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        if !patch.is_null() {
            *target = patch.clone();
        }
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (field, value) in fields {
        if value.is_null() {
            object.remove(field);
        } else {
            merge(object.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

fn climb(facts: &mut Value, climbs: &BTreeMap<String, i64>) {
    for (place, step) in climbs {
        let number = facts.pointer_mut(place).unwrap_or_else(|| panic!("there is no {place}"));
        let before = number.as_i64().unwrap_or_else(|| panic!("{place} is no number"));
        *number = Value::from(before + step);
    }
}
