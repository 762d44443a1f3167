//! Disks: saturated, warning, worn, failing, missing from their array.

use std::time::Duration;

use wire::{
    diagnostics::{
        Panel,
        findings::{Confidence, Evidence, Severity, Unit, What},
        report::SectionId,
        schema::Named,
        sections::storage::{
            AtaHealth, BlockDevice, BtrfsDevice, Health, MemberRole, NvmeHealth, Pool, PoolState, RaidAction, RaidArray,
        },
    },
    text::Label,
};

use super::{
    answer::{Answer, Answers, Missing, Reading, amount, machine},
    facts::View,
    level::{Band, Level, critical, warning},
    memory_checks::without_pressure,
    processor::{busiest_disk, table, waiting},
};
use crate::history::{Figure, SeriesKey, Subject};

/// Hundredths of a percent of the last minute, ours: a quarter of it with some task waiting, or with all of them.
const PRESSURE_SOME: [Band; 1] = [warning(2500, 1500)];
const PRESSURE_FULL: [Band; 1] = [critical(2500, 1500)];

/// Window of what disks do: netdata `10min_disk_utilization`.
const WINDOW: Duration = Duration::from_mins(10);
/// Thousandths: the same, 98 (69) %.
const BUSY: [Band; 1] = [warning(980, 690)];
/// Hundredths of a request: netdata `10min_disk_backlog`, 5,000 (3,500). What it calls milliseconds is a hundredth of a request, since its
/// chart divides the kernel's weighted time, of which each request that is outstanding adds 1,000 ms in a second, by ten.
const QUEUE: [Band; 1] = [warning(5000, 3500)];
/// Ours: a disk that never rests, or never gets through its queue, and takes a fifth of a second for each request.
const BUSY_CRITICAL: [Band; 1] = [critical(980, 690)];
const QUEUE_CRITICAL: [Band; 1] = [critical(5000, 3500)];
const AWAIT_US: [Band; 1] = [critical(200_000, 100_000)];

/// What a turning disk takes for a request now and then, in microseconds: ours.
const SLOW_US: i64 = 20_000;
/// Ours: a device that works on many requests at once has a long queue and answers quickly all the same.
const QUEUE_AWAIT_US: [Band; 1] = [warning(SLOW_US - 1, 10_000)];

/// Percent of a device's life, ours; at the whole the maker promises nothing more.
const WEAR: [Band; 2] = [warning(79, 79), critical(99, 99)];
/// Percent over the maker's own threshold, ours.
const SPARE: [Band; 2] = [warning(11, 11), critical(1, 1)];

/// An array without a member is critical when nobody mended it for so long: netdata `mdstat_disks`, node-mixin `NodeRAIDDegraded`.
pub(super) const DEGRADED_HOLD: Duration = Duration::from_mins(15);

pub(super) fn pressure(facts: &View<'_>) -> Answers {
    let sample = facts.sample()?;
    let Some(pressure) = sample.pressure else { return Err(without_pressure(facts)) };
    let (some, full) = (i64::from(pressure.io_some_minute_centi), i64::from(pressure.io_full_minute_centi));
    let reading = Reading::new(Level::above(some, &PRESSURE_SOME).or(Level::above(full, &PRESSURE_FULL)))
        .figure(What::SomeWaited, some, Unit::CentiPercent)
        .figure(What::AllWaited, full, Unit::CentiPercent);
    machine(reading.blame(busiest_disk(sample)).blame(waiting(sample)))
}

