//! Fans and meters of power from `/sys/class/hwmon` (the kernel's `Documentation/hwmon/sysfs-interface.rst`), and what processors
//! draw by their own counters of energy (`Documentation/power/powercap/powercap.rst`).

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use wire::{
    diagnostics::sections::power::{Fan, MAX_SENSORS, Meter},
    text::Label,
};

use crate::{
    manifest::Manifest,
    stopwatch::Stopwatch,
    sysfs::{flag, names, numbered, whole, whole_u32},
    text::{first_line, number, read_file},
};

/// Between two readings of the counters of energy, which move every millisecond.
const MEASURED_FOR: Duration = Duration::from_millis(100);

/// Reads fans and meters below `/sys/class`.
pub(super) fn read(class: &Path, manifest: &mut Manifest) -> (Vec<Fan>, Vec<Meter>) {
    let (mut fans, mut meters) = read_chips(&class.join("hwmon"), manifest);
    meters.extend(read_counters(&class.join("powercap"), manifest));
    manifest.bound("fans and meters", &mut fans, MAX_SENSORS);
    manifest.bound("fans and meters", &mut meters, MAX_SENSORS);
    (fans, meters)
}

fn read_chips(folder: &Path, manifest: &mut Manifest) -> (Vec<Fan>, Vec<Meter>) {
    let (mut fans, mut meters) = (Vec::new(), Vec::new());
    if manifest.keep("fans and meters", names(folder)).is_none() {
        return (fans, meters);
    }
    for chip in numbered(folder, "hwmon") {
        let chip = folder.join(chip);
        let name = first_line(&chip.join("name")).unwrap_or_default();
        for file in names(&chip).unwrap_or_default() {
            // A meter has what it measures now, or an average, or both.
            let Some((stem, what)) = file.rsplit_once('_') else { continue };
            let is = |prefix: &str| stem.strip_prefix(prefix).is_some_and(|rest| number(rest.as_bytes()).is_some());
            let label = || {
                let own = first_line(&chip.join(format!("{stem}_label")));
                Label::cut(format!("{name} {}", own.as_deref().unwrap_or(stem)).trim())
            };
            if is("fan") && what == "input" {
                // A fan that does not answer is not shown as standing still.
                let Some(rpm) = whole_u32(&chip.join(&file)) else { continue };
                let fault = flag(&chip.join(format!("{stem}_fault"))) == Some(true);
                fans.push(Fan { label: label(), rpm, fault });
            } else if is("power")
                && (what == "input" || what == "average" && !chip.join(format!("{stem}_input")).exists())
            {
                let micro = whole(&chip.join(&file));
                meters.extend(micro.map(|micro| Meter { label: label(), power_mw: micro / 1000 }));
            }
        }
    }
    (fans, meters)
}

/// A counter of energy, in millionths of a joule, which starts again at its range.
#[derive(Debug)]
struct Counter {
    label: Label,
    file: PathBuf,
    range: u64,
    before: u64,
    since: Stopwatch,
}

/// Reads each counter twice. Since 5.10 they are for root alone, because they give away what programs compute.
fn read_counters(folder: &Path, manifest: &mut Manifest) -> Vec<Meter> {
    let Some(zones) = manifest.keep("energy counters", names(folder)) else { return Vec::new() };
    let mut counters = Vec::new();
    // Whole packages are `intel-rapl:0`, also those of AMD; their parts, and a second way to the same counters, are left out.
    for zone in zones.iter().filter(|zone| zone.starts_with("intel-rapl:") && zone.matches(':').count() == 1) {
        let zone = folder.join(zone);
        let file = zone.join("energy_uj");
        match read_energy(&file) {
            Ok(before) => counters.push(Counter {
                label: Label::cut(&first_line(&zone.join("name")).unwrap_or_default()),
                range: whole(&zone.join("max_energy_range_uj")).unwrap_or(u64::MAX),
                file,
                before,
                since: Stopwatch::start(),
            }),
            Err(error) => manifest.failed("energy counters", &error),
        }
    }
    counters.truncate(MAX_SENSORS);
    if !counters.is_empty() {
        thread::sleep(MEASURED_FOR);
    }
    let meter = |counter: Counter| {
        let energy = read_energy(&counter.file).ok()?;
        let power_mw = power_mw(counter.before, energy, counter.range, counter.since.elapsed())?;
        Some(Meter { label: counter.label, power_mw })
    };
    counters.into_iter().filter_map(meter).collect()
}

fn read_energy(file: &Path) -> io::Result<u64> {
    let mut buffer = Vec::new();
    number(read_file(file, &mut buffer)?.trim_ascii()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Millionths of a joule in a time are thousandths of a watt; `None` if that makes no sense.
fn power_mw(before: u64, after: u64, range: u64, elapsed: Duration) -> Option<u64> {
    let used = match after.checked_sub(before) {
        Some(used) => used,
        None => range.checked_sub(before)?.checked_add(after)?,
    };
    let millis = u128::from(used).checked_mul(1_000_000)?.checked_div(elapsed.as_nanos())?;
    u64::try_from(millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_told_by_two_readings_also_across_the_end_of_the_counter() {
        let second = Duration::from_secs(1);
        assert_eq!(power_mw(1_000_000, 16_000_000, u64::MAX, second), Some(15_000));
        assert_eq!(power_mw(1_000_000, 2_500_000, u64::MAX, second / 10), Some(15_000));
        assert_eq!(power_mw(9_000_000, 6_000_000, 10_000_000, second), Some(7000));
        assert_eq!(power_mw(9, 6, 7, second), None, "a counter beyond its range");
        assert_eq!(power_mw(0, 5, 9, Duration::ZERO), None);
        assert_eq!(power_mw(0, u64::MAX, u64::MAX, Duration::from_nanos(1)), None);
    }
}
