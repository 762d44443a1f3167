//! Reads [`Network`].

use std::{io, path::Path};

use wire::diagnostics::sections::network::{
    Link, LinkKind, MAX_ADDRESSES, MAX_DEFAULT_ROUTES, MAX_LINKS, MAX_PROXIES, MAX_WIRELESS, Network, Wireless,
};

use super::{links::Tables, manager, proxies, resolver, wireless};
use crate::{
    manifest::Manifest,
    roots::Roots,
    sources::Sources,
    text::{first_line, number},
};

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Network> {
    let tables = manifest.keep("rtnetlink", Tables::read()).unwrap_or_default();
    for list in &tables.incomplete {
        manifest.partial("rtnetlink", &format!("there are more {list} than are read, or they changed meanwhile"));
    }
    let mut network = Network {
        default_routes: tables.default_routes(),
        other_routes_v4: tables.routes.others_v4,
        other_routes_v6: tables.routes.others_v6,
        neighbours: tables.neighbour_counts(),
        resolver: resolver::read(sources, &tables, manifest),
        manager: manager::read(sources, manifest),
        proxies: [proxies::read(&sources.roots, manifest), manager::read_proxies(sources, manifest)].concat(),
        wireless: read_wireless(&sources.roots, manifest),
        links: tables.links.into_iter().map(|link| with_hardware(link.what, &sources.roots.sys)).collect(),
        addresses: tables.addresses,
    };
    manifest.bound("links", &mut network.links, MAX_LINKS);
    manifest.bound("addresses", &mut network.addresses, MAX_ADDRESSES);
    manifest.bound("default routes", &mut network.default_routes, MAX_DEFAULT_ROUTES);
    manifest.bound("proxies", &mut network.proxies, MAX_PROXIES);
    manifest.bound("wireless links", &mut network.wireless, MAX_WIRELESS);
    Some(network)
}

/// Adds what only sysfs tells (the kernel's `Documentation/ABI/testing/sysfs-class-net`).
fn with_hardware(link: Link, sys: &Path) -> Link {
    let name = link.name.raw();
    if name.contains('/') {
        return link;
    }
    let told = |file: &str| first_line(&sys.join("class/net").join(name).join(file));
    let may_be = matches!(link.kind, LinkKind::Ethernet | LinkKind::Other);
    let kind = if may_be && wireless::is_wireless(sys, name) { LinkKind::Wireless } else { link.kind };
    // A link without a carrier has the speed -1, or all ones.
    let speed = told("speed").and_then(|speed| number(speed.as_bytes())).and_then(|speed| u32::try_from(speed).ok());
    let duplex = told("duplex").and_then(|duplex| match duplex.as_str() {
        "full" => Some(true),
        "half" => Some(false),
        _ => None,
    });
    Link { kind, speed_mbit_s: speed.filter(|speed| *speed < u32::MAX), full_duplex: duplex, ..link }
}

