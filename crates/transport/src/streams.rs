//! Frames and bytes on the streams of a session or a control connection.
//!
//! Messages of the control stream never wait behind bulk: their stream has the highest priority, and the memory for unconfirmed
//! bytes that bulk may fill is enlarged while one of them waits, with bulk held back meanwhile.

use std::{fmt, future, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, SendStream, VarInt, WriteError};
use tokio::sync::watch;
use wire::codec::{self, CodecError, FRAME_PREFIX_BYTES, Message};

use crate::{
    knobs::{BULK_WINDOW, URGENT_WINDOW},
    sealed::SealedEnd,
};

/// The control stream goes before everything else.
const CONTROL_PRIORITY: i32 = 100;

/// Why a stream carries nothing more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A message was refused: the peer's on receiving, our own on sending.
    #[error("a message was refused: {0}")]
    Message(#[from] CodecError),
    /// The peer ended the stream inside a message.
    #[error("the stream ended inside a message")]
    Truncated,
    /// The peer gave the stream up; what came may be incomplete.
    #[error("the other side gave the stream up (code {code})")]
    Reset {
        /// Chosen by the peer.
        code: u64,
    },
    /// The peer does not read the stream any more.
    #[error("the other side stopped reading (code {code})")]
    Stopped {
        /// Chosen by the peer.
        code: u64,
    },
    /// The connection under the stream is over.
    #[error(transparent)]
    Closed(#[from] SealedEnd),
    /// The stream was finished, stopped or reset on this side.
    #[error("the stream was already ended here")]
    Ended,
    /// Pairing was not done within [`PAIRING_DEADLINE`](wire::limits::PAIRING_DEADLINE).
    #[error("pairing took too long")]
    PairingTooSlow,
    /// No message was exchanged on this channel, so nothing can have been paired.
    #[error("no pairing took place on this channel")]
    NotPaired,
}

impl StreamError {
    /// Whether the peer sent something that no honest peer sends.
    pub fn peer_broke_the_rules(&self) -> bool {
        match self {
            Self::Message(_) | Self::Truncated => true,
            Self::Reset { .. }
            | Self::Stopped { .. }
            | Self::Closed(_)
            | Self::Ended
            | Self::PairingTooSlow
            | Self::NotPaired => false,
        }
    }

    /// Whether only this stream is affected and the session can go on.
    pub fn session_goes_on(&self) -> bool {
        match self {
            Self::Reset { .. } | Self::Stopped { .. } | Self::Ended => true,
            Self::Message(_) | Self::Truncated | Self::Closed(_) | Self::PairingTooSlow | Self::NotPaired => false,
        }
    }
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Stopped { code: code.into_inner() },
            WriteError::ConnectionLost(error) => Self::Closed(error.into()),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => Self::Ended,
        }
    }
}

impl From<ReadError> for StreamError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::Reset { code: code.into_inner() },
            ReadError::ConnectionLost(error) => Self::Closed(error.into()),
            ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected => Self::Ended,
        }
    }
}

/// Lets urgent messages pass bulk on one connection.
pub(crate) struct Lanes {
    connection: quinn::Connection,
    /// Urgent messages that are waiting.
    waiting: watch::Sender<usize>,
}

impl Lanes {
    pub(crate) fn new(connection: quinn::Connection) -> Self {
        Self { connection, waiting: watch::Sender::new(0) }
    }

    fn urgent(&self) -> UrgentGuard<'_> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        self.connection.set_send_window(BULK_WINDOW + URGENT_WINDOW);
        UrgentGuard { lanes: self }
    }

    /// Returns while no urgent message waits.
    async fn clear(&self) {
        // The sender is in `self`, so waiting cannot fail.
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// Returns as soon as an urgent message waits.
    async fn urgent_waits(&self) {
        let _ = self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await;
    }
}

struct UrgentGuard<'a> {
    lanes: &'a Lanes,
}

impl Drop for UrgentGuard<'_> {
    fn drop(&mut self) {
        self.lanes.waiting.send_modify(|waiting| {
            *waiting -= 1;
            if *waiting == 0 {
                self.lanes.connection.set_send_window(BULK_WINDOW);
            }
        });
    }
}

/// Sends messages of the control stream.
///
/// Dropping it unfinished tells the peer that the stream was given up.
pub struct FrameSender {
    stream: SendStream,
    /// Frames that were accepted and not handed to the connection yet.
    unsent: BytesMut,
    /// `None` on a connection without bulk.
    lanes: Option<Arc<Lanes>>,
    finished: bool,
}

impl FrameSender {
    pub(crate) fn new(stream: SendStream, lanes: Option<Arc<Lanes>>) -> Self {
        // Fails only for a stream that is over; sending says so.
        let _ = stream.set_priority(CONTROL_PRIORITY);
        Self { stream, unsent: BytesMut::new(), lanes, finished: false }
    }

