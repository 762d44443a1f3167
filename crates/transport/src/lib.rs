//! QUIC between agent, relay and technician, and the clock.
//!
//! The only crate that names quinn or rustls; neither appears in its public signatures. The three programs use it from two sides:
//!
//! | module | for |
//! |---|---|
//! | [`node`] | agent and technician: connect to the relay, start sealed sessions, stay connected |
//! | [`sealed`] | the session between them, before and after pairing |
//! | [`silence`] | how long its other end was not heard, and how long it is waited for |
//! | [`greeting`] | what another server shows in a TLS handshake, for a technician who looks into the network |
//! | [`streams`] | messages and bytes on its streams |
//! | [`listener`] | the relay: control connections, and forwarding of sealed packets |
//! | [`clock`] | what time it is |
//! | [`counters`] | packets that went nowhere |
//!
//! What a packet goes through, from the network up: `udp` takes trains of packets from the kernel, `demux` cuts them apart by
//! their first bytes, `socket` (agent, technician) or [`listener`] (relay) brings each to the connection or the other side that
//! it belongs to, by the `table` of sessions and the synthetic `address`es under which quinn knows them. A session has one or
//! more `paths`, between which it changes while it runs; `congestion` and `node::driver` belong to that. Where UDP does not pass, a
//! `pipe` carries everything over TCP, below all of this.

mod address;
#[cfg(feature = "bench")]
pub mod bench;
pub mod clock;
mod congestion;
pub mod counters;
mod demux;
pub mod greeting;
mod knobs;
pub mod listener;
pub mod node;
mod paths;
mod pipe;
mod restart;
#[cfg(test)]
mod scenarios;
pub mod sealed;
pub mod silence;
mod sleeper;
mod socket;
pub mod streams;
mod table;
mod tls;
mod udp;

pub use tls::KeyError;
