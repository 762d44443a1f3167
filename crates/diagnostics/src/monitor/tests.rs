//! A monitor that is fed by hand: samples as a machine would give them, and a clock that the test moves.

use std::collections::BTreeSet;

use wire::diagnostics::{
    Disk, Filesystem, FilesystemState, Memory, Panel, Process, Processor,
    findings::{Evidence, Forecast, MAX_EVIDENCE, MAX_FINDINGS},
    report::Content,
    sections::{
        groups::{ControlGroup, Groups, GroupsVersion, OwnLimits},
        power::{Battery, Power},
        storage::{AtaHealth, BlockDevice, Health, HealthSource, NvmeHealth, Storage},
    },
};
use wire::text::{Label, Sentence};

use super::*;
use crate::{Privacy, Scopes};

mod opening;

/// When every story begins: 2026-11-22T06:00:00Z.
const BEGINS: WallTime = WallTime(1_795_327_200_000);
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const GIB: u64 = 1 << 20;

/// A monitor, the machine it is told of, and the time.
struct Story {
    monitor: Monitor,
    machine: Snapshot,
    elapsed: u64,
    /// Of a machine without files.
    roots: tempfile::TempDir,
}

impl Story {
    fn begin() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut monitor = Monitor::new(Roots::under(folder.path()), at(0));
        monitor.due_at = at(0);
        Self { monitor, machine: machine(), elapsed: 0, roots: folder }
    }

    fn wall(&self) -> WallTime {
        wall(self.elapsed)
    }

    /// Measures every `every` seconds for as long as `lasts`, after `change` made the machine what it is then.
    fn goes_on(&mut self, lasts: u64, every: u64, mut change: impl FnMut(&mut Snapshot, u64)) {
        for step in 0..lasts / every {
            self.elapsed += every;
            change(&mut self.machine, step * every);
            self.machine.uptime_secs += every;
            self.monitor.largest = self.largest();
            self.monitor.take(&self.machine, true, at(self.elapsed), wall(self.elapsed));
        }
    }

    /// There are no other processes than those that are listed.
    fn largest(&self) -> Vec<LargeProcess> {
        let row = |process: &Process| LargeProcess {
            pid: process.pid,
            start_ticks: process.start_ticks,
            name: process.name.clone(),
            resident_kib: process.resident_kib,
        };
        self.machine.processes.iter().map(row).collect()
    }

    fn findings(&self, check: Check) -> Vec<&Finding> {
        self.monitor.findings().iter().filter(|finding| finding.check == check).collect()
    }

    fn verdicts(&self, check: Check) -> Vec<Verdict> {
        self.findings(check).iter().map(|finding| finding.verdict).collect()
    }

    fn opening(&self) -> Report {
        let mut privacy = Privacy::new(&Roots::under(self.roots.path()));
        self.monitor.opening(self.wall(), |report| privacy.clear_report(report, Scopes::default())).into_inner()
    }

    fn told(&mut self, content: Content) {
        let section = content.section();
        let report = SectionReport {
            section,
            taken_at: self.wall(),
            took_ms: 1,
            outcome: Outcome::Complete,
            sources: Vec::new(),
            content: Some(content),
        };
        let (now, wall) = (at(self.elapsed), self.wall());
        self.monitor.surveyed(vec![report], now, wall);
    }
}

fn at(secs: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1_000_000 + secs))
}

fn wall(secs: u64) -> WallTime {
    WallTime(BEGINS.0 + secs * 1000)
}

fn filesystem(mount: &str, total_kib: u64, available_kib: u64) -> Filesystem {
    Filesystem {
        mount: Label::cut(mount),
        kind: Label::cut("ext4"),
        total_kib,
        available_kib,
        inodes_total: 1_000_000,
        inodes_free: 900_000,
        state: FilesystemState::ReadWrite,
    }
}

fn process(pid: u32, start_ticks: u64, name: &str, resident_kib: u64) -> Process {
    Process {
        pid,
        start_ticks,
        name: Label::cut(name),
        owner: Label::cut("root"),
        cpu_permille: 0,
        resident_kib,
        threads: 1,
        state: 'S',
        read_kib_s: Some(0),
        write_kib_s: Some(0),
    }
}

