use wire::diagnostics::{
    report::{Coverage, Outcome},
    sections::power::{Battery, BatteryState},
};

use super::*;
use crate::testing::{FakeService, TestBus, TestMachine, survey};

const BAT: &str = "sys/class/power_supply/BAT0";

fn with_battery(files: &[(&str, &str)]) -> TestMachine {
    let machine = TestMachine::new(&[("sys/class/power_supply/BAT0/type", "Battery\n")]);
    for (name, content) in files {
        machine.write(&format!("{BAT}/{name}"), content);
    }
    machine
}

fn battery(files: &[(&str, &str)]) -> Battery {
    survey(read, &with_battery(files).sources()).0.unwrap().batteries.remove(0)
}

#[test]
fn a_battery_that_measures_energy() {
    let battery = battery(&[
        ("status", "Discharging\n"),
        ("capacity", "63\n"),
        ("energy_now", "25200000\n"),
        ("energy_full", "40000000\n"),
        ("energy_full_design", "57000000\n"),
        ("power_now", "8500000\n"),
        ("voltage_now", "15400000\n"),
        ("cycle_count", "412\n"),
        ("technology", "Li-poly\n"),
        ("serial_number", " 5123\n"),
        ("charge_control_end_threshold", "80\n"),
        ("temp", "-35\n"),
    ]);
    assert_eq!((battery.state, battery.charge_permille), (BatteryState::Discharging, Some(630)));
    assert_eq!((battery.energy_mwh, battery.full_mwh, battery.design_mwh), (Some(25_200), Some(40_000), Some(57_000)));
    assert_eq!((battery.power_mw, battery.voltage_mv, battery.cycles), (Some(8500), Some(15_400), Some(412)));
    assert_eq!((battery.charge_limit_percent, battery.deci_celsius), (Some(80), Some(-35)));
    assert_eq!((battery.serial.raw(), battery.runs_machine), ("5123", true));
}

#[test]
fn a_battery_that_measures_charge_is_told_in_energy_too() {
    let battery = battery(&[
        ("status", "Charging\n"),
        ("charge_now", "2000000\n"),
        ("charge_full", "4000000\n"),
        ("charge_full_design", "5000000\n"),
        ("current_now", "-1500000\n"),
        ("voltage_now", "12000000\n"),
        ("voltage_min_design", "11400000\n"),
    ]);
    assert_eq!((battery.energy_mwh, battery.full_mwh, battery.design_mwh), (Some(22_800), Some(45_600), Some(57_000)));
    assert_eq!((battery.power_mw, battery.charge_permille), (Some(18_000), Some(500)), "a sign is no direction");
}

#[test]
fn a_mouse_has_a_battery_that_the_machine_does_not_run_on() {
    let battery = battery(&[("scope", "Device\n"), ("capacity_level", "Low\n"), ("model_name", "MX Master 3\n")]);
    assert_eq!((battery.runs_machine, battery.level.raw(), battery.state), (false, "Low", BatteryState::Unknown));
    assert_eq!((battery.charge_permille, battery.cycles, battery.energy_mwh), (None, None, None));
}

#[test]
fn what_is_connected_by_bluetooth_tells_its_address_as_one_and_not_what_it_is_called() {
    let supplies = "sys/class/power_supply";
    let machine = TestMachine::new(&[]);
    for (name, serial) in [
        ("hid-00:1f:20:01:02:03-battery", ""),
        ("hid-00:1f:20:01:02:04-battery", ""),
        ("hid-00:1f:20:01:02:05-battery", ""),
        ("ps-controller-battery-AA:1f:20:01:02:03", "S77"),
        ("wacom_battery_0", ""),
    ] {
        for (file, content) in
            [("type", "Battery\n"), ("scope", "Device\n"), ("model_name", "Ana's mouse\n"), ("serial_number", serial)]
        {
            machine.write(&format!("{supplies}/{name}/{file}"), content);
        }
    }
    let batteries = survey(read, &machine.sources()).0.unwrap().batteries;
    let told = batteries.iter().map(|one| (one.name.raw(), one.model.raw(), one.serial.raw())).collect::<Vec<_>>();
    assert_eq!(
        told,
        [
            ("hid-battery", "", "00:1f:20:01:02:03"),
            ("hid-battery 2", "", "00:1f:20:01:02:04"),
            ("hid-battery 3", "", "00:1f:20:01:02:05"),
            ("ps-controller-battery", "", "S77"),
            ("wacom_battery_0", "Ana's mouse", ""),
        ]
    );
}

