//! A sample as metrics: names, units and labels that do not depend on the format.

use wire::{
    diagnostics::{
        Filesystem, FilesystemState, Pressure, Snapshot,
        findings::{Severity, Verdict},
    },
    text::{Label, shown},
};

use super::Measured;

/// One metric with all of its values.
#[derive(Debug)]
pub(super) struct Metric {
    /// Without `assent_` in front, and of a counter without `_total` behind.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) help: &'static str,
    /// Whether it only ever grows while the machine runs.
    pub(super) counter: bool,
    /// Its values, no two with the same labels.
    pub(super) points: Vec<Point>,
}

/// One value of a metric.
#[derive(Debug)]
pub(super) struct Point {
    /// What it is of. The texts are harmless and not yet escaped.
    pub(super) labels: Vec<(&'static str, String)>,
    /// The value in the metric's unit.
    pub(super) value: Value,
}

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// A whole number.
    Whole(i64),
    /// A part of a whole unit.
    Part(f64),
}

/// All metrics of `measured` that have a value.
pub(super) fn metrics(measured: &Measured<'_>) -> Vec<Metric> {
    let mut all = All(Vec::new());
    let sample = measured.sample;
    all.host(measured);
    all.processor(sample);
    all.memory(sample);
    all.filesystems(&sample.filesystems);
    all.disks(sample);
    all.networks(sample);
    all.sensors(sample);
    all.limits(sample);
    all.findings(measured);
    all.0.retain(|metric| !metric.points.is_empty());
    all.0
}

struct All(Vec<Metric>);

