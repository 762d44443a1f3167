use super::*;
use crate::{
    codec::{self, CodecError},
    diagnostics::{
        Agent, FilesystemState, IdentityCard, Limits, MAX_CORES, MAX_ROWS, MAX_STUCK, MAX_UNREADABLE, Memory, Pace,
        PaceReason, Panels, ProcessOrder, Processor, Traffic, View,
        findings::{Check, Confidence, Evidence, MAX_EVIDENCE, MAX_FINDINGS, Verdict, What},
    },
    text::{Label, PeerText, Sentence},
    time::WallTime,
};

mod any;

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
        owner: label("ana"),
        cpu_permille: 120,
        resident_kib: 512 << 10,
        threads: 90,
        state: 'S',
        read_kib_s: Some(0),
        write_kib_s: None,
    }
}

fn disk(name: &str) -> Disk {
    Disk { name: label(name), ..Disk::default() }
}

fn network(name: &str) -> Network {
    Network { name: label(name), up: true, ..Network::default() }
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

/// Place of the view's panels among the figures.
const VIEW: usize = 7 + 12 + 2 + 8 + 5 + 6 + 4;

fn moved(places: &[usize]) -> Vec<u8> {
    let mut bits = vec![0; places.iter().max().map_or(0, |last| last / 8 + 1)];
    places.iter().for_each(|place| bits[place / 8] |= 1 << (place % 8));
    bits
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
    assert_eq!(hex, "0201000103014dfb84030766697265666f7803616e6178fc000008005a53010000020901030202fcffff1f00");
}

/// As [`golden_delta`], for a sample in full.
#[test]
fn golden_keyframe() {
    let mut sample = desktop(1);
    sample.view = View { panels: Panels::ALL.without(Panel::Cores), processes_by: ProcessOrder::Io };
    sample.pace = Pace { sample_ms: 2000, processes_ms: 4000, reason: PaceReason::CpuPressure };
    sample.processes.truncate(1);
    sample.agent.cpu_permille = 7;
    sample.traffic.tcp_resent_s = 3;
    sample.stuck.push(Stuck { pid: 7, name: label("cp") });
    let bytes = codec::encode(&DeltaEncoder::new().encode(&sample)).unwrap();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex,
        "01010000fbe8037d02fbd007fba00f03fb110e0000000000000000000000fc00000001fc0000800000000000000000000000010000000000000000\
         00000000030000000000000000070000000001012f0465787434fc00000019fc00004006fc00000001fc00008000000000000000c8c8000101fb84\
         030766697265666f7803616e6178fc000008005a53010000010702637000"
    );
}

