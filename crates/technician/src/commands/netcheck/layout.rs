//! A [`Report`] for a person.

use super::report::{Report, Side, Tcp, Udp};

/// Width of what stands before the values.
const NAMES: usize = 18;

/// The whole text.
pub(super) fn text(report: &Report) -> String {
    let mut lines = Lines(format!("{}\n\n", report.verdict));
    lines.put("relay", &format!("{} port {}", report.relay.host, report.relay.port));
    let found = match &report.name.error {
        None => format!("{} (in {})", report.name.addresses.join(", "), milliseconds(report.name.took_ms)),
        Some(error) => error.clone(),
    };
    lines.put("name", &found);
    lines.side("IPv4", &report.ipv4);
    lines.side("IPv6", &report.ipv6);
    if let Some(proxy) = &report.proxy {
        lines.put("proxy", &format!("{}: {}", proxy.address, tcp(&proxy.tcp)));
    }
    let mapping = &report.port_mapping;
    lines.put(
        "port mapping",
        &match (mapping.asked, mapping.found.as_slice()) {
            (false, _) => "not asked for: the relay is on this machine".to_owned(),
            (true, []) => "none: the router answers neither PCP nor NAT-PMP nor UPnP".to_owned(),
            (true, found) => found.iter().map(one_mapping).collect::<Vec<_>>().join(", "),
        },
    );
    lines.put("direct path", &format!("{}: {}", report.direct.likelihood, report.direct.why));
    if !report.advice.is_empty() {
        lines.0.push_str("\nWhat to do:\n");
        report.advice.iter().for_each(|advice| lines.0.push_str(&format!("  - {advice}\n")));
    }
    lines.0
}

struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!("{name:<NAMES$}{value}\n"));
    }

    fn side(&mut self, name: &str, side: &Side) {
        let own = if side.own_addresses.is_empty() { "none".to_owned() } else { side.own_addresses.join(", ") };
        let Some(by_udp) = &side.udp else {
            return self.put(name, &format!("the relay has no such address; this machine: {own}"));
        };
        self.put(name, &format!("this machine: {own}"));
        self.put("  UDP", &udp(by_udp));
        if let Some(by_tcp) = &side.tcp {
            self.put("  TCP", &tcp(by_tcp));
        }
        if !by_udp.reached {
            return;
        }
        self.put("  seen as", side.seen_as.as_deref().unwrap_or("unknown"));
        let nat = match (side.nat.kind, &side.nat.unknown) {
            ("none", _) => "none".to_owned(),
            ("endpoint_independent", _) => "easy: one address outside for everybody (endpoint-independent)".to_owned(),
            ("endpoint_dependent", _) => {
                "hard: another address outside for each destination (endpoint-dependent, symmetric)".to_owned()
            }
            (_, why) => format!("unknown: {}", why.as_deref().unwrap_or("nobody says")),
        };
        self.put("  translation", &nat);
        let largest = match (side.largest_udp_payload, &side.largest_udp_payload_unknown) {
            (Some(bytes), _) => format!("{bytes} bytes of UDP payload, there and back"),
            (None, why) => format!("unknown: {}", why.as_deref().unwrap_or("nobody says")),
        };
        self.put("  largest packet", &largest);
    }
}

fn one_mapping(mapping: &super::report::Mapping) -> String {
    let protocol = match mapping.protocol {
        "pcp" => "PCP",
        "nat_pmp" => "NAT-PMP",
        _ => "UPnP",
    };
    let of_no_use = if mapping.leads_in { "" } else { ", which others cannot reach" };
    format!("{protocol} (outside: {}{of_no_use})", mapping.external)
}

fn udp(udp: &Udp) -> String {
    match (udp.handshake_ms, udp.round_trip_ms) {
        (Some(handshake), Some(round_trip)) => {
            format!("reached in {}, round trip {}", milliseconds(handshake), milliseconds(round_trip))
        }
        _ => format!("not reached: {}", udp.error.as_deref().unwrap_or("nobody says why")),
    }
}

fn tcp(tcp: &Tcp) -> String {
    let Some(handshake) = tcp.handshake_ms else {
        return format!("not reached: {}", tcp.error.as_deref().unwrap_or("nobody says why"));
    };
    let certificate = match tcp.certificate {
        Some("pinned") => "with the relay's own key: nobody looks into TLS",
        _ => "with a certificate that this system trusts: the relay's, or of somebody who looks into TLS",
    };
    format!("reached in {}, {certificate}", milliseconds(handshake))
}

fn milliseconds(time: f64) -> String {
    if time < 10.0 { format!("{time:.1} ms") } else { format!("{time:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::{super::report::tests, *};

    #[test]
    fn a_person_reads_the_verdict_first_and_then_what_stands_behind_it() {
        insta::assert_snapshot!(text(&tests::at_home()));
    }

    #[test]
    fn who_is_behind_a_proxy_reads_what_to_ask_for() {
        insta::assert_snapshot!(text(&tests::behind_a_proxy()));
    }

    #[test]
    fn who_gets_nowhere_reads_why_and_what_others_said_acts_on_no_screen() {
        let text = text(&tests::cut_off());
        assert!(!text.chars().any(|character| character != '\n' && character.is_control()), "{text:?}");
        insta::assert_snapshot!(text);
    }
}
