//! Failed proofs of a session code on the technician's side, counted across processes.
//!
//! Somebody between the two people who answers in place of the agent learns from each proof whether one guess of the code was
//! right. So a proof is written down before it is sent, and forgotten only when it succeeded. The file never holds a code: codes
//! are told apart by the salted digest of their public part.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use audit::files::{self, FileError};
use rand_core::CryptoRngCore;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use wire::{
    ids::{Digest, Locator},
    limits::{CODE_LIFETIME, CODE_TRIES},
    time::WallTime,
};

/// Keeps count in a directory of this user.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    directory: PathBuf,
}

/// One proof that was written down and has not succeeded. Dropped before it is [`sent`](Attempt::sent), it is forgotten.
#[derive(Debug)]
#[must_use = "a proof that succeeded has to be said so, or it counts as failed"]
pub(crate) struct Attempt {
    attempts: Attempts,
    code: Digest,
    at: WallTime,
    counts: bool,
}

/// Why no proof may be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AttemptError {
    /// Too many proofs of this code failed.
    #[error("{CODE_TRIES} proofs of this code failed; it is refused here for another {} min", minutes(*for_another))]
    UsedUp {
        /// Until it is no longer refused.
        for_another: Duration,
    },
    /// The count cannot be kept.
    #[error("failed attempts cannot be written down in {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The count cannot be kept.
    #[error("failed attempts cannot be written down")]
    Write(#[source] FileError),
}

