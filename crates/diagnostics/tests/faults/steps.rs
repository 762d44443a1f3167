//! Figures that go back: counters that begin anew, and clocks that are set.

use std::net::UdpSocket;

use diagnostics::{IDLE_PERIOD, Monitor, Roots};
use wire::{diagnostics::inspect::HistoryQuery, text::Label, time::WallTime};

use crate::{
    Watched, at,
    isolated::{isolated, scratch, succeed},
};

/// A link that takes everything for `10.0.0.2` and tells nobody.
fn link() {
    for line in [
        "link add stick type veth peer name other",
        "link set other up",
        "link set stick up",
        "addr add 10.0.0.1/24 dev stick",
        "neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev stick",
    ] {
        succeed("ip", &line.split(' ').collect::<Vec<_>>());
    }
}

fn send(packets: u32) {
    let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
    for _ in 0..packets {
        socket.send_to(&[0; 1000], "10.0.0.2:9").unwrap();
    }
}

#[test]
fn a_network_card_that_was_pulled_and_put_back_has_no_huge_rates() {
    isolated(|| {
        link();
        let mut watched = Watched::begin();
        send(500);
        let rates = |watched: &mut Watched| {
            let sample = watched.after(1000);
            sample.networks.iter().find(|row| row.name.raw() == "stick").map(|row| (row.tx_bytes_s, row.tx_packets_s))
        };
        let (bytes, packets) = rates(&mut watched).unwrap();
        assert!(bytes > 400_000 && packets > 400, "{bytes} bytes in {packets} packets");
        succeed("ip", &["link", "del", "stick"]);
        link();
        send(10);
        assert_eq!(rates(&mut watched), Some((0, 0)), "its counters began anew");
        send(20);
        let (bytes, packets) = rates(&mut watched).unwrap();
        assert!((20_000..200_000).contains(&bytes) && (20..200).contains(&packets), "{bytes} bytes, {packets} packets");
    });
}

/// The clock of the machine itself is left alone: what the wall clock says is an argument of the monitor.
#[test]
fn a_wall_clock_that_is_set_loses_nothing_that_was_measured() {
    isolated(|| {
        const HOUR_MS: u64 = 3_600_000;
        const BEGIN_MS: u64 = 500_000 * HOUR_MS;
        let mut monitor = Monitor::new(Roots::default(), at(0));
        monitor.keep_in(&scratch("kept").join("history"), IDLE_PERIOD).unwrap();
        let mut secs = 0;
        let mut goes_on = |clock_ms: u64| {
            let begin = clock_ms + secs * 1000;
            for _ in 0..72 {
                secs += 5;
                monitor.tick(at(secs * 1000), WallTime(clock_ms + secs * 1000));
            }
            let asked = HistoryQuery {
                from: WallTime(begin),
                to: WallTime(clock_ms + secs * 1000),
                step_secs: 60,
                figures: vec![Label::cut("memory.available")],
            };
            let series = monitor.history(&asked);
            let known = series.first().map_or(0, |series| series.values.iter().flatten().count());
            (known, monitor.kept().unwrap())
        };
        assert_eq!(goes_on(BEGIN_MS).0, 6);
        let (known, status) = goes_on(BEGIN_MS - 2 * HOUR_MS);
        assert_eq!((known, status.clock_set_back), (6, 1), "two hours back");
        let (known, status) = goes_on(BEGIN_MS + 48 * HOUR_MS);
        assert_eq!((known, status.clock_set_back, status.blocks_lost), (6, 1, 0), "two days ahead");
    });
}
