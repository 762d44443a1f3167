//! What parts of the machine draw: `power*_average` and `power*_input` of `/sys/class/hwmon` (the kernel's
//! `Documentation/hwmon/sysfs-interface.rst`), and the energy counters of `/sys/class/powercap` (the kernel's
//! `Documentation/power/powercap/powercap.rst`), which only the administrator may read.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use wire::{diagnostics::PowerDraw, text::Label};

use super::linux::{named, numbered, stem};
use crate::text::{first_line, number};

/// An energy counter as it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Energy {
    zone: PathBuf,
    microjoules: u64,
    at: Instant,
}

/// What is drawn now, and the counters to compare with the next time.
pub(super) fn read(class: &Path, before: &[Energy], at: Instant) -> (Vec<PowerDraw>, Vec<Energy>) {
    let mut found = Vec::new();
    for chip in numbered(&class.join("hwmon"), "hwmon", "") {
        let name = first_line(&chip.join("name")).unwrap_or_default();
        let averages = numbered(&chip, "power", "_average");
        let inputs = if averages.is_empty() { numbered(&chip, "power", "_input") } else { averages };
        for input in inputs {
            let stem = stem(&input);
            let label = first_line(&chip.join(format!("{stem}_label"))).unwrap_or(stem);
            found.extend(figure(&input).map(|microwatts| (format!("{name} {label}"), milliwatts(microwatts))));
        }
    }
    let mut energies = Vec::new();
    for zone in numbered(&class.join("powercap"), "intel-rapl:", "") {
        let Some(microjoules) = figure(&zone.join("energy_uj")) else { continue };
        let name = first_line(&zone.join("name")).unwrap_or_default();
        if let Some(before) = before.iter().find(|before| before.zone == zone) {
            let range = figure(&zone.join("max_energy_range_uj")).unwrap_or(0);
            let micros = u64::try_from(at.saturating_duration_since(before.at).as_micros()).unwrap_or(u64::MAX);
            let used = grown(before.microjoules, microjoules, range);
            let microwatts = (u128::from(used) * 1_000_000).checked_div(u128::from(micros));
            let microwatts = microwatts.map(|microwatts| u64::try_from(microwatts).unwrap_or(u64::MAX));
            found.extend(microwatts.map(|microwatts| (name, milliwatts(microwatts))));
        }
        energies.push(Energy { zone, microjoules, at });
    }
    let rows = named(found).into_iter().map(|(label, milliwatts): (Label, u32)| PowerDraw { label, milliwatts });
    (rows.collect(), energies)
}

/// The counter starts again from 0 at its range.
fn grown(before: u64, now: u64, range: u64) -> u64 {
    now.checked_sub(before).unwrap_or_else(|| range.saturating_sub(before).saturating_add(now))
}

fn milliwatts(microwatts: u64) -> u32 {
    u32::try_from(microwatts / 1000).unwrap_or(u32::MAX)
}

fn figure(path: &Path) -> Option<u64> {
    number(first_line(path)?.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_energy_counter_that_wraps_gives_no_huge_draw() {
        assert_eq!(grown(100, 250, 1000), 150);
        assert_eq!(grown(900, 50, 1000), 150);
        assert_eq!(grown(900, 50, 0), 50);
    }
}
