//! Where things go: what the long history was found to say, for the checks that judge it.

use serde::{Deserialize, Serialize};
use wire::{
    diagnostics::{
        findings::{Confidence, Forecast, Unit},
        schema::Named,
    },
    text::Label,
    time::WallTime,
};

/// What was worked out of the history. Absent lists were not worked out yet: too little is known.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trends {
    /// File systems that fill up.
    pub space: Option<Vec<SpaceTrend>>,
    /// Processes that grow.
    pub leaks: Option<Vec<LeakTrend>>,
    /// Figures that went to another level.
    pub shifts: Option<Vec<LevelShift>>,
}

/// How the room on a file system goes down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceTrend {
    /// Where it is mounted.
    pub mount: Label,
    /// How much less there is after an hour.
    pub shrinks_kib_per_hour: u64,
    /// When it is full.
    pub full: Forecast,
}

/// How the memory of a process goes up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakTrend {
    /// The program.
    pub name: Label,
    /// What it has now.
    pub resident_kib: u64,
    /// How much more there is after an hour.
    pub grows_kib_per_hour: u64,
    /// When it has taken what is left.
    pub exhausted: Forecast,
}

/// A figure that went to another level and stayed there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelShift {
    /// Which figure, such as `cpu.busy`.
    pub figure: Label,
    /// Of which thing; absent where it is the whole machine.
    pub subject: Option<Named>,
    /// What it counts.
    pub unit: Unit,
    /// The level before.
    pub before: i64,
    /// The level since.
    pub after: i64,
    /// Since when.
    pub since: WallTime,
    /// How sure that is.
    pub confidence: Confidence,
}
