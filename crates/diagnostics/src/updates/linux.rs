//! Reads [`Updates`].
//!
//! PackageKit is asked if it runs, otherwise the package manager's own program, in a way that neither fetches nor locks anything:
//! what is told is what the lists on the machine know.

use std::{io, time::Duration};

use wire::{
    diagnostics::sections::updates::{MAX_PACKAGES, PackageManager, RebootReason, UpdateSource, Updates},
    text::Label,
};

use super::{
    kernel,
    listings::{self, Pending},
    packagekit, records,
};
use crate::{gaps::why, manifest::Manifest, sources::Sources, text::first_line, tools::Tool};

/// Longest that one program is waited for: some read lists of a hundred megabytes first.
const TOOL_DEADLINE: Duration = Duration::from_secs(15);

/// Most bytes that a program prints.
const TOOL_BYTES: usize = 4 << 20;

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Updates> {
    let roots = &sources.roots;
    let manager = records::manager(roots);
    let mut updates = Updates { manager, ..Updates::default() };
    read_kernels(sources, &mut updates);
    if manager.is_some() || roots.run.join("reboot-required").exists() {
        let asked = roots.run.join("reboot-required").exists();
        updates.reboot_reasons.extend(asked.then_some(RebootReason::Asked));
        updates.reboot_needed = Some(!updates.reboot_reasons.is_empty());
    }
    read_pending(sources, manager, &mut updates, manifest);
    let Some(manager) = manager else {
        manifest.missing("packages", "no package manager that is known here");
        return updates.counted_by.is_some().then_some(updates);
    };
    if let Some(kept) = manifest.keep("packages", records::kept(manager, roots)) {
        updates.held = u32::try_from(kept.held.len()).ok();
        updates.held_names = kept.held.iter().map(|name| Label::cut(name)).collect();
        manifest.bound("names of packages", &mut updates.held_names, MAX_PACKAGES);
        updates.interrupted = kept.interrupted;
    }
    updates.lists_refreshed = records::lists_refreshed(manager, roots);
    updates.last_success = records::last_success(manager, roots);
    updates.automatic = records::automatic(manager, roots);
    Some(updates)
}

fn read_kernels(sources: &Sources, updates: &mut Updates) {
    let running = first_line(&sources.roots.proc.join("sys/kernel/osrelease")).unwrap_or_default();
    updates.running_kernel = Label::cut(&running);
    let installed = kernel::installed(&sources.roots, &running);
    let Some(newest) = kernel::newest(&installed) else { return };
    updates.newest_kernel = Label::cut(&newest.release);
    updates.newest_kernel_since = newest.since;
    if !installed.iter().any(|kernel| kernel.release == running) {
        updates.reboot_reasons.push(RebootReason::KernelRemoved);
    } else if kernel::compare(&running, &newest.release).is_lt() {
        updates.reboot_reasons.push(RebootReason::Kernel);
    }
}

fn read_pending(sources: &Sources, manager: Option<PackageManager>, updates: &mut Updates, manifest: &mut Manifest) {
    let service = packagekit::pending(&sources.bus);
    let counted = match service {
        Ok(pending) => {
            manifest.read("packagekit");
            Some((UpdateSource::PackageKit, pending))
        }
        Err(error) => {
            let program = manager.and_then(|manager| ask_program(sources, manager, manifest));
            // Of no interest if the program knows.
            if program.is_none() || error.kind() != io::ErrorKind::NotFound {
                manifest.failed("packagekit", &error);
            }
            program
        }
    };
    let Some((source, mut pending)) = counted else { return };
    // Stable: within security and the rest the order stays.
    pending.sort_by_key(|package| !package.security);
    let count = |rows: usize| u32::try_from(rows).ok();
    updates.counted_by = Some(source);
    updates.pending = count(pending.len());
    updates.security = count(pending.iter().filter(|package| package.security).count());
    updates.pending_names = pending.iter().map(|package| Label::cut(&package.name)).take(MAX_PACKAGES).collect();
}

