//! The operating system and how it started: `os-release(5)`, proc(5), the kernel's `Documentation/admin-guide/tainted-kernels.rst`,
//! and systemd's own times over D-Bus (`org.freedesktop.systemd1(5)`).

use std::{io, path::Path, time::Duration};

use wire::{
    diagnostics::sections::system::{Boot, MAX_MODULES, MAX_PARAMETERS, Module, Modules, System, Taint},
    text::{Label, Sentence},
    time::WallTime,
};

use crate::{
    bus::{Bus, Talk},
    manifest::Manifest,
    processes::hidden::{HIDDEN, are_hidden},
    roots::Roots,
    sources::Sources,
    sysfs::label,
    text::{fields, lines, number, read_file, values},
};

const BUS_DEADLINE: Duration = Duration::from_secs(10);

/// Reads the section.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<System> {
    let Sources { roots, bus, .. } = sources;
    let mut system = System::default();
    let mut buffer = Vec::new();
    if let Some(release) = manifest.keep("os-release", os_release(roots, &mut buffer)) {
        read_release(release, &mut system);
    }
    if let Some(line) = manifest.keep("kernel command line", read_file(&roots.proc.join("cmdline"), &mut buffer)) {
        system.parameters = parameters(line);
        manifest.bound("kernel command line", &mut system.parameters, MAX_PARAMETERS);
    }
    system.modules = read_modules(&roots.proc, manifest);
    let tainted = roots.proc.join("sys/kernel/tainted");
    if let Some(bits) = manifest.keep("kernel taint", read_number(&tainted)) {
        system.taints = taints(bits);
    }
    system.kernel = label(&roots.proc.join("sys/kernel/osrelease"));
    system.kernel_build = label(&roots.proc.join("sys/kernel/version"));
    system.init = label(&roots.proc.join("1/comm"));
    if are_hidden(&roots.proc) {
        manifest.missing("process 1", &format!("no process of other users is seen: {HIDDEN}"));
    }
    system.locale = locale(&roots.etc);
    system.time_zone = time_zone(&roots.etc);
    if let Some(times) = manifest.keep("systemd", ask_systemd(bus)) {
        system.boot = times;
    }
    let stat = read_file(&roots.proc.join("stat"), &mut buffer).map(|text| values(text, ["btime"]));
    if let Some([Some(seconds)]) = manifest.keep("start time", stat) {
        system.boot.started_at = Some(WallTime(seconds.saturating_mul(1000)));
    }
    Some(system)
}

fn os_release<'b>(roots: &Roots, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    read_file(&roots.etc.join("os-release"), buffer)
}

fn read_release(text: &[u8], system: &mut System) {
    for line in lines(text) {
        let Some((key, value)) = assignment(line) else { continue };
        let field = match key {
            "PRETTY_NAME" => &mut system.name,
            "ID" => &mut system.id,
            "VERSION_ID" => &mut system.version,
            "VARIANT" => &mut system.variant,
            "BUILD_ID" | "IMAGE_VERSION" => &mut system.build,
            "SUPPORT_END" => &mut system.support_ends,
            _ => continue,
        };
        *field = Label::cut(&value);
    }
}

/// A line `KEY=VALUE` as a shell would take it, of whose quoting only what occurs in such files is undone.
fn assignment(line: &[u8]) -> Option<(&str, String)> {
    let (key, value) = std::str::from_utf8(line).ok()?.trim().split_once('=')?;
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let mut text = String::new();
    let mut characters = inner.unwrap_or(value).chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    Some((key, text))
}

fn read_number(path: &Path) -> io::Result<u64> {
    let mut buffer = Vec::new();
    let text = read_file(path, &mut buffer)?;
    number(text.trim_ascii()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The kernel's own parameters. It ends them at `--`; double quotes keep blanks together.
fn parameters(line: &[u8]) -> Vec<Sentence> {
    let line = String::from_utf8_lossy(line);
    let mut parameters = Vec::new();
    let mut quoted = false;
    for parameter in line.trim().split(|c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    }) {
        if parameter == "--" {
            break;
        }
        if !parameter.is_empty() {
            parameters.push(Sentence::cut(&without_secret(parameter)));
        }
    }
    parameters
}

/// Environments and credentials are not collected, wherever they stand.
fn without_secret(parameter: &str) -> String {
    let bare = parameter.trim_matches('"');
    match bare.split_once('=') {
        Some((key, _)) if key.starts_with("systemd.setenv") || key.starts_with("systemd.set_credential") => {
            format!("{key}=(left out)")
        }
        _ => parameter.to_owned(),
    }
}

/// The kernel's flags in the order of their bits.
fn taints(bits: u64) -> Vec<Taint> {
    let known = Taint::ALL.iter().filter(|taint| **taint != Taint::Other);
    let mut set =
        known.clone().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, t)| *t).collect::<Vec<_>>();
    if bits >> known.count() != 0 {
        set.push(Taint::Other);
    }
    set
}

fn read_modules(proc: &Path, manifest: &mut Manifest) -> Option<Modules> {
    let mut buffer = Vec::new();
    // A kernel that cannot load modules has no such file, which is nothing that is missing.
    let text = match read_file(&proc.join("modules"), &mut buffer) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        read => manifest.keep("kernel modules", read)?,
    };
    let mut modules = parse_modules(text);
    manifest.bound("kernel modules", &mut modules.unusual, MAX_MODULES);
    Some(modules)
}

