//! `assent run`.

use std::{ffi::OsString, io::IsTerminal as _, os::unix::ffi::OsStringExt as _};

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use wire::{
    ids::Digest,
    run::{OutputCount, RunOutcome},
    session::{DenyReason, EndReason, Output},
    text::Sentence,
};

use crate::{
    cli::RunArgs,
    escape::Filter,
    exit::Exit,
    local::{
        client::{ClientError, Conversation},
        protocol::{Ask, Bytes, Reply, RunAsk},
    },
    output,
    place::Places,
    problem::Problem,
    signals::{Signals, Stop},
    units, words,
};

const NOT_RUN: &str = "the command was not run";

/// SIGPIPE: how a program ends whose output nobody reads.
const BROKEN_PIPE: u8 = 13;

/// Asks for one run, passes its output on, and ends as it does.
pub(super) async fn run(args: RunArgs, places: &Places) -> Result<Exit, Problem> {
    let session = super::wanted(&args.session).map(str::to_owned);
    let printer = Printer::new(&args);
    let ask = Ask::Run(ask(args)?);
    let mut signals = Signals::new().map_err(|error| super::output_problem(&error))?;
    let conversation = Conversation::begin(&places.runtime, session.as_deref(), ask)
        .await
        .map_err(|error| super::client_problem(&error, NOT_RUN))?;
    let mut follower = Follower { conversation, printer, cancelled: false, started: false };
    loop {
        // The signal is taken while output is being written as well: a reader that stands still must not hold it up.
        let stop = tokio::select! {
            biased;
            stop = signals.next() => stop,
            exit = follower.follow() => return exit,
        };
        if let Some(exit) = follower.stop(stop).await {
            return Ok(exit);
        }
    }
}

fn ask(args: RunArgs) -> Result<RunAsk, Problem> {
    let environment = args.environment.into_iter().map(variable).collect::<Result<Vec<_>, _>>()?;
    let bytes = |text: OsString| Bytes(text.into_vec());
    Ok(RunAsk {
        reason: Sentence::cut(&args.reason.unwrap_or_default()),
        command: args.command.into_iter().map(bytes).collect(),
        directory: args.cwd.map(bytes),
        environment,
        time_secs: u32::try_from(args.timeout.as_secs()).unwrap_or(u32::MAX),
        output_bytes: args.output_limit,
        memory_mib: args.memory,
    })
}

fn variable(text: OsString) -> Result<(Bytes, Bytes), Problem> {
    let bytes = text.into_vec();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) if at > 0 => {
            let value = bytes.get(at + 1..).unwrap_or_default().to_vec();
            let name = bytes.get(..at).unwrap_or_default().to_vec();
            Ok((Bytes(name), Bytes(value)))
        }
        Some(_) | None => {
            let happened = format!("--env {} is not NAME=VALUE", wire::text::shown_bytes(&bytes));
            Err(Problem::new(Exit::Usage, happened, NOT_RUN, "Write it as --env LANG=C."))
        }
    }
}

struct Follower {
    conversation: Conversation,
    printer: Printer,
    cancelled: bool,
    started: bool,
}

impl Follower {
    /// Goes on to the end. Dropped in the middle and called again it goes on where it was.
    async fn follow(&mut self) -> Result<Exit, Problem> {
        loop {
            if self.printer.flush().await.is_err() {
                // Nobody reads any more; leaving cancels the run.
                return Ok(Exit::Signal(BROKEN_PIPE));
            }
            let not_done = if self.started { "the rest of the output is lost; the run is cancelled" } else { NOT_RUN };
            let reply = self.conversation.next().await.map_err(|error| super::client_problem(&error, not_done))?;
            if matches!(reply, Reply::Started { .. }) {
                self.started = true;
            }
            if let Some(exit) = self.printer.take(reply, self.started)? {
                return match self.printer.flush().await {
                    Ok(()) => Ok(exit),
                    Err(_) => Ok(Exit::Signal(BROKEN_PIPE)),
                };
            }
        }
    }

