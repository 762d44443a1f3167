//! What is remembered: which figures, of which things, and in which steps.

use wire::{
    closed,
    diagnostics::{Filesystem, Snapshot, Traffic, findings::Unit},
};

use super::subject::{Places, Subject};

closed! {
    /// What is measured over time. A closed list; new ones are added at the end, because files know them by their place in it.
    #[non_exhaustive]
    pub enum Figure {
        /// Mean over the processors of the time spent working.
        CpuBusy = "cpu.busy",
        /// The same of the busiest processor.
        CpuBusiest = "cpu.busiest",
        /// Mean over the processors of the time idle with a disk request outstanding.
        CpuIowait = "cpu.iowait",
        /// Mean over the processors of the time taken by the hypervisor.
        CpuSteal = "cpu.steal",
        /// Load average over one minute.
        Load1 = "load.1",
        /// Load average over five minutes.
        Load5 = "load.5",
        /// Load average over fifteen minutes.
        Load15 = "load.15",
        /// Some task waited for a processor.
        PressureCpuSome = "pressure.cpu.some",
        /// Some task waited for memory.
        PressureMemorySome = "pressure.memory.some",
        /// All tasks waited for memory.
        PressureMemoryFull = "pressure.memory.full",
        /// Some task waited for a disk.
        PressureIoSome = "pressure.io.some",
        /// All tasks waited for a disk.
        PressureIoFull = "pressure.io.full",
        /// Memory obtainable without swapping.
        MemoryAvailable = "memory.available",
        /// Memory that the agent's own control group uses, where something limits it.
        MemoryLimitUsed = "memory.limit-used",
        /// Memory waiting to be written to disk.
        MemoryDirty = "memory.dirty",
        /// Swap in use.
        SwapUsed = "swap.used",
        /// Read back from swap.
        SwapIn = "swap.in",
        /// Written to swap.
        SwapOut = "swap.out",
        /// Processes killed for want of memory since the machine started.
        OomKills = "memory.oom-kills",
        /// Number of processes.
        Processes = "processes",
        /// Free for ordinary users on a file system.
        SpaceAvailable = "space.available",
        /// Inodes free on a file system.
        InodesFree = "inodes.free",
        /// Share of the time in which a disk had a request outstanding.
        DiskBusy = "disk.busy",
        /// Mean time of a disk's completed requests, queueing included.
        DiskAwait = "disk.await",
        /// Read from a disk.
        DiskRead = "disk.read",
        /// Written to a disk.
        DiskWrite = "disk.write",
        /// Requests that a disk completed.
        DiskRequests = "disk.requests",
        /// Received by an interface.
        NetworkReceived = "network.received",
        /// Sent by an interface.
        NetworkSent = "network.sent",
        /// Errors of an interface since it came up.
        NetworkErrors = "network.errors",
        /// Packets dropped by an interface since it came up.
        NetworkDrops = "network.drops",
        /// Whether an interface's link carries traffic: 1 or 0.
        NetworkUp = "network.up",
        /// What a sensor reads.
        Temperature = "temperature",
        /// Endurance that a solid-state disk has used up, by its own account; may pass the whole.
        DiskWear = "disk.wear",
        /// What a battery holds when full, of what it held when new.
        BatteryHealth = "battery.health",
        /// Signal of a wireless interface.
        WifiSignal = "wifi.signal",
        /// TCP segments sent again, of all sent.
        TcpRetransmits = "tcp.retransmits",
        /// Sum of the counters of an ATA disk that go before failures.
        DiskSectors = "disk.sectors",
        /// Time that a program took of one processor, all its processes together, in the minute before. Of the ten busiest.
        ProcessCpu = "process.cpu",
        /// Requests that a disk had outstanding, on average.
        DiskQueue = "disk.queue",
    }
}

// A series dictionary in a file marks the figures of a subject in one 64-bit number.
const _: () = assert!(Figure::ALL.len() <= 64, "figures are the bits of a u64");

/// Whether a figure goes up and down or only ever up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It counts something since some start: only its growth means anything. It is kept in 31 bits and then starts over.
    Counter,
}

/// How exactly a figure is kept. Whatever is finer is noise, which would cost bytes.
#[derive(Debug, Clone, Copy)]
enum Rounding {
    /// To the nearest multiple.
    Step(i64),
    /// Down to so many significant bits, and to a multiple of `least`.
    Significant { bits: u32, least: i64 },
    /// Exact, modulo 2^31.
    Wrapping,
}

