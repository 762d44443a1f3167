//! Temperatures from `/sys/class/hwmon`, else `/sys/class/thermal` (the kernel's `Documentation/hwmon/sysfs-interface.rst`
//! and `Documentation/driver-api/thermal/sysfs-api.rst`).
//!
//! Some drivers ask slow hardware, and some never answer, so the sensors are asked in a thread and every five seconds.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{
    diagnostics::{MAX_ROWS, Temperature},
    text::Label,
    time::Moment,
};

use crate::{
    gaps::Gaps,
    patience::Patience,
    text::{first_line, signed},
};

const SENSORS_EVERY: Duration = Duration::from_secs(5);

/// Sensors that do not answer for this long are said to be stuck.
const STUCK_AFTER: Duration = Duration::from_secs(2);

/// No sensor in a working machine measures anything outside; drivers report such figures for sensors that are not wired.
const BELIEVABLE_DECI_CELSIUS: std::ops::RangeInclusive<i32> = -1000..=2000;

#[derive(Debug)]
pub(crate) struct Sensors {
    class: PathBuf,
    patience: Patience<(), Vec<Temperature>>,
    next: Moment,
    last: Vec<Temperature>,
}

impl Sensors {
    pub(crate) fn new(sys: &Path) -> Self {
        Self { class: sys.join("class"), patience: Patience::new(), next: Moment::default(), last: Vec::new() }
    }

    /// What the sensors last said. A machine without any is not at fault.
    pub(crate) fn read(&mut self, now: Moment, gaps: &mut Gaps) -> Vec<Temperature> {
        if now >= self.next {
            self.next = now + SENSORS_EVERY;
            let class = self.class.clone();
            if let Err(error) = self.patience.ask(&(), now, move || read_sensors(&class)) {
                gaps.note_error("temperatures", &error);
            }
        }
        if let Some(((), temperatures)) = self.patience.answers(Duration::ZERO).pop() {
            self.last = temperatures;
        }
        if self.patience.waiting_since(&()).is_some_and(|asked| now - asked >= STUCK_AFTER) {
            gaps.note("temperatures", "a sensor does not answer; the figures are old");
        }
        let mut temperatures = self.last.clone();
        gaps.bound("temperatures", &mut temperatures, MAX_ROWS);
        temperatures
    }
}

fn read_sensors(class: &Path) -> Vec<Temperature> {
    let mut found = Vec::new();
    for chip in numbered(&class.join("hwmon"), "hwmon", "") {
        let name = first_line(&chip.join("name")).unwrap_or_default();
        for input in numbered(&chip, "temp", "_input") {
            let stem = input.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix("_input"));
            let stem = stem.unwrap_or_default();
            let label = first_line(&chip.join(format!("{stem}_label"))).unwrap_or_else(|| stem.to_owned());
            found.extend(reading(&input).map(|degrees| (format!("{name} {label}"), degrees)));
        }
    }
    if found.is_empty() {
        for zone in numbered(&class.join("thermal"), "thermal_zone", "") {
            let kind = first_line(&zone.join("type")).unwrap_or_default();
            found.extend(reading(&zone.join("temp")).map(|degrees| (kind, degrees)));
        }
    }
    let mut temperatures = Vec::<Temperature>::new();
    for (name, deci_celsius) in found {
        let name = name.trim();
        let mut label = Label::cut(name);
        let mut count = 1;
        while temperatures.iter().any(|other| other.label == label) {
            count += 1;
            label = Label::cut(&format!("#{count} {name}"));
        }
        temperatures.push(Temperature { label, deci_celsius });
    }
    temperatures
}

fn reading(path: &Path) -> Option<i32> {
    let thousandths = signed(first_line(path)?.as_bytes())?;
    i32::try_from(thousandths / 100).ok().filter(|degrees| BELIEVABLE_DECI_CELSIUS.contains(degrees))
}

/// The entries of `folder` named `prefix`, a number, `suffix`, by their numbers. None if it cannot be listed.
fn numbered(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(io::Result::ok);
    let mut found = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix(prefix)?.strip_suffix(suffix)?.parse::<u32>().ok()?;
            Some((number, entry.path()))
        })
        .collect::<Vec<_>>();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
