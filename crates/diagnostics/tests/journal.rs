//! What is read of a journal, from real journal files by the real journalctl.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its machine fails, as it should")]

mod support {
    pub(crate) mod journal;
}

use std::time::Duration;

use diagnostics::{NoTools, Question, Sources, Survey};
use support::journal::JournalMachine;
use wire::{
    diagnostics::{
        report::{Content, Outcome, SectionId, SectionReport},
        sections::{
            crashes::Frame,
            logs::{LogQuery, Logs, MAX_MESSAGE_BYTES, MessageForm, Priority},
        },
    },
    text::Label,
    time::WallTime,
};

/// Planted where nothing may be read.
const CANARY: &str = "hunter2-canary";

const DEADLINE: Duration = Duration::from_secs(60);

/// Now, in milliseconds, as the machine's clock stamps entries.
fn now_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    u64::try_from(now.tv_sec).unwrap() * 1000
}

/// An entry `ago` milliseconds before `now`.
fn entry<'a>(now: u64, ago: u64, fields: &[(&'a str, &str)]) -> Vec<(&'a str, Vec<u8>)> {
    let mut entry = vec![
        ("__REALTIME_TIMESTAMP", format!("{}000", now - ago).into_bytes()),
        ("__MONOTONIC_TIMESTAMP", format!("{}000", 10_000_000_000 - ago).into_bytes()),
        ("_BOOT_ID", b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec()),
        ("_MACHINE_ID", b"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb".to_vec()),
        ("_CMDLINE", format!("program --password={CANARY}").into_bytes()),
    ];
    entry.extend(fields.iter().map(|(name, value)| (*name, value.as_bytes().to_vec())));
    entry
}

fn line<'a>(now: u64, ago: u64, unit: &'a str, priority: &'a str, message: &'a str) -> Vec<(&'a str, Vec<u8>)> {
    let fields =
        [("_SYSTEMD_UNIT", unit), ("PRIORITY", priority), ("SYSLOG_IDENTIFIER", "writer"), ("MESSAGE", message)];
    entry(now, ago, &fields)
}

fn read(sources: Sources, section: SectionId) -> SectionReport {
    let report = Survey::new(sources).read(&[section], DEADLINE, WallTime(0)).remove(0);
    assert!(!format!("{report:?}").contains(CANARY), "{report:?}");
    report
}

fn logs(machine: &JournalMachine, query: LogQuery) -> (Logs, SectionReport) {
    let report = Survey::new(machine.sources()).ask(Question::Logs(query), DEADLINE, WallTime(0));
    assert!(!format!("{report:?}").contains(CANARY), "{report:?}");
    let Some(Content::Logs(logs)) = report.content.clone() else { panic!("{report:?}") };
    (*logs, report)
}

fn messages(logs: &Logs) -> Vec<&str> {
    logs.lines.iter().map(|line| line.message.raw()).collect()
}

#[test]
fn lines_are_chosen_by_unit_priority_time_and_place() {
    let now = now_ms();
    let machine = JournalMachine::with(&[
        line(now, 5000, "a.service", "6", "one"),
        line(now, 4000, "b.service", "3", "two"),
        line(now, 3000, "a.service", "4", "three"),
        line(now, 2000, "a.service", "7", "four"),
        line(now, 1000, "c.service", "5", "five"),
    ]);
    let all = LogQuery::default();
    let (default, report) = logs(&machine, all.clone());
    assert_eq!((messages(&default), report.outcome), (vec!["one", "two", "three", "five"], Outcome::Complete));
    let first = &default.lines[0];
    let (unit, identifier) = (first.unit.as_ref().unwrap().raw(), first.identifier.raw());
    assert_eq!((first.time, unit, identifier), (WallTime(now - 5000), "a.service", "writer"));
    assert_eq!((first.priority, first.form), (Some(Priority::Info), MessageForm::Whole));

    let units = vec![Label::cut("a.service"), Label::cut("c")];
    let (of_units, _) = logs(&machine, LogQuery { units, least: Priority::Debug, ..all.clone() });
    assert_eq!(messages(&of_units), ["one", "three", "four", "five"]);
    let (grave, _) = logs(&machine, LogQuery { least: Priority::Warning, ..all.clone() });
    assert_eq!(messages(&grave), ["two", "three"]);
    let (since, until) = (Some(WallTime(now - 4000)), Some(WallTime(now - 3000)));
    let (window, _) = logs(&machine, LogQuery { since, until, ..all.clone() });
    assert_eq!(messages(&window), ["two", "three"]);
    let (newest, _) = logs(&machine, LogQuery { limit: 2, ..all.clone() });
    assert_eq!(messages(&newest), ["three", "five"]);
}

