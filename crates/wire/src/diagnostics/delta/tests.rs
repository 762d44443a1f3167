use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    codec::{self, CodecError},
    diagnostics::{FilesystemState, MAX_CORES, MAX_ROWS, MAX_UNREADABLE, Memory},
    text::{Label, PeerText, Sentence},
};

fn label(text: &str) -> Label {
    Label::cut(text)
}

fn card() -> IdentityCard {
    IdentityCard {
        host: label("desk-4"),
        system: label("Debian GNU/Linux 12 (bookworm)"),
        kernel: label("6.1.0-18-amd64"),
        architecture: label("x86_64"),
        model: label(""),
        virtualisation: None,
        processor: label("Intel(R) Core(TM) i5-8365U"),
        cores: 8,
        memory_kib: 16 << 20,
        agent_version: label("0.1.0"),
        user: label("ana"),
        administrator: false,
    }
}

fn process(pid: u32) -> Process {
    Process {
        pid,
        start_ticks: 900,
        name: label("firefox"),
        user_id: 1000,
        cpu_permille: 120,
        resident_kib: 512 << 10,
        threads: 90,
        state: 'S',
    }
}

/// An ordinary desktop.
fn desktop(tick: u64) -> Snapshot {
    Snapshot {
        tick,
        interval_ms: 1000,
        uptime_secs: 3600 + tick,
        cores: vec![Core { busy_permille: 40, iowait_permille: 0, steal_permille: 0 }; 8],
        memory: Memory { total_kib: 16 << 20, available_kib: 8 << 20, ..Memory::default() },
        pressure: Some(Pressure::default()),
        filesystems: vec![Filesystem {
            mount: label("/"),
            kind: label("ext4"),
            total_kib: 400 << 20,
            available_kib: 100 << 20,
            inodes_total: 1 << 24,
            inodes_free: 1 << 23,
            state: FilesystemState::ReadWrite,
        }],
        processes_total: 200,
        processes_readable: 200,
        processes: (1..=20).map(process).collect(),
        ..Snapshot::default()
    }
}

fn apply(decoder: &mut DeltaDecoder, frame: StreamFrame) -> Result<(), StreamError> {
    decoder.apply(frame).map(|_| ())
}

fn as_delta(frame: StreamFrame) -> Delta {
    let StreamFrame::Delta(delta) = frame else { panic!("{frame:?} is not a delta") };
    delta
}

/// Encodes both samples: an encoder's first two frames.
fn key_and_delta(first: &Snapshot, second: &Snapshot) -> (StreamFrame, Delta) {
    let mut encoder = DeltaEncoder::new();
    (encoder.encode(first), as_delta(encoder.encode(second)))
}

#[test]
fn an_idle_second_costs_a_few_bytes() {
    let (_, delta) = key_and_delta(&desktop(1), &desktop(2));
    assert_eq!(codec::encode(&StreamFrame::Delta(delta)).unwrap().len(), 10);
}

/// Pins the bytes of a delta: a change here is a change of the protocol.
#[test]
fn golden_delta() {
    let mut second = desktop(2);
    second.memory.available_kib -= 1 << 20;
    second.processes.remove(3);
    second.processes.push(process(77));
    let (_, delta) = key_and_delta(&desktop(1), &second);
    let bytes = codec::encode(&StreamFrame::Delta(delta)).unwrap();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex, "0201000103014dfb84030766697265666f78fbe80378fc000008005a53020901030202fcffff1f00");
}

#[test]
fn what_comes_and_goes_arrives_on_the_other_side() {
    let mut second = desktop(2);
    second.filesystems.clear();
    second.cores.pop();
    second.pressure = None;
    second.networks.push(Network {
        name: label("wlan0"),
        up: true,
        rx_bytes_s: 4096,
        tx_bytes_s: 64,
        errors: 0,
        drops: 3,
    });
    second.unreadable.push(Unreadable { source: label("pressure"), reason: Sentence::cut("switched off") });
    second.processes.retain(|process| process.pid > 5);
    second.processes[2].name = label("bash");
    let mut decoder = DeltaDecoder::new();
    let (key, delta) = key_and_delta(&desktop(1), &second);
    apply(&mut decoder, key).unwrap();
    apply(&mut decoder, StreamFrame::Delta(delta)).unwrap();
    assert_eq!(decoder.sample(), Some(&second.quantised()));
}

