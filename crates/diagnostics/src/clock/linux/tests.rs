use std::sync::Arc;

use wire::diagnostics::report::{Coverage, Outcome};
use zbus::Structure;

use super::*;
use crate::{
    testing::Printing,
    testing::{FakeService, TestBus, TestMachine, survey},
};

const TIMESYNC: &str = "org.freedesktop.timesync1";
const TIMESYNC_PATH: &str = "/org/freedesktop/timesync1";
const MANAGER: &str = "org.freedesktop.timesync1.Manager";

fn desktop(service: &str) -> TestMachine {
    let machine = TestMachine::new(&[
        ("proc/1/comm", "systemd\n"),
        ("proc/612/comm", service),
        ("etc/adjtime", "0.0 1732000000 0.0\n1732000000\nLOCAL\n"),
        ("sys/class/rtc/rtc0/since_epoch", "1732000100\n"),
        ("sys/class/rtc/rtc1/since_epoch", "1732000107\n"),
        ("sys/class/rtc/rtc1/hctosys", "1\n"),
        ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ]);
    machine.link("etc/localtime", "/usr/share/zoneinfo/America/New_York");
    machine
}

/// What a kernel says whose clock a service keeps.
#[expect(clippy::unnecessary_wraps, reason = "a kernel may refuse")]
fn kept() -> io::Result<KernelClock> {
    Ok(KernelClock { max_error_us: 1_500_000, offset_us: -120, frequency_ppb: 4500 })
}

/// What it says where nobody does.
#[expect(clippy::unnecessary_wraps, reason = "a kernel may refuse")]
fn left_alone() -> io::Result<KernelClock> {
    Ok(KernelClock { max_error_us: 16_000_000, offset_us: 0, frequency_ppb: 0 })
}

type Message = (u32, u32, u32, u32, i32, u64, u64, Vec<u8>, u64, u64, u64, u64, bool, u64, u64);

/// The clock is 2.5 s behind a server 10 ms away on each way.
const ANSWERED: Message =
    (0, 4, 4, 2, -24, 20_000, 5000, Vec::new(), 1_000_000, 3_510_000, 3_510_100, 1_020_100, false, 7, 40);

fn message(m: Message) -> Structure<'static> {
    let text = zbus::wire::StructureBuilder::new();
    let text = text.add_field(m.0).add_field(m.1).add_field(m.2).add_field(m.3).add_field(m.4).add_field(m.5);
    let text = text.add_field(m.6).add_field(m.7).add_field(m.8).add_field(m.9).add_field(m.10).add_field(m.11);
    text.add_field(m.12).add_field(m.13).add_field(m.14).build().unwrap()
}

fn fake_timesyncd(m: Message) -> FakeService {
    FakeService::named(TIMESYNC)
        .property(TIMESYNC_PATH, MANAGER, "ServerName", "ntp.example.org")
        .property(TIMESYNC_PATH, MANAGER, "PollIntervalUSec", 34_000_000_u64)
        .property(TIMESYNC_PATH, MANAGER, "Frequency", -655_360_i64)
        .property(TIMESYNC_PATH, MANAGER, "NTPMessage", message(m))
}

#[test]
fn a_fake_of_timesyncd_tells_how_far_the_clock_is_off() {
    let mut bus = TestBus::start();
    bus.serve(fake_timesyncd(ANSWERED));
    let machine = desktop("systemd-timesyn\n");
    let sources = Sources { bus: Bus::at(&bus.socket()), kernel_clock: kept, ..machine.sources() };
    let (clock, outcome, _) = survey(read, &sources);
    let clock = clock.unwrap();
    let source = clock.source.unwrap();
    assert_eq!((source.service, source.server.raw()), (TimeService::Timesyncd, "ntp.example.org"));
    assert_eq!((source.stratum, source.offset_us, source.max_error_us), (Some(2), Some(2_500_000), Some(15_000)));
    assert_eq!((source.frequency_ppb, source.poll_secs), (Some(-10_000), Some(34)));
    assert_eq!(source.compared_at, Some(WallTime(1020)));
    assert_eq!((clock.synchronised, clock.enabled, outcome), (Some(true), None, Outcome::Complete));
    assert_eq!((clock.time_zone.raw(), clock.counter.raw()), ("America/New_York", "tsc"));
    assert_eq!((clock.hardware_in_local_time, clock.hardware_clock), (Some(true), Some(WallTime(1_732_000_107_000))));
}

