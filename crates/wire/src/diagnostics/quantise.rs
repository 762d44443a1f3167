//! Rounding a sample to what a person needs, so that noise costs no bytes, and the bounds that every sample keeps.

use std::cmp::Reverse;

use super::{
    Agent, Core, Disk, Fan, Filesystem, Limits, MAX_CORES, MAX_ROWS, MAX_STUCK, MAX_UNREADABLE, Memory, Network, Panel,
    PowerDraw, Pressure, Process, ProcessOrder, Processor, Snapshot, StreamError, TOP_PROCESSES, Temperature, Traffic,
};

impl Snapshot {
    /// The sample as it is sent: rounded, within its bounds, and with the processes in their one order.
    ///
    /// Shares are rounded to half a percent, rates to five significant bits (about 3 %), space and memory down to eight or
    /// nine (below 1 %), temperatures to half a degree. Counters, totals and times stay exact. What is over a bound is cut off:
    /// whoever collects says so in [`Snapshot::unreadable`]. Tables that the view does not have are emptied. Doing it twice
    /// changes nothing.
    #[must_use]
    pub fn quantised(&self) -> Self {
        let mut sample = self.clone();
        sample.interval_ms = match sample.interval_ms {
            0 => 0,
            measured => (measured.saturating_add(25) / 50 * 50).max(50),
        };
        sample.keep_viewed();
        sample.cores.truncate(MAX_CORES);
        sample.filesystems.truncate(MAX_ROWS);
        sample.disks.truncate(MAX_ROWS);
        sample.networks.truncate(MAX_ROWS);
        sample.temperatures.truncate(MAX_ROWS);
        sample.fans.truncate(MAX_ROWS);
        sample.power.truncate(MAX_ROWS);
        sample.stuck.truncate(MAX_STUCK);
        sample.unreadable.truncate(MAX_UNREADABLE);
        sample.cores.iter_mut().for_each(Core::quantise);
        sample.processor.quantise();
        sample.memory.quantise();
        sample.traffic.quantise();
        sample.limits.quantise();
        sample.agent.quantise();
        sample.pressure.iter_mut().for_each(Pressure::quantise);
        sample.filesystems.iter_mut().for_each(Filesystem::quantise);
        sample.disks.iter_mut().for_each(Disk::quantise);
        sample.networks.iter_mut().for_each(Network::quantise);
        sample.temperatures.iter_mut().for_each(Temperature::quantise);
        sample.fans.iter_mut().for_each(Fan::quantise);
        sample.power.iter_mut().for_each(PowerDraw::quantise);
        sample.processes.iter_mut().for_each(Process::quantise);
        sample.processes.sort_by_key(|process| (process.pid, process.start_ticks));
        sample.processes.dedup_by_key(|process| (process.pid, process.start_ticks));
        sample.order_processes();
        sample.processes.truncate(TOP_PROCESSES);
        sample
    }

    /// Empties the tables that the view does not have.
    fn keep_viewed(&mut self) {
        let panels = self.view.panels;
        let unseen = |panel| !panels.contains(panel);
        if unseen(Panel::Cores) {
            self.cores.clear();
        }
        if unseen(Panel::Disks) {
            self.disks.clear();
        }
        if unseen(Panel::Filesystems) {
            self.filesystems.clear();
        }
        if unseen(Panel::Networks) {
            self.networks.clear();
        }
        if unseen(Panel::Temperatures) {
            self.temperatures.clear();
            self.fans.clear();
            self.power.clear();
        }
        if unseen(Panel::Processes) {
            self.processes.clear();
            self.stuck.clear();
        }
    }

    /// Puts the processes in the one order of the view: by what that says, then processor time, memory and process id.
    pub fn order_processes(&mut self) {
        let by = self.view.processes_by;
        self.processes.sort_by_key(|process| {
            let first = match by {
                ProcessOrder::Cpu => 0,
                ProcessOrder::Memory => process.resident_kib,
                ProcessOrder::Io => process.io_kib_s(),
            };
            (Reverse((first, process.cpu_permille, process.resident_kib)), process.pid, process.start_ticks)
        });
    }

