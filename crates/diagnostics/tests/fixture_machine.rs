//! A machine made of hand-written files, in two moments.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its machine fails, as it should")]

use std::{
    cmp::Reverse,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use diagnostics::{Collector, Monitor, Roots, Wanted};
use rustix::fs::inotify;
use wire::{
    diagnostics::{
        Core, DeltaDecoder, DeltaEncoder, Disk, Limits, Panel, Panels, Process, ProcessOrder, Snapshot, TOP_PROCESSES,
        Traffic, View,
    },
    text::Label,
    time::{Moment, WallTime},
};

/// A copy of the fixture that a test can change.
struct FixtureMachine {
    folder: tempfile::TempDir,
}

impl FixtureMachine {
    fn before() -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        machine.lay("before");
        machine
    }

    /// Lays the files of one moment over those that are there.
    fn lay(&self, moment: &str) {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(moment);
        copy(&fixture, self.folder.path());
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Into the file that is there, which stays open as the kernel's do.
    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let (path, content) = (self.path(file), content.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Cutting a file to nothing first makes some file systems wait for the disk.
        let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(path).unwrap();
        file.write_all(content).unwrap();
        file.set_len(content.len().try_into().unwrap()).unwrap();
    }

    /// A file, or a folder of files; like the kernel's, they say nothing to who has them open.
    fn remove(&self, path: &str) {
        let path = self.path(path);
        let files = if path.is_dir() {
            fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect()
        } else {
            vec![path.clone()]
        };
        for file in files.iter().filter(|file| file.is_file()) {
            fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
        }
        fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
    }

    fn roots(&self) -> Roots {
        Roots::under(self.folder.path())
    }

    fn collector(&self) -> Collector {
        Collector::new(self.roots(), at(0))
    }

    /// What is measured of the second from `before` to `after`.
    fn second(self) -> Snapshot {
        let mut collector = self.collector();
        self.lay("after");
        collector.sample(at(1000), Panels::ALL)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1_000_000) + Duration::from_millis(millis))
}

fn process(sample: &Snapshot, pid: u32) -> &Process {
    sample.processes.iter().find(|process| process.pid == pid).unwrap()
}

fn reason<'s>(sample: &'s Snapshot, source: &str) -> Option<&'s str> {
    sample.unreadable.iter().find(|gap| gap.source.raw() == source).map(|gap| gap.reason.raw())
}

#[test]
fn the_first_sample_has_rates_because_the_counters_were_read_at_the_start() {
    let sample = FixtureMachine::before().second();
    assert_eq!(sample.interval_ms, 1000);
    assert!(sample.cores.iter().any(|core| core.busy_permille > 0));
    assert!(sample.disks.iter().any(|disk| disk.requests_s > 0));
    assert!(sample.networks.iter().any(|network| network.rx_bytes_s > 0));
}

#[test]
fn a_sample_that_covers_too_little_time_says_so_and_has_no_rates() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    machine.lay("after");
    let sample = collector.sample(at(99), Panels::ALL);
    assert_eq!(sample.interval_ms, 0);
    assert!(sample.disks.iter().all(|disk| (disk.requests_s, disk.await_us, disk.busy_permille) == (0, 0, 0)));
    assert!(sample.networks.iter().all(|network| (network.rx_bytes_s, network.tx_bytes_s) == (0, 0)));
    assert!(sample.processes.iter().all(|process| process.cpu_permille == 0));
}

#[test]
fn each_processor_says_how_long_it_worked_waited_and_was_robbed() {
    let sample = FixtureMachine::before().second();
    let core = |busy_permille, iowait_permille, steal_permille| Core { busy_permille, iowait_permille, steal_permille };
    assert_eq!(sample.cores, [core(1000, 0, 0), core(0, 100, 0), core(500, 0, 100), core(0, 0, 0)]);
}