fn disk(name: &str, await_us: u32) -> Disk {
    Disk { name: Label::cut(name), requests_s: 50, await_us, busy_permille: 100, ..Disk::default() }
}

/// An idle desktop with 16 GiB.
fn machine() -> Snapshot {
    Snapshot {
        view: View { panels: Panels::ALL, ..View::default() },
        interval_ms: 5000,
        uptime_secs: 90_000,
        processor: Processor { cores: 4, busy_permille: 50, ..Processor::default() },
        memory: Memory { total_kib: 16 * GIB, available_kib: 8 * GIB, ..Memory::default() },
        filesystems: vec![filesystem("/", 100 * GIB, 60 * GIB)],
        processes: vec![process(7, 70, "editor", GIB), process(8, 80, "daemon", 4096)],
        processes_total: 2,
        ..Snapshot::default()
    }
}

#[test]
fn a_file_system_that_fills_is_forecast_as_a_range_after_six_hours_and_not_before() {
    let mut story = Story::begin();
    // It loses two GiB an hour, and has twenty-six.
    let fill = |machine: &mut Snapshot, secs: u64| {
        machine.filesystems[0].available_kib = 26 * GIB - secs * 2 * GIB / HOUR;
    };
    story.goes_on(5 * HOUR + 50 * MINUTE, 30, fill);
    assert_eq!(story.verdicts(Check::SpaceForecast), [Verdict::Unknown]);
    assert!(story.monitor.outlook.trends().space.is_none());
    let from = story.elapsed;
    story.goes_on(90 * MINUTE, 30, |machine, secs| fill(machine, from + secs));
    let space = story.monitor.outlook.trends().space.clone().unwrap();
    assert_eq!(space[0].mount.raw(), "/");
    // The history keeps whole MiB.
    assert!((space[0].shrinks_kib_per_hour).abs_diff(2 * GIB) < GIB / 50, "{space:?}");
    assert!((5 * HOUR..6 * HOUR).contains(&space[0].likely_secs), "{space:?}");
    let full = space[0].full;
    assert!(full.earliest_secs < space[0].likely_secs && full.latest_secs.is_none(), "{full:?}");
    story.goes_on(HOUR, 30, |machine, secs| fill(machine, from + 90 * MINUTE + secs));
    let found = story.findings(Check::SpaceForecast);
    assert_eq!((found[0].verdict, found[0].severity), (Verdict::Fail, Some(Severity::Warning)));
    assert!(found[0].forecast.is_some(), "it is told as a range: {found:?}");
}

#[test]
fn logs_that_are_rotated_fill_nothing() {
    let mut story = Story::begin();
    // Each five hours twenty GiB come and go.
    story.goes_on(30 * HOUR, 60, |machine, secs| {
        machine.filesystems[0].available_kib = 30 * GIB - secs % (5 * HOUR) * 4 * GIB / HOUR;
    });
    assert_eq!(story.monitor.outlook.trends().space.as_ref().map(Vec::len), Some(0));
    assert_eq!(story.verdicts(Check::SpaceForecast), [Verdict::Pass]);
}

#[test]
fn a_process_that_grows_for_hours_is_a_leak_until_it_is_started_again() {
    let mut story = Story::begin();
    let grow = |machine: &mut Snapshot, secs: u64| {
        machine.processes[0].resident_kib = GIB + secs * GIB / HOUR;
        machine.memory.available_kib = 10 * GIB - secs * GIB / HOUR;
    };
    story.goes_on(HOUR + 50 * MINUTE, 30, grow);
    assert_eq!(story.verdicts(Check::MemoryLeak), [Verdict::Unknown]);
    let from = story.elapsed;
    story.goes_on(3 * HOUR, 30, |machine, secs| grow(machine, from + secs));
    let found = story.findings(Check::MemoryLeak);
    assert_eq!(found[0].subject, Some(Named::Technical(Label::cut("editor"))));
    assert_eq!(found[0].verdict, Verdict::Fail, "{found:?}");
    assert!(found[0].forecast.is_some());
    story.machine.processes[0] = process(7, 99_000, "editor", GIB);
    story.goes_on(11 * MINUTE, 30, |_, _| {});
    assert_ne!(story.verdicts(Check::MemoryLeak), [Verdict::Fail]);
}