pub(super) fn saturated(facts: &View<'_>) -> Answers {
    let sample = facts.table(Panel::Disks)?;
    if let (true, Some(missing)) = (sample.disks.is_empty(), facts.unreadable("disks")) {
        return Err(missing);
    }
    let answers = sample.disks.iter().map(|disk| {
        let key = |figure| SeriesKey::of(figure, Subject::Disk(disk.name.clone()));
        let seen = facts.mean(&key(Figure::DiskBusy), WINDOW).and_then(|busy| {
            let wait = facts.mean(&key(Figure::DiskAwait), WINDOW)?;
            let queue = facts.mean(&key(Figure::DiskQueue), WINDOW)?;
            let behind = Level::above(queue, &QUEUE).and(Level::above(wait, &QUEUE_AWAIT_US));
            let much = Level::above(busy, &BUSY_CRITICAL).or(Level::above(queue, &QUEUE_CRITICAL));
            let slow = much.and(Level::above(wait, &AWAIT_US));
            let reading = Reading::new(Level::above(busy, &BUSY).or(behind).or(slow))
                // A device that works on many requests at once may be busy all the time and have time to spare.
                .sure(if wait >= SLOW_US { Confidence::High } else { Confidence::Medium })
                .figure(What::Busy, busy, Unit::Permille)
                .figure(What::Await, wait, Unit::Micros)
                .figure(What::Backlog, queue, Unit::Centi)
                .figure(What::Window, WINDOW.as_secs(), Unit::Seconds);
            Ok(reading.blame(waiting(sample)))
        });
        Answer::about(Named::Technical(disk.name.clone()), seen)
    });
    Ok(answers.collect())
}

/// Any bit is critical: netdata `nvme_device_critical_warnings_state`.
pub(super) fn nvme_warning(facts: &View<'_>) -> Answers {
    nvme(facts, |device, health, nvme| {
        let failed = health.passed == Some(false);
        let warns = failed || !nvme.critical_warnings.is_empty();
        let words = nvme.critical_warnings.iter().map(|bit| word(What::DeviceWarning, bit.name()));
        let verdict =
            (failed && nvme.critical_warnings.is_empty()).then(|| word(What::DeviceWarning, "failed its own test"));
        let celsius = health.temperature_deci_celsius.map(i64::from);
        let reading = Reading::new(Level::if_so(warns, Severity::Critical))
            .blame(words)
            .blame(verdict)
            .figure_if(What::Temperature, celsius, Unit::DeciCelsius)
            .figure_if(What::Spare, nvme.spare_percent.map(percent), Unit::Permille)
            .figure_if(What::MediaErrors, nvme.media_errors, Unit::Count);
        Ok(reading.word(What::Model, &device.model))
    })
}

pub(super) fn nvme_wear(facts: &View<'_>) -> Answers {
    nvme(facts, |device, _, nvme| {
        let Some(used) = nvme.used_percent else { return Err(Missing::unknown("it does not tell how worn it is")) };
        let spare = nvme.spare_percent.zip(nvme.spare_threshold_percent);
        let spare =
            spare.map_or(Level::FINE, |(left, threshold)| Level::below(i64::from(left) - i64::from(threshold), &SPARE));
        let reading = Reading::new(Level::above(i64::from(used), &WEAR).or(spare))
            .figure(What::Wear, percent(used), Unit::Permille)
            .figure_if(What::Spare, nvme.spare_percent.map(percent), Unit::Permille)
            .figure_if(What::SpareThreshold, nvme.spare_threshold_percent.map(percent), Unit::Permille)
            .figure_if(What::MediaErrors, nvme.media_errors, Unit::Count);
        let worn = facts.trends().wear_of(&Named::Technical(device.name.clone()));
        Ok(reading.word(What::Model, &device.model).forecast(worn))
    })
}

/// The five attributes of Backblaze's "What SMART stats indicate hard drive failures": any of them is worth a look, and of the drives
/// that failed most had more than one. That one goes up is ours.
pub(super) fn ata_sectors(facts: &View<'_>) -> Answers {
    let storage = facts.storage()?;
    let ata = storage
        .devices
        .iter()
        .filter_map(|device| Some((device, device.health.as_ref()?, device.health.as_ref()?.ata.as_ref()?)));
    let mut answers = ata.map(|(device, health, ata)| failing_sectors(facts, device, health, ata)).collect::<Vec<_>>();
    // An ATA disk that does not tell looks like any other SCSI disk.
    let silent =
        storage.devices.iter().filter(|device| is_scsi(&device.name) && !device.removable && device.health.is_none());
    answers.extend(silent.map(|device| Answer::about(Named::Technical(device.name.clone()), Err(untold(facts)))));
    if answers.is_empty() {
        return Err(facts
            .gap(SectionId::Storage, "/sys/block")
            .unwrap_or_else(|| Missing::not_applicable("this machine has no ATA disk")));
    }
    Ok(answers)
}

