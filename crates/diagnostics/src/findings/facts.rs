//! What a check sees.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use wire::{
    diagnostics::{
        IdentityCard, LargeProcess, Panel, Snapshot,
        findings::{Check, What},
        report::{Content, Coverage, Outcome, SectionId, SectionReport, Source},
        schema::Named,
        sections,
    },
    time::{Moment, WallTime},
};

use crate::history::{History, SeriesKey, Summary};

use super::{
    answer::Missing,
    memory::{Growth, Key, Memory},
    trends::Trends,
};

/// Everything that is known of the machine at one time.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The time now, for hold times.
    pub now: Moment,
    /// The time now as the machine's clock has it, for dates.
    pub wall: WallTime,
    /// What the machine is.
    pub card: &'a IdentityCard,
    /// The newest sample, if there is one.
    pub sample: Option<&'a Snapshot>,
    /// The processes with most memory, the largest first.
    pub largest: &'a [LargeProcess],
    /// The minutes before.
    pub history: History<'a>,
    /// Where things go, as far as that was worked out.
    pub trends: &'a Trends,
    /// What a round trip takes with and without load, and when that was measured, if it was.
    pub round_trip: Option<(RoundTrip, Moment)>,
    /// The newest reading of each section that was read.
    pub sections: &'a BTreeMap<SectionId, SectionReport>,
}

/// What a round trip to the internet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundTrip {
    /// Microseconds while nothing else is sent.
    pub idle_us: u64,
    /// Microseconds while the line is full.
    pub loaded_us: u64,
}

/// Share of a window, in percent, that has to be covered before it says something.
const COVERED_PERCENT: u32 = 80;

/// A history whose newest sample is older says nothing about now. The longest period of samples is a minute.
const STALE: Duration = Duration::from_mins(2);

/// What a round trip took longer ago says nothing about now: others use the line as well.
const ROUND_TRIP_STALE: Duration = Duration::from_hours(1);

/// A section with counters that is older is not compared.
const RECENT: Duration = Duration::from_mins(5);

/// The facts as checks see them, together with what was counted before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    facts: &'a Facts<'a>,
    memory: &'a Memory,
    check: Check,
}

macro_rules! sections {
    ($($name:ident: $variant:ident,)*) => {
        $(
        /// That section, or why it is not there.
        pub(crate) fn $name(&self) -> Result<&'a sections::$name::$variant, Missing> {
            match self.content(SectionId::$variant)? {
                Content::$variant(content) => Ok(content),
                _ => Err(Missing::unknown("the section has the content of another")),
            }
        })*
    };
}

impl<'a> View<'a> {
    pub(crate) fn new(facts: &'a Facts<'a>, memory: &'a Memory, check: Check) -> Self {
        Self { facts, memory, check }
    }

    sections! {
        storage: Storage,
        groups: Groups,
        certificates: Certificates,
        updates: Updates,
        hardware: Hardware,
        power: Power,
        clock: Clock,
        network: Network,
        services: Services,
        crashes: Crashes,
        ladder: Ladder,
    }

    pub(crate) fn wall(&self) -> WallTime {
        self.facts.wall
    }

