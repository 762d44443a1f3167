//! Services and timers, as a manager of services tells about them on a real message bus.
//!
//! systemd does not run where tests do, so [`FakeManager`] and its units stand in for it, with the names, shapes and values of
//! org.freedesktop.systemd1(5).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its machine fails, as it should")]

mod support {
    pub(crate) mod bus;
}

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

use diagnostics::{Bus, NoTools, Person, Roots, Sources, Survey};
use support::bus::PrivateBus;
use wire::{
    diagnostics::{
        report::{Content, Coverage, Outcome, SectionId, SectionReport},
        sections::services::{Manager, Services},
    },
    text::Label,
    time::WallTime,
};
use zbus::OwnedObjectPath;

const CANARY: &str = "hunter2-canary";

type UnitRow = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

struct FakeManager;

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn list_units(&self) -> Vec<UnitRow> {
        let row = |name: &str, active: &str, path: &str| {
            let path = format!("/org/freedesktop/systemd1/unit/{path}").try_into().unwrap();
            let none = OwnedObjectPath::try_from("/").unwrap();
            let words = |word: &str| word.to_owned();
            (
                words(name),
                words(CANARY),
                words("loaded"),
                words(active),
                words("x"),
                String::new(),
                path,
                0,
                String::new(),
                none,
            )
        };
        vec![
            row("nginx.service", "failed", "nginx"),
            row("ssh.service", "active", "ssh"),
            row("backup.timer", "active", "backup"),
            row("home.mount", "active", "home"),
        ]
    }

    fn list_unit_files(&self) -> Vec<(String, String)> {
        let file = |name: &str, state: &str| (format!("/lib/systemd/system/{name}"), state.to_owned());
        vec![file("nginx.service", "enabled"), file("ssh.service", "disabled"), file("backup.timer", "enabled")]
    }

    #[zbus(property)]
    fn version(&self) -> String {
        "252 (252.39-1~deb12u2)".to_owned()
    }

    #[zbus(property)]
    fn system_state(&self) -> String {
        "degraded".to_owned()
    }
}

/// What every unit has.
struct FakeUnit {
    state: &'static str,
    preset: &'static str,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn unit_file_state(&self) -> String {
        self.state.to_owned()
    }

    #[zbus(property)]
    fn unit_file_preset(&self) -> String {
        self.preset.to_owned()
    }

    #[zbus(property)]
    fn state_change_timestamp(&self) -> u64 {
        1_795_329_304_000_000
    }
}

struct FakeService {
    restarts: u32,
    /// How often somebody looked at what the service runs.
    looked: Arc<AtomicU32>,
}

#[zbus::interface(name = "org.freedesktop.systemd1.Service")]
impl FakeService {
    #[zbus(property, name = "NRestarts")]
    fn n_restarts(&self) -> u32 {
        self.restarts
    }

    #[zbus(property)]
    fn result(&self) -> String {
        "exit-code".to_owned()
    }

    #[zbus(property)]
    fn exec_main_code(&self) -> i32 {
        1
    }

    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        203
    }

    #[zbus(property)]
    fn exec_start(&self) -> Vec<String> {
        self.looked.fetch_add(1, SeqCst);
        vec![format!("--password={CANARY}")]
    }

    #[zbus(property)]
    fn environment(&self) -> Vec<String> {
        self.looked.fetch_add(1, SeqCst);
        vec![format!("TOKEN={CANARY}")]
    }
}

struct FakeTimer;

#[zbus::interface(name = "org.freedesktop.systemd1.Timer")]
impl FakeTimer {
    #[zbus(property)]
    fn unit(&self) -> String {
        "backup.service".to_owned()
    }

    #[zbus(property)]
    fn result(&self) -> String {
        "success".to_owned()
    }

    #[zbus(property, name = "LastTriggerUSec")]
    fn last_trigger_usec(&self) -> u64 {
        1_795_300_000_000_000
    }

    #[zbus(property, name = "NextElapseUSecRealtime")]
    fn next_elapse_usec_realtime(&self) -> u64 {
        1_795_400_000_000_000
    }

    #[zbus(property, name = "NextElapseUSecMonotonic")]
    fn next_elapse_usec_monotonic(&self) -> u64 {
        u64::MAX
    }
}