#[test]
fn a_keyframe_comes_first_then_every_sixty_frames_and_when_asked_for() {
    let mut encoder = DeltaEncoder::new();
    let keys = (1..=125).filter(|tick| matches!(encoder.encode(&desktop(*tick)), StreamFrame::Key(_)));
    assert_eq!(keys.collect::<Vec<_>>(), [1, 61, 121]);
    encoder.restart();
    assert!(matches!(encoder.encode(&desktop(126)), StreamFrame::Key(_)));
    assert!(matches!(encoder.encode(&desktop(126)), StreamFrame::Key(_)), "a tick that does not rise starts anew");
}

#[test]
fn the_identity_card_comes_through_before_any_sample() {
    let mut decoder = DeltaDecoder::new();
    let frame = codec::encode(&StreamFrame::Identity(Box::new(card()))).unwrap();
    let update = decoder.apply(codec::decode(&frame).unwrap()).unwrap();
    assert_eq!(update, Update::Identity(&card()));
    assert_eq!((decoder.identity(), decoder.sample()), (Some(&card()), None));
}

#[test]
fn a_delta_without_its_base_is_refused() {
    let mut encoder = DeltaEncoder::new();
    let key = encoder.encode(&desktop(1));
    let second = encoder.encode(&desktop(2));
    let third = encoder.encode(&desktop(3));
    let mut decoder = DeltaDecoder::new();
    assert_eq!(apply(&mut decoder, second.clone()), Err(StreamError::NoKeyframe));
    apply(&mut decoder, key.clone()).unwrap();
    assert_eq!(apply(&mut decoder, third.clone()), Err(StreamError::OutOfSequence { base: 2, held: 1 }));
    apply(&mut decoder, second.clone()).unwrap();
    assert_eq!(apply(&mut decoder, second), Err(StreamError::OutOfSequence { base: 1, held: 2 }), "no replay");
    assert_eq!(apply(&mut decoder, key), Err(StreamError::NotLater { tick: 1, held: 2 }));
    apply(&mut decoder, third).unwrap();
    assert_eq!(decoder.sample(), Some(&desktop(3).quantised()));
}

#[test]
fn a_delta_that_does_not_fit_is_refused_and_changes_nothing() {
    let (key, fitting) = key_and_delta(&desktop(1), &desktop(2));
    let mut decoder = DeltaDecoder::new();
    apply(&mut decoder, key).unwrap();
    let held = decoder.sample().cloned();
    type Spoil = fn(&mut Delta);
    let spoilt: [(Spoil, StreamError); 9] = [
        (|delta| delta.gone = vec![20], StreamError::Misfit),
        (|delta| delta.gone = vec![3, 3], StreamError::Misfit),
        (|delta| delta.by.push(1), StreamError::Misfit),
        (|delta| delta.by.truncate(1), StreamError::Misfit),
        (|delta| delta.moved = vec![0xff; 4096], StreamError::Misfit),
        (|delta| delta.joined = vec![process(99)], StreamError::TooMany { table: "processes", limit: TOP_PROCESSES }),
        (
            |delta| {
                delta.gone = vec![0];
                delta.joined = vec![process(2)];
            },
            StreamError::SameProcessTwice,
        ),
        (
            |delta| delta.tables = vec![Table::Cores(vec![Core { busy_permille: 1001, ..Core::default() }])],
            StreamError::OutOfRange { figure: "share of a core" },
        ),
        (
            |delta| delta.tables = vec![Table::Cores(vec![Core::default(); MAX_CORES + 1])],
            StreamError::TooMany { table: "cores", limit: MAX_CORES },
        ),
    ];
    for (spoil, error) in spoilt {
        let mut delta = fitting.clone();
        spoil(&mut delta);
        assert_eq!(apply(&mut decoder, StreamFrame::Delta(delta)), Err(error));
        assert_eq!(decoder.sample(), held.as_ref());
    }
    apply(&mut decoder, StreamFrame::Delta(fitting)).unwrap();
}

