//! Logs of package managers: what was done to which package, and when.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use wire::{
    diagnostics::sections::changes::{PackageCounts, PackageLog},
    time::WallTime,
};

/// One change of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) time: WallTime,
    pub(super) act: Act,
    pub(super) package: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Installed,
    Upgraded,
    Removed,
}

impl Change {
    /// Whether the package is a kernel, as the families of distributions call theirs.
    pub(super) fn is_kernel(&self) -> bool {
        const KERNELS: [&str; 7] =
            ["linux", "linux-lts", "linux-zen", "linux-hardened", "kernel", "kernel-core", "kernel-default"];
        KERNELS.contains(&self.package.as_str()) || self.package.starts_with("linux-image-")
    }
}

/// Counts `changes`.
pub(super) fn count<'a>(changes: impl Iterator<Item = &'a Change>) -> PackageCounts {
    let mut counts = PackageCounts::default();
    for change in changes {
        match change.act {
            Act::Installed => counts.installed += 1,
            Act::Upgraded => counts.upgraded += 1,
            Act::Removed => counts.removed += 1,
        }
    }
    counts
}

/// The log's file below `/var/log`.
pub(super) fn file(log: PackageLog) -> &'static str {
    match log {
        PackageLog::Dpkg => "dpkg.log",
        PackageLog::Dnf => "dnf.rpm.log",
        PackageLog::Zypp => "zypp/history",
        PackageLog::Pacman => "pacman.log",
    }
}

/// What one line of `log` says; `None` for all that is no change of a package. `zone` is the machine's.
pub(super) fn parse(log: PackageLog, line: &str, zone: &TimeZone) -> Option<Change> {
    match log {
        PackageLog::Dpkg => dpkg(line, zone),
        PackageLog::Dnf => dnf(line),
        PackageLog::Zypp => zypp(line, zone),
        PackageLog::Pacman => pacman(line),
    }
}

/// `2026-11-22 06:35:04 upgrade tzdata:all 1 2`; see dpkg(1), "--log".
fn dpkg(line: &str, zone: &TimeZone) -> Option<Change> {
    let mut words = line.split(' ');
    let (date, hour) = (words.next()?, words.next()?);
    let act = match words.next()? {
        "install" => Act::Installed,
        "upgrade" => Act::Upgraded,
        "remove" => Act::Removed,
        _ => return None,
    };
    let package = words.next()?.split(':').next()?.to_owned();
    Some(Change { time: local(&format!("{date}T{hour}"), zone)?, act, package })
}

/// `2026-11-22T06:35:04+0100 SUBDEBUG Installed: bash-5.2.26-3.fc40.x86_64`, as dnf's logging writes it.
fn dnf(line: &str) -> Option<Change> {
    let mut words = line.split_ascii_whitespace();
    let time = zoned(words.next()?)?;
    let act = match words.nth(1)? {
        "Installed:" => Act::Installed,
        "Upgrade:" => Act::Upgraded,
        "Erase:" => Act::Removed,
        _ => return None,
    };
    // Name, version, release and architecture; the name itself may have dashes.
    let package = words.next()?.rsplitn(3, '-').nth(2)?.to_owned();
    Some(Change { time, act, package })
}

/// `2026-11-22 06:35:04|install|bash|5.2-1|x86_64|…`, as libzypp's history has it, which does not say what was there before.
fn zypp(line: &str, zone: &TimeZone) -> Option<Change> {
    let mut fields = line.split('|');
    let time = local(&fields.next()?.replacen(' ', "T", 1), zone)?;
    let act = match fields.next()?.trim_end() {
        "install" => Act::Installed,
        "remove" => Act::Removed,
        _ => return None,
    };
    Some(Change { time, act, package: fields.next()?.to_owned() })
}

/// `[2026-11-22T06:35:04+0100] [ALPM] upgraded bash (5.2-1 -> 5.2-2)`.
fn pacman(line: &str) -> Option<Change> {
    let mut words = line.split(' ');
    let time = zoned(words.next()?.strip_prefix('[')?.strip_suffix(']')?)?;
    if words.next()? != "[ALPM]" {
        return None;
    }
    let act = match words.next()? {
        "installed" => Act::Installed,
        "upgraded" | "downgraded" => Act::Upgraded,
        "removed" => Act::Removed,
        _ => return None,
    };
    Some(Change { time, act, package: words.next()?.to_owned() })
}

