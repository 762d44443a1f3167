use std::collections::BTreeMap;

use wire::diagnostics::{
    report::{Coverage, Outcome},
    sections::hardware::WeaknessState,
};
use zbus::Variant;

use super::{super::smbios::tests::device, *};
use crate::testing::{FakeService, TestBus, TestMachine, survey};

fn laptop() -> TestMachine {
    let machine = TestMachine::new(&[
        ("sys/class/dmi/id/sys_vendor", "LENOVO\n"),
        ("sys/class/dmi/id/product_name", "21CBCTO1WW\n"),
        ("sys/class/dmi/id/product_version", "ThinkPad X1 Carbon Gen 10\n"),
        ("sys/class/dmi/id/product_serial", "PF3ABCDE\n"),
        ("sys/class/dmi/id/product_uuid", "4c4c4544-0042\n"),
        ("sys/class/dmi/id/chassis_asset_tag", "No Asset Information\n"),
        ("sys/class/dmi/id/board_serial", "To Be Filled By O.E.M.\n"),
        ("sys/class/dmi/id/chassis_type", "10\n"),
        ("sys/class/dmi/id/bios_version", "N3AET71W (1.36 )\n"),
        ("sys/devices/system/cpu/vulnerabilities/meltdown", "Not affected\n"),
        ("sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable; SMT Host state unknown\n"),
        ("sys/devices/system/edac/mc/mc0/mc_name", "Intel_client_SoC\n"),
        ("sys/devices/system/edac/mc/mc0/ce_noinfo_count", "1\n"),
        ("sys/devices/system/edac/mc/mc0/ue_noinfo_count", "-1\n"),
        ("sys/devices/system/edac/mc/mc0/dimm0/dimm_label", "CPU_SrcID#0_MC#0_Chan#0_DIMM#0\n"),
        ("sys/devices/system/edac/mc/mc0/dimm0/dimm_ce_count", "42\n"),
        ("sys/devices/system/edac/mc/mc0/dimm0/dimm_ue_count", "0\n"),
        ("sys/devices/system/edac/mc/mc0/dimm1/dimm_location", "channel 1 slot 0\n"),
        ("sys/bus/pci/devices/0000:01:00.0/class", "0x010802\n"),
        ("sys/bus/pci/devices/0000:01:00.0/vendor", "0x144d\n"),
        ("sys/bus/pci/devices/0000:01:00.0/device", "0xa80a\n"),
        ("sys/bus/pci/devices/0000:01:00.0/max_link_width", "4\n"),
        ("sys/bus/pci/devices/0000:01:00.0/current_link_width", "1\n"),
        ("sys/bus/pci/devices/0000:01:00.0/max_link_speed", "16.0 GT/s PCIe\n"),
        ("sys/bus/pci/devices/0000:01:00.0/current_link_speed", "2.5 GT/s PCIe\n"),
        ("sys/bus/pci/devices/0000:01:00.0/aer_dev_correctable", "RxErr 3\nBadTLP 1\nTOTAL_ERR_COR 4\n"),
        ("sys/bus/pci/devices/0000:01:00.0/aer_dev_fatal", "TOTAL_ERR_FATAL 0\n"),
        ("sys/bus/pci/devices/0000:01:00.0/aer_dev_nonfatal", "TOTAL_ERR_NONFATAL 2\n"),
        ("sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n"),
        ("sys/bus/usb/devices/usb1/idVendor", "1d6b\n"),
        ("sys/bus/usb/devices/1-2/idVendor", "046d\n"),
        ("sys/bus/usb/devices/1-2/idProduct", "c52b\n"),
        ("sys/bus/usb/devices/1-2/bDeviceClass", "00\n"),
        ("sys/bus/usb/devices/1-2/product", "USB Receiver\n"),
        ("sys/bus/usb/devices/1-2/serial", "ABC123\n"),
        ("sys/bus/usb/devices/1-2/speed", "1.5\n"),
        ("sys/bus/usb/devices/1-2:1.0/bInterfaceClass", "03\n"),
        ("proc/cpuinfo", "processor : 0\nmodel name : Intel\n"),
        ("proc/meminfo", "MemTotal: 1 kB\nHardwareCorrupted:     4 kB\n"),
    ]);
    machine.link("sys/bus/pci/devices/0000:01:00.0/driver", "../../../bus/pci/drivers/nvme");
    machine.link("sys/bus/usb/devices/1-2:1.0/driver", "../../drivers/usbhid");
    machine.link("sys/bus/usb/devices/1-2:1.1/driver", "../../drivers/usbhid");
    machine.write("sys/firmware/dmi/tables/DMI", device(0x7fff, 32_768, &["DIMM A", "Samsung", "1A2B", "M425"]));
    machine
}