    /// Checks what everybody who shows a sample relies on: bounded lists, shares of at most the whole, parts of at most
    /// their totals, each process once.
    ///
    /// # Errors
    ///
    /// [`StreamError::TooMany`], [`StreamError::OutOfRange`] or [`StreamError::SameProcessTwice`].
    pub(super) fn check(&self) -> Result<(), StreamError> {
        for (table, rows, limit) in [
            ("cores", self.cores.len(), MAX_CORES),
            ("filesystems", self.filesystems.len(), MAX_ROWS),
            ("disks", self.disks.len(), MAX_ROWS),
            ("networks", self.networks.len(), MAX_ROWS),
            ("temperatures", self.temperatures.len(), MAX_ROWS),
            ("fans", self.fans.len(), MAX_ROWS),
            ("power draws", self.power.len(), MAX_ROWS),
            ("processes", self.processes.len(), TOP_PROCESSES),
            ("stuck processes", self.stuck.len(), MAX_STUCK),
            ("unreadable", self.unreadable.len(), MAX_UNREADABLE),
        ] {
            if rows > limit {
                return Err(StreamError::TooMany { table, limit });
            }
        }
        let in_range = |figure: &'static str, holds: bool| match holds {
            true => Ok(()),
            false => Err(StreamError::OutOfRange { figure }),
        };
        self.check_view()?;
        let Processor { busy_permille, iowait_permille, steal_permille, .. } = self.processor;
        in_range("share of the processors", busy_permille.max(iowait_permille).max(steal_permille) <= 1000)?;
        for core in &self.cores {
            let most = core.busy_permille.max(core.iowait_permille).max(core.steal_permille);
            in_range("share of a core", most <= 1000)?;
        }
        in_range("available memory", self.memory.available_kib <= self.memory.total_kib)?;
        in_range("swap in use", self.memory.swap_used_kib <= self.memory.swap_total_kib)?;
        if let Some(pressure) = &self.pressure {
            let mut pressure = *pressure;
            in_range("pressure", pressure.shares_mut().iter().all(|share| **share <= 10_000))?;
        }
        for filesystem in &self.filesystems {
            in_range("available space", filesystem.available_kib <= filesystem.total_kib)?;
            in_range("free inodes", filesystem.inodes_free <= filesystem.inodes_total)?;
        }
        for disk in &self.disks {
            in_range("share of a disk", disk.busy_permille <= 1000)?;
        }
        let mut keys = self.processes.iter().map(|process| (process.pid, process.start_ticks)).collect::<Vec<_>>();
        keys.sort_unstable();
        keys.dedup();
        match keys.len() == self.processes.len() {
            true => Ok(()),
            false => Err(StreamError::SameProcessTwice),
        }
    }

    /// Checks that there is nothing in a table that the view does not have.
    fn check_view(&self) -> Result<(), StreamError> {
        let sensors = self.temperatures.len() + self.fans.len() + self.power.len();
        let rows = [
            (Panel::Cores, self.cores.len()),
            (Panel::Disks, self.disks.len()),
            (Panel::Filesystems, self.filesystems.len()),
            (Panel::Networks, self.networks.len()),
            (Panel::Temperatures, sensors),
            (Panel::Processes, self.processes.len() + self.stuck.len()),
        ];
        let unseen = rows.into_iter().find(|(panel, rows)| *rows > 0 && !self.view.panels.contains(*panel));
        unseen.map_or(Ok(()), |(panel, _)| Err(StreamError::NotViewed { panel }))
    }
}

impl Processor {
    fn quantise(&mut self) {
        self.busy_permille = permille(self.busy_permille);
        self.iowait_permille = permille(self.iowait_permille);
        self.steal_permille = permille(self.steal_permille);
        self.switches_s = rate(self.switches_s, 64);
        self.runnable = rate(self.runnable, 1);
    }
}

impl Traffic {
    fn quantise(&mut self) {
        self.tcp_established = rate(self.tcp_established, 1);
        self.tcp_sent_s = rate(self.tcp_sent_s, 4);
    }
}

impl Limits {
    fn quantise(&mut self) {
        self.files = floor(self.files, 5, 64);
        self.tracked = rate(self.tracked, 16);
        self.tasks = rate(self.tasks, 8);
    }
}

impl Agent {
    fn quantise(&mut self) {
        self.resident_kib = floor(self.resident_kib, 7, 64);
        self.lag_ms = rate(self.lag_ms, 16);
    }
}

impl Core {
    fn quantise(&mut self) {
        self.busy_permille = permille(self.busy_permille);
        self.iowait_permille = permille(self.iowait_permille);
        self.steal_permille = permille(self.steal_permille);
    }
}

