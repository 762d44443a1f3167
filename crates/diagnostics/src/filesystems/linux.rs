//! File systems: what is mounted from the kernel's list, how full from `statvfs(3)`.
//!
//! `statvfs` on a network file system whose server is gone never returns, so each is asked in a thread of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use wire::{
    diagnostics::{Filesystem, FilesystemState, MAX_ROWS},
    text::Label,
    time::Moment,
};

use super::{
    errors::{Damage, Errors},
    mounts::{Mount, hides_processes, worth_showing},
};
use crate::{
    gaps::{Gaps, why},
    patience::Patience,
    text::read_file,
};

const MOUNTS_EVERY: Duration = Duration::from_secs(5);

/// A file system that does not answer for this long is shown as unresponsive.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(2);

/// A healthy file system answers within this, so its figures are in the sample that asked for them.
const GRACE: Duration = Duration::from_millis(20);

/// Asks how full the file system at a place is. A parameter, so that tests have a dead one.
pub(crate) type AskSpace = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) total_kib: u64,
    pub(crate) available_kib: u64,
    pub(crate) inodes_total: u64,
    pub(crate) inodes_free: u64,
}

pub(crate) struct Filesystems {
    mountinfo: PathBuf,
    ask: AskSpace,
    patience: Patience<Key, io::Result<Space>>,
    next: Moment,
    mounts: Vec<Mount>,
    errors: Errors,
    /// The last answer of each mount.
    answers: BTreeMap<Key, Result<Space, String>>,
    /// Mounts that could not be asked at all.
    unasked: BTreeMap<Key, String>,
    /// What is wrong with the list of mounts as a whole.
    list: Gaps,
    hides_processes: bool,
}

/// Place and device: what a mount is called as long as it is there, whatever its options become.
type Key = (PathBuf, Vec<u8>);

impl fmt::Debug for Filesystems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filesystems").field("mounts", &self.mounts).finish_non_exhaustive()
    }
}

impl Filesystems {
    pub(crate) fn new(proc: &Path, sys: &Path, ask: AskSpace) -> Self {
        Self {
            mountinfo: proc.join("self/mountinfo"),
            ask,
            patience: Patience::new(),
            next: Moment::default(),
            mounts: Vec::new(),
            errors: Errors::new(proc, sys),
            answers: BTreeMap::new(),
            unasked: BTreeMap::new(),
            list: Gaps::default(),
            hides_processes: false,
        }
    }

    /// Whether `/proc` is mounted so that some users do not see the processes of others.
    pub(crate) fn hides_processes(&self) -> bool {
        self.hides_processes
    }

