//! Mounts from `/proc/self/mountinfo` (proc_pid_mountinfo(5)), and which of them a person calls a file system.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use crate::text::{fields, lines};

/// One mount that holds files of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    /// Major and minor number. Mounts of one file system have the same.
    pub(crate) device: Vec<u8>,
    pub(crate) kind: String,
    pub(crate) read_only: bool,
    /// Whether it says that an error made it so.
    pub(crate) stopped: bool,
    /// What it does about an error, if the list says so.
    pub(crate) on_error: Option<OnError>,
    /// Whether the file system's own root is mounted and not a folder in it.
    whole: bool,
}

/// What a file system does when it finds an error in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OnError {
    /// It goes on.
    Continue,
    /// It stops writing, or the whole machine.
    Stop,
}

impl OnError {
    /// Of an option such as `errors=remount-ro`.
    pub(crate) fn parse(option: &[u8]) -> Option<Self> {
        match option.trim_ascii().strip_prefix(b"errors=")? {
            b"continue" => Some(Self::Continue),
            b"remount-ro" | b"panic" => Some(Self::Stop),
            _ => None,
        }
    }
}

/// Kinds that hold no files of their own: windows into the kernel, views of other file systems, mounts that come about only
/// when touched, and packed images, which are always full.
const PSEUDO: [&str; 39] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "cpuset",
    "debugfs",
    "devfs",
    "devpts",
    "devtmpfs",
    "ecryptfs",
    "efivarfs",
    "erofs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fuse.snapfuse",
    "fuse.squashfuse",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "overlay",
    "pipefs",
    "proc",
    "pstore",
    "ramfs",
    "resctrl",
    "rootfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sockfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// What file systems say of themselves when nothing can be written to them. Since Linux 6.15 ext4 says by words of its own that an
/// error made it so, and that it was shut down. Before, the latter was not said, and the former was `ro` only
/// before 6.12 and what stable kernels took of it: see [`super::errors`] for what tells it in between.
const READ_ONLY: [&[u8]; 3] = [b"ro", STOPPED, b"shutdown"];
const STOPPED: &[u8] = b"emergency_ro";

/// The mounts worth showing: at each place the one that can be seen, of each device one, without [`PSEUDO`] kinds. The root
/// is always shown. Ordered by place.
pub(crate) fn worth_showing(mountinfo: &[u8]) -> Vec<Mount> {
    let mut visible = BTreeMap::new();
    for mount in lines(mountinfo).filter_map(parse) {
        // A later mount at the same place hides the earlier one.
        visible.insert(mount.point.clone(), mount);
    }
    let mut of_device = BTreeMap::<Vec<u8>, Mount>::new();
    for mount in visible.into_values().filter(Mount::is_worth_showing) {
        match of_device.get(&mount.device) {
            Some(other) if other.rank() <= mount.rank() => {}
            Some(_) | None => drop(of_device.insert(mount.device.clone(), mount)),
        }
    }
    let mut mounts = of_device.into_values().collect::<Vec<_>>();
    mounts.sort();
    mounts
}

/// Whether the processes of other users are hidden from some, by the options of the mount at `/proc`.
pub(crate) fn hides_processes(mountinfo: &[u8]) -> bool {
    let proc = lines(mountinfo).filter(|line| fields(line).nth(4) == Some(b"/proc")).last();
    proc.and_then(|line| fields(line).last()).is_some_and(|options| {
        let hidepid = options.split(|byte| *byte == b',').find_map(|option| option.strip_prefix(b"hidepid="));
        hidepid.is_some_and(|value| value != b"0" && value != b"off")
    })
}

/// The folder of its device that is mounted at `place`, the kind and the options of that mount.
pub(crate) fn at<'a>(mountinfo: &'a [u8], place: &[u8]) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
    let line = lines(mountinfo).filter(|line| fields(line).nth(4) == Some(place)).last()?;
    let kind = fields(line).skip_while(|field| *field != b"-").nth(1)?;
    Some((fields(line).nth(3)?, kind, fields(line).last()?))
}

impl Mount {
    /// Place and device.
    pub(crate) fn key(&self) -> (PathBuf, Vec<u8>) {
        (self.point.clone(), self.device.clone())
    }

    fn is_worth_showing(&self) -> bool {
        let root = self.point == Path::new("/");
        let beneath = |folder: &str| self.point.starts_with(folder);
        root || !(PSEUDO.contains(&self.kind.as_str())
            || beneath("/proc")
            || beneath("/sys")
            || beneath("/run/credentials"))
    }

    /// Of several mounts of one device the one with the least of these is shown.
    fn rank(&self) -> (bool, usize, &Path) {
        (!self.whole, self.point.as_os_str().len(), &self.point)
    }
}