    /// Ctrl-C cancels; everything else, and a second Ctrl-C, leaves.
    async fn stop(&mut self, stop: Stop) -> Option<Exit> {
        let leave = Some(Exit::Signal(stop.number()));
        if stop != Stop::Interrupt || std::mem::replace(&mut self.cancelled, true) {
            return leave;
        }
        if self.conversation.cancel().await.is_err() {
            return leave;
        }
        self.printer.say("cancelling… (Ctrl-C again leaves without waiting)");
        None
    }
}

/// Writes what comes. What is not written yet is kept, so that writing can be interrupted.
struct Printer {
    form: Form,
    quiet: bool,
    stdout: Lane<tokio::io::Stdout>,
    stderr: Lane<tokio::io::Stderr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Streams,
    Json,
}

struct Lane<W> {
    to: W,
    /// Present if a person reads it directly.
    filter: Option<Filter>,
    unwritten: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> Lane<W> {
    fn put(&mut self, bytes: Vec<u8>) {
        match &mut self.filter {
            Some(filter) => self.unwritten.extend_from_slice(filter.push(&bytes).as_bytes()),
            None if self.unwritten.is_empty() => self.unwritten = bytes,
            None => self.unwritten.extend_from_slice(&bytes),
        }
    }

    fn finish(&mut self) {
        if let Some(filter) = &mut self.filter {
            self.unwritten.extend_from_slice(filter.finish().as_bytes());
        }
    }

    /// Cancel safe: what was taken is not written twice.
    async fn flush(&mut self) -> std::io::Result<()> {
        while !self.unwritten.is_empty() {
            let written = self.to.write(&self.unwritten).await?;
            self.unwritten.drain(..written);
        }
        self.to.flush().await
    }
}

impl Printer {
    fn new(args: &RunArgs) -> Self {
        let filter = |terminal: bool| (terminal && !args.raw && !args.json).then(Filter::default);
        let (stdout, stderr) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        Self {
            form: if args.json { Form::Json } else { Form::Streams },
            quiet: args.quiet,
            stdout: Lane { to: tokio::io::stdout(), filter: filter(stdout), unwritten: Vec::new() },
            stderr: Lane { to: tokio::io::stderr(), filter: filter(stderr), unwritten: Vec::new() },
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        self.stdout.flush().await?;
        self.stderr.flush().await
    }

    /// Tells the person how far it is.
    fn say(&mut self, text: &str) {
        if self.form == Form::Streams && !self.quiet {
            self.note(text);
        }
    }

    /// Tells the person something that they must not miss.
    fn note(&mut self, text: &str) {
        self.stderr.unwritten.extend_from_slice(format!("assent: {text}\n").as_bytes());
    }

    fn json(&mut self, event: &Event<'_>) {
        self.stdout.unwritten.extend_from_slice(output::json_line(event).as_bytes());
    }

    /// Takes a reply; returns how to end if it is the last.
    fn take(&mut self, reply: Reply, started: bool) -> Result<Option<Exit>, Problem> {
        if self.form == Form::Json {
            return self.take_json(reply);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
        match reply {
            Reply::Asking { answer_within_secs } => {
                self.say(&format!(
                    "asking the end user… ({answer_within_secs} s to answer; Ctrl-C withdraws the question)"
                ));
            }
            Reply::Started { .. } => self.say("the end user allowed it; running"),
            Reply::Output { output: Output::Stdout, bytes: Bytes(bytes) } => self.stdout.put(bytes),
            Reply::Output { output: Output::Stderr, bytes: Bytes(bytes) } => self.stderr.put(bytes),
            Reply::Denied { reason } => return Err(denied(reason)),
            Reply::Ended { reason } => return Err(ended(reason, started)),
            Reply::Finished { outcome, stdout, stderr, lost_bytes } => {
                self.stdout.finish();
                self.stderr.finish();
                self.marker("standard output", stdout);
                self.marker("standard error", stderr);
                if lost_bytes > 0 {
                    self.note(&format!("[lost: {lost_bytes} bytes of output did not arrive]"));
                }
                if !matches!(outcome, RunOutcome::Exited { .. }) {
                    self.note(&words::outcome(&outcome));
                }
                return Ok(Some(Exit::of_outcome(&outcome)));
            }
            _ => return Err(super::client_problem(&ClientError::Unexpected, NOT_RUN)),
        }
        Ok(None)
    }

    fn marker(&mut self, name: &str, count: OutputCount) {
        if count.cut_bytes() > 0 {
            self.note(&format!(
                "[cut: {name} has {} of {} bytes written; {} bytes ({}) were not sent, see --output-limit]",
                count.sent_bytes,
                count.written_bytes,
                count.cut_bytes(),
                units::bytes(count.cut_bytes())
            ));
        }
    }

    fn take_json(&mut self, reply: Reply) -> Result<Option<Exit>, Problem> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other reply belongs to another question")]
        let (event, exit) = match &reply {
            Reply::Asking { answer_within_secs } => (Event::Asking { answer_within_secs: *answer_within_secs }, None),
            Reply::Started { digest } => (Event::Started { digest: *digest }, None),
            Reply::Output { output, bytes } => {
                let stream = match output {
                    Output::Stdout => "stdout",
                    Output::Stderr => "stderr",
                };
                match std::str::from_utf8(&bytes.0) {
                    Ok(text) => (Event::Output { stream, text: Some(text), base64: None }, None),
                    Err(_) => (Event::Output { stream, text: None, base64: Some(bytes) }, None),
                }
            }
            Reply::Denied { reason } => {
                let exit = Exit::of_denial(*reason);
                (Event::Denied { reason: *reason, text: reason.to_string(), exit: exit.code() }, Some(exit))
            }
            Reply::Ended { reason } => {
                let exit = Exit::of_end(*reason);
                (Event::SessionEnded { reason: *reason, text: reason.to_string(), exit: exit.code() }, Some(exit))
            }
            Reply::Finished { outcome, stdout, stderr, lost_bytes } => {
                let exit = Exit::of_outcome(outcome);
                let event = Event::Finished {
                    outcome,
                    text: words::outcome(outcome),
                    exit: exit.code(),
                    stdout: (*stdout).into(),
                    stderr: (*stderr).into(),
                    lost_bytes: *lost_bytes,
                };
                (event, Some(exit))
            }
            _ => return Err(super::client_problem(&ClientError::Unexpected, NOT_RUN)),
        };
        self.json(&event);
        Ok(exit)
    }
}

fn denied(reason: DenyReason) -> Problem {
    let next = match reason {
        DenyReason::ProgramNotFound => "Give the program's full path on that machine, or another name.",
        DenyReason::NoDirectory => "Give a directory that exists on that machine.",
        DenyReason::NotVerified => "Read the two words of assent status out to the end user, who types them in.",
        DenyReason::ByUser
        | DenyReason::NoAnswer
        | DenyReason::NoPrompt
        | DenyReason::Ceiling
        | DenyReason::Policy
        | DenyReason::TooMany
        | DenyReason::Away
        | DenyReason::Malformed
        | DenyReason::Proposal(_)
        | DenyReason::ProgramNotExecutable
        | DenyReason::Withdrawn
        | DenyReason::TooSoon
        | DenyReason::NotYet
        | _ => "Talk to the end user before you ask again.",
    };
    Problem::new(Exit::of_denial(reason), reason.to_string(), NOT_RUN, next)
}

fn ended(reason: EndReason, started: bool) -> Problem {
    let not_done = if started { "the run was killed before it was done" } else { NOT_RUN };
    let next = "Ask the end user for a new code and attach again.";
    Problem::new(Exit::of_end(reason), reason.to_string(), not_done, next)
}

/// What happens, for scripts.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Asking {
        answer_within_secs: u32,
    },
    Started {
        digest: Digest,
    },
    Output {
        stream: &'static str,
        /// If the piece is UTF-8.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<&'a str>,
        /// If it is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<&'a Bytes>,
    },
    Finished {
        outcome: &'a RunOutcome,
        text: String,
        exit: u8,
        stdout: Count,
        stderr: Count,
        lost_bytes: u64,
    },
    Denied {
        reason: DenyReason,
        text: String,
        exit: u8,
    },
    SessionEnded {
        reason: EndReason,
        text: String,
        exit: u8,
    },
}

