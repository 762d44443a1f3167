//! The routers on the way to a target: packets that live for one router more each time.

use std::{io, net::SocketAddr, time::Duration};

use wire::{
    diagnostics::sections::probes::{Hop, MAX_HOPS, RouteFound},
    text::Label,
};

use super::{
    datagram::{Datagram, Heard, LEAST_PAYLOAD, wait},
    limit::{LOOK, Limit},
};
use crate::stopwatch::Stopwatch;

/// Distances that are tried at once: few enough that no router takes it for a flood and holds back its answers.
const AT_ONCE: u8 = 4;

/// Packets to each distance.
const ROUNDS: u8 = 3;

/// Longest that a round is waited for.
const ROUND: Duration = Duration::from_millis(900);

/// After so many routers in a row that do not answer nothing more is sent.
const MOST_SILENT: usize = 8;

/// Lists the routers. Ends early when the time is over; what was found stands.
pub(super) fn trace(target: SocketAddr, limit: &Limit) -> io::Result<RouteFound> {
    let mut found = RouteFound::default();
    let mut distance = 1;
    while distance <= MAX_HOPS && !found.reached {
        let last = (distance + AT_ONCE - 1).min(MAX_HOPS);
        let mut probes =
            (distance..=last).map(|distance| Distance::new(target, distance)).collect::<io::Result<Vec<_>>>()?;
        for _ in 0..ROUNDS {
            match round(&mut probes, limit) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(error),
            }
        }
        for probe in probes {
            found.hops.push(probe.hop);
            found.reached |= probe.end;
            if probe.end {
                break;
            }
        }
        let silent = found.hops.iter().rev().take_while(|hop| hop.answered == 0).count();
        if silent >= MOST_SILENT || !limit.is_wanted() {
            break;
        }
        distance = last + 1;
    }
    Ok(found)
}

/// One distance.
struct Distance {
    datagram: Datagram,
    hop: Hop,
    /// It is the target that answers here, or somebody who lets nothing further.
    end: bool,
    sent: Option<Stopwatch>,
}

impl Distance {
    fn new(target: SocketAddr, distance: u8) -> io::Result<Self> {
        let datagram = Datagram::to(target)?;
        datagram.live_for(distance)?;
        let hop = Hop { distance, address: Label::default(), sent: 0, answered: 0, best_us: None };
        Ok(Self { datagram, hop, end: false, sent: None })
    }

    fn send(&mut self) -> io::Result<()> {
        self.sent = Some(Stopwatch::start());
        self.hop.sent += 1;
        self.datagram.send(LEAST_PAYLOAD + 48)
    }

    /// Takes what was heard, if it is of the packet that is out.
    fn listen(&mut self) -> io::Result<()> {
        while let Some(heard) = self.datagram.heard()? {
            let Some(sent) = self.sent.take() else { continue };
            let address = match heard {
                Heard::Expired { at } => at,
                Heard::Arrived { from, .. } => {
                    self.end = true;
                    from
                }
                Heard::Unreachable { at } => at,
                Heard::TooLarge { .. } => continue,
            };
            let took = sent.elapsed_us();
            self.hop.address = Label::cut(&address.to_string());
            self.hop.answered += 1;
            self.hop.best_us = Some(self.hop.best_us.map_or(took, |best| best.min(took)));
        }
        Ok(())
    }
}

/// A packet to each distance, and what is heard of them.
fn round(probes: &mut [Distance], limit: &Limit) -> io::Result<()> {
    limit.check()?;
    // What lies behind the target answers in its place, and is not asked again.
    let wanted = probes.iter().position(|probe| probe.end).map_or(probes.len(), |end| end + 1);
    let probes = probes.get_mut(..wanted).unwrap_or_default();
    probes.iter_mut().try_for_each(Distance::send)?;
    let began = Stopwatch::start();
    while let Some(left) = began.left_of(ROUND) {
        let out = probes.iter().filter(|probe| probe.sent.is_some()).map(|probe| &probe.datagram).collect::<Vec<_>>();
        if out.is_empty() {
            break;
        }
        wait(&out, limit.at_most(left.min(LOOK))?)?;
        probes.iter_mut().try_for_each(Distance::listen)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Lab;

    fn three_hops() -> Option<Lab> {
        let lab = Lab::start(&["pc", "r1", "r2", "server"])?;
        lab.cable(("pc", "10.0.1.2/24"), ("r1", "10.0.1.1/24"));
        lab.cable(("r1", "10.0.2.1/24"), ("r2", "10.0.2.2/24"));
        lab.cable(("r2", "10.0.3.1/24"), ("server", "10.0.3.2/24"));
        lab.cable(("pc", "fd00:1::2/64"), ("server", "fd00:1::1/64"));
        for router in ["r1", "r2"] {
            lab.set(router, "net/ipv4/ip_forward", "1");
        }
        lab.ip("pc", "route add default via 10.0.1.1");
        lab.ip("r1", "route add 10.0.3.0/24 via 10.0.2.2");
        lab.ip("r2", "route add 10.0.1.0/24 via 10.0.2.1");
        lab.ip("server", "route add default via 10.0.3.1");
        Some(lab)
    }

    fn told(found: &RouteFound) -> Vec<&str> {
        found.hops.iter().map(|hop| hop.address.raw()).collect()
    }

    #[test]
    fn each_router_on_the_way_is_named_with_its_round_trip() {
        let Some(lab) = three_hops() else { return };
        let found = lab.at("pc", || trace(([10, 0, 3, 2], 443).into(), &Limit::new(Duration::from_secs(60)))).unwrap();
        assert_eq!(told(&found), ["10.0.1.1", "10.0.2.2", "10.0.3.2"]);
        assert!(found.reached && found.hops.iter().all(|hop| hop.answered > 0 && hop.best_us.is_some()));
    }

    #[test]
    fn a_router_that_is_silent_is_a_gap_and_the_rest_is_found() {
        let Some(lab) = three_hops() else { return };
        lab.run("r1", &["nft", "table ip f {\n chain out {\n type filter hook output priority 0;\n icmp type time-exceeded drop;\n }\n}\n"]);
        let found = lab.at("pc", || trace(([10, 0, 3, 2], 443).into(), &Limit::new(Duration::from_secs(60)))).unwrap();
        assert_eq!(told(&found), ["", "10.0.2.2", "10.0.3.2"]);
        assert_eq!((found.hops[0].sent, found.hops[0].answered), (ROUNDS, 0));
    }

    #[test]
    fn ipv6_is_traced_as_well() {
        let Some(lab) = three_hops() else { return };
        let target = "[fd00:1::1]:443".parse().unwrap();
        let found = lab.at("pc", || trace(target, &Limit::new(Duration::from_secs(60)))).unwrap();
        assert_eq!((told(&found), found.reached), (vec!["fd00:1::1"], true));
    }
}
