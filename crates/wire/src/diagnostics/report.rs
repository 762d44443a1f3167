//! A report: everything that is known of a machine at one time, or the part of it that was asked for.
//!
//! The first frame of a session is a report, kept within [`OPENING_BYTES`]; a report that is saved has more sections. Both are read,
//! shown and compared by the same code.

use serde::{Deserialize, Serialize};

use super::{
    DiskProcess, IdentityCard, LargeProcess, Snapshot, TOP_PROCESSES,
    findings::{Check, Finding, MAX_EVIDENCE, MAX_FINDINGS, Unit},
    schema::{Egress, Named, Redact},
    sections,
};
use crate::{
    closed,
    codec::{CodecError, Message},
    schema,
    text::{Label, Sentence},
    time::WallTime,
};

/// Version of [`Report`] in files.
pub const REPORT_FORMAT: u32 = 1;

/// Most bytes of the report that opens a session: it has to be there within one round trip.
pub const OPENING_BYTES: usize = 32 * 1024;

/// Most bytes of any report.
pub const REPORT_BYTES: usize = 1 << 20;

schema! {
    /// What is known of a machine.
    pub struct Report {
        /// [`REPORT_FORMAT`].
        technical format: u32,
        /// When it was put together.
        technical taken_at: WallTime,
        /// What the machine is.
        nested card: IdentityCard,
        /// Answers of all checks, the worst first; at most [`super::findings::MAX_FINDINGS`].
        nested findings: Vec<Finding>,
        /// The newest sample.
        nested sample: Snapshot,
        /// The processes with most memory, the largest first; at most [`TOP_PROCESSES`]. Those of the sample are the busiest.
        nested largest: Vec<LargeProcess>,
        /// The processes that read most from disks and those that write most, by both together; at most [`TOP_PROCESSES`]. Of those
        /// that work while all are looked at, as far as the agent may know.
        #[serde(default)]
        nested disk_processes: Vec<DiskProcess>,
        /// The minutes before, at most [`MAX_SERIES`].
        nested recent: Vec<Series>,
        /// Everything else, each section once.
        nested sections: Vec<SectionReport>,
        /// What was held back.
        nested receipt: Receipt,
    }

    /// A figure over time.
    pub struct Series {
        /// Which figure, such as `memory.available`.
        technical figure: Label,
        /// Of which thing; absent where it is the whole machine.
        nested subject: Option<Named>,
        /// What it counts.
        technical unit: Unit,
        /// When the first value was measured.
        technical start: WallTime,
        /// Seconds from one value to the next.
        technical step_secs: u32,
        /// One value a step; none where nothing was measured. At most [`MAX_VALUES`].
        technical values: Vec<Option<i64>>,
        /// Places in the values of steps in which a single measurement stood out from those before it. For whoever looks at a graph:
        /// nothing is concluded from it.
        technical stood_out: Vec<u32>,
    }

    /// One section of a report, and how it came about.
    pub struct SectionReport {
        /// Which.
        technical section: SectionId,
        /// When it was read.
        technical taken_at: WallTime,
        /// How long that took.
        technical took_ms: u32,
        /// What came of it.
        technical outcome: Outcome,
        /// What was read, and what was not.
        nested sources: Vec<Source>,
        /// What was found; absent if nothing was.
        nested content: Option<Content>,
    }

    /// A source of a section.
    pub struct Source {
        /// Which, such as `/proc/mdstat` or `systemd`.
        technical name: Label,
        /// Whether it was read.
        technical coverage: Coverage,
        /// Why not, or not in full; blank if all of it was read.
        technical reason: Sentence,
    }

    /// What was held back from a report, and why.
    #[derive(Default)]
    pub struct Receipt {
        /// How many texts of each class left as they are.
        nested sent: Vec<ClassCount>,
        /// How many texts of each class were replaced.
        nested replaced: Vec<ClassCount>,
        /// Sections that could not be read in full.
        technical incomplete: Vec<SectionId>,
        /// Rows that were left out to keep within the size.
        technical rows_left_out: u32,
    }

    /// How many texts of a class.
    pub struct ClassCount {
        /// Name of the class.
        technical class: Label,
        /// How many.
        technical count: u32,
    }
}

/// Most series in a report.
pub const MAX_SERIES: usize = 256;

/// Most values of a series.
pub const MAX_VALUES: usize = 86_400;

closed! {
    /// How a section came about.
    pub enum Outcome {
        /// Every source was read.
        Complete = "complete",
        /// Some source was not read, or not in full.
        Partial = "partial",
        /// It did not come in time, and was given up.
        TimedOut = "timed_out",
        /// This system has nothing of the kind.
        Unavailable = "unavailable",
        /// The end user has not allowed it.
        NotAllowed = "not_allowed",
    }

    /// How far a source was read.
    pub enum Coverage {
        /// All of it.
        Read = "read",
        /// A part of it.
        Partial = "partial",
        /// Nothing of it.
        Missing = "missing",
    }
}

