//! What screens and commands look at, so that the machine collects and sends no more than that.

use std::collections::BTreeMap;

use tokio::sync::watch;
use wire::diagnostics::{Panel, Panels, ProcessOrder, View};

/// Everybody who looks at live diagnostics. Clones are the same set.
#[derive(Debug, Clone)]
pub(crate) struct Viewers(watch::Sender<Open>);

#[derive(Debug, Default)]
struct Open {
    /// Number of the newest viewer.
    newest: u64,
    views: BTreeMap<u64, View>,
}

impl Viewers {
    /// Nobody looks yet.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Open::default()))
    }

    /// Somebody looks at `view` until the [`Viewer`] is dropped.
    pub(crate) fn open(&self, view: View) -> Viewer {
        let mut number = 0;
        self.0.send_modify(|open| {
            open.newest += 1;
            number = open.newest;
            open.views.insert(number, view);
        });
        Viewer { number, viewers: self.clone() }
    }

    /// What all of them together look at. Processes come in the order of whoever came last to look at them: there is one list.
    pub(crate) fn view(&self) -> View {
        let open = self.0.borrow();
        let panels = open.views.values().fold(Panels::OVERVIEW, |all, view| all.or(view.panels));
        let newest = open.views.values().rev().find(|view| view.panels.contains(Panel::Processes));
        View { panels, processes_by: newest.map_or(ProcessOrder::default(), |view| view.processes_by) }
    }

    /// Tells of every change from now on.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.0.subscribe())
    }
}

/// Somebody who looks.
#[derive(Debug)]
pub(crate) struct Viewer {
    number: u64,
    viewers: Viewers,
}

impl Viewer {
    /// Looks at something else.
    pub(crate) fn look(&self, view: View) {
        self.viewers.0.send_if_modified(|open| {
            let before = open.views.insert(self.number, view);
            before != Some(view)
        });
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.viewers.0.send_modify(|open| {
            open.views.remove(&self.number);
        });
    }
}

/// Waits for somebody to look at something else.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<Open>);

impl Changes {
    /// Returns when somebody does. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could look.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(panel: Panel) -> View {
        Panels::OVERVIEW.with(panel).into()
    }

    #[test]
    fn what_is_collected_is_what_somebody_looks_at() {
        let viewers = Viewers::new();
        assert_eq!(viewers.view(), View::from(Panels::OVERVIEW), "nobody looks");
        let first = viewers.open(at(Panel::Disks));
        let second = viewers.open(at(Panel::Processes));
        assert_eq!(viewers.view().panels, Panels::OVERVIEW.with(Panel::Disks).with(Panel::Processes));
        first.look(at(Panel::Cores));
        assert_eq!(viewers.view().panels, Panels::OVERVIEW.with(Panel::Cores).with(Panel::Processes));
        drop(second);
        assert_eq!(viewers.view(), at(Panel::Cores));
        drop(first);
        assert_eq!(viewers.view(), View::from(Panels::OVERVIEW));
    }

    #[test]
    fn processes_come_in_the_order_of_whoever_came_last() {
        let viewers = Viewers::new();
        let by = |processes_by| View { processes_by, ..at(Panel::Processes) };
        let _first = viewers.open(by(ProcessOrder::Io));
        let second = viewers.open(by(ProcessOrder::Memory));
        let _looks_at_none = viewers.open(at(Panel::Disks));
        assert_eq!(viewers.view().processes_by, ProcessOrder::Memory);
        drop(second);
        assert_eq!(viewers.view().processes_by, ProcessOrder::Io);
    }

    #[tokio::test]
    async fn looking_at_the_same_again_wakes_nobody() {
        let viewers = Viewers::new();
        let mut changes = viewers.changes();
        let viewer = viewers.open(at(Panel::Disks));
        changes.next().await;
        viewer.look(at(Panel::Disks));
        assert!(!changes.0.has_changed().unwrap());
        drop(viewer);
        changes.next().await;
    }
}
