//! Sixty samples of many series in a few bytes each.
//!
//! A record is `mark | length | unpacked length | CRC-32 of the rest | zstd frame`, numbers little-endian in four bytes. The frame
//! holds when the block starts and its step, the series in it, and then column after column: differences in zigzag varints (as
//! Protocol Buffers have them). It can be read without any other.

use std::collections::BTreeMap;

use wire::{text::Label, time::WallTime};

use super::{
    figures::{Figure, SeriesKey},
    ring::ABSENT,
    subject::{Place, Subject},
};

/// Samples in a full block.
pub(crate) const SAMPLES: usize = 60;

/// Most series in a block.
pub(crate) const MAX_SERIES: usize = 256;

/// Most bytes of an unpacked block: one of 256 series with four columns each takes less even if nothing repeats.
const MAX_UNPACKED: usize = 512 * 1024;

/// Most bytes of a record.
pub(crate) const MAX_RECORD: usize = MAX_UNPACKED + 1024;

const HEADER: usize = 16;
const LEVEL: i32 = 3;

/// Milliseconds of the year 10000: no clock is right beyond.
const LAST_MS: u64 = 253_402_300_800_000;

/// Longest step, an hour.
const MAX_STEP_MS: u64 = 3_600_000;

/// What the columns of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Tier {
    /// One: every sample.
    Full,
    /// Four: lowest, highest, mean and last of each minute.
    Minute,
}

impl Tier {
    pub(crate) fn columns(self) -> usize {
        match self {
            Self::Full => 1,
            Self::Minute => 4,
        }
    }
}

/// Samples of many series at even steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) tier: Tier,
    pub(crate) start: WallTime,
    pub(crate) step_ms: u64,
    /// How far the wall clock was set just before this block; 0 if it was not.
    pub(crate) clock_step_ms: i64,
    /// Steps that it covers.
    pub(crate) count: usize,
    /// [`Tier::columns`] of each series, [`ABSENT`] where nothing was measured.
    pub(crate) series: BTreeMap<SeriesKey, Vec<Vec<i32>>>,
}

/// Why bytes are no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bad {
    /// There are not enough of them.
    Short,
    /// They are something else, or were changed.
    Damaged,
}

impl Block {
    /// What a record starts with.
    pub(crate) const MARK: [u8; 4] = *b"ABlk";

    /// When step `index` was measured.
    pub(crate) fn time(&self, index: usize) -> WallTime {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        WallTime(self.start.0.saturating_add(self.step_ms.saturating_mul(index)))
    }

