//! The one place that turns messages into bytes and back.
//!
//! bincode 2 with its standard configuration (little endian, variable-length integers). bincode is
//! finished and no longer maintained: the golden vectors in `tests/golden.rs` pin the bytes, and
//! another encoding would replace this file alone.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::{Serialize, de::DeserializeOwned};

/// A message with a size that its receiver is ready for.
pub trait Message: Serialize + DeserializeOwned {
    /// Largest encoding in bytes that a receiver accepts, at most [`HARD_LIMIT_BYTES`].
    const MAX_BYTES: usize;
}

/// No single message may be larger, whatever its type says. It also bounds what a decoder allocates.
pub const HARD_LIMIT_BYTES: usize = 1 << 20;

/// Bytes of the length prefix that [`frame`] writes.
pub const FRAME_PREFIX_BYTES: usize = 4;

/// Why bytes were refused, or a message could not be sent.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// The peer announced or sent more than the message type allows.
    #[error("message of {bytes} bytes is over its limit of {limit} bytes")]
    TooLarge {
        /// Bytes announced or produced.
        bytes: usize,
        /// Limit of the message type.
        limit: usize,
    },
    /// The bytes are not an encoding of the expected message.
    #[error("malformed message: {reason}")]
    Malformed {
        /// What the decoder stumbled over; carries none of the peer's bytes.
        reason: String,
    },
    /// A complete message is followed by bytes that nobody asked for.
    #[error("{extra} bytes follow the message")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
}

type Config = Configuration<LittleEndian, Varint, Limit<HARD_LIMIT_BYTES>>;

fn config() -> Config {
    bincode::config::standard().with_limit::<HARD_LIMIT_BYTES>()
}

/// Bytes that `value` takes as a part of a message.
pub(crate) fn size_of<T: Serialize>(value: &T) -> usize {
    bincode::serde::encode_to_vec(value, config()).map_or(usize::MAX, |bytes| bytes.len())
}

/// Encodes one message.
///
/// # Errors
///
/// [`CodecError::TooLarge`] if the encoding exceeds `M::MAX_BYTES`: a receiver would refuse it.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(message, config())
        .map_err(|error| CodecError::Malformed { reason: error.to_string() })?;
    if bytes.len() > M::MAX_BYTES {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit: M::MAX_BYTES });
    }
    Ok(bytes)
}

/// Decodes exactly one message from all of `bytes`.
///
/// # Errors
///
/// Every input that is not exactly one encoding within `M::MAX_BYTES` is refused.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, CodecError> {
    if bytes.len() > M::MAX_BYTES {
        return Err(CodecError::TooLarge { bytes: bytes.len(), limit: M::MAX_BYTES });
    }
    let (message, used) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|error| CodecError::Malformed { reason: error.to_string() })?;
    if used != bytes.len() {
        return Err(CodecError::TrailingBytes { extra: bytes.len() - used });
    }
    Ok(message)
}

/// Encodes one message behind its length as a little-endian `u32`: the form on every stream.
///
/// # Errors
///
/// As [`encode`].
pub fn frame<M: Message>(message: &M) -> Result<Vec<u8>, CodecError> {
    let body = encode(message)?;
    let length =
        u32::try_from(body.len()).map_err(|_| CodecError::TooLarge { bytes: body.len(), limit: HARD_LIMIT_BYTES })?;
    let mut bytes = Vec::with_capacity(FRAME_PREFIX_BYTES + body.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads the length in a frame's prefix.
///
/// # Errors
///
/// [`CodecError::TooLarge`] before anything is allocated, if the peer announces more than `M::MAX_BYTES`.
pub fn frame_length<M: Message>(prefix: [u8; FRAME_PREFIX_BYTES]) -> Result<usize, CodecError> {
    let bytes = u32::from_le_bytes(prefix) as usize;
    if bytes > M::MAX_BYTES {
        return Err(CodecError::TooLarge { bytes, limit: M::MAX_BYTES });
    }
    Ok(bytes)
}
