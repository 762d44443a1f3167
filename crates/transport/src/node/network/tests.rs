use testkit::lab::{Access, Lab, Side};
use tokio::{task::JoinSet, time::timeout};

use super::*;
use crate::udp::Offloading;

/// Longer than any test: nothing is found out by looking.
const NEVER: Duration = Duration::from_secs(3600);

fn socket() -> Arc<NodeSocket> {
    Arc::new(NodeSocket::bind(None, Offloading::WhereAvailable).unwrap())
}

/// Watches from a task; the changes that it tells.
fn watched(tasks: &mut JoinSet<()>, events: Option<Events>, look: Duration) -> NetworkChanges {
    let socket = socket();
    let changes = NetworkChanges::of(&socket);
    tasks.spawn(async move { match watch_with(&socket, events, look).await {} });
    changes
}

fn seen(own: &[&str], leaves_by: &[&str]) -> Seen {
    Seen {
        own: own.iter().map(|address| address.parse().unwrap()).collect(),
        leaves_by: leaves_by.iter().map(|ip| ip.parse().unwrap()).collect(),
    }
}

#[test]
fn what_changes_nothing_is_no_news_and_neither_is_having_no_network() {
    let home = seen(&["10.0.0.2:9"], &["10.0.0.2"]);
    assert!(!home.is_news_after(&home.clone()));
    let nowhere = seen(&[], &[]);
    assert!(!nowhere.is_news_after(&home), "there is nothing to do about it");
    assert!(home.is_news_after(&nowhere), "back, if only to where it was");
    assert!(seen(&["10.0.0.3:9"], &["10.0.0.3"]).is_news_after(&home));
    assert!(seen(&["10.0.0.2:9", "10.9.0.2:9"], &["10.9.0.2"]).is_news_after(&home), "the other way out is used now");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_new_address_is_told_because_the_kernel_says_so() {
    let Some(lab) = Lab::start(Access::HOME, Access::HOME).unwrap() else { return };
    for side in [Side::Agent, Side::Technician] {
        // Both on the thread that is on that machine: sockets see the network that they were made on.
        let posted = lab.post_at(side, async || {
            let mut tasks = JoinSet::new();
            let changes = watched(&mut tasks, Some(Events::open()?), NEVER);
            Ok((changes.changes.clone(), tasks))
        });
        let posted = posted.unwrap();
        let mut changes = NetworkChanges { changes: posted.0.clone() };
        lab.change_host_address(side).unwrap();
        timeout(Duration::from_secs(20), changes.next()).await.expect("the change is told");
    }
}

#[tokio::test]
async fn where_the_kernel_tells_nothing_a_new_address_is_found_by_looking() {
    let Some(lab) = Lab::start(Access::HOME, Access::HOME).unwrap() else { return };
    let posted = lab.post_at(Side::Agent, async || {
        let mut tasks = JoinSet::new();
        let changes = watched(&mut tasks, None, Duration::from_millis(50));
        Ok((changes.changes.clone(), tasks))
    });
    let posted = posted.unwrap();
    let mut changes = NetworkChanges { changes: posted.0.clone() };
    lab.change_host_address(Side::Agent).unwrap();
    timeout(Duration::from_secs(20), changes.next()).await.expect("the change is found");
}
