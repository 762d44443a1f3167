//! Tells the machine what is looked at.

use std::{future::pending, time::Duration};

use tokio::time::Instant;
use wire::diagnostics::View;

use super::desk::Desk;
use crate::owner::viewers::{Changes, Viewers};

/// Shortest time between two tellings: a held key goes through the panels thirty times a second.
const APART: Duration = Duration::from_millis(250);

/// What the machine was told, and what it ought to know.
pub(super) struct Looks {
    viewers: Viewers,
    changes: Changes,
    told: View,
    told_at: Option<Instant>,
    /// When it is told next; none while it knows.
    due: Option<Instant>,
}

impl Looks {
    pub(super) fn new(viewers: Viewers) -> Self {
        // A machine that was told nothing sends everything.
        Self { changes: viewers.changes(), viewers, told: View::default(), told_at: None, due: None }
    }

    /// Returns when there is something to tell. Cancel safe.
    pub(super) async fn due(&mut self) {
        loop {
            let due = self.due;
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = wait => return,
                () = self.changes.next() => {
                    let earliest = self.told_at.map_or_else(Instant::now, |told_at| told_at + APART);
                    self.due.get_or_insert(earliest);
                }
            }
        }
    }

    /// Tells it, if it does not know. While there is no path nothing is told: what waits for one is bounded.
    pub(super) fn tell(&mut self, desk: &mut Desk) {
        self.due = None;
        let view = self.viewers.view();
        if view == self.told {
            return;
        }
        let now = Instant::now();
        if desk.board.is_lost() {
            self.due = Some(now + APART);
        } else if desk.core.look(view).is_ok() {
            (self.told, self.told_at) = (view, Some(now));
        }
    }
}