#[test]
fn a_delta_cannot_wrap_a_sample_out_of_its_bounds() {
    let mut second = desktop(2);
    second.memory.available_kib = second.memory.total_kib;
    let (key, mut delta) = key_and_delta(&desktop(1), &second);
    let mut decoder = DeltaDecoder::new();
    apply(&mut decoder, key).unwrap();
    *delta.by.last_mut().unwrap() = 1 << 40;
    assert_eq!(
        apply(&mut decoder, StreamFrame::Delta(delta)),
        Err(StreamError::OutOfRange { figure: "available memory" })
    );
}

#[test]
fn a_keyframe_outside_its_bounds_is_refused() {
    let mut decoder = DeltaDecoder::new();
    let mut sample = desktop(1);
    sample.pressure = Some(Pressure { io_full_centi: 10_001, ..Pressure::default() });
    let refused = apply(&mut decoder, StreamFrame::Key(Box::new(sample)));
    assert_eq!(refused, Err(StreamError::OutOfRange { figure: "pressure" }));
    let mut sample = desktop(1);
    sample.processes.push(process(99));
    let refused = apply(&mut decoder, StreamFrame::Key(Box::new(sample)));
    assert_eq!(refused, Err(StreamError::TooMany { table: "processes", limit: TOP_PROCESSES }));
    assert_eq!(decoder.sample(), None);
}

#[test]
fn the_largest_sample_fits_its_frame_whole_and_as_a_delta() {
    fn longest<const MAX: usize>() -> PeerText<MAX> {
        PeerText::cut(&"x".repeat(MAX))
    }
    let most = u64::MAX;
    let largest = Snapshot {
        tick: most,
        skipped: most,
        interval_ms: u32::MAX,
        uptime_secs: most,
        load_centi: [u32::MAX; 3],
        cores: vec![Core { busy_permille: 1000, iowait_permille: 1000, steal_permille: 1000 }; MAX_CORES],
        memory: Memory {
            total_kib: most,
            available_kib: most,
            limit_kib: most,
            limit_used_kib: most,
            dirty_kib: most,
            swap_total_kib: most,
            swap_used_kib: most,
            swap_in_kib_s: u32::MAX,
            swap_out_kib_s: u32::MAX,
            oom_kills: most,
        },
        pressure: Some(Pressure::default()),
        filesystems: vec![
            Filesystem {
                mount: longest(),
                kind: longest(),
                total_kib: most,
                available_kib: most,
                inodes_total: most,
                inodes_free: most,
                state: FilesystemState::Unresponsive,
            };
            MAX_ROWS
        ],
        disks: vec![
            Disk {
                name: longest(),
                read_kib_s: u32::MAX,
                write_kib_s: u32::MAX,
                requests_s: u32::MAX,
                await_us: u32::MAX,
                busy_permille: 1000,
            };
            MAX_ROWS
        ],
        networks: vec![
            Network {
                name: longest(),
                up: true,
                rx_bytes_s: most,
                tx_bytes_s: most,
                errors: most,
                drops: most
            };
            MAX_ROWS
        ],
        temperatures: vec![Temperature { label: longest(), deci_celsius: i32::MIN }; MAX_ROWS],
        processes_total: u32::MAX,
        processes_readable: u32::MAX,
        processes: (0..20)
            .map(|pid| Process {
                pid: u32::MAX - pid,
                start_ticks: most,
                name: longest(),
                user_id: u32::MAX,
                cpu_permille: u32::MAX,
                resident_kib: most,
                threads: u32::MAX,
                state: char::MAX,
            })
            .collect(),
        unreadable: vec![Unreadable { source: longest(), reason: longest() }; MAX_UNREADABLE],
    };
    let cores = vec![Core::default(); MAX_CORES];
    let (key, figures) = key_and_delta(&Snapshot { tick: 1, cores, ..Snapshot::default() }, &largest);
    let (_, all) = key_and_delta(&Snapshot { tick: 1, ..Snapshot::default() }, &largest);
    for frame in [key, StreamFrame::Key(Box::new(largest)), StreamFrame::Delta(figures), StreamFrame::Delta(all)] {
        codec::encode(&frame).unwrap();
    }
}

