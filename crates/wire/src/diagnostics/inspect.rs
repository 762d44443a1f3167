//! What a technician wants read of the machine, once, beside the live samples.

use serde::{Deserialize, Serialize};

use super::report::{MAX_SERIES, MAX_VALUES, REPORT_BYTES, Report, SectionId, SectionReport, Series};
use super::schema::{Egress, Redact};
use crate::{
    codec::{CodecError, Message},
    diagnostics::sections::{
        logs::{LogQuery, MAX_LINES, MAX_UNITS},
        probes::ProbeRequest,
        process::{Arguments, MAX_ARGUMENTS},
    },
    ids::{Digest, InspectionId},
    session::Ability,
    text::Label,
    time::WallTime,
};

/// One thing to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Inspect {
    /// Everything that is allowed at the moment. Sections that are not are named as not allowed.
    Report,
    /// One section.
    Section(SectionId),
    /// One process.
    Process {
        /// Its number.
        pid: u32,
        /// Its start, in clock ticks since the machine started: another process may have the number by now. Absent for whichever has
        /// it.
        start_ticks: Option<u64>,
    },
    /// What was measured before.
    History(HistoryQuery),
    /// Some lines of the log.
    Logs(LogQuery),
    /// One probe of the network. One at a time: a list of them would be a scan.
    Probe(ProbeRequest),
    /// The arguments of one process. The person is asked about each, see [`Inspect::asks_for`].
    Arguments {
        /// Its number.
        pid: u32,
        /// Its start, in clock ticks since the machine started: no other process is read, whatever has the number by then.
        start_ticks: u64,
    },
}

/// Whether programs can write it with four digits of the year.
fn has_a_date(time: WallTime) -> bool {
    time.civil().0 < 10_000
}

/// Which part of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryQuery {
    /// From then on.
    pub from: WallTime,
    /// Up to then.
    pub to: WallTime,
    /// Seconds between two values, at least 1; the agent takes more if there would be too many values.
    pub step_secs: u32,
    /// Names of figures, of which a `*` at the end stands for anything; at most [`MAX_PATTERNS`]. None is every figure.
    pub figures: Vec<Label>,
}

/// Most names in a [`HistoryQuery`].
pub const MAX_PATTERNS: usize = 32;

impl Inspect {
    /// What has to be granted for it, for as long as it goes on.
    pub fn ability(&self) -> Ability {
        match self {
            Self::Report | Self::History(_) => Ability::DiagBasic,
            Self::Process { .. } | Self::Arguments { .. } => Ability::DiagProcess,
            Self::Logs(_) => Ability::DiagLogs,
            Self::Section(section) => section.ability(),
            Self::Probe(probe) => probe.ability(),
        }
    }

    /// What the person is asked for, beside [`Inspect::ability`], each time that something of the kind is to be read: a yes is for one
    /// [`ExactInspection`]. `None` for what is read without a question of its own.
    pub fn asks_for(&self) -> Option<Ability> {
        match self {
            Self::Arguments { .. } => Some(Ability::DiagArguments),
            Self::Report
            | Self::Section(_)
            | Self::Process { .. }
            | Self::History(_)
            | Self::Logs(_)
            | Self::Probe(_) => None,
        }
    }

    /// What it is called in logs and on screens.
    pub fn name(&self) -> String {
        match self {
            Self::Report => "report".to_owned(),
            Self::Section(section) => section.name().to_owned(),
            Self::Process { pid, .. } => format!("process {pid}"),
            Self::History(_) => "history".to_owned(),
            Self::Logs(query) if query.after.is_some() => "further log lines".to_owned(),
            Self::Logs(_) => "log lines".to_owned(),
            Self::Probe(probe) => probe.name(),
            Self::Arguments { pid, .. } => format!("arguments of process {pid}"),
        }
    }

    /// Whether it keeps the bounds that its sender has to keep.
    pub fn is_sound(&self) -> bool {
        match self {
            Self::Report | Self::Section(_) | Self::Process { .. } | Self::Arguments { .. } => true,
            Self::Probe(probe) => probe.is_sound(),
            Self::Logs(query) => {
                let times = query.since.iter().chain(&query.until);
                query.units.len() <= MAX_UNITS && query.limit <= MAX_LINES && times.copied().all(has_a_date)
            }
            Self::History(query) => {
                query.figures.len() <= MAX_PATTERNS && query.step_secs > 0 && query.from <= query.to
            }
        }
    }
}

