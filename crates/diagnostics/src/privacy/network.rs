//! Addresses, and names of networks and of the machines in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    aliases::{Aliases, Kind, Search},
    identifier,
};
use crate::history::is_kernel_interface;

/// Name servers that anybody may use: which one is used says nothing about a person, and much about a fault.
const PUBLIC_RESOLVERS: [IpAddr; 10] = [
    IpAddr::V4(Ipv4Addr::new(1, 0, 0, 1)),
    IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 4, 4)),
    IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9)),
    IpAddr::V4(Ipv4Addr::new(149, 112, 112, 112)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888)),
    IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)),
    IpAddr::V6(Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe)),
];

/// Names that every machine has.
const COMMON_NAMES: [&str; 12] = [
    "localhost",
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
    "_gateway",
    "_outbound",
    "default",
    "any",
    "none",
    "*",
];

/// Last labels of names that stay: RFC 6761, RFC 6762, RFC 8375, RFC 9476, and what routers use.
const LOCAL_DOMAINS: [&str; 9] =
    ["arpa", "home", "internal", "invalid", "lan", "local", "localdomain", "localhost", "test"];

/// What leaves instead of a text of the network class.
pub(super) fn network(aliases: &mut Aliases, text: &str) -> String {
    let text = text.trim();
    if COMMON_NAMES.contains(&text) || aliases.is_alias(text) {
        return text.to_owned();
    }
    if is_link(text) {
        return text.to_owned();
    }
    if let Some(alias) = link_of_address(aliases, text) {
        return alias;
    }
    if let Some(address) = identifier::hardware_address(text) {
        return identifier::mac(aliases, address);
    }
    if let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        // Of an address such as that of a proxy, only where it leads: no user, no password, no query.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit('@').next().unwrap_or_default();
        return format!("{scheme}://{}", network(aliases, place));
    }
    let (body, suffix) = split_suffix(text);
    if let Ok(ip) = body.parse::<IpAddr>() {
        return format!("{}{suffix}", address(aliases, ip));
    }
    if let Some(inner) = body.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))
        && let Ok(ip) = inner.parse::<IpAddr>()
    {
        return format!("[{}]{suffix}", address(aliases, ip));
    }
    if COMMON_NAMES.contains(&body) {
        return text.to_owned();
    }
    if is_address_alias(aliases, body) {
        return text.to_owned();
    }
    if body.contains('.') && is_host_name(body) {
        return format!("{}{suffix}", host(aliases, body));
    }
    match aliases.known(text) {
        Some(alias) => alias.to_owned(),
        None if suffix.is_empty() => aliases.of(Kind::Name, text, Search::Network),
        None => format!("{}{suffix}", aliases.of(Kind::Name, body, Search::Network)),
    }
}

/// Whether a link may be called so on any machine: by the kernel, by systemd, or by the programs that make links.
fn is_link(name: &str) -> bool {
    const MADE: [&str; 14] =
        ["vnet", "cni", "lxcbr", "lxdbr", "tailscale", "ifb", "dummy", "gre", "sit", "em", "can", "bat", "en", "utun"];
    let digits = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = |text: &str| text.len() <= 12 && text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // A virtual network of IEEE 802.1Q on a link.
    let name = name.split_once('.').filter(|(_, id)| digits(id)).map_or(name, |(link, _)| link);
    name == "lo"
        || is_kernel_interface(name)
        || MADE.iter().any(|made| name.strip_prefix(made).is_some_and(digits))
        || ["veth", "br-"].iter().any(|made| name.strip_prefix(made).is_some_and(hex))
}

/// The name of a link that systemd made of its hardware address, such as `enx0123456789ab`, with the address's alias in its place
/// (systemd.net-naming-scheme(7)). `None` if it is another.
pub(super) fn link_of_address(aliases: &mut Aliases, name: &str) -> Option<String> {
    let (kind, address) = name.split_at_checked(3)?;
    if !["enx", "wlx", "wwx", "ibx", "slx"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return None;
    }
    if address.strip_prefix('-').is_some_and(|alias| aliases.is_alias(alias)) {
        return Some(name.to_owned());
    }
    let plain = address.len() == 12 && address.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs = (0..12).step_by(2).filter_map(|at| address.get(at..at + 2)).collect::<Vec<_>>();
    plain.then(|| {
        let address = pairs.join(":").to_ascii_lowercase();
        let alias = aliases.with_prefix(Kind::Id, &address[..9], &address, Search::Identifier);
        format!("{kind}-{}", alias.rsplit(':').next().unwrap_or_default())
    })
}

/// What leaves instead of a machine's name: an alias for its first label and one for the rest, so that machines of one domain can be
/// seen to be. Addresses inside of names, such as `ec2-192-0-2-1`, leave with neither.
pub(super) fn host(aliases: &mut Aliases, name: &str) -> String {
    if COMMON_NAMES.contains(&name) || aliases.is_alias(name) {
        return name.to_owned();
    }
    if let Some(alias) = aliases.known(name) {
        return alias.to_owned();
    }
    let name = name.trim_end_matches('.');
    let Some((first, domain)) = name.split_once('.') else { return aliases.of(Kind::Host, name, Search::Network) };
    format!("{}.{}", aliases.of(Kind::Host, first, Search::Never), domain_alias(aliases, domain))
}

