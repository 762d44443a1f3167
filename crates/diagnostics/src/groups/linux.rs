//! Reads [`Groups`]: the control groups of the machine, or those that the agent's container lets it see.

use std::{
    cmp::Reverse,
    path::{Path, PathBuf},
};

use wire::{
    diagnostics::sections::groups::{ControlGroup, Groups, GroupsVersion, MAX_GROUPS},
    text::Label,
};

use super::{files, own::OwnPlaces, tree};
use crate::{manifest::Manifest, sources::Sources};

const SOURCE: &str = "control groups";

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Groups> {
    let root = sources.roots.sys.join("fs/cgroup");
    let own = OwnPlaces::read(&sources.roots.proc);
    // Where version 2 is alone, its root has this file; beside version 1 it is mounted one level down and has no memory.
    let (version, root) = if root.join("cgroup.controllers").exists() {
        (GroupsVersion::Unified, root)
    } else if root.join("memory").is_dir() || root.join("cpu").is_dir() {
        let hybrid = root.join("unified/cgroup.controllers").exists();
        manifest.partial(SOURCE, "cgroup v1 counts neither pressure nor the times that a group was slowed down");
        (if hybrid { GroupsVersion::Hybrid } else { GroupsVersion::Legacy }, root)
    } else {
        manifest.missing(SOURCE, "this system does not have it");
        return None;
    };
    let unified = version == GroupsVersion::Unified;
    let mut walked = tree::walk(&if unified { root.clone() } else { root.join("memory") });
    manifest.read(SOURCE);
    if walked.cut {
        manifest.partial(SOURCE, &format!("more than the {} that are looked at, or too deep", tree::MAX_SEEN));
    }
    if unified && !walked.places.is_empty() && files::memory_v2(&root.join(&walked.places[0])).is_none() {
        manifest.partial(SOURCE, "memory is not counted for each group");
    }
    // What a container sees as the root is its own group, which counts and may have a limit; that of the machine has neither.
    let contained = match unified {
        true => files::memory_v2(&root).is_some(),
        false => files::memory_max_v1(&root.join("memory")).is_some(),
    };
    if contained {
        walked.places.insert(0, PathBuf::new());
    }
    let seen = u32::try_from(walked.places.len()).unwrap_or(u32::MAX);
    let groups = biggest(walked.places, |place| match unified {
        true => files::memory_v2(&root.join(place)),
        false => files::memory_v1(&root.join("memory").join(place)),
    });
    let group = |place: &PathBuf| {
        let figures = match unified {
            true => files::group_v2(&root.join(place)),
            false => files::group_v1(&root, place),
        };
        ControlGroup { name: name(place), ..figures }
    };
    let own = if unified { own.unified(&root) } else { own.legacy(&root) };
    Some(Groups { version, own, seen, groups: groups.iter().map(group).collect() })
}

/// The biggest by memory. Where nothing counts memory, those nearest to the root.
fn biggest(places: Vec<PathBuf>, memory: impl Fn(&Path) -> Option<u64>) -> Vec<PathBuf> {
    let mut sized = places.into_iter().map(|place| (memory(&place).unwrap_or(0), place)).collect::<Vec<_>>();
    // Stable: groups of one size stay in the order of the walk.
    sized.sort_by_key(|(bytes, _)| Reverse(*bytes));
    sized.truncate(MAX_GROUPS);
    sized.into_iter().map(|(_, place)| place).collect()
}

