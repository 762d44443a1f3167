//! What was found out, with what follows from it, as scripts read it. The names are part of the interface: never change one.

use std::time::Duration;

use serde::Serialize;
use transport::node::{
    CarrierChoice, ConnectError,
    netcheck::{
        CertificateCheck, Direct, Family, FamilyObservations, Likelihood, MappingProtocol, Nat, Observations,
        TcpAnswer, UdpAnswer, Unclear, Way,
    },
};
use wire::link::RelayLink;

/// Everything that is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    /// One sentence.
    pub(super) verdict: String,
    /// Whether a session could come up at all, by the carrier that was asked for.
    pub(super) session_possible: bool,
    /// What packets would travel by: `udp`, `tcp`, or nothing.
    pub(super) carrier: Option<&'static str>,
    pub(super) relay: Relay,
    pub(super) name: Name,
    pub(super) ipv4: Side,
    pub(super) ipv6: Side,
    /// The proxy that TCP goes through, if there is one.
    pub(super) proxy: Option<Proxy>,
    pub(super) port_mapping: PortMapping,
    pub(super) direct: DirectPath,
    /// What to do, or to ask of whoever runs the network; nothing if all is well.
    pub(super) advice: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Relay {
    pub(super) host: String,
    pub(super) port: u16,
}

/// Where the relay's name leads.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Name {
    pub(super) resolved: bool,
    pub(super) addresses: Vec<String>,
    pub(super) took_ms: f64,
    pub(super) error: Option<String>,
}

