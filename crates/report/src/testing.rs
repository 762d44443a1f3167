//! Reports for tests: one that reads like a real one, and as many as wanted with anything in every field.

use wire::{
    diagnostics::{
        Disk, DiskProcess, Fan, Filesystem, FilesystemState, IdentityCard, LargeProcess, Memory, Network, PowerDraw,
        Pressure, Process, Processor, Snapshot, Temperature, Unreadable,
        findings::{Amount, Check, Confidence, Evidence, Finding, Forecast, Severity, Unit, Verdict, What},
        report::{ClassCount, Content, Coverage, Outcome, Receipt, Report, SectionId, SectionReport, Series, Source},
        schema::Named,
        sections::{
            ladder::{Ladder, Rung, RungOutcome, RungResult},
            updates::{PackageManager, UpdateSource, Updates},
        },
    },
    text::{Label, Sentence},
    time::WallTime,
};

use crate::export::Measured;

pub(crate) mod filler;

/// What a machine must not be able to do by naming something.
pub(crate) const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "' onclick='x",
    "--><!-- </style></title>",
    "a|b|c `d` [e](javascript:f) ![g](h)",
    "line\nbreak\r\n# heading",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{202e}gpj.exe\u{2066}",
    "&lt;b&gt; &#x3c; \\u{202e} \\\" \\",
    "=1+1 {subject} [x",
];

/// When the report was taken: `2026-11-22T06:35:00Z`.
const TAKEN_AT: WallTime = WallTime(1_795_329_300_000);

fn label(text: &str) -> Label {
    Label::cut(text)
}

/// A finding that fails.
pub(crate) fn failing(check: Check, severity: Severity, subject: Option<Named>, evidence: Vec<Evidence>) -> Finding {
    Finding {
        severity: Some(severity),
        since: Some(WallTime(TAKEN_AT.0 - 7_200_000)),
        evidence,
        ..answer(check, Verdict::Fail, subject)
    }
}

/// A finding with this verdict and nothing else.
pub(crate) fn answer(check: Check, verdict: Verdict, subject: Option<Named>) -> Finding {
    Finding {
        check,
        version: 1,
        verdict,
        severity: None,
        confidence: Confidence::High,
        subject,
        since: None,
        reason: None,
        evidence: Vec::new(),
        forecast: None,
        exonerates: Vec::new(),
        runbook: Label::default(),
    }
}

fn evidence(what: What, value: i64, unit: Unit, name: Option<&str>) -> Evidence {
    Evidence { what, amount: Some(Amount { value, unit }), name: name.map(|name| Named::Technical(label(name))) }
}

fn findings() -> Vec<Finding> {
    let srv = || Some(Named::Path(label("/srv")));
    let space = vec![
        evidence(What::UsedShare, 987, Unit::Permille, None),
        evidence(What::Available, 3_355_443, Unit::Kib, None),
        evidence(What::Total, 262_144_000, Unit::Kib, None),
    ];
    let growing = vec![
        evidence(What::Available, 3_355_443, Unit::Kib, None),
        evidence(What::AvailableShare, 13, Unit::Permille, None),
        evidence(What::GrowthPerHour, 524_288, Unit::Kib, None),
        evidence(What::Fit, 934, Unit::Permille, None),
    ];
    let busy = vec![
        evidence(What::Busy, 912, Unit::Permille, None),
        evidence(What::BusyProcess, 1800, Unit::Permille, Some("firefox")),
        evidence(What::BusyProcess, 350, Unit::Permille, Some("gnome-shell")),
    ];
    let mut space = failing(Check::SpaceUsed, Severity::Critical, srv(), space);
    space.runbook = label("disk-full");
    let mut forecast = failing(Check::SpaceForecast, Severity::Warning, srv(), growing);
    forecast.confidence = Confidence::Medium;
    forecast.forecast = Some(Forecast { earliest_secs: 18_000, latest_secs: Some(39_600), fit_permille: 934 });
    let mut busy = failing(Check::CpuBusy, Severity::Warning, None, busy);
    busy.runbook = label("cpu-hog");
    let mut memory = answer(Check::MemoryAvailable, Verdict::Pass, None);
    memory.evidence = vec![
        evidence(What::AvailableShare, 350, Unit::Permille, None),
        evidence(What::Available, 5_872_025, Unit::Kib, None),
    ];
    memory.exonerates = vec![Check::CpuBusy, Check::CpuIowait];
    let mut unknown = answer(Check::NvmeWarning, Verdict::Unknown, Some(Named::Technical(label("nvme0n1"))));
    unknown.reason = Some(Sentence::cut("the agent may not ask the disk: permission denied"));
    let mut none = answer(Check::BatteryHealth, Verdict::NotApplicable, None);
    none.reason = Some(Sentence::cut("no battery"));
    vec![busy, space, forecast, memory, unknown, none, answer(Check::OomKills, Verdict::Pass, None)]
}