#[test]
fn a_laptop_tells_its_board_and_what_nobody_filled_in_is_blank() {
    let (hardware, outcome, sources) = survey(read, &laptop().sources());
    let hardware = hardware.unwrap();
    let board = hardware.board.unwrap();
    assert_eq!((board.vendor.raw(), board.version.raw()), ("LENOVO", "ThinkPad X1 Carbon Gen 10"));
    assert_eq!((board.serial.raw(), board.chassis.raw()), ("PF3ABCDE", "Notebook"));
    assert!(board.board_serial.is_blank() && board.asset_tag.is_blank());
    assert_eq!(hardware.slots[0].size_mib, Some(32_768));
    let states = hardware.weaknesses.iter().map(|weakness| weakness.state).collect::<Vec<_>>();
    assert_eq!(states, [WeaknessState::Vulnerable, WeaknessState::NotAffected]);
    let missing = sources.iter().filter(|(_, coverage, _)| *coverage != Coverage::Read).map(|(name, ..)| name.as_str());
    assert_eq!((missing.collect::<Vec<_>>(), outcome), (vec!["fwupd"], Outcome::Partial));
}

#[test]
fn errors_of_memory_are_counted_for_each_module_and_for_none() {
    let hardware = survey(read, &laptop().sources()).0.unwrap();
    let told = hardware.memory_errors.iter().map(|e| (e.label.raw(), e.corrected, e.uncorrected)).collect::<Vec<_>>();
    let expected =
        [("CPU_SrcID#0_MC#0_Chan#0_DIMM#0", 42, 0), ("channel 1 slot 0", 0, 0), ("mc0 Intel_client_SoC", 1, 0)];
    assert_eq!(told, expected);
    assert_eq!(hardware.corrupted_kib, Some(4));
}

#[test]
fn a_disk_on_one_lane_of_four_is_seen() {
    let pci = survey(read, &laptop().sources()).0.unwrap().pci;
    let [graphics, disk] = &pci[..] else { panic!("two devices") };
    assert_eq!((graphics.class.raw(), graphics.link, graphics.driver.raw()), ("display controller", None, ""));
    assert_eq!((disk.class.raw(), disk.vendor_id, disk.driver.raw()), ("NVMe controller", 0x144d, "nvme"));
    let link = disk.link.unwrap();
    assert_eq!((link.lanes, link.max_lanes, link.mt_s, link.max_mt_s), (1, 4, 2500, 16_000));
    assert_eq!((link.corrected_errors, link.uncorrected_errors), (Some(4), Some(2)));
}

#[test]
fn a_usb_device_is_what_its_functions_are() {
    let usb = survey(read, &laptop().sources()).0.unwrap().usb;
    let [receiver] = &usb[..] else { panic!("the machine's own hub is no device") };
    assert_eq!((receiver.port.raw(), receiver.class.raw(), receiver.speed_kbit_s), ("1-2", "human interface", 1500));
    assert_eq!((receiver.vendor_id, receiver.serial.raw()), (0x046d, "ABC123"));
    assert_eq!(receiver.drivers, [Label::cut("usbhid")]);
}