fn read_wireless(roots: &Roots, manifest: &mut Manifest) -> Vec<Wireless> {
    let links = match wireless::read() {
        Ok(links) => {
            manifest.read("nl80211");
            links
        }
        // A kernel without wireless.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            manifest.failed("nl80211", &error);
            Vec::new()
        }
    };
    if links.is_empty() { wireless::read_extensions(&roots.proc).unwrap_or_default() } else { links }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wire::diagnostics::sections::network::{Connectivity, ManagerState, ProxySource, ServerSource};
    use zbus::{OwnedObjectPath, OwnedVariant, Variant};

    use super::*;
    use crate::{
        bus::Bus,
        lab::Lab,
        testing::{FakeService, TestBus, TestMachine},
    };

    fn owned<'v>(value: impl Into<Variant<'v>>) -> OwnedVariant {
        value.into().try_to_owned().unwrap()
    }

    #[test]
    fn fakes_of_networkmanager_and_resolved_tell_of_portals_and_servers() {
        let (manager, path) = ("org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager");
        let mut bus = TestBus::start();
        let fake = FakeService::named(manager).property(path, manager, "State", 60_u32);
        let fake = fake.property(path, manager, "Connectivity", 2_u32).property(path, manager, "Metered", 3_u32);
        let fake = fake.property(path, manager, "PrimaryConnectionType", "802-11-wireless");
        let at = |place: &str| OwnedObjectPath::try_from(format!("{path}/{place}")).unwrap();
        let fake =
            fake.property(path, manager, "ActiveConnections", vec![at("Active/1"), at("Active/2"), at("Active/3")]);
        let active = "org.freedesktop.NetworkManager.Connection.Active";
        let fake = fake.property(at("Active/1").as_str(), active, "Connection", at("Settings/1"));
        let fake = fake.property(at("Active/2").as_str(), active, "Connection", at("Settings/2"));
        let group = |method: i32, url: &str| {
            let proxy = [("method".to_owned(), owned(method)), ("pac-url".to_owned(), owned(url))];
            let other = [("id".to_owned(), owned("Ana's home"))];
            BTreeMap::from([
                ("proxy".to_owned(), BTreeMap::from(proxy)),
                ("connection".to_owned(), BTreeMap::from(other)),
            ])
        };
        let settings = "org.freedesktop.NetworkManager.Settings.Connection";
        let fake = fake.method(at("Settings/1").as_str(), settings, "GetSettings", group(0, "http://off.corp/"));
        let on = group(1, "http://ana:hunter2@pac.corp:8080/wpad.dat");
        bus.serve(fake.method(at("Settings/2").as_str(), settings, "GetSettings", on));
        let (resolve, path) = ("org.freedesktop.resolve1.Manager", "/org/freedesktop/resolve1");
        let listed = |address: [u8; 4]| (0_i32, 2_i32, address.to_vec());
        let fake = FakeService::named("org.freedesktop.resolve1").property(path, resolve, "DNSSEC", "allow-downgrade");
        let fake = fake.property(path, resolve, "DNS", vec![listed([9, 9, 9, 9]), listed([10, 0, 0, 1])]);
        bus.serve(fake.property(path, resolve, "CurrentDNSServer", listed([10, 0, 0, 1])));
        let machine = TestMachine::new(&[("etc/resolv.conf", "nameserver 127.0.0.53\nsearch corp.example\n")]);
        let sources = Sources { bus: Bus::at(&bus.socket()), ..machine.sources() };

        let network = read(&sources, &mut Manifest::default()).unwrap();
        let manager = network.manager.unwrap();
        assert_eq!((manager.state, manager.connectivity), (ManagerState::SiteOnly, Connectivity::Portal));
        assert!(manager.metered && !manager.wireless_enabled);
        assert_eq!(manager.primary_kind.raw(), "802-11-wireless");
        let servers = network.resolver.servers.iter();
        let servers = servers.map(|s| (s.address.raw(), s.source, s.local, s.current)).collect::<Vec<_>>();
        let stub = ("127.0.0.53", ServerSource::ResolvConf, true, false);
        let other = ("9.9.9.9", ServerSource::Resolved, false, false);
        assert_eq!(servers, [stub, other, ("10.0.0.1", ServerSource::Resolved, false, true)]);
        assert_eq!(network.resolver.dnssec.raw(), "allow-downgrade");
        let [proxy] = network.proxies.as_slice() else { panic!("{:?}", network.proxies) };
        assert_eq!((proxy.source, proxy.purpose.raw()), (ProxySource::NetworkManager, "automatic"));
        assert_eq!((proxy.host.raw(), proxy.port, proxy.has_credentials), ("pac.corp", 8080, true));
    }

    #[test]
    fn a_machine_of_the_lab_tells_its_links_addresses_and_routes() {
        let Some(lab) = Lab::start(&["pc", "router"]) else { return };
        lab.cable(("pc", "10.0.1.2/24"), ("router", "10.0.1.1/24"));
        lab.ip("pc", "route add default via 10.0.1.1 metric 50");
        lab.ip("router", "link set pc down");
        let machine = TestMachine::new(&[("sys/class/net/router/speed", "10000\n")]);
        let network = lab.at("pc", || read(&machine.sources(), &mut Manifest::default())).unwrap();
        let link = network.links.iter().find(|link| link.name.raw() == "router").unwrap();
        assert_eq!((link.kind, link.driver.raw(), link.carrier), (LinkKind::Virtual, "veth", Some(false)));
        assert_eq!(link.speed_mbit_s, Some(10_000));
        assert!(network.addresses.iter().any(|address| address.address.raw() == "10.0.1.2/24" && !address.leased));
        let route = &network.default_routes[0];
        assert_eq!((route.gateway.raw(), route.metric, route.table), ("10.0.1.1", 50, 254));
        assert_eq!(network.default_routes.len(), 1);
    }
}
