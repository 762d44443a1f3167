//! What is said on the socket: one [`Hello`] from the command, then [`Reply`]s until the connection closes.
//!
//! Both ends are the same program, perhaps of different versions while one is being updated: the version is checked first. The
//! socket is private to one user, and still each side bounds what it reads.

use serde::{Deserialize, Serialize};
use wire::{
    diagnostics::{
        IdentityCard, Snapshot, View,
        findings::Finding,
        inspect::{Inspect, Inspected},
        sections::logs::LogQuery,
    },
    ids::Digest,
    run::{OutputCount, RunOutcome},
    session::{Ability, DenyReason, EndReason, Output},
    text::Sentence,
};

use crate::status::Status;

/// Version of this protocol; both sides must have the same.
pub(crate) const VERSION: u32 = 3;

/// Longest line from a command: a run of [`wire::limits::RUN_SPEC_BYTES`] in base64 and what surrounds it.
pub(crate) const REQUEST_LINE_BYTES: usize = 128 * 1024;

/// Longest line from the session's process: a report of [`wire::diagnostics::report::REPORT_BYTES`], whose numbers take a byte there and
/// some twenty as text.
pub(crate) const REPLY_LINE_BYTES: usize = 24 * 1024 * 1024;

/// Most bytes of a run's output in one [`Reply::Output`].
pub(crate) const OUTPUT_PIECE_BYTES: usize = 32 * 1024;

/// First line of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hello {
    /// [`VERSION`].
    pub(crate) version: u32,
    /// What it wants.
    pub(crate) ask: Ask,
}

/// What a command wants of the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// How it stands. Answered with one [`Reply::Status`].
    Status,
    /// The identity card and the newest reading that has all of this, then every new one until the command goes away.
    Diagnostics(View),
    /// One run. Answered with [`Reply::Asking`] and so on to [`Reply::Finished`] or [`Reply::Denied`]. If the command goes
    /// away before that, the run is cancelled: nobody would read its output.
    Run(RunAsk),
    /// Something to be read once. Answered with [`Reply::Inspected`] or [`Reply::Denied`], and before with [`Reply::Asking`] and
    /// [`Reply::Granted`] if the end user is asked first. If the command goes away before that, it is taken back.
    Inspect(Inspect),
    /// Lines of the log, and then those that come, until the command goes away. Each page is a [`Reply::Inspected`]; where there can be none
    /// for a while, a [`Reply::Flow`] says why. Ends with [`Reply::Denied`] or [`Reply::Ended`].
    Follow(LogQuery),
    /// More abilities.
    Request(RequestAsk),
    /// End the session. Answered with [`Reply::Ended`].
    End,
}

/// A run as the technician typed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunAsk {
    /// Why.
    pub(crate) reason: Sentence,
    /// Program and arguments.
    pub(crate) command: Vec<Bytes>,
    /// Directory to run in.
    pub(crate) directory: Option<Bytes>,
    /// Names and values.
    pub(crate) environment: Vec<(Bytes, Bytes)>,
    /// Seconds.
    pub(crate) time_secs: u32,
    /// Bytes of each output.
    pub(crate) output_bytes: u64,
    /// Mebibytes.
    pub(crate) memory_mib: u32,
}

/// A request for abilities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestAsk {
    /// What.
    pub(crate) abilities: Vec<Ability>,
    /// Why.
    pub(crate) reason: Sentence,
    /// Seconds.
    pub(crate) stay_secs: u32,
}

/// A later line of a command that waits for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum More {
    /// Withdraw the question or stop the run; go on until it is over.
    Cancel,
}

/// What the session's process says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// How the session stands.
    Status(Box<Status>),
    /// What the machine is.
    Card(Box<IdentityCard>),
    /// What all checks answered, the worst first. Before the first reading, and when it has changed.
    Findings(Vec<Finding>),
    /// Whether readings come. Said first, and whenever it changes.
    Flow(Flow),
    /// A reading.
    Sample {
        /// Milliseconds since it came.
        age_ms: u64,
        /// The reading.
        sample: Box<Snapshot>,
    },
    /// What was read.
    Inspected(Box<Inspected>),
    /// The end user is being asked.
    Asking {
        /// Silence counts as no after this.
        answer_within_secs: u32,
    },
    /// The end user said yes.
    Granted {
        /// To what, perhaps less than was asked for.
        abilities: Vec<Ability>,
        /// For how long.
        stay_secs: u32,
    },
    /// The answer is no.
    Denied {
        /// Why.
        reason: DenyReason,
    },
    /// The program was started.
    Started {
        /// Digest of what the end user approved.
        digest: Digest,
    },
    /// A piece of the run's output.
    Output {
        /// Which output.
        output: Output,
        /// At most [`OUTPUT_PIECE_BYTES`].
        bytes: Bytes,
    },
    /// The run is over and all its output was sent.
    Finished {
        /// How.
        outcome: RunOutcome,
        /// Standard output.
        stdout: OutputCount,
        /// Standard error.
        stderr: OutputCount,
        /// Bytes of both outputs that got lost between the session's process and this command.
        lost_bytes: u64,
    },
    /// The session is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
    /// The command's own fault, or it was too slow. Nothing follows.
    Refused {
        /// Why.
        reason: RefusedReason,
    },
}

/// Whether readings come, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flow {
    /// They come, or are about to.
    Flowing,
    /// The end user has not answered the first question.
    NotAnswered,
    /// Nothing allows them.
    NotAllowed,
    /// The end user is away.
    Paused,
    /// The connection is being restored.
    Reconnecting,
}

