//! Links, addresses, routes and neighbours, as rtnetlink(7) tells them.

use std::{collections::BTreeMap, io, net::IpAddr, time::Duration};

use wire::{
    diagnostics::sections::network::{
        Address, AddressState, DefaultRoute, Family, GatewayState, Link, LinkKind, LinkState, Neighbours, RouteOrigin,
        Scope,
    },
    text::Label,
};

use crate::netlink::{Attributes, Bytes, Message, Netlink, attributes};

/// Longest that one list is waited for.
const LIST_DEADLINE: Duration = Duration::from_secs(2);

// `linux/rtnetlink.h`.
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTN_UNICAST: u8 = 1;
const RT_TABLE_LOCAL: u32 = 255;
/// `sizeof` of `struct ifinfomsg`, `ifaddrmsg`, `rtmsg`, `ndmsg`.
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;
const NEIGHBOUR_HEADER: usize = 12;
/// `struct rtnexthop`, in front of each way of a route that has several.
const NEXT_HOP_HEADER: usize = 8;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// What the kernel tells of networks.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) links: Vec<Numbered<Link>>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Routes,
    pub(crate) neighbours: Vec<Neighbour>,
    /// The lists of which there was more than was read.
    pub(crate) incomplete: Vec<&'static str>,
}

/// A link and the number that other lists call it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbered<T> {
    pub(crate) index: u32,
    pub(crate) what: T,
}

/// Routes, the kernel's own left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    pub(crate) default: Vec<DefaultWay>,
    pub(crate) others_v4: u32,
    pub(crate) others_v6: u32,
}

/// A way to everywhere, before the names of links and the states of gateways are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DefaultWay {
    pub(crate) family: Family,
    pub(crate) link: u32,
    pub(crate) gateway: Option<IpAddr>,
    metric: u32,
    table: u32,
    origin: RouteOrigin,
}

/// A machine on the same link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    link: u32,
    address: IpAddr,
    state: GatewayState,
}

impl Tables {
    /// Asks the kernel for all of it.
    ///
    /// # Errors
    ///
    /// What the kernel says; lists that were read before are lost, as one without the others makes no sense.
    pub(crate) fn read() -> io::Result<Self> {
        let mut netlink = Netlink::open(None, LIST_DEADLINE)?;
        let mut incomplete = Vec::new();
        let mut list = |name, kind, header: usize| {
            let answer = netlink.dump(kind, &vec![0; header])?;
            if answer.incomplete {
                incomplete.push(name);
            }
            io::Result::Ok(answer.messages)
        };
        let links = parsed(&list("links", RTM_GETLINK, LINK_HEADER)?, link);
        let names = links.iter().map(|link| (link.index, link.what.name.clone())).collect::<BTreeMap<_, _>>();
        let addresses = parsed(&list("addresses", RTM_GETADDR, ADDRESS_HEADER)?, |message| address(message, &names));
        let routes = routes(&list("routes", RTM_GETROUTE, ROUTE_HEADER)?);
        let neighbours = parsed(&list("neighbours", RTM_GETNEIGH, NEIGHBOUR_HEADER)?, neighbour);
        Ok(Self { links, addresses, routes, neighbours, incomplete })
    }

    /// The ways to everywhere with all that is known of them, the one that is taken first.
    pub(crate) fn default_routes(&self) -> Vec<DefaultRoute> {
        let mut ways = self.routes.default.iter().collect::<Vec<_>>();
        ways.sort_by_key(|way| (way.family, way.table != 254, way.metric, way.link));
        let told = |way: &&DefaultWay| DefaultRoute {
            family: way.family,
            link: self.name_of(way.link),
            gateway: way.gateway.map_or_else(Label::default, |address| Label::cut(&address.to_string())),
            gateway_state: self.gateway_state(way),
            metric: way.metric,
            table: way.table,
            origin: way.origin,
        };
        ways.iter().map(told).collect()
    }

    /// How a way's gateway is known.
    pub(crate) fn gateway_state(&self, way: &DefaultWay) -> GatewayState {
        let Some(gateway) = way.gateway else { return GatewayState::None };
        let known = self.neighbours.iter().find(|known| known.link == way.link && known.address == gateway);
        known.map_or(GatewayState::Unknown, |known| known.state)
    }

