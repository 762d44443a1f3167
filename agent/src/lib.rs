//! The agent on the end user's machine: asks for consent, streams diagnostics, runs what was approved.

pub mod front;
pub mod view;
