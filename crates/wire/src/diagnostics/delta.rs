//! The stream: keyframes, and between them only what changed.
//!
//! A delta says, in this order, which tables look different now (a mount, a disk or an interface came or went), which
//! processes left and joined the list, and which figures of the result moved by how much. An idle machine's delta is a few
//! dozen bytes.
//!
//! A machine can make its tables as restless as it likes, so a stream has only so many bytes a second: see [`allowance`].

use serde::{Deserialize, Serialize};

use super::{
    Core, Disk, Fan, Filesystem, Network, Panel, PowerDraw, Pressure, Process, Snapshot, Stuck, TOP_PROCESSES,
    Temperature, Unreadable,
    figures::{all_figures, each_figure},
    findings::Finding,
    report::{Report, check_findings},
};
use crate::codec::Message;

mod allowance;

use allowance::Allowance;
pub use allowance::{BURST_BYTES, BYTES_A_SECOND, ROW_BYTES_A_SECOND};

/// Frames from one keyframe to the next, at most.
pub const KEYFRAME_EVERY: u32 = 60;

/// One frame of a diagnostics stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamFrame {
    /// What is known of the machine, at most [`OPENING_BYTES`](super::report::OPENING_BYTES). The first frame of a stream.
    Opening(Box<Report>),
    /// A sample in full.
    Key(Box<Snapshot>),
    /// A sample by what changed since the one before.
    Delta(Delta),
    /// The answers of all checks, where they are no longer those that were sent last; at most [`MAX_FINDINGS`](super::findings::MAX_FINDINGS).
    Findings(Vec<Finding>),
}

impl Message for StreamFrame {
    /// Above the largest sample within the bounds, which has 4,096 cores and every text at its longest.
    const MAX_BYTES: usize = 192 * 1024;
}

/// What changed from one quantised sample to the next. Only [`DeltaEncoder`] and [`DeltaDecoder`] look inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Tick of the sample that this one builds on.
    base: u64,
    /// Tables whose rows are not the rows of the base.
    tables: Vec<Table>,
    /// Places in the base's process list that are left out, ascending.
    gone: Vec<u8>,
    /// Processes that join the end of the list.
    joined: Vec<Process>,
    /// Bit `i` (byte `i / 8`, least significant bit first) is set if figure `i` moved. Trailing zero bytes are left out.
    moved: Vec<u8>,
    /// By how much, modulo 2^64, one for each bit set.
    by: Vec<i64>,
}

/// A table in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Table {
    Cores(Vec<Core>),
    Pressure(Option<Pressure>),
    Filesystems(Vec<Filesystem>),
    Disks(Vec<Disk>),
    Networks(Vec<Network>),
    Temperatures(Vec<Temperature>),
    Unreadable(Vec<Unreadable>),
    Fans(Vec<Fan>),
    Power(Vec<PowerDraw>),
    Stuck(Vec<Stuck>),
}

/// Why a frame of a diagnostics stream was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The first sample of a stream must be a keyframe.
    #[error("a delta came before any keyframe")]
    NoKeyframe,
    /// The delta builds on another sample than the one that is held.
    #[error("a delta builds on sample {base}, but sample {held} is held")]
    OutOfSequence {
        /// Sample that it builds on.
        base: u64,
        /// Sample that the decoder holds.
        held: u64,
    },
    /// Samples are numbered upwards.
    #[error("sample {tick} came after sample {held}")]
    NotLater {
        /// Number of the refused sample.
        tick: u64,
        /// Sample that the decoder holds.
        held: u64,
    },
    /// The delta names a process or a figure that there is not, or miscounts what moved.
    #[error("a delta does not fit its base")]
    Misfit,
    /// A figure has a value that it cannot have.
    #[error("{figure} is out of range")]
    OutOfRange {
        /// Which.
        figure: &'static str,
    },
    /// A list is longer than its bound.
    #[error("more than {limit} {table}")]
    TooMany {
        /// Which list.
        table: &'static str,
        /// Its bound.
        limit: usize,
    },
    /// A table has rows although the view does not have it.
    #[error("{panel} are not in view")]
    NotViewed {
        /// Which.
        panel: Panel,
    },
    /// A report or a list of findings is longer than its bound.
    #[error("a report is out of its bounds")]
    Unbounded,
    /// The process list has two rows of one key.
    #[error("a process is listed twice")]
    SameProcessTwice,
}

/// Turns samples into frames: a keyframe now and then, else what changed.
///
/// Every frame must reach the decoder, in order. If one is dropped, ask for a keyframe with [`DeltaEncoder::restart`].
///
/// Over any time, its frames have at most [`BYTES_A_SECOND`] for each second that the samples cover, and [`BURST_BYTES`] or one
/// keyframe. Processes that come into the list, and names that change, have [`ROW_BYTES_A_SECOND`] of them. What does not fit
/// stays as it was or is left out, the lowest ranked first, and is counted in [`Snapshot::withheld`]. It is not queued: the next
/// sample has newer figures.
#[derive(Debug, Default)]
pub struct DeltaEncoder {
    held: Option<Snapshot>,
    since_key: u32,
    allowance: Allowance,
    withheld: u64,
}