    /// Machines on the same links by state.
    pub(crate) fn neighbour_counts(&self) -> Neighbours {
        let mut counts = Neighbours::default();
        for neighbour in &self.neighbours {
            let count = match neighbour.state {
                GatewayState::Reachable => &mut counts.reachable,
                GatewayState::Stale => &mut counts.stale,
                GatewayState::Probing => &mut counts.probing,
                GatewayState::Failed => &mut counts.failed,
                GatewayState::Permanent => &mut counts.permanent,
                GatewayState::None | GatewayState::Unknown => continue,
            };
            *count += 1;
        }
        counts
    }

    /// A link's name, or its number if it is gone.
    pub(crate) fn name_of(&self, index: u32) -> Label {
        let known = self.links.iter().find(|link| link.index == index);
        known.map_or_else(|| Label::cut(&format!("link {index}")), |link| link.what.name.clone())
    }
}

fn parsed<T>(messages: &[Message], parse: impl Fn(&[u8]) -> Option<T>) -> Vec<T> {
    messages.iter().filter_map(|message| parse(&message.body)).collect()
}

/// `struct ifinfomsg` and `IFLA_*` of `linux/if_link.h`.
fn link(message: &[u8]) -> Option<Numbered<Link>> {
    let header = Bytes(message);
    let (hardware, index, flags) = (header.u16(2)?, header.u32(4)?, header.u32(8)?);
    let told = attributes(message, LINK_HEADER);
    let number = |kind| told.find(kind).and_then(|value| value.u32(0));
    let driver = told.find(18).and_then(|info| attributes(info.0, 0).find(1)?.text()).unwrap_or_default();
    let address = told.find(1).filter(|address| address.0.len() == 6 && address.0.iter().any(|byte| *byte != 0));
    // `struct rtnl_link_stats64`: packets, bytes, errors, drops, each received and then sent.
    let counters = told.find(23);
    let counter = |place: usize| counters.and_then(|counters| counters.u64(place * 8)).unwrap_or(0);
    let carrier = told.find(33).and_then(|carrier| carrier.u8(0)).map(|carrier| carrier != 0);
    let enabled = flags & 0x1 != 0;
    let link = Link {
        name: Label::cut(told.find(3)?.text()?),
        kind: link_kind(hardware, driver),
        driver: Label::cut(driver),
        enabled,
        state: told.find(16).and_then(|state| state.u8(0)).map_or(LinkState::Unknown, link_state),
        // A link that is switched off is said to have none, whatever is plugged in.
        carrier: carrier.filter(|_| enabled),
        carrier_changes: number(35).unwrap_or(0),
        mtu: number(4).unwrap_or(0),
        speed_mbit_s: None,
        full_duplex: None,
        hardware_address: address.map_or_else(Label::default, |address| Label::cut(&hardware_address(address.0))),
        rx_packets: counter(0),
        tx_packets: counter(1),
        rx_bytes: counter(2),
        tx_bytes: counter(3),
        rx_errors: counter(4),
        tx_errors: counter(5),
        rx_drops: counter(6),
        tx_drops: counter(7),
    };
    Some(Numbered { index, what: link })
}

/// By `ARPHRD_*` of `linux/if_arp.h`, and by the driver where there is no hardware.
fn link_kind(hardware: u16, driver: &str) -> LinkKind {
    match (hardware, driver) {
        (772, _) => LinkKind::Loopback,
        (_, "bridge" | "openvswitch") => LinkKind::Bridge,
        (_, "bond" | "team") => LinkKind::Bond,
        (_, "vlan" | "macvlan" | "ipvlan" | "macvtap" | "hsr" | "macsec") => LinkKind::Vlan,
        (_, "wireguard" | "tun" | "vti" | "vti6" | "xfrm" | "vxlan" | "geneve" | "ppp" | "ovpn") => LinkKind::Tunnel,
        (_, "wwan" | "rmnet") | (519, _) => LinkKind::Mobile,
        // PPP, IPv4 and IPv6 in IPv4, GRE, IPv6 GRE, nothing at all (tun).
        (512 | 768 | 769 | 776 | 778 | 823 | 65534, _) => LinkKind::Tunnel,
        (1, "") => LinkKind::Ethernet,
        (801..=803, _) => LinkKind::Wireless,
        (_, "") => LinkKind::Other,
        (_, _) => LinkKind::Virtual,
    }
}

