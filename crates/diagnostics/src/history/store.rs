//! The history on disk: one writer, any number of readers.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    os::fd::OwnedFd,
    path::Path,
    time::Duration,
};

use wire::time::{Moment, WallTime};

use super::{
    block::{Block, Tier},
    figures::SeriesKey,
    file::{self, Damage, MAX_FILE},
    folder::{Folder, Name, StoreError},
    sealer::Sealer,
};

/// Most bytes of all files together.
pub const MAX_BYTES: u64 = 32 << 20;

/// Where less than this is free, in thousandths, nothing is written: others need it more.
const LEAST_FREE_PERMILLE: u128 = 50;

/// Files are brought to the disk no more often than this: each time wakes it up.
const SYNC_EVERY: Duration = Duration::from_secs(60);

/// For how long nothing is deleted after the wall clock was set: it may have been a mistake.
const CLOCK_DOUBT: Duration = Duration::from_secs(3600);

/// Most files of one tier. More come about only by a clock that is set again and again.
const MAX_TIER_FILES: usize = 64;

const HOURS_OF_A_DAY: u64 = 24;

/// Whether samples get to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreState {
    /// They do.
    Writing,
    /// Less than five percent of the disk is free.
    LowSpace,
    /// The disk or the user's share of it is full.
    NoSpace,
    /// The disk fails, or does not let this program write.
    Failing,
}

impl StoreState {
    /// Why samples do not get to the disk, in words; `None` if they do.
    pub fn why_not(self) -> Option<&'static str> {
        match self {
            Self::Writing => None,
            Self::LowSpace => Some("less than five percent of its disk is free"),
            Self::NoSpace => Some("its disk, or the user's share of it, is full"),
            Self::Failing => Some("its disk fails or does not let this program write"),
        }
    }
}

/// What became of everything so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreStatus {
    /// Whether samples get to the disk now, and the minutes that are made of them.
    pub state: StoreState,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of the files with every sample.
    pub full_bytes: u64,
    /// Blocks written since this program started.
    pub blocks_written: u64,
    /// Blocks given up because of [`StoreStatus::state`].
    pub blocks_lost: u64,
    /// Values that found no room because there are too many series.
    pub values_left_out: u64,
    /// How often the wall clock was set back.
    pub clock_set_back: u64,
    /// What was found to be wrong with the newest files when this program started; what was torn has been cut off.
    pub damage: Damage,
}

/// Writes the history: every sample for a day, minutes for thirty.
///
/// Errors while it writes show in [`Store::status`]: the samples are given up and counted, and it goes on when it can.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    /// Held for as long as this lives.
    _lock: OwnedFd,
    sealer: Sealer,
    files: BTreeMap<Name, u64>,
    full: Option<Current>,
    minute: Option<Current>,
    next_number: u64,
    last_sync: Option<Moment>,
    keep_all_until: Option<Moment>,
    limits: Limits,
    status: StoreStatus,
    /// What became of the last block of each tier.
    states: BTreeMap<Tier, StoreState>,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    name: Name,
    file: File,
    bytes: u64,
    /// As much of it is known to be on the disk.
    synced: u64,
    /// Blocks behind that.
    unsynced: u64,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: u64,
    space: fn(&Folder) -> io::Result<(u64, u64)>,
    sync: fn(&File) -> io::Result<()>,
}

impl Store {
    /// Opens the history at `path`, to write one sample every `period`. The folder is made if it is missing, and for this user alone;
    /// the one that it is in has to be there. If the newest files end in the middle of a block, they are cut.
    ///
    /// # Errors
    ///
    /// If another program writes there, or the folder is not this user's.
    pub fn open(path: &Path, period: Duration) -> Result<Self, StoreError> {
        Self::open_within(path, period, Limits { bytes: MAX_BYTES, space: Folder::space, sync: File::sync_data })
    }

