//! Reads [`Security`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    time::Duration,
};

use wire::{
    diagnostics::sections::security::{Guard, GuardState, MAX_PORTS, Protocol, Security},
    text::Label,
};
use zbus::OwnedObjectPath;

use super::{disk, firewall, kernel, ports, ssh};
use crate::{
    bus::Talk,
    manifest::Manifest,
    sources::Sources,
    text::{lines, read_file},
};

/// Longest that the system's manager is waited for.
const DEADLINE: Duration = Duration::from_secs(3);

/// Most files of `jail.d` that are read.
const MAX_JAIL_FILES: usize = 64;

/// The services that are looked for.
const GUARDS: [&str; 8] =
    ["firewalld", "nftables", "ufw", "clamav-daemon", "clamav-freshclam", "fail2ban", "auditd", "usbguard"];

/// Reads the section; `None` if this system has nothing of the kind.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Security> {
    let roots = &sources.roots;
    let encrypted = disk::root_is_encrypted(&roots.proc, &roots.sys);
    match encrypted {
        Some(_) => manifest.read("layers of the root directory"),
        None => manifest.missing("layers of the root directory", "it is on no disk that the kernel names"),
    }
    let mut security = Security {
        firewall: firewall::read(roots, manifest),
        root_encrypted: encrypted,
        secure_boot: kernel::secure_boot(&roots.sys, manifest),
        modules: kernel::modules(&roots.sys, manifest),
        selinux: kernel::selinux(&roots.sys),
        apparmor: kernel::apparmor(&roots.sys, manifest),
        lockdown: kernel::lockdown(&roots.sys),
        ssh: ssh::read(&roots.etc, manifest),
        guards: manifest.keep("systemd", sources.bus.ask(DEADLINE, ask_guards)).unwrap_or_default(),
        fail2ban_jails: jails(&roots.etc),
        ..Security::default()
    };
    if let Some((mut ports, complete)) = manifest.keep("sock_diag", ports::read(&roots.proc)) {
        let count = |protocol, local| {
            let ports = ports.iter().filter(|port| port.protocol == protocol && port.local == local);
            u32::try_from(ports.map(|port| port.port).collect::<BTreeSet<_>>().len()).unwrap_or(u32::MAX)
        };
        security.tcp_open = count(Protocol::Tcp, false);
        security.tcp_local = count(Protocol::Tcp, true);
        security.udp_open = count(Protocol::Udp, false);
        security.udp_local = count(Protocol::Udp, true);
        if !complete {
            manifest.partial("sock_diag", "there are more sockets than are read, or they changed meanwhile");
        }
        if ports.iter().any(|port| port.program.is_blank()) {
            manifest.partial("programs of the ports", "the descriptors of other users' processes cannot be read");
        }
        manifest.bound("ports", &mut ports, MAX_PORTS);
        security.ports = ports;
    }
    Some(security)
}

async fn ask_guards(talk: &Talk) -> io::Result<Vec<Guard>> {
    let (service, manager) = ("org.freedesktop.systemd1", "org.freedesktop.systemd1.Manager");
    let mut guards = Vec::new();
    for name in GUARDS {
        let unit = format!("{name}.service");
        let state =
            talk.call::<String>(service, "/org/freedesktop/systemd1", (manager, "GetUnitFileState"), &(&unit)).await;
        // Not installed, or a service manager that is none.
        let Ok(_) = state else { continue };
        let found =
            talk.call::<OwnedObjectPath>(service, "/org/freedesktop/systemd1", (manager, "GetUnit"), &(&unit)).await;
        let active = match found {
            Ok(path) => {
                let interface = "org.freedesktop.systemd1.Unit";
                talk.property::<String>(service, path.as_str(), (interface, "ActiveState")).await?
            }
            // Units that nothing has loaded do not run.
            Err(_) => String::new(),
        };
        guards.push(Guard { name: Label::cut(name), state: guard_state(&active) });
    }
    // Only to tell a manager that is not there from one without guards.
    talk.property::<String>(service, "/org/freedesktop/systemd1", (manager, "Version")).await?;
    Ok(guards)
}

fn guard_state(active: &str) -> GuardState {
    match active {
        "active" | "reloading" | "activating" => GuardState::Running,
        "failed" => GuardState::Failed,
        _ => GuardState::Stopped,
    }
}

/// Rules of fail2ban that are switched on (jail.conf(5)); `None` where it has no settings.
fn jails(etc: &Path) -> Option<u32> {
    let folder = etc.join("fail2ban");
    let added = fs::read_dir(folder.join("jail.d")).into_iter().flatten().filter_map(Result::ok);
    let mut added = added.map(|entry| entry.path()).take(MAX_JAIL_FILES).collect::<Vec<_>>();
    added.sort();
    let files = [folder.join("jail.conf"), folder.join("jail.local")].into_iter().chain(added);
    let mut switched_on = BTreeMap::new();
    let mut found = false;
    let mut buffer = Vec::new();
    for file in files {
        let Ok(text) = read_file(&file, &mut buffer) else { continue };
        found = true;
        add_jails(text, &mut switched_on);
    }
    let jails = switched_on.values().filter(|on| **on).count();
    found.then(|| u32::try_from(jails).unwrap_or(u32::MAX))
}

/// `[sshd]` and then `enabled = true`. Later files count.
fn add_jails(text: &[u8], switched_on: &mut BTreeMap<Vec<u8>, bool>) {
    let mut jail = None;
    for line in lines(text) {
        let line = line.trim_ascii();
        if let Some(name) = line.strip_prefix(b"[").and_then(|line| line.strip_suffix(b"]")) {
            jail = (name != b"DEFAULT" && name != b"INCLUDES").then(|| name.to_vec());
        } else if let (Some(jail), Some(value)) = (&jail, line.strip_prefix(b"enabled")) {
            let Some(value) = value.trim_ascii().strip_prefix(b"=").map(<[u8]>::trim_ascii) else { continue };
            switched_on.insert(jail.clone(), matches!(value, b"true" | b"yes" | b"1" | b"on"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jail_is_on_if_the_last_file_says_so() {
        let mut jails = BTreeMap::new();
        add_jails(b"[DEFAULT]\nenabled = true\n[sshd]\nenabled=true\n[nginx]\nport = http\n", &mut jails);
        add_jails(b"[sshd]\nenabled = false\n[postfix]\nenabled = true\nenabledx = no\n", &mut jails);
        assert_eq!(jails.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect::<Vec<_>>(), [b"postfix"]);
    }

    #[test]
    fn this_machine_tells_what_it_can_without_a_bus() {
        let sources = Sources { bus: crate::Bus::at(Path::new("/nowhere")), ..Sources::default() };
        let mut manifest = Manifest::default();
        let security = read(&sources, &mut manifest).unwrap();
        assert!(security.guards.is_empty());
        let sources = manifest.into_sources();
        let systemd = sources.iter().find(|source| source.name.raw() == "systemd").unwrap();
        assert_eq!(systemd.reason.raw(), "this system does not have it");
    }
}