#[test]
fn a_service_of_many_processes_that_grow_together_is_a_leak_and_one_that_fills_the_cache_is_none() {
    let mut story = Story::begin();
    let group = |name: &str, memory_kib, reclaimable_kib| ControlGroup {
        name: Label::cut(name),
        memory_kib,
        reclaimable_kib: Some(reclaimable_kib),
        ..ControlGroup::default()
    };
    for minute in 0..4 * HOUR / MINUTE {
        let grown = minute * GIB / MINUTE;
        let groups = vec![
            group("/", 4 * GIB + 2 * grown, grown),
            group("system.slice", 3 * GIB + 2 * grown, grown),
            group("system.slice/workers.service", GIB + grown, 1000),
            group("system.slice/backup.service", GIB + grown, GIB + grown - 1000),
        ];
        story.told(Content::Groups(Box::new(Groups {
            version: GroupsVersion::Unified,
            own: OwnLimits::default(),
            seen: 3,
            groups,
        })));
        story.goes_on(MINUTE, 30, |machine, _| machine.memory.available_kib = 10 * GIB - grown);
    }
    let found = story.findings(Check::MemoryLeak);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].subject, Some(Named::Unit(Label::cut("system.slice/workers.service"))));
    assert_eq!(found[0].verdict, Verdict::Fail, "{found:?}");
    // One of its processes is the one that grows: then that is told.
    story.goes_on(4 * HOUR, 60, |machine, secs| {
        machine.processes[0].resident_kib = GIB + secs * GIB / HOUR;
        machine.memory.available_kib = 6 * GIB - secs * GIB / HOUR;
    });
    let found = story.findings(Check::MemoryLeak);
    assert_eq!(found[0].subject, Some(Named::Technical(Label::cut("editor"))), "{found:?}");
}

#[test]
fn what_is_remembered_of_processes_is_bounded_however_many_come_and_go() {
    let mut growing = growing::GrowingProcesses::default();
    for minute in 0..10 * HOUR / MINUTE {
        let pids = u32::try_from(minute).unwrap() * 30..;
        let large = pids.take(20).map(|pid| LargeProcess {
            pid,
            start_ticks: pid.into(),
            name: Label::cut("worker"),
            resident_kib: GIB,
        });
        growing.note_processes(&large.collect::<Vec<_>>(), at(minute * MINUTE));
    }
    assert!(growing.size() <= (40, 73), "{:?}", growing.size());
}

#[test]
fn a_change_of_level_is_told_once_with_since_when_and_clears() {
    let mut story = Story::begin();
    story.goes_on(14 * MINUTE, 5, |_, _| {});
    assert_eq!(story.verdicts(Check::LevelShift), [Verdict::Unknown]);
    story.goes_on(10 * MINUTE, 5, |_, _| {});
    assert_eq!(story.verdicts(Check::LevelShift), [Verdict::Pass]);
    let began = story.wall();
    story.goes_on(20 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 600);
    let shifts = story.monitor.outlook.trends().shifts.clone().unwrap();
    assert_eq!(shifts.len(), 1, "{shifts:?}");
    assert_eq!((shifts[0].figure.raw(), shifts[0].before, shifts[0].after), ("cpu.busy", 50, 600));
    assert!(shifts[0].since.0.abs_diff(began.0) <= 10_000, "{:?} is not {began:?}", shifts[0].since);
    assert_eq!(story.verdicts(Check::LevelShift), [Verdict::Fail]);
    story.goes_on(5 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 50);
    assert_eq!(story.verdicts(Check::LevelShift), [Verdict::Pass], "it is as it was");
}

#[test]
fn a_change_of_level_that_comes_each_week_is_told_twice_and_then_is_usual() {
    let kept = tempfile::tempdir().unwrap();
    let mut story = Story::begin();
    story.monitor.keep_in(&kept.path().join("history"), IDLE_PERIOD).unwrap();
    let mut told = Vec::new();
    for week in 0..4 {
        story.elapsed = week * 7 * 24 * HOUR;
        story.goes_on(24 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 50);
        story.goes_on(15 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 600);
        told.extend(story.verdicts(Check::LevelShift));
        story.goes_on(MINUTE, 5, |machine, _| machine.processor.busy_permille = 50);
        story.monitor.flush(at(story.elapsed));
    }
    assert_eq!(told, [Verdict::Fail, Verdict::Fail, Verdict::Pass, Verdict::Pass]);
}

