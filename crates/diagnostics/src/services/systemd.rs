//! What systemd says about its units, over the bus; see org.freedesktop.systemd1(5).
//!
//! Properties are asked for one by one: all of them at once would bring command lines and environments along.

use std::{cmp::Reverse, collections::BTreeMap, io, path::Path, time::Duration};

use wire::{
    diagnostics::sections::services::{
        DriftedUnit, FailedUnit, MAX_DRIFTED, MAX_ENABLED, MAX_FAILED, MAX_RESTARTED, MAX_TIMERS, RestartedService,
        StateCount, Systemd, Timer,
    },
    text::Label,
    time::WallTime,
};
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::{
    bus::{Bus, Talk},
    journal::now,
    manifest::Manifest,
};

/// Its name among the sources of a section.
const SYSTEMD: &str = "systemd";

/// Longest that systemd is asked in all. A machine with 500 services needs less than a second.
const DEADLINE: Duration = Duration::from_secs(15);

/// Most units that are asked about themselves.
const MAX_ASKED: usize = 1000;

/// A property that a unit does not have is this of a time: never.
const NEVER: u64 = u64::MAX;

const SERVICE: &str = "org.freedesktop.systemd1";
const MANAGER: (&str, &str) = ("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager");
const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// A row of `ListUnits`: name, description, load state, active state, sub-state, followed unit, path, job.
type UnitRow = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Longest that the systemd of a person is asked: it has few units, and the section waits for both.
const OWN_DEADLINE: Duration = Duration::from_secs(5);

/// Asks the system's; `None` if it does not run or does not answer.
pub(super) fn read(bus: &Bus, manifest: &mut Manifest) -> Option<Systemd> {
    keep(bus.ask(DEADLINE, ask), SYSTEMD, "", manifest)
}

/// Asks that of the person whose sockets are in `runtime`: their bus is `bus` there (pam_systemd(8)). `None` if it does not run or does not
/// answer.
pub(super) fn read_own(runtime: &Path, manifest: &mut Manifest) -> Option<Systemd> {
    match Bus::at(&runtime.join("bus")).ask(OWN_DEADLINE, ask) {
        // Nobody has to have one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        asked => keep(asked, "own systemd", "own ", manifest),
    }
}

/// Bounds what was told, and notes what was not. `whose` stands in front of what is listed.
fn keep(asked: io::Result<(Systemd, Gaps)>, source: &str, whose: &str, manifest: &mut Manifest) -> Option<Systemd> {
    let (mut systemd, gaps) = manifest.keep(source, asked)?;
    if gaps.unasked > 0 {
        manifest.partial(source, &format!("{} more units than the {MAX_ASKED} that are asked", gaps.unasked));
    }
    if gaps.unanswered > 0 {
        manifest.partial(source, &format!("{} questions about units were not answered", gaps.unanswered));
    }
    manifest.bound(&format!("{whose}failed units"), &mut systemd.failed, MAX_FAILED);
    manifest.bound(&format!("{whose}restarted services"), &mut systemd.restarted, MAX_RESTARTED);
    manifest.bound(&format!("{whose}timers"), &mut systemd.timers, MAX_TIMERS);
    manifest.bound(&format!("{whose}drifted units"), &mut systemd.drifted, MAX_DRIFTED);
    manifest.bound(&format!("{whose}enabled units"), &mut systemd.enabled, MAX_ENABLED);
    Some(systemd)
}

/// What was not learnt.
#[derive(Debug, Default)]
struct Gaps {
    unasked: usize,
    unanswered: usize,
}

