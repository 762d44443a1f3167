//! The default route, as `/proc/net/route` has it (proc_net(5)).

use std::net::Ipv4Addr;

const ROUTES: &str = "/proc/net/route";

/// The route leads to a router and is up.
const TO_A_ROUTER: u32 = 0x3;

pub(super) fn of_default_route() -> Option<Ipv4Addr> {
    default_of(&std::fs::read_to_string(ROUTES).ok()?)
}

/// The router of the default route with the lowest metric.
fn default_of(table: &str) -> Option<Ipv4Addr> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields = line.split_whitespace().collect::<Vec<_>>();
        let [_, destination, gateway, flags, _, _, metric, mask, ..] = fields.as_slice() else { return None };
        let number = |text: &str| u32::from_str_radix(text, 16).ok();
        let everywhere = number(destination)? == 0 && number(mask)? == 0;
        let leads = number(flags)? & TO_A_ROUTER == TO_A_ROUTER;
        // The kernel prints the four bytes as one number of this machine.
        let gateway = Ipv4Addr::from(number(gateway)?.to_ne_bytes());
        (everywhere && leads).then_some((metric.parse::<u32>().ok()?, gateway))
    });
    routes.min().map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_with_the_lowest_metric_counts() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                     wlan0 00000000 0101A8C0 0003 0 0 600 00000000 0 0 0\n\
                     eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0\n\
                     eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n\
                     tun0 00000000 00000000 0001 0 0 0 00000000 0 0 0\n";
        assert_eq!(default_of(table), Some(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(default_of(""), None);
        assert_eq!(default_of("Iface\nnonsense\n"), None);
    }
}