/// A desktop in use: half its processes work, the network and a disk carry something, memory moves.
#[test]
fn a_steady_stream_stays_below_four_hundred_bytes_a_second() {
    let mut state = 7_u64;
    let mut noise = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut encoder = DeltaEncoder::new();
    let seconds = 10 * u64::from(KEYFRAME_EVERY);
    let bytes = (1..=seconds).map(|tick| {
        let mut sample = desktop(tick);
        sample.interval_ms += u32::try_from(noise(9)).unwrap();
        sample.memory.available_kib -= noise(40_000);
        sample.pressure = Some(Pressure { cpu_some_centi: u16::try_from(noise(300)).unwrap(), ..Pressure::default() });
        sample.cores.iter_mut().for_each(|core| core.busy_permille = u16::try_from(noise(200)).unwrap());
        for process in sample.processes.iter_mut().step_by(2) {
            process.cpu_permille = u32::try_from(noise(80)).unwrap();
            process.resident_kib += noise(3000);
            process.state = if noise(2) == 0 { 'R' } else { 'S' };
        }
        let disk = u32::try_from(noise(5000)).unwrap();
        let name = label("nvme0n1");
        sample.disks =
            vec![Disk { name, read_kib_s: 0, write_kib_s: disk, requests_s: disk, await_us: disk, busy_permille: 30 }];
        let name = label("wlan0");
        let (rx_bytes_s, tx_bytes_s) = (noise(90_000), noise(9000));
        sample.networks = vec![Network { name, up: true, rx_bytes_s, tx_bytes_s, errors: 0, drops: tick }];
        codec::encode(&encoder.encode(&sample)).unwrap().len() as u64
    });
    let mean = bytes.sum::<u64>() / seconds;
    assert!((50..400).contains(&mean), "{mean} bytes a second");
}

#[test]
fn quantising_rounds_to_what_a_person_needs() {
    let mut sample = desktop(1);
    sample.cores[0] = Core { busy_permille: 998, iowait_permille: 12, steal_permille: 13 };
    sample.interval_ms = 1013;
    sample.memory.available_kib = sample.memory.total_kib - 1;
    sample.networks =
        vec![Network { name: label("eth0"), up: true, rx_bytes_s: 123_456_789, tx_bytes_s: 90, errors: 7, drops: 9 }];
    sample.temperatures = vec![Temperature { label: label("cpu"), deci_celsius: -7 }];
    let quantised = sample.quantised();
    assert_eq!(quantised.cores[0], Core { busy_permille: 1000, iowait_permille: 10, steal_permille: 15 });
    assert_eq!(quantised.interval_ms, 1000);
    assert_eq!(sample.memory.total_kib - quantised.memory.available_kib, 8192, "a step is a thousandth of the total");
    assert_eq!((quantised.networks[0].rx_bytes_s, quantised.networks[0].tx_bytes_s), (121_634_816, 64));
    assert_eq!((quantised.networks[0].errors, quantised.networks[0].drops), (7, 9), "counters stay exact");
    assert_eq!(quantised.temperatures[0].deci_celsius, -5);
}

