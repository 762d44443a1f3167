//! Batteries, supplies, fans, power, throttling.

use std::{fs, io, time::Duration};

use wire::{
    diagnostics::sections::power::{Cooling, MAX_COOLING, Power, Throttling},
    text::Label,
};

use super::{batteries, frequencies, sensors};
use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    sources::Sources,
    sysfs::{label, numbered, whole, whole_u32},
};

const BUS_DEADLINE: Duration = Duration::from_secs(10);

/// Reads the section.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Power> {
    let sys = &sources.roots.sys;
    let (batteries, supplies) = batteries::read(&sys.join("class/power_supply"), manifest);
    let cpus = sys.join("devices/system/cpu");
    let mut power = Power {
        batteries,
        supplies,
        throttling: read_throttling(&cpus, manifest),
        cooling: read_cooling(&sys.join("class/thermal"), manifest),
        frequencies: frequencies::read(&cpus.join("cpufreq"), manifest),
        boost: frequencies::boost(&cpus),
        profile: label(&sys.join("firmware/acpi/platform_profile")),
        ..Power::default()
    };
    (power.fans, power.meters) = sensors::read(&sys.join("class"), manifest);
    if let Some((profile, degraded)) = manifest.keep("power profiles", ask_profiles(&sources.bus)) {
        (power.profile, power.degraded) = (profile, degraded);
    }
    Some(power)
}

/// `Documentation/ABI/testing/sysfs-devices-system-cpu` does not name these; they are of the kernel's
/// `arch/x86/.../therm_throt.c`. Each core counts its own, and those of its package once more.
fn read_throttling(cpus: &std::path::Path, manifest: &mut Manifest) -> Option<Throttling> {
    let mut counted = None::<Throttling>;
    for cpu in numbered(cpus, "cpu") {
        let read = |name: &str| whole(&cpus.join(&cpu).join("thermal_throttle").join(name));
        let Some(core) = read("core_throttle_count") else { continue };
        let all = counted.get_or_insert_default();
        all.core_events = all.core_events.saturating_add(core);
        all.package_events = all.package_events.max(read("package_throttle_count").unwrap_or(0));
        all.worst_core_ms = all.worst_core_ms.max(read("core_throttle_total_time_ms"));
        all.worst_package_ms = all.worst_package_ms.max(read("package_throttle_total_time_ms"));
    }
    match counted {
        Some(_) => manifest.read("throttling counters"),
        None => manifest.missing("throttling counters", "this processor or its hypervisor does not count"),
    }
    counted
}

/// `Documentation/driver-api/thermal/sysfs-api.rst`.
fn read_cooling(folder: &std::path::Path, manifest: &mut Manifest) -> Vec<Cooling> {
    if let Err(error) = fs::read_dir(folder) {
        manifest.failed("cooling devices", &error);
        return Vec::new();
    }
    manifest.read("cooling devices");
    let mut cooling = Vec::new();
    for name in numbered(folder, "cooling_device") {
        let device = folder.join(name);
        // A driver may refuse to tell its state, such as that of a card that sleeps.
        let (Some(level), Some(max_level)) =
            (whole_u32(&device.join("cur_state")), whole_u32(&device.join("max_state")))
        else {
            manifest.partial("cooling devices", "some do not tell what they do");
            continue;
        };
        cooling.push(Cooling { kind: label(&device.join("type")), level, max_level });
    }
    manifest.bound("cooling devices", &mut cooling, MAX_COOLING);
    cooling
}

/// The profile that is set, and why it has less effect than it could, by power-profiles-daemon under its new or its old name.
fn ask_profiles(bus: &Bus) -> io::Result<(Label, Label)> {
    const NEW: (&str, &str) = ("org.freedesktop.UPower.PowerProfiles", "/org/freedesktop/UPower/PowerProfiles");
    const OLD: (&str, &str) = ("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles");
    async fn ask(talk: &Talk, (name, path): (&str, &str)) -> io::Result<(Label, Label)> {
        let profile = talk.property::<String>(name, path, (name, "ActiveProfile")).await?;
        // Programs with the daemon's interface but without this property exist.
        let degraded = talk.property::<String>(name, path, (name, "PerformanceDegraded")).await.unwrap_or_default();
        Ok((Label::cut(&profile), Label::cut(&degraded)))
    }
    bus.ask(BUS_DEADLINE, async |talk: &Talk| match ask(talk, NEW).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => ask(talk, OLD).await,
        answer => answer,
    })
}

#[cfg(test)]
mod tests;