impl Figure {
    /// What it counts.
    pub fn unit(self) -> Unit {
        match self {
            Self::CpuBusy
            | Self::CpuBusiest
            | Self::CpuIowait
            | Self::CpuSteal
            | Self::DiskBusy
            | Self::DiskWear
            | Self::BatteryHealth
            | Self::TcpRetransmits
            | Self::ProcessCpu => Unit::Permille,
            Self::Load1 | Self::Load5 | Self::Load15 | Self::DiskQueue => Unit::Centi,
            Self::PressureCpuSome
            | Self::PressureMemorySome
            | Self::PressureMemoryFull
            | Self::PressureIoSome
            | Self::PressureIoFull => Unit::CentiPercent,
            Self::MemoryAvailable
            | Self::MemoryLimitUsed
            | Self::MemoryDirty
            | Self::SwapUsed
            | Self::SpaceAvailable => Unit::Kib,
            Self::SwapIn | Self::SwapOut | Self::DiskRead | Self::DiskWrite => Unit::KibPerSecond,
            Self::OomKills
            | Self::Processes
            | Self::InodesFree
            | Self::NetworkErrors
            | Self::NetworkDrops
            | Self::NetworkUp
            | Self::DiskSectors => Unit::Count,
            Self::DiskAwait => Unit::Micros,
            Self::DiskRequests => Unit::PerSecond,
            Self::NetworkReceived | Self::NetworkSent => Unit::BytesPerSecond,
            Self::Temperature => Unit::DeciCelsius,
            Self::WifiSignal => Unit::Dbm,
        }
    }

    /// Whether only its growth means anything.
    pub fn kind(self) -> Kind {
        match self.rounding() {
            Rounding::Wrapping => Kind::Counter,
            Rounding::Step(_) | Rounding::Significant { .. } => Kind::Gauge,
        }
    }

    /// Its rank among the figures that are kept for thirty days, the first being the last to be given up where there is no
    /// room for all their series; none if it is kept for a day alone.
    pub fn key_rank(self) -> Option<usize> {
        KEY_FIGURES.iter().position(|figure| *figure == self)
    }

    /// What stands for `value`, in the figure's own unit, in the ring and in files.
    pub(crate) fn code(self, value: i64) -> i32 {
        match self.rounding() {
            Rounding::Step(step) => clamp(value.saturating_add(step / 2).div_euclid(step)),
            Rounding::Wrapping => clamp(value & COUNTER_MASK),
            Rounding::Significant { bits, least } => {
                let units = u64::try_from(value).unwrap_or(0) / least.unsigned_abs();
                let length = u64::BITS - units.leading_zeros();
                let exponent = length.saturating_sub(bits);
                // Like a floating-point number without a sign: consecutive codes are consecutive values, so changes are small.
                let mantissa = units >> exponent;
                clamp(i64::from(exponent << (bits - 1)) + i64::try_from(mantissa).unwrap_or(0))
            }
        }
    }

    /// The value that `code` stands for. Codes that [`Figure::code`] never gives stand for some value too.
    pub(crate) fn value(self, code: i32) -> i64 {
        match self.rounding() {
            Rounding::Step(step) => i64::from(code) * step,
            Rounding::Wrapping => i64::from(code),
            Rounding::Significant { bits, least } => {
                let code = u64::try_from(code).unwrap_or(0);
                let half = 1_u64 << (bits - 1);
                let (exponent, mantissa) = match code < 2 * half {
                    true => (0, code),
                    false => (code / half - 1, half + code % half),
                };
                let units = u128::from(mantissa).checked_shl(u32::try_from(exponent.min(64)).unwrap_or(64));
                let value = units.unwrap_or(u128::MAX).saturating_mul(u128::from(least.unsigned_abs()));
                i64::try_from(value).unwrap_or(i64::MAX)
            }
        }
    }

