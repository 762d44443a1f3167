//! What was measured, for the programs that collect it: Prometheus, OpenTelemetry, JSON Lines, CSV.
//!
//! Names and units are part of the interface: they stay. Units are the base units of each format. What the machine names is made
//! harmless ([`wire::text::shown`]) before it is escaped for the format, because people look at these files on terminals.

use wire::{
    diagnostics::{IdentityCard, Snapshot, findings::Finding},
    time::WallTime,
};

mod csv;
mod json;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod prometheus;

pub use csv::csv;
pub use json::{harmless, json_line};
#[cfg(feature = "otlp")]
pub use otlp::otlp;
pub use prometheus::prometheus;

/// A sample, and what is known beside it.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'m> {
    /// The machine, once it is known.
    pub card: Option<&'m IdentityCard>,
    /// When the sample was taken.
    pub at: WallTime,
    /// The sample. Rates of one that covers no time are left out.
    pub sample: &'m Snapshot,
    /// Answers of all checks, which are counted.
    pub findings: &'m [Finding],
}
