//! The process that owns a session: attaching, the live session, and what became of it.
//!
//! One actor drives the session's core; everything else asks it over [`Handle`]. The screen, the plain lines and the commands
//! in other terminals are all alike to it.

mod actor;
mod audit_copy;
mod board;
mod connect;
mod courier;
mod incoming;
pub(crate) mod meter;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod viewers;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};
use transport::node::CarrierChoice;
use trust::code::SessionCode;
use wire::{
    diagnostics::{IdentityCard, Snapshot, findings::Finding, inspect::Inspect, report::Report},
    ids::{InspectionId, RunId},
    link::RelayLink,
    session::EndReason,
    text::{Label, Sentence},
    time::Moment,
};

pub(crate) use self::{
    connect::AttachError,
    viewers::{Viewer, Viewers},
};
use crate::{
    identity::Identity,
    local::protocol::{RefusedReason, Reply, RequestAsk, RunAsk},
    place::Places,
    status::Status,
};

/// What is needed to attach.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The relay.
    pub(crate) relay: RelayLink,
    /// How to reach it.
    pub(crate) carrier: CarrierChoice,
    /// What the end user read out.
    pub(crate) code: SessionCode,
    /// Key and certificate.
    pub(crate) identity: Identity,
    /// Name that the end user is shown.
    pub(crate) name: Label,
    /// Why the technician attaches.
    pub(crate) reason: Sentence,
    /// Whether to connect directly, on which each side sees the other's network address.
    pub(crate) direct: bool,
    /// How long the end user's machine may be silent before the session is given up.
    pub(crate) patience: Duration,
    /// Where files and sockets lie.
    pub(crate) places: Places,
}

/// What is known of the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    /// What the machine is.
    pub(crate) card: Option<Arc<IdentityCard>>,
    /// What was known when the stream began.
    pub(crate) opening: Option<Arc<Report>>,
    /// What all checks answered, the worst first.
    pub(crate) findings: Arc<Vec<Finding>>,
    /// The newest reading.
    pub(crate) sample: Option<Arc<Snapshot>>,
    /// When the newest reading came.
    pub(crate) at: Moment,
}

/// What others want of the session.
#[derive(Debug)]
pub(crate) enum Command {
    /// Ask for a run.
    Run {
        /// What.
        ask: RunAsk,
        /// Takes what becomes of it, ending with [`Reply::Finished`], [`Reply::Denied`] or [`Reply::Ended`]. A full queue holds
        /// the run's output up; a closed one throws it away.
        replies: mpsc::Sender<Reply>,
        /// Takes the run's number.
        accepted: oneshot::Sender<Result<RunId, RefusedReason>>,
    },
    /// Withdraw or stop a run. One that is over already is left alone.
    CancelRun {
        /// Which.
        run: RunId,
    },
    /// Ask for abilities.
    Request {
        /// What.
        ask: RequestAsk,
        /// Takes what becomes of it: at most three replies, the last of them [`Reply::Granted`], [`Reply::Denied`] or
        /// [`Reply::Ended`].
        replies: mpsc::Sender<Reply>,
        /// Takes whether it was asked.
        accepted: oneshot::Sender<Result<(), RefusedReason>>,
    },
    /// Have something read once.
    Inspect {
        /// What.
        what: Inspect,
        /// Takes what becomes of it: at most three replies, the last of them [`Reply::Inspected`], [`Reply::Denied`] or
        /// [`Reply::Ended`].
        replies: mpsc::Sender<Reply>,
        /// Takes the inspection's number.
        accepted: oneshot::Sender<Result<InspectionId, RefusedReason>>,
    },
    /// The answer of an inspection is no longer wanted. One that is over already is left alone.
    CancelInspection {
        /// Which.
        inspection: InspectionId,
    },
    /// End the session.
    End,
}

/// Commands that may wait for the actor, which answers each at once: more than there are local clients.
const COMMANDS: usize = 64;

/// Reaches the session's actor. Clones reach the same one.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    /// How the session stands, refreshed once a second and with everything that happens.
    pub(crate) status: watch::Receiver<Arc<Status>>,
    /// What is known of the machine.
    pub(crate) readings: watch::Receiver<Readings>,
    /// What others want.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Who looks at what of the live diagnostics.
    pub(crate) viewers: Viewers,
}

/// What became of a session that came to stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why it is over.
    pub(crate) reason: EndReason,
    /// More about it, if there is more to say.
    pub(crate) detail: Option<String>,
    /// The technician's copy of the audit log.
    pub(crate) receipt: Option<PathBuf>,
    /// Why that copy cannot be relied on.
    pub(crate) receipt_problem: Option<String>,
}

/// Prepares an attach. Nothing happens before the returned future is polled; dropping it drops the connection.
pub(crate) fn prepare(setup: Setup) -> (Handle, impl Future<Output = Result<Outcome, AttachError>>) {
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let board = board::Board::new(&setup.name, &setup.relay, setup.patience);
    let (status, status_out) = watch::channel(Arc::new(board.status(None, transport::clock::now())));
    let (readings, readings_out) = watch::channel(Readings::default());
    let handle = Handle { status: status_out, readings: readings_out, commands, viewers: Viewers::new() };
    let ports = Ports { inbox, status, readings, handle: handle.clone() };
    (handle, run(setup, board, ports))
}

/// The actor's ends of what a [`Handle`] holds.
#[derive(Debug)]
struct Ports {
    inbox: mpsc::Receiver<Command>,
    status: watch::Sender<Arc<Status>>,
    readings: watch::Sender<Readings>,
    /// Handed on to the commands in other terminals.
    handle: Handle,
}

async fn run(setup: Setup, mut board: board::Board, mut ports: Ports) -> Result<Outcome, AttachError> {
    let attached = connect::attach(&setup, &mut board, &mut ports).await?;
    let actor = actor::SessionActor::new(setup, board, ports, attached)?;
    Ok(Box::pin(actor.run()).await)
}