#[test]
fn processes_are_listed_by_processor_time_then_memory() {
    let mut sample = desktop(1);
    sample.processes = [(1, 0, 100), (2, 500, 1), (3, 0, 900_000), (4, 500, 1)]
        .map(|(pid, cpu_permille, resident_kib)| Process { cpu_permille, resident_kib, ..process(pid) })
        .to_vec();
    let order = sample.quantised().processes.iter().map(|process| process.pid).collect::<Vec<_>>();
    assert_eq!(order, [2, 4, 3, 1]);
}

/// Figures as they come: mostly small and still, now and then anything.
fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0..40_u64, 2 => 0..1_000_000_u64, 1 => any::<u64>()]
}

fn small() -> impl Strategy<Value = u32> {
    figure().prop_map(|figure| u32::try_from(figure).unwrap_or(u32::MAX))
}

fn share() -> impl Strategy<Value = u16> {
    figure().prop_map(|figure| u16::try_from(figure).unwrap_or(u16::MAX))
}

fn name() -> impl Strategy<Value = Label> {
    prop_oneof![8 => "[a-c]", 1 => any::<String>()].prop_map(|text| Label::cut(&text))
}

prop_compose! {
    fn any_core()(busy_permille in share(), iowait_permille in share(), steal_permille in share()) -> Core {
        Core { busy_permille, iowait_permille, steal_permille }
    }
}

prop_compose! {
    fn any_memory()(figures in vec(figure(), 8), swap_in_kib_s in small(), swap_out_kib_s in small()) -> Memory {
        Memory {
            total_kib: figures[0],
            available_kib: figures[1],
            limit_kib: figures[2],
            limit_used_kib: figures[3],
            dirty_kib: figures[4],
            swap_total_kib: figures[5],
            swap_used_kib: figures[6],
            swap_in_kib_s,
            swap_out_kib_s,
            oom_kills: figures[7],
        }
    }
}

prop_compose! {
    fn any_pressure()(shares in vec(share(), 5)) -> Pressure {
        Pressure {
            cpu_some_centi: shares[0],
            memory_some_centi: shares[1],
            memory_full_centi: shares[2],
            io_some_centi: shares[3],
            io_full_centi: shares[4],
        }
    }
}

prop_compose! {
    fn any_filesystem()(mount in name(), kind in name(), figures in vec(figure(), 4), state in 0..3) -> Filesystem {
        Filesystem {
            mount,
            kind,
            total_kib: figures[0],
            available_kib: figures[1],
            inodes_total: figures[2],
            inodes_free: figures[3],
            state: match state {
                0 => FilesystemState::ReadWrite,
                1 => FilesystemState::ReadOnly,
                _ => FilesystemState::Unresponsive,
            },
        }
    }
}

prop_compose! {
    fn any_disk()(name in name(), figures in vec(small(), 4), busy_permille in share()) -> Disk {
        Disk {
            name,
            read_kib_s: figures[0],
            write_kib_s: figures[1],
            requests_s: figures[2],
            await_us: figures[3],
            busy_permille,
        }
    }
}

prop_compose! {
    fn any_network()(name in name(), up in any::<bool>(), figures in vec(figure(), 4)) -> Network {
        Network { name, up, rx_bytes_s: figures[0], tx_bytes_s: figures[1], errors: figures[2], drops: figures[3] }
    }
}

prop_compose! {
    fn any_temperature()(label in name(), deci_celsius in any::<i32>()) -> Temperature {
        Temperature { label, deci_celsius }
    }
}

prop_compose! {
    fn any_process()(
        pid in 0..30_u32, start_ticks in 0..2_u64, name in name(), figures in vec(small(), 3), resident_kib in figure(),
        state in prop_oneof![8 => Just('S'), 2 => Just('R'), 1 => any::<char>()],
    ) -> Process {
        Process {
            pid, start_ticks, name, resident_kib, state, user_id: figures[0], cpu_permille: figures[1], threads: figures[2],
        }
    }
}