    fn open_within(path: &Path, period: Duration, limits: Limits) -> Result<Self, StoreError> {
        let folder = Folder::open(path, true)?;
        let lock = folder.lock()?;
        let list = folder.list().map_err(|source| StoreError::Io { doing: "list", source })?;
        let mut store = Self {
            folder,
            _lock: lock,
            sealer: Sealer::new(period),
            files: list.into_iter().collect(),
            full: None,
            minute: None,
            next_number: 0,
            last_sync: None,
            keep_all_until: None,
            limits,
            status: StoreStatus {
                state: StoreState::Writing,
                bytes: 0,
                full_bytes: 0,
                blocks_written: 0,
                blocks_lost: 0,
                values_left_out: 0,
                clock_set_back: 0,
                damage: Damage::default(),
            },
            states: BTreeMap::new(),
        };
        store.next_number = store.files.keys().map(|name| name.number.saturating_add(1)).max().unwrap_or(0);
        store.full = store.go_on(Tier::Full);
        store.minute = store.go_on(Tier::Minute);
        Ok(store)
    }

    /// Takes the figures measured at `now`, which the wall clock called `at`.
    pub fn push(&mut self, figures: &[(SeriesKey, i64)], at: WallTime, now: Moment) {
        for block in self.sealer.push(figures, at, now) {
            self.write(&block, now);
        }
        if self.last_sync.is_none_or(|last| now - last >= SYNC_EVERY) {
            self.sync(now);
        }
    }

    /// Writes what has been taken, before the program ends.
    pub fn flush(&mut self, now: Moment) {
        for block in self.sealer.flush() {
            self.write(&block, now);
        }
        self.sync(now);
    }