#[test]
fn what_comes_and_goes_arrives_on_the_other_side() {
    let mut second = desktop(2);
    second.filesystems.clear();
    second.cores.pop();
    second.pressure = None;
    second.networks.push(Network { rx_bytes_s: 4096, drops: 3, ..network("wlan0") });
    second.fans.push(Fan { label: label("fan1"), rpm: 900 });
    second.power.push(PowerDraw { label: label("package-0"), milliwatts: 1024 });
    second.stuck.push(Stuck { pid: 7, name: label("cp") });
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
fn a_report_comes_through_before_any_sample_and_findings_take_its_place() {
    let mut decoder = DeltaDecoder::new();
    let mut report = Report::new(card(), WallTime(7));
    report.findings = vec![finding()];
    let frame = codec::encode(&StreamFrame::Opening(Box::new(report.clone()))).unwrap();
    let update = decoder.apply(codec::decode(&frame).unwrap()).unwrap();
    assert_eq!(update, Update::Opening(&report));
    assert_eq!((decoder.opening(), decoder.sample(), decoder.findings()), (Some(&report), None, &report.findings[..]));
    assert_eq!(decoder.apply(StreamFrame::Findings(Vec::new())), Ok(Update::Findings(&[])));
    assert!(decoder.findings().is_empty() && decoder.opening() == Some(&report));
}

#[test]
fn more_findings_than_there_may_be_are_refused_and_what_is_held_stays() {
    let mut decoder = DeltaDecoder::new();
    decoder.apply(StreamFrame::Findings(vec![finding()])).unwrap();
    let many = vec![finding(); MAX_FINDINGS + 1];
    assert_eq!(decoder.apply(StreamFrame::Findings(many.clone())), Err(StreamError::Unbounded));
    let mut report = Report::new(card(), WallTime(7));
    report.findings = many;
    assert_eq!(decoder.apply(StreamFrame::Opening(Box::new(report))), Err(StreamError::Unbounded));
    let mut much = finding();
    much.evidence = vec![Evidence { what: What::Available, amount: None, name: None }; MAX_EVIDENCE + 1];
    assert_eq!(decoder.apply(StreamFrame::Findings(vec![much])), Err(StreamError::Unbounded));
    let excuses = Finding { exonerates: vec![Check::LoadPerCore; Check::ALL.len() + 1], ..finding() };
    assert_eq!(decoder.apply(StreamFrame::Findings(vec![excuses])), Err(StreamError::Unbounded));
    assert_eq!((decoder.findings(), decoder.opening()), (&[finding()][..], None));
}

fn finding() -> Finding {
    Finding {
        check: Check::CpuBusy,
        version: 1,
        verdict: Verdict::Pass,
        severity: None,
        confidence: Confidence::High,
        subject: None,
        since: None,
        reason: None,
        evidence: Vec::new(),
        forecast: None,
        exonerates: Vec::new(),
        runbook: label(""),
    }
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
    let spoilt: [(Spoil, StreamError); 10] = [
        (|delta| delta.gone = vec![20], StreamError::Misfit),
        (
            |delta| {
                // The figures that follow the places of tick and uptime are as they were.
                delta.moved = moved(&[0, VIEW]);
                delta.by = vec![1, -2];
            },
            StreamError::NotViewed { panel: Panel::Cores },
        ),
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
    let share = Core { busy_permille: 1000, iowait_permille: 1000, steal_permille: 1000 };
    let mut pressure = Pressure::default();
    pressure.shares_mut().into_iter().for_each(|share| *share = 10_000);
    let largest = Snapshot {
        tick: most,
        skipped: most,
        withheld: most,
        interval_ms: u32::MAX,
        view: View { panels: Panels::ALL, processes_by: ProcessOrder::Io },
        pace: Pace { sample_ms: u32::MAX, processes_ms: u32::MAX, reason: PaceReason::OwnCpu },
        uptime_secs: most,
        load_centi: [u32::MAX; 3],
        processor: Processor {
            cores: u32::MAX,
            busy_permille: 1000,
            iowait_permille: 1000,
            steal_permille: 1000,
            switches_s: u32::MAX,
            runnable: u32::MAX,
            blocked: u32::MAX,
            throttles: most,
        },
        cores: vec![share; MAX_CORES],
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
            major_faults_s: u32::MAX,
            corrupted_kib: most,
        },
        pressure: Some(pressure),
        traffic: Traffic {
            tcp_established: u32::MAX,
            tcp_sent_s: u32::MAX,
            tcp_resent_s: u32::MAX,
            tcp_refused_s: u32::MAX,
            udp_errors_s: u32::MAX,
        },
        limits: Limits {
            files: most,
            files_most: most,
            tracked: u32::MAX,
            tracked_most: u32::MAX,
            tasks: u32::MAX,
            tasks_most: u32::MAX,
        },
        agent: Agent { cpu_permille: u32::MAX, resident_kib: most, queued: u32::MAX, lag_ms: u32::MAX },
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
                read_await_us: u32::MAX,
                write_await_us: u32::MAX,
                in_flight: u32::MAX,
                backlog_ms_s: u32::MAX,
                flushes_s: u32::MAX,
                flush_await_us: u32::MAX,
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
                drops: most,
                rx_packets_s: u32::MAX,
                tx_packets_s: u32::MAX,
                errors_s: u32::MAX,
                drops_s: u32::MAX,
            };
            MAX_ROWS
        ],
        temperatures: vec![Temperature { label: longest(), deci_celsius: i32::MIN }; MAX_ROWS],
        fans: vec![Fan { label: longest(), rpm: u32::MAX }; MAX_ROWS],
        power: vec![PowerDraw { label: longest(), milliwatts: u32::MAX }; MAX_ROWS],
        processes_total: u32::MAX,
        processes_readable: u32::MAX,
        processes_stuck: u32::MAX,
        processes: (0..20)
            .map(|pid| Process {
                pid: u32::MAX - pid,
                start_ticks: most,
                name: longest(),
                owner: longest(),
                cpu_permille: u32::MAX,
                resident_kib: most,
                threads: u32::MAX,
                state: char::MAX,
                read_kib_s: Some(u32::MAX),
                write_kib_s: Some(u32::MAX),
            })
            .collect(),
        stuck: vec![Stuck { pid: u32::MAX, name: longest() }; MAX_STUCK],
        unreadable: vec![Unreadable { source: longest(), reason: longest() }; MAX_UNREADABLE],
    };
    let cores = vec![Core::default(); MAX_CORES];
    let figures = Delta::between(&Snapshot { tick: 1, cores, ..Snapshot::default() }, &largest);
    let all = Delta::between(&Snapshot { tick: 1, ..Snapshot::default() }, &largest);
    for frame in [StreamFrame::Key(Box::new(largest)), StreamFrame::Delta(figures), StreamFrame::Delta(all)] {
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
            process.write_kib_s = Some(u32::try_from(noise(60)).unwrap());
            process.resident_kib += noise(3000);
            process.state = if noise(2) == 0 { 'R' } else { 'S' };
        }
        let busy = u32::try_from(noise(5000)).unwrap();
        sample.disks = vec![Disk {
            write_kib_s: busy,
            requests_s: busy,
            await_us: busy,
            write_await_us: busy,
            backlog_ms_s: busy,
            flushes_s: busy / 64,
            ..disk("nvme0n1")
        }];
        let (rx_bytes_s, tx_bytes_s) = (noise(90_000), noise(9000));
        let packets = u32::try_from(rx_bytes_s / 1000).unwrap();
        let carried = Network { rx_bytes_s, tx_bytes_s, drops: tick, drops_s: 1, ..network("wlan0") };
        sample.networks = vec![Network { rx_packets_s: packets, tx_packets_s: packets / 2, ..carried }];
        sample.processor.busy_permille = u16::try_from(noise(200)).unwrap();
        sample.processor.switches_s = u32::try_from(noise(9000)).unwrap();
        sample.traffic.tcp_sent_s = packets;
        sample.limits.tasks = u32::try_from(1200 + noise(20)).unwrap();
        sample.agent.cpu_permille = u32::try_from(noise(6)).unwrap();
        codec::encode(&encoder.encode(&sample)).unwrap().len() as u64
    });
    let mean = bytes.sum::<u64>() / seconds;
    assert!((50..400).contains(&mean), "{mean} bytes a second");
}