    fn rounding(self) -> Rounding {
        match self {
            Self::CpuBusy
            | Self::CpuBusiest
            | Self::CpuIowait
            | Self::CpuSteal
            | Self::DiskBusy
            | Self::ProcessCpu
            | Self::Temperature => Rounding::Step(5),
            Self::Load1 | Self::Load5 | Self::Load15 => Rounding::Step(1),
            Self::PressureCpuSome
            | Self::PressureMemorySome
            | Self::PressureMemoryFull
            | Self::PressureIoSome
            | Self::PressureIoFull => Rounding::Step(10),
            // Exact to a tenth of a percent.
            Self::MemoryAvailable | Self::MemoryLimitUsed | Self::SwapUsed => {
                Rounding::Significant { bits: 10, least: 256 }
            }
            Self::MemoryDirty => Rounding::Significant { bits: 5, least: 1024 },
            // Forecasts live on small changes of a large figure. A MiB each reaches to 2 PiB.
            Self::SpaceAvailable => Rounding::Step(1024),
            Self::InodesFree => Rounding::Step(16),
            Self::SwapIn | Self::SwapOut | Self::DiskRead | Self::DiskWrite => {
                Rounding::Significant { bits: 5, least: 4 }
            }
            Self::DiskRequests => Rounding::Significant { bits: 5, least: 1 },
            Self::DiskAwait => Rounding::Significant { bits: 5, least: 16 },
            // To a tenth of a request.
            Self::DiskQueue => Rounding::Significant { bits: 5, least: 10 },
            Self::NetworkReceived | Self::NetworkSent => Rounding::Significant { bits: 5, least: 64 },
            Self::OomKills | Self::NetworkErrors | Self::NetworkDrops => Rounding::Wrapping,
            Self::Processes
            | Self::NetworkUp
            | Self::DiskWear
            | Self::BatteryHealth
            | Self::WifiSignal
            | Self::TcpRetransmits
            | Self::DiskSectors => Rounding::Step(1),
        }
    }
}

/// What is kept for thirty days. Figures that forecasts need come first.
const KEY_FIGURES: [Figure; 21] = [
    Figure::SpaceAvailable,
    Figure::InodesFree,
    Figure::MemoryAvailable,
    Figure::CpuBusy,
    Figure::CpuIowait,
    Figure::Load1,
    Figure::PressureCpuSome,
    Figure::PressureMemoryFull,
    Figure::PressureIoSome,
    Figure::SwapUsed,
    Figure::DiskWear,
    Figure::BatteryHealth,
    Figure::DiskSectors,
    Figure::DiskBusy,
    Figure::DiskAwait,
    Figure::Temperature,
    Figure::NetworkReceived,
    Figure::NetworkSent,
    Figure::CpuSteal,
    Figure::Processes,
    Figure::WifiSignal,
];

/// Segments in a second below which a share of them is taken for nothing.
const FEW_SEGMENTS: u32 = 10;

const COUNTER_MASK: i64 = 0x7fff_ffff;

/// A code is never the mark of a missing value.
fn clamp(code: i64) -> i32 {
    i32::try_from(code.clamp(i64::from(-i32::MAX), i64::from(i32::MAX))).unwrap_or(i32::MAX)
}

/// Names one series: a figure, and of which thing; of the whole machine without one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// Which figure.
    pub figure: Figure,
    /// Of which thing.
    pub subject: Option<Subject>,
}

impl SeriesKey {
    /// A figure of the whole machine.
    pub fn machine(figure: Figure) -> Self {
        Self { figure, subject: None }
    }

    /// A figure of one thing.
    pub fn of(figure: Figure, subject: Subject) -> Self {
        Self { figure, subject: Some(subject) }
    }
}

/// The figures of one sample, each in its unit. A sample without an interval has no rates yet, so none are given.
///
/// File systems that `places` has no technical name for are left out.
pub fn figures_of(sample: &Snapshot, places: &Places) -> Vec<(SeriesKey, i64)> {
    let mut figures = Figures { rows: Vec::with_capacity(64), measured: sample.interval_ms > 0 };
    figures.machine(sample);
    for filesystem in &sample.filesystems {
        figures.filesystem(filesystem, places);
    }
    for disk in &sample.disks {
        let subject = Subject::Disk(disk.name.clone());
        figures.rate(Figure::DiskBusy, &subject, disk.busy_permille);
        figures.rate(Figure::DiskAwait, &subject, disk.await_us);
        figures.rate(Figure::DiskRead, &subject, disk.read_kib_s);
        figures.rate(Figure::DiskWrite, &subject, disk.write_kib_s);
        figures.rate(Figure::DiskRequests, &subject, disk.requests_s);
        // A request that is outstanding for the whole of a second adds 1,000 ms.
        figures.rate(Figure::DiskQueue, &subject, disk.backlog_ms_s / 10);
    }
    for network in &sample.networks {
        let subject = Subject::Network(network.name.clone());
        figures.rate(Figure::NetworkReceived, &subject, amount(network.rx_bytes_s));
        figures.rate(Figure::NetworkSent, &subject, amount(network.tx_bytes_s));
        figures.of(Figure::NetworkErrors, &subject, amount(network.errors));
        figures.of(Figure::NetworkDrops, &subject, amount(network.drops));
        figures.of(Figure::NetworkUp, &subject, i64::from(network.up));
    }
    for sensor in &sample.temperatures {
        figures.of(Figure::Temperature, &Subject::Sensor(sensor.label.clone()), i64::from(sensor.deci_celsius));
    }
    figures.rows
}

