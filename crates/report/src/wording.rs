//! What each check asks, what its findings mean, and what a pass rules out.
//!
//! Two texts for each check: [`Words::plain`] for the person at the machine, who has to understand what it means and what to do about it,
//! and [`Words::technical`] for the technician, with the figures. Both have places that a finding's evidence fills.

use wire::{
    diagnostics::findings::{Check, Finding, Severity, Verdict, What},
    text::shown,
};

use crate::{template, units};

mod disks;
mod evidence;
mod memory;
mod network;
mod processor;
mod system;

/// The words of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Its name, such as `Memory is short`.
    pub title: &'static str,
    /// What it asks, such as `Is enough memory left?`.
    pub question: &'static str,
    /// What a failure means to the person at the machine and what they can do, as a template.
    pub plain: &'static str,
    /// What was measured, for the technician, as a template.
    pub technical: &'static str,
    /// What is known not to be the cause once it passes, such as `The machine does not lack memory.`.
    pub rules_out: &'static str,
}

/// The words of `check`.
pub fn words(check: Check) -> Words {
    match check {
        Check::CpuBusy => processor::BUSY,
        Check::CpuIowait => processor::IOWAIT,
        Check::CpuSteal => processor::STEAL,
        Check::LoadPerCore => processor::LOAD,
        Check::ThermalThrottling => processor::THROTTLING,
        Check::ProcessTable => processor::PROCESS_TABLE,
        Check::LevelShift => processor::LEVEL_SHIFT,
        Check::MemoryPressure => memory::PRESSURE,
        Check::MemoryAvailable => memory::AVAILABLE,
        Check::OomKills => memory::OOM_KILLS,
        Check::SwapUse => memory::SWAP,
        Check::MemoryErrors => memory::ERRORS,
        Check::MemoryLeak => memory::LEAK,
        Check::GroupLimit => memory::GROUP_LIMIT,
        Check::IoPressure => disks::IO_PRESSURE,
        Check::SpaceUsed => disks::SPACE,
        Check::SpaceForecast => disks::SPACE_FORECAST,
        Check::InodesUsed => disks::INODES,
        Check::FilesystemReadOnly => disks::READ_ONLY,
        Check::MountUnresponsive => disks::UNRESPONSIVE,
        Check::DiskSaturated => disks::SATURATED,
        Check::NvmeWarning => disks::NVME_WARNING,
        Check::NvmeWear => disks::NVME_WEAR,
        Check::AtaSectors => disks::ATA_SECTORS,
        Check::RaidDegraded => disks::RAID,
        Check::FileHandles => disks::FILE_HANDLES,
        Check::InterfaceDrops => network::DROPS,
        Check::InterfaceErrors => network::ERRORS,
        Check::TcpRetransmits => network::RETRANSMITS,
        Check::NetworkLadder => network::LADDER,
        Check::LatencyUnderLoad => network::LATENCY,
        Check::Interception => network::INTERCEPTION,
        Check::WifiSignal => network::WIFI,
        Check::Conntrack => network::CONNTRACK,
        Check::Clock => system::CLOCK,
        Check::FailedUnit => system::FAILED_UNIT,
        Check::RestartLoop => system::RESTART_LOOP,
        Check::CertificateExpiry => system::CERTIFICATE,
        Check::SecurityUpdates => system::UPDATES,
        Check::RebootNeeded => system::REBOOT,
        Check::Crashes => system::CRASHES,
        Check::BatteryHealth => system::BATTERY,
    }
}

/// The words of a finding: those of its check, or others where its evidence says that it is about something else.
pub fn words_of(finding: &Finding) -> Words {
    let rests_on =
        |check, what| finding.check == check && finding.evidence.iter().any(|evidence| evidence.what == what);
    if rests_on(Check::FilesystemReadOnly, What::Errors) {
        return disks::DAMAGED;
    }
    if rests_on(Check::OomKills, What::Limit) {
        return memory::OOM_KILLS_OF_GROUP;
    }
    words(finding.check)
}

/// What evidence of this kind is called, such as `busiest disk`.
pub fn evidence_name(what: What) -> &'static str {
    evidence::name(what)
}

/// Each piece of a finding's evidence: what it is called, and what it says.
pub fn evidence(finding: &Finding) -> Vec<(&'static str, String)> {
    finding.evidence.iter().filter_map(|one| Some((evidence::name(one.what), template::piece(one)?))).collect()
}

/// What the finding tells the person at the machine: a sentence or three without jargon.
pub fn plain(finding: &Finding) -> String {
    let words = words_of(finding);
    match finding.verdict {
        Verdict::Fail => {
            let urgent =
                if finding.severity == Some(Severity::Critical) { "Please do not wait with this. " } else { "" };
            format!("{urgent}{}", template::fill(words.plain, finding))
        }
        Verdict::Pass => format!("{} Yes, this is fine.", words.question),
        Verdict::Unknown => format!("{} This could not be checked, so nobody knows yet.", words.question),
        Verdict::NotApplicable => format!("{} This computer has nothing of the kind.", words.question),
    }
}

/// What the finding tells the technician, on one line: subject, figures, since when, and what is to come.
pub fn technical(finding: &Finding) -> String {
    let words = words_of(finding);
    let subject = finding.subject.as_ref().map(|subject| format!("{}: ", shown(subject.label().raw())));
    let subject = subject.unwrap_or_default();
    let told = match finding.verdict {
        Verdict::Fail => template::fill(words.technical, finding),
        Verdict::Pass => fine(finding),
        Verdict::Unknown => format!("unknown: {}", reason(finding)),
        Verdict::NotApplicable => format!("not applicable: {}", reason(finding)),
    };
    let since = finding.since.map(|since| format!("; since {since}")).unwrap_or_default();
    let forecast = finding.forecast.map(|forecast| {
        let earliest = units::seconds(forecast.earliest_secs);
        match forecast.latest_secs {
            Some(latest) => format!("; in {earliest} to {}", units::seconds(latest)),
            None => format!("; in {earliest} at the earliest, perhaps never"),
        }
    });
    format!("{subject}{told}{since}{}", forecast.unwrap_or_default())
}

/// A template says what is wrong, so of what is not only the figures are told.
fn fine(finding: &Finding) -> String {
    let figures = evidence(finding).into_iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
    if figures.is_empty() { "fine".to_owned() } else { format!("fine: {}", figures.join(", ")) }
}

fn reason(finding: &Finding) -> String {
    finding.reason.as_ref().map_or_else(|| "no reason given".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
