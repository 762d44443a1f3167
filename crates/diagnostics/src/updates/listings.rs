//! What package managers print about updates, as they print it without a terminal and in English.

use std::collections::BTreeSet;

use crate::text::{fields, lines};

/// Most packages of one listing: more than any machine has.
pub(super) const MAX_LISTED: usize = 20_000;

/// A package with an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) name: String,
    /// Whether the update closes a security hole.
    pub(super) security: bool,
}

/// `apt-get --simulate upgrade`: a line for each package, such as
/// `Inst libssl3 [3.0.11-1] (3.0.13-1 Debian-Security:12/stable-security [amd64])`, and a summary. `None` without the summary, with
/// which it says that it came to an end.
pub(super) fn apt(printed: &[u8]) -> Option<Vec<Pending>> {
    let mut pending = Vec::new();
    let mut complete = false;
    for line in lines(printed) {
        if let Some(rest) = line.strip_prefix(b"Inst ") {
            let Some(name) = fields(rest).next() else { continue };
            // In brackets stands what is installed; a package without that is new, and no update.
            let installed = fields(rest).nth(1).is_some_and(|field| field.starts_with(b"["));
            let origins = rest.splitn(2, |byte| *byte == b'(').nth(1).unwrap_or_default();
            let security = origins.windows(9).any(|part| part.eq_ignore_ascii_case(b"-security"));
            if (installed || security) && pending.len() < MAX_LISTED {
                pending.push(Pending { name: text(name), security });
            }
        }
        complete |= fields(line).nth(1) == Some(b"upgraded,");
    }
    complete.then_some(pending)
}

/// `dnf check-update`: name with architecture, version and repository on a line each. What is replaced by others stands at the end.
pub(super) fn dnf(printed: &[u8]) -> Vec<String> {
    let updates = lines(printed).take_while(|line| !line.to_ascii_lowercase().starts_with(b"obsoleting"));
    let name = |line: &[u8]| {
        let [package, _version, _repository] = fields(line).collect::<Vec<_>>().try_into().ok()?;
        let (name, architecture) = split_last(package, b'.')?;
        (!name.is_empty() && !architecture.is_empty()).then(|| text(name))
    };
    updates.filter_map(name).take(MAX_LISTED).collect()
}

/// `dnf updateinfo list --security`: an advisory for each line. Version 4 has `FEDORA-2024-1 Important/Sec. name-1.2-3.x86_64`,
/// version 5 has `FEDORA-2024-1 security Important name-1.2-3.x86_64 2024-01-01 00:00:00`. Gives names without versions.
pub(super) fn dnf_security(printed: &[u8]) -> BTreeSet<String> {
    let name = |line: &[u8]| {
        let fields = fields(line).collect::<Vec<_>>();
        let package = match fields.get(1)? {
            kind if kind.ends_with(b"/Sec.") => fields.get(2)?,
            kind if kind.eq_ignore_ascii_case(b"security") => fields.get(3)?,
            _ => return None,
        };
        // Neither version nor release has a dash (Fedora Packaging Guidelines, "Versioning").
        let (rest, _release) = split_last(package, b'-')?;
        Some(text(split_last(rest, b'-')?.0))
    };
    lines(printed).filter_map(name).take(MAX_LISTED).collect()
}

/// A table of `zypper`, with `|` between its columns. Gives the column that is called `column`; `None` if there is neither such a
/// table nor the sentence that it would be empty.
pub(super) fn zypper(printed: &[u8], column: &str) -> Option<Vec<String>> {
    let rows = lines(printed).filter(|line| line.contains(&b'|'));
    let mut rows = rows.map(|line| line.split(|byte| *byte == b'|').map(<[u8]>::trim_ascii).collect::<Vec<_>>());
    let Some(head) = rows.next() else {
        return lines(printed).any(|line| line.starts_with(b"No ")).then(Vec::new);
    };
    let place = head.iter().position(|title| *title == column.as_bytes())?;
    let cells = rows.filter_map(|row| row.get(place).map(|cell| text(cell)));
    Some(cells.filter(|cell| !cell.is_empty() && !cell.starts_with('-')).take(MAX_LISTED).collect())
}

