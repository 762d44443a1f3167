//! Services from systemd, and what else starts with the system: XDG autostart entries and tables of cron. What any of them
//! runs is never looked at.

use std::{fs, io, path::Path};

use wire::{
    diagnostics::sections::services::{MAX_NAMES, Manager, Services},
    text::Label,
};

use super::{
    autostart::{self, Autostart},
    systemd,
};
use crate::{
    manifest::Manifest,
    processes::hidden::{HIDDEN, are_hidden},
    roots::Roots,
    sources::Sources,
    text::first_line,
};

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 4096;

/// Reads services and what starts with the system.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Services> {
    let roots = &sources.roots;
    let manager = manager(roots, manifest);
    let systemd = systemd::read(&sources.bus, manifest);
    let own_systemd = roots.person.runtime.as_deref().and_then(|runtime| systemd::read_own(runtime, manifest));
    let Autostart { starting, own, left_out } = autostart::read(roots, manifest);
    let mut cron = Vec::new();
    for folder in ["cron.d", "cron.hourly", "cron.daily", "cron.weekly", "cron.monthly"] {
        cron.extend(names(&roots.etc.join(folder), "cron", manifest));
    }
    Some(Services {
        manager,
        systemd,
        own_systemd,
        autostart_entries: count(&starting),
        own_autostart_entries: own,
        autostart_left_out: left_out,
        autostart: labels(starting, "autostart", manifest),
        cron_entries: count(&cron),
        cron: labels(cron, "cron", manifest),
        user_crontabs: user_crontabs(roots, manifest),
    })
}

/// What starts and watches the services; sd_booted(3) asks for the same folder.
fn manager(roots: &Roots, manifest: &mut Manifest) -> Manager {
    if roots.run.join("systemd/system").is_dir() {
        return Manager::Systemd;
    }
    if roots.run.join("openrc").is_dir() {
        return Manager::OpenRc;
    }
    if are_hidden(&roots.proc) {
        manifest.missing("service manager", &format!("no process of other users is seen: {HIDDEN}"));
    }
    match first_line(&roots.proc.join("1/comm")).as_deref() {
        Some("systemd") => Manager::Systemd,
        Some("init") if roots.etc.join("inittab").exists() => Manager::SysV,
        _ => Manager::Other,
    }
}

/// Tables of single users: where Debian and where the others keep them.
fn user_crontabs(roots: &Roots, manifest: &mut Manifest) -> Option<u32> {
    let spool = roots.var.join("spool/cron");
    let debian = spool.join("crontabs");
    let folder = if debian.is_dir() { debian } else { spool };
    match files(&folder) {
        Ok(files) => Some(count(&files)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(0),
        Err(error) => {
            manifest.failed("crontabs of users", &error);
            None
        }
    }
}

/// The files in a folder, none if there is no such folder.
pub(super) fn names(folder: &Path, source: &str, manifest: &mut Manifest) -> Vec<String> {
    match files(folder) {
        Ok(names) => {
            manifest.read(source);
            names
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            manifest.partial(source, &crate::gaps::why(&error));
            Vec::new()
        }
    }
}

/// Names of the files in a folder, sorted, without those that begin with a dot.
fn files(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.take(MAX_ENTRIES).filter_map(Result::ok);
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_dir()));
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names = names.filter(|name| !name.starts_with('.')).collect::<Vec<_>>();
    names.sort();
    Ok(names)
}

fn count(names: &[String]) -> u32 {
    u32::try_from(names.len()).unwrap_or(u32::MAX)
}

fn labels(names: Vec<String>, source: &str, manifest: &mut Manifest) -> Vec<Label> {
    let mut labels = names.iter().map(|name| Label::cut(name)).collect();
    manifest.bound(source, &mut labels, MAX_NAMES);
    labels
}
