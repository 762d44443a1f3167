use wire::diagnostics::report::{Coverage, Outcome};

use super::*;
use crate::testing::{FakeService, TestBus, TestMachine, survey};

fn desktop() -> TestMachine {
    let machine = TestMachine::new(&[
        (
            "etc/os-release",
            "PRETTY_NAME=\"Fedora Linux 41 (Workstation Edition)\"\nID=fedora\nVERSION_ID=41\nVARIANT='Workstation Edition'\nSUPPORT_END=2025-12-15\n",
        ),
        ("etc/locale.conf", "LANG=\"de_DE.UTF-8\"\n"),
        ("proc/cmdline", "BOOT_IMAGE=(hd0,gpt2)/vmlinuz-6.11 root=UUID=0a1b ro quiet\n"),
        (
            "proc/modules",
            "nvidia 56815616 1 nvidia_modeset, Live 0x0000000000000000 (POE)\nxfs 2048000 2 - Live 0x0000000000000000\nvboxdrv 1024 0 - Loading 0x0 (OE+)\n",
        ),
        ("proc/sys/kernel/tainted", "12801\n"),
        ("proc/sys/kernel/osrelease", "6.11.4-301.fc41.x86_64\n"),
        ("proc/sys/kernel/version", "#1 SMP PREEMPT_DYNAMIC Sun Oct 20 15:02:33 UTC 2024\n"),
        ("proc/1/comm", "systemd\n"),
        ("proc/stat", "cpu  1 2 3\nbtime 1732000000\nprocesses 5\n"),
    ]);
    machine.link("etc/localtime", "../usr/share/zoneinfo/Europe/Berlin");
    machine
}

#[test]
fn a_desktop_tells_what_it_is_and_that_its_kernel_is_tainted() {
    let (system, outcome, sources) = survey(read, &desktop().sources());
    let system = system.unwrap();
    assert_eq!((system.id.raw(), system.version.raw(), system.variant.raw()), ("fedora", "41", "Workstation Edition"));
    assert_eq!((system.support_ends.raw(), system.locale.raw()), ("2025-12-15", "de_DE.UTF-8"));
    assert_eq!((system.time_zone.raw(), system.init.raw()), ("Europe/Berlin", "systemd"));
    assert_eq!(system.parameters.len(), 4);
    assert_eq!(system.taints, [Taint::Proprietary, Taint::Warned, Taint::OutOfTree, Taint::Unsigned]);
    let modules = system.modules.unwrap();
    assert_eq!((modules.loaded, modules.size_kib), (3, 57485));
    let unusual = modules.unusual.iter().map(|module| (module.name.raw(), module.taints.len())).collect::<Vec<_>>();
    assert_eq!(unusual, [("nvidia", 3), ("vboxdrv", 2)]);
    assert_eq!(system.boot.started_at, Some(WallTime(1_732_000_000_000)));
    assert_eq!(outcome, Outcome::Partial);
    let missing = sources.iter().filter(|(_, coverage, _)| *coverage != Coverage::Read).collect::<Vec<_>>();
    assert_eq!(missing, [&("systemd".to_owned(), Coverage::Missing, "this system does not have it".to_owned())]);
}

#[test]
fn an_empty_machine_names_every_source_that_is_missing() {
    let (system, outcome, sources) = survey(read, &TestMachine::new(&[]).sources());
    let system = system.unwrap();
    assert!(system.modules.is_none(), "a kernel that cannot load modules has none");
    assert_eq!((system.boot.kernel_ms, outcome), (None, Outcome::Partial));
    let names = sources.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["os-release", "kernel command line", "kernel taint", "systemd", "start time"]);
    assert!(sources.iter().all(|(_, coverage, _)| *coverage == Coverage::Missing));
}

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PATH: &str = "/org/freedesktop/systemd1";

fn fake_systemd(stamps: [u64; 5]) -> FakeService {
    let names = ["Firmware", "Loader", "InitRD", "Userspace", "Finish"].map(|name| format!("{name}TimestampMonotonic"));
    let fake = FakeService::named("org.freedesktop.systemd1")
        .property(PATH, MANAGER, "SystemState", "degraded")
        .property(PATH, MANAGER, "Version", "256.7-1.fc41")
        .method(PATH, MANAGER, "GetDefaultTarget", "graphical.target".to_owned());
    names.iter().zip(stamps).fold(fake, |fake, (name, stamp)| fake.property(PATH, MANAGER, name, stamp))
}