#[test]
fn memory_swap_and_pressure_are_measured() {
    let sample = FixtureMachine::before().second();
    assert_eq!((sample.memory.total_kib, sample.memory.available_kib), (16_000_000, 9_000_000));
    assert_eq!((sample.memory.swap_total_kib, sample.memory.swap_used_kib), (4_000_000, 1_000_000));
    let page_kib = u32::try_from(rustix::param::page_size() / 1024).unwrap();
    assert_eq!((sample.memory.swap_in_kib_s, sample.memory.swap_out_kib_s), (25 * page_kib, 50 * page_kib));
    assert_eq!((sample.memory.dirty_kib, sample.memory.oom_kills), (12_000, 4));
    assert_eq!((sample.memory.major_faults_s, sample.memory.corrupted_kib), (15, 4));
    let pressure = sample.pressure.unwrap();
    assert_eq!((pressure.cpu_some_centi, pressure.memory_full_centi, pressure.io_full_centi), (150, 25, 25));
    assert_eq!((pressure.cpu_some_minute_centi, pressure.io_full_minute_centi), (100, 10));
    assert_eq!((sample.uptime_secs, sample.load_centi), (1001, [52, 107, 1200]));
}

#[test]
fn the_machine_as_a_whole_is_measured() {
    let sample = FixtureMachine::before().second();
    let processor = sample.processor;
    assert_eq!((processor.cores, processor.busy_permille, processor.iowait_permille), (4, 375, 50));
    assert_eq!((processor.switches_s, processor.runnable, processor.blocked, processor.throttles), (346, 3, 0, 9));
    let traffic =
        Traffic { tcp_established: 12, tcp_sent_s: 1000, tcp_resent_s: 30, tcp_refused_s: 5, udp_errors_s: 7 };
    assert_eq!(sample.traffic, traffic);
    let limits = Limits {
        files: 1500,
        files_most: 90_000,
        tracked: 60_000,
        tracked_most: 65_536,
        tasks: 900,
        tasks_most: 32_768,
    };
    assert_eq!(sample.limits, limits);
    assert!(sample.agent.resident_kib > 0);
}

#[test]
fn a_kernel_without_a_bound_on_files_that_follows_no_connections_is_not_at_fault() {
    let machine = FixtureMachine::before();
    machine.write("proc/sys/fs/file-nr", "1600\t100\t9223372036854775807\n");
    machine.remove("proc/sys/net");
    let sample = machine.second();
    assert_eq!((sample.limits.files_most, sample.limits.tracked, sample.limits.tracked_most), (0, 0, 0));
    assert!(sample.unreadable.iter().all(|gap| !gap.source.raw().contains("connections")), "{:?}", sample.unreadable);
}

#[test]
fn fans_and_what_is_drawn_are_read_with_the_temperatures() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    let sample = loop {
        let sample = collector.sample(at(1), Panels::ALL);
        if !sample.temperatures.is_empty() {
            break sample;
        }
    };
    let fans = sample.fans.iter().map(|fan| (fan.label.raw(), fan.rpm)).collect::<Vec<_>>();
    assert_eq!(fans, [("acpitz fan1", 2400)]);
    let power = sample.power.iter().map(|power| (power.label.raw(), power.milliwatts)).collect::<Vec<_>>();
    assert_eq!(power, [("acpitz power1", 14_500)]);
}

#[test]
fn nobody_opens_the_files_of_a_panel_that_nobody_looks_at() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    for file in ["proc/diskstats", "proc/net/dev", "proc/310/stat", "proc/310/io", "proc/self/mountinfo"] {
        inotify::add_watch(&watch, machine.path(file), inotify::WatchFlags::OPEN).unwrap();
    }
    let sample = collector.sample(at(60_000), Panels::OVERVIEW);
    assert_eq!(rustix::io::read(&watch, &mut [0; 512]), Err(rustix::io::Errno::AGAIN), "somebody opened one of them");
    assert_eq!((sample.cores.len(), sample.disks.len(), sample.networks.len(), sample.processes.len()), (0, 0, 0, 0));
    assert!(sample.filesystems.is_empty() && sample.temperatures.is_empty());
    assert!(sample.memory.total_kib > 0 && sample.processor.cores == 4);
    let disks = collector.sample(at(61_000), Panels::OVERVIEW.with(Panel::Disks));
    assert!(!disks.disks.is_empty() && rustix::io::read(&watch, &mut [0; 512]).is_ok(), "the watch works");
}

#[test]
fn a_panel_that_comes_back_has_the_rates_of_the_time_it_was_gone() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    collector.sample(at(5000), Panels::OVERVIEW);
    collector.sample(at(9000), Panels::OVERVIEW);
    machine.lay("after");
    let sample = collector.sample(at(10_000), Panels::ALL);
    assert_eq!(sample.disks[0].requests_s, 5, "50 in ten seconds");
    assert_eq!(sample.networks[0].rx_bytes_s, 50_000);
    assert_eq!(process(&sample, 310).cpu_permille, 50);
}