fn disk(name: &str, busy_permille: u16) -> Disk {
    Disk {
        name: label(name),
        read_kib_s: 1200,
        write_kib_s: 40_960,
        requests_s: 340,
        await_us: 8400,
        busy_permille,
        read_await_us: 900,
        write_await_us: 9100,
        in_flight: 3,
        backlog_ms_s: 250,
        flushes_s: 4,
        flush_await_us: 12_000,
    }
}

fn process(pid: u32, name: &str, cpu_permille: u32) -> Process {
    Process {
        pid,
        start_ticks: 99_120,
        name: label(name),
        owner: label("user-1"),
        cpu_permille,
        resident_kib: 1_468_006,
        threads: 84,
        state: 'S',
        read_kib_s: Some(12),
        write_kib_s: None,
    }
}

fn filesystem(mount: &str, total_kib: u64, available_kib: u64, state: FilesystemState) -> Filesystem {
    Filesystem {
        mount: label(mount),
        kind: label("ext4"),
        total_kib,
        available_kib,
        inodes_total: if total_kib == 0 { 0 } else { 16_384_000 },
        inodes_free: if total_kib == 0 { 0 } else { 15_900_000 },
        state,
    }
}

/// The sample of the report.
pub(crate) fn sample() -> Snapshot {
    Snapshot {
        tick: 301,
        skipped: 2,
        interval_ms: 1000,
        uptime_secs: 273_000,
        load_centi: [412, 366, 290],
        processor: Processor {
            cores: 4,
            busy_permille: 912,
            iowait_permille: 21,
            steal_permille: 0,
            switches_s: 18_400,
            runnable: 6,
            blocked: 1,
            throttles: 12,
        },
        memory: Memory {
            total_kib: 16_777_216,
            available_kib: 5_872_025,
            dirty_kib: 20_480,
            swap_total_kib: 2_097_152,
            swap_used_kib: 209_715,
            swap_in_kib_s: 64,
            ..Memory::default()
        },
        pressure: Some(Pressure {
            cpu_some_centi: 2310,
            io_some_centi: 850,
            memory_some_centi: 12,
            ..Pressure::default()
        }),
        filesystems: vec![
            filesystem("/", 104_857_600, 62_914_560, FilesystemState::ReadWrite),
            filesystem("/srv", 262_144_000, 3_355_443, FilesystemState::ReadWrite),
            filesystem("/mnt/nas", 0, 0, FilesystemState::Unresponsive),
        ],
        disks: vec![disk("nvme0n1", 640), disk("sda", 30)],
        networks: vec![Network {
            name: label("wlan0"),
            up: true,
            rx_bytes_s: 1_310_720,
            tx_bytes_s: 65_536,
            errors: 3,
            drops: 41,
            rx_packets_s: 900,
            tx_packets_s: 300,
            errors_s: 0,
            drops_s: 2,
        }],
        temperatures: vec![
            Temperature { label: label("Package id 0"), deci_celsius: 915 },
            Temperature { label: label("nvme"), deci_celsius: 489 },
        ],
        fans: vec![Fan { label: label("cpu fan"), rpm: 3400 }],
        power: vec![PowerDraw { label: label("package-0"), milliwatts: 28_500 }],
        processes_total: 312,
        processes_readable: 287,
        processes_stuck: 0,
        processes: vec![
            process(4312, "firefox", 1800),
            process(2210, "gnome-shell", 350),
            process(99, "kworker/u8:2", 40),
        ],
        unreadable: vec![Unreadable {
            source: label("power"),
            reason: Sentence::cut("only the administrator may read it"),
        }],
        ..Snapshot::default()
    }
}

/// A series of sixty values a quarter of a minute apart.
pub(crate) fn series(figure: &str, subject: Option<&str>, unit: Unit, value: impl Fn(i64) -> Option<i64>) -> Series {
    Series {
        figure: label(figure),
        subject: subject.map(|subject| Named::Technical(label(subject))),
        unit,
        start: WallTime(TAKEN_AT.0 - 900_000),
        step_secs: 15,
        values: (0..60).map(value).collect(),
        stood_out: Vec::new(),
    }
}

fn recent() -> Vec<Series> {
    let wave = |at: i64, size: i64| (at * 37 % 100) * size / 100;
    vec![
        series("cpu.busy", None, Unit::Permille, |at| {
            Some(if at < 30 { 150 + wave(at, 90) } else { 870 + wave(at, 100) })
        }),
        series("cpu.iowait", None, Unit::Permille, |at| Some(wave(at, 60))),
        series("memory.available", None, Unit::Kib, |at| Some(9_437_184 - at * 60_000)),
        series("swap.used", None, Unit::Kib, |at| Some(100_000 + at * 1800)),
        series("pressure.io.some", None, Unit::CentiPercent, |at| (!(20..26).contains(&at)).then_some(wave(at, 1400))),
        series("pressure.memory.full", None, Unit::CentiPercent, |_| Some(0)),
        series("disk.busy", Some("nvme0n1"), Unit::Permille, |at| Some(300 + wave(at, 500))),
        series("disk.busy", Some("sda"), Unit::Permille, |at| (at % 9 != 4).then_some(wave(at, 80))),
        series("network.received", Some("wlan0"), Unit::BytesPerSecond, |at| Some(wave(at * 3, 2_500_000))),
        series("network.sent", Some("wlan0"), Unit::BytesPerSecond, |at| Some(wave(at * 7, 140_000))),
        series("temperature", Some("Package id 0"), Unit::DeciCelsius, |at| Some(480 + at * 7)),
    ]
}