/// The counters of an ATA disk that go before failures, of those that it has.
fn ata_counters(ata: &AtaHealth) -> [Option<u64>; 5] {
    // Seagate packs three 16-bit counters into 188; the lowest counts the time-outs.
    let timeouts = ata.command_timeouts.map(|raw| raw & 0xffff);
    let uncorrectable = [ata.reported_uncorrectable, ata.offline_uncorrectable];
    [ata.reallocated_sectors, uncorrectable[0], timeouts, ata.pending_sectors, uncorrectable[1]]
}

/// Their sum; `None` if it has none of them.
pub(crate) fn failing_sectors_sum(ata: &AtaHealth) -> Option<i64> {
    ata_counters(ata).into_iter().flatten().reduce(u64::saturating_add).map(amount)
}

fn failing_sectors(facts: &View<'_>, device: &BlockDevice, health: &Health, ata: &AtaHealth) -> Answer {
    let subject = Named::Technical(device.name.clone());
    let known = ata_counters(ata);
    let [_, reported, timeouts, _, offline] = known;
    if known.iter().all(Option::is_none) && health.passed.is_none() {
        return Answer::about(subject, Err(Missing::unknown("it has none of the attributes that tell")));
    }
    let bad = known.iter().flatten().filter(|raw| **raw > 0).count();
    let sum = failing_sectors_sum(ata).unwrap_or(0);
    // Since this program started, or on several days of the month that is kept.
    let before = [facts.first(Some(&subject), What::Errors), facts.trends().sectors_of(&subject)];
    let rises = before.into_iter().flatten().any(|before| sum > before);
    let failed = health.passed == Some(false);
    let level =
        Level::if_so(bad >= 1, Severity::Warning).or(Level::if_so(bad >= 2 || rises || failed, Severity::Critical));
    let unreadable = [reported, offline].iter().flatten().copied().reduce(u64::saturating_add);
    let reading = Reading::new(level)
        .figure_if(What::Reallocated, ata.reallocated_sectors, Unit::Count)
        .figure_if(What::Pending, ata.pending_sectors, Unit::Count)
        .figure_if(What::Uncorrectable, unreadable, Unit::Count)
        .figure_if(What::CommandTimeouts, timeouts, Unit::Count)
        .blame(rises.then(|| word(What::State, "rising")))
        .blame(failed.then(|| word(What::State, "failed its own test")));
    Answer::about(subject, Ok(reading.word(What::Model, &device.model))).counting(What::Errors, sum)
}

/// A failed member is a warning: netdata `mdstat_disks`, node-mixin `NodeRAIDDiskFailure`. One that lacks is critical after a while.
pub(super) fn raid(facts: &View<'_>) -> Answers {
    let storage = facts.storage()?;
    let mut answers = storage.arrays.iter().map(array).collect::<Vec<_>>();
    answers.extend(storage.pools.iter().map(pool));
    answers.extend(storage.btrfs.iter().map(btrfs));
    if answers.is_empty() {
        return Err(facts
            .gap(SectionId::Storage, "/proc/mdstat")
            .unwrap_or_else(|| Missing::not_applicable("this machine has no array")));
    }
    Ok(answers)
}

