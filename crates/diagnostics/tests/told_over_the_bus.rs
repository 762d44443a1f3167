//! Services that cannot run where tests do, faked on a real message bus: UDisks2 with disks of the test's making, logind with
//! sessions, PackageKit with updates.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its machine fails, as it should")]

mod support {
    pub(crate) mod bus;
}

use std::{collections::HashMap, fs};

use diagnostics::{Bus, Roots, SECTION_DEADLINE, Sources, Survey};
use support::bus::PrivateBus;
use wire::{
    diagnostics::{
        report::{Content, Coverage, SectionId, SectionReport},
        sections::{
            storage::{AtaHealth, Health, HealthSource, NvmeWarning, Storage},
            updates::{UpdateSource, Updates},
            users::{SessionClass, SessionKind, SessionState, Users},
        },
    },
    time::WallTime,
};
use zbus::{OwnedObjectPath, OwnedVariant, Variant, fdo, object_server::SignalEmitter};

/// A machine of these files, asked about one section.
fn ask(section: SectionId, bus: Bus, files: &[(&str, &str)]) -> SectionReport {
    let folder = tempfile::tempdir().unwrap();
    for (file, content) in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
        fs::write(path, content).unwrap();
    }
    let roots = Roots::under(folder.path());
    let sources = Sources { roots, bus, ..Sources::default() };
    Survey::new(sources).read(&[section], SECTION_DEADLINE, WallTime(1)).remove(0)
}

fn coverage(report: &SectionReport, source: &str) -> Option<(Coverage, String)> {
    let source = report.sources.iter().find(|row| row.name.raw() == source)?;
    Some((source.coverage, source.reason.raw().to_owned()))
}

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text).unwrap()
}

fn owned<'v>(value: impl Into<Variant<'v>>) -> OwnedVariant {
    value.into().try_to_owned().unwrap()
}

const DRIVES: &str = "/org/freedesktop/UDisks2/drives";

struct FakeBlock {
    device: &'static str,
    drive: &'static str,
}

#[zbus::interface(name = "org.freedesktop.UDisks2.Block")]
impl FakeBlock {
    #[zbus(property)]
    fn device(&self) -> Vec<u8> {
        format!("{}\0", self.device).into_bytes()
    }

    #[zbus(property)]
    fn drive(&self) -> OwnedObjectPath {
        match self.drive {
            "" => path("/"),
            drive => path(&format!("{DRIVES}/{drive}")),
        }
    }
}

struct FakeNvme {
    updated: u64,
}

#[zbus::interface(name = "org.freedesktop.UDisks2.NVMe.Controller")]
impl FakeNvme {
    #[zbus(property)]
    fn smart_updated(&self) -> u64 {
        self.updated
    }

    #[zbus(property)]
    fn smart_critical_warning(&self) -> Vec<String> {
        ["spare", "volatile_mem", "of a later version"].map(str::to_owned).to_vec()
    }

    #[zbus(property)]
    fn smart_power_on_hours(&self) -> u64 {
        9025
    }

    #[zbus(property)]
    fn smart_temperature(&self) -> u16 {
        314
    }

