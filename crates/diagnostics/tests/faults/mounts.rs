//! File systems that turn read-only, break, or fall silent.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use diagnostics::{Monitor, Question, Roots, Sources, Survey};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use wire::{
    diagnostics::{
        Filesystem, FilesystemState,
        findings::{Check, Verdict},
        report::{Content, Outcome, SectionId},
        schema::Named,
    },
    text::Label,
    time::WallTime,
};

use crate::{
    SECTION_LIMIT, Watched, ask, at, ext4, find_damage,
    isolated::{isolated, mount, program, scratch, skip},
};

/// The row of what is mounted at `point` as soon as it `fits`. Each turn is five seconds later, when all are asked again; how long a
/// slow test machine takes to answer is another matter.
fn row(watched: &mut Watched, point: &Path, fits: impl Fn(&Filesystem) -> bool) -> Filesystem {
    let mut last = None;
    for _ in 0..500 {
        let sample = watched.after(5000);
        last = sample.filesystems.iter().find(|row| Path::new(row.mount.raw()) == point).cloned();
        if let Some(row) = last.take_if(|row| fits(row)) {
            return row;
        }
    }
    panic!("{last:?}");
}

fn is(state: FilesystemState) -> impl Fn(&Filesystem) -> bool {
    move |row| row.state == state && row.total_kib > 0
}

#[test]
fn a_file_system_that_is_remounted_read_only_is_seen_to_be() {
    isolated(|| {
        let Some(point) = ext4("errors=continue") else { return };
        let mut watched = Watched::begin();
        let before = row(&mut watched, &point, is(FilesystemState::ReadWrite));
        mount(&["-o", "remount,ro", point.to_str().unwrap()]);
        let after = row(&mut watched, &point, is(FilesystemState::ReadOnly));
        assert_eq!((after.kind.raw(), after.total_kib), ("ext4", before.total_kib));
        mount(&["-o", "remount,rw", point.to_str().unwrap()]);
        row(&mut watched, &point, is(FilesystemState::ReadWrite));
    });
}

#[test]
fn a_file_system_that_stops_writing_after_an_error_is_read_only() {
    isolated(|| {
        let Some(point) = ext4("errors=remount-ro") else { return };
        let mut watched = Watched::begin();
        row(&mut watched, &point, is(FilesystemState::ReadWrite));
        find_damage(&point);
        let refused = File::create(point.join("file")).unwrap_err();
        // Which of the two depends on the kernel.
        let kinds = [Errno::ROFS, Errno::IO].map(|errno| Some(errno.raw_os_error()));
        assert!(kinds.contains(&refused.raw_os_error()), "{refused}");
        row(&mut watched, &point, is(FilesystemState::Stopped));
        // Who comes later sees it at once.
        row(&mut Watched::begin(), &point, is(FilesystemState::Stopped));
    });
}

#[test]
fn a_file_system_that_was_shut_down_is_not_shown_as_one_that_can_be_written() {
    isolated(|| {
        let Some(point) = ext4("errors=continue") else { return };
        let mut watched = Watched::begin();
        row(&mut watched, &point, is(FilesystemState::ReadWrite));
        if !shut_down(&point) {
            return skip("nothing here can shut a file system down");
        }
        if !fs::read_to_string("/proc/self/mountinfo").unwrap().contains(",shutdown") {
            return skip("this kernel does not say that a file system was shut down; since Linux 6.15 it does");
        }
        row(&mut watched, &point, is(FilesystemState::ReadOnly));
    });
}

/// Shuts a file system down at once, as happens to one whose disk is gone (`EXT4_IOC_SHUTDOWN`; perl is on every Debian).
fn shut_down(point: &Path) -> bool {
    let ioctl = "open F, '<', $ARGV[0] or exit 2; my $now = pack('L', 2); ioctl(F, 0x8004587d, $now) or exit 3;";
    program("perl").args(["-e", ioctl]).arg(point).status().is_ok_and(|status| status.success())
}

/// A file system whose server is a program (FUSE). When that stops, it is as with a network file system whose server is gone: who asks
/// waits in the kernel, for as long as it takes.
struct Served {
    server: Pid,
    point: PathBuf,
}

impl Served {
    #[expect(clippy::zombie_processes, reason = "the kernel ends it with the test")]
    fn begin() -> Option<Self> {
        let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
            skip("this machine has no FUSE");
            return None;
        };
        let point = scratch("served");
        let input = || Stdio::from(device.try_clone().unwrap());
        // It must not be this process: the kernel ends nobody who waits for an answer of his own.
        let server = program("perl").args(["-e", SERVER]).stdin(input()).spawn().unwrap();
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0";
        let mounted =
            program("mount").args(["-i", "-t", "fuse", "-o", options, "served"]).arg(&point).stdin(input()).status();
        assert!(mounted.unwrap().success());
        Some(Self { server: Pid::from_child(&server), point })
    }

    fn stop(&self) {
        kill_process(self.server, Signal::STOP).unwrap();
    }

    fn go_on(&self) {
        kill_process(self.server, Signal::CONT).unwrap();
    }
}