/// One version of the Internet Protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Side {
    /// Addresses of this machine.
    pub(super) own_addresses: Vec<String>,
    pub(super) relay_addresses: Vec<String>,
    /// Nothing if the relay has no such address.
    pub(super) udp: Option<Udp>,
    /// Nothing if the relay has no such address, or TCP goes through a proxy.
    pub(super) tcp: Option<Tcp>,
    /// Where the relay sees packets come from.
    pub(super) seen_as: Option<String>,
    pub(super) nat: NatKind,
    /// Bytes of UDP payload that pass to the relay and back.
    pub(super) largest_udp_payload: Option<u16>,
    /// Why that is not known.
    pub(super) largest_udp_payload_unknown: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Udp {
    pub(super) reached: bool,
    pub(super) handshake_ms: Option<f64>,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Tcp {
    pub(super) reached: bool,
    pub(super) handshake_ms: Option<f64>,
    /// `pinned`: it has the key of the relay link. `trusted_by_system`: it has another, which this system trusts.
    pub(super) certificate: Option<&'static str>,
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Proxy {
    pub(super) address: String,
    #[serde(flatten)]
    pub(super) tcp: Tcp,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct NatKind {
    /// `none`, `endpoint_independent`, `endpoint_dependent` or `unknown`.
    pub(super) kind: &'static str,
    /// Why it is not known.
    pub(super) unknown: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PortMapping {
    /// Whether the router was asked; it is not if the relay is on this machine.
    pub(super) asked: bool,
    pub(super) found: Vec<Mapping>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Mapping {
    /// `pcp`, `nat_pmp` or `upnp`.
    pub(super) protocol: &'static str,
    /// Address and port outside of the router.
    pub(super) external: String,
    /// Whether others can reach it: a router behind another one forwards from nowhere.
    pub(super) leads_in: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DirectPath {
    /// `likely`, `unlikely` or `unknown`.
    pub(super) likelihood: &'static str,
    pub(super) why: String,
}

impl Report {
    pub(super) fn of(link: &RelayLink, choice: CarrierChoice, observations: &Observations) -> Self {
        let way = observations.way(choice);
        let direct = observations.direct();
        let relay = Relay { host: link.host().to_owned(), port: link.port() };
        let (names, took) = &observations.names;
        let name = Name {
            resolved: names.is_ok(),
            addresses: names.iter().flatten().map(|address| address.ip().to_string()).collect(),
            took_ms: milliseconds(*took),
            error: names.as_ref().err().map(ToString::to_string),
        };
        let mappings = observations.mappings.iter().flatten().map(|mapping| Mapping {
            protocol: match mapping.protocol {
                MappingProtocol::Pcp => "pcp",
                MappingProtocol::NatPmp => "nat_pmp",
                MappingProtocol::Upnp => "upnp",
            },
            external: mapping.external.to_string(),
            leads_in: mapping.leads_in(),
        });
        let proxy =
            observations.proxy.as_ref().map(|(address, answer)| Proxy { address: address.clone(), tcp: tcp(answer) });
        Self {
            verdict: verdict(way, choice, direct, proxy.as_ref().map(|proxy| proxy.address.as_str())),
            session_possible: way.is_some(),
            carrier: way.map(|way| match way {
                Way::Udp => "udp",
                Way::Tcp => "tcp",
            }),
            advice: advice(&relay, choice, observations),
            relay,
            name,
            ipv4: Side::of(&observations.v4),
            ipv6: Side::of(&observations.v6),
            proxy,
            port_mapping: PortMapping { asked: observations.mappings.is_some(), found: mappings.collect() },
            direct: DirectPath {
                likelihood: match direct.likelihood() {
                    Likelihood::Likely => "likely",
                    Likelihood::Unlikely => "unlikely",
                    Likelihood::Unknown => "unknown",
                },
                why: direct_words(direct),
            },
        }
    }
}

impl Side {
    fn of(family: &FamilyObservations) -> Self {
        let (kind, unknown) = match family.nat() {
            Nat::None => ("none", None),
            Nat::EndpointIndependent => ("endpoint_independent", None),
            Nat::EndpointDependent => ("endpoint_dependent", None),
            Nat::Unknown(why) => ("unknown", Some(unclear_words(why))),
        };
        let largest = family.largest_payload();
        Self {
            own_addresses: family.own.iter().map(ToString::to_string).collect(),
            relay_addresses: family.relay.iter().map(|address| address.ip().to_string()).collect(),
            udp: family.udp.as_ref().map(udp),
            tcp: family.tcp.as_ref().map(tcp),
            seen_as: family.by_udp().and_then(|answer| answer.seen_as).map(|address| address.to_string()),
            nat: NatKind { kind, unknown },
            largest_udp_payload: largest.ok(),
            largest_udp_payload_unknown: largest.err().map(unclear_words),
        }
    }
}

fn udp(answer: &Result<UdpAnswer, ConnectError>) -> Udp {
    match answer {
        Ok(answer) => Udp {
            reached: true,
            handshake_ms: Some(milliseconds(answer.handshake)),
            round_trip_ms: Some(milliseconds(answer.round_trip)),
            error: None,
        },
        Err(error) => Udp { reached: false, handshake_ms: None, round_trip_ms: None, error: Some(failure(error)) },
    }
}

fn tcp(answer: &Result<TcpAnswer, ConnectError>) -> Tcp {
    match answer {
        Ok(answer) => Tcp {
            reached: true,
            handshake_ms: Some(milliseconds(answer.handshake)),
            certificate: Some(match answer.certificate {
                CertificateCheck::Pinned => "pinned",
                CertificateCheck::TrustedBySystem => "trusted_by_system",
            }),
            error: None,
        },
        Err(error) => Tcp { reached: false, handshake_ms: None, certificate: None, error: Some(failure(error)) },
    }
}

/// What went wrong on one way, in few words: what to do about it is said once, for all.
fn failure(error: &ConnectError) -> String {
    match error {
        ConnectError::NoAnswer { port, .. } => format!("nothing answers at UDP port {port}"),
        ConnectError::NoTcp { tcp, .. } | ConnectError::NoWay { tcp, .. } => tcp.to_string(),
        ConnectError::Socket { reason } => format!("no socket could be opened: {reason}"),
        ConnectError::NotResolved { reason, .. } => format!("the name leads nowhere: {reason}"),
        ConnectError::WrongKey => "who answers has another key than the relay link names".to_owned(),
        ConnectError::Version => "the relay speaks another version of the protocol".to_owned(),
        ConnectError::Refused => "the relay is full or about to stop".to_owned(),
        other @ (ConnectError::Broken { .. } | _) => other.to_string(),
    }
}

fn milliseconds(time: Duration) -> f64 {
    // Tenths are enough, and what is beyond them would look as if it were known.
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

fn verdict(way: Option<Way>, choice: CarrierChoice, direct: Direct, proxy: Option<&str>) -> String {
    let directly = match direct.likelihood() {
        Likelihood::Likely => ", and are likely to go directly between the two machines afterwards",
        Likelihood::Unlikely => ", and are likely to stay on the relay",
        Likelihood::Unknown => "",
    };
    match (way, choice) {
        (Some(Way::Udp), _) => format!("Sessions will come up: by UDP{directly}."),
        (Some(Way::Tcp), _) => {
            let by = proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
            format!("Sessions will come up: over TCP{by}{directly}.")
        }
        (None, CarrierChoice::Auto) => {
            "Sessions will not come up: the relay is reached neither by UDP nor over TCP.".to_owned()
        }
        (None, CarrierChoice::Udp) => "Sessions will not come up by UDP alone: it does not reach the relay.".to_owned(),
        (None, CarrierChoice::Tcp) => {
            "Sessions will not come up over TCP alone: it does not reach the relay.".to_owned()
        }
    }
}

fn direct_words(direct: Direct) -> String {
    match direct {
        Direct::Untranslated(Family::V4) => "nothing translates this machine's IPv4 address".to_owned(),
        Direct::Untranslated(Family::V6) => {
            "nothing translates this machine's IPv6 address; the other side needs IPv6 as well".to_owned()
        }
        Direct::Mapped(protocol) => format!("the router forwards ports by {}", protocol_words(protocol)),
        Direct::Independent(_) => {
            "the router shows one address to everybody, so the other side can be told it".to_owned()
        }
        Direct::Dependent => {
            "the router shows another address to each destination, so only a machine that everybody can reach can be the other side"
                .to_owned()
        }
        Direct::NoUdp => "no UDP leaves this network; within one local network it may still succeed".to_owned(),
        Direct::Unknown(why) => unclear_words(why),
    }
}

fn protocol_words(protocol: MappingProtocol) -> &'static str {
    match protocol {
        MappingProtocol::Pcp => "PCP",
        MappingProtocol::NatPmp => "NAT-PMP",
        MappingProtocol::Upnp => "UPnP",
    }
}

fn unclear_words(why: Unclear) -> String {
    match why {
        Unclear::NoAddress => "the relay has no such address".to_owned(),
        Unclear::NoUdp => "the relay is not reached by UDP".to_owned(),
        Unclear::NotTold => "the relay did not say from where packets come".to_owned(),
        Unclear::NotOffered => "this relay does not offer it".to_owned(),
        Unclear::Silent { port } => {
            format!("nothing comes back from UDP port {port} of the relay, which would tell it")
        }
    }
}

/// What to do, the most useful first.
fn advice(relay: &Relay, choice: CarrierChoice, observations: &Observations) -> Vec<String> {
    let Relay { host, port } = relay;
    let mut advice = Vec::new();
    let families = Family::BOTH.map(|family| observations.family(family));
    let udp = families.iter().filter_map(|family| family.udp.as_ref()).collect::<Vec<_>>();
    let tcp = families.iter().filter_map(|family| family.tcp.as_ref());
    let tcp = tcp.chain(observations.proxy.iter().map(|(_, answer)| answer)).collect::<Vec<_>>();
    let (by_udp, by_tcp) = (udp.iter().any(|answer| answer.is_ok()), tcp.iter().any(|answer| answer.is_ok()));
    if udp.iter().any(|answer| **answer == Err(ConnectError::WrongKey)) {
        advice.push("Ask whoever runs the relay for its present link: it has another key than this one.".to_owned());
    } else if let (Err(_), false) = (&observations.names.0, by_tcp) {
        advice.push(format!("Check the name {host:?} in the relay link, and whether this machine is online."));
    } else if !by_udp && !by_tcp {
        advice.push(format!(
            "Ask whoever runs this network to let UDP out to {host} port {port} and the answers in, or TCP to the same port (TLS, WebSocket)."
        ));
    } else if !by_udp {
        advice.push(format!(
            "For faster sessions, ask whoever runs this network to let UDP out to {host} port {port} and the answers in."
        ));
    } else if !by_tcp && choice == CarrierChoice::Tcp {
        advice.push(format!(
            "Ask whoever runs this network to let TCP out to {host} port {port} (TLS, WebSocket), or leave --carrier tcp out."
        ));
    }
    if !by_tcp && (!by_udp || choice == CarrierChoice::Tcp) {
        let failed = tcp.iter().filter_map(|answer| answer.as_ref().err());
        let mut causes = failed.filter_map(|error| {
            let ConnectError::NoTcp { tcp, .. } = error else { return None };
            Some(tcp.advice())
        });
        if let Some(cause) = causes.next() {
            advice.push(format!("About TCP: {cause}."));
        }
    }
    if observations.direct() == Direct::Dependent {
        advice.push(
            "For direct paths, let the router of this network use endpoint-independent mapping (RFC 4787), or forward ports by PCP, NAT-PMP or UPnP."
                .to_owned(),
        );
    }
    let silent = families.into_iter().find_map(|family| match family.largest_payload() {
        Err(Unclear::Silent { port }) => Some(port),
        Ok(_) | Err(Unclear::NoAddress | Unclear::NoUdp | Unclear::NotTold | Unclear::NotOffered) => None,
    });
    if let Some(port) = silent {
        advice.push(format!(
            "To learn more, let UDP to {host} port {port} pass as well; behind a firewall of the relay, whoever runs it sets `reflector_port`."
        ));
    }
    advice
}

#[cfg(test)]
pub(super) mod tests;
