//! Where things go: what the long history was found to say, for the checks that judge it.

use serde::{Deserialize, Serialize};
use wire::{
    diagnostics::{
        findings::{Confidence, Forecast, Unit},
        schema::Named,
    },
    text::Label,
    time::WallTime,
};

use crate::forecast::{Foreseen, Growth, NoForecast, Point, Trend, battery_health, disk_full, disk_wear, memory_leak};

/// What a battery that is worn out holds, in thousandths of what it held when new: where its check calls it critical.
pub(super) const BATTERY_WORN_PERMILLE: i64 = 500;

/// What was worked out of the history. Absent lists were not worked out yet: too little is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trends {
    /// File systems that fill up.
    pub space: Option<Vec<SpaceTrend>>,
    /// Processes and control groups that grow.
    pub leaks: Option<Vec<LeakTrend>>,
    /// Figures that went to another level.
    pub shifts: Option<Vec<LevelShift>>,
    /// Solid-state disks that wear: when they have used up their endurance.
    pub wear: Option<Vec<WearTrend>>,
    /// What the counters of ATA disks were, that go before failures.
    pub sectors: Option<Vec<SectorTrend>>,
    /// Batteries that wear: when they hold half of what they held when new.
    pub batteries: Option<Vec<WearTrend>>,
}

/// How the room on a file system goes down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceTrend {
    /// Where it is mounted.
    pub mount: Label,
    /// How much less there is after an hour.
    pub shrinks_kib_per_hour: u64,
    /// Seconds until it is full, most likely.
    pub likely_secs: u64,
    /// When it is full.
    pub full: Forecast,
}

/// How the memory of a process or a control group goes up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakTrend {
    /// The program, or the place of the group.
    pub name: Label,
    /// Whether it is a group.
    #[serde(default)]
    pub group: bool,
    /// What it has now; of a group without what the kernel can take back.
    pub resident_kib: u64,
    /// How much more there is after an hour.
    pub grows_kib_per_hour: u64,
    /// Seconds until it has taken what is left, most likely.
    pub likely_secs: u64,
    /// When it has taken what is left.
    pub exhausted: Forecast,
}

/// How a disk or a battery wears.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WearTrend {
    /// Its name.
    pub name: Named,
    /// When it is worn out.
    pub worn: Forecast,
}

/// What the counters of an ATA disk were, that go before failures, before they went up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SectorTrend {
    /// Its name.
    pub name: Named,
    /// Their sum before it went up on two days at least of the month that is kept.
    pub before: i64,
}

/// A figure that went to another level and stayed there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelShift {
    /// Which figure, such as `cpu.busy`.
    pub figure: Label,
    /// Of which thing; absent where it is the whole machine.
    pub subject: Option<Named>,
    /// What it counts.
    pub unit: Unit,
    /// The level before.
    pub before: i64,
    /// The level since.
    pub after: i64,
    /// Since when.
    pub since: WallTime,
    /// How sure that is.
    pub confidence: Confidence,
    /// What else moved as it seldom does, the oddest first.
    #[serde(default)]
    pub odd: Vec<OddFigure>,
}

/// A figure that moved as it seldom does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddFigure {
    /// Which figure.
    pub figure: Label,
    /// Of which thing; absent where it is the whole machine.
    pub subject: Option<Named>,
    /// How much of the time that is, in thousandths.
    pub permille: u16,
}

/// Something that takes memory: its name, how it grows, and what it held when, in KiB.
pub type Growing = (Label, Growth, Vec<Point>);

impl Trends {
    /// Looks where the room on file systems goes: for each its mount, its size, and what was available over the last days, in KiB.
    ///
    /// As long as there is too little to say anything of any of them, nothing is known.
    pub fn look_at_space(&mut self, filesystems: &[(Label, u64, Vec<Point>)]) {
        let forecasts = filesystems.iter().map(|(mount, total_kib, points)| {
            let Foreseen { likely_secs, range: full } =
                disk_full(points, i64::try_from(*total_kib).unwrap_or(i64::MAX))?;
            let shrinks_kib_per_hour = an_hour(points, -1.0);
            Ok(SpaceTrend { mount: mount.clone(), shrinks_kib_per_hour, likely_secs, full })
        });
        self.space = known(forecasts.collect());
    }

