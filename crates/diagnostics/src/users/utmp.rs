//! Records of logins: utmp(5), which `/run/utmp`, `/var/log/wtmp` and `/var/log/btmp` are made of.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use wire::{diagnostics::sections::users::LoginHistory, time::WallTime};

/// Newest records of a file that are read.
const MAX_RECORDS: u64 = 4096;

const BOOT_TIME: i16 = 2;
const LOGIN_PROCESS: i16 = 6;
const USER_PROCESS: i16 = 7;

/// Where the fields of a record are. The C library has two layouts: on some 64-bit processors session and time are as wide as the
/// processor, on the others they stayed as they were on 32 bits.
#[derive(Debug, Clone, Copy)]
struct Layout {
    size: usize,
    time: usize,
    wide: bool,
}

const COMPACT: Layout = Layout { size: 384, time: 340, wide: false };
const WIDE: Layout = Layout { size: 400, time: 344, wide: true };

/// Of this processor.
const LAYOUT: Layout = if cfg!(any(target_arch = "aarch64", target_arch = "loongarch64")) { WIDE } else { COMPACT };

/// Offset and length of the name of the machine that a login came from.
const HOST: (usize, usize) = (76, 256);

/// What a record says, without names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    kind: i16,
    remote: bool,
    at: WallTime,
}

/// The newest records of a file, and whether there are more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    entries: Vec<Entry>,
    pub(super) cut: bool,
}

/// Reads the end of a file.
///
/// # Errors
///
/// What opening and reading fail with; [`io::ErrorKind::InvalidData`] if it is no whole number of records.
pub(super) fn read(path: &Path) -> io::Result<Records> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let size = u64::try_from(LAYOUT.size).unwrap_or(u64::MAX);
    if !metadata.is_file() || metadata.len() % size != 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let count = metadata.len() / size;
    file.seek(SeekFrom::Start(count.saturating_sub(MAX_RECORDS) * size))?;
    let mut bytes = Vec::new();
    file.take(MAX_RECORDS * size).read_to_end(&mut bytes)?;
    Ok(Records { entries: parse(&bytes, LAYOUT), cut: count > MAX_RECORDS })
}

/// Whole records; what is left over is not one.
fn parse(bytes: &[u8], layout: Layout) -> Vec<Entry> {
    bytes.chunks_exact(layout.size).filter_map(|record| entry(record, layout)).collect()
}

fn entry(record: &[u8], layout: Layout) -> Option<Entry> {
    let kind = i16::from_ne_bytes(*record.first_chunk()?);
    let host = record.get(HOST.0..HOST.0 + HOST.1)?;
    let host = host.split(|byte| *byte == 0).next().unwrap_or_default();
    let time = record.get(layout.time..)?;
    let secs = match layout.wide {
        true => i64::from_ne_bytes(*time.first_chunk()?),
        // Unsigned, so that it does not end in 2038.
        false => i64::from(u32::from_ne_bytes(*time.first_chunk()?)),
    };
    let at = WallTime(u64::try_from(secs).unwrap_or(0).saturating_mul(1000));
    // A display of this machine, such as `:0`, stands where another machine's name would.
    Some(Entry { kind, remote: !host.is_empty() && !host.starts_with(b":"), at })
}

impl Records {
    /// People that are logged in now, and those of them that came over a network. For `/run/utmp`.
    pub(super) fn logged_in(&self) -> (u32, u32) {
        let people = self.entries.iter().filter(|entry| entry.kind == USER_PROCESS);
        (count(people.clone()), count(people.filter(|entry| entry.remote)))
    }

    /// Logins and starts. For `/var/log/wtmp`, where a process that waits for a login is recorded too.
    pub(super) fn history(&self) -> LoginHistory {
        self.count_of(&[USER_PROCESS])
    }

    /// Failed logins. For `/var/log/btmp`, where most programs record them as a process that waits for a login.
    pub(super) fn failures(&self) -> LoginHistory {
        LoginHistory { boots: 0, ..self.count_of(&[USER_PROCESS, LOGIN_PROCESS]) }
    }