fn minutes(time: Duration) -> u64 {
    time.as_secs().div_ceil(60)
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    salt: Digest,
    tries: Vec<Try>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Try {
    code: Digest,
    at: WallTime,
}

impl Attempts {
    /// Counts in `directory`, which is the technician's own.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Says early that a code is used up, before anybody is bothered. [`Attempts::begin`] decides.
    ///
    /// # Errors
    ///
    /// As [`Attempts::begin`]; nothing is written down.
    pub(crate) fn check(&self, locator: Locator, wall: WallTime) -> Result<(), AttemptError> {
        let _lock = self.lock()?;
        match self.read() {
            Some(record) => record.check(record.name_of(locator), wall),
            None => Ok(()),
        }
    }

    /// Writes a proof down as failed. The proof is sent only after this returned.
    ///
    /// # Errors
    ///
    /// [`AttemptError::UsedUp`], or the count could not be kept: no proof may be sent then.
    pub(crate) fn begin(
        &self,
        locator: Locator,
        wall: WallTime,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Attempt, AttemptError> {
        let _lock = self.lock()?;
        let mut record = self.read().unwrap_or_else(|| {
            let mut salt = [0; 32];
            rng.fill_bytes(&mut salt);
            Record { salt: Digest(salt), tries: Vec::new() }
        });
        record.tries.retain(|made| is_recent(*made, wall));
        let code = record.name_of(locator);
        record.check(code, wall)?;
        record.tries.push(Try { code, at: wall });
        self.write(&record)?;
        Ok(Attempt { attempts: self.clone(), code, at: wall, counts: false })
    }

    fn lock(&self) -> Result<File, AttemptError> {
        files::private_dir(&self.directory).map_err(AttemptError::Write)?;
        let path = self.directory.join("attempts.lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let locked = open.and_then(|file| Ok(flock(&file, FlockOperation::LockExclusive).map(|()| file)?));
        locked.map_err(|source| AttemptError::File { path, source })
    }

    /// A missing or damaged record counts as none: who can damage it can delete it as well.
    fn read(&self) -> Option<Record> {
        let bytes = std::fs::read(self.file()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write(&self, record: &Record) -> Result<(), AttemptError> {
        let json = serde_json::to_vec(record)
            .map_err(|error| AttemptError::File { path: self.file(), source: io::Error::other(error) })?;
        files::write_atomic(&self.file(), &json, 0o600).map_err(AttemptError::Write)
    }

    fn file(&self) -> PathBuf {
        self.directory.join("attempts.json")
    }
}

impl Record {
    fn name_of(&self, locator: Locator) -> Digest {
        trust::digest(&[&self.salt.0, locator.to_string().as_bytes()].concat())
    }

    fn check(&self, code: Digest, wall: WallTime) -> Result<(), AttemptError> {
        let failed = self.tries.iter().filter(|made| made.code == code && is_recent(**made, wall));
        let failed = failed.map(|made| wall.0.saturating_sub(made.at.0)).collect::<Vec<_>>();
        if failed.len() < usize::try_from(CODE_TRIES).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let oldest = Duration::from_millis(failed.into_iter().max().unwrap_or_default());
        Err(AttemptError::UsedUp { for_another: CODE_LIFETIME.saturating_sub(oldest) })
    }
}

/// Whether a proof still counts. One from the future (the clock was set back) counts as well, as long as it is near.
fn is_recent(made: Try, wall: WallTime) -> bool {
    Duration::from_millis(wall.0.abs_diff(made.at.0)) < CODE_LIFETIME
}

impl Attempt {
    /// The proof is about to leave this machine: from here on it counts as failed until it is forgotten.
    pub(crate) fn sent(mut self) -> Self {
        self.counts = true;
        self
    }

    /// The proof was right: it no longer counts.
    ///
    /// # Errors
    ///
    /// The count could not be changed; the proof goes on counting as failed.
    pub(crate) fn forget(mut self) -> Result<(), AttemptError> {
        self.counts = true;
        self.strike()
    }

    fn strike(&self) -> Result<(), AttemptError> {
        let _lock = self.attempts.lock()?;
        let Some(mut record) = self.attempts.read() else { return Ok(()) };
        let this = Try { code: self.code, at: self.at };
        if let Some(index) = record.tries.iter().position(|made| *made == this) {
            record.tries.remove(index);
        }
        self.attempts.write(&record)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.counts
            && let Err(error) = self.strike()
        {
            tracing::warn!(%error, "an attempt that was not made goes on counting");
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::OsRng;

    use super::*;

    const NOW: WallTime = WallTime(1_795_329_304_000);

    fn later(secs: u64) -> WallTime {
        WallTime(NOW.0 + secs * 1000)
    }

    fn locator(value: u32) -> Locator {
        Locator::new(value, 4).unwrap()
    }

    #[test]
    fn two_failed_proofs_of_a_code_refuse_a_third_for_ten_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        for secs in [0, 60] {
            attempts.check(locator(4821), later(secs)).unwrap();
            let _failed = attempts.begin(locator(4821), later(secs), &mut OsRng).unwrap().sent();
        }
        // Another process knows of it too.
        let attempts = Attempts::new(dir.path());
        let error = attempts.begin(locator(4821), later(120), &mut OsRng).unwrap_err();
        assert!(matches!(error, AttemptError::UsedUp { for_another } if for_another.as_secs() == 480), "{error}");
        assert!(attempts.check(locator(4821), later(120)).is_err());
        attempts.check(locator(4822), later(120)).expect("another code is another matter");
        attempts.check(locator(4821), later(600)).expect("the first failure is ten minutes old");
    }

    #[test]
    fn a_proof_that_succeeded_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        for secs in 0..10 {
            attempts.begin(locator(7), later(secs), &mut OsRng).unwrap().sent().forget().unwrap();
        }
        attempts.check(locator(7), later(10)).unwrap();
    }

    #[test]
    fn a_proof_that_never_left_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        for secs in 0..10 {
            let attempt = attempts.begin(locator(7), later(secs), &mut OsRng).unwrap();
            assert_eq!(attempts.read().unwrap().tries.len(), 1, "until that is certain it does");
            drop(attempt);
        }
        attempts.check(locator(7), later(10)).unwrap();
    }

    #[test]
    fn setting_the_clock_back_a_little_forgives_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        for _ in 0..2 {
            let _failed = attempts.begin(locator(7), later(300), &mut OsRng).unwrap().sent();
        }
        assert!(attempts.check(locator(7), NOW).is_err());
    }

    #[test]
    fn neither_code_nor_locator_stands_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let _failed = Attempts::new(dir.path()).begin(locator(4821), NOW, &mut OsRng).unwrap();
        let text = std::fs::read_to_string(dir.path().join("attempts.json")).unwrap();
        let record: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(record.tries.len(), 1);
        assert!(!text.contains("\"4821\""), "{text}");
    }

    #[test]
    fn a_damaged_record_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        let attempts = Attempts::new(dir.path());
        files::write_atomic(&attempts.file(), b"{", 0o600).unwrap();
        let _failed = attempts.begin(locator(7), NOW, &mut OsRng).unwrap();
        assert_eq!(attempts.read().unwrap().tries.len(), 1);
    }
}
