//! Whether a portal stands before the internet: a page that is known to be empty is asked for by plain HTTP (RFC 9110, RFC 8952).

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    time::Duration,
};

use wire::{
    diagnostics::sections::{network::Connectivity, probes::PortalFound},
    text::Label,
};

use super::limit::Limit;

/// Longest that the connection, and each piece of the answer, is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most of an answer that is read: its head, or what fits in here of it.
const HEAD_BYTES: usize = 8 * 1024;

/// Asks `host` at `address`. Neither a cookie nor a name of this machine is sent.
pub(super) fn probe(host: &str, address: SocketAddr, limit: &Limit) -> io::Result<PortalFound> {
    let mut stream = limit.connect(address, PATIENCE)?;
    stream.set_write_timeout(Some(limit.at_most(PATIENCE)?))?;
    let host_field = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    write!(stream, "GET /generate_204 HTTP/1.1\r\nHost: {host_field}\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match limit.read(&mut stream, &mut piece, PATIENCE)? {
            0 => break,
            length => head.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    read_head(&head).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read_head(head: &[u8]) -> Option<PortalFound> {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse::<u16>().ok()?;
    let fields = lines.take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
    let location =
        fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("location")).map(|(_, value)| value.trim());
    let state = match status {
        204 => Connectivity::Full,
        // RFC 6585, 6: a portal that is polite. Others lead elsewhere, or answer with a page of their own.
        511 | 200..=399 => Connectivity::Portal,
        _ => Connectivity::Limited,
    };
    let leads_to = location.and_then(host_of).map_or_else(Label::default, Label::cut);
    Some(PortalFound { state, status: Some(status), leads_to })
}

/// The host of an absolute URL, without what stands in front of it and behind it.
fn host_of(url: &str) -> Option<&str> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next(),
        None => host.split(':').next(),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead as _, net::TcpListener, thread};

    use super::*;

    #[expect(clippy::unwrap_in_result, reason = "a test's server that fails fails the test")]
    fn answered(answer: &'static str) -> io::Result<PortalFound> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = io::BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect::<Vec<_>>();
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let found = probe("check.example", address, &Limit::new(Duration::from_secs(60)));
        let request = server.join().unwrap();
        assert_eq!(request, ["GET /generate_204 HTTP/1.1", "Host: check.example", "Connection: close"]);
        found
    }

    #[test]
    fn an_empty_page_is_the_internet() {
        let found = answered("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n").unwrap();
        assert_eq!((found.state, found.status, found.leads_to.raw()), (Connectivity::Full, Some(204), ""));
    }

    #[test]
    fn a_portal_leads_elsewhere_or_answers_in_anothers_name() {
        let found =
            answered("HTTP/1.0 302 Found\r\nlocation: http://u:p@login.hotel.example:8080/x?mac=02fc\r\n\r\n").unwrap();
        assert_eq!((found.state, found.leads_to.raw()), (Connectivity::Portal, "login.hotel.example"));
        let page = answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nLocation: http://in-the-page/").unwrap();
        assert_eq!((page.state, page.leads_to.raw()), (Connectivity::Portal, ""));
        assert_eq!(answered("HTTP/1.1 503 No\r\n\r\n").unwrap().state, Connectivity::Limited);
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        assert_eq!(answered("SSH-2.0-OpenSSH_9.2\r\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(answered("").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(answered("HTTP/1.1 70000 x\r\n\r\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
