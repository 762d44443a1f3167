//! Devices on the PCI and USB buses, from sysfs: the kernel's `Documentation/ABI/testing/sysfs-bus-{pci,usb}`.

use std::path::Path;

use wire::{
    diagnostics::sections::hardware::{MAX_PCI, MAX_USB, PciDevice, PciLink, UsbDevice},
    text::Label,
};

use crate::{
    manifest::Manifest,
    sysfs::{hex, id, label, link_name, names, whole},
    text::{fields, first_line, hundredths, lines, number, read_file},
};

/// Most drivers of one USB device that are named.
const MAX_DRIVERS: usize = 8;

pub(super) fn pci(sys: &Path, manifest: &mut Manifest) -> Vec<PciDevice> {
    let folder = sys.join("bus/pci/devices");
    let Some(names) = manifest.keep("PCI devices", names(&folder)) else { return Vec::new() };
    let device = |name: &String| {
        let device = folder.join(name);
        let class_code = hex(&device.join("class")).unwrap_or(0);
        PciDevice {
            address: Label::cut(name),
            class: Label::cut(pci_class(class_code)),
            class_code,
            vendor_id: id(&device.join("vendor")),
            device_id: id(&device.join("device")),
            subsystem_vendor_id: id(&device.join("subsystem_vendor")),
            subsystem_id: id(&device.join("subsystem_device")),
            driver: Label::cut(&link_name(&device.join("driver")).unwrap_or_default()),
            link: link(&device),
        }
    };
    let mut devices = names.iter().take(MAX_PCI).map(device).collect::<Vec<_>>();
    if names.len() > devices.len() {
        let more = names.len() - devices.len();
        manifest.partial("PCI devices", &format!("{more} more than the {MAX_PCI} that are listed"));
    }
    devices.truncate(MAX_PCI);
    devices
}

/// The link of a PCI Express device. A speed reads `8.0 GT/s PCIe`; lanes that are not in use read 0.
fn link(device: &Path) -> Option<PciLink> {
    let lanes = |name: &str| whole(&device.join(name)).and_then(|lanes| u16::try_from(lanes).ok());
    let speed = |name: &str| {
        let line = first_line(&device.join(name))?;
        let speed = hundredths(fields(line.as_bytes()).next()?)?;
        u32::try_from(speed.saturating_mul(10)).ok()
    };
    let max_lanes = lanes("max_link_width").filter(|lanes| (1..=32).contains(lanes))?;
    let errors = |name: &str, total: &[u8]| {
        let mut buffer = Vec::new();
        let text = read_file(&device.join(name), &mut buffer).ok()?;
        let line = lines(text).find_map(|line| line.strip_prefix(total))?;
        fields(line).next().and_then(number)
    };
    let [nonfatal, fatal] =
        [errors("aer_dev_nonfatal", b"TOTAL_ERR_NONFATAL"), errors("aer_dev_fatal", b"TOTAL_ERR_FATAL")];
    Some(PciLink {
        lanes: lanes("current_link_width").unwrap_or(0),
        max_lanes,
        mt_s: speed("current_link_speed").unwrap_or(0),
        max_mt_s: speed("max_link_speed").unwrap_or(0),
        corrected_errors: errors("aer_dev_correctable", b"TOTAL_ERR_COR"),
        uncorrected_errors: nonfatal.zip(fatal).map(|(nonfatal, fatal)| nonfatal.saturating_add(fatal)),
    })
}

/// The PCI code and ID assignment specification, of which the subclasses that people know by name.
fn pci_class(code: u32) -> &'static str {
    match (code >> 16, code >> 8 & 0xff) {
        (0x01, 0x06) => "SATA controller",
        (0x01, 0x08) => "NVMe controller",
        (0x01, 0x04) => "RAID controller",
        (0x01, _) => "storage controller",
        (0x02, 0x00) => "Ethernet controller",
        (0x02, _) => "network controller",
        (0x03, _) => "display controller",
        (0x04, 0x01 | 0x03) => "audio device",
        (0x04, _) => "multimedia controller",
        (0x05, _) => "memory controller",
        (0x06, 0x00) => "host bridge",
        (0x06, 0x04) => "PCI bridge",
        (0x06, _) => "bridge",
        (0x07, _) => "communication controller",
        (0x08, _) => "system peripheral",
        (0x09, _) => "input device",
        (0x0a, _) => "docking station",
        (0x0b, _) => "processor",
        (0x0c, 0x03) => "USB controller",
        (0x0c, 0x05) => "SMBus",
        (0x0c, _) => "serial bus controller",
        (0x0d, _) => "wireless controller",
        (0x0e, _) => "intelligent controller",
        (0x0f, _) => "satellite controller",
        (0x10, _) => "encryption controller",
        (0x11, _) => "signal processing controller",
        (0x12, _) => "processing accelerator",
        _ => "other",
    }
}

pub(super) fn usb(sys: &Path, manifest: &mut Manifest) -> Vec<UsbDevice> {
    let folder = sys.join("bus/usb/devices");
    let Some(names) = manifest.keep("USB devices", names(&folder)) else { return Vec::new() };
    let mut devices = Vec::new();
    // Functions of a device stand beside it: `1-2` has `1-2:1.0`. Hubs of the machine itself are `usb1` and so on.
    for port in names.iter().filter(|name| !name.contains(':') && !name.starts_with("usb")) {
        let prefix = format!("{port}:");
        let functions = names.iter().filter(|name| name.starts_with(&prefix)).map(|name| folder.join(name));
        let mut class = hex(&folder.join(port).join("bDeviceClass")).unwrap_or(0);
        let mut drivers = Vec::new();
        for function in functions {
            // 0 says that each function has a class of its own, 0xef that several belong together.
            if class == 0 || class == 0xef {
                class = hex(&function.join("bInterfaceClass")).unwrap_or(class);
            }
            let driver = link_name(&function.join("driver")).map(|driver| Label::cut(&driver));
            drivers.extend(driver.filter(|driver| drivers.len() < MAX_DRIVERS && !drivers.contains(driver)));
        }
        let device = folder.join(port);
        // A speed in megabits may have a fraction: 1.5.
        let speed = first_line(&device.join("speed")).and_then(|speed| hundredths(speed.as_bytes()));
        devices.push(UsbDevice {
            port: Label::cut(port),
            class: Label::cut(usb_class(class)),
            vendor_id: id(&device.join("idVendor")),
            product_id: id(&device.join("idProduct")),
            vendor: label(&device.join("manufacturer")),
            product: label(&device.join("product")),
            serial: label(&device.join("serial")),
            speed_kbit_s: speed.unwrap_or(0).saturating_mul(10),
            drivers,
        });
    }
    manifest.bound("USB devices", &mut devices, MAX_USB);
    devices
}

/// <https://www.usb.org/defined-class-codes>.
fn usb_class(class: u32) -> &'static str {
    match class {
        0x01 => "audio",
        0x02 | 0x0a => "communication",
        0x03 => "human interface",
        0x05 => "physical interface",
        0x06 => "still image",
        0x07 => "printer",
        0x08 => "mass storage",
        0x09 => "hub",
        0x0b => "smart card",
        0x0d => "content security",
        0x0e => "video",
        0x0f => "personal health",
        0x10 => "audio and video",
        0x11 => "billboard",
        0x12 => "USB-C bridge",
        0xdc => "diagnostic",
        0xe0 => "wireless controller",
        0xfe => "application-specific",
        0xff => "vendor-specific",
        _ => "other",
    }
}
