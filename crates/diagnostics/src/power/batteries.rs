//! Batteries and supplies from `/sys/class/power_supply`: the kernel's `Documentation/ABI/testing/sysfs-class-power`.

use std::path::Path;

use wire::{
    diagnostics::sections::power::{Battery, BatteryState, MAX_BATTERIES, MAX_SUPPLIES, Supply},
    text::Label,
};

use crate::{
    manifest::Manifest,
    rates::permille,
    sysfs::{flag, label, names, signed_whole, whole},
    text::first_line,
};

/// No battery that a person can lift has more: a million watt-hours. Anything above is a driver's mistake.
const BELIEVABLE_MICRO: u64 = 1_000_000_000_000;

/// Characters of a hardware address.
const ADDRESS: usize = "00:1f:20:01:02:03".len();

pub(super) fn read(folder: &Path, manifest: &mut Manifest) -> (Vec<Battery>, Vec<Supply>) {
    let (mut batteries, mut supplies) = (Vec::new(), Vec::new());
    let Some(names) = manifest.keep("power supplies", names(folder)) else { return (batteries, supplies) };
    for name in names {
        let device = folder.join(&name);
        match first_line(&device.join("type")).as_deref() {
            // A bay without a battery in it says so.
            Some("Battery") if flag(&device.join("present")) == Some(false) => {}
            Some("Battery") => {
                let battery = battery(&name, &device);
                let base = battery.name.raw();
                let numbered =
                    |name: &str| name.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
                let same = batteries.iter().filter(|other: &&Battery| numbered(other.name.raw())).count();
                // Of a keyboard and a mouse that are both called by their addresses, the same is left.
                let name = if same == 0 { battery.name.clone() } else { Label::cut(&format!("{base} {}", same + 1)) };
                batteries.push(Battery { name, ..battery });
            }
            Some(kind) => supplies.push(Supply {
                name: Label::cut(&name),
                kind: Label::cut(kind),
                // 2 is a supply that feeds by a protocol of its own.
                online: whole(&device.join("online")).map(|online| online != 0),
            }),
            None => manifest.partial("power supplies", "some do not tell what they are"),
        }
    }
    manifest.bound("power supplies", &mut batteries, MAX_BATTERIES);
    manifest.bound("power supplies", &mut supplies, MAX_SUPPLIES);
    (batteries, supplies)
}

/// Drivers name what is connected by Bluetooth by its address, such as `hid-00:1f:20:01:02:03-battery`, and its model is what it is
/// called in the air, which anybody may change to `Ana's mouse`. So the address is its serial number, and its model is not told.
fn battery(name: &str, device: &Path) -> Battery {
    let Some((plain, address)) = without_address(name) else { return plain_battery(name, device) };
    let battery = plain_battery(&plain, device);
    let serial = if battery.serial.is_blank() { Label::cut(address) } else { battery.serial };
    Battery { model: Label::default(), serial, ..battery }
}

/// The name without the hardware address in it, and the address; `None` if it has none.
fn without_address(name: &str) -> Option<(String, &str)> {
    let is_address = |text: &str| {
        let at = |(place, byte): (usize, u8)| if place % 3 == 2 { byte == b':' } else { byte.is_ascii_hexdigit() };
        text.bytes().enumerate().all(at)
    };
    let (start, address) = (0..name.len())
        .filter_map(|start| Some((start, name.get(start..start + ADDRESS)?)))
        .find(|(_, text)| is_address(text))?;
    let ends = |c: char| !c.is_alphanumeric();
    let (before, behind) =
        (name.get(..start)?.trim_end_matches(ends), name.get(start + ADDRESS..)?.trim_start_matches(ends));
    let parts = [before, behind].into_iter().filter(|part| !part.is_empty());
    Some((parts.collect::<Vec<_>>().join("-"), address))
}

fn plain_battery(name: &str, device: &Path) -> Battery {
    let told = |file: &str| label(&device.join(file));
    // Some drivers give a sign to what flows; the state says which way it does.
    let micro =
        |file: &str| signed_whole(&device.join(file)).map(i64::unsigned_abs).filter(|value| *value <= BELIEVABLE_MICRO);
    let voltage = micro("voltage_now");
    // Charge becomes energy by the voltage that the battery was made for, which does not sink while it empties.
    let nominal = micro("voltage_min_design").filter(|voltage| *voltage != 0).or(voltage);
    let energy = |energy: &str, charge: &str| {
        let energy = micro(energy).or_else(|| product(micro(charge)?, nominal?))?;
        Some(energy / 1000)
    };
    let energy_mwh = energy("energy_now", "charge_now");
    let full_mwh = energy("energy_full", "charge_full");
    let by_energy = || Some(permille(energy_mwh?, full_mwh.filter(|full| *full != 0)?));
    let by_gauge = || Some(permille(whole(&device.join("capacity"))?, 100));
    Battery {
        name: Label::cut(name),
        runs_machine: first_line(&device.join("scope")).as_deref() != Some("Device"),
        state: state(first_line(&device.join("status")).as_deref().unwrap_or_default()),
        charge_permille: by_gauge().or_else(by_energy),
        level: told("capacity_level"),
        energy_mwh,
        full_mwh,
        design_mwh: energy("energy_full_design", "charge_full_design"),
        // Firmware that does not count says 0.
        cycles: whole(&device.join("cycle_count")).filter(|cycles| *cycles != 0).and_then(|n| u32::try_from(n).ok()),
        power_mw: micro("power_now").or_else(|| product(micro("current_now")?, voltage?)).map(|power| power / 1000),
        voltage_mv: voltage.map(|voltage| voltage / 1000),
        deci_celsius: signed_whole(&device.join("temp")).and_then(|tenths| i32::try_from(tenths).ok()),
        charge_limit_percent: whole(&device.join("charge_control_end_threshold"))
            .and_then(|limit| u8::try_from(limit).ok())
            .filter(|limit| (1..100).contains(limit)),
        technology: told("technology"),
        health: told("health"),
        vendor: told("manufacturer"),
        model: told("model_name"),
        serial: told("serial_number"),
    }
}

/// Of a current or a charge and a voltage, all in millionths.
fn product(left: u64, right: u64) -> Option<u64> {
    u64::try_from(u128::from(left) * u128::from(right) / 1_000_000).ok()
}

fn state(word: &str) -> BatteryState {
    match word {
        "Charging" => BatteryState::Charging,
        "Discharging" => BatteryState::Discharging,
        "Not charging" => BatteryState::NotCharging,
        "Full" => BatteryState::Full,
        _ => BatteryState::Unknown,
    }
}
