//! What package managers leave in files: holds, broken installations, when something was last done, what is done by itself.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    time::UNIX_EPOCH,
};

use wire::{diagnostics::sections::updates::PackageManager, time::WallTime};

use crate::{
    folders::list,
    roots::Roots,
    text::{fields, lines, read_file},
};

/// Most bytes of dpkg's list of packages; ten thousand packages have some 20 MiB.
const MAX_STATUS_BYTES: u64 = 64 << 20;

/// Most packages that are held.
const MAX_HELD: usize = 4096;

/// Files of settings that are read.
const MAX_SETTINGS: usize = 128;

/// What manages the packages of this machine.
pub(super) fn manager(roots: &Roots) -> Option<PackageManager> {
    let candidates = [
        (roots.var.join("lib/dpkg/status"), PackageManager::Apt),
        (roots.etc.join("zypp"), PackageManager::Zypper),
        (roots.etc.join("dnf"), PackageManager::Dnf),
    ];
    candidates.into_iter().find(|(path, _)| path.exists()).map(|(_, manager)| manager)
}

/// When a file or a folder was last changed.
pub(super) fn changed(path: &Path) -> Option<WallTime> {
    let since = path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(WallTime(u64::try_from(since.as_millis()).ok()?))
}

fn first_changed(candidates: impl IntoIterator<Item = std::path::PathBuf>) -> Option<WallTime> {
    candidates.into_iter().find_map(|path| changed(&path))
}

/// When the lists of what there is were last brought up to date.
pub(super) fn lists_refreshed(manager: PackageManager, roots: &Roots) -> Option<WallTime> {
    let var = |path: &str| roots.var.join(path);
    match manager {
        PackageManager::Apt => first_changed([var("lib/apt/periodic/update-success-stamp"), var("lib/apt/lists")]),
        PackageManager::Dnf => first_changed([var("cache/libdnf5"), var("cache/dnf")]),
        PackageManager::Zypper => first_changed([var("cache/zypp/solv"), var("cache/zypp/raw")]),
    }
}

/// When packages were last installed or updated.
pub(super) fn last_success(manager: PackageManager, roots: &Roots) -> Option<WallTime> {
    match manager {
        PackageManager::Apt => {
            first_changed([roots.var.join("log/apt/history.log"), roots.var.join("lib/dpkg/status")])
        }
        PackageManager::Dnf | PackageManager::Zypper => first_changed([
            roots.usr.join("lib/sysimage/rpm/rpmdb.sqlite"),
            roots.usr.join("lib/sysimage/rpm/Packages.db"),
            roots.var.join("lib/rpm/rpmdb.sqlite"),
            roots.var.join("lib/rpm/Packages"),
        ]),
    }
}

/// Packages that are held back, and packages whose installation was broken off.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) held: Vec<String>,
    /// `None` where nothing tells.
    pub(super) interrupted: Option<bool>,
}

/// # Errors
///
/// What reading the list of packages fails with.
pub(super) fn kept(manager: PackageManager, roots: &Roots) -> io::Result<Kept> {
    match manager {
        PackageManager::Apt => {
            let status = File::open(roots.var.join("lib/dpkg/status"))?;
            let mut kept = dpkg_status(BufReader::new(status.take(MAX_STATUS_BYTES)))?;
            // What dpkg has done and not yet written into its list stands in numbered files here.
            let journal = list(&roots.var.join("lib/dpkg/updates"), MAX_SETTINGS).unwrap_or_default().names;
            let number = |name: &OsString| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
            kept.interrupted = kept.interrupted.map(|interrupted| interrupted || journal.iter().any(number));
            Ok(kept)
        }
        PackageManager::Dnf => listed(&roots.etc.join("dnf/plugins/versionlock.list"), |line| {
            (!line.starts_with(b"#") && !line.starts_with(b"!")).then(|| line.trim_ascii())
        }),
        PackageManager::Zypper => {
            listed(&roots.etc.join("zypp/locks"), |line| line.strip_prefix(b"solvable_name:").map(<[u8]>::trim_ascii))
        }
    }
}

/// A list that is only there if somebody made one.
fn listed(file: &Path, name: impl Fn(&[u8]) -> Option<&[u8]>) -> io::Result<Kept> {
    let mut buffer = Vec::new();
    let text = match read_file(file, &mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        read => read?,
    };
    let names = lines(text).filter_map(name).filter(|name| !name.is_empty());
    let held = names.map(|name| String::from_utf8_lossy(name).into_owned()).take(MAX_HELD).collect();
    Ok(Kept { held, interrupted: None })
}

/// dpkg's list of packages: `Package:` and `Status: WANTED FLAG STATE` in paragraphs (dpkg-query(1)).
fn dpkg_status(mut status: impl BufRead) -> io::Result<Kept> {
    let mut kept = Kept { interrupted: Some(false), ..Kept::default() };
    let (mut line, mut package) = (Vec::new(), String::new());
    while status.read_until(b'\n', &mut line)? > 0 {
        if let Some(name) = line.strip_prefix(b"Package:") {
            package = String::from_utf8_lossy(name.trim_ascii()).into_owned();
        } else if let Some(status) = line.strip_prefix(b"Status:") {
            let words = fields(status).collect::<Vec<_>>();
            if words.first() == Some(&b"hold".as_slice()) && kept.held.len() < MAX_HELD {
                kept.held.push(package.clone());
            }
            let broken = [b"half-installed".as_slice(), b"unpacked", b"half-configured"];
            if words.get(2).is_some_and(|state| broken.contains(state)) {
                kept.interrupted = Some(true);
            }
        }
        line.clear();
    }
    Ok(kept)
}

