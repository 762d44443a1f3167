//! Walking the tree of control groups, to a bounded depth and number.

use std::path::{Path, PathBuf};

use crate::folders::list;

/// Deepest group that is looked at; containers in containers come to about eight.
const MAX_DEPTH: usize = 12;

/// Most groups that are looked at: each costs one small file.
pub(super) const MAX_SEEN: usize = 4096;

/// Entries of one group's folder that are looked at: some seventy files, and more groups in it than are looked at in all.
const MAX_ENTRIES: usize = MAX_SEEN + 256;

/// Groups below a root.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Their places, relative to the root.
    pub(super) places: Vec<PathBuf>,
    /// Whether some were left out.
    pub(super) cut: bool,
}

/// The groups below `root`, those near it first.
pub(super) fn walk(root: &Path) -> Walk {
    let mut walk = Walk::default();
    let mut level = vec![PathBuf::new()];
    for _ in 0..MAX_DEPTH {
        let mut below = Vec::new();
        for place in &level {
            let folder = root.join(place);
            // A group may be gone by now; then it has nothing below.
            let Ok(listing) = list(&folder, MAX_ENTRIES) else { continue };
            walk.cut |= listing.cut;
            for name in listing.names {
                let is_group = folder.join(&name).symlink_metadata().is_ok_and(|entry| entry.is_dir());
                if is_group && walk.places.len() + below.len() >= MAX_SEEN {
                    walk.cut = true;
                    walk.places.append(&mut below);
                    return walk;
                }
                if is_group {
                    below.push(place.join(name));
                }
            }
        }
        walk.places.extend_from_slice(&below);
        level = below;
    }
    walk.cut |= !level.is_empty();
    walk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn groups_are_walked_from_the_top_and_files_and_links_are_not_groups() {
        let tree = Tree::new();
        tree.write("a.slice/b.service/memory.current", "1\n");
        tree.write("c.slice/memory.current", "1\n");
        std::os::unix::fs::symlink(tree.path(), tree.at("loop")).unwrap();
        let walk = walk(tree.path());
        assert_eq!(walk.places, ["a.slice", "c.slice", "a.slice/b.service"].map(PathBuf::from));
        assert!(!walk.cut);
    }

    #[test]
    fn a_tree_that_is_too_deep_is_cut() {
        let tree = Tree::new();
        tree.write(&format!("{}memory.current", "d/".repeat(MAX_DEPTH + 3)), "1\n");
        let walk = walk(tree.path());
        assert_eq!((walk.places.len(), walk.cut), (MAX_DEPTH, true));
    }

    #[test]
    fn of_groups_side_by_side_as_many_are_looked_at_as_of_others() {
        let tree = Tree::new();
        (0..70).for_each(|file| tree.write(&format!("file{file}"), "1\n"));
        (0..MAX_SEEN).for_each(|group| std::fs::create_dir(tree.at(&group.to_string())).unwrap());
        let all = walk(tree.path());
        assert_eq!((all.places.len(), all.cut), (MAX_SEEN, false));
        std::fs::create_dir(tree.at("more")).unwrap();
        let cut = walk(tree.path());
        assert_eq!((cut.places.len(), cut.cut), (MAX_SEEN, true));
    }

    #[test]
    fn a_tree_that_is_too_wide_is_cut() {
        let tree = Tree::new();
        for slice in 0..3 {
            for group in 0..1500 {
                std::fs::create_dir_all(tree.at(&format!("{slice}/{group}"))).unwrap();
            }
        }
        let walk = walk(tree.path());
        assert_eq!((walk.places.len(), walk.cut), (MAX_SEEN, true));
    }
}
