//! Secrets are planted where a machine keeps them; nothing that leaves it has any.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its machine fails, as it should")]

use std::{
    fs,
    io::{self, Cursor, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use diagnostics::{
    Bus, Collector, MessageId, NoTools, Person, Privacy, Roots, RunTools, Scopes, Sources, Survey, Tool, arguments,
    process_name,
};
use serde::Serialize;
use tempfile::TempDir;
use wire::{
    codec,
    diagnostics::{
        DiskProcess, LargeProcess, Panels, Snapshot, StreamFrame,
        report::{Content, REPORT_FORMAT, Receipt, Report, SectionId},
        sections::network::ProxySource,
    },
    text::Label,
    time::{Moment, WallTime},
};

/// In every secret that is planted, and nowhere else.
const CANARY: &str = "qanary";

const BASICS: Scopes = Scopes { names: false, identifiers: false, network: false, logs: false };
const LOGS: Scopes = Scopes { logs: true, ..BASICS };

fn at(millis: u64) -> Moment {
    Moment::from_origin(Duration::from_secs(1000) + Duration::from_millis(millis))
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program with a secret among its arguments and one in its environment, that works and so is listed.
#[expect(clippy::disallowed_methods, reason = "a test of what is collected of processes needs one")]
fn process_with_secrets() -> Running {
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done", "worker", "--password", "qanary-argument"]);
    command.env("API_TOKEN", "qanary-environment").stdin(Stdio::null()).stdout(Stdio::null());
    Running(command.spawn().unwrap())
}

/// Set for a test that runs again where a mount has the name of a secret: where that is.
const MOUNTED_AT: &str = "MOUNTED_AT";

/// Runs `test` again with a view of the file systems of its own, in which a mount has the name of a secret. Only the administrator can
/// have one, and not in every container: `false` if it cannot be had.
#[expect(clippy::disallowed_methods, reason = "a view of one's own is had by starting a program in it")]
fn again_with_a_mount(folder: &Path, test: &str) -> bool {
    let may = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        return false;
    }
    let place = folder.join("qanary-mount");
    fs::create_dir_all(&place).unwrap();
    let script = r#"mount -t tmpfs qanary-device "$MOUNTED_AT" && exec "$0" --exact "$1" --nocapture"#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap()).arg(test);
    let output = command.env(MOUNTED_AT, &place).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the test did not run again");
    true
}

#[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
fn write(folder: &Path, file: &str, content: &str) {
    fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
    fs::write(folder.join(file), content).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The machine of the fixtures, with a secret wherever somebody could have left one.
fn machine_of_secrets() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/before"), root);
    let passwd = "root:x:0:0:root:/root:/bin/sh\nqanaryuser:x:1000:1000:Qanary Person,,,:/home/qanaryhome:/bin/sh\n";
    write(root, "etc/passwd", passwd);
    write(root, "etc/shadow", "qanaryuser:$6$qanaryhash:1:0:99999:7:::\n");
    write(root, "etc/hostname", "qanaryhost\n");
    write(root, "proc/sys/kernel/hostname", "qanaryhost\n");
    write(root, "etc/machine-id", "00qanarymachine\n");
    write(root, "etc/hosts", "127.0.1.1 qanaryhost.qanarydomain.example qanaryhost\n10.0.0.9 qanarypeer\n");
    write(root, "etc/resolv.conf", "search qanarydomain.example\nnameserver 10.0.0.1\n");
    write(root, "proc/cmdline", "root=/dev/sda1 password=qanarykernel quiet\n");
    write(root, "proc/310/cmdline", "sh\0--password\0qanaryargument\0");
    write(root, "proc/310/environ", "TOKEN=qanaryenvironment\0");
    write(root, "sys/class/dmi/id/product_serial", "qanaryserial\n");
    write(root, "sys/class/net/eth0/address", "00:1b:21:3a:4b:5c\n");
    write(
        root,
        "etc/systemd/system/qanary.service",
        "[Service]\nEnvironment=TOKEN=qanaryunit\nExecStart=/bin/sh --password=qanaryunit\n",
    );
    let autostart = "[Desktop Entry]\nName=Qanary Name\nExec=sync --password=qanaryautostart\nTryExec=qanaryprogram\n";
    write(root, "etc/xdg/autostart/qanarysystem.desktop", autostart);
    write(root, "home/qanaryhome/.config/autostart/qanaryown.desktop", &autostart.replace("TryExec", "Icon"));
    let config = root.join("home/qanaryhome/.config");
    fs::create_dir_all(config.join("dconf")).unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    fs::copy(sources.join("network/testdata/dconf"), config.join("dconf/user")).unwrap();
    let proxies = "ProxyType=1\nhttpProxy=http://ana:qanarykde@proxy.corp 3128\nhttpsProxy=qanarykde@proxy.corp 3128\n";
    write(&config, "kioslaverc", &format!("[Proxy Settings]\n{proxies}"));
    write(&config, "environment.d/proxy.conf", "http_proxy=http://ana:qanaryproxy@proxy.corp:3128\n");
    write(root, "var/log/journal/0123/system.journal", "");
    fs::create_dir_all(root.join("qanarythere")).unwrap();
    let mounts = format!(
        "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        26 25 8:2 / {}/qanarythere rw - ext4 /dev/sda2 rw\n\
        27 25 8:3 / /mnt/qanary\\040mount rw - ext4 //qanaryserver/qanaryshare rw,password=qanarymount\n",
        root.display(),
    );
    write(root, "proc/self/mountinfo", &mounts);
    folder
}

/// What the journal has of a crash, with a secret wherever there is room for one.
fn crash_of_secrets() -> Vec<u8> {
    let message = "Process 7 (qanarycomm) of user 1000 dumped core.\n\nModule qanarymodule.so without build-id.\n\
        Stack trace of thread 7:\n#0  0x0000000000000001 login_password=qanarystack (app + 0x1)\n\
        #1  0x0000000000000002 n/a (/home/qanaryhome/qanarytools/app + 0x2)\n#2  0x0000000000000003 qanaryuser (app + 0x3)\n";
    let entry = serde_json::json!({
        "MESSAGE": message, "_SYSTEMD_UNIT": "systemd-coredump@1-2-0.service", "__CURSOR": "s=1;i=1",
        "__REALTIME_TIMESTAMP": "1700000000000000", "COREDUMP_EXE": "/home/qanaryhome/app", "COREDUMP_SIGNAL": "6",
        "COREDUMP_CMDLINE": "app --password qanaryargument", "COREDUMP_ENVIRON": "TOKEN=qanaryenvironment",
        "COREDUMP_CWD": "/home/qanaryhome", "COREDUMP_OPEN_FDS": "0:/home/qanaryhome/qanaryfile",
    });
    format!("{entry}\n").into_bytes()
}

/// A journal whose every line has a secret where its writer put one.
#[derive(Debug)]
struct JournalOfSecrets;

impl RunTools for JournalOfSecrets {
    fn start(&self, tool: &Tool, _: Duration) -> io::Result<Box<dyn Read + Send>> {
        if tool.program() != "journalctl" {
            return NoTools.start(tool, Duration::ZERO);
        }
        if matches!(tool, Tool::Journal(selection) if selection.message == Some(MessageId::Crash)) {
            return Ok(Box::new(Cursor::new(crash_of_secrets())));
        }
        let messages = [
            "login with password=qanarylog1",
            "GET https://qanarylog2:qanarylog3@example.org/?token=qanarylog4",
            "Authorization: Bearer qanarylog5",
            "open /home/qanaryhome/x: denied to qanaryuser on qanaryhost",
        ];
        let line = |(at, message): (usize, &&str)| {
            let line = serde_json::json!({
                "MESSAGE": message, "PRIORITY": "3", "_SYSTEMD_UNIT": "openvpn@qanaryinstance.service", "SYSLOG_IDENTIFIER": "worker",
                "__REALTIME_TIMESTAMP": format!("{}", 1_700_000_000_000_000_u64 + at as u64), "__CURSOR": format!("s={at}"),
                "_CMDLINE": "worker --password qanaryargument", "_HOSTNAME": "qanaryhost", "_BOOT_ID": "0123456789abcdef0123456789abcdef",
            });
            format!("{line}\n")
        };
        let lines = messages.iter().enumerate().map(line).collect::<String>();
        Ok(Box::new(Cursor::new(lines.into_bytes())))
    }
}

/// Everything that can be collected, as it was read, with a sample that has what is `wanted` of it.
fn collected(roots: &Roots, tools: Arc<dyn RunTools>, wanted: impl Fn(&Snapshot) -> bool) -> Report {
    let mut collector = Collector::new(roots.clone(), at(0));
    let mut now = 1000;
    let sample = loop {
        let sample = collector.sample(at(now), Panels::ALL);
        if wanted(&sample) {
            break sample;
        }
        now += 1000;
    };
    // No bus: what is asked there belongs to the machine of the test.
    let bus = Bus::at(Path::new("/nonexistent/bus"));
    let sources = Sources { roots: roots.clone(), bus, tools, ..Sources::default() };
    let sections = Survey::new(sources).read(SectionId::ALL, Duration::from_secs(30), WallTime(1));
    Report {
        format: REPORT_FORMAT,
        taken_at: WallTime(1),
        card: collector.identity(),
        findings: Vec::new(),
        disk_processes: sample
            .processes
            .iter()
            .map(|row| DiskProcess {
                pid: row.pid,
                start_ticks: row.start_ticks,
                name: row.name.clone(),
                ..DiskProcess::default()
            })
            .collect(),
        largest: sample
            .processes
            .iter()
            .map(|row| LargeProcess {
                pid: row.pid,
                start_ticks: row.start_ticks,
                name: row.name.clone(),
                resident_kib: row.resident_kib,
            })
            .collect(),
        sample,
        recent: Vec::new(),
        sections,
        receipt: Receipt::default(),
    }
}

fn has_canary(bytes: &[u8]) -> bool {
    bytes.to_ascii_lowercase().windows(CANARY.len()).any(|window| window == CANARY.as_bytes())
}

#[track_caller]
fn assert_no_canary(what: &str, value: &impl Serialize) {
    let json = serde_json::to_string_pretty(value).unwrap();
    let left = json.lines().filter(|line| has_canary(line.as_bytes())).collect::<Vec<_>>();
    assert!(left.is_empty(), "{what} leaves with {left:#?}");
}

/// Clears everything as it is sent, and looks for canaries in the bytes.
fn assert_nothing_leaves(roots: &Roots, report: &Report) {
    for scopes in [BASICS, LOGS] {
        let mut privacy = Privacy::new(roots);
        let cleared = privacy.clear_report(report.clone(), scopes);
        assert_no_canary("the report", &*cleared);
        assert!(!has_canary(&codec::encode(&*cleared).unwrap()));
        let frames = [
            StreamFrame::Opening(Box::new(cleared.clone().into_inner())),
            StreamFrame::Key(Box::new(privacy.clear(report.sample.clone(), scopes).into_inner())),
        ];
        for frame in frames {
            assert_no_canary("a frame", &frame);
            assert!(!has_canary(&codec::encode(&frame).unwrap()));
        }
        for section in &report.sections {
            let section = privacy.clear(section.clone(), scopes);
            assert_no_canary(section.section.name(), &*section);
            assert!(!has_canary(&codec::encode(&*section).unwrap()));
        }
    }
}

#[test]
fn no_secret_of_a_machine_of_files_leaves_it() {
    use ProxySource::{EnvironmentFolder, Gnome, Kde};
    let folder = machine_of_secrets();
    let person = Person { config: Some(folder.path().join("home/qanaryhome/.config")), ..Person::default() };
    let roots = Roots { person, ..Roots::under(folder.path()) };
    // One of the mounts is there, the other is not: each is asked by a thread of its own.
    let mounts_are_told = |sample: &Snapshot| {
        let there = sample.filesystems.iter().any(|row| row.mount.raw().ends_with("/qanarythere"));
        there && sample.unreadable.iter().any(|gap| gap.source.raw() == "file system on 8:3")
    };
    let report = collected(&roots, Arc::new(JournalOfSecrets), mounts_are_told);
    // Names are collected, so that there is something to replace.
    assert!(has_canary(&serde_json::to_vec(&report).unwrap()));
    assert_eq!(report.card.host.raw(), "qanaryhost");
    for section in &report.sections {
        match &section.content {
            Some(Content::Crashes(crashes)) => assert_eq!(crashes.crashes[0].stack.len(), 3),
            Some(Content::Services(services)) => {
                assert_eq!(services.autostart.iter().map(Label::raw).collect::<Vec<_>>(), ["qanaryown.desktop"]);
            }
            Some(Content::Processes(all)) => {
                assert!(all.processes.iter().any(|row| row.owner.raw() == "qanaryuser"), "{all:?}");
            }
            Some(Content::Network(network)) => {
                let sources = network.proxies.iter().map(|proxy| proxy.source).collect::<Vec<_>>();
                assert_eq!(sources, [EnvironmentFolder, Gnome, Gnome, Kde, Kde]);
                assert!(network.proxies.iter().all(|proxy| proxy.has_credentials));
                assert_no_canary("what is kept of proxies", &network.proxies);
            }
            _ => {}
        }
    }
    assert_nothing_leaves(&roots, &report);
}

#[test]
fn no_secret_of_this_machine_leaves_it() {
    let mounted_at = std::env::var(MOUNTED_AT).ok();
    let folder = tempfile::tempdir().unwrap();
    if mounted_at.is_none() && again_with_a_mount(folder.path(), "no_secret_of_this_machine_leaves_it") {
        return;
    }
    let running = process_with_secrets();
    let roots = Roots::default();
    // It works all the time, so that sooner or later it is among the busiest.
    let is_told = |sample: &Snapshot| {
        let mounted = |place: &String| sample.filesystems.iter().any(|row| row.mount.raw() == place);
        sample.processes.iter().any(|process| process.pid == running.0.id()) && mounted_at.iter().all(mounted)
    };
    let report = collected(&roots, Arc::new(NoTools), is_told);
    assert_nothing_leaves(&roots, &report);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test of what is told of a process needs one")]
fn no_secret_among_the_arguments_of_a_process_leaves_it_with_the_others() {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "echo up; read line",
        "waiting",
        "--harmless",
        "--password=qanary word qanary",
        "--token",
        "qanary two",
    ]);
    command.args(["https://ana:qanary@example.net/", "Authorization: Bearer qanary"]);
    let mut running = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    // The kernel may say that a program was started a moment before it knows what with.
    running.0.stdout.take().unwrap().read_exact(&mut [0; 3]).unwrap();
    let (pid, roots) = (running.0.id(), Roots::default());
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().collect::<Vec<_>>();
    let start_ticks = fields[19].parse().unwrap();
    let name = process_name(&roots, pid, start_ticks).unwrap();
    let found = arguments(&roots, pid, start_ticks, &name).unwrap();
    assert!(has_canary(&serde_json::to_vec(&found).unwrap()), "it is read as it is");
    let cleared = Privacy::new(&roots).clear(found, LOGS);
    assert_no_canary("arguments", &*cleared);
    assert!(cleared.arguments.0.iter().any(|argument| argument.raw() == "--harmless"));
}