/// The end of a place says which group it is, so that is what is kept of a long one.
fn name(place: &Path) -> Label {
    if place.as_os_str().is_empty() {
        return Label::cut("/");
    }
    let text = place.to_string_lossy();
    let whole = Label::cut(&text);
    if whole.raw().len() == text.len() {
        return whole;
    }
    let ends = text.char_indices().map(|(start, _)| format!("…{}", text.get(start..).unwrap_or_default()));
    ends.map(|end| (Label::cut(&end), end.len()))
        .find(|(label, len)| label.raw().len() == *len)
        .map_or(whole, |(l, _)| l)
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::{report::Coverage, sections::groups::OwnLimits};

    use super::*;
    use crate::testing::{Printing, Tree, told};

    fn groups(tree: &Tree) -> (Option<Groups>, Vec<(String, Coverage, String)>) {
        let mut manifest = Manifest::default();
        let groups = read(&tree.sources(Printing::default()), &mut manifest);
        (groups, told(manifest))
    }

    #[test]
    fn the_biggest_groups_are_listed_with_what_limits_the_agent_itself() {
        let tree = Tree::new();
        tree.write("sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n");
        tree.write("proc/self/cgroup", "0::/system.slice/assent.service\n");
        for number in 0..60 {
            tree.write(
                &format!("sys/fs/cgroup/user.slice/u{number}.scope/memory.current"),
                format!("{}\n", number * 1024),
            );
        }
        let own = "sys/fs/cgroup/system.slice/assent.service";
        tree.write(&format!("{own}/memory.current"), "2048\n");
        tree.write(&format!("{own}/memory.max"), "max\n");
        tree.write(&format!("{own}/cpu.max"), "50000 100000\n");
        tree.write("sys/fs/cgroup/system.slice/memory.max", "1048576\n");
        tree.write("sys/fs/cgroup/system.slice/memory.current", "524288\n");
        tree.write("sys/fs/cgroup/system.slice/pids.max", "100\n");
        let (groups, told) = groups(&tree);
        let groups = groups.unwrap();
        assert_eq!((groups.version, groups.seen, groups.groups.len()), (GroupsVersion::Unified, 63, MAX_GROUPS));
        assert_eq!((groups.groups[0].name.raw(), groups.groups[0].memory_kib), ("system.slice", 512));
        assert_eq!((groups.groups[1].name.raw(), groups.groups[1].memory_kib), ("user.slice/u59.scope", 59));
        let own = OwnLimits {
            memory_max_kib: Some(1024),
            memory_used_kib: Some(512),
            cpu_max_permille: Some(500),
            tasks_max: Some(100),
        };
        assert_eq!(groups.own, own);
        assert_eq!(told, [(SOURCE.to_owned(), Coverage::Read, String::new())]);
    }

    #[test]
    fn a_machine_with_the_older_version_says_what_that_cannot_tell() {
        let tree = Tree::new();
        tree.write("proc/self/cgroup", "12:pids:/a\n5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/\n0::/\n");
        tree.write("sys/fs/cgroup/unified/cgroup.controllers", "\n");
        tree.write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "4096\n");
        tree.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "8192\n");
        tree.write("sys/fs/cgroup/cpuacct/a/cpuacct.usage", "3000000\n");
        tree.write("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000\n");
        tree.write("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
        let (groups, told) = groups(&tree);
        let groups = groups.unwrap();
        assert_eq!((groups.version, groups.groups[0].memory_kib), (GroupsVersion::Hybrid, 4));
        assert_eq!((groups.own.memory_max_kib, groups.own.cpu_max_permille), (Some(8), Some(2000)));
        assert_eq!((told[0].1, told[0].2.contains("pressure")), (Coverage::Partial, true));
    }

    #[test]
    fn a_container_is_a_group_among_those_in_it() {
        let tree = Tree::new();
        tree.write("proc/self/cgroup", "0::/\n");
        tree.write("sys/fs/cgroup/cgroup.controllers", "memory pids\n");
        tree.write("sys/fs/cgroup/memory.current", "134217728\n");
        tree.write("sys/fs/cgroup/memory.max", "268435456\n");
        tree.write("sys/fs/cgroup/inner/memory.current", "67108864\n");
        let rows = |groups: Groups| {
            let rows = groups.groups.into_iter().map(|group| (group.name.raw().to_owned(), group.memory_max_kib));
            (groups.seen, rows.collect::<Vec<_>>())
        };
        let expected = [("/".to_owned(), Some(262_144)), ("inner".to_owned(), None)];
        assert_eq!(rows(groups(&tree).0.unwrap()), (2, expected.to_vec()));

        let tree = Tree::new();
        tree.write("proc/self/cgroup", "4:memory:/\n");
        tree.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "134217728\n");
        tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        assert_eq!(rows(groups(&tree).0.unwrap()), (1, expected[..1].to_vec()));
        tree.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(rows(groups(&tree).0.unwrap()), (0, Vec::new()), "the machine itself");
    }

    #[test]
    fn a_system_without_groups_has_no_section() {
        let (groups, told) = groups(&Tree::new());
        assert_eq!((groups, told[0].1), (None, Coverage::Missing));
    }

    #[test]
    fn of_a_long_place_the_end_is_kept() {
        let long = format!("kubepods.slice/{}/app.scope", "é".repeat(100));
        let label = name(Path::new(&long));
        assert!(label.raw().starts_with('…') && label.raw().ends_with("/app.scope"), "{label}");
        assert!(label.raw().len() > 120);
    }

    #[test]
    fn a_place_that_climbs_out_is_not_followed() {
        let tree = Tree::new();
        tree.write("sys/fs/cgroup/cgroup.controllers", "memory\n");
        tree.write("proc/self/cgroup", "0::/../../proc\n:\n\n0\n::\n");
        tree.write("sys/proc/memory.max", "1\n");
        let (groups, _) = groups(&tree);
        assert_eq!(groups.unwrap().own, OwnLimits::default());
    }
}
