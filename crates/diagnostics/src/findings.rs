//! What is wrong with the machine, and what is not: every check of [`Check`] asked again and again about the same facts.
//!
//! A check is a pure function from [`Facts`] to answers, one for each subject; it knows neither time nor what it said before. The
//! [`Engine`] remembers for each check and subject how it stands, so that a figure that wavers about a threshold does not raise and clear
//! a finding with each sample. What cannot be looked at is [`Verdict::Unknown`], never a pass.
//!
//! | module | what is in it |
//! |---|---|
//! | `level` | where a figure stands against thresholds |
//! | `answer` | what a check says about one subject |
//! | `facts` | what a check sees |
//! | `memory` | what it counted before |
//! | `trends` | what the long history was found to say |
//! | `rules` | for each check: its function, hold times, runbook, what it rules out |
//! | `engine` | how answers become findings |
//! | the others | the checks, by subject |
//!
//! Thresholds are constants beside the check, each with where it comes from: netdata's `health.d` (04b1cf54), the Prometheus node-mixin,
//! Backblaze's drive statistics, `oomd.conf(5)`, DSLReports' grades of bufferbloat, or our own choice.
//!
//! [`Check`]: wire::diagnostics::findings::Check
//! [`Verdict::Unknown`]: wire::diagnostics::findings::Verdict::Unknown

mod answer;
mod disks;
mod engine;
mod facts;
mod filesystems;
mod level;
mod memory;
mod memory_checks;
mod network;
mod processor;
mod rules;
mod system;
mod trends;

#[cfg(target_os = "linux")]
pub(crate) use disks::failing_sectors_sum;
pub use engine::{Engine, Judgement, MAX_SUBJECTS};
pub use facts::{Facts, RoundTrip};
#[cfg(target_os = "linux")]
pub(crate) use network::PORTAL_ANSWERS;
pub(crate) use system::battery_health_permille;
pub use trends::{Growing, LeakTrend, LevelShift, OddFigure, SectorTrend, SpaceTrend, Trends, WearTrend};
