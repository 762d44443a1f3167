//! The side of the other `assent` commands.

use std::{path::Path, time::Duration};

use tokio::{
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use wire::ids::SessionId;

use super::{
    lines::{LineError, LineReader, write_line},
    protocol::{Ask, Hello, More, REPLY_LINE_BYTES, RefusedReason, Reply, VERSION},
    socket::{self, SocketError},
};

/// How long the session's process may take to read a line of ours.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// A question to a session's process that is being answered.
#[derive(Debug)]
pub(crate) struct Conversation {
    replies: LineReader<OwnedReadHalf>,
    requests: OwnedWriteHalf,
}

/// Why a command got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ClientError {
    /// There is no live session, or not the one that was named.
    #[error("{}", no_session(.wanted.as_deref()))]
    NoSession {
        /// What `--session` said.
        wanted: Option<String>,
    },
    /// `--session` fits several.
    #[error("{wanted:?} is the beginning of several sessions' ids: {}", .fitting.join(", "))]
    Ambiguous {
        /// What `--session` said.
        wanted: String,
        /// The sessions that it fits.
        fitting: Vec<String>,
    },
    /// A socket is there and cannot be used.
    #[error("the session's process cannot be reached")]
    Socket(#[from] SocketError),
    /// The connection broke or carried something else.
    #[error("the session's process cannot be understood")]
    Line(#[from] LineError),
    /// The session's process ended or cut this command off.
    #[error("the session's process closed the connection before it had answered")]
    Closed,
    /// The session's process answered something else.
    #[error("the session's process answered something else")]
    Unexpected,
    /// The session's process does not do it.
    #[error("the session's process refused: {0}")]
    Refused(RefusedReason),
}

fn no_session(wanted: Option<&str>) -> String {
    match wanted {
        Some(wanted) => format!("no live session's id begins with {wanted}"),
        None => "there is no live session".to_owned(),
    }
}

impl Conversation {
    /// Asks the session whose id begins with `wanted`, or the newest one.
    ///
    /// # Errors
    ///
    /// If there is no such session, or its process does not answer.
    pub(crate) async fn begin(directory: &Path, wanted: Option<&str>, ask: Ask) -> Result<Self, ClientError> {
        let stream = find(directory, wanted).await?;
        Self::on(stream, ask).await
    }

    async fn on(stream: UnixStream, ask: Ask) -> Result<Self, ClientError> {
        let (read, requests) = stream.into_split();
        let mut conversation = Self { replies: LineReader::new(read, REPLY_LINE_BYTES), requests };
        conversation.send(&Hello { version: VERSION, ask }).await?;
        Ok(conversation)
    }

    /// The next reply.
    ///
    /// # Errors
    ///
    /// [`ClientError::Closed`] at the end, [`ClientError::Refused`] if the session's process says so.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Reply, ClientError> {
        match self.replies.next().await? {
            Some(Reply::Refused { reason }) => Err(ClientError::Refused(reason)),
            Some(reply) => Ok(reply),
            None => Err(ClientError::Closed),
        }
    }

    /// Cancels the run that this conversation is about.
    ///
    /// # Errors
    ///
    /// The session's process is gone.
    pub(crate) async fn cancel(&mut self) -> Result<(), ClientError> {
        self.send(&More::Cancel).await
    }

    async fn send(&mut self, message: &impl serde::Serialize) -> Result<(), ClientError> {
        match timeout(SEND_DEADLINE, write_line(&mut self.requests, message)).await {
            Ok(written) => written.map_err(|error| ClientError::Line(LineError::Io(error))),
            Err(_elapsed) => Err(ClientError::Closed),
        }
    }
}

/// Every live session, the newest first.
///
/// # Errors
///
/// If the directory of sockets cannot be used.
pub(crate) async fn live_sessions(directory: &Path) -> Result<Vec<SessionId>, ClientError> {
    let mut live = Vec::new();
    for candidate in socket::candidates(directory)? {
        if let Ok(Some(_)) = socket::connect(&candidate).await {
            live.push(candidate.session);
        }
    }
    Ok(live)
}

async fn find(directory: &Path, wanted: Option<&str>) -> Result<UnixStream, ClientError> {
    let mut fitting = socket::candidates(directory)?;
    if let Some(wanted) = wanted {
        fitting.retain(|candidate| candidate.session.to_string().starts_with(wanted));
    }
    let mut live = None;
    let mut names = Vec::new();
    for candidate in fitting {
        let Some(stream) = socket::connect(&candidate).await? else { continue };
        names.push(candidate.session.to_string());
        live.get_or_insert(stream);
        if wanted.is_none() {
            break;
        }
    }
    match (wanted, names.len()) {
        (Some(wanted), 2..) => Err(ClientError::Ambiguous { wanted: wanted.to_owned(), fitting: names }),
        _ => live.ok_or_else(|| ClientError::NoSession { wanted: wanted.map(str::to_owned) }),
    }
}