/// `IF_OPER_*` of `linux/if.h`.
fn link_state(state: u8) -> LinkState {
    match state {
        1 | 2 => LinkState::Down,
        3 => LinkState::LowerDown,
        4 | 5 => LinkState::Dormant,
        6 => LinkState::Up,
        _ => LinkState::Unknown,
    }
}

/// As it is written: `02:fc:00:00:00:01`.
pub(super) fn hardware_address(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// `struct ifaddrmsg` and `IFA_*` of `linux/if_addr.h`.
fn address(message: &[u8], names: &BTreeMap<u32, Label>) -> Option<Address> {
    let header = Bytes(message);
    let (family, length, short_flags, scope, index) =
        (header.u8(0)?, header.u8(1)?, header.u8(2)?, header.u8(3)?, header.u32(4)?);
    let told = attributes(message, ADDRESS_HEADER);
    // On a link between two machines the first is the peer's; the second is always its own.
    let ip = told.find(2).or_else(|| told.find(1))?.address()?;
    let flags = told.find(8).and_then(|flags| flags.u32(0)).unwrap_or(u32::from(short_flags));
    // `struct ifa_cacheinfo`: preferred, then valid, in seconds; all ones for ever.
    let valid = told.find(6).and_then(|times| times.u32(4)).filter(|valid| *valid != u32::MAX);
    Some(Address {
        link: names.get(&index)?.clone(),
        address: Label::cut(&format!("{ip}/{length}")),
        family: family_of(family)?,
        scope: match scope {
            0 => Scope::Global,
            253 => Scope::Link,
            254 => Scope::Host,
            _ => Scope::Site,
        },
        state: match flags {
            flags if flags & 0x08 != 0 => AddressState::Duplicate,
            flags if flags & 0x40 != 0 => AddressState::Tentative,
            flags if flags & 0x20 != 0 => AddressState::Deprecated,
            _ => AddressState::Usable,
        },
        leased: flags & 0x80 == 0,
        valid_secs: valid,
    })
}

fn family_of(number: u8) -> Option<Family> {
    match number {
        AF_INET => Some(Family::V4),
        AF_INET6 => Some(Family::V6),
        _ => None,
    }
}

/// `struct rtmsg` and `RTA_*` of `linux/rtnetlink.h`.
fn routes(messages: &[Message]) -> Routes {
    let mut routes = Routes::default();
    for message in messages {
        let message = message.body.as_slice();
        let header = Bytes(message);
        let (Some(family), Some(length), Some(origin), Some(kind)) =
            (header.u8(0).and_then(family_of), header.u8(1), header.u8(5), header.u8(7))
        else {
            continue;
        };
        let told = attributes(message, ROUTE_HEADER);
        let table = told.find(15).and_then(|table| table.u32(0)).or(header.u8(4).map(u32::from)).unwrap_or(0);
        // Routes to itself, to groups and the copies that the kernel keeps (`RTM_F_CLONED`) are nobody's settings.
        let cloned = header.u32(8).is_some_and(|flags| flags & 0x200 != 0);
        if kind != RTN_UNICAST || table == RT_TABLE_LOCAL || cloned {
            continue;
        }
        if length != 0 {
            let others = if family == Family::V4 { &mut routes.others_v4 } else { &mut routes.others_v6 };
            *others += 1;
            continue;
        }
        let metric = told.find(6).and_then(|metric| metric.u32(0)).unwrap_or(0);
        let way = |link: u32, told: Attributes<'_>| DefaultWay {
            family,
            link,
            gateway: told.find(5).and_then(Bytes::address).or_else(|| told.find(18).and_then(via)),
            metric,
            table,
            origin: route_origin(origin),
        };
        match told.find(9) {
            Some(several) => routes.default.extend(next_hops(several.0).map(|(link, told)| way(link, told))),
            None => routes.default.extend(told.find(4).and_then(|link| link.u32(0)).map(|link| way(link, told))),
        }
    }
    routes
}

/// A gateway of the other family: `struct rtvia`.
fn via(value: Bytes<'_>) -> Option<IpAddr> {
    Bytes(value.0.get(2..)?).address()
}

/// The ways of a route that has several, each `struct rtnexthop` with attributes.
fn next_hops(mut bytes: &[u8]) -> impl Iterator<Item = (u32, Attributes<'_>)> {
    std::iter::from_fn(move || {
        let header = Bytes(bytes);
        let (length, link) = (usize::from(header.u16(0)?), header.u32(4)?);
        let hop = bytes.get(..length).filter(|hop| hop.len() >= NEXT_HOP_HEADER)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((link, attributes(hop, NEXT_HOP_HEADER)))
    })
}