impl DeltaEncoder {
    /// An encoder that starts with a keyframe.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next frame a keyframe.
    pub fn restart(&mut self) {
        self.held = None;
    }

    /// The sample that the last frame leads to.
    pub fn sent(&self) -> Option<&Snapshot> {
        self.held.as_ref()
    }

    /// The frame for `sample`, which is quantised first.
    ///
    /// A keyframe if it is the first, if [`KEYFRAME_EVERY`] frames went by since the last one, or if the sample's tick is not
    /// above the last one's.
    pub fn encode(&mut self, sample: &Snapshot) -> StreamFrame {
        let mut sample = sample.quantised();
        self.allowance.refill(sample.interval_ms);
        sample.withheld = self.withheld;
        let held = self.held.take().filter(|held| held.tick < sample.tick && self.since_key + 1 < KEYFRAME_EVERY);
        let frame = match held {
            Some(held) => {
                self.since_key += 1;
                let delta = self.allowance.fit(&held, &mut sample);
                self.withheld = sample.withheld;
                sample.order_processes();
                StreamFrame::Delta(delta)
            }
            None => {
                self.since_key = 0;
                StreamFrame::Key(Box::new(sample.clone()))
            }
        };
        self.allowance.spend(&frame);
        self.held = Some(sample);
        frame
    }
}

/// Turns frames back into samples. A refused frame leaves what is held as it was.
#[derive(Debug, Default)]
pub struct DeltaDecoder {
    opening: Option<Report>,
    findings: Vec<Finding>,
    held: Option<Snapshot>,
}

/// What a frame brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update<'a> {
    /// What is known of the machine.
    Opening(&'a Report),
    /// The newest answers of all checks.
    Findings(&'a [Finding]),
    /// The newest sample.
    Sample(&'a Snapshot),
}

impl DeltaDecoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was known of the machine when the stream began, once it has come.
    pub fn opening(&self) -> Option<&Report> {
        self.opening.as_ref()
    }

    /// The newest answers of all checks.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The newest sample, once one has come.
    pub fn sample(&self) -> Option<&Snapshot> {
        self.held.as_ref()
    }

    /// Takes the next frame of the stream.
    ///
    /// # Errors
    ///
    /// Frames that come out of sequence, do not fit what is held, or lead to a sample outside its bounds are refused. A
    /// stream that is reliable and in order has none of these: the agent that sent one is broken or hostile.
    pub fn apply(&mut self, frame: StreamFrame) -> Result<Update<'_>, StreamError> {
        let sample = match frame {
            StreamFrame::Opening(report) => {
                report.check().map_err(|_| StreamError::Unbounded)?;
                self.findings.clone_from(&report.findings);
                return Ok(Update::Opening(self.opening.insert(*report)));
            }
            StreamFrame::Findings(findings) => {
                check_findings(&findings).map_err(|_| StreamError::Unbounded)?;
                self.findings = findings;
                return Ok(Update::Findings(&self.findings));
            }
            StreamFrame::Key(sample) => *sample,
            StreamFrame::Delta(delta) => delta.applied_to(self.held.as_ref().ok_or(StreamError::NoKeyframe)?)?,
        };
        sample.check()?;
        if let Some(held) = self.held.as_ref().filter(|held| held.tick >= sample.tick) {
            return Err(StreamError::NotLater { tick: sample.tick, held: held.tick });
        }
        Ok(Update::Sample(self.held.insert(sample)))
    }
}

impl Delta {
    /// What leads from `base` to `target`, both quantised.
    fn between(base: &Snapshot, target: &Snapshot) -> Self {
        let mut delta = Self {
            base: base.tick,
            tables: Table::differing(base, target),
            gone: Vec::new(),
            joined: Vec::new(),
            moved: Vec::new(),
            by: Vec::new(),
        };
        let mut arranged = target.clone();
        arranged.processes.clear();
        for (place, row) in (0_u8..).zip(&base.processes) {
            match target.processes.iter().find(|candidate| same_row(candidate, row)) {
                Some(stays) => arranged.processes.push(stays.clone()),
                None => delta.gone.push(place),
            }
        }
        for row in &target.processes {
            if !base.processes.iter().any(|candidate| same_row(candidate, row)) {
                delta.joined.push(row.clone());
                arranged.processes.push(row.clone());
            }
        }
        let mut base = base.clone();
        delta.reshape(&mut base).expect("it was made for this base");
        let figures = all_figures(&mut base).into_iter().zip(all_figures(&mut arranged));
        for (place, (old, new)) in figures.enumerate().filter(|(_, (old, new))| old != new) {
            delta.moved.resize(place / 8 + 1, 0);
            if let Some(last) = delta.moved.last_mut() {
                *last |= 1 << (place % 8);
            }
            delta.by.push(new.wrapping_sub(old).cast_signed());
        }
        delta
    }

