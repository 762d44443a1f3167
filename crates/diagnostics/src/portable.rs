//! A machine as sysinfo sees it, on every system that has no files of its own here.
//!
//! sysinfo's traps, and what is done about them: processes are refreshed without their tasks, arguments and environment;
//! their processor time is counted here, because sysinfo shows 0 for a process's first two samples; space is asked for in a
//! thread, because that can hang; its `gpu` feature is off, because it loads drivers into this process.

use std::{collections::BTreeMap, time::Duration};

use sysinfo::{
    Components, CpuRefreshKind, DiskRefreshKind, Disks, InterfaceOperationalState, Networks, ProcessRefreshKind,
    ProcessStatus, ProcessesToUpdate, Product, System, UpdateKind, Users,
};
use wire::{
    diagnostics::{
        Core, Filesystem, FilesystemState, IdentityCard, MAX_CORES, MAX_ROWS, Memory, Network, Panel, Process,
        ProcessOrder, Snapshot, TOP_PROCESSES, Temperature,
    },
    text::Label,
    time::Moment,
};

use crate::{
    collector::Wanted,
    gaps::Gaps,
    patience::Patience,
    processes::ranking::{Activity, Standing, choose},
    rates::{per_second, per_second_u32},
    roots::Roots,
};

/// How old the list of file systems may be.
const DISKS_EVERY: Duration = Duration::from_secs(5);

/// When file systems that do not answer are shown as unresponsive.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Machine {
    system: Option<System>,
    networks: Option<Networks>,
    components: Option<Components>,
    users: Option<Users>,
    disks: Patience<(), Vec<Filesystem>>,
    next_disks: Moment,
    filesystems: Vec<Filesystem>,
    /// Bytes received and sent when last read.
    traffic: BTreeMap<String, (u64, u64)>,
    processes: BTreeMap<(u32, u64), Known>,
    booted_secs: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    used_ms: u64,
    activity: Activity,
    io: Activity,
    listed: bool,
}

impl Machine {
    pub(crate) fn new(_roots: Roots, now: Moment) -> Self {
        let mut machine = Self {
            system: System::new().ok(),
            networks: Networks::new().ok(),
            components: Components::new().ok(),
            users: Users::new_with_refreshed_list().ok(),
            disks: Patience::new(),
            next_disks: Moment::default(),
            filesystems: Vec::new(),
            traffic: BTreeMap::new(),
            processes: BTreeMap::new(),
            booted_secs: System::boot_time().unwrap_or(0),
        };
        if let Some(system) = &mut machine.system {
            system.refresh_cpu_list(CpuRefreshKind::nothing().with_usage());
        }
        machine.sample(Duration::ZERO, now, Wanted::default());
        machine
    }

    pub(crate) fn identity(&self) -> IdentityCard {
        let told = |value: Result<String, sysinfo::Error>| Label::cut(value.unwrap_or_default().trim());
        let vendor = Product::vendor_name().unwrap_or_default();
        let product = Product::name().unwrap_or_default();
        let cpus = self.system.as_ref().map(System::cpus).unwrap_or_default();
        let (user, administrator) = own_user();
        IdentityCard {
            host: told(System::host_name()),
            system: told(System::long_os_version()),
            kernel: told(System::kernel_version()),
            architecture: Label::cut(&System::cpu_arch()),
            model: Label::cut(format!("{vendor} {product}").trim()),
            virtualisation: None,
            processor: Label::cut(cpus.first().map(|cpu| cpu.brand().trim()).unwrap_or_default()),
            cores: u16::try_from(cpus.len()).unwrap_or(u16::MAX),
            memory_kib: self.system.as_ref().map_or(0, |system| system.total_memory() / 1024),
            agent_version: Label::cut(env!("CARGO_PKG_VERSION")),
            user,
            administrator,
        }
    }

