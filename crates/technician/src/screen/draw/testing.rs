//! A session to draw.

use std::{sync::Arc, time::Duration};

use wire::{
    diagnostics::{
        Core, Disk, Filesystem, FilesystemState, IdentityCard, Memory, Network, Pressure, Process, Processor, Snapshot,
        Temperature, Unreadable,
        findings::{Amount, Check, Confidence, Evidence, Finding, Severity, Unit, Verdict, What},
        schema::Named,
    },
    ids::{GrantId, RequestId, RunId, SessionId},
    session::{Ability, Subject},
    text::{Label, Sentence},
    time::WallTime,
};

use crate::{
    screen::model::Model,
    status::{
        ActivityLine, GrantStatus, PathStatus, Phase, Question, ReceiptStatus, RunState, RunStatus, Standing, Status,
        TechnicianStatus,
    },
};

/// A live session of an unverified technician with runs and readings.
pub(crate) fn model() -> Model {
    let mut model = Model::new(status(), false);
    model.card = Some(Arc::new(card()));
    model.findings = Arc::new(findings());
    for busy in 0..40 {
        let mut sample = sample();
        let so_far = |permille: &mut u16| *permille = u16::try_from(u32::from(*permille) * busy / 39).unwrap();
        sample.cores.iter_mut().for_each(|core| so_far(&mut core.busy_permille));
        so_far(&mut sample.processor.busy_permille);
        model.take_sample(Arc::new(sample));
    }
    model
}

pub(crate) fn status() -> Status {
    Status {
        session: Some(SessionId([0xa5; 8])),
        process: 4711,
        phase: Phase::Live,
        host: Some("desk-4".to_owned()),
        technician: TechnicianStatus {
            name: "Ana Ruiz".to_owned(),
            standing: Standing::Unverified,
            words: Some("apple river".to_owned()),
        },
        path: PathStatus {
            kind: Some("relayed".to_owned()),
            why: Some("no direct address answered".to_owned()),
            relay: "relay.example.org:4433".to_owned(),
            rtt_us: Some(12_345),
            lost_permille: Some(4),
            received_bits_per_sec: Some(1_234_567),
            sent_bits_per_sec: Some(30_100),
            reconnects: 0,
        },
        age_secs: 201,
        asking: vec![Question {
            subject: Subject::Run(RunId(2)),
            what: "systemctl status cups".to_owned(),
            answer_within_secs: Some(98),
        }],
        grants: vec![GrantStatus {
            grant: GrantId(1),
            subject: Subject::Request(RequestId(1)),
            abilities: vec![Ability::DiagBasic],
            remaining_secs: 3480,
        }],
        runs: vec![
            RunStatus {
                run: 1,
                command: "df -h /".to_owned(),
                state: RunState::Finished { outcome: "exit 0".to_owned(), exit: 0, cut_bytes: 0 },
                received_bytes: 128,
                last_lines: vec![
                    "Filesystem      Size  Used Avail Use% Mounted on".to_owned(),
                    "/dev/nvme0n1p2  468G  421G   24G  95% /".to_owned(),
                ],
            },
            RunStatus {
                run: 2,
                command: "systemctl status cups".to_owned(),
                state: RunState::Asking,
                received_bytes: 0,
                last_lines: Vec::new(),
            },
        ],
        activity: vec![
            ActivityLine { ago_secs: 190, text: "the end user allowed diag.basic for 1 h".to_owned() },
            ActivityLine { ago_secs: 60, text: "run 1: exit 0".to_owned() },
        ],
        activity_dropped: 0,
        receipt: ReceiptStatus::Sound { file: "/home/ana/receipt.jsonl".to_owned(), entries: 7 },
    }
}

pub(crate) fn card() -> IdentityCard {
    IdentityCard {
        host: Label::cut("desk-4"),
        system: Label::cut("Debian GNU/Linux 12 (bookworm)"),
        kernel: Label::cut("6.1.0-18-amd64"),
        architecture: Label::cut("x86_64"),
        model: Label::cut("ACME Desk 9"),
        virtualisation: None,
        processor: Label::cut("ACME Eight 3.2 GHz"),
        cores: 4,
        memory_kib: 16_252_928,
        agent_version: Label::cut("0.1.0"),
        user: Label::cut("ana"),
        administrator: false,
    }
}

pub(crate) fn findings() -> Vec<Finding> {
    let finding = |check, verdict, subject| Finding {
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
        runbook: Label::cut(""),
    };
    let amount = |what, value, unit| Evidence { what, amount: Some(Amount { value, unit }), name: None };
    let home = Named::Path(Label::cut("/home"));
    let full = Finding {
        severity: Some(Severity::Warning),
        since: Some(WallTime(1_795_000_000_000)),
        evidence: vec![
            amount(What::UsedShare, 951, Unit::Permille),
            amount(What::Available, 24_117_248, Unit::Kib),
            amount(What::Total, 490_733_568, Unit::Kib),
        ],
        ..finding(Check::SpaceUsed, Verdict::Fail, Some(home))
    };
    let reason = Some(Sentence::cut("the last 10 minutes are not known yet"));
    vec![
        full,
        Finding { reason, ..finding(Check::CpuBusy, Verdict::Unknown, None) },
        finding(Check::MemoryAvailable, Verdict::Pass, None),
        finding(Check::OomKills, Verdict::Pass, None),
    ]
}

