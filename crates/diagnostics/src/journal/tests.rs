use std::sync::Arc;

use wire::{
    diagnostics::{
        findings::{Check, Verdict},
        report::{Outcome, SectionId},
    },
    time::Moment,
};

use super::*;
use crate::{Monitor, RunTools, SECTION_DEADLINE, Survey, testing::TestMachine};

/// A journalctl that has nothing to tell, and that nobody hears complain.
#[derive(Debug)]
struct Silent;

impl RunTools for Silent {
    fn start(&self, _: &Tool, _: Duration) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::empty()))
    }
}

/// What is made of crashes where nothing is printed.
fn crashes(machine: &TestMachine) -> (Outcome, Verdict) {
    let sources = Sources { tools: Arc::new(Silent), ..machine.sources() };
    let mut monitor = Monitor::new(sources.roots.clone(), Moment::default());
    let report = Survey::new(sources).read(&[SectionId::Crashes], SECTION_DEADLINE, WallTime(1));
    let outcome = report[0].outcome;
    monitor.surveyed(report, Moment::default(), WallTime(1));
    let verdict = monitor.findings().iter().find(|finding| finding.check == Check::Crashes).map(|found| found.verdict);
    (outcome, verdict.unwrap())
}

#[test]
fn a_journal_that_may_not_be_read_is_not_one_without_crashes() {
    let machine = TestMachine::new(&[("var/log/journal/5b2a/system.journal", "")]);
    assert_eq!(crashes(&machine), (Outcome::Complete, Verdict::Pass));
    let machine = TestMachine::new(&[("var/log/journal/5b2a/user-1000.journal", "")]);
    // Also for whoever may read everything, this cannot be opened.
    machine.link("var/log/journal/5b2a/system.journal", "system.journal");
    assert_eq!(crashes(&machine), (Outcome::Partial, Verdict::Unknown));
}

/// What is read of `output`, and what is wrong with it.
fn read_all(output: &[u8]) -> (Vec<Entry>, Result<(), String>) {
    let mut read = Vec::new();
    let ended = entries(output, u32::MAX, |entry| read.push(entry));
    (read, ended)
}

fn message_of(line: &str) -> Field {
    let (entries, ended) = read_all(format!("{line}\n").as_bytes());
    assert_eq!((entries.len(), ended), (1, Ok(())), "{line:.80}");
    entries[0].message.clone()
}

#[test]
fn an_entry_is_read_as_journalctl_prints_it() {
    let line = r#"{"__REALTIME_TIMESTAMP":"1795329304000999","__CURSOR":"s=1;i=2","PRIORITY":"3","_SYSTEMD_UNIT":"init.scope",
        "UNIT":"nginx.service","SYSLOG_IDENTIFIER":"systemd","_COMM":"systemd","MESSAGE":"failed","_CMDLINE":"--password=x"}"#;
    let (entries, ended) = read_all(format!("{}\n", line.replace('\n', "")).as_bytes());
    assert_eq!(ended, Ok(()));
    let entry = &entries[0];
    assert_eq!(entry.time(), WallTime(1_795_329_304_000));
    assert_eq!(entry.priority(), Some(Priority::Error));
    assert_eq!(entry.unit().unwrap().raw(), "nginx.service", "the unit it is about, not the one that wrote it");
    assert_eq!(entry.identifier().raw(), "systemd");
    assert_eq!(entry.message.text(), Some("failed"));
    assert_eq!(entry.cursor.peer_text::<256>().unwrap().raw(), "s=1;i=2");
    assert!(!format!("{entry:?}").contains("password"));
}

#[test]
fn only_the_manager_is_believed_what_an_entry_is_about() {
    let (entries, _) = read_all(b"{\"_SYSTEMD_UNIT\":\"user@1000.service\",\"UNIT\":\"sshd.service\"}\n");
    assert_eq!(entries[0].unit().unwrap().raw(), "user@1000.service");
}

