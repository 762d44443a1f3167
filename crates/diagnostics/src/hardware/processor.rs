//! Processors: `/proc/cpuinfo`, the kernel's `Documentation/ABI/testing/sysfs-devices-system-cpu`.

use std::{collections::BTreeSet, io, path::Path};

use wire::{
    diagnostics::sections::hardware::{MAX_WEAKNESSES, Processor, Weakness, WeaknessState},
    text::{Label, Sentence},
};

use crate::{
    manifest::Manifest,
    roots::Roots,
    sysfs::{label, names, numbered, whole},
    text::{fields, first_line, lines, number, read_file},
};

/// Features that decide what can run: virtual machines, encryption at full speed, programs that were built for newer processors,
/// and what the kernel defends itself with. First those of x86, then those of ARM.
const FEATURES: [&str; 24] = [
    "vmx",
    "svm",
    "hypervisor",
    "lm",
    "aes",
    "sha_ni",
    "pclmulqdq",
    "rdrand",
    "sse4_2",
    "avx",
    "avx2",
    "avx512f",
    "smep",
    "smap",
    "sev",
    "tdx_guest",
    "constant_tsc",
    "nonstop_tsc",
    "sha1",
    "sha2",
    "crc32",
    "atomics",
    "sve",
    "bti",
];

pub(super) fn read(roots: &Roots, manifest: &mut Manifest) -> Processor {
    let mut buffer = Vec::new();
    let text = manifest.keep("/proc/cpuinfo", read_file(&roots.proc.join("cpuinfo"), &mut buffer));
    let mut processor = parse(text.unwrap_or_default());
    let cpus = roots.sys.join("devices/system/cpu");
    if processor.microcode.is_blank() {
        processor.microcode = label(&cpus.join("cpu0/microcode/version"));
    }
    processor.offline = label(&cpus.join("offline"));
    let (sockets, cores) = topology(&cpus);
    if cores != 0 {
        (processor.sockets, processor.cores) = (sockets, cores);
    }
    processor
}

/// The lines of `/proc/cpuinfo` as x86 and ARM have them; the first of each counts.
fn parse(text: &[u8]) -> Processor {
    let pairs = || {
        lines(text).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
        })
    };
    let value = |wanted: &[&[u8]]| pairs().find(|(key, _)| wanted.contains(key)).map(|(_, value)| value);
    let words = |value: Option<&[u8]>| {
        let words = fields(value.unwrap_or_default()).map(|word| String::from_utf8_lossy(word));
        words.collect::<Vec<_>>().join(" ")
    };
    let flags = fields(value(&[b"flags", b"Features"]).unwrap_or_default()).collect::<BTreeSet<_>>();
    let threads = pairs().filter(|(key, value)| *key == b"processor" && number(value).is_some()).count();
    Processor {
        model: Label::cut(&words(value(&[b"model name", b"uarch", b"cpu"]))),
        threads: u16::try_from(threads).unwrap_or(u16::MAX),
        microcode: Label::cut(&words(value(&[b"microcode"]))),
        features: FEATURES.iter().filter(|name| flags.contains(name.as_bytes())).map(|name| Label::cut(name)).collect(),
        ..Processor::default()
    }
}

/// Sockets and cores; a core is told apart by its socket, its die and its number.
fn topology(cpus: &Path) -> (u16, u16) {
    let mut sockets = BTreeSet::new();
    let mut cores = BTreeSet::new();
    for cpu in numbered(cpus, "cpu") {
        let folder = cpus.join(cpu).join("topology");
        let Some(core) = whole(&folder.join("core_id")) else { continue };
        // Where the kernel does not know them they are -1, for all alike.
        let [socket, die] = ["physical_package_id", "die_id"].map(|name| whole(&folder.join(name)));
        sockets.insert(socket);
        cores.insert((socket, die, core));
    }
    let count = |all: usize| u16::try_from(all).unwrap_or(u16::MAX);
    (count(sockets.len()), count(cores.len()))
}