#[test]
fn processes_are_chosen_by_what_the_view_says() {
    let machine = crowded();
    let mut collector = machine.collector();
    let io = |read: u64| format!("rchar: 1\nread_bytes: {read}\nwrite_bytes: 0\ncancelled_write_bytes: 0\n");
    machine.write("proc/1100/io", io(0));
    let view = |processes_by| View { processes_by, ..View::default() };
    collector.sample(at(1000), view(ProcessOrder::Io));
    machine.write("proc/1100/io", io(4 << 20));
    let sample = collector.sample(at(2000), view(ProcessOrder::Io));
    assert_eq!((sample.processes[0].pid, sample.processes[0].read_kib_s), (1100, Some(4096)));
    assert_eq!(process(&sample, 310).write_kib_s, None, "nobody may know");
    machine.write("proc/1199/stat", "1199 (large) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 0 900000 0\n");
    let sample = collector.sample(at(3000), view(ProcessOrder::Memory));
    assert_eq!(sample.processes[0].pid, 1199);
}

#[test]
fn a_process_that_stays_stuck_is_named_and_one_that_only_waits_a_moment_is_not() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    let stuck = |machine: &FixtureMachine, pid: u32, name: &str| {
        let line = format!("{pid} ({name}) D 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 0 10 0\n");
        machine.write(&format!("proc/{pid}/stat"), line);
    };
    stuck(&machine, 600, "cp\u{1b}[2J");
    let first = collector.sample(at(1000), Panels::ALL);
    assert_eq!((first.processes_stuck, first.stuck.len()), (1, 0));
    stuck(&machine, 601, "dd");
    let second = collector.sample(at(2000), Panels::ALL);
    assert_eq!(second.processes_stuck, 2);
    let named = second.stuck.iter().map(|stuck| (stuck.pid, stuck.name.raw())).collect::<Vec<_>>();
    assert_eq!(named, [(600, "cp\u{1b}[2J")]);
}

#[test]
fn a_clock_that_jumps_makes_no_huge_figures() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    machine.lay("after");
    let century = collector.sample(at(100 * 365 * 86_400_000), Panels::ALL);
    assert_eq!(century.interval_ms, u32::MAX);
    assert_eq!((century.disks[0].requests_s, process(&century, 310).cpu_permille), (0, 0));
    let back = collector.sample(at(0), Panels::ALL);
    assert_eq!((back.interval_ms, back.disks[0].requests_s, back.traffic.tcp_sent_s), (0, 0, 0));
    DeltaDecoder::new().apply(DeltaEncoder::new().encode(&Snapshot { tick: 1, ..century })).unwrap();
}

#[test]
fn the_limit_of_a_container_is_shown_beside_the_memory_of_the_host() {
    let memory = FixtureMachine::before().second().memory;
    assert_eq!((memory.limit_kib, memory.limit_used_kib), (2_000_000, 1_000_000), "the tightest around the agent");
    let unlimited = FixtureMachine::before();
    unlimited.write("sys/fs/cgroup/user.slice/memory.max", "max\n");
    assert_eq!(unlimited.second().memory.limit_kib, 0);
}

#[test]
fn disks_are_whole_devices_in_use_with_their_latency() {
    let sample = FixtureMachine::before().second();
    let sda = Disk {
        name: Label::cut("sda"),
        read_kib_s: 1000,
        write_kib_s: 2000,
        requests_s: 50,
        await_us: 20_000,
        busy_permille: 900,
        read_await_us: 10_000,
        write_await_us: 60_000,
        in_flight: 2,
        backlog_ms_s: 1000,
        flushes_s: 4,
        flush_await_us: 5000,
    };
    let names = sample.disks.iter().map(|disk| disk.name.raw()).collect::<Vec<_>>();
    assert_eq!(names, ["sda", "nvme0n1"], "no partition, no loop device, no empty drive");
    assert_eq!(sample.disks[0], sda);
    let reset = &sample.disks[1];
    assert_eq!((reset.read_kib_s, reset.requests_s, reset.await_us, reset.busy_permille), (0, 0, 0, 0));
}

