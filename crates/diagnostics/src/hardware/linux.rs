//! What the machine is made of: DMI as `/sys/class/dmi/id` shows it, the firmware's memory table, EDAC
//! (`Documentation/driver-api/edac.rst`), and fwupd over D-Bus.

use std::{fs, io, path::Path, time::Duration};

use wire::{
    diagnostics::sections::hardware::{Board, Firmware, Hardware, MAX_FIRMWARE, MAX_MODULES, MemoryErrors},
    text::Label,
};
use zbus::OwnedVariant;

use super::{devices, is_filler, processor, smbios};
use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    roots::Roots,
    sources::Sources,
    sysfs::{numbered, whole},
    text::{first_line, read_file},
};

const BUS_DEADLINE: Duration = Duration::from_secs(10);

/// Reads the section.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Hardware> {
    let Sources { roots, bus, .. } = sources;
    let mut hardware = Hardware {
        board: read_board(roots, manifest),
        processor: processor::read(roots, manifest),
        weaknesses: processor::weaknesses(&roots.sys, manifest),
        memory_errors: read_memory_errors(&roots.sys, manifest),
        corrupted_kib: manifest.keep("/proc/meminfo", processor::corrupted_kib(&roots.proc)).flatten(),
        pci: devices::pci(&roots.sys, manifest),
        usb: devices::usb(&roots.sys, manifest),
        firmware: manifest.keep("fwupd", ask_fwupd(bus)).unwrap_or_default(),
        ..Hardware::default()
    };
    manifest.bound("fwupd", &mut hardware.firmware, MAX_FIRMWARE);
    read_memory_table(&roots.sys, &mut hardware, manifest);
    Some(hardware)
}

/// Machines without DMI have a device tree, which tells less.
fn read_board(roots: &Roots, manifest: &mut Manifest) -> Option<Board> {
    let dmi = roots.sys.join("class/dmi/id");
    if let Err(error) = fs::read_dir(&dmi) {
        let tree = roots.proc.join("device-tree");
        let Some(model) = first_line(&tree.join("model")) else {
            manifest.failed("DMI", &error);
            return None;
        };
        manifest.read("device tree");
        let serial = Label::cut(&first_line(&tree.join("serial-number")).unwrap_or_default());
        return Some(Board { product: Label::cut(&model), serial, ..Board::default() });
    }
    manifest.read("DMI");
    let told = |name: &str| {
        let text = first_line(&dmi.join(name)).filter(|text| !is_filler(text));
        Label::cut(&text.unwrap_or_default())
    };
    // Serial numbers are for root alone. That one is empty says nothing; that it cannot be opened does.
    let mut buffer = Vec::new();
    if let Err(error) = read_file(&dmi.join("product_serial"), &mut buffer)
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        manifest.failed("DMI serial numbers", &error);
    }
    Some(Board {
        vendor: told("sys_vendor"),
        product: told("product_name"),
        version: told("product_version"),
        serial: told("product_serial"),
        uuid: told("product_uuid"),
        board_vendor: told("board_vendor"),
        board: told("board_name"),
        board_serial: told("board_serial"),
        chassis: Label::cut(whole(&dmi.join("chassis_type")).map_or("", chassis)),
        chassis_serial: told("chassis_serial"),
        asset_tag: told("chassis_asset_tag"),
        firmware_vendor: told("bios_vendor"),
        firmware_version: told("bios_version"),
        firmware_date: told("bios_date"),
    })
}

/// DSP0134, 7.4.1.
fn chassis(kind: u64) -> &'static str {
    // The highest bit says whether it can be locked.
    match kind & 0x7f {
        1 => "Other",
        3 => "Desktop",
        4 => "Low-profile desktop",
        5 => "Pizza box",
        6 => "Mini tower",
        7 => "Tower",
        8 => "Portable",
        9 => "Laptop",
        10 => "Notebook",
        11 => "Hand-held",
        12 => "Docking station",
        13 => "All-in-one",
        14 => "Sub-notebook",
        15 => "Space-saving",
        16 => "Lunch box",
        17 => "Main server",
        18 => "Expansion chassis",
        23 => "Rack-mounted server",
        24 => "Sealed-case PC",
        28 => "Blade",
        29 => "Blade enclosure",
        30 => "Tablet",
        31 => "Convertible",
        32 => "Detachable",
        33 => "IoT gateway",
        34 => "Embedded PC",
        35 => "Mini PC",
        36 => "Stick PC",
        _ => "",
    }
}