fn array(array: &RaidArray) -> Answer {
    let failed = array.members.iter().filter(|member| member.role == MemberRole::Failed).count();
    let lacks = array.working_members < array.wanted_members;
    let level =
        Level::if_so(failed > 0 || !array.active, Severity::Warning).or(Level::if_so(lacks, Severity::Critical));
    let progress = array.progress_permille.filter(|_| array.action == RaidAction::Recovery).map(i64::from);
    let reading = Reading::new(level)
        .figure(What::Active, array.working_members, Unit::Count)
        .figure(What::Required, array.wanted_members, Unit::Count)
        .figure(What::Failed, amount(u64::try_from(failed).unwrap_or(u64::MAX)), Unit::Count)
        .blame((!array.active).then(|| word(What::State, "inactive")))
        .figure_if(What::Progress, progress, Unit::Permille)
        .word(What::Kind, &array.level);
    Answer::about(Named::Technical(array.name.clone()), Ok(reading))
}

fn pool(pool: &Pool) -> Answer {
    let level = match pool.state {
        PoolState::Online => Level::FINE,
        PoolState::Offline => Level::is(Severity::Warning),
        PoolState::Degraded
        | PoolState::Faulted
        | PoolState::Unavailable
        | PoolState::Removed
        | PoolState::Suspended => Level::is(Severity::Critical),
        PoolState::Other => {
            return Answer::about(
                Named::Personal(pool.name.clone()),
                Err(Missing::unknown("its state has a new word")),
            );
        }
    };
    let state = word(What::State, pool.state.name());
    Answer::about(Named::Personal(pool.name.clone()), Ok(Reading::new(level).blame([state])))
}

fn btrfs(device: &BtrfsDevice) -> Answer {
    let errors = [
        device.write_errors,
        device.read_errors,
        device.flush_errors,
        device.corruption_errors,
        device.generation_errors,
    ];
    let errors = errors.into_iter().fold(0, u64::saturating_add);
    let level = Level::if_so(device.missing, Severity::Critical).or(Level::if_so(errors > 0, Severity::Warning));
    let subject = Label::cut(&format!("{} device {}", device.filesystem.raw(), device.number));
    let reading = Reading::new(level)
        .figure(What::Errors, errors, Unit::Count)
        .blame(device.missing.then(|| word(What::State, "missing")));
    Answer::about(Named::Identifier(subject), Ok(reading))
}

/// Asks about each NVMe device that tells how it is.
fn nvme(facts: &View<'_>, judge: impl Fn(&BlockDevice, &Health, &NvmeHealth) -> Result<Reading, Missing>) -> Answers {
    let storage = facts.storage()?;
    let devices = storage.devices.iter().filter(|device| device.name.raw().starts_with("nvme"));
    let answer = |device: &BlockDevice| {
        let told = device.health.as_ref().and_then(|health| Some((health, health.nvme.as_ref()?)));
        let seen = match told {
            Some((health, nvme)) => judge(device, health, nvme),
            None => Err(untold(facts)),
        };
        Answer::about(Named::Technical(device.name.clone()), seen)
    };
    let answers = devices.map(answer).collect::<Vec<_>>();
    if answers.is_empty() {
        return Err(facts
            .gap(SectionId::Storage, "/sys/block")
            .unwrap_or_else(|| Missing::not_applicable("this machine has no NVMe device")));
    }
    Ok(answers)
}

/// Why a disk's health is not known.
fn untold(facts: &View<'_>) -> Missing {
    let asked = ["smartctl", "udisks2"].into_iter().find_map(|source| facts.gap(SectionId::Storage, source));
    asked.unwrap_or_else(|| Missing::unknown("it does not tell how it is"))
}

fn is_scsi(name: &Label) -> bool {
    name.raw().strip_prefix("sd").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn percent(value: u8) -> i64 {
    i64::from(value) * 10
}

/// A word of a closed list or of ours.
pub(super) fn word(what: What, word: &str) -> Evidence {
    Evidence { what, amount: None, name: Some(Named::Technical(Label::cut(word))) }
}

/// Thousandths: node-mixin `NodeFileDescriptorLimit`, 70 and 90 %.
const FILE_HANDLES: [Band; 2] = [warning(700, 650), critical(900, 850)];

pub(super) fn file_handles(facts: &View<'_>) -> Answers {
    let limits = &facts.sample()?.limits;
    table(facts, "open files", (limits.files, limits.files_most), &FILE_HANDLES)
}
