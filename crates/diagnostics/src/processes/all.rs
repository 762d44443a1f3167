//! Every process, by one pass over `/proc/<pid>/stat`: who started whom. Arguments and environments are never opened.

use std::{
    cmp::Reverse,
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
use wire::{
    codec,
    diagnostics::sections::processes::{MAX_PROCESSES, ProcessRow, Processes},
};

use super::{
    files::{Missed, owner, read_stat},
    hidden::{HIDDEN, are_hidden},
    linux::{MAX_SCANNED, STUCK, Units},
    owners::Owners,
    stat::Stat,
};
use crate::{
    gaps::why,
    manifest::Manifest,
    sources::Sources,
    text::{fields, first_line, hundredths, number},
};

const SOURCE: &str = "processes";

/// Reads the section; `None` if there is no list of processes.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Processes> {
    let roots = &sources.roots;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = manifest.keep(SOURCE, openat(CWD, &roots.proc, flags, Mode::empty()).map_err(io::Error::from))?;
    let mut line = Vec::with_capacity(2048);
    let (seen, mut found) = look_at_all(&folder, &mut line, manifest);
    if are_hidden(&roots.proc) {
        manifest.partial("processes of other users", HIDDEN);
    }
    let uptime = first_line(&roots.proc.join("uptime"));
    let uptime = uptime.and_then(|line| fields(line.as_bytes()).next().and_then(hundredths));
    if uptime.is_none() {
        manifest.missing("uptime", "without it nobody knows for how long a process runs");
    }
    let units = Units::of_this_machine();
    let mut owners = Owners::new(&roots.etc);
    let read = found.len();
    found.sort_by_key(|(pid, stat)| (Reverse(importance(stat)), *pid));
    let rows = found.into_iter().take(MAX_PROCESSES).map(|(pid, stat)| ProcessRow {
        pid,
        parent: stat.parent,
        start_ticks: stat.start_ticks,
        name: stat.name.label(),
        owner: owner(folder.as_fd(), pid, &mut line).map(|user| owners.name(user)).unwrap_or_default(),
        state: char::from(stat.state),
        kernel_thread: stat.kernel_thread,
        threads: u32::try_from(stat.threads).unwrap_or(u32::MAX),
        resident_kib: stat.resident_pages.saturating_mul(units.page_kib),
        cpu_ms: stat.ticks.saturating_mul(1000) / units.ticks_per_second,
        age_secs: uptime.map(|uptime| (uptime / 100).saturating_sub(stat.start_ticks / units.ticks_per_second)),
    });
    // Names differ in length: how many rows have room is found by trying, with room for the greatest number that may be left out.
    let mut processes = Processes { seen, left_out: u32::MAX, processes: rows.collect() };
    while !processes.processes.is_empty() && codec::encode(&processes).is_err() {
        processes.processes.truncate(processes.processes.len() * 15 / 16);
    }
    processes.left_out = u32::try_from(read - processes.processes.len()).unwrap_or(u32::MAX);
    if processes.left_out > 0 {
        let why = "there is no room for the kernel's own that are idle and for the smallest programs";
        manifest.partial("list of processes", &format!("{} are not listed: {why}", processes.left_out));
    }
    processes.processes.sort_by_key(|row| row.pid);
    Some(processes)
}

/// Every process that can be read, and how many there are with those that cannot.
fn look_at_all(folder: &OwnedFd, line: &mut Vec<u8>, manifest: &mut Manifest) -> (u32, Vec<(u32, Stat)>) {
    let (mut seen, mut unreadable, mut found) = (0, 0_u32, Vec::new());
    let mut listing = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(folder, listing.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                manifest.partial(SOURCE, &why(&error.into()));
                break;
            }
        };
        let Some(pid) = number(entry.file_name().to_bytes()).and_then(|pid| u32::try_from(pid).ok()) else { continue };
        if seen >= MAX_SCANNED {
            manifest.partial(SOURCE, &format!("there are more than the {MAX_SCANNED} that are looked at"));
            break;
        }
        match read_stat(folder.as_fd(), pid, line) {
            Ok(stat) => {
                seen += 1;
                found.push((pid, stat));
            }
            Err(Missed::Gone) => {}
            Err(Missed::Unreadable(error)) => {
                seen += 1;
                unreadable += 1;
                manifest.partial("some processes", &why(&error));
            }
        }
    }
    if unreadable > 0 {
        manifest.partial("number of processes", &format!("{unreadable} could not be read"));
    }
    (seen, found)
}

