//! Whether packets are filtered: what nftables and the old iptables have loaded, and what ufw is set to.

use std::{io, time::Duration};

use rustix::net::netlink;
use wire::{diagnostics::sections::security::Firewall, text::Label};

use crate::{
    manifest::Manifest,
    netlink::{Bytes, Message, Netlink, attributes},
    roots::Roots,
    text::{fields, lines, read_file},
};

/// Longest that one list is waited for.
const LIST_DEADLINE: Duration = Duration::from_secs(2);

/// `struct nfgenmsg`: family (0 for all), version, and the number of a resource.
const HEADER: usize = 4;

// `linux/netfilter/nf_tables.h`; the subsystem is the upper byte.
const NFTABLES: u16 = 10 << 8;
const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
/// `NF_INET_LOCAL_IN`.
const LOCAL_IN: u32 = 1;
/// `NF_DROP`.
const DROP: u32 = 0;

/// Most tables of the old iptables: there are five.
const MAX_TABLES: usize = 8;

/// Asks the kernel and reads the settings.
pub(super) fn read(roots: &Roots, manifest: &mut Manifest) -> Firewall {
    let mut firewall = Firewall::default();
    match Chains::read() {
        Ok(chains) => {
            manifest.read("nftables");
            firewall.nftables_tables = Some(chains.tables);
            firewall.nftables_input_chains = chains.input;
            firewall.nftables_input_drops = chains.input_drops;
            firewall.nftables_rules = chains.rules;
        }
        // A kernel without it has no tables.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported) => {
            firewall.nftables_tables = Some(0);
        }
        Err(error) => manifest.failed("nftables", &error),
    }
    firewall.iptables_tables = iptables(roots, manifest);
    let mut buffer = Vec::new();
    if let Ok(text) = read_file(&roots.etc.join("ufw/ufw.conf"), &mut buffer) {
        manifest.read("/etc/ufw/ufw.conf");
        firewall.ufw_enabled = Some(ufw_enabled(text));
    }
    firewall
}

fn iptables(roots: &Roots, manifest: &mut Manifest) -> Option<Vec<Label>> {
    let mut tables = Vec::new();
    let mut buffer = Vec::new();
    for file in ["net/ip_tables_names", "net/ip6_tables_names"] {
        match read_file(&roots.proc.join(file), &mut buffer) {
            Ok(text) => {
                let names = lines(text).map(|name| Label::cut(&String::from_utf8_lossy(name)));
                tables.extend(names.filter(|name| !tables.contains(name)).collect::<Vec<_>>());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                manifest.failed("ip_tables_names", &error);
                return None;
            }
        }
    }
    manifest.read("ip_tables_names");
    tables.truncate(MAX_TABLES);
    Some(tables)
}

/// `ENABLED=yes` (ufw.conf).
fn ufw_enabled(text: &[u8]) -> bool {
    let enabled = lines(text).filter_map(|line| line.trim_ascii().strip_prefix(b"ENABLED=")).last();
    enabled.and_then(|value| fields(value).next()).is_some_and(|value| value.eq_ignore_ascii_case(b"yes"))
}

/// What nftables has loaded.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chains {
    tables: u32,
    input: u32,
    input_drops: u32,
    rules: u32,
}

impl Chains {
    fn read() -> io::Result<Self> {
        let mut netlink = Netlink::open(Some(netlink::NETFILTER), LIST_DEADLINE)?;
        let mut list = |what| io::Result::Ok(netlink.dump(NFTABLES | what, &[0; HEADER])?.messages);
        let (tables, rules) = (count(&list(GET_TABLE)?), count(&list(GET_RULE)?));
        let mut chains = Self { tables, rules, ..Self::default() };
        list(GET_CHAIN)?.iter().for_each(|message| chains.add(&message.body));
        Ok(chains)
    }

    /// Counts a chain if it sees packets to this machine. Numbers are in the order of the network.
    fn add(&mut self, message: &[u8]) {
        let told = attributes(message, HEADER);
        let number = |bytes: Bytes<'_>| bytes.array(0).map(u32::from_be_bytes);
        let hook = told.find(CHAIN_HOOK).and_then(|hook| attributes(hook.0, 0).find(HOOK_NUMBER));
        // Hooks of interfaces are counted from the same numbers; their chains are of no family of the internet.
        let of_the_internet = matches!(message.first(), Some(1 | 2 | 10));
        let filters = told.find(CHAIN_TYPE).and_then(Bytes::text) == Some("filter");
        if hook.and_then(number) != Some(LOCAL_IN) || !of_the_internet || !filters {
            return;
        }
        self.input += 1;
        if told.find(CHAIN_POLICY).and_then(number) == Some(DROP) {
            self.input_drops += 1;
        }
    }
}

fn count(messages: &[Message]) -> u32 {
    u32::try_from(messages.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{lab::Lab, netlink::attribute};

    #[test]
    fn the_kernel_tells_which_chains_see_packets_and_what_they_drop() {
        let Some(lab) = Lab::start(&["here"]) else { return };
        let rules = "table inet f {\n chain in { type filter hook input priority 0; policy drop; meta l4proto tcp accept; }\n \
            chain out { type filter hook output priority 0; }\n}\ntable ip n {\n \
            chain in { type nat hook input priority 100; }\n}\n";
        lab.run("here", &["nft", rules]);
        let chains = lab.at("here", Chains::read).unwrap();
        assert_eq!(chains, Chains { tables: 2, input: 1, input_drops: 1, rules: 1 });
    }

    #[test]
    fn a_chain_of_an_interface_sees_no_packets_to_this_machine() {
        let hook = attribute(CHAIN_HOOK | 0x8000, &attribute(HOOK_NUMBER, &LOCAL_IN.to_be_bytes()));
        let body = [hook, attribute(CHAIN_TYPE, b"filter\0"), attribute(CHAIN_POLICY, &DROP.to_be_bytes())].concat();
        let mut chains = Chains::default();
        chains.add(&[vec![5, 0, 0, 0], body.clone()].concat());
        assert_eq!(chains, Chains::default());
        chains.add(&[vec![2, 0, 0, 0], body].concat());
        assert_eq!((chains.input, chains.input_drops), (1, 1));
        chains.add(&[]);
    }

    #[test]
    fn ufw_is_on_only_if_its_settings_say_so() {
        assert!(ufw_enabled(b"# ENABLED=no\nENABLED=yes\nLOGLEVEL=low\n"));
        assert!(!ufw_enabled(b"ENABLED=no\n"));
        assert!(!ufw_enabled(b"ENABLED=\n"));
    }
}