    /// The sample that this delta leads to from `held`. It may still break the bounds of a sample.
    fn applied_to(&self, held: &Snapshot) -> Result<Snapshot, StreamError> {
        if self.base != held.tick {
            return Err(StreamError::OutOfSequence { base: self.base, held: held.tick });
        }
        let mut sample = held.clone();
        self.reshape(&mut sample)?;
        let mut by = self.by.iter();
        let mut place = 0_usize;
        each_figure(&mut sample, &mut |figure| {
            let byte = self.moved.get(place / 8).copied().unwrap_or(0);
            let moved = byte >> (place % 8) & 1 == 1;
            place += 1;
            if !moved {
                return Ok(());
            }
            let by = by.next().ok_or(StreamError::Misfit)?;
            match figure.store(figure.load().wrapping_add(by.cast_unsigned())) {
                true => Ok(()),
                false => Err(StreamError::OutOfRange { figure: "a figure of a delta" }),
            }
        })?;
        let beyond = (place..self.moved.len() * 8)
            .any(|place| self.moved.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1));
        if beyond || by.next().is_some() {
            return Err(StreamError::Misfit);
        }
        sample.order_processes();
        Ok(sample)
    }

    /// Gives `sample` the rows that the figures speak of.
    fn reshape(&self, sample: &mut Snapshot) -> Result<(), StreamError> {
        for table in &self.tables {
            table.clone().put_into(sample);
        }
        let ascending = self.gone.is_sorted_by(|a, b| a < b);
        let within = self.gone.last().is_none_or(|last| usize::from(*last) < sample.processes.len());
        if !ascending || !within {
            return Err(StreamError::Misfit);
        }
        let mut place = 0_u8..;
        sample.processes.retain(|_| place.next().is_some_and(|place| self.gone.binary_search(&place).is_err()));
        if sample.processes.len() + self.joined.len() > TOP_PROCESSES {
            return Err(StreamError::TooMany { table: "processes", limit: TOP_PROCESSES });
        }
        sample.processes.extend(self.joined.iter().cloned());
        Ok(())
    }
}

/// Whether two rows are of one process under one name and owner: a program that starts another in its place is a new row.
fn same_row(a: &Process, b: &Process) -> bool {
    same_process(a, b) && (&a.name, &a.owner) == (&b.name, &b.owner)
}

fn same_process(a: &Process, b: &Process) -> bool {
    (a.pid, a.start_ticks) == (b.pid, b.start_ticks)
}

impl Table {
    /// The tables of `target` whose rows are not those of `base`; figures alone do not count.
    fn differing(base: &Snapshot, target: &Snapshot) -> Vec<Self> {
        let mut tables = Vec::new();
        if base.cores.len() != target.cores.len() {
            tables.push(Self::Cores(target.cores.clone()));
        }
        if base.pressure.is_some() != target.pressure.is_some() {
            tables.push(Self::Pressure(target.pressure));
        }
        if !same(&base.filesystems, &target.filesystems, |row| (&row.mount, &row.kind)) {
            tables.push(Self::Filesystems(target.filesystems.clone()));
        }
        if !same(&base.disks, &target.disks, |row| &row.name) {
            tables.push(Self::Disks(target.disks.clone()));
        }
        if !same(&base.networks, &target.networks, |row| &row.name) {
            tables.push(Self::Networks(target.networks.clone()));
        }
        if !same(&base.temperatures, &target.temperatures, |row| &row.label) {
            tables.push(Self::Temperatures(target.temperatures.clone()));
        }
        if base.unreadable != target.unreadable {
            tables.push(Self::Unreadable(target.unreadable.clone()));
        }
        if !same(&base.fans, &target.fans, |row| &row.label) {
            tables.push(Self::Fans(target.fans.clone()));
        }
        if !same(&base.power, &target.power, |row| &row.label) {
            tables.push(Self::Power(target.power.clone()));
        }
        if base.stuck != target.stuck {
            tables.push(Self::Stuck(target.stuck.clone()));
        }
        tables
    }

    fn put_into(self, sample: &mut Snapshot) {
        match self {
            Self::Cores(rows) => sample.cores = rows,
            Self::Pressure(pressure) => sample.pressure = pressure,
            Self::Filesystems(rows) => sample.filesystems = rows,
            Self::Disks(rows) => sample.disks = rows,
            Self::Networks(rows) => sample.networks = rows,
            Self::Temperatures(rows) => sample.temperatures = rows,
            Self::Unreadable(rows) => sample.unreadable = rows,
            Self::Fans(rows) => sample.fans = rows,
            Self::Power(rows) => sample.power = rows,
            Self::Stuck(rows) => sample.stuck = rows,
        }
    }
}

/// Whether two tables list the same things in the same order.
fn same<'a, T, K: PartialEq>(a: &'a [T], b: &'a [T], key: impl Fn(&'a T) -> K) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| key(a) == key(b))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test that indexes too far fails, as it should")]
mod tests;