#[test]
fn networks_say_what_went_wrong_and_whether_the_link_is_up() {
    let sample = FixtureMachine::before().second();
    let names = sample.networks.iter().map(|network| (network.name.raw(), network.up)).collect::<Vec<_>>();
    assert_eq!(names, [("wlan0", true), ("eth0", false)]);
    let wlan = &sample.networks[0];
    assert_eq!((wlan.rx_bytes_s, wlan.tx_bytes_s, wlan.errors, wlan.drops), (500_000, 10_000, 5, 11));
    assert_eq!(sample.networks[1].rx_bytes_s, 0, "a counter that went back is no traffic");
}

#[test]
fn temperatures_have_one_name_each_and_no_unbelievable_figure() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    // The sensors are asked in a thread: until it has answered.
    let temperatures = loop {
        let sample = collector.sample(at(1), Panels::ALL);
        if !sample.temperatures.is_empty() {
            break sample.temperatures;
        }
    };
    let found = temperatures.iter().map(|sensor| (sensor.label.raw(), sensor.deci_celsius)).collect::<Vec<_>>();
    assert_eq!(found, [("nvme Composite", 388), ("acpitz temp1", -50), ("#2 nvme Composite", 410)]);
}

#[test]
fn a_machine_without_sensors_is_not_at_fault() {
    let machine = FixtureMachine::before();
    machine.remove("sys/class/hwmon");
    machine.remove("sys/class/thermal");
    let sample = machine.second();
    assert_eq!((sample.temperatures.len(), reason(&sample, "temperatures")), (0, None));
}

#[test]
fn file_systems_are_listed_once_and_one_that_is_gone_is_named() {
    let sample = FixtureMachine::before().second();
    let mounts = sample.filesystems.iter().map(|row| (row.mount.raw(), row.kind.raw())).collect::<Vec<_>>();
    assert_eq!(mounts, [("/", "ext4")]);
    assert!(sample.filesystems[0].total_kib >= sample.filesystems[0].available_kib);
    assert!(reason(&sample, "file system on 8:17").is_some());
}

#[test]
fn hostile_program_names_do_not_shift_a_figure() {
    let sample = FixtureMachine::before().second();
    let posing = process(&sample, 310);
    assert_eq!((posing.name.raw(), posing.state, posing.threads), (") S 1 1 (", 'R', 2));
    assert_eq!(posing.cpu_permille, 500);
    let escaping = process(&sample, 311);
    assert_eq!(escaping.name.raw(), "a\nb\u{1b}[2J");
    assert_eq!(escaping.name.shown(), "a\\u{a}b\\u{1b}[2J");
}

#[test]
fn a_process_number_that_is_used_again_is_another_process() {
    let sample = FixtureMachine::before().second();
    let reused = process(&sample, 312);
    assert_eq!(
        (reused.name.raw(), reused.start_ticks, reused.cpu_permille, reused.owner.raw()),
        ("reused", 100_050, 250, "user 33")
    );
}

#[test]
fn processor_time_that_went_back_is_none() {
    assert_eq!(process(&FixtureMachine::before().second(), 313).cpu_permille, 0);
}

#[test]
fn a_new_busy_process_shows_what_it_used_in_its_first_sample() {
    assert_eq!(process(&FixtureMachine::before().second(), 400).cpu_permille, 600);
}

#[test]
fn an_old_process_that_was_never_seen_before_counts_with_its_mean() {
    assert_eq!(process(&FixtureMachine::before().second(), 401).cpu_permille, 50);
}

#[test]
fn a_process_that_ends_while_it_is_looked_at_does_not_count() {
    let sample = FixtureMachine::before().second();
    assert_eq!((sample.processes_total, sample.processes_readable), (7, 7));
    assert!(sample.processes.iter().all(|process| process.pid != 500));
}

/// Everything, but all processes only every two seconds.
fn every_other() -> Wanted {
    Wanted { processes_every: Duration::from_secs(2), ..Wanted::default() }
}

/// A machine with more processes than are looked at with every sample.
fn crowded() -> FixtureMachine {
    let machine = FixtureMachine::before();
    (1000..1200).for_each(|pid| machine.works(pid, "idle", 0));
    machine
}