#[test]
fn a_board_without_dmi_tells_by_its_device_tree() {
    let machine = TestMachine::new(&[
        ("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0"),
        ("proc/device-tree/serial-number", "10000000abcdef01\0"),
    ]);
    let board = survey(read, &machine.sources()).0.unwrap().board.unwrap();
    assert_eq!((board.product.raw(), board.serial.raw()), ("Raspberry Pi 4 Model B Rev 1.4", "10000000abcdef01"));
}

#[test]
fn a_container_without_any_of_it_says_what_is_missing() {
    let (hardware, outcome, sources) = survey(read, &TestMachine::new(&[]).sources());
    let hardware = hardware.unwrap();
    assert!(hardware.board.is_none() && hardware.pci.is_empty() && hardware.slots.is_empty());
    assert_eq!((sources.len(), outcome), (9, Outcome::Partial));
    assert!(sources.iter().all(|(_, coverage, _)| *coverage == Coverage::Missing), "{sources:?}");
}

#[test]
fn a_fake_of_fwupd_tells_versions_of_firmware() {
    let mut bus = TestBus::start();
    let text = |text: &str| Variant::from(text.to_owned());
    let devices = vec![
        BTreeMap::from([
            ("Name".to_owned(), text("System Firmware")),
            ("Vendor".to_owned(), text("Lenovo")),
            ("Version".to_owned(), text("0.1.36")),
            ("Serial".to_owned(), text("PF3ABCDE")),
            ("Flags".to_owned(), Variant::from(1_u64 << 1 | 1 << 8)),
        ]),
        BTreeMap::from([("Name".to_owned(), Variant::from(7_u32)), ("Flags".to_owned(), text("no number"))]),
    ];
    bus.serve(FakeService::named("org.freedesktop.fwupd").method("/", "org.freedesktop.fwupd", "GetDevices", devices));
    let machine = laptop();
    let (hardware, outcome, _) = survey(read, &Sources { bus: Bus::at(&bus.socket()), ..machine.sources() });
    let firmware = hardware.unwrap().firmware;
    assert_eq!((firmware[0].name.raw(), firmware[0].version.raw()), ("System Firmware", "0.1.36"));
    assert!(firmware[0].updatable && firmware[0].needs_reboot);
    assert!(firmware[1].name.is_blank() && !firmware[1].updatable, "values of another kind are no values");
    assert_eq!(outcome, Outcome::Complete);
}

#[test]
fn hostile_files_of_devices_are_read_without_harm() {
    let machine = TestMachine::new(&[
        ("sys/bus/pci/devices/0000:00:00.0/class", "0xfffffffffffff\n"),
        ("sys/bus/pci/devices/0000:00:00.0/max_link_width", "255\n"),
        ("sys/bus/usb/devices/1-1/speed", "99999999999999999999\n"),
        ("sys/bus/usb/devices/1-1/product", "\u{1b}[2Jx\nsecond line\n"),
        ("sys/firmware/dmi/tables/DMI", "\u{11}\u{ff}"),
        ("sys/devices/system/edac/mc/power", ""),
    ]);
    let (hardware, _, sources) = survey(read, &machine.sources());
    let hardware = hardware.unwrap();
    assert_eq!((hardware.pci[0].class.raw(), hardware.pci[0].link), ("other", None));
    assert_eq!((hardware.usb[0].speed_kbit_s, hardware.usb[0].product.raw()), (0, "\u{1b}[2Jx"));
    let reason = |name: &str| &sources.iter().find(|(source, ..)| source == name).unwrap().2;
    assert!(reason("memory slots").contains("does not make sense"));
    assert_eq!(reason("memory error counters"), "no driver counts errors of this memory");
}

#[test]
fn this_machine_has_a_processor() {
    let sources = Sources { roots: Roots::default(), ..TestMachine::new(&[]).sources() };
    let hardware = survey(read, &sources).0.unwrap();
    assert!(hardware.processor.threads >= 1);
    assert!(hardware.processor.cores <= hardware.processor.threads);
}