#[test]
fn a_message_of_numbers_is_text_if_its_bytes_are() {
    assert_eq!(message_of(r#"{"MESSAGE":[27,91,49,109,104,105]}"#).text(), Some("\u{1b}[1mhi"));
    let binary = message_of(r#"{"MESSAGE":[255,254,0]}"#);
    assert_eq!((binary.text(), binary.is_empty()), (None, false));
}

#[test]
fn of_several_values_the_first_counts() {
    assert_eq!(message_of(r#"{"MESSAGE":["one","two"]}"#).text(), Some("one"));
    assert_eq!(message_of(r#"{"MESSAGE":[[104,105],"two"]}"#).text(), Some("hi"));
    assert_eq!(message_of(r#"{"MESSAGE":[null,"two"]}"#).text(), Some("two"));
}

#[test]
fn null_and_every_other_shape_is_no_value() {
    for value in ["null", "true", "-1", "1.5", "{}", r#"{"a":[1]}"#, "[]", "[{}]", "[300]"] {
        assert!(message_of(&format!(r#"{{"MESSAGE":{value}}}"#)).is_empty(), "{value}");
    }
}

#[test]
fn a_message_of_a_mebibyte_is_cut_at_a_character() {
    let field = message_of(&format!(r#"{{"MESSAGE":"{}"}}"#, "é".repeat(1 << 19)));
    assert!(field.is_cut());
    let text = field.text().unwrap();
    assert_eq!(text.len(), MAX_MESSAGE_BYTES);
    assert!(text.chars().all(|character| character == 'é'));

    let numbers = vec!["65"; 1 << 18].join(",");
    let field = message_of(&format!(r#"{{"MESSAGE":[{numbers}]}}"#));
    assert!(field.is_cut());
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_counted() {
    let mut output = vec![b'x'; MAX_LINE_BYTES + 1];
    output.extend_from_slice(b"\n{\"MESSAGE\":\"after\"}\n");
    let (entries, ended) = read_all(&output);
    assert_eq!(entries[0].message.text(), Some("after"));
    assert_eq!(ended.unwrap_err(), "1 entries make no sense or are too long");
}

#[test]
fn what_is_not_an_entry_is_counted_and_nothing_else_falls_over() {
    let nested = "[".repeat(100_000);
    let output =
        format!("\n[1,2]\nnot json\n{{\"MESSAGE\":{nested}\n{{\"MESSAGE\":\"x\"\u{0}}}\n{{\"PRIORITY\":\"9\"}}\n");
    let (entries, ended) = read_all(output.as_bytes());
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].priority(), None);
    assert_eq!(ended.unwrap_err(), "4 entries make no sense or are too long");
    let (entries, ended) = read_all(b"{\"MESSAGE\":\"\xff\xfe\"}\n");
    assert_eq!((entries.len(), ended.is_err()), (0, true));
}

#[test]
fn a_torn_last_line_is_not_an_entry() {
    let (entries, ended) = read_all(b"{\"MESSAGE\":\"whole\"}\n{\"MESSAGE\":\"to");
    assert_eq!(entries.len(), 1);
    assert_eq!(ended.unwrap_err(), "it ended in the middle of an entry");
}

#[test]
fn a_journal_without_end_is_given_up() {
    struct Endless;
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            buffer.fill(b'x');
            Ok(buffer.len())
        }
    }
    let mut read = 0;
    let ended = entries(Endless, u32::MAX, |_: Entry| read += 1);
    assert_eq!((read, ended.unwrap_err().as_str()), (0, "it has more than is read of it"));
}

#[test]
fn a_journal_that_is_out_of_time_is_read_as_far_as_it_came() {
    struct Stops;
    impl Read for Stops {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
    let mut read = 0;
    let ended = entries(b"{}\n".chain(Stops), u32::MAX, |_: Entry| read += 1);
    assert_eq!((read, ended.unwrap_err().as_str()), (1, "it took too long"));
}

#[test]
fn no_more_entries_are_read_than_asked_for() {
    let mut read = 0;
    assert_eq!(entries(b"{}\n{}\n{}\n".as_slice(), 2, |_: Entry| read += 1), Ok(()));
    assert_eq!(read, 2);
}