impl FixtureMachine {
    /// One process with what it has used so far.
    fn works(&self, pid: u32, name: &str, ticks: u64) {
        let line = format!("{pid} ({name}) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 5000 0 10 0\n");
        self.write(&format!("proc/{pid}/stat"), line);
    }
}

#[test]
fn on_a_crowded_machine_the_listed_are_looked_at_each_second_and_all_every_other() {
    let machine = crowded();
    let mut collector = machine.collector();
    let mut at_second = |second: u64| collector.sample(at(second * 1000), every_other());
    let used = |sample: &Snapshot, pid| sample.processes.iter().find(|row| row.pid == pid).map(|row| row.cpu_permille);

    at_second(1);
    machine.works(1150, "busy", 100);
    let whole = at_second(2);
    assert_eq!(used(&whole, 1150), Some(500), "over the two seconds since it was looked at last");
    machine.works(1150, "busy", 130);
    machine.works(1151, "late", 200);
    let partial = at_second(3);
    assert_eq!((used(&partial, 1150), used(&partial, 1151)), (Some(300), None));
    machine.works(1150, "busy", 140);
    let whole = at_second(4);
    assert_eq!((used(&whole, 1150), used(&whole, 1151)), (Some(100), Some(1000)));
}

#[test]
fn a_process_at_rest_is_looked_at_in_turn_and_one_that_works_is_found_within_five_seconds() {
    let machine = crowded();
    let mut collector = machine.collector();
    let names = |collector: &mut Collector, second: u64| {
        let sample = collector.sample(at(second * 1000), Panels::ALL);
        sample.processes.iter().map(|row| row.name.raw().to_owned()).collect::<Vec<_>>()
    };
    (1..=12).for_each(|second| drop(names(&mut collector, second)));
    // These were at rest and are not listed.
    let busy = 1150..1155;
    busy.clone().for_each(|pid| machine.works(pid, "busy", 300));
    let seen = (13..=17).map(|second| names(&mut collector, second).iter().filter(|name| *name == "busy").count());
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [1, 2, 3, 4, 5],
        "numbers that follow each other have their turns a second apart"
    );
    // From here on they are looked at each second, and so is everybody once the question is another one.
    machine.works(1160, "more", 300);
    let by_memory = View { processes_by: ProcessOrder::Memory, ..View::default() };
    collector.sample(at(18_000), by_memory);
    assert!(names(&mut collector, 19).iter().any(|name| name == "more"));
}

#[test]
fn a_large_process_is_among_the_largest_though_others_are_busier() {
    let machine = crowded();
    let line = "1190 (hoarder) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5000 0 9000000 0\n";
    machine.write("proc/1190/stat", line);
    let mut monitor = Monitor::new(machine.roots(), at(0));
    for second in 1..=2 {
        (1000..1060).for_each(|pid| machine.works(pid, "busy", second * 50));
        monitor.sample(Wanted::default(), at(second * 1000), WallTime(second * 1000));
    }
    let report = monitor.report(Vec::new(), WallTime(2000));
    assert!(report.sample.processes.iter().all(|row| row.name.raw() != "hoarder"));
    assert_eq!((report.largest[0].name.raw(), report.largest[0].resident_kib), ("hoarder", 36_000_000));
    assert_eq!(report.largest.len(), TOP_PROCESSES);
    assert!(report.largest.is_sorted_by_key(|row| Reverse(row.resident_kib)));
}

#[test]
fn who_uses_disks_most_is_told_though_others_are_busier() {
    let machine = crowded();
    let io = |pid: u32, read_kib: u64, written_kib: u64| {
        let (read, written) = (read_kib << 10, written_kib << 10);
        machine.write(&format!("proc/{pid}/io"), format!("rchar: 1\nread_bytes: {read}\nwrite_bytes: {written}\n"));
    };
    let mut monitor = Monitor::new(machine.roots(), at(0));
    for second in 1..=2 {
        (1000..1060).for_each(|pid| machine.works(pid, "busy", second * 50));
        // A few ticks, as whoever waits for disks uses.
        (1150..1165).for_each(|pid| {
            machine.works(pid, "writer", second);
            io(pid, 0, second * u64::from(pid));
        });
        machine.works(1190, "reader", second);
        io(1190, second * 300, 0);
        // It used disks once, and does nothing now.
        io(1191, 9000, 9000);
        monitor.sample(Wanted::default(), at(second * 1000), WallTime(second * 1000));
    }
    let report = monitor.report(Vec::new(), WallTime(2000));
    assert!(report.sample.processes.iter().all(|row| row.name.raw() == "busy"));
    let told = report.disk_processes.iter().map(|row| (row.pid, row.read_kib_s, row.write_kib_s)).collect::<Vec<_>>();
    let writers = (1155..1165).rev().map(|pid| (pid, 0, pid));
    assert_eq!(told, writers.chain([(1190, 300, 0)]).collect::<Vec<_>>());
}

