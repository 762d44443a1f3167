//! Network interfaces from `/proc/net/dev` (proc_net_dev(5)) and `/sys/class/net/*/operstate` (RFC 2863).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{
    diagnostics::{MAX_ROWS, Network},
    text::Label,
    time::Moment,
};

use crate::{
    gaps::Gaps,
    rates::{per_second, per_second_u32},
    text::{KernelFile, fields, first_line, lines, number},
};

/// How old the state of a link may be.
const LINKS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Networks {
    dev: KernelFile,
    class: PathBuf,
    before: BTreeMap<String, Interface>,
    links_read: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    counters: Counters,
    up: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    rx_bytes: u64,
    tx_bytes: u64,
    rx_packets: u64,
    tx_packets: u64,
    errors: u64,
    drops: u64,
}

impl Networks {
    pub(crate) fn new(proc: &Path, sys: &Path) -> Self {
        Self {
            dev: KernelFile::new(proc.join("net/dev")),
            class: sys.join("class/net"),
            before: BTreeMap::new(),
            links_read: Moment::default(),
        }
    }

    /// Every interface but loopback that is up or ever carried anything.
    pub(crate) fn read(
        &mut self,
        interval: Duration,
        now: Moment,
        buffer: &mut Vec<u8>,
        gaps: &mut Gaps,
    ) -> Vec<Network> {
        let text = match self.dev.read(buffer) {
            Ok(text) => text,
            Err(error) => {
                gaps.note_error("networks", &error);
                return Vec::new();
            }
        };
        let read_links = now - self.links_read >= LINKS_EVERY;
        if read_links {
            self.links_read = now;
        }
        let mut seen = BTreeMap::new();
        let mut networks = Vec::new();
        let class = &self.class;
        for (name, counters) in lines(text).filter_map(parse).filter(|(name, _)| *name != "lo") {
            let before = self.before.get(name).copied();
            let up = match before {
                Some(before) if !read_links => before.up,
                Some(_) | None => is_up(class, name, counters),
            };
            if up || counters.rx_bytes > 0 || counters.tx_bytes > 0 {
                let base = before.map_or(counters, |before| before.counters);
                networks.push(counters.since(&base, name, up, interval));
            }
            seen.insert(name.to_owned(), Interface { counters, up });
        }
        self.before = seen;
        gaps.bound("networks", &mut networks, MAX_ROWS);
        networks
    }
}

/// Tunnels and the like are always in the state `unknown`.
fn is_up(class: &Path, name: &str, counters: Counters) -> bool {
    match first_line(&class.join(name).join("operstate")).as_deref() {
        Some("up") => true,
        Some("unknown") | None => counters.rx_bytes > 0 || counters.tx_bytes > 0,
        Some(_) => false,
    }
}

impl Counters {
    fn since(&self, before: &Self, name: &str, up: bool, interval: Duration) -> Network {
        let grown = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before));
        Network {
            name: Label::cut(name),
            up,
            rx_bytes_s: per_second(grown(|counters| counters.rx_bytes), interval),
            tx_bytes_s: per_second(grown(|counters| counters.tx_bytes), interval),
            errors: self.errors,
            drops: self.drops,
            rx_packets_s: per_second_u32(grown(|counters| counters.rx_packets), interval),
            tx_packets_s: per_second_u32(grown(|counters| counters.tx_packets), interval),
            errors_s: per_second_u32(grown(|counters| counters.errors), interval),
            drops_s: per_second_u32(grown(|counters| counters.drops), interval),
        }
    }
}

/// Name and counters of one line; `None` for the two lines of headings.
fn parse(line: &[u8]) -> Option<(&str, Counters)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, figures) = line.split_at(colon);
    let name = std::str::from_utf8(name.trim_ascii()).ok().filter(|name| !name.is_empty() && !name.contains('/'))?;
    let mut figures = fields(figures.get(1..)?).map(number);
    let mut next = || figures.next().flatten();
    let (rx_bytes, rx_packets, rx_errors, rx_drops) = (next()?, next()?, next()?, next()?);
    let _fifo_frame_compressed_multicast = [(); 4].map(|()| next());
    let (tx_bytes, tx_packets, tx_errors, tx_drops) = (next()?, next()?, next()?, next()?);
    let counters = Counters {
        rx_bytes,
        tx_bytes,
        rx_packets,
        tx_packets,
        errors: rx_errors.saturating_add(tx_errors),
        drops: rx_drops.saturating_add(tx_drops),
    };
    Some((name, counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_drops_of_both_directions_are_added() {
        let line = b"  eth0:121042580 4664 1 2 3 4 0 0 322545 2790 10 20 0 0 0 0";
        let counters = Counters {
            rx_bytes: 121_042_580,
            tx_bytes: 322_545,
            rx_packets: 4664,
            tx_packets: 2790,
            errors: 11,
            drops: 22,
        };
        assert_eq!(parse(line), Some(("eth0", counters)));
    }

    #[test]
    fn headings_and_torn_lines_are_left_out() {
        for line in
            ["Inter-|   Receive", " face |bytes    packets", "eth0: 1 2 3", ": 1 2 3", "../up: 1 2 3 4 5 6 7 8 9 0 1 2"]
        {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn an_interface_that_was_replaced_gives_no_huge_rate() {
        let old = Counters {
            rx_bytes: 4_294_967_295,
            tx_bytes: 9_000_000,
            rx_packets: 90_000,
            drops: 7,
            ..Counters::default()
        };
        let new = Counters { rx_bytes: 100, ..Counters::default() };
        let network = new.since(&old, "usb0", true, Duration::from_secs(1));
        assert_eq!((network.rx_bytes_s, network.tx_bytes_s, network.rx_packets_s, network.drops_s), (0, 0, 0, 0));
    }
}