/// A time that the log has without its zone.
fn local(text: &str, zone: &TimeZone) -> Option<WallTime> {
    let time = text.parse::<DateTime>().ok()?;
    wall(zone.to_ambiguous_timestamp(time).compatible().ok()?)
}

/// A time with its zone, such as `2026-11-22T06:35:04+0100`.
fn zoned(text: &str) -> Option<WallTime> {
    wall(Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text).ok()?)
}

fn wall(time: Timestamp) -> Option<WallTime> {
    u64::try_from(time.as_millisecond()).ok().map(WallTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22T06:35:04Z.
    const TIME: WallTime = WallTime(1_795_329_304_000);

    fn told(log: PackageLog, line: &str) -> Option<(WallTime, Act, String)> {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        parse(log, line, &zone).map(|change| (change.time, change.act, change.package))
    }

    #[test]
    fn each_package_manager_tells_what_it_did() {
        let lines = [
            (PackageLog::Dpkg, "2026-11-22 07:35:04 install jq:amd64 <none> 1.6-2.1", Act::Installed, "jq"),
            (PackageLog::Dpkg, "2026-11-22 07:35:04 upgrade tzdata:all 1 2", Act::Upgraded, "tzdata"),
            (PackageLog::Dpkg, "2026-11-22 07:35:04 remove nano:amd64 7 <none>", Act::Removed, "nano"),
            (
                PackageLog::Dnf,
                "2026-11-22T07:35:04+0100 SUBDEBUG Installed: python3-dnf-4.19.0-1.fc40.noarch",
                Act::Installed,
                "python3-dnf",
            ),
            (PackageLog::Dnf, "2026-11-22T06:35:04+0000 SUBDEBUG Upgrade: bash-5.2-3.x86_64", Act::Upgraded, "bash"),
            (PackageLog::Zypp, "2026-11-22 07:35:04|install|vim|9.1-1|x86_64|root@h|repo|", Act::Installed, "vim"),
            (PackageLog::Zypp, "2026-11-22 07:35:04|remove |vim|9.1-1|x86_64|root@h|", Act::Removed, "vim"),
            (
                PackageLog::Pacman,
                "[2026-11-22T07:35:04+0100] [ALPM] upgraded linux (6.1-1 -> 6.2-1)",
                Act::Upgraded,
                "linux",
            ),
        ];
        for (log, line, act, package) in lines {
            assert_eq!(told(log, line), Some((TIME, act, package.to_owned())), "{line}");
        }
    }

    #[test]
    fn everything_else_in_the_logs_is_no_change() {
        for line in [
            "",
            "2026-11-22 07:35:04 status installed jq:amd64 1.6",
            "2026-11-22 07:35:04 startup archives unpack",
            "2026-13-41 99:35:04 install jq:amd64 <none> 1",
            "2026-11-22 07:35:04 install",
            "[2026-11-22T07:35:04+0100] [PACMAN] Running 'pacman -S jq'",
            "[] [ALPM] installed x",
            "2026-11-22T07:35:04+0100 INFO --- logging initialized ---",
            "2026-11-22T07:35:04+0100 SUBDEBUG Installed: x",
            "# 2026-11-22 07:35:04 vim-9.1-1.x86_64.rpm installed ok",
            "2026-11-22 07:35:04|command|root@h|'zypper' 'in' 'vim'|",
            "-9999-01-01 00:00:00 install a b c",
        ] {
            for log in PackageLog::ALL {
                assert_eq!(told(*log, line), None, "{log}: {line}");
            }
        }
    }

    #[test]
    fn kernels_are_known_by_their_packages() {
        let change = |package: &str| Change { time: TIME, act: Act::Upgraded, package: package.to_owned() };
        assert!(["linux-image-amd64", "kernel-core", "linux"].iter().all(|name| change(name).is_kernel()));
        assert!(!["linux-headers-amd64", "kernel-tools", "util-linux"].iter().any(|name| change(name).is_kernel()));
    }
}
