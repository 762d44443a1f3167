//! Block devices and what the kernel makes of them, from `/sys/block` (the kernel's `Documentation/ABI/stable/sysfs-block`).

use std::path::Path;

use wire::{
    diagnostics::sections::storage::{BlockDevice, MAX_MEMBERS, MAX_PARTITIONS, MappedDevice, MappedKind, Partition},
    text::Label,
};

use crate::{
    folders::list,
    sysfs::block_name,
    text::{first_line, number, read_file},
};

/// Sectors in sysfs have 512 bytes, whatever the device has.
const SECTORS_PER_KIB: u64 = 2;

/// Most entries of one device's folder that are looked at; a disk has about thirty besides its partitions.
const MAX_ENTRIES: usize = 512;

/// The device in `folder`, if there is hardware behind it. Devices that the kernel makes of others or of nothing have no
/// `device`; paths to a multipath NVMe device are hidden, as the device itself stands for them.
pub(super) fn device(name: &str, folder: &Path) -> Option<BlockDevice> {
    let hardware = folder.join("device");
    if !hardware.exists() || flag(&folder.join("hidden")) == Some(true) {
        return None;
    }
    let first_of = |files: &[&str]| files.iter().find_map(|file| first_line(&hardware.join(file))).unwrap_or_default();
    // What stands where the vendor's name should be when a disk speaks ATA behind SCSI.
    let vendor = first_line(&hardware.join("vendor")).filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x"));
    let model = first_of(&["model", "name"]);
    let model = vendor.map_or_else(|| model.clone(), |vendor| format!("{vendor} {model}"));
    let serial = first_line(&hardware.join("serial")).or_else(|| first_line(&folder.join("serial")));
    let serial = serial.or_else(|| unit_serial(&hardware.join("vpd_pg80")));
    let wwn = first_line(&folder.join("wwid")).or_else(|| first_line(&hardware.join("wwid")));
    Some(BlockDevice {
        name: Label::cut(name),
        size_kib: size_kib(folder),
        rotational: flag(&folder.join("queue/rotational")),
        removable: flag(&folder.join("removable")).unwrap_or(false),
        read_only: flag(&folder.join("ro")).unwrap_or(false),
        model: Label::cut(model.trim()),
        firmware: Label::cut(&first_of(&["firmware_rev", "rev", "fwrev"])),
        serial: Label::cut(&serial.unwrap_or_default()),
        wwn: Label::cut(&wwn.unwrap_or_default()),
        partitions: partitions(folder),
        health: None,
    })
}

/// The device in `folder`, if the device mapper makes it.
pub(super) fn mapped(name: &str, folder: &Path) -> Option<MappedDevice> {
    let mapper = folder.join("dm");
    if !mapper.exists() {
        return None;
    }
    let made_of = list(&folder.join("slaves"), MAX_MEMBERS).unwrap_or_default().names;
    Some(MappedDevice {
        device: Label::cut(name),
        name: Label::cut(&first_line(&mapper.join("name")).unwrap_or_default()),
        kind: kind(&first_line(&mapper.join("uuid")).unwrap_or_default()),
        size_kib: size_kib(folder),
        suspended: flag(&mapper.join("suspended")).unwrap_or(false),
        made_of: made_of.iter().map(|name| called(&name.to_string_lossy(), &folder.join("slaves"))).collect(),
    })
}

/// Name for others of the device `name`, which has an entry in `folder`. A slash in a name is written as `!` there.
pub(super) fn called(name: &str, folder: &Path) -> Label {
    block_name(name, || first_line(&folder.join(name.replace('/', "!")).join("dev")))
}

/// Who made a mapped device stands in front of its id, by agreement between those who make them.
fn kind(uuid: &str) -> MappedKind {
    let maker = uuid.split('-').next().unwrap_or_default();
    match maker {
        "LVM" => MappedKind::Lvm,
        "CRYPT" => match uuid.split('-').nth(1) {
            Some("VERITY") => MappedKind::Verity,
            Some("INTEGRITY") => MappedKind::Integrity,
            _ => MappedKind::Crypt,
        },
        "mpath" => MappedKind::Multipath,
        "DMRAID" => MappedKind::FirmwareRaid,
        "VDO" => MappedKind::Vdo,
        _ if maker.starts_with("part") => MappedKind::Partition,
        _ => MappedKind::Other,
    }
}

fn partitions(folder: &Path) -> Vec<Partition> {
    let entries = list(folder, MAX_ENTRIES).unwrap_or_default().names;
    let mut partitions = entries
        .iter()
        .filter_map(|name| {
            let part = folder.join(name);
            let number = file_number(&part.join("partition"))?;
            Some(Partition {
                name: Label::cut(&name.to_string_lossy()),
                number: u32::try_from(number).ok()?,
                start_kib: file_number(&part.join("start")).unwrap_or(0) / SECTORS_PER_KIB,
                size_kib: size_kib(&part),
                read_only: flag(&part.join("ro")).unwrap_or(false),
            })
        })
        .collect::<Vec<_>>();
    partitions.sort_by_key(|part| (part.start_kib, part.number));
    partitions.truncate(MAX_PARTITIONS);
    partitions
}

/// A serial number as a SCSI device gives it: a page with four bytes in front of the text (SPC-5 section 7.7.18).
fn unit_serial(page: &Path) -> Option<String> {
    let mut buffer = Vec::new();
    let bytes = read_file(page, &mut buffer).ok()?;
    let [_, 0x80, high, low, text @ ..] = bytes else { return None };
    let text = text.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
    let text = String::from_utf8_lossy(text).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned();
    (!text.is_empty()).then_some(text)
}

fn size_kib(folder: &Path) -> u64 {
    file_number(&folder.join("size")).unwrap_or(0) / SECTORS_PER_KIB
}