#[test]
fn an_interface_that_tells_the_address_of_its_hardware_is_not_named_by_its_change_of_level() {
    let mut story = Story::begin();
    let receives = |machine: &mut Snapshot, rx_bytes_s: u64| {
        let name = Label::cut("enx00e04c680001");
        machine.networks = vec![wire::diagnostics::Network { name, rx_bytes_s, up: true, ..Default::default() }];
    };
    story.goes_on(20 * MINUTE, 5, |machine, _| receives(machine, 1000));
    story.goes_on(5 * MINUTE, 5, |machine, _| receives(machine, 50_000_000));
    let found = story.findings(Check::LevelShift);
    assert_eq!(found[0].verdict, Verdict::Fail, "{found:?}");
    assert_eq!(found[0].subject, Some(Named::Technical(Label::cut("network.received of an interface"))));
    let sent = format!("{:?}", story.opening().findings);
    assert!(sent.contains("network.received") && !sent.contains("00e04c680001"), "{sent}");
}

#[test]
fn of_two_disks_that_slow_down_both_are_told() {
    let mut story = Story::begin();
    let disks = |machine: &mut Snapshot, await_us: u32| {
        machine.disks = ["sda", "sdb"].map(|name| disk(name, await_us)).into();
    };
    story.goes_on(20 * MINUTE, 5, |machine, _| disks(machine, 500));
    story.goes_on(5 * MINUTE, 5, |machine, _| disks(machine, 40_000));
    let found = story.findings(Check::LevelShift);
    let subjects = found.iter().filter_map(|finding| Some(finding.subject.as_ref()?.label().raw()));
    assert_eq!(subjects.collect::<BTreeSet<_>>(), BTreeSet::from(["disk.await of sda", "disk.await of sdb"]));
    assert!(found.iter().all(|finding| finding.verdict == Verdict::Fail), "{found:?}");
}

#[test]
fn a_program_that_is_restarted_each_few_hours_is_a_leak_once_it_outgrows_its_last_life() {
    let mut story = Story::begin();
    // It holds three GiB when it is started again for the first time.
    for (life, hours) in [(1, 5), (2, 4)] {
        story.machine.processes[0] = process(7, life * 1000, "exporter", 0);
        story.goes_on(hours * HOUR, 60, |machine, secs| {
            machine.processes[0].resident_kib = GIB / 2 + secs * GIB / 2 / HOUR;
            machine.memory.available_kib = 3 * GIB;
        });
        let told = story.verdicts(Check::MemoryLeak);
        assert_eq!(told, [if life == 1 { Verdict::Fail } else { Verdict::Pass }], "life {life}");
    }
    story.goes_on(3 * HOUR, 60, |machine, secs| {
        machine.processes[0].resident_kib = 5 * GIB / 2 + secs * GIB / 2 / HOUR;
    });
    let found = story.findings(Check::MemoryLeak);
    assert_eq!(found[0].verdict, Verdict::Fail, "{found:?}");
    assert_eq!(found[0].forecast.unwrap().latest_secs, None, "it may be restarted again");
}

#[test]
fn a_level_that_stays_is_usual_after_an_hour() {
    let mut story = Story::begin();
    story.goes_on(20 * MINUTE, 5, |_, _| {});
    story.goes_on(50 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 600);
    assert_eq!(story.verdicts(Check::LevelShift), [Verdict::Fail]);
    story.goes_on(15 * MINUTE, 5, |_, _| {});
    assert_eq!(story.verdicts(Check::LevelShift), [Verdict::Pass]);
}

fn storage(used_percent: u8) -> Content {
    nvme_or_ata(Some(NvmeHealth { used_percent: Some(used_percent), ..NvmeHealth::default() }), None)
}

fn nvme_or_ata(nvme: Option<NvmeHealth>, ata: Option<AtaHealth>) -> Content {
    let name = Label::cut(if nvme.is_some() { "nvme0n1" } else { "sda" });
    let health = Health {
        told_by: HealthSource::ALL[0],
        passed: Some(true),
        temperature_deci_celsius: None,
        power_on_hours: None,
        nvme,
        ata,
    };
    let device = BlockDevice {
        name,
        size_kib: 500 * GIB,
        rotational: Some(false),
        removable: false,
        read_only: false,
        model: Label::default(),
        firmware: Label::default(),
        serial: Label::default(),
        wwn: Label::default(),
        partitions: Vec::new(),
        health: Some(health),
    };
    Content::Storage(Box::new(Storage { devices: vec![device], ..Storage::default() }))
}

