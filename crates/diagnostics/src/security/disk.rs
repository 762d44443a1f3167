//! Whether the disk under the root directory is encrypted, by the layers that the kernel puts between them
//! (the kernel's `Documentation/ABI/testing/sysfs-block-dm`).

use std::{fs, path::Path};

use crate::text::{fields, first_line, lines, read_file};

/// Most layers that are followed: file system, volume, encryption, array and disk are five.
const MAX_LAYERS: u8 = 8;

/// Whether every way from the root directory to a disk passes an encrypted layer; `None` if that cannot be told.
pub(super) fn root_is_encrypted(proc: &Path, sys: &Path) -> Option<bool> {
    let mut buffer = Vec::new();
    let mountinfo = read_file(&proc.join("self/mountinfo"), &mut buffer).ok()?;
    let (device, source) = root(mountinfo)?;
    let by_number = sys.join("dev/block").join(device);
    if by_number.exists() {
        return is_encrypted(&by_number, MAX_LAYERS);
    }
    // Btrfs has a number of its own; what it is made of is named in front of it.
    let source = source.strip_prefix("/dev/")?;
    let block = sys.join("class/block");
    match source.strip_prefix("mapper/") {
        Some(name) => {
            let devices = fs::read_dir(&block).ok()?.filter_map(Result::ok).map(|entry| entry.path());
            let is_it = |device: &std::path::PathBuf| first_line(&device.join("dm/name")).as_deref() == Some(name);
            is_encrypted(&devices.into_iter().find(is_it)?, MAX_LAYERS)
        }
        None if !source.contains('/') && block.join(source).exists() => is_encrypted(&block.join(source), MAX_LAYERS),
        None => None,
    }
}

/// Number and source of what is mounted last at the root directory (proc_pid_mountinfo(5)).
fn root(mountinfo: &[u8]) -> Option<(&str, &str)> {
    let line = lines(mountinfo).filter(|line| fields(line).nth(4) == Some(b"/")).last()?;
    let source = fields(line).skip_while(|field| *field != b"-").nth(2)?;
    Some((std::str::from_utf8(fields(line).nth(2)?).ok()?, std::str::from_utf8(source).ok()?))
}

fn is_encrypted(device: &Path, layers: u8) -> Option<bool> {
    if first_line(&device.join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("CRYPT-")) {
        return Some(true);
    }
    let below = fs::read_dir(device.join("slaves")).into_iter().flatten().filter_map(Result::ok);
    let below = below.map(|entry| entry.path()).collect::<Vec<_>>();
    if below.is_empty() {
        return Some(false);
    }
    let layers = layers.checked_sub(1)?;
    let mut all = true;
    for device in below {
        all &= is_encrypted(&device, layers)?;
    }
    Some(all)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
mod tests {
    use super::*;

    fn machine(mountinfo: &str, devices: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("self")).unwrap();
        fs::write(root.path().join("self/mountinfo"), mountinfo).unwrap();
        for (device, uuid) in devices {
            let folder = root.path().join(device);
            fs::create_dir_all(folder.join("dm")).unwrap();
            fs::write(folder.join("dm/uuid"), uuid).unwrap();
            fs::write(folder.join("dm/name"), "luks-root\n").unwrap();
        }
        root
    }

    fn told(machine: &tempfile::TempDir) -> Option<bool> {
        root_is_encrypted(machine.path(), machine.path())
    }

    const EXT4: &str = "27 1 254:1 / / rw,relatime - ext4 /dev/mapper/vg-root rw\n";

    #[test]
    fn a_volume_on_an_encrypted_partition_is_encrypted() {
        let layers = [("dev/block/254:1", "LVM-abc\n"), ("dev/block/254:1/slaves/dm-0", "CRYPT-LUKS2-abc-luks-root\n")];
        assert_eq!(told(&machine(EXT4, &layers)), Some(true));
    }

    #[test]
    fn a_volume_with_one_plain_disk_is_not() {
        let layers = [
            ("dev/block/254:1", "LVM-abc\n"),
            ("dev/block/254:1/slaves/dm-0", "CRYPT-LUKS2-abc\n"),
            ("dev/block/254:1/slaves/sdb1", ""),
        ];
        assert_eq!(told(&machine(EXT4, &layers)), Some(false));
    }

    #[test]
    fn a_file_system_with_a_number_of_its_own_is_followed_by_its_name() {
        let btrfs = "27 1 0:25 /@ / rw,relatime shared:1 - btrfs /dev/mapper/luks-root rw\n";
        assert_eq!(told(&machine(btrfs, &[("class/block/dm-3", "CRYPT-LUKS2-abc\n")])), Some(true));
        assert_eq!(told(&machine(btrfs, &[])), None);
        assert_eq!(told(&machine("", &[])), None);
        assert_eq!(told(&machine("27 1 0:25 / / rw - overlay overlay rw\n", &[])), None);
    }
}
