//! Block devices from `/proc/diskstats` (the kernel's `Documentation/admin-guide/iostats.rst`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use wire::{
    diagnostics::{Disk, MAX_ROWS},
    text::Label,
};

use crate::{
    gaps::Gaps,
    rates::{per_second_u32, permille},
    text::{fields, lines, number, read_file},
};

/// Sectors in the kernel's statistics have 512 bytes, whatever the device has.
const SECTORS_PER_KIB: u64 = 2;

#[derive(Debug)]
pub(crate) struct Disks {
    diskstats: PathBuf,
    block: PathBuf,
    before: BTreeMap<String, Counters>,
    /// Which names are whole devices; partitions are not.
    whole: BTreeMap<String, bool>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counters {
    requests: u64,
    read_sectors: u64,
    written_sectors: u64,
    /// Milliseconds that all requests together took. The kernel's is a 32-bit number.
    request_ms: u64,
    /// Milliseconds with a request outstanding.
    busy_ms: u64,
}

impl Disks {
    pub(crate) fn new(proc: &Path, sys: &Path) -> Self {
        Self {
            diskstats: proc.join("diskstats"),
            block: sys.join("block"),
            before: BTreeMap::new(),
            whole: BTreeMap::new(),
        }
    }

    /// Every whole device that was ever used.
    pub(crate) fn read(&mut self, interval: Duration, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Vec<Disk> {
        let text = match read_file(&self.diskstats, buffer) {
            Ok(text) => text,
            Err(error) => {
                gaps.note_error("disks", &error);
                return Vec::new();
            }
        };
        let mut now = BTreeMap::new();
        let mut disks = Vec::new();
        for (name, counters) in lines(text).filter_map(parse) {
            let in_use = counters.requests > 0 && !name.starts_with("loop") && !name.starts_with("ram");
            if !in_use || !self.is_whole(name) {
                continue;
            }
            let before = self.before.get(name).copied().unwrap_or(counters);
            disks.push(counters.since(&before, name, interval));
            now.insert(name.to_owned(), counters);
        }
        self.before = now;
        gaps.bound("disks", &mut disks, MAX_ROWS);
        disks
    }

    fn is_whole(&mut self, name: &str) -> bool {
        if let Some(whole) = self.whole.get(name) {
            return *whole;
        }
        // Without /sys nobody can tell, so everything is shown.
        let whole = self.block.join(name.replace('/', "!")).exists() || !self.block.exists();
        // A machine that makes devices by the thousand must not fill the memory.
        if self.whole.len() >= 4 * MAX_ROWS {
            self.whole.clear();
        }
        self.whole.insert(name.to_owned(), whole);
        whole
    }
}

impl Counters {
    fn since(&self, before: &Self, name: &str, interval: Duration) -> Disk {
        let grown = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before));
        let requests = grown(|counters| counters.requests);
        let request_us = grown(|counters| counters.request_ms).saturating_mul(1000);
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        Disk {
            name: Label::cut(name),
            read_kib_s: per_second_u32(grown(|counters| counters.read_sectors) / SECTORS_PER_KIB, interval),
            write_kib_s: per_second_u32(grown(|counters| counters.written_sectors) / SECTORS_PER_KIB, interval),
            requests_s: per_second_u32(requests, interval),
            await_us: match interval_ms {
                0 => 0,
                _ => u32::try_from(request_us.checked_div(requests).unwrap_or(0)).unwrap_or(u32::MAX),
            },
            busy_permille: permille(grown(|counters| counters.busy_ms), interval_ms),
        }
    }
}

/// Name and counters of one line. Discards and flushes are left out: nobody waits for them as for a read or a write.
fn parse(line: &[u8]) -> Option<(&str, Counters)> {
    let mut fields = fields(line).skip(2);
    let name = std::str::from_utf8(fields.next()?).ok()?;
    let mut next = || fields.next().and_then(number);
    let (reads, _merged, read_sectors, read_ms) = (next()?, next(), next()?, next()?);
    let (writes, _merged, written_sectors, write_ms) = (next()?, next(), next()?, next()?);
    let (_in_flight, busy_ms) = (next(), next()?);
    let counters = Counters {
        requests: reads.saturating_add(writes),
        read_sectors,
        written_sectors,
        request_ms: read_ms.saturating_add(write_ms),
        busy_ms,
    };
    Some((name, counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(line: &str) -> Counters {
        parse(line.as_bytes()).unwrap().1
    }

    const BEFORE: &str = "   8   0 sda 100 5 2000 400 50 9 1000 600 0 700 1000 0 0 0 0 0 0";

    #[test]
    fn latency_counts_reads_and_writes_with_their_queueing() {
        let now = counters("8 0 sda 150 5 4000 900 150 9 5000 1100 3 1200 2000 0 0 0 0 0 0");
        let disk = now.since(&counters(BEFORE), "sda", Duration::from_secs(1));
        let expected = Disk {
            name: Label::cut("sda"),
            read_kib_s: 1000,
            write_kib_s: 2000,
            requests_s: 150,
            await_us: 1_000_000 / 150,
            busy_permille: 500,
        };
        assert_eq!(disk, expected);
    }

    #[test]
    fn a_negative_count_in_flight_does_not_spoil_the_line() {
        let line = BEFORE.replace(" 600 0 700", " 600 -1 700");
        assert_eq!(counters(&line), counters(BEFORE));
    }

    #[test]
    fn counters_that_wrap_or_start_anew_give_no_huge_rates() {
        let before = counters("8 0 sda 900 0 9000 4294967000 900 0 9000 200 0 4294967295 9");
        let now = counters("8 0 sda 901 0 9002 3 900 0 9000 200 0 40 9");
        let disk = now.since(&before, "sda", Duration::from_secs(1));
        assert_eq!((disk.requests_s, disk.read_kib_s, disk.await_us, disk.busy_permille), (1, 1, 0, 0));
        let disk = Counters::default().since(&before, "sda", Duration::from_secs(1));
        assert_eq!((disk.requests_s, disk.await_us), (0, 0));
    }

    #[test]
    fn a_line_of_a_kernel_with_fewer_fields_is_left_out() {
        assert_eq!(parse(b"8 1 sda1 10 20 30 40"), None);
        assert_eq!(parse(b""), None);
    }
}