    pub(crate) fn card(&self) -> &'a IdentityCard {
        self.facts.card
    }

    pub(crate) fn largest(&self) -> &'a [LargeProcess] {
        self.facts.largest
    }

    pub(crate) fn trends(&self) -> &'a Trends {
        self.facts.trends
    }

    pub(crate) fn round_trip(&self) -> Result<RoundTrip, Missing> {
        match self.facts.round_trip {
            Some((round_trip, measured)) if self.facts.now - measured <= ROUND_TRIP_STALE => Ok(round_trip),
            Some(_) => Err(Missing::unknown("it was measured long ago")),
            None => Err(Missing::unknown("nobody has measured it")),
        }
    }

    /// The newest sample, if it has this table.
    pub(crate) fn table(&self, panel: Panel) -> Result<&'a Snapshot, Missing> {
        match self.sample()? {
            sample if sample.view.panels.contains(panel) => Ok(sample),
            _ => Err(Missing::unknown("it was not looked at")),
        }
    }

    /// Whether a section was read a moment ago, so that what it counts says something about now.
    pub(crate) fn is_recent(&self, section: SectionId) -> bool {
        self.is_within(section, RECENT)
    }

    /// Whether a section was read not longer ago than `age`.
    pub(crate) fn is_within(&self, section: SectionId, age: Duration) -> bool {
        let report = self.facts.sections.get(&section);
        let since = report.map(|report| self.facts.wall.0.saturating_sub(report.taken_at.0));
        since.is_some_and(|since| Duration::from_millis(since) <= age)
    }

    /// Mean of a figure over the last `window`.
    pub(crate) fn mean(&self, key: &SeriesKey, window: Duration) -> Result<i64, Missing> {
        self.covered(key, window).map(|summary| summary.mean)
    }

    /// How much a counter went up over the last `window`.
    pub(crate) fn increase(&self, key: &SeriesKey, window: Duration) -> Result<u64, Missing> {
        self.covered(key, window)?;
        Ok(self.facts.history.increase(key, window).unwrap_or(0))
    }

    /// A window that is known for the most part and ends now.
    fn covered(&self, key: &SeriesKey, window: Duration) -> Result<Summary, Missing> {
        let newest = self.facts.history.now().map(|(measured, _)| self.facts.now - measured);
        if newest.is_none_or(|age| age > STALE) {
            return Err(Missing::unknown("nothing was measured lately"));
        }
        match self.facts.history.summary(key, window) {
            Some(summary) if summary.spans >= window * COVERED_PERCENT / 100 => Ok(summary),
            _ => Err(Missing::unknown(&format!("the last {} minutes are not known yet", window.as_secs() / 60))),
        }
    }

    /// How much a counter of this check went up over the last `window`, as far back as it was seen; none at first sight.
    pub(crate) fn growth(&self, subject: Option<&Named>, what: What, value: i64, window: Duration) -> Option<Growth> {
        self.memory.growth(&self.key(subject, what, None), value, self.facts.now, window)
    }

    /// As [`View::growth`], of a part of the whole machine.
    pub(crate) fn growth_of_part(&self, part: &Named, what: What, value: i64, window: Duration) -> Option<Growth> {
        self.memory.growth(&self.key(None, what, Some(part)), value, self.facts.now, window)
    }

    /// The last value of a counter of this check.
    pub(crate) fn last(&self, subject: Option<&Named>, what: What) -> Option<i64> {
        self.memory.last(&self.key(subject, what, None))
    }

    /// The first value of a counter of this check.
    pub(crate) fn first(&self, subject: Option<&Named>, what: What) -> Option<i64> {
        self.memory.first(&self.key(subject, what, None))
    }

    fn key(&self, subject: Option<&Named>, what: What, part: Option<&Named>) -> Key {
        (self.check, subject.cloned(), what, part.cloned())
    }

    /// The newest sample.
    pub(crate) fn sample(&self) -> Result<&'a Snapshot, Missing> {
        self.facts.sample.ok_or_else(|| Missing::unknown("nothing was measured yet"))
    }

    /// The newest sample, if its rates say something.
    pub(crate) fn rates(&self) -> Result<&'a Snapshot, Missing> {
        match self.sample()? {
            sample if sample.interval_ms > 0 => Ok(sample),
            _ => Err(Missing::unknown("rates need a second sample")),
        }
    }

    /// How long the machine runs.
    pub(crate) fn uptime(&self) -> Result<Duration, Missing> {
        self.sample().map(|sample| Duration::from_secs(sample.uptime_secs))
    }

    /// Why the newest sample lacks `source`, if it does.
    pub(crate) fn unreadable(&self, source: &str) -> Option<Missing> {
        let gaps = &self.facts.sample?.unreadable;
        let gap = gaps.iter().find(|gap| gap.source.raw() == source)?;
        Some(Missing::Unknown(gap.reason.clone()))
    }

    /// Why `section` does not have all of `source`, if it does not. A source whose name begins so counts.
    pub(crate) fn gap(&self, section: SectionId, source: &str) -> Option<Missing> {
        let report = self.facts.sections.get(&section)?;
        let lacking = |one: &&Source| one.coverage != Coverage::Read && one.name.raw().starts_with(source);
        report.sources.iter().find(lacking).map(|source| Missing::Unknown(source.reason.clone()))
    }

    /// Why `section` does not have all of something, if it does not.
    pub(crate) fn any_gap(&self, section: SectionId) -> Option<Missing> {
        self.gap(section, "")
    }

    fn content(&self, section: SectionId) -> Result<&'a Content, Missing> {
        let Some(report) = self.facts.sections.get(&section) else {
            return Err(Missing::unknown("it was not read yet"));
        };
        if let Some(content) = &report.content {
            return Ok(content);
        }
        if report.outcome == Outcome::TimedOut {
            return Err(Missing::unknown("it did not come in time"));
        }
        // Nothing was found: is there nothing, or was it not to be seen?
        match report.sources.iter().find(|source| source.coverage != Coverage::Read) {
            Some(source) => Err(Missing::unknown(&format!("{}: {}", source.name.raw(), source.reason.raw()))),
            None => Err(Missing::not_applicable("this system has nothing of the kind")),
        }
    }
}
