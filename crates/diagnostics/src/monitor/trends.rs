//! Works out where things go from what was measured before, and no more often than that is news.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use wire::{
    diagnostics::{
        LargeProcess, Snapshot,
        report::{Content, SectionId, SectionReport, Series},
    },
    time::{Moment, WallTime},
};

use super::{
    growing::{GrowingGroups, GrowingProcesses},
    shifts::Shifts,
};
use crate::{
    findings::{Trends, battery_health_permille, failing_sectors_sum},
    forecast::Point,
    history::{Figure, Fold, Pattern, Places, Query, SeriesKey, Subject},
};

/// How often it is worked out where space and memory go.
const EVERY: Duration = Duration::from_mins(10);

/// The lowest value of so many seconds stands for them.
const SPACE_STEP_SECS: u32 = 300;

const DAY_SECS: u32 = 24 * 3600;

/// How far back space is looked at.
const SPACE_DAYS: u64 = 7;

/// How far back wear is looked at: all that is kept.
const WEAR_DAYS: u64 = 31;

/// What is known of where things go, and what is watched to know it.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    trends: Trends,
    shifts: Shifts,
    processes: GrowingProcesses,
    groups: GrowingGroups,
    looked_at: Option<Moment>,
    /// Which of the figures that are taken once a day were taken when, in days since the epoch.
    taken: BTreeMap<SeriesKey, u64>,
    /// Whether there are new ones among them.
    worn: bool,
}

impl Outlook {
    pub(super) fn trends(&self) -> &Trends {
        &self.trends
    }

    /// What `sections` say of wear that was not remembered today: disks and batteries wear so slowly that one value a day tells all.
    pub(super) fn today(
        &mut self,
        sections: &BTreeMap<SectionId, SectionReport>,
        wall: WallTime,
    ) -> Vec<(SeriesKey, i64)> {
        let day_ms = u64::from(DAY_SECS) * 1000;
        let fresh = sections.values().filter(|report| wall.0.saturating_sub(report.taken_at.0) < day_ms);
        let told = fresh.filter_map(|report| report.content.as_ref()).flat_map(wear).collect::<BTreeMap<_, _>>();
        let day = wall.0 / day_ms;
        self.taken.retain(|key, _| told.contains_key(key));
        let news = told.into_iter().filter(|(key, _)| self.taken.get(key) != Some(&day)).collect::<Vec<_>>();
        self.taken.extend(news.iter().map(|(key, _)| (key.clone(), day)));
        self.worn |= !news.is_empty();
        news
    }

    /// Takes a section that was read at `now`.
    pub(super) fn told(&mut self, section: &SectionReport, now: Moment) {
        if let Some(Content::Groups(groups)) = &section.content {
            self.groups.note_groups(groups, now);
        }
    }

    /// Takes a sample in full with the processes that have most memory, and its `figures`. Now and then `history` is asked for more.
    pub(super) fn note(
        &mut self,
        (sample, largest): (&Snapshot, &[LargeProcess]),
        figures: &[(SeriesKey, i64)],
        places: &Places,
        (now, wall): (Moment, WallTime),
        history: impl Fn(&Query) -> Vec<Series>,
    ) {
        self.trends.shifts = self.shifts.note(sample, figures, (now, wall), &history);
        self.processes.note_processes(largest, now);
        if self.looked_at.is_none_or(|at| now - at >= EVERY) {
            self.looked_at = Some(now);
            let memory = &sample.memory;
            let (processes, groups) = (self.processes.large(memory, now), self.groups.large(memory, now));
            let room = (memory.available_kib, memory.total_kib);
            self.trends.look_at_memory(processes.as_deref(), groups.as_deref(), room);
            self.look_at_space(sample, places, wall, &history);
        }
        if std::mem::take(&mut self.worn) {
            self.look_at_wear(wall, &history);
        }
    }

    fn look_at_space(
        &mut self,
        sample: &Snapshot,
        places: &Places,
        wall: WallTime,
        history: impl Fn(&Query) -> Vec<Series>,
    ) {
        let figures = BTreeSet::from([Figure::SpaceAvailable]);
        let series = history(&back(wall, SPACE_DAYS, SPACE_STEP_SECS, Fold::Min, &figures));
        let rows = sample.filesystems.iter().filter_map(|filesystem| {
            let subject = Some(places.subject_of(filesystem)?.named());
            let series = series.iter().find(|series| series.subject == subject)?;
            Some((filesystem.mount.clone(), filesystem.total_kib, points(series)))
        });
        self.trends.look_at_space(&rows.collect::<Vec<_>>());
    }

    fn look_at_wear(&mut self, wall: WallTime, history: impl Fn(&Query) -> Vec<Series>) {
        let figures = self.taken.keys().map(|key| key.figure).collect();
        let series = history(&back(wall, WEAR_DAYS, DAY_SECS, Fold::Last, &figures));
        let of = |figure: Figure| {
            let keys = self.taken.keys().filter(move |key| key.figure == figure);
            let rows = keys.filter_map(|key| {
                let subject = key.subject.as_ref().map(Subject::named);
                let mut of_figure = series.iter().filter(|series| series.figure.raw() == figure.name());
                let series = of_figure.find(|series| series.subject == subject)?;
                Some((subject?, points(series)))
            });
            rows.collect::<Vec<_>>()
        };
        self.trends.look_at_wear(&of(Figure::DiskWear), &of(Figure::BatteryHealth));
        self.trends.look_at_sectors(&of(Figure::DiskSectors));
    }
}

/// The last `days` of `figures`, in steps that begin where a step of the clock does.
pub(super) fn back(wall: WallTime, days: u64, step_secs: u32, fold: Fold, figures: &BTreeSet<Figure>) -> Query {
    let step_ms = u64::from(step_secs) * 1000;
    let from = wall.0.saturating_sub(days * u64::from(DAY_SECS) * 1000) / step_ms * step_ms;
    let series = figures.iter().copied().map(Pattern::Any).collect();
    Query { from: WallTime(from), to: WallTime(wall.0.saturating_add(1)), step_secs, fold, series }
}

pub(super) fn points(series: &Series) -> Vec<Point> {
    let start = series.start.0 / 1000;
    let times = (0_u64..).map(|step| start.saturating_add(step.saturating_mul(series.step_secs.into())));
    times.zip(&series.values).filter_map(|(at_secs, value)| Some(Point { at_secs, value: (*value)? })).collect()
}

/// What a section says of the wear of disks and batteries.
fn wear(content: &Content) -> Vec<(SeriesKey, i64)> {
    if let Content::Storage(storage) = content {
        let told = storage.devices.iter().flat_map(|device| {
            let of = |figure| SeriesKey::of(figure, Subject::Disk(device.name.clone()));
            let health = device.health.as_ref();
            let used = health.and_then(|health| health.nvme.as_ref()?.used_percent);
            let sectors = health.and_then(|health| failing_sectors_sum(health.ata.as_ref()?));
            let worn = used.map(|used| (of(Figure::DiskWear), i64::from(used) * 10));
            worn.into_iter().chain(sectors.map(|sum| (of(Figure::DiskSectors), sum)))
        });
        told.collect()
    } else if let Content::Power(power) = content {
        let own = power.batteries.iter().filter(|battery| battery.runs_machine);
        let worn = own.filter_map(|battery| {
            let key = SeriesKey::of(Figure::BatteryHealth, Subject::Battery(battery.name.clone()));
            Some((key, battery_health_permille(battery)?))
        });
        worn.collect()
    } else {
        Vec::new()
    }
}
