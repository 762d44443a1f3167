//! For each check: its function, its hold times, its runbook, and what it rules out.

use std::time::Duration;

use wire::diagnostics::findings::{Check, Severity};

use super::{answer::Answers, disks, facts::View, filesystems, memory_checks, network, processor, system};

/// How a check is asked and judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) check: Check,
    /// Counted up when thresholds or meaning change.
    pub(crate) version: u16,
    pub(crate) ask: fn(&View<'_>) -> Answers,
    pub(crate) hold: Hold,
    /// An id of `report::runbooks`.
    pub(crate) runbook: &'static str,
    /// What else, should it fail, does not fail because of this once this passes. Only what looks at the same time: a unit that failed
    /// yesterday may well have failed of what is long over.
    pub(crate) exonerates: &'static [Check],
}

/// How long something has to be over its threshold before it fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) warning: Duration,
    pub(crate) critical: Duration,
}

impl Hold {
    /// At once: what is looked at covers a time already, or is a state.
    pub(crate) const NONE: Self = Self::of(Duration::ZERO);

    pub(crate) const fn of(duration: Duration) -> Self {
        Self { warning: duration, critical: duration }
    }

    pub(crate) fn of_severity(self, severity: Severity) -> Duration {
        match severity {
            Severity::Info | Severity::Warning => self.warning,
            Severity::Critical => self.critical,
        }
    }
}

impl Rule {
    const fn new(check: Check, ask: fn(&View<'_>) -> Answers, runbook: &'static str) -> Self {
        Self { check, version: 1, ask, hold: Hold::NONE, runbook, exonerates: &[] }
    }

    const fn version(self, version: u16) -> Self {
        Self { version, ..self }
    }

    const fn hold(self, hold: Hold) -> Self {
        Self { hold, ..self }
    }

    const fn exonerates(self, exonerates: &'static [Check]) -> Self {
        Self { exonerates, ..self }
    }
}

/// The rule of `check`.
pub(crate) fn rule(check: Check) -> Rule {
    use Check as C;
    let new = |ask, runbook| Rule::new(check, ask, runbook);
    match check {
        C::CpuBusy => new(processor::busy, "cpu-hog").exonerates(&[C::LoadPerCore, C::ThermalThrottling]),
        C::CpuIowait => new(processor::iowait, "slow-disk").exonerates(&[C::LoadPerCore]),
        C::CpuSteal => new(processor::steal, "noisy-host").exonerates(&[C::CpuBusy, C::LoadPerCore]),
        C::LoadPerCore => new(processor::load, "high-load"),
        C::ProcessTable => new(processor::process_table, "process-table"),
        C::ThermalThrottling => new(processor::throttling, "overheating").exonerates(&[C::CpuBusy]),
        C::LevelShift => new(system::level_shift, "what-changed"),
        C::MemoryPressure => {
            let hold = Hold::of(memory_checks::PRESSURE_HOLD);
            new(memory_checks::pressure, "memory-pressure").hold(hold).exonerates(&[C::IoPressure])
        }
        C::MemoryAvailable => {
            let hold = Hold::of(memory_checks::AVAILABLE_HOLD);
            new(memory_checks::available, "memory-pressure").hold(hold).exonerates(&[C::MemoryPressure, C::SwapUse])
        }
        C::OomKills => new(memory_checks::oom_kills, "out-of-memory"),
        C::SwapUse => new(memory_checks::swap, "swap").exonerates(&[C::IoPressure, C::DiskSaturated]),
        C::MemoryErrors => new(memory_checks::errors, "bad-memory"),
        C::MemoryLeak => new(memory_checks::leak, "memory-leak").exonerates(&[C::MemoryAvailable]),
        C::GroupLimit => new(memory_checks::group_limit, "group-limit"),
        C::IoPressure => new(disks::pressure, "slow-disk"),
        C::SpaceUsed => new(filesystems::space, "disk-full"),
        C::SpaceForecast => new(filesystems::forecast, "disk-fill").hold(Hold::of(filesystems::FORECAST_HOLD)),
        C::InodesUsed => new(filesystems::inodes, "inodes"),
        C::FilesystemReadOnly => new(filesystems::read_only, "read-only").version(2),
        C::MountUnresponsive => new(filesystems::unresponsive, "dead-mount"),
        C::DiskSaturated => new(disks::saturated, "slow-disk").version(2).exonerates(&[C::IoPressure, C::CpuIowait]),
        C::NvmeWarning => new(disks::nvme_warning, "backup-now").exonerates(&[C::DiskSaturated, C::FilesystemReadOnly]),
        C::NvmeWear => new(disks::nvme_wear, "backup-now"),
        C::AtaSectors => new(disks::ata_sectors, "backup-now").exonerates(&[C::DiskSaturated, C::FilesystemReadOnly]),
        C::RaidDegraded => {
            let hold = Hold { warning: Duration::ZERO, critical: disks::DEGRADED_HOLD };
            new(disks::raid, "raid").hold(hold).exonerates(&[C::DiskSaturated])
        }
        C::FileHandles => new(disks::file_handles, "file-handles"),
        C::InterfaceDrops => new(network::drops, "lossy-link").exonerates(&[C::TcpRetransmits]),
        C::InterfaceErrors => new(network::errors, "lossy-link").exonerates(&[C::TcpRetransmits, C::InterfaceDrops]),
        C::TcpRetransmits => new(network::retransmits, "lossy-path"),
        C::NetworkLadder => {
            let hold = Hold::of(network::LADDER_HOLD);
            new(network::ladder, "network-ladder").version(2).hold(hold)
        }
        C::LatencyUnderLoad => new(network::latency, "bufferbloat"),
        C::Interception => new(network::interception, "captive-portal").exonerates(&[C::NetworkLadder]),
        C::WifiSignal => {
            let hold = Hold::of(network::SIGNAL_HOLD);
            new(network::wifi, "wifi").hold(hold).exonerates(&[C::InterfaceDrops, C::TcpRetransmits])
        }
        C::Conntrack => new(network::conntrack, "connection-table").exonerates(&[C::NetworkLadder]),
        C::Clock => new(system::clock, "clock").hold(Hold { warning: system::CLOCK_HOLD, critical: Duration::ZERO }),
        C::FailedUnit => new(system::failed_unit, "failed-service"),
        C::RestartLoop => new(system::restart_loop, "failed-service").exonerates(&[C::CpuBusy]),
        C::CertificateExpiry => new(system::certificate, "certificate"),
        C::SecurityUpdates => new(system::security_updates, "updates"),
        C::RebootNeeded => new(system::reboot, "restart"),
        C::Crashes => new(system::crashes, "crashes"),
        C::BatteryHealth => new(system::battery, "battery"),
    }
}