    /// Reads what has been written.
    ///
    /// # Errors
    ///
    /// If the folder cannot be opened a second time.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        self.folder.again().map(|folder| Reader { folder })
    }

    /// What became of everything so far.
    pub fn status(&self) -> StoreStatus {
        let sum = |files: &mut dyn Iterator<Item = (&Name, &u64)>| {
            files.fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes))
        };
        let bytes = sum(&mut self.files.iter());
        let full_bytes = sum(&mut self.files.iter().filter(|(name, _)| name.tier == Tier::Full));
        // A minute that was written does not make up for the samples that were not.
        let trouble = self.states.values().copied().find(|state| *state != StoreState::Writing);
        let state = trouble.unwrap_or(StoreState::Writing);
        StoreStatus { state, bytes, full_bytes, values_left_out: self.sealer.left_out(), ..self.status }
    }

    /// The newest file of a tier, cut behind its last good block.
    fn go_on(&mut self, tier: Tier) -> Option<Current> {
        let name = *self.files.keys().rfind(|name| name.tier == tier)?;
        let Ok(bytes) = self.folder.read(name) else {
            self.status.damage.unreadable += 1;
            return None;
        };
        let (end, damage) = file::read(&bytes, tier, |_| {});
        self.status.damage.add(damage);
        let end = u64::try_from(end).unwrap_or(0);
        // Nothing is ever added to a file of which not even the start is known.
        let file = self.folder.append(name).ok().filter(|file| end > 0 && file.set_len(end).is_ok())?;
        self.files.insert(name, end);
        Some(Current { name, file, bytes: end, synced: end, unsynced: 0 })
    }

    fn write(&mut self, block: &Block, now: Moment) {
        if block.clock_step_ms != 0 {
            self.keep_all_until = Some(now + CLOCK_DOUBT);
        }
        if block.clock_step_ms < 0 && block.tier == Tier::Full {
            self.status.clock_set_back += 1;
        }
        self.expire(block, now);
        let written = self.try_write(block);
        match written {
            Ok(()) => self.status.blocks_written += 1,
            Err(_) => self.status.blocks_lost += 1,
        }
        self.states.insert(block.tier, written.err().unwrap_or(StoreState::Writing));
    }

    fn try_write(&mut self, block: &Block) -> Result<(), StoreState> {
        let record = block.encode().map_err(|_| StoreState::Failing)?;
        let length = u64::try_from(record.len()).unwrap_or(u64::MAX);
        let (free, whole) = (self.limits.space)(&self.folder).map_err(|error| state_of(&error))?;
        if u128::from(free) * 1000 < u128::from(whole) * LEAST_FREE_PERMILLE {
            return Err(StoreState::LowSpace);
        }
        let current = self.current(block, length)?;
        let name = current.name;
        let before = current.bytes;
        if let Err(error) = current.file.write_all(&record) {
            // A part of it may be there.
            let cut = current.file.set_len(before);
            if cut.is_err() {
                *self.current_of(block.tier) = None;
            }
            return Err(state_of(&error));
        }
        current.bytes += length;
        current.unsynced += 1;
        let bytes = current.bytes;
        self.files.insert(name, bytes);
        Ok(())
    }

    /// The file that `block` belongs into, with room for `length` more bytes.
    fn current(&mut self, block: &Block, length: u64) -> Result<&mut Current, StoreState> {
        let hour = Name::hour_of(block.tier, block.start.0);
        let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
        let fits = |current: &Current| {
            current.name.hour == hour && current.bytes.saturating_add(length) <= limit && block.clock_step_ms >= 0
        };
        let old = self.current_of(block.tier).take();
        let (old, past) = match old {
            Some(current) if fits(&current) => (Some(current), None),
            past => (None, past),
        };
        if let Some(past) = past {
            self.synced(block.tier, past);
        }
        let current = match old {
            Some(current) => current,
            None => self.begin(block.tier, hour)?,
        };
        let keep = [Some(current.name), self.full.as_ref().or(self.minute.as_ref()).map(|other| other.name)];
        *self.current_of(block.tier) = Some(current);
        self.make_room(length, keep)?;
        self.current_of(block.tier).as_mut().ok_or(StoreState::Failing)
    }

    fn begin(&mut self, tier: Tier, hour: u64) -> Result<Current, StoreState> {
        let name = Name { number: self.next_number, tier, hour };
        self.next_number = self.next_number.saturating_add(1);
        let mut file = self.folder.create(name).map_err(|error| state_of(&error))?;
        let header = file::header(tier);
        if let Err(error) = file.write_all(&header) {
            // It is empty or torn: a reader takes neither for a file of somebody else.
            let _ = self.folder.remove(name);
            return Err(state_of(&error));
        }
        let bytes = u64::try_from(header.len()).unwrap_or(0);
        self.files.insert(name, bytes);
        Ok(Current { name, file, bytes, synced: 0, unsynced: 0 })
    }

    /// Unlinks files until `length` more bytes fit: those of every sample first, the oldest first.
    fn make_room(&mut self, length: u64, keep: [Option<Name>; 2]) -> Result<(), StoreState> {
        loop {
            let bytes = self.files.values().fold(length, |sum, bytes| sum.saturating_add(*bytes));
            if bytes <= self.limits.bytes {
                return Ok(());
            }
            let spare = self.files.keys().filter(|name| !keep.contains(&Some(**name)));
            let oldest = spare.min_by_key(|name| (name.tier, name.number)).copied().ok_or(StoreState::NoSpace)?;
            self.remove(oldest).map_err(|error| state_of(&error))?;
        }
    }

    /// Unlinks what is older than it may become, and what there is too much of.
    fn expire(&mut self, block: &Block, now: Moment) {
        let hour = Name::hour_of(Tier::Full, block.start.0);
        let trusted = self.keep_all_until.is_none_or(|until| now >= until);
        let expired = |name: &Name| {
            let lives = match name.tier {
                Tier::Full => HOURS_OF_A_DAY,
                Tier::Minute => 30 * HOURS_OF_A_DAY,
            };
            trusted && name.hour.saturating_add(Name::hours(name.tier)).saturating_add(lives) <= hour
        };
        let mut gone = self.files.keys().filter(|name| expired(name)).copied().collect::<Vec<_>>();
        for tier in [Tier::Full, Tier::Minute] {
            let of_tier = self.files.keys().filter(|name| name.tier == tier);
            gone.extend(of_tier.rev().skip(MAX_TIER_FILES).copied());
        }
        for name in gone {
            // One that cannot be unlinked now is tried again with the next block.
            let _ = self.remove(name);
        }
    }

    fn remove(&mut self, name: Name) -> io::Result<()> {
        match self.folder.remove(name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.files.remove(&name);
        let current = self.current_of(name.tier);
        if current.as_ref().is_some_and(|current| current.name == name) {
            *current = None;
        }
        Ok(())
    }

    fn sync(&mut self, now: Moment) {
        let mut any = false;
        for tier in [Tier::Full, Tier::Minute] {
            if let Some(current) = self.current_of(tier).take_if(|current| current.synced < current.bytes) {
                *self.current_of(tier) = self.synced(tier, current);
                any = true;
            }
        }
        if any {
            self.last_sync = Some(now);
            // The names too. A folder that cannot be synced is brought to the disk by the kernel in a while.
            let _ = self.folder.sync();
        }
    }

    /// Brings a file to the disk. Where that fails, what was added to it is lost, although the kernel took it, and nothing more is: whether
    /// anything can be written shows when the next file is begun.
    fn synced(&mut self, tier: Tier, mut current: Current) -> Option<Current> {
        if current.synced == current.bytes {
            return Some(current);
        }
        match (self.limits.sync)(&current.file) {
            // Invalid is what a file system says that has nowhere to bring it to (fsync(2)).
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                self.status.blocks_written = self.status.blocks_written.saturating_sub(current.unsynced);
                self.status.blocks_lost += current.unsynced;
                self.states.insert(tier, state_of(&error));
                // Nobody shall read what does not last. What refuses to be written may refuse this as well.
                if current.synced == 0 {
                    let _ = self.remove(current.name);
                } else if current.file.set_len(current.synced).is_ok() {
                    self.files.insert(current.name, current.synced);
                }
                None
            }
            Ok(()) | Err(_) => {
                (current.synced, current.unsynced) = (current.bytes, 0);
                Some(current)
            }
        }
    }

    fn current_of(&mut self, tier: Tier) -> &mut Option<Current> {
        match tier {
            Tier::Full => &mut self.full,
            Tier::Minute => &mut self.minute,
        }
    }
}