#[test]
fn an_empty_bay_is_no_battery_and_a_charger_is_a_supply() {
    let machine = with_battery(&[("present", "0\n")]);
    machine.write("sys/class/power_supply/AC/type", "Mains\n");
    machine.write("sys/class/power_supply/AC/online", "1\n");
    machine.write("sys/class/power_supply/odd/online", "1\n");
    let (power, _, sources) = survey(read, &machine.sources());
    let power = power.unwrap();
    assert!(power.batteries.is_empty());
    assert_eq!((power.supplies[0].name.raw(), power.supplies[0].online), ("AC", Some(true)));
    let supplies = sources.iter().find(|(name, ..)| name == "power supplies").unwrap();
    assert_eq!((supplies.1, supplies.2.as_str()), (Coverage::Partial, "some do not tell what they are"));
}

#[test]
fn figures_that_no_battery_has_are_left_out() {
    let battery = battery(&[
        ("energy_now", "99999999999999999999\n"),
        ("energy_full", "9223372036854775807\n"),
        ("capacity", "250\n"),
        ("charge_now", "nonsense\n"),
        ("current_now", "-9223372036854775808\n"),
        ("voltage_now", "1000000000000\n"),
        ("charge_control_end_threshold", "400\n"),
        ("status", "\u{1b}[2J\n"),
        ("cycle_count", "0\n"),
    ]);
    assert_eq!((battery.energy_mwh, battery.full_mwh, battery.power_mw), (None, None, None));
    assert_eq!((battery.charge_permille, battery.charge_limit_percent, battery.cycles), (Some(1000), None, None));
    assert_eq!(battery.state, BatteryState::Unknown);
}

#[test]
fn fans_meters_and_counters_of_energy_are_read() {
    let machine = TestMachine::new(&[
        ("sys/class/hwmon/hwmon0/name", "thinkpad\n"),
        ("sys/class/hwmon/hwmon0/fan1_input", "2950\n"),
        ("sys/class/hwmon/hwmon0/fan1_label", "CPU\n"),
        ("sys/class/hwmon/hwmon0/fan2_input", "0\n"),
        ("sys/class/hwmon/hwmon0/fan2_fault", "1\n"),
        ("sys/class/hwmon/hwmon0/fan3_input", "-1\n"),
        ("sys/class/hwmon/hwmon0/fan_boost_input", "9\n"),
        ("sys/class/hwmon/hwmon1/name", "amdgpu\n"),
        ("sys/class/hwmon/hwmon1/power1_average", "18000000\n"),
        ("sys/class/hwmon/hwmon1/power2_input", "7000000\n"),
        ("sys/class/hwmon/hwmon1/power2_average", "6000000\n"),
        ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
        ("sys/class/powercap/intel-rapl:0/energy_uj", "123456789\n"),
        ("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n"),
        ("sys/class/powercap/intel-rapl:0:0/energy_uj", "5\n"),
        ("sys/class/powercap/intel-rapl-mmio:0/energy_uj", "5\n"),
    ]);
    let power = survey(read, &machine.sources()).0.unwrap();
    let fans = power.fans.iter().map(|fan| (fan.label.raw(), fan.rpm, fan.fault)).collect::<Vec<_>>();
    assert_eq!(fans, [("thinkpad CPU", 2950, false), ("thinkpad fan2", 0, true)]);
    let meters = power.meters.iter().map(|meter| (meter.label.raw(), meter.power_mw)).collect::<Vec<_>>();
    assert_eq!(meters, [("amdgpu power1", 18_000), ("amdgpu power2", 7000), ("package-0", 0)]);
}

#[test]
fn throttling_is_summed_over_cores_and_taken_from_the_worst_package() {
    let machine = TestMachine::new(&[
        ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3\n"),
        ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "7\n"),
        ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "2\n"),
        ("sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "7\n"),
        ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_total_time_ms", "1200\n"),
    ]);
    let throttling = survey(read, &machine.sources()).0.unwrap().throttling.unwrap();
    assert_eq!((throttling.core_events, throttling.package_events), (5, 7));
    assert_eq!((throttling.worst_core_ms, throttling.worst_package_ms), (Some(1200), None));
}