    /// The record of this block. Series whose names must not get into a file, and those beyond [`MAX_SERIES`], are left out.
    ///
    /// # Errors
    ///
    /// What zstd says.
    pub(crate) fn encode(&self) -> std::io::Result<Vec<u8>> {
        let unpacked = self.unpacked();
        let body = zstd::bulk::compress(&unpacked, LEVEL)?;
        let mut record = Vec::with_capacity(HEADER + body.len());
        record.extend_from_slice(&Self::MARK);
        for length in [body.len(), unpacked.len()] {
            record.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(record.get(4..).unwrap_or_default());
        crc.update(&body);
        record.extend_from_slice(&crc.finalize().to_le_bytes());
        record.extend_from_slice(&body);
        Ok(record)
    }

    /// Reads the record that `bytes` start with, and how many bytes it has. Whatever the bytes are, it takes at most the memory
    /// of a block.
    pub(crate) fn decode(bytes: &[u8], tier: Tier) -> Result<(Self, usize), Bad> {
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or(Bad::Short)?;
        let number = |at: usize| -> Result<usize, Bad> {
            let field = header.get(at..at + 4).and_then(|field| field.try_into().ok()).ok_or(Bad::Short)?;
            usize::try_from(u32::from_le_bytes(field)).map_err(|_| Bad::Damaged)
        };
        let (length, unpacked, crc) = (number(4)?, number(8)?, number(12)?);
        if !header.starts_with(&Self::MARK) || length > MAX_RECORD || unpacked > MAX_UNPACKED {
            return Err(Bad::Damaged);
        }
        let body = rest.get(..length).ok_or(Bad::Short)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(header.get(4..12).unwrap_or_default());
        hasher.update(body);
        if usize::try_from(hasher.finalize()) != Ok(crc) {
            return Err(Bad::Damaged);
        }
        let mut buffer = vec![0; unpacked];
        let written = zstd::bulk::decompress_to_buffer(body, &mut buffer);
        if written.ok() != Some(unpacked) {
            return Err(Bad::Damaged);
        }
        let block = Self::from_unpacked(&buffer, tier).ok_or(Bad::Damaged)?;
        Ok((block, HEADER + length))
    }

    /// What goes into the frame.
    pub(super) fn unpacked(&self) -> Vec<u8> {
        let mut of_subject = BTreeMap::<Option<&Subject>, Vec<(Figure, &Vec<Vec<i32>>)>>::new();
        let kept = self.series.iter().filter(|(key, _)| key.subject.as_ref().is_none_or(Subject::may_be_kept));
        for (key, columns) in kept.take(MAX_SERIES) {
            // In a map by figure and then subject, the figures of each subject come in their order.
            of_subject.entry(key.subject.as_ref()).or_default().push((key.figure, columns));
        }
        let mut out = Vec::with_capacity(16 * 1024);
        put(&mut out, self.start.0);
        put(&mut out, self.step_ms);
        put(&mut out, zigzag(self.clock_step_ms));
        put_size(&mut out, self.count);
        put_size(&mut out, of_subject.len());
        for (subject, figures) in &of_subject {
            put_subject(&mut out, *subject);
            put(&mut out, figures.iter().fold(0, |bits, (figure, _)| bits | bit(*figure)));
        }
        for columns in of_subject.values().flatten().map(|(_, columns)| columns) {
            let mut columns = columns.iter();
            let Some(first) = columns.next() else { continue };
            put_column(&mut out, first.iter().map(known));
            for column in columns {
                // Highest, mean and last are told from the lowest, which they are close to.
                let offsets = column.iter().zip(first).map(|(code, low)| Some(known(code)? - known(low)?));
                put_column(&mut out, offsets);
            }
        }
        out
    }

    /// The block that a frame holds.
    pub(super) fn from_unpacked(bytes: &[u8], tier: Tier) -> Option<Self> {
        let mut input = Input(bytes);
        let start = input.number().filter(|start| *start < LAST_MS)?;
        let step_ms = input.number().filter(|step| (1..=MAX_STEP_MS).contains(step))?;
        let clock_step_ms = unzigzag(input.number()?);
        let count = input.size(SAMPLES)?;
        let subjects = input.size(MAX_SERIES)?;
        let mut keys = Vec::new();
        for _ in 0..subjects {
            let subject = input.subject()?;
            let bits = input.number()?;
            let figures = Figure::ALL.iter().filter(|figure| bits & bit(**figure) != 0);
            keys.extend(figures.map(|figure| SeriesKey { figure: *figure, subject: subject.clone() }));
            let unknown = Figure::ALL.iter().fold(bits, |bits, figure| bits & !bit(*figure));
            if unknown != 0 || keys.len() > MAX_SERIES {
                return None;
            }
        }
        let mut series = BTreeMap::new();
        for key in keys {
            let low = input.column(count)?;
            let mut columns = vec![codes(low.iter().copied())?];
            for _ in 1..tier.columns() {
                let offsets = input.column(count)?;
                let both = offsets.into_iter().zip(&low);
                columns.push(codes(
                    both.map(|(offset, low)| offset.zip(*low).map(|(offset, low)| low.saturating_add(offset))),
                )?);
            }
            if series.insert(key, columns).is_some() {
                return None;
            }
        }
        let block = Self { tier, start: WallTime(start), step_ms, clock_step_ms, count, series };
        input.0.is_empty().then_some(block)
    }
}

/// A code that is there.
fn known(code: &i32) -> Option<i64> {
    (*code != ABSENT).then(|| i64::from(*code))
}

fn code(value: i64) -> Option<i32> {
    i32::try_from(value).ok().filter(|code| *code != ABSENT)
}

fn bit(figure: Figure) -> u64 {
    Figure::ALL.iter().position(|other| *other == figure).map_or(0, |place| 1 << place)
}

/// None if any is no code.
fn codes(values: impl Iterator<Item = Option<i64>>) -> Option<Vec<i32>> {
    values.map(|value| value.map_or(Some(ABSENT), code)).collect()
}

/// Values that are all there, or a bit for each and then those that are there.
fn put_column(out: &mut Vec<u8>, values: impl Iterator<Item = Option<i64>> + Clone) {
    let whole = values.clone().all(|value| value.is_some());
    out.push(u8::from(!whole));
    if !whole {
        let mut bits = Vec::new();
        for (index, value) in values.clone().enumerate() {
            if index % 8 == 0 {
                bits.push(0_u8);
            }
            if let Some(byte) = bits.last_mut() {
                *byte |= u8::from(value.is_some()) << (index % 8);
            }
        }
        out.extend_from_slice(&bits);
    }
    let mut before = 0;
    for value in values.flatten() {
        put(out, zigzag(value - before));
        before = value;
    }
}

fn put_subject(out: &mut Vec<u8>, subject: Option<&Subject>) {
    let mut named = |kind: u8, name: &Label| {
        out.push(kind);
        out.push(u8::try_from(name.raw().len()).unwrap_or(0));
        out.extend_from_slice(name.raw().as_bytes());
    };
    match subject {
        None => out.push(0),
        Some(Subject::Disk(name)) => named(3, name),
        Some(Subject::Network(name)) => named(4, name),
        Some(Subject::Sensor(name)) => named(5, name),
        Some(Subject::Battery(name)) => named(6, name),
        Some(Subject::Program(name)) => named(7, name),
        Some(Subject::Place(place)) => {
            out.push(1);
            put_size(out, Place::ALL.iter().position(|other| other == place).unwrap_or(0));
        }
        Some(Subject::Device { major, minor }) => {
            out.push(2);
            put(out, (*major).into());
            put(out, (*minor).into());
        }
    }
}

fn put_size(out: &mut Vec<u8>, size: usize) {
    put(out, u64::try_from(size).unwrap_or(u64::MAX));
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_seven(value) | 0x80);
        value >>= 7;
    }
    out.push(low_seven(value));
}

