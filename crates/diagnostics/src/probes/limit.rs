//! How long a probe may go on: until its time is over, or nobody wants it any more.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use crate::stopwatch::Stopwatch;

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
        let found = answered.recv_timeout(self.at_most(most)?).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
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
    fn an_address_needs_no_name_server() {
        let limit = Limit::new(Duration::from_secs(60));
        assert_eq!(limit.addresses("192.0.2.1", Duration::from_secs(30)).unwrap(), [IpAddr::from([192, 0, 2, 1])]);
    }
}