    pub(crate) fn sample(&mut self, interval: Duration, now: Moment, wanted: Wanted) -> Snapshot {
        let panels = wanted.view.panels;
        let mut gaps = Gaps::default();
        let missing = [
            "pressure",
            "disks",
            "waiting for disks",
            "dirty memory",
            "swap rates",
            "memory kills",
            "connections",
            "limits",
            "own use",
        ];
        for source in missing {
            gaps.note(source, "not measured on this system yet");
        }
        let mut snapshot = Snapshot {
            interval_ms: u32::try_from(interval.as_millis()).unwrap_or(u32::MAX),
            view: wanted.view,
            uptime_secs: System::uptime().unwrap_or(0),
            ..Snapshot::default()
        };
        if panels.contains(Panel::Filesystems) {
            snapshot.filesystems = self.read_filesystems(now, &mut gaps);
        }
        if panels.contains(Panel::Networks) {
            snapshot.networks = self.read_networks(interval, &mut gaps);
        }
        if panels.contains(Panel::Temperatures) {
            snapshot.temperatures = self.read_temperatures(&mut gaps);
        }
        match System::load_average() {
            Ok(load) => snapshot.load_centi = [load.one, load.five, load.fifteen].map(centi),
            Err(_) => gaps.note("load", "this system does not measure it"),
        }
        match self.system.as_mut() {
            Some(system) => {
                system.refresh_memory();
                system.refresh_cpu_specifics(CpuRefreshKind::nothing().with_usage());
                if panels.contains(Panel::Processes) {
                    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().with_disk_usage();
                    let kind = kind.with_user(UpdateKind::OnlyIfNotSet).without_tasks();
                    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
                    let all = u32::try_from(system.processes().len()).unwrap_or(u32::MAX);
                    (snapshot.processes_total, snapshot.processes_readable) = (all, all);
                }
                snapshot.memory = read_memory(system);
                snapshot.cores = system.cpus().iter().map(core).collect();
                gaps.bound("processors", &mut snapshot.cores, MAX_CORES);
                snapshot.processor.cores = u32::try_from(snapshot.cores.len()).unwrap_or(u32::MAX);
                snapshot.processor.busy_permille = whole(f64::from(system.global_cpu_usage()) * 10.0, 1000);
            }
            None => gaps.note("processors, memory, processes", "sysinfo does not know this system"),
        }
        if panels.contains(Panel::Processes) {
            snapshot.processes = self.read_processes(interval, snapshot.cores.len(), wanted.view.processes_by);
        }
        if !panels.contains(Panel::Cores) {
            snapshot.cores.clear();
        }
        snapshot.order_processes();
        snapshot.unreadable = gaps.into_rows();
        snapshot
    }

    fn read_processes(&mut self, interval: Duration, cores: usize, by: ProcessOrder) -> Vec<Process> {
        let Some(system) = &self.system else { return Vec::new() };
        let most = u32::try_from(cores.max(1)).unwrap_or(u32::MAX).saturating_mul(1000);
        let mut rows = Vec::new();
        let mut known = BTreeMap::new();
        for (pid, process) in system.processes() {
            let pid = pid.as_u32();
            let start_ticks = process.start_time().saturating_sub(self.booted_secs) * 100;
            let before = self.processes.get(&(pid, start_ticks)).copied();
            let used_ms = process.accumulated_cpu_time();
            // A process that nobody saw before started since, or nothing is known of it yet.
            let before_ms = before.map_or(0, |before| before.used_ms);
            let cpu_permille = per_second_u32(used_ms.saturating_sub(before_ms), interval).min(most);
            let activity = before.map_or(Activity::default(), |before| before.activity).after(cpu_permille, interval);
            let listed = before.is_some_and(|before| before.listed);
            let io = process.disk_usage();
            let read_kib_s = per_second_u32(io.read_bytes / 1024, interval);
            let write_kib_s = per_second_u32(io.written_bytes / 1024, interval);
            let io = before.map_or(Activity::default(), |before| before.io);
            let io = io.after(read_kib_s.saturating_add(write_kib_s), interval);
            known.insert((pid, start_ticks), Known { used_ms, activity, io, listed });
            let row = Process {
                pid,
                start_ticks,
                name: Label::cut(&process.name().to_string_lossy()),
                owner: self.owner(process),
                cpu_permille,
                resident_kib: process.memory() / 1024,
                threads: 0,
                state: state(process.status()),
                read_kib_s: Some(read_kib_s),
                write_kib_s: Some(write_kib_s),
            };
            rows.push(row);
        }
        let mut order = (0..rows.len()).collect::<Vec<_>>();
        choose(&mut order, TOP_PROCESSES, |index| {
            let Process { pid, start_ticks, resident_kib: resident, .. } = rows[index];
            let Known { activity, io, listed, .. } = known[&(pid, start_ticks)];
            Standing { by, activity, io, resident, pid, listed }
        });
        order.truncate(TOP_PROCESSES);
        known.values_mut().for_each(|known| known.listed = false);
        for index in &order {
            let Process { pid, start_ticks, .. } = rows[*index];
            known.entry((pid, start_ticks)).and_modify(|known| known.listed = true);
        }
        self.processes = known;
        order.into_iter().map(|index| rows[index].clone()).collect()
    }