fn power(full_mwh: u64) -> Content {
    let battery = Battery {
        name: Label::cut("BAT0"),
        runs_machine: true,
        full_mwh: Some(full_mwh),
        design_mwh: Some(50_000),
        ..Battery::default()
    };
    Content::Power(Box::new(Power { batteries: vec![battery], ..Power::default() }))
}

#[test]
fn a_month_of_wear_says_when_a_disk_and_a_battery_are_worn_out() {
    let kept = tempfile::tempdir().unwrap();
    let mut story = Story::begin();
    story.monitor.keep_in(&kept.path().join("history"), IDLE_PERIOD).unwrap();
    for day in 0..31_u8 {
        story.told(storage(80 + day / 3));
        story.told(power(39_000 - u64::from(day) * 50));
        // Two samples at a time suffice: wear is remembered once a day.
        story.goes_on(2 * MINUTE, MINUTE, |_, _| {});
        if day == 20 {
            assert!(story.monitor.outlook.trends().wear.is_none(), "three weeks are too few");
        }
        story.elapsed += 24 * HOUR - 2 * MINUTE;
    }
    story.goes_on(MINUTE, MINUTE, |_, _| {});
    let told = |check| {
        let found = story.findings(check);
        (found[0].verdict, found[0].forecast)
    };
    let days = |forecast: Option<Forecast>| forecast.unwrap().earliest_secs / (24 * HOUR);
    let (verdict, worn) = told(Check::NvmeWear);
    assert_eq!(verdict, Verdict::Fail);
    assert!((15..=40).contains(&days(worn)), "{worn:?}");
    let (verdict, worn) = told(Check::BatteryHealth);
    assert_eq!(verdict, Verdict::Fail);
    assert!((180..=260).contains(&days(worn)), "{worn:?}");
}

#[test]
fn a_disk_whose_bad_sectors_rise_from_week_to_week_is_critical_though_the_program_was_started_again() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("history");
    let week = 7 * 24 * HOUR;
    let after_weeks = |weeks: u64, sectors: u64| {
        let mut story = Story::begin();
        story.monitor.keep_in(&folder, IDLE_PERIOD).unwrap();
        story.elapsed = weeks * week;
        story.told(nvme_or_ata(None, Some(AtaHealth { reallocated_sectors: Some(sectors), ..AtaHealth::default() })));
        story.goes_on(2 * MINUTE, MINUTE, |_, _| {});
        story.monitor.flush(at(story.elapsed));
        let found = story.findings(Check::AtaSectors);
        (found[0].verdict, found[0].severity)
    };
    assert_eq!(after_weeks(0, 8), (Verdict::Fail, Some(Severity::Warning)));
    assert_eq!(after_weeks(2, 8), (Verdict::Fail, Some(Severity::Warning)));
    assert_eq!(after_weeks(3, 12), (Verdict::Fail, Some(Severity::Warning)), "it may be another disk by that name");
    assert_eq!(after_weeks(4, 15), (Verdict::Fail, Some(Severity::Critical)));
    assert_eq!(after_weeks(10, 15), (Verdict::Fail, Some(Severity::Warning)), "it stayed so for a month");
    assert_eq!(after_weeks(11, 8), (Verdict::Fail, Some(Severity::Warning)), "this is another disk");
}

#[test]
fn history_is_what_memory_and_files_know_together() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("history");
    let mut before = Story::begin();
    before.monitor.keep_in(&folder, IDLE_PERIOD).unwrap();
    before.goes_on(10 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 100);
    before.monitor.flush(at(before.elapsed));
    drop(before.monitor);
    // The program was started again.
    let mut after = Story::begin();
    after.monitor.keep_in(&folder, IDLE_PERIOD).unwrap();
    after.elapsed = before.elapsed + 3 * MINUTE;
    after.goes_on(2 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 700);
    let asked = HistoryQuery {
        from: wall(0),
        to: WallTime(after.wall().0 + 1),
        step_secs: 60,
        figures: vec![Label::cut("cpu.b*")],
    };
    let series = after.monitor.history(&asked);
    assert_eq!(series.iter().map(|series| series.figure.raw()).collect::<Vec<_>>(), ["cpu.busy"]);
    let values = series[0].values.iter().flatten().copied().collect::<Vec<_>>();
    assert_eq!((values[0], values.last().copied()), (100, Some(700)));
    assert!(series[0].values.contains(&None), "nothing is made up for the time between");
}

