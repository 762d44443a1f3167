//! One control connection: reads what the peer says, writes what the actor says, and notices when the peer moves.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use broker::{ConnectionId, Goodbye};
use tokio::{
    sync::{Notify, mpsc},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use transport::listener::{ControlPeer, PeerError};
use wire::control::{FromRelay, Refusal, ToRelay};

/// How often a peer's address is looked at while it has a channel.
const LOOK: Duration = Duration::from_secs(1);

/// How long somebody who is turned away may take to say something, so that it can be answered.
const FIRST_WORDS: Duration = Duration::from_secs(5);

/// How long a peer may take to read the last message before the connection is closed under it.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// What the actor tells a peer's task.
#[derive(Debug)]
pub(crate) enum ToPeer {
    /// Send this.
    Say(FromRelay),
    /// Close the connection, for this reason.
    Close(Goodbye),
}

/// What a peer's task tells the actor.
#[derive(Debug)]
pub(crate) enum FromPeer {
    Message(ConnectionId, ToRelay),
    /// The peer is now reached at another address.
    Moved(ConnectionId, SocketAddr),
    Gone(ConnectionId),
}

/// What a peer's task works with.
pub(crate) struct PeerTask {
    pub(crate) control: ControlPeer,
    pub(crate) id: ConnectionId,
    pub(crate) orders: mpsc::Receiver<ToPeer>,
    pub(crate) inbox: mpsc::Sender<FromPeer>,
    /// Asks for a look at the address at once.
    pub(crate) look: Arc<Notify>,
    /// Ends the task without a word.
    pub(crate) cut: CancellationToken,
}

impl PeerTask {
    /// Runs until either side ends the connection. Tells the actor that the peer is gone, in any case.
    pub(crate) async fn run(mut self) {
        let cut = self.cut.clone();
        if let Some(Err(error)) = cut.run_until_cancelled(self.talk()).await {
            debug!(connection = self.id.0, %error, rule_broken = error.peer_broke_the_rules(), "control connection is over");
        }
        // Fails only when the actor is gone as well.
        let _ = self.inbox.send(FromPeer::Gone(self.id)).await;
    }

    async fn talk(&mut self) -> Result<(), PeerError> {
        let mut address = self.control.remote_address();
        let mut channels = 0usize;
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(ToPeer::Say(message)) => {
                        if matches!(message, FromRelay::ChannelOpen { .. }) {
                            channels += 1;
                        } else if matches!(message, FromRelay::ChannelClosed { .. }) {
                            channels = channels.saturating_sub(1);
                        }
                        match self.control.send(&message).await {
                            // It has not asked for anything, so it cannot be told; it will see the connection close.
                            Ok(()) | Err(PeerError::NotReady) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    Some(ToPeer::Close(why)) => {
                        self.close(why).await;
                        return Ok(());
                    }
                    None => return Ok(()),
                },
                () = self.look.notified() => {}
                _ = tick.tick(), if channels > 0 => {}
                message = self.control.recv() => match message? {
                    // Waiting for the actor here is what slows down a peer that says too much.
                    Some(message) => self.tell(FromPeer::Message(self.id, message)).await,
                    None => return Ok(()),
                },
            }
            let now_at = self.control.remote_address();
            if now_at != address {
                address = now_at;
                debug!(connection = self.id.0, "moved to another address");
                self.tell(FromPeer::Moved(self.id, address)).await;
            }
        }
    }

    async fn tell(&self, event: FromPeer) {
        // Fails only when the actor is gone, which also cuts this task.
        let _ = self.inbox.send(event).await;
    }

    async fn close(&self, why: Goodbye) {
        match why {
            Goodbye::Draining => {
                let _ = timeout(LAST_WORDS, self.control.closed()).await;
                self.control.close_draining();
            }
            Goodbye::Flooding => self.control.close("too many messages"),
            _ => self.control.close("closed by the relay"),
        }
    }
}

/// Tells somebody why they are turned away, once they have asked for something.
pub(crate) async fn turn_away(mut control: ControlPeer, reason: Refusal) {
    let told = async {
        control.recv().await?;
        control.send(&FromRelay::Refused { reason }).await
    };
    if let Ok(Ok(())) = timeout(FIRST_WORDS, told).await {
        let _ = timeout(LAST_WORDS, control.closed()).await;
    }
    control.close(&reason.to_string());
}
