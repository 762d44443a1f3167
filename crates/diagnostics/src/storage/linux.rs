//! Reads [`Storage`]: what the kernel knows of disks, arrays and volumes, and what disks tell about themselves.
//!
//! How a disk is, UDisks2 is asked first: it runs on desktops, and what it read lately costs nothing. Disks that it does not tell
//! of are asked with `smartctl`, for which the agent has to be the administrator.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use wire::{
    diagnostics::sections::storage::{BlockDevice, Health, MAX_ARRAYS, MAX_DEVICES, Storage},
    text::Label,
};

use super::{block, mdstat, pools, smartctl, udisks};
use crate::{
    folders::list,
    manifest::Manifest,
    sources::Sources,
    text::read_file,
    tools::{DiskName, Tool},
};

/// Entries of `/sys/block` that are looked at: loop and mapped devices can be many.
const MAX_ENTRIES: usize = 1024;

/// Longest that one disk is waited for. One with damaged sectors may take its time.
const SMARTCTL_DEADLINE: Duration = Duration::from_secs(10);

/// Disks that are asked with `smartctl`, one after the other, within the time of a section.
const MAX_ASKED: usize = 16;

/// Most bytes that `smartctl` prints about a disk: its longest logs have some 100 KiB.
const SMARTCTL_BYTES: usize = 1 << 20;

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Storage> {
    let mut storage = Storage::default();
    let folder = sources.roots.sys.join("block");
    let listed = manifest.keep("/sys/block", list(&folder, MAX_ENTRIES));
    if let Some(listing) = listed {
        if listing.cut {
            manifest
                .partial("/sys/block", &format!("there are more than the {MAX_ENTRIES} devices that are looked at"));
        }
        for name in listing.names.iter().filter_map(|name| name.to_str()) {
            let entry = folder.join(name);
            storage.devices.extend(block::device(name, &entry));
            storage.mapped.extend(block::mapped(name, &entry));
        }
        manifest.bound("/sys/block", &mut storage.devices, MAX_DEVICES);
        manifest.bound("/sys/block", &mut storage.mapped, MAX_DEVICES);
    }
    read_health(sources, &folder, &mut storage.devices, manifest);
    let mut buffer = Vec::new();
    let arrays = read_file(&sources.roots.proc.join("mdstat"), &mut buffer)
        .map(|text| mdstat::parse(text, |name| block::called(name, &folder)));
    storage.arrays = rows("/proc/mdstat", arrays, MAX_ARRAYS, manifest);
    storage.pools = rows("zfs", pools::zfs(&sources.roots.proc.join("spl/kstat/zfs")), MAX_ARRAYS, manifest);
    storage.btrfs = rows("btrfs", pools::btrfs(&sources.roots.sys.join("fs/btrfs")), MAX_DEVICES, manifest);
    (storage != Storage::default()).then_some(storage)
}

/// The rows of a source that most machines do without, which is no gap.
fn rows<T>(source: &str, read: io::Result<Vec<T>>, limit: usize, manifest: &mut Manifest) -> Vec<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => {
            let mut rows = manifest.keep(source, read).unwrap_or_default();
            manifest.bound(source, &mut rows, limit);
            rows
        }
    }
}

fn read_health(sources: &Sources, block: &Path, devices: &mut [BlockDevice], manifest: &mut Manifest) {
    let mut waiting = devices.iter_mut().filter(|device| tells(&device.name)).collect::<Vec<_>>();
    if waiting.is_empty() {
        return;
    }
    let (mut known, udisks_error) = match udisks::health(&sources.bus) {
        Ok(told) => (told.disks, told.refusal),
        Err(error) => (BTreeMap::new(), Some(error)),
    };
    if !known.is_empty() {
        manifest.read("udisks2");
    }
    waiting.retain_mut(|device| {
        device.health = known.remove(device.name.raw());
        device.health.is_none()
    });
    if waiting.is_empty() {
        return;
    }
    match &udisks_error {
        // Of no interest if the other source has them all.
        Some(error) if error.kind() == io::ErrorKind::NotFound => {}
        Some(error) => manifest.failed("udisks2", error),
        None => {}
    }
    if waiting.len() > MAX_ASKED {
        manifest.partial("smartctl", &format!("more than the {MAX_ASKED} disks that are asked"));
        waiting.truncate(MAX_ASKED);
    }
    for device in waiting {
        match ask_smartctl(sources, device.name.raw(), block) {
            Ok(health) => {
                manifest.read("smartctl");
                device.health = Some(health);
            }
            // Without the program there is no use in asking about the others.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(error) = udisks_error {
                    manifest.failed("udisks2", &error);
                }
                manifest.failed("smartctl", &error);
                return;
            }
            Err(error) => manifest.partial("smartctl", &crate::gaps::why(&error)),
        }
    }
}

fn ask_smartctl(sources: &Sources, name: &str, block: &Path) -> io::Result<Health> {
    let disk = DiskName::known(name, block).ok_or(io::ErrorKind::InvalidInput)?;
    let printed = sources.output_of(&Tool::DiskHealth { disk }, SMARTCTL_DEADLINE, SMARTCTL_BYTES)?;
    smartctl::parse(&printed)
}