#[test]
fn a_fake_of_timesyncd_that_reached_no_server_leaves_open_whether_the_clock_is_right() {
    let mut bus = TestBus::start();
    bus.serve(fake_timesyncd((0, 0, 0, 0, 0, 0, 0, Vec::new(), 0, 0, 0, 0, false, 0, 0)));
    let machine = desktop("systemd-timesyn\n");
    let (clock, _, sources) = survey(read, &Sources { bus: Bus::at(&bus.socket()), ..machine.sources() });
    let clock = clock.unwrap();
    let source = clock.source.unwrap();
    assert_eq!((source.offset_us, source.stratum, clock.synchronised), (None, None, None));
    assert!(sources.iter().any(|(name, coverage, _)| name == "timedated" && *coverage == Coverage::Missing));
}

#[test]
fn a_fake_of_timedated_knows_what_the_kernel_knows() {
    let mut bus = TestBus::start();
    let (name, path) = ("org.freedesktop.timedate1", "/org/freedesktop/timedate1");
    let fake = FakeService::named(name)
        .property(path, name, "NTPSynchronized", false)
        .property(path, name, "NTP", true)
        .property(path, name, "LocalRTC", false)
        .property(path, name, "Timezone", "Europe/Paris");
    bus.serve(fake);
    let machine = desktop("ntpd\n");
    let clock = survey(read, &Sources { bus: Bus::at(&bus.socket()), ..machine.sources() }).0.unwrap();
    assert_eq!((clock.synchronised, clock.enabled), (Some(false), Some(true)));
    assert_eq!((clock.services, clock.time_zone.raw()), (vec![TimeService::Ntpd], "Europe/Paris"));
}

const TRACKING: &str = "A29FC87B,162.159.200.123,4,1732000000.250000000,0.051234567,-0.000045600,0.000078900,-12.345,0.001,0.123,0.012000000,0.001500000,1024.5,Normal\n";

#[test]
fn chrony_tells_by_its_own_program() {
    let tools = Arc::new(Printing(vec![(Tool::Chrony, TRACKING.into())]));
    let machine = desktop("chronyd\n");
    // It was not told to tell the kernel.
    let sources = Sources { tools, kernel_clock: left_alone, ..machine.sources() };
    let (clock, outcome, _) = survey(read, &sources);
    let clock = clock.unwrap();
    let source = clock.source.unwrap();
    assert_eq!((source.service, source.server.raw()), (TimeService::Chrony, "162.159.200.123"));
    assert_eq!((source.stratum, source.offset_us, source.max_error_us), (Some(4), Some(51_234), Some(7500)));
    assert_eq!((source.frequency_ppb, source.poll_secs), (Some(12_345), Some(1024)));
    assert_eq!(source.compared_at, Some(WallTime(1_732_000_000_250)));
    assert_eq!((clock.synchronised, outcome), (Some(true), Outcome::Complete));
}

#[test]
fn a_server_that_is_long_gone_does_not_keep_the_clock() {
    let mut bus = TestBus::start();
    bus.serve(fake_timesyncd(ANSWERED));
    let machine = desktop("systemd-timesyn\n");
    let sources = Sources { bus: Bus::at(&bus.socket()), kernel_clock: left_alone, ..machine.sources() };
    let clock = survey(read, &sources).0.unwrap();
    assert_eq!(clock.source.unwrap().offset_us, Some(2_500_000), "the last answer is still told");
    assert_eq!(clock.synchronised, Some(false));
}

#[test]
fn a_service_that_is_not_asked_is_known_by_what_it_told_the_kernel() {
    let machine = desktop("ntpd\n");
    let (clock, _, read_from) = survey(read, &Sources { kernel_clock: kept, ..machine.sources() });
    let clock = clock.unwrap();
    assert_eq!((clock.synchronised, clock.source), (Some(true), None));
    assert_eq!(clock.kernel, kept().ok());
    assert!(read_from.iter().any(|(name, coverage, _)| name == "kernel" && *coverage == Coverage::Read));
    assert!(read_from.iter().all(|(name, ..)| name != "timedated"), "nothing is missing without it");
}

#[test]
fn chrony_without_a_server_says_that_the_clock_is_not_synchronised() {
    let line = b"00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised";
    let source = parse_tracking(line).unwrap();
    assert_eq!((source.stratum, source.offset_us, source.compared_at), (Some(16), None, None));
    assert!(source.server.is_blank());
    assert_eq!(is_synchronised(&source), Some(false));
}

