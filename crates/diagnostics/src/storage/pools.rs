//! Pools that file systems manage by themselves: ZFS from its statistics, btrfs from sysfs.

use std::{io, path::Path};

use wire::{
    diagnostics::sections::storage::{BtrfsDevice, MAX_ARRAYS, MAX_DEVICES, Pool, PoolState},
    text::Label,
};

use crate::{
    folders::list,
    text::{first_line, number, read_file, values},
};

/// Entries of the folder of ZFS statistics that are looked at; there are some twenty besides the pools.
const MAX_ENTRIES: usize = 512;

/// The pools in `/proc/spl/kstat/zfs`, a folder each.
pub(super) fn zfs(statistics: &Path) -> io::Result<Vec<Pool>> {
    let names = list(statistics, MAX_ENTRIES)?.names;
    let pool = |name: &std::ffi::OsString| {
        let state = state(&first_line(&statistics.join(name).join("state"))?);
        Some(Pool { name: Label::cut(&name.to_string_lossy()), state })
    };
    Ok(names.iter().filter_map(pool).take(MAX_ARRAYS + 1).collect())
}

fn state(word: &str) -> PoolState {
    match word {
        "ONLINE" => PoolState::Online,
        "DEGRADED" => PoolState::Degraded,
        "FAULTED" => PoolState::Faulted,
        "OFFLINE" => PoolState::Offline,
        "UNAVAIL" => PoolState::Unavailable,
        "REMOVED" => PoolState::Removed,
        "SUSPENDED" => PoolState::Suspended,
        _ => PoolState::Other,
    }
}

/// The devices in `/sys/fs/btrfs/<id>/devinfo` (Linux 5.14 and later have the errors there; btrfs(5), "Error statistics").
pub(super) fn btrfs(filesystems: &Path) -> io::Result<Vec<BtrfsDevice>> {
    let mut devices = Vec::new();
    // Besides file systems it has `features` and, in some kernels, `debug`.
    for filesystem in list(filesystems, MAX_ENTRIES)?.names {
        let folder = filesystems.join(&filesystem).join("devinfo");
        for device in list(&folder, MAX_DEVICES).unwrap_or_default().names {
            if devices.len() > MAX_DEVICES {
                return Ok(devices);
            }
            let Some(number) = number(device.as_encoded_bytes()) else { continue };
            devices.push(btrfs_device(&filesystem.to_string_lossy(), number, &folder.join(&device)));
        }
    }
    Ok(devices)
}

fn btrfs_device(filesystem: &str, number: u64, folder: &Path) -> BtrfsDevice {
    let mut buffer = Vec::new();
    let names = ["write_errs", "read_errs", "flush_errs", "corruption_errs", "generation_errs"];
    let errors = read_file(&folder.join("error_stats"), &mut buffer).map_or([None; 5], |text| values(text, names));
    let [write, read, flush, corruption, generation] = errors.map(|count| count.unwrap_or(0));
    BtrfsDevice {
        filesystem: Label::cut(filesystem),
        number,
        missing: first_line(&folder.join("missing")).as_deref() == Some("1"),
        write_errors: write,
        read_errors: read,
        flush_errors: flush,
        corruption_errors: corruption,
        generation_errors: generation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn a_pool_that_lost_a_disk_is_degraded_and_other_statistics_are_no_pools() {
        let tree = Tree::new();
        tree.write("arcstats", "1 2 3\n");
        tree.write("tank/state", "DEGRADED\n");
        tree.write("backup/state", "ONLINE\n");
        tree.write("odd/state", "\u{1b}[2J\n");
        tree.write("fletcher_4_bench/x", "1\n");
        let pools = zfs(tree.path()).unwrap();
        let told = pools.iter().map(|pool| (pool.name.raw(), pool.state)).collect::<Vec<_>>();
        assert_eq!(told, [("backup", PoolState::Online), ("odd", PoolState::Other), ("tank", PoolState::Degraded)]);
    }

    #[test]
    fn a_btrfs_device_with_wrong_checksums_is_counted() {
        let tree = Tree::new();
        tree.write("features/raid1c34", "0\n");
        let id = "0b1f7a5e-6a5e-4a57-9d6e-d6f1c0f2a111";
        let stats = "write_errs 0\nread_errs 2\nflush_errs 0\ncorruption_errs 17\ngeneration_errs 1\n";
        tree.write(&format!("{id}/devinfo/1/error_stats"), stats);
        tree.write(&format!("{id}/devinfo/2/missing"), "1\n");
        tree.write(&format!("{id}/devinfo/2/error_stats"), "write_errs -1\n\0corruption_errs\n");
        tree.write(&format!("{id}/devinfo/x/missing"), "1\n");
        let devices = btrfs(tree.path()).unwrap();
        let told =
            devices.iter().map(|d| (d.number, d.missing, d.read_errors, d.corruption_errors)).collect::<Vec<_>>();
        assert_eq!(told, [(1, false, 2, 17), (2, true, 0, 0)]);
        assert_eq!(devices[0].filesystem.raw(), id);
    }
}