fn domain_alias(aliases: &mut Aliases, domain: &str) -> String {
    if LOCAL_DOMAINS.contains(&domain) {
        return domain.to_owned();
    }
    match domain.rsplit_once('.') {
        Some((rest, last)) if LOCAL_DOMAINS.contains(&last) => {
            format!("{}.{last}", aliases.of(Kind::Domain, rest, Search::Never))
        }
        _ => aliases.of(Kind::Domain, domain, Search::Network),
    }
}

/// What leaves instead of an address: itself if it is one that many networks use, else an alias of its /24 or /48 and a number in it.
pub(super) fn address(aliases: &mut Aliases, ip: IpAddr) -> String {
    match ip {
        _ if PUBLIC_RESOLVERS.contains(&ip) => ip.to_string(),
        IpAddr::V4(ip) if is_kept_v4(ip) => ip.to_string(),
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let net = aliases.of(Kind::Net4, &format!("{a}.{b}.{c}.0/24"), Search::Never);
            in_net(aliases, &net, &ip.to_string())
        }
        IpAddr::V6(ip) => address_v6(aliases, ip),
    }
}

fn address_v6(aliases: &mut Aliases, ip: Ipv6Addr) -> String {
    if let Some(inner) = ip.to_ipv4_mapped() {
        return format!("::ffff:{}", address(aliases, IpAddr::V4(inner)));
    }
    if is_kept_v6(ip) {
        // RFC 4291 appendix A: an interface identifier with ff:fe in its middle is a hardware address.
        let [.., a, b, c, 0xff, 0xfe, d, e, f] = ip.octets() else { return ip.to_string() };
        let mac = [a ^ 2, b, c, d, e, f].map(|byte| format!("{byte:02x}")).join(":");
        let id = aliases.with_prefix(Kind::Id, &mac[..9], &mac, Search::Identifier);
        let tail = id.rsplit(':').next().unwrap_or_default();
        let mut net = ip.segments();
        net[4..].fill(0);
        let net = Ipv6Addr::from(net).to_string();
        return format!("{net}{tail}");
    }
    let [a, b, c, ..] = ip.segments();
    let net = aliases.of(Kind::Net6, &format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)), Search::Never);
    in_net(aliases, &net, &ip.to_string())
}

/// `net4-1.host-7`: the same address has the same number.
fn in_net(aliases: &mut Aliases, net: &str, ip: &str) -> String {
    let host = aliases.of(Kind::Host, ip, Search::Never);
    format!("{net}.{host}")
}

fn is_address_alias(aliases: &Aliases, text: &str) -> bool {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    let text = text.strip_prefix("::ffff:").unwrap_or(text);
    let is_known = |text: &str| aliases.is_alias(text);
    if let Some((net, id)) = text.rsplit_once(':').filter(|(net, _)| net.ends_with(':')) {
        return is_known(id) && format!("{net}:").parse::<Ipv6Addr>().is_ok();
    }
    let mut labels = text.split('.');
    let first_is_known = labels.next().is_some_and(is_known);
    first_is_known && labels.all(|label| is_known(label) || LOCAL_DOMAINS.contains(&label))
}

/// Private (RFC 1918), shared (RFC 6598), loopback, link-local, documentation (RFC 5737), benchmarking, multicast, unspecified.
fn is_kept_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || ip.is_broadcast()
        || a == 0
        || (a, b & 0xc0) == (100, 64)
        || (a, b & 0xfe) == (198, 18)
        || (a, b, c) == (192, 0, 0)
        // Masks, as in `255.255.255.0`.
        || a == 255
}

/// Unique local (RFC 4193), loopback, link-local, documentation (RFC 3849, RFC 9637), multicast, unspecified.
fn is_kept_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_multicast()
        || ip.is_unique_local()
        || ip.is_unicast_link_local()
        || (a, b) == (0x2001, 0x0db8)
        || (a == 0x3fff && b < 0x1000)
}

/// Takes off what follows an address or a name: `/24`, `:443`, `%eth0`.
fn split_suffix(text: &str) -> (&str, &str) {
    let digits = |text: &str| !text.is_empty() && text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((body, prefix)) = text.split_once('/').filter(|(_, prefix)| digits(prefix)) {
        return (body, &text[text.len() - prefix.len() - 1..]);
    }
    if let Some((body, port)) = text.rsplit_once(':').filter(|(_, port)| digits(port) || *port == "*") {
        // An address without brackets has no port.
        if !body.contains(':') || body.ends_with(']') {
            return (body, &text[text.len() - port.len() - 1..]);
        }
    }
    if let Some((body, zone)) = text.split_once('%')
        && body.parse::<Ipv6Addr>().is_ok()
        && zone.len() <= 15
        && zone.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return (body, &text[body.len()..]);
    }
    (text, "")
}

/// Whether it is a scheme that proxies, servers and printers have. Any other may be a name that somebody gave.
fn is_scheme(scheme: &str) -> bool {
    const KNOWN: [&str; 24] = [
        "http", "https", "ftp", "ftps", "sftp", "ssh", "socks", "socks4", "socks4a", "socks5", "socks5h", "ldap",
        "ldaps", "ipp", "ipps", "lpd", "socket", "dnssd", "smb", "cifs", "nfs", "tcp", "udp", "tls",
    ];
    KNOWN.iter().any(|known| known.eq_ignore_ascii_case(scheme))
}

/// Whether `name` may name a machine: RFC 1123, with the underscores that occur all the same, and any letters (RFC 5890).
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    name.len() <= 253 && name.trim_end_matches('.').split('.').all(label)
}