#[test]
fn a_listed_process_that_ends_on_a_crowded_machine_is_gone_at_once_and_its_number_is_free() {
    let machine = crowded();
    let mut collector = machine.collector();
    let before = collector.sample(at(2000), every_other());
    let listed = |sample: &Snapshot, pid| sample.processes.iter().any(|row| row.pid == pid);
    assert!(listed(&before, 310) && listed(&before, 311));
    machine.remove("proc/310");
    machine.write("proc/311/stat", "311 (other) R 1 1 1 0 -1 0 0 0 0 0 7 0 0 0 20 0 1 0 99999999 0 10 0\n");
    let after = collector.sample(at(3000), every_other());
    assert!(!listed(&after, 310) && !listed(&after, 311));
    assert_eq!(after.processes_total, before.processes_total - 2);
    assert_eq!(collector.sample(at(4000), every_other()).processes_total, before.processes_total - 1);
}

#[test]
fn a_process_that_cannot_be_read_counts_as_such() {
    let machine = FixtureMachine::before();
    machine.remove("proc/313/stat");
    fs::create_dir(machine.path("proc/313/stat")).unwrap();
    let sample = machine.collector().sample(at(1000), Panels::ALL);
    assert_eq!((sample.processes_total, sample.processes_readable), (5, 4));
    assert!(reason(&sample, "some processes").is_some());
}

#[test]
fn hidden_processes_are_said_to_be_hidden() {
    let sample = FixtureMachine::before().second();
    assert_eq!(reason(&sample, "processes of other users"), None, "it sees process 1, so nothing is hidden from it");
    let machine = FixtureMachine::before();
    machine.remove("proc/1");
    let sample = machine.collector().sample(at(1000), Panels::ALL);
    assert_eq!(reason(&sample, "processes of other users"), Some("the machine hides them (hidepid)"));
}

#[test]
fn arguments_and_environment_are_never_opened() {
    let machine = FixtureMachine::before();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    for file in ["proc/1/environ", "proc/1/cmdline", "sys/class/dmi/id/product_serial"] {
        inotify::add_watch(&watch, machine.path(file), inotify::WatchFlags::OPEN).unwrap();
    }
    let mut collector = machine.collector();
    let sample = collector.sample(at(1000), Panels::ALL);
    let card = collector.identity();
    assert_eq!(rustix::io::read(&watch, &mut [0; 512]), Err(rustix::io::Errno::AGAIN), "somebody opened one of them");
    assert!(!format!("{card:?}{sample:?}").contains("CANARY"));
    fs::File::open(machine.path("proc/1/environ")).unwrap();
    assert!(rustix::io::read(&watch, &mut [0; 512]).is_ok(), "the watch works");
}

#[test]
fn the_identity_card_tells_what_the_machine_is() {
    let machine = FixtureMachine::before();
    let card = machine.collector().identity();
    assert_eq!((card.host.raw(), card.kernel.raw()), ("desk-4", "6.1.0-18-amd64"));
    assert_eq!((card.system.raw(), card.model.raw()), ("Debian GNU/Linux 12 (bookworm)", "LENOVO 20N2CTO1WW"));
    assert_eq!((card.processor.raw(), card.cores), ("Intel(R) Core(TM) i5-8365U CPU @ 1.60GHz", 2));
    assert_eq!((card.memory_kib, card.virtualisation), (16_000_000, None));
    assert!(!card.architecture.is_blank() && !card.agent_version.is_blank() && !card.user.is_blank());
}

