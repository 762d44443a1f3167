//! What left the machine, as it is kept for the person there.

use serde::{Deserialize, Serialize};

use crate::{codec::Message, ids::InspectionId, time::WallTime};

/// Stands before each thing that was handed to the connection in the file that keeps them.
///
/// Header and contents are one [frame](crate::codec::frame) each; the contents are the very frame that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentHeader {
    /// When, by the machine's clock.
    pub at: WallTime,
    /// What.
    pub what: SentKind,
}

/// What was handed to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SentKind {
    /// A stream of live diagnostics began: its first sample builds on none before. No contents follow.
    StreamBegan,
    /// A [`StreamFrame`](super::StreamFrame) of that stream follows.
    Frame,
    /// An [`Inspected`](super::inspect::Inspected) follows.
    Inspected(InspectionId),
}

impl Message for SentHeader {
    const MAX_BYTES: usize = 32;
}
