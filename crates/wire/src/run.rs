//! One run: what a technician proposes, what a person approves, and how it ended.

use serde::{Deserialize, Serialize};

use crate::{
    codec::Message,
    ids::{Digest, RunId},
    limits,
    text::Sentence,
};

/// A run as the technician asks for it. The agent turns it into an [`ExactRun`] and asks the person about that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunProposal {
    /// Never used before in this session.
    pub run: RunId,
    /// Why, in the technician's words.
    pub reason: Sentence,
    /// A name to be looked up in the agent's fixed search path, or an absolute path.
    pub program: Vec<u8>,
    /// Arguments without the program's own name.
    pub arguments: Vec<Vec<u8>>,
    /// Absolute directory; the user's home if absent.
    pub directory: Option<Vec<u8>>,
    /// Variables added to the agent's short fixed environment.
    pub environment: Vec<Variable>,
    /// Limits that are asked for; the agent's own are never exceeded.
    pub limits: RunLimits,
}

/// One environment variable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Variable {
    /// Non-empty, without `=` and NUL.
    pub name: Vec<u8>,
    /// Without NUL.
    pub value: Vec<u8>,
}

/// Bounds on one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Seconds after which the whole process tree is killed, 1..=3600.
    pub time_secs: u32,
    /// Bytes kept of standard output and of standard error, each, 0..=64 MiB. Output beyond is counted and thrown away.
    pub output_bytes: u64,
    /// Mebibytes of memory of the whole process tree, 16..=65536.
    pub memory_mib: u32,
}

impl RunLimits {
    /// What a run gets if nobody says otherwise.
    pub const DEFAULT: Self = Self { time_secs: 60, output_bytes: 1 << 20, memory_mib: 512 };
    /// The most that any run gets.
    pub const MAX: Self = Self { time_secs: 3600, output_bytes: 64 << 20, memory_mib: 65_536 };
    /// The least that makes sense.
    pub const MIN: Self = Self { time_secs: 1, output_bytes: 0, memory_mib: 16 };

    /// These limits, moved into `MIN..=MAX`.
    pub fn clamped(self) -> Self {
        Self {
            time_secs: self.time_secs.clamp(Self::MIN.time_secs, Self::MAX.time_secs),
            output_bytes: self.output_bytes.clamp(Self::MIN.output_bytes, Self::MAX.output_bytes),
            memory_mib: self.memory_mib.clamp(Self::MIN.memory_mib, Self::MAX.memory_mib),
        }
    }
}

/// Why a proposal was refused before anybody was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProposalError {
    /// There is no program.
    #[error("no program is named")]
    NoProgram,
    /// Some part contains a NUL byte, which no operating system can pass on.
    #[error("a part of the command contains a NUL byte")]
    Nul,
    /// More than [`limits::RUN_ARGUMENTS`] arguments.
    #[error("more arguments than a person can read")]
    TooManyArguments,
    /// More than [`limits::RUN_ENVIRONMENT`] additions, a variable without a name, or a name twice.
    #[error("the environment additions are malformed or too many")]
    Environment,
    /// Over [`limits::RUN_SPEC_BYTES`] in all.
    #[error("the command is too long to be read by a person")]
    TooLong,
    /// The directory is not an absolute path.
    #[error("the directory is not an absolute path")]
    RelativeDirectory,
}

impl RunProposal {
    /// Checks everything that can be checked without the device.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), ProposalError> {
        if self.program.is_empty() {
            return Err(ProposalError::NoProgram);
        }
        if self.arguments.len() > limits::RUN_ARGUMENTS {
            return Err(ProposalError::TooManyArguments);
        }
        self.check_environment()?;
        let parts = || {
            let variables = self.environment.iter().flat_map(|variable| [&variable.name, &variable.value]);
            std::iter::once(&self.program).chain(&self.arguments).chain(&self.directory).chain(variables)
        };
        if parts().any(|part| part.contains(&0)) {
            return Err(ProposalError::Nul);
        }
        if parts().map(|part| part.len() + 1).sum::<usize>() > limits::RUN_SPEC_BYTES {
            return Err(ProposalError::TooLong);
        }
        match &self.directory {
            Some(directory) if !directory.starts_with(b"/") => Err(ProposalError::RelativeDirectory),
            Some(_) | None => Ok(()),
        }
    }

    fn check_environment(&self) -> Result<(), ProposalError> {
        let mut names = self.environment.iter().map(|variable| &variable.name).collect::<Vec<_>>();
        names.sort_unstable();
        names.dedup();
        let named = |variable: &Variable| !variable.name.is_empty() && !variable.name.contains(&b'=');
        let good = self.environment.len() <= limits::RUN_ENVIRONMENT
            && names.len() == self.environment.len()
            && self.environment.iter().all(named);
        if good { Ok(()) } else { Err(ProposalError::Environment) }
    }
}

