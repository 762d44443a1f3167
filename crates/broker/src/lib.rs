//! The relay's brain: who is there, which locator leads to whom, which two connections share a channel, who asks too often.
//!
//! A [`Broker`] does nothing by itself. The shell tells it what happened ([`Broker::connected`], [`Broker::handle_message`],
//! [`Broker::handle_timeout`], ...) with the time and randomness as arguments, and then does what the broker says
//! ([`Broker::poll_command`]), in that order. It knows no names, no keys and no secrets: connections, addresses, locators and channels
//! are all there is.
//!
//! ```text
//! agent ── AllocateLocator ──▶ broker ◀── Attach(locator) ── technician
//!                                │ OpenSlot, ChannelOpen to both
//!                                ▼
//!          slot: channel id ◀─ joins two connections, forwards blindly ─▶
//! ```
//!
//! # Rules
//!
//! * A locator leads to at most one agent; it is drawn at random, never listed, and rests for a day after use while others are free.
//! * Unknown, lapsed and used locators are refused alike.
//! * A channel joins exactly two connections, an agent's and a technician's. Its id is not given out again for two minutes.
//! * Whatever a connection held is gone when the connection is, but the locator of an agent that went to sleep: who attaches by it waits
//!   until the agent was woken and is back, or for eight seconds.
//! * An agent that has shown a key has one connection: the newest.
//! * All tables are bounded by [`BrokerConfig`]. The queue of commands grows by what one input causes and is emptied by the shell after
//!   each.
//! * Deadlines are checked when something is used; timers only tidy up, so a late timer or a clock that jumped ahead allows nothing.

#![deny(missing_docs)]
#![warn(clippy::indexing_slicing)]

mod address;
mod broker;
mod command;
mod config;

mod locators;
mod meeting;
mod sleep;
mod slots;
#[cfg(test)]
mod testing;
mod timers;

pub use broker::{Broker, ConnectionId};
pub use command::{Command, Counts, Event, Goodbye, LastSeen, LocatorEnd, Request, Traffic};
pub use config::{BrokerConfig, Rate};