/// Why the session's process does not serve a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefusedReason {
    /// The two programs do not speak the same version.
    #[error("the session belongs to another version of this program (its protocol has version {theirs})")]
    Version {
        /// The session process's version.
        theirs: u32,
    },
    /// A line was no request, or too long.
    #[error("the session's process did not understand the request")]
    Malformed,
    /// The bounded number of commands is connected.
    #[error("too many commands are using this session at once")]
    TooMany,
    /// The command did not read what it asked for.
    #[error("this command read too slowly and was cut off")]
    TooSlow,
    /// The session's first question is still open, or the connection is being restored.
    #[error("the session is not ready: {0}")]
    NotReady(NotReady),
    /// As many questions are open as the end user's machine takes.
    #[error("too many questions are waiting for an answer")]
    TooManyQuestions,
    /// More was asked for in a short time than the end user's machine takes for what a person does.
    #[error("too much was asked for in too short a time")]
    TooFast,
    /// The run or request cannot be put into a message.
    #[error("{detail}")]
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NotReady {
    /// The first answer.
    #[error("the end user has not answered the first question yet")]
    NotAnswered,
    /// The end user.
    #[error("the end user is away")]
    Paused,
    /// A path.
    #[error("the connection is being restored")]
    Reconnecting,
    /// Nothing any more.
    #[error("the session is over")]
    Over,
}

/// Bytes that JSON carries as base64, because arguments and output need not be text.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", wire::text::shown_bytes(&self.0))
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest_name() -> wire::text::Label {
        wire::text::Label::cut(&"\u{1}".repeat(128))
    }

    #[test]
    fn a_request_survives_the_socket_byte_for_byte() {
        let ask = Ask::Run(RunAsk {
            reason: Sentence::cut("why\nnot"),
            command: vec![Bytes(b"printf".to_vec()), Bytes(vec![0xff, 0x00, b'\n'])],
            directory: Some(Bytes(b"/tmp".to_vec())),
            environment: vec![(Bytes(b"A".to_vec()), Bytes(vec![0x80]))],
            time_secs: 60,
            output_bytes: 1 << 20,
            memory_mib: 512,
        });
        let hello = Hello { version: VERSION, ask };
        let line = serde_json::to_string(&hello).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Hello>(&line).unwrap(), hello);
    }

    #[test]
    fn the_largest_request_and_reading_fit_into_a_line() {
        let argument = Bytes(vec![0xff; wire::limits::RUN_SPEC_BYTES]);
        let ask = Ask::Run(RunAsk {
            reason: Sentence::cut(&"\u{1}".repeat(512)),
            command: vec![argument],
            directory: None,
            environment: Vec::new(),
            time_secs: u32::MAX,
            output_bytes: u64::MAX,
            memory_mib: u32::MAX,
        });
        assert!(serde_json::to_string(&ask).unwrap().len() < REQUEST_LINE_BYTES);

        use wire::diagnostics::{
            Core, Disk, Fan, Filesystem, FilesystemState, MAX_CORES, MAX_ROWS, MAX_STUCK, MAX_UNREADABLE, Network,
            PowerDraw, Process, Stuck, TOP_PROCESSES, Temperature, Unreadable,
        };
        let (label, most) = (longest_name(), u64::MAX);
        let core = Core { busy_permille: u16::MAX, iowait_permille: u16::MAX, steal_permille: u16::MAX };
        let process = Process {
            pid: u32::MAX,
            start_ticks: most,
            name: label.clone(),
            owner: label.clone(),
            cpu_permille: u32::MAX,
            resident_kib: most,
            threads: u32::MAX,
            state: '\u{1}',
            read_kib_s: Some(u32::MAX),
            write_kib_s: Some(u32::MAX),
        };
        let filesystem = Filesystem {
            mount: label.clone(),
            kind: label.clone(),
            total_kib: most,
            available_kib: most,
            inodes_total: most,
            inodes_free: most,
            state: FilesystemState::Unresponsive,
        };
        let disk = Disk {
            name: label.clone(),
            read_kib_s: u32::MAX,
            write_kib_s: u32::MAX,
            requests_s: u32::MAX,
            await_us: u32::MAX,
            busy_permille: u16::MAX,
            read_await_us: u32::MAX,
            write_await_us: u32::MAX,
            in_flight: u32::MAX,
            backlog_ms_s: u32::MAX,
            flushes_s: u32::MAX,
            flush_await_us: u32::MAX,
        };
        let network = Network {
            name: label.clone(),
            up: false,
            rx_bytes_s: most,
            tx_bytes_s: most,
            errors: most,
            drops: most,
            rx_packets_s: u32::MAX,
            tx_packets_s: u32::MAX,
            errors_s: u32::MAX,
            drops_s: u32::MAX,
        };
        let fan = Fan { label: label.clone(), rpm: u32::MAX };
        let power = PowerDraw { label: label.clone(), milliwatts: u32::MAX };
        let stuck = Stuck { pid: u32::MAX, name: label.clone() };
        let temperature = Temperature { label: label.clone(), deci_celsius: i32::MIN };
        let unreadable = Unreadable { source: label, reason: Sentence::cut(&"\u{1}".repeat(512)) };
        let full = Snapshot {
            cores: vec![core; MAX_CORES],
            filesystems: vec![filesystem; MAX_ROWS],
            disks: vec![disk; MAX_ROWS],
            networks: vec![network; MAX_ROWS],
            temperatures: vec![temperature; MAX_ROWS],
            fans: vec![fan; MAX_ROWS],
            power: vec![power; MAX_ROWS],
            stuck: vec![stuck; MAX_STUCK],
            processes: vec![process; TOP_PROCESSES],
            unreadable: vec![unreadable; MAX_UNREADABLE],
            ..Snapshot::default()
        };
        assert!(
            serde_json::to_string(&Reply::Sample { age_ms: most, sample: Box::new(full) }).unwrap().len()
                < REPLY_LINE_BYTES
        );
    }
}