    fn smart_get_attributes(&self, _options: HashMap<String, OwnedVariant>) -> HashMap<String, OwnedVariant> {
        let of = [
            ("avail_spare", owned(4_u8)),
            ("spare_thresh", owned(10_u8)),
            ("percent_used", owned(101_u8)),
            ("media_errors", owned(7_u64)),
            ("unsafe_shutdowns", owned("many")),
        ];
        of.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

struct FakeAta;

type AtaAttribute = (u8, String, u16, i32, i32, i32, i64, i32, HashMap<String, OwnedVariant>);

#[zbus::interface(name = "org.freedesktop.UDisks2.Drive.Ata")]
impl FakeAta {
    #[zbus(property)]
    fn smart_updated(&self) -> u64 {
        1_700_000_000
    }

    #[zbus(property)]
    fn smart_failing(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn smart_power_on_seconds(&self) -> u64 {
        7200
    }

    #[zbus(property)]
    fn smart_temperature(&self) -> f64 {
        303.15
    }

    fn smart_get_attributes(&self, _options: HashMap<String, OwnedVariant>) -> Vec<AtaAttribute> {
        let row = |id, pretty| (id, String::new(), 0, 100, 100, 0, pretty, 3, HashMap::new());
        vec![row(1, 4), row(5, 24), row(187, 0), row(197, 8), row(198, -1)]
    }
}

fn udisks(bus: &mut PrivateBus, updated: u64) {
    bus.publish("org.freedesktop.UDisks2", |builder| {
        builder
            .serve_at("/org/freedesktop/UDisks2", fdo::ObjectManager)
            .serve_at(
                "/org/freedesktop/UDisks2/block_devices/nvme0n1",
                FakeBlock { device: "/dev/nvme0n1", drive: "n" },
            )
            .serve_at("/org/freedesktop/UDisks2/block_devices/sda", FakeBlock { device: "/dev/sda", drive: "a" })
            .serve_at("/org/freedesktop/UDisks2/block_devices/loop0", FakeBlock { device: "/dev/loop0", drive: "" })
            .serve_at(format!("{DRIVES}/n"), FakeNvme { updated })
            .serve_at(format!("{DRIVES}/a"), FakeAta)
    });
}

const DISKS: [(&str, &str); 2] =
    [("sys/block/nvme0n1/device/model", "Samsung\n"), ("sys/block/sda/device/model", "ST1000\n")];

fn storage(report: &SectionReport) -> &Storage {
    let Some(Content::Storage(storage)) = &report.content else { panic!("{report:?}") };
    storage
}

#[test]
fn udisks_tells_how_disks_are_so_that_nobody_else_is_asked() {
    let mut bus = PrivateBus::start();
    udisks(&mut bus, 1_700_000_000);
    let report = ask(SectionId::Storage, bus.bus(), &DISKS);
    let [nvme, ata] = storage(&report).devices.as_slice() else { panic!("{report:?}") };
    let nvme = nvme.health.as_ref().unwrap();
    assert_eq!((nvme.told_by, nvme.passed), (HealthSource::Udisks, Some(false)));
    assert_eq!((nvme.temperature_deci_celsius, nvme.power_on_hours), (Some(408), Some(9025)));
    let log = nvme.nvme.as_ref().unwrap();
    assert_eq!(log.critical_warnings, [NvmeWarning::Spare, NvmeWarning::VolatileMemory]);
    assert_eq!((log.used_percent, log.spare_percent, log.spare_threshold_percent), (Some(101), Some(4), Some(10)));
    assert_eq!((log.media_errors, log.unsafe_shutdowns), (Some(7), None));
    let expected = Health {
        told_by: HealthSource::Udisks,
        passed: Some(false),
        temperature_deci_celsius: Some(300),
        power_on_hours: Some(2),
        nvme: None,
        ata: Some(AtaHealth {
            reallocated_sectors: Some(24),
            reported_uncorrectable: Some(0),
            command_timeouts: None,
            pending_sectors: Some(8),
            offline_uncorrectable: None,
        }),
    };
    assert_eq!(ata.health, Some(expected));
    assert_eq!(coverage(&report, "udisks2"), Some((Coverage::Read, String::new())));
    assert_eq!(coverage(&report, "smartctl"), None);
}

#[test]
fn a_disk_that_udisks_has_not_read_yet_is_left_to_smartctl() {
    let mut bus = PrivateBus::start();
    udisks(&mut bus, 0);
    let report = ask(SectionId::Storage, bus.bus(), &DISKS);
    assert!(storage(&report).devices[0].health.is_none() && storage(&report).devices[1].health.is_some());
    assert_eq!(coverage(&report, "smartctl").unwrap().0, Coverage::Missing);
}

#[test]
fn a_udisks_that_may_not_be_asked_says_so() {
    let mut bus = PrivateBus::with_rules(
        r#"<deny send_interface="org.freedesktop.UDisks2.NVMe.Controller"/>
           <deny send_interface="org.freedesktop.UDisks2.Drive.Ata"/>"#,
    );
    udisks(&mut bus, 1_700_000_000);
    let report = ask(SectionId::Storage, bus.bus(), &DISKS);
    assert!(storage(&report).devices.iter().all(|disk| disk.health.is_none()));
    assert_eq!(coverage(&report, "udisks2"), Some((Coverage::Missing, "permission denied".to_owned())));
}

struct FakeLogin;

type Listed = (String, u32, String, String, OwnedObjectPath);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl FakeLogin {
    fn list_sessions(&self) -> Vec<Listed> {
        let row = |id: &str, number, name: &str| {
            (
                id.to_owned(),
                number,
                name.to_owned(),
                String::new(),
                path(&format!("/org/freedesktop/login1/session/_{id}")),
            )
        };
        vec![row("1", 1000, "ana"), row("2", 1000, "ana"), row("3", 42, "gdm"), row("9", 1001, "gone")]
    }
}

struct FakeSession {
    class: &'static str,
    kind: &'static str,
    remote: bool,
    locked: bool,
}

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl FakeSession {
    #[zbus(property)]
    fn class(&self) -> &str {
        self.class
    }

    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        self.kind
    }

    #[zbus(property)]
    fn state(&self) -> &str {
        "active"
    }

    #[zbus(property)]
    fn remote(&self) -> bool {
        self.remote
    }

    #[zbus(property)]
    fn locked_hint(&self) -> bool {
        self.locked
    }
}

#[test]
fn sessions_are_counted_by_kind_and_people_once() {
    let mut bus = PrivateBus::start();
    let at = |id: &str| format!("/org/freedesktop/login1/session/_{id}");
    bus.publish("org.freedesktop.login1", |builder| {
        let session = |class, kind, remote, locked| FakeSession { class, kind, remote, locked };
        builder
            .serve_at("/org/freedesktop/login1", FakeLogin)
            .serve_at(at("1"), session("user", "wayland", false, true))
            .serve_at(at("2"), session("user", "tty", true, false))
            .serve_at(at("3"), session("greeter", "wayland", false, false))
    });
    let report = ask(SectionId::Users, bus.bus(), &[]);
    let Some(Content::Users(users)) = &report.content else { panic!("{report:?}") };
    let Users { sessions: Some(sessions), users: people, names, .. } = &**users else { panic!("{users:?}") };
    assert_eq!((*people, names.len(), names[0].raw()), (Some(1), 1, "ana"));
    assert_eq!(sessions.iter().map(|row| row.count).sum::<u32>(), 3);
    let locked = sessions.iter().find(|row| row.locked).unwrap();
    assert_eq!(
        (locked.class, locked.kind, locked.state),
        (SessionClass::User, SessionKind::Wayland, SessionState::Active)
    );
    assert_eq!(
        sessions.iter().filter(|row| row.remote).map(|row| row.kind).collect::<Vec<_>>(),
        [SessionKind::Terminal]
    );
    assert_eq!(coverage(&report, "logind").unwrap().0, Coverage::Partial, "one session ended meanwhile");
}

struct FakePackageKit;

#[zbus::interface(name = "org.freedesktop.PackageKit")]
impl FakePackageKit {
    fn create_transaction(&self) -> OwnedObjectPath {
        path("/1_abc")
    }
}

struct FakeTransaction {
    exit: u32,
}

#[zbus::interface(name = "org.freedesktop.PackageKit.Transaction")]
impl FakeTransaction {
    fn set_hints(&self, hints: Vec<String>) {
        assert!(hints.contains(&"cache-age=4294967295".to_owned()), "nothing is fetched");
    }

    async fn get_updates(&self, _filter: u64, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        Self::package(&emitter, 5, "tzdata;2024b;all;updates", "time zones").await.unwrap();
        Self::package(&emitter, 8 | (7 << 16), "curl;8.2;x86_64;updates", "x").await.unwrap();
        Self::package(&emitter, 9, "held;1;x86_64;updates", "x").await.unwrap();
        let many = (0..500).map(|n| (5, format!("p{n};1;x;u"), String::new())).collect::<Vec<_>>();
        Self::packages(&emitter, many).await.unwrap();
        Self::finished(&emitter, self.exit, 12).await.unwrap();
    }

    #[zbus(signal)]
    async fn package(emitter: &SignalEmitter<'_>, info: u32, id: &str, summary: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn packages(emitter: &SignalEmitter<'_>, packages: Vec<(u32, String, String)>) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn finished(emitter: &SignalEmitter<'_>, exit: u32, runtime: u32) -> zbus::Result<()>;
}

fn updates(exit: u32) -> (Updates, SectionReport) {
    let mut bus = PrivateBus::start();
    bus.publish("org.freedesktop.PackageKit", |builder| {
        builder.serve_at("/org/freedesktop/PackageKit", FakePackageKit).serve_at("/1_abc", FakeTransaction { exit })
    });
    let report = ask(SectionId::Updates, bus.bus(), &[("var/lib/dpkg/status", "Package: a\n")]);
    let Some(Content::Updates(updates)) = &report.content else { panic!("{report:?}") };
    ((**updates).clone(), report)
}

#[test]
fn packagekit_counts_updates_and_what_is_held_back_is_none() {
    let (updates, report) = updates(1);
    assert_eq!(
        (updates.counted_by, updates.pending, updates.security),
        (Some(UpdateSource::PackageKit), Some(502), Some(1))
    );
    assert_eq!((updates.pending_names[0].raw(), updates.pending_names[1].raw()), ("curl", "tzdata"));
    assert_eq!(coverage(&report, "packagekit"), Some((Coverage::Read, String::new())));
}

#[test]
fn a_packagekit_that_fails_has_counted_nothing() {
    let (updates, report) = updates(2);
    assert_eq!((updates.counted_by, updates.pending), (None, None));
    assert_eq!(coverage(&report, "packagekit").unwrap().1, "the service could not find out");
}