fn low_seven(value: u64) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or(0)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A varint of at most 64 bits.
    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn size(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|size| *size <= most)
    }

    fn label(&mut self) -> Option<Label> {
        let length = self.byte()?;
        let text = std::str::from_utf8(self.take(length.into())?).ok()?;
        let label = Label::cut(text);
        (label.raw() == text).then_some(label)
    }

    /// Only subjects that would have been written.
    fn subject(&mut self) -> Option<Option<Subject>> {
        let subject = match self.byte()? {
            0 => return Some(None),
            1 => Subject::Place(*Place::ALL.get(self.size(Place::ALL.len())?)?),
            2 => {
                let (major, minor) = (self.number()?, self.number()?);
                Subject::Device { major: major.try_into().ok()?, minor: minor.try_into().ok()? }
            }
            3 => Subject::Disk(self.label()?),
            4 => Subject::Network(self.label()?),
            5 => Subject::Sensor(self.label()?),
            6 => Subject::Battery(self.label()?),
            7 => Subject::Program(self.label()?),
            _ => return None,
        };
        subject.may_be_kept().then_some(Some(subject))
    }

    fn column(&mut self, count: usize) -> Option<Vec<Option<i64>>> {
        let present = match self.byte()? {
            0 => None,
            1 => Some(self.take(count.div_ceil(8))?),
            _ => return None,
        };
        let mut before = 0_i64;
        let mut column = Vec::with_capacity(count);
        for index in 0..count {
            let there = |bits: &[u8]| bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            if present.is_none_or(there) {
                before = before.checked_add(unzigzag(self.number()?))?;
                column.push(Some(before));
            } else {
                column.push(None);
            }
        }
        Some(column)
    }
}

#[cfg(test)]
pub(super) mod tests;
