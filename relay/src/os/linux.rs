//! What only Linux tells.

use std::fs;

/// Packets that the kernel dropped because the sockets of this UDP port were full. `None`: it does not say.
///
/// proc(5), `/proc/net/udp`: the second column is address and port in hexadecimal, the last one the drops.
pub(crate) fn udp_drops(port: u16) -> Option<u64> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(fs::read_to_string);
    tables.iter().flatten().filter_map(|table| drops_in(table, port)).reduce(|sum, drops| sum + drops)
}

fn drops_in(table: &str, port: u16) -> Option<u64> {
    let of_port = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace();
        let (_, local) = columns.nth(1)?.rsplit_once(':')?;
        let drops = columns.next_back()?.parse::<u64>().ok()?;
        (u16::from_str_radix(local, 16) == Ok(port)).then_some(drops)
    });
    of_port.reduce(|sum, drops| sum + drops)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  \
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
10145: 0100007F:BB42 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2232790 2 0000000000000000 7
10145: 0100007F:BB42 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 2232791 2 0000000000000000 35
  200: 00000000000000000000000000000000:BB43 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 9
";

    #[test]
    fn the_drops_of_all_sockets_of_a_port_are_added_up() {
        assert_eq!(drops_in(TABLE, 0xbb42), Some(42));
        assert_eq!(drops_in(TABLE, 0xbb43), Some(9));
        assert_eq!(drops_in(TABLE, 1), None);
        assert_eq!(drops_in("what is this\n1: 2\n", 1), None);
    }

    #[test]
    fn packets_that_nobody_reads_are_dropped_and_counted_by_the_kernel() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(udp_drops(address.port()), Some(0));
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..20_000 {
            sender.send_to(&[0; 1000], address).unwrap();
        }
        assert!(udp_drops(address.port()).unwrap() > 0);
    }
}