/// Bytes of each frame of the samples that `sample` makes of their ticks.
fn bytes_of(ticks: std::ops::RangeInclusive<u64>, mut sample: impl FnMut(u64) -> Snapshot) -> Vec<usize> {
    let mut encoder = DeltaEncoder::new();
    let mut decoder = DeltaDecoder::new();
    let frames = ticks.map(|tick| {
        let bytes = codec::encode(&encoder.encode(&sample(tick))).unwrap();
        let update = decoder.apply(codec::decode::<StreamFrame>(&bytes).unwrap()).unwrap();
        assert_eq!(Some(update), encoder.sent().map(Update::Sample));
        bytes.len()
    });
    frames.collect()
}

#[test]
fn a_machine_that_replaces_its_whole_list_each_second_stays_below_a_kibibyte_a_second() {
    let bytes = bytes_of(1..=600, |tick| {
        let mut sample = desktop(tick);
        for (process, place) in sample.processes.iter_mut().zip(0..) {
            process.pid = u32::try_from(1000 + tick * 20).unwrap() + place;
            process.start_ticks = tick * 100;
        }
        sample
    });
    let mean = bytes.iter().sum::<usize>() / 600;
    assert!((200..1024).contains(&mean), "{mean} bytes a second");
}

#[test]
fn processes_that_rename_themselves_go_on_under_their_old_names_until_there_is_room() {
    let mut encoder = DeltaEncoder::new();
    let (mut bytes, mut changed) = (0, 0);
    let mut shown = String::new();
    for tick in 1..=600 {
        let mut sample = desktop(tick);
        sample.processes.iter_mut().for_each(|process| process.name = label(&format!("{tick:0>63}")));
        sample.processes[0].cpu_permille = u32::try_from(tick * 5).unwrap();
        bytes += codec::encode(&encoder.encode(&sample)).unwrap().len();
        let sent = encoder.sent().unwrap();
        assert_eq!(sent.processes.len(), 20, "nobody is lost");
        let first = sent.processes.iter().find(|process| process.pid == 1).unwrap();
        assert_eq!(u64::from(first.cpu_permille), tick * 5, "figures are never late");
        changed += usize::from(first.name.raw() != shown);
        shown = first.name.raw().to_owned();
    }
    let mean = bytes / 600;
    assert!(mean < 1024, "{mean} bytes a second");
    assert!(changed > 100, "the first name was let through {changed} times");
    assert!(encoder.sent().unwrap().withheld > 600);
}