/// One line: `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = fields(line).skip(2);
    let device = fields.next()?.to_vec();
    let whole = fields.next()? == b"/";
    let point = PathBuf::from(OsString::from_vec(unescaped(fields.next()?)));
    let options = fields.next()?;
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let _source = fields.next()?;
    // The mount says what it was mounted as. The file system says what it is: after an error it turns read-only itself.
    let own_options = fields.next().unwrap_or_default();
    let says =
        |options: &[u8], what: &[&[u8]]| options.split(|byte| *byte == b',').any(|option| what.contains(&option));
    let read_only = says(options, &[b"ro"]) || says(own_options, &READ_ONLY);
    let stopped = says(own_options, &[STOPPED]);
    let on_error = own_options.split(|byte| *byte == b',').find_map(OnError::parse);
    point.is_absolute().then_some(Mount { point, device, kind, read_only, stopped, on_error, whole })
}

/// The kernel writes space, tab, newline and backslash as three octal digits behind a backslash.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            let all_octal = digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
            all_octal.then(|| digits.iter().fold(0_u32, |value, digit| value * 8 + u32::from(digit - b'0')))
        });
        match octal.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(mountinfo: &str) -> Vec<(String, String, bool)> {
        let mounts = worth_showing(mountinfo.as_bytes());
        mounts.into_iter().map(|mount| (mount.point.display().to_string(), mount.kind, mount.read_only)).collect()
    }

    fn entry(point: &str, kind: &str, read_only: bool) -> (String, String, bool) {
        (point.to_owned(), kind.to_owned(), read_only)
    }

    #[test]
    fn pseudo_file_systems_are_left_out_and_tmpfs_is_not() {
        let mounts = "22 27 0:21 / /proc rw - proc proc rw\n\
                      27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                      31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      32 27 0:50 / /tmp rw - tmpfs tmpfs rw\n\
                      33 27 0:51 / /net rw - autofs systemd-1 rw\n\
                      34 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro\n\
                      35 27 0:60 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw\n";
        assert_eq!(shown(mounts), [entry("/", "ext4", false), entry("/tmp", "tmpfs", false)]);
    }

    #[test]
    fn the_root_is_shown_even_in_a_container() {
        let mounts = "1 0 0:60 / / rw - overlay overlay rw,lowerdir=/var/lib/docker/x\n\
                      2 1 254:0 /docker/hosts /etc/hosts rw - ext4 /dev/vda rw\n\
                      3 1 254:0 /docker/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda rw\n";
        assert_eq!(shown(mounts), [entry("/", "overlay", false), entry("/etc/hosts", "ext4", false)]);
    }

    #[test]
    fn a_device_that_is_mounted_in_many_places_is_shown_once() {
        let mounts = "1 0 8:1 /home /home rw - btrfs /dev/sda1 rw\n\
                      2 0 8:1 / / rw - btrfs /dev/sda1 rw\n\
                      3 0 8:1 / /mnt/whole rw - btrfs /dev/sda1 rw\n";
        assert_eq!(shown(mounts), [entry("/", "btrfs", false)]);
    }

    #[test]
    fn of_mounts_at_one_place_the_last_is_the_one_that_can_be_seen() {
        let mounts = "1 0 0:51 / /srv rw - autofs systemd-1 rw\n2 1 0:70 / /srv rw - nfs4 server:/srv rw\n";
        assert_eq!(shown(mounts), [entry("/srv", "nfs4", false)]);
    }

    #[test]
    fn a_file_system_that_turned_read_only_by_itself_is_read_only() {
        let mounts = "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 ro,errors=remount-ro\n\
                      2 0 8:2 / /home ro,relatime shared:1 master:2 - ext4 /dev/sda2 rw\n\
                      3 0 8:3 / /rows rw,relatime - ext4 /dev/sda3 rw,errors=remount-ro\n\
                      4 0 8:4 / /srv rw,relatime - ext4 /dev/sda4 rw,errors=remount-ro,emergency_ro\n\
                      5 0 8:5 / /var rw,relatime - ext4 /dev/sda5 rw,shutdown\n";
        let read_only = shown(mounts).into_iter().map(|(_, _, read_only)| read_only).collect::<Vec<_>>();
        assert_eq!(read_only, [true, true, false, true, true]);
    }

    #[test]
    fn hostile_mount_names_parse_right() {
        let mounts = "1 0 8:1 / /media/a\\040b\\012c\\134d rw - vfat /dev/sdb1 rw\n\
                      2 0 8:2 / /media/-\\040-\\040proc rw - ext4 /dev/sdc1 rw\n\
                      3 0 8:3 / /media/\\777\\9 rw - ext4 /dev/sdd1 rw\n\
                      4 0 8:4 / relative rw - ext4 /dev/sde1 rw\n\
                      5 0 8:5\n";
        let points = shown(mounts).into_iter().map(|(point, _, _)| point).collect::<Vec<_>>();
        assert_eq!(points, ["/media/- - proc", "/media/\\777\\9", "/media/a b\nc\\d"]);
    }

    #[test]
    fn hidden_processes_are_noticed() {
        for (options, hides) in
            [("rw", false), ("rw,hidepid=2", true), ("rw,hidepid=invisible", true), ("rw,hidepid=off", false)]
        {
            let mounts = format!("22 27 0:21 / /proc rw - proc proc {options}\n");
            assert_eq!(hides_processes(mounts.as_bytes()), hides, "{options}");
        }
    }
}
