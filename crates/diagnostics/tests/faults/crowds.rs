//! Too many of something.

use std::{
    fs,
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use diagnostics::Question;
use rustix::time::ClockId;
use wire::diagnostics::{
    PaceReason, TOP_PROCESSES,
    report::{Content, Coverage, SectionId},
    sections::process::{MAX_CHILDREN, MAX_THREADS},
};

use crate::{
    Watched, ask, clock, gap,
    isolated::{isolated, scratch, shell, skip},
    source,
};

/// How many processes there are besides the shell that is their parent.
const CROWD: usize = 4000;

/// Starts the crowd: children of a shell that all wait for a pipe to be opened, which nobody does. They keep nothing of the shell's open,
/// so that it is seen to end where it can start no more of them. `false` where there may not be so
/// many.
fn crowd() -> bool {
    let gate = scratch("gates").join("gate");
    let script = "mkfifo GATE; for child in $(seq CROWD); do { read line <GATE; } >/dev/null & done; echo; wait";
    let came = shell(&script.replace("GATE", gate.to_str().unwrap()).replace("CROWD", &CROWD.to_string()));
    if !came {
        skip("there may not be so many processes here");
    }
    came
}

#[test]
fn among_four_thousand_processes_the_listed_are_few_and_all_are_looked_at_less_often() {
    isolated(|| {
        if !crowd() {
            return;
        }
        let mut watched = Watched::begin();
        let first = watched.after(1000).clone();
        assert!(
            usize::try_from(first.processes_total).unwrap() > CROWD
                && first.processes_readable == first.processes_total,
            "{first:?}"
        );
        assert_eq!(first.processes.len(), TOP_PROCESSES);
        assert_eq!(gap(&first, "processes"), None, "none was left out");
        // More where the test machine has much else to do.
        assert!(first.pace.processes_ms >= 5000 && first.pace.reason != PaceReason::AsAsked, "{:?}", first.pace);
        for _ in 0..5 {
            watched.after(1000);
            assert!(watched.frame_bytes < 8 * 1024, "{} bytes of changes in a second", watched.frame_bytes);
        }
        assert_eq!(watched.after(1000).processes_total, first.processes_total);
    });
}

#[test]
fn four_thousand_children_are_counted_and_the_first_of_them_named() {
    isolated(|| {
        if !crowd() {
            return;
        }
        let parent = fs::read_to_string("/proc/thread-self/children").unwrap().trim().parse().unwrap();
        let report = ask(Question::Process { pid: parent, start_ticks: None });
        let Some(Content::Process(process)) = &report.content else { panic!("{report:?}") };
        assert_eq!((process.name.raw(), process.children.len()), ("sh", MAX_CHILDREN));
        let left_out = format!("{} more than the {MAX_CHILDREN} that are listed", CROWD - MAX_CHILDREN);
        assert_eq!(source(&report, "children"), Some((Coverage::Partial, left_out.as_str())));
        // Sections that look through all processes for one of a certain name.
        for section in [SectionId::Clock, SectionId::Security, SectionId::Services] {
            ask(Question::Section(section));
        }
    });
}

#[test]
fn of_two_thousand_threads_the_one_that_works_is_named() {
    isolated(|| {
        const THREADS: usize = 2000;
        let barrier = Arc::new(Barrier::new(THREADS + 1));
        let began = (0..THREADS).try_for_each(|number| {
            let barrier = Arc::clone(&barrier);
            let works = move || {
                // The last one is behind all others in every list of the kernel.
                if number == THREADS - 1 {
                    let mut work = 0_u64;
                    while clock(ClockId::ThreadCPUTime) < Duration::from_millis(200) {
                        work = (0..5_000_000).fold(work, |sum, number| sum.rotate_left(1) ^ number);
                    }
                    assert_ne!(work, 1);
                }
                barrier.wait();
                thread::park();
            };
            thread::Builder::new().name(format!("worker-{number}")).stack_size(32 << 10).spawn(works).map(drop)
        });
        if let Err(why) = began {
            return skip(&format!("there may not be so many threads here: {why}"));
        }
        barrier.wait();
        let pid = std::process::id();
        let mut watched = Watched::begin();
        let sample = watched.after(1000);
        let row = sample.processes.iter().find(|row| row.pid == pid).unwrap();
        assert!(row.threads > 2000, "{row:?}");
        assert_eq!(sample.processes_total, 1, "threads are no processes");

        let report = ask(Question::Process { pid, start_ticks: Some(row.start_ticks) });
        let Some(Content::Process(process)) = &report.content else { panic!("{report:?}") };
        assert!(process.threads_total > 2000 && process.threads.len() == MAX_THREADS, "{}", process.threads_total);
        assert!(process.threads.iter().any(|thread| thread.name.raw() == "worker-1999" && thread.cpu_ms >= 100));
        let (coverage, reason) = source(&report, "threads").unwrap();
        assert_eq!(coverage, Coverage::Partial);
        let left_out = usize::try_from(process.threads_total).unwrap() - MAX_THREADS;
        assert_eq!(reason, format!("{left_out} more than the {MAX_THREADS} that are listed"));
    });
}

#[test]
fn a_process_that_renames_itself_with_every_sample_stays_one_process() {
    isolated(|| {
        let pid = std::process::id();
        let mut watched = Watched::begin();
        let names: [&[u8]; 6] = [b"a) R 1 (b", b"one\ntwo", b"\x1b[2J", b"\xff\xfe", b"", b"fifteen-letters"];
        let mut started = None;
        for name in names.iter().cycle().take(24) {
            rename(name);
            let sample = watched.after(1000);
            let rows = sample.processes.iter().filter(|row| row.pid == pid).collect::<Vec<_>>();
            assert_eq!(rows.len(), 1);
            assert_eq!(rows[0].name.raw(), String::from_utf8_lossy(name), "the name of this moment, not an older one");
            assert_eq!(rows[0].start_ticks, *started.get_or_insert(rows[0].start_ticks));
            assert!(watched.frame_bytes < 4096, "a new name costs {} bytes", watched.frame_bytes);
        }
    });
}

/// Gives this process another name (proc_pid_comm(5)).
#[expect(clippy::disallowed_methods, reason = "it is the kernel that reads this")]
fn rename(name: &[u8]) {
    // Writing nothing would not be a write.
    let name = if name.is_empty() { b"\0" } else { name };
    fs::write(format!("/proc/self/task/{}/comm", std::process::id()), name).unwrap();
}
