use proptest::prelude::*;
use wire::{
    diagnostics::{Core, Disk, FilesystemState, Memory, Network, Processor, Temperature},
    text::Label,
};

use super::*;
use crate::history::Place;

proptest! {
    /// What is kept is kept for good: reading and writing it again changes nothing.
    #[test]
    fn a_code_stands_for_a_value_that_has_this_code(figure in 0..Figure::ALL.len(), value in any::<i64>()) {
        let figure = Figure::ALL[figure];
        let code = figure.code(value);
        prop_assert_ne!(code, i32::MIN);
        prop_assert_eq!(figure.code(figure.value(code)), code);
    }

    #[test]
    fn a_larger_value_never_has_a_smaller_code(figure in 0..Figure::ALL.len(), a in any::<i64>(), b in any::<i64>()) {
        let figure = Figure::ALL[figure];
        prop_assume!(figure.kind() == Kind::Gauge);
        prop_assert_eq!(a.min(b) == a, figure.code(a.min(b)) <= figure.code(a.max(b)) && a <= b);
    }

    #[test]
    fn any_code_is_some_value(figure in 0..Figure::ALL.len(), code in any::<i32>()) {
        Figure::ALL[figure].value(code);
    }

    #[test]
    fn large_amounts_are_kept_to_a_part_in_five_hundred(kib in 1_000_000..1_i64 << 40) {
        let kept = Figure::MemoryAvailable.value(Figure::MemoryAvailable.code(kib));
        prop_assert!(kept <= kib && kib - kept <= kib / 500);
        let kept = Figure::SpaceAvailable.value(Figure::SpaceAvailable.code(kib));
        prop_assert!(kib.abs_diff(kept) <= 512);
    }
}

#[test]
fn figures_of_a_sample_are_in_their_units_and_of_their_things() {
    let label = Label::cut;
    let filesystem = |mount| Filesystem {
        mount: label(mount),
        kind: label("ext4"),
        total_kib: 1000,
        available_kib: 400,
        inodes_total: 0,
        inodes_free: 0,
        state: FilesystemState::ReadWrite,
    };
    let sample = Snapshot {
        interval_ms: 1000,
        processor: Processor { cores: 2, busy_permille: 500, steal_permille: 5, ..Processor::default() },
        cores: vec![Core { busy_permille: 1000, iowait_permille: 0, steal_permille: 10 }, Core::default()],
        memory: Memory { total_kib: 1000, available_kib: 600, ..Memory::default() },
        filesystems: vec![filesystem("/home"), filesystem("/media/ana/BACKUP"), filesystem("/media/ana/OTHER")],
        disks: vec![Disk {
            name: label("sda"),
            read_kib_s: 1,
            write_kib_s: 2,
            requests_s: 3,
            await_us: 4,
            busy_permille: 5,
            backlog_ms_s: 6250,
            ..Disk::default()
        }],
        networks: vec![Network {
            name: label("wlan0"),
            up: true,
            rx_bytes_s: 6,
            tx_bytes_s: 7,
            errors: 8,
            drops: u64::MAX,
            ..Network::default()
        }],
        temperatures: vec![Temperature { label: label("acpitz"), deci_celsius: -5 }],
        ..Snapshot::default()
    };
    let places = Places::new([(label("/media/ana/BACKUP"), (8, 17))]);
    let figures = figures_of(&sample, &places);
    let value = |figure, subject: Option<Subject>| {
        figures.iter().find(|(key, _)| *key == SeriesKey { figure, subject: subject.clone() }).map(|(_, value)| *value)
    };
    assert_eq!(value(Figure::CpuBusy, None), Some(500));
    assert_eq!(value(Figure::CpuBusiest, None), Some(1000));
    assert_eq!(value(Figure::CpuSteal, None), Some(5));
    assert_eq!(value(Figure::MemoryAvailable, None), Some(600));
    assert_eq!(value(Figure::SwapUsed, None), None, "there is no swap");
    assert_eq!(value(Figure::PressureIoSome, None), None, "this kernel has none");
    assert_eq!(value(Figure::SpaceAvailable, Some(Subject::Place(Place::Home))), Some(400));
    assert_eq!(value(Figure::SpaceAvailable, Some(Subject::Device { major: 8, minor: 17 })), Some(400));
    assert_eq!(figures.iter().filter(|(key, _)| key.figure == Figure::SpaceAvailable).count(), 2);
    assert_eq!(value(Figure::InodesFree, Some(Subject::Place(Place::Home))), None, "it has no such limit");
    assert_eq!(value(Figure::DiskAwait, Some(Subject::Disk(label("sda")))), Some(4));
    assert_eq!(value(Figure::DiskQueue, Some(Subject::Disk(label("sda")))), Some(625), "six requests and a quarter");
    assert_eq!(value(Figure::NetworkDrops, Some(Subject::Network(label("wlan0")))), Some(i64::MAX));
    assert_eq!(value(Figure::Temperature, Some(Subject::Sensor(label("acpitz")))), Some(-5));

    let first = figures_of(&Snapshot { interval_ms: 0, ..sample }, &places);
    let rates = [Figure::CpuBusy, Figure::DiskBusy, Figure::NetworkReceived];
    assert!(first.iter().all(|(key, _)| !rates.contains(&key.figure)), "there are no rates yet");
    assert!(first.iter().any(|(key, _)| key.figure == Figure::NetworkErrors));
}

#[test]
fn the_place_that_a_file_knows_a_figure_by_never_changes() {
    let places = "cpu.busy cpu.busiest cpu.iowait cpu.steal load.1 load.5 load.15 pressure.cpu.some pressure.memory.some \
        pressure.memory.full pressure.io.some pressure.io.full memory.available memory.limit-used memory.dirty swap.used \
        swap.in swap.out memory.oom-kills processes space.available inodes.free disk.busy disk.await disk.read disk.write \
        disk.requests network.received network.sent network.errors network.drops network.up temperature disk.wear \
        battery.health wifi.signal tcp.retransmits disk.sectors process.cpu disk.queue";
    let names = Figure::ALL.iter().map(|figure| figure.name()).collect::<Vec<_>>().join(" ");
    assert!(names.starts_with(places), "{names}");
}
