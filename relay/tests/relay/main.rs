//! A relay on loopback with real agents and technicians, or rather their network halves, and with troublemakers.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test fails where it stands")]

mod attach;
mod data;
mod program;
mod sleep;
mod tcp;
mod world;