macro_rules! sections {
    ($($(#[$doc:meta])* $variant:ident($module:ident) = $word:literal,)*) => {
        closed! {
            /// A part of the catalogue. A closed list; new ones are added at the end.
            #[non_exhaustive]
            pub enum SectionId {
                $($(#[$doc])* $variant = $word,)*
            }
        }

        /// What a section found.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Content {
            $($(#[$doc])* $variant(Box<sections::$module::$variant>),)*
        }

        impl Content {
            /// Which section it is of.
            pub fn section(&self) -> SectionId {
                match self {
                    $(Self::$variant(_) => SectionId::$variant,)*
                }
            }
        }

        impl Redact for Content {
            fn redact(&mut self, egress: &mut dyn Egress) {
                match self {
                    $(Self::$variant(content) => content.redact(egress),)*
                }
            }
        }
    };
}

sections! {
    /// Operating system, kernel, modules, how it started.
    System(system) = "system",
    /// Firmware, processors, memory modules, PCI and USB devices.
    Hardware(hardware) = "hardware",
    /// Disks, their health, arrays and volumes.
    Storage(storage) = "storage",
    /// Links, addresses, routes, neighbours, name servers, proxies, wireless.
    Network(network) = "network",
    /// Control groups: slices, services, containers.
    Groups(groups) = "groups",
    /// Batteries, fans, power, throttling.
    Power(power) = "power",
    /// Services, timers, what starts with the system.
    Services(services) = "services",
    /// The clock and what it is synchronised with.
    Clock(clock) = "clock",
    /// Log lines.
    Logs(logs) = "logs",
    /// Updates that wait.
    Updates(updates) = "updates",
    /// Programs that crashed.
    Crashes(crashes) = "crashes",
    /// Who is logged in.
    Users(users) = "users",
    /// Firewall, encryption, secure boot, open ports.
    Security(security) = "security",
    /// Printers and their queues.
    Printers(printers) = "printers",
    /// Screens, graphics, sound, cameras, Bluetooth.
    Displays(displays) = "displays",
    /// Certificates of the machine.
    Certificates(certificates) = "certificates",
    /// What changed lately.
    Changes(changes) = "changes",
    /// The way to the internet, rung by rung.
    Ladder(ladder) = "ladder",
    /// Errors in the log, by kind.
    Errors(errors) = "errors",
    /// One process in full, without its arguments.
    Process(process) = "process",
    /// Probes of the network.
    Probes(probes) = "probes",
    /// Every process, without arguments.
    Processes(processes) = "processes",
}

impl Report {
    /// A report of a machine of which nothing but this is known.
    pub fn new(card: IdentityCard, taken_at: WallTime) -> Self {
        Self {
            format: REPORT_FORMAT,
            taken_at,
            card,
            findings: Vec::new(),
            sample: Snapshot::default(),
            largest: Vec::new(),
            disk_processes: Vec::new(),
            recent: Vec::new(),
            sections: Vec::new(),
            receipt: Receipt::default(),
        }
    }

    /// Checks the bounds that everybody who shows a report relies on.
    ///
    /// # Errors
    ///
    /// Says which bound is broken.
    pub fn check(&self) -> Result<(), CodecError> {
        let malformed = |reason: String| CodecError::Malformed { reason };
        self.sample.check().map_err(|error| malformed(error.to_string()))?;
        let values =
            self.recent.iter().map(|series| series.values.len().max(series.stood_out.len())).max().unwrap_or(0);
        check_findings(&self.findings)?;
        for (what, count, limit) in [
            ("processes", self.largest.len().max(self.disk_processes.len()), TOP_PROCESSES),
            ("series", self.recent.len(), MAX_SERIES),
            ("values", values, MAX_VALUES),
            ("sections", self.sections.len(), SectionId::ALL.len()),
        ] {
            if count > limit {
                return Err(malformed(format!("more than {limit} {what}")));
            }
        }
        Ok(())
    }
}

/// Checks the bounds of a list of findings.
pub(super) fn check_findings(findings: &[Finding]) -> Result<(), CodecError> {
    let within =
        |finding: &Finding| finding.evidence.len() <= MAX_EVIDENCE && finding.exonerates.len() <= Check::ALL.len();
    // What exonerates is looked up for every finding that fails.
    if findings.len() > MAX_FINDINGS || !findings.iter().all(within) {
        return Err(CodecError::Malformed { reason: "more findings than there may be".to_owned() });
    }
    Ok(())
}

impl Message for Report {
    const MAX_BYTES: usize = REPORT_BYTES;
}

impl Message for SectionReport {
    const MAX_BYTES: usize = REPORT_BYTES;
}