async fn ask(talk: &Talk) -> io::Result<(Systemd, Gaps)> {
    let (manager, interface) = MANAGER;
    let mut units = talk.call::<Vec<UnitRow>>(SERVICE, manager, (interface, "ListUnits"), &()).await?;
    units.sort_by(|a, b| a.0.cmp(&b.0));
    let mut asker = Asker { talk, gaps: Gaps::default() };
    let mut systemd = Systemd {
        version: asker.text(manager, interface, "Version").await,
        state: asker.text(manager, interface, "SystemState").await,
        counts: counts(&units),
        ..Systemd::default()
    };
    if let Some(enabled) = asker.enabled_unit_files().await {
        systemd.enabled_unit_files = u32::try_from(enabled.len()).ok();
        systemd.enabled = enabled.iter().filter(|name| starts_something(name)).map(|name| Label::cut(name)).collect();
    }
    let worth_asking = |row: &&UnitRow| {
        let kind = kind_of(&row.0);
        row.3 == "failed" || (row.2 == "loaded" && ["service", "socket", "timer"].contains(&kind))
    };
    let rows = units.iter().filter(worth_asking).collect::<Vec<_>>();
    asker.gaps.unasked = rows.len().saturating_sub(MAX_ASKED);
    for row in rows.into_iter().take(MAX_ASKED) {
        asker.unit(row, &mut systemd).await;
    }
    systemd.restarted.sort_by_key(|service| Reverse(service.restarts));
    Ok((systemd, asker.gaps))
}

struct Asker<'a> {
    talk: &'a Talk,
    gaps: Gaps,
}

impl Asker<'_> {
    async fn unit(&mut self, (name, _, _, active, _, _, path, ..): &UnitRow, systemd: &mut Systemd) {
        let (kind, path) = (kind_of(name), path.as_str());
        let name = Label::cut(name);
        let failed = active == "failed";
        let restarts = match kind {
            "service" => self.get::<u32>(path, &interface_of(kind), "NRestarts").await.unwrap_or(0),
            _ => 0,
        };
        if failed {
            let failed = self.failed(name.clone(), path, kind, restarts).await;
            systemd.failed.push(failed);
        }
        if restarts > 0 {
            let state = Label::cut(active);
            systemd.restarted.push(RestartedService { name: name.clone(), restarts, state });
        }
        if kind == "timer" {
            let timer = self.timer(name.clone(), path).await;
            systemd.timers.push(timer);
        }
        let state = self.text(path, UNIT, "UnitFileState").await;
        let preset = self.text(path, UNIT, "UnitFilePreset").await;
        if is_drift(state.raw(), preset.raw()) {
            systemd.drifted.push(DriftedUnit { name, state, preset });
        }
    }

    async fn failed(&mut self, name: Label, path: &str, kind: &str, restarts: u32) -> FailedUnit {
        let interface = interface_of(kind);
        let has_result = ["service", "socket", "timer", "mount", "automount", "swap", "path", "scope"].contains(&kind);
        let result = if has_result { self.text(path, &interface, "Result").await } else { Label::default() };
        let (mut code, mut status) = (None, None);
        if kind == "service" {
            code = self.get::<i32>(path, &interface, "ExecMainCode").await;
            status = self.get::<i32>(path, &interface, "ExecMainStatus").await;
        }
        let since = self.get::<u64>(path, UNIT, "StateChangeTimestamp").await;
        // The codes of waitid(2): 1 exited, 2 killed, 3 dumped core.
        let exit_status = status.filter(|_| code == Some(1));
        let signal = status.filter(|_| matches!(code, Some(2 | 3)));
        FailedUnit { name, result, exit_status, signal, restarts, since: since.and_then(wall_time) }
    }

    async fn timer(&mut self, name: Label, path: &str) -> Timer {
        let interface = interface_of("timer");
        let starts = self.text(path, &interface, "Unit").await;
        let result = self.text(path, &interface, "Result").await;
        let last = self.get::<u64>(path, &interface, "LastTriggerUSec").await;
        let at = self.get::<u64>(path, &interface, "NextElapseUSecRealtime").await;
        let after = self.get::<u64>(path, &interface, "NextElapseUSecMonotonic").await;
        let next = [at.and_then(wall_time), after.and_then(from_monotonic)].into_iter().flatten().min();
        Timer { name, starts, last: last.and_then(wall_time), next, result }
    }

    /// Names of the files that are enabled, in order.
    async fn enabled_unit_files(&mut self) -> Option<Vec<String>> {
        let (manager, interface) = MANAGER;
        let files = self.talk.call::<Vec<(String, String)>>(SERVICE, manager, (interface, "ListUnitFiles"), &()).await;
        let Ok(files) = files else {
            self.gaps.unanswered += 1;
            return None;
        };
        let enabled = files.iter().filter(|(_, state)| state == "enabled" || state == "enabled-runtime");
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let mut names = enabled.map(|(path, _)| name(path)).collect::<Vec<_>>();
        names.sort();
        Some(names)
    }

    async fn text(&mut self, path: &str, interface: &str, property: &str) -> Label {
        let text = self.get::<String>(path, interface, property).await;
        text.map(|text| Label::cut(&text)).unwrap_or_default()
    }

    /// `None`, and counted, if there is no answer. A unit may be gone since it was listed.
    async fn get<T: TryFrom<OwnedVariant>>(&mut self, path: &str, interface: &str, property: &str) -> Option<T> {
        let answer = self.talk.property::<T>(SERVICE, path, (interface, property)).await.ok();
        self.gaps.unanswered += usize::from(answer.is_none());
        answer
    }
}