#[test]
fn a_fake_of_systemd_says_how_long_each_part_of_the_start_took() {
    let mut bus = TestBus::start();
    bus.serve(fake_systemd([9_000_000, 4_000_000, 2_500_000, 7_500_000, 27_500_999]));
    let machine = desktop();
    let sources = Sources { bus: Bus::at(&bus.socket()), ..machine.sources() };
    let (system, outcome, _) = survey(read, &sources);
    let boot = system.unwrap().boot;
    assert_eq!((boot.firmware_ms, boot.loader_ms, boot.kernel_ms), (Some(5000), Some(4000), Some(2500)));
    assert_eq!((boot.initrd_ms, boot.userspace_ms), (Some(5000), Some(20_000)));
    assert_eq!((boot.default_target.raw(), boot.state.raw()), ("graphical.target", "degraded"));
    assert_eq!(outcome, Outcome::Complete);
}

#[test]
fn a_machine_that_is_still_starting_has_no_time_of_its_end() {
    let mut boot = Boot::default();
    Stamps { userspace: 3_000_000, ..Stamps::default() }.apply(&mut boot);
    assert_eq!((boot.firmware_ms, boot.loader_ms, boot.initrd_ms), (None, None, None));
    assert_eq!((boot.kernel_ms, boot.userspace_ms), (Some(3000), None));
}

#[test]
fn times_that_go_backwards_are_no_times() {
    let mut boot = Boot::default();
    Stamps { firmware: 1, loader: u64::MAX, initrd: 9, userspace: 5, finish: 2 }.apply(&mut boot);
    assert_eq!((boot.firmware_ms, boot.initrd_ms, boot.userspace_ms), (None, None, None));
}

#[test]
fn what_belongs_to_the_first_process_or_its_environment_is_left_out() {
    let line = b"quiet dyndbg=\"file a.c +p\" systemd.setenv=TOKEN=hunter2 \"systemd.set_credential=k:hunter2\" -- --key hunter2\n";
    let parameters = parameters(line);
    let shown = parameters.iter().map(Sentence::raw).collect::<Vec<_>>();
    assert_eq!(
        shown,
        ["quiet", "dyndbg=\"file a.c +p\"", "systemd.setenv=(left out)", "systemd.set_credential=(left out)"]
    );
}

#[test]
fn hostile_files_of_the_kernel_are_read_without_harm() {
    assert!(parameters(b"\xff\xfe \"never closed = x").len() <= 2);
    assert_eq!(
        parse_modules(b"x\n\nname notanumber 1\n  \na 18446744073709551615 1 - Live 0x0 (\nb 9 0 - Live 0x0 (!?)\n")
            .loaded,
        2
    );
    assert_eq!(taints(u64::MAX).len(), Taint::ALL.len());
    assert_eq!(taints(1 << 63), [Taint::Other]);
    assert!(taints(0).is_empty());
    let mut system = System::default();
    read_release(b"ID=\nPRETTY_NAME=\"torn\nVERSION_ID=\\\n=\n\xff=1\n", &mut system);
    assert_eq!((system.id.raw(), system.name.raw(), system.version.raw()), ("", "\"torn", ""));
}

#[test]
fn more_parameters_than_are_listed_are_counted() {
    let machine = desktop();
    machine.write("proc/cmdline", "a ".repeat(MAX_PARAMETERS + 3));
    let (system, _, sources) = survey(read, &machine.sources());
    assert_eq!(system.unwrap().parameters.len(), MAX_PARAMETERS);
    let line = sources.iter().find(|(name, ..)| name == "kernel command line").unwrap();
    assert_eq!((line.1, line.2.as_str()), (Coverage::Partial, "3 more than the 256 that are listed"));
}

#[test]
fn this_machine_says_what_kernel_it_runs() {
    let sources = Sources { roots: Roots::default(), ..TestMachine::new(&[]).sources() };
    let (system, ..) = survey(read, &sources);
    let system = system.unwrap();
    assert!(!system.kernel.is_blank() && !system.init.is_blank() && system.boot.started_at.is_some());
}