fn ask_program(
    sources: &Sources,
    manager: PackageManager,
    manifest: &mut Manifest,
) -> Option<(UpdateSource, Vec<Pending>)> {
    let source = match manager {
        PackageManager::Apt => UpdateSource::Apt,
        PackageManager::Dnf => UpdateSource::Dnf,
        PackageManager::Zypper => UpdateSource::Zypper,
    };
    let ask = |tool| sources.output_of(&tool, TOOL_DEADLINE, TOOL_BYTES);
    let nothing = || io::Error::other("it did not come to an end");
    let listed = match manager {
        PackageManager::Apt => ask(Tool::AptUpgrades).and_then(|printed| listings::apt(&printed).ok_or_else(nothing)),
        PackageManager::Dnf => ask(Tool::DnfUpdates).and_then(|printed| {
            let names = listings::dnf(&printed);
            // It prints nothing when there is nothing, and nothing when it knows nothing.
            if names.is_empty() && records::lists_refreshed(manager, &sources.roots).is_none() {
                return Err(io::Error::other("there are no lists on this machine"));
            }
            let security = ask(Tool::DnfSecurity).map(|printed| listings::dnf_security(&printed));
            if let Err(error) = &security {
                manifest.partial(source.name(), &format!("security updates: {}", why(error)));
            }
            let security = security.unwrap_or_default();
            Ok(names.into_iter().map(|name| Pending { security: security.contains(&name), name }).collect())
        }),
        PackageManager::Zypper => ask(Tool::ZypperUpdates).and_then(|printed| {
            let names = listings::zypper(&printed, "Name").ok_or_else(nothing)?;
            let patches = ask(Tool::ZypperSecurity)?;
            // Patches have names of their own, so they are counted beside the packages that they bring.
            let patches = listings::zypper(&patches, "Name").ok_or_else(nothing)?;
            let security = patches.into_iter().map(|name| Pending { name, security: true });
            Ok(security.chain(names.into_iter().map(|name| Pending { name, security: false })).collect())
        }),
    };
    Some((source, manifest.keep(source.name(), listed)?))
}

#[cfg(test)]
mod tests {
    use wire::diagnostics::report::Coverage;

    use super::*;
    use crate::testing::{Printing, Tree, told};

    fn read_all(tree: &Tree, printing: Printing) -> (Option<Updates>, Vec<(String, Coverage, String)>) {
        let mut manifest = Manifest::default();
        let updates = read(&tree.sources(printing), &mut manifest);
        (updates, told(manifest))
    }