struct Figures {
    rows: Vec<(SeriesKey, i64)>,
    /// Whether there was a time for rates to cover.
    measured: bool,
}

impl Figures {
    fn machine(&mut self, sample: &Snapshot) {
        self.processors(sample);
        self.traffic(&sample.traffic);
        let [one, five, fifteen] = sample.load_centi;
        self.plain(Figure::Load1, one);
        self.plain(Figure::Load5, five);
        self.plain(Figure::Load15, fifteen);
        if let Some(pressure) = &sample.pressure {
            self.plain(Figure::PressureCpuSome, pressure.cpu_some_centi);
            self.plain(Figure::PressureMemorySome, pressure.memory_some_centi);
            self.plain(Figure::PressureMemoryFull, pressure.memory_full_centi);
            self.plain(Figure::PressureIoSome, pressure.io_some_centi);
            self.plain(Figure::PressureIoFull, pressure.io_full_centi);
        }
        let memory = &sample.memory;
        if memory.total_kib > 0 {
            self.plain(Figure::MemoryAvailable, amount(memory.available_kib));
            self.plain(Figure::MemoryDirty, amount(memory.dirty_kib));
            self.plain(Figure::OomKills, amount(memory.oom_kills));
        }
        if memory.limit_kib > 0 {
            self.plain(Figure::MemoryLimitUsed, amount(memory.limit_used_kib));
        }
        if memory.swap_total_kib > 0 {
            self.plain(Figure::SwapUsed, amount(memory.swap_used_kib));
            if self.measured {
                self.plain(Figure::SwapIn, memory.swap_in_kib_s);
                self.plain(Figure::SwapOut, memory.swap_out_kib_s);
            }
        }
        if sample.processes_total > 0 {
            self.plain(Figure::Processes, sample.processes_total);
        }
    }

    fn processors(&mut self, sample: &Snapshot) {
        if !self.measured {
            return;
        }
        let processor = &sample.processor;
        if processor.cores > 0 {
            self.plain(Figure::CpuBusy, processor.busy_permille);
            self.plain(Figure::CpuIowait, processor.iowait_permille);
            self.plain(Figure::CpuSteal, processor.steal_permille);
        }
        if let Some(busiest) = sample.cores.iter().map(|core| core.busy_permille).max() {
            self.plain(Figure::CpuBusiest, busiest);
        }
    }

    fn traffic(&mut self, traffic: &Traffic) {
        let all = traffic.tcp_sent_s.saturating_add(traffic.tcp_resent_s);
        // A share of a few segments says nothing.
        if self.measured && all >= FEW_SEGMENTS {
            self.plain(Figure::TcpRetransmits, i64::from(traffic.tcp_resent_s) * 1000 / i64::from(all));
        } else if self.measured {
            self.plain(Figure::TcpRetransmits, 0);
        }
    }

    fn filesystem(&mut self, filesystem: &Filesystem, places: &Places) {
        let Some(subject) = places.subject_of(filesystem) else { return };
        if filesystem.total_kib > 0 {
            self.of(Figure::SpaceAvailable, &subject, amount(filesystem.available_kib));
        }
        if filesystem.inodes_total > 0 {
            self.of(Figure::InodesFree, &subject, amount(filesystem.inodes_free));
        }
    }

    fn plain(&mut self, figure: Figure, value: impl Into<i64>) {
        self.rows.push((SeriesKey::machine(figure), value.into()));
    }

    fn of(&mut self, figure: Figure, subject: &Subject, value: i64) {
        self.rows.push((SeriesKey::of(figure, subject.clone()), value));
    }

    fn rate(&mut self, figure: Figure, subject: &Subject, value: impl Into<i64>) {
        if self.measured {
            self.of(figure, subject, value.into());
        }
    }
}

fn amount(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