fn file_number(path: &Path) -> Option<u64> {
    number(first_line(path)?.as_bytes())
}

fn flag(path: &Path) -> Option<bool> {
    file_number(path).map(|value| value != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn an_nvme_device_tells_its_names_and_its_partitions_stand_in_the_order_of_the_disk() {
        let tree = Tree::new();
        for (file, content) in [
            ("size", "1000215216\n"),
            ("removable", "0\n"),
            ("ro", "0\n"),
            ("queue/rotational", "0\n"),
            ("wwid", "eui.0025385b71b0b1c2\n"),
            ("device/model", "Samsung SSD 970 EVO Plus 500GB          \n"),
            ("device/serial", "S4EVNX0M712345A     \n"),
            ("device/firmware_rev", "2B2QEXM7\n"),
            ("nvme0n1p10/partition", "10\n"),
            ("nvme0n1p10/start", "2048\n"),
            ("nvme0n1p10/size", "4096\n"),
            ("nvme0n1p2/partition", "2\n"),
            ("nvme0n1p2/start", "8192\n"),
            ("nvme0n1p2/size", "8\n"),
            ("nvme0n1p2/ro", "1\n"),
        ] {
            tree.write(file, content);
        }
        let disk = device("nvme0n1", tree.path()).unwrap();
        assert_eq!((disk.size_kib, disk.rotational, disk.removable), (500_107_608, Some(false), false));
        assert_eq!(disk.model.raw(), "Samsung SSD 970 EVO Plus 500GB");
        assert_eq!((disk.serial.raw(), disk.wwn.raw()), ("S4EVNX0M712345A", "eui.0025385b71b0b1c2"));
        assert_eq!(disk.firmware.raw(), "2B2QEXM7");
        let parts =
            disk.partitions.iter().map(|p| (p.number, p.start_kib, p.size_kib, p.read_only)).collect::<Vec<_>>();
        assert_eq!(parts, [(10, 1024, 2048, false), (2, 4096, 4, true)]);
    }

    #[test]
    fn a_scsi_disk_gives_its_serial_number_in_a_page() {
        let tree = Tree::new();
        tree.write("device/vendor", "SEAGATE \n");
        tree.write("device/model", "ST4000NM0023    \n");
        tree.write("device/vpd_pg80", b"\0\x80\0\x08Z1Z0ABCD");
        tree.write("device/wwid", "naa.5000c50057a1b2c3\n");
        let disk = device("sda", tree.path()).unwrap();
        assert_eq!((disk.model.raw(), disk.serial.raw()), ("SEAGATE ST4000NM0023", "Z1Z0ABCD"));
        assert_eq!(disk.wwn.raw(), "naa.5000c50057a1b2c3");
        tree.write("device/vendor", "ATA     \n");
        assert_eq!(device("sda", tree.path()).unwrap().model.raw(), "ST4000NM0023");
    }

    #[test]
    fn what_is_no_serial_page_gives_none_and_nothing_panics() {
        let tree = Tree::new();
        for page in
            [b"".as_slice(), b"\0", b"\0\x80\xff\xffshort", b"\0\x83\0\x01x", b"\0\x80\0\0", b"\0\x80\0\x02\0\0"]
        {
            tree.write("device/vpd_pg80", page);
            assert_eq!(device("sda", tree.path()).unwrap().serial.raw(), "");
        }
        tree.write("size", "-1\n");
        tree.write("sda1/partition", "99999999999\n");
        let disk = device("sda", tree.path()).unwrap();
        assert_eq!((disk.size_kib, disk.partitions.len()), (0, 0));
    }

    #[test]
    fn a_device_without_hardware_or_that_is_hidden_is_none() {
        let tree = Tree::new();
        tree.write("size", "8\n");
        assert_eq!(device("loop0", tree.path()), None);
        tree.write("device/model", "x\n");
        tree.write("hidden", "1\n");
        assert_eq!(device("nvme0c0n1", tree.path()), None);
    }

    #[test]
    fn who_made_a_mapped_device_stands_in_its_id() {
        for (uuid, expected) in [
            ("LVM-0Kd3yG8jvT9pZcQ2mP", MappedKind::Lvm),
            ("CRYPT-LUKS2-5f1c8bd0-luks-home", MappedKind::Crypt),
            ("CRYPT-PLAIN-swap", MappedKind::Crypt),
            ("CRYPT-VERITY-09ab-usr", MappedKind::Verity),
            ("CRYPT-INTEGRITY-data", MappedKind::Integrity),
            ("mpath-3600508b400105e21", MappedKind::Multipath),
            ("part2-mpath-3600508b400105e21", MappedKind::Partition),
            ("DMRAID-isw_x", MappedKind::FirmwareRaid),
            ("", MappedKind::Other),
            ("-LVM", MappedKind::Other),
        ] {
            assert_eq!(kind(uuid), expected, "{uuid}");
        }
    }

    #[test]
    fn an_encrypted_volume_names_what_lies_under_it() {
        let tree = Tree::new();
        for (file, content) in [
            ("size", "2048\n"),
            ("dm/name", "luks-ana\n"),
            ("dm/uuid", "CRYPT-LUKS2-1-luks-ana\n"),
            ("dm/suspended", "0\n"),
            ("slaves/sda2/size", ""),
        ] {
            tree.write(file, content);
        }
        let mapped = mapped("dm-0", tree.path()).unwrap();
        assert_eq!((mapped.name.raw(), mapped.kind, mapped.size_kib), ("luks-ana", MappedKind::Crypt, 1024));
        assert_eq!(mapped.made_of.iter().map(Label::raw).collect::<Vec<_>>(), ["sda2"]);
        assert!(!mapped.suspended);
    }
}