    /// Blank for users that are not the machine's own.
    fn owner(&self, process: &sysinfo::Process) -> Label {
        let user = process.effective_user_id().or(process.user_id());
        let user = user.and_then(|user| self.users.as_ref()?.get_user_by_id(user));
        user.map(|user| Label::cut(user.name())).unwrap_or_default()
    }

    fn read_networks(&mut self, interval: Duration, gaps: &mut Gaps) -> Vec<Network> {
        let Some(networks) = &mut self.networks else {
            gaps.note("networks", "sysinfo does not know this system");
            return Vec::new();
        };
        networks.refresh(true);
        let mut seen = BTreeMap::new();
        let mut rows = Vec::new();
        let mut sorted = Vec::new();
        for network in &*networks {
            sorted.push(network);
        }
        sorted.sort_by_key(|(name, _)| *name);
        for (name, data) in sorted {
            let name = name.to_string_lossy().into_owned();
            let (received, sent) = (data.total_received(), data.total_transmitted());
            let loopback = data.ip_networks().iter().any(|network| network.addr.is_loopback());
            let up = matches!(data.operational_state(), InterfaceOperationalState::Up);
            if loopback || !(up || received > 0 || sent > 0) {
                continue;
            }
            let before = self.traffic.get(&name).copied().unwrap_or((received, sent));
            let packets = |count: u64| per_second_u32(count, interval);
            rows.push(Network {
                name: Label::cut(&name),
                up,
                rx_bytes_s: per_second(received.saturating_sub(before.0), interval),
                tx_bytes_s: per_second(sent.saturating_sub(before.1), interval),
                errors: data.total_errors_on_received().saturating_add(data.total_errors_on_transmitted()),
                drops: 0,
                rx_packets_s: packets(data.packets_received()),
                tx_packets_s: packets(data.packets_transmitted()),
                errors_s: packets(data.errors_on_received().saturating_add(data.errors_on_transmitted())),
                drops_s: 0,
            });
            seen.insert(name, (received, sent));
        }
        self.traffic = seen;
        gaps.note("dropped packets", "not measured on this system yet");
        gaps.bound("networks", &mut rows, MAX_ROWS);
        rows
    }

    fn read_temperatures(&mut self, gaps: &mut Gaps) -> Vec<Temperature> {
        let Some(components) = &mut self.components else { return Vec::new() };
        components.refresh(true);
        let found = components.iter().filter_map(|component| {
            let degrees = component.temperature().filter(|degrees| (-100.0..=200.0).contains(degrees))?;
            Some(Temperature { label: Label::cut(component.label()), deci_celsius: deci(degrees) })
        });
        let mut temperatures = found.collect::<Vec<_>>();
        temperatures.sort_by(|a, b| a.label.cmp(&b.label));
        gaps.bound("temperatures", &mut temperatures, MAX_ROWS);
        temperatures
    }

    fn read_filesystems(&mut self, now: Moment, gaps: &mut Gaps) -> Vec<Filesystem> {
        if now >= self.next_disks {
            self.next_disks = now + DISKS_EVERY;
            // A fresh list each time: sysinfo looks at the read-only state only when it first sees a disk.
            if let Err(error) = self.disks.ask(&(), now, list_filesystems) {
                gaps.note_error("file systems", &error);
            }
        }
        if let Some(((), filesystems)) = self.disks.answers(Duration::from_millis(20)).pop() {
            self.filesystems = filesystems;
        }
        let mut filesystems = self.filesystems.clone();
        if self.disks.waiting_since(&()).is_some_and(|asked| now - asked >= UNRESPONSIVE_AFTER) {
            gaps.note("file systems", "one of them does not answer; the figures are old");
            filesystems.iter_mut().for_each(|filesystem| filesystem.state = FilesystemState::Unresponsive);
        }
        gaps.bound("file systems", &mut filesystems, MAX_ROWS);
        filesystems
    }
}

