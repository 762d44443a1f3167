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
    sysfs::block_name,
    text::{KernelFile, fields, lines, number},
};

/// Sectors in the kernel's statistics have 512 bytes, whatever the device has.
const SECTORS_PER_KIB: u64 = 2;

#[derive(Debug)]
pub(crate) struct Disks {
    diskstats: KernelFile,
    block: PathBuf,
    before: BTreeMap<String, Counters>,
    /// Which names are whole devices; partitions are not.
    whole: BTreeMap<String, bool>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counters {
    reads: u64,
    writes: u64,
    read_sectors: u64,
    written_sectors: u64,
    /// Milliseconds that all reads together took. These times are 32-bit numbers in the kernel.
    read_ms: u64,
    write_ms: u64,
    /// Not a counter: how many requests are outstanding.
    in_flight: u64,
    /// Milliseconds with a request outstanding.
    busy_ms: u64,
    /// Milliseconds that requests waited, each for itself.
    backlog_ms: u64,
    flushes: u64,
    flush_ms: u64,
}

impl Disks {
    pub(crate) fn new(proc: &Path, sys: &Path) -> Self {
        Self {
            diskstats: KernelFile::new(proc.join("diskstats")),
            block: sys.join("block"),
            before: BTreeMap::new(),
            whole: BTreeMap::new(),
        }
    }

    /// Every whole device that was ever used.
    pub(crate) fn read(&mut self, interval: Duration, buffer: &mut Vec<u8>, gaps: &mut Gaps) -> Vec<Disk> {
        let text = match self.diskstats.read(buffer) {
            Ok(text) => text,
            Err(error) => {
                gaps.note_error("disks", &error);
                return Vec::new();
            }
        };
        let mut now = BTreeMap::new();
        let mut disks = Vec::new();
        for (dev, name, counters) in lines(text).filter_map(parse) {
            let in_use =
                (counters.reads > 0 || counters.writes > 0) && !name.starts_with("loop") && !name.starts_with("ram");
            if !in_use || !self.is_whole(name) {
                continue;
            }
            let before = self.before.get(name).copied().unwrap_or(counters);
            let called = block_name(name, || Some(format!("{}:{}", dev.0, dev.1)));
            disks.push(counters.since(&before, called, interval));
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
    fn since(&self, before: &Self, name: Label, interval: Duration) -> Disk {
        let grown = |of: fn(&Self) -> u64| of(self).saturating_sub(of(before));
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let await_us = |ms: u64, requests: u64| match interval_ms {
            0 => 0,
            _ => u32::try_from(ms.saturating_mul(1000).checked_div(requests).unwrap_or(0)).unwrap_or(u32::MAX),
        };
        let reads = (grown(|counters| counters.read_ms), grown(|counters| counters.reads));
        let writes = (grown(|counters| counters.write_ms), grown(|counters| counters.writes));
        let flushes = (grown(|counters| counters.flush_ms), grown(|counters| counters.flushes));
        let requests = reads.1.saturating_add(writes.1);
        Disk {
            name,
            read_kib_s: per_second_u32(grown(|counters| counters.read_sectors) / SECTORS_PER_KIB, interval),
            write_kib_s: per_second_u32(grown(|counters| counters.written_sectors) / SECTORS_PER_KIB, interval),
            requests_s: per_second_u32(requests, interval),
            await_us: await_us(reads.0.saturating_add(writes.0), requests),
            busy_permille: permille(grown(|counters| counters.busy_ms), interval_ms),
            read_await_us: await_us(reads.0, reads.1),
            write_await_us: await_us(writes.0, writes.1),
            in_flight: u32::try_from(self.in_flight).unwrap_or(u32::MAX),
            backlog_ms_s: per_second_u32(grown(|counters| counters.backlog_ms), interval),
            flushes_s: per_second_u32(flushes.1, interval),
            flush_await_us: await_us(flushes.0, flushes.1),
        }
    }
}

/// Number, name and counters of one line. Discards are left out: nobody waits for them. Kernels before 5.5 do not count flushes.
fn parse(line: &[u8]) -> Option<((u64, u64), &str, Counters)> {
    let mut fields = fields(line);
    let dev = (number(fields.next()?)?, number(fields.next()?)?);
    let name = std::str::from_utf8(fields.next()?).ok()?;
    let mut next = || fields.next().and_then(number);
    let (reads, _merged, read_sectors, read_ms) = (next()?, next(), next()?, next()?);
    let (writes, _merged, written_sectors, write_ms) = (next()?, next(), next()?, next()?);
    // Some kernels print a negative number of requests that are outstanding.
    let (in_flight, busy_ms, backlog_ms) = (next().unwrap_or(0), next()?, next().unwrap_or(0));
    let _discards = [(); 4].map(|()| next());
    let (flushes, flush_ms) = (next().unwrap_or(0), next().unwrap_or(0));
    let counters = Counters {
        reads,
        writes,
        read_sectors,
        written_sectors,
        read_ms,
        write_ms,
        in_flight,
        busy_ms,
        backlog_ms,
        flushes,
        flush_ms,
    };
    Some((dev, name, counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(line: &str) -> Counters {
        parse(line.as_bytes()).unwrap().2
    }

    const BEFORE: &str = "   8   0 sda 100 5 2000 400 50 9 1000 600 0 700 1000 0 0 0 0 3 30";

    #[test]
    fn latency_counts_reads_and_writes_with_their_queueing_together_and_apart() {
        let now = counters("8 0 sda 150 5 4000 900 150 9 5000 1100 3 1200 2000 0 0 0 0 5 70");
        let disk = now.since(&counters(BEFORE), Label::cut("sda"), Duration::from_secs(1));
        let expected = Disk {
            name: Label::cut("sda"),
            read_kib_s: 1000,
            write_kib_s: 2000,
            requests_s: 150,
            await_us: 1_000_000 / 150,
            busy_permille: 500,
            read_await_us: 10_000,
            write_await_us: 5000,
            in_flight: 3,
            backlog_ms_s: 1000,
            flushes_s: 2,
            flush_await_us: 20_000,
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
        let disk = now.since(&before, Label::cut("sda"), Duration::from_secs(1));
        assert_eq!((disk.requests_s, disk.read_kib_s, disk.await_us, disk.busy_permille), (1, 1, 0, 0));
        let disk = Counters::default().since(&before, Label::cut("sda"), Duration::from_secs(1));
        assert_eq!((disk.requests_s, disk.await_us), (0, 0));
    }

    #[test]
    fn a_kernel_that_does_not_count_flushes_has_none() {
        let old = counters("8 0 sda 100 5 2000 400 50 9 1000 600 0 700 1000");
        assert_eq!((old.flushes, old.flush_ms, old.backlog_ms), (0, 0, 1000));
    }

    #[test]
    fn a_line_of_a_kernel_with_fewer_fields_is_left_out() {
        assert_eq!(parse(b"8 1 sda1 10 20 30 40"), None);
        assert_eq!(parse(b""), None);
    }
}