/// Lines such as `nvidia 56815616 1 nvidia_modeset, Live 0x0000000000000000 (POE)`.
fn parse_modules(text: &[u8]) -> Modules {
    let mut modules = Modules::default();
    let mut bytes = 0_u64;
    for line in lines(text) {
        let mut fields = fields(line);
        let (Some(name), Some(size)) = (fields.next(), fields.next().and_then(number)) else { continue };
        modules.loaded = modules.loaded.saturating_add(1);
        bytes = bytes.saturating_add(size);
        let flags = fields.nth(4).and_then(|flags| flags.strip_prefix(b"(")?.strip_suffix(b")")).unwrap_or_default();
        let taints = flags.iter().filter_map(|letter| module_taint(*letter)).collect::<Vec<_>>();
        if !taints.is_empty() {
            modules.unusual.push(Module { name: Label::cut(&String::from_utf8_lossy(name)), taints });
        }
    }
    modules.size_kib = bytes / 1024;
    modules
}

/// The letters that a module can have; `+` and `-` say that it comes or goes.
fn module_taint(letter: u8) -> Option<Taint> {
    Some(match letter {
        b'P' => Taint::Proprietary,
        b'F' => Taint::ForcedLoad,
        b'O' => Taint::OutOfTree,
        b'E' => Taint::Unsigned,
        b'C' => Taint::Staging,
        b'K' => Taint::LivePatched,
        b'X' => Taint::Auxiliary,
        b'N' => Taint::TestRan,
        letter if letter.is_ascii_alphabetic() => Taint::Other,
        _ => return None,
    })
}

/// `LANG` of locale.conf(5), or of the file that Debian had before.
fn locale(etc: &Path) -> Label {
    let mut buffer = Vec::new();
    for file in ["locale.conf", "default/locale"] {
        let text = read_file(&etc.join(file), &mut buffer).unwrap_or_default();
        let lang = lines(text).filter_map(assignment).find(|(key, _)| *key == "LANG");
        if let Some((_, lang)) = lang {
            return Label::cut(&lang);
        }
    }
    Label::default()
}

/// Where localtime(5) points to, below the folder of time zones.
pub(crate) fn time_zone(etc: &Path) -> Label {
    let target = std::fs::read_link(etc.join("localtime")).ok();
    let linked = target.as_deref().and_then(Path::to_str).and_then(|target| target.split_once("/zoneinfo/"));
    linked.map_or_else(|| label(&etc.join("timezone")), |(_, zone)| Label::cut(zone))
}

/// What systemd tells of how it started, in microseconds since the kernel did.
#[derive(Debug, Default, Clone, Copy)]
struct Stamps {
    firmware: u64,
    loader: u64,
    initrd: u64,
    userspace: u64,
    finish: u64,
}

impl Stamps {
    /// As `systemd-analyze` counts: the firmware's and the loader's times lie before the kernel's start, the others behind it, and 0
    /// is a time that was not measured. In a container there is no kernel to start.
    fn apply(self, boot: &mut Boot) {
        let between = |from: u64, to: u64| (to != 0).then(|| to.checked_sub(from))?.map(|micros| micros / 1000);
        let kernel_end = if self.initrd == 0 { self.userspace } else { self.initrd };
        boot.firmware_ms = between(self.loader, self.firmware);
        boot.loader_ms = between(0, self.loader);
        boot.kernel_ms = between(0, kernel_end);
        boot.initrd_ms = if self.initrd == 0 { None } else { between(self.initrd, self.userspace) };
        boot.userspace_ms = between(self.userspace, self.finish);
    }
}

fn ask_systemd(bus: &Bus) -> io::Result<Boot> {
    const NAME: &str = "org.freedesktop.systemd1";
    const PATH: &str = "/org/freedesktop/systemd1";
    const MANAGER: &str = "org.freedesktop.systemd1.Manager";
    async fn stamp(talk: &Talk, name: &str) -> io::Result<u64> {
        talk.property::<u64>(NAME, PATH, (MANAGER, name)).await
    }
    // Each property on its own: all at once would bring the manager's environment along.
    bus.ask(BUS_DEADLINE, async |talk: &Talk| {
        let stamps = Stamps {
            firmware: stamp(talk, "FirmwareTimestampMonotonic").await?,
            loader: stamp(talk, "LoaderTimestampMonotonic").await?,
            initrd: stamp(talk, "InitRDTimestampMonotonic").await?,
            userspace: stamp(talk, "UserspaceTimestampMonotonic").await?,
            finish: stamp(talk, "FinishTimestampMonotonic").await?,
        };
        let target = talk.call::<String>(NAME, PATH, (MANAGER, "GetDefaultTarget"), &()).await?;
        let state = talk.property::<String>(NAME, PATH, (MANAGER, "SystemState")).await?;
        let version = talk.property::<String>(NAME, PATH, (MANAGER, "Version")).await?;
        let mut boot = Boot {
            default_target: Label::cut(&target),
            state: Label::cut(&state),
            manager_version: Label::cut(&version),
            ..Boot::default()
        };
        stamps.apply(&mut boot);
        Ok(boot)
    })
}

#[cfg(test)]
mod tests;
