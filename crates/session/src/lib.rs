//! Both ends of a session as state machines, from the first question to the end.
//!
//! Neither reads a clock, opens a file or sends a byte. A shell hands in what happened, with `now` and randomness as arguments, and carries
//! out what comes out:
//!
//! - [`agent::AgentSession`] runs at the end user's machine. It decides, by [`consent`], and its [`agent::Effect`]s come in an order
//!   that keeps a record ahead of everything that starts.
//! - [`technician::TechnicianSession`] runs in the technician's program. It decides nothing; it keeps what the agent said, and refuses an
//!   agent that breaks the protocol.

#![deny(missing_docs)]

pub mod agent;
mod budget;
pub mod technician;
