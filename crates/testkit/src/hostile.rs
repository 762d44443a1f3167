//! Peers that can break the rules, so that the receiver's check is what is tested.
//!
//! An agent ([`agent::AgentPeer`]) and a technician ([`technician::TechnicianPeer`]) that speak the real protocol over the real
//! transport and do nothing by themselves: a test makes them ask for more than was granted, send garbage
//! ([`frames::RawFrame`]), pose as paired ([`session::forged_proof`]) or go on after a revoke. A relay that plots against both
//! sides ([`relay::EvilRelay`]), and somebody on the wire who tampers with sealed packets ([`packets`]).

pub mod agent;
pub mod frames;
pub mod packets;
pub mod relay;
pub mod session;
pub mod technician;
