//! Messages from the bytes of a stream, as they come. The same frames and limits as [`streams`](crate::streams).

use quinn_proto::{Chunks, ReadError};
use wire::codec::{self, CodecError, FRAME_PREFIX_BYTES, Message};

use super::peer::PeerEnd;

/// What was received of the next message.
#[derive(Debug, Default)]
pub(super) struct Frames {
    prefix: [u8; FRAME_PREFIX_BYTES],
    prefix_filled: usize,
    /// Never more than the message type allows.
    body: Vec<u8>,
}

/// What a stream has to say now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<M> {
    Message(M),
    /// Nothing for the moment.
    Silence,
    /// Nothing any more.
    End,
}

impl Frames {
    /// Reads until a message is whole, and never a byte further.
    pub(super) fn read<M: Message>(&mut self, chunks: &mut Chunks<'_>) -> Result<Heard<M>, PeerEnd> {
        loop {
            let wanted = self.wanted::<M>()?;
            if wanted == 0 {
                return Ok(Heard::Message(self.take()?));
            }
            match chunks.next(wanted) {
                Ok(Some(chunk)) => self.add(&chunk.bytes),
                Ok(None) if self.prefix_filled == 0 => return Ok(Heard::End),
                Ok(None) => return Err(PeerEnd::Truncated),
                Err(ReadError::Blocked) => return Ok(Heard::Silence),
                Err(ReadError::Reset(_)) => return Err(PeerEnd::ByPeer),
            }
        }
    }

    /// Bytes that the next message lacks. Zero: it is whole.
    fn wanted<M: Message>(&self) -> Result<usize, CodecError> {
        match FRAME_PREFIX_BYTES - self.prefix_filled {
            0 => Ok(codec::frame_length::<M>(self.prefix)? - self.body.len()),
            missing => Ok(missing),
        }
    }

    /// Takes bytes, at most as many as were [`wanted`](Self::wanted).
    fn add(&mut self, bytes: &[u8]) {
        let prefix = &mut self.prefix[self.prefix_filled..];
        if prefix.is_empty() {
            self.body.extend_from_slice(bytes);
        } else {
            prefix[..bytes.len()].copy_from_slice(bytes);
            self.prefix_filled += bytes.len();
        }
    }

    fn take<M: Message>(&mut self) -> Result<M, CodecError> {
        let message = codec::decode(&self.body)?;
        // Long messages are rare, and there may be a hundred thousand connections.
        *self = Self::default();
        Ok(message)
    }
}
