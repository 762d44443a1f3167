//! A machine that shows its users nothing but their own processes.

use std::fs;

use diagnostics::{ArgumentsError, Question, Roots, arguments, process_name};
use wire::diagnostics::{
    report::{Content, Coverage, Outcome, SectionId},
    sections::{clock::TimeService, process::Arguments},
};

use crate::{
    Watched, ask, gap,
    isolated::{as_nobody, isolated, mount, scratch, shell},
    source,
};

/// Two services of root, and a mount of `/proc` that hides them from everybody else.
fn hide(how: &str) {
    let programs = scratch("programs");
    let script = "for name in chronyd sshd; do cp /bin/sleep DIR/$name; DIR/$name 1000 & done; echo; wait";
    assert!(shell(&script.replace("DIR", programs.to_str().unwrap())));
    mount(&["-t", "proc", "-o", &format!("hidepid={how}"), "proc", "/proc"]);
}

#[test]
fn a_user_from_whom_processes_are_hidden_is_told_so_and_nothing_is_concluded_from_it() {
    isolated(|| {
        // In the process that goes on as nobody the mount is there already.
        if rustix::process::getuid().is_root() {
            hide("2");
        }
        as_nobody(|| {
            let own = std::process::id();
            let mut watched = Watched::begin();
            let sample = watched.after(1000);
            assert_eq!(sample.processes.iter().map(|row| row.pid).collect::<Vec<_>>(), [own]);
            assert_eq!(gap(sample, "processes of other users"), Some("the machine hides them (hidepid)"));

            let report = ask(Question::Section(SectionId::Clock));
            let (coverage, reason) = source(&report, "time service").unwrap();
            assert_eq!(coverage, Coverage::Missing);
            assert!(reason.contains("hidepid"), "chronyd runs, so that none does is not said: {reason}");

            let report = ask(Question::Process { pid: 1, start_ticks: None });
            assert_eq!((report.outcome, report.content.is_none()), (Outcome::Unavailable, true));
            let (_, reason) = source(&report, "stat").unwrap();
            assert!(reason.contains("hidepid"), "{reason}");

            assert!(matches!(arguments_of_the_first(), Err(ArgumentsError::NotReadable(_))), "it did not end");

            let report = ask(Question::Section(SectionId::System));
            let (coverage, reason) = source(&report, "process 1").unwrap();
            assert!(coverage == Coverage::Missing && reason.contains("hidepid"), "{reason}");
        });
    });
}

#[test]
fn a_user_who_sees_names_but_no_more_is_told_the_same() {
    isolated(|| {
        if rustix::process::getuid().is_root() {
            hide("1");
        }
        as_nobody(|| {
            let mut watched = Watched::begin();
            let sample = watched.after(1000);
            assert!(sample.processes_total > sample.processes_readable && sample.processes_readable == 1, "{sample:?}");
            assert_eq!(gap(sample, "processes of other users"), Some("the machine hides them (hidepid)"));
            assert!(gap(sample, "some processes").is_some());
            assert!(matches!(arguments_of_the_first(), Err(ArgumentsError::NotReadable(_))));
            let report = ask(Question::Section(SectionId::Clock));
            assert!(source(&report, "time service").unwrap().1.contains("hidepid"), "{report:?}");
        });
    });
}

#[test]
fn nothing_is_hidden_from_root() {
    isolated(|| {
        hide("2");
        let mut watched = Watched::begin();
        let sample = watched.after(1000);
        assert_eq!(gap(sample, "processes of other users"), None);
        assert!(sample.processes_total >= 3);
        let report = ask(Question::Section(SectionId::Clock));
        let Some(Content::Clock(clock)) = &report.content else { panic!("{report:?}") };
        assert_eq!(clock.services, [TimeService::Chrony]);
        assert!(!arguments_of_the_first().unwrap().arguments.0.is_empty());
    });
}

/// As root sees its start. From whom it is hidden may try any.
fn arguments_of_the_first() -> Result<Arguments, ArgumentsError> {
    let started_at = |stat: String| stat.rsplit(") ").next()?.split(' ').nth(19)?.parse::<u64>().ok();
    let started_at = fs::read_to_string("/proc/1/stat").ok().and_then(started_at).unwrap_or(1);
    let roots = Roots::default();
    let name = process_name(&roots, 1, started_at)?;
    arguments(&roots, 1, started_at, &name)
}