prop_compose! {
    fn any_unreadable()(source in name(), reason in any::<String>()) -> Unreadable {
        Unreadable { source, reason: Sentence::cut(&reason) }
    }
}

prop_compose! {
    fn any_sample()(
        figures in vec(figure(), 2),
        counts in vec(small(), 6),
        cores in vec(any_core(), 0..5),
        memory in any_memory(),
        pressure in option::of(any_pressure()),
        filesystems in vec(any_filesystem(), 0..4),
        disks in vec(any_disk(), 0..4),
        networks in vec(any_network(), 0..4),
        temperatures in vec(any_temperature(), 0..4),
        processes in vec(any_process(), 0..25),
        unreadable in vec(any_unreadable(), 0..2),
    ) -> Snapshot {
        Snapshot {
            tick: 0,
            skipped: figures[0],
            interval_ms: counts[0],
            uptime_secs: figures[1],
            load_centi: [counts[1], counts[2], counts[3]],
            cores,
            memory,
            pressure,
            filesystems,
            disks,
            networks,
            temperatures,
            processes_total: counts[4],
            processes_readable: counts[5],
            processes,
            unreadable,
        }
    }
}

/// What a hostile agent may do to the bytes of a delta.
fn damaged(mut bytes: Vec<u8>, damage: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    for (place, value) in damage {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    match damage.len() % 2 {
        0 => bytes,
        _ => bytes[..cut.index(bytes.len())].to_vec(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_decodes_to_what_was_measured(samples in vec(any_sample(), 1..8)) {
        let mut encoder = DeltaEncoder::new();
        let mut decoder = DeltaDecoder::new();
        for (tick, mut sample) in (1..).step_by(3).zip(samples) {
            sample.tick = tick;
            let bytes = codec::encode(&encoder.encode(&sample)).unwrap();
            let frame = codec::decode::<StreamFrame>(&bytes).unwrap();
            prop_assert_eq!(decoder.apply(frame), Ok(Update::Sample(&sample.quantised())));
        }
    }

    #[test]
    fn quantising_twice_changes_nothing_and_keeps_every_bound(sample in any_sample()) {
        let once = sample.quantised();
        prop_assert_eq!(once.check(), Ok(()));
        prop_assert_eq!(once.quantised(), once);
    }

    #[test]
    fn a_damaged_delta_is_refused_or_leads_to_a_sample_within_its_bounds(
        (mut first, mut second) in (any_sample(), any_sample()),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        (first.tick, second.tick) = (1, 2);
        let (key, delta) = key_and_delta(&first, &second);
        let bytes = damaged(codec::encode(&StreamFrame::Delta(delta)).unwrap(), &damage, cut);
        let mut decoder = DeltaDecoder::new();
        apply(&mut decoder, key).unwrap();
        let held = decoder.sample().cloned();
        match codec::decode::<StreamFrame>(&bytes).map(|frame| apply(&mut decoder, frame)) {
            Err(CodecError::TooLarge { .. } | CodecError::Malformed { .. } | CodecError::TrailingBytes { .. })
            | Ok(Err(_)) => prop_assert_eq!(decoder.sample(), held.as_ref()),
            Ok(Ok(())) => prop_assert_eq!(decoder.sample().unwrap().check(), Ok(())),
        }
    }

    #[test]
    fn random_bytes_never_panic(first in any_sample(), mut bytes in vec(any::<u8>(), 0..200), tag in 0..3_u8) {
        if let Some(byte) = bytes.first_mut() {
            *byte = tag;
        }
        let mut decoder = DeltaDecoder::new();
        apply(&mut decoder, DeltaEncoder::new().encode(&Snapshot { tick: 1, ..first })).unwrap();
        if let Ok(frame) = codec::decode::<StreamFrame>(&bytes) {
            let _refused_or_not = apply(&mut decoder, frame);
        }
        prop_assert_eq!(decoder.sample().unwrap().check(), Ok(()));
    }
}