/// Exactly what will be executed. A person approves this, by its digest; the runner executes this and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactRun {
    /// The run that this is.
    pub run: RunId,
    /// Absolute path of the program file.
    pub program: Vec<u8>,
    /// Where `program` leads, if it is a symbolic link or lies behind one: the absolute path of the file that is executed.
    pub target: Option<Vec<u8>>,
    /// What runs the file, if it is a script: its first line after the `#!` (execve(2)), program and argument.
    pub interpreter: Option<Vec<u8>>,
    /// Which file that path was when the person was asked; a replaced file is not run.
    pub file: FileIdentity,
    /// Arguments without the program's own name.
    pub arguments: Vec<Vec<u8>>,
    /// Absolute working directory.
    pub directory: Vec<u8>,
    /// Numeric user that it runs as.
    pub user_id: u32,
    /// Name of that user.
    pub user_name: Vec<u8>,
    /// The whole environment, sorted by name; nothing else is inherited.
    pub environment: Vec<Variable>,
    /// Bounds, already clamped.
    pub limits: RunLimits,
}

/// Tells a program file from one that was put in its place later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Last modification in nanoseconds since the Unix epoch.
    pub modified_ns: i128,
    /// Last status change in nanoseconds since the Unix epoch; unlike the modification time a program cannot set it back.
    pub changed_ns: i128,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunOutcome {
    /// The program ended by itself.
    Exited {
        /// Its exit code, 0..=255.
        code: u8,
    },
    /// A signal that Assent did not send ended it.
    Signalled {
        /// Signal number.
        signal: u8,
    },
    /// Its time was over; the whole tree was killed.
    TimedOut,
    /// The technician cancelled; the whole tree was killed.
    Cancelled,
    /// The grant ended (revoked, narrowed, paused or over with the session); the whole tree was killed.
    Revoked,
    /// The tree used more memory than allowed and was killed.
    OverMemory,
    /// It never started.
    NotStarted {
        /// Why.
        reason: StartFailure,
    },
    /// The agent lost track of it: the runner died. What was left of the tree was killed.
    Lost,
    /// The tree had more processes than allowed and was killed.
    OverProcesses,
}

/// Why an approved run did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StartFailure {
    /// No such program.
    #[error("the program does not exist")]
    NotFound,
    /// The file cannot be executed by this user.
    #[error("the program cannot be executed")]
    NotExecutable,
    /// The working directory cannot be entered.
    #[error("the working directory cannot be entered")]
    Directory,
    /// The program file changed between the approval and the start.
    #[error("the program file changed after it was approved")]
    FileChanged,
    /// What arrived at the runner is not what the person approved.
    #[error("the command differs from the approved one")]
    NotAsApproved,
    /// The operating system refused.
    #[error("the system refused to start it: {detail}")]
    System {
        /// The system's own message.
        detail: Sentence,
    },
}

/// Bytes of one output of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct OutputCount {
    /// Bytes sent to the technician.
    pub sent_bytes: u64,
    /// Bytes that the program wrote. More than `sent_bytes`: the rest was cut.
    pub written_bytes: u64,
}

impl OutputCount {
    /// Bytes that the technician never saw.
    pub fn cut_bytes(self) -> u64 {
        self.written_bytes.saturating_sub(self.sent_bytes)
    }
}

/// Everything that a person decides on, and the digest that binds the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedRun {
    /// What will be executed.
    pub exact: ExactRun,
    /// Digest that the person's answer carried.
    pub digest: Digest,
}

impl Message for ExactRun {
    const MAX_BYTES: usize = 64 * 1024;
}