/// Whether a device of this name is of a kind that tells about itself; virtual disks, card readers and drives for discs do not.
fn tells(name: &Label) -> bool {
    ["nvme", "sd", "hd"].iter().any(|kind| name.raw().starts_with(kind))
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::{
        report::Coverage,
        sections::storage::{HealthSource, MappedKind, PoolState},
    };

    use super::*;
    use crate::testing::{Printing, Tree, told};

    const FINE: &[u8] = br#"{"smart_status":{"passed":true},"power_on_time":{"hours":7}}"#;
    const ASLEEP: &[u8] =
        br#"{"smartctl":{"messages":[{"string":"Device is in STANDBY mode, exit(2)"}],"exit_status":2}}"#;

    fn machine() -> Tree {
        let tree = Tree::new();
        for (file, content) in [
            ("sys/block/sda/size", "1953525168\n"),
            ("sys/block/sda/device/model", "ST1000DM003-1CH1\n"),
            ("sys/block/sdb/size", "8\n"),
            ("sys/block/sdb/device/model", "Other\n"),
            ("sys/block/loop0/size", "8\n"),
            ("sys/block/vda/size", "8\n"),
            ("sys/block/vda/device/vendor", "0x1af4\n"),
            ("sys/block/vda/serial", "disk-7\n"),
            ("sys/block/dm-0/size", "4\n"),
            ("sys/block/dm-0/dm/uuid", "LVM-x\n"),
            ("sys/block/dm-0/dm/name", "vg0-home\n"),
            ("proc/mdstat", "Personalities : [raid1]\nmd_ana : active raid1 sda1[0]\n  8 blocks [2/1] [U_]\n"),
            ("sys/block/md_ana/dev", "9:127\n"),
            ("proc/spl/kstat/zfs/tank/state", "ONLINE\n"),
            ("sys/fs/btrfs/features/x", "0\n"),
        ] {
            tree.write(file, content);
        }
        tree
    }

    fn asks(tree: &Tree, disk: &str, printed: &[u8]) -> (Tool, Vec<u8>) {
        let disk = DiskName::known(disk, &tree.at("sys/block")).unwrap();
        (Tool::DiskHealth { disk }, printed.to_vec())
    }

    #[test]
    fn a_server_without_udisks_is_asked_disk_by_disk() {
        let tree = machine();
        let printing = Printing(vec![asks(&tree, "sda", FINE), asks(&tree, "sdb", ASLEEP)]);
        let mut manifest = Manifest::default();
        let storage = read(&tree.sources(printing), &mut manifest).unwrap();
        let disks = storage.devices.iter().map(|disk| (disk.name.raw(), disk.health.as_ref().map(|h| h.told_by)));
        let smartctl = Some(HealthSource::Smartctl);
        assert_eq!(disks.collect::<Vec<_>>(), [("sda", smartctl), ("sdb", None), ("vda", None)]);
        assert_eq!(storage.devices[2].serial.raw(), "disk-7");
        assert_eq!((storage.mapped[0].kind, storage.mapped[0].name.raw()), (MappedKind::Lvm, "vg0-home"));
        assert_eq!(storage.arrays[0].name.raw(), "md127");
        assert_eq!((storage.arrays[0].wanted_members, storage.arrays[0].working_members), (2, 1));
        assert_eq!((storage.pools[0].state, storage.btrfs.len()), (PoolState::Online, 0));
        let told = told(manifest);
        let smartctl = ("smartctl".to_owned(), Coverage::Partial, "the disk sleeps and was not woken".to_owned());
        assert!(told.contains(&smartctl), "{told:?}");
        assert!(
            told.iter().all(|(source, coverage, _)| source == "smartctl" || *coverage == Coverage::Read),
            "{told:?}"
        );
    }

    #[test]
    fn without_anybody_who_asks_disks_both_are_named_as_missing() {
        let tree = machine();
        let mut manifest = Manifest::default();
        let storage = read(&tree.sources(Printing::default()), &mut manifest).unwrap();
        assert!(storage.devices.iter().all(|disk| disk.health.is_none()));
        let told = told(manifest);
        for source in ["udisks2", "smartctl"] {
            let gap = (source.to_owned(), Coverage::Missing, "this system does not have it".to_owned());
            assert!(told.contains(&gap), "{told:?}");
        }
    }

    #[test]
    fn a_machine_with_virtual_disks_alone_lacks_nothing() {
        let tree = Tree::new();
        tree.write("sys/block/vda/device/vendor", "0x1af4\n");
        let mut manifest = Manifest::default();
        assert!(read(&tree.sources(Printing::default()), &mut manifest).is_some());
        assert_eq!(told(manifest), [("/sys/block".to_owned(), Coverage::Read, String::new())]);
    }

    #[test]
    fn a_machine_without_disks_has_no_section() {
        let tree = Tree::new();
        let mut manifest = Manifest::default();
        assert_eq!(read(&tree.sources(Printing::default()), &mut manifest), None);
        assert_eq!(told(manifest)[0].1, Coverage::Missing);
    }
}