pub(crate) fn sample() -> Snapshot {
    let filesystem = |mount, available_kib, state| Filesystem {
        mount: Label::cut(mount),
        kind: Label::cut("ext4"),
        total_kib: 490_733_568,
        available_kib,
        inodes_total: 1_000_000,
        inodes_free: 870_000,
        state,
    };
    let process = |pid, name, cpu_permille, resident_kib| Process {
        pid,
        start_ticks: 1000,
        name: Label::cut(name),
        owner: Label::cut("ana"),
        cpu_permille,
        resident_kib,
        threads: 12,
        state: 'S',
        read_kib_s: Some(0),
        write_kib_s: None,
    };
    Snapshot {
        tick: 42,
        processor: Processor { busy_permille: 342, ..Processor::default() },
        skipped: 0,
        interval_ms: 1000,
        uptime_secs: 262_800,
        load_centi: [242, 130, 95],
        cores: vec![
            Core { busy_permille: 923, iowait_permille: 20, steal_permille: 0 },
            Core { busy_permille: 310, iowait_permille: 400, steal_permille: 0 },
            Core { busy_permille: 120, iowait_permille: 0, steal_permille: 250 },
            Core { busy_permille: 4, iowait_permille: 0, steal_permille: 0 },
        ],
        memory: Memory {
            total_kib: 16_252_928,
            available_kib: 2_252_928,
            limit_kib: 0,
            limit_used_kib: 0,
            dirty_kib: 2048,
            swap_total_kib: 2_097_152,
            swap_used_kib: 1_048_576,
            swap_in_kib_s: 12,
            swap_out_kib_s: 340,
            oom_kills: 1,
            ..Memory::default()
        },
        pressure: Some(Pressure {
            cpu_some_centi: 120,
            memory_some_centi: 2150,
            memory_full_centi: 900,
            io_some_centi: 340,
            io_full_centi: 12,
            ..Pressure::default()
        }),
        filesystems: vec![
            filesystem("/", 24_536_678, FilesystemState::ReadWrite),
            filesystem("/boot", 300_000_000, FilesystemState::ReadOnly),
            filesystem("/srv/nfs", 0, FilesystemState::Unresponsive),
        ],
        disks: vec![Disk {
            name: Label::cut("nvme0n1"),
            read_kib_s: 1234,
            write_kib_s: 56_789,
            requests_s: 410,
            await_us: 8700,
            busy_permille: 870,
            ..Disk::default()
        }],
        networks: vec![
            Network {
                name: Label::cut("eth0"),
                up: true,
                rx_bytes_s: 1_234_567,
                tx_bytes_s: 45_678,
                errors: 3,
                drops: 17,
                ..Network::default()
            },
            Network { name: Label::cut("wlan0"), ..Network::default() },
        ],
        temperatures: vec![
            Temperature { label: Label::cut("CPU package"), deci_celsius: 714 },
            Temperature { label: Label::cut("nvme0"), deci_celsius: 478 },
        ],
        processes_total: 203,
        processes_readable: 180,
        processes: vec![
            process(4242, "firefox-esr", 912, 2_345_678),
            process(812, "Xorg", 103, 123_456),
            process(1, "systemd", 0, 12_345),
        ],
        unreadable: vec![Unreadable { source: Label::cut("smart"), reason: Sentence::cut("permission denied") }],
        ..Snapshot::default()
    }
}

/// Every place for a peer's text filled with what a hostile peer might send.
pub(crate) fn hostile() -> Model {
    const NASTY: &str = "\u{1b}[2J\u{9b}31m\u{202e}evil\u{200b}\0\n\r\u{e0041}日本日本🎉e\u{301}\\u{1b}";
    let label = || Label::cut(&NASTY.repeat(8));
    let safe = wire::text::shown(&NASTY.repeat(8));
    let mut model = model();
    let mut card = card();
    card.host = label();
    card.system = label();
    card.virtualisation = Some(label());
    model.card = Some(Arc::new(card));
    let mut findings = findings();
    for finding in &mut findings {
        finding.subject = Some(Named::Personal(label()));
        finding.reason = finding.reason.as_ref().map(|_| Sentence::cut(&NASTY.repeat(8)));
    }
    model.findings = Arc::new(findings);
    let mut sample = sample();
    sample.filesystems.iter_mut().for_each(|filesystem| filesystem.mount = label());
    sample.disks.iter_mut().for_each(|disk| disk.name = label());
    sample.networks.iter_mut().for_each(|network| network.name = label());
    sample.temperatures.iter_mut().for_each(|sensor| sensor.label = label());
    sample.processes.iter_mut().for_each(|process| {
        process.name = label();
        process.state = '\u{1b}';
    });
    sample.unreadable.iter_mut().for_each(|source| source.reason = Sentence::cut(&NASTY.repeat(20)));
    sample.uptime_secs = u64::MAX;
    sample.processor.busy_permille = u16::MAX;
    sample.load_centi = [u32::MAX; 3];
    sample.memory.total_kib = u64::MAX;
    sample.temperatures.iter_mut().for_each(|sensor| sensor.deci_celsius = i32::MIN);
    sample
        .cores
        .iter_mut()
        .for_each(|core| *core = Core { busy_permille: u16::MAX, iowait_permille: u16::MAX, steal_permille: u16::MAX });
    model.take_sample(Arc::new(sample));
    model.sample_age = Duration::MAX;
    model.status.host = Some(safe.clone());
    model.status.technician.name = safe.clone();
    model.status.runs.iter_mut().for_each(|run| {
        run.command = safe.clone();
        run.last_lines = vec![safe.clone(); 3];
    });
    model.status.asking.iter_mut().for_each(|question| question.what = safe.clone());
    model
}
