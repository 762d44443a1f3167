//! A session that changes its path, in virtual time over links in memory.
//!
//! Both ends are whole nodes but for the control connection: own socket, own endpoint, TLS. The network is two or three channels, each over
//! a pair of lines: `RELAY` is slow and narrow, `DIRECT` is what a local network would be. Figures are bounds with room, not
//! measurements: what was measured stands in the decision record 0006.

mod asleep;
mod direct;
mod dying;
mod figures;
mod hostile;
mod lossy;
mod moving;
mod rules;
mod world;