#[test]
fn what_chrony_never_prints_is_no_answer() {
    let good = TRACKING.trim();
    for end in 0..good.len() - "Normal".len() {
        assert_eq!(parse_tracking(&good.as_bytes()[..end]), None, "cut at {end}");
    }
    assert_eq!(parse_tracking(format!("{good},x").as_bytes()), None);
    assert_eq!(parse_tracking(b"506 Cannot talk to daemon"), None);
    assert_eq!(parse_tracking(good.replace(",4,", ",-4,").as_bytes()), None);
    let odd = parse_tracking(good.replace("0.051234567", "nan").replace("1024.5", "-1e99").as_bytes()).unwrap();
    assert_eq!((odd.offset_us, odd.poll_secs), (None, None));
    for hostile in ["", "-", ".", "1.x", "--1", "99999999999999999999", "9223372036854775807.9", "1.2.3"] {
        assert_eq!(millionths(hostile.as_bytes()), None, "{hostile}");
    }
    assert_eq!((millionths(b"-0.0000019"), millionths(b"3")), (Some(-1), Some(3_000_000)));
}

#[test]
fn times_that_no_clock_shows_overflow_nothing() {
    let message = |origin, receive, transmit, destination| NtpMessage {
        leap: 3,
        version: 4,
        mode: 4,
        stratum: u32::MAX,
        precision: 0,
        root_delay: u64::MAX,
        root_dispersion: u64::MAX,
        reference: Vec::new(),
        origin,
        receive,
        transmit,
        destination,
        ignored: false,
        packets: 1,
        jitter: 0,
    };
    assert_eq!(message(0, u64::MAX, u64::MAX, 1).offset_us(), None);
    assert_eq!(message(u64::MAX, 0, 0, u64::MAX).offset_us(), None);
    assert_eq!(message(5, 3, 3, 5).offset_us(), Some(-2));
    assert_eq!(message(5, 3, 3, 5).stratum(), 16);
}

#[test]
fn two_services_that_fight_over_the_clock_are_both_named() {
    let machine = desktop("chronyd\n");
    machine.write("proc/700/comm", "systemd-timesyn\n");
    machine.write("proc/701/comm", "chronyd\n");
    let (clock, _, sources) = survey(read, &machine.sources());
    assert_eq!(clock.unwrap().services, [TimeService::Timesyncd, TimeService::Chrony]);
    let chrony = sources.iter().find(|(name, ..)| name == "chrony").unwrap();
    assert_eq!((chrony.1, chrony.2.as_str()), (Coverage::Missing, "this system does not have it"));
}

#[test]
fn a_container_leaves_the_clock_to_its_host_and_says_so() {
    let machine = TestMachine::new(&[("proc/1/comm", "sh\n")]);
    let (clock, outcome, sources) = survey(read, &machine.sources());
    let clock = clock.unwrap();
    assert_eq!((clock.synchronised, clock.source, clock.hardware_clock), (None, None, None));
    assert_eq!(clock.hardware_in_local_time, Some(false), "without /etc/adjtime it keeps UTC");
    assert_eq!(outcome, Outcome::Partial);
    let told = sources.iter().map(|(name, coverage, why)| (name.as_str(), *coverage, why.as_str())).collect::<Vec<_>>();
    assert!(told.contains(&("time service", Coverage::Missing, "none runs here that is known")));
    assert!(told.contains(&("battery-backed clock", Coverage::Missing, "there is none")));
}

#[test]
fn when_timesyncd_was_right_is_the_time_of_its_file() {
    let machine = TestMachine::new(&[("run/systemd/timesync/synchronized", "")]);
    assert!(timesyncd_was_right_at(&machine.path("run")).is_some_and(|at| at.0 > 1_700_000_000_000));
    assert_eq!(timesyncd_was_right_at(&machine.path("none")), None);
}

#[test]
fn this_machine_counts_time_by_something_and_its_kernel_says_how_well() {
    let sources = Sources { roots: Roots::default(), kernel_clock: ask_kernel, ..TestMachine::new(&[]).sources() };
    let clock = survey(read, &sources).0.unwrap();
    assert!(!clock.counter.is_blank());
    // A container may forbid the question.
    match clock.kernel {
        Some(kernel) => assert!(kernel.max_error_us <= 16_000_000, "{kernel:?}"),
        None => assert_eq!(ask_kernel().unwrap_err().kind(), io::ErrorKind::PermissionDenied),
    }
}

#[test]
fn a_kernel_counts_in_millionths_of_65536_parts() {
    assert_eq!((billionths(-655_360), billionths(65_536_i64 * 500)), (-10_000, 500_000));
    assert_eq!(billionths(i64::MAX), i64::MAX / 65_536 * 1000 + 999, "nothing overflows");
}