#[test]
fn processors_with_the_same_rules_are_one_row() {
    let policy = |number: u32, governor: &str, now: &str| {
        let folder = format!("sys/devices/system/cpu/cpufreq/policy{number}");
        [
            (format!("{folder}/affected_cpus"), format!("{number}\n")),
            (format!("{folder}/scaling_driver"), "intel_pstate\n".to_owned()),
            (format!("{folder}/scaling_governor"), format!("{governor}\n")),
            (format!("{folder}/scaling_min_freq"), "400000\n".to_owned()),
            (format!("{folder}/scaling_max_freq"), "4700000\n".to_owned()),
            (format!("{folder}/cpuinfo_max_freq"), "4700000\n".to_owned()),
            (format!("{folder}/scaling_cur_freq"), format!("{now}\n")),
        ]
    };
    let machine = TestMachine::new(&[
        ("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n"),
        ("sys/class/thermal/cooling_device0/type", "Processor\n"),
        ("sys/class/thermal/cooling_device0/cur_state", "2\n"),
        ("sys/class/thermal/cooling_device0/max_state", "10\n"),
        ("sys/class/thermal/cooling_device1/type", "stuck\n"),
    ]);
    for (path, content) in [
        policy(0, "powersave", "1200000"),
        policy(1, "powersave", "<unknown>"),
        policy(2, "powersave", "3400000"),
        policy(10, "performance", "800000"),
    ]
    .concat()
    {
        machine.write(&path, content);
    }
    let (power, _, sources) = survey(read, &machine.sources());
    let power = power.unwrap();
    let rows =
        power.frequencies.iter().map(|row| (row.processors, row.governor.raw(), row.slowest_mhz, row.fastest_mhz));
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [(3, "powersave", Some(1200), Some(3400)), (1, "performance", Some(800), Some(800))]
    );
    assert_eq!((power.boost, power.cooling.len(), power.cooling[0].level), (Some(false), 1, 2));
    assert!(sources.iter().any(|(name, _, why)| name == "cooling devices" && why == "some do not tell what they do"));
}

#[test]
fn a_fake_of_the_profiles_daemon_says_what_holds_the_machine_back() {
    for (name, path) in [
        ("org.freedesktop.UPower.PowerProfiles", "/org/freedesktop/UPower/PowerProfiles"),
        ("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles"),
    ] {
        let mut bus = TestBus::start();
        let fake = FakeService::named(name).property(path, name, "ActiveProfile", "performance");
        bus.serve(fake.property(path, name, "PerformanceDegraded", "lap-detected"));
        let machine = TestMachine::new(&[("sys/firmware/acpi/platform_profile", "balanced\n")]);
        let sources = Sources { bus: Bus::at(&bus.socket()), ..machine.sources() };
        let (power, _, told) = survey(read, &sources);
        let power = power.unwrap();
        assert!(told.contains(&("power profiles".to_owned(), Coverage::Read, String::new())), "{told:?}");
        assert_eq!((power.profile.raw(), power.degraded.raw()), ("performance", "lap-detected"));
    }
}

#[test]
fn a_virtual_machine_without_any_of_it_says_what_is_missing() {
    let (power, outcome, sources) = survey(read, &TestMachine::new(&[]).sources());
    let power = power.unwrap();
    assert!(power.batteries.is_empty() && power.throttling.is_none() && power.boost.is_none());
    assert_eq!((sources.len(), outcome), (7, Outcome::Partial));
    assert!(sources.iter().all(|(_, coverage, why)| *coverage == Coverage::Missing && !why.is_empty()));
}

#[test]
fn this_machine_is_read_within_its_bounds() {
    let sources = Sources { roots: crate::roots::Roots::default(), ..TestMachine::new(&[]).sources() };
    let power = survey(read, &sources).0.unwrap();
    assert!(power.batteries.iter().all(|battery| battery.charge_permille.is_none_or(|charge| charge <= 1000)));
    assert!(power.cooling.iter().all(|cooling| cooling.level <= cooling.max_level));
    assert!(power.frequencies.iter().all(|group| group.slowest_mhz <= group.fastest_mhz));
}
