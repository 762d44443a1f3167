//! Everything over TCP: control connections and sessions by pipes, alone and beside UDP.

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

mod common;

use common::{Pair, Relay, V4, pattern};
use transport::{
    listener::pipes::PipesConfig,
    node::{CarrierChoice, NodeOptions, Proxies},
    sealed::Carrier,
    streams::Priority,
};
use trust::digest;
use wire::{
    ids::RunId,
    session::{Output, StreamHeader},
};

/// Long enough to fill every queue on the way many times.
const BULK_BYTES: usize = 4 << 20;

fn by(carrier: CarrierChoice) -> NodeOptions {
    NodeOptions { carrier, proxies: Some(Proxies::none()), ..NodeOptions::default() }
}

/// The agent sends a lot, the technician reads it.
async fn bulk_arrives(pair: &Pair) {
    let sent = pattern(BULK_BYTES);
    let expected = digest(&sent);
    let send = async {
        let mut stream = pair.at_agent.sealed.open_uni(Priority::Bulk).await.unwrap();
        stream.send(&StreamHeader::Output { run: RunId(3), output: Output::Stdout }).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        stream.finish().await.unwrap();
    };
    let receive = async {
        let mut stream = pair.at_technician.sealed.accept_uni().await.unwrap();
        stream.recv::<StreamHeader>().await.unwrap().unwrap();
        let mut received = Vec::new();
        while let Some(bytes) = stream.read(64 * 1024).await.unwrap() {
            received.extend_from_slice(&bytes);
        }
        digest(&received)
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, expected);
}

#[tokio::test]
async fn bulk_arrives_whole_by_every_mixture_of_carriers() {
    for (agent, technician) in [
        (CarrierChoice::Tcp, CarrierChoice::Tcp),
        (CarrierChoice::Tcp, CarrierChoice::Udp),
        (CarrierChoice::Udp, CarrierChoice::Tcp),
    ] {
        let relay = Relay::start_with_pipes(PipesConfig::default());
        let pair = Pair::start_at(relay, V4, by(agent), by(technician)).await;
        bulk_arrives(&pair).await;
        for (end, choice, seen) in
            [(&pair.at_agent, agent, &pair.agent_at), (&pair.at_technician, technician, &pair.technician_at)]
        {
            let shown = if choice == CarrierChoice::Tcp { Carrier::RelayedTcp } else { Carrier::Relayed };
            assert_eq!(end.sealed.stats().carrier, shown);
            assert_eq!(seen.client.ip(), V4, "the relay knows where the client really is");
            assert_eq!(seen.address == seen.client, choice == CarrierChoice::Udp);
        }
        assert_eq!(pair.relay.counters().unknown_kind, 0);
    }
}