fn source(name: &str, coverage: Coverage, reason: &str) -> Source {
    Source { name: label(name), coverage, reason: Sentence::cut(reason) }
}

fn section(section: SectionId, outcome: Outcome, content: Option<Content>, sources: Vec<Source>) -> SectionReport {
    SectionReport { section, taken_at: WallTime(TAKEN_AT.0 - 42_000), took_ms: 180, outcome, sources, content }
}

/// Every section, two of them with content that reads like a real one's. That every field of every section can be shown is what
/// [`filler`] is for.
fn sections() -> Vec<SectionReport> {
    let rung = |rung, outcome, took_ms, why: &str| RungResult { rung, outcome, took_ms, why: Sentence::cut(why) };
    let ladder = Ladder {
        rungs: vec![
            rung(Rung::Link, RungOutcome::Pass, 0, ""),
            rung(Rung::Gateway, RungOutcome::Pass, 3, ""),
            rung(Rung::Names, RungOutcome::Fail, 2000, "no answer from 192.168.1.1"),
            rung(Rung::Tcp, RungOutcome::Skipped, 0, "nothing above a broken rung can hold"),
        ],
        first_failing: Some(Rung::Names),
        handshake: None,
    };
    let updates = Updates {
        manager: Some(PackageManager::Apt),
        counted_by: Some(UpdateSource::Apt),
        pending: Some(31),
        security: Some(4),
        pending_names: ["openssl", "linux-image-amd64"].map(label).into(),
        reboot_needed: Some(true),
        running_kernel: label("6.1.0-18-amd64"),
        newest_kernel: label("6.1.0-25-amd64"),
        newest_kernel_since: Some(WallTime(TAKEN_AT.0 - 864_000_000)),
        ..Updates::default()
    };
    #[allow(clippy::wildcard_enum_match_arm, reason = "the list of sections grows")]
    let each = |id: &SectionId| match id {
        SectionId::Ladder => {
            section(*id, Outcome::Complete, Some(Content::Ladder(Box::new(ladder.clone()))), Vec::new())
        }
        SectionId::Updates => {
            let sources = vec![
                source("apt-get", Coverage::Read, ""),
                source("/var/lib/dpkg/status", Coverage::Partial, "longer than 8 MiB"),
                source("PackageKit", Coverage::Missing, "not installed"),
            ];
            section(*id, Outcome::Partial, Some(Content::Updates(Box::new(updates.clone()))), sources)
        }
        SectionId::Probes => section(*id, Outcome::TimedOut, None, Vec::new()),
        SectionId::Logs => section(*id, Outcome::NotAllowed, None, Vec::new()),
        id => section(*id, Outcome::Unavailable, None, Vec::new()),
    };
    SectionId::ALL.iter().map(each).collect()
}

/// A report as it comes from a machine in trouble.
pub(crate) fn report() -> Report {
    let card = IdentityCard {
        host: label("host-1"),
        system: label("Debian GNU/Linux 12 (bookworm)"),
        kernel: label("6.1.0-18-amd64"),
        architecture: label("x86_64"),
        model: label("LENOVO ThinkPad T14"),
        virtualisation: None,
        processor: label("AMD Ryzen 5 PRO 4650U"),
        cores: 4,
        memory_kib: 16_777_216,
        agent_version: label("0.1.0"),
        user: label("user-1"),
        administrator: false,
    };
    Report {
        findings: findings(),
        sample: sample(),
        disk_processes: vec![DiskProcess {
            pid: 880,
            start_ticks: 900,
            name: label("postgres"),
            read_kib_s: 512,
            write_kib_s: 20_480,
        }],
        largest: vec![LargeProcess { pid: 2210, start_ticks: 4000, name: label("java"), resident_kib: 3_145_728 }],
        recent: recent(),
        sections: sections(),
        receipt: Receipt {
            sent: Vec::new(),
            replaced: vec![
                ClassCount { class: label("personal"), count: 14 },
                ClassCount { class: label("network"), count: 6 },
            ],
            incomplete: vec![SectionId::Updates, SectionId::Probes],
            rows_left_out: 3,
        },
        ..Report::new(card, TAKEN_AT)
    }
}

impl<'m> From<&'m Report> for Measured<'m> {
    fn from(report: &'m Report) -> Self {
        Self { card: Some(&report.card), at: report.taken_at, sample: &report.sample, findings: &report.findings }
    }
}
