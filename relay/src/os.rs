//! What differs between operating systems.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::{StopSignals, is_private, is_root, lock};
