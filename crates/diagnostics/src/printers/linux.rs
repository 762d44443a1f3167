//! Reads [`Printers`] from CUPS, over its socket or the loopback address (RFC 8011; CUPS's own operations in its "CUPS
//! Implementation of IPP").
//!
//! Of jobs only states, reasons and the queue are asked for: not a title, a user, or a place.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
};

use wire::{
    diagnostics::sections::printers::{JobState, LastJob, MAX_PRINTERS, MAX_REASONS, Printer, PrinterState, Printers},
    text::Label,
};

use super::{
    http::{Endpoint, post},
    ipp::{self, GET_JOBS, GET_PRINTERS, Group, Request},
};
use crate::{manifest::Manifest, sources::Sources};

/// Port of IPP.
const PORT: u16 = 631;

/// Most jobs that are asked for; CUPS keeps 500 by default.
const MAX_JOBS: usize = 500;

/// The address under which CUPS lists the jobs of every queue.
const EVERY_QUEUE: &str = "ipp://localhost/";

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Printers> {
    let socket = sources.roots.run.join("cups/cups.sock");
    let endpoint = if socket.exists() {
        Endpoint::Socket(socket)
    } else if sources.roots.etc.join("cups").exists() {
        Endpoint::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))
    } else {
        manifest.missing("cups", "this system does not have it");
        return None;
    };
    read_from(&endpoint, manifest)
}

/// As [`read`], from the server at `endpoint`.
fn read_from(endpoint: &Endpoint, manifest: &mut Manifest) -> Option<Printers> {
    let queues = Request::new(GET_PRINTERS).integer("limit", bound(MAX_PRINTERS + 1)).keywords(
        "requested-attributes",
        &[
            "printer-name",
            "printer-make-and-model",
            "printer-state",
            "printer-state-reasons",
            "printer-is-accepting-jobs",
            "queued-job-count",
        ],
    );
    let mut printers = manifest.keep("cups", ask(endpoint, queues))?.iter().filter_map(printer).collect::<Vec<_>>();
    printers.sort_by(|one, other| one.name.cmp(&other.name));
    manifest.bound("cups", &mut printers, MAX_PRINTERS);
    if !printers.is_empty() {
        match ask(endpoint, jobs("not-completed")) {
            Ok(jobs) => count_stuck(&mut printers, &jobs),
            Err(error) => manifest.failed("cups jobs", &error),
        }
        match ask(endpoint, jobs("completed")) {
            Ok(jobs) => add_last_jobs(&mut printers, &jobs),
            Err(error) => manifest.failed("cups jobs", &error),
        }
    }
    Some(Printers { printers })
}

fn jobs(which: &'static str) -> Request {
    Request::new(GET_JOBS)
        .uri("printer-uri", EVERY_QUEUE)
        .keywords("which-jobs", &[which])
        .integer("limit", bound(MAX_JOBS))
        .keywords("requested-attributes", &["job-id", "job-state", "job-state-reasons", "job-printer-uri"])
}

fn bound(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

fn ask(endpoint: &Endpoint, request: Request) -> io::Result<Vec<Group>> {
    /// `client-error-not-found`: how CUPS says that there are no queues.
    const NOT_FOUND: u16 = 0x0406;
    /// `client-error-forbidden`, `-not-authenticated`, `-not-authorized`.
    const REFUSALS: std::ops::RangeInclusive<u16> = 0x0401..=0x0403;
    let answer = ipp::parse(&post(endpoint, "application/ipp", &request.into_bytes())?);
    let answer = answer.ok_or(io::ErrorKind::InvalidData)?;
    match answer.status {
        0..=0xff => Ok(answer.groups),
        NOT_FOUND => Ok(Vec::new()),
        status if REFUSALS.contains(&status) => Err(io::ErrorKind::PermissionDenied.into()),
        _ => Err(io::Error::other("the print service refused the question")),
    }
}

fn printer(group: &Group) -> Option<Printer> {
    let first = |name: &str| group.texts(name).next().unwrap_or_default();
    let name = Label::cut(first("printer-name"));
    (!name.is_blank()).then(|| Printer {
        name,
        model: Label::cut(first("printer-make-and-model")),
        state: match group.number("printer-state") {
            Some(3) => PrinterState::Idle,
            Some(4) => PrinterState::Processing,
            Some(5) => PrinterState::Stopped,
            _ => PrinterState::Other,
        },
        reasons: reasons(group, "printer-state-reasons"),
        accepting: group.truth("printer-is-accepting-jobs"),
        queued_jobs: group.number("queued-job-count").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        stuck_jobs: 0,
        last_job: None,
    })
}

/// `none` is the keyword for no reason.
fn reasons(group: &Group, name: &str) -> Vec<Label> {
    group.texts(name).filter(|word| *word != "none").take(MAX_REASONS).map(Label::cut).collect()
}

fn count_stuck(printers: &mut [Printer], jobs: &[Group]) {
    for job in jobs {
        let stuck = matches!(state(job), JobState::Held | JobState::Stopped);
        if let Some(printer) = queue_of(job).and_then(|queue| printers.iter_mut().find(|p| p.name == queue)) {
            printer.stuck_jobs += u32::from(stuck);
        }
    }
}

/// Ids grow, so the job with the highest is the newest.
fn add_last_jobs(printers: &mut [Printer], jobs: &[Group]) {
    let mut newest = BTreeMap::<Label, (i32, &Group)>::new();
    for job in jobs {
        let (Some(queue), Some(id)) = (queue_of(job), job.number("job-id")) else { continue };
        let known = newest.entry(queue).or_insert((id, job));
        if known.0 < id {
            *known = (id, job);
        }
    }
    for printer in printers {
        let job = newest.get(&printer.name).map(|(_, job)| job);
        printer.last_job = job.map(|job| LastJob { state: state(job), reasons: reasons(job, "job-state-reasons") });
    }
}

fn state(job: &Group) -> JobState {
    match job.number("job-state") {
        Some(3) => JobState::Pending,
        Some(4) => JobState::Held,
        Some(5) => JobState::Processing,
        Some(6) => JobState::Stopped,
        Some(7) => JobState::Cancelled,
        Some(8) => JobState::Aborted,
        Some(9) => JobState::Completed,
        _ => JobState::Other,
    }
}

/// The queue is the last part of the address, with `%` and two hexadecimal digits for some bytes (RFC 3986 section 2.1).
fn queue_of(job: &Group) -> Option<Label> {
    let (_, queue) = job.texts("job-printer-uri").next()?.rsplit_once('/')?;
    let mut bytes = queue.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'%' => u8::from_str_radix(std::str::from_utf8(&[bytes.next()?, bytes.next()?]).ok()?, 16).ok()?,
            byte => byte,
        });
    }
    Some(Label::cut(&String::from_utf8_lossy(&name)))
}

#[cfg(test)]
mod tests;
