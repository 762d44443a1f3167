//! One question over HTTP/1.1 (RFC 9112) to a server on this machine.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::text::number;

/// Longest that an answer is waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Most bytes of an answer: a thousand jobs have some 300 KiB.
const MAX_BYTES: usize = 1 << 20;

/// Most answers in front of the one that counts (RFC 9110, 15.2). Servers send one, if any.
const MAX_INTERIM: usize = 8;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Socket(PathBuf),
    Address(SocketAddr),
}

/// Sends `body` and returns the body of the answer. Blocks.
///
/// # Errors
///
/// [`io::ErrorKind::TimedOut`] if all of that takes too long, [`io::ErrorKind::PermissionDenied`] if the server wants to know who
/// asks, [`io::ErrorKind::InvalidData`] if the answer is no HTTP, and what connecting fails with.
pub(super) fn post(endpoint: &Endpoint, content_type: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answered = runtime.block_on(async {
        let talk = async {
            match endpoint {
                Endpoint::Socket(path) => exchange(UnixStream::connect(path).await?, &request).await,
                Endpoint::Address(address) => exchange(TcpStream::connect(address).await?, &request).await,
            }
        };
        tokio::time::timeout(DEADLINE, talk).await
    });
    answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request).await?;
    let mut bytes = Vec::new();
    let mut ended = false;
    loop {
        if let Some(body) = body(&bytes, ended)? {
            return Ok(body);
        }
        if ended {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if bytes.len() > MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the answer is longer than expected"));
        }
        bytes.reserve(16 * 1024);
        ended = stream.read_buf(&mut bytes).await? == 0;
    }
}

/// The body of the answer that `bytes` begins with; `None` if more has to come. `ended` says that nothing more does.
fn body(bytes: &[u8], ended: bool) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = bytes;
    for _ in 0..=MAX_INTERIM {
        let Some((head, rest)) = split_at(bytes, b"\r\n\r\n") else { return Ok(None) };
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let mut status = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
        if !status.next().is_some_and(|version| version.starts_with(b"HTTP/1.")) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match status.next().and_then(number) {
            // What comes first is not the answer.
            Some(100..=199) => bytes = rest,
            Some(200) => return content(lines, rest, ended),
            Some(401 | 403) => return Err(io::ErrorKind::PermissionDenied.into()),
            Some(_) => return Err(io::Error::other("the print service refused the question")),
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// As [`body`], of what stands behind a head with these `lines`.
fn content<'a>(lines: impl Iterator<Item = &'a [u8]>, rest: &[u8], ended: bool) -> io::Result<Option<Vec<u8>>> {
    let (mut length, mut chunked) = (None, false);
    for line in lines {
        let Some((name, value)) = split_at(line, b":") else { continue };
        let value = value.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            length =
                Some(number(value).and_then(|length| usize::try_from(length).ok()).ok_or(io::ErrorKind::InvalidData)?);
        }
        chunked |= name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked");
    }
    match length {
        _ if chunked => unchunk(rest),
        Some(length) => Ok(rest.get(..length).map(<[u8]>::to_vec)),
        None => Ok(ended.then(|| rest.to_vec())),
    }
}

/// RFC 9112 section 7.1.
fn unchunk(mut rest: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some((line, after)) = split_at(rest, b"\r\n") else { return Ok(None) };
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let digits = std::str::from_utf8(digits).map_err(|_| io::ErrorKind::InvalidData)?;
        let length = usize::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if length == 0 {
            return Ok(Some(body));
        }
        let Some((chunk, after)) = after.split_at_checked(length) else { return Ok(None) };
        let Some((end, after)) = after.split_at_checked(2) else { return Ok(None) };
        if end != b"\r\n" {
            return Err(io::ErrorKind::InvalidData.into());
        }
        body.extend_from_slice(chunk);
        rest = after;
    }
}

fn split_at<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(mark.len()).position(|part| part == mark)?;
    Some((&bytes[..place], &bytes[place + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], ended: bool) -> Option<Vec<u8>> {
        body(bytes, ended).unwrap()
    }

    #[test]
    fn a_body_ends_where_its_length_its_last_chunk_or_the_connection_says() {
        let plain = b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabcd";
        assert_eq!(whole(plain, false).unwrap(), b"abc");
        assert_eq!(whole(&plain[..plain.len() - 2], false), None);
        let chunked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\nA\r\n0123456789\r\n0\r\n\r\n";
        assert_eq!(whole(chunked, false).unwrap(), b"ab0123456789");
        for length in 0..chunked.len() - 4 {
            assert_eq!(whole(&chunked[..length], false), None, "{length}");
        }
        let until_end = b"HTTP/1.0 200 OK\r\n\r\nabc";
        assert_eq!((whole(until_end, false), whole(until_end, true)), (None, Some(b"abc".to_vec())));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let kind = |bytes: &[u8]| body(bytes, false).unwrap_err().kind();
        assert_eq!(kind(b"SSH-2.0-x\r\n\r\n"), io::ErrorKind::InvalidData);
        assert_eq!(kind(b"HTTP/1.1 x\r\n\r\n"), io::ErrorKind::InvalidData);
        assert_eq!(kind(b"HTTP/1.1 401 Unauthorized\r\n\r\n"), io::ErrorKind::PermissionDenied);
        assert_eq!(kind(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), io::ErrorKind::InvalidData);
        let chunk = |size: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nabcd");
        assert_eq!(kind(chunk("-1").as_bytes()), io::ErrorKind::InvalidData);
        assert_eq!(kind(chunk("").as_bytes()), io::ErrorKind::InvalidData);
        assert_eq!(kind(chunk("2").as_bytes()), io::ErrorKind::InvalidData, "no line end after the chunk");
        assert_eq!(whole(chunk("ffffffffffffffff").as_bytes(), false), None);
    }
}
