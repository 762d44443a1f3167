//! What may be reached out to: a closed list, checked in one place.
//!
//! Nothing in this crate sends a packet of its own to anything but a [`Permit`], and only [`Targets::permit`] makes one. The list is
//! the endpoint's: the relay that it uses, the name servers that it is set to ask, its gateway, and hosts that its owner wrote down. Who
//! asks names one of them and never an address or a port, so that no probe becomes a scan.

use std::net::{IpAddr, SocketAddr};

use wire::diagnostics::sections::probes::Target;

/// Most hosts that an owner may list.
const MAX_HOSTS: usize = 16;

/// What the owner of the machine lets probes reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The relay that the agent uses, and its port.
    pub relay: Option<(String, u16)>,
    /// Hosts, each a name or an address. The first 16 count.
    pub hosts: Vec<String>,
    /// Which of the hosts answers plain HTTP at `/generate_204` with nothing (status 204), if any does.
    pub portal_host: Option<String>,
}

/// What is to be done with a target; it decides the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Names: 53.
    Names,
    /// Plain HTTP: 80.
    Http,
    /// TLS: 443, or the relay's own port.
    Tls,
    /// UDP that no application answers, or QUIC: 443, or the relay's own port.
    Datagrams,
    /// ICMP, which has no ports.
    Echo,
}

/// The list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Targets {
    reach: Reach,
    gateway: Option<IpAddr>,
    name_servers: Vec<IpAddr>,
}

/// That a host may be reached on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permit {
    host: String,
    port: u16,
}

/// That a target is not on the list, or not for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the agent uses no relay")]
    NoRelay,
    #[error("there is no gateway")]
    NoGateway,
    #[error("the owner of this machine has not listed this host")]
    NotListed,
    #[error("this target is not probed in this way")]
    NotSo,
}

impl Targets {
    pub(crate) fn new(mut reach: Reach, gateway: Option<IpAddr>, name_servers: Vec<IpAddr>) -> Self {
        reach.hosts.truncate(MAX_HOSTS);
        Self { reach, gateway, name_servers }
    }

    /// The only way to a [`Permit`].
    pub(crate) fn permit(&self, target: &Target, purpose: Purpose) -> Result<Permit, Refused> {
        let (host, port) = match (target, purpose) {
            (Target::Relay, Purpose::Tls | Purpose::Datagrams | Purpose::Echo | Purpose::Names) => {
                self.reach.relay.clone().ok_or(Refused::NoRelay)?
            }
            (Target::Gateway, Purpose::Datagrams | Purpose::Echo) => {
                (self.gateway.ok_or(Refused::NoGateway)?.to_string(), 443)
            }
            (Target::Host(name), Purpose::Http) => (self.listed(name.raw())?, 80),
            (Target::Host(name), _) => (self.listed(name.raw())?, 443),
            (Target::Relay | Target::Gateway, _) => return Err(Refused::NotSo),
        };
        Ok(Permit { host, port })
    }

    /// The name servers that this machine is set to ask.
    pub(crate) fn name_servers(&self) -> impl Iterator<Item = Permit> {
        self.name_servers.iter().map(|server| Permit { host: server.to_string(), port: 53 })
    }

    /// Where a portal is looked for: a host that is listed as well.
    pub(crate) fn portal(&self) -> Option<Permit> {
        let host = Target::Host(wire::text::Label::cut(self.reach.portal_host.as_deref()?));
        self.permit(&host, Purpose::Http).ok()
    }

    fn listed(&self, name: &str) -> Result<String, Refused> {
        self.reach.hosts.iter().find(|host| host.eq_ignore_ascii_case(name)).cloned().ok_or(Refused::NotListed)
    }
}

impl Permit {
    /// Name or address of the host.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    #[cfg(test)]
    fn port(&self) -> u16 {
        self.port
    }

    /// The host at one of the addresses that its name has.
    pub(crate) fn at(&self, address: IpAddr) -> SocketAddr {
        SocketAddr::new(address, self.port)
    }

    /// The address, if the host is called by it.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// One on a port of the test's own, which no fixed one can be.
    #[cfg(test)]
    pub(crate) fn of_a_test(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

#[cfg(test)]
mod tests {
    use wire::text::Label;

    use super::*;

    fn host(name: &str) -> Target {
        Target::Host(Label::cut(name))
    }

    fn targets() -> Targets {
        let reach = Reach {
            relay: Some(("relay.example".to_owned(), 4433)),
            hosts: vec!["intranet.example".to_owned(), "192.0.2.7".to_owned()],
            portal_host: Some("portal.example".to_owned()),
        };
        Targets::new(reach, Some([192, 168, 1, 1].into()), vec![[9, 9, 9, 9].into()])
    }

    const PURPOSES: [Purpose; 5] = [Purpose::Names, Purpose::Http, Purpose::Tls, Purpose::Datagrams, Purpose::Echo];

    #[test]
    fn what_is_not_listed_is_refused_for_every_purpose() {
        let names = [
            "example.com",
            "192.168.1.1",
            "127.0.0.1",
            "",
            "relay.example",
            "intranet.example:22",
            "192.0.2.7/24",
            "[::1]",
        ];
        for name in names {
            for purpose in PURPOSES {
                assert_eq!(targets().permit(&host(name), purpose), Err(Refused::NotListed), "{name} {purpose:?}");
            }
        }
    }

    #[test]
    fn nothing_is_listed_until_somebody_lists_it() {
        let none = Targets::default();
        for purpose in PURPOSES {
            assert!(none.permit(&Target::Relay, purpose).is_err());
            assert!(none.permit(&Target::Gateway, purpose).is_err());
        }
        assert_eq!((none.portal(), none.name_servers().count()), (None, 0));
    }

    #[test]
    fn ports_come_from_the_purpose_alone() {
        let all = [Target::Relay, Target::Gateway, host("intranet.example"), host("192.0.2.7")];
        let permits = all.iter().flat_map(|target| PURPOSES.map(|purpose| targets().permit(target, purpose)));
        for permit in permits.flatten() {
            let allowed = if permit.host() == "relay.example" { &[4433][..] } else { &[80, 443] };
            assert!(allowed.contains(&permit.port()), "{permit:?}");
        }
        assert!(targets().name_servers().all(|server| server.port() == 53));
    }

    #[test]
    fn a_gateway_is_not_connected_to_and_a_portal_must_be_listed_too() {
        assert_eq!(targets().permit(&Target::Gateway, Purpose::Tls), Err(Refused::NotSo));
        assert_eq!(targets().permit(&Target::Gateway, Purpose::Http), Err(Refused::NotSo));
        assert_eq!(targets().portal(), None);
    }

    #[test]
    fn a_host_beyond_the_bound_of_the_list_is_not_on_it() {
        let hosts = (0..100).map(|number| format!("host{number}")).collect();
        let targets = Targets::new(Reach { hosts, ..Reach::default() }, None, Vec::new());
        assert!(targets.permit(&host("HOST15"), Purpose::Tls).is_ok());
        assert!(targets.permit(&host("host16"), Purpose::Tls).is_err());
    }
}
