//! Reads [`Ladder`].
//!
//! The rungs up to the gateway are read from the kernel and cost the network nothing. Those above reach out, and only to what the
//! owner of the machine lets probes reach; where that is nothing they are skipped.

use std::{io, time::Duration};

use wire::{
    diagnostics::sections::{
        ladder::{Ladder, Rung, RungOutcome, RungResult},
        network::{AddressState, Connectivity, GatewayState, LinkKind, LinkState, Scope},
        probes::{Found, HandshakeFound, ProbeOutcome, ProbeRequest, Target},
    },
    text::Sentence,
    time::WallTime,
};

use crate::{
    findings::PORTAL_ANSWERS,
    manifest::Manifest,
    network::links::Tables,
    probes::{
        datagram::answers,
        limit::Limit,
        linux::{place, run, targets_of},
        targets::{Purpose, Targets},
    },
    sources::{NO_TLS, Sources},
    stopwatch::Stopwatch,
};

/// Longest that all rungs together take.
const WHOLE: Duration = Duration::from_secs(10);

/// Longest that a connection to the relay is waited for.
const CONNECT: Duration = Duration::from_secs(3);

/// What became of a rung, and why.
type Step = (RungOutcome, String);

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Ladder> {
    let began = Stopwatch::start();
    let tables = manifest.keep("rtnetlink", Tables::read())?;
    let took_ms = began.elapsed_ms();
    let mut ladder = Ladder::default();
    for (rung, step) in
        [(Rung::Link, link(&tables)), (Rung::Address, address(&tables)), (Rung::Gateway, gateway(&tables))]
    {
        add(&mut ladder, rung, took_ms, step);
    }
    climb(&mut ladder, sources, &targets_of(sources));
    Some(ladder)
}

fn add(ladder: &mut Ladder, rung: Rung, took_ms: u32, (outcome, why): Step) {
    if outcome == RungOutcome::Fail && ladder.first_failing.is_none() {
        ladder.first_failing = Some(rung);
    }
    ladder.rungs.push(RungResult { rung, outcome, took_ms, why: Sentence::cut(&why) });
}

fn pass() -> Step {
    (RungOutcome::Pass, String::new())
}

fn fail(why: &str) -> Step {
    (RungOutcome::Fail, why.to_owned())
}

fn link(tables: &Tables) -> Step {
    let mut outward =
        tables.links.iter().map(|link| &link.what).filter(|link| link.kind != LinkKind::Loopback).peekable();
    if outward.peek().is_none() {
        return fail("there is no link but to this machine itself");
    }
    let carries = |state| matches!(state, LinkState::Up | LinkState::Unknown);
    if outward.any(|link| link.enabled && carries(link.state)) { pass() } else { fail("no link is up") }
}

fn address(tables: &Tables) -> Step {
    let global = tables.addresses.iter().filter(|address| matches!(address.scope, Scope::Global | Scope::Site));
    if global.clone().any(|address| matches!(address.state, AddressState::Usable | AddressState::Deprecated)) {
        pass()
    } else if global.clone().any(|address| address.state == AddressState::Duplicate) {
        fail("another machine has the same address")
    } else {
        fail("no link has an address that reaches further than itself")
    }
}

/// The kernel asks for a gateway only when something is sent to it, so one that nobody asked for is not broken.
fn gateway(tables: &Tables) -> Step {
    let states = tables.routes.default.iter().map(|way| tables.gateway_state(way)).collect::<Vec<_>>();
    let any = |wanted: &[GatewayState]| states.iter().any(|state| wanted.contains(state));
    if states.is_empty() {
        fail("there is no default route")
    } else if any(&[GatewayState::Reachable, GatewayState::Stale, GatewayState::Permanent, GatewayState::None]) {
        pass()
    } else if any(&[GatewayState::Failed]) {
        fail("the gateway does not answer on its link")
    } else {
        (RungOutcome::Unknown, "nothing was sent to the gateway lately".to_owned())
    }
}

/// The rungs that reach out.
fn climb(ladder: &mut Ladder, sources: &Sources, targets: &Targets) {
    let limit = Limit::new(WHOLE);
    let mut rung = |rung, step: &mut dyn FnMut() -> Step| {
        let began = Stopwatch::start();
        let step = step();
        let outcome = step.0;
        add(ladder, rung, began.elapsed_ms(), step);
        outcome == RungOutcome::Pass
    };
    let skipped = |why: &str| (RungOutcome::Skipped, why.to_owned());
    let relay = targets.permit(&Target::Relay, Purpose::Tls);
    let mut address = Err(io::Error::from(io::ErrorKind::NotFound));
    let named = rung(Rung::Names, &mut || match &relay {
        Err(refused) => skipped(&refused.to_string()),
        Ok(relay) => {
            address = place(relay, &limit);
            match &address {
                Ok(_) => pass(),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => fail("no name server answers"),
                Err(_) => fail("the relay's name has no address"),
            }
        }
    });
    let below = "a rung below does not hold";
    let connected = rung(Rung::Tcp, &mut || match &address {
        Ok(address) if named => connect(*address, &limit),
        _ => skipped(below),
    });
    let mut handshake = None;
    rung(Rung::Tls, &mut || match connected {
        true => {
            let (step, shown) = greet(sources, targets, &limit);
            handshake = shown;
            step
        }
        false => skipped(below),
    });
    rung(Rung::Portal, &mut || portal(sources, targets, &limit));
    rung(Rung::Relay, &mut || match &address {
        Ok(address) if named => match answers(*address, &limit) {
            Ok(true) => pass(),
            Ok(false) => fail("nothing comes back from the relay by UDP"),
            Err(error) => fail(&crate::gaps::why(&error)),
        },
        _ => skipped(below),
    });
    ladder.handshake = handshake;
}

