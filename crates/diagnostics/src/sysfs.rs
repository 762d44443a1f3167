//! The kernel's folders of small files: listing them, and reading one value from each file.

use std::{fs, io, path::Path};

use wire::text::Label;

use crate::text::{first_line, number, signed};

/// Most entries of a folder that are looked at; a machine with more of anything is not what it seems.
const MAX_ENTRIES: usize = 8192;

/// Names of the entries of `folder`, numbers in them in the order of numbers. Names that are not UTF-8 are left out: the kernel
/// gives none.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.take(MAX_ENTRIES).filter_map(io::Result::ok);
    let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>();
    names.sort_by_cached_key(|name| parts(name));
    Ok(names)
}

/// As [`names`], of those that are `prefix` and a number; none if the folder cannot be listed.
pub(crate) fn numbered(folder: &Path, prefix: &str) -> Vec<String> {
    let mut names = names(folder).unwrap_or_default();
    names.retain(|name| name.strip_prefix(prefix).is_some_and(|rest| number(rest.as_bytes()).is_some()));
    names
}

/// A name cut into runs of digits and of anything else.
fn parts(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, digits) = rest.split_at(text);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (digits, behind) = digits.split_at(end);
        parts.push((text.to_owned(), number(digits.as_bytes()).unwrap_or(u64::MAX)));
        rest = behind;
    }
    parts
}

/// Name of a block device for others: an array that a person named (`names=yes` in mdadm.conf(5)) goes by its number, as it would have
/// without. `dev` is the device's number as the kernel writes it, such as `9:127`.
pub(crate) fn block_name(name: &str, dev: impl FnOnce() -> Option<String>) -> Label {
    match name.strip_prefix("md_") {
        Some(given) if given.strip_prefix('d').and_then(|digits| number(digits.as_bytes())).is_none() => {
            let minor = dev().and_then(|dev| number(dev.strip_prefix("9:")?.as_bytes()));
            minor.map_or_else(|| Label::cut("md_"), |minor| Label::cut(&format!("md{minor}")))
        }
        Some(_) | None => Label::cut(name),
    }
}

/// A file's first line; blank if it cannot be read.
pub(crate) fn label(path: &Path) -> Label {
    Label::cut(&first_line(path).unwrap_or_default())
}

/// A file that has a number and nothing else.
pub(crate) fn whole(path: &Path) -> Option<u64> {
    number(first_line(path)?.as_bytes())
}

/// As [`whole`], for a number that fits into fewer bits; a larger one counts as the largest.
pub(crate) fn whole_u32(path: &Path) -> Option<u32> {
    Some(u32::try_from(whole(path)?).unwrap_or(u32::MAX))
}

/// As [`whole`], with an optional sign.
pub(crate) fn signed_whole(path: &Path) -> Option<i64> {
    signed(first_line(path)?.as_bytes())
}

/// A file that has a hexadecimal number, with `0x` in front or not.
pub(crate) fn hex(path: &Path) -> Option<u32> {
    let line = first_line(path)?;
    let digits = line.strip_prefix("0x").unwrap_or(&line);
    // The standard library would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

/// As [`hex`], for the numbers of makers and models; 0 if there is none.
pub(crate) fn id(path: &Path) -> u16 {
    hex(path).and_then(|id| u16::try_from(id).ok()).unwrap_or(0)
}

/// A file that has `0` or `1`.
pub(crate) fn flag(path: &Path) -> Option<bool> {
    match whole(path)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Name of what a symbolic link points to, such as a device's driver.
pub(crate) fn link_name(path: &Path) -> Option<String> {
    fs::read_link(path).ok()?.file_name()?.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestMachine;

    #[test]
    fn an_array_that_a_person_named_goes_by_its_number() {
        let names =
            [("md_ana", Some("9:127")), ("md_ana", Some("259:3")), ("md_ana", None), ("md_d0", None), ("md0", None)];
        let public = names.map(|(name, dev)| block_name(name, || dev.map(str::to_owned)));
        assert_eq!(public.each_ref().map(Label::raw), ["md127", "md_", "md_", "md_d0", "md0"]);
    }

    #[test]
    fn entries_come_in_the_order_of_their_numbers() {
        let machine =
            TestMachine::new(&[("sys/c/cpu10", ""), ("sys/c/cpu9", ""), ("sys/c/cpufreq", ""), ("sys/c/a1b2", "")]);
        let folder = machine.path("sys/c");
        assert_eq!(names(&folder).unwrap(), ["a1b2", "cpu9", "cpu10", "cpufreq"]);
        assert_eq!(numbered(&folder, "cpu"), ["cpu9", "cpu10"]);
        assert_eq!(names(&machine.path("sys/none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn values_of_another_kind_are_none() {
        let files =
            [("sys/hex", "0x8086\n"), ("sys/bare", "1c03\n"), ("sys/sign", "+12\n"), ("sys/long", "fffffffff\n")];
        let machine = TestMachine::new(&files);
        let read = |name: &str| hex(&machine.path(name));
        assert_eq!((read("sys/hex"), read("sys/bare")), (Some(0x8086), Some(0x1c03)));
        assert_eq!((read("sys/sign"), read("sys/long"), read("sys/none")), (None, None, None));
        machine.write("sys/flag", "2\n");
        assert_eq!((flag(&machine.path("sys/flag")), whole(&machine.path("sys/sign"))), (None, None));
    }
}