/// Answers what the kernel asks (`include/uapi/linux/fuse.h`): how it is spoken to (version 7.31, no features), how full it is (1000
/// blocks of 4 KiB, 400 of them free, and 64 inodes, 32 of them free), and to all else that it cannot do that.
const SERVER: &str = r#"
    my ($init, $statfs, %no_answer) = (26, 17, 2 => 1, 42 => 1);
    open(my $answers, '>&=', 0);
    until ($!{ENODEV}) {
        my $length = sysread(STDIN, my $request, 65536);
        # Before it is mounted it cannot be read.
        if (!$length) { select(undef, undef, undef, 0.01); next; }
        my (undef, $opcode, $unique) = unpack('LLa8', $request);
        next if $no_answer{$opcode};
        my ($error, $answer) = (-38, '');
        ($error, $answer) = (0, pack('L16', 7, 31, 0, 0, 0x10001, 4096, 1)) if $opcode == $init;
        ($error, $answer) = (0, pack('Q5L10', 1000, 400, 400, 64, 32, 4096, 255, 4096)) if $opcode == $statfs;
        syswrite($answers, pack('Lla8', 16 + length($answer), $error, $unique) . $answer);
    }
"#;

/// Threads of this process that wait for a file system.
fn waiting() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
    tasks.filter(|name| fs::read_to_string(name).is_ok_and(|name| name == "diagnostics\n")).count()
}

#[test]
fn a_mount_whose_server_died_is_unresponsive_and_holds_up_nothing() {
    isolated(|| {
        let Some(served) = Served::begin() else { return };
        let mut watched = Watched::begin();
        let before = row(&mut watched, &served.point, is(FilesystemState::ReadWrite));
        assert_eq!((before.total_kib, before.available_kib), (4000, 1600));
        let held = File::open(&served.point).unwrap();

        served.stop();
        for _ in 0..5 {
            let silent = row(&mut watched, &served.point, is(FilesystemState::Unresponsive));
            assert_eq!((silent.total_kib, silent.available_kib), (4000, 1600), "as it was when it last answered");
        }
        let alone = (0..1000).any(|_| watched.after(1).filesystems.is_empty() || waiting() == 1);
        assert!(alone, "{} wait: nobody asks again while nobody answers", waiting());
        let others = watched.after(1000).filesystems.iter().filter(|row| Path::new(row.mount.raw()) != served.point);
        assert!(others.clone().count() > 0 && others.clone().all(|row| row.state != FilesystemState::Unresponsive));

        // Sections as they are asked for when a session opens, and the process that has the folder open: the one to be looked into.
        let survey = Survey::new(Sources::default());
        let asked = SectionId::ALL.iter().copied().filter(|section| *section != SectionId::Ladder).collect::<Vec<_>>();
        for report in survey.read(&asked, SECTION_LIMIT, WallTime(0)) {
            assert_ne!(report.outcome, Outcome::TimedOut, "{:?}", report.section);
        }
        let report = ask(Question::Process { pid: std::process::id(), start_ticks: None });
        let Some(Content::Process(process)) = &report.content else { panic!("{report:?}") };
        assert!(process.files.is_some_and(|files| files.files > 0), "{:?}", process.files);
        drop(held);

        served.go_on();
        row(&mut watched, &served.point, is(FilesystemState::ReadWrite));
    });
}

#[test]
fn a_mount_that_never_answered_is_listed_as_unresponsive_without_figures() {
    isolated(|| {
        let Some(served) = Served::begin() else { return };
        served.stop();
        let mut watched = Watched::begin();
        let silent = row(&mut watched, &served.point, |row| row.state == FilesystemState::Unresponsive);
        assert_eq!((silent.total_kib, silent.kind.raw()), (0, "fuse"));
        // Whoever waits for a server that has read its question cannot be ended by the kernel.
        served.go_on();
    });
}

#[test]
fn a_disk_that_found_damage_and_a_server_that_died_are_among_the_findings() {
    isolated(|| {
        let (Some(disk), Some(served)) = (ext4("errors=remount-ro"), Served::begin()) else { return };
        let mut monitor = Monitor::new(Roots::default(), at(0));
        let mut secs = 0;
        let mut until = |check: Check, point: &Path, verdict: Verdict| {
            for _ in 0..500 {
                secs += 5;
                monitor.tick(at(secs * 1000), WallTime(1_800_000_000_000 + secs * 1000));
                let subject = Some(Named::Path(Label::cut(point.to_str().unwrap())));
                let of_it = monitor.findings().iter().find(|one| one.check == check && one.subject == subject);
                if of_it.is_some_and(|finding| finding.verdict == verdict) {
                    return;
                }
            }
            panic!("{check:?} of {} is not {verdict:?}: {:?}", point.display(), monitor.findings());
        };
        until(Check::FilesystemReadOnly, &disk, Verdict::Pass);
        until(Check::MountUnresponsive, &served.point, Verdict::Pass);
        find_damage(&disk);
        served.stop();
        until(Check::FilesystemReadOnly, &disk, Verdict::Fail);
        until(Check::MountUnresponsive, &served.point, Verdict::Fail);
        served.go_on();
        until(Check::MountUnresponsive, &served.point, Verdict::Pass);
        until(Check::FilesystemReadOnly, &disk, Verdict::Fail);
    });
}
