//! Temperatures, and with them fans and power. Temperatures from `/sys/class/hwmon`, else `/sys/class/thermal` (the kernel's `Documentation/hwmon/sysfs-interface.rst`
//! and `Documentation/driver-api/thermal/sysfs-api.rst`).
//!
//! Some drivers ask slow hardware, and some never answer, so the sensors are asked in a thread and every five seconds.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use wire::{
    diagnostics::{Fan, MAX_ROWS, PowerDraw, Temperature},
    text::Label,
    time::Moment,
};

use super::{
    fans,
    power::{self, Energy},
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
    patience: Patience<(), (Readings, Vec<Energy>)>,
    next: Moment,
    last: Readings,
    energies: Vec<Energy>,
}

/// What the sensors say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Readings {
    pub(crate) temperatures: Vec<Temperature>,
    pub(crate) fans: Vec<Fan>,
    pub(crate) power: Vec<PowerDraw>,
}

impl Sensors {
    pub(crate) fn new(sys: &Path) -> Self {
        Self {
            class: sys.join("class"),
            patience: Patience::new(),
            next: Moment::default(),
            last: Readings::default(),
            energies: Vec::new(),
        }
    }

    /// What the sensors last said. A machine without any is not at fault.
    pub(crate) fn read(&mut self, now: Moment, gaps: &mut Gaps) -> Readings {
        if now >= self.next {
            self.next = now + SENSORS_EVERY;
            let class = self.class.clone();
            let before = self.energies.clone();
            if let Err(error) = self.patience.ask(&(), now, move || read_all(&class, &before)) {
                gaps.note_error("temperatures", &error);
            }
        }
        if let Some(((), (readings, energies))) = self.patience.answers(Duration::ZERO).pop() {
            (self.last, self.energies) = (readings, energies);
        }
        if self.patience.waiting_since(&()).is_some_and(|asked| now - asked >= STUCK_AFTER) {
            gaps.note("temperatures", "a sensor does not answer; the figures are old");
        }
        let mut readings = self.last.clone();
        gaps.bound("temperatures", &mut readings.temperatures, MAX_ROWS);
        gaps.bound("fans", &mut readings.fans, MAX_ROWS);
        gaps.bound("power", &mut readings.power, MAX_ROWS);
        readings
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a draw is energy over the time between two readings, which a stuck sensor stretches"
)]
fn read_all(class: &Path, before: &[Energy]) -> (Readings, Vec<Energy>) {
    let (power, energies) = power::read(class, before, Instant::now());
    (Readings { temperatures: read_sensors(class), fans: fans::read(class), power }, energies)
}

fn read_sensors(class: &Path) -> Vec<Temperature> {
    let mut found = Vec::new();
    for chip in numbered(&class.join("hwmon"), "hwmon", "") {
        let name = first_line(&chip.join("name")).unwrap_or_default();
        for input in numbered(&chip, "temp", "_input") {
            let stem = stem(&input);
            let label = first_line(&chip.join(format!("{stem}_label"))).unwrap_or(stem);
            found.extend(reading(&input).map(|degrees| (format!("{name} {label}"), degrees)));
        }
    }
    if found.is_empty() {
        for zone in numbered(&class.join("thermal"), "thermal_zone", "") {
            let kind = first_line(&zone.join("type")).unwrap_or_default();
            found.extend(reading(&zone.join("temp")).map(|degrees| (kind, degrees)));
        }
    }
    named(found).into_iter().map(|(label, deci_celsius)| Temperature { label, deci_celsius }).collect()
}

/// Gives each a name of its own: the second of a name becomes `#2`.
pub(super) fn named<T>(found: Vec<(String, T)>) -> Vec<(Label, T)> {
    let mut rows = Vec::<(Label, T)>::new();
    for (name, figure) in found {
        let name = name.trim();
        let mut label = Label::cut(name);
        let mut count = 1;
        while rows.iter().any(|(other, _)| *other == label) {
            count += 1;
            label = Label::cut(&format!("#{count} {name}"));
        }
        rows.push((label, figure));
    }
    rows
}

/// The name of an attribute's file without its last part: `temp1` of `temp1_input`.
pub(super) fn stem(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    name.rsplit_once('_').map_or_else(|| name.to_string(), |(stem, _)| stem.to_owned())
}

fn reading(path: &Path) -> Option<i32> {
    let thousandths = signed(first_line(path)?.as_bytes())?;
    i32::try_from(thousandths / 100).ok().filter(|degrees| BELIEVABLE_DECI_CELSIUS.contains(degrees))
}

/// The entries of `folder` named `prefix`, a number, `suffix`, by their numbers. None if it cannot be listed.
pub(super) fn numbered(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
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
