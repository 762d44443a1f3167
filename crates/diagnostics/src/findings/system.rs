//! The clock, updates, certificates, the battery, and what changed.

use std::time::Duration;

use wire::{
    diagnostics::{
        findings::{Confidence, Evidence, Severity, Unit, What},
        report::SectionId,
        schema::Named,
        sections::{
            certificates::LocalCertificate,
            crashes::CrashingProgram,
            power::Battery,
            services::{FailedUnit, Manager, RestartedService, Systemd},
            updates::RebootReason,
        },
    },
    text::Label,
    time::WallTime,
};

use crate::history::is_kernel_interface;

use super::{
    answer::{Answer, Answers, Missing, Reading, amount, machine, named, permille},
    disks::word,
    facts::View,
    level::{Band, Level, critical, warning},
    trends::{BATTERY_WORN_PERMILLE, LevelShift},
};

/// Netdata `system_clock_sync_state` waits for 17 minutes after the start: these, and the hold.
const SYNC_AFTER: Duration = Duration::from_mins(7);
pub(super) const CLOCK_HOLD: Duration = Duration::from_mins(10);
/// Microseconds: node-mixin `NodeClockSkewDetected`, 50 ms for 10 minutes.
const OFFSET_WARNING: [Band; 1] = [warning(50_000, 25_000)];
/// Ours: certificates and tickets are refused from five minutes on (RFC 4120, section 7.5.5).
const OFFSET_CRITICAL: [Band; 1] = [critical(300_000_000, 60_000_000)];

/// Days: netdata `x509check_days_until_expiration`, 14 and 7.
const CERTIFICATE_DAYS: [Band; 2] = [warning(14, 15), critical(7, 8)];

/// Days, ours: security updates that nobody installed for a week.
const UPDATES_DAYS: i64 = 7;
/// Days, ours: a machine on which nothing was installed for a month although something waits.
const STALE_DAYS: i64 = 30;
/// Days, ours: a restart that is put off for two weeks, and for a month if the kernel waits for it.
const REBOOT_DAYS: [Band; 1] = [warning(14, 14)];
const KERNEL_DAYS: [Band; 1] = [critical(30, 30)];

/// Thousandths of what it was made for, ours.
const BATTERY: [Band; 2] = [warning(800, 820), critical(BATTERY_WORN_PERMILLE, 520)];

/// Times in ten minutes, ours: systemd itself gives up at five in ten seconds (`StartLimitBurst`).
const RESTARTS_WINDOW: Duration = Duration::from_mins(10);
const RESTARTS: [Band; 1] = [critical(5, 0)];

/// Crashes of one program, ours: three in a day, five in an hour.
const CRASHES_A_DAY: [Band; 1] = [warning(2, 1)];
const CRASHES_AN_HOUR: [Band; 1] = [critical(4, 1)];
const HOUR_MS: u64 = 3600 * 1000;

const DAY_MS: u64 = 24 * 3600 * 1000;

pub(super) fn clock(facts: &View<'_>) -> Answers {
    let clock = facts.clock()?;
    let offset = clock.source.as_ref().and_then(|source| source.offset_us);
    if clock.synchronised.is_none() && offset.is_none() {
        return Err(Missing::unknown("nobody tells whether the clock is synchronised"));
    }
    let off = amount(offset.unwrap_or(0).unsigned_abs());
    let loose = clock.synchronised == Some(false) && facts.uptime()? >= SYNC_AFTER;
    let level = Level::if_so(loose, Severity::Warning)
        .or(Level::above(off, &OFFSET_WARNING))
        .or(Level::above(off, &OFFSET_CRITICAL));
    let state = match clock.synchronised {
        Some(true) => "synchronised",
        Some(false) => "not synchronised",
        None => "synchronised or not is not told",
    };
    let reading = Reading::new(level).figure_if(What::Offset, offset, Unit::Micros).also([word(What::State, state)]);
    machine(match &clock.source {
        Some(source) => reading.also([word(What::TimeSource, source.service.name())]),
        None => reading,
    })
}