#[derive(Serialize)]
struct Count {
    sent_bytes: u64,
    written_bytes: u64,
    cut_bytes: u64,
}

impl From<OutputCount> for Count {
    fn from(count: OutputCount) -> Self {
        Self { sent_bytes: count.sent_bytes, written_bytes: count.written_bytes, cut_bytes: count.cut_bytes() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printer(json: bool) -> Printer {
        Printer {
            form: if json { Form::Json } else { Form::Streams },
            quiet: false,
            stdout: Lane { to: tokio::io::stdout(), filter: None, unwritten: Vec::new() },
            stderr: Lane { to: tokio::io::stderr(), filter: None, unwritten: Vec::new() },
        }
    }

    #[tokio::test]
    async fn output_stays_apart_and_unchanged_and_a_cut_is_marked() {
        let mut printer = printer(false);
        let nasty = b"\x1b[2J\xff\0\r".to_vec();
        let piece = |output, bytes: &[u8]| Reply::Output { output, bytes: Bytes(bytes.to_vec()) };
        assert!(printer.take(piece(Output::Stdout, &nasty), true).unwrap().is_none());
        assert!(printer.take(piece(Output::Stderr, b"oops\n"), true).unwrap().is_none());
        let exit = printer.take(
            Reply::Finished {
                outcome: RunOutcome::Exited { code: 7 },
                stdout: OutputCount { sent_bytes: 6, written_bytes: 2054 },
                stderr: OutputCount { sent_bytes: 5, written_bytes: 5 },
                lost_bytes: 0,
            },
            true,
        );
        assert_eq!(exit.unwrap(), Some(Exit::Program(7)));
        assert_eq!(printer.stdout.unwritten, nasty);
        let stderr = String::from_utf8(printer.stderr.unwritten).unwrap();
        assert_eq!(
            stderr,
            "oops\nassent: [cut: standard output has 6 of 2054 bytes written; 2048 bytes (2.0 KiB) were not sent, see --output-limit]\n"
        );
    }

    #[tokio::test]
    async fn a_terminal_is_shown_what_would_act_on_it() {
        let mut printer = printer(false);
        printer.stdout.filter = Some(Filter::default());
        let bytes = Bytes(b"\x1b[31mred\n".to_vec());
        printer.take(Reply::Output { output: Output::Stdout, bytes }, true).unwrap();
        assert_eq!(String::from_utf8(printer.stdout.unwritten).unwrap(), "\\u{1b}[31mred\n");
    }

    #[tokio::test]
    async fn scripts_get_text_as_text_and_other_bytes_as_base64() {
        let mut printer = printer(true);
        for bytes in [&b"plain\n"[..], b"\xff"] {
            printer.take(Reply::Output { output: Output::Stdout, bytes: Bytes(bytes.to_vec()) }, true).unwrap();
        }
        let denied = printer.take(Reply::Denied { reason: DenyReason::ByUser }, false);
        assert_eq!(denied.unwrap(), Some(Exit::Denied));
        let lines = String::from_utf8(printer.stdout.unwritten).unwrap();
        let lines = lines.lines().collect::<Vec<_>>();
        assert_eq!(lines[0], r#"{"event":"output","stream":"stdout","text":"plain\n"}"#);
        assert_eq!(lines[1], r#"{"event":"output","stream":"stdout","base64":"/w=="}"#);
        assert_eq!(lines[2], r#"{"event":"denied","reason":"by_user","text":"the end user said no","exit":3}"#);
    }

    #[test]
    fn a_variable_needs_a_name() {
        assert_eq!(variable("A=b=c".into()).unwrap(), (Bytes(b"A".to_vec()), Bytes(b"b=c".to_vec())));
        assert_eq!(variable("A=".into()).unwrap(), (Bytes(b"A".to_vec()), Bytes(Vec::new())));
        for wrong in ["A", "=b", ""] {
            assert_eq!(variable(wrong.into()).unwrap_err().exit(), 2, "{wrong}");
        }
    }
}