/// Name, mode, time of the last change and content of every file in a folder, and the folder's own mode.
fn everything_in(folder: &Path) -> Vec<(std::ffi::OsString, u32, std::time::SystemTime, Vec<u8>)> {
    use std::os::unix::fs::PermissionsExt as _;
    let of = |path: &Path, bytes| {
        let found = std::fs::metadata(path).unwrap();
        (path.file_name().unwrap().to_owned(), found.permissions().mode(), found.modified().unwrap(), bytes)
    };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all = entries.map(|path| of(&path, std::fs::read(&path).unwrap())).collect::<Vec<_>>();
    all.push(of(folder, Vec::new()));
    all.sort();
    all
}

#[test]
fn who_only_looks_back_foresees_from_what_another_keeps_and_changes_nothing_of_it() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("history");
    let mut writing = Story::begin();
    writing.monitor.keep_in(&folder, IDLE_PERIOD).unwrap();
    writing.goes_on(12 * HOUR, MINUTE, |machine, second| {
        machine.filesystems = vec![filesystem("/", 100 * GIB, 30 * GIB - second * 700)];
    });
    writing.monitor.flush(at(writing.elapsed));
    // As a machine leaves it that lost its power, and as somebody made it who wants to share it.
    let torn = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let torn = torn.filter(|path| path.extension().is_some()).max().unwrap();
    std::io::Write::write_all(&mut std::fs::File::options().append(true).open(torn).unwrap(), b"torn").unwrap();
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o750)).unwrap();
    let before = everything_in(&folder);

    let mut looking = Story::begin();
    looking.monitor.look_back_in(&folder).unwrap();
    looking.machine = writing.machine.clone();
    looking.elapsed = writing.elapsed;
    looking.goes_on(5, 5, |_, _| {});
    looking.monitor.flush(at(looking.elapsed));
    assert_eq!(looking.monitor.kept(), None, "nothing is kept by it");
    let foreseen = looking.monitor.outlook.trends().space.as_deref().unwrap();
    assert_eq!(foreseen.iter().map(|trend| trend.mount.raw()).collect::<Vec<_>>(), ["/"]);
    assert!(before == everything_in(&folder), "files were changed");

    writing.goes_on(MINUTE, 5, |_, _| {});
    writing.monitor.flush(at(writing.elapsed));
    assert!(writing.monitor.kept().is_some_and(|kept| kept.state.why_not().is_none()), "the other goes on");
    let missing = looking.monitor.look_back_in(&kept.path().join("missing")).unwrap_err();
    assert!(!kept.path().join("missing").exists(), "{missing}");
}

#[test]
fn a_machine_that_is_recorded_each_second_keeps_every_second_and_learns_no_faster() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("history");
    let second = Duration::from_secs(1);
    let mut story = Story::begin();
    story.monitor.keep_in(&folder, second).unwrap();
    story.monitor.tick(at(0), wall(0));
    assert_eq!(story.monitor.due_at(), at(1));
    let mut thought = BTreeSet::new();
    for _ in 0..2 * MINUTE {
        story.goes_on(1, 1, |machine, _| machine.processor.busy_permille += 5);
        thought.insert(story.monitor.thought_at);
    }
    assert_eq!(thought.len(), 25, "at 0 s, and every five seconds of two minutes");
    story.monitor.flush(at(story.elapsed));
    let asked =
        HistoryQuery { from: wall(1), to: wall(2 * MINUTE), step_secs: 1, figures: vec![Label::cut("cpu.busy")] };
    // Only what is in the files.
    story.monitor.ring = Ring::new(second);
    let series = story.monitor.history(&asked);
    let values = series[0].values.iter().flatten().copied().collect::<Vec<_>>();
    assert_eq!((series[0].step_secs, values.len()), (1, 119));
    assert!(values.is_sorted_by(|before, after| after - before == 5), "{values:?}");
}

