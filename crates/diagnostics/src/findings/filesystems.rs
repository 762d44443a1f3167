//! File systems: full, filling, read-only, silent.

use wire::diagnostics::{
    Filesystem, FilesystemState, Panel,
    findings::{Confidence, Severity, Unit, What},
    schema::Named,
};

use super::{
    answer::{Answer, Answers, Missing, Reading, amount, machine, permille},
    disks::word,
    facts::View,
    level::{Band, Level, critical, warning},
};

/// Thousandths: netdata `disk_space_usage`, 90 (80) %.
const SPACE_WARNING: [Band; 1] = [warning(900, 800)];
/// The same: 98 (90) %, if less than 5 GiB are left.
const SPACE_CRITICAL: [Band; 1] = [critical(980, 900)];
const SPACE_LEFT: [Band; 1] = [critical(5 << 20, 6 << 20)];

/// Seconds until it is full: the node-mixin's `NodeFilesystemSpaceFillingUp`, 24 h and 4 h.
const FORECAST_WARNING: [Band; 1] = [warning(24 * 3600, 30 * 3600)];
const FORECAST_CRITICAL: [Band; 1] = [critical(4 * 3600, 6 * 3600)];
/// Thousandths that are left: the same, 40 % and 20 %.
const FORECAST_LEFT_WARNING: [Band; 1] = [warning(400, 450)];
const FORECAST_LEFT_CRITICAL: [Band; 1] = [critical(200, 250)];
/// `for: 1h` of the same.
pub(super) const FORECAST_HOLD: std::time::Duration = std::time::Duration::from_hours(1);

/// Thousandths: netdata `disk_inode_usage`, 90 (80) and 98 (90) %.
const INODES: [Band; 2] = [warning(900, 800), critical(980, 900)];

/// Made full and never written: images, and media that were pressed.
const IMAGES: [&str; 7] = ["squashfs", "erofs", "iso9660", "udf", "cramfs", "romfs", "composefs"];

/// What the system and its user cannot do without.
const VITAL: [&str; 3] = ["/", "/home", "/var"];

pub(super) fn space(facts: &View<'_>) -> Answers {
    each(facts, |filesystem| {
        let used = filesystem.total_kib.saturating_sub(filesystem.available_kib);
        let share = permille(used, filesystem.total_kib).ok_or_else(|| silent(filesystem))?;
        let left = Level::below(amount(filesystem.available_kib), &SPACE_LEFT);
        let level = Level::above(share, &SPACE_WARNING).or(Level::above(share, &SPACE_CRITICAL).and(left));
        let reading = Reading::new(level)
            .figure(What::UsedShare, share, Unit::Permille)
            .figure(What::Available, filesystem.available_kib, Unit::Kib)
            .figure(What::Total, filesystem.total_kib, Unit::Kib);
        Ok(reading.word(What::Kind, &filesystem.kind))
    })
}

pub(super) fn forecast(facts: &View<'_>) -> Answers {
    let filesystems = own(facts)?;
    let Some(trends) = &facts.trends().space else {
        return Err(Missing::unknown("file systems were not watched for long enough"));
    };
    let answers = trends.iter().filter_map(|trend| {
        let filesystem = filesystems.iter().find(|one| one.mount == trend.mount)?;
        let share = permille(filesystem.available_kib, filesystem.total_kib)?;
        let full = amount(trend.likely_secs);
        let soon = Level::below(full, &FORECAST_WARNING).and(Level::below(share, &FORECAST_LEFT_WARNING));
        let now = Level::below(full, &FORECAST_CRITICAL).and(Level::below(share, &FORECAST_LEFT_CRITICAL));
        let reading = Reading::new(soon.or(now))
            .sure(Confidence::Medium)
            .figure(What::Available, filesystem.available_kib, Unit::Kib)
            .figure(What::AvailableShare, share, Unit::Permille)
            .figure(What::GrowthPerHour, trend.shrinks_kib_per_hour, Unit::Kib)
            .figure(What::Fit, i64::from(trend.full.fit_permille), Unit::Permille)
            .forecast(Some(trend.full));
        Some(Answer::about(Named::Path(trend.mount.clone()), Ok(reading)))
    });
    let answers = answers.collect::<Vec<_>>();
    if answers.is_empty() { machine(Reading::new(Level::FINE)) } else { Ok(answers) }
}

