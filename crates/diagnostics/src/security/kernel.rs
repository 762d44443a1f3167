//! What the firmware and the kernel enforce: secure boot, security modules, lockdown.

use std::path::Path;

use wire::{
    diagnostics::sections::security::{AppArmor, Enforcement, Lockdown, MAX_MODULES, SecureBoot},
    text::Label,
};

use crate::{
    manifest::Manifest,
    text::{first_line, lines, read_file},
};

/// The vendor of the variables that UEFI itself has (UEFI specification, 3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// Whether the firmware starts signed systems only; `None` where it has no UEFI.
pub(super) fn secure_boot(sys: &Path, manifest: &mut Manifest) -> Option<SecureBoot> {
    if !sys.join("firmware/efi").exists() {
        return None;
    }
    let variable = |name: &str| {
        let mut buffer = Vec::new();
        let file = sys.join("firmware/efi/efivars").join(format!("{name}-{GLOBAL}"));
        // Four bytes of attributes, then the value.
        read_file(&file, &mut buffer).map(|bytes| bytes.get(4).copied() == Some(1))
    };
    let on = manifest.keep("efivars", variable("SecureBoot"))?;
    Some(match variable("SetupMode") {
        Ok(true) => SecureBoot::Setup,
        _ if on => SecureBoot::On,
        _ => SecureBoot::Off,
    })
}

/// Security modules, in the order that they are asked.
pub(super) fn modules(sys: &Path, manifest: &mut Manifest) -> Vec<Label> {
    let mut buffer = Vec::new();
    let text =
        read_file(&sys.join("kernel/security/lsm"), &mut buffer).map(|text| String::from_utf8_lossy(text).into_owned());
    let text = manifest.keep("/sys/kernel/security/lsm", text).unwrap_or_default();
    let names = text.trim().split(',').filter(|name| !name.is_empty());
    names.map(Label::cut).take(MAX_MODULES).collect()
}

/// What SELinux does; `None` where it is off.
pub(super) fn selinux(sys: &Path) -> Option<Enforcement> {
    match first_line(&sys.join("fs/selinux/enforce"))?.as_str() {
        "0" => Some(Enforcement::Permissive),
        _ => Some(Enforcement::Enforcing),
    }
}

/// AppArmor's profiles; `None` where it is off.
pub(super) fn apparmor(sys: &Path, manifest: &mut Manifest) -> Option<AppArmor> {
    if first_line(&sys.join("module/apparmor/parameters/enabled"))? != "Y" {
        return None;
    }
    let mut buffer = Vec::new();
    let profiles = read_file(&sys.join("kernel/security/apparmor/profiles"), &mut buffer).map(count_profiles);
    let (enforced, complaining) = manifest.keep("AppArmor's profiles", profiles).unzip();
    Some(AppArmor { enforced, complaining })
}

/// `/usr/bin/man (enforce)`: how many are enforced, and how many complain.
fn count_profiles(text: &[u8]) -> (u32, u32) {
    let count = |mode: &[u8]| lines(text).filter(|line| line.ends_with(mode)).count();
    let [enforced, complaining] =
        [&b"(enforce)"[..], &b"(complain)"[..]].map(|mode| u32::try_from(count(mode)).unwrap_or(u32::MAX));
    (enforced, complaining)
}

/// `none [integrity] confidentiality`; `None` where the kernel has no lockdown.
pub(super) fn lockdown(sys: &Path) -> Option<Lockdown> {
    let line = first_line(&sys.join("kernel/security/lockdown"))?;
    match line.split(['[', ']']).nth(1)? {
        "none" => Some(Lockdown::None),
        "integrity" => Some(Lockdown::Integrity),
        "confidentiality" => Some(Lockdown::Confidentiality),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nobody reads the test's own folder meanwhile")]
mod tests {
    use std::fs;

    use super::*;

    fn sys(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let file = sys.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        sys
    }

    #[test]
    fn secure_boot_is_what_the_firmwares_variables_say() {
        let on = format!("firmware/efi/efivars/SecureBoot-{GLOBAL}");
        let setup = format!("firmware/efi/efivars/SetupMode-{GLOBAL}");
        let told = |files: &[(&str, &[u8])]| secure_boot(sys(files).path(), &mut Manifest::default());
        assert_eq!(told(&[(&on, &[6, 0, 0, 0, 1]), (&setup, &[6, 0, 0, 0, 0])]), Some(SecureBoot::On));
        assert_eq!(told(&[(&on, &[6, 0, 0, 0, 0])]), Some(SecureBoot::Off));
        assert_eq!(told(&[(&on, &[6, 0, 0, 0, 0]), (&setup, &[6, 0, 0, 0, 1])]), Some(SecureBoot::Setup));
        assert_eq!(told(&[(&on, &[6, 0])]), Some(SecureBoot::Off));
        assert_eq!(told(&[("firmware/efi/other", b"")]), None);
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn modules_and_their_modes_are_told() {
        let sys = sys(&[
            ("kernel/security/lsm", b"lockdown,capability,landlock,apparmor"),
            ("kernel/security/lockdown", b"none [integrity] confidentiality\n"),
            ("module/apparmor/parameters/enabled", b"Y\n"),
            ("kernel/security/apparmor/profiles", b"/usr/bin/man (enforce)\nx (complain)\nenforce (unconfined)\n"),
            ("fs/selinux/enforce", b"0"),
        ]);
        let mut manifest = Manifest::default();
        assert_eq!(modules(sys.path(), &mut manifest).len(), 4);
        assert_eq!(lockdown(sys.path()), Some(Lockdown::Integrity));
        assert_eq!(selinux(sys.path()), Some(Enforcement::Permissive));
        let profiles = apparmor(sys.path(), &mut manifest).unwrap();
        assert_eq!((profiles.enforced, profiles.complaining), (Some(1), Some(1)));
    }
}