#[test]
fn a_reader_goes_on_where_it_stopped_and_misses_nothing() {
    let now = now_ms();
    let messages_of = |number: u64| format!("message {number}");
    let written = (0..10).map(messages_of).collect::<Vec<_>>();
    let entries = written.iter().zip(0..).map(|(text, index)| line(now, 10_000 - index * 1000, "a.service", "6", text));
    let machine = JournalMachine::with(&entries.collect::<Vec<_>>());
    let start = LogQuery { until: Some(WallTime(now - 10_000)), ..LogQuery::default() };
    let (mut page, _) = logs(&machine, start);
    let mut seen = messages(&page).join(",");
    while let Some(after) = page.cursor.clone() {
        (page, _) = logs(&machine, LogQuery { after: Some(after), limit: 4, ..LogQuery::default() });
        seen = [seen, messages(&page).join(",")].join(",");
    }
    assert_eq!(seen.trim_end_matches(','), written.join(","));
}

#[test]
fn names_and_places_that_cannot_be_ask_for_nothing() {
    let now = now_ms();
    let machine = JournalMachine::with(&[line(now, 1000, "a.service", "6", "one")]);
    let options = vec![Label::cut("--file=/etc/shadow"), Label::cut("*")];
    let (logs_of_options, report) = logs(&machine, LogQuery { units: options, ..LogQuery::default() });
    assert_eq!((messages(&logs_of_options), report.outcome), (vec![], Outcome::Partial));
    let after = Some(wire::text::PeerText::cut("s=1 --vacuum-size=1"));
    let (logs_behind, report) = logs(&machine, LogQuery { after, ..LogQuery::default() });
    assert_eq!((messages(&logs_behind), report.outcome), (vec![], Outcome::Partial));
}

#[test]
fn messages_that_are_odd_are_read_as_far_as_they_are_text() {
    let now = now_ms();
    let long = "é".repeat(1 << 19);
    let mut binary = line(now, 3000, "a.service", "6", "");
    binary.pop();
    binary.push(("MESSAGE", vec![0xff, 0xfe, 0x00]));
    let mut twice = line(now, 2000, "a.service", "6", "first");
    twice.push(("MESSAGE", b"second".to_vec()));
    let machine = JournalMachine::with(&[
        line(now, 5000, "a.service", "6", &long),
        line(now, 4000, "a.service", "6", "\u{1b}[31mred\nline\0"),
        binary,
        twice,
        entry(now, 1000, &[("_SYSTEMD_UNIT", "a.service"), ("PRIORITY", "99")]),
    ]);
    let (logs, _) = logs(&machine, LogQuery { units: vec![Label::cut("a.service")], ..LogQuery::default() });
    let forms = logs.lines.iter().map(|line| line.form).collect::<Vec<_>>();
    assert_eq!(forms, [MessageForm::Cut, MessageForm::Whole, MessageForm::Binary, MessageForm::Whole]);
    assert_eq!(logs.lines[0].message.raw().len(), MAX_MESSAGE_BYTES);
    assert_eq!(logs.lines[1].message.raw(), "\u{1b}[31mred\nline\0");
    assert_eq!(logs.lines[3].message.raw(), "first");
}

#[test]
fn errors_are_grouped_by_what_they_have_in_common() {
    let now = now_ms();
    let machine = JournalMachine::with(&[
        line(now, 5000, "a.service", "3", "job 17 failed: /srv/ana/x"),
        line(now, 4000, "a.service", "2", "job 18 failed: /srv/bo/y"),
        line(now, 3000, "b.service", "3", "job 19 failed: /srv/ana/x"),
        line(now, 2000, "a.service", "4", "job 20 failed: only a warning"),
        line(now, 1000, "a.service", "3", "job 21 failed: /"),
    ]);
    let report = read(machine.sources(), SectionId::Errors);
    let Some(Content::Errors(errors)) = &report.content else { panic!("{report:?}") };
    assert_eq!((errors.lines, report.outcome), (4, Outcome::Complete));
    let group = &errors.groups[0];
    assert_eq!((group.template.raw(), group.count), ("job <n> failed: <path>", 2));
    assert_eq!((group.first, group.last), (WallTime(now - 5000), WallTime(now - 4000)));
    assert_eq!((group.unit.as_ref().unwrap().raw(), group.gravest), ("a.service", Priority::Critical));
    assert_eq!(errors.groups.len(), 3);
}