    /// Sends one message; returns when the connection has taken it, which says nothing about the peer.
    ///
    /// # Errors
    ///
    /// [`StreamError::Message`] if the message exceeds its own limit: nothing was sent and the stream goes on. Anything else:
    /// the stream is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future never breaks a frame in two: the message is then sent whole, with the next one at the latest, or
    /// not at all.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), StreamError> {
        let frame = codec::frame(message)?;
        self.flush().await?;
        self.unsent.extend_from_slice(&frame);
        self.flush().await
    }

    /// Ends the stream and waits until the peer has everything.
    ///
    /// # Errors
    ///
    /// The peer stopped reading, or the connection is over.
    pub async fn finish(mut self) -> Result<(), StreamError> {
        self.flush().await?;
        self.finished = true;
        finish(&mut self.stream).await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        let Self { stream, unsent, lanes, .. } = self;
        tokio::select! {
            biased;
            written = write_all(stream, unsent) => return written,
            () = future::ready(()) => {}
        }
        let guard = lanes.as_ref().map(|lanes| lanes.urgent());
        let written = write_all(stream, unsent).await;
        drop(guard);
        written
    }
}

impl Drop for FrameSender {
    fn drop(&mut self) {
        if !self.finished {
            // quinn would otherwise end it as if everything had been said.
            let _ = self.stream.reset(VarInt::from_u32(GIVEN_UP));
        }
    }
}

impl fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSender").field("stream", &self.stream.id()).finish_non_exhaustive()
    }
}

/// Code of a stream that its sender dropped unfinished.
const GIVEN_UP: u32 = 1;

async fn write_all(stream: &mut SendStream, unsent: &mut BytesMut) -> Result<(), StreamError> {
    while !unsent.is_empty() {
        let written = stream.write(unsent).await?;
        unsent.advance(written);
    }
    Ok(())
}

async fn finish(stream: &mut SendStream) -> Result<(), StreamError> {
    stream.finish().map_err(|_| StreamError::Ended)?;
    match stream.stopped().await {
        Ok(None) => Ok(()),
        Ok(Some(code)) => Err(StreamError::Stopped { code: code.into_inner() }),
        Err(quinn::StoppedError::ConnectionLost(error)) => Err(StreamError::Closed(error.into())),
        Err(quinn::StoppedError::ZeroRttRejected) => Err(StreamError::Ended),
    }
}

/// Receives messages of the control stream.
pub struct FrameReceiver {
    frames: Frames,
}

impl FrameReceiver {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { frames: Frames::new(stream) }
    }

    /// Receives the next message. `None`: the peer has ended the stream after its last message.
    ///
    /// # Errors
    ///
    /// [`StreamError::Message`] for a message that is too long (before any of it is buffered) or malformed;
    /// [`StreamError::Truncated`] for a stream that ends inside one. After an error the stream is useless.
    ///
    /// # Cancel safety
    ///
    /// What was received of a message is kept in the receiver; the next call goes on with it.
    pub async fn recv<M: Message>(&mut self) -> Result<Option<M>, StreamError> {
        self.frames.recv().await
    }
}

impl fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReceiver").field("stream", &self.frames.stream.id()).finish_non_exhaustive()
    }
}

/// Reads frame by frame and never a byte further, so that raw bytes may follow.
struct Frames {
    stream: RecvStream,
    prefix: [u8; FRAME_PREFIX_BYTES],
    prefix_filled: usize,
    body: Vec<u8>,
}

impl Frames {
    fn new(stream: RecvStream) -> Self {
        Self { stream, prefix: [0; FRAME_PREFIX_BYTES], prefix_filled: 0, body: Vec::new() }
    }

    async fn recv<M: Message>(&mut self) -> Result<Option<M>, StreamError> {
        while self.prefix_filled < FRAME_PREFIX_BYTES {
            match self.stream.read(&mut self.prefix[self.prefix_filled..]).await? {
                Some(read) => self.prefix_filled += read,
                None if self.prefix_filled == 0 => return Ok(None),
                None => return Err(StreamError::Truncated),
            }
        }
        let length = codec::frame_length::<M>(self.prefix)?;
        while self.body.len() < length {
            let chunk = self.stream.read_chunk(length - self.body.len(), true).await?.ok_or(StreamError::Truncated)?;
            self.body.extend_from_slice(&chunk.bytes);
        }
        let message = codec::decode(&self.body)?;
        self.prefix_filled = 0;
        self.body.clear();
        Ok(Some(message))
    }
}

/// How much a one-way stream may hold up others. The control stream goes before both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Worth little when late: live diagnostics.
    Live,
    /// As much as possible, as soon as possible: output of runs.
    Bulk,
}

