//! Frames with any content.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeTuple as _};
use wire::codec::{HARD_LIMIT_BYTES, Message};

/// A frame whose length prefix is right and whose body is exactly these bytes, up to 1 MiB, whatever the receiver expects.
///
/// Sent where a message is due, it is garbage, truncated or oversized, as the test likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame(pub Vec<u8>);

impl RawFrame {
    /// The encoding of `message` without its last `missing` bytes.
    ///
    /// # Panics
    ///
    /// When the message cannot be encoded.
    pub fn truncated<M: Message>(message: &M, missing: usize) -> Self {
        let mut bytes = wire::codec::encode(message).expect("a test's message is within its limit");
        bytes.truncate(bytes.len().saturating_sub(missing));
        Self(bytes)
    }

    /// The encoding of `message` with further bytes behind it.
    ///
    /// # Panics
    ///
    /// When the message cannot be encoded.
    pub fn extended<M: Message>(message: &M, extra: &[u8]) -> Self {
        let mut bytes = wire::codec::encode(message).expect("a test's message is within its limit");
        bytes.extend_from_slice(extra);
        Self(bytes)
    }
}

impl Message for RawFrame {
    const MAX_BYTES: usize = HARD_LIMIT_BYTES;
}

impl Serialize for RawFrame {
    /// As a tuple of bytes, which the encoding writes without a length.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| bytes.serialize_element(byte))?;
        bytes.end()
    }
}

impl<'de> Deserialize<'de> for RawFrame {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("a raw frame is only ever sent"))
    }
}

#[cfg(test)]
mod tests {
    use wire::{codec, session::ToAgent};

    use super::*;

    #[test]
    fn a_raw_frame_carries_exactly_its_bytes() {
        let bytes = (0..=255).collect::<Vec<u8>>();
        assert_eq!(codec::encode(&RawFrame(bytes.clone())).unwrap(), bytes);
        let honest = codec::encode(&ToAgent::Subscribe { period_ms: 1000 }).unwrap();
        assert_eq!(
            codec::encode(&RawFrame::truncated(&ToAgent::Subscribe { period_ms: 1000 }, 1)).unwrap(),
            honest[..honest.len() - 1]
        );
        assert!(codec::encode(&RawFrame::extended(&ToAgent::End, b"more")).unwrap().ends_with(b"more"));
    }
}
