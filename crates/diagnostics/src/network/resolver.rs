//! Who translates names: `resolv.conf` (resolv.conf(5)) and systemd-resolved (org.freedesktop.resolve1(5)).

use std::{io, net::IpAddr, time::Duration};

use wire::{
    diagnostics::sections::network::{MAX_NAME_SERVERS, MAX_SEARCH, NameServer, Resolver, ServerSource},
    text::Label,
};

use super::links::Tables;
use crate::{
    bus::Talk,
    manifest::Manifest,
    sources::Sources,
    text::{fields, lines, read_file},
};

const SERVICE: &str = "org.freedesktop.resolve1";
const PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";

/// Longest that systemd-resolved is waited for.
const DEADLINE: Duration = Duration::from_secs(3);

/// Reads both. `tables` has the names of the links.
pub(crate) fn read(sources: &Sources, tables: &Tables, manifest: &mut Manifest) -> Resolver {
    let mut resolver = Resolver::default();
    let mut buffer = Vec::new();
    let file = read_file(&sources.roots.etc.join("resolv.conf"), &mut buffer).map(ResolvConf::parse);
    if let Some(file) = manifest.keep("/etc/resolv.conf", file) {
        resolver.servers.extend(file.servers.into_iter().map(|address| server(address, ServerSource::ResolvConf)));
        resolver.search.extend(file.search.iter().map(|domain| Label::cut(domain)));
    }
    match sources.bus.ask(DEADLINE, ask_resolved) {
        Ok(resolved) => {
            manifest.read("systemd-resolved");
            resolved.add_to(&mut resolver, tables);
        }
        // Most machines without it have something else.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => manifest.failed("systemd-resolved", &error),
    }
    manifest.bound("name servers", &mut resolver.servers, MAX_NAME_SERVERS);
    manifest.bound("search domains", &mut resolver.search, MAX_SEARCH);
    resolver
}

fn server(address: IpAddr, source: ServerSource) -> NameServer {
    NameServer {
        address: Label::cut(&address.to_string()),
        source,
        link: Label::default(),
        local: address.is_loopback(),
        current: false,
    }
}

/// What `resolv.conf` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    pub(crate) servers: Vec<IpAddr>,
    search: Vec<String>,
}

impl ResolvConf {
    /// The last `search` or `domain` counts. Servers that the C library cannot read either are left out.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut file = Self::default();
        for line in lines(text) {
            let mut words = fields(line).filter_map(|word| std::str::from_utf8(word).ok());
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
                    file.servers.extend(address.filter(|address| !file.servers.contains(address)));
                }
                Some("search" | "domain") => file.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        file
    }
}

/// A server as systemd-resolved lists it: link (0 for all), family, address.
type Listed = (i32, i32, Vec<u8>);

/// A domain as systemd-resolved lists it: link, name, whether it only says which server to ask.
type Domain = (i32, String, bool);

/// What systemd-resolved says. Properties that an old version lacks are empty.
#[derive(Debug, Default)]
struct Resolved {
    servers: Vec<Listed>,
    current: Option<Listed>,
    domains: Vec<Domain>,
    mode: String,
    dnssec: String,
    dns_over_tls: String,
}

async fn ask_resolved(talk: &Talk) -> io::Result<Resolved> {
    let text = async |name| talk.property::<String>(SERVICE, PATH, (MANAGER, name)).await.unwrap_or_default();
    Ok(Resolved {
        servers: talk.property(SERVICE, PATH, (MANAGER, "DNS")).await?,
        current: talk.property(SERVICE, PATH, (MANAGER, "CurrentDNSServer")).await.ok(),
        domains: talk.property(SERVICE, PATH, (MANAGER, "Domains")).await.unwrap_or_default(),
        mode: text("ResolvConfMode").await,
        dnssec: text("DNSSEC").await,
        dns_over_tls: text("DNSOverTLS").await,
    })
}

impl Resolved {
    fn add_to(self, resolver: &mut Resolver, tables: &Tables) {
        let current = self.current.as_ref().and_then(|(_, _, address)| address_of(address));
        for (link, _, address) in &self.servers {
            let Some(address) = address_of(address) else { continue };
            let link = u32::try_from(*link).ok().filter(|link| *link != 0);
            resolver.servers.push(NameServer {
                link: link.map_or_else(Label::default, |link| tables.name_of(link)),
                current: current == Some(address),
                ..server(address, ServerSource::Resolved)
            });
        }
        for (_, domain, _) in &self.domains {
            let domain = Label::cut(domain);
            if !resolver.search.contains(&domain) {
                resolver.search.push(domain);
            }
        }
        resolver.resolv_conf_mode = Label::cut(&self.mode);
        resolver.dnssec = Label::cut(&self.dnssec);
        resolver.dns_over_tls = Label::cut(&self.dns_over_tls);
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    crate::netlink::Bytes(bytes).address()
}

/// Every server that this machine is set to ask, those of systemd-resolved instead of its own stub.
pub(crate) fn addresses(resolver: &Resolver) -> Vec<IpAddr> {
    let mut addresses =
        resolver.servers.iter().filter_map(|server| server.address.raw().parse().ok()).collect::<Vec<_>>();
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|address: &IpAddr| seen.insert(*address));
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_the_last_search_list_are_read_and_the_rest_is_left_out() {
        let text = b"# made by hand\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver 127.0.0.53\n\
            nameserver not-an-address\nnameserver\ndomain old.example\nsearch corp.example  home.arpa\noptions edns0\n;x\n\xff\xfe\n";
        let file = ResolvConf::parse(text);
        assert_eq!(file.servers, ["127.0.0.53", "fe80::1"].map(|server| server.parse::<IpAddr>().unwrap()));
        assert_eq!(file.search, ["corp.example", "home.arpa"]);
        assert_eq!(ResolvConf::parse(b""), ResolvConf::default());
    }

    #[test]
    fn a_server_of_resolved_stands_with_its_link_and_one_of_a_strange_length_not_at_all() {
        let resolved = Resolved {
            servers: vec![(0, 2, vec![9, 9, 9, 9]), (7, 2, vec![10, 0, 0, 1]), (1, 2, vec![1, 2, 3])],
            current: Some((7, 2, vec![10, 0, 0, 1])),
            domains: vec![(7, "corp.example".to_owned(), false), (7, "corp.example".to_owned(), true)],
            ..Resolved::default()
        };
        let mut resolver = Resolver::default();
        resolved.add_to(&mut resolver, &Tables::default());
        let told = resolver.servers.iter().map(|s| (s.address.raw(), s.link.raw(), s.current)).collect::<Vec<_>>();
        assert_eq!(told, [("9.9.9.9", "", false), ("10.0.0.1", "link 7", true)]);
        assert_eq!(resolver.search.len(), 1);
    }
}
