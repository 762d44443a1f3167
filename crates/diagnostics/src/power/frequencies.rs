//! How the frequency of processors is chosen: the kernel's `Documentation/admin-guide/pm/cpufreq.rst`. Figures are in kHz.

use std::path::Path;

use wire::diagnostics::sections::power::{Frequency, MAX_FREQUENCIES};

use crate::{
    manifest::Manifest,
    sysfs::{flag, label, numbered, whole},
    text::{fields, first_line},
};

/// One row for all policies with the same rules: modern processors have a policy for each thread.
pub(super) fn read(folder: &Path, manifest: &mut Manifest) -> Vec<Frequency> {
    let policies = numbered(folder, "policy");
    if policies.is_empty() {
        manifest.missing("processor frequencies", "nothing chooses them here: the hypervisor does, or the firmware");
        return Vec::new();
    }
    manifest.read("processor frequencies");
    let mut groups = Vec::<Frequency>::new();
    for policy in policies {
        let policy = folder.join(policy);
        let mhz = |name: &str| whole(&policy.join(name)).and_then(|khz| u32::try_from(khz / 1000).ok());
        let processors = first_line(&policy.join("affected_cpus")).unwrap_or_default();
        let now = mhz("scaling_cur_freq");
        let new = Frequency {
            processors: u16::try_from(fields(processors.as_bytes()).count()).unwrap_or(u16::MAX),
            driver: label(&policy.join("scaling_driver")),
            governor: label(&policy.join("scaling_governor")),
            preference: label(&policy.join("energy_performance_preference")),
            min_mhz: mhz("scaling_min_freq").unwrap_or(0),
            max_mhz: mhz("scaling_max_freq").unwrap_or(0),
            hardware_max_mhz: mhz("cpuinfo_max_freq").unwrap_or(0),
            slowest_mhz: now,
            fastest_mhz: now,
        };
        match groups.iter_mut().find(|group| same_rules(group, &new)) {
            Some(group) => {
                group.processors = group.processors.saturating_add(new.processors);
                group.slowest_mhz = [group.slowest_mhz, now].into_iter().flatten().min();
                group.fastest_mhz = group.fastest_mhz.max(now);
            }
            None => groups.push(new),
        }
    }
    manifest.bound("processor frequencies", &mut groups, MAX_FREQUENCIES);
    groups
}

fn same_rules(left: &Frequency, right: &Frequency) -> bool {
    let limits = |group: &Frequency| (group.min_mhz, group.max_mhz, group.hardware_max_mhz);
    limits(left) == limits(right)
        && left.driver == right.driver
        && left.governor == right.governor
        && left.preference == right.preference
}

/// Intel's driver says what is off, all others what is on.
pub(super) fn boost(cpus: &Path) -> Option<bool> {
    flag(&cpus.join("intel_pstate/no_turbo")).map(|off| !off).or_else(|| flag(&cpus.join("cpufreq/boost")))
}
