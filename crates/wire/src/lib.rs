//! What the programs say to each other: ids, messages, framing, limits.
//!
//! The only crate that knows the encoding ([`codec`]). Everything here is plain data; nothing reads a
//! clock, opens a file or draws a random number.
//!
//! | module | who speaks it |
//! |---|---|
//! | [`beat`] | a sleeping agent and the relay, instead of a connection |
//! | [`control`] | agent and technician with the relay, over the control connection |
//! | [`channel`] | the 8-byte header on sealed packets, the only part of a session that a relay reads |
//! | [`path`] | the ends of a session about the paths between them |
//! | [`pipe`] | packets over TCP, between a program and its relay |
//! | [`reflect`] | a program and its relay's second port, about the network between them |
//! | [`pairing`] | technician and agent inside the sealed session, until both proved the code |
//! | [`session`] | technician and agent once paired |
//! | [`run`] | the exact act that a person approves, and how it ended |
//! | [`diagnostics`] | the identity card and the live sample stream |
//! | [`evidence`] | the agent's audit log, and the technician's copy of it |

#![deny(missing_docs)]
#![warn(clippy::indexing_slicing)]

pub mod beat;
pub mod channel;
pub mod codec;
pub mod control;
pub mod diagnostics;
pub mod evidence;
pub mod ids;
pub mod limits;
pub mod link;
pub mod pairing;
pub mod path;
pub mod pipe;
pub mod reflect;
pub mod run;
pub mod session;
pub mod text;
pub mod time;