#[test]
fn virtual_machines_and_containers_are_recognised() {
    let kind = |write: &[(&str, &str)]| {
        let machine = FixtureMachine::before();
        write.iter().for_each(|(file, content)| machine.write(file, content));
        machine.collector().identity().virtualisation.map(|kind| kind.raw().to_owned())
    };
    let qemu = ("sys/class/dmi/id/sys_vendor", "QEMU\n");
    let flags = ("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor\n");
    let docker =
        ("proc/self/mountinfo", "1 0 0:60 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/overlay2/l/A\n");
    assert_eq!(kind(&[qemu]).as_deref(), Some("virtual machine (QEMU)"));
    assert_eq!(kind(&[flags]).as_deref(), Some("virtual machine"));
    assert_eq!(kind(&[docker]).as_deref(), Some("container (docker)"));
    assert_eq!(kind(&[docker, flags]).as_deref(), Some("container (docker) in virtual machine"));
    assert_eq!(kind(&[("run/.containerenv", "")]).as_deref(), Some("container (podman)"));
    assert_eq!(kind(&[("run/systemd/container", "lxc\n")]).as_deref(), Some("container (lxc)"));
    let wsl = ("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n");
    assert_eq!(kind(&[wsl]).as_deref(), Some("Windows Subsystem for Linux"));
}

#[test]
fn a_machine_that_tells_nothing_is_measured_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let roots = Roots::under(&folder.path().join("nowhere"));
    let mut collector = Collector::new(roots, at(0));
    let sample = collector.sample(at(1000), Panels::ALL);
    for source in
        ["processors", "memory", "pressure", "file systems", "disks", "networks", "processes", "uptime", "load"]
    {
        assert_eq!(reason(&sample, source), Some("this system does not have it"), "{source}");
    }
    assert_eq!(collector.identity().system.raw(), "Linux");
}

#[test]
fn what_could_not_be_read_once_is_not_reported_for_ever() {
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    machine.remove("proc/pressure");
    assert!(reason(&collector.sample(at(1000), Panels::ALL), "pressure").is_some());
    machine.lay("before");
    let sample = collector.sample(at(2000), Panels::ALL);
    assert_eq!((reason(&sample, "pressure"), sample.pressure.is_some()), (None, true));
}

#[test]
fn files_full_of_nonsense_still_make_a_sample_that_a_technician_accepts() {
    let files = [
        "proc/stat",
        "proc/meminfo",
        "proc/vmstat",
        "proc/uptime",
        "proc/loadavg",
        "proc/pressure/cpu",
        "proc/diskstats",
        "proc/net/dev",
        "proc/self/mountinfo",
        "proc/self/cgroup",
        "proc/cpuinfo",
        "proc/310/stat",
        "proc/310/status",
        "sys/class/net/wlan0/operstate",
        "sys/class/hwmon/hwmon0/temp1_input",
        "etc/os-release",
        "etc/passwd",
        "proc/310/io",
        "proc/net/snmp",
        "proc/net/netstat",
        "proc/sys/fs/file-nr",
        "proc/sys/kernel/pid_max",
        "proc/self/statm",
        "sys/class/hwmon/hwmon2/fan1_input",
        "sys/class/hwmon/hwmon2/power1_input",
    ];
    let nonsense: [&[u8]; 6] = [
        b"",
        b"\n\n\n",
        b"\0\xff\xfe\n",
        b"cpu cpu0 -1 -1\ncpu99999999999999999999 1 1 1 1\ncpu1 18446744073709551615 18446744073709551615 0 0\n",
        b"MemTotal: 1 kB\nMemAvailable: 18446744073709551615 kB\nSwapTotal: 1\nSwapFree: x\npswpin 18446744073709551615\n",
        b"1 (x) ) ( 310 (y) R 18446744073709551615 8:0 sda 1 1 1 1 1 1 1 1 1 1 1 wlan0: 1 1 1 1 1 1 1 1 1 1 1 1\n",
    ];
    let machine = FixtureMachine::before();
    let mut collector = machine.collector();
    let mut encoder = DeltaEncoder::new();
    let mut decoder = DeltaDecoder::new();
    for (tick, kind) in (1..).zip([0, 3, 5, 4, 3, 4, 5, 3, 2, 1]) {
        files.iter().for_each(|file| machine.write(file, nonsense[kind]));
        let mut sample = collector.sample(at(tick * 1000), Panels::ALL);
        collector.identity();
        sample.tick = tick;
        decoder.apply(encoder.encode(&sample)).unwrap();
        assert_eq!(decoder.sample(), encoder.sent());
    }
}
