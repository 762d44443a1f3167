//! Counters and gauges in the text format of Prometheus (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::{collections::BTreeMap, fmt::Write as _};

use broker::{Counts, Event};
use transport::listener::{ListenerCounters, pipes::PipesCounters};

use crate::{names, sleepers::SleeperCounts, slots::DropReason};

/// What has happened since the start. Kept by the actor alone.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    connected: u64,
    disconnected: u64,
    flooded: u64,
    rejoins: u64,
    allocated: u64,
    fell_asleep: u64,
    awoken: BTreeMap<&'static str, u64>,
    superseded: u64,
    turned_away: BTreeMap<&'static str, u64>,
    locators_ended: BTreeMap<&'static str, u64>,
    channels_opened: BTreeMap<&'static str, u64>,
    channels_closed: BTreeMap<&'static str, u64>,
    refused: BTreeMap<(&'static str, &'static str), u64>,
    /// Connections that were cut off because they did not read what they were sent.
    pub(crate) too_slow: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, event: &Event) {
        match event {
            Event::Connected { .. } => self.connected += 1,
            Event::Disconnected { .. } => self.disconnected += 1,
            Event::Flooded { .. } => self.flooded += 1,
            Event::RejoinWaiting { .. } => self.rejoins += 1,
            Event::LocatorAllocated { .. } => self.allocated += 1,
            Event::TurnedAway { reason } => *self.turned_away.entry(names::refusal(*reason)).or_default() += 1,
            Event::LocatorEnded { why, .. } => *self.locators_ended.entry(names::locator_end(*why)).or_default() += 1,
            Event::ChannelOpened { origin, .. } => {
                *self.channels_opened.entry(names::origin(*origin)).or_default() += 1;
            }
            Event::ChannelClosed { reason, .. } => {
                *self.channels_closed.entry(names::channel_end(*reason)).or_default() += 1;
            }
            Event::Refused { request, reason, .. } => {
                *self.refused.entry((names::request(*request), names::refusal(*reason))).or_default() += 1;
            }
            Event::FellAsleep { .. } => self.fell_asleep += 1,
            Event::Awake { wanted, .. } => {
                *self.awoken.entry(if *wanted { "wanted" } else { "itself" }).or_default() += 1;
            }
            Event::Superseded { .. } => self.superseded += 1,
            // Nothing to count, or unknown to this build.
            Event::Draining { .. } | Event::Waking { .. } | _ => {}
        }
    }
}

/// Everything that a scrape shows.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) counts: Counts,
    pub(crate) listener: ListenerCounters,
    pub(crate) pipes: PipesCounters,
    pub(crate) sleepers: SleeperCounts,
    /// In the order of [`DropReason::ALL`].
    pub(crate) dropped: [u64; DropReason::ALL.len()],
    pub(crate) shards: u64,
    /// Packets that the system dropped because the shards did not keep up, if it says.
    pub(crate) unread: Option<u64>,
    pub(crate) draining: bool,
    pub(crate) uptime_secs: u64,
}