#[test]
fn whatever_a_machine_does_to_its_tables_the_stream_keeps_within_its_bytes() {
    let restless = |tick: u64, interval_ms| {
        let mut sample = Snapshot { interval_ms, ..desktop(tick) };
        let name = |row: usize| label(&format!("{tick:0>100}-{row}"));
        sample.disks = (0..MAX_ROWS).map(|row| Disk { name: name(row), ..disk("") }).collect();
        sample.networks = (0..MAX_ROWS).map(|row| Network { name: name(row), ..network("") }).collect();
        sample.cores =
            vec![Core { busy_permille: u16::try_from(tick % 2 * 900).unwrap(), ..Core::default() }; MAX_CORES];
        sample.memory.dirty_kib = tick << 16;
        sample.processes.iter_mut().for_each(|process| process.resident_kib = tick << 16);
        sample
    };
    for interval_ms in [250, 1000] {
        let bytes = bytes_of(1..=59, |tick| restless(tick, interval_ms));
        let (key, deltas) = bytes.split_first().unwrap();
        let seconds = 58 * u64::from(interval_ms) / 1000;
        let most = u64::from(BYTES_A_SECOND) * seconds + 60 * 58;
        assert!(*key > 30_000 && deltas.iter().sum::<usize>() as u64 <= most, "{key}, {deltas:?}");
    }
    let mut encoder = DeltaEncoder::new();
    let dirty = (1..=59).map(|tick| {
        encoder.encode(&restless(tick, 250));
        encoder.sent().unwrap().memory.dirty_kib
    });
    assert!(dirty.zip(1..).all(|(dirty, tick)| dirty == tick << 16), "the overview is never late");
}

#[test]
fn a_table_that_nobody_looks_at_any_more_costs_nothing_and_comes_back_whole() {
    let view = |panels| View { panels, ..View::default() };
    let bytes = bytes_of(1..=6, |tick| {
        let panels = if (2..=4).contains(&tick) { Panels::OVERVIEW } else { Panels::ALL };
        let mut sample = Snapshot { view: view(panels), ..desktop(tick) };
        sample.cores.iter_mut().for_each(|core| core.busy_permille = u16::try_from(tick * 40).unwrap());
        sample
    });
    assert!(bytes[2] <= 12 && bytes[3] <= 12, "{bytes:?}");
    assert!(bytes[4] > 300, "{bytes:?}");
    let mut encoder = DeltaEncoder::new();
    encoder.encode(&desktop(1));
    encoder.encode(&Snapshot { view: view(Panels::OVERVIEW), ..desktop(2) });
    let sent = encoder.sent().unwrap();
    assert_eq!((sent.cores.len(), sent.filesystems.len(), sent.processes.len()), (0, 0, 0));
}

#[test]
fn a_table_that_the_view_does_not_have_is_refused() {
    let sample = Snapshot { view: Panels::ALL.without(Panel::Filesystems).into(), ..desktop(1) };
    let refused = apply(&mut DeltaDecoder::new(), StreamFrame::Key(Box::new(sample)));
    assert_eq!(refused, Err(StreamError::NotViewed { panel: Panel::Filesystems }));
}

#[test]
fn quantising_rounds_to_what_a_person_needs() {
    let mut sample = desktop(1);
    sample.cores[0] = Core { busy_permille: 998, iowait_permille: 12, steal_permille: 13 };
    sample.interval_ms = 1013;
    sample.memory.available_kib = sample.memory.total_kib - 1;
    sample.networks = vec![Network { rx_bytes_s: 123_456_789, tx_bytes_s: 90, errors: 7, drops: 9, ..network("eth0") }];
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

#[test]
fn processes_are_listed_by_what_the_view_says() {
    let mut sample = desktop(1);
    sample.processes = [(1, 900, 1, None), (2, 0, 90_000, Some(4)), (3, 0, 64, Some(4000))]
        .map(|(pid, cpu_permille, resident_kib, read_kib_s)| Process {
            cpu_permille,
            resident_kib,
            read_kib_s,
            ..process(pid)
        })
        .to_vec();
    let mut first = |processes_by| {
        sample.view.processes_by = processes_by;
        sample.quantised().processes[0].pid
    };
    assert_eq!([ProcessOrder::Cpu, ProcessOrder::Memory, ProcessOrder::Io].map(&mut first), [1, 2, 3]);
}
