//! A Linux machine: every subject read from the kernel's own files.

use std::{sync::Arc, time::Duration};

use wire::{
    diagnostics::{DiskProcess, IdentityCard, LargeProcess, MAX_CORES, Panel, Panels, Snapshot},
    time::Moment,
};

use crate::{
    collector::Wanted,
    disks::linux::Disks,
    filesystems::linux::{AskSpace, Filesystems, ask_kernel},
    gaps::Gaps,
    history::Places,
    identity,
    limits::linux::LimitFiles,
    memory::linux::MemoryFiles,
    networks::{linux::Networks, traffic::TrafficFiles},
    own::linux::OwnFiles,
    pressure::linux::PressureFiles,
    processes::{
        hidden::HIDDEN,
        linux::{Order, Period, Processes, Units},
    },
    processor::{linux::Processors, throttles::Throttles},
    roots::Roots,
    temperatures::linux::{Readings, Sensors},
    text::{KernelFile, fields, hundredths, number},
};

#[derive(Debug)]
pub(crate) struct Machine {
    roots: Roots,
    stat: KernelFile,
    loadavg: KernelFile,
    uptime: KernelFile,
    /// Every file is read into this.
    buffer: Vec<u8>,
    processors: Processors,
    throttles: Throttles,
    memory: MemoryFiles,
    pressure: PressureFiles,
    traffic: TrafficFiles,
    limits: LimitFiles,
    own: OwnFiles,
    filesystems: Filesystems,
    disks: Disks,
    networks: Networks,
    sensors: Sensors,
    processes: Processes,
    seen: Seen,
}

/// How much time was sampled so far, and at how much of it each panel was read last.
#[derive(Debug, Default)]
struct Seen {
    sampled: Duration,
    read_at: [Duration; Panel::ALL.len()],
}

impl Seen {
    /// The time that the figures of `panel` cover; none if it is not in view.
    fn covers(&mut self, panel: Panel, panels: Panels) -> Option<Duration> {
        let read_at = self.read_at.get_mut(panel as usize).filter(|_| panels.contains(panel))?;
        let covers = self.sampled - *read_at;
        *read_at = self.sampled;
        Some(covers)
    }
}

impl Machine {
    pub(crate) fn new(roots: Roots, now: Moment) -> Self {
        Self::asking(roots, now, Arc::new(ask_kernel))
    }

    /// As [`Machine::new`], with another way to ask how full a file system is.
    pub(crate) fn asking(roots: Roots, now: Moment, space: AskSpace) -> Self {
        let Roots { proc, sys, etc, .. } = &roots;
        let units = Units::of_this_machine();
        let mut machine = Self {
            stat: KernelFile::new(proc.join("stat")),
            loadavg: KernelFile::new(proc.join("loadavg")),
            uptime: KernelFile::new(proc.join("uptime")),
            buffer: Vec::with_capacity(16 * 1024),
            processors: Processors::default(),
            throttles: Throttles::new(sys),
            memory: MemoryFiles::new(proc, sys, units.page_kib),
            pressure: PressureFiles::new(proc),
            traffic: TrafficFiles::new(proc),
            limits: LimitFiles::new(proc),
            own: OwnFiles::new(proc, units.page_kib),
            filesystems: Filesystems::new(proc, sys, space),
            disks: Disks::new(proc, sys),
            networks: Networks::new(proc, sys),
            sensors: Sensors::new(sys),
            processes: Processes::new(proc, etc, units),
            seen: Seen::default(),
            roots,
        };
        machine.sample(Duration::ZERO, now, Wanted::default());
        machine
    }

    pub(crate) fn identity(&self) -> IdentityCard {
        identity::linux::read(&self.roots)
    }

    /// Which device is mounted where, as of the last sample that had file systems.
    pub(crate) fn places(&self) -> Places {
        Places::of(self.filesystems.mounts())
    }

    /// The processes with most memory, as of the last sample that had processes.
    pub(crate) fn largest(&mut self) -> Vec<LargeProcess> {
        self.processes.largest()
    }

    /// The programs that take most processor time, as of the last sample that had processes.
    pub(crate) fn busiest(&self) -> Vec<(wire::text::Label, u32)> {
        self.processes.busiest()
    }

    /// The processes that use disks most, as of the last sample that had processes.
    pub(crate) fn disk_processes(&self) -> Vec<DiskProcess> {
        self.processes.disk_processes()
    }

