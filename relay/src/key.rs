//! The relay's key: made at the first start, kept in the state directory, named in the relay link.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use audit::files::{self, FileError};
use rand_core::CryptoRngCore;
use trust::keys::{KeyError, SigningKey};
use zeroize::Zeroizing;

use crate::os;

/// Name of the key file: PKCS #8, DER.
pub const KEY_FILE: &str = "relay.key";

/// More than any Ed25519 key takes.
const KEY_FILE_BYTES: u64 = 4096;

/// Why there is no key to run with. The relay link depends on the key, so none is replaced.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum KeyFileError {
    /// There is no key where one is needed.
    #[error("there is no key in {}, so there is no relay link yet", path.display())]
    #[diagnostic(help(
        "start the relay once with `assent-relay serve`, with the same --state-dir, and as the same user"
    ))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("the relay's key {} cannot be read, so the relay was not started", path.display())]
    #[diagnostic(help("start the relay as the user who owns the file"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read it, or it belongs to somebody else.
    #[error("the relay's key {} can be read or changed by others, so the relay was not started", path.display())]
    #[diagnostic(help(
        "whoever had access may have the key. If you trust them: chmod 600, and let the relay's user own it. If not: move the file away; the next start makes a new key, and everybody needs the new relay link"
    ))]
    NotPrivate {
        /// The file.
        path: PathBuf,
    },
    /// The file is no key.
    #[error("the relay's key {} is damaged, so the relay was not started; the file was left as it is", path.display())]
    #[diagnostic(help(
        "restore it from a backup. Without one, move it away; the next start makes a new key, and everybody needs the new relay link"
    ))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// A new key cannot be kept.
    #[error("the relay's key cannot be kept in {}, so the relay was not started", path.display())]
    #[diagnostic(help(
        "name a directory of the relay's user with --state-dir; other users must not be able to write to it"
    ))]
    NotKept {
        /// The state directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// The state directory cannot be locked.
    #[error("the state directory {} cannot be locked, so the relay was not started", path.display())]
    #[diagnostic(help("name a directory on a local disk with --state-dir"))]
    NotLocked {
        /// The state directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Whether the key was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrigin {
    /// It was made now.
    Created,
    /// It was read.
    Kept,
}

/// Reads the key of a state directory.
///
/// # Errors
///
/// [`KeyFileError::Missing`] if there is none; otherwise what is wrong with the file.
pub fn load(state_dir: &Path) -> Result<SigningKey, KeyFileError> {
    let path = state_dir.join(KEY_FILE);
    let unreadable = |source| KeyFileError::Unreadable { path: path.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyFileError::Missing { path }),
        Err(error) => return Err(unreadable(error)),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !os::is_private(&metadata) {
        return Err(KeyFileError::NotPrivate { path });
    }
    if metadata.len() > KEY_FILE_BYTES {
        return Err(KeyFileError::Damaged { path, source: KeyError::NotPrivateKey });
    }
    let mut der = Zeroizing::new(Vec::new());
    file.take(KEY_FILE_BYTES).read_to_end(&mut der).map_err(unreadable)?;
    SigningKey::from_pkcs8(&der).map_err(|source| KeyFileError::Damaged { path, source })
}

/// Reads the key of a state directory, or makes directory and key at the first start.
///
/// # Errors
///
/// What is wrong with a file that is there, or [`KeyFileError::NotKept`].
pub fn load_or_create(state_dir: &Path, rng: &mut dyn CryptoRngCore) -> Result<(SigningKey, KeyOrigin), KeyFileError> {
    let not_kept = |source| KeyFileError::NotKept { path: state_dir.to_owned(), source };
    files::private_dir(state_dir).map_err(not_kept)?;
    // Two relays that start at once must not each make a key, of which one is lost.
    let locked = File::open(state_dir).and_then(|directory| os::lock(&directory).map(|()| directory));
    let _directory = locked.map_err(|source| KeyFileError::NotLocked { path: state_dir.to_owned(), source })?;
    match load(state_dir) {
        Ok(key) => Ok((key, KeyOrigin::Kept)),
        Err(KeyFileError::Missing { path }) => {
            let key = SigningKey::generate(rng);
            files::write_atomic(&path, &key.to_pkcs8(), 0o600).map_err(not_kept)?;
            Ok((key, KeyOrigin::Created))
        }
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    };

    use rand_core::OsRng;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_first_start_makes_a_private_key_and_later_ones_read_it() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("state/relay");
        let (made, origin) = load_or_create(&dir, &mut OsRng).unwrap();
        assert_eq!(origin, KeyOrigin::Created);
        assert_eq!(fs::metadata(dir.join(KEY_FILE)).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);

        let (kept, origin) = load_or_create(&dir, &mut OsRng).unwrap();
        assert_eq!(origin, KeyOrigin::Kept);
        assert_eq!(kept.public(), made.public());
        assert_eq!(load(&dir).unwrap().public(), made.public());
    }

    #[test]
    fn relays_that_start_at_the_same_time_end_up_with_the_same_key() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("relay");
        let keys = std::thread::scope(|scope| {
            let starts = (0..8).map(|_| scope.spawn(|| *load_or_create(&dir, &mut OsRng).unwrap().0.public()));
            starts.collect::<Vec<_>>().into_iter().map(|start| start.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(keys.iter().all(|key| Some(key) == keys.first()));
    }

    #[test]
    fn a_key_that_others_can_read_or_change_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        load_or_create(home.path(), &mut OsRng).unwrap();
        let path = home.path().join(KEY_FILE);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            set_mode(&path, mode);
            assert!(
                matches!(load_or_create(home.path(), &mut OsRng), Err(KeyFileError::NotPrivate { .. })),
                "{mode:o}"
            );
        }
        set_mode(&path, 0o400);
        assert!(load_or_create(home.path(), &mut OsRng).is_ok());
    }

    #[test]
    fn a_damaged_key_is_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        load_or_create(home.path(), &mut OsRng).unwrap();
        let path = home.path().join(KEY_FILE);
        let whole = fs::read(&path).unwrap();
        let mut longer = whole.clone();
        longer.extend([0; 8192]);
        for damaged in [Vec::new(), whole[..whole.len() - 1].to_vec(), vec![0x41; 48], longer] {
            files::write_atomic(&path, &damaged, 0o600).unwrap();
            let error = load_or_create(home.path(), &mut OsRng).unwrap_err();
            assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn there_is_no_link_before_the_first_start() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(load(home.path()), Err(KeyFileError::Missing { .. })));
    }

    #[test]
    fn a_state_directory_that_cannot_be_made_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        File::create(&file).unwrap();
        let error = load_or_create(&file.join("relay"), &mut OsRng).unwrap_err();
        assert!(matches!(error, KeyFileError::NotKept { .. }), "{error:?}");
        assert!(error.to_string().contains("file/relay"), "{error}");
    }
}