type Labels = Vec<(&'static str, String)>;

fn whole(value: impl Into<u64>) -> Value {
    Value::Whole(i64::try_from(value.into()).unwrap_or(i64::MAX))
}

fn bytes(kib: impl Into<u64>) -> Value {
    whole(kib.into().saturating_mul(1024))
}

/// So many parts of `per_unit` to a unit.
fn part(value: impl Into<f64>, per_unit: f64) -> Value {
    Value::Part(value.into() / per_unit)
}

fn of(name: &'static str, label: &Label) -> Labels {
    vec![(name, label.shown())]
}

fn word(name: &'static str, word: &str) -> (&'static str, String) {
    (name, word.to_owned())
}

impl All {
    fn add(
        &mut self,
        counter: bool,
        name: &'static str,
        help: &'static str,
        points: impl IntoIterator<Item = (Labels, Value)>,
    ) {
        let mut kept: Vec<Point> = Vec::new();
        for (mut labels, value) in points {
            // Two sensors may have the same name; two values of a metric may not.
            let same = kept.iter().filter(|point| point.labels.iter().take(labels.len()).eq(labels.iter())).count();
            if same > 0 {
                labels.push(("number", (same + 1).to_string()));
            }
            kept.push(Point { labels, value });
        }
        self.0.push(Metric { name, help, counter, points: kept });
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, points: impl IntoIterator<Item = (Labels, Value)>) {
        self.add(false, name, help, points);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, points: impl IntoIterator<Item = (Labels, Value)>) {
        self.add(true, name, help, points);
    }

    /// A gauge with one value and no labels.
    fn one(&mut self, name: &'static str, help: &'static str, value: Value) {
        self.gauge(name, help, [(Vec::new(), value)]);
    }

    fn host(&mut self, measured: &Measured<'_>) {
        let about = measured.card.map(|card| {
            let labels = vec![
                ("host", card.host.shown()),
                ("system", card.system.shown()),
                ("kernel", card.kernel.shown()),
                ("architecture", card.architecture.shown()),
                ("agent_version", card.agent_version.shown()),
            ];
            (labels, Value::Whole(1))
        });
        self.gauge("host_info", "What the machine is; always 1.", about);
        self.one("uptime_seconds", "Time since the machine started.", whole(measured.sample.uptime_secs));
    }

    fn processor(&mut self, sample: &Snapshot) {
        let processor = &sample.processor;
        self.one("cpu_count", "Logical processors that are online.", whole(processor.cores));
        let loads = ["1", "5", "15"].iter().zip(sample.load_centi);
        let loads = loads.map(|(minutes, load)| (vec![word("minutes", minutes)], part(load, 100.0)));
        self.gauge("load_average", "Mean number of tasks that run or want to.", loads);
        if sample.interval_ms > 0 {
            let states = [
                ("busy", processor.busy_permille),
                ("iowait", processor.iowait_permille),
                ("steal", processor.steal_permille),
            ];
            let states = states.map(|(state, share)| (vec![word("state", state)], part(share, 1000.0)));
            self.gauge("cpu_ratio", "Share of all processors' time since the sample before.", states);
            self.one("context_switches_per_second", "Changes from one task to another.", whole(processor.switches_s));
        }
        self.one("tasks_runnable", "Tasks that run or want to.", whole(processor.runnable));
        self.one("tasks_blocked", "Tasks that wait for a device and cannot be interrupted.", whole(processor.blocked));
        let throttles = [(Vec::new(), whole(processor.throttles))];
        self.counter(
            "cpu_throttles",
            "Times that a core or its package was slowed down because it was hot.",
            throttles,
        );
        let [total, stuck] = [sample.processes_total, sample.processes_stuck].map(whole);
        self.one("processes", "Processes.", total);
        self.one("processes_stuck", "Processes that wait for a device and cannot be interrupted.", stuck);
    }

    fn memory(&mut self, sample: &Snapshot) {
        let memory = &sample.memory;
        self.one("memory_size_bytes", "Memory that is installed or assigned.", bytes(memory.total_kib));
        self.one("memory_available_bytes", "Memory obtainable without swapping.", bytes(memory.available_kib));
        self.one("memory_dirty_bytes", "Memory that waits to be written to disk.", bytes(memory.dirty_kib));
        self.one(
            "memory_corrupted_bytes",
            "Memory taken out of use because it was corrupted.",
            bytes(memory.corrupted_kib),
        );
        self.one("swap_size_bytes", "Swap space.", bytes(memory.swap_total_kib));
        self.one("swap_used_bytes", "Swap in use.", bytes(memory.swap_used_kib));
        if sample.interval_ms > 0 {
            self.one("swap_in_bytes_per_second", "Read back from swap.", bytes(memory.swap_in_kib_s));
            self.one("swap_out_bytes_per_second", "Written to swap.", bytes(memory.swap_out_kib_s));
        }
        let kills = [(Vec::new(), whole(memory.oom_kills))];
        self.counter("oom_kills", "Processes killed for want of memory since the machine started.", kills);
        let shares = sample.pressure.iter().flat_map(pressure);
        self.gauge("pressure_ratio", "Share of the time in which some or all tasks waited for a resource.", shares);
    }

    fn filesystems(&mut self, filesystems: &[Filesystem]) {
        let known = || filesystems.iter().filter(|one| one.state != FilesystemState::Unresponsive);
        let labels = |one: &Filesystem| vec![("mount", one.mount.shown()), ("kind", one.kind.shown())];
        let each = |value: fn(&Filesystem) -> Value| known().map(move |one| (labels(one), value(one)));
        self.gauge("filesystem_size_bytes", "Size.", each(|one| bytes(one.total_kib)));
        self.gauge("filesystem_available_bytes", "Free for ordinary users.", each(|one| bytes(one.available_kib)));
        self.gauge("filesystem_inodes", "Inodes in all; 0 without such a limit.", each(|one| whole(one.inodes_total)));
        self.gauge("filesystem_inodes_free", "Inodes that are free.", each(|one| whole(one.inodes_free)));
        let writable = each(|one| whole(matches!(one.state, FilesystemState::ReadWrite | FilesystemState::Damaged)));
        self.gauge("filesystem_writable", "Whether it can be written.", writable);
        let responsive = filesystems.iter().map(|one| (labels(one), whole(one.state != FilesystemState::Unresponsive)));
        self.gauge("filesystem_responsive", "Whether it answered in time.", responsive);
    }

    fn disks(&mut self, sample: &Snapshot) {
        use wire::diagnostics::Disk;
        if sample.interval_ms == 0 {
            return;
        }
        let each =
            |value: fn(&Disk) -> Value| sample.disks.iter().map(move |disk| (of("device", &disk.name), value(disk)));
        self.gauge("disk_read_bytes_per_second", "Read.", each(|disk| bytes(disk.read_kib_s)));
        self.gauge("disk_written_bytes_per_second", "Written.", each(|disk| bytes(disk.write_kib_s)));
        self.gauge("disk_requests_per_second", "Requests completed.", each(|disk| whole(disk.requests_s)));
        self.gauge("disk_await_seconds", "Mean time of a completed request.", each(|disk| part(disk.await_us, 1e6)));
        self.gauge(
            "disk_busy_ratio",
            "Share of the time with a request outstanding.",
            each(|disk| part(disk.busy_permille, 1e3)),
        );
        self.gauge("disk_requests_in_flight", "Requests outstanding now.", each(|disk| whole(disk.in_flight)));
    }

    fn networks(&mut self, sample: &Snapshot) {
        use wire::diagnostics::Network;
        let each = |value: fn(&Network) -> Value| {
            sample.networks.iter().map(move |one| (of("interface", &one.name), value(one)))
        };
        self.gauge("network_up", "Whether the link carries traffic.", each(|one| whole(one.up)));
        self.counter("network_errors", "Errors since the interface came up.", each(|one| whole(one.errors)));
        self.counter("network_drops", "Packets dropped since the interface came up.", each(|one| whole(one.drops)));
        let traffic = &sample.traffic;
        self.one("tcp_connections", "TCP connections that are open.", whole(traffic.tcp_established));
        if sample.interval_ms > 0 {
            self.gauge("network_received_bytes_per_second", "Received.", each(|one| whole(one.rx_bytes_s)));
            self.gauge("network_sent_bytes_per_second", "Sent.", each(|one| whole(one.tx_bytes_s)));
            self.one("tcp_sent_segments_per_second", "TCP segments sent the first time.", whole(traffic.tcp_sent_s));
            self.one("tcp_resent_segments_per_second", "TCP segments sent again.", whole(traffic.tcp_resent_s));
        }
    }

    fn sensors(&mut self, sample: &Snapshot) {
        let temperatures =
            sample.temperatures.iter().map(|one| (of("sensor", &one.label), part(one.deci_celsius, 10.0)));
        self.gauge("temperature_celsius", "Temperature.", temperatures);
        let fans = sample.fans.iter().map(|fan| (of("fan", &fan.label), whole(fan.rpm)));
        self.gauge("fan_revolutions_per_minute", "Revolutions of a fan in a minute.", fans);
        let power = sample.power.iter().map(|one| (of("part", &one.label), part(one.milliwatts, 1000.0)));
        self.gauge("power_watts", "What a part of the machine draws.", power);
    }

    fn limits(&mut self, sample: &Snapshot) {
        let limits = &sample.limits;
        let all = [
            ("files", limits.files, limits.files_most),
            ("tracked_connections", limits.tracked.into(), limits.tracked_most.into()),
            ("tasks", limits.tasks.into(), limits.tasks_most.into()),
        ];
        let used = all.map(|(resource, used, _)| (vec![word("resource", resource)], whole(used)));
        self.gauge("kernel_used", "What is used of a thing that the kernel has only so much of.", used);
        let most = all.into_iter().filter(|(.., most)| *most > 0);
        let most = most.map(|(resource, _, most)| (vec![word("resource", resource)], whole(most)));
        self.gauge("kernel_limit", "How much there may be of it.", most);
        if sample.interval_ms > 0 {
            self.one(
                "agent_cpu_ratio",
                "Processor time of the agent, of one processor.",
                part(sample.agent.cpu_permille, 1000.0),
            );
        }
        self.one("agent_resident_bytes", "Memory of the agent.", bytes(sample.agent.resident_kib));
    }

    fn findings(&mut self, measured: &Measured<'_>) {
        if measured.findings.is_empty() {
            return;
        }
        let count = |wanted: &dyn Fn(&wire::diagnostics::findings::Finding) -> bool| {
            whole(u64::try_from(measured.findings.iter().filter(|finding| wanted(finding)).count()).unwrap_or(u64::MAX))
        };
        let verdicts = Verdict::ALL
            .iter()
            .map(|verdict| (vec![word("verdict", verdict.name())], count(&|finding| finding.verdict == *verdict)));
        self.gauge("checks", "Answers of the checks.", verdicts);
        let failed = Severity::ALL.iter().map(|severity| {
            let bad = count(&|finding| finding.verdict == Verdict::Fail && finding.severity == Some(*severity));
            (vec![word("severity", severity.name())], bad)
        });
        self.gauge("findings", "Checks that fail.", failed);
    }
}

fn pressure(pressure: &Pressure) -> Vec<(Labels, Value)> {
    let all = [
        ("cpu", "some", "10", pressure.cpu_some_centi),
        ("memory", "some", "10", pressure.memory_some_centi),
        ("memory", "full", "10", pressure.memory_full_centi),
        ("io", "some", "10", pressure.io_some_centi),
        ("io", "full", "10", pressure.io_full_centi),
        ("cpu", "some", "60", pressure.cpu_some_minute_centi),
        ("memory", "some", "60", pressure.memory_some_minute_centi),
        ("memory", "full", "60", pressure.memory_full_minute_centi),
        ("io", "some", "60", pressure.io_some_minute_centi),
        ("io", "full", "60", pressure.io_full_minute_centi),
    ];
    let point = |(resource, who, seconds, share): (&str, &str, &str, u16)| {
        (vec![word("resource", resource), word("tasks", who), word("seconds", seconds)], part(share, 1e4))
    };
    all.into_iter().map(point).collect()
}

/// The machine's name, for formats that say it once.
pub(super) fn host(measured: &Measured<'_>) -> String {
    measured.card.map(|card| shown(card.host.raw())).unwrap_or_default()
}