fn publish(bus: &mut PrivateBus) -> Arc<AtomicU32> {
    let looked = Arc::new(AtomicU32::new(0));
    let service = |restarts| FakeService { restarts, looked: Arc::clone(&looked) };
    let unit = |state, preset| FakeUnit { state, preset };
    let path = |name: &str| format!("/org/freedesktop/systemd1/unit/{name}");
    bus.publish("org.freedesktop.systemd1", |builder| {
        builder
            .serve_at("/org/freedesktop/systemd1", FakeManager)
            .serve_at(path("nginx"), unit("enabled", "enabled"))
            .serve_at(path("nginx"), service(7))
            .serve_at(path("ssh"), unit("disabled", "enabled"))
            .serve_at(path("ssh"), service(0))
            .serve_at(path("backup"), unit("enabled", "enabled"))
            .serve_at(path("backup"), FakeTimer)
    });
    looked
}

fn survey(bus: Bus, root: &Path) -> SectionReport {
    survey_of(bus, Roots::under(root))
}

fn survey_of(bus: Bus, roots: Roots) -> SectionReport {
    let survey = Survey::new(Sources { roots, bus, tools: Arc::new(NoTools), ..Sources::default() });
    survey.read(&[SectionId::Services], Duration::from_secs(60), WallTime(0)).remove(0)
}

fn services(report: &SectionReport) -> &Services {
    let Some(Content::Services(services)) = &report.content else { panic!("{report:?}") };
    services
}

#[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
fn write(root: &Path, file: &str, content: &str) {
    fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
    fs::write(root.join(file), content).unwrap();
}

#[test]
fn systemd_tells_of_failures_restarts_timers_and_drift() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("run/systemd/system")).unwrap();
    let mut bus = PrivateBus::start();
    publish(&mut bus);
    let report = survey(bus.bus(), root.path());
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.sources);
    let services = services(&report);
    assert_eq!(services.manager, Manager::Systemd);
    let systemd = services.systemd.as_ref().unwrap();
    assert_eq!((systemd.version.raw(), systemd.state.raw()), ("252 (252.39-1~deb12u2)", "degraded"));
    let counts = systemd.counts.iter().map(|row| (row.kind.raw(), row.state.raw(), row.count)).collect::<Vec<_>>();
    let expected = [("mount", "active", 1), ("service", "active", 1), ("service", "failed", 1), ("timer", "active", 1)];
    assert_eq!(counts, expected);
    let [failed] = systemd.failed.as_slice() else { panic!("{:?}", systemd.failed) };
    assert_eq!((failed.name.raw(), failed.result.raw(), failed.restarts), ("nginx.service", "exit-code", 7));
    assert_eq!((failed.exit_status, failed.signal), (Some(203), None));
    assert_eq!(failed.since, Some(WallTime(1_795_329_304_000)));
    assert_eq!(systemd.restarted.iter().map(|row| row.name.raw()).collect::<Vec<_>>(), ["nginx.service"]);
    let [timer] = systemd.timers.as_slice() else { panic!("{:?}", systemd.timers) };
    assert_eq!(
        (timer.name.raw(), timer.starts.raw(), timer.result.raw()),
        ("backup.timer", "backup.service", "success")
    );
    let times = (timer.last, timer.next);
    assert_eq!(times, (Some(WallTime(1_795_300_000_000)), Some(WallTime(1_795_400_000_000))));
    assert_eq!(systemd.enabled_unit_files, Some(2));
    assert_eq!(systemd.enabled.iter().map(Label::raw).collect::<Vec<_>>(), ["backup.timer", "nginx.service"]);
    assert_eq!(services.own_systemd, None);
    let [drifted] = systemd.drifted.as_slice() else { panic!("{:?}", systemd.drifted) };
    assert_eq!((drifted.name.raw(), drifted.state.raw(), drifted.preset.raw()), ("ssh.service", "disabled", "enabled"));
}

