//! What changed lately: packages from the log of the package manager, starts, failures and crashes from the journal.

use std::{
    cmp::Reverse,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use jiff::tz::TimeZone;
use serde::Deserialize;
use wire::{
    diagnostics::sections::changes::{
        Changes, MAX_BOOTS, MAX_FAILURES, MAX_PACKAGES, PackageChanges, PackageLog, UnitFailure,
    },
    text::Label,
    time::WallTime,
};

use super::packages::{self, Change, count};
use crate::{
    crashes,
    journal::{self, before, now},
    manifest::Manifest,
    sources::Sources,
    text::read_file,
    tools::{JournalFields, JournalSelection, MessageId, Tool},
};

/// The end of a package log that is read: months, on most machines.
const MAX_LOG_BYTES: u64 = 2 << 20;

/// Most failures of units that are looked at: the newest.
const MAX_LOOKED_AT: u32 = 5000;

/// Longest that the journal is asked for the starts of the machine: it looks into every file.
const BOOTS_DEADLINE: Duration = Duration::from_secs(10);

/// Most bytes of the list of starts: some 8,000 of them.
const BOOTS_BYTES: usize = 1 << 20;

const DAY: Duration = Duration::from_hours(24);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Reads what changed in the last day and the last week.
pub(crate) fn read(sources: &Sources, manifest: &mut Manifest) -> Option<Changes> {
    let now = now();
    let mut changes = Changes { packages: packages(sources, now, manifest), ..Changes::default() };
    read_boots(sources, now, &mut changes, manifest);
    read_failures(sources, now, &mut changes, manifest);
    if let Some(crashes) = crashes::linux::read_without_stacks(sources, manifest) {
        changes.crashes_last_day = Some(crashes.last_day);
        changes.crashes_last_week = Some(crashes.last_week);
    }
    (changes != Changes::default()).then_some(changes)
}

/// The first package log that there is.
fn packages(sources: &Sources, now: WallTime, manifest: &mut Manifest) -> Option<PackageChanges> {
    let zone = zone(&sources.roots.etc, manifest);
    for log in PackageLog::ALL {
        let file = packages::file(*log);
        match read_end(&sources.roots.var.join("log").join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                manifest.failed(file, &error);
                return None;
            }
            Ok(text) => {
                manifest.read(file);
                let text = String::from_utf8_lossy(&text);
                let changes = text.lines().filter_map(|line| packages::parse(*log, line, &zone)).collect();
                return Some(package_changes(*log, changes, now, manifest));
            }
        }
    }
    manifest.missing("package log", "this system has none that is known");
    None
}

fn package_changes(
    log: PackageLog,
    mut changes: Vec<Change>,
    now: WallTime,
    manifest: &mut Manifest,
) -> PackageChanges {
    // The order of the log breaks ties: the last line is the newest.
    changes.reverse();
    changes.sort_by_key(|change| Reverse(change.time));
    let since = |time| {
        let start = before(now, time);
        changes.iter().filter(move |change| change.time >= start)
    };
    let mut names = Vec::new();
    for change in since(WEEK) {
        let name = Label::cut(&change.package);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let counts = (count(since(DAY)), count(since(WEEK)));
    manifest.bound("names of packages", &mut names, MAX_PACKAGES);
    PackageChanges {
        log,
        last_day: counts.0,
        last_week: counts.1,
        newest: changes.first().map(|change| change.time),
        kernel: changes.iter().find(|change| change.is_kernel()).map(|change| change.time),
        names,
    }
}

/// The machine's time zone, in which some logs are written; see localtime(5).
fn zone(etc: &Path, manifest: &mut Manifest) -> TimeZone {
    let mut buffer = Vec::new();
    match read_file(&etc.join("localtime"), &mut buffer) {
        Ok(rules) => TimeZone::tzif("Local", rules).unwrap_or_else(|_| {
            manifest.partial("time zone", "its content makes no sense");
            TimeZone::UTC
        }),
        Err(_) => TimeZone::UTC,
    }
}

/// The last [`MAX_LOG_BYTES`] of a file. The first line of them may be torn.
fn read_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MAX_LOG_BYTES)))?;
    let mut text = Vec::new();
    file.take(MAX_LOG_BYTES).read_to_end(&mut text)?;
    Ok(text)
}

/// A start of the machine, as `journalctl --list-boots --output=json` has it.
#[derive(Debug, Deserialize)]
struct Boot {
    /// Microseconds.
    first_entry: u64,
}

fn read_boots(sources: &Sources, now: WallTime, changes: &mut Changes, manifest: &mut Manifest) {
    let output = match journal::is_kept(sources) {
        true => sources.output_of(&Tool::JournalBoots, BOOTS_DEADLINE, BOOTS_BYTES),
        false => Err(io::ErrorKind::NotFound.into()),
    };
    let boots = output.and_then(|text| match text.trim_ascii() {
        // A journal without an entry.
        b"" => Err(io::ErrorKind::NotFound.into()),
        text => serde_json::from_slice::<Vec<Boot>>(text).map_err(|_| io::ErrorKind::InvalidData.into()),
    });
    let Some(boots) = manifest.keep("starts in the journal", boots) else { return };
    let week = before(now, WEEK);
    let mut boots = boots.iter().map(|boot| WallTime(boot.first_entry / 1000)).collect::<Vec<_>>();
    boots.retain(|time| *time >= week);
    boots.sort_by_key(|time| Reverse(*time));
    changes.boots_last_week = Some(u32::try_from(boots.len()).unwrap_or(u32::MAX));
    manifest.bound("starts", &mut boots, MAX_BOOTS);
    changes.boots = boots;
}

fn read_failures(sources: &Sources, now: WallTime, changes: &mut Changes, manifest: &mut Manifest) {
    let selection = JournalSelection {
        message: Some(MessageId::UnitFailed),
        since: Some(before(now, WEEK)),
        ..JournalSelection::newest(JournalFields::Units, MAX_LOOKED_AT)
    };
    let mut failures = Vec::new();
    let read = journal::read(sources, selection, manifest, |entry| {
        failures.extend(entry.unit().map(|name| UnitFailure { name, time: entry.time() }));
    });
    if read.is_none() {
        return;
    }
    failures.sort_by_key(|failure| Reverse(failure.time));
    let day = before(now, DAY);
    let last_day = failures.iter().filter(|failure| failure.time >= day).count();
    changes.failures_last_day = Some(u32::try_from(last_day).unwrap_or(u32::MAX));
    manifest.bound("failures of units", &mut failures, MAX_FAILURES);
    changes.failures = failures;
}
