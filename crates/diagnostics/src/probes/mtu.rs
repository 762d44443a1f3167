//! The largest packet that reaches a target: a ladder of sizes, none of which may be cut to pieces (RFC 4821, RFC 8899).

use std::{io, net::SocketAddr, time::Duration};

use wire::diagnostics::sections::probes::{MtuFound, MtuOutcome, MtuStep};

use super::{
    datagram::{Datagram, Heard, wait},
    limit::{LOOK, Limit},
};
use crate::stopwatch::Stopwatch;

/// Sizes that are met: large frames, Ethernet, PPPoE, tunnels of several kinds, the least of IPv6.
const SIZES: [u16; 8] = [9000, 1500, 1492, 1480, 1450, 1420, 1380, 1280];

/// Packets of each size, and how long each is waited for. A larger packet that was lost by chance would look like a black hole.
const TRIES: u8 = 3;
const TRY: Duration = Duration::from_millis(400);

/// Tries sizes from the largest on until one arrives.
pub(super) fn probe(target: SocketAddr, limit: &Limit) -> io::Result<MtuFound> {
    let mut found = MtuFound::default();
    let mut told = None;
    for bytes in SIZES {
        // A router has named what fits: that is tried in its turn, and nothing larger.
        if told.is_some_and(|told| bytes > told) {
            continue;
        }
        if let Some(told) = told.take().filter(|told| *told > bytes) {
            let step = step(target, told, limit)?;
            found.steps.push(step);
            if step.outcome == MtuOutcome::Passed {
                break;
            }
        }
        let step = step(target, bytes, limit)?;
        found.steps.push(step);
        if step.outcome == MtuOutcome::Passed {
            break;
        }
        told = step.told;
    }
    let passed = found.steps.iter().find(|step| step.outcome == MtuOutcome::Passed);
    found.path_mtu = passed.map(|step| step.bytes);
    found.black_hole = passed.is_some() && found.steps.iter().any(|step| step.outcome == MtuOutcome::Silent);
    Ok(found)
}

fn step(target: SocketAddr, bytes: u16, limit: &Limit) -> io::Result<MtuStep> {
    let step = |outcome, told| MtuStep { bytes, outcome, told };
    for _ in 0..TRIES {
        // A new one for each try: what is still said of the last is not heard.
        let datagram = Datagram::to(target)?;
        limit.check()?;
        match datagram.send(bytes.into()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(step(MtuOutcome::TooLargeHere, None));
            }
            Err(error) => return Err(error),
        }
        let began = Stopwatch::start();
        while let Some(left) = began.left_of(TRY) {
            wait(&[&datagram], limit.at_most(left.min(LOOK))?)?;
            match datagram.heard()? {
                Some(Heard::Arrived { .. }) => return Ok(step(MtuOutcome::Passed, None)),
                Some(Heard::TooLarge { fits }) => {
                    // Old routers name none; one that names more than it was sent makes no sense.
                    let told = u16::try_from(fits).ok().filter(|told| (1280..bytes).contains(told));
                    return Ok(step(MtuOutcome::TooLargeThere, told));
                }
                Some(Heard::Unreachable { .. }) => return Err(io::ErrorKind::HostUnreachable.into()),
                Some(Heard::Expired { .. }) | None => {}
            }
        }
    }
    Ok(step(MtuOutcome::Silent, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    /// A router with a narrow link behind it; whether it says so.
    fn narrow(says_so: bool) -> Option<MtuFound> {
        let lab = Lab::start(&["pc", "router", "server"])?;
        lab.cable(("pc", "10.0.1.2/24"), ("router", "10.0.1.1/24"));
        lab.cable(("router", "10.0.2.1/24"), ("server", "10.0.2.2/24"));
        lab.ip("router", "link set server mtu 1400");
        lab.ip("server", "link set router mtu 1400");
        lab.set("router", "net/ipv4/ip_forward", "1");
        lab.ip("pc", "route add default via 10.0.1.1");
        lab.ip("server", "route add default via 10.0.2.1");
        if !says_so {
            let silent = "table ip f {\n chain out {\n type filter hook output priority 0;\n \
                icmp type destination-unreachable icmp code frag-needed drop;\n }\n}\n";
            lab.run("router", &["nft", silent]);
        }
        let found = lab.at("pc", || probe(([10, 0, 2, 2], 443).into(), &Limit::new(Duration::from_secs(60))));
        Some(found.unwrap())
    }

    #[test]
    fn a_narrow_link_is_found_by_what_its_router_says() {
        let Some(found) = narrow(true) else { return };
        assert_eq!((found.path_mtu, found.black_hole), (Some(1400), false), "{:?}", found.steps);
        assert_eq!(found.steps[0], MtuStep { bytes: 9000, outcome: MtuOutcome::TooLargeHere, told: None });
        assert_eq!(found.steps[1], MtuStep { bytes: 1500, outcome: MtuOutcome::TooLargeThere, told: Some(1400) });
    }

    #[test]
    fn a_router_that_throws_large_packets_away_in_silence_is_a_black_hole() {
        let Some(found) = narrow(false) else { return };
        assert_eq!((found.path_mtu, found.black_hole), (Some(1380), true), "{:?}", found.steps);
    }
}
