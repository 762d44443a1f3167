//! Kernels that are installed, compared with the one that runs.

use std::{cmp::Ordering, path::Path};

use wire::time::WallTime;

use super::records::changed;
use crate::{folders::list, roots::Roots};

/// Entries of a folder that are looked at.
const MAX_ENTRIES: usize = 256;

/// A kernel that is installed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) release: String,
    /// When it was installed, as far as the file system tells.
    pub(super) since: Option<WallTime>,
}

/// Installed kernels of the same kind as `running`, from their modules or, without any, from what is booted.
pub(super) fn installed(roots: &Roots, running: &str) -> Vec<Kernel> {
    let modules = roots.usr.join("lib/modules");
    // Of a kernel that was removed a folder may stay, with modules in it that were built on the machine.
    let with_modules = in_folder(&modules, |name| modules.join(name).join("modules.dep").exists().then_some(name));
    let kernels = match with_modules.is_empty() {
        true => in_folder(&roots.boot, |name| name.strip_prefix("vmlinuz-")),
        false => with_modules,
    };
    kernels.into_iter().filter(|kernel| flavour(&kernel.release) == flavour(running)).collect()
}

fn in_folder(folder: &Path, release: impl Fn(&str) -> Option<&str>) -> Vec<Kernel> {
    let names = list(folder, MAX_ENTRIES).unwrap_or_default().names;
    let kernel = |name: &std::ffi::OsString| {
        let release = release(name.to_str()?)?.to_owned();
        let versioned = release.starts_with(|first: char| first.is_ascii_digit()) && !release.contains("rescue");
        versioned.then(|| Kernel { since: changed(&folder.join(name)), release })
    };
    names.iter().filter_map(kernel).collect()
}

/// The newest of `kernels`.
pub(super) fn newest(kernels: &[Kernel]) -> Option<&Kernel> {
    kernels.iter().max_by(|one, other| compare(&one.release, &other.release))
}

/// What makes kernels that are installed side by side different: the words at the end, such as `amd64` or `lowlatency`.
fn flavour(release: &str) -> Vec<&str> {
    let parts = release.rsplit('-');
    parts.take_while(|part| part.starts_with(|first: char| first.is_ascii_alphabetic())).collect()
}

/// Numbers by their value, everything between them by its bytes.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    parts(one).cmp(parts(other))
}

/// Runs of digits and what is between: each as its text and, of a number, its length without zeros in front.
fn parts(release: &str) -> impl Iterator<Item = (bool, usize, &str)> {
    let mut rest = release;
    std::iter::from_fn(move || {
        let digits = rest.starts_with(|first: char| first.is_ascii_digit());
        let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        let part = if digits { part.trim_start_matches('0') } else { part };
        (end > 0).then_some((digits, if digits { part.len() } else { 0 }, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for (older, newer) in [
            ("6.1.0-9-amd64", "6.1.0-18-amd64"),
            ("6.9.12-200.fc39.x86_64", "6.10.3-200.fc39.x86_64"),
            ("5.15.0-91-generic", "5.15.0-101-generic"),
            ("6.7.1-arch1-1", "6.7.1-arch1-2"),
            ("6.1", "6.1.1"),
            ("", "1"),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater);
        }
        assert_eq!(compare("6.01", "6.1"), Ordering::Equal);
        let huge = "9".repeat(5000);
        assert_eq!(compare(&huge, "1"), Ordering::Greater);
    }

    #[test]
    fn kernels_of_another_kind_and_remains_of_removed_ones_do_not_count() {
        let tree = Tree::new();
        for release in ["6.1.0-18-amd64", "6.1.0-20-amd64", "6.5.0-1-rt-amd64"] {
            tree.write(&format!("usr/lib/modules/{release}/modules.dep"), "");
        }
        tree.write("usr/lib/modules/6.1.0-25-amd64/updates/dkms/x.ko", "");
        let roots = Roots::under(tree.path());
        let kernels = installed(&roots, "6.1.0-18-amd64");
        assert_eq!(newest(&kernels).unwrap().release, "6.1.0-20-amd64");
        assert_eq!(kernels.len(), 2);
        assert_eq!(installed(&roots, "6.18.44-fc-v657"), []);
    }

    #[test]
    fn without_modules_what_is_booted_counts() {
        let tree = Tree::new();
        for name in ["vmlinuz-6.1.0-9-amd64", "vmlinuz-0-rescue-0a1b", "vmlinuz", "vmlinuz-linux", "initrd.img-7-amd64"]
        {
            tree.write(&format!("boot/{name}"), "");
        }
        let kernels = installed(&Roots::under(tree.path()), "6.1.0-8-amd64");
        assert_eq!(kernels.iter().map(|kernel| kernel.release.as_str()).collect::<Vec<_>>(), ["6.1.0-9-amd64"]);
        assert!(kernels[0].since.is_some());
    }
}
