use std::net::SocketAddr;

use transport::node::{
    TcpFailure,
    netcheck::{FoundMapping, ReflectorAnswer},
};
use wire::text::Label;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn link() -> RelayLink {
    RelayLink::new("relay.example.org", 4433, [7; 32]).unwrap()
}

fn addresses() -> Vec<SocketAddr> {
    ["192.0.2.1:4433", "[2001:db8::1]:4433"].map(|text| text.parse().unwrap()).to_vec()
}

fn family(
    own: &str,
    udp: Result<UdpAnswer, ConnectError>,
    tcp: Option<Result<TcpAnswer, ConnectError>>,
) -> FamilyObservations {
    let own = own.parse().unwrap();
    let relay = addresses().into_iter().filter(|address| address.ip().is_ipv4() == std::net::IpAddr::is_ipv4(&own));
    FamilyObservations { own: vec![own], relay: relay.collect(), udp: Some(udp), tcp }
}

fn over_tcp(certificate: CertificateCheck) -> Result<TcpAnswer, ConnectError> {
    Ok(TcpAnswer { handshake: 81 * MS, certificate })
}

fn no_answer() -> ConnectError {
    ConnectError::NoAnswer { host: "relay.example.org".to_owned(), port: 4433 }
}

fn no_tcp(tcp: TcpFailure) -> ConnectError {
    ConnectError::NoTcp { host: "relay.example.org".to_owned(), tcp }
}

fn report(observations: &Observations) -> Report {
    Report::of(&link(), CarrierChoice::Auto, observations)
}

fn of_a_home() -> Observations {
    let seen_as = "203.0.113.10:40312".parse().ok();
    let answers = |seen_as: Option<SocketAddr>| {
        seen_as.map_or(ReflectorAnswer::NotOffered, |seen_as| ReflectorAnswer::Answers { seen_as, largest: 1464 })
    };
    let udp = UdpAnswer { handshake: 35 * MS, round_trip: 12_345 * MS / 1000, seen_as, reflector: answers(seen_as) };
    let own = "2001:db8:1::2";
    let v6_as = format!("[{own}]:40312").parse().ok();
    let by_v6 = UdpAnswer {
        handshake: 36 * MS,
        round_trip: 9 * MS,
        seen_as: v6_as,
        reflector: ReflectorAnswer::Silent { port: 4434 },
    };
    Observations {
        names: (Ok(addresses()), 3 * MS),
        v4: family("10.1.0.2", Ok(udp), Some(over_tcp(CertificateCheck::Pinned))),
        v6: family(own, Ok(by_v6), Some(Err(no_tcp(TcpFailure::Refused { port: 4433 })))),
        proxy: None,
        mappings: Some(vec![FoundMapping {
            protocol: MappingProtocol::NatPmp,
            external: "203.0.113.10:50000".parse().unwrap(),
        }]),
    }
}

/// IPv4 behind a router that forwards ports, IPv6 as it is.
pub(in super::super) fn at_home() -> Report {
    report(&of_a_home())
}

/// No UDP, and TCP through a proxy that looks into it.
pub(in super::super) fn behind_a_proxy() -> Report {
    report(&Observations {
        names: (Ok(addresses()[..1].to_vec()), 3 * MS),
        v4: family("10.1.0.2", Err(no_answer()), None),
        v6: FamilyObservations::default(),
        proxy: Some(("proxy.example:3128".to_owned(), over_tcp(CertificateCheck::TrustedBySystem))),
        mappings: Some(Vec::new()),
    })
}

/// No way at all, and somebody who says something harmful.
pub(in super::super) fn cut_off() -> Report {
    let reason = Label::cut("a \u{1b}[2Jcertificate");
    report(&Observations {
        names: (Ok(addresses()[..1].to_vec()), 3 * MS),
        v4: family("10.1.0.2", Err(no_answer()), Some(Err(no_tcp(TcpFailure::Certificate { reason })))),
        v6: FamilyObservations::default(),
        proxy: None,
        mappings: Some(Vec::new()),
    })
}

#[test]
fn scripts_find_everything_by_its_name() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&at_home()).unwrap());
}

#[test]
fn whether_a_session_could_come_up_depends_on_the_carrier_that_is_asked_for() {
    let mut no_udp = of_a_home();
    for family in [&mut no_udp.v4, &mut no_udp.v6] {
        family.udp = Some(Err(no_answer()));
    }
    let of = |choice| Report::of(&link(), choice, &no_udp);
    let auto = of(CarrierChoice::Auto);
    assert_eq!((auto.session_possible, auto.carrier), (true, Some("tcp")));
    assert!(auto.advice[0].contains("UDP out to relay.example.org port 4433"), "{:?}", auto.advice);
    let udp = of(CarrierChoice::Udp);
    assert_eq!((udp.session_possible, udp.carrier), (false, None));
    assert!(udp.verdict.contains("by UDP alone"), "{}", udp.verdict);
}

#[test]
fn who_is_told_another_key_asks_for_the_present_link_and_opens_no_firewall() {
    let mut observations = of_a_home();
    observations.v4.udp = Some(Err(ConnectError::WrongKey));
    observations.v6.udp = Some(Err(ConnectError::WrongKey));
    let told = report(&observations);
    assert!(told.advice[0].contains("present link") && told.advice.len() == 1, "{:?}", told.advice);
}

#[test]
fn a_name_that_leads_nowhere_is_what_is_to_be_checked() {
    let host = "relay.example.org".to_owned();
    let error = ConnectError::NotResolved { host, reason: "no such name".to_owned() };
    let told = report(&Observations {
        names: (Err(error), 3 * MS),
        v4: FamilyObservations::default(),
        v6: FamilyObservations::default(),
        proxy: None,
        mappings: Some(Vec::new()),
    });
    assert!(!told.session_possible && !told.name.resolved);
    assert!(told.advice[0].contains("Check the name"), "{:?}", told.advice);
}