#[test]
fn who_was_busy_yesterday_is_told_though_the_program_was_started_again() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("history");
    let mut before = Story::begin();
    before.monitor.keep_in(&folder, IDLE_PERIOD).unwrap();
    while before.elapsed < 6 * MINUTE {
        let name = if (before.elapsed + 5) / MINUTE == 3 { "backup" } else { "editor" };
        before.monitor.busy = vec![(Label::cut(name), 900)];
        before.goes_on(5, 5, |_, _| {});
    }
    before.monitor.flush(at(before.elapsed));
    drop(before.monitor);
    let mut after = Story::begin();
    after.monitor.keep_in(&folder, IDLE_PERIOD).unwrap();
    after.elapsed = 20 * HOUR;
    after.goes_on(MINUTE, 5, |_, _| {});
    let asked = HistoryQuery { from: wall(0), to: after.wall(), step_secs: 60, figures: vec![Label::cut("process.*")] };
    let series = after.monitor.history(&asked);
    let minutes = |name: &str| {
        let one = series.iter().find(|series| series.subject.as_ref().is_some_and(|of| of.label().raw() == name));
        let values = one.unwrap().values.iter().enumerate();
        values.filter_map(|(minute, value)| value.map(|value| (minute, value))).collect::<Vec<_>>()
    };
    assert_eq!(minutes("backup"), [(4, 900)], "it stands at the beginning of the minute after");
    assert_eq!(minutes("editor").len(), 5);
}

#[test]
fn a_moment_that_stands_out_is_marked_where_it_was_and_raises_nothing() {
    let mut story = Story::begin();
    story.goes_on(10 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 50);
    story.goes_on(5, 5, |machine, _| machine.processor.busy_permille = 950);
    let at = story.wall();
    story.goes_on(2 * MINUTE, 5, |machine, _| machine.processor.busy_permille = 50);
    let asked = HistoryQuery { from: wall(0), to: WallTime(story.wall().0 + 1), step_secs: 60, figures: Vec::new() };
    let series = story.monitor.history(&asked);
    let marked = series.iter().filter(|series| !series.stood_out.is_empty()).collect::<Vec<_>>();
    assert_eq!(marked.iter().map(|series| series.figure.raw()).collect::<Vec<_>>(), ["cpu.busy"]);
    let step = u32::try_from((at.0 - marked[0].start.0) / 60_000).unwrap();
    assert_eq!(marked[0].stood_out, [step]);
    let opening = story.opening();
    assert!(opening.recent.iter().any(|series| series.figure.raw() == "cpu.busy" && series.stood_out.len() == 1));
    assert!(story.monitor.findings().iter().all(|finding| finding.verdict != Verdict::Fail));
}

#[test]
fn a_machine_that_waits_asks_the_network_once_and_one_with_a_technician_each_minute() {
    let mut monitor = Story::begin().monitor;
    let asks = |monitor: &mut Monitor, secs| monitor.wants(at(secs)).contains(&SectionId::Ladder);
    assert!(asks(&mut monitor, 0), "once at the start");
    assert!((1..=HOUR / MINUTE).all(|minute| !asks(&mut monitor, minute * MINUTE)));
    monitor.attend();
    assert!(asks(&mut monitor, HOUR + 1), "what was known is an hour old");
    assert!(!asks(&mut monitor, HOUR + 30) && asks(&mut monitor, HOUR + 61));
}

#[test]
fn a_history_that_cannot_be_kept_says_why_and_the_monitor_goes_on() {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("missing/history");
    let mut story = Story::begin();
    let why = story.monitor.keep_in(&folder, IDLE_PERIOD).unwrap_err().to_string();
    assert!(!why.is_empty() && story.monitor.kept().is_none(), "{why}");
    story.goes_on(MINUTE, 5, |_, _| {});
    assert!(!story.monitor.findings().is_empty());
}

