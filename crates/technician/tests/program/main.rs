//! The program itself: what can be typed, what it prints, how it ends, and a live session in a real terminal.

#[cfg(test)]
#[path = "../../src/owner/testing/agent.rs"]
#[allow(dead_code, reason = "the tests inside the crate use more of it")]
mod agent;
#[cfg(test)]
mod live;
#[cfg(test)]
mod typed;
#[cfg(test)]
mod world;
