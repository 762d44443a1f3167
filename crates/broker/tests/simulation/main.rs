//! The broker with peers, data path and clock in memory.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test names the messages that it cares about")]

mod arbitrary;
mod stories;
mod world;