#[test]
fn each_section_is_asked_for_on_its_own_cadence() {
    let mut story = Story::begin();
    story.monitor.attend();
    let first = story.monitor.wants(at(0));
    assert_eq!(first.len(), SECTIONS_EVERY.len() - 1, "the package manager is asked when all has started");
    assert!(!first.contains(&SectionId::Updates));
    assert_eq!(story.monitor.wants(at(59)), []);
    let minutely = story.monitor.wants(at(60));
    assert!(minutely.contains(&SectionId::Ladder) && minutely.contains(&SectionId::Updates), "{minutely:?}");
    assert!(!minutely.contains(&SectionId::Clock), "{minutely:?}");
    let asked = (2..=24 * 60).flat_map(|minute| story.monitor.wants(at(minute * MINUTE))).collect::<Vec<_>>();
    let times = |wanted| asked.iter().filter(|section| **section == wanted).count();
    assert_eq!(times(SectionId::Clock), 24 * 12);
    assert_eq!(times(SectionId::Storage), 24);
    assert_eq!((times(SectionId::Certificates), times(SectionId::System)), (4, 1));
}

#[test]
fn a_section_that_did_not_come_in_time_keeps_what_was_known() {
    let mut story = Story::begin();
    let late = |content| SectionReport {
        section: SectionId::Power,
        taken_at: wall(60),
        took_ms: 30_000,
        outcome: Outcome::TimedOut,
        sources: Vec::new(),
        content,
    };
    story.monitor.surveyed(vec![late(None)], at(60), wall(60));
    assert!(story.monitor.knows(SectionId::Power));
    story.goes_on(10, 5, |_, _| {});
    assert_eq!(story.verdicts(Check::BatteryHealth), [Verdict::Unknown]);
    story.told(power(30_000));
    assert_eq!(story.verdicts(Check::BatteryHealth), [Verdict::Fail]);
    story.monitor.surveyed(vec![late(None)], at(120), wall(120));
    assert_eq!(story.verdicts(Check::BatteryHealth), [Verdict::Fail]);
}

#[test]
fn somebody_who_looks_at_little_still_feeds_the_checks() {
    let mut story = Story::begin();
    let disks = Panels::from_iter([Panel::Disks]);
    let narrow = Wanted { view: disks.into(), processes_every: Duration::ZERO };
    let mut judged = 0;
    for second in 1..=20 {
        let before = story.monitor.whole_at;
        let sample = story.monitor.sample(narrow, at(second), wall(second));
        assert_eq!(sample.view.panels, disks, "what was not asked for does not show");
        judged += u32::from(story.monitor.whole_at != before);
    }
    assert_eq!(judged, 4, "each five seconds, the first at once");
    assert_eq!(story.monitor.newest.as_ref().unwrap().view.panels, Panels::ALL);
}

#[test]
fn news_count_at_once_and_mere_evidence_once_a_minute() {
    let mut story = Story::begin();
    story.goes_on(5 * MINUTE, 5, |_, _| {});
    let version = story.monitor.findings_version();
    story.goes_on(MINUTE, 5, |machine, secs| machine.memory.available_kib = 8 * GIB - secs * 100);
    assert!(story.monitor.findings_version() <= version + 1);
    let version = story.monitor.findings_version();
    story.goes_on(5, 5, |machine, _| machine.filesystems[0].state = FilesystemState::ReadOnly);
    assert_eq!(story.verdicts(Check::FilesystemReadOnly), [Verdict::Fail]);
    assert_eq!(story.monitor.findings_version(), version + 1);
}

#[test]
fn a_better_round_trip_clears_what_a_worse_one_raised_and_an_old_one_is_not_judged() {
    let mut story = Story::begin();
    let measured = |story: &mut Story, loaded_us| {
        let round_trip = RoundTrip { idle_us: 20_000, loaded_us };
        story.monitor.measured_round_trip(round_trip, at(story.elapsed));
        story.goes_on(MINUTE, 5, |_, _| {});
        story.verdicts(Check::LatencyUnderLoad)
    };
    assert_eq!(measured(&mut story, 900_000), [Verdict::Fail]);
    assert_eq!(measured(&mut story, 30_000), [Verdict::Pass]);
    assert_eq!(measured(&mut story, 900_000), [Verdict::Fail]);
    story.goes_on(HOUR, 60, |_, _| {});
    let found = story.findings(Check::LatencyUnderLoad);
    assert_eq!(found[0].verdict, Verdict::Unknown);
    assert_eq!(found[0].reason.as_ref().map(Sentence::raw), Some("it was measured long ago"));
    assert_eq!(measured(&mut story, 30_000), [Verdict::Pass]);
}