    fn debian() -> Tree {
        let tree = Tree::new();
        tree.write("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        tree.write("usr/lib/modules/6.1.0-18-amd64/modules.dep", "");
        tree.write("var/lib/dpkg/status", "Package: bash\nStatus: hold ok installed\n");
        tree
    }

    const APT: &[u8] =
        b"Inst tzdata [1] (2 Debian:12/stable [all])\nInst curl [1] (2 Debian-Security:12/stable-security [amd64])\n\
2 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n";

    #[test]
    fn a_debian_without_packagekit_counts_with_apt() {
        let (updates, told) = read_all(&debian(), Printing(vec![(Tool::AptUpgrades, APT.to_vec())]));
        let updates = updates.unwrap();
        assert_eq!(
            (updates.counted_by, updates.pending, updates.security),
            (Some(UpdateSource::Apt), Some(2), Some(1))
        );
        assert_eq!(updates.pending_names.iter().map(Label::raw).collect::<Vec<_>>(), ["curl", "tzdata"]);
        assert_eq!((updates.held, updates.held_names[0].raw()), (Some(1), "bash"));
        assert_eq!((updates.reboot_needed, updates.automatic, updates.interrupted), (Some(false), None, Some(false)));
        assert!(updates.last_success.is_some());
        assert!(told.iter().all(|(_, coverage, _)| *coverage == Coverage::Read), "{told:?}");
    }

    #[test]
    fn a_restart_is_needed_for_a_newer_kernel_or_because_a_package_asked_for_it() {
        let tree = debian();
        tree.write("usr/lib/modules/6.1.0-20-amd64/modules.dep", "");
        tree.write("run/reboot-required", "*** System restart required ***\n");
        let (updates, _) = read_all(&tree, Printing::default());
        let updates = updates.unwrap();
        assert_eq!(updates.reboot_reasons, [RebootReason::Kernel, RebootReason::Asked]);
        assert_eq!((updates.newest_kernel.raw(), updates.reboot_needed), ("6.1.0-20-amd64", Some(true)));
        assert!(updates.newest_kernel_since.is_some());
    }

    #[test]
    fn a_kernel_whose_modules_are_gone_needs_a_restart() {
        let tree = debian();
        tree.write("proc/sys/kernel/osrelease", "6.1.0-17-amd64\n");
        let (updates, _) = read_all(&tree, Printing::default());
        assert_eq!(updates.unwrap().reboot_reasons, [RebootReason::KernelRemoved]);
    }

    #[test]
    fn nobody_to_ask_is_not_the_same_as_no_updates() {
        let (updates, told) = read_all(&debian(), Printing::default());
        let updates = updates.unwrap();
        assert_eq!((updates.pending, updates.security, updates.counted_by), (None, None, None));
        let missing =
            told.iter().filter(|row| row.1 == Coverage::Missing).map(|row| row.0.as_str()).collect::<Vec<_>>();
        assert_eq!(missing, ["apt-get", "packagekit"]);
        let (updates, told) = read_all(&debian(), Printing(vec![(Tool::AptUpgrades, Vec::new())]));
        assert_eq!(updates.unwrap().pending, None);
        assert!(told.iter().any(|row| row.2 == "it did not come to an end"));
    }

    #[test]
    fn dnf_without_lists_knows_nothing() {
        let tree = Tree::new();
        tree.write("etc/dnf/dnf.conf", "");
        let printing = || Printing(vec![(Tool::DnfUpdates, Vec::new()), (Tool::DnfSecurity, Vec::new())]);
        assert_eq!(read_all(&tree, printing()).0.unwrap().pending, None);
        tree.write("var/cache/dnf/x.solv", "");
        assert_eq!(read_all(&tree, printing()).0.unwrap().pending, Some(0));
        let printed = b"bash.x86_64 5.2 updates\ncurl.x86_64 8.2 updates\n".to_vec();
        let security = b"F-1 Important/Sec. curl-8.2-4.fc39.x86_64\n".to_vec();
        let printing = Printing(vec![(Tool::DnfUpdates, printed), (Tool::DnfSecurity, security)]);
        let updates = read_all(&tree, printing).0.unwrap();
        assert_eq!(
            (updates.pending, updates.security, updates.counted_by),
            (Some(2), Some(1), Some(UpdateSource::Dnf))
        );
    }

    #[test]
    fn zypper_counts_security_patches() {
        let tree = Tree::new();
        tree.write("etc/zypp/zypp.conf", "");
        let table = b"S | Name\n--+-----\nv | curl\n".to_vec();
        let patches = b"Repository | Name | Category\n---\nUpdate | SUSE-2024-1 | security\n".to_vec();
        let printing = Printing(vec![(Tool::ZypperUpdates, table), (Tool::ZypperSecurity, patches)]);
        let updates = read_all(&tree, printing).0.unwrap();
        assert_eq!((updates.pending, updates.security), (Some(2), Some(1)));
    }

    #[test]
    fn a_machine_without_packages_has_no_section() {
        let (updates, told) = read_all(&Tree::new(), Printing::default());
        assert_eq!(updates, None);
        assert_eq!(told.len(), 2);
    }
}