#[test]
fn a_crash_is_its_program_signal_unit_and_stack_and_nothing_more() {
    let now = now_ms();
    let crash = |ago: u64, program: &str, writer: &str| {
        let cmdline = format!("{program} --token={CANARY}");
        let message = format!(
            "Process 7 ({CANARY}) of user 1000 dumped core.\n\nModule {CANARY}.so without build-id.\n\
             Stack trace of thread 8:\n#0  0x00007237452cb3f4 raise (libc.so.6 + 0x963f4)\n\
             #1  0x0000558c34bc8aee main (/home/{CANARY}/app + 0x9c8aee)\n\n\
             Stack trace of thread 7:\n#0  0x00007237452cb3f4 {CANARY} (libc.so.6 + 0x1)\n"
        );
        let fields = [
            ("MESSAGE_ID", "fc2e22bc6ee647b6b90729ab34a250b1"),
            ("_SYSTEMD_UNIT", writer),
            ("COREDUMP_EXE", program),
            ("COREDUMP_COMM", "short"),
            ("COREDUMP_SIGNAL", "11"),
            ("COREDUMP_UNIT", "app.service"),
            ("COREDUMP_CMDLINE", &cmdline),
            ("COREDUMP_ENVIRON", &cmdline),
            ("COREDUMP_OPEN_FDS", &cmdline),
            ("MESSAGE", &message),
        ];
        entry(now, ago, &fields)
    };
    let (day, handler) = (86_400_000, "systemd-coredump@3-411-0.service");
    let machine = JournalMachine::with(&[
        crash(30 * day, "/usr/bin/old", handler),
        crash(3 * day, "/usr/bin/app", handler),
        line(now, 3000, "a.service", "2", CANARY),
        crash(2000, "/home/ana/bin/app", handler),
        crash(1000, "/usr/bin/app", "init.scope"),
        crash(500, "/usr/bin/forged", "user@1000.service"),
    ]);
    let report = read(machine.sources(), SectionId::Crashes);
    let Some(Content::Crashes(crashes)) = &report.content else { panic!("{report:?}") };
    assert_eq!((crashes.last_day, crashes.last_week), (2, 3));
    let newest = &crashes.crashes[0];
    assert_eq!((newest.time, newest.program.raw(), newest.signal), (WallTime(now - 1000), "app", 11));
    assert_eq!(newest.unit.as_ref().unwrap().raw(), "app.service");
    let expected = ["raise (libc.so.6 + 0x963f4)", "main (app + 0x9c8aee)"];
    for crash in &crashes.crashes {
        assert_eq!(crash.stack.iter().map(Frame::raw).collect::<Vec<_>>(), expected);
        assert_eq!(crash.module.as_ref().unwrap().raw(), "libc.so.6");
    }
    assert_eq!((crashes.programs[0].program.raw(), crashes.programs[0].last_day), ("app", 2));
    let why = "1 crashes do not count: programs claimed them that do not handle crashes";
    assert!(report.sources.iter().any(|source| source.reason.raw() == why), "{:?}", report.sources);
}

#[test]
fn a_machine_without_a_journal_or_journalctl_says_so() {
    let machine = JournalMachine::with(&[line(now_ms(), 1000, "a.service", "3", "one")]);
    let without_program = Sources { tools: std::sync::Arc::new(NoTools), ..machine.sources() };
    let mut without_files = machine.sources();
    without_files.roots.var = "/nonexistent".into();
    for (sources, why) in
        [(without_program, "this system does not have it"), (without_files, "this machine keeps no journal")]
    {
        for section in [SectionId::Logs, SectionId::Errors, SectionId::Crashes] {
            let report = read(sources.clone(), section);
            assert_eq!((report.outcome, report.content.is_none()), (Outcome::Unavailable, true));
            assert_eq!(report.sources[0].reason.raw(), why);
        }
    }
}

#[test]
fn changes_are_packages_starts_failures_and_crashes() {
    let now = now_ms();
    let failed = |ago: u64, unit: &str, pid: &str| {
        let fields = [("MESSAGE_ID", "d9b373ed55a64feb8242e02dbe79a49c"), ("UNIT", unit), ("_PID", pid)];
        entry(now, ago, &fields)
    };
    let machine = JournalMachine::with(&[
        failed(3000, "nginx.service", "1"),
        failed(2000, "forged.service", "4711"),
        entry(now, 1000, &[("MESSAGE_ID", "fc2e22bc6ee647b6b90729ab34a250b1"), ("COREDUMP_COMM", "app")]),
    ]);
    let day = 86_400_000;
    let stamp = |ago: u64| WallTime(now - ago).to_string().replace('T', " ").replace('Z', "");
    let lines = [
        format!("{} install linux-image-amd64:amd64 <none> 6.1", stamp(30 * day)),
        format!("{} upgrade tzdata:all 1 2", stamp(3 * day)),
        format!("{} install jq:amd64 <none> 1.6", stamp(2000)),
        format!("{} status installed jq:amd64 1.6", stamp(1000)),
    ];
    machine.write("var/log/dpkg.log", &lines.join("\n"));
    let report = read(machine.sources(), SectionId::Changes);
    assert_eq!(report.outcome, Outcome::Complete, "{:?}", report.sources);
    let Some(Content::Changes(changes)) = &report.content else { panic!("{report:?}") };
    let packages = changes.packages.as_ref().unwrap();
    assert_eq!((packages.last_day.installed, packages.last_day.upgraded), (1, 0));
    assert_eq!((packages.last_week.installed, packages.last_week.upgraded), (1, 1));
    assert_eq!((packages.newest, packages.kernel), (Some(WallTime(now - 2000)), Some(WallTime(now - 30 * day))));
    assert_eq!(packages.names.iter().map(Label::raw).collect::<Vec<_>>(), ["jq", "tzdata"]);
    assert_eq!((changes.boots_last_week, changes.boots.as_slice()), (Some(1), [WallTime(now - 3000)].as_slice()));
    assert_eq!(changes.failures.iter().map(|failure| failure.name.raw()).collect::<Vec<_>>(), ["nginx.service"]);
    assert_eq!((changes.failures_last_day, changes.crashes_last_day), (Some(1), Some(1)));
}