/// Any failed unit is a warning: netdata `systemd_*_unit_failed_state`.
pub(super) fn failed_unit(facts: &View<'_>) -> Answers {
    let systemd = systemd(facts)?;
    if systemd.failed.is_empty() {
        return machine(Reading::new(Level::FINE));
    }
    let answer = |unit: &FailedUnit| {
        let reading = Reading::new(Level::is(Severity::Warning)).word(What::Result, &unit.result);
        let signal = unit.signal.map(|number| word(What::About, &format!("signal {number}")));
        let status = unit.exit_status.map(|status| word(What::About, &format!("exit status {status}")));
        let restarts = Some(unit.restarts).filter(|restarts| *restarts > 0);
        let reading = reading.blame(signal.or(status)).figure_if(What::Restarts, restarts, Unit::Count);
        Answer::about(Named::Unit(unit.name.clone()), Ok(reading))
    };
    Ok(systemd.failed.iter().map(answer).collect())
}

pub(super) fn restart_loop(facts: &View<'_>) -> Answers {
    let systemd = systemd(facts)?;
    if systemd.restarted.is_empty() {
        return machine(Reading::new(Level::FINE));
    }
    if !facts.is_recent(SectionId::Services) {
        return Err(Missing::unknown("the counters are old"));
    }
    let answer = |service: &RestartedService| {
        let subject = Named::Unit(service.name.clone());
        let restarts = i64::from(service.restarts);
        let growth = facts.growth(Some(&subject), What::Restarts, restarts, RESTARTS_WINDOW);
        if growth.is_none() && Level::above(restarts, &RESTARTS) != Level::FINE {
            let first = Missing::unknown("how many of its restarts are recent is not known yet");
            return Answer::about(subject, Err(first)).counting(What::Restarts, restarts);
        }
        let by = growth.map_or(0, |growth| growth.by);
        let reading = Reading::new(Level::above(by, &RESTARTS)).figure(What::Restarts, by, Unit::Count).figure(
            What::Window,
            growth.map_or(0, |growth| growth.over.as_secs()),
            Unit::Seconds,
        );
        Answer::about(subject, Ok(reading.word(What::State, &service.state))).counting(What::Restarts, restarts)
    };
    Ok(systemd.restarted.iter().map(answer).collect())
}

fn systemd<'a>(facts: &View<'a>) -> Result<&'a Systemd, Missing> {
    let services = facts.services()?;
    services.systemd.as_ref().ok_or_else(|| match services.manager {
        Manager::Systemd => {
            facts.any_gap(SectionId::Services).unwrap_or_else(|| Missing::unknown("systemd does not answer"))
        }
        Manager::OpenRc | Manager::SysV => Missing::unknown("its services are not watched by systemd"),
        Manager::Other => Missing::not_applicable("nothing on this machine watches services"),
    })
}

/// A program that crashes again and again in a day, or in an hour.
pub(super) fn crashes(facts: &View<'_>) -> Answers {
    let crashes = facts.crashes()?;
    if let (true, Some(missing)) = (crashes.programs.is_empty(), facts.any_gap(SectionId::Crashes)) {
        return Err(missing);
    }
    if crashes.programs.is_empty() {
        return machine(Reading::new(Level::FINE));
    }
    let hour = |program: &CrashingProgram| {
        let own = crashes.crashes.iter().filter(|crash| crash.program == program.program);
        let lately = own.filter(|crash| facts.wall().0.saturating_sub(crash.time.0) <= HOUR_MS);
        amount(u64::try_from(lately.count()).unwrap_or(u64::MAX))
    };
    let answer = |program: &CrashingProgram| {
        let day = Level::above(i64::from(program.last_day), &CRASHES_A_DAY);
        let reading = Reading::new(day.or(Level::above(hour(program), &CRASHES_AN_HOUR)))
            .figure(What::Crashes, program.last_day, Unit::Count)
            .figure(What::Window, DAY_MS / 1000, Unit::Seconds);
        let last = crashes.crashes.iter().find(|crash| crash.program == program.program && crash.signal > 0);
        let signal = last.map(|crash| word(What::Result, &format!("signal {}", crash.signal)));
        Answer::about(Named::Technical(program.program.clone()), Ok(reading.blame(signal)))
    };
    Ok(crashes.programs.iter().map(answer).collect())
}