fn read_memory_table(sys: &Path, hardware: &mut Hardware, manifest: &mut Manifest) {
    let mut buffer = Vec::new();
    let read = read_file(&sys.join("firmware/dmi/tables/DMI"), &mut buffer);
    let Some(table) = manifest.keep("memory slots", read) else { return };
    let memory = smbios::parse(table);
    if memory.cut {
        manifest
            .partial("memory slots", "the firmware's table does not make sense to its end, or is longer than expected");
    }
    hardware.slots = memory.slots;
    hardware.memory_protection = Label::cut(memory.protection);
}

/// Counters of each module and, for errors that could not be told to belong to one, of each controller.
fn read_memory_errors(sys: &Path, manifest: &mut Manifest) -> Vec<MemoryErrors> {
    let controllers = sys.join("devices/system/edac/mc");
    if let Err(error) = fs::read_dir(&controllers) {
        manifest.failed("memory error counters", &error);
        return Vec::new();
    }
    let mut errors = Vec::new();
    let names = numbered(&controllers, "mc");
    if names.is_empty() {
        manifest.missing("memory error counters", "no driver counts errors of this memory");
        return errors;
    }
    manifest.read("memory error counters");
    for name in names {
        let controller = controllers.join(&name);
        let count = |path: &Path| whole(path).unwrap_or(0);
        for prefix in ["dimm", "rank"] {
            for module in numbered(&controller, prefix) {
                let folder = controller.join(&module);
                // Nobody labels the modules of most boards; then the driver says where they are, or nothing.
                let label = first_line(&folder.join("dimm_label"));
                let label = label.or_else(|| first_line(&folder.join("dimm_location")));
                errors.push(MemoryErrors {
                    label: Label::cut(&label.unwrap_or_else(|| format!("{name} {module}"))),
                    corrected: count(&folder.join("dimm_ce_count")),
                    uncorrected: count(&folder.join("dimm_ue_count")),
                });
            }
        }
        errors.push(MemoryErrors {
            label: Label::cut(&match first_line(&controller.join("mc_name")) {
                Some(driver) => format!("{name} {driver}"),
                None => name,
            }),
            corrected: count(&controller.join("ce_noinfo_count")),
            uncorrected: count(&controller.join("ue_noinfo_count")),
        });
    }
    manifest.bound("memory error counters", &mut errors, MAX_MODULES);
    errors
}

/// `GetDevices` of fwupd: a list of dictionaries. It knows serial numbers too, which are not asked for here.
fn ask_fwupd(bus: &Bus) -> io::Result<Vec<Firmware>> {
    /// `FwupdDeviceFlags` of its libfwupd.
    const UPDATABLE: u64 = 1 << 1;
    const NEEDS_REBOOT: u64 = 1 << 8;
    type Device = std::collections::BTreeMap<String, OwnedVariant>;

    let devices = bus.ask(BUS_DEADLINE, async |talk: &Talk| {
        let method = ("org.freedesktop.fwupd", "GetDevices");
        talk.call::<Vec<Device>>("org.freedesktop.fwupd", "/", method, &()).await
    })?;
    let firmware = |mut device: Device| {
        let mut text = |key: &str| {
            let value = device.remove(key).and_then(|value| String::try_from(value).ok());
            Label::cut(&value.unwrap_or_default())
        };
        let [name, vendor, version] = ["Name", "Vendor", "Version"].map(&mut text);
        let flags = device.remove("Flags").and_then(|value| u64::try_from(value).ok()).unwrap_or(0);
        Firmware { name, vendor, version, updatable: flags & UPDATABLE != 0, needs_reboot: flags & NEEDS_REBOOT != 0 }
    };
    Ok(devices.into_iter().map(firmware).collect())
}

#[cfg(test)]
mod tests;