fn route_origin(protocol: u8) -> RouteOrigin {
    match protocol {
        2 => RouteOrigin::Kernel,
        3 => RouteOrigin::Boot,
        4 => RouteOrigin::Static,
        9 => RouteOrigin::Router,
        16 => RouteOrigin::Dhcp,
        _ => RouteOrigin::Other,
    }
}

/// `struct ndmsg` and `NDA_DST` of `linux/neighbour.h`. What needs no neighbour (`NUD_NOARP`) and what was never asked for is none.
fn neighbour(message: &[u8]) -> Option<Neighbour> {
    let header = Bytes(message);
    let _of_the_internet_protocol = family_of(header.u8(0)?)?;
    let state = match header.u16(8)? {
        state if state & 0x80 != 0 => GatewayState::Permanent,
        state if state & 0x02 != 0 => GatewayState::Reachable,
        state if state & 0x04 != 0 => GatewayState::Stale,
        // Incomplete, delayed, being asked.
        state if state & 0x19 != 0 => GatewayState::Probing,
        state if state & 0x20 != 0 => GatewayState::Failed,
        _ => return None,
    };
    let address = attributes(message, NEIGHBOUR_HEADER).find(1)?.address()?;
    Some(Neighbour { link: header.u32(4)?, address, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;

    fn message(header: &[u8], attributes: &[(u16, &[u8])]) -> Message {
        let attributes = attributes.iter().flat_map(|(kind, value)| attribute(*kind, value));
        Message { kind: 0, body: header.iter().copied().chain(attributes).collect() }
    }

    fn link_header(hardware: u16, index: u32, flags: u32) -> Vec<u8> {
        let mut header = vec![0, 0];
        header.extend(hardware.to_ne_bytes());
        header.extend(index.to_ne_bytes());
        header.extend(flags.to_ne_bytes());
        header.resize(LINK_HEADER, 0);
        header
    }

    fn route_header(family: u8, length: u8, origin: u8, kind: u8) -> Vec<u8> {
        vec![family, length, 0, 0, 254, origin, 0, kind, 0, 0, 0, 0]
    }

    #[test]
    fn a_link_is_told_with_its_counters_and_its_other_end() {
        let counters = (1..=8_u64).flat_map(u64::to_ne_bytes).collect::<Vec<_>>();
        let message = message(
            &link_header(1, 2, 0x1003),
            &[
                (3, b"eth0\0"),
                (1, &[2, 0xfc, 0, 0, 0, 1]),
                (4, &1500_u32.to_ne_bytes()),
                (16, &[6]),
                (23, &counters),
                (33, &[1]),
                (35, &3_u32.to_ne_bytes()),
            ],
        );
        let link = link(&message.body).unwrap().what;
        assert_eq!((link.name.raw(), link.kind, link.state), ("eth0", LinkKind::Ethernet, LinkState::Up));
        assert_eq!((link.mtu, link.carrier, link.carrier_changes), (1500, Some(true), 3));
        assert_eq!(link.hardware_address.raw(), "02:fc:00:00:00:01");
        assert_eq!((link.rx_packets, link.tx_bytes, link.rx_errors, link.tx_drops), (1, 4, 5, 8));
    }

    #[test]
    fn a_link_that_is_switched_off_does_not_tell_of_its_cable() {
        let message = message(&link_header(1, 2, 0), &[(3, b"eth0\0"), (33, &[0]), (16, &[2])]);
        let link = link(&message.body).unwrap().what;
        assert_eq!((link.enabled, link.carrier, link.state), (false, None, LinkState::Down));
    }

    #[test]
    fn links_without_hardware_are_known_by_their_driver() {
        for (hardware, driver, kind) in [
            (772, "", LinkKind::Loopback),
            (1, "veth", LinkKind::Virtual),
            (1, "bridge", LinkKind::Bridge),
            (65534, "wireguard", LinkKind::Tunnel),
            (65534, "tun", LinkKind::Tunnel),
            (519, "", LinkKind::Mobile),
            (32, "", LinkKind::Other),
        ] {
            assert_eq!(link_kind(hardware, driver), kind, "{hardware} {driver}");
        }
    }

    #[test]
    fn default_routes_are_told_apart_from_others_and_the_kernels_own() {
        let via = [192, 168, 1, 1];
        let gateway: &[(u16, &[u8])] = &[(5, &via), (4, &2_u32.to_ne_bytes()), (6, &100_u32.to_ne_bytes())];
        let mut cloned = route_header(AF_INET6, 0, 2, RTN_UNICAST);
        cloned[9] = 2;
        let routes = routes(&[
            message(&route_header(AF_INET, 0, 16, RTN_UNICAST), gateway),
            message(&route_header(AF_INET, 24, 2, RTN_UNICAST), &[]),
            message(&route_header(AF_INET6, 64, 2, RTN_UNICAST), &[]),
            message(&route_header(AF_INET, 0, 2, 7), gateway),
            message(&route_header(AF_INET6, 128, 2, RTN_UNICAST), &[(15, &255_u32.to_ne_bytes())]),
            message(&cloned, gateway),
            message(&[], &[]),
        ]);
        assert_eq!((routes.others_v4, routes.others_v6), (1, 1));
        let way = DefaultWay {
            family: Family::V4,
            link: 2,
            gateway: Some(via.into()),
            metric: 100,
            table: 254,
            origin: RouteOrigin::Dhcp,
        };
        assert_eq!(routes.default, [way]);
    }

    #[test]
    fn a_default_route_with_two_ways_is_two() {
        let hop = |link: u32, gateway: [u8; 4]| {
            let gateway = attribute(5, &gateway);
            let length = u16::try_from(NEXT_HOP_HEADER + gateway.len()).unwrap();
            [length.to_ne_bytes().to_vec(), vec![0, 0], link.to_ne_bytes().to_vec(), gateway].concat()
        };
        let hops = [hop(2, [10, 0, 0, 1]), hop(3, [10, 0, 1, 1]), vec![0, 0, 0]].concat();
        let routes = routes(&[message(&route_header(AF_INET, 0, 3, RTN_UNICAST), &[(9, &hops)])]);
        let ways = routes.default.iter().map(|way| (way.link, way.gateway)).collect::<Vec<_>>();
        assert_eq!(ways, [(2, Some([10, 0, 0, 1].into())), (3, Some([10, 0, 1, 1].into()))]);
    }

    #[test]
    fn a_gateway_that_does_not_answer_is_told_as_failed() {
        let neighbour_message = |state: u16, address: &[u8]| {
            let mut header = vec![AF_INET, 0, 0, 0];
            header.extend(2_u32.to_ne_bytes());
            header.extend(state.to_ne_bytes());
            header.extend([0, 0]);
            message(&header, &[(1, address)])
        };
        let messages = [
            neighbour_message(0x20, &[192, 168, 1, 1]),
            neighbour_message(0x02, &[192, 168, 1, 7]),
            neighbour_message(0x40, &[224, 0, 0, 1]),
            neighbour_message(0x02, &[1, 2, 3]),
        ];
        let way = |gateway: [u8; 4]| DefaultWay {
            family: Family::V4,
            link: 2,
            gateway: Some(gateway.into()),
            metric: 0,
            table: 254,
            origin: RouteOrigin::Boot,
        };
        let tables = Tables { neighbours: parsed(&messages, neighbour), ..Tables::default() };
        assert_eq!(tables.gateway_state(&way([192, 168, 1, 1])), GatewayState::Failed);
        assert_eq!(tables.gateway_state(&way([192, 168, 1, 2])), GatewayState::Unknown);
        assert_eq!(tables.neighbour_counts(), Neighbours { reachable: 1, failed: 1, ..Neighbours::default() });
    }

    #[test]
    fn an_address_tells_how_long_it_is_lent_and_whether_another_machine_has_it() {
        let names = BTreeMap::from([(2, Label::cut("eth0"))]);
        let mut header = vec![AF_INET, 24, 0, 0];
        header.extend(2_u32.to_ne_bytes());
        let times = [3600_u32, 7200, 0, 0].map(u32::to_ne_bytes).concat();
        let told = message(&header, &[(1, &[10, 0, 0, 1]), (2, &[10, 0, 0, 2]), (8, &[0x08, 0, 0, 0]), (6, &times)]);
        let address = address(&told.body, &names).unwrap();
        assert_eq!(address.address.raw(), "10.0.0.2/24");
        assert_eq!((address.state, address.leased, address.valid_secs), (AddressState::Duplicate, true, Some(7200)));
        assert_eq!(super::address(&told.body, &BTreeMap::new()), None);
    }
}
