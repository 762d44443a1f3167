//! JSON lines with a bound on their length.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

/// Why a line could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LineError {
    /// The connection broke.
    #[error("the connection to the session's process broke")]
    Io(#[from] io::Error),
    /// More bytes without a line end than any message has.
    #[error("a line is longer than {limit} bytes")]
    TooLong {
        /// The bound.
        limit: usize,
    },
    /// The line is not the expected message.
    #[error("a line is malformed")]
    Malformed(#[source] serde_json::Error),
}

/// Reads messages, one a line.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    inner: BufReader<R>,
    limit: usize,
    partial: Vec<u8>,
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// `limit` bounds what is kept of a line that does not end.
    pub(crate) fn new(inner: R, limit: usize) -> Self {
        Self { inner: BufReader::new(inner), limit, partial: Vec::new() }
    }

    /// The next message, or `None` at the end of the stream. An unfinished last line counts as the end.
    ///
    /// # Errors
    ///
    /// [`LineError`]; after one the reader must not be used again.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what was read of a line is kept for the next call.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, LineError> {
        loop {
            let available = self.inner.fill_buf().await?;
            if available.is_empty() {
                return Ok(None);
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            if self.partial.len() + taken > self.limit {
                return Err(LineError::TooLong { limit: self.limit });
            }
            self.partial.extend_from_slice(available.get(..taken).unwrap_or_default());
            self.inner.consume(taken);
            if end.is_some() {
                let message = serde_json::from_slice(&self.partial);
                self.partial.clear();
                return message.map(Some).map_err(LineError::Malformed);
            }
        }
    }
}

/// Writes one message as a line.
///
/// # Errors
///
/// When the connection broke.
///
/// # Cancel safety
///
/// Not cancel safe: part of the line may have been written.
pub(crate) async fn write_line<T: Serialize>(to: &mut (impl AsyncWrite + Unpin), message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_out_as_they_went_in_whatever_the_pieces() {
        let (mut near, far) = tokio::io::duplex(3);
        let write = async {
            for number in 0..5u32 {
                write_line(&mut near, &number).await.unwrap();
            }
            drop(near);
        };
        let mut reader = LineReader::new(far, 64);
        let read = async {
            let mut numbers = Vec::new();
            while let Some(number) = reader.next::<u32>().await.unwrap() {
                numbers.push(number);
            }
            numbers
        };
        let ((), numbers) = tokio::join!(write, read);
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut_off_at_the_bound() {
        let endless = tokio::io::repeat(b'x');
        let error = LineReader::new(endless, 4096).next::<u32>().await.unwrap_err();
        assert!(matches!(error, LineError::TooLong { limit: 4096 }), "{error}");
    }

    #[tokio::test]
    async fn garbage_and_half_lines_are_no_messages() {
        let error = LineReader::new(&b"{\xff\n"[..], 64).next::<u32>().await.unwrap_err();
        assert!(matches!(error, LineError::Malformed(_)), "{error}");
        assert!(LineReader::new(&b"12"[..], 64).next::<u32>().await.unwrap().is_none());
    }
}
