//! What all connections together do, from `/proc/net/snmp` and `/proc/net/netstat` (RFC 4022, RFC 4113; the kernel's
//! `Documentation/networking/snmp_counter.rst`). Both count IPv4 and IPv6 together for TCP, and IPv4 alone for UDP.

use std::{path::Path, time::Duration};

use wire::diagnostics::Traffic;

use crate::{
    gaps::Gaps,
    rates::per_second_u32,
    text::{KernelFile, fields, lines, number},
};

#[derive(Debug)]
pub(crate) struct TrafficFiles {
    snmp: KernelFile,
    netstat: KernelFile,
    before: Option<Counters>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    sent: u64,
    resent: u64,
    refused: u64,
    udp_errors: u64,
}

impl TrafficFiles {
    pub(crate) fn new(proc: &Path) -> Self {
        let of = |name: &str| KernelFile::new(proc.join("net").join(name));
        Self { snmp: of("snmp"), netstat: of("netstat"), before: None }
    }

    pub(crate) fn read(&mut self, interval: Duration, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Traffic {
        let mut now = Counters::default();
        let established = match self.snmp.read(buffer) {
            Ok(text) => {
                let tcp = counters(text, b"Tcp:", ["CurrEstab", "OutSegs", "RetransSegs"]);
                let udp = counters(text, b"Udp:", ["InErrors", "SndbufErrors"]);
                now.udp_errors = udp.into_iter().fold(0, u64::saturating_add);
                [_, now.sent, now.resent] = tcp;
                tcp[0]
            }
            Err(error) => {
                gaps.note_error("connections", &error);
                self.before = None;
                return Traffic::default();
            }
        };
        match self.netstat.read(buffer) {
            Ok(text) => [now.refused] = counters(text, b"TcpExt:", ["ListenDrops"]),
            Err(error) => gaps.note_error("refused connections", &error),
        }
        let before = self.before.replace(now).unwrap_or(now);
        let rate = |of: fn(&Counters) -> u64| per_second_u32(of(&now).saturating_sub(of(&before)), interval);
        Traffic {
            tcp_established: u32::try_from(established).unwrap_or(u32::MAX),
            tcp_sent_s: rate(|counters| counters.sent),
            tcp_resent_s: rate(|counters| counters.resent),
            tcp_refused_s: rate(|counters| counters.refused),
            udp_errors_s: rate(|counters| counters.udp_errors),
        }
    }
}

/// The counters of one protocol: a line of names, and the line of their values after it. 0 where there is none.
fn counters<const N: usize>(text: &[u8], protocol: &[u8], names: [&str; N]) -> [u64; N] {
    let mut rows = lines(text).filter_map(|line| {
        let mut row = fields(line);
        (row.next()? == protocol).then_some(row)
    });
    let mut found = [0; N];
    let (Some(heading), Some(values)) = (rows.next(), rows.next()) else { return found };
    for (name, value) in heading.zip(values) {
        if let Some(place) = names.iter().position(|wanted| wanted.as_bytes() == name) {
            found[place] = number(value).unwrap_or(0);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"Tcp: RtoAlgorithm MaxConn CurrEstab InSegs OutSegs RetransSegs\n\
        Tcp: 1 -1 7 900 1000 20\nUdp: InDatagrams InErrors SndbufErrors\nUdp: 5 6 7\nUdpLite: InErrors\nUdpLite: 9\n";

    #[test]
    fn counters_are_found_by_the_names_above_them() {
        assert_eq!(counters(TEXT, b"Tcp:", ["OutSegs", "CurrEstab", "MaxConn", "Gone"]), [1000, 7, 0, 0]);
        assert_eq!(counters(TEXT, b"Udp:", ["InErrors", "SndbufErrors"]), [6, 7]);
    }

    #[test]
    fn a_torn_or_hostile_table_has_no_counters() {
        for text in
            [&b""[..], b"Tcp:", b"Tcp: OutSegs\n", b"Tcp: OutSegs\nTcp:\n", b"Tcp: OutSegs\nUdp: 7\n", b"\0\xff\n"]
        {
            assert_eq!(counters(text, b"Tcp:", ["OutSegs"]), [0]);
        }
        assert_eq!(counters(b"Tcp: OutSegs\nTcp: 99999999999999999999\n", b"Tcp:", ["OutSegs"]), [0]);
    }
}
