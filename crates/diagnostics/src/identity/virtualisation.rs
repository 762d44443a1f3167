//! Whether a Linux machine is a container or a virtual machine, and of which kind.
//!
//! By signs that anybody may read, in the order of systemd's `detect-virt`: the inner of two layers is named first.

use crate::{
    filesystems::mounts,
    roots::Roots,
    text::{first_line, lines, read_file},
};

/// What DMI says, in lower case, and who says it.
const FIRMWARE: [(&str, &str); 14] = [
    ("kvm", "KVM"),
    ("openstack", "OpenStack"),
    ("qemu", "QEMU"),
    ("vmware", "VMware"),
    ("innotek", "VirtualBox"),
    ("virtualbox", "VirtualBox"),
    ("virtual machine", "Hyper-V"),
    ("xen", "Xen"),
    ("parallels", "Parallels"),
    ("bhyve", "bhyve"),
    ("bochs", "Bochs"),
    ("apple virtualization", "Apple Virtualization"),
    ("amazon ec2", "Amazon EC2"),
    ("google compute", "Google Compute Engine"),
];

/// The kind in words; `None` on bare metal, as far as can be seen.
pub(super) fn virtualisation(roots: &Roots, under_hypervisor: bool) -> Option<String> {
    let machine = virtual_machine(roots, under_hypervisor);
    match (container(roots), machine) {
        (Some(container), Some(machine)) => Some(format!("{container} in {machine}")),
        (only, None) | (None, only) => only,
    }
}

fn container(roots: &Roots) -> Option<String> {
    if let Some(manager) = first_line(&roots.run.join("systemd/container")) {
        return Some(format!("container ({manager})"));
    }
    if roots.run.join(".containerenv").exists() {
        return Some("container (podman)".to_owned());
    }
    let mut buffer = Vec::new();
    let mountinfo = read_file(&roots.proc.join("self/mountinfo"), &mut buffer).unwrap_or_default();
    // Container engines lay the host's folder over a few files in /etc, and a layered file system under the root.
    let hosts = mounts::at(mountinfo, b"/etc/hosts").map(|(folder, _, _)| folder);
    let layers = mounts::at(mountinfo, b"/").filter(|(_, kind, _)| *kind == b"overlay").map(|(_, _, options)| options);
    let signs = [
        (&b"/docker/"[..], "docker"),
        (b"/containers/storage/", "podman"),
        (b"/kubelet/", "kubernetes"),
        (b"containerd", "containerd"),
    ];
    let seen =
        |sign: &[u8], text: Option<&[u8]>| text.is_some_and(|text| text.windows(sign.len()).any(|part| part == sign));
    let engine = signs.into_iter().find(|(sign, _)| seen(sign, hosts) || seen(sign, layers));
    if let Some((_, engine)) = engine {
        return Some(format!("container ({engine})"));
    }
    let mut lines = lines(mountinfo);
    lines.any(|line| line.windows(11).any(|part| part == b" fuse.lxcfs")).then(|| "container (lxc)".to_owned())
}

fn virtual_machine(roots: &Roots, under_hypervisor: bool) -> Option<String> {
    let kernel = first_line(&roots.proc.join("sys/kernel/osrelease")).unwrap_or_default().to_ascii_lowercase();
    if kernel.contains("microsoft") {
        return Some("Windows Subsystem for Linux".to_owned());
    }
    let dmi = roots.sys.join("class/dmi/id");
    let told = ["product_name", "sys_vendor", "board_vendor", "bios_vendor"]
        .map(|name| first_line(&dmi.join(name)).unwrap_or_default().to_ascii_lowercase());
    let firmware = told.iter().find_map(|told| FIRMWARE.iter().find(|(sign, _)| told.contains(sign)));
    let hypervisor = first_line(&roots.sys.join("hypervisor/type"));
    match (firmware, hypervisor) {
        // Xen's first domain sees the real firmware, and is on top of the hypervisor all the same.
        (None, Some(kind)) if kind == "xen" => Some("virtual machine (Xen)".to_owned()),
        (Some((_, name)), _) => Some(format!("virtual machine ({name})")),
        (None, _) => under_hypervisor.then(|| "virtual machine".to_owned()),
    }
}