impl Snapshot<'_> {
    pub(crate) fn text(&self) -> String {
        let Self { tally, counts, listener, pipes, .. } = self;
        let mut out = Out::default();
        out.metric("build_info", "gauge", "Version of the relay; the value is always 1.");
        out.value("build_info", &format!("{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
        out.gauge("uptime_seconds", "Seconds since the relay started, time in suspend included.", self.uptime_secs);
        out.gauge("shards", "Threads that receive and forward packets.", self.shards);
        out.gauge("draining", "1 while the relay takes nothing new, else 0.", self.draining.into());

        out.gauge("connections", "Control connections of agents and technicians.", counts.connections as u64);
        out.counter("connections_opened_total", "Control connections taken.", tally.connected);
        out.counter("connections_closed_total", "Control connections gone.", tally.disconnected);
        out.labelled(
            "connections_turned_away_total",
            "Control connections refused, by reason.",
            "reason",
            &tally.turned_away,
        );
        out.counter(
            "connections_flooded_total",
            "Connections cut off because they sent too many messages.",
            tally.flooded,
        );
        out.counter("connections_too_slow_total", "Connections cut off because they did not read.", tally.too_slow);
        out.gauge("addresses", "Addresses connected, or remembered for their limits.", counts.addresses as u64);

        out.gauge("locators", "Locators that lead to an agent.", counts.locators as u64);
        out.gauge(
            "locators_resting",
            "Used locators that are not given out again yet.",
            counts.resting_locators as u64,
        );
        out.counter("locators_allocated_total", "Locators given out.", tally.allocated);
        out.labelled(
            "locators_ended_total",
            "Locators that lead nowhere any more, by reason.",
            "reason",
            &tally.locators_ended,
        );

        out.gauge("channels", "Open channels.", counts.channels as u64);
        out.labelled("channels_opened_total", "Channels opened, by origin.", "origin", &tally.channels_opened);
        out.labelled("channels_closed_total", "Channels closed, by reason.", "reason", &tally.channels_closed);
        out.gauge("rejoins_waiting", "Sides of interrupted sessions waiting for the other.", counts.rejoins as u64);
        out.counter("rejoins_waited_total", "Sides of interrupted sessions that had to wait.", tally.rejoins);

        out.metric("requests_refused_total", "counter", "Requests refused, by request and reason.");
        for ((request, reason), count) in &tally.refused {
            out.value("requests_refused_total", &format!("{{request=\"{request}\",reason=\"{reason}\"}}"), *count);
        }

        out.counter("forwarded_packets_total", "Sealed packets forwarded.", listener.forwarded_packets);
        out.counter(
            "forwarded_bytes_total",
            "Bytes of these packets, channel headers included.",
            listener.forwarded_bytes,
        );
        let sending = [("socket_full", listener.full), ("send_failed", listener.send_failed)];
        let foreign = [("unknown_kind", listener.unknown_kind), ("stray", listener.strays_lost)];
        let unread = self.unread.map(|unread| ("unread", unread));
        let dropped = DropReason::ALL
            .map(DropReason::name)
            .into_iter()
            .zip(self.dropped)
            .chain(sending)
            .chain(foreign)
            .chain(unread)
            .collect();
        out.labelled("dropped_packets_total", "Packets dropped, by reason.", "reason", &dropped);
        out.counter(
            "unbound_told_total",
            "Senders that were told that a channel is not bound to their address.",
            listener.told_unbound,
        );
        out.counter("control_packets_total", "Packets of control connections received.", listener.control_packets);
        out.counter(
            "control_packets_unsent_total",
            "Packets of control connections that the system did not take.",
            listener.control_unsent,
        );
        out.counter(
            "orders_lost_total",
            "Messages and closes that found no room on their way to a peer.",
            listener.lost_orders,
        );
        out.counter("receive_errors_total", "Errors of the system in receiving.", listener.receive_errors);
        let handshakes = [
            ("done", listener.accepted),
            ("failed", listener.failed),
            ("retried", listener.retried),
            ("refused", listener.refused),
            ("ignored", listener.ignored),
        ];
        out.labelled("handshakes_total", "Handshakes begun, by outcome.", "outcome", &BTreeMap::from(handshakes));
        out.gauge("tcp_connections", "Agents and technicians that are connected over TCP.", pipes.open);
        out.counter("tcp_connections_opened_total", "Connections over TCP taken.", pipes.opened);
        let refused = [
            ("full", pipes.full),
            ("full_for_address", pipes.full_for_address),
            ("not_admitted", pipes.not_admitted),
            ("unfinished", pipes.unfinished),
            ("not_a_pipe", pipes.not_a_pipe),
        ];
        out.labelled(
            "tcp_connections_refused_total",
            "Connections over TCP refused, by reason.",
            "reason",
            &BTreeMap::from(refused),
        );
        let cut = [("malformed", pipes.malformed), ("stuck", pipes.stuck)];
        out.labelled(
            "tcp_connections_cut_total",
            "Connections over TCP cut off, by reason.",
            "reason",
            &BTreeMap::from(cut),
        );
        let dropped = [("queue", pipes.dropped_packets), ("gone", pipes.late_packets)];
        out.labelled(
            "tcp_dropped_packets_total",
            "Packets that were not sent over TCP: too old or too many in the queue, or the client was gone.",
            "reason",
            &BTreeMap::from(dropped),
        );
        self.sleepers(&mut out);
        out.0
    }

    fn sleepers(&self, out: &mut Out) {
        let Self { tally, counts, listener, sleepers, .. } = self;
        out.gauge("sleepers", "Agents that sleep.", sleepers.asleep as u64);
        out.gauge("sleepers_lost", "Sleeping agents that were not heard for 90 seconds.", sleepers.lost as u64);
        out.gauge("sleepers_wanted", "Sleeping agents that are being woken for somebody.", counts.waking as u64);
        out.counter("sleepers_laid_down_total", "Times that an agent went to sleep.", tally.fell_asleep);
        out.labelled(
            "sleepers_awake_total",
            "Agents that came back from sleep: because they were wanted, or by themselves.",
            "cause",
            &tally.awoken,
        );
        out.counter(
            "sleepers_recovered_total",
            "Sleeping agents that were taken in again when the relay started.",
            sleepers.recovered,
        );
        out.counter("beats_total", "Packets received in the form of sleeping agents' packets.", listener.beats);
        out.labelled(
            "beats_outcome_total",
            "These packets by what became of them.",
            "outcome",
            &sleepers.packets.iter().copied().collect(),
        );
        out.counter("beats_sent_total", "Packets sent to sleeping agents.", listener.beats_sent);
        out.counter(
            "beats_unsent_total",
            "Packets to sleeping agents that the system did not take.",
            listener.beats_unsent,
        );
        out.counter(
            "connections_superseded_total",
            "Connections closed because the same agent came by another.",
            tally.superseded,
        );
    }
}

#[derive(Default)]
struct Out(String);

impl Out {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP assent_relay_{name} {help}\n# TYPE assent_relay_{name} {kind}")
            .expect("a String takes everything");
    }

    fn value(&mut self, name: &str, labels: &str, value: u64) {
        writeln!(self.0, "assent_relay_{name}{labels} {value}").expect("a String takes everything");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "gauge", help);
        self.value(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.metric(name, "counter", help);
        self.value(name, "", value);
    }

    fn labelled(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<&'static str, u64>) {
        self.metric(name, "counter", help);
        for (is, value) in values {
            self.value(name, &format!("{{{label}=\"{is}\"}}"), *value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use broker::{ConnectionId, LocatorEnd, Request};
    use wire::control::Refusal;

    use super::*;

    /// What a relay tells that has seen a little.
    fn text() -> String {
        let mut tally = Tally::default();
        let connection = ConnectionId(3);
        tally.count(&Event::Connected { connection });
        tally.count(&Event::LocatorEnded { connection: Some(connection), why: LocatorEnd::Lapsed });
        for _ in 0..2 {
            tally.count(&Event::Refused { connection, request: Request::Attach, reason: Refusal::NobodyWaiting });
        }
        let snapshot = Snapshot {
            tally: &tally,
            counts: Counts { connections: 1, ..Counts::default() },
            listener: ListenerCounters { forwarded_bytes: 600, full: 8, ..ListenerCounters::default() },
            pipes: PipesCounters { open: 1, dropped_packets: 2, ..PipesCounters::default() },
            sleepers: SleeperCounts { asleep: 7, lost: 1, recovered: 2, packets: vec![("heard", 3), ("forged", 4)] },
            dropped: [1, 2, 3, 4],
            shards: 2,
            unread: Some(5),
            draining: false,
            uptime_secs: 9,
        };
        snapshot.text()
    }

    #[test]
    fn the_dashboard_asks_for_nothing_that_is_not_told() {
        let dashboard = serde_json::from_str::<serde_json::Value>(include_str!("../grafana.json")).unwrap();
        let text = text();
        let told =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect::<BTreeSet<_>>();
        let panels = dashboard["panels"].as_array().unwrap();
        let mut asked = BTreeSet::new();
        for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
            let query = target["expr"].as_str().unwrap();
            let names = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            asked.extend(names.filter(|name| name.starts_with("assent_relay_")));
        }
        assert_eq!(asked.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert!(asked.len() > 20, "{asked:?}");
    }

    #[test]
    fn every_metric_has_one_help_one_type_and_its_unit_in_the_name() {
        let text = text();
        let mut described = BTreeSet::new();
        let mut kinds = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(described.insert(name), "{name} twice");
                assert!(help.ends_with('.'), "{help}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
                kinds.insert(name, kind);
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                assert!(described.contains(name) && kinds.contains_key(name), "{line}");
                value.parse::<u64>().unwrap();
            }
        }
        for line in [
            "assent_relay_connections 1",
            "assent_relay_requests_refused_total{request=\"attach\",reason=\"nobody_waiting\"} 2",
            "assent_relay_locators_ended_total{reason=\"lapsed\"} 1",
            "assent_relay_dropped_packets_total{reason=\"unbound_source\"} 3",
            "assent_relay_dropped_packets_total{reason=\"socket_full\"} 8",
            "assent_relay_dropped_packets_total{reason=\"unread\"} 5",
            "assent_relay_forwarded_bytes_total 600",
            "assent_relay_sleepers 7",
            "assent_relay_beats_outcome_total{outcome=\"forged\"} 4",
            "assent_relay_uptime_seconds 9",
        ] {
            assert!(text.lines().any(|is| is == line), "{line}\n{text}");
        }
    }
}