pub(super) fn certificate(facts: &View<'_>) -> Answers {
    let local = &facts.certificates()?.local;
    if local.is_empty() {
        let none = || Missing::not_applicable("no certificate of a service was found");
        return Err(facts.any_gap(SectionId::Certificates).unwrap_or_else(none));
    }
    let answer = |certificate: &LocalCertificate| {
        let left = days_until(facts.wall(), certificate.not_after);
        let reading = Reading::new(Level::below(left, &CERTIFICATE_DAYS)).figure(What::Remaining, left, Unit::Days);
        let issuer = Some(&certificate.issuer).filter(|issuer| !issuer.is_blank());
        let reading = match issuer {
            Some(issuer) => reading.name(What::Issuer, Named::Network(issuer.clone())),
            None => reading,
        };
        Answer::about(Named::Path(certificate.file.clone()), Ok(reading))
    };
    Ok(local.iter().map(answer).collect())
}

pub(super) fn security_updates(facts: &View<'_>) -> Answers {
    let updates = facts.updates()?;
    if updates.manager.is_none() && updates.counted_by.is_none() {
        return Err(Missing::not_applicable("no package manager that is known here"));
    }
    let Some(waiting) = updates.security else {
        let uncounted = || Missing::unknown("nobody could count the security updates");
        return Err(facts.any_gap(SectionId::Updates).unwrap_or_else(uncounted));
    };
    let looked = updates.lists_refreshed.map(|at| days_since(at, facts.wall()));
    let installed = updates.last_success.map(|at| days_since(at, facts.wall()));
    let idle = |days: i64| installed.is_none_or(|since| since > days);
    let pending = updates.pending.unwrap_or(0);
    let late = waiting > 0 && idle(UPDATES_DAYS) || pending > 0 && installed.is_some_and(|since| since > STALE_DAYS);
    // Lists from long ago know of no update.
    if waiting == 0 && looked.is_none_or(|days| days > STALE_DAYS) {
        return Err(Missing::unknown("the lists of updates are old"));
    }
    let level = Level::if_so(waiting > 0, Severity::Info).or(Level::if_so(late, Severity::Warning));
    let reading = Reading::new(level)
        .figure(What::Waiting, waiting, Unit::Count)
        .figure(What::Total, pending, Unit::Count)
        .figure_if(What::Age, looked, Unit::Days);
    machine(reading)
}

pub(super) fn reboot(facts: &View<'_>) -> Answers {
    let updates = facts.updates()?;
    let Some(needed) = updates.reboot_needed else {
        let untold = || Missing::unknown("nothing tells whether a restart is needed");
        return Err(facts.any_gap(SectionId::Updates).unwrap_or_else(untold));
    };
    let kernel =
        updates.reboot_reasons.iter().any(|one| matches!(one, RebootReason::Kernel | RebootReason::KernelRemoved));
    let age = updates.newest_kernel_since.filter(|_| kernel).map(|at| days_since(at, facts.wall()));
    let late = Level::above(age.unwrap_or(0), &REBOOT_DAYS);
    let too_late = Level::above(age.unwrap_or(0), &KERNEL_DAYS);
    let level = Level::if_so(needed, Severity::Info).or(if needed { late.or(too_late) } else { Level::FINE });
    let reading = Reading::new(level).figure_if(What::Age, age.filter(|_| needed), Unit::Days);
    let reading = reading.blame(updates.reboot_reasons.iter().map(|reason| word(What::About, reason.name())));
    machine(reading.word(What::Running, &updates.running_kernel).word(What::Installed, &updates.newest_kernel))
}