/// Whether updates install themselves; `None` where that is not known how to tell.
pub(super) fn automatic(manager: PackageManager, roots: &Roots) -> Option<bool> {
    match manager {
        PackageManager::Apt => {
            let folder = roots.etc.join("apt/apt.conf.d");
            let mut buffer = Vec::new();
            // Files are read in order, and what stands last counts (apt.conf(5)).
            let settings = list(&folder, MAX_SETTINGS).ok()?.names;
            let last =
                settings.iter().filter_map(|name| unattended(read_file(&folder.join(name), &mut buffer).ok()?)).last();
            Some(last.unwrap_or(false))
        }
        PackageManager::Dnf => {
            let wanted =
                list(&roots.etc.join("systemd/system/timers.target.wants"), MAX_SETTINGS).unwrap_or_default().names;
            let enabled = |name: &str| wanted.iter().any(|timer| timer == name);
            let mut buffer = Vec::new();
            let applies = read_file(&roots.etc.join("dnf/automatic.conf"), &mut buffer).is_ok_and(applies);
            let timer = enabled("dnf-automatic.timer") || enabled("dnf5-automatic.timer");
            Some(enabled("dnf-automatic-install.timer") || (timer && applies))
        }
        PackageManager::Zypper => None,
    }
}

/// `APT::Periodic::Unattended-Upgrade "1";`, where the number is an interval and `0` is never.
fn unattended(settings: &[u8]) -> Option<bool> {
    let value = |line: &[u8]| {
        let mut words = fields(line);
        let name = words.next()?;
        if !name.eq_ignore_ascii_case(b"APT::Periodic::Unattended-Upgrade") {
            return None;
        }
        let value = words.next()?.split(|byte| *byte == b'"').nth(1)?;
        Some(!matches!(value, b"0" | b"" | b"false" | b"no"))
    };
    lines(settings).filter_map(value).last()
}

/// `apply_updates = yes` (dnf-automatic(8)).
fn applies(settings: &[u8]) -> bool {
    let setting = |line: &[u8]| {
        let text = String::from_utf8_lossy(line).to_ascii_lowercase();
        let (name, value) = text.split_once('=')?;
        (name.trim() == "apply_updates").then(|| ["yes", "true", "1"].contains(&value.trim()))
    };
    lines(settings).filter_map(setting).last().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn held_packages_are_named_and_a_broken_installation_is_seen() {
        let status = b"Package: bash\nStatus: install ok installed\nDescription: x\n Status: hold ok installed\n\n\
Package: linux-image-amd64\nStatus: hold ok installed\n\nPackage: old\nStatus: deinstall ok config-files\n\n";
        let kept = dpkg_status(status.as_slice()).unwrap();
        assert_eq!(
            (kept.held.as_slice(), kept.interrupted),
            (["linux-image-amd64".to_owned()].as_slice(), Some(false))
        );
        let kept = dpkg_status(b"Package: x\nStatus: install ok half-configured\n".as_slice()).unwrap();
        assert_eq!(kept.interrupted, Some(true));
        for nonsense in [b"".as_slice(), b"Status:\nStatus: hold\nPackage:\n", b"\xff\xfe\0"] {
            assert!(dpkg_status(nonsense).unwrap().held.len() <= 1);
        }
    }

    #[test]
    fn what_dpkg_has_not_finished_is_an_interrupted_installation() {
        let tree = Tree::new();
        let roots = Roots::under(tree.path());
        tree.write("var/lib/dpkg/status", "Package: x\nStatus: install ok installed\n");
        assert_eq!(kept(PackageManager::Apt, &roots).unwrap().interrupted, Some(false));
        tree.write("var/lib/dpkg/updates/0003", "");
        assert_eq!(kept(PackageManager::Apt, &roots).unwrap().interrupted, Some(true));
    }

    #[test]
    fn the_last_setting_counts() {
        let tree = Tree::new();
        let roots = Roots::under(tree.path());
        assert_eq!(automatic(PackageManager::Apt, &roots), None);
        tree.write("etc/apt/apt.conf.d/20auto-upgrades", "APT::Periodic::Unattended-Upgrade \"1\";\n");
        assert_eq!(automatic(PackageManager::Apt, &roots), Some(true));
        tree.write("etc/apt/apt.conf.d/99local", "// no\napt::periodic::unattended-upgrade \"0\";\n");
        assert_eq!(automatic(PackageManager::Apt, &roots), Some(false));
    }

    #[test]
    fn dnf_updates_by_itself_only_with_a_timer_that_applies_them() {
        let tree = Tree::new();
        let roots = Roots::under(tree.path());
        tree.write("etc/dnf/automatic.conf", "[commands]\napply_updates = Yes\n");
        assert_eq!(automatic(PackageManager::Dnf, &roots), Some(false));
        tree.write("etc/systemd/system/timers.target.wants/dnf-automatic.timer", "");
        assert_eq!(automatic(PackageManager::Dnf, &roots), Some(true));
    }

    #[test]
    fn locks_of_the_others_are_lists_of_their_own() {
        let tree = Tree::new();
        let roots = Roots::under(tree.path());
        assert_eq!(kept(PackageManager::Zypper, &roots).unwrap(), Kept::default());
        tree.write("etc/zypp/locks", "type: package\nmatch_type: glob\nsolvable_name: kernel-default\n\n");
        tree.write("etc/dnf/plugins/versionlock.list", "# comment\nbash-0:5.2-1.*\n!curl-0:8\n");
        assert_eq!(kept(PackageManager::Zypper, &roots).unwrap().held, ["kernel-default"]);
        assert_eq!(kept(PackageManager::Dnf, &roots).unwrap().held, ["bash-0:5.2-1.*"]);
        assert_eq!(manager(&roots), Some(PackageManager::Zypper));
    }
}
