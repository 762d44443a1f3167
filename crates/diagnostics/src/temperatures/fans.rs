//! Fans from `/sys/class/hwmon/hwmon*/fan*_input` (the kernel's `Documentation/hwmon/sysfs-interface.rst`).

use std::path::Path;

use wire::{diagnostics::Fan, text::Label};

use super::linux::{named, numbered, stem};
use crate::text::{first_line, number};

/// No fan turns faster; drivers report such figures for fans that are not wired.
const BELIEVABLE_RPM: u32 = 60_000;

pub(super) fn read(class: &Path) -> Vec<Fan> {
    let mut found = Vec::new();
    for chip in numbered(&class.join("hwmon"), "hwmon", "") {
        let name = first_line(&chip.join("name")).unwrap_or_default();
        for input in numbered(&chip, "fan", "_input") {
            let stem = stem(&input);
            let label = first_line(&chip.join(format!("{stem}_label"))).unwrap_or(stem);
            let rpm = first_line(&input).and_then(|text| u32::try_from(number(text.as_bytes())?).ok());
            found.extend(rpm.filter(|rpm| *rpm <= BELIEVABLE_RPM).map(|rpm| (format!("{name} {label}"), rpm)));
        }
    }
    named(found).into_iter().map(|(label, rpm): (Label, u32)| Fan { label, rpm }).collect()
}
