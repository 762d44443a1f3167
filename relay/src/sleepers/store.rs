//! What of sleeping agents outlives the relay: the roots of their keys, and who has which slot.
//!
//! Neither address nor counter is kept: a restarted relay asks each agent to show where it is. The table is no secret, and is of no use
//! without the roots. A table that is older than it might be does no harm: agents that are not in it are not answered, and connect.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use audit::files;
use rand_core::CryptoRngCore;
use trust::beat::BeatRoot;
use wire::{beat::KeyEpoch, ids::AgentId};

/// Name of the file with the roots.
const ROOTS_FILE: &str = "sleep-roots";

/// Name of the file with the table.
const TABLE_FILE: &str = "sleep-table";

const ROOTS_MAGIC: &[u8; 16] = b"assent-roots-v1\n";
const TABLE_MAGIC: &[u8; 16] = b"assent-sleep-v1\n";

/// Roots that are kept: the present one and those of two periods before.
const KEPT: usize = 3;

const ENTRY_BYTES: usize = 4 + 2 + 1 + 16;

/// Whether roots were there before. A table is of use only with the roots that it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Kept,
    Drawn,
}

/// The roots of the present period and of those before it.
#[derive(Debug, Clone)]
pub(super) struct Roots {
    /// How often the relay was started.
    pub(super) run: u32,
    /// Count of the present root.
    pub(super) epoch: u32,
    /// The present one first.
    roots: Vec<BeatRoot>,
}

impl Roots {
    /// Roots that nobody else has.
    pub(super) fn draw(rng: &mut dyn CryptoRngCore) -> Self {
        // A number that no earlier run without a file had, unless by accident.
        Self { run: 1 + (rng.next_u32() >> 8), epoch: rng.next_u32() >> 8, roots: vec![BeatRoot::draw(rng)] }
    }

    /// The roots of a state directory, for one more run; new ones if there are none, or if they cannot be read.
    ///
    /// # Errors
    ///
    /// They cannot be kept.
    pub(super) fn open(dir: &Path, rng: &mut dyn CryptoRngCore) -> io::Result<(Self, Origin)> {
        let bytes = read(&dir.join(ROOTS_FILE), ROOTS_MAGIC.len() + 9 + KEPT * BeatRoot::BYTES)?;
        let kept = bytes.as_deref().map(Self::parse);
        if matches!(kept, Some(None)) {
            tracing::warn!(
                "the roots of sleeping agents' keys are damaged; new ones are drawn, and the agents connect"
            );
        }
        let (mut roots, origin) = match kept.flatten() {
            Some(roots) => (roots, Origin::Kept),
            None => (Self::draw(rng), Origin::Drawn),
        };
        roots.run = roots.run.saturating_add(1);
        roots.keep(dir)?;
        Ok((roots, origin))
    }

    /// Starts a new period.
    pub(super) fn rotate(&mut self, rng: &mut dyn CryptoRngCore) {
        self.epoch = self.epoch.wrapping_add(1);
        self.roots.insert(0, BeatRoot::draw(rng));
        self.roots.truncate(KEPT);
    }

    /// # Errors
    ///
    /// The file cannot be written; an earlier one is left as it is.
    pub(super) fn keep(&self, dir: &Path) -> io::Result<()> {
        let mut bytes = ROOTS_MAGIC.to_vec();
        bytes.extend(self.run.to_le_bytes());
        bytes.extend(self.epoch.to_le_bytes());
        bytes.push(u8::try_from(self.roots.len()).unwrap_or_default());
        for root in &self.roots {
            bytes.extend(root.to_bytes().as_slice());
        }
        let bytes = zeroize::Zeroizing::new(bytes);
        files::write_atomic(&dir.join(ROOTS_FILE), &bytes, 0o600).map_err(io::Error::other)
    }

    /// The root of the present period.
    pub(super) fn present(&self) -> &BeatRoot {
        &self.roots[0]
    }

    /// The root that is meant by the bits in a packet or a table, if it is still kept.
    pub(super) fn of(&self, epoch: KeyEpoch) -> Option<&BeatRoot> {
        let mut roots = (0..).zip(&self.roots);
        roots.find(|(back, _)| KeyEpoch::of(self.epoch.wrapping_sub(*back)) == epoch).map(|(_, root)| root)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(ROOTS_MAGIC)?;
        let (run, bytes) = bytes.split_first_chunk()?;
        let (epoch, bytes) = bytes.split_first_chunk()?;
        let (count, bytes) = bytes.split_first()?;
        let (roots, rest) = bytes.as_chunks::<{ BeatRoot::BYTES }>();
        let right = rest.is_empty() && roots.len() == usize::from(*count) && (1..=KEPT).contains(&roots.len());
        right.then(|| Self {
            run: u32::from_le_bytes(*run),
            epoch: u32::from_le_bytes(*epoch),
            roots: roots.iter().map(|root| BeatRoot::from_bytes(*root)).collect(),
        })
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) slot: u32,
    pub(super) generation: u16,
    pub(super) epoch: KeyEpoch,
    pub(super) agent: AgentId,
}

/// A table as it is written.
#[derive(Debug)]
pub(super) struct TableText(Vec<u8>);

impl TableText {
    pub(super) fn new() -> Self {
        Self(TABLE_MAGIC.to_vec())
    }

    pub(super) fn push(&mut self, kept: Kept) {
        let Kept { slot, generation, epoch, agent } = kept;
        self.0.extend(slot.to_le_bytes());
        self.0.extend(generation.to_le_bytes());
        self.0.push(epoch.bits());
        self.0.extend(agent.0);
    }

    /// # Errors
    ///
    /// The file cannot be written; an earlier one is left as it is.
    pub(super) fn keep(&self, dir: &Path) -> io::Result<()> {
        files::write_atomic(&dir.join(TABLE_FILE), &self.0, 0o600).map_err(io::Error::other)
    }
}

/// Reads the table of an earlier run, of at most `most` agents. A damaged one is as good as none.
pub(super) fn read_table(dir: &Path, most: usize) -> io::Result<Vec<Kept>> {
    let bytes = read(&dir.join(TABLE_FILE), TABLE_MAGIC.len() + most.saturating_mul(ENTRY_BYTES))?;
    let Some(bytes) = bytes.as_deref().and_then(|bytes| bytes.strip_prefix(TABLE_MAGIC)) else { return Ok(Vec::new()) };
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    let kept = entries.iter().map(|[s0, s1, s2, s3, g0, g1, epoch, agent @ ..]| Kept {
        slot: u32::from_le_bytes([*s0, *s1, *s2, *s3]),
        generation: u16::from_le_bytes([*g0, *g1]),
        epoch: KeyEpoch::of(u32::from(*epoch)),
        agent: AgentId(*agent),
    });
    Ok(kept.collect())
}

/// At most so many bytes of a file; `None` if there is none.
fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(most as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