fn state_of(error: &io::Error) -> StoreState {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) {
        true => StoreState::NoSpace,
        false => StoreState::Failing,
    }
}

/// Reads the history, also while it is written.
#[derive(Debug)]
pub struct Reader {
    folder: Folder,
}

impl Reader {
    /// Opens the history at `path`.
    ///
    /// # Errors
    ///
    /// If it is not there, or not this user's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Folder::open(path, false).map(|folder| Self { folder })
    }

    /// Hands every good block of a tier that may hold something of `from..to` to `take`, in the order they were written.
    pub(super) fn blocks(&self, tier: Tier, from: WallTime, to: WallTime, mut take: impl FnMut(Block)) -> Damage {
        /// No block covers more than this.
        const LONGEST_MS: u64 = 3_600_000;
        let mut damage = Damage::default();
        let Ok(list) = self.folder.list() else {
            return Damage { unreadable: 1, ..damage };
        };
        for (name, _) in list.into_iter().filter(|(name, _)| name.tier == tier) {
            let hours_ms = Name::hours(tier) * 3_600_000;
            let end = name.start_ms().saturating_add(hours_ms).saturating_add(LONGEST_MS);
            if name.start_ms() >= to.0 || end <= from.0 {
                continue;
            }
            match self.folder.read(name) {
                Ok(bytes) => damage.add(file::read(&bytes, tier, &mut take).1),
                // It was unlinked in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => damage.unreadable += 1,
            }
        }
        damage
    }
}

#[cfg(test)]
mod tests;
