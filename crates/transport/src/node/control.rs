//! The handle by which agent and technician speak with the relay.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use wire::{
    control::{FromRelay, ToRelay},
    text::Label,
};

use super::ConnectError;

/// Events that may wait for the program. The relay answers requests one by one, so a program that reads at all never fills it;
/// when it is full, reading from the relay pauses.
pub(super) const EVENTS: usize = 32;

/// Requests that may wait for the network. As many as a program has reason to send before it reads an answer.
pub(super) const REQUESTS: usize = 32;

/// Numbers the control connections of a node.
pub(super) type Generation = u64;

/// What happened on the control connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ControlEvent {
    /// The connection stands, for the first time or again. The relay has forgotten everything that an earlier one asked for, unless the node
    /// slept in between: then [`FromRelay::Resumed`] follows.
    Up,
    /// The relay said something.
    Message(FromRelay),
    /// The control connection was closed on purpose ([`NodeOptions::sleep_after`](super::NodeOptions::sleep_after)). The relay keeps the locator
    /// and wakes this node when somebody attaches by it; [`ControlEvent::Up`] follows then, and [`FromRelay::Resumed`], which says what was
    /// kept. A request that was not answered before this was not done.
    Asleep,
    /// The connection is lost, or could not be made again. The node goes on trying.
    Down {
        /// Why.
        why: Loss,
        /// When the next attempt starts.
        retry_in: Duration,
    },
}

/// Why there is no control connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// The relay has announced that it stops, and has stopped.
    #[error("the relay is restarting")]
    Draining,
    /// The relay closed the connection.
    #[error("the relay closed the connection: {reason}")]
    Closed {
        /// The relay's words.
        reason: Label,
    },
    /// Another program has connected with the same [identity](super::NodeOptions::identity), as a copy of this machine's disk would: the relay
    /// serves the newest. The node comes back after a minute at least, and later each time that it happens again.
    #[error(
        "another program has connected to the relay with the same key; if this machine was copied, give each copy a key of its own"
    )]
    Superseded,
    /// The relay answers and does not know the connection: it was restarted.
    #[error("the relay was restarted")]
    Restarted,
    /// This machine slept, and when it woke up the relay did not know it any more, or was not reached.
    #[error("this machine slept, and the relay has given it up meanwhile")]
    Slept,
    /// The relay does not answer any more.
    #[error("the relay does not answer any more")]
    Silent,
    /// The relay said something that is no message of this protocol.
    #[error("the relay broke the protocol: {reason}")]
    Protocol {
        /// What was wrong.
        reason: Label,
    },
    /// The connection to the relay over TCP ended.
    #[error("the connection to the relay over TCP broke")]
    Cut,
    /// Packets travelled over TCP, and now the relay answers by UDP: the connection is made anew there.
    #[error("the relay answers by UDP now")]
    Better,
    /// Connecting again did not succeed.
    #[error(transparent)]
    Attempt(ConnectError),
}

/// There is no control connection at the moment; the message was not sent. [`ControlEvent::Up`] tells when there is again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection to the relay at the moment")]
pub struct NotConnected;

/// What a [`Control`] asks of the node.
#[derive(Debug)]
pub(super) enum Request {
    Say(Generation, ToRelay),
    Wake,
}

/// Speaks with the relay. When it is dropped, the control connection stays up until its [`Node`](super::Node) is gone.
#[derive(Debug)]
pub struct Control {
    pub(super) events: mpsc::Receiver<(Generation, ControlEvent)>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) connected: watch::Receiver<Option<Generation>>,
    /// The connection that the program knows of.
    pub(super) known: Generation,
}

impl Control {
    /// Sends a message on the connection whose [`ControlEvent::Up`] was received last.
    ///
    /// Success says that the message is on its way. If the connection is lost meanwhile, [`ControlEvent::Down`] follows and the
    /// relay may or may not have got it; it is never sent on a later connection.
    ///
    /// # Errors
    ///
    /// [`NotConnected`] if that connection is gone.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message is not sent.
    pub async fn send(&self, message: ToRelay) -> Result<(), NotConnected> {
        if *self.connected.borrow() != Some(self.known) {
            return Err(NotConnected);
        }
        self.requests.send(Request::Say(self.known, message)).await.map_err(|_| NotConnected)
    }

    /// Has a node that sleeps connect again, and one that does not sleep stay awake for another
    /// [`NodeOptions::sleep_after`](super::NodeOptions::sleep_after).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing was asked.
    pub async fn wake(&self) {
        // Fails if the node was closed.
        let _ = self.requests.send(Request::Wake).await;
    }

    /// Waits for the next event. `None`: the node was closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no event.
    pub async fn recv(&mut self) -> Option<ControlEvent> {
        let (generation, event) = self.events.recv().await?;
        self.known = generation;
        Some(event)
    }
}