impl Priority {
    fn level(self) -> i32 {
        match self {
            Self::Live => 10,
            Self::Bulk => 0,
        }
    }
}

/// Sends a one-way stream: messages and raw bytes.
///
/// Dropping it unfinished tells the peer that the stream was given up, so that a cut stream never passes for a whole one.
pub struct ByteSender {
    stream: SendStream,
    unsent: BytesMut,
    lanes: Arc<Lanes>,
    finished: bool,
}

impl ByteSender {
    pub(crate) fn new(stream: SendStream, lanes: Arc<Lanes>, priority: Priority) -> Self {
        let sender = Self { stream, unsent: BytesMut::new(), lanes, finished: false };
        sender.set_priority(priority);
        sender
    }

    /// Changes how much this stream may hold up others.
    pub fn set_priority(&self, priority: Priority) {
        // Fails only for a stream that is over; sending says so.
        let _ = self.stream.set_priority(priority.level());
    }

    /// Sends one message. Waits while the peer reads too slowly or an urgent message is to go first.
    ///
    /// # Errors
    ///
    /// [`StreamError::Message`] if the message exceeds its own limit: nothing was sent and the stream goes on. Anything else:
    /// the stream is over.
    ///
    /// # Cancel safety
    ///
    /// As [`FrameSender::send`].
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), StreamError> {
        let frame = codec::frame(message)?;
        self.flush().await?;
        self.unsent.extend_from_slice(&frame);
        self.flush().await
    }

    /// Sends some of `bytes` and returns how many. Waits as [`Self::send`] does.
    ///
    /// # Errors
    ///
    /// The stream is over.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, none of `bytes` was sent.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        self.flush().await?;
        write_bulk(&mut self.stream, &self.lanes, bytes).await
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// The stream is over.
    ///
    /// # Cancel safety
    ///
    /// None: if the future is dropped, some first part of `bytes` was sent. Use [`Self::write`] where that matters.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let written = self.write(bytes).await?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the stream and waits until the peer has everything.
    ///
    /// # Errors
    ///
    /// The peer stopped reading, or the connection is over.
    pub async fn finish(mut self) -> Result<(), StreamError> {
        self.flush().await?;
        self.finished = true;
        finish(&mut self.stream).await
    }

    /// Gives the stream up: what the peer has not got yet is not sent any more. `code` means what both sides agree on.
    pub fn reset(mut self, code: u32) {
        self.finished = true;
        // Fails only for a stream that is over.
        let _ = self.stream.reset(VarInt::from_u32(code));
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        while !self.unsent.is_empty() {
            let written = write_bulk(&mut self.stream, &self.lanes, &self.unsent).await?;
            self.unsent.advance(written);
        }
        Ok(())
    }
}

async fn write_bulk(stream: &mut SendStream, lanes: &Lanes, bytes: &[u8]) -> Result<usize, StreamError> {
    loop {
        lanes.clear().await;
        tokio::select! {
            biased;
            () = lanes.urgent_waits() => {}
            written = stream.write(bytes) => return Ok(written?),
        }
    }
}

impl Drop for ByteSender {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(VarInt::from_u32(GIVEN_UP));
        }
    }
}

impl fmt::Debug for ByteSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteSender").field("stream", &self.stream.id()).finish_non_exhaustive()
    }
}

/// Receives a one-way stream: messages and raw bytes.
///
/// Dropping it tells the peer that nobody reads any more.
pub struct ByteReceiver {
    frames: Frames,
}

impl ByteReceiver {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { frames: Frames::new(stream) }
    }

    /// Receives the next message; errors and cancel safety as [`FrameReceiver::recv`]. Raw bytes may follow it.
    ///
    /// # Errors
    ///
    /// As [`FrameReceiver::recv`].
    pub async fn recv<M: Message>(&mut self) -> Result<Option<M>, StreamError> {
        self.frames.recv().await
    }

    /// Receives up to `most` raw bytes, at least one. `None`: the peer has ended the stream, and this was all of it.
    ///
    /// # Errors
    ///
    /// [`StreamError::Reset`] if the peer gave the stream up: what came is not all there was to be.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn read(&mut self, most: usize) -> Result<Option<Bytes>, StreamError> {
        Ok(self.frames.stream.read_chunk(most, true).await?.map(|chunk| chunk.bytes))
    }

    /// Tells the peer that nobody reads this any more. `code` means what both sides agree on.
    pub fn stop(mut self, code: u32) {
        // Fails only for a stream that is over.
        let _ = self.frames.stream.stop(VarInt::from_u32(code));
    }
}

impl fmt::Debug for ByteReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteReceiver").field("stream", &self.frames.stream.id()).finish_non_exhaustive()
    }
}