/// How many units of which kind are in which active state.
fn counts(units: &[UnitRow]) -> Vec<StateCount> {
    let mut counts = BTreeMap::new();
    for (name, _, _, active, ..) in units {
        *counts.entry((kind_of(name), active.as_str())).or_insert(0_u32) += 1;
    }
    let row = |((kind, state), count)| StateCount { kind: Label::cut(kind), state: Label::cut(state), count };
    // systemd has eleven kinds and seven states; whoever stands in for it may have more.
    counts.into_iter().map(row).take(128).collect()
}

/// The part of a unit's name that says what it is.
fn kind_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, kind)| kind)
}

/// Whether what has this name starts something once it is enabled; mounts, targets and slices do not.
fn starts_something(name: &str) -> bool {
    ["service", "socket", "timer", "path"].contains(&kind_of(name))
}

/// The interface of a kind: `org.freedesktop.systemd1.Service` of `service`.
fn interface_of(kind: &str) -> String {
    let (first, rest) = kind.split_at_checked(1).unwrap_or(("", ""));
    format!("org.freedesktop.systemd1.{}{rest}", first.to_ascii_uppercase())
}

/// Whether a unit's file is in another state than the preset says. States such as `static` have no preset that means anything.
fn is_drift(state: &str, preset: &str) -> bool {
    let enabled = match state {
        "enabled" | "enabled-runtime" => true,
        "disabled" | "masked" | "masked-runtime" => false,
        _ => return false,
    };
    match preset {
        "enabled" => !enabled,
        "disabled" => enabled,
        _ => false,
    }
}

/// A time in microseconds since the epoch; 0 and the greatest number are no time.
fn wall_time(micros: u64) -> Option<WallTime> {
    (micros != 0 && micros != NEVER).then_some(WallTime(micros / 1000))
}

/// A time in microseconds on the clock that stops while the machine is suspended.
fn from_monotonic(micros: u64) -> Option<WallTime> {
    let then = wall_time(micros)?;
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let elapsed_ms = u64::try_from(clock.tv_sec).ok()?.checked_mul(1000)?;
    Some(WallTime(now().0.checked_add(then.0)?.checked_sub(elapsed_ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_drifts_if_its_file_is_not_as_preset() {
        assert!(is_drift("enabled", "disabled") && is_drift("disabled", "enabled") && is_drift("masked", "enabled"));
        for (state, preset) in [("enabled", "enabled"), ("static", "disabled"), ("generated", "enabled"), ("", "")] {
            assert!(!is_drift(state, preset), "{state} {preset}");
        }
    }

    #[test]
    fn no_time_is_never() {
        assert_eq!((wall_time(0), wall_time(NEVER)), (None, None));
        assert_eq!(wall_time(1_795_329_304_000_000), Some(WallTime(1_795_329_304_000)));
    }

    #[test]
    fn a_name_without_a_kind_has_none() {
        assert_eq!((kind_of("a.b.service"), kind_of("a"), kind_of("")), ("service", "", ""));
        assert_eq!(
            (interface_of("timer").as_str(), interface_of("").as_str()),
            ("org.freedesktop.systemd1.Timer", "org.freedesktop.systemd1.")
        );
    }
}
