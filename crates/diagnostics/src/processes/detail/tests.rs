use std::os::fd::AsRawFd as _;

use super::*;

fn own() -> (u32, u64) {
    let pid = std::process::id();
    let mut buffer = Vec::new();
    let stat = Stat::parse(read_file(Path::new("/proc/self/stat"), &mut buffer).unwrap()).unwrap();
    (pid, stat.start_ticks)
}

#[test]
fn this_process_is_read_in_full_without_what_it_was_called_with() {
    let (pid, start) = own();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let deleted = tempfile::tempfile().unwrap();
    let mut manifest = Manifest::default();
    let process = read(&Roots::default(), pid, Some(start), &mut manifest).unwrap();
    assert!(near.as_raw_fd() != far.as_raw_fd() && deleted.as_raw_fd() > 0, "they are open until here");

    assert_eq!((process.pid, process.start_ticks), (pid, start));
    assert_eq!(process.parents.first().unwrap().pid, std::os::unix::process::parent_id());
    assert!(process.threads_total >= 2 && process.threads.iter().any(|thread| thread.tid == pid));
    let executable = std::env::current_exe().unwrap();
    assert_eq!(process.executable, Some(Label::cut(&executable.to_string_lossy())));
    let files = process.files.unwrap();
    assert!(files.sockets >= 2 && files.deleted >= 1 && files.total >= 4, "{files:?}");
    let kinds = [files.files, files.deleted, files.sockets, files.pipes, files.kernel];
    assert!(kinds.into_iter().sum::<u32>() <= files.total);
    let memory = process.memory;
    assert!(memory.proportional_kib.is_some_and(|share| share > 0) && memory.resident_kib <= memory.virtual_kib);
    assert!(process.limits.iter().any(|limit| limit.resource == Resource::OpenFiles && limit.soft.is_some()));
    assert!(process.oom_score.is_some() && process.io.is_some() && !process.owner.is_blank());
    let started = process.started_at.unwrap();
    assert!(started > WallTime(1_500_000_000_000), "{started}");
    assert!(!format!("{process:?}").contains("this_process_is_read_in_full_without"), "its argument or environment");
}

#[test]
fn a_child_is_found_by_its_parent() {
    let (parent, start) = own();
    let mut child = spawn_sleeper();
    let process = read(&Roots::default(), parent, Some(start), &mut Manifest::default()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(process.children.iter().any(|relative| relative.pid == child.id()), "{:?}", process.children);
}

#[expect(clippy::disallowed_methods, reason = "a test needs a child of its own")]
fn spawn_sleeper() -> std::process::Child {
    std::process::Command::new("sleep").arg("600").spawn().unwrap()
}

#[test]
fn a_number_that_another_process_uses_now_is_not_this_process() {
    let (pid, start) = own();
    let mut manifest = Manifest::default();
    assert_eq!(read(&Roots::default(), pid, Some(start + 1), &mut manifest), None);
    assert!(manifest.into_sources()[0].reason.raw().contains("another"));
}

#[test]
fn a_worker_of_the_kernel_has_no_program_and_no_memory() {
    let roots = Roots::default();
    let mut buffer = Vec::new();
    let stat = read_file(Path::new("/proc/2/stat"), &mut buffer).ok().and_then(Stat::parse);
    // In a container the second process is anything.
    let Some(stat) = stat.filter(|stat| stat.name.bytes() == b"kthreadd") else { return };
    let process = read(&roots, 2, Some(stat.start_ticks), &mut Manifest::default()).unwrap();
    assert_eq!((process.executable, process.memory.proportional_kib), (None, None));
}

#[test]
fn limits_are_read_with_and_without_a_bound() {
    let line = b"Max open files            1024                 524288               files     ";
    let files = limit(line).unwrap();
    assert_eq!((files.resource, files.soft, files.hard), (Resource::OpenFiles, Some(1024), Some(524_288)));
    let core = limit(b"Max core file size        0                    unlimited            bytes     ").unwrap();
    assert_eq!((core.resource, core.soft, core.hard), (Resource::CoreBytes, Some(0), None));
    for line in
        [&b""[..], b"Limit                     Soft Limit", b"Max open files", b"Max open files x y", b"Max cpu time 1"]
    {
        assert!(limit(line).is_none());
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
fn parents_that_go_in_a_circle_and_hostile_files_come_to_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let roots = Roots { proc: folder.path().to_owned(), ..Roots::default() };
    for (pid, parent) in [(7, 8), (8, 9), (9, 7)] {
        let process = folder.path().join(pid.to_string());
        fs::create_dir(&process).unwrap();
        let stat = format!("{pid} (a) b\n) S {parent} 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 -7 1 0 5000 1 1 1\n");
        fs::write(process.join("stat"), stat).unwrap();
        for file in ["status", "limits", "io", "oom_score", "oom_score_adj", "cgroup", "wchan", "smaps_rollup"] {
            fs::write(process.join(file), b"\0\xff\n-99999999999999999999\nUid: x\n0::/a\nPss: -1 kB\n").unwrap();
        }
    }
    let process = read(&roots, 7, Some(5000), &mut Manifest::default()).unwrap();
    assert_eq!(process.parents.iter().map(|above| above.pid).collect::<Vec<_>>(), [8, 9, 7]);
    assert_eq!((process.name.raw(), process.nice, process.group.raw()), ("a) b\n", -7, "/a"));
    assert_eq!(process.children.iter().map(|child| child.pid).collect::<Vec<_>>(), [9]);
    assert_eq!((process.files, process.oom_score, process.memory.proportional_kib), (None, None, None));
}