fn split_last(bytes: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().rposition(|byte| *byte == mark)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_tells_security_updates_by_where_they_come_from() {
        let printed = b"Reading package lists...\nBuilding dependency tree...\n\
The following packages will be upgraded:\n  libssl3 tzdata\n\
2 upgraded, 1 newly installed, 0 to remove and 1 not upgraded.\n\
Inst libssl3 [3.0.11-1~deb12u2] (3.0.13-1~deb12u1 Debian:12.5/stable, Debian-Security:12/stable-security [amd64])\n\
Inst tzdata [2024a-0] (2024b-0 Debian:12.5/stable-updates [all])\n\
Inst linux-image-6.1.0-19-amd64 (6.1.82-1 Debian-Security:12/stable-security [amd64])\n\
Inst libnew1 (1.0 Debian:12.5/stable [amd64])\n\
Conf libssl3 (3.0.13-1~deb12u1 Debian-Security:12/stable-security [amd64])\n";
        let pending = apt(printed).unwrap();
        let told = pending.iter().map(|package| (package.name.as_str(), package.security)).collect::<Vec<_>>();
        assert_eq!(told, [("libssl3", true), ("tzdata", false), ("linux-image-6.1.0-19-amd64", true)]);
    }

    #[test]
    fn a_listing_of_apt_that_breaks_off_is_not_one_of_no_updates() {
        assert_eq!(apt(b""), None);
        assert_eq!(apt(b"Reading package lists...\n"), None);
        assert_eq!(apt(b"0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n"), Some(Vec::new()));
        assert_eq!(apt(b"Inst\nInst \nInst \xff [1] (\n1 upgraded, \n").unwrap().len(), 1);
    }

    #[test]
    fn dnf_lists_packages_and_then_what_is_replaced() {
        let printed = b"\nbash.x86_64    5.2.26-1.fc39    updates\nlib.so.1.i686 2 updates\nLast metadata expiration check: 0:01\n\
Obsoleting Packages\nold.noarch 1 fedora\n";
        assert_eq!(dnf(printed), ["bash", "lib.so.1"]);
        assert_eq!(dnf(b".x86_64 1 2\nbash. 1 2\nbash 1 2\n\xff\n"), Vec::<String>::new());
    }

    #[test]
    fn advisories_of_both_versions_of_dnf_are_understood() {
        let printed = b"FEDORA-2024-1 Important/Sec. openssl-libs-1:3.1.1-4.fc39.x86_64\n\
FEDORA-2024-2 bugfix bash-5.2-1.fc39.x86_64\n\
Name Type Severity Package Issued\n\
FEDORA-2024-3 security Important curl-8.2.1-4.fc39.x86_64 2024-02-01 01:02:03\n\
FEDORA-2024-4 security\nx y/Sec.\nx y/Sec. nodash\n";
        assert_eq!(dnf_security(printed).into_iter().collect::<Vec<_>>(), ["curl", "openssl-libs"]);
    }

    #[test]
    fn a_table_of_zypper_is_read_by_its_titles() {
        let printed = b"Loading repository data...\nReading installed packages...\n\
S | Repository | Name   | Current Version | Available Version | Arch\n\
--+------------+--------+-----------------+-------------------+-------\n\
v | Update     | curl   | 8.0.1-1         | 8.0.1-2           | x86_64\nv | x\n";
        assert_eq!(zypper(printed, "Name").unwrap(), ["curl"]);
        assert_eq!(zypper(b"No updates found.\n", "Name"), Some(Vec::new()));
        assert_eq!(zypper(b"", "Name"), None);
        assert_eq!(zypper(b"a | b\n", "Name"), None);
    }
}