    /// Looks which processes and which control groups grow: for each its name, how it grows, and its memory over the last hours in KiB.
    /// `available` and `total` are the machine's. A group that grows as one of the processes does is taken for where that process is.
    ///
    /// Of those that were not watched for long enough there is no list.
    pub fn look_at_memory(
        &mut self,
        processes: Option<&[Growing]>,
        groups: Option<&[Growing]>,
        (available_kib, total_kib): (u64, u64),
    ) {
        let whole = |kib: u64| i64::try_from(kib).unwrap_or(i64::MAX);
        let leaks = |rows: &[Growing], group: bool| {
            let forecasts = rows.iter().map(|(name, growth, points)| {
                let Foreseen { likely_secs, range: exhausted } =
                    memory_leak(points, *growth, whole(available_kib), whole(total_kib))?;
                let resident_kib = points.last().map_or(0, |last| last.value.max(0).unsigned_abs());
                let grows_kib_per_hour = an_hour(points, 1.0);
                Ok(LeakTrend { name: name.clone(), group, resident_kib, grows_kib_per_hour, likely_secs, exhausted })
            });
            // Where nothing is large nothing leaks.
            if rows.is_empty() { Some(Vec::new()) } else { known(forecasts.collect()) }
        };
        let processes = processes.and_then(|rows| leaks(rows, false));
        let mut groups = groups.and_then(|rows| leaks(rows, true));
        if let Some(groups) = &mut groups {
            let of_one = |group: &LeakTrend, process: &LeakTrend| {
                let (process, group) = (process.grows_kib_per_hour, group.grows_kib_per_hour);
                process.saturating_mul(10) >= group.saturating_mul(7)
                    && process.saturating_mul(7) <= group.saturating_mul(10)
            };
            groups.retain(|group| !processes.iter().flatten().any(|process| of_one(group, process)));
        }
        self.leaks = match (processes, groups) {
            (Some(processes), groups) => Some(processes.into_iter().chain(groups.into_iter().flatten()).collect()),
            // As long as processes were not watched for long enough, only what is found counts.
            (None, groups) => groups.filter(|groups| !groups.is_empty()),
        };
    }

    /// Looks how disks and batteries wear: for each its name and what was told over the last month, in thousandths of the endurance that
    /// is used up, or of what it held when new.
    pub fn look_at_wear(&mut self, disks: &[(Named, Vec<Point>)], batteries: &[(Named, Vec<Point>)]) {
        let trends = |rows: &[(Named, Vec<Point>)], forecast: &dyn Fn(&[Point]) -> Result<Foreseen, NoForecast>| {
            let one = |(name, points): &(Named, Vec<Point>)| {
                forecast(points).map(|worn| WearTrend { name: name.clone(), worn: worn.range })
            };
            known(rows.iter().map(one).collect())
        };
        self.wear = trends(disks, &|points| disk_wear(points));
        self.batteries = trends(batteries, &|points| battery_health(points, BATTERY_WORN_PERMILLE));
    }

    /// Looks which counters of ATA disks go up: for each its name and the sums of the last month, in order of time.
    ///
    /// Disks are known by the kernel's names, which can be others' after a start. So a sum that goes down is another disk's, and one that
    /// went up once may be. Sums beyond what is kept exactly say nothing.
    pub fn look_at_sectors(&mut self, disks: &[(Named, Vec<Point>)]) {
        let rising = |(name, points): &(Named, Vec<Point>)| {
            let sums = points.iter().map(|point| point.value).collect::<Vec<_>>();
            let since = sums.windows(2).rposition(|pair| pair[0] > pair[1]).map_or(0, |place| place + 1);
            let own = sums.get(since..).unwrap_or_default();
            let rises = own.windows(2).filter(|pair| pair[0] < pair[1]).count();
            let exact = own.last().is_some_and(|last| *last < i64::from(i32::MAX));
            let before = own.first().filter(|_| rises >= 2 && exact)?;
            Some(SectorTrend { name: name.clone(), before: *before })
        };
        self.sectors = Some(disks.iter().filter_map(rising).collect());
    }

    /// What the counters of an ATA disk were before they went up, in the month that is kept; none if they did not.
    pub(super) fn sectors_of(&self, disk: &Named) -> Option<i64> {
        self.sectors.iter().flatten().find(|trend| trend.name == *disk).map(|trend| trend.before)
    }