/// Name of the agent's own user, and whether it is the administrator. Windows' elevation is not looked at: there it is never.
fn own_user() -> (Label, bool) {
    let own = || {
        let pid = sysinfo::get_current_pid().ok()?;
        let mut system = System::new().ok()?;
        let kind = ProcessRefreshKind::nothing().with_user(UpdateKind::Always).without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        let process = system.process(pid)?;
        let users = Users::new_with_refreshed_list().ok()?;
        let name = users.get_user_by_id(process.effective_user_id().or(process.user_id())?)?.name().to_owned();
        Some((Label::cut(&name), cfg!(unix) && user_id(process) == 0))
    };
    own().unwrap_or_default()
}

fn list_filesystems() -> Vec<Filesystem> {
    let kind = DiskRefreshKind::nothing().with_storage();
    let Ok(disks) = Disks::new_with_refreshed_list_specifics(kind) else { return Vec::new() };
    let mut rows = disks
        .iter()
        .map(|disk| Filesystem {
            mount: Label::cut(&disk.mount_point().to_string_lossy()),
            kind: Label::cut(&disk.file_system().to_string_lossy()),
            total_kib: disk.total_space() / 1024,
            available_kib: disk.available_space().min(disk.total_space()) / 1024,
            inodes_total: 0,
            inodes_free: 0,
            state: if disk.is_read_only() { FilesystemState::ReadOnly } else { FilesystemState::ReadWrite },
        })
        .collect::<Vec<_>>();
    rows.sort_by(|a, b| a.mount.cmp(&b.mount));
    rows
}

fn read_memory(system: &System) -> Memory {
    let total_kib = system.total_memory() / 1024;
    Memory {
        total_kib,
        available_kib: (system.available_memory() / 1024).min(total_kib),
        swap_total_kib: system.total_swap() / 1024,
        swap_used_kib: system.used_swap().min(system.total_swap()) / 1024,
        ..Memory::default()
    }
}

fn core(cpu: &sysinfo::Cpu) -> Core {
    Core { busy_permille: whole(f64::from(cpu.usage()) * 10.0, 1000), ..Core::default() }
}

/// Rounded, and within 0..=`most`; what is not a number is 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to what the type holds")]
fn whole(figure: f64, most: u16) -> u16 {
    figure.round().clamp(0.0, f64::from(most)) as u16
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped to what the type holds")]
fn centi(load: f64) -> u32 {
    (load * 100.0).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "only believable degrees come here")]
fn deci(degrees: f32) -> i32 {
    (degrees * 10.0).round() as i32
}

fn state(status: ProcessStatus) -> char {
    status.to_string().chars().next().map_or('?', |first| first.to_ascii_uppercase())
}

#[cfg(unix)]
fn user_id(process: &sysinfo::Process) -> u32 {
    process.effective_user_id().map_or(65_534, |user| **user)
}

/// Users have no number here.
#[cfg(not(unix))]
fn user_id(_process: &sysinfo::Process) -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_measured_without_its_own_files() {
        let start = Moment::from_origin(Duration::from_secs(100));
        let mut machine = Machine::new(Roots::default(), start);
        let second = Duration::from_secs(1);
        let sample = machine.sample(second, start + second, Wanted::default());
        assert!(sample.memory.total_kib > 0 && sample.memory.available_kib <= sample.memory.total_kib);
        assert!(!sample.cores.is_empty() && sample.cores.iter().all(|core| core.busy_permille <= 1000));
        assert!(sample.processes_total > 0 && sample.processes.len() <= TOP_PROCESSES);
        assert!(sample.uptime_secs > 0);
        assert!(sample.unreadable.iter().any(|gap| gap.source.raw() == "pressure"), "what is missing is said");
        let card = machine.identity();
        assert!(!card.host.is_blank() && !card.system.is_blank() && !card.user.is_blank() && card.cores > 0);
    }

    /// sysinfo itself shows 0 for the first two samples of a process.
    #[test]
    fn a_process_that_works_shows_its_processor_time_in_the_first_sample() {
        let mut machine = Machine::new(Roots::default(), Moment::default());
        let mut work = 0_u64;
        let own = std::process::id();
        // Until the kernel's clock of processor time moved, whatever that takes on this machine.
        loop {
            work = (0..5_000_000).fold(work, |sum, number| sum.rotate_left(1) ^ number);
            let sample = machine.sample(Duration::from_millis(100), Moment::default(), Wanted::default());
            let Some(row) = sample.processes.iter().find(|process| process.pid == own) else { continue };
            if row.cpu_permille > 0 {
                break;
            }
        }
        assert!(work != 1);
    }
}
