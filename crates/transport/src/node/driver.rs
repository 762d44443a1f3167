//! Keeps the time of one session's paths: sends the probes and announcements that are due, reads the agent's copy of the latter.

use std::{future::pending, sync::Arc, time::Duration};

use bytes::Bytes;
use quinn::Connection;
use tokio::{task::JoinSet, time::sleep};
use wire::path::Flip;

use crate::{
    address::SessionKey,
    paths::{Act, Observed},
    socket::NodeSocket,
};

/// Shortest wait, which is also what tokio's timers can tell apart: nothing that is due can keep the driver spinning.
const GRAIN: Duration = Duration::from_millis(1);

/// Starts the driver of a session. It ends with the session's connection, or with what is returned.
pub(super) fn start(connection: Connection, socket: Arc<NodeSocket>, key: SessionKey) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(drive(connection, socket, key));
    tasks
}

async fn drive(connection: Connection, socket: Arc<NodeSocket>, key: SessionKey) {
    let Some(stir) = socket.table().paths(key).map(|paths| paths.stir()) else { return };
    let mut acts = Vec::new();
    loop {
        let stats = connection.stats();
        let observed = Observed { rtt: stats.path.rtt, path_responses: stats.frame_tx.path_response };
        let now = socket.uptime();
        let (next, relay) = {
            let mut table = socket.table();
            let relay = table.live_relay();
            let Some(paths) = table.paths(key) else { return };
            (paths.tick(now, observed, &mut acts), relay)
        };
        for act in acts.drain(..) {
            match act {
                Act::Probe { probe, bytes, by } => socket.send_probe(probe, bytes, by, relay),
                Act::Letter(to, packet) => socket.send_letter(to, &packet),
                // Not sent only if the connection is over. An earlier one that still waits gives way.
                Act::Announce(flip) => drop(connection.send_datagram(Bytes::copy_from_slice(&flip.to_bytes()))),
            }
        }
        let due = async {
            match next {
                Some(at) => sleep(at.saturating_sub(socket.uptime()).max(GRAIN)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stir.notified() => {}
            () = due => {}
            datagram = connection.read_datagram() => match datagram {
                Ok(datagram) => {
                    if let Some(flip) = Flip::parse(&datagram) {
                        let now = socket.uptime();
                        if let Some(paths) = socket.table().paths(key) {
                            paths.confirm(flip, now);
                        }
                    }
                }
                Err(_) => return,
            },
        }
    }
}
