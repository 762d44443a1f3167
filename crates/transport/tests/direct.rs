//! Two nodes on real sockets that leave their relay for each other.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{Pair, Relay, V4, V6, pattern, seen_at, until};
use testkit::delay_link::{Conditions, DelayLink};
use tokio::time::timeout;
use transport::{
    node::{CarrierChoice, ControlEvent, Loss, NodeOptions},
    sealed::{Carrier, DirectState},
    streams::Priority,
};
use wire::{
    control::{FromRelay, ToRelay},
    link::RelayLink,
};

const BULK_BYTES: usize = 4 << 20;

/// For a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Both nodes' addresses, from a relay that says where their packets come from whatever it likes.
async fn candidates(pair: &mut Pair, said: SocketAddr) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
    let answer = async {
        for peer in &mut pair.peers {
            assert_eq!(peer.recv().await.expect("the node is connected"), ToRelay::Observe);
            peer.send(FromRelay::Observed { address: said });
        }
    };
    let (agents, technicians, ()) = tokio::join!(pair.agent.candidates(), pair.technician.candidates(), answer);
    (agents, technicians)
}

async fn go_directly(pair: &mut Pair, said: SocketAddr) {
    let (agents, technicians) = candidates(pair, said).await;
    assert!(agents.contains(&seen_at(&pair.agent, pair.ip)) && agents.contains(&said), "{agents:?}");
    let (agent, technician) = (&pair.at_agent.sealed, &pair.at_technician.sealed);
    assert!(!technician.wants_direct_round(), "nobody has allowed it");
    agent.open_direct();
    technician.open_direct();
    assert!(technician.wants_direct_round());
    agent.punch(&technicians);
    technician.punch(&agents);
    let both = || [agent, technician].iter().all(|end| end.stats().carrier == Carrier::Direct);
    timeout(PATIENCE, until(both)).await.expect("a direct path is found");
    assert!(matches!(technician.stats().direct, DirectState::Used { .. }));
}

#[tokio::test]
async fn two_nodes_go_directly_and_their_relay_forwards_no_more() {
    for (ip, plain_socket) in [(V4, false), (V6, false), (V4, true)] {
        let mut pair = Pair::start_on(ip, NodeOptions { plain_socket, ..NodeOptions::default() }).await;
        // The relay lies: somebody else's port, where nobody answers.
        let silent = std::net::UdpSocket::bind((ip, 0)).unwrap();
        go_directly(&mut pair, silent.local_addr().unwrap()).await;

        let before = pair.relay.counters().forwarded_packets;
        pair.carries(BULK_BYTES).await;
        // One question and its answer keep the relay warm.
        let forwarded = pair.relay.counters().forwarded_packets - before;
        assert!(forwarded <= 4, "the relay forwarded {forwarded} packets of {BULK_BYTES} bytes");
    }
}

#[tokio::test]
async fn a_relay_that_dies_without_a_word_is_missed_by_a_session_that_does_not_need_it() {
    let relay = Relay::start(V4);
    let line = DelayLink::start(relay.address, Conditions::default()).await.unwrap();
    let place = line.address();
    let link = RelayLink::new(&place.ip().to_string(), place.port(), relay.key.public().digest().0).unwrap();
    let udp = NodeOptions { carrier: CarrierChoice::Udp, ..NodeOptions::default() };
    let mut pair = Pair::start_by(relay, link, V4, udp.clone(), udp).await;
    let silent = std::net::UdpSocket::bind((V4, 0)).unwrap();
    go_directly(&mut pair, silent.local_addr().unwrap()).await;

    line.cut();
    let missed = async {
        loop {
            if let Some(ControlEvent::Down { why, .. }) = pair.technician_control.recv().await {
                return why;
            }
        }
    };
    // By its keep-alive alone the connection would be missed after 75 s.
    let why = timeout(PATIENCE, missed).await.expect("it is asked, and does not answer");
    assert!(matches!(why, Loss::Silent), "{why}");
    assert_eq!(pair.at_technician.sealed.stats().carrier, Carrier::Direct, "the session goes on");
}

#[tokio::test]
async fn a_session_that_may_not_go_directly_any_more_goes_on_by_the_relay() {
    let mut pair = Pair::start().await;
    let silent = std::net::UdpSocket::bind((V4, 0)).unwrap();
    go_directly(&mut pair, silent.local_addr().unwrap()).await;
    let (agent, technician) = (&pair.at_agent.sealed, &pair.at_technician.sealed);
    agent.close_direct();
    technician.close_direct();
    let both = || [agent, technician].iter().all(|end| end.stats().carrier == Carrier::Relayed);
    timeout(PATIENCE, until(both)).await.expect("the relay is there");
    let before = pair.relay.counters().forwarded_bytes;
    let send = async {
        let mut stream = agent.open_uni(Priority::Bulk).await.unwrap();
        stream.write_all(&pattern(100_000)).await.unwrap();
        stream.finish().await.unwrap();
    };
    let receive = async {
        let mut stream = technician.accept_uni().await.unwrap();
        let mut bytes = 0;
        while let Some(piece) = stream.read(64 * 1024).await.unwrap() {
            bytes += piece.len();
        }
        bytes
    };
    let ((), received) = timeout(PATIENCE, async { tokio::join!(send, receive) }).await.expect("it goes on");
    assert_eq!(received, 100_000);
    assert!(pair.relay.counters().forwarded_bytes >= before + 100_000);
    // What still comes from there is nobody's.
    assert_eq!(technician.stats().direct, DirectState::Closed);
}