/// What the kernel says of each weakness that it knows.
pub(super) fn weaknesses(sys: &Path, manifest: &mut Manifest) -> Vec<Weakness> {
    let folder = sys.join("devices/system/cpu/vulnerabilities");
    let Some(names) = manifest.keep("processor weaknesses", names(&folder)) else { return Vec::new() };
    let mut weaknesses = names
        .iter()
        .map(|name| {
            let detail = first_line(&folder.join(name)).unwrap_or_default();
            Weakness { name: Label::cut(name), state: state(&detail), detail: Sentence::cut(&detail) }
        })
        .collect();
    manifest.bound("processor weaknesses", &mut weaknesses, MAX_WEAKNESSES);
    weaknesses
}

/// The first words have a meaning. One weakness has the name of the processor's part in front, and one has both at once.
fn state(detail: &str) -> WeaknessState {
    let detail = detail.strip_prefix("KVM: ").unwrap_or(detail);
    let starts = |words: &str| detail.starts_with(words);
    if starts("Not affected") {
        WeaknessState::NotAffected
    } else if starts("Vulnerable") || detail.contains("; Vulnerable") {
        WeaknessState::Vulnerable
    } else if starts("Mitigation") {
        WeaknessState::Mitigated
    } else {
        WeaknessState::Unknown
    }
}

/// Memory that the kernel gave up because it is defective, in KiB; `None` on a kernel that cannot tell.
pub(super) fn corrupted_kib(proc: &Path) -> io::Result<Option<u64>> {
    let mut buffer = Vec::new();
    let text = read_file(&proc.join("meminfo"), &mut buffer)?;
    let [corrupted] = crate::text::values(text, ["HardwareCorrupted"]);
    Ok(corrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;

    #[test]
    fn a_processor_with_two_threads_a_core() {
        let text = b"processor\t: 0\nmodel name\t: AMD Ryzen 7   PRO 6850U\nmicrocode\t: 0xa404102\nflags\t\t: fpu svm aes avx2 made_up\n\nprocessor\t: 1\nmodel name\t: other\n";
        let processor = parse(text);
        assert_eq!((processor.model.raw(), processor.threads), ("AMD Ryzen 7 PRO 6850U", 2));
        assert_eq!(processor.microcode.raw(), "0xa404102");
        assert_eq!(processor.features.iter().map(Label::raw).collect::<Vec<_>>(), ["svm", "aes", "avx2"]);
        let machine = TestMachine::new(&[
            ("sys/cpu/cpu0/topology/core_id", "0\n"),
            ("sys/cpu/cpu0/topology/physical_package_id", "0\n"),
            ("sys/cpu/cpu1/topology/core_id", "0\n"),
            ("sys/cpu/cpu1/topology/physical_package_id", "0\n"),
            ("sys/cpu/cpu2/topology/core_id", "0\n"),
            ("sys/cpu/cpu2/topology/physical_package_id", "1\n"),
            ("sys/cpu/cpu3/topology/core_id", "-1\n"),
            ("sys/cpu/cpufreq/x", ""),
        ]);
        assert_eq!(topology(&machine.path("sys/cpu")), (2, 2));
    }

    #[test]
    fn a_weakness_that_is_half_mitigated_is_open() {
        assert_eq!(state("Not affected"), WeaknessState::NotAffected);
        assert_eq!(state("Mitigation: PTI"), WeaknessState::Mitigated);
        assert_eq!(
            state("Vulnerable: Clear CPU buffers attempted, no microcode; SMT Host state unknown"),
            WeaknessState::Vulnerable
        );
        assert_eq!(state("KVM: Mitigation: VMX disabled"), WeaknessState::Mitigated);
        assert_eq!(state("KVM: Vulnerable"), WeaknessState::Vulnerable);
        assert_eq!(state("Mitigation: Enhanced IBRS; IBPB: conditional; BHI: Not affected"), WeaknessState::Mitigated);
        assert_eq!(state("Unknown: Dependent on hypervisor status"), WeaknessState::Unknown);
        assert_eq!(state(""), WeaknessState::Unknown);
    }

    #[test]
    fn hostile_cpuinfo_is_read_without_harm() {
        assert_eq!(parse(b"").threads, 0);
        assert_eq!(parse(b":\n::\nprocessor:x\nflags:\xff\xfe vmx\n").features.len(), 1);
        assert_eq!(parse("processor: 1\n".repeat(70_000).as_bytes()).threads, u16::MAX);
    }
}
