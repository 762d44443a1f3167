//! Where the sockets lie and who may use them.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::{UnixListener, UnixStream};
use wire::ids::SessionId;

use crate::place::{self, PlaceError};

/// Longest path of a socket that Linux takes, without the final zero.
const PATH_BYTES: usize = 107;

/// How long a connection to a socket may take; the other end is on this machine.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Why there is no socket to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SocketError {
    /// The directory is not ours alone.
    #[error("sockets of sessions cannot be kept")]
    Place(#[from] PlaceError),
    /// The name would be cut by the operating system.
    #[error("{} is too long for a socket; set XDG_RUNTIME_DIR to a shorter directory", path.display())]
    PathTooLong { path: PathBuf },
    /// The operating system refused.
    #[error("the socket {} cannot be used", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Another user answers there.
    #[error("the process behind {} belongs to another user", path.display())]
    OtherUser { path: PathBuf },
}

/// A listening socket whose file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct SessionSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl SessionSocket {
    /// Listens for the session `session` in `directory`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If the directory is not private, or the socket cannot be made.
    pub(crate) fn bind(directory: &Path, session: SessionId) -> Result<Self, SocketError> {
        check(directory)?;
        let path = directory.join(format!("{session}.sock"));
        // A socket file that nobody listens on yet looks stale to others, so it takes its name only when it is ready.
        let temporary = temporary(directory, session);
        let refused = |source| SocketError::Io { path: path.clone(), source };
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&temporary).map_err(refused)?;
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600)).map_err(refused)?;
        fs::rename(&temporary, &path).map_err(refused)?;
        Ok(Self { listener, path })
    }

    /// Waits for the next command of this user. One of another user is dropped without a word.
    ///
    /// # Errors
    ///
    /// When the operating system has no room for more connections.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no connection is lost.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if belongs_to_this_user(&stream)? {
                return Ok(stream);
            }
            tracing::warn!("another user connected to the session's socket and was refused");
        }
    }
}

/// Whether a session could listen in `directory`, which is made if it is not there.
///
/// # Errors
///
/// As [`SessionSocket::bind`].
pub(crate) fn check(directory: &Path) -> Result<(), SocketError> {
    place::private_runtime(directory)?;
    // The longest name that any session's socket has at any time.
    let path = temporary(directory, SessionId([0; 8]));
    if path.as_os_str().len() > PATH_BYTES { Err(SocketError::PathTooLong { path }) } else { Ok(()) }
}

fn temporary(directory: &Path, session: SessionId) -> PathBuf {
    directory.join(format!(".{session}.{}", std::process::id()))
}

impl Drop for SessionSocket {
    fn drop(&mut self) {
        // Nobody can be told; a stale file is recognised by the next command.
        let _ = fs::remove_file(&self.path);
    }
}

/// A socket that a session's process may be listening on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The session's id, as its name says.
    pub(crate) session: SessionId,
    /// The socket.
    pub(crate) path: PathBuf,
}

/// Every socket in `directory`, the newest first. A directory that does not exist has none.
///
/// # Errors
///
/// If the directory is not private or cannot be read.
pub(crate) fn candidates(directory: &Path) -> Result<Vec<Candidate>, SocketError> {
    match place::check_private(directory) {
        Err(PlaceError::Unusable { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        checked => checked?,
    }
    let unreadable = |source| SocketError::Io { path: directory.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let session = name.to_str().and_then(|name| name.strip_suffix(".sock")).and_then(|id| id.parse().ok());
        // One that vanished meanwhile is none.
        if let (Some(session), Ok(metadata)) = (session, entry.metadata()) {
            let made = (metadata.ctime(), metadata.ctime_nsec());
            found.push((made, Candidate { session, path: entry.path() }));
        }
    }
    found.sort_by_key(|(made, candidate)| std::cmp::Reverse((*made, candidate.session)));
    Ok(found.into_iter().map(|(_, candidate)| candidate).collect())
}

/// Connects to a candidate, or removes it and returns `None` if nobody listens there any more.
///
/// # Errors
///
/// If the socket is there and cannot be used.
pub(crate) async fn connect(candidate: &Candidate) -> Result<Option<UnixStream>, SocketError> {
    let path = candidate.path.clone();
    let connected = match tokio::time::timeout(CONNECT_DEADLINE, UnixStream::connect(&path)).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut)),
    };
    match connected {
        Ok(stream) => match belongs_to_this_user(&stream) {
            Ok(true) => Ok(Some(stream)),
            Ok(false) => Err(SocketError::OtherUser { path }),
            Err(source) => Err(SocketError::Io { path, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // Left behind by a process that was killed. Ids are never used again, so nobody else's is removed.
            let _ = fs::remove_file(&path);
            Ok(None)
        }
        Err(source) => Err(SocketError::Io { path, source }),
    }
}

fn belongs_to_this_user(stream: &UnixStream) -> io::Result<bool> {
    Ok(stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw())
}
