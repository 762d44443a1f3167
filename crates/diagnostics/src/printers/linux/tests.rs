//! A print service of the test's own: it answers each question with bytes that the test wrote.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    sync::mpsc,
    thread,
};

use wire::diagnostics::report::Coverage;

use super::*;
use crate::{
    survey::STACK_BYTES,
    testing::{Printing, Tree, told},
};

const NAME: u8 = 0x42;
const KEYWORD: u8 = 0x44;
const URI: u8 = 0x45;
const INTEGER: u8 = 0x21;
const ENUM: u8 = 0x23;

fn attribute(tag: u8, name: &str, value: &[u8]) -> Vec<u8> {
    let length = |part: &[u8]| u16::try_from(part.len()).unwrap().to_be_bytes();
    [&[tag], &length(name.as_bytes())[..], name.as_bytes(), &length(value), value].concat()
}

/// An answer of groups, each a delimiter and its attributes.
fn answer(status: u16, groups: &[(u8, Vec<Vec<u8>>)]) -> Vec<u8> {
    let [high, low] = status.to_be_bytes();
    let mut bytes = vec![2, 0, high, low, 0, 0, 0, 1, 1];
    bytes.extend(attribute(0x47, "attributes-charset", b"utf-8"));
    for (delimiter, attributes) in groups {
        bytes.push(*delimiter);
        bytes.extend(attributes.concat());
    }
    bytes.push(3);
    bytes
}

fn queue(name: &str, state: i32, reason: &str, queued: i32) -> (u8, Vec<Vec<u8>>) {
    let attributes = vec![
        attribute(NAME, "printer-name", name.as_bytes()),
        attribute(0x41, "printer-make-and-model", b"HP LaserJet 4"),
        attribute(ENUM, "printer-state", &state.to_be_bytes()),
        attribute(KEYWORD, "printer-state-reasons", reason.as_bytes()),
        attribute(INTEGER, "queued-job-count", &queued.to_be_bytes()),
    ];
    (4, attributes)
}

fn job(id: i32, queue: &str, state: i32, reason: &str) -> (u8, Vec<Vec<u8>>) {
    let attributes = vec![
        attribute(INTEGER, "job-id", &id.to_be_bytes()),
        attribute(ENUM, "job-state", &state.to_be_bytes()),
        attribute(KEYWORD, "job-state-reasons", reason.as_bytes()),
        attribute(URI, "job-printer-uri", format!("ipp://localhost/printers/{queue}").as_bytes()),
    ];
    (2, attributes)
}

/// Answers `count` questions over what `accept` gives, and hands on what was asked.
fn serve<S: Read + Write>(
    mut accept: impl FnMut() -> S + Send + 'static,
    answers: Vec<Vec<u8>>,
) -> mpsc::Receiver<Vec<u8>> {
    let (tell, asked) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let mut stream = accept();
            let mut question = Vec::new();
            let mut buffer = [0; 4096];
            // A question ends with the tag that ends its attributes.
            while question.last() != Some(&3) {
                let count = stream.read(&mut buffer).unwrap();
                question.extend_from_slice(&buffer[..count]);
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n", answer.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
            tell.send(question).unwrap();
        }
    });
    asked
}

fn over_tcp(answers: Vec<Vec<u8>>) -> (Endpoint, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Address(listener.local_addr().unwrap());
    (endpoint, serve(move || listener.accept().unwrap().0, answers))
}

#[test]
fn a_stopped_printer_shows_why_and_how_its_last_job_ended() {
    let (endpoint, asked) = over_tcp(vec![
        answer(0, &[queue("office", 5, "media-empty-error", 3), queue("Büro 2", 3, "none", 0)]),
        answer(0, &[job(9, "office", 6, "printer-stopped"), job(10, "office", 3, "none"), job(11, "gone", 4, "none")]),
        answer(
            0,
            &[
                job(7, "office", 8, "aborted-by-system"),
                job(5, "office", 9, "none"),
                job(6, "B%C3%BCro%202", 9, "none"),
            ],
        ),
    ]);
    let mut manifest = Manifest::default();
    let printers = read_from(&endpoint, &mut manifest).unwrap().printers;
    let names = printers.iter().map(|printer| printer.name.raw()).collect::<Vec<_>>();
    assert_eq!(names, ["Büro 2", "office"]);
    let office = &printers[1];
    assert_eq!((office.state, office.queued_jobs, office.stuck_jobs), (PrinterState::Stopped, 3, 1));
    assert_eq!((office.model.raw(), office.reasons[0].raw()), ("HP LaserJet 4", "media-empty-error"));
    let last = office.last_job.as_ref().unwrap();
    assert_eq!((last.state, last.reasons[0].raw()), (JobState::Aborted, "aborted-by-system"));
    assert_eq!((printers[0].reasons.len(), printers[0].last_job.as_ref().unwrap().state), (0, JobState::Completed));
    assert_eq!(told(manifest), [("cups".to_owned(), Coverage::Read, String::new())]);

    let questions = asked.iter().map(|question| String::from_utf8_lossy(&question).into_owned()).collect::<String>();
    for private in ["job-name", "user", "host-name", "device-uri", "printer-location", "document"] {
        assert!(!questions.contains(private), "{private} was asked for");
    }
}

