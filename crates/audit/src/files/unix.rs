//! Modes and owners as POSIX has them.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use super::FileError;

/// Where writing begins.
pub(super) enum Position {
    Start,
    Append,
}

/// Creates a file that must not be there yet; a symbolic link counts as being there.
pub(super) fn create_new(path: &Path, mode: u32, position: Position) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match position {
        Position::Start => options.write(true),
        Position::Append => options.append(true),
    };
    options.create_new(true).mode(mode).open(path)
}

/// Sets the exact mode, which the process's mask may have narrowed.
pub(super) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

pub(super) fn create_private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(super) fn check_private(path: &Path, metadata: &Metadata) -> Result<(), FileError> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(FileError::OtherOwner { path: path.to_owned(), owner: metadata.uid() });
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(FileError::WritableByOthers { path: path.to_owned() });
    }
    Ok(())
}
