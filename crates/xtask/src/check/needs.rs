//! What the steps need besides cargo, and how it is installed on Debian.

use anyhow::bail;

use super::Outcome;
use crate::process::{cargo, command, find, output_of, run, succeeds};

/// A program and the Debian packages that bring it.
struct Need {
    program: &'static str,
    packages: &'static [&'static str],
    why: &'static str,
}

/// aws-lc-rs brings its bindings and its build along; of the usual list (cmake, bindgen, NASM) it needs only a C compiler here.
const NEEDS: [Need; 11] = [
    Need { program: "cc", packages: &["gcc", "libc6-dev"], why: "aws-lc-rs compiles C" },
    Need { program: "chromium", packages: &["chromium"], why: "browser tests open the consent page" },
    Need {
        program: "dbus-daemon",
        packages: &["dbus-daemon"],
        why: "tests publish system services on a bus of their own",
    },
    Need { program: "journalctl", packages: &["systemd"], why: "tests read journals of their own" },
    Need {
        program: "/usr/lib/systemd/systemd-journal-remote",
        packages: &["systemd-journal-remote"],
        why: "tests write journals of their own",
    },
    Need { program: "ip", packages: &["iproute2"], why: "the network lab makes machines of network namespaces" },
    Need { program: "nft", packages: &["nftables"], why: "the network lab has routers that translate and block" },
    Need { program: "mount", packages: &["mount"], why: "tests of faulty machines mount what is faulty" },
    Need { program: "mkfs.ext4", packages: &["e2fsprogs"], why: "tests break file systems of their own" },
    Need { program: "perl", packages: &["perl-base"], why: "tests have a file server that dies" },
    Need { program: "chromedriver", packages: &["chromium-driver"], why: "browser tests drive Chromium" },
];

/// Installs what is missing when this is root on a Debian; otherwise fails with the command that does.
pub(super) fn ensure() -> anyhow::Result<Outcome> {
    for component in ["fmt", "clippy"] {
        if !succeeds(cargo(&format!("{component} --version"))) {
            bail!("cargo {component} is missing; install it with: rustup component add rustfmt clippy");
        }
    }
    let missing = NEEDS.iter().filter(|need| find(need.program).is_none()).collect::<Vec<_>>();
    if missing.is_empty() {
        println!("all there: {}", NEEDS.map(|need| need.program).join(", "));
        return Ok(Outcome::Passed);
    }
    for need in &missing {
        println!("missing: {} ({})", need.program, need.why);
    }
    let packages = missing.iter().flat_map(|need| need.packages).copied().collect::<Vec<_>>().join(" ");
    if find("apt-get").is_none() {
        bail!("install what is missing with the means of this system; on Debian the packages are: {packages}");
    }
    if !is_root() {
        bail!(
            "only root can install it; run: sudo apt-get update && sudo apt-get install --yes --no-install-recommends {packages}"
        );
    }
    apt("update --quiet --quiet")?;
    apt(&format!("install --yes --quiet --quiet --no-install-recommends {packages}"))?;
    match NEEDS.iter().find(|need| find(need.program).is_none()) {
        Some(need) => bail!("{} is still missing after the installation of {packages}", need.program),
        None => Ok(Outcome::Passed),
    }
}

fn apt(arguments: &str) -> anyhow::Result<()> {
    let mut apt = command("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(arguments.split_whitespace());
    println!("$ apt-get {arguments}");
    run(apt)
}

fn is_root() -> bool {
    let mut id = command("id");
    id.arg("-u");
    output_of(id).is_ok_and(|id| id.trim() == "0")
}