    pub(crate) fn sample(&mut self, interval: Duration, now: Moment, wanted: Wanted) -> Snapshot {
        let panels = wanted.view.panels;
        self.seen.sampled += interval;
        let mut gaps = Gaps::default();
        let (mut snapshot, uptime_centis) = self.overview(interval, now, panels, &mut gaps);
        snapshot.view = wanted.view;
        let Self { seen, buffer, .. } = self;
        if panels.contains(Panel::Filesystems) {
            snapshot.filesystems = self.filesystems.read(now, buffer, &mut gaps);
        }
        if let Some(covers) = seen.covers(Panel::Disks, panels) {
            snapshot.disks = self.disks.read(covers, buffer, &mut gaps);
        }
        if let Some(covers) = seen.covers(Panel::Networks, panels) {
            snapshot.networks = self.networks.read(covers, now, buffer, &mut gaps);
        }
        if panels.contains(Panel::Temperatures) {
            let Readings { temperatures, fans, power } = self.sensors.read(now, &mut gaps);
            (snapshot.temperatures, snapshot.fans, snapshot.power) = (temperatures, fans, power);
        }
        if let Some(covers) = seen.covers(Panel::Processes, panels) {
            let cores = usize::try_from(snapshot.processor.cores).unwrap_or(usize::MAX);
            let period = Period { interval: covers, sampled: seen.sampled, uptime_centis, cores };
            let order = Order { by: wanted.view.processes_by, every: wanted.processes_every };
            let scan = self.processes.scan(period, order, &mut gaps);
            snapshot.processes_total = scan.total;
            snapshot.processes_readable = scan.readable;
            snapshot.processes_stuck = scan.stuck_total;
            snapshot.processes = scan.listed;
            snapshot.stuck = scan.stuck;
            if self.filesystems.hides_processes() && !self.processes.sees_the_first() {
                gaps.note("processes of other users", HIDDEN);
            }
        }
        snapshot.order_processes();
        snapshot.unreadable = gaps.into_rows();
        snapshot
    }

    /// What is in every sample, and hundredths of a second since the machine started, if that is known.
    fn overview(
        &mut self,
        interval: Duration,
        now: Moment,
        panels: Panels,
        gaps: &mut Gaps,
    ) -> (Snapshot, Option<u64>) {
        let buffer = &mut self.buffer;
        let mut snapshot =
            Snapshot { interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX), ..Snapshot::default() };
        match self.stat.read(buffer) {
            Ok(text) => {
                snapshot.processor = self.processors.read_total(text, interval);
                if panels.contains(Panel::Cores) {
                    snapshot.cores = self.processors.read(text);
                }
            }
            Err(error) => gaps.note_error("processors", &error),
        }
        gaps.bound("processors", &mut snapshot.cores, MAX_CORES);
        snapshot.processor.throttles = self.throttles.read(now);
        let uptime_centis = match self.uptime.read(buffer) {
            Ok(text) => fields(text).next().and_then(hundredths),
            Err(error) => {
                gaps.note_error("uptime", &error);
                None
            }
        };
        snapshot.uptime_secs = uptime_centis.unwrap_or(0) / 100;
        let mut tasks = 0;
        match self.loadavg.read(buffer) {
            Ok(text) => (snapshot.load_centi, tasks) = load(text),
            Err(error) => gaps.note_error("load", &error),
        }
        snapshot.memory = self.memory.read(interval, now, buffer, gaps);
        snapshot.pressure = self.pressure.read(buffer, gaps);
        snapshot.traffic = self.traffic.read(interval, buffer, gaps);
        snapshot.limits = self.limits.read(tasks, now, buffer, gaps);
        snapshot.agent = self.own.read(interval, buffer, gaps);
        (snapshot, uptime_centis)
    }
}

/// Load averages in hundredths, and the number of tasks: `0.52 1.07 12.00 2/900 4242` (proc_loadavg(5)).
fn load(text: &[u8]) -> ([u32; 3], u32) {
    let mut figures = fields(text);
    let small = |figure: Option<u64>| u32::try_from(figure.unwrap_or(0)).unwrap_or(u32::MAX);
    let load = [(); 3].map(|()| small(figures.next().and_then(hundredths)));
    let tasks = figures.next().and_then(|tasks| number(tasks.split(|byte| *byte == b'/').nth(1)?));
    (load, small(tasks))
}