#[test]
fn what_a_service_runs_and_its_environment_are_never_looked_at() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "etc/cron.d/backup", &format!("0 3 * * * root backup --key={CANARY}\n"));
    write(root.path(), "etc/xdg/autostart/sync.desktop", &format!("[Desktop Entry]\nExec=sync {CANARY}\n"));
    write(root.path(), "etc/systemd/system/nginx.service", &format!("[Service]\nEnvironment=TOKEN={CANARY}\n"));
    let mut bus = PrivateBus::start();
    let looked = publish(&mut bus);
    let report = survey(bus.bus(), root.path());
    assert!(services(&report).systemd.is_some());
    assert_eq!(looked.load(SeqCst), 0);
    assert!(!format!("{report:?}").contains(CANARY));
    // The canary is where it was planted.
    let place = "/org/freedesktop/systemd1/unit/nginx";
    let property = ("org.freedesktop.systemd1.Service", "Environment");
    let planted = bus.property::<Vec<String>>("org.freedesktop.systemd1", place, property).unwrap();
    assert_eq!((planted[0].contains(CANARY), looked.load(SeqCst)), (true, 1));
}

#[test]
fn a_persons_own_systemd_tells_of_their_units_as_the_systems_does() {
    let root = tempfile::tempdir().unwrap();
    let mut bus = PrivateBus::start();
    let looked = publish(&mut bus);
    let runtime = root.path().join("run/user/1000");
    fs::create_dir_all(&runtime).unwrap();
    let person = Person { runtime: Some(runtime.clone()), ..Person::default() };
    let roots = Roots { person, ..Roots::under(root.path()) };
    let no_bus = || Bus::at(&root.path().join("no-bus"));

    let report = survey_of(no_bus(), roots.clone());
    assert_eq!(services(&report).own_systemd, None);
    assert!(report.sources.iter().all(|source| source.name.raw() != "own systemd"), "nobody has to have one");

    std::os::unix::fs::symlink(bus.socket(), runtime.join("bus")).unwrap();
    let report = survey_of(no_bus(), roots);
    let services = services(&report);
    assert!(services.systemd.is_none());
    let own = services.own_systemd.as_ref().unwrap();
    assert_eq!(own.failed.iter().map(|unit| unit.name.raw()).collect::<Vec<_>>(), ["nginx.service"]);
    assert_eq!(own.enabled.iter().map(Label::raw).collect::<Vec<_>>(), ["backup.timer", "nginx.service"]);
    let source = report.sources.iter().find(|source| source.name.raw() == "own systemd").unwrap();
    assert_eq!(source.coverage, Coverage::Read);
    assert_eq!((looked.load(SeqCst), format!("{report:?}").contains(CANARY)), (0, false));
}

#[test]
fn without_systemd_what_starts_with_the_system_is_still_counted() {
    let root = tempfile::tempdir().unwrap();
    for file in ["etc/cron.d/e2scrub", "etc/cron.daily/apt", "etc/cron.daily/.placeholder", "run/openrc/softlevel"] {
        write(root.path(), file, "");
    }
    for file in ["etc/xdg/autostart/ana.desktop", "etc/xdg/autostart/README", "var/spool/cron/crontabs/ana"] {
        write(root.path(), file, "");
    }
    let report = survey(Bus::at(&root.path().join("no-bus")), root.path());
    assert_eq!(report.outcome, Outcome::Partial);
    let services = services(&report);
    assert_eq!((services.manager, services.systemd.is_none()), (Manager::OpenRc, true));
    let names = |labels: &[Label]| labels.iter().map(|label| label.raw().to_owned()).collect::<Vec<_>>();
    assert_eq!((services.cron_entries, names(&services.cron)), (2, vec!["e2scrub".to_owned(), "apt".to_owned()]));
    assert_eq!((services.autostart_entries, names(&services.autostart)), (1, vec!["ana.desktop".to_owned()]));
    assert_eq!(services.user_crontabs, Some(1));
}

#[test]
fn a_bus_that_keeps_systemd_to_itself_is_a_gap_and_no_failure() {
    let root = tempfile::tempdir().unwrap();
    let mut bus =
        PrivateBus::with_rules(r#"<deny send_interface="org.freedesktop.systemd1.Manager" send_member="ListUnits"/>"#);
    publish(&mut bus);
    let report = survey(bus.bus(), root.path());
    let source = report.sources.iter().find(|source| source.name.raw() == "systemd").unwrap();
    assert_eq!((report.outcome, source.reason.raw()), (Outcome::Partial, "permission denied"));
}