/// Exactly what would be read: a person is asked about this, and a yes is bound to its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactInspection {
    /// The inspection that this is.
    pub inspection: InspectionId,
    /// What would be read.
    pub what: Inspect,
    /// Of what, as the machine itself found it. The technician's words have no place here.
    pub about: About,
}

/// What an inspection that asks first is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum About {
    /// The process of [`Inspect::Arguments`].
    Process {
        /// Its name when the person was asked.
        name: Label,
    },
}

impl About {
    /// What the machine calls it.
    pub fn name(&self) -> &Label {
        match self {
            Self::Process { name } => name,
        }
    }
}

impl ExactInspection {
    /// Whether `about` is of the kind that `what` is about.
    pub fn is_consistent(&self) -> bool {
        match (&self.what, &self.about) {
            (Inspect::Arguments { .. }, About::Process { .. }) => true,
            (
                Inspect::Report
                | Inspect::Section(_)
                | Inspect::Process { .. }
                | Inspect::History(_)
                | Inspect::Logs(_)
                | Inspect::Probe(_),
                About::Process { .. },
            ) => false,
        }
    }
}

/// An inspection and the digest that binds the person's decision to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedInspection {
    /// What will be read.
    pub exact: ExactInspection,
    /// Digest that the grant covers.
    pub digest: Digest,
}

impl Message for ExactInspection {
    const MAX_BYTES: usize = 64 * 1024;
}

impl SectionId {
    /// What has to be granted for it.
    pub fn ability(self) -> Ability {
        match self {
            Self::Logs => Ability::DiagLogs,
            Self::Network | Self::Probes => Ability::DiagNetwork,
            Self::Process | Self::Processes => Ability::DiagProcess,
            Self::System
            | Self::Hardware
            | Self::Storage
            | Self::Groups
            | Self::Power
            | Self::Services
            | Self::Clock
            | Self::Updates
            | Self::Crashes
            | Self::Users
            | Self::Security
            | Self::Printers
            | Self::Displays
            | Self::Certificates
            | Self::Changes
            | Self::Ladder
            | Self::Errors => Ability::DiagBasic,
        }
    }
}

/// What an inspection found. The one frame of its stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Inspected {
    /// Answer to [`Inspect::Report`].
    Report(Box<Report>),
    /// Answer to [`Inspect::Section`], [`Inspect::Process`], [`Inspect::Logs`] and [`Inspect::Probe`].
    Section(Box<SectionReport>),
    /// Answer to [`Inspect::History`].
    History(Vec<Series>),
    /// Answer to [`Inspect::Arguments`].
    Arguments(Box<Arguments>),
}

impl Inspected {
    /// Checks the bounds that everybody who shows it relies on.
    ///
    /// # Errors
    ///
    /// Says which bound is broken.
    pub fn check(&self) -> Result<(), CodecError> {
        let over = |what: &str| Err(CodecError::Malformed { reason: format!("more {what} than there may be") });
        match self {
            Self::Report(report) => report.check(),
            Self::Section(_) => Ok(()),
            Self::History(series) if series.len() > MAX_SERIES => over("series"),
            Self::History(series) if series.iter().any(|series| series.values.len() > MAX_VALUES) => over("values"),
            Self::History(_) => Ok(()),
            Self::Arguments(arguments) if arguments.arguments.0.len() > MAX_ARGUMENTS => over("arguments"),
            Self::Arguments(_) => Ok(()),
        }
    }
}

impl Redact for Inspected {
    fn redact(&mut self, egress: &mut dyn Egress) {
        match self {
            Self::Report(report) => report.redact(egress),
            Self::Section(section) => section.redact(egress),
            Self::History(series) => series.redact(egress),
            Self::Arguments(arguments) => arguments.redact(egress),
        }
    }
}

impl Message for Inspected {
    const MAX_BYTES: usize = REPORT_BYTES;
}
