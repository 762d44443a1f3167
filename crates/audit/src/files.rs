//! Files that are whole or not there, and directories that are private.
//!
//! On Unix only: modes and owners mean what POSIX says. Another system gets its own file beside `files/unix.rs`.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use wire::{ids::SessionId, time::WallTime};

#[cfg(unix)]
#[path = "files/unix.rs"]
mod os;

/// How many names are tried for a temporary file before giving up; leftovers of crashed programs with the same process number
/// are what makes one fail.
const TEMPORARY_NAMES: u32 = 100;

/// Why a file or directory could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's own words.
        #[source]
        source: io::Error,
    },
    /// A file has no name, or no directory to be in.
    #[error("{} is not a path of a file", path.display())]
    NoFileName {
        /// Which.
        path: PathBuf,
    },
    /// Something else is in the way.
    #[error("{} is not a directory; choose another place", path.display())]
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// Another user can do there what they like.
    #[error("{} belongs to user {owner}, who could read and replace what is in it; choose another place", path.display())]
    OtherOwner {
        /// Which.
        path: PathBuf,
        /// Numeric user.
        owner: u32,
    },
    /// Others can add and replace files there.
    #[error("others may write to {path}; run `chmod go-w {path}` or choose another place", path = path.display())]
    WritableByOthers {
        /// Which.
        path: PathBuf,
    },
}

/// Writes a whole file, or leaves what was there: whoever reads `path` at any time sees the old contents or the new ones.
///
/// The bytes go to a temporary file in the same directory, are brought to the disk, and take the name with one rename. `mode` is the
/// exact mode, such as 0o600, whatever the process's mask. If `path` is a symbolic link, the link is replaced.
///
/// # Errors
///
/// What was at `path` is still there.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let (mut file, temporary) = create_temporary(path, mode)?;
    let written = file.write_all(bytes).and_then(|()| os::set_mode(&file, mode)).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| fs::rename(&temporary, path));
    if let Err(source) = placed {
        // The error that matters is the one above; a leftover temporary file harms nobody.
        let _ = fs::remove_file(&temporary);
        return Err(FileError::Io { doing: "write", path: path.to_owned(), source });
    }
    sync_directory_of(path)
}

/// Makes sure that `path` is a directory in which nobody else can put or replace anything. Missing ones are created with mode 0700,
/// parents included.
///
/// An existing one is left as it is: it may be readable by others, since the files in it are not.
///
/// # Errors
///
/// If it cannot be created, is no directory, belongs to another user, or can be written by others.
pub fn private_dir(path: &Path) -> Result<(), FileError> {
    os::create_private_dirs(path).map_err(io_error("create the directory", path))?;
    let metadata = fs::metadata(path).map_err(io_error("look at", path))?;
    if !metadata.is_dir() {
        return Err(FileError::NotADirectory { path: path.to_owned() });
    }
    os::check_private(path, &metadata)
}

/// Creates a file about one session in the private directory `dir`: new, mode 0600, open for appending, its name brought to the disk.
///
/// It is called by the time, the session and `kind`, such as `audit.jsonl`.
///
/// # Errors
///
/// If the directory is not private, or the file cannot be created. An empty file may be left behind.
pub fn create_record(dir: &Path, session: SessionId, wall: WallTime, kind: &str) -> Result<(File, PathBuf), FileError> {
    private_dir(dir)?;
    let (year, month, day, hour, minute, second) = wall.civil();
    let date = format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}");
    let path = dir.join(format!("{date}-{session}.{kind}"));
    let file = os::create_new(&path, 0o600, os::Position::Append).map_err(io_error("create", &path))?;
    sync_directory_of(&path)?;
    Ok((file, path))
}

fn create_temporary(path: &Path, mode: u32) -> Result<(File, PathBuf), FileError> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let no_name = || FileError::NoFileName { path: path.to_owned() };
    let name = path.file_name().ok_or_else(no_name)?.to_string_lossy().into_owned();
    let mut taken = None;
    for _ in 0..TEMPORARY_NAMES {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        match os::create_new(&temporary, mode, os::Position::Start) {
            Ok(file) => return Ok((file, temporary)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = Some(error),
            Err(source) => return Err(FileError::Io { doing: "create", path: temporary, source }),
        }
    }
    let source = taken.unwrap_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists));
    Err(FileError::Io { doing: "create a temporary file beside", path: path.to_owned(), source })
}

/// Brings a file's name to the disk.
fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    let dir = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("write the directory", dir))
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { doing, path, source }
}

#[cfg(test)]
mod tests;
