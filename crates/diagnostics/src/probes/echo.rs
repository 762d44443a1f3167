//! Round trips by ICMP echo (RFC 792, RFC 4443), where the kernel lets this user (`ping_group_range`, icmp(7)).

use std::{io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send, socket_with,
        sockopt,
    },
};
use wire::diagnostics::sections::probes::EchoFound;

use super::limit::{LOOK, Limit};
use crate::stopwatch::Stopwatch;

/// Requests, and how far apart they are sent at most.
const REQUESTS: u16 = 10;
const APART: Duration = Duration::from_millis(200);

/// Longest that the last is waited for.
const LAST: Duration = Duration::from_secs(2);

/// Sends requests one after the other. Ends early when the time is over; what was found stands.
///
/// # Errors
///
/// [`io::ErrorKind::PermissionDenied`] if the kernel does not let this user.
pub(super) fn probe(target: SocketAddr, limit: &Limit) -> io::Result<EchoFound> {
    let (family, protocol, request, reply) = match target {
        SocketAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
        SocketAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
    };
    let socket = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(protocol))?;
    connect(&socket, &target)?;
    let mut sent = Vec::new();
    let mut trips = Vec::new();
    for number in 0..REQUESTS {
        let Ok(wait) = limit.at_most(if number + 1 == REQUESTS { LAST } else { APART }) else { break };
        let [high, low] = number.to_be_bytes();
        // The kernel fills in the checksum and the number of the socket.
        let message = [&[request, 0, 0, 0, 0, 0, high, low][..], &[0; 48]].concat();
        sent.push(Stopwatch::start());
        match send(&socket, &message, SendFlags::empty()) {
            Ok(_) | Err(Errno::HOSTUNREACH | Errno::CONNREFUSED | Errno::NOBUFS) => {}
            Err(error) => return Err(error.into()),
        }
        listen(&socket, reply, wait, limit, &sent, &mut trips)?;
    }
    let count = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    Ok(EchoFound { sent: count(sent.len()), ..summary(&trips) })
}

/// Takes answers for `most`, or until every request has one.
fn listen(
    socket: &OwnedFd,
    reply: u8,
    most: Duration,
    limit: &Limit,
    sent: &[Stopwatch],
    trips: &mut Vec<(u16, u32)>,
) -> io::Result<()> {
    let began = Stopwatch::start();
    while let Some(left) = began.left_of(most).filter(|_| trips.len() < sent.len()) {
        // What was found until the time is over stands.
        let Ok(wait) = limit.at_most(left.min(LOOK)) else { break };
        sockopt::set_socket_timeout(socket, sockopt::Timeout::Recv, Some(wait))?;
        let mut answer = [0; 128];
        match recv(socket, &mut answer[..], RecvFlags::empty()) {
            Ok(_) => {
                let number = u16::from_be_bytes([answer[6], answer[7]]);
                let is_new = answer[0] == reply && trips.iter().all(|(known, _)| *known != number);
                if let (true, Some(sent)) = (is_new, sent.get(usize::from(number))) {
                    trips.push((number, sent.elapsed_us()));
                }
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::HOSTUNREACH | Errno::CONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What round trips, each with the number of its request, come to.
fn summary(trips: &[(u16, u32)]) -> EchoFound {
    let mut in_order = trips.to_vec();
    in_order.sort_unstable();
    let differences = in_order.windows(2).filter_map(|pair| Some(pair.first()?.1.abs_diff(pair.last()?.1)));
    let (count, sum) = differences.fold((0_u64, 0_u64), |(count, sum), more| (count + 1, sum + u64::from(more)));
    let mut sorted = trips.iter().map(|(_, trip)| *trip).collect::<Vec<_>>();
    sorted.sort_unstable();
    EchoFound {
        sent: 0,
        received: u16::try_from(sorted.len()).unwrap_or(u16::MAX),
        min_us: sorted.first().copied().unwrap_or(0),
        median_us: permille(&sorted, 500),
        p95_us: permille(&sorted, 950),
        jitter_us: u32::try_from(sum.checked_div(count).unwrap_or(0)).unwrap_or(u32::MAX),
    }
}

/// The value below which so many thousandths lie, by the nearest rank; 0 of none.
pub(super) fn permille(sorted: &[u32], permille: usize) -> u32 {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    #[test]
    fn round_trips_are_summed_up_in_the_order_that_they_were_sent() {
        let trips = [(0, 100), (2, 300), (1, 200), (3, 100)];
        let expected = EchoFound { sent: 0, received: 4, min_us: 100, median_us: 100, p95_us: 300, jitter_us: 133 };
        assert_eq!(summary(&trips), expected);
        assert_eq!(summary(&[]), EchoFound::default());
    }

    #[test]
    fn a_gateway_answers_or_is_silent() {
        let Some(lab) = Lab::start(&["pc", "router"]) else { return };
        lab.cable(("pc", "10.0.1.2/24"), ("router", "10.0.1.1/24"));
        lab.set("pc", "net/ipv4/ping_group_range", "'0 0'");
        let ask = |address: [u8; 4]| lab.at("pc", || probe((address, 0).into(), &Limit::new(Duration::from_secs(60))));
        let found = ask([10, 0, 1, 1]).unwrap();
        assert_eq!((found.sent, found.received), (REQUESTS, REQUESTS));
        assert!(found.min_us > 0 && found.min_us <= found.median_us && found.median_us <= found.p95_us);
        assert_eq!(ask([10, 0, 1, 9]).unwrap().received, 0);
    }

    #[test]
    fn a_user_who_may_not_is_told_so() {
        let Some(lab) = Lab::start(&["pc"]) else { return };
        lab.set("pc", "net/ipv4/ping_group_range", "'1 0'");
        let asked = lab.at("pc", || probe(([127, 0, 0, 1], 0).into(), &Limit::new(Duration::from_secs(60))));
        assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
