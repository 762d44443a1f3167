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
        proxies: proxies::read(&sources.roots, manifest),
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
