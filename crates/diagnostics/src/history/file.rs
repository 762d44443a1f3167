//! A file of blocks, as bytes: `magic | version | tier | 0 | CRC-32 of that`, and then records.

use super::block::{Bad, Block, MAX_RECORD, Tier};

/// Most bytes of a file: an hour of 256 restless series takes less. What is beyond is not read.
pub(crate) const MAX_FILE: usize = 4 << 20;

const MAGIC: [u8; 8] = *b"AssentHi";
/// Version of the files: a reader leaves others alone.
const VERSION: u16 = 1;
const HEADER: usize = 16;

/// How often reading takes up again behind damage. Bounds the work that a file of nothing but marks can cause.
const MAX_RESUMES: u32 = 64;

/// What is wrong with a file, or with many together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Damage {
    /// Stretches in the middle of files that are no blocks, and were skipped.
    pub skipped: u32,
    /// Files whose last block was torn off.
    pub torn: u32,
    /// Files that are no history, or of another version.
    pub foreign: u32,
    /// Files that could not be read.
    pub unreadable: u32,
}

impl Damage {
    pub(crate) fn add(&mut self, other: Self) {
        self.skipped += other.skipped;
        self.torn += other.torn;
        self.foreign += other.foreign;
        self.unreadable += other.unreadable;
    }
}

/// The first bytes of a file.
pub(crate) fn header(tier: Tier) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let [low, high] = VERSION.to_le_bytes();
    let tier = match tier {
        Tier::Full => 1,
        Tier::Minute => 2,
    };
    let fields = MAGIC.into_iter().chain([low, high, tier, 0]);
    header.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    let crc = crc32fast::hash(header.get(..12).unwrap_or_default()).to_le_bytes();
    header.iter_mut().skip(12).zip(crc).for_each(|(byte, crc)| *byte = crc);
    header
}

/// Hands every good block of a file to `take`, in the order they were written. Returns where the last good block ends, which is
/// where the file may be gone on with, and what was wrong. 0 means that not even the start is good.
pub(crate) fn read(bytes: &[u8], tier: Tier, mut take: impl FnMut(Block)) -> (usize, Damage) {
    let mut damage = Damage::default();
    if !bytes.starts_with(&header(tier)) {
        // A file that was torn while it was begun is nobody else's.
        match header(tier).starts_with(bytes) {
            true => damage.torn += 1,
            false => damage.foreign += 1,
        }
        return (0, damage);
    }
    let (mut at, mut good_end) = (HEADER, HEADER);
    let mut in_damage = false;
    let mut resumes = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match Block::decode(rest, tier) {
            Ok((block, length)) => {
                damage.skipped += u32::from(in_damage);
                in_damage = false;
                take(block);
                at += length;
                good_end = at;
            }
            Err(Bad::Short | Bad::Damaged) => {
                in_damage = true;
                resumes += 1;
                let next = rest.get(1..).and_then(next_mark);
                match next {
                    Some(skip) if resumes < MAX_RESUMES => at += 1 + skip,
                    Some(_) | None => break,
                }
            }
        }
    }
    damage.torn += u32::from(in_damage);
    (good_end, damage)
}

/// Checks what has to hold whatever a file holds, for fuzzers: the first byte says what the rest is. Returns whether there was a block.
///
/// # Panics
///
/// If a rule is broken.
#[doc(hidden)]
pub fn check_any(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else { return false };
    let tier = if kind % 2 == 0 { Tier::Full } else { Tier::Minute };
    if *kind >= 2 {
        let Some(block) = Block::from_unpacked(rest, tier) else { return false };
        let record = block.encode().expect("what was unpacked can be packed");
        assert_eq!(Block::decode(&record, tier), Ok((block, record.len())), "a block changed on its way");
        return true;
    }
    let mut blocks = Vec::new();
    let (end, damage) = read(rest, tier, |block| blocks.push(block));
    let kept = rest.get(..end).expect("a file is good up to some place in it");
    let mut again = Vec::new();
    let (same_end, rest_of_damage) = read(kept, tier, |block| again.push(block));
    assert!(again == blocks && same_end == end, "cutting a file lost a block");
    assert!(end == 0 || rest_of_damage == Damage { torn: 0, ..damage }, "a file that was cut is not whole");
    !blocks.is_empty()
}

/// Where the next record could begin.
fn next_mark(bytes: &[u8]) -> Option<usize> {
    const { assert!(MAX_RECORD < MAX_FILE, "a file holds more than one record") };
    bytes.windows(Block::MARK.len()).position(|window| window == Block::MARK)
}

#[cfg(test)]
mod tests;
