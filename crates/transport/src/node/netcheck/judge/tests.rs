use std::net::{IpAddr, SocketAddr};

use super::*;
use crate::node::{
    ConnectError,
    netcheck::{CertificateCheck, TcpAnswer},
};

const OWN: &str = "10.0.0.2";
const MS: Duration = Duration::from_millis(1);

fn place(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn no_answer() -> ConnectError {
    ConnectError::NoAnswer { host: "relay.test".to_owned(), port: 4433 }
}

fn reached(seen_as: &str, reflector: ReflectorAnswer) -> Option<Result<UdpAnswer, ConnectError>> {
    Some(Ok(UdpAnswer { handshake: 30 * MS, round_trip: 10 * MS, seen_as: Some(place(seen_as)), reflector }))
}

fn answers(seen_as: &str) -> ReflectorAnswer {
    ReflectorAnswer::Answers { seen_as: place(seen_as), largest: 1472 }
}

fn family(udp: Option<Result<UdpAnswer, ConnectError>>) -> FamilyObservations {
    let own = [OWN, "2001:db8::2"].map(|ip| ip.parse::<IpAddr>().unwrap()).to_vec();
    FamilyObservations { own, relay: Vec::new(), udp, tcp: None }
}

fn observations(v4: FamilyObservations, v6: FamilyObservations) -> Observations {
    Observations { names: (Ok(Vec::new()), MS), v4, v6, proxy: None, mappings: Some(Vec::new()) }
}

const NO_V6: fn() -> FamilyObservations = || family(None);

fn over_tcp(handshake: Duration) -> Option<Result<TcpAnswer, ConnectError>> {
    Some(Ok(TcpAnswer { handshake, certificate: CertificateCheck::Pinned }))
}

#[test]
fn translators_are_told_apart_by_what_two_ports_see() {
    let silent = ReflectorAnswer::Silent { port: 4434 };
    let cases = [
        (reached("10.0.0.2:9", answers("10.0.0.2:9")), Nat::None),
        (reached("10.0.0.2:9", ReflectorAnswer::NotOffered), Nat::None),
        (reached("10.0.0.2:9", answers("10.0.0.2:10")), Nat::EndpointDependent),
        (reached("203.0.113.9:9", answers("203.0.113.9:9")), Nat::EndpointIndependent),
        (reached("203.0.113.9:9", answers("203.0.113.9:10")), Nat::EndpointDependent),
        (reached("203.0.113.9:9", answers("203.0.113.8:9")), Nat::EndpointDependent),
        (reached("203.0.113.9:9", ReflectorAnswer::NotOffered), Nat::Unknown(Unclear::NotOffered)),
        (reached("203.0.113.9:9", silent), Nat::Unknown(Unclear::Silent { port: 4434 })),
        (Some(Err(no_answer())), Nat::Unknown(Unclear::NoUdp)),
        (None, Nat::Unknown(Unclear::NoAddress)),
    ];
    for (udp, nat) in cases {
        assert_eq!(family(udp.clone()).nat(), nat, "{udp:?}");
    }
    let mut untold = family(reached("203.0.113.9:9", silent));
    if let Some(Ok(answer)) = &mut untold.udp {
        answer.seen_as = None;
    }
    assert_eq!(untold.nat(), Nat::Unknown(Unclear::NotTold));
}

#[test]
fn the_largest_packet_is_what_came_back_or_why_nothing_did() {
    let of = |udp| family(udp).largest_payload();
    assert_eq!(of(reached("10.0.0.2:9", answers("10.0.0.2:9"))), Ok(1472));
    assert_eq!(of(reached("10.0.0.2:9", ReflectorAnswer::NotOffered)), Err(Unclear::NotOffered));
    assert_eq!(of(reached("10.0.0.2:9", ReflectorAnswer::Silent { port: 7 })), Err(Unclear::Silent { port: 7 }));
    assert_eq!(of(Some(Err(no_answer()))), Err(Unclear::NoUdp));
    assert_eq!(of(None), Err(Unclear::NoAddress));
}

#[test]
fn a_direct_path_has_the_best_reason_that_there_is() {
    let (easy, hard) = (answers("203.0.113.9:9"), answers("203.0.113.9:10"));
    let behind = |reflector| family(reached("203.0.113.9:9", reflector));
    let v6 = || family(reached("[2001:db8::2]:9", ReflectorAnswer::NotOffered));
    let blocked = || family(Some(Err(no_answer())));
    let mapped = |external: &str, v4| {
        let mapping = FoundMapping { protocol: MappingProtocol::Pcp, external: place(external) };
        Observations { mappings: Some(vec![mapping]), ..observations(v4, NO_V6()) }
    };
    let cases = [
        (
            observations(family(reached("10.0.0.2:9", ReflectorAnswer::NotOffered)), v6()),
            Direct::Untranslated(Family::V4),
        ),
        (observations(behind(easy), v6()), Direct::Independent(Family::V4)),
        (observations(behind(hard), v6()), Direct::Untranslated(Family::V6)),
        (observations(behind(hard), NO_V6()), Direct::Dependent),
        (observations(blocked(), v6()), Direct::Untranslated(Family::V6)),
        (observations(blocked(), NO_V6()), Direct::NoUdp),
        (observations(behind(ReflectorAnswer::NotOffered), NO_V6()), Direct::Unknown(Unclear::NotOffered)),
        (mapped("198.51.100.1:9", behind(hard)), Direct::Mapped(MappingProtocol::Pcp)),
        (mapped("192.168.7.1:9", behind(hard)), Direct::Dependent),
        (mapped("198.51.100.1:9", blocked()), Direct::NoUdp),
    ];
    for (at, (observations, direct)) in cases.into_iter().enumerate() {
        assert_eq!(observations.direct(), direct, "case {at}");
    }
}

#[test]
fn udp_is_taken_unless_tcp_is_much_quicker_or_asked_for() {
    let with = |udp: Option<Duration>, tcp: Option<Duration>| {
        let udp = udp.map_or(Some(Err(no_answer())), |handshake| {
            let mut reached = reached("203.0.113.9:9", ReflectorAnswer::NotOffered);
            if let Some(Ok(answer)) = &mut reached {
                answer.handshake = handshake;
            }
            reached
        });
        let v4 = FamilyObservations { tcp: tcp.map_or(Some(Err(no_answer())), over_tcp), ..family(udp) };
        observations(v4, NO_V6())
    };
    let auto = |udp: Option<u32>, tcp: Option<u32>| {
        with(udp.map(|ms| ms * MS), tcp.map(|ms| ms * MS)).way(CarrierChoice::Auto)
    };
    assert_eq!(auto(Some(30), Some(20)), Some(Way::Udp));
    assert_eq!(auto(Some(700), Some(20)), Some(Way::Udp), "it has that much patience");
    assert_eq!(auto(Some(1300), Some(20)), Some(Way::Tcp));
    assert_eq!(auto(Some(1300), Some(1200)), Some(Way::Udp));
    assert_eq!(auto(None, Some(20)), Some(Way::Tcp));
    assert_eq!(auto(Some(20), None), Some(Way::Udp));
    assert_eq!(auto(None, None), None);
    assert_eq!(with(None, Some(20 * MS)).way(CarrierChoice::Udp), None);
    assert_eq!(with(Some(20 * MS), Some(20 * MS)).way(CarrierChoice::Tcp), Some(Way::Tcp));
    let proxied =
        Observations { proxy: over_tcp(20 * MS).map(|answer| ("proxy:3128".to_owned(), answer)), ..with(None, None) };
    assert_eq!(proxied.way(CarrierChoice::Auto), Some(Way::Tcp));
}
