//! The agent on the end user's machine: asks for consent, streams diagnostics, runs what was approved.

pub mod doctor;
pub mod executor;
pub mod front;
pub mod options;
mod resident;
pub mod sent;
pub mod share;
pub mod view;
mod watch;
