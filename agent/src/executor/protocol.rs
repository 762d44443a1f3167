//! What agent and runner say to each other over their socket pair.
//!
//! The agent sends one [`Order`], then single bytes that ask to stop; the end of the stream means that the agent is gone. The runner
//! sends one [`Report`] and exits.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};
use wire::codec::{self, FRAME_PREFIX_BYTES, Message};
use wire::ids::Digest;
use wire::run::{ExactRun, RunOutcome};

/// Kill the tree at once.
pub(super) const STOP_NOW: u8 = b'!';
/// Ask the tree to end, then kill it.
pub(super) const STOP_GENTLY: u8 = b'?';

/// What to execute, and the digest that the person approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) exact: ExactRun,
    pub(super) digest: Digest,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) outcome: RunOutcome,
}

impl Message for Order {
    const MAX_BYTES: usize = ExactRun::MAX_BYTES + 64;
}

impl Message for Report {
    const MAX_BYTES: usize = 1024;
}

impl Order {
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        codec::frame(self).map_err(io::Error::other)
    }

    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut prefix = [0; FRAME_PREFIX_BYTES];
        from.read_exact(&mut prefix)?;
        let mut body = vec![0; codec::frame_length::<Self>(prefix).map_err(io::Error::other)?];
        from.read_exact(&mut body)?;
        codec::decode(&body).map_err(io::Error::other)
    }
}

impl Report {
    pub(super) const MAX_BYTES: usize = <Self as Message>::MAX_BYTES;

    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        codec::encode(self).map_err(io::Error::other)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        codec::decode(bytes).ok()
    }
}