pub(super) fn inodes(facts: &View<'_>) -> Answers {
    each(facts, |filesystem| {
        if filesystem.state == FilesystemState::Unresponsive {
            return Err(silent(filesystem));
        }
        let used = filesystem.inodes_total.saturating_sub(filesystem.inodes_free);
        let Some(share) = permille(used, filesystem.inodes_total) else {
            return Err(Missing::not_applicable("it has no fixed number of inodes"));
        };
        let reading = Reading::new(Level::above(share, &INODES))
            .figure(What::UsedShare, share, Unit::Permille)
            .figure(What::Available, filesystem.inodes_free, Unit::Count)
            .figure(What::Total, filesystem.inodes_total, Unit::Count);
        Ok(reading.word(What::Kind, &filesystem.kind))
    })
}

/// Some are read-only on purpose, so what counts is whether it could be written before, or whether it says itself that it stopped. A vital
/// one that could not be written is told as a hint.
pub(super) fn read_only(facts: &View<'_>) -> Answers {
    let answers = own(facts)?.into_iter().map(|filesystem| {
        let subject = Named::Path(filesystem.mount.clone());
        let could = facts.first(Some(&subject), What::State) == Some(WRITABLE);
        let vital = VITAL.contains(&filesystem.mount.raw());
        let (level, confidence) = match filesystem.state {
            FilesystemState::Unresponsive => return Answer::about(subject, Err(silent(filesystem))),
            FilesystemState::ReadWrite => (Level::FINE, Confidence::High),
            FilesystemState::Damaged => (Level::is(Severity::Warning), Confidence::High),
            FilesystemState::Stopped if vital => (Level::is(Severity::Critical), Confidence::High),
            FilesystemState::Stopped => (Level::is(Severity::Warning), Confidence::High),
            FilesystemState::ReadOnly if could && vital => (Level::is(Severity::Critical), Confidence::High),
            FilesystemState::ReadOnly if could => (Level::is(Severity::Warning), Confidence::High),
            FilesystemState::ReadOnly if vital => (Level::is(Severity::Info), Confidence::Low),
            FilesystemState::ReadOnly => (Level::FINE, Confidence::Low),
        };
        let says = match filesystem.state {
            FilesystemState::Stopped => Some(word(What::State, "it stopped writing when it found errors")),
            FilesystemState::Damaged => Some(word(What::Errors, "not repaired")),
            FilesystemState::ReadWrite | FilesystemState::ReadOnly | FilesystemState::Unresponsive => None,
        };
        let reading = Reading::new(level).sure(confidence).also(says).word(What::Kind, &filesystem.kind);
        let answer = Answer::about(subject, Ok(reading));
        // Once it could be written, that is what it stands for until it is mounted anew.
        let can = matches!(filesystem.state, FilesystemState::ReadWrite | FilesystemState::Damaged);
        if can { answer.counting(What::State, WRITABLE) } else { answer }
    });
    Ok(answers.collect())
}

pub(super) fn unresponsive(facts: &View<'_>) -> Answers {
    let answers = own(facts)?.into_iter().map(|filesystem| {
        let severity = if VITAL.contains(&filesystem.mount.raw()) { Severity::Critical } else { Severity::Warning };
        let level = Level::if_so(filesystem.state == FilesystemState::Unresponsive, severity);
        let reading = Reading::new(level).word(What::Kind, &filesystem.kind);
        Answer::about(Named::Path(filesystem.mount.clone()), Ok(reading))
    });
    Ok(answers.collect())
}

/// What stands for a file system that could be written.
const WRITABLE: i64 = 1;

fn each(facts: &View<'_>, judge: impl Fn(&Filesystem) -> Result<Reading, Missing>) -> Answers {
    let answer = |filesystem: &Filesystem| Answer::about(Named::Path(filesystem.mount.clone()), judge(filesystem));
    Ok(own(facts)?.into_iter().map(answer).collect())
}

/// File systems that are not images.
fn own<'a>(facts: &View<'a>) -> Result<Vec<&'a Filesystem>, Missing> {
    let sample = facts.table(Panel::Filesystems)?;
    let own = sample.filesystems.iter().filter(|one| !IMAGES.contains(&one.kind.raw())).collect::<Vec<_>>();
    if own.is_empty() {
        let nothing = || Missing::unknown("no file system was seen");
        return Err(facts.unreadable("file systems").unwrap_or_else(nothing));
    }
    Ok(own)
}

fn silent(filesystem: &Filesystem) -> Missing {
    Missing::unknown(match filesystem.state {
        FilesystemState::Unresponsive => "it does not answer",
        FilesystemState::ReadWrite
        | FilesystemState::ReadOnly
        | FilesystemState::Stopped
        | FilesystemState::Damaged => "its size is not known",
    })
}
