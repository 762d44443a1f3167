//! What may be reached out to: a closed list, checked in one place.
//!
//! Nothing in this crate sends a packet of its own to anything but a [`Permit`], and only [`Targets::permit`] makes one. The list is
//! the endpoint's: the relay that it uses, the name servers that it is set to ask, its gateway, and hosts that its owner wrote down. Who
//! asks names one of them and never an address or a port, so that no probe becomes a scan.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use wire::{diagnostics::sections::probes::Target, text::Label};

/// Most hosts that an owner may list.
pub const MAX_PROBE_HOSTS: usize = 16;

/// Longest name of a host: with its port it fits into what a technician may send.
const HOST_BYTES: usize = 120;

/// Port of TLS, and of UDP packets that nobody has to answer.
const HTTPS: u16 = 443;

/// What the owner of the machine lets probes reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The relay that the agent uses, and its port.
    pub relay: Option<(String, u16)>,
    /// Hosts. The first [`MAX_PROBE_HOSTS`] count.
    pub hosts: Vec<ProbeHost>,
    /// A host that answers plain HTTP on port 80 at `/generate_204` with nothing (status 204), if there is one.
    pub portal_host: Option<ProbeHost>,
}

/// A host that its owner has listed: `intranet.example`, `intranet.example:8443`, `192.0.2.7` or `[2001:db8::7]:8443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeHost {
    name: String,
    port: Option<u16>,
}

impl ProbeHost {
    /// Name or address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port of TLS, if another than the usual one is listed.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether `name` is what it is called by: with its port, or without.
    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name) || self.to_string().eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for ProbeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.name.contains(':')) {
            (None, _) => f.write_str(&self.name),
            (Some(port), false) => write!(f, "{}:{port}", self.name),
            (Some(port), true) => write!(f, "[{}]:{port}", self.name),
        }
    }
}

/// That something is no single host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no host name or address, with or without one port")]
pub struct NoHost;

impl FromStr for ProbeHost {
    type Err = NoHost;

    fn from_str(text: &str) -> Result<Self, NoHost> {
        let port =
            |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0 && !text.starts_with('+')).ok_or(NoHost);
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self { name: text.to_owned(), port: None });
        }
        if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            address.parse::<Ipv6Addr>().map_err(|_| NoHost)?;
            let port = match rest.strip_prefix(':') {
                Some(given) => Some(port(given)?),
                None if rest.is_empty() => None,
                None => return Err(NoHost),
            };
            return Ok(Self { name: address.to_owned(), port });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, given)) => (name, Some(port(given)?)),
            None => (text, None),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let is_name =
            (1..=HOST_BYTES).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(['-', '.']);
        if is_name { Ok(Self { name: name.to_owned(), port }) } else { Err(NoHost) }
    }
}

/// What is to be done with a target; it decides the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Names: 53.
    Names,
    /// Plain HTTP, of the host that looks for portals alone: 80.
    Http,
    /// TLS: 443, or the target's own port.
    Tls,
    /// UDP that no application answers, or QUIC: 443, or the target's own port.
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
    #[error("the machine is not set to ask such a name server")]
    NoResolver,
    #[error("the owner of this machine has not listed this host")]
    NotListed,
    #[error("this target is not probed in this way")]
    NotSo,
}

impl Targets {
    pub(crate) fn new(mut reach: Reach, gateway: Option<IpAddr>, name_servers: Vec<IpAddr>) -> Self {
        reach.hosts.truncate(MAX_PROBE_HOSTS);
        Self { reach, gateway, name_servers }
    }

    /// The only way to a [`Permit`]: what this refuses is not reached, whoever asks.
    pub(crate) fn permit(&self, target: &Target, purpose: Purpose) -> Result<Permit, Refused> {
        let (host, port) = match (target, purpose) {
            (Target::Relay, Purpose::Tls | Purpose::Datagrams | Purpose::Echo | Purpose::Names) => {
                self.reach.relay.clone().ok_or(Refused::NoRelay)?
            }
            (Target::Gateway, Purpose::Datagrams | Purpose::Echo) => {
                (self.gateway.ok_or(Refused::NoGateway)?.to_string(), HTTPS)
            }
            (Target::Resolver(place), Purpose::Datagrams | Purpose::Echo) => {
                let server = self.name_servers.get(usize::from(*place)).ok_or(Refused::NoResolver)?;
                (server.to_string(), HTTPS)
            }
            (Target::Host(name), Purpose::Http) => {
                let portal = self.reach.portal_host.as_ref().filter(|portal| portal.is_called(name.raw()));
                (portal.ok_or(Refused::NotSo)?.name.clone(), 80)
            }
            (Target::Host(name), Purpose::Tls | Purpose::Datagrams | Purpose::Echo | Purpose::Names) => {
                let mut listed = self.reach.hosts.iter().chain(&self.reach.portal_host);
                let host = listed.find(|host| host.is_called(name.raw())).ok_or(Refused::NotListed)?;
                (host.name.clone(), host.port.unwrap_or(HTTPS))
            }
            (Target::Relay | Target::Gateway | Target::Resolver(_), _) => return Err(Refused::NotSo),
        };
        Ok(Permit { host, port })
    }

