//! What a Linux machine is: `os-release(5)`, DMI or the device tree, `/proc/cpuinfo`, the agent's own user.
//!
//! Serial numbers, addresses and machine ids are not read.

use std::path::Path;

use wire::{diagnostics::IdentityCard, text::Label};

use super::virtualisation::virtualisation;
use crate::{
    processes::owners::Owners,
    roots::Roots,
    text::{fields, first_line, lines, number, read_file, values},
};

/// Reads the identity card; what cannot be read is blank.
pub(crate) fn read(roots: &Roots) -> IdentityCard {
    let mut buffer = Vec::new();
    let user_id = rustix::process::geteuid().as_raw();
    let cpuinfo = Cpuinfo::read(&roots.proc);
    let [memory] =
        read_file(&roots.proc.join("meminfo"), &mut buffer).map_or([None], |text| values(text, ["MemTotal"]));
    IdentityCard {
        host: line(&roots.proc.join("sys/kernel/hostname")),
        system: Label::cut(&system(roots)),
        kernel: line(&roots.proc.join("sys/kernel/osrelease")),
        architecture: Label::cut(&sysinfo::System::cpu_arch()),
        model: Label::cut(&model(roots)),
        virtualisation: virtualisation(roots, cpuinfo.under_hypervisor).map(|kind| Label::cut(&kind)),
        processor: Label::cut(&cpuinfo.model),
        cores: cpuinfo.cores,
        memory_kib: memory.unwrap_or(0),
        agent_version: Label::cut(env!("CARGO_PKG_VERSION")),
        user: Owners::new(&roots.etc).name(user_id),
        administrator: user_id == 0,
    }
}

fn line(path: &Path) -> Label {
    Label::cut(&first_line(path).unwrap_or_default())
}

/// `PRETTY_NAME` of os-release, else the kernel's own name.
fn system(roots: &Roots) -> String {
    let mut buffer = Vec::new();
    let release = read_file(&roots.etc.join("os-release"), &mut buffer).ok();
    let pretty = release.and_then(|text| lines(text).find_map(|line| line.strip_prefix(b"PRETTY_NAME=")));
    let pretty = pretty.map(|value| unquoted(&String::from_utf8_lossy(value)));
    pretty.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "Linux".to_owned())
}

/// A value of os-release: shell quoting, of which only what occurs in names is undone.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut text = String::new();
    let mut characters = inner.unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

/// Vendor and model; firmware that was never filled in counts as silent.
fn model(roots: &Roots) -> String {
    let dmi = roots.sys.join("class/dmi/id");
    let told = |name: &str| {
        let value = first_line(&dmi.join(name))?;
        let filler = ["to be filled by o.e.m.", "system manufacturer", "system product name", "default string", "none"];
        (!filler.contains(&value.to_ascii_lowercase().as_str())).then_some(value)
    };
    match (told("sys_vendor"), told("product_name")) {
        (Some(vendor), Some(product)) if product.starts_with(&vendor) => product,
        (Some(vendor), Some(product)) => format!("{vendor} {product}"),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => first_line(&roots.proc.join("device-tree/model")).unwrap_or_default(),
    }
}

/// What `/proc/cpuinfo` says.
struct Cpuinfo {
    model: String,
    cores: u16,
    under_hypervisor: bool,
}

impl Cpuinfo {
    /// Its keys differ between architectures; these are those of x86, s390 and RISC-V, POWER, and old ARM. New ARM has numbers
    /// only, for which sysinfo knows the names.
    fn read(proc: &Path) -> Self {
        let mut buffer = Vec::new();
        let text = read_file(&proc.join("cpuinfo"), &mut buffer).unwrap_or_default();
        let pairs = || {
            lines(text).filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
            })
        };
        let value = |wanted: &[u8]| pairs().find(|(key, _)| *key == wanted).map(|(_, value)| value);
        let named = [&b"model name"[..], b"uarch", b"cpu", b"Processor"].into_iter().find_map(value);
        let model = match named.filter(|name| !name.is_empty()) {
            Some(name) => fields(name).map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" "),
            None => brand_by_sysinfo(),
        };
        let cores = pairs().filter(|(key, value)| *key == b"processor" && number(value).is_some()).count();
        let under_hypervisor = value(b"flags").is_some_and(|flags| fields(flags).any(|flag| flag == b"hypervisor"));
        Self { model, cores: u16::try_from(cores).unwrap_or(u16::MAX), under_hypervisor }
    }
}

fn brand_by_sysinfo() -> String {
    let Ok(mut system) = sysinfo::System::new() else { return String::new() };
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_systems_are_unquoted() {
        assert_eq!(unquoted("\"Debian GNU/Linux 12 (bookworm)\""), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(unquoted("'Name \\$1'"), "Name $1");
        assert_eq!(unquoted("Fedora"), "Fedora");
        assert_eq!(unquoted("\"torn"), "\"torn");
        assert_eq!(unquoted("\\"), "");
    }
}