fn connect(address: std::net::SocketAddr, limit: &Limit) -> Step {
    match limit.connect(address, CONNECT) {
        Ok(_) => pass(),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fail("the relay takes no connection"),
        Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
            fail("the relay does not answer by TCP")
        }
        Err(error) => fail(&crate::gaps::why(&error)),
    }
}

/// What became of the greeting, and what was shown.
fn greet(sources: &Sources, targets: &Targets, limit: &Limit) -> (Step, Option<HandshakeFound>) {
    let result = run(&ProbeRequest::Handshake(Target::Relay), sources, targets, WallTime(0), limit);
    let step = match result.outcome {
        ProbeOutcome::Pass => pass(),
        ProbeOutcome::Unknown if result.reason.raw() == NO_TLS => (RungOutcome::Skipped, NO_TLS.to_owned()),
        ProbeOutcome::Unknown | ProbeOutcome::Refused => (RungOutcome::Unknown, result.reason.raw().to_owned()),
        ProbeOutcome::Fail => fail(result.reason.raw()),
    };
    let shown = match result.found {
        Some(Found::Handshake(shown)) if shown.trust.is_some() => Some(shown),
        _ => None,
    };
    (step, shown)
}

fn portal(sources: &Sources, targets: &Targets, limit: &Limit) -> Step {
    let result = run(&ProbeRequest::Portal, sources, targets, WallTime(0), limit);
    match (result.outcome, result.found) {
        (ProbeOutcome::Pass, _) => pass(),
        (_, Some(Found::Portal(found))) if found.state == Connectivity::Portal => fail(PORTAL_ANSWERS),
        (ProbeOutcome::Unknown, _) => (RungOutcome::Skipped, result.reason.raw().to_owned()),
        (ProbeOutcome::Fail, _) => fail(result.reason.raw()),
        (ProbeOutcome::Refused, _) => (RungOutcome::Unknown, result.reason.raw().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;
    use crate::{bus::Bus, lab::Lab, probes::targets::Reach};

    fn sources(relay: Option<(String, u16)>) -> Sources {
        let reach = Reach { relay, ..Reach::default() };
        Sources { bus: Bus::at(std::path::Path::new("/nonexistent/bus")), reach, ..Sources::default() }
    }

    fn outcomes(ladder: &Ladder) -> Vec<&'static str> {
        ladder.rungs.iter().map(|rung| rung.outcome.name()).collect()
    }

    fn climbed(lab: &Lab, host: &str) -> Ladder {
        lab.at(host, || read(&sources(None), &mut Manifest::default())).unwrap()
    }

    #[test]
    fn a_machine_without_a_cable_fails_at_its_link() {
        let Some(lab) = Lab::start(&["pc"]) else { return };
        let ladder = climbed(&lab, "pc");
        assert_eq!(ladder.first_failing, Some(Rung::Link));
        assert_eq!(outcomes(&ladder), ["fail", "fail", "fail", "skipped", "skipped", "skipped", "skipped", "skipped"]);
    }

    #[test]
    fn a_gateway_that_is_not_there_is_the_first_that_fails() {
        let Some(lab) = Lab::start(&["pc", "router"]) else { return };
        lab.cable(("pc", "10.0.1.2/24"), ("router", "10.0.1.1/24"));
        assert_eq!(climbed(&lab, "pc").first_failing, Some(Rung::Gateway));
        lab.ip("pc", "route add default via 10.0.1.9");
        assert_eq!(climbed(&lab, "pc").rungs[2].outcome, RungOutcome::Unknown);
        lab.ip("pc", "neigh add 10.0.1.9 dev router nud failed");
        let ladder = climbed(&lab, "pc");
        assert_eq!(
            (ladder.first_failing, outcomes(&ladder)[..2].to_vec()),
            (Some(Rung::Gateway), vec!["pass", "pass"])
        );
        lab.ip("pc", "neigh replace 10.0.1.9 dev router lladdr 02:00:00:00:00:09 nud reachable");
        assert_eq!(climbed(&lab, "pc").first_failing, None);
    }

    #[test]
    fn a_relay_that_answers_by_udp_and_not_by_tcp_fails_at_tcp() {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let relay = UdpSocket::bind(gone).unwrap();
        let answer = std::thread::spawn(move || {
            let mut packet = [0; 2000];
            let (_, from) = relay.recv_from(&mut packet).unwrap();
            relay.send_to(b"versions", from).unwrap();
        });
        let sources = sources(Some(("127.0.0.1".to_owned(), gone.port())));
        let mut ladder = Ladder::default();
        climb(&mut ladder, &sources, &Targets::new(sources.reach.clone(), None, Vec::new()));
        assert_eq!(outcomes(&ladder), ["pass", "fail", "skipped", "skipped", "pass"]);
        assert_eq!(ladder.first_failing, Some(Rung::Tcp));
        answer.join().unwrap();
    }
}