    /// When a disk will have used up its endurance, if that can be said.
    pub(super) fn wear_of(&self, disk: &Named) -> Option<Forecast> {
        forecast_of(self.wear.as_deref(), disk)
    }

    /// When a battery will hold half of what it held when new, if that can be said.
    pub(super) fn fading_of(&self, battery: &Named) -> Option<Forecast> {
        forecast_of(self.batteries.as_deref(), battery)
    }
}

fn forecast_of(trends: Option<&[WearTrend]>, name: &Named) -> Option<Forecast> {
    trends?.iter().find(|trend| trend.name == *name).map(|trend| trend.worn)
}

/// How far the line through the last six hours goes in an hour, towards `sign`.
fn an_hour(points: &[Point], sign: f64) -> u64 {
    let newest = points.last().map_or(0, |last| last.at_secs);
    let recent =
        points.iter().filter(|point| newest.saturating_sub(point.at_secs) <= 6 * 3600).copied().collect::<Vec<_>>();
    let change = Trend::of(&recent).map_or(0.0, |line| line.slope * 3600.0 * sign);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from a float saturates, and not a number is 0"
    )]
    let change = change as u64;
    change
}

/// What is foreseen; nothing if of none there was enough to look at.
fn known<T>(forecasts: Vec<Result<T, NoForecast>>) -> Option<Vec<T>> {
    let blind = forecasts.iter().all(|forecast| matches!(forecast, Err(NoForecast::TooFew)));
    (!blind).then(|| forecasts.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A value every five minutes for eight hours.
    fn points(value: impl Fn(i64) -> i64) -> Vec<Point> {
        (0..96).map(|step| Point { at_secs: u64::try_from(step).unwrap() * 300, value: value(step) }).collect()
    }

    #[test]
    fn a_file_system_that_shrinks_steadily_is_foreseen_and_one_that_does_not_is_looked_at() {
        let total = 100 << 20;
        let shrinking = points(|step| (30 << 20) - step * (200 << 10));
        let rows = [(Label::cut("/"), total, shrinking), (Label::cut("/home"), total, points(|_| 30 << 20))];
        let mut trends = Trends::default();
        trends.look_at_space(&rows);
        let space = trends.space.unwrap();
        assert_eq!(space.iter().map(|trend| trend.mount.raw()).collect::<Vec<_>>(), ["/"]);
        assert_eq!(space[0].shrinks_kib_per_hour, 12 * (200 << 10));
        assert!(space[0].full.earliest_secs > 0);
    }

    #[test]
    fn too_little_to_look_at_is_not_nothing_to_fear() {
        let mut trends = Trends::default();
        trends.look_at_space(&[(Label::cut("/"), 1 << 20, points(|_| 1000)[..3].to_vec())]);
        trends.look_at_memory(None, Some(&[]), (1 << 20, 2 << 20));
        assert!(trends.space.is_none() && trends.leaks.is_none());
    }

    #[test]
    fn a_group_is_told_beside_a_process_that_grows_otherwise_and_not_beside_one_that_grows_alike() {
        let row =
            |name: &str, mib: i64| (Label::cut(name), Growth::Own, points(move |step| (1 << 20) + step * (mib << 10)));
        let told = |process: i64, group: i64| {
            let mut trends = Trends::default();
            let (processes, groups) = ([row("browser", process)], [row("workers.service", group)]);
            trends.look_at_memory(Some(&processes), Some(&groups), (2 << 20, 16 << 20));
            trends.leaks.unwrap().iter().map(|leak| (leak.name.raw().to_owned(), leak.group)).collect::<Vec<_>>()
        };
        let (browser, workers) = (("browser".to_owned(), false), ("workers.service".to_owned(), true));
        let both = [browser.clone(), workers];
        assert_eq!(told(10, 10), vec![browser]);
        assert_eq!((told(30, 10), told(10, 30)), (both.to_vec(), both.to_vec()));
    }

    #[test]
    fn a_process_that_grows_steadily_is_foreseen() {
        let grows = points(|step| (1 << 20) + step * (10 << 10));
        let mut trends = Trends::default();
        let rows = [(Label::cut("exporter"), Growth::Own, grows)];
        trends.look_at_memory(Some(&rows), None, (2 << 20, 16 << 20));
        let leaks = trends.leaks.unwrap();
        assert_eq!((leaks[0].name.raw(), leaks[0].grows_kib_per_hour), ("exporter", 12 * (10 << 10)));
    }
}
