//! `assent-relay`: brings agents and technicians together and forwards what they seal, without being able to read it.
//!
//! A thin shell around [`broker`], which makes all decisions, and `transport`'s listener, which has the sockets and a thread for each.
//!
//! ```text
//!        control connections                            sealed packets
//! listener ── events ──▶ actor ──▶ broker        listener ──▶ slot table ──▶ listener
//!    ▲                   │   │                                    ▲
//!    └───── orders ──────┘   └────────── opens, closes ───────────┘
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`], [`config`], [`error`] | from the command line and a file to a [`config::RelayConfig`], or to advice |
//! | [`key`] | the relay's key in the state directory |
//! | [`relay`] | starts and stops a relay; `actor` runs it |
//! | [`slots`] | where each sealed packet goes |
//! | [`sleepers`] | agents that sleep, and what their packets do |
//! | `report`, `metrics`, `http`, `names` | what others can see of it |

pub mod cli;
pub mod config;
pub mod error;
pub mod key;
pub mod relay;
pub mod sleepers;
pub mod slots;

mod actor;
mod http;
mod link;
mod metrics;
mod names;
mod os;
mod report;
mod serve;