#[test]
fn the_socket_of_the_machine_is_asked_before_anything_else() {
    let tree = Tree::new();
    std::fs::create_dir_all(tree.at("run/cups")).unwrap();
    let listener = UnixListener::bind(tree.at("run/cups/cups.sock")).unwrap();
    let asked = serve(move || listener.accept().unwrap().0, vec![answer(0x0406, &[])]);
    let mut manifest = Manifest::default();
    let printers = read(&tree.sources(Printing::default()), &mut manifest);
    assert_eq!(printers, Some(Printers::default()), "a print service without queues");
    assert!(asked.recv().unwrap().starts_with(b"POST / HTTP/1.1\r\n"));
}

#[test]
fn a_machine_without_a_print_service_has_no_section() {
    let mut manifest = Manifest::default();
    assert_eq!(read(&Tree::new().sources(Printing::default()), &mut manifest), None);
    assert_eq!(told(manifest)[0].2, "this system does not have it");
}

#[test]
fn a_print_service_that_does_not_run_or_does_not_tell_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Address(listener.local_addr().unwrap());
    drop(listener);
    let mut manifest = Manifest::default();
    assert_eq!(read_from(&endpoint, &mut manifest), None);
    assert_eq!(told(manifest)[0].1, Coverage::Missing);

    let (endpoint, _asked) =
        over_tcp(vec![answer(0, &[queue("office", 3, "none", 1)]), answer(0x0403, &[]), b"nonsense".to_vec()]);
    let mut manifest = Manifest::default();
    let printers = read_from(&endpoint, &mut manifest).unwrap().printers;
    assert_eq!((printers.len(), printers[0].last_job.is_none()), (1, true));
    let jobs = ("cups jobs".to_owned(), Coverage::Missing, "permission denied".to_owned());
    assert!(told(manifest).contains(&jobs));
}

#[test]
fn a_print_service_that_never_answers_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Address(listener.local_addr().unwrap());
    let error = ask(&endpoint, Request::new(GET_PRINTERS)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn a_print_service_that_only_ever_says_that_more_comes_is_given_up() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = Endpoint::Address(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let heads = b"HTTP/1.1 100\r\n\r\n".repeat((1 << 20) / 16);
        // Whoever asked is gone before all of it is sent.
        let _cut = stream.write_all(&heads);
    });
    // As little room as the threads have that sections are read on.
    let asks = thread::Builder::new().stack_size(STACK_BYTES);
    let asked = asks.spawn(move || ask(&endpoint, Request::new(GET_PRINTERS))).unwrap().join().unwrap();
    assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::InvalidData);
    server.join().unwrap();
}

#[test]
fn names_of_queues_are_taken_out_of_addresses_that_make_sense() {
    let of = |uri: &str| {
        let bytes = answer(0, &[(2, vec![attribute(URI, "job-printer-uri", uri.as_bytes())])]);
        queue_of(&ipp::parse(&bytes).unwrap().groups[0]).map(|name| name.raw().to_owned())
    };
    assert_eq!(of("ipp://localhost/printers/a%20b").as_deref(), Some("a b"));
    for odd in
        ["office", "ipp://localhost/printers/%", "ipp://localhost/printers/%4", "ipp://localhost/printers/%zz", "/%é"]
    {
        assert_eq!(of(odd), None, "{odd}");
    }
    assert_eq!(of("ipp://localhost/printers/%ff").as_deref(), Some("\u{fffd}"));
}
