//! How many bytes a stream may still take, and what is left out when that is not enough.

use super::{Delta, Panel, Snapshot, StreamFrame, same_process, same_row};
use crate::codec;

/// Most bytes of a stream in a second, over more than a moment.
pub const BYTES_A_SECOND: u32 = 8 * 1024;

/// Most bytes at a time beyond that: a view with everything in it, opened on a large machine.
pub const BURST_BYTES: u32 = 16 * 1024;

/// Most bytes in a second for processes that come into the list or change their names. A list of which every row is
/// another each second cannot be read anyway.
pub const ROW_BYTES_A_SECOND: u32 = 512;

/// Most bytes at a time for such rows: a whole list of ordinary ones.
const ROW_BURST_BYTES: u32 = 2 * 1024;

/// Bytes that may be sent now, of everything and of process rows.
#[derive(Debug)]
pub(super) struct Allowance {
    all: Bucket,
    rows: Bucket,
}

/// Fills with time up to its burst. Something larger than that is let through when it is full, and makes a debt.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    a_second: u32,
    burst: u32,
    left: i64,
}

impl Bucket {
    fn full(a_second: u32, burst: u32) -> Self {
        Self { a_second, burst, left: i64::from(burst) }
    }

    fn refill(&mut self, millis: u32) {
        let more = u64::from(self.a_second) * u64::from(millis) / 1000;
        self.left = self.left.saturating_add_unsigned(more).min(i64::from(self.burst));
    }

    fn allows(&self, bytes: usize) -> bool {
        self.left >= i64::from(self.burst) || u64::try_from(self.left).is_ok_and(|left| bytes as u64 <= left)
    }

    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub_unsigned(bytes as u64);
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self { all: Bucket::full(BYTES_A_SECOND, BURST_BYTES), rows: Bucket::full(ROW_BYTES_A_SECOND, ROW_BURST_BYTES) }
    }
}

impl Allowance {
    /// Adds what the time since the sample before allows.
    pub(super) fn refill(&mut self, interval_ms: u32) {
        self.all.refill(interval_ms);
        self.rows.refill(interval_ms);
    }

    /// Takes off what `frame` costs.
    pub(super) fn spend(&mut self, frame: &StreamFrame) {
        self.all.spend(codec::size_of(frame));
    }

    /// Leaves as much of `target` as it was in `base` as it takes to keep within the bytes, counts that, and returns what leads
    /// from the one to the other.
    pub(super) fn fit(&mut self, base: &Snapshot, target: &mut Snapshot) -> Delta {
        target.withheld = target.withheld.saturating_add(self.fit_rows(base, target));
        let mut delta = Delta::between(base, target);
        for keep in SACRIFICES {
            if self.all.allows(codec::size_of(&delta)) {
                break;
            }
            if keep(base, target) {
                target.withheld = target.withheld.saturating_add(1);
                delta = Delta::between(base, target);
            }
        }
        delta
    }

    /// Lets process rows in as long as there is room for them, in the order of the list; returns how many did not come in. A
    /// process that merely changed its name goes on under the old one.
    fn fit_rows(&mut self, base: &Snapshot, target: &mut Snapshot) -> u64 {
        let mut withheld = 0;
        target.processes.retain_mut(|row| {
            if base.processes.iter().any(|held| same_row(held, row)) {
                return true;
            }
            let bytes = codec::size_of(row);
            if self.rows.allows(bytes) {
                self.rows.spend(bytes);
                return true;
            }
            withheld += 1;
            match base.processes.iter().find(|held| same_process(held, row)) {
                Some(held) => {
                    row.name = held.name.clone();
                    row.owner = held.owner.clone();
                    true
                }
                None => false,
            }
        });
        withheld
    }
}

/// Gives a table of the second sample the rows of the first, unless the view lost it; says whether that changed anything.
type Keep = fn(&Snapshot, &mut Snapshot) -> bool;

/// What is kept back first, until the rest fits: processes, then what has many rows or moves most, last what says least often
/// something new.
const SACRIFICES: [Keep; 10] = [
    |base, target| keep(Panel::Processes, base, target, |sample| &mut sample.processes),
    |base, target| keep(Panel::Processes, base, target, |sample| &mut sample.stuck),
    |base, target| keep(Panel::Overview, base, target, |sample| &mut sample.unreadable),
    |base, target| keep(Panel::Cores, base, target, |sample| &mut sample.cores),
    |base, target| keep(Panel::Temperatures, base, target, |sample| &mut sample.power),
    |base, target| keep(Panel::Temperatures, base, target, |sample| &mut sample.fans),
    |base, target| keep(Panel::Temperatures, base, target, |sample| &mut sample.temperatures),
    |base, target| keep(Panel::Networks, base, target, |sample| &mut sample.networks),
    |base, target| keep(Panel::Disks, base, target, |sample| &mut sample.disks),
    |base, target| keep(Panel::Filesystems, base, target, |sample| &mut sample.filesystems),
];

fn keep<T: Clone + PartialEq>(
    panel: Panel,
    base: &Snapshot,
    target: &mut Snapshot,
    table: fn(&mut Snapshot) -> &mut Vec<T>,
) -> bool {
    if !target.view.panels.contains(panel) {
        return false;
    }
    let mut base = base.clone();
    let held = std::mem::take(table(&mut base));
    let rows = table(target);
    let changed = *rows != held;
    *rows = held;
    changed
}
