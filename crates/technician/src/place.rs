//! Where the technician's files lie, after the XDG base directory specification
//! (<https://specifications.freedesktop.org/basedir-spec/latest/>).

use std::{
    env, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// `config.toml`.
    pub(crate) config_file: PathBuf,
    /// Key, certificate, receipts, failed attempts, the developers' log.
    pub(crate) state: PathBuf,
    /// Sockets of live sessions.
    pub(crate) runtime: PathBuf,
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PlaceError {
    /// There is nowhere to keep anything.
    #[error("neither HOME nor the XDG variables name a directory")]
    NoHome,
    /// The directory cannot be made or looked at.
    #[error("{} cannot be used", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Somebody else could put sockets there, or answer on ours.
    #[error("{} {problem}", path.display())]
    NotPrivate { path: PathBuf, problem: &'static str },
}

impl Places {
    /// Reads the environment. Nothing is created.
    ///
    /// # Errors
    ///
    /// [`PlaceError::NoHome`].
    pub(crate) fn from_environment() -> Result<Self, PlaceError> {
        let user = rustix::process::geteuid().as_raw();
        Self::resolve(|name| env::var_os(name).map(PathBuf::from), Path::is_dir, user)
    }

    fn resolve(
        variable: impl Fn(&str) -> Option<PathBuf>,
        is_there: impl Fn(&Path) -> bool,
        user: u32,
    ) -> Result<Self, PlaceError> {
        // The specification: a relative path is invalid and to be ignored.
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        let under_home = |rest| absolute("HOME").map(|home: PathBuf| home.join(rest)).ok_or(PlaceError::NoHome);
        let config = absolute("XDG_CONFIG_HOME").map_or_else(|| under_home(".config"), Ok)?;
        let state = absolute("XDG_STATE_HOME").map_or_else(|| under_home(".local/state"), Ok)?;
        // Whoever logs in makes this directory; in a container the variable may be left over without it.
        let runtime = match absolute("XDG_RUNTIME_DIR").filter(|directory| is_there(directory)) {
            Some(directory) => directory.join("assent"),
            None => PathBuf::from(format!("/tmp/assent-{user}")),
        };
        Ok(Self { config_file: config.join("assent/config.toml"), state: state.join("assent"), runtime })
    }

    /// Where receipts are kept.
    pub(crate) fn receipts(&self) -> PathBuf {
        self.state.join("receipts")
    }
}

/// Makes sure that `directory` is ours alone: a real directory, owned by this user, mode 0700.
///
/// An existing directory that is not is refused and not repaired: in `/tmp` it may be somebody else's trap.
///
/// # Errors
///
/// [`PlaceError`] with the path and what is wrong with it.
pub(crate) fn private_runtime(directory: &Path) -> Result<(), PlaceError> {
    let unusable = |source| PlaceError::Unusable { path: directory.to_owned(), source };
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    check_private(directory)
}

/// As [`private_runtime`], for a directory that must be there already.
///
/// # Errors
///
/// As [`private_runtime`]; a missing directory is [`PlaceError::Unusable`] with `NotFound` beneath.
pub(crate) fn check_private(directory: &Path) -> Result<(), PlaceError> {
    let not_private = |problem| PlaceError::NotPrivate { path: directory.to_owned(), problem };
    let unusable = |error: Errno| PlaceError::Unusable { path: directory.to_owned(), source: error.into() };
    // What is looked at is what was opened: nobody can put something else there between two looks.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match rustix::fs::open(directory, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(not_private("is not a directory")),
        Err(error) => return Err(unusable(error)),
    };
    let found = rustix::fs::fstat(&opened).map_err(unusable)?;
    if found.st_uid != rustix::process::geteuid().as_raw() {
        Err(not_private("belongs to somebody else"))
    } else if found.st_mode & 0o077 != 0 {
        Err(not_private("is open to other users"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn resolve(variables: &[(&str, &str)]) -> Result<Places, PlaceError> {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value));
        Places::resolve(find, |directory| directory != Path::new("/gone"), 1000)
    }

    #[test]
    fn the_xdg_variables_win_over_home_and_relative_ones_are_ignored() {
        let places = resolve(&[("HOME", "/home/ana"), ("XDG_CONFIG_HOME", "etc"), ("XDG_STATE_HOME", "/s")]).unwrap();
        assert_eq!(places.config_file, Path::new("/home/ana/.config/assent/config.toml"));
        assert_eq!(places.receipts(), Path::new("/s/assent/receipts"));
        assert_eq!(places.runtime, Path::new("/tmp/assent-1000"));
        let places = resolve(&[("HOME", "/home/ana"), ("XDG_RUNTIME_DIR", "/run/user/7")]).unwrap();
        assert_eq!(places.runtime, Path::new("/run/user/7/assent"));
        let places = resolve(&[("HOME", "/home/ana"), ("XDG_RUNTIME_DIR", "/gone")]).unwrap();
        assert_eq!(places.runtime, Path::new("/tmp/assent-1000"));
        assert!(matches!(resolve(&[]), Err(PlaceError::NoHome)));
    }

    #[test]
    fn a_runtime_directory_that_others_can_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("assent");
        private_runtime(&place).unwrap();
        assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o777, 0o700);
        private_runtime(&place).expect("an existing private one is fine");

        for mode in [0o750, 0o701, 0o702, 0o704, 0o710, 0o720, 0o740, 0o1777] {
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = private_runtime(&place).unwrap_err();
            assert!(error.to_string().ends_with("is open to other users"), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_runtime_directory_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("assent");
        private_runtime(&place).unwrap();
        // Only the administrator can give a directory away; for everybody else one of the administrator's serves.
        let given_away = std::os::unix::fs::chown(&place, Some(4242), None).is_ok();
        let theirs = if given_away { place.as_path() } else { Path::new("/") };
        let error = private_runtime(theirs).unwrap_err();
        assert!(error.to_string().ends_with("belongs to somebody else"), "{error}");
    }

    #[test]
    fn a_symbolic_link_or_a_file_in_place_of_the_runtime_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        private_runtime(&target).unwrap();
        let [link, nowhere, file] = ["link", "nowhere", "file"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink(&target, &link).unwrap();
        std::os::unix::fs::symlink(dir.path().join("missing"), &nowhere).unwrap();
        std::fs::File::create(&file).unwrap();
        for place in [link, nowhere, file] {
            let error = private_runtime(&place).unwrap_err();
            assert!(error.to_string().ends_with("is not a directory"), "{error}");
        }
        let error = check_private(&dir.path().join("missing")).unwrap_err();
        assert!(matches!(&error, PlaceError::Unusable { source, .. } if source.kind() == io::ErrorKind::NotFound));
    }
}
