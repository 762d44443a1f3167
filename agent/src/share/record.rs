//! The audit log on a thread of its own.
//!
//! Making an entry durable can take long on a bad disk. The share actor waits for it, because nothing starts before its record; but it
//! waits in a way that lets Stop through, which a blocking call in the actor would not.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use audit::{AuditError, AuditLog, Line, files::FileError};
use tokio::sync::{mpsc, oneshot};
use transport::clock;
use trust::keys::SigningKey;
use wire::evidence::Event;
use wire::ids::SessionId;

use crate::sent::{NotKept, SentCopy};

/// Entries that wait for the disk. The actor has one under way at a time; the second is the closing one.
const QUEUE: usize = 2;

type Outcome = Result<Vec<Line>, AuditError>;

enum Job {
    Append(Event, oneshot::Sender<Outcome>),
    Close(Event, Arc<SigningKey>, oneshot::Sender<Outcome>),
}

/// Why there is no record. What it would have announced must not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The log says why.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The copy of what is sent cannot be kept.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// The copy of what is sent could not be started.
    #[error("the copy of what is sent could not be started")]
    SentCopy(#[source] FileError),
    /// The system gave no thread to write the log.
    #[error("the audit log could not be started")]
    Thread(#[source] io::Error),
    /// The thread that writes the log is gone.
    #[error("the audit log is not being written any more")]
    Gone,
}

/// Hands entries to the thread that writes them. The thread ends when this is dropped.
#[derive(Debug)]
pub(super) struct Recorder {
    jobs: mpsc::Sender<Job>,
    path: PathBuf,
    sent: SentCopy,
}

impl Recorder {
    /// Creates the log with its first entry, and the copy of what is sent beside it.
    ///
    /// # Errors
    ///
    /// If one of them cannot be created or the entry cannot be made durable.
    pub(super) async fn create(
        folder: PathBuf,
        session: SessionId,
        first: Event,
    ) -> Result<(Self, Vec<Line>), RecordError> {
        let (jobs, mut inbox) = mpsc::channel(QUEUE);
        let (created, outcome) = oneshot::channel();
        let write = move || {
            let now = clock::wall_time();
            let begun = AuditLog::create(&folder, session, &first, now).map_err(RecordError::Audit);
            let begun = begun.and_then(|(log, line)| {
                let sent = SentCopy::create(&folder, session, now).map_err(RecordError::SentCopy)?;
                Ok((log, line, sent))
            });
            let mut log = match begun {
                Ok((log, line, sent)) => {
                    let _ = created.send(Ok((log.path().to_owned(), sent, vec![line])));
                    log
                }
                Err(error) => {
                    let _ = created.send(Err(error));
                    return;
                }
            };
            while let Some(job) = inbox.blocking_recv() {
                // A receiver that is gone does not need the answer any more; the entry stands all the same.
                match job {
                    Job::Append(event, reply) => {
                        let _ = reply.send(log.append(&event, clock::wall_time()).map(|line| vec![line]));
                    }
                    Job::Close(event, key, reply) => {
                        let _ = reply.send(log.close(&event, &key, clock::wall_time()).map(Vec::from));
                        return;
                    }
                }
            }
        };
        let spawned = thread::Builder::new().name("audit-log".to_owned()).spawn(write);
        spawned.map_err(RecordError::Thread)?;
        let (path, sent, lines) = outcome.await.map_err(|_| RecordError::Gone)??;
        Ok((Self { jobs, path, sent }, lines))
    }

    /// Where the log lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps what is sent in the session.
    pub(super) fn sent_copy(&self) -> &SentCopy {
        &self.sent
    }

    /// Makes one entry durable.
    pub(super) fn append(&self, event: Event) -> impl Future<Output = Result<Vec<Line>, RecordError>> + use<> {
        let (reply, outcome) = oneshot::channel();
        let sent = self.jobs.try_send(Job::Append(event, reply)).is_ok();
        answer(sent, outcome)
    }

    /// Makes the last entry durable, signs the head of the chain and closes the log.
    pub(super) fn close(
        self,
        event: Event,
        key: Arc<SigningKey>,
    ) -> impl Future<Output = Result<Vec<Line>, RecordError>> + use<> {
        let (reply, outcome) = oneshot::channel();
        let sent = self.jobs.try_send(Job::Close(event, key, reply)).is_ok();
        answer(sent, outcome)
    }
}

async fn answer(sent: bool, outcome: oneshot::Receiver<Outcome>) -> Result<Vec<Line>, RecordError> {
    if !sent {
        return Err(RecordError::Gone);
    }
    Ok(outcome.await.map_err(|_| RecordError::Gone)??)
}