    fn count_of(&self, kinds: &[i16]) -> LoginHistory {
        let logins = self.entries.iter().filter(|entry| kinds.contains(&entry.kind));
        LoginHistory {
            logins: count(logins.clone()),
            remote: count(logins.clone().filter(|entry| entry.remote)),
            boots: count(self.entries.iter().filter(|entry| entry.kind == BOOT_TIME)),
            since: self.entries.iter().map(|entry| entry.at).filter(|at| at.0 > 0).min(),
            latest: logins.map(|entry| entry.at).max(),
        }
    }
}

fn count<'a>(entries: impl Iterator<Item = &'a Entry>) -> u32 {
    u32::try_from(entries.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::testing::Tree;

    /// One record in the layout of this processor.
    pub(crate) fn record(kind: i16, host: &str, secs: u32) -> Vec<u8> {
        in_layout(LAYOUT, kind, host, secs)
    }

    fn in_layout(layout: Layout, kind: i16, host: &str, secs: u32) -> Vec<u8> {
        let mut record = vec![0; layout.size];
        let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &kind.to_ne_bytes());
        put(44, b"ana");
        put(HOST.0, host.as_bytes());
        match layout.wide {
            true => put(layout.time, &i64::from(secs).to_ne_bytes()),
            false => put(layout.time, &secs.to_ne_bytes()),
        }
        record
    }

    #[test]
    fn both_layouts_of_the_c_library_are_read() {
        for layout in [COMPACT, WIDE] {
            let bytes =
                [in_layout(layout, USER_PROCESS, "10.0.0.7", 4_000_000_000), in_layout(layout, BOOT_TIME, "6.1.0", 7)];
            let entries = parse(&bytes.concat(), layout);
            assert_eq!(entries[0], Entry { kind: USER_PROCESS, remote: true, at: WallTime(4_000_000_000_000) });
            assert_eq!((entries.len(), entries[1].kind, entries[1].at), (2, BOOT_TIME, WallTime(7000)));
        }
    }

    #[test]
    fn logins_are_counted_and_those_at_the_machine_are_not_remote() {
        let tree = Tree::new();
        let logout = 8;
        let records = [
            record(BOOT_TIME, "6.1.0-18-amd64", 100),
            record(USER_PROCESS, ":0", 200),
            record(USER_PROCESS, "", 250),
            record(USER_PROCESS, "host.example.org", 300),
            record(logout, "", 400),
            record(LOGIN_PROCESS, "", 500),
        ];
        tree.write("wtmp", records.concat());
        let records = read(&tree.at("wtmp")).unwrap();
        let expected = LoginHistory {
            logins: 3,
            remote: 1,
            boots: 1,
            since: Some(WallTime(100_000)),
            latest: Some(WallTime(300_000)),
        };
        assert_eq!((records.history(), records.logged_in(), records.cut), (expected, (3, 1), false));
        assert_eq!((records.failures().logins, records.failures().boots), (4, 0));
    }

    #[test]
    fn of_a_long_record_the_end_is_read() {
        let tree = Tree::new();
        let old = record(USER_PROCESS, "", 1).repeat(usize::try_from(MAX_RECORDS).unwrap());
        tree.write("wtmp", [old, record(USER_PROCESS, "", 9)].concat());
        let records = read(&tree.at("wtmp")).unwrap();
        assert_eq!((records.entries.len(), records.cut), (4096, true));
        assert_eq!(records.history().latest, Some(WallTime(9000)));
    }

    #[test]
    fn what_is_no_record_of_logins_is_refused() {
        let tree = Tree::new();
        tree.write("short", vec![0xff; LAYOUT.size - 1]);
        assert_eq!(read(&tree.at("short")).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(tree.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        tree.write("noise", vec![0xff; LAYOUT.size]);
        assert_eq!(read(&tree.at("noise")).unwrap().history().logins, 0);
        tree.write("empty", "");
        assert_eq!(read(&tree.at("empty")).unwrap().history(), LoginHistory::default());
    }
}