pub(super) fn battery(facts: &View<'_>) -> Answers {
    let batteries = &facts.power()?.batteries;
    let answer = |battery: &Battery| {
        let subject = Named::Technical(battery.name.clone());
        let health = battery_health_permille(battery);
        let seen = health.ok_or_else(|| Missing::unknown("it does not tell what it was made for")).map(|health| {
            let reading = Reading::new(Level::below(health, &BATTERY)).figure(What::Health, health, Unit::Permille);
            let reading = reading.forecast(facts.trends().fading_of(&subject));
            reading.figure_if(What::Cycles, battery.cycles, Unit::Count).word(What::Model, &battery.model)
        });
        Answer::about(subject, seen)
    };
    let answers = batteries.iter().filter(|battery| battery.runs_machine).map(answer).collect::<Vec<_>>();
    if answers.is_empty() {
        let none = || Missing::not_applicable("this machine does not run on a battery");
        return Err(facts.gap(SectionId::Power, "/sys/class/power_supply").unwrap_or_else(none));
    }
    Ok(answers)
}

/// What a full battery holds of what it was made for, in thousandths; none if it does not tell.
pub(crate) fn battery_health_permille(battery: &Battery) -> Option<i64> {
    permille(battery.full_mwh?, battery.design_mwh?)
}

/// Says when something began, and nothing about whether it is bad.
pub(super) fn level_shift(facts: &View<'_>) -> Answers {
    let Some(shifts) = &facts.trends().shifts else {
        return Err(Missing::unknown("the figures were not watched for long enough"));
    };
    if shifts.is_empty() {
        return machine(Reading::new(Level::FINE).sure(Confidence::Medium));
    }
    let answer = |shift: &LevelShift| {
        // Each disk and each interface shifts for itself.
        let figure = figure_of(&shift.figure, shift.subject.as_ref());
        let ago = days_or_less(shift.since, facts.wall());
        let mut reading = Reading::new(Level::is(Severity::Info))
            .sure(shift.confidence)
            .figure(What::Before, shift.before, shift.unit)
            .figure(What::After, shift.after, shift.unit)
            .figure(What::Age, ago, Unit::Seconds);
        let about = shift.subject.iter();
        reading =
            reading.blame(about.map(|name| Evidence { what: What::About, amount: None, name: Some(name.clone()) }));
        let odd = shift.odd.iter().map(|one| {
            named(What::OddToo, figure_of(&one.figure, one.subject.as_ref()), one.permille.into(), Unit::Permille)
        });
        reading = reading.blame(odd);
        Answer::about(figure, Ok(reading))
    };
    Ok(shifts.iter().map(answer).collect())
}

/// A figure and the thing that it is of, in one name, which nothing can be taken out of any more: what a person or a hardware address may
/// be in is not named.
fn figure_of(figure: &Label, subject: Option<&Named>) -> Named {
    let thing = match subject {
        None => return Named::Technical(figure.clone()),
        Some(Named::Technical(name)) => name.raw(),
        Some(Named::Network(name)) if is_kernel_interface(name.raw()) => name.raw(),
        Some(Named::Network(_)) => "an interface",
        Some(Named::Identifier(_) | Named::Unit(_) | Named::Path(_) | Named::Personal(_) | Named::Text(_)) => {
            "something"
        }
    };
    Named::Technical(Label::cut(&format!("{} of {thing}", figure.raw())))
}

fn days_until(now: WallTime, then: WallTime) -> i64 {
    if then.0 >= now.0 { amount((then.0 - now.0) / DAY_MS) } else { -1 - amount((now.0 - then.0) / DAY_MS) }
}

fn days_since(then: WallTime, now: WallTime) -> i64 {
    amount(now.0.saturating_sub(then.0) / DAY_MS)
}

fn days_or_less(then: WallTime, now: WallTime) -> i64 {
    amount(now.0.saturating_sub(then.0) / 1000)
}
