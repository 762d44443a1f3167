//! A Linux machine: every subject read from the kernel's own files.

use std::{path::PathBuf, sync::Arc, time::Duration};

use wire::{
    diagnostics::{IdentityCard, MAX_CORES, Snapshot},
    time::Moment,
};

use crate::{
    disks::linux::Disks,
    filesystems::linux::{AskSpace, Filesystems, ask_kernel},
    gaps::Gaps,
    identity,
    memory::linux::MemoryFiles,
    networks::linux::Networks,
    pressure::linux::PressureFiles,
    processes::linux::{Period, Processes, Units},
    processor::linux::Processors,
    roots::Roots,
    temperatures::linux::Sensors,
    text::{fields, hundredths, read_file},
};

#[derive(Debug)]
pub(crate) struct Machine {
    roots: Roots,
    stat: PathBuf,
    loadavg: PathBuf,
    uptime: PathBuf,
    /// Every file is read into this.
    buffer: Vec<u8>,
    processors: Processors,
    memory: MemoryFiles,
    pressure: PressureFiles,
    filesystems: Filesystems,
    disks: Disks,
    networks: Networks,
    sensors: Sensors,
    processes: Processes,
}

impl Machine {
    pub(crate) fn new(roots: Roots, now: Moment) -> Self {
        Self::asking(roots, now, Arc::new(ask_kernel))
    }

    /// As [`Machine::new`], with another way to ask how full a file system is.
    pub(crate) fn asking(roots: Roots, now: Moment, space: AskSpace) -> Self {
        let Roots { proc, sys, .. } = &roots;
        let units = Units {
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1),
            page_kib: u64::try_from(rustix::param::page_size() / 1024).unwrap_or(4),
        };
        let mut machine = Self {
            stat: proc.join("stat"),
            loadavg: proc.join("loadavg"),
            uptime: proc.join("uptime"),
            buffer: Vec::with_capacity(16 * 1024),
            processors: Processors::default(),
            memory: MemoryFiles::new(proc, sys, units.page_kib),
            pressure: PressureFiles::new(proc),
            filesystems: Filesystems::new(proc, space),
            disks: Disks::new(proc, sys),
            networks: Networks::new(proc, sys),
            sensors: Sensors::new(sys),
            processes: Processes::new(proc, units),
            roots,
        };
        machine.sample(Duration::ZERO, now);
        machine
    }

    pub(crate) fn identity(&self) -> IdentityCard {
        identity::linux::read(&self.roots)
    }

    pub(crate) fn sample(&mut self, interval: Duration, now: Moment) -> Snapshot {
        let buffer = &mut self.buffer;
        let mut gaps = Gaps::default();
        let mut cores = match read_file(&self.stat, buffer) {
            Ok(text) => self.processors.read(text),
            Err(error) => {
                gaps.note_error("processors", &error);
                Vec::new()
            }
        };
        gaps.bound("processors", &mut cores, MAX_CORES);
        let mut next = |path, name, gaps: &mut Gaps| match read_file(path, buffer) {
            Ok(text) => {
                let mut figures = fields(text).map(hundredths);
                [(); 3].map(|()| figures.next().flatten())
            }
            Err(error) => {
                gaps.note_error(name, &error);
                [None; 3]
            }
        };
        let [uptime_centis, ..] = next(&self.uptime, "uptime", &mut gaps);
        let load = next(&self.loadavg, "load", &mut gaps);
        let period = Period { interval, uptime_centis, cores: cores.len() };
        let scan = self.processes.scan(period, &mut gaps);
        let mut snapshot = Snapshot {
            tick: 0,
            skipped: 0,
            interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            uptime_secs: uptime_centis.unwrap_or(0) / 100,
            load_centi: load.map(|load| u32::try_from(load.unwrap_or(0)).unwrap_or(u32::MAX)),
            cores,
            memory: self.memory.read(interval, buffer, &mut gaps),
            pressure: self.pressure.read(buffer, &mut gaps),
            filesystems: self.filesystems.read(now, buffer, &mut gaps),
            disks: self.disks.read(interval, buffer, &mut gaps),
            networks: self.networks.read(interval, now, buffer, &mut gaps),
            temperatures: self.sensors.read(now, &mut gaps),
            processes_total: scan.total,
            processes_readable: scan.readable,
            processes: scan.listed,
            unreadable: Vec::new(),
        };
        if self.filesystems.hides_processes() && !self.processes.sees_the_first() {
            gaps.note("processes of other users", "the machine hides them (hidepid)");
        }
        snapshot.order_processes();
        snapshot.unreadable = gaps.into_rows();
        snapshot
    }
}