    /// The name servers that this machine is set to ask.
    pub(crate) fn name_servers(&self) -> impl Iterator<Item = Permit> {
        self.name_servers.iter().map(|server| Permit { host: server.to_string(), port: 53 })
    }

    /// Where a portal is looked for.
    pub(crate) fn portal(&self) -> Option<Permit> {
        let host = Label::cut(self.reach.portal_host.as_ref()?.name());
        self.permit(&Target::Host(host), Purpose::Http).ok()
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
    use super::*;

    fn host(name: &str) -> Target {
        Target::Host(Label::cut(name))
    }

    fn listed(host: &str) -> ProbeHost {
        host.parse().unwrap()
    }

    fn targets() -> Targets {
        let reach = Reach {
            relay: Some(("relay.example".to_owned(), 4433)),
            hosts: ["intranet.example", "192.0.2.7", "intranet.example:8443", "[2001:db8::7]:853"].map(listed).to_vec(),
            portal_host: Some(listed("portal.example")),
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
            "intranet.example:443",
            "intranet.example:8443-8450",
            "*.example",
            "192.0.2.7/24",
            "192.0.2.7-9",
            "[::1]",
            "2001:db8::8",
            "[2001:db8::7]:854",
        ];
        for name in names {
            for purpose in PURPOSES.into_iter().filter(|purpose| *purpose != Purpose::Http) {
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
            assert!(none.permit(&Target::Resolver(0), purpose).is_err());
        }
        assert_eq!((none.portal(), none.name_servers().count()), (None, 0));
    }

    #[test]
    fn ports_are_those_of_the_list_and_of_the_purpose() {
        let all = [
            Target::Relay,
            Target::Gateway,
            Target::Resolver(0),
            host("intranet.example"),
            host("Intranet.Example:8443"),
            host("2001:db8::7"),
            host("192.0.2.7"),
            host("portal.example"),
        ];
        let permits = all.iter().flat_map(|target| PURPOSES.map(|purpose| targets().permit(target, purpose)));
        let mut ports = permits.flatten().map(|permit| permit.port()).collect::<Vec<_>>();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports, [80, 443, 853, 4433, 8443]);
        assert!(targets().name_servers().all(|server| server.port() == 53));
        assert_eq!(targets().permit(&host("intranet.example:8443"), Purpose::Tls).unwrap().port(), 8443);
        assert_eq!(targets().permit(&host("intranet.example"), Purpose::Tls).unwrap().port(), 443);
    }

    #[test]
    fn plain_http_is_spoken_with_the_host_that_looks_for_portals_alone() {
        assert_eq!(
            targets().portal().map(|permit| (permit.host().to_owned(), permit.port())),
            Some(("portal.example".to_owned(), 80))
        );
        for target in [Target::Relay, Target::Gateway, Target::Resolver(0), host("intranet.example")] {
            assert_eq!(targets().permit(&target, Purpose::Http), Err(Refused::NotSo));
        }
    }

    #[test]
    fn gateways_and_name_servers_are_not_connected_to() {
        assert_eq!(targets().permit(&Target::Gateway, Purpose::Tls), Err(Refused::NotSo));
        assert_eq!(targets().permit(&Target::Resolver(0), Purpose::Tls), Err(Refused::NotSo));
        assert_eq!(targets().permit(&Target::Resolver(1), Purpose::Echo), Err(Refused::NoResolver));
    }

    #[test]
    fn one_host_is_listed_at_a_time() {
        let read = |text: &str| text.parse::<ProbeHost>().map(|host| (host.name, host.port));
        assert_eq!(read("intranet.example:8443"), Ok(("intranet.example".to_owned(), Some(8443))));
        assert_eq!(read("[::1]:853"), Ok(("::1".to_owned(), Some(853))));
        assert_eq!(read("::1"), Ok(("::1".to_owned(), None)));
        for text in [
            "",
            ":443",
            "a:",
            "a:0",
            "a:65536",
            "a:1-9",
            "a:1,2",
            "a:+1",
            "a b",
            "*",
            "10.0.0.0/8",
            "https://a",
            "[::1",
            "[a]:1",
            "[::1]x",
        ] {
            assert_eq!(read(text), Err(NoHost), "{text}");
        }
        for text in ["a", "a:1", "192.0.2.7:8", "::1", "[::1]:853"] {
            assert_eq!(listed(text).to_string(), text);
        }
        assert!("a".repeat(HOST_BYTES + 1).parse::<ProbeHost>().is_err());
    }

    #[test]
    fn a_host_beyond_the_bound_of_the_list_is_not_on_it() {
        let hosts = (0..100).map(|number| listed(&format!("host{number}"))).collect();
        let targets = Targets::new(Reach { hosts, ..Reach::default() }, None, Vec::new());
        assert!(targets.permit(&host("HOST15"), Purpose::Tls).is_ok());
        assert!(targets.permit(&host("host16"), Purpose::Tls).is_err());
    }
}
