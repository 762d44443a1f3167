//! How long a probe may go on: until its time is over, or nobody wants it any more.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt},
};

use crate::stopwatch::Stopwatch;

/// How soon it is noticed that nobody wants a probe any more. While its connection waits the kernel repeats packets for it.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The time of one probe.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    began: Stopwatch,
    whole: Duration,
    unwanted: Arc<AtomicBool>,
}

impl Limit {
    pub(crate) fn new(whole: Duration) -> Self {
        Self { began: Stopwatch::start(), whole, unwanted: Arc::default() }
    }

    /// What is set to `true` when nobody wants the probe any more.
    pub(crate) fn unwanted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.unwanted)
    }

    /// What may be waited for now: at most `most`, and never nothing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if the time is over or nobody wants the probe any more.
    pub(crate) fn at_most(&self, most: Duration) -> io::Result<Duration> {
        let left = self.began.left_of(self.whole).filter(|_| !self.unwanted.load(Ordering::Relaxed));
        // A time-out of less than a microsecond is none to a socket.
        left.map(|left| left.min(most).max(Duration::from_millis(1))).ok_or_else(|| io::ErrorKind::TimedOut.into())
    }

    /// Asked before anything is sent.
    ///
    /// # Errors
    ///
    /// As [`Limit::at_most`].
    pub(crate) fn check(&self) -> io::Result<()> {
        self.at_most(LOOK).map(drop)
    }

    /// Whether there is time left and somebody wants the probe.
    pub(crate) fn is_wanted(&self) -> bool {
        self.check().is_ok()
    }

    /// Connects by TCP, in at most `most`. One that nobody wants any more is given up at once: the kernel repeats nothing for it.
    pub(crate) fn connect(&self, address: SocketAddr, most: Duration) -> io::Result<TcpStream> {
        self.check()?;
        let began = Stopwatch::start();
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            let left = began.left_of(most).ok_or(io::ErrorKind::TimedOut)?;
            let wait = Timespec::try_from(self.at_most(left.min(LOOK))?).map_err(|_| io::ErrorKind::InvalidInput)?;
            match poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&wait)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => break,
                Err(error) => return Err(error.into()),
            }
        }
        sockopt::socket_error(&socket)??;
        let stream = TcpStream::from(socket);
        stream.set_nonblocking(false)?;
        Ok(stream)
    }

    /// Reads what there is, waiting at most `most` for it.
    pub(crate) fn read(&self, stream: &mut TcpStream, buffer: &mut [u8], most: Duration) -> io::Result<usize> {
        let began = Stopwatch::start();
        loop {
            let left = began.left_of(most).ok_or(io::ErrorKind::TimedOut)?;
            stream.set_read_timeout(Some(self.at_most(left.min(LOOK))?))?;
            match stream.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                done => return done,
            }
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u32 {
        self.began.elapsed_ms()
    }

    /// Asks the system for the addresses of a name (getaddrinfo(3)), at most `most` long. The C library does not let itself be
    /// interrupted, so an answer that comes later is heard by nobody.
    pub(crate) fn addresses(&self, name: &str, most: Duration) -> io::Result<Vec<IpAddr>> {
        let (answer, answered) = mpsc::sync_channel(1);
        let place = (name.to_owned(), 0);
        let ask =
            move || drop(answer.send(place.to_socket_addrs().map(|found| found.map(|place| place.ip()).collect())));
        thread::Builder::new().name("diagnostics".to_owned()).stack_size(256 * 1024).spawn(ask)?;
        let began = Stopwatch::start();
        let found = loop {
            let left = began.left_of(most).ok_or(io::ErrorKind::TimedOut)?;
            match answered.recv_timeout(self.at_most(left.min(LOOK))?) {
                Ok(found) => break found,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::TimedOut.into()),
            }
        };
        found.map(|mut addresses: Vec<IpAddr>| {
            let mut seen = std::collections::BTreeSet::new();
            addresses.retain(|address| seen.insert(*address));
            addresses
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_nobody_wants_has_no_time_left() {
        let limit = Limit::new(Duration::from_secs(60));
        assert_eq!(limit.at_most(Duration::from_secs(2)).unwrap(), Duration::from_secs(2));
        limit.unwanted().store(true, Ordering::Relaxed);
        assert_eq!(limit.at_most(Duration::from_secs(2)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(Limit::new(Duration::ZERO).at_most(Duration::from_secs(2)).is_err());
    }

    #[test]
    fn a_connection_is_made_or_says_why_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Limit::new(Duration::from_secs(60));
        let mut stream = limit.connect(address, Duration::from_secs(30)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        let patience = Duration::from_millis(1);
        assert_eq!(limit.read(&mut stream, &mut [0; 1], patience).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop((listener, stream));
        let refused = limit.connect(address, Duration::from_secs(30)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn nothing_is_connected_to_for_nobody() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let limit = Limit::new(Duration::from_secs(60));
        limit.unwanted().store(true, Ordering::Relaxed);
        assert!(limit.connect(listener.local_addr().unwrap(), Duration::from_secs(30)).is_err());
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn an_address_needs_no_name_server() {
        let limit = Limit::new(Duration::from_secs(60));
        assert_eq!(limit.addresses("192.0.2.1", Duration::from_secs(30)).unwrap(), [IpAddr::from([192, 0, 2, 1])]);
    }
}
