//! A container with limits.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use diagnostics::Question;
use wire::diagnostics::{
    report::{Content, SectionId},
    sections::groups::MAX_GROUPS,
};

use crate::{
    Watched, ask,
    isolated::{GroupView, isolated_in, mount, skip},
};

const ROOT: &str = "/sys/fs/cgroup";

/// How the names of the groups begin that tests make.
const NAME: &str = "assent-faults-";

/// Control groups that a test makes and joins. They are removed with it.
struct Limited(Vec<PathBuf>);

impl Limited {
    /// Groups with 256 MiB, one and a half processors and 200 tasks: one of version 2, or one for each controller of version 1.
    fn begin() -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("{NAME}{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        if unified {
            // Whoever manages the groups has only those passed on that they use. One that cannot be is missed below.
            for controller in ["+cpu", "+memory", "+pids"] {
                let _passed_on = write(&root.join("cgroup.subtree_control"), controller);
            }
        }
        let groups = match unified {
            true => vec![root.join(&name)],
            false => ["memory", "cpu", "pids"].map(|controller| root.join(controller).join(&name)).to_vec(),
        };
        let limited = Self(groups);
        let limits: &[(usize, &str, &str)] = match unified {
            true => &[(0, "memory.max", "268435456"), (0, "cpu.max", "150000 100000"), (0, "pids.max", "200")],
            false => {
                &[(0, "memory.limit_in_bytes", "268435456"), (1, "cpu.cfs_quota_us", "150000"), (2, "pids.max", "200")]
            }
        };
        let made = limited.0.iter().try_for_each(fs::create_dir);
        let limit = |(group, file, value): &(usize, &str, &str)| write(&limited.0[*group].join(file), value);
        if let Err(why) = made.and_then(|()| limits.iter().try_for_each(limit)) {
            skip(&format!("no control groups can be made here: {why}"));
            return None;
        }
        Some(limited)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        for group in &self.0 {
            // One that was never made is not there.
            let _gone = fs::remove_dir(group);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it is the kernel that reads this")]
fn write(file: &Path, value: &str) -> std::io::Result<()> {
    fs::write(file, value)
}

/// Lets a container see its own groups alone, as it does.
fn see_own_groups() {
    let unified = Path::new(ROOT).join("cgroup.controllers").exists();
    // The kernel mounts nothing on itself.
    mount(&["-t", "tmpfs", "none", ROOT]);
    if unified {
        return mount(&["-t", "cgroup2", "none", ROOT]);
    }
    for controller in ["memory", "cpu", "pids"] {
        let folder = Path::new(ROOT).join(controller);
        fs::create_dir(&folder).unwrap();
        mount(&["-t", "cgroup", "-o", controller, "none", folder.to_str().unwrap()]);
    }
}

/// The file with the limit of memory of the group that this process is in.
fn own_limit() -> PathBuf {
    let places = fs::read_to_string("/proc/self/cgroup").unwrap();
    let place = |wanted: &str| {
        let parts = places.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
        let mut own = parts.filter(|parts| parts[1].split(',').any(|controller| controller == wanted));
        own.next().map(|parts| parts[2].trim_start_matches('/').to_owned())
    };
    match place("memory") {
        Some(place) => Path::new(ROOT).join("memory").join(place).join("memory.limit_in_bytes"),
        None => Path::new(ROOT).join(place("").unwrap()).join("memory.max"),
    }
}

/// In which groups a test runs: those that it makes out here, where they can be removed when all that was in them has ended.
fn limited() -> Option<Limited> {
    if std::process::id() == 1 { Some(Limited(Vec::new())) } else { Limited::begin() }
}

fn the_limits_are_shown() {
    let mut watched = Watched::begin();
    let memory = watched.after(1000).memory;
    assert_eq!(memory.limit_kib, 256 << 10);
    assert!((1..=256 << 10).contains(&memory.limit_used_kib) && memory.total_kib > 256 << 10, "{memory:?}");

    let report = ask(Question::Section(SectionId::Groups));
    let Some(Content::Groups(groups)) = &report.content else { panic!("{report:?}") };
    let own = groups.own;
    assert_eq!((own.memory_max_kib, own.cpu_max_permille, own.tasks_max), (Some(256 << 10), Some(1500), Some(200)));
    assert!(own.memory_used_kib.is_some_and(|used| used > 0), "{own:?}");
}

#[test]
fn the_limits_of_a_service_are_shown_beside_what_the_machine_has() {
    let Some(limited) = limited() else { return };
    isolated_in(&limited.0, GroupView::Whole, || {
        the_limits_are_shown();
        let report = ask(Question::Section(SectionId::Groups));
        let Some(Content::Groups(groups)) = &report.content else { panic!("{report:?}") };
        // Where there are many, the biggest are listed.
        let Some(row) = groups.groups.iter().find(|group| group.name.raw().starts_with(NAME)) else {
            return assert_eq!(groups.groups.len(), MAX_GROUPS);
        };
        assert_eq!((row.memory_max_kib, row.tasks_max), (Some(256 << 10), Some(200)));
        assert!(row.memory_kib > 0 && row.tasks.is_some_and(|tasks| tasks > 0), "{row:?}");
    });
}

#[test]
fn the_limits_of_a_container_are_shown_beside_what_its_host_has() {
    let Some(limited) = limited() else { return };
    isolated_in(&limited.0, GroupView::Own, || {
        see_own_groups();
        the_limits_are_shown();
    });
}

#[test]
fn a_limit_that_is_changed_while_somebody_looks_is_the_new_one_within_a_minute() {
    let Some(limited) = limited() else { return };
    // A container may not be permitted to change its own limit.
    isolated_in(&limited.0, GroupView::Whole, || {
        let mut watched = Watched::begin();
        assert_eq!(watched.after(1000).memory.limit_kib, 256 << 10);
        write(&own_limit(), "536870912").unwrap();
        assert_eq!(watched.after(60_000).memory.limit_kib, 512 << 10);
    });
}
