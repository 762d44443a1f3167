//! How the process that owns a session and the other `assent` commands of the same user talk: JSON lines over a Unix socket.

pub(crate) mod client;
pub(crate) mod lines;
pub(crate) mod protocol;
pub(crate) mod server;
pub(crate) mod socket;
#[cfg(test)]
mod tests;