impl Memory {
    fn quantise(&mut self) {
        self.available_kib = share_of(self.available_kib.min(self.total_kib), self.total_kib);
        self.limit_used_kib = share_of(self.limit_used_kib, self.limit_kib);
        self.dirty_kib = share_of(self.dirty_kib, self.total_kib / 4);
        self.swap_used_kib = share_of(self.swap_used_kib.min(self.swap_total_kib), self.swap_total_kib);
        self.swap_in_kib_s = rate(self.swap_in_kib_s, 4);
        self.swap_out_kib_s = rate(self.swap_out_kib_s, 4);
        self.major_faults_s = rate(self.major_faults_s, 1);
    }
}

impl Pressure {
    fn quantise(&mut self) {
        for share in self.shares_mut() {
            *share = (share.saturating_add(5) / 10 * 10).min(10_000);
        }
    }

    /// Every share, in the order of the protocol.
    pub(super) fn shares_mut(&mut self) -> [&mut u16; 10] {
        [
            &mut self.cpu_some_centi,
            &mut self.memory_some_centi,
            &mut self.memory_full_centi,
            &mut self.io_some_centi,
            &mut self.io_full_centi,
            &mut self.cpu_some_minute_centi,
            &mut self.memory_some_minute_centi,
            &mut self.memory_full_minute_centi,
            &mut self.io_some_minute_centi,
            &mut self.io_full_minute_centi,
        ]
    }
}

impl Filesystem {
    fn quantise(&mut self) {
        self.available_kib = floor(self.available_kib.min(self.total_kib), 9, 4);
        self.inodes_free = floor(self.inodes_free.min(self.inodes_total), 8, 1);
    }
}

impl Disk {
    fn quantise(&mut self) {
        self.read_kib_s = rate(self.read_kib_s, 4);
        self.write_kib_s = rate(self.write_kib_s, 4);
        self.requests_s = rate(self.requests_s, 1);
        self.await_us = rate(self.await_us, 16);
        self.busy_permille = permille(self.busy_permille);
        self.read_await_us = rate(self.read_await_us, 16);
        self.write_await_us = rate(self.write_await_us, 16);
        self.in_flight = rate(self.in_flight, 1);
        self.backlog_ms_s = rate(self.backlog_ms_s, 1);
        self.flushes_s = rate(self.flushes_s, 1);
        self.flush_await_us = rate(self.flush_await_us, 16);
    }
}

impl Network {
    fn quantise(&mut self) {
        self.rx_bytes_s = floor(self.rx_bytes_s, 5, 64);
        self.tx_bytes_s = floor(self.tx_bytes_s, 5, 64);
        self.rx_packets_s = rate(self.rx_packets_s, 4);
        self.tx_packets_s = rate(self.tx_packets_s, 4);
        self.errors_s = rate(self.errors_s, 1);
        self.drops_s = rate(self.drops_s, 1);
    }
}

impl Temperature {
    fn quantise(&mut self) {
        self.deci_celsius = self.deci_celsius.saturating_add(2).div_euclid(5).saturating_mul(5);
    }
}

impl Fan {
    fn quantise(&mut self) {
        self.rpm = self.rpm.saturating_add(25) / 50 * 50;
    }
}

impl PowerDraw {
    fn quantise(&mut self) {
        self.milliwatts = rate(self.milliwatts, 64);
    }
}

impl Process {
    /// Read from and written to disks in a second, as far as it is known.
    pub fn io_kib_s(&self) -> u64 {
        [self.read_kib_s, self.write_kib_s].into_iter().flatten().map(u64::from).sum()
    }

    fn quantise(&mut self) {
        self.cpu_permille = self.cpu_permille.saturating_add(2) / 5 * 5;
        self.resident_kib = floor(self.resident_kib, 7, 64);
        self.read_kib_s = self.read_kib_s.map(|read| rate(read, 4));
        self.write_kib_s = self.write_kib_s.map(|written| rate(written, 4));
    }
}

/// To the nearest half percent, at most the whole.
fn permille(share: u16) -> u16 {
    (share.saturating_add(2) / 5 * 5).min(1000)
}

/// Down to a step of about a thousandth of `total`.
fn share_of(part: u64, total: u64) -> u64 {
    let step = (total >> 11).checked_next_power_of_two().unwrap_or(1 << 53);
    part - part % step
}

/// Down to five significant bits, and to a multiple of `least`, a power of two.
fn rate(value: u32, least: u64) -> u32 {
    u32::try_from(floor(u64::from(value), 5, least)).unwrap_or(value)
}

/// Down to `bits` significant bits, and to a multiple of `least`, a power of two.
fn floor(value: u64, bits: u32, least: u64) -> u64 {
    let length = u64::BITS - value.leading_zeros();
    let step = (1_u64 << length.saturating_sub(bits)).max(least);
    value - value % step
}