    /// The mounts that were read last.
    pub(crate) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    /// The mounted file systems, at most five seconds old.
    pub(crate) fn read(&mut self, now: Moment, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Vec<Filesystem> {
        let refresh = now >= self.next;
        if refresh {
            self.refresh(now, buffer);
        }
        self.take_answers(if refresh { GRACE } else { Duration::ZERO });
        gaps.add(&self.list);
        self.mounts.iter().filter_map(|mount| self.row(mount, now, gaps)).collect()
    }

    fn take_answers(&mut self, grace: Duration) {
        for (mount, answer) in self.patience.answers(grace) {
            self.answers.insert(mount, answer.map_err(|error| why(&error)));
        }
    }

    fn refresh(&mut self, now: Moment, buffer: &mut Vec<u8>) {
        self.next = now + MOUNTS_EVERY;
        self.list = Gaps::default();
        match read_file(&self.mountinfo, buffer) {
            Ok(text) => {
                self.mounts = worth_showing(text);
                self.list.bound("file systems", &mut self.mounts, MAX_ROWS);
                self.hides_processes = hides_processes(text);
            }
            Err(error) => self.list.note_error("file systems", &error),
        }
        self.errors.refresh(&self.mounts, buffer);
        let keys = self.mounts.iter().map(Mount::key).collect::<BTreeSet<_>>();
        self.answers.retain(|key, _| keys.contains(key));
        self.unasked.clear();
        for key in keys {
            let (ask, point) = (Arc::clone(&self.ask), key.0.clone());
            if let Err(error) = self.patience.ask(&key, now, move || ask(&point)) {
                self.unasked.insert(key, why(&error));
            }
        }
    }

    fn row(&self, mount: &Mount, now: Moment, gaps: &mut Gaps) -> Option<Filesystem> {
        let key = mount.key();
        let waiting = self.patience.waiting_since(&key);
        let dead = waiting.is_some_and(|asked| now - asked >= UNRESPONSIVE_AFTER);
        let space = match (self.answers.get(&key), self.unasked.get(&key)) {
            (Some(Ok(space)), _) => *space,
            (None, _) if dead => Space::default(),
            (Some(Err(reason)), _) | (None, Some(reason)) => {
                // By its device: its place is a name that somebody gave, and what says where a gap is leaves as it is.
                gaps.note(&format!("file system on {}", String::from_utf8_lossy(&mount.device)), reason);
                return None;
            }
            (None, None) => return None,
        };
        if space.total_kib == 0 && !dead {
            return None;
        }
        let state = match (self.errors.of(mount), mount.read_only) {
            _ if dead => FilesystemState::Unresponsive,
            _ if mount.stopped => FilesystemState::Stopped,
            (Damage::Stopped, _) => FilesystemState::Stopped,
            (Damage::None | Damage::Found, true) => FilesystemState::ReadOnly,
            (Damage::Found, false) => FilesystemState::Damaged,
            (Damage::None, false) => FilesystemState::ReadWrite,
        };
        Some(Filesystem {
            mount: Label::cut(&mount.point.to_string_lossy()),
            kind: Label::cut(&mount.kind),
            total_kib: space.total_kib,
            available_kib: space.available_kib.min(space.total_kib),
            inodes_total: space.inodes_total,
            inodes_free: space.inodes_free.min(space.inodes_total),
            state,
        })
    }
}

/// Asks the kernel; may never return.
pub(crate) fn ask_kernel(point: &Path) -> io::Result<Space> {
    let answer = rustix::fs::statvfs(point)?;
    let kib = |blocks: u64| {
        let bytes = u128::from(blocks) * u128::from(answer.f_frsize);
        u64::try_from(bytes / 1024).unwrap_or(u64::MAX)
    };
    Ok(Space {
        total_kib: kib(answer.f_blocks),
        available_kib: kib(answer.f_bavail),
        inodes_total: answer.f_files,
        inodes_free: answer.f_ffree,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Mutex, sync::mpsc};

    use super::*;
    use crate::testing::TestMachine;

    const SPACE: Space = Space { total_kib: 1000, available_kib: 400, inodes_total: 64, inodes_free: 32 };

    /// A `/proc` with this mount list.
    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    fn proc_with(mountinfo: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("self")).unwrap();
        fs::write(proc.path().join("self/mountinfo"), mountinfo).unwrap();
        proc
    }

    fn at(secs: u64) -> Moment {
        Moment::from_origin(Duration::from_secs(1000 + secs))
    }

    fn rows(filesystems: &mut Filesystems, now: Moment) -> Vec<(String, u64, FilesystemState)> {
        let rows = filesystems.read(now, &mut Vec::new(), &mut Gaps::default());
        // On a slow test machine the healthy root may not answer within the grace.
        wait_for(filesystems, "/", "8:1");
        rows.into_iter().map(|row| (row.mount.raw().to_owned(), row.total_kib, row.state)).collect()
    }

    fn wait_for(filesystems: &mut Filesystems, point: &str, device: &str) {
        while filesystems.patience.waiting_since(&(PathBuf::from(point), device.as_bytes().to_vec())).is_some() {
            filesystems.take_answers(Duration::from_millis(1));
        }
    }

    /// Reads and then waits until every question of this reading is answered, so that a slow test machine changes nothing.
    fn settle(filesystems: &mut Filesystems, now: Moment) {
        filesystems.refresh(now, &mut Vec::new());
        filesystems.take_answers(Duration::from_secs(60));
    }

    #[test]
    fn a_dead_mount_is_unresponsive_keeps_its_last_figures_and_holds_up_nobody() {
        let proc = proc_with("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:70 / /srv rw - nfs4 server:/srv rw\n");
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Mutex::new(Some(blocked));
        let asked = Arc::new(Mutex::new(0));
        let count = Arc::clone(&asked);
        let mut filesystems = Filesystems::new(
            proc.path(),
            &proc.path().join("sys"),
            Arc::new(move |point| {
                if point == Path::new("/srv") {
                    *count.lock().unwrap() += 1;
                    // The second question is the one that the server does not live to answer.
                    if *count.lock().unwrap() == 2 {
                        let server = blocked.lock().unwrap().take();
                        server.unwrap().recv().unwrap_err();
                    }
                }
                Ok(SPACE)
            }),
        );
        settle(&mut filesystems, at(0));
        let root = || ("/".to_owned(), 1000, FilesystemState::ReadWrite);
        let srv = |state| ("/srv".to_owned(), 1000, state);
        assert_eq!(rows(&mut filesystems, at(1)), [root(), srv(FilesystemState::ReadWrite)]);

        assert_eq!(rows(&mut filesystems, at(5)), [root(), srv(FilesystemState::ReadWrite)], "it has two seconds");
        assert_eq!(rows(&mut filesystems, at(7)), [root(), srv(FilesystemState::Unresponsive)]);
        for secs in [10, 15, 20] {
            assert_eq!(rows(&mut filesystems, at(secs)), [root(), srv(FilesystemState::Unresponsive)]);
        }
        assert_eq!(*asked.lock().unwrap(), 2, "one stuck thread for a mount, however often it is due");

        drop(release);
        wait_for(&mut filesystems, "/srv", "0:70");
        assert_eq!(rows(&mut filesystems, at(21)), [root(), srv(FilesystemState::ReadWrite)]);
    }

    #[test]
    fn a_mount_that_never_answered_is_listed_once_it_is_known_to_be_dead() {
        let proc = proc_with("2 1 0:70 / /srv rw - cifs //server/srv rw\n");
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Mutex::new(blocked);
        let ask = move |_: &Path| {
            blocked.lock().unwrap().recv().unwrap_err();
            Ok(SPACE)
        };
        let mut filesystems = Filesystems::new(proc.path(), &proc.path().join("sys"), Arc::new(ask));
        assert_eq!(rows(&mut filesystems, at(0)), []);
        assert_eq!(rows(&mut filesystems, at(2)), [("/srv".to_owned(), 0, FilesystemState::Unresponsive)]);
        drop(release);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
    fn a_remount_as_read_only_is_seen_without_a_restart() {
        let proc = proc_with("1 0 8:1 / / rw - ext4 /dev/sda1 rw,errors=remount-ro\n");
        let mut filesystems = Filesystems::new(proc.path(), &proc.path().join("sys"), Arc::new(|_| Ok(SPACE)));
        settle(&mut filesystems, at(0));
        assert_eq!(rows(&mut filesystems, at(1))[0].2, FilesystemState::ReadWrite);
        let turned = "1 0 8:1 / / rw - ext4 /dev/sda1 ro,errors=remount-ro\n";
        fs::write(proc.path().join("self/mountinfo"), turned).unwrap();
        settle(&mut filesystems, at(6));
        assert_eq!(rows(&mut filesystems, at(7))[0].2, FilesystemState::ReadOnly);
    }

    #[test]
    fn a_file_system_that_refuses_to_answer_is_named_as_unreadable() {
        let proc = proc_with("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 0 8:2 / /root/x rw - ext4 /dev/sdb rw\n");
        let ask = |point: &Path| match point == Path::new("/") {
            true => Ok(SPACE),
            false => Err(io::ErrorKind::PermissionDenied.into()),
        };
        let mut filesystems = Filesystems::new(proc.path(), &proc.path().join("sys"), Arc::new(ask));
        settle(&mut filesystems, at(0));
        let mut gaps = Gaps::default();
        assert_eq!(filesystems.read(at(1), &mut Vec::new(), &mut gaps).len(), 1);
        let gaps = gaps.into_rows();
        assert_eq!((gaps[0].source.raw(), gaps[0].reason.raw()), ("file system on 8:2", "permission denied"));
    }

    #[test]
    fn more_free_blocks_than_blocks_are_no_more_than_all() {
        let proc = proc_with("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
        let negative = Space { available_kib: u64::MAX - 3, inodes_free: u64::MAX, ..SPACE };
        let mut filesystems = Filesystems::new(proc.path(), &proc.path().join("sys"), Arc::new(move |_| Ok(negative)));
        settle(&mut filesystems, at(0));
        let rows = filesystems.read(at(1), &mut Vec::new(), &mut Gaps::default());
        assert_eq!((rows[0].available_kib, rows[0].inodes_free), (1000, 64));
    }

    /// A disk of which the kernel counts the errors, mounted with these options.
    struct Counting(TestMachine);

    impl Counting {
        fn new(options: &str) -> Self {
            let machine = TestMachine::new(&[("proc/stat", "cpu 1 2 3 4\nbtime 1800000000\n")]);
            machine.write("proc/self/mountinfo", format!("1 0 8:1 / / rw - ext4 /dev/sda1 {options}\n"));
            machine.link("sys/dev/block/8:1", "../../devices/pci0000:00/block/sda/sda1");
            Self(machine)
        }

        fn count(&self, errors: u64, last: u64) {
            self.0.write("sys/fs/ext4/sda1/errors_count", format!("{errors}\n"));
            self.0.write("sys/fs/ext4/sda1/last_error_time", format!("{last}\n"));
        }

        fn watch(&self) -> Filesystems {
            Filesystems::new(&self.0.path("proc"), &self.0.path("sys"), Arc::new(|_| Ok(SPACE)))
        }
    }

    fn state(filesystems: &mut Filesystems, secs: u64) -> FilesystemState {
        settle(filesystems, at(secs));
        rows(filesystems, at(secs + 1))[0].2
    }

    #[test]
    fn a_file_system_whose_errors_rise_has_stopped_writing_whatever_the_list_says_until_it_is_repaired() {
        let disk = Counting::new("rw,errors=remount-ro");
        disk.count(0, 0);
        let mut filesystems = disk.watch();
        assert_eq!(state(&mut filesystems, 0), FilesystemState::ReadWrite);
        disk.count(2, 1_800_000_500);
        assert_eq!(state(&mut filesystems, 5), FilesystemState::Stopped);
        assert_eq!(state(&mut filesystems, 10), FilesystemState::Stopped, "as long as nobody repairs it");
        disk.count(0, 0);
        assert_eq!(state(&mut filesystems, 15), FilesystemState::ReadWrite);
    }

    #[test]
    fn a_file_system_that_goes_on_after_errors_is_damaged_and_no_more() {
        let disk = Counting::new("rw,errors=continue");
        disk.count(0, 0);
        let mut filesystems = disk.watch();
        assert_eq!(state(&mut filesystems, 0), FilesystemState::ReadWrite);
        disk.count(7, 1_800_000_500);
        assert_eq!(state(&mut filesystems, 5), FilesystemState::Damaged);
    }

    #[test]
    fn errors_at_first_sight_count_as_a_stop_if_they_are_younger_than_the_machine_runs() {
        for (last, expected) in [(1_799_999_999, FilesystemState::Damaged), (1_800_000_000, FilesystemState::Stopped)] {
            let disk = Counting::new("rw,errors=remount-ro");
            disk.count(3, last);
            let mut filesystems = disk.watch();
            assert_eq!(state(&mut filesystems, 0), expected);
            assert_eq!(state(&mut filesystems, 5), expected, "nothing was added");
        }
    }

    #[test]
    fn what_a_file_system_does_about_errors_is_told_by_itself_where_the_list_does_not() {
        for (options, expected) in [
            ("rw\nerrors=remount-ro\n", FilesystemState::Stopped),
            ("rw\nerrors=panic\n", FilesystemState::Stopped),
            ("rw\nerrors=continue\n", FilesystemState::Damaged),
            ("", FilesystemState::Damaged),
        ] {
            let disk = Counting::new("rw");
            disk.0.write("proc/fs/ext4/sda1/options", options);
            disk.count(0, 0);
            let mut filesystems = disk.watch();
            assert_eq!(state(&mut filesystems, 0), FilesystemState::ReadWrite);
            disk.count(1, 1_800_000_500);
            assert_eq!(state(&mut filesystems, 5), expected, "{options:?}");
        }
    }

    #[test]
    fn a_file_system_that_says_that_it_stopped_has() {
        let disk = Counting::new("rw,errors=remount-ro,emergency_ro");
        assert_eq!(state(&mut disk.watch(), 0), FilesystemState::Stopped);
    }

    #[test]
    fn the_kernel_says_how_full_the_root_is() {
        let space = ask_kernel(Path::new("/")).unwrap();
        assert!(space.total_kib > 0 && space.available_kib <= space.total_kib);
    }
}
