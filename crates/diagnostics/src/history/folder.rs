//! The folder of the history: private, links not followed, one writer.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

use super::{block::Tier, file::MAX_FILE};

/// Why there is no history on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused.
    #[error("cannot {doing} the folder of the history")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// Another user could read and replace what is in it.
    #[error("the folder of the history belongs to user {owner}")]
    OtherOwner {
        /// Numeric user.
        owner: u32,
    },
    /// Another program writes to it.
    #[error("another program writes the history")]
    InUse,
}

/// Most files that are looked at.
const MAX_FILES: usize = 512;

const HOUR_MS: u64 = 3_600_000;

/// What a file is called: its tier, the hour in which it begins, and a number that counts all files ever begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) number: u64,
    pub(crate) tier: Tier,
    /// Hours since 1970.
    pub(crate) hour: u64,
}

impl Name {
    fn parse(name: &str) -> Option<Self> {
        let (tier, rest) = match name.split_once('-')? {
            ("full", rest) => (Tier::Full, rest),
            ("minute", rest) => (Tier::Minute, rest),
            _ => return None,
        };
        let (hour, number) = rest.strip_suffix(".history")?.split_once('-')?;
        let parsed = Self { number: number.parse().ok()?, tier, hour: hour.parse().ok()? };
        // Only names that this program gives: no signs, no missing zeros.
        (parsed.text() == name).then_some(parsed)
    }

    fn text(self) -> String {
        let tier = match self.tier {
            Tier::Full => "full",
            Tier::Minute => "minute",
        };
        format!("{tier}-{:09}-{:010}.history", self.hour, self.number)
    }

    /// Milliseconds since 1970 at which it begins.
    pub(crate) fn start_ms(self) -> u64 {
        self.hour.saturating_mul(HOUR_MS)
    }

    /// Hours that one file of a tier takes in.
    pub(crate) fn hours(tier: Tier) -> u64 {
        match tier {
            Tier::Full => 1,
            Tier::Minute => 24,
        }
    }

    /// The hour in which the file begins that a block of `at_ms` belongs into.
    pub(crate) fn hour_of(tier: Tier, at_ms: u64) -> u64 {
        let hour = at_ms / HOUR_MS;
        hour - hour % Self::hours(tier)
    }
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens it a second time.
    pub(crate) fn again(&self) -> Result<Self, StoreError> {
        let again = self.0.try_clone().map_err(|source| StoreError::Io { doing: "open", source })?;
        Ok(Self(again))
    }

    /// Opens `path`, which belongs to this user. With `create` it is made if it is missing, and made private if it is not.
    pub(crate) fn open(path: &Path, create: bool) -> Result<Self, StoreError> {
        let error = |doing| move |errno: Errno| StoreError::Io { doing, source: errno.into() };
        if create {
            match rustix::fs::mkdir(path, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(error("create")(errno)),
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(error("open"))?;
        let stat = rustix::fs::fstat(&folder).map_err(error("look at"))?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(StoreError::OtherOwner { owner: stat.st_uid });
        }
        if create && stat.st_mode & 0o777 != 0o700 {
            rustix::fs::fchmod(&folder, Mode::RWXU).map_err(error("make private"))?;
        }
        Ok(Self(folder))
    }

    /// Takes the place of the one writer for as long as the result is kept.
    pub(crate) fn lock(&self) -> Result<OwnedFd, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let error = |errno: Errno| StoreError::Io { doing: "lock", source: errno.into() };
        let file = rustix::fs::openat(&self.0, "lock", flags, Mode::RUSR | Mode::WUSR).map_err(error)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(file),
            Err(Errno::WOULDBLOCK) => Err(StoreError::InUse),
            Err(errno) => Err(error(errno)),
        }
    }

    /// The files of the history with their sizes, in the order they were begun.
    pub(crate) fn list(&self) -> io::Result<Vec<(Name, u64)>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.0)?.take(8 * MAX_FILES) {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().and_then(Name::parse) else { continue };
            let Ok(stat) = rustix::fs::statat(&self.0, name.text(), AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                files.push((name, u64::try_from(stat.st_size).unwrap_or(0)));
            }
        }
        files.sort();
        // The newest ones, if somebody filled the folder.
        Ok(files.split_off(files.len().saturating_sub(MAX_FILES)))
    }

    /// At most [`MAX_FILE`] bytes of a file.
    pub(crate) fn read(&self, name: Name) -> io::Result<Vec<u8>> {
        // Not to wait for the other end, should it be a pipe.
        let file = self.open_file(name, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A new file.
    pub(crate) fn create(&self, name: Name) -> io::Result<File> {
        self.open_file(name, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL)
    }

    /// An old file, to go on with.
    pub(crate) fn append(&self, name: Name) -> io::Result<File> {
        self.open_file(name, OFlags::WRONLY | OFlags::APPEND)
    }

    fn open_file(&self, name: Name, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name.text(), flags, Mode::RUSR | Mode::WUSR)?;
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
            true => Ok(file.into()),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")),
        }
    }

    pub(crate) fn remove(&self, name: Name) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name.text(), AtFlags::empty())?)
    }

    /// Brings the names to the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Space that this user may still take and space in all, in the same unit.
    pub(crate) fn space(&self) -> io::Result<(u64, u64)> {
        let answer = rustix::fs::fstatvfs(&self.0)?;
        Ok((answer.f_bavail, answer.f_blocks))
    }
}