/// What has least of it is left out first: the kernel's own, the idle ones before those that worked, and then the smallest programs. One
/// that is stuck on a device is told, whoever it is.
fn importance(stat: &Stat) -> (bool, u64, u64) {
    (!stat.kernel_thread || stat.state == STUCK, stat.resident_pages, stat.ticks)
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::{
        report::{Coverage, Outcome},
        schema::{Class, Egress, Redact as _},
        sections::processes::PROCESSES_BYTES,
    };

    use super::*;
    use crate::testing::{TestMachine, survey};

    const KERNEL: u32 = 0x0020_8040;

    fn stat(pid: u32, name: &str, parent: u32, flags: u32, state: char, pages: u64, ticks: u64) -> String {
        format!("{pid} ({name}) {state} {parent} 1 1 0 -1 {flags} 0 0 0 0 {ticks} 0 0 0 20 0 3 0 5000 1 {pages} 1\n")
    }

    fn add(machine: &TestMachine, pid: u32, user: &str, stat: String) {
        machine.write(&format!("proc/{pid}/stat"), stat);
        machine.write(&format!("proc/{pid}/status"), format!("Uid:\t7\t{user}\t7\t7\n"));
    }

    fn a_family() -> TestMachine {
        let machine = TestMachine::new(&[("proc/uptime", "120.51 90.00\n"), ("etc/passwd", "ana:x:1000:1000::/:\n")]);
        add(&machine, 1, "0", stat(1, "systemd", 0, 0, 'S', 1000, 250));
        add(&machine, 2, "0", stat(2, "kthreadd", 0, KERNEL, 'S', 0, 0));
        add(&machine, 31, "0", stat(31, "kworker/0:1-events", 2, KERNEL, 'I', 0, 7));
        add(&machine, 400, "1000", stat(400, "a) b\n\u{1b}[2J", 77, 0, 'R', 10, 100));
        add(&machine, 401, "1000", stat(401, "sh", 401, 0, 'Z', 0, 0));
        machine
    }

    #[test]
    fn every_process_is_told_with_its_parent_and_its_owner() {
        let machine = a_family();
        let (processes, outcome, sources) = survey(read, &machine.sources());
        let processes = processes.unwrap();
        assert_eq!((outcome, sources.len(), processes.seen, processes.left_out), (Outcome::Complete, 1, 5, 0));
        let told = processes.processes.iter().map(|row| (row.pid, row.parent, row.name.raw(), row.kernel_thread));
        let expected = [
            (1, 0, "systemd", false),
            (2, 0, "kthreadd", true),
            (31, 2, "kworker/0:1-events", true),
            (400, 77, "a) b\n\u{1b}[2J", false),
            (401, 401, "sh", false),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
        let units = Units::of_this_machine();
        let row = &processes.processes[3];
        assert_eq!((row.owner.raw(), row.state, row.threads, row.start_ticks), ("ana", 'R', 3, 5000));
        let (resident, cpu) = (10 * units.page_kib, 100_000 / units.ticks_per_second);
        assert_eq!((row.resident_kib, row.cpu_ms), (resident, cpu));
        assert_eq!(row.age_secs, Some(120 - 5000 / units.ticks_per_second));
    }

    #[test]
    fn of_a_process_only_the_owner_is_somebodys_name() {
        struct Told(Vec<(Class, String)>);
        impl Egress for Told {
            fn replacement(&mut self, class: Class, text: &str) -> Option<String> {
                self.0.push((class, text.to_owned()));
                Some("user-1".to_owned())
            }

            fn arguments(&mut self, _: &[&str]) -> Vec<String> {
                panic!("there are no arguments")
            }
        }
        let mut processes = survey(read, &a_family().sources()).0.unwrap();
        let mut told = Told(Vec::new());
        processes.redact(&mut told);
        assert!(told.0.contains(&(Class::Personal, "ana".to_owned())));
        assert!(told.0.iter().all(|(class, _)| *class == Class::Personal), "{:?}", told.0);
        assert_eq!(processes.processes[3].owner.raw(), "user-1");
    }

    #[test]
    fn what_cannot_be_read_or_makes_no_sense_is_counted_and_said() {
        let machine = a_family();
        machine.write("proc/500/stat", "500 (torn) S 1");
        machine.write("proc/501/other", "it ended");
        machine.write("proc/99999999999/stat", "no process has this number");
        machine.write("proc/uptime", "soon\n");
        machine.write("proc/self/mountinfo", "22 27 0:21 / /proc rw - proc proc rw,hidepid=2\n");
        let (processes, outcome, sources) = survey(read, &machine.sources());
        let processes = processes.unwrap();
        assert_eq!((outcome, processes.seen, processes.processes.len()), (Outcome::Partial, 6, 5));
        assert!(processes.processes.iter().all(|row| row.age_secs.is_none()));
        let gaps = sources.iter().filter(|(_, coverage, _)| *coverage != Coverage::Read).map(|(name, ..)| &name[..]);
        let expected = ["some processes", "number of processes", "processes of other users", "uptime"];
        assert_eq!(gaps.collect::<Vec<_>>(), expected);

        let nowhere = survey(read, &TestMachine::new(&[]).sources());
        assert_eq!((nowhere.0, nowhere.1), (None, Outcome::Unavailable));
    }

    #[test]
    fn of_five_thousand_processes_the_kernels_idle_ones_are_left_out_first() {
        let machine = TestMachine::new(&[("proc/uptime", "120.51 90.00\n")]);
        for pid in 1..=5000 {
            let stat = match pid {
                1..=2000 => stat(pid, "kworker", 2, KERNEL, if pid == 7 { 'D' } else { 'I' }, 0, u64::from(pid == 9)),
                _ => stat(pid, "httpd", 1, 0, 'S', 100, 1),
            };
            machine.write(&format!("proc/{pid}/stat"), stat);
        }
        let (processes, outcome, sources) = survey(read, &machine.sources());
        let processes = processes.unwrap();
        assert_eq!((outcome, processes.seen), (Outcome::Partial, 5000));
        assert_eq!((processes.processes.len(), processes.left_out), (MAX_PROCESSES, 904));
        assert!(codec::encode(&processes).unwrap().len() <= PROCESSES_BYTES);
        assert!(processes.processes.is_sorted_by_key(|row| row.pid));
        let has = |pid: u32| processes.processes.iter().any(|row| row.pid == pid);
        assert!((2001..=5000).all(has) && has(7) && has(9), "who is stuck or worked stays");
        assert!(sources.iter().any(|(_, _, reason)| reason.starts_with("904 are not listed")), "{sources:?}");
    }

    #[test]
    fn long_names_leave_room_for_fewer_rows() {
        let machine = TestMachine::new(&[]);
        for pid in 1..=3000_u32 {
            // What is no UTF-8 takes three times as much room.
            let line = stat(pid, "", 1, 0, 'S', pid.into(), 1);
            let (start, end) = line.split_once(')').unwrap();
            let line = [start.as_bytes(), &[0xff; 63], b")", end.as_bytes()].concat();
            machine.write(&format!("proc/{pid}/stat"), line);
        }
        let processes = survey(read, &machine.sources()).0.unwrap();
        let bytes = codec::encode(&processes).unwrap().len();
        assert!((PROCESSES_BYTES * 9 / 10..=PROCESSES_BYTES).contains(&bytes), "{bytes}");
        let listed = u32::try_from(processes.processes.len()).unwrap();
        assert_eq!(listed + processes.left_out, 3000);
        assert!(
            processes.processes.iter().all(|row| row.pid > processes.left_out),
            "the smallest programs are left out"
        );
    }

    #[test]
    fn this_machine_has_this_process() {
        let (processes, ..) = survey(read, &Sources::default());
        let processes = processes.unwrap();
        let own = processes.processes.iter().find(|row| row.pid == std::process::id()).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert!(own.resident_kib > 0 && own.age_secs.is_some() && !own.kernel_thread && !own.owner.is_blank());
    }
}
